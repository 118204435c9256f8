//! The bytes of a segment file: its header, and the records that hold one block each. Pure: no I/O, and no
//! idea of what a block's bytes mean.
//!
//! All numbers are little-endian. A segment is a header area of 1024 bytes, then records one behind the
//! other, each starting at a multiple of 8, then zeros up to the file's end.
//!
//! Segment header, once at byte 0 and again at byte 512, so that one damaged sector costs nothing:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `STELEBLK` |
//! | 8 | 2 | format version: 1 |
//! | 10 | 2 | zero |
//! | 12 | 4 | the segment's number: 0, 1, … |
//! | 16 | 8 | height of its first block |
//! | 24 | 8 | salt: random, mixed into every checksum below |
//! | 32 | 476 | zero |
//! | 508 | 4 | CRC-32 of bytes 0..508 |
//!
//! Record:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SREC` |
//! | 4 | 4 | length *n* of the block |
//! | 8 | 8 | height of the block |
//! | 16 | 8 | how many heights (from 0) were on stable storage when this record was written |
//! | 24 | 4 | CRC-32 of salt and block |
//! | 28 | 4 | CRC-32 of salt and bytes 0..28 |
//! | 32 | *n* | the block |
//! | 32+*n* | 0..7 | zeros up to a multiple of 8 |
//!
//! The salt is there so that no client can store a value that looks like a record of this file.

use ledger::Height;

/// Where records begin.
pub(crate) const SEGMENT_HEADER: u64 = 1024;
/// The second copy of the segment header.
pub(crate) const SEGMENT_COPY: usize = 512;
/// Bytes in front of each block.
pub(crate) const RECORD_HEADER: usize = 32;
/// The version of these tables.
pub(crate) const VERSION: u16 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"STELEBLK";
/// The first bytes of a record.
pub(crate) const RECORD_MAGIC: &[u8; 4] = b"SREC";

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u32,
    pub(crate) first: Height,
    pub(crate) salt: u64,
}

/// Why a header can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Damaged,
    Version(u16),
}

impl SegmentHeader {
    /// The whole header area, both copies.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(SEGMENT_COPY);
        copy.extend_from_slice(SEGMENT_MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&[0; 2]);
        copy.extend_from_slice(&self.number.to_le_bytes());
        copy.extend_from_slice(&self.first.0.to_le_bytes());
        copy.extend_from_slice(&self.salt.to_le_bytes());
        copy.resize(SEGMENT_COPY - 4, 0);
        let crc = crc32fast::hash(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        let mut area = copy.clone();
        area.extend_from_slice(&copy);
        area
    }

    /// Reads one copy.
    pub(crate) fn decode(copy: &[u8]) -> Result<Self, Unreadable> {
        let body = copy.get(..SEGMENT_COPY - 4).ok_or(Unreadable::Damaged)?;
        let crc = number::<4>(copy, SEGMENT_COPY - 4).map(u32::from_le_bytes);
        if crc != Some(crc32fast::hash(body)) || body.get(..8) != Some(SEGMENT_MAGIC.as_slice()) {
            return Err(Unreadable::Damaged);
        }
        let version = number(body, 8).map_or(0, u16::from_le_bytes);
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        Ok(Self {
            number: number(body, 12).map(u32::from_le_bytes).ok_or(Unreadable::Damaged)?,
            first: Height(number(body, 16).map(u64::from_le_bytes).ok_or(Unreadable::Damaged)?),
            salt: number(body, 24).map(u64::from_le_bytes).ok_or(Unreadable::Damaged)?,
        })
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the block.
    pub(crate) length: u32,
    /// The block's height.
    pub(crate) height: Height,
    /// Heights below this were on stable storage when the record was written.
    pub(crate) durable: u64,
    /// CRC-32 of salt and block.
    pub(crate) crc: u32,
}

impl RecordHeader {
    /// Reads a header; `None` when it is not one, or is damaged.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        let own = u32::from_le_bytes(number(bytes, 28)?);
        if bytes.get(..4)? != RECORD_MAGIC || checksum(salt, bytes.get(..28)?) != own {
            return None;
        }
        Some(Self {
            length: u32::from_le_bytes(number(bytes, 4)?),
            height: Height(u64::from_le_bytes(number(bytes, 8)?)),
            durable: u64::from_le_bytes(number(bytes, 16)?),
            crc: u32::from_le_bytes(number(bytes, 24)?),
        })
    }

    /// Bytes of the whole record, with its zeros.
    pub(crate) fn record_length(self) -> u64 {
        padded(u64::from(self.length) + RECORD_HEADER as u64)
    }
}

impl RecordHeader {
    /// The header of a block's record; `None` when the block is 4 GiB or more.
    pub(crate) fn of(salt: u64, height: Height, durable: u64, block: &[u8]) -> Option<Self> {
        let length = u32::try_from(block.len()).ok()?;
        Some(Self { length, height, durable, crc: checksum(salt, block) })
    }

    /// Its bytes.
    pub(crate) fn encode(self, salt: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_HEADER);
        out.extend_from_slice(RECORD_MAGIC);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.height.0.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        let own = checksum(salt, &out);
        out.extend_from_slice(&own.to_le_bytes());
        out
    }
}

/// Appends a record to `out`, which must be 8-aligned in the file. `None` when the block is 4 GiB or more.
#[cfg(test)]
pub(crate) fn append_record(
    out: &mut Vec<u8>,
    salt: u64,
    height: Height,
    durable: u64,
    block: &[u8],
) -> Option<u32> {
    let header = RecordHeader::of(salt, height, durable, block)?;
    out.extend_from_slice(&header.encode(salt));
    out.extend_from_slice(block);
    out.resize(out.len().next_multiple_of(8), 0);
    Some(header.length)
}

/// CRC-32 of salt and bytes.
pub(crate) fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Rounds up to where the next record may start.
pub(crate) fn padded(length: u64) -> u64 {
    length.next_multiple_of(8)
}

/// The `N` bytes at `at`.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The name of a segment's file.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:08}.blocks")
}

/// The number in a segment file's name; `None` for other files.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".blocks")?;
    (digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
