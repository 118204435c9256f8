//! All versions of one table's rows, in chain order: a version's place in that order is its row number.
//!
//! Versions are only ever added; what changes later is the height at which one was superseded. A read at
//! a height takes the chunks once and then needs no lock. It knows nothing of indexes or of the catalog.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Height, VersionId};
use parking_lot::RwLock;

use crate::{
    Fault,
    chunk::{CHUNK_BYTES, CHUNK_ROWS, Chunk},
    derived::TableRecord,
    memory::Memory,
};

/// One table's versions.
pub(crate) struct Versions {
    parts: RwLock<Parts>,
    alive: AtomicU64,
    memory: Arc<Memory>,
}

struct Parts {
    /// Complete runs, ascending: first those in files, then those in memory.
    chunks: Vec<Arc<Chunk>>,
    /// What came after them and no reader has asked for yet.
    tail: Chunk,
    /// How many of the chunks are sealed, or about to be: they aren't joined with others here.
    settled: usize,
    /// Deletes that are stored elsewhere, and how many there are.
    older: Option<Arc<dyn Deletes>>,
    stored: u64,
    /// Later deletes in chain order: the delete's own identity, and the row number that it ended.
    deletes: Vec<Delete>,
    last_delete: Option<VersionId>,
}

/// The end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Delete {
    pub(crate) version: VersionId,
    pub(crate) row: u64,
}

/// Gives deletes that are no longer in memory.
pub(crate) trait Deletes: Send + Sync {
    /// Those from the `from`th on: at least one, if there is one, and at most as many as are stored together.
    fn page(&self, from: u64) -> Result<Vec<Delete>, Fault>;
}

/// What a table has that is not sealed and stored.
pub(crate) struct Unsealed {
    /// Its chunks in memory, in order.
    pub(crate) fresh: Vec<Arc<Chunk>>,
    /// Sealed chunks with ends that are not stored.
    pub(crate) ended: Vec<Arc<Chunk>>,
    /// Deletes, and the number of the first.
    pub(crate) deletes: Vec<Delete>,
    pub(crate) stored: u64,
    pub(crate) record: TableRecord,
}

