//! A cluster on this machine for trying things: one process for each node, started again when it is killed, with their
//! output side by side. It knows of a node only what anyone can know who starts one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ledger::NodeKey;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::identity;
use crate::node::StopSignal;

/// How long a node that ended stays so.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a node may take to stop when all are told to.
const STOPPING: Duration = Duration::from_secs(30);
/// The line by which a node says that it takes clients.
const READY: &str = "ready";

/// What to start.
#[derive(Debug, Args)]
pub struct Dev {
    /// How many nodes.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Where they keep their data, each in a directory of its own.
    #[arg(long, value_name = "DIR", default_value = "stele-dev")]
    data: PathBuf,
    /// The first node's port for clients; the others have the next ones, and a hundred further on are those for each other.
    #[arg(long, value_name = "PORT", default_value_t = 5433)]
    port: u16,
}

/// Starts the nodes, and runs them until it is told to stop.
///
/// # Errors
/// What keeps a node from starting the first time.
pub fn run(dev: &Dev) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(dev))
}

async fn serve(dev: &Dev) -> anyhow::Result<()> {
    let mut stop = StopSignal::new()?;
    let (line, lines) = mpsc::channel(256);
    let printing = tokio::spawn(print(lines));
    let began = tokio::select! {
        began = begin(dev, &line) => began?,
        () = stop.wait() => return Ok(()),
    };
    let (end, ends) = watch::channel(());
    let keep = |node: Node| tokio::spawn(node.keep(ends.clone()));
    let keepers: Vec<_> = began.into_iter().map(keep).collect();
    say(&line, &greeting(dev)).await;
    stop.wait().await;
    end.send_replace(());
    for keeper in keepers {
        drop(keeper.await);
    }
    drop(line);
    drop(printing.await);
    Ok(())
}

/// How to reach all of them.
fn greeting(dev: &Dev) -> String {
    let hosts = (0..dev.nodes).map(|at| format!("127.0.0.1:{}", dev.port + at));
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!(
        "\n  psql \"postgresql://stele@{hosts}/stele\"\n  jdbc:postgresql://{hosts}/stele?user=stele\n\n{READY}"
    )
}

/// Starts the nodes one after the other: the first founds the chain, and admits the others.
async fn begin(dev: &Dev, line: &mpsc::Sender<String>) -> anyhow::Result<Vec<Node>> {
    let given = std::env::var("STELE_PASSWORD").ok().filter(|password| !password.is_empty());
    let is_new = !dev.data.join("node1").is_dir();
    let password = match (given, is_new) {
        (Some(password), _) => Some(password),
        (None, true) => {
            let made = identity::random_password()?;
            say(line, &format!("password of role stele, shown this once: {made}")).await;
            Some(made)
        }
        (None, false) => None,
    };
    let mut nodes = Vec::new();
    for number in 1..=dev.nodes {
        let mut node = Node::new(dev, number, password.clone(), line.clone());
        let admitted = match number {
            1 => None,
            _ if node.data.is_dir() => None,
            _ => Some(node.be_admitted(dev).await?),
        };
        node.start().await?;
        if let Some(admitted) = admitted {
            admitted.promote().await?;
        }
        nodes.push(node);
    }
    Ok(nodes)
}

async fn say(line: &mpsc::Sender<String>, text: &str) {
    // Whoever prints is gone only at the end.
    drop(line.send(text.to_owned()).await);
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn print(mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        println!("{line}");
    }
}

/// A node of the cluster.
struct Node {
    number: u16,
    data: PathBuf,
    listen: String,
    peer: String,
    /// Where the first one is reached by others.
    founder: String,
    password: Option<String>,
    line: mpsc::Sender<String>,
    child: Option<Child>,
}

/// A node that gets blocks, and has no vote yet.
struct Admitted {
    client: tokio_postgres::Client,
    number: i64,
}

impl Admitted {
    async fn promote(self) -> anyhow::Result<()> {
        self.client.execute("SELECT ledger.promote_node($1)", &[&self.number]).await?;
        Ok(())
    }
}

