//! Roots, powers, exponentials and logarithms, to the scale that PostgreSQL gives each.
//!
//! They are computed on integers that stand for `value * 10^places`, with more places than are shown.

use num_bigint::BigInt;

use super::arithmetic::{MIN_SIGNIFICANT, bounded, divide_big, division_by_zero};
use super::{MAX_WHOLE, Number, overflow, ten};
use crate::Error;

/// log10(e)
const LOG10_E: f64 = std::f64::consts::LOG10_E;

/// Decimal places beyond those shown that intermediate results keep.
const GUARD: u32 = 15;

/// Results with this many places before or after the point are out of every bound.
const MAX_RESULT_PLACES: f64 = 2000.0;

/// A power of so many digits is multiplied out exactly; a longer one goes by the logarithm.
const MAX_EXACT_DIGITS: u64 = 50_000;

/// Toward zero, as C converts.
#[expect(clippy::cast_possible_truncation, reason = "the estimates lie within thousands")]
fn whole(value: f64) -> i32 {
    value as i32
}

fn negative_root() -> Error {
    Error::new("2201F", "cannot take square root of a negative number")
}

impl Number {
    /// `value * 10^places`, rounded.
    fn fixed(&self, places: u32) -> BigInt {
        let scale = u32::from(self.scale);
        if places >= scale {
            return self.big() * ten(places - scale);
        }
        divide_big(&self.big(), &ten(scale - places))
    }

    /// The number that `value / 10^places` is, at a scale.
    fn of_fixed(value: BigInt, places: u32, scale: u16) -> Result<Self, Error> {
        let shown = u32::from(scale);
        if places <= shown {
            return Self::checked(value * ten(shown - places), scale);
        }
        Self::checked(divide_big(&value, &ten(places - shown)), scale)
    }

    /// The square root.
    ///
    /// # Errors
    /// 2201F for a negative number.
    pub fn square_root(&self) -> Result<Self, Error> {
        let (weight, _) = self.leading();
        let wanted = MIN_SIGNIFICANT - ((weight + 1) * 4 / 2 - 1);
        self.square_root_at(bounded(wanted.max(self.scale.into())))
    }

    /// The square root at a scale.
    ///
    /// # Errors
    /// 2201F for a negative number.
    pub fn square_root_at(&self, scale: u16) -> Result<Self, Error> {
        if self.signum() < 0 {
            return Err(negative_root());
        }
        let square = self.fixed(2 * u32::from(scale));
        let root = square.sqrt();
        // Half up: (r + 1/2)^2 is r^2 + r and a quarter.
        let rest = square - &root * &root;
        let root = if rest > root { root + 1 } else { root };
        Self::checked(root, scale)
    }

    /// e to this power.
    ///
    /// # Errors
    /// 22003 when the result is too long.
    pub fn exponential(&self) -> Result<Self, Error> {
        let weight = (self.to_f64() * LOG10_E).clamp(-MAX_RESULT_PLACES, MAX_RESULT_PLACES);
        let wanted = MIN_SIGNIFICANT - whole(weight);
        self.exponential_at(bounded(wanted.max(self.scale.into())))
    }

    fn exponential_at(&self, scale: u16) -> Result<Self, Error> {
        let value = self.to_f64();
        if value.abs() >= 3.0 * MAX_RESULT_PLACES {
            return if value > 0.0 { Err(overflow()) } else { Ok(Self::new(0, scale)) };
        }
        let weight = u32::try_from(whole((value * LOG10_E).max(0.0))).unwrap_or(0);
        // Halved until it is below 2^-8, where the series is short; then squared as often.
        let halvings = u32::try_from(whole(value.abs().log2().max(-9.0)) + 9).unwrap_or(0);
        let places = u32::from(scale) + weight + halvings / 3 + GUARD;
        let one = ten(places);
        let small = self.fixed(places) >> halvings;
        let (mut sum, mut term) = (one.clone(), one.clone());
        let mut n = 1_u32;
        loop {
            term = term * &small / &one / n;
            if term.bits() <= 1 {
                break;
            }
            sum += &term;
            n += 1;
        }
        for _ in 0..halvings {
            sum = &sum * &sum / &one;
        }
        Self::of_fixed(sum, places, scale)
    }

    fn loggable(&self) -> Result<(), Error> {
        match self.signum() {
            0 => Err(Error::new("2201E", "cannot take logarithm of zero")),
            sign if sign < 0 => {
                Err(Error::new("2201E", "cannot take logarithm of a negative number"))
            }
            _ => Ok(()),
        }
    }

