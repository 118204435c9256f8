//! MERGE: the source joined to the target says for each pair which clause applies, with the values of
//! its expressions; the rows are then written like those of UPDATE, DELETE and INSERT.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;
use ledger::catalog::Privilege;
use ledger::{Column, ColumnNumber, Oid, Table, Value};

use super::insert::{check_width, column_of, is_default, target_columns};
use super::select::{item, select_from};
use super::update::{Set, sets_of, target_of};
use super::{Change, Settled, table_of};
use crate::Error;
use crate::functions::{Datum, datum_at};
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::Statement;
use crate::statement::rewrite::{DEFAULTS, NOTHING};
use crate::types::PgType;

/// A WHEN clause, with the place of its first expression among the query's columns.
struct Clause<'a> {
    guard: ast::Expr,
    action: Action<'a>,
    first: usize,
}

enum Action<'a> {
    Insert {
        columns: Vec<ColumnNumber>,
        values: Vec<Option<&'a ast::Expr>>,
    },
    Update(Vec<(ColumnNumber, Set<'a>)>),
    Delete,
    /// `DO NOTHING`
    Nothing,
}

impl Session {
    pub(crate) async fn merge(
        &mut self,
        statement: &Statement,
        merge: &ast::Merge,
        with: Option<&ast::With>,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        if merge.output.is_some() {
            return Err(Error::unsupported("MERGE … RETURNING", "Select the rows afterwards."));
        }
        let whole = ast::TableWithJoins { relation: merge.table.clone(), joins: Vec::new() };
        let target = target_of(&whole)?;
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &target.name)?;
        self.lock_table_to_write(oid).await?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let clauses = clauses_of(table, &target.alias, merge)?;
        for clause in &clauses {
            let privilege = match clause.action {
                Action::Insert { .. } => Privilege::Insert,
                Action::Update(_) => Privilege::Update,
                Action::Delete => Privilege::Delete,
                Action::Nothing => continue,
            };
            self.need_privilege(&catalog, oid, privilege)?;
        }
        let (query, targets) = merge_query(table, &target.alias, merge, &clauses, with)?;
        let changes = loop {
            let changes =
                self.merged(statement, oid, table, &query, &targets, &clauses, parameters).await?;
            if self.settle(oid, &changes).await? == Settled::Done {
                break changes;
            }
            self.bounds.check()?;
        };
        Ok(Outcome::done(format!("MERGE {}", changes.len())))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    async fn merged(
        &mut self,
        statement: &Statement,
        oid: Oid,
        table: &Table,
        query: &ast::Query,
        targets: &[Option<&Column>],
        clauses: &[Clause<'_>],
        parameters: &[Parameter],
    ) -> Result<Vec<Change>, Error> {
        let context = self.query_context(statement)?;
        let mut kinds = vec![PgType::Uuid, PgType::Int4];
        kinds.extend(targets.iter().map(|target| match target {
            Some(column) => PgType::of(&column.kind),
            None => PgType::Bool,
        }));
        let (planned, batches) = self.collect(&context, query, Some(&kinds), parameters).await?;
        self.admit_reads(&planned)?;
        let zone = self.zone();
        let mut seen = BTreeSet::new();
        let mut changes = Vec::new();
        for batch in &batches {
            self.bounds.check()?;
            for place in 0..batch.num_rows() {
                let number = match datum_at(batch.column(1).as_ref(), place)? {
                    Datum::Int(number) => usize::try_from(number).unwrap_or(usize::MAX),
                    _ => continue,
                };
                let Some(clause) = clauses.get(number) else { continue };
                let read = |offset: usize, column: &Column| {
                    let at = 2 + clause.first + offset;
                    let kinds = planned.types.get(at..=at).unwrap_or_default();
                    let values = super::values_at(batch, at, kinds, &[column], place, zone)?;
                    Ok::<Value, Error>(values.into_iter().next().unwrap_or(Value::Null))
                };
                if let Action::Insert { columns, values } = &clause.action {
                    let after = self.merge_row(table, columns, values, read).await?;
                    changes.push(Change::Insert { after });
                    continue;
                }
                if matches!(clause.action, Action::Nothing) {
                    continue;
                }
                let version = crate::rows::version_at(batch.column(0), place)?;
                if !seen.insert(version) {
                    return Err(Error::new(
                        "21000",
                        "MERGE command cannot affect row a second time",
                    )
                    .with_hint(
                        "Ensure that not more than one source row matches any one target row.",
                    ));
                }
                let Some(before) = self.look(|sight| sight.values(oid, version))? else {
                    if self.written_beside(oid, version)? {
                        continue;
                    }
                    return Err(Error::internal("a selected row that isn't there"));
                };
                changes.push(match &clause.action {
                    Action::Update(sets) => {
                        let mut values = Vec::new();
                        for (number, set) in sets {
                            if matches!(set, Set::Expression(_)) {
                                values.push(read(values.len(), column_of(table, *number)?)?);
                            }
                        }
                        let after = self.updated(table, sets, &before, values)?;
                        Change::Update { old: version, before, after }
                    }
                    Action::Delete | Action::Nothing | Action::Insert { .. } => {
                        Change::Delete { old: version, before }
                    }
                });
            }
        }
        Ok(changes)
    }

    /// A row of MERGE's INSERT. `read` gives the values of its expressions, in order.
    async fn merge_row(
        &mut self,
        table: &Table,
        columns: &[ColumnNumber],
        values: &[Option<&ast::Expr>],
        read: impl Fn(usize, &Column) -> Result<Value, Error>,
    ) -> Result<Vec<Value>, Error> {
        let mut given: Vec<Option<Value>> = vec![None; table.columns.len()];
        let mut offset = 0;
        for (number, value) in columns.iter().zip(values) {
            if value.is_none() {
                continue;
            }
            let column = column_of(table, *number)?;
            let value = read(offset, column)?;
            offset += 1;
            if let Some(slot) = given.get_mut(usize::from(number.0).wrapping_sub(1)) {
                *slot = super::insert::explicit(column, value, None)?;
            }
        }
        let mut after = Vec::with_capacity(given.len());
        for (column, value) in table.columns.iter().zip(given) {
            after.push(match value {
                _ if column.dropped => Value::Null,
                Some(value) => value,
                None => self.default_of(column).await?,
            });
        }
        Ok(after)
    }
}

/// The clauses, each with the condition under which it is the one that applies.
fn clauses_of<'a>(
    table: &Table,
    alias: &str,
    merge: &'a ast::Merge,
) -> Result<Vec<Clause<'a>>, Error> {
    let version = ast::Expr::CompoundIdentifier(vec![
        ast::Ident::with_quote('"', alias),
        ast::Ident::with_quote('"', "ledger_version"),
    ]);
    let mut clauses = Vec::with_capacity(merge.clauses.len());
    let mut first = 0;
    for clause in &merge.clauses {
        let there = match clause.clause_kind {
            ast::MergeClauseKind::Matched => ast::Expr::IsNotNull(Box::new(version.clone())),
            ast::MergeClauseKind::NotMatched | ast::MergeClauseKind::NotMatchedByTarget => {
                ast::Expr::IsNull(Box::new(version.clone()))
            }
            ast::MergeClauseKind::NotMatchedBySource => {
                return Err(Error::unsupported(
                    "WHEN NOT MATCHED BY SOURCE",
                    "Write these rows in a statement of their own.",
                ));
            }
        };
        let guard = match &clause.predicate {
            None => there,
            Some(predicate) => ast::Expr::BinaryOp {
                left: Box::new(there),
                op: ast::BinaryOperator::And,
                right: Box::new(ast::Expr::Nested(Box::new(predicate.clone()))),
            },
        };
        let action = action_of(table, &clause.action)?;
        let width = match &action {
            Action::Insert { values, .. } => values.iter().flatten().count(),
            Action::Update(sets) => {
                sets.iter().filter(|(_, set)| matches!(set, Set::Expression(_))).count()
            }
            Action::Delete | Action::Nothing => 0,
        };
        clauses.push(Clause { guard, action, first });
        first += width;
    }
    Ok(clauses)
}

