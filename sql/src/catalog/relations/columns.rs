//! `pg_attribute` and `pg_attrdef`: columns and their defaults.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::catalog::IndexOrigin;
use ledger::rule::Volatile;
use ledger::table::ColumnDefault;
use ledger::{Column, ColumnNumber, Object, Rule, Table, Type};

use super::{Relation, Row, count, fill, int, text};
use crate::catalog::facts::Facts;
use crate::catalog::functions::reg_text;
use crate::catalog::relations;
use crate::catalog::static_rows;
use crate::catalog::text::quote_literal;
use crate::functions::Datum;
use crate::types::{PgType, Reg};

const NAMES: [&str; 18] = [
    "attrelid",
    "attname",
    "atttypid",
    "attstattarget",
    "attlen",
    "attnum",
    "attndims",
    "attcacheoff",
    "atttypmod",
    "attbyval",
    "attalign",
    "attstorage",
    "attnotnull",
    "atthasdef",
    "attidentity",
    "attisdropped",
    "attislocal",
    "attcollation",
];

/// The system columns that Stele's tables have, with their numbers: negative, so that clients leave them out.
const SYSTEM: [(&str, PgType, i32); 5] = [
    ("ledger_block", PgType::Int8, -8),
    ("ledger_tx", PgType::Uuid, -9),
    ("ledger_time", PgType::Timestamptz, -10),
    ("ledger_user", PgType::Text, -11),
    ("ledger_version", PgType::Uuid, -12),
];

/// What a column has from its type.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    len: Datum,
    by_value: Datum,
    align: Datum,
    storage: Datum,
    pub(super) collation: Datum,
}

static STORAGE: LazyLock<BTreeMap<i64, Storage>> = LazyLock::new(|| {
    let Some(types) = relations::find("pg_catalog", "pg_type") else { return BTreeMap::new() };
    let place = |name: &str| types.columns.iter().position(|column| column.name == name);
    let places = ["oid", "typlen", "typbyval", "typalign", "typstorage", "typcollation"].map(place);
    static_rows::rows(types)
        .into_iter()
        .map(|row| {
            let [oid, len, by_value, align, storage, collation] =
                places.map(|place| place.and_then(|p| row.get(p).cloned()).unwrap_or(Datum::Null));
            (oid.int(), Storage { len, by_value, align, storage, collation })
        })
        .collect()
});

/// What a column of this type has from it.
pub(super) fn storage_of(type_oid: u32) -> Storage {
    STORAGE.get(&i64::from(type_oid)).cloned().unwrap_or_else(|| Storage {
        len: Datum::Int(0),
        by_value: Datum::Bool(false),
        align: text("i"),
        storage: text("p"),
        collation: int(0),
    })
}

/// One row, as far as columns differ.
struct Attribute<'a> {
    relation: u32,
    name: &'a str,
    kind: &'a PgType,
    number: i32,
    not_null: bool,
    has_default: bool,
    identity: &'static str,
    dropped: bool,
}

impl Attribute<'_> {
    fn row(&self) -> Vec<Datum> {
        let oid = if self.dropped { 0 } else { self.kind.oid() };
        let storage = storage_of(oid);
        vec![
            int(self.relation),
            text(self.name),
            int(oid),
            Datum::Int(-1),
            storage.len,
            int(self.number),
            int(i32::from(matches!(self.kind, PgType::Array(_)))),
            Datum::Int(-1),
            int(self.kind.typmod()),
            storage.by_value,
            storage.align,
            storage.storage,
            Datum::Bool(self.not_null),
            Datum::Bool(self.has_default),
            text(self.identity),
            Datum::Bool(self.dropped),
            Datum::Bool(true),
            storage.collation,
        ]
    }
}

static CATALOG_COLUMNS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let Some(attributes) = relations::find("pg_catalog", "pg_attribute") else { return Vec::new() };
    let rows = relations::all().flat_map(|relation| {
        relation.columns.iter().zip(1..).map(|(column, number)| {
            Attribute {
                relation: relation.oid,
                name: column.name,
                kind: &column.kind,
                number,
                not_null: column.not_null,
                has_default: false,
                identity: "",
                dropped: false,
            }
            .row()
        })
    });
    fill(attributes, &NAMES, rows)
});

