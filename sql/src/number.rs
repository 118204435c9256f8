//! `numeric` as PostgreSQL computes it: any number of digits, each value with its own display scale.
//!
//! Numbers of up to 38 digits are computed in 128 bits, longer ones in as many as they need. It knows no
//! columns and no types; what the ledger keeps of a number is [`Number::to_decimal`]'s.

use std::cmp::Ordering;

use ledger::Decimal;
use num_bigint::{BigInt, BigUint, Sign};

use crate::Error;

mod arithmetic;
mod bytes;
mod roots;
#[cfg(test)]
mod tests;
mod text;

pub use bytes::Numbers;

/// Digits after the point that a number can have, as in PostgreSQL.
pub(crate) const MAX_SCALE: u16 = 16_383;

/// Digits before the point that a number can have, as in PostgreSQL.
const MAX_WHOLE: u64 = 131_072;

/// `coefficient / 10^scale`. Equality and order are of the number: 1.0 equals 1.00.
#[derive(Clone, Debug)]
pub struct Number {
    coefficient: Coefficient,
    scale: u16,
}

#[derive(Clone, Debug)]
enum Coefficient {
    Small(i128),
    /// Only what 128 bits don't hold.
    Big(Box<BigInt>),
}

/// "value overflows numeric format"
pub(crate) fn overflow() -> Error {
    Error::new("22003", "value overflows numeric format")
}

/// 10^n.
fn ten(n: u32) -> BigInt {
    BigInt::from(10_u8).pow(n)
}

/// Decimal digits of a magnitude; 0 has none.
fn digits_of(magnitude: &BigUint) -> u64 {
    let bits = magnitude.bits();
    if bits == 0 {
        return 0;
    }
    // Never more than the digits of 2^(bits - 1), and at most one less than the truth.
    let least = (bits - 1) * 30_103 / 100_000;
    let bound = BigUint::from(10_u8).pow(u32::try_from(least).unwrap_or(u32::MAX));
    let mut digits = least;
    let mut bound = bound;
    while *magnitude >= bound {
        digits += 1;
        bound *= 10_u8;
    }
    digits
}

impl Number {
    /// Zero, shown without a point.
    pub const ZERO: Self = Self::new(0, 0);

    /// A number of 128 bits.
    pub const fn new(coefficient: i128, scale: u16) -> Self {
        Self { coefficient: Coefficient::Small(coefficient), scale }
    }

    /// A number of any length, in its shortest form.
    fn of_big(coefficient: BigInt, scale: u16) -> Self {
        let coefficient = match i128::try_from(&coefficient) {
            Ok(small) => Coefficient::Small(small),
            Err(_) => Coefficient::Big(Box::new(coefficient)),
        };
        Self { coefficient, scale }
    }

    /// A result, which mustn't be longer than numbers can be.
    fn checked(coefficient: BigInt, scale: u16) -> Result<Self, Error> {
        // Three bits and a third for each digit.
        if coefficient.bits() > (MAX_WHOLE + u64::from(scale)) * 10 / 3
            && digits_of(coefficient.magnitude()) > MAX_WHOLE + u64::from(scale)
        {
            return Err(overflow());
        }
        Ok(Self::of_big(coefficient, scale))
    }

