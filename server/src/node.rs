//! One node: opens its data, puts the floors on each other, listens, and takes all down again in reverse.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::{Block, Genesis, NodeKey, TransactionId};
use ring::hmac;
use storage::{Clock, FjallIndex, Order, RealClock, RealDisk, StateConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::identity;
use crate::pg::{self, Limits, Phase, Shared};

mod others;
#[cfg(test)]
mod tests;

use others::Others;

/// Where the blocks are, below the data directory.
pub(crate) const BLOCKS: &str = "blocks";
/// Where the key index and checkpoints are, which may be deleted at any time.
const INDEX: &str = "index";
/// Where sealed rows are, which may be deleted at any time.
const SEGMENTS: &str = "segments";
/// Where queries put aside what doesn't fit into memory; emptied at each start.
const SPILL: &str = "spill";
/// The role and the database that a new chain has.
const NAME: &str = "stele";

/// Deep expressions are planned by recursion.
const STACK: usize = 8 << 20;

/// Runs a node until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("stele")
        .thread_stack_size(STACK)
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut stop = StopSignal::new()?;
    // The port is taken first: a node that can't be reached doesn't touch its data.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let house = tokio::select! {
        house = House::open(&config) => house?,
        () = stop.wait() => return Ok(()),
    };
    let (phase, watched) = watch::channel(Phase::Running);
    let shared = Arc::new(house.shared(&config, watched)?);
    house.greet(address)?;
    let listening = tokio::spawn(pg::serve(listener, shared, config.shutdown_grace.0));
    tokio::select! {
        () = stop.wait() => {}
        () = house.removed() => {
            tracing::error!("the other nodes removed this one from the chain: it takes no clients");
            phase.send_replace(Phase::Removed);
            stop.wait().await;
        }
    }
    tracing::info!("stopping");
    phase.send_replace(Phase::Draining);
    tokio::select! {
        ended = listening => ended.context("the listener failed")?,
        // Asked twice: sessions are dropped; what was acknowledged is durable all the same.
        () = stop.wait() => {}
    }
    house.node.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// The floors of a node, open.
struct House {
    node: Arc<raft::Node>,
    key: NodeKey,
    clock: Arc<dyn Clock>,
    /// Set when this start made the chain and no password was given.
    password: Option<String>,
    others: Option<Others>,
}

impl House {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        make_directory(&config.data)?;
        let blocks = config.data.join(BLOCKS);
        let is_new = !blocks.is_dir() || std::fs::read_dir(&blocks)?.next().is_none();
        if let Some(chain) = identity::noted_chain(&config.data)?.filter(|_| is_new) {
            anyhow::bail!(
                "the blocks of chain {chain} are gone from {}: restore them, or start with another directory as a new node",
                blocks.display()
            );
        }
        let key = identity::node_key(&config.data, is_new)?;
        let others = Others::listen(config, &key).await?;
        let joined = match (&others, &config.join) {
            (Some(others), Some(target)) if is_new => Some(Box::pin(others.join(target)).await?),
            _ => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let (genesis, password) = genesis(&key, clock.as_ref())?;
        let disk = RealDisk::new(&blocks)
            .with_context(|| format!("can't use the directory {}", blocks.display()))?;
        let segments = config.data.join(SEGMENTS);
        let segments = RealDisk::new(&segments)
            .with_context(|| format!("can't use the directory {}", segments.display()))?;
        let index = FjallIndex::open(&config.data.join(INDEX), storage::INDEX_CACHE_BYTES)?;
        let options = raft::Options {
            key: NodeKey::from_bytes(&key.to_bytes()),
            network: others.as_ref().map_or_else(|| Arc::new(raft::Alone) as _, Others::network),
            address: others.as_ref().map_or_else(String::new, |it| it.address().to_owned()),
            clock: Arc::clone(&clock),
            index: Arc::new(index),
            state: StateConfig {
                memory_bytes: config.table_memory.0,
                seal_operations: config.seal_operations,
                seal_blocks: config.seal_blocks,
                merge_files: config.merge_files,
                ..StateConfig::default()
            },
            segments: Some(Arc::new(segments)),
            files: storage::block_file::Options::default(),
            bounds: raft::Bounds::default(),
        };
        let start = others::start(joined.as_ref(), genesis);
        let node = raft::Node::open(Arc::new(disk), start, options)
            .await
            .with_context(|| format!("can't open the chain in {}", config.data.display()))?;
        match &others {
            Some(others) => others.begin(&node, joined.as_ref()),
            None => anyhow::ensure!(
                node.members().len() < 2,
                "the chain has other nodes: peer_listen says where they reach this one"
            ),
        }
        drop(tokio::spawn(others::note_chain(Arc::clone(&node), config.data.clone())));
        others::catch_up(&node, joined.is_some()).await;
        // Only the start that founds the chain sets the role's password.
        let password = if node.founded() { password } else { None };
        Ok(Self { node, key, clock, password, others })
    }

