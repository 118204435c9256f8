//! All versions of one table's rows, in chain order: a version's place in that order is its row number.
//!
//! Versions are only ever added; what changes later is the height at which one was superseded. A read at
//! a height takes the chunks once and then needs no lock. It knows nothing of indexes or of the catalog.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ledger::{Height, Row, VersionId};
use parking_lot::RwLock;

use crate::{
    chunk::{CHUNK_ROWS, Chunk},
    memory::Memory,
};

/// One table's versions.
pub(crate) struct Versions {
    parts: RwLock<Parts>,
    alive: AtomicU64,
    memory: Arc<Memory>,
}

struct Parts {
    /// Complete runs, ascending.
    chunks: Vec<Arc<Chunk>>,
    /// What came after them and no reader has asked for yet.
    tail: Chunk,
    /// Deletes in chain order: the delete's own identity, and the row number that it ended.
    deletes: Vec<Delete>,
}

/// The end of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delete {
    pub(crate) version: VersionId,
    pub(crate) row: u64,
}

impl Versions {
    /// Of a new table.
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        let tail = Chunk::new(0, Arc::clone(&memory));
        let parts = Parts { chunks: Vec::new(), tail, deletes: Vec::new() };
        Self { parts: RwLock::new(parts), alive: AtomicU64::new(0), memory }
    }

    /// Adds a version and gives its row number. `version` must be above all before.
    pub(crate) fn push(&self, version: VersionId, update: bool, row: &Row) -> u64 {
        let mut parts = self.parts.write();
        parts.tail.push(version, update, row);
        let number = parts.end() - 1;
        if parts.tail.is_full() {
            parts.seal();
        }
        drop(parts);
        self.alive.fetch_add(1, Ordering::Relaxed);
        number
    }

    /// Ends a version and gives its row number; `None` if it doesn't exist or was ended before.
    pub(crate) fn supersede(&self, previous: VersionId, height: Height) -> Option<u64> {
        let parts = self.parts.read();
        let (chunk, place) = parts.find(previous)?;
        if !chunk.supersede(place, height) {
            return None;
        }
        self.alive.fetch_sub(1, Ordering::Relaxed);
        Some(chunk.first + place as u64)
    }

    /// Ends a version for good: as [`Self::supersede`], and remembers the delete itself.
    pub(crate) fn delete(&self, previous: VersionId, by: VersionId) -> Option<u64> {
        let row = self.supersede(previous, by.height)?;
        self.parts.write().deletes.push(Delete { version: by, row });
        self.memory.add(size_of::<Delete>());
        Some(row)
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
        let last = parts.end().checked_sub(1).and_then(|row| parts.at(row));
        let written = last.and_then(|(chunk, place)| chunk.version(place));
        let deleted = parts.deletes.last().map(|delete| delete.version);
        written.max(deleted).map(|version| version.height)
    }

    /// The chunks that hold versions written at or before a height. Later versions may be among them.
    pub(crate) fn chunks_at(&self, height: Height) -> Vec<Arc<Chunk>> {
        let parts = self.parts.read();
        if parts.tail_is_after(height) {
            return parts.chunks_until(height);
        }
        drop(parts);
        let mut parts = self.parts.write();
        parts.freeze();
        parts.chunks_until(height)
    }

    /// Deletes at or before a height, from the `from`th on, at most `limit`.
    pub(crate) fn deletes_at(&self, height: Height, from: usize, limit: usize) -> Vec<Delete> {
        let parts = self.parts.read();
        let rest = parts.deletes.iter().skip(from).take(limit);
        rest.take_while(|delete| delete.version.height <= height).copied().collect()
    }

    /// Shows a version to `see` by its identity.
    pub(crate) fn with_version<T>(
        &self,
        version: VersionId,
        see: impl FnOnce(&Chunk, usize) -> T,
    ) -> Option<T> {
        let parts = self.parts.read();
        parts.find(version).map(|(chunk, place)| see(chunk, place))
    }

    /// Shows a version to `see` by its row number.
    pub(crate) fn with_row<T>(&self, row: u64, see: impl FnOnce(&Chunk, usize) -> T) -> Option<T> {
        let parts = self.parts.read();
        parts.at(row).map(|(chunk, place)| see(chunk, place))
    }

    /// Forgets the arrays of all chunks.
    pub(crate) fn drop_columns(&self) {
        for chunk in &self.parts.read().chunks {
            chunk.drop_columns();
        }
    }
}

impl Parts {
    fn end(&self) -> u64 {
        self.tail.first + self.tail.len() as u64
    }

    /// Makes the tail a chunk, and begins another.
    fn seal(&mut self) {
        let next = self.tail.successor();
        self.tail.shrink();
        self.chunks.push(Arc::new(std::mem::replace(&mut self.tail, next)));
    }

    /// Makes the tail readable without a lock. Small chunks that this leaves are merged as their sizes
    /// double, so that a row is copied at most some dozen times, and few small chunks remain.
    fn freeze(&mut self) {
        if self.tail.len() == 0 {
            return;
        }
        self.seal();
        while let [.., before, last] = self.chunks.as_slice() {
            let rows = before.len() + last.len();
            if before.is_full() || rows > CHUNK_ROWS || before.len() >= 2 * last.len() {
                break;
            }
            let merged = Arc::new(before.merged(last));
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
    }

    fn tail_is_after(&self, height: Height) -> bool {
        self.tail.first_version().is_none_or(|first| first.height > height)
    }

    fn chunks_until(&self, height: Height) -> Vec<Arc<Chunk>> {
        let until = |chunk: &Arc<Chunk>| chunk.first_version().is_some_and(|v| v.height <= height);
        self.chunks.iter().take(self.chunks.partition_point(until)).cloned().collect()
    }

    fn find(&self, version: VersionId) -> Option<(&Chunk, usize)> {
        let chunk = match self.tail.first_version() {
            Some(first) if first <= version => &self.tail,
            _ => {
                let after = self.chunks.partition_point(|c| c.first_version() <= Some(version));
                self.chunks.get(after.checked_sub(1)?)?
            }
        };
        chunk.find(version).map(|place| (chunk, place))
    }

    fn at(&self, row: u64) -> Option<(&Chunk, usize)> {
        let chunk = if row >= self.tail.first {
            &self.tail
        } else {
            let after = self.chunks.partition_point(|chunk| chunk.first <= row);
            self.chunks.get(after.checked_sub(1)?)?.as_ref()
        };
        let place = usize::try_from(row.checked_sub(chunk.first)?).ok()?;
        (place < chunk.len()).then_some((chunk, place))
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]
mod tests;
