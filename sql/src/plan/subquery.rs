//! Subqueries in expressions. Where DataFusion's own forms don't mean what SQL means (more than one row,
//! NULLs in NOT IN, EXISTS outside WHERE), the rows are gathered into an array and looked at there.

use std::sync::{Arc, LazyLock};

use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, Subquery};
use datafusion::sql::sqlparser::ast;

use super::apply::Use;
use super::query::{Parts, finish};
use super::scope::Clause;
use super::{Allowed, Binder, Output, Rows, Typed, column};
use crate::Error;
use crate::apply::Gives;
use crate::functions::{Datum, Function};
use crate::types::PgType;

/// The only element of the rows gathered by a scalar subquery.
static SINGLE: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("single(anyarray) anyelement", |_, a| match a {
            [Datum::Array(items)] => match items.as_slice() {
                [] => Ok(Datum::Null),
                [one] => Ok(one.clone()),
                _ => Err(Error::new(
                    "21000",
                    "more than one row returned by a subquery used as an expression",
                )),
            },
            _ => Ok(Datum::Null),
        })
        .with_nulls(),
    )
});

/// An empty array for the NULL that gathering no rows gives.
static GATHERED: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("array(anyarray) anyarray", |_, a| match a {
            [Datum::Array(items)] => Ok(Datum::Array(items.clone())),
            _ => Ok(Datum::Array(Vec::new())),
        })
        .with_nulls(),
    )
});

/// The first element of the rows gathered in order.
static FIRST: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("first(anyarray) anyelement", |_, a| match a {
            [Datum::Array(items)] => Ok(items.first().cloned().unwrap_or(Datum::Null)),
            _ => Ok(Datum::Null),
        })
        .with_nulls(),
    )
});