fn action_of<'a>(table: &Table, action: &'a ast::MergeAction) -> Result<Action<'a>, Error> {
    match action {
        ast::MergeAction::Delete { .. } => Ok(Action::Delete),
        ast::MergeAction::Update(update) => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return Err(Error::new("42601", "syntax error in MERGE: WHERE after UPDATE"));
            }
            if let [assignment] = update.assignments.as_slice()
                && let ast::AssignmentTarget::ColumnName(name) = &assignment.target
                && is_marker(name, NOTHING)
            {
                return Ok(Action::Nothing);
            }
            Ok(Action::Update(sets_of(table, &update.assignments)?))
        }
        ast::MergeAction::Insert(insert) => {
            if insert.insert_predicate.is_some() {
                return Err(Error::new("42601", "syntax error in MERGE: WHERE after INSERT"));
            }
            match insert.columns.as_slice() {
                [name] if is_marker(name, NOTHING) => return Ok(Action::Nothing),
                [name] if is_marker(name, DEFAULTS) => {
                    return Ok(Action::Insert { columns: Vec::new(), values: Vec::new() });
                }
                _ => {}
            }
            let columns = target_columns(table, &insert.columns)?;
            let ast::MergeInsertKind::Values(values) = &insert.kind else {
                return Err(Error::new("42601", "syntax error in MERGE: INSERT ROW"));
            };
            let [row] = values.rows.as_slice() else {
                return Err(Error::new("42601", "MERGE inserts one row for each source row"));
            };
            check_width(row.len(), columns.len(), !insert.columns.is_empty())?;
            let values = row.iter().map(|value| (!is_default(value)).then_some(value)).collect();
            Ok(Action::Insert { columns, values })
        }
    }
}

