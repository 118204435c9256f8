//! Keys in runs and in the tree are found alike.

use super::*;

const INDEX: Oid = Oid(20_003);
const OTHER: Oid = Oid(20_004);

fn key(text: &str) -> KeyBytes {
    KeyBytes::from(text.as_bytes())
}

fn run(keys: &[&str], first: u32) -> Vec<(KeyBytes, u32)> {
    keys.iter().map(|text| key(text)).zip(first..).collect()
}

fn found(keys: &Keys, text: &str) -> Vec<u32> {
    keys.numbers(INDEX, text.as_bytes()).collect()
}

#[test]
fn what_comes_in_order_is_known_to_be_distinct() {
    let mut keys = Keys::default();
    keys.extend(INDEX, run(&["a", "b", "c"], 0));
    let savepoint = keys.clone();
    keys.extend(INDEX, run(&["d", "f"], 3));
    assert!(keys.are_distinct(INDEX));
    for (text, number) in [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("f", 4)] {
        assert_eq!(found(&keys, text), [number]);
    }
    for text in ["", "aa", "e", "g"] {
        assert!(found(&keys, text).is_empty());
    }
    assert!(found(&savepoint, "d").is_empty());
    assert!(keys.numbers(OTHER, b"a").next().is_none());
}

#[test]
fn what_does_not_is_looked_for() {
    for second in [["c", "d"], ["b", "x"], ["e", "e"], ["f", "e"]] {
        let mut keys = Keys::default();
        keys.extend(INDEX, run(&["a", "c"], 0));
        keys.extend(INDEX, run(&second, 2));
        assert!(!keys.are_distinct(INDEX), "{second:?}");
        for (text, number) in second.into_iter().zip(2..) {
            assert!(found(&keys, text).contains(&number), "{second:?}");
        }
        assert_eq!(found(&keys, "a"), [0]);
    }
    let mut keys = Keys::default();
    keys.extend(INDEX, run(&["a", "c"], 0));
    keys.insert(INDEX, key("c"), 9);
    assert!(!keys.are_distinct(INDEX));
    assert_eq!(found(&keys, "c"), [1, 9]);
    assert!(keys.are_distinct(OTHER));
}

#[test]
fn what_comes_in_no_order_is_found_in_every_pile() {
    let mut keys = Keys::default();
    let texts: Vec<String> = (0..40).map(|n| format!("{:02}", n * 7 % 25)).collect();
    let mut copies = Vec::new();
    for (piece, first) in texts.chunks(3).zip((0..).step_by(3)) {
        copies.push((first, keys.clone()));
        let piece: Vec<&str> = piece.iter().map(String::as_str).collect();
        keys.extend(INDEX, run(&piece, first));
    }
    copies.push((40, keys));
    for (count, keys) in copies {
        for n in 0..26 {
            let text = format!("{n:02}");
            let mut numbers = found(&keys, &text);
            numbers.sort_unstable();
            let own = texts.iter().zip(0..count).filter(|(own, _)| **own == text);
            assert_eq!(numbers, own.map(|(_, number)| number).collect::<Vec<_>>(), "{text}");
        }
    }
}

#[test]
fn an_index_is_forgotten_with_its_runs() {
    let mut keys = Keys::default();
    keys.extend(INDEX, run(&["a", "c"], 0));
    keys.extend(INDEX, run(&["b", "a"], 5));
    keys.insert(INDEX, key("b"), 2);
    keys.insert(OTHER, key("b"), 2);
    keys.forget(INDEX);
    for text in ["a", "b", "c"] {
        assert!(found(&keys, text).is_empty());
    }
    assert_eq!(keys.numbers(OTHER, b"b").collect::<Vec<_>>(), [2]);
}
