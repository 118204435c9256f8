//! Tables that change: rows of every age are read through the columns of the height asked for.

use std::sync::Arc;

use ledger::{ColumnNumber, Height, Object, Oid, Operation, Type, Value, VersionId, View};

use super::{
    model::{define, insert},
    open,
};
use crate::{MemoryIndex, ScanColumn, Versions, testing::*};

#[test]
fn columns_come_and_go() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![vec![insert(1, "old")]]);
    let mut wider = table();
    let added = column(3, "extra", Type::Int8, true);
    wider.columns.push(ledger::Column { missing: Value::Int8(7), ..added });
    let young = row_of(&wider, &[Value::Int4(2), Value::Text("new".into()), Value::Int8(8)]);
    chain.block(vec![vec![define(TABLE, Object::Table(wider.clone()))]]);
    chain.block(vec![vec![Operation::Insert { table: TABLE, row: young }]]);
    let state = open(Arc::new(MemoryIndex::default()), 1, &chain.blocks);

    let extra = [ScanColumn::User(ID), ScanColumn::User(ColumnNumber(3))];
    let batch = state.snapshot().scan(TABLE, &extra, Versions::Alive).unwrap().next();
    let batch = batch.unwrap().unwrap();
    let values: Vec<_> = texts(batch.column(1)).into_iter().flatten().collect();
    assert_eq!(values, ["7", "8"]);
    assert_eq!(batch.schema().field(1).name(), "extra");
    let old = state.snapshot_at(Height(2)).unwrap();
    assert!(old.scan(TABLE, &extra, Versions::Alive).is_err(), "the column wasn't there");
    assert_eq!(alive(&old), [(1, "old".into())]);
}

#[test]
fn a_dropped_table_is_read_in_the_past() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![vec![insert(1, "a")]]);
    let drops = [BY_NOTE, BY_ID, TABLE].map(|oid| Operation::Drop { oid });
    chain.block(vec![drops.to_vec()]);
    let state = open(Arc::new(MemoryIndex::default()), 1, &chain.blocks);
    assert!(state.snapshot().scan(TABLE, &[], Versions::Alive).is_err());
    assert_eq!(alive(&state.snapshot_at(Height(2)).unwrap()), [(1, "a".into())]);
}

#[test]
fn a_null_key_is_found_for_every_row_that_has_it() {
    let mut chain = Chain::new(1);
    let mut all = definitions();
    let unique = Oid(20_007);
    all.push(define(unique, Object::Index(index("t_note_unique", &[2], true))));
    chain.block(vec![all]);
    let null = |id| Operation::Insert {
        table: TABLE,
        row: row_of(&table(), &[Value::Int4(id), Value::Null]),
    };
    chain.block(vec![vec![null(1), null(2)]]);
    let state = open(Arc::new(MemoryIndex::default()), 1, &chain.blocks);
    let key = ledger::key::encode_key(&[Value::Null]);
    assert_eq!(state.snapshot().lookup(unique, &key).unwrap().len(), 2);
}

#[test]
fn a_key_of_many_rows_gives_them_in_order() {
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![(0..1500).map(|id| insert(id, "same")).collect()]);
    let version = |operation| VersionId { height: Height(2), transaction: 0, operation };
    let delete = |place| Operation::Delete { table: TABLE, previous: version(place) };
    chain.block(vec![(0..700).map(delete).collect()]);
    let state = open(Arc::new(MemoryIndex::default()), 0, &chain.blocks);
    let key = ledger::key::encode_key(&[Value::Text("same".into())]);
    let expected: Vec<_> = (700..1500).map(version).collect();
    let snapshot = state.snapshot();
    assert_eq!(snapshot.lookup(BY_NOTE, &key).unwrap(), expected);
    assert_eq!(snapshot.find(BY_NOTE, &key, 3).unwrap(), expected[..3]);
    assert_eq!(snapshot.holders(BY_NOTE, &[&key]).unwrap(), [2]);
    let before = state.snapshot_at(Height(2)).unwrap();
    assert_eq!(before.find(BY_NOTE, &key, 2).unwrap(), [version(0), version(1)]);
    assert_eq!(before.lookup(BY_NOTE, &key).unwrap().len(), 1500);
}

#[test]
fn keys_of_which_only_a_part_stands_in_an_entry_are_counted() {
    let long = |end: char| format!("{}{end}", "k".repeat(40_000));
    let mut chain = Chain::new(1);
    chain.block(vec![definitions()]);
    chain.block(vec![vec![insert(1, &long('a')), insert(2, &long('a')), insert(3, "short")]]);
    let state = open(Arc::new(MemoryIndex::default()), 1, &chain.blocks);
    let key = |note: String| ledger::key::encode_key(&[Value::Text(note)]);
    let keys = [key(long('a')), key(long('b')), key("short".to_owned())];
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    assert_eq!(state.snapshot().holders(BY_NOTE, &keys).unwrap(), [2, 0, 1]);
    assert_eq!(state.snapshot().holders(BY_NOTE, &keys[2..]).unwrap(), [1]);
}
