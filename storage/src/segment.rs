//! Sealed files: row versions of one table in chain order, as Parquet that any program reads. A row group is
//! a chunk. Derived: whatever is missing or damaged is made again from blocks, and never believed.
//!
//! The columns of a file: where each version stands in the chain (`_ledger_block`, `_ledger_transaction`,
//! `_ledger_operation`), whether it replaced another (`_ledger_update`), its row as it stands in its block
//! (`_ledger_row`), and then the table's own columns as they were when the file was written.

mod input;
mod pages;
mod write;

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the numbers of these tests are small"
)]
pub(crate) mod tests;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Int32Type, Int64Type},
};
use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{ColumnNumber, Height, Oid, VersionId};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
            statistics::StatisticsConverter,
        },
    },
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData},
        reader::ChunkReader,
    },
};

use crate::{
    Disk, Fault, File, again::Blocks, arrow_types::COLUMN_KEY, chunk::RowBytes, marks::Marks,
};
use input::Input;

pub(crate) use pages::RowPage;
pub(crate) use write::write;

/// The columns before the table's own.
const BEFORE: [&str; 5] =
    ["_ledger_block", "_ledger_transaction", "_ledger_operation", "_ledger_update", "_ledger_row"];
/// The place of `_ledger_row` among them.
const ROW: usize = 4;

/// What is kept beside a file, in the derived store.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Manifest {
    /// Its number among all sealed files of the node.
    pub(crate) number: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// CRC-32 of each piece of it.
    pub(crate) sums: Vec<u32>,
    /// Its row groups.
    pub(crate) groups: Vec<GroupManifest>,
}

/// A row group.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct GroupManifest {
    /// How many versions.
    pub(crate) rows: u32,
    /// The first one's and the last one's identity.
    pub(crate) first: VersionId,
    pub(crate) last: VersionId,
    /// How many of them were superseded, and the greatest height at which one was.
    pub(crate) ended: u32,
    pub(crate) last_end: Height,
}

impl Manifest {
    /// How many versions the file holds.
    pub(crate) fn rows(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.rows)).sum()
    }
}

/// The name of a sealed file.
pub(crate) fn name(number: u64) -> String {
    format!("{number:010}.parquet")
}

/// A sealed file.
pub(crate) struct Segment {
    blocks: Arc<Blocks>,
    table: Oid,
    name: String,
    /// `None` if it isn't there.
    file: Option<Arc<dyn File>>,
    bytes: u64,
    sums: Vec<u32>,
    metadata: OnceLock<ArrowReaderMetadata>,
    /// Whether it was found damaged: then nobody reads it any more.
    damaged: AtomicBool,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Segment {
    /// The file that a manifest is of.
    ///
    /// # Errors
    /// When it isn't there, or not as long as it was.
    pub(crate) fn open(
        disk: &dyn Disk,
        table: Oid,
        manifest: &Manifest,
        blocks: &Arc<Blocks>,
    ) -> Result<Self, Fault> {
        let name = name(manifest.number);
        let broken = |error: std::io::Error| Fault::Derived {
            what: "sealed file",
            detail: format!("{name}: {error}"),
        };
        let file = disk.open(&name, false).map_err(broken)?;
        if file.len().map_err(broken)? != manifest.bytes {
            return Err(broken(std::io::Error::other("its length has changed")));
        }
        Ok(Self::of(table, manifest, blocks, Some(file)))
    }

    /// As [`Self::open`]; a file that isn't there, or not as long as it was, counts as damaged.
    pub(crate) fn open_or_lost(
        disk: &dyn Disk,
        table: Oid,
        manifest: &Manifest,
        blocks: &Arc<Blocks>,
    ) -> Self {
        Self::open(disk, table, manifest, blocks).unwrap_or_else(|fault| {
            let lost = Self::of(table, manifest, blocks, None);
            drop(lost.damaged(&fault));
            lost
        })
    }

    fn of(
        table: Oid,
        manifest: &Manifest,
        blocks: &Arc<Blocks>,
        file: Option<Arc<dyn File>>,
    ) -> Self {
        Self {
            blocks: Arc::clone(blocks),
            table,
            name: name(manifest.number),
            file,
            bytes: manifest.bytes,
            sums: manifest.sums.clone(),
            metadata: OnceLock::new(),
            damaged: AtomicBool::new(false),
        }
    }

    /// Whether it was found damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When a byte is not what was written.
    pub(crate) fn check_sums(self: &Arc<Self>) -> Result<(), Fault> {
        let input = Input::new(Arc::clone(self));
        let mut stream = input.get_read(0).map_err(|error| self.damaged(&error))?;
        std::io::copy(&mut stream, &mut std::io::sink()).map_err(|error| self.damaged(&error))?;
        Ok(())
    }

    /// Notes that it is not what blocks say: nobody reads it any more, and it is made anew.
    pub(crate) fn distrust(&self, detail: &str) {
        drop(self.damaged(&detail));
    }

    fn damaged(&self, detail: &dyn fmt::Display) -> Fault {
        let detail = format!("{}: {detail}", self.name);
        let fault = Fault::Derived { what: "sealed file", detail };
        if !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!(%fault, "a sealed file is damaged; its rows are read from blocks, and it is made anew");
            self.blocks.note_damage();
        }
        fault
    }

