//! Aggregates: PostgreSQL's argument and result types on DataFusion's accumulators.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::functions_aggregate as udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, SortExpr, cast as arrow_cast};
use datafusion::sql::sqlparser::ast;

use super::super::cast::literal;
use super::super::scope::Clause;
use super::super::{Allowed, Binder, Typed, column};
use super::CallNode;
use crate::Error;
use crate::functions::free::totals::{Total, aggregate};
use crate::functions::{Datum, Function, gathered};
use crate::types::{Digits, Numeric, PgType};

/// Joins the elements of an array, for `string_agg`.
static JOIN: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("string_agg(anyarray, text) text", |_, a| {
        let [Datum::Array(items), Datum::Text(delimiter)] = a else { return Ok(Datum::Null) };
        let texts: Vec<&str> = items.iter().map(Datum::text).collect();
        Ok(if texts.is_empty() { Datum::Null } else { texts.join(delimiter).into() })
    }))
});

const NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "string_agg",
    "array_agg",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "bit_and",
    "bit_or",
    "bit_xor",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_count",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "any_value",
];

/// Makes a call of an accumulator: arguments, filter, order, DISTINCT.
type Place<'s> = dyn FnMut(
        &mut Binder<'_>,
        Arc<AggregateUDF>,
        Vec<Expr>,
        Option<Expr>,
        Vec<SortExpr>,
        bool,
    ) -> Result<Expr, Error>
    + 's;

/// Arguments, filter and order of a call.
type Parts = (Vec<Typed>, Option<Expr>, Vec<SortExpr>);

/// How the calls of an aggregate are made: plainly, or over a window.
pub(crate) struct Shape<'s> {
    pub(crate) filter: Option<Expr>,
    pub(crate) order_by: Vec<SortExpr>,
    pub(crate) distinct: bool,
    /// Makes the call and gives back what stands for its result.
    pub(crate) place: &'s mut Place<'s>,
}

