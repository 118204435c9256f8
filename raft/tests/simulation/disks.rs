//! What is to happen, and when, as one disk fails in one way and all else works.

use std::{sync::Arc, time::Duration};

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use storage::Fault;

use crate::{
    chance,
    clients::{self, Shared},
    cluster::Cluster,
    machine::{now, sleep},
    run::converged,
};

/// Runs a story of three nodes that have a table.
fn with_three(story: impl AsyncFnOnce(&Arc<Cluster>, &Shared)) {
    chance::seed(1);
    SimRuntime::with_seed(1).block_on(async {
        let cluster = Arc::new(Cluster::found(3, false).await);
        let history = Shared::default();
        clients::prepare(&cluster, &history).await;
        story(&cluster, &history).await;
        assert_eq!(*cluster.complaints.lock(), Vec::<String>::new());
    });
}

/// Lets time pass until something is so.
async fn until(what: impl Fn() -> bool) {
    let begun = now();
    while !what() {
        assert!(now() < begun + Duration::from_secs(30), "it does not come about");
        sleep(Duration::from_millis(10)).await;
    }
}

fn read_only(cluster: &Cluster, at: usize) -> Option<Fault> {
    cluster.node(at).and_then(|(node, _)| node.status().read_only)
}

#[test]
fn a_leader_without_room_hands_over_and_comes_back() {
    with_three(async |cluster, history| {
        let first = cluster.leader().unwrap();
        cluster.fill(first, 0);
        // What is preallocated still takes some.
        let begun = now();
        while cluster.leader() == Some(first) {
            clients::write_once(cluster, history, first).await;
            sleep(Duration::from_millis(20)).await;
            assert!(now() < begun + Duration::from_secs(30), "the lead is kept");
        }
        assert!(matches!(read_only(cluster, first), Some(Fault::DiskFull { .. })));
        for _ in 0..50 {
            assert!(clients::probe(cluster, history).await.is_some(), "no other takes writes");
        }
        // It has lost nothing, still has a vote, and is behind.
        let head = |at: usize| cluster.node(at).unwrap().0.state().head().height;
        let other = cluster.leader().unwrap();
        assert!(other != first && head(first) < head(other));
        cluster.free(first);
        until(|| read_only(cluster, first).is_none()).await;
        assert!(converged(cluster).await, "it does not catch up");
    });
}

#[test]
fn a_follower_without_room_acknowledges_nothing_and_votes() {
    with_three(async |cluster, history| {
        let leader = cluster.leader().unwrap();
        let [full, other] = [1, 2].map(|step| (leader + step) % 3);
        cluster.fill(full, 0);
        while read_only(cluster, full).is_none() {
            assert!(clients::write_once(cluster, history, leader).await.is_some());
        }
        assert!(clients::write_once(cluster, history, leader).await.is_some());
        // Of three, one that can't write and one that is gone are one too many.
        cluster.kill(other).await;
        assert!(clients::write_once(cluster, history, leader).await.is_none());
        cluster.revive(other).await;
        assert!(clients::probe(cluster, history).await.is_some());
        // Who has no room for a block still votes for who has.
        cluster.kill(leader).await;
        until(|| cluster.leader() == Some(other)).await;
        cluster.free(full);
        assert!(clients::probe(cluster, history).await.is_some());
        cluster.revive(leader).await;
        assert!(converged(cluster).await, "it does not catch up");
    });
}

#[test]
fn a_leader_whose_disk_fails_takes_part_no_more() {
    with_three(async |cluster, history| {
        let first = cluster.leader().unwrap();
        // The block is safe by then, and consensus isn't told.
        cluster.fail_sync(first, 1);
        assert!(clients::write_once(cluster, history, first).await.is_some());
        until(|| cluster.leader().is_some_and(|leader| leader != first)).await;
        assert!(matches!(read_only(cluster, first), Some(Fault::Stopped { .. })));
        assert!(clients::probe(cluster, history).await.is_some());
        assert!(clients::write_once(cluster, history, first).await.is_none());
        // Until it is started again.
        cluster.heal().await;
        assert!(read_only(cluster, first).is_none());
        assert!(converged(cluster).await, "it does not catch up");
    });
}

/// Flips bits of a machine's blocks until so many are damaged.
fn damage(cluster: &Cluster, at: usize, count: usize) {
    let mut flipped = 0;
    while flipped < count {
        flipped += usize::from(cluster.flip(at));
    }
}

#[test]
fn damage_under_a_running_node_is_put_right_with_what_others_have() {
    with_three(async |cluster, history| {
        let leader = cluster.leader().unwrap();
        for _ in 0..100 {
            assert!(clients::write_once(cluster, history, leader).await.is_some());
        }
        damage(cluster, leader, 3);
        let node = cluster.node(leader).unwrap().0;
        assert!(!node.state().verify(false, &mut |_| ()).unwrap().is_sound());
        assert!(!node.status().damage.is_empty());
        cluster.look_at_all().await;
        assert!(node.status().damage.is_empty() && node.status().mended.blocks > 0);
        assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
        assert!(node.status().leads && node.status().read_only.is_none());
    });
}

#[test]
fn damage_found_by_a_start_is_put_right_before_it_takes_part() {
    with_three(async |cluster, history| {
        let leader = cluster.leader().unwrap();
        for _ in 0..100 {
            assert!(clients::write_once(cluster, history, leader).await.is_some());
        }
        damage(cluster, leader, 5);
        cluster.kill(leader).await;
        cluster.revive(leader).await;
        let node = cluster.node(leader).unwrap().0;
        assert!(node.status().damage.is_empty() && node.status().mended.blocks > 0);
        assert!(clients::probe(cluster, history).await.is_some());
        assert!(converged(cluster).await, "it does not catch up");
        assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    });
}

#[test]
fn damage_that_nobody_can_put_right_is_named_and_left() {
    with_three(async |cluster, history| {
        let leader = cluster.leader().unwrap();
        for _ in 0..100 {
            assert!(clients::write_once(cluster, history, leader).await.is_some());
        }
        damage(cluster, leader, 1);
        for at in 0..3 {
            cluster.kill(at).await;
        }
        // It waits for the others, and gives up.
        cluster.revive(leader).await;
        assert!(cluster.node(leader).is_none());
        cluster.heal().await;
        assert!(clients::probe(cluster, history).await.is_some());
        assert!(converged(cluster).await, "it does not catch up");
    });
}