    fn metadata(self: &Arc<Self>) -> Result<&ArrowReaderMetadata, Fault> {
        if let Some(metadata) = self.metadata.get() {
            return Ok(metadata);
        }
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&Input::new(Arc::clone(self)), options)
            .map_err(|error| self.damaged(&error))?;
        Ok(self.metadata.get_or_init(|| metadata))
    }
}

/// Where a column of a row group begins, and its length.
fn stretch(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let first = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    Some((u64::try_from(first).ok()?, u64::try_from(column.compressed_size()).ok()?))
}

/// A row group of a sealed file.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) segment: Arc<Segment>,
    /// Its place in the file.
    pub(crate) place: usize,
    pub(crate) rows: usize,
    pub(crate) first: VersionId,
    pub(crate) last: VersionId,
}

impl Group {
    /// The row group at a place.
    pub(crate) fn new(segment: &Arc<Segment>, place: usize, manifest: &GroupManifest) -> Self {
        Self {
            segment: Arc::clone(segment),
            place,
            rows: usize::try_from(manifest.rows).unwrap_or(usize::MAX),
            first: manifest.first,
            last: manifest.last,
        }
    }

    /// Whether its first and its last identity say all of them: one transaction wrote them, and an operation for each
    /// lies between.
    fn is_one_run(&self) -> bool {
        let (first, last) = (self.first, self.last);
        let further = last.operation.checked_sub(first.operation);
        let further = further.and_then(|further| usize::try_from(further).ok());
        (first.height, first.transaction) == (last.height, last.transaction)
            && further.is_some_and(|further| further + 1 == self.rows)
    }

    /// A version's identity, if it is known without reading: outer `None` if it isn't.
    pub(crate) fn known_version(&self, place: usize) -> Option<Option<VersionId>> {
        self.is_one_run().then(|| {
            let further = u32::try_from(place).ok().filter(|_| place < self.rows)?;
            let operation = self.first.operation.checked_add(further)?;
            Some(VersionId { operation, ..self.first })
        })
    }

    /// The place of a version, if it is known without reading: outer `None` if it isn't.
    pub(crate) fn known_place(&self, version: VersionId) -> Option<Option<usize>> {
        self.is_one_run().then(|| {
            let is_there = self.first <= version && version <= self.last;
            let further = version.operation.checked_sub(self.first.operation)?;
            usize::try_from(further).ok().filter(|_| is_there)
        })
    }

    /// Reads columns by their place in the file.
    fn read(&self, columns: impl IntoIterator<Item = usize>) -> Result<RecordBatch, Fault> {
        if self.segment.is_damaged() {
            return Err(self.segment.damaged(&"it was found damaged"));
        }
        let metadata = self.segment.metadata()?.clone();
        let failed = |error: ParquetError| self.segment.damaged(&error);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
        let input = self.input(metadata.metadata(), &mask).map_err(failed)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
            .with_row_groups(vec![self.place])
            .with_projection(mask)
            .with_batch_size(self.rows);
        let mut batches = builder.build().map_err(failed)?;
        let batch = batches.next().transpose().map_err(|error| self.segment.damaged(&error))?;
        match batch {
            Some(batch) if batch.num_rows() == self.rows => Ok(batch),
            _ => Err(self.segment.damaged(&"a row group of another length")),
        }
    }

    /// The file, with these columns of the row group at hand.
    fn input(
        &self,
        metadata: &ParquetMetaData,
        mask: &ProjectionMask,
    ) -> Result<Input, ParquetError> {
        let segment = Arc::clone(&self.segment);
        match metadata.row_groups().get(self.place) {
            Some(group) => {
                let columns = group.columns().iter().enumerate();
                let wanted = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
                Input::ahead(segment, wanted.filter_map(|(_, column)| stretch(column)))
            }
            None => Ok(Input::new(segment)),
        }
    }

