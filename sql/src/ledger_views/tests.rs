//! The ledger's relations and functions through sessions, on a chain without disk.

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use storage::{RealClock, Solo};

use crate::{Engine, EngineConfig, Error, Outcome, Session};

fn engine() -> Arc<Engine> {
    let (state, order) = Solo::new();
    Engine::new(state, order, Arc::new(RealClock), EngineConfig::default()).unwrap()
}

fn session(engine: &Arc<Engine>) -> Session {
    engine.session("stele", Vec::new()).unwrap()
}

/// Runs statements; the rows of the last one as lines of cells, NULL as `~`.
async fn ask(session: &mut Session, text: &str) -> Result<String, Error> {
    let mut lines = Vec::new();
    for statement in session.parse(text)? {
        lines.clear();
        let prepared = session.prepare(statement, &[]).await?;
        if let Outcome::Rows { mut stream, .. } = session.execute(&prepared, Vec::new()).await? {
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                let options = FormatOptions::default().with_null("~");
                let columns: Vec<ArrayFormatter<'_>> = batch
                    .columns()
                    .iter()
                    .map(|array| ArrayFormatter::try_new(array.as_ref(), &options).unwrap())
                    .collect();
                for row in 0..batch.num_rows() {
                    let cells: Vec<String> =
                        columns.iter().map(|column| column.value(row).to_string()).collect();
                    lines.push(cells.join("|"));
                }
            }
        }
    }
    session.finish_implicit().await?;
    Ok(lines.join("\n"))
}

async fn ok(session: &mut Session, text: &str) -> String {
    match ask(session, text).await {
        Ok(lines) => lines,
        Err(error) => panic!("{text}: {} {error}", error.sqlstate()),
    }
}

async fn refused(session: &mut Session, text: &str) -> String {
    let state = match ask(session, text).await {
        Ok(lines) => panic!("{text}: {lines}"),
        Err(error) => error.sqlstate(),
    };
    session.fail();
    state
}

/// A table with three versions of a row; gives the heights of the insert and of the update.
async fn with_history(session: &mut Session) -> (i64, i64) {
    ok(session, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    ok(session, "INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    let inserted = ok(session, "SELECT max(height) FROM ledger.blocks").await;
    ok(session, "UPDATE t SET v = 'c' WHERE id = 2").await;
    let updated = ok(session, "SELECT max(height) FROM ledger.blocks").await;
    ok(session, "DELETE FROM t WHERE id = 1").await;
    ok(session, "INSERT INTO t VALUES (3, 'd')").await;
    (inserted.parse().unwrap(), updated.parse().unwrap())
}

#[tokio::test]
async fn a_table_as_it_was() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, updated) = with_history(&mut session).await;
    let query = format!("SELECT * FROM ledger.as_of('t', 'block:{inserted}') ORDER BY id");
    assert_eq!(ok(&mut session, &query).await, "1|a\n2|b");
    let query = format!(
        "SELECT o.v, n.v FROM ledger.as_of('public.t', 'block:{inserted}') o
         JOIN ledger.as_of('t', 'block:{updated}') n USING (id) ORDER BY id"
    );
    assert_eq!(ok(&mut session, &query).await, "a|a\nb|c");
    let query =
        format!("SELECT ledger_block FROM ledger.as_of('t', 'block:{updated}') WHERE id = 2");
    assert_eq!(ok(&mut session, &query).await, updated.to_string());
    assert_eq!(refused(&mut session, "SELECT * FROM ledger.as_of('t', 'block:0')").await, "42P01");
    assert_eq!(
        refused(&mut session, "SELECT * FROM ledger.as_of('t', 'block:999')").await,
        "22023"
    );
    assert_eq!(refused(&mut session, "SELECT * FROM ledger.as_of('t')").await, "42883");
}

#[tokio::test]
async fn all_that_a_table_ever_was() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, updated) = with_history(&mut session).await;
    let history = "SELECT id, v, ledger_op FROM ledger.history('t') ORDER BY id, ledger_block";
    assert_eq!(
        ok(&mut session, history).await,
        "1|a|INSERT\n1|a|DELETE\n2|b|INSERT\n2|c|UPDATE\n3|d|INSERT"
    );
    let span = "SELECT ledger_valid_from, ledger_valid_to FROM ledger.history('t') WHERE v = 'b'";
    assert_eq!(ok(&mut session, span).await, format!("{inserted}|{updated}"));
    let alive = "SELECT count(*) FROM ledger.history('t') WHERE ledger_valid_to IS NULL";
    assert_eq!(ok(&mut session, alive).await, "2");
}

