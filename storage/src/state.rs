//! The state of a chain at its newest block, and at every block before: catalog, row versions, key index,
//! records of blocks and transactions. Blocks come in one at a time; readers are never kept waiting long.
//!
//! It applies blocks that were validated and made durable elsewhere. It opens no block file: who owns one
//! hands its blocks in, and lends it for reading through [`BlockSource`].

mod heads;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ledger::{Block, Catalog, Hash, Height, Oid, Receipt, Transaction, TransactionId};
use parking_lot::{Mutex, RwLock};

use crate::{
    Certificates, Disk, Fault, Index, Locks, Shortage, Snapshot,
    again::Blocks,
    apply::Applier,
    chain::Chain,
    checkpoint,
    hints::Hints,
    history::CatalogHistory,
    memory::Memory,
    recent::Recent,
    sealer::{Sealer, Work},
    verify,
    versions::Versions,
};
use heads::Heads;

/// The part of the memory for rows that hints of keys take beside it, as a divisor.
const HINTS_PART: u64 = 16;

/// Gives blocks by height: a block file, or a cache over one.
pub trait BlockSource: Send + Sync {
    /// The block at a height.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when its bytes aren't what was written, or it isn't there.
    fn block(&self, height: Height) -> Result<Arc<Block>, Fault>;

    /// Walks the blocks from genesis up to `until` (exclusive), and their bytes where they lie in files,
    /// believing nothing. Damage is in the report, and no error.
    ///
    /// # Errors
    /// When nothing can be read at all.
    fn verify(
        &self,
        until: Height,
        signatures: bool,
        progress: &mut dyn FnMut(verify::Progress),
    ) -> Result<verify::Report, Fault> {
        let read = |height| self.block(height);
        Ok(verify::verify_blocks(&read, until, signatures, progress))
    }
}

/// What a state may use.
#[derive(Clone, Copy, Debug)]
pub struct StateConfig {
    /// Bound of the memory for rows, in bytes. Past it older rows go into sealed files; without a disk for
    /// them, transactions that write are refused (53200).
    pub memory_bytes: u64,
    /// How many blocks versions stay in the present part of the index after they were superseded.
    pub settle_blocks: u64,
    /// Operations after which rows are sealed and a checkpoint is written, however little memory they take.
    pub seal_operations: u64,
    /// Blocks after which that is done.
    pub seal_blocks: u64,
    /// Small sealed files of a table after which they are merged into one.
    pub merge_files: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 8 << 30,
            settle_blocks: 64,
            seal_operations: 1 << 18,
            seal_blocks: 1 << 14,
            merge_files: 8,
        }
    }
}

/// The newest applied block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block: Hash,
    /// Its time, µs since 1970 UTC.
    pub time_us: i64,
    /// The state's digest after it: [`ledger::Outcome::digest`].
    pub state: Hash,
}

/// A height that has no block (yet), or no time that old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {} does not exist; the newest is {}", asked.0, newest.0)]
pub struct OutOfRange {
    /// What was asked for.
    pub asked: Height,
    /// The newest height.
    pub newest: Height,
}

/// The state of one chain.
pub struct State {
    pub(crate) core: Arc<Core>,
    locks: Locks,
    applier: Arc<Mutex<Applier>>,
    sealer: Option<Sealer>,
    config: StateConfig,
    heads: Heads,
}

/// What snapshots share with the state.
pub(crate) struct Core {
    pub(crate) tables: RwLock<BTreeMap<Oid, Arc<Versions>>>,
    index: RwLock<Arc<dyn Index>>,
    pub(crate) hints: Hints,
    pub(crate) chain: Chain,
    pub(crate) published: RwLock<Published>,
    pub(crate) damage: RwLock<BTreeMap<Height, Fault>>,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) settled: std::sync::atomic::AtomicU64,
    certificates: OnceLock<Arc<Certificates>>,
}

/// What a new snapshot starts from. Set once for each block, when all of the block is in place.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) head: Option<Head>,
    pub(crate) recent: Recent,
    /// Why nothing may be read or applied any more.
    pub(crate) halted: Option<Fault>,
    pub(crate) catalogs: CatalogHistory,
}

impl State {
    /// A state without a block, all in memory: the first block that it takes is genesis. `index` must be
    /// empty, or that of the chain whose blocks will come; see [`State::open`].
    pub fn new(config: StateConfig, index: Arc<dyn Index>) -> Arc<Self> {
        Arc::new(Self::bare(config, index))
    }

