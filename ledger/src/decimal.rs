//! Exact decimal numbers of up to 38 digits, each with its own scale. Knows nothing of column types.

mod parse;
#[cfg(test)]
mod tests;
mod wide;

use std::cmp::Ordering;
use std::hash;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Refusal;
use wide::Wide;

/// `coefficient / 10^scale`. At most 38 digits; scale 0..=38. Equality is of the number, not of its
/// scale: 1.0 equals 1.00 (so `PartialEq`, `Ord` and `Hash` are written by hand).
#[derive(Clone, Copy, Debug, Default, BorshSerialize)]
pub struct Decimal {
    /// The digits, signed; its magnitude is below 10^38.
    pub coefficient: i128,
    /// Digits after the point, 0..=38.
    pub scale: u8,
}

/// Digits that a coefficient can have; also the greatest scale.
pub const MAX_DIGITS: u8 = 38;

/// The first magnitude that is too great: 10^38.
const LIMIT: u128 = 10u128.pow(38);

/// Significant digits that a quotient has at least, as in PostgreSQL.
const QUOTIENT_DIGITS: i32 = 16;

/// 10^n for n up to 38.
fn power(n: u8) -> u128 {
    10u128.pow(u32::from(n.min(MAX_DIGITS)))
}

/// "numeric field overflow": a number of more than 38 digits.
fn overflow() -> Refusal {
    Refusal::data("22003", "value overflows numeric format")
}

