//! One node of one chain: opens the block file, brings the state up to its end, runs consensus over both, and
//! takes transactions. Knows no socket and no configuration file.

mod cluster;
mod disk;
mod replay;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ledger::{
    Block, Hash, Height, NodeKey, Proposal, Receipt, Transaction, View as _, staged::Staged,
};
use openraft::{
    AsyncRuntime, Config, Raft, ServerState, SnapshotPolicy,
    async_runtime::{Select2, watch::WatchReceiver},
};
use parking_lot::Mutex;
use storage::{
    BlockFile, BoxFuture, Certificates, Clock, Damage, Disk, Fault, Head, Index, NodeChange,
    NodeInfo, Order, Reading, Refused, Reign, State, StateConfig, SubmitError, Unready, block_file,
};
use tokio::sync::oneshot;

use self::replay::{Replayed, is_alone, newest_members, own, replay};
use crate::{
    certifier::{Certifier, Gathers},
    codec,
    desk::{Carried, Desk},
    door::Door,
    log_store::{Governance, LogStore},
    members::Membership,
    mend::{Mended, Mender},
    network::{Network, Ways},
    reads::Reads,
    runtime::{Runtime, Tokio},
    sequencer::{Bounds, Parts, Sequencer},
    solitude::Solitude,
    state_machine::{Chain, StateMachine},
    types::{LeaderId, Members, NodeId, Peer, Types},
};

/// The founder's number: the height of the genesis block, which admits it.
const FOUNDER: NodeId = 0;
/// How long the last checkpoint may take before it is given up: the next start then does its work.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a single voter may take to elect itself before opening gives up.
const ELECTION: Duration = Duration::from_secs(20);

/// How long what is in flight may take when a node closes: a leader that reaches no quorum would wait for ever.
const LANDING: Duration = Duration::from_secs(10);

/// What an empty directory becomes.
pub enum Start {
    /// The first node of a new chain, which begins with these genesis transactions.
    Found(Box<Block>),
    /// Another node of a chain: its blocks come from the nodes that are there.
    Join {
        /// The chain: its genesis block's hash.
        chain: Hash,
        /// The number that the chain's leader gave this node.
        node: NodeId,
    },
    /// It stays empty: there must be a chain.
    Open,
}

/// What a node is opened with.
pub struct Options {
    /// This node's key.
    pub key: NodeKey,
    /// How other nodes are reached.
    pub network: Arc<dyn Network>,
    /// How other nodes reach this one, `host:port`; of use to the one that founds a chain, and may be empty.
    pub address: String,
    /// Where block times come from.
    pub clock: Arc<dyn Clock>,
    /// The key index; empty, or of this chain.
    pub index: Arc<dyn Index>,
    /// Bounds of the state.
    pub state: StateConfig,
    /// Where rows are sealed; without it all stay in memory, and every opening applies all blocks.
    pub segments: Option<Arc<dyn Disk>>,
    /// Sizes of the block file.
    pub files: block_file::Options,
    /// Bounds of the queue and of blocks.
    pub bounds: Bounds,
}

/// A node of a server.
pub type Node = NodeOn<Tokio>;

/// A node that is open, on a runtime.
pub struct NodeOn<R: Runtime> {
    key: NodeKey,
    chain: Hash,
    state: Arc<State>,
    blocks: Arc<BlockFile>,
    founded: bool,
    running: Option<Running<R>>,
    mender: Mender,
    /// The other nodes of the chain, if this one takes no part.
    others: BTreeMap<NodeId, Peer>,
    /// Why the node takes no writes, if it was opened that way.
    read_only: Option<Fault>,
    closed: Mutex<bool>,
}

struct Running<R: Runtime> {
    raft: Raft<Types<R>, StateMachine>,
    door: Door<R>,
    members: Membership<R>,
    desk: Arc<Desk<R>>,
    /// Whether damaged blocks are put right, and waited for.
    mended: Arc<AtomicBool>,
    gathers: Gathers<R>,
    reads: Arc<Reads<R>>,
}

