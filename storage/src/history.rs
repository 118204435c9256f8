//! The catalog at every height. A copy shares structure with the one before, so each costs what changed.

use std::sync::Arc;

use ledger::{Catalog, Height};

/// All catalogs by the height from which each holds.
#[derive(Default)]
pub(crate) struct CatalogHistory {
    catalogs: Vec<(Height, Arc<Catalog>)>,
}

impl CatalogHistory {
    /// The newest catalog.
    pub(crate) fn newest(&self) -> Arc<Catalog> {
        self.catalogs.last().map(|(_, catalog)| Arc::clone(catalog)).unwrap_or_default()
    }

    /// The catalog at a height.
    pub(crate) fn at(&self, height: Height) -> Arc<Catalog> {
        let after = self.catalogs.partition_point(|(from, _)| *from <= height);
        let found = after.checked_sub(1).and_then(|place| self.catalogs.get(place));
        found.map(|(_, catalog)| Arc::clone(catalog)).unwrap_or_default()
    }

    /// Every catalog that there was, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Catalog>> {
        self.catalogs.iter().map(|(_, catalog)| Arc::clone(catalog)).collect()
    }

    /// The catalog holds from a height on. When only leases of sequences changed it takes the place of
    /// the one before: how far a sequence was leased is no part of the past that anyone can ask for.
    pub(crate) fn push(&mut self, height: Height, catalog: Catalog, only_leases: bool) {
        let catalog = Arc::new(catalog);
        match self.catalogs.last_mut() {
            Some((_, newest)) if only_leases => *newest = catalog,
            _ => self.catalogs.push((height, catalog)),
        }
    }
}
