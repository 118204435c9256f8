//! Certificates: a voter signs what it has applied and synced, the leader gathers, and whoever holds a majority's word
//! keeps it and holds it against its own state. It takes no part in what is committed, and nobody waits for it.
//!
//! Only a recent block is signed, at most every [`PACE`], and none on an idle chain: a certificate covers all blocks
//! before its own.

mod quorum;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use futures::{StreamExt, stream::FuturesUnordered};
use ledger::{Certificate, Hash, Height, NodeKey, Signature, Statement};
use openraft::{
    AsyncRuntime, Raft, ServerState, async_runtime::watch::WatchReceiver,
    type_config::alias::JoinHandleOf,
};
use parking_lot::Mutex;
use storage::{BlockFile, Certificates, Fault, State};
use tokio::sync::Notify;

use self::quorum::Quorum;
use crate::{
    codec::messages::{Answer, Request},
    network::{Lane, Ways},
    runtime::Runtime,
    state_machine::StateMachine,
    types::{NodeId, Types},
};

/// The least time between two certificates: also how long voters have to apply what they will be asked about.
pub(crate) const PACE: Duration = Duration::from_millis(100);
/// After so many times [`PACE`] without a certificate the leader is asked for it: it may have been lost on the way.
const MISSED: u32 = 10;
/// After so many rounds without a majority the newest block takes the place of the one that was asked about.
const ROUNDS: u32 = 10;
/// How long a voter may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a node asks of another about certificates.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Ask {
    /// To sign what it has applied at this height.
    Sign(u64),
    /// To keep a certificate, and to hold it against its own state.
    Keep(Vec<u8>),
    /// For its newest certificate.
    Newest,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Told {
    /// Its own statement, signed.
    Signed(Box<(Statement, [u8; 64])>),
    /// It has nothing to say.
    Nothing,
    /// Its newest certificate.
    Has(Vec<u8>),
}

/// What certificates rest on.
pub(crate) struct Certifier {
    key: NodeKey,
    chain: Hash,
    state: Arc<State>,
    blocks: Arc<BlockFile>,
    kept: Arc<Certificates>,
    /// The newest voters that were read, and where they are named.
    quorum: Mutex<Option<(Height, Arc<Quorum>)>>,
    /// A certificate of a block that isn't applied here yet.
    pending: Mutex<Option<Certificate>>,
    stopped: AtomicBool,
    stirred: Notify,
}

impl Certifier {
    pub(crate) fn new(
        (key, chain): (NodeKey, Hash),
        state: Arc<State>,
        blocks: Arc<BlockFile>,
        kept: Arc<Certificates>,
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            chain,
            state,
            blocks,
            kept,
            quorum: Mutex::default(),
            pending: Mutex::default(),
            stopped: AtomicBool::new(false),
            stirred: Notify::new(),
        })
    }

    /// Signs, gathers and keeps nothing more.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stirred.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Answers another node. It never waits.
    pub(crate) fn answer(&self, ask: &Ask) -> Told {
        match ask {
            _ if self.is_stopped() || self.state.halted().is_some() => Told::Nothing,
            Ask::Sign(height) => match self.own(Height(*height)) {
                Some((statement, quorum)) if quorum.has_vote(self.key.member()) => {
                    Told::Signed(Box::new((statement, statement.sign(&self.key).0)))
                }
                _ => Told::Nothing,
            },
            Ask::Keep(bytes) => {
                self.take_bytes(bytes);
                Told::Nothing
            }
            Ask::Newest => {
                let newest = self.kept.newest();
                newest.map_or(Told::Nothing, |newest| Told::Has(newest.encode()))
            }
        }
    }

    fn take_bytes(&self, bytes: &[u8]) {
        match Certificate::decode(bytes) {
            Ok(certificate) => self.take(certificate),
            Err(error) => tracing::warn!(%error, "what another node sent is no certificate"),
        }
    }

    /// What this node says of a block that it has applied and synced lately, and who has a vote on it.
    fn own(&self, height: Height) -> Option<(Statement, Arc<Quorum>)> {
        let (head, members) = self.state.applied(height)?;
        // A quorum may have it and let it be applied here before this node's own disk does.
        if self.blocks.durable() <= height.0 {
            return None;
        }
        let quorum = self.quorum(members?)?;
        let block = self.blocks.front(height).ok()??;
        let statement = Statement {
            chain: self.chain,
            height,
            block: head.block,
            state: head.state,
            governance: block.header.governance,
            voters: quorum.voters().hash(),
        };
        Some((statement, quorum))
    }

    /// The voters that a block names.
    fn quorum(&self, at: Height) -> Option<Arc<Quorum>> {
        let mut known = self.quorum.lock();
        if let Some((_, quorum)) = known.as_ref().filter(|(height, _)| *height == at) {
            return Some(Arc::clone(quorum));
        }
        let block = self.blocks.front(at).ok()??;
        let quorum = Arc::new(Quorum::of(&block.membership).ok()?);
        *known = Some((at, Arc::clone(&quorum)));
        Some(quorum)
    }

    /// Takes a majority's word: keeps it, and halts this node if its own state is another.
    fn take(&self, certificate: Certificate) {
        let height = certificate.statement.height;
        if self.kept.newest().is_some_and(|newest| newest.statement == certificate.statement) {
            return;
        }
        let Some((_, quorum)) = self.own(height) else {
            if self.state.next_height() <= height {
                // The first one is held against this state as soon as that is possible; later ones would put it off.
                self.pending.lock().get_or_insert(certificate);
            }
            return;
        };
        if let Err(error) = certificate.verify(self.chain, |member| quorum.key_of(member)) {
            tracing::warn!(%error, height = height.0, "a certificate is passed over");
            return;
        }
        if certificate.voters != *quorum.voters() {
            tracing::warn!(height = height.0, "a certificate by other voters is passed over");
            return;
        }
        let quorums = certificate.statement;
        self.kept.add(certificate);
        self.compare(&quorums);
    }

    /// Holds what a majority says of a block against what was made of it here.
    fn compare(&self, quorums: &Statement) {
        let Some((head, _)) = self.state.applied(quorums.height) else { return };
        let own = Statement { block: head.block, state: head.state, ..*quorums };
        if own != *quorums {
            self.state.halt(&astray(&own, quorums));
            self.stirred.notify_one();
        }
    }

    fn take_pending(&self) {
        let pending = self.pending.lock().take();
        if let Some(certificate) = pending {
            self.take(certificate);
        }
    }

    /// The height above the newest certificate's.
    fn next(&self) -> Height {
        self.kept.newest().map_or(Height(0), |newest| Height(newest.statement.height.0 + 1))
    }
}

