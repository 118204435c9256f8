//! Numbers in Arrow arrays: in `storage::free_numeric`'s bytes, as decimals of one scale, as integers.

use arrow::array::{Array, AsArray, LargeBinaryArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type};
use num_bigint::BigUint;
use storage::free_numeric::{Encoded, GROUP_DIGITS, write, write_short};

use super::{Number, ten};
use crate::Error;

impl Number {
    /// Adds the number's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let negative = self.signum() < 0;
        if let Some(small) = self.small()
            && write_short(out, negative, small.unsigned_abs(), self.scale).is_some()
        {
            return;
        }
        let digits = self.digits();
        let group = u64::from(GROUP_DIGITS);
        let pad = u32::try_from(digits.next_multiple_of(group) - digits).unwrap_or(0);
        let mut rest = self.big().magnitude() * ten(pad).magnitude();
        let base = BigUint::from(10_u8).pow(GROUP_DIGITS);
        let mut groups = Vec::new();
        while rest.bits() > 0 {
            groups.push(u128::try_from(&rest % &base).unwrap_or(0));
            rest /= &base;
        }
        groups.reverse();
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let exponent = i32::try_from(digits).unwrap_or(i32::MAX) - i32::from(self.scale);
        write(out, negative, exponent, &groups, self.scale);
    }

    /// The number's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(storage::free_numeric::SHORT);
        self.write(&mut out);
        out
    }

    /// The number of these bytes.
    ///
    /// # Errors
    /// XX000 for bytes that are no number.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let broken = || Error::internal("bytes that are no numeric");
        let encoded = Encoded::read(bytes).ok_or_else(broken)?;
        if let Some(magnitude) = encoded.short() {
            let magnitude = i128::try_from(magnitude).map_err(|_| broken())?;
            let coefficient = if encoded.negative { -magnitude } else { magnitude };
            return Ok(Self::new(coefficient, encoded.scale));
        }
        let base = BigUint::from(10_u8).pow(GROUP_DIGITS);
        let mut magnitude = BigUint::default();
        let mut digits = 0_i64;
        for group in encoded.groups() {
            magnitude = magnitude * &base + group;
            digits += i64::from(GROUP_DIGITS);
        }
        // The digits stand after the point, `exponent` places to its right.
        let shift = i64::from(encoded.exponent) + i64::from(encoded.scale) - digits;
        let power = ten(u32::try_from(shift.unsigned_abs()).map_err(|_| broken())?);
        let magnitude =
            if shift < 0 { magnitude / power.magnitude() } else { magnitude * power.magnitude() };
        let sign = if encoded.negative { num_bigint::Sign::Minus } else { num_bigint::Sign::Plus };
        Ok(Self::of_big(num_bigint::BigInt::from_biguint(sign, magnitude), encoded.scale))
    }
}

/// An array whose values are numbers.
pub enum Numbers<'a> {
    /// Each with its own scale.
    Free(&'a LargeBinaryArray),
    /// All of one scale.
    Fixed(&'a PrimitiveArray<Decimal128Type>, u16),
    /// `smallint`
    Int2(&'a PrimitiveArray<Int16Type>),
    /// `integer`
    Int4(&'a PrimitiveArray<Int32Type>),
    /// `bigint`
    Int8(&'a PrimitiveArray<Int64Type>),
}

impl<'a> Numbers<'a> {
    /// Looks at an array.
    ///
    /// # Errors
    /// XX000 for an array of anything else.
    pub fn of(array: &'a dyn Array) -> Result<Self, Error> {
        Ok(match array.data_type() {
            DataType::LargeBinary => Self::Free(array.as_binary()),
            DataType::Decimal128(_, scale) => {
                let scale = u16::try_from(*scale)
                    .map_err(|_| Error::internal("a decimal of negative scale"))?;
                Self::Fixed(array.as_primitive(), scale)
            }
            DataType::Int16 => Self::Int2(array.as_primitive()),
            DataType::Int32 => Self::Int4(array.as_primitive()),
            DataType::Int64 => Self::Int8(array.as_primitive()),
            other => return Err(Error::internal(format!("{other} is no numeric"))),
        })
    }

    /// The number at a row that is not NULL.
    ///
    /// # Errors
    /// XX000 for bytes that are no number.
    pub fn at(&self, row: usize) -> Result<Number, Error> {
        Ok(match self {
            Self::Free(array) => return Number::read(array.value(row)),
            Self::Fixed(array, scale) => Number::new(array.value(row), *scale),
            Self::Int2(array) => Number::new(array.value(row).into(), 0),
            Self::Int4(array) => Number::new(array.value(row).into(), 0),
            Self::Int8(array) => Number::new(array.value(row).into(), 0),
        })
    }

    /// The number at a row, or `None` for NULL.
    ///
    /// # Errors
    /// XX000 for bytes that are no number.
    pub fn get(&self, row: usize) -> Result<Option<Number>, Error> {
        let null = match self {
            Self::Free(array) => array.is_null(row),
            Self::Fixed(array, _) => array.is_null(row),
            Self::Int2(array) => array.is_null(row),
            Self::Int4(array) => array.is_null(row),
            Self::Int8(array) => array.is_null(row),
        };
        if null { Ok(None) } else { self.at(row).map(Some) }
    }
}
