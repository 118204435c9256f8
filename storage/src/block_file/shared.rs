//! What the readers of a block file and its writer share: where each block is, the newest ones themselves, and whether
//! anything can be written. It writes nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicU64},
};

use ledger::{Block, Tip};
use parking_lot::RwLock;

use super::{Options, link::Link, record};
use crate::{
    Damage, Fault,
    recovery::{self, Position, Recovered, Segment},
};

/// What readers and the writer share.
pub(crate) struct Shared {
    pub(super) inner: RwLock<Inner>,
    /// Bytes that have their place on disk behind the last record, consensus' own share left out.
    pub(super) room: AtomicU64,
}

pub(super) struct Inner {
    pub(super) segments: Vec<Segment>,
    /// Height of the first position.
    pub(super) first: u64,
    /// Where each block is that has been written and synced.
    pub(super) positions: Vec<Position>,
    /// The newest blocks, in order, also those not yet written.
    pub(super) recent: VecDeque<Arc<Block>>,
    pub(super) recent_bytes: u64,
    /// Blocks from this height on stay in memory, whatever the bounds say: they are about to be applied.
    pub(super) needed: u64,
    /// The newest block, written or not.
    pub(super) link: Option<Link>,
    /// The chain's end before each of the newest blocks, with the block's height: of those that aren't written yet, and
    /// of so many that are. A truncation needs it, and reads none of the blocks that stay.
    pub(super) ends: VecDeque<(u64, Tip)>,
    /// What opening found: with any, nothing is appended.
    pub(super) damage: BTreeMap<u64, Damage>,
    /// What was found since, in blocks that lie behind others.
    pub(super) found: BTreeMap<u64, Damage>,
    pub(super) stopped: Option<Fault>,
    /// Why there is no place on the disk, if so, and how many bytes were asked for.
    pub(super) full: Option<(Fault, u64)>,
    /// Whether something waits for place.
    pub(super) stuck: bool,
}

/// What is left of the files after a truncation.
pub(crate) struct Truncation {
    pub(super) removed: Vec<Segment>,
    pub(super) last: Option<Segment>,
    pub(super) end: u64,
}

/// Where a block is.
pub(super) enum Found {
    Recent(Arc<Block>),
    Written(Segment, Position),
    Damaged(Damage),
    Nothing,
}

impl Inner {
    pub(super) fn find(&self, height: u64) -> Found {
        let Some(next) = self.next_height() else { return Found::Nothing };
        if height >= next || height < self.first {
            return Found::Nothing;
        }
        if let Some(damage) = self.damage.get(&height) {
            return Found::Damaged(damage.clone());
        }
        let oldest = next - self.recent.len() as u64;
        let recent = height.checked_sub(oldest).and_then(|index| usize::try_from(index).ok());
        if let Some(block) = recent.and_then(|index| self.recent.get(index)) {
            return Found::Recent(Arc::clone(block));
        }
        let position = usize::try_from(height - self.first)
            .ok()
            .and_then(|index| self.positions.get(index).copied());
        let segment = position.and_then(|it| self.segments.get(it.segment as usize));
        match (segment, position) {
            (Some(segment), Some(position)) => Found::Written(segment.clone(), position),
            _ => Found::Nothing,
        }
    }
}

impl Shared {
    pub(super) fn new(recovered: Recovered) -> Self {
        Self {
            inner: RwLock::new(Inner {
                segments: recovered.segments,
                first: recovered.first,
                positions: recovered.positions,
                recent: VecDeque::new(),
                recent_bytes: 0,
                needed: u64::MAX,
                link: recovered.link,
                ends: recovered.ends,
                damage: recovered.damage,
                found: BTreeMap::new(),
                stopped: None,
                full: None,
                stuck: false,
            }),
            room: AtomicU64::new(0),
        }
    }

    pub(crate) fn stopped(&self) -> Option<Fault> {
        self.inner.read().stopped.clone()
    }

    /// Notes the first fault, after which nothing is written.
    pub(crate) fn stop(&self, fault: &Fault) {
        let mut inner = self.inner.write();
        if inner.stopped.is_none() {
            tracing::error!(%fault, "this node takes no more writes");
            inner.stopped = Some(match fault {
                // Kept as it is, so that clients hear of the full disk.
                Fault::DiskFull { .. } => fault.clone(),
                _ => Fault::Stopped { reason: fault.to_string() },
            });
        }
    }

