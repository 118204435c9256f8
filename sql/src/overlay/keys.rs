//! Own rows by their keys in the table's indexes. Keys that a load brings in their order stand in runs, one behind
//! the other; all others in a tree. A copy shares structure.

use std::cmp::Ordering;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use ledger::Oid;

use super::key_bytes::KeyBytes;

#[cfg(test)]
mod tests;

/// Keys with the numbers of the rows that have them. One that is in a run stays there when its row goes: whoever
/// finds a number looks whether there is such a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    tree: OrdSet<(Oid, KeyBytes, u32)>,
    runs: OrdMap<Oid, Vector<Arc<Run>>>,
}

/// Keys of one index, each greater than the one before.
type Run = Vec<(KeyBytes, u32)>;

/// Fewer keys at once go into the tree.
const RUN: usize = if cfg!(test) { 2 } else { 256 };

impl Keys {
    pub(super) fn insert(&mut self, index: Oid, key: KeyBytes, number: u32) {
        self.tree.insert((index, key, number));
    }

    pub(super) fn remove(&mut self, index: Oid, key: KeyBytes, number: u32) {
        self.tree.remove(&(index, key, number));
    }

    /// Adds the keys of many rows, in the order of the rows.
    pub(super) fn extend(&mut self, index: Oid, keys: Run) {
        let last = self.runs.get(&index).and_then(Vector::last).and_then(|run| run.last());
        let follows =
            keys.first().is_some_and(|(first, _)| last.is_none_or(|(key, _)| key < first));
        let ascends = || keys.array_windows().all(|[(one, _), (other, _)]| one < other);
        if keys.len() >= RUN && follows && ascends() {
            self.runs.entry(index).or_default().push_back(Arc::new(keys));
            return;
        }
        for (key, number) in keys {
            self.insert(index, key, number);
        }
    }

    /// The rows that have, or had, a key in an index.
    pub(super) fn numbers(&self, index: Oid, key: &[u8]) -> impl Iterator<Item = u32> {
        let in_run = self.runs.get(&index).and_then(|runs| {
            let last = |run: &Arc<Run>| run.last().map(|(own, _)| own.as_slice().cmp(key));
            let found = runs.binary_search_by(|run| last(run).unwrap_or(Ordering::Less));
            let run = runs.get(found.unwrap_or_else(|at| at))?;
            let place = run.binary_search_by(|(own, _)| own.as_slice().cmp(key)).ok()?;
            run.get(place).map(|(_, number)| *number)
        });
        let key = KeyBytes::from(key);
        let (first, last) = ((index, key.clone(), 0), (index, key, u32::MAX));
        in_run.into_iter().chain(self.tree.range(first..=last).map(|(_, _, number)| *number))
    }

    /// Whether it is known that no two rows have the same key in an index.
    pub(super) fn are_distinct(&self, index: Oid) -> bool {
        self.in_tree(index).next().is_none()
    }

    /// The keys of an index that are in no run, in order.
    pub(super) fn in_tree(&self, index: Oid) -> impl Iterator<Item = (&[u8], u32)> {
        let all = self.tree.range((index, KeyBytes::default(), 0)..);
        let own = all.take_while(move |(of, _, _)| *of == index);
        own.map(|(_, key, number)| (key.as_slice(), *number))
    }

    /// Forgets an index.
    pub(super) fn forget(&mut self, index: Oid) {
        self.tree = self.tree.iter().filter(|(of, _, _)| *of != index).cloned().collect();
        self.runs.remove(&index);
    }
}
