//! Functions of integers and floats; those of numerics are in `numeric`.

use super::{Call, Datum, Function, out_of_range};
use crate::Error;
use crate::types::PgType;

pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("abs(smallint) smallint", abs),
        Function::row("abs(integer) integer", abs),
        Function::row("abs(bigint) bigint", abs),
        Function::row("abs(real) real", abs),
        Function::row("abs(double precision) double precision", abs),
        Function::row("sign(double precision) double precision", |_, a| {
            let f = float(a, 0);
            Ok(Datum::Float(if f > 0.0 {
                1.0
            } else if f < 0.0 {
                -1.0
            } else {
                0.0
            }))
        }),
        Function::row("round(double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).round_ties_even()))
        }),
        Function::row("trunc(double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).trunc()))
        }),
        Function::row("mod(smallint, smallint) smallint", modulo),
        Function::row("mod(integer, integer) integer", modulo),
        Function::row("mod(bigint, bigint) bigint", modulo),
        Function::row("gcd(integer, integer) integer", gcd_of),
        Function::row("gcd(bigint, bigint) bigint", gcd_of),
        Function::row("lcm(integer, integer) integer", lcm_of),
        Function::row("lcm(bigint, bigint) bigint", lcm_of),
        Function::row("power(double precision, double precision) double precision", |_, a| {
            power(a)
        }),
        Function::row("pow(double precision, double precision) double precision", |_, a| power(a)),
        Function::row("pi() double precision", |_, _| Ok(Datum::Float(std::f64::consts::PI))),
        Function::row("random() double precision", |_, _| Ok(Datum::Float(random()?))).volatile(),
        Function::row(
            "width_bucket(double precision, double precision, double precision, integer) integer",
            bucket,
        ),
        Function::row("atan2(double precision, double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).atan2(float(a, 1))))
        }),
        Function::row("stele_shift_left(integer, integer) integer", |_, a| {
            let value = i32::try_from(int(a, 0)).unwrap_or(0);
            Ok(Datum::Int(value.wrapping_shl(u32::try_from(int(a, 1) & 31).unwrap_or(0)).into()))
        }),
        Function::row("stele_shift_right(integer, integer) integer", |_, a| {
            let value = i32::try_from(int(a, 0)).unwrap_or(0);
            Ok(Datum::Int(value.wrapping_shr(u32::try_from(int(a, 1) & 31).unwrap_or(0)).into()))
        }),
        Function::row("stele_shift_left(bigint, integer) bigint", |_, a| {
            Ok(Datum::Int(int(a, 0).wrapping_shl(u32::try_from(int(a, 1) & 63).unwrap_or(0))))
        }),
        Function::row("stele_shift_right(bigint, integer) bigint", |_, a| {
            Ok(Datum::Int(int(a, 0).wrapping_shr(u32::try_from(int(a, 1) & 63).unwrap_or(0))))
        }),
    ];
    for name in ["ceil", "ceiling", "floor"] {
        let up = name != "floor";
        all.push(Function::row(
            &format!("{name}(double precision) double precision"),
            move |_, a| Ok(Datum::Float(if up { float(a, 0).ceil() } else { float(a, 0).floor() })),
        ));
    }
    all.extend(of_floats());
    all
}

