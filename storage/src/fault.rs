//! What goes wrong on this node alone: disk, damage, shutdown. Never an answer to a client's mistake
//! (that is `ledger::Refusal`), and never the same on every node. A fault doesn't know its SQLSTATE.

use std::{fmt, io, sync::Arc};

use ledger::Height;
use thiserror::Error;

/// A fault of this node. Cheap to copy: one failed sync is told to everyone who waited for it.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The system refused an operation on a file.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried, with the file's name.
        operation: String,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// No space is left: the node is read-only until there is some.
    #[error("no space left on the disk: {operation}")]
    DiskFull {
        /// What was tried, with the file's name.
        operation: String,
    },
    /// Bytes on disk are not what was written. They are named and never cut away.
    #[error("{0}")]
    Damaged(Damage),
    /// A write or sync failed earlier; it is never retried, so nothing is written any more.
    #[error("this node takes no more writes: {reason}")]
    Stopped {
        /// The first failure.
        reason: String,
    },
    /// Another process holds the data directory.
    #[error("the data directory is in use by another process")]
    Locked,
    /// A file of a version that this program doesn't know.
    #[error("{file} has format version {found}; this program reads version {known}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The version this program reads.
        known: u16,
    },
    /// The rows don't fit into the memory that the node may use.
    #[error("out of memory: {detail}")]
    Memory {
        /// What was asked for, and the bound.
        detail: String,
    },
    /// A block passed consensus and can't be applied: this node stops rather than diverge.
    #[error("block {} can't be applied: {detail}", height.0)]
    Apply {
        /// The block.
        height: Height,
        /// Why.
        detail: String,
    },
    /// What this node has made of the chain is not what a majority of the voters has signed: it stops.
    #[error("this node went astray: after block {} {detail}", height.0)]
    Astray {
        /// The block after which it was seen.
        height: Height,
        /// What differs.
        detail: String,
    },
    /// A derived structure (key index, checkpoint) failed; it can be deleted and rebuilt from blocks.
    #[error("{what}: {detail}")]
    Derived {
        /// The structure.
        what: &'static str,
        /// What its engine says.
        detail: String,
    },
    /// Not this node's, but its leader's: it could not take what this node handed to it.
    #[error("the node that leads the chain: {detail}")]
    Leader {
        /// What the leader says.
        detail: String,
    },
    /// A bug: something that can't be.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first block it hurts, if it hurts one.
    pub height: Option<Height>,
    /// The file.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What differs.
    pub detail: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(height) = self.height {
            write!(f, "block {} is damaged: ", height.0)?;
        }
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.detail)
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl Fault {
    /// Makes a fault of the system's answer to `operation`; a full disk is told apart.
    pub fn io(operation: impl Into<String>, source: io::Error) -> Self {
        let operation = operation.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { operation }
            }
            _ => Self::Io { operation, source: Arc::new(source) },
        }
    }

    /// Makes a fault of a failed sync: whatever the system's answer, a full disk too, it is never tried again.
    pub fn sync(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation: operation.into(), source: Arc::new(source) }
    }

    /// The height of the damaged block, if this is damage to one.
    pub fn damaged_height(&self) -> Option<Height> {
        match self {
            Self::Damaged(damage) => damage.height,
            _ => None,
        }
    }
}
