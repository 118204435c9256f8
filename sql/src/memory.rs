//! Memory and disk that all queries of a node share. It knows no query: DataFusion's operators ask for
//! what they take.

use std::fmt::{Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::resources_err;
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use crate::Error;

/// Where sorts and aggregates put aside what doesn't fit into memory.
#[derive(Clone, Debug)]
pub struct Spill {
    /// A directory that nothing else uses.
    pub directory: PathBuf,
    /// What all queries may have there, in bytes.
    pub bytes: u64,
}

/// The memory that all queries of a node share, in bytes, and the disk beside it; past both a query gets 53200.
///
/// # Errors
/// When DataFusion refuses the bound or the directory.
pub(crate) fn query_memory(bytes: usize, spill: Option<&Spill>) -> Result<Arc<RuntimeEnv>, Error> {
    let disk = match spill {
        Some(spill) => DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill.directory.clone()]))
            .with_max_temp_directory_size(spill.bytes),
        None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
    };
    Ok(RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(Pool::new(bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()?)
}

/// What a sort keeps free for merging what it put aside: DataFusion's 10 MiB, less where that would be much of all
/// queries' memory.
pub(crate) fn sort_reserve(memory: &RuntimeEnv, partitions: usize) -> usize {
    const USUAL_BYTES: usize = 10 << 20;
    match memory.memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => USUAL_BYTES.min(bytes / (8 * partitions.max(1))),
        MemoryLimit::Infinite | MemoryLimit::Unknown => USUAL_BYTES,
    }
}

/// Operators that can put rows aside share three quarters of the memory evenly: those that can't would find nothing
/// left. A sort that merges what it put aside takes all that it gets, and leaves an eighth to what reads from it.
#[derive(Debug)]
struct Pool {
    all: GreedyMemoryPool,
    spilling: FairSpillPool,
    bytes: usize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let spilling = FairSpillPool::new(bytes - bytes / 4);
        Self { all: GreedyMemoryPool::new(bytes), spilling, bytes }
    }
}

/// What DataFusion's sort names the consumer of its merges, before the number of its partition.
const MERGE: &str = "ExternalSorterMerge";

fn can_spill(reservation: &MemoryReservation) -> bool {
    reservation.consumer().can_spill()
}

impl MemoryPool for Pool {
    fn name(&self) -> &'static str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.spilling.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.spilling.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.grow(reservation, additional);
        if can_spill(reservation) {
            self.spilling.grow(reservation, additional);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.shrink(reservation, shrink);
        if can_spill(reservation) {
            self.spilling.shrink(reservation, shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !can_spill(reservation) {
            let merges = reservation.consumer().name().starts_with(MERGE);
            if merges && self.reserved() + additional > self.bytes - self.bytes / 8 {
                let consumer = reservation.consumer().name();
                return resources_err!(
                    "{consumer} leaves the last {} bytes to others",
                    self.bytes / 8
                );
            }
            return self.all.try_grow(reservation, additional);
        }
        self.spilling.try_grow(reservation, additional)?;
        self.all
            .try_grow(reservation, additional)
            .inspect_err(|_| self.spilling.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl Display for Pool {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "queries(pool_size: {})", self.bytes)
    }
}

#[cfg(test)]
mod tests;
