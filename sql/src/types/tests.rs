//! Types by number and name, and the shapes of numerics.

use super::{Digits, Numeric, PgType};

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
fn numerics_of_one_scale_stay_decimals() {
    let (a, b) = (Numeric::fixed(13, 2), Numeric::fixed(8, 2));
    assert_eq!(a.common(&b), a);
    assert!(a.common(&Numeric::fixed(13, 3)).is_free());
    assert!(Numeric::fixed(30, 9).is_free());
    assert_eq!(Numeric::computed(40, 6, [&a, &b]), Numeric::fixed(32, 6));
    assert!(Numeric::computed(40, 6, [&a, &Numeric::fixed(36, 2)]).is_free());
}
