//! Arithmetic of rules: checked integers, exact decimals, floats that refuse to overflow.

use super::Arithmetic;
use crate::text::time::DATES;
use crate::{Decimal, Refusal, Value};

fn wrong_types() -> Refusal {
    Refusal::malformed("arithmetic on the wrong types")
}

fn division_by_zero() -> Refusal {
    Refusal::data("22012", "division by zero")
}

fn overflow(kind: &str) -> Refusal {
    Refusal::data("22003", format!("{kind} out of range"))
}

/// `a operator b`; NULL when one is.
pub(super) fn apply(operator: Arithmetic, a: Value, b: Value) -> Result<Value, Refusal> {
    if a.is_null() || b.is_null() {
        return Ok(Value::Null);
    }
    match (operator, a, b) {
        (Arithmetic::Concatenate, Value::Text(a), Value::Text(b)) => Ok(Value::Text(a + &b)),
        (Arithmetic::Concatenate, Value::Bytea(mut a), Value::Bytea(b)) => {
            a.extend(b);
            Ok(Value::Bytea(a))
        }
        (Arithmetic::Concatenate, Value::Array(mut a), Value::Array(b)) => {
            a.extend(b);
            Ok(Value::Array(a))
        }
        (Arithmetic::Concatenate, _, _) => Err(wrong_types()),
        (operator, a, b) => numeric(operator, a, b),
    }
}

fn numeric(operator: Arithmetic, a: Value, b: Value) -> Result<Value, Refusal> {
    match (&a, &b) {
        (Value::Date(a), Value::Date(b)) if operator == Arithmetic::Subtract => {
            a.checked_sub(*b).map(Value::Int4).ok_or_else(|| overflow("integer"))
        }
        (Value::Date(a), Value::Int4(b)) => date(operator, *a, *b),
        (Value::Int4(a), Value::Date(b)) if operator == Arithmetic::Add => date(operator, *b, *a),
        (Value::Numeric(a), Value::Numeric(b)) => decimal(operator, *a, *b),
        (Value::Numeric(a), b) if b.as_integer().is_some() => {
            decimal(operator, *a, Decimal::from(b.as_integer().unwrap_or(0)))
        }
        (a, Value::Numeric(b)) if a.as_integer().is_some() => {
            decimal(operator, Decimal::from(a.as_integer().unwrap_or(0)), *b)
        }
        (Value::Float8(a), Value::Float8(b)) => float(operator, *a, *b).map(Value::Float8),
        (Value::Float4(a), Value::Float8(b)) => {
            float(operator, f64::from(*a), *b).map(Value::Float8)
        }
        (Value::Float8(a), Value::Float4(b)) => {
            float(operator, *a, f64::from(*b)).map(Value::Float8)
        }
        (Value::Float4(a), Value::Float4(b)) => {
            let wide = float(operator, f64::from(*a), f64::from(*b))?;
            Value::Float8(wide).assign(&crate::Type::Float4)
        }
        (a, b) => match (a.as_integer(), b.as_integer()) {
            (Some(x), Some(y)) => integer(operator, x, y, a, b),
            _ => Err(wrong_types()),
        },
    }
}

fn date(operator: Arithmetic, date: i32, days: i32) -> Result<Value, Refusal> {
    let moved = match operator {
        Arithmetic::Add => date.checked_add(days),
        Arithmetic::Subtract => date.checked_sub(days),
        _ => return Err(wrong_types()),
    };
    moved
        .filter(|date| DATES.contains(date))
        .map(Value::Date)
        .ok_or_else(|| Refusal::data("22008", "date out of range"))
}

