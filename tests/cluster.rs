//! Several nodes of one chain, each a process: a single node grows to three while clients write, outlives its leader, and
//! shrinks again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger::NodeKey;

use crate::client::{Client, Failure};
use crate::server::{Place, Server, free_port};

/// How long something may take that takes a second or two.
const LIMIT: Duration = Duration::from_secs(60);

/// Nodes of one chain. The first one founded it.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// A single node that may get company.
    fn found() -> Self {
        Self::found_at(Place::default())
    }

    /// The same at another place.
    pub(crate) fn found_at(place: Place) -> Self {
        let peer = format!("{}:{}", place.host, free_port());
        Self { servers: vec![Server::start_at(place, &["--peer-listen", &peer])] }
    }

    fn found_peer(&self) -> String {
        let mut client = self.servers[0].client();
        let asked = client.run("SELECT address FROM ledger.nodes WHERE node = 0").unwrap();
        asked.value().unwrap().to_owned()
    }

    /// One node more, with a vote.
    fn grow(&mut self) {
        self.grow_at(Place::default());
    }

    /// The same at another place.
    pub(crate) fn grow_at(&mut self, place: Place) {
        let number = u8::try_from(self.servers.len() + 1).unwrap();
        let peer = format!("{}:{}", place.host, free_port());
        let key = key(number);
        let admission = format!("SELECT ledger.add_node('n{number}', '{peer}', '{key}')");
        let founder = self.found_peer();
        let arguments = ["--peer-listen", &peer, "--join", &founder];
        let address = self.servers[0].address();
        let joined = Server::start_joining(place, &arguments, number, move || {
            Client::connect(&address).unwrap().run(&admission).unwrap();
        });
        self.servers.push(joined);
    }

    /// The node that takes writes, waited for.
    pub(crate) fn leader(&self) -> usize {
        let until = Instant::now() + LIMIT;
        loop {
            for (at, server) in self.servers.iter().enumerate() {
                let Ok(mut client) = Client::connect(&server.address()) else { continue };
                let sql = "SELECT role FROM ledger.nodes WHERE is_self";
                if client.run(sql).is_ok_and(|answer| answer.value() == Some("leader")) {
                    return at;
                }
            }
            assert!(Instant::now() < until, "no node leads");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What each node answers, once all say the same.
    pub(crate) fn agreed(&self, sql: &str) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let ask =
                |server: &Server| server.client().run(sql).unwrap().value().map(str::to_owned);
            let all: BTreeSet<_> = self.servers.iter().map(ask).collect();
            if let (1, Some(Some(answer))) = (all.len(), all.first()) {
                return answer.clone();
            }
            assert!(Instant::now() < until, "nodes differ: {all:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The public key of a node that was started with this secret.
fn key(secret: u8) -> String {
    let public = NodeKey::from_bytes(&[secret; 32]).public().0;
    public.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn count(text: &str) -> usize {
    text.parse().unwrap()
}

/// Writes numbers, one by one, through whichever node takes them; gives what was acknowledged.
fn write(addresses: &[crate::client::Address], me: usize, stop: &AtomicBool) -> BTreeSet<usize> {
    let mut acknowledged = BTreeSet::new();
    let (mut at, mut client) = (0, None);
    for number in (me..).step_by(4) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if client.is_none() {
            client = Client::connect(&addresses[at % addresses.len()]).ok();
        }
        let done = match &mut client {
            Some(client) => client.run(&format!("INSERT INTO entry VALUES ({number})")).map(drop),
            None => Err(Failure::default()),
        };
        match done {
            Ok(()) => {
                acknowledged.insert(number);
            }
            Err(_) => {
                // Whatever it was: the next node may take the next number.
                (at, client) = (at + 1, None);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    acknowledged
}

#[test]
fn a_node_grows_to_three_under_writes_and_outlives_its_leader() {
    let mut cluster = Cluster::found();
    cluster.servers[0].client().run("CREATE TABLE entry (n bigint PRIMARY KEY)").unwrap();
    let founder = cluster.servers[0].address();
    let stop = AtomicBool::new(false);
    let mut acknowledged: BTreeSet<usize> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&[founder], 0, &stop));
        cluster.grow();
        cluster.grow();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(!acknowledged.is_empty());
    let voters = "SELECT count(*) FROM ledger.nodes WHERE role <> 'learner'";
    assert_eq!(cluster.agreed(voters), "3");

    let addresses: Vec<_> = cluster.servers.iter().map(Server::address).collect();
    let stop = AtomicBool::new(false);
    let leader = cluster.leader();
    let written = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..4)
            .map(|me| {
                let (addresses, stop) = (&addresses, &stop);
                scope.spawn(move || write(addresses, me, stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        cluster.servers[leader].kill();
        let killed = Instant::now();
        let next = cluster.leader();
        println!("another node leads {} ms after the kill", killed.elapsed().as_millis());
        assert_ne!(next, leader);
        // Under the new lead rows are taken, too.
        let rows = || {
            count(
                cluster.servers[next]
                    .client()
                    .run("SELECT count(*) FROM entry")
                    .unwrap()
                    .value()
                    .unwrap(),
            )
        };
        let (before, until) = (rows(), Instant::now() + LIMIT);
        while rows() < before + 20 {
            assert!(Instant::now() < until, "nothing is taken");
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    acknowledged.extend(written);
    cluster.servers[leader].start_again();
    let rows = cluster.agreed("SELECT string_agg(n::text, ',' ORDER BY n) FROM entry");
    let rows: BTreeSet<usize> = rows.split(',').map(count).collect();
    let lost: Vec<_> = acknowledged.difference(&rows).collect();
    assert_eq!(lost, Vec::<&usize>::new(), "acknowledged rows are gone");
    for server in &cluster.servers {
        let found =
            server.client().run("SELECT count(*) FROM ledger.verify() WHERE status <> 'ok'");
        assert_eq!(found.unwrap().value(), Some("0"));
    }
    cluster.agreed(
        "SELECT string_agg(hash, ',' ORDER BY height) FROM ledger.blocks WHERE height < 20",
    );
}

#[test]
fn nodes_hand_over_and_go_until_one_is_left() {
    let mut cluster = Cluster::found();
    cluster.grow();
    cluster.grow();
    let mut client = cluster.servers[0].client();
    let refused = |client: &mut Client, sql: &str| client.run(sql).unwrap_err().sqlstate;
    assert_eq!(refused(&mut client, "SELECT ledger.remove_node(999)"), "42704");
    assert_eq!(refused(&mut client, "SELECT ledger.hand_over(999)"), "42704");
    let wrong = "SELECT ledger.add_node('x', 'nowhere', repeat('a', 64))";
    assert_eq!(refused(&mut client, wrong), "22023");
    let wrong = "SELECT ledger.add_node('x', 'host:1', 'no key')";
    assert_eq!(refused(&mut client, wrong), "22023");
    client.run("CREATE ROLE clerk LOGIN PASSWORD 'clerk'").unwrap();
    client.run("SET ROLE clerk").unwrap();
    assert_eq!(refused(&mut client, "SELECT ledger.remove_node(0)"), "42501");
    client.run("RESET ROLE").unwrap();

    let nodes = "SELECT string_agg(node::text, ',' ORDER BY node) FROM ledger.nodes";
    let nodes: Vec<String> = cluster.agreed(nodes).split(',').map(str::to_owned).collect();
    client.run(&format!("SELECT ledger.hand_over({})", nodes[1])).unwrap();
    let until = Instant::now() + LIMIT;
    while cluster.leader() != 1 {
        assert!(Instant::now() < until, "the lead was not taken");
    }
    // Asked of a node that doesn't lead, about the one that does.
    client.run(&format!("SELECT ledger.remove_node({})", nodes[1])).unwrap();
    let leader = cluster.leader();
    assert_ne!(leader, 1);
    // The one that is gone finds out, and takes nobody in.
    let until = Instant::now() + LIMIT;
    let gone = cluster.servers[1].address();
    while Client::connect(&gone).err().is_none_or(|failure| failure.sqlstate != "57P03") {
        assert!(Instant::now() < until, "a removed node takes clients");
        std::thread::sleep(Duration::from_millis(50));
    }
    let other = if leader == 0 { 2 } else { 0 };
    let mut client = cluster.servers[leader].client();
    client.run(&format!("SELECT ledger.remove_node({})", nodes[other])).unwrap();
    let last = format!("SELECT ledger.remove_node({})", nodes[leader]);
    assert_eq!(refused(&mut client, &last), "55000");
    client.run("CREATE TABLE alone (n int)").unwrap();
    let left = client.run("SELECT string_agg(node::text, ',') FROM ledger.nodes").unwrap();
    assert_eq!(left.value(), Some(nodes[leader].as_str()));
}

#[test]
fn a_node_whose_blocks_are_gone_does_not_begin_anew() {
    let mut server = Server::start();
    server.client().run("CREATE TABLE t (a int)").unwrap();
    server.stop();
    std::fs::remove_dir_all(server.data().join("blocks")).unwrap();
    let why = server.try_start().unwrap_err();
    assert!(why.contains("are gone"), "{why}");
}

#[test]
fn a_single_node_gets_an_address_and_then_company() {
    let mut server = Server::start();
    server.client().run("CREATE TABLE t AS SELECT 1 AS a").unwrap();
    server.stop();
    let peer = format!("127.0.0.1:{}", free_port());
    server.set_arguments(&["--peer-listen", &peer]);
    server.start_again();
    let mut cluster = Cluster { servers: vec![server] };
    let until = Instant::now() + LIMIT;
    while cluster.found_peer() != peer {
        assert!(Instant::now() < until, "its address is not made known");
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.grow();
    assert_eq!(cluster.agreed("SELECT sum(a) FROM t"), "1");
}
