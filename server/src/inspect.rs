//! `stele inspect`: blocks, their transactions and what these did, for people and as JSON. It reads the
//! blocks alone; the node must be stopped.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::DateTime;
use ledger::text::Utc;
use ledger::{Block, Catalog, Height, Oid, Operation, Row, Transaction, decode_row};
use serde_json::{Map, Value, json};
use storage::{BlockFile, RealDisk, block_file};

use crate::cli::{Data, Inspect};
use crate::node::BLOCKS;

/// Shows what was asked for.
///
/// # Errors
/// A directory without a chain, one that a node uses, or a block that can't be read.
pub fn run(asked: &Inspect) -> anyhow::Result<()> {
    let blocks = open(&asked.data)?;
    let mut out = std::io::stdout().lock();
    match asked.height {
        Some(height) => one(&blocks, Height(height), asked.data.json, &mut out),
        None => overview(&blocks, asked, &mut out),
    }
}

fn open(data: &Data) -> anyhow::Result<BlockFile> {
    let directory = data.data.join(BLOCKS);
    anyhow::ensure!(directory.is_dir(), "there is no chain in {}", data.data.display());
    let disk = Arc::new(RealDisk::new(directory)?);
    Ok(BlockFile::open(disk, block_file::Options::default())?)
}

fn read(blocks: &BlockFile, height: Height) -> anyhow::Result<Arc<Block>> {
    blocks.read(height)?.with_context(|| format!("there is no block {}", height.0))
}

fn overview(blocks: &BlockFile, asked: &Inspect, out: &mut impl Write) -> anyhow::Result<()> {
    let tip = blocks.tip().context("there is no block yet")?;
    let newest = tip.height.0;
    let shown = (newest + 1).saturating_sub(asked.last)..=newest;
    let damage = blocks.damage();
    if asked.data.json {
        let damage: Vec<_> = damage.iter().map(ToString::to_string).collect();
        let overview = json!({
            "chain": tip.chain.to_string(),
            "height": newest,
            "hash": tip.hash.to_string(),
            "bytes": blocks.bytes()?,
            "damage": damage,
        });
        writeln!(out, "{overview}")?;
    } else {
        writeln!(out, "chain   {}\nheight  {newest}\nhash    {}", tip.chain, tip.hash)?;
        writeln!(out, "bytes   {}", blocks.bytes()?)?;
        for damage in &damage {
            writeln!(out, "damage  {damage}")?;
        }
        writeln!(out, "\n{:>10}  {:<26}  {:>12}  hash", "height", "time", "transactions")?;
    }
    for height in shown {
        let block = read(blocks, Height(height))?;
        if asked.data.json {
            writeln!(out, "{}", header(&block))?;
        } else {
            let (time, hash) = (time(block.header.time_us), block.header.hash());
            writeln!(out, "{height:>10}  {time:<26}  {:>12}  {hash}", block.transactions.len())?;
        }
    }
    Ok(())
}

/// A block's header as JSON.
fn header(block: &Block) -> Value {
    let header = &block.header;
    json!({
        "height": header.height.0,
        "hash": header.hash().to_string(),
        "parent": header.parent.to_string(),
        "time": time(header.time_us),
        "proposer": header.proposer.to_string(),
        "transactions": block.transactions.len(),
        "transactions_root": header.transactions_root.to_string(),
        "history_root": header.history_root.to_string(),
        "governance": header.governance.to_string(),
        "version": header.version,
        "suite": header.suite,
    })
}

/// A time of the chain, as people read it.
pub(crate) fn time(micros: i64) -> String {
    let at = DateTime::from_timestamp_micros(micros);
    at.map_or_else(|| micros.to_string(), |at| at.format("%Y-%m-%d %H:%M:%S%.6fZ").to_string())
}

