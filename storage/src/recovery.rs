//! Opening the block file after whatever happened: what is kept, what is cut, what stops us.
//!
//! A writer appends a group of records, syncs, and only then acknowledges; each record carries how many
//! heights were on stable storage when it was written. So a record of a later group proves that all before
//! its group was safe, and the watermark file proves the rest, as far as it was written. With *proven* being
//! the greater of both:
//!
//! - what doesn't read at or past *proven* was never acknowledged: a torn tail, which is cut;
//! - what doesn't read below *proven* is damage: it is named, nothing is cut, and nothing more is written.
//!
//! It decides by records and parent hashes; whether a block's body is true to its header is for
//! [`crate::verify`] and for who applies the block.

#[cfg(test)]
mod hostile;
mod noted;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use ledger::{Header, Height, Tip, block::LinkError};

use crate::{
    Damage, Disk, Fault, File,
    block_file::{
        link::Link,
        places,
        record::{
            self, RECORD_HEADER, RECORD_MAGIC, RecordHeader, SEGMENT_COPY, SEGMENT_HEADER,
            SegmentHeader, Unreadable,
        },
        watermark::Watermark,
    },
};

/// A segment that is open.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
    pub(crate) name: String,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Index into the open segments.
    pub(crate) segment: u32,
    /// Byte in the file, divided by 8.
    pub(crate) eighth: u32,
    /// Bytes of the block; 0 when the block can't be read.
    pub(crate) length: u32,
}

impl Position {
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.eighth) * 8
    }
}

/// A torn tail that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file that was cut.
    pub file: String,
    /// At which byte.
    pub offset: u64,
    /// The height whose record didn't read; it was never acknowledged.
    pub height: Height,
}

/// No chain gets this high; a file that says so is not believed.
const MOST_HEIGHT: u64 = 1 << 62;
/// Most blocks that may be missing in a row: more than a segment of the smallest blocks holds.
const MOST_MISSING: u64 = 2_000_000;

/// Blocks behind the newest of which the chain's end before them is kept.
pub(crate) const ENDS: usize = 1024;

/// What opening found.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    /// Height of the first position.
    pub(crate) first: u64,
    pub(crate) positions: Vec<Position>,
    /// The last block; `None` for an empty file, and behind a gap.
    pub(crate) link: Option<Link>,
    /// The chain's end before each of the newest blocks, with their heights.
    pub(crate) ends: VecDeque<(u64, Tip)>,
    /// End of the last record in the last segment.
    pub(crate) end: u64,
    pub(crate) damage: BTreeMap<u64, Damage>,
    pub(crate) cut: Option<Cut>,
    /// How many blocks were taken over from what was noted of them, and the bytes of the note that hold.
    pub(crate) noted: (u64, u64),
}

/// A place where reading broke off.
struct Break {
    height: u64,
    /// The first height that reads again.
    resumed: u64,
    /// Index of the segment; the break is at `offset` in it.
    segment: usize,
    offset: u64,
    detail: String,
}

struct Scan {
    out: Recovered,
    /// The next height, once the first segment's header was read.
    expected: u64,
    /// Most heights that any record proves to have been safe.
    durable: u64,
    breaks: Vec<Break>,
    /// Bytes that are not zero behind the last record.
    dirty_tail: bool,
    /// The end of the chain of those blocks that were taken over as noted.
    noted: Option<Link>,
}

/// Opens all segments, cuts a torn tail, and makes what is kept safe.
pub(crate) fn recover(
    disk: &dyn Disk,
    watermark: &mut Watermark,
    preallocate: u64,
) -> Result<Recovered, Fault> {
    let names = disk.list().map_err(|error| Fault::io("list the data directory", error))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| record::segment_number(name)).collect();
    numbers.sort_unstable();
    let mut scan = Scan {
        out: Recovered::default(),
        expected: 0,
        durable: watermark.count(),
        breaks: Vec::new(),
        dirty_tail: false,
        noted: None,
    };
    let last = numbers.last().copied();
    let seen = noted::take_over(disk, &mut scan, &numbers, places::read(disk)?)?;
    for number in numbers.into_iter().skip(seen) {
        open_segment(disk, &mut scan, number, Some(number) == last)?;
    }
    settle(&mut scan, preallocate)?;
    let mut out = scan.out;
    if out.damage.is_empty() {
        harden(&out, scan.durable)?;
        watermark.write(scan.expected)?;
        watermark.sync()?;
    }
    out.first = scan.expected - out.positions.len() as u64;
    out.ends.retain(|(height, _)| *height < scan.expected);
    Ok(out)
}

