//! The nodes of a chain among themselves: one way to each node for each kind of message, over TLS where both sides
//! show their nodes' keys. It serves as many chains as the process hosts, and knows no consensus: messages are bytes.

mod connect;
mod frame;
mod host;
mod join;
mod line;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ledger::{Hash, NodeKey, PublicKey};
use parking_lot::Mutex;
use raft::{Lane, Network, NodeId, Peer, Unreached};
use tokio::net::TcpListener;

use connect::Connector;
use frame::Purpose;
pub(crate) use join::Introduction;
use join::Member;
use line::Line;
use tls::Identity;

/// What this node says its version is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long it counts who a member said the members are.
const INTRODUCED: Duration = Duration::from_secs(10);
/// Members are asked at most this often who the members are.
const REFRESH: Duration = Duration::from_secs(1);

/// All ways to other nodes, and the chains that they may ask for.
#[derive(Debug)]
pub struct Peers {
    connector: Arc<Connector>,
    lines: Mutex<BTreeMap<(String, PublicKey, Lane), Arc<Line>>>,
    hosted: Mutex<BTreeMap<Hash, Arc<Hosted>>>,
}

/// A chain whose node is in this process.
struct Hosted {
    node: Arc<raft::Node>,
    /// Who the members are, as one of them said.
    introduced: Mutex<Introduced>,
    /// Whether a member is being asked for them.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// Who the members were a moment ago: of use while this node's own chain doesn't name them yet, and no longer, because a
/// member may be taken out.
#[derive(Debug)]
struct Introduced {
    members: BTreeMap<NodeId, Peer>,
    at: Instant,
}

impl Introduced {
    fn new(members: &[Member]) -> Self {
        let members = members.iter().filter_map(Member::identity).collect();
        Self { members, at: Instant::now() }
    }

    fn who(&self, key: PublicKey) -> Option<NodeId> {
        let mut all = self.members.iter().filter(|_| self.at.elapsed() < INTRODUCED);
        all.find(|(_, peer)| peer.public_key == key.0).map(|(id, _)| *id)
    }
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted").field("introduced", &self.introduced).finish_non_exhaustive()
    }
}

/// What joining gave.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) chain: Hash,
    pub(crate) node: NodeId,
    members: Vec<Member>,
}

impl Peers {
    /// The ways of the node with this key.
    ///
    /// # Errors
    /// When TLS takes the key for none.
    pub fn new(key: &NodeKey) -> anyhow::Result<Arc<Self>> {
        let identity = Identity::new(key).context("the node's key")?;
        let connector = Arc::new(Connector::new(identity));
        Ok(Arc::new(Self { connector, lines: Mutex::default(), hosted: Mutex::default() }))
    }

