//! Casts of values: between types, and from and to text. Which casts SQL allows is `plan::cast`'s.

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::Expr;
use ledger::{Type, Value};

use super::{Call, Datum, Function, Span, out_of_range};
use crate::Error;
use crate::number::Number;
use crate::read::QueryContext;
use crate::settings::Zone;
use crate::types::{Digits, Numeric, PgType, Reg};

const DAY: i64 = 86_400_000_000;

/// How a value that is too long for its type is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Refused, unless only blanks are lost: into columns.
    Assignment,
    /// Cut: `CAST`.
    Explicit,
}

static EXPLICIT: LazyLock<Arc<Function>> = LazyLock::new(|| function(How::Explicit));
static ASSIGNMENT: LazyLock<Arc<Function>> = LazyLock::new(|| function(How::Assignment));

fn function(how: How) -> Arc<Function> {
    let body = move |call: &Call<'_>, args: &[Datum]| {
        let (Some(from), Some(value)) = (call.kinds.first(), args.first()) else {
            return Err(Error::internal("a cast without a value"));
        };
        convert(call.context, value.clone(), from, call.returns, how)
    };
    Arc::new(Function::row("cast(any) any", body).stable())
}

/// The expression that casts when the query runs.
pub(crate) fn call(expr: Expr, from: &PgType, to: &PgType, how: How) -> Expr {
    let function = if how == How::Explicit { &EXPLICIT } else { &ASSIGNMENT };
    function.call(vec![expr], vec![from.clone()], to.clone())
}

/// The ledger's type whose texts these are.
fn textual(kind: &PgType) -> Option<Type> {
    match kind {
        PgType::Numeric(n) if n.digits != Digits::Declared => Some(Type::Decimal),
        PgType::Name => Some(Type::Text),
        kind => kind.stored(),
    }
}

/// The value that a text is, as the type's input function reads it.
///
/// # Errors
/// 22P02 and its kin.
pub(crate) fn parse(
    context: &QueryContext,
    text: &str,
    kind: &PgType,
    explicit: bool,
) -> Result<Datum, Error> {
    match kind {
        PgType::Unknown
        | PgType::Text
        | PgType::Varchar(None)
        | PgType::AclItem
        | PgType::NodeTree => Ok(text.into()),
        PgType::Void | PgType::Any | PgType::AnyElement | PgType::AnyArray => Ok(text.into()),
        PgType::Name => Ok(cut(text, 63).into()),
        PgType::Char => Ok(text.chars().next().map(String::from).unwrap_or_default().into()),
        PgType::Varchar(Some(n)) if explicit => Ok(text
            .chars()
            .take(usize::try_from(*n).unwrap_or(usize::MAX))
            .collect::<String>()
            .into()),
        PgType::Bpchar(Some(n)) if explicit => {
            let short: String =
                text.chars().take(usize::try_from(*n).unwrap_or(usize::MAX)).collect();
            Ok(short.trim_end_matches(' ').into())
        }
        PgType::Bpchar(None) => Ok(text.trim_end_matches(' ').into()),
        PgType::Numeric(n) if n.digits != Digits::Declared => {
            Number::parse(text).map(Datum::Numeric)
        }
        PgType::Interval => super::interval::parse(text).map(Datum::Interval),
        PgType::Oid | PgType::Xid => {
            let number: i64 = text.trim().parse().map_err(|_| invalid("oid", text))?;
            let number = if number < 0 { number + (1 << 32) } else { number };
            Ok(Datum::Int(number))
        }
        PgType::Reg(reg) => reg_parse(context, *reg, text),
        PgType::Int2Vector | PgType::OidVector => {
            let items = text.split_whitespace().map(|item| item.parse().map(Datum::Int));
            Ok(Datum::Array(
                items.collect::<Result<_, _>>().map_err(|_| invalid("int2vector", text))?,
            ))
        }
        PgType::Array(element) if element.stored().is_none() || numeric_like(element) => {
            let texts = Value::parse(text, &Type::Array(Box::new(Type::Text)), &context.zone)?;
            let Datum::Array(items) = Datum::of(texts) else { return Ok(Datum::Null) };
            let items = items.into_iter().map(|item| match item {
                Datum::Text(text) => parse(context, &text, element, explicit),
                _ => Ok(Datum::Null),
            });
            Ok(Datum::Array(items.collect::<Result<_, _>>()?))
        }
        kind => match textual(kind) {
            Some(stored) => {
                let value = special_moment(context, text, kind);
                match value {
                    Some(value) => Ok(value),
                    None => Ok(Datum::of(Value::parse(text, &stored, &context.zone)?)),
                }
            }
            None => Err(Error::new("42846", format!("cannot cast type text to {kind}"))),
        },
    }
}

