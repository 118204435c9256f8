//! What became of a transaction, as the leader tells the node that handed it in: whoever gets it tells its client
//! exactly what the leader would have told one of its own.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::LazyLock};

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Oid, Receipt, Refusal, VersionId};
use parking_lot::Mutex;
use storage::{Fault, Shortage, SubmitError};

/// Most SQLSTATEs that are learned from other nodes: more than PostgreSQL has.
const STATES: usize = 512;

/// What a leader tells of a transaction.
#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) enum Outcome {
    Done(Receipt),
    Refused(Rule),
    Unknown,
    Memory(u64),
    Queue(u64),
    Disk,
    NotLeading(Option<String>),
    Fault(String),
}

/// A refusal.
#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) enum Rule {
    Duplicate {
        schema: String,
        table: String,
        constraint: String,
        detail: String,
    },
    NotNull {
        schema: String,
        table: String,
        column: String,
        detail: String,
    },
    Check {
        schema: String,
        table: String,
        constraint: String,
        detail: String,
    },
    NoParent {
        schema: String,
        table: String,
        constraint: String,
        detail: String,
    },
    HasChildren {
        schema: String,
        parent: String,
        table: String,
        constraint: String,
        detail: String,
    },
    AppendOnly {
        table: String,
    },
    Superseded {
        table: Oid,
        version: VersionId,
    },
    SchemaChanged {
        detail: String,
    },
    Data {
        sqlstate: String,
        message: String,
    },
    Privilege {
        kind: String,
        name: String,
    },
    Definition {
        sqlstate: String,
        message: String,
    },
    Malformed {
        detail: String,
    },
}

impl From<&Result<Receipt, SubmitError>> for Outcome {
    fn from(told: &Result<Receipt, SubmitError>) -> Self {
        match told {
            Ok(receipt) => Self::Done(receipt.clone()),
            Err(SubmitError::Refused(refusal)) => Self::Refused(refusal.into()),
            Err(SubmitError::Unknown) => Self::Unknown,
            Err(SubmitError::Busy(Shortage::Memory { bound })) => Self::Memory(*bound),
            Err(SubmitError::Busy(Shortage::Queue { waiting })) => Self::Queue(*waiting as u64),
            Err(SubmitError::Busy(Shortage::Disk)) => Self::Disk,
            Err(SubmitError::NotLeading { leader }) => Self::NotLeading(leader.clone()),
            Err(SubmitError::ShuttingDown) => Self::NotLeading(None),
            Err(SubmitError::Fault(fault)) => Self::Fault(fault.to_string()),
        }
    }
}

impl From<Outcome> for Result<Receipt, SubmitError> {
    fn from(outcome: Outcome) -> Self {
        Err(match outcome {
            Outcome::Done(receipt) => return Ok(receipt),
            Outcome::Refused(rule) => SubmitError::Refused(rule.into()),
            Outcome::Unknown => SubmitError::Unknown,
            Outcome::Memory(bound) => Shortage::Memory { bound }.into(),
            Outcome::Queue(waiting) => {
                Shortage::Queue { waiting: usize::try_from(waiting).unwrap_or(usize::MAX) }.into()
            }
            Outcome::Disk => Shortage::Disk.into(),
            Outcome::NotLeading(leader) => SubmitError::NotLeading { leader },
            Outcome::Fault(detail) => Fault::Leader { detail }.into(),
        })
    }
}

impl From<&Refusal> for Rule {
    fn from(refusal: &Refusal) -> Self {
        match refusal.clone() {
            Refusal::Duplicate { schema, table, constraint, detail } => {
                Self::Duplicate { schema, table, constraint, detail }
            }
            Refusal::NotNull { schema, table, column, detail } => {
                Self::NotNull { schema, table, column, detail }
            }
            Refusal::Check { schema, table, constraint, detail } => {
                Self::Check { schema, table, constraint, detail }
            }
            Refusal::NoParent { schema, table, constraint, detail } => {
                Self::NoParent { schema, table, constraint, detail }
            }
            Refusal::HasChildren { schema, parent, table, constraint, detail } => {
                Self::HasChildren { schema, parent, table, constraint, detail }
            }
            Refusal::AppendOnly { table } => Self::AppendOnly { table },
            Refusal::Superseded { table, version } => Self::Superseded { table, version },
            Refusal::SchemaChanged { detail } => Self::SchemaChanged { detail },
            Refusal::Data { sqlstate, message } => {
                Self::Data { sqlstate: sqlstate.to_owned(), message }
            }
            Refusal::Privilege { kind, name } => Self::Privilege { kind: kind.to_owned(), name },
            Refusal::Definition { sqlstate, message } => {
                Self::Definition { sqlstate: sqlstate.to_owned(), message }
            }
            Refusal::Malformed { detail } => Self::Malformed { detail },
            // A kind that came later is told by its SQLSTATE and message.
            other => {
                Self::Data { sqlstate: other.sqlstate().to_owned(), message: other.to_string() }
            }
        }
    }
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Duplicate { schema, table, constraint, detail } => {
                Self::Duplicate { schema, table, constraint, detail }
            }
            Rule::NotNull { schema, table, column, detail } => {
                Self::NotNull { schema, table, column, detail }
            }
            Rule::Check { schema, table, constraint, detail } => {
                Self::Check { schema, table, constraint, detail }
            }
            Rule::NoParent { schema, table, constraint, detail } => {
                Self::NoParent { schema, table, constraint, detail }
            }
            Rule::HasChildren { schema, parent, table, constraint, detail } => {
                Self::HasChildren { schema, parent, table, constraint, detail }
            }
            Rule::AppendOnly { table } => Self::AppendOnly { table },
            Rule::Superseded { table, version } => Self::Superseded { table, version },
            Rule::SchemaChanged { detail } => Self::SchemaChanged { detail },
            Rule::Data { sqlstate, message } => {
                Self::Data { sqlstate: word(sqlstate, is_state, "XX000"), message }
            }
            Rule::Privilege { kind, name } => {
                Self::Privilege { kind: word(kind, is_kind, "object"), name }
            }
            Rule::Definition { sqlstate, message } => {
                Self::Definition { sqlstate: word(sqlstate, is_state, "XX000"), message }
            }
            Rule::Malformed { detail } => Self::Malformed { detail },
        }
    }
}

fn is_state(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn is_kind(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' ')
}

/// A word out of a short list, which refusals hold for ever. The list is as long as what other nodes' versions know,
/// and no longer than its bound: whoever makes words up gets the other one.
fn word(text: String, fits: fn(&str) -> bool, other: &'static str) -> &'static str {
    static KNOWN: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock();
    match known.get(text.as_str()) {
        Some(word) => word,
        None if known.len() < STATES && fits(&text) => {
            let word: &'static str = text.leak();
            known.insert(word);
            word
        }
        None => other,
    }
}
