//! Constraints: PRIMARY KEY, UNIQUE, CHECK, FOREIGN KEY, on new tables and on filled ones.

use datafusion::sql::sqlparser::ast;
use ledger::catalog::{Index, IndexOrigin, Privilege};
use ledger::table::{Action, Check, ForeignKey};
use ledger::{Catalog, ColumnNumber, Object, Oid, Table, View, key};

use super::sequence::{cut_name, free_name};
use crate::Error;
use crate::dml::table_of;
use crate::session::Session;
use crate::statement::{name_of, parts_of};

/// The most columns of an index.
const INDEX_COLUMNS: usize = 32;

impl Session {
    /// Adds constraints to a table. A new table has no rows to check.
    pub(super) async fn add_constraints(
        &mut self,
        oid: Oid,
        constraints: &[ast::TableConstraint],
        new: bool,
    ) -> Result<(), Error> {
        // Keys first: a foreign key may refer to its own table.
        for constraint in constraints {
            match constraint {
                ast::TableConstraint::PrimaryKey(constraint) => {
                    characteristics(constraint.characteristics.as_ref())?;
                    let name = constraint.name.as_ref().map(name_of);
                    self.add_key(oid, name, &constraint.columns, true, new)?;
                }
                ast::TableConstraint::Unique(constraint) => {
                    characteristics(constraint.characteristics.as_ref())?;
                    if matches!(constraint.nulls_distinct, ast::NullsDistinctOption::NotDistinct) {
                        return Err(Error::unsupported(
                            "NULLS NOT DISTINCT",
                            "Make the columns NOT NULL.",
                        ));
                    }
                    let name = constraint.name.as_ref().map(name_of);
                    self.add_key(oid, name, &constraint.columns, false, new)?;
                }
                _ => {}
            }
        }
        for constraint in constraints {
            match constraint {
                ast::TableConstraint::PrimaryKey(_) | ast::TableConstraint::Unique(_) => {}
                ast::TableConstraint::Check(check) => self.add_check(oid, check, new)?,
                ast::TableConstraint::ForeignKey(foreign) => {
                    self.add_foreign_key(oid, foreign, new).await?;
                }
                other => {
                    return Err(Error::unsupported(
                        format!("the constraint {other}"),
                        "The constraints are PRIMARY KEY, UNIQUE, CHECK, NOT NULL and FOREIGN KEY.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// A name that no constraint of the table bears.
    fn constraint_name(
        &self,
        catalog: &Catalog,
        oid: Oid,
        table: &Table,
        given: Option<String>,
        columns: &str,
        suffix: &str,
    ) -> Result<String, Error> {
        let taken = constraint_names(catalog, oid, table);
        if let Some(name) = given {
            if taken.contains(&name) {
                return Err(Error::new(
                    "42710",
                    format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
                ));
            }
            return Ok(name);
        }
        Ok((0..u32::MAX)
            .map(|number| match number {
                0 => cut_name(&table.name, columns, suffix),
                number => cut_name(&table.name, columns, &format!("{suffix}{number}")),
            })
            .find(|name| !taken.contains(name))
            .unwrap_or_default())
    }

    pub(super) fn add_key(
        &mut self,
        oid: Oid,
        name: Option<String>,
        columns: &[ast::IndexColumn],
        primary: bool,
        new: bool,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let numbers = index_columns(&table, columns)?;
        if primary {
            if catalog.primary_key_of(oid).is_some() {
                return Err(Error::new(
                    "42P16",
                    format!("multiple primary keys for table \"{}\" are not allowed", table.name),
                ));
            }
            let mut changed = false;
            for number in &numbers {
                let place = usize::from(number.0).wrapping_sub(1);
                if let Some(column) = table.columns.get_mut(place).filter(|column| !column.not_null)
                {
                    column.not_null = true;
                    changed = true;
                }
            }
            if changed {
                self.define(oid, Object::Table(table.clone()))?;
                if !new {
                    self.check_not_null(oid, &numbers)?;
                }
            }
        }
        let joined = if primary { String::new() } else { column_names(&table, &numbers).join("_") };
        let suffix = if primary { "pkey" } else { "key" };
        let name = match name {
            Some(name) => self.constraint_name(&catalog, oid, &table, Some(name), "", "")?,
            None => free_name(&catalog, table.schema, &table.name, &joined, suffix),
        };
        if catalog.find_relation(table.schema, &name).is_some() {
            return Err(Error::Exists { kind: "relation", name });
        }
        let now = self.catalog()?;
        let mut oids = self.oids_for(&now, oid);
        let (index, constraint) = (oids.next(), oids.next());
        let origin = if primary {
            IndexOrigin::PrimaryKey(constraint)
        } else {
            IndexOrigin::Unique(constraint)
        };
        let definition = Index {
            schema: table.schema,
            name,
            table: oid,
            columns: numbers,
            unique: true,
            origin,
            comment: None,
        };
        self.define(index, Object::Index(definition))?;
        if new { Ok(()) } else { self.check_unique(index) }
    }

    /// No two rows may share a key of a new unique index.
    pub(super) fn check_unique(&self, index: Oid) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(definition) = catalog.index(index) else { return Ok(()) };
        let table = table_of(&catalog, definition.table)?;
        let bounds = self.bounds.clone();
        self.look(|sight| {
            let found = sight.overlay.duplicate(index, table, definition, || bounds.check())?;
            let Some(values) = found else { return Ok(()) };
            let names = column_names(table, &definition.columns).join(", ");
            let zone = self.zone();
            let texts: Vec<String> = values
                .iter()
                .zip(&definition.columns)
                .map(|(value, number)| match table.column(*number) {
                    Some(column) => value.to_text(&column.kind, &zone),
                    None => String::new(),
                })
                .collect();
            Err(ledger::Refusal::Duplicate {
                schema: catalog.schema(table.schema).map_or_else(String::new, |s| s.name.clone()),
                table: table.name.clone(),
                constraint: definition.name.clone(),
                detail: format!("Key ({names})=({}) is duplicated.", texts.join(", ")),
            })
            .map_err(|refusal: ledger::Refusal| {
                let mut report = Error::Refused(refusal).report();
                report.message = format!("could not create unique index \"{}\"", definition.name);
                report.into()
            })
        })
    }

    /// No row may have NULL in columns that are NOT NULL from now on.
    pub(super) fn check_not_null(&self, oid: Oid, numbers: &[ColumnNumber]) -> Result<(), Error> {
        let bounds = self.bounds.clone();
        self.look(|sight| {
            let table = sight.table(oid)?;
            sight.each_row(oid, |_, values| {
                bounds.check()?;
                for number in numbers {
                    let place = usize::from(number.0).wrapping_sub(1);
                    if values.get(place).is_none_or(ledger::Value::is_null) {
                        let name = table.column(*number).map_or("", |column| column.name.as_str());
                        let mut report = crate::Report::error(
                            "23502",
                            format!(
                                "column \"{name}\" of relation \"{}\" contains null values",
                                table.name
                            ),
                        );
                        report.table = Some(table.name.clone());
                        report.column = Some(name.to_string());
                        return Err(report.into());
                    }
                }
                Ok(())
            })
        })
    }

    fn add_check(
        &mut self,
        oid: Oid,
        constraint: &ast::CheckConstraint,
        new: bool,
    ) -> Result<(), Error> {
        if constraint.enforced == Some(false) {
            return Err(Error::unsupported("NOT ENFORCED", "Leave the constraint out."));
        }
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let (rule, text) = self.check_rule(&table, &constraint.expr)?;
        let mut read = std::collections::BTreeSet::new();
        columns_of(&rule, &mut read);
        let columns = match read.iter().collect::<Vec<_>>().as_slice() {
            [only] => table.column(**only).map_or("", |column| column.name.as_str()).to_string(),
            _ => String::new(),
        };
        let given = constraint.name.as_ref().map(name_of);
        let name = self.constraint_name(&catalog, oid, &table, given, &columns, "check")?;
        let check = Check { oid: self.oids_for(&catalog, oid).next(), name, rule, text };
        table.checks.push(check.clone());
        self.define(oid, Object::Table(table))?;
        if new { Ok(()) } else { self.check_rows(oid, &check) }
    }

    /// Every row must pass a new CHECK.
    fn check_rows(&self, oid: Oid, check: &Check) -> Result<(), Error> {
        let bounds = self.bounds.clone();
        self.look(|sight| {
            let table = sight.table(oid)?;
            sight.each_row(oid, |_, values| {
                bounds.check()?;
                if check.rule.evaluate(&RowOf(values))? == ledger::Value::Bool(false) {
                    let mut report = crate::Report::error(
                        "23514",
                        format!(
                            "check constraint \"{}\" of relation \"{}\" is violated by some row",
                            check.name, table.name
                        ),
                    );
                    report.table = Some(table.name.clone());
                    report.constraint = Some(check.name.clone());
                    return Err(report.into());
                }
                Ok(())
            })
        })
    }

    async fn add_foreign_key(
        &mut self,
        oid: Oid,
        constraint: &ast::ForeignKeyConstraint,
        new: bool,
    ) -> Result<(), Error> {
        characteristics(constraint.characteristics.as_ref())?;
        if !matches!(constraint.match_kind, None | Some(ast::ConstraintReferenceMatchKind::Simple))
        {
            return Err(Error::unsupported(
                "MATCH FULL",
                "Use MATCH SIMPLE, which is the default.",
            ));
        }
        let catalog = self.catalog()?;
        let parent = self.find_table(&catalog, &parts_of(&constraint.foreign_table)?)?;
        self.need_privilege(&catalog, parent, Privilege::References)?;
        if parent.is_temporary() != oid.is_temporary() {
            let kind = if oid.is_temporary() { "temporary" } else { "permanent" };
            return Err(Error::new(
                "42P16",
                format!("constraints on {kind} tables may reference only {kind} tables"),
            ));
        }
        if parent != oid {
            self.lock_table_alone(parent).await?;
        }
        let catalog = self.catalog()?;
        let mut table = table_of(&catalog, oid)?.clone();
        let parent_table = table_of(&catalog, parent)?;
        let columns = numbers_of(&table, &constraint.columns)?;
        let (parent_index, parent_columns) =
            parent_key(&catalog, parent, parent_table, &constraint.referred_columns)?;
        check_types(&table, parent_table, constraint, &columns, &parent_columns)?;
        let joined = column_names(&table, &columns).join("_");
        let given = constraint.name.as_ref().map(name_of);
        let name = self.constraint_name(&catalog, oid, &table, given, &joined, "fkey")?;
        let mut oids = self.oids_for(&catalog, oid);
        let (own, index) = (oids.next(), oids.next());
        let hidden = free_name(&catalog, table.schema, &table.name, &joined, "fkey_children");
        let definition = Index {
            schema: table.schema,
            name: hidden,
            table: oid,
            columns: columns.clone(),
            unique: false,
            origin: IndexOrigin::ForeignKey,
            comment: None,
        };
        self.define(index, Object::Index(definition))?;
        let foreign = ForeignKey {
            oid: own,
            name,
            columns,
            parent,
            parent_columns,
            parent_index,
            index,
            on_delete: action(constraint.on_delete),
            on_update: action(constraint.on_update),
        };
        table.foreign_keys.push(foreign.clone());
        self.define(oid, Object::Table(table))?;
        if new { Ok(()) } else { self.check_children(oid, &foreign) }
    }

    /// Every row must have its parent.
    fn check_children(&self, oid: Oid, foreign: &ForeignKey) -> Result<(), Error> {
        let bounds = self.bounds.clone();
        let zone = self.zone();
        self.look(|sight| {
            let table = sight.table(oid)?;
            let parent = sight.table(foreign.parent)?;
            let Some(index) = sight.catalog().index(foreign.parent_index) else {
                return Err(Error::internal("a foreign key without its parent's index"));
            };
            sight.each_row(oid, |_, values| {
                bounds.check()?;
                let wanted = crate::dml::foreign_values(foreign, index, values);
                if key::has_null(&wanted) {
                    return Ok(());
                }
                if !sight.find(foreign.parent_index, &key::encode_key(&wanted), 1)?.is_empty() {
                    return Ok(());
                }
                let texts: Vec<String> = foreign
                    .columns
                    .iter()
                    .filter_map(|number| {
                        let value = values.get(usize::from(number.0).wrapping_sub(1))?;
                        Some(value.to_text(&table.column(*number)?.kind, &zone))
                    })
                    .collect();
                Err(ledger::Refusal::NoParent {
                    schema: sight
                        .catalog()
                        .schema(table.schema)
                        .map_or_else(String::new, |schema| schema.name.clone()),
                    table: table.name.clone(),
                    constraint: foreign.name.clone(),
                    detail: format!(
                        "Key ({})=({}) is not present in table \"{}\".",
                        column_names(table, &foreign.columns).join(", "),
                        texts.join(", "),
                        parent.name
                    ),
                }
                .into())
            })
        })
    }
}

/// A row as a rule sees it.
pub(crate) struct RowOf<'a>(pub(crate) &'a [ledger::Value]);

impl ledger::rule::Environment for RowOf<'_> {
    fn column(&self, number: ColumnNumber) -> Result<ledger::Value, ledger::Refusal> {
        self.0
            .get(usize::from(number.0).wrapping_sub(1))
            .cloned()
            .ok_or_else(|| ledger::Refusal::malformed(format!("no column {} here", number.0)))
    }

    fn volatile(&self, what: ledger::rule::Volatile) -> Result<ledger::Value, ledger::Refusal> {
        Err(ledger::Refusal::malformed(format!("{what:?} in a constraint")))
    }
}

/// The columns that a rule reads.
pub(super) fn columns_of(
    rule: &ledger::Rule,
    found: &mut std::collections::BTreeSet<ColumnNumber>,
) {
    use ledger::Rule;
    match rule {
        Rule::Column(number) => {
            found.insert(*number);
        }
        Rule::Literal(..) | Rule::Volatile(_) => {}
        Rule::Not(a) | Rule::Negate(a) | Rule::IsNull(a) | Rule::Cast(a, _) => columns_of(a, found),
        Rule::Compare(_, a, b)
        | Rule::Distinct(a, b)
        | Rule::Arithmetic(_, a, b)
        | Rule::Like(a, b, _)
        | Rule::Matches(a, b, _) => {
            columns_of(a, found);
            columns_of(b, found);
        }
        Rule::And(all) | Rule::Or(all) | Rule::Call(_, all) => {
            all.iter().for_each(|rule| columns_of(rule, found));
        }
        Rule::In(a, all) => {
            columns_of(a, found);
            all.iter().for_each(|rule| columns_of(rule, found));
        }
        Rule::Case(arms, last) => {
            for (when, then) in arms {
                columns_of(when, found);
                columns_of(then, found);
            }
            if let Some(last) = last {
                columns_of(last, found);
            }
        }
    }
}

/// The names of a table's constraints, its keys' too.
pub(super) fn constraint_names(
    catalog: &Catalog,
    oid: Oid,
    table: &Table,
) -> std::collections::BTreeSet<String> {
    let keys = catalog
        .indexes_of(oid)
        .filter(|(_, index)| {
            matches!(index.origin, IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_))
        })
        .map(|(_, index)| index.name.clone());
    keys.chain(table.checks.iter().map(|check| check.name.clone()))
        .chain(table.foreign_keys.iter().map(|foreign| foreign.name.clone()))
        .collect()
}

pub(super) fn column_names(table: &Table, numbers: &[ColumnNumber]) -> Vec<String> {
    numbers
        .iter()
        .filter_map(|number| table.column(*number).map(|column| column.name.clone()))
        .collect()
}

fn numbers_of(table: &Table, names: &[ast::Ident]) -> Result<Vec<ColumnNumber>, Error> {
    names
        .iter()
        .map(|name| {
            let name = name_of(name);
            let column = table.find_column(&name).ok_or_else(|| Error::UndefinedColumn {
                message: format!(
                    "column \"{name}\" referenced in foreign key constraint does not exist"
                ),
                position: None,
            })?;
            Ok(column.number)
        })
        .collect()
}

/// The columns of an index or a key.
pub(super) fn index_columns(
    table: &Table,
    columns: &[ast::IndexColumn],
) -> Result<Vec<ColumnNumber>, Error> {
    if columns.len() > INDEX_COLUMNS {
        return Err(Error::new(
            "54011",
            format!("cannot use more than {INDEX_COLUMNS} columns in an index"),
        ));
    }
    let mut numbers = Vec::with_capacity(columns.len());
    for column in columns {
        let ast::Expr::Identifier(name) = &column.column.expr else {
            return Err(Error::unsupported(
                "an index on an expression",
                "Keep the value in a column of its own and index that.",
            ));
        };
        if column.operator_class.is_some() {
            return Err(Error::unsupported("an operator class", "Leave it out."));
        }
        let name = name_of(name);
        let column = table.find_column(&name).ok_or_else(|| Error::UndefinedColumn {
            message: format!("column \"{name}\" named in key does not exist"),
            position: None,
        })?;
        if numbers.contains(&column.number) {
            return Err(Error::new(
                "42701",
                format!("column \"{name}\" appears twice in a key constraint"),
            ));
        }
        numbers.push(column.number);
    }
    Ok(numbers)
}

fn characteristics(found: Option<&ast::ConstraintCharacteristics>) -> Result<(), Error> {
    match found {
        Some(found)
            if found.deferrable == Some(true)
                || matches!(found.initially, Some(ast::DeferrableInitial::Deferred))
                || found.enforced == Some(false) =>
        {
            Err(Error::unsupported(
                "a deferrable constraint",
                "Constraints are checked at the end of each statement.",
            ))
        }
        _ => Ok(()),
    }
}

fn action(action: Option<ast::ReferentialAction>) -> Action {
    match action {
        None | Some(ast::ReferentialAction::NoAction) => Action::NoAction,
        Some(ast::ReferentialAction::Restrict) => Action::Restrict,
        Some(ast::ReferentialAction::Cascade) => Action::Cascade,
        Some(ast::ReferentialAction::SetNull) => Action::SetNull,
        Some(ast::ReferentialAction::SetDefault) => Action::SetDefault,
    }
}

/// The unique index of the parent that has exactly these columns, and they themselves.
fn parent_key(
    catalog: &Catalog,
    oid: Oid,
    parent: &Table,
    names: &[ast::Ident],
) -> Result<(Oid, Vec<ColumnNumber>), Error> {
    if names.is_empty() {
        let (index, definition) = catalog.primary_key_of(oid).ok_or_else(|| {
            Error::new(
                "42704",
                format!("there is no primary key for referenced table \"{}\"", parent.name),
            )
        })?;
        return Ok((index, definition.columns.clone()));
    }
    let columns = numbers_of(parent, names)?;
    let same = |index: &Index| {
        index.columns.len() == columns.len()
            && columns.iter().all(|column| index.columns.contains(column))
    };
    catalog
        .indexes_of(oid)
        .find(|(_, index)| index.unique && same(index))
        .map(|(index, _)| (index, columns.clone()))
        .ok_or_else(|| {
            Error::new(
                "42830",
                format!(
                    "there is no unique constraint matching given keys for referenced table \"{}\"",
                    parent.name
                ),
            )
        })
}

fn check_types(
    table: &Table,
    parent: &Table,
    constraint: &ast::ForeignKeyConstraint,
    columns: &[ColumnNumber],
    parent_columns: &[ColumnNumber],
) -> Result<(), Error> {
    if columns.len() != parent_columns.len() {
        return Err(Error::new(
            "42830",
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    for (own, other) in columns.iter().zip(parent_columns) {
        let (Some(own), Some(other)) = (table.column(*own), parent.column(*other)) else {
            return Err(Error::internal("a column of a foreign key that isn't there"));
        };
        // Keys are compared by their bytes, so that both sides must be of one family.
        if family(&own.kind) != family(&other.kind) {
            let name = constraint
                .name
                .as_ref()
                .map_or_else(|| cut_name(&table.name, &own.name, "fkey"), name_of);
            return Err(Error::new(
                "42804",
                format!("foreign key constraint \"{name}\" cannot be implemented"),
            )
            .with_detail(format!(
                "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                own.name,
                other.name,
                own.kind.base_name(),
                other.kind.base_name()
            )));
        }
    }
    Ok(())
}

/// Types whose keys are the same bytes for equal values.
fn family(kind: &ledger::Type) -> u8 {
    use ledger::Type;
    match kind {
        Type::Bool => 1,
        Type::Int2 | Type::Int4 | Type::Int8 => 2,
        Type::Numeric { .. } | Type::Decimal => 3,
        Type::Float4 => 4,
        Type::Float8 => 5,
        Type::Text | Type::Varchar(_) => 6,
        Type::Char(_) => 7,
        Type::Bytea => 8,
        Type::Date => 9,
        Type::Time => 10,
        Type::Timestamp => 11,
        Type::Timestamptz => 12,
        Type::Uuid => 13,
        Type::Json => 14,
        Type::Jsonb => 15,
        Type::Array(_) => 16,
    }
}
