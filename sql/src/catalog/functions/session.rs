//! What a session or the node knows: names, settings, sizes, sequences.

use ledger::catalog::Sequence;
use ledger::{Object, Oid};

use super::{Body, Builtin, Call, flag, function, int, oid, out, out_option, text};
use crate::Error;
use crate::catalog::facts::{Facts, Surroundings};
use crate::catalog::text::size_pretty;
use crate::functions::Datum;
use crate::types::{PgType, Reg};

/// PostgreSQL's number of the encoding UTF8.
const UTF8: i64 = 6;

pub(super) fn functions() -> Vec<Builtin> {
    let current: Body = |c, _| out(c.facts.user);
    let mut all = vec![
        function("version() text", |c, _| {
            let version = c.facts.surroundings.and_then(|s| s.setting("server_version"));
            out(format!("PostgreSQL {}, {}-bit", version.unwrap_or_default(), usize::BITS))
        }),
        function("current_database() name", |c, _| out(c.facts.database)),
        function("current_catalog() name", |c, _| out(c.facts.database)),
        function("current_user() name", current),
        function("current_role() name", current),
        function("user() name", current),
        function("session_user() name", |c, _| out(c.facts.session_user)),
        function("current_schema() name", |c, _| {
            out_option(existing_path(c.facts).into_iter().next())
        }),
        function("current_schemas(boolean) name[]", |c, a| {
            let path = if flag(a, 0) { c.facts.effective_path() } else { existing_path(c.facts) };
            Ok(Datum::Array(path.into_iter().map(|s| Datum::Text(s.to_owned())).collect()))
        }),
        function("current_setting(text) text", |c, a| setting(c, text(a, 0), false)),
        function("current_setting(text, boolean) text", |c, a| setting(c, text(a, 0), flag(a, 1))),
        function("set_config(text, text, boolean) text", |c, a| {
            let session = c.facts.surroundings.ok_or_else(no_session)?;
            let value = match a.get(1) {
                Some(Datum::Text(value)) => value.as_str(),
                _ => "",
            };
            out(session.set(text(a, 0), value, flag(a, 2))?)
        })
        .with_nulls()
        .volatile(),
        function("pg_backend_pid() integer", |c, _| {
            Ok(Datum::Int(c.facts.surroundings.map_or(0, |s| i64::from(s.pid()))))
        }),
        function("pg_postmaster_start_time() timestamptz", |c, _| {
            let started = c.facts.surroundings.and_then(Surroundings::started_us);
            Ok(started.map_or(Datum::Null, Datum::Timestamptz))
        }),
        function("pg_is_in_recovery() boolean", |c, _| {
            let session = c.facts.surroundings.and_then(Surroundings::shared);
            Ok(Datum::Bool(session.is_some_and(|session| session.engine.order.follows())))
        })
        .volatile(),
        function("pg_my_temp_schema() oid", |c, _| {
            let schemas = c.facts.search_path.iter().filter_map(|name| c.facts.schema_oid(name));
            let own = schemas.into_iter().find(|oid| Oid(*oid).is_temporary());
            Ok(Datum::Int(own.map_or(0, i64::from)))
        }),
        function("pg_is_other_temp_schema(oid) boolean", |_, _| Ok(Datum::Bool(false))),
        function("pg_get_keywords() setof record", |_, _| Ok(super::describe::keywords())).record(
            &[
                ("word", PgType::Text),
                ("catcode", PgType::Char),
                ("barelabel", PgType::Bool),
                ("catdesc", PgType::Text),
                ("baredesc", PgType::Text),
            ],
        ),
    ];
    all.extend(encodings());
    all.extend(sizes());
    all.extend(sequences());
    all
}

fn no_session() -> Error {
    Error::internal("a function of the session was called without one")
}

/// The search path without what doesn't exist.
fn existing_path<'a>(facts: &Facts<'a>) -> Vec<&'a str> {
    facts
        .search_path
        .iter()
        .map(String::as_str)
        .filter(|schema| facts.schema_oid(schema).is_some_and(|oid| !Oid(oid).is_temporary()))
        .collect()
}

fn setting(call: &Call<'_>, name: &str, missing_ok: bool) -> Result<Datum, Error> {
    let session = call.facts.surroundings.ok_or_else(no_session)?;
    match session.setting(name) {
        Some(value) => out(value),
        None if missing_ok => Ok(Datum::Null),
        None => {
            Err(Error::new("42704", format!("unrecognized configuration parameter \"{name}\"")))
        }
    }
}