impl Versions {
    /// Of a new table.
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self::resumed(Vec::new(), &TableRecord::default(), None, memory)
    }

    /// Of a table whose versions up to some block are in these chunks, ascending from row 0.
    pub(crate) fn resumed(
        chunks: Vec<Arc<Chunk>>,
        record: &TableRecord,
        older: Option<Arc<dyn Deletes>>,
        memory: Arc<Memory>,
    ) -> Self {
        let next = chunks.last().map_or(0, |last| last.first + last.len() as u64);
        let parts = Parts {
            tail: Chunk::new(next, Arc::clone(&memory)),
            settled: chunks.len(),
            chunks,
            older,
            stored: record.deletes,
            deletes: Vec::new(),
            last_delete: record.last_delete,
        };
        Self { parts: RwLock::new(parts), alive: AtomicU64::new(record.alive), memory }
    }

    /// Adds a version and gives its row number. `version` must be above all before.
    pub(crate) fn push(&self, version: VersionId, update: bool, row: &[u8]) -> u64 {
        let mut parts = self.parts.write();
        parts.tail.push(version, update, row);
        let number = parts.end() - 1;
        if parts.tail.is_full() {
            parts.cut();
        }
        drop(parts);
        self.alive.fetch_add(1, Ordering::Relaxed);
        number
    }

    /// Ends a version and gives its row number; `None` if it doesn't exist or was ended before.
    pub(crate) fn supersede(
        &self,
        previous: VersionId,
        height: Height,
    ) -> Result<Option<u64>, Fault> {
        // Held to the end, so that no chunk is replaced meanwhile.
        let parts = self.parts.read();
        let Some(chunk) = parts.chunk_of(previous) else { return Ok(None) };
        let Some(place) = chunk.find(previous)? else { return Ok(None) };
        if !chunk.supersede(place, height)? {
            return Ok(None);
        }
        self.alive.fetch_sub(1, Ordering::Relaxed);
        Ok(Some(chunk.first + place as u64))
    }

    /// Ends a version for good: as [`Self::supersede`], and remembers the delete itself.
    pub(crate) fn delete(&self, previous: VersionId, by: VersionId) -> Result<Option<u64>, Fault> {
        let Some(row) = self.supersede(previous, by.height)? else { return Ok(None) };
        let mut parts = self.parts.write();
        parts.deletes.push(Delete { version: by, row });
        parts.last_delete = Some(by);
        drop(parts);
        self.memory.add(size_of::<Delete>());
        Ok(Some(row))
    }

    /// Rows alive now.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    /// How many versions there are: the next row number.
    pub(crate) fn end(&self) -> u64 {
        self.parts.read().end()
    }

    /// The newest block that wrote or ended a version; `None` for a table that never had one.
    pub(crate) fn last_change(&self) -> Option<Height> {
        let parts = self.parts.read();
        let before = || parts.chunks.last().and_then(|chunk| chunk.last_version());
        let written = parts.tail.last_version().or_else(before);
        written.max(parts.last_delete).map(|version| version.height)
    }

    /// The chunks that hold versions written at or before a height. Later versions may be among them.
    pub(crate) fn chunks_at(&self, height: Height) -> Result<Vec<Arc<Chunk>>, Fault> {
        let parts = self.parts.read();
        if parts.tail_is_after(height) {
            return Ok(parts.chunks_until(height));
        }
        drop(parts);
        let mut parts = self.parts.write();
        parts.freeze()?;
        Ok(parts.chunks_until(height))
    }

    /// Deletes at or before a height, from the `from`th on, at most `limit`; none if there are no more.
    pub(crate) fn deletes_at(
        &self,
        height: Height,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Delete>, Fault> {
        let parts = self.parts.read();
        let page = match from.checked_sub(parts.stored) {
            Some(skip) => {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                parts.deletes.iter().skip(skip).take(limit).copied().collect()
            }
            None => {
                let older = parts.older.clone();
                drop(parts);
                older.map_or(Ok(Vec::new()), |older| older.page(from))?
            }
        };
        let until = |delete: &Delete| delete.version.height <= height;
        Ok(page.into_iter().take(limit).take_while(until).collect())
    }

    /// Shows a version to `see` by its identity.
    pub(crate) fn with_version<T>(
        &self,
        version: VersionId,
        see: impl FnOnce(&Chunk, usize) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let parts = self.parts.read();
        if parts.tail.first_version().is_some_and(|first| first <= version) {
            let place = parts.tail.find(version)?;
            return place.map(|place| see(&parts.tail, place)).transpose();
        }
        let chunk = parts.shared_chunk_of(version);
        drop(parts);
        let Some(chunk) = chunk else { return Ok(None) };
        chunk.find(version)?.map(|place| see(&chunk, place)).transpose()
    }

    /// Shows a version to `see` by its row number.
    pub(crate) fn with_row<T>(
        &self,
        row: u64,
        see: impl FnOnce(&Chunk, usize) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let parts = self.parts.read();
        if row >= parts.tail.first {
            let place = place_of(&parts.tail, row);
            return place.map(|place| see(&parts.tail, place)).transpose();
        }
        let after = parts.chunks.partition_point(|chunk| chunk.first <= row);
        let chunk = after.checked_sub(1).and_then(|place| parts.chunks.get(place)).cloned();
        drop(parts);
        let Some(chunk) = chunk else { return Ok(None) };
        place_of(&chunk, row).map(|place| see(&chunk, place)).transpose()
    }

    /// What isn't sealed and stored yet; `None` if there is nothing. From now on its chunks stay as they
    /// are until [`Self::replace`]. The caller keeps writers away.
    pub(crate) fn unsealed(&self) -> Result<Option<Unsealed>, Fault> {
        let mut parts = self.parts.write();
        parts.join()?;
        let fresh: Vec<_> = parts.chunks.iter().filter(|it| it.is_fresh()).cloned().collect();
        let changed = |chunk: &&Arc<Chunk>| !chunk.is_fresh() && chunk.ends().is_unsaved();
        let ended: Vec<_> = parts.chunks.iter().filter(changed).cloned().collect();
        parts.settled = parts.chunks.len();
        if fresh.is_empty() && ended.is_empty() && parts.deletes.is_empty() {
            return Ok(None);
        }
        let deletes = parts.deletes.clone();
        let record = TableRecord {
            alive: self.alive(),
            deletes: parts.stored + deletes.len() as u64,
            last_delete: parts.last_delete,
        };
        Ok(Some(Unsealed { fresh, ended, deletes, stored: parts.stored, record }))
    }

    /// The chunks that are sealed.
    pub(crate) fn sealed(&self) -> Vec<Arc<Chunk>> {
        let parts = self.parts.read();
        parts.chunks.iter().filter(|chunk| !chunk.is_fresh()).cloned().collect()
    }

    /// Puts others in the place of chunks: `make` gives them when nobody can end a version. They hold the
    /// same versions.
    pub(crate) fn replace(
        &self,
        first: u64,
        count: usize,
        make: impl FnOnce(&[Arc<Chunk>]) -> Result<Vec<Arc<Chunk>>, Fault>,
    ) -> Result<(), Fault> {
        let mut parts = self.parts.write();
        let at = parts.chunks.partition_point(|chunk| chunk.first < first);
        let old = parts.chunks.get(at..at + count);
        let old = old.ok_or_else(|| Fault::Internal("chunks to be replaced are gone".into()))?;
        let new = make(old)?;
        parts.settled = (parts.settled + new.len()).saturating_sub(count);
        drop(parts.chunks.splice(at..at + count, new));
        Ok(())
    }

    /// The first deletes in memory were stored, so many; `older` gives them from now on.
    pub(crate) fn deletes_stored(&self, count: usize, older: &Arc<dyn Deletes>) {
        let mut parts = self.parts.write();
        parts.older.get_or_insert_with(|| Arc::clone(older));
        parts.deletes.drain(..count);
        parts.stored += count as u64;
        drop(parts);
        self.memory.free(count * size_of::<Delete>());
    }
}

