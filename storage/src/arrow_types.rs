//! The ledger's types as Arrow's: one fixed shape for each, so that every scan of a column agrees.
//!
//! It knows columns and values, not how rows are stored or which of them are alive.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
        FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
        Int64Builder, LargeBinaryBuilder, ListArray, StringBuilder, Time64MicrosecondBuilder,
        TimestampMicrosecondBuilder,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, TimeUnit},
};
use ledger::{Column, Decimal, Oid, Type, Value, value::ValueRef};

use crate::{Fault, free_numeric};

/// Field metadata: the type in PostgreSQL's words (`numeric(10,2)`, `jsonb`, `integer[]`).
pub const TYPE_KEY: &str = "stele.type";
/// Field metadata: the table's OID.
pub const TABLE_KEY: &str = "stele.table";
/// Field metadata: the column's number.
pub const COLUMN_KEY: &str = "stele.column";

/// The Arrow type of a type.
pub fn data_type_of(kind: &Type) -> DataType {
    match kind {
        Type::Bool => DataType::Boolean,
        Type::Int2 => DataType::Int16,
        Type::Int4 => DataType::Int32,
        Type::Int8 => DataType::Int64,
        Type::Numeric { precision, scale } => DataType::Decimal128(*precision, scale_of(*scale)),
        Type::Decimal => DataType::LargeBinary,
        Type::Float4 => DataType::Float32,
        Type::Float8 => DataType::Float64,
        Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Json | Type::Jsonb => DataType::Utf8,
        Type::Bytea => DataType::Binary,
        Type::Date => DataType::Date32,
        Type::Time => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(utc())),
        Type::Uuid => DataType::FixedSizeBinary(16),
        Type::Array(element) => DataType::List(Arc::new(element_field(element))),
    }
}

/// The field of a table's column: its name, its type, nullable unless NOT NULL, with the metadata that
/// leads back to the column.
pub fn field_of(table: Oid, column: &Column) -> Field {
    Field::new(&column.name, data_type_of(&column.kind), !column.not_null).with_metadata(
        HashMap::from([
            (TYPE_KEY.to_owned(), column.kind.to_string()),
            (TABLE_KEY.to_owned(), table.0.to_string()),
            (COLUMN_KEY.to_owned(), column.number.0.to_string()),
        ]),
    )
}

/// An array of these values, in the type's shape.
///
/// # Errors
/// [`Fault::Internal`] when a value is not of the type: rows were checked before they were stored.
pub fn array_of(kind: &Type, values: &[Value]) -> Result<ArrayRef, Fault> {
    let mut column = ColumnBuilder::new(kind, values.len())?;
    for value in values {
        column.push(value.borrow())?;
    }
    column.finish()
}

/// Builds an array value by value, in the type's shape.
pub struct ColumnBuilder<'t> {
    kind: &'t Type,
    shape: Shape<'t>,
}

