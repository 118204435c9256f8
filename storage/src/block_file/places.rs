//! Where the blocks are, noted beside them as they are written, so that opening a long chain needn't read all of
//! it: what is noted here was on stable storage, and is looked at again only when it is read. Derived: a
//! damaged or deleted file makes the next opening read every record. Knows nothing of what blocks hold.
//!
//! File `places`: groups, one behind the other, each of blocks that follow those of the group before. What
//! doesn't read, and all behind it, is as good as not there.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SPLC` |
//! | 4 | 2 | format version: 1 |
//! | 6 | 2 | zero |
//! | 8 | 4 | number of blocks *n* |
//! | 12 | 4 | length *t* of the chain's end |
//! | 16 | 8 | height of the first block |
//! | 24 | 12 *n* | for each: index of the segment, its byte in there divided by 8, length of the block |
//! | 24 + 12 *n* | *t* | the chain's end before the last block: `ledger::Tip` in borsh |
//! | 24 + 12 *n* + *t* | 4 | CRC-32 of all before |

use std::sync::Arc;

use ledger::{Tip, codec};

use super::record::number;
use crate::{Disk, Fault, File, recovery::Position};

/// The file.
pub(crate) const NAME: &str = "places";
const MAGIC: &[u8; 4] = b"SPLC";
const FRONT: usize = 24;
const PLACE: usize = 12;
/// Blocks of a group, at most.
const MOST: usize = 1 << 24;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// The places of the blocks from height 0 on.
    pub(crate) positions: Vec<Position>,
    /// The chain's end before the last of them.
    pub(crate) before: Option<Tip>,
    /// Bytes that read.
    pub(crate) end: u64,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Places {
    file: Arc<dyn File>,
    end: u64,
    /// How many blocks are noted.
    count: u64,
}

/// Reads the file; one that isn't there says nothing.
pub(crate) fn read(disk: &dyn Disk) -> Result<Noted, Fault> {
    let fault = |error| Fault::io(format!("read {NAME}"), error);
    let mut noted = Noted::default();
    let file = match disk.open(NAME, false) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(noted),
        Err(error) => return Err(fault(error)),
    };
    let length = usize::try_from(file.len().map_err(fault)?).unwrap_or(0);
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0).map_err(fault)?;
    bytes.truncate(read);
    let mut rest = bytes.as_slice();
    while let Some(group) = Group::decode(rest) {
        if group.first != noted.positions.len() as u64 {
            break;
        }
        rest = rest.get(group.length..).unwrap_or_default();
        noted.positions.extend_from_slice(&group.positions);
        noted.before = Some(group.before);
        noted.end += group.length as u64;
    }
    Ok(noted)
}

struct Group {
    first: u64,
    positions: Vec<Position>,
    before: Tip,
    length: usize,
}

impl Group {
    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != MAGIC || u16::from_le_bytes(number(bytes, 4)?) != 1 {
            return None;
        }
        let count = usize::try_from(u32::from_le_bytes(number(bytes, 8)?)).ok()?;
        let tip = usize::try_from(u32::from_le_bytes(number(bytes, 12)?)).ok()?;
        if count == 0 || count > MOST || tip > 1 << 16 {
            return None;
        }
        let places = FRONT + count * PLACE;
        let end = places + tip;
        let crc = u32::from_le_bytes(number(bytes, end)?);
        if crc != crc32fast::hash(bytes.get(..end)?) {
            return None;
        }
        let places_of = bytes.get(FRONT..places)?.chunks_exact(PLACE);
        let positions = places_of.map(|place| {
            Some(Position {
                segment: u32::from_le_bytes(number(place, 0)?),
                eighth: u32::from_le_bytes(number(place, 4)?),
                length: u32::from_le_bytes(number(place, 8)?),
            })
        });
        Some(Self {
            first: u64::from_le_bytes(number(bytes, 16)?),
            positions: positions.collect::<Option<_>>()?,
            before: codec::decode(bytes.get(places..end)?).ok()?,
            length: end + 4,
        })
    }
}

impl Places {
    /// Opens the file, or makes it, to go on behind what of it counts.
    pub(crate) fn open(disk: &dyn Disk, count: u64, end: u64) -> Result<Self, Fault> {
        let fault = |error| Fault::io(format!("open {NAME}"), error);
        let file = disk.open(NAME, true).map_err(fault)?;
        if file.len().map_err(fault)? != end {
            // What lay behind may be of another past, and must not turn up behind what is noted now.
            file.set_len(end).map_err(fault)?;
            file.sync_data().map_err(fault)?;
        }
        Ok(Self { file, end, count })
    }

    /// How many blocks are noted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Notes where blocks are that are on stable storage. Not synced: what is lost of it is read again.
    pub(crate) fn write(&mut self, positions: &[Position], before: &Tip) -> Result<(), Fault> {
        if positions.is_empty() || positions.len() > MOST {
            return Ok(());
        }
        let tip = codec::encode(before);
        let mut bytes = Vec::with_capacity(FRONT + positions.len() * PLACE + tip.len() + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&1_u16.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend_from_slice(&length(positions.len()));
        bytes.extend_from_slice(&length(tip.len()));
        bytes.extend_from_slice(&self.count.to_le_bytes());
        for position in positions {
            for part in [position.segment, position.eighth, position.length] {
                bytes.extend_from_slice(&part.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&tip);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let fault = |error| Fault::io(format!("write {NAME}"), error);
        self.file.write_at(&bytes, self.end).map_err(fault)?;
        self.end += bytes.len() as u64;
        self.count += positions.len() as u64;
        Ok(())
    }

    /// Forgets all that is noted, for good: blocks are about to be taken away.
    pub(crate) fn clear(&mut self) -> Result<(), Fault> {
        let fault = |error| Fault::io(format!("cut {NAME}"), error);
        self.file.set_len(0).map_err(fault)?;
        self.file.sync_data().map_err(fault)?;
        (self.end, self.count) = (0, 0);
        Ok(())
    }
}
