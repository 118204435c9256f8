//! The row codec: a row's columns as canonical bytes with random access, and the row's commitment.
//!
//! The bytes describe themselves: which columns are NULL, committed on their own, or erased stands in the
//! row, so that commitments need no table definition. Only values need it, for their types.

mod cell;
#[cfg(test)]
mod tests;

use crate::codec::DecodeError;
use crate::hash::{Domain, hash};
use crate::value::ValueRef;
use crate::{ColumnNumber, Hash, Refusal, Row, Table, Value};

pub use cell::{decode_cell, push_cell};

/// The first byte's upper half: version 1 of the row codec. The lower half is the width of the ends.
const FORMAT: u8 = 0x10;

/// Bytes before the states: format, number of columns.
const HEAD: usize = 3;

/// Bytes of a salt.
const SALT: usize = 16;

/// The most columns that a row can have.
pub const MAX_COLUMNS: usize = 1600;

/// How a column stands in the row: two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// NULL, no bytes.
    Null = 0,
    /// A value.
    Plain = 1,
    /// Redactable: a salt, whether there is a value, and the value.
    Salted = 2,
    /// Redactable and erased (or withheld): its commitment.
    Erased = 3,
}

impl State {
    fn of(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Null,
            1 => Self::Plain,
            2 => Self::Salted,
            _ => Self::Erased,
        }
    }
}

/// A column of a row, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// The row was written before the column existed.
    Missing,
    /// NULL.
    Null,
    /// A value's bytes.
    Value(&'a [u8]),
    /// Erased for good: only this commitment is left.
    Erased(Hash),
}

/// A row's bytes, taken apart without its table. Cheap to make: columns are found when asked for.
#[derive(Clone, Copy, Debug)]
pub struct RowLayout<'a> {
    count: usize,
    width: usize,
    states: &'a [u8],
    ends: &'a [u8],
    cells: &'a [u8],
}

fn cut(what: &str) -> DecodeError {
    DecodeError::malformed(format!("row: {what}"))
}

impl<'a> RowLayout<'a> {
    /// Takes a row apart.
    ///
    /// # Errors
    /// When the bytes are too short, of another format, or their head is not canonical.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(|| cut("no head"))?;
        let [format, low, high] = *head else { return Err(cut("no head")) };
        let width = match format.checked_sub(FORMAT) {
            Some(width @ (1 | 2 | 4)) => usize::from(width),
            _ => return Err(cut("unknown format")),
        };
        let count = usize::from(u16::from_le_bytes([low, high]));
        if count > MAX_COLUMNS {
            return Err(cut("too many columns"));
        }
        let (states, rest) =
            rest.split_at_checked(count.div_ceil(4)).ok_or_else(|| cut("no states"))?;
        let (ends, cells) =
            rest.split_at_checked(count * width).ok_or_else(|| cut("no offsets"))?;
        let layout = Self { count, width, states, ends, cells };
        if layout.end(count) != Some(cells.len()) {
            return Err(cut("wrong length"));
        }
        let needed = match cells.len() {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 4,
        };
        let unused = states.last().map_or(0, |last| match count % 4 {
            0 => 0,
            used => last >> (2 * used),
        });
        if width != needed || unused != 0 {
            return Err(cut("not canonical"));
        }
        Ok(layout)
    }

    /// How many columns the row was written with.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where the first `n` columns' bytes end.
    fn end(&self, n: usize) -> Option<usize> {
        let Some(index) = n.checked_sub(1) else { return Some(0) };
        let bytes = self.ends.get(index * self.width..n * self.width)?;
        match *bytes {
            [a] => Some(usize::from(a)),
            [a, b] => Some(usize::from(u16::from_le_bytes([a, b]))),
            [a, b, c, d] => usize::try_from(u32::from_le_bytes([a, b, c, d])).ok(),
            _ => None,
        }
    }

    /// The column at `index` (number - 1) with its raw bytes; `None` past the row's columns.
    fn raw(&self, index: usize) -> Result<Option<(State, &'a [u8])>, DecodeError> {
        if index >= self.count {
            return Ok(None);
        }
        let states = *self.states.get(index / 4).ok_or_else(|| cut("no states"))?;
        let state = State::of(states >> (2 * (index % 4)));
        let range = self.end(index).zip(self.end(index + 1));
        let (from, to) = range.ok_or_else(|| cut("no offset"))?;
        let bytes = self.cells.get(from..to).ok_or_else(|| cut("offsets out of order"))?;
        Ok(Some((state, bytes)))
    }

    /// A column.
    ///
    /// # Errors
    /// When the row's bytes are damaged.
    pub fn cell(&self, column: ColumnNumber) -> Result<Cell<'a>, DecodeError> {
        let index = usize::from(column.0).checked_sub(1).ok_or_else(|| cut("column 0"))?;
        let Some((state, bytes)) = self.raw(index)? else { return Ok(Cell::Missing) };
        cell_of(state, bytes)
    }

    /// Whether the column is committed on its own.
    ///
    /// # Errors
    /// When the row's bytes are damaged.
    pub fn is_redactable(&self, column: ColumnNumber) -> Result<bool, DecodeError> {
        let index = usize::from(column.0).checked_sub(1).ok_or_else(|| cut("column 0"))?;
        let state = self.raw(index)?.map(|(state, _)| state);
        Ok(matches!(state, Some(State::Salted | State::Erased)))
    }

    /// Whether any column is committed on its own and not erased.
    fn has_salted(&self) -> bool {
        self.states.iter().any(|byte| (byte >> 1) & !byte & 0x55 != 0)
    }
}

