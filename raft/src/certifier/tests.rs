//! Three nodes of one process sign what they applied; one that is told that a majority has something else stops, and
//! stays so.

use std::collections::BTreeSet;

use ledger::{
    Object, Oid, Operation, Transaction, TransactionId, Voters, catalog::Member, catalog::Schema,
};
use storage::{
    Disk, MemoryIndex, NodeChange, Order, RealClock, StateConfig, block_file,
    simulated::SimulatedDisk,
};

use super::*;
use crate::{
    Bounds, Network, Node, Options, Peer, Start, Tokio, Unreached,
    codec::messages::address,
    testing::{self, definitions},
};

/// The nodes, by number: a network that loses nothing.
#[derive(Clone, Default)]
struct Local(Arc<Mutex<BTreeMap<NodeId, Arc<Node>>>>);

/// One node's end of it.
struct Plug(Local, NodeId);

impl std::fmt::Debug for Plug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plug")
    }
}

impl Network for Plug {
    fn ask(
        &self,
        _chain: Hash,
        to: NodeId,
        _peer: &Peer,
        _lane: Lane,
        message: Vec<u8>,
    ) -> storage::BoxFuture<'static, Result<Vec<u8>, Unreached>> {
        let (node, from) = (self.0.0.lock().get(&to).cloned(), self.1);
        let asked = tokio::spawn(async move {
            let node = node.ok_or_else(|| Unreached("nobody is there".to_owned()))?;
            let answer = node.answer(from, &message).await;
            answer.map_err(|error| Unreached(error.to_string()))
        });
        Box::pin(
            async move { asked.await.unwrap_or_else(|_| Err(Unreached("refused".to_owned()))) },
        )
    }
}

struct Machine {
    key: NodeKey,
    id: NodeId,
    disk: SimulatedDisk,
}

impl Machine {
    fn new(secret: u8) -> Self {
        let key = NodeKey::from_bytes(&[secret; 32]);
        Self { key, id: 0, disk: SimulatedDisk::new() }
    }