/// How a state that is not the majority's is told.
pub(crate) fn astray(own: &Statement, quorums: &Statement) -> Fault {
    let what = if own.block == quorums.block { "state" } else { "block" };
    let (here, there) = match what {
        "state" => (own.state, quorums.state),
        _ => (own.block, quorums.block),
    };
    let detail = format!("its {what} is {here}, and the voters' majority has {there}");
    tracing::error!(height = own.height.0, detail, "this node went astray and stops");
    Fault::Astray { height: own.height, detail }
}

/// The task in which certificates are gathered.
pub(crate) struct Gathers<R: Runtime> {
    certifier: Arc<Certifier>,
    task: Mutex<Option<JoinHandleOf<Types<R>, ()>>>,
}

impl<R: Runtime> Gathers<R> {
    /// Starts it; must be called within the runtime that consensus runs on.
    pub(crate) fn start(
        certifier: Arc<Certifier>,
        raft: Raft<Types<R>, StateMachine>,
        ways: Ways,
    ) -> Self {
        let known = certifier.kept.newest();
        let gatherer = Gatherer { certifier: Arc::clone(&certifier), raft, ways, known };
        Self { certifier, task: Mutex::new(Some(R::Tasks::spawn(gatherer.run()))) }
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        self.certifier.stop();
        let task = self.task.lock().take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("gathering certificates panicked");
        }
    }
}

impl<R: Runtime> Drop for Gathers<R> {
    fn drop(&mut self) {
        self.certifier.stop();
    }
}

/// Runs a certifier for as long as its node takes part.
struct Gatherer<R: Runtime> {
    certifier: Arc<Certifier>,
    raft: Raft<Types<R>, StateMachine>,
    ways: Ways,
    /// The newest certificate when this began. The state may not be there yet, or have gone astray before.
    known: Option<Arc<Certificate>>,
}

