//! Entries stand in the order of their keys, the newest version of a key first; both engines agree.

use std::{
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use ledger::{Hash, Height, Oid};
use proptest::prelude::*;

use super::{Change, Checkpoint, Index, Space, after, entry_bounds, finish, row_of, start};
use crate::{FjallIndex, MemoryIndex};

fn entry(space: Space, index: Oid, key: &[u8], row: u64) -> Vec<u8> {
    finish(start(space, index, key), row)
}

#[test]
fn newer_versions_of_a_key_come_first() {
    let old = entry(Space::Present, Oid(1), b"key", 5);
    let new = entry(Space::Present, Oid(1), b"key", 6);
    assert!(new < old);
    assert_eq!((row_of(&old), row_of(&new)), (Some(5), Some(6)));
    assert_eq!(row_of(b"short"), None);
}

#[test]
fn the_next_prefix_is_above_all_that_begin_with_one() {
    assert_eq!(after(&[1, 2]), Some(vec![1, 3]));
    assert_eq!(after(&[1, 255]), Some(vec![2]));
    assert_eq!(after(&[255, 255]), None);
}

#[test]
fn long_keys_are_told_apart() {
    let long = |last: u8| {
        let mut key = vec![7; 60_000];
        key.push(last);
        key
    };
    let one = entry(Space::Present, Oid(1), &long(1), 0);
    let two = entry(Space::Present, Oid(1), &long(2), 0);
    assert_ne!(one, two);
    assert!(one.len() < 33_000);
    assert!(one.starts_with(&start(Space::Present, Oid(1), &long(1))));
    let mut built = start(Space::Present, Oid(1), &[]);
    built.extend_from_slice(&long(1));
    assert_eq!(finish(built, 0), one, "however it is built");
}

#[test]
fn bounds_stay_within_their_index() {
    let (from, to) =
        entry_bounds(Space::Present, Oid(u32::MAX), &Bound::Unbounded, &Bound::Unbounded);
    assert_eq!(from, Bound::Included(vec![1, 255, 255, 255, 255]));
    assert_eq!(to, Bound::Excluded(vec![2]));
}

fn change() -> impl Strategy<Value = Change> {
    (any::<bool>(), proptest::collection::vec(0..4_u8, 1..4))
        .prop_map(|(put, bytes)| if put { Change::Put(bytes) } else { Change::Remove(bytes) })
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        proptest::collection::vec(0..4_u8, 1..4).prop_map(Bound::Included),
        proptest::collection::vec(0..4_u8, 1..4).prop_map(Bound::Excluded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_keep_the_same_set(
        batches in proptest::collection::vec(proptest::collection::vec(change(), 0..20), 1..6),
        from in bound(),
        to in bound(),
        reverse in any::<bool>(),
        limit in 1..10_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let disk = FjallIndex::open(directory.path(), 1 << 20).unwrap();
        let engines: [Arc<dyn Index>; 2] = [Arc::new(MemoryIndex::default()), Arc::new(disk)];
        let mut model = std::collections::BTreeSet::new();
        for (number, batch) in (0_u64..).zip(batches) {
            let checkpoint = Checkpoint {
                height: Height(number),
                block: Hash([number as u8; 32]),
                settled: Height(0),
                loading: None,
            };
            let puts: Vec<Vec<u8>> = batch.iter().filter_map(|change| match change {
                Change::Put(bytes) => Some(bytes.clone()),
                _ => None,
            }).collect();
            for engine in &engines {
                if puts.len() == batch.len() {
                    let sorted = std::collections::BTreeSet::from_iter(puts.clone());
                    engine.load(sorted.into_iter().collect()).unwrap();
                }
                engine.write(batch.clone(), Some(checkpoint)).unwrap();
                assert_eq!(engine.checkpoint().unwrap(), Some(checkpoint));
            }
            for change in batch {
                match change {
                    Change::Put(bytes) => model.insert(bytes),
                    Change::Remove(bytes) => model.remove(&bytes),
                    Change::Set(..) | Change::Forget(..) => unreachable!("entries only"),
                };
            }
        }
        let borrowed = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let inside = |bytes: &&Vec<u8>| {
            RangeBounds::<[u8]>::contains(&borrowed, bytes.as_slice())
        };
        let mut expected: Vec<Vec<u8>> = model.iter().filter(inside).cloned().collect();
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit);
        for engine in &engines {
            assert_eq!(engine.page(borrowed, reverse, limit).unwrap(), expected);
            engine.clear().unwrap();
            assert_eq!(engine.checkpoint().unwrap(), None);
            let all = (Bound::Unbounded, Bound::Unbounded);
            assert_eq!(engine.page(all, false, 9).unwrap(), Vec::<Vec<u8>>::new());
        }
    }
}

#[test]
fn records_are_kept_beside_entries() {
    let directory = tempfile::tempdir().unwrap();
    let engines: [Arc<dyn Index>; 2] = [
        Arc::new(MemoryIndex::default()),
        Arc::new(FjallIndex::open(directory.path(), 1 << 20).unwrap()),
    ];
    for index in engines {
        let set = |key: u8| Change::Set(vec![key], vec![key; 3]);
        index.write(vec![set(1), set(2), set(3), Change::Put(vec![9])], None).unwrap();
        index.write(vec![Change::Forget(vec![2])], None).unwrap();
        assert_eq!(index.get(&[1]).unwrap(), Some(vec![1; 3]));
        assert_eq!(index.get(&[2]).unwrap(), None);
        let all = (Bound::Unbounded, Bound::Unbounded);
        assert_eq!(
            index.records(all, true, 9).unwrap(),
            [(vec![3], vec![3; 3]), (vec![1], vec![1; 3])]
        );
        assert_eq!(index.records(all, false, 1).unwrap(), [(vec![1], vec![1; 3])]);
        assert_eq!(index.page(all, false, 9).unwrap(), [vec![9]]);
        index.persist().unwrap();
        index.clear().unwrap();
        assert_eq!(index.get(&[1]).unwrap(), Some(vec![1; 3]), "records are not entries");
        index.clear_records().unwrap();
        assert_eq!(index.get(&[1]).unwrap(), None);
    }
}