/// Functions of one float.
fn of_floats() -> Vec<Function> {
    type Plain = (&'static str, fn(f64) -> f64);
    let plain: [Plain; 15] = [
        ("cbrt", f64::cbrt),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("atan", f64::atan),
        ("sinh", f64::sinh),
        ("cosh", f64::cosh),
        ("tanh", f64::tanh),
        ("asinh", f64::asinh),
        ("degrees", f64::to_degrees),
        ("radians", f64::to_radians),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("acosh", f64::acosh),
        ("atanh", f64::atanh),
    ];
    let mut all: Vec<Function> = plain
        .into_iter()
        .map(|(name, f)| {
            Function::row(&format!("{name}(double precision) double precision"), move |_, a| {
                let x = float(a, 0);
                let result = f(x);
                if result.is_nan() && !x.is_nan() {
                    return Err(Error::new("22003", "input is out of range"));
                }
                Ok(Datum::Float(result))
            })
        })
        .collect();
    all.push(Function::row("sqrt(double precision) double precision", |_, a| {
        if float(a, 0) < 0.0 {
            return Err(Error::new("2201F", "cannot take square root of a negative number"));
        }
        Ok(Datum::Float(float(a, 0).sqrt()))
    }));
    all.push(Function::row("exp(double precision) double precision", |_, a| {
        let result = float(a, 0).exp();
        if result.is_infinite() && float(a, 0).is_finite() {
            return Err(out_of_range(&PgType::Float8));
        }
        Ok(Datum::Float(result))
    }));
    all.push(Function::row("ln(double precision) double precision", |_, a| {
        Ok(Datum::Float(logarithm(float(a, 0))?))
    }));
    for name in ["log", "log10"] {
        all.push(Function::row(&format!("{name}(double precision) double precision"), |_, a| {
            logarithm(float(a, 0))?;
            Ok(Datum::Float(float(a, 0).log10()))
        }));
    }
    all
}

fn float(args: &[Datum], index: usize) -> f64 {
    args.get(index).map_or(0.0, Datum::float)
}

fn int(args: &[Datum], index: usize) -> i64 {
    args.get(index).map_or(0, Datum::int)
}

fn zero() -> Error {
    Error::new("22012", "division by zero")
}

fn abs(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    Ok(match args.first() {
        Some(Datum::Int(i)) => {
            Datum::Int(i.checked_abs().ok_or_else(|| out_of_range(call.returns))?)
        }
        Some(Datum::Float(f)) => Datum::Float(f.abs()),
        _ => Datum::Null,
    })
}

fn modulo(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    if int(args, 1) == 0 {
        return Err(zero());
    }
    Ok(Datum::Int(int(args, 0).wrapping_rem(int(args, 1))))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn gcd_of(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let result = gcd(int(args, 0).unsigned_abs(), int(args, 1).unsigned_abs());
    i64::try_from(result).map(Datum::Int).map_err(|_| out_of_range(call.returns))
}

fn lcm_of(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (a, b) = (int(args, 0).unsigned_abs(), int(args, 1).unsigned_abs());
    if a == 0 || b == 0 {
        return Ok(Datum::Int(0));
    }
    let result = (a / gcd(a, b)).checked_mul(b).and_then(|lcm| i64::try_from(lcm).ok());
    result.map(Datum::Int).ok_or_else(|| out_of_range(call.returns))
}

fn logarithm(x: f64) -> Result<f64, Error> {
    if x == 0.0 {
        return Err(Error::new("2201E", "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        return Err(Error::new("2201E", "cannot take logarithm of a negative number"));
    }
    Ok(x.ln())
}

fn power(args: &[Datum]) -> Result<Datum, Error> {
    let (base, exponent) = (float(args, 0), float(args, 1));
    if base == 0.0 && exponent < 0.0 {
        return Err(Error::new("2201F", "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.fract() != 0.0 {
        return Err(Error::new(
            "2201F",
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(out_of_range(&PgType::Float8));
    }
    Ok(Datum::Float(result))
}

fn random() -> Result<f64, Error> {
    let bits = uuid::Uuid::new_v4().as_u128() & ((1 << 53) - 1);
    let bits = u64::try_from(bits).map_err(|_| Error::internal("53 bits don't fit into 64"))?;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let numerator = bits as f64;
    Ok(numerator / 9_007_199_254_740_992.0)
}

fn bucket(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (x, low, high, count) = (float(args, 0), float(args, 1), float(args, 2), int(args, 3));
    if count <= 0 {
        return Err(Error::new("2201G", "count must be greater than zero"));
    }
    if low == high {
        return Err(Error::new("2201G", "lower bound cannot equal upper bound"));
    }
    let (x, low, high) = if low < high { (x, low, high) } else { (-x, -low, -high) };
    if x < low {
        return Ok(Datum::Int(0));
    }
    if x >= high {
        return Ok(Datum::Int(count + 1));
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a bucket's number"
    )]
    let number = ((x - low) / (high - low) * count as f64).floor() as i64;
    Ok(Datum::Int(number + 1))
}
