//! Numerics that have a scale of their own each, as bytes: what the Arrow arrays of `numeric` without a
//! modifier hold (`LargeBinary`, which nothing else of ours is).
//!
//! The bytes' order is the numbers' order. Equal numbers of different scales differ only in the last two
//! bytes, so whoever asks for equality (a join, a group) makes the scale minimal first. It knows no arithmetic.
//!
//! ```text
//! head    3 bytes  0x800000 for zero, else 0x820000 + exponent; all bits flipped for a negative number
//! digits  16 bytes for each 38 digits, the first left-aligned: twice the digits' number, plus 1 if more
//!                  follow; all bits flipped for a negative number. None for zero.
//! scale   2 bytes  digits after the point that are shown
//! ```
//! The number is `0.digits * 10^exponent`.

use ledger::{Decimal, decimal::MAX_DIGITS};

/// Decimal digits in a group.
pub const GROUP_DIGITS: u32 = 38;

/// The first magnitude that a group doesn't hold.
const GROUP_LIMIT: u128 = 10_u128.pow(GROUP_DIGITS);

const ZERO: u32 = 0x0080_0000;
/// The head of a number with exponent 0.
const POINT: u32 = 0x0082_0000 + 0x4000;
/// Exponents reach from the smallest number PostgreSQL has (16,383 digits after the point) to the greatest.
const EXPONENTS: std::ops::RangeInclusive<i32> = -0x4000..=0x2_8000;

/// Bytes of a number of one group.
pub const SHORT: usize = 3 + 16 + 2;

/// 10^n, or `None` from 10^38 on.
fn power(n: u32) -> Option<u128> {
    (n < GROUP_DIGITS).then(|| 10_u128.pow(n))
}

/// Writes `magnitude / 10^scale`; `None`, and nothing written, when it has more than 38 digits.
#[must_use]
pub fn write_short(out: &mut Vec<u8>, negative: bool, magnitude: u128, scale: u16) -> Option<()> {
    let Some(log) = magnitude.checked_ilog10() else {
        write(out, false, 0, &[], scale);
        return Some(());
    };
    if magnitude >= GROUP_LIMIT {
        return None;
    }
    let aligned = magnitude * power(GROUP_DIGITS - 1 - log)?;
    let exponent = i32::try_from(log + 1).ok()? - i32::from(scale);
    write(out, negative, exponent, &[aligned], scale);
    Some(())
}

/// Writes `0.groups * 10^exponent`. Each group is below 10^38, the first at least 10^37, the last not 0;
/// no groups are zero.
pub fn write(out: &mut Vec<u8>, negative: bool, exponent: i32, groups: &[u128], scale: u16) {
    let flip: u8 = if negative { 0xff } else { 0 };
    let head = if groups.is_empty() {
        ZERO
    } else {
        POINT.saturating_add_signed(exponent.clamp(*EXPONENTS.start(), *EXPONENTS.end()))
    };
    let [_, head @ ..] = head.to_be_bytes();
    let flip = if groups.is_empty() { 0 } else { flip };
    out.extend(head.map(|byte| byte ^ flip));
    for (index, group) in groups.iter().enumerate() {
        let more = u128::from(index + 1 < groups.len());
        out.extend((group << 1 | more).to_be_bytes().map(|byte| byte ^ flip));
    }
    out.extend(scale.to_be_bytes());
}

/// A number's bytes, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// Below zero.
    pub negative: bool,
    /// The power of ten that `0.digits` is multiplied by.
    pub exponent: i32,
    /// Digits after the point that are shown.
    pub scale: u16,
    digits: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Takes bytes apart; `None` for bytes that are no number.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<3>()?;
        let (digits, scale) = rest.split_last_chunk::<2>()?;
        if digits.len() % 16 != 0 {
            return None;
        }
        let negative = head.first()? & 0x80 == 0;
        let [a, b, c] = if negative { head.map(|byte| !byte) } else { *head };
        let head = u32::from_be_bytes([0, a, b, c]);
        if (head == ZERO) != digits.is_empty() {
            return None;
        }
        let exponent = if digits.is_empty() {
            0
        } else {
            i32::try_from(head).ok()?.checked_sub_unsigned(POINT)?
        };
        Some(Self { negative, exponent, scale: u16::from_be_bytes(*scale), digits })
    }

    /// The groups of 38 digits, the first left-aligned.
    pub fn groups(&self) -> impl Iterator<Item = u128> + 'a {
        let negative = self.negative;
        self.digits.chunks_exact(16).map(move |chunk| {
            let group = u128::from_be_bytes(chunk.try_into().unwrap_or_default());
            (if negative { !group } else { group }) >> 1
        })
    }

    /// The magnitude at the scale, if it has at most 38 digits.
    pub fn short(&self) -> Option<u128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        if self.digits.len() != 16 {
            return None;
        }
        let group = self.groups().next()?;
        let cut = i32::try_from(GROUP_DIGITS).ok()? - self.exponent - i32::from(self.scale);
        Some(group / power(u32::try_from(cut).ok()?)?)
    }
}

/// The bytes of a ledger's number; none for a coefficient of more digits than it may have.
pub fn encode(number: Decimal) -> Vec<u8> {
    let mut out = Vec::with_capacity(SHORT);
    let magnitude = number.coefficient.unsigned_abs();
    if write_short(&mut out, number.coefficient < 0, magnitude, number.scale.into()).is_none() {
        out.clear();
    }
    out
}

/// The ledger's number of these bytes; `None` for more than 38 digits, or bytes that are no number.
pub fn decode(bytes: &[u8]) -> Option<Decimal> {
    let encoded = Encoded::read(bytes)?;
    let magnitude = i128::try_from(encoded.short()?).ok()?;
    let scale = u8::try_from(encoded.scale).ok().filter(|scale| *scale <= MAX_DIGITS)?;
    Decimal::new(if encoded.negative { -magnitude } else { magnitude }, scale).ok()
}

#[cfg(test)]
mod tests;
