//! What a leader takes from other nodes: what is signed, and what is valid under its lead.

use ledger::{Height, Operation, transaction::Signature};
use storage::{
    MemoryIndex, Order as _, RealClock, StateConfig, block_file, simulated::SimulatedDisk,
};

use super::*;
use crate::{Node, Options, Start, network::Alone, testing};

fn key() -> NodeKey {
    NodeKey::from_bytes(&[3; 32])
}

async fn open() -> Arc<Node> {
    let options = Options {
        key: key(),
        network: Arc::new(Alone),
        address: String::new(),
        clock: Arc::new(RealClock),
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
    let start = Start::Found(Box::new(testing::genesis(&key())));
    let node = Node::open(Arc::new(SimulatedDisk::new()), start, options).await.unwrap();
    node.submit(transaction(&node, 200, testing::definitions())).await.unwrap();
    node
}

fn transaction(node: &Node, number: u8, operations: Vec<Operation>) -> Transaction {
    let mut transaction = Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    };
    node.sign(&mut transaction).unwrap();
    transaction
}

fn insert(node: &Node, number: u8) -> Transaction {
    let row = testing::row(i64::from(number), 0);
    transaction(node, number, vec![Operation::Insert { table: testing::TABLE, row }])
}

fn lead(node: &Node) -> LeaderId {
    node.desk().unwrap().lead().unwrap()
}

async fn handed_in(
    node: &Node,
    under: LeaderId,
    transaction: &Transaction,
) -> Result<Receipt, SubmitError> {
    node.desk().unwrap().take(under, &ledger::codec::encode(transaction)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_valid_under_one_lead_alone() {
    let node = open().await;
    let own = lead(&node);
    let one = insert(&node, 1);
    for other in [
        LeaderId { term: own.term + 1, ..own },
        LeaderId { term: own.term - 1, ..own },
        LeaderId { node_id: own.node_id + 1, ..own },
    ] {
        let told = handed_in(&node, other, &one).await;
        assert!(matches!(told, Err(SubmitError::NotLeading { .. })), "{told:?}");
        // Also when the lead changed on the way to the sequencer.
        let desk = node.desk().unwrap();
        let hash = desk.check(&one).unwrap();
        let queued = desk.sequencer.submit(one.clone(), hash, Some(other)).unwrap();
        let told = queued.await.unwrap();
        assert!(matches!(told, Err(SubmitError::NotLeading { .. })), "{told:?}");
        let told = desk.close(other, one.id).await;
        assert!(matches!(told, Err(SubmitError::Unknown)), "{told:?}");
    }
    let receipt = handed_in(&node, own, &one).await.unwrap();
    assert_eq!(node.desk().unwrap().close(own, one.id).await.unwrap(), receipt);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_not_to_be_in_the_chain_is_never_taken_however_late_it_comes() {
    let node = open().await;
    let own = lead(&node);
    let late = insert(&node, 1);
    let told = node.desk().unwrap().close(own, late.id).await;
    assert!(matches!(told, Err(SubmitError::NotLeading { .. })), "{told:?}");
    let told = handed_in(&node, own, &late).await;
    assert!(matches!(told, Err(SubmitError::NotLeading { .. })), "{told:?}");
    assert_eq!(node.state().find_transaction(late.id).unwrap(), None);
    handed_in(&node, own, &insert(&node, 2)).await.unwrap();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_what_is_in_flight_is_waited_for() {
    let node = open().await;
    let own = lead(&node);
    let desk = Arc::clone(node.desk().unwrap());
    for number in 1..40 {
        let one = insert(&node, number);
        let hash = desk.check(&one).unwrap();
        let id = one.id;
        let queued = desk.sequencer.submit(one, hash, Some(own)).unwrap();
        let asked = desk.close(own, id).await.unwrap();
        assert_eq!(queued.await.unwrap().unwrap(), asked);
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hands_in_what_no_member_signed() {
    let node = open().await;
    let own = lead(&node);
    let mut one = insert(&node, 1);
    one.signature = Signature::NONE;
    for altered in [
        one.clone(),
        Transaction { member: NodeKey::from_bytes(&[9; 32]).member(), ..insert(&node, 1) },
        Transaction { user: "another".to_owned(), ..insert(&node, 1) },
    ] {
        let told = handed_in(&node, own, &altered).await;
        assert!(matches!(told, Err(SubmitError::Refused(_))), "{told:?}");
    }
    let told = node.desk().unwrap().take(own, b"no transaction").await;
    assert!(matches!(told, Err(SubmitError::Refused(_))), "{told:?}");
    assert_eq!(node.state().find_transaction(one.id).unwrap(), None);
    node.shutdown().await;
}
