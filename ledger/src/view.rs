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

    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Self::Fault> {
        (*self).scan(table, each)
    }
}
