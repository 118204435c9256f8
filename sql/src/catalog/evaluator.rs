//! Queries whose every relation is one of the catalogs: bound to a small tree and run row by row. The shapes that
//! clients send there (correlated subqueries anywhere, sets in the select list, fields of rows, LATERAL) are
//! ordinary here, and the tables are tiny. What it can't do exactly it refuses. It knows no table of a user.

mod aggregate;
mod bind;
mod cast;
mod expression;
mod from;
mod names;
mod operators;
mod run;
mod select;
mod tree;
mod window;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, ObjectName, ObjectNamePart, Query, TableFactor, Visit, Visitor,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::Error;
use crate::functions::Datum;
use crate::types::PgType;

use super::facts::Facts;
use super::functions;
use super::relations::{self, Row};

pub(crate) use cast::cast;

/// A query that is ready to run, again and again, also over a newer catalog.
#[derive(Clone, Debug)]
pub struct Plan {
    query: tree::Query,
    /// Names and types of the result's columns.
    pub columns: Vec<(String, PgType)>,
    /// Types of the parameters, `$1` first.
    pub parameters: Vec<PgType>,
}

/// Binds a query. `parameters` are the types that the client told; what it left open is found.
///
/// # Errors
/// As PostgreSQL: 42P01, 42703, 42883, 42804, …; 0A000 for a shape that isn't known here.
pub fn plan(facts: &Facts<'_>, query: &Query, parameters: &[PgType]) -> Result<Plan, Error> {
    let mut binder = bind::Binder::new(facts, parameters);
    let query = binder.query(query)?;
    let columns = query.columns.clone();
    Ok(Plan { query, columns, parameters: binder.parameters() })
}

impl Plan {
    /// Its rows. `parameters` have the plan's types.
    ///
    /// # Errors
    /// What its functions refuse; 54000 past the bound of steps.
    pub fn run(&self, facts: &Facts<'_>, parameters: &[Datum]) -> Result<Vec<Row>, Error> {
        run::Run::new(facts, parameters).query(&self.query, None)
    }
}

/// Whether a query is one for here: it reads catalogs and nothing else, or reads nothing and calls a function that
/// only the catalogs have.
pub fn is_for_catalogs(facts: &Facts<'_>, query: &Query) -> bool {
    let mut look = Look { facts, within: BTreeSet::new(), catalogs: 0, others: 0, calls: 0 };
    let _visited: ControlFlow<()> = query.visit(&mut look);
    look.others == 0 && (look.catalogs > 0 || look.calls > 0)
}

struct Look<'a> {
    facts: &'a Facts<'a>,
    /// Names of WITH.
    within: BTreeSet<String>,
    catalogs: usize,
    others: usize,
    calls: usize,
}

/// Schema and name of a relation or function; `None` for more parts than these.
pub(super) fn schema_and_name(name: &ObjectName) -> Option<(Option<String>, String)> {
    let mut parts = Vec::new();
    for part in &name.0 {
        match part {
            ObjectNamePart::Identifier(ident) => parts.push(bind::fold(ident)),
            ObjectNamePart::Function(_) => return None,
        }
    }
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => Some((None, name)),
        (Some(schema), Some(name), None) => Some((Some(schema), name)),
        _ => None,
    }
}

/// The relation of the catalogs that a name means.
pub(super) fn catalog_relation(
    facts: &Facts<'_>,
    schema: Option<&str>,
    name: &str,
) -> Option<&'static relations::Relation> {
    match schema {
        Some(schema) => relations::find(schema, name),
        None => facts.relation(None, name).and_then(relations::by_oid),
    }
}

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.within.extend(with.cte_tables.iter().map(|cte| bind::fold(&cte.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => match schema_and_name(name) {
                Some((None, name)) if self.within.contains(&name) => {}
                Some((schema, name))
                    if catalog_relation(self.facts, schema.as_deref(), &name).is_some() =>
                {
                    self.catalogs += 1;
                }
                _ => self.others += 1,
            },
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                match schema_and_name(name) {
                    Some((schema, name))
                        if functions::overloads(schema.as_deref(), &name).next().is_some() =>
                    {
                        self.calls += usize::from(is_special(schema.as_deref(), &name));
                    }
                    _ => self.others += 1,
                }
            }
            TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => {}
            _ => self.others += 1,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                if let Some((schema, name)) = schema_and_name(&function.name) {
                    self.calls += usize::from(is_special(schema.as_deref(), &name));
                }
            }
            Expr::Cast { data_type, .. } => {
                self.calls += usize::from(is_alias_type(data_type));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether the catalogs alone have a function: sets of rows and everyday functions belong to every query.
fn is_special(schema: Option<&str>, name: &str) -> bool {
    !matches!(name, "generate_series" | "unnest" | "generate_subscripts")
        && functions::overloads(schema, name).any(|builtin| !builtin.everyday)
}

fn is_alias_type(kind: &DataType) -> bool {
    match kind {
        DataType::Regclass => true,
        DataType::Custom(name, _) => {
            schema_and_name(name).is_some_and(|(_, name)| name.starts_with("reg"))
        }
        _ => false,
    }
}
