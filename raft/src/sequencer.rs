//! The one who decides what comes next: takes transactions, validates what is there, proposes it as one block, and
//! goes on with the next block on what those in flight will have done. Clients are answered where their block is
//! applied.
//!
//! A lone transaction never waits for company. While blocks are in flight, the next one goes when as many
//! transactions wait for it as fly, or when one has landed: few places serve few clients, and many share a sync.
//! A client that goes away takes nothing back: what is queued will be decided.

mod ahead;
mod settled;

use std::{collections::VecDeque, sync::Arc};

use ledger::{Hash, Proposal, Receipt, Refusal, Transaction, TransactionId};
use openraft::{
    AsyncRuntime, Raft, ServerState,
    async_runtime::{Select2, watch::WatchReceiver as _},
    metrics::RaftServerMetrics,
    type_config::alias::{JoinHandleOf, WatchReceiverOf},
};
use parking_lot::Mutex;
use storage::{BlockFile, Clock, Fault, Shortage, State, SubmitError, parallel::unhurried};
use tokio::sync::{mpsc, oneshot};

use crate::{
    codec,
    flight::{Board, Flight, Landing, Reply, Waiters, answer},
    runtime::Runtime,
    state_machine::StateMachine,
    types::{Draft, LeaderId, Types},
};
use ahead::Ahead;
use settled::Settled;

/// Bytes of a block from which on the next one waits until it is applied: what is staged and what goes into a block
/// are two copies.
const LARGE: u64 = 1 << 20;

/// Bytes of a block beside its transactions, and of its record: never as many.
const BESIDE: u64 = 4096;

/// Bounds of the queue and of blocks.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Most transactions that wait for a block; past it a client gets 53300.
    pub queue: usize,
    /// Most bytes of transactions without an outcome, unless there is only one; past it a client gets 53300.
    pub queue_bytes: u64,
    /// Most bytes of one transaction; past it a client gets 54000.
    pub transaction_bytes: u64,
    /// Most transactions in a block.
    pub block: usize,
    /// Bytes after which a block takes no further transaction.
    pub block_bytes: u64,
    /// Blocks in flight up to which the next one goes without company.
    pub eager: usize,
    /// Most blocks in flight.
    pub flights: usize,
    /// Bytes in flight after which no further block is proposed.
    pub flight_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue: 8192,
            queue_bytes: 512 << 20,
            transaction_bytes: 256 << 20,
            block: 4096,
            block_bytes: 8 << 20,
            eager: 1,
            flights: 8,
            flight_bytes: 32 << 20,
        }
    }
}

struct Request {
    work: Work,
    /// The lead under which it is valid; without one, any.
    under: Option<LeaderId>,
    bytes: u64,
    reply: Reply,
}

enum Work {
    /// A transaction, and its hash.
    Take(Arc<Transaction>, Hash),
    /// Says what became of the transaction of this number; if it never came, it isn't taken any more.
    Settle(TransactionId),
}

impl Request {
    fn operations(&self) -> usize {
        match &self.work {
            Work::Take(transaction, _) => transaction.operations.len(),
            Work::Settle(_) => 0,
        }
    }

    /// Answers it without having looked at it: a transaction is in no block then, and of one that is asked for nothing
    /// is known.
    fn refuse(self, error: &SubmitError) {
        let error = match self.work {
            Work::Take(..) => error.clone(),
            Work::Settle(_) => SubmitError::Unknown,
        };
        answer(self.reply, Err(error));
    }
}

/// Gets the outcome.
pub(crate) type Waiting = oneshot::Receiver<Result<Receipt, SubmitError>>;

/// The way in.
pub(crate) struct Sequencer<R: Runtime> {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    board: Arc<Board>,
    bounds: Bounds,
    task: Mutex<Option<JoinHandleOf<Types<R>, ()>>>,
}

/// What the sequencer works on.
pub(crate) struct Parts<R: Runtime> {
    pub(crate) raft: Raft<Types<R>, StateMachine>,
    pub(crate) state: Arc<State>,
    pub(crate) blocks: Arc<BlockFile>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The hash of this node's public key.
    pub(crate) proposer: Hash,
    pub(crate) bounds: Bounds,
}

