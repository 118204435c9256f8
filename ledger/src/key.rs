//! Keys of indexes as bytes: comparing the bytes compares the keys, ascending with NULLs last, and equal
//! bytes are equal keys. Texts are compared by their own bytes (collation `C`).
//!
//! Integers of all widths share one form, as do both float widths, so that a foreign key may refer to a
//! wider column.

mod json;
#[cfg(test)]
mod tests;

use crate::codec::DecodeError;
use crate::row::RowReader;
use crate::value::ValueRef;
use crate::{ColumnNumber, Decimal, Value};

/// Before a value; NULL has a greater one, to be last.
const PRESENT: u8 = 1;
/// NULL.
const NULL: u8 = 2;
/// After an array's last element: less than any element.
const END: u8 = 0;

/// The key of the values, in order.
pub fn encode_key(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 10);
    for value in values {
        push(&mut out, &value.borrow());
    }
    out
}

/// The key of a row's columns, from the values of all its columns (in order of number). A column that the
/// row doesn't have counts as NULL.
pub fn key_of(row: &[Value], columns: &[ColumnNumber]) -> Vec<u8> {
    let mut out = Vec::with_capacity(columns.len() * 10);
    for column in columns {
        let value = usize::from(column.0).checked_sub(1).and_then(|index| row.get(index));
        push(&mut out, &value.map_or(ValueRef::Null, Value::borrow));
    }
    out
}

/// Appends the key of a row's columns to `out`; tells whether one of them is NULL. Copies no text.
///
/// # Errors
/// When the row's bytes are damaged.
pub fn push_key_of_row(
    out: &mut Vec<u8>,
    row: &RowReader<'_>,
    columns: &[ColumnNumber],
) -> Result<bool, DecodeError> {
    let mut null = false;
    for column in columns {
        let value = row.value_ref(*column)?;
        null |= value == ValueRef::Null;
        push(out, &value);
    }
    Ok(null)
}

/// Whether one of the values is NULL: such a key is never a duplicate and refers to nothing.
pub fn has_null(values: &[Value]) -> bool {
    values.iter().any(Value::is_null)
}

/// Appends one value's key.
pub fn push(out: &mut Vec<u8>, value: &ValueRef<'_>) {
    if *value == ValueRef::Null {
        out.push(NULL);
        return;
    }
    out.push(PRESENT);
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(v) => out.push(u8::from(*v)),
        ValueRef::Int2(v) => push_int(out, i64::from(*v)),
        ValueRef::Int4(v) | ValueRef::Date(v) => push_int(out, i64::from(*v)),
        ValueRef::Int8(v)
        | ValueRef::Time(v)
        | ValueRef::Timestamp(v)
        | ValueRef::Timestamptz(v) => push_int(out, *v),
        ValueRef::Numeric(v) => push_decimal(out, *v),
        ValueRef::Float4(v) => push_float(out, f64::from(*v)),
        ValueRef::Float8(v) => push_float(out, *v),
        ValueRef::Text(v) | ValueRef::Json(v) => push_bytes(out, v.as_bytes()),
        ValueRef::Bytea(v) => push_bytes(out, v),
        ValueRef::Uuid(v) => out.extend_from_slice(v),
        ValueRef::Jsonb(v) => json::push(out, v),
        ValueRef::Array(values) => {
            for value in values.iter() {
                push(out, &value.borrow());
            }
            out.push(END);
        }
    }
}

/// The sign and the number of bytes first, then as few bytes as needed, the highest first.
fn push_int(out: &mut Vec<u8>, value: i64) {
    let magnitude = if value < 0 { !value } else { value };
    let unused = usize::try_from(magnitude.leading_zeros() / 8).unwrap_or(0);
    let used = u8::try_from(8 - unused).unwrap_or(8);
    out.push(if value < 0 { 0x80 - 1 - used } else { 0x80 + used });
    out.extend_from_slice(value.to_be_bytes().get(unused..).unwrap_or_default());
}

/// IEEE 754's order as bytes: negative numbers inverted; -0 as 0; NaN above all.
fn push_float(out: &mut Vec<u8>, value: f64) {
    let bits = if value.is_nan() {
        u64::MAX
    } else {
        let bits = if value == 0.0 { 0 } else { value.to_bits() };
        if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
    };
    out.extend_from_slice(&bits.to_be_bytes());
}

/// Bytes with an end that is less than any byte: 00 and 01 are escaped.
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 1);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b < 2) {
        let (plain, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        if let Some((special, after)) = after.split_first() {
            out.extend_from_slice(&[1, special + 1]);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out.push(0);
}

/// Sign, then the place of the first digit, then the digits in pairs, each plus 1, and an end of 0; a
/// negative number's bytes after the sign are inverted.
fn push_decimal(out: &mut Vec<u8>, value: Decimal) {
    let plain = value.normalized();
    let magnitude = plain.coefficient.unsigned_abs();
    let count = crate::decimal::digits(magnitude);
    push_digits(out, plain.coefficient.signum(), i32::from(count) - i32::from(plain.scale), |n| {
        let shift = i32::from(count) - 1 - n;
        let power = u32::try_from(shift).ok().and_then(|shift| 10u128.checked_pow(shift));
        power.map(|power| u8::try_from(magnitude / power % 10).unwrap_or(0))
    });
}

/// A number's key: `point` is where the point stands, counted from the first digit; `digit(n)` its n-th
/// digit, `None` after the last, which is not 0.
fn push_digits(out: &mut Vec<u8>, sign: i128, point: i32, digit: impl Fn(i32) -> Option<u8>) {
    if sign == 0 {
        out.push(0x80);
        return;
    }
    out.push(if sign < 0 { 0x7f } else { 0x81 });
    let from = out.len();
    // Places are far inside 16 bits for any number that a value can have.
    let place = u16::try_from(point + 0x8000).unwrap_or(u16::MAX);
    out.extend_from_slice(&place.to_be_bytes());
    let mut n = 0;
    while let Some(first) = digit(n) {
        let second = digit(n + 1).unwrap_or(0);
        out.push(first * 10 + second + 1);
        n += 2;
    }
    out.push(0);
    if sign < 0 {
        for byte in out.iter_mut().skip(from) {
            *byte = !*byte;
        }
    }
}
