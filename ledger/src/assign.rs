//! Casts between values, as PostgreSQL does them on assignment and when they are written out. Knows no
//! columns: who assigns adds the column's name to a message.

#[cfg(test)]
mod tests;

use crate::text::json;
use crate::text::scalar::{cut, parse_bool};
use crate::text::time::{DATES, DAY_US, TIMESTAMPS};
use crate::text::{Utc, Zone};
use crate::{Decimal, Refusal, Type, Value};

/// How a cast came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// A value is stored into a column: a text too long is refused.
    Assignment,
    /// Written out as `CAST` or `::`: a text too long is cut.
    Explicit,
}

fn out_of_range(kind: &Type) -> Refusal {
    Refusal::data("22003", format!("{} out of range", kind.base_name()))
}

/// No cast between the two types.
fn no_cast(value: &Value, kind: &Type) -> Refusal {
    let from = value.type_name();
    Refusal::data("42846", format!("cannot cast type {from} to {}", kind.base_name()))
}

impl Value {
    /// PostgreSQL's name of the value's own type, without a modifier; `unknown` for NULL.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "unknown",
            Self::Bool(_) => "boolean",
            Self::Int2(_) => "smallint",
            Self::Int4(_) => "integer",
            Self::Int8(_) => "bigint",
            Self::Numeric(_) => "numeric",
            Self::Float4(_) => "real",
            Self::Float8(_) => "double precision",
            Self::Text(_) => "text",
            Self::Bytea(_) => "bytea",
            Self::Date(_) => "date",
            Self::Time(_) => "time without time zone",
            Self::Timestamp(_) => "timestamp without time zone",
            Self::Timestamptz(_) => "timestamp with time zone",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::Jsonb(_) => "jsonb",
            Self::Array(_) => "array",
        }
    }

    /// The value as a column of the type stores it: integers and numbers checked for range and rounded,
    /// texts for length, other types by their text forms. Local times are taken as UTC's; see
    /// [`Self::assign_in`].
    ///
    /// # Errors
    /// A `Data` refusal: 22003, 22001, 22P02, …; 42846 when there is no such cast.
    pub fn assign(self, kind: &Type) -> Result<Self, Refusal> {
        cast(self, kind, Context::Assignment, &Utc)
    }

    /// As [`Self::assign`], in a session's time zone.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub fn assign_in(self, kind: &Type, zone: &dyn Zone) -> Result<Self, Refusal> {
        cast(self, kind, Context::Assignment, zone)
    }

    /// The value of `CAST (self AS kind)`: as an assignment, but texts too long are cut.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub fn cast(self, kind: &Type, zone: &dyn Zone) -> Result<Self, Refusal> {
        cast(self, kind, Context::Explicit, zone)
    }

    /// The value's text as a cast to `text` gives it: as its output, but whole words for booleans.
    fn as_text(&self, zone: &dyn Zone) -> String {
        match self {
            Self::Bool(true) => "true".to_owned(),
            Self::Bool(false) => "false".to_owned(),
            Self::Array(values) => {
                // The element's modifier doesn't show in a text.
                let element = values.iter().find(|value| !value.is_null());
                let element = element.map_or(Type::Text, Self::plain_type);
                self.to_text(&Type::Array(Box::new(element)), zone)
            }
            other => other.to_text(&other.plain_type(), zone),
        }
    }

    /// A type, without modifier, that the value is of.
    fn plain_type(&self) -> Type {
        match self {
            Self::Null | Self::Text(_) => Type::Text,
            Self::Bool(_) => Type::Bool,
            Self::Int2(_) => Type::Int2,
            Self::Int4(_) => Type::Int4,
            Self::Int8(_) => Type::Int8,
            Self::Numeric(_) => Type::Decimal,
            Self::Float4(_) => Type::Float4,
            Self::Float8(_) => Type::Float8,
            Self::Bytea(_) => Type::Bytea,
            Self::Date(_) => Type::Date,
            Self::Time(_) => Type::Time,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Timestamptz(_) => Type::Timestamptz,
            Self::Uuid(_) => Type::Uuid,
            Self::Json(_) => Type::Json,
            Self::Jsonb(_) => Type::Jsonb,
            Self::Array(_) => Type::Array(Box::new(Type::Text)),
        }
    }

    /// The integer of any width.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int2(v) => Some(i64::from(*v)),
            Self::Int4(v) => Some(i64::from(*v)),
            Self::Int8(v) => Some(*v),
            _ => None,
        }
    }
}

