//! COPY's rows on their way out: one CopyData message for each row.

use bytes::{BufMut, BytesMut};
use sql::CopyFormat;
use sql::settings::Zone;

use super::super::encode::Rows;
use super::super::error::Problem;
use super::super::reply::{message, put_count, set_length};
use super::Layout;

/// Writes rows in a layout.
pub(crate) struct Writer {
    layout: Layout,
    zone: Zone,
    /// The binary format's header was written: it comes in the first row's message, as drivers expect it.
    headed: bool,
}

impl Writer {
    /// For this layout.
    pub(crate) fn new(layout: Layout, zone: Zone) -> Self {
        Self { layout, zone, headed: false }
    }

    /// Writes what comes before the rows.
    pub(crate) fn begin<'a>(&self, names: impl Iterator<Item = &'a str>, out: &mut BytesMut) {
        match self.layout.kind() {
            CopyFormat::Binary => {}
            _ if self.layout.options.header => message(out, b'd', |out| {
                for (place, name) in names.enumerate() {
                    self.separate(place, out);
                    let start = out.len();
                    out.put_slice(name.as_bytes());
                    self.dress(start, false, false, out);
                }
                out.put_u8(b'\n');
            }),
            _ => {}
        }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// A value that its type can't hold.
    pub(crate) fn row(
        &mut self,
        rows: &Rows<'_>,
        row: usize,
        columns: usize,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let start = out.len();
        out.put_slice(b"d\0\0\0\0");
        let headed = self.headed;
        self.head(out);
        if let Err(problem) = self.fields(rows, row, columns, out) {
            out.truncate(start);
            self.headed = headed;
            return Err(problem);
        }
        set_length(out, start + 1, out.len() - start - 1);
        Ok(())
    }

    fn head(&mut self, out: &mut BytesMut) {
        if self.layout.kind() == CopyFormat::Binary && !self.headed {
            out.put_slice(super::binary::SIGNATURE);
            out.put_i32(0);
            out.put_i32(0);
            self.headed = true;
        }
    }

    fn fields(
        &self,
        rows: &Rows<'_>,
        row: usize,
        columns: usize,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        if self.layout.kind() == CopyFormat::Binary {
            put_count(out, columns);
            return rows.values(row, self.zone, out);
        }
        for column in 0..columns {
            self.separate(column, out);
            let start = out.len();
            if rows.text_value(row, column, self.zone, out)? {
                let forced = self.layout.options.force_quote.contains(&column);
                self.dress(start, columns == 1, forced, out);
            } else {
                out.put_slice(self.layout.options.null.as_bytes());
            }
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Writes what comes after the rows.
    pub(crate) fn end(&mut self, out: &mut BytesMut) {
        if self.layout.kind() == CopyFormat::Binary {
            message(out, b'd', |out| {
                self.head(out);
                out.put_i16(-1);
            });
        }
    }

    fn separate(&self, place: usize, out: &mut BytesMut) {
        if place > 0 {
            out.put_u8(self.layout.delimiter);
        }
    }

    /// Escapes or quotes the field written since `start`, if it needs that.
    fn dress(&self, start: usize, alone: bool, forced: bool, out: &mut BytesMut) {
        match self.layout.kind() {
            CopyFormat::Csv => self.quote(start, alone, forced, out),
            _ => self.escape(start, out),
        }
    }

    fn escape(&self, start: usize, out: &mut BytesMut) {
        let delimiter = self.layout.delimiter;
        let special = |byte: &u8| *byte == delimiter || matches!(byte, b'\\' | 8..=13);
        if !out.get(start..).unwrap_or_default().iter().any(special) {
            return;
        }
        let text = out.split_off(start);
        for byte in text {
            let letter = match byte {
                8 => b'b',
                9 => b't',
                10 => b'n',
                11 => b'v',
                12 => b'f',
                13 => b'r',
                other if other == b'\\' || other == delimiter => other,
                other => {
                    out.put_u8(other);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }

    fn quote(&self, start: usize, alone: bool, forced: bool, out: &mut BytesMut) {
        let Layout { delimiter, quote, escape, ref options } = self.layout;
        let text = out.get(start..).unwrap_or_default();
        let special =
            |byte: &u8| *byte == delimiter || *byte == quote || *byte == b'\n' || *byte == b'\r';
        let is_end = alone && text == b"\\.";
        if !forced && text != options.null.as_bytes() && !is_end && !text.iter().any(special) {
            return;
        }
        let text = out.split_off(start);
        out.put_u8(quote);
        for byte in text {
            if byte == quote || byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(byte);
        }
        out.put_u8(quote);
    }
}
