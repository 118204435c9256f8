//! The ledger's rules at a statement's end, on what the transaction sees then.

use std::sync::Arc;

use ledger::apply::{Touched, check_among_others, check_statement};
use ledger::staged::Checked;
use ledger::{Oid, Row};
use storage::{Fault, parallel::unhurried};

use crate::Error;
use crate::session::Session;

/// A row that a statement changed: as it was, and as it is.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) table: Oid,
    pub(crate) old: Option<Row>,
    pub(crate) new: Option<Arc<Row>>,
}

impl Session {
    /// Checks constraints over all rows that a statement changed.
    ///
    /// # Errors
    /// The first constraint that is violated.
    pub(super) fn check(&self, changed: &[Changed]) -> Result<(), Error> {
        let touched: Vec<Touched<'_>> = changed
            .iter()
            .map(|row| Touched { table: row.table, old: row.old.as_ref(), new: row.new.as_deref() })
            .collect();
        self.look(|sight| check_statement(sight, &touched).map_err(error))
    }

    /// Checks constraints over rows that are new in a table, and right in themselves.
    ///
    /// # Errors
    /// The first constraint that is violated.
    pub(super) fn check_new(&self, table: Oid, rows: &[Arc<Row>]) -> Result<(), Error> {
        let new = |row| Touched { table, old: None, new: Some(row) };
        let touched: Vec<Touched<'_>> = rows.iter().map(Arc::as_ref).map(new).collect();
        let check = || self.look(|sight| check_among_others(sight, &touched).map_err(error));
        unhurried(touched.len(), check)
    }
}

fn error(checked: Checked<Fault>) -> Error {
    match checked {
        Checked::Refused(refusal) => Error::Refused(refusal),
        Checked::Fault(fault) => fault.into(),
    }
}

impl Session {
    /// NOT NULL and CHECK of a row that may never be written: PostgreSQL refuses it before it looks for
    /// conflicts.
    ///
    /// # Errors
    /// 23502, 23514.
    pub(super) fn check_alone(&self, oid: Oid, change: &super::Change) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let table = super::table_of(&catalog, oid)?;
        let row = Row::encode(table, change.row(), || [0; 16])?;
        Ok(ledger::apply::check_row(&catalog, table, &row)?)
    }
}
