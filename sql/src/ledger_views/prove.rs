//! `ledger.prove_row`, `ledger.prove_transaction`, `ledger.prove_consistency`: files of evidence that
//! `stele verify` checks with no server. Each stands on the digest of a point of the chain: the newest, or the one that
//! an auditor kept.

use ledger::catalog::Privilege;
use ledger::proof::{BlockProof, ConsistencyProof, Evidence, RowProof, TransactionProof, Written};
use ledger::{Block, Height, Object, Oid, Operation, Table, TransactionId, Value, VersionId};
use serde_json::Value as Json;
use storage::Snapshot;

use super::digest::Headers;
use super::{defined_since, past, snapshot_at, state, state_at};
use crate::Error;
use crate::functions::{Call, Datum, Function};
use crate::read::QueryContext;

/// The functions, by name.
pub(super) fn functions(name: &str) -> Vec<Function> {
    let signatures: &[(&str, Body)] = match name {
        "prove_row" => &[
            ("prove_row(text, text, [text]) jsonb", row),
            ("prove_row(text, jsonb, [text]) jsonb", row),
            ("prove_row(text, text, timestamptz) jsonb", row),
            ("prove_row(text, jsonb, timestamptz) jsonb", row),
        ],
        "prove_transaction" => &[
            ("prove_transaction(text, [text]) jsonb", transaction),
            ("prove_transaction(uuid, [text]) jsonb", transaction),
        ],
        "prove_consistency" => &[("prove_consistency(text, [text]) jsonb", consistency)],
        _ => &[],
    };
    let function = |(signature, body): &(&str, Body)| {
        let body = *body;
        let made = Function::row(signature, move |call: &Call<'_>, arguments: &[Datum]| {
            Ok(Datum::Text(body(call.context, arguments)?.to_json().to_string()))
        });
        made.volatile().in_schema("ledger")
    };
    signatures.iter().map(function).collect()
}

type Body = fn(&QueryContext, &[Datum]) -> Result<Evidence, Error>;

fn text(arguments: &[Datum], place: usize) -> &str {
    match arguments.get(place) {
        Some(Datum::Text(text)) => text,
        _ => "",
    }
}

/// The snapshot whose digest the evidence stands on.
fn at(context: &QueryContext, arguments: &[Datum], place: usize) -> Result<Snapshot, Error> {
    match arguments.get(place) {
        None => Ok(context.snapshot.clone()),
        Some(point) => snapshot_at(context, point),
    }
}

fn lost(what: &str) -> Error {
    Error::internal(format!("a proof without its {what}"))
}

/// `ledger.prove_row(table, key, [point])`
fn row(context: &QueryContext, arguments: &[Datum]) -> Result<Evidence, Error> {
    let snapshot = at(context, arguments, 2)?;
    let (oid, table, name) = past::table_at(context, &snapshot, text(arguments, 0))?;
    let (index, key) = key_of(context, &snapshot, (oid, &table), text(arguments, 1))?;
    let found = snapshot.lookup(index, &ledger::key::encode_key(&key))?;
    let Some(version) = found.first().copied() else {
        return Err(Error::new(
            "P0002",
            format!(
                "table \"{name}\" has no row with this key as of block {}",
                snapshot.height().0
            ),
        )
        .with_hint("Name a point of the chain at which it had one, as the third argument."));
    };
    let headers = Headers::up_to(&snapshot)?;
    Ok(Evidence::Row {
        version: Box::new(written(&snapshot, &headers, version)?),
        definition: Box::new(written(&snapshot, &headers, defined(context, oid, version)?)?),
        digest: headers.digest(context)?,
    })
}

