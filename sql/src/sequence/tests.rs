//! What a lease takes, at and near the ends of a sequence.

use super::*;

fn sequence(next: Option<i64>, increment: i64, (min, max): (i64, i64), cycle: bool) -> Sequence {
    Sequence {
        schema: Oid::PUBLIC_SCHEMA,
        name: "s".to_owned(),
        owner: Oid::FIRST_ROLE,
        kind: ledger::Type::Int8,
        start: next.unwrap_or(min),
        increment,
        min,
        max,
        cache: 1,
        cycle,
        owned_by: None,
        next,
        epoch: 7,
    }
}

#[test]
fn a_lease_stays_within_the_bounds() {
    let up = sequence(Some(5), 1, (1, 100), false);
    assert_eq!(range(&up, 10), Some((5, 10, Some(15))));
    assert_eq!(range(&up, 1000), Some((5, 96, None)));
    let last = sequence(Some(100), 1, (1, 100), false);
    assert_eq!(range(&last, 32), Some((100, 1, None)));
    let down = sequence(Some(-1), -3, (-10, -1), false);
    assert_eq!(range(&down, 32), Some((-1, 4, None)));
    let all = sequence(Some(i64::MAX - 1), 1, (1, i64::MAX), false);
    assert_eq!(range(&all, 32), Some((i64::MAX - 1, 2, None)));
    assert_eq!(range(&sequence(None, 1, (1, 100), false), 32), None);
}

#[test]
fn a_cycle_begins_again_at_its_other_end() {
    let up = sequence(Some(9), 1, (3, 10), true);
    assert_eq!(range(&up, 32), Some((9, 2, Some(3))));
    let down = sequence(Some(4), -1, (3, 10), true);
    assert_eq!(range(&down, 32), Some((4, 2, Some(10))));
}

#[test]
fn a_lease_is_void_when_the_sequence_was_set() {
    let before = sequence(Some(5), 2, (1, 100), false);
    let mut lease = Lease { epoch: 7, next: Some(5), left: 2, size: 2 };
    assert_eq!((lease.take(&before), lease.take(&before)), (Some(5), Some(7)));
    assert_eq!(lease.take(&before), None, "it is used up");
    let mut lease = Lease { epoch: 7, next: Some(5), left: 2, size: 2 };
    let after = set(&before, 50, true).unwrap();
    assert_eq!(lease.take(&after), None);
    assert_eq!((after.next, after.epoch), (Some(52), 8));
    assert_eq!(set(&before, 50, false).unwrap().next, Some(50));
    assert_eq!(set(&before, 101, true).unwrap_err().sqlstate(), "22003");
    assert_eq!(set(&before, 100, true).unwrap().next, None);
}

#[test]
fn an_own_sequence_counts_and_ends() {
    let mut own = sequence(Some(98), 1, (1, 100), false);
    let values: Vec<i64> = std::iter::from_fn(|| next_of_own(&mut own).ok()).collect();
    assert_eq!(values, [98, 99, 100]);
    assert_eq!(next_of_own(&mut own).unwrap_err().sqlstate(), "2200H");
}
