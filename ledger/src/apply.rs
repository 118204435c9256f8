//! The rules: whether a transaction may be. Pure and the same on every node. One code for a session at the
//! end of each statement and for the sequencer before a block.

mod details;
mod many;
#[cfg(test)]
mod model;
pub(crate) mod plan;
pub mod privilege;
mod rows;
#[cfg(test)]
mod speed;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::staged::{Checked, Staged};
use crate::table::Mode;
use crate::{Height, Oid, Operation, Refusal, Row, Transaction, VersionId, View};
use plan::{Plan, Plans, plan};

pub use rows::check_row;

/// Bytes of a transaction's statement text.
pub const MAX_STATEMENT: usize = 64 * 1024;

/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Operations from which on a transaction is a large one: its rows are checked in themselves before all else.
const MANY: usize = if cfg!(test) { 4 } else { 4096 };

/// Runs a check on all of some operations, in parts if it likes, and gives what the first part says that says no.
pub type Share<'a> = &'a dyn Fn(&[Operation], Check<'_>) -> Result<(), Refusal>;

/// A check of operations, each for itself.
pub type Check<'a> = &'a (dyn Fn(&[Operation]) -> Result<(), Refusal> + Sync);

/// A row that a statement or a transaction touched: what stood before it, and what stands now.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    /// Its table.
    pub table: Oid,
    /// The row before; `None` for an insert.
    pub old: Option<&'a Row>,
    /// The row now; `None` for a delete.
    pub new: Option<&'a Row>,
}

