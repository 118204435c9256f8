//! Exact decimal numbers of up to 38 digits, each with its own scale.

use borsh::{BorshDeserialize, BorshSerialize};

/// `coefficient / 10^scale`. At most 38 digits; scale 0..=38. Equality is of the number, not of its
/// scale: 1.0 equals 1.00 (so `PartialEq`, `Ord` and `Hash` are written by hand).
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub struct Decimal {
    /// The digits, signed; its magnitude is below 10^38.
    pub coefficient: i128,
    /// Digits after the point, 0..=38.
    pub scale: u8,
}

impl Decimal {
    /// The same number without trailing zeros after the point.
    pub fn normalized(mut self) -> Self {
        while self.scale > 0 && self.coefficient % 10 == 0 {
            self.coefficient /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.coefficient, a.scale) == (b.coefficient, b.scale)
    }
}

impl Eq for Decimal {}
