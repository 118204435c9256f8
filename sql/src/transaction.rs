//! A session's transaction: how it runs, what it did, and the savepoints it can go back to. It doesn't
//! execute anything.

use std::collections::BTreeSet;

use ledger::{Oid, Receipt};
use storage::{LockOwner, Mark, Snapshot};

use crate::Settings;
use crate::overlay::Overlay;

/// The most text of statements that a transaction carries, in bytes.
const STATEMENT_BYTES: usize = 65_536;

/// What other transactions' commits a transaction sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isolation {
    /// Each statement sees what was committed before it. READ UNCOMMITTED is this, too.
    ReadCommitted,
    /// All statements see what was committed before the first.
    RepeatableRead,
    /// As before, and what was read must still hold at the commit.
    Serializable,
}

impl Isolation {
    /// The level of this name.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "serializable" => Self::Serializable,
            "repeatable read" => Self::RepeatableRead,
            _ => Self::ReadCommitted,
        }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction block.
    Idle,
    /// In a transaction block.
    Active,
    /// In a transaction block that failed: only its end is accepted.
    Failed,
}

/// A transaction in progress.
pub(crate) struct Transaction {
    /// Begun by BEGIN, rather than by a statement on its own.
    pub(crate) explicit: bool,
    pub(crate) failed: bool,
    pub(crate) isolation: Isolation,
    pub(crate) read_only: bool,
    /// `now()`, µs since 1970 UTC.
    pub(crate) started_us: i64,
    /// What every statement sees, above READ COMMITTED; set by the first that reads.
    pub(crate) snapshot: Option<Snapshot>,
    /// Whether a statement has read or written: then the isolation level is fixed.
    pub(crate) begun: bool,
    pub(crate) overlay: Overlay,
    pub(crate) savepoints: Vec<Savepoint>,
    pub(crate) owner: LockOwner,
    /// The settings to go back to when it is rolled back.
    pub(crate) settings: Settings,
    /// The tables that it read, for SERIALIZABLE.
    pub(crate) reads: BTreeSet<Oid>,
    /// A transaction of the same idempotency key is in the chain already: this one only repeats it.
    pub(crate) repeats: Option<Receipt>,
    statements: String,
}

/// A point to go back to.
#[derive(Debug)]
pub(crate) struct Savepoint {
    pub(crate) name: String,
    pub(crate) overlay: Overlay,
    pub(crate) settings: Settings,
    pub(crate) mark: Mark,
    /// The sequences that the transaction had made or changed.
    pub(crate) sequences: BTreeSet<Oid>,
    /// The advisory locks that it held.
    pub(crate) advisory: crate::shared::advisory::Mark,
}

impl Transaction {
    pub(crate) fn new(owner: LockOwner, settings: &Settings, now_us: i64, explicit: bool) -> Self {
        Self {
            explicit,
            failed: false,
            isolation: settings.default_isolation(),
            read_only: settings.default_read_only(),
            started_us: now_us,
            snapshot: None,
            begun: false,
            overlay: Overlay::default(),
            savepoints: Vec::new(),
            owner,
            settings: settings.clone(),
            reads: BTreeSet::new(),
            repeats: None,
            statements: String::new(),
        }
    }

    /// Notes a statement for the audit: its literals are gone already.
    pub(crate) fn note(&mut self, statement: &str) {
        if self.statements.len() >= STATEMENT_BYTES {
            return;
        }
        if !self.statements.is_empty() {
            self.statements.push_str("; ");
        }
        self.statements.push_str(statement);
        if self.statements.len() > STATEMENT_BYTES {
            let mut end = STATEMENT_BYTES;
            while !self.statements.is_char_boundary(end) {
                end -= 1;
            }
            self.statements.truncate(end);
        }
    }

    pub(crate) fn take_statements(&mut self) -> String {
        std::mem::take(&mut self.statements)
    }
}
