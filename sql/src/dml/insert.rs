//! INSERT: rows from VALUES, a query or defaults; constants go straight into rows, anything else
//! through the planner.

use datafusion::sql::sqlparser::ast;
use ledger::catalog::Privilege;
use ledger::{Column, ColumnNumber, Oid, Table, Value};

use super::constant::{assign, constant};
use super::{Change, Settled, table_of};
use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::privileges::{denied, may};
use crate::session::Session;
use crate::settings::Zone;
use crate::statement::{Overriding, Statement, name_of, parts_of};

/// Where an INSERT's rows come from.
enum Source<'a> {
    /// `DEFAULT VALUES`
    Defaults,
    /// `VALUES (…), (…)`
    Values(Vec<&'a [ast::Expr]>),
    /// Any other query.
    Query,
}

/// One value of a row to be inserted.
enum Cell {
    Value(Value),
    Default,
}

/// `DEFAULT` as a value.
pub(crate) fn is_default(expression: &ast::Expr) -> bool {
    matches!(expression, ast::Expr::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

impl Session {
    pub(crate) async fn insert(
        &mut self,
        statement: &Statement,
        (insert, with, overriding): (&ast::Insert, Option<&ast::With>, Option<Overriding>),
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        refuse(insert)?;
        let name = target_name(insert)?;
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &name)?;
        self.need_privilege(&catalog, oid, Privilege::Insert)?;
        self.lock_table_to_write(oid).await?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let columns = target_columns(table, &insert.columns)?;
        let source = source_of(insert);
        let named = !insert.columns.is_empty();
        let constant = match &source {
            Source::Defaults => Some(vec![Vec::new()]),
            Source::Values(rows) if with.is_none() => {
                self.constant_rows(table, &columns, rows, named, parameters)?
            }
            Source::Values(_) | Source::Query => None,
        };
        let rows = match constant {
            Some(rows) => rows,
            None => {
                let query = insert.source.as_deref();
                let values = match &source {
                    Source::Values(rows) if with.is_none() => Some(rows.as_slice()),
                    _ => None,
                };
                self.planned_rows(statement, table, &columns, query, with, values, parameters)
                    .await?
            }
        };
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let after = self.complete(table, &columns, row, overriding).await?;
            changes.push(Change::Insert { after });
        }
        let alias = insert.table_alias.as_ref().map(|alias| name_of(&alias.alias));
        let changes = match &insert.on {
            Some(ast::OnInsert::OnConflict(conflict)) => {
                self.upsert(statement, oid, alias.as_deref(), conflict, changes, parameters).await?
            }
            Some(_) => {
                return Err(Error::unsupported("ON DUPLICATE KEY", "Use ON CONFLICT."));
            }
            None => {
                if self.settle(oid, &changes).await? == Settled::Stale {
                    return Err(Error::internal("an insert can't be stale"));
                }
                changes
            }
        };
        let tag = format!("INSERT 0 {}", changes.len());
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        let returning = insert.returning.as_deref();
        self.give(statement, oid, alias.as_deref(), &rows, returning, parameters, tag).await
    }

    /// Rows of constants; `None` when one of them is more than that.
    fn constant_rows(
        &self,
        table: &Table,
        columns: &[ColumnNumber],
        rows: &[&[ast::Expr]],
        named: bool,
        parameters: &[Parameter],
    ) -> Result<Option<Vec<Vec<Cell>>>, Error> {
        let zone = self.shared.settings().time_zone();
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            check_width(row.len(), columns.len(), named)?;
            let mut cells = Vec::with_capacity(row.len());
            for (expression, number) in row.iter().zip(columns) {
                if is_default(expression) {
                    cells.push(Cell::Default);
                    continue;
                }
                let Some(constant) = constant(expression, parameters, zone)? else {
                    return Ok(None);
                };
                cells.push(Cell::Value(assign(constant, column_of(table, *number)?, zone)?));
            }
            all.push(cells);
        }
        Ok(Some(all))
    }

    /// Rows from the planner. `values` says where DEFAULT stands among VALUES.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    async fn planned_rows(
        &mut self,
        statement: &Statement,
        table: &Table,
        columns: &[ColumnNumber],
        query: Option<&ast::Query>,
        with: Option<&ast::With>,
        values: Option<&[&[ast::Expr]]>,
        parameters: &[Parameter],
    ) -> Result<Vec<Vec<Cell>>, Error> {
        let Some(query) = query else { return Ok(Vec::new()) };
        let make = || {
            let mut query = query.clone();
            if let Some(with) = with {
                query.with = Some(with.clone());
            }
            if let ast::SetExpr::Values(values) = query.body.as_mut() {
                blank_defaults(values, table, columns)?;
            }
            Ok(query)
        };
        let targets: Vec<&Column> =
            columns.iter().map(|number| column_of(table, *number)).collect::<Result<_, _>>()?;
        let rows = self.rows_for(statement, make, &targets, parameters).await?;
        let default_at = |row: usize, place: usize| {
            values.and_then(|rows| rows.get(row)?.get(place)).is_some_and(is_default)
        };
        Ok(rows
            .into_iter()
            .enumerate()
            .map(|(at, row)| {
                row.into_iter()
                    .enumerate()
                    .map(
                        |(place, value)| {
                            if default_at(at, place) { Cell::Default } else { Cell::Value(value) }
                        },
                    )
                    .collect()
            })
            .collect())
    }

    /// A whole row: what was given, and defaults for the rest.
    async fn complete(
        &mut self,
        table: &Table,
        columns: &[ColumnNumber],
        cells: Vec<Cell>,
        overriding: Option<Overriding>,
    ) -> Result<Vec<Value>, Error> {
        let mut given: Vec<Option<Value>> = vec![None; table.columns.len()];
        for (number, cell) in columns.iter().zip(cells) {
            let column = column_of(table, *number)?;
            let value = match cell {
                Cell::Default => None,
                Cell::Value(value) => explicit(column, value, overriding)?,
            };
            if let Some(slot) = given.get_mut(usize::from(number.0).wrapping_sub(1)) {
                *slot = value;
            }
        }
        let mut row = Vec::with_capacity(given.len());
        for (column, value) in table.columns.iter().zip(given) {
            row.push(match value {
                _ if column.dropped => Value::Null,
                Some(value) => value,
                None => self.default_of(column).await?,
            });
        }
        Ok(row)
    }
}

