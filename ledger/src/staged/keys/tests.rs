//! Keys are found whichever way they came in, and not once they are out.

use proptest::prelude::*;

use super::*;
use crate::Height;

/// What is done: a key goes in (or out, if it is there), or all so far is put in order.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u32),
    PutMany(u32),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u8, 0..8_u32).prop_map(|(key, version)| Step::Put(key, version)),
        1 => (0..3_u32).prop_map(Step::PutMany),
        2 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 0..30)
}

fn version(number: u32) -> VersionId {
    VersionId { height: Height(7), transaction: 0, operation: number }
}

/// Keys of two lengths, none the beginning of another.
fn key(number: u8) -> Vec<u8> {
    if number.is_multiple_of(2) { vec![number; 4] } else { vec![number; 60] }
}

proptest! {
    #[test]
    fn what_went_in_is_found(steps in steps()) {
        let mut keys = Keys::default();
        let mut model = BTreeSet::new();
        let mut toggle = |keys: &mut Keys, number: u8, of: u32| {
            if model.remove(&(number, of)) {
                keys.remove(&key(number), version(of));
            } else {
                model.insert((number, of));
                keys.insert(&key(number), version(of));
            }
        };
        for step in steps {
            match step {
                Step::Put(number, of) => toggle(&mut keys, number, of),
                Step::PutMany(many) => {
                    let first = 100 + many * 200;
                    (first..first + 300).for_each(|of| toggle(&mut keys, 9, of));
                }
                Step::Settle => keys.settle(),
            }
        }
        for number in 0..10 {
            let expected: Vec<VersionId> =
                model.iter().filter(|own| own.0 == number).map(|own| version(own.1)).collect();
            prop_assert_eq!(keys.find(&key(number)).collect::<Vec<_>>(), expected);
        }
        let distinct = model.iter().map(|own| own.0).collect::<BTreeSet<_>>().len() == model.len();
        prop_assert!(distinct || !keys.are_distinct());
    }
}

#[test]
fn many_keys_are_known_to_be_distinct() {
    let mut keys = Keys::default();
    (0..1000_u32).rev().for_each(|number| keys.insert(&number.to_be_bytes(), version(number)));
    assert!(!keys.are_distinct(), "in no order yet");
    keys.settle();
    assert!(keys.are_distinct());
    keys.insert(&7_u32.to_be_bytes(), version(1000));
    keys.settle();
    assert!(!keys.are_distinct());
    assert_eq!(keys.find(&7_u32.to_be_bytes()).count(), 2);
}
