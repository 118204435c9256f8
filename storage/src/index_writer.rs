//! Keeping the key index up with the versions: new entries with each block, old ones moved into the past,
//! all of them anew when the index is lost or of another chain.
//!
//! The index is derived, so that its failures are no reason to stop: when it can't be written any more (a
//! full disk, say) another one is made in memory, and the node goes on with that until the disk takes writes again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use ledger::{Catalog, ColumnNumber, Hash, Height, Oid, RowReader, Table, catalog, key};

use crate::{
    Fault, Head, Index, MemoryIndex,
    chunk::undecoded,
    index::{self, Change, Checkpoint, Space},
    state::Core,
};

/// Changes that are collected before they are handed to the index; and when blocks are applied that there are at a
/// start, of which none is answered, so that they are sorted together.
const CHANGES: usize = 8192;
const CHANGES_AT_START: usize = if cfg!(test) { 7 } else { 64 << 10 };

/// Entries that a block must bring so that they are sorted and loaded, beside all else, rather than written;
/// and how many are loaded at a time.
const MANY: u64 = if cfg!(test) { 4 } else { 32 << 10 };
const LOAD: usize = if cfg!(test) { 3 } else { 512 << 10 };

/// Writes the key index of one state.
pub(crate) struct IndexWriter {
    core: Arc<Core>,
    index: Arc<dyn Index>,
    settle_blocks: u64,
    /// What the index held when it was opened; `None` when that was passed, or it was new.
    indexed: Option<Checkpoint>,
    /// Versions that ended and still stand in the present part of the index, in order of their ends.
    ended: VecDeque<Ended>,
    changes: Vec<Change>,
    /// Entries to be loaded, if the block has many, and the load that is under way.
    many: Option<Vec<Vec<u8>>>,
    load: Option<JoinHandle<Result<(), Fault>>>,
    /// The open block, until a load of its entries was noted.
    open: Option<(Height, Hash)>,
    /// Whether blocks come that there were at the start.
    at_start: bool,
    /// Whether entries of the open block were loaded.
    loaded: bool,
    /// A block whose entries may have been loaded before this start: it must come again.
    loading: Option<(Height, Hash)>,
    /// Whether anything of the open block was handed over.
    wrote: bool,
    /// Whether the index refused a write. Nothing is written to it after that.
    lost: bool,
    /// Whether another has taken its place.
    replaced: bool,
}

/// A version that ended.
#[derive(Clone, Copy)]
struct Ended {
    height: Height,
    table: Oid,
    row: u64,
}

impl IndexWriter {
    pub(crate) fn new(core: Arc<Core>, settle_blocks: u64) -> Self {
        let index = core.index();
        Self {
            core,
            index,
            settle_blocks,
            indexed: None,
            ended: VecDeque::new(),
            changes: Vec::new(),
            many: None,
            load: None,
            open: None,
            at_start: false,
            loaded: false,
            loading: None,
            wrote: false,
            lost: false,
            replaced: false,
        }
    }

    /// Goes on with an index that has a checkpoint: blocks up to it will not be written to it again. A state
    /// that is ahead of it has the index made anew. `unsettled` are the versions that ended, as of the state.
    pub(crate) fn resume(&mut self, unsettled: Vec<(Height, Oid, u64)>) -> Result<(), Fault> {
        let (head, catalog) = {
            let published = self.core.published.read();
            (published.head, published.catalogs.newest())
        };
        let checkpoint = match self.index.checkpoint() {
            Ok(checkpoint) => checkpoint,
            Err(fault) => {
                self.lose(&fault);
                None
            }
        };
        let fits = |checkpoint: &Checkpoint| match head {
            Some(head) if checkpoint.height == head.height => checkpoint.block == head.block,
            Some(head) => checkpoint.height > head.height,
            None => true,
        };
        match (checkpoint.filter(fits), head) {
            (Some(checkpoint), _) => {
                self.core.settled.store(checkpoint.settled.0, Ordering::Release);
                self.loading = checkpoint.loading;
                let ahead = head.is_none_or(|head| checkpoint.height > head.height);
                self.indexed = Some(checkpoint).filter(|_| ahead);
                for (height, table, row) in unsettled {
                    self.ended(height, table, row);
                }
            }
            (None, Some(head)) => {
                tracing::warn!(
                    "the key index doesn't go as far as the checkpoint; it is made anew"
                );
                self.clear();
                return self.rebuild(head, &catalog);
            }
            // Entries without a checkpoint are what is left of a write that was cut short.
            (None, None) => self.clear(),
        }
        Ok(())
    }

    /// Blocks come that there were at the start: nobody reads until [`Self::finish_resume`].
    pub(crate) fn catch_up(&mut self) {
        self.at_start = true;
    }

