//! Keep: blocks in files, row versions and indexes in memory, snapshots at any height, locks.
//!
//! This crate alone opens data files. It knows the ledger's types, and neither SQL nor consensus.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod again;
mod apply;
pub mod arrow_types;
pub mod block_file;
pub mod certificates;
pub mod chain;
mod checkpoint;
mod chunk;
pub mod clock;
pub mod condition;
mod derived;
pub mod disk;
mod ends;
pub mod fault;
mod fjall_index;
pub mod free_numeric;
mod hints;
mod history;
mod holders;
pub mod index;
mod index_writer;
pub mod locks;
mod lookup;
mod marks;
mod memory;
mod memory_index;
pub mod nodes;
pub mod order;
pub mod parallel;
mod recent;
mod recovery;
pub mod scan;
mod sealer;
mod segment;
pub mod simulated;
pub mod snapshot;
pub mod solo;
pub mod state;
pub mod system_columns;
#[cfg(test)]
mod testing;
mod unsaved;
pub mod verify;
mod versions;
mod vote;

pub use block_file::BlockFile;
pub use certificates::Certificates;
pub use chain::{BlockRecord, TransactionRecord};
pub use clock::{Clock, RealClock};
pub use condition::{Comparison, Condition};
pub use disk::{Disk, File, RealDisk};
pub use fault::{Damage, Fault};
pub use fjall_index::{FjallIndex, INDEX_CACHE_BYTES};
pub use index::{Change, Checkpoint, Index};
pub use locks::{Deadline, LockError, LockMode, LockOwner, LockTarget, Locks, Mark, Wait};
pub use memory_index::MemoryIndex;
pub use nodes::{NodeChange, NodeInfo, Refused, Role};
pub use order::{BoxFuture, Order, Reading, Reign, Shortage, SubmitError, Unready};
pub use scan::{Scan, ScanCounts, Versions};
pub use snapshot::Snapshot;
pub use solo::Solo;
pub use state::{BlockSource, Head, OutOfRange, State, StateConfig};
pub use system_columns::ScanColumn;
