//! Arithmetic on whole arrays, checked: an overflow is 22003, a division by zero 22012, never a wrapped
//! number.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{
    ArrowNativeTypeOp, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    i256,
};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator as B;

use super::{Call, Datum, Function, out_of_range};
use crate::Error;
use crate::number::Number;
use crate::types::PgType;

type Operators = [Arc<Function>; 5];

static PLAIN: LazyLock<Operators> = LazyLock::new(|| {
    [("+", B::Plus), ("-", B::Minus), ("*", B::Multiply), ("/", B::Divide), ("%", B::Modulo)].map(
        |(name, op)| {
            let body = move |call: &Call<'_>, args: &[ColumnarValue], rows: usize| {
                plain_kernel(&op, call.returns, args, rows)
            };
            Arc::new(Function::array(&format!("{name}(any, any) any"), body))
        },
    )
});

/// On decimals whose result is one too; a quotient never is.
static NUMERIC: LazyLock<[Arc<Function>; 4]> = LazyLock::new(|| {
    [("+", B::Plus), ("-", B::Minus), ("*", B::Multiply), ("%", B::Modulo)].map(|(name, op)| {
        let body = move |call: &Call<'_>, args: &[ColumnarValue], rows: usize| {
            numeric_kernel(&op, call, args, rows)
        };
        Arc::new(Function::array(&format!("{name}(numeric, numeric) numeric"), body))
    })
});

static NEGATE: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("-(any) any", |call, a| match a {
        [Datum::Int(i)] => {
            Ok(Datum::Int(i.checked_neg().ok_or_else(|| out_of_range(call.returns))?))
        }
        [Datum::Float(f)] => Ok(Datum::Float(-f)),
        [Datum::Numeric(d)] => Ok(Datum::Numeric(d.negate())),
        _ => Ok(Datum::Null),
    }))
});

static INTERVAL_KEY: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("interval_key(interval) numeric", |_, a| {
        let length = a.first().map(Datum::span).unwrap_or_default().length();
        Ok(Datum::Numeric(Number::new(length, 0)))
    }))
});

static FLOAT_KEY: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::array("float_key(any) any", |_, args, _| {
        let [value] = args else { return Err(Error::internal("one float is expected")) };
        let array = match value {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        };
        let array: ArrayRef = match array.as_primitive_opt::<Float64Type>() {
            Some(doubles) => Arc::new(doubles.unary::<_, Float64Type>(|f| f + 0.0)),
            None => {
                Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|f| f + 0.0))
            }
        };
        match value {
            ColumnarValue::Array(_) => Ok(ColumnarValue::Array(array)),
            ColumnarValue::Scalar(_) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }))
});

/// The operator on two integers or floats of one type.
pub(crate) fn plain(op: &B) -> Arc<Function> {
    pick(&PLAIN, op)
}

/// Which operator on integers or floats a function is.
pub(crate) fn plain_operator(function: &Arc<Function>) -> Option<B> {
    const ORDER: [B; 5] = [B::Plus, B::Minus, B::Multiply, B::Divide, B::Modulo];
    let place = PLAIN.iter().position(|known| Arc::ptr_eq(known, function))?;
    ORDER.get(place).cloned()
}

/// The operator on two integers of one type; `None` where the result is an error.
pub(crate) fn integer(op: &B, kind: &PgType, a: i64, b: i64) -> Option<i64> {
    let result = match op {
        B::Plus => a.checked_add(b),
        B::Minus => a.checked_sub(b),
        B::Multiply => a.checked_mul(b),
        B::Divide => a.checked_div(b),
        B::Modulo if b == 0 => None,
        B::Modulo => Some(a.wrapping_rem(b)),
        _ => None,
    }?;
    let fits = match kind {
        PgType::Int2 => i16::try_from(result).is_ok(),
        PgType::Int4 => i32::try_from(result).is_ok(),
        PgType::Int8 => true,
        _ => false,
    };
    fits.then_some(result)
}

