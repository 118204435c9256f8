//! json and jsonb. A json is the text as it was written; a jsonb is PostgreSQL's normal form of it.

use ledger::text::json::normalize;
use serde_json::{Map, Value as Json};

use super::cast::{invalid, text_of};
use super::text::{int, text};
use super::{Call, Datum, Function};
use crate::Error;
use crate::types::PgType;

#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("stele_json_has(jsonb, text) boolean", |_, a| {
            Ok(has(&parsed(text(a, 0))?, text(a, 1)).into())
        }),
        Function::row("stele_json_has_any(jsonb, text[]) boolean", |_, a| {
            let json = parsed(text(a, 0))?;
            Ok(keys(a, 1).any(|key| has(&json, key)).into())
        }),
        Function::row("stele_json_has_all(jsonb, text[]) boolean", |_, a| {
            let json = parsed(text(a, 0))?;
            Ok(keys(a, 1).all(|key| has(&json, key)).into())
        }),
        Function::row("stele_json_contains(jsonb, jsonb) boolean", |_, a| {
            Ok(contains(&parsed(text(a, 0))?, &parsed(text(a, 1))?, true).into())
        }),
        Function::row("stele_json_concat(jsonb, jsonb) jsonb", |_, a| {
            jsonb(concatenated(parsed(text(a, 0))?, parsed(text(a, 1))?))
        }),
        Function::row("stele_json_minus(jsonb, text) jsonb", |_, a| {
            let key = text(a, 1).to_owned();
            jsonb(match parsed(text(a, 0))? {
                Json::Object(mut map) => {
                    map.shift_remove(&key);
                    Json::Object(map)
                }
                Json::Array(items) => {
                    Json::Array(items.into_iter().filter(|i| i.as_str() != Some(&key)).collect())
                }
                _ => return Err(Error::new("22023", "cannot delete from scalar")),
            })
        }),
        Function::row("stele_json_minus(jsonb, integer) jsonb", |_, a| match parsed(text(a, 0))? {
            Json::Array(mut items) => {
                if let Some(index) = place(int(a, 1), items.len()) {
                    items.remove(index);
                }
                jsonb(Json::Array(items))
            }
            Json::Object(_) => {
                Err(Error::new("22023", "cannot delete from object using integer index"))
            }
            _ => Err(Error::new("22023", "cannot delete from scalar")),
        }),
        Function::row("to_json(anyelement) json", |c, a| Ok(of_argument(c, a, 0)?.into())).stable(),
        Function::row("to_jsonb(anyelement) jsonb", |c, a| {
            Ok(normalize(&of_argument(c, a, 0)?)?.into())
        })
        .stable(),
        Function::row("row_to_json(any) json", |c, a| Ok(of_argument(c, a, 0)?.into())).stable(),
        Function::row("array_to_json(anyarray) json", |c, a| Ok(of_argument(c, a, 0)?.into()))
            .stable(),
        Function::row("json_build_object(variadic any) json", |c, a| {
            Ok(object(c, a, " : ")?.into())
        })
        .with_nulls()
        .stable(),
        Function::row("jsonb_build_object(variadic any) jsonb", |c, a| {
            Ok(normalize(&object(c, a, ": ")?)?.into())
        })
        .with_nulls()
        .stable(),
        Function::row("json_build_array(variadic any) json", |c, a| Ok(list(c, a)?.into()))
            .with_nulls()
            .stable(),
        Function::row("jsonb_build_array(variadic any) jsonb", |c, a| {
            Ok(normalize(&list(c, a)?)?.into())
        })
        .with_nulls()
        .stable(),
        Function::row("stele_json_agg(anyarray) json", |c, a| Ok(gathered(c, a).into())).stable(),
        Function::row("stele_jsonb_agg(anyarray) jsonb", |c, a| {
            Ok(normalize(&of_argument(c, a, 0)?)?.into())
        })
        .stable(),
        Function::row("stele_json_object_agg(any) json", |c, a| Ok(pairs(c, a)?.into())).stable(),
        Function::row("stele_jsonb_object_agg(any) jsonb", |c, a| {
            Ok(normalize(&pairs(c, a)?)?.into())
        })
        .stable(),
        Function::row(
            "jsonb_pretty(jsonb) text",
            |_, a| Ok(pretty(&parsed(text(a, 0))?, 0).into()),
        ),
        Function::row("jsonb_set(jsonb, text[], jsonb, [boolean]) jsonb", |_, a| {
            let create = a.get(3).is_none_or(Datum::bool);
            let path: Vec<&str> = keys(a, 1).collect();
            jsonb(set(parsed(text(a, 0))?, &path, parsed(text(a, 2))?, create))
        }),
    ];
    for kind in ["json", "jsonb"] {
        all.extend(of_kind(kind));
    }
    all
}

