//! What is remembered of every block and transaction beside their rows: enough to answer for system
//! columns, receipts, times and listings without reading a block. The newest are in memory, older ones in
//! the derived store, page by page.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    ops::Bound,
    sync::{Arc, OnceLock},
};

use ledger::{Block, Hash, Header, Height, Receipt, TransactionId};
use parking_lot::{Mutex, RwLock};

use crate::{
    Change, Fault, Index,
    derived::{self, BlockEntry, Kind, TransactionEntry},
};

/// Blocks that stay in memory although they are stored.
const KEPT: usize = 1024;
/// Blocks and transactions of a page in the store, and pages that are kept after they were read.
const PAGE_BLOCKS: usize = 256;
const PAGE_TRANSACTIONS: usize = 1024;
const PAGES: usize = 32;

/// A block's record.
#[derive(Clone, Debug)]
pub struct BlockRecord {
    /// The hash of the header.
    pub hash: Hash,
    /// The header.
    pub header: Arc<Header>,
}

/// A transaction's record.
#[derive(Clone, Debug)]
pub struct TransactionRecord {
    /// Its number.
    pub id: TransactionId,
    /// The block it is in.
    pub height: Height,
    /// Its place in the block.
    pub transaction: u32,
    /// The session's user.
    pub user: Arc<str>,
    /// The hash of the serving node's public key.
    pub member: Hash,
    /// The height it read at.
    pub snapshot: Height,
    /// How many operations it has.
    pub operations: u32,
    /// `ledger.idempotency_key`.
    pub idempotency_key: Option<Arc<str>>,
}

/// All records.
#[derive(Default)]
pub(crate) struct Chain {
    recent: RwLock<Recent>,
    store: OnceLock<Arc<dyn Index>>,
    /// Pages that were read, the newest read last, each with the height of its first block.
    pages: Mutex<VecDeque<(u64, Page)>>,
}

type Page = Arc<Vec<BlockEntry>>;

/// A record as it is kept: what many share stands in lists of its own.
#[derive(Debug)]
struct Kept {
    id: TransactionId,
    user: u32,
    member: u32,
    snapshot: Height,
    operations: u32,
    idempotency_key: Option<Arc<str>>,
}

/// What a transaction's record costs, with its places in the maps.
const RECORD_BYTES: usize = size_of::<Kept>() + 2 * size_of::<(TransactionId, Height, u32)>();

/// The newest records, in chain order.
#[derive(Debug, Default)]
struct Recent {
    /// The height of the first block here.
    first: u64,
    /// The first height that is not stored.
    unstored: u64,
    blocks: VecDeque<(BlockRecord, Vec<Kept>)>,
    by_id: HashMap<TransactionId, (Height, u32)>,
    by_key: HashMap<Arc<str>, (Height, u32)>,
    users: Shared<Arc<str>>,
    members: Shared<Hash>,
}

