//! Certificates, beside the chain: a file that only grows. They can be gathered again, and nothing rests on them but
//! what an auditor is shown: so they never keep a chain from being opened, and none is waited for. It checks that bytes
//! are what was written; whether a certificate holds is for [`crate::verify`].
//!
//! They are never synced, so that a power cut may tear any of them: an opening wraps what doesn't read into a record of its
//! own, and says so in the log.
//!
//! File `certificates`: records, one behind the other, in order of heights, each at a multiple of 8.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SCRT` |
//! | 4 | 2 | format version: 1 |
//! | 6 | 2 | 0 a certificate; 1 bytes that did not read when a node opened the file |
//! | 8 | 4 | length *n* of what follows |
//! | 12 | 8 | height of the certificate's block; or 0 |
//! | 20 | 4 | CRC-32 of bytes 0..20 and of the *n* bytes |
//! | 24 | *n* | the certificate; or the bytes, but the first 24 |
//! | 24+*n* | 0..7 | zeros |

#[cfg(test)]
mod tests;

use std::{io, ops::Range, sync::Arc};

use ledger::{Certificate, Height};
use parking_lot::Mutex;

use crate::{Damage, Disk, Fault, File, block_file::record::number, recovery::Window};

/// The file.
pub const NAME: &str = "certificates";
const MAGIC: &[u8; 4] = b"SCRT";
const HEADER: usize = 24;
/// The kind of a record that holds what did not read.
const WRAPPED: u16 = 1;
/// Records are looked for, behind what doesn't read, at multiples of this.
const STEP: u64 = 8;
/// Most bytes of a certificate: of more voters than a chain will have.
const MOST: u32 = 1 << 20;

/// The certificates of a chain.
pub struct Certificates(Mutex<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    /// Made with the first certificate. One that can't be used is left alone.
    file: Option<Arc<dyn File>>,
    usable: bool,
    /// Where the next record goes.
    end: u64,
    places: Vec<Place>,
    newest: Option<Arc<Certificate>>,
    /// Whether the last one could not be written, so that the log tells it once.
    failing: bool,
}

/// Where a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) height: Height,
    pub(crate) offset: u64,
    length: u32,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: Arc<dyn File>,
    pub(crate) places: Vec<Place>,
    /// The end of the last record that reads.
    pub(crate) end: u64,
    /// Bytes of the file.
    pub(crate) length: u64,
    pub(crate) damage: Vec<Damage>,
    /// Where records are between which something doesn't read: its first byte, and the one behind.
    gaps: Vec<(u64, u64)>,
}

fn wrong(offset: u64, detail: impl Into<String>) -> Damage {
    // What is wrong with a certificate is nothing that is wrong with its block.
    Damage { height: None, file: NAME.to_owned(), offset, detail: detail.into() }
}

/// A record that reads.
enum Record {
    Certificate(Place),
    /// So many bytes that did not read at an opening.
    Wrapped(u32),
}

/// A record if it reads, or why it doesn't.
fn record(window: &mut Window<'_>, at: u64) -> io::Result<Result<Record, String>> {
    let header = window.get(at, HEADER as u64)?;
    let no = |why: &str| Ok(Err(why.to_owned()));
    if header.first_chunk() != Some(MAGIC) {
        return no("no certificate begins here");
    }
    let (Some(version), Some(kind), Some(length), Some(height), Some(crc)) = (
        number(header, 4).map(u16::from_le_bytes),
        number(header, 6).map(u16::from_le_bytes),
        number(header, 8).map(u32::from_le_bytes),
        number(header, 12).map(u64::from_le_bytes),
        number(header, 20).map(u32::from_le_bytes),
    ) else {
        return no("a record that is cut short");
    };
    if version != 1 {
        return Ok(Err(format!("a record of version {version}")));
    }
    if kind > WRAPPED || (kind != WRAPPED && length > MOST) {
        return no("a record of no kind");
    }
    let whole = padded(length.into());
    let record = window.get(at, whole)?;
    if (record.len() as u64) < whole {
        return no("a record that is cut short");
    }
    let (front, rest) = (record.get(..20), record.get(HEADER..));
    let split = rest.and_then(|rest| rest.split_at_checked(usize::try_from(length).ok()?));
    let (Some(front), Some((body, rest))) = (front, split) else {
        return no("a record that is cut short");
    };
    if rest.iter().any(|byte| *byte != 0) {
        return no("bytes that are not zero behind a certificate");
    }
    if checksum(front, body) != crc {
        return Ok(Err(format!("the checksum of block {height}'s certificate doesn't match")));
    }
    let place = Place { height: Height(height), offset: at, length };
    Ok(Ok(if kind == WRAPPED { Record::Wrapped(length) } else { Record::Certificate(place) }))
}

