//! Regular expressions and LIKE's escapes. PostgreSQL's advanced regular expressions run on the crate
//! `regex`: what it has no counterpart for (look-around, back references) is refused with 0A000.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::text::text;
use super::{Call, Datum, Function};
use crate::Error;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::row("regex_matches(text, text) boolean", |_, a| {
            with_regex(text(a, 1), "", |regex| Ok(regex.is_match(text(a, 0)).into()))
        }),
        Function::row("regex_imatches(text, text) boolean", |_, a| {
            with_regex(text(a, 1), "i", |regex| Ok(regex.is_match(text(a, 0)).into()))
        }),
        Function::row("like_escape(text, text) text", like_escape),
        Function::row("similar_to(text, text, [text]) boolean", |_, a| {
            let escape = a.get(2).map_or("\\", Datum::text);
            let pattern = similar(text(a, 1), escape)?;
            with_regex(&pattern, "", |regex| Ok(regex.is_match(text(a, 0)).into()))
        }),
        Function::row("substring(text, text) text", |_, a| {
            with_regex(text(a, 1), "", |regex| {
                Ok(regex
                    .captures(text(a, 0))
                    .and_then(|c| {
                        let group = if regex.captures_len() > 1 { c.get(1) } else { c.get(0) };
                        group.map(|m| m.as_str().to_owned())
                    })
                    .into())
            })
        }),
        Function::row("regexp_like(text, text, [text]) boolean", |_, a| {
            with_regex(text(a, 1), text(a, 2), |regex| Ok(regex.is_match(text(a, 0)).into()))
        }),
        Function::row("regexp_count(text, text, [integer], [text]) integer", |_, a| {
            let from = start_at(text(a, 0), a, 2);
            with_regex(text(a, 1), text(a, 3), |regex| {
                Ok(super::text::size(regex.find_iter(from).count()))
            })
        }),
        Function::row("regexp_substr(text, text) text", |_, a| {
            with_regex(text(a, 1), "", |regex| {
                Ok(regex.find(text(a, 0)).map(|m| m.as_str().to_owned()).into())
            })
        }),
        Function::row("regexp_instr(text, text) integer", |_, a| {
            with_regex(text(a, 1), "", |regex| {
                Ok(Datum::Int(regex.find(text(a, 0)).map_or(0, |m| {
                    let before = text(a, 0).get(..m.start()).unwrap_or_default();
                    i64::try_from(before.chars().count()).unwrap_or(0) + 1
                })))
            })
        }),
        Function::row("regexp_match(text, text, [text]) text[]", |_, a| {
            if text(a, 2).contains('g') {
                return Err(Error::new(
                    "22023",
                    "regexp_match() does not support the \"global\" option",
                )
                .with_hint("Use the regexp_matches function instead."));
            }
            with_regex(text(a, 1), text(a, 2), |regex| {
                Ok(regex.captures(text(a, 0)).map_or(Datum::Null, |c| groups(regex, &c)))
            })
        }),
        Function::row("regexp_matches(text, text, [text]) setof text[]", |_, a| {
            with_regex(text(a, 1), text(a, 2), |regex| {
                let limit = if text(a, 2).contains('g') { usize::MAX } else { 1 };
                let all = regex.captures_iter(text(a, 0)).take(limit).map(|c| groups(regex, &c));
                Ok(Datum::Array(all.collect()))
            })
        }),
        Function::row("regexp_replace(text, text, text, [text]) text", replace),
        Function::row("regexp_split_to_array(text, text, [text]) text[]", split),
        Function::row("regexp_split_to_table(text, text, [text]) setof text", split),
    ]
}

fn start_at<'t>(source: &'t str, args: &[Datum], index: usize) -> &'t str {
    let skip = match args.get(index) {
        Some(Datum::Int(n)) if *n > 0 => usize::try_from(n - 1).unwrap_or(0),
        _ => 0,
    };
    source.char_indices().nth(skip).and_then(|(at, _)| source.get(at..)).unwrap_or_default()
}

