//! The configuration: one struct, filled from defaults, a TOML file, the environment and flags, in this
//! order. Its doc comments are the reference (`docs/config.md` is written from them). It reads no data.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(test)]
mod tests;

/// Defines the configuration together with its reference, so that neither can lack what the other has.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr;)+) => {
        /// Everything that an operator can set.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Each setting's name and documentation, in order.
        const REFERENCE: &[(&str, &[&str])] = &[$((stringify!($name), &[$($doc),+])),+];
    };
}

settings! {
    /// Where the node keeps its blocks, its key and its certificate. It is made if it isn't there.
    data: PathBuf = PathBuf::from("stele-data");
    /// The address and port for PostgreSQL clients. `0.0.0.0:5433` lets other machines in.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 5433));
    /// The address and port where other nodes of the chain reach this one. Without it the node is alone.
    peer_listen: Option<SocketAddr> = None;
    /// What other nodes are told to reach this one by, `host:port`, if that is another than `peer_listen`.
    peer_address: Option<String> = None;
    /// A node of the chain that this one is to join, `host:port` of its `peer_address`; or `CHAIN@host:port`, to join no
    /// other chain than that one. Of use while there is no chain in `data`.
    join: Option<String> = None;
    /// Sessions open at once; a client past this gets SQLSTATE `53300`. The last three are for superusers.
    max_sessions: usize = 100;
    /// The longest message that a client may send: a statement, a parameter set, a piece of COPY data.
    max_message: ByteSize = ByteSize(64 << 20);
    /// How long a client may take from connecting to the end of its login.
    login_timeout: Span = Span(Duration::from_secs(60));
    /// How long a session may be idle outside a transaction before it is ended (`57P05`). `0s` is for ever.
    idle_timeout: Span = Span(Duration::ZERO);
    /// How long running statements may take to finish when the node is told to stop; then they are cancelled.
    shutdown_grace: Span = Span(Duration::from_secs(10));
    /// Refuse sessions without TLS. TLS is offered in any case.
    require_tls: bool = false;
    /// The certificate chain (PEM) to show to clients, instead of the one that the node makes for itself.
    tls_certificate: Option<PathBuf> = None;
    /// The key (PEM) that belongs to `tls_certificate`.
    tls_key: Option<PathBuf> = None;
    /// The memory that the rows of all tables may take: the newest ones, and what was read lately. Older ones lie in
    /// sealed files, so that tables may be far larger.
    table_memory: ByteSize = ByteSize(256 << 20);
    /// Operations (rows inserted, updated, deleted) after which rows are sealed and a checkpoint is written, from which
    /// the next start goes on. Memory may ask for it earlier.
    seal_operations: u64 = 1 << 18;
    /// Blocks after which that is done.
    seal_blocks: u64 = 1 << 14;
    /// Small sealed files that a table may have before they are merged into one.
    merge_files: usize = 8;
    /// The memory that all running queries may take for sorts, joins and aggregates. Sorts and aggregates that need
    /// more go on with `query_disk`; what can't, or needs more than that, gets `53200`.
    query_memory: ByteSize = ByteSize(1 << 30);
    /// What running queries may put aside on disk, below the data directory. `0B` is nothing.
    query_disk: ByteSize = ByteSize(16 << 30);
    /// What to log: `error`, `warn`, `info`, `debug`, or rules for single parts (`warn,server=debug`). The consensus library
    /// logs errors alone, unless a rule names it (`openraft=info`).
    log: String = "warn".to_owned();
    /// How to write the log: `text` or `json`. It goes to the standard error.
    log_format: LogFormat = LogFormat::Text;
}

/// The environment's names begin with this: `STELE_LISTEN`, `STELE_MAX_SESSIONS`.
const PREFIX: &str = "STELE_";

/// Names in the environment that are no settings; names that begin with `test_` aren't either.
const NO_SETTINGS: &[&str] = &["password", "config"];