pub(super) fn pg_attribute(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (oid, object) in facts.objects() {
        match object {
            Object::Table(table) => {
                rows.extend(
                    SYSTEM
                        .iter()
                        .map(|(name, kind, number)| plain(oid, name, kind, *number, true).row()),
                );
                rows.extend(table.columns.iter().map(|column| table_column(oid, column)));
            }
            Object::Index(index) if index.origin != IndexOrigin::ForeignKey => {
                let Some(Object::Table(table)) = facts.object(index.table.0) else { continue };
                for (column, number) in index.columns.iter().zip(1..) {
                    if let Some(column) = column_of(table, *column) {
                        let kind = PgType::of(&column.kind);
                        rows.push(plain(oid, &column.name, &kind, number, false).row());
                    }
                }
            }
            Object::View(view) => {
                for ((name, kind), number) in view.columns.iter().zip(1..) {
                    rows.push(plain(oid, name, &PgType::of(kind), number, false).row());
                }
            }
            Object::Sequence(_) => {
                let columns = [
                    ("last_value", Type::Int8),
                    ("log_cnt", Type::Int8),
                    ("is_called", Type::Bool),
                ];
                for ((name, kind), number) in columns.iter().zip(1..) {
                    rows.push(plain(oid, name, &PgType::of(kind), number, true).row());
                }
            }
            _ => {}
        }
    }
    let mut all = CATALOG_COLUMNS.clone();
    all.extend(fill(relation, &NAMES, rows));
    all
}

fn plain<'a>(
    relation: u32,
    name: &'a str,
    kind: &'a PgType,
    number: i32,
    not_null: bool,
) -> Attribute<'a> {
    Attribute {
        relation,
        name,
        kind,
        number,
        not_null,
        has_default: false,
        identity: "",
        dropped: false,
    }
}

fn table_column(table: u32, column: &Column) -> Vec<Datum> {
    let kind = PgType::of(&column.kind);
    let number = i32::from(column.number.0);
    if column.dropped {
        let name = format!("........pg.dropped.{number}........");
        return Attribute { dropped: true, ..plain(table, &name, &kind, number, false) }.row();
    }
    Attribute {
        has_default: column.default.is_some(),
        identity: match column.identity {
            Some(identity) if identity.always => "a",
            Some(_) => "d",
            None => "",
        },
        ..plain(table, &column.name, &kind, number, column.not_null)
    }
    .row()
}

/// A table's column by its number.
pub(crate) fn column_of(table: &Table, number: ColumnNumber) -> Option<&Column> {
    table.columns.get(usize::from(number.0).checked_sub(1)?)
}

/// The number of a column's default. The ledger gives it none, so it is made of the table's and the column's,
/// above all that the ledger gives.
pub(super) fn default_oid(table: u32, column: ColumnNumber) -> u32 {
    const FIRST: u32 = 0x8000_0000;
    const COLUMNS: u32 = 1600;
    FIRST | (table.wrapping_mul(COLUMNS).wrapping_add(u32::from(column.0)) & (FIRST - 1))
}

pub(super) fn pg_attrdef(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (oid, object) in facts.objects() {
        let Object::Table(table) = object else { continue };
        for column in table.columns.iter().filter(|column| !column.dropped) {
            if let Some(default) = &column.default {
                rows.push(vec![
                    int(default_oid(oid, column.number)),
                    int(oid),
                    int(column.number.0),
                    text(default_text(facts, default)),
                ]);
            }
        }
    }
    fill(relation, &["oid", "adrelid", "adnum", "adbin"], rows)
}

/// A default as SQL. A sequence's name is the one that it has now, with its schema if it isn't found without.
fn default_text(facts: &Facts<'_>, default: &ColumnDefault) -> String {
    match &default.rule {
        Rule::Volatile(Volatile::NextValue(sequence)) => {
            let name = reg_text(facts, Reg::Class, sequence.0);
            format!("nextval({}::regclass)", quote_literal(&name))
        }
        _ => default.text.clone(),
    }
}

/// Column numbers as an array.
pub(super) fn numbers(columns: &[ColumnNumber]) -> Datum {
    Datum::Array(columns.iter().map(|column| int(column.0)).collect())
}

/// As many of the same.
pub(super) fn repeated(value: &Datum, times: usize) -> Datum {
    Datum::Array(vec![value.clone(); times])
}

/// How many columns.
pub(super) fn length(columns: &[ColumnNumber]) -> Datum {
    count(columns.len())
}
