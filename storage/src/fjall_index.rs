//! The key index on disk, in `fjall`: a log-structured tree whose memory is bounded whatever its size.
//!
//! It is written without syncs: its journal keeps the order of batches, so that after a power cut it holds
//! a prefix of them with the checkpoint of that prefix, and the blocks after it are applied again.

use std::{
    fmt, fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};

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

/// What must fit onto the disk before an index that failed is opened anew, and the file that shows it: until then
/// what it holds can still be read.
const TRIAL_BYTES: usize = 8 << 20;
const TRIAL: &str = "trial";

/// An ordered set in a directory.
pub struct FjallIndex {
    /// `None` only when it could not be opened again after a failure.
    opened: RwLock<Option<Opened>>,
    path: PathBuf,
    cache_bytes: u64,
    /// Bytes that were written since all was flushed last.
    unflushed: AtomicU64,
    /// Whether a write failed: the engine takes none after it.
    failed: AtomicBool,
}

/// The engine's handles.
struct Opened {
    database: Database,
    entries: Keyspace,
    state: Keyspace,
    records: Keyspace,
}

impl fmt::Debug for FjallIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallIndex").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Opened {
    fn open(path: &Path, cache_bytes: u64) -> Result<Self, fjall::Error> {
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let entries = database.keyspace(ENTRIES, KeyspaceCreateOptions::default)?;
        let state = database.keyspace("state", KeyspaceCreateOptions::default)?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Self { database, entries, state, records })
    }

    fn flush(&self) -> Result<(), fjall::Error> {
        [&self.entries, &self.records, &self.state]
            .into_iter()
            .try_for_each(|keyspace| keyspace.rotate_memtable().map(drop))
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
        Ok(Self {
            opened: RwLock::new(Some(Opened::open(path, cache_bytes)?)),
            path: path.to_owned(),
            cache_bytes,
            unflushed: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    fn opened(&self) -> Result<MappedRwLockReadGuard<'_, Opened>, Fault> {
        RwLockReadGuard::try_map(self.opened.read(), Option::as_ref).map_err(|_| closed())
    }

    /// What came of a write.
    fn written<T>(&self, result: Result<T, fjall::Error>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.failed.store(true, Ordering::Release);
            fault(error)
        })
    }

    /// Whether the disk takes so much that opening the index is worth trying.
    fn try_disk(&self) -> Result<(), Fault> {
        let path = self.path.join(TRIAL);
        let write = || {
            let mut file = fs::File::create(&path)?;
            io::Write::write_all(&mut file, &vec![1; TRIAL_BYTES])?;
            file.sync_data()
        };
        let written = write();
        let removed = fs::remove_file(&path);
        let tried = written.and(removed);
        tried.map_err(|error| Fault::io(format!("write {}", path.display()), error))
    }
}

impl Index for FjallIndex {
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        let opened = self.opened()?;
        let bytes = changes.iter().map(size_of_change).sum();
        self.unflushed.fetch_add(bytes, Ordering::Relaxed);
        let mut batch = opened.database.batch();
        for change in changes {
            match change {
                Change::Put(entry) => batch.insert(&opened.entries, entry, []),
                Change::Remove(entry) => batch.remove(&opened.entries, entry),
                Change::Set(key, value) => batch.insert(&opened.records, key, value),
                Change::Forget(key) => batch.remove(&opened.records, key),
            }
        }
        if let Some(checkpoint) = checkpoint {
            batch.insert(&opened.state, CHECKPOINT, ledger::codec::encode(&checkpoint));
        }
        self.written(batch.commit())
    }

    fn load(&self, entries: Vec<Vec<u8>>) -> Result<(), Fault> {
        let opened = self.opened()?;
        let load = || {
            let mut ingestion = opened.entries.start_ingestion()?;
            for entry in entries {
                ingestion.write(entry, [])?;
            }
            ingestion.finish()
        };
        self.written(load())
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        let bytes = self.opened()?.state.get(CHECKPOINT).map_err(fault)?;
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
        let opened = self.opened()?;
        let range = opened.entries.range::<&[u8], _>(bounds);
        let key = |guard: fjall::Guard| guard.key().map(|key| key.to_vec()).map_err(fault);
        if reverse {
            range.rev().take(limit).map(key).collect()
        } else {
            range.take(limit).map(key).collect()
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.opened()?.records.get(key).map_err(fault)?.map(|value| value.to_vec()))
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
        let opened = self.opened()?;
        let range = opened.records.range::<&[u8], _>(bounds);
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
        let opened = self.opened()?;
        self.written(opened.database.persist(PersistMode::SyncData))?;
        // What stands in the journal alone is put into memory again by an opening.
        if self.unflushed.load(Ordering::Relaxed) < FLUSH_BYTES {
            return Ok(());
        }
        self.unflushed.store(0, Ordering::Relaxed);
        self.written(opened.flush())
    }

    fn clear(&self) -> Result<(), Fault> {
        let mut opened = self.opened.write();
        let opened = opened.as_mut().ok_or_else(closed)?;
        // The checkpoint goes first: entries without one are cleared again at the next opening.
        self.written(opened.state.remove(CHECKPOINT))?;
        self.written(opened.database.persist(PersistMode::SyncData))?;
        // Not by `clear`: an opening would do that again from the journal, and take with it what was loaded.
        self.written(opened.database.delete_keyspace(opened.entries.clone()))?;
        let made = opened.database.keyspace(ENTRIES, KeyspaceCreateOptions::default);
        opened.entries = self.written(made)?;
        Ok(())
    }

    fn clear_records(&self) -> Result<(), Fault> {
        let opened = self.opened()?;
        // What the others rest on goes first.
        self.written(opened.records.remove(crate::derived::CHECKPOINT))?;
        self.written(opened.database.persist(PersistMode::SyncData))?;
        self.written(opened.records.clear())
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn revive(&self) -> Result<(), Fault> {
        self.try_disk()?;
        let mut opened = self.opened.write();
        // One process opens a directory once.
        drop(opened.take());
        *opened = Some(Opened::open(&self.path, self.cache_bytes).map_err(fault)?);
        self.failed.store(false, Ordering::Release);
        Ok(())
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

fn closed() -> Fault {
    let detail = "it could not be opened again after a failure".to_owned();
    Fault::Derived { what: "key index", detail }
}

fn fault(error: fjall::Error) -> Fault {
    Fault::Derived { what: "key index", detail: error.to_string() }
}
