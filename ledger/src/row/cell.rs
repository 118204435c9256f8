//! One value's bytes in a row. Integers take as few bytes as they need, so that a row is small and a
//! wider integer type reads what a narrower one wrote.

use std::borrow::Cow;

use crate::codec::DecodeError;
use crate::text::json;
use crate::value::ValueRef;
use crate::{Decimal, Refusal, Type, Value};

/// The one NaN that is written.
const NAN_32: u32 = 0x7fc0_0000;
/// The one NaN that is written.
const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// An array element's length that means NULL.
const NULL_ELEMENT: u32 = u32::MAX;

fn damaged(what: &str) -> DecodeError {
    DecodeError::malformed(format!("value: {what}"))
}

/// Appends the low bytes of a two's complement number, as few as restore it; none for 0.
fn push_int(out: &mut Vec<u8>, value: i128) {
    let used = significant(value);
    out.extend_from_slice(value.to_le_bytes().get(..used).unwrap_or_default());
}

/// How many bytes [`push_int`] takes.
fn significant(value: i128) -> usize {
    if value == 0 {
        return 0;
    }
    let magnitude = if value < 0 { !value } else { value };
    let bits = i128::BITS - magnitude.leading_zeros() + 1;
    usize::try_from(bits.div_ceil(8)).unwrap_or(16)
}

