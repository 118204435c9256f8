//! SQL on a node whose disk fills up or fails: what clients are told, what can still be read, what comes back.

use futures::StreamExt as _;
use sql::{Engine, EngineConfig, Error, Outcome, Session};
use storage::MemoryIndex;
use storage::simulated::SimulatedDisk;

use super::*;

async fn open(disk: &SimulatedDisk) -> (Arc<raft::Node>, Session) {
    let key = NodeKey::from_bytes(&[5; 32]);
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let (genesis, _) = genesis(&key, clock.as_ref()).unwrap();
    let options = raft::Options {
        key,
        network: Arc::new(raft::Alone),
        address: String::new(),
        clock: Arc::clone(&clock),
        index: Arc::new(MemoryIndex::default()),
        state: StateConfig::default(),
        segments: None,
        // Small steps, so that the disk is full soon.
        files: storage::block_file::Options {
            segment: 1 << 20,
            preallocate: 64 << 10,
            slack: 64 << 10,
            ..storage::block_file::Options::default()
        },
        bounds: raft::Bounds::default(),
    };
    let disk = Arc::new(disk.clone());
    let node =
        raft::Node::open(disk, raft::Start::Found(Box::new(genesis)), options).await.unwrap();
    let (state, order) = (Arc::clone(node.state()), Arc::clone(&node) as Arc<dyn Order>);
    let engine = Engine::new(state, order, clock, EngineConfig::default()).unwrap();
    let session = engine.session(NAME, Vec::new()).unwrap();
    (node, session)
}

/// Runs a statement in a transaction of its own, and counts its rows.
async fn run(session: &mut Session, text: &str) -> Result<usize, Error> {
    let done = try_run(session, text).await;
    match done {
        Ok(rows) => session.finish_implicit().await.map(|()| rows),
        Err(error) => {
            session.fail();
            Err(error)
        }
    }
}

async fn try_run(session: &mut Session, text: &str) -> Result<usize, Error> {
    let mut rows = 0;
    for statement in session.parse(text)? {
        let prepared = session.prepare(statement, &[]).await?;
        if let Outcome::Rows { mut stream, .. } = session.execute(&prepared, Vec::new()).await? {
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
        }
    }
    Ok(rows)
}

const WRITE: &str = "INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 200) g";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    let (node, mut session) = open(&disk).await;
    run(&mut session, "CREATE TABLE t (id int, v text)").await.unwrap();
    run(&mut session, WRITE).await.unwrap();
    disk.set_capacity(Some(disk.used()));
    let mut written = 200;
    let refused = loop {
        match run(&mut session, WRITE).await {
            Ok(_) => written += 200,
            Err(error) => break error,
        }
    };
    let report = refused.report();
    assert_eq!(report.sqlstate, "53100", "{report:?}");
    assert!(report.hint.unwrap().contains("Free space"), "{}", report.message);
    // Definitions are refused alike; what is there can be read, a refused transaction is wholly absent.
    let large = format!("COMMENT ON TABLE t IS '{}'", "x".repeat(200_000));
    assert_eq!(run(&mut session, &large).await.unwrap_err().sqlstate(), "53100");
    assert_eq!(run(&mut session, "SELECT * FROM t").await.unwrap(), written);
    disk.set_capacity(None);
    run(&mut session, WRITE).await.unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM t").await.unwrap(), written + 200);
    drop(session);
    node.shutdown().await;
    drop(node);
    let (node, mut session) = open(&disk).await;
    assert_eq!(run(&mut session, "SELECT * FROM t").await.unwrap(), written + 200);
    let wrong = "SELECT * FROM ledger.verify() WHERE status <> 'ok'";
    assert_eq!(run(&mut session, wrong).await.unwrap(), 0);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_written_and_all_before_it_is_read() {
    let disk = SimulatedDisk::new();
    let (node, mut session) = open(&disk).await;
    run(&mut session, "CREATE TABLE t (id int, v text)").await.unwrap();
    run(&mut session, WRITE).await.unwrap();
    disk.fail_sync(0);
    // Whether it came to the disk can't be known, and is not claimed.
    assert_eq!(run(&mut session, WRITE).await.unwrap_err().sqlstate(), "08007");
    for text in [WRITE, "CREATE TABLE u (id int)", "DELETE FROM t"] {
        let report = run(&mut session, text).await.unwrap_err().report();
        assert_eq!(report.sqlstate, "58030", "{text}: {report:?}");
        assert!(report.message.contains("sync"), "{text}: {}", report.message);
    }
    assert_eq!(run(&mut session, "SELECT * FROM t").await.unwrap(), 200);
    drop(session);
    node.shutdown().await;
    drop(node);
    let (node, mut session) = open(&disk).await;
    let rows = run(&mut session, "SELECT * FROM t").await.unwrap();
    assert!(rows == 200 || rows == 400, "whole or absent: {rows}");
    run(&mut session, WRITE).await.unwrap();
    node.shutdown().await;
}
