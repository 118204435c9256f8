//! The one who decides what comes next: takes transactions, validates those that arrived while the last block
//! was being made durable, proposes them as one block, and hands out the receipts. One block is in flight.
//!
//! It has a thread of its own, because validating a large transaction takes its time. A client that goes away
//! takes nothing back: what is queued will be decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use ledger::{
    Hash, Height, Proposal, Receipt, Refusal, Transaction, TransactionId,
    staged::{Checked, Staged},
};
use openraft::{
    Raft,
    errors::{ClientWriteError, RaftError},
};
use parking_lot::Mutex;
use storage::{BlockFile, Clock, Fault, Shortage, Snapshot, State, SubmitError};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    state_machine::StateMachine,
    types::{Draft, Types},
};

/// Bounds of the queue and of a block.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Most transactions that wait; past it a client gets 53300.
    pub queue: usize,
    /// Most bytes of transactions that wait, unless there is only one; past it a client gets 53300.
    pub queue_bytes: u64,
    /// Most bytes of one transaction; past it a client gets 54000.
    pub transaction_bytes: u64,
    /// Most transactions in a block.
    pub block: usize,
    /// Bytes after which a block takes no further transaction.
    pub block_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue: 8192,
            queue_bytes: 512 << 20,
            transaction_bytes: 256 << 20,
            block: 4096,
            block_bytes: 8 << 20,
        }
    }
}

type Reply = oneshot::Sender<Result<Receipt, SubmitError>>;

struct Request {
    transaction: Transaction,
    bytes: u64,
    reply: Reply,
}

/// The way in.
pub(crate) struct Sequencer {
    queue: Mutex<Option<SyncSender<Request>>>,
    waiting: Arc<Waiting>,
    bounds: Bounds,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Ended,
}

/// Why consensus ended, once it has: what comes later was never handed in.
type Ended = Arc<Mutex<Option<Fault>>>;

#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    bytes: AtomicU64,
}

/// What the thread works on.
pub(crate) struct Parts {
    pub(crate) raft: Raft<Types, StateMachine>,
    pub(crate) state: Arc<State>,
    pub(crate) blocks: Arc<BlockFile>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The hash of this node's public key.
    pub(crate) proposer: Hash,
    pub(crate) bounds: Bounds,
}

impl Sequencer {
    /// Starts the thread; must be called within the runtime that consensus runs on.
    pub(crate) fn start(parts: Parts) -> Result<Self, Fault> {
        let bounds = parts.bounds.clone();
        let (sender, receiver) = sync_channel(bounds.queue);
        let waiting = Arc::new(Waiting::default());
        let ended = Ended::default();
        let worker = Worker {
            parts,
            runtime: Handle::current(),
            waiting: Arc::clone(&waiting),
            ended: Arc::clone(&ended),
            full: AtomicBool::new(false),
        };
        let thread = std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || worker.run(&receiver))
            .map_err(|error| Fault::io("start the sequencer", error))?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self { queue, waiting, bounds, thread, ended })
    }

    /// Queues a transaction.
    pub(crate) fn submit(
        &self,
        transaction: Transaction,
    ) -> Result<oneshot::Receiver<Result<Receipt, SubmitError>>, SubmitError> {
        let bytes = size_of(&transaction);
        if bytes > self.bounds.transaction_bytes {
            return Err(too_large(bytes, self.bounds.transaction_bytes).into());
        }
        let queue = self.queue.lock();
        let Some(sender) = queue.as_ref() else { return Err(SubmitError::ShuttingDown) };
        let waiting = self.waiting.count.load(Ordering::Relaxed);
        let busy = SubmitError::Busy(Shortage::Queue { waiting });
        if waiting > 0
            && self.waiting.bytes.load(Ordering::Relaxed) + bytes > self.bounds.queue_bytes
        {
            return Err(busy);
        }
        let (reply, receiver) = oneshot::channel();
        self.waiting.count.fetch_add(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        match sender.try_send(Request { transaction, bytes, reply }) {
            Ok(()) => Ok(receiver),
            Err(error) => {
                self.waiting.leave(bytes);
                Err(match error {
                    TrySendError::Full(_) => busy,
                    TrySendError::Disconnected(_) => SubmitError::ShuttingDown,
                })
            }
        }
    }

    /// Why consensus ended, if it has.
    pub(crate) fn ended(&self) -> Option<Fault> {
        self.ended.lock().clone()
    }

    /// Takes nothing more, decides what is queued, and ends.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().take());
        let thread = self.thread.lock().take();
        let Some(thread) = thread else { return };
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::error!("the sequencer panicked"),
        }
    }
}

