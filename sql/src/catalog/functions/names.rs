//! Names and numbers: `regclass` and its kin both ways, and the `…_is_visible` functions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::Object;

use super::{Builtin, Call, function, oid, out_option, text};
use crate::Error;
use crate::catalog::facts::{Facts, PG_CATALOG};
use crate::catalog::static_rows;
use crate::catalog::text::{name_parts, quote_ident};
use crate::functions::Datum;
use crate::types::{PgType, Reg};

pub(super) fn functions() -> Vec<Builtin> {
    let visible: fn(&Call<'_>, &[Datum]) -> Result<Datum, Error> =
        |c, a| Ok(c.facts.is_visible(oid(a, 0)).map_or(Datum::Null, Datum::Bool));
    // Nothing of these kinds lies outside pg_catalog.
    let always: fn(&Call<'_>, &[Datum]) -> Result<Datum, Error> = |_, _| Ok(Datum::Bool(true));
    vec![
        function("pg_table_is_visible(oid) boolean", visible),
        function("pg_type_is_visible(oid) boolean", |c, a| {
            Ok(type_visible(c.facts, oid(a, 0)).map_or(Datum::Null, Datum::Bool))
        }),
        function("pg_function_is_visible(oid) boolean", |_, a| {
            let schema = proc_field(oid(a, 0), 2);
            Ok(schema.map_or(Datum::Null, |schema| Datum::Bool(schema == "11")))
        }),
        function("pg_operator_is_visible(oid) boolean", always),
        function("pg_opclass_is_visible(oid) boolean", always),
        function("pg_opfamily_is_visible(oid) boolean", always),
        function("pg_collation_is_visible(oid) boolean", always),
        function("pg_conversion_is_visible(oid) boolean", always),
        function("pg_statistics_obj_is_visible(oid) boolean", always),
        function("pg_ts_config_is_visible(oid) boolean", always),
        function("to_regclass(text) regclass", |c, a| to_reg(c.facts, Reg::Class, text(a, 0))),
        function("to_regtype(text) regtype", |c, a| to_reg(c.facts, Reg::Type, text(a, 0))),
        function("to_regproc(text) regproc", |c, a| to_reg(c.facts, Reg::Proc, text(a, 0))),
        function("to_regprocedure(text) regprocedure", |c, a| {
            to_reg(c.facts, Reg::Procedure, text(a, 0))
        }),
        function("to_regnamespace(text) regnamespace", |c, a| {
            to_reg(c.facts, Reg::Namespace, text(a, 0))
        }),
        function("to_regrole(text) regrole", |c, a| to_reg(c.facts, Reg::Role, text(a, 0))),
        function("pg_get_userbyid(oid) name", |c, a| {
            let role = oid(a, 0);
            out_option(Some(
                c.facts
                    .role_name(role)
                    .map_or_else(|| format!("unknown (OID={role})"), str::to_owned),
            ))
        }),
    ]
}

fn to_reg(facts: &Facts<'_>, reg: Reg, name: &str) -> Result<Datum, Error> {
    match reg_parse(facts, reg, name) {
        Ok(found) => Ok(Datum::Int(i64::from(found))),
        Err(error) if error.sqlstate() == "42601" => Err(error),
        Err(_) => Ok(Datum::Null),
    }
}

/// Static rows by their numbers, which stand first.
type ByOid = BTreeMap<u32, Vec<&'static str>>;

fn by_oid(relation: &str) -> ByOid {
    static_rows::fields(static_rows::text_of(relation).unwrap_or_default())
        .filter_map(|fields| Some((fields.first()?.parse().ok()?, fields)))
        .collect()
}

static PROCS: LazyLock<ByOid> = LazyLock::new(|| by_oid("pg_proc"));
static TYPES: LazyLock<ByOid> = LazyLock::new(|| by_oid("pg_type"));

/// A field of a function's row, by the function's number.
pub(super) fn proc_field(oid: u32, place: usize) -> Option<&'static str> {
    PROCS.get(&oid)?.get(place).copied()
}

/// A type's name and schema, if it is a row type of the ledger (or its array).
pub(super) fn row_type<'a>(facts: &Facts<'a>, oid: u32) -> Option<(u32, &'a str, bool)> {
    facts.objects().find_map(|(_, object)| {
        let (schema, name, row, array) = match object {
            Object::Table(t) => (t.schema, &t.name, t.row_type, t.row_array_type),
            Object::View(v) => (v.schema, &v.name, v.row_type, v.row_array_type),
            _ => return None,
        };
        if row.0 == oid {
            Some((schema.0, name.as_str(), false))
        } else if array.0 == oid {
            Some((schema.0, name.as_str(), true))
        } else {
            None
        }
    })
}

