//! Where transactions are handed in, by sessions of this node and by other nodes, and where each gets its outcome. A
//! node that leads puts them into its sequencer's queue; any other carries them to the leader, and answers when its own
//! state has what was committed. It neither validates nor orders them.

mod hold;
mod settle;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ledger::{Hash, NodeKey, Receipt, Refusal, Transaction, TransactionId, transaction};
use openraft::{
    AsyncRuntime, Instant as _, Raft, ServerState,
    async_runtime::{Select2, watch::WatchReceiver as _},
    metrics::RaftServerMetrics,
    type_config::alias::{InstantOf, WatchReceiverOf},
};
use storage::{BlockFile, BoxFuture, Shortage, State, SubmitError, parallel};
use tokio::sync::oneshot;

use crate::{
    codec::messages::{Answer, Request},
    network::{Lane, Way, Ways},
    runtime::Runtime,
    sequencer::{Bounds, Sequencer, Waiting, too_large},
    solitude::Solitude,
    state_machine::StateMachine,
    types::{LeaderId, Types},
};

/// How long a transaction waits for a node that leads.
const LEADERLESS: Duration = Duration::from_secs(5);
/// How long the leader may take to answer before it is asked what became of it; a large transaction has more.
const ANSWERED: Duration = Duration::from_secs(5);
/// Bytes that are carried in a second, at the least.
const CARRIED: u64 = 1 << 20;
/// How long a committed transaction may take to come here before its client is told without.
const ARRIVED: Duration = Duration::from_secs(10);

/// Takes transactions.
pub(crate) struct Desk<R: Runtime> {
    pub(crate) raft: Raft<Types<R>, StateMachine>,
    pub(crate) ways: Ways,
    pub(crate) state: Arc<State>,
    pub(crate) blocks: Arc<BlockFile>,
    /// The chain, by its genesis block's hash.
    pub(crate) chain: Hash,
    pub(crate) sequencer: Sequencer<R>,
    pub(crate) solitude: Arc<Solitude>,
    pub(crate) bounds: Bounds,
    pub(crate) carried: Carried,
}

/// What is on its way to the leader.
#[derive(Default)]
pub(crate) struct Carried {
    count: AtomicUsize,
    bytes: AtomicU64,
    closed: AtomicBool,
}

impl<R: Runtime> Desk<R> {
    /// Takes a transaction of a session of this node; one that isn't signed is signed by this node. It is handed in when
    /// this returns.
    pub(crate) fn submit(
        self: &Arc<Self>,
        transaction: Transaction,
        key: &NodeKey,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        let queued = if self.solitude.is_alone() {
            self.queue(transaction, key, None)
        } else {
            match self.own_lead() {
                Some(lead) => return self.submit_under(lead, transaction, key),
                None => self.carry(transaction, key),
            }
        };
        // Whoever should answer is gone: it may have been decided or not.
        Box::pin(async move { queued?.await.unwrap_or(Err(SubmitError::Unknown)) })
    }

    /// Takes a transaction of a session of this node that counts under one lead of this node only.
    pub(crate) fn submit_under(
        self: &Arc<Self>,
        lead: LeaderId,
        transaction: Transaction,
        key: &NodeKey,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        let id = transaction.id;
        let queued = self.queue(transaction, key, Some(lead));
        let desk = Arc::clone(self);
        Box::pin(async move { desk.settled(lead, id, queued).await })
    }

    /// As whom this node leads, if it does.
    pub(crate) fn own_lead(&self) -> Option<LeaderId> {
        self.lead().filter(|lead| self.is_own(*lead))
    }

    /// Puts a transaction into this node's own queue.
    fn queue(
        &self,
        mut transaction: Transaction,
        key: &NodeKey,
        under: Option<LeaderId>,
    ) -> Result<Waiting, SubmitError> {
        let hash = self.vouch(&mut transaction, key)?;
        self.sequencer.submit(transaction, hash, under)
    }

    fn vouch(&self, transaction: &mut Transaction, key: &NodeKey) -> Result<Hash, Refusal> {
        let operations = transaction.operations.len();
        let tree = parallel::unhurried(operations, || parallel::tree(&transaction.operations))?;
        transaction.vouch(key, self.chain, &self.state.catalog(), &tree)
    }