/// Makes a record of bytes that don't read, with records before and behind.
fn wrap(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
    file.read_at(&mut bytes, from)?;
    let body = bytes.get(HEADER..).unwrap_or_default();
    let header = header(WRAPPED, 0, body).ok_or_else(|| io::Error::other("too long a gap"))?;
    file.write_at(&header, from)
}

/// What stands before a record's bytes; nothing if they are too many.
fn header(kind: u16, height: u64, body: &[u8]) -> Option<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER + body.len() + 8);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&1_u16.to_le_bytes());
    header.extend_from_slice(&kind.to_le_bytes());
    header.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    header.extend_from_slice(&height.to_le_bytes());
    let crc = checksum(&header, body);
    header.extend_from_slice(&crc.to_le_bytes());
    Some(header)
}

fn checksum(front: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(front);
    hasher.update(body);
    hasher.finalize()
}

fn padded(length: u64) -> u64 {
    (HEADER as u64 + length).next_multiple_of(STEP)
}

/// The file, and what it holds; nothing if there is none.
///
/// # Errors
/// Whatever the disk says.
pub(crate) fn peek(disk: &dyn Disk) -> Result<Option<Found>, Fault> {
    let fault = |error| Fault::io(format!("read {NAME}"), error);
    let file = match disk.open(NAME, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    find(file).map(Some).map_err(fault)
}

/// Reads the whole file. Behind bytes that don't read it goes on with the next record that does.
pub(crate) fn find(file: Arc<dyn File>) -> io::Result<Found> {
    let length = file.len()?;
    let mut window = Window::new(&*file, length);
    let (places, damage, gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = Found { file: Arc::clone(&file), places, end: 0, length, damage, gaps };
    let mut at = 0;
    while at < length {
        let bytes = match record(&mut window, at)? {
            Ok(Record::Certificate(place)) => {
                if found.places.last().is_none_or(|last| last.height < place.height) {
                    found.places.push(place);
                } else {
                    let detail = format!("block {} is not in order", place.height.0);
                    found.damage.push(wrong(at, detail));
                }
                place.length
            }
            Ok(Record::Wrapped(bytes)) => bytes,
            Err(why) => {
                // The first of them is where the last record ends.
                if at == found.end {
                    found.damage.push(wrong(at, why));
                }
                at += STEP;
                continue;
            }
        };
        if at > found.end {
            found.gaps.push((found.end, at));
        }
        at += padded(bytes.into());
        found.end = at;
    }
    Ok(found)
}

/// Reads one; nothing where it isn't any more what it was.
pub(crate) fn read(file: &dyn File, place: Place) -> io::Result<Option<Certificate>> {
    let mut bytes = vec![0; HEADER + usize::try_from(place.length).unwrap_or(0)];
    let read = file.read_at(&mut bytes, place.offset)?;
    let (Some(front), Some(body), Some(crc)) =
        (bytes.get(..20), bytes.get(HEADER..), number(&bytes, 20))
    else {
        return Ok(None);
    };
    if read < bytes.len() || checksum(front, body) != u32::from_le_bytes(crc) {
        return Ok(None);
    }
    let certificate = Certificate::decode(body).ok();
    Ok(certificate.filter(|it| it.statement.height == place.height))
}

impl Inner {
    /// Goes on with the file that is there.
    fn take_over(&mut self) -> io::Result<()> {
        let Found { file, places, end, length, damage, gaps } = find(self.disk.open(NAME, false)?)?;
        for damage in damage.iter().filter(|damage| damage.offset < end) {
            tracing::warn!(%damage, "a certificate is lost; a later one covers its block");
        }
        for (from, to) in gaps {
            wrap(&*file, from, to)?;
        }
        if end < length {
            tracing::info!(at = end, "the torn end of the file {NAME} is cut");
            file.set_len(end)?;
        }
        let newest = places.last().map(|last| read(&*file, *last)).transpose()?.flatten();
        (self.file, self.end, self.places) = (Some(file), end, places);
        self.newest = newest.map(Arc::new);
        Ok(())
    }

    fn write(&mut self, certificate: &Certificate) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(self.disk.open(NAME, true)?)),
        };
        let place = write(&*file, self.end, certificate)?;
        self.end += padded(place.length.into());
        self.places.push(place);
        Ok(())
    }
}

