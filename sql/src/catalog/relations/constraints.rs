//! `pg_index`, `pg_constraint`, `pg_depend`: what binds columns together.

use std::collections::BTreeSet;

use ledger::catalog::{Index, IndexOrigin};
use ledger::rule::Volatile;
use ledger::table::{Action, Check, ForeignKey};
use ledger::{ColumnNumber, Object, Rule, Table};

use super::columns::{column_of, default_oid, length, numbers, repeated, storage_of};
use super::{Relation, Row, fill, int, text};
use crate::catalog::facts::Facts;
use crate::catalog::static_rows;
use crate::functions::Datum;
use crate::types::PgType;

pub(super) fn pg_index(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 14] = [
        "indexrelid",
        "indrelid",
        "indnatts",
        "indnkeyatts",
        "indisunique",
        "indisprimary",
        "indimmediate",
        "indisvalid",
        "indisready",
        "indislive",
        "indkey",
        "indcollation",
        "indclass",
        "indoption",
    ];
    let rows = facts.objects().filter_map(|(oid, object)| {
        let Object::Index(index) = object else { return None };
        if index.origin == IndexOrigin::ForeignKey {
            return None;
        }
        let types = key_types(facts, index);
        Some(vec![
            int(oid),
            int(index.table.0),
            length(&index.columns),
            length(&index.columns),
            Datum::Bool(index.unique),
            Datum::Bool(matches!(index.origin, IndexOrigin::PrimaryKey(_))),
            Datum::Bool(true),
            Datum::Bool(true),
            Datum::Bool(true),
            Datum::Bool(true),
            numbers(&index.columns),
            Datum::Array(types.iter().map(|kind| storage_of(kind.oid()).collation).collect()),
            Datum::Array(types.iter().map(operator_class).collect()),
            repeated(&int(0), index.columns.len()),
        ])
    });
    fill(relation, &NAMES, rows)
}

fn key_types(facts: &Facts<'_>, index: &Index) -> Vec<PgType> {
    let Some(Object::Table(table)) = facts.object(index.table.0) else { return Vec::new() };
    index
        .columns
        .iter()
        .filter_map(|number| column_of(table, *number))
        .map(|column| PgType::of(&column.kind))
        .collect()
}

/// The operator class that orders a type in a B-tree.
fn operator_class(kind: &PgType) -> Datum {
    const TEXT: u32 = 25;
    const ANY_ARRAY: u32 = 2277;
    let input = match kind {
        PgType::Varchar(_) => TEXT,
        PgType::Array(_) => ANY_ARRAY,
        other => other.oid(),
    };
    let lines = static_rows::text_of("pg_opclass").unwrap_or_default();
    // oid, method, name, schema, owner, family, input type, default, key type
    static_rows::fields(lines)
        .find(|fields| {
            fields.get(6).and_then(|field| field.parse().ok()) == Some(input)
                && fields.get(7) == Some(&"t")
        })
        .and_then(|fields| fields.first()?.parse().ok())
        .map_or_else(|| int(0), Datum::Int)
}

const CONSTRAINT: [&str; 20] = [
    "oid",
    "conname",
    "connamespace",
    "contype",
    "convalidated",
    "conrelid",
    "conindid",
    "confrelid",
    "confupdtype",
    "confdeltype",
    "confmatchtype",
    "conislocal",
    "connoinherit",
    "conkey",
    "confkey",
    "conpfeqop",
    "conppeqop",
    "conffeqop",
    "conbin",
    "conparentid",
];

pub(super) fn pg_constraint(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (oid, object) in facts.objects() {
        match object {
            Object::Table(table) => {
                rows.extend(table.checks.iter().map(|check| check_row(oid, table, check)));
                rows.extend(table.foreign_keys.iter().map(|key| key_row(facts, oid, table, key)));
            }
            Object::Index(index) => rows.extend(unique_row(oid, index)),
            _ => {}
        }
    }
    fill(relation, &CONSTRAINT, rows)
}

/// What all constraints have; the rest is up to the kind.
fn constraint(
    oid: u32,
    name: &str,
    schema: u32,
    kind: &str,
    table: u32,
    columns: &[ColumnNumber],
) -> Vec<Datum> {
    vec![
        int(oid),
        text(name),
        int(schema),
        text(kind),
        Datum::Bool(true),
        int(table),
        int(0),
        int(0),
        text(" "),
        text(" "),
        text(" "),
        Datum::Bool(true),
        Datum::Bool(kind != "c"),
        numbers(columns),
        Datum::Null,
        Datum::Null,
        Datum::Null,
        Datum::Null,
        Datum::Null,
        int(0),
    ]
}

