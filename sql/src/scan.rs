//! The rows of one table on their way into a query: read batch by batch, only as fast as they are taken.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use ledger::{Height, Oid, VersionId};
use storage::{Condition, ScanColumn, ScanCounts, Snapshot, Versions};

use crate::Error;
use crate::table::{Overlay, fault};

mod node;

pub(crate) use node::{BYTES_READ, ROW_GROUPS_READ, ROW_GROUPS_SKIPPED, TableScan};

/// Versions fetched by an index at a time.
const FETCH_ROWS: usize = 8192;

/// What is read.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) table: Oid,
    pub(crate) snapshot: Snapshot,
    pub(crate) overlay: Option<Arc<dyn Overlay>>,
    pub(crate) columns: Vec<ScanColumn>,
    /// What the query's filter says of single columns: rows that don't meet it needn't come.
    pub(crate) conditions: Vec<Condition>,
    /// What came of them.
    pub(crate) counts: Arc<ScanCounts>,
    /// The fields that the query expects, as many as `columns`.
    pub(crate) schema: SchemaRef,
    /// Only these versions, found by an index.
    pub(crate) versions: Option<Vec<VersionId>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows of table {}", self.table.0)?;
        match &self.versions {
            Some(versions) => write!(f, ", {} by index", versions.len()),
            None => Ok(()),
        }
    }
}

impl Source {
    /// About how many rows it has; unknown while a session lays rows of its own over them.
    pub(crate) fn row_count(&self) -> Option<u64> {
        match (&self.versions, &self.overlay) {
            (_, Some(_)) => None,
            (Some(versions), _) => Some(versions.len() as u64),
            (None, None) => Some(self.snapshot.row_count(self.table)),
        }
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Error>> + Send>;

/// The rows of one of so many parts.
fn batches(source: Source, (part, parts): (usize, usize)) -> Result<Batches, Error> {
    let own = match &source.overlay {
        Some(overlay) if part == 0 => overlay.batches(source.table, &source.columns)?,
        _ => Vec::new(),
    };
    // To leave out what the overlay ends, the versions must be seen.
    let mut columns = source.columns.clone();
    let check = source.overlay.is_some() && !columns.contains(&ScanColumn::Version);
    if check {
        columns.push(ScanColumn::Version);
    }
    let kept: Batches = match source.versions.clone() {
        Some(versions) => {
            let snapshot = source.snapshot.clone();
            let table = source.table;
            let chunks: Vec<Vec<VersionId>> =
                versions.chunks(FETCH_ROWS).map(<[VersionId]>::to_vec).collect();
            Box::new(
                chunks
                    .into_iter()
                    .map(move |chunk| snapshot.fetch(table, &chunk, &columns).map_err(fault)),
            )
        }
        // A table that only the session's own transaction made has no rows in the snapshot.
        None if source.snapshot.catalog().get(source.table).is_none() => {
            Box::new(std::iter::empty())
        }
        None => {
            let scan =
                source.snapshot.scan(source.table, &columns, Versions::Alive).map_err(fault)?;
            let scan = scan.with_conditions(source.conditions.clone()).part(part, parts);
            let scan = scan.counted(Arc::clone(&source.counts));
            Box::new(scan.map(|batch| batch.map_err(fault)))
        }
    };
    let width = source.columns.len();
    let schema = Arc::clone(&source.schema);
    let filtered = kept.map(move |batch| {
        let batch = batch?;
        let batch = match &source.overlay {
            Some(overlay) => without_ended(&batch, overlay.as_ref(), source.table)?,
            None => batch,
        };
        under(&source.schema, &batch, width)
    });
    let own = own.into_iter().map(move |batch| under(&schema, &batch, width));
    Ok(Box::new(filtered.chain(own)))
}

/// The batch's first columns under the query's schema.
fn under(schema: &SchemaRef, batch: &RecordBatch, width: usize) -> Result<RecordBatch, Error> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch
        .columns()
        .iter()
        .take(width)
        .zip(schema.fields())
        .map(|(array, field)| retyped(array, field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(format!("a scan's batch has another shape: {error}")))
}

/// The array under another name of its element: storage writes the element's type into its metadata.
fn retyped(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, Error> {
    match (array.as_list_opt::<i32>(), wanted) {
        (Some(list), DataType::List(field)) if array.data_type() != wanted => {
            let (_, offsets, values, nulls) = list.clone().into_parts();
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn without_ended(
    batch: &RecordBatch,
    overlay: &dyn Overlay,
    table: Oid,
) -> Result<RecordBatch, Error> {
    let column = batch
        .columns()
        .iter()
        .zip(batch.schema().fields())
        .rev()
        .find(|(_, field)| field.name() == "ledger_version")
        .map(|(array, _)| array)
        .cloned()
        .ok_or_else(|| Error::internal("a scan without versions"))?;
    let versions = column
        .as_fixed_size_binary_opt()
        .ok_or_else(|| Error::internal("versions of another shape"))?;
    let keep: BooleanArray = (0..versions.len())
        .map(|row| version_of(versions.value(row)).map(|version| !overlay.ends(table, version)))
        .collect();
    filter_record_batch(batch, &keep).map_err(|error| Error::internal(error.to_string()))
}

/// The version that 16 bytes of the column `ledger_version` name.
pub fn version_of(bytes: &[u8]) -> Option<VersionId> {
    let (height, rest) = bytes.split_first_chunk::<8>()?;
    let (transaction, rest) = rest.split_first_chunk::<4>()?;
    let (operation, _) = rest.split_first_chunk::<4>()?;
    Some(VersionId {
        height: Height(u64::from_be_bytes(*height)),
        transaction: u32::from_be_bytes(*transaction),
        operation: u32::from_be_bytes(*operation),
    })
}
