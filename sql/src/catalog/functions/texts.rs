//! Texts: every type's text form as far as the catalogs have it, SQL's everyday text functions, JSON.

use regex::Regex;

use super::{Body, Builtin, Call, function, int, out, text};
use crate::Error;
use crate::catalog::facts::Facts;
use crate::catalog::text::{array_literal, quote_ident, quote_literal};
use crate::functions::Datum;
use crate::types::PgType;

/// A value as text, as `::text` gives it.
pub(crate) fn as_text(facts: &Facts<'_>, value: &Datum, kind: &PgType) -> String {
    match (value, kind) {
        (Datum::Null, _) => String::new(),
        (Datum::Bool(b), _) => if *b { "true" } else { "false" }.to_owned(),
        (Datum::Int(i), PgType::Reg(reg)) => {
            super::reg_text(facts, *reg, u32::try_from(*i).unwrap_or(0))
        }
        (Datum::Int(i), _) => i.to_string(),
        (Datum::Float(f), _) => float_text(*f),
        (Datum::Text(t), _) => t.clone(),
        (Datum::Array(items), PgType::Int2Vector | PgType::OidVector) => {
            let items: Vec<String> = items.iter().map(|item| item.int().to_string()).collect();
            items.join(" ")
        }
        (Datum::Array(items), kind) => {
            let element = kind.element().unwrap_or(PgType::Text);
            let items: Vec<Option<String>> = items
                .iter()
                .map(|item| (!item.is_null()).then(|| item_text(facts, item, &element)))
                .collect();
            array_literal(items.iter().map(Option::as_deref))
        }
        (Datum::Record(fields), PgType::Record(kinds)) => {
            let fields: Vec<String> = fields
                .iter()
                .zip(kinds)
                .map(|(field, (_, kind))| {
                    let text = item_text(facts, field, kind);
                    let quote = !field.is_null()
                        && (text.is_empty()
                            || text.chars().any(|c| "(),\"\\".contains(c) || c.is_whitespace()));
                    if quote { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
                })
                .collect();
            format!("({})", fields.join(","))
        }
        (Datum::Numeric(number), _) => number.to_string(),
        (other, kind) => other
            .clone()
            .value(kind)
            .zip(kind.stored())
            .map_or_else(String::new, |(value, kind)| value.to_text(&kind, facts.zone)),
    }
}

/// A value inside an array or row: a boolean is one letter there.
fn item_text(facts: &Facts<'_>, value: &Datum, kind: &PgType) -> String {
    match value {
        Datum::Bool(b) => if *b { "t" } else { "f" }.to_owned(),
        other => as_text(facts, other, kind),
    }
}

fn float_text(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        value.to_string()
    }
}

/// A value as JSON.
pub(crate) fn json_of(facts: &Facts<'_>, value: &Datum, kind: &PgType) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match (value, kind) {
        (Datum::Null, _) => "null".to_owned(),
        (Datum::Bool(b), _) => b.to_string(),
        (Datum::Int(_), PgType::Reg(_)) => quoted(&as_text(facts, value, kind)),
        (Datum::Int(_) | Datum::Float(_), _) => as_text(facts, value, kind),
        (Datum::Text(text), PgType::Json | PgType::Jsonb) => text.clone(),
        (Datum::Array(items), kind) => {
            let element = kind.element().unwrap_or(PgType::Text);
            let items: Vec<String> =
                items.iter().map(|item| json_of(facts, item, &element)).collect();
            format!("[{}]", items.join(","))
        }
        (Datum::Record(fields), PgType::Record(kinds)) => {
            let fields: Vec<String> = fields
                .iter()
                .zip(kinds)
                .map(|(field, (name, kind))| {
                    format!("{}:{}", quoted(name), json_of(facts, field, kind))
                })
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        _ => quoted(&as_text(facts, value, kind)),
    }
}

