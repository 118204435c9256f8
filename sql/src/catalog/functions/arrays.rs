//! Arrays, vectors, and functions that give rows.

use super::{Body, Builtin, function, int, items, text};
use crate::Error;
use crate::catalog::functions::Call;
use crate::functions::Datum;
use crate::types::PgType;

pub(super) fn functions() -> Vec<Builtin> {
    let mut all = vec![
        function("_pg_expandarray(anyarray) setof record", |_, a| {
            let rows = items(a, 0)
                .iter()
                .zip(1..)
                .map(|(item, place)| Datum::Record(vec![item.clone(), Datum::Int(place)]));
            Ok(Datum::Array(rows.collect()))
        })
        .record(&[("x", PgType::AnyElement), ("n", PgType::Int4)])
        .in_schema("information_schema"),
        function("generate_subscripts(anyarray, integer) setof integer", subscripts),
        function("unnest(anyarray) setof anyelement", |_, a| {
            Ok(Datum::Array(items(a, 0).to_vec()))
        }),
    ];
    let series: Body = |_, a| {
        let step = if a.len() > 2 { int(a, 2) } else { 1 };
        if step == 0 {
            return Err(Error::new("22023", "step size cannot equal zero"));
        }
        series(int(a, 0), int(a, 1), step)
    };
    all.extend([
        function("generate_series(integer, integer) setof integer", series),
        function("generate_series(integer, integer, integer) setof integer", series),
        function("generate_series(bigint, bigint) setof bigint", series),
        function("generate_series(bigint, bigint, bigint) setof bigint", series),
    ]);
    let everyday = array_functions().into_iter().chain(searches());
    all.extend(everyday.map(Builtin::everyday));
    all
}

/// At most so many rows: the catalogs are small.
const MOST: usize = 1_000_000;

fn series(first: i64, last: i64, step: i64) -> Result<Datum, Error> {
    let mut rows = Vec::new();
    let mut value = first;
    while if step > 0 { value <= last } else { value >= last } {
        if rows.len() >= MOST {
            return Err(Error::new("53200", "out of memory").with_detail(format!(
                "A query of the catalogs gives at most {MOST} rows of a series."
            )));
        }
        rows.push(Datum::Int(value));
        let Some(next) = value.checked_add(step) else { break };
        value = next;
    }
    Ok(Datum::Array(rows))
}

/// The subscript of the first item: vectors count from 0.
pub(crate) fn lower_bound(kind: &PgType) -> i64 {
    i64::from(!matches!(kind, PgType::Int2Vector | PgType::OidVector))
}

fn subscripts(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let first = call.kinds.first().map_or(1, lower_bound);
    let length = if int(a, 1) == 1 { items(a, 0).len() } else { 0 };
    Ok(Datum::Array((first..).take(length).map(Datum::Int).collect()))
}

fn count(value: usize) -> Datum {
    i64::try_from(value).map_or(Datum::Null, Datum::Int)
}

fn array_functions() -> Vec<Builtin> {
    let length: Body = |_, a| {
        let items = items(a, 0);
        Ok(if items.is_empty() || int(a, 1) != 1 { Datum::Null } else { count(items.len()) })
    };
    vec![
        function("array_upper(anyarray, integer) integer", |c, a| {
            let items = items(a, 0);
            if items.is_empty() || int(a, 1) != 1 {
                return Ok(Datum::Null);
            }
            let first = c.kinds.first().map_or(1, lower_bound);
            Ok(Datum::Int(first + i64::try_from(items.len()).unwrap_or(i64::MAX) - 1))
        }),
        function("array_lower(anyarray, integer) integer", |c, a| {
            let empty = items(a, 0).is_empty() || int(a, 1) != 1;
            let first = c.kinds.first().map_or(1, lower_bound);
            Ok(if empty { Datum::Null } else { Datum::Int(first) })
        }),
        function("array_length(anyarray, integer) integer", length),
        function("array_ndims(anyarray) integer", |_, a| {
            Ok(if items(a, 0).is_empty() { Datum::Null } else { Datum::Int(1) })
        }),
        function("cardinality(anyarray) integer", |_, a| Ok(count(items(a, 0).len()))),
        function("array_to_string(anyarray, text) text", |c, a| Ok(joined(c, a, None))),
        function("array_to_string(anyarray, text, text) text", |c, a| {
            if a.iter().take(2).any(Datum::is_null) {
                return Ok(Datum::Null);
            }
            Ok(joined(c, a, a.get(2).filter(|null| !null.is_null())))
        })
        .with_nulls(),
        function("string_to_array(text, text) text[]", |_, a| {
            let whole = text(a, 0);
            if whole.is_empty() {
                return Ok(Datum::Array(Vec::new()));
            }
            let part = |part: &str| Datum::Text(part.to_owned());
            Ok(Datum::Array(match text(a, 1) {
                "" => vec![part(whole)],
                by => whole.split(by).map(part).collect(),
            }))
        }),
    ]
}

fn searches() -> Vec<Builtin> {
    vec![
        function("array_position(anyarray, anyelement) integer", |c, a| {
            let first = c.kinds.first().map_or(1, lower_bound);
            let found =
                a.get(1).and_then(|wanted| items(a, 0).iter().position(|item| item == wanted));
            Ok(found.map_or(Datum::Null, |place| {
                Datum::Int(first + i64::try_from(place).unwrap_or(i64::MAX))
            }))
        })
        .with_nulls(),
        function("array_remove(anyarray, anyelement) anyarray", |_, a| {
            if a.first().is_none_or(Datum::is_null) {
                return Ok(Datum::Null);
            }
            let wanted = a.get(1);
            Ok(Datum::Array(
                items(a, 0).iter().filter(|item| Some(*item) != wanted).cloned().collect(),
            ))
        })
        .with_nulls(),
        function("array_append(anyarray, anyelement) anyarray", |_, a| {
            let mut all = items(a, 0).to_vec();
            all.push(a.get(1).cloned().unwrap_or(Datum::Null));
            Ok(Datum::Array(all))
        })
        .with_nulls(),
        function("array_cat(anyarray, anyarray) anyarray", |_, a| {
            Ok(Datum::Array(items(a, 0).iter().chain(items(a, 1)).cloned().collect()))
        }),
    ]
}

fn joined(call: &Call<'_>, a: &[Datum], null: Option<&Datum>) -> Datum {
    let element = call.kinds.first().and_then(PgType::element).unwrap_or(PgType::Text);
    let texts: Vec<String> = items(a, 0)
        .iter()
        .filter_map(|item| match item {
            Datum::Null => null.map(|null| null.text().to_owned()),
            item => Some(super::as_text(call.facts, item, &element)),
        })
        .collect();
    Datum::Text(texts.join(text(a, 1)))
}
