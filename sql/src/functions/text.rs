//! Functions of texts and bytes. Characters are Unicode scalar values; upper and lower case follow Rust's
//! `char`, which is Unicode's simple and special casing.

use datafusion::functions::{string, unicode};

use super::cast::text_of;
use super::{Call, Datum, Function};
use crate::Error;

/// A text may not become longer than this, in bytes.
const MAX_TEXT: usize = 256 << 20;

#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::expression("lower(text) text", |a| string::lower().call(a)),
        Function::expression("upper(text) text", |a| string::upper().call(a)),
        Function::expression("length(text) integer", |a| {
            as_int4(unicode::character_length().call(a))
        }),
        Function::expression("char_length(text) integer", |a| {
            as_int4(unicode::character_length().call(a))
        }),
        Function::expression("character_length(text) integer", |a| {
            as_int4(unicode::character_length().call(a))
        }),
        Function::expression("octet_length(text) integer", |a| string::octet_length().call(a)),
        Function::expression("bit_length(text) integer", |a| string::bit_length().call(a)),
        Function::expression("reverse(text) text", |a| unicode::reverse().call(a)),
        Function::expression("replace(text, text, text) text", |a| string::replace().call(a)),
        Function::expression("starts_with(text, text) boolean", |a| string::starts_with().call(a)),
        Function::expression("translate(text, text, text) text", |a| unicode::translate().call(a)),
        Function::row("length(bytea) integer", |_, a| Ok(size(bytes(a, 0).len()))),
        Function::row("octet_length(bytea) integer", |_, a| Ok(size(bytes(a, 0).len()))),
        Function::row("strpos(text, text) integer", |_, a| Ok(position(text(a, 0), text(a, 1)))),
        Function::row("position(text, text) integer", |_, a| Ok(position(text(a, 1), text(a, 0)))),
        Function::row("initcap(text) text", |_, a| Ok(initcap(text(a, 0)).into())),
        Function::row("ascii(text) integer", |_, a| {
            Ok(Datum::Int(text(a, 0).chars().next().map_or(0, |c| i64::from(u32::from(c)))))
        }),
        Function::row("chr(integer) text", chr),
        Function::row("repeat(text, integer) text", repeat),
        Function::row("lpad(text, integer, [text]) text", |_, a| pad(a, true)),
        Function::row("rpad(text, integer, [text]) text", |_, a| pad(a, false)),
        Function::row("left(text, integer) text", |_, a| Ok(left(text(a, 0), int(a, 1)))),
        Function::row("right(text, integer) text", |_, a| Ok(right(text(a, 0), int(a, 1)))),
        Function::row("split_part(text, text, integer) text", split_part),
        Function::row("overlay(text, text, integer, [integer]) text", overlay),
        Function::row("to_hex(integer) text", |_, a| {
            Ok(i32::try_from(int(a, 0)).map(|i| format!("{i:x}")).unwrap_or_default().into())
        }),
        Function::row("to_hex(bigint) text", |_, a| Ok(format!("{:x}", int(a, 0)).into())),
        Function::row("md5(text) text", |_, a| Ok(md5_hex(text(a, 0).as_bytes()).into())),
        Function::row("md5(bytea) text", |_, a| Ok(md5_hex(bytes(a, 0)).into())),
        Function::row("quote_ident(text) text", |_, a| Ok(quote_ident(text(a, 0)).into())),
        Function::row("quote_literal(text) text", |_, a| Ok(quote_literal(text(a, 0)).into())),
        Function::row("quote_literal(anyelement) text", |c, a| {
            Ok(quote_literal(&shown(c, a, 0)).into())
        }),
        Function::row("quote_nullable(text) text", |_, a| {
            Ok(match a.first() {
                Some(Datum::Text(text)) => quote_literal(text).into(),
                _ => "NULL".into(),
            })
        })
        .with_nulls(),
        Function::row("concat(variadic any) text", |c, a| {
            Ok((0..a.len()).map(|i| concat_text(c, a, i)).collect::<String>().into())
        })
        .with_nulls()
        .stable(),
        Function::row("concat_ws(text, variadic any) text", concat_ws).with_nulls().stable(),
        Function::row("format(text, variadic any) text", format_text).with_nulls().stable(),
        Function::row("string_to_array(text, text, [text]) text[]", string_to_array).with_nulls(),
        Function::row("string_to_table(text, text) setof text", string_to_array).with_nulls(),
        Function::row("encode(bytea, text) text", encode),
        Function::row("decode(text, text) bytea", decode),
        Function::row("convert_to(text, name) bytea", |_, a| {
            utf8_only(text(a, 1))?;
            Ok(Datum::Bytes(text(a, 0).as_bytes().to_vec()))
        }),
        Function::row("convert_from(bytea, name) text", |_, a| {
            utf8_only(text(a, 1))?;
            let text = String::from_utf8(bytes(a, 0).to_vec());
            Ok(text
                .map_err(|_| Error::new("22021", "invalid byte sequence for encoding \"UTF8\""))?
                .into())
        }),
        Function::row("get_byte(bytea, integer) integer", |_, a| {
            let index = usize::try_from(int(a, 1)).ok();
            let byte = index.and_then(|i| bytes(a, 0).get(i).copied());
            byte.map(|b| Datum::Int(b.into())).ok_or_else(|| {
                Error::new("2202E", format!("index {} out of valid range", int(a, 1)))
            })
        }),
        Function::row("stele_bytea_concat(bytea, bytea) bytea", |_, a| {
            Ok(Datum::Bytes([bytes(a, 0), bytes(a, 1)].concat()))
        }),
        Function::row("substring(bytea, integer, [integer]) bytea", |_, a| {
            let all = bytes(a, 0);
            let (from, to) = window(a, all.len())?;
            Ok(Datum::Bytes(all.get(from..to).unwrap_or_default().to_vec()))
        }),
    ];
    for name in ["substring", "substr"] {
        all.push(Function::row(&format!("{name}(text, integer, [integer]) text"), substring));
    }
    for (name, start, end) in
        [("btrim", true, true), ("ltrim", true, false), ("rtrim", false, true)]
    {
        all.push(Function::row(&format!("{name}(text, [text]) text"), move |_, a| {
            Ok(trim(a, start, end).into())
        }));
    }
    for name in ["sha224", "sha256", "sha384", "sha512"] {
        let body: fn(Vec<datafusion::logical_expr::Expr>) -> datafusion::logical_expr::Expr =
            match name {
                "sha224" => |a| datafusion::functions::crypto::sha224().call(a),
                "sha256" => |a| datafusion::functions::crypto::sha256().call(a),
                "sha384" => |a| datafusion::functions::crypto::sha384().call(a),
                _ => |a| datafusion::functions::crypto::sha512().call(a),
            };
        all.push(Function::expression(&format!("{name}(bytea) bytea"), body));
    }
    all
}