/// A list of what many records name, each once.
#[derive(Debug)]
struct Shared<T> {
    items: Vec<T>,
    places: HashMap<T, u32>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { items: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Shared<T> {
    fn place<'q, Q>(&mut self, item: &'q Q, own: impl FnOnce(&'q Q) -> T) -> u32
    where
        T: Borrow<Q>,
        Q: Eq + std::hash::Hash + ?Sized,
    {
        if let Some(place) = self.places.get(item) {
            return *place;
        }
        let place = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let item = own(item);
        self.items.push(item.clone());
        self.places.insert(item, place);
        place
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.items.get(usize::try_from(place).ok()?)
    }
}

impl Recent {
    fn block(&self, height: Height) -> Option<&(BlockRecord, Vec<Kept>)> {
        self.blocks.get(usize::try_from(height.0.checked_sub(self.first)?).ok()?)
    }

    fn transaction(&self, height: Height, place: u32) -> Option<TransactionRecord> {
        let kept = self.block(height)?.1.get(usize::try_from(place).ok()?)?;
        Some(TransactionRecord {
            id: kept.id,
            height,
            transaction: place,
            user: Arc::clone(self.users.get(kept.user)?),
            member: *self.members.get(kept.member)?,
            snapshot: kept.snapshot,
            operations: kept.operations,
            idempotency_key: kept.idempotency_key.clone(),
        })
    }

    fn entry(&self, height: Height) -> Option<BlockEntry> {
        let (record, kept) = self.block(height)?;
        let places = 0..u32::try_from(kept.len()).ok()?;
        let transactions = places.filter_map(|place| self.transaction(height, place));
        let own = |record: TransactionRecord| TransactionEntry {
            id: record.id,
            user: record.user.to_string(),
            member: record.member,
            snapshot: record.snapshot,
            operations: record.operations,
            idempotency_key: record.idempotency_key.map(|key| key.to_string()),
        };
        Some(BlockEntry {
            hash: record.hash,
            header: Header::clone(&record.header),
            transactions: transactions.map(own).collect(),
        })
    }
}

impl Chain {
    /// Older records are in this store, up to a height.
    pub(crate) fn resume(&self, store: Arc<dyn Index>, height: Height) {
        self.store.get_or_init(|| store);
        let mut recent = self.recent.write();
        (recent.first, recent.unstored) = (height.0 + 1, height.0 + 1);
    }

    /// Adds the next block's records; gives the bytes of memory that they take.
    pub(crate) fn push(&self, block: &Block, hash: Hash) -> usize {
        let mut recent = self.recent.write();
        let recent = &mut *recent;
        let height = block.header.height;
        let record = BlockRecord { hash, header: Arc::new(block.header.clone()) };
        let mut kept = Vec::with_capacity(block.transactions.len());
        for (place, transaction) in (0_u32..).zip(&block.transactions) {
            recent.by_id.insert(transaction.id, (height, place));
            let key: Option<Arc<str>> = transaction.idempotency_key.as_deref().map(Arc::from);
            if let Some(key) = &key {
                recent.by_key.entry(Arc::clone(key)).or_insert((height, place));
            }
            kept.push(Kept {
                id: transaction.id,
                user: recent.users.place(transaction.user.as_str(), Arc::from),
                member: recent.members.place(&transaction.member, |member| *member),
                snapshot: transaction.snapshot,
                operations: u32::try_from(transaction.operations.len()).unwrap_or(u32::MAX),
                idempotency_key: key,
            });
        }
        let bytes = bytes_of(&kept);
        recent.blocks.push_back((record, kept));
        bytes
    }

    /// A block's record.
    pub(crate) fn block(&self, height: Height) -> Result<Option<BlockRecord>, Fault> {
        {
            let recent = self.recent.read();
            if height.0 >= recent.first {
                return Ok(recent.block(height).map(|(record, _)| record.clone()));
            }
        }
        let own = |entry: &BlockEntry| BlockRecord {
            hash: entry.hash,
            header: Arc::new(entry.header.clone()),
        };
        self.stored(height, |entry| Some(own(entry)))
    }

    /// The user and the number of a transaction.
    pub(crate) fn writer(
        &self,
        height: Height,
        place: u32,
    ) -> Result<Option<(Arc<str>, TransactionId)>, Fault> {
        {
            let recent = self.recent.read();
            if height.0 >= recent.first {
                let found = recent.transaction(height, place);
                return Ok(found.map(|record| (record.user, record.id)));
            }
        }
        self.stored(height, |entry| {
            let found = entry.transactions.get(usize::try_from(place).ok()?)?;
            Some((Arc::from(found.user.as_str()), found.id))
        })
    }

    /// The records of one block's transactions.
    pub(crate) fn transactions_of(&self, height: Height) -> Result<Vec<TransactionRecord>, Fault> {
        {
            let recent = self.recent.read();
            if height.0 >= recent.first {
                let count = recent.block(height).map_or(0, |(_, kept)| kept.len());
                let places = 0..u32::try_from(count).unwrap_or(u32::MAX);
                return Ok(places.filter_map(|it| recent.transaction(height, it)).collect());
            }
        }
        let own = |(place, entry): (u32, &TransactionEntry)| TransactionRecord {
            id: entry.id,
            height,
            transaction: place,
            user: Arc::from(entry.user.as_str()),
            member: entry.member,
            snapshot: entry.snapshot,
            operations: entry.operations,
            idempotency_key: entry.idempotency_key.as_deref().map(Arc::from),
        };
        let all = |entry: &BlockEntry| Some((0..).zip(&entry.transactions).map(own).collect());
        Ok(self.stored(height, all)?.unwrap_or_default())
    }

    /// Where a transaction stands.
    pub(crate) fn find(&self, id: TransactionId) -> Result<Option<(Height, u32)>, Fault> {
        if let Some(found) = self.recent.read().by_id.get(&id) {
            return Ok(Some(*found));
        }
        self.stored_place(&derived::by_bytes(Kind::Transaction, &id.0))
    }

    /// The receipt of the transaction with this idempotency key.
    pub(crate) fn receipt_of_key(&self, key: &str) -> Result<Option<Receipt>, Fault> {
        let recent = self.recent.read().by_key.get(key).copied();
        // An older one was there first.
        let stored = self.stored_place(&derived::by_bytes(Kind::Key, key.as_bytes()))?;
        let Some((height, transaction)) = stored.or(recent) else { return Ok(None) };
        let (_, id) = self.writer(height, transaction)?.ok_or_else(|| no_record(height))?;
        self.receipt_at(id, height, transaction).map(Some)
    }

    /// The receipt of the transaction of this number.
    pub(crate) fn receipt(&self, id: TransactionId) -> Result<Option<Receipt>, Fault> {
        let found = self.find(id)?;
        found.map(|(height, transaction)| self.receipt_at(id, height, transaction)).transpose()
    }

    fn receipt_at(
        &self,
        id: TransactionId,
        height: Height,
        transaction: u32,
    ) -> Result<Receipt, Fault> {
        let block = self.block(height)?.ok_or_else(|| no_record(height))?;
        let time_us = block.header.time_us;
        Ok(Receipt { id, height, transaction, block: block.hash, time_us })
    }

    /// The newest block not after a time. Times rise with height.
    pub(crate) fn height_at(&self, time_us: i64) -> Result<Option<Height>, Fault> {
        let first = {
            let recent = self.recent.read();
            let after = recent.blocks.partition_point(|(it, _)| it.header.time_us <= time_us);
            if after > 0 {
                return Ok(Some(Height(recent.first + after as u64 - 1)));
            }
            recent.first
        };
        // Among the stored ones: `after` is the number of those not after the time.
        let (mut after, mut end) = (0, first);
        while after < end {
            let middle = after.midpoint(end);
            let block = self.block(Height(middle))?;
            let block =
                block.ok_or_else(|| Fault::Internal(format!("no record of block {middle}")))?;
            if block.header.time_us <= time_us {
                after = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(after.checked_sub(1).map(Height))
    }

    fn stored_place(&self, key: &[u8]) -> Result<Option<(Height, u32)>, Fault> {
        let Some(store) = self.store.get() else { return Ok(None) };
        let found = store.get(key)?;
        found.map(|bytes| derived::decode("records of transactions", &bytes)).transpose()
    }

    fn stored<T>(
        &self,
        height: Height,
        see: impl FnOnce(&BlockEntry) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some((first, page)) = self.page(height)? else { return Ok(None) };
        let place = usize::try_from(height.0 - first).unwrap_or(usize::MAX);
        Ok(page.get(place).and_then(see))
    }

    /// The page that a block is in.
    fn page(&self, height: Height) -> Result<Option<(u64, Page)>, Fault> {
        let holds = |(first, page): &(u64, Page)| {
            height.0.checked_sub(*first).is_some_and(|place| place < page.len() as u64)
        };
        if let Some(found) = self.pages.lock().iter().rev().find(|it| holds(it)) {
            return Ok(Some(found.clone()));
        }
        let Some(store) = self.store.get() else { return Ok(None) };
        let from = derived::by_number(Kind::Blocks, 0);
        let to = derived::by_number(Kind::Blocks, height.0);
        let bounds = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let Some((_, bytes)) = store.records(bounds, true, 1)?.pop() else { return Ok(None) };
        let page: Vec<BlockEntry> = derived::decode("records of blocks", &bytes)?;
        let Some(first) = page.first().map(|entry| entry.header.height.0) else { return Ok(None) };
        let found = (first, Arc::new(page));
        let mut pages = self.pages.lock();
        if pages.len() >= PAGES {
            pages.pop_front();
        }
        pages.push_back(found.clone());
        Ok(Some(found).filter(holds))
    }

    /// Adds what the store lacks of the records up to a height.
    pub(crate) fn store(&self, until: Height, changes: &mut Vec<Change>) {
        let recent = self.recent.read();
        let mut page: Vec<BlockEntry> = Vec::new();
        let mut transactions = 0;
        for height in recent.unstored..=until.0 {
            let Some(entry) = recent.entry(Height(height)) else { continue };
            for (place, transaction) in (0_u32..).zip(&entry.transactions) {
                let at = ledger::codec::encode(&(Height(height), place));
                let key = derived::by_bytes(Kind::Transaction, &transaction.id.0);
                changes.push(Change::Set(key, at.clone()));
                let own = transaction.idempotency_key.as_deref();
                if let Some(key) = own
                    && recent.by_key.get(key) == Some(&(Height(height), place))
                {
                    changes.push(Change::Set(derived::by_bytes(Kind::Key, key.as_bytes()), at));
                }
            }
            transactions += entry.transactions.len();
            page.push(entry);
            if page.len() >= PAGE_BLOCKS || transactions >= PAGE_TRANSACTIONS {
                changes.extend(page_of(&mut page));
                transactions = 0;
            }
        }
        changes.extend(page_of(&mut page));
    }

    /// They were stored: lets the oldest go, and gives the bytes that they took.
    pub(crate) fn stored_until(&self, store: &Arc<dyn Index>, until: Height) -> usize {
        self.store.get_or_init(|| Arc::clone(store));
        let mut recent = self.recent.write();
        recent.unstored = until.0 + 1;
        let mut bytes = 0;
        while recent.blocks.len() > KEPT && recent.first <= until.0 {
            let Some((_, kept)) = recent.blocks.pop_front() else { break };
            recent.first += 1;
            bytes += bytes_of(&kept);
            for kept in kept {
                recent.by_id.remove(&kept.id);
                if let Some(key) = kept.idempotency_key {
                    recent.by_key.remove(&key);
                }
            }
        }
        bytes
    }
}

fn bytes_of(kept: &[Kept]) -> usize {
    let keys = kept.iter().filter_map(|kept| kept.idempotency_key.as_deref());
    let keys: usize = keys.map(|key| 2 * key.len()).sum();
    size_of::<BlockRecord>() + size_of::<Header>() + kept.len() * RECORD_BYTES + keys
}

fn page_of(page: &mut Vec<BlockEntry>) -> Option<Change> {
    let page = std::mem::take(page);
    let first = page.first()?.header.height;
    Some(Change::Set(derived::by_number(Kind::Blocks, first.0), ledger::codec::encode(&page)))
}

fn no_record(height: Height) -> Fault {
    Fault::Internal(format!("no record of block {}", height.0))
}
