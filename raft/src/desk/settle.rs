//! What became of a transaction whose answer didn't come. It was valid under one lead alone, so it is known for good as
//! soon as a block of a newer lead is applied here: blocks' leads only rise along the chain, so what comes after that
//! block can't hold it, and what comes before is here. While the lead lasts, the leader itself is asked.

use std::time::Duration;

use ledger::{Receipt, TransactionId};
use openraft::{
    AsyncRuntime, Instant as _, async_runtime::watch::WatchReceiver as _,
    type_config::alias::InstantOf,
};
use storage::{Fault, SubmitError};

use super::{Desk, lead_of};
use crate::{
    codec::{
        self,
        messages::{Answer, Request},
    },
    network::Lane,
    runtime::Runtime,
    types::{LeaderId, Types},
};

/// How long it is tried to learn an outcome before it is told to be unknown.
const SETTLING: Duration = Duration::from_secs(10);
/// How long the leader may take to say what it knows; then it is asked again.
const ASKED: Duration = Duration::from_secs(1);
/// How long to wait before something is looked at that nobody tells.
const AGAIN: Duration = Duration::from_millis(100);

impl<R: Runtime> Desk<R> {
    /// The outcome of a transaction that was handed in under a lead: a receipt, or that nothing of it is in the chain
    /// and never will be.
    ///
    /// # Errors
    /// [`SubmitError::NotLeading`] is nothing; [`SubmitError::Unknown`] when no majority is reached in time.
    pub(super) async fn settle(
        &self,
        under: LeaderId,
        id: TransactionId,
    ) -> Result<Receipt, SubmitError> {
        let until = InstantOf::<Types<R>>::now() + SETTLING;
        loop {
            if self.has_outlived(under)? {
                let nothing = || SubmitError::NotLeading { leader: self.leader_address() };
                return self.state.receipt(id)?.ok_or_else(nothing);
            }
            if self.lead() == Some(under) {
                match self.ask_what_became(under, id).await {
                    Ok(receipt) => return Ok(self.arrived(receipt).await),
                    Err(SubmitError::Unknown) => {}
                    Err(error) => return Err(error),
                }
            }
            let left = until.saturating_duration_since(InstantOf::<Types<R>>::now());
            if left.is_zero() || self.is_over() {
                return Err(SubmitError::Unknown);
            }
            self.stirred(left.min(AGAIN)).await;
        }
    }

    /// Whether a block of a newer lead is applied here.
    fn has_outlived(&self, under: LeaderId) -> Result<bool, Fault> {
        let newest = self.blocks.front(self.state.head().height)?;
        let lead = newest.and_then(|block| codec::decode_stamp(&block.stamp).ok());
        Ok(lead.is_some_and(|lead| lead > under))
    }

    async fn ask_what_became(
        &self,
        under: LeaderId,
        id: TransactionId,
    ) -> Result<Receipt, SubmitError> {
        let Some(way) = self.way(under) else {
            let told = R::Tasks::timeout(ASKED, Box::pin(self.close(under, id))).await;
            return told.unwrap_or(Err(SubmitError::Unknown));
        };
        let request = Request::<R>::Settle { under, id };
        let asked = way.ask(Lane::Work, &request, ASKED);
        match self.unless_another_leads(under, asked).await {
            Some(Ok(Answer::Told(told))) => match told {
                Ok(receipt) => Ok(receipt),
                Err(error @ SubmitError::NotLeading { .. }) => Err(error),
                Err(_) => Err(SubmitError::Unknown),
            },
            _ => Err(SubmitError::Unknown),
        }
    }

    /// Says as the leader what became of a transaction that was handed in under this lead. One that didn't come is not
    /// taken any more.
    ///
    /// # Errors
    /// [`SubmitError::NotLeading`] is nothing, for ever; any other is that it isn't known here.
    pub(crate) async fn close(
        &self,
        under: LeaderId,
        id: TransactionId,
    ) -> Result<Receipt, SubmitError> {
        let unknown = |_| SubmitError::Unknown;
        let waiting = self.sequencer.settle(id, under).map_err(unknown)?;
        waiting.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Whether consensus ended on this node: it learns nothing any more.
    fn is_over(&self) -> bool {
        self.carried.closed.load(std::sync::atomic::Ordering::Relaxed)
            || self.sequencer.ended().is_some()
            || self.blocks.stopped().is_some()
    }

    /// Waits until another leads or another block is applied, or for this time.
    async fn stirred(&self, time: Duration) {
        let mut metrics = self.raft.server_metrics();
        let applied = Box::pin(self.state.wait_applied(self.state.next_height()));
        let (own, lead) = (*self.raft.node_id(), self.lead());
        let changed = Box::pin(async move {
            while lead_of::<R>(&metrics, own) == lead {
                if metrics.changed().await.is_err() {
                    // Consensus is gone: there is nothing to be told.
                    std::future::pending::<()>().await;
                }
            }
        });
        let either = Box::pin(R::Tasks::select2(applied, changed));
        drop(R::Tasks::timeout(time, either).await);
    }
}
