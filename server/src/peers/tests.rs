//! Nodes over real connections on this machine: they agree, strangers are kept out, connections are made again.

use std::collections::BTreeSet;

use ledger::{
    Genesis, Height, Object, Oid, Operation, Transaction, TransactionId,
    catalog::Member as Organisation, transaction::Signature,
};
use raft::{Bounds, Options, Start};
use storage::{
    MemoryIndex, NodeChange, Order as _, RealClock, StateConfig, simulated::SimulatedDisk,
};
use tokio::io::AsyncWriteExt as _;

use super::frame::{Frame, Head, Kind, greet, greeted};
use super::*;

/// One node with its ways.
struct Machine {
    key: NodeKey,
    address: String,
    disk: SimulatedDisk,
    peers: Arc<Peers>,
    node: Arc<raft::Node>,
}

fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes(&[number; 32])
}

fn genesis(key: &NodeKey) -> ledger::Block {
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "stele".to_owned(),
        id: TransactionId([1; 16]),
        time_us: 1,
    };
    genesis.block(key).unwrap()
}

fn options(key: &NodeKey, peers: &Arc<Peers>, address: &str) -> Options {
    Options {
        key: NodeKey::from_bytes(&key.to_bytes()),
        network: Arc::clone(peers) as Arc<dyn Network>,
        address: address.to_owned(),
        clock: Arc::new(RealClock),
        index: Arc::new(MemoryIndex::default()),
        state: StateConfig::default(),
        segments: None,
        files: storage::block_file::Options::default(),
        bounds: Bounds::default(),
    }
}