fn as_int4(expr: datafusion::logical_expr::Expr) -> datafusion::logical_expr::Expr {
    datafusion::logical_expr::cast(expr, arrow::datatypes::DataType::Int32)
}

pub(super) fn text(args: &[Datum], index: usize) -> &str {
    args.get(index).map_or("", Datum::text)
}

pub(super) fn int(args: &[Datum], index: usize) -> i64 {
    args.get(index).map_or(0, Datum::int)
}

fn bytes(args: &[Datum], index: usize) -> &[u8] {
    match args.get(index) {
        Some(Datum::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

pub(super) fn size(n: usize) -> Datum {
    Datum::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// An argument of any type as text.
pub(super) fn shown(call: &Call<'_>, args: &[Datum], index: usize) -> String {
    match (args.get(index), call.kinds.get(index)) {
        (Some(value), Some(kind)) => text_of(call.context, value, kind),
        _ => String::new(),
    }
}

/// As `concat` writes values: truth values as `t` and `f`.
fn concat_text(call: &Call<'_>, args: &[Datum], index: usize) -> String {
    match args.get(index) {
        Some(Datum::Bool(b)) => if *b { "t" } else { "f" }.to_owned(),
        _ => shown(call, args, index),
    }
}

fn position(text: &str, part: &str) -> Datum {
    match text.find(part) {
        Some(at) => size(text.get(..at).unwrap_or_default().chars().count() + 1),
        None => Datum::Int(0),
    }
}

fn initcap(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            result.extend(c.to_lowercase());
        } else {
            result.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric();
    }
    result
}

fn chr(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let code = int(args, 0);
    if code == 0 {
        return Err(Error::new("54000", "null character not permitted"));
    }
    if code < 0 {
        return Err(Error::new("54000", "character number must be positive"));
    }
    match u32::try_from(code).ok().and_then(char::from_u32) {
        Some(c) => Ok(c.to_string().into()),
        None => {
            Err(Error::new("54000", format!("requested character not valid for encoding: {code}")))
        }
    }
}

fn too_long() -> Error {
    Error::new("54000", "requested length too large")
}

fn repeat(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let times = usize::try_from(int(args, 1)).unwrap_or(0);
    let length = text(args, 0).len().checked_mul(times).filter(|n| *n <= MAX_TEXT);
    length.ok_or_else(too_long)?;
    Ok(text(args, 0).repeat(times).into())
}

fn pad(args: &[Datum], on_left: bool) -> Result<Datum, Error> {
    let wanted = usize::try_from(int(args, 1)).unwrap_or(0);
    if wanted > MAX_TEXT / 4 {
        return Err(too_long());
    }
    let source: Vec<char> = text(args, 0).chars().collect();
    let fill: Vec<char> = match args.get(2) {
        Some(Datum::Text(fill)) => fill.chars().collect(),
        _ => vec![' '],
    };
    if source.len() >= wanted || fill.is_empty() {
        return Ok(source.into_iter().take(wanted).collect::<String>().into());
    }
    let padding = fill.iter().cycle().take(wanted - source.len());
    Ok(if on_left {
        padding.chain(source.iter()).collect::<String>()
    } else {
        source.iter().chain(padding).collect::<String>()
    }
    .into())
}

fn left(text: &str, n: i64) -> Datum {
    let count = match usize::try_from(n) {
        Ok(count) => count,
        Err(_) => {
            text.chars().count().saturating_sub(n.unsigned_abs().try_into().unwrap_or(usize::MAX))
        }
    };
    text.chars().take(count).collect::<String>().into()
}

fn right(text: &str, n: i64) -> Datum {
    let length = text.chars().count();
    let skip = match usize::try_from(n) {
        Ok(count) => length.saturating_sub(count),
        Err(_) => n.unsigned_abs().try_into().unwrap_or(usize::MAX),
    };
    text.chars().skip(skip).collect::<String>().into()
}

/// The half-open range, from 0, that `substring(… from a for n)` means.
fn window(args: &[Datum], length: usize) -> Result<(usize, usize), Error> {
    let from = int(args, 1);
    let to = match args.get(2) {
        Some(Datum::Int(n)) if *n < 0 => {
            return Err(Error::new("22011", "negative substring length not allowed"));
        }
        Some(Datum::Int(n)) => from.saturating_add(*n),
        _ => i64::MAX,
    };
    let clamp = |at: i64| usize::try_from(at.saturating_sub(1)).unwrap_or(0).min(length);
    let (from, to) = (clamp(from), if to == i64::MAX { length } else { clamp(to) });
    Ok((from, to.max(from)))
}

fn substring(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let source = text(args, 0);
    if source.is_ascii() {
        let (from, to) = window(args, source.len())?;
        return Ok(source.get(from..to).unwrap_or_default().into());
    }
    let (from, to) = window(args, source.chars().count())?;
    Ok(source.chars().skip(from).take(to - from).collect::<String>().into())
}

fn trim(args: &[Datum], start: bool, end: bool) -> String {
    let set: Vec<char> = match args.get(1) {
        Some(Datum::Text(set)) => set.chars().collect(),
        _ => vec![' '],
    };
    let mut result = text(args, 0);
    if start {
        result = result.trim_start_matches(|c| set.contains(&c));
    }
    if end {
        result = result.trim_end_matches(|c| set.contains(&c));
    }
    result.to_owned()
}

fn split_part(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (source, delimiter, n) = (text(args, 0), text(args, 1), int(args, 2));
    if n == 0 {
        return Err(Error::new("22023", "field position must not be zero"));
    }
    let parts: Vec<&str> =
        if delimiter.is_empty() { vec![source] } else { source.split(delimiter).collect() };
    let index = if n > 0 {
        usize::try_from(n - 1).ok()
    } else {
        usize::try_from(n.unsigned_abs()).ok().and_then(|back| parts.len().checked_sub(back))
    };
    Ok(index.and_then(|i| parts.get(i)).copied().unwrap_or_default().into())
}

fn overlay(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let source: Vec<char> = text(args, 0).chars().collect();
    let new = text(args, 1);
    let start = int(args, 2);
    if start <= 0 {
        return Err(Error::new("22011", "negative substring length not allowed"));
    }
    let length = match args.get(3) {
        Some(Datum::Int(n)) => *n,
        _ => i64::try_from(new.chars().count()).unwrap_or(i64::MAX),
    };
    let first = usize::try_from(start - 1).unwrap_or(usize::MAX).min(source.len());
    let rest = usize::try_from(start.saturating_add(length).saturating_sub(1))
        .unwrap_or(0)
        .min(source.len());
    let head: String = source.iter().take(first).collect();
    let tail: String = source.iter().skip(rest).collect();
    Ok(format!("{head}{new}{tail}").into())
}

fn concat_ws(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let Some(Datum::Text(separator)) = args.first() else { return Ok(Datum::Null) };
    let parts: Vec<String> = (1..args.len())
        .filter(|i| args.get(*i).is_some_and(|value| !value.is_null()))
        .map(|i| concat_text(call, args, i))
        .collect();
    Ok(parts.join(separator).into())
}

/// `format('%s %I %L %%', …)`, with positions and widths.
fn format_text(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let Some(Datum::Text(template)) = args.first() else { return Ok(Datum::Null) };
    let mut result = String::with_capacity(template.len());
    let mut chars = template.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            result.push('%');
            continue;
        }
        let mut digits = String::new();
        while let Some(d) = chars.next_if(char::is_ascii_digit) {
            digits.push(d);
        }
        if chars.next_if_eq(&'$').is_some() {
            next = digits.parse().unwrap_or(0);
            digits.clear();
        }
        let minus = chars.next_if_eq(&'-').is_some();
        while let Some(d) = chars.next_if(char::is_ascii_digit) {
            digits.push(d);
        }
        let Some(kind) = chars.next() else {
            return Err(Error::new("22023", "unterminated format() type specifier")
                .with_hint("For a single \"%\" use \"%%\"."));
        };
        let Some(value) = args.get(next).filter(|_| next > 0) else {
            return Err(Error::new("22023", "too few arguments for format()"));
        };
        let shown = concat_text(call, args, next);
        let piece = match (kind, value.is_null()) {
            ('s', _) => shown,
            ('I', true) => {
                return Err(Error::new(
                    "22004",
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            ('I', false) => quote_ident(&shown),
            ('L', true) => "NULL".to_owned(),
            ('L', false) => quote_literal(&shown),
            (other, _) => {
                return Err(Error::new(
                    "22023",
                    format!("unrecognized format() type specifier \"{other}\""),
                )
                .with_hint("For a single \"%\" use \"%%\"."));
            }
        };
        let width: usize = digits.parse().unwrap_or(0);
        let padding = " ".repeat(width.min(MAX_TEXT).saturating_sub(piece.chars().count()));
        if minus {
            result.push_str(&piece);
            result.push_str(&padding);
        } else {
            result.push_str(&padding);
            result.push_str(&piece);
        }
        next += 1;
    }
    Ok(result.into())
}

fn string_to_array(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let Some(Datum::Text(source)) = args.first() else { return Ok(Datum::Null) };
    let parts: Vec<String> = match args.get(1) {
        Some(Datum::Text(_)) if source.is_empty() => Vec::new(),
        Some(Datum::Text(delimiter)) if delimiter.is_empty() => vec![source.clone()],
        Some(Datum::Text(delimiter)) => {
            source.split(delimiter.as_str()).map(str::to_owned).collect()
        }
        _ => source.chars().map(String::from).collect(),
    };
    let null = args.get(2).map(Datum::text).filter(|_| args.get(2).is_some_and(|n| !n.is_null()));
    Ok(Datum::Array(
        parts
            .into_iter()
            .map(|part| if Some(part.as_str()) == null { Datum::Null } else { part.into() })
            .collect(),
    ))
}

/// An identifier, quoted where it has to be.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.chars().enumerate().all(|(i, c)| {
        c.is_ascii_lowercase() || c == '_' || (i > 0 && (c.is_ascii_digit() || c == '$'))
    });
    if plain && !name.is_empty() && !RESERVED.contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Words that PostgreSQL doesn't take as a bare column name.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A text as a literal.
pub(crate) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!(" E'{}'", quoted.replace('\\', "\\\\")).trim_start().to_owned();
    }
    format!("'{quoted}'")
}

