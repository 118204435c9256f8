//! Which of the transactions that wait may go into the next block: each is checked against the newest state
//! with the effects of those before it in the block.

use std::collections::BTreeSet;

use ledger::{Catalog, Oid, Refusal, Transaction, VersionId, View};
use storage::{Snapshot, SubmitError};

/// A block in the making.
pub(crate) struct Validator {
    snapshot: Snapshot,
    catalog: Catalog,
    /// Versions that the block ends.
    ended: BTreeSet<(Oid, VersionId)>,
}

impl Validator {
    /// Begins a block on a state.
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let catalog = Catalog::clone(snapshot.catalog());
        Self { snapshot, catalog, ended: BTreeSet::new() }
    }

    /// Takes a transaction into the block, or says why not; then the block is as it was.
    pub(crate) fn admit(&mut self, transaction: &Transaction) -> Result<(), SubmitError> {
        let mut catalog = self.catalog.clone();
        let mut ended = BTreeSet::new();
        for operation in &transaction.operations {
            if let (Some(table), Some(version)) = (operation.table(), operation.previous()) {
                let gone = self.ended.contains(&(table, version))
                    || !ended.insert((table, version))
                    || self.snapshot.alive(table, version)?.is_none();
                if gone {
                    return Err(Refusal::Superseded { table, version }.into());
                }
            }
            catalog.apply(operation)?;
        }
        self.catalog = catalog;
        self.ended.append(&mut ended);
        Ok(())
    }
}
