//! Rows that the planner gives to statements that write: new values for INSERT and UPDATE, versions
//! for UPDATE, DELETE and row locks, expressions over rows that are at hand.

use datafusion::sql::sqlparser::ast;
use ledger::{Column, Oid, Table, Value};

use super::constant::assign_value;
use crate::Error;
use crate::outcome::{Parameter, ResultColumn};
use crate::session::Session;
use crate::statement::Statement;
use arrow::record_batch::RecordBatch;

impl Session {
    /// A query's rows, as the columns that they are for store them. A query may give fewer columns.
    pub(super) async fn rows_for(
        &mut self,
        statement: &Statement,
        query: &ast::Query,
        targets: &[&Column],
        parameters: &[Parameter],
    ) -> Result<Vec<Vec<Value>>, Error> {
        let kinds: Vec<&ledger::Type> = targets.iter().map(|column| &column.kind).collect();
        let rows = self.query_rows(statement, query, Some(&kinds), parameters).await?;
        let zone = self.zone();
        let mut all = Vec::with_capacity(rows.rows.len());
        if rows.open.len() > targets.len() {
            return Err(Error::new("42601", "INSERT has more expressions than target columns"));
        }
        for row in rows.rows {
            let mut values = Vec::with_capacity(row.len());
            for ((value, open), column) in row.into_iter().zip(&rows.open).zip(targets) {
                values.push(match value {
                    Value::Text(text) if *open => Value::parse(&text, &column.kind, &zone)?,
                    value => assign_value(value, column, zone)?,
                });
            }
            all.push(values);
        }
        Ok(all)
    }

    /// Expressions over rows at hand, which stand as a table of this alias.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(super) async fn evaluate_over(
        &mut self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        alias: &str,
        rows: &[&[Value]],
        items: &[ast::SelectItem],
        parameters: &[Parameter],
    ) -> Result<(Vec<ResultColumn>, Vec<RecordBatch>), Error> {
        let _ = (statement, oid, table, alias, rows, items, parameters);
        Err(Error::unsupported(
            "an expression in RETURNING",
            "Return columns, and compute with them in the client.",
        ))
    }

    /// A query's rows as values.
    pub(super) async fn query_rows(
        &mut self,
        statement: &Statement,
        query: &ast::Query,
        kinds: Option<&[&ledger::Type]>,
        parameters: &[Parameter],
    ) -> Result<ValueRows, Error> {
        let _ = (statement, query, kinds, parameters);
        Err(Error::unsupported("an expression here", "Write constants."))
    }
}

/// Rows of values.
#[derive(Debug)]
pub(super) struct ValueRows {
    pub(super) rows: Vec<Vec<Value>>,
    /// Which columns are texts whose type is still open.
    pub(super) open: Vec<bool>,
}
