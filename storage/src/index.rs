//! The key index: which versions have which key, ordered. Derived from blocks: deleting it rebuilds it.
//!
//! An engine is an ordered set of byte strings with a checkpoint; this page says how entries are laid out
//! in it. An entry is `space, index OID (big endian), key bytes, !row number (big endian)`: entries of one
//! key stand together, the newest version first. Entries of versions that ended long ago live in a space
//! of their own, so that a lookup in the present doesn't wade through the history of a busy key.

use std::ops::Bound;

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{
    Hash, Height, Oid,
    hash::{Domain, hash},
};

use crate::Fault;

/// An ordered set of byte strings, none of which begins with 0, written in batches; and beside it records of other
/// derived state by their keys.
pub trait Index: Send + Sync {
    /// Writes a batch. Entries are safe when they were held and persisted: all up to the last checkpoint before they
    /// were held, with it, or none. Records are safe at once: all of the batch, or none.
    ///
    /// # Errors
    /// The engine's own failure.
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault>;

    /// Adds many entries, which are new, sorted, and each there once, and notes of which block they are
    /// ([`Checkpoint::loading`]), if one is given. After a crash all of them may be there, with the note, although
    /// nothing of the checkpoint that follows is.
    ///
    /// # Errors
    /// The engine's own failure.
    fn load(&self, entries: Vec<Vec<u8>>, of: Option<(Height, Hash)>) -> Result<(), Fault> {
        let before = self.checkpoint()?.filter(|_| of.is_some());
        let noted = before.map(|before| Checkpoint { loading: of, ..before });
        self.write(entries.into_iter().map(Change::Put).collect(), noted)
    }

    /// How far the index is complete; `None` when it is new.
    ///
    /// # Errors
    /// The engine's own failure.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault>;

    /// Up to `limit` entries in order between two bounds; from the upper one downwards if `reverse`.
    ///
    /// # Errors
    /// The engine's own failure.
    fn page(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Fault>;

    /// The record of a key.
    ///
    /// # Errors
    /// The engine's own failure.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Up to `limit` records in order between two bounds, with their keys; from the upper one downwards if
    /// `reverse`.
    ///
    /// # Errors
    /// The engine's own failure.
    fn records(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Record>, Fault>;

    /// Has all entries that were written until now made safe by the next [`Self::persist`]. The last batch had a
    /// checkpoint.
    fn hold(&self) {}

    /// Makes all that was held safe.
    ///
    /// # Errors
    /// The engine's own failure.
    fn persist(&self) -> Result<(), Fault>;

    /// Forgets all entries, and their checkpoint.
    ///
    /// # Errors
    /// The engine's own failure.
    fn clear(&self) -> Result<(), Fault>;

    /// Forgets all records.
    ///
    /// # Errors
    /// The engine's own failure.
    fn clear_records(&self) -> Result<(), Fault>;

    /// Whether a write failed since it was opened, so that it takes none.
    fn has_failed(&self) -> bool {
        false
    }

    /// Has one that failed take writes again. What it holds is then as after a crash: all up to some write, and all
    /// that was persisted.
    ///
    /// # Errors
    /// The engine's own failure: it failed still, and this may be tried again.
    fn revive(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Bytes that it keeps in memory in proportion to its entries (a cache of fixed size is not counted).
    fn resident_bytes(&self) -> u64;
}

/// A record: its key and what it says.
pub type Record = (Vec<u8>, Vec<u8>);

/// One change of an entry or a record. All are idempotent, so that a block may be applied again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds the entry.
    Put(Vec<u8>),
    /// Takes it away.
    Remove(Vec<u8>),
    /// Sets the record of a key.
    Set(Vec<u8>, Vec<u8>),
    /// Takes a record away.
    Forget(Vec<u8>),
}

/// How far an index is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// All blocks up to this one are in the index.
    pub height: Height,
    /// That block's hash: an index of another chain is thrown away.
    pub block: Hash,
    /// Entries of versions superseded up to this height stand in [`Space::Past`].
    pub settled: Height,
    /// The block of which entries may be there already, because they are loaded all at once.
    pub loading: Option<(Height, Hash)>,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Versions alive, or superseded not long ago.
    Present = 1,
    /// Versions superseded at or before [`Checkpoint::settled`].
    Past = 2,
}

/// Bytes of an entry before its key, and after.
const BEFORE: usize = 5;
const AFTER: usize = 8;

/// The longest key that stands in an entry as it is (an engine takes 64 KiB). Of a longer one there stand
/// its first bytes and its hash: it is found by equality, and its order is that of its first bytes.
pub(crate) const MAX_KEY: usize = 32 << 10;

/// Completes an entry that was begun with [`start`] and its key.
pub(crate) fn finish(mut bytes: Vec<u8>, row: u64) -> Vec<u8> {
    shorten(&mut bytes);
    bytes.extend_from_slice(&(!row).to_be_bytes());
    bytes
}

/// Puts the hash of a key that is too long in the place of its end.
fn shorten(bytes: &mut Vec<u8>) {
    if let Some(key) = bytes.get(BEFORE..).filter(|key| key.len() > MAX_KEY) {
        let digest = hash(Domain::Local, &[key]);
        bytes.truncate(BEFORE + MAX_KEY - digest.0.len());
        bytes.extend_from_slice(&digest.0);
    }
}

/// The bytes that all entries begin with whose key begins with `key`.
pub(crate) fn start(space: Space, index: Oid, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BEFORE + key.len().max(24) + AFTER);
    bytes.push(space as u8);
    bytes.extend_from_slice(&index.0.to_be_bytes());
    bytes.extend_from_slice(key);
    shorten(&mut bytes);
    bytes
}

