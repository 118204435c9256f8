//! The key index on disk, in `fjall`: a log-structured tree whose memory is bounded whatever its size.
//!
//! Changes of entries stay in memory until a checkpoint has them written as sorted tables, with the mark of how far
//! they go in the first of them: after a power cut the index holds all of a checkpoint or nothing, and the blocks after
//! it are applied again. Records are written as tables at once. Nothing goes through the engine's journal: an opening
//! would read all of it again, long after its entries are in tables.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt, fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{self, AtomicBool},
    },
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use ledger::{Hash, Height};
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use crate::{
    Fault, MemoryIndex,
    index::{Change, Checkpoint, Index, Record, is_empty_range},
    unsaved::{Layer, Unsaved},
};

/// The keyspaces.
const ENTRIES: &str = "entries";
const RECORDS: &str = "records";

/// A keyspace of directories whose entries went through the journal, which is read at each opening: they are made anew.
const JOURNALED: &str = "state";

/// The key among the entries under which their checkpoint stands: below all of them.
const CHECKPOINT: &[u8] = &[0];

/// Bytes of the cache for blocks of the tree, unless the node's configuration says otherwise.
pub const INDEX_CACHE_BYTES: u64 = 128 << 20;

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
    unsaved: Unsaved,
    /// Held by whoever writes entries to disk.
    saving: Mutex<()>,
    /// Whether a write failed: the engine may take none after it.
    failed: AtomicBool,
}

/// The engine's handles.
struct Opened {
    database: Database,
    entries: Keyspace,
    records: Keyspace,
}

impl fmt::Debug for FjallIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallIndex").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Opened {
    fn open(path: &Path, cache_bytes: u64) -> Result<Self, fjall::Error> {
        let open = || Database::builder(path).cache_size(cache_bytes).open();
        let mut database = open()?;
        if database.keyspace_exists(JOURNALED) {
            drop(database);
            fs::remove_dir_all(path)?;
            database = open()?;
        }
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let (entries, records) = (keyspace(ENTRIES)?, keyspace(RECORDS)?);
        Ok(Self { database, entries, records })
    }

    /// An empty keyspace in the place of one. Not by `clear`: an opening would do that again from the journal, and take
    /// with it what was written since.
    fn renewed(&self, old: &Keyspace, name: &str) -> Result<Keyspace, fjall::Error> {
        self.database.delete_keyspace(old.clone())?;
        self.database.keyspace(name, KeyspaceCreateOptions::default)
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
            unsaved: Unsaved::default(),
            saving: Mutex::default(),
            failed: AtomicBool::new(false),
        })
    }

    fn opened(&self) -> Result<MappedRwLockReadGuard<'_, Opened>, Fault> {
        RwLockReadGuard::try_map(self.opened.read(), Option::as_ref).map_err(|_| closed())
    }

    /// What came of a write.
    fn written<T>(&self, result: Result<T, fjall::Error>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.failed.store(true, atomic::Ordering::Release);
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

    /// The checkpoint on disk.
    pub(crate) fn saved_checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        let bytes = self.opened()?.entries.get(CHECKPOINT).map_err(fault)?;
        // What doesn't decode was written by another version: as good as none.
        Ok(bytes.and_then(|bytes| ledger::codec::decode(&bytes).ok()))
    }

    /// Writes a layer as tables, after the checkpoint that `saved` is.
    fn save(
        keyspace: &Keyspace,
        layer: &Layer,
        saved: Option<Checkpoint>,
    ) -> Result<(), fjall::Error> {
        let mut tables = keyspace.start_ingestion()?;
        if let Some(checkpoint) = layer.checkpoint() {
            // Entries of a later block may have been loaded since it was held.
            let loading = saved.and_then(|saved| saved.loading);
            let loading = loading.filter(|(height, _)| *height > checkpoint.height);
            let checkpoint = Checkpoint { loading, ..checkpoint };
            tables.write(CHECKPOINT, ledger::codec::encode(&checkpoint))?;
        }
        for (entry, is_there) in layer.changes().iter() {
            if *is_there {
                tables.write(entry.as_slice(), [])?;
            } else {
                tables.write_tombstone(entry.as_slice())?;
            }
        }
        tables.finish()
    }

    /// Writes records as tables: all of them or none.
    fn keep(
        keyspace: &Keyspace,
        records: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<(), fjall::Error> {
        let mut tables = keyspace.start_ingestion()?;
        for (key, value) in records {
            match value {
                Some(value) => tables.write(key, value)?,
                None => tables.write_tombstone(key)?,
            }
        }
        tables.finish()
    }
}

