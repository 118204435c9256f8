//! The sessions that are open: their numbers, their cancel keys, and how many there may be. It knows no wire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sql::CancelToken;
use tokio::sync::Notify;

/// All sessions of the listener.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<i32, Entry>>,
}

struct Entry {
    secret: Vec<u8>,
    cancel: Arc<Cancel>,
}

/// How a session's running statement is asked to stop. A commit that was handed in is not stopped by it:
/// the statement alone decides where it can end.
pub(crate) struct Cancel {
    /// The engine's side.
    token: CancelToken,
    /// For rows that are on their way already.
    rows: Notify,
    asked: AtomicBool,
}

/// A session's place among the others; it is free again when this is dropped.
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    /// The number that BackendKeyData shows.
    pub(crate) process: i32,
    /// The key that a cancel request must have.
    pub(crate) secret: Vec<u8>,
    /// The session's own handle.
    pub(crate) cancel: Arc<Cancel>,
}

impl Sessions {
    /// Adds the session of this number, with a key of so many bytes; `None` when there are `limit` already.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn enter(
        self: &Arc<Self>,
        number: u32,
        token: CancelToken,
        key_bytes: usize,
        limit: usize,
    ) -> Result<Option<Place>, getrandom::Error> {
        let mut secret = vec![0; key_bytes];
        getrandom::fill(&mut secret)?;
        let cancel = Cancel { token, rows: Notify::new(), asked: AtomicBool::new(false) };
        let cancel = Arc::new(cancel);
        let mut open = self.open.lock();
        if open.len() >= limit {
            return Ok(None);
        }
        let process = number.cast_signed();
        open.insert(process, Entry { secret: secret.clone(), cancel: Arc::clone(&cancel) });
        drop(open);
        Ok(Some(Place { sessions: Arc::clone(self), process, secret, cancel }))
    }

    /// How many sessions are open.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Stops a session's statement, if the key is right. Nobody is told whether it was.
    pub(crate) fn cancel(&self, process: i32, secret: &[u8]) {
        let found = {
            let open = self.open.lock();
            open.get(&process)
                .filter(|entry| is_same(&entry.secret, secret))
                .map(|entry| Arc::clone(&entry.cancel))
        };
        if let Some(cancel) = found {
            cancel.stop();
        }
    }

    /// Stops every session's statement.
    pub(crate) fn cancel_all(&self) {
        let all: Vec<_> =
            self.open.lock().values().map(|entry| Arc::clone(&entry.cancel)).collect();
        all.iter().for_each(|cancel| cancel.stop());
    }
}

impl Cancel {
    /// A new statement begins: what was asked before is not about it.
    pub(crate) fn begin(&self) {
        self.asked.store(false, Ordering::Release);
    }

    /// Waits until the running statement is asked to stop.
    pub(crate) async fn asked(&self) {
        loop {
            let notified = self.rows.notified();
            if self.asked.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }

    /// Asks the running statement to stop.
    pub(crate) fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.token.cancel();
        self.rows.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.open.lock().remove(&self.process);
    }
}

/// Compares keys in a time that doesn't depend on where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
