//! Expressions that the catalog keeps: DEFAULT and CHECK as rules, with the text that shows them.

use datafusion::sql::sqlparser::ast;
use ledger::table::ColumnDefault;
use ledger::{Rule, Table, Type, Value};

use crate::Error;
use crate::session::Session;

impl Session {
    /// A column's default; `DEFAULT NULL` is none.
    pub(super) fn default_rule(
        &mut self,
        table: &Table,
        kind: &Type,
        expression: &ast::Expr,
    ) -> Result<Option<ColumnDefault>, Error> {
        let _ = table;
        let zone = self.zone();
        let Some(constant) = crate::dml::constant(expression, &[], zone)? else {
            return Err(Error::unsupported("this default", "Use a constant."));
        };
        let value = match constant.value {
            Value::Null => return Ok(None),
            Value::Text(text) if constant.open => Value::parse(&text, kind, &zone)?,
            value => value.assign_in(kind, &zone)?,
        };
        let text = value.to_text(kind, &zone);
        Ok(Some(ColumnDefault { rule: Rule::Literal(value, kind.clone()), text }))
    }

    /// A CHECK's rule, with what stands in its parentheses.
    pub(super) fn check_rule(
        &mut self,
        table: &Table,
        expression: &ast::Expr,
    ) -> Result<(Rule, String), Error> {
        let _ = table;
        Err(Error::unsupported(format!("CHECK ({expression})"), "Leave it out."))
    }
}
