//! The staged rows of one table, in order of their versions. They come in that order, so that one more goes behind
//! the last, and what is taken out leaves its place.

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
        match self {
            Self::Own(row) => Some(row),
            Self::Of(transaction, at) => transaction.operations.get(*at)?.row(),
        }
    }
}

/// Rows by version.
#[derive(Default)]
pub(super) struct Rows {
    /// In order; nothing where one was taken out.
    places: Vec<(VersionId, Option<Held>)>,
    /// How many are there.
    count: usize,
}

impl Rows {
    pub(super) fn reserve(&mut self, more: usize) {
        self.places.reserve(more);
    }

    fn find(&self, version: VersionId) -> Result<usize, usize> {
        match self.places.last() {
            Some((last, _)) if *last >= version => {
                self.places.binary_search_by_key(&version, |(own, _)| *own)
            }
            _ => Err(self.places.len()),
        }
    }

    pub(super) fn insert(&mut self, version: VersionId, held: Held) {
        match self.find(version) {
            Err(place) => self.places.insert(place, (version, Some(held))),
            Ok(place) => {
                let taken = self.places.get_mut(place).and_then(|(_, own)| own.replace(held));
                self.count -= usize::from(taken.is_some());
            }
        }
        self.count += 1;
    }

    pub(super) fn remove(&mut self, version: VersionId) -> Option<Held> {
        let place = self.find(version).ok()?;
        let held = self.places.get_mut(place)?.1.take()?;
        self.count -= 1;
        // What was put on last goes first: nothing is left of it.
        while self.places.pop_if(|(_, held)| held.is_none()).is_some() {}
        Some(held)
    }

    pub(super) fn get(&self, version: VersionId) -> Option<&Held> {
        self.places.get(self.find(version).ok()?)?.1.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (VersionId, &Held)> {
        self.places.iter().filter_map(|(version, held)| Some((*version, held.as_ref()?)))
    }
}