fn place_of(chunk: &Chunk, row: u64) -> Option<usize> {
    let place = usize::try_from(row.checked_sub(chunk.first)?).ok()?;
    (place < chunk.len()).then_some(place)
}

/// Neighbours as one chunk, if there are any.
fn as_one(run: Vec<Arc<Chunk>>) -> Result<Option<Arc<Chunk>>, Fault> {
    if run.len() > 1 { Chunk::joined(&run).map(Some) } else { Ok(run.into_iter().next()) }
}

impl Parts {
    fn end(&self) -> u64 {
        self.tail.first + self.tail.len() as u64
    }

    /// Makes the tail a chunk, and begins another.
    fn cut(&mut self) {
        let next = self.tail.successor();
        self.chunks.push(std::mem::replace(&mut self.tail, next).frozen());
    }

    /// Makes the tail readable without a lock. Small chunks that this leaves are joined as their sizes
    /// double, so that a row is copied at most some dozen times, and few small chunks remain.
    fn freeze(&mut self) -> Result<(), Fault> {
        if self.tail.len() == 0 {
            return Ok(());
        }
        self.cut();
        while let Some([before, last]) = self.chunks.get(self.settled..).and_then(<[_]>::last_chunk)
        {
            let rows = before.len() + last.len();
            if before.is_full() || rows > CHUNK_ROWS || before.len() >= 2 * last.len() {
                break;
            }
            let joined = Chunk::joined(&[Arc::clone(before), Arc::clone(last)])?;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(joined);
        }
        Ok(())
    }

    /// Makes the tail a chunk, and joins all small neighbours that are in memory.
    fn join(&mut self) -> Result<(), Fault> {
        if self.tail.len() > 0 {
            self.cut();
        }
        let settled = self.settled.min(self.chunks.len());
        let mut joined = Vec::new();
        let mut run: Vec<Arc<Chunk>> = Vec::new();
        for chunk in self.chunks.get(settled..).unwrap_or_default() {
            let rows: usize = run.iter().map(|it| it.len()).sum();
            let bytes: usize = run.iter().map(|it| it.row_bytes()).sum();
            if rows + chunk.len() > CHUNK_ROWS || bytes + chunk.row_bytes() > CHUNK_BYTES {
                joined.extend(as_one(std::mem::take(&mut run))?);
            }
            run.push(Arc::clone(chunk));
        }
        joined.extend(as_one(run)?);
        self.chunks.truncate(settled);
        self.chunks.append(&mut joined);
        Ok(())
    }

    fn tail_is_after(&self, height: Height) -> bool {
        self.tail.first_version().is_none_or(|first| first.height > height)
    }

    fn chunks_until(&self, height: Height) -> Vec<Arc<Chunk>> {
        let until = |chunk: &Arc<Chunk>| chunk.first_version().is_some_and(|v| v.height <= height);
        self.chunks.iter().take(self.chunks.partition_point(until)).cloned().collect()
    }

    fn shared_chunk_of(&self, version: VersionId) -> Option<Arc<Chunk>> {
        let after = self.chunks.partition_point(|chunk| chunk.first_version() <= Some(version));
        self.chunks.get(after.checked_sub(1)?).cloned()
    }

    /// The chunk that a version must be in, if it is anywhere.
    fn chunk_of(&self, version: VersionId) -> Option<&Chunk> {
        if self.tail.first_version().is_some_and(|first| first <= version) {
            return Some(&self.tail);
        }
        let after = self.chunks.partition_point(|chunk| chunk.first_version() <= Some(version));
        self.chunks.get(after.checked_sub(1)?).map(Arc::as_ref)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]
mod tests;
