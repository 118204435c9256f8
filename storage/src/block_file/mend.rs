//! Putting damaged blocks right, in their place, with the same blocks of another node: what is known of them here says
//! whether they are the same. It asks nobody, and cuts nothing.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ledger::{Block, Hash, Height};

use super::{
    BlockFile, Done, Shared,
    record::{self, RECORD_HEADER, RecordHeader, SEGMENT_HEADER},
    writer::Command,
};
use crate::{
    Damage, Fault,
    recovery::{self, Segment},
};

/// Bytes that put a part of a segment right.
pub(super) struct Patch {
    pub(super) segment: Segment,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

fn wrong(detail: &str) -> Fault {
    Fault::Internal(format!("a damaged block is not put right: {detail}"))
}

impl BlockFile {
    /// The heights that are damaged, as opening and reads have shown: runs from one height to another, inclusive.
    pub fn damaged(&self) -> Vec<(Height, Height)> {
        let inner = self.shared.inner.read();
        let mut heights: Vec<u64> =
            inner.damage.keys().chain(inner.found.keys()).copied().collect();
        drop(inner);
        heights.sort_unstable();
        heights.dedup();
        let mut runs: Vec<(Height, Height)> = Vec::new();
        for height in heights.into_iter().map(Height) {
            match runs.last_mut() {
                Some((_, last)) if last.0 + 1 == height.0 => *last = height,
                _ => runs.push((height, height)),
            }
        }
        runs
    }

    /// The damage that opening and reads have found and that is there still, by height.
    pub fn all_damage(&self) -> Vec<Damage> {
        let inner = self.shared.inner.read();
        inner.damage.values().chain(inner.found.values()).cloned().collect()
    }

    /// Notes damage that was found in a block.
    pub(super) fn note_damage(&self, damage: &Damage) {
        if let Some(height) = damage.height {
            let mut inner = self.shared.inner.write();
            if !inner.damage.contains_key(&height.0) {
                inner.found.entry(height.0).or_insert_with(|| damage.clone());
            }
        }
    }

    /// Puts a whole run of [`Self::damaged`] blocks right with those that another node gave; they are safe when `done`
    /// is called. Nobody is believed: the block behind the run must name the last of them as its parent, each names the
    /// one before, and the first the block in front of the run; what is left of each must be theirs, and at the chain's
    /// end, where no block is behind them, it must be enough to know them by. They must fill the place of the damaged ones exactly. Damage that opening found
    /// is gone when the file is opened again.
    ///
    /// # Errors
    /// Blocks that aren't the ones; a file that has stopped or is closed. `done` is dropped then.
    pub fn mend(&self, blocks: Vec<Arc<Block>>, done: Done) -> Result<(), Fault> {
        self.check(&blocks)?;
        self.send(self.commands.lock().as_ref(), Command::Mend { blocks, done })
    }

    fn check(&self, blocks: &[Arc<Block>]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Err(wrong("there are no blocks"));
        };
        let (from, to) = (first.header.height, last.header.height);
        if !self.damaged().contains(&(from, to)) {
            return Err(wrong("others are"));
        }
        let mut parent = match from.0.checked_sub(1).map(Height) {
            None => Some(Hash::default()),
            Some(before) => self.front(before)?.map(|block| block.header.hash()),
        };
        for (height, block) in (from.0..).zip(blocks) {
            block.verify_body().map_err(|error| wrong(&error.to_string()))?;
            let follows = parent.is_none_or(|parent| parent == block.header.parent);
            if !follows || block.header.height.0 != height {
                return Err(wrong(&format!("block {height} does not follow the one before")));
            }
            parent = Some(block.header.hash());
        }
        let due = match self.front(Height(to.0 + 1))? {
            Some(next) => Some(next.header.parent),
            None => self.tip().filter(|tip| tip.height == to).map(|tip| tip.hash),
        };
        match due {
            Some(due) if Some(due) != parent => Err(wrong("its successor knows another block")),
            due => self.shared.check_remains(blocks, due.is_some()),
        }
    }
}