impl Binder<'_> {
    /// `(SELECT …)` as a value.
    pub(crate) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed, Error> {
        let parts = self.inner(query)?;
        let output = only_column(&parts.columns)?;
        let first_only = parts.skip.is_none()
            && parts.fetch.as_ref().and_then(super::call::literal_int) == Some(1);
        let correlated = self.is_correlated(&parts)?;
        if correlated && !self.aggregate_joins(&parts, first_only)? {
            let rows = finish(parts)?;
            let kind = output.kind;
            let value = self.applied(rows.plan, Gives::Value, kind.clone(), None)?;
            return Ok(Typed::new(value, kind));
        }
        if correlated && first_only {
            let parts = Parts { fetch: None, ..parts };
            let list = gathered(parts, &output)?;
            return Ok(pick(&FIRST, list, output.kind));
        }
        let cut = parts.skip.is_some() || parts.fetch.is_some();
        if !cut && parts.plan.max_rows() == Some(1) && is_plain_aggregate(&parts.plan) {
            let rows = finish(Parts { sort: Vec::new(), ..parts })?;
            return Ok(Typed::new(scalar(rows.plan), output.kind));
        }
        let list = gathered(parts, &output)?;
        Ok(pick(&SINGLE, list, output.kind))
    }

    /// `ARRAY(SELECT …)`
    pub(crate) fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed, Error> {
        let parts = self.inner(query)?;
        let output = only_column(&parts.columns)?;
        if output.kind.element().is_some() {
            return Err(Error::unsupported("an array of arrays", "Arrays have one dimension."));
        }
        let kind = PgType::Array(Box::new(output.kind.clone()));
        let list = self.list(parts, &output)?;
        Ok(Typed::new(list, kind))
    }

    /// `EXISTS (SELECT …)`
    pub(crate) fn exists(&mut self, query: &ast::Query, negated: bool) -> Result<Typed, Error> {
        let clause = self.level()?.clause;
        let parts = self.inner(query)?;
        let correlated = self.is_correlated(&parts)?;
        let cut = parts.skip.is_some() || parts.fetch.is_some();
        if correlated && (cut || !self.joins(&parts.plan, Use::Rows)?) {
            let rows = finish(Parts { sort: Vec::new(), ..parts })?;
            let found = self.applied(rows.plan, Gives::Exists, PgType::Bool, None)?;
            let expr = if negated { Expr::Not(Box::new(found)) } else { found };
            return Ok(Typed::new(expr, PgType::Bool));
        }
        let rows = finish(Parts { sort: Vec::new(), ..parts })?;
        if matches!(clause, Clause::Where | Clause::Having) {
            let exists = Exists::new(subquery(rows.plan), negated);
            return Ok(Typed::new(Expr::Exists(exists), PgType::Bool));
        }
        let count = Expr::AggregateFunction(AggregateFunction::new_udf(
            count_udaf(),
            vec![super::call::one()],
            false,
            None,
            Vec::new(),
            None,
        ));
        let name = self.fresh('a');
        let plan = LogicalPlanBuilder::from(rows.plan)
            .aggregate(Vec::<Expr>::new(), vec![count.alias(&name)])?
            .build()?;
        let zero = super::cast::literal(datafusion::common::ScalarValue::from(0_i64));
        let found = scalar(plan);
        let expr = if negated { found.eq(zero) } else { found.gt(zero) };
        Ok(Typed::new(expr, PgType::Bool))
    }

    /// `value IN (SELECT …)`
    pub(crate) fn in_subquery(
        &mut self,
        node: &ast::Expr,
        query: &ast::Query,
        negated: bool,
    ) -> Result<Typed, Error> {
        let clause = self.level()?.clause;
        let certain = std::mem::replace(&mut self.level()?.certain, false);
        if matches!(node, ast::Expr::Tuple(_)) {
            let filters = clause == Clause::Where && certain && !negated;
            return self.row_in_subquery(node, query, negated, filters);
        }
        let value = self.expr(node)?;
        let parts = self.inner(query)?;
        let output = only_column(&parts.columns)?;
        let item = Typed::new(column(&output.column), output.kind.clone());
        let (left, right) = self.comparable(value.clone(), item, "=")?;
        if clause == Clause::Where && certain && !negated && self.in_joins(&parts)? {
            let rows = finish(Parts { sort: sort_if_cut(&parts), ..parts })?;
            let plan = super::project(rows.plan, vec![(right.expr, self.fresh('c'))])?;
            let expr = InSubquery::new(Box::new(left.expr), subquery(plan), false);
            return Ok(Typed::new(Expr::InSubquery(expr), PgType::Bool));
        }
        let kind = PgType::Array(Box::new(output.kind.clone()));
        let list = self.list(parts, &output)?;
        let equal = if negated { ast::BinaryOperator::NotEq } else { ast::BinaryOperator::Eq };
        self.quantified_array(value, &equal, Typed::new(list, kind), negated)
    }

    /// `(a, b) IN (SELECT c, d …)`: true for a row that is equal; unknown if one may be. As a condition that `filters`
    /// it is EXISTS.
    fn row_in_subquery(
        &mut self,
        node: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        filters: bool,
    ) -> Result<Typed, Error> {
        let ast::Expr::Tuple(items) = node else {
            return Err(Error::internal("a row was expected"));
        };
        let values = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
        let rows = self.inner(query)?;
        let rows = finish(Parts { sort: sort_if_cut(&rows), ..rows })?;
        if rows.columns.len() != values.len() {
            let words = if rows.columns.len() < values.len() { "few" } else { "many" };
            return Err(Error::new("42601", format!("subquery has too {words} columns")));
        }
        let mut condition: Option<Expr> = None;
        for (value, output) in values.into_iter().zip(&rows.columns) {
            let outer = as_outer(value)?;
            let inner = Typed::new(column(&output.column), output.kind.clone());
            let equal = self.binary(outer, &ast::BinaryOperator::Eq, inner)?.expr;
            condition = Some(match condition {
                Some(all) => all.and(equal),
                None => equal,
            });
        }
        let condition = condition.ok_or_else(|| Error::new("42601", "an empty row"))?;
        let equals =
            LogicalPlanBuilder::from(rows.plan.clone()).filter(condition.clone())?.build()?;
        if filters && self.joins(&equals, Use::Rows)? {
            let exists = Exists::new(subquery(equals), false);
            return Ok(Typed::new(Expr::Exists(exists), PgType::Bool));
        }
        let truth = |expr: Expr| {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                datafusion::functions_aggregate::bool_and_or::bool_or_udaf(),
                vec![expr],
                false,
                None,
                Vec::new(),
                None,
            ))
        };
        let (equal, unknown, result) = (self.fresh('a'), self.fresh('a'), self.fresh('c'));
        let plan = LogicalPlanBuilder::from(rows.plan)
            .aggregate(
                Vec::<Expr>::new(),
                vec![
                    truth(condition.clone()).alias(&equal),
                    truth(condition.is_null()).alias(&unknown),
                ],
            )?
            .build()?;
        let literal = |value: Option<bool>| {
            super::cast::literal(datafusion::common::ScalarValue::Boolean(value))
        };
        let found = datafusion::logical_expr::when(column(&equal), literal(Some(true)))
            .when(column(&unknown), literal(None))
            .otherwise(literal(Some(false)))?;
        let plan = super::project(plan, vec![(found, result)])?;
        let found = self.applied(plan, Gives::Value, PgType::Bool, None)?;
        let expr = if negated { Expr::Not(Box::new(found)) } else { found };
        Ok(Typed::new(expr, PgType::Bool))
    }

    /// `value op ANY (…)`, `value op ALL (…)`
    pub(crate) fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed, Error> {
        let query = match right {
            ast::Expr::Subquery(query) => Some(query),
            ast::Expr::Nested(inner) => match inner.as_ref() {
                ast::Expr::Subquery(query) => Some(query),
                _ => None,
            },
            _ => None,
        };
        if let Some(query) = query {
            match (op, all) {
                (ast::BinaryOperator::Eq, false) => return self.in_subquery(left, query, false),
                (ast::BinaryOperator::NotEq, true) => return self.in_subquery(left, query, true),
                _ => {}
            }
            let value = self.expr(left)?;
            let parts = self.inner(query)?;
            let output = only_column(&parts.columns)?;
            let kind = PgType::Array(Box::new(output.kind.clone()));
            let list = self.list(parts, &output)?;
            return self.quantified_array(value, op, Typed::new(list, kind), all);
        }
        let value = self.expr(left)?;
        if let (ast::Expr::Array(array), ast::BinaryOperator::Eq, false)
        | (ast::Expr::Array(array), ast::BinaryOperator::NotEq, true) = (right, op, all)
        {
            let items = array.elem.iter().map(|i| self.expr(i)).collect::<Result<Vec<_>, _>>()?;
            if !items.is_empty() {
                return self.in_values(value, items, all);
            }
        }
        let list = self.expr(right)?;
        self.quantified_array(value, op, list, all)
    }

    /// The comparison with each element of an array.
    fn quantified_array(
        &mut self,
        value: Typed,
        op: &ast::BinaryOperator,
        list: Typed,
        all: bool,
    ) -> Result<Typed, Error> {
        let list = match &list.kind {
            PgType::Unknown => {
                let element = match &value.kind {
                    PgType::Unknown | PgType::Varchar(_) | PgType::Name => PgType::Text,
                    kind => kind.bare(),
                };
                self.cast(list, &PgType::Array(Box::new(element)), Allowed::Implicit)?
            }
            _ => list,
        };
        let Some(element) = list.kind.element() else {
            return Err(Error::new("42809", "op ANY/ALL (array) requires array on right side"));
        };
        if let (Some(items), ast::BinaryOperator::Eq, false) =
            (literal_items(&list, &element), op, all)
        {
            return self.in_values(value, items, false);
        }
        let name = match op {
            ast::BinaryOperator::Eq => "eq",
            ast::BinaryOperator::NotEq => "ne",
            ast::BinaryOperator::Lt => "lt",
            ast::BinaryOperator::LtEq => "le",
            ast::BinaryOperator::Gt => "gt",
            ast::BinaryOperator::GtEq => "ge",
            ast::BinaryOperator::PGRegexMatch => "regex",
            ast::BinaryOperator::PGLikeMatch => "like",
            other => {
                return Err(Error::unsupported(format!("{other} ANY/ALL (array)"), "Use unnest."));
            }
        };
        let quantifier = if all { "all" } else { "any" };
        // Both in the type that the comparison of two values would use.
        let probe = Typed::null(element.clone())?;
        let textual = matches!(name, "regex" | "like");
        let kind = if textual {
            PgType::Text
        } else {
            let value = self.cast_if_unknown(value.clone(), &element)?;
            match (&value.kind, &element) {
                (PgType::Numeric(a), PgType::Numeric(b)) => PgType::Numeric(a.common(b)),
                (a, b) if a.same_base(b) => a.without_modifier(),
                (a, b) if a.is_number() && b.is_number() => {
                    self.common_type(&[a.clone(), b.clone()], "ANY")?
                }
                _ => self.comparable(value, probe, &op.to_string())?.0.kind,
            }
        };
        let value = self.cast(value, &kind, Allowed::Explicit)?;
        let list = self.cast(list, &PgType::Array(Box::new(kind)), Allowed::Explicit)?;
        self.call(&format!("stele_{quantifier}_{name}"), vec![value, list])
    }

    fn cast_if_unknown(&mut self, value: Typed, kind: &PgType) -> Result<Typed, Error> {
        if value.kind == PgType::Unknown {
            return self.cast(value, kind, Allowed::Implicit);
        }
        Ok(value)
    }

    fn inner(&mut self, query: &ast::Query) -> Result<Parts, Error> {
        let targets = self.targets.take();
        let parts = self.query_parts(query);
        self.targets = targets;
        let parts = parts?;
        if parts.columns.iter().any(|c| c.kind == PgType::Unknown) {
            let (sort, skip, fetch) = (parts.sort, parts.skip, parts.fetch);
            let columns = parts.columns;
            let all: Vec<Output> = parts
                .plan
                .schema()
                .fields()
                .iter()
                .map(|field| {
                    columns.iter().find(|c| c.column == *field.name()).cloned().unwrap_or_else(
                        || Output {
                            name: field.name().clone(),
                            column: field.name().clone(),
                            kind: PgType::Any,
                            origin: None,
                        },
                    )
                })
                .collect();
            let rows = self.settle_rows(Rows { plan: parts.plan, columns: all })?;
            let columns = rows.columns.into_iter().filter(|c| c.kind != PgType::Any).collect();
            return Ok(Parts { plan: rows.plan, columns, sort, skip, fetch });
        }
        Ok(parts)
    }

    /// Whether the subquery names columns of the queries around it.
    fn is_correlated(&self, parts: &Parts) -> Result<bool, Error> {
        let cut = parts.skip.iter().chain(&parts.fetch);
        Ok(cut.into_iter().any(Expr::contains_outer)
            || !self.outer_references(&parts.plan)?.is_empty())
    }

    /// Whether a join can stand for a correlated subquery that is made one value.
    fn aggregate_joins(&mut self, parts: &Parts, first_only: bool) -> Result<bool, Error> {
        let cut = parts.skip.is_some() || parts.fetch.is_some();
        if cut && !first_only {
            return Ok(false);
        }
        match aggregated(&parts.plan) {
            // A row is there even without any below: a cut would have to see it.
            Some(input) => Ok(!cut && self.joins(input, Use::Aggregate)?),
            None => self.joins(&parts.plan, Use::Aggregate),
        }
    }

    /// Whether a join can stand for `IN (subquery)`.
    fn in_joins(&mut self, parts: &Parts) -> Result<bool, Error> {
        if !self.is_correlated(parts)? {
            return Ok(true);
        }
        let cut = parts.skip.is_some() || parts.fetch.is_some();
        Ok(!cut && self.joins(&parts.plan, Use::Rows)?)
    }

    /// The rows of the only column as an array, empty without rows.
    fn list(&mut self, parts: Parts, output: &Output) -> Result<Expr, Error> {
        let cut = parts.skip.is_some() || parts.fetch.is_some();
        if self.is_correlated(&parts)? && (cut || !self.joins(&parts.plan, Use::Aggregate)?) {
            let rows = finish(parts)?;
            let only = column(&output.column);
            let plan = super::project(rows.plan, vec![(only, output.column.clone())])?;
            return self.applied(plan, Gives::List, output.kind.clone(), None);
        }
        let list = gathered(parts, output)?;
        let kind = PgType::Array(Box::new(output.kind.clone()));
        Ok(GATHERED.call(vec![list], vec![kind.clone()], kind))
    }
}