/// The operator on two decimals, each of its own shape; for a quotient see `free`.
pub(crate) fn numeric(op: &B) -> Arc<Function> {
    let [add, subtract, multiply, modulo] = &*NUMERIC;
    Arc::clone(match op {
        B::Plus => add,
        B::Minus => subtract,
        B::Multiply => multiply,
        _ => modulo,
    })
}

/// `-a`
pub(crate) fn negate() -> Arc<Function> {
    Arc::clone(&NEGATE)
}

/// An interval's length in microseconds, a month being 30 days: what PostgreSQL compares.
pub(crate) fn interval_key() -> Arc<Function> {
    Arc::clone(&INTERVAL_KEY)
}

/// A float with -0 made 0.
pub(crate) fn float_key() -> Arc<Function> {
    Arc::clone(&FLOAT_KEY)
}

fn pick([add, subtract, multiply, divide, modulo]: &Operators, op: &B) -> Arc<Function> {
    Arc::clone(match op {
        B::Plus => add,
        B::Minus => subtract,
        B::Multiply => multiply,
        B::Divide => divide,
        _ => modulo,
    })
}

fn arrow_error(error: Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// Applies a checked operator to two arguments of one primitive type.
fn zip<T: ArrowPrimitiveType>(
    args: &[ColumnarValue],
    finish: impl Fn(PrimitiveArray<T>) -> Result<ArrayRef, Error>,
    op: impl Fn(T::Native, T::Native) -> Result<T::Native, ArrowError>,
) -> Result<ColumnarValue, Error> {
    let [left, right] = args else { return Err(Error::internal("two operands are expected")) };
    let array = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    };
    let (a, b) = (array(left)?, array(right)?);
    let (Some(a), Some(b)) = (a.as_primitive_opt::<T>(), b.as_primitive_opt::<T>()) else {
        return Err(Error::internal("operands of another type"));
    };
    let result: PrimitiveArray<T> = match (left, right) {
        (ColumnarValue::Array(_), ColumnarValue::Array(_)) => try_binary(a, b, op)?,
        (ColumnarValue::Array(_), ColumnarValue::Scalar(_)) => match b.iter().next().flatten() {
            Some(b) => a.try_unary(|a| op(a, b))?,
            None => PrimitiveArray::new_null(a.len()),
        },
        (ColumnarValue::Scalar(_), ColumnarValue::Array(_)) => match a.iter().next().flatten() {
            Some(a) => b.try_unary(|b| op(a, b))?,
            None => PrimitiveArray::new_null(b.len()),
        },
        (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) => {
            let result = finish(try_binary(a, b, op)?)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
    };
    Ok(ColumnarValue::Array(finish(result)?))
}

fn plain_kernel(
    op: &B,
    kind: &PgType,
    args: &[ColumnarValue],
    _rows: usize,
) -> Result<ColumnarValue, Error> {
    match kind {
        PgType::Int2 => integers::<Int16Type>(op, kind, args),
        PgType::Int4 => integers::<Int32Type>(op, kind, args),
        PgType::Int8 => integers::<Int64Type>(op, kind, args),
        PgType::Float4 => zip::<Float32Type>(
            args,
            |a| Ok(Arc::new(a)),
            |a, b| {
                let result = float_op(op, f64::from(a), f64::from(b))?;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "real arithmetic rounds to real"
                )]
                let narrow = result as f32;
                check_float(
                    f64::from(narrow),
                    !a.is_finite() || !b.is_finite(),
                    a == 0.0
                        || (b == 0.0 && *op == B::Multiply)
                        || matches!(op, B::Plus | B::Minus)
                        || !b.is_finite(),
                )?;
                Ok(narrow)
            },
        ),
        PgType::Float8 => zip::<Float64Type>(
            args,
            |a| Ok(Arc::new(a)),
            |a, b| {
                let result = float_op(op, a, b)?;
                check_float(
                    result,
                    !a.is_finite() || !b.is_finite(),
                    a == 0.0
                        || (b == 0.0 && *op == B::Multiply)
                        || matches!(op, B::Plus | B::Minus)
                        || !b.is_finite(),
                )?;
                Ok(result)
            },
        ),
        other => Err(Error::internal(format!("no arithmetic on {other}"))),
    }
}

