//! Queries: WITH, SELECT, VALUES, set operations, ORDER BY, LIMIT.

use datafusion::sql::sqlparser::ast::{
    self, Distinct as AstDistinct, Expr as Ast, GroupByExpr, LimitClause, OrderByExpr, OrderByKind,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier,
};

use super::bind::{Binder, Level, Named, common, fold};
use super::from::conjuncts;
use super::names::column_name;
use super::schema_and_name;
use super::tree::{Body, Cte, Distinct, Expr, Order, Query, Recursive, Select, SetOp, Typed};
use crate::Error;
use crate::functions::Datum;
use crate::types::PgType;

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(
        format!("{what} in a query of the catalogs"),
        "docs/sql.md lists what such queries can do.",
    )
}

/// A body that was bound, with what ORDER BY found in it.
struct Bound {
    body: Body,
    columns: Vec<(String, PgType)>,
    order: Vec<Order>,
}

impl Query {
    /// The columns as other types.
    pub(super) fn cast_columns(&mut self, kinds: Vec<PgType>) {
        let casts: Vec<Option<(PgType, PgType)>> = self
            .columns
            .iter()
            .zip(&kinds)
            .map(|((_, from), to)| (from != to).then(|| (from.clone(), to.clone())))
            .collect();
        if casts.iter().any(Option::is_some) {
            for (column, kind) in self.columns.iter_mut().zip(kinds) {
                column.1 = kind;
            }
            let inner = std::mem::replace(&mut self.body, Body::Values(Vec::new()));
            self.body = Body::Cast(Box::new(inner), casts);
        }
    }
}