impl<R: Runtime> Sequencer<R> {
    /// Starts it; must be called within the runtime that consensus runs on.
    pub(crate) fn start(parts: Parts<R>) -> Self {
        let bounds = parts.bounds.clone();
        let (sender, queue) = mpsc::channel(bounds.queue);
        let board = Arc::new(Board::default());
        let worker = Worker {
            leadership: parts.raft.server_metrics(),
            parts,
            queue,
            board: Arc::clone(&board),
            flights: VecDeque::new(),
            ahead: None,
            settled: Settled::default(),
            full: false,
        };
        let task = Mutex::new(Some(R::Tasks::spawn(worker.run())));
        Self { queue: Mutex::new(Some(sender)), board, bounds, task }
    }

    /// Queues a transaction, of which the hash is known. It goes into no block of another lead than `under`.
    pub(crate) fn submit(
        &self,
        transaction: Transaction,
        hash: Hash,
        under: Option<LeaderId>,
    ) -> Result<Waiting, SubmitError> {
        let bytes = transaction.size();
        if bytes > self.bounds.transaction_bytes {
            return Err(too_large(bytes, self.bounds.transaction_bytes).into());
        }
        self.queue(Work::Take(Arc::new(transaction), hash), under, bytes)
    }

    /// Asks what became of a transaction that was handed in under a lead.
    pub(crate) fn settle(
        &self,
        id: TransactionId,
        under: LeaderId,
    ) -> Result<Waiting, SubmitError> {
        self.queue(Work::Settle(id), Some(under), 0)
    }

    fn queue(
        &self,
        work: Work,
        under: Option<LeaderId>,
        bytes: u64,
    ) -> Result<Waiting, SubmitError> {
        let queue = self.queue.lock();
        let Some(sender) = queue.as_ref() else { return Err(SubmitError::ShuttingDown) };
        let (waiting, waiting_bytes) = self.board.waiting();
        let busy = SubmitError::Busy(Shortage::Queue { waiting });
        if waiting > 0 && waiting_bytes + bytes > self.bounds.queue_bytes {
            return Err(busy);
        }
        let (reply, receiver) = oneshot::channel();
        self.board.enter(bytes);
        match sender.try_send(Request { work, under, bytes, reply }) {
            Ok(()) => {
                self.board.arrived();
                Ok(receiver)
            }
            Err(error) => {
                self.board.leave(1, bytes);
                Err(match error {
                    mpsc::error::TrySendError::Full(_) => busy,
                    mpsc::error::TrySendError::Closed(_) => SubmitError::ShuttingDown,
                })
            }
        }
    }

    /// Why consensus ended, if it has.
    pub(crate) fn ended(&self) -> Option<Fault> {
        self.board.ended()
    }

    /// Takes nothing more, decides what is queued, waits for what is in flight, and ends.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().take());
        let task = self.task.lock().take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("the sequencer panicked");
        }
    }
}

pub(crate) fn too_large(bytes: u64, bound: u64) -> Refusal {
    Refusal::Data {
        sqlstate: "54000",
        message: format!("transaction of {bytes} bytes exceeds the limit of {bound} bytes"),
    }
}

fn no_state() -> Fault {
    Fault::Internal("there is no state to make a block on".to_owned())
}

struct Worker<R: Runtime> {
    parts: Parts<R>,
    /// Who leads, as far as this node knows.
    leadership: WatchReceiverOf<Types<R>, RaftServerMetrics<Types<R>>>,
    queue: mpsc::Receiver<Request>,
    board: Arc<Board>,
    /// The blocks in flight, in order.
    flights: VecDeque<Flight>,
    /// The state after them; without one, the next block waits until all have landed.
    ahead: Option<Ahead>,
    settled: Settled,
    /// Whether the last block found no room on the disk, so that the log tells it once.
    full: bool,
}

/// Transactions that go into one block, with those who wait for each.
#[derive(Default)]
struct Batch {
    transactions: Vec<Arc<Transaction>>,
    /// Each one's hash.
    hashes: Vec<Hash>,
    waiters: Arc<Waiters>,
    bytes: u64,
    /// Transactions that were handed in for it.
    count: usize,
    /// The member set and policies before it.
    governance: Hash,
}

