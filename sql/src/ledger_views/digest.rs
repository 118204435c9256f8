//! `ledger.digest()`: the chain in a few numbers, signed by the node.

use ledger::proof::Digest;
use ledger::{Hash, Header, Height};
use storage::Snapshot;

use crate::Error;
use crate::functions::{Datum, Function};
use crate::read::QueryContext;

/// The function. Its result is the digest as JSON, which `stele verify` and proofs take.
pub(super) fn function() -> Function {
    Function::row("digest() jsonb", |call, _| {
        let headers = Headers::up_to(&call.context.snapshot)?;
        Ok(Datum::Text(headers.digest(call.context)?.to_json().to_string()))
    })
    .volatile()
    .in_schema("ledger")
}

/// The hashes of all headers of a chain, up to a height.
pub(super) struct Headers {
    /// From genesis on.
    pub(super) hashes: Vec<Hash>,
    last: std::sync::Arc<Header>,
}

impl Headers {
    /// Those that a snapshot has.
    pub(super) fn up_to(snapshot: &Snapshot) -> Result<Self, Error> {
        snapshot.check_cut()?;
        let end = snapshot.height();
        let (mut hashes, mut last) = (Vec::new(), None);
        let mut start = 0;
        while start <= end.0 {
            let next = (start + 4096).min(end.0 + 1);
            for record in snapshot.blocks(Height(start)..Height(next))? {
                hashes.push(record.hash);
                last = Some(record.header);
            }
            start = next;
        }
        let last = last.ok_or_else(|| Error::internal("a chain without a block"))?;
        Ok(Self { hashes, last })
    }

    /// Their digest, signed by this node.
    pub(super) fn digest(&self, context: &QueryContext) -> Result<Digest, Error> {
        let mut history = ledger::merkle::History::default();
        for hash in &self.hashes {
            history.append(*hash);
        }
        let tip = ledger::Tip {
            chain: self.last.chain_id(),
            height: self.last.height,
            hash: self.last.hash(),
            time_us: self.last.time_us,
            history,
        };
        let session = super::session(context)
            .ok_or_else(|| Error::internal("a digest was asked for without a session"))?;
        session.engine.order.sign_digest(&tip).ok_or_else(|| {
            Error::unsupported("a digest by this node", "Ask a node that holds a member's key.")
        })
    }
}