/// What json and jsonb both have.
#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
fn of_kind(kind: &'static str) -> Vec<Function> {
    let name = |signature: &str| signature.replace("@", kind);
    vec![
        Function::row(&name("stele_json_get(@, text) @"), move |_, a| {
            Ok(inner(parsed(text(a, 0))?.get(text(a, 1)), kind))
        }),
        Function::row(&name("stele_json_get(@, integer) @"), move |_, a| {
            let json = parsed(text(a, 0))?;
            Ok(inner(element(&json, int(a, 1)), kind))
        }),
        Function::row(&name("stele_json_get_text(@, text) text"), |_, a| {
            Ok(as_text(parsed(text(a, 0))?.get(text(a, 1))))
        }),
        Function::row(&name("stele_json_get_text(@, integer) text"), |_, a| {
            Ok(as_text(element(&parsed(text(a, 0))?, int(a, 1))))
        }),
        Function::row(&name("stele_json_path(@, text[]) @"), move |_, a| {
            Ok(inner(at_path(&parsed(text(a, 0))?, keys(a, 1)), kind))
        }),
        Function::row(&name("stele_json_path_text(@, text[]) text"), |_, a| {
            Ok(as_text(at_path(&parsed(text(a, 0))?, keys(a, 1))))
        }),
        Function::row(&name("@_extract_path(@, variadic text) @"), move |_, a| {
            Ok(inner(at_path(&parsed(text(a, 0))?, a.iter().skip(1).map(Datum::text)), kind))
        }),
        Function::row(&name("@_extract_path_text(@, variadic text) text"), |_, a| {
            Ok(as_text(at_path(&parsed(text(a, 0))?, a.iter().skip(1).map(Datum::text))))
        }),
        Function::row(&name("@_typeof(@) text"), |_, a| {
            Ok(match parsed(text(a, 0))? {
                Json::Null => "null",
                Json::Bool(_) => "boolean",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                Json::Object(_) => "object",
            }
            .into())
        }),
        Function::row(&name("@_array_length(@) integer"), |_, a| match parsed(text(a, 0))? {
            Json::Array(items) => Ok(super::text::size(items.len())),
            Json::Object(_) => Err(Error::new("22023", "cannot get array length of a non-array")),
            _ => Err(Error::new("22023", "cannot get array length of a scalar")),
        }),
        Function::row(&name("@_array_elements(@) setof @"), move |_, a| {
            Ok(Datum::Array(elements(text(a, 0))?.iter().map(|e| inner(Some(e), kind)).collect()))
        }),
        Function::row(&name("@_array_elements_text(@) setof text"), |_, a| {
            Ok(Datum::Array(elements(text(a, 0))?.iter().map(|e| as_text(Some(e))).collect()))
        }),
        Function::row(&name("@_object_keys(@) setof text"), |_, a| {
            Ok(Datum::Array(members(text(a, 0))?.into_iter().map(|(key, _)| key.into()).collect()))
        }),
        Function::row(&name("@_each(@) setof record"), move |_, a| {
            let members = members(text(a, 0))?.into_iter();
            Ok(Datum::Array(
                members
                    .map(|(key, value)| Datum::Record(vec![key.into(), inner(Some(&value), kind)]))
                    .collect(),
            ))
        })
        .returning_type(PgType::Record(vec![
            ("key".to_owned(), PgType::Text),
            ("value".to_owned(), if kind == "json" { PgType::Json } else { PgType::Jsonb }),
        ])),
        Function::row(&name("@_each_text(@) setof record"), |_, a| {
            let members = members(text(a, 0))?.into_iter();
            Ok(Datum::Array(
                members
                    .map(|(key, value)| Datum::Record(vec![key.into(), as_text(Some(&value))]))
                    .collect(),
            ))
        })
        .returning_type(PgType::Record(vec![
            ("key".to_owned(), PgType::Text),
            ("value".to_owned(), PgType::Text),
        ])),
        Function::row(&name("@_strip_nulls(@) @"), move |_, a| {
            Ok(inner(Some(&stripped(parsed(text(a, 0))?)), kind))
        }),
    ]
}