/// A value that was given for a column; identity columns have their own mind.
pub(super) fn explicit(
    column: &Column,
    value: Value,
    overriding: Option<Overriding>,
) -> Result<Option<Value>, Error> {
    match (&column.identity, overriding) {
        (Some(_), Some(Overriding::User)) => Ok(None),
        (Some(identity), None) if identity.always => Err(Error::new(
            "428C9",
            format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
        )
        .with_detail(format!(
            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
            column.name
        ))
        .with_hint("Use OVERRIDING SYSTEM VALUE to override.")),
        _ => Ok(Some(value)),
    }
}

pub(super) fn column_of(table: &Table, number: ColumnNumber) -> Result<&Column, Error> {
    table.column(number).ok_or_else(|| Error::internal("a column that isn't there"))
}

/// A query with NULL where its VALUES have DEFAULT.
pub(crate) fn without_defaults(query: &ast::Query) -> ast::Query {
    let mut query = query.clone();
    if let ast::SetExpr::Values(values) = query.body.as_mut() {
        for row in &mut values.rows {
            for expression in row.iter_mut().filter(|expression| is_default(expression)) {
                *expression = ast::Expr::Value(ast::Value::Null.into());
            }
        }
    }
    query
}

/// In VALUES that the planner sees, NULL of the column's type stands in for DEFAULT.
fn blank_defaults(
    values: &mut ast::Values,
    table: &Table,
    columns: &[ColumnNumber],
) -> Result<(), Error> {
    for row in &mut values.rows {
        check_width(row.len(), columns.len(), false)?;
        for expression in row.iter_mut() {
            if is_default(expression) {
                *expression = ast::Expr::Value(ast::Value::Null.into());
            }
        }
    }
    if table.columns.is_empty() {
        return Err(Error::new("42601", "INSERT has more expressions than target columns"));
    }
    Ok(())
}

/// As many values as columns; fewer when the columns weren't named.
pub(super) fn check_width(found: usize, wanted: usize, named: bool) -> Result<(), Error> {
    if named && found < wanted {
        return Err(Error::new("42601", "INSERT has more target columns than expressions"));
    }
    if found > wanted {
        return Err(Error::new("42601", "INSERT has more expressions than target columns"));
    }
    Ok(())
}

