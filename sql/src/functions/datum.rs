//! One value of a running query, for functions that work row by row, and the way between it and Arrow.
//!
//! It knows no function. Functions that matter for speed work on whole arrays instead.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Array, Decimal128Array,
    FixedSizeBinaryBuilder, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, LargeBinaryBuilder, ListArray, NullArray, StringBuilder,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};
use datafusion::common::ScalarValue;
use ledger::Value;

use crate::Error;
use crate::number::{Number, Numbers};
use crate::types::{Numeric, PgType};

/// A value; which type it has is known beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// NULL
    Null,
    /// `boolean`
    Bool(bool),
    /// Integers and object numbers.
    Int(i64),
    /// `real`, `double precision`
    Float(f64),
    /// `numeric`
    Numeric(Number),
    /// Everything whose Arrow type is text.
    Text(String),
    /// `bytea`
    Bytes(Vec<u8>),
    /// Days since 1970-01-01
    Date(i32),
    /// Microseconds since midnight
    Time(i64),
    /// Microseconds since 1970-01-01, local
    Timestamp(i64),
    /// Microseconds since 1970-01-01 UTC
    Timestamptz(i64),
    /// `interval`
    Interval(Span),
    /// `uuid`
    Uuid([u8; 16]),
    /// An array
    Array(Vec<Self>),
    /// A row
    Record(Vec<Self>),
}

/// An interval: its three fields don't mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Months
    pub months: i32,
    /// Days
    pub days: i32,
    /// Microseconds
    pub micros: i64,
}

