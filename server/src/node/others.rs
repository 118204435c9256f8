//! A node's place among others: where they reach it, how it joins them, and that they know where it is.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ledger::{Hash, Height, NodeKey};
use raft::{Network, Start};
use storage::NodeChange;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::identity;
use crate::peers::{Joined, Peers};

/// How long the node waits before it asks again for what others have to do.
const PAUSE: Duration = Duration::from_millis(200);

/// How often a node looks whether it still is one of the chain.
const REMOVED: Duration = Duration::from_secs(2);
/// How long a node waits at its start for what others have committed.
const COMPANY: Duration = Duration::from_secs(10);

/// The way to the other nodes of a chain.
pub(super) struct Others {
    peers: Arc<Peers>,
    /// How they reach this one.
    address: String,
    key: NodeKey,
}

impl Others {
    /// Listens for other nodes, if there may be any.
    pub(super) async fn listen(config: &Config, key: &NodeKey) -> anyhow::Result<Option<Self>> {
        let Some(listen) = config.peer_listen else { return Ok(None) };
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("can't listen on {listen} for other nodes"))?;
        let peers = Peers::new(key)?;
        let listening = peers.listen(key, listener)?;
        let address = config.peer_address.clone().unwrap_or_else(|| listening.to_string());
        Ok(Some(Self { peers, address, key: NodeKey::from_bytes(&key.to_bytes()) }))
    }

    /// The way to other nodes, for consensus.
    pub(super) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.peers) as Arc<dyn Network>
    }

    /// How they reach this one.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks a node to be admitted to its chain, and waits until that has been done.
    pub(super) async fn join(&self, target: &str) -> anyhow::Result<Joined> {
        let (wanted, address) = match target.rsplit_once('@') {
            None => (None, target),
            Some((chain, address)) => {
                let chain = identity::from_hex(chain).with_context(|| {
                    format!("\"{chain}\" is no chain: it is written as 64 hex digits")
                })?;
                (Some(Hash(chain)), address)
            }
        };
        let told = |chain: &str| self.tell(address, chain);
        self.peers.join(address, wanted, |introduction| told(&introduction.chain)).await
    }

    /// Tells the operator what is left to do.
    fn tell(&self, asked: &str, chain: &str) {
        let key: String = self.key.public().0.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "{asked} is asked to admit this node to chain {chain}.\nOn a node of the chain, as a superuser, with a name of your choice:\n\n  SELECT ledger.add_node('NAME', '{}', '{key}');\n",
            self.address
        );
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            tracing::warn!(text, "the standard output is gone");
        }
    }

    /// Lets other nodes ask this one, and makes known to them where it is.
    pub(super) fn begin(&self, node: &Arc<raft::Node>, joined: Option<&Joined>) {
        self.peers.host(node, joined);
        let change =
            NodeChange::Admit { address: self.address.clone(), public_key: self.key.public().0 };
        drop(tokio::spawn(announce(Arc::clone(node), change, self.address.clone())));
    }
}

impl Others {
    /// Ends when a majority of the voters that this node knows says that it is none of them. A node that is removed is
    /// told nothing any more, so that it has to ask; who is heard by the leader needn't.
    pub(super) async fn removed(&self, node: &raft::Node) {
        loop {
            tokio::time::sleep(REMOVED).await;
            // Blocks up to that point may never come.
            let heard = tokio::time::timeout(REMOVED, node.read_point()).await;
            if !matches!(heard, Ok(Ok(_))) && self.peers.is_disowned(node).await {
                return;
            }
        }
    }
}

/// What a node of an empty directory begins with, or one that has its chain.
pub(super) fn start(joined: Option<&Joined>, genesis: ledger::Block) -> Start {
    match joined {
        Some(joined) => Start::Join { chain: joined.chain, node: joined.node },
        None => Start::Found(Box::new(genesis)),
    }
}

/// Waits until a node has what the others had committed before, so that its first clients don't find it in the past. One
/// that has just joined has nothing to show before that; any other is of use without its company, too.
pub(super) async fn catch_up(node: &raft::Node, joined: bool) {
    let began = Instant::now();
    while node.voters().len() > 1 || joined {
        match node.read_point().await {
            Ok(height) => return tracing::info!(height = height.0, "the node has all blocks"),
            Err(error) if joined || began.elapsed() < COMPANY => {
                tracing::info!(%error, height = node.status().head.height.0, "waiting for blocks");
            }
            Err(error) => {
                return tracing::warn!(%error, "the node begins without knowing what others committed");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Notes beside the data which chain they are of, as soon as there is a block: a node that has lost its blocks must not
/// begin anew under its old name.
pub(super) async fn note_chain(node: Arc<raft::Node>, data: std::path::PathBuf) {
    node.state().wait_applied(Height(0)).await;
    if let Err(error) = identity::note_chain(&data, node.chain()) {
        tracing::error!(%error, "can't note which chain the data are of");
    }
}

/// Tells the others where this node is reached, if they know another place.
async fn announce(node: Arc<raft::Node>, change: NodeChange, address: String) {
    loop {
        let known = node.id().and_then(|own| node.members().remove(&own));
        match known {
            Some(known) if known.address == address => return,
            Some(_) => {
                if let Err(error) = node.change(change.clone()).await {
                    tracing::debug!(%error, "can't tell the others where this node is");
                }
            }
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}
