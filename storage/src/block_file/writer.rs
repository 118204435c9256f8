//! The one thread that writes blocks: it takes what is queued, writes it as one group, syncs once, and only
//! then tells who waits. The vote goes through the same queue, so that no write overtakes another.
//!
//! A failed sync is never retried: the writer stops for good and says why to everyone. What finds no place on the disk
//! before a byte of it is written waits, and all that comes behind it, until there is some.

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
    mend::Patch,
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
    /// Put these blocks in the places of damaged ones.
    Mend { blocks: Vec<Arc<Block>>, done: Done },
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
    /// What found no place on the disk, and all that came after it.
    waiting: VecDeque<Command>,
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
        let (group, waiting, allocated, unnoted) = (Group::default(), VecDeque::new(), 0, 0);
        Self {
            shared,
            disk,
            options,
            watermark,
            places,
            unnoted,
            next,
            end,
            allocated,
            group,
            waiting,
        }
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
        let mut batch = std::mem::take(&mut self.waiting);
        batch.push_back(first);
        while batch.len() < self.options.group {
            match commands.try_recv() {
                Ok(command) => batch.push_back(command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        while let Some(command) = batch.pop_front() {
            if let Err(unplaced) = self.take(command) {
                batch.push_front(unplaced);
                break;
            }
        }
        self.flush();
        self.wait(batch);
    }

    /// Keeps what found no place until there is a next turn. Who only asked for place is told that there is none.
    fn wait(&mut self, batch: VecDeque<Command>) {
        for command in batch {
            match (command, self.shared.full()) {
                (Command::Reserve { done, .. }, Some(full)) => done(Err(full)),
                (command, _) => self.waiting.push_back(command),
            }
        }
        self.shared.set_stuck(!self.waiting.is_empty());
    }

    /// Nothing more is asked.
    pub(super) fn end(&mut self) {
        if let Some(full) = self.shared.full() {
            for command in std::mem::take(&mut self.waiting) {
                answer(command, &full);
            }
        }
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

    /// Does what is asked, or gives back what of it finds no place on the disk.
    fn take(&mut self, command: Command) -> Result<(), Command> {
        if let Some(fault) = self.shared.stopped() {
            answer(command, &fault);
            return Ok(());
        }
        match command {
            Command::Append { blocks, done } => return self.append(blocks, done),
            Command::Truncate { keep, done } => {
                self.flush();
                let result = self.truncate(keep);
                self.finish(result, done);
            }
            Command::Vote { bytes, done } => {
                self.flush();
                match self.save_vote(&bytes) {
                    Err(full @ Fault::DiskFull { .. }) => {
                        self.shared.set_full(Some((full, 0)));
                        return Err(Command::Vote { bytes, done });
                    }
                    result => self.finish(result, done),
                }
            }
            Command::Reserve { bytes, done } => {
                self.flush();
                // Nothing was written: a full disk here stops nobody for good.
                let result = self.reserve(bytes);
                self.note_room(bytes, &result);
                done(result);
            }
            Command::Settle { done } => {
                self.flush();
                let result = self.watermark.sync();
                self.finish(result, done);
            }
            Command::Mend { blocks, done } => {
                self.flush();
                match self.shared.patches(&blocks) {
                    Ok(patches) => {
                        let result = patches.iter().try_for_each(put_right);
                        if result.is_ok() {
                            self.shared.mended(&blocks);
                        }
                        self.finish(result, done);
                    }
                    // Nothing was written.
                    Err(fault) => done(Err(fault)),
                }
            }
        }
        Ok(())
    }

    /// Says whether the disk is full, after as many bytes were asked for. One that lacks place for a giant only is not.
    fn note_room(&mut self, bytes: u64, result: &Result<(), Fault>) {
        let usual = bytes.min(self.options.preallocate);
        let full = match result {
            Err(Fault::DiskFull { .. }) if usual < bytes => self.reserve(usual).err(),
            other => other.clone().err(),
        };
        let full = full.filter(|fault| matches!(fault, Fault::DiskFull { .. }));
        self.shared.set_full(full.map(|fault| (fault, usual)));
    }

    /// Saves the vote; on a full disk with the place that is kept ahead of the blocks.
    fn save_vote(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let result = vote::save(&*self.disk, bytes);
        let (Err(Fault::DiskFull { .. }), Ok(segment)) = (&result, self.shared.last_file()) else {
            return result;
        };
        let before = self.allocated;
        let cut = segment.file.set_len(self.end);
        cut.map_err(|error| Fault::io(format!("cut {}", segment.name), error))?;
        self.allocated = self.end;
        let result = vote::save(&*self.disk, bytes);
        if let Err(fault) = self.allocate(&segment, before) {
            tracing::warn!(%fault, "less place is kept for blocks");
        }
        self.tell_room();
        result
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

    /// Puts blocks into the group; gives back those that find no place on the disk.
    fn append(&mut self, mut blocks: Vec<Arc<Block>>, done: Done) -> Result<(), Command> {
        let mut unplaced = None;
        for (at, block) in blocks.iter().enumerate() {
            match self.add(block) {
                Ok(None) => {}
                Ok(Some(full)) => {
                    self.shared.set_full(Some((full, 0)));
                    unplaced = Some(at);
                    break;
                }
                Err(fault) => {
                    self.group.done.push(done);
                    self.fail(&fault);
                    return Ok(());
                }
            }
        }
        if let Some(at) = unplaced {
            return Err(Command::Append { blocks: blocks.split_off(at), done });
        }
        self.group.done.push(done);
        if self.group.spilled + self.group.bytes.len() as u64 >= self.options.group_bytes {
            self.flush();
        }
        Ok(())
    }

    /// Puts a block into the group, once there is place for it on the disk; gives the fault if there is none.
    fn add(&mut self, block: &Block) -> Result<Option<Fault>, Fault> {
        let height = block.header.height;
        let body = block.encode();
        let length = record::padded((RECORD_HEADER + body.len()) as u64);
        let begins = self.shared.has_no_segment()
            || (self.begun() + length > self.options.segment && self.begun() > SEGMENT_HEADER);
        if begins {
            self.write_group()?;
        }
        match self.place(height, length, begins) {
            Ok(()) => {}
            Err(full @ Fault::DiskFull { .. }) => return Ok(Some(full)),
            Err(fault) => return Err(fault),
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
        Ok(None)
    }

    /// Sees to it that a record has its place on the disk; begins a new segment when this one is full.
    fn place(&mut self, height: Height, length: u64, begins: bool) -> Result<(), Fault> {
        if begins {
            self.roll(height)?;
        }
        let segment = self.shared.last_file()?;
        self.allocate(&segment, self.begun() + length)
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
        let fault = |error| Fault::sync(format!("sync {}", segment.name), error);
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
        let failed = |error| Fault::sync(format!("sync {name}"), error);
        file.sync_data().map_err(failed)?;
        self.disk.sync_dir().map_err(failed)?;
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

/// Writes over what is damaged.
fn put_right(patch: &Patch) -> Result<(), Fault> {
    let name = &patch.segment.name;
    let written = patch.segment.file.write_at(&patch.bytes, patch.offset);
    written.map_err(|error| Fault::io(format!("write {name}"), error))?;
    let synced = patch.segment.file.sync_data();
    synced.map_err(|error| Fault::sync(format!("sync {name}"), error))
}

fn answer(command: Command, fault: &Fault) {
    match command {
        Command::Append { done, .. }
        | Command::Truncate { done, .. }
        | Command::Vote { done, .. }
        | Command::Reserve { done, .. }
        | Command::Mend { done, .. }
        | Command::Settle { done } => done(Err(fault.clone())),
    }
}
