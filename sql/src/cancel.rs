//! Giving up a statement: a client's cancel and the statement's deadline, for work that waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::Error;
use crate::error::CancelReason;

/// Cancels what a session is executing. Harmless when it executes nothing.
#[derive(Clone, Debug)]
pub struct CancelToken(Arc<watch::Sender<bool>>);

impl CancelToken {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    /// Waits until it is asked for.
    pub async fn asked(&self) {
        self.cancelled().await;
    }

    /// Asks the running statement to stop (57014). A commit that was handed in is not stopped.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// A statement begins: what was asked before it is void.
    pub(crate) fn clear(&self) {
        if self.is_cancelled() {
            self.0.send_replace(false);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    async fn cancelled(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as this token, so that waiting can't fail.
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// How long a statement may run.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) token: CancelToken,
    pub(crate) deadline: Option<Instant>,
}

impl Bounds {
    pub(crate) fn new(token: CancelToken, limit: Option<Duration>) -> Self {
        Self { token, deadline: limit.map(|limit| Instant::now() + limit) }
    }

    /// Whether the statement must stop now; for loops that never wait.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.token.is_cancelled() {
            return Err(Error::Cancelled { reason: CancelReason::User });
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Cancelled { reason: CancelReason::StatementTimeout });
        }
        Ok(())
    }

    /// Does the work, unless the statement must stop first: then the work is dropped.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            () = self.token.cancelled() => Err(Error::Cancelled { reason: CancelReason::User }),
            () = deadline => Err(Error::Cancelled { reason: CancelReason::StatementTimeout }),
        }
    }
}
