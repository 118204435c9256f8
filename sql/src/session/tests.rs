//! Sessions on a chain without disk: transactions, locks, isolation, and the statements one by one.

use std::sync::Arc;

use ledger::Value;
use storage::{RealClock, Solo};

use crate::{Engine, EngineConfig, Error, Outcome, Session};

mod definitions;
mod paths;
mod queries;
mod writes;

fn engine() -> Arc<Engine> {
    let (state, order) = Solo::new();
    Engine::new(state, order, Arc::new(RealClock), EngineConfig::default())
        .expect("an engine over a new chain")
}

/// A session's run of a text, as the simple protocol does it; the tags, or the first error.
async fn run(session: &mut Session, text: &str) -> Result<Vec<String>, Error> {
    let result = try_run(session, text).await;
    if result.is_err() {
        session.fail();
    }
    result
}

async fn try_run(session: &mut Session, text: &str) -> Result<Vec<String>, Error> {
    use futures::StreamExt;
    let mut tags = Vec::new();
    for statement in session.parse(text)? {
        let prepared = session.prepare(statement, &[]).await?;
        match session.execute(&prepared, Vec::new()).await? {
            Outcome::Done { tag } => tags.push(tag),
            Outcome::Rows { mut stream, tag, .. } => {
                let mut rows = 0;
                while let Some(batch) = stream.next().await {
                    rows += batch?.num_rows();
                }
                tags.push(tag.text(rows as u64));
            }
            Outcome::Empty => tags.push(String::new()),
            other => tags.push(format!("{other:?}")),
        }
    }
    session.finish_implicit().await?;
    Ok(tags)
}

async fn tag(session: &mut Session, text: &str) -> String {
    match run(session, text).await {
        Ok(mut tags) => tags.pop().unwrap_or_default(),
        Err(error) => {
            let report = error.report();
            format!("{}: {}", report.sqlstate, report.message)
        }
    }
}

async fn state(session: &mut Session, text: &str) -> String {
    match run(session, text).await {
        Ok(_) => "00000".to_string(),
        Err(error) => error.sqlstate(),
    }
}

/// The rows of a table that are in the chain, in order of their keys' bytes.
fn rows(engine: &Engine, name: &str) -> Vec<Vec<Value>> {
    let snapshot = engine.state().snapshot();
    let catalog = snapshot.catalog();
    let oid = catalog.find_relation(ledger::Oid::PUBLIC_SCHEMA, name).expect("the table");
    let table = catalog.table(oid).expect("a table");
    let mut rows = Vec::new();
    crate::rows::each_alive(
        &snapshot,
        oid,
        &table.live_columns().map(|column| column.number).collect::<Vec<_>>(),
        |_, values| {
            rows.push(values.to_vec());
            Ok(())
        },
    )
    .expect("rows");
    rows.sort_by_key(|row| ledger::key::encode_key(row));
    rows
}

fn session(engine: &Arc<Engine>) -> Session {
    engine.session("stele", Vec::new()).expect("a session")
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int4(number) => i64::from(*number),
        Value::Int8(number) => *number,
        _ => -1,
    }
}

fn ints(engine: &Engine, name: &str) -> Vec<Vec<i64>> {
    rows(engine, name).iter().map(|row| row.iter().map(int).collect()).collect()
}
