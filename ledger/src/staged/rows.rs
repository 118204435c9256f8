//! The staged rows of one table, in order of their versions. They come in that order, and those of a load are one run:
//! a million of them take no more place than one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{Row, Transaction, VersionId};

/// Where a staged row is kept.
#[derive(Clone)]
pub(super) enum Held {
    /// Here.
    Own(Row),
    /// In a staged transaction, at this operation.
    Of(Arc<Transaction>, usize),
}

impl Held {
    pub(super) fn row(&self) -> Option<&Row> {
        self.row_after(0)
    }

    /// The row of an operation behind.
    fn row_after(&self, distance: u32) -> Option<&Row> {
        match self {
            Self::Own(row) => (distance == 0).then_some(row),
            Self::Of(transaction, at) => {
                transaction.operations.get(at.checked_add(usize::try_from(distance).ok()?)?)?.row()
            }
        }
    }

    /// Where the row of an operation behind is kept.
    fn after(&self, distance: u32) -> Self {
        match self {
            Self::Own(row) => Self::Own(row.clone()),
            Self::Of(transaction, at) => {
                let distance = usize::try_from(distance).unwrap_or(usize::MAX);
                Self::Of(Arc::clone(transaction), at.saturating_add(distance))
            }
        }
    }
}

/// Rows of neighbouring operations.
struct Run {
    first: VersionId,
    held: Held,
    count: u32,
    /// Places of those that were taken out.
    gone: BTreeSet<u32>,
}

impl Run {
    /// The version's place, were it of this run.
    fn distance(&self, version: VersionId) -> Option<u32> {
        let of = |version: VersionId| (version.height, version.transaction);
        (of(version) == of(self.first))
            .then(|| version.operation.checked_sub(self.first.operation))
            .flatten()
    }

    /// The place of a version that is there, or was.
    fn place(&self, version: VersionId) -> Option<u32> {
        self.distance(version).filter(|place| *place < self.count)
    }

    /// Whether a row is the next of this run.
    fn goes_on_with(&self, version: VersionId, held: &Held) -> bool {
        let (Held::Of(own, at), Held::Of(other, next)) = (&self.held, held) else { return false };
        Arc::ptr_eq(own, other)
            && self.distance(version) == Some(self.count)
            && usize::try_from(self.count).ok().and_then(|count| at.checked_add(count))
                == Some(*next)
    }

    fn version(&self, place: u32) -> VersionId {
        VersionId { operation: self.first.operation + place, ..self.first }
    }
}

/// Rows by version.
#[derive(Default)]
pub(super) struct Rows {
    runs: Vec<Run>,
    /// How many rows are there.
    count: usize,
}

impl Rows {
    /// The run that a version would be of.
    fn run_of(&self, version: VersionId) -> Option<usize> {
        match self.runs.last() {
            Some(last) if last.first <= version => self.runs.len().checked_sub(1),
            _ => self.runs.partition_point(|run| run.first <= version).checked_sub(1),
        }
    }

    /// Puts a row in. Under a version that was taken out comes the row that was there.
    pub(super) fn insert(&mut self, version: VersionId, held: Held) {
        let at = self.run_of(version);
        let run = at.and_then(|at| self.runs.get_mut(at));
        if let Some(run) = run {
            if let Some(place) = run.place(version) {
                self.count += usize::from(run.gone.remove(&place));
                return;
            }
            if run.goes_on_with(version, &held) {
                run.count += 1;
                self.count += 1;
                return;
            }
        }
        let run = Run { first: version, held, count: 1, gone: BTreeSet::new() };
        self.runs.insert(at.map_or(0, |at| at + 1), run);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, version: VersionId) -> Option<Held> {
        let at = self.run_of(version)?;
        let run = self.runs.get_mut(at)?;
        let place = run.place(version)?;
        if !run.gone.insert(place) {
            return None;
        }
        self.count -= 1;
        let held = run.held.after(place);
        // What was put on last goes first: nothing is left of it.
        while run.count.checked_sub(1).is_some_and(|last| run.gone.remove(&last)) {
            run.count -= 1;
        }
        if run.count == 0 {
            self.runs.remove(at);
        }
        Some(held)
    }

    pub(super) fn get(&self, version: VersionId) -> Option<&Row> {
        let run = self.runs.get(self.run_of(version)?)?;
        let place = run.place(version).filter(|place| !run.gone.contains(place))?;
        run.held.row_after(place)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (VersionId, &Row)> {
        self.runs.iter().flat_map(|run| {
            let there = (0..run.count).filter(|place| !run.gone.contains(place));
            there.filter_map(|place| Some((run.version(place), run.held.row_after(place)?)))
        })
    }
}
