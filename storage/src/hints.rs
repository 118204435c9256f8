//! Which row had a key last: a table of fixed size in memory, beside the key index. A hint is never believed:
//! whoever takes one looks whether the row has the key and is alive, and asks the index if not. So a hint may
//! be old, or of another key, or missing; none of them makes an answer wrong.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ledger::Oid;

/// Bits of a slot that say the row number plus one; those above are of the key's hash.
const ROW_BITS: u32 = 40;
const ROW: u64 = (1 << ROW_BITS) - 1;

/// Slots of a part, which is made when one of them is used.
const PART: usize = 512;
/// Most parts: 4 million slots.
const MOST: usize = 1 << 13;

/// Rows by the hash of their keys. The newest takes the place of what has the same slot.
pub(crate) struct Hints {
    parts: Box<[OnceLock<Box<[AtomicU64]>>]>,
    hasher: RandomState,
}

impl Hints {
    /// As many as go into so many bytes, rounded up to a power of two: 1,024 at least, 4 million at most.
    pub(crate) fn new(bytes: u64) -> Self {
        let parts = usize::try_from(bytes).unwrap_or(usize::MAX) / (PART * size_of::<u64>());
        let parts = parts.clamp(2, MOST).next_power_of_two();
        Self { parts: (0..parts).map(|_| OnceLock::new()).collect(), hasher: RandomState::new() }
    }

    /// Remembers the row that has a key in an index.
    pub(crate) fn note(&self, index: Oid, key: &[u8], row: u64) {
        let (part, place, tag) = self.place(index, key);
        let Some(part) = self.parts.get(part).filter(|_| row < ROW) else { return };
        let part = part.get_or_init(|| (0..PART).map(|_| AtomicU64::new(0)).collect());
        if let Some(slot) = part.get(place) {
            slot.store(tag | (row + 1), Ordering::Relaxed);
        }
    }

    /// The row that may have a key in an index.
    pub(crate) fn row(&self, index: Oid, key: &[u8]) -> Option<u64> {
        let (part, place, tag) = self.place(index, key);
        let hint = self.parts.get(part)?.get()?.get(place)?.load(Ordering::Relaxed);
        if hint & !ROW == tag { (hint & ROW).checked_sub(1) } else { None }
    }

    fn place(&self, index: Oid, key: &[u8]) -> (usize, usize, u64) {
        let hash = self.hasher.hash_one((index.0, key));
        let slot = usize::try_from(hash & ROW).unwrap_or(0);
        ((slot / PART) & (self.parts.len() - 1), slot % PART, hash & !ROW)
    }
}

#[cfg(test)]
mod tests;
