//! Clusters in one thread, on a clock, disks and a network that a seed decides: nodes are killed, cut off, slowed and
//! confused while clients write and read, and a checker that knows nothing of consensus says whether anything was
//! lost, torn or told wrong. `STELE_TEST_SEEDS=n` runs more seeds, `STELE_TEST_SEED=n` one.

#![expect(clippy::unwrap_used, reason = "a test dies loudly")]

mod chance;
mod check;
mod clients;
mod cluster;
mod disks;
mod faults;
mod machine;
mod members;
mod net;
mod run;
#[path = "../../src/testing.rs"]
mod testing;
