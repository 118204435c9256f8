//! Text of decimals: PostgreSQL's input and output. Knows no column types.

use std::fmt;
use std::str::FromStr;

use super::{Decimal, MAX_DIGITS, overflow, power};
use crate::Refusal;

/// 22P02 with PostgreSQL's words.
fn invalid(text: &str) -> Refusal {
    Refusal::data("22P02", format!("invalid input syntax for type numeric: \"{text}\""))
}

/// The pieces of a number's text: sign, digits before and after the point, exponent.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

/// Splits off the leading digits.
fn take_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let n = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    bytes.split_at(n)
}

fn split(text: &str) -> Option<Parts<'_>> {
    let mut rest = text.as_bytes();
    let negative = rest.first() == Some(&b'-');
    if let Some((b'-' | b'+', after)) = rest.split_first() {
        rest = after;
    }
    let (whole, after) = take_digits(rest);
    rest = after;
    let mut fraction: &[u8] = &[];
    if let Some((b'.', after)) = rest.split_first() {
        (fraction, rest) = take_digits(after);
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut exponent = 0;
    if let Some((b'e' | b'E', after)) = rest.split_first() {
        exponent = std::str::from_utf8(after).ok()?.parse::<i32>().ok()?;
        rest = &[];
    }
    rest.is_empty().then_some(Parts { negative, whole, fraction, exponent })
}

impl FromStr for Decimal {
    type Err = Refusal;

    /// Blanks around the number are allowed, as is an exponent. Digits past scale 38 are rounded.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text, MAX_DIGITS)
    }
}

impl Decimal {
    /// The number of a text, rounded half away from zero to at most `max_scale` digits after the point.
    ///
    /// # Errors
    /// 22P02 when it is no number, 22003 when it has more than 38 digits, 0A000 for NaN and infinity.
    pub fn parse(text: &str, max_scale: u8) -> Result<Self, Refusal> {
        Self::parse_or_refuse(text, max_scale, false)
    }

    /// The number of a text, with all its digits.
    ///
    /// # Errors
    /// As [`Self::parse`], and 22003 when a digit stands past scale 38.
    pub fn parse_exact(text: &str) -> Result<Self, Refusal> {
        Self::parse_or_refuse(text, MAX_DIGITS, true)
    }

    fn parse_or_refuse(text: &str, max_scale: u8, exact: bool) -> Result<Self, Refusal> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let special = trimmed.trim_start_matches(['+', '-']);
        if ["nan", "inf", "infinity"].iter().any(|word| special.eq_ignore_ascii_case(word)) {
            return Err(Refusal::data("0A000", "numeric NaN and infinity are not supported"));
        }
        let parts = split(trimmed).ok_or_else(|| invalid(text))?;
        let length = |digits: &[u8]| i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let scale = length(parts.fraction) - i64::from(parts.exponent);
        // Of the digits that stand past the last place kept, only the first decides the rounding.
        let surplus = (scale - i64::from(max_scale.min(MAX_DIGITS))).max(0);
        let kept = length(parts.whole) + length(parts.fraction) - surplus;
        let kept_digits = usize::try_from(kept).unwrap_or(0);
        let mut magnitude = 0u128;
        for (place, digit) in parts.whole.iter().chain(parts.fraction).enumerate() {
            let digit = u128::from(digit - b'0');
            if place >= kept_digits {
                let mut rest = parts.whole.iter().chain(parts.fraction).skip(kept_digits);
                if exact && rest.any(|digit| *digit != b'0') {
                    return Err(overflow());
                }
                // A first digit further right than the place after the last one is less than a half.
                magnitude += u128::from(kept >= 0 && digit >= 5);
                break;
            }
            magnitude = magnitude.checked_mul(10).ok_or_else(overflow)?;
            magnitude = magnitude.checked_add(digit).ok_or_else(overflow)?;
        }
        let coefficient = i128::try_from(magnitude).map_err(|_| overflow())?;
        let coefficient = if parts.negative { -coefficient } else { coefficient };
        let scale = scale - surplus;
        match u8::try_from(scale) {
            Ok(scale) => Self::new(coefficient, scale),
            Err(_) if coefficient == 0 => Ok(Self::ZERO),
            Err(_) => {
                let zeros = u8::try_from(scale.unsigned_abs()).map_err(|_| overflow())?;
                if zeros > MAX_DIGITS {
                    return Err(overflow());
                }
                let factor = i128::try_from(power(zeros)).map_err(|_| overflow())?;
                Self::new(coefficient.checked_mul(factor).ok_or_else(overflow)?, 0)
            }
        }
    }
}

impl fmt::Display for Decimal {
    /// As PostgreSQL: all digits of the scale, never an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.coefficient < 0 {
            f.write_str("-")?;
        }
        let magnitude = self.coefficient.unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{magnitude}");
        }
        let divisor = power(self.scale);
        let (whole, fraction) = (magnitude / divisor, magnitude % divisor);
        write!(f, "{whole}.{fraction:0width$}", width = usize::from(self.scale))
    }
}
