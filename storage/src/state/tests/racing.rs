//! Readers beside the writer: every snapshot keeps showing what it showed, while entries move to the past
//! and chunks are merged under it; and memory stays within its bound.

use std::{
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ledger::{Height, Operation, Value, VersionId, key::encode_key};

use super::{config, fjall, model::insert};
use crate::{
    MemoryIndex, ScanColumn, State, StateConfig, Versions, simulated::SimulatedDisk, testing::*,
};

const ROWS: i32 = 40;
const BLOCKS: u64 = 150;

/// A chain that inserts all rows in block 2 and then updates some in each block.
fn chain() -> Chain {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![(0..ROWS).map(|id| insert(id, "n0")).collect()]);
    let mut at: Vec<VersionId> = (0..ROWS as u32)
        .map(|operation| VersionId { height: Height(2), transaction: 0, operation })
        .collect();
    for height in 3..BLOCKS {
        let mut operations = vec![];
        for turn in 0..7 {
            let id = (height * 13 + turn * 5) as usize % at.len();
            let version = VersionId {
                height: Height(height),
                transaction: 0,
                operation: operations.len() as u32,
            };
            let previous = std::mem::replace(&mut at[id], version);
            if previous.height == version.height {
                at[id] = previous;
                continue;
            }
            let row = row(id as i32, &format!("n{}", turn % 3));
            operations.push(Operation::Update { table: TABLE, previous, row });
        }
        chain.block(vec![operations]);
    }
    chain
}

fn look(state: &State, height: Height) {
    let snapshot = state.snapshot_at(height).unwrap();
    for id in 0..ROWS {
        let found = snapshot.lookup(BY_ID, &encode_key(&[Value::Int4(id)])).unwrap();
        assert_eq!(found.len(), 1, "row {id} at {height:?}");
    }
    let all = snapshot.range(BY_ID, Bound::Unbounded, Bound::Unbounded, height.0.is_multiple_of(2));
    assert_eq!(all.map(Result::unwrap).count(), ROWS as usize, "at {height:?}");
    let noted: usize = (0..3)
        .map(|note| {
            let key = encode_key(&[Value::Text(format!("n{note}"))]);
            snapshot.lookup(BY_NOTE, &key).unwrap().len()
        })
        .sum();
    assert_eq!(noted, ROWS as usize, "at {height:?}");
    assert_eq!(alive(&snapshot).len(), ROWS as usize, "at {height:?}");
}

fn race(state: &Arc<State>) {
    let chain = chain();
    for block in &chain.blocks[..3] {
        state.apply(block).unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let (state, done) = (Arc::clone(state), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut turn = reader;
                while !done.load(Ordering::Relaxed) {
                    let newest = state.head().height.0;
                    let back = if turn % 2 == 0 { 0 } else { turn % 7 };
                    look(&state, Height(newest.saturating_sub(back).max(2)));
                    turn += 1;
                }
            })
        })
        .collect();
    for block in &chain.blocks[3..] {
        state.apply(block).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    for height in [2, 3, BLOCKS / 2, BLOCKS - 1] {
        look(state, Height(height));
    }
}

#[test]
fn snapshots_hold_while_blocks_are_applied() {
    race(&State::new(config(2), Arc::new(MemoryIndex::default())));
}

#[test]
fn snapshots_hold_over_an_index_on_disk() {
    race(&State::new(config(2), fjall(&tempfile::tempdir().unwrap())));
}

#[test]
fn snapshots_hold_while_rows_are_sealed_and_files_merged() {
    let disk = Arc::new(SimulatedDisk::default());
    let index = Arc::new(MemoryIndex::default());
    // So little memory that little of what is read stays.
    let config = StateConfig { memory_bytes: 60_000, seal_blocks: 3, merge_files: 2, ..config(2) };
    race(&State::resume(config, index, Some(disk), None, &|_| true).unwrap());
}

#[test]
fn arrays_give_way_to_rows() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    for block in 0..20 {
        chain.block(vec![(0..500).map(|n| insert(block * 500 + n, "some text")).collect()]);
    }
    let used = |memory_bytes| {
        let config = StateConfig { memory_bytes, ..StateConfig::default() };
        let state = State::new(config, Arc::new(MemoryIndex::default()));
        let columns = [ScanColumn::User(ID), ScanColumn::User(NOTE)];
        for block in &chain.blocks {
            state.apply(block).unwrap();
            if state.snapshot().catalog().table(TABLE).is_some() {
                let scan = state.snapshot().scan(TABLE, &columns, Versions::Alive).unwrap();
                let rows: usize = scan.map(|batch| batch.unwrap().num_rows()).sum();
                assert_eq!(rows as u64, state.snapshot().row_count(TABLE));
            }
        }
        state.memory_used()
    };
    let (rows, arrays) = used(u64::MAX);
    assert!(arrays > 100_000, "{arrays} bytes of arrays");
    let (bounded_rows, bounded_arrays) = used(rows);
    assert_eq!(rows, bounded_rows);
    assert!(bounded_arrays < arrays, "{bounded_arrays} bytes of arrays");
}
