//! The ledger's rules at a statement's end, on what the transaction sees then.

use ledger::apply::{Touched, check_statement};
use ledger::staged::Checked;
use ledger::{Oid, Row};

use crate::Error;
use crate::session::Session;

/// A row that a statement changed: as it was, and as it is.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) table: Oid,
    pub(crate) old: Option<Row>,
    pub(crate) new: Option<Row>,
}

impl Session {
    /// Checks constraints over all rows that a statement changed.
    ///
    /// # Errors
    /// The first constraint that is violated.
    pub(super) fn check(&self, changed: &[Changed]) -> Result<(), Error> {
        let touched: Vec<Touched<'_>> = changed
            .iter()
            .map(|row| Touched { table: row.table, old: row.old.as_ref(), new: row.new.as_ref() })
            .collect();
        self.look(|sight| {
            check_statement(sight, &touched).map_err(|checked| match checked {
                Checked::Refused(refusal) => Error::Refused(refusal),
                Checked::Fault(fault) => fault.into(),
            })
        })
    }
}
