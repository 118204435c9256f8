//! What is done in parts is what is done at once.

use ledger::{Oid, VersionId};

use super::*;

#[test]
fn a_tree_of_parts_is_the_tree() {
    let version = |operation| VersionId { height: ledger::Height(1), transaction: 0, operation };
    let all: Vec<Operation> =
        (0..67).map(|at| Operation::Delete { table: Oid(16384), previous: version(at) }).collect();
    for count in 0..all.len() {
        let some = &all[..count];
        assert_eq!(tree(some).unwrap(), Operation::tree(some).unwrap(), "{count} operations");
    }
}

#[test]
fn results_come_in_order() {
    let list: Vec<u32> = (0..50).collect();
    let sums = in_parts(&list, <[u32]>::to_vec);
    assert_eq!(sums.concat(), list);
}
