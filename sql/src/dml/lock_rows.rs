//! SELECT … FOR UPDATE and its kind: rows are locked before they are given, and looked for again if
//! another transaction changed one meanwhile.

use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ledger::catalog::Privilege;
use ledger::{Oid, VersionId, View};
use storage::{LockMode, LockTarget, Wait};

use super::select::item;
use super::update::target_of;
use super::{Settled, table_of};
use crate::Error;
use crate::outcome::{Outcome, Parameter, Tag};
use crate::read;
use crate::session::Session;
use crate::statement::{Query, RowLocks, RowWait, Statement, Strength, name_of, parts_of};

/// A relation whose rows are locked.
struct Locked {
    table: Oid,
    alias: String,
    mode: LockMode,
    wait: RowWait,
}

/// What became of locking one row of the result.
enum Row {
    Held,
    Skipped,
    Stale,
}

impl Session {
    pub(crate) async fn query_with_locks(
        &mut self,
        statement: &Statement,
        query: &Query,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        if self.transaction.as_ref().is_some_and(|own| own.read_only)
            || self.shared.settings().as_of().is_some()
        {
            return Err(Error::ReadOnly { command: "SELECT FOR UPDATE".to_string() });
        }
        self.need_leader("locking rows")?;
        let locked = self.locked_relations(&query.query, &query.locks)?;
        for relation in &locked {
            self.lock_table_to_write(relation.table).await?;
        }
        let skips = locked.iter().any(|relation| relation.wait == RowWait::SkipLocked);
        let limit = if skips { bounds_of(&query.query, parameters)? } else { (0, None) };
        loop {
            let make = || Ok(with_versions(&query.query, &locked, skips));
            let planned = self.planned(statement, make, None, parameters);
            let planned = planned.map_err(|error| match error.sqlstate().as_str() {
                // The row's version stands beside an aggregate.
                "42803" => not_allowed("aggregate functions"),
                _ => error,
            })?;
            self.admit_reads(&planned)?;
            let batches = match self.point_batch(statement, &planned, parameters) {
                Some(batch) => vec![batch],
                None => {
                    let context = self.query_context(statement)?;
                    read::collect(&context, &planned, parameters).await?
                }
            };
            let width = planned.columns.len() - locked.len();
            let Some(batches) = self.lock_rows(&locked, width, limit, &batches).await? else {
                self.bounds.check()?;
                continue;
            };
            let mut columns = planned.columns.clone();
            columns.truncate(width);
            return Ok(Outcome::Rows {
                columns,
                stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
                tag: Tag::Counted("SELECT"),
            });
        }
    }

