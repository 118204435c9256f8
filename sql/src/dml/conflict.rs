//! INSERT … ON CONFLICT: the key of each new row is locked before it is looked for, so that two
//! statements never both insert it.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast;
use ledger::{Catalog, Column, ColumnNumber, Oid, Table, Value, VersionId, View, key};
use storage::{LockMode, LockTarget};

use super::select::{AtHand, named, select_from, values_at};
use super::update::{Set, sets_of};
use super::{Change, Settled, table_of};
use crate::Error;
use crate::outcome::Parameter;
use crate::session::Session;
use crate::statement::{Statement, name_of, parts_of};
use crate::types::PgType;

impl Session {
    /// Inserts rows, or does what ON CONFLICT says of those whose key is there. Gives the rows that it
    /// wrote.
    pub(super) async fn upsert(
        &mut self,
        statement: &Statement,
        oid: Oid,
        alias: Option<&str>,
        conflict: &ast::OnConflict,
        rows: Vec<Change>,
        parameters: &[Parameter],
    ) -> Result<Vec<Change>, Error> {
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let alias = alias.unwrap_or(&table.name);
        let arbiters = arbiters_of(&catalog, oid, table, conflict)?;
        for row in &rows {
            self.check_alone(oid, row)?;
        }
        for row in &rows {
            for (index, columns) in &arbiters {
                if let Some(key) = key_of(row.row(), columns) {
                    self.acquire(LockTarget::Key(*index, key), LockMode::Update).await?;
                }
            }
        }
        loop {
            let changes = self
                .resolve(statement, oid, table, alias, conflict, &arbiters, &rows, parameters)
                .await?;
            if self.settle(oid, &changes).await? == Settled::Done {
                return Ok(changes);
            }
            self.bounds.check()?;
        }
    }

