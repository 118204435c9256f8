//! SQL on three nodes of one chain, in one process, over wires that can be cut: any node takes any statement, a session
//! sees what it wrote and what was told to others, and nothing that was acknowledged is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arrow::array::{Array as _, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use ledger::{
    Genesis, Hash, Height, NodeKey, Object, Oid, Operation, Transaction, TransactionId,
    catalog::Member, transaction::Signature,
};
use parking_lot::Mutex;
use raft::{Bounds, Lane, Network, Node, NodeId, Options, Peer, Start, Unreached};
use sql::{Engine, EngineConfig, Error, Outcome, Session};
use storage::{
    BoxFuture, Clock, MemoryIndex, NodeChange, Order, RealClock, StateConfig, block_file,
    simulated::SimulatedDisk,
};

/// The wires between the nodes.
#[derive(Default)]
struct Wires {
    nodes: Mutex<BTreeMap<String, Arc<Node>>>,
    /// Who hears nobody and is heard by nobody.
    cut: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wires")
    }
}

/// One node's end.
#[derive(Debug)]
struct Plug {
    wires: Arc<Wires>,
    address: String,
    node: NodeId,
}

impl Network for Plug {
    fn ask(
        &self,
        _chain: Hash,
        _to: NodeId,
        peer: &Peer,
        _lane: Lane,
        message: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        let is_cut = {
            let cut = self.wires.cut.lock();
            cut.contains(&self.address) || cut.contains(&peer.address)
        };
        let to = self.wires.nodes.lock().get(&peer.address).cloned();
        let (from, own, there) = (self.node, self.address.clone(), peer.address.clone());
        let wires = Arc::clone(&self.wires);
        let answer = tokio::spawn(async move {
            let unreached = || Unreached("cut off".to_owned());
            let to = to.filter(|_| !is_cut).ok_or_else(unreached)?;
            let answer = to.answer(from, &message).await;
            let cut = wires.cut.lock();
            let passes = !cut.contains(&own) && !cut.contains(&there);
            answer.ok().filter(|_| passes).ok_or_else(unreached)
        });
        Box::pin(async move { answer.await.unwrap() })
    }
}

/// Three nodes, each with an engine.
struct Cluster {
    wires: Arc<Wires>,
    nodes: Vec<Arc<Node>>,
    engines: Vec<Arc<Engine>>,
}

fn key(at: usize) -> NodeKey {
    NodeKey::from_bytes(&[u8::try_from(at).unwrap() + 1; 32])
}

fn address(at: usize) -> String {
    format!("n{at}")
}

