//! What aggregates without an accumulator of their own make of the list of their values: totals and extremes of
//! intervals, extremes of arrays. NULLs count for nothing.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use super::array::compare;
use super::{Datum, Function, Span};
use crate::Error;

/// `sum(interval)`
pub(crate) static SUM: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("sum(interval[]) interval", |_, a| {
        Ok(total(a)?.map_or(Datum::Null, |(sum, _)| Datum::Interval(sum)))
    }))
});

/// `avg(interval)`
pub(crate) static AVERAGE: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("avg(interval[]) interval", |_, a| {
        let Some((sum, count)) = total(a)? else { return Ok(Datum::Null) };
        Ok(Datum::Interval(sum.divided(count)?))
    }))
});

/// The least first field of a list of records.
pub(crate) static LEAST: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("min(any) any", |_, a| Ok(extreme(a, Ordering::Less))))
});

/// The greatest first field of a list of records.
pub(crate) static GREATEST: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("max(any) any", |_, a| Ok(extreme(a, Ordering::Greater))))
});

fn items(args: &[Datum]) -> &[Datum] {
    args.first().map(Datum::items).unwrap_or_default()
}

/// The sum of the intervals and their number.
fn total(args: &[Datum]) -> Result<Option<(Span, f64)>, Error> {
    let mut sum: Option<(Span, f64)> = None;
    for item in items(args).iter().filter(|item| !item.is_null()) {
        let span = item.span();
        sum = Some(match sum {
            None => (span, 1.0),
            Some((sum, count)) => (sum.plus(&span)?, count + 1.0),
        });
    }
    Ok(sum)
}

/// The first field of the record whose first field comes first, or last, in its type's order.
fn extreme(args: &[Datum], wanted: Ordering) -> Datum {
    let mut best: Option<&Datum> = None;
    for item in items(args) {
        let Datum::Record(fields) = item else { continue };
        let Some(value) = fields.first().filter(|value| !value.is_null()) else { continue };
        if best.is_none_or(|best| compare(value, best) == Some(wanted)) {
            best = Some(value);
        }
    }
    best.cloned().unwrap_or(Datum::Null)
}
