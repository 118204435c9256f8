//! A table at another point of the chain: as it was, all that it ever was, and what differs between two points.
//! Names mean what they meant at that point: a table that was dropped or renamed is found by its old name.

use std::collections::BTreeMap;

use ledger::catalog::Privilege;
use ledger::{Catalog, ColumnNumber, Height, Object, Oid, Table};
use storage::{ScanColumn, Snapshot, Versions};

use super::{defined_since, snapshot_at, state, state_at};
use crate::Error;
use crate::catalog::text::name_parts;
use crate::functions::{Datum, datum_at};
use crate::lazy::{self, Batches};
use crate::read::{QueryContext, VirtualTable};
use crate::table::{LedgerTable, SYSTEM_COLUMNS, fault};
use crate::types::PgType;

/// A table that was found, at the height where it was.
struct Found {
    oid: Oid,
    table: Table,
    snapshot: Snapshot,
}

impl Found {
    /// The number that the query's privileges are checked by; 0 when it was checked here, because the table is
    /// there no more.
    fn checked(&self, context: &QueryContext) -> Result<u32, Error> {
        if context.catalog.table(self.oid).is_some() {
            return Ok(self.oid.0);
        }
        let catalog = self.snapshot.catalog();
        let role = context.catalog.find_role(&context.user);
        if role.is_some_and(|role| {
            context.catalog.role(role).is_some_and(|role| role.superuser)
                || crate::privileges::may(catalog, role, self.oid, Privilege::Select)
        }) {
            return Ok(0);
        }
        Err(Error::Denied { kind: "table", name: self.table.name.clone() })
    }

    fn own_columns(&self) -> impl Iterator<Item = (String, PgType, ScanColumn)> {
        self.table.columns.iter().filter(|column| !column.dropped).map(|column| {
            (column.name.clone(), PgType::of(&column.kind), ScanColumn::User(column.number))
        })
    }
}

/// The table that a name means in a catalog; `None` when nothing has the name.
fn table_in(
    context: &QueryContext,
    catalog: &Catalog,
    name: &str,
) -> Result<Option<(Oid, Table)>, Error> {
    let parts = name_parts(name).ok_or_else(|| Error::new("42602", "invalid name syntax"))?;
    let in_schema = |schema: &str, name: &str| {
        catalog.find_schema(schema).and_then(|schema| catalog.find_relation(schema, name))
    };
    let found = match parts.as_slice() {
        [name] => context.search_path.iter().find_map(|schema| in_schema(schema, name)),
        [schema, name] => in_schema(schema, name),
        [database, schema, name] if *database == context.database => in_schema(schema, name),
        _ => None,
    };
    match found.and_then(|oid| Some((oid, catalog.get(oid)?))) {
        None => Ok(None),
        Some((oid, Object::Table(table))) => Ok(Some((oid, table.clone()))),
        Some(_) => Err(Error::new("42809", format!("\"{name}\" is not a table"))),
    }
}

fn missing(name: &str) -> Error {
    let name = name_parts(name).map_or_else(|| name.to_owned(), |parts| parts.join("."));
    Error::UndefinedTable { name, position: None }
}

/// The table that a name means in a state, which the user may read: its number, its definition then, its name.
pub(super) fn table_at(
    context: &QueryContext,
    snapshot: &Snapshot,
    name: &str,
) -> Result<(Oid, Table, String), Error> {
    let (oid, table) = table_in(context, snapshot.catalog(), name)?.ok_or_else(|| missing(name))?;
    let found = Found { oid, table, snapshot: snapshot.clone() };
    let checked = Oid(found.checked(context)?);
    let role = context.catalog.find_role(&context.user);
    let superuser = role.and_then(|role| context.catalog.role(role)).is_some_and(|r| r.superuser);
    // Here nobody looks at what a plan reads.
    let denied = checked.0 != 0
        && !superuser
        && !role.is_some_and(|role| {
            crate::privileges::may(&context.catalog, role, checked, Privilege::Select)
        });
    if denied {
        return Err(Error::Denied { kind: "table", name: found.table.name });
    }
    let name = found.table.name.clone();
    Ok((oid, found.table, name))
}

