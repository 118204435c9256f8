//! One node of one chain: opens the block file, brings the state up to its end, runs consensus over both, and
//! takes transactions. Knows no socket and no configuration file.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use ledger::{Block, Hash, Height, NodeKey, Proposal, Receipt, Transaction};
use openraft::{Config, Raft, ServerState, SnapshotPolicy, async_runtime::watch::WatchReceiver};
use parking_lot::Mutex;
use storage::{
    BlockFile, BoxFuture, Clock, Damage, Disk, Fault, Head, Index, Order, State, StateConfig,
    SubmitError, block_file, parallel,
};

use crate::{
    codec,
    log_store::LogStore,
    network::Alone,
    sequencer::{Bounds, Parts, Sequencer},
    state_machine::{Chain, StateMachine},
    types::{EntryId, LeaderId, Members, NodeId, Peer, StoredMembers, Types},
};

/// The founder's number: the height of the genesis block, which admits it.
const FOUNDER: NodeId = 0;
/// Blocks that are read ahead of those applied when a node opens. Few, because a block may be large.
const READ_AHEAD: usize = 4;
/// Transactions at the chain's end whose signatures are checked when a node opens, sixteen rows counting as one
/// more. All others are for `verify`.
const CHECKED_SIGNATURES: usize = 4096;
/// How long the last checkpoint may take before it is given up: the next start then does its work.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a single voter may take to elect itself before opening gives up.
const ELECTION: Duration = Duration::from_secs(20);

/// What a node is opened with.
pub struct Options {
    /// This node's key.
    pub key: NodeKey,
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

/// A node that is open.
pub struct Node {
    key: NodeKey,
    chain: Hash,
    state: Arc<State>,
    blocks: Arc<BlockFile>,
    founded: bool,
    running: Option<Running>,
    /// Why the node takes no writes, if it was opened that way.
    read_only: Option<Fault>,
    closed: Mutex<bool>,
}

struct Running {
    raft: Raft<Types, StateMachine>,
    sequencer: Sequencer,
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
}

/// What replaying the block file gave.
struct Replayed {
    state: Arc<State>,
    last: Option<EntryId>,
    members: StoredMembers,
    fault: Option<Fault>,
}

impl Node {
    /// Opens the chain in a directory: recovers its files, brings the state up to its end, and elects this
    /// node, its single voter. An empty directory gets a chain that begins with `genesis`.
    ///
    /// Damage and a full disk don't fail this: the node is then read-only, and says why in its status.
    ///
    /// # Errors
    /// [`Fault::Locked`]; an empty directory without a genesis block; a key that is no member's; whatever
    /// the disk says.
    pub async fn open(
        disk: Arc<dyn Disk>,
        genesis: Option<Block>,
        options: Options,
    ) -> Result<Arc<Self>, Fault> {
        let Options { key, clock, index, state, segments, files, bounds } = options;
        let public_key = key.public();
        let opened = tokio::task::spawn_blocking(move || {
            let blocks = Arc::new(BlockFile::open(disk, files)?);
            let founded = blocks.first().is_none();
            if founded {
                found(&blocks, genesis, public_key.0)?;
            }
            let replayed = replay(&blocks, state, index, segments)?;
            Ok::<_, Fault>((blocks, replayed, founded))
        });
        let (blocks, replayed, founded) =
            opened.await.map_err(|error| Fault::Internal(error.to_string()))??;
        let state = Arc::clone(&replayed.state);
        let chain = blocks.tip().map_or_else(Hash::default, |tip| tip.chain);
        let (running, read_only) = match replayed.fault.clone() {
            Some(fault) => (None, Some(fault)),
            None => match run(&key, clock, &blocks, replayed, bounds).await {
                Ok(running) => (Some(running), None),
                Err(fault @ Fault::DiskFull { .. }) => (None, Some(fault)),
                Err(fault) => return Err(fault),
            },
        };
        if let Some(fault) = &read_only {
            tracing::error!(%fault, "the node is read-only");
        }
        let closed = Mutex::new(false);
        Ok(Arc::new(Self { key, chain, state, blocks, founded, running, read_only, closed }))
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
        let leads = self.running.as_ref().is_some_and(|running| {
            running.raft.metrics().borrow_watched().state == ServerState::Leader
        });
        let bytes = self.blocks.bytes().unwrap_or(0);
        Status { head: self.state.head(), leads, read_only: self.fault(), bytes }
    }

    /// Why nothing can be written, if so.
    fn fault(&self) -> Option<Fault> {
        let ended = || self.running.as_ref().and_then(|running| running.sequencer.ended());
        self.read_only.clone().or_else(|| self.blocks.stopped()).or_else(ended)
    }

    /// Decides what is queued, then closes: consensus, the block file, the directory. May be called twice.
    pub async fn shutdown(&self) {
        let first = !std::mem::replace(&mut *self.closed.lock(), true);
        if !first {
            return;
        }
        if let Some(running) = &self.running {
            running.sequencer.close().await;
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
        if tokio::task::spawn_blocking(close).await.is_err() {
            tracing::error!("the block file did not close in order");
        }
    }
}

impl Order for Node {
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

