//! Text forms, as PostgreSQL writes them.

use std::io::Write as _;

use bytes::{BufMut, BytesMut};

use super::super::error::Problem;
use super::super::types::oid;
use super::numeric::{put_decimal_text, put_free_text};
use super::{Cell, Interval, Source, Zone};

impl Cell<'_> {
    /// Writes the row's value, which isn't NULL, in text.
    ///
    /// # Errors
    /// A value that its type can't hold.
    pub(crate) fn put_text(
        &self,
        row: usize,
        zone: Zone,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        match &self.source {
            Source::Null => {}
            Source::Bool(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Source::Int8(array) if self.type_oid == oid::CHAR => {
                out.put_u8(array.value(row).cast_unsigned());
            }
            Source::Int8(array) => put_integer(out, array.value(row).into()),
            Source::Int16(array) => put_integer(out, array.value(row).into()),
            Source::Int32(array) => put_integer(out, array.value(row).into()),
            Source::Int64(array) => put_integer(out, array.value(row)),
            Source::UInt8(array) => put_integer(out, array.value(row).into()),
            Source::UInt16(array) => put_integer(out, array.value(row).into()),
            Source::UInt32(array) => put_integer(out, array.value(row).into()),
            Source::UInt64(array) => {
                out.put_slice(itoa::Buffer::new().format(array.value(row)).as_bytes());
            }
            Source::Float32(array) => put_float4(out, array.value(row)),
            Source::Float64(array) => put_float8(out, array.value(row)),
            Source::Decimal128(array, scale) => put_decimal_text(out, array.value(row), *scale),
            Source::Decimal256(array) => out.put_slice(array.value_as_string(row).as_bytes()),
            Source::Utf8(array) => self.put_characters(array.value(row), out),
            Source::LargeUtf8(array) => self.put_characters(array.value(row), out),
            Source::Utf8View(array) => self.put_characters(array.value(row), out),
            Source::Binary(array) => put_bytea(out, array.value(row)),
            Source::Free(array) => put_free_text(out, array.value(row))?,
            Source::BinaryView(array) => put_bytea(out, array.value(row)),
            Source::FixedBinary(array) => match array.value(row).try_into() {
                Ok(uuid) if self.type_oid != oid::BYTEA => put_uuid(out, uuid),
                _ => put_bytea(out, array.value(row)),
            },
            Source::Date32(array) => self.put_day(array.value(row), out),
            Source::Micros(values, factor) => self.put_micros(values.get(row, *factor)?, zone, out),
            Source::Interval(values) => put_interval(out, values.get(row)?),
            Source::List(element, array) => {
                self.put_list(element, Self::elements(*array, row), zone, out)?;
            }
            Source::Record(fields) => put_record(fields, row, zone, out)?,
            Source::Unpacked(unpacked) => {
                unpacked.cell(self.type_oid, self.typmod)?.put_text(row, zone, out)?;
            }
        }
        Ok(())
    }

    /// Text; `char(n)` is kept without its trailing blanks, and shown with them.
    fn put_characters(&self, text: &str, out: &mut BytesMut) {
        out.put_slice(text.as_bytes());
        let blanks = self.blanks(text);
        if blanks > 0 {
            out.put_bytes(b' ', blanks);
        }
    }

    /// How many blanks a `char(n)` lacks.
    pub(super) fn blanks(&self, text: &str) -> usize {
        if self.type_oid != oid::BPCHAR || self.typmod < 5 {
            return 0;
        }
        let width = usize::try_from(self.typmod - 4).unwrap_or(0);
        width.saturating_sub(text.chars().count())
    }

    fn put_day(&self, day: i32, out: &mut BytesMut) {
        let before_christ = put_date(out, day.into());
        if matches!(self.type_oid, oid::TIMESTAMP | oid::TIMESTAMPTZ) {
            out.put_slice(b" 00:00:00");
        }
        if before_christ {
            out.put_slice(b" BC");
        }
    }

    fn put_micros(&self, micros: i64, zone: Zone, out: &mut BytesMut) {
        match self.type_oid {
            oid::TIME => put_time(out, micros),
            oid::DATE => {
                if put_date(out, micros.div_euclid(DAY)) {
                    out.put_slice(b" BC");
                }
            }
            oid::TIMESTAMPTZ => {
                let offset = if zone == Zone::UTC { 0 } else { zone.offset_at(micros) };
                let local = micros.saturating_add(i64::from(offset) * 1_000_000);
                let before_christ = put_timestamp(out, local);
                put_offset(out, offset);
                if before_christ {
                    out.put_slice(b" BC");
                }
            }
            _ => {
                if put_timestamp(out, micros) {
                    out.put_slice(b" BC");
                }
            }
        }
    }

    fn put_list(
        &self,
        element: &Cell<'_>,
        rows: std::ops::Range<usize>,
        zone: Zone,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let is_vector = matches!(self.type_oid, oid::INT2VECTOR | oid::OIDVECTOR);
        let nested = matches!(element.source, Source::List(_, _));
        if !is_vector {
            out.put_u8(b'{');
        }
        for (place, row) in rows.enumerate() {
            if place > 0 {
                out.put_u8(if is_vector { b' ' } else { b',' });
            }
            if element.is_null(row) {
                out.put_slice(b"NULL");
                continue;
            }
            let start = out.len();
            element.put_text(row, zone, out)?;
            if !is_vector && !nested {
                quote_element(out, start);
            }
        }
        if !is_vector {
            out.put_u8(b'}');
        }
        Ok(())
    }
}

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