/// The primary key's index, and the key that a JSON object names.
fn key_of(
    context: &QueryContext,
    snapshot: &Snapshot,
    (oid, table): (Oid, &Table),
    text: &str,
) -> Result<(Oid, Vec<Value>), Error> {
    let Some((index, definition)) = snapshot.catalog().primary_key_of(oid) else {
        return Err(Error::new("55000", format!("table \"{}\" has no primary key", table.name))
            .with_hint("Prove the transaction that wrote the row: ledger.prove_transaction."));
    };
    let wrong = |why: String| {
        Error::new("22023", why).with_hint("The key is a JSON object: a value for each column.")
    };
    let json: Json =
        serde_json::from_str(text).map_err(|_| wrong("the key is no JSON".to_owned()))?;
    let fields = json.as_object().ok_or_else(|| wrong("the key is no JSON object".to_owned()))?;
    let columns = definition.columns.iter().filter_map(|number| table.column(*number));
    let mut key = Vec::with_capacity(definition.columns.len());
    for column in columns {
        let value = match fields.get(&column.name) {
            None | Some(Json::Null) => {
                return Err(wrong(format!("the key has no value for column \"{}\"", column.name)));
            }
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        key.push(Value::parse(&value, &column.kind, &context.zone)?);
    }
    if fields.len() != key.len() {
        return Err(wrong("the key names other columns than the primary key's".to_owned()));
    }
    Ok((index, key))
}

fn written(snapshot: &Snapshot, headers: &Headers, at: VersionId) -> Result<Written, Error> {
    let block = snapshot.block(at.height)?;
    let row = RowProof::of(&block, at.transaction, at.operation)
        .map_err(|error| Error::internal(error.to_string()))?
        .ok_or_else(|| lost("operation"))?;
    Ok(Written { row, block: block_proof(&block, headers)? })
}

fn block_proof(block: &Block, headers: &Headers) -> Result<BlockProof, Error> {
    BlockProof::of(&block.header, &headers.hashes).ok_or_else(|| lost("block"))
}

/// Where a table was last defined before an operation.
fn defined(context: &QueryContext, oid: Oid, before: VersionId) -> Result<VersionId, Error> {
    let state = state(context)?;
    let mut end = before.height.0;
    loop {
        let since = defined_since(state, end)?;
        let block = state_at(state, end)?.block(Height(since))?;
        if let Some(found) = definitions(&block, oid).filter(|place| *place < before).last() {
            return Ok(found);
        }
        end = since.checked_sub(1).ok_or_else(|| lost("table's definition"))?;
    }
}

/// The places in a block that define a table.
fn definitions(block: &Block, oid: Oid) -> impl Iterator<Item = VersionId> {
    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    block.transactions.iter().enumerate().flat_map(move |(transaction, found)| {
        found.operations.iter().enumerate().filter_map(move |(place, operation)| match operation {
            Operation::Define { oid: defined, object }
                if *defined == oid && matches!(object.as_ref(), Object::Table(_)) =>
            {
                Some(VersionId {
                    height: block.header.height,
                    transaction: number(transaction),
                    operation: number(place),
                })
            }
            _ => None,
        })
    })
}

/// `ledger.prove_transaction(id, [point])`
fn transaction(context: &QueryContext, arguments: &[Datum]) -> Result<Evidence, Error> {
    let id = match arguments.first() {
        Some(Datum::Uuid(bytes)) => TransactionId(*bytes),
        _ => {
            let text = text(arguments, 0).trim();
            let id = uuid::Uuid::try_parse(text.strip_prefix("tx:").unwrap_or(text));
            let id = id.map_err(|_| {
                Error::new("22023", format!("\"{text}\" is no transaction's number"))
            })?;
            TransactionId(*id.as_bytes())
        }
    };
    let snapshot = at(context, arguments, 1)?;
    let found = state(context)?.find_transaction(id)?;
    let Some((height, place)) = found.filter(|(height, _)| *height <= snapshot.height()) else {
        return Err(Error::new(
            "22023",
            format!("the chain has no transaction {id} as of block {}", snapshot.height().0),
        ));
    };
    let block = snapshot.block(height)?;
    may_see(context, &block, place)?;
    let proof = TransactionProof::of(&block, place)
        .map_err(|error| Error::internal(error.to_string()))?
        .ok_or_else(|| lost("transaction"))?;
    let headers = Headers::up_to(&snapshot)?;
    Ok(Evidence::Transaction {
        transaction: Box::new(proof),
        block: block_proof(&block, &headers)?,
        digest: headers.digest(context)?,
    })
}

/// A transaction's proof shows its statements: to who ran it, and to who may read all that it wrote.
fn may_see(context: &QueryContext, block: &Block, place: u32) -> Result<(), Error> {
    let found = usize::try_from(place).ok().and_then(|place| block.transactions.get(place));
    let Some(found) = found else { return Ok(()) };
    let catalog = &context.catalog;
    let Some(role) = catalog.find_role(&context.user) else { return Ok(()) };
    let superuser = catalog.role(role).is_some_and(|role| role.superuser);
    if superuser || found.user == context.session_user {
        return Ok(());
    }
    let mut tables = found.operations.iter().map(Operation::table);
    let allowed = tables.all(|table| {
        table.is_some_and(|table| crate::privileges::may(catalog, role, table, Privilege::Select))
    });
    if allowed {
        return Ok(());
    }
    Err(Error::Denied { kind: "transaction", name: found.id.to_string() })
}

/// `ledger.prove_consistency(from, [to])`
fn consistency(context: &QueryContext, arguments: &[Datum]) -> Result<Evidence, Error> {
    let old = at(context, arguments, 0)?;
    let new = at(context, arguments, 1)?;
    if old.height() > new.height() {
        return Err(Error::new("22023", "the first point is after the second"));
    }
    let headers = Headers::up_to(&new)?;
    let proof = ConsistencyProof::of(&headers.hashes, old.height().0 + 1);
    Ok(Evidence::Consistency {
        proof: proof.ok_or_else(|| lost("earlier chain"))?,
        old: Headers::up_to(&old)?.digest(context)?,
        digest: headers.digest(context)?,
    })
}
