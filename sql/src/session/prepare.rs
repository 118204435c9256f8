//! Parameters and the shape of results, before a statement runs.

use datafusion::sql::sqlparser::ast;
use ledger::{Column, Table};

use super::Session;
use super::explain::plan_column;
use super::settings::text_column;
use crate::ddl::types::wire_type;
use crate::dml::{self, table_of};
use crate::outcome::{Prepared, StatementKind};
use crate::read::{self, PlanOptions};
use crate::statement::{Command, Query, Statement};
use crate::transaction::TransactionStatus;
use crate::types::PgType;
use crate::{Error, ResultColumn};

/// What is known of a statement before it runs.
#[derive(Default)]
pub(super) struct Known {
    pub(super) parameters: Vec<u32>,
    pub(super) columns: Option<Vec<ResultColumn>>,
}

impl Session {
    pub(super) async fn prepare_statement(
        &mut self,
        statement: Statement,
        parameter_oids: &[u32],
    ) -> Result<Prepared, Error> {
        if self.status() == TransactionStatus::Failed
            && !statement.ends_transaction()
            && !statement.is_empty()
        {
            return Err(Error::Aborted);
        }
        self.beside = None;
        let begun = self.transaction.is_some();
        let known = self.know(&statement, parameter_oids);
        let known = known.map_err(|error| self.behind_damage(error));
        if !begun && self.transaction.as_ref().is_some_and(|own| own.overlay.writes_nothing()) {
            // Looking at the catalog alone begins no transaction.
            self.roll_back();
        }
        let known = known?;
        Ok(Prepared {
            kind: kind_of(&statement.command),
            statement,
            parameters: known.parameters,
            columns: known.columns,
        })
    }

    pub(super) fn know(&mut self, statement: &Statement, oids: &[u32]) -> Result<Known, Error> {
        if self.beside.is_none()
            && let Some(with) = super::with::apart(&statement.command)
        {
            return self.know_with(statement, &with, oids);
        }
        let given = Known { parameters: oids.to_vec(), ..Known::default() };
        match &statement.command {
            Command::Query(query) if query.into.is_none() => {
                self.open_snapshot()?;
                self.know_query(statement, query, oids)
            }
            Command::Insert { insert, with, .. } => {
                self.open_snapshot()?;
                self.know_insert(statement, insert, with.as_ref(), oids)
            }
            Command::Update { update, with } => {
                self.open_snapshot()?;
                let (name, alias) = dml::update_target(update)?;
                let catalog = self.catalog()?;
                let oid = self.find_table(&catalog, &name)?;
                let table = table_of(&catalog, oid)?;
                let (query, numbers) = dml::update_query(table, update, with.as_ref())?;
                let targets: Vec<&Column> =
                    numbers.iter().filter_map(|number| table.column(*number)).collect();
                let (mut known, planned) = self.know_selected(statement, &query, &targets, oids)?;
                let returning = update.returning.as_deref();
                let from = dml::update_from(update);
                let others = dml::Others::of(table, &alias, &from, returning)?;
                let written = (oid, table, alias.as_str());
                known.columns =
                    self.know_beside(statement, written, others.as_ref(), &planned, returning)?;
                Ok(known)
            }
            Command::Delete { delete, with } => {
                self.open_snapshot()?;
                let (name, alias, _) = dml::delete_query(delete, None, None)?;
                let catalog = self.catalog()?;
                let oid = self.find_table(&catalog, &name)?;
                let table = table_of(&catalog, oid)?;
                let returning = delete.returning.as_deref();
                let using = delete.using.as_deref().unwrap_or_default();
                let others = dml::Others::of(table, &alias, using, returning)?;
                let (_, _, query) = dml::delete_query(delete, with.as_ref(), others.as_ref())?;
                let (mut known, planned) = self.know_selected(statement, &query, &[], oids)?;
                let written = (oid, table, alias.as_str());
                known.columns =
                    self.know_beside(statement, written, others.as_ref(), &planned, returning)?;
                Ok(known)
            }
            _ => Ok(Known { columns: self.told_columns(&statement.command), ..given }),
        }
    }

    /// The columns of what a session tells of itself, and of what it prepared before.
    fn told_columns(&self, command: &Command) -> Option<Vec<ResultColumn>> {
        match command {
            Command::Show(name) => {
                let title = crate::settings::definition(name).map_or(name.as_str(), |own| own.name);
                Some(vec![text_column(title)])
            }
            Command::ShowAll => Some(["name", "setting", "description"].map(text_column).to_vec()),
            Command::Explain { options, .. } => Some(vec![plan_column(*options)]),
            Command::Execute { name, .. } => {
                self.prepared.get(name).and_then(|found| found.columns.clone())
            }
            Command::Fetch { name, moves: false, .. } => {
                self.cursors.get(name).map(|cursor| cursor.columns.clone())
            }
            _ => None,
        }
    }

    fn know_query(
        &self,
        statement: &Statement,
        query: &Query,
        oids: &[u32],
    ) -> Result<Known, Error> {
        let context = self.query_context(statement)?;
        let options = PlanOptions { parameter_oids: oids, targets: None };
        let planned = read::plan_query(&context, &query.query, options)?;
        let parameters = planned.parameters.iter().map(PgType::oid).collect();
        let columns = Some(planned.columns.clone());
        // Rows to be locked are found by another query.
        if query.locks.is_empty() {
            self.keep(statement, planned);
        }
        Ok(Known { parameters, columns })
    }

