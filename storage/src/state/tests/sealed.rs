//! Rows in sealed files: the same at every height as in memory, whenever the node was stopped or lost its
//! power, and however little memory there is.

use std::sync::Arc;

use ledger::{Block, Height};
use proptest::prelude::*;

use super::{
    config, fjall,
    model::{self, Model},
};
use crate::{
    BlockSource, Comparison, Condition, Disk, Fault, Head, Index, MemoryIndex, RealDisk,
    ScanCounts, State, StateConfig, Versions,
    simulated::{Crash, SimulatedDisk},
    testing::*,
};

pub(super) fn tiny(settle: u64) -> StateConfig {
    let small =
        StateConfig { seal_operations: 20, seal_blocks: 3, merge_files: 2, ..config(settle) };
    StateConfig { memory_bytes: 20_000, ..small }
}

/// A block file whose blocks are all whole.
struct Lent(Vec<Block>);

impl BlockSource for Lent {
    fn block(&self, height: Height) -> Result<Arc<Block>, Fault> {
        let block = self.0.get(height.0 as usize).cloned();
        block.map(Arc::new).ok_or_else(|| Fault::Internal("no such block".into()))
    }
}

/// A state over these blocks, gone on with from the last checkpoint.
pub(super) fn resume(
    config: StateConfig,
    index: &Arc<dyn Index>,
    disk: Arc<dyn Disk>,
    blocks: &[Block],
) -> Arc<State> {
    let known = |head: Head| {
        let block = usize::try_from(head.height.0).ok().and_then(|place| blocks.get(place));
        block.is_some_and(|block| block.header.hash() == head.block)
    };
    let source: Arc<dyn BlockSource> = Arc::new(Lent(blocks.to_vec()));
    let state = State::resume(config, Arc::clone(index), Some(disk), Some(source), &known).unwrap();
    let next = state.next_height().0 as usize;
    state.apply_all(blocks[next..].iter().cloned().map(Ok)).unwrap();
    state
}