fn utf8_only(name: &str) -> Result<(), Error> {
    if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") {
        return Ok(());
    }
    Err(Error::unsupported(format!("encoding \"{name}\""), "Texts are UTF8."))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encode(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let source = bytes(args, 0);
    match text(args, 1).to_ascii_lowercase().as_str() {
        "hex" => Ok(hex(source).into()),
        "base64" => Ok(base64(source).into()),
        "escape" => {
            let escaped = source.iter().map(|b| match b {
                b'\\' => "\\\\".to_owned(),
                0 | 128..=255 => format!("\\{b:03o}"),
                b => char::from(*b).to_string(),
            });
            Ok(escaped.collect::<String>().into())
        }
        other => Err(Error::new("22023", format!("unrecognized encoding: \"{other}\""))),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// MIME's base64, in lines of 76 characters.
fn base64(source: &[u8]) -> String {
    let mut result = String::new();
    for (index, chunk) in source.chunks(3).enumerate() {
        if index > 0 && index % 19 == 0 {
            result.push('\n');
        }
        let group =
            chunk.iter().fold(0_u32, |all, b| all << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i > chunk.len() {
                result.push('=');
            } else {
                let index = usize::try_from(group >> (18 - 6 * i) & 63).unwrap_or(0);
                result.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'=')));
            }
        }
    }
    result
}