/// Checks the constraints of all rows that a statement touched, on the state after it: NOT NULL, CHECK,
/// unique keys, foreign keys of children and to parents. `touched` holds each row once, with its net
/// change.
///
/// # Errors
/// The first constraint that is violated, with PostgreSQL's message; this node's fault.
pub fn check_statement<V: View>(
    after: &V,
    touched: &[Touched<'_>],
) -> Result<(), Checked<V::Fault>> {
    rows::check_all(after, touched.iter().copied(), false, &mut Plans::new())
}

/// As [`check_statement`], of rows that are known to be right in themselves (see [`check_row`]).
///
/// # Errors
/// As of [`check_statement`].
pub fn check_among_others<V: View>(
    after: &V,
    touched: &[Touched<'_>],
) -> Result<(), Checked<V::Fault>> {
    rows::check_all(after, touched.iter().copied(), true, &mut Plans::new())
}

/// Checks a whole transaction against a state: that what it rests on is alive, that its user may do it,
/// that its definitions hold together and its rows are what their tables say, and every constraint.
///
/// # Errors
/// The refusal, the same on every node; this node's fault.
pub fn check_transaction<V: View>(
    view: &V,
    transaction: &Transaction,
) -> Result<(), Checked<V::Fault>> {
    let mut staged = Staged::new(view);
    staged.admit(Height(u64::MAX), 0, &Arc::new(transaction.clone()))
}

fn check_texts(transaction: &Transaction) -> Result<(), Refusal> {
    let key = transaction.idempotency_key.as_ref();
    if transaction.statement.len() > MAX_STATEMENT {
        return Err(Refusal::malformed("a statement text that is too long"));
    }
    if key.is_some_and(|key| key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY) {
        return Err(Refusal::data("22023", "idempotency key must have 1 to 255 bytes"));
    }
    Ok(())
}

impl<V: View> Staged<V> {
    /// Checks a transaction against this state (see [`check_transaction`]) and, if it may be, leaves its
    /// writes on top, as block `height` will hold them at place `index`. A refused one leaves nothing.
    ///
    /// # Errors
    /// The refusal, the same on every node; this node's fault.
    pub fn admit(
        &mut self,
        height: Height,
        index: u32,
        transaction: &Arc<Transaction>,
    ) -> Result<(), Checked<V::Fault>> {
        self.admit_by(height, index, transaction, &|operations, check| check(operations))
    }

    /// As [`Staged::admit`], with a say in how the rows of a large transaction are checked.
    ///
    /// # Errors
    /// As of [`Staged::admit`].
    pub fn admit_by(
        &mut self,
        height: Height,
        index: u32,
        transaction: &Arc<Transaction>,
        share: Share<'_>,
    ) -> Result<(), Checked<V::Fault>> {
        let mark = self.mark();
        let checked = self.try_admit(height, index, transaction, share);
        if checked.is_err() {
            self.undo_to(mark);
        }
        checked
    }

    fn try_admit(
        &mut self,
        height: Height,
        index: u32,
        transaction: &Arc<Transaction>,
        share: Share<'_>,
    ) -> Result<(), Checked<V::Fault>> {
        check_texts(transaction)?;
        let before = self.catalog().clone();
        if before.member_of_hash(transaction.member).is_none() {
            return Err(Refusal::malformed("its member is none of this chain").into());
        }
        let user = privilege::user(&before, &transaction.user)?;
        let may = privilege::Check::new(&before, user, transaction);
        let checked_alone = self.check_apart(&may, transaction, share)?;
        // The row that each operation replaces, before it is gone; shorter where none of the rest does.
        let mut old: Vec<Option<Row>> = Vec::new();
        let mut defined = BTreeSet::new();
        let mut last: Option<(Oid, Arc<Plan>)> = None;
        for (at, operation) in transaction.operations.iter().enumerate() {
            let place = u32::try_from(at)
                .map_err(|_| Refusal::data("54000", "too many operations in a transaction"))?;
            if !checked_alone {
                may.operation(self.catalog(), operation)?;
            }
            if let Some(table) = operation.table() {
                if last.as_ref().is_none_or(|(known, _)| *known != table) {
                    let plan = self.plan(table)?;
                    let same = |operation: &&Operation| operation.table() == Some(table);
                    let rest = transaction.operations.iter().skip(at).take_while(same);
                    self.make_room(&plan, rest.count());
                    last = Some((table, plan));
                }
                if let (Some((_, plan)), false) = (&last, checked_alone) {
                    check_operation(plan, operation)?;
                }
            } else if let Operation::Define { oid, .. } | Operation::Drop { oid } = operation {
                last = None;
                if oid.is_temporary() {
                    return Err(Refusal::malformed("a temporary object in a transaction").into());
                }
                if before.get(*oid).is_none() && *oid < before.next_oid() && !defined.contains(oid)
                {
                    let detail = format!("object number {} is taken", oid.0);
                    return Err(Refusal::SchemaChanged { detail }.into());
                }
                defined.insert(*oid);
            }
            if let (Some(table), Some(previous)) = (operation.table(), operation.previous()) {
                old.resize(at, None);
                old.push(self.needed_row(table, previous)?);
            }
            let version = VersionId { height, transaction: index, operation: place };
            let plan = last.as_ref().map(|(_, plan)| &**plan);
            self.place(plan, version, at, operation, transaction)?;
        }
        self.settle_keys();
        for oid in &defined {
            self.catalog().check_references(*oid)?;
        }
        self.check_definitions(&before, &defined)?;
        let touched = transaction.operations.iter().enumerate().filter_map(|(at, operation)| {
            let table = operation.table()?;
            let gone = !defined.is_empty() && self.catalog().table(table).is_none();
            let old = old.get(at).and_then(Option::as_ref);
            (!gone).then(|| Touched { table, old, new: operation.row() })
        });
        let mut plans = self.plans().clone();
        rows::check_all(self, touched, checked_alone, &mut plans)
    }

    /// Checks all operations of a large transaction that only writes rows, as far as they need no other rows: whether
    /// they may be done, and whether each row is right in itself. Gives whether it is such a transaction.
    fn check_apart(
        &mut self,
        may: &privilege::Check<'_>,
        transaction: &Transaction,
        share: Share<'_>,
    ) -> Result<bool, Checked<V::Fault>> {
        let operations = &transaction.operations;
        if operations.len() < MANY || operations.iter().any(|it| it.table().is_none()) {
            return Ok(false);
        }
        let mut last = None;
        for operation in operations {
            may.operation(self.catalog(), operation)?;
            if let Some(table) = operation.table().filter(|table| last != Some(*table)) {
                self.plan(table)?;
                last = Some(table);
            }
        }
        let (catalog, plans) = (self.catalog(), self.plans());
        let check = |operation: &Operation| {
            let plan = operation.table().and_then(|table| plans.get(&table));
            let plan = plan.ok_or_else(|| Refusal::malformed("a row of no table"))?;
            check_operation(plan, operation)?;
            operation.row().map_or(Ok(()), |row| check_row(catalog, plan.table(), row))
        };
        share(operations, &|part| part.iter().try_for_each(check))?;
        Ok(true)
    }

    /// The row that an operation replaces: it must be alive.
    fn needed_row(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Checked<V::Fault>> {
        let row = self.alive(table, version).map_err(Checked::Fault)?;
        match row {
            Some(row) => Ok(Some(row)),
            None => Err(Refusal::Superseded { table, version }.into()),
        }
    }

    /// Checks the rows that were there before against constraints that are new: of tables whose
    /// definition changed, and of indexes that were made.
    fn check_definitions(
        &self,
        before: &crate::Catalog,
        defined: &BTreeSet<Oid>,
    ) -> Result<(), Checked<V::Fault>> {
        let mut tables = BTreeSet::new();
        for oid in defined {
            if let Some(index) = self.catalog().index(*oid)
                && before.index(*oid).is_none_or(|old| !old.unique)
                && index.unique
            {
                tables.insert(index.table);
            }
            if let (Some(table), Some(old)) = (self.catalog().table(*oid), before.table(*oid))
                && plan::has_new_constraints(table, old)
            {
                tables.insert(*oid);
            }
        }
        for table in tables {
            if before.table(table).is_some() {
                self.check_table(table)?;
            }
        }
        Ok(())
    }

    /// Checks every row of a table against all of its constraints.
    fn check_table(&self, table: Oid) -> Result<(), Checked<V::Fault>> {
        let plan = plan(&mut Plans::new(), self.catalog(), table)?;
        let mut result = Ok(());
        let mut found = rows::Found::new();
        self.scan(table, &mut |_, row| {
            result = check_row(self.catalog(), plan.table(), row)
                .map_err(Checked::Refused)
                .and_then(|()| rows::check_keys(self, &plan, &BTreeSet::new(), None, row))
                .and_then(|()| rows::check_parents(self, &plan, &mut found, None, row));
            if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(Checked::Fault)?;
        result
    }
}

/// What can be said about an operation on a row without its state: the table's mode, the row's bytes.
fn check_operation(plan: &Plan, operation: &Operation) -> Result<(), Refusal> {
    if operation.previous().is_some() && plan.table().mode == Mode::AppendOnly {
        return Err(Refusal::AppendOnly { table: plan.table().name.clone() });
    }
    operation.row().map_or(Ok(()), |row| row.check(plan.table()))
}
