//! Bytes of blocks and their parts: borsh with bounds. Decoding believes nothing: hostile bytes give a
//! [`DecodeError`], never a panic, a deep recursion or a great allocation.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::{Block, Header, Type, Value};

/// The format version that this code writes.
pub const VERSION: u8 = 1;

/// BLAKE3 with Ed25519.
pub const SUITE: u8 = 1;

/// How deep expressions may be nested in a definition.
pub const MAX_DEPTH: u32 = 128;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Cut short, too long, or not canonical.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// A format version or algorithm suite that this program doesn't know.
    #[error("format version {version} with suite {suite} is not known")]
    Version {
        /// The header's first byte.
        version: u8,
        /// The header's second byte.
        suite: u8,
    },
}

impl DecodeError {
    /// Malformed, with what is wrong.
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The canonical bytes of anything that has them.
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    // A Vec takes any number of bytes; borsh only fails past 2^32 items, which no bound of ours allows.
    let written = value.serialize(&mut bytes);
    debug_assert!(written.is_ok(), "{written:?}");
    bytes
}

/// The value of canonical bytes; all bytes must be used.
///
/// # Errors
/// [`DecodeError::Malformed`]
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, DecodeError> {
    Ok(borsh::from_slice(bytes)?)
}

impl Header {
    /// Its canonical bytes: what its hash is of.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The header at the front of a block's (or its own) bytes, and what follows it.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode_front(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        if let [version, suite, ..] = *bytes
            && (version, suite) != (VERSION, SUITE)
        {
            return Err(DecodeError::Version { version, suite });
        }
        let mut rest = bytes;
        let header = Self::deserialize(&mut rest)?;
        Ok((header, rest))
    }
}

/// Takes just these bytes.
struct Same<'a>(&'a [u8]);

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Block {
    /// Its bytes, as they are stored and sent.
    pub fn encode(&self) -> Vec<u8> {
        let transactions = self.transactions.iter().map(crate::Transaction::size).sum::<u64>();
        let rest = self.stamp.len() + self.membership.len() + 512;
        // A large block is written once, and never moved while it grows.
        let length = usize::try_from(transactions).unwrap_or(0).saturating_add(rest);
        let mut bytes = Vec::with_capacity(length);
        let written = self.serialize(&mut bytes);
        debug_assert!(written.is_ok(), "{written:?}");
        bytes
    }

    /// Whether these are its bytes. Makes no copy of them.
    pub fn is_encoded_as(&self, bytes: &[u8]) -> bool {
        let mut same = Same(bytes);
        self.serialize(&mut same).is_ok() && same.0.is_empty()
    }

    /// The block at the front of these bytes without its transactions, and the bytes of those.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode_front(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (header, mut rest) = Header::decode_front(bytes)?;
        let block = Self {
            header,
            stamp: BorshDeserialize::deserialize(&mut rest)?,
            membership: BorshDeserialize::deserialize(&mut rest)?,
            transactions: Vec::new(),
        };
        Ok((block, rest))
    }

    /// The block of these bytes, all of which must be used. Its hashes are not checked: see
    /// [`Block::verify_body`].
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (front, mut rest) = Self::decode_front(bytes)?;
        let transactions = BorshDeserialize::deserialize(&mut rest)?;
        let block = Self { transactions, ..front };
        if !rest.is_empty() {
            return Err(DecodeError::malformed("bytes after the block"));
        }
        Ok(block)
    }
}

thread_local! {
    /// How deep the definition being decoded is nested.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Leaves one level when it goes, whichever way decoding ended.
struct Level;

impl Level {
    fn enter() -> io::Result<Self> {
        let depth = DEPTH.get();
        if depth >= MAX_DEPTH {
            return Err(io::Error::other("nested too deep"));
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Decodes a part of an expression, one level deeper.
pub(crate) fn nested<T: BorshDeserialize, R: io::Read>(reader: &mut R) -> io::Result<T> {
    let _level = Level::enter()?;
    T::deserialize_reader(reader)
}

/// Decodes an array's element type, which is no array.
pub(crate) fn element_type<R: io::Read>(reader: &mut R) -> io::Result<Box<Type>> {
    let element: Type = nested(reader)?;
    if matches!(element, Type::Array(_)) {
        return Err(io::Error::other("an array of arrays"));
    }
    Ok(Box::new(element))
}

/// Decodes an array's elements, none of which is an array.
pub(crate) fn elements<R: io::Read>(reader: &mut R) -> io::Result<Vec<Value>> {
    let elements: Vec<Value> = nested(reader)?;
    if elements.iter().any(|element| matches!(element, Value::Array(_))) {
        return Err(io::Error::other("an array of arrays"));
    }
    Ok(elements)
}

/// Writes a float by its bits (borsh itself refuses NaN).
pub(crate) fn write_f32<W: io::Write>(value: &f32, writer: &mut W) -> io::Result<()> {
    value.to_bits().serialize(writer)
}

/// Reads a float by its bits.
pub(crate) fn read_f32<R: io::Read>(reader: &mut R) -> io::Result<f32> {
    Ok(f32::from_bits(u32::deserialize_reader(reader)?))
}

/// Writes a double by its bits (borsh itself refuses NaN).
pub(crate) fn write_f64<W: io::Write>(value: &f64, writer: &mut W) -> io::Result<()> {
    value.to_bits().serialize(writer)
}

/// Reads a double by its bits.
pub(crate) fn read_f64<R: io::Read>(reader: &mut R) -> io::Result<f64> {
    Ok(f64::from_bits(u64::deserialize_reader(reader)?))
}
