//! Going on from the last checkpoint: reads what the derived store says, and makes a state of it. What
//! doesn't fit together is thrown away as a whole; blocks hold all that it said.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use ledger::{Height, Object, Oid, Operation, catalog::Sequence};

use crate::{
    Disk, Fault, Head, Index,
    again::Blocks,
    chunk::Chunk,
    derived::{self, CHECKPOINT, CheckpointRecord, FORMAT, Kind, TableRecord},
    ends::{Ends, Source},
    history::CatalogHistory,
    memory::Memory,
    segment::{self, Group, Manifest, Segment},
    versions::{Delete, Deletes, Versions},
};

/// A state as of a checkpoint.
pub(crate) struct Resumed {
    pub(crate) record: CheckpointRecord,
    pub(crate) head: Head,
    pub(crate) catalogs: CatalogHistory,
    pub(crate) tables: BTreeMap<Oid, Arc<Versions>>,
    /// All sealed files, by table and first row.
    pub(crate) files: BTreeMap<(Oid, u64), Manifest>,
}

/// Reads the last checkpoint. `known` says whether the chain has its block. Without one, or when anything of
/// it is missing, all of it is deleted.
pub(crate) fn resume(
    store: &Arc<dyn Index>,
    disk: Option<&Arc<dyn Disk>>,
    memory: &Arc<Memory>,
    blocks: &Arc<Blocks>,
    known: &dyn Fn(Head) -> bool,
) -> Result<Option<Resumed>, Fault> {
    let found = match disk {
        Some(disk) => try_resume(store, (disk.as_ref(), blocks), memory, known).unwrap_or_else(|fault| {
            tracing::warn!(%fault, "the derived files don't read; they are made anew from blocks");
            None
        }),
        None => None,
    };
    if found.is_none() {
        store.clear_records()?;
    }
    if let Some(disk) = disk {
        let numbers = found.iter().flat_map(|it| it.files.values()).map(|file| file.number);
        sweep(disk.as_ref(), &numbers.collect())?;
    }
    Ok(found)
}

fn try_resume(
    store: &Arc<dyn Index>,
    disk: (&dyn Disk, &Arc<Blocks>),
    memory: &Arc<Memory>,
    known: &dyn Fn(Head) -> bool,
) -> Result<Option<Resumed>, Fault> {
    let Some(bytes) = store.get(CHECKPOINT)? else { return Ok(None) };
    if bytes.first_chunk() != Some(&FORMAT.to_le_bytes()) {
        return Ok(None);
    }
    let record: CheckpointRecord = derived::decode("checkpoint", &bytes)?;
    let CheckpointRecord { height, block, time_us, state, .. } = record;
    let head = Head { height, block, time_us, state };
    if !known(head) {
        return Ok(None);
    }
    let mut files = BTreeMap::new();
    derived::each(store.as_ref(), &[Kind::Segment as u8], |(key, value)| {
        let place = derived::table_and_number(&key).ok_or_else(|| unread("manifest of a file"))?;
        let manifest: Manifest = derived::decode("manifest of a file", &value)?;
        files.insert(place, manifest);
        Ok(())
    })?;
    let is_lost = |file: &Manifest| disk.0.open(&segment::name(file.number), false).is_err();
    if !files.is_empty() && files.values().all(is_lost) {
        // One lost file is made anew by itself while others are read; of all of them blocks are read only once so.
        return Ok(None);
    }
    let mut tables = BTreeMap::new();
    derived::each(store.as_ref(), &[Kind::Table as u8], |(key, value)| {
        let (oid, _) =
            derived::table_and_number(&key).ok_or_else(|| unread("record of a table"))?;
        let record: TableRecord = derived::decode("record of a table", &value)?;
        let chunks = chunks_of(store, disk, memory, oid, &files)?;
        let older: Arc<dyn Deletes> = Arc::new(StoredDeletes { store: Arc::clone(store), oid });
        let versions = Versions::resumed(chunks, &record, Some(older), Arc::clone(memory));
        tables.insert(oid, Arc::new(versions));
        Ok(())
    })?;
    let catalogs = catalogs(store.as_ref())?;
    Ok(Some(Resumed { record, head, catalogs, tables, files }))
}