/// How a node is.
#[derive(Clone, Debug)]
pub struct Status {
    /// The newest applied block.
    pub head: Head,
    /// Whether this node leads its chain.
    pub leads: bool,
    /// Why it takes no writes, if so.
    pub read_only: Option<Fault>,
    /// Bytes of the block file, with the place kept ahead.
    pub bytes: u64,
    /// Blocks that are damaged, as far as that was found.
    pub damage: Vec<Damage>,
    /// Blocks that were, and were put right with those of other nodes.
    pub mended: Mended,
}

impl<R: Runtime> NodeOn<R> {
    /// Opens the chain in a directory: recovers its files, brings the state up to what is known to be committed, and
    /// takes part in its consensus; a single voter elects itself. An empty directory begins as `start` says.
    ///
    /// Damage and a full disk don't fail this: the node is then read-only, and says why in its status.
    ///
    /// # Errors
    /// [`Fault::Locked`]; an empty directory that is to stay so; a key that is no member's; whatever the disk says.
    pub fn open(
        disk: Arc<dyn Disk>,
        start: Start,
        options: Options,
    ) -> BoxFuture<'static, Result<Arc<Self>, Fault>> {
        Box::pin(Self::begin(disk, start, options))
    }

    async fn begin(
        disk: Arc<dyn Disk>,
        start: Start,
        options: Options,
    ) -> Result<Arc<Self>, Fault> {
        let Options { key, network, address, clock, index, state, segments, files, bounds } =
            options;
        let public_key = key.public().0;
        let internal = |error: std::io::Error| Fault::Internal(error.to_string());
        let mender = Mender::new(Arc::clone(&network));
        let beside = Arc::clone(&disk);
        let blocks = Arc::new(disk::open::<R>(disk, files, &public_key, &mender).await?);
        let empty = blocks.first().is_none();
        let (mut founded, mut joins) = (false, None);
        match start {
            Start::Found(genesis) if empty => {
                found(&blocks, *genesis, Peer { address, public_key }).await?;
                founded = true;
            }
            Start::Open if empty => {
                return Err(Fault::Internal("the data directory holds no chain".to_owned()));
            }
            Start::Join { chain, .. } if blocks.tip().is_some_and(|tip| tip.chain != chain) => {
                return Err(Fault::Internal("the data directory holds another chain".to_owned()));
            }
            Start::Join { chain, node } => joins = Some((chain, node)),
            Start::Found(_) | Start::Open => {}
        }
        let source = Arc::clone(&blocks);
        let replay = move || {
            let kept = Arc::new(Certificates::open(beside));
            replay(&source, public_key, state, index, segments, &kept)
        };
        let replayed = R::aside(replay).await.map_err(internal)??;
        let state = Arc::clone(&replayed.state);
        let joined = || joins.map(|(chain, _)| chain);
        let chain = blocks.tip().map(|tip| tip.chain).or_else(joined).unwrap_or_default();
        let fault = replayed.fault.clone();
        let (running, read_only) = match fault {
            Some(fault) => (None, Some(fault)),
            None => {
                let begin =
                    Begin { key: &key, clock, network, blocks: &blocks, chain, replayed, bounds };
                let begun: BoxFuture<'_, _> = Box::pin(begin.run(joins.map(|(_, node)| node)));
                match begun.await {
                    Ok(running) => (Some(running), None),
                    Err(fault @ Fault::DiskFull { .. }) => (None, Some(fault)),
                    Err(fault) => return Err(fault),
                }
            }
        };
        if let Some(fault) = &read_only {
            tracing::error!(%fault, "the node is read-only");
        }
        let closed = Mutex::new(false);
        let others = match &running {
            Some(_) => BTreeMap::new(),
            None => disk::others(&blocks, &public_key),
        };
        let node = Arc::new(Self {
            key,
            chain,
            state,
            blocks,
            founded,
            running,
            mender,
            others,
            read_only,
            closed,
        });
        disk::watch(&node);
        Ok(node)
    }

    /// The state, for reading.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The block file, for reading.
    pub fn blocks(&self) -> &Arc<BlockFile> {
        &self.blocks
    }

    /// The chain: its genesis block's hash.
    pub fn chain(&self) -> Hash {
        self.chain
    }

    /// Whether this opening founded the chain: its first block holds the genesis transactions that were given.
    /// (The block itself is another than the one given, because it names the founder as a voter.)
    pub fn founded(&self) -> bool {
        self.founded
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let bytes = self.blocks.bytes().unwrap_or(0);
        let read_only = self.fault().or_else(|| self.blocks.full());
        let (damage, mended) = (self.blocks.all_damage(), self.mender.tally());
        Status { head: self.state.head(), leads: self.leads(), read_only, bytes, damage, mended }
    }

    fn leads(&self) -> bool {
        let leader = |running: &Running<R>| {
            running.raft.server_metrics().borrow_watched().state == ServerState::Leader
        };
        self.running.as_ref().is_some_and(leader) && self.fault().is_none()
    }

    /// Why nothing can be written any more, if so. A full disk may have room again.
    fn fault(&self) -> Option<Fault> {
        let ended = || self.running.as_ref().and_then(|running| running.desk.sequencer.ended());
        let stopped = || self.state.halted().or_else(|| self.blocks.stopped());
        self.read_only.clone().or_else(stopped).or_else(ended)
    }

    /// Decides what is queued, then closes: consensus, the block file, the directory. May be called twice.
    pub async fn shutdown(&self) {
        let first = !std::mem::replace(&mut *self.closed.lock(), true);
        if !first {
            return;
        }
        if let Some(running) = &self.running {
            running.mended.store(false, Ordering::Relaxed);
            running.gathers.stop().await;
            if self.voters().len() < 2 {
                running.desk.finish().await;
            } else if R::Tasks::timeout(LANDING, running.desk.finish()).await.is_err() {
                tracing::error!("what is in flight does not land: its outcome is not known");
            }
            if let Err(error) = running.raft.shutdown().await {
                tracing::error!(%error, "consensus did not shut down in order");
            }
        }
        let (blocks, state) = (Arc::clone(&self.blocks), Arc::clone(&self.state));
        let close = move || {
            if let Err(fault) = state.close(CLOSING) {
                tracing::warn!(%fault, "the next start goes on from an older checkpoint");
            }
            blocks.close();
        };
        if R::aside(close).await.is_err() {
            tracing::error!("the block file did not close in order");
        }
    }
}

