//! Scans: the rows of a table at a height, chunk by chunk, chosen columns only.
//!
//! It knows chunks and columns; conditions on rows are for whoever reads the batches.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field, Schema, SchemaRef},
};
use ledger::{Height, Oid, RowReader, Table, VersionId};

use crate::{
    Fault,
    arrow_types::ColumnBuilder,
    chunk::{CHUNK_ROWS, Chunk, Places, undecoded},
    condition::Condition,
    snapshot::Snapshot,
    system_columns::{self, Facts, Op, ScanColumn, user_column},
    versions,
};

/// Which rows a scan gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The rows alive at the height.
    Alive,
    /// Every version written up to the height, in chain order; after them every delete, as a row with
    /// `Op` = `DELETE` whose columns hold the row that it ended. Columns are nullable, whatever the table
    /// says now: rows may be older than a NOT NULL.
    All,
    /// The versions that began or ended after one height, up to this one: what a comparison of the two
    /// needs. Those without `ValidTo` came, those with `ValidFrom` up to `since` went, others did both.
    /// Deletes are not given as rows. Columns are nullable as for `All`.
    Changed {
        /// The older height.
        since: Height,
    },
}

/// What scans did with the row groups of sealed files.
#[derive(Debug, Default)]
pub struct ScanCounts {
    read: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
}

impl ScanCounts {
    /// Row groups whose rows were given.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Row groups that conditions passed over, by what their files say of them.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Bytes of columns that were read from files: those that were kept in memory are not among them.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The batches of a scan, each of at most 8,192 rows.
pub struct Scan {
    snapshot: Snapshot,
    shape: Shape,
    store: Option<Arc<versions::Versions>>,
    chunks: VecDeque<Arc<Chunk>>,
    versions: Versions,
    conditions: Vec<Condition>,
    counts: Arc<ScanCounts>,
    gives_deletes: bool,
    deletes_given: u64,
    failed: bool,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("versions", &self.versions).finish_non_exhaustive()
    }
}

/// The columns that were asked for, and the table that they are of.
#[derive(Clone)]
pub(crate) struct Shape {
    table: Arc<Table>,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
}

impl Shape {
    /// The shape of batches with these columns of a table.
    pub(crate) fn new(
        oid: Oid,
        table: &Table,
        columns: &[ScanColumn],
        nullable: bool,
    ) -> Result<Self, Fault> {
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for column in columns {
            let field = column.field(oid, table).ok_or_else(|| {
                Fault::Internal(format!("table {} has no column {column:?}", oid.0))
            })?;
            let nullable = nullable || field.is_nullable();
            fields.push(field.with_nullable(nullable));
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { table: Arc::new(table.clone()), columns: columns.to_vec(), schema })
    }

    fn has_system_columns(&self) -> bool {
        self.columns.iter().any(|column| !matches!(column, ScanColumn::User(_)))
    }

    /// A batch of these rows; `user` gives the table's own columns in the order asked for.
    fn batch(
        &self,
        snapshot: &Snapshot,
        rows: usize,
        facts: &[Facts],
        mut user: impl FnMut(ledger::ColumnNumber) -> Result<ArrayRef, Fault>,
    ) -> Result<RecordBatch, Fault> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            arrays.push(match column {
                ScanColumn::User(number) => user(*number)?,
                system => system_columns::array_of(*system, facts, snapshot.chain())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| Fault::Internal(error.to_string()))
    }
}

impl Scan {
    /// A scan over a table's versions; `None` if the table has none.
    pub(crate) fn new(
        snapshot: Snapshot,
        shape: Shape,
        store: Option<Arc<versions::Versions>>,
        versions: Versions,
    ) -> Result<Self, Fault> {
        let chunks = match &store {
            Some(store) => store.chunks_at(snapshot.height())?.into(),
            None => VecDeque::new(),
        };
        let gives_deletes = versions == Versions::All;
        Ok(Self {
            snapshot,
            shape,
            store,
            chunks,
            versions,
            conditions: Vec::new(),
            counts: Arc::default(),
            gives_deletes,
            deletes_given: 0,
            failed: false,
        })
    }

    /// Leaves out rows that don't meet these conditions, where that costs less than to look at them: rows
    /// that don't meet them may still come.
    pub fn with_conditions(mut self, conditions: Vec<Condition>) -> Self {
        self.conditions = conditions;
        self
    }

    /// Counts what it does here.
    pub fn counted(mut self, counts: Arc<ScanCounts>) -> Self {
        self.counts = counts;
        self
    }

