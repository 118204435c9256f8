//! `generate_series`: one element after the other, as a list for calls that depend on other rows, and as a relation
//! that is made while it is read for all others. It doesn't decide which of the two a call is.

use datafusion::logical_expr::{Expr, Volatility};

use super::{Call, Datum, Function, Span};
use crate::Error;
use crate::lazy;
use crate::number::Number;
use crate::read::{QueryContext, VirtualTable};
use crate::types::{Numeric, PgType};

#[cfg(test)]
mod tests;

/// A series that is made as a list has no more elements than this.
const MOST_IN_LIST: usize = 10_000_000;
/// Elements that are made at a time.
const STEP: usize = 8192;
/// The function's name.
const NAME: &str = "generate_series";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::row("generate_series(integer, integer, [integer]) setof integer", list),
        Function::row("generate_series(bigint, bigint, [bigint]) setof bigint", list),
        Function::row("generate_series(numeric, numeric, [numeric]) setof numeric", list)
            .returning(|kinds| {
                let shape = kinds.iter().filter_map(|kind| match kind {
                    PgType::Numeric(n) => Some(*n),
                    _ => None,
                });
                PgType::Numeric(shape.reduce(|a, b| a.common(&b)).unwrap_or(Numeric::FREE))
            }),
        Function::row("generate_series(timestamp, timestamp, interval) setof timestamp", list),
        Function::row(
            "generate_series(timestamptz, timestamptz, interval) setof timestamptz",
            list,
        )
        .stable(),
    ]
}

/// How far apart two elements are.
enum Step {
    Integer(i64),
    Numeric(Number),
    Time(Span),
}

/// A series on its way.
struct Series {
    next: Option<Datum>,
    to: Datum,
    step: Step,
}

impl Series {
    /// The series of a call's arguments; `None` when one is NULL.
    ///
    /// # Errors
    /// 22023 for a step of nothing.
    fn of(args: &[Datum]) -> Result<Option<Self>, Error> {
        let (Some(from), Some(to)) = (args.first(), args.get(1)) else { return Ok(None) };
        let one = Number::new(1, 0);
        let step = match (from, args.get(2)) {
            _ if args.iter().any(Datum::is_null) => return Ok(None),
            (Datum::Int(_), step) => Step::Integer(step.map_or(1, Datum::int)),
            (Datum::Numeric(_), step) => Step::Numeric(step.map_or(one, Datum::numeric)),
            (_, Some(Datum::Interval(step))) => Step::Time(*step),
            _ => return Err(Error::internal("a series of another type")),
        };
        let nothing = match &step {
            Step::Integer(step) => *step == 0,
            Step::Numeric(step) => step.is_zero(),
            Step::Time(step) => step.length() == 0 || *step == Span::default(),
        };
        if nothing {
            return Err(Error::new("22023", "step size cannot equal zero"));
        }
        Ok(Some(Self { next: Some(from.clone()), to: to.clone(), step }))
    }

    fn advance(&mut self, context: &QueryContext) -> Result<Option<Datum>, Error> {
        let Some(value) = self.next.take() else { return Ok(None) };
        let order = match &self.step {
            Step::Integer(step) => value.int().cmp(&self.to.int()).then_with_sign(*step > 0),
            Step::Numeric(step) => {
                value.numeric().cmp(&self.to.numeric()).then_with_sign(step.signum() > 0)
            }
            Step::Time(step) => {
                value.moment().cmp(&self.to.moment()).then_with_sign(step.length() > 0)
            }
        };
        if order.is_gt() {
            return Ok(None);
        }
        self.next = match &self.step {
            Step::Integer(step) => value.int().checked_add(*step).map(Datum::Int),
            // The last one needs no successor.
            _ if order.is_eq() => None,
            Step::Numeric(step) => Some(Datum::Numeric(value.numeric().plus(step)?)),
            Step::Time(step) => Some(super::datetime::plus(context, &value, step)?),
        };
        Ok(Some(value))
    }
}

/// The order seen in the direction in which a series goes.
trait Directed {
    fn then_with_sign(self, up: bool) -> Self;
}

impl Directed for std::cmp::Ordering {
    fn then_with_sign(self, up: bool) -> Self {
        if up { self } else { self.reverse() }
    }
}

/// All elements at once.
fn list(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let Some(mut series) = Series::of(args)? else { return Ok(Datum::Null) };
    let mut all = Vec::new();
    while let Some(value) = series.advance(call.context)? {
        if all.len() >= MOST_IN_LIST {
            return Err(Error::new("53200", "out of memory")
                .with_detail(format!("A series has more than {MOST_IN_LIST} elements."))
                .with_hint(
                    "Write its bounds as constants, alone in FROM: then it is never held.",
                ));
        }
        all.push(value);
    }
    Ok(Datum::Array(all))
}

/// The arguments of a call of `generate_series` whose arguments are the same whenever it runs.
pub(crate) fn constant_arguments(call: &Expr) -> Option<&[Expr]> {
    let Expr::ScalarFunction(call) = call else { return None };
    let varies = |expr: &Expr| match expr {
        Expr::ScalarFunction(inner) => inner.func.signature().volatility != Volatility::Immutable,
        Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::Placeholder(_) => true,
        _ => false,
    };
    let constant = |arg: &Expr| {
        use datafusion::common::tree_node::TreeNode as _;
        arg.exists(|expr| Ok(varies(expr))).is_ok_and(|varies| !varies)
    };
    (call.func.name() == NAME && call.args.iter().all(constant)).then_some(call.args.as_slice())
}

/// The series as a relation: its elements, and their numbers from 1.
pub(crate) fn relation(kind: PgType, args: Vec<Datum>) -> VirtualTable {
    let columns = vec![(NAME.to_owned(), kind.clone()), ("ordinality".to_owned(), PgType::Int8)];
    let kinds = [kind, PgType::Int8];
    lazy::table(0, columns, move |context, places| {
        let series = Series::of(&args)?;
        let chosen = places.iter().filter_map(|place| kinds.get(*place)).cloned().collect();
        let (places, context) = (places.to_vec(), context.clone());
        Ok(Box::new(Batches { series, places, kinds: chosen, context, number: 0 }))
    })
}

/// A series in batches.
struct Batches {
    series: Option<Series>,
    places: Vec<usize>,
    kinds: Vec<PgType>,
    context: QueryContext,
    number: i64,
}

impl Batches {
    fn batch(&mut self) -> Result<Vec<Vec<Datum>>, Error> {
        let mut rows = Vec::with_capacity(STEP);
        let Some(series) = &mut self.series else { return Ok(rows) };
        while rows.len() < STEP {
            let Some(value) = series.advance(&self.context)? else { break };
            self.number += 1;
            let row = self.places.iter().map(|place| match place {
                0 => value.clone(),
                _ => Datum::Int(self.number),
            });
            rows.push(row.collect());
        }
        Ok(rows)
    }
}

impl Iterator for Batches {
    type Item = Result<arrow::record_batch::RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch() {
            Ok(rows) if rows.is_empty() => None,
            Ok(rows) => Some(lazy::batch(&self.kinds, rows)),
            Err(error) => {
                self.series = None;
                Some(Err(error))
            }
        }
    }
}
