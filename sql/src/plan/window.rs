//! Window functions and aggregates over windows.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::functions_window as udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    AggregateUDF, Expr, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, cast as arrow_cast,
};
use datafusion::sql::sqlparser::ast;

use super::call::{CallNode, literal_int};
use super::cast::literal;
use super::scope::Clause;
use super::{Allowed, Binder, Typed, column, fold};
use crate::Error;
use crate::types::PgType;

pub(crate) fn is_window_function(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

/// What OVER says, resolved.
struct Over {
    partition_by: Vec<Expr>,
    order_by: Vec<SortExpr>,
    frame: WindowFrame,
}

impl Binder<'_> {
    pub(super) fn window_call(&mut self, call: &CallNode<'_>) -> Result<Typed, Error> {
        let clause = self.level()?.clause;
        match clause {
            Clause::Select | Clause::OrderBy => {}
            Clause::WindowArgument => {
                return Err(Error::new("42P20", "window function calls cannot be nested"));
            }
            other => {
                return Err(Error::new(
                    "42P20",
                    format!("window functions are not allowed in {}", other.words()),
                ));
            }
        }
        if call.distinct {
            return Err(Error::new("0A000", "DISTINCT is not implemented for window functions"));
        }
        if !call.order_by.is_empty() {
            return Err(Error::new(
                "0A000",
                "aggregate ORDER BY is not implemented for window functions",
            ));
        }
        self.level()?.clause = Clause::WindowArgument;
        let bound = self.window_parts(call);
        self.level()?.clause = clause;
        let (args, filter, over) = bound?;
        if super::call::aggregate::is_aggregate(&call.name) {
            let mut place = |binder: &mut Binder<'_>,
                             udaf: Arc<AggregateUDF>,
                             args: Vec<Expr>,
                             filter: Option<Expr>,
                             _: Vec<SortExpr>,
                             _: bool| {
                binder.window_column(
                    WindowFunctionDefinition::AggregateUDF(udaf),
                    args,
                    filter,
                    &over,
                )
            };
            let shape = super::call::aggregate::Shape {
                filter,
                order_by: Vec::new(),
                distinct: false,
                place: &mut place,
            };
            return self.aggregate(&call.name, call.star, args, shape);
        }
        if !is_window_function(&call.name) {
            return Err(Error::new(
                "42809",
                format!(
                    "OVER specified, but {} is not a window function nor an aggregate function",
                    call.name
                ),
            ));
        }
        if filter.is_some() {
            return Err(Error::new(
                "0A000",
                "FILTER is not implemented for non-aggregate window functions",
            ));
        }
        self.own_window(&call.name, args, &over)
    }

    fn window_parts(
        &mut self,
        call: &CallNode<'_>,
    ) -> Result<(Vec<Typed>, Option<Expr>, Over), Error> {
        let args = call.args.iter().map(|a| self.expr(a)).collect::<Result<Vec<_>, _>>()?;
        let filter = match &call.node.filter {
            Some(filter) => Some(self.truth(filter, "FILTER")?),
            None => None,
        };
        let spec = match &call.node.over {
            Some(ast::WindowType::WindowSpec(spec)) => self.merged_window(spec, 0)?,
            Some(ast::WindowType::NamedWindow(name)) => self.named_window(name, 0)?,
            None => return Err(Error::internal("a window call without OVER")),
        };
        let over = self.over(&spec)?;
        Ok((args, filter, over))
    }

    fn named_window(&mut self, name: &ast::Ident, depth: usize) -> Result<ast::WindowSpec, Error> {
        let wanted = fold(name);
        let found = self.level()?.named_windows.iter().find(|w| fold(&w.0) == wanted).cloned();
        match found {
            Some(ast::NamedWindowDefinition(_, ast::NamedWindowExpr::WindowSpec(spec))) => {
                self.merged_window(&spec, depth)
            }
            Some(ast::NamedWindowDefinition(_, ast::NamedWindowExpr::NamedWindow(other)))
                if depth < 16 =>
            {
                self.named_window(&other, depth + 1)
            }
            _ => Err(Error::new("42704", format!("window \"{wanted}\" does not exist"))
                .at(self.position_of(name.span))),
        }
    }

    /// `OVER (w ORDER BY …)`: what the named window says, and then more.
    fn merged_window(
        &mut self,
        spec: &ast::WindowSpec,
        depth: usize,
    ) -> Result<ast::WindowSpec, Error> {
        let Some(base) = &spec.window_name else { return Ok(spec.clone()) };
        if depth >= 16 {
            return Err(Error::new("42P20", "windows refer to each other"));
        }
        let base = self.named_window(base, depth + 1)?;
        if !spec.partition_by.is_empty() {
            return Err(Error::new("42P20", "cannot override PARTITION BY clause of window"));
        }
        if !spec.order_by.is_empty() && !base.order_by.is_empty() {
            return Err(Error::new("42P20", "cannot override ORDER BY clause of window"));
        }
        Ok(ast::WindowSpec {
            window_name: None,
            partition_by: base.partition_by,
            order_by: if spec.order_by.is_empty() { base.order_by } else { spec.order_by.clone() },
            window_frame: spec.window_frame.clone().or(base.window_frame),
        })
    }

    fn over(&mut self, spec: &ast::WindowSpec) -> Result<Over, Error> {
        let mut partition_by = Vec::with_capacity(spec.partition_by.len());
        for item in &spec.partition_by {
            let value = self.expr(item)?;
            let value = self.settled(value)?;
            partition_by.push(self.groupable(value)?);
        }
        let mut order_by = Vec::with_capacity(spec.order_by.len());
        let mut kinds = Vec::with_capacity(spec.order_by.len());
        for item in &spec.order_by {
            let value = self.expr(&item.expr)?;
            let value = self.settled(value)?;
            kinds.push(value.kind.clone());
            let sort = self.sort_by(value, item)?;
            order_by.push(match super::operator::under_key(&sort.expr) {
                // DataFusion's frames know no order of bytes.
                Some(number) => SortExpr { expr: super::operator::rank(number.clone()), ..sort },
                None => sort,
            });
        }
        let frame = match &spec.window_frame {
            None => WindowFrame::new(if order_by.is_empty() { None } else { Some(false) }),
            Some(frame) => self.frame(frame, &kinds)?,
        };
        Ok(Over { partition_by, order_by, frame })
    }

    fn frame(&mut self, frame: &ast::WindowFrame, kinds: &[PgType]) -> Result<WindowFrame, Error> {
        let units = match frame.units {
            ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
            ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
            ast::WindowFrameUnits::Groups => WindowFrameUnits::Groups,
        };
        let start = self.bound(&frame.start_bound, units, kinds)?;
        let end = match &frame.end_bound {
            Some(end) => self.bound(end, units, kinds)?,
            None => WindowFrameBound::CurrentRow,
        };
        possible(&frame.start_bound, frame.end_bound.as_ref())?;
        if units == WindowFrameUnits::Groups && kinds.is_empty() {
            return Err(Error::new("42P20", "GROUPS mode requires an ORDER BY clause"));
        }
        let mut result = WindowFrame::new_bounds(units, start, end);
        if units == WindowFrameUnits::Range && kinds.is_empty() {
            result = WindowFrame::new(None);
        }
        Ok(result)
    }

    fn bound(
        &mut self,
        bound: &ast::WindowFrameBound,
        units: WindowFrameUnits,
        kinds: &[PgType],
    ) -> Result<WindowFrameBound, Error> {
        let mut distance = |node: &Option<Box<ast::Expr>>| match node {
            None if units == WindowFrameUnits::Range => Ok(ScalarValue::Null),
            None => Ok(ScalarValue::UInt64(None)),
            Some(node) => self.frame_distance(node, units, kinds),
        };
        Ok(match bound {
            ast::WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
            ast::WindowFrameBound::Preceding(node) => WindowFrameBound::Preceding(distance(node)?),
            ast::WindowFrameBound::Following(node) => WindowFrameBound::Following(distance(node)?),
        })
    }

    fn frame_distance(
        &mut self,
        node: &ast::Expr,
        units: WindowFrameUnits,
        kinds: &[PgType],
    ) -> Result<ScalarValue, Error> {
        let value = self.expr(node)?;
        let negative = || Error::new("22013", "frame starting offset must not be negative");
        if units != WindowFrameUnits::Range {
            let value = self.cast(value, &PgType::Int8, Allowed::Implicit)?;
            let rows = literal_int(&value.expr).ok_or_else(|| {
                Error::unsupported("a frame of computed length", "Write a number.")
            })?;
            let rows = u64::try_from(rows).map_err(|_| negative())?;
            return Ok(ScalarValue::UInt64(Some(rows)));
        }
        let [kind] = kinds else {
            return Err(Error::new(
                "42P20",
                "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
            ));
        };
        let target = match kind {
            PgType::Int2 | PgType::Int4 | PgType::Int8 => kind.clone(),
            _ => {
                return Err(Error::unsupported(
                    format!("RANGE with an offset over {kind}"),
                    "Order by an integer, or use ROWS.",
                ));
            }
        };
        let value = self.cast(value, &target, Allowed::Assignment)?;
        match (&value.expr, literal_int(&value.expr)) {
            (_, Some(rows)) if rows < 0 => Err(negative()),
            (Expr::Literal(scalar, _), Some(_)) => Ok(scalar.clone()),
            _ => Err(Error::unsupported("a frame of computed length", "Write a number.")),
        }
    }

    fn window_column(
        &mut self,
        fun: WindowFunctionDefinition,
        args: Vec<Expr>,
        filter: Option<Expr>,
        over: &Over,
    ) -> Result<Expr, Error> {
        let params = WindowFunctionParams {
            args,
            partition_by: over.partition_by.clone(),
            order_by: over.order_by.clone(),
            window_frame: over.frame.clone(),
            filter: filter.map(Box::new),
            null_treatment: None,
            distinct: false,
        };
        let expr = Expr::WindowFunction(Box::new(WindowFunction { fun, params }));
        let name = self.fresh('w');
        let level = self.level()?;
        if let Some((_, known)) = level.windows.iter().find(|(e, _)| *e == expr) {
            return Ok(column(&known.clone()));
        }
        level.windows.push((expr, name.clone()));
        Ok(column(&name))
    }

    fn own_window(&mut self, name: &str, args: Vec<Typed>, over: &Over) -> Result<Typed, Error> {
        let (udf, args, kind) = match (name, args.len()) {
            ("row_number", 0) => (udwf::row_number::row_number_udwf(), Vec::new(), PgType::Int8),
            ("rank", 0) => (udwf::rank::rank_udwf(), Vec::new(), PgType::Int8),
            ("dense_rank", 0) => (udwf::rank::dense_rank_udwf(), Vec::new(), PgType::Int8),
            ("percent_rank", 0) => (udwf::rank::percent_rank_udwf(), Vec::new(), PgType::Float8),
            ("cume_dist", 0) => (udwf::cume_dist::cume_dist_udwf(), Vec::new(), PgType::Float8),
            ("ntile", 1) => {
                let n = self.constant_argument("ntile", args.into_iter().next(), &PgType::Int8)?;
                (udwf::ntile::ntile_udwf(), vec![n], PgType::Int4)
            }
            ("lag" | "lead", 1..=3) => return self.shifted(name, args, over),
            ("first_value" | "last_value", 1) => {
                let arg = args.into_iter().next().ok_or_else(|| super::call::wrong_count(name))?;
                let arg = self.settled(arg)?;
                let udf = if name == "first_value" {
                    udwf::nth_value::first_value_udwf()
                } else {
                    udwf::nth_value::last_value_udwf()
                };
                (udf, vec![arg.expr], arg.kind)
            }
            ("nth_value", 2) => {
                let mut args = args.into_iter();
                let value = args.next().ok_or_else(|| super::call::wrong_count(name))?;
                let value = self.settled(value)?;
                let n = self.constant_argument(name, args.next(), &PgType::Int8)?;
                (udwf::nth_value::nth_value_udwf(), vec![value.expr, n], value.kind)
            }
            _ => return Err(super::call::wrong_count(name)),
        };
        let result =
            self.window_column(WindowFunctionDefinition::WindowUDF(udf), args, None, over)?;
        let expr = match kind {
            PgType::Int8 | PgType::Int4 => arrow_cast(result, kind.arrow()),
            _ => result,
        };
        Ok(Typed::new(expr, kind))
    }

    fn shifted(&mut self, name: &str, args: Vec<Typed>, over: &Over) -> Result<Typed, Error> {
        let mut args = args.into_iter();
        let value = args.next().ok_or_else(|| super::call::wrong_count(name))?;
        let offset = args.next();
        let default = args.next();
        let (value, default) = match default {
            Some(default) => {
                let (values, _) = self.unify(vec![value, default], name)?;
                let mut values = values.into_iter();
                (values.next().ok_or_else(|| super::call::wrong_count(name))?, values.next())
            }
            None => (self.settled(value)?, None),
        };
        let mut exprs = vec![value.expr];
        exprs.push(match offset {
            Some(offset) => self.constant_argument(name, Some(offset), &PgType::Int8)?,
            None => literal(ScalarValue::from(1_i64)),
        });
        if let Some(default) = default {
            if !matches!(default.expr, Expr::Literal(..)) {
                return Err(Error::unsupported(
                    format!("{name} with a computed default"),
                    "Use a constant, or coalesce around it.",
                ));
            }
            exprs.push(default.expr);
        }
        let udf =
            if name == "lag" { udwf::lead_lag::lag_udwf() } else { udwf::lead_lag::lead_udwf() };
        let expr =
            self.window_column(WindowFunctionDefinition::WindowUDF(udf), exprs, None, over)?;
        Ok(Typed::new(expr, value.kind))
    }

    fn constant_argument(
        &mut self,
        name: &str,
        value: Option<Typed>,
        kind: &PgType,
    ) -> Result<Expr, Error> {
        let value = value.ok_or_else(|| super::call::wrong_count(name))?;
        let value = self.cast(value, kind, Allowed::Implicit)?;
        match literal_int(&value.expr).or_else(|| cast_int(&value.expr)) {
            Some(n) => Ok(literal(ScalarValue::from(n))),
            None => Err(Error::unsupported(
                format!("{name} with a computed argument"),
                "Write a number.",
            )),
        }
    }
}

/// A frame's end doesn't come before its start.
fn possible(
    start: &ast::WindowFrameBound,
    end: Option<&ast::WindowFrameBound>,
) -> Result<(), Error> {
    use ast::WindowFrameBound as B;
    let words = match (start, end.unwrap_or(&B::CurrentRow)) {
        (B::Following(None), _) => "frame start cannot be UNBOUNDED FOLLOWING",
        (_, B::Preceding(None)) => "frame end cannot be UNBOUNDED PRECEDING",
        (B::CurrentRow, B::Preceding(Some(_))) => {
            "frame starting from current row cannot have preceding rows"
        }
        (B::Following(Some(_)), B::Preceding(Some(_)) | B::CurrentRow) => {
            "frame starting from following row cannot have preceding rows"
        }
        _ => return Ok(()),
    };
    Err(Error::new("42P20", words))
}

fn cast_int(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Cast(cast) => literal_int(&cast.expr),
        _ => None,
    }
}
