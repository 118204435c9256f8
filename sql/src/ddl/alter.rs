//! ALTER TABLE: columns, defaults, constraints, the ledger's options.

use datafusion::sql::sqlparser::ast;
use ledger::catalog::IndexOrigin;
use ledger::table::Mode;
use ledger::{Catalog, Column, ColumnNumber, Object, Oid, Table, Type, Value};

use super::column::{self, Feed};
use super::table::{days_of, mode_of, no_column, option_of, refuse_system_name};
use super::types::type_of;
use crate::Error;
use crate::dml::{Change, Settled, table_of};
use crate::error::Report;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::{SequenceOptions, Statement, name_of, parts_of};

impl Session {
    pub(super) async fn alter_table(
        &mut self,
        _statement: &Statement,
        alter: &ast::AlterTable,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let name = parts_of(&alter.name)?;
        let oid = match self.find_table(&catalog, &name) {
            Ok(oid) => oid,
            Err(Error::UndefinedTable { name, .. }) if alter.if_exists => {
                self.notices
                    .push(Report::notice(format!("relation \"{name}\" does not exist, skipping")));
                return Ok(Outcome::done("ALTER TABLE"));
            }
            Err(error) => return Err(error),
        };
        self.need_owner(&catalog, oid)?;
        self.lock_table_alone(oid).await?;
        for operation in &alter.operations {
            Box::pin(self.alter_one(oid, operation)).await?;
        }
        Ok(Outcome::done("ALTER TABLE"))
    }

