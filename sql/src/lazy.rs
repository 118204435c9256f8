//! A relation whose rows are made while they are read, batch by batch.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::Error;
use crate::functions::{Datum, array_of, external};
use crate::read::{QueryContext, Running, VirtualTable};
use crate::types::PgType;

/// Batches on their way.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Error>> + Send>;
/// Makes the batches with the columns at these places, in order, as the running query sees the chain: a plan may
/// run again long after it was made.
pub(crate) type Make = dyn Fn(&QueryContext, &[usize]) -> Result<Batches, Error> + Send + Sync;

/// A relation of these columns whose rows `make` gives.
pub(crate) fn table(
    oid: u32,
    columns: Vec<(String, PgType)>,
    make: impl Fn(&QueryContext, &[usize]) -> Result<Batches, Error> + Send + Sync + 'static,
) -> VirtualTable {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, (_, kind))| Field::new(format!("{i}"), kind.arrow(), true))
        .collect();
    let provider = Lazy { schema: Arc::new(Schema::new(fields)), make: Arc::new(make) };
    VirtualTable { oid, columns, hidden: 0, provider: Arc::new(provider) }
}

/// A relation of few rows, made when it is read.
pub(crate) fn small(
    columns: Vec<(String, PgType)>,
    rows: impl Fn(&QueryContext) -> Result<Vec<Vec<Datum>>, Error> + Send + Sync + 'static,
) -> VirtualTable {
    let kinds: Vec<PgType> = columns.iter().map(|column| column.1.clone()).collect();
    table(0, columns, move |context, places| {
        let chosen: Vec<PgType> =
            places.iter().filter_map(|place| kinds.get(*place)).cloned().collect();
        let pick = |row: Vec<Datum>| {
            places.iter().map(|place| row.get(*place).cloned().unwrap_or(Datum::Null)).collect()
        };
        let rows = rows(context)?.into_iter().map(pick).collect();
        Ok(Box::new(std::iter::once(batch(&chosen, rows))) as Batches)
    })
}

/// A batch of rows given as values: `row` gives a row's values for the asked columns.
pub(crate) fn batch(kinds: &[PgType], rows: Vec<Vec<Datum>>) -> Result<RecordBatch, Error> {
    let count = rows.len();
    let mut values: Vec<Vec<Datum>> = kinds.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        for (value, column) in row.into_iter().zip(&mut values) {
            column.push(value);
        }
    }
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (place, (values, kind)) in values.into_iter().zip(kinds).enumerate() {
        fields.push(Field::new(format!("{place}"), kind.arrow(), true));
        arrays.push(array_of(kind, values)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Error::internal(format!("rows have another shape: {error}")))
}

struct Lazy {
    schema: SchemaRef,
    make: Arc<Make>,
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy")
    }
}

#[async_trait]
impl TableProvider for Lazy {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let places = projection.unwrap_or(&all).clone();
        let schema = Arc::new(self.schema.project(&places)?);
        let running = state
            .config_options()
            .extensions
            .get::<Running>()
            .ok_or_else(|| external(Error::internal("a relation without a query")))?;
        let context = Arc::clone(&running.0);
        let part =
            Part { schema: Arc::clone(&schema), places, make: Arc::clone(&self.make), context };
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            vec![Arc::new(part)],
            None,
            Vec::new(),
            false,
            limit,
        )?))
    }
}

struct Part {
    schema: SchemaRef,
    places: Vec<usize>,
    make: Arc<Make>,
    context: Arc<QueryContext>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches: Batches = match (self.make)(&self.context, &self.places) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        let schema = Arc::clone(&self.schema);
        let dressed = batches.map(move |batch| {
            let batch = batch.map_err(external)?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().iter().take(schema.fields().len()).cloned().collect();
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        let stream = futures::stream::iter(dressed);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}