fn json_object(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    if !a.len().is_multiple_of(2) {
        return Err(Error::new("22023", "argument list must have even number of elements"));
    }
    let mut members = Vec::new();
    for (pair, kinds) in a.chunks(2).zip(call.kinds.chunks(2)) {
        let ([key, value], [key_kind, kind]) = (pair, kinds) else { continue };
        if key.is_null() {
            return Err(Error::new("22023", "argument 1: key must not be null"));
        }
        let key = serde_json::Value::from(as_text(call.facts, key, key_kind)).to_string();
        members.push(format!("{key} : {}", json_of(call.facts, value, kind)));
    }
    out(format!("{{{}}}", members.join(", ")))
}

fn json_array(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let items: Vec<String> =
        a.iter().zip(call.kinds).map(|(item, kind)| json_of(call.facts, item, kind)).collect();
    out(format!("[{}]", items.join(", ")))
}

/// A part of a text, counted in characters from 1.
pub(super) fn substring(text: &str, from: i64, length: Option<i64>) -> Result<String, Error> {
    let end = match length {
        Some(length) if length < 0 => {
            return Err(Error::new("22011", "negative substring length not allowed"));
        }
        Some(length) => from.saturating_add(length),
        None => i64::MAX,
    };
    let skip = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
    let take = usize::try_from(end.saturating_sub(from.max(1)).max(0)).unwrap_or(usize::MAX);
    Ok(text.chars().skip(skip).take(take).collect())
}

/// A regular expression, or 2201B.
pub(crate) fn regex(pattern: &str, ignore_case: bool) -> Result<Regex, Error> {
    regex::RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| Error::new("2201B", format!("invalid regular expression: {error}")))
}

fn trimmed(a: &[Datum], start: bool, end: bool) -> Result<Datum, Error> {
    let set: Vec<char> = match a.get(1) {
        Some(set) => set.text().chars().collect(),
        None => vec![' '],
    };
    let mut text = text(a, 0);
    if start {
        text = text.trim_start_matches(|c| set.contains(&c));
    }
    if end {
        text = text.trim_end_matches(|c| set.contains(&c));
    }
    out(text)
}

pub(super) fn functions() -> Vec<Builtin> {
    let mut all = vec![
        function("quote_ident(text) text", |_, a| out(quote_ident(text(a, 0)))),
        function("quote_literal(text) text", |_, a| out(quote_literal(text(a, 0)))),
        function("json_build_object(variadic any) json", json_object).with_nulls(),
        function("jsonb_build_object(variadic any) jsonb", json_object).with_nulls(),
        function("json_build_array(variadic any) json", json_array).with_nulls(),
        function("to_json(any) json", |c, a| {
            let (Some(value), Some(kind)) = (a.first(), c.kinds.first()) else {
                return Ok(Datum::Null);
            };
            out(json_of(c.facts, value, kind))
        }),
        function("concat(variadic any) text", |c, a| {
            let texts: Vec<String> =
                a.iter().zip(c.kinds).map(|(item, kind)| item_text(c.facts, item, kind)).collect();
            out(texts.concat())
        })
        .with_nulls(),
        function("format(text, variadic any) text", format_text).with_nulls(),
        function("pg_typeof(any) regtype", |c, _| {
            Ok(Datum::Int(c.kinds.first().map_or(0, |kind| i64::from(kind.oid()))))
        })
        .with_nulls(),
    ];
    all.extend(plain());
    for builtin in &mut all {
        builtin.everyday = !builtin.name.starts_with("quote_");
    }
    all
}

