//! The CSV format, with PostgreSQL's rules for quotes.

use std::borrow::Cow;

use super::super::error::Problem;
use super::{Fields, Found, Reader};

impl Reader {
    /// Looks for the end of the next line; one inside quotes belongs to the field.
    pub(super) fn find_csv_line(&mut self, last: bool) -> Result<Found, Problem> {
        let (quote, escape) = (self.layout.quote, self.layout.escape);
        let mut place = self.scan.place;
        let mut in_quotes = self.scan.in_quotes;
        while let Some(&byte) = self.pending.get(place) {
            if in_quotes && byte == escape && escape != quote {
                match self.pending.get(place + 1) {
                    Some(&next) if next == quote || next == escape => place += 2,
                    None if !last => break,
                    _ => place += 1,
                }
                continue;
            }
            if byte == quote {
                // A doubled quote goes out and in again, which comes to the same.
                in_quotes = !in_quotes;
            } else if !in_quotes && (byte == b'\n' || byte == b'\r') {
                match self.line_end(place, last)? {
                    Some(found) => return Ok(found),
                    None => break,
                }
            }
            place += 1;
        }
        self.scan.place = place;
        self.scan.in_quotes = in_quotes;
        Ok(Found::Not)
    }

    /// A line's fields.
    pub(super) fn csv_fields<'a>(&self, line: &'a str) -> Result<Fields<'a>, Problem> {
        let options = &self.layout.options;
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut rest = line;
        loop {
            let (text, quoted, after) = self.csv_field(rest)?;
            let column = fields.len();
            let is_null = text == options.null
                && if quoted {
                    options.force_null.contains(&column)
                } else {
                    !options.force_not_null.contains(&column)
                };
            fields.push((!is_null).then_some(text));
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
        }
    }

    /// The first field of `rest`: its text, whether any of it was quoted, and what follows its delimiter.
    fn csv_field<'a>(
        &self,
        rest: &'a str,
    ) -> Result<(Cow<'a, str>, bool, Option<&'a str>), Problem> {
        let (quote, escape, delimiter) =
            (self.layout.quote, self.layout.escape, self.layout.delimiter);
        let bytes = rest.as_bytes();
        // Most fields have no quote: they are taken as they are.
        let stop = bytes.iter().position(|byte| *byte == delimiter || *byte == quote);
        match stop {
            None => return Ok((rest.into(), false, None)),
            Some(place) if bytes.get(place) == Some(&delimiter) => {
                let (field, after) = rest.split_at(place);
                return Ok((field.into(), false, after.get(1..)));
            }
            Some(_) => {}
        }
        let mut out = Vec::new();
        let (mut place, mut in_quotes, mut after) = (0, false, None);
        while let Some(&byte) = bytes.get(place) {
            let next = bytes.get(place + 1).copied();
            place += 1;
            if in_quotes && byte == escape && (next == Some(quote) || next == Some(escape)) {
                out.extend(next);
                place += 1;
            } else if byte == quote {
                in_quotes = !in_quotes;
            } else if byte == delimiter && !in_quotes {
                after = rest.get(place..);
                break;
            } else {
                out.push(byte);
            }
        }
        if in_quotes {
            let problem = Problem::error("22P04", "unterminated CSV quoted field");
            return Err(self.place(problem, None));
        }
        let text = String::from_utf8(out).map_err(|_| {
            self.place(Problem::error("22021", "invalid byte sequence for encoding \"UTF8\""), None)
        })?;
        Ok((text.into(), true, after))
    }
}
