//! A chain of one with two tables, `dept` and `emp`, for queries to read.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use ledger::catalog::{Index, IndexOrigin};
use ledger::table::Mode;
use ledger::{
    Column, ColumnNumber, Decimal, Height, Object, Oid, Operation, Row, Signature, Table,
    Transaction, TransactionId, Type, Value,
};
use storage::{Order, Solo};

use crate::Error;
use crate::memory::query_memory;
use crate::read::QueryContext;
use crate::settings::Zone;

/// The present of the chain, as queries see it.
pub(crate) struct House {
    pub(crate) context: QueryContext,
}

fn column(number: u16, name: &str, kind: Type, not_null: bool) -> Column {
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

pub(crate) fn table(oid: u32, name: &str, columns: Vec<Column>) -> Table {
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: name.into(),
        owner: Oid::FIRST_ROLE,
        columns,
        mode: Mode::Updatable,
        retain_days: None,
        checks: vec![],
        foreign_keys: vec![],
        comment: None,
        row_type: Oid(oid + 1),
        row_array_type: Oid(oid + 2),
    }
}

fn key(oid: u32, table: u32, name: &str) -> Operation {
    let index = Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: name.into(),
        table: Oid(table),
        columns: vec![ColumnNumber(1)],
        unique: true,
        origin: IndexOrigin::PrimaryKey(Oid(oid + 1)),
        comment: None,
    };
    Operation::Define { oid: Oid(oid), object: Box::new(Object::Index(index)) }
}

/// `dept (id int PRIMARY KEY, name text, budget numeric(12,2), code char(4))`
pub(crate) fn dept() -> Table {
    let budget = Type::Numeric { precision: 12, scale: 2 };
    table(
        20_000,
        "dept",
        vec![
            column(1, "id", Type::Int4, true),
            column(2, "name", Type::Text, false),
            column(3, "budget", budget, false),
            column(4, "code", Type::Char(4), false),
        ],
    )
}

/// `emp (id bigint PRIMARY KEY, dept_id int, name varchar(20), salary numeric, rate float8,
/// hired date, seen timestamptz, boss bigint, tags text[], active bool, level smallint)`
pub(crate) fn emp() -> Table {
    table(
        20_010,
        "emp",
        vec![
            column(1, "id", Type::Int8, true),
            column(2, "dept_id", Type::Int4, false),
            column(3, "name", Type::Varchar(20), false),
            column(4, "salary", Type::Decimal, false),
            column(5, "rate", Type::Float8, false),
            column(6, "hired", Type::Date, false),
            column(7, "seen", Type::Timestamptz, false),
            column(8, "boss", Type::Int8, false),
            column(9, "tags", Type::Array(Box::new(Type::Text)), false),
            column(10, "active", Type::Bool, false),
            column(11, "level", Type::Int2, false),
        ],
    )
}

fn insert(table: &Table, oid: u32, values: &[Value]) -> Operation {
    let row = Row::encode(table, values, || [0; 16]).unwrap();
    Operation::Insert { table: Oid(oid), row }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn numeric(text: &str) -> Value {
    Value::Numeric(text.parse::<Decimal>().unwrap())
}

fn departments() -> Vec<Operation> {
    let rows = [
        (1, text("Sales"), numeric("1000.50"), text("SA")),
        (2, text("Research"), numeric("2500.00"), text("RES")),
        (3, text("Empty"), Value::Null, text("E")),
    ];
    rows.into_iter()
        .map(|(id, name, budget, code)| {
            insert(&dept(), 20_000, &[Value::Int4(id), name, budget, code])
        })
        .collect()
}

fn employees() -> Vec<Operation> {
    let day = 86_400_000_000_i64;
    let tags = |items: &[&str]| Value::Array(items.iter().map(|i| text(i)).collect());
    let rows = [
        (
            1,
            Value::Int4(1),
            "Ada",
            numeric("100.25"),
            1.5,
            10_000,
            Value::Null,
            tags(&["a", "b"]),
            1,
        ),
        (2, Value::Int4(1), "Bob", numeric("80"), 0.1, 11_000, Value::Int8(1), tags(&[]), 2),
        (3, Value::Int4(2), "Cyd", numeric("120.5"), -2.0, 12_345, Value::Int8(1), tags(&["c"]), 3),
        (4, Value::Int4(2), "Dan", Value::Null, 1e10, 13_000, Value::Int8(3), Value::Null, 2),
        (5, Value::Null, "Eve", numeric("99.999"), 0.0, 14_000, Value::Int8(3), tags(&["a"]), 1),
    ];
    rows.into_iter()
        .map(|(id, dept, name, salary, rate, hired, boss, tags, level)| {
            let values = [
                Value::Int8(id),
                dept,
                text(name),
                salary,
                Value::Float8(rate),
                Value::Date(hired),
                Value::Timestamptz(i64::from(hired) * day + 45_296_789_000),
                boss,
                tags,
                Value::Bool(id % 2 == 1),
                Value::Int2(level),
            ];
            insert(&emp(), 20_010, &values)
        })
        .collect()
}

pub(crate) async fn commit(order: &dyn Order, number: u8, operations: Vec<Operation>) {
    let mut transaction = Transaction {
        id: TransactionId([number; 16]),
        user: "stele".into(),
        member: ledger::Hash::default(),
        statement: "test".into(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: vec![],
    };
    order.sign(&mut transaction).unwrap();
    order.submit(transaction).await.unwrap();
}

impl House {
    pub(crate) async fn new() -> Self {
        let (state, order) = Solo::new();
        let define = |oid, table| Operation::Define {
            oid: Oid(oid),
            object: Box::new(Object::Table(table)),
        };
        let definitions = vec![
            define(20_000, dept()),
            key(20_003, 20_000, "dept_pkey"),
            define(20_010, emp()),
            key(20_013, 20_010, "emp_pkey"),
        ];
        commit(&*order, 1, definitions).await;
        commit(&*order, 2, departments()).await;
        commit(&*order, 3, employees()).await;
        let snapshot = state.snapshot();
        let context = QueryContext {
            catalog: Arc::clone(snapshot.catalog()),
            snapshot,
            overlay: None,
            search_path: vec!["public".into()],
            zone: Zone::UTC,
            user: "stele".into(),
            session_user: "stele".into(),
            database: "stele".into(),
            // 2024-02-29 12:34:56.789 UTC
            transaction_time_us: 1_709_210_096_789_000,
            statement_time_us: 1_709_210_096_789_000,
            source: "".into(),
            extensions: Arc::from(Vec::new()),
            session: None,
            memory: query_memory(256 << 20, None).unwrap(),
            parameters: None,
            bounds: None,
        };
        Self { context }
    }

    /// The query, with a context whose positions point into it.
    pub(crate) fn parsed(&self, text: &str) -> Result<(QueryContext, ast::Query), Error> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text)
            .map_err(|error| Error::new("42601", error.to_string()))?;
        let context = QueryContext { source: text.into(), ..self.context.clone() };
        match statements.pop() {
            Some(ast::Statement::Query(query)) => Ok((context, *query)),
            _ => Err(Error::internal("no query")),
        }
    }
}
