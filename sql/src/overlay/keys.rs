//! Own rows by their keys in the table's indexes. Keys that a load brings in their order stand in runs, one behind
//! the other; those that it brings in no order are sorted into piles; all others in a tree. A copy shares structure.

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
    /// Each at least twice as long as the next: many keys that come piece by piece are merged a few times each.
    piles: OrdMap<Oid, Vector<Arc<Pile>>>,
}

/// Keys of one index, each greater than the one before.
type Run = Vec<(KeyBytes, u32)>;

/// Keys of one index in order, some maybe more than once.
type Pile = Vec<(KeyBytes, u32)>;

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
        if keys.len() < RUN {
            keys.into_iter().for_each(|(key, number)| self.insert(index, key, number));
        } else if follows && ascends() {
            self.runs.entry(index).or_default().push_back(Arc::new(keys));
        } else {
            self.pile(index, keys);
        }
    }

    fn pile(&mut self, index: Oid, mut keys: Pile) {
        keys.sort_unstable();
        let piles = self.piles.entry(index).or_default();
        while piles.last().is_some_and(|before| before.len() < 2 * keys.len())
            && let Some(before) = piles.pop_back()
        {
            keys.extend_from_slice(&before);
            // Two that are sorted: this merges them.
            keys.sort();
        }
        piles.push_back(Arc::new(keys));
    }

    /// The rows that have, or had, a key in an index.
    pub(super) fn numbers<'a>(
        &'a self,
        index: Oid,
        key: &'a [u8],
    ) -> impl Iterator<Item = u32> + 'a {
        let in_run = self.runs.get(&index).and_then(|runs| {
            let last = |run: &Arc<Run>| run.last().map(|(own, _)| own.as_slice().cmp(key));
            let found = runs.binary_search_by(|run| last(run).unwrap_or(Ordering::Less));
            let run = runs.get(found.unwrap_or_else(|at| at))?;
            let place = run.binary_search_by(|(own, _)| own.as_slice().cmp(key)).ok()?;
            run.get(place).map(|(_, number)| *number)
        });
        let piles = self.piles.get(&index).into_iter().flatten();
        let in_piles = piles.flat_map(move |pile| {
            let start = pile.partition_point(|(own, _)| own.as_slice() < key);
            let rest = pile.get(start..).unwrap_or_default().iter();
            rest.take_while(move |(own, _)| own.as_slice() == key).map(|(_, number)| *number)
        });
        let key = KeyBytes::from(key);
        let (first, last) = ((index, key.clone(), 0), (index, key, u32::MAX));
        let in_tree = self.tree.range(first..=last).map(|(_, _, number)| *number);
        in_run.into_iter().chain(in_piles).chain(in_tree)
    }

    /// Whether it is known that no two rows have the same key in an index.
    pub(super) fn are_distinct(&self, index: Oid) -> bool {
        !self.piles.contains_key(&index) && self.in_tree(index).next().is_none()
    }

    /// The keys of an index that came by few, in order.
    pub(super) fn in_tree(&self, index: Oid) -> impl Iterator<Item = (&[u8], u32)> {
        let all = self.tree.range((index, KeyBytes::default(), 0)..);
        let own = all.take_while(move |(of, _, _)| *of == index);
        own.map(|(_, key, number)| (key.as_slice(), *number))
    }

    /// Forgets an index.
    pub(super) fn forget(&mut self, index: Oid) {
        self.tree = self.tree.iter().filter(|(of, _, _)| *of != index).cloned().collect();
        self.runs.remove(&index);
        self.piles.remove(&index);
    }
}
