//! INSERT … ON CONFLICT.

use datafusion::sql::sqlparser::ast;
use ledger::Oid;

use super::Change;
use crate::Error;
use crate::outcome::Parameter;
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(super) async fn upsert(
        &mut self,
        statement: &Statement,
        oid: Oid,
        alias: Option<&str>,
        conflict: &ast::OnConflict,
        changes: Vec<Change>,
        parameters: &[Parameter],
    ) -> Result<Vec<Change>, Error> {
        let _ = (statement, oid, alias, conflict, changes, parameters);
        Err(Error::unsupported("ON CONFLICT", "Wait."))
    }
}
