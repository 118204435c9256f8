//! `has_…_privilege`, `pg_has_role`, `aclexplode`: what a role may do.

use ledger::Object;

use super::{Body, Builtin, Call, function, items, oid, text};
use crate::Error;
use crate::catalog::facts::{BOOTSTRAP_ROLE, Facts};
use crate::catalog::privileges::{self, Target, bit_of, default_acl};
use crate::catalog::relations;
use crate::functions::Datum;
use crate::types::{PgType, Reg};

/// Signatures of one family: by the session's user, a named role, a numbered one; the object by name or number.
macro_rules! family {
    ($list:ident, $target:expr, $($name:literal),*) => {
        $(
            $list.push(function(concat!($name, "(text, text) boolean"), |c, a| {
                check(c, None, Thing::Name(text(a, 0)), $target, text(a, 1))
            }));
            $list.push(function(concat!($name, "(oid, text) boolean"), |c, a| {
                check(c, None, Thing::Number(oid(a, 0)), $target, text(a, 1))
            }));
            $list.push(function(concat!($name, "(name, text, text) boolean"), |c, a| {
                check(c, Some(Thing::Name(text(a, 0))), Thing::Name(text(a, 1)), $target, text(a, 2))
            }));
            $list.push(function(concat!($name, "(name, oid, text) boolean"), |c, a| {
                check(c, Some(Thing::Name(text(a, 0))), Thing::Number(oid(a, 1)), $target, text(a, 2))
            }));
            $list.push(function(concat!($name, "(oid, text, text) boolean"), |c, a| {
                check(c, Some(Thing::Number(oid(a, 0))), Thing::Name(text(a, 1)), $target, text(a, 2))
            }));
            $list.push(function(concat!($name, "(oid, oid, text) boolean"), |c, a| {
                check(c, Some(Thing::Number(oid(a, 0))), Thing::Number(oid(a, 1)), $target, text(a, 2))
            }));
        )*
    };
}

pub(super) fn functions() -> Vec<Builtin> {
    let mut all = Vec::new();
    family!(all, Target::Table, "has_table_privilege", "has_any_column_privilege");
    family!(all, Target::Sequence, "has_sequence_privilege");
    family!(all, Target::Schema, "has_schema_privilege");
    family!(all, Target::Database, "has_database_privilege");
    // Privileges are on tables here, so a column's are its table's.
    let by_number: Body =
        |c, a| check(c, None, Thing::Number(oid(a, 0)), Target::Table, text(a, 2));
    let by_name: Body = |c, a| check(c, None, Thing::Name(text(a, 0)), Target::Table, text(a, 2));
    all.extend([
        function("has_column_privilege(oid, smallint, text) boolean", by_number),
        function("has_column_privilege(oid, text, text) boolean", by_number),
        function("has_column_privilege(text, smallint, text) boolean", by_name),
        function("has_column_privilege(text, text, text) boolean", by_name),
        function("has_column_privilege(name, text, text, text) boolean", |c, a| {
            check(
                c,
                Some(Thing::Name(text(a, 0))),
                Thing::Name(text(a, 1)),
                Target::Table,
                text(a, 3),
            )
        }),
        function("has_function_privilege(oid, text) boolean", |_, _| Ok(Datum::Bool(true))),
        function("has_function_privilege(text, text) boolean", |_, _| Ok(Datum::Bool(true))),
        function("has_type_privilege(oid, text) boolean", |_, _| Ok(Datum::Bool(true))),
        function("has_type_privilege(text, text) boolean", |_, _| Ok(Datum::Bool(true))),
        function("has_tablespace_privilege(oid, text) boolean", |_, _| Ok(Datum::Bool(false))),
        function("has_tablespace_privilege(text, text) boolean", |_, _| Ok(Datum::Bool(false))),
        function("pg_has_role(oid, text) boolean", |c, a| {
            has_role(c.facts, None, Thing::Number(oid(a, 0)), text(a, 1))
        }),
        function("pg_has_role(name, text) boolean", |c, a| {
            has_role(c.facts, None, Thing::Name(text(a, 0)), text(a, 1))
        }),
        function("pg_has_role(name, name, text) boolean", |c, a| {
            has_role(c.facts, Some(Thing::Name(text(a, 0))), Thing::Name(text(a, 1)), text(a, 2))
        }),
        function("pg_has_role(name, oid, text) boolean", |c, a| {
            has_role(c.facts, Some(Thing::Name(text(a, 0))), Thing::Number(oid(a, 1)), text(a, 2))
        }),
        function("pg_has_role(oid, oid, text) boolean", |c, a| {
            has_role(c.facts, Some(Thing::Number(oid(a, 0))), Thing::Number(oid(a, 1)), text(a, 2))
        }),
        function("acldefault(\"char\", oid) aclitem[]", |c, a| {
            let target = match text(a, 0) {
                "r" => Target::Table,
                "s" => Target::Sequence,
                "n" => Target::Schema,
                "d" => Target::Database,
                _ => return Ok(Datum::Null),
            };
            let list = default_acl(c.facts, target, oid(a, 1));
            Ok(Datum::Array(list.into_iter().map(Datum::Text).collect()))
        }),
        function("aclexplode(aclitem[]) setof record", explode).record(&[
            ("grantor", PgType::Oid),
            ("grantee", PgType::Oid),
            ("privilege_type", PgType::Text),
            ("is_grantable", PgType::Bool),
        ]),
    ]);
    all
}

/// An object or role, as it was named.
enum Thing<'a> {
    Name(&'a str),
    Number(u32),
}

