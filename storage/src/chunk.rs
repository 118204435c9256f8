//! A run of row versions of one table: what never changes about them (identity, bytes) and the one thing
//! that does (the height at which each was superseded).
//!
//! Whoever reads rows asks a chunk for a column or a row, and doesn't know whether it is held as row bytes
//! in memory, as Arrow arrays, or in a sealed file.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arrow::array::{Array, ArrayRef};
use ledger::{Column, DecodeError, Height, Row, RowReader, Table, VersionId};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::{
    Fault,
    arrow_types::{self, ColumnBuilder},
    ends::{Ends, Heights},
    marks::{MARK_BYTES, Marks},
    memory::{Cached, Memory},
    segment::{Group, RowPage},
};

/// Versions in a full chunk.
pub(crate) const CHUNK_ROWS: usize = 8192;

/// Bytes of rows in a full chunk: wide rows fill a chunk before its count does.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;

/// Bytes of a chunk's marks that stay while it is sealed.
const FEW_MARKS: usize = 1024;

/// What a version costs beside its row's bytes, at most.
pub(crate) const VERSION_BYTES: usize = MARK_BYTES + size_of::<u64>() + size_of::<usize>();

/// A run of versions in chain order. `first` is the row number of its first version.
pub(crate) struct Chunk {
    pub(crate) first: u64,
    body: Body,
    ends: Arc<Ends>,
    /// Columns that were read, as arrays over all the chunk's versions.
    columns: RwLock<BTreeMap<u16, ArrayRef>>,
    /// Bytes of ends that the account has as kept.
    ends_kept: AtomicUsize,
    used: AtomicBool,
    listed: AtomicBool,
    me: Weak<Self>,
    memory: Arc<Memory>,
}

/// Where the versions are.
enum Body {
    /// In memory alone.
    Fresh(Marks, RowBytes),
    /// In a file, with what was read of it lately.
    Sealed { group: Group, marks: Slot<Marks>, rows: Slot<RowBytes>, pages: Pages },
}

type Slot<T> = RwLock<Option<Arc<T>>>;

/// Pages of rows by the place of their first row, for rows that are read one by one.
type Pages = RwLock<BTreeMap<usize, Arc<RowPage>>>;

/// Encoded rows, end to end.
#[derive(Debug, Default)]
pub(crate) struct RowBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowBytes {
    pub(crate) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// A row's bytes.
    pub(crate) fn get(&self, place: usize) -> Option<&[u8]> {
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

    fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// What is there, or was read just now.
pub(crate) enum Held<'c, T> {
    Here(&'c T),
    Read(Arc<T>),
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Here(held) => held,
            Self::Read(held) => held,
        }
    }
}

impl Chunk {
    fn of(first: u64, body: Body, ends: Arc<Ends>, me: Weak<Self>, memory: Arc<Memory>) -> Self {
        Self {
            first,
            body,
            ends,
            columns: RwLock::default(),
            ends_kept: AtomicUsize::new(0),
            used: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            me,
            memory,
        }
    }

    /// An empty chunk whose first version will have this row number.
    pub(crate) fn new(first: u64, memory: Arc<Memory>) -> Self {
        let body = Body::Fresh(Marks::default(), RowBytes::default());
        Self::of(first, body, Arc::new(Ends::none()), Weak::new(), memory)
    }

    /// A chunk whose versions lie in a file.
    pub(crate) fn sealed(
        first: u64,
        group: Group,
        ends: Arc<Ends>,
        memory: Arc<Memory>,
    ) -> Arc<Self> {
        let (marks, rows, pages) = (Slot::default(), Slot::default(), Pages::default());
        let body = Body::Sealed { group, marks, rows, pages };
        Arc::new_cyclic(|me| Self::of(first, body, ends, Weak::clone(me), memory))
    }

    /// The same versions from now on in a file; whoever ends one in either ends it in both.
    pub(crate) fn to_sealed(&self, group: Group) -> Arc<Self> {
        Self::sealed(self.first, group, Arc::clone(&self.ends), Arc::clone(&self.memory))
    }

    /// An empty chunk that follows this one.
    pub(crate) fn successor(&self) -> Self {
        Self::new(self.first + self.len() as u64, Arc::clone(&self.memory))
    }

