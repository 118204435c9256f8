//! RETURNING: the rows that a statement wrote, as a result.

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ledger::catalog::Privilege;
use ledger::{Column, Oid, Table, Value};

use super::table_of;
use crate::Error;
use crate::ddl::types::result_column;
use crate::outcome::{Outcome, Parameter, ResultColumn, Tag};
use crate::session::Session;
use crate::statement::{Statement, name_of};
use crate::types::PgType;

impl Session {
    /// The statement's outcome: its tag alone, or with the rows of RETURNING.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(super) async fn give(
        &mut self,
        statement: &Statement,
        oid: Oid,
        alias: Option<&str>,
        rows: &[&[Value]],
        returning: Option<&[ast::SelectItem]>,
        parameters: &[Parameter],
        tag: String,
    ) -> Result<Outcome, Error> {
        let Some(items) = returning else { return Ok(Outcome::Done { tag }) };
        let catalog = self.catalog()?;
        self.need_privilege(&catalog, oid, Privilege::Select)?;
        let table = table_of(&catalog, oid)?;
        let alias = alias.unwrap_or(&table.name);
        if let Some(columns) = plain_columns(table, alias, items) {
            return rows_of_columns(oid, &columns, rows, tag);
        }
        let (columns, batches) =
            self.evaluate_over(statement, oid, table, alias, rows, items, parameters).await?;
        Ok(Outcome::Rows {
            columns,
            stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            tag: Tag::Fixed(tag),
        })
    }
}

impl Session {
    /// The columns of RETURNING, before the statement runs.
    pub(crate) fn returning_columns(
        &self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        alias: &str,
        items: &[ast::SelectItem],
    ) -> Result<Vec<ResultColumn>, Error> {
        self.returning_shape(statement, oid, table, alias, items).map(|(columns, _)| columns)
    }

    /// The same with their types.
    pub(crate) fn returning_shape(
        &self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        alias: &str,
        items: &[ast::SelectItem],
    ) -> Result<(Vec<ResultColumn>, Vec<PgType>), Error> {
        if let Some(columns) = plain_columns(table, alias, items) {
            return Ok(columns
                .iter()
                .map(|(column, name)| (result_column(oid, column, name), PgType::of(&column.kind)))
                .unzip());
        }
        let at_hand = super::select::AtHand::new([(alias, oid, table, [].as_slice())])?;
        let context = self.query_context_with(statement, &[std::sync::Arc::new(at_hand)])?;
        let from = vec![super::select::named(alias)];
        let query = super::select::select_from(items.to_vec(), from, None);
        let planned =
            crate::read::plan_query(&context, &query, crate::read::PlanOptions::default())?;
        Ok((planned.columns, planned.types))
    }
}

/// The columns that RETURNING asks for, if it asks for nothing but columns; each with its name.
pub(super) fn plain_columns<'t>(
    table: &'t Table,
    alias: &str,
    items: &[ast::SelectItem],
) -> Option<Vec<(&'t Column, String)>> {
    let mut columns = Vec::new();
    let all = |columns: &mut Vec<(&'t Column, String)>| {
        columns.extend(table.live_columns().map(|column| (column, column.name.clone())));
    };
    for item in items {
        match item {
            ast::SelectItem::Wildcard(options)
                if *options == ast::WildcardAdditionalOptions::default() =>
            {
                all(&mut columns);
            }
            ast::SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) => match name.0.as_slice() {
                [ast::ObjectNamePart::Identifier(name)] if name_of(name) == alias => {
                    all(&mut columns);
                }
                _ => return None,
            },
            ast::SelectItem::UnnamedExpr(expression) => {
                let column = plain_column(table, alias, expression)?;
                columns.push((column, column.name.clone()));
            }
            ast::SelectItem::ExprWithAlias { expr, alias: name } => {
                columns.push((plain_column(table, alias, expr)?, name_of(name)));
            }
            _ => return None,
        }
    }
    Some(columns)
}

/// The column that an expression is.
pub(super) fn plain_column<'t>(
    table: &'t Table,
    alias: &str,
    expression: &ast::Expr,
) -> Option<&'t Column> {
    match expression {
        ast::Expr::Identifier(name) => table.find_column(&name_of(name)),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [qualifier, name] if name_of(qualifier) == alias => table.find_column(&name_of(name)),
            _ => None,
        },
        ast::Expr::Nested(inner) => plain_column(table, alias, inner),
        _ => None,
    }
}

fn rows_of_columns(
    oid: Oid,
    columns: &[(&Column, String)],
    rows: &[&[Value]],
    tag: String,
) -> Result<Outcome, Error> {
    let result: Vec<ResultColumn> =
        columns.iter().map(|(column, name)| result_column(oid, column, name)).collect();
    let wanted: Vec<&Column> = columns.iter().map(|(column, _)| *column).collect();
    let batch = crate::rows::batch_of(oid, &wanted, rows)?;
    Ok(Outcome::Rows {
        columns: result,
        stream: futures::stream::iter([Ok(batch)]).boxed(),
        tag: Tag::Fixed(tag),
    })
}
