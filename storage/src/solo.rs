//! An order of one node with no consensus and no disk: for the tests of the floors above. It validates,
//! numbers and applies as a real sequencer does, one transaction to a block; everything is gone when it is
//! dropped.

use std::sync::Arc;

use ledger::{
    Block, Genesis, Hash, NodeKey, Proposal, Receipt, Refusal, Tip, Transaction, TransactionId,
    staged::{Checked, Staged},
};
use parking_lot::Mutex;

use crate::{
    BlockSource, BoxFuture, Clock, Fault, MemoryIndex, Order, RealClock, State, StateConfig,
    SubmitError,
};

/// The order.
pub struct Solo {
    state: Arc<State>,
    key: NodeKey,
    clock: Arc<dyn Clock>,
    tip: Mutex<Tip>,
    blocks: Arc<Blocks>,
}

/// The blocks, in memory.
#[derive(Default)]
struct Blocks(Mutex<Vec<Arc<Block>>>);

impl BlockSource for Blocks {
    fn block(&self, height: ledger::Height) -> Result<Arc<Block>, Fault> {
        let place = usize::try_from(height.0).unwrap_or(usize::MAX);
        let found = self.0.lock().get(place).cloned();
        found.ok_or_else(|| Fault::Internal(format!("no block {}", height.0)))
    }
}

impl Solo {
    /// A new chain with database and role `stele`, and its order.
    ///
    /// # Panics
    /// Never: all that it starts from is fixed.
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "nothing that varies goes in"))]
    #[expect(clippy::new_ret_no_self, reason = "an order is only of use behind its trait")]
    pub fn new() -> (Arc<State>, Arc<dyn Order>) {
        Self::with(StateConfig::default(), Arc::new(RealClock)).expect("a fixed genesis is valid")
    }

    /// As [`Self::new`], with other bounds and another clock.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn with(
        config: StateConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<State>, Arc<dyn Order>), Fault> {
        let key = NodeKey::from_bytes(&[1; 32]);
        let genesis = Genesis {
            database: "stele".into(),
            role: "stele".into(),
            verifier: None,
            member: "solo".into(),
            id: TransactionId([0; 16]),
            time_us: clock.now_us(),
        };
        let block = genesis.block(&key).map_err(|refusal| Fault::Internal(refusal.to_string()))?;
        let tip =
            Tip::genesis(&block.header).map_err(|error| Fault::Internal(error.to_string()))?;
        let state = State::new(config, Arc::new(MemoryIndex::default()));
        state.apply(&block)?;
        let blocks = Arc::new(Blocks::default());
        blocks.0.lock().push(Arc::new(block));
        state.set_block_source(Arc::clone(&blocks) as Arc<dyn BlockSource>);
        let order = Self { state: Arc::clone(&state), key, clock, tip: Mutex::new(tip), blocks };
        Ok((state, Arc::new(order)))
    }

    fn order(&self, transaction: Transaction) -> Result<Receipt, SubmitError> {
        let mut tip = self.tip.lock();
        if let Some(key) = &transaction.idempotency_key
            && let Some(receipt) = self.state.receipt_of_key(key)?
        {
            return Ok(receipt);
        }
        let snapshot = self.state.snapshot();
        let governance = snapshot.catalog().governance();
        let height = self.state.next_height();
        let transaction = Arc::new(transaction);
        let mut staged = Staged::new(snapshot);
        let share = &crate::parallel::check;
        staged.admit_by(height, 0, &transaction, share).map_err(|checked| match checked {
            Checked::Refused(refusal) => SubmitError::Refused(refusal),
            Checked::Fault(fault) => SubmitError::Fault(fault),
        })?;
        drop(staged);
        self.state.admit(&transaction)?;
        let block = tip
            .next(Proposal {
                clock_us: self.clock.now_us(),
                proposer: self.key.member(),
                governance,
                transactions: vec![Arc::unwrap_or_clone(transaction)],
                ..Proposal::default()
            })
            .map_err(Refusal::from)?;
        let receipt = self.state.apply(&block)?.pop();
        tip.advance(&block.header).map_err(|error| Fault::Internal(error.to_string()))?;
        self.blocks.0.lock().push(Arc::new(block));
        receipt.ok_or_else(|| Fault::Internal("a block without its receipt".into()).into())
    }
}

impl Order for Solo {
    fn member(&self) -> Hash {
        self.key.member()
    }

    fn sign(&self, transaction: &mut Transaction) -> Result<(), SubmitError> {
        let chain = self.tip.lock().chain;
        transaction.member = self.key.member();
        transaction.sign(&self.key, chain).map_err(Refusal::from)?;
        Ok(())
    }

    fn sign_digest(&self, tip: &Tip) -> Option<ledger::proof::Digest> {
        Some(ledger::proof::Digest::sign(tip, &self.key))
    }

    fn submit(
        &self,
        mut transaction: Transaction,
    ) -> BoxFuture<'static, Result<Receipt, SubmitError>> {
        let chain = self.tip.lock().chain;
        let vouched = crate::parallel::tree(&transaction.operations)
            .map_err(Refusal::from)
            .and_then(|tree| transaction.vouch(&self.key, chain, &self.state.catalog(), &tree));
        let outcome = vouched.map_err(Into::into).and_then(|_| self.order(transaction));
        Box::pin(async move { outcome })
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]
mod tests;
