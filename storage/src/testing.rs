//! What the tests of this crate start from: a table with a key, and transactions that are put together
//! by hand.

use arrow::array::{Array, ArrayRef, AsArray};
use ledger::{
    Block, Column, ColumnNumber, Genesis, Height, NodeKey, Object, Oid, Operation, Proposal, Row,
    Signature, Table, Tip, Transaction, TransactionId, Type, Value,
    catalog::{Index, IndexOrigin},
    table::Mode,
};

use crate::{Scan, Snapshot};

/// The table `t (id int NOT NULL, note text)`.
pub(crate) const TABLE: Oid = Oid(20_000);
/// Its unique index on `id`.
pub(crate) const BY_ID: Oid = Oid(20_003);
/// Its index on `note`.
pub(crate) const BY_NOTE: Oid = Oid(20_005);

pub(crate) const ID: ColumnNumber = ColumnNumber(1);
pub(crate) const NOTE: ColumnNumber = ColumnNumber(2);

/// A column.
pub(crate) fn column(number: u16, name: &str, kind: Type, not_null: bool) -> Column {
    Column {
        number: ColumnNumber(number),
        name: name.into(),
        kind,
        not_null,
        default: None,
        identity: None,
        redactable: false,
        missing: Value::Null,
        dropped: false,
        comment: None,
    }
}

/// The table.
pub(crate) fn table() -> Table {
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: "t".into(),
        owner: Oid::FIRST_ROLE,
        columns: vec![column(1, "id", Type::Int4, true), column(2, "note", Type::Text, false)],
        mode: Mode::Updatable,
        retain_days: None,
        checks: vec![],
        foreign_keys: vec![],
        comment: None,
        row_type: Oid(20_001),
        row_array_type: Oid(20_002),
    }
}

/// An index of the table.
pub(crate) fn index(name: &str, columns: &[u16], unique: bool) -> Index {
    Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: name.into(),
        table: TABLE,
        columns: columns.iter().copied().map(ColumnNumber).collect(),
        unique,
        origin: IndexOrigin::Plain,
        comment: None,
    }
}

/// The operations that define the table and its indexes.
pub(crate) fn definitions() -> Vec<Operation> {
    let define = |oid, object| Operation::Define { oid, object: Box::new(object) };
    vec![
        define(TABLE, Object::Table(table())),
        define(BY_ID, Object::Index(index("t_id", &[1], true))),
        define(BY_NOTE, Object::Index(index("t_note", &[2], false))),
    ]
}

/// A row of the table.
pub(crate) fn row(id: i32, note: &str) -> Row {
    row_of(&table(), &[Value::Int4(id), Value::Text(note.into())])
}

/// A row of any table.
pub(crate) fn row_of(table: &Table, values: &[Value]) -> Row {
    Row::encode(table, values, || [0; 16]).unwrap()
}

/// An unsigned transaction.
pub(crate) fn transaction(number: u64, operations: Vec<Operation>) -> Transaction {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Transaction {
        id: TransactionId(id),
        user: "stele".into(),
        member: ledger::Hash::default(),
        statement: "test".into(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: vec![],
    }
}

/// Makes blocks.
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Block>,
    tip: Tip,
    next: u64,
}

impl Chain {
    /// A chain with its genesis; chains of different seeds differ.
    pub(crate) fn new(seed: u8) -> Self {
        let genesis = Genesis {
            database: "stele".into(),
            role: "stele".into(),
            verifier: None,
            member: "m".into(),
            id: TransactionId([seed; 16]),
            time_us: 1_000,
        };
        let block = genesis.block(&NodeKey::from_bytes(&[seed; 32])).unwrap();
        let tip = Tip::genesis(&block.header).unwrap();
        Self { blocks: vec![block], tip, next: 1 }
    }

    /// The next block, with one transaction for each list of operations.
    pub(crate) fn block(&mut self, transactions: Vec<Vec<Operation>>) -> &Block {
        let transactions = transactions.into_iter().map(|operations| {
            self.next += 1;
            transaction(self.next, operations)
        });
        let transactions = transactions.collect();
        let block = self.tip.next(Proposal { transactions, ..Proposal::default() }).unwrap();
        self.tip.advance(&block.header).unwrap();
        self.blocks.push(block);
        self.blocks.last().unwrap()
    }
}

/// All of a scan's rows, as `(id, note)` in order.
pub(crate) fn rows(scan: Scan) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for batch in scan {
        let batch = batch.unwrap();
        let ids = batch.column(0).as_primitive::<arrow::datatypes::Int32Type>();
        let notes = batch.column(1).as_string::<i32>();
        found.extend((0..batch.num_rows()).map(|i| (ids.value(i), notes.value(i).to_owned())));
    }
    found
}

/// The rows of the table alive at a snapshot.
pub(crate) fn alive(snapshot: &Snapshot) -> Vec<(i32, String)> {
    let columns = [crate::ScanColumn::User(ID), crate::ScanColumn::User(NOTE)];
    rows(snapshot.scan(TABLE, &columns, crate::Versions::Alive).unwrap())
}

/// One column of a batch as texts.
pub(crate) fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let texts = arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8).unwrap();
    let texts = texts.as_string::<i32>();
    (0..texts.len()).map(|i| texts.is_valid(i).then(|| texts.value(i).to_owned())).collect()
}
