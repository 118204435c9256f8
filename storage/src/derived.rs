//! What the derived store keeps beside index entries, so that a start needn't walk the chain: which files are
//! sealed, when their rows were superseded, records of blocks and transactions, definitions. All of one
//! checkpoint is written in one batch; this page says under which keys, and what stands there.

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Hash, Header, Height, Oid, TransactionId, VersionId};

use crate::{
    Fault, Index,
    index::{self, Record},
};

/// The format of these records. A store of another one is made anew.
pub(crate) const FORMAT: u16 = 2;

/// The only key of its kind: the checkpoint itself.
pub(crate) const CHECKPOINT: &[u8] = b"0";

/// The kinds of records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A table: [`TableRecord`].
    Table = 1,
    /// A sealed file: `segment::Manifest`, by its first row.
    Segment = 2,
    /// The ends of a chunk's versions, by its first row.
    Ends = 3,
    /// Deletes of a table, by the number of the first.
    Deletes = 4,
    /// Blocks, by the height of the first: `Vec<BlockEntry>`.
    Blocks = 5,
    /// Where a transaction stands, by its number.
    Transaction = 6,
    /// Where a transaction stands, by its idempotency key.
    Key = 7,
    /// Definitions and drops, by the block that made them: `Vec<Operation>`.
    Definitions = 8,
    /// A sequence's newest state, by its OID: what leases did to it.
    Sequence = 9,
}

/// How far the derived state goes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct CheckpointRecord {
    pub(crate) format: u16,
    /// The newest block that is in it.
    pub(crate) height: Height,
    pub(crate) block: Hash,
    pub(crate) time_us: i64,
    /// The newest block with an entry of consensus' own.
    pub(crate) membership: Option<Height>,
    /// The number of the next sealed file.
    pub(crate) next_file: u64,
    /// Versions that ended and whose index entries may still stand in the present.
    pub(crate) unsettled: Vec<(Height, Oid, u64)>,
    /// The state's digest.
    pub(crate) state: Hash,
}

/// What is known of a table beside its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TableRecord {
    /// Rows alive.
    pub(crate) alive: u64,
    /// How many deletes there were, and the last one.
    pub(crate) deletes: u64,
    pub(crate) last_delete: Option<VersionId>,
}

/// A block, as records of it are kept.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BlockEntry {
    pub(crate) hash: Hash,
    pub(crate) header: Header,
    pub(crate) transactions: Vec<TransactionEntry>,
}

/// A transaction, as records of it are kept.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct TransactionEntry {
    pub(crate) id: TransactionId,
    pub(crate) user: String,
    pub(crate) member: Hash,
    pub(crate) snapshot: Height,
    pub(crate) operations: u32,
    pub(crate) idempotency_key: Option<String>,
}

/// The key of a record that belongs to a table.
pub(crate) fn of_table(kind: Kind, table: Oid, number: u64) -> Vec<u8> {
    let mut key = start_of_table(kind, table);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// What the keys of a table's records of one kind begin with.
pub(crate) fn start_of_table(kind: Kind, table: Oid) -> Vec<u8> {
    let mut key = vec![kind as u8];
    key.extend_from_slice(&table.0.to_be_bytes());
    key
}

/// The key of a record by number.
pub(crate) fn by_number(kind: Kind, number: u64) -> Vec<u8> {
    by_bytes(kind, &number.to_be_bytes())
}

/// The key of a record by bytes. Long ones stand there by their hash.
pub(crate) fn by_bytes(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut key = vec![kind as u8];
    if bytes.len() < 64 {
        key.extend_from_slice(bytes);
    } else {
        key.extend_from_slice(&ledger::hash::hash(ledger::hash::Domain::Local, &[bytes]).0);
        // No shorter one is as long.
        key.extend_from_slice(&[0; 32]);
    }
    key
}

/// The OID and the number in a key of [`of_table`].
pub(crate) fn table_and_number(key: &[u8]) -> Option<(Oid, u64)> {
    let (_, rest) = key.split_first()?;
    let (table, number) = rest.split_first_chunk::<4>()?;
    Some((Oid(u32::from_be_bytes(*table)), u64::from_be_bytes(number.try_into().ok()?)))
}

/// Reads what a record says.
pub(crate) fn decode<T: BorshDeserialize>(what: &'static str, bytes: &[u8]) -> Result<T, Fault> {
    ledger::codec::decode(bytes).map_err(|error| Fault::Derived { what, detail: error.to_string() })
}

/// Shows all records whose keys begin so to `each`, in order.
pub(crate) fn each(
    store: &dyn Index,
    start: &[u8],
    mut each: impl FnMut(Record) -> Result<(), Fault>,
) -> Result<(), Fault> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let after = index::after(start);
    let to = after.as_deref().map_or(Unbounded, Excluded);
    let mut last: Option<Vec<u8>> = None;
    loop {
        let from = last.as_deref().map_or(Included(start), Excluded);
        let page = store.records((from, to), false, PAGE)?;
        let full = page.len() >= PAGE;
        last = page.last().map(|(key, _)| key.clone());
        page.into_iter().try_for_each(&mut each)?;
        if !full {
            return Ok(());
        }
    }
}

/// Records that are read at a time.
const PAGE: usize = 256;
