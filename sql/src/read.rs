//! Running queries: from a parsed statement to a plan, from a plan to a stream of Arrow batches.
//!
//! It doesn't know sessions: what a query sees of one is in [`QueryContext`]. Nothing is collected here;
//! dropping the stream ends the query.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::config::ConfigExtension;
use datafusion::datasource::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use futures::stream::BoxStream;
use ledger::{Catalog, Value};
use storage::Snapshot;

use crate::Error;
use crate::functions::{Datum, Function};
use crate::interrupts::Interrupts;
use crate::outcome::{Parameter, ResultColumn};
use crate::point::Point;
use crate::settings::Zone;
use crate::table::Overlay;
use crate::types::PgType;

/// What a query sees of its session and transaction. Made anew for each statement.
#[derive(Clone)]
pub struct QueryContext {
    /// The rows it reads.
    pub snapshot: Snapshot,
    /// The objects it names: the snapshot's catalog, or the session's own when its transaction changed it.
    pub catalog: Arc<Catalog>,
    /// The session's own uncommitted rows, laid over the snapshot.
    pub overlay: Option<Arc<dyn Overlay>>,
    /// Schemas to look in, in order, without the `pg_catalog` that always comes first.
    pub search_path: Vec<String>,
    /// `TimeZone`
    pub zone: Zone,
    /// `current_user`
    pub user: String,
    /// `session_user`
    pub session_user: String,
    /// `current_database()`
    pub database: String,
    /// When the transaction began, µs since 1970 UTC: `now()`.
    pub transaction_time_us: i64,
    /// When the statement began, µs since 1970 UTC.
    pub statement_time_us: i64,
    /// The text that the parser's spans point into, for positions in errors.
    pub source: Arc<str>,
    /// Relations and functions beside the ledger's own: system catalogs, ledger views, sequences.
    pub extensions: Arc<[Arc<dyn Extension>]>,
    /// The session, for functions that an [`Extension`] registers; this module never looks inside.
    pub session: Option<Arc<dyn Any + Send + Sync>>,
    /// Memory that queries of this node share.
    pub memory: Arc<RuntimeEnv>,
    /// The parameters' values, where planning may look at them: a point of the chain may be one.
    pub(crate) parameters: Option<Arc<[Parameter]>>,
    /// When the statement must stop, for work that no stream can be dropped in the midst of.
    pub(crate) bounds: Option<crate::cancel::Bounds>,
}

impl std::fmt::Debug for QueryContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryContext").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A relation that is no table of the ledger: its columns with their types, and what gives its rows.
#[derive(Clone, Debug)]
pub struct VirtualTable {
    /// Its OID (`pg_class`), or 0.
    pub oid: u32,
    /// Names and types, in the order of the provider's schema.
    pub columns: Vec<(String, PgType)>,
    /// How many of them, at the end, are hidden from `*`.
    pub hidden: usize,
    /// Gives the rows; its fields have the Arrow types of [`PgType::arrow`].
    pub provider: Arc<dyn TableProvider>,
}

/// Relations and functions that another module brings into queries.
pub trait Extension: Send + Sync {
    /// The relation of this name. `schema` is `None` for a name without one: then it is asked for
    /// `pg_catalog`'s before the search path is walked.
    ///
    /// # Errors
    /// Whatever keeps the relation from being made.
    fn table(
        &self,
        _context: &QueryContext,
        _schema: Option<&str>,
        _name: &str,
    ) -> Result<Option<VirtualTable>, Error> {
        Ok(None)
    }

    /// A function in FROM that gives a relation whose columns depend on its arguments
    /// (`ledger.history('t')`). The arguments are constants.
    ///
    /// # Errors
    /// Whatever is wrong with the arguments.
    fn table_function(
        &self,
        _context: &QueryContext,
        _schema: Option<&str>,
        _name: &str,
        _arguments: &[Datum],
    ) -> Result<Option<VirtualTable>, Error> {
        Ok(None)
    }

    /// Scalar and set-returning functions of this name, all overloads.
    fn functions(&self, schema: Option<&str>, name: &str) -> Vec<Arc<Function>>;

    /// The text of an OID alias (`regclass` and kin), and back.
    fn reg_text(&self, context: &QueryContext, reg: crate::types::Reg, oid: u32) -> Option<String> {
        let _unused = (context, reg, oid);
        None
    }

    /// The OID that a text names as this alias type.
    ///
    /// # Errors
    /// When there is no such object.
    fn reg_parse(
        &self,
        context: &QueryContext,
        reg: crate::types::Reg,
        text: &str,
    ) -> Result<Option<u32>, Error> {
        let _unused = (context, reg, text);
        Ok(None)
    }
}