fn put_integer(out: &mut BytesMut, value: i64) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Quotes the element written since `start`, if an array's text form needs it.
fn quote_element(out: &mut BytesMut, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| {
        matches!(
            byte,
            b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c
        )
    };
    if !text.is_empty() && !text.iter().any(special) && !text.eq_ignore_ascii_case(b"null") {
        return;
    }
    let text = out.split_off(start);
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

fn put_record(
    fields: &[Cell<'_>],
    row: usize,
    zone: Zone,
    out: &mut BytesMut,
) -> Result<(), Problem> {
    out.put_u8(b'(');
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        if !field.is_null(row) {
            let start = out.len();
            field.put_text(row, zone, out)?;
            quote_field(out, start);
        }
    }
    out.put_u8(b')');
    Ok(())
}

/// Quotes the field written since `start`, if a record's text form needs it: quotes are doubled.
fn quote_field(out: &mut BytesMut, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| {
        matches!(
            byte,
            b'(' | b')' | b',' | b'"' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c
        )
    };
    if !text.is_empty() && !text.iter().any(special) {
        return;
    }
    let text = out.split_off(start);
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(byte);
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

fn put_bytea(out: &mut BytesMut, bytes: &[u8]) {
    out.put_slice(b"\\x");
    out.reserve(bytes.len() * 2);
    bytes.iter().for_each(|byte| put_hex(out, *byte));
}

fn put_hex(out: &mut BytesMut, byte: u8) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.put_slice(&[digit(byte >> 4), digit(byte & 15)]);
}

fn put_uuid(out: &mut BytesMut, uuid: [u8; 16]) {
    for (place, byte) in uuid.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        put_hex(out, byte);
    }
}

/// Writes formatted text; a buffer that grows can't fail.
fn put_format(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    drop(out.writer().write_fmt(text));
}

fn put_float8(out: &mut BytesMut, value: f64) {
    if let Some(name) = odd_float(value) {
        return out.put_slice(name);
    }
    // Great or long numbers may lie between two floats, where the shortest text isn't PostgreSQL's.
    let small = value.abs() < 9_007_199_254_740_992.0;
    if !small || !put_shortest(out, format_args!("{value:e}"), 15, 15) {
        let mut text = String::new();
        ledger::text::write_f64(&mut text, value);
        out.put_slice(text.as_bytes());
    }
}

fn put_float4(out: &mut BytesMut, value: f32) {
    if let Some(name) = odd_float(value.into()) {
        return out.put_slice(name);
    }
    let small = value.abs() < 16_777_216.0;
    if !small || !put_shortest(out, format_args!("{value:e}"), 6, 6) {
        let mut text = String::new();
        ledger::text::write_f32(&mut text, value);
        out.put_slice(text.as_bytes());
    }
}

fn odd_float(value: f64) -> Option<&'static [u8]> {
    if value.is_nan() {
        Some(b"NaN")
    } else if value == f64::INFINITY {
        Some(b"Infinity")
    } else if value == f64::NEG_INFINITY {
        Some(b"-Infinity")
    } else {
        None
    }
}

/// Writes `text`, which is in Rust's shortest exponent form, as PostgreSQL lays it out: an exponent from
/// `limit` on and below -4. Writes nothing, and says so, if there are more than `most` digits.
fn put_shortest(
    out: &mut BytesMut,
    text: std::fmt::Arguments<'_>,
    limit: i32,
    most: usize,
) -> bool {
    let mut buffer = [0_u8; 64];
    let mut rest = &mut buffer[..];
    drop(rest.write_fmt(text));
    let left = rest.len();
    let (mantissa, exponent) = split_exponent(buffer.get(..64 - left).unwrap_or_default());
    if mantissa.iter().filter(|byte| byte.is_ascii_digit()).count() > most {
        return false;
    }
    put_float_parts(out, mantissa, exponent, limit);
    true
}

