//! FROM: relations, queries, functions, joins; and the way of conditions down to where they can be asked first.

use datafusion::sql::sqlparser::ast::{
    FunctionArg, Join as AstJoin, JoinConstraint, JoinOperator, TableAlias, TableFactor,
    TableWithJoins,
};

use super::bind::{Binder, ScopeColumn, ScopeRelation, fold};
use super::tree::{Call, Comparison, Expr, Join, JoinKind, Source, SourceKind, Typed};
use super::{catalog_relation, schema_and_name};
use crate::Error;
use crate::types::PgType;

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(
        format!("{what} in a query of the catalogs"),
        "docs/sql.md lists what such queries can do.",
    )
}

impl Binder<'_> {
    /// All of FROM.
    pub(super) fn from(&mut self, items: &[TableWithJoins]) -> Result<Source, Error> {
        let mut all: Option<Source> = None;
        for item in items {
            let next = self.joined(item)?;
            all = Some(match all {
                None => next,
                Some(left) => join(JoinKind::Inner, left, next, Vec::new()),
            });
        }
        let nothing = Source { base: 0, width: 0, kind: SourceKind::Nothing, filter: Vec::new() };
        Ok(all.unwrap_or(nothing))
    }

    fn joined(&mut self, item: &TableWithJoins) -> Result<Source, Error> {
        let first = self.level()?.relations.len();
        let mut source = self.factor(&item.relation)?;
        for next in &item.joins {
            source = self.join(source, first, next)?;
        }
        Ok(source)
    }

    fn join(&mut self, left: Source, first: usize, next: &AstJoin) -> Result<Source, Error> {
        use JoinOperator as J;
        let (kind, constraint) = match &next.join_operator {
            J::Join(c) | J::Inner(c) => (JoinKind::Inner, c),
            J::CrossJoin(c) => (JoinKind::Inner, c),
            J::Left(c) | J::LeftOuter(c) => (JoinKind::Left, c),
            J::Right(c) | J::RightOuter(c) => (JoinKind::Right, c),
            J::FullOuter(c) => (JoinKind::Full, c),
            other => return Err(unsupported(format!("{other:?}"))),
        };
        let second = self.level()?.relations.len();
        let right = self.factor(&next.relation)?;
        let on = match constraint {
            JoinConstraint::On(condition) => conjuncts(self.bool(condition)?),
            JoinConstraint::None => Vec::new(),
            JoinConstraint::Using(names) => {
                let mut columns = Vec::new();
                for name in names {
                    columns.extend(schema_and_name(name).map(|(_, name)| name));
                }
                self.using(kind, first, second, &columns)?
            }
            JoinConstraint::Natural => {
                let level = self.level()?;
                let (before, after) = level.relations.split_at(second);
                let before: Vec<&ScopeColumn> = before
                    .iter()
                    .skip(first)
                    .flat_map(|relation| &relation.columns)
                    .filter(|column| !column.merged)
                    .collect();
                let columns: Vec<String> = after
                    .iter()
                    .flat_map(|relation| &relation.columns)
                    .filter(|column| before.iter().any(|other| other.name == column.name))
                    .map(|column| column.name.clone())
                    .collect();
                self.using(kind, first, second, &columns)?
            }
        };
        Ok(join(kind, left, right, on))
    }

    /// JOIN USING: equal columns, of which the left one stands for both.
    fn using(
        &mut self,
        kind: JoinKind,
        first: usize,
        second: usize,
        names: &[String],
    ) -> Result<Vec<Expr>, Error> {
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return Err(unsupported("USING with RIGHT or FULL JOIN"));
        }
        let mut on = Vec::new();
        for name in names {
            let missing = |side: &str| Error::UndefinedColumn {
                message: format!(
                    "column \"{name}\" specified in USING clause does not exist in {side} table"
                ),
                position: None,
            };
            let level = self.level()?;
            let (before, after) = level.relations.split_at_mut(second);
            let left = before
                .iter()
                .skip(first)
                .flat_map(|relation| &relation.columns)
                .find(|column| column.name == *name && !column.merged)
                .cloned()
                .ok_or_else(|| missing("left"))?;
            let right = after
                .iter_mut()
                .flat_map(|relation| &mut relation.columns)
                .find(|column| column.name == *name && !column.merged)
                .ok_or_else(|| missing("right"))?;
            right.merged = true;
            let right = right.clone();
            let column = |column: &ScopeColumn| {
                Typed::new(Expr::Column { depth: 0, index: column.index }, column.kind.clone())
            };
            let op = datafusion::sql::sqlparser::ast::BinaryOperator::Eq;
            on.push(self.compare(&op, Comparison::Equal, column(&left), column(&right))?);
        }
        Ok(on)
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<Source, Error> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: None,
                with_hints,
                sample: None,
                ..
            } if with_hints.is_empty() => self.named(name, alias.as_ref()),
            TableFactor::Table { name, alias, args: Some(arguments), with_ordinality, .. } => {
                self.functions(&[(name, &arguments.args)], alias.as_ref(), *with_ordinality)
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                self.functions(&[(name, args)], alias.as_ref(), *with_ordinality)
            }
            TableFactor::UNNEST {
                alias, array_exprs, with_ordinality, with_offset: false, ..
            } => {
                let arrays = self.with_sets_forbidden(|binder| binder.exprs(array_exprs))?;
                let calls = arrays
                    .into_iter()
                    .map(|array| self.call(None, "unnest", vec![array]))
                    .collect::<Result<Vec<_>, _>>()?;
                self.rows_of(calls, "unnest", alias.as_ref(), *with_ordinality)
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                let query = if *lateral {
                    self.query(subquery)?
                } else {
                    // Without LATERAL the items beside it can't be named.
                    let beside = std::mem::take(&mut self.level()?.relations);
                    let query = self.query(subquery);
                    self.level()?.relations = beside;
                    query?
                };
                let columns = query.columns.clone();
                let name = alias.as_ref().map(|alias| fold(&alias.name)).unwrap_or_default();
                self.item(None, name, columns, alias.as_ref(), SourceKind::Query(Box::new(query)))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.joined(table_with_joins)
            }
            other => Err(unsupported(other)),
        }
    }

    fn named(
        &mut self,
        name: &datafusion::sql::sqlparser::ast::ObjectName,
        alias: Option<&TableAlias>,
    ) -> Result<Source, Error> {
        let missing = || Error::UndefinedTable { name: name.to_string(), position: None };
        let (schema, plain) = schema_and_name(name).ok_or_else(missing)?;
        let called = alias.map_or_else(|| plain.clone(), |alias| fold(&alias.name));
        if schema.is_none()
            && let Some(cte) = self.with.iter().rev().find(|cte| cte.name == plain).cloned()
        {
            return self.item(None, called, cte.columns, alias, SourceKind::Cte(cte.number));
        }
        let relation =
            catalog_relation(self.facts, schema.as_deref(), &plain).ok_or_else(missing)?;
        let columns = relation
            .columns
            .iter()
            .map(|column| (column.name.to_owned(), column.kind.clone()))
            .collect();
        let schema = alias.is_none().then(|| relation.schema.to_owned());
        self.item(schema, called, columns, alias, SourceKind::Relation(relation))
    }

    fn functions(
        &mut self,
        named: &[(&datafusion::sql::sqlparser::ast::ObjectName, &Vec<FunctionArg>)],
        alias: Option<&TableAlias>,
        ordinality: bool,
    ) -> Result<Source, Error> {
        let mut calls = Vec::new();
        let mut first = String::new();
        for (name, arguments) in named {
            let Some((schema, plain)) = schema_and_name(name) else {
                return Err(unsupported(format!("the function {name}")));
            };
            let arguments = self.with_sets_forbidden(|binder| binder.arguments(arguments))?;
            calls.push(self.call(schema.as_deref(), &plain, arguments)?);
            first = plain;
        }
        self.rows_of(calls, &first, alias, ordinality)
    }

    fn with_sets_forbidden<T>(
        &mut self,
        bind: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = std::mem::replace(&mut self.level()?.sets_allowed, false);
        let bound = bind(self);
        self.level()?.sets_allowed = before;
        bound
    }

    /// Functions in FROM, side by side. One that gives plain values has one column, called as the item is.
    fn rows_of(
        &mut self,
        calls: Vec<Call>,
        function: &str,
        alias: Option<&TableAlias>,
        ordinality: bool,
    ) -> Result<Source, Error> {
        let name = alias.map_or_else(|| function.to_owned(), |alias| fold(&alias.name));
        let mut columns: Vec<(String, PgType)> = Vec::new();
        for call in &calls {
            match &call.returns {
                PgType::Record(fields) => columns.extend(fields.iter().cloned()),
                kind => columns.push((name.clone(), kind.clone())),
            }
        }
        if ordinality {
            columns.push(("ordinality".to_owned(), PgType::Int8));
        }
        self.item(None, name, columns, alias, SourceKind::Functions { calls, ordinality })
    }

    /// Gives an item its places and its name.
    fn item(
        &mut self,
        schema: Option<String>,
        name: String,
        mut columns: Vec<(String, PgType)>,
        alias: Option<&TableAlias>,
        kind: SourceKind,
    ) -> Result<Source, Error> {
        let renamed = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
        if renamed.len() > columns.len() {
            return Err(Error::new(
                "42P10",
                format!(
                    "table \"{name}\" has {} columns available but {} columns specified",
                    columns.len(),
                    renamed.len()
                ),
            ));
        }
        for (column, new) in columns.iter_mut().zip(renamed) {
            column.0 = fold(&new.name);
        }
        let level = self.level()?;
        let twice = level
            .relations
            .iter()
            .any(|known| !name.is_empty() && known.name == name && known.schema == schema);
        if twice {
            return Err(Error::new(
                "42712",
                format!("table name \"{name}\" specified more than once"),
            ));
        }
        let base = level.width;
        let width = columns.len();
        level.width += width;
        let columns = columns
            .into_iter()
            .zip(base..)
            .map(|((name, kind), index)| ScopeColumn { name, kind, index, merged: false })
            .collect();
        let oid = match &kind {
            SourceKind::Relation(relation) => Some(relation.oid),
            _ => None,
        };
        level.relations.push(ScopeRelation { schema, name, columns, oid });
        Ok(Source { base, width, kind, filter: Vec::new() })
    }
}

