//! Rows on the wire: PostgreSQL's text and binary forms of every type.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, IntervalMonthDayNano};

use super::super::types::oid;
use super::*;

/// The text form of an array's first value.
fn text(array: impl Array + 'static, type_oid: u32, typmod: i32) -> String {
    zoned(array, type_oid, typmod, Zone::UTC)
}

fn zoned(array: impl Array + 'static, type_oid: u32, typmod: i32, zone: Zone) -> String {
    let array: ArrayRef = Arc::new(array);
    let mut out = BytesMut::new();
    Cell::new(&array, type_oid, typmod).unwrap().put_text(0, zone, &mut out).unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

fn binary(array: impl Array + 'static, type_oid: u32, typmod: i32) -> Vec<u8> {
    let array: ArrayRef = Arc::new(array);
    let mut out = BytesMut::new();
    Cell::new(&array, type_oid, typmod).unwrap().put_binary(0, &mut out).unwrap();
    out.to_vec()
}

fn float8(value: f64) -> String {
    text(Float64Array::from(vec![value]), oid::FLOAT8, -1)
}

fn float4(value: f32) -> String {
    text(Float32Array::from(vec![value]), oid::FLOAT4, -1)
}

fn decimal(coefficient: i128, scale: i8) -> Decimal128Array {
    Decimal128Array::from(vec![coefficient]).with_precision_and_scale(38, scale).unwrap()
}

fn timestamp(micros: i64) -> String {
    text(TimestampMicrosecondArray::from(vec![micros]), oid::TIMESTAMP, -1)
}

#[test]
fn numbers() {
    assert_eq!(text(BooleanArray::from(vec![true]), oid::BOOL, -1), "t");
    assert_eq!(text(Int16Array::from(vec![-32768]), oid::INT2, -1), "-32768");
    assert_eq!(text(Int64Array::from(vec![i64::MIN]), oid::INT8, -1), "-9223372036854775808");
    assert_eq!(text(UInt64Array::from(vec![u64::MAX]), oid::NUMERIC, -1), "18446744073709551615");
    assert_eq!(binary(Int32Array::from(vec![-2]), oid::INT4, -1), (-2_i32).to_be_bytes());
    assert_eq!(binary(Int32Array::from(vec![-2]), oid::INT8, -1), (-2_i64).to_be_bytes());
    assert_eq!(binary(UInt32Array::from(vec![16384]), oid::REGCLASS, -1), 16384_u32.to_be_bytes());
    assert_eq!(binary(Int64Array::from(vec![16384]), oid::OID, -1), 16384_u32.to_be_bytes());
}

#[test]
fn floats_are_laid_out_as_in_postgresql() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (100.5, "100.5"),
        (1e14, "100000000000000"),
        (1e15, "1e+15"),
        (123_456_789_012_345.6, "123456789012345.6"),
        (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (1e300, "1e+300"),
        (-2.5e-300, "-2.5e-300"),
        (1e23, "9.999999999999999e+22"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(float8(value), expected);
    }
    for (value, expected) in [
        (0.1, "0.1"),
        (100_000.0, "100000"),
        (1e6, "1e+06"),
        (1.5e-5, "1.5e-05"),
        (16_777_216.0, "1.6777216e+07"),
    ] {
        assert_eq!(float4(value), expected);
    }
}

#[test]
fn numerics_keep_their_scale() {
    let form = |coefficient, scale| text(decimal(coefficient, scale), oid::NUMERIC, 4 + 20);
    assert_eq!(form(12345, 2), "123.45");
    assert_eq!(form(-5, 2), "-0.05");
    assert_eq!(form(0, 2), "0.00");
    assert_eq!(form(100, 0), "100");
    assert_eq!(form(i128::pow(10, 38) - 1, 38), format!("0.{}", "9".repeat(38)));
    assert_eq!(text(decimal(150, 2), oid::NUMERIC, -1), "1.50");
    assert_eq!(
        text(decimal(1_500_000_000_000_000_000, 18), oid::NUMERIC, -1),
        "1.500000000000000000"
    );
}

#[test]
fn numerics_show_their_own_scale() {
    let free = |number: &str| {
        let bytes = sql::number::Number::parse(number).unwrap().to_bytes();
        LargeBinaryArray::from_iter_values([bytes])
    };
    let long = format!("-1{}.{}50", "0".repeat(40), "0".repeat(40));
    for number in ["0", "0.00", "1.50", "-1234.5", "0.0001", &long] {
        assert_eq!(text(free(number), oid::NUMERIC, -1), number);
    }
    assert_eq!(
        binary(free("-1234.5"), oid::NUMERIC, -1),
        binary(decimal(-12345, 1), oid::NUMERIC, -1)
    );
    assert_eq!(binary(free("1e40"), oid::NUMERIC, -1), [0, 1, 0, 10, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn numerics_in_binary_read_back() {
    for (coefficient, scale) in [
        (0, 0),
        (0, 5),
        (1, 0),
        (-1, 0),
        (10_000, 0),
        (12_345_678, 4),
        (-12_345_678, 3),
        (5, 1),
        (5, 9),
        (100_000_000, 8),
        (i128::pow(10, 38) - 1, 0),
        (i128::pow(10, 38) - 1, 38),
        (-i128::pow(10, 38) + 1, 19),
    ] {
        let mut out = BytesMut::new();
        numeric::put_numeric(&mut out, coefficient, scale);
        let mut body = super::super::message::Body(out.freeze());
        let read = decode_numeric(&mut body).unwrap();
        body.end().unwrap();
        assert_eq!((read.coefficient, i8::try_from(read.scale).unwrap()), (coefficient, scale));
    }
    // PostgreSQL's own bytes for -1234.5: two digits, weight 0, negative, scale 1.
    let bytes = [0, 2, 0, 0, 0x40, 0, 0, 1, 0x04, 0xd2, 0x13, 0x88];
    assert_eq!(binary(decimal(-12345, 1), oid::NUMERIC, 4 + 1), bytes);
}

#[test]
fn dates_and_times() {
    let date = |day| text(Date32Array::from(vec![day]), oid::DATE, -1);
    assert_eq!(date(0), "1970-01-01");
    assert_eq!(date(19_782), "2024-02-29");
    assert_eq!(date(-719_163), "0001-12-31 BC");
    assert_eq!(date(-719_162), "0001-01-01");
    assert_eq!(date(2_932_897), "10000-01-01");
    assert_eq!(binary(Date32Array::from(vec![10_957]), oid::DATE, -1), 0_i32.to_be_bytes());
    assert_eq!(timestamp(0), "1970-01-01 00:00:00");
    assert_eq!(timestamp(1_500_000), "1970-01-01 00:00:01.5");
    assert_eq!(timestamp(-1), "1969-12-31 23:59:59.999999");
    assert_eq!(
        text(TimestampNanosecondArray::from(vec![1_000_001_999]), oid::TIMESTAMP, -1),
        "1970-01-01 00:00:01.000001"
    );
    assert_eq!(text(Time64MicrosecondArray::from(vec![86_400_000_000]), oid::TIME, -1), "24:00:00");
    assert_eq!(
        binary(TimestampMicrosecondArray::from(vec![946_684_800_000_001]), oid::TIMESTAMP, -1),
        1_i64.to_be_bytes()
    );
}

#[test]
fn timestamptz_is_shown_in_the_sessions_zone() {
    let form = |micros, zone: &str| {
        let array = TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC");
        zoned(array, oid::TIMESTAMPTZ, -1, Zone::parse(zone).unwrap())
    };
    assert_eq!(form(0, "UTC"), "1970-01-01 00:00:00+00");
    assert_eq!(form(1_720_000_000_000_000, "Europe/Berlin"), "2024-07-03 11:46:40+02");
    assert_eq!(form(1_704_067_200_000_000, "Asia/Kolkata"), "2024-01-01 05:30:00+05:30");
    assert_eq!(form(0, "-3:30"), "1969-12-31 20:30:00-03:30");
}

#[test]
fn intervals() {
    let form = |months, days, nanos| {
        let value = IntervalMonthDayNano::new(months, days, nanos);
        text(IntervalMonthDayNanoArray::from(vec![value]), oid::INTERVAL, -1)
    };
    assert_eq!(form(0, 0, 0), "00:00:00");
    assert_eq!(form(14, 3, 14_706_000_000_000), "1 year 2 mons 3 days 04:05:06");
    assert_eq!(form(0, 1, 0), "1 day");
    assert_eq!(form(-1, 2, 0), "-1 mons +2 days");
    assert_eq!(form(0, -1, 1_500_000_000), "-1 days +00:00:01.5");
    assert_eq!(form(0, 0, -1_500_000_000), "-00:00:01.5");
}

#[test]
fn texts_and_bytes() {
    assert_eq!(text(StringArray::from(vec!["ab"]), oid::BPCHAR, 4 + 5), "ab   ");
    assert_eq!(text(StringViewArray::from(vec!["ab"]), oid::VARCHAR, 4 + 5), "ab");
    assert_eq!(text(BinaryArray::from(vec![&b"\x00\xff"[..]]), oid::BYTEA, -1), "\\x00ff");
    let uuid = FixedSizeBinaryArray::try_from_iter(std::iter::once([0xab_u8; 16])).unwrap();
    assert_eq!(text(uuid, oid::UUID, -1), "abababab-abab-abab-abab-abababababab");
    assert_eq!(binary(StringArray::from(vec!["{}"]), oid::JSONB, -1), b"\x01{}");
}

fn list(values: ArrayRef) -> ListArray {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None)
}

#[test]
fn arrays() {
    let words = StringArray::from(vec![
        Some("a"),
        None,
        Some(""),
        Some("null"),
        Some("a,b"),
        Some("say \"x\\y\""),
    ]);
    assert_eq!(text(list(Arc::new(words)), 1009, -1), r#"{a,NULL,"","null","a,b","say \"x\\y\""}"#);
    assert_eq!(text(list(Arc::new(Int16Array::from(vec![1, 2]))), oid::INT2VECTOR, -1), "1 2");
    let numbers = Int32Array::from(vec![Some(7), None]);
    let expected = [
        &1_i32.to_be_bytes()[..],
        &1_i32.to_be_bytes(),
        &23_i32.to_be_bytes(),
        &2_i32.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &4_i32.to_be_bytes(),
        &7_i32.to_be_bytes(),
        &(-1_i32).to_be_bytes(),
    ];
    assert_eq!(binary(list(Arc::new(numbers)), 1007, -1), expected.concat());
    assert_eq!(binary(list(Arc::new(Int32Array::from(Vec::<i32>::new()))), 1007, -1).len(), 12);
}

#[test]
fn a_row_that_fails_leaves_nothing_in_the_buffer() {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["pg_class"]));
    let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
    let shape = Shape { type_oid: oid::REGCLASS, typmod: -1, format: Format::Binary };
    let rows = Rows::new(&batch, &[shape]).unwrap();
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(rows.data_row(0, Zone::UTC, &mut out).unwrap_err().sqlstate, "0A000");
    assert_eq!(&out[..], b"before");
}

#[test]
fn a_row_on_the_wire() {
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(Int32Array::from(vec![Some(42)])) as ArrayRef),
        ("b", Arc::new(StringArray::from(vec![None::<&str>]))),
    ])
    .unwrap();
    let shape = |type_oid| Shape { type_oid, typmod: -1, format: Format::Text };
    let rows = Rows::new(&batch, &[shape(oid::INT4), shape(oid::TEXT)]).unwrap();
    let mut out = BytesMut::new();
    rows.data_row(0, Zone::UTC, &mut out).unwrap();
    assert_eq!(&out[..], b"D\0\0\0\x10\0\x02\0\0\0\x0242\xff\xff\xff\xff");
}
