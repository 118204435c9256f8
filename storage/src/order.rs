//! How a finished write set enters the chain: the one trait between whoever executes statements and
//! whoever orders them.
//!
//! It knows neither SQL nor consensus. [`crate::Solo`] implements it without either; the consensus crates
//! implement it for real nodes.

use std::{pin::Pin, time::Duration};

use ledger::{Hash, Height, Receipt, Refusal, Transaction};
use thiserror::Error;

use crate::{Fault, NodeChange, NodeInfo, Refused};

/// A boxed future, as the crate `futures` names it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes transactions, puts them into an order that never changes, and says what became of each.
pub trait Order: Send + Sync {
    /// The hash of this node's public key: what `Transaction::member` must hold.
    fn member(&self) -> Hash;

    /// Sets `member` and `signature`. The transaction may not be changed afterwards. One that comes unsigned
    /// is signed when it is handed in.
    ///
    /// # Errors
    /// [`SubmitError::Refused`] when a row can't be committed to (its bytes don't fit its table).
    fn sign(&self, transaction: &mut Transaction) -> Result<(), SubmitError>;

    /// Signs the chain's end for an auditor to keep; `None` on a node without a member's key.
    fn sign_digest(&self, tip: &ledger::Tip) -> Option<ledger::proof::Digest> {
        let _unsigned = tip;
        None
    }

    /// Hands a transaction in and waits until it is durable and applied on this node, or refused. An unsigned
    /// one is signed by this node; the signatures of any other are checked against the members in force.
    ///
    /// The transaction is handed in when this function returns, not when the future is first polled;
    /// dropping the future doesn't take it back.
    fn submit(&self, transaction: Transaction) -> BoxFuture<'static, Result<Receipt, SubmitError>>;

    /// As [`Self::submit`], but only while this node leads as it did then: what the transaction rests on beside its
    /// operations (locks, what it read) is in this node's memory, and counts as long as that is so.
    fn submit_under(
        &self,
        reign: Reign,
        transaction: Transaction,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        if self.reign() == Some(reign) {
            return self.submit(transaction);
        }
        Box::pin(std::future::ready(Err(SubmitError::NotLeading { leader: None })))
    }

    /// As whom this node leads, if it does.
    fn reign(&self) -> Option<Reign> {
        Some(Reign::default())
    }

    /// The nodes that keep the chain, by number; none where there is no such thing.
    fn nodes(&self) -> BoxFuture<'static, Vec<NodeInfo>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Changes the nodes; gives the number of the node that it is about.
    ///
    /// # Errors
    /// [`Refused`]
    fn change_nodes(&self, change: NodeChange) -> BoxFuture<'static, Result<u64, Refused>> {
        let why = format!("this node keeps its chain alone: {change:?} is not for it");
        Box::pin(std::future::ready(Err(Refused::Failed(why))))
    }

    /// What a reader has to wait for before it takes its snapshot; nothing if the state here is as new as it wants it.
    /// A node that is alone always is.
    fn catch_up(&self, reading: Reading) -> Option<BoxFuture<'static, Result<(), Unready>>> {
        let _newest = reading;
        None
    }

    /// Whether another node leads, or none does.
    fn follows(&self) -> bool {
        false
    }
}

/// One lead of one node: the term, and the node. The default is that of a node which is alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// The node's number.
    pub node: u64,
}

/// How new the state must be for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It holds all that was acknowledged anywhere before this was asked for.
    Linearizable,
    /// It holds all that had been acknowledged so long before.
    Bounded(Duration),
}

/// Why the state here isn't as new as a reader wants it. It may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unready {
    /// Nobody knows what the newest is.
    #[error("this node reaches no majority of the nodes that vote in its chain")]
    NoQuorum,
    /// It isn't here yet.
    #[error("block {} has not come to this node yet", height.0)]
    Behind {
        /// The block that is waited for.
        height: Height,
    },
}

/// Why there is no receipt.
#[derive(Clone, Debug, Error)]
pub enum SubmitError {
    /// The rules refuse it; nothing of it is in the chain.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This node can't go on.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It was handed in, and its outcome can't be learned from here (08007).
    #[error("the outcome of the transaction is not known")]
    Unknown,
    /// Nothing of it is in the chain, because something is used up (53xxx). It may be tried again.
    #[error(transparent)]
    Busy(#[from] Shortage),
    /// Nothing of it is in the chain: this node doesn't lead it, or no longer (40001). Where the leader is reached,
    /// if that is known.
    #[error("this node does not lead its chain")]
    NotLeading {
        /// The leader's address.
        leader: Option<String>,
    },
    /// Nothing of it is in the chain: the node is shutting down (57P01).
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// What is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Shortage {
    /// The rows in memory have reached their bound (53200).
    #[error("out of memory: the rows kept in memory have reached their bound of {bound} bytes")]
    Memory {
        /// The bound, in bytes (`table_memory`).
        bound: u64,
    },
    /// More transactions are waiting for their order than the node takes (53300).
    #[error("too many transactions are waiting")]
    Queue {
        /// How many wait.
        waiting: usize,
    },
    /// The disk that holds the chain is full (53100).
    #[error("disk full")]
    Disk,
}

impl Shortage {
    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Memory { .. } => {
                "Rows can't be sealed into files, so that all stay in memory: the node's log says why."
            }
            Self::Queue { .. } => "Try again.",
            Self::Disk => {
                "Free space on the disk that holds the chain; the node can still be read."
            }
        }
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "53200",
            Self::Queue { .. } => "53300",
            Self::Disk => "53100",
        }
    }
}
