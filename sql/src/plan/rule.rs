//! CHECK and DEFAULT.
use crate::Error;
use crate::read::QueryContext;
use datafusion::sql::sqlparser::ast;
use ledger::{Rule, Table};

/// compile
pub fn compile_rule(
    _context: &QueryContext,
    _node: &ast::Expr,
    _table: Option<&Table>,
) -> Result<Rule, Error> {
    Err(Error::internal("later"))
}
/// text
pub fn rule_text(_rule: &Rule, _table: Option<&Table>) -> String {
    String::new()
}
