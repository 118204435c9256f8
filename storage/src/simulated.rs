//! A disk and a clock that a test decides: power cuts, torn and reordered writes, failing syncs, a full disk,
//! flipped bits. Public, because the simulations of consensus use them too; it knows nothing of blocks.
//!
//! The disk keeps, for each file, the bytes that programs see and the bytes that are safe, with the writes
//! that lie between. [`SimulatedDisk::after_crash`] makes a new disk of what a power cut leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};

use crate::{Clock, Disk, File, disk::LockGuard};

/// A crash keeps or loses unsynced bytes in pieces of this size.
pub const SECTOR: usize = 512;

/// What a power cut does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// All of it is lost.
    LoseAll,
    /// All of it was written in time.
    KeepAll,
    /// Each sector, length and name is kept or lost by a coin: torn and reordered.
    Torn {
        /// The coins.
        seed: u64,
    },
}

/// One directory in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// Where syncs wait.
#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

/// Syncs wait until it is dropped.
#[derive(Debug)]
pub struct Held(Arc<Gate>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.shut.lock() = false;
        self.0.opened.notify_all();
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    /// Names as programs see them, and as they are safe.
    names: BTreeMap<String, u64>,
    safe_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    /// Writes, syncs and name changes so far.
    operations: u64,
    /// The power goes after as many.
    power_cut: Option<u64>,
    capacity: Option<u64>,
    failing_syncs: BTreeSet<u64>,
    syncs: u64,
    /// A sync that does nothing and says it did: a disk that lies.
    lying: bool,
    locked: bool,
    random: u64,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, u64),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes, syncs and changes of names so far: the boundaries at which the power can go.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Cuts the power after as many operations; all later ones fail.
    pub fn cut_power_after(&self, operations: u64) {
        self.state.lock().power_cut = Some(operations);
    }

    /// Sets the bytes that all files may take; `None` for no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes that all files take.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Lets the `nth` sync of a file from now fail (0 is the next). As with a real kernel, the bytes it was
    /// about are then called clean: they are seen, and no later sync writes them.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state.lock();
        let at = state.syncs + nth;
        state.failing_syncs.insert(at);
    }

    /// Lets syncs of files wait as long as what it gives is kept.
    #[must_use]
    pub fn hold(&self) -> Held {
        *self.gate.shut.lock() = true;
        Held(Arc::clone(&self.gate))
    }

    /// Makes syncs do nothing and say `Ok`.
    pub fn lie(&self) {
        self.state.lock().lying = true;
    }

    /// Flips bits of one byte, in what is seen and in what is safe.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) {
        let mut state = self.state.lock();
        let State { names, files, .. } = &mut *state;
        let content = names.get(name).and_then(|file| files.get_mut(file));
        if let (Some(content), Ok(at)) = (content, usize::try_from(offset)) {
            for bytes in [&mut content.seen, &mut content.safe] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
            }
        }
    }

    /// A file's bytes as programs see them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).and_then(|file| state.files.get(file)).map(|it| it.seen.clone())
    }

    /// Replaces a file's bytes, seen and safe; makes the file if it is missing.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state.lock();
        let file = state.find_or_create(name);
        state.safe_names.insert(name.to_owned(), file);
        let content = Content { seen: bytes.to_vec(), safe: bytes.to_vec(), pending: Vec::new() };
        state.files.insert(file, content);
    }

    /// A copy with the same bytes, seen and safe, that shares nothing and is locked by nobody.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let state = self.state.lock();
        let copy = State {
            files: state.files.clone(),
            names: state.names.clone(),
            safe_names: state.safe_names.clone(),
            name_changes: state.name_changes.clone(),
            next_file: state.next_file,
            random: state.random,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(copy)), gate: Arc::default() }
    }

    /// The disk that a power cut now would leave, with the power back.
    #[must_use]
    pub fn after_crash(&self, crash: Crash) -> Self {
        let state = self.state.lock();
        let mut coins = Coins::new(crash);
        let mut names = state.safe_names.clone();
        // A journal keeps changes of names in order: a prefix of them survives.
        for change in &state.name_changes {
            if !coins.keep() {
                break;
            }
            apply(&mut names, change.clone());
        }
        let mut files = BTreeMap::new();
        for (&file, content) in &state.files {
            if names.values().any(|&named| named == file) {
                let bytes = content.after_crash(&mut coins);
                let safe = bytes.clone();
                files.insert(file, Content { seen: bytes, safe, pending: Vec::new() });
            }
        }
        let after = State {
            files,
            safe_names: names.clone(),
            names,
            next_file: state.next_file,
            random: state.random,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(after)), gate: Arc::default() }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Set(name, file) => {
            names.retain(|_, &mut other| other != file);
            names.insert(name, file);
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl Content {
    fn after_crash(&self, coins: &mut Coins) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        for pending in &self.pending {
            match pending {
                Pending::Length(length) => {
                    if coins.keep() {
                        bytes.resize(*length, 0);
                    }
                }
                Pending::Write(at, data) => write_torn(&mut bytes, *at, data, coins),
            }
        }
        bytes
    }
}

