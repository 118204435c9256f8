//! `ledger.blocks`, `ledger.transactions`, `ledger.tables`, `ledger.members`.

use ledger::Height;
use ledger::table::Mode;
use storage::{BlockRecord, Snapshot, TransactionRecord};

use super::certificates::Covering;
use crate::Error;
use crate::functions::Datum;
use crate::lazy::{self, Batches};
use crate::read::{QueryContext, VirtualTable};
use crate::table::fault;
use crate::types::PgType;

/// Blocks whose rows are made at a time.
const STEP: u64 = 2048;

pub(super) fn text(value: impl ToString) -> Datum {
    Datum::Text(value.to_string())
}

pub(super) fn number(value: u64) -> Datum {
    Datum::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn named(columns: &[(&str, PgType)]) -> Vec<(String, PgType)> {
    columns.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect()
}

/// Rows made from ranges of blocks, up to a snapshot's height.
pub(super) fn by_blocks(
    snapshot: Snapshot,
    kinds: Vec<PgType>,
    rows: impl Fn(&Snapshot, std::ops::Range<Height>) -> Result<Vec<Vec<Datum>>, Error> + Send + 'static,
) -> Batches {
    if let Err(damage) = snapshot.check_cut() {
        return Box::new(std::iter::once(Err(fault(damage))));
    }
    let end = snapshot.height().0 + 1;
    let starts = (0..end).step_by(usize::try_from(STEP).unwrap_or(1));
    Box::new(starts.map(move |start| {
        let range = Height(start)..Height((start + STEP).min(end));
        lazy::batch(&kinds, rows(&snapshot, range)?)
    }))
}

pub(super) fn chosen(columns: &[(String, PgType)], places: &[usize]) -> Vec<PgType> {
    places.iter().filter_map(|place| columns.get(*place)).map(|column| column.1.clone()).collect()
}

/// One row for each block.
pub(super) fn blocks() -> VirtualTable {
    let columns = named(&[
        ("height", PgType::Int8),
        ("hash", PgType::Text),
        ("parent", PgType::Text),
        ("transactions_root", PgType::Text),
        ("history_root", PgType::Text),
        ("time", PgType::Timestamptz),
        ("proposer", PgType::Text),
        ("transactions", PgType::Int4),
        ("certified_by", PgType::Int4),
        ("certified_at", PgType::Int8),
    ]);
    let kinds = columns.clone();
    lazy::table(0, columns, move |context, places| {
        let places = places.to_vec();
        let kinds = chosen(&kinds, &places);
        let certificates = places.iter().any(|place| *place >= CERTIFIED_BY);
        let kept = super::state(context)?.certificates().filter(|_| certificates).cloned();
        Ok(by_blocks(context.snapshot.clone(), kinds, move |snapshot, range| {
            let mut covering = Covering::new(kept.as_ref());
            let mut rows = Vec::new();
            for record in snapshot.blocks(range).map_err(fault)? {
                let certified = covering.of(record.header.height)?;
                let cell = |place: &usize| block_cell(&record, certified, *place);
                rows.push(places.iter().map(cell).collect());
            }
            Ok(rows)
        }))
    })
}

/// The first of the columns that certificates say.
const CERTIFIED_BY: usize = 8;

fn block_cell(record: &BlockRecord, certified: Option<(Height, usize)>, place: usize) -> Datum {
    let header = &record.header;
    match place {
        0 => number(header.height.0),
        1 => text(record.hash),
        2 => text(header.parent),
        3 => text(header.transactions_root),
        4 => text(header.history_root),
        5 => Datum::Timestamptz(header.time_us),
        6 => text(header.proposer),
        7 => number(header.transaction_count.into()),
        CERTIFIED_BY => certified.map_or(Datum::Null, |(_, signed)| number(signed as u64)),
        _ => certified.map_or(Datum::Null, |(height, _)| number(height.0)),
    }
}

/// The place of the column that only the block itself has.
const STATEMENT: usize = 9;

/// One row for each transaction.
pub(super) fn transactions() -> VirtualTable {
    let columns = named(&[
        ("tx", PgType::Uuid),
        ("block", PgType::Int8),
        ("position", PgType::Int4),
        ("time", PgType::Timestamptz),
        ("user_name", PgType::Text),
        ("member", PgType::Text),
        ("read_block", PgType::Int8),
        ("operations", PgType::Int4),
        ("idempotency_key", PgType::Text),
        ("statement", PgType::Text),
    ]);
    let kinds = columns.clone();
    lazy::table(0, columns, move |context, places| {
        let places = places.to_vec();
        let kinds = chosen(&kinds, &places);
        let from_block = places.contains(&STATEMENT);
        Ok(by_blocks(context.snapshot.clone(), kinds, move |snapshot, range| {
            let mut rows = Vec::new();
            for record in snapshot.blocks(range).map_err(fault)? {
                let height = record.header.height;
                let range = height..Height(height.0 + 1);
                let listed = snapshot.transactions(range).map_err(fault)?;
                let block = if from_block && !listed.is_empty() {
                    Some(snapshot.block(height).map_err(fault)?)
                } else {
                    None
                };
                for transaction in listed {
                    let statement = block
                        .as_ref()
                        .and_then(|block| {
                            block.transactions.get(usize::try_from(transaction.transaction).ok()?)
                        })
                        .map_or(Datum::Null, |found| text(&found.statement));
                    rows.push(
                        places
                            .iter()
                            .map(|place| match *place {
                                STATEMENT => statement.clone(),
                                place => transaction_cell(&record, &transaction, place),
                            })
                            .collect(),
                    );
                }
            }
            Ok(rows)
        }))
    })
}

fn transaction_cell(block: &BlockRecord, transaction: &TransactionRecord, place: usize) -> Datum {
    match place {
        0 => Datum::Uuid(transaction.id.0),
        1 => number(transaction.height.0),
        2 => number(transaction.transaction.into()),
        3 => Datum::Timestamptz(block.header.time_us),
        4 => text(&transaction.user),
        5 => text(transaction.member),
        6 => number(transaction.snapshot.0),
        7 => number(transaction.operations.into()),
        _ => transaction.idempotency_key.as_ref().map_or(Datum::Null, text),
    }
}

/// One row for each table, with what the ledger keeps of it.
pub(super) fn tables() -> VirtualTable {
    let columns = named(&[
        ("oid", PgType::Oid),
        ("schema_name", PgType::Name),
        ("table_name", PgType::Name),
        ("mode", PgType::Text),
        ("retain_days", PgType::Int4),
        ("redactable", PgType::Array(Box::new(PgType::Text))),
        ("live_rows", PgType::Int8),
        ("versions", PgType::Int8),
        ("last_block", PgType::Int8),
    ]);
    lazy::small(columns, |context| {
        context.snapshot.check_cut().map_err(fault)?;
        Ok(table_rows(context))
    })
}

fn table_rows(context: &QueryContext) -> Vec<Vec<Datum>> {
    let snapshot = &context.snapshot;
    context
        .catalog
        .tables()
        .map(|(oid, table)| {
            let schema = context.catalog.schema(table.schema).map_or("", |schema| &schema.name);
            let mode = match table.mode {
                Mode::AppendOnly => "append_only",
                Mode::Updatable => "updatable",
            };
            let redactable = table
                .columns
                .iter()
                .filter(|column| column.redactable && !column.dropped)
                .map(|column| text(&column.name))
                .collect();
            vec![
                number(oid.0.into()),
                text(schema),
                text(&table.name),
                text(mode),
                table.retain_days.map_or(Datum::Null, |days| number(days.into())),
                Datum::Array(redactable),
                number(snapshot.row_count(oid)),
                number(snapshot.version_count(oid)),
                snapshot.last_change(oid).map_or(Datum::Null, |height| number(height.0)),
            ]
        })
        .collect()
}

/// One row for each member.
pub(super) fn members() -> VirtualTable {
    let columns = named(&[
        ("oid", PgType::Oid),
        ("name", PgType::Text),
        ("member", PgType::Text),
        ("public_key", PgType::Text),
        ("public_key_pem", PgType::Text),
    ]);
    lazy::small(columns, |context| Ok(member_rows(context)))
}

/// An Ed25519 key as other programs read it (RFC 8410), and `stele verify`.
fn pem(key: &ledger::PublicKey) -> String {
    use base64::Engine as _;
    // The algorithm's name, and the head of 32 bytes.
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(&key.0);
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

fn member_rows(context: &QueryContext) -> Vec<Vec<Datum>> {
    context
        .catalog
        .members()
        .map(|(oid, member)| {
            let key: String =
                member.public_key.0.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![
                number(oid.0.into()),
                text(&member.name),
                text(member.public_key.member()),
                text(key),
                text(pem(&member.public_key)),
            ]
        })
        .collect()
}
