//! What clients did and saw, and what must be true of it. It knows no SQL and no consensus: a key has a sequence of
//! values, each written once; clients wrote some of them and saw some, from one moment to another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was told that nothing of it is there.
    Not,
    /// Nobody knows.
    Unknown,
}

/// One operation of a client on a key.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) key: usize,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A value was put behind all others; if given, only behind that one.
    Wrote { value: u64, behind: Option<u64>, outcome: Outcome },
    /// This value was the newest; none if there was nothing.
    Saw(Option<u64>),
}

/// Says what is wrong: `truth` is each key's sequence at the end.
pub(super) fn check(truth: &BTreeMap<usize, Vec<u64>>, history: &[Operation]) -> Vec<String> {
    let mut complaints = Vec::new();
    let keys: BTreeSet<usize> = history.iter().map(|operation| operation.key).collect();
    for key in keys {
        let sequence = truth.get(&key).map_or(&[][..], Vec::as_slice);
        let own = history.iter().filter(|operation| operation.key == key);
        for complaint in check_key(sequence, &own.collect::<Vec<_>>()) {
            complaints.push(format!("key {key}: {complaint}"));
        }
    }
    complaints
}

/// A place in a sequence, and when it was touched: 0 is before the first value.
struct Touched {
    place: usize,
    began: Instant,
    /// None where it may have happened at any later time.
    ended: Option<Instant>,
    wrote: bool,
}

fn check_key(sequence: &[u64], own: &[&Operation]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut places = BTreeMap::new();
    for (place, value) in (1..).zip(sequence) {
        if places.insert(*value, place).is_some() {
            complaints.push(format!("{value} is there twice"));
        }
    }
    let mut touched = Vec::new();
    for operation in own {
        let (began, ended) = (operation.began, Some(operation.ended));
        match operation.what {
            What::Saw(None) => touched.push(Touched { place: 0, began, ended, wrote: false }),
            What::Saw(Some(value)) => match places.get(&value) {
                Some(place) => touched.push(Touched { place: *place, began, ended, wrote: false }),
                None => complaints.push(format!("{value} was seen and is not there")),
            },
            What::Wrote { value, behind, outcome } => match (places.get(&value), outcome) {
                (None, Outcome::Done) => {
                    complaints.push(format!("{value} was acknowledged and is not there"));
                }
                (Some(_), Outcome::Not) => {
                    complaints.push(format!("{value} was refused and is there"));
                }
                (None, _) => {}
                (Some(place), _) => {
                    let before = place.checked_sub(2).and_then(|at| sequence.get(at));
                    if behind.is_some_and(|behind| Some(&behind) != before) {
                        complaints
                            .push(format!("{value} is not behind {behind:?}, but {before:?}"));
                    }
                    let ended = ended.filter(|_| outcome == Outcome::Done);
                    touched.push(Touched { place: *place, began, ended, wrote: true });
                }
            },
        }
    }
    complaints.extend(out_of_order(touched));
    complaints
}

/// Whoever began after another had ended must not be before it; and a value is not seen before it was written.
fn out_of_order(mut touched: Vec<Touched>) -> Vec<String> {
    let mut complaints = Vec::new();
    touched.sort_by_key(|it| it.place);
    let mut latest: Option<(Instant, usize)> = None;
    for same in touched.chunk_by(|one, other| one.place == other.place) {
        for it in same {
            if let (Some(ended), Some((began, place))) = (it.ended, latest)
                && ended < began
            {
                let what = format!("place {} was over before place {place} was begun", it.place);
                complaints.push(what);
            }
        }
        let newest = same.iter().map(|it| (it.began, it.place)).max();
        latest = latest.max(newest);
    }
    let mut written = BTreeMap::new();
    for it in touched.iter().filter(|it| it.wrote) {
        written.insert(it.place, it.began);
    }
    for it in touched.iter().filter(|it| !it.wrote) {
        let began = written.get(&it.place);
        if began.zip(it.ended).is_some_and(|(began, ended)| ended < *began) {
            complaints.push(format!("place {} was seen before it was written", it.place));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn operation(begin: u64, end: u64, what: What) -> Operation {
        let zero = Instant::now();
        Operation {
            key: 0,
            began: zero + Duration::from_secs(begin),
            ended: zero + Duration::from_secs(end),
            what,
        }
    }

    fn wrote(value: u64, outcome: Outcome) -> What {
        What::Wrote { value, behind: None, outcome }
    }

    fn complaints(sequence: &[u64], history: &[Operation]) -> usize {
        check(&BTreeMap::from([(0, sequence.to_vec())]), history).len()
    }

    #[test]
    fn what_must_not_be_is_told() {
        use Outcome::{Done, Not, Unknown};
        use What::Saw;
        // One after the other, and at the same time in any order.
        let one = operation(1, 2, wrote(1, Done));
        let two = operation(3, 4, wrote(2, Done));
        assert_eq!(complaints(&[1, 2], &[one.clone(), two.clone()]), 0);
        assert_eq!(complaints(&[2, 1], &[one.clone(), two.clone()]), 1);
        assert_eq!(complaints(&[2, 1], &[operation(1, 4, wrote(1, Done)), two.clone()]), 0);
        assert_eq!(complaints(&[2, 1], &[operation(1, 2, wrote(1, Unknown)), two.clone()]), 0);
        // Lost, doubled, refused and there.
        assert_eq!(complaints(&[1], &[one.clone(), two.clone()]), 1);
        assert_eq!(complaints(&[1, 2, 1], &[one.clone(), two.clone()]), 2);
        assert_eq!(complaints(&[1, 2], &[one.clone(), operation(3, 4, wrote(2, Not))]), 1);
        assert_eq!(complaints(&[1], &[one.clone(), operation(3, 4, wrote(2, Unknown))]), 0);
        // Seen too late, too early, not at all, and going back.
        assert_eq!(
            complaints(&[1, 2], &[one.clone(), two.clone(), operation(5, 6, Saw(Some(1)))]),
            1
        );
        assert_eq!(complaints(&[1, 2], &[one.clone(), two.clone(), operation(5, 6, Saw(None))]), 2);
        assert_eq!(
            complaints(&[1, 2], &[one.clone(), two.clone(), operation(5, 6, Saw(Some(2)))]),
            0
        );
        assert_eq!(
            complaints(&[1, 2], &[one.clone(), two.clone(), operation(0, 0, Saw(Some(2)))]),
            2
        );
        assert_eq!(
            complaints(&[1, 2], &[one.clone(), two.clone(), operation(5, 6, Saw(Some(3)))]),
            1
        );
        let unknown = operation(3, 4, wrote(2, Unknown));
        let (new, old) = (operation(5, 6, Saw(Some(2))), operation(7, 8, Saw(Some(1))));
        assert_eq!(complaints(&[1, 2], &[one.clone(), unknown, new, old]), 1);
        // Compared and set, but something came between.
        let behind = What::Wrote { value: 3, behind: Some(1), outcome: Done };
        assert_eq!(complaints(&[1, 2, 3], &[one, two, operation(5, 6, behind)]), 1);
    }
}