    fn bare(config: StateConfig, index: Arc<dyn Index>) -> Self {
        let core = Arc::new(Core {
            tables: RwLock::default(),
            index: RwLock::new(index),
            hints: Hints::new(config.memory_bytes / HINTS_PART),
            chain: Chain::default(),
            published: RwLock::default(),
            damage: RwLock::default(),
            blocks: Arc::default(),
            memory: Arc::new(Memory::new(config.memory_bytes)),
            settled: std::sync::atomic::AtomicU64::new(0),
            certificates: OnceLock::new(),
        });
        let applier = Applier::new(Arc::clone(&core), config.settle_blocks);
        Self {
            applier: Arc::new(Mutex::new(applier)),
            core,
            locks: Locks::new(),
            sealer: None,
            config,
            heads: Heads::default(),
        }
    }

    /// The state as of the last checkpoint that `index` and the files on `disk` hold, if `known` says that
    /// the chain has its block; otherwise a state without a block, and nothing left of the files. The blocks
    /// after it are to be applied; then [`Self::resumed`] is called. Without a disk, all is in memory. The block
    /// file is lent as by [`Self::set_block_source`], at once: rows of lost files may be needed to begin with.
    ///
    /// # Errors
    /// A fault of the index; whatever the disk says.
    pub fn resume(
        config: StateConfig,
        index: Arc<dyn Index>,
        disk: Option<Arc<dyn Disk>>,
        source: Option<Arc<dyn BlockSource>>,
        known: &dyn Fn(Head) -> bool,
    ) -> Result<Arc<Self>, Fault> {
        let mut state = Self::bare(config, Arc::clone(&index));
        if let Some(source) = source {
            state.set_block_source(source);
        }
        let memory = &state.core.memory;
        let found = checkpoint::resume(&index, disk.as_ref(), memory, &state.core.blocks, known)?;
        let mut applier = state.applier.lock();
        let mut unsettled = Vec::new();
        let mut work = disk.map(|disk| Work {
            core: Arc::clone(&state.core),
            store: Arc::clone(&index),
            disk,
            config,
            files: BTreeMap::new(),
            next_file: 0,
            owed: Vec::new(),
            unnamed: None,
            height: Height(0),
            stopping: Arc::default(),
        });
        if let Some(found) = found {
            state.core.chain.resume(Arc::clone(&index), found.head.height);
            *state.core.tables.write() = found.tables;
            let mut published = state.core.published.write();
            (published.head, published.catalogs) = (Some(found.head), found.catalogs);
            published.recent.push(found.head, found.record.membership);
            drop(published);
            applier.resume_from(found.record.membership);
            unsettled = found.record.unsettled;
            if let Some(work) = &mut work {
                // Merging makes files after the checkpoint was written.
                let used = found.files.values().map(|file| file.number + 1).max().unwrap_or(0);
                work.next_file = found.record.next_file.max(used);
                (work.files, work.height) = (found.files, found.head.height);
            }
            state.heads.tell(found.head.height);
        }
        applier.resume(unsettled)?;
        drop(applier);
        if let Some(work) = work {
            state.sealer = Some(Sealer::start(work, Arc::clone(&state.applier))?);
        }
        Ok(Arc::new(state))
    }

    /// All blocks that there are were applied: an index that is ahead of them is of another chain.
    ///
    /// # Errors
    /// A fault of the index.
    pub fn resumed(&self) -> Result<(), Fault> {
        self.applier.lock().finish_resume()
    }

    /// A state in memory with these blocks applied, from genesis on. What the index holds already is not
    /// written to it again; an index of another chain is emptied first. A fault among the blocks ends the
    /// chain there: reads at and after the damaged block fail with it (see [`State::mark_damaged`]).
    ///
    /// # Errors
    /// A fault of the index, or a block that can't be applied.
    pub fn open(
        config: StateConfig,
        index: Arc<dyn Index>,
        blocks: impl IntoIterator<Item = Result<Block, Fault>>,
    ) -> Result<Arc<Self>, Fault> {
        let state = Self::resume(config, index, None, None, &|_| false)?;
        state.apply_all(blocks)?;
        Ok(state)
    }

    /// Applies the blocks that there are when a node opens, from the next one on. Nobody reads meanwhile.
    ///
    /// # Errors
    /// A fault of the index, or a block that can't be applied.
    pub fn apply_all(
        &self,
        blocks: impl IntoIterator<Item = Result<Block, Fault>>,
    ) -> Result<(), Fault> {
        self.applier.lock().catch_up();
        for block in blocks {
            match block {
                Ok(block) => drop(self.apply(&block)?),
                Err(fault) => {
                    self.mark_damaged(self.next_height(), fault);
                    break;
                }
            }
        }
        self.resumed()
    }

    /// The newest block with an entry of consensus' own, of those applied.
    pub fn membership(&self) -> Option<Height> {
        self.applier.lock().membership()
    }

