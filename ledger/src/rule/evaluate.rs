//! Evaluating rules: three-valued logic, exact arithmetic, every error PostgreSQL's. The same on every node.

use std::cmp::Ordering;

use super::{Comparison, Function, Rule, Volatile, arithmetic, pattern};
use crate::text::Utc;
use crate::{ColumnNumber, Decimal, Refusal, Value};

/// What a rule is evaluated in.
pub trait Environment {
    /// The value of the row's column.
    ///
    /// # Errors
    /// When there is no such column.
    fn column(&self, number: ColumnNumber) -> Result<Value, Refusal>;

    /// A value that only the serving node can give.
    ///
    /// # Errors
    /// When it can't be had here: a validator has none.
    fn volatile(&self, what: Volatile) -> Result<Value, Refusal>;
}

/// No columns, and nothing volatile: for constants.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Environment for Nothing {
    fn column(&self, number: ColumnNumber) -> Result<Value, Refusal> {
        Err(Refusal::malformed(format!("no column {} here", number.0)))
    }

    fn volatile(&self, what: Volatile) -> Result<Value, Refusal> {
        Err(Refusal::malformed(format!("{what:?} cannot be had here")))
    }
}

fn wrong_types() -> Refusal {
    Refusal::malformed("a rule whose operands are of the wrong types")
}

/// A truth value; `None` is unknown.
fn truth(value: &Value) -> Result<Option<bool>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(v) => Ok(Some(*v)),
        _ => Err(wrong_types()),
    }
}

fn boolean(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The order of two values of one type (or of one family of types); neither is NULL.
///
/// # Errors
/// Malformed when they can't be compared.
pub fn compare(a: &Value, b: &Value) -> Result<Ordering, Refusal> {
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(a.cmp(&b));
    }
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Numeric(a), Value::Numeric(b)) => a.cmp(b),
        (Value::Numeric(a), b) if b.as_integer().is_some() => {
            a.cmp(&Decimal::from(b.as_integer().unwrap_or(0)))
        }
        (a, Value::Numeric(b)) if a.as_integer().is_some() => {
            Decimal::from(a.as_integer().unwrap_or(0)).cmp(b)
        }
        (Value::Float4(a), Value::Float4(b)) => float_order(f64::from(*a), f64::from(*b)),
        (Value::Float8(a), Value::Float8(b)) => float_order(*a, *b),
        (Value::Float4(a), Value::Float8(b)) => float_order(f64::from(*a), *b),
        (Value::Float8(a), Value::Float4(b)) => float_order(*a, f64::from(*b)),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bytea(a), Value::Bytea(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::Timestamptz(a), Value::Timestamptz(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Jsonb(_), Value::Jsonb(_)) | (Value::Array(_), Value::Array(_)) => {
            let key = |value: &Value| crate::key::encode_key(std::slice::from_ref(value));
            key(a).cmp(&key(b))
        }
        _ => return Err(wrong_types()),
    })
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Rule {
    /// The rule's value. Casts between local times and moments are in UTC.
    ///
    /// # Errors
    /// A `Data` refusal when arithmetic or a cast fails; Malformed when the rule's types don't fit.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<Value, Refusal> {
        match self {
            Self::Literal(value, _) => Ok(value.clone()),
            Self::Column(number) => environment.column(*number),
            Self::Volatile(what) => environment.volatile(*what),
            Self::Not(a) => Ok(boolean(truth(&a.evaluate(environment)?)?.map(|v| !v))),
            Self::And(all) => logic(all, false, environment),
            Self::Or(all) => logic(all, true, environment),
            Self::Compare(comparison, a, b) => {
                let (a, b) = (a.evaluate(environment)?, b.evaluate(environment)?);
                if a.is_null() || b.is_null() {
                    return Ok(Value::Null);
                }
                Ok(Value::Bool(comparison.holds(compare(&a, &b)?)))
            }
            Self::Distinct(a, b) => {
                let (a, b) = (a.evaluate(environment)?, b.evaluate(environment)?);
                Ok(Value::Bool(match (a.is_null(), b.is_null()) {
                    (false, false) => compare(&a, &b)?.is_ne(),
                    (one, other) => one != other,
                }))
            }
            Self::Arithmetic(operator, a, b) => {
                let (a, b) = (a.evaluate(environment)?, b.evaluate(environment)?);
                arithmetic::apply(*operator, a, b)
            }
            Self::Negate(a) => arithmetic::negate(a.evaluate(environment)?),
            Self::IsNull(a) => Ok(Value::Bool(a.evaluate(environment)?.is_null())),
            Self::In(a, all) => is_in(&a.evaluate(environment)?, all, environment),
            Self::Like(a, b, fold) => {
                let (a, b) = (a.evaluate(environment)?, b.evaluate(environment)?);
                texts(&a, &b)?
                    .map_or(Ok(Value::Null), |(a, b)| pattern::like(a, b, *fold).map(Value::Bool))
            }
            Self::Matches(a, b, fold) => {
                let (a, b) = (a.evaluate(environment)?, b.evaluate(environment)?);
                texts(&a, &b)?.map_or(Ok(Value::Null), |(a, b)| {
                    pattern::matches(a, b, *fold).map(Value::Bool)
                })
            }
            Self::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    if truth(&condition.evaluate(environment)?)? == Some(true) {
                        return result.evaluate(environment);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |rule| rule.evaluate(environment))
            }
            Self::Cast(a, kind) => a.evaluate(environment)?.cast(kind, &Utc),
            Self::Call(function, arguments) => call(*function, arguments, environment),
        }
    }

    /// Whether a row passes this rule as its CHECK: true and unknown do.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn allows(&self, environment: &dyn Environment) -> Result<bool, Refusal> {
        Ok(truth(&self.evaluate(environment)?)? != Some(false))
    }
}