fn groups(regex: &Regex, captures: &regex::Captures<'_>) -> Datum {
    let first = usize::from(regex.captures_len() > 1);
    Datum::Array(
        captures.iter().skip(first).map(|m| m.map(|m| m.as_str().to_owned()).into()).collect(),
    )
}

fn split(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let source = text(args, 0);
    with_regex(text(args, 1), text(args, 2), |regex| {
        let mut parts = Vec::new();
        let mut from = 0;
        for found in regex.find_iter(source) {
            // An empty match at the edges splits nothing off.
            if found.is_empty() && (found.start() == 0 || found.start() == source.len()) {
                continue;
            }
            parts.push(source.get(from..found.start()).unwrap_or_default().into());
            from = found.end();
        }
        parts.push(source.get(from..).unwrap_or_default().into());
        Ok(Datum::Array(parts))
    })
}

fn replace(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (source, pattern, new, flags) =
        (text(args, 0), text(args, 1), text(args, 2), text(args, 3));
    let template = replacement(new);
    with_regex(pattern, flags, |regex| {
        let all = flags.contains('g');
        let result = if all {
            regex.replace_all(source, template.as_str())
        } else {
            regex.replace(source, template.as_str())
        };
        Ok(result.into_owned().into())
    })
}

/// `\1` and `\&` in the notation of the crate.
fn replacement(new: &str) -> String {
    let mut result = String::with_capacity(new.len());
    let mut chars = new.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => result.push_str("$$"),
            '\\' => match chars.next() {
                Some(d) if d.is_ascii_digit() && d != '0' => result.push_str(&format!("${{{d}}}")),
                Some('&') => result.push_str("${0}"),
                Some('\\') | None => result.push('\\'),
                Some(other) => {
                    result.push('\\');
                    result.push(other);
                }
            },
            c => result.push(c),
        }
    }
    result
}

thread_local! {
    /// The expressions this thread compiled last, by pattern and flags.
    static COMPILED: RefCell<HashMap<(String, String), Regex>> = RefCell::new(HashMap::new());
}

/// How many compiled expressions a thread keeps.
const KEPT: usize = 64;

fn with_regex<T>(
    pattern: &str,
    flags: &str,
    run: impl FnOnce(&Regex) -> Result<T, Error>,
) -> Result<T, Error> {
    let key = (pattern.to_owned(), flags.to_owned());
    let known = COMPILED.with_borrow(|compiled| compiled.get(&key).cloned());
    let regex = match known {
        Some(regex) => regex,
        None => {
            let regex = compile(pattern, flags)?;
            COMPILED.with_borrow_mut(|compiled| {
                if compiled.len() >= KEPT {
                    compiled.clear();
                }
                compiled.insert(key, regex.clone());
            });
            regex
        }
    };
    run(&regex)
}

fn compile(pattern: &str, flags: &str) -> Result<Regex, Error> {
    let (pattern, mut flags) = embedded(pattern, flags);
    flags.retain(|c| c != 'g');
    let mut insensitive = false;
    let (mut dot_newline, mut multi_line, mut extended) = (true, false, false);
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            's' => (dot_newline, multi_line) = (true, false),
            'n' | 'm' => (dot_newline, multi_line) = (false, true),
            'p' => dot_newline = false,
            'w' => multi_line = true,
            'x' => extended = true,
            't' | 'e' => {}
            other => {
                return Err(Error::new(
                    "22023",
                    format!("invalid regular expression option: \"{other}\""),
                ));
            }
        }
    }
    let translated = if flags.contains('q') { regex::escape(pattern) } else { translate(pattern)? };
    RegexBuilder::new(&translated)
        .case_insensitive(insensitive)
        .dot_matches_new_line(dot_newline)
        .multi_line(multi_line)
        .ignore_whitespace(extended)
        .size_limit(4 << 20)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                Error::new("54000", "regular expression is too complex")
            }
            error => {
                let line = error.to_string();
                let reason = line
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                Error::new("2201B", format!("invalid regular expression: {reason}"))
            }
        })
}

