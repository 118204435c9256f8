//! Rows that are the same everywhere: facts about PostgreSQL, kept as text beside this file (`static/`, made by
//! `static/refresh.sh`). It knows COPY's text format and nothing of the ledger.

use crate::functions::Datum;
use crate::types::PgType;

use super::relations::{Relation, Row};

/// The texts, by the catalog they are of.
pub(super) fn text_of(relation: &str) -> Option<&'static str> {
    Some(match relation {
        "pg_type" => include_str!("static/types.tsv"),
        "pg_proc" => include_str!("static/functions.tsv"),
        "pg_aggregate" => include_str!("static/aggregates.tsv"),
        "pg_operator" => include_str!("static/operators.tsv"),
        "pg_cast" => include_str!("static/casts.tsv"),
        "pg_opfamily" => include_str!("static/opfamilies.tsv"),
        "pg_opclass" => include_str!("static/opclasses.tsv"),
        "pg_collation" => include_str!("static/collations.tsv"),
        "pg_language" => include_str!("static/languages.tsv"),
        "pg_am" => include_str!("static/methods.tsv"),
        "pg_tablespace" => include_str!("static/tablespaces.tsv"),
        "pg_description" => include_str!("static/descriptions.tsv"),
        _ => return None,
    })
}

/// Names and types of the columns of all relations.
pub(super) const COLUMNS: &str = include_str!("static/columns.tsv");

/// Word, category, whether it may be a label, and both described.
pub(super) const KEYWORDS: &str = include_str!("static/keywords.tsv");

/// The static rows of a relation.
pub(super) fn rows(relation: &Relation) -> Vec<Row> {
    let Some(text) = text_of(relation.name) else { return Vec::new() };
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            relation
                .columns
                .iter()
                .map(|column| fields.next().map_or(Datum::Null, |text| field(text, &column.kind)))
                .collect()
        })
        .collect()
}

/// Lines of fields, without types.
pub(super) fn fields(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().map(|line| line.split('\t').collect())
}

/// A field of COPY's text format.
fn field(text: &str, kind: &PgType) -> Datum {
    if text == "\\N" {
        return Datum::Null;
    }
    value(&unescape(text), kind)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

/// A value of one of the types that the catalogs use, from its text.
pub(super) fn value(text: &str, kind: &PgType) -> Datum {
    match kind {
        PgType::Bool => Datum::Bool(text == "t"),
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid | PgType::Xid | PgType::Reg(_) => {
            text.parse().map_or(Datum::Null, Datum::Int)
        }
        PgType::Float4 | PgType::Float8 => text.parse().map_or(Datum::Null, Datum::Float),
        PgType::Int2Vector | PgType::OidVector => Datum::Array(
            text.split_ascii_whitespace()
                .map(|item| item.parse().map_or(Datum::Null, Datum::Int))
                .collect(),
        ),
        PgType::Array(element) => Datum::Array(
            super::text::array_items(text)
                .unwrap_or_default()
                .into_iter()
                .map(|item| item.map_or(Datum::Null, |item| value(&item, element)))
                .collect(),
        ),
        _ => Datum::Text(text.to_owned()),
    }
}
