//! COPY FROM and COPY TO.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use ledger::Column;
use ledger::catalog::Privilege;

use super::select::{item, relation, select_from};
use super::table_of;
use crate::Error;
use crate::copy::{CopyFormat, CopyIn, CopyMaker, CopyOptions, CopyOut};
use crate::outcome::{Outcome, ResultColumn};
use crate::read::{self, PlanOptions};
use crate::session::Session;
use crate::statement::{Copy, CopyWhat, Statement};

impl Session {
    pub(crate) async fn copy(
        &mut self,
        statement: &Statement,
        copy: &Copy,
    ) -> Result<Outcome, Error> {
        match &copy.what {
            CopyWhat::Table { name, columns } if copy.from => {
                self.copy_in(statement, copy, name, columns).await
            }
            CopyWhat::Table { name, columns } => {
                let catalog = self.catalog()?;
                let names = match self.find_table(&catalog, name) {
                    Ok(oid) => {
                        let table = table_of(&catalog, oid)?;
                        copied(table, columns)?.iter().map(|own| own.name.clone()).collect()
                    }
                    Err(Error::Other(report)) if report.sqlstate == "55000" => {
                        return Err(Error::new(
                            "42809",
                            format!("cannot copy from view \"{}\"", crate::names::shown(name)),
                        )
                        .with_hint("Try the COPY (SELECT ...) TO variant."));
                    }
                    Err(Error::Other(report)) if report.sqlstate == "42501" => columns.clone(),
                    Err(error) => return Err(error),
                };
                let items = if names.is_empty() {
                    vec![ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())]
                } else {
                    names.iter().map(|own: &String| item("copied", own)).collect()
                };
                let query = select_from(items, vec![relation(name, Some("copied"))], None);
                self.copy_out(statement, copy, &query).await
            }
            CopyWhat::Query(query) => self.copy_out(statement, copy, &query.query).await,
            CopyWhat::Writing(command) => {
                let inner = Statement::of((**command).clone(), statement);
                match Box::pin(self.data(&inner, &[], None)).await? {
                    Outcome::Rows { columns, stream, .. } => {
                        let options = forced(copy, &columns)?;
                        Ok(Outcome::CopyOut(CopyOut { columns, options, stream }))
                    }
                    _ => Err(Error::new("0A000", "COPY query must have a RETURNING clause")
                        .with_hint("Add RETURNING to the statement.")),
                }
            }
        }
    }

    async fn copy_out(
        &mut self,
        statement: &Statement,
        copy: &Copy,
        query: &ast::Query,
    ) -> Result<Outcome, Error> {
        let context = self.query_context(statement)?;
        let planned = read::plan_query(&context, query, PlanOptions::default())?;
        self.admit_reads(&planned)?;
        let options = forced(copy, &planned.columns)?;
        let stream = read::run(&context, &planned, &[]).await?;
        let stream = self.bounded(stream);
        Ok(Outcome::CopyOut(CopyOut { columns: planned.columns, options, stream }))
    }

    async fn copy_in(
        &mut self,
        statement: &Statement,
        copy: &Copy,
        name: &[String],
        columns: &[String],
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, name)?;
        self.need_privilege(&catalog, oid, Privilege::Insert)?;
        self.lock_table_to_write(oid).await?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let copied = copied(table, columns)?;
        let names: Vec<&str> = copied.iter().map(|own| own.name.as_str()).collect();
        let mut options = copy.options.clone();
        if options.format == CopyFormat::Csv {
            options.force_null = places(&names, &copy.force_null, "FORCE_NULL")?;
            options.force_not_null = places(&names, &copy.force_not_null, "FORCE_NOT_NULL")?;
        }
        let filter = match &copy.filter {
            None => None,
            Some(filter) => {
                // What is wrong with it is said before any row comes.
                self.evaluate_over(statement, oid, table, &table.name, &[], &holds(filter), &[])
                    .await?;
                Some(Box::new((statement.clone(), filter.clone())))
            }
        };
        // All columns, as the table has them: the most common COPY by far.
        let is_plain = filter.is_none()
            && table.columns.iter().all(|column| !column.dropped)
            && copied.iter().map(|own| own.number).eq(table.columns.iter().map(|own| own.number));
        let zone = self.zone();
        let maker = CopyMaker { catalog: Arc::clone(&catalog), table: oid, zone, is_plain };
        Ok(Outcome::CopyIn(CopyIn {
            filter,
            maker,
            columns: copied.iter().map(|own| (own.name.clone(), own.kind.clone())).collect(),
            options,
            table: oid,
            numbers: copied.iter().map(|own| own.number).collect(),
            rows: 0,
            unchecked: Vec::new(),
        }))
    }
}

/// The condition as a column.
pub(super) fn holds(filter: &ast::Expr) -> Vec<ast::SelectItem> {
    vec![ast::SelectItem::UnnamedExpr(filter.clone())]
}

/// The options of COPY TO, with the columns that are always quoted.
fn forced(copy: &Copy, columns: &[ResultColumn]) -> Result<CopyOptions, Error> {
    let names: Vec<&str> = columns.iter().map(|own| own.name.as_str()).collect();
    let mut options = copy.options.clone();
    if let Some(force) = &copy.force_quote {
        options.force_quote = if force.is_empty() {
            (0..names.len()).collect()
        } else {
            places(&names, force, "FORCE_QUOTE")?
        };
    }
    Ok(options)
}

fn copied<'t>(table: &'t ledger::Table, names: &[String]) -> Result<Vec<&'t Column>, Error> {
    if names.is_empty() {
        return Ok(table.live_columns().collect());
    }
    let mut columns: Vec<&Column> = Vec::with_capacity(names.len());
    for name in names {
        let column = table.find_column(name).ok_or_else(|| Error::UndefinedColumn {
            message: format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            position: None,
        })?;
        if columns.iter().any(|own| own.number == column.number) {
            return Err(Error::new("42701", format!("column \"{name}\" specified more than once")));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn places(names: &[&str], wanted: &[String], option: &str) -> Result<Vec<usize>, Error> {
    wanted
        .iter()
        .map(|name| {
            names.iter().position(|own| own == name).ok_or_else(|| {
                Error::new("42P10", format!("{option} column \"{name}\" not referenced by COPY"))
            })
        })
        .collect()
}
