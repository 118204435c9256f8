//! The command line: what can be asked of the binary, and how it answers. It knows no SQL.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, LogFormat};
use crate::dev::{self, Dev};
use crate::{evidence, inspect, node, verify};

/// Stele, a SQL ledger database that speaks PostgreSQL.
///
/// `stele start` needs no configuration: it makes a node in ./stele-data and prints how to connect to it.
#[derive(Debug, Parser)]
#[command(name = "stele", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the node, and make it first if it isn't there.
    ///
    /// Prints the psql line and the JDBC URL to connect with, then `ready`. On the first start it also
    /// prints the password of role `stele`, once; STELE_PASSWORD sets it instead. Ctrl-C stops the node.
    Start(Box<Start>),
    /// Start several nodes of one chain on this machine, to try things.
    ///
    /// Each is a process of its own, its output marked with its name; one that is killed is started again after 5 s.
    /// Prints the psql line and the JDBC URL of all, then `ready`. STELE_PASSWORD sets the password of role `stele`;
    /// otherwise it is made up on the first start and printed once. Ctrl-C stops all.
    Dev(Dev),
    /// Read every block again and check every hash, link and signature; or check a file of evidence.
    ///
    /// Without FILE: the node must be stopped. Exit code 0: all is as it was written. Exit code 1: something
    /// differs; the height and what differs are printed.
    ///
    /// With FILE: what ledger.prove_row, ledger.prove_transaction, ledger.prove_consistency or ledger.digest gave is
    /// checked against the members' keys, with no node. Exit code 0: it holds. Exit code 1: it doesn't.
    Verify(Verify),
    /// Show blocks and their transactions.
    ///
    /// The node must be stopped. Without --height, an overview of the chain and its newest blocks.
    Inspect(Inspect),
}

/// Where the data are.
#[derive(Debug, Args)]
pub struct Data {
    /// The node's data directory.
    #[arg(long, value_name = "DIR", env = "STELE_DATA", default_value = "stele-data")]
    pub data: PathBuf,
    /// Write JSON, one object for each line.
    #[arg(long)]
    pub json: bool,
}

/// What to check.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub(crate) data: Data,
    /// A file of evidence.
    #[arg(value_name = "FILE", requires = "members")]
    pub(crate) file: Option<PathBuf>,
    /// The digest that was kept, and that the evidence must fit; without it, the evidence's own.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) digest: Option<PathBuf>,
    /// The members' public keys (PEM), as ledger.members shows them.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) members: Option<PathBuf>,
}

/// What to show.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    pub(crate) data: Data,
    /// Show this block, with its transactions and their operations.
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) height: Option<u64>,
    /// How many of the newest blocks to list.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) last: u64,
}

#[derive(Debug, Args)]
struct Start {
    /// A configuration file (TOML); docs/config.md lists what it may set.
    #[arg(long, value_name = "FILE", env = "STELE_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory [default: ./stele-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address for PostgreSQL clients [default: 127.0.0.1:5433].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The address for other nodes of the chain.
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer_listen: Option<String>,
    /// Join the chain of the node that is reached there by other nodes, instead of making a new one.
    #[arg(long, value_name = "[CHAIN@]HOST:PORT")]
    join: Option<String>,
    /// Sessions open at once [default: 100].
    #[arg(long, value_name = "COUNT")]
    max_sessions: Option<usize>,
    /// Refuse sessions without TLS.
    #[arg(long)]
    require_tls: bool,
    /// The certificate chain to show to clients (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or rules like `warn,server=debug` [default: warn].
    #[arg(long, value_name = "RULES")]
    log: Option<String>,
    /// Any other setting of docs/config.md.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a setting is written NAME=VALUE".to_owned()),
    }
}

impl Start {
    /// What was given on the command line, by the names of the configuration.
    fn flags(&self) -> BTreeMap<String, figment::value::Value> {
        let mut flags = BTreeMap::new();
        let mut put = |name: &str, value: Option<String>| {
            // Written as in the environment, so that numbers and switches are read as such.
            if let Some(text) = value
                && let Ok(value) = text.parse::<figment::value::Value>()
            {
                flags.insert(name.to_owned(), value);
            }
        };
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!("{:?}", path.display().to_string()))
        };
        put("data", path(&self.data));
        put("listen", self.listen.clone());
        put("peer_listen", self.peer_listen.clone());
        put("join", self.join.as_ref().map(|target| format!("{target:?}")));
        put("max_sessions", self.max_sessions.map(|count| count.to_string()));
        put("require_tls", self.require_tls.then(|| "true".to_owned()));
        put("tls_certificate", path(&self.tls_certificate));
        put("tls_key", path(&self.tls_key));
        put("log", self.log.as_ref().map(|rules| format!("{rules:?}")));
        for (name, value) in &self.set {
            put(name, Some(value.clone()));
        }
        flags
    }
}

/// Does what the command line asks. Errors are printed here.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Start(start) => start_node(&start).map(|()| ExitCode::SUCCESS),
        Command::Dev(asked) => dev::run(&asked).map(|()| ExitCode::SUCCESS),
        Command::Verify(asked) => match &asked.file {
            Some(file) => evidence::run(file, &asked),
            None => verify::run(&asked.data),
        },
        Command::Inspect(inspect) => inspect::run(&inspect).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // The last place to tell it; if the standard error is closed, nobody listens.
        drop(writeln!(std::io::stderr(), "stele: {error:#}"));
        ExitCode::from(2)
    })
}

fn start_node(start: &Start) -> anyhow::Result<()> {
    let config = Config::load(start.config.as_ref(), start.flags())?;
    logging(&config)?;
    node::run(config)
}

/// Logs go to the standard error, so that the standard output keeps what people paste.
fn logging(config: &Config) -> anyhow::Result<()> {
    // Consensus repeats itself with every heartbeat; what there is to know of other nodes is said once, by ours.
    let rules = format!("openraft=error,{}", config.log);
    let filter = tracing_subscriber::EnvFilter::try_new(rules)
        .map_err(|error| anyhow::anyhow!("log = \"{}\" can't be read: {error}", config.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that can't be written is lost: to say so would be another one, and to fail at that ends the process.
    let builder = builder.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false);
    let result = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    result.map_err(|error| anyhow::anyhow!("can't start the log: {error}"))?;
    // A panic is a line of the log like any other, with its place.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(%place, message, "panic");
    }));
    Ok(())
}