fn decode(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let source = text(args, 0);
    match text(args, 1).to_ascii_lowercase().as_str() {
        "hex" => {
            let digits: Vec<u32> = source
                .chars()
                .filter(|c| !c.is_whitespace())
                .map(|c| {
                    c.to_digit(16).ok_or_else(|| {
                        Error::new("22023", format!("invalid hexadecimal digit: \"{c}\""))
                    })
                })
                .collect::<Result<_, _>>()?;
            if !digits.len().is_multiple_of(2) {
                return Err(Error::new("22023", "invalid hexadecimal data: odd number of digits"));
            }
            let bytes = digits.chunks(2).map(|pair| match pair {
                [a, b] => u8::try_from(a * 16 + b).unwrap_or(0),
                _ => 0,
            });
            Ok(Datum::Bytes(bytes.collect()))
        }
        "base64" => {
            let mut bytes = Vec::new();
            let (mut bits, mut count) = (0_u32, 0);
            for c in source.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
                let value = ALPHABET.iter().position(|a| *a == c).ok_or_else(|| {
                    Error::new(
                        "22023",
                        format!(
                            "invalid symbol \"{}\" found while decoding base64 sequence",
                            char::from(c)
                        ),
                    )
                })?;
                bits = bits << 6 | u32::try_from(value).unwrap_or(0);
                count += 6;
                if count >= 8 {
                    count -= 8;
                    bytes.push(u8::try_from(bits >> count & 255).unwrap_or(0));
                }
            }
            Ok(Datum::Bytes(bytes))
        }
        other => Err(Error::new("22023", format!("unrecognized encoding: \"{other}\""))),
    }
}

/// RFC 1321.
fn md5_hex(source: &[u8]) -> String {
    const SHIFTS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut message = source.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    let bits = u64::try_from(source.len()).unwrap_or(0).wrapping_mul(8);
    message.extend_from_slice(&bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks_exact(64) {
        let words: Vec<u32> =
            block.chunks_exact(4).map(|w| w.try_into().map_or(0, u32::from_le_bytes)).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64_usize {
            let (f, g) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let word = words.get(g).copied().unwrap_or(0);
            let sum = a.wrapping_add(f).wrapping_add(sine(i)).wrapping_add(word);
            let shift = SHIFTS.get(i / 16).and_then(|row| row.get(i % 4)).copied().unwrap_or(0);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d]) {
            *total = total.wrapping_add(part);
        }
    }
    state.iter().map(|word| hex(&word.to_le_bytes())).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0..2^32 by construction"
)]
fn sine(index: usize) -> u32 {
    let angle = f64::from(u32::try_from(index + 1).unwrap_or(1));
    (angle.sin().abs() * 4_294_967_296.0) as u32
}