    /// Locks the rows of a result; `None` when it has to be looked for again.
    async fn lock_rows(
        &mut self,
        locked: &[Locked],
        width: usize,
        (mut skip, mut limit): (u64, Option<u64>),
        batches: &[RecordBatch],
    ) -> Result<Option<Vec<RecordBatch>>, Error> {
        let mut kept = Vec::new();
        for batch in batches {
            let mut places: Vec<u32> = Vec::new();
            for place in 0..batch.num_rows() {
                if limit == Some(0) {
                    break;
                }
                let mut held = true;
                for (at, relation) in locked.iter().enumerate() {
                    let column = batch.column(width + at);
                    if arrow::array::Array::is_null(column.as_ref(), place) {
                        continue;
                    }
                    let version = crate::rows::version_at(column, place)?;
                    match self.lock_row(relation, version).await? {
                        Row::Held => {}
                        Row::Skipped => held = false,
                        Row::Stale => return Ok(None),
                    }
                }
                if !held {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                limit = limit.map(|left| left - 1);
                places.push(u32::try_from(place).unwrap_or(u32::MAX));
            }
            let columns: Vec<usize> = (0..width).collect();
            let narrow =
                batch.project(&columns).map_err(|error| Error::internal(error.to_string()))?;
            let places = arrow::array::UInt32Array::from(places);
            kept.push(
                arrow::compute::take_record_batch(&narrow, &places)
                    .map_err(|error| Error::internal(error.to_string()))?,
            );
        }
        Ok(Some(kept))
    }

    async fn lock_row(&mut self, relation: &Locked, version: VersionId) -> Result<Row, Error> {
        if version.height == crate::overlay::OWN {
            return Ok(Row::Held);
        }
        let target = LockTarget::Row(relation.table, version);
        let wait = match relation.wait {
            RowWait::Wait => self.lock_wait(),
            RowWait::NoWait | RowWait::SkipLocked => Wait::NoWait,
        };
        match self.acquire_with(target, relation.mode, wait).await {
            Ok(_) => {}
            Err(Error::LockNotAvailable { .. }) if relation.wait == RowWait::SkipLocked => {
                return Ok(Row::Skipped);
            }
            Err(Error::LockNotAvailable { .. }) if relation.wait == RowWait::NoWait => {
                let catalog = self.catalog()?;
                let name = &table_of(&catalog, relation.table)?.name;
                return Err(Error::LockNotAvailable {
                    message: format!("could not obtain lock on row in relation \"{name}\""),
                });
            }
            Err(error) => return Err(error),
        }
        if self.transaction_mut().repeats.is_some() {
            return Ok(Row::Held);
        }
        let newest = self.engine.state.snapshot();
        if newest.height() == self.snapshot()?.height()
            || newest.alive(relation.table, version)?.is_some()
        {
            return Ok(Row::Held);
        }
        match self.superseded()? {
            Settled::Stale => Ok(Row::Stale),
            Settled::Done => Ok(Row::Held),
        }
    }

    fn locked_relations(
        &self,
        query: &ast::Query,
        locks: &[RowLocks],
    ) -> Result<Vec<Locked>, Error> {
        let ast::SetExpr::Select(select) = query.body.as_ref() else {
            return Err(not_allowed("UNION/INTERSECT/EXCEPT"));
        };
        let grouped = match &select.group_by {
            ast::GroupByExpr::All(_) => true,
            ast::GroupByExpr::Expressions(all, _) => !all.is_empty(),
        };
        if select.distinct.is_some() {
            return Err(not_allowed("DISTINCT clause"));
        }
        if grouped || select.having.is_some() {
            return Err(not_allowed("GROUP BY clause"));
        }
        let catalog = self.catalog()?;
        let mut found = Vec::new();
        for from in &select.from {
            let factors =
                std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
            for factor in factors {
                let whole = ast::TableWithJoins { relation: factor.clone(), joins: Vec::new() };
                let target = match target_of(&whole) {
                    Ok(target) => target,
                    Err(error) if is_meant(factor, locks) => return Err(error),
                    Err(_) => continue,
                };
                let wanted: Vec<&RowLocks> = locks
                    .iter()
                    .filter(|lock| lock.of.is_empty() || lock.of.contains(&target.alias))
                    .collect();
                let Some(strength) = wanted.iter().map(|lock| lock.strength).max() else {
                    continue;
                };
                let wait = wanted.iter().map(|lock| lock.wait).find(|wait| *wait != RowWait::Wait);
                let Ok(table) = self.find_table(&catalog, &target.name) else {
                    return Err(Error::unsupported(
                        format!("FOR UPDATE of \"{}\"", target.alias),
                        "Lock the rows of tables: name them with FOR UPDATE OF.",
                    ));
                };
                self.need_privilege(&catalog, table, Privilege::Update)?;
                found.push(Locked {
                    table,
                    alias: target.alias,
                    mode: mode_of(strength),
                    wait: wait.unwrap_or(RowWait::Wait),
                });
            }
        }
        for name in locks.iter().flat_map(|lock| &lock.of) {
            if !found.iter().any(|relation| relation.alias == *name) {
                return Err(Error::new(
                    "42P01",
                    format!("relation \"{name}\" in FOR UPDATE clause not found in FROM clause"),
                ));
            }
        }
        Ok(found)
    }
}

/// Whether it is a table's past whose rows are to be locked.
fn is_meant(factor: &ast::TableFactor, locks: &[RowLocks]) -> bool {
    let ast::TableFactor::Table { name, alias, version: Some(_), .. } = factor else {
        return false;
    };
    let alias = alias.as_ref().map(|alias| name_of(&alias.name));
    let shown = alias.or_else(|| parts_of(name).ok()?.pop()).unwrap_or_default();
    locks.iter().any(|lock| lock.of.is_empty() || lock.of.contains(&shown))
}

fn not_allowed(what: &str) -> Error {
    Error::new("0A000", format!("FOR UPDATE is not allowed with {what}"))
        .with_hint("Lock the rows in a query of their own.")
}

fn mode_of(strength: Strength) -> LockMode {
    match strength {
        Strength::KeyShare => LockMode::KeyShare,
        Strength::Share => LockMode::Share,
        Strength::NoKeyUpdate => LockMode::NoKeyUpdate,
        Strength::Update => LockMode::Update,
    }
}

/// The query with the versions of the rows to lock as last columns. Where locked rows are skipped, LIMIT
/// and OFFSET count the rows that are left: they are taken out of the query.
fn with_versions(query: &ast::Query, locked: &[Locked], skips: bool) -> ast::Query {
    let mut query = query.clone();
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        for relation in locked {
            select.projection.push(item(&relation.alias, "ledger_version"));
        }
    }
    if skips {
        query.limit_clause = None;
        query.fetch = None;
    }
    query
}

/// What OFFSET and LIMIT say.
fn bounds_of(query: &ast::Query, parameters: &[Parameter]) -> Result<(u64, Option<u64>), Error> {
    let number = |expression: &ast::Expr| -> Result<u64, Error> {
        let zone = crate::settings::Zone::UTC;
        super::constant(expression, parameters, zone)?
            .and_then(|constant| match constant.value {
                ledger::Value::Text(text) => text.parse().ok(),
                ledger::Value::Int4(number) => u64::try_from(number).ok(),
                ledger::Value::Int8(number) => u64::try_from(number).ok(),
                _ => None,
            })
            .ok_or_else(|| {
                Error::unsupported("an expression in LIMIT with SKIP LOCKED", "Write a number.")
            })
    };
    let mut bounds = (0, None);
    if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        bounds.0 = offset.as_ref().map_or(Ok(0), |offset| number(&offset.value))?;
        bounds.1 = limit.as_ref().map(number).transpose()?;
    }
    if let Some(fetch) = &query.fetch {
        bounds.1 = Some(fetch.quantity.as_ref().map_or(Ok(1), number)?);
    }
    Ok(bounds)
}