/// A json as a tree. Numbers keep their digits.
fn parsed(text: &str) -> Result<Json, Error> {
    serde_json::from_str(text).map_err(|_| invalid("json", text))
}

fn keys(args: &[Datum], index: usize) -> impl Iterator<Item = &str> {
    args.get(index).map_or(&[][..], Datum::items).iter().map(Datum::text)
}

fn jsonb(json: Json) -> Result<Datum, Error> {
    Ok(normalize(&json.to_string())?.into())
}

fn inner(json: Option<&Json>, kind: &str) -> Datum {
    match json {
        None => Datum::Null,
        Some(json) if kind == "jsonb" => {
            normalize(&json.to_string()).map_or(Datum::Null, Datum::from)
        }
        Some(json) => json.to_string().into(),
    }
}

fn as_text(json: Option<&Json>) -> Datum {
    match json {
        None | Some(Json::Null) => Datum::Null,
        Some(Json::String(text)) => text.clone().into(),
        Some(json @ (Json::Array(_) | Json::Object(_))) => {
            normalize(&json.to_string()).map_or(Datum::Null, Datum::from)
        }
        Some(json) => json.to_string().into(),
    }
}

fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { i64::try_from(length).ok()? + index } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn element(json: &Json, index: i64) -> Option<&Json> {
    let items = json.as_array()?;
    items.get(place(index, items.len())?)
}

fn at_path<'j, 'p>(json: &'j Json, path: impl Iterator<Item = &'p str>) -> Option<&'j Json> {
    let mut at = json;
    for key in path {
        at = match at {
            Json::Object(map) => map.get(key)?,
            Json::Array(_) => element(at, key.parse().ok()?)?,
            _ => return None,
        };
    }
    Some(at)
}

fn has(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(map) => map.contains_key(key),
        Json::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Json::String(text) => text == key,
        _ => false,
    }
}

/// Whether `inner` is within `outer`. At the top an array contains a scalar that is an element.
fn contains(outer: &Json, inner: &Json, top: bool) -> bool {
    match (outer, inner) {
        (Json::Object(a), Json::Object(b)) => {
            b.iter().all(|(key, value)| a.get(key).is_some_and(|v| contains(v, value, false)))
        }
        (Json::Array(a), Json::Array(b)) => {
            b.iter().all(|value| a.iter().any(|v| contains(v, value, false)))
        }
        (Json::Array(a), scalar) if top && !scalar.is_object() => a.contains(scalar),
        (Json::Number(a), Json::Number(b)) => {
            a == b
                || crate::number::Number::parse(&a.to_string()).ok()
                    == crate::number::Number::parse(&b.to_string()).ok()
        }
        (a, b) => a == b,
    }
}

fn concatenated(a: Json, b: Json) -> Json {
    match (a, b) {
        (Json::Object(mut a), Json::Object(b)) => {
            a.extend(b);
            Json::Object(a)
        }
        (a, b) => {
            let list = |json| match json {
                Json::Array(items) => items,
                other => vec![other],
            };
            let mut items = list(a);
            items.extend(list(b));
            Json::Array(items)
        }
    }
}