    /// Digits after the point that are shown.
    pub fn scale(&self) -> u16 {
        self.scale
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i128 {
        match &self.coefficient {
            Coefficient::Small(c) => c.signum(),
            Coefficient::Big(c) => match c.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.signum() == 0
    }

    /// The coefficient, if 128 bits hold it.
    pub fn small(&self) -> Option<i128> {
        match &self.coefficient {
            Coefficient::Small(c) => Some(*c),
            Coefficient::Big(_) => None,
        }
    }

    fn big(&self) -> BigInt {
        match &self.coefficient {
            Coefficient::Small(c) => BigInt::from(*c),
            Coefficient::Big(c) => c.as_ref().clone(),
        }
    }

    /// Digits of the coefficient; 0 has none.
    fn digits(&self) -> u64 {
        match &self.coefficient {
            Coefficient::Small(c) => {
                c.unsigned_abs().checked_ilog10().map_or(0, |log| u64::from(log) + 1)
            }
            Coefficient::Big(c) => digits_of(c.magnitude()),
        }
    }

    /// Digits before the point, without leading zeros.
    pub fn integer_digits(&self) -> u64 {
        self.digits().saturating_sub(self.scale.into())
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negate(&self) -> Self {
        match &self.coefficient {
            Coefficient::Small(c) if *c != i128::MIN => Self::new(-c, self.scale),
            _ => Self::of_big(-self.big(), self.scale),
        }
    }

    /// Its magnitude.
    #[must_use]
    pub fn abs(&self) -> Self {
        if self.signum() < 0 { self.negate() } else { self.clone() }
    }

    /// The same number without zeros at the end after the point.
    #[must_use]
    pub fn normalized(&self) -> Self {
        match &self.coefficient {
            Coefficient::Small(c) => {
                let (mut c, mut scale) = (*c, self.scale);
                while scale > 0 && c % 10 == 0 {
                    c /= 10;
                    scale -= 1;
                }
                Self::new(c, scale)
            }
            Coefficient::Big(c) => {
                let text = c.magnitude().to_str_radix(10);
                let zeros = text.len() - text.trim_end_matches('0').len();
                let cut = u16::try_from(zeros).unwrap_or(u16::MAX).min(self.scale);
                Self::of_big(c.as_ref() / ten(cut.into()), self.scale - cut)
            }
        }
    }

    /// The number as the ledger keeps it.
    ///
    /// # Errors
    /// 22003 when it has more than 38 digits; zeros at the end after the point don't count.
    pub fn to_decimal(&self) -> Result<Decimal, Error> {
        let fits = |number: &Self| {
            let scale = u8::try_from(number.scale).ok()?;
            Decimal::new(number.small()?, scale).ok()
        };
        let short = || {
            let short = self.normalized();
            let room =
                u64::from(ledger::decimal::MAX_DIGITS).checked_sub(short.integer_digits())?;
            let scale = u16::try_from(room).ok()?.min(self.scale);
            (short.scale <= scale).then(|| short.round(scale.into()).ok()).flatten()
        };
        fits(self).or_else(|| fits(&short()?)).ok_or_else(|| {
            overflow()
                .with_detail("A numeric is stored with at most 38 digits.")
                .with_hint("Round it, or declare the column numeric(precision, scale).")
        })
    }

    /// The nearest integer, half away from zero, if it is a `bigint`.
    pub fn to_i64(&self) -> Option<i64> {
        i64::try_from(self.round(0).ok()?.small()?).ok()
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        // The decimal text is exact, and the parser rounds it correctly.
        let text = match &self.coefficient {
            Coefficient::Small(c) => format!("{c}e-{}", self.scale),
            Coefficient::Big(c) => format!("{c}e-{}", self.scale),
        };
        text.parse().unwrap_or(f64::NAN)
    }

    /// A double's shortest decimal form of at most 15 significant digits, as PostgreSQL casts.
    ///
    /// # Errors
    /// 0A000 when it is infinite or not a number.
    pub fn from_f64(value: f64) -> Result<Self, Error> {
        Self::from_scientific(value.is_finite(), &format!("{value:.14e}"))
    }

    /// A float's shortest decimal form of at most 6 significant digits, as PostgreSQL casts.
    ///
    /// # Errors
    /// 0A000 when it is infinite or not a number.
    pub fn from_f32(value: f32) -> Result<Self, Error> {
        Self::from_scientific(value.is_finite(), &format!("{value:.5e}"))
    }

    fn from_scientific(finite: bool, text: &str) -> Result<Self, Error> {
        if !finite {
            return Err(Error::new("0A000", "numeric NaN and infinity are not supported"));
        }
        Ok(Self::parse(text)?.normalized())
    }
}

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        Self::new(value.coefficient, value.scale.into())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::new(value.into(), 0)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.signum().cmp(&other.signum());
        if signs != Ordering::Equal {
            return signs;
        }
        let scale = self.scale.max(other.scale);
        match (self.small_at(scale), other.small_at(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => self.big_at(scale).cmp(&other.big_at(scale)),
        }
    }
}