/// Makes a key a member's.
fn admission(number: u8) -> Transaction {
    let member = Organisation { name: format!("m{number}"), public_key: key(number).public() };
    let object = Box::new(Object::Member(member));
    Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations: vec![Operation::Define { oid: Oid(17_000 + u32::from(number)), object }],
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

async fn found() -> Machine {
    let key = key(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = Peers::new(&key).unwrap();
    let address = peers.listen(&key, listener).unwrap().to_string();
    let disk = SimulatedDisk::new();
    let start = Start::Found(Box::new(genesis(&key)));
    let options = options(&key, &peers, &address);
    let node = raft::Node::open(Arc::new(disk.clone()), start, options).await.unwrap();
    peers.host(&node, None);
    Machine { key, address, disk, peers, node }
}

/// A node that asks to join, and is admitted as a learner while it asks.
async fn join(first: &Machine, number: u8) -> Machine {
    let key = key(number);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = Peers::new(&key).unwrap();
    let address = peers.listen(&key, listener).unwrap().to_string();
    let (waiting, waits) = tokio::sync::oneshot::channel();
    let mut waiting = Some(waiting);
    let knocking = peers.join(&first.address, None, |introduction| {
        assert_eq!(introduction.members, Vec::new(), "a stranger is told of nobody");
        waiting.take().unwrap().send(()).unwrap();
    });
    let admitting = async {
        waits.await.unwrap();
        first.node.submit(admission(number)).await.unwrap();
        let public_key = key.public().0;
        let admission = NodeChange::Admit { address: address.clone(), public_key };
        first.node.change(admission).await.unwrap()
    };
    let (joined, id) = tokio::join!(knocking, admitting);
    let joined = joined.unwrap();
    assert_eq!((joined.chain, joined.node), (first.node.chain(), id));
    let disk = SimulatedDisk::new();
    let start = Start::Join { chain: joined.chain, node: joined.node };
    let options = options(&key, &peers, &address);
    let node = raft::Node::open(Arc::new(disk.clone()), start, options).await.unwrap();
    peers.host(&node, Some(&joined));
    Machine { key, address, disk, peers, node }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_and_outlive_the_loss_of_one() {
    let first = found().await;
    let (second, third) = (join(&first, 2).await, join(&first, 3).await);
    let ids: Vec<NodeId> = [&first, &second, &third].map(|it| it.node.id().unwrap()).into();
    first.node.set_voters(ids.iter().copied().collect::<BTreeSet<_>>()).await.unwrap();
    let receipt = first.node.submit(admission(4)).await.unwrap();
    for machine in [&second, &third] {
        machine.node.state().wait_applied(receipt.height).await;
        assert!(machine.node.read_point().await.unwrap() >= receipt.height);
        assert_eq!(
            machine.node.blocks().tip().unwrap().chain,
            first.node.blocks().tip().unwrap().chain
        );
    }
    let known = Peer { address: String::new(), public_key: second.key.public().0 };
    assert_eq!(first.peers.version(&known).as_deref(), Some(VERSION));

    // A member that asks by the chain's name is told of all, a stranger of nobody.
    let peer = Peer { address: first.address.clone(), public_key: first.key.public().0 };
    let chain = first.node.chain();
    for (number, told) in [(3, 3), (9, 0)] {
        let connector = Connector::new(Identity::new(&key(number)).unwrap());
        assert_eq!(join::ask(&connector, &peer, chain).await.unwrap().len(), told);
    }

    // One goes; the others go on, and it hears of that when it is back, from whoever leads then.
    second.node.shutdown().await;
    let receipt = first.node.submit(admission(5)).await.unwrap();
    first.node.change(NodeChange::HandOver(ids[2])).await.unwrap();
    third.node.state().wait_applied(receipt.height).await;
    let options = options(&second.key, &second.peers, &second.address);
    let disk = Arc::new(second.disk.clone());
    let again = raft::Node::open(disk, Start::Open, options).await.unwrap();
    second.peers.host(&again, None);
    again.state().wait_applied(receipt.height).await;
    for node in [&again, &third.node, &first.node] {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_answered_nothing() {
    let first = found().await;
    let chain = first.node.chain();
    let identity = Identity::new(&key(9)).unwrap();
    let connector = Connector::new(identity.clone());
    let purpose = Purpose::Lane(Lane::Prompt);
    // Another key than the one that is asked for is not connected to.
    assert!(connector.node(&first.address, key(8).public(), purpose).await.is_err());
    let own = first.key.public();
    let mut connection = connector.node(&first.address, own, purpose).await.unwrap();
    for (asked, why) in
        [(chain, "no member of that chain"), (Hash([7; 32]), "this node does not have that chain")]
    {
        let question = Frame { kind: Kind::Question(asked), number: 7, bytes: vec![0; 100_000] };
        question.write(&mut connection).await.unwrap();
        connection.flush().await.unwrap();
        let head = Head::read(&mut connection).await.unwrap().unwrap();
        let answer = head.body(&mut connection).await.unwrap();
        let expected = Frame { kind: Kind::Refusal, number: 7, bytes: why.as_bytes().to_vec() };
        assert_eq!(answer, expected);
    }
    // Without a key of its own nobody gets through the handshake.
    let socket = tokio::net::TcpStream::connect(&first.address).await.unwrap();
    let nameless = tokio_rustls::rustls::ClientConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(tokio_rustls::rustls::RootCertStore::empty())
    .with_no_client_auth();
    let name = tokio_rustls::rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connecting = tokio_rustls::TlsConnector::from(Arc::new(nameless)).connect(name, socket);
    assert!(connecting.await.is_err());
    first.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_lie_end_the_connection() {
    let first = found().await;
    let connector = Connector::new(Identity::new(&key(9)).unwrap());
    let purpose = Purpose::Lane(Lane::Blocks);
    let own = first.key.public();
    // A length that no frame has, an answer to nothing, and a kind that there isn't.
    for bytes in [
        [&[1][..], &[0; 8], &u32::MAX.to_le_bytes(), &[0; 32]].concat(),
        [&[2][..], &[0; 8], &[0; 4]].concat(),
        [&[9][..], &[0; 8], &[0; 4]].concat(),
    ] {
        let mut connection = connector.node(&first.address, own, purpose).await.unwrap();
        connection.write_all(&bytes).await.unwrap();
        connection.flush().await.unwrap();
        assert!(!matches!(Head::read(&mut connection).await, Ok(Some(_))));
    }
    first.node.shutdown().await;
}

#[tokio::test]
async fn greetings_and_frames_come_back_as_they_were() {
    let (mut one, mut other) = tokio::io::duplex(1 << 20);
    for purpose in [Purpose::Lane(Lane::Prompt), Purpose::Lane(Lane::Blocks), Purpose::Knock] {
        greet(&mut one, purpose, "1.2.3").await.unwrap();
        assert_eq!(greeted(&mut other).await.unwrap(), (purpose, "1.2.3".to_owned()));
    }
    for (kind, bytes) in [
        (Kind::Question(Hash([3; 32])), vec![5; 100_000]),
        (Kind::Answer, Vec::new()),
        (Kind::Refusal, b"why".to_vec()),
    ] {
        let frame = Frame { kind, number: u64::MAX, bytes };
        frame.write(&mut one).await.unwrap();
        one.flush().await.unwrap();
        let head = Head::read(&mut other).await.unwrap().unwrap();
        assert_eq!(head.body(&mut other).await.unwrap(), frame);
    }
    drop(one);
    assert!(Head::read(&mut other).await.unwrap().is_none());
}