/// A query that was planned. It holds no rows and may be run many times, also by other transactions, as
/// long as the catalog's version stays the same.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan, with placeholders for the parameters.
    pub(crate) plan: LogicalPlan,
    /// A query of the catalogs alone: their own evaluator runs it, and `plan` is empty.
    pub(crate) catalog: Option<Arc<crate::catalog::evaluator::Plan>>,
    /// The result's columns.
    pub columns: Vec<ResultColumn>,
    /// The result's types, as many as `columns`.
    pub types: Vec<PgType>,
    /// The parameters' types, `$1` first.
    pub parameters: Vec<PgType>,
    /// The tables of the ledger that it reads, each with the columns named (for privileges).
    pub reads: Vec<ledger::Oid>,
    /// The relations that views in it read, each with the view's owner, by whose privileges it is read.
    pub(crate) owner_reads: Vec<(ledger::Oid, ledger::Oid)>,
    /// The result's schema, with the metadata that the wire needs.
    pub schema: SchemaRef,
    /// The same without DataFusion, where it is a point statement.
    pub(crate) point: Option<Arc<Point>>,
    /// It holds for this run alone: a point of the chain was settled while it was made.
    pub(crate) momentary: bool,
}

/// The context of the running query, where functions find it.
#[derive(Clone, Debug)]
pub(crate) struct Running(pub(crate) Arc<QueryContext>);

impl datafusion::config::ExtensionOptions for Running {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn datafusion::config::ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> datafusion::error::Result<()> {
        Err(datafusion::error::DataFusionError::Configuration(format!("no option {key}")))
    }

    fn entries(&self) -> Vec<datafusion::config::ConfigEntry> {
        Vec::new()
    }
}

impl ConfigExtension for Running {
    const PREFIX: &'static str = "stele";
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanOptions<'a> {
    /// OIDs of the parameters' types, `$1` first, as far as the client gave them; 0 is unknown.
    pub parameter_oids: &'a [u32],
    /// The types of the columns that the rows are to go into: literals and parameters in the select list
    /// or VALUES read as these. Other columns keep their own types.
    pub targets: Option<&'a [PgType]>,
}

/// Plans a query.
///
/// # Errors
/// What is wrong with it, with its SQLSTATE and position; 0A000 for what can't be done right.
pub fn plan_query(
    context: &QueryContext,
    query: &datafusion::sql::sqlparser::ast::Query,
    options: PlanOptions<'_>,
) -> Result<Planned, Error> {
    if options.targets.is_none()
        && let Some(planned) = crate::catalog::planned(context, query, options.parameter_oids)?
    {
        return Ok(planned);
    }
    let mut binder =
        crate::plan::Binder::new(context, options.parameter_oids)?.with_targets(options.targets);
    let rows = binder.query(query)?;
    let rows = binder.settle_rows(rows)?;
    finish_plan(binder, rows)
}

fn finish_plan(binder: crate::plan::Binder<'_>, rows: crate::plan::Rows) -> Result<Planned, Error> {
    let (plan, types) = shown(binder.context, &rows)?;
    let mut columns = Vec::with_capacity(rows.columns.len());
    let mut fields = Vec::with_capacity(rows.columns.len());
    for (output, (kind, arrow)) in rows.columns.iter().zip(types.iter()) {
        let (table_oid, attnum) = match output.origin {
            Some((table, number)) => (table.0, i16::try_from(number.0).unwrap_or(0)),
            None => (0, 0),
        };
        columns.push(ResultColumn {
            name: output.name.clone(),
            type_oid: kind.oid(),
            type_len: kind.len(),
            typmod: kind.typmod(),
            table_oid,
            attnum,
        });
        let mut metadata = kind.metadata();
        if table_oid != 0 {
            metadata.insert("stele.table".to_owned(), table_oid.to_string());
            metadata.insert("stele.column".to_owned(), attnum.to_string());
        }
        fields.push(Field::new(&output.name, arrow.clone(), true).with_metadata(metadata));
    }
    let parameters =
        binder.parameters.iter().map(|kind| kind.clone().unwrap_or(PgType::Text)).collect();
    let types: Vec<PgType> = types.into_iter().map(|(kind, _)| kind).collect();
    Ok(Planned {
        point: Point::of(&plan, &types).map(Arc::new),
        plan,
        catalog: None,
        columns,
        types,
        parameters,
        reads: binder.reads.iter().copied().collect(),
        owner_reads: binder.owner_reads.iter().copied().collect(),
        momentary: binder.momentary,
        schema: Arc::new(Schema::new(fields)),
    })
}

