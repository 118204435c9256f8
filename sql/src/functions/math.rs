//! Functions of numbers.

use ledger::Decimal;

use super::cast::shaped;
use super::{Call, Datum, Function, out_of_range};
use crate::Error;
use crate::types::{Digits, Numeric, PgType};

#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("abs(smallint) smallint", abs),
        Function::row("abs(integer) integer", abs),
        Function::row("abs(bigint) bigint", abs),
        Function::row("abs(numeric) numeric", abs).returning(same),
        Function::row("abs(real) real", abs),
        Function::row("abs(double precision) double precision", abs),
        Function::row("sign(numeric) numeric", |_, a| {
            let sign = numeric(a, 0).coefficient.signum();
            Ok(Datum::Numeric(Decimal { coefficient: sign, scale: 0 }))
        })
        .returning(|_| whole(1)),
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
        Function::row("round(numeric) numeric", |c, a| to_scale(c, numeric(a, 0), 0))
            .returning(integral),
        Function::row("round(numeric, integer) numeric", |c, a| {
            let places = i32::try_from(int(a, 1).clamp(-40, 40)).unwrap_or(0);
            let rounded = numeric(a, 0).round(places)?;
            fit(c, rounded)
        })
        .returning(rounded),
        Function::row("round(double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).round_ties_even()))
        }),
        Function::row("trunc(numeric) numeric", |c, a| fit(c, numeric(a, 0).truncate(0)))
            .returning(integral),
        Function::row("trunc(numeric, integer) numeric", |c, a| {
            let d = numeric(a, 0);
            let cut = match u8::try_from(int(a, 1)) {
                Ok(places) => d.truncate(places.min(d.scale)),
                Err(_) => {
                    let power = 10_i128.checked_pow(u32::try_from(-int(a, 1)).unwrap_or(39));
                    let units = d.truncate(0).rescale(0)?.coefficient;
                    let coefficient = power.map_or(0, |power| units / power * power);
                    Decimal { coefficient, scale: 0 }
                }
            };
            fit(c, cut)
        })
        .returning(rounded),
        Function::row("trunc(double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).trunc()))
        }),
        Function::row("div(numeric, numeric) numeric", |c, a| {
            let (x, y) = (numeric(a, 0), numeric(a, 1));
            if y.coefficient == 0 {
                return Err(zero());
            }
            let rest = x.remainder(y)?;
            fit(c, x.minus(rest)?.divided_by(y)?.truncate(0))
        })
        .returning(|_| whole(38)),
        Function::row("mod(smallint, smallint) smallint", modulo),
        Function::row("mod(integer, integer) integer", modulo),
        Function::row("mod(bigint, bigint) bigint", modulo),
        Function::row("mod(numeric, numeric) numeric", |c, a| {
            if numeric(a, 1).coefficient == 0 {
                return Err(zero());
            }
            fit(c, numeric(a, 0).remainder(numeric(a, 1))?)
        })
        .returning(|kinds| match kinds {
            [PgType::Numeric(a), PgType::Numeric(b)] => {
                PgType::Numeric(Numeric { digits: Digits::Fixed, ..a.common(b) })
            }
            _ => same(kinds),
        }),
        Function::row("gcd(integer, integer) integer", gcd_of),
        Function::row("gcd(bigint, bigint) bigint", gcd_of),
        Function::row("lcm(integer, integer) integer", lcm_of),
        Function::row("lcm(bigint, bigint) bigint", lcm_of),
        Function::row("factorial(bigint) numeric", factorial).returning(|_| whole(38)),
        Function::row("power(double precision, double precision) double precision", |_, a| {
            power(a)
        }),
        Function::row("pow(double precision, double precision) double precision", |_, a| power(a)),
        Function::row("power(numeric, numeric) numeric", numeric_power).returning(powered),
        Function::row("pow(numeric, numeric) numeric", numeric_power).returning(powered),
        Function::row("sqrt(numeric) numeric", |c, a| numeric_sqrt(c, numeric(a, 0)))
            .returning(|_| PgType::Numeric(quotient())),
        Function::row("pi() double precision", |_, _| Ok(Datum::Float(std::f64::consts::PI))),
        Function::row("random() double precision", |_, _| Ok(Datum::Float(random()?))).volatile(),
        Function::row(
            "width_bucket(double precision, double precision, double precision, integer) integer",
            bucket,
        ),
        Function::row("width_bucket(numeric, numeric, numeric, integer) integer", bucket),
        Function::row("atan2(double precision, double precision) double precision", |_, a| {
            Ok(Datum::Float(float(a, 0).atan2(float(a, 1))))
        }),
        Function::row("log(numeric, numeric) double precision", |_, a| {
            let (base, x) = (logarithm(float(a, 0))?, logarithm(float(a, 1))?);
            if base == 0.0 {
                return Err(zero());
            }
            Ok(Datum::Float(x / base))
        }),
        Function::row("scale(numeric) integer", |_, a| Ok(Datum::Int(numeric(a, 0).scale.into()))),
        Function::row("trim_scale(numeric) numeric", |c, a| fit(c, numeric(a, 0).normalized()))
            .returning(|kinds| match kinds {
                [PgType::Numeric(n)] => PgType::Numeric(Numeric { digits: Digits::Trimmed, ..*n }),
                _ => same(kinds),
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
        all.push(
            Function::row(&format!("{name}(numeric) numeric"), move |c, a| {
                let d = numeric(a, 0);
                let cut = d.truncate(0).rescale(0)?;
                let exact = cut == d;
                let step = match (exact, up, d.coefficient < 0) {
                    (false, true, false) => 1,
                    (false, false, true) => -1,
                    _ => 0,
                };
                fit(c, Decimal { coefficient: cut.coefficient + step, scale: 0 })
            })
            .returning(integral),
        );
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

fn numeric(args: &[Datum], index: usize) -> Decimal {
    args.get(index).map_or(Decimal { coefficient: 0, scale: 0 }, Datum::numeric)
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

fn same(kinds: &[PgType]) -> PgType {
    kinds.first().map_or(PgType::Numeric(Numeric::UNCONSTRAINED), PgType::without_modifier)
}

fn whole(precision: u8) -> PgType {
    PgType::Numeric(Numeric { precision, scale: 0, digits: Digits::Fixed })
}

/// A numeric without digits after the point, with room for a carry.
fn integral(kinds: &[PgType]) -> PgType {
    match kinds.first() {
        Some(PgType::Numeric(n)) => {
            PgType::Numeric(Numeric::computed(n.integer_digits() + 1, 0, Digits::Fixed))
        }
        _ => whole(38),
    }
}

/// The places aren't known when the query is planned: the digits that are left are shown.
fn rounded(kinds: &[PgType]) -> PgType {
    match kinds.first() {
        Some(PgType::Numeric(n)) => {
            PgType::Numeric(Numeric::computed(n.integer_digits() + 1, n.scale, Digits::Trimmed))
        }
        _ => whole(38),
    }
}

fn quotient() -> Numeric {
    Numeric::computed(38, Numeric::QUOTIENT_SCALE, Digits::Quotient)
}

fn powered(kinds: &[PgType]) -> PgType {
    match kinds.first() {
        Some(PgType::Numeric(n)) if n.scale == 0 => {
            PgType::Numeric(Numeric::computed(38, 16, Digits::Fixed))
        }
        _ => PgType::Numeric(Numeric::computed(38, Numeric::QUOTIENT_SCALE, Digits::Quotient)),
    }
}

/// The number in the result's shape.
fn fit(call: &Call<'_>, d: Decimal) -> Result<Datum, Error> {
    match call.returns {
        PgType::Numeric(n) => shaped(d, n),
        _ => Ok(Datum::Numeric(d)),
    }
}

fn to_scale(call: &Call<'_>, d: Decimal, places: i32) -> Result<Datum, Error> {
    fit(call, d.round(places)?)
}

fn abs(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    Ok(match args.first() {
        Some(Datum::Int(i)) => {
            Datum::Int(i.checked_abs().ok_or_else(|| out_of_range(call.returns))?)
        }
        Some(Datum::Float(f)) => Datum::Float(f.abs()),
        Some(Datum::Numeric(d)) => Datum::Numeric(d.abs()),
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

fn factorial(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let n = int(args, 0);
    if n < 0 {
        return Err(Error::new("22003", "factorial of a negative number is undefined"));
    }
    let product = (1..=i128::from(n)).try_fold(1_i128, i128::checked_mul);
    match product.filter(|product| *product < 10_i128.pow(38)) {
        Some(coefficient) => Ok(Datum::Numeric(Decimal { coefficient, scale: 0 })),
        None => Err(Error::new("22003", "value overflows numeric format")),
    }
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

/// Whole exponents are computed exactly; others would need a numeric logarithm.
fn numeric_power(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (base, exponent) = (numeric(args, 0), numeric(args, 1).normalized());
    if exponent.scale != 0 {
        return Err(Error::unsupported(
            "power of a numeric with a fractional exponent",
            "Cast an operand to double precision.",
        ));
    }
    let times = exponent.coefficient.unsigned_abs();
    if base.coefficient == 0 && exponent.coefficient < 0 {
        return Err(Error::new("2201F", "zero raised to a negative power is undefined"));
    }
    if times > 1_000 {
        let unit = base.normalized();
        if unit.scale == 0 && unit.coefficient.abs() <= 1 {
            let odd = times % 2 == 1;
            let coefficient = if odd { unit.coefficient } else { unit.coefficient.abs() };
            return fit(call, Decimal { coefficient, scale: 0 });
        }
        return Err(Error::new("22003", "value overflows numeric format"));
    }
    let one = Decimal { coefficient: 1, scale: 0 };
    let mut result = one;
    for _ in 0..times {
        result = result.times(base.normalized())?.normalized();
    }
    let result = if exponent.coefficient < 0 { one.divided_by(result)? } else { result };
    fit(call, result)
}

/// The square root to the quotient's scale, by Newton's method on integers.
fn numeric_sqrt(call: &Call<'_>, d: Decimal) -> Result<Datum, Error> {
    use arrow::datatypes::i256;
    if d.coefficient < 0 {
        return Err(Error::new("2201F", "cannot take square root of a negative number"));
    }
    let scale = Numeric::QUOTIENT_SCALE;
    let shift = u32::from(2 * scale - d.scale.min(2 * scale));
    let ten = i256::from_i128(10);
    let target = i256::from_i128(d.coefficient)
        .checked_mul(ten.wrapping_pow(shift))
        .ok_or_else(|| out_of_range(&PgType::Numeric(quotient())))?;
    if target == i256::ZERO {
        return fit(call, Decimal { coefficient: 0, scale });
    }
    let two = i256::from_i128(2);
    let mut guess = i256::from_i128(1);
    while guess.wrapping_mul(guess) < target && guess < i256::from_i128(i128::MAX / 4) {
        guess = guess.wrapping_mul(two);
    }
    for _ in 0..200 {
        let next = guess.wrapping_add(target.wrapping_div(guess)).wrapping_div(two);
        if next >= guess {
            break;
        }
        guess = next;
    }
    // Half up: (g + 1/2)^2 = g^2 + g + 1/4.
    if target.wrapping_sub(guess.wrapping_mul(guess)) > guess {
        guess = guess.wrapping_add(i256::from_i128(1));
    }
    let coefficient = guess.to_i128().ok_or_else(|| out_of_range(&PgType::Numeric(quotient())))?;
    fit(call, Decimal { coefficient, scale })
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