    async fn start(&self, local: &Local, start: Start) -> Result<Arc<Node>, Fault> {
        let options = Options {
            key: self.key.clone(),
            network: Arc::new(Plug(local.clone(), self.id)),
            address: String::new(),
            clock: Arc::new(RealClock),
            index: Arc::new(MemoryIndex::default()),
            state: StateConfig::default(),
            segments: None,
            files: block_file::Options::default(),
            bounds: Bounds::default(),
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let node = Node::open(disk, start, options).await?;
        local.0.lock().insert(self.id, Arc::clone(&node));
        Ok(node)
    }
}

fn transaction(number: u8, operations: Vec<Operation>) -> Transaction {
    Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

fn schema(number: u8) -> Transaction {
    let (name, owner) = (format!("schema{number}"), Oid::FIRST_ROLE);
    let object = Box::new(Object::Schema(Schema { name, owner, comment: None }));
    transaction(number, vec![Operation::Define { oid: Oid(30_000 + u32::from(number)), object }])
}

/// A chain of three voters.
struct Cluster {
    local: Local,
    machines: Vec<Machine>,
    nodes: Vec<Arc<Node>>,
}

impl Cluster {
    async fn found() -> Self {
        let local = Local::default();
        let mut machines = vec![Machine::new(1)];
        let genesis = testing::genesis(&machines[0].key);
        let founder = machines[0].start(&local, Start::Found(Box::new(genesis))).await.unwrap();
        let mut nodes = vec![Arc::clone(&founder)];
        let mut voters = BTreeSet::from([0]);
        for secret in 2..=3 {
            let mut machine = Machine::new(secret);
            let public_key = machine.key.public();
            let member = Member { name: format!("n{secret}"), public_key };
            let object = Box::new(Object::Member(member));
            let define = Operation::Define { oid: Oid(17_000 + u32::from(secret)), object };
            founder.submit(transaction(secret, vec![define])).await.unwrap();
            let address = format!("n{secret}");
            let node = NodeChange::Admit { address, public_key: public_key.0 };
            machine.id = founder.change(node).await.unwrap();
            voters.insert(machine.id);
            let start = Start::Join { chain: founder.chain(), node: machine.id };
            nodes.push(machine.start(&local, start).await.unwrap());
            machines.push(machine);
        }
        founder.set_voters(voters).await.unwrap();
        Self { local, machines, nodes }
    }

    /// Hands a transaction in where the leader is, until one is taken.
    async fn write(&self, number: u8) {
        loop {
            for node in self.nodes.iter().filter(|node| node.status().leads) {
                if node.submit(schema(number)).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until these nodes have a certificate of all that the first has applied.
    async fn certified(&self, which: &[usize]) -> Arc<Certificate> {
        loop {
            let head = self.nodes[which[0]].state().head().height;
            let newest: Vec<_> = which.iter().map(|at| kept(&self.nodes[*at]).newest()).collect();
            let all = newest.iter().all(|it| {
                it.as_ref().is_some_and(|certificate| certificate.statement.height == head)
            });
            if all && let Some(Some(newest)) = newest.into_iter().next() {
                return newest;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn shutdown(&self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
        self.local.0.lock().clear();
    }
}

fn kept(node: &Node) -> &Certificates {
    node.state().certificates().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_voter_signs_alone() {
    let machine = Machine::new(1);
    let local = Local::default();
    let genesis = Box::new(testing::genesis(&machine.key));
    let node = machine.start(&local, Start::Found(genesis)).await.unwrap();
    node.submit(transaction(1, definitions())).await.unwrap();
    let cluster = Cluster { local, machines: vec![machine], nodes: vec![node] };
    let certificate = cluster.certified(&[0]).await;
    let member = cluster.machines[0].key.member();
    assert_eq!(certificate.voters, Voters::new([BTreeSet::from([member])]));
    let state = cluster.nodes[0].state();
    assert_eq!(certificate.statement.state, state.head().state);
    assert!(state.verify(true, &mut |_| ()).unwrap().is_sound());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_signs_and_all_keep_it() {
    let cluster = Cluster::found().await;
    cluster.write(10).await;
    let certificate = cluster.certified(&[0, 1, 2]).await;
    assert_eq!(certificate.voters.all().len(), 3);
    assert!(certificate.signatures.len() >= 2);
    for node in &cluster.nodes {
        let head = node.state().head();
        assert_eq!(certificate.statement.block, head.block);
        assert_eq!(certificate.statement.state, head.state);
        assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    }
    cluster.shutdown().await;
}

/// What a majority would say of a block that this node doesn't have yet, if that were another block.
fn other(cluster: &Cluster, victim: usize) -> Vec<u8> {
    let newest = kept(&cluster.nodes[victim]).newest().unwrap();
    let next = cluster.nodes[victim].state().next_height();
    let statement = Statement { height: next, block: Hash([8; 32]), ..newest.statement };
    let sign = |it: &Machine| (it.key.member(), statement.sign(&it.key));
    let signers = cluster.machines.iter().enumerate().filter(|(at, _)| *at != victim);
    let signatures = signers.map(|(_, machine)| sign(machine)).collect();
    Certificate::gather(statement, &newest.voters, &signatures).unwrap().encode()
}

async fn tell(node: &Node, from: NodeId, ask: Ask) -> Told {
    let question = Request::<Tokio>::Certify(ask).encode().unwrap();
    let to = node.id().unwrap();
    let answer = node.answer(from, &address(question, to)).await.unwrap();
    match Answer::<Tokio>::decode(&answer).unwrap() {
        Answer::Certify(told) => told,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_went_astray_stops_and_stays_so() {
    let mut cluster = Cluster::found().await;
    cluster.certified(&[0, 1, 2]).await;
    // The one that leads.
    let victim = cluster.nodes.iter().position(|node| node.status().leads).unwrap();
    let others: Vec<usize> = (0..3).filter(|at| *at != victim).collect();
    let forged = other(&cluster, victim);
    let height = cluster.nodes[victim].state().next_height();
    // One signature is nobody's word but one's.
    let mut single = Certificate::decode(&forged).unwrap();
    single.signatures.truncate(1);
    let from = cluster.machines[others[0]].id;
    let node = Arc::clone(&cluster.nodes[victim]);
    assert_eq!(tell(&node, from, Ask::Keep(single.encode())).await, Told::Nothing);
    cluster.write(10).await;
    cluster.certified(&[0, 1, 2]).await;
    assert!(node.state().halted().is_none());

    let forged =
        if node.state().next_height() == height { forged } else { other(&cluster, victim) };
    tell(&node, from, Ask::Keep(forged)).await;
    cluster.write(11).await;
    while node.state().halted().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fault = node.status().read_only.unwrap();
    assert!(matches!(fault, Fault::Astray { .. }), "{fault}");
    assert!(fault.to_string().contains("after block"), "{fault}");
    assert!(node.state().snapshot().check_cut().is_err());
    assert!(node.submit(schema(12)).await.is_err());
    assert!(!node.status().leads);
    // The others go on, without it.
    cluster.write(13).await;
    cluster.certified(&others).await;
    node.shutdown().await;
    drop(node);
    cluster.local.0.lock().remove(&cluster.machines[victim].id);
    let closed = cluster.nodes.remove(victim);
    closed.shutdown().await;
    drop(closed);
    // What the majority signed is kept, and contradicts its blocks.
    let start = Start::Join { chain: cluster.nodes[0].chain(), node: cluster.machines[victim].id };
    let again = cluster.machines[victim].start(&cluster.local, start).await.unwrap();
    while again.state().halted().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(again.state().snapshot().check_cut().is_err());
    again.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_synced_here_is_not_signed_here() {
    let cluster = Cluster::found().await;
    cluster.certified(&[0, 1, 2]).await;
    let leader = cluster.nodes.iter().position(|node| node.status().leads).unwrap();
    let (node, from) = (&cluster.nodes[leader], cluster.machines[(leader + 1) % 3].id);
    let height = node.state().next_height();
    let held = cluster.machines[leader].disk.hold();
    // The two others are a majority: it is committed, and applied here.
    drop(node.submit(schema(10)));
    node.state().wait_applied(height).await;
    assert_eq!(tell(node, from, Ask::Sign(height.0)).await, Told::Nothing);
    drop(held);
    while tell(node, from, Ask::Sign(height.0)).await == Told::Nothing {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.certified(&[0, 1, 2]).await;
    cluster.shutdown().await;
}