    /// The same chunk, to be shared by readers: nothing is added to it any more.
    pub(crate) fn frozen(mut self) -> Arc<Self> {
        if let Body::Fresh(marks, rows) = &mut self.body {
            marks.shrink();
            rows.bytes.shrink_to_fit();
            rows.ends.shrink_to_fit();
        }
        let empty = Body::Fresh(Marks::default(), RowBytes::default());
        let body = std::mem::replace(&mut self.body, empty);
        let (ends, memory) = (Arc::clone(&self.ends), Arc::clone(&self.memory));
        Arc::new_cyclic(|me| Self::of(self.first, body, ends, Weak::clone(me), memory))
    }

    /// Versions in it.
    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Fresh(marks, _) => marks.len(),
            Body::Sealed { group, .. } => group.rows,
        }
    }

    /// Whether nothing more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= CHUNK_ROWS || self.row_bytes() >= CHUNK_BYTES
    }

    /// Bytes of its rows, if they are in memory.
    pub(crate) fn row_bytes(&self) -> usize {
        match &self.body {
            Body::Fresh(_, rows) => rows.bytes.len(),
            Body::Sealed { .. } => 0,
        }
    }

    /// Whether its versions are in memory alone.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.body, Body::Fresh(..))
    }

    /// Where it lies, if it is sealed.
    pub(crate) fn group(&self) -> Option<&Group> {
        match &self.body {
            Body::Fresh(..) => None,
            Body::Sealed { group, .. } => Some(group),
        }
    }

    /// Whether it lies in the same file as another.
    pub(crate) fn is_in_file_of(&self, other: &Self) -> bool {
        let files = self.group().zip(other.group());
        files.is_some_and(|(own, other)| Arc::ptr_eq(&own.segment, &other.segment))
    }

    /// Adds a version, to a chunk that is in memory.
    pub(crate) fn push(&mut self, version: VersionId, update: bool, row: &[u8]) {
        if let Body::Fresh(marks, rows) = &mut self.body {
            marks.push(version, update);
            rows.push(row);
            self.memory.add(row.len() + VERSION_BYTES);
        }
    }

    /// Neighbours as one, in memory. Whoever joins keeps others from superseding meanwhile.
    pub(crate) fn joined(chunks: &[Arc<Self>]) -> Result<Arc<Self>, Fault> {
        let joined = Self::gathered(chunks)?;
        let ends = Arc::new(Self::joined_ends(chunks)?);
        let body = Body::Fresh(joined.0, joined.1);
        let Some(head) = chunks.first() else {
            return Err(Fault::Internal("nothing to join".into()));
        };
        let memory = Arc::clone(&head.memory);
        Ok(Arc::new_cyclic(|me| Self::of(head.first, body, ends, Weak::clone(me), memory)))
    }

    /// The identities and bytes of neighbours' rows, end to end.
    fn gathered(chunks: &[Arc<Self>]) -> Result<(Marks, RowBytes), Fault> {
        let (mut marks, mut rows) = (Marks::default(), RowBytes::default());
        for chunk in chunks {
            let (its_marks, its_rows) = (chunk.marks()?, chunk.rows()?);
            marks.append(&its_marks);
            rows.append(&its_rows);
        }
        if let Some(head) = chunks.first() {
            head.memory.add(rows.bytes.len() + VERSION_BYTES * marks.len());
        }
        Ok((marks, rows))
    }

    /// Neighbours' rows as one chunk that knows nothing of their ends: for writing them anew.
    pub(crate) fn copied(chunks: &[Arc<Self>]) -> Result<Arc<Self>, Fault> {
        let Some(head) = chunks.first() else {
            return Err(Fault::Internal("nothing to copy".into()));
        };
        let (marks, rows) = Self::gathered(chunks)?;
        let (memory, ends) = (Arc::clone(&head.memory), Arc::new(Ends::none()));
        let body = Body::Fresh(marks, rows);
        Ok(Arc::new_cyclic(|me| Self::of(head.first, body, ends, Weak::clone(me), memory)))
    }

    /// The identities and bytes of its rows.
    pub(crate) fn copy(&self) -> Result<(Marks, RowBytes), Fault> {
        let (own_marks, own_rows) = (self.marks()?, self.rows()?);
        let mut rows = RowBytes::default();
        rows.append(&own_rows);
        Ok((own_marks.clone(), rows))
    }

    /// The ends of neighbours as one. Whoever joins keeps others from superseding meanwhile.
    pub(crate) fn joined_ends(chunks: &[Arc<Self>]) -> Result<Ends, Fault> {
        for chunk in chunks {
            chunk.ends.retire()?;
        }
        Ok(Ends::joined(chunks.iter().map(|chunk| (chunk.ends.as_ref(), chunk.len()))))
    }

    /// The first version's identity.
    pub(crate) fn first_version(&self) -> Option<VersionId> {
        match &self.body {
            Body::Fresh(marks, _) => marks.first(),
            Body::Sealed { group, .. } => Some(group.first),
        }
    }

    /// The last version's identity.
    pub(crate) fn last_version(&self) -> Option<VersionId> {
        match &self.body {
            Body::Fresh(marks, _) => marks.last(),
            Body::Sealed { group, .. } => Some(group.last),
        }
    }

    /// The place of a version.
    pub(crate) fn find(&self, version: VersionId) -> Result<Option<usize>, Fault> {
        if Some(version) > self.last_version() || Some(version) < self.first_version() {
            return Ok(None);
        }
        match self.group().and_then(|group| group.known_place(version)) {
            Some(place) => Ok(place),
            None => Ok(self.marks()?.find(version)),
        }
    }

    /// A version's identity.
    pub(crate) fn version(&self, place: usize) -> Result<Option<VersionId>, Fault> {
        match self.group().and_then(|group| group.known_version(place)) {
            Some(version) => Ok(version),
            None => Ok(self.marks()?.version(place)),
        }
    }

    /// Its versions' identities.
    pub(crate) fn marks(&self) -> Result<Held<'_, Marks>, Fault> {
        match &self.body {
            Body::Fresh(marks, _) => Ok(Held::Here(marks)),
            Body::Sealed { group, marks, .. } => {
                let read = || group.read_marks().or_else(|fault| Ok(group.reread(fault)?.0));
                self.held(marks, marks_kept, read)
            }
        }
    }

    /// Its rows' bytes.
    pub(crate) fn rows(&self) -> Result<Held<'_, RowBytes>, Fault> {
        match &self.body {
            Body::Fresh(_, rows) => Ok(Held::Here(rows)),
            Body::Sealed { group, rows, pages, .. } => {
                let read = || group.read_rows().or_else(|fault| Ok(group.reread(fault)?.1));
                let held = self.held(rows, RowBytes::size, read)?;
                if rows.read().is_some() {
                    self.memory.uncache(forget(pages));
                }
                Ok(held)
            }
        }
    }

    /// Looks at one row's bytes, if they are at hand and no file has to be read for it.
    pub(crate) fn peek<T>(&self, place: usize, see: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let Body::Sealed { rows, pages, .. } = &self.body else {
            return self.rows().ok()?.get(place).map(see);
        };
        self.used.store(true, Ordering::Relaxed);
        let whole = rows.read().clone();
        if let Some(rows) = whole {
            return rows.get(place).map(see);
        }
        let page = pages.read().range(..=place).next_back().map(|(_, page)| Arc::clone(page));
        page?.get(place).map(see)
    }

    /// One row's bytes: of a file that isn't read whole anyway, only the page that holds it is read.
    pub(crate) fn row_at(&self, place: usize) -> Result<Vec<u8>, Fault> {
        if let Some(row) = self.peek(place, <[u8]>::to_vec) {
            return Ok(row);
        }
        if let Body::Sealed { group, pages, .. } = &self.body
            && let Ok(page) = group.read_page(place)
            && let Some(row) = page.get(place)
        {
            let row = row.to_vec();
            self.keep_page(pages, page);
            return Ok(row);
        }
        let gone = || Fault::Internal("no such row".into());
        Ok(self.rows()?.get(place).ok_or_else(gone)?.to_vec())
    }

    fn keep_page(&self, pages: &Pages, page: RowPage) {
        let bytes = page.size();
        if !self.memory.may_cache(bytes) {
            return;
        }
        // Before others can let go of it.
        self.memory.cache(bytes);
        let before = pages.write().insert(page.first(), Arc::new(page));
        self.memory.uncache(before.map_or(0, |page| page.size()));
        self.keep();
    }

    fn held<'c, T>(
        &self,
        slot: &Slot<T>,
        size: impl Fn(&T) -> usize,
        read: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<Held<'c, T>, Fault> {
        self.used.store(true, Ordering::Relaxed);
        if let Some(held) = &*slot.read() {
            return Ok(Held::Read(Arc::clone(held)));
        }
        let found = Arc::new(read()?);
        let mut slot = slot.write();
        if slot.is_none() && self.memory.may_cache(size(&found)) {
            *slot = Some(Arc::clone(&found));
            self.memory.cache(size(&found));
            drop(slot);
            self.keep();
        }
        Ok(Held::Read(found))
    }

    /// Notes that it keeps something, and makes room for it.
    fn keep(&self) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.memory.list(Weak::clone(&self.me) as Weak<dyn Cached>);
        }
        self.memory.make_room();
    }

    /// The heights at which its versions were superseded.
    pub(crate) fn heights(&self) -> Result<RwLockReadGuard<'_, Heights>, Fault> {
        let heights = self.ends.read()?;
        if !self.is_fresh() && self.ends_kept.load(Ordering::Relaxed) == 0 && self.ends.count() > 0
        {
            let bytes = self.len() * size_of::<u64>();
            if self.ends_kept.swap(bytes, Ordering::AcqRel) == 0 {
                self.memory.cache(bytes);
            }
            if !self.listed.swap(true, Ordering::AcqRel) {
                self.memory.list(Weak::clone(&self.me) as Weak<dyn Cached>);
            }
        }
        Ok(heights)
    }

    /// Ends a version at a height. Gives `false` if it is not there or was ended before.
    pub(crate) fn supersede(&self, place: usize, height: Height) -> Result<bool, Fault> {
        if place >= self.len() {
            return Ok(false);
        }
        self.ends.set(place, height)
    }

    /// Its ends.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The height at which the version was superseded, as seen at `at`: later ends are not seen.
    pub(crate) fn end(&self, place: usize, at: Height) -> Result<Option<Height>, Fault> {
        if self.ends.count() == 0 {
            return Ok(None);
        }
        Ok(self.heights()?.end(place, at))
    }

    /// Whether the version is alive at a height.
    pub(crate) fn alive(&self, place: usize, at: Height) -> Result<bool, Fault> {
        Ok(place < self.written_at(at)? && self.end(place, at)?.is_none())
    }

    /// The places of the versions alive at a height.
    pub(crate) fn alive_at(&self, at: Height) -> Result<Places, Fault> {
        let written = self.written_at(at)?;
        if self.ends.count() == 0 {
            return Ok(Places::First(written));
        }
        if self.ends.count() == self.len() && self.ends.last() <= at {
            return Ok(Places::First(0));
        }
        let heights = self.heights()?;
        let alive = (0..written).filter(|place| heights.end(*place, at).is_none());
        Ok(Places::Some(alive.filter_map(|place| u32::try_from(place).ok()).collect()))
    }

    /// The places of the versions that began or ended after one height, up to another.
    pub(crate) fn changed_between(&self, since: Height, at: Height) -> Result<Places, Fault> {
        let (before, written) = (self.written_at(since)?, self.written_at(at)?);
        let first = if self.ends.last() <= since { before } else { 0 };
        let heights = self.heights()?;
        let changed = (first..written).filter(|place| {
            *place >= before || heights.end(*place, at).is_some_and(|end| end > since)
        });
        Ok(Places::Some(changed.filter_map(|place| u32::try_from(place).ok()).collect()))
    }

    /// How many of its versions were written at or before a height.
    pub(crate) fn written_at(&self, at: Height) -> Result<usize, Fault> {
        match (self.first_version(), self.last_version()) {
            (Some(first), Some(last)) if first.height <= at && last.height > at => {
                Ok(self.marks()?.written_at(at))
            }
            (Some(first), _) if first.height <= at => Ok(self.len()),
            _ => Ok(0),
        }
    }

    /// A row, as it stands in its block.
    pub(crate) fn row(&self, place: usize) -> Result<Option<Row>, Fault> {
        if place >= self.len() {
            return Ok(None);
        }
        Ok(Some(Row { bytes: self.row_at(place)? }))
    }

    /// One column over all the chunk's versions, and how many bytes of the file were read for it. It is kept as
    /// memory allows.
    pub(crate) fn column(&self, table: &Table, column: &Column) -> Result<(ArrayRef, u64), Fault> {
        self.used.store(true, Ordering::Relaxed);
        let kind = arrow_types::data_type_of(&column.kind);
        if let Some(array) = self.columns.read().get(&column.number.0)
            && *array.data_type() == kind
        {
            return Ok((Arc::clone(array), 0));
        }
        let sealed = match &self.body {
            Body::Fresh(..) => None,
            Body::Sealed { group, .. } => group.read_column(column.number, &kind).ok().flatten(),
        };
        let (array, read) = match sealed {
            Some(found) => found,
            // Older than the column, or of another type then, or damaged: the row's bytes know.
            None => (self.decode(table, column)?, 0),
        };
        let bytes = array.get_array_memory_size();
        if self.memory.may_cache(bytes) {
            self.memory.cache(bytes);
            let before = self.columns.write().insert(column.number.0, Arc::clone(&array));
            if let Some(before) = before {
                self.memory.uncache(before.get_array_memory_size());
            }
            self.keep();
        }
        Ok((array, read))
    }

    /// One column, made from the rows' bytes.
    pub(crate) fn decode(&self, table: &Table, column: &Column) -> Result<ArrayRef, Fault> {
        self.decode_rows(table, column, &*self.rows()?)
    }

    /// One column, made from bytes that are its rows'.
    pub(crate) fn decode_rows(
        &self,
        table: &Table,
        column: &Column,
        rows: &RowBytes,
    ) -> Result<ArrayRef, Fault> {
        let mut builder = ColumnBuilder::new(&column.kind, self.len())?;
        for place in 0..self.len() {
            let bytes = rows.get(place).ok_or_else(|| Fault::Internal("no such row".into()))?;
            let reader = RowReader::new(table, bytes).map_err(undecoded)?;
            builder.push(reader.value_ref(column.number).map_err(undecoded)?)?;
        }
        builder.finish()
    }
}

