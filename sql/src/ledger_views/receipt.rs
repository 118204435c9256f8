//! `ledger.receipt()`: where in the chain a transaction stands.

use ledger::{Height, TransactionId};
use serde_json::{Value as Json, json};
use storage::Snapshot;

use crate::Error;
use crate::functions::{Datum, Function};
use crate::read::QueryContext;

/// The functions. Without an argument it is about the running transaction if that writes (then there is only its
/// number, as no block has it yet), otherwise about the last one that the session committed.
pub(super) fn functions() -> Vec<Function> {
    let own = Function::row("receipt() jsonb", |call, _| {
        let session = super::session(call.context)
            .ok_or_else(|| Error::internal("a receipt was asked for without a session"))?;
        match (session.own_transaction(), session.last_transaction()) {
            (Some(running), _) => Ok(shown(&json!({"tx": running.to_string()}))),
            (None, Some(last)) => of(call.context, last),
            (None, None) => Ok(Datum::Null),
        }
    });
    let other = Function::row("receipt(uuid) jsonb", |call, arguments| match arguments {
        [Datum::Uuid(id)] => of(call.context, TransactionId(*id)),
        _ => Ok(Datum::Null),
    });
    [own, other].map(|function| function.volatile().in_schema("ledger")).into()
}

fn shown(json: &Json) -> Datum {
    Datum::Text(json.to_string())
}

fn of(context: &QueryContext, id: TransactionId) -> Result<Datum, Error> {
    let state = super::state(context)?;
    match state.find_transaction(id)? {
        Some((height, place)) => Ok(shown(&receipt(&state.snapshot(), id, height, place)?)),
        None => Ok(Datum::Null),
    }
}

/// A receipt as JSON.
pub(crate) fn receipt(
    snapshot: &Snapshot,
    id: TransactionId,
    height: Height,
    place: u32,
) -> Result<Json, Error> {
    let records = snapshot.blocks(height..Height(height.0 + 1))?;
    let record = records.first().ok_or_else(|| Error::internal("a receipt without its block"))?;
    Ok(json!({
        "tx": id.to_string(),
        "block": height.0,
        "position": place,
        "hash": record.hash.to_string(),
        "time_us": record.header.time_us,
        "chain": record.header.chain_id().to_string(),
    }))
}
