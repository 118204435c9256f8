//! The way to other nodes: what consensus asks them, as messages of our own over whatever carries them. It knows
//! no socket, and answers nothing: that is the door's matter.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt};
use ledger::Hash;
use openraft::{
    AnyError, AsyncRuntime, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
        StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
        VoteResponse,
    },
};

use crate::{
    codec::messages::{Answer, Request, address},
    runtime::Runtime,
    state_machine::{Mark, MarkedSnapshot},
    types::{EntryId, NodeId, Peer, Types, Vote},
};

/// Batches of blocks on their way to one node that are not answered.
const PIPELINE: usize = 8;
/// How long a batch of blocks may stay without an answer: the other side writes and syncs it first.
const APPENDED: Duration = Duration::from_secs(2);
/// Bytes in a second below which a way counts as broken. What is longer on its way has as much more time, together
/// with all that goes before it.
const SLOWEST: u64 = 1 << 20;

/// What a message is about. Small ones must not wait behind large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Votes, heartbeats, read points.
    Prompt,
    /// Blocks.
    Blocks,
    /// What sessions hand to the leader. Each message is answered when it is decided, so many are under way at once,
    /// and they may be as large as a transaction. None may arrive twice.
    Work,
}

/// Carries messages between nodes.
pub trait Network: Send + Sync + fmt::Debug + 'static {
    /// Sends a message, which [`crate::NodeOn::answer`] answers on the other side, and waits for the answer. It is on its
    /// way when this returns, not when the future is first polled. Messages of one lane should arrive in order;
    /// none may arrive altered. Whoever asks sets a limit of time by dropping the future.
    fn ask(
        &self,
        chain: Hash,
        to: NodeId,
        peer: &Peer,
        lane: Lane,
        message: Vec<u8>,
    ) -> storage::BoxFuture<'static, Result<Vec<u8>, Unreached>>;

    /// The version that a node said it runs, if there was a way to it.
    fn version(&self, peer: &Peer) -> Option<String> {
        let _unmet = peer;
        None
    }
}

/// There is no answer: it can't be known whether the message arrived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from another node: {0}")]
pub struct Unreached(pub String);

/// Reaches nobody: the network of a node that is alone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Network for Alone {
    fn ask(
        &self,
        _chain: Hash,
        _to: NodeId,
        _peer: &Peer,
        _lane: Lane,
        _message: Vec<u8>,
    ) -> storage::BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        let reason = "this node has no network to other nodes".to_owned();
        Box::pin(std::future::ready(Err(Unreached(reason))))
    }
}

/// Makes the ways to each node of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) chain: Hash,
}

/// The way to one node.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    network: Arc<dyn Network>,
    chain: Hash,
    to: NodeId,
    peer: Peer,
    /// Bytes of blocks on their way without an answer.
    under_way: Arc<AtomicU64>,
}

