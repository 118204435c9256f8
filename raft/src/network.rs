//! The way to other nodes. A single voter has none to talk to: whoever is asked for can't be reached.

use openraft::{
    AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};

use crate::{
    state_machine::{Mark, MarkedSnapshot},
    types::{NodeId, Peer, Types, Vote},
};

/// Reaches nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone;

fn unreachable_peer() -> Unreachable<Types> {
    Unreachable::new(&AnyError::error("this node has no network to other nodes"))
}

impl RaftNetworkFactory<Types> for Alone {
    type Network = Self;

    async fn new_client(&mut self, _target: NodeId, _node: &Peer) -> Self {
        *self
    }
}

impl RaftNetworkV2<Types> for Alone {
    type SnapshotData = Mark;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(unreachable_peer()))
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(unreachable_peer()))
    }

    // The library's own answer would be a granted vote, from a node that was never asked.
    async fn pre_vote(
        &mut self,
        _request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(unreachable_peer()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: MarkedSnapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(StreamingError::Unreachable(unreachable_peer()))
    }
}
