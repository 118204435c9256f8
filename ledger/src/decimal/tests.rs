//! Decimals against numbers that were worked out by hand or by PostgreSQL 15.

use super::*;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn text_round_trips() {
    for text in ["0", "1", "-1", "1.50", "-0.05", "0.00", "12345678901234567890.123456789012345678"]
    {
        assert_eq!(d(text).to_string(), text);
    }
    for (text, shown) in [
        (" +1.5 ", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e3", "1000"),
        ("1.25e1", "12.5"),
        ("1e-3", "0.001"),
        ("15e-1", "1.5"),
        ("-0", "0"),
        ("0e99", "0"),
    ] {
        assert_eq!(d(text).to_string(), shown, "{text}");
    }
    for text in ["", ".", "1.2.3", "abc", "1e", "--1", "1 2", "NaN", "Infinity", "1e39"] {
        assert!(text.parse::<Decimal>().is_err(), "{text}");
    }
    assert!(Decimal::parse_exact("1e-39").is_err());
    assert_eq!(Decimal::parse_exact(&format!("0.5{}", "0".repeat(40))).unwrap(), d("0.5"));
    assert!("9".repeat(38).parse::<Decimal>().is_ok());
    assert!("9".repeat(39).parse::<Decimal>().is_err());
}

#[test]
fn order_ignores_scale() {
    assert_eq!(d("1.0"), d("1.00"));
    assert!(d("-1.01") < d("-1.0"));
    assert!(d("0.1") > d("0.09"));
    assert!(
        d("99999999999999999999999999999999999999") > d("0.00000000000000000000000000000000000001")
    );
}

#[test]
fn arithmetic_follows_postgresql() {
    assert_eq!(d("1.10").plus(d("2.2")).unwrap().to_string(), "3.30");
    assert_eq!(d("1").minus(d("2.5")).unwrap().to_string(), "-1.5");
    assert_eq!(d("1.5").times(d("-2.25")).unwrap().to_string(), "-3.375");
    assert_eq!(d("1").divided_by(d("3")).unwrap().to_string(), "0.33333333333333333333");
    assert_eq!(d("10").divided_by(d("2")).unwrap().to_string(), "5.0000000000000000");
    assert_eq!(d("100000").divided_by(d("3")).unwrap().to_string(), "33333.333333333333");
    assert_eq!(d("-7.5").remainder(d("2")).unwrap().to_string(), "-1.5");
    assert!(d("1").divided_by(d("0.00")).is_err());
}

#[test]
fn rounding_is_half_away_from_zero() {
    assert_eq!(d("2.5").rescale(0).unwrap().to_string(), "3");
    assert_eq!(d("-2.5").rescale(0).unwrap().to_string(), "-3");
    assert_eq!(d("1.005").rescale(2).unwrap().to_string(), "1.01");
    assert_eq!(d("1250").round(-2).unwrap().to_string(), "1300");
    assert_eq!(d("49").round(-2).unwrap().to_string(), "0");
    assert_eq!(d("1.29").truncate(1).to_string(), "1.2");
}

#[test]
fn floats_convert_as_postgresql_casts() {
    assert_eq!(Decimal::from_f64(0.1).unwrap().to_string(), "0.1");
    assert_eq!(Decimal::from_f64(1e15).unwrap().to_string(), "1000000000000000");
    assert_eq!(Decimal::from_f64(123_456_789.123_456_79).unwrap().to_string(), "123456789.123457");
    assert_eq!(Decimal::from_f32(0.1).unwrap().to_string(), "0.1");
    assert!(Decimal::from_f64(f64::NAN).is_err());
    assert!((d("123.456").to_f64() - 123.456).abs() < 1e-12);
}