pub(crate) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Binder<'_> {
    /// The aggregate that the call is, if it is one.
    pub(super) fn aggregate_call(&mut self, call: &CallNode<'_>) -> Result<Option<Typed>, Error> {
        if !is_aggregate(&call.name) {
            return Ok(None);
        }
        let clause = self.level()?.clause;
        match clause {
            Clause::Select | Clause::Having | Clause::OrderBy | Clause::WindowArgument => {}
            Clause::AggregateArgument => {
                return Err(Error::new("42803", "aggregate function calls cannot be nested"));
            }
            other => {
                return Err(Error::new(
                    "42803",
                    format!("aggregate functions are not allowed in {}", other.words()),
                ));
            }
        }
        self.level()?.clause = Clause::AggregateArgument;
        let bound = self.aggregate_parts(call);
        self.level()?.clause = clause;
        let (args, filter, mut order_by) = bound?;
        if order_by.is_empty() && !call.distinct && gathers(&call.name) {
            order_by.clone_from(&self.level()?.scope.order);
        }
        let home = self.home(&args)?;
        if home > 0 {
            return self.outer_aggregate(call, home, args, filter, order_by).map(Some);
        }
        let mut place = |binder: &mut Binder<'_>,
                         udaf: Arc<AggregateUDF>,
                         args: Vec<Expr>,
                         filter: Option<Expr>,
                         order_by: Vec<SortExpr>,
                         distinct: bool| {
            let expr = Expr::AggregateFunction(AggregateFunction::new_udf(
                udaf,
                args,
                distinct,
                filter.map(Box::new),
                order_by,
                None,
            ));
            binder.aggregate_column(expr)
        };
        let shape = Shape { filter, order_by, distinct: call.distinct, place: &mut place };
        self.aggregate(&call.name, call.star, args, shape).map(Some)
    }

    /// How many levels out the query stands that an aggregate belongs to: the innermost whose columns its arguments
    /// name.
    fn home(&self, args: &[Typed]) -> Result<usize, Error> {
        let mut named = Vec::new();
        for arg in args {
            if arg.expr.any_column_refs() {
                return Ok(0);
            }
            arg.expr.apply(|part| {
                if let Expr::OuterReferenceColumn(_, c) = part {
                    named.push(c.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let levels = self.levels.iter().rev().enumerate().skip(1);
        let home = levels.filter(|(_, level)| named.iter().any(|name| level.scope.makes(name)));
        Ok(home.map(|(distance, _)| distance).next().unwrap_or(0))
    }

    /// An aggregate of a query around this one: computed there, and referred to here.
    fn outer_aggregate(
        &mut self,
        call: &CallNode<'_>,
        home: usize,
        args: Vec<Typed>,
        filter: Option<Expr>,
        order_by: Vec<SortExpr>,
    ) -> Result<Typed, Error> {
        let inner = self.levels.split_off(self.levels.len().saturating_sub(home));
        let clause = self.level()?.clause;
        let own = |levels: &[super::super::scope::Level], expr: Expr| {
            let changed = expr.transform(|part| match part {
                Expr::OuterReferenceColumn(_, c)
                    if levels.last().is_some_and(|level| level.scope.makes(&c.name)) =>
                {
                    Ok(Transformed::yes(Expr::Column(c)))
                }
                other => Ok(Transformed::no(other)),
            });
            changed.map(|changed| changed.data)
        };
        let result = if matches!(clause, Clause::Select | Clause::Having | Clause::OrderBy) {
            let mut place = |binder: &mut Binder<'_>,
                             udaf: Arc<AggregateUDF>,
                             args: Vec<Expr>,
                             filter: Option<Expr>,
                             order_by: Vec<SortExpr>,
                             distinct: bool| {
                let levels = &binder.levels;
                let args =
                    args.into_iter().map(|arg| own(levels, arg)).collect::<Result<Vec<_>, _>>()?;
                let filter = filter.map(|filter| own(levels, filter)).transpose()?;
                let order_by = order_by
                    .into_iter()
                    .map(|s| Ok(SortExpr::new(own(levels, s.expr)?, s.asc, s.nulls_first)))
                    .collect::<Result<Vec<_>, Error>>()?;
                let call = AggregateFunction::new_udf(
                    udaf,
                    args,
                    distinct,
                    filter.map(Box::new),
                    order_by,
                    None,
                );
                binder.aggregate_column(Expr::AggregateFunction(call))
            };
            let shape = Shape { filter, order_by, distinct: call.distinct, place: &mut place };
            self.aggregate(&call.name, call.star, args, shape)
        } else {
            Err(Error::new(
                "42803",
                format!("aggregate functions are not allowed in {}", clause.words()),
            ))
        };
        self.levels.extend(inner);
        super::super::subquery::as_outer(result?)
    }

    fn aggregate_parts(&mut self, call: &CallNode<'_>) -> Result<Parts, Error> {
        let mut args = call.args.iter().map(|a| self.expr(a)).collect::<Result<Vec<_>, _>>()?;
        let filter = match &call.node.filter {
            Some(filter) => Some(self.truth(filter, "FILTER")?),
            None => None,
        };
        let mut order: Vec<&ast::OrderByExpr> = call.order_by.iter().collect();
        if !call.node.within_group.is_empty() {
            let [only] = call.node.within_group.as_slice() else {
                return Err(Error::unsupported(
                    "WITHIN GROUP by many expressions",
                    "Order by one.",
                ));
            };
            let value = self.expr(&only.expr)?;
            args.push(value);
            order = vec![only];
        }
        let mut sort = Vec::with_capacity(order.len());
        for item in order {
            let value = self.expr(&item.expr)?;
            let value = self.settled(value)?;
            let item = self.sort_by(value, item)?;
            // What was sorted by already sorts no further.
            if !sort.iter().any(|known: &SortExpr| known.expr == item.expr) {
                sort.push(item);
            }
        }
        Ok((args, filter, sort))
    }

    /// The plan's column of an aggregate, made once for equal calls.
    fn aggregate_column(&mut self, expr: Expr) -> Result<Expr, Error> {
        let name = self.fresh('a');
        let level = self.level()?;
        if let Some((_, known)) = level.aggregates.iter().find(|(e, _)| *e == expr) {
            return Ok(column(&known.clone()));
        }
        level.aggregates.push((expr, name.clone()));
        Ok(column(&name))
    }

    /// An aggregate over its arguments; `shape.place` decides between grouping and window.
    pub(crate) fn aggregate(
        &mut self,
        name: &str,
        star: bool,
        args: Vec<Typed>,
        mut shape: Shape<'_>,
    ) -> Result<Typed, Error> {
        if star && name != "count" {
            return Err(Error::new("42809", format!("{name}(*) is not an aggregate")));
        }
        match (name, args.len()) {
            ("count", 0) if star => {
                let expr = self.place(&mut shape, udaf::count::count_udaf(), vec![super::one()])?;
                Ok(Typed::new(expr, PgType::Int8))
            }
            ("count", 0) => Err(Error::new(
                "42809",
                "count(*) must be used to call a parameterless aggregate function",
            )),
            (
                "string_agg" | "json_object_agg" | "jsonb_object_agg" | "corr" | "covar_pop"
                | "covar_samp",
                2,
            ) => self.aggregate_of_two(name, args, shape),
            (regr, 2) if regr.starts_with("regr_") => self.aggregate_of_two(name, args, shape),
            ("percentile_cont" | "percentile_disc" | "mode", _) => {
                self.ordered_set(name, args, shape)
            }
            (_, 1) => match args.into_iter().next() {
                Some(arg) => self.aggregate_of_one(name, arg, shape),
                None => Err(super::wrong_count(name)),
            },
            _ => {
                let kinds: Vec<String> = args.iter().map(|arg| arg.kind.to_string()).collect();
                Err(no_aggregate(name, &kinds.join(", ")))
            }
        }
    }

    fn place(
        &mut self,
        shape: &mut Shape<'_>,
        udaf: Arc<AggregateUDF>,
        args: Vec<Expr>,
    ) -> Result<Expr, Error> {
        let (filter, order, distinct) =
            (shape.filter.clone(), shape.order_by.clone(), shape.distinct);
        (shape.place)(self, udaf, args, filter, order, distinct)
    }

    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
    fn aggregate_of_one(
        &mut self,
        name: &str,
        arg: Typed,
        mut shape: Shape<'_>,
    ) -> Result<Typed, Error> {
        let arg = match (name, &arg.kind) {
            ("sum" | "avg", PgType::Unknown) => return Err(no_aggregate(name, "unknown")),
            ("bool_and" | "bool_or" | "every", PgType::Unknown) => {
                self.cast(arg, &PgType::Bool, Allowed::Implicit)?
            }
            _ => self.settled(arg)?,
        };
        let kind = arg.kind.clone();
        match name {
            "count" => {
                let arg = if shape.distinct { distinguished(arg)? } else { arg };
                let expr = self.place(&mut shape, udaf::count::count_udaf(), vec![arg.expr])?;
                Ok(Typed::new(expr, PgType::Int8))
            }
            "sum" => self.sum(arg, &mut shape),
            "avg" => self.average(arg, &mut shape),
            "min" | "max" if matches!(kind, PgType::Interval | PgType::Array(_)) => {
                let pick = if name == "min" { &gathered::LEAST } else { &gathered::GREATEST };
                let row = super::super::row::record(vec![arg], vec!["f1".to_owned()]);
                self.over_list(row, pick, kind, &mut shape)
            }
            "min" | "max" => {
                ordered(name, &kind)?;
                let udaf = if name == "min" {
                    udaf::min_max::min_udaf()
                } else {
                    udaf::min_max::max_udaf()
                };
                shape.order_by.clear();
                let expr = self.place(&mut shape, udaf, vec![arg.expr])?;
                Ok(Typed::new(expr, kind.without_modifier()))
            }
            "bool_and" | "every" | "bool_or" if kind == PgType::Bool => {
                let udaf = if name == "bool_or" {
                    udaf::bool_and_or::bool_or_udaf()
                } else {
                    udaf::bool_and_or::bool_and_udaf()
                };
                let expr = self.place(&mut shape, udaf, vec![arg.expr])?;
                Ok(Typed::new(expr, PgType::Bool))
            }
            "bit_and" | "bit_or" | "bit_xor" if kind.is_integer() => {
                let udaf = match name {
                    "bit_and" => udaf::bit_and_or_xor::bit_and_udaf(),
                    "bit_or" => udaf::bit_and_or_xor::bit_or_udaf(),
                    _ => udaf::bit_and_or_xor::bit_xor_udaf(),
                };
                let expr = self.place(&mut shape, udaf, vec![arg.expr])?;
                Ok(Typed::new(expr, kind))
            }
            "array_agg" => {
                let arg = if shape.distinct { distinguished(arg)? } else { arg };
                if kind.element().is_some() {
                    return Err(Error::unsupported(
                        "array_agg of arrays",
                        "Arrays have one dimension.",
                    ));
                }
                let expr =
                    self.place(&mut shape, udaf::array_agg::array_agg_udaf(), vec![arg.expr])?;
                Ok(Typed::new(expr, PgType::Array(Box::new(kind))))
            }
            "json_agg" | "jsonb_agg" => {
                let arg = if shape.distinct { distinguished(arg)? } else { arg };
                let expr =
                    self.place(&mut shape, udaf::array_agg::array_agg_udaf(), vec![arg.expr])?;
                let rows = Typed::new(expr, PgType::Array(Box::new(kind)));
                self.call(&format!("stele_{name}"), vec![rows])
            }
            "any_value" => {
                Err(Error::new("42883", format!("function any_value({kind}) does not exist")))
            }
            "stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop" => {
                self.deviation(name, arg, &mut shape)
            }
            _ => Err(no_aggregate(name, &kind.to_string())),
        }
    }

    /// A function of the list of the values.
    fn over_list(
        &mut self,
        arg: Typed,
        function: &Arc<Function>,
        returns: PgType,
        shape: &mut Shape<'_>,
    ) -> Result<Typed, Error> {
        shape.order_by.clear();
        let kind = PgType::Array(Box::new(arg.kind));
        let list = self.place(shape, udaf::array_agg::array_agg_udaf(), vec![arg.expr])?;
        Ok(Typed::new(function.call(vec![list], vec![kind], returns.clone()), returns))
    }

    fn sum(&mut self, arg: Typed, shape: &mut Shape<'_>) -> Result<Typed, Error> {
        if arg.kind == PgType::Interval {
            return self.over_list(arg, &gathered::SUM, PgType::Interval, shape);
        }
        let sum = udaf::sum::sum_udaf();
        let (expr, result) = match &arg.kind {
            PgType::Int2 | PgType::Int4 => (arrow_cast(arg.expr, DataType::Int64), PgType::Int8),
            PgType::Int8 => {
                let kind = PgType::Numeric(Numeric::fixed(38, 0));
                (arrow_cast(arg.expr, kind.arrow()), kind)
            }
            PgType::Float4 | PgType::Float8 => {
                let kind = arg.kind.clone();
                let expr = self.place(shape, sum, vec![arrow_cast(arg.expr, DataType::Float64)])?;
                let expr = arrow_cast(expr, kind.arrow());
                return Ok(Typed::new(expr, kind));
            }
            PgType::Numeric(n) => return self.sum_of_numeric(arg.expr, *n, shape),
            other => return Err(no_aggregate("sum", &other.to_string())),
        };
        let total = self.place(shape, sum, vec![expr])?;
        Ok(Typed::new(total, result))
    }

    /// Up to 28 digits leave room for 10^10 rows in 38; wider ones are summed in 76 and checked.
    fn sum_of_numeric(
        &mut self,
        expr: Expr,
        n: Numeric,
        shape: &mut Shape<'_>,
    ) -> Result<Typed, Error> {
        if n.is_free() {
            let total = self.place(shape, aggregate(Total::Sum), vec![expr])?;
            return Ok(Typed::new(total, PgType::Numeric(n)));
        }
        let sum = udaf::sum::sum_udaf();
        let scale = i8::try_from(n.scale).unwrap_or(0);
        let shown = Numeric { precision: 38, scale: n.scale, digits: Digits::Fixed };
        let kind = PgType::Numeric(shown);
        if n.precision <= 28 {
            // Ten digits more than the column has: what is added up isn't converted, the total is.
            let total = self.place(shape, sum, vec![expr])?;
            return Ok(Typed::new(arrow_cast(total, kind.arrow()), kind));
        }
        let expr = arrow_cast(expr, DataType::Decimal256(60, scale));
        let total = self.place(shape, sum, vec![expr])?;
        Ok(Typed::new(arrow_cast(total, kind.arrow()), kind))
    }

    fn average(&mut self, arg: Typed, shape: &mut Shape<'_>) -> Result<Typed, Error> {
        match &arg.kind {
            PgType::Float4 | PgType::Float8 => {
                let arg = arrow_cast(arg.expr, DataType::Float64);
                let expr = self.place(shape, udaf::average::avg_udaf(), vec![arg])?;
                Ok(Typed::new(expr, PgType::Float8))
            }
            kind if kind.is_number() => {
                let arg = if shape.distinct { distinguished(arg)? } else { arg };
                let count = self.place(shape, udaf::count::count_udaf(), vec![arg.expr.clone()])?;
                let total = self.sum(arg, shape)?;
                let numeric = PgType::Numeric(super::super::operator::shape(&total.kind));
                let total = self.cast(total, &numeric, Allowed::Implicit)?;
                // Without rows the sum is NULL, and so is the quotient: the count must not divide by zero.
                let zero = literal(ScalarValue::from(0_i64));
                let count = datafusion::functions::core::nullif().call(vec![count, zero]);
                self.quotient(total, Typed::new(count, PgType::Int8))
            }
            PgType::Interval => self.over_list(arg, &gathered::AVERAGE, PgType::Interval, shape),
            other => Err(no_aggregate("avg", &other.to_string())),
        }
    }

    fn deviation(&mut self, name: &str, arg: Typed, shape: &mut Shape<'_>) -> Result<Typed, Error> {
        match &arg.kind {
            PgType::Float4 | PgType::Float8 => {}
            kind if kind.is_number() => {
                let sample = !name.ends_with("_pop");
                let total = Total::Variance { sample, root: name.starts_with("stddev") };
                let expr = self.place(shape, aggregate(total), vec![arg.expr])?;
                return Ok(Typed::new(expr, PgType::Numeric(Numeric::FREE)));
            }
            other => return Err(no_aggregate(name, &other.to_string())),
        }
        let udaf = match name {
            "stddev_pop" => udaf::stddev::stddev_pop_udaf(),
            "stddev" | "stddev_samp" => udaf::stddev::stddev_udaf(),
            "var_pop" => udaf::variance::var_pop_udaf(),
            _ => udaf::variance::var_samp_udaf(),
        };
        let expr = self.place(shape, udaf, vec![arrow_cast(arg.expr, DataType::Float64)])?;
        Ok(Typed::new(expr, PgType::Float8))
    }

    fn aggregate_of_two(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        mut shape: Shape<'_>,
    ) -> Result<Typed, Error> {
        let [a, b] = <[Typed; 2]>::try_from(args).map_err(|_| super::wrong_count(name))?;
        match name {
            "string_agg" => {
                let a = self.cast(a, &PgType::Text, Allowed::Implicit)?;
                let b = self.cast(b, &PgType::Text, Allowed::Implicit)?;
                if !matches!(b.expr, Expr::Literal(..) | Expr::Placeholder(_)) {
                    return Err(Error::unsupported(
                        "string_agg with a changing delimiter",
                        "Use a constant.",
                    ));
                }
                let present = a.expr.clone().is_not_null();
                shape.filter = Some(match shape.filter.take() {
                    Some(filter) => filter.and(present),
                    None => present,
                });
                let list =
                    self.place(&mut shape, udaf::array_agg::array_agg_udaf(), vec![a.expr])?;
                let kinds = vec![PgType::Array(Box::new(PgType::Text)), PgType::Text];
                Ok(Typed::new(JOIN.call(vec![list, b.expr], kinds, PgType::Text), PgType::Text))
            }
            "json_object_agg" | "jsonb_object_agg" => {
                let (a, b) = (self.settled(a)?, self.settled(b)?);
                let pair = super::super::row::record(vec![a, b], vec!["k".into(), "v".into()]);
                let list =
                    self.place(&mut shape, udaf::array_agg::array_agg_udaf(), vec![pair.expr])?;
                let list = Typed::new(list, PgType::Array(Box::new(pair.kind)));
                self.call(&format!("stele_{name}"), vec![list])
            }
            _ => {
                let a = self.cast(a, &PgType::Float8, Allowed::Implicit)?;
                let b = self.cast(b, &PgType::Float8, Allowed::Implicit)?;
                let udaf = match name {
                    "corr" => udaf::correlation::corr_udaf(),
                    "covar_pop" => udaf::covariance::covar_pop_udaf(),
                    "covar_samp" => udaf::covariance::covar_samp_udaf(),
                    "regr_slope" => udaf::regr::regr_slope_udaf(),
                    "regr_intercept" => udaf::regr::regr_intercept_udaf(),
                    "regr_r2" => udaf::regr::regr_r2_udaf(),
                    "regr_avgx" => udaf::regr::regr_avgx_udaf(),
                    "regr_avgy" => udaf::regr::regr_avgy_udaf(),
                    "regr_sxx" => udaf::regr::regr_sxx_udaf(),
                    "regr_syy" => udaf::regr::regr_syy_udaf(),
                    "regr_sxy" => udaf::regr::regr_sxy_udaf(),
                    _ => {
                        return Err(Error::unsupported(
                            format!("{name}()"),
                            "Use corr or covar_pop.",
                        ));
                    }
                };
                let expr = self.place(&mut shape, udaf, vec![a.expr, b.expr])?;
                Ok(Typed::new(expr, PgType::Float8))
            }
        }
    }

    /// `percentile_cont(f) WITHIN GROUP (ORDER BY x)`: from the sorted list of values.
    fn ordered_set(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        mut shape: Shape<'_>,
    ) -> Result<Typed, Error> {
        let mut args = args.into_iter();
        let (fraction, value) = match (name, args.next(), args.next()) {
            ("mode", Some(value), None) => (None, value),
            ("percentile_cont" | "percentile_disc", Some(fraction), Some(value)) => {
                (Some(self.cast(fraction, &PgType::Float8, Allowed::Implicit)?), value)
            }
            _ => {
                return Err(Error::new(
                    "42809",
                    format!("WITHIN GROUP is required for ordered-set aggregate {name}"),
                ));
            }
        };
        let value = if name == "percentile_cont" {
            self.cast(value, &PgType::Float8, Allowed::Implicit)?
        } else {
            self.settled(value)?
        };
        let present = value.expr.clone().is_not_null();
        shape.filter = Some(match shape.filter.take() {
            Some(filter) => filter.and(present),
            None => present,
        });
        // The order is by the value itself, in the type it is computed in.
        if let Some(sort) = shape.order_by.first_mut() {
            sort.expr = value.expr.clone();
        }
        let kind = value.kind.clone();
        let list = self.place(&mut shape, udaf::array_agg::array_agg_udaf(), vec![value.expr])?;
        let list = Typed::new(list, PgType::Array(Box::new(kind)));
        let mut args = vec![list];
        args.extend(fraction);
        self.call(&format!("stele_{name}"), args)
    }
}

/// The argument of a DISTINCT aggregate, such that equal values are equal in Arrow.
fn distinguished(arg: Typed) -> Result<Typed, Error> {
    match &arg.kind {
        PgType::Float4 | PgType::Float8 => Ok(super::super::operator::float_key(arg)),
        PgType::Numeric(n) if n.is_free() => super::super::operator::numeric_key(arg),
        _ => Ok(arg),
    }
}

/// Aggregates whose result shows the order of the rows.
fn gathers(name: &str) -> bool {
    matches!(
        name,
        "array_agg"
            | "string_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
    )
}

fn no_aggregate(name: &str, kinds: &str) -> Error {
    Error::new("42883", format!("function {name}({kinds}) does not exist")).with_hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    )
}

/// Types that min and max order.
fn ordered(name: &str, kind: &PgType) -> Result<(), Error> {
    match kind {
        PgType::Bool
        | PgType::Uuid
        | PgType::Json
        | PgType::Jsonb
        | PgType::Bytea
        | PgType::Record(_) => Err(no_aggregate(name, &kind.to_string())),
        _ => Ok(()),
    }
}