impl<R: Runtime> Order for NodeOn<R> {
    fn member(&self) -> Hash {
        self.key.member()
    }

    fn sign(&self, transaction: &mut Transaction) -> Result<(), SubmitError> {
        transaction.member = self.key.member();
        transaction.sign(&self.key, self.chain).map_err(ledger::Refusal::from)?;
        Ok(())
    }

    fn sign_digest(&self, tip: &ledger::Tip) -> Option<ledger::proof::Digest> {
        Some(ledger::proof::Digest::sign(tip, &self.key))
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        let error = match (self.fault(), &self.running) {
            (Some(Fault::DiskFull { .. }), _) => storage::Shortage::Disk.into(),
            (Some(fault), _) => fault.into(),
            // A leader that isn't stuck tries for each block.
            (None, Some(_))
                if self.blocks.full().is_some() && (self.blocks.is_stuck() || !self.leads()) =>
            {
                storage::Shortage::Disk.into()
            }
            (None, Some(running)) => return running.desk.submit(transaction, &self.key),
            (None, None) => SubmitError::ShuttingDown,
        };
        Box::pin(std::future::ready(Err(error)))
    }

    fn submit_under(
        &self,
        reign: Reign,
        transaction: Transaction,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        match (&self.running, self.fault()) {
            (Some(running), None) if reign != Reign::default() => {
                let lead = LeaderId { term: reign.term, node_id: reign.node };
                running.desk.submit_under(lead, transaction, &self.key)
            }
            _ if self.reign() == Some(reign) => self.submit(transaction),
            _ => Box::pin(std::future::ready(Err(SubmitError::NotLeading { leader: None }))),
        }
    }

    fn reign(&self) -> Option<Reign> {
        let desk = &self.running.as_ref()?.desk;
        if desk.solitude.is_alone() {
            return Some(Reign::default());
        }
        desk.own_lead().map(|lead| Reign { term: lead.term, node: lead.node_id })
    }