/// A column of this state with these bytes.
fn cell_of(state: State, bytes: &[u8]) -> Result<Cell<'_>, DecodeError> {
    match state {
        State::Null if bytes.is_empty() => Ok(Cell::Null),
        State::Null => Err(cut("NULL with bytes")),
        State::Plain => Ok(Cell::Value(bytes)),
        State::Salted => {
            let (_, rest) = bytes.split_at_checked(SALT).ok_or_else(|| cut("no salt"))?;
            match rest.split_first() {
                Some((0, [])) => Ok(Cell::Null),
                Some((1, value)) => Ok(Cell::Value(value)),
                _ => Err(cut("salted column malformed")),
            }
        }
        State::Erased => Ok(Cell::Erased(erased(bytes)?)),
    }
}

/// The commitment in an erased column's place.
fn erased(bytes: &[u8]) -> Result<Hash, DecodeError> {
    Ok(Hash(bytes.try_into().map_err(|_| cut("commitment of the wrong length"))?))
}

/// A redactable column's commitment: over its number and its salted bytes.
fn cell_commitment(index: usize, salted: &[u8]) -> Hash {
    let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
    hash(Domain::Cell, &[&number.to_le_bytes(), salted])
}

/// Encodes rows one after the other, in the same working memory.
#[derive(Debug, Default)]
pub struct RowEncoder(Builder);

impl RowEncoder {
    /// As [`Row::encode`].
    ///
    /// # Errors
    /// As of [`Row::encode`].
    pub fn encode(
        &mut self,
        table: &Table,
        values: &[Value],
        mut salts: impl FnMut() -> [u8; 16],
    ) -> Result<Row, Refusal> {
        if values.len() != table.columns.len() {
            return Err(Refusal::malformed("a row of the wrong number of columns"));
        }
        let builder = &mut self.0;
        builder.clear();
        for (column, value) in table.columns.iter().zip(values) {
            if column.dropped {
                builder.end_column(State::Null)?;
            } else if column.redactable {
                builder.cells.extend_from_slice(&salts());
                builder.cells.push(u8::from(!value.is_null()));
                push_cell(&mut builder.cells, &column.kind, value)?;
                builder.end_column(State::Salted)?;
            } else {
                push_cell(&mut builder.cells, &column.kind, value)?;
                builder.end_column(if value.is_null() { State::Null } else { State::Plain })?;
            }
        }
        Ok(Row { bytes: builder.finish()? })
    }
}

