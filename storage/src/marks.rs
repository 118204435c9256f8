//! The identities of a run of row versions, and which of them an UPDATE wrote. What one transaction wrote in one
//! go stands as one entry, so that those of a bulk load take next to no memory. It knows nothing of rows.

use ledger::{Height, VersionId};

/// Identities in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    runs: Vec<Run>,
    count: usize,
}

/// Neighbours of one transaction whose operations follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: VersionId,
    /// The first one's place.
    start: usize,
    update: bool,
}

/// What a version costs here at most.
pub(crate) const MARK_BYTES: usize = size_of::<Run>();

impl Marks {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds one, above all that are there.
    pub(crate) fn push(&mut self, version: VersionId, update: bool) {
        let follows = self
            .runs
            .last()
            .is_some_and(|run| run.update == update && run.at(self.count) == Some(version));
        if !follows {
            self.runs.push(Run { first: version, start: self.count, update });
        }
        self.count += 1;
    }

    /// Adds others, above all that are there.
    pub(crate) fn append(&mut self, other: &Self) {
        let moved = other.runs.iter().map(|run| Run { start: run.start + self.count, ..*run });
        self.runs.extend(moved);
        self.count += other.count;
    }

    /// A version's identity.
    pub(crate) fn version(&self, place: usize) -> Option<VersionId> {
        if place < self.count { self.run_of(place)?.at(place) } else { None }
    }

    /// Whether the version was written by an UPDATE.
    pub(crate) fn is_update(&self, place: usize) -> bool {
        place < self.count && self.run_of(place).is_some_and(|run| run.update)
    }

    /// The first one's identity.
    pub(crate) fn first(&self) -> Option<VersionId> {
        self.version(0)
    }

    /// The last one's identity.
    pub(crate) fn last(&self) -> Option<VersionId> {
        self.version(self.count.checked_sub(1)?)
    }

    /// The place of a version.
    pub(crate) fn find(&self, version: VersionId) -> Option<usize> {
        let after = self.runs.partition_point(|run| run.first <= version);
        let run = self.runs.get(after.checked_sub(1)?)?;
        let further = version.operation.checked_sub(run.first.operation)?;
        let place = run.start + usize::try_from(further).ok()?;
        let end = self.runs.get(after).map_or(self.count, |next| next.start);
        (place < end && run.at(place) == Some(version)).then_some(place)
    }

    /// How many were written at or before a height.
    pub(crate) fn written_at(&self, at: Height) -> usize {
        let after = self.runs.partition_point(|run| run.first.height <= at);
        self.runs.get(after).map_or(self.count, |run| run.start)
    }

    /// Each of them, in order, and whether an UPDATE wrote it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (VersionId, bool)> + Clone {
        let ends = self.runs.iter().skip(1).map(|run| run.start).chain([self.count]);
        self.runs.iter().zip(ends).flat_map(|(run, end)| {
            (run.start..end).filter_map(|place| Some((run.at(place)?, run.update)))
        })
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.runs.capacity() * MARK_BYTES
    }

    /// Gives back what it has in reserve.
    pub(crate) fn shrink(&mut self) {
        self.runs.shrink_to_fit();
    }

    fn run_of(&self, place: usize) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.start <= place);
        self.runs.get(after.checked_sub(1)?)
    }
}

impl Run {
    /// The identity at a place, if the run goes so far.
    fn at(&self, place: usize) -> Option<VersionId> {
        let further = u32::try_from(place.checked_sub(self.start)?).ok()?;
        let operation = self.first.operation.checked_add(further)?;
        Some(VersionId { operation, ..self.first })
    }
}

#[cfg(test)]
mod tests;
