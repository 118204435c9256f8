//! Certificates, beside the chain: a file that only grows. They can be gathered again, and nothing rests on them but
//! what an auditor is shown: so they never keep a chain from being opened, and none is waited for. It checks that bytes
//! are what was written; whether a certificate holds is for [`crate::verify`].
//!
//! File `certificates`: records, one behind the other, in order of heights, each at a multiple of 8.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SCRT` |
//! | 4 | 2 | format version: 1 |
//! | 6 | 2 | zero |
//! | 8 | 4 | length *n* of the certificate |
//! | 12 | 8 | height of its block |
//! | 20 | 4 | CRC-32 of bytes 0..20 and of the certificate |
//! | 24 | *n* | the certificate |
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
/// Records are looked for, behind what doesn't read, at multiples of this.
const STEP: u64 = 8;
/// Most bytes of a certificate: of more voters than a chain will have.
const MOST: u32 = 1 << 20;

/// The certificates of a chain.
pub struct Certificates(Mutex<Inner>);

struct Inner {
    /// Without one, only the newest is kept, in memory.
    file: Option<Arc<dyn File>>,
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
}

fn wrong(offset: u64, detail: impl Into<String>) -> Damage {
    // What is wrong with a certificate is nothing that is wrong with its block.
    Damage { height: None, file: NAME.to_owned(), offset, detail: detail.into() }
}

/// A record's place if it reads, or why it doesn't.
fn record(window: &mut Window<'_>, at: u64) -> io::Result<Result<Place, String>> {
    let header = window.get(at, HEADER as u64)?;
    let no = |why: &str| Ok(Err(why.to_owned()));
    if header.first_chunk() != Some(MAGIC) {
        return no("no certificate begins here");
    }
    let (Some(version), Some(length), Some(height), Some(crc)) =
        (number(header, 4), number(header, 8), number(header, 12), number(header, 20))
    else {
        return no("a record that is cut short");
    };
    let [version, length, crc] = [
        u32::from(u16::from_le_bytes(version)),
        u32::from_le_bytes(length),
        u32::from_le_bytes(crc),
    ];
    let height = Height(u64::from_le_bytes(height));
    if version != 1 {
        return Ok(Err(format!("a record of version {version}")));
    }
    if length > MOST {
        return no("a record that is too long");
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
        return Ok(Err(format!("the checksum of block {}'s certificate doesn't match", height.0)));
    }
    Ok(Ok(Place { height, offset: at, length }))
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
    let (places, damage) = (Vec::new(), Vec::new());
    let mut found = Found { file: Arc::clone(&file), places, end: 0, length, damage };
    let (mut at, mut broken) = (0, false);
    while at < length {
        match record(&mut window, at)? {
            Ok(place) if found.places.last().is_none_or(|last| last.height < place.height) => {
                found.places.push(place);
                at += padded(place.length.into());
                found.end = at;
                broken = false;
            }
            Ok(place) => {
                found.damage.push(wrong(at, format!("block {} is not in order", place.height.0)));
                at += padded(place.length.into());
                found.end = at;
                broken = false;
            }
            Err(why) => {
                if !std::mem::replace(&mut broken, true) {
                    found.damage.push(wrong(at, why));
                }
                at += STEP;
            }
        }
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

impl Certificates {
    /// Opens the file, and makes it if it is missing. A torn end is cut. A file that can't be read or written is left
    /// alone: the log says why, and only the newest certificate is known.
    pub fn open(disk: &dyn Disk) -> Self {
        let opened = Self::try_open(disk).unwrap_or_else(|error| {
            tracing::warn!(%error, "certificates are not kept: the file {NAME} can't be used");
            let (places, newest) = (Vec::new(), None);
            Inner { file: None, end: 0, places, newest, failing: true }
        });
        Self(Mutex::new(opened))
    }

    fn try_open(disk: &dyn Disk) -> io::Result<Inner> {
        let Found { file, places, end, length, damage } = find(disk.open(NAME, true)?)?;
        for damage in &damage {
            if damage.offset < end {
                tracing::warn!(%damage, "a certificate is damaged; the chain needs none");
            }
        }
        if end < length {
            tracing::info!(at = end, "the torn end of the file {NAME} is cut");
            file.set_len(end)?;
        }
        let newest = places.last().map(|last| read(&*file, *last)).transpose()?.flatten();
        let newest = newest.map(Arc::new);
        Ok(Inner { file: Some(file), end, places, newest, failing: false })
    }

    /// Adds one, if it is of a higher block than all that are there. It is not waited for until it is safe.
    pub fn add(&self, certificate: Certificate) {
        let mut inner = self.0.lock();
        let height = certificate.statement.height;
        if inner.newest.as_ref().is_some_and(|newest| newest.statement.height >= height) {
            return;
        }
        if let Some(file) = inner.file.clone() {
            let written = write(&*file, inner.end, height, &certificate);
            match written {
                Ok(place) => {
                    inner.end += padded(place.length.into());
                    inner.places.push(place);
                    inner.failing = false;
                }
                Err(error) if !inner.failing => {
                    tracing::warn!(%error, "a certificate could not be written; a later one covers its blocks");
                    inner.failing = true;
                }
                Err(_) => {}
            }
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

fn write(file: &dyn File, at: u64, height: Height, certificate: &Certificate) -> io::Result<Place> {
    let body = certificate.encode();
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MOST);
    let length = length.ok_or_else(|| io::Error::other("a certificate that is too long"))?;
    let mut record = Vec::with_capacity(HEADER + body.len() + 8);
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&1_u16.to_le_bytes());
    record.extend_from_slice(&[0; 2]);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&height.0.to_le_bytes());
    let crc = checksum(&record, &body);
    record.extend_from_slice(&crc.to_le_bytes());
    record.extend_from_slice(&body);
    record.resize(usize::try_from(padded(length.into())).unwrap_or(record.len()), 0);
    file.write_at(&record, at)?;
    Ok(Place { height, offset: at, length })
}
