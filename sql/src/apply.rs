//! A subquery that is run for each row around it: what no join can stand for (LIMIT within, references by other than
//! equality, or across several levels). Rows that give it the same values share one run.
//!
//! It is a scalar function whose arguments are the outer columns that the subquery names. Its plan is optimized once
//! for a statement, with parameters in their place, and then run with their values.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef, BooleanArray, ListArray, StructArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Error;
use crate::functions::external;
use crate::read::{QueryContext, Running};
use crate::types::PgType;

/// Results are kept up to this many bytes, and then forgotten.
const MEMORY: usize = 64 << 20;
/// What keeping one result costs beyond its values.
const OVERHEAD: usize = 256;

/// What becomes of the subquery's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gives {
    /// The only row's only value; NULL without a row, 21000 for several.
    Value,
    /// Whether there is a row.
    Exists,
    /// The values of its only column, in order.
    List,
    /// Its rows as records; NULL without any.
    Rows,
}

/// The parameter that stands in a subquery's plan for its nth argument.
pub(crate) fn parameter(nth: usize) -> String {
    format!("$a{nth}")
}

/// A subquery as a function of the columns around it.
#[derive(Debug)]
pub(crate) struct Apply {
    name: String,
    plan: LogicalPlan,
    gives: Gives,
    /// Of the value, of the elements of the list, or the record.
    kind: PgType,
    /// Two runs with the same values may differ.
    volatile: bool,
    signature: Signature,
    memory: Mutex<Option<Arc<Memory>>>,
}

impl Apply {
    pub(crate) fn new(
        name: String,
        plan: LogicalPlan,
        gives: Gives,
        kind: PgType,
        volatile: bool,
    ) -> Self {
        let signature = Signature::user_defined(Volatility::Volatile);
        Self { name, plan, gives, kind, volatile, signature, memory: Mutex::new(None) }
    }

    /// The subquery that a function is.
    pub(crate) fn of(function: &ScalarUDF) -> Option<&Self> {
        function.inner().downcast_ref::<Self>()
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile
    }

    fn returns(&self) -> PgType {
        match self.gives {
            Gives::Value => self.kind.clone(),
            Gives::Exists => PgType::Bool,
            Gives::List | Gives::Rows => PgType::Array(Box::new(self.kind.clone())),
        }
    }
}

impl PartialEq for Apply {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.gives == other.gives && self.plan == other.plan
    }
}

impl Eq for Apply {}

impl Hash for Apply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.gives.hash(state);
    }
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> PlanResult<DataType> {
        Ok(self.returns().arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(self.returns().field(&self.name))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let running = args.config_options.extensions.get::<Running>().cloned();
        let Some(Running(context)) = running.or_else(crate::read::planning_now) else {
            return Err(external(Error::internal("a subquery without a query around it")));
        };
        let rows = args.number_rows;
        let arrays =
            args.args.iter().map(|arg| arg.to_array(rows)).collect::<PlanResult<Vec<_>>>()?;
        self.each_row(&context, &arrays, rows).map(ColumnarValue::Array).map_err(external)
    }
}

/// What one statement remembers of a subquery.
#[derive(Debug)]
struct Memory {
    of: Weak<QueryContext>,
    state: SessionState,
    plan: LogicalPlan,
    results: Mutex<Results>,
}

/// Rows that share a run, and the key that its result is kept under.
type Run = (Option<Box<[u8]>>, Vec<usize>);

#[derive(Debug, Default)]
struct Results {
    by_values: HashMap<Box<[u8]>, ArrayRef>,
    bytes: usize,
}

impl Apply {
    fn memory(&self, context: &Arc<QueryContext>) -> Result<Arc<Memory>, Error> {
        let mut kept = self.memory.lock();
        if let Some(memory) = kept.as_ref()
            && std::ptr::eq(memory.of.as_ptr(), Arc::as_ptr(context))
        {
            return Ok(Arc::clone(memory));
        }
        let state = crate::read::inner_state(context);
        let plan = crate::read::optimized(&state, &self.plan)?;
        let memory = Arc::new(Memory {
            of: Arc::downgrade(context),
            state,
            plan,
            results: Mutex::new(Results::default()),
        });
        *kept = Some(Arc::clone(&memory));
        Ok(memory)
    }