    pub(crate) fn full(&self) -> Option<Fault> {
        self.inner.read().full.as_ref().map(|(fault, _)| fault.clone())
    }

    /// Notes that there is no place on the disk for so many bytes, or that there is.
    pub(super) fn set_full(&self, full: Option<(Fault, u64)>) {
        let mut inner = self.inner.write();
        match (&inner.full, &full) {
            (None, Some((fault, _))) => {
                tracing::error!(%fault, "nothing is written until there is room");
            }
            (Some(_), None) => tracing::warn!("the disk has room again"),
            _ => {}
        }
        inner.full = full;
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        self.inner.write().stuck = stuck;
    }

    pub(super) fn writable(&self) -> Result<(), Fault> {
        self.inner.read().writable()
    }

    /// Shows blocks to readers before they are written.
    pub(super) fn accept(&self, blocks: &[Arc<Block>]) -> Result<(), Fault> {
        let mut inner = self.inner.write();
        inner.writable()?;
        let mut link = inner.link.clone();
        let mut ends = Vec::with_capacity(blocks.len());
        for block in blocks {
            if let Some(tip) = link.as_ref().and_then(Link::whole) {
                ends.push((block.header.height.0, tip.clone()));
            }
            let linked = match &mut link {
                Some(link) => link.advance(&block.header).map(drop),
                None => Link::begin(&block.header).map(|begun| link = Some(begun)),
            };
            linked.map_err(|error| Fault::Internal(error.to_string()))?;
        }
        if inner.link.is_none()
            && let Some(block) = blocks.first()
        {
            inner.first = block.header.height.0;
        }
        inner.recent.extend(blocks.iter().cloned());
        inner.ends.extend(ends);
        inner.link = link;
        Ok(())
    }

    /// Notes where blocks were written, and forgets the oldest ones in memory.
    pub(super) fn show(&self, positions: &[Position], options: &Options) {
        let mut inner = self.inner.write();
        inner.positions.extend_from_slice(positions);
        inner.recent_bytes += positions.iter().map(|it| u64::from(it.length)).sum::<u64>();
        let written = inner.first + inner.positions.len() as u64;
        while inner.ends.len() > recovery::ENDS
            && inner.ends.front().is_some_and(|(height, _)| height + 1 < written)
        {
            inner.ends.pop_front();
        }
        inner.forget(options);
    }

    /// Where the blocks from a height on are that are written, and the chain's end before the last one; `None`
    /// if there is nothing to note.
    pub(super) fn unnoted(&self, from: u64) -> Option<(Vec<Position>, Tip)> {
        let inner = self.inner.read();
        let written = inner.positions.len() as u64;
        let before = inner.end_before(written.checked_sub(1)?).filter(|_| inner.first == 0)?;
        let rest = inner.positions.get(usize::try_from(from).ok()?..)?;
        Some((rest.to_vec(), before.clone()))
    }

    pub(super) fn has_no_segment(&self) -> bool {
        self.inner.read().segments.is_empty()
    }

    pub(super) fn last_file(&self) -> Result<Segment, Fault> {
        let last = self.inner.read().segments.last().cloned();
        last.ok_or_else(|| Fault::Internal("no segment is open".to_owned()))
    }

    /// Index and salt of the last segment.
    pub(super) fn last_segment(&self) -> Result<(u32, u64), Fault> {
        let inner = self.inner.read();
        let index = u32::try_from(inner.segments.len()).unwrap_or(u32::MAX).checked_sub(1);
        let salt = inner.segments.last().map(|segment| segment.header.salt);
        index.zip(salt).ok_or_else(|| Fault::Internal("no segment is open".to_owned()))
    }

    pub(super) fn next_segment_number(&self) -> u32 {
        self.inner.read().segments.last().map_or(0, |segment| segment.header.number + 1)
    }

    pub(super) fn push_segment(&self, segment: Segment) {
        self.inner.write().segments.push(segment);
    }

