//! Clients that write and read on any node, and what each was told, in the order in which it happened.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ledger::{
    Hash, Height, Operation, Receipt, Transaction, TransactionId, Value, VersionId, key,
    transaction::Signature,
};
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use storage::{Order, SubmitError};

use crate::{
    chance,
    cluster::{Cluster, Node},
    machine::{now, sleep},
    testing::{self, KEY, TABLE, row},
};

/// The row that all clients count up.
const COUNTER: i64 = 0;

/// What a client was told of one transaction.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// It is in the chain.
    Done(Receipt),
    /// It is not, and will never be.
    Nothing,
    /// It may be, or come to be.
    Unknown,
}

/// One attempt to write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: TransactionId,
    pub(crate) idempotency_key: String,
    /// Moments, counted over all clients.
    pub(crate) asked: u64,
    pub(crate) told: u64,
    pub(crate) outcome: Told,
}

/// One linearizable read: the height that the reader was sent to.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) asked: u64,
    pub(crate) told: u64,
    pub(crate) height: Height,
}

/// A block that some node had applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) height: Height,
    pub(crate) block: Hash,
}

/// All that happened.
#[derive(Default)]
pub(crate) struct History {
    moment: u64,
    numbers: u64,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What happened when, for comparing two runs of a seed and for reading a failed one.
    pub(crate) trace: Vec<String>,
}

impl History {
    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        self.trace.push(format!("{:>12} {what}", now().as_micros()));
    }

    fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

pub(crate) type Shared = Arc<Mutex<History>>;

