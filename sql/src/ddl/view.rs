//! CREATE VIEW.

use datafusion::sql::sqlparser::ast;

use crate::Error;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(super) async fn create_view(
        &mut self,
        statement: &Statement,
        create: &ast::CreateView,
    ) -> Result<Outcome, Error> {
        let _ = (statement, create);
        Err(Error::unsupported("CREATE VIEW", "Wait."))
    }
}