fn elements(text: &str) -> Result<Vec<Json>, Error> {
    match parsed(text)? {
        Json::Array(items) => Ok(items),
        Json::Object(_) => Err(Error::new("22023", "cannot extract elements from an object")),
        _ => Err(Error::new("22023", "cannot extract elements from a scalar")),
    }
}

fn members(text: &str) -> Result<Map<String, Json>, Error> {
    match parsed(text)? {
        Json::Object(map) => Ok(map),
        Json::Array(_) => Err(Error::new("22023", "cannot deconstruct an array as an object")),
        _ => Err(Error::new("22023", "cannot deconstruct a scalar")),
    }
}

fn stripped(json: Json) -> Json {
    match json {
        Json::Object(map) => Json::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, stripped(v))).collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(stripped).collect()),
        other => other,
    }
}

fn set(json: Json, path: &[&str], new: Json, create: bool) -> Json {
    let [key, rest @ ..] = path else { return json };
    match json {
        Json::Object(mut map) => {
            match map.get(*key).cloned() {
                Some(old) if !rest.is_empty() => {
                    map.insert((*key).to_owned(), set(old, rest, new, create));
                }
                None if !rest.is_empty() || !create => {}
                _ => {
                    map.insert((*key).to_owned(), new);
                }
            }
            Json::Object(map)
        }
        Json::Array(mut items) => {
            let Ok(index) = key.parse::<i64>() else { return Json::Array(items) };
            match place(index, items.len()) {
                Some(at) => {
                    if let Some(slot) = items.get_mut(at) {
                        let old = slot.take();
                        *slot = if rest.is_empty() { new } else { set(old, rest, new, create) };
                    }
                }
                None if create && rest.is_empty() && index < 0 => items.insert(0, new),
                None if create && rest.is_empty() => items.push(new),
                None => {}
            }
            Json::Array(items)
        }
        other => other,
    }
}

fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}

