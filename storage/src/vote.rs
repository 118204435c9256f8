//! Consensus' vote: a small file that is replaced as a whole. It doesn't know what a vote says.
//!
//! File `vote`, written as `vote.new` beside it, synced, renamed, and the directory synced:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SVOT` |
//! | 4 | 2 | format version: 1 |
//! | 6 | 2 | length *n* of the vote |
//! | 8 | *n* | the vote |
//! | 8+*n* | 4 | CRC-32 of all before |

use std::io;

use crate::{Damage, Disk, Fault, block_file::record::number};

/// The file.
pub(crate) const NAME: &str = "vote";
const NEW: &str = "vote.new";
const MAGIC: &[u8; 4] = b"SVOT";

/// Replaces the vote; safe when it returns. [`Fault::DiskFull`] means that nothing has changed: it may be tried again.
pub(crate) fn save(disk: &dyn Disk, vote: &[u8]) -> Result<(), Fault> {
    let fault = |error| Fault::io(format!("write {NAME}"), error);
    let length = u16::try_from(vote.len())
        .map_err(|_| Fault::Internal(format!("a vote of {} bytes", vote.len())))?;
    let mut bytes = Vec::with_capacity(vote.len() + 12);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(vote);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let file = disk.open(NEW, true).map_err(fault)?;
    file.set_len(0).map_err(fault)?;
    file.write_at(&bytes, 0).map_err(fault)?;
    let failed = |error| Fault::sync(format!("sync {NAME}"), error);
    file.sync_data().map_err(failed)?;
    disk.rename(NEW, NAME).map_err(fault)?;
    disk.sync_dir().map_err(failed)
}

/// The vote that was saved last, if one was.
pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Vec<u8>>, Fault> {
    let fault = |error| Fault::io(format!("read {NAME}"), error);
    let file = match disk.open(NAME, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let length = usize::try_from(file.len().map_err(fault)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(1 << 17)];
    let read = file.read_at(&mut bytes, 0).map_err(fault)?;
    bytes.truncate(read);
    decode(&bytes).map(Some).ok_or_else(|| {
        // Forgetting a vote could elect two leaders in one term: it is never guessed.
        Fault::Damaged(Damage {
            height: None,
            file: NAME.to_owned(),
            offset: 0,
            detail: "the checksum doesn't match its bytes".to_owned(),
        })
    })
}

fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_le_bytes(number(bytes, 6)?));
    let body = bytes.get(..8 + length)?;
    let crc = u32::from_le_bytes(number(bytes, 8 + length)?);
    if body.get(..4)? != MAGIC
        || u16::from_le_bytes(number(bytes, 4)?) != 1
        || crc != crc32fast::hash(body)
        || bytes.len() != length + 12
    {
        return None;
    }
    body.get(8..).map(<[u8]>::to_vec)
}
