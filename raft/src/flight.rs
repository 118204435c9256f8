//! Blocks in flight: proposed, and not applied yet. Who waits for which transaction, and how a flight ends. It
//! neither makes blocks nor proposes them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use ledger::{Hash, Height, Receipt, Transaction};
use openraft::{
    OptionalSend,
    errors::ClientWriteError,
    raft::{ClientWriteResult, responder::Responder},
};
use parking_lot::Mutex;
use storage::{BlockFile, Fault, SubmitError};
use tokio::sync::{Notify, oneshot};

use crate::{runtime::Runtime, types::Types};

/// Answers one client.
pub(crate) type Reply = oneshot::Sender<Result<Receipt, SubmitError>>;

/// Tells one client; one that went away is no concern.
pub(crate) fn answer(reply: Reply, outcome: Result<Receipt, SubmitError>) {
    drop(reply.send(outcome));
}

/// What the sequencer and the ends of flights share.
#[derive(Default)]
pub(crate) struct Board {
    /// A flight ended otherwise than the ones behind it take for granted.
    astray: AtomicBool,
    /// Told at each end, and when as many wait as are wanted.
    changed: Notify,
    /// So many without an outcome are worth a wake.
    wanted: AtomicUsize,
    /// Why consensus ended, once it has: what comes later was never handed in.
    ended: Mutex<Option<Fault>>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicU64,
}

impl Board {
    pub(crate) fn is_astray(&self) -> bool {
        self.astray.load(Ordering::Acquire)
    }

    pub(crate) fn set_astray(&self, astray: bool) {
        self.astray.store(astray, Ordering::Release);
    }

    /// From now on [`Self::changed`] also tells when so many were handed in and have no outcome. Whoever waits for
    /// that looks at the queue afterwards: one that came before is not told.
    pub(crate) fn want(&self, wanted: usize) {
        self.wanted.store(wanted, Ordering::SeqCst);
    }

    /// Another one is in the queue.
    pub(crate) fn arrived(&self) {
        if self.waiting.load(Ordering::SeqCst) >= self.wanted.load(Ordering::SeqCst) {
            self.changed.notify_one();
        }
    }

    /// Waits until a flight ends, or one has since the last call; or until what was wanted is there.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn ended(&self) -> Option<Fault> {
        self.ended.lock().clone()
    }

    /// Transactions that were handed in and have no outcome, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, u64) {
        (self.waiting.load(Ordering::Relaxed), self.waiting_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, bytes: u64) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, count: usize, bytes: u64) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Who waits for the transactions of one block, by place; nothing once they were answered.
pub(crate) struct Waiters(Mutex<Option<Vec<Vec<Reply>>>>);

impl Default for Waiters {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl Waiters {
    /// Adds the first who waits for the next transaction.
    pub(crate) fn push(&self, reply: Reply) {
        if let Some(waiting) = self.0.lock().as_mut() {
            waiting.push(vec![reply]);
        }
    }

    /// Adds another who waits for a transaction; gives him back if it was answered.
    pub(crate) fn join(&self, place: usize, reply: Reply) -> Option<Reply> {
        match self.0.lock().as_mut().and_then(|waiting| waiting.get_mut(place)) {
            Some(waiting) => {
                waiting.push(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// There is nobody to wait.
    pub(crate) fn close(&self) {
        drop(self.0.lock().take());
    }

    fn is_answered(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Answers everyone, once.
    pub(crate) fn answer(&self, outcome: impl Fn(usize) -> Result<Receipt, SubmitError>) {
        let waiting = self.0.lock().take().unwrap_or_default();
        for (place, waiting) in waiting.into_iter().enumerate() {
            let outcome = outcome(place);
            for reply in waiting {
                answer(reply, outcome.clone());
            }
        }
    }
}

/// A block in flight, as the sequencer knows it.
pub(crate) struct Flight {
    pub(crate) height: Height,
    pub(crate) hash: Hash,
    /// None of a large block: nothing is staged on one.
    pub(crate) transactions: Vec<Arc<Transaction>>,
    pub(crate) bytes: u64,
    /// Transactions that were handed in for it.
    pub(crate) count: usize,
    pub(crate) waiters: Arc<Waiters>,
}

impl Flight {
    /// Whether its end is known.
    pub(crate) fn has_landed(&self) -> bool {
        self.waiters.is_answered()
    }
}

/// The end of one flight: it answers who waits, from wherever consensus tells it. One that is never told ends, too.
pub(crate) struct Landing {
    pub(crate) board: Arc<Board>,
    pub(crate) blocks: Arc<BlockFile>,
    pub(crate) waiters: Arc<Waiters>,
    /// The block's hash, if it gets the place that it was made for.
    pub(crate) hash: Hash,
    /// Transactions that were handed in for it, and their bytes.
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

impl Landing {
    /// The responder that consensus tells.
    pub(crate) fn responder<R: Runtime>(self) -> Told<ClientWriteResult<Types<R>>> {
        Told(Box::new(move |result| self.told(result)))
    }

    fn told<R: Runtime>(self, result: ClientWriteResult<Types<R>>) {
        match result {
            Ok(response) => {
                let receipts = response.data.0;
                if receipts.first().is_none_or(|receipt| receipt.block != self.hash) {
                    self.board.set_astray(true);
                }
                // A block that was left empty is in the chain without them, and comes no other way.
                let left_out = SubmitError::NotLeading { leader: None };
                self.waiters.answer(|at| receipts.get(at).cloned().ok_or_else(|| left_out.clone()));
            }
            // It never came into the log.
            Err(ClientWriteError::ForwardToLeader(forward)) => {
                self.board.set_astray(true);
                let leader = forward.leader_node.map(|peer| peer.address);
                let elsewhere = SubmitError::NotLeading { leader };
                self.waiters.answer(|_| Err(elsewhere.clone()));
            }
            // Another leader's blocks took its place here; a third one may still have it.
            Err(error) => {
                self.board.set_astray(true);
                tracing::warn!(%error, "a block was proposed and its outcome is not known");
                self.waiters.answer(|_| Err(SubmitError::Unknown));
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.waiters.is_answered() {
            // Consensus is gone, and told nobody.
            self.board.set_astray(true);
            let reason = "consensus ended".to_owned();
            let fault = self.blocks.stopped().unwrap_or(Fault::Stopped { reason });
            tracing::error!(%fault, "a block was proposed and its outcome is not known");
            self.board.ended.lock().get_or_insert(fault);
            self.waiters.answer(|_| Err(SubmitError::Unknown));
        }
        self.board.leave(self.count, self.bytes);
        self.board.changed.notify_one();
    }
}

/// Called once with the outcome of a proposal, or dropped.
pub(crate) struct Told<T>(Box<dyn FnOnce(T) + Send>);

impl<R: Runtime, T: OptionalSend + 'static> Responder<Types<R>, T> for Told<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