fn encodings() -> Vec<Builtin> {
    vec![
        function("pg_encoding_to_char(integer) name", |_, a| {
            out(if int(a, 0) == UTF8 { "UTF8" } else { "" })
        }),
        function("pg_char_to_encoding(name) integer", |_, a| {
            let name: String = text(a, 0).chars().filter(char::is_ascii_alphanumeric).collect();
            let known = name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("unicode");
            Ok(Datum::Int(if known { UTF8 } else { -1 }))
        }),
        function("getdatabaseencoding() name", |_, _| out("UTF8")),
        function("pg_client_encoding() name", |_, _| out("UTF8")),
    ]
}

/// Bytes of a relation on this node; `None` if there is no such relation, or nobody counts them.
fn bytes(facts: &Facts<'_>, relation: u32) -> Option<u64> {
    facts.relation_of(relation)?;
    match facts.object(relation) {
        Some(Object::Table(_) | Object::Index(_)) => facts.surroundings?.bytes(Oid(relation)),
        _ => Some(0),
    }
}

/// Bytes of a table's indexes, those of its foreign keys too.
fn index_bytes(facts: &Facts<'_>, table: u32) -> Option<u64> {
    let node = facts.surroundings?;
    facts.catalog.indexes_of(Oid(table)).map(|(oid, _)| node.bytes(oid)).sum()
}

fn size(bytes: Option<u64>) -> Result<Datum, Error> {
    Ok(bytes.map_or(Datum::Null, |bytes| Datum::Int(i64::try_from(bytes).unwrap_or(i64::MAX))))
}

fn sizes() -> Vec<Builtin> {
    let own: Body = |c, a| size(bytes(c.facts, oid(a, 0)));
    let database: Body = |c, _| size(c.facts.surroundings.and_then(Surroundings::database_bytes));
    vec![
        function("pg_relation_size(regclass) bigint", own),
        function("pg_relation_size(regclass, text) bigint", |c, a| {
            if text(a, 1) == "main" { size(bytes(c.facts, oid(a, 0))) } else { Ok(Datum::Int(0)) }
        }),
        function("pg_table_size(regclass) bigint", own),
        function("pg_indexes_size(regclass) bigint", |c, a| {
            let table = oid(a, 0);
            size(bytes(c.facts, table).and_then(|_| index_bytes(c.facts, table)))
        }),
        function("pg_total_relation_size(regclass) bigint", |c, a| {
            let table = oid(a, 0);
            size(bytes(c.facts, table).and_then(|own| Some(own + index_bytes(c.facts, table)?)))
        }),
        function("pg_database_size(oid) bigint", database),
        function("pg_database_size(name) bigint", database),
        function("pg_tablespace_size(oid) bigint", |c, a| {
            // pg_default holds everything.
            if oid(a, 0) == 1663 {
                size(c.facts.surroundings.and_then(Surroundings::database_bytes))
            } else {
                Ok(Datum::Int(0))
            }
        }),
        function("pg_size_pretty(bigint) text", |_, a| out(size_pretty(int(a, 0)))),
    ]
}

/// The last value that was handed out, as far as leases tell it; `None` before the first.
fn last_value(sequence: &Sequence) -> Option<i64> {
    match sequence.next {
        Some(next) if next == sequence.start => None,
        Some(next) => next.checked_sub(sequence.increment),
        None if sequence.increment > 0 => Some(sequence.max),
        None => Some(sequence.min),
    }
}

fn sequences() -> Vec<Builtin> {
    vec![
        function("pg_sequence_last_value(regclass) bigint", |c, a| {
            Ok(match c.facts.object(oid(a, 0)) {
                Some(Object::Sequence(sequence)) => {
                    last_value(sequence).map_or(Datum::Null, Datum::Int)
                }
                _ => Datum::Null,
            })
        }),
        function("pg_sequence_parameters(oid) record", |c, a| {
            let Some(Object::Sequence(s)) = c.facts.object(oid(a, 0)) else {
                let name = super::reg_text(c.facts, Reg::Class, oid(a, 0));
                return Err(Error::new("42809", format!("\"{name}\" is not a sequence")));
            };
            let kind = PgType::of(&s.kind).oid();
            Ok(Datum::Record(vec![
                Datum::Int(s.start),
                Datum::Int(s.min),
                Datum::Int(s.max),
                Datum::Int(s.increment),
                Datum::Bool(s.cycle),
                Datum::Int(s.cache),
                Datum::Int(i64::from(kind)),
            ]))
        })
        .record(&[
            ("start_value", PgType::Int8),
            ("minimum_value", PgType::Int8),
            ("maximum_value", PgType::Int8),
            ("increment", PgType::Int8),
            ("cycle_option", PgType::Bool),
            ("cache_size", PgType::Int8),
            ("data_type", PgType::Oid),
        ]),
    ]
}
