//! The simulated network: messages take their time, are lost, doubled and overtaken, and whole directions can be cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ledger::Hash;
use parking_lot::Mutex;
use raft::{Lane, Network, NodeId, NodeOn, Peer, Unreached};
use storage::BoxFuture;
use tokio::sync::oneshot;

use crate::{
    chance,
    machine::{Simulated, now, sleep, spawn},
};

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Most µs that a message takes.
    pub(crate) delay: u64,
    /// Messages of a hundred that are lost, that come twice, and that may be overtaken.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) overtaken: u64,
}

impl Weather {
    pub(crate) const FAIR: Self = Self { delay: 1_000, lost: 0, doubled: 0, overtaken: 5 };
}

/// All wires between the nodes.
pub(crate) struct Net(Mutex<Wires>);

struct Wires {
    /// The nodes that run, by address.
    nodes: BTreeMap<String, (Arc<NodeOn<Simulated>>, Alive)>,
    /// Directions in which nothing passes.
    cut: BTreeSet<(String, String)>,
    weather: Weather,
    /// When the last message of a direction and lane arrives: the next comes later.
    last: BTreeMap<(String, String, Lane), Duration>,
    messages: u64,
}

/// Whether a node's process runs: what a dead one still does is seen by nobody.
pub(crate) type Alive = Arc<AtomicBool>;

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Wires {
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            weather: Weather::FAIR,
            last: BTreeMap::new(),
            messages: 0,
        })))
    }

    pub(crate) fn plug(&self, address: &str, node: &Arc<NodeOn<Simulated>>, alive: &Alive) {
        self.0.lock().nodes.insert(address.to_owned(), (Arc::clone(node), Arc::clone(alive)));
    }

    pub(crate) fn unplug(&self, address: &str) {
        self.0.lock().nodes.remove(address);
    }

    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.0.lock().cut.insert((from.to_owned(), to.to_owned()));
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.0.lock().weather = weather;
    }

    /// Messages so far, answers included.
    pub(crate) fn messages(&self) -> u64 {
        self.0.lock().messages
    }

    /// When a message that is sent now arrives; nothing if it never does.
    fn pass(&self, from: &str, to: &str, lane: Lane) -> Option<Duration> {
        let mut wires = self.0.lock();
        wires.messages += 1;
        let weather = wires.weather;
        let delay = chance::micros(100, 101 + weather.delay);
        let (lost, overtaken) = (chance::percent(weather.lost), chance::percent(weather.overtaken));
        if lost || wires.cut.contains(&(from.to_owned(), to.to_owned())) {
            return None;
        }
        let arrives = now() + delay;
        let last = wires.last.entry((from.to_owned(), to.to_owned(), lane)).or_default();
        if overtaken {
            return Some(arrives + chance::micros(0, 1 + weather.delay * 3));
        }
        *last = arrives.max(*last + Duration::from_nanos(1));
        Some(*last)
    }

    fn doubled(&self) -> bool {
        chance::percent(self.0.lock().weather.doubled)
    }

    fn node(&self, address: &str) -> Option<(Arc<NodeOn<Simulated>>, Alive)> {
        self.0.lock().nodes.get(address).cloned()
    }
}

async fn until(time: Duration) {
    sleep(time.saturating_sub(now())).await;
}

/// One node's end of the wires.
#[derive(Debug)]
pub(crate) struct Plug {
    pub(crate) net: Arc<Net>,
    pub(crate) address: String,
    pub(crate) node: NodeId,
    pub(crate) alive: Alive,
}

impl Network for Plug {
    fn ask(
        &self,
        _chain: Hash,
        _to: NodeId,
        peer: &Peer,
        lane: Lane,
        message: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        let (sender, receiver) = oneshot::channel();
        if self.alive.load(Ordering::Relaxed) {
            let trip = Trip {
                net: Arc::clone(&self.net),
                from: self.address.clone(),
                node: self.node,
                to: peer.address.clone(),
                lane,
                message,
            };
            // The contract: what is handed in arrives once, or not.
            if lane != Lane::Work && self.net.doubled() {
                spawn(trip.clone().run(None));
            }
            spawn(trip.run(Some(sender)));
        }
        Box::pin(async move { receiver.await.map_err(|_| Unreached("refused".to_owned())) })
    }
}

/// A message, and its answer.
#[derive(Clone)]
struct Trip {
    net: Arc<Net>,
    from: String,
    node: NodeId,
    to: String,
    lane: Lane,
    message: Vec<u8>,
}

impl Trip {
    async fn run(self, sender: Option<oneshot::Sender<Vec<u8>>>) {
        let Some(arrives) = self.net.pass(&self.from, &self.to, self.lane) else {
            return lose(sender).await;
        };
        until(arrives).await;
        let Some((node, alive)) = self.net.node(&self.to) else {
            // Nobody listens: that is told at once.
            return;
        };
        let Ok(answer) = node.answer(self.node, &self.message).await else { return };
        drop(node);
        if !alive.load(Ordering::Relaxed) {
            return lose(sender).await;
        }
        match self.net.pass(&self.to, &self.from, self.lane) {
            Some(arrives) => {
                until(arrives).await;
                if let Some(sender) = sender {
                    drop(sender.send(answer));
                }
            }
            None => lose(sender).await,
        }
    }
}

/// Whoever asked waits in vain.
async fn lose(sender: Option<oneshot::Sender<Vec<u8>>>) {
    sleep(Duration::from_secs(5)).await;
    drop(sender);
}
