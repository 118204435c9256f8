//! Sums, products, quotients and roundings, with PostgreSQL's scales. It knows no text and no bytes.

use num_bigint::{BigInt, BigUint, Sign};

use super::{Coefficient, MAX_SCALE, Number, ten};
use crate::Error;

/// Significant digits that a computed quotient or root has at least.
pub(super) const MIN_SIGNIFICANT: i32 = 16;

/// Digits after the point that a computed quotient or root has at most.
pub(super) const MAX_COMPUTED_SCALE: i32 = 1000;

/// Places that a number can be rounded to, both ways.
const MAX_PLACES: i32 = 2000;

pub(super) fn division_by_zero() -> Error {
    Error::new("22012", "division by zero")
}

/// `value * 10^by`.
fn shifted(value: i128, by: u32) -> Option<i128> {
    value.checked_mul(10_i128.checked_pow(by)?)
}

/// Half away from zero.
fn divide_small(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?.unsigned_abs();
    if rest < divisor.unsigned_abs() - rest {
        return Some(quotient);
    }
    quotient.checked_add(if (dividend < 0) == (divisor < 0) { 1 } else { -1 })
}

/// Half away from zero. The divisor isn't 0.
pub(super) fn divide_big(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let quotient = dividend / divisor;
    let rest: BigUint = (dividend % divisor).magnitude() * 2_u8;
    if rest < *divisor.magnitude() {
        return quotient;
    }
    quotient
        + if (dividend.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) { 1 } else { -1 }
}

/// A scale between 0 and what computed results have at most.
pub(super) fn bounded(scale: i32) -> u16 {
    u16::try_from(scale.clamp(0, MAX_COMPUTED_SCALE)).unwrap_or(0)
}

impl Number {
    /// The coefficient at a scale that is not smaller, if 128 bits hold it.
    pub(super) fn small_at(&self, scale: u16) -> Option<i128> {
        shifted(self.small()?, (scale - self.scale).into())
    }

    /// The coefficient at a scale that is not smaller.
    pub(super) fn big_at(&self, scale: u16) -> BigInt {
        self.big() * ten((scale - self.scale).into())
    }

