//! Applying blocks: each operation's effect on versions, catalog and key index, in order.
//!
//! Everything that one block adds is in place before the block is published; readers at earlier heights
//! don't see it, because every version says when it began and when it ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ledger::{
    Block, Catalog, Height, Object, Oid, Operation, Outcome, Receipt, Refusal, Row, RowReader,
    Transaction, VersionId, catalog,
};

use crate::{
    Fault, Head, Index, Shortage,
    chunk::{VERSION_BYTES, undecoded},
    index_writer::IndexWriter,
    state::Core,
    versions::{Unsealed, Versions},
};

/// What a version's index entries cost, roughly: asked for before it is taken in.
const ENTRIES_BYTES: u64 = 96;

/// The one writer of a state.
pub(crate) struct Applier {
    core: Arc<Core>,
    index: IndexWriter,
    tables: BTreeMap<Oid, Arc<Target>>,
    stopped: Option<Fault>,
    unstored: Unstored,
}

/// What the last checkpoint lacks beside rows and records.
#[derive(Default)]
struct Unstored {
    definitions: Vec<(Height, Vec<Operation>)>,
    /// Sequences that were leased, defined or dropped.
    sequences: BTreeSet<Oid>,
    membership: Option<Height>,
    blocks: u64,
    operations: u64,
}

/// All that a checkpoint holds, as of one block.
pub(crate) struct Capture {
    pub(crate) head: Head,
    /// Every catalog that there was, oldest first.
    pub(crate) catalogs: Vec<Arc<Catalog>>,
    pub(crate) definitions: Vec<(Height, Vec<Operation>)>,
    pub(crate) sequences: BTreeSet<Oid>,
    pub(crate) membership: Option<Height>,
    pub(crate) unsettled: Vec<(Height, Oid, u64)>,
    pub(crate) tables: Vec<(Oid, Arc<Versions>, Unsealed)>,
    /// Blocks and operations since the one before.
    blocks: u64,
    operations: u64,
}

/// A table with all that a row's write needs, looked up once.
struct Target {
    object: Arc<Object>,
    versions: Arc<Versions>,
    indexes: Vec<(Oid, catalog::Index)>,
}

/// What a block did.
struct Effects {
    /// The catalog, after it.
    catalog: Catalog,
    changed: bool,
    only_leases: bool,
    /// The tables that it wrote, and the last of them.
    written: BTreeMap<Oid, Arc<Versions>>,
    last: Option<Oid>,
    /// All of it, in one hash.
    outcome: Outcome,
}

impl Applier {
    pub(crate) fn new(core: Arc<Core>, settle_blocks: u64) -> Self {
        let index = IndexWriter::new(Arc::clone(&core), settle_blocks);
        let unstored = Unstored::default();
        Self { core, index, tables: BTreeMap::new(), stopped: None, unstored }
    }

    /// Goes on from a checkpoint: what of it is this one's.
    pub(crate) fn resume_from(&mut self, membership: Option<Height>) {
        self.unstored.membership = membership;
    }

    /// The newest block with an entry of consensus' own.
    pub(crate) fn membership(&self) -> Option<Height> {
        self.unstored.membership
    }

    /// Blocks and operations that were applied since the last checkpoint was begun.
    pub(crate) fn since_checkpoint(&self) -> (u64, u64) {
        (self.unstored.blocks, self.unstored.operations)
    }

    /// Takes an index on disk that failed into use again, if that was so.
    ///
    /// # Errors
    /// Why it still takes no writes.
    pub(crate) fn revive(&mut self, store: &Arc<dyn Index>) -> Result<(), Fault> {
        if self.index.is_sound() && !store.has_failed() {
            return Ok(());
        }
        self.index.revive(store)?;
        self.core.memory.set_index(self.core.index().resident_bytes());
        Ok(())
    }

