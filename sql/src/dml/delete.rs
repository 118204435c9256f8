//! DELETE: the planner gives the rows' versions; they are locked, and if another transaction was
//! faster, READ COMMITTED looks again.

use datafusion::sql::sqlparser::ast;
use ledger::Value;
use ledger::catalog::Privilege;

use super::select::{item, select_from};
use super::update::{beside_own, own_columns_only, target_of};
use super::{Change, Settled};
use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;

impl Session {
    pub(crate) async fn delete(
        &mut self,
        statement: &Statement,
        delete: &ast::Delete,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let (name, alias) = target(delete)?;
        let query = || Ok(query_of(delete, with)?.2);
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &name)?;
        self.need_privilege(&catalog, oid, Privilege::Delete)?;
        self.lock_table_to_write(oid).await?;
        if delete.using.is_some() {
            own_columns_only(delete.returning.as_deref())?;
        }
        let looks = delete.selection.is_some() || delete.using.is_some();
        let changes = loop {
            let selected = self.selected(statement, query, &[], (oid, looks), parameters).await?;
            let mut changes = Vec::with_capacity(selected.len());
            for (version, _) in selected {
                let Some(before) = self.look(|sight| sight.values(oid, version))? else {
                    if self.written_beside(oid, version)? {
                        continue;
                    }
                    return Err(Error::internal("a selected row that isn't there"));
                };
                changes.push(Change::Delete { old: version, before });
            }
            if self.settle(oid, &changes).await? == Settled::Done {
                break changes;
            }
            self.bounds.check()?;
        };
        let tag = format!("DELETE {}", changes.len());
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        let returning = delete.returning.as_deref();
        let outcome =
            self.give(statement, oid, Some(&alias), &rows, returning, parameters, tag).await;
        if delete.using.is_some() { outcome.map_err(beside_own) } else { outcome }
    }
}

/// A DELETE's table, its alias, and the query that gives its rows.
pub(crate) fn query_of(
    delete: &ast::Delete,
    with: Option<&ast::With>,
) -> Result<(Vec<String>, String, ast::Query), Error> {
    let (name, alias) = target(delete)?;
    let mut all = vec![table_of(delete)?.clone()];
    all.extend(delete.using.iter().flatten().cloned());
    let items = vec![item(&alias, "ledger_version")];
    let mut query = select_from(items, all, delete.selection.clone());
    query.with = with.cloned();
    Ok((name, alias, query))
}

/// A DELETE's table and its alias.
fn target(delete: &ast::Delete) -> Result<(Vec<String>, String), Error> {
    if !delete.tables.is_empty()
        || !delete.order_by.is_empty()
        || delete.limit.is_some()
        || delete.output.is_some()
    {
        return Err(Error::new("42601", "syntax error in DELETE")
            .with_hint("This form of DELETE is of another database."));
    }
    let target = target_of(table_of(delete)?)?;
    Ok((target.name, target.alias))
}

fn table_of(delete: &ast::Delete) -> Result<&ast::TableWithJoins, Error> {
    let from = match &delete.from {
        ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from) => from,
    };
    match from.as_slice() {
        [table] => Ok(table),
        _ => Err(Error::new("42601", "DELETE writes to one table")),
    }
}
