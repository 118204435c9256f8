//! Running plans give way: a cancel or a deadline is noticed within some batches, also by a join that makes many
//! rows of few. It doesn't know whose cancel it is.
//!
//! DataFusion lets its leaves and exchanges give way. A join multiplies what they give: it must do so itself, and its
//! filter asks too, because a join that finds no match gives nothing for long.

use std::fmt::{Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::unnest::UnnestExec;

use crate::cancel::Bounds;
use crate::read::Running;

/// Lets every operator give way that gives more than it takes.
#[derive(Debug)]
pub(crate) struct Interrupts;

impl PhysicalOptimizerRule for Interrupts {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let bounds =
            config.extensions.get::<Running>().and_then(|running| running.0.bounds.as_ref());
        let marked = plan.transform_up(|plan| {
            if plan.children().len() < 2 && !plan.is::<UnnestExec>() {
                return Ok(Transformed::no(plan));
            }
            let plan = match bounds {
                Some(bounds) => asking(plan, bounds)?,
                None => plan,
            };
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))))
        })?;
        Ok(marked.data)
    }

    fn name(&self) -> &'static str {
        "Interrupts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A join whose filter asks whether the statement must stop; any other plan as it is.
fn asking(plan: Arc<dyn ExecutionPlan>, bounds: &Bounds) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(Some(guarded(filter, bounds))).build_exec();
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let builder = NestedLoopJoinExecBuilder::from(join);
        return Ok(Arc::new(builder.with_filter(Some(guarded(filter, bounds))).build()?));
    }
    Ok(plan)
}

fn guarded(filter: &JoinFilter, bounds: &Bounds) -> JoinFilter {
    let expression = Guard { inner: Arc::clone(filter.expression()), bounds: bounds.clone() };
    JoinFilter::new(
        Arc::new(expression),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// An expression that fails as soon as the statement must stop.
#[derive(Debug)]
struct Guard {
    inner: Arc<dyn PhysicalExpr>,
    bounds: Bounds,
}

impl PhysicalExpr for Guard {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.bounds.check().map_err(crate::functions::external)?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, bounds: self.bounds.clone() }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl Display for Guard {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Guard {}

impl Hash for Guard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
