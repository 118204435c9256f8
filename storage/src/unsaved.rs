//! Changes of index entries that are not on disk yet, in memory and in order. A checkpoint has those of a moment held,
//! and writes them while others come in; blocks after the last checkpoint are applied again, so nothing here needs a
//! journal. It knows no engine and no disk.

use std::{
    collections::{BTreeMap, btree_map::Range},
    iter::Peekable,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::index::{Checkpoint, is_empty_range};

#[cfg(test)]
mod tests;

/// Changes made under one lock: readers never wait for a whole block.
const CHANGES_PER_LOCK: usize = 1024;

/// Changes from which on they are joined with those there are in one walk over both, if they are not much fewer.
const MANY: usize = if cfg!(test) { 4 } else { 4096 };
const MUCH_FEWER: usize = 4;

/// What a change costs beside its bytes: its place in the tree, the allocation's rounding.
const CHANGE_BYTES: u64 = 48;

type Tree = BTreeMap<Vec<u8>, bool>;

/// All of them, in layers: those held, oldest first, and at the end the one that takes changes.
pub(crate) struct Unsaved {
    layers: RwLock<Vec<Arc<Layer>>>,
    bytes: AtomicU64,
}

/// The changes between two moments: whether an entry is there now, or was taken away.
#[derive(Default)]
pub(crate) struct Layer {
    changes: RwLock<Tree>,
    checkpoint: Mutex<Option<Checkpoint>>,
    bytes: AtomicU64,
}

impl Default for Unsaved {
    fn default() -> Self {
        Self { layers: RwLock::new(vec![Arc::default()]), bytes: AtomicU64::new(0) }
    }
}

impl Layer {
    /// Its changes, by entry.
    pub(crate) fn changes(&self) -> RwLockReadGuard<'_, Tree> {
        self.changes.read()
    }

    /// How far the index is complete with this layer, if that was said since it began.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        *self.checkpoint.lock()
    }

    fn add(&self, changes: Vec<(Vec<u8>, bool)>) -> u64 {
        let cost = |entry: &Vec<u8>| entry.len() as u64 + CHANGE_BYTES;
        if changes.len() >= MANY && changes.len() >= self.changes.read().len() / MUCH_FEWER {
            let bytes = changes.iter().map(|(entry, _)| cost(entry)).sum();
            // The last change of an entry counts.
            let mut more = Tree::from_iter(changes);
            self.changes.write().append(&mut more);
            return bytes;
        }
        let mut bytes = 0;
        let mut rest = changes.into_iter().peekable();
        while rest.peek().is_some() {
            let mut tree = self.changes.write();
            for (entry, is_there) in rest.by_ref().take(CHANGES_PER_LOCK) {
                let cost = cost(&entry);
                if tree.insert(entry, is_there).is_none() {
                    bytes += cost;
                }
            }
        }
        bytes
    }
}

impl Unsaved {
    /// Adds changes in their order, and then says how far the index is complete with them.
    pub(crate) fn add(&self, changes: Vec<(Vec<u8>, bool)>, checkpoint: Option<Checkpoint>) {
        // Held to the end, so that what belongs together isn't held apart.
        let layers = self.layers.read();
        let Some(layer) = layers.last() else { return };
        let bytes = layer.add(changes);
        layer.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if checkpoint.is_some() {
            *layer.checkpoint.lock() = checkpoint;
        }
    }

    /// Holds all that there is now, to be saved; what comes later is kept apart.
    pub(crate) fn hold(&self) {
        let mut layers = self.layers.write();
        let is_empty =
            |layer: &Arc<Layer>| layer.changes().is_empty() && layer.checkpoint().is_none();
        if !layers.last().is_some_and(is_empty) {
            layers.push(Arc::default());
        }
    }

    /// The oldest layer that is held.
    pub(crate) fn oldest_held(&self) -> Option<Arc<Layer>> {
        let layers = self.layers.read();
        layers.first().filter(|_| layers.len() > 1).cloned()
    }

    /// That layer was saved, so that its changes are found elsewhere.
    pub(crate) fn saved(&self, layer: &Arc<Layer>) {
        self.layers.write().retain(|it| !Arc::ptr_eq(it, layer));
        self.bytes.fetch_sub(layer.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.layers.write() = vec![Arc::default()];
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// How far the index is complete with these changes, if that was said.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.layers.read().iter().rev().find_map(|layer| layer.checkpoint())
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The changes between two bounds in order, the newest of each entry; from the upper bound downwards if
    /// `reverse`. It ends where `limit` entries are there.
    pub(crate) fn between(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Vec<(Vec<u8>, bool)> {
        let mut found = Vec::new();
        if is_empty_range(&bounds) || limit == 0 {
            return found;
        }
        let layers = self.layers.read();
        let has_any =
            |layer: &Arc<Layer>| layer.changes().range::<[u8], _>(bounds).next().is_some();
        if !layers.iter().any(has_any) {
            return found;
        }
        let layers = layers.clone();
        let trees: Vec<_> = layers.iter().map(|layer| layer.changes()).collect();
        let walk = |tree| Walk { range: Tree::range::<[u8], _>(tree, bounds), reverse }.peekable();
        let mut walks: Vec<Peekable<Walk<'_>>> = trees.iter().map(|tree| walk(tree)).collect();
        let mut there = 0;
        while there < limit {
            let next = walks.iter_mut().filter_map(|walk| walk.peek().map(|(entry, _)| *entry));
            let Some(entry) = (if reverse { next.max() } else { next.min() }) else { break };
            let mut is_there = false;
            // The newest layer stands last.
            for walk in &mut walks {
                if let Some((_, of_layer)) = walk.next_if(|(of_layer, _)| *of_layer == entry) {
                    is_there = of_layer;
                }
            }
            there += usize::from(is_there);
            found.push((entry.clone(), is_there));
        }
        found
    }
}

/// A walk over one layer in either direction.
struct Walk<'t> {
    range: Range<'t, Vec<u8>, bool>,
    reverse: bool,
}

impl<'t> Iterator for Walk<'t> {
    type Item = (&'t Vec<u8>, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let next = if self.reverse { self.range.next_back() } else { self.range.next() };
        next.map(|(entry, is_there)| (entry, *is_there))
    }
}