impl Index for FjallIndex {
    fn write(&self, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> Result<(), Fault> {
        let mut entries = Vec::with_capacity(changes.len());
        let mut records = BTreeMap::new();
        for change in changes {
            match change {
                Change::Put(entry) => entries.push((entry, true)),
                Change::Remove(entry) => entries.push((entry, false)),
                Change::Set(key, value) => drop(records.insert(key, Some(value))),
                Change::Forget(key) => drop(records.insert(key, None)),
            }
        }
        self.unsaved.add(entries, checkpoint);
        if records.is_empty() {
            return Ok(());
        }
        self.written(Self::keep(&self.opened()?.records, records))
    }

    fn load(&self, entries: Vec<Vec<u8>>, of: Option<(Height, Hash)>) -> Result<(), Fault> {
        let _saving = self.saving.lock();
        let saved = self.saved_checkpoint()?.filter(|_| of.is_some());
        let opened = self.opened()?;
        let load = || {
            let mut tables = opened.entries.start_ingestion()?;
            if let Some(saved) = saved {
                let noted = Checkpoint { loading: of, ..saved };
                tables.write(CHECKPOINT, ledger::codec::encode(&noted))?;
            }
            for entry in entries {
                tables.write(entry, [])?;
            }
            tables.finish()
        };
        self.written(load())
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, Fault> {
        if let Some(checkpoint) = self.unsaved.checkpoint() {
            return Ok(Some(checkpoint));
        }
        self.saved_checkpoint()
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
        // Before the tables: what is saved meanwhile is then found in both, and never in neither.
        let changes = self.unsaved.between(bounds, reverse, limit);
        let opened = self.opened()?;
        let range = opened.entries.range::<&[u8], _>(bounds);
        let key = |guard: fjall::Guard| guard.key().map(|key| key.to_vec()).map_err(fault);
        let is_entry =
            |key: &Result<Vec<u8>, Fault>| key.as_ref().map_or(true, |key| key != CHECKPOINT);
        if reverse {
            merged(range.rev().map(key).filter(is_entry), changes, Ordering::Greater, limit)
        } else {
            merged(range.map(key).filter(is_entry), changes, Ordering::Less, limit)
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

    fn hold(&self) {
        self.unsaved.hold();
    }

    fn persist(&self) -> Result<(), Fault> {
        let _saving = self.saving.lock();
        while let Some(layer) = self.unsaved.oldest_held() {
            let saved = self.saved_checkpoint()?;
            self.written(Self::save(&self.opened()?.entries, &layer, saved))?;
            self.unsaved.saved(&layer);
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), Fault> {
        let _saving = self.saving.lock();
        self.unsaved.clear();
        let mut opened = self.opened.write();
        let opened = opened.as_mut().ok_or_else(closed)?;
        opened.entries = self.written(opened.renewed(&opened.entries, ENTRIES))?;
        Ok(())
    }

    fn clear_records(&self) -> Result<(), Fault> {
        let mut opened = self.opened.write();
        let opened = opened.as_mut().ok_or_else(closed)?;
        opened.records = self.written(opened.renewed(&opened.records, RECORDS))?;
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.failed.load(atomic::Ordering::Acquire)
    }

    fn revive(&self) -> Result<(), Fault> {
        self.try_disk()?;
        let _saving = self.saving.lock();
        let mut opened = self.opened.write();
        // One process opens a directory once.
        drop(opened.take());
        *opened = Some(Opened::open(&self.path, self.cache_bytes).map_err(fault)?);
        self.failed.store(false, atomic::Ordering::Release);
        Ok(())
    }

    fn resident_bytes(&self) -> u64 {
        self.unsaved.bytes()
    }
}

/// Up to `limit` of the entries on disk with the changes that aren't there yet, both in the order in which the earlier
/// of two compares as `earlier`.
fn merged(
    saved: impl Iterator<Item = Result<Vec<u8>, Fault>>,
    changes: Vec<(Vec<u8>, bool)>,
    earlier: Ordering,
    limit: usize,
) -> Result<Vec<Vec<u8>>, Fault> {
    if changes.is_empty() {
        return saved.take(limit).collect();
    }
    let mut entries = Vec::new();
    let mut changes = changes.into_iter().peekable();
    for entry in saved {
        let entry = entry?;
        while let Some((new, is_there)) = changes.next_if(|(new, _)| new.cmp(&entry) == earlier) {
            entries.extend(Some(new).filter(|_| is_there));
        }
        let change = changes.next_if(|(changed, _)| *changed == entry);
        entries.extend(Some(entry).filter(|_| change.is_none_or(|(_, is_there)| is_there)));
        if entries.len() >= limit {
            break;
        }
    }
    entries.extend(changes.filter_map(|(new, is_there)| is_there.then_some(new)));
    entries.truncate(limit);
    Ok(entries)
}

fn closed() -> Fault {
    let detail = "it could not be opened again after a failure".to_owned();
    Fault::Derived { what: "key index", detail }
}

fn fault(error: fjall::Error) -> Fault {
    Fault::Derived { what: "key index", detail: error.to_string() }
}