fn pick(function: &Arc<Function>, list: Expr, kind: PgType) -> Typed {
    let array = PgType::Array(Box::new(kind.clone()));
    Typed::new(function.call(vec![list], vec![array], kind.clone()), kind)
}

/// A scalar subquery that gathers the rows into one array, in their order.
fn gathered(parts: Parts, output: &Output) -> Result<Expr, Error> {
    let Parts { plan, columns, sort, skip, fetch } = parts;
    let cut = skip.is_some() || fetch.is_some();
    let plan = if cut {
        let mut builder = LogicalPlanBuilder::from(plan);
        if !sort.is_empty() {
            builder = builder.sort(sort.clone())?;
        }
        builder.limit_by_expr(skip, fetch)?.build()?
    } else {
        plan
    };
    let _columns = columns;
    let list = Expr::AggregateFunction(AggregateFunction::new_udf(
        array_agg_udaf(),
        vec![column(&output.column)],
        false,
        None,
        sort,
        None,
    ));
    let name = format!("{}_list", output.column);
    let plan = LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), vec![list.alias(&name)])?
        .build()?;
    Ok(scalar(plan))
}

fn scalar(plan: LogicalPlan) -> Expr {
    Expr::ScalarSubquery(subquery(plan))
}

pub(crate) fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Default::default() }
}

