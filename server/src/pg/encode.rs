//! Arrow batches as rows on the wire, in text and binary. It knows no session and no SQL.
//!
//! A value is written straight into the output buffer. What it is written *as* is the result column's type
//! (its OID); where it comes from is the Arrow array, and the two may differ in width.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BinaryViewArray, BooleanArray,
    FixedSizeBinaryArray, LargeBinaryArray, LargeStringArray, PrimitiveArray, RecordBatch,
    StringArray, StringViewArray, StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use bytes::{BufMut, BytesMut};
use sql::settings::Zone;

use super::error::Problem;
use super::reply::{put_count, set_length};
use super::types;

mod binary;
mod numeric;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use binary::{EPOCH_DAYS, EPOCH_MICROS};
pub(crate) use numeric::decode_numeric;
pub(crate) use text::put_interval;

/// How a column's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// PostgreSQL's text form.
    Text,
    /// PostgreSQL's binary form.
    Binary,
}

impl Format {
    /// From the protocol's code.
    ///
    /// # Errors
    /// `22023` for a code that is neither.
    pub(crate) fn of(code: i16) -> Result<Self, Problem> {
        match code {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            other => Err(Problem::error("22023", format!("unsupported format code: {other}"))),
        }
    }
}

/// A result column, as far as writing its values goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The type written.
    pub(crate) type_oid: u32,
    /// Its modifier, -1 for none.
    pub(crate) typmod: i32,
    /// In which form.
    pub(crate) format: Format,
}

/// One batch's columns, ready to be written row by row.
pub(crate) struct Rows<'a> {
    cells: Vec<(Cell<'a>, Format)>,
}

impl<'a> Rows<'a> {
    /// Looks at a batch through the shapes of its columns.
    ///
    /// # Errors
    /// `XX000` when the batch doesn't have these columns, `0A000` for an array that has no form on the wire.
    pub(crate) fn new(batch: &'a RecordBatch, shapes: &[Shape]) -> Result<Self, Problem> {
        if batch.num_columns() != shapes.len() {
            return Err(Problem::error(
                "XX000",
                format!(
                    "{} columns were described, but {} came",
                    shapes.len(),
                    batch.num_columns()
                ),
            ));
        }
        let cells = batch.columns().iter().zip(shapes).map(|(array, shape)| {
            Ok((Cell::new(array, shape.type_oid, shape.typmod)?, shape.format))
        });
        Ok(Self { cells: cells.collect::<Result<_, Problem>>()? })
    }

    /// Writes one DataRow; on an error nothing of it stays in the buffer.
    ///
    /// # Errors
    /// A value that its type can't hold.
    pub(crate) fn data_row(
        &self,
        row: usize,
        zone: Zone,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let start = out.len();
        out.put_slice(b"D\0\0\0\0");
        put_count(out, self.cells.len());
        if let Err(problem) = self.values(row, zone, out) {
            out.truncate(start);
            return Err(problem);
        }
        set_length(out, start + 1, out.len() - start - 1);
        Ok(())
    }

    /// Writes the values of one row, each after its length (-1 for NULL).
    ///
    /// # Errors
    /// A value that its type can't hold.
    pub(crate) fn values(&self, row: usize, zone: Zone, out: &mut BytesMut) -> Result<(), Problem> {
        for (cell, format) in &self.cells {
            if cell.is_null(row) {
                out.put_i32(-1);
                continue;
            }
            let start = out.len();
            out.put_i32(0);
            match format {
                Format::Text => cell.put_text(row, zone, out)?,
                Format::Binary => cell.put_binary(row, out)?,
            }
            set_length(out, start, out.len() - start - 4);
        }
        Ok(())
    }

    /// Writes the text form of one value; `false` for NULL, which has none.
    ///
    /// # Errors
    /// A value that its type can't hold.
    pub(crate) fn text_value(
        &self,
        row: usize,
        column: usize,
        zone: Zone,
        out: &mut BytesMut,
    ) -> Result<bool, Problem> {
        match self.cells.get(column) {
            Some((cell, _)) if !cell.is_null(row) => cell.put_text(row, zone, out).map(|()| true),
            _ => Ok(false),
        }
    }
}

/// One column of a batch: its array, and the type that its values are written as.
pub(crate) struct Cell<'a> {
    array: &'a dyn Array,
    source: Source<'a>,
    type_oid: u32,
    typmod: i32,
}

