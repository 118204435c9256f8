//! Definitions as SQL texts: types, constraints, indexes, views, functions, comments.

use ledger::catalog::{Index, IndexOrigin};
use ledger::table::{Action, ForeignKey};
use ledger::{ColumnNumber, Object, Table};

use super::names::{proc_field, qualified, relation_text, type_text};
use super::{Body, Builtin, Call, flag, function, int, oid, out, out_option, text};
use crate::Error;
use crate::catalog::facts::Facts;
use crate::catalog::relations::{self, Rows};
use crate::catalog::static_rows;
use crate::catalog::text::{name_parts, quote_ident};
use crate::functions::Datum;

pub(super) fn functions() -> Vec<Builtin> {
    // What Stele has none of: the functions are there because clients name them.
    let none: Body = |_, _| Ok(Datum::Null);
    let mut all = vec![
        function("format_type(oid, integer) text", format_type).with_nulls(),
        function("pg_get_expr(pg_node_tree, oid) text", |_, a| out(text(a, 0))),
        function("pg_get_expr(pg_node_tree, oid, boolean) text", |_, a| out(text(a, 0))),
        function("pg_get_constraintdef(oid) text", |c, a| constraint(c.facts, oid(a, 0), false)),
        function("pg_get_constraintdef(oid, boolean) text", |c, a| {
            constraint(c.facts, oid(a, 0), flag(a, 1))
        }),
        function("pg_get_indexdef(oid) text", |c, a| {
            out_option(index_text(c.facts, oid(a, 0), false))
        }),
        function("pg_get_indexdef(oid, integer, boolean) text", index_part),
        function("pg_get_viewdef(oid) text", |c, a| view(c.facts, oid(a, 0))),
        function("pg_get_viewdef(oid, boolean) text", |c, a| view(c.facts, oid(a, 0))),
        function("pg_get_viewdef(oid, integer) text", |c, a| view(c.facts, oid(a, 0))),
        function("pg_get_viewdef(text) text", view_by_name),
        function("pg_get_viewdef(text, boolean) text", view_by_name),
        function("pg_get_ruledef(oid) text", |c, a| rule(c.facts, oid(a, 0))),
        function("pg_get_ruledef(oid, boolean) text", |c, a| rule(c.facts, oid(a, 0))),
        function("pg_get_serial_sequence(text, text) text", serial_sequence),
        function("pg_get_function_arguments(oid) text", |c, a| arguments(c.facts, oid(a, 0))),
        function("pg_get_function_identity_arguments(oid) text", |c, a| {
            arguments(c.facts, oid(a, 0))
        }),
        function("pg_get_function_result(oid) text", |c, a| out_option(result(c.facts, oid(a, 0)))),
        function("pg_get_functiondef(oid) text", function_definition),
        function("obj_description(oid) text", |c, a| comment(c.facts, oid(a, 0), None, 0)),
        function("obj_description(oid, name) text", |c, a| {
            comment(c.facts, oid(a, 0), Some(text(a, 1)), 0)
        }),
        function("col_description(oid, integer) text", |c, a| {
            comment(c.facts, oid(a, 0), Some("pg_class"), int(a, 1))
        }),
        function("shobj_description(oid, name) text", none),
    ];
    all.extend([
        function("pg_get_triggerdef(oid) text", none),
        function("pg_get_triggerdef(oid, boolean) text", none),
        function("pg_get_statisticsobjdef(oid) text", none),
        function("pg_get_statisticsobjdef_columns(oid) text", none),
        function("pg_get_partkeydef(oid) text", none),
        function("pg_get_partition_constraintdef(oid) text", none),
        function("pg_get_function_sqlbody(oid) text", none),
        function("pg_get_function_arg_default(oid, integer) text", none),
        function("pg_partition_ancestors(regclass) setof regclass", |_, _| {
            Ok(Datum::Array(Vec::new()))
        }),
        function("pg_relation_is_publishable(regclass) boolean", |c, a| {
            Ok(Datum::Bool(matches!(c.facts.object(oid(a, 0)), Some(Object::Table(_)))))
        }),
        function("pg_tablespace_location(oid) text", |_, _| out("")),
    ]);
    all.extend(type_functions());
    all
}

