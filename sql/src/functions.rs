//! The functions of SQL: what is registered under which name and argument types, and how a call runs
//! inside DataFusion. It doesn't decide between overloads: `plan::call` does.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast;

use crate::Error;
use crate::read::{QueryContext, Running};
use crate::types::{Numeric, PgType};

mod array;
pub(crate) mod cast;
mod datetime;
mod datum;
mod format;
pub(crate) mod free;
pub(crate) mod gathered;
pub(crate) mod interval;
mod json;
mod math;
pub(crate) mod numeric;
pub(crate) mod operators;
mod pattern;
pub(crate) mod series;
mod system;
mod text;

pub(crate) use datum::shaped;
pub use datum::{Datum, Span, array_of, datum_at, out_of_range, scalar_of};
pub(crate) use text::{quote_ident, quote_literal};

/// What a function sees beside its arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The query's context.
    pub context: &'a QueryContext,
    /// The arguments' types, as they were resolved.
    pub kinds: &'a [PgType],
    /// The result's type; of a set-returning function the type of one row.
    pub returns: &'a PgType,
}

/// A function on one row.
pub type RowBody = dyn Fn(&Call<'_>, &[Datum]) -> Result<Datum, Error> + Send + Sync;
/// A function on whole arrays. NULLs are its own matter.
pub type ArrayBody =
    dyn Fn(&Call<'_>, &[ColumnarValue], usize) -> Result<ColumnarValue, Error> + Send + Sync;

/// What a function does.
#[derive(Clone)]
pub enum Body {
    /// Row by row. A set-returning function gives an array of its rows.
    Row(Arc<RowBody>),
    /// Array by array.
    Array(Arc<ArrayBody>),
    /// An expression of the arguments, put in place of the call.
    Expression(fn(Vec<Expr>) -> Expr),
}

/// The result's type.
#[derive(Clone)]
pub enum Returns {
    /// Always the same. Polymorphic types are replaced by what the arguments made of them.
    Fixed(PgType),
    /// Computed from the arguments' types.
    Computed(fn(&[PgType]) -> PgType),
}

/// One overload of a function.
#[derive(Clone)]
pub struct Function {
    /// `pg_catalog`, `ledger`, `information_schema`
    pub schema: &'static str,
    /// Its name.
    pub name: String,
    /// Its arguments' types; numerics of any shape are taken as they are.
    pub arguments: Vec<PgType>,
    /// How many arguments at the end may be left away (the body sees fewer).
    pub optional: usize,
    /// The last argument may be repeated.
    pub variadic: bool,
    /// The result's type; of a set-returning function the type of one row.
    pub returns: Returns,
    /// NULL for any NULL argument; the body never sees one.
    pub strict: bool,
    /// Gives any number of rows.
    pub set: bool,
    /// What may be assumed of repeated calls.
    pub volatility: Volatility,
    /// What it does.
    pub body: Body,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name, self.arguments)
    }
}

impl Function {
    /// A strict, immutable function on one row. The signature is written
    /// `name(type, …) type`, with `variadic type` last, `[type]` for what may be left away, and `setof type`.
    /// A signature that names no type of ours gives a function that no call ever matches.
    pub fn row(
        signature: &str,
        body: impl Fn(&Call<'_>, &[Datum]) -> Result<Datum, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::of_signature(signature, Body::Row(Arc::new(body)))
    }

    /// An immutable function on whole arrays; NULLs are its own matter.
    pub fn array(
        signature: &str,
        body: impl Fn(&Call<'_>, &[ColumnarValue], usize) -> Result<ColumnarValue, Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::of_signature(signature, Body::Array(Arc::new(body)))
    }

    /// A function that is an expression of its arguments.
    pub fn expression(signature: &str, body: fn(Vec<Expr>) -> Expr) -> Self {
        Self::of_signature(signature, Body::Expression(body))
    }

    fn of_signature(signature: &str, body: Body) -> Self {
        let (head, returns) = signature.rsplit_once(')').unwrap_or((signature, "void"));
        let (name, arguments) = head.split_once('(').unwrap_or((head, ""));
        let mut variadic = false;
        let mut optional = 0;
        let arguments = arguments
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                let mut text = text;
                if let Some(rest) = text.strip_prefix("variadic ") {
                    variadic = true;
                    text = rest;
                }
                if let Some(rest) = text.strip_prefix('[') {
                    optional += 1;
                    text = rest.trim_end_matches(']');
                    if rest.ends_with("[]]") {
                        return PgType::Array(Box::new(pseudo(text.trim_end_matches('['))));
                    }
                }
                pseudo(text)
            })
            .collect();
        let returns = returns.trim();
        let (set, returns) = match returns.strip_prefix("setof ") {
            Some(rest) => (true, rest),
            None => (false, returns),
        };
        Self {
            schema: "pg_catalog",
            name: name.to_owned(),
            arguments,
            optional,
            variadic,
            returns: Returns::Fixed(pseudo(returns)),
            strict: true,
            set,
            volatility: Volatility::Immutable,
            body,
        }
    }