/// The result as it is handed out: OID aliases by name, columns in the result's order.
fn shown(
    _context: &QueryContext,
    rows: &crate::plan::Rows,
) -> Result<(LogicalPlan, Vec<(PgType, DataType)>), Error> {
    use datafusion::logical_expr::Expr;
    let mut exprs = Vec::with_capacity(rows.columns.len());
    let mut types = Vec::with_capacity(rows.columns.len());
    for (index, output) in rows.columns.iter().enumerate() {
        let source = crate::plan::column(&output.column);
        let name = format!("r{index}");
        let (expr, arrow): (Expr, _) = match &output.kind {
            kind @ PgType::Reg(_) => {
                let text = crate::functions::cast::call(
                    source,
                    kind,
                    &PgType::Text,
                    crate::functions::cast::How::Explicit,
                );
                (text, PgType::Text.arrow())
            }
            kind @ PgType::Record(_) => {
                let text = crate::functions::cast::call(
                    source,
                    kind,
                    &PgType::Text,
                    crate::functions::cast::How::Explicit,
                );
                (text, PgType::Text.arrow())
            }
            kind => (source, kind.arrow()),
        };
        exprs.push((expr, name));
        types.push((output.kind.clone(), arrow));
    }
    Ok((crate::plan::project(rows.plan.clone(), exprs)?, types))
}

/// An expression without columns, folded into a literal where it can be.
pub(crate) fn fold_constant(
    context: &QueryContext,
    expr: &datafusion::logical_expr::Expr,
) -> Result<datafusion::logical_expr::Expr, Error> {
    use datafusion::logical_expr::simplify::SimplifyContext;
    use datafusion::optimizer::simplify_expressions::ExprSimplifier;
    if expr.any_column_refs() || expr.contains_outer() {
        return Ok(expr.clone());
    }
    let info = SimplifyContext::builder().with_config_options(Arc::new(options(context))).build();
    Ok(ExprSimplifier::new(info).simplify(expr.clone())?)
}

/// The options that every query runs with.
fn options(context: &QueryContext) -> datafusion::config::ConfigOptions {
    let mut options = datafusion::config::ConfigOptions::new();
    options.optimizer.max_passes = 3;
    // `x IS TRUE` is never NULL for the planner, and might be for what runs it: the check takes that for a fault.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.sort_spill_reservation_bytes =
        crate::memory::sort_reserve(&context.memory, partitions());
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.map_string_types_to_utf8view = false;
    options.extensions.insert(Running(Arc::new(context.clone())));
    options
}

/// Runs a plan. The parameters are as many as `planned.parameters`, each of its type (or a text of
/// unknown type).
///
/// # Errors
/// 08P01 for missing parameters, 22xxx for values that don't read as their types; later errors come in
/// the stream.
pub async fn run(
    context: &QueryContext,
    planned: &Planned,
    parameters: &[Parameter],
) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
    if let Some(plan) = &planned.catalog {
        let batch = crate::catalog::run(context, planned, plan, parameters)?;
        return Ok(futures::stream::iter([Ok(batch)]).boxed());
    }
    let Some((plan, task)) = physical(context, planned, parameters).await? else {
        return Ok(futures::stream::empty().boxed());
    };
    execute(planned, plan, task)
}

/// A query's physical plan, with the context that it runs in; `None` for one of the catalogs alone.
///
/// # Errors
/// As [`run`].
pub(crate) async fn physical(
    context: &QueryContext,
    planned: &Planned,
    parameters: &[Parameter],
) -> Result<Option<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)>, Error> {
    if planned.catalog.is_some() {
        return Ok(None);
    }
    let plan = with_parameters(context, planned, parameters)?;
    let session = session(context, partitions());
    let state = session.state();
    let running = Running(Arc::new(context.clone()));
    let physical = while_planning(running, state.create_physical_plan(&plan)).await?;
    Ok(Some((physical, session.task_ctx())))
}

/// Runs a physical plan.
///
/// # Errors
/// As [`run`].
pub(crate) fn execute(
    planned: &Planned,
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
    let stream = execute_stream(plan, task)?;
    let schema = Arc::clone(&planned.schema);
    Ok(stream.map(move |batch| dressed(&schema, &batch?)).boxed())
}

/// What a subquery runs in that is called for each row: one task, under the same context.
pub(crate) fn inner_state(context: &Arc<QueryContext>) -> SessionState {
    // Asked from a session, it hands its options to the functions it plans.
    session(context, 1).state()
}

