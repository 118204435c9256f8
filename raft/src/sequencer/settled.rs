//! What became of a transaction whose answer got lost, as the leader under which it was handed in knows it. It decides
//! in the queue's order, so that one that comes later than the question is never taken.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use ledger::TransactionId;
use storage::{State, SubmitError};

use super::Batch;
use crate::{
    flight::{Flight, Reply, Waiters, answer},
    types::LeaderId,
};

/// Most transactions that are never taken any more under one lead. When there are more, their outcome stays open until
/// the lead ends.
const MOST: usize = 1 << 20;

/// Transactions that must not be taken.
#[derive(Default)]
pub(super) struct Settled {
    /// Under which lead.
    leader: Option<LeaderId>,
    never: BTreeSet<TransactionId>,
}

impl Settled {
    /// Whether it was told of this transaction that nothing of it is in the chain.
    pub(super) fn forbids(&self, id: TransactionId, leader: LeaderId) -> bool {
        self.leader == Some(leader) && self.never.contains(&id)
    }

    /// Answers with the outcome of a transaction that was handed in under this lead, waiting for it if it is in flight
    /// or in the batch. `NotLeading` is nothing, for ever; `Unknown` is not known here.
    pub(super) fn settle(
        &mut self,
        id: TransactionId,
        leader: LeaderId,
        (state, flights, batch): (&Arc<State>, &VecDeque<Flight>, &Batch),
        reply: Reply,
    ) {
        let in_batch = batch.transactions.iter().position(|it| it.id == id);
        let flies = || {
            flights.iter().find_map(|flight| {
                let place = flight.transactions.iter().position(|it| it.id == id)?;
                Some((&flight.waiters, place))
            })
        };
        let found: Option<(&Arc<Waiters>, usize)> =
            in_batch.map(|place| (&batch.waiters, place)).or_else(flies);
        let (reply, flew) = match found {
            Some((waiters, place)) => match waiters.join(place, reply) {
                Some(reply) => (reply, true),
                None => return,
            },
            None => (reply, false),
        };
        let outcome = match state.receipt(id) {
            Ok(Some(receipt)) => Ok(receipt),
            // It has just landed, and not where it was to.
            Ok(None) if flew => Err(SubmitError::Unknown),
            Ok(None) => Err(self.forbid(id, leader)),
            Err(fault) => Err(fault.into()),
        };
        answer(reply, outcome);
    }

    fn forbid(&mut self, id: TransactionId, leader: LeaderId) -> SubmitError {
        if self.leader != Some(leader) {
            self.leader = Some(leader);
            self.never.clear();
        }
        if self.never.len() >= MOST && !self.never.contains(&id) {
            return SubmitError::Unknown;
        }
        self.never.insert(id);
        SubmitError::NotLeading { leader: None }
    }
}
