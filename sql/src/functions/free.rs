//! Numerics that carry their own scale, array by array: arithmetic, equality, the greatest of some.
//!
//! Operands may be of any numeric shape or integers; results are free numerics. See [`crate::number`].

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryBuilder};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator as B;
use storage::free_numeric::{Encoded, SHORT};

use super::{Datum, Function};
use crate::Error;
use crate::number::{Number, Numbers};

pub(crate) mod totals;

/// The names under which plans call these; an index lookup looks through them.
pub(crate) const FREE_NAME: &str = "numeric_free";
pub(crate) const KEY_NAME: &str = "numeric_key";

type Operation = fn(&Number, &Number) -> Result<Number, Error>;

fn binary(name: &str, operation: Operation) -> Arc<Function> {
    let body = move |_: &super::Call<'_>, args: &[ColumnarValue], rows: usize| {
        let [left, right] = args else { return Err(Error::internal("two operands are expected")) };
        let (a, b) = (array_of(left)?, array_of(right)?);
        let (a_numbers, b_numbers) = (Numbers::of(a.as_ref())?, Numbers::of(b.as_ref())?);
        let (a_place, b_place) = (place(left), place(right));
        built(args, rows, |row, out| {
            let (Some(x), Some(y)) = (a_numbers.get(a_place(row))?, b_numbers.get(b_place(row))?)
            else {
                return Ok(false);
            };
            operation(&x, &y)?.write(out);
            Ok(true)
        })
    };
    Arc::new(Function::array(&format!("{name}(any, any) numeric"), body))
}

static OPERATORS: LazyLock<[Arc<Function>; 5]> = LazyLock::new(|| {
    [
        binary("+", Number::plus),
        binary("-", Number::minus),
        binary("*", Number::times),
        binary("/", Number::divided_by),
        binary("%", Number::remainder),
    ]
});

static FREE: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::array(&format!("{FREE_NAME}(any) numeric"), |_, args, rows| {
        let [value] = args else { return Err(Error::internal("one number is expected")) };
        let array = array_of(value)?;
        let (numbers, place) = (Numbers::of(array.as_ref())?, place(value));
        built(args, rows, |row, out| {
            let number = numbers.get(place(row))?;
            Ok(number.map(|number| number.write(out)).is_some())
        })
    }))
});

static KEY: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::array(&format!("{KEY_NAME}(any) numeric"), |_, args, rows| {
        let [value] = args else { return Err(Error::internal("one number is expected")) };
        let array = array_of(value)?;
        let Some(bytes) = array.as_binary_opt::<i64>() else {
            return Err(Error::internal("a key of what is no free numeric"));
        };
        let place = place(value);
        built(args, rows, |row, out| {
            let row = place(row);
            if bytes.is_null(row) {
                return Ok(false);
            }
            let bytes = bytes.value(row);
            match Encoded::read(bytes) {
                // Nothing to be cut.
                Some(number) if number.scale == 0 => out.extend_from_slice(bytes),
                Some(number) if number.short().is_some_and(|digits| digits % 10 != 0) => {
                    out.extend_from_slice(bytes);
                }
                _ => Number::read(bytes)?.normalized().write(out),
            }
            Ok(true)
        })
    }))
});

static RANK: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("numeric_rank(numeric) text", |_, args| {
        let bytes =
            args.first().map(Datum::numeric).unwrap_or(Number::ZERO).normalized().to_bytes();
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        Ok(text.into())
    }))
});

static GREATEST: LazyLock<Arc<Function>> =
    LazyLock::new(|| Arc::new(extreme("greatest", Ordering::Greater)));
static LEAST: LazyLock<Arc<Function>> =
    LazyLock::new(|| Arc::new(extreme("least", Ordering::Less)));

/// The first of the arguments that no other goes beyond; NULLs don't count.
fn extreme(name: &str, wanted: Ordering) -> Function {
    Function::row(&format!("{name}(variadic numeric) numeric"), move |_, args| {
        let mut best: Option<&Number> = None;
        for arg in args {
            if let Datum::Numeric(number) = arg
                && best.is_none_or(|best| number.cmp(best) == wanted)
            {
                best = Some(number);
            }
        }
        Ok(best.map_or(Datum::Null, |best| Datum::Numeric(best.clone())))
    })
    .with_nulls()
}

/// The operator on two numbers of any shape.
pub(crate) fn operator(op: &B) -> Arc<Function> {
    let [plus, minus, times, over, modulo] = &*OPERATORS;
    Arc::clone(match op {
        B::Plus => plus,
        B::Minus => minus,
        B::Multiply => times,
        B::Divide => over,
        _ => modulo,
    })
}

/// A number of any shape with its scale in the value.
pub(crate) fn free() -> Arc<Function> {
    Arc::clone(&FREE)
}

/// A free numeric with the least scale: equal numbers have equal bytes then.
pub(crate) fn key() -> Arc<Function> {
    Arc::clone(&KEY)
}

/// The key as text: what orders a window's rows.
pub(crate) fn rank() -> Arc<Function> {
    Arc::clone(&RANK)
}

/// The greatest (or least) of free numerics, with its own scale.
pub(crate) fn greatest(greatest: bool) -> Arc<Function> {
    Arc::clone(if greatest { &GREATEST } else { &LEAST })
}

fn array_of(value: &ColumnarValue) -> Result<ArrayRef, Error> {
    Ok(match value {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    })
}

/// Where a row's value stands: a scalar has one for all.
fn place(value: &ColumnarValue) -> fn(usize) -> usize {
    match value {
        ColumnarValue::Array(_) => |row| row,
        ColumnarValue::Scalar(_) => |_| 0,
    }
}

/// Builds the result row by row; `write` says whether there is a value.
fn built(
    args: &[ColumnarValue],
    rows: usize,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool, Error>,
) -> Result<ColumnarValue, Error> {
    let scalar = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if scalar { 1 } else { rows };
    let mut builder = LargeBinaryBuilder::with_capacity(rows, rows * SHORT);
    let mut bytes = Vec::with_capacity(SHORT);
    for row in 0..rows {
        bytes.clear();
        if write(row, &mut bytes)? {
            builder.append_value(&bytes);
        } else {
            builder.append_null();
        }
    }
    let array: ArrayRef = Arc::new(builder.finish());
    if scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}
