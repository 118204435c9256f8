//! Reading the key index at a height: entries page by page, each checked against the versions it names.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, atomic::Ordering},
};

use ledger::{Height, Oid, VersionId};

use crate::{
    Fault, Snapshot,
    chunk::Chunk,
    index::{self, Space},
    versions::Versions,
};

/// Entries of a page.
const PAGE: usize = 512;

/// A stretch of an engine's order.
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The versions alive at a height, in an index's order.
pub(crate) struct Entries {
    snapshot: Snapshot,
    store: Option<Arc<Versions>>,
    rest: Option<Bounds>,
    reverse: bool,
    found: VecDeque<VersionId>,
    fault: Option<Fault>,
}

impl Entries {
    /// Over a range of keys; see [`Snapshot::range`].
    pub(crate) fn new(
        snapshot: &Snapshot,
        index: Oid,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        reverse: bool,
    ) -> Self {
        let rest = Some(index::entry_bounds(Space::Present, index, &from, &to));
        let (store, fault) = match snapshot.index(index) {
            Ok(definition) => (snapshot.core().versions(definition.table), None),
            Err(fault) => (None, Some(fault)),
        };
        let fault = fault.or_else(|| snapshot.check_cut().err());
        let snapshot = snapshot.clone();
        Self { snapshot, store, rest, reverse, found: VecDeque::new(), fault }
    }

    /// Over one key: the newest versions first, or the oldest.
    pub(crate) fn exact(snapshot: &Snapshot, index: Oid, key: &[u8], oldest_first: bool) -> Self {
        let bound = Bound::Included(key.to_vec());
        Self::new(snapshot, index, bound.clone(), bound, oldest_first)
    }

    /// Reads one more page into `found`.
    fn read(&mut self, bounds: &Bounds) -> Result<(), Fault> {
        let engine = self.snapshot.core().index();
        let page = engine.page(borrowed(bounds), self.reverse, PAGE)?;
        let full = page.len() >= PAGE;
        let (span, rest) = match page.last() {
            Some(last) if full => split(bounds, last, self.reverse),
            _ => (bounds.clone(), None),
        };
        self.rest = rest;
        // What was settled while the page was read left the present after it had come into the past.
        let settled = Height(self.snapshot.core().settled.load(Ordering::Acquire));
        if self.snapshot.height() >= settled {
            for entry in &page {
                self.found.extend(self.alive(entry)?);
            }
            return Ok(());
        }
        let mut found: BTreeMap<Vec<u8>, VersionId> = BTreeMap::new();
        for entry in &page {
            if let Some(version) = self.alive(entry)? {
                found.insert(index::moved(entry, Space::Past), version);
            }
        }
        self.read_past(span, &mut found)?;
        let in_order = found.into_values();
        if self.reverse {
            self.found.extend(in_order.rev());
        } else {
            self.found.extend(in_order);
        }
        Ok(())
    }

    /// Adds what stands in the past between the same keys.
    fn read_past(
        &self,
        span: Bounds,
        found: &mut BTreeMap<Vec<u8>, VersionId>,
    ) -> Result<(), Fault> {
        let past = |bound: Bound<Vec<u8>>| bound.map(|bytes| index::moved(&bytes, Space::Past));
        let mut rest = Some((past(span.0), past(span.1)));
        while let Some(bounds) = rest.take() {
            let page = self.snapshot.core().index().page(borrowed(&bounds), false, PAGE)?;
            if let Some(last) = page.last().filter(|_| page.len() >= PAGE) {
                rest = split(&bounds, last, false).1;
            }
            for entry in page {
                if let Some(version) = self.alive(&entry)? {
                    found.insert(entry, version);
                }
            }
        }
        Ok(())
    }

    fn alive(&self, entry: &[u8]) -> Result<Option<VersionId>, Fault> {
        self.store.as_ref().map_or(Ok(None), |store| alive(&self.snapshot, store, entry))
    }
}

/// The version that an entry names, if it is alive at the snapshot.
pub(crate) fn alive(
    snapshot: &Snapshot,
    store: &Versions,
    entry: &[u8],
) -> Result<Option<VersionId>, Fault> {
    let row = index::row_of(entry)
        .ok_or_else(|| Fault::Derived { what: "key index", detail: "a malformed entry".into() })?;
    let height = snapshot.height();
    let see = |chunk: &Chunk, place| {
        if chunk.alive(place, height)? { chunk.version(place) } else { Ok(None) }
    };
    let version = store.with_row(row, see)?.flatten();
    snapshot.check_versions(version.into_iter())?;
    Ok(version)
}

impl Iterator for Entries {
    type Item = Result<VersionId, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            self.rest = None;
            return Some(Err(fault));
        }
        loop {
            if let Some(version) = self.found.pop_front() {
                return Some(Ok(version));
            }
            let bounds = self.rest.take()?;
            if let Err(fault) = self.read(&bounds) {
                self.rest = None;
                self.found.clear();
                return Some(Err(fault));
            }
        }
    }
}

fn borrowed(bounds: &Bounds) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}

/// What a page that ended with `last` covered, and what is left.
fn split(bounds: &Bounds, last: &[u8], reverse: bool) -> (Bounds, Option<Bounds>) {
    let (from, to) = bounds.clone();
    if reverse {
        let covered = (Bound::Included(last.to_vec()), to);
        (covered, Some((from, Bound::Excluded(last.to_vec()))))
    } else {
        let covered = (from, Bound::Included(last.to_vec()));
        (covered, Some((Bound::Excluded(last.to_vec()), to)))
    }
}