    /// The batches' schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    /// One of so many parts of it, to be read beside the others: they take chunks by turns, so that what
    /// conditions pass over is shared out like the rest.
    pub fn part(mut self, part: usize, parts: usize) -> Self {
        self.chunks = self.chunks.into_iter().skip(part).step_by(parts.max(1)).collect();
        self.gives_deletes &= part == 0;
        self
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Fault> {
        while let Some(chunk) = self.chunks.pop_front() {
            let height = self.snapshot.height();
            if !self.may_match(&chunk)? {
                self.counts.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let places = match self.versions {
                Versions::Alive => chunk.alive_at(height)?,
                Versions::All => Places::First(chunk.written_at(height)?),
                Versions::Changed { since } => chunk.changed_between(since, height)?,
            };
            if places.len() > 0 {
                self.snapshot.check_damage(&chunk, &places)?;
                let read = u64::from(!chunk.is_fresh());
                self.counts.read.fetch_add(read, Ordering::Relaxed);
                return self.chunk_batch(&chunk, &places).map(Some);
            }
        }
        if self.gives_deletes { self.deletes_batch() } else { Ok(None) }
    }

    /// Whether a chunk can have rows that meet all conditions, by what its file says of it.
    fn may_match(&self, chunk: &Chunk) -> Result<bool, Fault> {
        for condition in &self.conditions {
            if let Some(group) = chunk.group()
                && !condition.may_match(&self.shape.table, group)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn chunk_batch(&self, chunk: &Chunk, places: &Places) -> Result<RecordBatch, Fault> {
        let facts = if self.shape.has_system_columns() {
            facts_of(chunk, places, self.snapshot.height())?
        } else {
            Vec::new()
        };
        let chosen = match places {
            Places::First(_) => None,
            Places::Some(places) => Some(UInt32Array::from(places.clone())),
        };
        self.shape.batch(&self.snapshot, places.len(), &facts, |number| {
            let column = user_column(&self.shape.table, number)
                .ok_or_else(|| Fault::Internal("no such column".into()))?;
            let (whole, read) = chunk.column(&self.shape.table, column)?;
            self.counts.bytes.fetch_add(read, Ordering::Relaxed);
            match &chosen {
                None => Ok(whole.slice(0, places.len())),
                Some(chosen) => {
                    take(&whole, chosen, None).map_err(|error| Fault::Internal(error.to_string()))
                }
            }
        })
    }

    /// The next deletes, as rows.
    fn deletes_batch(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let Some(store) = &self.store else { return Ok(None) };
        let deletes = store.deletes_at(self.snapshot.height(), self.deletes_given, CHUNK_ROWS)?;
        if deletes.is_empty() {
            return Ok(None);
        }
        self.deletes_given += deletes.len() as u64;
        let facts: Vec<Facts> = deletes
            .iter()
            .map(|delete| Facts {
                version: delete.version,
                op: Op::Delete,
                end: Some(delete.version.height),
            })
            .collect();
        self.snapshot.check_versions(facts.iter().map(|row| row.version))?;
        let rows = Gathered::new(&self.shape, deletes.len())?;
        let rows = deletes.iter().try_fold(rows, |rows, delete| {
            let shown = store.with_row(delete.row, |chunk, place| rows.show(chunk, place))?;
            shown.ok_or_else(|| Fault::Internal("a deleted row is gone".into()))
        })?;
        rows.batch(&self.snapshot, &facts).map(Some)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_batch().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Rows gathered one by one, in any order.
struct Gathered<'s> {
    shape: &'s Shape,
    builders: Vec<(ledger::ColumnNumber, ColumnBuilder<'s>)>,
    rows: usize,
}

impl<'s> Gathered<'s> {
    fn new(shape: &'s Shape, rows: usize) -> Result<Self, Fault> {
        let mut builders = Vec::new();
        for column in &shape.columns {
            if let ScanColumn::User(number) = column {
                let column = user_column(&shape.table, *number)
                    .ok_or_else(|| Fault::Internal("no such column".into()))?;
                builders.push((*number, ColumnBuilder::new(&column.kind, rows)?));
            }
        }
        Ok(Self { shape, builders, rows: 0 })
    }

    fn show(mut self, chunk: &Chunk, place: usize) -> Result<Self, Fault> {
        let rows = chunk.row_at(place)?;
        let reader = RowReader::new(&self.shape.table, &rows).map_err(undecoded)?;
        for (number, builder) in &mut self.builders {
            builder.push(reader.value_ref(*number).map_err(undecoded)?)?;
        }
        self.rows += 1;
        Ok(self)
    }

    fn batch(self, snapshot: &Snapshot, facts: &[Facts]) -> Result<RecordBatch, Fault> {
        let mut builders = self.builders.into_iter();
        self.shape.batch(snapshot, self.rows, facts, |_| match builders.next() {
            Some((_, builder)) => builder.finish(),
            None => Err(Fault::Internal("no such column".into())),
        })
    }
}

/// One batch of these versions, in this order.
pub(crate) fn fetch(
    snapshot: &Snapshot,
    shape: &Shape,
    store: &versions::Versions,
    versions: &[VersionId],
) -> Result<RecordBatch, Fault> {
    snapshot.check_versions(versions.iter().copied())?;
    let mut rows = Gathered::new(shape, versions.len())?;
    let mut facts = Vec::with_capacity(versions.len());
    for version in versions {
        let shown = store.with_version(*version, |chunk, place| {
            let update = chunk.marks()?.is_update(place);
            let end = chunk.end(place, snapshot.height())?;
            facts.push(fact_of(*version, update, end));
            rows.show(chunk, place)
        })?;
        rows = shown.ok_or_else(|| Fault::Internal(format!("no version {version:?}")))?;
    }
    rows.batch(snapshot, &facts)
}

fn fact_of(version: VersionId, update: bool, end: Option<Height>) -> Facts {
    let op = if update { Op::Update } else { Op::Insert };
    Facts { version, op, end }
}

fn facts_of(chunk: &Chunk, places: &Places, at: Height) -> Result<Vec<Facts>, Fault> {
    let (marks, heights) = (chunk.marks()?, chunk.heights()?);
    let fact = |place| {
        let version = marks.version(place)?;
        Some(fact_of(version, marks.is_update(place), heights.end(place, at)))
    };
    Ok(places.iter().filter_map(fact).collect())
}