fn integers<T: ArrowPrimitiveType>(
    op: &B,
    kind: &PgType,
    args: &[ColumnarValue],
) -> Result<ColumnarValue, Error>
where
    T::Native: ArrowNativeTypeOp,
{
    let overflow = |_| arrow_error(out_of_range(kind));
    let zero = || arrow_error(Error::new("22012", "division by zero"));
    zip::<T>(
        args,
        |a| Ok(Arc::new(a)),
        |a, b| match op {
            B::Plus => a.add_checked(b).map_err(overflow),
            B::Minus => a.sub_checked(b).map_err(overflow),
            B::Multiply => a.mul_checked(b).map_err(overflow),
            B::Divide if b.is_zero() => Err(zero()),
            B::Divide => a.div_checked(b).map_err(overflow),
            _ if b.is_zero() => Err(zero()),
            // The smallest integer modulo -1 is 0; the hardware would trap.
            _ => Ok(a.mod_wrapping(b)),
        },
    )
}

fn float_op(op: &B, a: f64, b: f64) -> Result<f64, ArrowError> {
    Ok(match op {
        B::Plus => a + b,
        B::Minus => a - b,
        B::Multiply => a * b,
        _ if b == 0.0 && !a.is_nan() => {
            return Err(arrow_error(Error::new("22012", "division by zero")));
        }
        _ => a / b,
    })
}

fn check_float(result: f64, from_infinite: bool, zero_is_exact: bool) -> Result<(), ArrowError> {
    if result.is_infinite() && !from_infinite {
        return Err(arrow_error(Error::new("22003", "value out of range: overflow")));
    }
    if result == 0.0 && !zero_is_exact {
        return Err(arrow_error(Error::new("22003", "value out of range: underflow")));
    }
    Ok(())
}

fn numeric_kernel(
    op: &B,
    call: &Call<'_>,
    args: &[ColumnarValue],
    _rows: usize,
) -> Result<ColumnarValue, Error> {
    let ([PgType::Numeric(a), PgType::Numeric(b)], PgType::Numeric(result)) =
        (call.kinds, call.returns)
    else {
        return Err(Error::internal("numeric arithmetic on another type"));
    };
    let (a, b, result) = (*a, *b, *result);
    let bound = 10_i128.pow(u32::from(result.precision.min(38)));
    let scale = i8::try_from(result.scale).unwrap_or(0);
    let finish = |array: PrimitiveArray<Decimal128Type>| {
        Ok(Arc::new(array.with_precision_and_scale(result.precision, scale)?) as ArrayRef)
    };
    zip::<Decimal128Type>(args, finish, |x, y| {
        let value = match op {
            B::Plus | B::Minus => {
                let x = scaled(x, result.scale - a.scale)?;
                let y = scaled(y, result.scale - b.scale)?;
                if *op == B::Plus { x.checked_add(y) } else { x.checked_sub(y) }
            }
            B::Multiply => x.checked_mul(y),
            _ => modulo(x, y, a.scale, b.scale, result.scale)?,
        };
        match value {
            Some(value) if value.abs() < bound => Ok(value),
            _ => Err(overflow()),
        }
    })
}

fn overflow() -> ArrowError {
    arrow_error(
        Error::new("22003", "numeric field overflow")
            .with_detail("A sum or product of numeric(p,s) has at most 38 digits.")
            .with_hint("Cast an operand to numeric(38,s): more digits are computed then."),
    )
}

fn scaled(value: i128, by: u8) -> Result<i128, ArrowError> {
    10_i128.checked_pow(by.into()).and_then(|power| value.checked_mul(power)).ok_or_else(overflow)
}

fn power(exponent: u8) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.into())
}

fn modulo(x: i128, y: i128, a: u8, b: u8, result: u8) -> Result<Option<i128>, ArrowError> {
    if y == 0 {
        return Err(arrow_error(Error::new("22012", "division by zero")));
    }
    let x = i256::from_i128(x).wrapping_mul(power(result - a));
    let y = i256::from_i128(y).wrapping_mul(power(result - b));
    Ok(x.checked_rem(y).and_then(i256::to_i128))
}
