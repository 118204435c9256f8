//! What nodes say to one another: each message is a version byte and borsh bytes. A block goes as its own
//! canonical bytes, and everything else of an entry (its place, its leader, the members it sets) is read from it.
//! Behind a question stands the number of the node that it is for (8 bytes).

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Block, Height, Receipt, TransactionId};
use openraft::{
    entry::RaftEntry,
    raft::{
        AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
        TransferLeaderRequest, VoteRequest, VoteResponse,
    },
    vote::RaftVote,
};
use storage::{NodeChange, Refused, SubmitError};

use super::{decode_members, ended, entry_id, malformed, outcome::Outcome, take, versioned};
use crate::{
    certifier::{Ask, Told},
    runtime::Runtime,
    types::{Body, Entry, EntryId, LeaderId, NodeId, Payload, Types, Vote},
};

/// Most bytes of a message: more than the largest block, of one transaction, has.
pub(crate) const MOST: usize = 512 << 20;

/// A place in the log: term and node of the leader, and the height.
type Place = (u64, NodeId, u64);
/// A vote: term and node, and whether a quorum granted it.
type Voted = (u64, NodeId, bool);

/// What a node asks another.
#[derive(BorshSerialize, BorshDeserialize)]
enum Question {
    Append { vote: Voted, before: Option<Place>, committed: Option<Place>, blocks: Vec<Vec<u8>> },
    Vote { vote: Voted, last: Option<Place>, transfer: bool },
    PreVote { vote: Voted, last: Option<Place>, transfer: bool },
    Lead { from: Voted, to: NodeId, last: Option<Place> },
    ReadPoint,
    Change(NodeChange),
    Progress,
    Blocks { from: u64, to: u64 },
    Certify(Ask),
    Submit { under: (u64, NodeId), transaction: Vec<u8> },
    Settle { under: (u64, NodeId), id: TransactionId },
}

/// What it answers.
#[derive(BorshSerialize, BorshDeserialize)]
enum Reply {
    Appended(Option<Place>),
    Conflict(Place),
    HigherVote(Voted),
    Voted { vote: Voted, granted: bool, last: Option<Place> },
    Leads,
    LeadVoteChanged { expected: Voted, actual: Voted },
    LeadNotFlushed { expected: Option<Place>, actual: Option<Place> },
    ReadPoint(u64),
    NotLeading,
    NoRoom,
    Changed(Result<NodeId, Refused>),
    Progress(Vec<(NodeId, Option<u64>)>),
    Blocks(Vec<Vec<u8>>),
    Certify(Told),
    Told(Outcome),
}

/// A question, as consensus has it.
#[derive(Debug)]
pub(crate) enum Request<R: Runtime> {
    Append(AppendEntriesRequest<Types<R>>),
    Vote(VoteRequest<Types<R>>),
    PreVote(VoteRequest<Types<R>>),
    Lead(TransferLeaderRequest<Types<R>>),
    ReadPoint,
    Change(NodeChange),
    Progress,
    /// The blocks from one height to another, inclusive, as far as they fit an answer.
    Blocks(Height, Height),
    Certify(Ask),
    /// Takes a signed transaction, in its canonical bytes, under this lead and no other.
    Submit {
        under: LeaderId,
        transaction: Vec<u8>,
    },
    /// Says what became of a transaction that was handed in under this lead; one that never came is never taken.
    Settle {
        under: LeaderId,
        id: TransactionId,
    },
}

/// An answer, as consensus has it.
#[derive(Debug)]
pub(crate) enum Answer<R: Runtime> {
    Append(StreamAppendResult<Types<R>>),
    Vote(VoteResponse<Types<R>>),
    Lead(Result<(), TransferLeaderError<Types<R>>>),
    /// The height up to which a reader has to be; nothing from one that doesn't lead.
    ReadPoint(Option<u64>),
    /// The blocks find no place on the disk, and are as good as never sent.
    NoRoom,
    Changed(Result<NodeId, Refused>),
    /// The height up to which blocks are safe on each node; nothing from one that doesn't lead.
    Progress(Vec<(NodeId, Option<u64>)>),
    /// Blocks one behind the other, none if the first isn't there.
    Blocks(Vec<Arc<Block>>),
    Certify(Told),
    /// What became of a transaction.
    Told(Result<Receipt, SubmitError>),
}

fn place(id: &EntryId) -> Place {
    (id.leader_id.term, id.leader_id.node_id, id.index)
}

/// A place that a peer names. The greatest number is none: there is always a next one.
fn id((term, node_id, index): Place) -> io::Result<EntryId> {
    match index {
        u64::MAX => Err(malformed("a height that no block can have")),
        _ => Ok(EntryId::new(LeaderId { term, node_id }, index)),
    }
}

