//! Constraints of rows: NOT NULL, CHECK, unique keys, foreign keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plan::{FromChild, Plan, Plans, ToParent, plan};
use super::{Touched, details, many};
use crate::codec::DecodeError;
use crate::row::RowReader;
use crate::rule::{Environment, Volatile};
use crate::staged::Checked;
use crate::table::Table;
use crate::{Catalog, ColumnNumber, Oid, Refusal, Row, Value, View, key};

/// A row that a CHECK is evaluated on.
struct InRow<'a>(RowReader<'a>);

impl Environment for InRow<'_> {
    fn column(&self, number: ColumnNumber) -> Result<Value, Refusal> {
        Ok(self.0.value(number)?)
    }

    fn volatile(&self, what: Volatile) -> Result<Value, Refusal> {
        Err(Refusal::malformed(format!("{what:?} in a CHECK")))
    }
}

/// Checks NOT NULL and CHECK of a row, which need no other rows.
///
/// # Errors
/// The first that is violated.
pub fn check_row(catalog: &Catalog, table: &Table, row: &Row) -> Result<(), Refusal> {
    let reader = RowReader::new(table, &row.bytes)?;
    for column in table.live_columns().filter(|column| column.not_null) {
        if reader.is_null(column.number)? {
            return Err(Refusal::NotNull {
                schema: schema_name(catalog, table),
                table: table.name.clone(),
                column: column.name.clone(),
                detail: details::failing_row(table, row),
            });
        }
    }
    if table.checks.is_empty() {
        return Ok(());
    }
    let environment = InRow(reader);
    let mut failed: Option<&str> = None;
    for check in &table.checks {
        // PostgreSQL names the first in order of names.
        let later = failed.is_some_and(|name| name <= check.name.as_str());
        if !later && !check.rule.allows(&environment)? {
            failed = Some(&check.name);
        }
    }
    match failed {
        None => Ok(()),
        Some(name) => Err(Refusal::Check {
            schema: schema_name(catalog, table),
            table: table.name.clone(),
            constraint: name.to_owned(),
            detail: details::failing_row(table, row),
        }),
    }
}

/// The row's key over these columns; `None` when one is NULL.
pub(super) fn key_of(
    table: &Table,
    columns: &[ColumnNumber],
    row: &Row,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let reader = RowReader::new(table, &row.bytes)?;
    let mut bytes = Vec::with_capacity(columns.len() * 10);
    let null = key::push_key_of_row(&mut bytes, &reader, columns)?;
    Ok((!null).then_some(bytes))
}

/// Whether the old row had the same key.
pub(super) fn unchanged(
    table: &Table,
    columns: &[ColumnNumber],
    old: Option<&Row>,
    key: &[u8],
) -> Result<bool, DecodeError> {
    match old {
        Some(old) => Ok(key_of(table, columns, old)?.as_deref() == Some(key)),
        None => Ok(false),
    }
}

/// The last parent's key that was found in each index: rows of one parent mostly come together.
pub(super) type Found = BTreeMap<Oid, Vec<u8>>;

/// The tables that rows are of, as they are met: mostly the same one again.
#[derive(Default)]
pub(super) struct Met {
    last: Option<(Oid, Arc<Plan>)>,
    distinct: BTreeSet<Oid>,
}

impl Met {
    /// The table's plan.
    pub(super) fn plan<V: View>(
        &mut self,
        after: &V,
        plans: &mut Plans,
        table: Oid,
    ) -> Result<Arc<Plan>, Refusal> {
        if let Some((_, plan)) = self.last.as_ref().filter(|(last, _)| *last == table) {
            return Ok(Arc::clone(plan));
        }
        let plan = plan(plans, after.catalog(), table)?;
        let distinct = plan.indexes().map(|(index, _)| index).filter(|it| after.is_distinct(*it));
        self.distinct.extend(distinct);
        self.last = Some((table, Arc::clone(&plan)));
        Ok(plan)
    }

    /// The indexes of the tables met in which it is known that no key is there twice.
    pub(super) fn distinct(&self) -> &BTreeSet<Oid> {
        &self.distinct
    }
}

/// Checks all touched rows on the state after; whether they are right in themselves only if nobody did before.
pub(super) fn check_all<'a, V: View>(
    after: &V,
    touched: impl Iterator<Item = Touched<'a>> + Clone,
    checked_alone: bool,
    plans: &mut Plans,
) -> Result<(), Checked<V::Fault>> {
    let known = many::all_hold(after, touched.clone(), plans)?;
    let mut met = Met::default();
    for row in touched.clone() {
        if known && checked_alone {
            break;
        }
        let Some(new) = row.new else { continue };
        let plan = met.plan(after, plans, row.table)?;
        if !checked_alone {
            check_row(after.catalog(), plan.table(), new)?;
        }
        if !known {
            check_keys(after, &plan, met.distinct(), row.old, new)?;
        }
    }
    if known {
        return Ok(());
    }
    let mut found = Found::new();
    let is_alone = |plan: &Plan| plan.parents.is_empty() && plan.children.is_empty();
    for row in touched {
        let plan = met.plan(after, plans, row.table)?;
        if is_alone(&plan) {
            continue;
        }
        if let Some(new) = row.new {
            check_parents(after, &plan, &mut found, row.old, new)?;
        }
        if let Some(old) = row.old {
            check_children(after, &plan, old, row.new)?;
        }
    }
    Ok(())
}