impl Datum {
    /// From the ledger's value.
    pub fn of(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Int2(i) => Self::Int(i.into()),
            Value::Int4(i) => Self::Int(i.into()),
            Value::Int8(i) => Self::Int(i),
            Value::Numeric(d) => Self::Numeric(d.into()),
            Value::Float4(f) => Self::Float(f.into()),
            Value::Float8(f) => Self::Float(f),
            Value::Text(s) | Value::Json(s) | Value::Jsonb(s) => Self::Text(s),
            Value::Bytea(b) => Self::Bytes(b),
            Value::Date(d) => Self::Date(d),
            Value::Time(t) => Self::Time(t),
            Value::Timestamp(t) => Self::Timestamp(t),
            Value::Timestamptz(t) => Self::Timestamptz(t),
            Value::Uuid(u) => Self::Uuid(u),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::of).collect()),
        }
    }

    /// As the ledger's value of this type; `None` where the ledger has no such type, or not as many digits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float4 is kept widened, so it narrows exactly"
    )]
    pub fn value(self, kind: &PgType) -> Option<Value> {
        Some(match (self, kind) {
            (Self::Null, _) => Value::Null,
            (Self::Bool(b), _) => Value::Bool(b),
            (Self::Int(i), PgType::Int2) => Value::Int2(i16::try_from(i).ok()?),
            (Self::Int(i), PgType::Int4) => Value::Int4(i32::try_from(i).ok()?),
            (Self::Int(i), _) => Value::Int8(i),
            (Self::Float(f), PgType::Float4) => Value::Float4(f as f32),
            (Self::Float(f), _) => Value::Float8(f),
            (Self::Numeric(d), _) => Value::Numeric(d.to_decimal().ok()?),
            (Self::Text(s), PgType::Json) => Value::Json(s),
            (Self::Text(s), PgType::Jsonb) => Value::Jsonb(s),
            (Self::Text(s), _) => Value::Text(s),
            (Self::Bytes(b), _) => Value::Bytea(b),
            (Self::Date(d), _) => Value::Date(d),
            (Self::Time(t), _) => Value::Time(t),
            (Self::Timestamp(t), _) => Value::Timestamp(t),
            (Self::Timestamptz(t), _) => Value::Timestamptz(t),
            (Self::Uuid(u), _) => Value::Uuid(u),
            (Self::Array(items), kind) => {
                let element = kind.element()?;
                Value::Array(
                    items.into_iter().map(|item| item.value(&element)).collect::<Option<_>>()?,
                )
            }
            (Self::Interval(_) | Self::Record(_), _) => return None,
        })
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, or nothing for another kind.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The integer, or 0 for another kind.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(i) => *i,
            _ => 0,
        }
    }

    /// The number as a float, or 0 for another kind.
    #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
    pub fn float(&self) -> f64 {
        match self {
            Self::Float(f) => *f,
            Self::Int(i) => *i as f64,
            Self::Numeric(d) => d.to_f64(),
            _ => 0.0,
        }
    }

    /// The number as a numeric, or 0 for another kind.
    pub fn numeric(&self) -> Number {
        match self {
            Self::Numeric(d) => d.clone(),
            Self::Int(i) => Number::from(*i),
            _ => Number::ZERO,
        }
    }

    /// The truth value, or false for another kind.
    pub fn bool(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// The array's elements, or none for another kind.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Record(items) => items,
            _ => &[],
        }
    }

    /// The interval, or an empty one for another kind.
    pub fn span(&self) -> Span {
        match self {
            Self::Interval(span) => *span,
            _ => Span::default(),
        }
    }

    /// Days, or microseconds, or 0 for another kind.
    pub fn moment(&self) -> i64 {
        match self {
            Self::Date(d) => i64::from(*d),
            Self::Time(t) | Self::Timestamp(t) | Self::Timestamptz(t) => *t,
            _ => 0,
        }
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Datum {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Datum {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<i32> for Datum {
    fn from(i: i32) -> Self {
        Self::Int(i.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The value at a row of an array.
///
/// # Errors
/// XX000 for an Arrow type that queries don't use.
pub fn datum_at(array: &dyn Array, row: usize) -> Result<Datum, Error> {
    if array.is_null(row) {
        return Ok(Datum::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Datum::Null,
        DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Datum::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Datum::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => Datum::Int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::Float32 => Datum::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Datum::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) | DataType::LargeBinary => {
            Datum::Numeric(Numbers::of(array)?.at(row)?)
        }
        DataType::Utf8 => Datum::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Datum::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(16) => {
            let bytes = array.as_fixed_size_binary().value(row);
            Datum::Uuid(bytes.try_into().unwrap_or([0; 16]))
        }
        DataType::Date32 => Datum::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            Datum::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() { Datum::Timestamptz(micros) } else { Datum::Timestamp(micros) }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let span = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Datum::Interval(Span {
                months: span.months,
                days: span.days,
                micros: span.nanoseconds / 1000,
            })
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Datum::Array((0..items.len()).map(|i| datum_at(&items, i)).collect::<Result<_, _>>()?)
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns();
            Datum::Record(fields.iter().map(|f| datum_at(f, row)).collect::<Result<_, _>>()?)
        }
        other => return Err(Error::internal(format!("no value of Arrow type {other}"))),
    })
}

/// An array of these values.
///
/// # Errors
/// 22003 when a value doesn't fit the type's shape, XX000 when it is of another type.
#[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
pub fn array_of(kind: &PgType, values: Vec<Datum>) -> Result<ArrayRef, Error> {
    let mismatch = || Error::internal(format!("a value is not of type {kind}"));
    macro_rules! primitive {
        ($array:ty, $variant:ident) => {{
            let values = values.into_iter().map(|value| match value {
                Datum::Null => Ok(None),
                Datum::$variant(v) => v.try_into().map(Some).map_err(|_| out_of_range(kind)),
                _ => Err(mismatch()),
            });
            Arc::new(values.collect::<Result<$array, Error>>()?) as ArrayRef
        }};
    }
    Ok(match kind.arrow() {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(values.len());
            for value in values {
                match value {
                    Datum::Null => builder.append_null(),
                    Datum::Bool(b) => builder.append_value(b),
                    _ => return Err(mismatch()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Int16 => primitive!(Int16Array, Int),
        DataType::Int32 => primitive!(Int32Array, Int),
        DataType::Int64 => primitive!(Int64Array, Int),
        DataType::UInt32 => primitive!(UInt32Array, Int),
        DataType::Date32 => primitive!(Date32Array, Date),
        DataType::Float64 => primitive!(Float64Array, Float),
        DataType::Float32 => floats(values, kind)?,
        DataType::Time64(_) => primitive!(Time64MicrosecondArray, Time),
        DataType::Timestamp(_, None) => primitive!(TimestampMicrosecondArray, Timestamp),
        DataType::Timestamp(_, Some(zone)) => {
            let values = values.into_iter().map(|value| match value {
                Datum::Null => Ok(None),
                Datum::Timestamptz(v) => Ok(Some(v)),
                _ => Err(mismatch()),
            });
            let array = values.collect::<Result<TimestampMicrosecondArray, Error>>()?;
            Arc::new(array.with_timezone(zone))
        }
        DataType::Interval(_) => intervals(values, kind)?,
        DataType::Decimal128(precision, scale) => numerics(values, precision, scale)?,
        DataType::LargeBinary => {
            let mut builder = LargeBinaryBuilder::new();
            let mut bytes = Vec::new();
            for value in &values {
                match value {
                    Datum::Null => builder.append_null(),
                    Datum::Numeric(number) => {
                        bytes.clear();
                        number.write(&mut bytes);
                        builder.append_value(&bytes);
                    }
                    _ => return Err(mismatch()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::with_capacity(values.len(), values.len() * 8);
            for value in &values {
                match value {
                    Datum::Null => builder.append_null(),
                    Datum::Text(text) => builder.append_value(text),
                    _ => return Err(mismatch()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            for value in &values {
                match value {
                    Datum::Null => builder.append_null(),
                    Datum::Bytes(bytes) => builder.append_value(bytes),
                    _ => return Err(mismatch()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::FixedSizeBinary(width) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), width);
            for value in &values {
                match value {
                    Datum::Null => builder.append_null(),
                    Datum::Uuid(uuid) => builder.append_value(uuid)?,
                    _ => return Err(mismatch()),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::List(field) => lists(kind, values, field)?,
        DataType::Struct(_) => records(kind, values)?,
        _ => Arc::new(NullArray::new(values.len())),
    })
}

/// A value as it comes back from an array of this type.
///
/// # Errors
/// As [`array_of`].
pub(crate) fn shaped(kind: &PgType, value: Datum) -> Result<Datum, Error> {
    let same = match (&value, kind) {
        (Datum::Int(i), PgType::Int2) => i16::try_from(*i).is_ok(),
        (Datum::Int(i), PgType::Int4) => i32::try_from(*i).is_ok(),
        (Datum::Null, _)
        | (Datum::Int(_), PgType::Int8)
        | (Datum::Float(_), PgType::Float8)
        | (Datum::Bool(_), PgType::Bool)
        | (Datum::Date(_), PgType::Date)
        | (Datum::Time(_), PgType::Time)
        | (Datum::Timestamp(_), PgType::Timestamp)
        | (Datum::Timestamptz(_), PgType::Timestamptz)
        | (Datum::Uuid(_), PgType::Uuid)
        | (Datum::Bytes(_), PgType::Bytea)
        | (Datum::Numeric(_), PgType::Numeric(Numeric::FREE)) => true,
        (Datum::Text(_), kind) => kind.is_text() || matches!(kind, PgType::Json | PgType::Jsonb),
        _ => false,
    };
    if same {
        return Ok(value);
    }
    datum_at(array_of(kind, vec![value])?.as_ref(), 0)
}

/// One value as a DataFusion scalar of this type.
///
/// # Errors
/// As [`array_of`].
pub fn scalar_of(kind: &PgType, value: Datum) -> Result<ScalarValue, Error> {
    if value.is_null() {
        return Ok(ScalarValue::try_from(&kind.arrow())?);
    }
    let array = array_of(kind, vec![value])?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

/// PostgreSQL's message for a number that its type can't hold.
pub fn out_of_range(kind: &PgType) -> Error {
    let name = match kind {
        PgType::Oid => "OID".to_owned(),
        PgType::Numeric(_) => return Error::new("22003", "numeric field overflow"),
        PgType::Float4 | PgType::Float8 => {
            return Error::new("22003", "value out of range: overflow");
        }
        PgType::Interval => return Error::new("22008", "interval out of range"),
        PgType::Date => return Error::new("22008", "date out of range"),
        PgType::Timestamp | PgType::Timestamptz => {
            return Error::new("22008", "timestamp out of range");
        }
        other => other.to_string(),
    };
    Error::new("22003", format!("{name} out of range"))
}

#[expect(clippy::cast_possible_truncation, reason = "a real is the nearest float4")]
fn floats(values: Vec<Datum>, kind: &PgType) -> Result<ArrayRef, Error> {
    let values = values.into_iter().map(|value| match value {
        Datum::Float(f) => {
            let narrow = f as f32;
            if narrow.is_infinite() && f.is_finite() {
                return Err(out_of_range(kind));
            }
            Ok(Some(narrow))
        }
        _ => Ok(None),
    });
    Ok(Arc::new(values.collect::<Result<Float32Array, Error>>()?))
}

fn intervals(values: Vec<Datum>, kind: &PgType) -> Result<ArrayRef, Error> {
    let values = values.into_iter().map(|value| match value {
        Datum::Interval(span) => {
            let nanoseconds = span.micros.checked_mul(1000).ok_or_else(|| out_of_range(kind))?;
            Ok(Some(IntervalMonthDayNano::new(span.months, span.days, nanoseconds)))
        }
        _ => Ok(None),
    });
    Ok(Arc::new(values.collect::<Result<IntervalMonthDayNanoArray, Error>>()?))
}

fn numerics(values: Vec<Datum>, precision: u8, scale: i8) -> Result<ArrayRef, Error> {
    let bound = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let overflow = || Error::new("22003", "numeric field overflow");
    let values = values.into_iter().map(|value| match value {
        Datum::Null => Ok(None),
        Datum::Numeric(d) => {
            let coefficient = d.round(scale.into())?.small().ok_or_else(overflow)?;
            if coefficient.checked_abs().is_none_or(|magnitude| magnitude >= bound) {
                return Err(overflow());
            }
            Ok(Some(coefficient))
        }
        _ => Err(Error::internal("a value is not of type numeric")),
    });
    let array = values.collect::<Result<Decimal128Array, Error>>()?;
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}

fn lists(kind: &PgType, values: Vec<Datum>, field: Arc<Field>) -> Result<ArrayRef, Error> {
    let element = kind.element().ok_or_else(|| Error::internal("an array without element type"))?;
    let mut lengths = Vec::with_capacity(values.len());
    let mut valid = Vec::with_capacity(values.len());
    let mut items = Vec::new();
    for value in values {
        match value {
            Datum::Array(inner) => {
                lengths.push(inner.len());
                valid.push(true);
                items.extend(inner);
            }
            _ => {
                lengths.push(0);
                valid.push(false);
            }
        }
    }
    let child = array_of(&element, items)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, child, Some(NullBuffer::from(valid)))?))
}

fn records(kind: &PgType, values: Vec<Datum>) -> Result<ArrayRef, Error> {
    let (PgType::Record(fields), DataType::Struct(arrow)) = (kind, kind.arrow()) else {
        return Err(Error::internal("a record without fields"));
    };
    let mut columns = vec![Vec::with_capacity(values.len()); fields.len()];
    let mut valid = Vec::with_capacity(values.len());
    for value in values {
        valid.push(!value.is_null());
        let mut items = match value {
            Datum::Record(items) => items.into_iter(),
            _ => Vec::new().into_iter(),
        };
        for column in &mut columns {
            column.push(items.next().unwrap_or(Datum::Null));
        }
    }
    let arrays = fields
        .iter()
        .zip(columns)
        .map(|((_, kind), column)| array_of(kind, column))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new(arrow, arrays, Some(NullBuffer::from(valid)))?))
}
