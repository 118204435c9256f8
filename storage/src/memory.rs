//! How much memory the rows take, and how much they may. Rows that are not sealed yet are kept, whatever
//! they cost; what was made from them, or read from sealed files, is only kept while there is room.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::Shortage;

/// Something that keeps what it can make again.
pub(crate) trait Cached: Send + Sync {
    /// Whether it was used since this was last asked.
    fn was_used(&self) -> bool;

    /// Lets go of what it keeps, and tells [`Memory::uncache`] so.
    fn evict(&self);
}

/// The account of one state.
pub(crate) struct Memory {
    bound: u64,
    rows: AtomicU64,
    index: AtomicU64,
    arrays: AtomicU64,
    /// Whoever keeps something, the oldest first.
    keepers: Mutex<VecDeque<Weak<dyn Cached>>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty account; `bound` is in bytes.
    pub(crate) fn new(bound: u64) -> Self {
        Self {
            bound,
            rows: AtomicU64::new(0),
            index: AtomicU64::new(0),
            arrays: AtomicU64::new(0),
            keepers: Mutex::default(),
        }
    }

    /// The bound.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Rows, their versions and records took so many bytes more.
    pub(crate) fn add(&self, bytes: usize) {
        self.rows.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// They were sealed, or are gone.
    pub(crate) fn free(&self, bytes: usize) {
        self.rows.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Index entries take so many bytes now.
    pub(crate) fn set_index(&self, bytes: u64) {
        self.index.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of rows that are not sealed, versions and records.
    pub(crate) fn unsealed(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of rows that are not sealed, versions, records and index entries.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed) + self.index.load(Ordering::Relaxed)
    }

    /// Bytes that are kept and could be made again.
    pub(crate) fn arrays(&self) -> u64 {
        self.arrays.load(Ordering::Relaxed)
    }

    /// Whether so many more bytes of rows may be taken in.
    ///
    /// # Errors
    /// [`Shortage::Memory`] if they would pass the bound.
    pub(crate) fn admit(&self, bytes: u64) -> Result<(), Shortage> {
        if self.rows().saturating_add(bytes) > self.bound {
            return Err(Shortage::Memory { bound: self.bound });
        }
        Ok(())
    }

    /// Whether something of so many bytes is worth keeping: it can fit beside the rows at all.
    pub(crate) fn may_cache(&self, bytes: usize) -> bool {
        self.rows().saturating_add(bytes as u64) <= self.bound
    }

    /// Something of so many bytes is kept from now on. Others make room for it.
    pub(crate) fn cache(&self, bytes: usize) {
        self.arrays.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes who keeps things, once for as long as it does.
    pub(crate) fn list(&self, keeper: Weak<dyn Cached>) {
        self.keepers.lock().push_back(keeper);
    }

    /// Something of so many bytes is no longer kept.
    pub(crate) fn uncache(&self, bytes: usize) {
        self.arrays.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Whether something must go to make room.
    pub(crate) fn is_tight(&self) -> bool {
        self.arrays() > 0 && self.rows().saturating_add(self.arrays()) > self.bound
    }

    /// Makes room, from the oldest on; what was used lately is passed over once.
    pub(crate) fn make_room(&self) {
        if !self.is_tight() {
            return;
        }
        let mut turns = 2 * self.keepers.lock().len();
        while self.is_tight() && turns > 0 {
            turns -= 1;
            let Some(keeper) = self.keepers.lock().pop_front() else { return };
            let Some(alive) = keeper.upgrade() else { continue };
            if alive.was_used() && turns > 0 {
                self.keepers.lock().push_back(keeper);
            } else {
                alive.evict();
            }
        }
    }
}
