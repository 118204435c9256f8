//! Transactions against a small state in memory: what is admitted and what is refused, with PostgreSQL's
//! words.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::catalog::{Index, IndexOrigin, Object};
use crate::rule::{Comparison, Rule};
use crate::table::{Action, Check, ForeignKey};
use crate::transaction::{Signature, TransactionId};
use crate::{Catalog, Column, ColumnNumber, Genesis, NodeKey, Table, Type, Value, key};

pub(crate) const PARENT: Oid = Oid(16384);
pub(crate) const CHILD: Oid = Oid(16400);
const PARENT_KEY: Oid = Oid(16387);
const CHILD_KEY: Oid = Oid(16403);
const CHILD_FINDS: Oid = Oid(16404);

/// Rows and a catalog, no more.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) catalog: Catalog,
    pub(crate) rows: BTreeMap<(Oid, VersionId), Row>,
}

impl View for Memory {
    type Fault = Infallible;

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(&(table, version)).cloned())
    }

    fn find(&self, index: Oid, wanted: &[u8], limit: usize) -> Result<Vec<VersionId>, Infallible> {
        let index = self.catalog.index(index).unwrap();
        let table = self.catalog.table(index.table).unwrap();
        let has = |row: &Row| {
            let values = crate::decode_row(table, row).unwrap();
            key::key_of(&values, &index.columns) == wanted
        };
        let rows = self.rows.iter().filter(|((oid, _), row)| *oid == index.table && has(row));
        Ok(rows.map(|((_, version), _)| *version).take(limit).collect())
    }

    fn is_empty(&self, table: Oid) -> bool {
        self.rows.keys().all(|(oid, _)| *oid != table)
    }

    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        for ((_, version), row) in self.rows.iter().filter(|((oid, _), _)| *oid == table) {
            if each(*version, row).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Memory {
    /// Does what an admitted transaction says.
    pub(crate) fn apply(&mut self, height: u64, transaction: &Transaction) {
        for (at, operation) in (0..).zip(&transaction.operations) {
            self.catalog.apply(operation).unwrap();
            let version = VersionId { height: Height(height), transaction: 0, operation: at };
            let Some(table) = operation.table() else { continue };
            if let Some(previous) = operation.previous() {
                self.rows.remove(&(table, previous)).unwrap();
            }
            if let Some(row) = operation.row() {
                self.rows.insert((table, version), row.clone());
            }
        }
    }
}

pub(crate) fn transaction(operations: Vec<Operation>) -> Transaction {
    Transaction {
        id: TransactionId([1; 16]),
        user: "stele".to_owned(),
        member: NodeKey::from_bytes(&[1; 32]).member(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations,
        signature: Signature::NONE,
        endorsements: Vec::new(),
    }
}

pub(crate) fn column(number: u16, name: &str, kind: Type, not_null: bool) -> Column {
    Column {
        number: ColumnNumber(number),
        name: name.to_owned(),
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

pub(crate) fn table(oid: Oid, name: &str, columns: Vec<Column>) -> Table {
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: name.to_owned(),
        owner: Oid::FIRST_ROLE,
        columns,
        mode: Mode::Updatable,
        retain_days: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: None,
        row_type: Oid(oid.0 + 1),
        row_array_type: Oid(oid.0 + 2),
    }
}

pub(crate) fn define(oid: Oid, object: Object) -> Operation {
    Operation::Define { oid, object: Box::new(object) }
}

fn index(name: &str, table: Oid, columns: &[u16], unique: bool) -> Object {
    Object::Index(Index {
        schema: Oid::PUBLIC_SCHEMA,
        name: name.to_owned(),
        table,
        columns: columns.iter().copied().map(ColumnNumber).collect(),
        unique,
        origin: if unique { IndexOrigin::Unique(Oid(16500)) } else { IndexOrigin::ForeignKey },
        comment: None,
    })
}

/// `parent (id integer not null unique, name text check (name <> ''))`
pub(crate) fn parent() -> Table {
    let columns = vec![column(1, "id", Type::Int4, true), column(2, "name", Type::Text, false)];
    let rule = Rule::Compare(
        Comparison::NotEqual,
        Box::new(Rule::Column(ColumnNumber(2))),
        Box::new(Rule::Literal(Value::Text(String::new()), Type::Text)),
    );
    let check = Check {
        oid: Oid(16388),
        name: "parent_name_check".to_owned(),
        rule,
        text: "name <> ''".to_owned(),
    };
    Table { checks: vec![check], ..table(PARENT, "parent", columns) }
}

/// `child (id bigint not null unique, parent bigint references parent)`
pub(crate) fn child() -> Table {
    let columns = vec![column(1, "id", Type::Int8, true), column(2, "parent", Type::Int8, false)];
    let foreign = ForeignKey {
        oid: Oid(16405),
        name: "child_parent_fkey".to_owned(),
        columns: vec![ColumnNumber(2)],
        parent: PARENT,
        parent_columns: vec![ColumnNumber(1)],
        parent_index: PARENT_KEY,
        index: CHILD_FINDS,
        on_delete: Action::NoAction,
        on_update: Action::NoAction,
    };
    Table { foreign_keys: vec![foreign], ..table(CHILD, "child", columns) }
}

pub(crate) fn genesis() -> Memory {
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "one".to_owned(),
        id: TransactionId([0; 16]),
        time_us: 0,
    };
    let block = genesis.block(&NodeKey::from_bytes(&[1; 32])).unwrap();
    let mut memory = Memory::default();
    memory.apply(0, &block.transactions[0]);
    memory
}

/// Parent and child with their indexes.
pub(crate) fn family() -> Memory {
    let mut memory = genesis();
    let made = transaction(vec![
        define(PARENT, Object::Table(parent())),
        define(PARENT_KEY, index("parent_id_key", PARENT, &[1], true)),
        define(CHILD, Object::Table(child())),
        define(CHILD_KEY, index("child_id_key", CHILD, &[1], true)),
        define(CHILD_FINDS, index("child_parent_fkey_index", CHILD, &[2], false)),
    ]);
    check_transaction(&memory, &made).unwrap();
    memory.apply(1, &made);
    memory
}

pub(crate) fn parent_row(id: i32, name: Option<&str>) -> Row {
    let name = name.map_or(Value::Null, |name| Value::Text(name.to_owned()));
    Row::encode(&parent(), &[Value::Int4(id), name], || [0; 16]).unwrap()
}

pub(crate) fn child_row(id: i64, parent: Option<i64>) -> Row {
    let parent = parent.map_or(Value::Null, Value::Int8);
    Row::encode(&child(), &[Value::Int8(id), parent], || [0; 16]).unwrap()
}

pub(crate) fn insert(table: Oid, row: Row) -> Operation {
    Operation::Insert { table, row }
}

pub(crate) fn at(height: u64, operation: u32) -> VersionId {
    VersionId { height: Height(height), transaction: 0, operation }
}

fn refused(memory: &Memory, operations: Vec<Operation>) -> Refusal {
    let refusal = |operations| match check_transaction(memory, &transaction(operations)) {
        Err(Checked::Refused(refusal)) => refusal,
        Ok(()) => panic!("taken"),
        Err(Checked::Fault(never)) => match never {},
    };
    let alone = refusal(operations.clone());
    if operations.iter().all(|operation| operation.table().is_some()) {
        // The same stands in a large transaction, whose rows are checked in themselves first.
        let others = (1_000_000..).take(MANY).map(|id| insert(PARENT, parent_row(id, None)));
        assert_eq!(refusal(operations.into_iter().chain(others).collect()), alone);
    }
    alone
}

fn admitted(memory: &Memory, operations: Vec<Operation>) {
    assert_eq!(check_transaction(memory, &transaction(operations)), Ok(()));
}

/// Parent 1 and 2, child 10 of parent 1: versions (2, 0), (2, 1), (2, 2).
fn filled() -> Memory {
    let mut memory = family();
    let rows = transaction(vec![
        insert(PARENT, parent_row(1, Some("a"))),
        insert(PARENT, parent_row(2, None)),
        insert(CHILD, child_row(10, Some(1))),
    ]);
    check_transaction(&memory, &rows).unwrap();
    memory.apply(2, &rows);
    memory
}

#[test]
fn rows_keep_their_constraints() {
    let memory = filled();
    let duplicate = refused(&memory, vec![insert(PARENT, parent_row(1, None))]);
    assert_eq!(
        duplicate,
        Refusal::Duplicate {
            schema: "public".into(),
            table: "parent".into(),
            constraint: "parent_id_key".into(),
            detail: "Key (id)=(1) already exists.".into(),
        }
    );
    let twice = vec![insert(PARENT, parent_row(3, None)), insert(PARENT, parent_row(3, None))];
    assert_eq!(refused(&memory, twice).sqlstate(), "23505");
    let Refusal::Check { detail, constraint, .. } =
        refused(&memory, vec![insert(PARENT, parent_row(3, Some("")))])
    else {
        panic!()
    };
    assert_eq!(
        (constraint.as_str(), detail.as_str()),
        ("parent_name_check", "Failing row contains (3, ).")
    );
    let null = Row::encode(&parent(), &[Value::Null, Value::Null], || [0; 16]).unwrap();
    let Refusal::NotNull { detail, column, .. } = refused(&memory, vec![insert(PARENT, null)])
    else {
        panic!()
    };
    assert_eq!((column.as_str(), detail.as_str()), ("id", "Failing row contains (null, null)."));
}

#[test]
fn foreign_keys_hold_from_both_sides() {
    let memory = filled();
    let Refusal::NoParent { detail, .. } =
        refused(&memory, vec![insert(CHILD, child_row(11, Some(7)))])
    else {
        panic!()
    };
    assert_eq!(detail, "Key (parent)=(7) is not present in table \"parent\".");
    admitted(&memory, vec![insert(CHILD, child_row(11, None))]);
    // One that follows others of a parent that is there.
    let of = |id, parent| insert(CHILD, child_row(id, Some(parent)));
    admitted(&memory, vec![of(11, 1), of(12, 1)]);
    let Refusal::NoParent { .. } = refused(&memory, vec![of(11, 1), of(12, 1), of(13, 7)]) else {
        panic!()
    };
    // A parent of the same transaction, also when it comes later.
    admitted(
        &memory,
        vec![insert(CHILD, child_row(11, Some(7))), insert(PARENT, parent_row(7, None))],
    );
    let gone = || Operation::Delete { table: PARENT, previous: at(2, 0) };
    let Refusal::HasChildren { detail, parent, table, .. } = refused(&memory, vec![gone()]) else {
        panic!()
    };
    assert_eq!((parent.as_str(), table.as_str()), ("parent", "child"));
    assert_eq!(detail, "Key (id)=(1) is still referenced from table \"child\".");
    // Child and parent together, the parent's key taken over by another row, an update beside the key.
    admitted(&memory, vec![gone(), Operation::Delete { table: CHILD, previous: at(2, 2) }]);
    admitted(&memory, vec![gone(), insert(PARENT, parent_row(1, Some("new")))]);
    let update = |row| Operation::Update { table: PARENT, previous: at(2, 0), row };
    admitted(&memory, vec![update(parent_row(1, Some("b")))]);
    assert_eq!(refused(&memory, vec![update(parent_row(9, None))]).sqlstate(), "23503");
    // A parent without children may go.
    admitted(&memory, vec![Operation::Delete { table: PARENT, previous: at(2, 1) }]);
}

#[test]
fn a_version_is_replaced_once() {
    let memory = filled();
    let gone = Operation::Delete { table: PARENT, previous: at(2, 1) };
    assert_eq!(refused(&memory, vec![gone.clone(), gone]).sqlstate(), "40001");
    let never = Operation::Delete { table: PARENT, previous: at(9, 9) };
    assert_eq!(refused(&memory, vec![never]).sqlstate(), "40001");
    // Keys may change places in one transaction.
    let update =
        |previous, id| Operation::Update { table: PARENT, previous, row: parent_row(id, None) };
    let swapped = vec![update(at(2, 0), 2), update(at(2, 1), 1)];
    admitted(&memory, swapped);
}

#[test]
fn an_append_only_table_takes_inserts_only() {
    let mut memory = filled();
    let closed = Table { mode: Mode::AppendOnly, ..parent() };
    let change = transaction(vec![define(PARENT, Object::Table(closed))]);
    check_transaction(&memory, &change).unwrap();
    memory.apply(3, &change);
    let gone = Operation::Delete { table: PARENT, previous: at(2, 1) };
    assert_eq!(refused(&memory, vec![gone]).sqlstate(), "55000");
    admitted(&memory, vec![insert(PARENT, parent_row(5, None))]);
    // And stays so.
    assert_eq!(refused(&memory, vec![define(PARENT, Object::Table(parent()))]).sqlstate(), "55000");
}

#[test]
fn new_constraints_are_checked_on_old_rows() {
    let memory = filled();
    let mut strict = parent();
    strict.columns[1].not_null = true;
    assert_eq!(refused(&memory, vec![define(PARENT, Object::Table(strict))]).sqlstate(), "23502");
    let unique = |columns: &[u16]| index("parent_name_key", PARENT, columns, true);
    let same_names =
        vec![define(Oid(16600), unique(&[2])), insert(PARENT, parent_row(3, Some("a")))];
    assert_eq!(refused(&memory, same_names).sqlstate(), "23505");
    admitted(&memory, vec![define(Oid(16600), unique(&[2]))]);
}

#[test]
fn a_new_index_forgets_rows_that_the_transaction_ends() {
    let memory = filled();
    let key = || define(Oid(16600), index("parent_name_key", PARENT, &[2], true));
    let update =
        Operation::Update { table: PARENT, previous: at(2, 0), row: parent_row(1, Some("a")) };
    admitted(&memory, vec![key(), update]);
    let moved = vec![
        key(),
        Operation::Delete { table: CHILD, previous: at(2, 2) },
        Operation::Delete { table: PARENT, previous: at(2, 0) },
        insert(PARENT, parent_row(9, Some("a"))),
    ];
    admitted(&memory, moved);
}

#[test]
fn definitions_hold_together() {
    let memory = filled();
    let drop_parent = || Operation::Drop { oid: PARENT };
    assert_eq!(refused(&memory, vec![drop_parent()]).sqlstate(), "2BP01");
    let all = [CHILD_FINDS, CHILD_KEY, CHILD, PARENT_KEY, PARENT];
    admitted(&memory, all.iter().map(|oid| Operation::Drop { oid: *oid }).collect());
    let used = define(Oid(16390), Object::Table(table(Oid(16600), "t", Vec::new())));
    assert_eq!(refused(&memory, vec![used]).sqlstate(), "40001");
    let taken = define(Oid(16600), Object::Table(table(Oid(16600), "child", Vec::new())));
    assert_eq!(refused(&memory, vec![taken]).sqlstate(), "42P07");
    let mut lost = parent();
    lost.columns.pop();
    assert!(matches!(
        refused(&memory, vec![define(PARENT, Object::Table(lost))]),
        Refusal::Malformed { .. }
    ));
}

#[test]
fn malformed_rows_are_refused() {
    let memory = filled();
    let short = Row { bytes: vec![0x11, 2] };
    assert_eq!(refused(&memory, vec![insert(PARENT, short)]).sqlstate(), "XX000");
    let wrong = child_row(1 << 40, None);
    assert_eq!(refused(&memory, vec![insert(PARENT, wrong)]).sqlstate(), "XX000");
    assert_eq!(refused(&memory, vec![insert(Oid(99), parent_row(1, None))]).sqlstate(), "40001");
}

#[test]
fn rows_are_written_the_one_way_that_their_table_says() {
    let mut memory = filled();
    let mut secret = parent();
    secret.columns[1].redactable = true;
    let secret_oid = Oid(16700);
    secret.name = "secret".to_owned();
    (secret.row_type, secret.row_array_type) = (Oid(16701), Oid(16702));
    let change = transaction(vec![define(secret_oid, Object::Table(secret.clone()))]);
    check_transaction(&memory, &change).unwrap();
    memory.apply(3, &change);
    let values = [Value::Int4(9), Value::Text("name".to_owned())];
    let salted = Row::encode(&secret, &values, || [7; 16]).unwrap();
    admitted(&memory, vec![insert(secret_oid, salted.clone())]);
    // A value that must be salted and is not could never be erased; one that is erased was never there.
    let plain = Row::encode(&parent(), &values, || [0; 16]).unwrap();
    assert_eq!(refused(&memory, vec![insert(secret_oid, plain)]).sqlstate(), "XX000");
    assert_eq!(refused(&memory, vec![insert(PARENT, salted)]).sqlstate(), "XX000");
}

#[test]
fn only_members_speak_for_transactions() {
    let memory = filled();
    let mut foreign = transaction(vec![insert(PARENT, parent_row(7, None))]);
    check_transaction(&memory, &foreign).unwrap();
    foreign.member = NodeKey::from_bytes(&[2; 32]).member();
    let Err(Checked::Refused(refusal)) = check_transaction(&memory, &foreign) else {
        panic!("taken");
    };
    assert_eq!(refusal.sqlstate(), "XX000");
    assert!(refusal.to_string().contains("member"), "{refusal}");
}

#[test]
fn privileges() {
    use crate::catalog::{Grant, Grants, Privilege, Role};
    let mut memory = filled();
    let reader = Role {
        name: "ann".to_owned(),
        login: true,
        superuser: false,
        create_role: false,
        create_db: false,
        inherit: true,
        verifier: None,
        member_of: Vec::new(),
    };
    let item = Grant {
        grantee: Some(Oid(16700)),
        grantor: Oid::FIRST_ROLE,
        privileges: Privilege::Insert.bit(),
        grantable: 0,
    };
    let setup = transaction(vec![
        define(Oid(16700), Object::Role(reader)),
        define(Oid(16701), Object::Grants(Grants { on: PARENT, items: vec![item] })),
    ]);
    check_transaction(&memory, &setup).unwrap();
    memory.apply(3, &setup);
    let as_ann = |operations| {
        let transaction = Transaction { user: "ann".to_owned(), ..transaction(operations) };
        check_transaction(&memory, &transaction).map_err(|checked| match checked {
            Checked::Refused(refusal) => refusal.sqlstate(),
            Checked::Fault(never) => match never {},
        })
    };
    assert_eq!(as_ann(vec![insert(PARENT, parent_row(5, None))]), Ok(()));
    assert_eq!(as_ann(vec![insert(CHILD, child_row(5, None))]), Err("42501"));
    let gone = Operation::Delete { table: PARENT, previous: at(2, 1) };
    assert_eq!(as_ann(vec![gone]), Err("42501"));
    let own = Table { owner: Oid(16700), ..table(Oid(16800), "mine", Vec::new()) };
    assert_eq!(as_ann(vec![define(Oid(16800), Object::Table(own))]), Err("42501"));
    let stranger = Transaction { user: "nobody".to_owned(), ..transaction(Vec::new()) };
    assert!(check_transaction(&memory, &stranger).is_err());
}

#[test]
fn a_batch_sees_its_own_and_a_refused_one_leaves_nothing() {
    let memory = filled();
    let mut batch = Staged::new(&memory);
    let mut admit = |index, operations| {
        batch.admit(Height(3), index, &Arc::new(transaction(operations))).is_ok()
    };
    assert!(admit(0, vec![insert(PARENT, parent_row(3, None))]));
    assert!(!admit(
        1,
        vec![insert(PARENT, parent_row(4, None)), insert(PARENT, parent_row(3, None))]
    ));
    assert!(admit(1, vec![insert(PARENT, parent_row(4, None))]));
    assert!(admit(2, vec![insert(CHILD, child_row(11, Some(4)))]));
    let staged = VersionId { height: Height(3), transaction: 1, operation: 0 };
    assert!(!admit(3, vec![Operation::Delete { table: PARENT, previous: staged }]));
    assert!(admit(3, vec![Operation::Delete { table: PARENT, previous: at(2, 1) }]));
    assert!(!admit(4, vec![Operation::Delete { table: PARENT, previous: at(2, 1) }]));
    assert!(admit(4, vec![insert(PARENT, parent_row(2, None))]));
}

#[test]
fn no_transaction_defines_what_is_temporary() {
    let memory = filled();
    let schema =
        crate::catalog::Schema { name: "own".to_owned(), owner: Oid::FIRST_ROLE, comment: None };
    let object = Box::new(Object::Schema(schema));
    let define = Operation::Define { oid: Oid::FIRST_TEMPORARY, object };
    assert_eq!(
        refused(&memory, vec![define]),
        Refusal::malformed("a temporary object in a transaction")
    );
}