/// Builds a row column by column.
#[derive(Debug, Default)]
struct Builder {
    states: Vec<u8>,
    ends: Vec<u32>,
    cells: Vec<u8>,
}

impl Builder {
    fn new(columns: usize, capacity: usize) -> Self {
        Self {
            states: Vec::with_capacity(columns.div_ceil(4)),
            ends: Vec::with_capacity(columns),
            cells: Vec::with_capacity(capacity),
        }
    }

    fn clear(&mut self) {
        self.states.clear();
        self.ends.clear();
        self.cells.clear();
    }

    /// Ends a column whose bytes were pushed to `cells`.
    fn end_column(&mut self, state: State) -> Result<(), Refusal> {
        let index = self.ends.len();
        if index.is_multiple_of(4) {
            self.states.push(0);
        }
        if let Some(last) = self.states.last_mut() {
            *last |= (state as u8) << (2 * (index % 4));
        }
        let end = u32::try_from(self.cells.len())
            .map_err(|_| Refusal::data("54000", "row is too big"))?;
        self.ends.push(end);
        Ok(())
    }

    fn finish(&self) -> Result<Vec<u8>, Refusal> {
        let count = u16::try_from(self.ends.len())
            .ok()
            .filter(|n| usize::from(*n) <= MAX_COLUMNS)
            .ok_or_else(|| Refusal::definition("54011", "tables can have at most 1600 columns"))?;
        let total = self.ends.last().copied().unwrap_or(0);
        let width = if total <= 0xff {
            1u8
        } else if total <= 0xffff {
            2
        } else {
            4
        };
        let mut bytes = Vec::with_capacity(
            HEAD + self.states.len() + self.ends.len() * usize::from(width) + self.cells.len(),
        );
        bytes.push(FORMAT + width);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.states);
        let ends = self.ends.iter().map(|end| end.to_le_bytes());
        match width {
            1 => bytes.extend(ends.map(|[low, ..]| low)),
            2 => ends.for_each(|[low, high, ..]| bytes.extend_from_slice(&[low, high])),
            _ => ends.for_each(|end| bytes.extend_from_slice(&end)),
        }
        bytes.extend_from_slice(&self.cells);
        Ok(bytes)
    }
}

impl Row {
    /// Encodes the values of all columns, in order of their numbers (dropped ones as NULL). `salts` gives
    /// 16 random bytes for each redactable column.
    ///
    /// # Errors
    /// Malformed when the number or the kinds of the values aren't the table's; 54000 past 4 GiB.
    pub fn encode(
        table: &Table,
        values: &[Value],
        salts: impl FnMut() -> [u8; 16],
    ) -> Result<Self, Refusal> {
        RowEncoder(Builder::new(values.len(), 16 * values.len())).encode(table, values, salts)
    }

