//! Values off the wire: each type in both formats comes back as it went out.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::{Buf as _, BytesMut};
use ledger::Decimal;
use ledger::text::Utc;

use super::super::encode::{Rows, Shape};
use super::*;

/// A value as a column of one row.
fn column(value: &Value) -> ArrayRef {
    use arrow::array::*;
    match value {
        Value::Bool(v) => Arc::new(BooleanArray::from(vec![*v])),
        Value::Int2(v) => Arc::new(Int16Array::from(vec![*v])),
        Value::Int4(v) => Arc::new(Int32Array::from(vec![*v])),
        Value::Int8(v) => Arc::new(Int64Array::from(vec![*v])),
        Value::Float4(v) => Arc::new(Float32Array::from(vec![*v])),
        Value::Float8(v) => Arc::new(Float64Array::from(vec![*v])),
        Value::Numeric(v) => Arc::new(
            Decimal128Array::from(vec![v.coefficient])
                .with_precision_and_scale(38, i8::try_from(v.scale).unwrap())
                .unwrap(),
        ),
        Value::Text(v) | Value::Json(v) | Value::Jsonb(v) => {
            Arc::new(StringArray::from(vec![v.as_str()]))
        }
        Value::Bytea(v) => Arc::new(BinaryArray::from(vec![v.as_slice()])),
        Value::Date(v) => Arc::new(Date32Array::from(vec![*v])),
        Value::Time(v) => Arc::new(Time64MicrosecondArray::from(vec![*v])),
        Value::Timestamp(v) => Arc::new(TimestampMicrosecondArray::from(vec![*v])),
        Value::Timestamptz(v) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone("UTC"))
        }
        Value::Uuid(v) => {
            Arc::new(FixedSizeBinaryArray::try_from_iter(std::iter::once(*v)).unwrap())
        }
        Value::Null | Value::Array(_) => panic!("no column of {value:?}"),
    }
}

fn bytes_of(value: &Value, kind: &Type, format: Format) -> Bytes {
    let batch = RecordBatch::try_from_iter([("a", column(value))]).unwrap();
    let typmod = match kind {
        Type::Numeric { precision, scale } => (i32::from(*precision) << 16 | i32::from(*scale)) + 4,
        _ => -1,
    };
    let shape = Shape { type_oid: types::type_oid(kind), typmod, format };
    let mut out = BytesMut::new();
    Rows::new(&batch, &[shape]).unwrap().values(0, Zone::UTC, &mut out).unwrap();
    let mut out = out.freeze();
    let length = usize::try_from(out.get_i32()).unwrap();
    assert_eq!(out.len(), length);
    out
}

fn numeric(coefficient: i128, scale: u8) -> Value {
    Value::Numeric(Decimal { coefficient, scale })
}