impl Cached for Chunk {
    fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    fn evict(&self) {
        self.listed.store(false, Ordering::Release);
        for array in std::mem::take(&mut *self.columns.write()).into_values() {
            self.memory.uncache(array.get_array_memory_size());
        }
        if let Body::Sealed { marks, rows, pages, .. } = &self.body {
            let mut marks = marks.write();
            let large = marks.take_if(|marks| marks_kept(marks) > 0);
            let kept = forget(pages) + large.map_or(0, |marks| marks_kept(&marks));
            drop(marks);
            let kept = kept + rows.write().take().map_or(0, |rows| rows.size());
            self.ends.evict();
            self.memory.uncache(kept + self.ends_kept.swap(0, Ordering::AcqRel));
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.evict();
        if let Body::Fresh(marks, rows) = &self.body {
            self.memory.free(rows.bytes.len() + VERSION_BYTES * marks.len());
        }
    }
}

/// Bytes of marks that the account has as kept. Those of few transactions take less than a chunk does anyway: they
/// stay, and aren't counted.
fn marks_kept(marks: &Marks) -> usize {
    let bytes = marks.bytes();
    if bytes > FEW_MARKS { bytes } else { 0 }
}

/// Lets go of pages, and gives the bytes that they took.
fn forget(pages: &Pages) -> usize {
    if pages.read().is_empty() {
        return 0;
    }
    std::mem::take(&mut *pages.write()).into_values().map(|page| page.size()).sum()
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

impl Places {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::First(count) => *count,
            Self::Some(places) => places.len(),
        }
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let (first, some) = match self {
            Self::First(count) => (0..*count, [].as_slice()),
            Self::Some(places) => (0..0, places.as_slice()),
        };
        first.chain(some.iter().map(|place| *place as usize))
    }
}