fn cast(value: Value, kind: &Type, context: Context, zone: &dyn Zone) -> Result<Value, Refusal> {
    if value.is_null() {
        return Ok(value);
    }
    match kind {
        Type::Bool => to_bool(value, kind),
        Type::Int2 => to_integer(&value, kind, zone)
            .and_then(|v| i16::try_from(v).map(Value::Int2).map_err(|_| out_of_range(kind))),
        Type::Int4 => to_integer(&value, kind, zone)
            .and_then(|v| i32::try_from(v).map(Value::Int4).map_err(|_| out_of_range(kind))),
        Type::Int8 => to_integer(&value, kind, zone).map(Value::Int8),
        Type::Numeric { precision, scale } => match value {
            Value::Text(text) => Value::parse(&text, kind, zone),
            other => Ok(Value::Numeric(to_decimal(&other, kind)?.fit(*precision, *scale)?)),
        },
        Type::Decimal => Ok(Value::Numeric(to_decimal(&value, kind)?)),
        Type::Float4 => to_f32(&value, kind),
        Type::Float8 => to_f64(&value, kind).map(Value::Float8),
        Type::Text => Ok(Value::Text(match value {
            Value::Text(text) => text,
            other => other.as_text(zone),
        })),
        Type::Varchar(n) | Type::Char(n) => {
            let text = match value {
                Value::Text(text) => text,
                other => other.as_text(zone),
            };
            let kept = cut(&text, *n, kind, context == Context::Explicit)?.len();
            let mut text = text;
            text.truncate(kept);
            Ok(Value::Text(text))
        }
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => {
            to_moment(value, kind, zone)
        }
        Type::Json => match value {
            Value::Json(text) | Value::Jsonb(text) => Ok(Value::Json(text)),
            Value::Text(text) => Value::parse(&text, kind, zone),
            other => Err(no_cast(&other, kind)),
        },
        Type::Jsonb => match value {
            Value::Jsonb(text) => Ok(Value::Jsonb(text)),
            Value::Json(text) => json::normalize(&text).map(Value::Jsonb),
            Value::Text(text) => Value::parse(&text, kind, zone),
            other => Err(no_cast(&other, kind)),
        },
        Type::Bytea | Type::Uuid => match value {
            Value::Text(text) => Value::parse(&text, kind, zone),
            same @ Value::Bytea(_) if *kind == Type::Bytea => Ok(same),
            same @ Value::Uuid(_) if *kind == Type::Uuid => Ok(same),
            other => Err(no_cast(&other, kind)),
        },
        Type::Array(element) => match value {
            Value::Array(values) => {
                let values = values.into_iter().map(|value| cast(value, element, context, zone));
                values.collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Text(text) => Value::parse(&text, kind, zone),
            other => Err(no_cast(&other, kind)),
        },
    }
}

fn to_bool(value: Value, kind: &Type) -> Result<Value, Refusal> {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::Int4(v) => Ok(Value::Bool(*v != 0)),
        Value::Text(text) => match parse_bool(text) {
            Some(v) => Ok(Value::Bool(v)),
            None => Err(crate::text::invalid(kind, text)),
        },
        other => Err(no_cast(other, kind)),
    }
}

/// An integer of any width; the caller narrows it.
fn to_integer(value: &Value, kind: &Type, zone: &dyn Zone) -> Result<i64, Refusal> {
    if let Some(v) = value.as_integer() {
        return Ok(v);
    }
    match value {
        Value::Bool(v) => Ok(i64::from(*v)),
        Value::Numeric(v) => v.to_i64().map_err(|_| out_of_range(kind)),
        Value::Float4(v) => float_to_integer(f64::from(*v), kind),
        Value::Float8(v) => float_to_integer(*v, kind),
        Value::Text(text) => {
            let parsed = Value::parse(text, kind, zone)?;
            parsed.as_integer().ok_or_else(|| no_cast(value, kind))
        }
        other => Err(no_cast(other, kind)),
    }
}

