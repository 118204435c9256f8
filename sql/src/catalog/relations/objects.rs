//! Schemas, the database, roles, comments, settings: catalogs of what is no relation.

use ledger::Object;

use super::classes::LEDGER_AM;
use super::{Relation, Row, fill, int, text};
use crate::catalog::facts::{BOOTSTRAP_ROLE, Facts, INFORMATION_SCHEMA, PG_CATALOG};
use crate::catalog::privileges::{self, Target};
use crate::functions::Datum;

pub(super) fn pg_namespace(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let usage = || Datum::Array(vec![text("=U/stele")]);
    let mut rows = vec![
        vec![int(PG_CATALOG), text("pg_catalog"), int(BOOTSTRAP_ROLE), usage()],
        vec![int(INFORMATION_SCHEMA), text("information_schema"), int(BOOTSTRAP_ROLE), usage()],
    ];
    rows.extend(facts.objects().filter_map(|(oid, object)| match object {
        Object::Schema(schema) => Some(vec![
            int(oid),
            text(schema.name.clone()),
            int(schema.owner.0),
            privileges::acl_of(facts, oid, Target::Schema, schema.owner.0),
        ]),
        _ => None,
    }));
    fill(relation, &["oid", "nspname", "nspowner", "nspacl"], rows)
}

pub(super) fn pg_database(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 11] = [
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
        "datacl",
    ];
    let rows = facts.objects().filter_map(|(oid, object)| match object {
        Object::Database(database) => Some(vec![
            int(oid),
            text(database.name.clone()),
            int(database.owner.0),
            // UTF8
            int(6),
            text("c"),
            Datum::Bool(true),
            Datum::Int(-1),
            // pg_default
            int(1663),
            text("C"),
            text("C"),
            privileges::acl_of(facts, oid, Target::Database, database.owner.0),
        ]),
        _ => None,
    });
    fill(relation, &NAMES, rows)
}

const ROLE: [&str; 10] = [
    "oid",
    "rolname",
    "rolsuper",
    "rolinherit",
    "rolcreaterole",
    "rolcreatedb",
    "rolcanlogin",
    "rolreplication",
    "rolbypassrls",
    "rolconnlimit",
];

fn roles(facts: &Facts<'_>) -> impl Iterator<Item = (Vec<Datum>, Option<String>)> {
    facts.objects().filter_map(|(oid, object)| match object {
        Object::Role(role) => Some((
            vec![
                int(oid),
                text(role.name.clone()),
                Datum::Bool(role.superuser),
                Datum::Bool(role.inherit),
                Datum::Bool(role.create_role),
                Datum::Bool(role.create_db),
                Datum::Bool(role.login),
                Datum::Bool(false),
                Datum::Bool(false),
                Datum::Int(-1),
            ],
            role.verifier.clone(),
        )),
        _ => None,
    })
}

pub(super) fn pg_authid(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut names = ROLE.to_vec();
    names.push("rolpassword");
    let rows = roles(facts).map(|(mut row, verifier)| {
        row.push(verifier.map_or(Datum::Null, text));
        row
    });
    fill(relation, &names, rows)
}

pub(super) fn pg_roles(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let mut names = ROLE.to_vec();
    names.push("rolpassword");
    let rows = roles(facts).map(|(mut row, _)| {
        row.push(text("********"));
        row
    });
    fill(relation, &names, rows)
}

pub(super) fn pg_auth_members(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    let rows = facts.objects().flat_map(|(oid, object)| {
        let groups: &[ledger::Oid] = match object {
            Object::Role(role) => &role.member_of,
            _ => &[],
        };
        groups
            .iter()
            .map(move |group| vec![int(group.0), int(oid), int(BOOTSTRAP_ROLE), Datum::Bool(false)])
    });
    fill(relation, &["roleid", "member", "grantor", "admin_option"], rows)
}

pub(super) fn pg_description(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const PG_CLASS: u32 = 1259;
    const PG_NAMESPACE: u32 = 2615;
    let mut rows = Vec::new();
    let mut add = |oid: u32, class: u32, part: u16, comment: Option<&String>| {
        if let Some(comment) = comment {
            rows.push(vec![int(oid), int(class), int(part), text(comment.clone())]);
        }
    };
    for (oid, object) in facts.objects() {
        match object {
            Object::Table(table) => {
                add(oid, PG_CLASS, 0, table.comment.as_ref());
                for column in table.columns.iter().filter(|column| !column.dropped) {
                    add(oid, PG_CLASS, column.number.0, column.comment.as_ref());
                }
            }
            Object::Index(index) => add(oid, PG_CLASS, 0, index.comment.as_ref()),
            Object::View(view) => add(oid, PG_CLASS, 0, view.comment.as_ref()),
            Object::Schema(schema) => add(oid, PG_NAMESPACE, 0, schema.comment.as_ref()),
            _ => {}
        }
    }
    fill(relation, &["objoid", "classoid", "objsubid", "description"], rows)
}

pub(super) fn pg_settings(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 11] = [
        "name",
        "setting",
        "unit",
        "category",
        "short_desc",
        "context",
        "vartype",
        "source",
        "boot_val",
        "reset_val",
        "pending_restart",
    ];
    let settings = facts.surroundings.map(super::super::facts::Surroundings::settings);
    let rows = settings.into_iter().flatten().map(|row| {
        let source = if row.setting == row.reset { "default" } else { "session" };
        let category =
            if row.name.starts_with("ledger.") { "Ledger" } else { "Client Connection Defaults" };
        vec![
            text(row.name),
            text(row.setting),
            row.unit.map_or(Datum::Null, text),
            text(category),
            text(row.description),
            text(row.context),
            text(row.kind),
            text(source),
            text(row.reset.clone()),
            text(row.reset),
            Datum::Bool(false),
        ]
    });
    fill(relation, &NAMES, rows)
}

/// The access method of ledger tables, beside PostgreSQL's.
pub(super) fn pg_am(relation: &Relation) -> Vec<Row> {
    fill(
        relation,
        &["oid", "amname", "amhandler", "amtype"],
        [vec![int(LEDGER_AM), text("ledger"), int(0), text("t")]],
    )
}

/// Functions that PostgreSQL doesn't have: those of the schema `ledger` are listed where they are made.
pub(super) fn pg_proc(_relation: &Relation) -> Vec<Row> {
    Vec::new()
}
