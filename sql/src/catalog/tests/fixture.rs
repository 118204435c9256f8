//! Schema `app` with a parent and a child table, a view, a sequence, indexes, comments, a role with a grant.

use ledger::catalog::{Database, Grant, Grants, Index, IndexOrigin, Role, Schema, Sequence, View};
use ledger::rule::{Comparison, Volatile};
use ledger::table::{Action, Check, ColumnDefault, ForeignKey, Identity, Mode};
use ledger::text::Utc;
use ledger::{Catalog, Column, ColumnNumber, Object, Oid, Rule, Table, Type, Value};

use crate::Error;
use crate::catalog::facts::{Facts, SettingRow, Surroundings};

pub(super) const PARENT: u32 = 16_400;
pub(super) const CHILD: u32 = 16_420;
pub(super) const VIEW: u32 = 16_440;
pub(super) const SEQUENCE: u32 = 16_445;

fn column(number: u16, name: &str, kind: Type) -> Column {
    Column {
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
    }
}

fn default(rule: Rule, text: &str) -> Option<ColumnDefault> {
    Some(ColumnDefault { rule, text: text.to_owned() })
}

fn parent() -> Table {
    let n = ColumnNumber;
    let zero = Rule::Literal(Value::Int4(0), Type::Int4);
    Table {
        schema: Oid(16_384),
        name: "parent".to_owned(),
        owner: Oid(10),
        columns: vec![
            Column {
                not_null: true,
                default: default(
                    Rule::Volatile(Volatile::NextValue(Oid(16_410))),
                    "nextval('app.parent_id_seq'::regclass)",
                ),
                ..column(1, "id", Type::Int4)
            },
            Column {
                not_null: true,
                comment: Some("its code".to_owned()),
                ..column(2, "code", Type::Varchar(5))
            },
            Column {
                default: default(zero.clone(), "0"),
                ..column(3, "amount", Type::Numeric { precision: 12, scale: 2 })
            },
            column(4, "note", Type::Text),
            Column {
                default: default(Rule::Volatile(Volatile::Now), "now()"),
                ..column(5, "created", Type::Timestamptz)
            },
            column(6, "tags", Type::Array(Box::new(Type::Text))),
            column(7, "u", Type::Uuid),
            column(8, "j", Type::Jsonb),
        ],
        mode: Mode::Updatable,
        retain_days: None,
        checks: vec![Check {
            oid: Oid(16_411),
            name: "parent_amount_check".to_owned(),
            rule: Rule::Compare(
                Comparison::GreaterOrEqual,
                Box::new(Rule::Column(n(3))),
                Box::new(zero),
            ),
            text: "amount >= 0".to_owned(),
        }],
        foreign_keys: Vec::new(),
        comment: Some("the parent".to_owned()),
        row_type: Oid(16_401),
        row_array_type: Oid(16_402),
    }
}

fn child() -> Table {
    let n = ColumnNumber;
    Table {
        schema: Oid(16_384),
        name: "child".to_owned(),
        owner: Oid(10),
        columns: vec![
            Column {
                not_null: true,
                identity: Some(Identity { sequence: Oid(16_423), always: true }),
                ..column(1, "id", Type::Int8)
            },
            column(2, "parent_id", Type::Int4),
            Column { not_null: true, ..column(3, "d", Type::Date) },
            Column { dropped: true, ..column(4, "gone", Type::Text) },
        ],
        mode: Mode::AppendOnly,
        retain_days: None,
        checks: Vec::new(),
        foreign_keys: vec![ForeignKey {
            oid: Oid(16_428),
            name: "child_parent_id_fkey".to_owned(),
            columns: vec![n(2)],
            parent: Oid(PARENT),
            parent_columns: vec![n(1)],
            parent_index: Oid(16_403),
            index: Oid(16_429),
            on_delete: Action::Cascade,
            on_update: Action::NoAction,
        }],
        comment: None,
        row_type: Oid(16_421),
        row_array_type: Oid(16_422),
    }
}

fn index(table: u32, name: &str, columns: &[u16], unique: bool, origin: IndexOrigin) -> Object {
    Object::Index(Index {
        schema: Oid(16_384),
        name: name.to_owned(),
        table: Oid(table),
        columns: columns.iter().map(|column| ColumnNumber(*column)).collect(),
        unique,
        origin,
        comment: None,
    })
}

fn sequence(name: &str, kind: Type, owned_by: Option<(u32, u16)>, increment: i64) -> Object {
    Object::Sequence(Sequence {
        schema: Oid(16_384),
        name: name.to_owned(),
        owner: Oid(10),
        kind,
        start: 1,
        increment,
        min: 1,
        max: i64::from(i32::MAX),
        cycle: false,
        cache: 1,
        owned_by: owned_by.map(|(table, column)| (Oid(table), ColumnNumber(column))),
        next: Some(1),
        epoch: 0,
    })
}