fn type_visible(facts: &Facts<'_>, oid: u32) -> Option<bool> {
    if let Some((schema, name, _)) = row_type(facts, oid) {
        let schema_name = facts.schema_name(schema)?;
        return Some(
            facts.effective_path().into_iter().find(|s| facts.relation_in(s, name).is_some())
                == Some(schema_name),
        );
    }
    static_type(oid).map(|_| true)
}

/// `pg_type.typname` of a type that every database has.
fn static_type(oid: u32) -> Option<&'static str> {
    TYPES.get(&oid)?.get(1).copied()
}

/// A name with its schema unless it is found without, each part quoted if it must be.
pub(super) fn qualified(facts: &Facts<'_>, schema: u32, name: &str, visible: bool) -> String {
    match facts.schema_name(schema) {
        Some(schema) if !visible => format!("{}.{}", quote_ident(schema), quote_ident(name)),
        _ => quote_ident(name),
    }
}

/// A relation's name as `regclass` shows it.
pub(super) fn relation_text(facts: &Facts<'_>, oid: u32) -> Option<String> {
    let (schema, name) = facts.relation_of(oid)?;
    Some(qualified(facts, schema, name, facts.is_visible(oid) == Some(true)))
}

/// The text of an object number as one of the alias types shows it: the number itself if nothing has it, `-` for 0.
pub(crate) fn reg_text(facts: &Facts<'_>, reg: Reg, oid: u32) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let found = match reg {
        Reg::Class => relation_text(facts, oid),
        Reg::Type => type_text(facts, oid),
        Reg::Proc => proc_field(oid, 1).map(str::to_owned),
        Reg::Procedure => proc_field(oid, 1).map(|name| {
            let types = proc_field(oid, 19).unwrap_or_default();
            let types: Vec<String> = types
                .split_ascii_whitespace()
                .filter_map(|kind| type_text(facts, kind.parse().ok()?))
                .collect();
            format!("{name}({})", types.join(","))
        }),
        Reg::Namespace => facts.schema_name(oid).map(quote_ident),
        Reg::Role => facts.role_name(oid).map(quote_ident),
        Reg::Oper | Reg::Operator => {
            let wanted = oid.to_string();
            let lines = static_rows::text_of("pg_operator").unwrap_or_default();
            static_rows::fields(lines)
                .find(|fields| fields.first() == Some(&wanted.as_str()))
                .and_then(|fields| {
                    let name = *fields.get(1)?;
                    if reg == Reg::Oper {
                        return Some(name.to_owned());
                    }
                    let side = |place: usize| match fields.get(place)?.parse::<u32>().ok()? {
                        0 => Some("none".to_owned()),
                        kind => type_text(facts, kind),
                    };
                    Some(format!("{name}({},{})", side(7)?, side(8)?))
                })
        }
    };
    found.unwrap_or_else(|| oid.to_string())
}

/// A type's name as `format_type` shows it without a modifier.
pub(super) fn type_text(facts: &Facts<'_>, oid: u32) -> Option<String> {
    if let Some((schema, name, array)) = row_type(facts, oid) {
        let visible = type_visible(facts, oid) == Some(true);
        let name = qualified(facts, schema, name, visible);
        return Some(if array { format!("{name}[]") } else { name });
    }
    match PgType::of_oid(oid) {
        Some(PgType::Unknown) if oid == 0 => None,
        Some(kind) => Some(kind.to_string()),
        None => static_type(oid).map(|name| match name.strip_prefix('_') {
            Some(element) => format!("{}[]", quote_ident(element)),
            None => quote_ident(name),
        }),
    }
}

/// The object that a text names as one of the alias types.
///
/// # Errors
/// 42P01, 42704, 42883, 3F000 when nothing has the name; 42601 when it isn't one.
pub(crate) fn reg_parse(facts: &Facts<'_>, reg: Reg, name: &str) -> Result<u32, Error> {
    let trimmed = name.trim();
    if trimmed == "-" {
        return Ok(0);
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
        return trimmed.parse().map_err(|_| {
            Error::new("22003", format!("value \"{trimmed}\" is out of range for type oid"))
        });
    }
    match reg {
        Reg::Type => return parse_type(facts, trimmed),
        Reg::Proc | Reg::Procedure => return parse_proc(facts, reg, trimmed),
        Reg::Oper | Reg::Operator => {
            return Err(Error::unsupported(
                "an operator by name",
                "Look it up in pg_operator by oprname, oprleft and oprright.",
            ));
        }
        Reg::Class | Reg::Namespace | Reg::Role => {}
    }
    let parts = name_parts(trimmed).ok_or_else(|| Error::new("42602", "invalid name syntax"))?;
    match (reg, parts.as_slice()) {
        (Reg::Namespace, [schema]) => facts
            .schema_oid(schema)
            .ok_or_else(|| Error::Undefined { kind: "schema", name: schema.clone() }),
        (Reg::Role, [role]) => facts
            .role_oid(role)
            .ok_or_else(|| Error::Undefined { kind: "role", name: role.clone() }),
        (Reg::Class, parts) => {
            let missing = || Error::UndefinedTable { name: parts.join("."), position: None };
            let found = match parts {
                [name] => facts.relation(None, name),
                [schema, name] => facts.relation(Some(schema), name),
                [database, schema, name] if database == facts.database => {
                    facts.relation(Some(schema), name)
                }
                _ => None,
            };
            found.ok_or_else(missing)
        }
        _ => Err(Error::new("42602", "invalid name syntax")),
    }
}