/// The result is of the wider operand's type.
fn integer(operator: Arithmetic, x: i64, y: i64, a: &Value, b: &Value) -> Result<Value, Refusal> {
    let result = match operator {
        Arithmetic::Add => x.checked_add(y),
        Arithmetic::Subtract => x.checked_sub(y),
        Arithmetic::Multiply => x.checked_mul(y),
        Arithmetic::Divide if y == 0 => return Err(division_by_zero()),
        Arithmetic::Modulo if y == 0 => return Err(division_by_zero()),
        Arithmetic::Divide => x.checked_div(y),
        // The one remainder that overflows on the way is 0.
        Arithmetic::Modulo => Some(x.checked_rem(y).unwrap_or(0)),
        Arithmetic::Concatenate => return Err(wrong_types()),
    };
    let narrow = |value: &Value| matches!(value, Value::Int2(_));
    let wide = |value: &Value| matches!(value, Value::Int8(_));
    if wide(a) || wide(b) {
        return result.map(Value::Int8).ok_or_else(|| overflow("bigint"));
    }
    if narrow(a) && narrow(b) {
        let result = result.and_then(|v| i16::try_from(v).ok());
        return result.map(Value::Int2).ok_or_else(|| overflow("smallint"));
    }
    let result = result.and_then(|v| i32::try_from(v).ok());
    result.map(Value::Int4).ok_or_else(|| overflow("integer"))
}

fn decimal(operator: Arithmetic, a: Decimal, b: Decimal) -> Result<Value, Refusal> {
    Ok(Value::Numeric(match operator {
        Arithmetic::Add => a.plus(b)?,
        Arithmetic::Subtract => a.minus(b)?,
        Arithmetic::Multiply => a.times(b)?,
        Arithmetic::Divide => a.divided_by(b)?,
        Arithmetic::Modulo => a.remainder(b)?,
        Arithmetic::Concatenate => return Err(wrong_types()),
    }))
}

fn float(operator: Arithmetic, a: f64, b: f64) -> Result<f64, Refusal> {
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide if b == 0.0 && !a.is_nan() => return Err(division_by_zero()),
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo | Arithmetic::Concatenate => return Err(wrong_types()),
    };
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Refusal::data("22003", "value out of range: overflow"));
    }
    let product = matches!(operator, Arithmetic::Multiply | Arithmetic::Divide);
    let vanished = operator == Arithmetic::Multiply && b != 0.0
        || operator == Arithmetic::Divide && b.is_finite();
    if product && result == 0.0 && a != 0.0 && vanished {
        return Err(Refusal::data("22003", "value out of range: underflow"));
    }
    Ok(result)
}

/// `-a`
pub(super) fn negate(value: Value) -> Result<Value, Refusal> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Int2(v) => v.checked_neg().map(Value::Int2).ok_or_else(|| overflow("smallint")),
        Value::Int4(v) => v.checked_neg().map(Value::Int4).ok_or_else(|| overflow("integer")),
        Value::Int8(v) => v.checked_neg().map(Value::Int8).ok_or_else(|| overflow("bigint")),
        Value::Numeric(v) => Ok(Value::Numeric(v.negate())),
        Value::Float4(v) => Ok(Value::Float4(-v)),
        Value::Float8(v) => Ok(Value::Float8(-v)),
        _ => Err(wrong_types()),
    }
}

/// `abs(a)`; not of NULL.
pub(super) fn abs(value: &Value) -> Result<Value, Refusal> {
    match value {
        Value::Int2(v) => v.checked_abs().map(Value::Int2).ok_or_else(|| overflow("smallint")),
        Value::Int4(v) => v.checked_abs().map(Value::Int4).ok_or_else(|| overflow("integer")),
        Value::Int8(v) => v.checked_abs().map(Value::Int8).ok_or_else(|| overflow("bigint")),
        Value::Numeric(v) => Ok(Value::Numeric(v.abs())),
        Value::Float4(v) => Ok(Value::Float4(v.abs())),
        Value::Float8(v) => Ok(Value::Float8(v.abs())),
        _ => Err(wrong_types()),
    }
}

/// `round(a)`, `round(a, n)`; not of NULL.
pub(super) fn round(value: &Value, places: Option<i32>) -> Result<Value, Refusal> {
    match (value, places) {
        (Value::Numeric(v), places) => v.round(places.unwrap_or(0)).map(Value::Numeric),
        (Value::Float8(v), None) => Ok(Value::Float8(v.round_ties_even())),
        (Value::Float4(v), None) => Ok(Value::Float4(v.round_ties_even())),
        (v, places) => match v.as_integer() {
            Some(v) => Decimal::from(v).round(places.unwrap_or(0)).map(Value::Numeric),
            None => Err(wrong_types()),
        },
    }
}
