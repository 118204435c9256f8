//! What a million rows cost: run with `cargo test -p ledger --release -- --ignored --nocapture speed`.

use super::*;
use crate::apply::tests::{column, define, family, table, transaction};
use crate::catalog::{Index, IndexOrigin, Object};
use crate::samples::genesis;
use crate::{Block, ColumnNumber, Proposal, Tip, Type, Value};

const ROWS: i32 = 1_000_000;
const ORDERS: Oid = Oid(17000);

fn orders() -> crate::Table {
    let columns = vec![
        column(1, "id", Type::Int4, true),
        column(2, "customer", Type::Int8, false),
        column(3, "amount", Type::Numeric { precision: 12, scale: 2 }, false),
        column(4, "memo", Type::Text, false),
        column(5, "at", Type::Timestamptz, false),
    ];
    table(ORDERS, "orders", columns)
}

fn rows() -> Vec<Vec<Value>> {
    (0..ROWS)
        .map(|id| {
            vec![
                Value::Int4(id.wrapping_mul(7919) & 0x3fff_ffff),
                Value::Int8(i64::from(id) % 1000),
                Value::Numeric(crate::Decimal::new(i128::from(id) * 7, 2).unwrap()),
                Value::Text(format!("memo number {id}")),
                Value::Timestamptz(1_774_915_200_000_000 + i64::from(id)),
            ]
        })
        .collect()
}

/// Milliseconds that this thread ran, whatever else the machine does.
fn on_processor_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_000_000
}

#[test]
#[ignore = "a measurement: cargo test -p ledger --release -- --ignored --nocapture speed"]
fn speed() {
    let mut memory = family();
    let index = Object::Index(Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: "orders_pkey".to_owned(),
        table: ORDERS,
        columns: vec![ColumnNumber(1)],
        unique: true,
        origin: IndexOrigin::PrimaryKey(Oid(17004)),
        comment: None,
    });
    memory.apply(
        2,
        &transaction(vec![define(ORDERS, Object::Table(orders())), define(Oid(17003), index)]),
    );
    let values = rows();
    let mut last = on_processor_ms();
    let mut lap = |what: &str| {
        let now = on_processor_ms();
        println!("{what:<28} {:>8} ms", now - last);
        last = now;
    };
    let table = orders();
    let operations: Vec<Operation> = values
        .iter()
        .map(|values| Operation::Insert {
            table: ORDERS,
            row: Row::encode(&table, values, || [0; 16]).unwrap(),
        })
        .collect();
    lap("encode rows");
    let transaction = Arc::new(transaction(operations));
    let mut staged = Staged::new(&memory);
    staged.admit(Height(3), 0, &transaction).unwrap();
    lap("admit");
    drop(staged);
    lap("drop staged");
    let mut staged = Staged::new(&memory);
    staged.stage(Height(3), 0, &transaction).unwrap();
    lap("  of which: stage");
    let rows: Vec<&Row> = transaction.operations.iter().filter_map(Operation::row).collect();
    rows.iter().for_each(|row| row.check(&table).unwrap());
    lap("  of which: rows canonical");
    let touched: Vec<Touched<'_>> =
        rows.iter().map(|row| Touched { table: ORDERS, old: None, new: Some(row) }).collect();
    check_statement(&staged, &touched).unwrap();
    lap("  of which: constraints");
    drop(staged);
    transaction.hash().unwrap();
    lap("hash transaction");
    let tip = Tip::genesis(&genesis().header).unwrap();
    let transactions = vec![transaction.as_ref().clone()];
    lap("clone");
    let block = tip.next(Proposal { transactions, ..Proposal::default() }).unwrap();
    lap("make block");
    let bytes = block.encode();
    lap("encode block");
    println!("{} bytes", bytes.len());
    let block = Block::decode(&bytes).unwrap();
    lap("decode block");
    block.verify_body().unwrap();
    lap("verify body");
    let rows = transaction.operations.iter().filter_map(Operation::row);
    let sum: usize = rows.map(|row| crate::decode_row(&table, row).unwrap().len()).sum();
    lap("decode rows");
    assert_eq!(sum, 5_000_000);
}
