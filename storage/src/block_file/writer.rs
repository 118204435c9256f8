//! The one thread that writes blocks: it takes what is queued, writes it as one group, syncs once, and only
//! then tells who waits. The vote goes through the same queue, so that no write overtakes another.
//!
//! A failed write or sync is never retried: the writer stops for good and says why to everyone.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
};

use ledger::{Block, Height};

use super::{
    Done, Options, Shared,
    places::Places,
    record::{self, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader},
    watermark::Watermark,
};
use crate::{
    Disk, Fault,
    recovery::{Position, Segment},
    vote,
};

/// What the writer is asked.
pub(super) enum Command {
    /// Write these blocks behind the last one.
    Append { blocks: Vec<Arc<Block>>, done: Done },
    /// Take the blocks above `keep` away; all of them for `None`.
    Truncate { keep: Option<Height>, done: Done },
    /// Replace the vote.
    Vote { bytes: Vec<u8>, done: Done },
    /// Have place on disk for as many bytes of blocks.
    Reserve { bytes: u64, done: Done },
    /// Make the watermark safe too.
    Settle { done: Done },
}

/// The group that is being gathered.
#[derive(Default)]
struct Group {
    /// Bytes of this group that are written, and not synced.
    spilled: u64,
    /// Bytes that follow them, not written.
    bytes: Vec<u8>,
    positions: Vec<Position>,
    /// Callbacks of the commands whose last block is in this group.
    done: Vec<Done>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    options: Options,
    watermark: Watermark,
    /// Gone after a failure: it is only for speed.
    places: Option<Places>,
    /// Bytes of blocks that aren't noted there.
    unnoted: u64,
    /// The next height to be written.
    next: u64,
    /// Where the next record goes in the last segment, and how far that has its place on disk.
    end: u64,
    allocated: u64,
    group: Group,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (disk, watermark): (Arc<dyn Disk>, Watermark),
        places: Option<Places>,
        options: Options,
        next: u64,
        end: u64,
    ) -> Self {
        let (group, allocated, unnoted) = (Group::default(), 0, 0);
        Self { shared, disk, options, watermark, places, unnoted, next, end, allocated, group }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        self.trim();
        loop {
            let first = if self.watermark.is_unsynced() {
                match commands.recv_timeout(self.options.idle) {
                    Err(RecvTimeoutError::Timeout) => {
                        self.settle();
                        continue;
                    }
                    Ok(command) => command,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match commands.recv() {
                    Ok(command) => command,
                    Err(_) => break,
                }
            };
            self.group(first, commands);
        }
        self.end();
    }

    /// Does what is asked first, with all that is queued behind it, as one group.
    pub(super) fn group(&mut self, first: Command, commands: &Receiver<Command>) {
        let mut batch = VecDeque::from([first]);
        while batch.len() < self.options.group {
            match commands.try_recv() {
                Ok(command) => batch.push_back(command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        for command in batch {
            self.take(command);
        }
        self.flush();
    }

    /// Nothing more is asked.
    pub(super) fn end(&mut self) {
        self.settle();
        self.trim();
    }

    /// Gives back what was reserved and is not needed. Nobody may rely on a reservation now.
    pub(super) fn trim(&mut self) {
        if self.shared.writable().is_err() {
            return;
        }
        let Ok(segment) = self.shared.last_file() else { return };
        let kept = self.end.next_multiple_of(self.options.preallocate.max(8));
        let cut = match segment.file.len() {
            Ok(length) if length > kept => segment.file.set_len(kept),
            other => other.map(drop),
        };
        if let Err(error) = cut {
            tracing::warn!(%error, file = segment.name, "place on disk that isn't needed is kept");
        }
        self.allocated = self.allocated.min(kept);
    }

    pub(super) fn settle(&mut self) {
        if self.shared.stopped().is_none()
            && let Err(fault) = self.watermark.sync()
        {
            self.shared.stop(&fault);
        }
    }

    fn take(&mut self, command: Command) {
        if let Some(fault) = self.shared.stopped() {
            return answer(command, &fault);
        }
        match command {
            Command::Append { blocks, done } => self.append(&blocks, done),
            Command::Truncate { keep, done } => {
                self.flush();
                let result = self.truncate(keep);
                self.finish(result, done);
            }
            Command::Vote { bytes, done } => {
                self.flush();
                let result = vote::save(&*self.disk, &bytes);
                self.finish(result, done);
            }
            Command::Reserve { bytes, done } => {
                self.flush();
                // Nothing was written: a full disk here stops nobody for good.
                done(self.reserve(bytes));
            }
            Command::Settle { done } => {
                self.flush();
                let result = self.watermark.sync();
                self.finish(result, done);
            }
        }
    }

    fn finish(&self, result: Result<(), Fault>, done: Done) {
        let result = match (result, self.shared.stopped()) {
            (Err(fault), _) => {
                self.shared.stop(&fault);
                Err(fault)
            }
            (Ok(()), Some(fault)) => Err(fault),
            (Ok(()), None) => Ok(()),
        };
        done(result);
    }

    fn append(&mut self, blocks: &[Arc<Block>], done: Done) {
        for block in blocks {
            if let Err(fault) = self.add(block) {
                self.group.done.push(done);
                return self.fail(&fault);
            }
        }
        self.group.done.push(done);
        if self.group.spilled + self.group.bytes.len() as u64 >= self.options.group_bytes {
            self.flush();
        }
    }

    /// Puts a block into the group; begins a new segment when this one is full.
    fn add(&mut self, block: &Block) -> Result<(), Fault> {
        let height = block.header.height;
        let body = block.encode();
        let length = record::padded((RECORD_HEADER + body.len()) as u64);
        if self.shared.has_no_segment()
            || (self.begun() + length > self.options.segment && self.begun() > SEGMENT_HEADER)
        {
            self.write_group()?;
            self.roll(height)?;
        }
        let (segment, salt) = self.shared.last_segment()?;
        let at = self.begun();
        let too_long = || Fault::Internal(format!("block {} has {} bytes", height.0, body.len()));
        let header = RecordHeader::of(salt, height, self.next, &body).ok_or_else(too_long)?;
        let eighth = u32::try_from(at / 8).map_err(|_| too_long())?;
        self.group.positions.push(Position { segment, eighth, length: header.length });
        self.group.bytes.extend_from_slice(&header.encode(salt));
        if body.len() as u64 >= self.options.group_bytes {
            // A giant is written from where it is.
            self.spill()?;
            self.write(&body)?;
        } else {
            self.group.bytes.extend_from_slice(&body);
        }
        let padding = length - (RECORD_HEADER + body.len()) as u64;
        self.group.bytes.extend((0..padding).map(|_| 0));
        Ok(())
    }

    /// Where the next record goes.
    fn begun(&self) -> u64 {
        self.end + self.group.spilled + self.group.bytes.len() as u64
    }

    /// Writes what the group holds in memory, without a sync.
    fn spill(&mut self) -> Result<(), Fault> {
        let mut bytes = std::mem::take(&mut self.group.bytes);
        self.write(&bytes)?;
        // Kept for what comes.
        bytes.clear();
        self.group.bytes = bytes;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let segment = self.shared.last_file()?;
        let at = self.end + self.group.spilled;
        self.allocate(&segment, at + bytes.len() as u64)?;
        let fault = |error| Fault::io(format!("write {}", segment.name), error);
        segment.file.write_at(bytes, at).map_err(fault)?;
        self.group.spilled += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) {
        if let Err(fault) = self.write_group() {
            self.fail(&fault);
        }
        for done in std::mem::take(&mut self.group.done) {
            done(self.shared.stopped().map_or(Ok(()), Err));
        }
    }

    fn fail(&mut self, fault: &Fault) {
        self.shared.stop(fault);
        let group = std::mem::take(&mut self.group);
        for done in group.done {
            done(Err(fault.clone()));
        }
    }

    /// Writes and syncs the group, then shows it. Its callbacks are left to the caller.
    fn write_group(&mut self) -> Result<(), Fault> {
        if self.group.positions.is_empty() {
            return Ok(());
        }
        self.spill()?;
        let segment = self.shared.last_file()?;
        let fault = |error| Fault::io(format!("sync {}", segment.name), error);
        segment.file.sync_data().map_err(fault)?;
        let positions = std::mem::take(&mut self.group.positions);
        self.next += positions.len() as u64;
        let written = std::mem::take(&mut self.group.spilled);
        (self.end, self.unnoted) = (self.end + written, self.unnoted + written);
        self.watermark.write(self.next)?;
        self.shared.show(&positions, &self.options);
        self.tell_room();
        self.note_places();
        Ok(())
    }

    /// Notes where blocks are, when enough of them were written.
    fn note_places(&mut self) {
        let Some(places) = &mut self.places else { return };
        let blocks = self.next.saturating_sub(places.count());
        if blocks < self.options.note_blocks && self.unnoted < self.options.note_bytes {
            return;
        }
        let Some((positions, before)) = self.shared.unnoted(places.count()) else { return };
        if let Err(fault) = places.write(&positions, &before) {
            tracing::warn!(%fault, "it isn't noted any more where blocks are; the next start reads them");
            self.places = None;
        }
        self.unnoted = 0;
    }

    fn allocate(&mut self, segment: &Segment, end: u64) -> Result<(), Fault> {
        if end > self.allocated {
            let step = self.options.preallocate.max(8);
            let wanted = end.next_multiple_of(step);
            let fault = |error| Fault::io(format!("lengthen {}", segment.name), error);
            self.allocated = match segment.file.preallocate(wanted).map_err(fault) {
                Ok(()) => wanted,
                // A nearly full disk may still have what is needed now.
                Err(Fault::DiskFull { .. }) => {
                    segment.file.preallocate(end).map_err(fault)?;
                    end
                }
                Err(fault) => return Err(fault),
            };
        }
        Ok(())
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), Fault> {
        let needed = self.end + bytes + self.options.slack;
        if self.shared.has_no_segment()
            || (needed > self.options.segment && self.end > SEGMENT_HEADER)
        {
            self.roll(Height(self.next))?;
        }
        let segment = self.shared.last_file()?;
        self.allocate(&segment, self.end + bytes + self.options.slack)?;
        self.tell_room();
        Ok(())
    }

    /// Says how much can be appended without asking: what is allocated, and still fits the segment.
    fn tell_room(&self) {
        let limit = self.allocated.min(self.options.segment);
        let room = limit.saturating_sub(self.end + self.options.slack);
        self.shared.room.store(room, Ordering::Relaxed);
    }

    /// Gives back what the last segment has behind its records: nothing more comes there.
    fn close_segment(&self) {
        let Ok(segment) = self.shared.last_file() else { return };
        if let Err(error) = segment.file.set_len(self.end) {
            tracing::warn!(%error, file = segment.name, "place on disk that isn't needed is kept");
        }
    }

    /// Begins a new segment; its header is safe before any record is written.
    fn roll(&mut self, first: Height) -> Result<(), Fault> {
        let number = self.shared.next_segment_number();
        let name = record::segment_name(number);
        let fault = |error| Fault::io(format!("create {name}"), error);
        let salt = self.disk.random().map_err(fault)?;
        let file = self.disk.open(&name, true).map_err(fault)?;
        // What a failed attempt may have left.
        file.set_len(0).map_err(fault)?;
        let header = SegmentHeader { number, first, salt };
        let allocated = SEGMENT_HEADER.next_multiple_of(self.options.preallocate.max(8));
        file.preallocate(allocated).map_err(fault)?;
        file.write_at(&header.encode(), 0).map_err(fault)?;
        file.sync_data().map_err(fault)?;
        self.disk.sync_dir().map_err(fault)?;
        self.close_segment();
        self.shared.push_segment(Segment { header, file, name: name.clone() });
        (self.next, self.end, self.allocated) = (first.0, SEGMENT_HEADER, allocated);
        Ok(())
    }

    /// Takes the blocks above `keep` away. What is left is safe before anything new is written, so that no
    /// old record can turn up behind a new one.
    fn truncate(&mut self, keep: Option<Height>) -> Result<(), Fault> {
        let next = keep.map_or(0, |keep| keep.0 + 1);
        let Some(kept) = self.shared.truncation(next) else { return Ok(()) };
        if let Some(places) = &mut self.places {
            places.clear()?;
        }
        if self.watermark.count() > next {
            self.watermark.write(next)?;
            self.watermark.sync()?;
        }
        for segment in kept.removed.iter().rev() {
            let fault = |error| Fault::io(format!("remove {}", segment.name), error);
            self.disk.remove(&segment.name).map_err(fault)?;
        }
        if !kept.removed.is_empty() {
            self.disk.sync_dir().map_err(|error| Fault::io("sync the data directory", error))?;
        }
        if let Some(segment) = &kept.last {
            let fault = |error| Fault::io(format!("cut {}", segment.name), error);
            segment.file.set_len(kept.end).map_err(fault)?;
            segment.file.sync_data().map_err(fault)?;
        }
        (self.next, self.end, self.allocated) = (next, kept.end, 0);
        self.shared.room.store(0, Ordering::Relaxed);
        self.shared.truncate(next, kept.removed.len())
    }
}

fn answer(command: Command, fault: &Fault) {
    match command {
        Command::Append { done, .. }
        | Command::Truncate { done, .. }
        | Command::Vote { done, .. }
        | Command::Reserve { done, .. }
        | Command::Settle { done } => done(Err(fault.clone())),
    }
}
