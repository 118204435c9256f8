//! Somebody changes what was derived from blocks, and does it well: files are whole, checksums fit. Verifying holds
//! it against the blocks all the same.

use std::{ops::Bound, sync::Arc};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};

use super::{
    config,
    sealed::{copy_of, long, resume, tiny},
};
use crate::{
    Change, Disk, Index, MemoryIndex, State, StateConfig,
    derived::{self, Kind},
    segment::{Manifest, tests::forge},
    simulated::{Crash, SimulatedDisk},
    testing::*,
    verify::derived as derived_files,
    versions::Versions,
};

/// What verifying finds wrong: files, and what is said of them.
fn findings(state: &State) -> Vec<(String, String)> {
    let source = state.core.blocks.source().unwrap();
    let files = derived_files::verify(&state.core, &*source, state.next_height()).unwrap();
    let damage = files.into_iter().flat_map(|file| file.damage);
    damage.map(|damage| (damage.file, damage.detail)).collect()
}

/// Sealed files and their store, of a chain.
fn sealed() -> (super::Model, Arc<dyn Index>, SimulatedDisk) {
    let model = long();
    let index: Arc<dyn Index> = Arc::new(MemoryIndex::default());
    let disk = SimulatedDisk::default();
    let state = resume(tiny(1), &index, Arc::new(disk.clone()), &model.chain.blocks);
    state.checkpoint().unwrap();
    assert_eq!(findings(&state), []);
    drop(state);
    (model, index, disk)
}

/// Nobody reads the files meanwhile: who merges them would find damage first, and make them anew.
fn unmerged() -> StateConfig {
    StateConfig { merge_files: usize::MAX, ..tiny(1) }
}

/// The records of one kind.
fn records(index: &Arc<dyn Index>, kind: Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (from, to) = ([kind as u8], [kind as u8 + 1]);
    let bounds = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
    index.records(bounds, false, usize::MAX).unwrap()
}

/// Puts other values into the last file, as `change` says; what is found then. The file is made anew by it.
fn after_forging(change: &dyn Fn(&str, &ArrayRef) -> ArrayRef) -> Vec<(String, String)> {
    let (model, index, disk) = sealed();
    let (key, bytes) = records(&index, Kind::Segment).pop().unwrap();
    let manifest: Manifest = derived::decode("manifest", &bytes).unwrap();
    let forged = forge(&disk, &manifest, change);
    index.write(vec![Change::Set(key, ledger::codec::encode(&forged))], None).unwrap();
    let state = resume(unmerged(), &index, Arc::new(disk), &model.chain.blocks);
    let found = findings(&state);
    let newest = alive(
        &State::open(config(1), Arc::new(MemoryIndex::default()), all(&model)).unwrap().snapshot(),
    );
    assert_eq!(alive(&state.snapshot()), newest);
    state.checkpoint().unwrap();
    assert_eq!(findings(&state), [], "it was made anew");
    assert_eq!(alive(&state.snapshot()), newest);
    found
}

fn all(model: &super::Model) -> impl Iterator<Item = Result<ledger::Block, crate::Fault>> {
    model.chain.blocks.iter().cloned().map(Ok)
}

#[test]
fn a_forged_column_is_found() {
    let found = after_forging(&|name, array| {
        if name != "note" {
            return Arc::clone(array);
        }
        let notes = array.as_string::<i32>();
        let forged = (0..notes.len()).map(|place| (place > 0).then(|| notes.value(place)));
        Arc::new(forged.collect::<StringArray>())
    });
    assert!(found.iter().any(|(_, detail)| detail.contains("column note")), "{found:?}");
}

#[test]
fn a_forged_row_is_found() {
    let found = after_forging(&|name, array| {
        if name != "_ledger_row" {
            return Arc::clone(array);
        }
        let rows = array.as_binary::<i32>();
        let other = row(4711, "forged").bytes;
        let forged = (0..rows.len())
            .map(|place| if place == 1 { other.as_slice() } else { rows.value(place) });
        Arc::new(BinaryArray::from_iter_values(forged))
    });
    assert!(found.iter().any(|(_, detail)| detail.contains("its row differs")), "{found:?}");
}

#[test]
fn a_forged_end_is_found() {
    let (model, index, disk) = sealed();
    let ends = records(&index, Kind::Ends);
    assert!(!ends.is_empty());
    for (key, bytes) in ends {
        let stored: Vec<(u32, u64)> = derived::decode("ends", &bytes).unwrap();
        let mut moved = stored.clone();
        moved[0].1 += 1;
        let mut fewer = stored.clone();
        fewer.remove(0);
        for forged in [moved, fewer] {
            let copy = copy_of(&index);
            copy.write(vec![Change::Set(key.clone(), ledger::codec::encode(&forged))], None)
                .unwrap();
            let disk = disk.after_crash(Crash::KeepAll);
            let state = resume(tiny(1), &copy, Arc::new(disk), &model.chain.blocks);
            let found = findings(&state);
            assert!(found.iter().any(|(file, _)| file == "index"), "{found:?}");
        }
    }
}

#[test]
fn rows_that_are_nowhere_are_found() {
    let (model, index, disk) = sealed();
    let state = resume(tiny(1), &index, Arc::new(disk), &model.chain.blocks);
    let is_missing = |state: &State| {
        let found = findings(state);
        assert!(found.iter().any(|(_, detail)| detail.ends_with("is missing")), "{found:?}");
    };
    let versions = Versions::new(Arc::clone(&state.core.memory));
    state.core.tables.write().insert(TABLE, Arc::new(versions));
    is_missing(&state);
    state.core.tables.write().remove(&TABLE);
    is_missing(&state);
}

#[test]
fn every_flipped_byte_of_a_file_is_found() {
    let (model, index, disk) = sealed();
    for name in disk.list().unwrap() {
        let length = disk.open(&name, false).unwrap().len().unwrap();
        for at in (0..length).step_by(97) {
            let damaged = disk.after_crash(Crash::KeepAll);
            damaged.flip(&name, at, 4);
            let flipped = damaged.bytes(&name);
            let disk = Arc::new(damaged.clone());
            let state = resume(unmerged(), &copy_of(&index), disk, &model.chain.blocks);
            let found = findings(&state);
            drop(state);
            // Opening reads some of it already: what it finds damaged is made anew, maybe before it is verified.
            let is_gone = damaged.bytes(&name) != flipped;
            let is_found = found.iter().any(|(file, _)| *file == name) || is_gone;
            assert!(is_found, "byte {at} of {name}: {found:?}");
        }
    }
}
