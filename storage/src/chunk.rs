//! A run of row versions of one table: what never changes about them (identity, bytes) and the one thing
//! that does (the height at which each was superseded).
//!
//! This is the seam for sealed segments: whoever reads rows asks a chunk for a column or a row, and
//! doesn't know whether it is held as row bytes in memory, as Arrow arrays, or in a file.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arrow::array::{Array, ArrayRef};
use ledger::{Column, DecodeError, Height, Row, RowReader, Table, VersionId};
use parking_lot::RwLock;

use crate::{
    Fault,
    arrow_types::{self, ColumnBuilder},
    memory::Memory,
};

/// Versions in a full chunk.
pub(crate) const CHUNK_ROWS: usize = 8192;

/// Bytes of rows in a full chunk: wide rows fill a chunk before its count does.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;

/// Not superseded.
const ALIVE: u64 = u64::MAX;

/// What a version costs beside its row's bytes.
pub(crate) const VERSION_BYTES: usize =
    size_of::<VersionId>() + size_of::<u64>() + size_of::<usize>() + 1;

/// A run of versions in chain order. `first` is the row number of its first version.
pub(crate) struct Chunk {
    pub(crate) first: u64,
    versions: Vec<VersionId>,
    updates: Vec<bool>,
    superseded: Vec<AtomicU64>,
    /// How many of `superseded` are set, and the greatest height among them.
    ended: AtomicUsize,
    last_end: AtomicU64,
    rows: RowBytes,
    /// Columns that were read, as arrays over all the chunk's versions.
    columns: RwLock<BTreeMap<u16, ArrayRef>>,
    memory: Arc<Memory>,
}

/// Encoded rows, end to end.
#[derive(Default)]
struct RowBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowBytes {
    fn push(&mut self, row: &Row) {
        self.bytes.extend_from_slice(&row.bytes);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        let start = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    fn append(&mut self, other: &Self) {
        let bytes = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end + bytes));
    }
}

impl Chunk {
    /// An empty chunk whose first version will have this row number.
    pub(crate) fn new(first: u64, memory: Arc<Memory>) -> Self {
        Self {
            first,
            versions: Vec::new(),
            updates: Vec::new(),
            superseded: Vec::new(),
            ended: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
            rows: RowBytes::default(),
            columns: RwLock::default(),
            memory,
        }
    }

    /// An empty chunk that follows this one.
    pub(crate) fn successor(&self) -> Self {
        Self::new(self.first + self.len() as u64, Arc::clone(&self.memory))
    }

