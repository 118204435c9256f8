//! The keys of staged rows in one index: key bytes followed by the version, in order. Short ones stand in
//! place, and many that come at once are sorted once: a million of them cost no million searches.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::VersionId;

#[cfg(test)]
mod tests;

/// Bytes of a version's identity.
const VERSION: usize = 16;

/// Bytes that an entry holds itself: a key of one uuid or of a few integers, and the version.
const SHORT: usize = 38;

/// Keys with the versions that have them.
#[derive(Default)]
pub(super) struct Keys {
    /// What came last, in no order: see [`Keys::settle`].
    recent: Vec<Entry>,
    few: BTreeSet<Entry>,
    /// Sorted runs, each at least twice as long as the next.
    runs: Vec<Vec<Entry>>,
    /// Entries of the runs that were taken out.
    gone: BTreeSet<Entry>,
    /// Whether no two entries of `runs` have the same key, when there is nothing else.
    distinct: bool,
}

/// As many keys at once are sorted into a run; fewer go into the tree one by one.
const RUN: usize = 256;

/// Key bytes and the version, compared as bytes.
enum Entry {
    /// The length and the bytes.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Entry {
    fn new(key: &[u8], version: VersionId) -> Self {
        let version = version.to_bytes();
        let length = key.len() + VERSION;
        let mut short = [0; SHORT];
        if let (Some(place), Ok(used)) = (short.get_mut(..length), u8::try_from(length)) {
            let (front, back) = place.split_at_mut(key.len());
            front.copy_from_slice(key);
            back.copy_from_slice(&version);
            return Self::Short(used, short);
        }
        Self::Long([key, &version].concat().into_boxed_slice())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Entry {
    fn key(&self) -> &[u8] {
        let bytes = self.bytes();
        bytes.get(..bytes.len().saturating_sub(VERSION)).unwrap_or(bytes)
    }

    /// The version, if this is the key.
    fn version_of(&self, key: &[u8]) -> Option<VersionId> {
        let rest = self.bytes().strip_prefix(key)?;
        <[u8; VERSION]>::try_from(rest).ok().map(VersionId::from_bytes)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl Keys {
    /// Makes room for so many keys that are about to come.
    pub(super) fn reserve(&mut self, more: usize) {
        self.recent.reserve(more);
    }

    /// Adds a key. Until [`Self::settle`], each search walks all that was added.
    pub(super) fn insert(&mut self, key: &[u8], version: VersionId) {
        let entry = Entry::new(key, version);
        if self.gone.is_empty() || !self.gone.remove(&entry) {
            self.recent.push(entry);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], version: VersionId) {
        let entry = Entry::new(key, version);
        if self.few.remove(&entry) {
            return;
        }
        if let Some(place) = self.recent.iter().rposition(|own| *own == entry) {
            self.recent.swap_remove(place);
        } else if self.runs.iter().any(|run| run.binary_search(&entry).is_ok()) {
            self.gone.insert(entry);
        }
    }

    /// Puts what was added into order.
    pub(super) fn settle(&mut self) {
        if self.recent.len() < RUN {
            self.few.extend(self.recent.drain(..));
            return;
        }
        let mut run = std::mem::take(&mut self.recent);
        run.sort_unstable();
        while let Some(before) = self.runs.pop_if(|before| before.len() < 2 * run.len()) {
            run.extend(before);
            // Two runs that are sorted: this merges them.
            run.sort();
        }
        self.distinct = self.runs.is_empty() && has_no_twins(&run);
        self.runs.push(run);
    }

    /// Whether it is known that no two entries have the same key.
    pub(super) fn are_distinct(&self) -> bool {
        let is_one_run = self.runs.len() == 1 && self.few.is_empty() && self.distinct;
        self.recent.is_empty() && (is_one_run || self.runs.is_empty() && self.few.len() < 2)
    }

    /// The versions with exactly this key, in order. No key is another's beginning, so that what begins
    /// with the key has it.
    pub(super) fn find<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = VersionId> + 'a {
        let mut found: Vec<VersionId> = self
            .few
            .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
            .map_while(|entry| entry.version_of(key))
            .collect();
        for run in &self.runs {
            let start = run.partition_point(|entry| entry.bytes() < key);
            let rest = run.get(start..).unwrap_or_default().iter();
            let of_key = rest.map_while(|entry| Some((entry, entry.version_of(key)?)));
            let left = of_key.filter(|(entry, _)| !self.gone.contains(*entry));
            found.extend(left.map(|(_, version)| version));
        }
        found.extend(self.recent.iter().filter_map(|entry| entry.version_of(key)));
        found.sort_unstable();
        found.into_iter()
    }
}

/// Whether no two neighbours have the same key.
fn has_no_twins(run: &[Entry]) -> bool {
    run.array_windows().all(|[one, other]| one.key() != other.key())
}
