//! Texts of arrays: `{1,2,NULL,"a b"}`.

use super::Zone;
use super::scalar::is_blank;
use crate::{Refusal, Type, Value};

fn malformed(text: &str) -> Refusal {
    Refusal::data("22P02", format!("malformed array literal: \"{text}\""))
}

/// Walks an array's text.
struct Parser<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// Takes `[1:n]=` off the front; gives n.
    fn bounds(&mut self) -> Result<Option<usize>, Refusal> {
        if self.peek() != Some('[') {
            return Ok(None);
        }
        let (inside, after) = self.rest.split_once(']').ok_or_else(|| malformed(self.whole))?;
        let bounds = inside.trim_start_matches('[');
        let (low, high) = bounds.split_once(':').unwrap_or(("1", bounds));
        let number = |text: &str| text.trim_matches(is_blank).parse::<i64>();
        let (Ok(low), Ok(high)) = (number(low), number(high)) else {
            return Err(malformed(self.whole));
        };
        if after.starts_with('[') || low != 1 {
            let message = "only one-dimensional arrays with lower bound 1 are supported";
            return Err(Refusal::data("0A000", message));
        }
        let after = after.trim_start_matches(is_blank);
        self.rest = after.strip_prefix('=').ok_or_else(|| malformed(self.whole))?;
        self.skip_blanks();
        usize::try_from(high).map(Some).map_err(|_| malformed(self.whole))
    }

    /// One element's text; `None` for NULL.
    fn element(&mut self) -> Result<Option<String>, Refusal> {
        self.skip_blanks();
        match self.peek() {
            Some('{') => {
                Err(Refusal::data("0A000", "arrays of more than one dimension are not supported"))
            }
            Some('"') => self.quoted().map(Some),
            _ => self.bare(),
        }
    }

    fn quoted(&mut self) -> Result<String, Refusal> {
        self.next();
        let mut out = String::new();
        loop {
            match self.next().ok_or_else(|| malformed(self.whole))? {
                '"' => break,
                '\\' => out.push(self.next().ok_or_else(|| malformed(self.whole))?),
                c => out.push(c),
            }
        }
        self.skip_blanks();
        Ok(out)
    }

    fn bare(&mut self) -> Result<Option<String>, Refusal> {
        let mut out = String::new();
        // Blanks at the end fall off, but not escaped ones.
        let mut kept = 0;
        let mut escaped = false;
        loop {
            match self.peek().ok_or_else(|| malformed(self.whole))? {
                ',' | '}' => break,
                '{' | '"' => return Err(malformed(self.whole)),
                '\\' => {
                    self.next();
                    out.push(self.next().ok_or_else(|| malformed(self.whole))?);
                    kept = out.len();
                    escaped = true;
                }
                c => {
                    self.next();
                    out.push(c);
                    if !is_blank(c) {
                        kept = out.len();
                    }
                }
            }
        }
        out.truncate(kept);
        if out.is_empty() {
            return Err(malformed(self.whole));
        }
        Ok((escaped || !out.eq_ignore_ascii_case("null")).then_some(out))
    }
}

/// The elements of an array's text. Its form is checked before any element is read.
pub(super) fn parse(text: &str, element: &Type, zone: &dyn Zone) -> Result<Vec<Value>, Refusal> {
    let mut parser = Parser { whole: text, rest: text };
    parser.skip_blanks();
    let count = parser.bounds()?;
    if parser.next() != Some('{') {
        return Err(malformed(text));
    }
    let mut parts = Vec::new();
    parser.skip_blanks();
    if parser.peek() == Some('}') {
        parser.next();
    } else {
        loop {
            parts.push(parser.element()?);
            match parser.next() {
                Some(',') => {}
                Some('}') => break,
                _ => return Err(malformed(text)),
            }
        }
    }
    parser.skip_blanks();
    if !parser.rest.is_empty() || count.is_some_and(|count| count != parts.len()) {
        return Err(malformed(text));
    }
    let read = |part: Option<String>| match part {
        Some(part) => Value::parse(&part, element, zone),
        None => Ok(Value::Null),
    };
    parts.into_iter().map(read).collect()
}

/// Appends an array's text.
pub(super) fn write(out: &mut String, values: &[Value], element: &Type, zone: &dyn Zone) {
    out.push('{');
    let mut text = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if value.is_null() {
            out.push_str("NULL");
            continue;
        }
        text.clear();
        value.write_text(&mut text, element, zone);
        let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_blank(c);
        if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
            out.push_str(&text);
            continue;
        }
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
}