impl<R: Runtime> Worker<R> {
    async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            self.room(true).await;
            let requests = self.gather(first);
            // What a client has seen before it sent one of these is in the state ahead.
            self.room(false).await;
            match self.ready().await {
                Ok(()) => self.order(requests).await,
                Err(error) => self.refuse(requests, &error),
            }
        }
        self.land_all().await;
    }

    /// Takes what else is queued, up to the bounds of a block.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut requests = vec![first];
        let mut bytes = 0;
        while requests.len() < self.parts.bounds.block {
            bytes += requests.last().map_or(0, |request| request.bytes);
            if bytes >= self.parts.bounds.block_bytes {
                break;
            }
            match self.queue.try_recv() {
                Ok(request) => requests.push(request),
                Err(_) => break,
            }
        }
        requests
    }

    /// Waits until another block may be proposed; with company, until it is also worth one. One who leads no longer
    /// waits for nothing: what is in flight lands without him.
    async fn room(&mut self, company: bool) {
        loop {
            self.forget_landed();
            let leader = self.leader().ok();
            let other = |ahead: &Ahead| Some(ahead.leader()) != leader;
            if leader.is_none() || self.ahead.as_ref().is_some_and(other) {
                self.ahead = None;
                self.flights.clear();
            }
            let head = self.parts.state.head();
            if self.ahead.as_ref().is_some_and(|ahead| !ahead.knows(head, &self.flights)) {
                // Consensus had a block of its own.
                self.board.set_astray(true);
            }
            if self.flights.is_empty() {
                if self.board.is_astray() {
                    self.ahead = None;
                    self.board.set_astray(false);
                }
                return;
            }
            if !self.board.is_astray()
                && self.ahead.is_some()
                && self.flights.len() < self.parts.bounds.flights
                && self.flying() < self.parts.bounds.flight_bytes
                && (!company || self.is_worth_a_block())
            {
                return;
            }
            self.stirred().await;
        }
    }

    /// Waits until a flight ends, what was wanted is there, or another leads.
    async fn stirred(&mut self) {
        let board = Arc::clone(&self.board);
        let stirred = R::Tasks::select2(board.changed(), self.leadership.changed()).await;
        if let Select2::Second(Err(_)) = stirred {
            // Consensus is gone, and with it all flights end.
            board.changed().await;
        }
    }

    /// As whom this node leads.
    fn leader(&self) -> Result<LeaderId, SubmitError> {
        let known = self.leadership.borrow_watched();
        if known.state == ServerState::Leader {
            return Ok(*known.vote.leader_id());
        }
        let members = known.membership_config.membership();
        let leader = known.current_leader.and_then(|leader| members.get_node(&leader));
        Err(SubmitError::NotLeading { leader: leader.map(|peer| peer.address.clone()) })
    }

    /// Waits until there is a state to validate on: all of the log is applied, this leader's first block, too.
    /// What is in the log but not applied may be undone, or be what a transaction rests on.
    async fn ready(&mut self) -> Result<(), SubmitError> {
        while self.ahead.is_none() {
            if let Some(fault) = self.board.ended() {
                return Err(fault.into());
            }
            let leader = self.leader()?;
            let Parts { state, blocks, .. } = &self.parts;
            let next = state.next_height();
            let newest = blocks.front(state.head().height)?;
            let own = newest.is_some_and(|it| {
                codec::decode_stamp(&it.stamp).is_ok_and(|stamp| stamp == leader)
            });
            if own && blocks.tip().is_some_and(|tip| tip.height < next) {
                // Nothing, if a block of consensus' own came in between.
                self.ahead = Ahead::new(state, blocks, leader)?;
                continue;
            }
            let applied = Box::pin(state.wait_applied(next));
            if let Select2::Second(Err(_)) =
                R::Tasks::select2(applied, self.leadership.changed()).await
            {
                let stopped = self.parts.blocks.stopped();
                return Err(stopped.map_or(SubmitError::ShuttingDown, Into::into));
            }
        }
        Ok(())
    }

    fn refuse(&self, requests: Vec<Request>, error: &SubmitError) {
        self.board.leave(requests.len(), requests.iter().map(|request| request.bytes).sum());
        for request in requests {
            request.refuse(error);
        }
    }

    /// Whether as many transactions wait for a block as are in flight; if not, the board tells when.
    fn is_worth_a_block(&self) -> bool {
        if self.flights.len() < self.parts.bounds.eager {
            return true;
        }
        let flying: usize = self.flights.iter().map(|flight| flight.count).sum();
        self.board.want(flying * 2);
        // One was taken out of the queue already.
        let enough = self.queue.len() + 1 >= flying;
        if enough {
            self.board.want(usize::MAX);
        }
        enough
    }

    /// Bytes in flight.
    fn flying(&self) -> u64 {
        self.flights.iter().map(|flight| flight.bytes).sum()
    }

    /// Place on the disk that a block of these transactions takes, and those in flight.
    fn needed(&self, bytes: u64) -> u64 {
        let blocks = self.flights.len() as u64 + 1;
        bytes.saturating_add(self.flying()).saturating_add(blocks * BESIDE)
    }

    /// Waits until nothing is in flight, or what is lands without this node's leading.
    async fn land_all(&mut self) {
        let leader = self.leader().ok();
        self.forget_landed();
        while !self.flights.is_empty() && leader.is_some() && self.leader().ok() == leader {
            self.stirred().await;
            self.forget_landed();
        }
    }

    fn forget_landed(&mut self) {
        while self.flights.front().is_some_and(Flight::has_landed) {
            let flight = self.flights.pop_front();
            if let (Some(ahead), Some(flight)) = (&mut self.ahead, flight) {
                ahead.landed(&flight);
            }
        }
    }

    /// Decides over all of these.
    async fn order(&mut self, requests: Vec<Request>) {
        let mut landing = Landing {
            board: Arc::clone(&self.board),
            blocks: Arc::clone(&self.parts.blocks),
            waiters: Arc::default(),
            hash: Hash::default(),
            count: requests.len(),
            bytes: requests.iter().map(|request| request.bytes).sum(),
        };
        let waiters = Arc::clone(&landing.waiters);
        let mut batch = Batch { waiters, count: landing.count, ..Batch::default() };
        let operations = requests.iter().map(Request::operations).sum();
        if let Err(error) = unhurried(operations, || self.admit_all(requests, &mut batch)) {
            return self.give_up(&batch, &error);
        }
        if batch.transactions.is_empty() {
            // All were answered.
            return batch.waiters.close();
        }
        if let Err(error) = self.reserve(batch.bytes).await {
            return self.give_up(&batch, &error);
        }
        let leader = self.ahead.as_ref().map(Ahead::leader);
        let made = unhurried(operations, || self.make(&mut batch));
        match leader.ok_or_else(no_state).and_then(|leader| Ok((leader, made?))) {
            Ok((leader, (draft, flight))) => {
                landing.hash = flight.hash;
                self.flights.push_back(flight);
                // Whatever becomes of it: the responder is told, or dropped.
                let write = self.parts.raft.write(draft).with_leader(leader);
                drop(write.responder(landing.responder()).await);
            }
            Err(fault) => self.give_up(&batch, &fault.into()),
        }
    }

    /// Nothing of a batch goes into the chain, for a reason that none of its transactions is to blame for.
    fn give_up(&mut self, batch: &Batch, error: &SubmitError) {
        self.ahead = None;
        batch.waiters.answer(|_| Err(error.clone()));
    }

    /// Takes these into a batch or answers them. An error is about all that are in the batch by then.
    fn admit_all(&mut self, requests: Vec<Request>, batch: &mut Batch) -> Result<(), SubmitError> {
        if let Err(fault) = self.look_ahead() {
            for request in requests {
                request.refuse(&fault.clone().into());
            }
            return Err(fault.into());
        }
        let Self { parts, ahead, flights, settled, .. } = self;
        let (state, ahead) = (&parts.state, ahead.as_mut().ok_or_else(no_state)?);
        batch.governance = ahead.governance();
        let leader = ahead.leader();
        for Request { work, under, bytes, reply } in requests {
            let bound = under == Some(leader);
            let (transaction, hash) = match work {
                Work::Take(..) if under.is_some() && !bound => {
                    answer(reply, Err(SubmitError::NotLeading { leader: None }));
                    continue;
                }
                Work::Take(transaction, hash) => (transaction, hash),
                Work::Settle(id) if bound => {
                    settled.settle(id, leader, (state, flights, batch), reply);
                    continue;
                }
                Work::Settle(_) => {
                    answer(reply, Err(SubmitError::Unknown));
                    continue;
                }
            };
            if bound && settled.forbids(transaction.id, leader) {
                answer(reply, Err(SubmitError::NotLeading { leader: None }));
                continue;
            }
            if let Some(reply) = ahead.repeated(state, &transaction, reply) {
                match ahead.admit(state, batch.transactions.len(), &transaction) {
                    Ok(()) => {
                        ahead.note(&transaction, &batch.waiters, batch.transactions.len());
                        batch.waiters.push(reply);
                        batch.transactions.push(transaction);
                        batch.hashes.push(hash);
                        batch.bytes += bytes;
                    }
                    Err(error) => answer(reply, Err(error)),
                }
            }
        }
        Ok(())
    }

    /// The state that the next block is validated on.
    fn look_ahead(&mut self) -> Result<(), Fault> {
        let state = &self.parts.state;
        let ahead = match self.ahead.take() {
            Some(ahead) if ahead.is_stale(state) => ahead.rebased(state, &self.flights)?,
            Some(ahead) => ahead,
            None => return Err(no_state()),
        };
        self.ahead = Some(ahead);
        Ok(())
    }

    /// Makes the block of a batch.
    fn make(&mut self, batch: &mut Batch) -> Result<(Draft, Flight), Fault> {
        let transactions = std::mem::take(&mut batch.transactions);
        let proposal = Proposal {
            clock_us: self.parts.clock.now_us(),
            proposer: self.parts.proposer,
            governance: batch.governance,
            hashes: std::mem::take(&mut batch.hashes),
            ..Proposal::default()
        };
        let (block, staged) = if batch.bytes < LARGE {
            let ahead = self.ahead.as_mut().ok_or_else(no_state)?;
            let own = transactions.iter().map(|it| Transaction::clone(it)).collect();
            (ahead.make(Proposal { transactions: own, ..proposal })?, transactions)
        } else {
            // The staged state goes: these are the only copies then.
            let tip = self.ahead.take().ok_or_else(no_state)?.into_tip();
            let own = transactions.into_iter().map(Arc::unwrap_or_clone).collect();
            let block = tip.next(Proposal { transactions: own, ..proposal });
            (block.map_err(|error| Fault::Internal(error.to_string()))?, Vec::new())
        };
        let flight = Flight {
            height: block.header.height,
            hash: block.header.hash(),
            transactions: staged,
            bytes: batch.bytes,
            count: batch.count,
            waiters: Arc::clone(&batch.waiters),
        };
        Ok((Draft(Box::new(block)), flight))
    }

    /// Makes sure that the disk has room for a block, so that a full disk refuses transactions and stops
    /// nothing.
    async fn reserve(&mut self, bytes: u64) -> Result<(), SubmitError> {
        let room = self.parts.blocks.room();
        if self.needed(bytes) <= room {
            return Ok(());
        }
        // The file doesn't count what it wasn't given yet.
        self.land_all().await;
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.parts.blocks.reserve(self.needed(bytes), done)?;
        match receiver.await {
            Ok(Ok(())) => {
                if std::mem::replace(&mut self.full, false) {
                    tracing::warn!("the disk has room again: transactions are taken");
                }
                Ok(())
            }
            Ok(Err(fault @ Fault::DiskFull { .. })) => {
                if !std::mem::replace(&mut self.full, true) {
                    tracing::error!(%fault, "transactions are refused (53100) until there is room");
                }
                Err(Shortage::Disk.into())
            }
            Ok(Err(fault)) => Err(fault.into()),
            Err(_) => Err(SubmitError::ShuttingDown),
        }
    }
}
