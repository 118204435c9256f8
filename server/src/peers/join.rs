//! How a node that knows nobody gets to know its chain: it knocks at a member's door and is told, once it is admitted,
//! which number it has and who the others are.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use ledger::{Hash, PublicKey};
use raft::{NodeId, Peer};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::connect::{Connection, Connector};
use super::frame::{Frame, Head, Kind, Purpose};

/// How long one attempt may take.
const KNOCK: Duration = Duration::from_secs(5);
/// How long the next attempt waits.
const PAUSE: Duration = Duration::from_millis(500);

/// What a member is told of its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// The chain: its genesis block's hash, in hex.
    pub(crate) chain: String,
    /// The number of who asks; none before it is admitted, and then nobody else is named.
    pub(crate) node: Option<NodeId>,
    /// All nodes.
    pub(crate) members: Vec<Member>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    id: NodeId,
    address: String,
    /// Its public key, in hex.
    key: String,
}

impl Member {
    pub(super) fn new(id: NodeId, peer: Peer) -> Self {
        let key = peer.public_key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, address: peer.address, key }
    }

    /// Its number, how it is reached, and its key.
    pub(super) fn identity(&self) -> Option<(NodeId, Peer)> {
        let public_key = crate::identity::from_hex(&self.key)?;
        Some((self.id, Peer { address: self.address.clone(), public_key }))
    }
}

/// Knocks at an address until this node is admitted; `waits` is called once, when it has to wait for that.
///
/// # Errors
/// A chain that is another than the one wanted, or an answer that is none.
pub(super) async fn knock(
    connector: &Connector,
    address: &str,
    wanted: Option<Hash>,
    mut waits: impl FnMut(&Introduction),
) -> anyhow::Result<(Hash, NodeId, Vec<Member>)> {
    let mut told = false;
    loop {
        let connecting = connector.anyone(address, Purpose::Knock);
        match timeout(KNOCK, Box::pin(once(connecting, wanted.unwrap_or_default()))).await {
            Ok(Ok(introduction)) => {
                let chain = crate::identity::from_hex(&introduction.chain).map(Hash);
                let chain = chain.context("the node at the other end names no chain")?;
                anyhow::ensure!(
                    wanted.is_none_or(|wanted| wanted == chain),
                    "the node at {address} has another chain: {chain}"
                );
                if let Some(node) = introduction.node {
                    return Ok((chain, node, introduction.members));
                }
                if !std::mem::replace(&mut told, true) {
                    waits(&introduction);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, address, "can't ask to be admitted"),
            Err(_) => tracing::warn!(address, "no answer when asking to be admitted"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks a member who the members are now.
pub(super) async fn ask(
    connector: &Connector,
    peer: &Peer,
    chain: Hash,
) -> io::Result<Vec<Member>> {
    let connecting = connector.node(&peer.address, PublicKey(peer.public_key), Purpose::Knock);
    let asked = timeout(KNOCK, Box::pin(once(connecting, chain))).await;
    Ok(asked.map_err(|_| io::ErrorKind::TimedOut)??.members)
}

async fn once(
    connecting: impl Future<Output = io::Result<Connection>>,
    chain: Hash,
) -> io::Result<Introduction> {
    let mut connection = connecting.await?;
    let question = Frame { kind: Kind::Question(chain), number: 0, bytes: Vec::new() };
    question.write(&mut connection).await?;
    connection.flush().await?;
    let head = Head::read(&mut connection).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let answer = head.body(&mut connection).await?;
    match answer.kind {
        Kind::Answer => Ok(serde_json::from_slice(&answer.bytes)?),
        Kind::Refusal | Kind::Question(_) => {
            Err(io::Error::other(String::from_utf8_lossy(&answer.bytes).into_owned()))
        }
    }
}
