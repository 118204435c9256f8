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
    (any::<bool>(), proptest::collection::vec(1..5_u8, 1..4))
        .prop_map(|(put, bytes)| if put { Change::Put(bytes) } else { Change::Remove(bytes) })
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        proptest::collection::vec(1..5_u8, 1..4).prop_map(Bound::Included),
        proptest::collection::vec(1..5_u8, 1..4).prop_map(Bound::Excluded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_keep_the_same_set(
        batches in proptest::collection::vec(
            (proptest::collection::vec(change(), 0..20), any::<bool>(), any::<bool>()),
            1..6,
        ),
        from in bound(),
        to in bound(),
        reverse in any::<bool>(),
        limit in 1..10_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let disk = FjallIndex::open(directory.path(), 1 << 20).unwrap();
        let engines: [Arc<dyn Index>; 2] = [Arc::new(MemoryIndex::default()), Arc::new(disk)];
        let mut model = std::collections::BTreeSet::new();
        for (number, (batch, holds, persists)) in (0_u64..).zip(batches) {
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
                    engine.load(sorted.into_iter().collect(), None).unwrap();
                }
                engine.write(batch.clone(), Some(checkpoint)).unwrap();
                if holds {
                    engine.hold();
                }
                if persists {
                    engine.persist().unwrap();
                }
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

fn checkpoint(height: u64) -> Checkpoint {
    Checkpoint { height: Height(height), block: Hash([9; 32]), settled: Height(0), loading: None }
}

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

#[test]
fn an_opening_finds_what_was_held_and_persisted_and_nothing_of_what_came_after() {
    let directory = tempfile::tempdir().unwrap();
    let open = || FjallIndex::open(directory.path(), 1 << 20).unwrap();
    let mut index = open();
    for round in 1..=5_u8 {
        // Each round takes away what the one before added, and puts one record in another's place.
        let mut changes = vec![Change::Put(vec![round, 1]), Change::Put(vec![round, 2])];
        changes.push(Change::Remove(vec![round - 1, 1]));
        index.write(changes, Some(checkpoint(u64::from(round)))).unwrap();
        index.hold();
        index.write(vec![Change::Put(vec![99]), Change::Remove(vec![round, 2])], None).unwrap();
        let records = vec![Change::Set(vec![round], vec![round]), Change::Forget(vec![round - 1])];
        index.write(records, None).unwrap();
        assert_eq!(index.page(ALL, true, 1).unwrap(), [vec![99]]);
        index.persist().unwrap();
        assert!(index.resident_bytes() > 0, "what came after is in memory");
        drop(index);
        index = open();
        assert_eq!(index.checkpoint().unwrap(), Some(checkpoint(u64::from(round))));
        let older = (1..round).map(|round| vec![round, 2]);
        let expected: Vec<_> = older.chain([vec![round, 1], vec![round, 2]]).collect();
        assert_eq!(index.page(ALL, false, 99).unwrap(), expected);
        assert_eq!(index.records(ALL, false, 99).unwrap(), [(vec![round], vec![round])]);
    }
}

#[test]
fn what_was_cleared_does_not_come_back_and_what_came_after_stays() {
    let directory = tempfile::tempdir().unwrap();
    let open = || FjallIndex::open(directory.path(), 1 << 20).unwrap();
    let index = open();
    let (put, set) = (Change::Put(vec![1]), Change::Set(vec![1], vec![1]));
    index.write(vec![put, set], Some(checkpoint(1))).unwrap();
    index.hold();
    index.persist().unwrap();
    index.clear().unwrap();
    index.clear_records().unwrap();
    index.load(vec![vec![2]], None).unwrap();
    index.write(vec![Change::Set(vec![2], vec![2])], None).unwrap();
    drop(index);
    let index = open();
    assert_eq!(index.checkpoint().unwrap(), None);
    assert_eq!(index.page(ALL, false, 9).unwrap(), [vec![2]]);
    assert_eq!(index.records(ALL, false, 9).unwrap(), [(vec![2], vec![2])]);
}

#[test]
fn an_opening_reads_no_journal() {
    let directory = tempfile::tempdir().unwrap();
    let index = FjallIndex::open(directory.path(), 1 << 20).unwrap();
    let journals = || {
        let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
        let journals = files.filter(|path| path.extension().is_some_and(|end| end == "jnl"));
        journals.map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let before = journals();
    assert!(!before.is_empty());
    let changes = vec![Change::Put(vec![1]), Change::Set(vec![1], vec![1])];
    index.write(changes, Some(checkpoint(1))).unwrap();
    index.hold();
    index.persist().unwrap();
    index.load(vec![vec![2]], None).unwrap();
    index.clear().unwrap();
    index.clear_records().unwrap();
    assert_eq!(journals(), before);
}

#[test]
fn a_directory_with_a_journal_of_entries_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    for name in ["entries", "records", "state"] {
        let keyspace = database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.insert([1], [1]).unwrap();
    }
    drop(database);
    let index = FjallIndex::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(index.page(ALL, false, 9).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(index.get(&[1]).unwrap(), None);
}

#[test]
fn a_load_is_noted_with_its_entries_and_for_as_long_as_they_are_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let index = FjallIndex::open(directory.path(), 1 << 20).unwrap();
    let write = |height| index.write(vec![Change::Put(vec![7])], Some(checkpoint(height))).unwrap();
    write(1);
    index.hold();
    index.persist().unwrap();
    write(2);
    index.hold();
    let block = (Height(3), Hash([3; 32]));
    index.load(vec![vec![3]], Some(block)).unwrap();
    let on_disk = || index.saved_checkpoint().unwrap().unwrap();
    assert_eq!(on_disk(), Checkpoint { loading: Some(block), ..checkpoint(1) });
    // What was held before it is saved after it.
    index.persist().unwrap();
    assert_eq!(on_disk(), Checkpoint { loading: Some(block), ..checkpoint(2) });
    write(3);
    index.hold();
    index.persist().unwrap();
    assert_eq!(on_disk(), checkpoint(3));
}