    /// Takes over what the last checkpoint lacks; `None` if there is nothing. The block before is complete,
    /// and the next has not begun.
    pub(crate) fn capture(&mut self) -> Result<Option<Capture>, Fault> {
        if let Some(fault) = &self.stopped {
            return Err(fault.clone());
        }
        if !self.index.is_sound() {
            let detail = "it is kept in memory".to_owned();
            return Err(Fault::Derived { what: "key index", detail });
        }
        let (head, catalogs) = {
            let published = self.core.published.read();
            (published.head, published.catalogs.all())
        };
        let Some(head) = head.filter(|_| self.unstored.blocks > 0) else { return Ok(None) };
        self.index.hold(head);
        let mut tables = Vec::new();
        for (table, versions) in self.core.tables.read().iter() {
            if let Some(unsealed) = versions.unsealed()? {
                tables.push((*table, Arc::clone(versions), unsealed));
            }
        }
        let membership = self.unstored.membership;
        let unstored =
            std::mem::replace(&mut self.unstored, Unstored { membership, ..Unstored::default() });
        Ok(Some(Capture {
            head,
            catalogs,
            definitions: unstored.definitions,
            sequences: unstored.sequences,
            membership,
            unsettled: self.index.unsettled(),
            tables,
            blocks: unstored.blocks,
            operations: unstored.operations,
        }))
    }

    /// Takes back what could not be written: the next capture has it again.
    pub(crate) fn give_back(&mut self, capture: Capture) {
        let later = std::mem::take(&mut self.unstored);
        self.unstored = Unstored {
            definitions: capture.definitions,
            sequences: capture.sequences,
            membership: later.membership,
            blocks: capture.blocks + later.blocks,
            operations: capture.operations + later.operations,
        };
        self.unstored.definitions.extend(later.definitions);
        self.unstored.sequences.extend(later.sequences);
    }

    /// Goes on with an index that was there before; see [`IndexWriter::resume`].
    pub(crate) fn resume(&mut self, unsettled: Vec<(Height, Oid, u64)>) -> Result<(), Fault> {
        self.index.resume(unsettled)
    }

    /// Blocks come that there were at the start; see [`IndexWriter::catch_up`].
    pub(crate) fn catch_up(&mut self) {
        self.index.catch_up();
    }

    /// All blocks that there are were applied.
    pub(crate) fn finish_resume(&mut self) -> Result<(), Fault> {
        self.index.finish_resume()
    }

    /// Takes no further block.
    pub(crate) fn stop(&mut self, fault: &Fault) {
        self.stopped.get_or_insert_with(|| fault.clone());
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
        let operations = block.transactions.iter().map(|it| it.operations.len() as u64).sum();
        let hash = block.header.hash();
        self.index.begin_block(height, hash, operations);
        let catalog = Catalog::clone(&catalog);
        let mut effects = Effects {
            catalog,
            changed: false,
            only_leases: true,
            written: BTreeMap::new(),
            last: None,
            outcome: Outcome::of(hash, before.unwrap_or_default().state),
        };
        for (place, transaction) in (0_u32..).zip(&block.transactions) {
            self.transaction(height, place, transaction, &mut effects)?;
        }
        for (table, versions) in &effects.written {
            effects.outcome.table(*table, versions.end(), versions.alive());
        }
        let state = effects.outcome.digest();
        let head = Head { height, block: hash, time_us: block.header.time_us, state };
        self.index.finish_block(head, &effects.catalog)?;
        self.note(block, &effects);
        let receipts = self.publish(head, block, effects);
        self.core.memory.set_index(self.core.index().resident_bytes());
        self.core.memory.make_room();
        Ok((head, receipts))
    }

    /// Notes for the next checkpoint what a block brought.
    fn note(&mut self, block: &Block, effects: &Effects) {
        let height = block.header.height;
        let operations = || block.transactions.iter().flat_map(|it| &it.operations);
        self.unstored.blocks += 1;
        self.unstored.operations += operations().count() as u64;
        if !block.membership.is_empty() {
            self.unstored.membership = Some(height);
        }
        if !effects.changed {
            return;
        }
        let mut kept = Vec::new();
        for operation in operations() {
            match operation {
                Operation::Define { oid, object } => {
                    if matches!(**object, Object::Sequence(_)) {
                        self.unstored.sequences.insert(*oid);
                    }
                    kept.push(operation.clone());
                }
                Operation::Drop { oid } => {
                    self.unstored.sequences.insert(*oid);
                    kept.push(operation.clone());
                }
                Operation::Lease { sequence, .. } => {
                    self.unstored.sequences.insert(*sequence);
                }
                _ => {}
            }
        }
        if !kept.is_empty() {
            self.unstored.definitions.push((height, kept));
        }
    }

