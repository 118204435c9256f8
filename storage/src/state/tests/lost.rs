//! An index that fails: the state goes on with another one, and shows the same rows.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::{
    config,
    model::{self, Model},
    open,
    sealed::{resume, tiny},
};
use crate::{
    Change, Checkpoint, Disk, Fault, FjallIndex, Index, MemoryIndex, State, index::Record,
    simulated::SimulatedDisk, testing::*,
};

/// Takes so many writes, and then none until it is revived, which is allowed so many times.
struct Failing {
    inner: MemoryIndex,
    writes: AtomicUsize,
    /// What it takes each time it was revived.
    later: Mutex<Vec<usize>>,
}

impl Failing {
    fn new(writes: usize, later: Vec<usize>) -> Self {
        Self {
            inner: MemoryIndex::default(),
            writes: AtomicUsize::new(writes),
            later: Mutex::new(later),
        }
    }

    fn spend(&self) -> Result<(), Fault> {
        let left =
            self.writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let full = || Fault::Derived { what: "key index", detail: "no space left".into() };
        left.map(drop).map_err(|_| full())
    }
}

impl Index for Failing {
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        self.spend()?;
        self.inner.write(changes, checkpoint)
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        self.inner.checkpoint()
    }

    fn page(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        self.inner.page(bounds, reverse, limit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.inner.get(key)
    }

    fn records(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Record>, Fault> {
        self.inner.records(bounds, reverse, limit)
    }

    fn persist(&self) -> Result<(), Fault> {
        self.spend()
    }

    fn clear(&self) -> Result<(), Fault> {
        self.spend()?;
        self.inner.clear()
    }

    fn clear_records(&self) -> Result<(), Fault> {
        self.inner.clear_records()
    }

    fn has_failed(&self) -> bool {
        self.writes.load(Ordering::Relaxed) == 0
    }

    fn revive(&self) -> Result<(), Fault> {
        let full = || Fault::Derived { what: "key index", detail: "still no space left".into() };
        let writes = self.later.lock().pop().ok_or_else(full)?;
        self.writes.store(writes, Ordering::Relaxed);
        Ok(())
    }

    fn resident_bytes(&self) -> u64 {
        0
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_lost_index_is_replaced(
        steps in model::steps(),
        settle in 0_u64..4,
        writes in 0_usize..30,
    ) {
        let model = Model::new(&steps);
        let index = Failing::new(writes, Vec::new());
        model.check(&open(Arc::new(index), settle, &model.chain.blocks));
    }
}

/// A checkpoint, as soon as there is one.
fn checkpoint(state: &State) {
    while state.checkpoint().is_err() {
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_index_that_failed_is_taken_up_again(
        steps in model::steps(),
        settle in 0_u64..4,
        writes in 0_usize..60,
        later in proptest::collection::vec(0_usize..20, 0..3),
        cut in 0_usize..100,
    ) {
        let model = Model::new(&steps);
        let blocks = &model.chain.blocks;
        let cut = blocks.len() * cut / 100;
        let failing = Arc::new(Failing::new(writes, later));
        let index: Arc<dyn Index> = Arc::clone(&failing) as _;
        let disk = Arc::new(SimulatedDisk::default());
        let state = resume(tiny(settle), &index, Arc::clone(&disk) as _, &blocks[..cut]);
        failing.later.lock().insert(0, usize::MAX);
        checkpoint(&state);
        for block in &blocks[cut..] {
            state.apply(block).unwrap();
        }
        model.check(&state);
        checkpoint(&state);
        model.check(&state);
        prop_assert!(Arc::ptr_eq(&state.core.index(), &index), "reads go elsewhere");
        drop(state);
        // All of it is where a start looks for it: nothing is applied again.
        if let Some(last) = blocks.last() {
            let known = |_| true;
            let state =
                State::resume(tiny(settle), Arc::clone(&index), Some(Arc::clone(&disk) as _), None, &known);
            prop_assert_eq!(state.unwrap().head().height, last.header.height);
        }
        model.check(&resume(tiny(settle), &index, disk, blocks));
    }
}

#[test]
fn an_index_on_disk_is_opened_anew_with_what_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let index = FjallIndex::open(directory.path(), 1 << 20).unwrap();
    let entry = |number: u8| Change::Put(vec![1, number]);
    let record = |number: u8| Change::Set(vec![number], vec![number; 9]);
    for number in 0..9 {
        index.write(vec![entry(number), record(number)], None).unwrap();
        index.persist().unwrap();
        index.revive().unwrap();
        let all = (Bound::Unbounded, Bound::Unbounded);
        assert_eq!(index.page(all, false, 100).unwrap().len(), usize::from(number) + 1);
        assert_eq!(index.get(&[number]).unwrap(), Some(vec![number; 9]));
    }
    assert!(!index.has_failed());
    index.clear().unwrap();
    assert_eq!(index.get(&[8]).unwrap(), Some(vec![8; 9]), "records stay");
}

/// Copies a directory as it lies on disk at one moment: what a process that is killed leaves behind.
///
/// The index's own threads write and delete files meanwhile, so a copy counts only when nothing changed while it was
/// made.
fn copy(from: &Path, to: &Path) {
    loop {
        std::fs::create_dir_all(to).unwrap();
        let before = entries(from);
        let copied = before.iter().try_for_each(|(name, metadata)| match metadata {
            None => std::fs::create_dir_all(to.join(name)),
            Some(_) => std::fs::copy(from.join(name), to.join(name)).map(drop),
        });
        if copied.is_ok() && entries(from) == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}

/// What lies below `directory`, parents first, by name: length in bytes and time of the last change of each file.
fn entries(directory: &Path) -> BTreeMap<PathBuf, Option<(u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let Ok(listed) = std::fs::read_dir(directory.join(&below)) else { continue };
        for entry in listed.flatten() {
            let name = below.join(entry.file_name());
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(name.clone());
                found.insert(name, None);
            } else {
                found.insert(name, Some((metadata.len(), metadata.modified().unwrap())));
            }
        }
    }
    found
}

#[test]
fn what_a_killed_node_leaves_is_gone_on_from() {
    let steps: Vec<_> = std::iter::repeat_n(model::fixed(), 6).flatten().collect();
    let model = Model::new(&steps);
    let blocks = &model.chain.blocks;
    let directory = tempfile::tempdir().unwrap();
    let (live, image) = (directory.path().join("live"), directory.path().join("image"));
    let index = Arc::new(FjallIndex::open(&live, 1 << 20).unwrap());
    let state = State::new(config(1), index);
    for (number, block) in blocks.iter().enumerate() {
        state.apply(block).unwrap();
        if number % 5 == 0 {
            copy(&live, &image);
            let index = Arc::new(FjallIndex::open(&image, 1 << 20).unwrap());
            let behind = index.checkpoint().unwrap().map(|checkpoint| checkpoint.height);
            assert!(behind <= Some(state.head().height));
            model.check(&open(index, 1, blocks));
            std::fs::remove_dir_all(&image).unwrap();
        }
    }
}

#[test]
fn a_directory_that_can_not_be_written_gives_an_index_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file");
    std::fs::write(&file, b"").unwrap();
    assert!(FjallIndex::open_or_in_memory(&file.join("index"), 1 << 20).is_ok());
}