#[tokio::test]
async fn what_differs_between_two_points() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, _) = with_history(&mut session).await;
    let newest = ok(&mut session, "SELECT max(height) FROM ledger.blocks").await;
    let query =
        format!("SELECT * FROM ledger.diff('t', 'block:{inserted}', 'block:{newest}') ORDER BY 1");
    assert_eq!(ok(&mut session, &query).await, "DELETE|1|a|~|~\nINSERT|~|~|3|d\nUPDATE|2|b|2|c");
    let query = format!("SELECT * FROM ledger.diff('t', 'block:{newest}', 'block:{newest}')");
    assert_eq!(ok(&mut session, &query).await, "");
    let query = format!("SELECT * FROM ledger.diff('t', 'block:{newest}', 'block:{inserted}')");
    assert_eq!(refused(&mut session, &query).await, "22023");
}

#[tokio::test]
async fn dropped_and_renamed_tables_keep_their_past() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, _) = with_history(&mut session).await;
    ok(&mut session, "ALTER TABLE t RENAME TO renamed").await;
    let old = format!("SELECT count(*) FROM ledger.as_of('t', 'block:{inserted}')");
    assert_eq!(ok(&mut session, &old).await, "2");
    assert_eq!(ok(&mut session, "SELECT count(*) FROM ledger.history('t')").await, "5");
    ok(&mut session, "DROP TABLE renamed").await;
    assert_eq!(refused(&mut session, "SELECT * FROM renamed").await, "42P01");
    assert_eq!(ok(&mut session, &old).await, "2");
    let history = "SELECT count(*) FROM ledger.history('renamed')";
    assert_eq!(ok(&mut session, history).await, "5");
}

#[tokio::test]
async fn the_past_needs_the_privilege_on_the_table() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, _) = with_history(&mut session).await;
    ok(&mut session, "CREATE ROLE bob LOGIN").await;
    let mut bob = engine.session("bob", Vec::new()).unwrap();
    let past = format!("SELECT * FROM ledger.as_of('t', 'block:{inserted}')");
    assert_eq!(refused(&mut bob, &past).await, "42501");
    assert_eq!(refused(&mut bob, "SELECT * FROM ledger.history('t')").await, "42501");
    ok(&mut session, "GRANT SELECT ON t TO bob").await;
    assert_eq!(ok(&mut bob, "SELECT count(*) FROM ledger.history('t')").await, "5");
    ok(&mut session, "DROP TABLE t").await;
    let before = "SELECT count(*) FROM ledger.history('t')";
    assert_eq!(ok(&mut bob, before).await, "5");
}

#[tokio::test]
async fn the_chain_as_relations() {
    let engine = engine();
    let mut session = session(&engine);
    with_history(&mut session).await;
    let links = "SELECT count(*) FROM ledger.blocks b JOIN ledger.blocks p ON p.hash = b.parent
        WHERE p.height = b.height - 1";
    let newest = ok(&mut session, "SELECT max(height) FROM ledger.blocks").await;
    assert_eq!(ok(&mut session, links).await, newest);
    let writer = "SELECT DISTINCT user_name FROM ledger.transactions WHERE block > 0";
    assert_eq!(ok(&mut session, writer).await, "stele");
    let row = "SELECT count(*) FROM t JOIN ledger.transactions x ON x.tx = t.ledger_tx";
    assert_eq!(ok(&mut session, row).await, "2");
    let table = "SELECT schema_name, table_name, mode, live_rows, versions FROM ledger.tables";
    assert_eq!(ok(&mut session, table).await, "public|t|updatable|2|4");
    assert_eq!(ok(&mut session, "SELECT count(*) FROM ledger.members").await, "1");
}