/// Writes those sectors of `data` that the coins keep.
fn write_torn(bytes: &mut Vec<u8>, at: usize, data: &[u8], coins: &mut Coins) {
    let mut done = 0;
    while done < data.len() {
        let start = at + done;
        let length = (SECTOR - start % SECTOR).min(data.len() - done);
        if coins.keep() {
            put(bytes, start, data.get(done..done + length).unwrap_or_default());
        }
        done += length;
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    if let Some(place) = bytes.get_mut(at..at + data.len()) {
        place.copy_from_slice(data);
    }
}

/// Decides what a crash keeps.
struct Coins {
    crash: Crash,
    state: u64,
}

impl Coins {
    fn new(crash: Crash) -> Self {
        let state = match crash {
            Crash::Torn { seed } => seed,
            Crash::LoseAll | Crash::KeepAll => 0,
        };
        Self { crash, state }
    }

    fn keep(&mut self) -> bool {
        match self.crash {
            Crash::LoseAll => false,
            Crash::KeepAll => true,
            Crash::Torn { .. } => mix(&mut self.state) & 1 == 1,
        }
    }
}

/// SplitMix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl State {
    fn used(&self) -> u64 {
        self.files.values().map(|content| content.seen.len() as u64).sum()
    }

    fn find_or_create(&mut self, name: &str) -> u64 {
        if let Some(&file) = self.names.get(name) {
            return file;
        }
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, Content::default());
        self.names.insert(name.to_owned(), file);
        self.name_changes.push(NameChange::Set(name.to_owned(), file));
        file
    }

    fn powered(&self) -> io::Result<()> {
        if self.power_cut.is_some_and(|at| self.operations >= at) {
            return Err(io::Error::other("the power is cut"));
        }
        Ok(())
    }

    /// One more operation; fails when the power goes before it.
    fn operate(&mut self) -> io::Result<()> {
        self.powered()?;
        self.operations += 1;
        Ok(())
    }

    fn grow(&self, file: u64, length: usize) -> io::Result<()> {
        let present = self.files.get(&file).map_or(0, |content| content.seen.len());
        let more = length.saturating_sub(present) as u64;
        if more > 0 && self.capacity.is_some_and(|capacity| self.used() + more > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.powered()?;
        let file = match state.names.get(name) {
            Some(&file) => file,
            None if create => {
                state.operate()?;
                state.find_or_create(name)
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let (state, gate) = (Arc::clone(&self.state), Arc::clone(&self.gate));
        Ok(Arc::new(SimulatedFile { state, gate, file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let change = NameChange::Set(to.to_owned(), file);
        apply(&mut state.names, change.clone());
        state.name_changes.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Remove(name.to_owned());
        apply(&mut state.names, change.clone());
        state.name_changes.push(change);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        if !state.lying {
            state.safe_names = state.names.clone();
            state.name_changes.clear();
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<LockGuard> {
        let mut state = self.state.lock();
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        Ok(Box::new(SimulatedLock(Arc::clone(&self.state))))
    }

    fn random(&self) -> io::Result<u64> {
        Ok(mix(&mut self.state.lock().random))
    }
}

struct SimulatedLock(Arc<Mutex<State>>);

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}

#[derive(Debug)]
struct SimulatedFile {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
    file: u64,
}

impl SimulatedFile {
    fn change(&self, pending: Pending) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.power_cut == Some(state.operations) {
            // The power goes while this is written: it may survive in part.
            state.operations += 1;
            state.files.entry(self.file).or_default().pending.push(pending);
            return state.powered();
        }
        state.operate()?;
        let end = match &pending {
            Pending::Write(at, data) => at + data.len(),
            Pending::Length(length) => *length,
        };
        state.grow(self.file, end)?;
        let content = state.files.entry(self.file).or_default();
        match &pending {
            Pending::Write(at, data) => put(&mut content.seen, *at, data),
            Pending::Length(length) => content.seen.resize(*length, 0),
        }
        content.pending.push(pending);
        Ok(())
    }
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock();
        state.powered()?;
        let bytes = state.files.get(&self.file).map_or(&[][..], |content| &content.seen);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = buffer.len().min(bytes.len() - start);
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(start..start + length))
        {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Pending::Write(at, bytes.to_vec()))
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.len()? >= length as u64 {
            return Ok(());
        }
        self.change(Pending::Length(length))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Pending::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut shut = self.gate.shut.lock();
        while *shut {
            self.gate.opened.wait(&mut shut);
        }
        drop(shut);
        let mut state = self.state.lock();
        state.operate()?;
        let number = state.syncs;
        state.syncs += 1;
        let failing = state.failing_syncs.remove(&number);
        let lying = state.lying;
        let content = state.files.entry(self.file).or_default();
        if failing {
            content.pending.clear();
            return Err(io::Error::other("input/output error"));
        }
        if !lying {
            // Bytes of a failed sync stay unsafe: only what is pending is written.
            for pending in std::mem::take(&mut content.pending) {
                match pending {
                    Pending::Write(at, data) => put(&mut content.safe, at, &data),
                    Pending::Length(length) => content.safe.resize(length, 0),
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.files.get(&self.file).map_or(0, |content| content.seen.len() as u64))
    }
}

/// A clock that stands still until it is told.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClock {
    now_us: Arc<AtomicI64>,
}

impl SimulatedClock {
    /// A clock at a time, in µs since 1970 UTC.
    pub fn new(now_us: i64) -> Self {
        Self { now_us: Arc::new(AtomicI64::new(now_us)) }
    }

    /// Moves it, back for a negative number.
    pub fn advance(&self, us: i64) {
        self.now_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }
}