    /// The results for the rows of these arguments.
    fn each_row(
        &self,
        context: &Arc<QueryContext>,
        arrays: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, Error> {
        if rows == 0 {
            return Ok(arrow::array::new_empty_array(&self.returns().arrow()));
        }
        let memory = self.memory(context)?;
        let fields = arrays.iter().map(|a| SortField::new(a.data_type().clone())).collect();
        let values = RowConverter::new(fields)?.convert_columns(arrays)?;
        let mut found: Vec<Option<ArrayRef>> = vec![None; rows];
        let mut open: HashMap<Box<[u8]>, Vec<usize>> = HashMap::new();
        let mut alone: Vec<usize> = Vec::new();
        {
            let results = memory.results.lock();
            for (row, slot) in found.iter_mut().enumerate() {
                if self.volatile || arrays.is_empty() {
                    alone.push(row);
                    continue;
                }
                let key = values.row(row).as_ref().to_vec().into_boxed_slice();
                match results.by_values.get(&key) {
                    Some(result) => *slot = Some(Arc::clone(result)),
                    None => open.entry(key).or_default().push(row),
                }
            }
        }
        let mut runs: Vec<Run> = open.into_iter().map(|(key, rows)| (Some(key), rows)).collect();
        runs.extend(alone.into_iter().map(|row| (None, vec![row])));
        if !runs.is_empty() {
            let work = self.run_all(context, &memory, arrays, runs, &mut found);
            wait(work)?;
        }
        let found: Vec<ArrayRef> = found.into_iter().flatten().collect();
        let parts: Vec<&dyn Array> = found.iter().map(AsRef::as_ref).collect();
        Ok(arrow::compute::concat(&parts)?)
    }

    async fn run_all(
        &self,
        context: &QueryContext,
        memory: &Memory,
        arrays: &[ArrayRef],
        runs: Vec<Run>,
        found: &mut [Option<ArrayRef>],
    ) -> Result<(), Error> {
        let task = memory.state.task_ctx();
        for (key, rows) in runs {
            let Some(first) = rows.first() else { continue };
            let mut values = HashMap::with_capacity(arrays.len());
            for (nth, array) in arrays.iter().enumerate() {
                let scalar = ScalarValue::try_from_array(array, *first)?;
                let name = parameter(nth).trim_start_matches('$').to_owned();
                values.insert(name, ScalarAndMetadata::new(scalar, None));
            }
            let run = self.run(memory, &task, values);
            let result = match &context.bounds {
                Some(bounds) => {
                    bounds.check()?;
                    bounds.within(run).await?
                }
                None => run.await?,
            };
            if let Some(key) = key {
                memory.results.lock().keep(key, &result);
            }
            for row in rows {
                if let Some(slot) = found.get_mut(row) {
                    *slot = Some(Arc::clone(&result));
                }
            }
        }
        Ok(())
    }

    /// One run: an array of one element.
    async fn run(
        &self,
        memory: &Memory,
        task: &Arc<TaskContext>,
        values: HashMap<String, ScalarAndMetadata>,
    ) -> Result<ArrayRef, Error> {
        let plan = memory.plan.clone().with_param_values(ParamValues::Map(values))?;
        let physical = crate::read::physical_of(&memory.state, &plan).await?;
        let schema = physical.schema();
        let mut stream = execute_stream(physical, Arc::clone(task))?;
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        let enough = match self.gives {
            Gives::Value => 2,
            Gives::Exists => 1,
            Gives::List | Gives::Rows => usize::MAX,
        };
        while rows < enough
            && let Some(batch) = stream.next().await
        {
            let batch = batch?;
            rows += batch.num_rows();
            batches.push(batch);
        }
        let rows_of = || arrow::compute::concat_batches(&schema, &batches).map_err(Error::from);
        match self.gives {
            Gives::Exists => Ok(Arc::new(BooleanArray::from(vec![rows > 0]))),
            Gives::Value if rows > 1 => Err(Error::new(
                "21000",
                "more than one row returned by a subquery used as an expression",
            )),
            Gives::Value if rows == 0 => Ok(new_null_array(&self.kind.arrow(), 1)),
            Gives::Value => {
                let batch = rows_of()?;
                Ok(Arc::clone(batch.column(0)))
            }
            Gives::List => {
                let batch = rows_of()?;
                Ok(Arc::new(self.one_list(Arc::clone(batch.column(0)))?))
            }
            Gives::Rows if rows == 0 => Ok(new_null_array(&self.returns().arrow(), 1)),
            Gives::Rows => {
                let batch = rows_of()?;
                let DataType::Struct(fields) = self.kind.arrow() else {
                    return Err(Error::internal("rows that are no records"));
                };
                let records = StructArray::try_new(fields, batch.columns().to_vec(), None)?;
                Ok(Arc::new(self.one_list(Arc::new(records))?))
            }
        }
    }

    fn one_list(&self, items: ArrayRef) -> Result<ListArray, Error> {
        let field: Arc<Field> = match self.returns().arrow() {
            DataType::List(field) => field,
            _ => return Err(Error::internal("a list that is none")),
        };
        Ok(ListArray::try_new(field, OffsetBuffer::from_lengths([items.len()]), items, None)?)
    }
}

impl Results {
    fn keep(&mut self, key: Box<[u8]>, result: &ArrayRef) {
        let bytes = key.len() + result.get_array_memory_size() + OVERHEAD;
        if self.bytes + bytes > MEMORY {
            self.by_values.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.by_values.insert(key, Arc::clone(result));
    }
}

/// Waits for the work within a function that can't be suspended: the runtime is told, so that its other tasks go on
/// elsewhere.
fn wait<T: Send>(work: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(|| handle.block_on(work))
        }
        _ => std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .map_err(|error| Error::internal(format!("no runtime: {error}")))?;
                runtime.block_on(work)
            });
            thread.join().unwrap_or_else(|_| Err(Error::internal("a subquery panicked")))
        }),
    }
}