#[test]
fn an_index_in_use_is_not_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = FjallIndex::open_or_in_memory(directory.path(), 1 << 20).unwrap();
    let second = FjallIndex::open_or_in_memory(directory.path(), 1 << 20);
    assert!(matches!(second, Err(Fault::Locked)));
    drop(first);
}

/// A leader's own block brings no rows; still the index goes as far as a checkpoint does that has it.
#[test]
fn an_index_is_not_made_anew_because_the_last_block_was_empty() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![vec![model::insert(1, "x")]]);
    chain.block(vec![]);
    let (empty, before) = chain.blocks.split_last().unwrap();
    let head = &empty.header;
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::default());
    let open =
        || -> Arc<dyn Index> { Arc::new(FjallIndex::open(directory.path(), 1 << 20).unwrap()) };
    let index = open();
    let state = resume(config(2), &index, Arc::clone(&disk), before);
    state.apply(empty).unwrap();
    state.checkpoint().unwrap();
    drop((state, index));
    let saved = open().checkpoint().unwrap().unwrap();
    assert_eq!((saved.height, saved.block), (head.height, head.hash()));
}

/// Stops a node when it has written its index and not yet the checkpoint, and when it has written neither.
#[test]
fn an_index_ahead_of_the_checkpoint_or_at_it_is_gone_on_with() {
    let steps: Vec<_> = std::iter::repeat_n(model::fixed(), 4).flatten().collect();
    let model = Model::new(&steps);
    let blocks = &model.chain.blocks;
    for (sealed, ahead) in [(0, 3), (5, 5), (5, 9), (9, blocks.len() - 1)] {
        let (directory, disk) = (tempfile::tempdir().unwrap(), SimulatedDisk::default());
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let open =
            || -> Arc<dyn Index> { Arc::new(FjallIndex::open(directory.path(), 1 << 20).unwrap()) };
        let index = open();
        let state = resume(config(1), &index, Arc::clone(&disk), &blocks[..sealed]);
        if sealed > 0 {
            state.checkpoint().unwrap();
        }
        blocks[sealed..ahead].iter().for_each(|block| drop(state.apply(block).unwrap()));
        index.hold();
        index.persist().unwrap();
        blocks[ahead..].iter().for_each(|block| drop(state.apply(block).unwrap()));
        drop((state, index));
        let index = open();
        let found = index.checkpoint().unwrap().map_or(0, |saved| saved.height.0 as usize + 1);
        // Blocks with many entries are saved at once.
        assert!(found >= ahead, "{found} of {ahead}");
        let state = resume(config(1), &index, Arc::clone(&disk), blocks);
        model.check(&state);
        state.checkpoint().unwrap();
        let saved = index.checkpoint().unwrap().unwrap();
        assert_eq!(saved.height, state.head().height);
    }
}