/// DataFusion's session for one statement, running in this many tasks.
fn session(context: &QueryContext, partitions: usize) -> SessionContext {
    let config = SessionConfig::from(options(context)).with_target_partitions(partitions);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(&context.memory))
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(Interrupts))
        .build();
    SessionContext::new_with_state(state)
}

/// What runs an optimized plan.
pub(crate) async fn physical_of(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, Error> {
    let planning = state.query_planner().create_physical_plan(plan, state);
    Ok(match state.config_options().extensions.get::<Running>().cloned() {
        Some(running) => while_planning(running, planning).await?,
        None => planning.await?,
    })
}

/// The plan as DataFusion's optimizer leaves it.
pub(crate) fn optimized(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    let running = state.config_options().extensions.get::<Running>().cloned();
    let before = PLANNING.replace(running);
    let result = state.optimize(plan);
    PLANNING.set(before);
    Ok(result?)
}

thread_local! {
    /// The query that this thread is planning: parts of DataFusion's optimizer evaluate constants without
    /// the query's options.
    static PLANNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// The query that this thread is planning.
pub(crate) fn planning_now() -> Option<Running> {
    PLANNING.with_borrow(Clone::clone)
}

/// Polls the future with the query known to the thread.
async fn while_planning<F: Future>(running: Running, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        let before = PLANNING.replace(Some(running.clone()));
        let result = future.as_mut().poll(context);
        PLANNING.set(before);
        result
    })
    .await
}

fn partitions() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The batch under the result's names and metadata.
fn dressed(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let width = schema.fields().len();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().iter().take(width).cloned().collect();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(format!("a result has another shape: {error}")))
}

fn with_parameters(
    context: &QueryContext,
    planned: &Planned,
    parameters: &[Parameter],
) -> Result<LogicalPlan, Error> {
    let datums = parameter_values(context, planned, parameters)?;
    if datums.is_empty() {
        return Ok(planned.plan.clone());
    }
    let mut values = HashMap::with_capacity(parameters.len());
    for (index, (datum, kind)) in datums.into_iter().zip(&planned.parameters).enumerate() {
        let scalar = crate::functions::scalar_of(kind, datum)?;
        values.insert((index + 1).to_string(), ScalarAndMetadata::new(scalar, None));
    }
    Ok(planned.plan.clone().with_param_values(ParamValues::Map(values))?)
}

/// The parameters' values in the types that the plan gave them.
pub(crate) fn parameter_values(
    context: &QueryContext,
    planned: &Planned,
    parameters: &[Parameter],
) -> Result<Vec<Datum>, Error> {
    if parameters.len() < planned.parameters.len() {
        return Err(Error::new(
            "08P01",
            format!(
                "bind message supplies {} parameters, but prepared statement requires {}",
                parameters.len(),
                planned.parameters.len()
            ),
        ));
    }
    parameters
        .iter()
        .zip(&planned.parameters)
        .map(|(parameter, kind)| parameter_value(context, parameter, kind))
        .collect()
}

/// A parameter's value in the type that the plan gave it.
pub(crate) fn parameter_value(
    context: &QueryContext,
    parameter: &Parameter,
    kind: &PgType,
) -> Result<Datum, Error> {
    let Some(value) = &parameter.value else { return Ok(Datum::Null) };
    match (value, PgType::of_oid(parameter.oid)) {
        (Value::Text(text), Some(PgType::Unknown) | None) => {
            crate::functions::cast::parse(context, text, kind, false)
        }
        // What the ledger has no value of (`regclass`, `interval`) comes as text.
        (Value::Text(text), Some(from)) if from.arrow() != DataType::Utf8 => {
            let datum = crate::functions::cast::parse(context, text, &from, false)?;
            if from == *kind {
                return Ok(datum);
            }
            let how = crate::functions::cast::How::Assignment;
            crate::functions::cast::convert(context, datum, &from, kind, how)
        }
        (value, Some(from)) => crate::functions::cast::convert(
            context,
            Datum::of(value.clone()),
            &from,
            kind,
            crate::functions::cast::How::Assignment,
        ),
        (value, None) => Ok(Datum::of(value.clone())),
    }
}

/// Runs a plan and gives all its rows, for callers that need them at once.
///
/// # Errors
/// As [`run`], and every error of the stream.
pub async fn collect(
    context: &QueryContext,
    planned: &Planned,
    parameters: &[Parameter],
) -> Result<Vec<RecordBatch>, Error> {
    use futures::TryStreamExt;
    run(context, planned, parameters).await?.try_collect().await
}

#[cfg(test)]
pub(crate) mod tests;
