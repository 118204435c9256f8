//! One checkpoint: what is taken over from memory, written, made safe, and then shown to readers in its new
//! place. Nothing that the last checkpoint rests on is removed before the next one is safe.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ledger::{Catalog, Height, Oid};
use parking_lot::Mutex;

use crate::{
    Change, Disk, Fault, Index, StateConfig,
    apply::{Applier, Capture},
    checkpoint::StoredDeletes,
    chunk::Chunk,
    derived::{self, CHECKPOINT, CheckpointRecord, FORMAT, Kind},
    ends::Source,
    segment::{self, Group, Manifest, Segment},
    state::Core,
    versions::{Deletes, Unsealed, Versions},
};

/// Deletes of a page in the store.
const PAGE_DELETES: usize = 1024;

/// Files of more rows or bytes are not written, unless one row group is as large, and not merged.
const FILE_ROWS: u64 = 1 << 20;
const FILE_BYTES: u64 = 64 << 20;

/// The sealer's own state.
pub(crate) struct Work {
    pub(crate) core: Arc<Core>,
    pub(crate) store: Arc<dyn Index>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: StateConfig,
    /// All sealed files, by table and first row.
    pub(crate) files: BTreeMap<(Oid, u64), Manifest>,
    pub(crate) next_file: u64,
    /// What the store should have been told of merged files, and failed to take.
    pub(crate) owed: Vec<Change>,
    /// The first file that the store may not name, since it failed to take a checkpoint.
    pub(crate) unnamed: Option<u64>,
    /// The block of the last checkpoint.
    pub(crate) height: Height,
    /// Whether what is under way is to be left undone.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// Ends that go into the store: of which chunk, under which key, how many.
struct Ended {
    chunk: Arc<Chunk>,
    key: Vec<u8>,
    count: usize,
}

/// A table's new file.
struct Written {
    table: Oid,
    versions: Arc<Versions>,
    manifest: Manifest,
    chunks: Vec<Arc<Chunk>>,
    segment: Arc<Segment>,
}

impl Work {
    /// Writes everything that was applied until now, and makes files anew that were found damaged. When it
    /// fails, all is as it was before, and it may be tried again.
    pub(super) fn checkpoint(&mut self, applier: &Mutex<Applier>) -> Result<(), Fault> {
        applier.lock().revive(&self.store)?;
        let capture = applier.lock().capture()?;
        if let Some(capture) = capture {
            let first = self.next_file;
            if let Err(fault) = self.store(&capture, first) {
                applier.lock().give_back(capture);
                return Err(fault);
            }
            for (table, versions, _) in &capture.tables {
                self.merge(*table, versions, &capture.catalogs)?;
            }
        }
        if self.core.blocks.take_damage() {
            let repaired = self.repair();
            self.core.blocks.forget();
            if repaired.is_err() {
                self.core.blocks.note_damage();
            }
            return repaired;
        }
        Ok(())
    }

    /// Writes files and then the checkpoint that names them.
    fn store(&mut self, capture: &Capture, first: u64) -> Result<(), Fault> {
        let mut changes = self.owed.clone();
        let prepared = self.prepare(capture, &mut changes);
        let (written, ended) = prepared.inspect_err(|_| self.remove_from(first))?;
        // The index first: it must never be behind the checkpoint.
        let write = |()| self.store.write(last_of_each(changes), None);
        let told = self.store.persist().and_then(write);
        if told.is_err() {
            // Whether it names these files is seen once it is open again.
            self.unnamed.get_or_insert(first);
            return told;
        }
        self.owed.clear();
        self.height = capture.head.height;
        self.are_stored(ended);
        for file in written {
            self.show(file)?;
        }
        for (table, versions, unsealed) in &capture.tables {
            let older: Arc<dyn Deletes> =
                Arc::new(StoredDeletes { store: Arc::clone(&self.store), oid: *table });
            versions.deletes_stored(unsealed.deletes.len(), &older);
        }
        self.core.memory.free(self.core.chain.stored_until(&self.store, capture.head.height));
        if let Some(unnamed) = self.unnamed.take() {
            let named: BTreeSet<_> = self.files.values().map(|file| file.number).collect();
            self.remove((unnamed..first).filter(|number| !named.contains(number)));
        }
        Ok(())
    }

