//! Types by number and name, and the digits that numerics show.

use super::{DIGITS_KEY, Digits, Numeric, PgType, display_scale};

#[test]
fn numbers_and_types_name_each_other() {
    for oid in [16, 20, 21, 23, 25, 700, 701, 1007, 1009, 1043, 1082, 1114, 1184, 1700, 2950, 3802]
    {
        assert_eq!(PgType::of_oid(oid).map(|kind| kind.oid()), Some(oid));
    }
    assert_eq!(PgType::of_oid(0), Some(PgType::Unknown));
    assert_eq!(PgType::of_oid(999_999), None);
    let declared = Numeric { precision: 10, scale: 2, digits: Digits::Declared };
    assert_eq!(PgType::Numeric(declared).typmod(), 655_366);
    assert_eq!(PgType::Numeric(declared).to_string(), "numeric(10,2)");
    assert_eq!(PgType::of_name("_int4"), PgType::of_name("integer[]"));
}

#[test]
fn quotients_show_sixteen_significant_digits() {
    let metadata = [(DIGITS_KEY.to_owned(), "quotient".to_owned())].into();
    let unit = 10_i128.pow(20);
    // 2.5, 1/3, 12345.5, 1
    assert_eq!(display_scale(&metadata, 25 * unit / 10, 20), 16);
    assert_eq!(display_scale(&metadata, unit / 3, 20), 20);
    assert_eq!(display_scale(&metadata, 123_455 * unit / 10, 20), 12);
    assert_eq!(display_scale(&metadata, unit, 20), 20);
}
