//! COPY's own formats: text, CSV and binary, read across the borders of messages and written row by row.
//! It knows no session.

use std::borrow::Cow;

use bytes::{Buf, BytesMut};
use ledger::{Type, Value};
use sql::settings::Zone;
use sql::{CopyFormat, CopyOptions};

use super::error::Problem;

mod binary;
mod csv;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub(crate) use write::Writer;

/// How rows are laid out: COPY's options, with its ASCII characters as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    options: CopyOptions,
    delimiter: u8,
    quote: u8,
    escape: u8,
}

impl Layout {
    /// From the statement's options.
    pub(crate) fn new(options: CopyOptions) -> Self {
        let byte = |character: char, default| u8::try_from(character).unwrap_or(default);
        Self {
            delimiter: byte(options.delimiter, b'\t'),
            quote: byte(options.quote, b'"'),
            escape: byte(options.escape, b'"'),
            options,
        }
    }

    /// Which format.
    pub(crate) fn kind(&self) -> CopyFormat {
        self.options.format
    }

    /// The protocol's format code, for the columns too.
    pub(crate) fn code(&self) -> u8 {
        u8::from(self.kind() == CopyFormat::Binary)
    }
}

/// A line longer than this is refused: a client can't make the server keep more.
const LONGEST_LINE: usize = 64 << 20;

/// Reads rows from COPY data that comes in pieces of any size.
pub(crate) struct Reader {
    layout: Layout,
    columns: Vec<(String, Type)>,
    zone: Zone,
    /// Bytes that no row has used.
    pending: BytesMut,
    /// How far `pending` was searched for the end of a line.
    scan: Scan,
    ends: LineEnd,
    /// The line that is read, from 1.
    line: u64,
    header_seen: bool,
    /// `\.`, or the binary trailer: what follows is not read.
    finished: bool,
}

/// A line's fields; `None` is NULL.
type Fields<'a> = Vec<Option<Cow<'a, str>>>;

/// The search for a line's end.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    place: usize,
    in_quotes: bool,
}

/// How the first line ended: all others must end so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    ReturnNewline,
}

/// What a search for a line's end found.
enum Found {
    /// The line's length, and its end's.
    Line(usize, usize),
    /// More bytes are needed.
    Not,
}

impl Reader {
    /// For rows of these columns.
    pub(crate) fn new(layout: Layout, columns: Vec<(String, Type)>, zone: Zone) -> Self {
        Self {
            header_seen: !layout.options.header && layout.kind() != CopyFormat::Binary,
            layout,
            columns,
            zone,
            pending: BytesMut::new(),
            scan: Scan::default(),
            ends: LineEnd::Unknown,
            line: 1,
            finished: false,
        }
    }

    /// Takes more data, and adds the rows that are complete.
    ///
    /// # Errors
    /// `22P04` for data that isn't in the format, and what is wrong with a value; `54000` for a line that is
    /// too long. The line and column are in the context.
    pub(crate) fn push(&mut self, data: &[u8], rows: &mut Vec<Vec<Value>>) -> Result<(), Problem> {
        if self.finished {
            return Ok(());
        }
        self.pending.extend_from_slice(data);
        self.read(rows, false)
    }

    /// Takes the end of the data: a last line needs no end of its own.
    ///
    /// # Errors
    /// As [`Self::push`], and `22P04` for a row that is cut off.
    pub(crate) fn finish(&mut self, rows: &mut Vec<Vec<Value>>) -> Result<(), Problem> {
        if self.finished { Ok(()) } else { self.read(rows, true) }
    }

    fn read(&mut self, rows: &mut Vec<Vec<Value>>, last: bool) -> Result<(), Problem> {
        let result = match self.layout.kind() {
            CopyFormat::Binary => self.read_binary(rows, last),
            CopyFormat::Text | CopyFormat::Csv => self.read_lines(rows, last),
        };
        if result.is_ok() && self.pending.len() > LONGEST_LINE {
            return Err(Problem::error("54000", "COPY line is too long")
                .with_detail(format!("A line has at most {LONGEST_LINE} bytes."))
                .with_context(format!("COPY, line {}", self.line)));
        }
        result
    }

    fn read_lines(&mut self, rows: &mut Vec<Vec<Value>>, last: bool) -> Result<(), Problem> {
        while !self.finished {
            let found = match self.layout.kind() {
                CopyFormat::Csv => self.find_csv_line(last),
                _ => self.find_text_line(last),
            };
            let (length, end) = match found.map_err(|problem| self.place(problem, None))? {
                Found::Line(length, end) => (length, end),
                Found::Not if last && !self.pending.is_empty() => {
                    if self.scan.in_quotes {
                        let problem = Problem::error("22P04", "unterminated CSV quoted field");
                        return Err(self.place(problem, None));
                    }
                    (self.pending.len(), 0)
                }
                Found::Not => break,
            };
            self.scan = Scan::default();
            let line = self.pending.split_to(length);
            self.pending.advance(end);
            self.one_line(&line, rows)?;
            self.line += 1;
        }
        if self.finished {
            self.pending.clear();
        }
        Ok(())
    }