/// Rounds half to even.
fn float_to_integer(value: f64, kind: &Type) -> Result<i64, Refusal> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let rounded = value.round_ties_even();
    // NaN compares false and is refused with the rest.
    if (-BOUND..BOUND).contains(&rounded) {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number in the range of i64")]
        return Ok(rounded as i64);
    }
    Err(out_of_range(kind))
}

fn to_decimal(value: &Value, kind: &Type) -> Result<Decimal, Refusal> {
    if let Some(v) = value.as_integer() {
        return Ok(Decimal::from(v));
    }
    match value {
        Value::Numeric(v) => Ok(*v),
        Value::Float4(v) => Decimal::from_f32(*v),
        Value::Float8(v) => Decimal::from_f64(*v),
        Value::Text(text) => text.parse(),
        other => Err(no_cast(other, kind)),
    }
}

fn to_f64(value: &Value, kind: &Type) -> Result<f64, Refusal> {
    if let Some(v) = value.as_integer() {
        #[expect(clippy::cast_precision_loss, reason = "what a cast to double precision does")]
        return Ok(v as f64);
    }
    match value {
        Value::Numeric(v) => Ok(v.to_f64()),
        Value::Float4(v) => Ok(f64::from(*v)),
        Value::Float8(v) => Ok(*v),
        Value::Text(text) => crate::text::scalar::parse_f64(text),
        other => Err(no_cast(other, kind)),
    }
}

fn to_f32(value: &Value, kind: &Type) -> Result<Value, Refusal> {
    if let Value::Text(text) = value {
        return crate::text::scalar::parse_f32(text).map(Value::Float4);
    }
    let wide = to_f64(value, kind)?;
    #[expect(clippy::cast_possible_truncation, reason = "what a cast to real does")]
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(Refusal::data("22003", "value out of range: overflow"));
    }
    if narrow == 0.0 && wide != 0.0 {
        return Err(Refusal::data("22003", "value out of range: underflow"));
    }
    Ok(Value::Float4(narrow))
}

/// Local µs of a moment in the zone.
fn local(utc_us: i64, zone: &dyn Zone) -> i64 {
    utc_us.saturating_add(i64::from(zone.offset_at(utc_us)) * 1_000_000)
}

fn to_moment(value: Value, kind: &Type, zone: &dyn Zone) -> Result<Value, Refusal> {
    let out = |what: &str| Refusal::data("22008", format!("{what} out of range"));
    let date = |us: i64| {
        let days = i32::try_from(us.div_euclid(DAY_US)).ok();
        days.filter(|days| DATES.contains(days)).map(Value::Date).ok_or_else(|| out("date"))
    };
    let midnight = |days: i32| {
        let us = i64::from(days).checked_mul(DAY_US).filter(|us| TIMESTAMPS.contains(us));
        us.ok_or_else(|| Refusal::data("22008", "date out of range for timestamp"))
    };
    let utc = |local_us: i64| {
        let us = local_us.checked_sub(i64::from(zone.offset_at_local(local_us)) * 1_000_000);
        us.filter(|us| TIMESTAMPS.contains(us)).ok_or_else(|| out("timestamp"))
    };
    match (kind, value) {
        (_, Value::Text(text)) => Value::parse(&text, kind, zone),
        (Type::Date, same @ Value::Date(_))
        | (Type::Time, same @ Value::Time(_))
        | (Type::Timestamp, same @ Value::Timestamp(_))
        | (Type::Timestamptz, same @ Value::Timestamptz(_)) => Ok(same),
        (Type::Date, Value::Timestamp(us)) => date(us),
        (Type::Date, Value::Timestamptz(us)) => date(local(us, zone)),
        (Type::Time, Value::Timestamp(us)) => Ok(Value::Time(us.rem_euclid(DAY_US))),
        (Type::Time, Value::Timestamptz(us)) => Ok(Value::Time(local(us, zone).rem_euclid(DAY_US))),
        (Type::Timestamp, Value::Date(days)) => midnight(days).map(Value::Timestamp),
        (Type::Timestamp, Value::Timestamptz(us)) => Ok(Value::Timestamp(local(us, zone))),
        (Type::Timestamptz, Value::Date(days)) => {
            midnight(days).and_then(utc).map(Value::Timestamptz)
        }
        (Type::Timestamptz, Value::Timestamp(us)) => utc(us).map(Value::Timestamptz),
        (_, other) => Err(no_cast(&other, kind)),
    }
}
