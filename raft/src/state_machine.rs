//! What consensus applies committed blocks to. It notes the last entry and the members; what a block does is
//! its target's matter.

use std::{io, sync::Arc};

use futures::{Stream, StreamExt};
use ledger::{Block, Height, Operation, Receipt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine, Snapshot, SnapshotMeta},
};
use storage::{BlockFile, Fault, State};

use crate::{
    log_store::to_io,
    runtime::Runtime,
    solitude::Solitude,
    types::{Applied, Body, EntryId, LeaderId, NodeId, Peer, StoredMembers, Types},
};

/// Most operations of a block that is applied on the runtime's own thread.
const QUICK: usize = 128;

/// Takes committed blocks, in order.
pub(crate) trait Target: Send + Sync + 'static {
    /// Applies the next block.
    fn apply(&self, block: &Block) -> Result<Vec<Receipt>, Fault>;

    /// Whether applying may wait for the disk.
    fn may_wait(&self) -> bool {
        false
    }

    /// Whether all blocks up to a height are in it already.
    fn holds(&self, height: Height) -> bool;
}

/// The state of a chain, with the block file that may forget what it has applied.
pub(crate) struct Chain {
    pub(crate) state: Arc<State>,
    pub(crate) blocks: Arc<BlockFile>,
}

impl Target for Chain {
    fn apply(&self, block: &Block) -> Result<Vec<Receipt>, Fault> {
        let receipts = self.state.apply(block)?;
        self.blocks.need_from(self.state.next_height());
        Ok(receipts)
    }

    fn may_wait(&self) -> bool {
        self.state.is_full()
    }

    fn holds(&self, height: Height) -> bool {
        self.state.next_height() > height
    }
}

type Meta = SnapshotMeta<LeaderId, NodeId, Peer>;
pub(crate) type MarkedSnapshot = Snapshot<LeaderId, NodeId, Peer, Mark>;

/// A snapshot has no data of its own: the blocks are the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark;

/// The state, as consensus sees it.
#[derive(Clone)]
pub(crate) struct StateMachine {
    target: Arc<dyn Target>,
    applied: Option<EntryId>,
    members: StoredMembers,
    snapshot: Arc<parking_lot::Mutex<Option<Meta>>>,
    solitude: Arc<Solitude>,
}

impl StateMachine {
    /// A target that holds the blocks up to `applied`, of which the last that changed the members is given.
    pub(crate) fn new(
        target: Arc<dyn Target>,
        applied: Option<EntryId>,
        members: StoredMembers,
        solitude: Arc<Solitude>,
    ) -> Self {
        Self { target, applied, members, snapshot: Arc::default(), solitude }
    }

    async fn apply_block<R: Runtime>(&self, block: Arc<Block>) -> io::Result<Vec<Receipt>> {
        let target = Arc::clone(&self.target);
        if is_quick(&block) && !target.may_wait() {
            return target.apply(&block).map_err(to_io);
        }
        // A large block takes its time, and the runtime's threads belong to everyone.
        R::aside(move || target.apply(&block)).await?.map_err(to_io)
    }
}

/// Whether a block is applied in less time than it takes to hand it to another thread: a few rows, and no
/// definition (an index may have to be filled).
fn is_quick(block: &Block) -> bool {
    let mut operations = block.transactions.iter().flat_map(|it| &it.operations);
    let is_row = |operation: &Operation| operation.table().is_some();
    operations.by_ref().take(QUICK).all(is_row) && operations.next().is_none()
}

impl<R: Runtime> RaftStateMachine<Types<R>> for StateMachine {
    type SnapshotData = Mark;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<EntryId>, StoredMembers)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id();
            let members = entry.get_membership();
            let receipts = match entry.payload.body {
                Body::Block(block) => self.apply_block::<R>(block).await?,
                Body::Blank => Vec::new(),
                Body::Draft(_) => {
                    return Err(io::Error::other(format!("entry {id} was never made a block")));
                }
            };
            self.applied = Some(id);
            if let Some(members) = members {
                self.solitude.applied(id.index, &members);
                self.members = StoredMembers::new(Some(id), members);
            }
            if let Some(responder) = responder {
                responder.send(Applied(receipts));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &Meta, _snapshot: Mark) -> io::Result<()> {
        if let Some(id) = meta.last_log_id
            && !self.target.holds(Height(id.index))
        {
            return Err(io::Error::other("a node can't be brought up from a snapshot yet"));
        }
        (self.applied, self.members) = (meta.last_log_id, meta.last_membership.clone());
        *self.snapshot.lock() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<MarkedSnapshot>> {
        Ok(self.snapshot.lock().clone().map(|meta| Snapshot { meta, snapshot: Mark }))
    }
}

impl<R: Runtime> RaftSnapshotBuilder<Types<R>> for StateMachine {
    type SnapshotData = Mark;

    async fn build_snapshot(&mut self) -> io::Result<MarkedSnapshot> {
        let meta = Meta { last_log_id: self.applied, last_membership: self.members.clone() };
        *self.snapshot.lock() = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: Mark })
    }
}