    /// Seals all rows that are in memory and writes a checkpoint, from which the next start goes on. A state
    /// without a disk does nothing.
    ///
    /// # Errors
    /// What keeps rows from being sealed.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        self.sealer.as_ref().map_or(Ok(()), |sealer| sealer.checkpoint(None))
    }

    /// Writes a last checkpoint, if that takes no longer than so long, and seals nothing more.
    ///
    /// # Errors
    /// What keeps rows from being sealed.
    pub fn close(&self, limit: Duration) -> Result<(), Fault> {
        let Some(sealer) = &self.sealer else { return Ok(()) };
        let written = sealer.checkpoint(Some(limit));
        sealer.stop();
        written
    }

    /// Lends the block file, for what is only in blocks (the text of statements), and for rows whose sealed
    /// file is damaged.
    pub fn set_block_source(&self, source: Arc<dyn BlockSource>) {
        self.core.blocks.lend(source);
    }

    /// The newest applied block; before genesis, height 0 with a hash of zeros.
    pub fn head(&self) -> Head {
        self.core.published.read().head.unwrap_or_default()
    }

    /// A block that was applied, if it is one of the newest few thousand; and the newest up to it that has an entry of
    /// consensus' own.
    pub fn applied(&self, height: Height) -> Option<(Head, Option<Height>)> {
        self.core.published.read().recent.get(height)
    }

    /// Whether not even genesis was applied.
    pub fn is_empty(&self) -> bool {
        self.core.published.read().head.is_none()
    }

    /// The height of the block that must come next.
    pub fn next_height(&self) -> Height {
        let head = self.core.published.read().head;
        head.map_or(Height(0), |head| Height(head.height.0 + 1))
    }

    /// The newest state.
    pub fn snapshot(&self) -> Snapshot {
        let published = self.core.published.read();
        let height = published.head.unwrap_or_default().height;
        let catalog = published.catalogs.newest();
        let halted = published.halted.clone();
        drop(published);
        // Damage above the newest block: the chain goes on, and this state can't.
        let damage = self.core.damage.read();
        let cut = damage.range(Height(height.0 + 1)..).next().map(|(_, fault)| fault.clone());
        let cut = halted.or(cut);
        Snapshot::new(Arc::clone(&self.core), height, catalog, cut)
    }

    /// The state as it was when block `height` was the newest.
    ///
    /// # Errors
    /// [`OutOfRange`] for a height above the newest.
    pub fn snapshot_at(&self, height: Height) -> Result<Snapshot, OutOfRange> {
        let published = self.core.published.read();
        let newest = published.head.unwrap_or_default().height;
        if height > newest {
            return Err(OutOfRange { asked: height, newest });
        }
        let (catalog, halted) = (published.catalogs.at(height), published.halted.clone());
        Ok(Snapshot::new(Arc::clone(&self.core), height, catalog, halted))
    }

    /// Told by whoever found that this state is not what it should be: nothing more is applied, read or written to a
    /// checkpoint.
    pub fn halt(&self, fault: &Fault) {
        self.core.published.write().halted.get_or_insert_with(|| fault.clone());
        self.applier.lock().stop(fault);
    }

    /// Why it was halted, if it was.
    pub fn halted(&self) -> Option<Fault> {
        self.core.published.read().halted.clone()
    }

    /// Lends the certificates beside the chain, for who reads.
    pub fn keep_certificates(&self, certificates: Arc<Certificates>) {
        drop(self.core.certificates.set(certificates));
    }

    /// The certificates beside the chain, where there are any.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.core.certificates.get()
    }

    /// Why the chain can't be followed past the newest block: the next one, or one after it, is damaged.
    pub fn cut(&self) -> Option<Fault> {
        if let Some(fault) = self.halted() {
            return Some(fault);
        }
        let next = self.next_height();
        self.core.damage.read().range(next..).next().map(|(_, fault)| fault.clone())
    }

    /// The catalog of the newest block.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.core.published.read().catalogs.newest()
    }

    /// Row locks of the transactions that run on this node.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Applies the next block, which must be valid and durable, and gives its transactions' receipts.
    /// Readers see all of it or nothing.
    ///
    /// # Errors
    /// [`Fault::Apply`] when the block isn't the next or doesn't fit the state, and the index's faults.
    /// After any, the state takes no further block.
    pub fn apply(&self, block: &Block) -> Result<Vec<Receipt>, Fault> {
        if let Some(sealer) = self.sealer.as_ref().filter(|_| self.is_full()) {
            sealer.wait_while(|| self.is_full());
        }
        let mut applier = self.applier.lock();
        let (head, receipts) = applier.apply(block)?;
        let (blocks, operations) = applier.since_checkpoint();
        drop(applier);
        self.heads.tell(head.height);
        if let Some(sealer) = &self.sealer
            && (blocks >= self.config.seal_blocks
                || operations >= self.config.seal_operations
                || self.core.memory.unsealed() > self.core.memory.bound() / 4)
        {
            sealer.ask();
        }
        Ok(receipts)
    }

    /// Whether the next block waits until rows were sealed.
    pub fn is_full(&self) -> bool {
        let memory = &self.core.memory;
        self.sealer.is_some() && memory.unsealed() > memory.bound() / 4 * 3
    }

    /// Whether the rows of this transaction still fit into memory: the sequencer asks before it takes a
    /// transaction into a block.
    ///
    /// # Errors
    /// [`Shortage::Memory`]
    pub fn admit(&self, transaction: &Transaction) -> Result<(), Shortage> {
        match &self.sealer {
            Some(sealer) if sealer.broken().is_none() => Ok(()),
            _ => self.core.admit(transaction),
        }
    }

    /// The newest block not after a time (µs since 1970 UTC); `None` if the chain began later.
    ///
    /// # Errors
    /// A fault of the derived store, as for the next two.
    pub fn height_at_time(&self, time_us: i64) -> Result<Option<Height>, Fault> {
        let Some(head) = self.core.published.read().head else { return Ok(None) };
        Ok(self.core.chain.height_at(time_us)?.map(|height| height.min(head.height)))
    }

    /// The block that a transaction is in, and its place there.
    ///
    /// # Errors
    /// A fault of the derived store.
    pub fn find_transaction(&self, id: TransactionId) -> Result<Option<(Height, u32)>, Fault> {
        self.core.chain.find(id)
    }

    /// The receipt of the transaction of this number.
    ///
    /// # Errors
    /// A fault of the derived store.
    pub fn receipt(&self, id: TransactionId) -> Result<Option<Receipt>, Fault> {
        self.core.chain.receipt(id)
    }

    /// The receipt of the transaction that was committed with this idempotency key.
    ///
    /// # Errors
    /// A fault of the derived store.
    pub fn receipt_of_key(&self, idempotency_key: &str) -> Result<Option<Receipt>, Fault> {
        self.core.chain.receipt_of_key(idempotency_key)
    }

    /// Waits until a block is applied here.
    pub fn wait_applied(&self, height: Height) -> impl Future<Output = ()> + Send + use<> {
        self.heads.wait(height)
    }

    /// Walks all blocks that are applied, as their source keeps them, believing nothing, and then holds what was
    /// made of them against them: sealed files, rows in memory, ends of versions. Reads that touch a block found
    /// damaged fail from then on; a sealed file that differs is read no more, and made anew.
    ///
    /// # Errors
    /// When nothing can be read at all; damage is in the report.
    pub fn verify(
        &self,
        signatures: bool,
        progress: &mut dyn FnMut(verify::Progress),
    ) -> Result<verify::Report, Fault> {
        let Some(source) = self.core.blocks.source() else { return Ok(verify::Report::default()) };
        let until = self.next_height();
        let mut report = source.verify(until, signatures, progress)?;
        for damage in report.damage() {
            if let Some(height) = damage.height {
                self.mark_damaged(height, Fault::Damaged(damage.clone()));
            }
        }
        if report.is_sound() {
            // Against blocks that differ themselves, nothing can be held.
            report.files.extend(verify::derived::verify(&self.core, &*source, until)?);
        }
        Ok(report)
    }

    /// Told by whoever found a block's bytes damaged: reads that touch the block fail with this fault
    /// from now on. If the block was never applied, that is every read at or after it.
    pub fn mark_damaged(&self, height: Height, fault: Fault) {
        self.core.damage.write().entry(height).or_insert(fault);
    }

    /// Told by whoever put a damaged block right.
    pub fn mark_repaired(&self, height: Height) {
        self.core.damage.write().remove(&height);
    }

    /// Bytes of memory that rows, versions and index entries take, and those of arrays made from them.
    pub fn memory_used(&self) -> (u64, u64) {
        (self.core.memory.rows(), self.core.memory.arrays())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(sealer) = &self.sealer {
            sealer.stop();
        }
    }
}

impl Core {
    /// The index that reads go to.
    pub(crate) fn index(&self) -> Arc<dyn Index> {
        Arc::clone(&self.index.read())
    }

    /// Sends reads to another index, which holds all that the one before did.
    pub(crate) fn set_index(&self, index: Arc<dyn Index>) {
        *self.index.write() = index;
    }

    /// A table's versions; an empty table may have none yet.
    pub(crate) fn versions(&self, table: Oid) -> Option<Arc<Versions>> {
        self.tables.read().get(&table).cloned()
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]
mod tests;