    /// Writes files, and notes all that the store gets with them.
    fn prepare(
        &mut self,
        capture: &Capture,
        changes: &mut Vec<Change>,
    ) -> Result<(Vec<Written>, Vec<Ended>), Fault> {
        let until = capture.head.height;
        let mut written = Vec::new();
        for (table, versions, unsealed) in &capture.tables {
            written.extend(self.seal(capture, *table, versions, unsealed)?);
        }
        if !written.is_empty() {
            self.sync_directory()?;
        }
        let mut ended = Vec::new();
        for file in &mut written {
            let rows = &mut file.manifest.groups;
            for (chunk, group) in file.chunks.iter().zip(rows) {
                ended.extend(note_ends(file.table, chunk, until, group, changes)?);
            }
        }
        for (table, _, unsealed) in &capture.tables {
            for chunk in &unsealed.ended {
                ended.extend(self.note_old_ends(*table, chunk, until, changes)?);
            }
            note_table(*table, unsealed, changes);
        }
        for file in &written {
            changes.push(manifest_change(file.table, first_row(&file.chunks), &file.manifest));
        }
        self.core.chain.store(until, changes);
        note_definitions(capture, changes);
        let record = CheckpointRecord {
            format: FORMAT,
            height: capture.head.height,
            block: capture.head.block,
            time_us: capture.head.time_us,
            membership: capture.membership,
            next_file: self.next_file,
            unsettled: capture.unsettled.clone(),
            state: capture.head.state,
        };
        changes.push(Change::Set(CHECKPOINT.to_vec(), ledger::codec::encode(&record)));
        Ok((written, ended))
    }

    /// Removes files that were written and that nothing names, as far as that goes: a start removes the rest.
    fn remove_from(&self, first: u64) {
        self.remove(first..self.next_file);
    }

    fn remove(&self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            if let Err(error) = self.disk.remove(&segment::name(number)) {
                tracing::debug!(%error, number, "a file that wasn't finished is left");
            }
        }
    }

    /// Writes a table's rows that are in memory.
    fn seal(
        &mut self,
        capture: &Capture,
        table: Oid,
        versions: &Arc<Versions>,
        unsealed: &Unsealed,
    ) -> Result<Vec<Written>, Fault> {
        let mut written = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut run: Vec<Arc<Chunk>> = Vec::new();
        for chunk in &unsealed.fresh {
            rows += chunk.len() as u64;
            bytes += chunk.row_bytes() as u64;
            // Rows take about a half more in all, and a fraction of that in the file.
            if !run.is_empty() && (rows > FILE_ROWS || bytes > 2 * FILE_BYTES) {
                let full = std::mem::take(&mut run);
                written.push(self.write(capture, table, versions, full)?);
                (rows, bytes) = (chunk.len() as u64, chunk.row_bytes() as u64);
            }
            run.push(Arc::clone(chunk));
        }
        if !run.is_empty() {
            written.push(self.write(capture, table, versions, run)?);
        }
        Ok(written)
    }

    fn write(
        &mut self,
        capture: &Capture,
        table: Oid,
        versions: &Arc<Versions>,
        chunks: Vec<Arc<Chunk>>,
    ) -> Result<Written, Fault> {
        let parts: Vec<_> = chunks.iter().map(|chunk| vec![Arc::clone(chunk)]).collect();
        let (manifest, segment) = self.write_parts(&capture.catalogs, table, &parts)?;
        Ok(Written { table, versions: Arc::clone(versions), manifest, chunks, segment })
    }

    fn write_parts(
        &mut self,
        catalogs: &[Arc<Catalog>],
        table: Oid,
        parts: &[Vec<Arc<Chunk>>],
    ) -> Result<(Manifest, Arc<Segment>), Fault> {
        // Its newest definition, even if the table was dropped since.
        let newest = catalogs.iter().rev().find_map(|it| it.table(table));
        let definition =
            newest.ok_or_else(|| Fault::Internal(format!("there is no table {}", table.0)))?;
        let number = self.next_file;
        self.next_file += 1;
        let disk = self.disk.as_ref();
        let stops = || self.stopping.load(Ordering::Acquire);
        let what = (table, definition);
        let manifest = segment::write(disk, number, what, parts, &stops)?;
        let segment = Arc::new(Segment::open(disk, table, &manifest, &self.core.blocks)?);
        Ok((manifest, segment))
    }

    fn sync_directory(&self) -> Result<(), Fault> {
        self.disk.sync_dir().map_err(|error| Fault::io("sync the directory of sealed files", error))
    }

