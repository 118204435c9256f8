//! What is remembered of every block and transaction beside their rows: enough to answer for system
//! columns, receipts, times and listings without reading a block.

use std::{collections::HashMap, sync::Arc};

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

/// All records, in chain order.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    blocks: Vec<BlockRecord>,
    transactions: Vec<TransactionRecord>,
    by_id: HashMap<TransactionId, (Height, u32)>,
    by_key: HashMap<Arc<str>, (Height, u32)>,
    users: HashMap<Arc<str>, Arc<str>>,
}

impl Chain {
    /// Adds the next block's records.
    pub(crate) fn push(&mut self, block: &Block, hash: Hash) {
        let header = Arc::new(block.header.clone());
        self.blocks.push(BlockRecord { hash, header, first: self.transactions.len() });
        for (place, transaction) in (0_u32..).zip(&block.transactions) {
            let at = (block.header.height, place);
            self.by_id.insert(transaction.id, at);
            let key: Option<Arc<str>> = transaction.idempotency_key.as_deref().map(Arc::from);
            if let Some(key) = &key {
                self.by_key.entry(Arc::clone(key)).or_insert(at);
            }
            let user = self.user(&transaction.user);
            self.transactions.push(TransactionRecord {
                id: transaction.id,
                height: block.header.height,
                transaction: place,
                user,
                member: transaction.member,
                snapshot: transaction.snapshot,
                operations: u32::try_from(transaction.operations.len()).unwrap_or(u32::MAX),
                idempotency_key: key,
            });
        }
    }

    /// One copy of each name is kept.
    fn user(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.users.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.users.insert(Arc::clone(&name), Arc::clone(&name));
        name
    }

    /// A block's record.
    pub(crate) fn block(&self, height: Height) -> Option<&BlockRecord> {
        self.blocks.get(usize::try_from(height.0).ok()?)
    }

    /// A transaction's record.
    pub(crate) fn transaction(&self, height: Height, place: u32) -> Option<&TransactionRecord> {
        let record = self.transactions.get(self.block(height)?.first + place as usize)?;
        (record.height == height).then_some(record)
    }

    /// The records of one block's transactions.
    pub(crate) fn transactions_of(&self, height: Height) -> &[TransactionRecord] {
        let Some(block) = self.block(height) else { return &[] };
        let count = block.header.transaction_count as usize;
        self.transactions.get(block.first..block.first + count).unwrap_or(&[])
    }

    /// Where a transaction stands.
    pub(crate) fn find(&self, id: TransactionId) -> Option<(Height, u32)> {
        self.by_id.get(&id).copied()
    }

    /// The receipt of the transaction with this idempotency key.
    pub(crate) fn receipt_of_key(&self, key: &str) -> Option<Receipt> {
        let (height, place) = *self.by_key.get(key)?;
        self.receipt(height, place)
    }

    /// A transaction's receipt.
    pub(crate) fn receipt(&self, height: Height, place: u32) -> Option<Receipt> {
        let block = self.block(height)?;
        let record = self.transaction(height, place)?;
        Some(Receipt {
            id: record.id,
            height,
            transaction: place,
            block: block.hash,
            time_us: block.header.time_us,
        })
    }

    /// The newest block not after a time. Times rise with height.
    pub(crate) fn height_at(&self, time_us: i64) -> Option<Height> {
        let after = self.blocks.partition_point(|block| block.header.time_us <= time_us);
        after.checked_sub(1).map(|place| Height(place as u64))
    }
}