/// `(?i)` at the beginning is an option in PostgreSQL too; `***=` a literal.
fn embedded<'p>(pattern: &'p str, flags: &str) -> (&'p str, String) {
    let mut all = flags.to_owned();
    if let Some(literal) = pattern.strip_prefix("***=") {
        all.push('q');
        return (literal, all);
    }
    let pattern = pattern.strip_prefix("***:").unwrap_or(pattern);
    if let Some(rest) = pattern.strip_prefix("(?")
        && let Some((options, rest)) = rest.split_once(')')
        && !options.is_empty()
        && options.chars().all(|c| "bceimnpqstwx".contains(c))
    {
        all.push_str(options);
        return (rest, all);
    }
    (pattern, all)
}

/// PostgreSQL's own escapes in the notation of the crate.
#[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
fn translate(pattern: &str) -> Result<String, Error> {
    let unsupported = |what: &str| {
        Error::unsupported(
            format!("{what} in a regular expression"),
            "Write the expression without it.",
        )
    };
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('y') if !class => result.push_str(r"\b"),
                Some('Y') if !class => result.push_str(r"\B"),
                Some('m') if !class => result.push_str(r"\b{start}"),
                Some('M') if !class => result.push_str(r"\b{end}"),
                Some('A') if !class => result.push_str(r"\A"),
                Some('Z') if !class => result.push_str(r"\z"),
                Some(d) if d.is_ascii_digit() && d != '0' => {
                    return Err(unsupported("a back reference"));
                }
                Some('e') => result.push_str(r"\x1B"),
                Some('0') => result.push_str(r"\x00"),
                Some(other) => {
                    result.push('\\');
                    result.push(other);
                }
                None => {
                    return Err(Error::new(
                        "2201B",
                        "invalid regular expression: invalid escape \\ sequence",
                    ));
                }
            },
            '[' if class => match chars.peek() {
                Some(':') => result.push('['),
                Some('=' | '.') => return Err(unsupported("a collating element")),
                _ => result.push_str(r"\["),
            },
            '[' => {
                class = true;
                result.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    result.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    result.push_str(r"\]");
                }
            }
            ':' if class && chars.peek() == Some(&']') && result.contains("[:") => {
                result.push_str(":]");
                let _bracket = chars.next();
            }
            ']' if class => {
                class = false;
                result.push(']');
            }
            '&' | '~' | '-' if class && chars.peek() == Some(&c) => {
                result.push('\\');
                result.push(c);
            }
            '(' if !class && chars.peek() == Some(&'?') => {
                let mut ahead = chars.clone();
                let _question = ahead.next();
                match ahead.next() {
                    Some(':') => result.push('('),
                    _ => return Err(unsupported("a look-around constraint")),
                }
            }
            c => result.push(c),
        }
    }
    Ok(result)
}

/// A LIKE pattern with another escape character, as one with the backslash.
fn like_escape(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (pattern, escape) = (text(args, 0), text(args, 1));
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        return Err(Error::new("22025", "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next) => {
                    result.push('\\');
                    result.push(next);
                }
                None => {
                    return Err(Error::new(
                        "22025",
                        "LIKE pattern must not end with escape character",
                    ));
                }
            }
        } else if c == '\\' {
            result.push_str("\\\\");
        } else {
            result.push(c);
        }
    }
    Ok(result.into())
}

/// SIMILAR TO's pattern as a regular expression.
fn similar(pattern: &str, escape: &str) -> Result<String, Error> {
    let escape = escape.chars().next();
    let mut result = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let next =
                chars.next().ok_or_else(|| Error::new("22025", "invalid escape sequence"))?;
            result.push_str(&regex::escape(&next.to_string()));
            continue;
        }
        match c {
            '[' if !class => {
                class = true;
                result.push(c);
            }
            ']' if class => {
                class = false;
                result.push(c);
            }
            c if class => result.push(c),
            '%' => result.push_str(".*"),
            '_' => result.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => result.push(c),
            '(' => result.push_str("(?:"),
            c => result.push_str(&regex::escape(&c.to_string())),
        }
    }
    result.push_str(")$");
    Ok(result)
}