fn parse_type(facts: &Facts<'_>, name: &str) -> Result<u32, Error> {
    let missing = || Error::new("42704", format!("type \"{name}\" does not exist"));
    let (base, array) = match name.strip_suffix("[]") {
        Some(element) => (element.trim_end(), true),
        None => (name, false),
    };
    // A modifier may stand behind the name: it isn't part of the type.
    let plain = match base.split_once('(') {
        Some((before, rest)) => {
            let after = rest.split_once(')').map_or("", |(_, after)| after);
            format!("{}{after}", before.trim_end())
        }
        None => base.to_owned(),
    };
    let folded = plain.to_lowercase();
    let folded = folded.strip_prefix("pg_catalog.").unwrap_or(&folded).trim_matches('"');
    let kind = match folded {
        "character" => PgType::of_name("bpchar"),
        _ if plain == "\"char\"" => Some(PgType::Char),
        "char" => PgType::of_name("bpchar"),
        _ => PgType::of_name(folded),
    };
    if let Some(kind) = kind {
        return Ok(if array { PgType::Array(Box::new(kind)).oid() } else { kind.oid() });
    }
    if let Some(fields) = static_rows::fields(static_rows::text_of("pg_type").unwrap_or_default())
        .find(|fields| fields.get(1) == Some(&folded))
    {
        // The number of the array stands in typarray.
        let place = if array { 14 } else { 0 };
        return fields.get(place).and_then(|field| field.parse().ok()).ok_or_else(missing);
    }
    let parts = name_parts(&plain).ok_or_else(missing)?;
    let relation = match parts.as_slice() {
        [name] => facts.relation(None, name),
        [schema, name] => facts.relation(Some(schema), name),
        _ => None,
    };
    match relation.and_then(|oid| facts.object(oid)) {
        Some(Object::Table(table)) => {
            Ok(if array { table.row_array_type.0 } else { table.row_type.0 })
        }
        Some(Object::View(view)) => Ok(if array { view.row_array_type.0 } else { view.row_type.0 }),
        _ => Err(missing()),
    }
}

fn parse_proc(facts: &Facts<'_>, reg: Reg, name: &str) -> Result<u32, Error> {
    let (called, arguments) = match name.split_once('(') {
        Some((called, rest)) => (called.trim(), Some(rest.trim_end_matches(')'))),
        None => (name, None),
    };
    let missing = || Error::new("42883", format!("function \"{name}\" does not exist"));
    let parts = name_parts(called).ok_or_else(missing)?;
    let (schema, called) = match parts.as_slice() {
        [name] => (PG_CATALOG, name),
        [schema, name] => (facts.schema_oid(schema).ok_or_else(missing)?, name),
        _ => return Err(missing()),
    };
    let wanted = match arguments {
        Some(list) => Some(
            list.split(',')
                .filter(|kind| !kind.trim().is_empty())
                .map(|kind| parse_type(facts, kind.trim()).map(|oid| oid.to_string()))
                .collect::<Result<Vec<_>, _>>()?
                .join(" "),
        ),
        None if reg == Reg::Procedure => {
            return Err(Error::new("22P02", "expected a left parenthesis"));
        }
        None => None,
    };
    let schema = schema.to_string();
    let found: Vec<u32> = static_rows::fields(static_rows::text_of("pg_proc").unwrap_or_default())
        .filter(|fields| {
            fields.get(1) == Some(&called.as_str())
                && fields.get(2) == Some(&schema.as_str())
                && wanted.as_ref().is_none_or(|wanted| fields.get(19) == Some(&wanted.as_str()))
        })
        .filter_map(|fields| fields.first()?.parse().ok())
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(missing()),
        _ => Err(Error::new("42725", format!("more than one function named \"{called}\""))),
    }
}
