//! Unsigned 256-bit numbers: what a product or a shifted dividend needs in between. Only for `Decimal`.

/// `high * 2^128 + low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wide {
    high: u128,
    low: u128,
}

impl From<u128> for Wide {
    fn from(low: u128) -> Self {
        Self { high: 0, low }
    }
}

/// The full product of two 128-bit numbers.
fn product(a: u128, b: u128) -> Wide {
    const MASK: u128 = u64::MAX as u128;
    let (a1, a0) = (a >> 64, a & MASK);
    let (b1, b0) = (b >> 64, b & MASK);
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 64);
    let cross = a0 * b1 + (middle & MASK);
    Wide { high: a1 * b1 + (middle >> 64) + (cross >> 64), low: (cross << 64) | (low & MASK) }
}

impl Wide {
    /// The number, if it has no more than 128 bits.
    pub(super) fn narrow(self) -> Option<u128> {
        (self.high == 0).then_some(self.low)
    }

    /// The sum; `None` past 256 bits.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        let (low, carry) = self.low.overflowing_add(other.low);
        let high = self.high.checked_add(other.high)?.checked_add(u128::from(carry))?;
        Some(Self { high, low })
    }

    /// The difference; the other must not be greater.
    pub(super) fn subtract(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let high = self.high.wrapping_sub(other.high).wrapping_sub(u128::from(borrow));
        Self { high, low }
    }

    /// The product; `None` past 256 bits.
    pub(super) fn multiply(self, factor: u128) -> Option<Self> {
        let low = product(self.low, factor);
        let high = self.high.checked_mul(factor)?.checked_add(low.high)?;
        Some(Self { high, low: low.low })
    }

    /// Times 10^n; `None` past 256 bits.
    pub(super) fn multiply_power(self, n: u32) -> Option<Self> {
        let mut result = self;
        let mut left = n;
        while left > 0 {
            let step = left.min(38);
            result = result.multiply(10u128.pow(step))?;
            left -= step;
        }
        Some(result)
    }

    /// Quotient and remainder, bit by bit; a zero divisor gives zero.
    fn divide(self, divisor: Self) -> (Self, Self) {
        let mut quotient = Self::from(0);
        if divisor == Self::from(0) {
            return (quotient, Self::from(0));
        }
        if let (Some(a), Some(b)) = (self.narrow(), divisor.narrow()) {
            return (Self::from(a / b), Self::from(a % b));
        }
        let mut rest = Self::from(0);
        for bit in (0..256u32).rev() {
            let carried = rest.high >> 127 == 1;
            rest = Self { high: (rest.high << 1) | (rest.low >> 127), low: rest.low << 1 };
            let next = if bit >= 128 { self.high >> (bit - 128) } else { self.low >> bit };
            rest.low |= next & 1;
            if carried || rest >= divisor {
                rest = rest.subtract(divisor);
                if bit >= 128 {
                    quotient.high |= 1 << (bit - 128);
                } else {
                    quotient.low |= 1 << bit;
                }
            }
        }
        (quotient, rest)
    }

    /// What the division leaves.
    pub(super) fn remainder(self, divisor: Self) -> Self {
        self.divide(divisor).1
    }

    /// The quotient, rounded half up (away from zero for a magnitude).
    pub(super) fn divide_rounded(self, divisor: u128) -> Self {
        let divisor = Self::from(divisor);
        let (quotient, rest) = self.divide(divisor);
        if rest != Self::from(0) && rest >= divisor.subtract(rest) {
            return quotient.add(Self::from(1)).unwrap_or(quotient);
        }
        quotient
    }

    /// Divided by 10^n, rounded half up.
    pub(super) fn divide_power_rounded(self, n: u32) -> Self {
        if n == 0 {
            return self;
        }
        // Cut all but the last digit first, then let that digit alone decide: from 5 on it rounds up.
        let mut result = self;
        let mut left = n - 1;
        while left > 0 {
            let step = left.min(38);
            result = result.divide(Self::from(10u128.pow(step))).0;
            left -= step;
        }
        let (quotient, rest) = result.divide(Self::from(10));
        if rest >= Self::from(5) {
            return quotient.add(Self::from(1)).unwrap_or(quotient);
        }
        quotient
    }
}
