//! MERGE.

use datafusion::sql::sqlparser::ast;

use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(crate) async fn merge(
        &mut self,
        statement: &Statement,
        merge: &ast::Merge,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (statement, merge, with, parameters);
        Err(Error::unsupported("MERGE", "Wait."))
    }
}
