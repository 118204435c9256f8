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

    /// Takes `[1:n]=` off the front, where n is any number: the elements are counted anyway.
    fn bounds(&mut self) -> Result<(), Refusal> {
        if self.peek() != Some('[') {
            return Ok(());
        }
        let (inside, after) = self.rest.split_once(']').ok_or_else(|| malformed(self.whole))?;
        let bounds = inside.trim_start_matches('[');
        let low = bounds.split_once(':').map(|(low, _)| low.trim_matches(is_blank));
        let after = after.trim_start_matches(is_blank);
        if after.starts_with('[') || low != Some("1") {
            let message = "only one-dimensional arrays with lower bound 1 are supported";
            return Err(Refusal::data("0A000", message));
        }
        let after = after.strip_prefix('=').ok_or_else(|| malformed(self.whole))?;
        self.rest = after;
        self.skip_blanks();
        Ok(())
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

/// The elements of an array's text.
pub(super) fn parse(text: &str, element: &Type, zone: &dyn Zone) -> Result<Vec<Value>, Refusal> {
    let mut parser = Parser { whole: text, rest: text };
    parser.skip_blanks();
    parser.bounds()?;
    if parser.next() != Some('{') {
        return Err(malformed(text));
    }
    let mut values = Vec::new();
    parser.skip_blanks();
    if parser.peek() == Some('}') {
        parser.next();
    } else {
        loop {
            values.push(match parser.element()? {
                Some(part) => Value::parse(&part, element, zone)?,
                None => Value::Null,
            });
            match parser.next() {
                Some(',') => {}
                Some('}') => break,
                _ => return Err(malformed(text)),
            }
        }
    }
    parser.skip_blanks();
    if parser.rest.is_empty() { Ok(values) } else { Err(malformed(text)) }
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
