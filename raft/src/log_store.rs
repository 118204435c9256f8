//! The consensus log is the block file: an entry's index is its block's height. This adapter makes blocks of
//! entries and entries of blocks; it neither validates nor applies them.

#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    io,
    ops::RangeBounds,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ledger::{Block, Hash, Header, Height, Operation, Proposal, Transaction};
use openraft::{
    AsyncRuntime, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use parking_lot::RwLock;
use storage::{BlockFile, Clock, Fault};
use tokio::sync::oneshot;

use crate::{
    codec,
    runtime::Runtime,
    solitude::Solitude,
    types::{Body, Draft, Entry, EntryId, Types, Vote},
};

/// Most entries that are read at once for another node, and bytes of them after which no further is read.
const READ_AHEAD: u64 = 64;
const READ_BYTES: u64 = 4 << 20;
/// How often it is looked whether a damaged block was put right.
const LOOK: Duration = Duration::from_millis(100);

/// Gives `Catalog::governance` as of the block at a height, or at the newest one that is applied if that is higher;
/// blocks of the log that aren't applied yet are counted in.
pub(crate) type Governance = Arc<dyn Fn(Height) -> Result<Hash, Fault> + Send + Sync>;

/// The log, and its reader. Copies are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    blocks: Arc<BlockFile>,
    clock: Arc<dyn Clock>,
    /// The hash of this node's public key.
    proposer: Hash,
    governance: Governance,
    marks: Arc<RwLock<Marks>>,
    /// Whether somebody puts damaged blocks right.
    mended: Arc<AtomicBool>,
    solitude: Arc<Solitude>,
}

/// What consensus notes beside the log, in memory. The log is never purged on disk: a purge moves a mark.
#[derive(Default)]
struct Marks {
    purged: Option<EntryId>,
    committed: Option<EntryId>,
}

impl LogStore {
    pub(crate) fn new(
        blocks: Arc<BlockFile>,
        clock: Arc<dyn Clock>,
        proposer: Hash,
        governance: Governance,
        solitude: Arc<Solitude>,
    ) -> Self {
        let (marks, mended) = (Arc::default(), Arc::default());
        Self { blocks, clock, proposer, governance, marks, mended, solitude }
    }

    /// What says whether somebody puts damaged blocks right: nobody does at first.
    pub(crate) fn mended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.mended)
    }

    /// Makes the block of an entry, at the entry's place.
    fn block_of(&self, entry: Entry) -> io::Result<Arc<Block>> {
        let id = entry.log_id();
        let stamp = codec::encode_stamp(&id.leader_id);
        let membership =
            entry.payload.members.as_ref().map_or(Ok(Vec::new()), codec::encode_members)?;
        let (transactions, governance) = match entry.payload.body {
            Body::Block(block) => return Ok(block),
            Body::Draft(Draft(mut block)) => {
                let tip = self.blocks.tip();
                let parent = tip.map_or_else(Hash::default, |tip| tip.hash);
                let fits = block.header.height.0 == id.index && block.header.parent == parent;
                if fits && membership.is_empty() {
                    block.stamp = stamp;
                    return Ok(Arc::new(*block));
                }
                if !fits && !self.still_holds(&block.header)? {
                    let height = block.header.height.0;
                    tracing::error!(
                        height,
                        "a block is left empty: those it rests on aren't in the chain"
                    );
                    block.transactions.clear();
                    block.header.governance = self.governance_before(id.index)?;
                }
                (block.transactions, block.header.governance)
            }
            Body::Blank => (Vec::new(), self.governance_before(id.index)?),
        };
        let proposal = Proposal {
            clock_us: self.clock.now_us(),
            proposer: self.proposer,
            governance,
            stamp,
            membership,
            transactions,
            hashes: Vec::new(),
            state_digest: None,
        };
        self.blocks.make(Height(id.index), proposal).map(Arc::new).map_err(to_io)
    }

    /// Whether a draft that lost its place may have another: what it was validated on is in the chain, and no
    /// transaction came after that.
    fn still_holds(&self, draft: &Header) -> io::Result<bool> {
        let parent = draft.height.0.checked_sub(1).map(Height);
        let parent = parent.map_or(Ok(None), |parent| self.blocks.read(parent)).map_err(to_io)?;
        if parent.is_none_or(|parent| parent.header.hash() != draft.parent) {
            return Ok(false);
        }
        let next = self.blocks.tip().map_or(0, |tip| tip.height.0 + 1);
        for height in (draft.height.0..next).map(Height) {
            let between = self.blocks.read(height).map_err(to_io)?;
            if between.is_none_or(|block| !block.transactions.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The member set and policies in force before a block that has no transactions of its own.
    fn governance_before(&self, index: u64) -> io::Result<Hash> {
        let Some(before) = index.checked_sub(1).map(Height) else {
            return (self.governance)(Height(0)).map_err(to_io);
        };
        let rows = |operation: &Operation| operation.table().is_some();
        let all = |it: &Transaction| it.operations.iter().all(rows);
        match self.blocks.read(before).map_err(to_io)? {
            // Rows change nothing of it.
            Some(block) if block.transactions.iter().all(all) => Ok(block.header.governance),
            _ => (self.governance)(before).map_err(to_io),
        }
    }

    /// Reads an entry. One that is found damaged is waited for while somebody is there to put it right: an error would
    /// end consensus.
    async fn read<R: Runtime>(&self, index: u64) -> io::Result<Option<Entry>> {
        loop {
            match self.blocks.read(Height(index)) {
                Err(Fault::Damaged(_)) if self.mended.load(Ordering::Relaxed) => {
                    R::Tasks::sleep(LOOK).await;
                }
                Err(fault) => return Err(to_io(fault)),
                Ok(block) => return block.map(codec::messages::entry).transpose(),
            }
        }
    }

    /// The indexes that a range asks for and the log has.
    fn bounds<RB: RangeBounds<u64>>(&self, range: &RB) -> std::ops::Range<u64> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = match range.start_bound() {
            Included(&start) => start,
            Excluded(&start) => start.saturating_add(1),
            Unbounded => 0,
        };
        let end = match range.end_bound() {
            Included(&end) => end.saturating_add(1),
            Excluded(&end) => end,
            Unbounded => u64::MAX,
        };
        let purged = self.marks.read().purged.map_or(0, |id| id.index + 1);
        let first = self.blocks.first().map_or(0, |height| height.0).max(purged);
        let next = self.blocks.tip().map_or(0, |tip| tip.height.0 + 1);
        start.max(first)..end.min(next)
    }

    /// The place of the newest block.
    pub(crate) fn last(&self) -> io::Result<Option<EntryId>> {
        let Some(tip) = self.blocks.tip() else { return Ok(None) };
        let front = self.blocks.front(tip.height).map_err(to_io)?;
        front.map(|front| codec::entry_id(&front)).transpose()
    }

    /// Runs a call of the block file that answers by callback.
    async fn wait(
        &self,
        call: impl FnOnce(&BlockFile, storage::block_file::Done) -> Result<(), Fault>,
    ) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        call(&self.blocks, Box::new(move |result| drop(sender.send(result)))).map_err(to_io)?;
        match receiver.await {
            Ok(result) => result.map_err(to_io),
            Err(_) => Err(io::Error::other("the block writer is gone")),
        }
    }
}

