//! Sequences by lease: the node takes a range of values from the chain in one transaction and hands
//! them out from memory, so that nextval costs no block. Values of a lease that the node doesn't use
//! are gaps, as with PostgreSQL's CACHE.

pub(crate) mod functions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::catalog::Sequence;
use ledger::{Object, Oid, Operation, Receipt, Refusal};
use parking_lot::Mutex;
use storage::SubmitError;

use crate::engine::Engine;
use crate::{Error, random};

/// The least and the most values of one lease.
const LEASE: (i64, i64) = (32, 4096);

/// How often a lease is tried when others change the sequence at the same time.
const TRIES: usize = 100;

/// All sequences that the node has leased from.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    leases: Mutex<BTreeMap<Oid, Arc<tokio::sync::Mutex<Lease>>>>,
}

/// What is left of a sequence's last lease.
#[derive(Debug, Default)]
struct Lease {
    epoch: u32,
    next: Option<i64>,
    left: i64,
    size: i64,
}

impl Lease {
    /// Takes a value, if the lease has one.
    fn take(&mut self, sequence: &Sequence) -> Option<i64> {
        if self.left == 0 || self.epoch != sequence.epoch {
            return None;
        }
        let value = self.next?;
        self.left -= 1;
        self.next = value.checked_add(sequence.increment);
        Some(value)
    }
}

impl Sequences {
    fn lease(&self, sequence: Oid) -> Arc<tokio::sync::Mutex<Lease>> {
        Arc::clone(self.leases.lock().entry(sequence).or_default())
    }
}

/// Who asks, as the chain has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) user: &'a str,
}

