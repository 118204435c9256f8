//! Rows one by one, for what isn't a query: building an index, checking a new constraint.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray};
use arrow::datatypes::Schema;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use ledger::row::RowReader;
use ledger::{Column, ColumnNumber, Oid, Refusal, Row, Table, Value, VersionId, View};
use storage::{ScanColumn, Snapshot, Versions, arrow_types};

use crate::Error;

/// Calls `see` for each row of a table that is alive, with the values of these columns. A column that
/// the snapshot's table doesn't have yet can't be asked for.
///
/// # Errors
/// Faults; what `see` says.
pub(crate) fn each_alive(
    snapshot: &Snapshot,
    table: Oid,
    columns: &[ColumnNumber],
    mut see: impl FnMut(VersionId, &[Value]) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(definition) = snapshot.catalog().table(table) else { return Ok(()) };
    each_version(snapshot, table, |version| {
        let Some(row) = View::alive(snapshot, table, version)? else { return Ok(()) };
        let reader = RowReader::new(definition, &row.bytes).map_err(Refusal::from)?;
        let values = columns
            .iter()
            .map(|number| reader.value(*number))
            .collect::<Result<Vec<Value>, _>>()
            .map_err(Refusal::from)?;
        see(version, &values)
    })
}

/// Calls `see` for each version of a table that is alive.
///
/// # Errors
/// Faults; what `see` says.
pub(crate) fn each_version(
    snapshot: &Snapshot,
    table: Oid,
    mut see: impl FnMut(VersionId) -> Result<(), Error>,
) -> Result<(), Error> {
    for batch in snapshot.scan(table, &[ScanColumn::Version], Versions::Alive)? {
        let batch = batch?;
        let versions = batch.column(0);
        for place in 0..batch.num_rows() {
            see(version_at(versions, place)?)?;
        }
    }
    Ok(())
}

/// A version in a column of versions.
///
/// # Errors
/// XX000 when the column is something else.
pub(crate) fn version_at(array: &ArrayRef, place: usize) -> Result<VersionId, Error> {
    let bytes = array
        .as_any()
        .downcast_ref::<FixedSizeBinaryArray>()
        .filter(|array| place < array.len() && array.is_valid(place))
        .map(|array| array.value(place))
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .ok_or_else(|| Error::internal("a version column of another type"))?;
    let number = u128::from_be_bytes(bytes);
    let part = |shift: u32| u32::try_from((number >> shift) & u128::from(u32::MAX)).unwrap_or(0);
    Ok(VersionId {
        height: ledger::Height((u64::from(part(96)) << 32) | u64::from(part(64))),
        transaction: part(32),
        operation: part(0),
    })
}

/// Rows' values of these columns, as one batch with the columns' own fields.
///
/// # Errors
/// XX000 when a value isn't of its column's type.
pub(crate) fn batch_of(
    table: Oid,
    columns: &[&Column],
    rows: &[&[Value]],
) -> Result<RecordBatch, Error> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let place = usize::from(column.number.0).wrapping_sub(1);
        let values: Vec<Value> =
            rows.iter().map(|row| row.get(place).cloned().unwrap_or(Value::Null)).collect();
        fields.push(arrow_types::field_of(table, column).with_nullable(true));
        arrays.push(arrow_types::array_of(&column.kind, &values)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Error::internal(error.to_string()))
}

/// Rows of one batch.
pub(crate) const BATCH: usize = 8192;

/// A transaction's own rows as a scan would give them: what only the chain knows is NULL.
///
/// # Errors
/// XX000 when a row doesn't read as its table's.
pub(crate) fn own_batch(
    table: Oid,
    definition: &Table,
    columns: &[ScanColumn],
    rows: &[(VersionId, &Arc<Row>)],
) -> Result<RecordBatch, Error> {
    let readers = rows
        .iter()
        .map(|(_, row)| RowReader::new(definition, &row.bytes))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Refusal::from)?;
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in columns {
        let field = column
            .field(table, definition)
            .ok_or_else(|| Error::internal("a column that the table doesn't have"))?;
        arrays.push(match column {
            ScanColumn::User(number) => {
                let kind = definition
                    .column(*number)
                    .map(|column| &column.kind)
                    .ok_or_else(|| Error::internal("a column that the table doesn't have"))?;
                let values = readers
                    .iter()
                    .map(|reader| reader.value(*number))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(Refusal::from)?;
                arrow_types::array_of(kind, &values)?
            }
            ScanColumn::Version => {
                let bytes = rows.iter().map(|(version, _)| version_bytes(*version));
                Arc::new(
                    FixedSizeBinaryArray::try_from_iter(bytes)
                        .map_err(|error| Error::internal(error.to_string()))?,
                )
            }
            _ => arrow::array::new_null_array(field.data_type(), rows.len()),
        });
        fields.push(field.with_nullable(true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Error::internal(error.to_string()))
}

/// A version as the column of versions holds it.
pub(crate) fn version_bytes(version: VersionId) -> [u8; 16] {
    let number = (u128::from(version.height.0) << 64)
        | (u128::from(version.transaction) << 32)
        | u128::from(version.operation);
    number.to_be_bytes()
}