fn put(row: &mut [Datum], name: &str, value: Datum) {
    if let Some(cell) =
        CONSTRAINT.iter().position(|column| *column == name).and_then(|place| row.get_mut(place))
    {
        *cell = value;
    }
}

fn check_row(oid: u32, table: &Table, check: &Check) -> Vec<Datum> {
    let mut columns = BTreeSet::new();
    columns_in(&check.rule, &mut columns);
    let columns: Vec<ColumnNumber> = columns.into_iter().collect();
    let mut row = constraint(check.oid.0, &check.name, table.schema.0, "c", oid, &columns);
    put(&mut row, "conbin", text(check.text.clone()));
    row
}

fn key_row(facts: &Facts<'_>, oid: u32, table: &Table, key: &ForeignKey) -> Vec<Datum> {
    let mut row = constraint(key.oid.0, &key.name, table.schema.0, "f", oid, &key.columns);
    let action = |action: Action| {
        text(match action {
            Action::NoAction => "a",
            Action::Restrict => "r",
            Action::Cascade => "c",
            Action::SetNull => "n",
            Action::SetDefault => "d",
        })
    };
    put(&mut row, "conindid", int(key.parent_index.0));
    put(&mut row, "confrelid", int(key.parent.0));
    put(&mut row, "confupdtype", action(key.on_update));
    put(&mut row, "confdeltype", action(key.on_delete));
    put(&mut row, "confmatchtype", text("s"));
    put(&mut row, "confkey", numbers(&key.parent_columns));
    let parent = match facts.object(key.parent.0) {
        Some(Object::Table(parent)) => Some(parent),
        _ => None,
    };
    let equals: Vec<[Datum; 3]> = key
        .columns
        .iter()
        .zip(&key.parent_columns)
        .map(|(child, of)| {
            let child = column_of(table, *child).map(|column| PgType::of(&column.kind));
            let of = parent
                .and_then(|parent| column_of(parent, *of))
                .map(|column| PgType::of(&column.kind));
            let (Some(child), Some(of)) = (child, of) else { return [int(0), int(0), int(0)] };
            [equality(&of, &child), equality(&of, &of), equality(&child, &child)]
        })
        .collect();
    for (place, name) in ["conpfeqop", "conppeqop", "conffeqop"].into_iter().enumerate() {
        let operators = equals.iter().map(|row| row[place].clone()).collect();
        put(&mut row, name, Datum::Array(operators));
    }
    row
}

/// The number of the operator `=` between two types.
fn equality(left: &PgType, right: &PgType) -> Datum {
    let plain = |kind: &PgType| match kind {
        PgType::Varchar(_) => PgType::Text.oid(),
        PgType::Array(_) => PgType::AnyArray.oid(),
        other => other.oid(),
    };
    let (left, right) = (plain(left), plain(right));
    let lines = static_rows::text_of("pg_operator").unwrap_or_default();
    // oid, name, schema, owner, kind, can merge, can hash, left, right, …
    static_rows::fields(lines)
        .find(|fields| {
            fields.get(1) == Some(&"=")
                && fields.get(7).and_then(|field| field.parse().ok()) == Some(left)
                && fields.get(8).and_then(|field| field.parse().ok()) == Some(right)
        })
        .and_then(|fields| fields.first()?.parse().ok())
        .map_or_else(|| int(0), Datum::Int)
}

fn unique_row(oid: u32, index: &Index) -> Option<Vec<Datum>> {
    let (number, kind) = match index.origin {
        IndexOrigin::PrimaryKey(number) => (number, "p"),
        IndexOrigin::Unique(number) => (number, "u"),
        IndexOrigin::Plain | IndexOrigin::ForeignKey => return None,
    };
    let mut row =
        constraint(number.0, &index.name, index.schema.0, kind, index.table.0, &index.columns);
    put(&mut row, "conindid", int(oid));
    Some(row)
}

/// The columns that a rule reads.
fn columns_in(rule: &Rule, found: &mut BTreeSet<ColumnNumber>) {
    match rule {
        Rule::Column(number) => {
            found.insert(*number);
        }
        Rule::Literal(..) | Rule::Volatile(_) => {}
        Rule::Not(a) | Rule::Negate(a) | Rule::IsNull(a) | Rule::Cast(a, _) => columns_in(a, found),
        Rule::And(all) | Rule::Or(all) | Rule::Call(_, all) => {
            for rule in all {
                columns_in(rule, found);
            }
        }
        Rule::Compare(_, a, b)
        | Rule::Distinct(a, b)
        | Rule::Arithmetic(_, a, b)
        | Rule::Like(a, b, _)
        | Rule::Matches(a, b, _) => {
            columns_in(a, found);
            columns_in(b, found);
        }
        Rule::In(a, list) => {
            columns_in(a, found);
            for rule in list {
                columns_in(rule, found);
            }
        }
        Rule::Case(arms, otherwise) => {
            for (when, then) in arms {
                columns_in(when, found);
                columns_in(then, found);
            }
            if let Some(otherwise) = otherwise {
                columns_in(otherwise, found);
            }
        }
    }
}