/// A message with blocks on its way, until it is answered or given up.
struct UnderWay {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl UnderWay {
    /// Adds a message, and gives the time that all up to this one may take.
    fn add(all: &Arc<AtomicU64>, bytes: usize) -> (Self, Duration) {
        let bytes = bytes as u64;
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let time = Duration::from_millis((before + bytes).saturating_mul(1000) / SLOWEST);
        (Self { all: Arc::clone(all), bytes }, time)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn unreachable_peer<R: Runtime>(error: impl fmt::Display) -> Unreachable<Types<R>> {
    Unreachable::new(&AnyError::error(error))
}

impl Ways {
    pub(crate) fn to(&self, to: NodeId, peer: &Peer) -> Way {
        let (network, under_way) = (Arc::clone(&self.network), Arc::default());
        Way { network, chain: self.chain, to, peer: peer.clone(), under_way }
    }
}

impl Way {
    /// Asks; the message is on its way when this returns. Long ones have longer than the limit: see [`SLOWEST`].
    pub(crate) fn ask<R: Runtime>(
        &self,
        lane: Lane,
        request: &Request<R>,
        limit: Duration,
    ) -> impl Future<Output = Result<Answer<R>, Unreached>> + Send + 'static + use<R> {
        let message = request.encode().map(|question| address(question, self.to));
        let asked = message.map(|message| {
            let under_way = match lane {
                Lane::Prompt | Lane::Work => None,
                Lane::Blocks => Some(UnderWay::add(&self.under_way, message.len())),
            };
            (self.network.ask(self.chain, self.to, &self.peer, lane, message), under_way)
        });
        async move {
            let unreached = |error: &dyn fmt::Display| Unreached(error.to_string());
            let (asked, under_way) = asked.map_err(|error| unreached(&error))?;
            let longer = under_way.as_ref().map_or(Duration::ZERO, |(_, longer)| *longer);
            let answer = R::Tasks::timeout(limit + longer, asked).await;
            drop(under_way);
            let answer = answer.map_err(|error| unreached(&error))??;
            Answer::decode(&answer).map_err(|error| unreached(&error))
        }
    }

    async fn vote<R: Runtime>(
        &self,
        request: Request<R>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask(Lane::Prompt, &request, option.soft_ttl()).await {
            Ok(Answer::Vote(answer)) => Ok(answer),
            Ok(other) => Err(RPCError::Unreachable(off_topic(&other))),
            Err(error) => Err(RPCError::Unreachable(unreachable_peer(error))),
        }
    }

    fn append<R: Runtime>(
        &self,
        request: AppendEntriesRequest<Types<R>>,
        (lane, limit): (Lane, Duration),
    ) -> impl Future<Output = Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>>
    + Send
    + 'static
    + use<R> {
        let asked = self.ask(lane, &Request::Append(request), limit);
        async move {
            match asked.await {
                Ok(Answer::Append(result)) => Ok(result),
                Ok(Answer::NoRoom) => {
                    Err(RPCError::Unreachable(unreachable_peer("its disk is full")))
                }
                Ok(other) => Err(RPCError::Unreachable(off_topic(&other))),
                Err(error) => Err(RPCError::Unreachable(unreachable_peer(error))),
            }
        }
    }
}

fn off_topic<R: Runtime>(answer: &Answer<R>) -> Unreachable<Types<R>> {
    unreachable_peer(format!("an answer to another question: {answer:?}"))
}

impl<R: Runtime> RaftNetworkFactory<Types<R>> for Ways {
    type Network = Way;

    async fn new_client(&mut self, target: NodeId, peer: &Peer) -> Way {
        self.to(target, peer)
    }
}

impl<R: Runtime> RaftNetworkV2<Types<R>> for Way {
    type SnapshotData = Mark;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        let last: Option<EntryId> = request.entries.last().map(openraft::entry::RaftEntry::log_id);
        let last = last.or(request.prev_log_id);
        let lane = match request.entries.as_slice() {
            [] => (Lane::Prompt, option.soft_ttl()),
            _ => (Lane::Blocks, APPENDED),
        };
        Ok(match self.append(request, lane).await? {
            Ok(appended) if appended == last => AppendEntriesResponse::Success,
            Ok(appended) => AppendEntriesResponse::PartialSuccess(appended),
            other => other.into(),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>>,
            RPCError<Types<R>>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
    {
        let way = self.clone();
        // What only says how far is committed follows blocks, too: ahead of them it would find a gap.
        let lane = (Lane::Blocks, APPENDED);
        let answers = input.map(move |request| way.append(request, lane)).buffered(PIPELINE);
        let mut acknowledged = None;
        let answers: BoxStream<'s, _> = Box::pin(answers.map(move |answer| match answer {
            Ok(Ok(until)) => {
                acknowledged = acknowledged.max(until);
                Ok(Ok(until))
            }
            // A batch overtook the one that it follows. The library would take it for a loss of what was told to be
            // safe; the next attempt begins behind that.
            Ok(Err(StreamAppendError::Conflict(at))) if Some(at) <= acknowledged => {
                Err(RPCError::Unreachable(unreachable_peer("blocks came out of order")))
            }
            other => other,
        }));
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        Self::vote(self, Request::Vote(request), option).await
    }

    // The library's own answer would be a granted vote, from a node that was never asked.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        Self::vote(self, Request::PreVote(request), option).await
    }

    // No block is ever purged, so that the log itself always reaches back as far as a node lacks it.
    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: MarkedSnapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let error = "a snapshot has no data: a node is brought up by its blocks";
        Err(StreamingError::Unreachable(unreachable_peer(error)))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask(Lane::Prompt, &Request::Lead(request), option.soft_ttl()).await {
            Ok(Answer::Lead(answer)) => Ok(answer),
            Ok(other) => Err(RPCError::Unreachable(off_topic(&other))),
            Err(error) => Err(RPCError::Unreachable(unreachable_peer(error))),
        }
    }
}
