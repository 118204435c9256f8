//! Several blocks in flight: their order, what rests on them, and how they end.

use futures::FutureExt as _;
use ledger::VersionId;

use super::*;
use crate::testing::{TABLE, row};

type Waiting = BoxFuture<'static, Result<Receipt, SubmitError>>;

/// A node whose disk can be held.
async fn node() -> (SimulatedDisk, Arc<Node>) {
    let simulated = SimulatedDisk::new();
    let bounds = Bounds { eager: 8, ..Bounds::default() };
    let node = node_with(&simulated, bounds).await;
    (simulated, node)
}

async fn node_with(simulated: &SimulatedDisk, bounds: Bounds) -> Arc<Node> {
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = Node::open(disk, Start::Found(Box::new(genesis())), Options { bounds, ..options() })
        .await
        .unwrap();
    settled(&node).await;
    node
}

/// Waits until all is applied, the leader's first block too.
async fn settled(node: &Node) {
    while node.state().head().height != tip(node) {
        tokio::task::yield_now().await;
    }
}

fn tip(node: &Node) -> Height {
    node.blocks().tip().unwrap().height
}

/// Hands a transaction in and waits until its block is in the file, written or not.
async fn fly(node: &Node, transaction: Transaction) -> Waiting {
    let before = tip(node);
    let mut waiting = node.submit(transaction);
    while tip(node) == before {
        if let Some(outcome) = (&mut waiting).now_or_never() {
            panic!("{outcome:?}");
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(tip(node).0, before.0 + 1);
    waiting
}

/// An unsigned transaction with these operations.
fn transaction(number: u32, operations: Vec<Operation>) -> Transaction {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    Transaction {
        id: TransactionId(id),
        user: "stele".to_owned(),
        member: key().member(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

/// Makes the table.
fn definitions(number: u32) -> Transaction {
    transaction(number, testing::definitions())
}

fn insert(number: u32, id: i64) -> Transaction {
    transaction(number, vec![Operation::Insert { table: TABLE, row: row(id, 0) }])
}

/// Sets the second column of a row whose version is the first of a block.
fn update(number: u32, height: Height, id: i64, v: i64) -> Transaction {
    let previous = VersionId { height, transaction: 0, operation: 0 };
    transaction(number, vec![Operation::Update { table: TABLE, previous, row: row(id, v) }])
}

/// Why a transaction is refused while nothing is written.
async fn refusal(node: &Node, transaction: Transaction) -> ledger::Refusal {
    let before = tip(node);
    let mut waiting = node.submit(transaction);
    loop {
        match (&mut waiting).now_or_never() {
            Some(Err(SubmitError::Refused(refusal))) => return refusal,
            Some(other) => panic!("{other:?}"),
            None => tokio::task::yield_now().await,
        }
        assert_eq!(tip(node), before, "it was taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rests_on_those_before_and_none_is_told_before_it_is_safe() {
    let (disk, node) = node().await;
    let founded = node.state().head();
    let held = disk.hold();
    let mut waiting = vec![fly(&node, definitions(0)).await];
    waiting.push(fly(&node, insert(1, 5)).await);
    // A version of a block that isn't even written.
    let height = tip(&node);
    waiting.push(fly(&node, update(2, height, 5, 1)).await);
    waiting.push(fly(&node, insert(3, 6)).await);
    assert!(node.blocks().durable() <= founded.height.0 + 1);
    for outcome in &mut waiting {
        assert!(outcome.now_or_never().is_none());
    }
    assert_eq!(node.state().head(), founded);
    drop(held);
    let mut heights = Vec::new();
    for outcome in waiting {
        let receipt = outcome.await.unwrap();
        assert!(receipt.height.0 < node.blocks().durable());
        heights.push(receipt.height.0);
    }
    let first = founded.height.0 + 1;
    assert_eq!(heights, (first..first + 4).collect::<Vec<_>>());
    assert_eq!(node.state().snapshot().row_count(TABLE), 2);
    assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_contradicts_an_effect_in_flight_is_refused() {
    let (disk, node) = node().await;
    node.submit(definitions(0)).await.unwrap();
    let held = disk.hold();
    let first = fly(&node, insert(1, 5)).await;
    let height = tip(&node);
    assert!(refusal(&node, insert(2, 5)).await.to_string().contains("t_pkey"));
    assert!(refusal(&node, insert(1, 6)).await.to_string().contains("was used before"));
    let second = fly(&node, update(3, height, 5, 1)).await;
    // Replaced in flight: it isn't alive any more.
    let superseded = |it: &ledger::Refusal| matches!(it, ledger::Refusal::Superseded { .. });
    assert!(superseded(&refusal(&node, update(4, height, 5, 2)).await));
    let none = update(5, Height(tip(&node).0 + 1), 5, 2);
    assert!(superseded(&refusal(&node, none).await));
    assert_eq!(tip(&node).0, height.0 + 1);
    drop(held);
    first.await.unwrap();
    second.await.unwrap();
    assert!(refusal(&node, insert(6, 5)).await.to_string().contains("t_pkey"));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_in_flight_is_waited_for() {
    let (disk, node) = node().await;
    let held = disk.hold();
    let keyed = |number| schema(&node, number, Some("order 7"));
    let first = fly(&node, keyed(1)).await;
    let height = tip(&node);
    let mut again = node.submit(keyed(2));
    // What comes later is in flight, so that the second one was looked at.
    let other = fly(&node, schema(&node, 3, None)).await;
    assert_eq!(tip(&node).0, height.0 + 1);
    assert!((&mut again).now_or_never().is_none());
    drop(held);
    let receipt = first.await.unwrap();
    assert_eq!(again.await.unwrap(), receipt);
    assert_eq!(node.submit(keyed(4)).await.unwrap(), receipt);
    other.await.unwrap();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_takes_along_all_that_is_in_flight() {
    let (disk, node) = node().await;
    node.submit(definitions(0)).await.unwrap();
    let held = disk.hold();
    let mut waiting = Vec::new();
    for number in 1..5 {
        waiting.push(fly(&node, insert(number, i64::from(number))).await);
    }
    let keyed = |number| schema(&node, number, Some("order 7"));
    waiting.push(fly(&node, keyed(5000)).await);
    waiting.push(node.submit(keyed(5001)));
    disk.fail_sync(0);
    drop(held);
    for outcome in waiting {
        let outcome = outcome.await;
        let stopped = matches!(outcome, Err(SubmitError::Fault(Fault::Stopped { .. })));
        assert!(stopped || matches!(outcome, Err(SubmitError::Unknown)), "{outcome:?}");
    }
    let later = node.submit(insert(9, 9)).await;
    let Err(SubmitError::Fault(Fault::Stopped { reason })) = later else { panic!("{later:?}") };
    assert!(reason.contains("sync"), "{reason}");
    assert_eq!(node.state().snapshot().row_count(TABLE), 0);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_fly_than_may() {
    let simulated = SimulatedDisk::new();
    let node = node_with(&simulated, Bounds { eager: 2, flights: 2, ..Bounds::default() }).await;
    let held = simulated.hold();
    let first = fly(&node, schema(&node, 1, None)).await;
    let second = fly(&node, schema(&node, 2, None)).await;
    let height = tip(&node);
    let more: Vec<Waiting> =
        (3..40).map(|number| node.submit(schema(&node, number, None))).collect();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tip(&node), height);
    drop(held);
    let first = first.await.unwrap();
    assert_eq!(second.await.unwrap().height.0, first.height.0 + 1);
    let receipts = futures::future::join_all(more).await;
    // All that arrived meanwhile made one block.
    assert!(receipts.into_iter().all(|it| it.unwrap().height.0 == first.height.0 + 2));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_block_goes_when_as_many_wait_as_fly() {
    let simulated = SimulatedDisk::new();
    let node = node_with(&simulated, Bounds::default()).await;
    let held = simulated.hold();
    let height = tip(&node).0;
    let mut waiting = vec![fly(&node, schema(&node, 1, None)).await];
    // One waits and one flies, then two and two, then three of four.
    waiting.push(fly(&node, schema(&node, 2, None)).await);
    waiting.push(node.submit(schema(&node, 3, None)));
    waiting.push(fly(&node, schema(&node, 4, None)).await);
    waiting.extend((5..8).map(|number| node.submit(schema(&node, number, None))));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tip(&node).0, height + 3);
    drop(held);
    let receipts = futures::future::join_all(waiting).await;
    let heights: Vec<_> = receipts.into_iter().map(|it| it.unwrap().height.0 - height).collect();
    assert_eq!(heights, [1, 2, 3, 3, 4, 4, 4]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_followed_over_many_blocks() {
    let (_, node) = node().await;
    node.submit(definitions(0)).await.unwrap();
    let rounds = 400;
    let clients = (0..6).map(|client: u32| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let id = i64::from(client);
            let mut receipt = node.submit(insert(1 + client * 1000, id)).await.unwrap();
            for round in 1..rounds {
                let previous = VersionId {
                    height: receipt.height,
                    transaction: receipt.transaction,
                    operation: 0,
                };
                let row = row(id, i64::from(round));
                let operation = Operation::Update { table: TABLE, previous, row };
                let number = 1 + client * 1000 + round;
                let next = node.submit(transaction(number, vec![operation.clone()]));
                // A second one that replaces the same version comes too late.
                let late = node.submit(transaction(number + 500_000, vec![operation]));
                let (next, late) = futures::future::join(next, late).await;
                assert!(matches!(
                    late,
                    Err(SubmitError::Refused(ledger::Refusal::Superseded { .. }))
                ));
                receipt = next.unwrap();
            }
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    assert_eq!(node.state().snapshot().row_count(TABLE), 6);
    assert_eq!(node.state().snapshot().version_count(TABLE), 6 * u64::from(rounds));
    assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_of_consensus_own_moves_those_behind_it() {
    let (disk, node) = node().await;
    node.submit(definitions(0)).await.unwrap();
    let held = disk.hold();
    let first = fly(&node, insert(1, 5)).await;
    let before = tip(&node);
    let raft = node.running.as_ref().unwrap().raft.clone();
    let blank = tokio::spawn(async move { raft.write_blank().await.map(drop) });
    while tip(&node) == before {
        tokio::task::yield_now().await;
    }
    let second = fly(&node, insert(2, 6)).await;
    drop(held);
    let first = first.await.unwrap();
    let second = second.await.unwrap();
    blank.await.unwrap().unwrap();
    assert_eq!(first.height, before);
    // It was made for the place of the block between.
    assert_eq!(second.height.0, before.0 + 2);
    node.submit(update(3, second.height, 6, 1)).await.unwrap();
    node.submit(update(4, first.height, 5, 1)).await.unwrap();
    assert!(refusal(&node, insert(5, 6)).await.to_string().contains("t_pkey"));
    assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    node.shutdown().await;
}
