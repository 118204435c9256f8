//! Functions of arrays, and the tables they unfold into. Arrays have one dimension, from 1.

use std::cmp::Ordering;

use super::text::{int, shown};
use super::{Call, Datum, Function};
use crate::Error;
use crate::types::PgType;

/// An array has no more elements than this.
const MAX_ITEMS: usize = 10_000_000;

#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("array_length(anyarray, integer) integer", |_, a| Ok(length(a))),
        Function::row("array_upper(anyarray, integer) integer", upper),
        Function::row("array_lower(anyarray, integer) integer", |c, a| {
            Ok(match (items(a, 0).len(), int(a, 1)) {
                (0, _) => Datum::Null,
                (_, 1) => Datum::Int(i64::from(!is_vector(c))),
                _ => Datum::Null,
            })
        }),
        Function::row("array_ndims(anyarray) integer", |_, a| {
            Ok(if items(a, 0).is_empty() { Datum::Null } else { Datum::Int(1) })
        }),
        Function::row("array_dims(anyarray) text", |_, a| {
            Ok(match items(a, 0).len() {
                0 => Datum::Null,
                n => format!("[1:{n}]").into(),
            })
        }),
        Function::row("cardinality(anyarray) integer", |_, a| {
            Ok(super::text::size(items(a, 0).len()))
        }),
        Function::row("array_append(anyarray, anyelement) anyarray", |_, a| {
            let mut all = items(a, 0).to_vec();
            all.push(a.get(1).cloned().unwrap_or(Datum::Null));
            Ok(Datum::Array(all))
        })
        .with_nulls(),
        Function::row("array_prepend(anyelement, anyarray) anyarray", |_, a| {
            let mut all = vec![a.first().cloned().unwrap_or(Datum::Null)];
            all.extend_from_slice(items(a, 1));
            Ok(Datum::Array(all))
        })
        .with_nulls(),
        Function::row("array_cat(anyarray, anyarray) anyarray", |_, a| match a {
            [Datum::Null, other] | [other, Datum::Null] => Ok(other.clone()),
            _ => Ok(Datum::Array([items(a, 0), items(a, 1)].concat())),
        })
        .with_nulls(),
        Function::row("array_remove(anyarray, anyelement) anyarray", |_, a| match a {
            [Datum::Array(all), value] => {
                Ok(Datum::Array(all.iter().filter(|item| !same(item, value)).cloned().collect()))
            }
            _ => Ok(Datum::Null),
        })
        .with_nulls(),
        Function::row("array_replace(anyarray, anyelement, anyelement) anyarray", |_, a| match a {
            [Datum::Array(all), old, new] => Ok(Datum::Array(
                all.iter()
                    .map(|item| if same(item, old) { new.clone() } else { item.clone() })
                    .collect(),
            )),
            _ => Ok(Datum::Null),
        })
        .with_nulls(),
        Function::row("array_position(anyarray, anyelement, [integer]) integer", |_, a| {
            let Some(value) = a.get(1) else { return Ok(Datum::Null) };
            let skip = usize::try_from(int(a, 2) - 1).unwrap_or(0);
            let found =
                items(a, 0).iter().enumerate().skip(skip).find(|(_, item)| same(item, value));
            Ok(found.map_or(Datum::Null, |(i, _)| super::text::size(i + 1)))
        })
        .with_nulls(),
        Function::row("array_positions(anyarray, anyelement) integer[]", |_, a| {
            let Some(value) = a.get(1) else { return Ok(Datum::Null) };
            let found = items(a, 0).iter().enumerate().filter(|(_, item)| same(item, value));
            Ok(Datum::Array(found.map(|(i, _)| super::text::size(i + 1)).collect()))
        })
        .with_nulls(),
        Function::row("trim_array(anyarray, integer) anyarray", |_, a| {
            let all = items(a, 0);
            let keep = usize::try_from(int(a, 1)).ok().and_then(|n| all.len().checked_sub(n));
            let keep = keep.ok_or_else(|| {
                Error::new(
                    "2202E",
                    format!("number of elements to trim must be between 0 and {}", all.len()),
                )
            })?;
            Ok(Datum::Array(all.iter().take(keep).cloned().collect()))
        }),
        Function::row("array_fill(anyelement, integer[]) anyarray", |_, a| {
            let [n] = items(a, 1) else {
                return Err(Error::unsupported(
                    "array_fill of many dimensions",
                    "Arrays have one dimension.",
                ));
            };
            let n = usize::try_from(n.int()).unwrap_or(0).min(MAX_ITEMS);
            Ok(Datum::Array(vec![a.first().cloned().unwrap_or(Datum::Null); n]))
        })
        .with_nulls(),
        Function::row("array_to_string(anyarray, text, [text]) text", to_text)
            .with_nulls()
            .stable(),
        Function::row("unnest(anyarray) setof anyelement", |_, a| {
            Ok(Datum::Array(items(a, 0).to_vec()))
        }),
        Function::row("generate_subscripts(anyarray, integer) setof integer", |c, a| {
            let count = items(a, 0).len();
            let first = usize::from(!is_vector(c));
            Ok(Datum::Array((first..count + first).map(super::text::size).collect()))
        }),
        Function::row("stele_element(anyarray, integer) anyelement", |c, a| {
            let first = i64::from(!is_vector(c));
            let index = usize::try_from(int(a, 1) - first).ok();
            Ok(index.and_then(|i| items(a, 0).get(i)).cloned().unwrap_or(Datum::Null))
        }),
        Function::row(
            "stele_slice(anyarray, integer, integer, boolean, boolean) anyarray",
            |_, a| {
                let all = items(a, 0);
                // A bound that is given as NULL makes the whole NULL.
                let given = |flag: usize, bound: usize| {
                    a.get(flag).is_some_and(Datum::bool) && a.get(bound).is_some_and(Datum::is_null)
                };
                if a.first().is_none_or(Datum::is_null) || given(3, 1) || given(4, 2) {
                    return Ok(Datum::Null);
                }
                let from = a.get(1).filter(|b| !b.is_null()).map_or(1, Datum::int).max(1);
                let most = i64::try_from(all.len()).unwrap_or(i64::MAX);
                let to = a.get(2).filter(|b| !b.is_null()).map_or(most, Datum::int).min(most);
                let skip = usize::try_from(from - 1).unwrap_or(0);
                let take = usize::try_from(to - from + 1).unwrap_or(0);
                Ok(Datum::Array(all.iter().skip(skip).take(take).cloned().collect()))
            },
        )
        .with_nulls(),
        Function::row("stele_overlap(anyarray, anyarray) boolean", |_, a| {
            let (x, y) = (items(a, 0), items(a, 1));
            Ok(x.iter().any(|i| !i.is_null() && y.iter().any(|j| same(i, j))).into())
        }),
        Function::row("stele_array_contains(anyarray, anyarray) boolean", |_, a| {
            let (outer, inner) = (items(a, 0), items(a, 1));
            Ok(inner.iter().all(|i| !i.is_null() && outer.iter().any(|j| same(i, j))).into())
        }),
        Function::row("stele_mode(anyarray) anyelement", mode),
        Function::row(
            "stele_percentile_cont(double precision[], double precision) double precision",
            |_, a| percentile(a, true),
        ),
        Function::row("stele_percentile_disc(anyarray, double precision) anyelement", |_, a| {
            percentile(a, false)
        }),
    ];
    for (quantifier, every) in [("any", false), ("all", true)] {
        for (name, accepts) in COMPARISONS {
            let signature = format!("stele_{quantifier}_{name}(anyelement, anyarray) boolean");
            all.push(
                Function::row(&signature, move |_, a| Ok(quantified(a, every, *accepts)))
                    .with_nulls(),
            );
        }
        all.push(pattern(quantifier, every));
    }
    all
}

