//! The time of day, as a seam: a simulation decides it. Knows nothing of blocks or sessions.

use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where time comes from.
pub trait Clock: Send + Sync + Debug + 'static {
    /// Now, in µs since 1970 UTC. It may stand still or step back: who needs order adds it.
    fn now_us(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now_us(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }
}
