//! What this crate's tests start from, those of one node and the simulation's: a chain's first block, and a table.

use ledger::{
    Block, Column, ColumnNumber, Genesis, NodeKey, Object, Oid, Operation, Row, Table,
    TransactionId, Type, Value,
    catalog::{Index, IndexOrigin},
    table::Mode,
};

/// The table `t (id bigint PRIMARY KEY, v bigint)`, and its key's index.
pub(crate) const TABLE: Oid = Oid(20_000);
pub(crate) const KEY: Oid = Oid(20_001);

/// The first block of a chain whose only member has this key.
pub(crate) fn genesis(key: &NodeKey) -> Block {
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "first".to_owned(),
        id: TransactionId([0; 16]),
        time_us: 1,
    };
    genesis.block(key).unwrap()
}

fn table() -> Table {
    let column = |number, name: &str| Column {
        number: ColumnNumber(number),
        name: name.to_owned(),
        kind: Type::Int8,
        not_null: number == 1,
        default: None,
        identity: None,
        redactable: false,
        dropped: false,
        missing: Value::Null,
        comment: None,
    };
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: "t".to_owned(),
        owner: Oid::FIRST_ROLE,
        columns: vec![column(1, "id"), column(2, "v")],
        mode: Mode::Updatable,
        retain_days: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: None,
        row_type: Oid(20_002),
        row_array_type: Oid(20_003),
    }
}

/// Makes the table with its primary key.
pub(crate) fn definitions() -> Vec<Operation> {
    let index = Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: "t_pkey".to_owned(),
        table: TABLE,
        columns: vec![ColumnNumber(1)],
        unique: true,
        origin: IndexOrigin::PrimaryKey(Oid(20_004)),
        comment: None,
    };
    let define = |oid, object| Operation::Define { oid, object: Box::new(object) };
    vec![define(TABLE, Object::Table(table())), define(KEY, Object::Index(index))]
}

/// A row of the table.
pub(crate) fn row(id: i64, v: i64) -> Row {
    Row::encode(&table(), &[Value::Int8(id), Value::Int8(v)], || [0; 16]).unwrap()
}