fn split_exponent(text: &[u8]) -> (&[u8], i32) {
    let place = text.iter().position(|byte| *byte == b'e').unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(place);
    let exponent = exponent.get(1..).and_then(|digits| std::str::from_utf8(digits).ok());
    (mantissa, exponent.and_then(|digits| digits.parse().ok()).unwrap_or(0))
}

fn put_float_parts(out: &mut BytesMut, mantissa: &[u8], exponent: i32, limit: i32) {
    let digits = mantissa.strip_prefix(b"-").unwrap_or(mantissa);
    if digits.len() < mantissa.len() {
        out.put_u8(b'-');
    }
    if exponent < -4 || exponent >= limit {
        out.put_slice(digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return put_format(out, format_args!("e{sign}{:02}", exponent.unsigned_abs()));
    }
    let only_digits = digits.iter().copied().filter(|byte| *byte != b'.');
    if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', usize::try_from(-exponent - 1).unwrap_or(0));
        return out.extend(only_digits);
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    let count = only_digits.clone().count();
    for (place, digit) in only_digits.enumerate() {
        if place == whole {
            out.put_u8(b'.');
        }
        out.put_u8(digit);
    }
    out.put_bytes(b'0', whole.saturating_sub(count));
}

/// Writes a day since 1970-01-01 without its era; `true` if it is before Christ.
fn put_date(out: &mut BytesMut, day: i64) -> bool {
    let (year, month, day) = civil(day);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    if year < 10_000 {
        put_padded(out, year, 4);
    } else {
        put_integer(out, year);
    }
    out.put_u8(b'-');
    put_padded(out, month, 2);
    out.put_u8(b'-');
    put_padded(out, day, 2);
    before_christ
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar extended both ways.
fn civil(day: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, in eras of 400 years, so that the leap day is a year's last.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn put_padded(out: &mut BytesMut, value: i64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.put_bytes(b'0', width.saturating_sub(digits.len()));
    out.put_slice(digits);
}

/// Writes microseconds since midnight.
fn put_time(out: &mut BytesMut, micros: i64) {
    let seconds = micros.div_euclid(1_000_000);
    put_padded(out, seconds / 3600, 2);
    out.put_u8(b':');
    put_padded(out, seconds / 60 % 60, 2);
    out.put_u8(b':');
    put_padded(out, seconds % 60, 2);
    put_fraction(out, micros.rem_euclid(1_000_000));
}

/// Writes a fraction of a second, without trailing zeros.
fn put_fraction(out: &mut BytesMut, micros: i64) {
    if micros == 0 {
        return;
    }
    out.put_u8(b'.');
    let (mut value, mut width) = (micros, 6);
    while value % 10 == 0 {
        value /= 10;
        width -= 1;
    }
    put_padded(out, value, width);
}

/// Writes microseconds since 1970 without the era; `true` if it is before Christ.
fn put_timestamp(out: &mut BytesMut, micros: i64) -> bool {
    let before_christ = put_date(out, micros.div_euclid(DAY));
    out.put_u8(b' ');
    put_time(out, micros.rem_euclid(DAY));
    before_christ
}

fn put_offset(out: &mut BytesMut, seconds: i32) {
    out.put_u8(if seconds < 0 { b'-' } else { b'+' });
    let seconds = i64::from(seconds).abs();
    put_padded(out, seconds / 3600, 2);
    if seconds % 3600 != 0 {
        out.put_u8(b':');
        put_padded(out, seconds / 60 % 60, 2);
        if seconds % 60 != 0 {
            out.put_u8(b':');
            put_padded(out, seconds % 60, 2);
        }
    }
}

/// Writes an interval in the style `postgres`.
pub(crate) fn put_interval(out: &mut BytesMut, interval: Interval) {
    let start = out.len();
    let mut after_negative = false;
    let parts =
        [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (count, unit) in parts {
        if count == 0 {
            continue;
        }
        let blank = if out.len() > start { " " } else { "" };
        let plus = if after_negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        put_format(out, format_args!("{blank}{plus}{count} {unit}{plural}"));
        after_negative = count < 0;
    }
    if interval.micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.put_u8(b' ');
    }
    if interval.micros < 0 {
        out.put_u8(b'-');
    } else if after_negative {
        out.put_u8(b'+');
    }
    let micros = interval.micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_format(out, format_args!("{hours:02}:{minutes:02}:{rest:02}"));
    put_fraction(out, i64::try_from(micros % 1_000_000).unwrap_or(0));
}
