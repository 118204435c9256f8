//! Numbers as text: what PostgreSQL reads and writes.

use std::fmt;

use num_bigint::BigInt;

use super::{MAX_SCALE, MAX_WHOLE, Number, overflow};
use crate::Error;

fn invalid(text: &str) -> Error {
    Error::new("22P02", format!("invalid input syntax for type numeric: \"{text}\""))
}

/// Splits off the leading digits.
fn take_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

impl Number {
    /// The number that a text is; blanks around it are allowed, as is an exponent.
    ///
    /// # Errors
    /// 22P02 when it is no number, 22003 when it is too long, 0A000 for NaN and infinity.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
        if ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
            return Err(Error::new("0A000", "numeric NaN and infinity are not supported")
                .with_hint("Use double precision for values that are not numbers."));
        }
        let (whole, rest) = take_digits(unsigned);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => take_digits(rest),
            None => ("", rest),
        };
        let exponent: i64 = match rest.strip_prefix(['e', 'E']) {
            Some(digits) => digits.parse().map_err(|_| invalid(text))?,
            None if rest.is_empty() => 0,
            None => return Err(invalid(text)),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid(text));
        }
        let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let scale = length(fraction).saturating_sub(exponent);
        let zeros = usize::try_from(-scale.min(0)).map_err(|_| overflow())?;
        let scale = u16::try_from(scale.max(0)).ok().filter(|s| *s <= MAX_SCALE);
        let scale = scale.ok_or_else(overflow)?;
        let mut digits = String::with_capacity(trimmed.len());
        digits.push_str(whole);
        digits.push_str(fraction);
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::new(0, scale));
        }
        if (significant.len() + zeros) as u64 > MAX_WHOLE + u64::from(scale) {
            return Err(overflow());
        }
        let mut digits = significant.to_owned();
        digits.extend(std::iter::repeat_n('0', zeros));
        let value = match digits.parse::<i128>() {
            Ok(small) => Self::new(small, scale),
            Err(_) => {
                let big =
                    BigInt::parse_bytes(digits.as_bytes(), 10).ok_or_else(|| invalid(text))?;
                Self::of_big(big, scale)
            }
        };
        Ok(if trimmed.starts_with('-') { value.negate() } else { value })
    }

    /// The digits of the magnitude, at least one before the point: `("12", "50")`.
    pub fn digits_around_point(&self) -> (String, String) {
        let scale = usize::from(self.scale);
        let mut digits = match self.small() {
            Some(small) => small.unsigned_abs().to_string(),
            None => self.big().magnitude().to_str_radix(10),
        };
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        let fraction = digits.split_off(digits.len() - scale);
        (digits, fraction)
    }
}

impl fmt::Display for Number {
    /// As PostgreSQL: all digits of the scale, never an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.signum() < 0 {
            f.write_str("-")?;
        }
        let (whole, fraction) = self.digits_around_point();
        f.write_str(&whole)?;
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        Ok(())
    }
}
