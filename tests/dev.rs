//! `stele dev`: one command, three nodes; one that is killed comes back; all stop together.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Address, Client};
use crate::server::{binary, free_port};

const LIMIT: Duration = Duration::from_secs(120);

/// A port after which there are some more, and as many a hundred further on.
fn ports() -> u16 {
    loop {
        let port = free_port();
        let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if port < 60_000 && (port..port + 3).chain(port + 100..port + 103).all(free) {
            return port;
        }
    }
}

/// The processes that keep their data there.
fn processes(data: &str) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |id: &i32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" start ") && line.contains(data)
    };
    ids.filter(names).filter_map(Pid::from_raw).collect()
}

#[test]
fn one_command_starts_a_cluster_and_keeps_it() {
    let dir = TempDir::with_prefix("stele-test-").unwrap();
    let (data, port) = (dir.path().join("dev"), ports());
    let mut dev = Command::new(binary())
        .args(["dev", "--nodes", "3", "--port", &port.to_string(), "--data"])
        .arg(&data)
        .env("STELE_PASSWORD", "secret")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| lines.by_ref().any(|line| line.unwrap().trim() == wanted);
    assert!(until("ready"), "it ended");
    let address = |at: u16| Address {
        host: "127.0.0.1".to_owned(),
        port: port + at,
        user: "stele".to_owned(),
        password: "secret".to_owned(),
        database: "stele".to_owned(),
    };
    let voters = "SELECT count(*) FROM ledger.nodes WHERE role <> 'learner'";
    for at in 0..3 {
        let mut client = Client::connect(&address(at)).unwrap();
        assert_eq!(client.run(voters).unwrap().value(), Some("3"));
    }
    // One that is killed is there again.
    let second = data.join("node2").display().to_string();
    let killed = processes(&second);
    assert_eq!(killed.len(), 1);
    kill_process(killed[0], Signal::KILL).unwrap();
    let deadline = Instant::now() + LIMIT;
    while processes(&second).iter().all(|id| killed.contains(id))
        || Client::connect(&address(1)).is_err()
    {
        assert!(Instant::now() < deadline, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    kill_process(Pid::from_child(&dev), Signal::TERM).unwrap();
    assert!(dev.wait().unwrap().success());
    assert_eq!(processes(&data.display().to_string()), Vec::new(), "nodes are left behind");
}
