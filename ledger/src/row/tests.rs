//! Rows return as they went in, byte for byte; damage is an error; erasing keeps the commitment.

use super::*;
use crate::samples::{column, everything, table};
use crate::{Column, Type};

#[test]
fn every_type_returns() {
    let (table, values) = everything();
    let row = Row::encode(&table, &values, || [7; 16]).unwrap();
    row.check(&table).unwrap();
    assert_eq!(decode_row(&table, &row).unwrap(), values);
}

#[test]
fn empty_and_wide_rows_return() {
    let none = table(Vec::new());
    let row = Row::encode(&none, &[], || [0; 16]).unwrap();
    row.check(&none).unwrap();
    for length in [0, 255, 256, 65_535, 65_536] {
        let table = table(vec![column(1, Type::Text, false), column(2, Type::Int4, false)]);
        let values = vec![Value::Text("x".repeat(length)), Value::Int4(1)];
        let row = Row::encode(&table, &values, || [0; 16]).unwrap();
        row.check(&table).unwrap();
        assert_eq!(decode_row(&table, &row).unwrap(), values);
    }
}

#[test]
fn a_younger_column_has_its_missing_value() {
    let old = table(vec![column(1, Type::Int4, false)]);
    let row = Row::encode(&old, &[Value::Int4(1)], || [0; 16]).unwrap();
    let mut new = old;
    new.columns.push(Column { missing: Value::Int4(42), ..column(2, Type::Int4, false) });
    assert_eq!(decode_row(&new, &row).unwrap(), [Value::Int4(1), Value::Int4(42)]);
    row.check(&new).unwrap();
    let none = table(Vec::new());
    assert!(row.check(&none).is_err());
}

#[test]
fn every_flipped_bit_is_an_error_or_another_commitment() {
    let (table, values) = everything();
    let row = Row::encode(&table, &values, || [7; 16]).unwrap();
    let commitment = row.commitment().unwrap();
    for bit in 0..row.bytes.len() * 8 {
        let mut wrong = row.clone();
        wrong.bytes[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(wrong.commitment(), Ok(commitment), "bit {bit}");
        drop(decode_row(&table, &wrong));
        drop(wrong.check(&table));
    }
    for length in 0..row.bytes.len() {
        let short = Row { bytes: row.bytes[..length].to_vec() };
        assert_ne!(short.commitment(), Ok(commitment), "cut at {length}");
        assert!(short.check(&table).is_err(), "cut at {length}");
    }
}

#[test]
fn erasing_keeps_the_commitment_and_loses_the_value() {
    let table = table(vec![
        column(1, Type::Int4, false),
        column(2, Type::Text, true),
        column(3, Type::Text, true),
    ]);
    let secret = Value::Text("secret".to_owned());
    let mut salt = 0;
    let row = Row::encode(&table, &[Value::Int4(1), secret.clone(), Value::Null], || {
        salt += 1;
        [salt; 16]
    });
    let row = row.unwrap();
    let erased = row.erase(|column| column == ColumnNumber(2)).unwrap();
    assert_eq!(erased.commitment().unwrap(), row.commitment().unwrap());
    let all = erased.erase(|_| true).unwrap();
    assert_eq!(all.commitment().unwrap(), row.commitment().unwrap());
    assert!(!erased.bytes.windows(6).any(|part| part == b"secret"));
    let reader = RowReader::new(&table, &erased.bytes).unwrap();
    assert!(matches!(reader.cell(ColumnNumber(2)), Ok(Cell::Erased(_))));
    assert_eq!(reader.value(ColumnNumber(2)).unwrap(), Value::Null);
    assert_eq!(reader.value(ColumnNumber(1)).unwrap(), Value::Int4(1));
    // A validator takes no row that was erased before it was written.
    assert!(erased.check(&table).is_err());
    // Another salt is another commitment: the value can't be guessed from it.
    let other = Row::encode(&table, &[Value::Int4(1), secret, Value::Null], || [99; 16]).unwrap();
    assert_ne!(other.commitment().unwrap(), row.commitment().unwrap());
}

#[test]
fn values_that_the_type_does_not_allow_are_not_taken() {
    let one = |kind: Type, value: Value| {
        let table = table(vec![column(1, kind, false)]);
        Row::encode(&table, &[value], || [0; 16]).and_then(|row| row.check(&table))
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |text: &str| Value::Numeric(text.parse().unwrap());
    assert!(one(Type::Varchar(2), text("abc")).is_err());
    assert!(one(Type::Char(3), text("a ")).is_err());
    assert!(one(Type::Text, text("a\0")).is_err());
    assert!(one(Type::Numeric { precision: 3, scale: 1 }, number("1.00")).is_err());
    assert!(one(Type::Numeric { precision: 3, scale: 1 }, number("100.0")).is_err());
    assert!(one(Type::Jsonb, Value::Jsonb("{\"a\":1}".to_owned())).is_err());
    assert!(one(Type::Json, Value::Json("{".to_owned())).is_err());
    assert!(one(Type::Time, Value::Time(-1)).is_err());
    assert!(one(Type::Int4, Value::Int8(1)).is_err());
}