fn unread(what: &'static str) -> Fault {
    Fault::Derived { what, detail: "a malformed key".to_owned() }
}

/// A table's sealed chunks.
fn chunks_of(
    store: &Arc<dyn Index>,
    (disk, blocks): (&dyn Disk, &Arc<Blocks>),
    memory: &Arc<Memory>,
    table: Oid,
    files: &BTreeMap<(Oid, u64), Manifest>,
) -> Result<Vec<Arc<Chunk>>, Fault> {
    let mut chunks = Vec::new();
    let mut next = 0;
    for ((_, first), manifest) in files.range((table, 0)..=(table, u64::MAX)) {
        let gap = || Fault::Derived { what: "sealed files", detail: format!("no row {next}") };
        if *first != next {
            return Err(gap());
        }
        let segment = Arc::new(Segment::open_or_lost(disk, table, manifest, blocks));
        for (place, group) in manifest.groups.iter().enumerate() {
            let key = derived::of_table(Kind::Ends, table, next);
            let source = Source { store: Arc::clone(store), key };
            let ended = usize::try_from(group.ended).unwrap_or(usize::MAX);
            let ends = Arc::new(Ends::stored(ended, group.last_end, source));
            let group = Group::new(&segment, place, group);
            let rows = group.rows as u64;
            chunks.push(Chunk::sealed(next, group, ends, Arc::clone(memory)));
            next += rows;
        }
    }
    Ok(chunks)
}

/// The catalog at every height, from the definitions that made it.
fn catalogs(store: &dyn Index) -> Result<CatalogHistory, Fault> {
    let mut history = CatalogHistory::default();
    let refused =
        |error: ledger::Refusal| Fault::Derived { what: "definitions", detail: error.to_string() };
    derived::each(store, &[Kind::Definitions as u8], |(key, value)| {
        let height = key.get(1..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let height = height.ok_or_else(|| unread("definitions"))?;
        let operations: Vec<Operation> = derived::decode("definitions", &value)?;
        let mut catalog = ledger::Catalog::clone(&history.newest());
        for operation in &operations {
            catalog.apply(operation).map_err(refused)?;
        }
        history.push(Height(height), catalog, false);
        Ok(())
    })?;
    let mut catalog = ledger::Catalog::clone(&history.newest());
    derived::each(store, &[Kind::Sequence as u8], |(key, value)| {
        let (oid, _) = derived::table_and_number(&key).ok_or_else(|| unread("sequence"))?;
        let sequence: Sequence = derived::decode("sequence", &value)?;
        catalog.put(oid, Object::Sequence(sequence)).map_err(refused)
    })?;
    history.push(Height(0), catalog, true);
    Ok(history)
}

/// Removes sealed files that no manifest names.
fn sweep(disk: &dyn Disk, numbers: &BTreeSet<u64>) -> Result<(), Fault> {
    let names = disk.list().map_err(|error| Fault::io("list the sealed files", error))?;
    let kept: BTreeSet<String> = numbers.iter().map(|number| segment::name(*number)).collect();
    for name in names.iter().filter(|name| name.ends_with(".parquet") && !kept.contains(*name)) {
        disk.remove(name).map_err(|error| Fault::io(format!("remove {name}"), error))?;
    }
    Ok(())
}

/// A table's deletes in the derived store.
pub(crate) struct StoredDeletes {
    pub(crate) store: Arc<dyn Index>,
    pub(crate) oid: Oid,
}

impl Deletes for StoredDeletes {
    fn page(&self, from: u64) -> Result<Vec<Delete>, Fault> {
        let bounds = [0, from].map(|number| derived::of_table(Kind::Deletes, self.oid, number));
        let [first, last] = &bounds;
        let bounds = (Bound::Included(first.as_slice()), Bound::Included(last.as_slice()));
        let Some((key, value)) = self.store.records(bounds, true, 1)?.pop() else {
            return Ok(Vec::new());
        };
        let (_, number) = derived::table_and_number(&key).ok_or_else(|| unread("deletes"))?;
        let page: Vec<Delete> = derived::decode("deletes", &value)?;
        let skip = usize::try_from(from - number).unwrap_or(usize::MAX);
        Ok(page.into_iter().skip(skip).collect())
    }
}
