//! Bringing a node's state up when it opens: from its last checkpoint, and the blocks behind it that are known to be
//! committed. Knows no consensus but the members that blocks name.

use std::sync::{
    Arc,
    mpsc::{SyncSender, sync_channel},
};

use ledger::{Block, Height, Statement};
use storage::{BlockFile, Certificates, Damage, Disk, Fault, Head, Index, State, StateConfig};

use crate::{
    certifier::astray,
    codec,
    types::{EntryId, NodeId, Peer, StoredMembers},
};

/// Blocks that are read ahead of those applied when a node opens. Few, because a block may be large.
const READ_AHEAD: usize = 4;
/// Transactions at the chain's end whose signatures are checked when a node opens, sixteen rows counting as one
/// more. All others are for `verify`.
const CHECKED_SIGNATURES: usize = 4096;

/// What replaying the block file gave.
pub(super) struct Replayed {
    pub(super) state: Arc<State>,
    pub(super) last: Option<EntryId>,
    pub(super) members: StoredMembers,
    pub(super) certificates: Arc<Certificates>,
    pub(super) fault: Option<Fault>,
}

/// The node of these members that has this key.
pub(super) fn own(members: &StoredMembers, public_key: &[u8; 32]) -> Option<NodeId> {
    let is_own = |peer: &Peer| peer.public_key == *public_key;
    members.membership().nodes().find(|(_, peer)| is_own(peer)).map(|(id, _)| *id)
}

/// The members that the log names last; `applied` are those of the part that is applied, which ends before `from`.
pub(super) fn newest_members(
    blocks: &BlockFile,
    applied: &StoredMembers,
    from: Height,
) -> Result<StoredMembers, Fault> {
    let next = blocks.tip().map_or(0, |tip| tip.height.0 + 1);
    for height in (from.0..next).rev().map(Height) {
        let Some(block) = blocks.front(height)?.filter(|it| !it.membership.is_empty()) else {
            continue;
        };
        let damaged = |error| damaged(blocks, height, &error);
        let members = codec::decode_members(&block.membership).map_err(damaged)?;
        let id = codec::entry_id(&block).map_err(damaged)?;
        return Ok(StoredMembers::new(Some(id), members));
    }
    Ok(applied.clone())
}

/// Whether the node with this key is the only voter: what is durable here is committed then.
pub(super) fn is_alone(members: &StoredMembers, public_key: &[u8; 32]) -> bool {
    let own = own(members, public_key);
    own.is_some() && members.membership().voter_ids().eq(own)
}

/// Brings the state up to the chain's end, or to where others have a vote: from its last checkpoint, or from genesis.
/// With a single voter, what is durable is committed; of the rest consensus tells. One thread reads and checks blocks
/// while this one applies them.
pub(super) fn replay(
    blocks: &Arc<BlockFile>,
    public_key: [u8; 32],
    config: StateConfig,
    index: Arc<dyn Index>,
    segments: Option<Arc<dyn Disk>>,
    certificates: &Arc<Certificates>,
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
    let mut seen = Seen { public_key, ..Seen::default() };
    seen.look_back(blocks, &state)?;
    let (sender, receiver) = sync_channel(READ_AHEAD);
    let (applied, seen) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| seen.read_all(blocks, from, sender));
        let mut astray = None;
        let mut look = || astray = astray.take().or_else(|| other_state(&state, certificates));
        let applied = state.apply_all(receiver.into_iter().inspect(|_| look()));
        look();
        let applied = applied.map(|()| astray);
        let seen = reader.join().map_err(|_| Fault::Internal("reading blocks panicked".into()));
        (applied, seen)
    });
    let astray = applied?;
    if let Some(fault) = &astray {
        state.halt(fault);
    }
    state.keep_certificates(Arc::clone(certificates));
    let Seen { last, members, fault, .. } = seen?;
    let fault = fault.or_else(|| blocks.damage().first().cloned().map(Fault::Damaged));
    let forged = check_newest(blocks, &state, from)?;
    let fault = fault.or(forged).or(astray);
    let certificates = Arc::clone(certificates);
    Ok(Replayed { state, last, members, certificates, fault })
}

/// Holds the newest applied block, and the state after it, against its certificate.
fn other_state(state: &State, certificates: &Certificates) -> Option<Fault> {
    if state.is_empty() {
        return None;
    }
    let head = state.head();
    let height = certificates.covering(head.height).filter(|height| *height == head.height)?;
    let certificate = certificates.get(height).ok()??;
    let quorums = certificate.statement;
    let own = Statement { block: head.block, state: head.state, ..quorums };
    (own != quorums).then(|| astray(&own, &quorums))
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
    public_key: [u8; 32],
    last: Option<EntryId>,
    members: StoredMembers,
    fault: Option<Fault>,
}

impl Seen {
    /// Hands out all blocks from a height on in order, up to the first that can't be read, or that isn't committed
    /// for being here.
    fn read_all(
        mut self,
        blocks: &BlockFile,
        from: Height,
        sender: SyncSender<Result<Block, Fault>>,
    ) -> Self {
        let count = blocks.tip().map_or(0, |tip| tip.height.0 + 1);
        for height in (from.0..count).map(Height) {
            let damaged = |error| damaged(blocks, height, &error);
            let read = load(blocks, height).and_then(|block| {
                let counts = self.counts(&block).map_err(damaged)?;
                if counts {
                    self.note(&block).map_err(damaged)?;
                }
                Ok(counts.then_some(block))
            });
            let Some(block) = read.transpose() else { break };
            let ends = block.is_err();
            self.fault = block.as_ref().err().cloned().or(self.fault);
            // An error means that applying has failed, which is told there.
            if sender.send(block).is_err() || ends {
                break;
            }
        }
        self
    }

    /// Whether the next block is committed because it is here: nobody else has a vote on it.
    fn counts(&self, block: &Block) -> std::io::Result<bool> {
        if block.membership.is_empty() {
            return Ok(is_alone(&self.members, &self.public_key));
        }
        let members = codec::decode_members(&block.membership)?;
        Ok(is_alone(&StoredMembers::new(None, members), &self.public_key))
    }

    /// What the blocks that are applied say: the place of the newest, and the members.
    fn look_back(&mut self, blocks: &BlockFile, state: &State) -> Result<(), Fault> {
        if state.is_empty() {
            return Ok(());
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
        let Some(height) = state.membership() else { return Ok(()) };
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

pub(super) fn damaged(blocks: &BlockFile, height: Height, detail: &dyn std::fmt::Display) -> Fault {
    let (file, offset) = blocks.place(height);
    Fault::Damaged(Damage { height: Some(height), file, offset, detail: detail.to_string() })
}