fn has_records(model: &Model, state: &State) {
    let blocks = &model.chain.blocks;
    let snapshot = state.snapshot();
    let listed = snapshot.transactions(Height(0)..Height(u64::MAX)).unwrap();
    assert_eq!(listed.len(), blocks.iter().map(|block| block.transactions.len()).sum::<usize>());
    let records = snapshot.blocks(Height(0)..Height(u64::MAX)).unwrap();
    for (block, record) in blocks.iter().zip(records) {
        assert_eq!(record.hash, block.header.hash());
        assert_eq!(*record.header, block.header);
        let found = state.height_at_time(block.header.time_us).unwrap();
        assert_eq!(found, Some(block.header.height));
        for (place, transaction) in (0..).zip(&block.transactions) {
            let found = state.find_transaction(transaction.id).unwrap();
            assert_eq!(found, Some((block.header.height, place)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sealed_rows_are_the_same_rows(
        steps in model::steps(),
        settle in 0_u64..4,
        stops in proptest::collection::vec((0_usize..100, any::<bool>()), 0..4),
    ) {
        let model = Model::new(&steps);
        let blocks = &model.chain.blocks;
        let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
        let disk = Arc::new(SimulatedDisk::default());
        let mut stops = stops;
        stops.sort_unstable();
        for (stop, in_order) in stops {
            let end = blocks.len() * stop / 100;
            let state = resume(tiny(settle), &index, Arc::clone(&disk) as _, &blocks[..end]);
            if in_order {
                state.checkpoint().unwrap();
            }
        }
        let state = resume(tiny(settle), &index, Arc::clone(&disk) as _, blocks);
        model.check(&state);
        state.checkpoint().unwrap();
        model.check(&state);
        drop(state);
        let state = resume(tiny(settle), &index, disk, blocks);
        model.check(&state);
        has_records(&model, &state);
    }
}

pub(super) fn long() -> Model {
    Model::new(&std::iter::repeat_n(model::fixed(), 6).flatten().collect::<Vec<_>>())
}

#[test]
fn a_power_cut_at_any_moment_of_sealing_loses_nothing() {
    let model = long();
    let blocks = &model.chain.blocks;
    let mut cut = 0;
    loop {
        let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
        let disk = SimulatedDisk::default();
        disk.cut_power_after(cut);
        let state =
            State::resume(tiny(1), Arc::clone(&index), Some(Arc::new(disk.clone())), None, &|_| {
                true
            });
        let Ok(state) = state else {
            cut += 1;
            continue;
        };
        let sealed =
            blocks.iter().all(|block| state.apply(block).is_ok() && state.checkpoint().is_ok());
        drop(state);
        for crash in [Crash::LoseAll, Crash::KeepAll, Crash::Torn { seed: cut }] {
            let copy = copy_of(&index);
            let state = resume(tiny(1), &copy, Arc::new(disk.after_crash(crash)), blocks);
            model.check(&state);
            has_records(&model, &state);
        }
        if sealed {
            break;
        }
        cut += 1;
    }
    assert!(cut > 50, "{cut} moments");
}

pub(super) fn copy_of(index: &Arc<dyn Index>) -> Arc<dyn Index> {
    use std::ops::Bound::Unbounded;
    let copy = MemoryIndex::default();
    let put = index.page((Unbounded, Unbounded), false, usize::MAX).unwrap();
    let set = index.records((Unbounded, Unbounded), false, usize::MAX).unwrap();
    let changes = put.into_iter().map(crate::Change::Put);
    let changes = changes.chain(set.into_iter().map(|(key, value)| crate::Change::Set(key, value)));
    copy.write(changes.collect(), index.checkpoint().unwrap()).unwrap();
    Arc::new(copy)
}

#[test]
fn what_is_deleted_is_made_anew() {
    let model = long();
    let blocks = &model.chain.blocks;
    let (index_at, files_at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(files_at.path()).unwrap());
        resume(tiny(1), &fjall(&index_at), disk, blocks)
    };
    let state = open();
    state.checkpoint().unwrap();
    model.check(&state);
    drop(state);
    let files = || std::fs::read_dir(files_at.path()).unwrap().map(|entry| entry.unwrap().path());
    assert!(files().count() > 0);
    let cuts: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(files().next().unwrap()).unwrap(),
        &|| std::fs::remove_dir_all(index_at.path()).unwrap(),
        &|| std::fs::write(files().next().unwrap(), b"short").unwrap(),
    ];
    for cut in cuts {
        cut();
        let state = open();
        model.check(&state);
        state.checkpoint().unwrap();
        drop(state);
        let state = open();
        model.check(&state);
        has_records(&model, &state);
    }
}

#[test]
fn a_file_of_another_chain_is_not_believed() {
    let mut other = Chain::new(9);
    other.block(vec![definitions()]);
    other.block(vec![vec![model::insert(77, "other")]]);
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::default());
    resume(tiny(1), &index, Arc::clone(&disk), &other.blocks).checkpoint().unwrap();
    let model = long();
    model.check(&resume(tiny(1), &index, disk, &model.chain.blocks));
}

#[test]
fn memory_is_bounded_and_files_stay_few() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    for block in 0..60 {
        let text = "x".repeat(100);
        chain.block(vec![(0..200).map(|n| model::insert(block * 200 + n, &text)).collect()]);
    }
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk = SimulatedDisk::default();
    let config =
        StateConfig { memory_bytes: 4 << 20, seal_operations: 400, merge_files: 3, ..config(2) };
    let state = resume(config, &index, Arc::new(disk.clone()), &chain.blocks);
    state.checkpoint().unwrap();
    let (rows, arrays) = state.memory_used();
    let index_bytes = index.resident_bytes();
    assert!(rows - index_bytes < 200_000, "{rows} bytes of which {index_bytes} of the index");
    assert_eq!(alive(&state.snapshot()).len(), 12_000);
    assert!(state.memory_used().0 + state.memory_used().1 <= 4 << 20, "{rows} and {arrays}");
    let files = disk.list().unwrap();
    assert!(files.len() <= 8, "{files:?}");
    let all = state.snapshot().scan(TABLE, &[], Versions::All).unwrap();
    assert_eq!(all.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 12_000);
}

/// Merging makes files after the checkpoint was written: the next start must not take their numbers again.
#[test]
fn a_merged_file_is_not_overwritten_after_a_start() {
    let model = long();
    let blocks = &model.chain.blocks;
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::default());
    for end in 1..=blocks.len() {
        let state = resume(tiny(1), &index, Arc::clone(&disk), &blocks[..end]);
        state.checkpoint().unwrap();
        if end % 8 == 0 || end == blocks.len() {
            model.check(&state);
        }
    }
}

/// A state whose rows 0 to 999 lie in ten sealed files of one row group each.
fn ten_groups() -> Arc<State> {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    for block in 0..10 {
        chain.block(vec![(0..100).map(|n| model::insert(block * 100 + n, "x")).collect()]);
    }
    let disk = Arc::new(SimulatedDisk::default());
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let config = StateConfig { seal_operations: 1, merge_files: 100, ..config(2) };
    let state = State::resume(config, index, Some(disk), None, &|_| true).unwrap();
    for block in &chain.blocks {
        state.apply(block).unwrap();
        state.checkpoint().unwrap();
    }
    state
}

#[test]
fn row_groups_that_can_not_match_are_passed_over() {
    let state = ten_groups();
    let given = |comparison, value: i32| {
        let value = Arc::new(arrow::array::Int32Array::from(vec![value]));
        let condition = Condition { column: ID, comparison, value };
        let columns = [crate::ScanColumn::User(ID), crate::ScanColumn::User(NOTE)];
        let scan = state.snapshot().scan(TABLE, &columns, Versions::Alive).unwrap();
        let rows = rows(scan.with_conditions(vec![condition]));
        (rows.first().map_or(-1, |row| row.0), rows.len())
    };
    assert_eq!(given(Comparison::Equal, 250), (200, 100));
    assert_eq!(given(Comparison::Equal, 1000), (-1, 0));
    assert_eq!(given(Comparison::Greater, 899), (900, 100));
    assert_eq!(given(Comparison::GreaterOrEqual, 899), (800, 200));
    assert_eq!(given(Comparison::Less, 100), (0, 100));
    assert_eq!(given(Comparison::LessOrEqual, 100), (0, 200));
}