/// The name of a table's schema.
fn schema_name(catalog: &Catalog, table: &Table) -> String {
    catalog.schema(table.schema).map_or_else(String::new, |schema| schema.name.clone())
}

/// Checks a row that is new, or new in this form, against the table's other rows. `distinct` are indexes in which
/// no key is there twice.
pub(super) fn check_keys<V: View>(
    after: &V,
    plan: &Plan,
    distinct: &BTreeSet<Oid>,
    old: Option<&Row>,
    new: &Row,
) -> Result<(), Checked<V::Fault>> {
    let table = plan.table();
    for (oid, index) in plan.indexes().filter(|(_, index)| index.unique) {
        if distinct.contains(&oid) {
            continue;
        }
        let columns = &index.columns;
        let Some(key) = key_of(table, columns, new)? else { continue };
        if unchanged(table, columns, old, &key)? {
            continue;
        }
        let holders = after.find(oid, &key, 2).map_err(Checked::Fault)?;
        if holders.len() > 1 {
            let key = details::key(table, columns, table, columns, new);
            return Err(Checked::Refused(Refusal::Duplicate {
                schema: schema_name(after.catalog(), table),
                table: table.name.clone(),
                constraint: index.name.clone(),
                detail: format!("{key} already exists."),
            }));
        }
    }
    Ok(())
}

/// Checks that the parents of a child's row are there.
pub(super) fn check_parents<V: View>(
    after: &V,
    plan: &Plan,
    found: &mut Found,
    old: Option<&Row>,
    new: &Row,
) -> Result<(), Checked<V::Fault>> {
    plan.parents.iter().try_for_each(|to| check_parent(after, plan, to, found, old, new))
}

fn check_parent<V: View>(
    after: &V,
    plan: &Plan,
    to: &ToParent,
    found: &mut Found,
    old: Option<&Row>,
    new: &Row,
) -> Result<(), Checked<V::Fault>> {
    let table = plan.table();
    let Some(foreign) = table.foreign_keys.get(to.at) else { return Ok(()) };
    let Some(key) = key_of(table, &to.columns, new)? else { return Ok(()) };
    if found.get(&foreign.parent_index) == Some(&key) || unchanged(table, &to.columns, old, &key)? {
        return Ok(());
    }
    if !after.find(foreign.parent_index, &key, 1).map_err(Checked::Fault)?.is_empty() {
        found.insert(foreign.parent_index, key);
        return Ok(());
    }
    let parent = after.catalog().table(foreign.parent).map_or("", |parent| parent.name.as_str());
    let key = details::key(table, &foreign.columns, table, &foreign.columns, new);
    Err(Checked::Refused(Refusal::NoParent {
        schema: schema_name(after.catalog(), table),
        table: table.name.clone(),
        constraint: foreign.name.clone(),
        detail: format!("{key} is not present in table \"{parent}\"."),
    }))
}

/// Checks that no child refers to a parent's key that is gone.
fn check_children<V: View>(
    after: &V,
    plan: &Plan,
    old: &Row,
    new: Option<&Row>,
) -> Result<(), Checked<V::Fault>> {
    plan.children.iter().try_for_each(|from| check_child(after, plan, from, old, new))
}

fn check_child<V: View>(
    after: &V,
    plan: &Plan,
    from: &FromChild,
    old: &Row,
    new: Option<&Row>,
) -> Result<(), Checked<V::Fault>> {
    let table = plan.table();
    let Some((child, foreign)) = from.key() else { return Ok(()) };
    let Some(key) = key_of(table, &from.columns, old)? else { return Ok(()) };
    if unchanged(table, &from.columns, new, &key)? || still_there(after, plan, from, old)? {
        return Ok(());
    }
    if after.find(foreign.index, &key, 1).map_err(Checked::Fault)?.is_empty() {
        return Ok(());
    }
    let key = details::key(table, &foreign.parent_columns, table, &foreign.parent_columns, old);
    Err(Checked::Refused(Refusal::HasChildren {
        schema: schema_name(after.catalog(), table),
        parent: table.name.clone(),
        table: child.name.clone(),
        constraint: foreign.name.clone(),
        detail: format!("{key} is still referenced from table \"{}\".", child.name),
    }))
}

/// Whether another row has taken the key over.
fn still_there<V: View>(
    after: &V,
    plan: &Plan,
    from: &FromChild,
    old: &Row,
) -> Result<bool, Checked<V::Fault>> {
    let index: Option<Oid> = from.key().map(|(_, foreign)| foreign.parent_index);
    let Some(index) = index else { return Ok(false) };
    let Some(key) = key_of(plan.table(), &from.own, old)? else { return Ok(false) };
    Ok(!after.find(index, &key, 1).map_err(Checked::Fault)?.is_empty())
}