    fn one_line(&mut self, line: &[u8], rows: &mut Vec<Vec<Value>>) -> Result<(), Problem> {
        if line == b"\\." {
            self.finished = true;
            return Ok(());
        }
        let line = super::message::text(line).map_err(|problem| self.place(problem, None))?;
        if !self.header_seen {
            self.header_seen = true;
            return if self.layout.options.header_match { self.check_header(line) } else { Ok(()) };
        }
        rows.push(self.row(line)?);
        Ok(())
    }

    /// Checks the names in the first line (`HEADER MATCH`).
    fn check_header(&self, line: &str) -> Result<(), Problem> {
        let names = match self.layout.kind() {
            CopyFormat::Csv => self.csv_fields(line)?,
            _ => self.text_fields(line)?,
        };
        let wrong = |message| Err(self.place(Problem::error("22P04", message), None));
        if names.len() != self.columns.len() {
            return wrong(format!(
                "wrong number of fields in header line: field count is {}, expected {}",
                names.len(),
                self.columns.len()
            ));
        }
        for (place, (found, (expected, _))) in names.iter().zip(&self.columns).enumerate() {
            let number = place + 1;
            match found {
                None => {
                    return wrong(format!(
                        "column name mismatch in header line field {number}: got null value (\"{}\"), expected \"{expected}\"",
                        self.layout.options.null
                    ));
                }
                Some(found) if found != expected => {
                    return wrong(format!(
                        "column name mismatch in header line field {number}: got \"{found}\", expected \"{expected}\""
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A line's values.
    fn row(&self, line: &str) -> Result<Vec<Value>, Problem> {
        if self.columns.is_empty() && line.is_empty() {
            return Ok(Vec::new());
        }
        let fields = match self.layout.kind() {
            CopyFormat::Csv => self.csv_fields(line)?,
            _ => self.text_fields(line)?,
        };
        if fields.len() < self.columns.len() {
            let name = self.columns.get(fields.len()).map_or("", |(name, _)| name);
            let problem = Problem::error("22P04", format!("missing data for column \"{name}\""));
            return Err(self.place(problem, None));
        }
        let mut values = Vec::with_capacity(fields.len());
        for (column, text) in fields.iter().enumerate() {
            values.push(self.value(column, text.as_deref())?);
        }
        Ok(values)
    }

    /// One field's value; `text` is `None` for NULL.
    fn value(&self, column: usize, text: Option<&str>) -> Result<Value, Problem> {
        let Some((name, kind)) = self.columns.get(column) else {
            let problem = Problem::error("22P04", "extra data after last expected column");
            return Err(self.place(problem, None));
        };
        let Some(text) = text else { return Ok(Value::Null) };
        super::decode::value_of_text(text, kind, self.zone)
            .map_err(|problem| self.place(problem, Some((name, text))))
    }

    /// Adds where the problem is.
    fn place(&self, problem: Problem, field: Option<(&str, &str)>) -> Problem {
        let mut context = format!("COPY, line {}", self.line);
        if let Some((name, text)) = field {
            let shown: String = text.chars().take(100).collect();
            let dots = if shown.len() < text.len() { "..." } else { "" };
            context.push_str(&format!(", column {name}: \"{shown}{dots}\""));
        }
        problem.with_context(context)
    }

    /// Decides at an unquoted `\n` or `\r` whether the line ends here; `None` asks for another byte first.
    fn line_end(&mut self, place: usize, last: bool) -> Result<Option<Found>, Problem> {
        let byte = self.pending.get(place).copied();
        let next = self.pending.get(place + 1).copied();
        let (end, length) = match (byte, next) {
            (Some(b'\n'), _) => (LineEnd::Newline, 1),
            (_, Some(b'\n')) => (LineEnd::ReturnNewline, 2),
            (_, None) if !last => return Ok(None),
            _ => (LineEnd::Return, 1),
        };
        if self.ends == LineEnd::Unknown {
            self.ends = end;
        }
        if self.ends == end {
            return Ok(Some(Found::Line(place, length)));
        }
        let what = if end == LineEnd::Newline { "newline" } else { "carriage return" };
        let kind = if self.layout.kind() == CopyFormat::Csv { "unquoted" } else { "literal" };
        let hint = match (self.layout.kind(), end) {
            (CopyFormat::Csv, _) => format!("Use quoted CSV field to represent {what}."),
            (_, LineEnd::Newline) => "Use \"\\n\" to represent newline.".to_owned(),
            _ => "Use \"\\r\" to represent carriage return.".to_owned(),
        };
        Err(Problem::error("22P04", format!("{kind} {what} found in data")).with_hint(hint))
    }
}
