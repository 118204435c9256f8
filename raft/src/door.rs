//! What other nodes ask of this one. Everything that comes in is checked here before consensus sees it: who asks,
//! that blocks are what their headers say, and that they hang together and on the chain that is here.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ledger::{Block, Hash};
use openraft::{
    Raft, RaftTypeConfig,
    entry::RaftEntry,
    raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult},
};
use storage::{BlockFile, Fault, parallel::unhurried};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    certifier::Certifier,
    codec::{
        self,
        messages::{Answer, Request, addressed},
    },
    desk::Desk,
    members::Membership,
    mend::lend,
    reads::Reads,
    runtime::Runtime,
    state_machine::StateMachine,
    types::{Body, Entry, EntryId, NodeId, Types},
};

#[cfg(test)]
mod tests;

/// Bytes of a block's record beside the block: never as many.
const BESIDE: usize = 64;

/// Why a node isn't answered.
#[derive(Debug, Error)]
pub enum Unanswered {
    /// The message is none, or says what can't be. Whoever sent it is broken, or lies.
    #[error("a message from node {from} is refused: {reason}")]
    Refused {
        /// Who sent it.
        from: NodeId,
        /// What is wrong.
        reason: String,
    },
    /// This node's consensus has ended.
    #[error("this node takes part no more: {0}")]
    Ended(String),
}

/// Where messages from other nodes come in.
pub(crate) struct Door<R: Runtime> {
    pub(crate) raft: Raft<Types<R>, StateMachine>,
    pub(crate) blocks: Arc<BlockFile>,
    /// The chain, by its genesis block's hash.
    pub(crate) chain: Hash,
    /// Bytes of blocks that consensus was given, and that it may not have written yet.
    pub(crate) taken: AtomicU64,
    pub(crate) members: Membership<R>,
    pub(crate) certifier: Arc<Certifier>,
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) reads: Arc<Reads<R>>,
}

impl<R: Runtime> Door<R> {
    /// Answers one message of a node whose identity is established.
    pub(crate) async fn answer(&self, from: NodeId, message: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let refused = |error: io::Error| Unanswered::Refused { from, reason: error.to_string() };
        let ended = |error: &dyn std::fmt::Display| Unanswered::Ended(error.to_string());
        let (to, question) = addressed(message).map_err(refused)?;
        if to != *self.raft.node_id() {
            return Err(refused(wrong(format!("it is for node {to}"))));
        }
        let request = Request::<R>::decode(question).map_err(refused)?;
        let answer = match request {
            Request::Append(request) => {
                let checked = unhurried(operations(&request), || {
                    check(&self.blocks, self.chain, from, &request)
                });
                checked.map_err(refused)?;
                let Some(_taken) = self.take(&request, message.len()).await else {
                    return Answer::<R>::NoRoom.encode().map_err(refused);
                };
                let (before, last) =
                    (request.prev_log_id, request.entries.last().map(Entry::log_id));
                let answer = self.raft.append_entries(request).await;
                Answer::Append(appended(
                    answer.map_err(|error| ended(&error))?,
                    before,
                    last.or(before),
                ))
            }
            Request::Vote(request) => {
                candidate(from, request.vote.leader_id().node_id).map_err(refused)?;
                Answer::Vote(self.raft.vote(request).await.map_err(|error| ended(&error))?)
            }
            Request::PreVote(request) => {
                candidate(from, request.vote.leader_id().node_id).map_err(refused)?;
                Answer::Vote(self.raft.pre_vote(request).await.map_err(|error| ended(&error))?)
            }
            Request::Lead(request) => {
                candidate(from, request.from_leader().leader_id().node_id).map_err(refused)?;
                let answer = self.raft.handle_transfer_leader(request).await;
                Answer::Lead(answer.map_err(|error| ended(&error))?)
            }
            Request::ReadPoint => Answer::ReadPoint(self.reads.point_of_leader().await),
            Request::Change(change) => Answer::Changed(self.members.change_here(change).await),
            Request::Progress => Answer::Progress(self.members.progress()),
            Request::Blocks(from, to) => Answer::Blocks(lend(&self.blocks, from, to)),
            Request::Certify(ask) => Answer::Certify(self.certifier.answer(&ask)),
            Request::Submit { under, transaction } => {
                Answer::Told(self.desk.take(under, &transaction).await)
            }
            Request::Settle { under, id } => Answer::Told(self.desk.close(under, id).await),
        };
        answer.encode().map_err(refused)
    }

