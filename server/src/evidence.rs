//! `stele verify FILE`: checks evidence that a node gave (`ledger.prove_row` and its kin, `ledger.digest`,
//! `ledger.certificate`), with no
//! node and no data directory: it trusts the members' keys that it is given, and nothing else.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use ledger::proof::{Digest, Evidence, TransactionProof};
use ledger::text::Utc;
use ledger::{Certificate, Header, Operation, PublicKey, Row, Table, decode_row};
use serde_json::{Map, Value, json};
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::cli::Verify;
use crate::inspect::time;

/// What stands before an Ed25519 key's 32 bytes in its DER form (RFC 8410).
const KEY_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Checks a file and prints what it shows: exit code 0 if it holds, 1 if it doesn't.
///
/// # Errors
/// Files that can't be read.
pub fn run(file: &Path, asked: &Verify) -> anyhow::Result<ExitCode> {
    let members = asked
        .members
        .as_ref()
        .context("whose word counts? Name the file of the members' keys: --members FILE")?;
    let keys = keys(members)?;
    let evidence = Evidence::from_json(&json_of(file)?)
        .with_context(|| format!("{} holds no evidence", file.display()))?;
    let kept = match &asked.digest {
        None => None,
        Some(path) => {
            let digest = Digest::from_json(&json_of(path)?);
            Some(digest.with_context(|| format!("{} holds no digest", path.display()))?)
        }
    };
    let checked = evidence.verify(kept.as_ref(), &keys);
    let mut shown = Map::new();
    shown.insert("holds".to_owned(), checked.is_ok().into());
    if let Err(error) = &checked {
        shown.insert("why".to_owned(), error.to_string().into());
        if let (Some(kept), Some(own)) = (&kept, evidence.digest())
            && kept.height != own.height
            && !matches!(evidence, Evidence::Consistency { .. })
        {
            let hint = format!(
                "the evidence was made for block {}, the digest is of block {}: ask for it as of 'block:{}'",
                own.height.0, kept.height.0, kept.height.0
            );
            shown.insert("hint".to_owned(), hint.into());
        }
    } else {
        describe(&evidence, kept.as_ref(), &mut shown);
    }
    print(&shown, asked.data.json)?;
    Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn json_of(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// The public keys of a PEM file.
fn keys(path: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let name = path.display();
    let found = SubjectPublicKeyInfoDer::pem_file_iter(path)
        .with_context(|| format!("can't read {name}"))?;
    let mut keys = Vec::new();
    for key in found {
        let key = key.with_context(|| format!("{name} holds something that is no key"))?;
        let bytes = key.as_ref().strip_prefix(&KEY_HEAD).and_then(|rest| rest.try_into().ok());
        keys.push(PublicKey(
            bytes.with_context(|| format!("{name} holds a key that is not Ed25519"))?,
        ));
    }
    anyhow::ensure!(!keys.is_empty(), "{name} holds no public key");
    Ok(keys)
}

/// What holds, for people.
fn describe(evidence: &Evidence, kept: Option<&Digest>, shown: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    match evidence {
        Evidence::Row { version, .. } => {
            let operation = &version.row.operation;
            let table = evidence.table().map(|(_, table)| table);
            put("evidence", "row".into());
            put("table", table.map_or(Value::Null, |table| table.name.clone().into()));
            put("operation", kind_of(operation).into());
            put("row", table.zip(operation.row()).map_or(Value::Null, |(t, row)| values(t, row)));
            about(&version.row.within, &mut put);
        }
        Evidence::Transaction { transaction, .. } => {
            put("evidence", "transaction".into());
            put("operations", transaction.operations.into());
            put("statement", transaction.transaction.statement.clone().into());
            about(transaction, &mut put);
        }
        Evidence::Consistency { old, .. } => {
            put("evidence", "consistency".into());
            put("from_block", kept.unwrap_or(old).height.0.into());
        }
        Evidence::Digest(_) => {
            put("evidence", "digest".into());
        }
        Evidence::Certificate { certificate, header, earlier } => {
            put("evidence", "certificate".into());
            certified(
                certificate,
                earlier.as_ref().map_or_else(|| header.as_ref(), |it| &it.header),
                &mut put,
            );
            put("digest_kept", kept.is_some().into());
        }
    }
    let Some(digest) = evidence.digest() else { return };
    put("chain", digest.chain.to_string().into());
    put("digest_block", digest.height.0.into());
    put("digest_time", time(digest.time_us).into());
    put("digest_kept", kept.is_some().into());
    put("signed_by", digest.member.to_string().into());
}

/// What a certificate says of a block, and who says so.
fn certified(
    certificate: &Certificate,
    block: &Header,
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) {
    let Certificate { statement, voters, signatures } = certificate;
    put("chain", statement.chain.to_string().into());
    put("block", block.height.0.into());
    put("block_hash", block.hash().to_string().into());
    put("time", time(block.time_us).into());
    put("certified_at", statement.height.0.into());
    put("state", statement.state.to_string().into());
    put("voters", voters.all().iter().map(ToString::to_string).collect());
    put("signed_by", signatures.iter().map(|(member, _)| member.to_string()).collect());
}

fn about(proof: &TransactionProof, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    put("tx", proof.transaction.id.to_string().into());
    put("user", proof.transaction.user.clone().into());
    put("member", proof.transaction.member.to_string().into());
    put("block", proof.header.height.0.into());
    put("time", time(proof.header.time_us).into());
}

fn kind_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Insert { .. } => "INSERT",
        Operation::Update { .. } => "UPDATE",
        Operation::Delete { .. } => "DELETE",
        Operation::Define { .. } => "DEFINE",
        Operation::Drop { .. } => "DROP",
        Operation::Lease { .. } => "LEASE",
    }
}

/// The row's values by column, in their text forms.
fn values(table: &Table, row: &Row) -> Value {
    let Ok(values) = decode_row(table, row) else { return Value::Null };
    let columns = table.columns.iter().zip(values).filter(|(column, _)| !column.dropped);
    let shown = columns.map(|(column, value)| {
        let text = (!value.is_null()).then(|| value.to_text(&column.kind, &Utc));
        (column.name.clone(), json!(text))
    });
    Value::Object(shown.collect())
}

fn print(shown: &Map<String, Value>, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return writeln!(out, "{}", Value::Object(shown.clone()));
    }
    for (name, value) in shown {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "{name:<14}{text}")?;
    }
    Ok(())
}