/// The row number in an entry; `None` if the bytes are no entry.
pub(crate) fn row_of(entry: &[u8]) -> Option<u64> {
    let (rest, row) = entry.split_last_chunk::<AFTER>()?;
    (rest.len() >= BEFORE).then(|| !u64::from_be_bytes(*row))
}

/// The key in an entry; `None` if it is a long one, of which only a part stands there.
pub(crate) fn key_of(entry: &[u8]) -> Option<&[u8]> {
    let key = entry.get(BEFORE..entry.len().checked_sub(AFTER)?)?;
    (key.len() < MAX_KEY).then_some(key)
}

/// The same entry in another space.
pub(crate) fn moved(entry: &[u8], space: Space) -> Vec<u8> {
    let mut bytes = entry.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = space as u8;
    }
    bytes
}

/// The least byte string above all that begin with `prefix`; `None` if there is none.
pub(crate) fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut bytes = prefix.get(..=last)?.to_vec();
    if let Some(byte) = bytes.last_mut() {
        *byte += 1;
    }
    Some(bytes)
}

/// Bounds over entries for bounds over keys. A bound stands for all keys that begin with it: `Included`
/// takes them all in, `Excluded` leaves them all out, so that a bound may name an index's first columns.
pub(crate) fn entry_bounds(
    space: Space,
    index: Oid,
    from: &Bound<Vec<u8>>,
    to: &Bound<Vec<u8>>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let above = |bytes: &[u8]| after(bytes).map_or(Bound::Unbounded, Bound::Included);
    let below = |bytes: &[u8]| after(bytes).map_or(Bound::Unbounded, Bound::Excluded);
    let from = match from {
        Bound::Included(key) => Bound::Included(start(space, index, key)),
        Bound::Excluded(key) => above(&start(space, index, key)),
        Bound::Unbounded => Bound::Included(start(space, index, &[])),
    };
    let to = match to {
        Bound::Included(key) => below(&start(space, index, key)),
        Bound::Excluded(key) => Bound::Excluded(start(space, index, key)),
        Bound::Unbounded => below(&start(space, index, &[])),
    };
    (from, to)
}

/// Whether no entry can lie between these bounds (an engine may panic on such a range).
pub(crate) fn is_empty_range(bounds: &(Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]
mod tests;
