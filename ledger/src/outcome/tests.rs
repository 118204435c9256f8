//! A digest tells everything apart that was done, and never changes its bytes.

use super::*;
use crate::samples::objects;

fn digest(done: impl FnOnce(&mut Outcome)) -> Hash {
    let mut outcome = Outcome::of(Hash([1; 32]), Hash([2; 32]));
    done(&mut outcome);
    outcome.digest()
}

#[test]
fn each_difference_is_another_digest() {
    let objects = objects();
    let all = [
        digest(|_| ()),
        digest(|it| it.began(1)),
        digest(|it| it.ended(1)),
        digest(|it| it.began(2)),
        digest(|it| it.table(Oid(1), 2, 1)),
        digest(|it| it.table(Oid(1), 1, 2)),
        digest(|it| it.defined(Oid(1), None)),
        digest(|it| it.defined(Oid(1), objects.first())),
        digest(|it| it.defined(Oid(1), objects.get(1))),
        Outcome::of(Hash([2; 32]), Hash([2; 32])).digest(),
        Outcome::of(Hash([1; 32]), Hash([1; 32])).digest(),
    ];
    let different: std::collections::BTreeSet<Hash> = all.iter().copied().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn its_bytes_are_those_of_the_format() {
    // More than is hashed at once.
    let many = digest(|it| (0..100_000).for_each(|row| it.began(row)));
    let few = digest(|it| {
        it.began(7);
        it.ended(3);
        it.defined(Oid(16_384), None);
        it.table(Oid(16_385), 8, 7);
    });
    let mut bytes = vec![1];
    bytes.extend([2; 32]);
    bytes.extend([1; 32]);
    let head = bytes.clone();
    for (tag, numbers) in [(0, vec![7_u64]), (1, vec![3]), (2, vec![16_384])] {
        bytes.push(tag);
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    }
    bytes.push(0);
    bytes.push(3);
    [16_385_u64, 8, 7].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    assert_eq!(few, crate::hash::hash(Domain::State, &[&bytes]));
    let mut bytes = head;
    for row in 0..100_000_u64 {
        bytes.push(0);
        bytes.extend(row.to_le_bytes());
    }
    assert_eq!(many, crate::hash::hash(Domain::State, &[&bytes]));
}
