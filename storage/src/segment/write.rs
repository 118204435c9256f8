//! Making a sealed file of chunks.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use ledger::{Column, Oid, Table};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    schema::types::ColumnPath,
};

use super::{BEFORE, GroupManifest, Manifest, ROW, input, name};
use crate::{
    Disk, Fault, arrow_types,
    chunk::{CHUNK_ROWS, Chunk},
};

/// Rows that are encoded at a time: pages end between them.
const BATCH_ROWS: usize = 128;

/// Bytes after which a page of rows ends: what must be unpacked to read one row. Columns are read whole, so
/// each is one page of a row group, unless it is large.
const ROW_PAGE_BYTES: usize = 8 << 10;

/// Writes a file of these chunks, which follow one another, and makes it safe; its name is safe once the
/// directory is synced. Each part becomes one row group. It is given up when it `stops`.
pub(crate) fn write(
    disk: &dyn Disk,
    number: u64,
    (oid, table): (Oid, &Table),
    parts: &[Vec<Arc<Chunk>>],
    stops: &dyn Fn() -> bool,
) -> Result<Manifest, Fault> {
    let mut columns: Vec<&Column> = table.columns.iter().filter(|own| !own.dropped).collect();
    // A column whose values don't fit its shape is left to the rows' bytes.
    let bytes = loop {
        match encode((oid, table), &columns, parts, stops) {
            Ok(bytes) => break bytes,
            Err(Failed::Column(place)) => drop(columns.remove(place)),
            Err(Failed::Fault(fault)) => return Err(fault),
        }
    };
    let name = name(number);
    let fault = |error| Fault::io(format!("write {name}"), error);
    let file = disk.open(&name, true).map_err(fault)?;
    file.set_len(0).map_err(fault)?;
    file.write_at(&bytes, 0).map_err(fault)?;
    file.sync_data().map_err(fault)?;
    let mut groups = Vec::with_capacity(parts.len());
    for part in parts {
        let first = part.first().and_then(|chunk| chunk.first_version());
        let last = part.last().and_then(|chunk| chunk.last_version());
        let (Some(first), Some(last)) = (first, last) else {
            return Err(Fault::Internal("an empty chunk is sealed".into()));
        };
        let rows: usize = part.iter().map(|chunk| chunk.len()).sum();
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let (ended, last_end) = (0, ledger::Height(0));
        groups.push(GroupManifest { rows, first, last, ended, last_end });
    }
    Ok(Manifest { number, bytes: bytes.len() as u64, sums: input::sums(&bytes), groups })
}

/// Why a file can't be made.
enum Failed {
    /// Of this column.
    Column(usize),
    Fault(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn encode(
    (oid, table): (Oid, &Table),
    columns: &[&Column],
    parts: &[Vec<Arc<Chunk>>],
    stops: &dyn Fn() -> bool,
) -> Result<Vec<u8>, Failed> {
    let schema = Arc::new(schema(oid, columns));
    let properties = properties();
    let failed = |error: &dyn std::fmt::Display| Fault::Internal(error.to_string());
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))
        .map_err(|error| failed(&error))?;
    for part in parts {
        if stops() {
            return Err(Fault::Stopped { reason: "the node is stopping".to_owned() }.into());
        }
        let chunk = match part.as_slice() {
            [chunk] => Arc::clone(chunk),
            chunks => Chunk::copied(chunks)?,
        };
        let mut arrays = before(&chunk)?;
        for (place, column) in columns.iter().enumerate() {
            arrays.push(chunk.decode(table, column).map_err(|_| Failed::Column(place))?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays);
        let batch = batch.map_err(|error| failed(&error))?;
        writer.write(&batch).map_err(|error| failed(&error))?;
        writer.flush().map_err(|error| failed(&error))?;
    }
    writer.into_inner().map_err(|error| failed(&error).into())
}

/// The columns before the table's own, of one chunk.
fn before(chunk: &Chunk) -> Result<Vec<ArrayRef>, Fault> {
    let (marks, rows) = (chunk.marks()?, chunk.rows()?);
    let versions = marks.iter().map(|(version, _)| version);
    let mut bytes = BinaryBuilder::new();
    for place in 0..chunk.len() {
        bytes.append_value(rows.get(place).unwrap_or_default());
    }
    let heights = versions.clone().map(|version| version.height.0.cast_signed());
    let transactions = versions.clone().map(|version| version.transaction.cast_signed());
    let operations = versions.map(|version| version.operation.cast_signed());
    Ok(vec![
        Arc::new(Int64Array::from_iter_values(heights)),
        Arc::new(Int32Array::from_iter_values(transactions)),
        Arc::new(Int32Array::from_iter_values(operations)),
        Arc::new(BooleanArray::from_iter(marks.iter().map(|(_, update)| Some(update)))),
        Arc::new(bytes.finish()),
    ])
}

fn schema(oid: Oid, columns: &[&Column]) -> Schema {
    let kinds =
        [DataType::Int64, DataType::Int32, DataType::Int32, DataType::Boolean, DataType::Binary];
    let mut fields: Vec<Field> =
        BEFORE.into_iter().zip(kinds).map(|(name, kind)| Field::new(name, kind, false)).collect();
    for column in columns {
        // Rows may be older than a NOT NULL.
        let field = arrow_types::field_of(oid, column).with_nullable(true);
        fields.push(field.with_name(name_of(column)));
    }
    Schema::new(fields)
}

/// A column's name in the file.
fn name_of(column: &Column) -> String {
    if BEFORE.contains(&column.name.as_str()) {
        format!("{}_{}", column.name, column.number.0)
    } else {
        column.name.clone()
    }
}

fn properties() -> WriterProperties {
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut builder: WriterPropertiesBuilder = WriterProperties::builder()
        .set_created_by(format!("stele {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(CHUNK_ROWS)
        .set_write_batch_size(BATCH_ROWS);
    for (place, name) in BEFORE.into_iter().enumerate() {
        builder = builder
            .set_column_dictionary_enabled(path(name), false)
            .set_column_statistics_enabled(path(name), EnabledStatistics::None);
        if place == ROW {
            builder = builder.set_column_data_page_size_limit(path(name), ROW_PAGE_BYTES);
        }
        if place < ROW - 1 {
            builder = builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
        }
    }
    builder.build()
}
