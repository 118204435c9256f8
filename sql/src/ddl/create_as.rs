//! CREATE TABLE AS and SELECT INTO.

use datafusion::sql::sqlparser::ast;
use ledger::Oid;

use super::table::LedgerOptions;
use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(super) async fn create_table_as(
        &mut self,
        statement: &Statement,
        schema: Oid,
        name: String,
        create: &ast::CreateTable,
        query: &ast::Query,
        options: LedgerOptions,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (statement, schema, name, create, query, options, parameters);
        Err(Error::unsupported("CREATE TABLE AS", "Wait."))
    }
}
