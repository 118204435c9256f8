//! The state of a chain at its newest block, and at every block before: catalog, row versions, key index,
//! records of blocks and transactions. Blocks come in one at a time; readers are never kept waiting long.
//!
//! It applies blocks that were validated and made durable elsewhere. It opens no block file: who owns one
//! hands its blocks in, and lends it for reading through [`BlockSource`].

use std::{collections::BTreeMap, sync::Arc};

use ledger::{Block, Catalog, Hash, Height, Oid, Receipt, Transaction, TransactionId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    Fault, Index, Locks, Shortage, Snapshot, apply::Applier, chain::Chain, history::CatalogHistory,
    memory::Memory, verify, versions::Versions,
};

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
    /// Bound of the memory for rows, in bytes; past it, transactions that write are refused (53200).
    pub memory_bytes: u64,
    /// How many blocks versions stay in the present part of the index after they were superseded.
    pub settle_blocks: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { memory_bytes: 8 << 30, settle_blocks: 64 }
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
    applier: Mutex<Applier>,
    heads: watch::Sender<Option<Head>>,
}

/// What snapshots share with the state.
pub(crate) struct Core {
    pub(crate) tables: RwLock<BTreeMap<Oid, Arc<Versions>>>,
    index: RwLock<Arc<dyn Index>>,
    pub(crate) chain: RwLock<Chain>,
    pub(crate) published: RwLock<Published>,
    pub(crate) damage: RwLock<BTreeMap<Height, Fault>>,
    pub(crate) source: RwLock<Option<Arc<dyn BlockSource>>>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) settled: std::sync::atomic::AtomicU64,
}

/// What a new snapshot starts from. Set once for each block, when all of the block is in place.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) head: Option<Head>,
    pub(crate) catalogs: CatalogHistory,
}

impl State {
    /// A state without a block: the first that it takes is genesis. `index` must be empty, or that of the
    /// chain whose blocks will come; see [`State::open`].
    pub fn new(config: StateConfig, index: Arc<dyn Index>) -> Arc<Self> {
        let core = Arc::new(Core {
            tables: RwLock::default(),
            index: RwLock::new(index),
            chain: RwLock::default(),
            published: RwLock::default(),
            damage: RwLock::default(),
            source: RwLock::default(),
            memory: Arc::new(Memory::new(config.memory_bytes)),
            settled: std::sync::atomic::AtomicU64::new(0),
        });
        Arc::new(Self {
            applier: Mutex::new(Applier::new(Arc::clone(&core), config.settle_blocks)),
            core,
            locks: Locks::new(),
            heads: watch::Sender::new(None),
        })
    }

    /// A state with these blocks applied, from genesis on. What the index holds already is not written to
    /// it again; an index of another chain is emptied first. A fault among the blocks ends the chain
    /// there: reads at and after the damaged block fail with it (see [`State::mark_damaged`]).
    ///
    /// # Errors
    /// A fault of the index, or a block that can't be applied.
    pub fn open(
        config: StateConfig,
        index: Arc<dyn Index>,
        blocks: impl IntoIterator<Item = Result<Block, Fault>>,
    ) -> Result<Arc<Self>, Fault> {
        let state = Self::new(config, index);
        state.applier.lock().resume();
        for block in blocks {
            match block {
                Ok(block) => {
                    state.apply(&block)?;
                }
                Err(fault) => {
                    state.mark_damaged(state.next_height(), fault);
                    break;
                }
            }
        }
        state.applier.lock().finish_resume()?;
        Ok(state)
    }

    /// Lends the block file, for what is only in blocks (the text of statements).
    pub fn set_block_source(&self, source: Arc<dyn BlockSource>) {
        *self.core.source.write() = Some(source);
    }

    /// The newest applied block; before genesis, height 0 with a hash of zeros.
    pub fn head(&self) -> Head {
        self.core.published.read().head.unwrap_or_default()
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
        drop(published);
        // Damage above the newest block: the chain goes on, and this state can't.
        let damage = self.core.damage.read();
        let cut = damage.range(Height(height.0 + 1)..).next().map(|(_, fault)| fault.clone());
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
        Ok(Snapshot::new(Arc::clone(&self.core), height, published.catalogs.at(height), None))
    }

    /// Why the chain can't be followed past the newest block: the next one, or one after it, is damaged.
    pub fn cut(&self) -> Option<Fault> {
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
        let mut applier = self.applier.lock();
        let (head, receipts) = applier.apply(block)?;
        drop(applier);
        self.heads.send_replace(Some(head));
        Ok(receipts)
    }

    /// Whether the rows of this transaction still fit into memory: the sequencer asks before it takes a
    /// transaction into a block.
    ///
    /// # Errors
    /// [`Shortage::Memory`]
    pub fn admit(&self, transaction: &Transaction) -> Result<(), Shortage> {
        self.core.admit(transaction)
    }

    /// The newest block not after a time (µs since 1970 UTC); `None` if the chain began later.
    pub fn height_at_time(&self, time_us: i64) -> Option<Height> {
        let newest = self.core.published.read().head?.height;
        self.core.chain.read().height_at(time_us).map(|height| height.min(newest))
    }

    /// The block that a transaction is in, and its place there.
    pub fn find_transaction(&self, id: TransactionId) -> Option<(Height, u32)> {
        self.core.chain.read().find(id)
    }

    /// The receipt of the transaction that was committed with this idempotency key.
    pub fn receipt_of_key(&self, idempotency_key: &str) -> Option<Receipt> {
        self.core.chain.read().receipt_of_key(idempotency_key)
    }

    /// Waits until a block is applied here.
    pub fn wait_applied(&self, height: Height) -> impl Future<Output = ()> + Send + use<> {
        let mut heads = self.heads.subscribe();
        async move {
            let there = |head: &Option<Head>| head.is_some_and(|head| head.height >= height);
            // An error means that the state is gone, and with it everyone who could go on.
            drop(heads.wait_for(there).await);
        }
    }

    /// Walks all blocks that are applied, as their source keeps them, believing nothing. Reads that touch a
    /// block found damaged fail from then on.
    ///
    /// # Errors
    /// When nothing can be read at all; damage is in the report.
    pub fn verify(
        &self,
        signatures: bool,
        progress: &mut dyn FnMut(verify::Progress),
    ) -> Result<verify::Report, Fault> {
        let source = self.core.source.read().clone();
        let Some(source) = source else { return Ok(verify::Report::default()) };
        let report = source.verify(self.next_height(), signatures, progress)?;
        for damage in report.damage() {
            if let Some(height) = damage.height {
                self.mark_damaged(height, Fault::Damaged(damage.clone()));
            }
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
