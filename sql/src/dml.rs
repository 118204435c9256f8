//! Changes of rows: from the rows that a statement selects to effects of its transaction. Locks are
//! taken before anything is changed; the ledger's rules are checked at the statement's end.

mod cascade;
mod check;
mod conflict;
mod constant;
mod copy;
mod copy_rows;
mod delete;
mod insert;
mod lock;
mod lock_rows;
mod merge;
mod others;
mod returning;
mod select;
mod truncate;
mod update;

pub(crate) use check::Changed;
pub(crate) use constant::{Constant, assignable, constant};
pub(crate) use delete::query_of as delete_query;
pub(crate) use insert::{
    is_default, target_columns, target_name as insert_target, without_defaults,
};
pub(crate) use lock::foreign_values;
pub(crate) use others::Others;
pub(crate) use select::{relation, select_from, values_at};
pub(crate) use update::{
    from_of as update_from, query_to_prepare as update_query, table_name as update_target,
};

use std::sync::Arc;

use ledger::{Catalog, Oid, Row, Table, Value, VersionId};

use crate::Error;
use crate::session::Session;

/// What is to happen to one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// A new row: values of all columns by number.
    Insert { after: Vec<Value> },
    /// Another version of a row.
    Update { old: VersionId, before: Vec<Value>, after: Vec<Value> },
    /// The end of a row.
    Delete { old: VersionId, before: Vec<Value> },
}

impl Change {
    /// The row as it is afterwards; of a deleted one as it was.
    pub(crate) fn row(&self) -> &[Value] {
        match self {
            Self::Insert { after } | Self::Update { after, .. } => after,
            Self::Delete { before, .. } => before,
        }
    }

    fn before(&self) -> Option<&[Value]> {
        match self {
            Self::Insert { .. } => None,
            Self::Update { before, .. } | Self::Delete { before, .. } => Some(before),
        }
    }

    fn after(&self) -> Option<&[Value]> {
        match self {
            Self::Insert { after } | Self::Update { after, .. } => Some(after),
            Self::Delete { .. } => None,
        }
    }

    fn old(&self) -> Option<VersionId> {
        match self {
            Self::Insert { .. } => None,
            Self::Update { old, .. } | Self::Delete { old, .. } => Some(*old),
        }
    }
}

/// What became of a statement's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// They are effects of the transaction now.
    Done,
    /// A row was changed by another transaction meanwhile: the statement has to look again.
    Stale,
}

/// The table, from a catalog that lives long enough.
///
/// # Errors
/// 42P01 when it is gone.
pub(crate) fn table_of(catalog: &Catalog, oid: Oid) -> Result<&Table, Error> {
    catalog
        .table(oid)
        .ok_or_else(|| Error::new("42P01", format!("relation with OID {} does not exist", oid.0)))
}

impl Session {
    /// Locks, applies and checks a statement's changes of one table, with all that follows from them.
    ///
    /// # Errors
    /// Lock failures, 40001 above READ COMMITTED, refusals of the rules.
    pub(crate) async fn settle(
        &mut self,
        table: Oid,
        changes: &[Change],
    ) -> Result<Settled, Error> {
        if changes.is_empty() {
            return Ok(Settled::Done);
        }
        let catalog = self.catalog()?;
        self.lock_changes(&catalog, table, changes).await?;
        if self.refresh(table, changes)? == Settled::Stale {
            return Ok(Settled::Stale);
        }
        let mut changed = Vec::with_capacity(changes.len());
        self.apply(&catalog, table, changes, &mut changed)?;
        Box::pin(self.cascade(&catalog, table, changes, &mut changed)).await?;
        self.check(&changed)?;
        Ok(Settled::Done)
    }

    /// The locks are held: looks at the newest state, where every changed row must still be alive.
    fn refresh(&mut self, table: Oid, changes: &[Change]) -> Result<Settled, Error> {
        let repeats = self.transaction.as_ref().is_some_and(|own| own.repeats.is_some());
        let seen = self.snapshot()?;
        let newest = self.engine.state.snapshot();
        if repeats || newest.height() == seen.height() {
            return Ok(Settled::Done);
        }
        for version in changes.iter().filter_map(Change::old) {
            if version.height == crate::overlay::OWN {
                continue;
            }
            if ledger::View::alive(&newest, table, version)?.is_none() {
                return self.superseded();
            }
        }
        self.see(newest)?;
        Ok(Settled::Done)
    }

    /// A row was changed by another transaction: READ COMMITTED looks again, others fail.
    pub(crate) fn superseded(&mut self) -> Result<Settled, Error> {
        if self.isolation() == crate::transaction::Isolation::ReadCommitted {
            self.see(self.engine.state.snapshot())?;
            self.begin_again()?;
            return Ok(Settled::Stale);
        }
        Err(Error::Serialization {
            message: "could not serialize access due to concurrent update".to_string(),
            detail: None,
        })
    }

    /// Whether the transaction may have so many operations more.
    fn admit_more(&mut self, operations: usize) -> Result<(), Error> {
        let limit = self.engine.config.transaction_operations;
        let bytes = self.engine.config.transaction_bytes;
        let overlay = &self.transaction_mut().overlay;
        if overlay.len() + operations > limit {
            return Err(too_large(limit));
        }
        if overlay.bytes() > bytes {
            return Err(Error::new(
                "54000",
                format!("a transaction can have at most {bytes} bytes of rows"),
            )
            .with_hint("Write in several transactions."));
        }
        Ok(())
    }

    /// Puts changes into the transaction's overlay, and what they changed into `changed`.
    fn apply(
        &mut self,
        catalog: &Arc<Catalog>,
        oid: Oid,
        changes: &[Change],
        changed: &mut Vec<Changed>,
    ) -> Result<(), Error> {
        let table = table_of(catalog, oid)?;
        if table.mode == ledger::table::Mode::AppendOnly
            && changes.iter().any(|change| change.old().is_some())
        {
            return Err(ledger::Refusal::AppendOnly { table: table.name.clone() }.into());
        }
        self.admit_more(changes.len())?;
        let overlay = &mut self.transaction_mut().overlay;
        let encode =
            |values: &[Value]| Row::encode(table, values, crate::random::salt).map(Arc::new);
        for change in changes {
            let old = change.before().map(|values| Row::encode(table, values, || [0; 16]));
            let new = change.after().map(encode);
            let row = Changed { table: oid, old: old.transpose()?, new: new.transpose()? };
            match (change, &row.new) {
                (Change::Insert { after }, Some(new)) => {
                    overlay.insert(catalog, oid, after, Arc::clone(new));
                }
                (Change::Update { old, before, after }, Some(new)) => {
                    overlay.update(catalog, oid, *old, before, after, Arc::clone(new));
                }
                (Change::Delete { old, before }, _) => overlay.delete(catalog, oid, *old, before),
                (Change::Insert { .. } | Change::Update { .. }, None) => {}
            }
            changed.push(row);
        }
        Ok(())
    }
}

/// 54000
pub(crate) fn too_large(limit: usize) -> Error {
    Error::new("54000", format!("a transaction can have at most {limit} operations"))
        .with_hint("Write in several transactions.")
}
