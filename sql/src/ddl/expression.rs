//! Expressions that the catalog keeps: DEFAULT and CHECK as rules, with the text that shows them.

use datafusion::sql::sqlparser::ast;
use ledger::table::ColumnDefault;
use ledger::{Rule, Table, Type, Value};

use crate::Error;
use crate::plan::{compile_rule, rule_text};
use crate::session::Session;

impl Session {
    /// A column's default; `DEFAULT NULL` is none.
    pub(super) fn default_rule(
        &self,
        kind: &Type,
        expression: &ast::Expr,
    ) -> Result<Option<ColumnDefault>, Error> {
        let context = self.query_context_of(&std::sync::Arc::clone(&self.source), &[])?;
        let rule = compile_rule(&context, expression, None, Some(kind))?;
        if matches!(rule, Rule::Literal(Value::Null, _)) {
            return Ok(None);
        }
        // A plain number stands in the catalog as it was written.
        let text = match expression {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => digits.clone(),
                _ => rule_text(&rule, None, &context.catalog),
            },
            _ => rule_text(&rule, None, &context.catalog),
        };
        Ok(Some(ColumnDefault { rule, text }))
    }

    /// A CHECK's rule, with what stands in its parentheses.
    pub(super) fn check_rule(
        &self,
        table: &Table,
        expression: &ast::Expr,
    ) -> Result<(Rule, String), Error> {
        let context = self.query_context_of(&std::sync::Arc::clone(&self.source), &[])?;
        let rule = compile_rule(&context, expression, Some(table), None)?;
        let text = rule_text(&rule, Some(table), &context.catalog);
        Ok((rule, text))
    }

    /// The texts of a table's CHECKs name its columns: they follow a new name.
    pub(super) fn refresh_texts(&self, table: &mut Table) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let texts: Vec<String> = table
            .checks
            .iter()
            .map(|check| rule_text(&check.rule, Some(table), &catalog))
            .collect();
        for (check, text) in table.checks.iter_mut().zip(texts) {
            check.text = text;
        }
        Ok(())
    }
}
