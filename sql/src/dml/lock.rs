//! The locks that changes need: the table against definitions, rows against other writers, keys against
//! other transactions that write or refer to the same key.

use std::collections::BTreeMap;

use ledger::catalog::Index;
use ledger::{Catalog, Oid, Value, key};
use storage::{LockError, LockMode, LockTarget, Wait};

use super::{Change, table_of};
use crate::Error;
use crate::error::CancelReason;
use crate::overlay::OWN;
use crate::session::Session;

impl Session {
    /// How long to wait for a lock.
    pub(crate) fn lock_wait(&self) -> Wait {
        let limit = self.shared.settings().lock_timeout();
        let now = std::time::Instant::now();
        Wait::Until(limit.and_then(|limit| now.checked_add(limit)).map(Into::into))
    }

    /// Takes a lock for the transaction; gives whether it had to wait.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub(crate) async fn acquire(
        &mut self,
        target: LockTarget,
        mode: LockMode,
    ) -> Result<bool, Error> {
        let wait = self.lock_wait();
        self.acquire_with(target, mode, wait).await
    }

    /// As [`Self::acquire`], with its own idea of waiting.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub(crate) async fn acquire_with(
        &mut self,
        target: LockTarget,
        mode: LockMode,
        wait: Wait,
    ) -> Result<bool, Error> {
        let owner = self.transaction_mut().owner;
        if self.transaction_mut().repeats.is_some() {
            // Nothing that it does will be written.
            return Ok(false);
        }
        let result = self.engine.state.locks().acquire(owner, target, mode, wait).await;
        result.map_err(|error| match error {
            LockError::Cancelled => Error::Cancelled { reason: CancelReason::User },
            other => other.into(),
        })
    }

    /// Locks a table that a statement writes to: against definitions, not against other writers.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub(crate) async fn lock_table_to_write(&mut self, table: Oid) -> Result<(), Error> {
        if self.acquire(LockTarget::Table(table), LockMode::KeyShare).await? {
            self.look_again()?;
        }
        self.keep_up(table)
    }

    /// A definition may have been committed between the statement's snapshot and its lock.
    fn keep_up(&mut self, table: Oid) -> Result<(), Error> {
        let own = self.transaction_mut();
        if own.repeats.is_some() || own.overlay.defines() {
            return Ok(());
        }
        let seen = self.snapshot()?;
        let newest = self.engine.state.snapshot();
        if seen.catalog().version() == newest.catalog().version() {
            return Ok(());
        }
        let unchanged = seen.catalog().get(table) == newest.catalog().get(table);
        if self.isolation() == crate::transaction::Isolation::ReadCommitted {
            self.see(newest)?;
        } else if !unchanged {
            return Err(Error::Serialization {
                message: "could not serialize access due to a concurrent change of the schema"
                    .to_string(),
                detail: None,
            });
        }
        Ok(())
    }

    /// Waited for a lock: in READ COMMITTED the statement sees what was committed meanwhile.
    ///
    /// # Errors
    /// What the catalog says of temporary objects.
    pub(crate) fn look_again(&mut self) -> Result<(), Error> {
        if self.isolation() == crate::transaction::Isolation::ReadCommitted
            && self.transaction_mut().repeats.is_none()
        {
            self.see(self.engine.state.snapshot())?;
        }
        Ok(())
    }

    /// Locks the rows and keys of changes, always in the same order.
    pub(super) async fn lock_changes(
        &mut self,
        catalog: &Catalog,
        oid: Oid,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mut targets = BTreeMap::new();
        let owner = self.transaction_mut().owner;
        let locks = self.engine.state.locks();
        let unique = catalog.indexes_of(oid).filter(|(_, index)| index.unique);
        let unique: Vec<(Oid, &Index, bool)> = unique
            .map(|(oid, index)| (oid, index, locks.holds_keys(owner, oid, LockMode::Update)))
            .collect();
        for change in changes {
            collect((catalog, &unique), oid, change, &mut targets)?;
        }
        for (target, mode) in targets {
            self.acquire(target, mode).await?;
        }
        Ok(())
    }
}

fn add(targets: &mut BTreeMap<LockTarget, LockMode>, target: LockTarget, mode: LockMode) {
    let held = targets.entry(target).or_insert(mode);
    *held = (*held).max(mode);
}

/// What one change must lock. Of a table's unique indexes it is known whether all keys are locked already.
fn collect(
    (catalog, unique): (&Catalog, &[(Oid, &Index, bool)]),
    oid: Oid,
    change: &Change,
    targets: &mut BTreeMap<LockTarget, LockMode>,
) -> Result<(), Error> {
    let (before, after) = (change.before(), change.after());
    let mut keys_change = after.is_none();
    for (index, definition, locked) in unique {
        if *locked && before.is_none() {
            continue;
        }
        let key = |values: &[Value]| key::key_of(values, &definition.columns);
        let (old, new) = (before.map(key), after.map(key));
        if old == new {
            continue;
        }
        keys_change |= old.is_some();
        for key in old.into_iter().chain(new) {
            add(targets, LockTarget::Key(*index, key), LockMode::Update);
        }
    }
    if let Some(old) = change.old().filter(|old| old.height != OWN) {
        let mode = if keys_change { LockMode::Update } else { LockMode::NoKeyUpdate };
        add(targets, LockTarget::Row(oid, old), mode);
    }
    let table = table_of(catalog, oid)?;
    for foreign in &table.foreign_keys {
        let Some(after) = after else { continue };
        let Some(index) = catalog.index(foreign.parent_index) else { continue };
        let values = foreign_values(foreign, index, after);
        let unchanged = before.is_some_and(|before| {
            key::encode_key(&foreign_values(foreign, index, before)) == key::encode_key(&values)
        });
        if !unchanged && !key::has_null(&values) {
            let key = key::encode_key(&values);
            add(targets, LockTarget::Key(foreign.parent_index, key), LockMode::KeyShare);
        }
    }
    Ok(())
}

/// The values of a foreign key, in the order of its parent's index.
pub(crate) fn foreign_values(
    foreign: &ledger::table::ForeignKey,
    index: &Index,
    row: &[Value],
) -> Vec<Value> {
    index
        .columns
        .iter()
        .map(|parent| {
            foreign
                .parent_columns
                .iter()
                .position(|column| column == parent)
                .and_then(|place| foreign.columns.get(place))
                .and_then(|column| row.get(usize::from(column.0).wrapping_sub(1)))
                .cloned()
                .unwrap_or(Value::Null)
        })
        .collect()
}