impl Waiting {
    fn leave(&self, bytes: u64) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that a transaction takes in a block, roughly and never less than its rows and definitions.
fn size_of(transaction: &Transaction) -> u64 {
    let fixed = transaction.statement.len() as u64 + 256;
    transaction.operations.iter().fold(fixed, |sum, it| sum.saturating_add(it.size()))
}

fn too_large(bytes: u64, bound: u64) -> Refusal {
    Refusal::Data {
        sqlstate: "54000",
        message: format!("transaction of {bytes} bytes exceeds the limit of {bound} bytes"),
    }
}

struct Worker {
    parts: Parts,
    runtime: Handle,
    waiting: Arc<Waiting>,
    ended: Ended,
    /// Whether the last block found no room, so that the log tells it once.
    full: AtomicBool,
}

/// Transactions that go into one block, with those who wait for each.
#[derive(Default)]
struct Batch {
    transactions: Vec<Arc<Transaction>>,
    replies: Vec<Vec<Reply>>,
    ids: BTreeSet<TransactionId>,
    /// Place in the batch, by idempotency key.
    keys: BTreeMap<String, usize>,
    bytes: u64,
}

impl Worker {
    fn run(self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let mut requests = vec![first];
            let mut bytes = 0;
            while requests.len() < self.parts.bounds.block {
                bytes += requests.last().map_or(0, |request| request.bytes);
                if bytes >= self.parts.bounds.block_bytes {
                    break;
                }
                match queue.try_recv() {
                    Ok(request) => requests.push(request),
                    Err(_) => break,
                }
            }
            let left: Vec<u64> = requests.iter().map(|request| request.bytes).collect();
            self.order(requests);
            for bytes in left {
                self.waiting.leave(bytes);
            }
        }
    }

    /// Decides over all of these.
    fn order(&self, requests: Vec<Request>) {
        let snapshot = self.parts.state.snapshot();
        let governance = snapshot.catalog().governance();
        let next = self.parts.state.next_height();
        let mut staged = Staged::new(snapshot);
        let mut batch = Batch::default();
        for request in requests {
            self.admit(&mut staged, next, &mut batch, request);
        }
        drop(staged);
        if batch.transactions.is_empty() {
            return;
        }
        let Batch { transactions, replies, bytes, .. } = batch;
        // The staged state is gone: these are the only copies.
        let transactions = transactions.into_iter().map(Arc::unwrap_or_clone).collect();
        match self.propose(transactions, governance, bytes) {
            Ok(receipts) => {
                let mut receipts = receipts.into_iter();
                for waiting in replies {
                    let receipt = receipts.next().ok_or(SubmitError::Unknown);
                    answer_all(waiting, &receipt);
                }
            }
            Err(error) => {
                let outcome = Err(error);
                replies.into_iter().for_each(|waiting| answer_all(waiting, &outcome));
            }
        }
    }

