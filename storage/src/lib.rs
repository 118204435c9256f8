//! Keep: blocks in files, row versions and indexes in memory, snapshots at any height, locks.
//!
//! This crate alone opens data files. It knows the ledger's types, and neither SQL nor consensus.

pub mod clock;
pub mod disk;
pub mod fault;

pub use clock::{Clock, RealClock};
pub use disk::{Disk, File, RealDisk};
pub use fault::{Damage, Fault};
