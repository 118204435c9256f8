//! Casts against what PostgreSQL 15 does.

use super::*;

fn code(value: Value, kind: &Type) -> &'static str {
    value.assign(kind).unwrap_err().sqlstate()
}

fn number(text: &str) -> Value {
    Value::Numeric(text.parse().unwrap())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn integers_and_numbers_are_checked_and_rounded() {
    assert_eq!(Value::Int8(5).assign(&Type::Int2), Ok(Value::Int2(5)));
    assert_eq!(code(Value::Int8(40_000), &Type::Int2), "22003");
    assert_eq!(number("2.5").assign(&Type::Int4), Ok(Value::Int4(3)));
    assert_eq!(Value::Float8(2.5).assign(&Type::Int4), Ok(Value::Int4(2)));
    assert_eq!(Value::Float8(-3.5).assign(&Type::Int8), Ok(Value::Int8(-4)));
    assert_eq!(code(Value::Float8(1e19), &Type::Int8), "22003");
    assert_eq!(code(Value::Float8(f64::NAN), &Type::Int4), "22003");
    let money = Type::Numeric { precision: 4, scale: 2 };
    let Ok(Value::Numeric(v)) = Value::Int4(7).assign(&money) else { panic!() };
    assert_eq!(v.to_string(), "7.00");
    assert_eq!(code(Value::Int4(100), &money), "22003");
    assert_eq!(Value::Float8(0.125).assign(&money), Ok(number("0.13")));
    assert_eq!(code(Value::Float8(1e300), &Type::Float4), "22003");
    let refusal = Value::Int8(1 << 40).assign(&Type::Int4).unwrap_err();
    assert_eq!(refusal.to_string(), "integer out of range");
}

#[test]
fn texts_are_cut_or_refused() {
    assert_eq!(text("abc  ").assign(&Type::Varchar(3)), Ok(text("abc")));
    assert_eq!(code(text("abcd"), &Type::Varchar(3)), "22001");
    assert_eq!(text("abcd").cast(&Type::Varchar(3), &Utc), Ok(text("abc")));
    assert_eq!(text("a  ").assign(&Type::Char(5)), Ok(text("a")));
    assert_eq!(Value::Int4(12).assign(&Type::Text), Ok(text("12")));
    assert_eq!(Value::Bool(true).assign(&Type::Text), Ok(text("true")));
    assert_eq!(text("12").assign(&Type::Int4), Ok(Value::Int4(12)));
    assert_eq!(code(text("x"), &Type::Int4), "22P02");
    let array = Value::Array(vec![Value::Int4(1), Value::Null]);
    assert_eq!(array.assign(&Type::Text), Ok(text("{1,NULL}")));
}

#[test]
fn moments() {
    let day = 86_400_000_000;
    assert_eq!(Value::Date(1).assign(&Type::Timestamp), Ok(Value::Timestamp(day)));
    assert_eq!(Value::Timestamp(-1).assign(&Type::Date), Ok(Value::Date(-1)));
    assert_eq!(Value::Timestamp(-1).assign(&Type::Time), Ok(Value::Time(day - 1)));
    assert_eq!(Value::Timestamp(5).assign(&Type::Timestamptz), Ok(Value::Timestamptz(5)));
    assert_eq!(code(Value::Date(2_000_000_000), &Type::Timestamp), "22008");
}

#[test]
fn what_has_no_cast_is_refused() {
    assert_eq!(code(Value::Uuid([0; 16]), &Type::Int4), "42846");
    assert_eq!(code(Value::Date(0), &Type::Bool), "42846");
    assert_eq!(Value::Null.assign(&Type::Int4), Ok(Value::Null));
}