    fn nodes(&self) -> BoxFuture<'static, Vec<NodeInfo>> {
        let members = self.running.as_ref().map(|running| running.members.clone());
        Box::pin(async move {
            match members {
                Some(members) => members.list().await,
                None => Vec::new(),
            }
        })
    }

    fn change_nodes(&self, change: NodeChange) -> BoxFuture<'static, Result<NodeId, Refused>> {
        self.change(change)
    }

    fn catch_up(&self, reading: Reading) -> Option<BoxFuture<'static, Result<(), Unready>>> {
        match &self.running {
            Some(running) => running.reads.catch_up(reading),
            None if self.others.is_empty() => None,
            None => Some(Box::pin(std::future::ready(Err(Unready::NoQuorum)))),
        }
    }

    fn follows(&self) -> bool {
        match &self.running {
            Some(running) => !running.desk.solitude.is_alone() && !running.desk.leads(),
            None => !self.others.is_empty(),
        }
    }
}

/// Writes the first block: the genesis transactions, with the founder as the single voter. It is the entry
/// that consensus' own initialisation would have written.
async fn found(blocks: &BlockFile, genesis: Block, founder: Peer) -> Result<(), Fault> {
    let peers = BTreeMap::from([(FOUNDER, founder)]);
    let members = Members::new(vec![BTreeSet::from([FOUNDER])], peers);
    let internal = |error: &dyn std::fmt::Display| Fault::Internal(error.to_string());
    let members = members.map_err(|error| internal(&error))?;
    let proposal = Proposal {
        clock_us: genesis.header.time_us,
        proposer: genesis.header.proposer,
        governance: genesis.header.governance,
        stamp: codec::encode_stamp(&LeaderId { term: 0, node_id: FOUNDER }),
        membership: codec::encode_members(&members).map_err(|error| internal(&error))?,
        transactions: genesis.transactions,
        hashes: Vec::new(),
        state_digest: genesis.header.state_digest,
    };
    let block = blocks.make(Height(0), proposal)?;
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    blocks.append(vec![Arc::new(block)], done)?;
    receiver.await.map_err(|error| internal(&error))?
}

/// Tells the member set and policies in force behind a block of the log, applied or not.
fn governance(state: &Arc<State>, blocks: &Arc<BlockFile>) -> Governance {
    let (state, blocks) = (Arc::clone(state), Arc::clone(blocks));
    Arc::new(move |height| {
        let snapshot = state.snapshot();
        let from = snapshot.height().0 + 1;
        let mut staged = Staged::new(snapshot);
        for height in (from..=height.0).map(Height) {
            let missing = || Fault::Internal(format!("no block {}", height.0));
            let block = blocks.read(height)?.ok_or_else(missing)?;
            for (place, transaction) in (0..).zip(&block.transactions) {
                let transaction = Arc::new(transaction.clone());
                staged.stage(height, place, &transaction).map_err(|_| Fault::Apply {
                    height,
                    detail: "the log holds a transaction that can't be applied".to_owned(),
                })?;
            }
        }
        Ok(staged.catalog().governance())
    })
}

/// What consensus begins with.
struct Begin<'a> {
    key: &'a NodeKey,
    clock: Arc<dyn Clock>,
    network: Arc<dyn Network>,
    blocks: &'a Arc<BlockFile>,
    chain: Hash,
    replayed: Replayed,
    bounds: Bounds,
}

