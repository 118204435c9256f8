//! A node among others: what they ask of it, who they are, and where a reader has to be.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Height, PublicKey};
use openraft::async_runtime::watch::WatchReceiver;
use storage::{BoxFuture, NodeChange, Refused};

use super::{NodeOn, Running};
use crate::{
    codec::messages::{Answer, Request, addressed},
    door::Unanswered,
    mend,
    runtime::Runtime,
    types::{NodeId, Peer},
};

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
            // What is whole can be lent all the same.
            None => match addressed(message).and_then(|(_, it)| Request::<R>::decode(it)) {
                Ok(Request::Blocks(from, to)) => {
                    let answer = Answer::<R>::Blocks(mend::lend(&self.blocks, from, to)).encode();
                    answer.map_err(|error| Unanswered::Ended(error.to_string()))
                }
                _ => Err(Unanswered::Ended("it is read-only".to_owned())),
            },
        }
    }

    /// Where transactions are handed in.
    #[cfg(test)]
    pub(crate) fn desk(&self) -> Option<&std::sync::Arc<crate::desk::Desk<R>>> {
        self.running.as_ref().map(|running| &running.desk)
    }

    /// This node's number, while it takes part.
    pub fn id(&self) -> Option<NodeId> {
        self.running.as_ref().map(|running| *running.raft.node_id())
    }

    /// All nodes of the chain, as far as this node knows.
    pub fn members(&self) -> BTreeMap<NodeId, Peer> {
        let known = self.running.as_ref().map(|running| running.members.known().0);
        known.unwrap_or_default()
    }

    /// The number of the node with this key, as far as this node knows.
    pub fn number_of(&self, key: &PublicKey) -> Option<NodeId> {
        let metrics = self.running.as_ref()?.raft.server_metrics();
        let known = metrics.borrow_watched();
        let mut nodes = known.membership_config.membership().nodes();
        nodes.find(|(_, peer)| peer.public_key == key.0).map(|(id, _)| *id)
    }

    /// The voters, as far as this node knows.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.running.as_ref().map(|it| it.raft.voter_ids().collect()).unwrap_or_default()
    }

    /// Changes the nodes, through the leader if this node isn't it.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn change(&self, change: NodeChange) -> BoxFuture<'static, Result<NodeId, Refused>> {
        let members = self.takes_part().map(|running| running.members.clone());
        Box::pin(async move { members?.change(change).await })
    }

    /// Makes these the voters. They must have been admitted; the others keep getting blocks.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Refused> {
        self.takes_part()?.members.set_voters(voters).await
    }

    /// Waits until the state here holds all that was committed anywhere when this was called, and gives a height that
    /// does: what is read then is linearizable.
    ///
    /// # Errors
    /// [`Refused`] when there is no leader, or it reaches no quorum.
    pub async fn read_point(&self) -> Result<Height, Refused> {
        let point = self.takes_part()?.reads.point().await;
        let height = point.ok_or(Refused::NotLeading)?;
        self.state.wait_applied(height).await;
        Ok(height)
    }
}