    /// All blocks that there are were applied: an index that is ahead of them is of another chain.
    pub(crate) fn finish_resume(&mut self) -> Result<(), Fault> {
        self.at_start = false;
        let loaded = self.loading.take().is_some();
        let (head, catalog) = {
            let published = self.core.published.read();
            (published.head, published.catalogs.newest())
        };
        let ahead = self.indexed.take().is_some();
        if !ahead
            && !loaded
            && let Some(head) = head.filter(|_| self.wrote || !self.changes.is_empty())
        {
            self.complete(head);
        }
        if !ahead && !loaded && !self.lost {
            return Ok(());
        }
        self.clear();
        head.map_or(Ok(()), |head| self.rebuild(head, &catalog))
    }

    /// Whether a block's entries are in the index from before it was opened.
    pub(crate) fn is_indexed(&self, height: Height) -> bool {
        self.indexed.is_some_and(|checkpoint| height <= checkpoint.height)
    }

    /// A block begins, which brings so many operations on rows.
    pub(crate) fn begin_block(&mut self, height: Height, block: Hash, operations: u64) {
        (self.open, self.many) = (Some((height, block)), None);
        self.expect(operations);
    }

    /// So many entries may follow.
    fn expect(&mut self, entries: u64) {
        if entries >= MANY && self.many.is_none() {
            self.many = Some(Vec::new());
        }
    }

    /// Adds the entry of a new version.
    pub(crate) fn put(
        &mut self,
        oid: Oid,
        index: &catalog::Index,
        reader: &RowReader<'_>,
        row: u64,
    ) -> Result<(), Fault> {
        let entry = entry_of(Space::Present, oid, &index.columns, reader, row)?;
        if index.unique
            && let Some(key) = index::key_of(&entry)
        {
            self.core.hints.note(oid, key, row);
        }
        self.add(entry);
        Ok(())
    }

    fn add(&mut self, entry: Vec<u8>) {
        let Some(many) = &mut self.many else { return self.change(Change::Put(entry)) };
        many.push(entry);
        if many.len() >= LOAD {
            let full = std::mem::take(many);
            self.begin_load(full);
        }
    }

    /// Sorts and loads entries on a thread of its own, after the load that is under way.
    fn begin_load(&mut self, mut entries: Vec<Vec<u8>>) {
        self.end_load();
        if self.lost || entries.is_empty() {
            return;
        }
        (self.wrote, self.loaded) = (true, true);
        // An index that has entries of a block, but was not told so, would be believed on another chain.
        let of = self.open.take();
        let index = Arc::clone(&self.index);
        let load = move || {
            entries.sort_unstable();
            entries.dedup();
            index.load(entries, of)
        };
        match std::thread::Builder::new().name("index-load".to_owned()).spawn(load) {
            Ok(thread) => self.load = Some(thread),
            Err(error) => self.lose(&Fault::io("start a thread", error)),
        }
    }

    fn end_load(&mut self) {
        let panicked = |_| Err(Fault::Internal("loading the index panicked".to_owned()));
        if let Some(load) = self.load.take()
            && let Err(fault) = load.join().unwrap_or_else(panicked)
        {
            self.lose(&fault);
        }
    }

    /// Loads what is left of many entries.
    fn end_loads(&mut self) {
        if let Some(rest) = self.many.take() {
            self.begin_load(rest);
        }
        self.end_load();
    }

    /// Notes that a version ended, to be settled later.
    pub(crate) fn ended(&mut self, height: Height, table: Oid, row: u64) {
        if height.0 > self.core.settled.load(Ordering::Relaxed) {
            self.ended.push_back(Ended { height, table, row });
        }
    }

    /// Writes the entries of all versions that a table has into a new index.
    pub(crate) fn fill(
        &mut self,
        oid: Oid,
        index: &catalog::Index,
        catalog: &Catalog,
    ) -> Result<(), Fault> {
        let Some(table) = catalog.table(index.table) else { return Ok(()) };
        let Some(versions) = self.core.versions(index.table) else { return Ok(()) };
        let settled = Height(self.core.settled.load(Ordering::Relaxed));
        self.expect(versions.end());
        for chunk in versions.chunks_at(Height(u64::MAX))? {
            let rows = chunk.rows()?;
            for place in 0..chunk.len() {
                let bytes = rows.get(place).unwrap_or_default();
                let reader = RowReader::new(table, bytes).map_err(undecoded)?;
                let past = chunk.end(place, settled)?.is_some();
                let space = if past { Space::Past } else { Space::Present };
                let row = chunk.first + place as u64;
                self.add(entry_of(space, oid, &index.columns, &reader, row)?);
            }
        }
        Ok(())
    }