/// Reads what [`push_int`] wrote; refuses more bytes than needed.
fn read_int(bytes: &[u8]) -> Result<i128, DecodeError> {
    let fill = match bytes.last() {
        Some(last) if last & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [fill; 16];
    wide.get_mut(..bytes.len()).ok_or_else(|| damaged("integer too long"))?.copy_from_slice(bytes);
    let value = i128::from_le_bytes(wide);
    if significant(value) != bytes.len() {
        return Err(damaged("integer not canonical"));
    }
    Ok(value)
}

/// Reads an integer of a column type.
fn read<T: TryFrom<i64>>(bytes: &[u8]) -> Result<T, DecodeError> {
    // The common case fits 8 bytes, where the arithmetic is one register's.
    if bytes.len() > 8 {
        return Err(damaged("integer too long"));
    }
    let fill = match bytes.last() {
        Some(last) if last & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [fill; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    let value = i64::from_le_bytes(wide);
    if significant_64(value) != bytes.len() {
        return Err(damaged("integer not canonical"));
    }
    T::try_from(value).map_err(|_| damaged("integer out of range"))
}

fn significant_64(value: i64) -> usize {
    if value == 0 {
        return 0;
    }
    let magnitude = if value < 0 { !value } else { value };
    let bits = i64::BITS - magnitude.leading_zeros() + 1;
    usize::try_from(bits.div_ceil(8)).unwrap_or(8)
}

fn push_int_64(out: &mut Vec<u8>, value: i64) {
    let bytes = value.to_le_bytes();
    out.extend_from_slice(bytes.get(..significant_64(value)).unwrap_or_default());
}

/// Appends a value's bytes; nothing for NULL.
///
/// # Errors
/// Malformed when the value is not of the type.
pub fn push_cell(out: &mut Vec<u8>, kind: &Type, value: &Value) -> Result<(), Refusal> {
    match (kind, value) {
        (_, Value::Null) => {}
        (Type::Bool, Value::Bool(v)) => out.push(u8::from(*v)),
        (Type::Int2, Value::Int2(v)) => push_int_64(out, i64::from(*v)),
        (Type::Int4, Value::Int4(v)) => push_int_64(out, i64::from(*v)),
        (Type::Date, Value::Date(v)) => push_int_64(out, i64::from(*v)),
        (Type::Int8, Value::Int8(v))
        | (Type::Time, Value::Time(v))
        | (Type::Timestamp, Value::Timestamp(v))
        | (Type::Timestamptz, Value::Timestamptz(v)) => push_int_64(out, *v),
        (Type::Numeric { .. } | Type::Decimal, Value::Numeric(v)) => {
            out.push(v.scale);
            push_int(out, v.coefficient);
        }
        (Type::Float4, Value::Float4(v)) => {
            let bits = if v.is_nan() { NAN_32 } else { v.to_bits() };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        (Type::Float8, Value::Float8(v)) => {
            let bits = if v.is_nan() { NAN_64 } else { v.to_bits() };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        (Type::Text | Type::Varchar(_) | Type::Char(_), Value::Text(v))
        | (Type::Json, Value::Json(v))
        | (Type::Jsonb, Value::Jsonb(v)) => out.extend_from_slice(v.as_bytes()),
        (Type::Bytea, Value::Bytea(v)) => out.extend_from_slice(v),
        (Type::Uuid, Value::Uuid(v)) => out.extend_from_slice(v),
        (Type::Array(element), Value::Array(values)) => push_array(out, element, values)?,
        _ => return Err(Refusal::malformed(format!("a value that is no {kind}"))),
    }
    Ok(())
}

fn push_array(out: &mut Vec<u8>, element: &Type, values: &[Value]) -> Result<(), Refusal> {
    for value in values {
        let at = out.len();
        out.extend_from_slice(&NULL_ELEMENT.to_le_bytes());
        if value.is_null() {
            continue;
        }
        if matches!(value, Value::Array(_)) {
            return Err(Refusal::malformed("an array of arrays"));
        }
        push_cell(out, element, value)?;
        let length = u32::try_from(out.len() - at - 4)
            .ok()
            .filter(|length| *length != NULL_ELEMENT)
            .ok_or_else(|| Refusal::data("54000", "array is too big"))?;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| damaged("text that is not UTF-8"))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| damaged("wrong length"))
}

/// A value of a type from its bytes (not those of a NULL).
///
/// # Errors
/// When the bytes are damaged or not canonical.
pub fn decode_cell<'a>(kind: &Type, bytes: &'a [u8]) -> Result<ValueRef<'a>, DecodeError> {
    Ok(match kind {
        Type::Bool => match bytes {
            [0] => ValueRef::Bool(false),
            [1] => ValueRef::Bool(true),
            _ => return Err(damaged("no boolean")),
        },
        Type::Int2 => ValueRef::Int2(read(bytes)?),
        Type::Int4 => ValueRef::Int4(read(bytes)?),
        Type::Int8 => ValueRef::Int8(read(bytes)?),
        Type::Numeric { .. } | Type::Decimal => {
            let (scale, rest) = bytes.split_first().ok_or_else(|| damaged("no number"))?;
            let decimal = Decimal::new(read_int(rest)?, *scale);
            ValueRef::Numeric(decimal.map_err(|_| damaged("number too long"))?)
        }
        Type::Float4 => {
            let v = f32::from_bits(u32::from_le_bytes(fixed(bytes)?));
            if v.is_nan() && v.to_bits() != NAN_32 {
                return Err(damaged("NaN not canonical"));
            }
            ValueRef::Float4(v)
        }
        Type::Float8 => {
            let v = f64::from_bits(u64::from_le_bytes(fixed(bytes)?));
            if v.is_nan() && v.to_bits() != NAN_64 {
                return Err(damaged("NaN not canonical"));
            }
            ValueRef::Float8(v)
        }
        Type::Text | Type::Varchar(_) | Type::Char(_) => ValueRef::Text(text(bytes)?),
        Type::Bytea => ValueRef::Bytea(bytes),
        Type::Date => ValueRef::Date(read(bytes)?),
        Type::Time => ValueRef::Time(read(bytes)?),
        Type::Timestamp => ValueRef::Timestamp(read(bytes)?),
        Type::Timestamptz => ValueRef::Timestamptz(read(bytes)?),
        Type::Uuid => ValueRef::Uuid(fixed(bytes)?),
        Type::Json => ValueRef::Json(text(bytes)?),
        Type::Jsonb => ValueRef::Jsonb(text(bytes)?),
        Type::Array(element) => ValueRef::Array(Cow::Owned(decode_array(element, bytes)?)),
    })
}

fn decode_array(element: &Type, bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    if matches!(element, Type::Array(_)) {
        return Err(damaged("an array of arrays"));
    }
    let mut values = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(|| damaged("array cut short"))?;
        let length = u32::from_le_bytes(*length);
        if length == NULL_ELEMENT {
            values.push(Value::Null);
            rest = after;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| damaged("array too long"))?;
        let (value, after) =
            after.split_at_checked(length).ok_or_else(|| damaged("array cut short"))?;
        values.push(decode_cell(element, value)?.into_owned());
        rest = after;
    }
    Ok(values)
}

/// Checks that the bytes are a value that the type, with its modifier, allows.
pub(super) fn check(kind: &Type, bytes: &[u8]) -> Result<(), Refusal> {
    let value = decode_cell(kind, bytes)?;
    if admits(kind, &value) {
        return Ok(());
    }
    Err(Refusal::malformed(format!("a value that {kind} does not allow")))
}

/// Whether the type's modifier, range and normal form allow the value.
fn admits(kind: &Type, value: &ValueRef<'_>) -> bool {
    let within = |text: &str, n: u32| {
        let limit = usize::try_from(n).unwrap_or(usize::MAX);
        text.len() <= limit || text.chars().count() <= limit
    };
    match (kind, value) {
        (Type::Numeric { precision, scale }, ValueRef::Numeric(v)) => {
            v.scale == *scale && crate::decimal::digits(v.coefficient.unsigned_abs()) <= *precision
        }
        // Decoding has seen to the bound of 38 digits.
        (Type::Decimal, ValueRef::Numeric(_)) => true,
        (Type::Text, ValueRef::Text(v)) => !v.contains('\0'),
        (Type::Varchar(n), ValueRef::Text(v)) => !v.contains('\0') && within(v, *n),
        (Type::Char(n), ValueRef::Text(v)) => {
            !v.contains('\0') && !v.ends_with(' ') && within(v, *n)
        }
        (Type::Date, ValueRef::Date(v)) => crate::text::time::DATES.contains(v),
        (Type::Time, ValueRef::Time(v)) => crate::text::time::TIMES.contains(v),
        (Type::Timestamp, ValueRef::Timestamp(v))
        | (Type::Timestamptz, ValueRef::Timestamptz(v)) => {
            crate::text::time::TIMESTAMPS.contains(v)
        }
        (Type::Json, ValueRef::Json(v)) => json::check(v).is_ok(),
        (Type::Jsonb, ValueRef::Jsonb(v)) => json::normalize(v).is_ok_and(|normal| normal == *v),
        (Type::Array(element), ValueRef::Array(values)) => {
            values.iter().all(|value| value.is_null() || admits(element, &value.borrow()))
        }
        _ => true,
    }
}