fn open_segment(disk: &dyn Disk, scan: &mut Scan, number: u32, is_last: bool) -> Result<(), Fault> {
    let name = record::segment_name(number);
    let fault = |error| Fault::io(format!("read {name}"), error);
    let file = disk.open(&name, false).map_err(fault)?;
    let length = file.len().map_err(fault)?;
    let header = match read_segment_header(&name, &*file)? {
        Some(header) if header.number == number => header,
        _ => {
            let empty = first_nonzero(&*file, SEGMENT_HEADER, length).map_err(fault)?.is_none();
            if is_last && empty && scan.durable <= scan.expected {
                // Its creation was cut short: a record is written only after the header is safe.
                disk.remove(&name).map_err(fault)?;
                disk.sync_dir().map_err(fault)?;
                return Ok(());
            }
            let segment = scan.out.segments.len().saturating_sub(1);
            scan.breaks.push(Break {
                height: scan.expected,
                resumed: scan.expected,
                segment,
                offset: 0,
                detail: format!("{name}: both copies of the segment's header are damaged"),
            });
            scan.out.link = None;
            // Never torn: blocks lie behind it.
            scan.durable = scan.durable.max(scan.expected + 1);
            return Ok(());
        }
    };
    if scan.out.segments.is_empty() {
        if header.first.0 > MOST_HEIGHT {
            let (height, detail) =
                (None, format!("it claims to begin with block {}", header.first.0));
            return Err(Fault::Damaged(Damage { height, file: name, offset: 0, detail }));
        }
        scan.expected = header.first.0;
    } else {
        // A new segment is made only after all of the one before is safe.
        let misplaced = header.first.0 != scan.expected;
        scan.durable = scan.durable.max(header.first.0).max(scan.expected + u64::from(misplaced));
        skip_to(scan, header.first.0, "the file ends before its last block".to_owned())?;
    }
    if is_last && first_nonzero(&*file, SEGMENT_HEADER, length).map_err(fault)?.is_none() {
        // Its creation may have been torn, and left one copy only. It is made safe with the rest.
        file.write_at(&header.encode(), 0).map_err(fault)?;
    }
    scan.out.segments.push(Segment { header, file, name });
    scan_segment(scan, length, SEGMENT_HEADER)
}

/// Reads either copy of a segment's header.
pub(crate) fn read_segment_header(
    name: &str,
    file: &dyn File,
) -> Result<Option<SegmentHeader>, Fault> {
    let mut area = vec![0; SEGMENT_COPY * 2];
    let read =
        file.read_at(&mut area, 0).map_err(|error| Fault::io(format!("read {name}"), error))?;
    area.truncate(read);
    let mut version = None;
    for start in [0, SEGMENT_COPY] {
        match area.get(start..).map(SegmentHeader::decode) {
            Some(Ok(header)) => return Ok(Some(header)),
            Some(Err(Unreadable::Version(found))) => version = Some(found),
            Some(Err(Unreadable::Damaged)) | None => {}
        }
    }
    version.map_or(Ok(None), |found| {
        Err(Fault::Version { file: name.to_owned(), found, known: record::VERSION })
    })
}

/// Notes that the heights up to `next` are missing, if any are.
fn skip_to(scan: &mut Scan, next: u64, detail: String) -> Result<(), Fault> {
    if next == scan.expected && !scan.breaks.iter().any(|it| it.resumed == it.height) {
        return Ok(());
    }
    let segment = scan.out.segments.len() - 1;
    if let Some(open) = scan.breaks.last_mut().filter(|it| it.resumed == it.height) {
        open.resumed = next;
    } else {
        let (height, offset) = (scan.expected, scan.out.end);
        scan.breaks.push(Break { height, resumed: next, segment, offset, detail });
    }
    leave_gap(scan, next)
}

