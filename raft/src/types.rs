//! openraft's types, filled in: what a log entry is here. An entry is a block; until its place in the log is
//! known it is a draft of one. Nothing of openraft is serialised by its own means: see [`crate::codec`].

use std::{fmt, marker::PhantomData, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Block, Receipt};
use openraft::{
    LogId, Membership, OptionalSend, RaftTypeConfig,
    entry::{RaftEntry, RaftPayload},
    impls::leader_id_adv,
};

use crate::{flight::Told, runtime::Runtime};

/// A node's number: the height of the block that was made for it to have one, 0 for the founder. Never used twice.
pub type NodeId = u64;
/// Who led when an entry was made.
pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, NodeId>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type Members = Membership<NodeId, Peer>;
pub(crate) type StoredMembers = openraft::StoredMembership<LeaderId, NodeId, Peer>;
pub(crate) type EntryId = LogId<LeaderId>;

/// The types that consensus works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types<R>(PhantomData<R>);

// The library's own macro takes no responder.
impl<R: Runtime> RaftTypeConfig for Types<R> {
    type D = Draft;
    type R = Applied;
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R::Tasks;
    type Responder<T>
        = Told<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// How a member is reached, and how it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Peer {
    /// `host:port`; empty for a node that nobody needs to reach.
    pub address: String,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
}

/// A block to be: what the sequencer validated, made a block for the place that it will most likely get, so
/// that its rows aren't hashed while consensus waits. Its stamp is missing.
#[derive(Debug)]
pub(crate) struct Draft(pub(crate) Box<Block>);

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions", self.0.transactions.len())
    }
}

/// What applying a block gave: the receipts of its transactions, in order.
#[derive(Debug, Default)]
pub(crate) struct Applied(pub(crate) Vec<Receipt>);

/// What an entry carries.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) body: Body,
    /// The members from this entry on, if it changes them.
    pub(crate) members: Option<Members>,
}

/// An entry's block, before and after it has its place.
#[derive(Debug)]
pub(crate) enum Body {
    /// A new leader's first entry: a block without transactions.
    Blank,
    /// A block to be.
    Draft(Draft),
    /// A block.
    Block(Arc<Block>),
}

impl RaftPayload for Payload {
    type D = Draft;
    type NodeId = NodeId;
    type Node = Peer;

    fn blank() -> Self {
        Self { body: Body::Blank, members: None }
    }

    fn with_normal(self, data: Draft) -> Self {
        Self { body: Body::Draft(data), members: self.members }
    }

    fn with_membership(self, members: Members) -> Self {
        Self { body: self.body, members: Some(members) }
    }

    fn get_membership(&self) -> Option<Members> {
        self.members.clone()
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Blank => f.write_str("blank"),
            Body::Draft(draft) => write!(f, "{draft}"),
            Body::Block(block) => write!(f, "{} transactions", block.transactions.len()),
        }?;
        if self.members.is_some() { f.write_str(" and members") } else { Ok(()) }
    }
}

/// A log entry.
#[derive(Debug)]
pub(crate) struct Entry {
    leader: LeaderId,
    index: u64,
    pub(crate) payload: Payload,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}: {}", self.leader, self.index, self.payload)
    }
}

impl RaftEntry for Entry {
    type CommittedLeaderId = LeaderId;
    type Payload = Payload;

    fn new(id: EntryId, payload: Payload) -> Self {
        Self { leader: id.leader_id, index: id.index, payload }
    }

    fn log_id_parts(&self) -> (&LeaderId, u64) {
        (&self.leader, self.index)
    }

    fn set_log_id(&mut self, new: EntryId) {
        (self.leader, self.index) = (new.leader_id, new.index);
    }

    fn get_membership(&self) -> Option<Members> {
        self.payload.members.clone()
    }
}
