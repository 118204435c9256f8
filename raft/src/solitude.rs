//! Whether this node is its chain's only voter: then nobody else can have committed anything, and there is nobody to
//! ask. It is asked before every statement, and must not cost one anything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::types::{Members, NodeId};

/// Kept by the log, before anyone else can learn of new members, and by the state machine.
#[derive(Debug)]
pub(crate) struct Solitude {
    own: NodeId,
    alone: AtomicBool,
    /// The newest place in the log at which the members change.
    newest: AtomicU64,
}

impl Solitude {
    /// A node among these members.
    pub(crate) fn new(own: NodeId, members: &Members) -> Self {
        let alone = AtomicBool::new(is_alone(own, members));
        Self { own, alone, newest: AtomicU64::new(0) }
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// Members come into the log: others may have a vote from now on, whether that is committed or not.
    pub(crate) fn appended(&self, index: u64, members: &Members) {
        self.newest.fetch_max(index, Ordering::AcqRel);
        if !is_alone(self.own, members) {
            self.alone.store(false, Ordering::Release);
        }
    }

    /// Members are committed, and in force unless newer ones are in the log.
    pub(crate) fn applied(&self, index: u64, members: &Members) {
        if is_alone(self.own, members) && self.newest.load(Ordering::Acquire) <= index {
            self.alone.store(true, Ordering::Release);
        }
    }
}

fn is_alone(own: NodeId, members: &Members) -> bool {
    members.voter_ids().eq([own])
}

#[cfg(test)]
mod tests;