impl Shared {
    /// What puts these blocks of consecutive heights in their places.
    pub(super) fn patches(&self, blocks: &[Arc<Block>]) -> Result<Vec<Patch>, Fault> {
        let inner = self.inner.read();
        let first = blocks.first().map_or(0, |block| block.header.height.0);
        let index = first.checked_sub(inner.first).and_then(|it| usize::try_from(it).ok());
        let index = index.ok_or_else(|| wrong("they are not in this file"))?;
        let mut patches: Vec<Patch> = Vec::new();
        let mut rest = blocks.iter().zip(index..).peekable();
        while let Some((block, at)) = rest.next() {
            let own = inner.positions.get(at).copied();
            let own = own.ok_or_else(|| wrong("they are not in this file any more"))?;
            let missing = || wrong("their file is missing");
            let segment = inner.segments.get(own.segment as usize).cloned().ok_or_else(missing)?;
            let before = at.checked_sub(1).and_then(|before| inner.positions.get(before));
            let before = before.filter(|before| before.segment == own.segment);
            let begins = match (own.length, patches.last(), before) {
                (1.., ..) => own.offset(),
                (0, Some(patch), _) if patch.segment.name == segment.name => {
                    patch.offset + patch.bytes.len() as u64
                }
                (0, _, Some(before)) => {
                    before.offset()
                        + record::padded(u64::from(before.length) + RECORD_HEADER as u64)
                }
                (0, _, None) => SEGMENT_HEADER,
            };
            let bytes = record_of(&segment, block, first)?;
            let ends = begins + bytes.len() as u64;
            let next = inner.positions.get(at + 1).filter(|it| it.segment == own.segment);
            let is_last = rest.peek().is_none();
            let due = next.filter(|it| it.length > 0).map(|it| it.offset());
            let fits = match due {
                Some(due) => due == ends,
                None => !is_last && next.is_some() || is_end(&segment, ends)?,
            };
            if !fits {
                return Err(wrong("they are not as long"));
            }
            patches.push(Patch { segment, offset: begins, bytes });
        }
        drop(inner);
        for patch in &patches {
            if patch.read()? != patch.bytes {
                return Ok(patches);
            }
        }
        Err(wrong("the same bytes are here"))
    }

    /// Holds blocks against what is left of them here: a record whose header is whole says what the block's checksum was,
    /// which is of more than what a block's hash is of. Where nothing else is known of a block, its bytes must be here.
    fn check_remains(&self, blocks: &[Arc<Block>], known: bool) -> Result<(), Fault> {
        for patch in self.patches(blocks)? {
            let salt = patch.segment.header.salt;
            let remains = patch.read()?;
            let (header, body) = remains.split_at(RECORD_HEADER.min(remains.len()));
            let (made, whole) = patch.bytes.split_at(RECORD_HEADER.min(patch.bytes.len()));
            let made = RecordHeader::decode(made, salt);
            let same = match (RecordHeader::decode(header, salt), made) {
                (Some(own), Some(made)) if own.height == made.height => {
                    let length = usize::try_from(own.length).unwrap_or(usize::MAX);
                    let forged = body
                        .get(..length)
                        .is_some_and(|body| record::checksum(salt, body) == own.crc);
                    forged && known || (own.length, own.crc) == (made.length, made.crc)
                }
                _ => known || body == whole,
            };
            if !same {
                return Err(wrong("they are not what is left of those that were here"));
            }
        }
        Ok(())
    }

    /// Blocks from one height to another are as they were.
    pub(super) fn mended(&self, blocks: &[Arc<Block>]) {
        let mut inner = self.inner.write();
        for block in blocks {
            inner.found.remove(&block.header.height.0);
        }
    }
}

impl Patch {
    /// The bytes that are in its place now.
    fn read(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; self.bytes.len()];
        let fault = |error| Fault::io(format!("read {}", self.segment.name), error);
        let read = self.segment.file.read_at(&mut bytes, self.offset).map_err(fault)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// A block's record; all blocks below `durable` are on stable storage.
fn record_of(segment: &Segment, block: &Block, durable: u64) -> Result<Vec<u8>, Fault> {
    let (salt, body) = (segment.header.salt, block.encode());
    let header = RecordHeader::of(salt, block.header.height, durable, &body);
    let mut bytes = header.ok_or_else(|| wrong("it is too long"))?.encode(salt);
    bytes.extend_from_slice(&body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    Ok(bytes)
}

/// Whether a segment has nothing but zeros from a byte on.
fn is_end(segment: &Segment, at: u64) -> Result<bool, Fault> {
    let fault = |error| Fault::io(format!("read {}", segment.name), error);
    let length = segment.file.len().map_err(fault)?;
    let rest = || recovery::first_nonzero(&*segment.file, at, length).map_err(fault);
    Ok(at <= length && rest()?.is_none())
}