/// `ledger.as_of(table, point)`
pub(super) fn as_of(
    context: &QueryContext,
    name: &str,
    point: &Datum,
) -> Result<VirtualTable, Error> {
    let snapshot = snapshot_at(context, point)?;
    let (oid, table) = table_in(context, snapshot.catalog(), name)?.ok_or_else(|| missing(name))?;
    let found = Found { oid, table, snapshot };
    let checked = found.checked(context)?;
    let mut columns: Vec<(String, PgType)> =
        found.own_columns().map(|(name, kind, _)| (name, kind)).collect();
    columns.extend(SYSTEM_COLUMNS.iter().map(|(name, _, kind)| ((*name).to_owned(), kind.clone())));
    let provider = LedgerTable::new(oid, &found.table, found.snapshot, None).fixed();
    Ok(VirtualTable {
        oid: checked,
        columns,
        hidden: SYSTEM_COLUMNS.len(),
        provider: std::sync::Arc::new(provider),
    })
}

/// The newest state in which a name meant a table: now, or before it was dropped or renamed.
fn newest(context: &QueryContext, name: &str) -> Result<Found, Error> {
    let now = &context.snapshot;
    if let Some((oid, table)) = table_in(context, now.catalog(), name)? {
        return Ok(Found { oid, table, snapshot: now.clone() });
    }
    let state = state(context)?;
    let mut end = now.height().0;
    loop {
        let before = defined_since(state, end)?.checked_sub(1).ok_or_else(|| missing(name))?;
        let snapshot = state_at(state, before)?;
        if let Some((oid, table)) = table_in(context, snapshot.catalog(), name)? {
            // A table that lives on under another name is read to its newest row.
            let snapshot = if now.catalog().table(oid).is_some() { now.clone() } else { snapshot };
            let table = snapshot.catalog().table(oid).cloned().unwrap_or(table);
            return Ok(Found { oid, table, snapshot });
        }
        end = before;
    }
}

/// `ledger.history(table)`: every version, oldest first, deletes too.
pub(super) fn history(context: &QueryContext, name: &str) -> Result<VirtualTable, Error> {
    let found = newest(context, name)?;
    let checked = found.checked(context)?;
    let mut all: Vec<(String, PgType, ScanColumn)> = found.own_columns().collect();
    let extra = [
        ("ledger_op", PgType::Text, ScanColumn::Op),
        ("ledger_block", PgType::Int8, ScanColumn::Block),
        ("ledger_tx", PgType::Uuid, ScanColumn::Transaction),
        ("ledger_time", PgType::Timestamptz, ScanColumn::Time),
        ("ledger_user", PgType::Text, ScanColumn::User_),
        ("ledger_valid_from", PgType::Int8, ScanColumn::ValidFrom),
        ("ledger_valid_to", PgType::Int8, ScanColumn::ValidTo),
    ];
    all.extend(extra.into_iter().map(|(name, kind, column)| (name.to_owned(), kind, column)));
    let columns = all.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
    let Found { oid, snapshot, .. } = found;
    Ok(lazy::table(checked, columns, move |context, places| {
        // A table that is still there is read to its newest row.
        let snapshot =
            if context.catalog.table(oid).is_some() { &context.snapshot } else { &snapshot };
        let asked: Vec<ScanColumn> =
            places.iter().filter_map(|place| all.get(*place)).map(|column| column.2).collect();
        let scan = snapshot.scan(oid, &asked, Versions::All).map_err(fault)?;
        Ok(Box::new(scan.map(|batch| batch.map_err(fault))) as Batches)
    }))
}

/// A row on one side of a comparison.
type Side = BTreeMap<Vec<u8>, Vec<Datum>>;