#[test]
fn a_scan_tells_what_it_read() {
    let state = ten_groups();
    let counted = |least: i32, columns: &[crate::ScanColumn]| {
        let value = Arc::new(arrow::array::Int32Array::from(vec![least]));
        let condition = Condition { column: ID, comparison: Comparison::GreaterOrEqual, value };
        let counts = Arc::new(ScanCounts::default());
        let scan = state.snapshot().scan(TABLE, columns, Versions::Alive).unwrap();
        let scan = scan.with_conditions(vec![condition]).counted(Arc::clone(&counts));
        assert!(scan.map(|batch| batch.unwrap().num_rows()).sum::<usize>() > 0);
        (counts.read(), counts.skipped(), counts.bytes())
    };
    let (id, note) = (crate::ScanColumn::User(ID), crate::ScanColumn::User(NOTE));
    let (read, skipped, bytes) = counted(700, &[id]);
    assert_eq!((read, skipped), (3, 7));
    assert!(bytes > 0);
    // Three of these are kept in memory, the other seven columns are about as long; the further column is its own.
    let (read, skipped, rest) = counted(0, &[id]);
    assert_eq!((read, skipped), (10, 0));
    assert!(rest > 2 * bytes && rest < 3 * bytes, "{bytes} of three columns, {rest} of seven");
    assert_eq!(counted(0, &[id]), (10, 0, 0));
    let (read, skipped, bytes) = counted(900, &[id, note]);
    assert_eq!((read, skipped), (1, 9));
    assert!(bytes > 0);
}

#[test]
fn what_a_flipped_byte_of_a_file_hides_is_read_from_blocks() {
    let model = long();
    let blocks = &model.chain.blocks;
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk = SimulatedDisk::default();
    resume(tiny(1), &index, Arc::new(disk.clone()), blocks).checkpoint().unwrap();
    let expected = alive(&resume(tiny(1), &index, Arc::new(disk.clone()), blocks).snapshot());
    let mut noticed = 0;
    for name in disk.list().unwrap() {
        let file = disk.open(&name, false).unwrap();
        for at in (0..file.len().unwrap()).step_by(31) {
            let damaged = disk.after_crash(Crash::KeepAll);
            damaged.flip(&name, at, 4);
            let copy = copy_of(&index);
            let state = resume(tiny(1), &copy, Arc::new(damaged.clone()), blocks);
            assert_eq!(alive(&state.snapshot()), expected);
            if state.core.blocks.is_damaged() || !damaged.list().unwrap().contains(&name) {
                noticed += 1;
                state.checkpoint().unwrap();
                assert!(!state.core.blocks.is_damaged());
                assert!(!damaged.list().unwrap().contains(&name), "another has its place");
                assert_eq!(alive(&state.snapshot()), expected);
            }
            if at % 10 == 0 {
                model.check(&state);
                drop(state);
                let state = resume(tiny(1), &copy, Arc::new(damaged), blocks);
                model.check(&state);
            }
        }
    }
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn a_file_that_is_gone_while_it_is_read_is_made_anew() {
    let model = long();
    let blocks = &model.chain.blocks;
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk = SimulatedDisk::default();
    let state = resume(tiny(1), &index, Arc::new(disk.clone()), blocks);
    state.checkpoint().unwrap();
    for name in disk.list().unwrap() {
        let file = disk.open(&name, false).unwrap();
        file.set_len(file.len().unwrap() / 2).unwrap();
    }
    model.check(&state);
    state.checkpoint().unwrap();
    drop(state);
    model.check(&resume(tiny(1), &index, Arc::new(disk), blocks));
}

#[test]
fn a_disk_that_is_full_for_a_while_ends_nothing() {
    let model = long();
    let blocks = &model.chain.blocks;
    let half = blocks.len() / 2;
    for (room, end) in [(0, half), (3000, half), (9000, half + 1)] {
        let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
        let disk = SimulatedDisk::default();
        let large = StateConfig { memory_bytes: 1 << 30, ..tiny(1) };
        let state = resume(large, &index, Arc::new(disk.clone()), &blocks[..end]);
        disk.set_capacity(Some(disk.used() + room));
        for block in &blocks[end..] {
            state.apply(block).unwrap();
        }
        let full = state.checkpoint();
        assert!(room > 0 || matches!(full, Err(Fault::DiskFull { .. })), "{full:?}");
        model.check(&state);
        disk.set_capacity(None);
        // It is tried again without being asked.
        while state.checkpoint().is_err() {
            std::thread::yield_now();
        }
        model.check(&state);
        drop(state);
        let state = resume(tiny(1), &index, Arc::new(disk), blocks);
        model.check(&state);
        has_records(&model, &state);
    }
}
