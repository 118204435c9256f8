//! Chance, from the run's seed alone. One run has one thread.

use std::{cell::Cell, time::Duration};

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Begins anew.
pub(crate) fn seed(seed: u64) {
    STATE.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5745_4c45);
}

/// The next 64 bits (`SplitMix64`).
pub(crate) fn bits() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `end`, which is not 0.
pub(crate) fn below(end: u64) -> u64 {
    bits() % end
}

/// An index of a list that is not empty.
pub(crate) fn index(length: usize) -> usize {
    usize::try_from(below(length as u64)).unwrap()
}

/// Whether something of this likelihood, in hundredths, happens.
pub(crate) fn percent(likely: u64) -> bool {
    below(100) < likely
}

/// A time between two, in µs.
pub(crate) fn micros(from: u64, to: u64) -> Duration {
    Duration::from_micros(from + below(to - from))
}