    /// Waits for a transaction that this node took as the leader; if another leads before its outcome is known, what
    /// that one has says it.
    async fn settled(
        &self,
        lead: LeaderId,
        id: TransactionId,
        queued: Result<Waiting, SubmitError>,
    ) -> Result<Receipt, SubmitError> {
        match queued?.await.unwrap_or(Err(SubmitError::Unknown)) {
            Err(SubmitError::Unknown) => self.settle(lead, id).await,
            told => told,
        }
    }

    /// Carries a transaction to the leader, whoever that is by then.
    fn carry(
        self: &Arc<Self>,
        mut transaction: Transaction,
        key: &NodeKey,
    ) -> Result<Waiting, SubmitError> {
        let size = transaction.size();
        if size > self.bounds.transaction_bytes {
            return Err(too_large(size, self.bounds.transaction_bytes).into());
        }
        let carried = Carrying::enter(self, size)?;
        if transaction.signature == transaction::Signature::NONE {
            self.vouch(&mut transaction, key)?;
        }
        let (id, bytes) = (transaction.id, ledger::codec::encode(&transaction));
        drop(transaction);
        let (sender, waiting) = oneshot::channel();
        drop(R::Tasks::spawn(async move {
            let told = carried.desk.go(id, bytes).await;
            drop(carried);
            drop(sender.send(told));
        }));
        Ok(waiting)
    }

    async fn go(&self, id: TransactionId, bytes: Vec<u8>) -> Result<Receipt, SubmitError> {
        let until = InstantOf::<Types<R>>::now() + LEADERLESS;
        let patience = ANSWERED + Duration::from_millis(bytes.len() as u64 * 1000 / CARRIED);
        let request = |under, transaction| Request::<R>::Submit { under, transaction };
        let (mut refused, mut leader) = (None, None);
        while let Some(lead) = self.other_lead(refused, until).await {
            let told = match self.way(lead) {
                None => Some(self.take(lead, &bytes).await),
                Some(way) => {
                    let asked = way.ask(Lane::Work, &request(lead, bytes.clone()), patience);
                    match self.unless_another_leads(lead, asked).await {
                        Some(Ok(Answer::Told(told))) => Some(told),
                        _ => None,
                    }
                }
            };
            match told {
                Some(Ok(receipt)) => return Ok(self.arrived(receipt).await),
                // It was dropped there, and comes into no block under that lead.
                Some(Err(SubmitError::NotLeading { leader: known })) => {
                    (refused, leader) = (Some(lead), known);
                }
                None | Some(Err(SubmitError::Unknown)) => return self.settle(lead, id).await,
                Some(Err(error)) => return Err(error),
            }
        }
        Err(SubmitError::NotLeading { leader })
    }

    /// Takes a signed transaction that is valid under a lead of this node.
    ///
    /// # Errors
    /// Of these, only [`SubmitError::Unknown`] leaves it open whether it comes into the chain.
    pub(crate) async fn take(
        &self,
        under: LeaderId,
        transaction: &[u8],
    ) -> Result<Receipt, SubmitError> {
        if self.lead() != Some(under) || !self.is_own(under) {
            return Err(SubmitError::NotLeading { leader: self.leader_address() });
        }
        if let Some(fault) = self.state.halted().or_else(|| self.blocks.stopped()) {
            return Err(fault.into());
        }
        let malformed = |error: ledger::DecodeError| Refusal::malformed(error.to_string());
        let transaction: Transaction = ledger::codec::decode(transaction).map_err(malformed)?;
        let hash = self.check(&transaction)?;
        let held = self.hold(&transaction).await?;
        let waiting = self.sequencer.submit(transaction, hash, Some(under))?;
        let told = waiting.await.unwrap_or(Err(SubmitError::Unknown));
        drop(held);
        told
    }

    /// Checks the signatures of a transaction that another node hands in.
    fn check(&self, transaction: &Transaction) -> Result<Hash, Refusal> {
        let operations = transaction.operations.len();
        let tree = parallel::unhurried(operations, || parallel::tree(&transaction.operations))?;
        transaction.vouched(self.chain, &self.state.catalog(), &tree)
    }

