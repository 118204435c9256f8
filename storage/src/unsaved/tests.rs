//! Layers show what was changed last, whatever of it is held or saved.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, RangeBounds},
};

use proptest::prelude::*;

use super::Unsaved;

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<(Vec<u8>, bool)>),
    Hold,
    Save,
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..4_u8, 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => proptest::collection::vec((entry(), any::<bool>()), 0..12).prop_map(Step::Add),
        1 => Just(Step::Hold),
        1 => Just(Step::Save),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        entry().prop_map(Bound::Included),
        entry().prop_map(Bound::Excluded),
    ]
}

proptest! {
    #[test]
    fn the_newest_change_of_each_entry_is_found(
        steps in proptest::collection::vec(step(), 1..20),
        from in bound(),
        to in bound(),
        reverse in any::<bool>(),
        limit in 1..6_usize,
    ) {
        let unsaved = Unsaved::default();
        let (mut model, mut saved) = (BTreeMap::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Add(changes) => {
                    model.extend(changes.iter().cloned());
                    unsaved.add(changes, None);
                }
                Step::Hold => unsaved.hold(),
                Step::Save => {
                    if let Some(layer) = unsaved.oldest_held() {
                        for (entry, is_there) in layer.changes().iter() {
                            if *is_there { saved.insert(entry.clone()); } else { saved.remove(entry); }
                        }
                        unsaved.saved(&layer);
                    }
                }
            }
        }
        let all = unsaved.between((Bound::Unbounded, Bound::Unbounded), false, usize::MAX);
        let mut merged = saved;
        for (entry, is_there) in &all {
            if *is_there { merged.insert(entry.clone()); } else { merged.remove(entry); }
        }
        let expected = model.iter().filter(|(_, is_there)| **is_there).map(|(entry, _)| entry.clone());
        prop_assert_eq!(merged, expected.collect::<BTreeSet<_>>());

        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let inside = |entry: &Vec<u8>| RangeBounds::<[u8]>::contains(&bounds, entry.as_slice());
        let mut expected: Vec<_> = all.into_iter().filter(|(entry, _)| inside(entry)).collect();
        if reverse {
            expected.reverse();
        }
        let mut there = 0;
        let upto = expected.iter().position(|(_, is_there)| {
            there += usize::from(*is_there);
            there == limit
        });
        expected.truncate(upto.map_or(usize::MAX, |last| last + 1));
        prop_assert_eq!(unsaved.between(bounds, reverse, limit), expected);
        if unsaved.oldest_held().is_none() && unsaved.layers.read().iter().all(|it| it.changes().is_empty()) {
            prop_assert_eq!(unsaved.bytes(), 0);
        }
    }
}