/// The number of decimal digits of a magnitude; 0 has none.
pub(crate) fn digits(magnitude: u128) -> u8 {
    let last = match u64::try_from(magnitude) {
        // Most numbers are short, and one register's arithmetic is enough.
        Ok(short) => short.checked_ilog10(),
        Err(_) => magnitude.checked_ilog10(),
    };
    last.and_then(|last| u8::try_from(last + 1).ok()).unwrap_or(0)
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { coefficient: 0, scale: 0 };

    /// A decimal of a coefficient and a scale.
    ///
    /// # Errors
    /// 22003 when there are more than 38 digits.
    pub fn new(coefficient: i128, scale: u8) -> Result<Self, Refusal> {
        if coefficient.unsigned_abs() >= LIMIT || scale > MAX_DIGITS {
            return Err(overflow());
        }
        Ok(Self { coefficient, scale })
    }

    /// Builds from a sign and a wide magnitude at a scale, rounding half away from zero to at most
    /// 38 digits after the point.
    fn from_wide(negative: bool, magnitude: Wide, scale: u32) -> Result<Self, Refusal> {
        let limit = u32::from(MAX_DIGITS);
        let (magnitude, scale) = if scale > limit {
            (magnitude.divide_power_rounded(scale - limit), limit)
        } else {
            (magnitude, scale)
        };
        let magnitude = magnitude.narrow().filter(|m| *m < LIMIT).ok_or_else(overflow)?;
        let coefficient = i128::try_from(magnitude).map_err(|_| overflow())?;
        let scale = u8::try_from(scale).map_err(|_| overflow())?;
        Ok(Self { coefficient: if negative { -coefficient } else { coefficient }, scale })
    }

    /// The same number without trailing zeros after the point.
    pub fn normalized(mut self) -> Self {
        while self.scale > 0 && self.coefficient % 10 == 0 {
            self.coefficient /= 10;
            self.scale -= 1;
        }
        self
    }

    /// The number with another scale, rounded half away from zero.
    ///
    /// # Errors
    /// 22003 when there are then more than 38 digits.
    pub fn rescale(self, scale: u8) -> Result<Self, Refusal> {
        if scale > MAX_DIGITS {
            return Err(overflow());
        }
        if scale >= self.scale {
            let factor = i128::try_from(power(scale - self.scale)).map_err(|_| overflow())?;
            let coefficient = self.coefficient.checked_mul(factor).ok_or_else(overflow)?;
            return Self::new(coefficient, scale);
        }
        let divisor = power(self.scale - scale);
        let magnitude = self.coefficient.unsigned_abs();
        let (mut quotient, rest) = (magnitude / divisor, magnitude % divisor);
        if rest >= divisor - rest {
            quotient += 1;
        }
        Self::from_wide(self.coefficient < 0, Wide::from(quotient), u32::from(scale))
    }

    /// Rounded half away from zero to `places` digits after the point; negative places round before it.
    ///
    /// # Errors
    /// 22003 when there are then more than 38 digits.
    pub fn round(self, places: i32) -> Result<Self, Refusal> {
        if let Ok(scale) = u8::try_from(places.min(i32::from(MAX_DIGITS))) {
            return self.rescale(scale);
        }
        let Ok(before) = u8::try_from(places.unsigned_abs()) else { return Ok(Self::ZERO) };
        if before > MAX_DIGITS {
            return Ok(Self::ZERO);
        }
        let whole = Wide::from(self.coefficient.unsigned_abs());
        let rounded = whole.divide_power_rounded(u32::from(self.scale) + u32::from(before));
        let restored = rounded.multiply(power(before)).ok_or_else(overflow)?;
        Self::from_wide(self.coefficient < 0, restored, 0)
    }

    /// Cut toward zero to `scale` digits after the point; a smaller scale is kept.
    pub fn truncate(self, scale: u8) -> Self {
        if scale >= self.scale {
            return self;
        }
        let divisor = i128::try_from(power(self.scale - scale)).unwrap_or(i128::MAX);
        Self { coefficient: self.coefficient / divisor, scale }
    }

    /// The number as `numeric(precision, scale)` keeps it: rounded to the scale.
    ///
    /// # Errors
    /// 22003 when it has too many digits before the point.
    pub fn fit(self, precision: u8, scale: u8) -> Result<Self, Refusal> {
        let fitted = self
            .rescale(scale)
            .ok()
            .filter(|fitted| fitted.coefficient.unsigned_abs() < power(precision));
        fitted.ok_or_else(|| Refusal::data("22003", "numeric field overflow"))
    }

    /// Digits before the point, without leading zeros.
    pub fn integral_digits(self) -> u8 {
        digits(self.coefficient.unsigned_abs()).saturating_sub(self.scale)
    }

    /// Both coefficients at the greater of the two scales.
    fn aligned(self, other: Self) -> Option<(Wide, Wide, u8)> {
        let scale = self.scale.max(other.scale);
        let a = Wide::from(self.coefficient.unsigned_abs()).multiply(power(scale - self.scale))?;
        let b =
            Wide::from(other.coefficient.unsigned_abs()).multiply(power(scale - other.scale))?;
        Some((a, b, scale))
    }

    /// The sum, at the greater scale.
    ///
    /// # Errors
    /// 22003 when it has more than 38 digits.
    pub fn plus(self, other: Self) -> Result<Self, Refusal> {
        let (a, b, scale) = self.aligned(other).ok_or_else(overflow)?;
        let scale = u32::from(scale);
        let (minus_a, minus_b) = (self.coefficient < 0, other.coefficient < 0);
        if minus_a == minus_b {
            return Self::from_wide(minus_a, a.add(b).ok_or_else(overflow)?, scale);
        }
        match a.cmp(&b) {
            Ordering::Less => Self::from_wide(minus_b, b.subtract(a), scale),
            Ordering::Equal | Ordering::Greater => Self::from_wide(minus_a, a.subtract(b), scale),
        }
    }

    /// The difference, at the greater scale.
    ///
    /// # Errors
    /// 22003 when it has more than 38 digits.
    pub fn minus(self, other: Self) -> Result<Self, Refusal> {
        self.plus(other.negate())
    }

    /// The product, at the sum of the scales (at most 38).
    ///
    /// # Errors
    /// 22003 when it has more than 38 digits.
    pub fn times(self, other: Self) -> Result<Self, Refusal> {
        let product = Wide::from(self.coefficient.unsigned_abs())
            .multiply(other.coefficient.unsigned_abs())
            .ok_or_else(overflow)?;
        let negative = (self.coefficient < 0) != (other.coefficient < 0);
        Self::from_wide(negative, product, u32::from(self.scale) + u32::from(other.scale))
    }

    /// The quotient, at least 16 significant digits as PostgreSQL chooses them.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when there are more than 38 digits.
    pub fn divided_by(self, other: Self) -> Result<Self, Refusal> {
        if other.coefficient == 0 {
            return Err(Refusal::data("22012", "division by zero"));
        }
        let scale = self.quotient_scale(other).min(u32::from(MAX_DIGITS));
        let shift = scale + u32::from(other.scale);
        let own = u32::from(self.scale);
        let mut dividend = Wide::from(self.coefficient.unsigned_abs());
        let mut divisor = other.coefficient.unsigned_abs();
        if shift >= own {
            dividend = dividend.multiply_power(shift - own).ok_or_else(overflow)?;
        } else {
            let factor = power(u8::try_from(own - shift).map_err(|_| overflow())?);
            divisor = divisor.checked_mul(factor).ok_or_else(overflow)?;
        }
        let quotient = dividend.divide_rounded(divisor);
        let negative = (self.coefficient < 0) != (other.coefficient < 0);
        Self::from_wide(negative, quotient, scale)
    }

    /// PostgreSQL's scale of a quotient: 16 significant digits, but no operand loses any of its own.
    fn quotient_scale(self, other: Self) -> u32 {
        let (weight_a, first_a) = self.leading();
        let (weight_b, first_b) = other.leading();
        let weight = weight_a - weight_b - i32::from(first_a <= first_b);
        let wanted = QUOTIENT_DIGITS - weight * 4;
        let own = i32::from(self.scale.max(other.scale));
        wanted.max(own).max(0).unsigned_abs()
    }

    /// The weight and value of the first digit in base 10,000, as PostgreSQL keeps numbers.
    fn leading(self) -> (i32, u128) {
        let magnitude = self.coefficient.unsigned_abs();
        if magnitude == 0 {
            return (0, 0);
        }
        let exponent = i32::from(digits(magnitude)) - i32::from(self.scale) - 1;
        let weight = exponent.div_euclid(4);
        let kept = weight * 4 + i32::from(self.scale);
        let first = match u8::try_from(kept) {
            Ok(kept) => magnitude / power(kept),
            Err(_) => magnitude * power(u8::try_from(kept.unsigned_abs()).unwrap_or(MAX_DIGITS)),
        };
        (weight, first)
    }

    /// What is left of the division cut toward zero; it has the dividend's sign.
    ///
    /// # Errors
    /// 22012 for a zero divisor, 22003 when there are more than 38 digits.
    pub fn remainder(self, other: Self) -> Result<Self, Refusal> {
        if other.coefficient == 0 {
            return Err(Refusal::data("22012", "division by zero"));
        }
        let (a, b, scale) = self.aligned(other).ok_or_else(overflow)?;
        Self::from_wide(self.coefficient < 0, a.remainder(b), u32::from(scale))
    }

    /// The number with the other sign.
    pub fn negate(self) -> Self {
        Self { coefficient: -self.coefficient, scale: self.scale }
    }

    /// Its magnitude.
    pub fn abs(self) -> Self {
        Self { coefficient: self.coefficient.abs(), scale: self.scale }
    }

    /// Rounded half away from zero to an integer.
    ///
    /// # Errors
    /// 22003 when it is no `bigint`.
    pub fn to_i64(self) -> Result<i64, Refusal> {
        let whole = self.rescale(0)?;
        i64::try_from(whole.coefficient).map_err(|_| Refusal::data("22003", "bigint out of range"))
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        // The decimal text is exact, and the parser rounds it correctly.
        format!("{}e-{}", self.coefficient, self.scale).parse().unwrap_or(f64::NAN)
    }

    /// A double's shortest decimal form, at most 15 significant digits, as PostgreSQL casts.
    ///
    /// # Errors
    /// 22003 or 0A000 when it is out of range, infinite or not a number.
    pub fn from_f64(value: f64) -> Result<Self, Refusal> {
        Self::from_scientific(value.is_finite(), &format!("{value:.14e}"))
    }

    /// A float's shortest decimal form, at most 6 significant digits, as PostgreSQL casts.
    ///
    /// # Errors
    /// 22003 or 0A000 when it is out of range, infinite or not a number.
    pub fn from_f32(value: f32) -> Result<Self, Refusal> {
        Self::from_scientific(value.is_finite(), &format!("{value:.5e}"))
    }

    fn from_scientific(finite: bool, text: &str) -> Result<Self, Refusal> {
        if !finite {
            return Err(Refusal::data("0A000", "numeric NaN and infinity are not supported"));
        }
        Ok(text.parse::<Self>()?.normalized())
    }
}

impl BorshDeserialize for Decimal {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let coefficient = i128::deserialize_reader(reader)?;
        let scale = u8::deserialize_reader(reader)?;
        Self::new(coefficient, scale).map_err(|_| io::Error::other("a number of too many digits"))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self { coefficient: i128::from(value), scale: 0 }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return self.coefficient.cmp(&other.coefficient);
        }
        let signs = self.coefficient.signum().cmp(&other.coefficient.signum());
        if signs != Ordering::Equal {
            return signs;
        }
        let order = match self.aligned(*other) {
            Some((a, b, _)) => a.cmp(&b),
            // Unreachable within 38 digits and scale 38; equal is never claimed.
            None => self.integral_digits().cmp(&other.integral_digits()),
        };
        if self.coefficient < 0 { order.reverse() } else { order }
    }
}

impl hash::Hash for Decimal {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        let plain = self.normalized();
        plain.coefficient.hash(state);
        plain.scale.hash(state);
    }
}
