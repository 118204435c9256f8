//! `pg_class`, `pg_type`, `pg_sequence`, `pg_rewrite`: what relations there are.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::catalog::IndexOrigin;
use ledger::table::Mode;
use ledger::{Object, Oid, Table};

use super::{Relation, Row, count, fill, int, text};
use crate::catalog::facts::{BOOTSTRAP_ROLE, Facts};
use crate::catalog::privileges::{self, Target};
use crate::catalog::relations;
use crate::catalog::static_rows;
use crate::functions::Datum;

/// The access method of tables (`pg_am`): a number that PostgreSQL's releases leave free.
pub(crate) const LEDGER_AM: u32 = 8_801;
/// The access method of indexes, PostgreSQL's own number.
const BTREE_AM: u32 = 403;
const PAGE: u64 = 8192;

const NAMES: [&str; 21] = [
    "oid",
    "relname",
    "relnamespace",
    "reltype",
    "relowner",
    "relam",
    "relfilenode",
    "relpages",
    "reltuples",
    "relhasindex",
    "relpersistence",
    "relkind",
    "relnatts",
    "relchecks",
    "relhasrules",
    "relispopulated",
    "relreplident",
    "relacl",
    "reloptions",
    "relfrozenxid",
    "relhastriggers",
];

/// One row of `pg_class`, as far as relations differ.
struct Class<'a> {
    oid: u32,
    name: &'a str,
    schema: u32,
    row_type: u32,
    owner: u32,
    method: u32,
    pages: i64,
    tuples: f64,
    has_index: bool,
    /// Foreign keys from it or to it are kept by triggers in PostgreSQL: clients look here for them.
    has_triggers: bool,
    kind: &'a str,
    columns: usize,
    checks: usize,
    acl: Datum,
    options: Datum,
}

impl Class<'_> {
    fn row(self) -> Vec<Datum> {
        let stored = matches!(self.kind, "r" | "i" | "S");
        vec![
            int(self.oid),
            text(self.name),
            int(self.schema),
            int(self.row_type),
            int(self.owner),
            int(self.method),
            int(if stored { self.oid } else { 0 }),
            Datum::Int(self.pages),
            Datum::Float(self.tuples),
            Datum::Bool(self.has_index),
            text(if Oid(self.oid).is_temporary() { "t" } else { "p" }),
            text(self.kind),
            count(self.columns),
            count(self.checks),
            Datum::Bool(self.kind == "v"),
            Datum::Bool(true),
            text(if self.kind == "r" { "d" } else { "n" }),
            self.acl,
            self.options,
            int(0),
            Datum::Bool(self.has_triggers),
        ]
    }
}

/// The row types of the catalogs' relations.
static ROW_TYPES: LazyLock<BTreeMap<u32, u32>> = LazyLock::new(|| {
    let Some(types) = relations::find("pg_catalog", "pg_type") else { return BTreeMap::new() };
    let place = |name: &str| types.columns.iter().position(|column| column.name == name);
    let (Some(oid), Some(relation)) = (place("oid"), place("typrelid")) else {
        return BTreeMap::new();
    };
    let number = |row: &Row, place: usize| {
        row.get(place).and_then(|value| u32::try_from(value.int()).ok()).filter(|oid| *oid != 0)
    };
    static_rows::rows(types)
        .iter()
        .filter_map(|row| Some((number(row, relation)?, number(row, oid)?)))
        .collect()
});

static CATALOG_CLASSES: LazyLock<Vec<Vec<Datum>>> = LazyLock::new(|| {
    relations::all()
        .map(|relation| {
            Class {
                oid: relation.oid,
                name: relation.name,
                schema: relation.schema_oid,
                row_type: ROW_TYPES.get(&relation.oid).copied().unwrap_or(0),
                owner: BOOTSTRAP_ROLE,
                method: 0,
                pages: 0,
                tuples: -1.0,
                has_index: false,
                has_triggers: false,
                kind: relation.kind,
                columns: relation.columns.len(),
                checks: 0,
                acl: Datum::Array(vec![text("=r/stele")]),
                options: Datum::Null,
            }
            .row()
        })
        .collect()
});

pub(super) fn pg_class(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut rows = CATALOG_CLASSES.clone();
    for (oid, object) in facts.objects() {
        rows.extend(class_of(oid, object, facts).map(Class::row));
    }
    fill(relation, &NAMES, rows)
}

fn class_of<'a>(oid: u32, object: &'a Object, facts: &Facts<'_>) -> Option<Class<'a>> {
    let plain = |name, schema: Oid, owner: Oid, kind| Class {
        oid,
        name,
        schema: schema.0,
        row_type: 0,
        owner: owner.0,
        method: 0,
        pages: 0,
        tuples: 0.0,
        has_index: false,
        has_triggers: false,
        kind,
        columns: 0,
        checks: 0,
        acl: privileges::acl_of(facts, oid, Target::Table, owner.0),
        options: Datum::Null,
    };
    Some(match object {
        Object::Table(table) => Class {
            row_type: table.row_type.0,
            method: LEDGER_AM,
            pages: pages(facts, oid),
            tuples: tuples(facts, oid),
            has_index: facts.objects().any(|(_, other)| {
                matches!(other, Object::Index(index)
                    if index.table.0 == oid && index.origin != IndexOrigin::ForeignKey)
            }),
            has_triggers: !table.foreign_keys.is_empty()
                || facts.catalog.foreign_keys_to(Oid(oid)).next().is_some(),
            columns: table.columns.len(),
            checks: table.checks.len(),
            options: options(table),
            ..plain(&table.name, table.schema, table.owner, "r")
        },
        Object::Index(index) if index.origin != IndexOrigin::ForeignKey => Class {
            method: BTREE_AM,
            pages: pages(facts, oid),
            tuples: tuples(facts, index.table.0),
            columns: index.columns.len(),
            acl: Datum::Null,
            ..plain(&index.name, index.schema, owner_of_table(facts, index.table), "i")
        },
        Object::View(view) => Class {
            row_type: view.row_type.0,
            tuples: -1.0,
            columns: view.columns.len(),
            ..plain(&view.name, view.schema, view.owner, "v")
        },
        Object::Sequence(sequence) => Class {
            pages: 1,
            tuples: 1.0,
            columns: 3,
            acl: privileges::acl_of(facts, oid, Target::Sequence, sequence.owner.0),
            ..plain(&sequence.name, sequence.schema, sequence.owner, "S")
        },
        _ => return None,
    })
}

