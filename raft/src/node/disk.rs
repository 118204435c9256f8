//! What a node does when its own disk is full, or fails: it hands the lead over, and tries again or takes part no more.
//! That nothing is written then is the block file's matter, and that no blocks are taken the door's.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use openraft::{AsyncRuntime, async_runtime::watch::WatchReceiver, rt::Instant};

use super::{NodeOn, Running};
use crate::{runtime::Runtime, types::NodeId};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Looks between two attempts to hand the lead over: the other voters may have no room either.
const PATIENCE: u32 = 8;
/// How long ago another voter may have answered to be thought able to lead.
const RECENT: Duration = Duration::from_secs(1);

/// Watches over a node's disk until the node is closed or gone.
pub(super) fn watch<R: Runtime>(node: &Arc<NodeOn<R>>) {
    if node.running.is_some() {
        drop(R::Tasks::spawn(look_on(Arc::downgrade(node))));
    }
}

async fn look_on<R: Runtime>(node: Weak<NodeOn<R>>) {
    let mut pause = 0_u32;
    loop {
        R::Tasks::sleep(LOOK).await;
        pause = pause.saturating_sub(1);
        let Some(node) = node.upgrade() else { break };
        let Some(running) = node.running.as_ref().filter(|_| !*node.closed.lock()) else { break };
        if node.blocks.stopped().is_some() {
            step_down(running).await;
            break;
        }
        if node.blocks.full().is_none() {
            continue;
        }
        drop(node.blocks.try_again());
        if pause == 0 && hand_over(running).await {
            tracing::warn!("the disk is full: the lead is handed over");
            pause = PATIENCE;
        }
    }
}

/// Takes part in consensus no more, until the next start. A leader lets another lead first.
async fn step_down<R: Runtime>(running: &Running<R>) {
    if hand_over(running).await {
        let mut known = running.raft.server_metrics();
        let handed = async {
            while known.borrow_watched().state == openraft::ServerState::Leader {
                if known.changed().await.is_err() {
                    break;
                }
            }
        };
        drop(R::Tasks::timeout(RECENT, handed).await);
    }
    if let Err(error) = running.raft.shutdown().await {
        tracing::error!(%error, "consensus did not shut down in order");
    }
}

/// Hands the lead over, if this node has it and there is a voter that answers and holds all blocks.
async fn hand_over<R: Runtime>(running: &Running<R>) -> bool {
    let Some(to) = successor(running) else { return false };
    running.raft.trigger().transfer_leader(to).await.is_ok()
}

fn successor<R: Runtime>(running: &Running<R>) -> Option<NodeId> {
    let own = *running.raft.node_id();
    let metrics = running.raft.metrics();
    let known = metrics.borrow_watched();
    let (replicated, heard) = (known.replication.as_ref()?, known.heartbeat.as_ref()?);
    let answers =
        |id: &NodeId| heard.get(id).copied().flatten().is_some_and(|at| at.elapsed() < RECENT);
    known
        .membership_config
        .membership()
        .voter_ids()
        .filter(|id| *id != own && answers(id))
        .map(|id| (replicated.get(&id).and_then(Option::as_ref).map_or(0, |it| it.index), id))
        .max()
        .map(|(_, id)| id)
}