    /// What the ledger hashes in the row's place: the hash of the row with every redactable column
    /// erased. So it stays the same when one is.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn commitment(&self) -> Result<Hash, DecodeError> {
        let layout = RowLayout::new(&self.bytes)?;
        if !layout.has_salted() {
            return Ok(hash(Domain::Row, &[&self.bytes]));
        }
        let all = self.erase(|_| true)?;
        Ok(hash(Domain::Row, &[&all.bytes]))
    }

    /// The row with the redactable columns that `which` names erased: their commitments stand in their
    /// place, their values and salts are gone. The row's commitment stays the same.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn erase(&self, which: impl Fn(ColumnNumber) -> bool) -> Result<Self, DecodeError> {
        let layout = RowLayout::new(&self.bytes)?;
        let mut builder = Builder::new(layout.count, self.bytes.len());
        for index in 0..layout.count {
            let (state, bytes) = layout.raw(index)?.ok_or_else(|| cut("no column"))?;
            let number = ColumnNumber(u16::try_from(index + 1).unwrap_or(u16::MAX));
            let state = if state == State::Salted && which(number) {
                builder.cells.extend_from_slice(&cell_commitment(index, bytes).0);
                State::Erased
            } else {
                builder.cells.extend_from_slice(bytes);
                state
            };
            builder.end_column(state).map_err(|refusal| cut(&refusal.to_string()))?;
        }
        let bytes = builder.finish().map_err(|refusal| cut(&refusal.to_string()))?;
        Ok(Self { bytes })
    }

    /// Checks that the bytes are the one way to write this row: no gaps, no unused bits, offsets no
    /// wider than needed, and each column's bytes canonical for its type; redactable columns of the table
    /// are salted, others plain, dropped ones NULL. Columns at the end may be missing, as when they were
    /// added after the row was written. What a validator asks before it believes a row.
    ///
    /// # Errors
    /// Malformed with what is wrong.
    pub fn check(&self, table: &Table) -> Result<(), Refusal> {
        let layout = RowLayout::new(&self.bytes)?;
        if layout.count > table.columns.len() {
            return Err(Refusal::malformed("a row of too many columns"));
        }
        for (index, column) in table.columns.iter().enumerate().take(layout.count) {
            let (state, bytes) = layout.raw(index)?.ok_or_else(|| cut("no column"))?;
            let fits = match state {
                State::Null => !column.redactable || column.dropped,
                State::Plain => !column.redactable && !column.dropped,
                State::Salted => column.redactable && !column.dropped,
                State::Erased => false,
            };
            if !fits {
                return Err(Refusal::malformed(format!(
                    "column \"{}\" in a wrong state",
                    column.name
                )));
            }
            if let Cell::Value(bytes) = cell_of(state, bytes)? {
                cell::check(&column.kind, bytes)?;
            }
        }
        Ok(())
    }
}

/// Reads the values of a row in its table.
#[derive(Clone, Copy, Debug)]
pub struct RowReader<'a> {
    table: &'a Table,
    layout: RowLayout<'a>,
}

impl<'a> RowReader<'a> {
    /// A reader over a row's bytes.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn new(table: &'a Table, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self { table, layout: RowLayout::new(bytes)? })
    }

    /// A column's value without copying its text; found in constant time. Erased columns are NULL; a
    /// column that is younger than the row has its `missing` value.
    ///
    /// # Errors
    /// When there is no such column, or its bytes are damaged.
    pub fn value_ref(&self, column: ColumnNumber) -> Result<ValueRef<'a>, DecodeError> {
        let index = usize::from(column.0).wrapping_sub(1);
        let definition = self.table.columns.get(index).ok_or_else(|| cut("no such column"))?;
        match self.layout.cell(column)? {
            Cell::Missing => Ok(definition.missing.borrow()),
            Cell::Null | Cell::Erased(_) => Ok(ValueRef::Null),
            Cell::Value(bytes) => decode_cell(&definition.kind, bytes),
        }
    }

    /// Whether a column is NULL, as [`Self::value_ref`] gives it, without reading its value.
    ///
    /// # Errors
    /// As of [`Self::value_ref`], but for a value's own bytes.
    pub fn is_null(&self, column: ColumnNumber) -> Result<bool, DecodeError> {
        match self.layout.cell(column)? {
            Cell::Null | Cell::Erased(_) => Ok(true),
            Cell::Value(_) => Ok(false),
            Cell::Missing => Ok(self.value_ref(column)? == ValueRef::Null),
        }
    }

    /// A column's value.
    ///
    /// # Errors
    /// When there is no such column, or its bytes are damaged.
    pub fn value(&self, column: ColumnNumber) -> Result<Value, DecodeError> {
        Ok(self.value_ref(column)?.into_owned())
    }

    /// The column's bytes, to see whether it was erased or is younger than the row.
    ///
    /// # Errors
    /// When its bytes are damaged.
    pub fn cell(&self, column: ColumnNumber) -> Result<Cell<'a>, DecodeError> {
        self.layout.cell(column)
    }
}

/// The values of all columns of the table, in order of their numbers.
///
/// # Errors
/// When the bytes are damaged.
pub fn decode_row(table: &Table, row: &Row) -> Result<Vec<Value>, DecodeError> {
    let reader = RowReader::new(table, &row.bytes)?;
    table.columns.iter().map(|column| reader.value(column.number)).collect()
}