    /// What becomes of each row, on the newest state.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    async fn resolve(
        &mut self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        alias: &str,
        conflict: &ast::OnConflict,
        arbiters: &[(Oid, Vec<ColumnNumber>)],
        rows: &[Change],
        parameters: &[Parameter],
    ) -> Result<Vec<Change>, Error> {
        let fixed = self.isolation() != crate::transaction::Isolation::ReadCommitted;
        let seen = self.snapshot()?;
        if self.transaction_mut().repeats.is_none() {
            self.see(self.engine.state.snapshot())?;
        }
        let mut changes = Vec::new();
        let mut new: BTreeMap<(Oid, Vec<u8>), ()> = BTreeMap::new();
        let mut against: Vec<(VersionId, &Change)> = Vec::new();
        for row in rows {
            let mut found = None;
            let mut twice = false;
            for (index, columns) in arbiters {
                let Some(key) = key_of(row.row(), columns) else { continue };
                twice |= new.insert((*index, key.clone()), ()).is_some();
                let there = self.look(|sight| Ok(sight.find(*index, &key, 1)?))?;
                found = found.or_else(|| there.first().copied());
            }
            let does_nothing = matches!(conflict.action, ast::OnConflictAction::DoNothing);
            if twice && !does_nothing {
                return Err(Error::new(
                    "21000",
                    "ON CONFLICT DO UPDATE command cannot affect row a second time",
                )
                .with_hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
            }
            match found {
                Some(version) if fixed && hidden_from(&seen, oid, version)? => {
                    return self.superseded().map(|_| Vec::new());
                }
                Some(version) if !does_nothing => against.push((version, row)),
                Some(_) => {}
                None if twice => {}
                None => changes.push(row.clone()),
            }
        }
        if let ast::OnConflictAction::DoUpdate(update) = &conflict.action
            && !against.is_empty()
        {
            let updates =
                self.updates(statement, oid, table, alias, update, &against, parameters).await?;
            changes.extend(updates);
        }
        Ok(changes)
    }

    /// DO UPDATE: SET and WHERE over each row that is there and the one that was proposed.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    async fn updates(
        &mut self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        alias: &str,
        update: &ast::DoUpdate,
        against: &[(VersionId, &Change)],
        parameters: &[Parameter],
    ) -> Result<Vec<Change>, Error> {
        let sets = sets_of(table, &update.assignments)?;
        let targets: Vec<&Column> = sets
            .iter()
            .filter(|(_, set)| matches!(set, Set::Expression(_)))
            .map(|(number, _)| super::insert::column_of(table, *number))
            .collect::<Result<_, _>>()?;
        let query = conflict_query(alias, update, &sets);
        let mut kinds: Vec<PgType> =
            targets.iter().map(|column| PgType::of(&column.kind)).collect();
        kinds.push(PgType::Bool);
        let mut changes = Vec::with_capacity(against.len());
        let zone = self.zone();
        for (version, proposed) in against {
            self.bounds.check()?;
            let Some(before) = self.look(|sight| sight.values(oid, *version))? else { continue };
            let values = match quick(
                table,
                alias,
                &sets,
                update,
                &before,
                proposed.row(),
                parameters,
                zone,
            )? {
                Some(values) => values,
                None => {
                    let (old, new): ([&[Value]; 1], [&[Value]; 1]) =
                        ([before.as_slice()], [proposed.row()]);
                    let at_hand = AtHand::new([
                        (alias, oid, table, old.as_slice()),
                        ("excluded", oid, table, new.as_slice()),
                    ])?;
                    let context =
                        self.query_context_with(statement, &[std::sync::Arc::new(at_hand)])?;
                    let (planned, batches) =
                        self.collect(&context, &query, Some(&kinds), parameters).await?;
                    self.admit_reads(&planned)?;
                    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
                        continue;
                    };
                    values_at(batch, 0, &planned.types, &targets, 0, zone)?
                }
            };
            let after = self.updated(table, &sets, &before, values)?;
            changes.push(Change::Update { old: *version, before, after });
        }
        Ok(changes)
    }

    /// Adds the types of the parameters that ON CONFLICT brings.
    pub(crate) fn know_conflict(
        &self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        insert: &ast::Insert,
        oids: &[u32],
        found: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let Some(ast::OnInsert::OnConflict(conflict)) = &insert.on else { return Ok(()) };
        let ast::OnConflictAction::DoUpdate(update) = &conflict.action else { return Ok(()) };
        let alias = insert.table_alias.as_ref().map(|alias| name_of(&alias.alias));
        let alias = alias.as_deref().unwrap_or(&table.name);
        let sets = sets_of(table, &update.assignments)?;
        let query = conflict_query(alias, update, &sets);
        let mut kinds = Vec::new();
        for (number, set) in &sets {
            if matches!(set, Set::Expression(_)) {
                kinds.push(PgType::of(&super::insert::column_of(table, *number)?.kind));
            }
        }
        let none: [&[Value]; 0] = [];
        let at_hand = AtHand::new([
            (alias, oid, table, none.as_slice()),
            ("excluded", oid, table, none.as_slice()),
        ])?;
        let context = self.query_context_with(statement, &[std::sync::Arc::new(at_hand)])?;
        let options = crate::read::PlanOptions { parameter_oids: oids, targets: Some(&kinds) };
        let planned = crate::read::plan_query(&context, &query, options)?;
        for (place, kind) in planned.parameters.iter().enumerate() {
            match found.get_mut(place) {
                Some(slot) if *slot == 0 || *slot == 25 => *slot = kind.oid(),
                Some(_) => {}
                None => found.push(kind.oid()),
            }
        }
        Ok(())
    }
}

