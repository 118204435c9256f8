//! What a transaction of another node has to wait for on the leader: rows and tables that sessions of the leader have
//! locked. It is held while it is ordered, so that nobody who asked for a lock is passed over.

use std::collections::BTreeMap;

use ledger::{Operation, Refusal, Transaction};
use openraft::AsyncRuntime;
use storage::{LockError, LockMode, LockOwner, LockTarget, State, SubmitError, Wait};

use super::{ANSWERED, Desk};
use crate::runtime::Runtime;

/// Locks, given back when it goes.
pub(super) struct Held<'s> {
    state: &'s State,
    owner: LockOwner,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.state.locks().release_all(self.owner);
    }
}

impl<R: Runtime> Desk<R> {
    /// Locks what a transaction writes, as a session of this node would have.
    ///
    /// # Errors
    /// 40P01; 55P03 when it takes as long as an answer may.
    pub(super) async fn hold(&self, transaction: &Transaction) -> Result<Held<'_>, SubmitError> {
        let held = Held { state: &self.state, owner: self.state.locks().owner() };
        let locked = R::Tasks::timeout(ANSWERED, Box::pin(lock_all(&held, transaction))).await;
        match locked.unwrap_or(Err(LockError::Timeout)) {
            Ok(()) => Ok(held),
            Err(error @ LockError::Deadlock) => {
                Err(Refusal::data("40P01", error.to_string()).into())
            }
            Err(error) => Err(Refusal::data("55P03", error.to_string()).into()),
        }
    }
}

/// Always in the same order, as sessions do.
async fn lock_all(held: &Held<'_>, transaction: &Transaction) -> Result<(), LockError> {
    let mut targets = BTreeMap::new();
    for operation in &transaction.operations {
        if let Some(table) = operation.table() {
            targets.insert(LockTarget::Table(table), LockMode::KeyShare);
        }
        match operation {
            Operation::Update { table, previous, .. } => {
                targets.insert(LockTarget::Row(*table, *previous), LockMode::NoKeyUpdate);
            }
            Operation::Delete { table, previous, .. } => {
                targets.insert(LockTarget::Row(*table, *previous), LockMode::Update);
            }
            _ => {}
        }
    }
    for (target, mode) in targets {
        held.state.locks().acquire(held.owner, target, mode, Wait::Until(None)).await?;
    }
    Ok(())
}