    async fn alter_one(
        &mut self,
        oid: Oid,
        operation: &ast::AlterTableOperation,
    ) -> Result<(), Error> {
        use ast::AlterTableOperation as Op;
        match operation {
            Op::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                self.add_column(oid, column_def, *if_not_exists).await
            }
            Op::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                for name in column_names {
                    self.drop_column(oid, &name_of(name), *if_exists, cascade).await?;
                }
                Ok(())
            }
            Op::RenameColumn { old_column_name, new_column_name } => {
                self.rename_column(oid, &name_of(old_column_name), &name_of(new_column_name))
            }
            Op::RenameTable {
                table_name: ast::RenameTableNameKind::To(new) | ast::RenameTableNameKind::As(new),
            } => match parts_of(new)?.as_slice() {
                [new] => self.rename_relation(oid, new),
                _ => Err(Error::new("42601", "syntax error in RENAME TO")),
            },
            Op::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(oid, &name_of(old_name), &name_of(new_name))
            }
            Op::AlterColumn { column_name, op } => {
                self.alter_column(oid, &name_of(column_name), op)
            }
            Op::AddConstraint { constraint, not_valid } => {
                if *not_valid {
                    return Err(Error::unsupported(
                        "NOT VALID",
                        "Add the constraint when all rows keep it.",
                    ));
                }
                self.add_constraints(oid, std::slice::from_ref(constraint), false).await
            }
            Op::DropConstraint { if_exists, name, drop_behavior } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                self.drop_constraint(oid, &name_of(name), *if_exists, cascade).await
            }
            // Every constraint was checked when it was made.
            Op::ValidateConstraint { name } => {
                let catalog = self.catalog()?;
                let table = table_of(&catalog, oid)?;
                let name = name_of(name);
                if super::constraint::constraint_names(&catalog, oid, table).contains(&name) {
                    return Ok(());
                }
                Err(no_constraint(&name, &table.name))
            }
            Op::OwnerTo { new_owner } => {
                let catalog = self.catalog()?;
                let role = self.owner_named(&catalog, new_owner)?;
                self.own_relation(oid, role)
            }
            Op::SetOptionsParens { options } => self.set_options(oid, options),
            other => Err(Error::unsupported(
                format!("ALTER TABLE … {other}"),
                "docs/sql.md lists what ALTER TABLE does.",
            )),
        }
    }

    async fn add_column(
        &mut self,
        oid: Oid,
        definition: &ast::ColumnDef,
        if_not_exists: bool,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let written = column::read(definition)?;
        if table.find_column(&written.name).is_some() {
            return self.column_exists(&table, &written.name, if_not_exists);
        }
        refuse_system_name(&written.name)?;
        let number = u16::try_from(table.columns.len() + 1)
            .ok()
            .filter(|number| *number <= 1600)
            .map(ColumnNumber)
            .ok_or_else(|| Error::new("54011", "tables can have at most 1600 columns"))?;
        let mut new = column::column(number, &written);
        if let Some(expression) = &written.default {
            new.default = self.default_rule(&written.kind, expression)?;
            if let Some(default) = &new.default
                && default.rule.is_volatile()
                && !is_stable(&default.rule)
            {
                return Err(Error::unsupported(
                    "to add a column with a volatile default to a table",
                    "Add the column without a default, set its values by UPDATE, then SET DEFAULT.",
                ));
            }
            // The value that existing rows have from now on.
            new.missing = self.default_value(&new)?;
        }
        let empty = self.is_empty_table(oid)?;
        let fed = written.sequence.is_some() && !empty;
        if fed && table.mode == Mode::AppendOnly {
            return Err(Error::unsupported(
                "to add an identity or serial column to an append-only table with rows",
                "Its rows can't be given values any more.",
            ));
        }
        // Rows get their values first.
        new.not_null &= !fed;
        if new.not_null && new.missing == Value::Null && !empty {
            let mut report = Report::error(
                "23502",
                format!(
                    "column \"{}\" of relation \"{}\" contains null values",
                    new.name, table.name
                ),
            );
            report.table = Some(table.name.clone());
            report.column = Some(new.name.clone());
            return Err(report.into());
        }
        table.columns.push(new);
        self.define(oid, Object::Table(table.clone()))?;
        if let Some(feed) = &written.sequence {
            self.attach_feed(oid, number, feed, fed)?;
        }
        if fed {
            self.number_rows(oid, number).await?;
        }
        self.add_constraints(oid, &written.constraints, false).await
    }

    fn column_exists(&mut self, table: &Table, name: &str, skips: bool) -> Result<(), Error> {
        let message = format!("column \"{name}\" of relation \"{}\" already exists", table.name);
        if !skips {
            return Err(Error::new("42701", message));
        }
        self.notices.push(Report {
            sqlstate: "42701".to_string(),
            ..Report::notice(format!("{message}, skipping"))
        });
        Ok(())
    }

    /// Every row gets the next value of a new column's sequence, and the column is NOT NULL from then on.
    async fn number_rows(&mut self, oid: Oid, number: ColumnNumber) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let column = table.column(number).ok_or_else(|| Error::internal("a column not there"))?;
        let mut rows = Vec::new();
        self.look(|sight| {
            sight.each_row(oid, |version, values| {
                rows.push((version, values.to_vec()));
                Ok(())
            })
        })?;
        let place = usize::from(number.0).wrapping_sub(1);
        let mut changes = Vec::with_capacity(rows.len());
        for (old, before) in rows {
            self.bounds.check()?;
            let mut after = before.clone();
            if let Some(slot) = after.get_mut(place) {
                *slot = self.default_of(column).await?;
            }
            changes.push(Change::Update { old, before, after });
        }
        if self.settle(oid, &changes).await? == Settled::Stale {
            return Err(Error::internal("a table that is locked changed"));
        }
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        if let Some(column) = table.columns.get_mut(place) {
            column.not_null = true;
        }
        self.define(oid, Object::Table(table))
    }

    fn attach_feed(
        &mut self,
        oid: Oid,
        number: ColumnNumber,
        feed: &Feed,
        later: bool,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let (sequence, default) = self.feed(oid, &table, number, feed)?;
        let place = usize::from(number.0).wrapping_sub(1);
        if let Some(column) = table.columns.get_mut(place) {
            match feed.identity {
                Some(always) => {
                    column.identity = Some(ledger::table::Identity { sequence, always });
                    column.not_null = !later;
                }
                None => column.default = Some(default),
            }
        }
        self.define(oid, Object::Table(table))
    }

    /// Whether the transaction sees no row of a table.
    pub(super) fn is_empty_table(&self, oid: Oid) -> Result<bool, Error> {
        self.look(|sight| {
            let mut empty = true;
            if sight.overlay.row_count(oid) > 0 {
                return Ok(false);
            }
            if sight.snapshot.catalog().table(oid).is_some() {
                crate::rows::each_version(sight.snapshot, oid, |version| {
                    empty &= sight.overlay.ends(oid, version);
                    Ok(())
                })?;
            }
            Ok(empty)
        })
    }

    async fn drop_column(
        &mut self,
        oid: Oid,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let Some(column) = table.find_column(name) else {
            if if_exists {
                self.notices.push(Report::notice(format!(
                    "column \"{name}\" of relation \"{}\" does not exist, skipping",
                    table.name
                )));
                return Ok(());
            }
            return Err(no_column(name, &table.name));
        };
        let number = column.number;
        self.free_of_views(oid, &table.name, name, cascade).await?;
        // Constraints and indexes over the column go with it; foreign keys of others only with CASCADE.
        let hidden: Vec<(Oid, IndexOrigin, String)> = catalog
            .indexes_of(oid)
            .filter(|(_, index)| {
                index.columns.contains(&number) && index.origin != IndexOrigin::ForeignKey
            })
            .map(|(index, definition)| (index, definition.origin, definition.name.clone()))
            .collect();
        let foreign: Vec<String> = table
            .foreign_keys
            .iter()
            .filter(|foreign| foreign.columns.contains(&number))
            .map(|foreign| foreign.name.clone())
            .collect();
        for name in foreign {
            self.drop_constraint(oid, &name, false, cascade).await?;
        }
        for (index, origin, name) in hidden {
            match origin {
                IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_) => {
                    self.drop_constraint(oid, &name, false, cascade).await?;
                }
                IndexOrigin::Plain => self.undefine(index)?,
                IndexOrigin::ForeignKey => {}
            }
        }
        let catalog_now = self.catalog()?;
        table = table_of(&catalog_now, oid)?.clone();
        table.checks.retain(|check| {
            let mut read = std::collections::BTreeSet::new();
            super::constraint::columns_of(&check.rule, &mut read);
            !read.contains(&number)
        });
        let place = usize::from(number.0).wrapping_sub(1);
        let mut sequence = None;
        if let Some(column) = table.columns.get_mut(place) {
            sequence = column.identity.take().map(|identity| identity.sequence);
            column.dropped = true;
            column.not_null = false;
            column.default = None;
            column.name = format!("........pg.dropped.{}........", number.0);
        }
        self.define(oid, Object::Table(table))?;
        let owned: Vec<Oid> = catalog
            .sequences()
            .filter(|(found, own)| own.owned_by == Some((oid, number)) || Some(*found) == sequence)
            .map(|(found, _)| found)
            .collect();
        for sequence in owned {
            self.drop_all([sequence].into(), cascade).await?;
        }
        Ok(())
    }

    /// Views that name a column keep it, or go with CASCADE.
    async fn free_of_views(
        &mut self,
        oid: Oid,
        table: &str,
        column: &str,
        cascade: bool,
    ) -> Result<(), Error> {
        let views = self.views_of_column(oid, column)?;
        let Some(first) = views.first() else { return Ok(()) };
        if cascade {
            return self.drop_all(views.into_iter().collect(), true).await;
        }
        let catalog = self.catalog()?;
        let view = catalog.get(*first).map_or("", |view| view.name());
        Err(Error::new(
            "2BP01",
            format!(
                "cannot drop column {column} of table {table} because other objects depend on it"
            ),
        )
        .with_detail(format!("view {view} depends on column {column} of table {table}"))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too."))
    }

    fn rename_column(&mut self, oid: Oid, old: &str, new: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        if table.find_column(new).is_some() {
            return Err(Error::new(
                "42701",
                format!("column \"{new}\" of relation \"{}\" already exists", table.name),
            ));
        }
        refuse_system_name(new)?;
        let name = table.name.clone();
        let number = table.find_column(old).ok_or_else(|| no_column(old, &name))?.number;
        self.refuse_if_column_viewed(oid, old, "rename")?;
        if let Some(column) = table.columns.get_mut(usize::from(number.0).wrapping_sub(1)) {
            column.name = new.to_string();
        }
        self.refresh_texts(&mut table)?;
        self.define(oid, Object::Table(table))
    }

    fn alter_column(
        &mut self,
        oid: Oid,
        name: &str,
        operation: &ast::AlterColumnOperation,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let name_of_table = table.name.clone();
        let column =
            table.find_column(name).ok_or_else(|| no_column(name, &name_of_table))?.clone();
        let place = usize::from(column.number.0).wrapping_sub(1);
        let mut changed = column.clone();
        let mut check = false;
        match operation {
            ast::AlterColumnOperation::SetNotNull => {
                check = !column.not_null;
                changed.not_null = true;
            }
            ast::AlterColumnOperation::DropNotNull => {
                self.may_be_null(&catalog, oid, &column)?;
                changed.not_null = false;
            }
            ast::AlterColumnOperation::SetDefault { value } => {
                if column.identity.is_some() {
                    return Err(Error::new(
                        "42601",
                        format!("column \"{name}\" of relation \"{name_of_table}\" is an identity column"),
                    )
                    .with_hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead."));
                }
                changed.default = self.default_rule(&column.kind, value)?;
            }
            ast::AlterColumnOperation::DropDefault => changed.default = None,
            ast::AlterColumnOperation::SetDataType { data_type, using, .. } => {
                if using.is_some() {
                    return Err(Error::unsupported(
                        "ALTER COLUMN TYPE … USING",
                        "Add a column of the new type, fill it by UPDATE, drop the old one.",
                    ));
                }
                self.refuse_if_column_viewed(oid, name, "change the type of a column of")?;
                changed = retyped(&column, type_of(data_type)?)?;
            }
            ast::AlterColumnOperation::AddGenerated { generated_as, sequence_options } => {
                let _ = sequence_options;
                let always = matches!(generated_as, Some(ast::GeneratedAs::Always));
                let feed = Feed { identity: Some(always), options: SequenceOptions::default() };
                if !column.not_null {
                    return Err(Error::new(
                        "55000",
                        format!(
                            "column \"{name}\" of relation \"{name_of_table}\" must be declared NOT NULL before identity can be added"
                        ),
                    ));
                }
                return self.attach_feed(oid, column.number, &feed, false);
            }
        }
        if let Some(slot) = table.columns.get_mut(place) {
            *slot = changed;
        }
        self.define(oid, Object::Table(table))?;
        if check { self.check_not_null(oid, &[column.number]) } else { Ok(()) }
    }

    fn may_be_null(&self, catalog: &Catalog, oid: Oid, column: &Column) -> Result<(), Error> {
        let in_key = catalog
            .primary_key_of(oid)
            .is_some_and(|(_, index)| index.columns.contains(&column.number));
        if in_key {
            return Err(Error::new(
                "42P16",
                format!("column \"{}\" is in a primary key", column.name),
            ));
        }
        if column.identity.is_some() {
            return Err(Error::new(
                "42601",
                format!("column \"{}\" is an identity column", column.name),
            ));
        }
        Ok(())
    }

    pub(super) async fn drop_constraint(
        &mut self,
        oid: Oid,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let key = catalog.indexes_of(oid).find(|(_, index)| {
            index.name == name
                && matches!(index.origin, IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_))
        });
        if let Some((index, _)) = key {
            return self.drop_all([index].into(), cascade).await;
        }
        if let Some(place) = table.foreign_keys.iter().position(|foreign| foreign.name == name) {
            let foreign = table.foreign_keys.remove(place);
            self.define(oid, Object::Table(table))?;
            return self.undefine(foreign.index);
        }
        if let Some(place) = table.checks.iter().position(|check| check.name == name) {
            table.checks.remove(place);
            return self.define(oid, Object::Table(table));
        }
        if if_exists {
            self.notices.push(Report::notice(format!(
                "constraint \"{name}\" of relation \"{}\" does not exist, skipping",
                table.name
            )));
            return Ok(());
        }
        Err(no_constraint(name, &table.name))
    }

    fn set_options(&mut self, oid: Oid, options: &[ast::SqlOption]) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table: Table = table_of(&catalog, oid)?.clone();
        for option in options {
            let (name, value) = option_of(option)?;
            match name.as_str() {
                "mode" => {
                    let mode = mode_of(&value)?;
                    if table.mode == Mode::AppendOnly && mode == Mode::Updatable {
                        return Err(Error::new(
                            "55000",
                            format!("\"{}\" is append-only and stays so", table.name),
                        ));
                    }
                    table.mode = mode;
                }
                "retain" => {
                    let days = days_of(&value)?;
                    if table.retain_days.is_some_and(|old| days < old) {
                        return Err(Error::new("22023", "the time to retain rows can only grow"));
                    }
                    table.retain_days = Some(days);
                }
                other => {
                    return Err(Error::unsupported(
                        format!("SET ({other} = …)"),
                        "ALTER TABLE can set mode and retain.",
                    ));
                }
            }
        }
        self.define(oid, Object::Table(table))
    }
}

fn no_constraint(name: &str, table: &str) -> Error {
    Error::new("42704", format!("constraint \"{name}\" of relation \"{table}\" does not exist"))
}

/// Whether a volatile rule gives one value for a whole statement, as `now()` does.
fn is_stable(rule: &ledger::Rule) -> bool {
    use ledger::Rule;
    use ledger::rule::Volatile;
    match rule {
        Rule::Volatile(
            Volatile::Now
            | Volatile::CurrentDate
            | Volatile::LocalTimestamp
            | Volatile::CurrentUser,
        ) => true,
        Rule::Volatile(_) => false,
        other => other.parts().into_iter().all(is_stable),
    }
}

/// A column of another type, when every value it can hold keeps its meaning and its bytes.
fn retyped(column: &Column, kind: Type) -> Result<Column, Error> {
    if column.kind == kind {
        return Ok(column.clone());
    }
    // Old rows are read by the new type from the bytes that they have.
    let wider = kind.reads_bytes_of(&column.kind);
    if !wider {
        return Err(Error::unsupported(
            format!("to change {} to {}", column.kind, kind),
            "Add a column of the new type, fill it by UPDATE, drop the old one. varchar can grow, and become text.",
        ));
    }
    Ok(Column { kind, ..column.clone() })
}