    /// What a truncation to `next` heights removes; `None` when there is nothing to do.
    pub(super) fn truncation(&self, next: u64) -> Option<Truncation> {
        let inner = self.inner.read();
        let written = inner.first + inner.positions.len() as u64;
        if inner.link.is_none() || next >= written {
            return None;
        }
        let position = usize::try_from(next.saturating_sub(inner.first))
            .ok()
            .and_then(|index| inner.positions.get(index).copied())?;
        let index = position.segment as usize;
        // A segment whose first block goes, goes as a whole.
        let whole = position.offset() == record::SEGMENT_HEADER;
        let kept = if whole { index } else { index + 1 };
        let removed = inner.segments.get(kept..).unwrap_or_default().to_vec();
        let last = kept.checked_sub(1).and_then(|last| inner.segments.get(last)).cloned();
        let end = if whole { inner.end_of(kept) } else { position.offset() };
        Some(Truncation { removed, last, end })
    }

    pub(super) fn truncate(&self, next: u64, removed: usize) -> Result<(), Fault> {
        let mut inner = self.inner.write();
        let segments = inner.segments.len() - removed;
        inner.segments.truncate(segments);
        let oldest = inner.next_height().unwrap_or(0) - inner.recent.len() as u64;
        let kept = usize::try_from(next.saturating_sub(inner.first)).unwrap_or(0);
        inner.positions.truncate(kept);
        let left = usize::try_from(next.saturating_sub(oldest)).unwrap_or(0);
        inner.recent.truncate(left);
        let skip = inner.positions.len().saturating_sub(inner.recent.len());
        inner.recent_bytes = inner.positions.iter().skip(skip).map(|it| u64::from(it.length)).sum();
        let known = inner.end_before(next).cloned().map(Link::kept);
        inner.ends.retain(|(height, _)| *height < next);
        if known.is_none() {
            let (segments, positions) = (inner.segments.clone(), inner.positions.clone());
            drop(inner);
            let link = recovery::relink(&segments, &positions)?;
            self.inner.write().link = link;
        } else {
            inner.link = known;
        }
        Ok(())
    }
}

impl Inner {
    /// Forgets the oldest blocks in memory that are written and not needed, down to the bounds.
    pub(super) fn forget(&mut self, options: &Options) {
        let written = self.first + self.positions.len() as u64;
        let next = self.next_height().unwrap_or(0);
        let mut oldest = next - self.recent.len() as u64;
        while oldest < written.min(self.needed)
            && (written - oldest > options.recent as u64
                || self.recent_bytes > options.recent_bytes)
        {
            let index = usize::try_from(oldest - self.first).unwrap_or(usize::MAX);
            let length = self.positions.get(index).map_or(0, |it| u64::from(it.length));
            self.recent_bytes = self.recent_bytes.saturating_sub(length);
            self.recent.pop_front();
            oldest += 1;
        }
    }

    /// The chain's end before a block, if it is known.
    fn end_before(&self, height: u64) -> Option<&Tip> {
        let oldest = self.ends.front()?.0;
        let (found, end) = self.ends.get(usize::try_from(height.checked_sub(oldest)?).ok()?)?;
        (*found == height).then_some(end)
    }

    /// The height that must come next; `None` when any may.
    pub(super) fn next_height(&self) -> Option<u64> {
        match &self.link {
            Some(link) => Some(link.tip().height.0 + 1),
            // Nothing follows an unreadable end.
            None if self.positions.is_empty() => None,
            None => Some(self.first + self.positions.len() as u64),
        }
    }

    pub(super) fn writable(&self) -> Result<(), Fault> {
        if let Some(fault) = &self.stopped {
            return Err(fault.clone());
        }
        match self.damage.values().next() {
            Some(damage) => Err(Fault::Damaged(damage.clone())),
            None => Ok(()),
        }
    }

    /// Where the last record ends in the segment before index `kept`.
    pub(super) fn end_of(&self, kept: usize) -> u64 {
        self.positions.iter().rev().find(|it| (it.segment as usize) < kept).map_or(0, |it| {
            let length = u64::from(it.length) + record::RECORD_HEADER as u64;
            it.offset() + record::padded(length)
        })
    }
}
