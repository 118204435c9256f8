//! The order of keys is the order of values, and equal values have equal keys.

use super::*;

fn key(value: Value) -> Vec<u8> {
    encode_key(&[value])
}

/// Checks that keys grow along the list.
fn ascending(values: Vec<Value>) {
    for pair in values.windows(2) {
        assert!(key(pair[0].clone()) < key(pair[1].clone()), "{:?} < {:?}", pair[0], pair[1]);
    }
    for value in values {
        assert!(key(value) < key(Value::Null));
    }
}

#[test]
fn integers() {
    let mut all = vec![0i64, i64::MIN, i64::MAX];
    for shift in 0..63 {
        for near in -2..=2i64 {
            all.push((1i64 << shift).saturating_add(near));
            all.push((1i64 << shift).saturating_add(near).wrapping_neg());
        }
    }
    all.sort_unstable();
    all.dedup();
    ascending(all.into_iter().map(Value::Int8).collect());
    assert_eq!(key(Value::Int2(-7)), key(Value::Int8(-7)));
    assert_eq!(key(Value::Int4(300)), key(Value::Int8(300)));
}

#[test]
fn decimals() {
    let texts = [
        "-99999999999999999999999999999999999999",
        "-1000",
        "-100.5",
        "-100",
        "-10",
        "-1.01",
        "-1",
        "-0.5",
        "-0.05",
        "-0.00000000000000000000000000000000000001",
        "0",
        "0.00000000000000000000000000000000000001",
        "0.05",
        "0.5",
        "0.51",
        "1",
        "1.01",
        "1.1",
        "2",
        "9",
        "10",
        "11",
        "99",
        "100",
        "100.5",
        "101",
        "110",
        "1000",
    ];
    ascending(texts.iter().map(|text| Value::Numeric(text.parse().unwrap())).collect());
    let decimal = |text: &str| key(Value::Numeric(text.parse().unwrap()));
    assert_eq!(decimal("1.0"), decimal("1.00"));
    assert_eq!(decimal("100"), decimal("100.000"));
    assert_eq!(decimal("0"), decimal("0.00"));
}

#[test]
fn floats() {
    let all =
        [f64::NEG_INFINITY, -1e300, -1.5, -1e-300, 0.0, 1e-300, 1.0, 1.5, f64::INFINITY, f64::NAN];
    ascending(all.into_iter().map(Value::Float8).collect());
    assert_eq!(key(Value::Float8(-0.0)), key(Value::Float8(0.0)));
    assert_eq!(key(Value::Float4(1.5)), key(Value::Float8(1.5)));
    assert_eq!(key(Value::Float8(-f64::NAN)), key(Value::Float8(f64::NAN)));
}

#[test]
fn texts_and_bytes() {
    let all: Vec<&[u8]> = vec![
        b"", b"\0", b"\0\0", b"\0\x01", b"\x01", b"\x01\0", b"\x02", b"a", b"a\0", b"a\x01", b"ab",
        b"b", b"\xff",
    ];
    ascending(all.into_iter().map(|bytes| Value::Bytea(bytes.to_vec())).collect());
    // A column's end is less than anything that goes on.
    let two =
        |a: &str, b: &str| encode_key(&[Value::Text(a.to_owned()), Value::Text(b.to_owned())]);
    assert!(two("a", "zzz") < two("ab", ""));
}

#[test]
fn arrays() {
    let array = |items: &[i32]| Value::Array(items.iter().copied().map(Value::Int4).collect());
    ascending(vec![
        array(&[]),
        array(&[1]),
        array(&[1, 1]),
        array(&[1, 2]),
        array(&[2]),
        Value::Array(vec![Value::Null]),
    ]);
}

#[test]
fn documents() {
    let all = [
        "null",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "-1",
        "0",
        "1",
        "1.5",
        "10",
        "false",
        "true",
        "[]",
        "[1]",
        "[2]",
        "[1, 1]",
        "{}",
        "{\"a\": 1}",
        "{\"a\": 2}",
        "{\"b\": 1}",
    ];
    ascending(all.iter().map(|text| Value::Jsonb((*text).to_owned())).collect());
    assert_eq!(key(Value::Jsonb("[1.0]".to_owned())), key(Value::Jsonb("[1.00]".to_owned())));
}