/// The columns that an INSERT names, or all.
pub(crate) fn target_columns(
    table: &Table,
    names: &[ast::ObjectName],
) -> Result<Vec<ColumnNumber>, Error> {
    if names.is_empty() {
        return Ok(table.live_columns().map(|column| column.number).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let parts = parts_of(name)?;
        let [name] = parts.as_slice() else {
            return Err(Error::unsupported(
                "a part of a column as target",
                "Write the whole column.",
            ));
        };
        let column = table.find_column(name).ok_or_else(|| Error::UndefinedColumn {
            message: format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            position: None,
        })?;
        if columns.contains(&column.number) {
            return Err(Error::new("42701", format!("column \"{name}\" specified more than once")));
        }
        columns.push(column.number);
    }
    Ok(columns)
}

/// The name of an INSERT's table.
pub(crate) fn target_name(insert: &ast::Insert) -> Result<Vec<String>, Error> {
    match &insert.table {
        ast::TableObject::TableName(name) => parts_of(name),
        _ => Err(Error::unsupported("INSERT INTO a function", "Name a table.")),
    }
}

fn source_of(insert: &ast::Insert) -> Source<'_> {
    match insert.source.as_deref() {
        None => Source::Defaults,
        Some(query) => match query.body.as_ref() {
            ast::SetExpr::Values(values)
                if query.with.is_none()
                    && query.order_by.is_none()
                    && query.limit_clause.is_none()
                    && query.fetch.is_none() =>
            {
                Source::Values(values.rows.iter().map(|row| row.content.as_slice()).collect())
            }
            _ => Source::Query,
        },
    }
}

fn refuse(insert: &ast::Insert) -> Result<(), Error> {
    let foreign = insert.or.is_some()
        || insert.ignore
        || insert.overwrite
        || insert.replace_into
        || insert.partitioned.is_some()
        || !insert.after_columns.is_empty()
        || insert.has_table_keyword
        || !insert.assignments.is_empty()
        || insert.output.is_some()
        || insert.priority.is_some()
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some();
    if foreign {
        return Err(Error::new("42601", "syntax error in INSERT")
            .with_hint("This form of INSERT is of another database."));
    }
    Ok(())
}

impl Session {
    /// The default of a column, evaluated now.
    ///
    /// # Errors
    /// What the default's expression or its sequence says.
    pub(crate) async fn default_of(&mut self, column: &Column) -> Result<Value, Error> {
        let sequence = match (&column.identity, &column.default) {
            (Some(identity), _) => Some(identity.sequence),
            (None, Some(default)) => crate::rules::sequence_of(&default.rule),
            (None, None) => return Ok(Value::Null),
        };
        if column.identity.is_none()
            && let Some(default) = &column.default
        {
            self.need_sequences(&default.rule)?;
        }
        match sequence {
            Some(sequence) => {
                let value = self.next_of(sequence).await?;
                Ok(Value::Int8(value).assign(&column.kind)?)
            }
            None => self.default_value(column),
        }
    }

    async fn next_of(&mut self, sequence: Oid) -> Result<i64, Error> {
        // As PostgreSQL does: a sequence in use can't be altered until the transaction's end.
        let target = storage::LockTarget::Table(sequence);
        self.acquire(target, storage::LockMode::KeyShare).await?;
        self.shared.next_value_async(sequence).await
    }

    /// The default of a column, evaluated now; a sequence is waited for.
    ///
    /// # Errors
    /// What the default's expression or its sequence says.
    pub(crate) fn default_value(&self, column: &Column) -> Result<Value, Error> {
        if let Some(identity) = &column.identity {
            let value = self.shared.next_value(identity.sequence)?;
            return Ok(Value::Int8(value).assign(&column.kind)?);
        }
        let Some(default) = &column.default else { return Ok(Value::Null) };
        self.need_sequences(&default.rule)?;
        let started_us = self
            .transaction
            .as_ref()
            .map_or_else(|| self.engine.clock.now_us(), |own| own.started_us);
        let place = crate::rules::Place {
            shared: &self.shared,
            user: &self.user.1,
            started_us,
            now_us: self.engine.clock.now_us(),
            zone: self.zone(),
            failed: std::cell::RefCell::new(None),
        };
        Ok(place.evaluate(&default.rule)?.assign_in(&column.kind, &self.zone())?)
    }

    /// The sequences that a default takes values of must be open to the user; an identity's always are.
    fn need_sequences(&self, rule: &ledger::Rule) -> Result<(), Error> {
        if let ledger::Rule::Volatile(ledger::rule::Volatile::NextValue(sequence)) = rule {
            let catalog = self.catalog()?;
            let next = crate::sequence::functions::NEXT;
            if !next.iter().any(|one| may(&catalog, self.user.0, *sequence, *one)) {
                return Err(denied(&catalog, *sequence));
            }
        }
        rule.parts().into_iter().try_for_each(|part| self.need_sequences(part))
    }

    pub(crate) fn zone(&self) -> Zone {
        self.shared.settings().time_zone()
    }
}