/// AND (`decides` is false) and OR (`decides` is true): stops at the first value that decides.
fn logic(all: &[Rule], decides: bool, environment: &dyn Environment) -> Result<Value, Refusal> {
    let mut unknown = false;
    for rule in all {
        match truth(&rule.evaluate(environment)?)? {
            Some(v) if v == decides => return Ok(Value::Bool(decides)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!decides) })
}

fn is_in(a: &Value, all: &[Rule], environment: &dyn Environment) -> Result<Value, Refusal> {
    if a.is_null() {
        return Ok(if all.is_empty() { Value::Bool(false) } else { Value::Null });
    }
    let mut unknown = false;
    for rule in all {
        let b = rule.evaluate(environment)?;
        if b.is_null() {
            unknown = true;
        } else if compare(a, &b)?.is_eq() {
            return Ok(Value::Bool(true));
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(false) })
}

/// Two texts; `None` when one is NULL.
fn texts<'a>(a: &'a Value, b: &'a Value) -> Result<Option<(&'a str, &'a str)>, Refusal> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        (Value::Text(a), Value::Text(b)) => Ok(Some((a, b))),
        _ => Err(wrong_types()),
    }
}

fn length(count: usize) -> Result<Value, Refusal> {
    i32::try_from(count)
        .map(Value::Int4)
        .map_err(|_| Refusal::data("22003", "integer out of range"))
}

/// The greatest or the least of what is not NULL.
fn extreme(values: Vec<Value>, wanted: Ordering) -> Result<Value, Refusal> {
    let mut best = Value::Null;
    for value in values {
        if best.is_null() || (!value.is_null() && compare(&value, &best)? == wanted) {
            best = value;
        }
    }
    Ok(best)
}

/// One character's other case, where that is one character too.
fn fold(text: &str, upper: bool) -> String {
    let other = |c: char| {
        let (mut upper_case, mut lower_case) = (c.to_uppercase(), c.to_lowercase());
        let (first, rest) = if upper {
            (upper_case.next(), upper_case.next())
        } else {
            (lower_case.next(), lower_case.next())
        };
        if rest.is_some() { c } else { first.unwrap_or(c) }
    };
    text.chars().map(other).collect()
}

fn call(
    function: Function,
    arguments: &[Rule],
    environment: &dyn Environment,
) -> Result<Value, Refusal> {
    if function == Function::Coalesce {
        for rule in arguments {
            let value = rule.evaluate(environment)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        return Ok(Value::Null);
    }
    let values: Vec<Value> =
        arguments.iter().map(|rule| rule.evaluate(environment)).collect::<Result<_, _>>()?;
    match function {
        Function::Coalesce => return Ok(Value::Null),
        Function::Greatest => return extreme(values, Ordering::Greater),
        Function::Least => return extreme(values, Ordering::Less),
        Function::NullIf => {
            let [a, b] = <[Value; 2]>::try_from(values).map_err(|_| wrong_types())?;
            let equal = !a.is_null() && !b.is_null() && compare(&a, &b)?.is_eq();
            return Ok(if equal { Value::Null } else { a });
        }
        _ => {}
    }
    if values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    match (function, values.as_slice()) {
        (Function::Abs, [value]) => arithmetic::abs(value),
        (Function::Round, [value]) => arithmetic::round(value, None),
        (Function::Round, [value, Value::Int4(places)]) => arithmetic::round(value, Some(*places)),
        (Function::CharLength, [Value::Text(text)]) => length(text.chars().count()),
        (Function::OctetLength, [Value::Text(text)]) => length(text.len()),
        (Function::CharLength | Function::OctetLength, [Value::Bytea(bytes)]) => {
            length(bytes.len())
        }
        (Function::Lower, [Value::Text(text)]) => Ok(Value::Text(fold(text, false))),
        (Function::Upper, [Value::Text(text)]) => Ok(Value::Text(fold(text, true))),
        (Function::Trim, [Value::Text(text)]) => Ok(Value::Text(text.trim_matches(' ').to_owned())),
        (Function::Cardinality, [Value::Array(items)]) => length(items.len()),
        (Function::Cardinality, [Value::Array(items), Value::Int4(dimension)]) => {
            // array_length of what is empty, or of another dimension, is NULL.
            if *dimension == 1 && !items.is_empty() { length(items.len()) } else { Ok(Value::Null) }
        }
        _ => Err(wrong_types()),
    }
}
