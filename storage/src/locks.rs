//! Row locks of the transactions that run on this node: who may go on, who waits for whom, and who has to
//! give way. They make concurrent writers wait where PostgreSQL's would; they don't make a commit valid,
//! that is checked in order when it is sequenced.
//!
//! Locks live in memory, belong to an owner (a transaction of a session), and are given first come, first
//! served. It knows neither SQL nor versions: a target is only a name.

mod mode;
mod table;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use ledger::{Oid, VersionId};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

pub use mode::LockMode;

use table::{Request, Table};

/// When waiting ends.
pub type Deadline = Instant;

/// Locks of one container (a table's rows, an index's keys) that an owner may hold one by one. When it
/// has more, and nobody else stands in the way, they become one lock on the container.
pub const LOCKS_BEFORE_ESCALATION: usize = 50_000;

/// Who holds locks: a transaction. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockOwner(u64);

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockTarget {
    /// A row of a table, by its version.
    Row(Oid, VersionId),
    /// A key in an index, whether a row has it or not.
    Key(Oid, Vec<u8>),
    /// A table as a whole. It says nothing about the table's rows.
    Table(Oid),
    /// The catalog.
    Catalog,
    /// An application's own number.
    Advisory(i64),
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until the lock is free, or the deadline has come if there is one.
    Until(Option<Deadline>),
    /// Not at all.
    NoWait,
}

/// Why a lock was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// 40P01: waiting would have closed a circle.
    #[error("deadlock detected")]
    Deadlock,
    /// 55P03: the deadline came first.
    #[error("canceling statement due to lock timeout")]
    Timeout,
    /// 55P03: it is held, and the caller won't wait.
    #[error("could not obtain lock")]
    NotAvailable,
    /// 57014: see [`Locks::cancel`].
    #[error("canceling statement due to user request")]
    Cancelled,
}

/// A point to come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// All locks of one node.
pub struct Locks {
    table: Mutex<Table>,
    owners: AtomicU64,
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").finish_non_exhaustive()
    }
}

impl Default for Locks {
    fn default() -> Self {
        Self::new()
    }
}

impl Locks {
    /// No locks.
    pub fn new() -> Self {
        Self::with_escalation(LOCKS_BEFORE_ESCALATION)
    }

    /// No locks, and another number of locks at which a container is locked as a whole.
    pub fn with_escalation(locks: usize) -> Self {
        Self { table: Mutex::new(Table::new(locks)), owners: AtomicU64::new(1) }
    }

    /// A new owner.
    pub fn owner(&self) -> LockOwner {
        LockOwner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// Locks a target, waiting if it must. Gives whether it had to wait: if so, what the caller knows of
    /// the target may be out of date. A lock that the owner holds already, as strong or stronger, is given
    /// at once. When the future is dropped, the owner no longer waits.
    ///
    /// # Errors
    /// [`LockError`]; what the owner held before it still holds.
    pub async fn acquire(
        &self,
        owner: LockOwner,
        target: LockTarget,
        mode: LockMode,
        wait: Wait,
    ) -> Result<bool, LockError> {
        let request = self.table.lock().request(owner, target, mode, wait != Wait::NoWait)?;
        let (ticket, mut told) = match request {
            Request::Granted => return Ok(false),
            Request::Waiting(ticket, told) => (ticket, told),
        };
        let waiting = Waiting { locks: self, ticket };
        let outcome = match wait {
            Wait::Until(Some(deadline)) => {
                match tokio::time::timeout_at(deadline, &mut told).await {
                    Ok(told) => told,
                    Err(_) if self.table.lock().withdraw(ticket) => return Err(LockError::Timeout),
                    // It was told at the last moment.
                    Err(_) => told.await,
                }
            }
            Wait::Until(None) | Wait::NoWait => told.await,
        };
        drop(waiting);
        match outcome {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => Err(error),
            Err(oneshot::error::RecvError { .. }) => Err(LockError::Cancelled),
        }
    }

    /// Whether the owner could lock the target at once; it doesn't lock it.
    pub fn is_free(&self, owner: LockOwner, target: &LockTarget, mode: LockMode) -> bool {
        self.table.lock().is_free(owner, target, mode)
    }

    /// Whether the owner has locked all keys of an index as one, in this mode or a stronger one.
    pub fn holds_keys(&self, owner: LockOwner, index: Oid, mode: LockMode) -> bool {
        self.table.lock().holds_keys(owner, index, mode)
    }

    /// The point that [`Self::rollback_to`] comes back to.
    pub fn mark(&self, owner: LockOwner) -> Mark {
        Mark(self.table.lock().mark(owner))
    }

    /// Gives back what the owner locked since the mark. Locks that became one on their container since
    /// then stay: holding more than needed is safe.
    pub fn rollback_to(&self, owner: LockOwner, mark: Mark) {
        self.table.lock().rollback_to(owner, mark.0);
    }

    /// Gives back all that the owner holds.
    pub fn release_all(&self, owner: LockOwner) {
        self.table.lock().release_all(owner);
    }

    /// Says that two owners are one session: a transaction, and what the session holds beyond it. One that
    /// waits for the other's waiter closes a circle all the same. It ends with the transaction's locks.
    pub fn relate(&self, transaction: LockOwner, session: LockOwner) {
        self.table.lock().relate(transaction, session);
    }

    /// Holds no more on a target than these modes.
    pub fn reduce(&self, owner: LockOwner, target: &LockTarget, modes: &[LockMode]) {
        self.table.lock().reduce(owner, target, modes);
    }

    /// Every lock that is held or waited for one by one, at most so many: the owner, the strongest mode, and
    /// whether it is held.
    pub fn list(&self, most: usize) -> Vec<(LockOwner, LockTarget, LockMode, bool)> {
        self.table.lock().list(most)
    }

    /// If the owner is waiting, it is told [`LockError::Cancelled`].
    pub fn cancel(&self, owner: LockOwner) {
        self.table.lock().cancel(owner);
    }

    /// How many locks are held, and how many owners wait.
    pub fn counts(&self) -> (usize, usize) {
        self.table.lock().counts()
    }
}

/// A place in a queue, given up when it is dropped.
struct Waiting<'l> {
    locks: &'l Locks,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.table.lock().withdraw(self.ticket);
    }
}

#[cfg(test)]
mod tests;
