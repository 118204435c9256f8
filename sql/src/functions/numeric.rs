//! Functions of numerics: PostgreSQL's values, each with PostgreSQL's scale.

use super::cast::shaped;
use super::{Call, Datum, Function};
use crate::Error;
use crate::number::{Number, overflow};
use crate::types::{Numeric, PgType};

/// A function of one number.
type One = fn(&Number) -> Result<Number, Error>;

/// A factorial beyond this is longer than a numeric can be.
const MAX_FACTORIAL: i64 = 32_177;

pub(super) fn functions() -> Vec<Function> {
    let mut all = Vec::new();
    let same_scale: [(&str, One); 1] = [("abs", |x| Ok(x.abs()))];
    for (name, body) in same_scale {
        all.push(of_one(name, body).returning(same));
    }
    let integral_ones: [(&str, One); 5] = [
        ("round", |x| x.round(0)),
        ("trunc", |x| x.truncate(0)),
        ("ceil", Number::ceiling),
        ("ceiling", Number::ceiling),
        ("floor", Number::floor),
    ];
    for (name, body) in integral_ones {
        all.push(of_one(name, body).returning(integral));
    }
    let free: [(&str, One); 6] = [
        ("sqrt", Number::square_root),
        ("exp", Number::exponential),
        ("ln", Number::natural_logarithm),
        ("log", |x| x.logarithm_to(&Number::new(10, 0))),
        ("log10", |x| x.logarithm_to(&Number::new(10, 0))),
        ("trim_scale", |x| Ok(x.normalized())),
    ];
    all.extend(free.map(|(name, body)| of_one(name, body)));
    all.push(
        Function::row("sign(numeric) numeric", |_, a| {
            Ok(Datum::Numeric(Number::new(numeric(a, 0).signum(), 0)))
        })
        .returning(|_| PgType::Numeric(Numeric::fixed(1, 0))),
    );
    all.extend(of_two());
    all.extend([
        Function::row("factorial(bigint) numeric", factorial),
        Function::row("scale(numeric) integer", |_, a| Ok(i32::from(numeric(a, 0).scale()).into())),
        Function::row("min_scale(numeric) integer", |_, a| {
            Ok(i32::from(numeric(a, 0).normalized().scale()).into())
        }),
        Function::row("width_bucket(numeric, numeric, numeric, integer) integer", bucket),
    ]);
    all
}

fn of_one(name: &str, body: One) -> Function {
    Function::row(&format!("{name}(numeric) numeric"), move |call, a| {
        fit(call, body(&numeric(a, 0))?)
    })
}

fn of_two() -> Vec<Function> {
    type Two = fn(&Number, &Number) -> Result<Number, Error>;
    let two: [(&str, Two); 7] = [
        ("div", Number::whole_quotient),
        ("mod", Number::remainder),
        ("gcd", Number::gcd),
        ("lcm", Number::lcm),
        ("power", Number::power),
        ("pow", Number::power),
        ("log", |base, x| x.logarithm_to(base)),
    ];
    let mut all: Vec<Function> = two
        .into_iter()
        .map(|(name, body)| {
            Function::row(&format!("{name}(numeric, numeric) numeric"), move |call, a| {
                fit(call, body(&numeric(a, 0), &numeric(a, 1))?)
            })
        })
        .collect();
    for (name, body) in
        [("round", Number::round as fn(&Number, i32) -> _), ("trunc", Number::truncate)]
    {
        all.push(Function::row(&format!("{name}(numeric, integer) numeric"), move |call, a| {
            let places = i32::try_from(a.get(1).map_or(0, Datum::int)).unwrap_or(0);
            fit(call, body(&numeric(a, 0), places)?)
        }));
    }
    all
}

fn numeric(args: &[Datum], index: usize) -> Number {
    args.get(index).map_or(Number::ZERO, Datum::numeric)
}

/// The number in the result's shape.
fn fit(call: &Call<'_>, number: Number) -> Result<Datum, Error> {
    match call.returns {
        PgType::Numeric(n) => shaped(number, n),
        _ => Ok(Datum::Numeric(number)),
    }
}

fn same(kinds: &[PgType]) -> PgType {
    kinds.first().map_or(PgType::Numeric(Numeric::FREE), PgType::without_modifier)
}

/// A numeric without digits after the point, with room for a carry.
fn integral(kinds: &[PgType]) -> PgType {
    rounded(kinds, 0)
}

/// The shape of a number rounded to places that are known when the query is planned.
pub(crate) fn rounded(kinds: &[PgType], places: i64) -> PgType {
    PgType::Numeric(match kinds.first() {
        Some(PgType::Numeric(n)) if !n.is_free() => {
            let scale = u32::try_from(places.clamp(0, 100)).unwrap_or(0);
            Numeric::fixed(n.integer_digits() + 1, scale)
        }
        _ => Numeric::FREE,
    })
}

fn factorial(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let n = args.first().map_or(0, Datum::int);
    if n < 0 {
        return Err(Error::new("22003", "factorial of a negative number is undefined"));
    }
    if n > MAX_FACTORIAL {
        return Err(overflow());
    }
    let product = (2..=n).try_fold(Number::new(1, 0), |all, next| all.times(&Number::from(next)));
    product.map(Datum::Numeric)
}

fn bucket(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (x, low, high) = (numeric(args, 0), numeric(args, 1), numeric(args, 2));
    let count = args.get(3).map_or(0, Datum::int);
    if count <= 0 {
        return Err(Error::new("2201G", "count must be greater than zero"));
    }
    if low == high {
        return Err(Error::new("2201G", "lower bound cannot equal upper bound"));
    }
    let (x, low, high) =
        if low < high { (x, low, high) } else { (x.negate(), low.negate(), high.negate()) };
    if x < low {
        return Ok(Datum::Int(0));
    }
    if x >= high {
        return Ok(Datum::Int(count + 1));
    }
    let way = x.minus(&low)?.times(&Number::from(count))?;
    let bucket = way.whole_quotient(&high.minus(&low)?)?.to_i64().unwrap_or(count);
    Ok(Datum::Int(bucket + 1))
}
