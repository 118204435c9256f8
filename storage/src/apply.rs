//! Applying blocks: each operation's effect on versions, catalog and key index, in order.
//!
//! Everything that one block adds is in place before the block is published; readers at earlier heights
//! don't see it, because every version says when it began and when it ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use ledger::{
    Block, Catalog, ColumnNumber, Height, Object, Oid, Operation, Receipt, Refusal, Row, RowReader,
    Transaction, VersionId, catalog, key,
};

use crate::{
    Fault, Head, Shortage,
    chunk::{VERSION_BYTES, undecoded},
    index::{self, Change, Checkpoint, Space},
    state::Core,
    versions::Versions,
};

/// Changes of the index that are collected before they are handed to it.
const CHANGES: usize = 8192;

/// What a version's index entries cost, roughly: asked for before it is taken in.
const ENTRIES_BYTES: u64 = 96;

/// The one writer of a state.
pub(crate) struct Applier {
    core: Arc<Core>,
    settle_blocks: u64,
    /// What the index held when it was opened; `None` when that was passed, or it was new.
    indexed: Option<Checkpoint>,
    /// Versions that ended and still stand in the present part of the index, in order of their ends.
    ended: VecDeque<Ended>,
    changes: Vec<Change>,
    wrote: bool,
    tables: BTreeMap<Oid, Arc<Target>>,
    stopped: Option<Fault>,
}

/// A version that ended.
#[derive(Clone, Copy)]
struct Ended {
    height: Height,
    table: Oid,
    row: u64,
}

/// A table with all that a row's write needs, looked up once.
struct Target {
    object: Arc<Object>,
    versions: Arc<Versions>,
    indexes: Vec<(Oid, Vec<ColumnNumber>)>,
}

/// What a block did to the catalog.
struct Definitions {
    catalog: Catalog,
    changed: bool,
    only_leases: bool,
}

impl Applier {
    pub(crate) fn new(core: Arc<Core>, settle_blocks: u64) -> Self {
        Self {
            core,
            settle_blocks,
            indexed: None,
            ended: VecDeque::new(),
            changes: Vec::new(),
            wrote: false,
            tables: BTreeMap::new(),
            stopped: None,
        }
    }

    /// Goes on with an index that has a checkpoint: blocks up to it will not be written to it again.
    pub(crate) fn resume(&mut self) -> Result<(), Fault> {
        self.indexed = self.core.index.checkpoint()?;
        if let Some(checkpoint) = self.indexed {
            self.core.settled.store(checkpoint.settled.0, Ordering::Release);
            return Ok(());
        }
        // Entries without a checkpoint are what is left of a write that was cut short.
        self.core.index.clear()
    }

    /// All blocks that there are were applied: an index that is ahead of them is of another chain.
    pub(crate) fn finish_resume(&mut self) -> Result<(), Fault> {
        if self.indexed.take().is_some() { self.rebuild_index() } else { Ok(()) }
    }

    /// Applies the next block. After a fault no further block is taken.
    pub(crate) fn apply(&mut self, block: &Block) -> Result<(Head, Vec<Receipt>), Fault> {
        if let Some(fault) = &self.stopped {
            return Err(fault.clone());
        }
        let applied = self.try_apply(block);
        if let Err(fault) = &applied {
            self.stopped = Some(fault.clone());
        }
        applied
    }

    fn try_apply(&mut self, block: &Block) -> Result<(Head, Vec<Receipt>), Fault> {
        let height = block.header.height;
        let (before, catalog) = {
            let published = self.core.published.read();
            (published.head, published.catalogs.newest())
        };
        let (next, parent) =
            before.map_or_else(Default::default, |head| (Height(head.height.0 + 1), head.block));
        if height != next || block.header.parent != parent {
            return Err(unfit(height, "it is not the next block of this chain"));
        }
        let catalog = Catalog::clone(&catalog);
        let mut definitions = Definitions { catalog, changed: false, only_leases: true };
        for (place, transaction) in (0_u32..).zip(&block.transactions) {
            self.transaction(height, place, transaction, &mut definitions)?;
        }
        let head = Head { height, block: block.header.hash(), time_us: block.header.time_us };
        self.finish_index(head, &definitions.catalog)?;
        let receipts = self.publish(head, block, definitions);
        self.core.memory.set_index(self.core.index.resident_bytes());
        if self.core.memory.is_tight() {
            for versions in self.core.tables.read().values() {
                versions.drop_columns();
            }
        }
        Ok((head, receipts))
    }

