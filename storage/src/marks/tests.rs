//! Runs against plain lists.

use ledger::{Height, VersionId};
use proptest::prelude::*;

use super::Marks;

/// Versions in order: each goes on in the one before's transaction, or in a later one.
fn versions() -> impl Strategy<Value = Vec<(VersionId, bool)>> {
    proptest::collection::vec((0_u8..6, any::<bool>()), 0..60).prop_map(|steps| {
        let mut last = VersionId { height: Height(5), transaction: 0, operation: 0 };
        let versions = steps.into_iter().map(|(step, update)| {
            last = match step {
                0 => VersionId { height: Height(last.height.0 + 2), transaction: 0, operation: 1 },
                1 => VersionId { transaction: last.transaction + 1, operation: 0, ..last },
                2 => VersionId { operation: last.operation + 2, ..last },
                _ => VersionId { operation: last.operation + 1, ..last },
            };
            (last, update && step < 4)
        });
        versions.collect()
    })
}

proptest! {
    #[test]
    fn runs_say_what_a_list_says(all in versions(), cut in 0_usize..60) {
        let cut = cut.min(all.len());
        let marks = |part: &[(VersionId, bool)]| {
            let mut marks = Marks::default();
            part.iter().for_each(|(version, update)| marks.push(*version, *update));
            marks
        };
        let mut joined = marks(&all[..cut]);
        joined.append(&marks(&all[cut..]));
        for marks in [marks(&all), joined] {
            prop_assert_eq!(marks.iter().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(marks.len(), all.len());
            prop_assert_eq!(marks.first(), all.first().map(|it| it.0));
            prop_assert_eq!(marks.last(), all.last().map(|it| it.0));
            prop_assert_eq!(marks.version(all.len()), None);
            for (place, (version, update)) in all.iter().enumerate() {
                prop_assert_eq!(marks.version(place), Some(*version));
                prop_assert_eq!(marks.is_update(place), *update);
            }
            for height in 0..130 {
                let written = all.iter().filter(|(version, _)| version.height.0 <= height).count();
                prop_assert_eq!(marks.written_at(Height(height)), written);
            }
            for (height, transaction) in all.iter().map(|(it, _)| (it.height, it.transaction)) {
                for operation in 0..130 {
                    let version = VersionId { height, transaction, operation };
                    let place = all.iter().position(|(own, _)| *own == version);
                    prop_assert_eq!(marks.find(version), place);
                }
            }
        }
    }
}

#[test]
fn a_load_is_one_run() {
    let mut marks = Marks::default();
    for operation in 0..8192 {
        marks.push(VersionId { height: Height(3), transaction: 1, operation }, false);
    }
    marks.shrink();
    assert!(marks.bytes() < 100, "{} bytes", marks.bytes());
}
