//! openraft's own conformance suite, on a real and on a simulated disk.

use std::sync::atomic::{AtomicI64, Ordering};

use ledger::Receipt;
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use storage::{Disk, RealDisk, block_file::Options, simulated::SimulatedDisk};

use super::*;
use crate::{
    state_machine::{StateMachine, Target},
    types::StoredMembers,
};

/// Takes anything: the suite applies entries that no log holds.
struct Anything;

impl Target for Anything {
    fn apply(&self, _block: &Block) -> Result<Vec<Receipt>, Fault> {
        Ok(Vec::new())
    }

    fn holds(&self, _height: Height) -> bool {
        true
    }
}

/// Time that passes whenever it is asked for.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now_us(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

struct Simulated;
struct Real;

fn store(disk: Arc<dyn Disk>) -> Result<(LogStore, StateMachine), Fault> {
    let options = Options { segment: 8192, preallocate: 4096, recent: 3, ..Options::default() };
    let blocks = Arc::new(BlockFile::open(disk, options)?);
    let governance: Governance = Arc::new(|| (Height(u64::MAX - 1), Hash::default()));
    let log = LogStore::new(blocks, Arc::new(Ticks::default()), Hash::default(), governance);
    let machine = StateMachine::new(Arc::new(Anything), None, StoredMembers::default());
    Ok((log, machine))
}

impl StoreBuilder<Types, LogStore, StateMachine, ()> for Simulated {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<Types>> {
        let (log, machine) = store(Arc::new(SimulatedDisk::new())).unwrap();
        Ok(((), log, machine))
    }
}

impl StoreBuilder<Types, LogStore, StateMachine, tempfile::TempDir> for Real {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let (log, machine) = store(Arc::new(RealDisk::new(directory.path()).unwrap())).unwrap();
        Ok((directory, log, machine))
    }
}

#[tokio::test]
async fn the_log_conforms_on_a_simulated_disk() {
    Suite::test_all(Simulated).await.unwrap();
}

#[tokio::test]
async fn the_log_conforms_on_a_real_disk() {
    Suite::test_all(Real).await.unwrap();
}
