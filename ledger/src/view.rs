//! What the rules see of the state: one trait, because storage, the sequencer's staged state and a
//! session's own writes each are one.

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
}