    fn shared(&self, config: &Config, phase: watch::Receiver<Phase>) -> anyhow::Result<Shared> {
        let engine = sql::Engine::new(
            Arc::clone(self.node.state()),
            Arc::clone(&self.node) as Arc<dyn Order>,
            Arc::clone(&self.clock),
            sql::EngineConfig {
                query_memory: usize::try_from(config.query_memory.0)?,
                spill: spill(config)?,
                ..sql::EngineConfig::default()
            },
        )?;
        let (certificate, key) = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            _ => identity::certificate(&config.data)?,
        };
        let limits = Limits {
            sessions: config.max_sessions,
            message: usize::try_from(config.max_message.0)?,
            login: config.login_timeout.0,
            idle: config.idle_timeout.limit(),
            require_tls: config.require_tls,
        };
        let tls = pg::tls::acceptor(&certificate, &key)?;
        let state = Arc::clone(self.node.state());
        Ok(Shared::new(engine, state, tls, limits, login_secret(&self.key), phase))
    }

    /// Ends when the other nodes have taken this one out.
    async fn removed(&self) {
        match &self.others {
            Some(others) => others.removed(&self.node).await,
            None => std::future::pending().await,
        }
    }

    /// Tells how to connect, then that the node is ready.
    fn greet(&self, listening: SocketAddr) -> std::io::Result<()> {
        let status = self.node.status();
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "Stele {}, chain {}, block {}",
            env!("CARGO_PKG_VERSION"),
            self.node.chain(),
            status.head.height.0
        )?;
        if let Some(fault) = status.read_only {
            writeln!(out, "read-only: {fault}")?;
        }
        if let Some(password) = &self.password {
            writeln!(out, "password of role {NAME}, shown this once: {password}")?;
        }
        let address = reachable(listening);
        writeln!(out, "\n  psql \"postgresql://{NAME}@{address}/{NAME}?sslmode=require\"")?;
        writeln!(out, "  jdbc:postgresql://{address}/{NAME}?user={NAME}&sslmode=require\n")?;
        writeln!(out, "ready")?;
        out.flush()
    }
}

/// An address that a client on this machine can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

/// An empty directory for what queries put aside: what is there is left from a process that was killed.
fn spill(config: &Config) -> anyhow::Result<Option<sql::Spill>> {
    let directory = config.data.join(SPILL);
    let removed = std::fs::remove_dir_all(&directory);
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("can't empty {}", directory.display()));
    }
    if config.query_disk.0 == 0 {
        return Ok(None);
    }
    make_directory(&directory)?;
    Ok(Some(sql::Spill { directory, bytes: config.query_disk.0 }))
}

fn make_directory(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if data.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("can't make the directory {}", data.display()))
}

/// The first block, should there be none, and the password made for it, if none was given.
fn genesis(key: &NodeKey, clock: &dyn Clock) -> anyhow::Result<(Block, Option<String>)> {
    let (password, made) = match std::env::var("STELE_PASSWORD") {
        Ok(password) if !password.is_empty() => (password, None),
        Ok(_) => anyhow::bail!("STELE_PASSWORD is empty: leave it out to get a random password"),
        Err(std::env::VarError::NotPresent) => {
            let password = identity::random_password()?;
            (password.clone(), Some(password))
        }
        Err(error) => return Err(error).context("STELE_PASSWORD"),
    };
    let genesis = Genesis {
        database: NAME.to_owned(),
        role: NAME.to_owned(),
        verifier: Some(pg::auth::verifier_of(&password)?),
        member: NAME.to_owned(),
        id: TransactionId(*uuid::Uuid::now_v7().as_bytes()),
        time_us: clock.now_us(),
    };
    Ok((genesis.block(key)?, made))
}

/// What the login's answers for unknown roles are made from: the same after a restart, and nobody else's.
fn login_secret(key: &NodeKey) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.to_bytes());
    let mut secret = [0; 32];
    for (to, from) in secret.iter_mut().zip(hmac::sign(&key, b"stele login v1").as_ref()) {
        *to = *from;
    }
    secret
}

/// SIGINT and SIGTERM.
pub(crate) struct StopSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