#[tokio::test]
async fn a_prepared_query_of_the_chain_sees_new_blocks() {
    let engine = engine();
    let mut session = session(&engine);
    ok(&mut session, "CREATE TABLE t (id int PRIMARY KEY)").await;
    ok(&mut session, "PREPARE newest AS SELECT count(*) FROM ledger.transactions").await;
    ok(&mut session, "PREPARE counted AS SELECT count(*) FROM t").await;
    let before: i64 = ok(&mut session, "EXECUTE newest").await.parse().unwrap();
    assert_eq!(ok(&mut session, "EXECUTE counted").await, "0");
    ok(&mut session, "INSERT INTO t VALUES (1)").await;
    let after: i64 = ok(&mut session, "EXECUTE newest").await.parse().unwrap();
    assert_eq!(after, before + 1);
    assert_eq!(ok(&mut session, "EXECUTE counted").await, "1");
}

/// Blocks of which one was altered.
struct Altered {
    blocks: Vec<Arc<ledger::Block>>,
    height: u64,
}

impl storage::BlockSource for Altered {
    fn block(&self, height: ledger::Height) -> Result<Arc<ledger::Block>, storage::Fault> {
        let place = usize::try_from(height.0).unwrap();
        let mut block = ledger::Block::clone(&self.blocks[place]);
        if height.0 == self.height {
            block.transactions[0].user = "mallory".to_owned();
        }
        Ok(Arc::new(block))
    }
}

#[tokio::test]
async fn verifying_names_the_first_bad_block_and_its_rows_are_not_read_any_more() {
    let engine = engine();
    let mut session = session(&engine);
    let (inserted, _) = with_history(&mut session).await;
    let newest = ok(&mut session, "SELECT max(height) FROM ledger.blocks").await;
    let verify =
        "SELECT object, from_block, to_block, status, first_bad, detail FROM ledger.verify()";
    assert_eq!(ok(&mut session, verify).await, format!("blocks|0|{newest}|ok|~|~"));
    let snapshot = engine.state().snapshot();
    let all = (0..=snapshot.height().0).map(ledger::Height);
    let blocks = all.map(|height| snapshot.block(height).unwrap()).collect();
    let height = u64::try_from(inserted).unwrap();
    engine.state().set_block_source(Arc::new(Altered { blocks, height }));
    let found = ok(&mut session, verify).await;
    let start = format!("blocks|0|{newest}|damaged|{inserted}|");
    assert!(found.starts_with(&start) && found.contains("transaction 0 was altered"), "{found}");
    assert!(!found.contains('\n'), "one block alone is named: {found}");
    // The row that this block wrote and no later one replaced is gone: (1, 'a') was deleted, (2, 'b') updated.
    assert_eq!(ok(&mut session, "SELECT id FROM t WHERE id = 3").await, "3");
    let past = format!("SELECT * FROM ledger.as_of('t', 'block:{inserted}')");
    assert_eq!(refused(&mut session, &past).await, "XX001");
}

#[tokio::test]
async fn the_digest_is_signed() {
    let engine = engine();
    let mut session = session(&engine);
    let (_, _) = with_history(&mut session).await;
    let text = ok(&mut session, "SELECT ledger.digest()").await;
    let digest = ledger::proof::Digest::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
    let newest = ok(&mut session, "SELECT max(height) FROM ledger.blocks").await;
    assert_eq!(digest.height.0.to_string(), newest);
    let snapshot = engine.state().snapshot();
    let (_, member) = snapshot.catalog().members().next().unwrap();
    digest.verify(&member.public_key).unwrap();
}

#[tokio::test]
async fn catalogs_beside_the_users_own_tables() {
    let engine = engine();
    let mut session = session(&engine);
    with_history(&mut session).await;
    let mixed = "SELECT t.id, c.relname FROM t JOIN pg_class c ON c.relname = 't' ORDER BY 1";
    assert_eq!(ok(&mut session, mixed).await, "2|t\n3|t");
    let schema = "SELECT current_schema(), format_type(23, -1), count(*) FROM t";
    assert_eq!(ok(&mut session, schema).await, "public|integer|2");
    let own = "SELECT column_name FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position";
    assert_eq!(ok(&mut session, own).await, "id\nv");
    assert_eq!(ok(&mut session, "SELECT 't'::regclass").await, "t");
    assert_eq!(
        ok(&mut session, "SELECT set_config('search_path', 'ledger', false)").await,
        "ledger"
    );
    assert_eq!(ok(&mut session, "SELECT current_setting('search_path')").await, "ledger");
    assert_eq!(refused(&mut session, "SELECT * FROM pg_stat_slru").await, "0A000");
}