    /// Takes a transaction into the batch, or answers it.
    fn admit(
        &self,
        staged: &mut Staged<Snapshot>,
        height: Height,
        batch: &mut Batch,
        request: Request,
    ) {
        let Request { transaction, bytes, reply } = request;
        if let Some(key) = &transaction.idempotency_key {
            match self.parts.state.receipt_of_key(key) {
                Ok(Some(receipt)) => return answer(reply, Ok(receipt)),
                Ok(None) => {}
                Err(fault) => return answer(reply, Err(fault.into())),
            }
            if let Some(waiting) = batch.keys.get(key).and_then(|&it| batch.replies.get_mut(it)) {
                return waiting.push(reply);
            }
        }
        let transaction = Arc::new(transaction);
        if let Err(error) = self.check(staged, height, batch, &transaction) {
            return answer(reply, Err(error));
        }
        if let Some(key) = &transaction.idempotency_key {
            batch.keys.insert(key.clone(), batch.transactions.len());
        }
        batch.ids.insert(transaction.id);
        batch.transactions.push(transaction);
        batch.replies.push(vec![reply]);
        batch.bytes += bytes;
    }

    /// The ledger's rules, on the newest state with the batch so far on top.
    fn check(
        &self,
        staged: &mut Staged<Snapshot>,
        height: Height,
        batch: &Batch,
        transaction: &Arc<Transaction>,
    ) -> Result<(), SubmitError> {
        let state = &self.parts.state;
        if batch.ids.contains(&transaction.id) || state.find_transaction(transaction.id)?.is_some()
        {
            let detail = "its number was used before".to_owned();
            return Err(Refusal::Malformed { detail }.into());
        }
        state.admit(transaction)?;
        let place = u32::try_from(batch.transactions.len()).unwrap_or(u32::MAX);
        staged.admit(height, place, transaction).map_err(|checked| match checked {
            Checked::Refused(refusal) => refusal.into(),
            Checked::Fault(fault) => fault.into(),
        })
    }

    /// Puts a block into the chain, and waits until it is durable and applied.
    fn propose(
        &self,
        transactions: Vec<Transaction>,
        governance: Hash,
        bytes: u64,
    ) -> Result<Vec<Receipt>, SubmitError> {
        if let Some(fault) = self.ended.lock().clone() {
            return Err(fault.into());
        }
        self.reserve(bytes)?;
        let draft = Draft(Box::new(self.parts.blocks.make_next(Proposal {
            clock_us: self.parts.clock.now_us(),
            proposer: self.parts.proposer,
            governance,
            transactions,
            ..Proposal::default()
        })?));
        match self.runtime.block_on(self.parts.raft.client_write(draft)) {
            Ok(response) => Ok(response.data.0),
            // It never came into the log.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                let reason = "this node does not lead its chain".to_owned();
                Err(Fault::Stopped { reason }.into())
            }
            Err(error) => {
                tracing::error!(%error, "a block was proposed and its outcome is not known");
                if matches!(error, RaftError::Fatal(_)) {
                    let reason = format!("consensus ended: {error}");
                    let fault = self.parts.blocks.stopped();
                    *self.ended.lock() = Some(fault.unwrap_or(Fault::Stopped { reason }));
                }
                Err(SubmitError::Unknown)
            }
        }
    }

    /// Makes sure that the disk has room for a block, so that a full disk refuses transactions and stops
    /// nothing. Twice its rows: operations are longer in a block than their rows alone.
    fn reserve(&self, bytes: u64) -> Result<(), SubmitError> {
        let bytes = bytes.saturating_mul(2);
        if bytes <= self.parts.blocks.room() {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.parts.blocks.reserve(bytes, done)?;
        match self.runtime.block_on(receiver) {
            Ok(Ok(())) => {
                if self.full.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the disk has room again: transactions are taken");
                }
                Ok(())
            }
            Ok(Err(fault @ Fault::DiskFull { .. })) => {
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::error!(%fault, "transactions are refused (53100) until there is room");
                }
                Err(Shortage::Disk.into())
            }
            Ok(Err(fault)) => Err(fault.into()),
            Err(_) => Err(SubmitError::ShuttingDown),
        }
    }
}

/// Tells one client; one that went away is no concern.
fn answer(reply: Reply, outcome: Result<Receipt, SubmitError>) {
    drop(reply.send(outcome));
}

fn answer_all(replies: Vec<Reply>, outcome: &Result<Receipt, SubmitError>) {
    for reply in replies {
        answer(reply, outcome.clone());
    }
}
