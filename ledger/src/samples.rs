//! Blocks and rows for tests: one of everything, always the same.

use crate::catalog::{
    Database, Grant, Grants, Index, IndexOrigin, Member, Object, Oid, Role, Schema, Sequence, View,
};
use crate::rule::{Arithmetic, Comparison, Function, Rule, Volatile};
use crate::table::{Action, Check, ColumnDefault, ForeignKey, Identity, Mode};
use crate::transaction::{Signature, TransactionId};
use crate::{
    Block, Column, ColumnNumber, Decimal, Genesis, Hash, Height, NodeKey, Operation, Proposal, Row,
    Table, Tip, Transaction, Type, Value, VersionId,
};

pub(crate) fn key(secret: u8) -> NodeKey {
    NodeKey::from_bytes(&[secret; 32])
}

pub(crate) fn column(number: u16, kind: Type, redactable: bool) -> Column {
    Column {
        number: ColumnNumber(number),
        name: format!("c{number}"),
        kind,
        not_null: false,
        default: None,
        identity: None,
        redactable,
        missing: Value::Null,
        dropped: false,
        comment: None,
    }
}

pub(crate) fn table(columns: Vec<Column>) -> Table {
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: "t".to_owned(),
        owner: Oid::FIRST_ROLE,
        columns,
        mode: Mode::Updatable,
        retain_days: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: None,
        row_type: Oid(16385),
        row_array_type: Oid(16386),
    }
}

/// A table with a column of every type (the ninth redactable), and a row of it.
pub(crate) fn everything() -> (Table, Vec<Value>) {
    let decimal = |text: &str| Value::Numeric(text.parse::<Decimal>().unwrap());
    let pairs = vec![
        (Type::Bool, Value::Bool(true)),
        (Type::Int2, Value::Int2(-2)),
        (Type::Int4, Value::Int4(70_000)),
        (Type::Int8, Value::Int8(i64::MIN)),
        (Type::Numeric { precision: 10, scale: 2 }, decimal("-12345.60")),
        (Type::Decimal, decimal("0.000000000000000001")),
        (Type::Float4, Value::Float4(1.5)),
        (Type::Float8, Value::Float8(-0.0)),
        (Type::Text, Value::Text("héllo".to_owned())),
        (Type::Varchar(3), Value::Text("äöü".to_owned())),
        (Type::Char(3), Value::Text("a".to_owned())),
        (Type::Bytea, Value::Bytea(vec![0, 255, 1])),
        (Type::Date, Value::Date(20_000)),
        (Type::Time, Value::Time(86_400_000_000)),
        (Type::Timestamp, Value::Timestamp(0)),
        (Type::Timestamptz, Value::Timestamptz(-1)),
        (Type::Uuid, Value::Uuid([9; 16])),
        (Type::Json, Value::Json("{ \"b\":1}".to_owned())),
        (Type::Jsonb, Value::Jsonb("{\"a\": 1.50, \"bb\": [null, true]}".to_owned())),
        (
            Type::Array(Box::new(Type::Int4)),
            Value::Array(vec![Value::Int4(0), Value::Null, Value::Int4(-1)]),
        ),
        (Type::Array(Box::new(Type::Text)), Value::Array(Vec::new())),
        (Type::Text, Value::Null),
    ];
    let columns = (1..).zip(&pairs).map(|(n, (kind, _))| column(n, kind.clone(), n == 9)).collect();
    (table(columns), pairs.into_iter().map(|(_, value)| value).collect())
}

/// A rule with every kind of expression in it.
fn rule() -> Rule {
    let column = || Box::new(Rule::Column(ColumnNumber(3)));
    let literal = |v| Rule::Literal(Value::Int4(v), Type::Int4);
    let text = || Box::new(Rule::Literal(Value::Text("a%".to_owned()), Type::Text));
    Rule::Or(vec![
        Rule::Compare(Comparison::GreaterOrEqual, column(), Box::new(literal(1))),
        Rule::Not(Box::new(Rule::IsNull(column()))),
        Rule::And(vec![Rule::Distinct(column(), Box::new(literal(2)))]),
        Rule::In(column(), vec![literal(3), literal(4)]),
        Rule::Like(text(), text(), true),
        Rule::Matches(text(), text(), false),
        Rule::Case(vec![(Rule::IsNull(column()), literal(5))], Some(Box::new(literal(6)))),
        Rule::Cast(
            Box::new(Rule::Arithmetic(
                Arithmetic::Modulo,
                Box::new(Rule::Negate(column())),
                Box::new(Rule::Call(Function::Abs, vec![literal(-7)])),
            )),
            Type::Bool,
        ),
        Rule::Literal(Value::Float8(f64::NAN), Type::Float8),
    ])
}