/// A fault as the consensus library carries it.
pub(crate) fn to_io(fault: Fault) -> io::Error {
    io::Error::other(fault)
}

impl<R: Runtime> RaftLogReader<Types<R>> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut entries = Vec::new();
        for index in self.bounds(&range) {
            match self.read::<R>(index).await? {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.blocks.vote().map(|bytes| codec::decode_vote(&bytes)).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in self.bounds(&(start..end.min(start.saturating_add(READ_AHEAD)))) {
            let Some(entry) = self.read::<R>(index).await? else { break };
            if let Body::Block(block) = &entry.payload.body {
                bytes += block.transactions.iter().map(Transaction::size).sum::<u64>();
            }
            entries.push(entry);
            if bytes > READ_BYTES {
                break;
            }
        }
        Ok(entries)
    }
}

impl<R: Runtime> RaftLogStorage<Types<R>> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let purged = self.marks.read().purged;
        Ok(LogState { last_purged_log_id: purged, last_log_id: self.last()?.max(purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = codec::encode_vote(vote);
        self.wait(|blocks, done| blocks.save_vote(bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<EntryId>) -> io::Result<()> {
        self.marks.write().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<EntryId>> {
        Ok(self.marks.read().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // A block is made on the one before it, so each is handed over before the next is made. The writer
        // syncs them together, and only the last one's callback is told.
        let mut callback = Some(callback);
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            if let Some(members) = &entry.payload.members {
                self.solitude.appended(entry.log_id().index, members);
            }
            let block = self.block_of(entry)?;
            let callback = if entries.peek().is_none() { callback.take() } else { None };
            let done: storage::block_file::Done = match callback {
                Some(callback) => {
                    Box::new(move |result| callback.io_completed(result.map_err(to_io)))
                }
                None => Box::new(drop),
            };
            self.blocks.append(vec![block], done).map_err(to_io)?;
        }
        if let Some(callback) = callback {
            callback.io_completed(Ok(()));
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<EntryId>) -> io::Result<()> {
        let keep = last.map(|id| Height(id.index));
        self.wait(|blocks, done| blocks.truncate_after(keep, done)).await
    }

    async fn purge(&mut self, id: EntryId) -> io::Result<()> {
        let mut marks = self.marks.write();
        marks.purged = marks.purged.max(Some(id));
        Ok(())
    }
}
