//! DELETE.

use datafusion::sql::sqlparser::ast;

use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(crate) async fn delete(
        &mut self,
        statement: &Statement,
        delete: &ast::Delete,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (statement, delete, with, parameters);
        Err(Error::unsupported("DELETE", "Wait."))
    }
}
