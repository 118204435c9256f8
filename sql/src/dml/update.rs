//! UPDATE: the planner gives each row's version and new values; the row is locked, and if another
//! transaction was faster, READ COMMITTED looks again.

use std::borrow::Cow;

use datafusion::sql::sqlparser::ast;
use ledger::catalog::Privilege;
use ledger::{Column, ColumnNumber, Table, Value};

use super::insert::is_default;
use super::others::Others;
use super::select::{item, select_from};
use super::{Change, Settled, table_of};
use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::{Statement, name_of, parts_of};

/// What SET does to a column.
pub(super) enum Set<'a> {
    Expression(Box<Cow<'a, ast::Expr>>),
    Default,
}

/// The table that a statement writes to, as it stands in FROM.
pub(super) struct Target {
    pub(super) name: Vec<String>,
    pub(super) alias: String,
}

/// Name and alias of the table that a statement writes to.
pub(super) fn target_of(relation: &ast::TableWithJoins) -> Result<Target, Error> {
    let ast::TableFactor::Table { name, alias, args: None, version, .. } = &relation.relation
    else {
        return Err(Error::unsupported("to write to this", "Name a table."));
    };
    if version.is_some() {
        return Err(Error::new("25006", "the past can't be written to, nor its rows be locked")
            .with_hint("Name the table without FOR SYSTEM_TIME."));
    }
    if !relation.joins.is_empty() {
        return Err(Error::new("42601", "syntax error at or near \"JOIN\""));
    }
    let name = parts_of(name)?;
    let alias = match alias {
        Some(alias) => name_of(&alias.name),
        None => name.last().cloned().unwrap_or_default(),
    };
    Ok(Target { name, alias })
}

/// What SET says, by column.
pub(super) fn sets_of<'a>(
    table: &Table,
    assignments: &'a [ast::Assignment],
) -> Result<Vec<(ColumnNumber, Set<'a>)>, Error> {
    let mut sets: Vec<(ColumnNumber, Set<'a>)> = Vec::new();
    let mut put = |name: &ast::ObjectName, value: Cow<'a, ast::Expr>| {
        let parts = parts_of(name)?;
        let name = parts.last().cloned().unwrap_or_default();
        let column = table.find_column(&name).filter(|_| parts.len() == 1);
        let column = column.ok_or_else(|| Error::UndefinedColumn {
            message: format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            position: None,
        })?;
        if sets.iter().any(|(number, _)| *number == column.number) {
            return Err(Error::new(
                "42601",
                format!("multiple assignments to same column \"{name}\""),
            ));
        }
        if column.identity.is_some_and(|identity| identity.always) && !is_default(&value) {
            return Err(Error::new(
                "428C9",
                format!("column \"{name}\" can only be updated to DEFAULT"),
            )
            .with_detail(format!(
                "Column \"{name}\" is an identity column defined as GENERATED ALWAYS."
            )));
        }
        let set = if is_default(&value) { Set::Default } else { Set::Expression(Box::new(value)) };
        sets.push((column.number, set));
        Ok::<(), Error>(())
    };
    for assignment in assignments {
        match (&assignment.target, &assignment.value) {
            (ast::AssignmentTarget::ColumnName(name), value) => put(name, Cow::Borrowed(value))?,
            (ast::AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) => {
                if names.len() != values.len() {
                    return Err(Error::new(
                        "42601",
                        "number of columns does not match number of values",
                    ));
                }
                for (name, value) in names.iter().zip(values) {
                    put(name, Cow::Borrowed(value))?;
                }
            }
            (ast::AssignmentTarget::Tuple(names), ast::Expr::Nested(value)) if names.len() == 1 => {
                if let Some(name) = names.first() {
                    put(name, Cow::Borrowed(value))?;
                }
            }
            (ast::AssignmentTarget::Tuple(names), ast::Expr::Subquery(query)) => {
                for (at, name) in names.iter().enumerate() {
                    put(name, Cow::Owned(column_of_query(query, at, names.len())?))?;
                }
            }
            _ => {
                return Err(Error::unsupported(
                    "this value of SET (…)",
                    "Write a list in parentheses, or a query.",
                ));
            }
        }
    }
    Ok(sets)
}

