//! `pg_catalog` and `information_schema`: relations over the ledger's own catalog, with OIDs from the ledger, and
//! the functions that clients call on them. It reads the catalog; it never changes it.

pub mod evaluator;
pub mod extension;
pub mod facts;
pub mod functions;
pub mod privileges;
pub mod relations;
mod static_rows;
pub mod text;

#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::Parser;

use crate::Error;
use crate::functions::Datum;

pub use extension::Catalogs;
pub(crate) use extension::{planned, run};

use facts::Facts;
use relations::{Relation, Row, Rows};

/// A relation's rows, wherever they come from.
///
/// # Errors
/// 42501 for what only a superuser may see.
pub fn rows(relation: &Relation, facts: &Facts<'_>) -> Result<Vec<Row>, Error> {
    match relations::rows(relation, facts)? {
        Rows::Made(rows) => Ok(rows),
        Rows::Query(text) => view_rows(relation, text, facts),
    }
}

/// The rows of a relation that is a query: its columns are found by name, what the query leaves out is NULL.
fn view_rows(relation: &Relation, text: &str, facts: &Facts<'_>) -> Result<Vec<Row>, Error> {
    let parsed = Parser::parse_sql(&crate::dialect::Postgres::of_text(text), text)
        .map_err(|error| Error::internal(format!("{}: {error}", relation.name)))?;
    let [Statement::Query(query)] = parsed.as_slice() else {
        return Err(Error::internal(format!("{} is no query", relation.name)));
    };
    let plan = evaluator::plan(facts, query, &[])?;
    // The view's column for each of the relation's, with the cast it needs.
    let places: Vec<Option<usize>> = relation
        .columns
        .iter()
        .map(|column| plan.columns.iter().position(|(name, _)| name == column.name))
        .collect();
    let mut rows = Vec::new();
    for row in plan.run(facts, &[])? {
        let mut cells = Vec::with_capacity(places.len());
        for (place, column) in places.iter().zip(&relation.columns) {
            cells.push(match place.and_then(|place| row.get(place).zip(plan.columns.get(place))) {
                Some((value, (_, from))) => {
                    evaluator::cast(facts, value.clone(), from, &column.kind, false)?
                }
                None => Datum::Null,
            });
        }
        rows.push(cells);
    }
    Ok(rows)
}