    /// All of its versions, from blocks: what is left when the file can't be read for this fault.
    pub(crate) fn reread(&self, fault: Fault) -> Result<(Marks, RowBytes), Fault> {
        let Some(source) = self.segment.blocks.source() else { return Err(fault) };
        let span = (self.first, self.last);
        let found = self.segment.blocks.rows(&*source, self.segment.table, span)?;
        if found.0.len() != self.rows {
            let detail = format!("{}: blocks hold other rows", self.segment.name);
            return Err(Fault::Derived { what: "sealed file", detail });
        }
        Ok(found)
    }

    /// The identities of its versions.
    pub(crate) fn read_marks(&self) -> Result<Marks, Fault> {
        let batch = self.read(0..ROW)?;
        let shape = || self.segment.damaged(&"columns of another shape");
        let [blocks, transactions, operations, updates] = batch.columns() else {
            return Err(shape());
        };
        let blocks = blocks.as_primitive_opt::<Int64Type>().ok_or_else(shape)?;
        let transactions = transactions.as_primitive_opt::<Int32Type>().ok_or_else(shape)?;
        let operations = operations.as_primitive_opt::<Int32Type>().ok_or_else(shape)?;
        let updates = updates.as_boolean_opt().ok_or_else(shape)?;
        let version = |place| VersionId {
            height: Height(blocks.value(place).cast_unsigned()),
            transaction: transactions.value(place).cast_unsigned(),
            operation: operations.value(place).cast_unsigned(),
        };
        let mut marks = Marks::default();
        for place in 0..self.rows {
            marks.push(version(place), updates.value(place));
        }
        marks.shrink();
        if marks.first() != Some(self.first) || marks.last() != Some(self.last) {
            return Err(self.segment.damaged(&"other versions than its manifest says"));
        }
        Ok(marks)
    }

    /// Its rows' bytes.
    pub(crate) fn read_rows(&self) -> Result<RowBytes, Fault> {
        let batch = self.read([ROW])?;
        let mut rows = RowBytes::default();
        let column = batch.columns().first().and_then(|column| column.as_binary_opt::<i32>());
        let column = column.ok_or_else(|| self.segment.damaged(&"columns of another shape"))?;
        for row in column {
            rows.push(row.unwrap_or_default());
        }
        Ok(rows)
    }

    /// One of the table's columns, and how many bytes it takes in the file; `None` if the file doesn't have it in
    /// this shape.
    pub(crate) fn read_column(
        &self,
        number: ColumnNumber,
        kind: &DataType,
    ) -> Result<Option<(ArrayRef, u64)>, Fault> {
        let Some(place) = self.place_of(number, kind)? else { return Ok(None) };
        let batch = self.read([place])?;
        let array = batch.columns().first().filter(|array| array.data_type() == kind).cloned();
        let metadata = self.segment.metadata()?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), [place]);
        let columns =
            metadata.metadata().row_groups().get(self.place).map(RowGroupMetaData::columns);
        let columns = columns.unwrap_or_default().iter().enumerate();
        let read = columns
            .filter(|(leaf, _)| mask.leaf_included(*leaf))
            .filter_map(|(_, column)| stretch(column));
        let bytes = read.map(|(_, bytes)| bytes).sum();
        Ok(array.map(|array| (array, bytes)))
    }

    /// Where a column stands in the file.
    fn place_of(&self, number: ColumnNumber, kind: &DataType) -> Result<Option<usize>, Fault> {
        let wanted = number.0.to_string();
        let schema = self.segment.metadata()?.schema();
        Ok(schema.fields().iter().position(|field| {
            field.metadata().get(COLUMN_KEY) == Some(&wanted) && field.data_type() == kind
        }))
    }

    /// The least and the greatest value of a column, each an array of one, as far as the file says; longer
    /// ones may stand for them that are less and greater.
    pub(crate) fn bounds(
        &self,
        number: ColumnNumber,
        kind: &DataType,
    ) -> Result<Option<(ArrayRef, ArrayRef)>, Fault> {
        let Some(place) = self.place_of(number, kind)? else { return Ok(None) };
        let metadata = self.segment.metadata()?;
        let Some(field) = metadata.schema().fields().get(place) else { return Ok(None) };
        let failed = |error: ParquetError| self.segment.damaged(&error);
        let converter = StatisticsConverter::try_new(
            field.name(),
            metadata.schema(),
            metadata.parquet_schema(),
        )
        .map_err(failed)?;
        let group = metadata.metadata().row_groups().get(self.place);
        let least = converter.row_group_mins(group).map_err(failed)?;
        let greatest = converter.row_group_maxes(group).map_err(failed)?;
        Ok(Some((least, greatest)))
    }
}