/// `ledger.diff(table, from, to)`: rows that came, went or changed between two points. Rows are the same when
/// their primary keys are; without one, a changed row went and came.
pub(super) fn diff(
    context: &QueryContext,
    name: &str,
    from: &Datum,
    to: &Datum,
) -> Result<VirtualTable, Error> {
    let since = snapshot_at(context, from)?.height();
    let snapshot = snapshot_at(context, to)?;
    if since > snapshot.height() {
        return Err(Error::new("22023", "the first point is after the second"));
    }
    let (oid, table) = table_in(context, snapshot.catalog(), name)?.ok_or_else(|| missing(name))?;
    let found = Found { oid, table, snapshot };
    let checked = found.checked(context)?;
    let own: Vec<(String, PgType, ScanColumn)> = found.own_columns().collect();
    let mut columns = vec![("ledger_op".to_owned(), PgType::Text)];
    for prefix in ["old", "new"] {
        columns
            .extend(own.iter().map(|(name, kind, _)| (format!("{prefix}_{name}"), kind.clone())));
    }
    let key: Option<Vec<ColumnNumber>> =
        found.snapshot.catalog().primary_key_of(oid).map(|(_, index)| index.columns.clone());
    let kinds: Vec<PgType> = columns.iter().map(|column| column.1.clone()).collect();
    let snapshot = found.snapshot;
    Ok(lazy::table(checked, columns, move |_, places| {
        let rows = changes(&snapshot, oid, &own, key.as_deref(), since)?;
        let chosen: Vec<PgType> =
            places.iter().filter_map(|place| kinds.get(*place)).cloned().collect();
        let places = places.to_vec();
        let rows: Vec<Vec<Datum>> = rows
            .into_iter()
            .map(|row| {
                places.iter().map(|place| row.get(*place).cloned().unwrap_or(Datum::Null)).collect()
            })
            .collect();
        let batches: Vec<_> =
            rows.chunks(8192).map(|rows| lazy::batch(&chosen, rows.to_vec())).collect();
        Ok(Box::new(batches.into_iter()) as Batches)
    }))
}

fn changes(
    snapshot: &Snapshot,
    oid: Oid,
    own: &[(String, PgType, ScanColumn)],
    key: Option<&[ColumnNumber]>,
    since: Height,
) -> Result<Vec<Vec<Datum>>, Error> {
    let mut asked: Vec<ScanColumn> = own.iter().map(|column| column.2).collect();
    asked.extend([ScanColumn::ValidFrom, ScanColumn::ValidTo, ScanColumn::Version]);
    let width = own.len();
    let (mut went, mut came) = (Side::new(), Side::new());
    let scan = snapshot.scan(oid, &asked, Versions::Changed { since }).map_err(fault)?;
    for batch in scan {
        let batch = batch.map_err(fault)?;
        for row in 0..batch.num_rows() {
            let cell = |place: usize| match batch.columns().get(place) {
                Some(array) => datum_at(array.as_ref(), row),
                None => Ok(Datum::Null),
            };
            let values = (0..width).map(cell).collect::<Result<Vec<_>, Error>>()?;
            let from = cell(width)?.int();
            let began = i64::try_from(since.0).unwrap_or(i64::MAX) < from;
            let ended = !cell(width + 1)?.is_null();
            let identity = match key {
                Some(key) => key_of(own, &values, key),
                None => match cell(width + 2)? {
                    Datum::Uuid(bytes) => bytes.to_vec(),
                    Datum::Bytes(bytes) => bytes,
                    other => {
                        return Err(Error::internal(format!(
                            "a version of another shape: {other:?}"
                        )));
                    }
                },
            };
            match (began, ended) {
                (false, _) => drop(went.insert(identity, values)),
                (true, false) => drop(came.insert(identity, values)),
                (true, true) => {}
            }
        }
    }
    let nothing = || vec![Datum::Null; width];
    let line = |op: &str, old: Vec<Datum>, new: Vec<Datum>| {
        let mut row = vec![Datum::Text(op.to_owned())];
        row.extend(old);
        row.extend(new);
        row
    };
    let mut rows = Vec::new();
    for (identity, old) in went {
        match came.remove(&identity) {
            None => rows.push((identity, line("DELETE", old, nothing()))),
            Some(new) if new == old => {}
            Some(new) => rows.push((identity, line("UPDATE", old, new))),
        }
    }
    rows.extend(came.into_iter().map(|(identity, new)| (identity, line("INSERT", nothing(), new))));
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The bytes that order and tell apart rows by their primary key.
fn key_of(own: &[(String, PgType, ScanColumn)], values: &[Datum], key: &[ColumnNumber]) -> Vec<u8> {
    let part = |number: &ColumnNumber| {
        let place = own.iter().position(|column| column.2 == ScanColumn::User(*number))?;
        let (_, kind, _) = own.get(place)?;
        values.get(place)?.clone().value(kind)
    };
    let parts: Vec<ledger::Value> =
        key.iter().map(|number| part(number).unwrap_or(ledger::Value::Null)).collect();
    ledger::key::encode_key(&parts)
}