    /// Versions in it.
    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Whether nothing more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.versions.len() >= CHUNK_ROWS || self.rows.bytes.len() >= CHUNK_BYTES
    }

    /// Adds a version.
    pub(crate) fn push(&mut self, version: VersionId, update: bool, row: &Row) {
        self.versions.push(version);
        self.updates.push(update);
        self.superseded.push(AtomicU64::new(ALIVE));
        self.rows.push(row);
        self.memory.add(row.bytes.len() + VERSION_BYTES);
    }

    /// Two neighbours as one. Heights are copied as they are now: whoever merges keeps others from
    /// superseding meanwhile. Arrays are not taken over.
    pub(crate) fn merged(&self, next: &Self) -> Self {
        let copy = |end: &AtomicU64| AtomicU64::new(end.load(Ordering::Acquire));
        let mut rows = RowBytes::default();
        rows.append(&self.rows);
        rows.append(&next.rows);
        let ends = [self.ended.load(Ordering::Acquire), next.ended.load(Ordering::Acquire)];
        let last = self.last_end.load(Ordering::Acquire).max(next.last_end.load(Ordering::Acquire));
        Self {
            first: self.first,
            versions: self.versions.iter().chain(&next.versions).copied().collect(),
            updates: self.updates.iter().chain(&next.updates).copied().collect(),
            superseded: self.superseded.iter().chain(&next.superseded).map(copy).collect(),
            ended: AtomicUsize::new(ends.iter().sum()),
            last_end: AtomicU64::new(last),
            rows,
            columns: RwLock::default(),
            memory: Arc::clone(&self.memory),
        }
    }

    /// Gives back the room that was kept for more versions.
    pub(crate) fn shrink(&mut self) {
        self.versions.shrink_to_fit();
        self.updates.shrink_to_fit();
        self.superseded.shrink_to_fit();
        self.rows.bytes.shrink_to_fit();
        self.rows.ends.shrink_to_fit();
    }

    /// The first version's identity.
    pub(crate) fn first_version(&self) -> Option<VersionId> {
        self.versions.first().copied()
    }

    /// The place of a version.
    pub(crate) fn find(&self, version: VersionId) -> Option<usize> {
        self.versions.binary_search(&version).ok()
    }

    /// A version's identity.
    pub(crate) fn version(&self, place: usize) -> Option<VersionId> {
        self.versions.get(place).copied()
    }

    /// Whether the version was written by an UPDATE (or else by an INSERT).
    pub(crate) fn is_update(&self, place: usize) -> bool {
        self.updates.get(place).copied().unwrap_or(false)
    }

    /// Ends a version at a height. Gives `false` if it is not there or was ended before.
    pub(crate) fn supersede(&self, place: usize, height: Height) -> bool {
        let Some(end) = self.superseded.get(place) else { return false };
        let set = end.compare_exchange(ALIVE, height.0, Ordering::AcqRel, Ordering::Acquire);
        if set.is_ok() {
            self.last_end.fetch_max(height.0, Ordering::AcqRel);
            self.ended.fetch_add(1, Ordering::AcqRel);
        }
        set.is_ok()
    }

    /// The height at which the version was superseded, as seen at `at`: later ends are not seen.
    pub(crate) fn end(&self, place: usize, at: Height) -> Option<Height> {
        let end = self.superseded.get(place)?.load(Ordering::Acquire);
        (end <= at.0).then_some(Height(end))
    }

    /// Whether the version is alive at a height.
    pub(crate) fn alive(&self, place: usize, at: Height) -> bool {
        self.versions.get(place).is_some_and(|version| version.height <= at)
            && self.end(place, at).is_none()
    }

    /// The places of the versions alive at a height.
    pub(crate) fn alive_at(&self, at: Height) -> Places {
        let written = self.written_at(at);
        if self.ended.load(Ordering::Acquire) == 0 {
            return Places::First(written);
        }
        if self.ended.load(Ordering::Acquire) == self.len()
            && self.last_end.load(Ordering::Acquire) <= at.0
        {
            return Places::First(0);
        }
        let alive = (0..written).filter(|place| self.end(*place, at).is_none());
        Places::Some(alive.filter_map(|place| u32::try_from(place).ok()).collect())
    }

    /// The places of the versions that began or ended after one height, up to another.
    pub(crate) fn changed_between(&self, since: Height, at: Height) -> Places {
        let (before, written) = (self.written_at(since), self.written_at(at));
        let first = if self.last_end.load(Ordering::Acquire) <= since.0 { before } else { 0 };
        let changed = (first..written).filter(|place| {
            *place >= before || self.end(*place, at).is_some_and(|end| end > since)
        });
        Places::Some(changed.filter_map(|place| u32::try_from(place).ok()).collect())
    }

    /// How many of its versions were written at or before a height.
    pub(crate) fn written_at(&self, at: Height) -> usize {
        self.versions.partition_point(|version| version.height <= at)
    }

    /// A row's bytes.
    pub(crate) fn bytes(&self, place: usize) -> Option<&[u8]> {
        self.rows.get(place)
    }

    /// A row, as it stands in its block.
    pub(crate) fn row(&self, place: usize) -> Option<Row> {
        Some(Row { bytes: self.rows.get(place)?.to_vec() })
    }

    /// One column over all the chunk's versions. It is decoded once and then kept, as memory allows.
    pub(crate) fn column(&self, table: &Table, column: &Column) -> Result<ArrayRef, Fault> {
        let kind = arrow_types::data_type_of(&column.kind);
        if let Some(array) = self.columns.read().get(&column.number.0)
            && *array.data_type() == kind
        {
            return Ok(Arc::clone(array));
        }
        let array = self.decode(table, column, 0..self.len())?;
        if self.memory.cache(array.get_array_memory_size()) {
            let before = self.columns.write().insert(column.number.0, Arc::clone(&array));
            if let Some(before) = before {
                self.memory.uncache(before.get_array_memory_size());
            }
        }
        Ok(array)
    }

    /// One column of some of its versions, decoded now.
    pub(crate) fn decode(
        &self,
        table: &Table,
        column: &Column,
        places: impl ExactSizeIterator<Item = usize>,
    ) -> Result<ArrayRef, Fault> {
        let mut builder = ColumnBuilder::new(&column.kind, places.len())?;
        for place in places {
            self.show(table, column, place, &mut builder)?;
        }
        builder.finish()
    }

    /// Adds one value to an array.
    pub(crate) fn show(
        &self,
        table: &Table,
        column: &Column,
        place: usize,
        to: &mut ColumnBuilder<'_>,
    ) -> Result<(), Fault> {
        let bytes = self.rows.get(place).ok_or_else(|| Fault::Internal("no such row".into()))?;
        let reader = RowReader::new(table, bytes).map_err(undecoded)?;
        to.push(reader.value_ref(column.number).map_err(undecoded)?)
    }

    /// Forgets its arrays.
    pub(crate) fn drop_columns(&self) {
        for array in std::mem::take(&mut *self.columns.write()).into_values() {
            self.memory.uncache(array.get_array_memory_size());
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.drop_columns();
    }
}

/// A stored row was checked before it was applied: what doesn't decode is this node's fault.
pub(crate) fn undecoded(error: DecodeError) -> Fault {
    Fault::Internal(format!("a stored row doesn't decode: {error}"))
}

/// Places in a chunk, ascending.
pub(crate) enum Places {
    /// The first so many.
    First(usize),
    /// These.
    Some(Vec<u32>),
}
