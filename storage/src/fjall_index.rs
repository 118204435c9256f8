//! The key index on disk, in `fjall`: a log-structured tree whose memory is bounded whatever its size.
//!
//! It is written without syncs: its journal keeps the order of batches, so that after a power cut it holds
//! a prefix of them with the checkpoint of that prefix, and the blocks after it are applied again.

use std::{
    fmt, fs,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;

use crate::{
    Fault, MemoryIndex,
    index::{Change, Checkpoint, Index, Record, is_empty_range},
};

/// The keyspace of the entries.
const ENTRIES: &str = "entries";

/// The only key of the keyspace `state`.
const CHECKPOINT: &[u8] = b"checkpoint";

/// Bytes of the cache for blocks of the tree, unless the node's configuration says otherwise.
pub const INDEX_CACHE_BYTES: u64 = 128 << 20;

/// Bytes after which a checkpoint flushes the index: at most so many are put into memory again by an opening.
const FLUSH_BYTES: u64 = 4 << 20;

/// Bytes of journal that may be kept: what is read again when the index is opened.
const JOURNAL_BYTES: u64 = 128 << 20;

/// An ordered set in a directory.
pub struct FjallIndex {
    database: Database,
    entries: RwLock<Keyspace>,
    state: Keyspace,
    records: Keyspace,
    path: PathBuf,
    /// Bytes that were written since all was flushed last.
    unflushed: AtomicU64,
}

impl fmt::Debug for FjallIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallIndex").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FjallIndex {
    /// Opens the index in a directory, which is made if it isn't there. What can't be opened is deleted
    /// and begun anew, because blocks hold all that it says.
    ///
    /// # Errors
    /// [`Fault::Locked`] when another process has it open; [`Fault::Derived`] or [`Fault::Io`] when the
    /// directory can't be written.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        match Self::try_open(path, cache_bytes) {
            Ok(index) => Ok(index),
            Err(fjall::Error::Locked) => Err(Fault::Locked),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the key index can't be opened; it is made anew");
                fs::remove_dir_all(path)
                    .map_err(|error| Fault::io(format!("remove {}", path.display()), error))?;
                Self::try_open(path, cache_bytes).map_err(fault)
            }
        }
    }

    /// As [`Self::open`]; when the disk doesn't let it, an index in memory, so that a node can be read
    /// whose disk is full.
    ///
    /// # Errors
    /// [`Fault::Locked`] when another process has it open.
    pub fn open_or_in_memory(path: &Path, cache_bytes: u64) -> Result<Arc<dyn Index>, Fault> {
        match Self::open(path, cache_bytes) {
            Ok(index) => Ok(Arc::new(index)),
            Err(Fault::Locked) => Err(Fault::Locked),
            Err(fault) => {
                tracing::error!(%fault, "the key index can't be kept on disk; it is kept in memory until the next start");
                Ok(Arc::new(MemoryIndex::default()))
            }
        }
    }

    fn try_open(path: &Path, cache_bytes: u64) -> Result<Self, fjall::Error> {
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let entries = RwLock::new(database.keyspace(ENTRIES, KeyspaceCreateOptions::default)?);
        let state = database.keyspace("state", KeyspaceCreateOptions::default)?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Self {
            database,
            entries,
            state,
            records,
            path: path.to_owned(),
            unflushed: AtomicU64::new(0),
        })
    }

    fn entries(&self) -> Keyspace {
        self.entries.read().clone()
    }
}

impl Index for FjallIndex {
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        let entries = self.entries();
        let bytes = changes.iter().map(size_of_change).sum();
        self.unflushed.fetch_add(bytes, Ordering::Relaxed);
        let mut batch = self.database.batch();
        for change in changes {
            match change {
                Change::Put(entry) => batch.insert(&entries, entry, []),
                Change::Remove(entry) => batch.remove(&entries, entry),
                Change::Set(key, value) => batch.insert(&self.records, key, value),
                Change::Forget(key) => batch.remove(&self.records, key),
            }
        }
        if let Some(checkpoint) = checkpoint {
            batch.insert(&self.state, CHECKPOINT, ledger::codec::encode(&checkpoint));
        }
        batch.commit().map_err(fault)
    }

    fn load(&self, entries: Vec<Vec<u8>>) -> Result<(), Fault> {
        let keyspace = self.entries();
        let load = || {
            let mut ingestion = keyspace.start_ingestion()?;
            for entry in entries {
                ingestion.write(entry, [])?;
            }
            ingestion.finish()
        };
        load().map_err(fault)
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        let bytes = self.state.get(CHECKPOINT).map_err(fault)?;
        // What doesn't decode was written by another version: as good as none.
        Ok(bytes.and_then(|bytes| ledger::codec::decode(&bytes).ok()))
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
        let range = self.entries().range::<&[u8], _>(bounds);
        let key = |guard: fjall::Guard| guard.key().map(|key| key.to_vec()).map_err(fault);
        if reverse {
            range.rev().take(limit).map(key).collect()
        } else {
            range.take(limit).map(key).collect()
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.records.get(key).map_err(fault)?.map(|value| value.to_vec()))
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
        let range = self.records.range::<&[u8], _>(bounds);
        let record = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(fault)?;
            Ok((key.to_vec(), value.to_vec()))
        };
        if reverse {
            range.rev().take(limit).map(record).collect()
        } else {
            range.take(limit).map(record).collect()
        }
    }

    fn persist(&self) -> Result<(), Fault> {
        self.database.persist(PersistMode::SyncData).map_err(fault)?;
        // What stands in the journal alone is put into memory again by an opening.
        if self.unflushed.load(Ordering::Relaxed) < FLUSH_BYTES {
            return Ok(());
        }
        self.unflushed.store(0, Ordering::Relaxed);
        for keyspace in [&self.entries(), &self.records, &self.state] {
            keyspace.rotate_memtable().map_err(fault)?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), Fault> {
        // The checkpoint goes first: entries without one are cleared again at the next opening.
        self.state.remove(CHECKPOINT).map_err(fault)?;
        self.database.persist(PersistMode::SyncData).map_err(fault)?;
        // Not by `clear`: an opening would do that again from the journal, and take with it what was loaded.
        let mut entries = self.entries.write();
        self.database.delete_keyspace(entries.clone()).map_err(fault)?;
        let made = self.database.keyspace(ENTRIES, KeyspaceCreateOptions::default);
        *entries = made.map_err(fault)?;
        Ok(())
    }

    fn clear_records(&self) -> Result<(), Fault> {
        // What the others rest on goes first.
        self.records.remove(crate::derived::CHECKPOINT).map_err(fault)?;
        self.database.persist(PersistMode::SyncData).map_err(fault)?;
        self.records.clear().map_err(fault)
    }

    fn resident_bytes(&self) -> u64 {
        0
    }
}

fn size_of_change(change: &Change) -> u64 {
    let bytes = match change {
        Change::Put(key) | Change::Remove(key) | Change::Forget(key) => key.len(),
        Change::Set(key, value) => key.len() + value.len(),
    };
    bytes as u64
}

fn fault(error: fjall::Error) -> Fault {
    Fault::Derived { what: "key index", detail: error.to_string() }
}