fn only_column(columns: &[Output]) -> Result<Output, Error> {
    match columns {
        [one] => Ok(one.clone()),
        [] => Err(Error::new("42601", "subquery must return a column")),
        _ => Err(Error::new("42601", "subquery must return only one column")),
    }
}

/// An order matters only to what is cut.
fn sort_if_cut(parts: &Parts) -> Vec<SortExpr> {
    if parts.skip.is_some() || parts.fetch.is_some() { parts.sort.clone() } else { Vec::new() }
}

/// An aggregate without GROUP BY, perhaps projected: always one row.
fn is_plain_aggregate(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_plain_aggregate(&projection.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// What an aggregate without GROUP BY, perhaps projected, is made of.
fn aggregated(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Projection(node) if !node.expr.iter().any(Expr::contains_outer) => {
            aggregated(&node.input)
        }
        LogicalPlan::Aggregate(node)
            if node.group_expr.is_empty() && !node.aggr_expr.iter().any(Expr::contains_outer) =>
        {
            Some(&node.input)
        }
        _ => None,
    }
}

/// The expression as a subquery of this level would see it.
pub(super) fn as_outer(value: Typed) -> Result<Typed, Error> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let kind = value.kind.clone();
    let expr = value.expr.transform(|node| match node {
        Expr::Column(c) => Ok(Transformed::yes(Expr::OuterReferenceColumn(kind.field(&c.name), c))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(Typed::new(expr.data, value.kind))
}

/// The elements of an array literal.
fn literal_items(list: &Typed, element: &PgType) -> Option<Vec<Typed>> {
    use arrow::array::Array;
    let Expr::Literal(datafusion::common::ScalarValue::List(array), _) = &list.expr else {
        return None;
    };
    let values = (array.len() == 1).then(|| array.value(0))?;
    if values.is_empty() || values.len() > 10_000 {
        return None;
    }
    (0..values.len())
        .map(|i| {
            let scalar = datafusion::common::ScalarValue::try_from_array(&values, i).ok()?;
            Some(Typed::new(Expr::Literal(scalar, None), element.clone()))
        })
        .collect()
}
