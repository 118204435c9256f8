//! What a simulated node runs on: openraft's deterministic tasks, our simulated disk whose writer takes turns, and a
//! clock that can jump.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use openraft_rt_sim::{SimInstant, SimRuntime};
use raft::Runtime;
use storage::{BlockFile, Clock, Disk, Fault, block_file};
use tokio::sync::Notify;

use crate::chance;

/// The runtime of a simulated node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Simulated;

impl Runtime for Simulated {
    type Tasks = SimRuntime;

    async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(work())
    }

    fn open_blocks(disk: Arc<dyn Disk>, options: block_file::Options) -> Result<BlockFile, Fault> {
        let asked = Arc::new(Notify::new());
        let wake = Arc::clone(&asked);
        let wake = Box::new(move || wake.notify_one());
        let (blocks, mut turns) = BlockFile::open_by_turns(disk, options, wake)?;
        spawn(async move {
            loop {
                asked.notified().await;
                // Mostly quick; now and then the disk is busy.
                let most = if chance::percent(2) { 200_000 } else { 2_000 };
                sleep(chance::micros(50, most)).await;
                if !turns.take() {
                    break;
                }
            }
        });
        Ok(blocks)
    }
}

/// Begins a task that nobody waits for.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(<SimRuntime as openraft::AsyncRuntime>::spawn(task));
}

/// Lets simulated time pass.
pub(crate) async fn sleep(time: Duration) {
    <SimRuntime as openraft::AsyncRuntime>::sleep(time).await;
}

/// Simulated time since the run began.
pub(crate) fn now() -> Duration {
    SimInstant::try_now().map(SimInstant::elapsed_since_start).unwrap_or_default()
}

/// A node's time of day. It moves with simulated time, and jumps when it is told to.
pub(crate) struct NodeClock(AtomicI64);

impl NodeClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(1_700_000_000_000_000))
    }

    /// Moves it by so many µs.
    pub(crate) fn jump(&self, us: i64) {
        self.0.fetch_add(us, Ordering::Relaxed);
    }
}

impl fmt::Debug for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeClock")
    }
}

impl Clock for NodeClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed) + i64::try_from(now().as_micros()).unwrap()
    }
}