fn role(name: &str, superuser: bool) -> Object {
    Object::Role(Role {
        name: name.to_owned(),
        login: true,
        superuser,
        create_role: superuser,
        create_db: superuser,
        inherit: true,
        verifier: None,
        member_of: Vec::new(),
    })
}

fn catalog() -> Catalog {
    let schema = |name: &str| {
        Object::Schema(Schema { name: name.to_owned(), owner: Oid(10), comment: None })
    };
    let mut catalog = Catalog::default();
    let objects = [
        (10, role("stele", true)),
        (5, Object::Database(Database { name: "stele".to_owned(), owner: Oid(10) })),
        (2200, schema("public")),
        (13_000, schema("ledger")),
        (16_384, schema("app")),
        (16_385, role("alice", false)),
        (PARENT, Object::Table(parent())),
        (16_403, index(PARENT, "parent_pkey", &[1], true, IndexOrigin::PrimaryKey(Oid(16_405)))),
        (16_406, index(PARENT, "parent_code_key", &[2], true, IndexOrigin::Unique(Oid(16_407)))),
        (16_410, sequence("parent_id_seq", Type::Int4, Some((PARENT, 1)), 1)),
        (CHILD, Object::Table(child())),
        (16_423, sequence("child_id_seq", Type::Int8, Some((CHILD, 1)), 1)),
        (16_424, index(CHILD, "child_pkey", &[1], true, IndexOrigin::PrimaryKey(Oid(16_425)))),
        (16_426, index(CHILD, "child_uq", &[2, 3], true, IndexOrigin::Unique(Oid(16_430)))),
        (16_427, index(CHILD, "child_d", &[3], false, IndexOrigin::Plain)),
        (16_429, index(CHILD, "child_parent_id_fkey_index", &[2], false, IndexOrigin::ForeignKey)),
        (
            VIEW,
            Object::View(View {
                schema: Oid(16_384),
                name: "v".to_owned(),
                owner: Oid(10),
                query: "SELECT id, code FROM app.parent".to_owned(),
                columns: vec![("id".to_owned(), Type::Int4), ("code".to_owned(), Type::Varchar(5))],
                depends_on: vec![Oid(PARENT)],
                row_type: Oid(16_441),
                row_array_type: Oid(16_442),
                comment: None,
            }),
        ),
        (SEQUENCE, sequence("s", Type::Int8, None, 5)),
        (
            16_450,
            Object::Grants(Grants {
                on: Oid(PARENT),
                items: vec![Grant {
                    grantee: Some(Oid(16_385)),
                    grantor: Oid(10),
                    privileges: 1,
                    grantable: 0,
                }],
            }),
        ),
    ];
    for (oid, object) in objects {
        catalog.put(Oid(oid), object).unwrap_or_else(|refusal| panic!("{oid}: {refusal}"));
    }
    catalog
}

struct Node;

impl Surroundings for Node {
    fn setting(&self, name: &str) -> Option<String> {
        match name {
            "server_version" => Some("15.8 (Stele 0.1.0)".to_owned()),
            "default_table_access_method" => Some("ledger".to_owned()),
            _ => None,
        }
    }

    fn set(&self, _name: &str, value: &str, _local: bool) -> Result<String, Error> {
        Ok(value.to_owned())
    }

    fn settings(&self) -> Vec<SettingRow> {
        vec![SettingRow {
            name: "max_index_keys".to_owned(),
            setting: "32".to_owned(),
            unit: None,
            kind: "integer",
            context: "internal",
            description: "Columns of an index.".to_owned(),
            reset: "32".to_owned(),
        }]
    }

    fn pid(&self) -> i32 {
        7
    }

    fn rows(&self, _table: Oid) -> u64 {
        3
    }

    fn bytes(&self, _relation: Oid) -> Option<u64> {
        Some(20_000)
    }

    fn database_bytes(&self) -> Option<u64> {
        Some(100_000)
    }

    fn started_us(&self) -> Option<i64> {
        Some(0)
    }
}

/// Runs with a session of the superuser, whose search path is app, public.
pub(super) fn with_facts<T>(test: impl FnOnce(&Facts<'_>) -> T) -> T {
    with_user("stele", test)
}

/// The same as another user.
pub(super) fn with_user<T>(user: &str, test: impl FnOnce(&Facts<'_>) -> T) -> T {
    let catalog = catalog();
    let search_path = ["app".to_owned(), "public".to_owned()];
    test(&Facts {
        catalog: &catalog,
        search_path: &search_path,
        user,
        session_user: user,
        database: "stele",
        now_us: 0,
        zone: &Utc,
        surroundings: Some(&Node),
    })
}
