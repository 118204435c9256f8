//! The end of a transaction: its effects become one transaction of the chain, or nothing. A commit
//! that was handed in is never given up: it goes on without the session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use ledger::{Height, Object, Receipt};
use storage::{LockOwner, Locks};

use super::Session;
use crate::Error;
use crate::engine::Engine;
use crate::transaction::{Isolation, Transaction};

/// Gives a transaction's locks back when it goes, however it ends.
struct Held {
    engine: Arc<Engine>,
    owner: LockOwner,
}

impl Held {
    fn locks(&self) -> &Locks {
        self.engine.state.locks()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks().release_all(self.owner);
    }
}

/// A commit on its way. Whoever waits for it does its work; if nobody does any more, a task of its own
/// goes on with it.
struct HandedIn(Option<BoxFuture<'static, Result<Receipt, Error>>>);

impl Future for HandedIn {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out while it works: what has panicked isn't gone on with.
        let Some(mut work) = self.0.take() else { return Poll::Ready(Err(Error::OutcomeUnknown)) };
        let done = work.as_mut().poll(context);
        if done.is_pending() {
            self.0 = Some(work);
        }
        done
    }
}

impl Drop for HandedIn {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

impl Session {
    /// Commits the transaction.
    ///
    /// # Errors
    /// What keeps it out of the chain; it is rolled back then.
    pub(crate) async fn commit(&mut self) -> Result<Option<Receipt>, Error> {
        let Some(mut own) = self.transaction.take() else { return Ok(None) };
        let held = Held { engine: Arc::clone(&self.engine), owner: own.owner };
        let hold = self.hold_cursors().await;
        let prepared = hold.and_then(|()| self.settle_sequences(&mut own));
        let result = match prepared {
            Err(error) => Err(error),
            Ok(()) if own.overlay.writes_nothing() => self.still_counts().map(|()| None),
            Ok(()) if own.repeats.is_some() => Ok(own.repeats.clone()),
            Ok(()) => self.hand_in(&mut own, held).await.map(Some),
        };
        self.end_transaction(result.is_ok(), &own);
        if let Ok(Some(receipt)) = &result {
            self.shared.note_committed(receipt.id);
            self.note_written_at(receipt.height);
            self.tell_receipt(receipt);
        }
        result
    }

    /// `ledger.commit_receipt`: the receipt of a commit goes to the client as a notice.
    fn tell_receipt(&mut self, receipt: &Receipt) {
        if !self.shared.with_settings(|settings| settings.is_on("ledger.commit_receipt")) {
            return;
        }
        let snapshot = self.engine.state.snapshot();
        let (id, height, place) = (receipt.id, receipt.height, receipt.transaction);
        // It is committed, whatever keeps the receipt from being shown.
        match crate::ledger_views::receipt(&snapshot, id, height, place) {
            Ok(shown) => self.notices.push(crate::Report::notice(shown.to_string())),
            Err(error) => {
                let why = format!("transaction {id} is committed, but {error}");
                self.notices.push(crate::Report::warning("01000", why));
            }
        }
    }

    /// What a transaction that wrote nothing locked was locked all the time.
    fn still_counts(&self) -> Result<(), Error> {
        match self.shared.reign() {
            Some(reign) if self.engine.order.reign() != Some(reign) => {
                Err(storage::SubmitError::NotLeading { leader: None }.into())
            }
            _ => Ok(()),
        }
    }

    /// Rolls the transaction back.
    pub(crate) fn roll_back(&mut self) {
        if let Some(own) = self.transaction.take() {
            self.engine.state.locks().release_all(own.owner);
            self.end_transaction(false, &own);
        }
    }

    fn end_transaction(&mut self, committed: bool, own: &Transaction) {
        self.shared.end_transaction();
        self.shared.with_settings(|settings| {
            if !committed {
                *settings = own.settings.clone();
            }
            settings.end_transaction();
        });
        self.close_cursors_of_transaction(committed);
        if committed && (own.overlay.has_temporary() || self.temporary.has_temporary()) {
            self.temporary = own.overlay.kept();
        }
        self.snapshot = None;
    }

    /// Sequences that the transaction made or changed go into the chain with the values used so far.
    fn settle_sequences(&self, own: &mut Transaction) -> Result<(), Error> {
        let sequences = self.shared.own_sequences();
        if sequences.is_empty() {
            return Ok(());
        }
        let snapshot = self.engine.state.snapshot();
        for (oid, sequence) in sequences {
            let catalog = own.overlay.catalog().unwrap_or_else(|| snapshot.catalog());
            let Some(defined) = catalog.sequence(oid) else { continue };
            if defined.next != sequence.next || defined.epoch != sequence.epoch {
                let object = ledger::catalog::Sequence {
                    next: sequence.next,
                    epoch: sequence.epoch,
                    ..defined.clone()
                };
                own.overlay.redefine(oid, Object::Sequence(object))?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared borrow of the session is not Send"
    )]
    async fn hand_in(&mut self, own: &mut Transaction, held: Held) -> Result<Receipt, Error> {
        own.savepoints.clear();
        let operations = own.overlay.take_operations();
        if operations.len() > self.engine.config.transaction_operations {
            return Err(Error::new("54000", "the transaction has too many operations").with_hint(
                format!(
                    "At most {} are taken; write in several transactions.",
                    self.engine.config.transaction_operations
                ),
            ));
        }
        let snapshot = match &own.snapshot {
            Some(snapshot) => snapshot.height(),
            None => self.engine.state.head().height,
        };
        let transaction = ledger::Transaction {
            id: self.shared.transaction_id(),
            user: self.session_user.1.clone(),
            member: self.engine.order.member(),
            statement: own.take_statements(),
            idempotency_key: self.shared.settings().idempotency_key().map(str::to_string),
            snapshot,
            operations,
            signature: ledger::transaction::Signature::NONE,
            endorsements: Vec::new(),
        };
        let (engine, reign) = (Arc::clone(&self.engine), self.shared.reign());
        let reads =
            (own.isolation == Isolation::Serializable).then(|| std::mem::take(&mut own.reads));
        let work = async move {
            // One SERIALIZABLE writer after the other: what was validated still holds when it is ordered.
            let _alone = match &reads {
                Some(reads) => {
                    let alone = engine.serial.lock().await;
                    validate(&engine, reads, snapshot)?;
                    Some(alone)
                }
                None => None,
            };
            let handed_in = match reign {
                Some(reign) => engine.order.submit_under(reign, transaction),
                None => engine.order.submit(transaction),
            };
            let receipt = handed_in.await?;
            drop(held);
            Ok::<Receipt, Error>(receipt)
        };
        HandedIn(Some(Box::pin(work))).await
    }
}

/// What a SERIALIZABLE transaction read must not have been written since its snapshot.
fn validate(
    engine: &Engine,
    reads: &std::collections::BTreeSet<ledger::Oid>,
    snapshot: Height,
) -> Result<(), Error> {
    let newest = engine.state.snapshot();
    let changed = |table: &&ledger::Oid| newest.last_change(**table) > Some(snapshot);
    match reads.iter().find(changed) {
        None => Ok(()),
        Some(_) => Err(Error::Serialization {
            message: "could not serialize access due to read/write dependencies among transactions"
                .to_string(),
            detail: Some(
                "A table that this transaction read was written by another one.".to_string(),
            ),
        }),
    }
}
