//! Who keeps the chain: nodes come, get a vote, hand over the lead and go, one change after the other, decided by the
//! leader and asked for anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ledger::{Height, PublicKey};
use openraft::{
    ChangeMembers, Raft,
    async_runtime::watch::WatchReceiver as _,
    errors::{ClientWriteError, RaftError},
};
use storage::{NodeChange, NodeInfo, Refused, Role, State};

use crate::{
    codec::messages::{Answer, Request},
    network::{Lane, Ways},
    runtime::Runtime,
    state_machine::StateMachine,
    types::{NodeId, Peer, Types},
};

/// How long the leader may take for a change: it asks a quorum, twice.
const CHANGE: Duration = Duration::from_secs(20);
/// How long the leader may take to say how far each node is.
const PROGRESS: Duration = Duration::from_secs(1);
/// A node that lacks more blocks than this would hold up the others if it had a vote.
const NEAR: u64 = 1024;

/// The members of one chain.
#[derive(Clone)]
pub(crate) struct Membership<R: Runtime> {
    raft: Raft<Types<R>, StateMachine>,
    ways: Ways,
    state: Arc<State>,
    /// One change at a time.
    alone: Arc<tokio::sync::Mutex<()>>,
}

impl<R: Runtime> Membership<R> {
    pub(crate) fn new(raft: Raft<Types<R>, StateMachine>, ways: Ways, state: Arc<State>) -> Self {
        Self { raft, ways, state, alone: Arc::default() }
    }

    /// Changes the nodes, through the leader if this node isn't it.
    pub(crate) async fn change(&self, change: NodeChange) -> Result<NodeId, Refused> {
        let Some((leader, peer)) = self.other_leader()? else {
            return self.change_here(change).await;
        };
        let way = self.ways.to(leader, &peer);
        match way.ask::<R>(Lane::Prompt, &Request::Change(change), CHANGE).await {
            Ok(Answer::Changed(outcome)) => outcome,
            Ok(_) => Err(Refused::NotLeading),
            Err(error) => Err(Refused::Failed(error.to_string())),
        }
    }

    /// Changes the nodes, if this node leads.
    pub(crate) async fn change_here(&self, change: NodeChange) -> Result<NodeId, Refused> {
        let _alone = self.alone.lock().await;
        match change {
            NodeChange::Admit { address, public_key } => {
                self.admit(Peer { address, public_key }).await
            }
            NodeChange::Promote(id) => self.promote(id).await,
            NodeChange::Remove(id) => self.remove(id).await,
            NodeChange::HandOver(id) => self.hand_over(id).await,
        }
    }

    /// Makes these the voters.
    pub(crate) async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Refused> {
        let _alone = self.alone.lock().await;
        self.raft.change_membership(voters, true).await.map_err(refused).map(drop)
    }

    /// All nodes, with how far each is, if the leader can be asked.
    pub(crate) async fn list(&self) -> Vec<NodeInfo> {
        let heights: BTreeMap<NodeId, Option<u64>> = match self.other_leader() {
            Ok(None) => self.progress().into_iter().collect(),
            Ok(Some((leader, peer))) => {
                let way = self.ways.to(leader, &peer);
                match way.ask::<R>(Lane::Prompt, &Request::Progress, PROGRESS).await {
                    Ok(Answer::Progress(all)) => all.into_iter().collect(),
                    Ok(_) | Err(_) => BTreeMap::new(),
                }
            }
            Err(_) => BTreeMap::new(),
        };
        let own = *self.raft.node_id();
        let metrics = self.raft.server_metrics();
        let known = metrics.borrow_watched();
        let members = known.membership_config.membership();
        let voters: BTreeSet<NodeId> = members.voter_ids().collect();
        let info = |(id, peer): (&NodeId, &Peer)| NodeInfo {
            id: *id,
            address: peer.address.clone(),
            public_key: PublicKey(peer.public_key),
            role: match voters.contains(id) {
                true if known.current_leader == Some(*id) => Role::Leader,
                true => Role::Voter,
                false => Role::Learner,
            },
            own: *id == own,
            height: heights.get(id).copied().flatten().map(Height),
            version: match *id == own {
                true => Some(env!("CARGO_PKG_VERSION").to_owned()),
                false => self.ways.network.version(peer),
            },
        };
        members.nodes().map(info).collect()
    }

