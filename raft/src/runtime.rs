//! What a node runs on: tasks and timers, work that takes its time, and the disk's writer. Knows nothing of what
//! runs on it. Servers run on [`Tokio`]; a simulation brings its own, on which one seed decides everything.

use std::{fmt::Debug, hash::Hash, io, sync::Arc};

use openraft::AsyncRuntime;
use storage::{BlockFile, Disk, Fault, block_file};

/// What a node runs on.
pub trait Runtime: Copy + Debug + Default + Ord + Hash + Send + Sync + 'static {
    /// Tasks, timers and channels.
    type Tasks: AsyncRuntime;

    /// Runs work that takes its time, or waits for the disk, beside all else.
    fn aside<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;

    /// Opens a block file, and sees to it that it is written.
    ///
    /// # Errors
    /// As of [`BlockFile::open`].
    fn open_blocks(disk: Arc<dyn Disk>, options: block_file::Options) -> Result<BlockFile, Fault>;
}

/// The runtime of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokio;

impl Runtime for Tokio {
    type Tasks = openraft::TokioRuntime;

    async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
    }

    fn open_blocks(disk: Arc<dyn Disk>, options: block_file::Options) -> Result<BlockFile, Fault> {
        BlockFile::open(disk, options)
    }
}