impl Binder<'_> {
    /// A query, one level deeper than what is around it.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query, Error> {
        if !query.locks.is_empty() || query.for_clause.is_some() || !query.pipe_operators.is_empty()
        {
            return Err(unsupported("FOR UPDATE"));
        }
        let number = self.number();
        self.levels.push(Level::default());
        let named = self.with.len();
        let bound = self.query_within(query, number);
        self.with.truncate(named);
        let level = self.levels.pop();
        let mut bound = bound?;
        bound.correlated = level.is_some_and(|level| level.correlated);
        Ok(bound)
    }

    fn query_within(&mut self, query: &ast::Query, number: usize) -> Result<Query, Error> {
        let with = match &query.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        let order = match &query.order_by {
            None => &[][..],
            Some(order) if order.interpolate.is_none() => match &order.kind {
                OrderByKind::Expressions(exprs) => exprs,
                OrderByKind::All(_) => return Err(unsupported("ORDER BY ALL")),
            },
            Some(_) => return Err(unsupported("INTERPOLATE")),
        };
        let bound = self.body(&query.body, Some(order))?;
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => return Err(unsupported("this LIMIT")),
        };
        let limit = match (&query.fetch, limit) {
            (None, limit) => limit,
            (Some(fetch), None) if !fetch.with_ties && !fetch.percent => fetch.quantity.as_ref(),
            _ => return Err(unsupported("this FETCH")),
        };
        let mut count = |expr: Option<&Ast>| {
            expr.map(|expr| {
                let value = self.expr(expr)?;
                self.coerce(value, &PgType::Int8)
            })
            .transpose()
        };
        let limit = count(limit)?;
        let offset = count(offset)?;
        let Bound { body, mut columns, order } = bound;
        for column in columns.iter_mut().filter(|column| column.1 == PgType::Unknown) {
            column.1 = PgType::Text;
        }
        Ok(Query { number, correlated: false, with, body, columns, order, offset, limit })
    }

    fn with(&mut self, with: &ast::With) -> Result<Vec<Cte>, Error> {
        let mut all = Vec::new();
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            let number = self.number();
            let rename = |columns: &[(String, PgType)]| {
                let mut columns = columns.to_vec();
                for (column, new) in columns.iter_mut().zip(&cte.alias.columns) {
                    column.0 = fold(&new.name);
                }
                columns
            };
            let parts = match cte.query.body.as_ref() {
                SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right }
                    if with.recursive
                        && cte.query.with.is_none()
                        && cte.query.order_by.is_none() =>
                {
                    Some((left, right, *set_quantifier == SetQuantifier::All))
                }
                _ => None,
            };
            let (query, recursive) = match parts {
                None => (self.query(&cte.query)?, None),
                Some((left, right, all)) => {
                    let plain = |body: &SetExpr| ast::Query {
                        body: Box::new(body.clone()),
                        limit_clause: None,
                        ..(*cte.query).clone()
                    };
                    let first = self.query(&plain(left))?;
                    let columns = rename(&first.columns);
                    self.with.push(Named { name: name.clone(), number, columns });
                    let next = self.query(&plain(right));
                    self.with.pop();
                    let mut next = next?;
                    if next.columns.len() != first.columns.len() {
                        return Err(Error::new(
                            "42601",
                            "each UNION query must have the same number of columns",
                        ));
                    }
                    next.cast_columns(
                        first.columns.iter().map(|column| column.1.clone()).collect(),
                    );
                    (first, Some(Recursive { query: next, all }))
                }
            };
            let columns = rename(&query.columns);
            self.with.push(Named { name, number, columns });
            all.push(Cte { number, query, recursive });
        }
        Ok(all)
    }

    fn body(&mut self, body: &SetExpr, order: Option<&[OrderByExpr]>) -> Result<Bound, Error> {
        match body {
            SetExpr::Select(select) => self.select(select, order.unwrap_or_default()),
            SetExpr::Query(query) => {
                let query = self.query(query)?;
                let columns = query.columns.clone();
                let order = order_of_output(order.unwrap_or_default(), &columns)?;
                Ok(Bound { body: Body::Nested(Box::new(query)), columns, order })
            }
            SetExpr::Values(values) => {
                let rows: Vec<&[Ast]> =
                    values.rows.iter().map(|row| row.content.as_slice()).collect();
                self.values(&rows, order.unwrap_or_default())
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let left = self.body(left, None)?;
                let right = self.fresh(right)?;
                self.both(left, *op, *set_quantifier, right, order.unwrap_or_default())
            }
            other => Err(unsupported(other)),
        }
    }

    /// Another select of the same query: the names of the one before don't hold there.
    fn fresh(&mut self, body: &SetExpr) -> Result<Bound, Error> {
        let correlated = self.level()?.correlated;
        *self.level()? = Level { correlated, ..Level::default() };
        self.body(body, None)
    }

    fn values(&mut self, rows: &[&[Ast]], order: &[OrderByExpr]) -> Result<Bound, Error> {
        let width = rows.first().map_or(0, |row| row.len());
        let mut columns: Vec<Vec<Typed>> = vec![Vec::new(); width];
        for row in rows {
            if row.len() != width {
                return Err(Error::new("42601", "VALUES lists must all be the same length"));
            }
            for (column, value) in columns.iter_mut().zip(*row) {
                column.push(self.expr(value)?);
            }
        }
        let mut done: Vec<Vec<Expr>> = vec![Vec::new(); rows.len()];
        let mut names = Vec::new();
        for (column, place) in columns.into_iter().zip(1..) {
            let (exprs, kind) = self.unify(column)?;
            for (row, expr) in done.iter_mut().zip(exprs) {
                row.push(expr);
            }
            names.push((format!("column{place}"), kind));
        }
        let order = order_of_output(order, &names)?;
        Ok(Bound { body: Body::Values(done), columns: names, order })
    }

    fn both(
        &self,
        left: Bound,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: Bound,
        order: &[OrderByExpr],
    ) -> Result<Bound, Error> {
        let op = match op {
            SetOperator::Union => SetOp::Union,
            SetOperator::Intersect => SetOp::Intersect,
            SetOperator::Except | SetOperator::Minus => SetOp::Except,
        };
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            _ => return Err(unsupported("a set operation BY NAME")),
        };
        if left.columns.len() != right.columns.len() {
            let message = "each UNION query must have the same number of columns";
            return Err(Error::new("42601", message));
        }
        let mut columns = Vec::new();
        for ((name, a), (_, b)) in left.columns.iter().zip(&right.columns) {
            columns.push((name.clone(), common(&[a.clone(), b.clone()])?));
        }
        let cast = |bound: Bound| {
            let casts: Vec<Option<(PgType, PgType)>> = bound
                .columns
                .iter()
                .zip(&columns)
                .map(|((_, from), (_, to))| (from != to).then(|| (from.clone(), to.clone())))
                .collect();
            if casts.iter().all(Option::is_none) {
                Box::new(bound.body)
            } else {
                Box::new(Body::Cast(Box::new(bound.body), casts))
            }
        };
        let body = Body::Both { op, all, left: cast(left), right: cast(right) };
        let order = order_of_output(order, &columns)?;
        Ok(Bound { body, columns, order })
    }

    fn select(&mut self, select: &ast::Select, order: &[OrderByExpr]) -> Result<Bound, Error> {
        check_shape(select)?;
        let mut source = self.from(&select.from)?;
        if let Some(condition) = &select.selection {
            for part in conjuncts(self.bool(condition)?) {
                source.restrict(part);
            }
        }
        let level = self.level()?;
        level.aggregates_allowed = true;
        level.sets_allowed = true;
        let (mut output, mut columns) = self.projection(&select.projection)?;
        let group = self.group_by(&select.group_by, &output, &columns)?;
        let having = select.having.as_ref().map(|having| self.bool(having)).transpose()?;
        let visible = output.len();
        let mut orders = Vec::new();
        for item in order {
            let column = self.order_item(&item.expr, &columns, &mut output)?;
            orders.push(direction(column, item)?);
        }
        let distinct = self.distinct_of(select.distinct.as_ref(), &columns, &mut output)?;
        if matches!(distinct, Distinct::All) && output.len() > visible {
            return Err(Error::new(
                "42P10",
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            ));
        }
        for (place, column) in columns.iter_mut().enumerate() {
            if let Some(value) = output.get_mut(place) {
                // A NULL or literal of a set operation waits for its type.
                column.1 = value.kind.clone();
            }
        }
        let level = self.level()?;
        let aggregates = std::mem::take(&mut level.aggregates);
        let windows = std::mem::take(&mut level.windows);
        let sets = std::mem::take(&mut level.sets);
        let grouped = !group.is_empty() || !aggregates.is_empty() || having.is_some();
        let output: Vec<Expr> = output.into_iter().map(|value| value.expr).collect();
        let select = Select {
            source,
            filter: Vec::new(),
            group: grouped.then_some(group),
            aggregates,
            having,
            windows,
            sets,
            output,
            distinct,
        };
        select.check_grouping(&self.level()?.relations)?;
        Ok(Bound { body: Body::Select(Box::new(select)), columns, order: orders })
    }

    #[expect(clippy::type_complexity, reason = "the select list's expressions, and their columns")]
    fn projection(
        &mut self,
        items: &[SelectItem],
    ) -> Result<(Vec<Typed>, Vec<(String, PgType)>), Error> {
        let mut output = Vec::new();
        let mut columns = Vec::new();
        let mut add = |name: String, value: Typed| {
            columns.push((name, value.kind.clone()));
            output.push(value);
        };
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => add(column_name(expr), self.expr(expr)?),
                SelectItem::ExprWithAlias { expr, alias } => add(fold(alias), self.expr(expr)?),
                SelectItem::Wildcard(_) => {
                    for relation in &self.level()?.relations {
                        for column in relation.columns.iter().filter(|column| !column.merged) {
                            let expr = Expr::Column { depth: 0, index: column.index };
                            add(column.name.clone(), Typed::new(expr, column.kind.clone()));
                        }
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let (_, name) = schema_and_name(name).ok_or_else(|| unsupported(name))?;
                    let level = self.level()?;
                    let Some(relation) = level.relations.iter().find(|r| r.name == name) else {
                        return Err(Error::new(
                            "42P01",
                            format!("missing FROM-clause entry for table \"{name}\""),
                        ));
                    };
                    for column in &relation.columns {
                        let expr = Expr::Column { depth: 0, index: column.index };
                        add(column.name.clone(), Typed::new(expr, column.kind.clone()));
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                    let row = self.expr(expr)?;
                    let PgType::Record(fields) = &row.kind else {
                        return Err(Error::new("42809", "type is not composite"));
                    };
                    for (place, (name, kind)) in fields.iter().enumerate() {
                        let field = Expr::Field(Box::new(row.expr.clone()), place);
                        add(name.clone(), Typed::new(field, kind.clone()));
                    }
                }
                other => return Err(unsupported(other)),
            }
        }
        Ok((output, columns))
    }

    fn group_by(
        &mut self,
        group: &GroupByExpr,
        output: &[Typed],
        columns: &[(String, PgType)],
    ) -> Result<Vec<Expr>, Error> {
        let GroupByExpr::Expressions(exprs, modifiers) = group else {
            return Err(unsupported("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(unsupported("GROUP BY with a modifier"));
        }
        let mut keys = Vec::new();
        for expr in exprs {
            if let Some(place) = ordinal(expr) {
                let value = place.checked_sub(1).and_then(|place| output.get(place));
                let Some(value) = value else {
                    return Err(Error::new(
                        "42P10",
                        format!("GROUP BY position {place} is not in select list"),
                    ));
                };
                keys.push(value.expr.clone());
                continue;
            }
            // A column of FROM comes first, then a name of the select list.
            match self.expr(expr) {
                Ok(value) => keys.push(value.expr),
                Err(error) => {
                    let Ast::Identifier(ident) = expr else { return Err(error) };
                    let name = fold(ident);
                    let found = columns.iter().position(|(column, _)| *column == name);
                    let value = found.and_then(|place| output.get(place)).ok_or(error)?;
                    keys.push(value.expr.clone());
                }
            }
        }
        Ok(keys)
    }

    /// The output column that an item of ORDER BY means; a new one if none does.
    fn order_item(
        &mut self,
        expr: &Ast,
        columns: &[(String, PgType)],
        output: &mut Vec<Typed>,
    ) -> Result<usize, Error> {
        if let Some(place) = ordinal(expr) {
            return place.checked_sub(1).filter(|place| *place < columns.len()).ok_or_else(|| {
                Error::new("42P10", format!("ORDER BY position {place} is not in select list"))
            });
        }
        if let Ast::Identifier(ident) = expr {
            let name = fold(ident);
            if let Some(place) = columns.iter().position(|(column, _)| *column == name) {
                return Ok(place);
            }
        }
        let value = self.expr(expr)?;
        let value = self.settled(value)?;
        if let Some(place) = output.iter().position(|known| known.expr == value.expr) {
            return Ok(place);
        }
        output.push(value);
        Ok(output.len() - 1)
    }

    fn distinct_of(
        &mut self,
        distinct: Option<&AstDistinct>,
        columns: &[(String, PgType)],
        output: &mut Vec<Typed>,
    ) -> Result<Distinct, Error> {
        Ok(match distinct {
            None | Some(AstDistinct::All) => Distinct::No,
            Some(AstDistinct::Distinct) => Distinct::All,
            Some(AstDistinct::On(exprs)) => {
                let mut keys = Vec::new();
                for expr in exprs {
                    keys.push(self.order_item(expr, columns, output)?);
                }
                Distinct::On(keys)
            }
        })
    }
}

fn check_shape(select: &ast::Select) -> Result<(), Error> {
    let plain = select.top.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty();
    if plain { Ok(()) } else { Err(unsupported("this form of SELECT")) }
}

fn ordinal(expr: &Ast) -> Option<usize> {
    match expr {
        Ast::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn direction(column: usize, item: &OrderByExpr) -> Result<Order, Error> {
    if item.with_fill.is_some() {
        return Err(unsupported("WITH FILL"));
    }
    let descending = item.options.asc == Some(false);
    Ok(Order { column, descending, nulls_first: item.options.nulls_first.unwrap_or(descending) })
}

/// ORDER BY where only the result's columns can be named.
fn order_of_output(
    order: &[OrderByExpr],
    columns: &[(String, PgType)],
) -> Result<Vec<Order>, Error> {
    order
        .iter()
        .map(|item| {
            let place = match ordinal(&item.expr) {
                Some(place) => place.checked_sub(1).filter(|place| *place < columns.len()),
                None => match &item.expr {
                    Ast::Identifier(ident) => {
                        let name = fold(ident);
                        columns.iter().position(|(column, _)| *column == name)
                    }
                    _ => None,
                },
            };
            let place = place.ok_or_else(|| {
                Error::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause").with_detail(
                    "Only result column names can be used, not expressions or functions.",
                )
            })?;
            direction(place, item)
        })
        .collect()
}

/// The plain bound of LIMIT and OFFSET.
pub(super) fn bound(value: &Datum, what: &str) -> Result<Option<usize>, Error> {
    match value {
        Datum::Null => Ok(None),
        value => usize::try_from(value.int())
            .map(Some)
            .map_err(|_| Error::new("2201W", format!("{what} must not be negative"))),
    }
}