    fn transaction(
        &mut self,
        height: Height,
        place: u32,
        transaction: &Transaction,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        for (within, operation) in (0_u32..).zip(&transaction.operations) {
            let version = VersionId { height, transaction: place, operation: within };
            match operation {
                Operation::Insert { table, row } => {
                    let target = self.target(*table, effects, height)?;
                    effects.outcome.began(self.write(&target, version, false, row)?);
                }
                Operation::Update { table, previous, row } => {
                    let target = self.target(*table, effects, height)?;
                    let ended = target.versions.supersede(*previous, height)?;
                    effects.outcome.ended(self.ended(*table, height, *previous, ended)?);
                    effects.outcome.began(self.write(&target, version, true, row)?);
                }
                Operation::Delete { table, previous } => {
                    let target = self.target(*table, effects, height)?;
                    let ended = target.versions.delete(*previous, version)?;
                    effects.outcome.ended(self.ended(*table, height, *previous, ended)?);
                }
                Operation::Define { .. } | Operation::Drop { .. } | Operation::Lease { .. } => {
                    self.define(height, operation, effects)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a version and its index entries. Gives its row's number.
    fn write(
        &mut self,
        target: &Target,
        version: VersionId,
        update: bool,
        row: &Row,
    ) -> Result<u64, Fault> {
        let number = target.versions.push(version, update, &row.bytes);
        if self.index.is_indexed(version.height) || target.indexes.is_empty() {
            return Ok(number);
        }
        let Object::Table(table) = &*target.object else { return Ok(number) };
        let reader = RowReader::new(table, &row.bytes).map_err(undecoded)?;
        for (oid, index) in &target.indexes {
            self.index.put(*oid, index, &reader, number)?;
        }
        Ok(number)
    }

    /// Notes that a version ended, to be settled later. Gives its row's number.
    fn ended(
        &mut self,
        table: Oid,
        height: Height,
        previous: VersionId,
        row: Option<u64>,
    ) -> Result<u64, Fault> {
        let Some(row) = row else {
            return Err(unfit(height, &format!("{previous:?} of table {} is not alive", table.0)));
        };
        self.index.ended(height, table, row);
        Ok(row)
    }

    fn define(
        &mut self,
        height: Height,
        operation: &Operation,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let refused = |refusal: Refusal| unfit(height, &refusal.to_string());
        let before = match operation {
            Operation::Define { oid, .. } => effects.catalog.index(*oid).cloned(),
            _ => None,
        };
        effects.catalog.apply(operation).map_err(refused)?;
        effects.changed = true;
        if let Operation::Define { oid, .. }
        | Operation::Drop { oid }
        | Operation::Lease { sequence: oid, .. } = operation
        {
            effects.outcome.defined(*oid, effects.catalog.get(*oid));
        }
        effects.only_leases &= matches!(operation, Operation::Lease { .. });
        if !matches!(operation, Operation::Lease { .. }) {
            self.tables.clear();
        }
        if let Operation::Define { oid, object } = operation
            && let Object::Index(index) = object.as_ref()
            && before.is_none_or(|before| before.columns != index.columns)
            && !self.index.is_indexed(height)
        {
            self.index.fill(*oid, index, &effects.catalog)?;
        }
        Ok(())
    }

    fn target(
        &mut self,
        table: Oid,
        effects: &mut Effects,
        height: Height,
    ) -> Result<Arc<Target>, Fault> {
        let target = self.find_target(table, &effects.catalog, height)?;
        if effects.last.replace(table) != Some(table) {
            effects.written.entry(table).or_insert_with(|| Arc::clone(&target.versions));
        }
        Ok(target)
    }

    fn find_target(
        &mut self,
        table: Oid,
        catalog: &Catalog,
        height: Height,
    ) -> Result<Arc<Target>, Fault> {
        if let Some(target) = self.tables.get(&table) {
            return Ok(Arc::clone(target));
        }
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
        let indexes = catalog.indexes_of(table).map(|(oid, index)| (oid, index.clone()));
        let target =
            Arc::new(Target { object: Arc::clone(object), versions, indexes: indexes.collect() });
        self.tables.insert(table, Arc::clone(&target));
        Ok(target)
    }

    /// Shows the block to readers.
    fn publish(&self, head: Head, block: &Block, effects: Effects) -> Vec<Receipt> {
        self.core.memory.add(self.core.chain.push(block, head.block));
        let mut published = self.core.published.write();
        published.head = Some(head);
        published.recent.push(head, self.unstored.membership);
        if effects.changed {
            let Effects { catalog, only_leases, .. } = effects;
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