/// `nextval` of a sequence that is in the chain.
///
/// # Errors
/// 2200H when it is used up; what keeps the lease out of the chain.
pub(crate) async fn next_value(engine: &Engine, asker: Asker<'_>, oid: Oid) -> Result<i64, Error> {
    let lease = engine.sequences.lease(oid);
    let mut lease = lease.lock().await;
    for _ in 0..TRIES {
        let snapshot = engine.state.snapshot();
        let Some(sequence) = snapshot.catalog().sequence(oid) else {
            return Err(Error::new("42P01", format!("relation with OID {} does not exist", oid.0)));
        };
        if let Some(value) = lease.take(sequence) {
            return Ok(value);
        }
        let Some((first, count, next)) = range(sequence, lease.size.clamp(LEASE.0, LEASE.1)) else {
            return Err(used_up(sequence));
        };
        let operation =
            Operation::Lease { sequence: oid, epoch: sequence.epoch, from: first, next };
        let epoch = sequence.epoch;
        match submit(engine, asker, vec![operation], "nextval").await {
            Ok(_) => {
                let size = lease.size.max(LEASE.0).saturating_mul(2).min(LEASE.1);
                *lease = Lease { epoch, next: Some(first), left: count, size };
            }
            Err(Error::Refused(Refusal::SchemaChanged { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy)
}

/// The values that a lease of at most `size` takes: first, how many, and what is free afterwards.
fn range(sequence: &Sequence, size: i64) -> Option<(i64, i64, Option<i64>)> {
    let first = sequence.next?;
    let room = if sequence.increment > 0 {
        sequence.max.checked_sub(first)?.checked_div(sequence.increment)?
    } else {
        sequence.min.checked_sub(first)?.checked_div(sequence.increment)?
    };
    let count = size.max(sequence.cache).min(room.checked_add(1)?);
    let after = sequence
        .increment
        .checked_mul(count)
        .and_then(|step| first.checked_add(step))
        .filter(|next| (sequence.min..=sequence.max).contains(next));
    let next = match after {
        Some(next) => Some(next),
        None if sequence.cycle && sequence.increment > 0 => Some(sequence.min),
        None if sequence.cycle => Some(sequence.max),
        None => None,
    };
    Some((first, count, next))
}

fn used_up(sequence: &Sequence) -> Error {
    let (word, bound) =
        if sequence.increment > 0 { ("maximum", sequence.max) } else { ("minimum", sequence.min) };
    Error::new(
        "2200H",
        format!("nextval: reached {word} value of sequence \"{}\" ({bound})", sequence.name),
    )
}

/// `nextval` of a sequence that only its own transaction sees yet.
///
/// # Errors
/// 2200H when it is used up.
pub(crate) fn next_of_own(sequence: &mut Sequence) -> Result<i64, Error> {
    let Some((first, _, next)) = range(&Sequence { cache: 1, ..sequence.clone() }, 1) else {
        return Err(used_up(sequence));
    };
    sequence.next = next;
    Ok(first)
}

/// A sequence as it is after setval: leases are void.
///
/// # Errors
/// 22003 when the value is out of the sequence's bounds.
pub(crate) fn set(sequence: &Sequence, value: i64, called: bool) -> Result<Sequence, Error> {
    if !(sequence.min..=sequence.max).contains(&value) {
        return Err(Error::new(
            "22003",
            format!(
                "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                sequence.name, sequence.min, sequence.max
            ),
        ));
    }
    let mut after =
        Sequence { next: Some(value), epoch: sequence.epoch.wrapping_add(1), ..sequence.clone() };
    if called {
        after.next = range(&Sequence { cache: 1, ..after.clone() }, 1).and_then(|found| found.2);
    }
    Ok(after)
}

/// `setval` of a sequence that is in the chain: at once, whatever becomes of the transaction.
///
/// # Errors
/// 22003; what keeps it out of the chain.
pub(crate) async fn set_value(
    engine: &Engine,
    asker: Asker<'_>,
    oid: Oid,
    value: i64,
    called: bool,
) -> Result<(), Error> {
    let lease = engine.sequences.lease(oid);
    let _alone = lease.lock().await;
    for _ in 0..TRIES {
        let snapshot = engine.state.snapshot();
        let Some(sequence) = snapshot.catalog().sequence(oid) else {
            return Err(Error::new("42P01", format!("relation with OID {} does not exist", oid.0)));
        };
        let object = Object::Sequence(set(sequence, value, called)?);
        let operation = Operation::Define { oid, object: Box::new(object) };
        match submit(engine, asker, vec![operation], "setval").await {
            Ok(_) => return Ok(()),
            Err(Error::Refused(Refusal::SchemaChanged { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy)
}

/// Hands operations in as a transaction of their own, whatever becomes of the one that runs.
///
/// # Errors
/// What keeps it out of the chain.
pub(crate) async fn submit(
    engine: &Engine,
    asker: Asker<'_>,
    operations: Vec<Operation>,
    statement: &str,
) -> Result<Receipt, Error> {
    let transaction = ledger::Transaction {
        id: random::transaction_id(),
        user: asker.user.to_string(),
        member: engine.order.member(),
        statement: statement.to_string(),
        idempotency_key: None,
        snapshot: engine.state.head().height,
        operations,
        signature: ledger::transaction::Signature::NONE,
        endorsements: Vec::new(),
    };
    hand_in(engine, transaction).await
}

/// Hands a transaction in, to be signed and ordered, and waits for its receipt.
///
/// # Errors
/// Why there is none.
pub(crate) async fn hand_in(
    engine: &Engine,
    transaction: ledger::Transaction,
) -> Result<Receipt, Error> {
    Ok(engine.order.submit(transaction).await?)
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) => Self::Refused(refusal),
            SubmitError::Fault(fault) => fault.into(),
            SubmitError::Unknown => Self::OutcomeUnknown,
            SubmitError::Busy(shortage) => {
                Self::new(shortage.sqlstate(), shortage.to_string()).with_hint(shortage.hint())
            }
            SubmitError::NotLeading { .. } => {
                let hint = "Try again: nothing of the transaction is in the chain. Another node may lead it now.";
                Self::new("40001", error.to_string()).with_hint(hint)
            }
            SubmitError::ShuttingDown => Self::ShuttingDown,
        }
    }
}
