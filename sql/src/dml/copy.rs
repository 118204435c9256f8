//! COPY FROM and COPY TO.

use arrow::array::AsArray;
use datafusion::sql::sqlparser::ast;
use ledger::catalog::Privilege;
use ledger::{Column, Value};

use super::select::{item, relation, select_from};
use super::{Change, Settled, table_of};
use crate::Error;
use crate::copy::{CopyFormat, CopyIn, CopyOptions, CopyOut};
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
        Ok(Outcome::CopyIn(CopyIn {
            filter,
            columns: copied.iter().map(|own| (own.name.clone(), own.kind.clone())).collect(),
            options,
            table: oid,
            numbers: copied.iter().map(|own| own.number).collect(),
            rows: 0,
        }))
    }
}

/// A value that was given for a column.
fn value_of(column: &Column, value: Value, zone: &crate::settings::Zone) -> Result<Value, Error> {
    Ok(match value {
        Value::Text(text) if column.kind == ledger::Type::Text && !text.contains('\0') => {
            Value::Text(text)
        }
        Value::Text(text) => Value::parse(&text, &column.kind, zone)?,
        value => value.assign_in(&column.kind, zone)?,
    })
}

/// The condition as a column.
fn holds(filter: &ast::Expr) -> Vec<ast::SelectItem> {
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

impl CopyIn {
    /// Takes rows of the copied columns' values, each of its column's type or a text to be read as it.
    ///
    /// # Errors
    /// Refusals of the rules, bounds (54000), cancel. The COPY is over then, and nothing of it stays.
    pub async fn push(
        &mut self,
        session: &mut Session,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), Error> {
        let bounds = session.bounds.clone();
        bounds.within(Box::pin(self.take(session, rows))).await
    }

    async fn take(&mut self, session: &mut Session, rows: Vec<Vec<Value>>) -> Result<(), Error> {
        let catalog = session.catalog()?;
        let table = table_of(&catalog, self.table)?;
        let zone = session.zone();
        // All columns, as the table has them: the most common COPY by far.
        let in_order = table.columns.iter().all(|column| !column.dropped)
            && self.numbers.iter().eq(table.columns.iter().map(|column| &column.number));
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != self.numbers.len() {
                return Err(Error::new("22P04", "a row with another number of columns"));
            }
            let mut values = row.into_iter().zip(&self.numbers);
            let mut after = Vec::with_capacity(table.columns.len());
            if in_order {
                for (column, (value, _)) in table.columns.iter().zip(values) {
                    after.push(value_of(column, value, &zone)?);
                }
                changes.push(Change::Insert { after });
                continue;
            }
            let mut given: Vec<Option<Value>> = vec![None; table.columns.len()];
            values.try_for_each(|(value, number)| {
                let column = super::insert::column_of(table, *number)?;
                let value = value_of(column, value, &zone)?;
                if let Some(slot) = given.get_mut(usize::from(number.0).wrapping_sub(1)) {
                    *slot = Some(value);
                }
                Ok::<(), Error>(())
            })?;
            for (column, value) in table.columns.iter().zip(given) {
                after.push(match value {
                    _ if column.dropped => Value::Null,
                    Some(value) => value,
                    None => session.default_of(column).await?,
                });
            }
            changes.push(Change::Insert { after });
        }
        let changes = self.kept(session, table, changes).await?;
        self.rows += changes.len() as u64;
        match session.settle(self.table, &changes).await? {
            Settled::Done => Ok(()),
            Settled::Stale => Err(Error::internal("an insert can't be stale")),
        }
    }

    /// The rows for which WHERE holds.
    async fn kept(
        &self,
        session: &mut Session,
        table: &ledger::Table,
        changes: Vec<Change>,
    ) -> Result<Vec<Change>, Error> {
        let Some((statement, filter)) = self.filter.as_deref() else { return Ok(changes) };
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        let items = holds(filter);
        let (_, batches) = session
            .evaluate_over(statement, self.table, table, &table.name, &rows, &items, &[])
            .await?;
        let mut held = Vec::with_capacity(changes.len());
        for batch in &batches {
            let column = batch.column(0).as_boolean_opt();
            let column = column.ok_or_else(|| {
                Error::new("42804", "argument of COPY FROM WHERE must be type boolean")
            })?;
            held.extend(column.iter().map(|value| value == Some(true)));
        }
        Ok(changes.into_iter().zip(held).filter(|(_, held)| *held).map(|(row, _)| row).collect())
    }

    /// All rows are in; gives the tag. The transaction's end commits them.
    ///
    /// # Errors
    /// None now; bounds of later versions.
    pub async fn finish(self, session: &mut Session) -> Result<String, Error> {
        session.bounds.check()?;
        Ok(format!("COPY {}", self.rows))
    }

    /// The client gave up (57014): the caller tells it and calls `Session::fail`.
    pub fn abort(self, message: &str) -> Error {
        Error::new("57014", format!("COPY from stdin failed: {message}"))
    }
}