    /// Writes a block's entries with the checkpoint, after moving what ended long ago into the past.
    pub(crate) fn finish_block(&mut self, head: Head, catalog: &Catalog) -> Result<(), Fault> {
        if let Some(checkpoint) = self.indexed {
            if head.height < checkpoint.height {
                return Ok(());
            }
            self.indexed = None;
            if head.block == checkpoint.block {
                return Ok(());
            }
            tracing::warn!("the key index is of another chain; it is made anew");
            self.clear();
            return self.rebuild(head, catalog);
        }
        self.end_loads();
        if self.loading.is_some_and(|(height, _)| height <= head.height)
            && self.loading.take() != Some((head.height, head.block))
        {
            tracing::warn!("the key index has entries of another chain; it is made anew");
            self.clear();
            return self.rebuild(head, catalog);
        }
        self.settle(head.height, catalog)?;
        let waits = self.at_start && !self.loaded && self.changes.len() < CHANGES_AT_START;
        if !waits && (self.wrote || !self.changes.is_empty()) {
            self.complete(head);
        }
        if std::mem::take(&mut self.loaded) {
            // A start would load it all again.
            self.make_safe();
        }
        if self.lost { self.rebuild(head, catalog) } else { Ok(()) }
    }

    /// Moves entries of versions that ended long ago. The past gets them first; then readers are told;
    /// then the present loses them: whoever reads meanwhile finds each in at least one of the two.
    fn settle(&mut self, height: Height, catalog: &Catalog) -> Result<(), Fault> {
        let until = Height(height.0.saturating_sub(self.settle_blocks));
        let mut settled = Height(self.core.settled.load(Ordering::Relaxed));
        let mut entries = Vec::new();
        while let Some(ended) = self.ended.front().copied().filter(|ended| ended.height <= until) {
            self.ended.pop_front();
            settled = settled.max(ended.height);
            self.entries_of(ended, catalog, &mut entries)?;
        }
        if entries.is_empty() {
            self.core.settled.store(settled.0, Ordering::Release);
            return Ok(());
        }
        let past = entries.iter().map(|entry| Change::Put(index::moved(entry, Space::Past)));
        let past = past.collect();
        self.hand_over(past, None);
        self.core.settled.store(settled.0, Ordering::Release);
        for entry in entries {
            self.change(Change::Remove(entry));
        }
        Ok(())
    }

    /// The entries of one version in all indexes of its table.
    fn entries_of(
        &self,
        ended: Ended,
        catalog: &Catalog,
        entries: &mut Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let Some(table) = catalog.table(ended.table) else { return Ok(()) };
        let Some(versions) = self.core.versions(ended.table) else { return Ok(()) };
        let indexes: Vec<(Oid, &catalog::Index)> = catalog.indexes_of(ended.table).collect();
        if indexes.is_empty() {
            return Ok(());
        }
        let found = versions.with_row(ended.row, |chunk, place| {
            of_row(table, &chunk.row_at(place)?, &indexes, ended.row, entries)
        });
        found.map(Option::unwrap_or_default)
    }

    /// Makes the index anew from the versions, at a block; in memory if the one there was is lost.
    fn rebuild(&mut self, head: Head, catalog: &Catalog) -> Result<(), Fault> {
        if self.lost {
            self.index = Arc::new(MemoryIndex::default());
            (self.lost, self.replaced) = (false, true);
        }
        let settled = Height(head.height.0.saturating_sub(self.settle_blocks));
        self.core.settled.store(settled.0, Ordering::Release);
        self.collect_ended(settled)?;
        self.fill_all(head, catalog)?;
        if self.lost {
            // An index in memory takes every write, so this happens once at most.
            return self.rebuild(head, catalog);
        }
        self.core.set_index(Arc::clone(&self.index));
        Ok(())
    }

    /// Writes the entries of all versions into an index that has none.
    fn fill_all(&mut self, head: Head, catalog: &Catalog) -> Result<(), Fault> {
        self.changes.clear();
        // Without a checkpoint nothing of it is believed.
        (self.many, self.loading, self.open, self.loaded) = (None, None, None, false);
        let history = self.core.published.read().catalogs.all();
        let mut filled = BTreeMap::new();
        for catalog in history.iter().map(Arc::as_ref).chain([catalog]) {
            for (oid, index) in catalog.indexes() {
                if filled.get(&oid) != Some(&index.columns) {
                    filled.insert(oid, index.columns.clone());
                    self.fill(oid, index, catalog)?;
                }
            }
        }
        self.end_loads();
        self.complete(head);
        self.make_safe();
        Ok(())
    }