    /// Takes connections of other nodes; gives where. Its end is the process's.
    ///
    /// # Errors
    /// When TLS takes the key for none.
    pub fn listen(
        self: &Arc<Self>,
        key: &NodeKey,
        listener: TcpListener,
    ) -> anyhow::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let acceptor = Identity::new(key)?.acceptor()?;
        drop(tokio::spawn(host::serve(Arc::clone(self), listener, acceptor)));
        Ok(address)
    }

    /// Lets other nodes ask this one.
    pub(crate) fn host(&self, node: &Arc<raft::Node>, joined: Option<&Joined>) {
        let members = joined.map_or(&[][..], |joined| &joined.members);
        let hosted = Hosted {
            node: Arc::clone(node),
            introduced: Mutex::new(Introduced::new(members)),
            asking: Arc::default(),
        };
        self.hosted.lock().insert(node.chain(), Arc::new(hosted));
    }

    /// Knocks at a node's door until this one is admitted; `waits` is called once, when it has to wait for that.
    ///
    /// # Errors
    /// A chain that is another than the one wanted, or an answer that is none.
    pub(crate) async fn join(
        &self,
        address: &str,
        wanted: Option<Hash>,
        waits: impl FnMut(&Introduction),
    ) -> anyhow::Result<Joined> {
        let (chain, node, members) = join::knock(&self.connector, address, wanted, waits).await?;
        Ok(Joined { chain, node, members })
    }

    /// Whether a majority of the voters that a node knows says that it is no member of its chain.
    pub(crate) async fn is_disowned(&self, node: &raft::Node) -> bool {
        let (own, chain, mut members) = (node.id(), node.chain(), node.members());
        let voters = node.voters();
        members.retain(|id, _| voters.contains(id) && Some(*id) != own);
        let asked = members.values().map(|peer| join::ask(&self.connector, peer, chain));
        let answers = futures::future::join_all(asked).await;
        let disowned =
            answers.iter().filter(|answer| matches!(answer, Ok(known) if known.is_empty()));
        disowned.count() > voters.len() / 2
    }

    fn hosted(&self, chain: Hash) -> Result<Arc<Hosted>, &'static str> {
        self.hosted.lock().get(&chain).cloned().ok_or("this node does not have that chain")
    }

    /// Whether a node may ask for a chain.
    fn may_ask(&self, chain: Hash, key: PublicKey) -> Result<(), &'static str> {
        let hosted = self.hosted(chain)?;
        match hosted.who(key) {
            Some(_) => Ok(()),
            None => {
                // The others may have admitted it while this node was away.
                drop(tokio::spawn(refresh(Arc::clone(&self.connector), hosted, chain)));
                Err("no member of that chain")
            }
        }
    }

    async fn answer(&self, chain: Hash, key: PublicKey, message: &[u8]) -> Result<Vec<u8>, String> {
        let hosted = self.hosted(chain)?;
        let from = hosted.who(key).ok_or("no member of that chain")?;
        hosted.node.answer(from, message).await.map_err(|error| error.to_string())
    }

    /// What a node is told of a chain; the zero hash is the only one that there is.
    fn introduction(&self, chain: Hash, key: PublicKey) -> Result<Introduction, &'static str> {
        let only = self.hosted.lock().keys().next().copied();
        let chain = match only {
            Some(only) if chain == Hash::default() => only,
            _ => chain,
        };
        let hosted = self.hosted(chain)?;
        let node = hosted.node.number_of(&key);
        let members = match node {
            None => Vec::new(),
            Some(_) => {
                hosted.node.members().into_iter().map(|(id, peer)| Member::new(id, peer)).collect()
            }
        };
        Ok(Introduction { chain: chain.to_string(), node, members })
    }
}

impl Hosted {
    /// The number of the node with this key.
    fn who(&self, key: PublicKey) -> Option<NodeId> {
        self.node.number_of(&key).or_else(|| self.introduced.lock().who(key))
    }
}

/// Asks members who the members are now. A node that was away may not know the one that leads.
async fn refresh(connector: Arc<Connector>, hosted: Arc<Hosted>, chain: Hash) {
    let Ok(_alone) = Arc::clone(&hosted.asking).try_lock_owned() else { return };
    let own = hosted.node.id();
    let mut known = hosted.introduced.lock().members.clone();
    known.extend(hosted.node.members());
    for (id, peer) in known {
        if Some(id) == own || peer.address.is_empty() {
            continue;
        }
        match join::ask(&connector, &peer, chain).await {
            Ok(members) if !members.is_empty() => {
                *hosted.introduced.lock() = Introduced::new(&members);
                break;
            }
            Ok(_) => tracing::warn!(node = id, "it does not take this node for a member"),
            Err(error) => tracing::debug!(%error, node = id, "can't ask who the members are"),
        }
    }
    // A stranger that goes on asking makes no storm of it.
    tokio::time::sleep(REFRESH).await;
}

impl Network for Peers {
    fn ask(
        &self,
        chain: Hash,
        _to: NodeId,
        peer: &Peer,
        lane: Lane,
        message: Vec<u8>,
    ) -> storage::BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        if peer.address.is_empty() {
            let unknown = Unreached("its address is not known here".to_owned());
            return Box::pin(std::future::ready(Err(unknown)));
        }
        let key = PublicKey(peer.public_key);
        let place = (peer.address.clone(), key, lane);
        let line = Arc::clone(self.lines.lock().entry(place).or_insert_with(|| {
            let connector = Arc::clone(&self.connector);
            Arc::new(Line::new(connector, peer.address.clone(), key, Purpose::Lane(lane)))
        }));
        let answer = line.ask(chain, message);
        Box::pin(async move {
            let gone = |_| Err(Unreached("the way to it has ended".to_owned()));
            answer.await.unwrap_or_else(gone)
        })
    }

    fn version(&self, peer: &Peer) -> Option<String> {
        self.connector.version(PublicKey(peer.public_key))
    }
}