type Accepts = fn(Ordering) -> bool;

const COMPARISONS: &[(&str, Accepts)] = &[
    ("eq", |o| o == Ordering::Equal),
    ("ne", |o| o != Ordering::Equal),
    ("lt", |o| o == Ordering::Less),
    ("le", |o| o != Ordering::Greater),
    ("gt", |o| o == Ordering::Greater),
    ("ge", |o| o != Ordering::Less),
];

fn pattern(quantifier: &str, every: bool) -> Function {
    let signature = format!("stele_{quantifier}_like(text, text[]) boolean");
    Function::row(&signature, move |_, a| {
        let mut result = every;
        for item in items(a, 1) {
            let matched = like(super::text::text(a, 0), item.text());
            result = if every { result && matched } else { result || matched };
        }
        Ok(result.into())
    })
}

/// LIKE for single values.
fn like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => {
                (0..=text.len()).any(|i| text.get(i..).is_some_and(|t| matches(t, rest)))
            }
            ['\\', c, rest @ ..] => {
                text.split_first().is_some_and(|(t, tail)| t == c && matches(tail, rest))
            }
            ['_', rest @ ..] => text.split_first().is_some_and(|(_, tail)| matches(tail, rest)),
            [c, rest @ ..] => {
                text.split_first().is_some_and(|(t, tail)| t == c && matches(tail, rest))
            }
        }
    }
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    matches(&text, &pattern)
}