/// Notes that the blocks up to `next` can't be read. A file that claims more than could ever have stood there
/// is not believed.
fn leave_gap(scan: &mut Scan, next: u64) -> Result<(), Fault> {
    if next.saturating_sub(scan.expected) > MOST_MISSING {
        let file = scan.out.segments.last().map_or("", |segment| &segment.name);
        return Err(Fault::Damaged(Damage {
            height: Some(Height(scan.expected)),
            file: file.to_owned(),
            offset: scan.out.end,
            detail: format!("it claims that block {next} comes next"),
        }));
    }
    let segment = u32::try_from(scan.out.segments.len().saturating_sub(1)).unwrap_or(u32::MAX);
    for _ in scan.expected..next {
        scan.out.positions.push(Position { segment, eighth: 0, length: 0 });
    }
    scan.expected = scan.expected.max(next);
    scan.out.link = None;
    Ok(())
}

/// Reads the records of the last segment from a byte on.
fn scan_segment(scan: &mut Scan, length: u64, from: u64) -> Result<(), Fault> {
    let Some(segment) = scan.out.segments.last().cloned() else { return Ok(()) };
    let index = scan.out.segments.len() - 1;
    let mut window = Window::new(&*segment.file, length);
    let fault = |error| Fault::io(format!("read {}", segment.name), error);
    let mut at = from;
    scan.dirty_tail = false;
    loop {
        let detail = match read_record(&mut window, at, segment.header.salt).map_err(fault)? {
            Ok((header, _)) if header.height.0 != scan.expected => {
                format!("block {} is here instead", header.height.0)
            }
            Ok((header, body)) => match Header::decode_front(body) {
                Ok((block, _)) if block.height == header.height => {
                    link(scan, index, at, &block);
                    scan.out.positions.push(position(index, at, header.length));
                    scan.durable = scan.durable.max(header.durable);
                    scan.expected += 1;
                    at += header.record_length();
                    continue;
                }
                Ok((block, _)) => format!("its header says height {}", block.height.0),
                Err(error) => format!("its header doesn't decode: {error}"),
            },
            Err(detail) => detail,
        };
        scan.out.end = at;
        let height = scan.expected;
        match find_record(&mut window, at, segment.header.salt, height).map_err(fault)? {
            Some((next, header)) => {
                scan.durable = scan.durable.max(header.durable);
                let resumed = header.height.0;
                scan.breaks.push(Break { height, resumed, segment: index, offset: at, detail });
                leave_gap(scan, resumed)?;
                at = next;
            }
            None => {
                let dirty = first_nonzero(&*segment.file, at, length).map_err(fault)?.is_some();
                scan.dirty_tail = dirty;
                return Ok(());
            }
        }
    }
}

/// Checks that a header follows the one before. A wrong parent speaks against the earlier block, whose record
/// is whole and whose hash is not what its successor knew; all else against this one.
fn link(scan: &mut Scan, segment: usize, offset: u64, header: &Header) {
    if let Some(end) = scan.out.link.as_ref().and_then(Link::whole) {
        if scan.out.ends.len() >= ENDS {
            scan.out.ends.pop_front();
        }
        scan.out.ends.push_back((scan.expected, end.clone()));
    }
    let result = match &mut scan.out.link {
        Some(link) => link.advance(header).map(drop),
        None if scan.out.positions.is_empty() => {
            Link::begin(header).map(|link| scan.out.link = Some(link))
        }
        None => {
            scan.out.link = Some(Link::behind_gap(header));
            Ok(())
        }
    };
    let Err(error) = result else { return };
    scan.out.link = Some(Link::behind_gap(header));
    let (height, detail) = match error {
        LinkError::Parent { due, found, .. } => (
            scan.expected - 1,
            format!("its hash is {due}, but its successor names {found} as its parent"),
        ),
        other => (scan.expected, other.to_string()),
    };
    // A record that is whole was not torn.
    scan.durable = scan.durable.max(height.saturating_add(1));
    scan.breaks.push(Break { height, resumed: height.saturating_add(1), segment, offset, detail });
}

