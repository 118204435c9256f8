//! What the rules see of the state: one trait, because storage, the sequencer's staged state and a
//! session's own writes each are one.

use std::ops::ControlFlow;

use crate::{Catalog, Oid, Row, VersionId};

/// A state that rules can be checked against: the rows alive and the catalog.
pub trait View {
    /// What goes wrong on this node alone (disk, damage): never an answer to a client's mistake.
    type Fault;

    /// The catalog.
    fn catalog(&self) -> &Catalog;

    /// The row of a version, if that version is alive.
    ///
    /// # Errors
    /// This node's fault.
    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Self::Fault>;

    /// Up to `limit` versions alive with these key bytes (see `ledger::key`) in this index, in order of
    /// their version ids.
    ///
    /// # Errors
    /// This node's fault.
    fn find(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, Self::Fault>;

    /// How many rows alive have each of these keys in an index, counted up to two. The keys are sorted, and each is
    /// there once: for many rows at once, of which an index can be read in its own order.
    ///
    /// # Errors
    /// This node's fault.
    fn holders(&self, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Self::Fault> {
        keys.iter().map(|key| Ok(up_to_two(self.find(index, key, 2)?.len()))).collect()
    }

    /// Whether it is known, without a look at any key, that no two rows alive have the same key in an index.
    /// `false` says nothing.
    fn is_distinct(&self, index: Oid) -> bool {
        let table = self.catalog().index(index).map(|index| index.table);
        table.is_some_and(|table| self.is_empty(table))
    }

    /// Whether it is known that a table has no row alive. `false` says nothing.
    fn is_empty(&self, table: Oid) -> bool {
        let _ = table;
        false
    }

    /// Shows every row alive of a table to `each`, in order of version ids, until it breaks off. For
    /// constraints and indexes that are added to a table with rows.
    ///
    /// # Errors
    /// This node's fault.
    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Self::Fault>;
}

impl<V: View> View for &V {
    type Fault = V::Fault;

    fn catalog(&self) -> &Catalog {
        (*self).catalog()
    }

    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Self::Fault> {
        (*self).alive(table, version)
    }

    fn find(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, Self::Fault> {
        (*self).find(index, key, limit)
    }

    fn holders(&self, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Self::Fault> {
        (*self).holders(index, keys)
    }

    fn is_distinct(&self, index: Oid) -> bool {
        (*self).is_distinct(index)
    }

    fn is_empty(&self, table: Oid) -> bool {
        (*self).is_empty(table)
    }

    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Self::Fault> {
        (*self).scan(table, each)
    }
}

/// A number of rows as [`View::holders`] counts it.
pub fn up_to_two(rows: usize) -> u8 {
    u8::try_from(rows).unwrap_or(u8::MAX).min(2)
}
