//! `ledger.digest()`: the chain in a few numbers, signed by the node.

use ledger::Height;

use crate::Error;
use crate::functions::{Datum, Function};
use crate::read::QueryContext;

/// The function. Its result is the digest as JSON, which `stele verify` and proofs take.
pub(super) fn function() -> Function {
    Function::row("digest() jsonb", |call, _| digest(call.context)).volatile().in_schema("ledger")
}

fn digest(context: &QueryContext) -> Result<Datum, Error> {
    let snapshot = &context.snapshot;
    snapshot.check_cut()?;
    let end = snapshot.height();
    let mut history = ledger::merkle::History::default();
    let mut last = None;
    let mut start = 0;
    while start <= end.0 {
        let next = (start + 4096).min(end.0 + 1);
        for record in snapshot.blocks(Height(start)..Height(next))? {
            history.append(record.hash);
            last = Some(record);
        }
        start = next;
    }
    let Some(last) = last else { return Err(Error::internal("a chain without a block")) };
    let tip = ledger::Tip {
        chain: last.header.chain_id(),
        height: end,
        hash: last.hash,
        time_us: last.header.time_us,
        history,
    };
    let session = super::session(context)
        .ok_or_else(|| Error::internal("a digest was asked for without a session"))?;
    match session.engine.order.sign_digest(&tip) {
        Some(digest) => Ok(Datum::Text(digest.to_json().to_string())),
        None => Err(Error::unsupported(
            "ledger.digest() on this node",
            "Ask a node that holds a member's key.",
        )),
    }
}
