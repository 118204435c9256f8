//! The state as it will be when the blocks in flight are applied: what the next block is validated on, and the end
//! of the chain that it is made for. It proposes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use ledger::{
    Block, Hash, Height, Proposal, Receipt, Refusal, Tip, Transaction, TransactionId, View as _,
    staged::{Checked, Staged},
};
use storage::{BlockFile, Fault, Head, Snapshot, State, SubmitError, parallel};

use crate::{
    flight::{Flight, Reply, Waiters, answer},
    types::LeaderId,
};

/// Operations of applied blocks that may be staged before the state below moves up to them.
const STALE_OPERATIONS: usize = 1024;
/// Applied blocks that may be staged before it does. Few: versions that ended leave the newest part of the index.
const STALE_BLOCKS: u64 = 32;

/// A state with the blocks in flight on top.
pub(super) struct Ahead {
    /// As whom this node leads: blocks made on this go into the log under no other.
    leader: LeaderId,
    staged: Staged<Snapshot>,
    /// The end of the chain, with the blocks in flight.
    tip: Tip,
    /// The newest block that has landed.
    landed: (Height, Hash),
    /// Operations on top that have landed.
    settled: usize,
    /// What is on top, for those who come again.
    ids: BTreeSet<TransactionId>,
    keys: BTreeMap<String, (Arc<Waiters>, usize)>,
    /// The catalog's version, and the hash of the member set and policies that it has.
    governance: (u64, Hash),
}

impl Ahead {
    /// The newest state, which holds all of the chain, with nothing in flight; nothing if blocks aren't applied yet.
    pub(super) fn new(
        state: &State,
        blocks: &BlockFile,
        leader: LeaderId,
    ) -> Result<Option<Self>, Fault> {
        let tip = blocks.tip().ok_or_else(|| Fault::Internal("there is no chain".to_owned()))?;
        let snapshot = state.snapshot();
        if snapshot.height() != tip.height {
            return Ok(None);
        }
        let governance = (snapshot.catalog().version(), snapshot.catalog().governance());
        Ok(Some(Self {
            leader,
            staged: Staged::new(snapshot),
            landed: (tip.height, tip.hash),
            tip,
            settled: 0,
            ids: BTreeSet::new(),
            keys: BTreeMap::new(),
            governance,
        }))
    }

    pub(super) fn leader(&self) -> LeaderId {
        self.leader
    }

    /// Whether the newest applied block is one that this rests on, at the place it was made for.
    pub(super) fn knows(&self, head: Head, flights: &VecDeque<Flight>) -> bool {
        let newest = (head.height, head.block);
        // A block of ours is applied before it has landed.
        newest == self.landed || flights.iter().any(|flight| (flight.height, flight.hash) == newest)
    }

    /// A block in flight was applied.
    pub(super) fn landed(&mut self, flight: &Flight) {
        self.landed = (flight.height, flight.hash);
        self.settled += flight.transactions.iter().map(|it| it.operations.len()).sum::<usize>();
    }

    /// Whether so much of what is on top was applied that it is time to begin on a newer state.
    pub(super) fn is_stale(&self, state: &State) -> bool {
        let base = self.staged.base().height();
        self.settled > STALE_OPERATIONS || state.head().height.0 > base.0 + STALE_BLOCKS
    }

    /// The same on the newest state, with only those on top that it doesn't hold.
    pub(super) fn rebased(self, state: &State, flights: &VecDeque<Flight>) -> Result<Self, Fault> {
        let snapshot = state.snapshot();
        let base = snapshot.height();
        let (staged, ids, keys) = (Staged::new(snapshot), BTreeSet::new(), BTreeMap::new());
        let mut ahead = Self { staged, ids, keys, settled: 0, ..self };
        for flight in flights.iter().filter(|flight| flight.height > base) {
            for (place, transaction) in flight.transactions.iter().enumerate() {
                let at = u32::try_from(place).unwrap_or(u32::MAX);
                ahead.staged.stage(flight.height, at, transaction).map_err(
                    |checked| match checked {
                        Checked::Refused(refusal) => Fault::Internal(refusal.to_string()),
                        Checked::Fault(fault) => fault,
                    },
                )?;
                ahead.note(transaction, &flight.waiters, place);
            }
        }
        Ok(ahead)
    }

    /// The hash of the member set and policies after all that is on top.
    pub(super) fn governance(&mut self) -> Hash {
        let catalog = self.staged.catalog();
        if self.governance.0 != catalog.version() {
            self.governance = (catalog.version(), catalog.governance());
        }
        self.governance.1
    }

    /// Answers a transaction whose idempotency key was used before, or lets it wait for that one; gives the reply
    /// back if it wasn't.
    pub(super) fn repeated(
        &self,
        state: &State,
        transaction: &Transaction,
        reply: Reply,
    ) -> Option<Reply> {
        let Some(key) = &transaction.idempotency_key else { return Some(reply) };
        let first = self.keys.get(key);
        let reply = match first {
            Some((waiters, place)) => waiters.join(*place, reply)?,
            None => reply,
        };
        let outcome: Result<Receipt, SubmitError> = match state.receipt_of_key(key) {
            Ok(Some(receipt)) => Ok(receipt),
            // The first one went astray.
            Ok(None) if first.is_some() => Err(SubmitError::Unknown),
            Ok(None) => return Some(reply),
            Err(fault) => Err(fault.into()),
        };
        answer(reply, outcome);
        None
    }

    /// Checks a transaction by the ledger's rules and leaves its writes on top, for a place in the next block.
    pub(super) fn admit(
        &mut self,
        state: &State,
        place: usize,
        transaction: &Arc<Transaction>,
    ) -> Result<(), SubmitError> {
        if self.ids.contains(&transaction.id) || state.find_transaction(transaction.id)?.is_some() {
            let detail = "its number was used before".to_owned();
            return Err(Refusal::Malformed { detail }.into());
        }
        state.admit(transaction)?;
        let height = Height(self.tip.height.0 + 1);
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.staged.admit_by(height, place, transaction, &parallel::check).map_err(|checked| {
            match checked {
                Checked::Refused(refusal) => refusal.into(),
                Checked::Fault(fault) => fault.into(),
            }
        })
    }

    /// Notes a transaction that is on top, and who waits for it.
    pub(super) fn note(&mut self, transaction: &Transaction, waiters: &Arc<Waiters>, place: usize) {
        self.ids.insert(transaction.id);
        if let Some(key) = &transaction.idempotency_key {
            self.keys.insert(key.clone(), (Arc::clone(waiters), place));
        }
    }

    /// Makes the next block of what is on top and in none yet.
    pub(super) fn make(&mut self, proposal: Proposal) -> Result<Block, Fault> {
        let block = self.tip.next(proposal).map_err(|error| Fault::Internal(error.to_string()))?;
        let advanced = self.tip.advance(&block.header);
        advanced.map_err(|error| Fault::Internal(error.to_string()))?;
        Ok(block)
    }

    /// The end of the chain alone.
    pub(super) fn into_tip(self) -> Tip {
        self.tip
    }
}