/// The arrays that can be written.
enum Source<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Decimal256(&'a PrimitiveArray<Decimal256Type>),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    /// Numerics with a scale of their own each: nothing else comes as `LargeBinary`.
    Free(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Date32(&'a PrimitiveArray<Date32Type>),
    /// Microseconds, after a factor (positive: multiply, negative: divide).
    Micros(Micros<'a>, i64),
    Interval(Intervals<'a>),
    List(Box<Cell<'a>>, &'a dyn Array),
    Record(Vec<Cell<'a>>),
    /// A dictionary, unpacked.
    Unpacked(Unpacked),
}

/// Arrays of points in time, or of times of day, or of spans.
enum Micros<'a> {
    I64(&'a [i64]),
    I32(&'a [i32]),
}

enum Intervals<'a> {
    YearMonth(&'a PrimitiveArray<IntervalYearMonthType>),
    DayTime(&'a PrimitiveArray<IntervalDayTimeType>),
    MonthDayNano(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    /// Spans of time in a unit: nanoseconds for each.
    Duration(&'a [i64], i64),
}

/// An array that was made here, and so can't be borrowed from the batch.
struct Unpacked(ArrayRef);

/// An interval's three parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

impl<'a> Cell<'a> {
    /// Looks at an array as a column of this type.
    ///
    /// # Errors
    /// `0A000` for an array that has no form on the wire.
    fn new(array: &'a ArrayRef, type_oid: u32, typmod: i32) -> Result<Self, Problem> {
        let source = match array.data_type() {
            DataType::Null => Source::Null,
            DataType::Boolean => Source::Bool(array.as_boolean()),
            DataType::Int8 => Source::Int8(array.as_primitive()),
            DataType::Int16 => Source::Int16(array.as_primitive()),
            DataType::Int32 => Source::Int32(array.as_primitive()),
            DataType::Int64 => Source::Int64(array.as_primitive()),
            DataType::UInt8 => Source::UInt8(array.as_primitive()),
            DataType::UInt16 => Source::UInt16(array.as_primitive()),
            DataType::UInt32 => Source::UInt32(array.as_primitive()),
            DataType::UInt64 => Source::UInt64(array.as_primitive()),
            DataType::Float32 => Source::Float32(array.as_primitive()),
            DataType::Float64 => Source::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Source::Decimal128(array.as_primitive(), *scale),
            DataType::Decimal256(_, _) => Source::Decimal256(array.as_primitive()),
            DataType::Utf8 => Source::Utf8(array.as_string()),
            DataType::LargeUtf8 => Source::LargeUtf8(array.as_string()),
            DataType::Utf8View => Source::Utf8View(array.as_string_view()),
            DataType::Binary => Source::Binary(array.as_binary()),
            DataType::LargeBinary => Source::Free(array.as_binary()),
            DataType::BinaryView => Source::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Source::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Source::Date32(array.as_primitive()),
            DataType::List(_) => {
                Self::list(array.as_list::<i32>().values(), array, type_oid, typmod)?
            }
            DataType::LargeList(_) => {
                Self::list(array.as_list::<i64>().values(), array, type_oid, typmod)?
            }
            DataType::FixedSizeList(_, _) => {
                Self::list(array.as_fixed_size_list().values(), array, type_oid, typmod)?
            }
            DataType::Struct(_) => Self::record(array.as_struct())?,
            DataType::Dictionary(_, value) => Source::Unpacked(Unpacked(
                arrow::compute::cast(array, value)
                    .map_err(|error| Problem::error("XX000", error.to_string()))?,
            )),
            _ => Self::temporal(array)?,
        };
        Ok(Self { array: array.as_ref(), source, type_oid, typmod })
    }

    fn temporal(array: &'a ArrayRef) -> Result<Source<'a>, Problem> {
        use Micros::{I32, I64};
        Ok(match array.data_type() {
            DataType::Date64 => {
                Source::Micros(I64(array.as_primitive::<Date64Type>().values()), 1000)
            }
            DataType::Time32(TimeUnit::Second) => {
                Source::Micros(I32(array.as_primitive::<Time32SecondType>().values()), 1_000_000)
            }
            DataType::Time32(_) => {
                Source::Micros(I32(array.as_primitive::<Time32MillisecondType>().values()), 1000)
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                Source::Micros(I64(array.as_primitive::<Time64MicrosecondType>().values()), 1)
            }
            DataType::Time64(_) => {
                Source::Micros(I64(array.as_primitive::<Time64NanosecondType>().values()), -1000)
            }
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => Source::Micros(
                    I64(array.as_primitive::<TimestampSecondType>().values()),
                    1_000_000,
                ),
                TimeUnit::Millisecond => Source::Micros(
                    I64(array.as_primitive::<TimestampMillisecondType>().values()),
                    1000,
                ),
                TimeUnit::Microsecond => Source::Micros(
                    I64(array.as_primitive::<TimestampMicrosecondType>().values()),
                    1,
                ),
                TimeUnit::Nanosecond => Source::Micros(
                    I64(array.as_primitive::<TimestampNanosecondType>().values()),
                    -1000,
                ),
            },
            DataType::Interval(_) | DataType::Duration(_) => {
                Source::Interval(Intervals::new(array)?)
            }
            other => {
                return Err(Problem::error(
                    "0A000",
                    format!("a column of the internal type {other} can't be sent"),
                ));
            }
        })
    }

    fn list(
        values: &'a ArrayRef,
        array: &'a ArrayRef,
        type_oid: u32,
        typmod: i32,
    ) -> Result<Source<'a>, Problem> {
        // An array of arrays has the same type OID in PostgreSQL.
        let element = match values.data_type() {
            DataType::List(_) | DataType::LargeList(_) => type_oid,
            _ => types::element_of(type_oid).unwrap_or(types::oid::TEXT),
        };
        Ok(Source::List(Box::new(Self::new(values, element, typmod)?), array.as_ref()))
    }

    fn record(array: &'a StructArray) -> Result<Source<'a>, Problem> {
        let fields = array
            .columns()
            .iter()
            .map(|field| Self::new(field, types::natural_oid(field.data_type()), -1));
        Ok(Source::Record(fields.collect::<Result<_, _>>()?))
    }

    /// Whether the row's value is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.source, Source::Null) || self.array.is_null(row)
    }

    /// A list's elements at a row: positions in the element cell.
    fn elements(array: &dyn Array, row: usize) -> Range<usize> {
        let as_usize = |offset: i64| usize::try_from(offset).unwrap_or(0);
        match array.data_type() {
            DataType::List(_) => {
                let offsets = array.as_list::<i32>().value_offsets();
                match offsets.get(row..row + 2) {
                    Some([from, to]) => as_usize((*from).into())..as_usize((*to).into()),
                    _ => 0..0,
                }
            }
            DataType::LargeList(_) => {
                let offsets = array.as_list::<i64>().value_offsets();
                match offsets.get(row..row + 2) {
                    Some([from, to]) => as_usize(*from)..as_usize(*to),
                    _ => 0..0,
                }
            }
            _ => {
                let list = array.as_fixed_size_list();
                let length = as_usize(list.value_length().into());
                let from = as_usize(list.value_offset(row).into());
                from..from + length
            }
        }
    }
}

impl Micros<'_> {
    fn get(&self, row: usize, factor: i64) -> Result<i64, Problem> {
        let value = match self {
            Self::I64(values) => values.get(row).copied().unwrap_or_default(),
            Self::I32(values) => values.get(row).copied().unwrap_or_default().into(),
        };
        if factor < 0 {
            return Ok(value.div_euclid(-factor));
        }
        value.checked_mul(factor).ok_or_else(|| Problem::error("22008", "timestamp out of range"))
    }
}

impl<'a> Intervals<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self, Problem> {
        Ok(match array.data_type() {
            DataType::Interval(IntervalUnit::YearMonth) => Self::YearMonth(array.as_primitive()),
            DataType::Interval(IntervalUnit::DayTime) => Self::DayTime(array.as_primitive()),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Self::MonthDayNano(array.as_primitive())
            }
            DataType::Duration(TimeUnit::Second) => {
                Self::Duration(array.as_primitive::<DurationSecondType>().values(), 1_000_000_000)
            }
            DataType::Duration(TimeUnit::Millisecond) => {
                Self::Duration(array.as_primitive::<DurationMillisecondType>().values(), 1_000_000)
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                Self::Duration(array.as_primitive::<DurationMicrosecondType>().values(), 1000)
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                Self::Duration(array.as_primitive::<DurationNanosecondType>().values(), 1)
            }
            other => return Err(Problem::error("XX000", format!("{other} is no interval"))),
        })
    }

    fn get(&self, row: usize) -> Result<Interval, Problem> {
        Ok(match self {
            Self::YearMonth(array) => Interval { months: array.value(row), days: 0, micros: 0 },
            Self::DayTime(array) => {
                let value = array.value(row);
                let micros = i64::from(value.milliseconds) * 1000;
                Interval { months: 0, days: value.days, micros }
            }
            Self::MonthDayNano(array) => {
                let value = array.value(row);
                let micros = value.nanoseconds / 1000;
                Interval { months: value.months, days: value.days, micros }
            }
            Self::Duration(values, nanos) => {
                let value = i128::from(values.get(row).copied().unwrap_or_default());
                let micros = i64::try_from(value * i128::from(*nanos) / 1000)
                    .map_err(|_| Problem::error("22008", "interval out of range"))?;
                // A span of time is justified to days, as PostgreSQL's subtraction of timestamps is.
                let day = 86_400_000_000;
                let days = i32::try_from(micros / day)
                    .map_err(|_| Problem::error("22008", "interval out of range"))?;
                Interval { months: 0, days, micros: micros % day }
            }
        })
    }
}

impl Unpacked {
    fn cell(&self, type_oid: u32, typmod: i32) -> Result<Cell<'_>, Problem> {
        Cell::new(&self.0, type_oid, typmod)
    }
}