/// A type's name with its modifier, as `CREATE TABLE` takes it.
fn format_type(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    if a.first().is_none_or(Datum::is_null) {
        return Ok(Datum::Null);
    }
    let kind = oid(a, 0);
    let modifier = match a.get(1) {
        Some(Datum::Int(modifier)) => Some(*modifier),
        _ => None,
    };
    out(type_with_modifier(call.facts, kind, modifier))
}

/// A type's name with a modifier as PostgreSQL encodes it.
pub(super) fn type_with_modifier(facts: &Facts<'_>, kind: u32, modifier: Option<i64>) -> String {
    const BPCHAR: u32 = 1042;
    const NUMERIC: u32 = 1700;
    if kind == 0 {
        return "-".to_owned();
    }
    let Some(name) = type_text(facts, kind) else { return "???".to_owned() };
    let (base, brackets) = match name.strip_suffix("[]") {
        Some(base) => (base, "[]"),
        None => (name.as_str(), ""),
    };
    let is = |oid: u32, array: u32| kind == oid || kind == array;
    match modifier {
        Some(m) if m >= 4 && (is(BPCHAR, 1014) || is(1043, 1015)) => {
            format!("{base}({}){brackets}", m - 4)
        }
        Some(m) if m >= 4 && is(NUMERIC, 1231) => {
            let m = m - 4;
            format!("{base}({},{}){brackets}", (m >> 16) & 0xffff, m & 0x7ff)
        }
        // A char without a length isn't char(1).
        Some(_) if is(BPCHAR, 1014) => format!("bpchar{brackets}"),
        _ => name,
    }
}

/// The columns' names of a table, by number.
fn column_names(table: &Table, numbers: &[ColumnNumber]) -> String {
    let names: Vec<String> = numbers
        .iter()
        .filter_map(|number| table.columns.get(usize::from(number.0).checked_sub(1)?))
        .map(|column| quote_ident(&column.name))
        .collect();
    names.join(", ")
}

fn constraint(facts: &Facts<'_>, wanted: u32, pretty: bool) -> Result<Datum, Error> {
    for (_, object) in facts.objects() {
        match object {
            Object::Table(table) => {
                if let Some(check) = table.checks.iter().find(|check| check.oid.0 == wanted) {
                    let inner = unwrapped(&check.text);
                    return out(if pretty {
                        format!("CHECK ({inner})")
                    } else {
                        format!("CHECK (({inner}))")
                    });
                }
                if let Some(key) = table.foreign_keys.iter().find(|key| key.oid.0 == wanted) {
                    return out(foreign_key(facts, table, key));
                }
            }
            Object::Index(index) => {
                let word = match index.origin {
                    IndexOrigin::PrimaryKey(number) if number.0 == wanted => "PRIMARY KEY",
                    IndexOrigin::Unique(number) if number.0 == wanted => "UNIQUE",
                    _ => continue,
                };
                let names = facts
                    .catalog
                    .table(index.table)
                    .map(|table| column_names(table, &index.columns))
                    .unwrap_or_default();
                return out(format!("{word} ({names})"));
            }
            _ => {}
        }
    }
    Ok(Datum::Null)
}

/// A condition without the parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return text;
    };
    let mut depth = 0;
    let mut quoted = false;
    for c in inner.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return text;
        }
    }
    inner
}

fn foreign_key(facts: &Facts<'_>, table: &Table, key: &ForeignKey) -> String {
    let parent = relation_text(facts, key.parent.0).unwrap_or_default();
    let parent_columns = facts
        .catalog
        .table(key.parent)
        .map(|parent| column_names(parent, &key.parent_columns))
        .unwrap_or_default();
    let columns = column_names(table, &key.columns);
    let mut text = format!("FOREIGN KEY ({columns}) REFERENCES {parent}({parent_columns})");
    for (when, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let what = match action {
            Action::NoAction => continue,
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        };
        text.push_str(&format!(" ON {when} {what}"));
    }
    text
}

fn shown_index<'a>(facts: &Facts<'a>, oid: u32) -> Option<(&'a Index, &'a Table)> {
    match facts.object(oid) {
        Some(Object::Index(index)) if index.origin != IndexOrigin::ForeignKey => {
            Some((index, facts.catalog.table(index.table)?))
        }
        _ => None,
    }
}