impl Session {
    pub(crate) async fn update(
        &mut self,
        statement: &Statement,
        update: &ast::Update,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        refuse(update)?;
        let target = target_of(&update.table)?;
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &target.name)?;
        self.need_privilege(&catalog, oid, Privilege::Update)?;
        self.lock_table_to_write(oid).await?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let sets = sets_of(table, &update.assignments)?;
        let extra = from_of(update);
        let returning = update.returning.as_deref();
        let others = Others::of(table, &target.alias, &extra, returning)?;
        let query = || Ok(update_query(update, &target, &sets, (&extra, others.as_ref()), with));
        let targets: Vec<&Column> = sets
            .iter()
            .filter(|(_, set)| matches!(set, Set::Expression(_)))
            .map(|(number, _)| super::insert::column_of(table, *number))
            .collect::<Result<_, _>>()?;
        let looks = update.selection.is_some() || !extra.is_empty();
        let (changes, beside) = loop {
            let (selected, beside) = self
                .selected(statement, query, &targets, (oid, looks), parameters, others.is_some())
                .await?;
            let mut changes = Vec::with_capacity(selected.len());
            let mut kept = Vec::new();
            for (place, (version, values)) in (0..).zip(selected) {
                let Some(before) = self.look(|sight| sight.values(oid, version))? else {
                    if self.written_beside(oid, version)? {
                        continue;
                    }
                    return Err(Error::internal("a selected row that isn't there"));
                };
                let after = self.updated(table, &sets, &before, values)?;
                changes.push(Change::Update { old: version, before, after });
                kept.push(place);
            }
            if self.settle(oid, &changes).await? == Settled::Done {
                break (changes, beside.map(|beside| (beside, kept)));
            }
            self.bounds.check()?;
        };
        let tag = format!("UPDATE {}", changes.len());
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        let written = (oid, target.alias.as_str());
        if let (Some(others), Some((beside, kept))) = (&others, beside) {
            let found = (others, beside.planned.as_ref(), beside.take(&kept)?);
            return self
                .give_beside_others(statement, written, &rows, found, parameters, tag)
                .await;
        }
        self.give(statement, oid, Some(&target.alias), &rows, returning, parameters, tag).await
    }

    /// A row after SET. `values` are those of the expressions, in order.
    pub(super) fn updated(
        &self,
        table: &Table,
        sets: &[(ColumnNumber, Set<'_>)],
        before: &[Value],
        values: Vec<Value>,
    ) -> Result<Vec<Value>, Error> {
        let mut after = before.to_vec();
        let mut values = values.into_iter();
        for (number, set) in sets {
            let value = match set {
                Set::Expression(_) => values.next().unwrap_or(Value::Null),
                Set::Default => self.default_value(super::insert::column_of(table, *number)?)?,
            };
            if let Some(slot) = after.get_mut(usize::from(number.0).wrapping_sub(1)) {
                *slot = value;
            }
        }
        Ok(after)
    }
}

/// One column of a query that gives so many: the query is asked whole, since its rows may hang on all columns.
fn column_of_query(query: &ast::Query, at: usize, wanted: usize) -> Result<ast::Expr, Error> {
    if let ast::SetExpr::Select(select) = query.body.as_ref() {
        let plain = select.projection.iter().all(|item| {
            matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. })
        });
        if !plain {
            return Err(Error::unsupported("SET (…) = (SELECT * …)", "Name the columns."));
        }
        if select.projection.len() != wanted {
            return Err(Error::new("42601", "number of columns does not match number of values"));
        }
    }
    let name = |at: usize| ast::Ident::with_quote('"', format!("s{at}"));
    let columns = (0..wanted).map(|at| ast::TableAliasColumnDef::from_name(format!("s{at}")));
    let from = ast::TableWithJoins {
        relation: ast::TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query.clone()),
            alias: Some(ast::TableAlias {
                explicit: true,
                name: ast::Ident::new("set"),
                columns: columns.collect(),
                at: None,
            }),
            sample: None,
        },
        joins: Vec::new(),
    };
    let item = ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(name(at)));
    Ok(ast::Expr::Subquery(Box::new(select_from(vec![item], vec![from], None))))
}

fn refuse(update: &ast::Update) -> Result<(), Error> {
    if update.or.is_some()
        || update.output.is_some()
        || !update.order_by.is_empty()
        || update.limit.is_some()
    {
        return Err(Error::new("42601", "syntax error in UPDATE")
            .with_hint("This form of UPDATE is of another database."));
    }
    Ok(())
}

/// The relations beside the table that an UPDATE writes to.
pub(crate) fn from_of(update: &ast::Update) -> Vec<ast::TableWithJoins> {
    match &update.from {
        Some(
            ast::UpdateTableFromKind::AfterSet(from) | ast::UpdateTableFromKind::BeforeSet(from),
        ) => from.clone(),
        None => Vec::new(),
    }
}

/// `SELECT version, expressions FROM target, from WHERE selection`
fn update_query(
    update: &ast::Update,
    target: &Target,
    sets: &[(ColumnNumber, Set<'_>)],
    (extra, others): (&[ast::TableWithJoins], Option<&Others<'_>>),
    with: Option<&ast::With>,
) -> ast::Query {
    let mut items = vec![item(&target.alias, "ledger_version")];
    for (_, set) in sets {
        if let Set::Expression(expression) = set {
            items.push(ast::SelectItem::UnnamedExpr(expression.as_ref().clone().into_owned()));
        }
    }
    items.extend(others.into_iter().flat_map(Others::selected));
    let mut from = vec![update.table.clone()];
    from.extend(extra.iter().cloned());
    let mut query = select_from(items, from, update.selection.clone());
    query.with = with.cloned();
    query
}

/// The query that gives an UPDATE's rows, for its parameters' types.
pub(crate) fn query_to_prepare(
    table: &Table,
    update: &ast::Update,
    with: Option<&ast::With>,
) -> Result<(ast::Query, Vec<ColumnNumber>), Error> {
    let target = target_of(&update.table)?;
    let sets = sets_of(table, &update.assignments)?;
    let extra = from_of(update);
    let others = Others::of(table, &target.alias, &extra, update.returning.as_deref())?;
    let query = update_query(update, &target, &sets, (&extra, others.as_ref()), with);
    let numbers = sets
        .iter()
        .filter(|(_, set)| matches!(set, Set::Expression(_)))
        .map(|(number, _)| *number)
        .collect();
    Ok((query, numbers))
}

/// The table that an UPDATE writes to.
pub(crate) fn table_name(update: &ast::Update) -> Result<(Vec<String>, String), Error> {
    let target = target_of(&update.table)?;
    Ok((target.name, target.alias))
}