enum Shape<'t> {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Numeric(Decimal128Builder, u8),
    /// `numeric` without a modifier: see [`crate::free_numeric`].
    Free(LargeBinaryBuilder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Text(StringBuilder),
    Bytea(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Array(Box<Lists<'t>>),
}

/// Lists under construction: their elements end to end.
struct Lists<'t> {
    element: &'t Type,
    elements: ColumnBuilder<'t>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl<'t> ColumnBuilder<'t> {
    /// An empty array with room for so many values.
    ///
    /// # Errors
    /// [`Fault::Internal`] for a numeric type out of its bounds.
    pub fn new(kind: &'t Type, rows: usize) -> Result<Self, Fault> {
        let decimal = |precision, scale: u8| {
            Decimal128Builder::with_capacity(rows)
                .with_precision_and_scale(precision, scale_of(scale))
                .map(|builder| Shape::Numeric(builder, scale))
                .map_err(|error| Fault::Internal(error.to_string()))
        };
        let shape = match kind {
            Type::Bool => Shape::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Int2 => Shape::Int2(Int16Builder::with_capacity(rows)),
            Type::Int4 => Shape::Int4(Int32Builder::with_capacity(rows)),
            Type::Int8 => Shape::Int8(Int64Builder::with_capacity(rows)),
            Type::Numeric { precision, scale } => decimal(*precision, *scale)?,
            Type::Decimal => Shape::Free(LargeBinaryBuilder::with_capacity(
                rows,
                rows.saturating_mul(free_numeric::SHORT),
            )),
            Type::Float4 => Shape::Float4(Float32Builder::with_capacity(rows)),
            Type::Float8 => Shape::Float8(Float64Builder::with_capacity(rows)),
            Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Json | Type::Jsonb => {
                Shape::Text(StringBuilder::with_capacity(rows, rows.saturating_mul(8)))
            }
            Type::Bytea => Shape::Bytea(BinaryBuilder::new()),
            Type::Date => Shape::Date(Date32Builder::with_capacity(rows)),
            Type::Time => Shape::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            Type::Timestamp => Shape::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            Type::Timestamptz => Shape::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(rows).with_timezone(utc()),
            ),
            Type::Uuid => Shape::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
            Type::Array(element) => Shape::Array(Box::new(Lists {
                element,
                elements: ColumnBuilder::new(element, rows)?,
                lengths: Vec::with_capacity(rows),
                valid: Vec::with_capacity(rows),
            })),
        };
        Ok(Self { kind, shape })
    }

    /// Adds a value.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the value is not of the type.
    pub fn push(&mut self, value: ValueRef<'_>) -> Result<(), Fault> {
        if value == ValueRef::Null {
            self.push_null();
            return Ok(());
        }
        match (&mut self.shape, &value) {
            (Shape::Bool(to), ValueRef::Bool(v)) => to.append_value(*v),
            (Shape::Int2(to), ValueRef::Int2(v)) => to.append_value(*v),
            (Shape::Int4(to), ValueRef::Int4(v)) => to.append_value(*v),
            (Shape::Int8(to), ValueRef::Int8(v)) => to.append_value(*v),
            (Shape::Numeric(to, scale), ValueRef::Numeric(v)) => match rescaled(*v, *scale) {
                Some(coefficient) => to.append_value(coefficient),
                None => return Err(mismatch(self.kind, &value)),
            },
            (Shape::Free(to), ValueRef::Numeric(v)) => to.append_value(free_numeric::encode(*v)),
            (Shape::Float4(to), ValueRef::Float4(v)) => to.append_value(*v),
            (Shape::Float8(to), ValueRef::Float8(v)) => to.append_value(*v),
            (Shape::Text(to), ValueRef::Text(v) | ValueRef::Json(v) | ValueRef::Jsonb(v)) => {
                to.append_value(v);
            }
            (Shape::Bytea(to), ValueRef::Bytea(v)) => to.append_value(v),
            (Shape::Date(to), ValueRef::Date(v)) => to.append_value(*v),
            (Shape::Time(to), ValueRef::Time(v)) => to.append_value(*v),
            (Shape::Timestamp(to), ValueRef::Timestamp(v) | ValueRef::Timestamptz(v)) => {
                to.append_value(*v);
            }
            (Shape::Uuid(to), ValueRef::Uuid(v)) => {
                to.append_value(v).map_err(|error| Fault::Internal(error.to_string()))?;
            }
            (Shape::Array(to), ValueRef::Array(items)) => {
                for item in items.iter() {
                    to.elements.push(item.borrow())?;
                }
                to.lengths.push(items.len());
                to.valid.push(true);
            }
            _ => return Err(mismatch(self.kind, &value)),
        }
        Ok(())
    }

    /// Adds NULL.
    pub fn push_null(&mut self) {
        match &mut self.shape {
            Shape::Bool(to) => to.append_null(),
            Shape::Int2(to) => to.append_null(),
            Shape::Int4(to) => to.append_null(),
            Shape::Int8(to) => to.append_null(),
            Shape::Numeric(to, _) => to.append_null(),
            Shape::Free(to) => to.append_null(),
            Shape::Float4(to) => to.append_null(),
            Shape::Float8(to) => to.append_null(),
            Shape::Text(to) => to.append_null(),
            Shape::Bytea(to) => to.append_null(),
            Shape::Date(to) => to.append_null(),
            Shape::Time(to) => to.append_null(),
            Shape::Timestamp(to) => to.append_null(),
            Shape::Uuid(to) => to.append_null(),
            Shape::Array(to) => {
                to.lengths.push(0);
                to.valid.push(false);
            }
        }
    }

    /// The array.
    ///
    /// # Errors
    /// [`Fault::Internal`] when Arrow refuses it.
    pub fn finish(self) -> Result<ArrayRef, Fault> {
        Ok(match self.shape {
            Shape::Bool(mut from) => Arc::new(from.finish()),
            Shape::Int2(mut from) => Arc::new(from.finish()),
            Shape::Int4(mut from) => Arc::new(from.finish()),
            Shape::Int8(mut from) => Arc::new(from.finish()),
            Shape::Numeric(mut from, _) => Arc::new(from.finish()),
            Shape::Free(mut from) => Arc::new(from.finish()),
            Shape::Float4(mut from) => Arc::new(from.finish()),
            Shape::Float8(mut from) => Arc::new(from.finish()),
            Shape::Text(mut from) => Arc::new(from.finish()),
            Shape::Bytea(mut from) => Arc::new(from.finish()),
            Shape::Date(mut from) => Arc::new(from.finish()),
            Shape::Time(mut from) => Arc::new(from.finish()),
            Shape::Timestamp(mut from) => Arc::new(from.finish()),
            Shape::Uuid(mut from) => Arc::new(from.finish()),
            Shape::Array(lists) => {
                let list = ListArray::try_new(
                    Arc::new(element_field(lists.element)),
                    OffsetBuffer::from_lengths(lists.lengths),
                    lists.elements.finish()?,
                    Some(NullBuffer::from(lists.valid)),
                );
                Arc::new(list.map_err(|error| Fault::Internal(error.to_string()))?)
            }
        })
    }
}

/// The name of the zone in Arrow types.
fn utc() -> Arc<str> {
    Arc::from("UTC")
}

fn scale_of(scale: u8) -> i8 {
    i8::try_from(scale).unwrap_or(i8::MAX)
}

/// The field of an array's elements.
fn element_field(element: &Type) -> Field {
    Field::new("item", data_type_of(element), true)
        .with_metadata(HashMap::from([(TYPE_KEY.to_owned(), element.to_string())]))
}

/// The coefficient at another scale; `None` if digits would be lost.
fn rescaled(number: Decimal, scale: u8) -> Option<i128> {
    if number.scale <= scale {
        let factor = 10_i128.checked_pow(u32::from(scale - number.scale))?;
        number.coefficient.checked_mul(factor)
    } else {
        let short = number.normalized();
        (short.scale <= scale).then(|| rescaled(short, scale)).flatten()
    }
}

fn mismatch(kind: &Type, value: &ValueRef<'_>) -> Fault {
    Fault::Internal(format!("a column of type {kind} holds {value:?}"))
}

#[cfg(test)]
mod tests;
