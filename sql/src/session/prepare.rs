//! Parameters and the shape of results, before a statement runs.

use super::Session;
use crate::Error;
use crate::outcome::{Prepared, StatementKind};
use crate::statement::{Command, Statement};
use crate::transaction::TransactionStatus;

impl Session {
    pub(super) async fn prepare_statement(
        &mut self,
        statement: Statement,
        parameter_oids: &[u32],
    ) -> Result<Prepared, Error> {
        if self.status() == TransactionStatus::Failed
            && !statement.ends_transaction()
            && !statement.is_empty()
        {
            return Err(Error::Aborted);
        }
        let kind = match &statement.command {
            Command::Empty => StatementKind::Empty,
            Command::Begin { .. }
            | Command::Commit { .. }
            | Command::Rollback { .. }
            | Command::Savepoint(_)
            | Command::Release(_)
            | Command::RollbackTo(_) => StatementKind::Transaction,
            Command::Copy(copy) if copy.from => StatementKind::CopyIn,
            Command::Copy(_) => StatementKind::CopyOut,
            _ => StatementKind::Other,
        };
        Ok(Prepared {
            statement,
            parameters: parameter_oids.to_vec(),
            columns: None,
            kind,
            catalog: 0,
        })
    }
}