fn plain() -> Vec<Builtin> {
    let characters: Body =
        |_, a| Ok(Datum::Int(i64::try_from(text(a, 0).chars().count()).unwrap_or(i64::MAX)));
    let sub: Body = |_, a| {
        let length = a.get(2).map(Datum::int);
        out(substring(text(a, 0), int(a, 1), length)?)
    };
    let trim_both: Body = |_, a| trimmed(a, true, true);
    let trim_start: Body = |_, a| trimmed(a, true, false);
    let trim_end: Body = |_, a| trimmed(a, false, true);
    vec![
        function("length(text) integer", characters),
        function("char_length(text) integer", characters),
        function("lower(text) text", |_, a| out(text(a, 0).to_lowercase())),
        function("upper(text) text", |_, a| out(text(a, 0).to_uppercase())),
        function("substring(text, integer) text", sub),
        function("substring(text, integer, integer) text", sub),
        function("substring(text, text) text", |_, a| {
            let found = regex(text(a, 1), false)?;
            let captured = found.captures(text(a, 0));
            // The first group if there is one, else the whole match.
            let part = captured.and_then(|c| c.get(1).or_else(|| c.get(0)));
            Ok(part.map_or(Datum::Null, |part| Datum::Text(part.as_str().to_owned())))
        }),
        function("substr(text, integer) text", sub),
        function("substr(text, integer, integer) text", sub),
        function("btrim(text) text", trim_both),
        function("btrim(text, text) text", trim_both),
        function("ltrim(text) text", trim_start),
        function("ltrim(text, text) text", trim_start),
        function("rtrim(text) text", trim_end),
        function("rtrim(text, text) text", trim_end),
        function("replace(text, text, text) text", |_, a| {
            let from = text(a, 1);
            out(if from.is_empty() {
                text(a, 0).to_owned()
            } else {
                text(a, 0).replace(from, text(a, 2))
            })
        }),
        function("strpos(text, text) integer", |_, a| {
            let whole = text(a, 0);
            let place = whole.find(text(a, 1)).map_or(0, |at| whole[..at].chars().count() + 1);
            Ok(Datum::Int(i64::try_from(place).unwrap_or(0)))
        }),
        function("split_part(text, text, integer) text", |_, a| {
            let parts: Vec<&str> = text(a, 0).split(text(a, 1)).collect();
            let place = int(a, 2);
            let index =
                if place < 0 { place + i64::try_from(parts.len()).unwrap_or(0) } else { place - 1 };
            out(usize::try_from(index).ok().and_then(|i| parts.get(i)).copied().unwrap_or_default())
        }),
        function("left(text, integer) text", |_, a| {
            let take = if int(a, 1) < 0 {
                i64::try_from(text(a, 0).chars().count()).unwrap_or(0) + int(a, 1)
            } else {
                int(a, 1)
            };
            out(substring(text(a, 0), 1, Some(take.max(0)))?)
        }),
        function("starts_with(text, text) boolean", |_, a| {
            Ok(Datum::Bool(text(a, 0).starts_with(text(a, 1))))
        }),
        function("abs(bigint) bigint", |_, a| {
            int(a, 0)
                .checked_abs()
                .map(Datum::Int)
                .ok_or_else(|| Error::new("22003", "bigint out of range"))
        }),
    ]
}

/// `format` with `%s`, `%I`, `%L`, `%%`, and positions.
fn format_text(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let Some(Datum::Text(pattern)) = a.first() else { return Ok(Datum::Null) };
    let few = || Error::new("22023", "too few arguments for format()");
    let mut done = String::new();
    let mut next = 1;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            done.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let place = if digits.is_empty() {
            next
        } else if rest.next_if_eq(&'$').is_some() {
            digits.parse().map_err(|_| few())?
        } else {
            return Err(Error::unsupported("a width in format()", "Use lpad or rpad."));
        };
        let letter = rest
            .next()
            .ok_or_else(|| Error::new("22023", "unterminated format() type specifier"))?;
        if letter == '%' {
            done.push('%');
            continue;
        }
        let (value, kind) = a.get(place).zip(call.kinds.get(place)).ok_or_else(few)?;
        next = place + 1;
        let shown = item_text(call.facts, value, kind);
        match letter {
            's' => done.push_str(&shown),
            'I' if value.is_null() => {
                return Err(Error::new(
                    "22004",
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            'I' => done.push_str(&quote_ident(&shown)),
            'L' if value.is_null() => done.push_str("NULL"),
            'L' => done.push_str(&quote_literal(&shown)),
            other => {
                return Err(Error::new(
                    "22023",
                    format!("unrecognized format() type specifier \"{other}\""),
                ));
            }
        }
    }
    out(done)
}