    /// How far each node is; nothing unless this node leads.
    pub(crate) fn progress(&self) -> Vec<(NodeId, Option<u64>)> {
        let metrics = self.raft.metrics();
        let known = metrics.borrow_watched();
        let Some(progress) = &known.replication else { return Vec::new() };
        progress.iter().map(|(id, matched)| (*id, matched.as_ref().map(|it| it.index))).collect()
    }

    /// The leader, unless it is this node.
    fn other_leader(&self) -> Result<Option<(NodeId, Peer)>, Refused> {
        let metrics = self.raft.server_metrics();
        let known = metrics.borrow_watched();
        let leader = known.current_leader.ok_or(Refused::NotLeading)?;
        if leader == *self.raft.node_id() {
            return Ok(None);
        }
        let peer = known.membership_config.membership().get_node(&leader).cloned();
        Ok(Some((leader, peer.ok_or(Refused::NotLeading)?)))
    }

    /// All nodes, and which of them have a vote, as far as this node knows.
    pub(crate) fn known(&self) -> (BTreeMap<NodeId, Peer>, BTreeSet<NodeId>) {
        let metrics = self.raft.server_metrics();
        let known = metrics.borrow_watched();
        let members = known.membership_config.membership();
        let nodes = members.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
        (nodes, members.voter_ids().collect())
    }

    async fn commit(
        &self,
        change: ChangeMembers<NodeId, Peer>,
        retain: bool,
    ) -> Result<(), Refused> {
        self.raft.change_membership(change, retain).await.map_err(refused).map(drop)
    }

    async fn admit(&self, peer: Peer) -> Result<NodeId, Refused> {
        if self.state.catalog().member_of_hash(PublicKey(peer.public_key).member()).is_none() {
            return Err(Refused::NoMember);
        }
        let (nodes, _) = self.known();
        let known = nodes.iter().find(|(_, known)| known.public_key == peer.public_key);
        if let Some((id, known)) = known {
            if known.address != peer.address {
                // Who it is doesn't change: that is its key.
                let moved = ChangeMembers::SetNodes(BTreeMap::from([(*id, peer)]));
                self.commit(moved, true).await?;
            }
            return Ok(*id);
        }
        // A block is made for it, so that its height can be the number.
        let id = self.raft.write_blank().await.map_err(refused)?.log_id.index;
        self.raft.add_learner(id, peer, false).await.map_err(refused)?;
        Ok(id)
    }

    async fn promote(&self, id: NodeId) -> Result<NodeId, Refused> {
        let (nodes, voters) = self.known();
        if !nodes.contains_key(&id) {
            return Err(Refused::NoNode(id));
        }
        if voters.contains(&id) {
            return Ok(id);
        }
        let newest = {
            let metrics = self.raft.metrics();
            let known = metrics.borrow_watched();
            known.last_log_index.unwrap_or(0)
        };
        let progress = self.progress();
        let has = progress.iter().find(|(node, _)| *node == id).and_then(|(_, height)| *height);
        let blocks = newest.saturating_sub(has.unwrap_or(0));
        if has.is_none() || blocks > NEAR {
            return Err(Refused::Behind { node: id, blocks });
        }
        self.commit(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await?;
        Ok(id)
    }

    async fn remove(&self, id: NodeId) -> Result<NodeId, Refused> {
        let (nodes, voters) = self.known();
        if !nodes.contains_key(&id) {
            return Err(Refused::NoNode(id));
        }
        if !voters.contains(&id) {
            self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([id])), true).await?;
            return Ok(id);
        }
        if voters.len() == 1 {
            return Err(Refused::LastVoter(id));
        }
        if id == *self.raft.node_id() {
            // Whoever goes can't tell how it ended: another one sees to it.
            let other = self.progress().into_iter().filter(|(other, _)| voters.contains(other));
            let other = other.filter(|(other, _)| *other != id).max_by_key(|(_, height)| *height);
            let (other, _) = other.ok_or(Refused::LastVoter(id))?;
            self.hand_over(other).await?;
            return Err(Refused::NotLeading);
        }
        self.commit(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false).await?;
        Ok(id)
    }

    async fn hand_over(&self, to: NodeId) -> Result<NodeId, Refused> {
        if !self.known().1.contains(&to) {
            return Err(Refused::NoNode(to));
        }
        let handed = self.raft.trigger().transfer_leader(to).await;
        handed.map_err(|error| Refused::Failed(error.to_string()))?;
        Ok(to)
    }
}

fn refused<R: Runtime>(error: RaftError<Types<R>, ClientWriteError<Types<R>>>) -> Refused {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Refused::NotLeading,
        other => Refused::Failed(other.to_string()),
    }
}
