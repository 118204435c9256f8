//! What goes wrong while clients work.

use std::{sync::Arc, time::Duration};

use storage::NodeChange;

use crate::{
    chance,
    clients::Shared,
    cluster::Cluster,
    machine::{now, sleep},
    net::Weather,
};

/// Breaks things, and mends some of them, until the time is over.
pub(crate) async fn break_things(cluster: Arc<Cluster>, history: Shared, until: Duration) {
    while now() < until {
        sleep(chance::micros(50_000, 1_500_000)).await;
        let what = one_more(&cluster).await;
        let mut history = history.lock();
        *history.faults.entry(what).or_default() += 1;
        history.note(format_args!("fault: {what}"));
    }
}

async fn one_more(cluster: &Arc<Cluster>) -> &'static str {
    let count = cluster.machines.len();
    let at = chance::index(count);
    if chance::percent(15) {
        return break_a_disk(cluster, at);
    }
    match chance::below(16) {
        0..3 => {
            let victim = cluster.leader().filter(|_| chance::percent(60)).unwrap_or(at);
            cluster.kill(victim).await;
            "kill"
        }
        3..6 => {
            for machine in 0..count {
                if chance::percent(70) {
                    cluster.revive(machine).await;
                }
            }
            "revive"
        }
        6..8 => {
            let victim = cluster.leader().filter(|_| chance::percent(60)).unwrap_or(at);
            isolate(cluster, victim);
            "isolate"
        }
        8 => {
            split(cluster);
            "split"
        }
        9 => {
            let other = (at + 1 + chance::index(count - 1)) % count;
            let (from, to) = (&cluster.machines[at].address, &cluster.machines[other].address);
            cluster.net.cut(from, to);
            "one way"
        }
        10..12 => {
            cluster.net.heal();
            "join"
        }
        12 => {
            cluster.net.set_weather(Weather {
                delay: 1_000 + chance::below(80_000),
                lost: chance::below(15),
                doubled: chance::below(20),
                overtaken: chance::below(50),
            });
            "weather"
        }
        13 => {
            let jump = i64::try_from(chance::below(20_000_000)).unwrap() - 10_000_000;
            cluster.machines[at].clock.jump(jump);
            "clock"
        }
        14 => {
            if let Some(leader) = cluster.leader()
                && let Some((node, _)) = cluster.node(leader)
            {
                drop(node.change(NodeChange::HandOver(cluster.id(at))).await);
            }
            "hand over"
        }
        _ if chance::percent(30) => {
            for machine in cluster.running() {
                cluster.kill(machine).await;
            }
            "kill all"
        }
        _ => break_a_disk(cluster, at),
    }
}

/// What happens to a disk.
fn break_a_disk(cluster: &Cluster, at: usize) -> &'static str {
    let victim = cluster.leader().filter(|_| chance::percent(60)).unwrap_or(at);
    match chance::below(6) {
        4.. if cluster.flip(at) => "flipped bit",
        0 => {
            cluster.fail_sync(at, chance::below(3));
            "failed sync"
        }
        1 => {
            cluster.fill(victim, chance::below(16 << 10));
            "full disk"
        }
        _ => {
            for machine in 0..cluster.machines.len() {
                cluster.free(machine);
            }
            "room"
        }
    }
}

/// Cuts a machine off, in one direction or both.
fn isolate(cluster: &Cluster, victim: usize) {
    let (inward, outward) = match chance::below(4) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    let own = &cluster.machines[victim].address;
    for other in cluster.machines.iter().map(|it| &it.address).filter(|it| *it != own) {
        if inward {
            cluster.net.cut(other, own);
        }
        if outward {
            cluster.net.cut(own, other);
        }
    }
}

/// Two groups that don't hear one another.
fn split(cluster: &Cluster) {
    let (left, right): (Vec<_>, Vec<_>) =
        cluster.machines.iter().partition(|_| chance::percent(50));
    for one in &left {
        for other in &right {
            cluster.net.cut(&one.address, &other.address);
            cluster.net.cut(&other.address, &one.address);
        }
    }
}
