//! The details that go with a violated constraint, in PostgreSQL's words.

use crate::row::RowReader;
use crate::table::Table;
use crate::text::Utc;
use crate::value::ValueRef;
use crate::{ColumnNumber, Row};

/// Characters of one value in `Failing row contains (…)`.
const MAX_VALUE: usize = 64;

/// One value's text; `None` for NULL or damage.
fn text(table: &Table, reader: &RowReader<'_>, number: ColumnNumber) -> Option<String> {
    let kind = &table.column(number)?.kind;
    let value = reader.value_ref(number).ok().filter(|value| *value != ValueRef::Null)?;
    Some(value.into_owned().to_text(kind, &Utc))
}

/// `Failing row contains (1, null, abc).`
pub(super) fn failing_row(table: &Table, row: &Row) -> String {
    let Ok(reader) = RowReader::new(table, &row.bytes) else { return String::new() };
    let shown: Vec<String> = table
        .live_columns()
        .map(|column| match text(table, &reader, column.number) {
            None => "null".to_owned(),
            Some(text) => match text.char_indices().nth(MAX_VALUE) {
                None => text,
                Some((at, _)) => format!("{}...", text.get(..at).unwrap_or("")),
            },
        })
        .collect();
    format!("Failing row contains ({}).", shown.join(", "))
}

/// `Key (a, b)=(1, x)`, with the columns' names taken from `named`.
pub(super) fn key(
    named: &Table,
    names: &[ColumnNumber],
    table: &Table,
    columns: &[ColumnNumber],
    row: &Row,
) -> String {
    let names: Vec<&str> =
        names.iter().filter_map(|n| named.column(*n)).map(|c| c.name.as_str()).collect();
    let values: Vec<String> = match RowReader::new(table, &row.bytes) {
        Ok(reader) => columns
            .iter()
            .map(|n| text(table, &reader, *n).unwrap_or_else(|| "null".to_owned()))
            .collect(),
        Err(_) => Vec::new(),
    };
    format!("Key ({})=({})", names.join(", "), values.join(", "))
}
