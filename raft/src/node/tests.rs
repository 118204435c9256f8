//! A node from an empty directory on.

mod crash;
mod flights;

use ledger::{Operation, TransactionId, catalog::Schema, transaction::Signature};
use storage::{MemoryIndex, RealClock, RealDisk, simulated::SimulatedDisk};

use super::*;
use crate::{network::Alone, testing};

fn key() -> NodeKey {
    NodeKey::from_bytes(&[3; 32])
}

fn genesis() -> Block {
    testing::genesis(&key())
}

fn options() -> Options {
    Options {
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
    }
}

async fn open(disk: &Arc<dyn Disk>) -> Result<Arc<Node>, Fault> {
    Node::open(Arc::clone(disk), Start::Found(Box::new(genesis())), options()).await
}

/// A transaction that makes a schema of this number.
fn schema(node: &Node, number: u32, idempotency_key: Option<&str>) -> Transaction {
    let name = format!("schema{number}");
    let owner = ledger::Oid::FIRST_ROLE;
    let object = ledger::Object::Schema(Schema { name, owner, comment: None });
    let mut id = [9; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    let oid = ledger::Oid(16384 + number);
    let mut transaction = Transaction {
        id: TransactionId(id),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: String::new(),
        idempotency_key: idempotency_key.map(str::to_owned),
        snapshot: node.state().head().height,
        operations: vec![Operation::Define { oid, object: Box::new(object) }],
        signature: Signature::NONE,
        endorsements: Vec::new(),
    };
    node.sign(&mut transaction).unwrap();
    transaction
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_founded_grows_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.path()).unwrap());
    let node = open(&disk).await.unwrap();
    assert!(node.founded());
    let mut receipts = Vec::new();
    for number in 0..20 {
        receipts.push(node.submit(schema(&node, number, None)).await.unwrap());
    }
    assert!(receipts.windows(2).all(|pair| pair[0].height < pair[1].height));
    let head = node.state().head();
    assert_eq!(head.height, receipts[19].height);
    assert!(node.status().leads);
    node.shutdown().await;
    node.shutdown().await;
    assert!(matches!(node.submit(schema(&node, 99, None)).await, Err(SubmitError::ShuttingDown)));
    drop(node);
    let start = tokio::time::Instant::now();
    let node = open(&disk).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(!node.founded());
    assert!(node.state().head().height >= head.height);
    let again = node.submit(schema(&node, 100, None)).await.unwrap();
    assert!(again.height > head.height);
    // A leader alone keeps its lease.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    node.submit(schema(&node, 101, None)).await.unwrap();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_blocks_and_conflicts_are_refused() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    // OIDs must grow in the order of the chain, so these are handed in in order and awaited together.
    let waiting: Vec<_> = (0..200).map(|number| node.submit(schema(&node, number, None))).collect();
    let receipts = futures::future::join_all(waiting).await;
    let heights: BTreeSet<Height> =
        receipts.into_iter().map(|receipt| receipt.unwrap().height).collect();
    assert!(heights.len() < 200, "{} blocks", heights.len());
    let taken = node.submit(schema(&node, 7, None)).await;
    assert!(matches!(taken, Err(SubmitError::Refused(_))), "{taken:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_gets_the_first_receipt() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    let both = [
        node.submit(schema(&node, 1, Some("order 7"))),
        node.submit(schema(&node, 2, Some("order 7"))),
    ];
    let both: Vec<Receipt> =
        futures::future::join_all(both).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(both[0], both[1]);
    let later = node.submit(schema(&node, 3, Some("order 7"))).await.unwrap();
    assert_eq!(later, both[0]);
    node.shutdown().await;
    drop(node);
    let node = open(&disk).await.unwrap();
    let later = node.submit(schema(&node, 4, Some("order 7"))).await.unwrap();
    assert_eq!(later, both[0]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_a_bound_is_refused() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let bounds = Bounds { transaction_bytes: 1000, queue: 1, ..Bounds::default() };
    let options = Options { bounds, ..options() };
    let node = Node::open(disk, Start::Found(Box::new(genesis())), options).await.unwrap();
    let mut large = schema(&node, 1, None);
    large.statement = "x".repeat(1000);
    node.sign(&mut large).unwrap();
    let Err(SubmitError::Refused(refusal)) = node.submit(large).await else { panic!("taken") };
    assert!(refusal.to_string().contains("exceeds the limit of 1000 bytes"), "{refusal}");
    // More than one waits while nothing is written: some are told to come again, none is lost.
    let held = simulated.hold();
    let waiting: Vec<_> = (0..500).map(|it| node.submit(schema(&node, it, None))).collect();
    drop(held);
    let outcomes = futures::future::join_all(waiting).await;
    let busy = |outcome: &Result<Receipt, SubmitError>| {
        matches!(outcome, Err(SubmitError::Busy(storage::Shortage::Queue { .. })))
    };
    assert!(outcomes.iter().any(busy));
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || busy(outcome)), "{outcomes:?}");
    let again = node.submit(schema(&node, 2000, None)).await;
    assert!(again.is_ok(), "the queue empties again: {again:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn block_times_grow_though_the_clock_goes_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let clock = storage::simulated::SimulatedClock::new(1_000_000);
    let options = Options { clock: Arc::new(clock.clone()), ..options() };
    let node = Node::open(disk, Start::Found(Box::new(genesis())), options).await.unwrap();
    let first = node.submit(schema(&node, 1, None)).await.unwrap();
    clock.advance(-900_000);
    let second = node.submit(schema(&node, 2, None)).await.unwrap();
    clock.advance(2_000_000);
    let third = node.submit(schema(&node, 3, None)).await.unwrap();
    assert!(first.time_us >= 1_000_000);
    assert_eq!(second.time_us, first.time_us + 1);
    assert_eq!(third.time_us, 2_100_000);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_takes_nothing_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    drop(node.submit(schema(&node, 1, None)));
    node.submit(schema(&node, 2, None)).await.unwrap();
    assert!(node.state().find_transaction(schema(&node, 1, None).id).unwrap().is_some());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = open(&disk).await.unwrap();
    node.submit(schema(&node, 1, None)).await.unwrap();
    simulated.set_capacity(Some(simulated.used()));
    let mut number = 2;
    // What was preallocated may still take some.
    let refused = loop {
        match node.submit(schema(&node, number, None)).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SubmitError::Busy(storage::Shortage::Disk)), "{refused:?}");
    assert!(matches!(node.status().read_only, Some(Fault::DiskFull { .. })), "{:?}", node.status());
    simulated.set_capacity(None);
    node.submit(schema(&node, number, None)).await.unwrap();
    assert!(node.status().read_only.is_none());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_on_a_full_disk() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = open(&disk).await.unwrap();
    let receipt = node.submit(schema(&node, 1, None)).await.unwrap();
    node.shutdown().await;
    drop(node);
    simulated.set_capacity(Some(simulated.used()));
    let node = open(&disk).await.unwrap();
    assert!(node.state().find_transaction(receipt.id).unwrap().is_some());
    node.shutdown().await;
    drop(node);
    // Not even the vote is left, and there is no room for a new one, nor any that is kept: it can be read.
    Disk::remove(&simulated, "vote").unwrap();
    simulated.set_capacity(Some(0));
    let node = open(&disk).await.unwrap();
    assert!(matches!(node.status().read_only, Some(Fault::DiskFull { .. })), "{:?}", node.status());
    assert!(node.state().find_transaction(receipt.id).unwrap().is_some());
    let outcome = node.submit(schema(&node, 2, None)).await;
    assert!(matches!(outcome, Err(SubmitError::Busy(storage::Shortage::Disk))), "{outcome:?}");
    // With room it takes the lead, and transactions.
    simulated.set_capacity(None);
    while !node.status().leads || node.status().read_only.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.submit(schema(&node, 2, None)).await.unwrap();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_writes_and_says_why() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = open(&disk).await.unwrap();
    node.submit(schema(&node, 1, None)).await.unwrap();
    simulated.fail_sync(0);
    let outcome = node.submit(schema(&node, 2, None)).await;
    assert!(matches!(outcome, Err(SubmitError::Unknown)), "{outcome:?}");
    let later = node.submit(schema(&node, 3, None)).await;
    let Err(SubmitError::Fault(Fault::Stopped { reason })) = later else { panic!("{later:?}") };
    assert!(reason.contains("sync"), "{reason}");
    // Reads go on.
    assert!(node.state().snapshot().height() >= Height(1));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chain_is_opened_read_only() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = open(&disk).await.unwrap();
    for number in 0..5 {
        node.submit(schema(&node, number, None)).await.unwrap();
    }
    node.shutdown().await;
    drop(node);
    let bytes = simulated.bytes("00000000.blocks").unwrap();
    let at = bytes.windows(7).position(|it| it == b"schema3").unwrap();
    simulated.flip("00000000.blocks", at as u64, 1);
    let node = open(&disk).await.unwrap();
    let fault = node.status().read_only.unwrap();
    let height = fault.damaged_height().unwrap();
    assert_eq!(node.state().head().height.0 + 1, height.0);
    let outcome = node.submit(schema(&node, 50, None)).await;
    assert!(matches!(outcome, Err(SubmitError::Fault(Fault::Damaged(_)))), "{outcome:?}");
    let report = node.state().verify(true, &mut |_| ()).unwrap();
    assert!(report.damage().any(|damage| damage.height == Some(height)), "{report:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_under_a_running_node_is_found_by_verify_and_then_by_reads() {
    let simulated = SimulatedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let node = open(&disk).await.unwrap();
    for number in 0..5 {
        node.submit(schema(&node, number, None)).await.unwrap();
    }
    assert!(node.state().verify(true, &mut |_| ()).unwrap().is_sound());
    let bytes = simulated.bytes("00000000.blocks").unwrap();
    let at = bytes.windows(7).position(|it| it == b"schema3").unwrap();
    simulated.flip("00000000.blocks", at as u64, 1);
    let report = node.state().verify(true, &mut |_| ()).unwrap();
    let height = report.damage().next().unwrap().height.unwrap();
    assert!(report.damage().all(|damage| damage.height == Some(height)), "{report:?}");
    node.submit(schema(&node, 6, None)).await.unwrap();
    node.shutdown().await;
}