    /// The same, called also with NULLs.
    pub fn with_nulls(mut self) -> Self {
        self.strict = false;
        self
    }

    /// The same, constant only within a statement.
    pub fn stable(mut self) -> Self {
        self.volatility = Volatility::Stable;
        self
    }

    /// The same, with another result at each call.
    pub fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    /// The same in another schema.
    pub fn in_schema(mut self, schema: &'static str) -> Self {
        self.schema = schema;
        self
    }

    /// The same with a result type that depends on the arguments'.
    pub fn returning(mut self, returns: fn(&[PgType]) -> PgType) -> Self {
        self.returns = Returns::Computed(returns);
        self
    }

    /// The same with this result type.
    pub fn returning_type(mut self, returns: PgType) -> Self {
        self.returns = Returns::Fixed(returns);
        self
    }

    /// The expression that calls it. `kinds` are the arguments' types after casts, `returns` the result's.
    pub(crate) fn call(
        self: &Arc<Self>,
        args: Vec<Expr>,
        kinds: Vec<PgType>,
        returns: PgType,
    ) -> Expr {
        match &self.body {
            Body::Expression(build) => build(args),
            _ => {
                let result = if self.set { PgType::Array(Box::new(returns)) } else { returns };
                let udf = Bound {
                    function: Arc::clone(self),
                    kinds,
                    returns: result,
                    signature: Signature::user_defined(self.volatility),
                };
                ScalarUDF::from(udf).call(args)
            }
        }
    }
}

fn pseudo(name: &str) -> PgType {
    match name {
        "any" => PgType::Any,
        "anyelement" => PgType::AnyElement,
        "anyarray" | "anyelement[]" => PgType::AnyArray,
        "numeric" => PgType::Numeric(Numeric::FREE),
        "regclass" | "regtype" | "regproc" | "record" | "void" => {
            PgType::of_name(name).unwrap_or(PgType::Void)
        }
        name => PgType::of_name(name).unwrap_or(PgType::Void),
    }
}

/// A function with its types fixed, as DataFusion calls it.
#[derive(Debug)]
struct Bound {
    function: Arc<Function>,
    kinds: Vec<PgType>,
    returns: PgType,
    signature: Signature,
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
            && self.kinds == other.kinds
            && self.returns == other.returns
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
        self.kinds.hash(state);
        self.returns.hash(state);
    }
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        &self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> datafusion::error::Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> datafusion::error::Result<DataType> {
        Ok(self.returns.arrow())
    }

    fn return_field_from_args(
        &self,
        _args: ReturnFieldArgs<'_>,
    ) -> datafusion::error::Result<FieldRef> {
        Ok(self.returns.field(&self.function.name))
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::error::Result<ColumnarValue> {
        let running = args.config_options.extensions.get::<Running>().cloned();
        let running = running
            .or_else(crate::read::planning_now)
            .ok_or_else(|| DataFusionError::Internal("a function without a query".to_owned()))?;
        let returns = match (&self.returns, self.function.set) {
            (PgType::Array(row), true) => row.as_ref(),
            (returns, _) => returns,
        };
        let call = Call { context: &running.0, kinds: &self.kinds, returns };
        let result = match &self.function.body {
            Body::Row(body) => self.by_row(&call, body.as_ref(), &args.args, args.number_rows),
            Body::Array(body) => body(&call, &args.args, args.number_rows),
            Body::Expression(_) => Err(Error::internal("an expression was called")),
        };
        result.map_err(external)
    }
}

