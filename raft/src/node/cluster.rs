//! A node among others: what they ask of it, who they are, and where a reader has to be.

use std::{collections::BTreeSet, time::Duration};

use ledger::{Height, PublicKey};
use openraft::{
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, RaftError},
};
use storage::BoxFuture;
use thiserror::Error;

use super::{NodeOn, Running};
use crate::{
    codec::messages::{Answer, Request},
    door::{self, Unanswered},
    network::Lane,
    runtime::Runtime,
    types::{NodeId, Peer, Types},
};

/// How long the leader may take to say where a reader has to be: it asks a quorum.
const READ_POINT: Duration = Duration::from_secs(1);

/// Why a change of the members, or a read, can't be done now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Another node leads, or none does.
    #[error("this node does not lead its chain")]
    NotLeading,
    /// The key of a node that is to be admitted is no member's: it could never propose a block.
    #[error("the node's key is no member's of the chain")]
    NoMember,
    /// Something else; it may have been done.
    #[error("{0}")]
    Failed(String),
}

impl<R: Runtime> NodeOn<R> {
    fn takes_part(&self) -> Result<&Running<R>, Refused> {
        self.running.as_ref().ok_or_else(|| Refused::Failed("the node is read-only".to_owned()))
    }

    /// Answers a message of another node, whose identity the network has established.
    ///
    /// # Errors
    /// When there is no answer: see [`Unanswered`].
    pub async fn answer(&self, from: NodeId, message: &[u8]) -> Result<Vec<u8>, Unanswered> {
        match &self.running {
            Some(running) => running.door.answer(from, message).await,
            None => Err(Unanswered::Ended("it is read-only".to_owned())),
        }
    }

    /// This node's number, while it takes part.
    pub fn id(&self) -> Option<NodeId> {
        self.running.as_ref().map(|running| *running.raft.node_id())
    }

    /// The voters, as far as this node knows.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.running.as_ref().map(|it| it.raft.voter_ids().collect()).unwrap_or_default()
    }

    /// Admits a node: it gets a number that no other has or had, and from now on the blocks, but no vote.
    ///
    /// # Errors
    /// [`Refused`]; the number is lost then.
    pub async fn admit(&self, peer: Peer) -> Result<NodeId, Refused> {
        let raft = &self.takes_part()?.raft;
        if self.state.catalog().member_of_hash(PublicKey(peer.public_key).member()).is_none() {
            return Err(Refused::NoMember);
        }
        // A block is made for it, so that its height can be the number.
        let id = raft.write_blank().await.map_err(refused)?.log_id.index;
        raft.add_learner(id, peer, false).await.map_err(refused)?;
        Ok(id)
    }

    /// Makes these the voters. They must have been admitted; the others keep getting blocks.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Refused> {
        let raft = &self.takes_part()?.raft;
        raft.change_membership(voters, true).await.map_err(refused).map(drop)
    }

    /// Hands the lead over to another voter, which takes it when it has all blocks.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn hand_over(&self, to: NodeId) -> BoxFuture<'static, Result<(), Refused>> {
        let raft = self.takes_part().map(|running| running.raft.clone());
        Box::pin(async move {
            let handed = raft?.trigger().transfer_leader(to).await;
            handed.map_err(|error| Refused::Failed(error.to_string()))
        })
    }

    /// Waits until the state here holds all that was committed anywhere when this was called, and gives a height that
    /// does: what is read then is linearizable.
    ///
    /// # Errors
    /// [`Refused`] when there is no leader, or it reaches no quorum.
    pub async fn read_point(&self) -> Result<Height, Refused> {
        let running = self.takes_part()?;
        let leader = {
            let metrics = running.raft.server_metrics();
            let known = metrics.borrow_watched();
            let leader = known.current_leader.ok_or(Refused::NotLeading)?;
            let peer = known.membership_config.membership().get_node(&leader).cloned();
            (leader != *running.raft.node_id()).then_some((leader, peer.unwrap_or_default()))
        };
        let height = match leader {
            None => door::read_point(&running.raft).await.map_err(Refused::Failed)?,
            Some((leader, peer)) => {
                let way = running.ways.to(leader, &peer);
                let asked = way.ask::<R>(Lane::Prompt, &Request::ReadPoint, READ_POINT);
                match asked.await {
                    Ok(Answer::ReadPoint(Some(height))) => height,
                    Ok(_) => return Err(Refused::NotLeading),
                    Err(error) => return Err(Refused::Failed(error.to_string())),
                }
            }
        };
        self.state.wait_applied(Height(height)).await;
        Ok(Height(height))
    }
}

fn refused<R: Runtime>(error: RaftError<Types<R>, ClientWriteError<Types<R>>>) -> Refused {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Refused::NotLeading,
        other => Refused::Failed(other.to_string()),
    }
}