fn samples() -> Vec<(Type, Vec<Value>)> {
    let number = Type::Numeric { precision: 38, scale: 4 };
    vec![
        (Type::Bool, vec![Value::Bool(true), Value::Bool(false)]),
        (Type::Int2, vec![Value::Int2(i16::MIN), Value::Int2(0), Value::Int2(i16::MAX)]),
        (Type::Int4, vec![Value::Int4(i32::MIN), Value::Int4(-1), Value::Int4(i32::MAX)]),
        (Type::Int8, vec![Value::Int8(i64::MIN), Value::Int8(7), Value::Int8(i64::MAX)]),
        (
            number,
            vec![numeric(12_345, 4), numeric(-1, 4), numeric(0, 4), numeric(10_i128.pow(20), 4)],
        ),
        (Type::Decimal, vec![numeric(15, 1), numeric(-1234, 3), numeric(7, 0)]),
        (
            Type::Float4,
            [0.1, -1e30, 16_777_216.0, f32::MIN_POSITIVE, f32::INFINITY]
                .map(Value::Float4)
                .to_vec(),
        ),
        (
            Type::Float8,
            [0.1, 1e300, -5e-324, 1e15, 123_456_789.125, f64::NEG_INFINITY]
                .map(Value::Float8)
                .to_vec(),
        ),
        (Type::Text, vec![Value::Text(String::new()), Value::Text("é\n\"x\"".into())]),
        (Type::Bytea, vec![Value::Bytea(vec![]), Value::Bytea(vec![0, 255, 92])]),
        (Type::Date, vec![Value::Date(0), Value::Date(-800_000), Value::Date(2_932_897)]),
        (
            Type::Time,
            vec![Value::Time(0), Value::Time(86_399_999_999), Value::Time(86_400_000_000)],
        ),
        (
            Type::Timestamp,
            vec![
                Value::Timestamp(0),
                Value::Timestamp(-62_135_596_800_000_001),
                Value::Timestamp(1),
            ],
        ),
        (
            Type::Timestamptz,
            vec![Value::Timestamptz(1_720_000_000_123_456), Value::Timestamptz(-1)],
        ),
        (Type::Uuid, vec![Value::Uuid([0x1f; 16])]),
        (Type::Json, vec![Value::Json("{\"a\" : 1}".into())]),
        (Type::Jsonb, vec![Value::Jsonb("{\"a\": 1}".into())]),
    ]
}

#[test]
fn values_come_back_in_both_formats() {
    for (kind, values) in samples() {
        for value in values {
            for format in [Format::Text, Format::Binary] {
                let bytes = bytes_of(&value, &kind, format);
                let oid = types::type_oid(&kind);
                let read = parameter(oid, format, Some(bytes), Zone::UTC).unwrap();
                assert_eq!(read.value.as_ref(), Some(&value), "{kind:?} {format:?}");
            }
        }
    }
}

/// The ledger has text forms of its own (defaults, keys in messages): they are the same.
#[test]
fn text_forms_are_the_ledgers() {
    for (kind, values) in samples() {
        for value in values {
            let bytes = bytes_of(&value, &kind, Format::Text);
            assert_eq!(text(&bytes).unwrap(), value.to_text(&kind, &Utc), "{kind:?}");
        }
    }
}

#[test]
fn null_is_null_in_any_type() {
    let read = parameter(23, Format::Binary, None, Zone::UTC).unwrap();
    assert_eq!(read, Parameter { oid: 23, value: None });
}

#[test]
fn binary_arrays() {
    let array = [
        &1_i32.to_be_bytes()[..],
        &1_i32.to_be_bytes(),
        &23_i32.to_be_bytes(),
        &2_i32.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &4_i32.to_be_bytes(),
        &7_i32.to_be_bytes(),
        &(-1_i32).to_be_bytes(),
    ]
    .concat();
    let read = parameter(1007, Format::Binary, Some(array.clone().into()), Zone::UTC).unwrap();
    assert_eq!(read.value, Some(Value::Array(vec![Value::Int4(7), Value::Null])));
    // A count that can't be is refused before memory is taken for it.
    let mut many = array;
    many[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
    let problem = parameter(1007, Format::Binary, Some(many.into()), Zone::UTC).unwrap_err();
    assert_eq!(problem.sqlstate, "22P03");
}

#[test]
fn wrong_bytes_are_errors() {
    for (oid, bytes, sqlstate) in [
        (23, &b"\0\0\0"[..], "22P03"),
        (23, b"\0\0\0\0\0", "22P03"),
        (25, b"\xff", "22021"),
        (25, b"a\0", "22021"),
        (2950, b"\0", "22P03"),
        (3802, b"\x02{}", "22P03"),
        (3802, b"\x01{", "22P02"),
        (1082, b"\x7f\xff\xff\xff", "0A000"),
        (600, b"", "0A000"),
    ] {
        let bytes = Bytes::copy_from_slice(bytes);
        let problem = parameter(oid, Format::Binary, Some(bytes), Zone::UTC).unwrap_err();
        assert_eq!(problem.sqlstate, sqlstate, "type {oid}");
    }
}