    /// Sees to it that blocks of so many bytes have their place on the disk before consensus gets them: there, one that
    /// can't be written would keep all behind it waiting, votes too. Nothing if there is none.
    async fn take(
        &self,
        request: &AppendEntriesRequest<Types<R>>,
        bytes: usize,
    ) -> Option<Taken<'_>> {
        if request.entries.is_empty() {
            return Some(Taken { all: &self.taken, bytes: 0 });
        }
        let bytes = (bytes + request.entries.len() * BESIDE) as u64;
        let all = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let taken = Taken { all: &self.taken, bytes };
        if all > self.blocks.room() {
            let (sender, receiver) = oneshot::channel();
            let done = Box::new(move |result| drop(sender.send(result)));
            // One that has stopped, or is damaged, is consensus' matter.
            if self.blocks.reserve(all, done).is_ok()
                && let Ok(Err(Fault::DiskFull { .. })) = receiver.await
            {
                return None;
            }
        }
        Some(taken)
    }
}

/// Bytes of blocks that consensus was given, until it has answered.
struct Taken<'a> {
    all: &'a AtomicU64,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The height up to which a linearizable read must see, of a leader that is still one.
pub(crate) async fn read_point<R: Runtime>(
    raft: &Raft<Types<R>, StateMachine>,
) -> Result<u64, String> {
    let linearizer = raft.get_read_linearizer(openraft::ReadPolicy::ReadIndex).await;
    Ok(linearizer.map_err(|error| error.to_string())?.read_log_id().index())
}

fn appended<R: Runtime>(
    answer: AppendEntriesResponse<Types<R>>,
    before: Option<EntryId>,
    last: Option<EntryId>,
) -> StreamAppendResult<Types<R>> {
    match (answer, before) {
        (AppendEntriesResponse::Success, _) => Ok(last),
        (AppendEntriesResponse::PartialSuccess(until), _) => Ok(until),
        (AppendEntriesResponse::HigherVote(vote), _) => Err(StreamAppendError::HigherVote(vote)),
        (AppendEntriesResponse::Conflict, Some(before)) => Err(StreamAppendError::Conflict(before)),
        // Nothing conflicts with the beginning.
        (AppendEntriesResponse::Conflict, None) => Ok(None),
    }
}

fn operations<C: RaftTypeConfig<Entry = Entry>>(request: &AppendEntriesRequest<C>) -> usize {
    let blocks = request.entries.iter().filter_map(block_of);
    blocks.flat_map(|block| &block.transactions).map(|it| it.operations.len()).sum()
}

fn block_of(entry: &Entry) -> Option<&Arc<Block>> {
    match &entry.payload.body {
        Body::Block(block) => Some(block),
        Body::Blank | Body::Draft(_) => None,
    }
}

fn candidate(from: NodeId, named: NodeId) -> io::Result<()> {
    if from == named { Ok(()) } else { Err(wrong(format!("it speaks for node {named}"))) }
}

fn wrong(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Checks blocks that a leader sends: they are of this chain, whole, and each names the one before as its parent;
/// the first one, too, if this node has the same block before it.
fn check<R: Runtime>(
    blocks: &BlockFile,
    chain: Hash,
    from: NodeId,
    request: &AppendEntriesRequest<Types<R>>,
) -> io::Result<()> {
    candidate(from, request.vote.leader_id().node_id)?;
    let next = request.prev_log_id.as_ref().map_or(0, |id| id.index + 1);
    let mut parent = match &request.prev_log_id {
        None => Some(Hash::default()),
        Some(before) => {
            let own = blocks.front(ledger::Height(before.index)).ok().flatten();
            let same = own.filter(|own| codec::entry_id(own).is_ok_and(|id| id == *before));
            same.map(|own| own.header.hash())
        }
    };
    for (height, block) in (next..).zip(request.entries.iter().filter_map(block_of)) {
        let header = &block.header;
        if header.height.0 != height {
            return Err(wrong(format!("block {} where {height} was due", header.height.0)));
        }
        if header.chain_id() != chain {
            return Err(wrong(format!("block {height} is of another chain")));
        }
        if parent.is_some_and(|parent| parent != header.parent) {
            return Err(wrong(format!(
                "block {height} names another parent than the block before"
            )));
        }
        block.verify_body().map_err(|error| wrong(error.to_string()))?;
        parent = Some(header.hash());
    }
    Ok(())
}