fn quantified(args: &[Datum], every: bool, accepts: Accepts) -> Datum {
    let (Some(value), Some(Datum::Array(list))) = (args.first(), args.get(1)) else {
        return Datum::Null;
    };
    if list.is_empty() {
        return every.into();
    }
    let mut unknown = false;
    for item in list {
        match compare(value, item) {
            None => unknown = true,
            Some(order) if accepts(order) != every => return Datum::Bool(!every),
            Some(_) => {}
        }
    }
    if unknown { Datum::Null } else { Datum::Bool(every) }
}

/// The order of two values of one type; `None` when one is NULL.
pub(crate) fn compare(a: &Datum, b: &Datum) -> Option<Ordering> {
    Some(match (a, b) {
        (Datum::Null, _) | (_, Datum::Null) => return None,
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
        // NaN is equal to itself and greater than all others.
        (Datum::Float(a), Datum::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.partial_cmp(b)?,
        },
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
        (Datum::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
        (Datum::Interval(a), Datum::Interval(b)) => a.length().cmp(&b.length()),
        (Datum::Date(_) | Datum::Time(_) | Datum::Timestamp(_) | Datum::Timestamptz(_), _) => {
            a.moment().cmp(&b.moment())
        }
        (Datum::Array(a) | Datum::Record(a), Datum::Array(b) | Datum::Record(b)) => {
            for (x, y) in a.iter().zip(b) {
                // Within arrays NULLs are equal, and come last.
                let order = match (x.is_null(), y.is_null()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    (false, false) => compare(x, y)?,
                };
                if order != Ordering::Equal {
                    return Some(order);
                }
            }
            a.len().cmp(&b.len())
        }
        _ => return None,
    })
}

fn same(a: &Datum, b: &Datum) -> bool {
    match (a, b) {
        (Datum::Null, Datum::Null) => true,
        (a, b) => compare(a, b) == Some(Ordering::Equal),
    }
}

fn items(args: &[Datum], index: usize) -> &[Datum] {
    args.get(index).map_or(&[], Datum::items)
}

/// `int2vector` and `oidvector` count from 0.
fn is_vector(call: &Call<'_>) -> bool {
    matches!(call.kinds.first(), Some(PgType::Int2Vector | PgType::OidVector))
}

fn length(args: &[Datum]) -> Datum {
    match (items(args, 0).len(), int(args, 1)) {
        (0, _) => Datum::Null,
        (n, 1) => super::text::size(n),
        _ => Datum::Null,
    }
}

fn upper(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    Ok(match length(args) {
        Datum::Int(n) if is_vector(call) => Datum::Int(n - 1),
        other => other,
    })
}

fn to_text(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (Some(Datum::Array(all)), Some(Datum::Text(separator))) = (args.first(), args.get(1))
    else {
        return Ok(Datum::Null);
    };
    let element = [call.kinds.first().and_then(PgType::element).unwrap_or(PgType::Text)];
    let inner = Call { kinds: &element, ..*call };
    let mut parts = Vec::with_capacity(all.len());
    for item in all {
        match (item, args.get(2)) {
            (Datum::Null, Some(Datum::Text(null))) => parts.push(null.clone()),
            (Datum::Null, _) => {}
            (Datum::Bool(b), _) => parts.push(if *b { "t" } else { "f" }.to_owned()),
            (item, _) => parts.push(shown(&inner, std::slice::from_ref(item), 0)),
        }
    }
    Ok(parts.join(separator).into())
}

fn mode(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let mut best: Option<(&Datum, usize)> = None;
    let mut run: Option<(&Datum, usize)> = None;
    for item in items(args, 0) {
        run = match run {
            Some((value, n)) if same(value, item) => Some((value, n + 1)),
            _ => Some((item, 1)),
        };
        if run.map(|r| r.1) > best.map(|b| b.1) {
            best = run;
        }
    }
    Ok(best.map_or(Datum::Null, |(value, _)| value.clone()))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in an array"
)]
fn percentile(args: &[Datum], continuous: bool) -> Result<Datum, Error> {
    let fraction = args.get(1).map_or(0.0, Datum::float);
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Error::new(
            "22003",
            format!("percentile value {fraction} is not between 0 and 1"),
        ));
    }
    let all = items(args, 0);
    let Some(last) = all.len().checked_sub(1) else { return Ok(Datum::Null) };
    if !continuous {
        let index = (fraction * all.len() as f64).ceil() as usize;
        return Ok(all.get(index.saturating_sub(1)).cloned().unwrap_or(Datum::Null));
    }
    let place = fraction * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let at = |i: usize| all.get(i).map_or(0.0, Datum::float);
    Ok(Datum::Float(at(low) + (place - place.floor()) * (at(high) - at(low))))
}
