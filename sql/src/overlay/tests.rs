//! A transaction's own rows: what it becomes in the chain is its net effect, and a copy is a savepoint.

use ledger::Type;
use ledger::table::Mode;
use storage::Solo;

use super::*;

const TABLE: Oid = Oid(20_000);

fn table() -> Table {
    let column = |number, name: &str, kind| ledger::Column {
        number: ColumnNumber(number),
        name: name.to_owned(),
        kind,
        not_null: false,
        default: None,
        identity: None,
        redactable: false,
        missing: Value::Null,
        dropped: false,
        comment: None,
    };
    Table {
        schema: Oid::PUBLIC_SCHEMA,
        name: "t".to_owned(),
        owner: Oid::FIRST_ROLE,
        columns: vec![column(1, "id", Type::Int4), column(2, "v", Type::Text)],
        mode: Mode::Updatable,
        retain_days: None,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: None,
        row_type: Oid(20_001),
        row_array_type: Oid(20_002),
    }
}

fn values(id: i32, v: &str) -> Vec<Value> {
    vec![Value::Int4(id), Value::Text(v.to_owned())]
}

fn row(values: &[Value]) -> Row {
    Row::encode(&table(), values, || [0; 16]).unwrap()
}

/// A version of an earlier block.
fn earlier(operation: u32) -> VersionId {
    VersionId { height: Height(3), transaction: 0, operation }
}

struct Fixture {
    overlay: Overlay,
    catalog: Catalog,
}

impl Fixture {
    fn new() -> Self {
        let mut catalog = Catalog::default();
        catalog.put(TABLE, Object::Table(table())).unwrap();
        Self { overlay: Overlay::default(), catalog }
    }

    fn insert(&mut self, id: i32, v: &str) -> VersionId {
        let values = values(id, v);
        self.overlay.insert(&self.catalog, TABLE, &values, Arc::new(row(&values)))
    }

    fn update(&mut self, old: VersionId, from: (i32, &str), to: (i32, &str)) -> VersionId {
        let (before, after) = (values(from.0, from.1), values(to.0, to.1));
        self.overlay.update(&self.catalog, TABLE, old, &before, &after, Arc::new(row(&after)))
    }

    fn delete(&mut self, old: VersionId, id: i32, v: &str) {
        self.overlay.delete(&self.catalog, TABLE, old, &values(id, v));
    }
}

#[test]
fn only_the_net_effect_goes_into_the_chain() {
    let mut own = Fixture::new();
    // Inserted and changed: one insert of the last value.
    let first = own.insert(1, "a");
    own.update(first, (1, "a"), (1, "b"));
    // Inserted and deleted: nothing.
    let gone = own.insert(2, "x");
    own.delete(gone, 2, "x");
    // An earlier row changed twice: one update, of the version that was there.
    let once = own.update(earlier(0), (5, "e"), (5, "f"));
    own.update(once, (5, "f"), (5, "g"));
    // An earlier row changed, then deleted: one delete of it.
    let changed = own.update(earlier(1), (6, "h"), (6, "i"));
    own.delete(changed, 6, "i");
    let operations = own.overlay.clone().take_operations();
    let expected = [
        Operation::Delete { table: TABLE, previous: earlier(1) },
        Operation::Insert { table: TABLE, row: row(&values(1, "b")) },
        Operation::Update { table: TABLE, previous: earlier(0), row: row(&values(5, "g")) },
    ];
    assert_eq!(operations, expected);
    assert_eq!(own.overlay.tables().collect::<Vec<_>>(), [TABLE]);
    assert!(own.overlay.ends(TABLE, earlier(0)) && own.overlay.ends(TABLE, earlier(1)));
    assert!(!own.overlay.ends(TABLE, earlier(2)));
}

#[test]
fn a_copy_is_a_savepoint() {
    let mut own = Fixture::new();
    let kept = own.insert(1, "a");
    let savepoint = own.overlay.clone();
    let bytes = own.overlay.bytes();
    own.update(kept, (1, "a"), (1, "changed"));
    own.insert(2, "b");
    own.delete(earlier(0), 9, "z");
    assert_ne!(own.overlay.clone().take_operations(), savepoint.clone().take_operations());
    own.overlay = savepoint;
    assert_eq!(
        own.overlay.clone().take_operations(),
        [Operation::Insert { table: TABLE, row: row(&values(1, "a")) }]
    );
    assert_eq!(own.overlay.bytes(), bytes);
    assert!(!own.overlay.ends(TABLE, earlier(0)));
}

#[test]
fn what_leaves_nothing_behind_is_empty() {
    let mut own = Fixture::new();
    assert!(own.overlay.is_empty());
    let row = own.insert(1, "a");
    assert!(!own.overlay.is_empty() && own.overlay.bytes() > 0);
    own.delete(row, 1, "a");
    assert!(own.overlay.is_empty());
    assert_eq!((own.overlay.bytes(), own.overlay.len()), (0, 0));
    assert!(!own.overlay.touches(TABLE));
}

#[tokio::test]
async fn definitions_are_seen_by_the_transaction_alone() {
    let (state, _) = Solo::new();
    let snapshot = state.snapshot();
    let mut overlay = Overlay::default();
    let object = Box::new(Object::Table(table()));
    overlay.define(&snapshot, Operation::Define { oid: TABLE, object }).unwrap();
    assert!(overlay.catalog().is_some_and(|catalog| catalog.table(TABLE).is_some()));
    assert!(snapshot.catalog().table(TABLE).is_none());
    let sight = Sight { snapshot: &snapshot, overlay: &overlay };
    assert!(sight.table(TABLE).is_ok());
    let renamed = Object::Table(Table { name: "u".to_owned(), ..table() });
    overlay.redefine(TABLE, renamed).unwrap();
    assert_eq!(overlay.clone().take_operations().len(), 1, "the last definition was replaced");
    assert!(overlay.redefine(Oid(30_000), Object::Table(table())).is_err());
}
