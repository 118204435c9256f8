//! A scan as a node of DataFusion's plans: as many streams as there is work for, and what is known of the rows
//! before they are read. It knows neither filters nor sessions.

use std::fmt::{Debug, Formatter, Result as FmtResult};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};

use super::{Batches, Source, batches};
use crate::functions::external;

/// Rows that are worth a stream of their own.
const PART_ROWS: u64 = 32 << 10;

/// What a value of no fixed width is taken to need: joins are built on the smaller side.
const TEXT_BYTES: usize = 32;

/// Names of what a scan counts beside its rows: row groups of sealed files that were read, those that the filter
/// passed over, bytes that were read of them.
pub(crate) const ROW_GROUPS_READ: &str = "row_groups_read";
pub(crate) const ROW_GROUPS_SKIPPED: &str = "row_groups_skipped";
pub(crate) const BYTES_READ: &str = "bytes_read";

/// A table's rows.
pub(crate) struct TableScan {
    source: Source,
    rows: Option<u64>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TableScan {
    /// A scan in at most so many streams.
    pub(crate) fn new(source: Source, streams: usize, limit: Option<usize>) -> Self {
        let rows = source.row_count();
        let parts = match (&source.versions, rows) {
            (None, Some(rows)) => usize::try_from(rows / PART_ROWS).unwrap_or(streams),
            _ => 1,
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&source.schema)),
            Partitioning::UnknownPartitioning(parts.clamp(1, streams.max(1))),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { source, rows, limit, properties: Arc::new(properties), metrics }
    }

    fn parts(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn schema(&self) -> &SchemaRef {
        &self.source.schema
    }
}

impl Debug for TableScan {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "TableScan({:?})", self.source)
    }
}

impl DisplayAs for TableScan {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:?}", self.source)?;
        match self.parts() {
            1 => Ok(()),
            parts => write!(f, ", {parts} streams"),
        }?;
        self.limit.map_or(Ok(()), |limit| write!(f, ", at most {limit}"))
    }
}

impl ExecutionPlan for TableScan {
    fn name(&self) -> &'static str {
        "TableScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan has no children") }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan has no children") }
    }

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batches = match batches(self.source.clone(), (partition, self.parts())) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))) as Batches,
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let counted = baseline.clone();
        let stream = futures::stream::iter(batches.map(move |batch| {
            if let Ok(batch) = &batch {
                counted.record_output(batch.num_rows());
            }
            batch.map_err(external)
        }));
        let stream = RecordBatchStreamAdapter::new(Arc::clone(self.schema()), stream);
        let stream = make_cooperative(Box::pin(stream));
        Ok(match self.limit {
            None => stream,
            Some(limit) => Box::pin(LimitStream::new(stream, 0, Some(limit), baseline)),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let counts = &self.source.counts;
        for (name, counted) in [
            (ROW_GROUPS_READ, counts.read()),
            (ROW_GROUPS_SKIPPED, counts.skipped()),
            (BYTES_READ, counts.bytes()),
        ] {
            let count = Count::new();
            count.add(usize::try_from(counted).unwrap_or(usize::MAX));
            let value = MetricValue::Count { name: name.into(), count };
            metrics.push(Arc::new(Metric::new(value, None)));
        }
        Some(metrics)
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut known = Statistics::new_unknown(self.schema());
        let parts = if args.partition().is_some() { self.parts() as u64 } else { 1 };
        if let Some(rows) = self.rows.and_then(|rows| usize::try_from(rows / parts).ok()) {
            let rows = self.limit.map_or(rows, |limit| rows.min(limit));
            known.num_rows = Precision::Inexact(rows);
            let mut all = 0;
            for (column, field) in known.column_statistics.iter_mut().zip(self.schema().fields()) {
                let width = field.data_type().primitive_width().unwrap_or(TEXT_BYTES);
                column.byte_size = Precision::Inexact(rows.saturating_mul(width));
                all += width;
            }
            known.total_byte_size = Precision::Inexact(rows.saturating_mul(all));
        }
        Ok(Arc::new(known))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self {
            source: self.source.clone(),
            rows: self.rows,
            limit,
            properties: Arc::clone(&self.properties),
            metrics: self.metrics.clone(),
        }))
    }
}