    fn transaction(
        &mut self,
        height: Height,
        place: u32,
        transaction: &Transaction,
        definitions: &mut Definitions,
    ) -> Result<(), Fault> {
        for (operation, effect) in (0_u32..).zip(&transaction.operations) {
            let version = VersionId { height, transaction: place, operation };
            match effect {
                Operation::Insert { table, row } => {
                    let target = self.target(*table, definitions, height)?;
                    self.write(&target, version, false, row)?;
                }
                Operation::Update { table, previous, row } => {
                    let target = self.target(*table, definitions, height)?;
                    let ended = target.versions.supersede(*previous, height);
                    self.ended(*table, height, *previous, ended)?;
                    self.write(&target, version, true, row)?;
                }
                Operation::Delete { table, previous } => {
                    let target = self.target(*table, definitions, height)?;
                    let ended = target.versions.delete(*previous, version);
                    self.ended(*table, height, *previous, ended)?;
                }
                Operation::Define { .. } | Operation::Drop { .. } | Operation::Lease { .. } => {
                    self.define(height, effect, definitions)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a version and its index entries.
    fn write(
        &mut self,
        target: &Target,
        version: VersionId,
        update: bool,
        row: &Row,
    ) -> Result<(), Fault> {
        let number = target.versions.push(version, update, row);
        if self.is_indexed(version.height) || target.indexes.is_empty() {
            return Ok(());
        }
        let Object::Table(table) = &*target.object else { return Ok(()) };
        let reader = RowReader::new(table, &row.bytes).map_err(undecoded)?;
        for (oid, columns) in &target.indexes {
            let mut key = Vec::new();
            key::push_key_of_row(&mut key, &reader, columns).map_err(undecoded)?;
            self.change(Change::Put(index::entry(Space::Present, *oid, &key, number)))?;
        }
        Ok(())
    }

    /// Notes that a version ended, to be settled later.
    fn ended(
        &mut self,
        table: Oid,
        height: Height,
        previous: VersionId,
        row: Option<u64>,
    ) -> Result<(), Fault> {
        let Some(row) = row else {
            return Err(unfit(height, &format!("{previous:?} of table {} is not alive", table.0)));
        };
        if height.0 > self.core.settled.load(Ordering::Relaxed) {
            self.ended.push_back(Ended { height, table, row });
        }
        Ok(())
    }

    fn define(
        &mut self,
        height: Height,
        effect: &Operation,
        definitions: &mut Definitions,
    ) -> Result<(), Fault> {
        let refused = |refusal: Refusal| unfit(height, &refusal.to_string());
        let before = match effect {
            Operation::Define { oid, .. } => definitions.catalog.index(*oid).cloned(),
            _ => None,
        };
        definitions.catalog.apply(effect).map_err(refused)?;
        definitions.changed = true;
        definitions.only_leases &= matches!(effect, Operation::Lease { .. });
        if !matches!(effect, Operation::Lease { .. }) {
            self.tables.clear();
        }
        if let Operation::Define { oid, object } = effect
            && let Object::Index(index) = object.as_ref()
            && before.is_none_or(|before| before.columns != index.columns)
            && !self.is_indexed(height)
        {
            self.fill(*oid, index, &definitions.catalog)?;
        }
        Ok(())
    }

    fn target(
        &mut self,
        table: Oid,
        definitions: &Definitions,
        height: Height,
    ) -> Result<Arc<Target>, Fault> {
        if let Some(target) = self.tables.get(&table) {
            return Ok(Arc::clone(target));
        }
        let catalog = &definitions.catalog;
        let object = catalog.get_shared(table);
        let object = object.filter(|object| matches!(***object, Object::Table(_)));
        let object = object.ok_or_else(|| unfit(height, &format!("no table {}", table.0)))?;
        let versions = Arc::clone(
            self.core
                .tables
                .write()
                .entry(table)
                .or_insert_with(|| Arc::new(Versions::new(Arc::clone(&self.core.memory)))),
        );
        let indexes = catalog.indexes_of(table).map(|(oid, index)| (oid, index.columns.clone()));
        let target =
            Arc::new(Target { object: Arc::clone(object), versions, indexes: indexes.collect() });
        self.tables.insert(table, Arc::clone(&target));
        Ok(target)
    }

    /// Whether a block's entries are in the index from before it was opened.
    fn is_indexed(&self, height: Height) -> bool {
        self.indexed.is_some_and(|checkpoint| height <= checkpoint.height)
    }

    fn change(&mut self, change: Change) -> Result<(), Fault> {
        self.changes.push(change);
        if self.changes.len() >= CHANGES {
            self.flush(None)?;
        }
        Ok(())
    }

    fn flush(&mut self, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        self.wrote = true;
        self.core.index.write(std::mem::take(&mut self.changes), checkpoint)
    }

    /// Writes a block's entries with the checkpoint, after moving what ended long ago into the past.
    fn finish_index(&mut self, head: Head, catalog: &Catalog) -> Result<(), Fault> {
        if let Some(checkpoint) = self.indexed {
            if head.height < checkpoint.height {
                return Ok(());
            }
            self.indexed = None;
            if head.block != checkpoint.block {
                return self.rebuild_index_at(head, catalog);
            }
            return Ok(());
        }
        let settled = self.settle(head.height, catalog)?;
        if self.wrote || !self.changes.is_empty() {
            self.flush(Some(Checkpoint { height: head.height, block: head.block, settled }))?;
            self.wrote = false;
        }
        Ok(())
    }

    /// Moves entries of versions that ended long ago. The past gets them first; then readers are told;
    /// then the present loses them: whoever reads meanwhile finds each in at least one of the two.
    fn settle(&mut self, height: Height, catalog: &Catalog) -> Result<Height, Fault> {
        let until = Height(height.0.saturating_sub(self.settle_blocks));
        let mut settled = Height(self.core.settled.load(Ordering::Relaxed));
        let mut entries = Vec::new();
        while let Some(ended) = self.ended.front().copied().filter(|ended| ended.height <= until) {
            self.ended.pop_front();
            settled = settled.max(ended.height);
            self.entries_of(ended, catalog, &mut entries)?;
        }
        if entries.is_empty() {
            return Ok(settled);
        }
        let past = entries.iter().map(|entry| Change::Put(index::moved(entry, Space::Past)));
        self.core.index.write(past.collect(), None)?;
        self.core.settled.store(settled.0, Ordering::Release);
        for entry in entries {
            self.change(Change::Remove(entry))?;
        }
        Ok(settled)
    }

    /// The entries of one version in all indexes of its table.
    fn entries_of(
        &self,
        ended: Ended,
        catalog: &Catalog,
        entries: &mut Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let (Some(table), Some(versions)) =
            (catalog.table(ended.table), self.core.versions(ended.table))
        else {
            return Ok(());
        };
        for (oid, index) in catalog.indexes_of(ended.table) {
            let key: Option<Result<Vec<u8>, Fault>> =
                versions.with_row(ended.row, |chunk, place| {
                    let reader = RowReader::new(table, chunk.bytes(place).unwrap_or_default());
                    let mut key = Vec::new();
                    key::push_key_of_row(&mut key, &reader.map_err(undecoded)?, &index.columns)
                        .map_err(undecoded)?;
                    Ok(key)
                });
            if let Some(key) = key {
                entries.push(index::entry(Space::Present, oid, &key?, ended.row));
            }
        }
        Ok(())
    }

    /// Writes the entries of all versions that a table has into a new index.
    fn fill(&mut self, oid: Oid, index: &catalog::Index, catalog: &Catalog) -> Result<(), Fault> {
        let (Some(table), Some(versions)) =
            (catalog.table(index.table), self.core.versions(index.table))
        else {
            return Ok(());
        };
        let settled = Height(self.core.settled.load(Ordering::Relaxed));
        for chunk in versions.chunks_at(Height(u64::MAX)) {
            for place in 0..chunk.len() {
                let bytes = chunk.bytes(place).unwrap_or_default();
                let reader = RowReader::new(table, bytes).map_err(undecoded)?;
                let mut key = Vec::new();
                key::push_key_of_row(&mut key, &reader, &index.columns).map_err(undecoded)?;
                let past = chunk.end(place, settled).is_some();
                let space = if past { Space::Past } else { Space::Present };
                self.change(Change::Put(index::entry(
                    space,
                    oid,
                    &key,
                    chunk.first + place as u64,
                )))?;
            }
        }
        Ok(())
    }

    /// Makes the index anew from the versions, at the newest block.
    fn rebuild_index(&mut self) -> Result<(), Fault> {
        let (head, catalog) = {
            let published = self.core.published.read();
            (published.head, published.catalogs.newest())
        };
        match head {
            Some(head) => self.rebuild_index_at(head, &catalog),
            None => self.core.index.clear(),
        }
    }

    fn rebuild_index_at(&mut self, head: Head, catalog: &Catalog) -> Result<(), Fault> {
        tracing::warn!(
            height = head.height.0,
            "the key index is of another chain; it is made anew"
        );
        self.core.index.clear()?;
        let settled = Height(head.height.0.saturating_sub(self.settle_blocks));
        self.core.settled.store(settled.0, Ordering::Release);
        self.ended.clear();
        let tables = self.core.tables.read().clone();
        for (table, versions) in tables {
            for chunk in versions.chunks_at(Height(u64::MAX)) {
                for place in 0..chunk.len() {
                    if let Some(height) = chunk.end(place, Height(u64::MAX - 1))
                        && height > settled
                    {
                        let row = chunk.first + place as u64;
                        self.ended.push_back(Ended { height, table, row });
                    }
                }
            }
        }
        self.ended.make_contiguous().sort_unstable_by_key(|ended| ended.height);
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
        let checkpoint = Checkpoint { height: head.height, block: head.block, settled };
        self.flush(Some(checkpoint))?;
        self.wrote = false;
        Ok(())
    }

    /// Shows the block to readers.
    fn publish(&self, head: Head, block: &Block, definitions: Definitions) -> Vec<Receipt> {
        self.core.memory.add(self.core.chain.write().push(block, head.block));
        let mut published = self.core.published.write();
        published.head = Some(head);
        if definitions.changed {
            let Definitions { catalog, only_leases, .. } = definitions;
            published.catalogs.push(head.height, catalog, only_leases);
        }
        drop(published);
        let places = 0_u32..;
        places
            .zip(&block.transactions)
            .map(|(place, transaction)| Receipt {
                id: transaction.id,
                height: head.height,
                transaction: place,
                block: head.block,
                time_us: head.time_us,
            })
            .collect()
    }
}

impl Core {
    /// Whether a transaction's rows fit into memory.
    pub(crate) fn admit(&self, transaction: &Transaction) -> Result<(), Shortage> {
        let rows = transaction.operations.iter().filter_map(Operation::row);
        let bytes: u64 =
            rows.map(|row| (row.bytes.len() + VERSION_BYTES) as u64 + ENTRIES_BYTES).sum();
        if bytes == 0 {
            return Ok(());
        }
        self.memory.admit(bytes)
    }
}

fn unfit(height: Height, detail: &str) -> Fault {
    Fault::Apply { height, detail: detail.to_owned() }
}
