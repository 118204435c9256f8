//! UPDATE.

use datafusion::sql::sqlparser::ast;

use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(crate) async fn update(
        &mut self,
        statement: &Statement,
        update: &ast::Update,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (statement, update, with, parameters);
        Err(Error::unsupported("UPDATE", "Wait."))
    }
}
