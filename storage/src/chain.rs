//! What is remembered of every block and transaction beside their rows: enough to answer for system
//! columns, receipts, times and listings without reading a block.

use std::{borrow::Borrow, collections::HashMap, sync::Arc};

use ledger::{Block, Hash, Header, Height, Receipt, TransactionId};

/// A block's record.
#[derive(Clone, Debug)]
pub struct BlockRecord {
    /// The hash of the header.
    pub hash: Hash,
    /// The header.
    pub header: Arc<Header>,
    /// Where its transactions begin among all.
    first: usize,
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
const RECORD_BYTES: usize = size_of::<Kept>() + 2 * size_of::<(TransactionId, usize)>();

/// All records, in chain order.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    blocks: Vec<BlockRecord>,
    transactions: Vec<Kept>,
    by_id: HashMap<TransactionId, usize>,
    by_key: HashMap<Arc<str>, usize>,
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

impl Chain {
    /// Adds the next block's records; gives the bytes of memory that they take.
    pub(crate) fn push(&mut self, block: &Block, hash: Hash) -> usize {
        let header = Arc::new(block.header.clone());
        self.blocks.push(BlockRecord { hash, header, first: self.transactions.len() });
        let mut bytes = size_of::<BlockRecord>() + size_of::<Header>();
        for transaction in &block.transactions {
            let place = self.transactions.len();
            self.by_id.insert(transaction.id, place);
            let key: Option<Arc<str>> = transaction.idempotency_key.as_deref().map(Arc::from);
            if let Some(key) = &key {
                bytes += 2 * key.len();
                self.by_key.entry(Arc::clone(key)).or_insert(place);
            }
            bytes += RECORD_BYTES;
            let kept = Kept {
                id: transaction.id,
                user: self.users.place(transaction.user.as_str(), Arc::from),
                member: self.members.place(&transaction.member, |member| *member),
                snapshot: transaction.snapshot,
                operations: u32::try_from(transaction.operations.len()).unwrap_or(u32::MAX),
                idempotency_key: key,
            };
            self.transactions.push(kept);
        }
        bytes
    }

    /// A block's record.
    pub(crate) fn block(&self, height: Height) -> Option<&BlockRecord> {
        self.blocks.get(usize::try_from(height.0).ok()?)
    }

    /// The user and the number of a transaction.
    pub(crate) fn writer(&self, height: Height, place: u32) -> Option<(&str, TransactionId)> {
        let kept = self.kept(height, place)?;
        Some((self.users.get(kept.user)?.as_ref(), kept.id))
    }

    /// The records of one block's transactions.
    pub(crate) fn transactions_of(&self, height: Height) -> Vec<TransactionRecord> {
        let count = self.block(height).map_or(0, |block| block.header.transaction_count);
        (0..count).filter_map(|place| self.transaction(height, place)).collect()
    }

    /// Where a transaction stands.
    pub(crate) fn find(&self, id: TransactionId) -> Option<(Height, u32)> {
        self.place_of(*self.by_id.get(&id)?)
    }

    /// The receipt of the transaction with this idempotency key.
    pub(crate) fn receipt_of_key(&self, key: &str) -> Option<Receipt> {
        let (height, transaction) = self.place_of(*self.by_key.get(key)?)?;
        let block = self.block(height)?;
        Some(Receipt {
            id: self.kept(height, transaction)?.id,
            height,
            transaction,
            block: block.hash,
            time_us: block.header.time_us,
        })
    }

    /// The newest block not after a time. Times rise with height.
    pub(crate) fn height_at(&self, time_us: i64) -> Option<Height> {
        let after = self.blocks.partition_point(|block| block.header.time_us <= time_us);
        after.checked_sub(1).map(|place| Height(place as u64))
    }

    fn transaction(&self, height: Height, place: u32) -> Option<TransactionRecord> {
        let kept = self.kept(height, place)?;
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

    fn kept(&self, height: Height, place: u32) -> Option<&Kept> {
        let block = self.block(height)?;
        if place >= block.header.transaction_count {
            return None;
        }
        self.transactions.get(block.first + usize::try_from(place).ok()?)
    }

    /// The block, and the place in it, of the transaction at this place among all.
    fn place_of(&self, place: usize) -> Option<(Height, u32)> {
        let after = self.blocks.partition_point(|block| block.first <= place);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        Some((block.header.height, u32::try_from(place - block.first).ok()?))
    }
}
