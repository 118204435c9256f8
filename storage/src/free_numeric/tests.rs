//! The ledger's numbers come back from their bytes, and lie in the same order.

use ledger::Decimal;
use proptest::prelude::*;

use super::{Encoded, decode, encode};

fn any_decimal() -> impl Strategy<Value = Decimal> {
    let coefficient = prop_oneof![
        -100_i128..100,
        any::<i64>().prop_map(i128::from),
        -10_i128.pow(38) + 1..10_i128.pow(38),
    ];
    (coefficient, 0_u8..=38).prop_map(|(coefficient, scale)| Decimal { coefficient, scale })
}

proptest! {
    #[test]
    fn numbers_come_back(a in any_decimal()) {
        let back = decode(&encode(a)).unwrap();
        prop_assert_eq!((back.coefficient, back.scale), (a.coefficient, a.scale));
    }

    #[test]
    fn bytes_have_the_numbers_order(a in any_decimal(), b in any_decimal()) {
        let cut = |bytes: &[u8]| bytes.split_last_chunk::<2>().unwrap().0.to_vec();
        prop_assert_eq!(cut(&encode(a)).cmp(&cut(&encode(b))), a.cmp(&b));
        if a != b {
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(&b));
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Some(encoded) = Encoded::read(&bytes) {
            let _ = encoded.groups().count();
            let _ = encoded.short();
        }
        let _ = decode(&bytes);
    }
}
