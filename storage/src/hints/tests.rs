//! What is remembered, and what is forgotten.

use ledger::Oid;

use super::{Hints, ROW};

#[test]
fn a_key_gives_its_newest_row_in_its_index() {
    let hints = Hints::new(1 << 16);
    assert_eq!(hints.row(Oid(1), b"a"), None);
    hints.note(Oid(1), b"a", 0);
    hints.note(Oid(2), b"a", 7);
    assert_eq!(hints.row(Oid(1), b"a"), Some(0));
    hints.note(Oid(1), b"a", ROW - 1);
    assert_eq!(hints.row(Oid(1), b"a"), Some(ROW - 1));
    assert_eq!(hints.row(Oid(2), b"a"), Some(7));
    assert_eq!(hints.row(Oid(1), b"b"), None);
}

#[test]
fn a_row_number_that_does_not_fit_is_not_remembered() {
    let hints = Hints::new(0);
    hints.note(Oid(1), b"a", 5);
    hints.note(Oid(1), b"a", ROW);
    assert_eq!(hints.row(Oid(1), b"a"), Some(5));
}

#[test]
fn a_full_table_forgets_and_does_not_confuse() {
    let hints = Hints::new(0);
    let keys = || (0..20_000_u64).map(|number| (number.to_be_bytes(), number));
    for (key, row) in keys() {
        hints.note(Oid(1), &key, row);
    }
    let known = keys().filter(|(key, row)| hints.row(Oid(1), key) == Some(*row)).count();
    assert!((500..=1024).contains(&known), "{known}");
    // A hint of another key with the same slot and the same 24 bits of hash is one in 16 million.
    let wrong = keys().filter(|(key, row)| hints.row(Oid(1), key).is_some_and(|it| it != *row));
    assert!(wrong.count() < 10);
}
