//! How much memory the rows take, and how much they may. Rows are kept, whatever they cost; arrays made
//! from them are only kept while there is room.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Shortage;

/// The account of one state.
#[derive(Debug)]
pub(crate) struct Memory {
    bound: u64,
    rows: AtomicU64,
    index: AtomicU64,
    arrays: AtomicU64,
}

impl Memory {
    /// An empty account; `bound` is in bytes.
    pub(crate) fn new(bound: u64) -> Self {
        Self { bound, rows: AtomicU64::new(0), index: AtomicU64::new(0), arrays: AtomicU64::new(0) }
    }

    /// Rows, their versions and records took so many bytes more.
    pub(crate) fn add(&self, bytes: usize) {
        self.rows.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Index entries take so many bytes now.
    pub(crate) fn set_index(&self, bytes: u64) {
        self.index.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of rows, versions, records and index entries.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed) + self.index.load(Ordering::Relaxed)
    }

    /// Bytes of arrays made from rows.
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

    /// Asks to keep an array of so many bytes: granted while rows and arrays together are in the bound.
    pub(crate) fn cache(&self, bytes: usize) -> bool {
        let used = self.rows().saturating_add(self.arrays()).saturating_add(bytes as u64);
        let granted = used <= self.bound;
        if granted {
            self.arrays.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        granted
    }

    /// Whether arrays must go to make room for rows.
    pub(crate) fn is_tight(&self) -> bool {
        self.arrays() > 0 && self.rows().saturating_add(self.arrays()) > self.bound
    }

    /// An array of so many bytes is no longer kept.
    pub(crate) fn uncache(&self, bytes: usize) {
        self.arrays.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}
