//! Binary forms, as PostgreSQL's send functions write them.

use bytes::{BufMut, BytesMut};

use super::super::error::Problem;
use super::super::reply::set_length;
use super::super::types::{self, element_of, oid};
use super::numeric::{put_digits, put_free, put_numeric};
use super::{Cell, Interval, Source};

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary dates begin.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Cell<'_> {
    /// Writes the row's value, which isn't NULL, in the binary form of the column's type.
    ///
    /// # Errors
    /// A value that its type can't hold, `0A000` for a type without a binary form here.
    pub(crate) fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<(), Problem> {
        match &self.source {
            Source::Null => {}
            Source::Bool(array) => out.put_u8(array.value(row).into()),
            Source::Int8(array) if self.type_oid == oid::CHAR => {
                out.put_u8(array.value(row).cast_unsigned());
            }
            Source::Int8(array) => self.put_number(array.value(row).into(), out)?,
            Source::Int16(array) => self.put_number(array.value(row).into(), out)?,
            Source::Int32(array) => self.put_number(array.value(row).into(), out)?,
            Source::Int64(array) => self.put_number(array.value(row).into(), out)?,
            Source::UInt8(array) => self.put_number(array.value(row).into(), out)?,
            Source::UInt16(array) => self.put_number(array.value(row).into(), out)?,
            Source::UInt32(array) => self.put_number(array.value(row).into(), out)?,
            Source::UInt64(array) => self.put_number(array.value(row).into(), out)?,
            Source::Float32(array) if self.type_oid == oid::FLOAT8 => {
                out.put_f64(array.value(row).into());
            }
            Source::Float32(array) => out.put_f32(array.value(row)),
            Source::Float64(array) if self.type_oid == oid::FLOAT4 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the column is described as real"
                )]
                out.put_f32(array.value(row) as f32);
            }
            Source::Float64(array) => out.put_f64(array.value(row)),
            Source::Decimal128(array, scale) => put_numeric(out, array.value(row), *scale),
            Source::Decimal256(array) => put_numeric_text(out, &array.value_as_string(row)),
            Source::Utf8(array) => self.put_string(array.value(row), out)?,
            Source::LargeUtf8(array) => self.put_string(array.value(row), out)?,
            Source::Utf8View(array) => self.put_string(array.value(row), out)?,
            Source::Binary(array) => out.put_slice(array.value(row)),
            Source::Free(array) => put_free(out, array.value(row))?,
            Source::BinaryView(array) => out.put_slice(array.value(row)),
            Source::FixedBinary(array) => out.put_slice(array.value(row)),
            Source::Date32(array) => self.put_day_binary(array.value(row), out)?,
            Source::Micros(values, factor) => {
                self.put_micros_binary(values.get(row, *factor)?, out)?;
            }
            Source::Interval(values) => {
                let Interval { months, days, micros } = values.get(row)?;
                out.put_i64(micros);
                out.put_i32(days);
                out.put_i32(months);
            }
            Source::List(element, array) => {
                self.put_array(element, Self::elements(*array, row), out)?;
            }
            Source::Record(fields) => put_record(fields, row, out)?,
            Source::Unpacked(unpacked) => {
                unpacked.cell(self.type_oid, self.typmod)?.put_binary(row, out)?;
            }
        }
        Ok(())
    }

    /// An integer, in the width of the column's type.
    fn put_number(&self, value: i128, out: &mut BytesMut) -> Result<(), Problem> {
        let range = |_| Problem::error("22003", "integer out of range");
        match self.type_oid {
            oid::INT2 => out.put_i16(i16::try_from(value).map_err(range)?),
            oid::INT4 => out.put_i32(i32::try_from(value).map_err(range)?),
            oid::INT8 => out.put_i64(i64::try_from(value).map_err(range)?),
            oid::NUMERIC => put_numeric(out, value, 0),
            #[expect(clippy::cast_precision_loss, reason = "the column is described as a float")]
            oid::FLOAT4 => out.put_f32(value as f32),
            #[expect(clippy::cast_precision_loss, reason = "the column is described as a float")]
            oid::FLOAT8 => out.put_f64(value as f64),
            oid::BOOL => out.put_u8((value != 0).into()),
            other if types::is_oid_like(other) => {
                // A signed array may hold an OID's bits.
                let bits = u32::try_from(value)
                    .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
                    .map_err(range)?;
                out.put_u32(bits);
            }
            _ => return Err(self.no_binary_form()),
        }
        Ok(())
    }

    fn put_string(&self, text: &str, out: &mut BytesMut) -> Result<(), Problem> {
        match self.type_oid {
            oid::JSONB => {
                out.put_u8(1);
                out.put_slice(text.as_bytes());
            }
            oid::BPCHAR => {
                out.put_slice(text.as_bytes());
                out.put_bytes(b' ', self.blanks(text));
            }
            oid::NUMERIC if is_plain_number(text) => put_numeric_text(out, text),
            // A type that is sent as a number, but came as text, has no number to send.
            oid::INT2
            | oid::INT4
            | oid::INT8
            | oid::NUMERIC
            | oid::FLOAT4
            | oid::FLOAT8
            | oid::BOOL
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
            | oid::UUID
            | oid::INT2VECTOR
            | oid::OIDVECTOR => return Err(self.no_binary_form()),
            other if types::is_oid_like(other) || element_of(other).is_some() => {
                return match text.parse::<u32>() {
                    Ok(number) if types::is_oid_like(other) => {
                        out.put_u32(number);
                        Ok(())
                    }
                    _ => Err(self.no_binary_form()),
                };
            }
            _ => out.put_slice(text.as_bytes()),
        }
        Ok(())
    }

    fn put_day_binary(&self, day: i32, out: &mut BytesMut) -> Result<(), Problem> {
        match self.type_oid {
            oid::TIMESTAMP | oid::TIMESTAMPTZ => {
                out.put_i64((i64::from(day) * 86_400_000_000).saturating_sub(EPOCH_MICROS));
            }
            oid::DATE => out.put_i32(
                day.checked_sub(EPOCH_DAYS)
                    .ok_or_else(|| Problem::error("22008", "date out of range"))?,
            ),
            _ => return Err(self.no_binary_form()),
        }
        Ok(())
    }

    fn put_micros_binary(&self, micros: i64, out: &mut BytesMut) -> Result<(), Problem> {
        let range = || Problem::error("22008", "timestamp out of range");
        match self.type_oid {
            oid::TIME => out.put_i64(micros),
            oid::TIMESTAMP | oid::TIMESTAMPTZ => {
                out.put_i64(micros.checked_sub(EPOCH_MICROS).ok_or_else(range)?);
            }
            oid::DATE => {
                let day = i32::try_from(micros.div_euclid(86_400_000_000)).map_err(|_| range())?;
                out.put_i32(day.checked_sub(EPOCH_DAYS).ok_or_else(range)?);
            }
            _ => return Err(self.no_binary_form()),
        }
        Ok(())
    }

    fn put_array(
        &self,
        element: &Cell<'_>,
        rows: std::ops::Range<usize>,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        if matches!(element.source, Source::List(_, _)) {
            return Err(Problem::error(
                "0A000",
                "an array of arrays can't be sent in binary format",
            ));
        }
        let is_vector = matches!(self.type_oid, oid::INT2VECTOR | oid::OIDVECTOR);
        let has_null = rows.clone().any(|row| element.is_null(row));
        // PostgreSQL's empty array has no dimension; its empty vector has one of length 0.
        let dimensions = i32::from(!rows.is_empty() || is_vector);
        out.put_i32(dimensions);
        out.put_i32(has_null.into());
        out.put_u32(element.type_oid);
        if dimensions > 0 {
            out.put_i32(i32::try_from(rows.len()).unwrap_or(i32::MAX));
            out.put_i32(i32::from(!is_vector));
        }
        for row in rows {
            put_value(element, row, out)?;
        }
        Ok(())
    }

    fn no_binary_form(&self) -> Problem {
        Problem::error(
            "0A000",
            format!("a value of type OID {} can't be sent in binary format here", self.type_oid),
        )
        .with_hint("Ask for the text format, or cast the column to text.")
    }
}

/// A value after its length, -1 for NULL.
fn put_value(cell: &Cell<'_>, row: usize, out: &mut BytesMut) -> Result<(), Problem> {
    if cell.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    cell.put_binary(row, out)?;
    set_length(out, start, out.len() - start - 4);
    Ok(())
}

fn put_record(fields: &[Cell<'_>], row: usize, out: &mut BytesMut) -> Result<(), Problem> {
    out.put_i32(i32::try_from(fields.len()).unwrap_or(i32::MAX));
    for field in fields {
        out.put_u32(field.type_oid);
        put_value(field, row, out)?;
    }
    Ok(())
}

fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.matches('.').count() <= 1
}

/// Writes a numeric that is given as plain decimal text.
fn put_numeric_text(out: &mut BytesMut, text: &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let negative = digits.len() < text.len();
    put_digits(out, negative, whole.as_bytes(), 0, fraction.as_bytes(), fraction.len());
}
