//! What a node does when its own disk is full, fails or has forgotten something: it hands the lead over, and tries again or
//! takes part no more; damaged blocks it fetches from others. That nothing is written on a full or failed disk is the block
//! file's matter, and that no blocks are taken the door's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use ledger::Height;
use openraft::{AsyncRuntime, async_runtime::watch::WatchReceiver, rt::Instant};
use storage::{BlockFile, Disk, Fault, block_file};

use super::{NodeOn, Running};
use crate::{
    codec,
    mend::Mender,
    runtime::Runtime,
    types::{NodeId, Peer},
};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Looks between two attempts to hand the lead over: the other voters may have no room either.
const PATIENCE: u32 = 8;
/// How long ago another voter may have answered to be thought able to lead.
const RECENT: Duration = Duration::from_secs(1);
/// How often the others are asked for damaged blocks before a node is opened without them, and in what steps.
const ROUNDS: u32 = 20;
const ROUND: Duration = Duration::from_secs(1);

/// Opens a block file. Damaged blocks are put right with those of the other nodes, if these answer in time; the file is
/// opened anew then, and believes nothing of it.
pub(super) async fn open<R: Runtime>(
    disk: Arc<dyn Disk>,
    options: block_file::Options,
    public_key: &[u8; 32],
    mender: &Mender,
) -> Result<BlockFile, Fault> {
    let mut left = ROUNDS;
    loop {
        let (own, files) = (Arc::clone(&disk), options.clone());
        let opened = R::aside(move || R::open_blocks(own, files)).await;
        let blocks = opened.map_err(|error| Fault::Internal(error.to_string()))??;
        if blocks.damaged().is_empty() {
            return Ok(blocks);
        }
        let others = others(&blocks, public_key);
        loop {
            if others.is_empty() || left == 0 {
                return Ok(blocks);
            }
            left -= 1;
            if !mender.mend::<R>(&blocks, &others).await.is_empty() {
                break;
            }
            R::Tasks::sleep(ROUND).await;
        }
        blocks.close();
    }
}

/// The other nodes that the newest block names that can be read and names any.
pub(super) fn others(blocks: &BlockFile, public_key: &[u8; 32]) -> BTreeMap<NodeId, Peer> {
    let next = blocks.durable();
    let named = (0..next).rev().find_map(|height| {
        let block = blocks.front(Height(height)).ok()??;
        if block.membership.is_empty() {
            return None;
        }
        codec::decode_members(&block.membership).ok()
    });
    let Some(members) = named else { return BTreeMap::new() };
    let nodes = members.nodes().filter(|(_, peer)| peer.public_key != *public_key);
    nodes.map(|(id, peer)| (*id, peer.clone())).collect()
}

/// Watches over a node's disk until the node is closed or gone.
pub(super) fn watch<R: Runtime>(node: &Arc<NodeOn<R>>) {
    if let Some(running) = &node.running {
        running.mended.store(true, Ordering::Relaxed);
    }
    drop(R::Tasks::spawn(look_on(Arc::downgrade(node))));
}

async fn look_on<R: Runtime>(node: Weak<NodeOn<R>>) {
    let (mut pause, mut rest) = (0_u32, 0_u32);
    loop {
        R::Tasks::sleep(LOOK).await;
        (pause, rest) = (pause.saturating_sub(1), rest.saturating_sub(1));
        let Some(node) = node.upgrade().filter(|node| !*node.closed.lock()) else { break };
        if rest == 0 && !node.blocks.damaged().is_empty() {
            mend(&node).await;
            rest = PATIENCE;
        }
        let Some(running) = &node.running else { continue };
        // It may have to apply such a block, or lend it.
        if rest == PATIENCE && !node.blocks.damaged().is_empty() && hand_over(running).await {
            tracing::warn!("damaged blocks can't be put right now: the lead is handed over");
        }
        if node.blocks.stopped().is_some() {
            running.mended.store(false, Ordering::Relaxed);
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

/// Puts right what was found damaged. A node that was opened with damage takes part when it is started again.
async fn mend<R: Runtime>(node: &NodeOn<R>) {
    let others = match &node.running {
        None => node.others.clone(),
        Some(running) => {
            let metrics = running.raft.metrics();
            let known = metrics.borrow_watched();
            let nodes = known.membership_config.membership().nodes();
            let others = nodes.filter(|(id, _)| *id != running.raft.node_id());
            others.map(|(id, peer)| (*id, peer.clone())).collect()
        }
    };
    for height in node.mender.mend::<R>(&node.blocks, &others).await {
        node.state.mark_repaired(height);
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