#[tokio::test]
async fn an_empty_directory_needs_a_genesis_block_and_a_chain_its_own_key() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    assert!(Node::open(Arc::clone(&disk), Start::Open, options()).await.is_err());
    let node = open(&disk).await.unwrap();
    node.shutdown().await;
    drop(node);
    let stranger = Options { key: NodeKey::from_bytes(&[4; 32]), ..options() };
    assert!(Node::open(disk, Start::Open, stranger).await.is_err());
}

/// Makes a chain longer by a block with these transactions, as anyone could who can write its files; the block
/// may be spoiled once its header is made.
fn append_by_hand(
    disk: &Arc<dyn Disk>,
    governance: Hash,
    transactions: Vec<Transaction>,
    spoil: impl FnOnce(&mut Block),
) {
    let files = block_file::Options::default();
    let blocks = BlockFile::open(Arc::clone(disk), files).unwrap();
    let last = blocks.read(blocks.tip().unwrap().height).unwrap().unwrap();
    let made = blocks.make_next(Proposal {
        proposer: last.header.proposer,
        governance,
        stamp: last.stamp.clone(),
        transactions,
        ..Proposal::default()
    });
    let mut block = made.unwrap();
    spoil(&mut block);
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    blocks.append(vec![Arc::new(block)], done).unwrap();
    receiver.recv().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_member_signed_is_neither_taken_nor_read_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    let first = node.submit(schema(&node, 1, None)).await.unwrap();
    let refused = async |transaction| match node.submit(transaction).await {
        Err(SubmitError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    let mut altered = schema(&node, 2, None);
    altered.statement.push('x');
    assert!(refused(altered).await.contains("is not what member"));
    let stranger = NodeKey::from_bytes(&[4; 32]);
    let mut foreign = schema(&node, 2, None);
    foreign.sign(&stranger, node.chain()).unwrap();
    assert!(refused(foreign.clone()).await.contains("is no member"));
    let mut elsewhere = schema(&node, 2, None);
    elsewhere.sign(&node.key, Hash([7; 32])).unwrap();
    assert!(refused(elsewhere).await.contains("is not what member"));
    let mut endorsed = schema(&node, 2, None);
    endorsed.endorse(&stranger, node.chain()).unwrap();
    assert!(refused(endorsed).await.contains("is no member"));
    let mut twice = schema(&node, 2, None);
    twice.endorse(&node.key, node.chain()).unwrap();
    twice.endorse(&node.key, node.chain()).unwrap();
    assert!(refused(twice).await.contains("twice"));
    // An unsigned one is signed by the node.
    let mut unsigned = schema(&node, 2, None);
    unsigned.signature = Signature::NONE;
    let receipt = node.submit(unsigned).await.unwrap();
    let block = node.blocks().read(receipt.height).unwrap().unwrap();
    let own = block.transactions[0].is_signed_by(&node.key.public(), node.chain());
    assert!(own.unwrap());
    let governance = node.state().catalog().governance();
    node.shutdown().await;
    drop(node);

    append_by_hand(&disk, governance, vec![foreign], |_| ());
    let node = open(&disk).await.unwrap();
    let forged = node.state().head().height;
    assert!(forged > first.height);
    let fault = node.status().read_only.unwrap();
    assert_eq!(fault.damaged_height(), Some(forged), "{fault}");
    assert!(fault.to_string().contains("is no member"), "{fault}");
    let report = node.state().verify(true, &mut |_| ()).unwrap();
    assert!(report.damage().all(|damage| damage.height == Some(forged)), "{report:?}");
    assert!(!report.is_sound());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_its_header_does_not_know_is_not_read_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    node.submit(schema(&node, 1, None)).await.unwrap();
    let (next, chain) = (schema(&node, 2, None), node.chain());
    let governance = node.state().catalog().governance();
    let before = node.state().head().height;
    node.shutdown().await;
    let key = NodeKey::from_bytes(&node.key.to_bytes());
    drop(node);
    // All signatures are right: only the block's own hash tells that one came in later.
    append_by_hand(&disk, governance, vec![next], |block| {
        block.transactions[0].endorse(&key, chain).unwrap();
    });
    let node = open(&disk).await.unwrap();
    let fault = node.status().read_only.unwrap();
    assert_eq!(fault.damaged_height(), Some(Height(before.0 + 1)), "{fault}");
    assert!(fault.to_string().contains("differs from its header"), "{fault}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_refuse_is_in_no_block() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    node.submit(schema(&node, 1, None)).await.unwrap();
    let before = node.state().head();
    let mut nobody = schema(&node, 2, None);
    nobody.user = "nobody".to_owned();
    nobody.signature = Signature::NONE;
    let refused = node.submit(nobody).await;
    assert!(matches!(refused, Err(SubmitError::Refused(_))), "{refused:?}");
    assert_eq!(node.state().head(), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_for_another_number_is_refused() {
    use codec::messages::{Request, address};
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let node = open(&disk).await.unwrap();
    let question = || Request::<Tokio>::ReadPoint.encode().unwrap();
    node.answer(3, &address(question(), FOUNDER)).await.unwrap();
    let refused = node.answer(3, &address(question(), 7)).await.unwrap_err();
    assert!(refused.to_string().contains("for node 7"), "{refused}");
    assert!(node.answer(3, &[1; 7]).await.is_err());
    node.shutdown().await;
}
