//! DELETE: the planner gives the rows' versions; they are locked, and if another transaction was
//! faster, READ COMMITTED looks again.

use datafusion::sql::sqlparser::ast;
use ledger::Value;
use ledger::catalog::Privilege;

use super::others::Others;
use super::select::{item, select_from};
use super::update::target_of;
use super::{Change, Settled, table_of as definition_of};
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
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &name)?;
        self.need_privilege(&catalog, oid, Privilege::Delete)?;
        self.lock_table_to_write(oid).await?;
        let catalog = self.catalog()?;
        let table = definition_of(&catalog, oid)?;
        let returning = delete.returning.as_deref();
        let using = delete.using.as_deref().unwrap_or_default();
        let others = Others::of(table, &alias, using, returning)?;
        let query = || Ok(query_of(delete, with, others.as_ref())?.2);
        let looks = delete.selection.is_some() || delete.using.is_some();
        let (changes, beside) = loop {
            let (selected, beside) = self
                .selected(statement, query, &[], (oid, looks), parameters, others.is_some())
                .await?;
            let mut changes = Vec::with_capacity(selected.len());
            let mut kept = Vec::new();
            for (place, (version, _)) in (0..).zip(selected) {
                let Some(before) = self.look(|sight| sight.values(oid, version))? else {
                    if self.written_beside(oid, version)? {
                        continue;
                    }
                    return Err(Error::internal("a selected row that isn't there"));
                };
                changes.push(Change::Delete { old: version, before });
                kept.push(place);
            }
            if self.settle(oid, &changes).await? == Settled::Done {
                break (changes, beside.map(|beside| (beside, kept)));
            }
            self.bounds.check()?;
        };
        let tag = format!("DELETE {}", changes.len());
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        if let (Some(others), Some((beside, kept))) = (&others, beside) {
            let found = (others, beside.planned.as_ref(), beside.take(&kept)?);
            let written = (oid, alias.as_str());
            return self
                .give_beside_others(statement, written, &rows, found, parameters, tag)
                .await;
        }
        self.give(statement, oid, Some(&alias), &rows, returning, parameters, tag).await
    }
}

/// A DELETE's table, its alias, and the query that gives its rows.
pub(crate) fn query_of(
    delete: &ast::Delete,
    with: Option<&ast::With>,
    others: Option<&Others<'_>>,
) -> Result<(Vec<String>, String, ast::Query), Error> {
    let (name, alias) = target(delete)?;
    let mut all = vec![table_of(delete)?.clone()];
    all.extend(delete.using.iter().flatten().cloned());
    let mut items = vec![item(&alias, "ledger_version")];
    items.extend(others.into_iter().flat_map(Others::selected));
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
