//! The binary format: a header, rows of counted fields, a trailer.

use bytes::Buf as _;
use ledger::Value;

use super::super::decode::value_of_binary;
use super::super::error::Problem;
use super::Reader;

/// What the data begin with.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

impl Reader {
    /// Reads the rows that are complete.
    pub(super) fn read_binary(
        &mut self,
        rows: &mut Vec<Vec<Value>>,
        last: bool,
    ) -> Result<(), Problem> {
        if !self.header_seen && !self.binary_header(last)? {
            return Ok(());
        }
        while !self.finished {
            let Some(length) = self.binary_row_length()? else { break };
            if length == 2 && self.pending.starts_with(&[0xff, 0xff]) {
                self.finished = true;
                self.pending.clear();
                return Ok(());
            }
            rows.push(self.binary_row(length)?);
            self.line += 1;
        }
        // The trailer may be missing, as PostgreSQL allows; half a row may not.
        if last && !self.pending.is_empty() {
            return Err(self.place(Problem::error("22P04", "unexpected EOF in COPY data"), None));
        }
        Ok(())
    }

    /// Takes the header; `false` if it isn't whole yet.
    fn binary_header(&mut self, last: bool) -> Result<bool, Problem> {
        let known = self.pending.len().min(SIGNATURE.len());
        if self.pending.get(..known) != SIGNATURE.get(..known) {
            return Err(Problem::error("22P04", "COPY file signature not recognized"));
        }
        let word = |place: usize| -> Option<u32> {
            Some(u32::from_be_bytes(self.pending.get(place..place + 4)?.try_into().ok()?))
        };
        let (Some(flags), Some(extension)) = (word(11), word(15)) else {
            return match last {
                true => Err(Problem::error("22P04", "invalid COPY file header (missing flags)")),
                false => Ok(false),
            };
        };
        if flags & 1 << 16 != 0 {
            return Err(Problem::error("22P04", "invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 17 != 0 {
            return Err(Problem::error("22P04", "unrecognized critical flags in COPY file header"));
        }
        let length = 19 + usize::try_from(extension).unwrap_or(usize::MAX - 19);
        if extension > 1 << 20 {
            return Err(Problem::error("22P04", "invalid COPY file header (wrong length)"));
        }
        if self.pending.len() < length {
            return match last {
                true => Err(Problem::error("22P04", "invalid COPY file header (wrong length)")),
                false => Ok(false),
            };
        }
        self.pending.advance(length);
        self.header_seen = true;
        Ok(true)
    }

    /// The bytes of the next row, if all of them are here.
    fn binary_row_length(&self) -> Result<Option<usize>, Problem> {
        let Some(&[high, low]) = self.pending.get(..2) else { return Ok(None) };
        let count = i16::from_be_bytes([high, low]);
        if count == -1 {
            return Ok(Some(2));
        }
        if usize::try_from(count).ok() != Some(self.columns.len()) {
            let problem = Problem::error(
                "22P04",
                format!("row field count is {count}, expected {}", self.columns.len()),
            );
            return Err(self.place(problem, None));
        }
        let mut place = 2;
        for _ in 0..count {
            let Some(&[a, b, c, d]) = self.pending.get(place..place + 4) else { return Ok(None) };
            let length = i32::from_be_bytes([a, b, c, d]);
            if length < -1 {
                return Err(self.place(Problem::error("22P04", "invalid field size"), None));
            }
            place += 4 + usize::try_from(length).unwrap_or(0);
            if place > self.pending.len() {
                return Ok(None);
            }
        }
        Ok(Some(place))
    }

    fn binary_row(&mut self, length: usize) -> Result<Vec<Value>, Problem> {
        let mut data = self.pending.split_to(length).freeze();
        data.advance(2);
        let mut row = Vec::with_capacity(self.columns.len());
        for (name, kind) in &self.columns {
            if data.remaining() < 4 {
                return Err(
                    self.place(Problem::error("22P04", "unexpected EOF in COPY data"), None)
                );
            }
            let value = match usize::try_from(data.get_i32()) {
                Err(_) => Value::Null,
                Ok(length) => value_of_binary(data.split_to(length.min(data.len())), kind)
                    .map_err(|problem| self.place(problem, Some((name, "(binary)"))))?,
            };
            row.push(value);
        }
        Ok(row)
    }
}
