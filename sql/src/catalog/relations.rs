//! The catalogs' relations: their columns, and where their rows come from. Columns and numbers are PostgreSQL
//! 15's own. It plans no queries.

mod activity;
mod classes;
mod columns;
mod constraints;
mod objects;
mod views;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::Error;
use crate::functions::Datum;
use crate::types::PgType;

use super::facts::{Facts, INFORMATION_SCHEMA, PG_CATALOG};
use super::static_rows;

/// A row: one value for each column.
pub type Row = Vec<Datum>;

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: PgType,
    /// It is never NULL.
    pub not_null: bool,
}

/// A relation of the catalogs.
#[derive(Clone, Debug)]
pub struct Relation {
    /// `pg_catalog` or `information_schema`
    pub schema: &'static str,
    /// The schema's number.
    pub schema_oid: u32,
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub oid: u32,
    /// `r` or `v`, as PostgreSQL has it.
    pub kind: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// What PostgreSQL 15 has and Stele can't tell truly: asking for it is refused rather than answered with nothing.
const WITHHELD: &[&str] = &[
    "pg_amop",
    "pg_amproc",
    "pg_backend_memory_contexts",
    "pg_config",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_shmem_allocations",
    "pg_stat_archiver",
    "pg_stat_bgwriter",
    "pg_stat_database",
    "pg_stat_database_conflicts",
    "pg_stat_gssapi",
    "pg_stat_slru",
    "pg_stat_ssl",
    "pg_stat_wal",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "sql_features",
    "sql_implementation_info",
    "sql_parts",
    "sql_sizing",
];

/// By schema and name.
type Relations = BTreeMap<&'static str, BTreeMap<&'static str, Relation>>;

static RELATIONS: LazyLock<Relations> = LazyLock::new(load);
static NUMBERS: LazyLock<BTreeMap<u32, (&'static str, &'static str)>> = LazyLock::new(|| {
    all().map(|relation| (relation.oid, (relation.schema, relation.name))).collect()
});

fn load() -> Relations {
    let mut relations = Relations::new();
    for fields in static_rows::fields(static_rows::COLUMNS) {
        let [schema, name, oid, kind, column, column_type, not_null] = fields.as_slice() else {
            continue;
        };
        if WITHHELD.contains(name) {
            continue;
        }
        let relation =
            relations.entry(schema).or_default().entry(name).or_insert_with(|| Relation {
                schema,
                schema_oid: if *schema == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA },
                name,
                oid: oid.parse().unwrap_or_default(),
                kind,
                columns: Vec::new(),
            });
        relation.columns.push(Column {
            name: column,
            kind: column_kind(column_type),
            not_null: *not_null == "t",
        });
    }
    relations
}

/// The type of a column. Types that Stele doesn't have stand only in relations without rows, or are texts.
fn column_kind(name: &str) -> PgType {
    match name {
        "character varying(3)" => PgType::Varchar(Some(3)),
        "timestamp(2) with time zone" => PgType::Timestamptz,
        "anyarray" | "pg_statistic[]" => PgType::Array(Box::new(PgType::Text)),
        _ => PgType::of_name(name).unwrap_or(PgType::Text),
    }
}

/// The relation of this name.
pub fn find(schema: &str, name: &str) -> Option<&'static Relation> {
    RELATIONS.get(schema)?.get(name)
}

/// The relation of this number.
pub fn by_oid(oid: u32) -> Option<&'static Relation> {
    NUMBERS.get(&oid).and_then(|(schema, name)| find(schema, name))
}

/// All of them, by schema and name.
pub fn all() -> impl Iterator<Item = &'static Relation> {
    RELATIONS.values().flat_map(BTreeMap::values)
}

/// Whether PostgreSQL has a catalog of this name that Stele doesn't answer for.
pub fn is_withheld(schema: Option<&str>, name: &str) -> bool {
    WITHHELD.contains(&name)
        && match schema {
            None | Some("pg_catalog") => name.starts_with("pg_"),
            Some(schema) => schema == "information_schema" && name.starts_with("sql_"),
        }
}