fn member(at: usize) -> Transaction {
    let number = u8::try_from(at).unwrap();
    let member = Object::Member(Member { name: address(at), public_key: key(at).public() });
    let oid = Oid(17_000 + u32::from(number));
    Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations: vec![Operation::Define { oid, object: Box::new(member) }],
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

impl Cluster {
    async fn start() -> Self {
        let wires = Arc::new(Wires::default());
        let genesis = Genesis {
            database: "stele".to_owned(),
            role: "stele".to_owned(),
            verifier: None,
            member: address(0),
            id: TransactionId([200; 16]),
            time_us: 1,
        };
        let genesis = Start::Found(Box::new(genesis.block(&key(0)).unwrap()));
        let mut cluster = Self { wires, nodes: Vec::new(), engines: Vec::new() };
        cluster.open(0, 0, genesis).await;
        let founder = Arc::clone(&cluster.nodes[0]);
        let mut voters = BTreeSet::from([0]);
        for at in 1..3 {
            founder.submit(member(at)).await.unwrap();
            let (address, public_key) = (address(at), key(at).public().0);
            let admission = NodeChange::Admit { address, public_key };
            let node = founder.change(admission).await.unwrap();
            voters.insert(node);
            cluster.open(at, node, Start::Join { chain: founder.chain(), node }).await;
        }
        founder.set_voters(voters).await.unwrap();
        // A node has no users before it has the first block.
        let height = founder.state().head().height;
        for node in &cluster.nodes {
            node.state().wait_applied(height).await;
        }
        cluster
    }

    async fn open(&mut self, at: usize, node: NodeId, start: Start) {
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let plug = Plug { wires: Arc::clone(&self.wires), address: address(at), node };
        let options = Options {
            key: key(at),
            network: Arc::new(plug),
            address: address(at),
            clock: Arc::clone(&clock),
            index: Arc::new(MemoryIndex::default()),
            state: StateConfig::default(),
            segments: None,
            files: block_file::Options {
                preallocate: 64 << 10,
                slack: 4 << 10,
                ..block_file::Options::default()
            },
            bounds: Bounds::default(),
        };
        let node = Node::open(Arc::new(SimulatedDisk::new()), start, options).await.unwrap();
        self.wires.nodes.lock().insert(address(at), Arc::clone(&node));
        let (state, order) = (Arc::clone(node.state()), Arc::clone(&node) as Arc<dyn Order>);
        self.engines.push(Engine::new(state, order, clock, EngineConfig::default()).unwrap());
        self.nodes.push(node);
    }

    /// The node that leads, of those that hear one another.
    async fn leader(&self) -> usize {
        loop {
            let cut = self.wires.cut.lock().clone();
            let leads = |at: &usize| !cut.contains(&address(*at)) && self.nodes[*at].status().leads;
            if let Some(at) = (0..self.nodes.len()).find(leads) {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Two nodes that don't lead.
    async fn followers(&self) -> [usize; 2] {
        let leader = self.leader().await;
        [(leader + 1) % 3, (leader + 2) % 3]
    }

    fn session(&self, at: usize) -> Session {
        self.engines[at].session("stele", Vec::new()).unwrap()
    }

    async fn stop(self) {
        self.wires.cut.lock().clear();
        for node in &self.nodes {
            node.shutdown().await;
        }
        self.wires.nodes.lock().clear();
    }
}

/// Runs a text as the simple protocol does it; all rows of all statements, columns with blanks between.
async fn run(session: &mut Session, text: &str) -> Result<Vec<String>, Error> {
    let done = try_run(session, text).await;
    match done {
        Ok(rows) => session.finish_implicit().await.map(|()| rows),
        Err(error) => {
            session.fail();
            Err(error)
        }
    }
}

async fn try_run(session: &mut Session, text: &str) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    for statement in session.parse(text)? {
        let prepared = session.prepare(statement, &[]).await?;
        if let Outcome::Rows { mut stream, .. } = session.execute(&prepared, Vec::new()).await? {
            while let Some(batch) = stream.next().await {
                show(&batch?, &mut rows);
            }
        }
    }
    Ok(rows)
}

fn show(batch: &RecordBatch, rows: &mut Vec<String>) {
    let options = FormatOptions::default();
    for place in 0..batch.num_rows() {
        let cell = |column: &arrow::array::ArrayRef| {
            if column.is_null(place) {
                return "NULL".to_owned();
            }
            ArrayFormatter::try_new(column, &options).unwrap().value(place).to_string()
        };
        rows.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join(" "));
    }
}

async fn told(session: &mut Session, text: &str) -> String {
    match run(session, text).await {
        Ok(rows) => rows.join(", "),
        Err(error) => error.sqlstate(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_statement() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let [one, other] = cluster.followers().await;
    let (mut at_leader, mut at_one, mut at_other) =
        (cluster.session(leader), cluster.session(one), cluster.session(other));
    run(
        &mut at_one,
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int CHECK (v > 0))",
    )
    .await
    .unwrap();
    // Whoever asks after that, wherever, sees it; and each sees what it wrote.
    for round in 0..20 {
        for session in [&mut at_other, &mut at_leader, &mut at_one] {
            let before = told(session, "SELECT count(*) FROM t").await;
            run(session, "INSERT INTO t (v) VALUES (1)").await.unwrap();
            run(session, "UPDATE t SET v = v + 1 WHERE id = 1").await.unwrap();
            let after = told(session, "SELECT count(*) FROM t").await;
            let (before, after): (u64, u64) = (before.parse().unwrap(), after.parse().unwrap());
            assert_eq!(after, before + 1, "round {round}");
        }
    }
    assert_eq!(told(&mut at_leader, "SELECT v FROM t WHERE id = 1").await, "61");
    // Sequences are leased by each node.
    assert_eq!(told(&mut at_one, "SELECT count(DISTINCT id) FROM t").await, "60");
    // A transaction over several statements.
    run(&mut at_one, "BEGIN; INSERT INTO t (v) VALUES (7); INSERT INTO t (v) VALUES (8); COMMIT")
        .await
        .unwrap();
    assert_eq!(told(&mut at_other, "SELECT count(*) FROM t WHERE v IN (7, 8)").await, "2");
    // And one of several mebibytes.
    let many = "INSERT INTO t (v) SELECT g FROM generate_series(1, 60000) g";
    run(&mut at_other, many).await.unwrap();
    assert_eq!(told(&mut at_one, "SELECT count(*) FROM t").await, "60062");
    drop((at_leader, at_one, at_other));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_same_wherever_it_is_told() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let [one, other] = cluster.followers().await;
    let mut at_leader = cluster.session(leader);
    run(&mut at_leader, "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL CHECK (v > 0))")
        .await
        .unwrap();
    run(&mut at_leader, "INSERT INTO t VALUES (1, 1), (2, 2)").await.unwrap();
    // Both have a snapshot without the other's row: the second is refused where it is ordered.
    let mut reports = Vec::new();
    for (id, second) in [(10, leader), (11, one)] {
        let (mut first, mut second) = (cluster.session(other), cluster.session(second));
        for session in [&mut first, &mut second] {
            run(session, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
                .await
                .unwrap();
            run(session, &format!("INSERT INTO t VALUES ({id}, 1)")).await.unwrap();
        }
        run(&mut first, "COMMIT").await.unwrap();
        let report = run(&mut second, "COMMIT").await.unwrap_err().report();
        reports.push((report.clone(), id));
        assert_eq!(report.sqlstate, "23505");
        assert_eq!(report.detail, Some(format!("Key (id)=({id}) already exists.")));
        assert_eq!(report.constraint.as_deref(), Some("t_pkey"));
    }
    let [(by_leader, _), (by_follower, _)] = reports.as_slice() else { panic!("two") };
    assert_eq!(by_leader.message, by_follower.message);
    assert_eq!((&by_leader.hint, &by_leader.table), (&by_follower.hint, &by_follower.table));
    // What one node changed under another's transaction.
    let (mut slow, mut quick) = (cluster.session(one), cluster.session(other));
    run(&mut slow, "BEGIN; UPDATE t SET v = 5 WHERE id = 1").await.unwrap();
    run(&mut quick, "UPDATE t SET v = 6 WHERE id = 1").await.unwrap();
    assert_eq!(told(&mut slow, "COMMIT").await, "40001");
    assert_eq!(told(&mut slow, "SELECT v FROM t WHERE id = 1").await, "6");
    drop((at_leader, slow, quick));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_change_of_the_leader() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let [one, other] = cluster.followers().await;
    let mut session = cluster.session(one);
    run(&mut session, "CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    let (mut done, mut open) = (BTreeSet::new(), 0);
    for id in 0..60 {
        if id == 20 {
            cluster.wires.cut.lock().insert(address(leader));
        }
        if id == 40 {
            // Of those that hear one another; later the old one may lead again.
            assert_ne!(cluster.leader().await, leader);
            cluster.wires.cut.lock().clear();
        }
        match told(&mut session, &format!("INSERT INTO t VALUES ({id})")).await.as_str() {
            "" => drop(done.insert(id)),
            "08007" => open += 1,
            "40001" => {}
            state => panic!("{state}"),
        }
    }
    let rows = run(&mut cluster.session(other), "SELECT id FROM t").await.unwrap();
    let there: BTreeSet<i32> = rows.iter().map(|id| id.parse().unwrap()).collect();
    assert!(there.is_superset(&done), "{:?}", done.difference(&there));
    assert!(there.len() <= done.len() + open, "{:?}", there.difference(&done));
    assert!(done.len() > 40, "{}", done.len());
    drop(session);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_says_how_new_the_state_must_be() {
    let cluster = Cluster::start().await;
    let [one, other] = cluster.followers().await;
    let (mut apart, mut writer) = (cluster.session(one), cluster.session(other));
    assert_eq!(told(&mut apart, "SHOW ledger.read").await, "linearizable");
    run(&mut writer, "CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    run(&mut writer, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(told(&mut apart, "SELECT count(*) FROM t").await, "1");
    cluster.wires.cut.lock().insert(address(one));
    run(&mut writer, "INSERT INTO t VALUES (2)").await.unwrap();
    let newest = cluster.nodes[other].state().head().height.0;
    // Cut off, it can't know what is newest, and says so.
    let error = run(&mut apart, "SELECT count(*) FROM t").await.unwrap_err().report();
    assert_eq!(error.sqlstate, "57P03");
    assert!(error.hint.unwrap().contains("ledger.read = 'stale'"));
    for (freshness, sees) in [("stale", "1"), ("bounded 1h", "1"), ("bounded 0ms", "57P03")] {
        run(&mut apart, &format!("SET ledger.read = '{freshness}'")).await.unwrap();
        assert_eq!(told(&mut apart, "SELECT count(*) FROM t").await, sees, "{freshness}");
    }
    // A block that isn't here is waited for.
    run(&mut apart, &format!("SET ledger.read = 'block:{newest}'")).await.unwrap();
    let waits = tokio::spawn(async move { told(&mut apart, "SELECT count(*) FROM t").await });
    cluster.wires.cut.lock().clear();
    assert_eq!(waits.await.unwrap(), "2");
    for wrong in ["bounded", "bounded x", "block:x", "newest", ""] {
        let set = format!("SET ledger.read = '{wrong}'");
        assert_eq!(told(&mut writer, &set).await, "22023", "{wrong}");
    }
    // A transaction above READ COMMITTED asks once.
    run(&mut writer, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
        .await
        .unwrap();
    cluster.wires.cut.lock().insert(address(other));
    assert_eq!(told(&mut writer, "SELECT count(*) FROM t").await, "2");
    drop(writer);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_can_tell_who_leads_and_what_only_the_leader_does() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let [one, _] = cluster.followers().await;
    let (mut at_leader, mut at_one) = (cluster.session(leader), cluster.session(one));
    let role = "SELECT pg_is_in_recovery(); SHOW in_hot_standby; SHOW transaction_read_only";
    assert_eq!(told(&mut at_leader, role).await, "false, off, off");
    assert_eq!(told(&mut at_one, role).await, "true, on, off");
    let standby = ("in_hot_standby".to_owned(), "on".to_owned());
    assert!(at_one.settings().reported().contains(&standby));
    run(&mut at_one, "RESET ALL").await.unwrap();
    assert_eq!(told(&mut at_one, "SHOW in_hot_standby").await, "on");
    // Locks that are asked for lie in the leader's memory: elsewhere they would hold nobody back.
    run(&mut at_one, "CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    run(&mut at_leader, "SELECT * FROM t FOR UPDATE").await.unwrap();
    run(&mut at_leader, "BEGIN; LOCK TABLE t; ROLLBACK").await.unwrap();
    run(&mut at_leader, "SELECT pg_advisory_lock(1)").await.unwrap();
    for refused in [
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR KEY SHARE",
        "BEGIN; LOCK TABLE t",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (1)",
    ] {
        assert_eq!(told(&mut at_one, refused).await, "0A000", "{refused}");
        run(&mut at_one, "ROLLBACK").await.unwrap();
    }
    // A write that comes from another node waits for what the leader's sessions hold.
    run(&mut at_leader, "INSERT INTO t VALUES (7)").await.unwrap();
    run(&mut at_leader, "BEGIN; SELECT * FROM t WHERE id = 7 FOR UPDATE").await.unwrap();
    let mut writer = cluster.session(one);
    let waits = tokio::spawn(async move { told(&mut writer, "DELETE FROM t WHERE id = 7").await });
    while cluster.nodes[leader].state().locks().counts().1 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(told(&mut at_leader, "SELECT count(*) FROM t; COMMIT").await, "1");
    assert_eq!(waits.await.unwrap(), "");
    let reads = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM t; COMMIT";
    assert_eq!(told(&mut at_one, reads).await, "0");
    // Who leads may change, and the client is told with the next answer.
    drop(at_one.take_changed_parameters());
    let change = NodeChange::HandOver(cluster.nodes[one].id().unwrap());
    cluster.nodes[leader].change(change).await.unwrap();
    while cluster.leader().await != one {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run(&mut at_one, "SELECT * FROM t FOR UPDATE").await.unwrap();
    let primary = ("in_hot_standby".to_owned(), "off".to_owned());
    assert!(at_one.take_changed_parameters().contains(&primary));
    drop((at_leader, at_one));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_locked_under_another_lead_counts_no_more() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let [other, _] = cluster.followers().await;
    let mut setting = cluster.session(leader);
    run(&mut setting, "CREATE TABLE t (id int PRIMARY KEY, v int)").await.unwrap();
    run(&mut setting, "INSERT INTO t VALUES (1, 0), (2, 0), (3, 0), (4, 0)").await.unwrap();
    let mut sessions = Vec::new();
    for (begin, end, told) in [
        // What was asked for was given by one who leads no more: it protects nothing.
        ("SELECT * FROM t WHERE id = 1 FOR UPDATE", "COMMIT", "40001"),
        (
            "SELECT * FROM t WHERE id = 2 FOR SHARE",
            "UPDATE t SET v = 1 WHERE id = 2; COMMIT",
            "40001",
        ),
        ("SELECT pg_advisory_xact_lock(7)", "INSERT INTO t VALUES (5, 0); COMMIT", "40001"),
        ("UPDATE t SET v = 1 WHERE id = 3; LOCK TABLE t IN ROW EXCLUSIVE MODE", "COMMIT", "40001"),
        // A change alone is checked where it is ordered.
        ("UPDATE t SET v = 1 WHERE id = 4", "COMMIT", ""),
    ] {
        let mut session = cluster.session(leader);
        run(&mut session, &format!("BEGIN; {begin}")).await.unwrap();
        sessions.push((session, end, told));
    }
    let hand_over = |to: usize| NodeChange::HandOver(cluster.nodes[to].id().unwrap());
    cluster.nodes[leader].change(hand_over(other)).await.unwrap();
    while cluster.leader().await != other || cluster.nodes[leader].status().leads {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Not even if the lead comes back.
    cluster.nodes[other].change(hand_over(leader)).await.unwrap();
    while cluster.leader().await != leader || cluster.nodes[other].status().leads {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (mut session, end, expected) in sessions {
        assert_eq!(told(&mut session, end).await, expected, "{end}");
    }
    let rows = "SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM t";
    assert_eq!(told(&mut setting, rows).await, "1:0 2:0 3:0 4:1");
    cluster.stop().await;
}