impl<R: Runtime> Gatherer<R> {
    /// Gathers while this node leads, until it is stopped, or halted: then it leaves consensus.
    async fn run(self) {
        let certifier = Arc::clone(&self.certifier);
        if let Some(known) = &self.known {
            let there = Box::pin(certifier.state.wait_applied(known.statement.height));
            R::Tasks::select2(there, Box::pin(certifier.stirred.notified())).await;
            certifier.compare(&known.statement);
        }
        let (mut target, mut missed) = (None, 0_u32);
        loop {
            let something = Box::pin(certifier.state.wait_applied(certifier.next()));
            R::Tasks::select2(something, Box::pin(certifier.stirred.notified())).await;
            if !self.goes_on().await {
                return;
            }
            let newest = certifier.state.head().height;
            R::Tasks::select2(
                Box::pin(R::Tasks::sleep(PACE)),
                Box::pin(certifier.stirred.notified()),
            )
            .await;
            if !self.goes_on().await {
                return;
            }
            certifier.take_pending();
            if newest < certifier.next() {
                (target, missed) = (None, 0);
                continue;
            }
            if !self.leads() {
                (target, missed) = (None, missed.wrapping_add(1));
                if missed.is_multiple_of(MISSED) {
                    let asked = Box::pin(self.ask_leader());
                    R::Tasks::select2(asked, Box::pin(certifier.stirred.notified())).await;
                }
                continue;
            }
            // The same one again until a majority has it: but who had a vote on it may be gone, and says nothing.
            let asked = target.filter(|(it, rounds)| *it >= certifier.next() && *rounds < ROUNDS);
            let (asked, rounds) = asked.unwrap_or((newest, 0));
            target = Some((asked, rounds + 1));
            let round = Box::pin(self.round(asked));
            R::Tasks::select2(round, Box::pin(certifier.stirred.notified())).await;
        }
    }

    fn leads(&self) -> bool {
        self.raft.server_metrics().borrow_watched().state == ServerState::Leader
    }

    /// Asks the leader for a certificate that did not come.
    async fn ask_leader(&self) {
        let leader = {
            let metrics = self.raft.server_metrics();
            let known = metrics.borrow_watched();
            known.current_leader.and_then(|leader| {
                let peer = known.membership_config.membership().get_node(&leader)?.clone();
                Some((leader, peer))
            })
        };
        let Some((leader, peer)) = leader else { return };
        if let Some(Told::Has(bytes)) = self.ask(leader, &peer, Ask::Newest).await {
            self.certifier.take_bytes(&bytes);
        }
    }

    async fn goes_on(&self) -> bool {
        if self.certifier.state.halted().is_some()
            && let Err(error) = self.raft.shutdown().await
        {
            tracing::warn!(%error, "consensus did not shut down in order");
        }
        !self.certifier.is_stopped() && self.certifier.state.halted().is_none()
    }

    /// Asks all voters about a block, and takes what a majority says.
    async fn round(&self, height: Height) {
        let certifier = &self.certifier;
        let Some((own, quorum)) = certifier.own(height) else { return };
        let mut said = BTreeMap::<Statement, BTreeMap<Hash, Signature>>::new();
        let member = certifier.key.member();
        if quorum.has_vote(member) {
            said.entry(own).or_default().insert(member, own.sign(&certifier.key));
        }
        let others = quorum.voters_but(member).map(|(id, peer)| {
            let asked = self.ask(id, peer, Ask::Sign(height.0));
            let key = ledger::PublicKey(peer.public_key);
            async move { (key, asked.await) }
        });
        let mut others: FuturesUnordered<_> = others.collect();
        loop {
            let enough = said.iter().find_map(|(statement, signatures)| {
                Certificate::gather(*statement, quorum.voters(), signatures)
            });
            let limit = if enough.is_some() { PACE } else { PATIENCE };
            let told = R::Tasks::timeout(limit, others.next()).await;
            match told {
                Ok(Some((key, Some(Told::Signed(signed))))) => {
                    let (statement, signature) = (signed.0, Signature(signed.1));
                    let fits = statement.height == height && statement.chain == certifier.chain;
                    if fits && key.verify(statement.message(), &signature) {
                        said.entry(statement).or_default().insert(key.member(), signature);
                    }
                }
                Ok(Some(_)) => {}
                // All have answered, or no more time is worth it.
                Ok(None) | Err(_) => {
                    if let Some(certificate) = enough {
                        self.pass_on(&quorum, &certificate);
                        certifier.take(certificate);
                    } else if said.len() > 1 {
                        tracing::error!(height = height.0, "the voters don't agree about a block");
                    }
                    return;
                }
            }
        }
    }

    /// Tells all other nodes.
    fn pass_on(&self, quorum: &Quorum, certificate: &Certificate) {
        let bytes = certificate.encode();
        for (id, peer) in quorum.nodes_but(self.certifier.key.member()) {
            let told = self.ask(id, peer, Ask::Keep(bytes.clone()));
            drop(R::Tasks::spawn(async move { drop(told.await) }));
        }
    }

    fn ask(
        &self,
        to: NodeId,
        peer: &crate::Peer,
        ask: Ask,
    ) -> impl Future<Output = Option<Told>> + Send + 'static + use<R> {
        let way = self.ways.to(to, peer);
        let asked = way.ask::<R>(Lane::Prompt, &Request::Certify(ask), PATIENCE);
        async move {
            match asked.await {
                Ok(Answer::Certify(told)) => Some(told),
                Ok(_) | Err(_) => None,
            }
        }
    }
}