    fn submit(
        &self,
        mut transaction: Transaction,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        let mut vouched = || {
            let operations = transaction.operations.len();
            let tree = parallel::unhurried(operations, || parallel::tree(&transaction.operations));
            transaction.vouch(&self.key, self.chain, &self.state.catalog(), &tree?)
        };
        let queued = match (self.fault(), &self.running) {
            (Some(Fault::DiskFull { .. }), _) => Err(storage::Shortage::Disk.into()),
            (Some(fault), _) => Err(fault.into()),
            (None, Some(running)) => match vouched() {
                Ok(hash) => running.sequencer.submit(transaction, hash),
                Err(refusal) => Err(refusal.into()),
            },
            (None, None) => Err(SubmitError::ShuttingDown),
        };
        Box::pin(async move {
            // Whoever should answer is gone: it may have been decided or not.
            queued?.await.unwrap_or(Err(SubmitError::Unknown))
        })
    }
}

/// Writes the first block: the genesis transactions, with the founder as the single voter. It is the entry
/// that consensus' own initialisation would have written.
fn found(blocks: &BlockFile, genesis: Option<Block>, public_key: [u8; 32]) -> Result<(), Fault> {
    let Some(genesis) = genesis else {
        return Err(Fault::Internal("the data directory holds no chain".to_owned()));
    };
    let peer = Peer { address: String::new(), public_key };
    let members = Members::new(vec![BTreeSet::from([FOUNDER])], BTreeMap::from([(FOUNDER, peer)]));
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
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    blocks.append(vec![Arc::new(block)], done)?;
    receiver.recv().map_err(|error| internal(&error))?
}

/// Brings the state up to the chain's end: from its last checkpoint, or from genesis. With a single voter,
/// what is durable is committed. One thread reads and checks blocks while this one applies them.
fn replay(
    blocks: &Arc<BlockFile>,
    config: StateConfig,
    index: Arc<dyn Index>,
    segments: Option<Arc<dyn Disk>>,
) -> Result<Replayed, Fault> {
    // Behind a block that is known to be damaged nothing counts, whatever was made of it when it was whole.
    let damage = blocks.damage().first().and_then(|damage| damage.height);
    let known = |head: Head| {
        let block = blocks.front(head.height).ok().flatten();
        damage.is_none_or(|damage| head.height < damage)
            && block.is_some_and(|block| block.header.hash() == head.block)
    };
    let source = Arc::clone(blocks) as Arc<dyn storage::BlockSource>;
    let state = State::resume(config, index, segments, Some(source), &known)?;
    let from = state.next_height();
    let (sender, receiver) = sync_channel(READ_AHEAD);
    let (applied, seen) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(blocks, from, sender));
        let applied = state.apply_all(receiver);
        let seen = reader.join().map_err(|_| Fault::Internal("reading blocks panicked".into()));
        (applied, seen)
    });
    applied?;
    let mut seen = seen?;
    seen.look_back(blocks, &state)?;
    let Seen { last, members, fault } = seen;
    let fault = fault.or_else(|| blocks.damage().first().cloned().map(Fault::Damaged));
    let forged = check_newest(blocks, &state, from)?;
    let fault = fault.or(forged);
    Ok(Replayed { state, last, members, fault })
}

/// Checks the signatures in the newest blocks, as far back as they were applied just now: a chain can be made
/// longer by anyone who can write its files, but only a member can sign. Gives the damage of the lowest block
/// that holds a forged transaction.
fn check_newest(blocks: &BlockFile, state: &State, from: Height) -> Result<Option<Fault>, Fault> {
    let mut found = None;
    let mut left = CHECKED_SIGNATURES;
    for height in (from.0.max(1)..state.next_height().0).rev().map(Height) {
        let Some(block) = blocks.read(height)? else { break };
        let before = state.snapshot_at(Height(height.0 - 1));
        let before = before.map_err(|error| Fault::Internal(error.to_string()))?;
        let key_of = |member| Some(before.catalog().member_of_hash(member)?.1.public_key);
        for (place, transaction) in block.transactions.iter().enumerate() {
            if let Err(error) = transaction.check_signatures(block.header.chain, key_of) {
                let fault = damaged(blocks, height, &format!("transaction {place}: {error}"));
                state.mark_damaged(height, fault.clone());
                found = Some(fault);
            }
            left = left.saturating_sub(1 + transaction.operations.len() / 16);
        }
        if left == 0 {
            break;
        }
    }
    Ok(found)
}

/// What reading all blocks showed.
#[derive(Default)]
struct Seen {
    last: Option<EntryId>,
    members: StoredMembers,
    fault: Option<Fault>,
}

/// Hands out all blocks from a height on in order, up to the first that can't be read.
fn read_all(blocks: &BlockFile, from: Height, sender: SyncSender<Result<Block, Fault>>) -> Seen {
    let mut seen = Seen::default();
    let count = blocks.tip().map_or(0, |tip| tip.height.0 + 1);
    for height in (from.0..count).map(Height) {
        let block = load(blocks, height).and_then(|block| {
            seen.note(&block).map_err(|error| damaged(blocks, height, &error))?;
            Ok(block)
        });
        let ends = block.is_err();
        seen.fault = block.as_ref().err().cloned();
        // An error means that applying has failed, which is told there.
        if sender.send(block).is_err() || ends {
            break;
        }
    }
    seen
}

