//! When a node may believe that it is alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::types::Peer;

fn members(configs: &[&[NodeId]]) -> Members {
    let configs: Vec<BTreeSet<NodeId>> =
        configs.iter().map(|config| config.iter().copied().collect()).collect();
    let nodes: BTreeMap<NodeId, Peer> =
        configs.iter().flatten().map(|id| (*id, Peer::default())).collect();
    Members::new(configs, nodes).unwrap()
}

#[test]
fn it_ends_when_others_come_into_the_log_and_returns_when_they_are_gone_for_good() {
    let solitude = Solitude::new(0, &members(&[&[0]]));
    assert!(solitude.is_alone());
    solitude.appended(5, &members(&[&[0], &[0, 5]]));
    assert!(!solitude.is_alone());
    solitude.applied(5, &members(&[&[0], &[0, 5]]));
    solitude.appended(6, &members(&[&[0, 5]]));
    solitude.applied(6, &members(&[&[0, 5]]));
    assert!(!solitude.is_alone());
    solitude.appended(9, &members(&[&[0]]));
    assert!(!solitude.is_alone(), "not committed");
    solitude.applied(9, &members(&[&[0]]));
    assert!(solitude.is_alone());
}

#[test]
fn old_members_that_are_applied_late_count_no_more() {
    let solitude = Solitude::new(0, &members(&[&[0, 5]]));
    solitude.appended(9, &members(&[&[0]]));
    solitude.appended(11, &members(&[&[0, 7]]));
    solitude.applied(9, &members(&[&[0]]));
    assert!(!solitude.is_alone());
    assert!(!Solitude::new(3, &members(&[&[0]])).is_alone(), "a node without a vote");
}
