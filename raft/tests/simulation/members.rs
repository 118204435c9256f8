//! Machines come, get a vote, and go, while clients work and other things go wrong.

use std::{sync::Arc, time::Duration};

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use storage::{NodeChange, Refused};

use crate::{
    chance,
    clients::Shared,
    cluster::{Cluster, Node},
    machine::{now, sleep},
};

/// Changes who takes part, until the time is over.
pub(crate) async fn change_members(cluster: Arc<Cluster>, history: Shared, until: Duration) {
    while now() < until {
        sleep(chance::micros(200_000, 1_500_000)).await;
        let Some((node, _)) = cluster.leader().and_then(|leader| cluster.node(leader)) else {
            continue;
        };
        let what = match chance::below(5) {
            0..2 => admit(&cluster, &node).await,
            2 => promote(&cluster, &node).await,
            _ => remove(&cluster, &node).await,
        };
        if let Some(what) = what {
            let mut history = history.lock();
            *history.faults.entry(what).or_default() += 1;
            history.note(format_args!("members: {what}"));
        }
    }
}

/// Asks for a change; nothing if it isn't known whether it was made.
async fn change(node: &Node, change: NodeChange) -> Option<Result<u64, Refused>> {
    SimRuntime::timeout(Duration::from_secs(4), node.change(change)).await.ok()
}

async fn admit(cluster: &Arc<Cluster>, node: &Node) -> Option<&'static str> {
    let outside: Vec<usize> =
        (0..cluster.machines.len()).filter(|&at| !cluster.is_admitted(at)).collect();
    let at = *outside.get(chance::index(outside.len().max(1)))?;
    let id = change(node, cluster.admission(at)).await?.ok()?;
    cluster.join(at, id).await;
    Some("admit")
}

async fn promote(cluster: &Arc<Cluster>, node: &Node) -> Option<&'static str> {
    let voters = node.voters();
    let learns = |at: &usize| cluster.is_admitted(*at) && !voters.contains(&cluster.id(*at));
    let at = (0..cluster.machines.len()).find(learns)?;
    change(node, NodeChange::Promote(cluster.id(at))).await?.ok()?;
    Some("promote")
}

async fn remove(cluster: &Arc<Cluster>, node: &Node) -> Option<&'static str> {
    let parts = cluster.parts();
    let at = *parts.get(chance::index(parts.len().max(1)))?;
    // Only who was told so throws his blocks away.
    change(node, NodeChange::Remove(cluster.id(at))).await?.ok()?;
    cluster.leave(at).await;
    Some("remove")
}