fn ids(place: Option<Place>) -> io::Result<Option<EntryId>> {
    place.map(id).transpose()
}

fn voted(vote: &Vote) -> Voted {
    (vote.leader_id().term, vote.leader_id().node_id, vote.is_committed())
}

fn vote((term, node_id, committed): Voted) -> Vote {
    Vote::from_leader_id(LeaderId { term, node_id }, committed)
}

fn encode(message: &impl BorshSerialize) -> io::Result<Vec<u8>> {
    let mut out = vec![super::VERSION];
    borsh::to_writer(&mut out, message)?;
    if out.len() > MOST { Err(malformed("a message that is too long")) } else { Ok(out) }
}

fn decode<T: BorshDeserialize>(bytes: &[u8]) -> io::Result<T> {
    if bytes.len() > MOST {
        return Err(malformed("a message that is too long"));
    }
    let mut rest = versioned(bytes, "message")?;
    let message = take(&mut rest)?;
    ended(rest, "message")?;
    Ok(message)
}

/// Says for whom a question is. A machine that was taken out and came back empty has its key and address still, and
/// another number: what it never promised must not be asked of it.
pub(crate) fn address(mut question: Vec<u8>, to: NodeId) -> Vec<u8> {
    question.extend_from_slice(&to.to_le_bytes());
    question
}

/// For whom a question is, and the question.
///
/// # Errors
/// Bytes that are too few.
pub(crate) fn addressed(bytes: &[u8]) -> io::Result<(NodeId, &[u8])> {
    let (question, to) =
        bytes.split_last_chunk().ok_or_else(|| malformed("a message for nobody"))?;
    Ok((NodeId::from_le_bytes(*to), question))
}

/// The entry that a block is.
///
/// # Errors
/// A stamp or members that don't read.
pub(crate) fn entry(block: Arc<Block>) -> io::Result<Entry> {
    let members = match block.membership.as_slice() {
        [] => None,
        bytes => Some(decode_members(bytes)?),
    };
    let id = entry_id(&block)?;
    Ok(Entry::new(id, Payload { body: Body::Block(block), members }))
}

impl<R: Runtime> Request<R> {
    /// # Errors
    /// An entry that is no block; more bytes than a message may have.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let question = match self {
            Self::Append(request) => Question::Append {
                vote: voted(&request.vote),
                before: request.prev_log_id.as_ref().map(place),
                committed: request.leader_commit.as_ref().map(place),
                blocks: request.entries.iter().map(block_bytes).collect::<io::Result<_>>()?,
            },
            Self::Vote(request) => Question::Vote {
                vote: voted(&request.vote),
                last: request.last_log_id.as_ref().map(place),
                transfer: request.leadership_transfer,
            },
            Self::PreVote(request) => Question::PreVote {
                vote: voted(&request.vote),
                last: request.last_log_id.as_ref().map(place),
                transfer: request.leadership_transfer,
            },
            Self::Lead(request) => Question::Lead {
                from: voted(request.from_leader()),
                to: *request.to_node_id(),
                last: request.last_log_id().map(place),
            },
            Self::ReadPoint => Question::ReadPoint,
            Self::Change(change) => Question::Change(change.clone()),
            Self::Progress => Question::Progress,
            Self::Blocks(from, to) => Question::Blocks { from: from.0, to: to.0 },
            Self::Certify(ask) => Question::Certify(ask.clone()),
            Self::Submit { under, transaction } => Question::Submit {
                under: (under.term, under.node_id),
                transaction: transaction.clone(),
            },
            Self::Settle { under, id } => {
                Question::Settle { under: (under.term, under.node_id), id: *id }
            }
        };
        encode(&question)
    }

    /// # Errors
    /// Bytes that are no message, or blocks that don't read. What blocks say is not checked.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let asked = |to: Voted, last: Option<Place>, transfer| -> io::Result<_> {
            let (vote, last_log_id) = (vote(to), ids(last)?);
            Ok(VoteRequest { vote, last_log_id, leadership_transfer: transfer })
        };
        Ok(match decode(bytes)? {
            Question::Append { vote: by, before, committed, blocks } => {
                let entry_of = |bytes: Vec<u8>| entry(block(&bytes)?);
                Self::Append(AppendEntriesRequest {
                    vote: vote(by),
                    prev_log_id: ids(before)?,
                    leader_commit: ids(committed)?,
                    entries: blocks.into_iter().map(entry_of).collect::<io::Result<_>>()?,
                })
            }
            Question::Vote { vote, last, transfer } => Self::Vote(asked(vote, last, transfer)?),
            Question::PreVote { vote, last, transfer } => {
                Self::PreVote(asked(vote, last, transfer)?)
            }
            Question::Lead { from, to, last } => {
                Self::Lead(TransferLeaderRequest::new(vote(from), to, ids(last)?))
            }
            Question::ReadPoint => Self::ReadPoint,
            Question::Change(change) => Self::Change(change),
            Question::Progress => Self::Progress,
            Question::Blocks { from, to } => Self::Blocks(Height(from), Height(to)),
            Question::Certify(ask) => Self::Certify(ask),
            Question::Submit { under: (term, node_id), transaction } => {
                Self::Submit { under: LeaderId { term, node_id }, transaction }
            }
            Question::Settle { under: (term, node_id), id } => {
                Self::Settle { under: LeaderId { term, node_id }, id }
            }
        })
    }
}

