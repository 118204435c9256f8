//! How far blocks were acknowledged, kept lazily beside them: it tells a torn tail (may be cut) from a
//! damaged block (may not). Knows nothing of blocks.
//!
//! File `acknowledged`: two slots of 32 bytes, at bytes 0 and 512, written in turn, so that a torn write
//! leaves the older one. It is written after each group's sync and synced only when the node is idle: what
//! it says is always true, and at worst old.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SACK` |
//! | 4 | 2 | format version: 1 |
//! | 6 | 2 | zero |
//! | 8 | 8 | sequence number of this write |
//! | 16 | 8 | how many heights (from 0) are on stable storage |
//! | 24 | 4 | zero |
//! | 28 | 4 | CRC-32 of bytes 0..28 |

use std::sync::Arc;

use super::record::number;
use crate::{Disk, Fault, File};

const MAGIC: &[u8; 4] = b"SACK";
const SLOT: u64 = 512;

/// The open file.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: Arc<dyn File>,
    sequence: u64,
    count: u64,
    unsynced: bool,
}

impl Watermark {
    /// The file.
    pub(crate) const NAME: &'static str = "acknowledged";

    /// Opens the file, or makes it.
    pub(crate) fn open(disk: &dyn Disk) -> Result<Self, Fault> {
        let fault = |error| Fault::io(format!("open {}", Self::NAME), error);
        let file = disk.open(Self::NAME, true).map_err(fault)?;
        if file.len().map_err(fault)? < 2 * SLOT {
            file.preallocate(2 * SLOT).map_err(fault)?;
            file.sync_data().map_err(fault)?;
            disk.sync_dir().map_err(fault)?;
        }
        let newest = newest(&*file)?;
        Ok(Self { file, sequence: newest.0, count: newest.1, unsynced: false })
    }

    /// Reads the count of a file that may be in use.
    pub(crate) fn peek(disk: &dyn Disk) -> Result<u64, Fault> {
        let file = disk
            .open(Self::NAME, false)
            .map_err(|error| Fault::io(format!("open {}", Self::NAME), error))?;
        Ok(newest(&*file)?.1)
    }

    /// Heights below this were acknowledged, or could have been.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether [`Self::sync`] has something to do.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Notes that heights below `count` are on stable storage. Not synced.
    pub(crate) fn write(&mut self, count: u64) -> Result<(), Fault> {
        let sequence = self.sequence + 1;
        let mut slot = Vec::with_capacity(32);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&1_u16.to_le_bytes());
        slot.extend_from_slice(&[0; 2]);
        slot.extend_from_slice(&sequence.to_le_bytes());
        slot.extend_from_slice(&count.to_le_bytes());
        slot.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&slot);
        slot.extend_from_slice(&crc.to_le_bytes());
        self.file
            .write_at(&slot, sequence % 2 * SLOT)
            .map_err(|error| Fault::io(format!("write {}", Self::NAME), error))?;
        (self.sequence, self.count, self.unsynced) = (sequence, count, true);
        Ok(())
    }

    /// Makes the last write safe.
    pub(crate) fn sync(&mut self) -> Result<(), Fault> {
        if self.unsynced {
            self.file
                .sync_data()
                .map_err(|error| Fault::io(format!("sync {}", Self::NAME), error))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// The newest slot that reads: its sequence number and count.
fn newest(file: &dyn File) -> Result<(u64, u64), Fault> {
    let mut bytes = vec![0; 1024];
    let read = file
        .read_at(&mut bytes, 0)
        .map_err(|error| Fault::io(format!("read {}", Watermark::NAME), error))?;
    bytes.truncate(read);
    let slots = [0, 512].iter().filter_map(|&at| decode(bytes.get(at..)?));
    Ok(slots.max().unwrap_or_default())
}

fn decode(slot: &[u8]) -> Option<(u64, u64)> {
    let crc = u32::from_le_bytes(number(slot, 28)?);
    if slot.get(..4)? != MAGIC || crc != crc32fast::hash(slot.get(..28)?) {
        return None;
    }
    if u16::from_le_bytes(number(slot, 4)?) != 1 {
        return None;
    }
    Some((u64::from_le_bytes(number(slot, 8)?), u64::from_le_bytes(number(slot, 16)?)))
}