fn join(kind: JoinKind, left: Source, right: Source, on: Vec<Expr>) -> Source {
    let (base, width) = (left.base, left.width + right.width);
    let mut outside = false;
    right.columns(0, &mut |index| {
        outside |= index < right.base || index >= right.base + right.width;
    });
    let mut source = Source {
        base,
        width,
        kind: SourceKind::Join(Box::new(Join {
            kind,
            left,
            right,
            lateral: outside,
            on: Vec::new(),
        })),
        filter: Vec::new(),
    };
    for condition in on {
        source.join_condition(condition);
    }
    source
}

/// The parts of a condition that must all hold.
pub(super) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::And(all) => all.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

impl Source {
    fn holds(&self, index: usize) -> bool {
        (self.base..self.base + self.width).contains(&index)
    }

    fn covers(&self, condition: &Expr) -> bool {
        let mut all = true;
        condition.columns(0, &mut |index| all &= self.holds(index));
        all && !has_set(condition)
    }

    /// Takes a condition on the rows that it gives, as far down as it can be asked.
    pub(super) fn restrict(&mut self, condition: Expr) {
        if let SourceKind::Join(join) = &mut self.kind {
            let inner = join.kind == JoinKind::Inner;
            if matches!(join.kind, JoinKind::Inner | JoinKind::Left) && join.left.covers(&condition)
            {
                return join.left.restrict(condition);
            }
            if inner && join.right.covers(&condition) {
                return join.right.restrict(condition);
            }
            if inner {
                return join.on.push(condition);
            }
        }
        self.filter.push(condition);
    }

    /// Takes a part of ON.
    fn join_condition(&mut self, condition: Expr) {
        let SourceKind::Join(join) = &mut self.kind else { return };
        if matches!(join.kind, JoinKind::Inner | JoinKind::Left) && join.right.covers(&condition) {
            return join.right.restrict(condition);
        }
        if matches!(join.kind, JoinKind::Inner | JoinKind::Right) && join.left.covers(&condition) {
            return join.left.restrict(condition);
        }
        join.on.push(condition);
    }
}

fn has_set(condition: &Expr) -> bool {
    let mut found = false;
    condition.each(&mut |expr| {
        found |= matches!(expr, Expr::Set(_) | Expr::Aggregate(_) | Expr::Window(_));
    });
    found
}