    /// Notes the ends of a chunk whose file was written earlier.
    fn note_old_ends(
        &mut self,
        table: Oid,
        chunk: &Arc<Chunk>,
        until: Height,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Ended>, Fault> {
        let before = self.files.range_mut((table, 0)..=(table, chunk.first)).next_back();
        let place = chunk.group().map(|group| group.place);
        let group = before.zip(place).and_then(|(((_, first), manifest), place)| {
            manifest.groups.get(place)?;
            Some((*first, manifest, place))
        });
        let Some((first, manifest, place)) = group else {
            return Err(Fault::Internal("a sealed chunk without its file".into()));
        };
        let Some(group) = manifest.groups.get_mut(place) else { return Ok(None) };
        let ended = note_ends(table, chunk, until, group, changes)?;
        changes.push(manifest_change(table, first, manifest));
        Ok(ended)
    }

    fn are_stored(&self, ended: Vec<Ended>) {
        for Ended { chunk, key, count } in ended {
            let store = Arc::clone(&self.store);
            chunk.ends().are_stored(count, Source { store, key });
        }
    }

    /// Puts the file in the place of the chunks that were in memory.
    fn show(&mut self, file: Written) -> Result<(), Fault> {
        let Written { table, versions, manifest, chunks, segment } = file;
        let first = first_row(&chunks);
        versions.replace(first, chunks.len(), |old| {
            let groups = manifest.groups.iter().enumerate().zip(old);
            Ok(groups
                .map(|((place, group), chunk)| chunk.to_sealed(Group::new(&segment, place, group)))
                .collect())
        })?;
        self.files.insert((table, first), manifest);
        Ok(())
    }

    /// The first rows of a table's files that are worth joining, the last file first; none if there are few.
    fn small_files(&self, table: Oid) -> Vec<u64> {
        let is_small = |file: &Manifest| file.rows() < FILE_ROWS / 2 && file.bytes < FILE_BYTES / 2;
        let files = self.files.range((table, 0)..=(table, u64::MAX));
        let small: Vec<(u64, u64)> = files
            .rev()
            .take_while(|(_, file)| is_small(file))
            .map(|((_, first), file)| (*first, file.rows()))
            .collect();
        if small.len() <= self.config.merge_files.max(1) {
            return Vec::new();
        }
        // A file far larger than all after it waits until they have grown.
        let mut after = 0;
        let worth = small.into_iter().take_while(|(_, rows)| {
            let near = after == 0 || *rows <= 4 * after;
            after += rows;
            near && after <= FILE_ROWS
        });
        worth.map(|(first, _)| first).collect()
    }

    /// Joins a table's small files, when there are too many of them.
    fn merge(
        &mut self,
        table: Oid,
        versions: &Arc<Versions>,
        catalogs: &[Arc<Catalog>],
    ) -> Result<(), Fault> {
        let small = self.small_files(table);
        let Some(first) = small.last().copied().filter(|_| small.len() > 1) else {
            return Ok(());
        };
        let old: Vec<_> =
            versions.sealed().into_iter().filter(|chunk| chunk.first >= first).collect();
        self.rewrite((table, versions), catalogs, &small, &old)
    }

    /// Makes files anew that were found damaged: their rows come from blocks.
    fn repair(&mut self) -> Result<(), Fault> {
        let catalogs = self.core.published.read().catalogs.all();
        let tables = self.core.tables.read().clone();
        for (table, versions) in tables {
            let sealed = versions.sealed();
            let damaged = |chunk: &&Arc<Chunk>| {
                chunk.group().is_some_and(|group| group.place == 0 && group.segment.is_damaged())
            };
            for head in sealed.iter().filter(damaged) {
                let of = |chunk: &&Arc<Chunk>| chunk.is_in_file_of(head);
                let old: Vec<_> = sealed.iter().filter(of).cloned().collect();
                self.rewrite((table, &versions), &catalogs, &[head.first], &old)?;
                tracing::warn!(table = table.0, "a damaged sealed file was made anew from blocks");
            }
        }
        Ok(())
    }

    /// Puts one new file in the place of neighbours: all of these chunks are in them, and no others.
    fn rewrite(
        &mut self,
        (table, versions): (Oid, &Arc<Versions>),
        catalogs: &[Arc<Catalog>],
        small: &[u64],
        old: &[Arc<Chunk>],
    ) -> Result<(), Fault> {
        let first = first_row(old);
        let parts = parts_of(old);
        let number = self.next_file;
        let written = self.write_parts(catalogs, table, &parts);
        let (mut manifest, segment) = written.inspect_err(|_| self.remove_from(number))?;
        self.sync_directory()?;
        let mut new = Vec::new();
        versions.replace(first, old.len(), |_| {
            for ((place, part), group) in parts.iter().enumerate().zip(&manifest.groups) {
                let group = Group::new(&segment, place, group);
                let ends = Arc::new(Chunk::joined_ends(part)?);
                let memory = Arc::clone(&self.core.memory);
                new.push(Chunk::sealed(first_row(part), group, ends, memory));
            }
            Ok(new.clone())
        })?;
        let mut changes = Vec::new();
        for chunk in old {
            changes.push(Change::Forget(derived::of_table(Kind::Ends, table, chunk.first)));
        }
        for first in small {
            changes.push(Change::Forget(derived::of_table(Kind::Segment, table, *first)));
        }
        let mut ended = Vec::new();
        for (chunk, group) in new.iter().zip(&mut manifest.groups) {
            ended.extend(note_ends(table, chunk, self.height, group, &mut changes)?);
        }
        changes.push(manifest_change(table, first, &manifest));
        let gone: Vec<_> =
            small.iter().filter_map(|first| self.files.remove(&(table, *first))).collect();
        self.files.insert((table, first), manifest);
        let changes = last_of_each(changes);
        let told = self.store.write(changes.clone(), None);
        if told.is_err() {
            // Readers have the new file already. The old ones are removed by the next start.
            self.owed.extend(changes);
            return told;
        }
        self.are_stored(ended);
        for file in gone {
            let name = segment::name(file.number);
            if let Err(error) = self.disk.remove(&name) {
                tracing::warn!(%error, name, "a sealed file is left until the next start");
            }
        }
        Ok(())
    }
}

/// One change for each key, the last: a batch has no order.
fn last_of_each(changes: Vec<Change>) -> Vec<Change> {
    let key = |change: &Change| match change {
        Change::Set(key, _) | Change::Forget(key) | Change::Put(key) | Change::Remove(key) => {
            key.clone()
        }
    };
    let last: BTreeMap<_, _> = changes.into_iter().map(|change| (key(&change), change)).collect();
    last.into_values().collect()
}

/// Neighbours that fit into one row group each.
fn parts_of(chunks: &[Arc<Chunk>]) -> Vec<Vec<Arc<Chunk>>> {
    let mut parts: Vec<Vec<Arc<Chunk>>> = Vec::new();
    for chunk in chunks {
        match parts.last_mut() {
            Some(part)
                if part.iter().map(|it| it.len()).sum::<usize>() + chunk.len()
                    <= crate::chunk::CHUNK_ROWS =>
            {
                part.push(Arc::clone(chunk));
            }
            _ => parts.push(vec![Arc::clone(chunk)]),
        }
    }
    parts
}

fn first_row(chunks: &[Arc<Chunk>]) -> u64 {
    chunks.first().map_or(0, |chunk| chunk.first)
}

fn manifest_change(table: Oid, first: u64, manifest: &Manifest) -> Change {
    let key = derived::of_table(Kind::Segment, table, first);
    Change::Set(key, ledger::codec::encode(manifest))
}

/// Notes a chunk's ends up to a height, if it has any.
fn note_ends(
    table: Oid,
    chunk: &Arc<Chunk>,
    until: Height,
    group: &mut segment::GroupManifest,
    changes: &mut Vec<Change>,
) -> Result<Option<Ended>, Fault> {
    let stored = chunk.ends().until(until)?;
    if stored.is_empty() {
        return Ok(None);
    }
    let count = stored.len();
    group.ended = u32::try_from(count).unwrap_or(u32::MAX);
    group.last_end = Height(stored.iter().map(|(_, end)| *end).max().unwrap_or(0));
    let key = derived::of_table(Kind::Ends, table, chunk.first);
    changes.push(Change::Set(key.clone(), ledger::codec::encode(&stored)));
    Ok(Some(Ended { chunk: Arc::clone(chunk), key, count }))
}

fn note_table(table: Oid, unsealed: &Unsealed, changes: &mut Vec<Change>) {
    let mut number = unsealed.stored;
    for page in unsealed.deletes.chunks(PAGE_DELETES) {
        let key = derived::of_table(Kind::Deletes, table, number);
        changes.push(Change::Set(key, ledger::codec::encode(&page.to_vec())));
        number += page.len() as u64;
    }
    let key = derived::of_table(Kind::Table, table, 0);
    changes.push(Change::Set(key, ledger::codec::encode(&unsealed.record)));
}

fn note_definitions(capture: &Capture, changes: &mut Vec<Change>) {
    for (height, operations) in &capture.definitions {
        let key = derived::by_number(Kind::Definitions, height.0);
        changes.push(Change::Set(key, ledger::codec::encode(operations)));
    }
    let newest = capture.catalogs.last();
    for oid in &capture.sequences {
        let key = derived::of_table(Kind::Sequence, *oid, 0);
        changes.push(match newest.and_then(|catalog| catalog.sequence(*oid)) {
            Some(sequence) => Change::Set(key, ledger::codec::encode(sequence)),
            None => Change::Forget(key),
        });
    }
}