impl Node {
    fn new(dev: &Dev, number: u16, password: Option<String>, line: mpsc::Sender<String>) -> Self {
        let address = |port: u16| format!("127.0.0.1:{port}");
        Self {
            number,
            data: dev.data.join(format!("node{number}")),
            listen: address(dev.port + number - 1),
            peer: address(dev.port + 100 + number - 1),
            founder: address(dev.port + 100),
            password,
            line,
            child: None,
        }
    }

    /// Makes the node's key, and lets the first node admit it.
    async fn be_admitted(&self, dev: &Dev) -> anyhow::Result<Admitted> {
        let password = self.password.as_deref().with_context(|| {
            format!("to add node {} its password is needed: set STELE_PASSWORD", self.number)
        })?;
        std::fs::create_dir_all(&self.data)
            .with_context(|| format!("can't make the directory {}", self.data.display()))?;
        let key = identity::node_key(&self.data, true)?;
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(dev.port).user("stele").dbname("stele").password(password);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        drop(tokio::spawn(connection));
        let (name, key) = (format!("node{}", self.number), hex(&key));
        let admit = "SELECT ledger.add_learner($1, $2, $3)";
        let row = client.query_one(admit, &[&name, &self.peer, &key]).await?;
        Ok(Admitted { number: row.try_get(0)?, client })
    }

    /// Starts the process, and waits until it takes clients.
    async fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("start").arg("--data").arg(&self.data);
        command.args(["--listen", &self.listen, "--peer-listen", &self.peer]);
        if self.number > 1 {
            command.args(["--join", &self.founder]);
        }
        if let Some(password) = &self.password {
            command.env("STELE_PASSWORD", password);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let (ready, is_ready) = oneshot::channel();
        if let Some(output) = child.stdout.take() {
            drop(tokio::spawn(pass_on(output, self.number, self.line.clone(), Some(ready))));
        }
        if let Some(output) = child.stderr.take() {
            drop(tokio::spawn(pass_on(output, self.number, self.line.clone(), None)));
        }
        tokio::select! {
            told = is_ready => anyhow::ensure!(told.is_ok(), "node {} did not start", self.number),
            ended = child.wait() => anyhow::bail!("node {} ended: {}", self.number, ended?),
        }
        self.child = Some(child);
        Ok(())
    }

    /// Starts the node again whenever it has ended, until all are told to stop.
    async fn keep(mut self, mut ends: watch::Receiver<()>) {
        loop {
            let Some(mut child) = self.child.take() else { return };
            let how = tokio::select! {
                ended = child.wait() => ended.map_or_else(|error| error.to_string(), |it| it.to_string()),
                _ = ends.changed() => return stop(child).await,
            };
            let text = format!("node{} | ended ({how}), starts again in 5 s", self.number);
            say(&self.line, &text).await;
            let again = async {
                while self.child.is_none() {
                    tokio::time::sleep(PAUSE).await;
                    if let Err(error) = self.start().await {
                        say(&self.line, &format!("node{} | {error}", self.number)).await;
                    }
                }
            };
            tokio::select! {
                () = again => {}
                _ = ends.changed() => return,
            }
        }
    }
}

/// Lets a process end in order, if it does so in time.
async fn stop(mut child: Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok()) {
        drop(tokio::time::timeout(STOPPING, child.wait()).await);
    }
}

fn hex(key: &NodeKey) -> String {
    key.public().0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Passes a process' lines on, with the node's name before them; tells when it takes clients.
async fn pass_on(
    output: impl AsyncRead + Unpin,
    number: u16,
    line: mpsc::Sender<String>,
    mut ready: Option<oneshot::Sender<()>>,
) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        if text == READY
            && let Some(ready) = ready.take()
            && ready.send(()).is_err()
        {
            return;
        }
        if !text.is_empty() {
            say(&line, &format!("node{number} | {text}")).await;
        }
    }
}