fn role(facts: &Facts<'_>, who: Option<Thing<'_>>) -> Result<Option<u32>, Error> {
    match who {
        None => Ok(facts.role_oid(facts.user)),
        Some(Thing::Number(oid)) => Ok(Some(oid)),
        Some(Thing::Name("public")) => Ok(Some(0)),
        Some(Thing::Name(name)) => facts
            .role_oid(name)
            .map(Some)
            .ok_or_else(|| Error::Undefined { kind: "role", name: name.to_owned() }),
    }
}

fn check(
    call: &Call<'_>,
    who: Option<Thing<'_>>,
    on: Thing<'_>,
    target: Target,
    list: &str,
) -> Result<Datum, Error> {
    let facts = call.facts;
    let Some(who) = role(facts, who)? else { return Ok(Datum::Bool(false)) };
    let on = match on {
        Thing::Number(oid) => oid,
        Thing::Name(name) => match target {
            Target::Table | Target::Sequence => super::reg_parse(facts, Reg::Class, name)?,
            Target::Schema => super::reg_parse(facts, Reg::Namespace, name)?,
            Target::Database => facts
                .objects()
                .find(|(_, object)| matches!(object, Object::Database(d) if d.name == name))
                .map(|(oid, _)| oid)
                .ok_or_else(|| Error::Undefined { kind: "database", name: name.to_owned() })?,
        },
    };
    let Some((target, owner)) = owner_of(facts, on) else { return Ok(Datum::Null) };
    for name in list.split(',') {
        let Some((bit, grantable)) = bit_of(name) else {
            return Err(Error::new(
                "22023",
                format!("unrecognized privilege type: \"{}\"", name.trim()),
            ));
        };
        if system_wide(facts, on, bit)
            || privileges::has(facts, who, on, target, owner, bit, grantable)
        {
            return Ok(Datum::Bool(true));
        }
    }
    Ok(Datum::Bool(false))
}

/// Whether everybody may do it: reading the catalogs.
fn system_wide(facts: &Facts<'_>, on: u32, bit: u16) -> bool {
    const SELECT: u16 = 1;
    const USAGE: u16 = 128;
    (relations::by_oid(on).is_some() && bit == SELECT)
        || (facts.object(on).is_none() && facts.schema_name(on).is_some() && bit == USAGE)
}

fn owner_of(facts: &Facts<'_>, oid: u32) -> Option<(Target, u32)> {
    if relations::by_oid(oid).is_some() {
        return Some((Target::Table, BOOTSTRAP_ROLE));
    }
    let Some(object) = facts.object(oid) else {
        return facts.schema_name(oid).map(|_| (Target::Schema, BOOTSTRAP_ROLE));
    };
    match object {
        Object::Table(table) => Some((Target::Table, table.owner.0)),
        Object::View(view) => Some((Target::Table, view.owner.0)),
        Object::Sequence(sequence) => Some((Target::Sequence, sequence.owner.0)),
        Object::Schema(schema) => Some((Target::Schema, schema.owner.0)),
        Object::Database(database) => Some((Target::Database, database.owner.0)),
        Object::Index(index) => {
            facts.catalog.table(index.table).map(|table| (Target::Table, table.owner.0))
        }
        _ => None,
    }
}

fn has_role(
    facts: &Facts<'_>,
    who: Option<Thing<'_>>,
    group: Thing<'_>,
    how: &str,
) -> Result<Datum, Error> {
    let Some(who) = role(facts, who)? else { return Ok(Datum::Bool(false)) };
    let Some(group) = role(facts, Some(group))? else { return Ok(Datum::Bool(false)) };
    let superuser = matches!(facts.object(who), Some(Object::Role(role)) if role.superuser);
    let all = match how.trim().to_ascii_uppercase().as_str() {
        "USAGE" => false,
        "MEMBER" => true,
        "MEMBER WITH ADMIN OPTION"
        | "MEMBER WITH GRANT OPTION"
        | "USAGE WITH ADMIN OPTION"
        | "USAGE WITH GRANT OPTION" => return Ok(Datum::Bool(superuser)),
        other => {
            return Err(Error::new("22023", format!("unrecognized privilege type: \"{other}\"")));
        }
    };
    Ok(Datum::Bool(superuser || privileges::roles_of(facts, who, all).contains(&group)))
}

/// One row for each privilege of each item.
fn explode(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let facts = call.facts;
    let malformed = || Error::new("22P02", "malformed aclitem");
    let number = |name: &str| -> i64 {
        let name = crate::catalog::text::name_parts(name)
            .and_then(|parts| parts.into_iter().next())
            .unwrap_or_default();
        facts.role_oid(&name).map_or(0, i64::from)
    };
    let mut rows = Vec::new();
    for item in items(a, 0) {
        let (grantee, rest) = item.text().rsplit_once('=').ok_or_else(malformed)?;
        let (letters, grantor) = rest.split_once('/').ok_or_else(malformed)?;
        let mut letters = letters.chars().peekable();
        while let Some(letter) = letters.next() {
            let name = privileges::name_of_letter(letter).ok_or_else(malformed)?;
            let grantable = letters.next_if_eq(&'*').is_some();
            let grantee = if grantee.is_empty() { 0 } else { number(grantee) };
            rows.push(Datum::Record(vec![
                Datum::Int(number(grantor)),
                Datum::Int(grantee),
                Datum::Text(name.to_owned()),
                Datum::Bool(grantable),
            ]));
        }
    }
    Ok(Datum::Array(rows))
}