    /// The power of ten of the natural logarithm's first digit, estimated as PostgreSQL does.
    fn logarithm_weight(&self) -> i32 {
        let near_one = Self::new(9, 1) <= *self && *self <= Self::new(11, 1);
        if near_one {
            return self.minus(&Self::new(1, 0)).map_or(0, |distance| distance.exponent());
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let first = self.first_digits(16) as f64;
        let logarithm = first.ln() + f64::from(self.exponent() - 15) * std::f64::consts::LN_10;
        whole(logarithm.abs().log10())
    }

    /// The natural logarithm.
    ///
    /// # Errors
    /// 2201E for a number that isn't positive.
    pub fn natural_logarithm(&self) -> Result<Self, Error> {
        self.loggable()?;
        let wanted = MIN_SIGNIFICANT - self.logarithm_weight();
        self.logarithm_at(bounded(wanted.max(self.scale.into())))
    }

    /// The natural logarithm of a positive number at a scale.
    fn logarithm_at(&self, scale: u16) -> Result<Self, Error> {
        let places = u32::from(scale) + GUARD;
        let (coefficient, divisor) = (self.big(), ten(self.scale.into()));
        // value = rest * 2^power, the rest near 1.
        let bits = |n: &BigInt| i64::try_from(n.bits()).unwrap_or(i64::MAX);
        let mut power = bits(&coefficient) - bits(&divisor);
        let scaled = coefficient * ten(places);
        let rest = |power: i64| {
            let by = power.unsigned_abs();
            if power >= 0 { &scaled / (&divisor << by) } else { (&scaled << by) / &divisor }
        };
        let one = ten(places);
        let mut value = rest(power);
        if &value * 10 > &one * 14 {
            power += 1;
            value = rest(power);
        } else if &value * 10 < &one * 7 {
            power -= 1;
            value = rest(power);
        }
        let series = inverse_tangent(&(&value - &one), &(&value + &one), places) * 2;
        let two = inverse_tangent(&BigInt::from(1), &BigInt::from(3), places) * 2;
        Self::of_fixed(series + two * power, places, scale)
    }

    /// The logarithm of `self` to a base.
    ///
    /// # Errors
    /// 2201E for numbers that aren't positive, 22012 for base 1.
    pub fn logarithm_to(&self, base: &Self) -> Result<Self, Error> {
        base.loggable()?;
        self.loggable()?;
        let (own, of_base) = (self.logarithm_weight(), base.logarithm_weight());
        let wanted = MIN_SIGNIFICANT - (own - of_base);
        let scale = bounded(wanted.max(self.scale.into()).max(base.scale.into()));
        let extra = own.unsigned_abs() + 2 * of_base.unsigned_abs() + GUARD;
        let places = scale.saturating_add(u16::try_from(extra).unwrap_or(u16::MAX / 2));
        let divisor = base.logarithm_at(places)?;
        if divisor.is_zero() {
            return Err(division_by_zero());
        }
        self.logarithm_at(places)?.quotient(&divisor, scale)
    }

    /// `self` to the power of `exponent`.
    ///
    /// # Errors
    /// 2201F for a negative number to a broken power and 0 to a negative one, 22003 when it is too long.
    pub fn power(&self, exponent: &Self) -> Result<Self, Error> {
        let integral = exponent.normalized().scale == 0;
        if self.is_zero() && exponent.signum() < 0 {
            return Err(Error::new("2201F", "zero raised to a negative power is undefined"));
        }
        if self.signum() < 0 && !integral {
            return Err(Error::new(
                "2201F",
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        let least = i32::from(self.scale.max(exponent.scale));
        if integral && let Some(times) = exponent.to_i64().and_then(|n| i32::try_from(n).ok()) {
            return self.integral_power(times, bounded(least.max(MIN_SIGNIFICANT)));
        }
        if self.is_zero() {
            return Ok(Self::new(0, 16));
        }
        let odd = integral && exponent.remainder(&Self::new(2, 0))?.signum() != 0;
        let result = self.abs().power_by_logarithm(exponent, least)?;
        Ok(if self.signum() < 0 && odd { result.negate() } else { result })
    }

    fn power_by_logarithm(&self, exponent: &Self, least: i32) -> Result<Self, Error> {
        let ln_weight = self.logarithm_weight();
        let eight = bounded(8 - ln_weight);
        let rough = self.logarithm_at(eight)?.times(exponent)?.round(eight.into())?.to_f64();
        if rough.abs() > 3.01 * MAX_RESULT_PLACES {
            return if rough > 0.0 { Err(overflow()) } else { Ok(Self::new(0, 1000)) };
        }
        let weight = rough * LOG10_E;
        let scale = bounded((MIN_SIGNIFICANT - whole(weight)).max(least));
        let places = i32::from(scale) + whole(weight).max(0) + exponent.exponent().max(0) + 20;
        let places = u16::try_from(places).map_err(|_| overflow())?;
        self.logarithm_at(places)?.times(exponent)?.exponential_at(scale)
    }

    /// A whole power, shown at a scale.
    fn integral_power(&self, times: i32, scale: u16) -> Result<Self, Error> {
        let count = times.unsigned_abs();
        match times {
            0 => return Self::new(1, 0).round(scale.into()),
            1 => return self.round(scale.into()),
            -1 => return Self::new(1, 0).quotient(self, scale),
            _ if self.is_zero() => return Ok(Self::new(0, scale)),
            _ => {}
        }
        let base = self.normalized();
        if base.digits() * u64::from(count) <= MAX_EXACT_DIGITS
            && u64::from(base.scale) * u64::from(count) <= MAX_EXACT_DIGITS
        {
            let power = base.big().pow(count);
            let places = u32::from(base.scale) * count;
            if times > 0 {
                return Self::of_fixed(power, places, scale);
            }
            return Self::checked(divide_big(&ten(u32::from(scale) + places), &power), scale);
        }
        if base.abs() == Self::new(1, 0) {
            let one = Self::new(1, 0).round(scale.into())?;
            return Ok(if base.signum() < 0 && count % 2 == 1 { one.negate() } else { one });
        }
        self.long_power(times, scale)
    }

    /// A power that is too long to be multiplied out, by repeated squaring with the digits that count.
    fn long_power(&self, times: i32, scale: u16) -> Result<Self, Error> {
        let logarithm = {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let first = self.first_digits(16) as f64;
            first.log10() + f64::from(self.exponent() - 15)
        };
        let weight = logarithm * f64::from(times);
        #[expect(clippy::cast_precision_loss, reason = "a bound")]
        if weight > MAX_WHOLE as f64 {
            return Err(overflow());
        }
        if weight + f64::from(scale) < -1.0 {
            return Ok(Self::new(0, scale));
        }
        let kept = u64::from(scale) + u64::try_from(whole(weight.abs())).unwrap_or(0) + 30;
        let mut result = Floating { digits: BigInt::from(1), exponent: 0 };
        let mut square = Floating { digits: self.big(), exponent: -i64::from(self.scale) };
        let mut left = times.unsigned_abs();
        while left > 0 {
            if left % 2 == 1 {
                result = result.times(&square, kept);
            }
            left /= 2;
            square = square.times(&square.clone(), kept);
        }
        if times > 0 {
            let places = u32::try_from(-result.exponent.min(0)).map_err(|_| overflow())?;
            let up = u32::try_from(result.exponent.max(0)).map_err(|_| overflow())?;
            return Self::of_fixed(result.digits * ten(up), places, scale);
        }
        let shift = i64::from(scale) - result.exponent;
        match u32::try_from(shift) {
            Ok(shift) => Self::checked(divide_big(&ten(shift), &result.digits), scale),
            Err(_) => Ok(Self::new(0, scale)),
        }
    }
}

/// `digits * 10^exponent`, with as many digits as count.
#[derive(Clone)]
struct Floating {
    digits: BigInt,
    exponent: i64,
}

impl Floating {
    fn times(&self, other: &Self, kept: u64) -> Self {
        let digits = &self.digits * &other.digits;
        let exponent = self.exponent + other.exponent;
        let surplus = super::digits_of(digits.magnitude()).saturating_sub(kept);
        let cut = u32::try_from(surplus).unwrap_or(0);
        Self { digits: divide_big(&digits, &ten(cut)), exponent: exponent + i64::from(cut) }
    }
}

/// artanh(a / b) in fixed point.
fn inverse_tangent(a: &BigInt, b: &BigInt, places: u32) -> BigInt {
    let one = ten(places);
    let ratio = a * &one / b;
    let square = &ratio * &ratio / &one;
    let (mut sum, mut term) = (ratio.clone(), ratio);
    let mut n = 3_u32;
    loop {
        term = term * &square / &one;
        let part = &term / n;
        if part.bits() == 0 {
            return sum;
        }
        sum += part;
        n += 2;
    }
}
