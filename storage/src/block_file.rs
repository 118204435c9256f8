//! The block file: all blocks of the chain, in segments, appended by one thread that syncs once for each
//! group. It is the consensus log and the state's redo log in one; nothing is written twice.
//!
//! It knows records and parent hashes. Whether a block is valid, and what it means, is decided above.
//! The byte tables are in `block_file/record.rs`, `block_file/watermark.rs` and `vote.rs`.

pub(crate) mod link;
mod mend;
pub(crate) mod places;
pub(crate) mod record;
mod shared;
mod turns;
pub(crate) mod watermark;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use ledger::{Block, Height, Proposal, Tip};
use parking_lot::{Mutex, RwLock};

pub use self::turns::Turns;
pub use crate::recovery::Cut;
use crate::{
    BlockSource, Damage, Disk, Fault,
    disk::LockGuard,
    recovery::{self, Position, Segment, Window},
    verify, vote,
};
use places::Places;
use shared::{Found, Shared};
use watermark::Watermark;
use writer::{Command, Writer};

/// Called once, by the writer, when the write is on stable storage or has failed.
pub type Done = Box<dyn FnOnce(Result<(), Fault>) + Send>;

/// Called when something was queued, if the writer has no thread of its own.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Sizes. The defaults are for real data; tests take small ones.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes after which a new segment begins. At most 32 GiB.
    pub segment: u64,
    /// A segment gets its place on disk in steps of as many bytes.
    pub preallocate: u64,
    /// Place that [`BlockFile::reserve`] keeps for consensus' own entries.
    pub slack: u64,
    /// Most commands in one group.
    pub group: usize,
    /// Bytes after which a group is written at once.
    pub group_bytes: u64,
    /// Most blocks kept in memory behind the newest.
    pub recent: usize,
    /// Most bytes of blocks kept in memory behind the newest.
    pub recent_bytes: u64,
    /// Idle time after which the watermark is synced.
    pub idle: Duration,
    /// Blocks, or bytes of them, after which it is noted where they are: at most so many are read when the file
    /// is opened the next time.
    pub note_blocks: u64,
    /// See [`Self::note_blocks`].
    pub note_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment: 256 << 20,
            preallocate: 16 << 20,
            slack: 1 << 20,
            group: 1024,
            group_bytes: 16 << 20,
            recent: 1024,
            recent_bytes: 32 << 20,
            idle: Duration::from_millis(200),
            note_blocks: 1024,
            note_bytes: 16 << 20,
        }
    }
}

/// The block file, open for one process.
pub struct BlockFile {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    options: Options,
    commands: Mutex<Option<Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    wake: Option<Wake>,
    vote: RwLock<Option<Vec<u8>>>,
    /// What was read last by [`Self::front`].
    front: Arc<Mutex<Option<Arc<Block>>>>,
    cut: Option<Cut>,
    // Held until the writer has ended; see `drop`.
    lock: Mutex<Option<LockGuard>>,
}

impl fmt::Debug for BlockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockFile").field("tip", &self.tip()).finish_non_exhaustive()
    }
}

