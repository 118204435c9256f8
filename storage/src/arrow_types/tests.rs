//! Every type's values come back from Arrow in the type's one shape.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Decimal128Type;
use ledger::{Decimal, Type, Value};

use super::{array_of, data_type_of};

#[test]
fn every_type_has_one_shape() {
    let cases = [
        (Type::Bool, Value::Bool(true)),
        (Type::Int2, Value::Int2(-1)),
        (Type::Int4, Value::Int4(2)),
        (Type::Int8, Value::Int8(3)),
        (
            Type::Numeric { precision: 10, scale: 2 },
            Value::Numeric(Decimal { coefficient: 15, scale: 1 }),
        ),
        (Type::Decimal, Value::Numeric(Decimal { coefficient: 15, scale: 1 })),
        (Type::Float4, Value::Float4(1.5)),
        (Type::Float8, Value::Float8(f64::NAN)),
        (Type::Text, Value::Text("é".into())),
        (Type::Char(3), Value::Text("a".into())),
        (Type::Bytea, Value::Bytea(vec![0, 255])),
        (Type::Date, Value::Date(-1)),
        (Type::Time, Value::Time(86_400_000_000)),
        (Type::Timestamp, Value::Timestamp(-1)),
        (Type::Timestamptz, Value::Timestamptz(1)),
        (Type::Uuid, Value::Uuid([7; 16])),
        (Type::Json, Value::Json("{}".into())),
        (Type::Jsonb, Value::Jsonb("{}".into())),
        (Type::Array(Box::new(Type::Int4)), Value::Array(vec![Value::Int4(1), Value::Null])),
    ];
    for (kind, value) in cases {
        let array = array_of(&kind, &[value, Value::Null]).unwrap();
        assert_eq!(array.data_type(), &data_type_of(&kind));
        assert_eq!((array.len(), array.null_count()), (2, 1), "{kind:?}");
    }
}

#[test]
fn decimals_keep_their_value_at_the_columns_scale() {
    let values = [
        Value::Numeric(Decimal { coefficient: 15, scale: 1 }),
        Value::Numeric(Decimal { coefficient: 1500, scale: 3 }),
    ];
    let array = array_of(&Type::Numeric { precision: 10, scale: 2 }, &values).unwrap();
    let numbers = array.as_primitive::<Decimal128Type>();
    assert_eq!((numbers.value(0), numbers.value(1)), (150, 150));
}

#[test]
fn a_value_of_another_type_is_a_fault() {
    assert!(array_of(&Type::Int4, &[Value::Int8(1)]).is_err());
    let digits = Value::Numeric(Decimal { coefficient: 1, scale: 3 });
    assert!(array_of(&Type::Numeric { precision: 10, scale: 2 }, &[digits]).is_err());
}