/// Where a relation's rows come from.
pub enum Rows {
    /// They are there.
    Made(Vec<Row>),
    /// A query over other relations of the catalogs gives them.
    Query(&'static str),
}

/// A relation's rows.
///
/// # Errors
/// 42501 for what only a superuser may see.
pub fn rows(relation: &Relation, facts: &Facts<'_>) -> Result<Rows, Error> {
    if let Some(query) = views::query(relation) {
        return Ok(Rows::Query(query));
    }
    if relation.schema == "information_schema" {
        return Ok(Rows::Made(Vec::new()));
    }
    if matches!(relation.name, "pg_authid" | "pg_shadow") && !super::privileges::is_superuser(facts)
    {
        return Err(Error::Denied { kind: "table", name: relation.name.to_owned() });
    }
    let mut rows = static_rows::rows(relation);
    rows.extend(made(relation, facts));
    Ok(Rows::Made(rows))
}

fn made(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    match relation.name {
        "pg_class" => classes::pg_class(relation, facts),
        "pg_type" => classes::pg_type(relation, facts),
        "pg_sequence" => classes::pg_sequence(relation, facts),
        "pg_rewrite" => classes::pg_rewrite(relation, facts),
        "pg_attribute" => columns::pg_attribute(relation, facts),
        "pg_attrdef" => columns::pg_attrdef(relation, facts),
        "pg_index" => constraints::pg_index(relation, facts),
        "pg_constraint" => constraints::pg_constraint(relation, facts),
        "pg_depend" => constraints::pg_depend(relation, facts),
        "pg_namespace" => objects::pg_namespace(relation, facts),
        "pg_database" => objects::pg_database(relation, facts),
        "pg_authid" => objects::pg_authid(relation, facts),
        "pg_roles" => objects::pg_roles(relation, facts),
        "pg_auth_members" => objects::pg_auth_members(relation, facts),
        "pg_description" => objects::pg_description(relation, facts),
        "pg_settings" => objects::pg_settings(relation, facts),
        "pg_stat_activity" => activity::pg_stat_activity(relation, facts),
        "pg_locks" => activity::pg_locks(relation, facts),
        "pg_cursors" => activity::pg_cursors(relation, facts),
        "pg_prepared_statements" => activity::pg_prepared_statements(relation, facts),
        "pg_am" => objects::pg_am(relation),
        "pg_proc" => objects::pg_proc(relation),
        _ => Vec::new(),
    }
}

/// Rows of a relation, given only the columns that matter; the others are NULL, or nothing of their type.
fn fill(
    relation: &Relation,
    names: &[&str],
    rows: impl IntoIterator<Item = Vec<Datum>>,
) -> Vec<Row> {
    let blank: Row = relation.columns.iter().map(nothing).collect();
    let places: Vec<Option<usize>> = names
        .iter()
        .map(|name| relation.columns.iter().position(|column| column.name == *name))
        .collect();
    rows.into_iter()
        .map(|given| {
            let mut row = blank.clone();
            for (place, value) in places.iter().zip(given) {
                if let Some(cell) = place.and_then(|place| row.get_mut(place)) {
                    *cell = value;
                }
            }
            row
        })
        .collect()
}

fn nothing(column: &Column) -> Datum {
    if !column.not_null {
        return Datum::Null;
    }
    match &column.kind {
        PgType::Bool => Datum::Bool(false),
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid | PgType::Xid | PgType::Reg(_) => {
            Datum::Int(0)
        }
        PgType::Float4 | PgType::Float8 => Datum::Float(0.0),
        PgType::Array(_) | PgType::Int2Vector | PgType::OidVector => Datum::Array(Vec::new()),
        _ => Datum::Text(String::new()),
    }
}

/// A text.
fn text(value: impl Into<String>) -> Datum {
    Datum::Text(value.into())
}

/// A number.
fn int(value: impl Into<i64>) -> Datum {
    Datum::Int(value.into())
}

/// A count; more than an `i64` holds doesn't occur.
fn count(value: usize) -> Datum {
    Datum::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