    /// The sum, at the greater scale.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn plus(&self, other: &Self) -> Result<Self, Error> {
        let scale = self.scale.max(other.scale);
        if let (Some(a), Some(b)) = (self.small_at(scale), other.small_at(scale))
            && let Some(sum) = a.checked_add(b)
        {
            return Ok(Self::new(sum, scale));
        }
        Self::checked(self.big_at(scale) + other.big_at(scale), scale)
    }

    /// The difference, at the greater scale.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn minus(&self, other: &Self) -> Result<Self, Error> {
        self.plus(&other.negate())
    }

    /// The product, at the sum of the scales.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn times(&self, other: &Self) -> Result<Self, Error> {
        let scale = self.scale + other.scale;
        if let (Some(a), Some(b)) = (self.small(), other.small())
            && let Some(product) = a.checked_mul(b)
            && scale <= MAX_SCALE
        {
            return Ok(Self::new(product, scale));
        }
        let product = self.big() * other.big();
        if scale > MAX_SCALE {
            let product = divide_big(&product, &ten((scale - MAX_SCALE).into()));
            return Self::checked(product, MAX_SCALE);
        }
        Self::checked(product, scale)
    }

    /// The quotient, with the scale that PostgreSQL gives it.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when it is too long.
    pub fn divided_by(&self, other: &Self) -> Result<Self, Error> {
        self.quotient(other, self.quotient_scale(other))
    }

    /// The quotient at a scale, rounded half away from zero.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when it is too long.
    pub fn quotient(&self, other: &Self, scale: u16) -> Result<Self, Error> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let (up, down) = (u32::from(scale) + u32::from(other.scale), u32::from(self.scale));
        let (dividend, divisor) = (up.saturating_sub(down), down.saturating_sub(up));
        if let (Some(a), Some(b)) = (self.small(), other.small())
            && let (Some(a), Some(b)) = (shifted(a, dividend), shifted(b, divisor))
            && let Some(quotient) = divide_small(a, b)
        {
            return Ok(Self::new(quotient, scale));
        }
        let dividend = self.big() * ten(dividend);
        let divisor = other.big() * ten(divisor);
        Self::checked(divide_big(&dividend, &divisor), scale)
    }

    /// At least 16 significant digits, estimated from the first digits, and no fewer digits after the
    /// point than an operand has.
    pub fn quotient_scale(&self, other: &Self) -> u16 {
        let ((weight_a, first_a), (weight_b, first_b)) = (self.leading(), other.leading());
        let weight = weight_a - weight_b - i32::from(first_a <= first_b);
        let wanted = MIN_SIGNIFICANT - weight * 4;
        bounded(wanted.max(self.scale.into()).max(other.scale.into()))
    }

    /// The power of ten of the first digit; 0 for zero.
    pub(super) fn exponent(&self) -> i32 {
        match i32::try_from(self.digits()) {
            Ok(0) | Err(_) => 0,
            Ok(digits) => digits - i32::from(self.scale) - 1,
        }
    }

    /// The weight and value of the first digit in base 10,000, as PostgreSQL keeps numbers.
    pub(super) fn leading(&self) -> (i32, u32) {
        if self.is_zero() {
            return (0, 0);
        }
        let exponent = self.exponent();
        let weight = exponent.div_euclid(4);
        let wanted = exponent.rem_euclid(4) + 1;
        (weight, u32::try_from(self.first_digits(wanted)).unwrap_or(0))
    }

    /// The first so many decimal digits (at most 18), zeros after the last.
    pub(super) fn first_digits(&self, wanted: i32) -> u64 {
        let digits = i32::try_from(self.digits()).unwrap_or(i32::MAX);
        let power = |n: i32| u32::try_from(n).unwrap_or(0);
        match &self.coefficient {
            Coefficient::Small(c) => {
                let magnitude = c.unsigned_abs();
                let first = if digits >= wanted {
                    magnitude / 10_u128.pow(power(digits - wanted))
                } else {
                    magnitude * 10_u128.pow(power(wanted - digits))
                };
                u64::try_from(first).unwrap_or(0)
            }
            Coefficient::Big(c) => {
                let first = c.magnitude() / BigUint::from(10_u8).pow(power(digits - wanted));
                u64::try_from(first).unwrap_or(0)
            }
        }
    }

    /// What is left of the division cut toward zero; it has the dividend's sign.
    ///
    /// # Errors
    /// 22012 for a zero divisor.
    pub fn remainder(&self, other: &Self) -> Result<Self, Error> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let scale = self.scale.max(other.scale);
        if let (Some(a), Some(b)) = (self.small_at(scale), other.small_at(scale)) {
            return Ok(Self::new(a.checked_rem(b).unwrap_or(0), scale));
        }
        Ok(Self::of_big(self.big_at(scale) % other.big_at(scale), scale))
    }

    /// The whole part of the quotient, toward zero.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when it is too long.
    pub fn whole_quotient(&self, other: &Self) -> Result<Self, Error> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let scale = self.scale.max(other.scale);
        Self::checked(self.big_at(scale) / other.big_at(scale), 0)
    }

    /// Rounded half away from zero to `places` digits after the point (negative: before it).
    ///
    /// # Errors
    /// 22003 when it is then too long.
    pub fn round(&self, places: i32) -> Result<Self, Error> {
        self.at_places(places, divide_small, divide_big)
    }

    /// Cut toward zero to `places` digits after the point (negative: before it).
    ///
    /// # Errors
    /// 22003 when it is then too long.
    pub fn truncate(&self, places: i32) -> Result<Self, Error> {
        self.at_places(places, i128::checked_div, |a, b| a / b)
    }

    fn at_places(
        &self,
        places: i32,
        small: fn(i128, i128) -> Option<i128>,
        big: fn(&BigInt, &BigInt) -> BigInt,
    ) -> Result<Self, Error> {
        let places = places.clamp(-MAX_PLACES, MAX_PLACES.max(self.scale.into()));
        let scale = u16::try_from(places).unwrap_or(0);
        if places >= i32::from(self.scale) {
            return match self.small_at(scale) {
                Some(coefficient) => Ok(Self::new(coefficient, scale)),
                None => Self::checked(self.big_at(scale), scale),
            };
        }
        let cut = u32::try_from(i32::from(self.scale) - places).unwrap_or(0);
        let back = u32::try_from(i32::from(scale) - places).unwrap_or(0);
        if u64::from(cut) > self.digits() + 1 {
            return Ok(Self::new(0, scale));
        }
        if let (Some(value), Some(power)) = (self.small(), 10_i128.checked_pow(cut))
            && let Some(value) = small(value, power)
            && let Some(value) = shifted(value, back)
        {
            return Ok(Self::new(value, scale));
        }
        Self::checked(big(&self.big(), &ten(cut)) * ten(back), scale)
    }

    /// The smallest integer that isn't below.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn ceiling(&self) -> Result<Self, Error> {
        let whole = self.truncate(0)?;
        if whole < *self { whole.plus(&Self::new(1, 0)) } else { Ok(whole) }
    }

    /// The greatest integer that isn't above.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn floor(&self) -> Result<Self, Error> {
        let whole = self.truncate(0)?;
        if whole > *self { whole.minus(&Self::new(1, 0)) } else { Ok(whole) }
    }

    /// The greatest common divisor, at the greater scale.
    ///
    /// # Errors
    /// None in practice: the operands bound it.
    pub fn gcd(&self, other: &Self) -> Result<Self, Error> {
        let scale = self.scale.max(other.scale);
        let (mut a, mut b) = (self.abs().round(scale.into())?, other.abs().round(scale.into())?);
        while !b.is_zero() {
            (a, b) = (b.clone(), a.remainder(&b)?);
        }
        Ok(a)
    }

    /// The least common multiple, at the greater scale.
    ///
    /// # Errors
    /// 22003 when it is too long.
    pub fn lcm(&self, other: &Self) -> Result<Self, Error> {
        let scale = self.scale.max(other.scale);
        if self.is_zero() || other.is_zero() {
            return Ok(Self::new(0, scale));
        }
        let factor = self.whole_quotient(&self.gcd(other)?)?;
        factor.times(&other.abs())?.abs().round(scale.into())
    }
}
