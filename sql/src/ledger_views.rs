//! The ledger in SQL: blocks, transactions, tables and members as relations of the schema `ledger`; a table as of a
//! point of the chain, its history, what differs between two points; verification, the signed digest, certificates,
//! proofs and receipts; and the nodes that keep the chain. Rows it reads from snapshots, and writes none.

mod certificates;
mod chain;
mod digest;
mod nodes;
mod past;
mod prove;
mod receipt;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use ledger::Height;
use storage::{Snapshot, State};

use crate::Error;
use crate::functions::{Datum, Function, cast};
use crate::read::{QueryContext, VirtualTable};
use crate::shared::SessionShared;
use crate::types::PgType;

pub(crate) use receipt::receipt;

/// The session that a query runs in.
pub(crate) fn session(context: &QueryContext) -> Option<&SessionShared> {
    context.session.as_deref()?.downcast_ref::<SessionShared>()
}

/// The state that the session's node keeps.
fn state(context: &QueryContext) -> Result<&Arc<State>, Error> {
    session(context)
        .map(|session| session.engine.state())
        .ok_or_else(|| Error::internal("the past was asked for without a session"))
}

/// The state when a block was the newest.
fn state_at(state: &State, height: u64) -> Result<Snapshot, Error> {
    state.snapshot_at(Height(height)).map_err(|error| Error::internal(error.to_string()))
}

/// The block that brought the definitions which held at a height: versions of the catalog only rise.
fn defined_since(state: &State, height: u64) -> Result<u64, Error> {
    let version = state_at(state, height)?.catalog().version();
    let (mut low, mut high) = (0, height);
    while low < high {
        let middle = low.midpoint(high);
        if state_at(state, middle)?.catalog().version() < version {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The snapshot of a point of the chain: a block's number, `block:N`, `tx:UUID`, a time as text or as a value.
fn snapshot_at(context: &QueryContext, point: &Datum) -> Result<Snapshot, Error> {
    let state = state(context)?;
    let now = context.statement_time_us;
    match point {
        Datum::Text(text) => crate::as_of::snapshot(state, text, context.zone, now),
        Datum::Timestamptz(time_us) => {
            let height = crate::as_of::height_at(state, *time_us, now)?;
            state.snapshot_at(height).map_err(|error| Error::new("22023", error.to_string()))
        }
        Datum::Int(number) => {
            crate::as_of::snapshot(state, &format!("block:{number}"), context.zone, now)
        }
        // A time without a zone is one of the session's.
        Datum::Date(_) | Datum::Timestamp(_) => {
            let kind =
                if matches!(point, Datum::Date(_)) { PgType::Date } else { PgType::Timestamp };
            let (to, how) = (PgType::Timestamptz, cast::How::Explicit);
            snapshot_at(context, &cast::convert(context, point.clone(), &kind, &to, how)?)
        }
        Datum::Null => Err(Error::new("22004", "the point of the chain is NULL")),
        _ => Err(Error::new("22023", "the point of the chain is neither a text nor a time")
            .with_hint("Write 'block:N', 'tx:UUID', or a time.")),
    }
}

/// A relation of the schema `ledger`.
pub(crate) fn relation(name: &str) -> Option<VirtualTable> {
    Some(match name {
        "blocks" => chain::blocks(),
        "certificates" => certificates::relation(),
        "transactions" => chain::transactions(),
        "tables" => chain::tables(),
        "members" => chain::members(),
        "nodes" => nodes::relation(),
        _ => return None,
    })
}

/// A function of the schema `ledger` that gives a relation.
///
/// # Errors
/// 42883 for other arguments; what the functions say.
pub(crate) fn table_function(
    context: &QueryContext,
    name: &str,
    arguments: &[Datum],
) -> Result<Option<VirtualTable>, Error> {
    match (name, arguments) {
        ("as_of", [Datum::Text(table), point]) => past::as_of(context, table, point).map(Some),
        ("history", [Datum::Text(table)]) => past::history(context, table).map(Some),
        ("diff", [Datum::Text(table), from, to]) => past::diff(context, table, from, to).map(Some),
        ("verify", []) => Ok(Some(verify::relation())),
        ("as_of" | "history" | "diff" | "verify", _) => Err(Error::new(
            "42883",
            format!("function ledger.{name} with these arguments does not exist"),
        )
        .with_hint(
            "There are ledger.as_of(table, point), ledger.history(table), ledger.diff(table, from, to) and ledger.verify().",
        )),
        _ => Ok(None),
    }
}

/// Scalar functions of the schema `ledger`.
pub(crate) fn functions(schema: Option<&str>, name: &str) -> Vec<Arc<Function>> {
    let found = match name {
        _ if schema != Some("ledger") => Vec::new(),
        "certificate" => certificates::functions(),
        "digest" => vec![digest::function()],
        "receipt" => receipt::functions(),
        _ => prove::functions(name).into_iter().chain(nodes::functions(name)).collect(),
    };
    found.into_iter().map(Arc::new).collect()
}