impl Seen {
    /// What the blocks before those that were read say: the place of the newest, and the members.
    fn look_back(&mut self, blocks: &BlockFile, state: &State) -> Result<(), Fault> {
        if self.last.is_some() || state.is_empty() {
            return self.find_members(blocks, state);
        }
        let head = state.head().height;
        match blocks.front(head) {
            Ok(Some(block)) => {
                let id = codec::entry_id(&block);
                self.last = Some(id.map_err(|error| damaged(blocks, head, &error))?);
            }
            Ok(None) => {}
            Err(fault) => self.fault = self.fault.take().or(Some(fault)),
        }
        self.find_members(blocks, state)
    }

    fn find_members(&mut self, blocks: &BlockFile, state: &State) -> Result<(), Fault> {
        let known = self.members.log_id().is_some();
        let Some(height) = state.membership().filter(|_| !known) else { return Ok(()) };
        match blocks.front(height) {
            Ok(Some(block)) => {
                let last = self.last.take();
                self.note(&block).map_err(|error| damaged(blocks, height, &error))?;
                self.last = last.or_else(|| self.last.take());
            }
            Ok(None) => {}
            Err(fault) => self.fault = self.fault.take().or(Some(fault)),
        }
        Ok(())
    }

    fn note(&mut self, block: &Block) -> std::io::Result<()> {
        let id = codec::entry_id(block)?;
        if !block.membership.is_empty() {
            let members = codec::decode_members(&block.membership)?;
            self.members = StoredMembers::new(Some(id), members);
        }
        self.last = Some(id);
        Ok(())
    }
}

/// Reads a block and holds its body against its header.
fn load(blocks: &BlockFile, height: Height) -> Result<Block, Fault> {
    let block = blocks.read(height)?;
    let block = block.ok_or_else(|| Fault::Internal(format!("no block {}", height.0)))?;
    block.verify_body().map_err(|error| damaged(blocks, height, &error))?;
    Ok(Arc::unwrap_or_clone(block))
}

fn damaged(blocks: &BlockFile, height: Height, detail: &dyn std::fmt::Display) -> Fault {
    let (file, offset) = blocks.place(height);
    Fault::Damaged(Damage { height: Some(height), file, offset, detail: detail.to_string() })
}

/// Starts consensus and waits until this node leads.
async fn run(
    key: &NodeKey,
    clock: Arc<dyn Clock>,
    blocks: &Arc<BlockFile>,
    replayed: Replayed,
    bounds: Bounds,
) -> Result<Running, Fault> {
    let Replayed { state, last, members, .. } = replayed;
    let public_key = key.public().0;
    let own = members.membership().nodes().find(|(_, peer)| peer.public_key == public_key);
    let Some((&id, _)) = own else {
        return Err(Fault::Internal("this node's key is no member's of the chain".to_owned()));
    };
    if members.membership().voter_ids().collect::<Vec<_>>() != [id] {
        return Err(Fault::Internal("the chain has other voters, who can't be reached".to_owned()));
    }
    let source = Arc::clone(&state);
    let governance = Arc::new(move || {
        let snapshot = source.snapshot();
        (snapshot.height(), snapshot.catalog().governance())
    });
    let log = LogStore::new(Arc::clone(blocks), Arc::clone(&clock), key.member(), governance);
    blocks.need_from(state.next_height());
    let chain = Chain { state: Arc::clone(&state), blocks: Arc::clone(blocks) };
    let machine = StateMachine::new(Arc::new(chain), last, members);
    let config = Config {
        cluster_name: "stele".to_owned(),
        heartbeat_interval: 250,
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        max_payload_entries: 64,
        replication_lag_threshold: u64::MAX,
        snapshot_policy: SnapshotPolicy::Never,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(true),
        ..Config::default()
    };
    let config = config.validate().map_err(|error| Fault::Internal(error.to_string()))?;
    let raft = Raft::new(id, Arc::new(config), Alone, log, machine)
        .await
        .map_err(|error| start_fault(blocks, &error))?;
    // Nobody else can lead: there is nothing to wait for.
    if raft.metrics().borrow_watched().state != ServerState::Leader {
        raft.trigger().elect(false).await.map_err(|error| start_fault(blocks, &error))?;
    }
    let wait = raft.wait(Some(ELECTION));
    let leads = wait.state(ServerState::Leader, "a single voter leads").await;
    leads.map_err(|error| start_fault(blocks, &error))?;
    let blocks = Arc::clone(blocks);
    let parts = Parts { raft: raft.clone(), state, blocks, clock, proposer: key.member(), bounds };
    let sequencer = Sequencer::start(parts);
    Ok(Running { raft, sequencer })
}

/// Why consensus did not start: what stopped the block file, if that was it.
fn start_fault(blocks: &BlockFile, error: &dyn std::fmt::Display) -> Fault {
    blocks.stopped().unwrap_or_else(|| Fault::Internal(error.to_string()))
}