impl BlockFile {
    /// Locks the directory, recovers, and starts the writer. Damage doesn't fail it: see [`Self::damage`].
    ///
    /// # Errors
    /// [`Fault::Locked`]; [`Fault::Version`]; a vote that doesn't read; whatever the disk says.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self, Fault> {
        let (mut file, writer, queue) = Self::recover(disk, options)?;
        let thread = std::thread::Builder::new()
            .name("block-writer".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|error| Fault::io("start the writer", error))?;
        *file.thread.get_mut() = Some(thread);
        Ok(file)
    }

    /// As [`Self::open`], with a writer that works when it is given a turn. `wake` is called when there is
    /// something to do, and when the file is closed.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn open_by_turns(
        disk: Arc<dyn Disk>,
        options: Options,
        wake: Wake,
    ) -> Result<(Self, Turns), Fault> {
        let (mut file, writer, queue) = Self::recover(disk, options)?;
        file.wake = Some(wake);
        Ok((file, Turns::new(writer, queue)))
    }

    fn recover(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Writer, Receiver<Command>), Fault> {
        let lock = disk.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Fault::Locked,
            _ => Fault::io("lock the data directory", error),
        })?;
        let vote = vote::load(&*disk)?;
        let mut watermark = Watermark::open(&*disk)?;
        let recovered = recovery::recover(&*disk, &mut watermark, options.preallocate)?;
        if let Some(cut) = &recovered.cut {
            tracing::warn!(file = %cut.file, offset = cut.offset, height = cut.height.0,
                "cut a torn tail that was never acknowledged");
        }
        for damage in recovered.damage.values() {
            tracing::error!(%damage, "the block file is damaged; nothing is cut, nothing is written");
        }
        let (cut, end) = (recovered.cut.clone(), recovered.end);
        let (count, noted) = recovered.noted;
        let places = if recovered.damage.is_empty() {
            Places::open(&*disk, count, noted).inspect_err(|fault| {
                tracing::warn!(%fault, "it isn't noted where blocks are; the next start reads all of them");
            })
        } else {
            Err(Fault::Internal("nothing is written".to_owned()))
        };
        let next = recovered.first + recovered.positions.len() as u64;
        let shared = Arc::new(Shared::new(recovered));
        let (commands, queue) = channel();
        let files = (Arc::clone(&disk), watermark);
        let places = places.ok();
        let writer = Writer::new(Arc::clone(&shared), files, places, options.clone(), next, end);
        let file = Self {
            shared,
            disk,
            options,
            commands: Mutex::new(Some(commands)),
            thread: Mutex::default(),
            wake: None,
            vote: RwLock::new(vote),
            front: Arc::default(),
            cut,
            lock: Mutex::new(Some(lock)),
        };
        Ok((file, writer, queue))
    }

    /// The newest block, written or not.
    pub fn tip(&self) -> Option<Tip> {
        self.shared.inner.read().link.as_ref().map(|link| link.tip().clone())
    }

    /// Makes the block at a height, which must be the next one; an empty file takes any first height.
    ///
    /// # Errors
    /// Another height; a row whose bytes are damaged.
    pub fn make(&self, height: Height, proposal: Proposal) -> Result<Block, Fault> {
        let inner = self.shared.inner.read();
        let next = inner.next_height();
        if next.is_some_and(|next| next != height.0) {
            return Err(Fault::Internal(format!("block {} is not the next", height.0)));
        }
        let link = inner.link.clone();
        drop(inner);
        link::make(link.as_ref(), height, proposal)
            .map_err(|error| Fault::Internal(error.to_string()))
    }

    /// The first block's height; 0 in a whole chain. `None` in an empty file.
    pub fn first(&self) -> Option<Height> {
        let inner = self.shared.inner.read();
        inner.next_height().map(|_| Height(inner.first))
    }

    /// How many heights, from 0, are on stable storage.
    pub fn durable(&self) -> u64 {
        let inner = self.shared.inner.read();
        inner.first + inner.positions.len() as u64
    }

    /// The torn tail that opening cut, if it did.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The damage that opening found, by height. With any, nothing can be appended.
    pub fn damage(&self) -> Vec<Damage> {
        self.shared.inner.read().damage.values().cloned().collect()
    }

    /// Why nothing is written any more, if that is so.
    pub fn stopped(&self) -> Option<Fault> {
        self.shared.stopped()
    }

    /// Why nothing finds place on the disk, if that was so the last time it was tried.
    pub fn full(&self) -> Option<Fault> {
        self.shared.full()
    }

    /// Whether what was appended, or the vote, waits until the disk has place for it.
    pub fn is_stuck(&self) -> bool {
        self.shared.inner.read().stuck
    }

    /// Tries again what found no place on the disk; see [`Self::full`].
    ///
    /// # Errors
    /// The file has stopped or is damaged.
    pub fn try_again(&self) -> Result<(), Fault> {
        let wanted = self.shared.inner.read().full.as_ref().map(|(_, bytes)| *bytes);
        wanted.map_or(Ok(()), |bytes| self.reserve(bytes, Box::new(drop)))
    }

    /// Bytes of all segments, with the place kept ahead.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn bytes(&self) -> Result<u64, Fault> {
        let segments = self.shared.inner.read().segments.clone();
        segments.iter().try_fold(0, |sum, segment| {
            let length = segment.file.len();
            length
                .map(|length| sum + length)
                .map_err(|error| Fault::io(format!("measure {}", segment.name), error))
        })
    }

    /// Makes the block that would come next now. Another may be appended before it: its parent tells.
    ///
    /// # Errors
    /// A row whose bytes are damaged.
    pub fn make_next(&self, proposal: Proposal) -> Result<Block, Fault> {
        let link = self.shared.inner.read().link.clone();
        let height = link.as_ref().map_or(0, |link| link.tip().height.0 + 1);
        link::make(link.as_ref(), Height(height), proposal)
            .map_err(|error| Fault::Internal(error.to_string()))
    }

    /// Appends blocks; they can be read at once, and are on stable storage when `done` is called.
    ///
    /// An empty file takes any first height. The number of blocks that wait to be written is bounded by
    /// consensus, not here.
    ///
    /// # Errors
    /// The file has stopped or is damaged; the blocks don't follow the tip. `done` is dropped then.
    pub fn append(&self, blocks: Vec<Arc<Block>>, done: Done) -> Result<(), Fault> {
        // The queue's lock is held over both steps, so that two appends can't change places between them.
        let commands = self.commands.lock();
        self.shared.accept(&blocks)?;
        self.send(commands.as_ref(), Command::Append { blocks, done })
    }

    /// Takes away the blocks above `keep` (all for `None`) before `done` is called; nothing may be appended
    /// until then.
    ///
    /// # Errors
    /// The file has stopped or is damaged.
    pub fn truncate_after(&self, keep: Option<Height>, done: Done) -> Result<(), Fault> {
        self.shared.writable()?;
        // Forgotten when it is gone: one who reads meanwhile may keep it again.
        let front = Arc::clone(&self.front);
        let done = Box::new(move |result| {
            drop(front.lock().take());
            done(result);
        });
        self.send(self.commands.lock().as_ref(), Command::Truncate { keep, done })
    }

    /// Bytes of blocks that can be appended for certain without [`Self::reserve`].
    pub fn room(&self) -> u64 {
        self.shared.room.load(Ordering::Relaxed)
    }

    /// Keeps the blocks from this height on in memory, and lets go of those before: whoever applies blocks
    /// moves this along. Without it, only the bounds decide.
    pub fn need_from(&self, height: Height) {
        let mut inner = self.shared.inner.write();
        inner.needed = height.0;
        inner.forget(&self.options);
    }

    /// Makes sure that as many bytes of blocks can be appended; `done` gets [`Fault::DiskFull`] if not, and
    /// nobody is stopped by that.
    ///
    /// # Errors
    /// The file has stopped or is damaged.
    pub fn reserve(&self, bytes: u64, done: Done) -> Result<(), Fault> {
        self.shared.writable()?;
        self.send(self.commands.lock().as_ref(), Command::Reserve { bytes, done })
    }

    /// Replaces consensus' vote, in order with the blocks; safe when `done` is called. At most 65,535 bytes.
    ///
    /// # Errors
    /// The file has stopped or is damaged.
    pub fn save_vote(&self, bytes: Vec<u8>, done: Done) -> Result<(), Fault> {
        self.shared.writable()?;
        let commands = self.commands.lock();
        self.send(commands.as_ref(), Command::Vote { bytes: bytes.clone(), done })?;
        *self.vote.write() = Some(bytes);
        Ok(())
    }

    /// The vote that was saved last.
    pub fn vote(&self) -> Option<Vec<u8>> {
        self.vote.read().clone()
    }

    /// Makes all that was appended before, and the watermark, safe before `done` is called.
    ///
    /// # Errors
    /// The file has stopped or is damaged.
    pub fn settle(&self, done: Done) -> Result<(), Fault> {
        self.shared.writable()?;
        self.send(self.commands.lock().as_ref(), Command::Settle { done })
    }

    /// The block at a height; `None` above the tip and below the first.
    ///
    /// # Errors
    /// [`Fault::Damaged`]; whatever the disk says.
    pub fn read(&self, height: Height) -> Result<Option<Arc<Block>>, Fault> {
        Ok(self.find(height)?.map(|(block, _)| block))
    }

    /// As [`Self::read`], without the block's transactions: what a start asks of the newest block, however
    /// large it is.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn front(&self, height: Height) -> Result<Option<Arc<Block>>, Fault> {
        let known = self.front.lock().clone();
        if let Some(front) = known.filter(|front| front.header.height == height) {
            return Ok(Some(front));
        }
        let found = self.shared.inner.read().find(height.0);
        let front = match found {
            Found::Nothing => return Ok(None),
            Found::Damaged(damage) => return Err(damage.into()),
            Found::Recent(block) => return Ok(Some(block)),
            Found::Written(segment, position) => {
                let decode = |body: &[u8]| Ok(Block::decode_front(body)?.0);
                Arc::new(read_at(&segment, position, height, decode)?)
            }
        };
        *self.front.lock() = Some(Arc::clone(&front));
        Ok(Some(front))
    }

    /// The block at a height, and whether it was read from disk just now.
    fn find(&self, height: Height) -> Result<Option<(Arc<Block>, bool)>, Fault> {
        let (segment, position) = {
            let inner = self.shared.inner.read();
            match inner.find(height.0) {
                Found::Recent(block) => return Ok(Some((block, false))),
                Found::Nothing => return Ok(None),
                Found::Damaged(damage) => return Err(damage.into()),
                Found::Written(segment, position) => (segment, position),
            }
        };
        match read_at(&segment, position, height, Block::decode) {
            Ok(block) => Ok(Some((Arc::new(block), true))),
            Err(fault) => {
                if let Fault::Damaged(damage) = &fault {
                    self.note_damage(damage);
                }
                Err(fault)
            }
        }
    }

    /// The file that a block lies in, and at which byte of it its record begins; for messages.
    pub fn place(&self, height: Height) -> (String, u64) {
        let inner = self.shared.inner.read();
        let index = height.0.checked_sub(inner.first).and_then(|it| usize::try_from(it).ok());
        let position = index.and_then(|index| inner.positions.get(index));
        let segment = position.and_then(|it| inner.segments.get(it.segment as usize));
        match (segment, position) {
            (Some(segment), Some(position)) => (segment.name.clone(), position.offset()),
            _ => ("block file".to_owned(), 0),
        }
    }

    fn send(&self, commands: Option<&Sender<Command>>, command: Command) -> Result<(), Fault> {
        let closed = || Fault::Stopped { reason: "the block file is closed".to_owned() };
        commands.ok_or_else(closed)?.send(command).map_err(|_| closed())?;
        if let Some(wake) = &self.wake {
            wake();
        }
        Ok(())
    }

    /// Ends the writer after all that is queued, and frees the directory. Later writes fail.
    pub fn close(&self) {
        drop(self.commands.lock().take());
        if let Some(wake) = &self.wake {
            wake();
        }
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the block writer panicked");
        }
        drop(self.lock.lock().take());
    }
}

