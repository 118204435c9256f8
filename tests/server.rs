//! The real `stele` binary: started on a free port over a data directory, killed, started again.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Address, Client};

/// The password of role `stele` in all tests.
pub(crate) const PASSWORD: &str = "a stele is a standing stone";

/// How long a start may take before the test gives up; a debug build on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server and its data directory.
pub(crate) struct Server {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
    place: Place,
    arguments: Vec<String>,
    /// From spawning the process to its line `ready`.
    pub(crate) last_start: Duration,
}

/// Where a server runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address that it listens on.
    pub(crate) host: String,
    /// The network namespace that it is in, if it is in one of its own.
    pub(crate) namespace: Option<String>,
}

impl Default for Place {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), namespace: None }
    }
}

impl Place {
    /// The binary under test, to run there.
    fn command(&self) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(binary()) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(binary());
        command
    }
}

impl Server {
    /// A new server over an empty directory.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments to `stele start`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_at(Place::default(), arguments)
    }

    /// The same at another place.
    pub(crate) fn start_at(place: Place, arguments: &[&str]) -> Self {
        let mut this = Self::new(place, arguments);
        this.start_again();
        this
    }

    fn new(place: Place, arguments: &[&str]) -> Self {
        Self {
            child: None,
            dir: TempDir::with_prefix("stele-test-").expect("a temporary directory"),
            port: free_port(),
            place,
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            last_start: Duration::ZERO,
        }
    }

    /// A new node that joins the chain of others, and which they admit while it waits for that.
    pub(crate) fn start_joining(
        place: Place,
        arguments: &[&str],
        secret: u8,
        admit: impl FnOnce() + Send,
    ) -> Self {
        let mut this = Self::new(place, arguments);
        std::fs::create_dir(this.data()).expect("a directory");
        let secret = format!("{secret:02x}").repeat(32);
        std::fs::write(this.data().join("node.key"), secret).expect("a key");
        std::thread::scope(|scope| {
            scope.spawn(admit);
            this.start_again();
        });
        this
    }

    /// Starts the stopped server on what its directory holds.
    pub(crate) fn start_again(&mut self) {
        if let Err(why) = self.try_start() {
            panic!("stele did not get ready: {why}");
        }
    }

    /// From the next start on it gets these arguments.
    pub(crate) fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
    }

    /// Starts the stopped server; what it said if it didn't get ready.
    pub(crate) fn try_start(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "the server runs already");
        let began = Instant::now();
        let mut command = self.place.command();
        // The settings of these tests, and of whoever runs them, are none of the server's.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STELE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("start")
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &format!("{}:{}", self.place.host, self.port)])
            .args(&self.arguments)
            .args(settings())
            .env("STELE_PASSWORD", PASSWORD)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                std::fs::File::options().create(true).append(true).open(self.log()).expect("a log"),
            )
            .spawn()
            .expect("the binary of this build");
        let (ready, is_ready) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim() == "ready" && ready.send(()).is_err() {
                    return;
                }
            }
        });
        match is_ready.recv_timeout(START_LIMIT) {
            Ok(()) => {
                self.child = Some(child);
                self.last_start = began.elapsed();
                Ok(())
            }
            Err(_) => {
                child.kill().expect("a process of our own");
                child.wait().expect("a process of our own");
                Err(self.log_text())
            }
        }
    }

    /// Stops the process in its tracks, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let child = self.child.as_ref().expect("a running server");
        let signal =
            if frozen { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, signal).expect("a process of our own");
    }

    /// `kill -9`: no time to say goodbye.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("a process of our own");
        child.wait().expect("a process of our own");
    }

    /// SIGTERM, and waits until the process has gone.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("a running server");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().expect("a process of our own") {
                assert!(status.success(), "stele ended with {status}: {}", self.log_text());
                return;
            }
            if Instant::now() > deadline {
                child.kill().expect("a process of our own");
                panic!("stele did not end within 30 s of SIGTERM: {}", self.log_text());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// How to connect as role `stele`.
    pub(crate) fn address(&self) -> Address {
        Address {
            host: self.place.host.clone(),
            port: self.port,
            user: "stele".to_owned(),
            password: PASSWORD.to_owned(),
            database: "stele".to_owned(),
        }
    }

    /// A connection as role `stele`.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address()).unwrap_or_else(|e| panic!("{e}\n{}", self.log_text()))
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for files of the test, gone with the server.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Memory of the process in bytes (resident set).
    pub(crate) fn memory(&self) -> u64 {
        let pid = self.child.as_ref().expect("a running server").id();
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB");
        kib * 1024
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// From the next start on its log goes where no byte fits.
    pub(crate) fn fill_log(&self) {
        std::fs::remove_file(self.log()).expect("a log of our own");
        std::os::unix::fs::symlink("/dev/full", self.log()).expect("a link");
    }

    /// What the server wrote to its standard error, from its end.
    pub(crate) fn log_text(&self) -> String {
        if self.log().is_symlink() {
            return String::new();
        }
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let from = text.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
        text[from..].to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log_text());
        }
    }
}

/// A number that `name` in the environment sets, for a longer run by hand than CI's.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// This package's folder, asked when the tests run: what the compiler saw is another checkout's when both share a
/// target folder.
pub(crate) fn manifest_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests").into()
}

/// Settings for every server, from `STELE_TEST_SETTINGS` (`NAME=VALUE`, separated by blanks): with tiny limits
/// the same tests walk other paths.
fn settings() -> Vec<String> {
    let all = std::env::var("STELE_TEST_SETTINGS").unwrap_or_default();
    all.split_whitespace().flat_map(|own| ["--set".to_owned(), own.to_owned()]).collect()
}

/// The binary under test: this build's, or the one `STELE_TEST_BINARY` names.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("STELE_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_stele").into(), Into::into)
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a local port");
    listener.local_addr().expect("an address").port()
}
