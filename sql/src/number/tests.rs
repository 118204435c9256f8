//! Numbers against PostgreSQL 15's answers, and their bytes against their order.

use proptest::prelude::*;

use super::Number;

fn n(text: &str) -> Number {
    Number::parse(text).unwrap()
}

#[test]
fn text_round_trips() {
    for text in
        ["0", "1", "-1", "1.50", "-0.05", "0.00", "1234567890123456789012345678901234567890.12"]
    {
        assert_eq!(n(text).to_string(), text);
    }
    for (text, shown) in [
        (" +1.5 ", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.50e1", "15.0"),
        ("1e-3", "0.001"),
        ("-0", "0"),
        ("1e40", "10000000000000000000000000000000000000000"),
    ] {
        assert_eq!(n(text).to_string(), shown, "{text}");
    }
    for text in
        ["", ".", "1.2.3", "abc", "1e", "--1", "1 2", "NaN", "Infinity", "1e999999", "1e-99999"]
    {
        assert!(Number::parse(text).is_err(), "{text}");
    }
}

#[test]
fn arithmetic_has_postgresqls_scales() {
    let shown = |number: Result<Number, crate::Error>| number.unwrap().to_string();
    assert_eq!(shown(n("1.10").plus(&n("2.2"))), "3.30");
    assert_eq!(shown(n("1").minus(&n("2.5"))), "-1.5");
    assert_eq!(shown(n("1.5").times(&n("-2.25"))), "-3.375");
    assert_eq!(shown(n("1").divided_by(&n("3"))), "0.33333333333333333333");
    assert_eq!(shown(n("10").divided_by(&n("2"))), "5.0000000000000000");
    assert_eq!(shown(n("100000").divided_by(&n("3"))), "33333.333333333333");
    assert_eq!(shown(n("1.50").divided_by(&n("1"))), "1.50000000000000000000");
    assert_eq!(shown(n("-7.5").remainder(&n("2"))), "-1.5");
    assert_eq!(shown(n("1e30").times(&n("1e30"))), format!("1{}", "0".repeat(60)));
    assert_eq!(shown(n("1.5").round(3)), "1.500");
    assert_eq!(shown(n("155.5").round(-1)), "160");
    assert_eq!(shown(n("155.5").truncate(-2)), "100");
    assert_eq!(shown(n("-2.5").round(0)), "-3");
    assert_eq!(shown(n("-1.50").floor()), "-2");
    assert_eq!(shown(n("1.50").ceiling()), "2");
    assert_eq!(shown(n("12.5").gcd(&n("7.50"))), "2.50");
    assert_eq!(shown(n("2.5").lcm(&n("3.75"))), "7.50");
    assert!(n("1").divided_by(&n("0.00")).is_err());
}

#[test]
fn roots_and_powers_are_postgresqls() {
    let power = |a: &str, b: &str| n(a).power(&n(b)).unwrap().to_string();
    assert_eq!(power("2.0", "10"), "1024.0000000000000000");
    assert_eq!(power("0.1", "10"), "0.0000000001000000");
    assert_eq!(power("2.0", "-3"), "0.1250000000000000");
    assert_eq!(power("12345.678", "0"), "1.0000000000000000");
    assert_eq!(power("2.0", "0.5"), "1.4142135623730950");
    assert_eq!(power("100.0", "1.5"), "1000.0000000000000");
    assert_eq!(power("0.01", "0.5"), "0.10000000000000000");
    assert_eq!(power("1.0001", "10000"), "2.7181459268252249");
    assert_eq!(power("1.23456789", "7"), "4.3712418962088561");
    assert_eq!(power("0.5", "100"), "0.0000000000000000");
    let root = |a: &str| n(a).square_root().unwrap().to_string();
    assert_eq!(root("2.0"), "1.414213562373095");
    assert_eq!(root("12345678.0"), "3513.6417005722140");
    assert_eq!(root("0.0001"), "0.01000000000000000");
    assert_eq!(root("1e20"), "10000000000.00000");
    let exp = |a: &str| n(a).exponential().unwrap().to_string();
    assert_eq!(exp("1.0"), "2.7182818284590452");
    assert_eq!(exp("10.0"), "22026.465794806717");
    assert_eq!(exp("-5.5"), "0.004086771438464067");
    assert_eq!(exp("0.0"), "1.0000000000000000");
    let ln = |a: &str| n(a).natural_logarithm().unwrap().to_string();
    assert_eq!(ln("10.0"), "2.3025850929940457");
    assert_eq!(ln("1.0001"), "0.00009999500033330834");
    assert_eq!(ln("0.5"), "-0.6931471805599453");
    assert_eq!(ln("1e30"), "69.077552789821371");
    let log = |a: &str, b: &str| n(b).logarithm_to(&n(a)).unwrap().to_string();
    assert_eq!(log("10", "1000.0"), "3.0000000000000000");
    assert_eq!(log("2.0", "64.0"), "6.0000000000000000");
    assert_eq!(log("10", "1.001"), "0.0004340774793186407");
    assert_eq!(log("10", "0.5"), "-0.3010299956639812");
}

#[test]
fn the_ledger_keeps_38_digits() {
    assert_eq!(n("1.50").to_decimal().unwrap().to_string(), "1.50");
    assert!(n("1e37").to_decimal().is_ok());
    assert!(n("1e38").to_decimal().is_err());
    assert!(n("1e-39").to_decimal().is_err());
    // Only zeros are too many.
    let half = format!("0.5{}", "0".repeat(45));
    assert_eq!(n(&half).to_decimal().unwrap(), "0.5".parse().unwrap());
}

#[test]
fn floats_convert_as_postgresql_casts() {
    let shown = |f: f64| Number::from_f64(f).unwrap().to_string();
    assert_eq!(shown(0.1), "0.1");
    assert_eq!(shown(1e20), "100000000000000000000");
    assert_eq!(shown(123_456.789_012_345_67), "123456.789012346");
    assert_eq!(Number::from_f32(0.1).unwrap().to_string(), "0.1");
    assert!(Number::from_f64(f64::NAN).is_err());
}

/// Numbers of few and of many digits, small and great.
fn any_number() -> impl Strategy<Value = Number> {
    let digits = prop_oneof!["[1-9][0-9]{0,5}", "[1-9][0-9]{0,45}", "[1-9]0{0,60}[0-9]{0,3}", "0"];
    (digits, 0_u16..60, any::<bool>()).prop_map(|(digits, scale, negative)| {
        let sign = if negative { "-" } else { "" };
        Number::parse(&format!("{sign}{digits}e-{scale}")).unwrap()
    })
}

proptest! {
    #[test]
    fn bytes_round_trip(a in any_number()) {
        let back = Number::read(&a.to_bytes()).unwrap();
        prop_assert_eq!(back.to_string(), a.to_string());
    }

    #[test]
    fn bytes_have_the_numbers_order(a in any_number(), b in any_number()) {
        let key = |number: &Number| number.normalized().to_bytes();
        prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
        if a != b {
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        }
    }

    #[test]
    fn equal_numbers_have_equal_keys(a in any_number(), zeros in 0_u16..50) {
        let longer = a.round(i32::from(a.scale() + zeros)).unwrap();
        prop_assert_eq!(&longer, &a);
        prop_assert_eq!(longer.normalized().to_bytes(), a.normalized().to_bytes());
        prop_assert_eq!(longer.to_bytes().split_last_chunk::<2>().map(|p| p.0.to_vec()),
            a.to_bytes().split_last_chunk::<2>().map(|p| p.0.to_vec()));
    }

    #[test]
    fn a_quotient_is_within_half_a_place(a in any_number(), b in any_number()) {
        prop_assume!(!b.is_zero());
        let quotient = a.divided_by(&b).unwrap();
        let off = quotient.times(&b).unwrap().minus(&a).unwrap().abs();
        let half = b.abs().times(&Number::new(5, quotient.scale() + 1)).unwrap();
        prop_assert!(off <= half);
    }
}
