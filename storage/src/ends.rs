//! The heights at which the versions of one chunk were superseded: the one thing about a version that
//! changes. Before a chunk is sealed and after it, it is the same object, so that nobody who ends a version
//! meanwhile is lost.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use ledger::Height;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{Fault, Index, derived};

/// Not superseded.
const ALIVE: u64 = u64::MAX;

/// The ends of one chunk's versions.
#[derive(Debug)]
pub(crate) struct Ends {
    heights: RwLock<Heights>,
    /// How many are set, and the greatest height among them.
    count: AtomicUsize,
    last: AtomicU64,
    /// Whether the derived store lacks some.
    unsaved: AtomicBool,
    /// Whether they stay here, because the derived store has forgotten them.
    retired: AtomicBool,
    source: OnceLock<Source>,
}

/// Where in the derived store they are.
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Index>,
    pub(crate) key: Vec<u8>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Source {
    fn load(&self) -> Result<Stored, Fault> {
        let found = self.store.get(&self.key)?;
        found.map_or(Ok(Stored::new()), |bytes| {
            derived::decode("heights of superseded rows", &bytes)
        })
    }
}

/// Ends as they are stored: places and heights.
pub(crate) type Stored = Vec<(u32, u64)>;

/// The heights by place.
#[derive(Debug)]
pub(crate) struct Heights {
    /// What lies past its end is alive.
    at: Vec<u64>,
    /// Whether they are here, or still in the derived store.
    here: bool,
}

impl Heights {
    /// The height at which a version was superseded, as seen at `at`: later ends are not seen.
    pub(crate) fn end(&self, place: usize, at: Height) -> Option<Height> {
        let end = self.at.get(place).copied().unwrap_or(ALIVE);
        (end <= at.0 && end != ALIVE).then_some(Height(end))
    }
}

impl Ends {
    /// Of versions that are all alive.
    pub(crate) fn none() -> Self {
        Self {
            heights: RwLock::new(Heights { at: Vec::new(), here: true }),
            count: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            unsaved: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            source: OnceLock::new(),
        }
    }

    /// Of versions of which so many were superseded, the last at a height; they are loaded when needed.
    pub(crate) fn stored(count: usize, last: Height, source: Source) -> Self {
        let ends = Self::none();
        ends.is_stored_at(source);
        ends.heights.write().here = count == 0;
        ends.count.store(count, Ordering::Release);
        ends.last.store(last.0, Ordering::Release);
        ends
    }

    fn is_stored_at(&self, source: Source) {
        self.source.get_or_init(|| source);
    }

    /// The derived store forgets them: whoever still reads them reads them here.
    pub(crate) fn retire(&self) -> Result<(), Fault> {
        self.retired.store(true, Ordering::Release);
        self.write().map(drop)
    }

    /// How many versions were superseded, at whatever height.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The greatest height at which one was.
    pub(crate) fn last(&self) -> Height {
        Height(self.last.load(Ordering::Acquire))
    }

    /// Whether the derived store lacks some.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    /// The heights, loaded if they aren't here.
    pub(crate) fn read(&self) -> Result<RwLockReadGuard<'_, Heights>, Fault> {
        let heights = self.heights.read();
        if heights.here {
            return Ok(heights);
        }
        drop(heights);
        Ok(RwLockWriteGuard::downgrade(self.write()?))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Heights>, Fault> {
        let mut heights = self.heights.write();
        if !heights.here {
            for (place, height) in self.source.get().map_or(Ok(Stored::new()), Source::load)? {
                heights.set(place as usize, height);
            }
            heights.here = true;
        }
        Ok(heights)
    }

    /// Ends a version at a height. Gives `false` if it was ended before.
    pub(crate) fn set(&self, place: usize, height: Height) -> Result<bool, Fault> {
        let mut heights = self.write()?;
        if heights.at.get(place).is_some_and(|end| *end != ALIVE) {
            return Ok(false);
        }
        // Whoever sees the count sees the height, and not the other way round.
        heights.set(place, height.0);
        self.unsaved.store(true, Ordering::Release);
        self.last.fetch_max(height.0, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// The ends up to a height, as they are stored.
    pub(crate) fn until(&self, at: Height) -> Result<Stored, Fault> {
        let heights = self.read()?;
        let places = (0_u32..).zip(&heights.at);
        let set = places.filter(|(_, end)| **end != ALIVE && **end <= at.0);
        Ok(set.map(|(place, end)| (place, *end)).collect())
    }

    /// So many of them are stored there.
    pub(crate) fn are_stored(&self, count: usize, source: Source) {
        self.is_stored_at(source);
        let heights = self.heights.write();
        self.unsaved.store(self.count() > count, Ordering::Release);
        drop(heights);
    }

    /// The ends of neighbours, which are all here, as one: each with how many versions it is of. Nobody may
    /// end a version meanwhile.
    pub(crate) fn joined<'e>(parts: impl Iterator<Item = (&'e Self, usize)>) -> Self {
        let ends = Self::none();
        let mut start = 0;
        for (part, length) in parts {
            let heights = part.heights.read();
            let mut all = ends.heights.write();
            for (place, end) in heights.at.iter().enumerate().filter(|(_, end)| **end != ALIVE) {
                all.set(start + place, *end);
            }
            start += length;
            ends.count.fetch_add(part.count(), Ordering::AcqRel);
            ends.last.fetch_max(part.last().0, Ordering::AcqRel);
        }
        // Nowhere are they stored under the new chunk's name.
        ends.unsaved.store(ends.count() > 0, Ordering::Release);
        ends
    }

    /// Lets go of heights that are all stored.
    pub(crate) fn evict(&self) {
        let mut heights = self.heights.write();
        if !self.is_unsaved() && !self.retired.load(Ordering::Acquire) && self.count() > 0 {
            *heights = Heights { at: Vec::new(), here: false };
        }
    }
}

impl Heights {
    fn set(&mut self, place: usize, height: u64) {
        if self.at.len() <= place {
            self.at.resize(place + 1, ALIVE);
        }
        if let Some(end) = self.at.get_mut(place) {
            *end = height;
        }
    }
}