fn big_table() -> Table {
    let (mut table, _) = everything();
    table.comment = Some("one of everything".to_owned());
    table.retain_days = Some(2557);
    if let Some(column) = table.columns.get_mut(2) {
        column.default = Some(ColumnDefault {
            rule: Rule::Volatile(Volatile::NextValue(Oid(16400))),
            text: "nextval('t_c3_seq'::regclass)".to_owned(),
        });
        column.identity = Some(Identity { sequence: Oid(16400), always: true });
        column.not_null = true;
    }
    table.checks.push(Check {
        oid: Oid(16401),
        name: "t_check".to_owned(),
        rule: rule(),
        text: "…".to_owned(),
    });
    table.foreign_keys.push(ForeignKey {
        oid: Oid(16402),
        name: "t_fkey".to_owned(),
        columns: vec![ColumnNumber(3)],
        parent: Oid(16384),
        parent_columns: vec![ColumnNumber(3)],
        parent_index: Oid(16403),
        index: Oid(16404),
        on_delete: Action::Cascade,
        on_update: Action::SetNull,
    });
    table
}

/// Every kind of object.
pub(crate) fn objects() -> Vec<Object> {
    let name = || "name".to_owned();
    let (owner, schema) = (Oid::FIRST_ROLE, Oid::PUBLIC_SCHEMA);
    vec![
        Object::Database(Database { name: name(), owner }),
        Object::Schema(Schema { name: name(), owner, comment: None }),
        Object::Table(big_table()),
        Object::Index(Index {
            schema,
            name: name(),
            table: Oid(16384),
            columns: vec![ColumnNumber(3)],
            unique: true,
            origin: IndexOrigin::PrimaryKey(Oid(16405)),
            comment: Some(name()),
        }),
        Object::View(View {
            schema,
            name: name(),
            owner,
            query: "SELECT c1 FROM public.t".to_owned(),
            columns: vec![("c1".to_owned(), Type::Bool)],
            depends_on: vec![Oid(16384)],
            row_type: Oid(16406),
            row_array_type: Oid(16407),
            comment: None,
        }),
        Object::Sequence(Sequence {
            schema,
            name: name(),
            owner,
            kind: Type::Int8,
            start: 1,
            increment: 1,
            min: 1,
            max: i64::MAX,
            cycle: false,
            cache: 1,
            owned_by: Some((Oid(16384), ColumnNumber(3))),
            next: Some(33),
            epoch: 0,
        }),
        Object::Role(Role {
            name: name(),
            login: true,
            superuser: false,
            create_role: false,
            create_db: false,
            inherit: true,
            verifier: Some("SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy".to_owned()),
            member_of: vec![owner],
        }),
        Object::Grants(Grants {
            on: Oid(16384),
            items: vec![Grant { grantee: None, grantor: owner, privileges: 3, grantable: 1 }],
        }),
        Object::Member(Member { name: name(), public_key: key(2).public() }),
    ]
}

pub(crate) fn genesis() -> Block {
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "one".to_owned(),
        id: TransactionId([0; 16]),
        time_us: 1_774_915_200_000_000,
    };
    genesis.block(&key(1)).unwrap()
}

pub(crate) fn transaction(id: u8, operations: Vec<Operation>) -> Transaction {
    Transaction {
        id: TransactionId([id; 16]),
        user: "stele".to_owned(),
        member: Hash::default(),
        statement: "INSERT INTO t VALUES ($1)".to_owned(),
        idempotency_key: Some("once".to_owned()),
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

/// The block after [`genesis`]: every kind of operation and object, an endorsement, a membership entry and a
/// state digest.
pub(crate) fn block() -> Block {
    let tip = Tip::genesis(&genesis().header).unwrap();
    let (table, values) = everything();
    let row = Row::encode(&table, &values, || [7; 16]).unwrap();
    let previous = VersionId { height: Height(0), transaction: 1, operation: 2 };
    let oid = Oid(16384);
    let mut first = transaction(
        1,
        vec![
            Operation::Insert { table: oid, row: row.clone() },
            Operation::Update { table: oid, previous, row },
            Operation::Delete { table: oid, previous },
        ],
    );
    first.sign(&key(1), tip.chain).unwrap();
    first.endorse(&key(2), tip.chain).unwrap();
    let defined = (16384..).zip(objects());
    let mut operations: Vec<Operation> = defined
        .map(|(oid, object)| Operation::Define { oid: Oid(oid), object: Box::new(object) })
        .collect();
    operations.push(Operation::Drop { oid });
    operations.push(Operation::Lease { sequence: Oid(16389), epoch: 0, from: 33, next: Some(65) });
    let mut second = transaction(2, operations);
    second.idempotency_key = None;
    second.sign(&key(1), tip.chain).unwrap();
    let proposal = Proposal {
        clock_us: 0,
        proposer: key(1).member(),
        governance: Hash([3; 32]),
        stamp: vec![1, 2, 3],
        membership: b"one, two".to_vec(),
        transactions: vec![first, second],
        hashes: Vec::new(),
        state_digest: Some(Hash([4; 32])),
    };
    tip.next(proposal).unwrap()
}