/// An unsigned transaction: the node that takes it signs.
fn transaction(number: u64, idempotency_key: &str, operations: Vec<Operation>) -> Transaction {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    Transaction {
        id: TransactionId(id),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: Some(idempotency_key.to_owned()),
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

/// Makes the table and the row that is counted up.
pub(crate) async fn prepare(cluster: &Cluster, history: &Shared) {
    let mut operations = testing::definitions();
    operations.push(Operation::Insert { table: TABLE, row: row(COUNTER, 0) });
    let leader = cluster.leader().unwrap();
    let told = write(cluster, history, leader, "prepare", operations).await;
    assert!(matches!(told, Told::Done(_)), "{told:?}");
}

/// The counter's newest version on a node, and its value.
pub(crate) fn counter(node: &Node) -> Option<(VersionId, i64)> {
    let snapshot = node.state().snapshot();
    let wanted = key::encode_key(&[Value::Int8(COUNTER)]);
    let version = *snapshot.lookup(KEY, &wanted).ok()?.first()?;
    match snapshot.row(TABLE, version).ok()??.get(1) {
        Some(Value::Int8(value)) => Some((version, *value)),
        _ => None,
    }
}

/// Hands a transaction in at a machine, and notes what is told.
async fn write(
    cluster: &Cluster,
    history: &Shared,
    at: usize,
    idempotency_key: &str,
    operations: Vec<Operation>,
) -> Told {
    let Some((node, alive)) = cluster.node(at) else { return Told::Nothing };
    let (asked, number) = {
        let mut history = history.lock();
        (history.moment(), history.number())
    };
    let transaction = transaction(number, idempotency_key, operations);
    let id = transaction.id;
    let submitted = node.submit(transaction);
    drop(node);
    // A client that waits long enough is told what became of it, unless no majority can be reached.
    let patience = Duration::from_secs(if chance::percent(40) { 3 } else { 30 });
    let outcome = <SimRuntime as openraft::AsyncRuntime>::timeout(patience, submitted).await;
    let outcome = match outcome {
        // A dead process tells nobody anything.
        _ if !alive.load(Ordering::Relaxed) => Told::Unknown,
        Err(_) | Ok(Err(SubmitError::Unknown)) => Told::Unknown,
        Ok(Ok(receipt)) => Told::Done(receipt),
        Ok(Err(error)) => {
            history.lock().note(format_args!("write {number}: {error}"));
            Told::Nothing
        }
    };
    let mut history = history.lock();
    let told = history.moment();
    history.note(format_args!("write {number} at {at}: {outcome:?}"));
    let idempotency_key = idempotency_key.to_owned();
    history.writes.push(Write { id, idempotency_key, asked, told, outcome: outcome.clone() });
    outcome
}

/// A client: it writes and reads until the time is over.
pub(crate) async fn client(cluster: Arc<Cluster>, history: Shared, until: Duration) {
    let mut favourite = 0;
    while now() < until {
        sleep(chance::micros(1_000, 60_000)).await;
        let at =
            if chance::percent(50) { favourite } else { chance::index(cluster.machines.len()) };
        if chance::percent(20) {
            read(&cluster, &history, at).await;
            continue;
        }
        let number = history.lock().number();
        let idempotency_key = format!("k{number}");
        let fresh = i64::try_from(number).unwrap();
        let mut operations = vec![Operation::Insert { table: TABLE, row: row(fresh, 0) }];
        let counted = cluster.node(at).and_then(|(node, _)| counter(&node));
        if let Some((previous, value)) = counted.filter(|_| chance::percent(30)) {
            operations.push(Operation::Update {
                table: TABLE,
                previous,
                row: row(COUNTER, value + 1),
            });
        }
        match write(&cluster, &history, at, &idempotency_key, operations.clone()).await {
            Told::Done(receipt) if chance::percent(5) => repeat(&cluster, at, receipt.id).await,
            Told::Done(_) => {}
            Told::Nothing => favourite = cluster.leader().unwrap_or(at),
            // Somebody else may know.
            Told::Unknown => {
                favourite = cluster.leader().unwrap_or(at);
                if chance::percent(50) {
                    write(&cluster, &history, favourite, &idempotency_key, operations).await;
                }
            }
        }
    }
}

/// Hands in another transaction with the number of one that is done: it may not come into the chain.
async fn repeat(cluster: &Cluster, at: usize, id: TransactionId) {
    let Some((node, _)) = cluster.node(at) else { return };
    let fresh = i64::from_le_bytes(id.0[..8].try_into().unwrap());
    let row = row(1_000_000 + fresh, 0);
    let mut again = transaction(0, "", vec![Operation::Insert { table: TABLE, row }]);
    (again.id, again.idempotency_key) = (id, None);
    let submitted = node.submit(again);
    drop(node);
    drop(<SimRuntime as openraft::AsyncRuntime>::timeout(Duration::from_secs(1), submitted).await);
}

async fn read(cluster: &Cluster, history: &Shared, at: usize) {
    let Some((node, alive)) = cluster.node(at) else { return };
    let asked = history.lock().moment();
    let patience = Duration::from_secs(3);
    let point = <SimRuntime as openraft::AsyncRuntime>::timeout(patience, node.read_point()).await;
    let (Ok(Ok(_)), true) = (point, alive.load(Ordering::Relaxed)) else { return };
    // What is read is the newest state that there is here now.
    let height = node.state().head().height;
    let mut history = history.lock();
    let told = history.moment();
    history.note(format_args!("read at {at}: {height:?}"));
    history.reads.push(Read { asked, told, height });
}

/// Notes what every node has applied, again and again.
pub(crate) async fn watch(cluster: Arc<Cluster>, history: Shared, until: Duration) {
    while now() < until {
        sleep(Duration::from_millis(100)).await;
        for machine in cluster.running() {
            if let Some((node, _)) = cluster.node(machine)
                && !node.state().is_empty()
            {
                let head = node.state().head();
                let seen = Seen { height: head.height, block: head.block };
                history.lock().seen.push(seen);
            }
        }
    }
}

/// Writes until one is told to be done: the cluster goes on.
pub(crate) async fn probe(cluster: &Cluster, history: &Shared) -> Option<Receipt> {
    let begun = now();
    while now() < begun + Duration::from_secs(30) {
        let any = chance::index(cluster.machines.len());
        if let Some(at) = if chance::percent(50) { cluster.leader() } else { Some(any) }
            && let Some(receipt) = write_once(cluster, history, at).await
        {
            return Some(receipt);
        }
        sleep(Duration::from_millis(100)).await;
    }
    None
}

/// Inserts a row at a machine; nothing if it isn't told that this is done.
pub(crate) async fn write_once(cluster: &Cluster, history: &Shared, at: usize) -> Option<Receipt> {
    let number = history.lock().number();
    let fresh = i64::try_from(number).unwrap();
    let operations = vec![Operation::Insert { table: TABLE, row: row(fresh, 0) }];
    match write(cluster, history, at, &format!("k{number}"), operations).await {
        Told::Done(receipt) => Some(receipt),
        Told::Nothing | Told::Unknown => None,
    }
}