/// One block with all that is in it. The rows are read by the catalog as it was then, so that all
/// definitions up to this block are read first.
fn one(
    blocks: &BlockFile,
    height: Height,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let block = read(blocks, height)?;
    let mut catalog = Catalog::default();
    for before in 0..height.0 {
        define(&mut catalog, &*read(blocks, Height(before))?);
    }
    let mut shown = header(&block);
    let transactions: Vec<Value> = block
        .transactions
        .iter()
        .map(|transaction| {
            let shown = describe(&catalog, transaction);
            transaction.operations.iter().for_each(|operation| apply(&mut catalog, operation));
            shown
        })
        .collect();
    if as_json {
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("transactions".to_owned(), transactions.into());
        }
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    for (name, value) in shown.as_object().into_iter().flatten() {
        writeln!(out, "{name:<18}{}", plain(value))?;
    }
    for transaction in &transactions {
        writeln!(out)?;
        for (name, value) in transaction.as_object().into_iter().flatten() {
            match value.as_array() {
                None => writeln!(out, "  {name:<16}{}", plain(value))?,
                Some(operations) => {
                    for operation in operations {
                        writeln!(out, "    {operation}")?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn define(catalog: &mut Catalog, block: &Block) {
    let operations = block.transactions.iter().flat_map(|transaction| &transaction.operations);
    operations.for_each(|operation| apply(catalog, operation));
}

/// Follows a definition; what doesn't fit was refused by the chain long ago, so it can't be here.
fn apply(catalog: &mut Catalog, operation: &Operation) {
    if matches!(operation, Operation::Define { .. } | Operation::Drop { .. })
        && let Err(refusal) = catalog.apply(operation)
    {
        tracing::warn!(%refusal, "a definition doesn't fit");
    }
}

fn describe(catalog: &Catalog, transaction: &Transaction) -> Value {
    // Tables that the transaction itself makes are needed for its own rows.
    let mut catalog = catalog.clone();
    let operations: Vec<Value> = transaction
        .operations
        .iter()
        .map(|operation| {
            let shown = describe_operation(&catalog, operation);
            apply(&mut catalog, operation);
            shown
        })
        .collect();
    json!({
        "id": uuid::Uuid::from_bytes(transaction.id.0).to_string(),
        "user": transaction.user,
        "member": transaction.member.to_string(),
        "statement": transaction.statement,
        "idempotency_key": transaction.idempotency_key,
        "snapshot": transaction.snapshot.0,
        "operations": operations,
    })
}

fn describe_operation(catalog: &Catalog, operation: &Operation) -> Value {
    let name = |oid: &Oid| {
        catalog.get(*oid).map_or_else(|| oid.0.to_string(), |object| object.name().to_owned())
    };
    let version = |version: &ledger::VersionId| {
        format!("{}.{}.{}", version.height.0, version.transaction, version.operation)
    };
    match operation {
        Operation::Insert { table, row } => {
            json!({"insert": name(table), "row": columns(catalog, *table, row)})
        }
        Operation::Update { table, previous, row } => json!({
            "update": name(table),
            "previous": version(previous),
            "row": columns(catalog, *table, row),
        }),
        Operation::Delete { table, previous } => {
            json!({"delete": name(table), "previous": version(previous)})
        }
        Operation::Define { oid, object } => {
            json!({"define": object.kind_name(), "oid": oid.0, "name": object.name()})
        }
        Operation::Drop { oid } => json!({"drop": name(oid), "oid": oid.0}),
        Operation::Lease { sequence, next, .. } => json!({"lease": name(sequence), "next": next}),
    }
}

/// A row's values by column, in their text forms.
fn columns(catalog: &Catalog, table: Oid, row: &Row) -> Value {
    let Some(table) = catalog.table(table) else { return Value::Null };
    let Ok(values) = decode_row(table, row) else { return Value::Null };
    let mut shown = Map::new();
    for (column, value) in table.columns.iter().zip(values) {
        if !column.dropped {
            let text = (!value.is_null()).then(|| value.to_text(&column.kind, &Utc));
            shown.insert(column.name.clone(), text.into());
        }
    }
    Value::Object(shown)
}