impl BlockSource for BlockFile {
    fn block(&self, height: Height) -> Result<Arc<Block>, Fault> {
        let missing = || Fault::Internal(format!("no block {}", height.0));
        let (block, from_disk) = self.find(height)?.ok_or_else(missing)?;
        // Its checksum was right, but anyone can make one.
        if from_disk && let Err(error) = block.verify_body() {
            let ((file, offset), detail) = (self.place(height), error.to_string());
            let damage = Damage { height: Some(height), file, offset, detail };
            self.note_damage(&damage);
            return Err(damage.into());
        }
        Ok(block)
    }

    fn verify(
        &self,
        _until: Height,
        signatures: bool,
        progress: &mut dyn FnMut(verify::Progress),
    ) -> Result<verify::Report, Fault> {
        // A damaged file is written by nobody: all its bytes can be judged.
        let until = self.damage().is_empty().then(|| Height(self.durable()));
        let report = verify::verify(&*self.disk, verify::Options { signatures, until }, progress)?;
        report.damage().for_each(|damage| self.note_damage(damage));
        Ok(report)
    }
}

impl Drop for BlockFile {
    fn drop(&mut self) {
        self.close();
    }
}

fn read_at(
    segment: &Segment,
    position: Position,
    height: Height,
    decode: impl FnOnce(&[u8]) -> Result<Block, ledger::DecodeError>,
) -> Result<Block, Fault> {
    let damaged = |detail: String| {
        let (file, offset) = (segment.name.clone(), position.offset());
        Fault::Damaged(Damage { height: Some(height), file, offset, detail })
    };
    let fault = |error| Fault::io(format!("read {}", segment.name), error);
    let length = record::padded(u64::from(position.length) + record::RECORD_HEADER as u64);
    let end = position.offset() + length;
    let mut window = Window::new(&*segment.file, end);
    let record = recovery::read_record(&mut window, position.offset(), segment.header.salt)
        .map_err(fault)?;
    let (header, body) = record.map_err(damaged)?;
    if header.height != height {
        return Err(damaged(format!("block {} is here instead", header.height.0)));
    }
    let block = decode(body).map_err(|error| damaged(error.to_string()))?;
    if block.header.height != height {
        return Err(damaged(format!("its header says height {}", block.header.height.0)));
    }
    Ok(block)
}