/// `SELECT version, clause, expressions FROM source LEFT JOIN target ON condition`
fn merge_query<'t>(
    table: &'t Table,
    alias: &str,
    merge: &ast::Merge,
    clauses: &[Clause<'_>],
    with: Option<&ast::With>,
) -> Result<(ast::Query, Vec<Option<&'t Column>>), Error> {
    let number =
        |number: usize| ast::Expr::Value(ast::Value::Number(number.to_string(), false).into());
    let arms: Vec<(ast::Expr, ast::Expr)> =
        clauses.iter().enumerate().map(|(at, clause)| (clause.guard.clone(), number(at))).collect();
    let mut items = vec![item(alias, "ledger_version"), unnamed(case(arms))];
    let mut targets = Vec::new();
    let mut push = |at: usize, value: &ast::Expr, column: &'t Column| -> Result<(), Error> {
        // Only the clause that applies may evaluate its expressions.
        let mut arms: Vec<(ast::Expr, ast::Expr)> = clauses
            .iter()
            .take(at)
            .map(|clause| (clause.guard.clone(), ast::Expr::Value(ast::Value::Null.into())))
            .collect();
        if let Some(clause) = clauses.get(at) {
            arms.push((clause.guard.clone(), typed(value, column)?));
        }
        items.push(unnamed(case(arms)));
        targets.push(Some(column));
        Ok(())
    };
    for (at, clause) in clauses.iter().enumerate() {
        match &clause.action {
            Action::Insert { columns, values } => {
                for (column, value) in columns.iter().zip(values) {
                    if let Some(value) = value {
                        push(at, value, column_of(table, *column)?)?;
                    }
                }
            }
            Action::Update(sets) => {
                for (column, set) in sets {
                    if let Set::Expression(value) = set {
                        push(at, value, column_of(table, *column)?)?;
                    }
                }
            }
            Action::Delete | Action::Nothing => {}
        }
    }
    let join = ast::Join {
        relation: merge.table.clone(),
        global: false,
        join_operator: ast::JoinOperator::LeftOuter(ast::JoinConstraint::On((*merge.on).clone())),
    };
    let from = ast::TableWithJoins { relation: merge.source.clone(), joins: vec![join] };
    let mut query = select_from(items, vec![from], None);
    query.with = with.cloned();
    Ok((query, targets))
}

/// Whether the name is one that the rewriting of tokens put in place of an action.
fn is_marker(name: &ast::ObjectName, marker: &str) -> bool {
    matches!(name.0.as_slice(), [ast::ObjectNamePart::Identifier(ident)] if ident.value == marker)
}

fn unnamed(expression: ast::Expr) -> ast::SelectItem {
    ast::SelectItem::UnnamedExpr(expression)
}

fn case(arms: Vec<(ast::Expr, ast::Expr)>) -> ast::Expr {
    ast::Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: arms
            .into_iter()
            .map(|(condition, result)| ast::CaseWhen { condition, result })
            .collect(),
        else_result: None,
    }
}

/// A literal or a parameter takes its column's type.
fn typed(value: &ast::Expr, column: &Column) -> Result<ast::Expr, Error> {
    match value {
        ast::Expr::Value(_) => {
            let text = format!("CAST(NULL AS {})", column.kind);
            let mut cast = crate::statement::parse_expression(&text)?;
            if let ast::Expr::Cast { expr, .. } = &mut cast {
                **expr = value.clone();
            }
            Ok(cast)
        }
        other => Ok(other.clone()),
    }
}