fn index_text(facts: &Facts<'_>, oid: u32, pretty: bool) -> Option<String> {
    let (index, table) = shown_index(facts, oid)?;
    let visible = pretty && facts.is_visible(index.table.0) == Some(true);
    let on = qualified(facts, table.schema.0, &table.name, visible);
    let unique = if index.unique { "UNIQUE " } else { "" };
    let name = quote_ident(&index.name);
    let columns = column_names(table, &index.columns);
    Some(format!("CREATE {unique}INDEX {name} ON {on} USING btree ({columns})"))
}

/// The whole definition for column 0, else one column's.
fn index_part(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let index_oid = oid(a, 0);
    let place = int(a, 1);
    if place == 0 {
        return out_option(index_text(call.facts, index_oid, flag(a, 2)));
    }
    let Some((index, table)) = shown_index(call.facts, index_oid) else { return Ok(Datum::Null) };
    let column = usize::try_from(place - 1).ok().and_then(|place| index.columns.get(place));
    out(column.map(|column| column_names(table, &[*column])).unwrap_or_default())
}

fn view(facts: &Facts<'_>, oid: u32) -> Result<Datum, Error> {
    match facts.object(oid) {
        Some(Object::View(view)) => out(format!(" {};", view.query.trim().trim_end_matches(';'))),
        _ => Ok(Datum::Null),
    }
}

fn view_by_name(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let oid = super::reg_parse(call.facts, crate::types::Reg::Class, text(a, 0))?;
    view(call.facts, oid)
}

/// A view's rule, which has the view's number.
fn rule(facts: &Facts<'_>, oid: u32) -> Result<Datum, Error> {
    let Some(Object::View(view)) = facts.object(oid) else { return Ok(Datum::Null) };
    let name = qualified(facts, view.schema.0, &view.name, false);
    let query = view.query.trim().trim_end_matches(';');
    out(format!("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {name} DO INSTEAD  {query};"))
}

fn serial_sequence(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let facts = call.facts;
    let table_oid = super::reg_parse(facts, crate::types::Reg::Class, text(a, 0))?;
    let column = text(a, 1);
    let Some(Object::Table(table)) = facts.object(table_oid) else { return Ok(Datum::Null) };
    let Some(column) = table.columns.iter().find(|c| !c.dropped && c.name == column) else {
        let parts = name_parts(text(a, 0)).unwrap_or_default();
        let relation = parts.last().cloned().unwrap_or_default();
        return Err(Error::UndefinedColumn {
            message: format!("column \"{column}\" of relation \"{relation}\" does not exist"),
            position: None,
        });
    };
    let owned = facts.objects().find_map(|(_, object)| match object {
        Object::Sequence(sequence)
            if sequence
                .owned_by
                .is_some_and(|(table, number)| table.0 == table_oid && number == column.number) =>
        {
            Some(qualified(facts, sequence.schema.0, &sequence.name, false))
        }
        _ => None,
    });
    out_option(owned)
}

fn arguments(facts: &Facts<'_>, oid: u32) -> Result<Datum, Error> {
    let Some(types) = proc_field(oid, 19) else { return Ok(Datum::Null) };
    let names = proc_field(oid, 22).and_then(crate::catalog::text::array_items).unwrap_or_default();
    let variadic = proc_field(oid, 7).is_some_and(|element| element != "0");
    let kinds: Vec<u32> = types.split_ascii_whitespace().filter_map(|t| t.parse().ok()).collect();
    let last = kinds.len();
    let list: Vec<String> = kinds
        .into_iter()
        .enumerate()
        .map(|(place, kind)| {
            let mut item = String::new();
            if variadic && place + 1 == last {
                item.push_str("VARIADIC ");
            }
            if let Some(Some(name)) = names.get(place)
                && !name.is_empty()
            {
                item.push_str(&quote_ident(name));
                item.push(' ');
            }
            item.push_str(&type_text(facts, kind).unwrap_or_default());
            item
        })
        .collect();
    out(list.join(", "))
}

fn result(facts: &Facts<'_>, oid: u32) -> Option<String> {
    let kind = type_text(facts, proc_field(oid, 18)?.parse().ok()?)?;
    Some(if proc_field(oid, 13) == Some("t") { format!("SETOF {kind}") } else { kind })
}