/// The owner of a table; an index has no other.
pub(super) fn owner_of_table(facts: &Facts<'_>, table: Oid) -> Oid {
    match facts.object(table.0) {
        Some(Object::Table(table)) => table.owner,
        _ => Oid(BOOTSTRAP_ROLE),
    }
}

fn pages(facts: &Facts<'_>, oid: u32) -> i64 {
    let bytes = facts.surroundings.and_then(|node| node.bytes(Oid(oid))).unwrap_or(0);
    i64::from(i32::try_from(bytes.div_ceil(PAGE)).unwrap_or(i32::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "reltuples is a real, an estimate")]
fn tuples(facts: &Facts<'_>, table: u32) -> f64 {
    facts.surroundings.map_or(-1.0, |node| node.rows(Oid(table)) as f64)
}

/// `WITH (…)`, as far as it isn't the default.
fn options(table: &Table) -> Datum {
    let mut options = Vec::new();
    if table.mode == Mode::AppendOnly {
        options.push(text("mode=append_only"));
    }
    if let Some(days) = table.retain_days {
        options.push(text(format!("retain={days} days")));
    }
    let redactable: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| column.redactable && !column.dropped)
        .map(|column| column.name.as_str())
        .collect();
    if !redactable.is_empty() {
        options.push(text(format!("redactable={}", redactable.join(","))));
    }
    if options.is_empty() { Datum::Null } else { Datum::Array(options) }
}

/// Row types of tables and views, with their arrays.
pub(super) fn pg_type(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 19] = [
        "oid",
        "typname",
        "typnamespace",
        "typowner",
        "typlen",
        "typbyval",
        "typtype",
        "typcategory",
        "typisdefined",
        "typdelim",
        "typrelid",
        "typelem",
        "typarray",
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typalign",
        "typstorage",
    ];
    // PostgreSQL's numbers of record_in, array_in and their kin.
    const RECORD: [u32; 4] = [2290, 2291, 2402, 2403];
    const ARRAY: [u32; 4] = [750, 751, 2400, 2401];
    let row =
        |oid: Oid, name: String, schema: Oid, owner: Oid, of: u32, element: u32, array: u32| {
            let (kind, category, functions) =
                if element == 0 { ("c", "C", RECORD) } else { ("b", "A", ARRAY) };
            let mut row = vec![
                int(oid.0),
                text(name),
                int(schema.0),
                int(owner.0),
                Datum::Int(-1),
                Datum::Bool(false),
                text(kind),
                text(category),
                Datum::Bool(true),
                text(","),
                int(of),
                int(element),
                int(array),
            ];
            row.extend(functions.map(int));
            row.extend([text("d"), text("x")]);
            row
        };
    let mut rows = Vec::new();
    for (oid, object) in facts.objects() {
        let (name, schema, owner, kind, array) = match object {
            Object::Table(t) => (&t.name, t.schema, t.owner, t.row_type, t.row_array_type),
            Object::View(v) => (&v.name, v.schema, v.owner, v.row_type, v.row_array_type),
            _ => continue,
        };
        rows.push(row(kind, name.clone(), schema, owner, oid, 0, array.0));
        rows.push(row(array, format!("_{name}"), schema, owner, 0, kind.0, 0));
    }
    let mut rows = fill(relation, &NAMES, rows);
    if let Some(place) = relation.columns.iter().position(|column| column.name == "typtypmod") {
        for row in &mut rows {
            row[place] = Datum::Int(-1);
        }
    }
    rows
}

pub(super) fn pg_sequence(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 8] = [
        "seqrelid",
        "seqtypid",
        "seqstart",
        "seqincrement",
        "seqmax",
        "seqmin",
        "seqcache",
        "seqcycle",
    ];
    let rows = facts.objects().filter_map(|(oid, object)| match object {
        Object::Sequence(s) => Some(vec![
            int(oid),
            int(crate::types::PgType::of(&s.kind).oid()),
            Datum::Int(s.start),
            Datum::Int(s.increment),
            Datum::Int(s.max),
            Datum::Int(s.min),
            Datum::Int(s.cache),
            Datum::Bool(s.cycle),
        ]),
        _ => None,
    });
    fill(relation, &NAMES, rows)
}

/// A view's rule. It has the view's own number: nothing else is a rule.
pub(super) fn pg_rewrite(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 6] = ["oid", "rulename", "ev_class", "ev_type", "ev_enabled", "is_instead"];
    let rows =
        facts.objects().filter(|(_, object)| matches!(object, Object::View(_))).map(|(oid, _)| {
            vec![int(oid), text("_RETURN"), int(oid), text("1"), text("O"), Datum::Bool(true)]
        });
    fill(relation, &NAMES, rows)
}