fn numeric_like(kind: &PgType) -> bool {
    matches!(kind, PgType::Numeric(n) if n.digits != Digits::Declared)
}

/// `now`, `today`, `tomorrow`, `yesterday`: the words of dates that depend on the transaction's time.
fn special_moment(context: &QueryContext, text: &str, kind: &PgType) -> Option<Datum> {
    let word = text.trim().to_ascii_lowercase();
    let now = context.transaction_time_us;
    let local = now + i64::from(context.zone.offset_at(now)) * 1_000_000;
    let midnight = local.div_euclid(DAY) * DAY;
    let at = match word.as_str() {
        "now" => local,
        "today" => midnight,
        "tomorrow" => midnight + DAY,
        "yesterday" => midnight - DAY,
        _ => return None,
    };
    match kind {
        PgType::Date => i32::try_from(at.div_euclid(DAY)).ok().map(Datum::Date),
        PgType::Timestamp => Some(Datum::Timestamp(at)),
        PgType::Timestamptz => Some(Datum::Timestamptz(to_utc(context.zone, at))),
        PgType::Time if word == "now" => Some(Datum::Time(at.rem_euclid(DAY))),
        _ => None,
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

pub(crate) fn invalid(kind: &str, text: &str) -> Error {
    Error::new("22P02", format!("invalid input syntax for type {kind}: \"{text}\""))
}

fn reg_parse(context: &QueryContext, reg: Reg, text: &str) -> Result<Datum, Error> {
    if let Ok(number) = text.trim().parse::<u32>() {
        return Ok(Datum::Int(number.into()));
    }
    if text == "-" {
        return Ok(Datum::Int(0));
    }
    for extension in context.extensions.iter() {
        if let Some(oid) = extension.reg_parse(context, reg, text)? {
            return Ok(Datum::Int(oid.into()));
        }
    }
    let (state, what) = match reg {
        Reg::Class => ("42P01", "relation"),
        Reg::Type => ("42704", "type"),
        Reg::Namespace => ("3F000", "schema"),
        Reg::Role => ("42704", "role"),
        Reg::Proc | Reg::Procedure => ("42883", "function"),
        Reg::Oper | Reg::Operator => ("42883", "operator"),
    };
    Err(Error::new(state, format!("{what} \"{text}\" does not exist")))
}

/// A value's text, as the type's output function writes it.
pub(crate) fn text_of(context: &QueryContext, value: &Datum, kind: &PgType) -> String {
    match (value, kind) {
        (Datum::Null, _) => String::new(),
        (Datum::Text(text), PgType::Bpchar(_)) => text.clone(),
        (Datum::Text(text), _) => text.clone(),
        (Datum::Interval(span), _) => super::interval::text(span),
        (Datum::Int(number), PgType::Reg(reg)) => reg_text(context, *reg, *number),
        (Datum::Int(number), _) => number.to_string(),
        (Datum::Numeric(d), _) => d.to_string(),
        (Datum::Array(items), PgType::Int2Vector | PgType::OidVector) => {
            items.iter().map(|item| item.int().to_string()).collect::<Vec<_>>().join(" ")
        }
        (Datum::Array(items), kind) => {
            let element = kind.element().unwrap_or(PgType::Text);
            let texts: Vec<Value> = items
                .iter()
                .map(|item| match item {
                    Datum::Null => Value::Null,
                    item => Value::Text(text_of(context, item, &element)),
                })
                .collect();
            Value::Array(texts).to_text(&Type::Array(Box::new(Type::Text)), &context.zone)
        }
        (Datum::Record(items), PgType::Record(fields)) => {
            let texts: Vec<String> = items
                .iter()
                .zip(fields)
                .map(|(item, (_, kind))| match item {
                    Datum::Null => String::new(),
                    item => quoted_field(&text_of(context, item, kind)),
                })
                .collect();
            format!("({})", texts.join(","))
        }
        (value, kind) => match (textual(kind), value.clone().value(kind)) {
            (Some(stored), Some(value)) => value.to_text(&stored, &context.zone),
            _ => String::new(),
        },
    }
}

fn quoted_field(text: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '\\');
    if !text.is_empty() && !text.contains(special) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

fn reg_text(context: &QueryContext, reg: Reg, number: i64) -> String {
    if number == 0 {
        return "-".to_owned();
    }
    let oid = u32::try_from(number).unwrap_or(0);
    context
        .extensions
        .iter()
        .find_map(|extension| extension.reg_text(context, reg, oid))
        .unwrap_or_else(|| number.to_string())
}

/// A local time as a moment.
pub(crate) fn to_utc(zone: Zone, local: i64) -> i64 {
    local - i64::from(zone.offset_at_local(local)) * 1_000_000
}

/// A moment as a local time.
pub(crate) fn to_local(zone: Zone, utc: i64) -> i64 {
    utc + i64::from(zone.offset_at(utc)) * 1_000_000
}

/// A value as another type.
///
/// # Errors
/// 22xxx when it can't be, 42846 when the types have nothing to do with each other.
pub(crate) fn convert(
    context: &QueryContext,
    value: Datum,
    from: &PgType,
    to: &PgType,
    how: How,
) -> Result<Datum, Error> {
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let explicit = how == How::Explicit;
    if to.is_text() || matches!(to, PgType::Char | PgType::Unknown) {
        let text = match (&value, from) {
            (Datum::Int(i), PgType::Int4) if *to == PgType::Char => {
                return Ok(u8::try_from(*i)
                    .map(|b| char::from(b).to_string())
                    .unwrap_or_default()
                    .into());
            }
            (Datum::Bool(b), _) => (if *b { "true" } else { "false" }).to_owned(),
            _ => text_of(context, &value, from),
        };
        return parse(context, &text, to, explicit);
    }
    match (value, to) {
        (Datum::Text(text), to) if from.is_text() || *from == PgType::Unknown => {
            parse(context, &text, to, explicit)
        }
        (Datum::Text(text), PgType::Json) => Ok(text.into()),
        (Datum::Text(text), PgType::Jsonb) => Ok(ledger::text::json::normalize(&text)?.into()),
        (Datum::Text(text), to) if *from == PgType::Jsonb => json_scalar(context, &text, to),
        (Datum::Text(text), PgType::Int4) if *from == PgType::Char => {
            Ok(Datum::Int(text.bytes().next().map_or(0, i64::from)))
        }
        (Datum::Array(items), to) => {
            let (Some(a), Some(b)) = (from.element(), to.element()) else {
                return Err(none(from, to));
            };
            let items = items.into_iter().map(|item| convert(context, item, &a, &b, how));
            Ok(Datum::Array(items.collect::<Result<_, _>>()?))
        }
        (value, to)
            if to.is_number() || matches!(to, PgType::Oid | PgType::Reg(_) | PgType::Xid) =>
        {
            number(value, from, to)
        }
        (Datum::Int(i), PgType::Bool) => Ok(Datum::Bool(i != 0)),
        (value, to) => moment(context, value, from, to),
    }
}

fn none(from: &PgType, to: &PgType) -> Error {
    Error::new("42846", format!("cannot cast type {from} to {to}"))
}

fn json_scalar(context: &QueryContext, text: &str, to: &PgType) -> Result<Datum, Error> {
    let parsed: serde_json::Value =
        serde_json::from_str(text).map_err(|_| invalid("json", text))?;
    let fits = match to {
        PgType::Bool => parsed.is_boolean(),
        _ => parsed.is_number(),
    };
    if !fits {
        let what = match parsed {
            serde_json::Value::Null => "null",
            serde_json::Value::Bool(_) => "boolean",
            serde_json::Value::Number(_) => "numeric",
            serde_json::Value::String(_) => "string",
            serde_json::Value::Array(_) => "array",
            serde_json::Value::Object(_) => "object",
        };
        return Err(Error::new("22023", format!("cannot cast jsonb {what} to type {to}")));
    }
    if to.is_integer() {
        let exact = Number::parse(text)?;
        return number(Datum::Numeric(exact), &PgType::Numeric(Numeric::FREE), to);
    }
    parse(context, text, to, true)
}

#[expect(clippy::cast_possible_truncation, reason = "the ranges are checked first")]
fn number(value: Datum, from: &PgType, to: &PgType) -> Result<Datum, Error> {
    let integer = |i: i64| {
        let fits = match to {
            PgType::Int2 => i16::try_from(i).is_ok(),
            PgType::Int4 => i32::try_from(i).is_ok(),
            PgType::Int8 => true,
            _ => u32::try_from(i).is_ok(),
        };
        if fits { Ok(Datum::Int(i)) } else { Err(out_of_range(to)) }
    };
    match (value, to) {
        (Datum::Int(i), PgType::Float4 | PgType::Float8) => Ok(Datum::Float(Datum::Int(i).float())),
        (Datum::Int(i), PgType::Numeric(n)) => shaped(Number::from(i), n),
        // OIDs are unsigned; an int4 reads them as its own bits.
        (Datum::Int(i), PgType::Oid | PgType::Reg(_) | PgType::Xid)
            if (-(1 << 31)..0).contains(&i) =>
        {
            Ok(Datum::Int(i + (1 << 32)))
        }
        (Datum::Int(i), PgType::Int4) if matches!(from, PgType::Oid | PgType::Reg(_)) => {
            Ok(Datum::Int(if i >= 1 << 31 { i - (1 << 32) } else { i }))
        }
        (Datum::Int(i), _) => integer(i),
        (Datum::Bool(b), _) => integer(b.into()),
        (Datum::Float(f), PgType::Float8) => Ok(Datum::Float(f)),
        (Datum::Float(f), PgType::Float4) => {
            let narrow = f as f32;
            if narrow.is_infinite() && f.is_finite() || narrow == 0.0 && f != 0.0 {
                return Err(out_of_range(to));
            }
            Ok(Datum::Float(narrow.into()))
        }
        (Datum::Float(f), PgType::Numeric(n)) => {
            let exact = match from {
                PgType::Float4 => Number::from_f32(f as f32)?,
                _ => Number::from_f64(f)?,
            };
            shaped(exact, n)
        }
        (Datum::Float(f), _) => {
            let rounded = f.round_ties_even();
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                return Err(out_of_range(to));
            }
            integer(rounded as i64)
        }
        (Datum::Numeric(d), PgType::Numeric(n)) => shaped(d, n),
        (Datum::Numeric(d), PgType::Float4 | PgType::Float8) => {
            let near = if *to == PgType::Float4 {
                f64::from(d.to_string().parse::<f32>().unwrap_or(f32::NAN))
            } else {
                d.to_f64()
            };
            if !near.is_finite() || near == 0.0 && !d.is_zero() {
                let message = format!("\"{d}\" is out of range for type {to}");
                return Err(Error::new("22003", message));
            }
            Ok(Datum::Float(near))
        }
        (Datum::Numeric(d), _) => integer(d.to_i64().ok_or_else(|| out_of_range(to))?),
        (_, to) => Err(none(from, to)),
    }
}

/// A numeric in a shape: rounded to its scale, refused when the digits don't fit.
pub(crate) fn shaped(d: Number, n: &Numeric) -> Result<Datum, Error> {
    if n.is_free() {
        return Ok(Datum::Numeric(d));
    }
    let rounded = d.round(n.scale.into())?;
    let bound = 10_u128.pow(u32::from(n.precision.min(38)));
    if rounded.small().is_none_or(|coefficient| coefficient.unsigned_abs() >= bound) {
        let error = Error::new("22003", "numeric field overflow");
        return Err(match n.digits {
            Digits::Declared => error.with_detail(format!(
                "A field with precision {}, scale {} must round to an absolute value less than {}{}.",
                n.precision,
                n.scale,
                if n.precision == n.scale { "" } else { "10^" },
                if n.precision == n.scale { 1 } else { u32::from(n.precision - n.scale) }
            )),
            _ => error.with_detail("The number has more than 38 digits."),
        });
    }
    Ok(Datum::Numeric(rounded))
}

fn moment(
    context: &QueryContext,
    value: Datum,
    from: &PgType,
    to: &PgType,
) -> Result<Datum, Error> {
    let zone = context.zone;
    let day = |micros: i64| {
        i32::try_from(micros.div_euclid(DAY)).map(Datum::Date).map_err(|_| out_of_range(to))
    };
    Ok(match (value, to) {
        (Datum::Date(d), PgType::Timestamp) => Datum::Timestamp(i64::from(d) * DAY),
        (Datum::Date(d), PgType::Timestamptz) => {
            Datum::Timestamptz(to_utc(zone, i64::from(d) * DAY))
        }
        (Datum::Timestamp(t), PgType::Timestamptz) => Datum::Timestamptz(to_utc(zone, t)),
        (Datum::Timestamp(t), PgType::Date) => day(t)?,
        (Datum::Timestamp(t), PgType::Time) => Datum::Time(t.rem_euclid(DAY)),
        (Datum::Timestamptz(t), PgType::Timestamp) => Datum::Timestamp(to_local(zone, t)),
        (Datum::Timestamptz(t), PgType::Date) => day(to_local(zone, t))?,
        (Datum::Timestamptz(t), PgType::Time) => Datum::Time(to_local(zone, t).rem_euclid(DAY)),
        (Datum::Time(t), PgType::Interval) => {
            Datum::Interval(Span { micros: t, ..Span::default() })
        }
        (Datum::Interval(span), PgType::Time) => Datum::Time(span.micros.rem_euclid(DAY)),
        (value, to) if from.arrow() == to.arrow() => {
            let _same_shape = to;
            value
        }
        (_, to) => return Err(none(from, to)),
    })
}
