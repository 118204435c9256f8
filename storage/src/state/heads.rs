//! Which block was applied last, for those who wait for one. Whoever waited first is woken first: a simulation runs the
//! same way each time (tokio's `watch` wakes in an order of chance).

use std::sync::Arc;

use ledger::Height;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Tells the newest height. Dropping it ends all waiting.
#[derive(Debug, Default)]
pub(super) struct Heads(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The height after the newest; the greatest number once there comes no other.
    next: Mutex<u64>,
    changed: Notify,
}

impl Heads {
    /// Tells a height.
    pub(super) fn tell(&self, height: Height) {
        *self.0.next.lock() = height.0.saturating_add(1);
        self.0.changed.notify_waiters();
    }

    /// Waits until a height was told, or none will be any more.
    pub(super) fn wait(&self, height: Height) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.0);
        async move {
            loop {
                // Begun before it is looked at, so that nothing is told in between.
                let changed = shared.changed.notified();
                if *shared.next.lock() > height.0 {
                    break;
                }
                changed.await;
            }
        }
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        *self.0.next.lock() = u64::MAX;
        self.0.changed.notify_waiters();
    }
}