    fn know_selected(
        &self,
        statement: &Statement,
        query: &ast::Query,
        targets: &[&Column],
        oids: &[u32],
    ) -> Result<(Known, std::sync::Arc<read::Planned>), Error> {
        let context = self.query_context(statement)?;
        let mut kinds = vec![PgType::Uuid];
        kinds.extend(targets.iter().map(|column| PgType::of(&column.kind)));
        let options = PlanOptions { parameter_oids: oids, targets: Some(&kinds) };
        let planned = read::plan_query(&context, query, options)?;
        let parameters = planned.parameters.iter().map(PgType::oid).collect();
        let planned = self.keep(statement, planned);
        Ok((Known { parameters, ..Known::default() }, planned))
    }

    /// The columns of RETURNING, of the table alone or of others beside it.
    fn know_beside(
        &self,
        statement: &Statement,
        (oid, table, alias): (ledger::Oid, &Table, &str),
        others: Option<&dml::Others<'_>>,
        found: &read::Planned,
        returning: Option<&[ast::SelectItem]>,
    ) -> Result<Option<Vec<ResultColumn>>, Error> {
        let Some(others) = others else {
            return self.know_returning(statement, oid, table, alias, returning);
        };
        let oids: Vec<u32> = found.parameters.iter().map(PgType::oid).collect();
        let shape = self.others_shape(statement, (oid, table, alias), others, found, &oids)?;
        Ok(Some(shape.0))
    }

    fn know_returning(
        &self,
        statement: &Statement,
        oid: ledger::Oid,
        table: &Table,
        alias: &str,
        returning: Option<&[ast::SelectItem]>,
    ) -> Result<Option<Vec<ResultColumn>>, Error> {
        let Some(items) = returning else { return Ok(None) };
        self.returning_columns(statement, oid, table, alias, items).map(Some)
    }

    fn know_insert(
        &self,
        statement: &Statement,
        insert: &ast::Insert,
        with: Option<&ast::With>,
        oids: &[u32],
    ) -> Result<Known, Error> {
        let name = dml::insert_target(insert)?;
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &name)?;
        let table = table_of(&catalog, oid)?;
        let numbers = dml::target_columns(table, &insert.columns)?;
        let targets: Vec<&Column> =
            numbers.iter().filter_map(|number| table.column(*number)).collect();
        let parameters = match insert.source.as_deref() {
            None => oids.to_vec(),
            Some(query) => match plain_parameters(query, &targets, oids) {
                Some(parameters) if with.is_none() && insert.on.is_none() => parameters,
                _ => {
                    let mut query = dml::without_defaults(query);
                    if with.is_some() {
                        query.with = with.cloned();
                    }
                    let context = self.query_context(statement)?;
                    let kinds: Vec<PgType> =
                        targets.iter().map(|column| PgType::of(&column.kind)).collect();
                    let options = PlanOptions { parameter_oids: oids, targets: Some(&kinds) };
                    let planned = read::plan_query(&context, &query, options)?;
                    let mut found: Vec<u32> = planned.parameters.iter().map(PgType::oid).collect();
                    self.keep(statement, planned);
                    self.know_conflict(statement, oid, table, insert, oids, &mut found)?;
                    found
                }
            },
        };
        let alias =
            insert.table_alias.as_ref().map(|alias| crate::statement::name_of(&alias.alias));
        let alias = alias.as_deref().unwrap_or(&table.name);
        let columns =
            self.know_returning(statement, oid, table, alias, insert.returning.as_deref())?;
        Ok(Known { parameters, columns })
    }
}

/// The parameters' types of an INSERT whose VALUES are parameters and literals alone.
fn plain_parameters(query: &ast::Query, targets: &[&Column], oids: &[u32]) -> Option<Vec<u32>> {
    let ast::SetExpr::Values(values) = query.body.as_ref() else { return None };
    let mut found = oids.to_vec();
    for row in &values.rows {
        for (expression, column) in row.iter().zip(targets) {
            match expression {
                ast::Expr::Value(value) => {
                    if let ast::Value::Placeholder(name) = &value.value {
                        let place =
                            name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?;
                        if place >= 65_535 {
                            return None;
                        }
                        if found.len() <= place {
                            found.resize(place + 1, 0);
                        }
                        let slot = found.get_mut(place)?;
                        if *slot == 0 {
                            *slot = wire_type(&column.kind).0;
                        }
                    }
                }
                other if dml::is_default(other) => {}
                ast::Expr::UnaryOp { expr, .. } if matches!(expr.as_ref(), ast::Expr::Value(_)) => {
                }
                _ => return None,
            }
        }
    }
    Some(found)
}

fn kind_of(command: &Command) -> StatementKind {
    match command {
        Command::Empty => StatementKind::Empty,
        Command::Begin { .. }
        | Command::Commit { .. }
        | Command::Rollback { .. }
        | Command::Savepoint(_)
        | Command::Release(_)
        | Command::RollbackTo(_) => StatementKind::Transaction,
        Command::Copy(copy) if copy.from => StatementKind::CopyIn,
        Command::Copy(_) => StatementKind::CopyOut,
        _ => StatementKind::Other,
    }
}
