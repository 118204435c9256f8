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

#[test]
fn what_takes_longer_comes_in_its_place() {
    let list: Vec<u64> = (0..40).collect();
    let work =
        |turns: &u64| (0..(40 - turns) * 500).fold(*turns, |sum, _| std::hint::black_box(sum));
    assert_eq!(each(&list, work), list);
    assert_eq!(each(&list[..1], work), [0]);
    assert_eq!(each(&[], work), Vec::<u64>::new());
}

#[test]
fn the_first_part_that_says_no_is_heard() {
    let version = |operation| VersionId { height: ledger::Height(1), transaction: 0, operation };
    let all: Vec<Operation> =
        (0..50).map(|at| Operation::Delete { table: Oid(16384), previous: version(at) }).collect();
    for wrong in [0, 3, 4, 25, 49] {
        let is_wrong = |it: &Operation| it.previous().is_some_and(|it| it.operation >= wrong);
        let refuse = |part: &[Operation]| match part.iter().find(|it| is_wrong(it)) {
            Some(found) => Err(Refusal::malformed(format!("{:?}", found.previous()))),
            None => Ok(()),
        };
        let due = Refusal::malformed(format!("{:?}", Some(version(wrong))));
        assert_eq!(check(&all, &refuse), Err(due));
    }
    assert_eq!(check(&all, &|_| Ok(())), Ok(()));
}
