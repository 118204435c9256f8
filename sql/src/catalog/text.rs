//! Texts that catalogs and clients exchange: quoted names, array literals, sizes.

/// A name as it must be written in SQL.
pub fn quote_ident(name: &str) -> String {
    let plain = name.chars().enumerate().all(|(i, c)| {
        c.is_ascii_lowercase() || c == '_' || (i > 0 && (c.is_ascii_digit() || c == '$'))
    });
    if plain && !name.is_empty() && !is_reserved(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Whether the word needs quotes as a name: every keyword that isn't of the category "unreserved".
fn is_reserved(word: &str) -> bool {
    super::static_rows::KEYWORDS.lines().any(|line| {
        let mut fields = line.split('\t');
        fields.next() == Some(word) && fields.next() != Some("U")
    })
}

/// A text as a literal.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// The parts of a name that may be qualified (`"My".t`), folded as SQL folds them. `None` if it is malformed.
pub fn name_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut tail = quoted;
            loop {
                let (before, after) = tail.split_once('"')?;
                name.push_str(before);
                match after.strip_prefix('"') {
                    Some(next) => {
                        name.push('"');
                        tail = next;
                    }
                    None => break (name, after),
                }
            }
        } else {
            let end = rest.find(|c: char| c == '.' || c.is_whitespace()).unwrap_or(rest.len());
            (rest[..end].to_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        let after = after.trim_start();
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?.trim_start();
    }
}

/// The items of an array literal of one dimension (`{a,"b c",NULL}`); `None` if it is malformed.
pub fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let text = text.trim();
    // Bounds may stand before it: `[0:1]={1,2}`.
    let text = match text.strip_prefix('[') {
        Some(_) => text.split_once('=')?.1.trim_start(),
        None => text,
    };
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut characters = inner.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        let mut quoted = false;
        if characters.next_if_eq(&'"').is_some() {
            quoted = true;
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => item.push(characters.next()?),
                    c => item.push(c),
                }
            }
            while characters.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = characters.next_if(|c| *c != ',') {
                match c {
                    '\\' => item.push(characters.next()?),
                    '{' | '}' | '"' => return None,
                    c => item.push(c),
                }
            }
            item.truncate(item.trim_end().len());
        }
        let null = !quoted && item.eq_ignore_ascii_case("null");
        if !quoted && item.is_empty() {
            return None;
        }
        items.push((!null).then_some(item));
        match characters.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// The literal of an array of one dimension.
pub fn array_literal<'a>(items: impl Iterator<Item = Option<&'a str>>) -> String {
    let items: Vec<String> = items
        .map(|item| match item {
            None => "NULL".to_owned(),
            Some(item) => {
                let plain = !item.is_empty()
                    && !item.eq_ignore_ascii_case("null")
                    && !item
                        .chars()
                        .any(|c| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace());
                if plain {
                    item.to_owned()
                } else {
                    format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
                }
            }
        })
        .collect();
    format!("{{{}}}", items.join(","))
}

/// A size in bytes as people read it: bytes up to 10 kB, then each unit up to 10,240 of it, rounded.
pub fn size_pretty(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let magnitude = bytes.unsigned_abs();
    if magnitude < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    let sign = if bytes < 0 { "-" } else { "" };
    // One bit more is kept for rounding half up.
    let mut halves = magnitude >> 9;
    for (i, unit) in UNITS.iter().enumerate() {
        let rounded = halves.div_ceil(2);
        if halves < 20 * 1024 - 1 || i + 1 == UNITS.len() {
            return format!("{sign}{rounded} {unit}");
        }
        halves >>= 10;
    }
    format!("{bytes} bytes")
}
