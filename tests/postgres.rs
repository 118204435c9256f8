//! A throw-away PostgreSQL, the oracle of what SQL means. It knows how to make one and how to remove it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Address, Client};
use crate::server::free_port;

/// A running cluster; gone with its files when dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    port: u16,
}

impl Postgres {
    /// Makes and starts a cluster with superuser `stele`, encoding UTF8, collation C with the letters of
    /// all languages, time zone UTC.
    pub(crate) fn start() -> Self {
        let bin = bin_dir();
        let dir = TempDir::with_prefix("stele-postgres-").expect("a temporary directory");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(dir.path()));
        }
        let this = Self { bin, dir, port: free_port() };
        let data = this.data();
        run(this
            .tool("initdb")
            .args(["-U", "stele", "--locale=C", "--lc-ctype=C.UTF-8", "-E", "UTF8"])
            .args(["-A", "trust", "--no-sync", "-D"])
            .arg(&data));
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=UTC \
             -c log_timezone=UTC -c fsync=off -c shared_buffers=64MB",
            this.port
        );
        run(this
            .tool("pg_ctl")
            .args(["start", "-w", "-s", "-o", &options, "-l"])
            .arg(this.dir.path().join("log"))
            .arg("-D")
            .arg(&data));
        this.fresh_database();
        this
    }

    /// How to connect to database `stele`.
    pub(crate) fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "stele".to_owned(),
            password: "stele".to_owned(),
            database: "stele".to_owned(),
        }
    }

    /// Drops database `stele` with all in it, and makes an empty one.
    pub(crate) fn fresh_database(&self) {
        let address = Address { database: "template1".to_owned(), ..self.address() };
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut client = loop {
            match Client::connect(&address) {
                Ok(client) => break client,
                Err(e) if Instant::now() > deadline => panic!("PostgreSQL does not answer: {e}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        for sql in [
            "DROP DATABASE IF EXISTS stele WITH (FORCE)",
            "CREATE DATABASE stele TEMPLATE template0",
        ] {
            client.run(sql).expect("an empty database");
        }
    }

    /// A client tool of PostgreSQL's, ready for this cluster's `PG*` environment.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        if is_root() && matches!(name, "initdb" | "pg_ctl") {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
            command
        } else {
            Command::new(program)
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = self
            .tool("pg_ctl")
            .args(["stop", "-m", "immediate", "-s", "-D"])
            .arg(self.data())
            .stdout(Stdio::null())
            .status();
        if !stopped.is_ok_and(|s| s.success()) {
            eprintln!("PostgreSQL on port {} did not stop", self.port);
        }
    }
}

/// Where PostgreSQL 15's programs are: `STELE_TEST_POSTGRES`, or the place Debian gives them.
pub(crate) fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("STELE_TEST_POSTGRES") {
        return dir.into();
    }
    let debian = Path::new("/usr/lib/postgresql/15/bin");
    assert!(
        debian.join("initdb").exists(),
        "these tests need PostgreSQL 15 with its server: run tests/run, or set STELE_TEST_POSTGRES"
    );
    debian.to_owned()
}

/// psql of the same version, ready to connect to a server.
pub(crate) fn psql(address: &Address) -> Command {
    let mut command = Command::new(bin_dir().join("psql"));
    command
        .args(["-X", "-h", "127.0.0.1", "-U", &address.user, "-d", &address.database])
        .args(["-p", &address.port.to_string(), "-v", "ON_ERROR_STOP=1"])
        .env("PGPASSWORD", &address.password)
        .env("PGTZ", "UTC")
        .env("PGCLIENTENCODING", "UTF8")
        .env_remove("PGOPTIONS")
        .stdin(Stdio::null());
    command
}

/// Runs a program to its end; what it wrote to its standard output. Panics when it fails.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