/// `SELECT expressions FROM alias, excluded WHERE selection`
fn conflict_query(
    alias: &str,
    update: &ast::DoUpdate,
    sets: &[(ColumnNumber, Set<'_>)],
) -> ast::Query {
    let mut items: Vec<ast::SelectItem> = sets
        .iter()
        .filter_map(|(_, set)| match set {
            Set::Expression(expression) => {
                Some(ast::SelectItem::UnnamedExpr(expression.as_ref().clone().into_owned()))
            }
            Set::Default => None,
        })
        .collect();
    items.push(ast::SelectItem::UnnamedExpr(ast::Expr::Value(ast::Value::Boolean(true).into())));
    select_from(items, vec![named(alias), named("excluded")], update.selection.clone())
}

/// SET to columns of `excluded` and constants needs no planner.
#[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
fn quick(
    table: &Table,
    alias: &str,
    sets: &[(ColumnNumber, Set<'_>)],
    update: &ast::DoUpdate,
    before: &[Value],
    proposed: &[Value],
    parameters: &[Parameter],
    zone: crate::settings::Zone,
) -> Result<Option<Vec<Value>>, Error> {
    if update.selection.is_some() {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(sets.len());
    for (number, set) in sets {
        let Set::Expression(expression) = set else { continue };
        let column = super::insert::column_of(table, *number)?;
        let at = |row: &[Value], found: &Column| {
            row.get(usize::from(found.number.0).wrapping_sub(1)).cloned().unwrap_or(Value::Null)
        };
        let expression: &ast::Expr = expression;
        let value = if let ast::Expr::CompoundIdentifier(_) = expression {
            if let Some(found) = super::returning::plain_column(table, "excluded", expression) {
                at(proposed, found)
            } else if let Some(found) = super::returning::plain_column(table, alias, expression) {
                at(before, found)
            } else {
                return Ok(None);
            }
        } else {
            match super::constant::constant(expression, parameters, zone)? {
                Some(constant) => {
                    values.push(super::constant::assign(constant, column, zone)?);
                    continue;
                }
                None => return Ok(None),
            }
        };
        values.push(super::constant::assign_value(value, column, zone)?);
    }
    Ok(Some(values))
}

/// Whether a row is newer than the transaction's snapshot.
fn hidden_from(seen: &storage::Snapshot, table: Oid, version: VersionId) -> Result<bool, Error> {
    if version.height == crate::overlay::OWN {
        return Ok(false);
    }
    Ok(seen.alive(table, version)?.is_none())
}

fn key_of(row: &[Value], columns: &[ColumnNumber]) -> Option<Vec<u8>> {
    let values: Vec<Value> = columns
        .iter()
        .map(|column| {
            row.get(usize::from(column.0).wrapping_sub(1)).cloned().unwrap_or(Value::Null)
        })
        .collect();
    (!key::has_null(&values)).then(|| key::encode_key(&values))
}

/// The unique indexes that decide about a conflict.
fn arbiters_of(
    catalog: &Catalog,
    oid: Oid,
    table: &Table,
    conflict: &ast::OnConflict,
) -> Result<Vec<(Oid, Vec<ColumnNumber>)>, Error> {
    let unique = || catalog.indexes_of(oid).filter(|(_, index)| index.unique);
    match &conflict.conflict_target {
        None => match conflict.action {
            ast::OnConflictAction::DoNothing => {
                Ok(unique().map(|(index, own)| (index, own.columns.clone())).collect())
            }
            ast::OnConflictAction::DoUpdate(_) => Err(Error::new(
                "42601",
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .with_hint("For example, ON CONFLICT (column_name).")),
        },
        Some(ast::ConflictTarget::Columns(names)) => {
            let mut columns = Vec::with_capacity(names.len());
            for name in names {
                let name = name_of(name);
                let column = table.find_column(&name).ok_or_else(|| Error::UndefinedColumn {
                    message: format!("column \"{name}\" does not exist"),
                    position: None,
                })?;
                columns.push(column.number);
            }
            unique()
                .find(|(_, index)| {
                    index.columns.len() == columns.len()
                        && columns.iter().all(|column| index.columns.contains(column))
                })
                .map(|(index, own)| vec![(index, own.columns.clone())])
                .ok_or_else(|| {
                    Error::new(
                        "42P10",
                        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                    )
                })
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            let name = parts_of(name)?.pop().unwrap_or_default();
            unique()
                .find(|(_, index)| index.name == name)
                .map(|(index, own)| vec![(index, own.columns.clone())])
                .ok_or_else(|| {
                    Error::new(
                        "42704",
                        format!(
                            "constraint \"{name}\" for table \"{}\" does not exist",
                            table.name
                        ),
                    )
                })
        }
    }
}
