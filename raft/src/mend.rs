//! Damaged blocks, fetched from other nodes and put right in their places. Whether what a node gives is what was here is
//! the block file's judgement; nothing is cut, and nobody is believed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ledger::{Block, Height, Transaction};
use parking_lot::Mutex;
use storage::BlockFile;
use tokio::sync::oneshot;

use crate::{
    codec::messages::{Answer, Request},
    network::{Lane, Network, Way, Ways},
    runtime::Runtime,
    types::{NodeId, Peer},
};

/// Most blocks, and bytes of them after which there is no further, in one answer.
const BLOCKS: u64 = 64;
const BYTES: u64 = 4 << 20;
/// How long a node may take to answer: one block may be large.
const ANSWERED: Duration = Duration::from_secs(10);

/// Blocks that were damaged here and were put right, since the node was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// How many.
    pub blocks: u64,
    /// The last one.
    pub last: Option<Height>,
}

/// The blocks that another node asks for, as far as they are here and fit an answer.
pub(crate) fn lend(blocks: &BlockFile, from: Height, to: Height) -> Vec<Arc<Block>> {
    let (mut lent, mut bytes) = (Vec::new(), 0);
    let end = to.0.min(from.0.saturating_add(BLOCKS - 1));
    for height in (from.0..=end).map(Height) {
        let Ok(Some(block)) = blocks.read(height) else { break };
        bytes += block.transactions.iter().map(Transaction::size).sum::<u64>();
        lent.push(block);
        if bytes > BYTES {
            break;
        }
    }
    lent
}

/// Who puts a node's damaged blocks right.
pub(crate) struct Mender {
    network: Arc<dyn Network>,
    tally: Mutex<Mended>,
}

impl Mender {
    pub(crate) fn new(network: Arc<dyn Network>) -> Self {
        Self { network, tally: Mutex::default() }
    }

    pub(crate) fn tally(&self) -> Mended {
        *self.tally.lock()
    }

    /// Tries to put all damaged blocks right with what these nodes have, and gives those that are now.
    pub(crate) async fn mend<R: Runtime>(
        &self,
        blocks: &BlockFile,
        peers: &BTreeMap<NodeId, Peer>,
    ) -> Vec<Height> {
        let mut mended = Vec::new();
        let mut whole = (0..blocks.durable()).filter_map(|at| blocks.front(Height(at)).ok()?);
        let Some(chain) = whole.next().map(|block| block.header.chain_id()) else { return mended };
        let ways = Ways { network: Arc::clone(&self.network), chain };
        for (from, to) in blocks.damaged() {
            for (id, peer) in peers {
                match mend_run::<R>(blocks, (from, to), &ways.to(*id, peer)).await {
                    Ok(()) => {
                        tracing::warn!(
                            from = from.0,
                            to = to.0,
                            node = id,
                            "damaged blocks were put right"
                        );
                        let mut tally = self.tally.lock();
                        tally.blocks += to.0 - from.0 + 1;
                        tally.last = Some(to);
                        mended.extend((from.0..=to.0).map(Height));
                        break;
                    }
                    Err(reason) => {
                        tracing::warn!(
                            from = from.0,
                            to = to.0,
                            node = id,
                            reason,
                            "blocks stay damaged"
                        );
                    }
                }
            }
        }
        mended
    }
}

/// Fetches a run of blocks, and has it put in its place.
async fn mend_run<R: Runtime>(
    blocks: &BlockFile,
    (from, to): (Height, Height),
    way: &Way,
) -> Result<(), String> {
    let mut fetched: Vec<Arc<Block>> = Vec::new();
    while let Some(next) = Some(from.0 + fetched.len() as u64).filter(|next| *next <= to.0) {
        let request = Request::Blocks(Height(next), to);
        match way.ask::<R>(Lane::Blocks, &request, ANSWERED).await {
            Ok(Answer::Blocks(more)) if !more.is_empty() => fetched.extend(more),
            Ok(_) => return Err("it doesn't have them".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    blocks.mend(fetched, done).map_err(|fault| fault.to_string())?;
    let result = receiver.await.map_err(|_| "the block file is closed".to_owned())?;
    result.map_err(|fault| fault.to_string())
}