impl Begin<'_> {
    /// Starts consensus. A single voter leads when this returns; who joins has the number that it was given.
    async fn run<R: Runtime>(self, joins: Option<NodeId>) -> Result<Running<R>, Fault> {
        let Self { key, clock, network, blocks, chain, replayed, bounds } = self;
        let Replayed { state, last, members, certificates, .. } = replayed;
        let public_key = key.public().0;
        let newest = newest_members(blocks, &members, state.next_height())?;
        let Some(id) = own(&newest, &public_key).or(joins) else {
            return Err(Fault::Internal("this node's key is no member's of the chain".to_owned()));
        };
        let alone = is_alone(&newest, &public_key);
        let governance = governance(&state, blocks);
        let solitude = Arc::new(Solitude::new(id, newest.membership()));
        let known = Arc::clone(&solitude);
        let log =
            LogStore::new(Arc::clone(blocks), Arc::clone(&clock), key.member(), governance, known);
        let mended = log.mended();
        blocks.need_from(state.next_height());
        let target = Chain { state: Arc::clone(&state), blocks: Arc::clone(blocks) };
        let machine = StateMachine::new(Arc::new(target), last, members, Arc::clone(&solitude));
        let ways = Ways { network, chain };
        let raft: Raft<Types<R>, StateMachine> =
            Raft::new(id, Arc::new(config(alone)?), ways.clone(), log, machine)
                .await
                .map_err(|error| start_fault(blocks, &error))?;
        if alone {
            // Nobody else can lead: there is nothing to wait for.
            if raft.metrics().borrow_watched().state != ServerState::Leader {
                elect(raft.clone()).await.map_err(|error| start_fault(blocks, &error))?;
            }
            let leads = R::Tasks::timeout(ELECTION, leads(&raft, blocks)).await;
            leads
                .map_err(|error| start_fault(blocks, &error))?
                .map_err(|fault| blocks.stopped().unwrap_or(fault))?;
        }
        let members = Membership::new(raft.clone(), ways.clone(), Arc::clone(&state));
        let of = (key.clone(), chain);
        let certifier = Certifier::new(of, Arc::clone(&state), Arc::clone(blocks), certificates);
        let gathers = Gathers::start(Arc::clone(&certifier), raft.clone(), ways.clone());
        let parts = Parts {
            raft: raft.clone(),
            state: Arc::clone(&state),
            blocks: Arc::clone(blocks),
            clock,
            proposer: key.member(),
            bounds: bounds.clone(),
        };
        let desk = Arc::new(Desk {
            raft: raft.clone(),
            ways: ways.clone(),
            state,
            blocks: Arc::clone(blocks),
            chain,
            sequencer: Sequencer::start(parts),
            solitude,
            bounds,
            carried: Carried::default(),
        });
        let reads = Reads::new(Arc::clone(&desk));
        let door = Door {
            raft: raft.clone(),
            blocks: Arc::clone(blocks),
            chain,
            taken: AtomicU64::new(0),
            members: members.clone(),
            certifier,
            desk: Arc::clone(&desk),
            reads: Arc::clone(&reads),
        };
        Ok(Running { raft, door, members, desk, reads, mended, gathers })
    }
}

fn elect<R: Runtime>(
    raft: Raft<Types<R>, StateMachine>,
) -> BoxFuture<'static, Result<(), openraft::errors::Fatal<Types<R>>>> {
    Box::pin(async move { raft.trigger().elect(false).await })
}

/// Waits until this node leads, or finds no place on the disk to do so.
async fn leads<R: Runtime>(
    raft: &Raft<Types<R>, StateMachine>,
    blocks: &BlockFile,
) -> Result<(), Fault> {
    let mut known = raft.server_metrics();
    while known.borrow_watched().state != ServerState::Leader && !blocks.is_stuck() {
        let pause = R::Tasks::sleep(Duration::from_millis(50));
        if let Select2::First(Err(_)) = R::Tasks::select2(known.changed(), pause).await {
            return Err(Fault::Internal("consensus ended while it began".to_owned()));
        }
    }
    Ok(())
}

/// How consensus behaves; `alone` if there is one voter, this node.
fn config(alone: bool) -> Result<Config, Fault> {
    let config = Config {
        cluster_name: "stele".to_owned(),
        // A node whose leader is silent for the greatest time, and then for one between both, wants to lead.
        heartbeat_interval: 150,
        election_timeout_min: 600,
        election_timeout_max: 1200,
        max_payload_entries: 64,
        replication_lag_threshold: u64::MAX,
        snapshot_policy: SnapshotPolicy::Never,
        enable_pre_vote: Some(true),
        // It isn't noted what is committed: one of several could go on as the leader with an old state, and answer
        // from it.
        enable_leader_restore: Some(alone),
        ..Config::default()
    };
    config.validate().map_err(|error| Fault::Internal(error.to_string()))
}

/// Why consensus did not start: what stopped the block file, if that was it.
fn start_fault(blocks: &BlockFile, error: &dyn std::fmt::Display) -> Fault {
    blocks.stopped().unwrap_or_else(|| Fault::Internal(error.to_string()))
}
