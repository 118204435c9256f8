//! The text format: fields between delimiters, with backslash escapes.

use std::borrow::Cow;

use super::super::error::Problem;
use super::{Fields, Found, Reader};

impl Reader {
    /// Looks for the end of the next line; a byte after a backslash is never one.
    pub(super) fn find_text_line(&mut self, last: bool) -> Result<Found, Problem> {
        let mut place = self.scan.place;
        while let Some(byte) = self.pending.get(place) {
            match byte {
                b'\\' if self.pending.len() == place + 1 && !last => break,
                // `\.` ends the data only as a whole line, so its dot needs no care here.
                b'\\' => place += 2,
                b'\n' | b'\r' => match self.line_end(place, last)? {
                    Some(found) => return Ok(found),
                    None => break,
                },
                _ => place += 1,
            }
        }
        self.scan.place = place.min(self.pending.len());
        Ok(Found::Not)
    }

    /// A line's fields.
    pub(super) fn text_fields<'a>(&self, line: &'a str) -> Result<Fields<'a>, Problem> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let bytes = line.as_bytes();
        let (mut start, mut place) = (0, 0);
        while place <= bytes.len() {
            match bytes.get(place) {
                Some(b'\\') => place += 2,
                Some(byte) if *byte != self.layout.delimiter => place += 1,
                _ => {
                    fields.push(self.text_field(line.get(start..place).unwrap_or_default())?);
                    place += 1;
                    start = place;
                }
            }
        }
        // A backslash as the line's last byte skips over its end.
        if start <= bytes.len() {
            fields.push(self.text_field(line.get(start..).unwrap_or_default())?);
        }
        Ok(fields)
    }

    fn text_field<'a>(&self, raw: &'a str) -> Result<Option<Cow<'a, str>>, Problem> {
        if raw == self.layout.options.null {
            return Ok(None);
        }
        unescaped(raw).map(Some).map_err(|problem| self.place(problem, None))
    }
}

/// A field without its escapes.
fn unescaped(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if !raw.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(first @ b'0'..=b'7') => {
                let mut value = u32::from(first - b'0');
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(|byte| (b'0'..=b'7').contains(byte)) {
                        value = value * 8 + u32::from(digit - b'0');
                    }
                }
                out.push((value & 0xff) as u8);
            }
            Some(b'x') if rest.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut value = 0;
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(u8::is_ascii_hexdigit) {
                        value = value * 16 + char::from(digit).to_digit(16).unwrap_or(0);
                    }
                }
                out.push((value & 0xff) as u8);
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    // Escapes may make bytes that aren't text.
    super::super::message::text(&out)?;
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| Problem::error("22021", "invalid byte sequence for encoding \"UTF8\""))
}
