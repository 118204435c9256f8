//! The bytes of a sealed file, piece by piece, each held against its checksum before anyone sees it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use super::Segment;

/// Bytes of a piece.
const PIECE: usize = 32 << 10;

/// The checksums of a file's pieces.
pub(super) fn sums(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(PIECE).map(crc32fast::hash).collect()
}

/// A file as Parquet's reader wants it.
pub(super) struct Input {
    segment: Arc<Segment>,
    /// Stretches that were read at once, by their first byte: a reader asks for each page by itself, and a piece
    /// holds many.
    ahead: Arc<[(u64, Bytes)]>,
}

impl Input {
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, ahead: Arc::default() }
    }

    /// A file of which these stretches will be read whole: their first bytes and lengths.
    pub(super) fn ahead(
        segment: Arc<Segment>,
        stretches: impl Iterator<Item = (u64, u64)>,
    ) -> Result<Self> {
        let input = Self::new(segment);
        let read = stretches.map(|(start, length)| {
            let length =
                usize::try_from(length).map_err(|error| ParquetError::External(error.into()))?;
            Ok((start, input.get_bytes(start, length)?))
        });
        let ahead = read.collect::<Result<_>>()?;
        Ok(Self { segment: input.segment, ahead })
    }

    /// These bytes, if they were read already.
    fn held(&self, start: u64, length: usize) -> Option<Bytes> {
        self.ahead.iter().find_map(|(first, bytes)| {
            let from = usize::try_from(start.checked_sub(*first)?).ok()?;
            let to = from.checked_add(length).filter(|to| *to <= bytes.len())?;
            Some(bytes.slice(from..to))
        })
    }

    /// The pieces that hold these bytes, and what lies before them in the first.
    fn pieces(&self, start: u64, length: usize) -> io::Result<(Vec<u8>, usize)> {
        let broken = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail.to_owned());
        let file = self.segment.file.as_ref().ok_or_else(|| broken("it isn't there"))?;
        let end = start.saturating_add(length as u64);
        if end > self.segment.bytes {
            return Err(broken("it ends too early"));
        }
        let first = start / PIECE as u64 * PIECE as u64;
        let last = end.next_multiple_of(PIECE as u64).min(self.segment.bytes);
        let size = usize::try_from(last - first).map_err(|_| broken("it is too long"))?;
        let mut bytes = vec![0; size];
        if file.read_at(&mut bytes, first)? != size {
            return Err(broken("it ends too early"));
        }
        let skip = usize::try_from(first / PIECE as u64).map_err(|_| broken("it is too long"))?;
        let mut sums = self.segment.sums.iter().skip(skip);
        for piece in bytes.chunks(PIECE) {
            if sums.next() != Some(&crc32fast::hash(piece)) {
                return Err(broken("a checksum doesn't match"));
            }
        }
        let before = usize::try_from(start - first).map_err(|_| broken("it is too long"))?;
        Ok((bytes, before))
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.segment.bytes
    }
}

impl ChunkReader for Input {
    type T = Stream;

    fn get_read(&self, start: u64) -> Result<Stream> {
        let input = Self { segment: Arc::clone(&self.segment), ahead: Arc::clone(&self.ahead) };
        Ok(Stream { input, at: start, piece: Vec::new(), used: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Some(held) = self.held(start, length) {
            return Ok(held);
        }
        let (bytes, before) =
            self.pieces(start, length).map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(Bytes::from(bytes).slice(before..before + length))
    }
}

/// Bytes from one place on.
pub(super) struct Stream {
    input: Input,
    at: u64,
    piece: Vec<u8>,
    used: usize,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.piece.len() {
            let left = self.input.segment.bytes.saturating_sub(self.at);
            let rest = PIECE - usize::try_from(self.at % PIECE as u64).unwrap_or(0);
            let length = rest.min(usize::try_from(left).unwrap_or(rest));
            if length == 0 {
                return Ok(0);
            }
            (self.piece, self.used) = self.input.pieces(self.at, length)?;
            self.at += length as u64;
        }
        let rest = self.piece.get(self.used..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (to, from) = (buffer.get_mut(..count), rest.get(..count));
        if let (Some(to), Some(from)) = (to, from) {
            to.copy_from_slice(from);
        }
        self.used += count;
        Ok(count)
    }
}