    /// Takes the index that failed into use again, with all entries anew. Between two blocks; readers have one in
    /// memory until it is complete.
    ///
    /// # Errors
    /// Why it still takes no writes; then all is as it was.
    pub(crate) fn revive(&mut self, store: &Arc<dyn Index>) -> Result<(), Fault> {
        let (head, catalog) = {
            let published = self.core.published.read();
            (published.head.unwrap_or_default(), published.catalogs.newest())
        };
        if !self.replaced {
            self.lose(&Fault::Derived { what: "key index", detail: "a write failed".to_owned() });
            self.rebuild(head, &catalog)?;
        }
        store.revive()?;
        store.clear()?;
        let in_memory = std::mem::replace(&mut self.index, Arc::clone(store));
        let filled = self.fill_all(head, &catalog);
        if filled.is_err() || self.lost {
            self.index = in_memory;
            self.lost = false;
            let detail = "it failed again while it was filled".to_owned();
            return filled.and(Err(Fault::Derived { what: "key index", detail }));
        }
        self.replaced = false;
        self.core.set_index(Arc::clone(store));
        tracing::warn!("the key index is on disk again");
        Ok(())
    }

    /// Finds the versions that ended after a height, in order of their ends.
    fn collect_ended(&mut self, settled: Height) -> Result<(), Fault> {
        self.ended.clear();
        let tables = self.core.tables.read().clone();
        for (table, versions) in tables {
            for chunk in versions.chunks_at(Height(u64::MAX))? {
                if chunk.ends().last() <= settled {
                    continue;
                }
                let heights = chunk.heights()?;
                for place in 0..chunk.len() {
                    if let Some(height) = heights.end(place, Height(u64::MAX - 1))
                        && height > settled
                    {
                        let row = chunk.first + place as u64;
                        self.ended.push_back(Ended { height, table, row });
                    }
                }
            }
        }
        self.ended.make_contiguous().sort_unstable_by_key(|ended| ended.height);
        Ok(())
    }

    /// The versions that ended and aren't settled, as a checkpoint keeps them.
    pub(crate) fn unsettled(&self) -> Vec<(Height, Oid, u64)> {
        self.ended.iter().map(|ended| (ended.height, ended.table, ended.row)).collect()
    }

    /// Has the index made safe by its next `persist` as of this block, which is complete.
    pub(crate) fn hold(&mut self, head: Head) {
        if self.indexed.is_none() {
            // Also if the block brought nothing: the index must not seem to be behind the state.
            self.complete(head);
        }
        self.index.hold();
    }

    /// Whether the index is the one that the state was opened with, and takes writes.
    pub(crate) fn is_sound(&self) -> bool {
        !self.lost && !self.replaced
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
        let most = if self.at_start { CHANGES_AT_START.max(CHANGES) } else { CHANGES };
        if self.changes.len() >= most {
            self.flush(None);
        }
    }

    /// Hands over what there is, and says that it goes as far as this block.
    fn complete(&mut self, head: Head) {
        let settled = Height(self.core.settled.load(Ordering::Relaxed));
        self.flush(Some(checkpoint(head, settled)));
        self.wrote = false;
    }

    /// Has all that was handed over, which ended with a checkpoint, on disk now.
    fn make_safe(&mut self) {
        if self.lost {
            return;
        }
        self.index.hold();
        if let Err(fault) = self.index.persist() {
            self.lose(&fault);
        }
    }

    fn flush(&mut self, checkpoint: Option<Checkpoint>) {
        self.wrote = true;
        let changes = std::mem::take(&mut self.changes);
        self.hand_over(changes, checkpoint);
    }

    fn hand_over(&mut self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) {
        if !self.lost
            && let Err(fault) = self.index.write(changes, checkpoint)
        {
            self.lose(&fault);
        }
    }

    fn clear(&mut self) {
        if !self.lost
            && let Err(fault) = self.index.clear()
        {
            self.lose(&fault);
        }
    }

    fn lose(&mut self, fault: &Fault) {
        tracing::error!(%fault, "the key index can't be kept on disk; it is kept in memory until it can");
        self.lost = true;
    }
}

fn checkpoint(head: Head, settled: Height) -> Checkpoint {
    Checkpoint { height: head.height, block: head.block, settled, loading: None }
}

/// Adds a row's entries in these indexes.
fn of_row(
    table: &Table,
    bytes: &[u8],
    indexes: &[(Oid, &catalog::Index)],
    row: u64,
    entries: &mut Vec<Vec<u8>>,
) -> Result<(), Fault> {
    let reader = RowReader::new(table, bytes).map_err(undecoded)?;
    for (oid, index) in indexes {
        entries.push(entry_of(Space::Present, *oid, &index.columns, &reader, row)?);
    }
    Ok(())
}

fn entry_of(
    space: Space,
    oid: Oid,
    columns: &[ColumnNumber],
    reader: &RowReader<'_>,
    row: u64,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = index::start(space, oid, &[]);
    key::push_key_of_row(&mut bytes, reader, columns).map_err(undecoded)?;
    Ok(index::finish(bytes, row))
}