impl Bound {
    /// The result for one row, as [`Self::by_row`] would give it.
    fn on_row(&self, context: &QueryContext, args: &[Datum]) -> Result<Datum, Error> {
        let call = Call { context, kinds: &self.kinds, returns: &self.returns };
        match &self.function.body {
            Body::Row(_) if self.function.strict && args.iter().any(Datum::is_null) => {
                Ok(Datum::Null)
            }
            Body::Row(body) => shaped(&self.returns, body(&call, args)?),
            Body::Array(body) => {
                let args = args
                    .iter()
                    .zip(&self.kinds)
                    .map(|(arg, kind)| Ok(ColumnarValue::Scalar(scalar_of(kind, arg.clone())?)))
                    .collect::<Result<Vec<_>, Error>>()?;
                let array = body(&call, &args, 1)?.to_array(1)?;
                datum_at(array.as_ref(), 0)
            }
            Body::Expression(_) => Err(Error::internal("an expression was called")),
        }
    }

    fn by_row(
        &self,
        call: &Call<'_>,
        body: &RowBody,
        args: &[ColumnarValue],
        rows: usize,
    ) -> Result<ColumnarValue, Error> {
        let volatile = self.function.volatility == Volatility::Volatile;
        let all_scalars = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalars && !volatile { 1 } else { rows };
        let mut columns: Vec<(usize, &ArrayRef)> = Vec::with_capacity(args.len());
        let mut values = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            values.push(match arg {
                ColumnarValue::Array(array) => {
                    columns.push((place, array));
                    Datum::Null
                }
                // Taken apart once: it may be a long list.
                ColumnarValue::Scalar(scalar) => datum_at(scalar.to_array()?.as_ref(), 0)?,
            });
        }
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            for (place, array) in &columns {
                if let Some(value) = values.get_mut(*place) {
                    *value = datum_at(array.as_ref(), row)?;
                }
            }
            if self.function.strict && values.iter().any(Datum::is_null) {
                results.push(Datum::Null);
            } else {
                results.push(body(call, &values)?);
            }
        }
        let array = array_of(&self.returns, results)?;
        if all_scalars && !volatile {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// A function of ours that an expression calls, to be called row by row without DataFusion.
#[derive(Clone, Debug)]
pub(crate) struct Called(Arc<dyn ScalarUDFImpl>);

impl Called {
    /// What `udf` calls, if it is ours, gives one value, and gives the same one again.
    pub(crate) fn of(udf: &ScalarUDF) -> Option<Self> {
        let bound = udf.inner().downcast_ref::<Bound>()?;
        let plain = !bound.function.set && bound.function.volatility != Volatility::Volatile;
        plain.then(|| Self(Arc::clone(udf.inner())))
    }

    /// The operator, when it is one on integers, and the type of its result.
    pub(crate) fn integer_operator(&self) -> Option<(ast::BinaryOperator, PgType)> {
        let bound = self.0.downcast_ref::<Bound>()?;
        let operator = operators::plain_operator(&bound.function)?;
        bound.returns.is_integer().then(|| (operator, bound.returns.clone()))
    }

    /// Its result for one row.
    ///
    /// # Errors
    /// The function's.
    pub(crate) fn value(&self, context: &QueryContext, args: &[Datum]) -> Result<Datum, Error> {
        let bound = self.0.downcast_ref::<Bound>();
        bound.ok_or_else(|| Error::internal("a function of another kind"))?.on_row(context, args)
    }
}

/// Our error on its way through DataFusion.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// All functions of our own, by name.
static FUNCTIONS: LazyLock<HashMap<String, Vec<Arc<Function>>>> = LazyLock::new(|| {
    let mut by_name: HashMap<String, Vec<Arc<Function>>> = HashMap::new();
    let all = [
        text::functions(),
        pattern::functions(),
        math::functions(),
        numeric::functions(),
        datetime::functions(),
        format::functions(),
        json::functions(),
        array::functions(),
        series::functions(),
        system::functions(),
    ];
    for function in all.into_iter().flatten() {
        by_name.entry(function.name.clone()).or_default().push(Arc::new(function));
    }
    by_name
});

/// The overloads of this name, also those of the context's extensions.
pub(crate) fn overloads(
    context: &QueryContext,
    schema: Option<&str>,
    name: &str,
) -> Vec<Arc<Function>> {
    let mut found: Vec<Arc<Function>> =
        context.extensions.iter().flat_map(|extension| extension.functions(schema, name)).collect();
    if schema.is_none_or(|schema| schema == "pg_catalog")
        && let Some(own) = FUNCTIONS.get(name)
    {
        found.extend(own.iter().cloned());
    }
    found
}