/// PostgreSQL's numbers of the catalogs that dependencies are between.
const PG_CLASS: u32 = 1259;
const PG_CONSTRAINT: u32 = 2606;
const PG_ATTRDEF: u32 = 2604;
const PG_REWRITE: u32 = 2618;

pub(super) fn pg_depend(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut rows: Vec<[u32; 6]> = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    let mut add = |from: (u32, u32), to: (u32, u32, u32), kind| {
        rows.push([from.0, from.1, 0, to.0, to.1, to.2]);
        kinds.push(kind);
    };
    for (oid, object) in facts.objects() {
        match object {
            Object::Sequence(sequence) => {
                if let Some((table, column)) = sequence.owned_by {
                    let kind = if is_identity(facts, table.0, column) { "i" } else { "a" };
                    add((PG_CLASS, oid), (PG_CLASS, table.0, u32::from(column.0)), kind);
                }
            }
            Object::Table(table) => table_depends(oid, table, &mut add),
            Object::Index(index) => match index.origin {
                IndexOrigin::PrimaryKey(number) | IndexOrigin::Unique(number) => {
                    add((PG_CLASS, oid), (PG_CONSTRAINT, number.0, 0), "i");
                    for column in &index.columns {
                        let column = u32::from(column.0);
                        add((PG_CONSTRAINT, number.0), (PG_CLASS, index.table.0, column), "a");
                    }
                }
                IndexOrigin::Plain => {
                    for column in &index.columns {
                        add((PG_CLASS, oid), (PG_CLASS, index.table.0, u32::from(column.0)), "a");
                    }
                }
                IndexOrigin::ForeignKey => {}
            },
            Object::View(view) => {
                add((PG_REWRITE, oid), (PG_CLASS, oid, 0), "i");
                for on in &view.depends_on {
                    add((PG_REWRITE, oid), (PG_CLASS, on.0, 0), "n");
                }
            }
            _ => {}
        }
    }
    let names =
        ["classid", "objid", "objsubid", "refclassid", "refobjid", "refobjsubid", "deptype"];
    let rows = rows.into_iter().zip(kinds).map(|(numbers, kind)| {
        let mut row: Vec<Datum> = numbers.into_iter().map(int).collect();
        row.push(text(kind));
        row
    });
    fill(relation, &names, rows)
}

fn is_identity(facts: &Facts<'_>, table: u32, column: ColumnNumber) -> bool {
    match facts.object(table) {
        Some(Object::Table(table)) => {
            column_of(table, column).is_some_and(|column| column.identity.is_some())
        }
        _ => false,
    }
}

fn table_depends<'a>(
    oid: u32,
    table: &Table,
    add: &mut impl FnMut((u32, u32), (u32, u32, u32), &'a str),
) {
    for column in &table.columns {
        let Some(default) = column.default.as_ref().filter(|_| !column.dropped) else { continue };
        let number = default_oid(oid, column.number);
        add((PG_ATTRDEF, number), (PG_CLASS, oid, u32::from(column.number.0)), "a");
        if let Rule::Volatile(Volatile::NextValue(sequence)) = &default.rule {
            add((PG_ATTRDEF, number), (PG_CLASS, sequence.0, 0), "n");
        }
    }
    for check in &table.checks {
        let mut columns = BTreeSet::new();
        columns_in(&check.rule, &mut columns);
        for column in columns {
            add((PG_CONSTRAINT, check.oid.0), (PG_CLASS, oid, u32::from(column.0)), "a");
        }
    }
    for key in &table.foreign_keys {
        for column in &key.columns {
            add((PG_CONSTRAINT, key.oid.0), (PG_CLASS, oid, u32::from(column.0)), "a");
        }
        for column in &key.parent_columns {
            add((PG_CONSTRAINT, key.oid.0), (PG_CLASS, key.parent.0, u32::from(column.0)), "n");
        }
        add((PG_CONSTRAINT, key.oid.0), (PG_CLASS, key.parent_index.0, 0), "n");
    }
}