fn function_definition(call: &Call<'_>, a: &[Datum]) -> Result<Datum, Error> {
    let number = oid(a, 0);
    let Some(name) = proc_field(number, 1) else { return Ok(Datum::Null) };
    let Datum::Text(arguments) = arguments(call.facts, number)? else { return Ok(Datum::Null) };
    let returns = result(call.facts, number).unwrap_or_default();
    out(format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.{name}({arguments})\n RETURNS {returns}\n LANGUAGE internal\nAS $function${name}$function$\n"
    ))
}

/// A comment on an object of a catalog (of any, if none is named), or on one of its columns.
fn comment(facts: &Facts<'_>, oid: u32, catalog: Option<&str>, part: i64) -> Result<Datum, Error> {
    let class = match catalog {
        Some(name) => match relations::find("pg_catalog", name) {
            Some(relation) => Some(i64::from(relation.oid)),
            None => return Ok(Datum::Null),
        },
        None => None,
    };
    let Some(descriptions) = relations::find("pg_catalog", "pg_description") else {
        return Ok(Datum::Null);
    };
    let Rows::Made(rows) = relations::rows(descriptions, facts)? else { return Ok(Datum::Null) };
    // objoid, classoid, objsubid, description
    let found = rows.into_iter().find(|row| {
        let number = |place: usize| row.get(place).map(Datum::int);
        number(0) == Some(i64::from(oid))
            && number(2) == Some(part)
            && class.is_none_or(|class| number(1) == Some(class))
    });
    Ok(found.and_then(|row| row.into_iter().nth(3)).unwrap_or(Datum::Null))
}

/// A helper of information_schema.
fn plain(body: Body, name: &'static str) -> Builtin {
    let mut helper = function("helper(oid, integer) integer", body);
    helper.name = name;
    helper.in_schema("information_schema")
}

/// information_schema's helpers: what a type's modifier says.
fn type_functions() -> Vec<Builtin> {
    vec![
        plain(
            |_, a| {
                Ok(match (oid(a, 0), int(a, 1)) {
                    (1042 | 1043, m) if m >= 4 => Datum::Int(m - 4),
                    _ => Datum::Null,
                })
            },
            "_pg_char_max_length",
        ),
        plain(
            |_, a| {
                Ok(match (oid(a, 0), int(a, 1)) {
                    (1042 | 1043, m) if m >= 4 => Datum::Int((m - 4).saturating_mul(4)),
                    (25 | 1042 | 1043, _) => Datum::Int(1 << 30),
                    _ => Datum::Null,
                })
            },
            "_pg_char_octet_length",
        ),
        plain(
            |_, a| {
                Ok(match (oid(a, 0), int(a, 1)) {
                    (21, _) => Datum::Int(16),
                    (23, _) => Datum::Int(32),
                    (20, _) => Datum::Int(64),
                    (700, _) => Datum::Int(24),
                    (701, _) => Datum::Int(53),
                    (1700, m) if m >= 4 => Datum::Int(((m - 4) >> 16) & 0xffff),
                    _ => Datum::Null,
                })
            },
            "_pg_numeric_precision",
        ),
        plain(
            |_, a| {
                Ok(match oid(a, 0) {
                    20 | 21 | 23 | 700 | 701 => Datum::Int(2),
                    1700 => Datum::Int(10),
                    _ => Datum::Null,
                })
            },
            "_pg_numeric_precision_radix",
        ),
        plain(
            |_, a| {
                Ok(match (oid(a, 0), int(a, 1)) {
                    (20 | 21 | 23, _) => Datum::Int(0),
                    (1700, m) if m >= 4 => Datum::Int((m - 4) & 0x7ff),
                    _ => Datum::Null,
                })
            },
            "_pg_numeric_scale",
        ),
        plain(
            |_, a| {
                Ok(match oid(a, 0) {
                    1082 => Datum::Int(0),
                    1083 | 1114 | 1184 | 1186 => Datum::Int(6),
                    _ => Datum::Null,
                })
            },
            "_pg_datetime_precision",
        ),
    ]
}

/// The keywords, with their categories.
pub(super) fn keywords() -> Datum {
    let rows = static_rows::fields(static_rows::KEYWORDS).map(|fields| {
        Datum::Record(
            fields
                .into_iter()
                .map(|field| match field {
                    "t" | "f" if field.len() == 1 => Datum::Bool(field == "t"),
                    other => Datum::Text(other.to_owned()),
                })
                .collect(),
        )
    });
    Datum::Array(rows.collect())
}