fn block(bytes: &[u8]) -> io::Result<Arc<Block>> {
    Block::decode(bytes).map(Arc::new).map_err(|error| malformed(&error.to_string()))
}

fn block_bytes(entry: &Entry) -> io::Result<Vec<u8>> {
    match &entry.payload.body {
        Body::Block(block) => Ok(block.encode()),
        Body::Blank | Body::Draft(_) => Err(malformed("an entry that is no block")),
    }
}

impl<R: Runtime> Answer<R> {
    /// # Errors
    /// More bytes than a message may have.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        encode(&match self {
            Self::Append(Ok(last)) => Reply::Appended(last.as_ref().map(place)),
            Self::Append(Err(StreamAppendError::Conflict(at))) => Reply::Conflict(place(at)),
            Self::Append(Err(StreamAppendError::HigherVote(vote))) => {
                Reply::HigherVote(voted(vote))
            }
            Self::Vote(answer) => Reply::Voted {
                vote: voted(&answer.vote),
                granted: answer.vote_granted,
                last: answer.last_log_id.as_ref().map(place),
            },
            Self::Lead(Ok(())) => Reply::Leads,
            Self::Lead(Err(TransferLeaderError::VoteChanged { expected, actual })) => {
                Reply::LeadVoteChanged { expected: voted(expected), actual: voted(actual) }
            }
            Self::Lead(Err(TransferLeaderError::LogNotFlushed { expected, actual })) => {
                Reply::LeadNotFlushed {
                    expected: expected.as_ref().map(place),
                    actual: actual.as_ref().map(place),
                }
            }
            Self::ReadPoint(Some(height)) => Reply::ReadPoint(*height),
            Self::ReadPoint(None) => Reply::NotLeading,
            Self::NoRoom => Reply::NoRoom,
            Self::Changed(outcome) => Reply::Changed(outcome.clone()),
            Self::Progress(all) => Reply::Progress(all.clone()),
            Self::Blocks(blocks) => {
                Reply::Blocks(blocks.iter().map(|block| block.encode()).collect())
            }
            Self::Certify(told) => Reply::Certify(told.clone()),
            Self::Told(told) => Reply::Told(told.into()),
        })
    }

    /// # Errors
    /// Bytes that are no message.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        Ok(match decode(bytes)? {
            Reply::Appended(last) => Self::Append(Ok(ids(last)?)),
            Reply::Conflict(at) => Self::Append(Err(StreamAppendError::Conflict(id(at)?))),
            Reply::HigherVote(higher) => {
                Self::Append(Err(StreamAppendError::HigherVote(vote(higher))))
            }
            Reply::Voted { vote: by, granted, last } => {
                Self::Vote(VoteResponse::new(vote(by), ids(last)?, granted))
            }
            Reply::Leads => Self::Lead(Ok(())),
            Reply::LeadVoteChanged { expected, actual } => {
                let (expected, actual) = (vote(expected), vote(actual));
                Self::Lead(Err(TransferLeaderError::VoteChanged { expected, actual }))
            }
            Reply::LeadNotFlushed { expected, actual } => {
                let (expected, actual) = (ids(expected)?, ids(actual)?);
                Self::Lead(Err(TransferLeaderError::LogNotFlushed { expected, actual }))
            }
            Reply::ReadPoint(height) => Self::ReadPoint(Some(height)),
            Reply::NotLeading => Self::ReadPoint(None),
            Reply::NoRoom => Self::NoRoom,
            Reply::Changed(outcome) => Self::Changed(outcome),
            Reply::Progress(all) => Self::Progress(all),
            Reply::Blocks(blocks) => {
                Self::Blocks(blocks.iter().map(|bytes| block(bytes)).collect::<io::Result<_>>()?)
            }
            Reply::Certify(told) => Self::Certify(told),
            Reply::Told(outcome) => Self::Told(outcome.into()),
        })
    }
}