/// A value of any type as json.
fn json_of(call: &Call<'_>, value: &Datum, kind: &PgType) -> String {
    match (value, kind) {
        (Datum::Null, _) => "null".to_owned(),
        (Datum::Text(text), PgType::Json | PgType::Jsonb) => text.clone(),
        (Datum::Text(text), PgType::Bpchar(Some(n))) => {
            let width = usize::try_from(*n).unwrap_or(0);
            quoted(&format!("{text:<width$}"))
        }
        (Datum::Bool(b), _) => b.to_string(),
        (Datum::Array(items), kind) => {
            let element = kind.element().unwrap_or(PgType::Text);
            let items: Vec<String> =
                items.iter().map(|item| json_of(call, item, &element)).collect();
            format!("[{}]", items.join(","))
        }
        (Datum::Record(items), PgType::Record(fields)) => {
            let members: Vec<String> = items
                .iter()
                .zip(fields)
                .map(|(item, (name, kind))| {
                    format!("{}:{}", quoted(name), json_of(call, item, kind))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        (Datum::Float(f), _) if !f.is_finite() => quoted(&text_of(call.context, value, kind)),
        (Datum::Int(_) | Datum::Float(_) | Datum::Numeric(_), kind)
            if !matches!(kind, PgType::Reg(_)) =>
        {
            text_of(call.context, value, kind)
        }
        (Datum::Timestamp(_) | Datum::Timestamptz(_), _) => {
            let text = text_of(call.context, value, kind).replacen(' ', "T", 1);
            // JSON's offsets have minutes: `+00:00`.
            let zoned = matches!(value, Datum::Timestamptz(_));
            let short =
                zoned && text.rfind(['+', '-']).is_some_and(|at| at > 10 && text.len() - at == 3);
            quoted(&if short { format!("{text}:00") } else { text })
        }
        (value, kind) => quoted(&text_of(call.context, value, kind)),
    }
}

fn of_argument(call: &Call<'_>, args: &[Datum], index: usize) -> Result<String, Error> {
    match (args.get(index), call.kinds.get(index)) {
        (Some(value), Some(kind)) => Ok(json_of(call, value, kind)),
        _ => Err(Error::internal("a json of nothing")),
    }
}

/// Values gathered by json_agg: a blank after each comma, rows on lines of their own.
fn gathered(call: &Call<'_>, args: &[Datum]) -> String {
    let element = call.kinds.first().and_then(PgType::element).unwrap_or(PgType::Text);
    let items = args.first().map_or(&[][..], Datum::items);
    let parts: Vec<String> = items.iter().map(|item| json_of(call, item, &element)).collect();
    let comma = if matches!(element, PgType::Record(_)) { ", \n " } else { ", " };
    format!("[{}]", parts.join(comma))
}

fn key_of(call: &Call<'_>, args: &[Datum], index: usize) -> Result<String, Error> {
    match (args.get(index), call.kinds.get(index)) {
        (Some(Datum::Null) | None, _) => {
            Err(Error::new("22004", format!("argument {} cannot be null", index + 1))
                .with_hint("Object keys should be text."))
        }
        (Some(value), Some(kind)) => Ok(quoted(&text_of(call.context, value, kind))),
        _ => Err(Error::internal("a key without type")),
    }
}

fn object(call: &Call<'_>, args: &[Datum], colon: &str) -> Result<String, Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::new("22023", "argument list must have even number of elements")
            .with_hint(
                "The arguments of json_build_object() must consist of alternating keys and values.",
            ));
    }
    let mut members = Vec::with_capacity(args.len() / 2);
    for index in (0..args.len()).step_by(2) {
        let key = key_of(call, args, index)?;
        let (Some(value), Some(kind)) = (args.get(index + 1), call.kinds.get(index + 1)) else {
            continue;
        };
        members.push(format!("{key}{colon}{}", json_of(call, value, kind)));
    }
    Ok(format!("{{{}}}", members.join(", ")))
}

fn list(call: &Call<'_>, args: &[Datum]) -> Result<String, Error> {
    let items: Vec<String> =
        args.iter().zip(call.kinds).map(|(value, kind)| json_of(call, value, kind)).collect();
    Ok(format!("[{}]", items.join(", ")))
}

/// Pairs gathered by json_object_agg.
fn pairs(call: &Call<'_>, args: &[Datum]) -> Result<String, Error> {
    let element = call.kinds.first().and_then(PgType::element);
    let (Some(PgType::Record(fields)), Some(Datum::Array(rows))) = (element, args.first()) else {
        return Err(Error::internal("pairs of another shape"));
    };
    let [(_, key_kind), (_, value_kind)] = fields.as_slice() else {
        return Err(Error::internal("pairs of another shape"));
    };
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        let [key, value] = row.items() else { continue };
        if key.is_null() {
            return Err(Error::new("22023", "field name must not be null"));
        }
        let key = quoted(&text_of(call.context, key, key_kind));
        members.push(format!("{key} : {}", json_of(call, value, value_kind)));
    }
    Ok(format!("{{ {} }}", members.join(", ")))
}

fn pretty(json: &Json, depth: usize) -> String {
    let indent = "    ".repeat(depth + 1);
    let end = "    ".repeat(depth);
    match json {
        Json::Object(map) if !map.is_empty() => {
            let members: Vec<String> = map
                .iter()
                .map(|(key, value)| {
                    format!("{indent}{}: {}", quoted(key), pretty(value, depth + 1))
                })
                .collect();
            format!("{{\n{}\n{end}}}", members.join(",\n"))
        }
        Json::Array(items) if !items.is_empty() => {
            let items: Vec<String> =
                items.iter().map(|item| format!("{indent}{}", pretty(item, depth + 1))).collect();
            format!("[\n{}\n{end}]", items.join(",\n"))
        }
        Json::Object(_) => format!("{{\n{end}}}"),
        Json::Array(_) => format!("[\n{end}]"),
        scalar => scalar.to_string(),
    }
}
