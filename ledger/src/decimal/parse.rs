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
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let special = trimmed.trim_start_matches(['+', '-']);
        if ["nan", "inf", "infinity"].iter().any(|word| special.eq_ignore_ascii_case(word)) {
            return Err(Refusal::data("0A000", "numeric NaN and infinity are not supported"));
        }
        let parts = split(trimmed).ok_or_else(|| invalid(text))?;
        let scale =
            i64::try_from(parts.fraction.len()).unwrap_or(i64::MAX) - i64::from(parts.exponent);
        let mut magnitude = 0u128;
        // Digits that stand past the 38th place after the point: only the first decides the rounding.
        let mut surplus = (scale - i64::from(MAX_DIGITS)).max(0);
        let total = i64::try_from(parts.whole.len() + parts.fraction.len()).unwrap_or(i64::MAX);
        let mut left = total;
        let mut round_up = false;
        for digit in parts.whole.iter().chain(parts.fraction) {
            let digit = u128::from(digit - b'0');
            if left <= surplus {
                round_up = left == surplus && digit >= 5;
                break;
            }
            left -= 1;
            magnitude = magnitude.checked_mul(10).ok_or_else(overflow)?;
            magnitude = magnitude.checked_add(digit).ok_or_else(overflow)?;
        }
        if surplus > 0 {
            magnitude = magnitude.saturating_add(u128::from(round_up));
        }
        surplus = scale - surplus;
        let coefficient = i128::try_from(magnitude).map_err(|_| overflow())?;
        let coefficient = if parts.negative { -coefficient } else { coefficient };
        match u8::try_from(surplus) {
            Ok(scale) => Self::new(coefficient, scale),
            Err(_) if coefficient == 0 => Ok(Self::ZERO),
            Err(_) => {
                let zeros = u8::try_from(surplus.unsigned_abs()).map_err(|_| overflow())?;
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