/// Decides: torn tail or damage.
fn settle(scan: &mut Scan, preallocate: u64) -> Result<(), Fault> {
    let proven = scan.durable;
    if scan.expected < proven {
        let (height, offset) = (scan.expected, scan.out.end);
        let segment = scan.out.segments.len().saturating_sub(1);
        let detail = "it was acknowledged, and is not there".to_owned();
        scan.breaks.push(Break { height, resumed: proven, segment, offset, detail });
        leave_gap(scan, proven)?;
    }
    if scan.breaks.iter().any(|it| it.height < proven) {
        for it in &scan.breaks {
            let file = scan.out.segments.get(it.segment).map_or("", |found| &found.name);
            for height in it.height..it.resumed.max(it.height + 1) {
                let damage = Damage {
                    height: Some(Height(height)),
                    file: file.to_owned(),
                    offset: it.offset,
                    detail: it.detail.clone(),
                };
                scan.out.damage.entry(height).or_insert(damage);
            }
        }
        return Ok(());
    }
    let Some(segment) = scan.out.segments.last() else { return Ok(()) };
    let mut offset = scan.out.end;
    if let Some(first) = scan.breaks.first() {
        // What follows it was in the same group, and never acknowledged either.
        let kept = scan.out.positions.len() as u64 - (scan.expected - first.height);
        scan.out.positions.truncate(usize::try_from(kept).unwrap_or(0));
        (scan.expected, offset) = (first.height, first.offset);
    } else if !scan.dirty_tail {
        return Ok(());
    }
    let fault = |error| Fault::io(format!("cut {}", segment.name), error);
    segment.file.set_len(offset).map_err(fault)?;
    segment.file.sync_data().map_err(fault)?;
    match segment.file.preallocate(offset.next_multiple_of(preallocate.max(8))).map_err(fault) {
        // Of use later, and not needed for reading.
        Ok(()) | Err(Fault::DiskFull { .. }) => {}
        Err(fault) => return Err(fault),
    }
    scan.out.end = offset;
    scan.out.cut = Some(Cut { file: segment.name.clone(), offset, height: Height(scan.expected) });
    let known = usize::try_from(scan.out.noted.0).unwrap_or(usize::MAX);
    let noted = scan.noted.clone().map(|link| (known, link));
    scan.out.link = relink_from(&scan.out.segments, &scan.out.positions, noted)?;
    Ok(())
}

/// Reads the headers at all positions again, and gives the end of their chain.
pub(crate) fn relink(segments: &[Segment], positions: &[Position]) -> Result<Option<Link>, Fault> {
    relink_from(segments, positions, None)
}

/// As [`relink`]; the end of the chain of the first positions may be known.
fn relink_from(
    segments: &[Segment],
    positions: &[Position],
    known: Option<(usize, Link)>,
) -> Result<Option<Link>, Fault> {
    let (skip, mut link) = known.map_or((0, None), |(skip, link)| (skip, Some(link)));
    for (index, segment) in segments.iter().enumerate() {
        let fault = |error| Fault::io(format!("read {}", segment.name), error);
        let length = segment.file.len().map_err(fault)?;
        let mut window = Window::new(&*segment.file, length);
        let rest = positions.iter().skip(skip);
        for position in rest.filter(|it| it.segment as usize == index) {
            let record = read_record(&mut window, position.offset(), segment.header.salt);
            let (_, body) = record.map_err(fault)?.map_err(Fault::Internal)?;
            let broken = |error: &dyn std::fmt::Display| Fault::Internal(error.to_string());
            let (header, _) = Header::decode_front(body).map_err(|error| broken(&error))?;
            match &mut link {
                Some(link) => drop(link.advance(&header).map_err(|error| broken(&error))?),
                None => link = Some(Link::begin(&header).map_err(|error| broken(&error))?),
            }
        }
    }
    Ok(link)
}

/// Makes what was read safe. The last group is written again: when its sync failed before a restart, the
/// system may hold it in memory alone and call it clean, and a sync would not write it.
fn harden(out: &Recovered, durable: u64) -> Result<(), Fault> {
    let Some(segment) = out.segments.last() else { return Ok(()) };
    let fault = |error| Fault::io(format!("sync {}", segment.name), error);
    let first = segment.header.first.0;
    let skip = usize::try_from(durable.saturating_sub(first)).unwrap_or(usize::MAX);
    let index = out.segments.len() - 1;
    let start = out
        .positions
        .iter()
        .filter(|it| it.segment as usize == index)
        .nth(skip)
        .map_or(out.end, |it| it.offset());
    let mut buffer = vec![0; 1 << 20];
    let mut at = start;
    while at < out.end {
        let want = usize::try_from((out.end - at).min(1 << 20)).unwrap_or(1 << 20);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        let read = segment.file.read_at(chunk, at).map_err(fault)?;
        let chunk = chunk.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        segment.file.write_at(chunk, at).map_err(fault)?;
        at += chunk.len() as u64;
    }
    segment.file.sync_data().map_err(fault)
}

