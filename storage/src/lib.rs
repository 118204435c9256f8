//! Keep: blocks in files, row versions and indexes in memory, snapshots at any height, locks.
//!
//! This crate alone opens data files. It knows the ledger's types, and neither SQL nor consensus.

mod block_bytes;
pub mod block_file;
pub mod clock;
pub mod disk;
pub mod fault;
mod recovery;
pub mod simulated;
mod vote;

pub use block_file::BlockFile;
pub use clock::{Clock, RealClock};
pub use disk::{Disk, File, RealDisk};
pub use fault::{Damage, Fault};
