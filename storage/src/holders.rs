//! How many rows have each of many keys: one walk along the index in its order, on all cores, instead of a search for
//! each key. It doesn't know what the keys are looked for.

use std::{ops::Bound, sync::atomic::Ordering};

use ledger::{Height, Oid, View, up_to_two};

use crate::{
    Fault, Snapshot,
    index::{self, MAX_KEY, Space},
    lookup, parallel,
};

/// Fewest and most entries that are read at once: few where most of them are of other keys.
const PAGE: std::ops::Range<usize> = if cfg!(test) { 2..5 } else { 8..1024 };

/// As of [`View::holders`].
pub(crate) fn holders(snapshot: &Snapshot, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Fault> {
    let parts = parallel::in_parts(keys, |part| match along(snapshot, index, part)? {
        Some(counts) => Ok(counts),
        None => each(snapshot, index, part),
    });
    Ok(parts.into_iter().collect::<Result<Vec<_>, Fault>>()?.concat())
}

/// Searches for each key.
fn each(snapshot: &Snapshot, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Fault> {
    keys.iter().map(|key| Ok(up_to_two(snapshot.find(index, key, 2)?.len()))).collect()
}

/// Walks from the first key to the last. `None` if that doesn't show all: at a height whose entries may stand in the
/// past, and where keys are so long that only a part of one stands in its entry.
fn along(snapshot: &Snapshot, index: Oid, keys: &[&[u8]]) -> Result<Option<Vec<u8>>, Fault> {
    snapshot.check_cut()?;
    let definition = snapshot.index(index)?;
    let mut counts = vec![0; keys.len()];
    let store = snapshot.core().versions(definition.table).filter(|store| store.end() > 0);
    let (Some(store), Some(first), Some(last)) = (store, keys.first(), keys.last()) else {
        return Ok(Some(counts));
    };
    if keys.iter().any(|key| key.len() >= MAX_KEY) {
        return Ok(None);
    }
    let start = |key: &[u8]| index::start(Space::Present, index, key);
    let Some(end) = index::after(&start(last)) else { return Ok(None) };
    let mut from = Bound::Included(start(first));
    let mut wanted = keys.iter().zip(&mut counts).peekable();
    let mut limit = PAGE.start;
    loop {
        let bounds = (from.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        let page = snapshot.core().index().page(bounds, false, limit)?;
        // What was settled while the page was read has left it.
        if snapshot.height() < Height(snapshot.core().settled.load(Ordering::Acquire)) {
            return Ok(None);
        }
        let mut of_keys = 0;
        for entry in &page {
            let Some(key) = index::key_of(entry) else { return Ok(None) };
            while wanted.next_if(|(wanted, _)| **wanted < key).is_some() {}
            let Some((_, count)) = wanted.peek_mut().filter(|(wanted, _)| **wanted == key) else {
                continue;
            };
            of_keys += 1;
            if **count < 2 && lookup::alive(snapshot, &store, entry)?.is_some() {
                **count += 1;
            }
        }
        let Some(entry) = page.last().filter(|_| page.len() >= limit) else { break };
        let Some((next, _)) = wanted.peek() else { break };
        from = if index::key_of(entry) == Some(**next) {
            Bound::Excluded(entry.clone())
        } else {
            Bound::Included(start(next))
        };
        let is_dense = of_keys * 4 >= page.len();
        limit = if is_dense { limit * 2 } else { limit / 2 }.clamp(PAGE.start, PAGE.end);
    }
    Ok(Some(counts))
}
