//! The key index in memory: for tests, and for a node that rebuilds it from blocks at every start.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;

use crate::{
    Fault,
    index::{Change, Checkpoint, Index, Record, is_empty_range},
};

/// Entries written under one lock: readers never wait for a whole block.
const CHANGES_PER_LOCK: usize = 1024;

/// What an entry costs beside its bytes (its place in the tree, the allocation's rounding).
const ENTRY_BYTES: u64 = 32;

/// An ordered set in memory.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    entries: RwLock<BTreeSet<Box<[u8]>>>,
    records: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
    checkpoint: RwLock<Option<Checkpoint>>,
    bytes: AtomicU64,
}

impl Index for MemoryIndex {
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut entries = self.entries.write();
            for change in changes.by_ref().take(CHANGES_PER_LOCK) {
                match change {
                    Change::Put(entry) => {
                        let bytes = entry.len() as u64 + ENTRY_BYTES;
                        if entries.insert(entry.into_boxed_slice()) {
                            self.bytes.fetch_add(bytes, Ordering::Relaxed);
                        }
                    }
                    Change::Remove(entry) => {
                        if entries.remove(entry.as_slice()) {
                            let bytes = entry.len() as u64 + ENTRY_BYTES;
                            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                        }
                    }
                    Change::Set(key, value) => drop(self.records.write().insert(key, value)),
                    Change::Forget(key) => drop(self.records.write().remove(&key)),
                }
            }
        }
        if checkpoint.is_some() {
            *self.checkpoint.write() = checkpoint;
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        Ok(*self.checkpoint.read())
    }

    fn page(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        if is_empty_range(&bounds) {
            return Ok(Vec::new());
        }
        let entries = self.entries.read();
        let range = entries.range::<[u8], _>(bounds);
        Ok(if reverse {
            range.rev().take(limit).map(|entry| entry.to_vec()).collect()
        } else {
            range.take(limit).map(|entry| entry.to_vec()).collect()
        })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.records.read().get(key).cloned())
    }

    fn records(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Record>, Fault> {
        if is_empty_range(&bounds) {
            return Ok(Vec::new());
        }
        let records = self.records.read();
        let range = records.range::<[u8], _>(bounds);
        let own = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(if reverse {
            range.rev().take(limit).map(own).collect()
        } else {
            range.take(limit).map(own).collect()
        })
    }

    fn persist(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn clear(&self) -> Result<(), Fault> {
        self.entries.write().clear();
        *self.checkpoint.write() = None;
        self.bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn clear_records(&self) -> Result<(), Fault> {
        self.records.write().clear();
        Ok(())
    }

    fn resident_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