impl Config {
    /// Puts the configuration together: defaults, then the file, then the environment, then `flags`.
    ///
    /// # Errors
    /// A file that can't be read, an unknown name, a value that its setting can't have.
    pub fn load(file: Option<&PathBuf>, flags: impl Serialize) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            anyhow::ensure!(file.is_file(), "there is no configuration file {}", file.display());
            figment = figment.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed(PREFIX).filter(|name| {
            !NO_SETTINGS.iter().any(|other| name == other) && !name.starts_with("test_")
        });
        let config: Self =
            figment.merge(environment).merge(Serialized::defaults(flags)).extract()?;
        config.check()?;
        Ok(config)
    }

    /// What can be checked without touching the disk.
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.tls_certificate.is_some() == self.tls_key.is_some(),
            "tls_certificate and tls_key are set together or not at all"
        );
        anyhow::ensure!(
            self.peer_listen.is_some() || (self.join.is_none() && self.peer_address.is_none()),
            "join and peer_address need peer_listen: other nodes have to reach this one"
        );
        anyhow::ensure!(
            self.peer_address.is_some()
                || self.peer_listen.is_none_or(|listen| !listen.ip().is_unspecified()),
            "peer_listen is every address of this machine: peer_address says which one others use"
        );
        anyhow::ensure!(self.max_sessions > 0, "max_sessions is at least 1");
        anyhow::ensure!(
            (64 << 10..=1 << 30).contains(&self.max_message.0),
            "max_message is between 64KiB and 1GiB"
        );
        Ok(())
    }
}

/// The reference of all settings, in Markdown.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    for (name, lines) in REFERENCE {
        let doc = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let default =
            defaults.get(*name).map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        let variable = format!("{PREFIX}{}", name.to_uppercase());
        text.push_str(&format!(
            "\n## `{name}`\n\n{doc}\n\nDefault: {default}. Environment: `{variable}`.\n"
        ));
    }
    text
}

const HEAD: &str = "# Configuration

Nothing needs to be configured. What can be is set, from weak to strong, by a TOML file
(`stele start --config FILE`, or `STELE_CONFIG`), by environment variables, and by flags
(`stele start --help` lists them; `--set NAME=VALUE` sets any). An unknown name is an error.

`STELE_PASSWORD` is no setting: it is the password of role `stele`, taken on the first start only.

Sizes are written `64MiB`, `2GB`, `512kB`; times `250ms`, `10s`, `5min`, `2h`.

This page is written from the source (`server/src/config.rs`) and checked by a test.
";

/// Bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A time, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// The time, or none for zero.
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Splits `64MiB` into its number and its unit.
fn with_unit(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.parse() {
        Ok(number) => Ok((number, unit.trim())),
        Err(_) => Err(format!("\"{text}\" doesn't begin with a number")),
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = with_unit(text)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => {
                return Err(format!(
                    "\"{unit}\" is no unit of size: kB, MB, GB, KiB, MiB, GiB, TiB"
                ));
            }
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("\"{text}\" is too much"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = with_unit(text)?;
        let milliseconds: u64 = match unit.to_ascii_lowercase().as_str() {
            "ms" => 1,
            "" | "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(format!("\"{unit}\" is no unit of time: ms, s, min, h, d")),
        };
        match number.checked_mul(milliseconds) {
            Some(milliseconds) => Ok(Self(Duration::from_millis(milliseconds))),
            None => Err(format!("\"{text}\" is too long")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        for (length, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")] {
            if milliseconds >= length && milliseconds.is_multiple_of(length) {
                return write!(f, "{}{unit}", milliseconds / length);
            }
        }
        write!(f, "{milliseconds}{}", if milliseconds == 0 { "s" } else { "ms" })
    }
}

/// Serde through the text form, with a bare number taken too.
macro_rules! as_text {
    ($($kind:ty),+) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Number(u64),
                    Text(String),
                }
                let text = match Written::deserialize(deserializer)? {
                    Written::Number(number) => number.to_string(),
                    Written::Text(text) => text,
                };
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(ByteSize, Span);