fn position(segment: usize, at: u64, length: u32) -> Position {
    Position {
        segment: u32::try_from(segment).unwrap_or(u32::MAX),
        eighth: u32::try_from(at / 8).unwrap_or(u32::MAX),
        length,
    }
}

/// Reads the record at `at`; the inner error says what is wrong with it.
pub(crate) fn read_record<'w>(
    window: &'w mut Window<'_>,
    at: u64,
    salt: u64,
) -> std::io::Result<Result<(RecordHeader, &'w [u8]), String>> {
    let bytes = window.get(at, RECORD_HEADER as u64)?;
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(Err("no record is here".to_owned()));
    }
    let Some(header) = RecordHeader::decode(bytes, salt) else {
        return Ok(Err("the record's header is damaged".to_owned()));
    };
    let length = header.record_length();
    let record = window.get(at, length)?;
    let end = RECORD_HEADER + header.length as usize;
    let (Some(body), Some(padding)) = (record.get(RECORD_HEADER..end), record.get(end..)) else {
        return Ok(Err("the record runs past the end of the file".to_owned()));
    };
    if record.len() as u64 != length {
        return Ok(Err("the record runs past the end of the file".to_owned()));
    }
    if record::checksum(salt, body) != header.crc {
        return Ok(Err("the block's checksum doesn't match its bytes".to_owned()));
    }
    if padding.iter().any(|&byte| byte != 0) {
        return Ok(Err("the record's padding is not zero".to_owned()));
    }
    Ok(Ok((header, body)))
}

/// Looks for the next whole record behind `at` of a height above `height`.
pub(crate) fn find_record(
    window: &mut Window<'_>,
    at: u64,
    salt: u64,
    height: u64,
) -> std::io::Result<Option<(u64, RecordHeader)>> {
    // Where the damaged record ends, if its header can be trusted, so that its inside isn't searched.
    let mut next = match RecordHeader::decode(window.get(at, RECORD_HEADER as u64)?, salt) {
        Some(header) if header.height.0 == height => at + header.record_length(),
        _ => at + 8,
    };
    loop {
        let chunk = window.get(next, CHUNK)?;
        if chunk.len() < RECORD_HEADER {
            return Ok(None);
        }
        let found = chunk.chunks_exact(8).position(|it| it.starts_with(RECORD_MAGIC));
        let Some(index) = found else {
            next += (chunk.len() / 8 * 8) as u64;
            continue;
        };
        next += index as u64 * 8;
        if let Ok((header, _)) = read_record(window, next, salt)?
            && header.height.0 > height
        {
            return Ok(Some((next, header)));
        }
        next += 8;
    }
}

/// The first byte in `from..to` that is not zero.
pub(crate) fn first_nonzero(file: &dyn File, from: u64, to: u64) -> std::io::Result<Option<u64>> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let want = usize::try_from((to - at).min(CHUNK)).unwrap_or(buffer.len());
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        let read = file.read_at(chunk, at)?;
        if read == 0 {
            break;
        }
        let chunk = chunk.get(..read).unwrap_or_default();
        if chunk.iter().any(|&byte| byte != 0) {
            let index = chunk.iter().position(|&byte| byte != 0).unwrap_or(0);
            return Ok(Some(at + index as u64));
        }
        at += read as u64;
    }
    Ok(None)
}

const CHUNK: u64 = 1 << 20;

/// A moving view of a file, so that small records don't cost a call each.
pub(crate) struct Window<'f> {
    file: &'f dyn File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'f> Window<'f> {
    pub(crate) fn new(file: &'f dyn File, length: u64) -> Self {
        Self { file, length, start: 0, bytes: Vec::new() }
    }

    /// The bytes at `at`: `length` of them, fewer at the file's end.
    pub(crate) fn get(&mut self, at: u64, length: u64) -> std::io::Result<&[u8]> {
        let length = length.min(self.length.saturating_sub(at));
        if at < self.start || at + length > self.start + self.bytes.len() as u64 {
            let want = length.max(CHUNK).min(self.length.saturating_sub(at));
            self.bytes.resize(usize::try_from(want).unwrap_or(0), 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let from = from.min(self.bytes.len());
        let to = (from + usize::try_from(length).unwrap_or(0)).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}