    /// Waits until what was committed is here: a session sees what it wrote. If it doesn't come in time, it is
    /// committed all the same.
    async fn arrived(&self, receipt: Receipt) -> Receipt {
        let applied = Box::pin(self.state.wait_applied(receipt.height));
        drop(R::Tasks::timeout(ARRIVED, applied).await);
        receipt
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn lead(&self) -> Option<LeaderId> {
        lead_of::<R>(&self.raft.server_metrics(), *self.raft.node_id())
    }

    /// Whether this node leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.own_lead().is_some()
    }

    fn is_own(&self, lead: LeaderId) -> bool {
        lead.node_id == *self.raft.node_id()
    }

    fn leader_address(&self) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let known = metrics.borrow_watched();
        let members = known.membership_config.membership();
        let peer = known.current_leader.and_then(|leader| members.get_node(&leader));
        peer.map(|peer| peer.address.clone())
    }

    /// The way to who leads; none if it is this node.
    pub(crate) fn way(&self, lead: LeaderId) -> Option<Way> {
        if self.is_own(lead) {
            return None;
        }
        let metrics = self.raft.server_metrics();
        let known = metrics.borrow_watched();
        let peer = known.membership_config.membership().get_node(&lead.node_id).cloned();
        Some(self.ways.to(lead.node_id, &peer.unwrap_or_default()))
    }

    /// Waits for a lead that is not this one.
    async fn other_lead(
        &self,
        not: Option<LeaderId>,
        until: InstantOf<Types<R>>,
    ) -> Option<LeaderId> {
        let mut metrics = self.raft.server_metrics();
        loop {
            let lead = lead_of::<R>(&metrics, *self.raft.node_id());
            if lead.is_some() && lead != not {
                return lead;
            }
            let left = until.saturating_duration_since(InstantOf::<Types<R>>::now());
            if left.is_zero() || self.carried.closed.load(Ordering::Relaxed) {
                return None;
            }
            match R::Tasks::timeout(left, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// The answer, unless a newer lead comes first.
    async fn unless_another_leads<T>(
        &self,
        lead: LeaderId,
        answer: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let mut metrics = self.raft.server_metrics();
        let another = async move {
            while lead_of::<R>(&metrics, *self.raft.node_id()).is_none_or(|newest| newest <= lead) {
                if metrics.changed().await.is_err() {
                    break;
                }
            }
        };
        match R::Tasks::select2(Box::pin(answer), Box::pin(another)).await {
            Select2::First(answer) => Some(answer),
            Select2::Second(()) => None,
        }
    }

    /// Decides what is queued; what is on its way to another node is given up.
    pub(crate) async fn finish(&self) {
        self.carried.closed.store(true, Ordering::Relaxed);
        self.sequencer.close().await;
    }
}

fn lead_of<R: Runtime>(
    metrics: &WatchReceiverOf<Types<R>, RaftServerMetrics<Types<R>>>,
    own: u64,
) -> Option<LeaderId> {
    let known = metrics.borrow_watched();
    let lead = *known.vote.leader_id();
    let leads = known.vote.is_committed()
        && known.current_leader == Some(lead.node_id)
        && (lead.node_id != own || known.state == ServerState::Leader);
    leads.then_some(lead)
}

/// A transaction on its way.
struct Carrying<R: Runtime> {
    desk: Arc<Desk<R>>,
    bytes: u64,
}

impl<R: Runtime> Carrying<R> {
    /// One more, within the bounds of a queue.
    fn enter(desk: &Arc<Desk<R>>, bytes: u64) -> Result<Self, SubmitError> {
        let carried = &desk.carried;
        if carried.closed.load(Ordering::Relaxed) {
            return Err(SubmitError::ShuttingDown);
        }
        let waiting = carried.count.fetch_add(1, Ordering::Relaxed);
        let before = carried.bytes.fetch_add(bytes, Ordering::Relaxed);
        let one = Self { desk: Arc::clone(desk), bytes };
        let many = before + bytes > desk.bounds.queue_bytes;
        if waiting >= desk.bounds.queue || (waiting > 0 && many) {
            return Err(Shortage::Queue { waiting }.into());
        }
        Ok(one)
    }
}

impl<R: Runtime> Drop for Carrying<R> {
    fn drop(&mut self) {
        self.desk.carried.count.fetch_sub(1, Ordering::Relaxed);
        self.desk.carried.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