impl Certificates {
    /// Opens the file, if there is one. A torn end is cut. A file that can't be read or written is left alone: the log
    /// says why, and only the newest certificate is known.
    pub fn open(disk: Arc<dyn Disk>) -> Self {
        let (places, newest) = (Vec::new(), None);
        let none = Inner { disk, file: None, usable: true, end: 0, places, newest, failing: false };
        let kept = Self(Mutex::new(none));
        let opened = kept.0.lock().take_over();
        match opened {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "certificates are not kept: the file {NAME} can't be used");
                kept.0.lock().usable = false;
            }
            _ => {}
        }
        kept
    }
    /// Adds one, if it is of a higher block than all that are there. It is not waited for until it is safe.
    pub fn add(&self, certificate: Certificate) {
        let mut inner = self.0.lock();
        let height = certificate.statement.height;
        let newest = inner.newest.as_ref().map(|newest| newest.statement.height);
        if newest.max(inner.places.last().map(|last| last.height)) >= Some(height) {
            return;
        }
        if inner.usable {
            let failed = inner.write(&certificate).err();
            if let Some(error) = failed.as_ref().filter(|_| !inner.failing) {
                tracing::warn!(%error, "a certificate can't be written; a later one will cover its blocks");
            }
            inner.failing = failed.is_some();
        }
        inner.newest = Some(Arc::new(certificate));
    }

    /// The newest.
    pub fn newest(&self) -> Option<Arc<Certificate>> {
        self.0.lock().newest.clone()
    }

    /// The heights of certified blocks within a range, ascending.
    pub fn heights(&self, range: Range<Height>) -> Vec<Height> {
        let inner = self.0.lock();
        let below = |height: Height| inner.places.partition_point(|it| it.height < height);
        let kept = inner.places.get(below(range.start)..below(range.end)).unwrap_or_default();
        let mut heights: Vec<Height> = kept.iter().map(|place| place.height).collect();
        let unkept = inner.newest.as_ref().map(|it| it.statement.height);
        let last = inner.places.last().map(|last| last.height);
        heights.extend(unkept.filter(|height| Some(*height) > last && range.contains(height)));
        heights
    }

    /// The lowest certified block from a height on: its certificate covers that one too.
    pub fn covering(&self, height: Height) -> Option<Height> {
        let inner = self.0.lock();
        let at = inner.places.partition_point(|it| it.height < height);
        let newest = || inner.newest.as_ref().map(|it| it.statement.height);
        inner.places.get(at).map(|it| it.height).or_else(newest).filter(|found| *found >= height)
    }

    /// The certificate of a block; nothing if it has none of its own, or that one is damaged.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn get(&self, height: Height) -> Result<Option<Arc<Certificate>>, Fault> {
        let (file, place) = {
            let inner = self.0.lock();
            if let Some(newest) = inner.newest.as_ref().filter(|it| it.statement.height == height) {
                return Ok(Some(Arc::clone(newest)));
            }
            let at = inner.places.binary_search_by_key(&height, |place| place.height);
            let place = at.ok().and_then(|at| inner.places.get(at).copied());
            let (Some(file), Some(place)) = (inner.file.clone(), place) else { return Ok(None) };
            (file, place)
        };
        let read = read(&*file, place).map_err(|error| Fault::io(format!("read {NAME}"), error))?;
        Ok(read.map(Arc::new))
    }
}

fn write(file: &dyn File, at: u64, certificate: &Certificate) -> io::Result<Place> {
    let height = certificate.statement.height;
    let body = certificate.encode();
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MOST);
    let record = length.and_then(|length| Some((length, header(0, height.0, &body)?)));
    let Some((length, mut record)) = record else {
        return Err(io::Error::other("a certificate that is too long"));
    };
    record.extend_from_slice(&body);
    record.resize(usize::try_from(padded(length.into())).unwrap_or(record.len()), 0);
    file.write_at(&record, at)?;
    Ok(Place { height, offset: at, length })
}
