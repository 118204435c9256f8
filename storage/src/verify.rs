//! Walks every byte of the block file and believes none: segment headers, records, blocks, hashes, links,
//! roots, signatures, and the zeros between and behind them. It names the height and what differs, goes on
//! behind damage, and changes nothing. Records are read one after the other; what shows in each block alone is
//! looked at on all cores, some megabytes of blocks at a time, and then held against the chain in order.

mod certificates;
mod chain_check;
pub(crate) mod derived;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use ledger::{Block, Header, Height};

use crate::{
    Damage, Disk, Fault, File,
    block_file::{
        record::{self, RECORD_HEADER, RecordHeader, SEGMENT_COPY, SEGMENT_HEADER, SegmentHeader},
        watermark::Watermark,
    },
    parallel,
    recovery::{self, Window},
    vote,
};
use certificates::Certified;
use chain_check::{ChainCheck, Look};

/// Findings kept for one file; more are counted, not kept.
const MOST_FINDINGS: usize = 1000;

/// Bytes of blocks that are looked at side by side. A block as large as that is looked at alone, and its parts side by
/// side.
const SIDE_BY_SIDE: usize = if cfg!(test) { 2 << 10 } else { 4 << 20 };

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Check every transaction's signature too. It takes most of the time for small transactions.
    pub signatures: bool,
    /// Stop before this height, and leave the bytes behind it alone: a node is writing them. `None` when no
    /// node has the directory open.
    pub until: Option<Height>,
}

impl Default for Options {
    fn default() -> Self {
        Self { signatures: true, until: None }
    }
}

/// How far the walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes walked.
    pub bytes: u64,
    /// Bytes of all files.
    pub of: u64,
    /// The next height.
    pub height: Height,
}

/// What the walk found, file by file.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In order.
    pub files: Vec<FileReport>,
    /// Blocks that are whole, in their place and true to their headers.
    pub sound_blocks: u64,
    /// The newest block's height and hash, if it could be read.
    pub head: Option<(Height, ledger::Hash)>,
}

/// What was found in one file.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// The first block in it.
    pub from: Option<Height>,
    /// The last block in it.
    pub to: Option<Height>,
    /// Its bytes that were walked.
    pub bytes: u64,
    /// What is wrong, in order of bytes.
    pub damage: Vec<Damage>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.files.iter().all(|file| file.damage.is_empty())
    }

    /// Everything that is wrong.
    pub fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.files.iter().flat_map(|file| &file.damage)
    }
}

/// Walks a directory.
///
/// # Errors
/// When the directory or a file can't be read at all; a format version that this program doesn't know.
/// Damage is no error: it is in the report.
pub fn verify(
    disk: &dyn Disk,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Fault> {
    let names = disk.list().map_err(|error| Fault::io("list the data directory", error))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| record::segment_number(name)).collect();
    numbers.sort_unstable();
    let mut walk = Walk {
        options,
        progress,
        at: Progress::default(),
        chain: ChainCheck::new(options.signatures),
        certified: Certified::open(disk, options.until.is_some())?,
        expected: 0,
        proven: 0,
        previous: (0, 0),
        due: 0,
        report: Report::default(),
    };
    let mut files = Vec::new();
    for (due, number) in (0_u32..).zip(numbers) {
        let name = record::segment_name(number);
        let fault = |error| Fault::io(format!("read {name}"), error);
        let file = disk.open(&name, false).map_err(fault)?;
        let length = file.len().map_err(fault)?;
        walk.at.of += length;
        files.push((due, number, name.clone(), file, length));
    }
    if names.iter().any(|name| name == Watermark::NAME) {
        walk.proven = Watermark::peek(disk)?;
    }
    let mut files = files.into_iter().peekable();
    while let Some((due, number, name, file, length)) = files.next() {
        if walk.is_done() {
            break;
        }
        let next = match files.peek() {
            Some((_, _, name, file, _)) => recovery::read_segment_header(name, &**file)?,
            None => None,
        };
        walk.due = next.map_or(walk.proven, |header| header.first.0);
        walk.report.files.push(FileReport { file: name, ..FileReport::default() });
        if number != due {
            walk.find(0, Some(walk.expected), format!("segment {due} is missing"));
        }
        walk.segment(number, &*file, length)?;
    }
    walk.finish(disk)?;
    let Walk { options, certified, expected, mut report, .. } = walk;
    report.files.extend(certified.finish(options.until.is_none().then_some(Height(expected))));
    Ok(report)
}

/// Walks blocks that are in no file, or whose file is not at hand.
pub(crate) fn verify_blocks(
    read: &dyn Fn(Height) -> Result<Arc<Block>, Fault>,
    until: Height,
    signatures: bool,
    progress: &mut dyn FnMut(Progress),
) -> Report {
    let mut chain = ChainCheck::new(signatures);
    let mut report = Report::default();
    let mut blocks = FileReport { file: "blocks".to_owned(), ..FileReport::default() };
    for height in (0..until.0).map(Height) {
        let mut find = |height, detail| {
            let (file, height) = (blocks.file.clone(), Some(height));
            blocks.damage.push(Damage { height, file, offset: 0, detail });
        };
        let block = match read(height) {
            Ok(block) => block,
            Err(fault) => {
                chain.gap();
                find(height, fault.to_string());
                continue;
            }
        };
        let wrong = chain.block(&block, &chain.look(&block), true);
        report.sound_blocks += u64::from(wrong.iter().all(|it| it.before));
        for it in wrong {
            find(if it.before { Height(height.0 - 1) } else { height }, it.detail);
        }
        report.head = Some((height, block.header.hash()));
        (blocks.from, blocks.to) = (blocks.from.or(Some(height)), Some(height));
        progress(Progress { height, ..Progress::default() });
    }
    report.files.push(blocks);
    report
}

/// A whole record of the height that was due.
struct Record<'b> {
    at: u64,
    header: RecordHeader,
    body: Cow<'b, [u8]>,
}

/// What its block shows by itself.
struct Seen {
    block: Block,
    is_canonical: bool,
    look: Look,
}

/// Decodes a block and looks at it, with all cores if it is `alone`.
fn see(chain: &ChainCheck, body: &[u8], alone: bool) -> Result<Seen, String> {
    let block = Block::decode(body).map_err(|error| format!("it doesn't decode: {error}"))?;
    let look = || chain.look(&block);
    let is_canonical = || block.is_encoded_as(body);
    let (look, is_canonical) =
        if alone { parallel::both(look, is_canonical) } else { (look(), is_canonical()) };
    Ok(Seen { is_canonical, look, block })
}

struct Walk<'p> {
    options: Options,
    progress: &'p mut dyn FnMut(Progress),
    at: Progress,
    chain: ChainCheck,
    certified: Certified,
    /// The next height.
    expected: u64,
    /// Heights that records prove to have been on stable storage.
    proven: u64,
    /// Index of the file and byte of the record before.
    previous: (usize, u64),
    /// Heights below this must lie in this segment or before: the next one begins with it, or they were
    /// acknowledged.
    due: u64,
    report: Report,
}

impl Walk<'_> {
    fn is_done(&self) -> bool {
        self.options.until.is_some_and(|until| self.expected >= until.0)
    }

    /// Notes what is wrong in the last file.
    fn find(&mut self, offset: u64, height: Option<u64>, detail: String) {
        let last = self.report.files.len().saturating_sub(1);
        self.find_in(last, offset, height, detail);
    }

    fn find_in(&mut self, file: usize, offset: u64, height: Option<u64>, detail: String) {
        if let Some(last) = self.report.files.get_mut(file)
            && last.damage.len() < MOST_FINDINGS
        {
            let file = last.file.clone();
            last.damage.push(Damage { height: height.map(Height), file, offset, detail });
        }
    }

    fn segment(&mut self, number: u32, file: &dyn File, length: u64) -> Result<(), Fault> {
        let name = record::segment_name(number);
        let fault = |error| Fault::io(format!("read {name}"), error);
        let before = self.at.bytes;
        let Some(header) = recovery::read_segment_header(&name, file)? else {
            self.find(0, Some(self.expected), "both copies of its header are damaged".to_owned());
            self.chain.gap();
            return Ok(());
        };
        self.header(number, header, file).map_err(fault)?;
        if header.first.0 != self.expected {
            let detail = format!(
                "it begins with block {}, and block {} was due",
                header.first.0, self.expected
            );
            self.find(0, Some(self.expected), detail);
            self.chain.gap();
            self.expected = header.first.0;
        }
        let end = self.records(header, file, length).map_err(fault)?;
        let walked = if self.is_done() { end.min(length) } else { length };
        if !self.is_done()
            && let Some(at) = recovery::first_nonzero(file, end, length).map_err(fault)?
        {
            let detail = "bytes that are not zero behind the last acknowledged block".to_owned();
            self.find(at, None, detail);
        }
        if let Some(last) = self.report.files.last_mut() {
            last.bytes = walked;
        }
        self.at.bytes = before + walked;
        (self.progress)(self.at);
        Ok(())
    }

    /// Holds both copies of a segment's header against what they must be.
    fn header(
        &mut self,
        number: u32,
        header: SegmentHeader,
        file: &dyn File,
    ) -> std::io::Result<()> {
        if header.number != number {
            self.find(0, None, format!("its header says that it is segment {}", header.number));
        }
        let mut area = vec![0; SEGMENT_COPY * 2];
        let read = file.read_at(&mut area, 0)?;
        let expected = header.encode();
        let differs = area.iter().zip(&expected).position(|(found, due)| found != due);
        let differs = differs.or_else(|| (read < area.len()).then_some(read));
        if let Some(at) = differs {
            let copy = if at < SEGMENT_COPY { "first" } else { "second" };
            let detail = format!("the {copy} copy of the segment's header is damaged");
            self.find(at as u64, None, detail);
        }
        Ok(())
    }

    /// Walks the records; gives where they end.
    fn records(
        &mut self,
        segment: SegmentHeader,
        file: &dyn File,
        length: u64,
    ) -> std::io::Result<u64> {
        let mut window = Window::new(file, length);
        let mut at = SEGMENT_HEADER;
        let mut reported = 0;
        let mut waiting = Vec::new();
        let mut bytes = 0;
        while !self.is_done() {
            let detail = match recovery::read_record(&mut window, at, segment.salt)? {
                Ok((header, body)) if header.height.0 == self.expected => {
                    bytes += body.len();
                    if body.len() >= SIDE_BY_SIDE {
                        self.judge(std::mem::take(&mut waiting));
                        self.judge(vec![Record { at, header, body: Cow::Borrowed(body) }]);
                    } else {
                        waiting.push(Record { at, header, body: Cow::Owned(body.to_vec()) });
                    }
                    self.expected = self.expected.saturating_add(1);
                    if bytes >= SIDE_BY_SIDE {
                        self.judge(std::mem::take(&mut waiting));
                        bytes = 0;
                    }
                    at += header.record_length();
                    if at - reported > 16 << 20 {
                        (self.at.bytes, reported) = (self.at.bytes + at - reported, at);
                        self.at.height = Height(self.expected);
                        (self.progress)(self.at);
                    }
                    continue;
                }
                Ok((header, _)) => format!("block {} is here instead", header.height.0),
                Err(detail) => detail,
            };
            self.judge(std::mem::take(&mut waiting));
            let height = self.expected;
            match recovery::find_record(&mut window, at, segment.salt, height)? {
                Some((next, header)) => {
                    let more = self.look_inside(&mut window, at, segment.salt)?;
                    self.find(at, Some(height), format!("{detail}{more}"));
                    let missing = height.saturating_add(1)..header.height.0;
                    for missing in missing.take(MOST_FINDINGS) {
                        self.find(at, Some(missing), "its record can't be found".to_owned());
                    }
                    self.expected = header.height.0;
                    at = next;
                }
                None => return self.end(&mut window, at, segment.salt, &detail),
            }
        }
        self.judge(waiting);
        Ok(at)
    }

    /// No whole record follows: the end, or a damaged last block.
    fn end(
        &mut self,
        window: &mut Window<'_>,
        at: u64,
        salt: u64,
        detail: &str,
    ) -> std::io::Result<u64> {
        let bytes = window.get(at, RECORD_HEADER as u64)?;
        let is_empty = bytes.iter().all(|&byte| byte == 0);
        let header = RecordHeader::decode(bytes, salt);
        match header.filter(|header| header.height.0 == self.expected) {
            Some(header) => {
                let more = self.look_inside(window, at, salt)?;
                self.find(at, Some(self.expected), format!("{detail}{more}"));
                self.expected = self.expected.saturating_add(1);
                Ok(at + header.record_length())
            }
            None if !is_empty && self.expected < self.due => {
                self.find(at, Some(self.expected), detail.to_owned());
                self.expected = self.expected.saturating_add(1);
                self.chain.gap();
                Ok(u64::MAX)
            }
            None => Ok(at),
        }
    }

    /// Says what differs in a record whose checksum doesn't match, as far as its block can be read; the chain
    /// goes on behind its header, if that is whole.
    fn look_inside(
        &mut self,
        window: &mut Window<'_>,
        at: u64,
        salt: u64,
    ) -> std::io::Result<String> {
        let expected = self.expected;
        let header = RecordHeader::decode(window.get(at, RECORD_HEADER as u64)?, salt);
        let Some(header) = header.filter(|header| header.height.0 == expected) else {
            self.chain.gap();
            return Ok(String::new());
        };
        let record = window.get(at, RECORD_HEADER as u64 + u64::from(header.length))?;
        let body = record.get(RECORD_HEADER..).unwrap_or_default();
        let block = match Block::decode(body) {
            Ok(block) if block.header.height == header.height => block,
            Ok(block) => {
                self.chain.gap();
                return Ok(format!("; its header says height {}", block.header.height.0));
            }
            Err(error) => {
                self.chain.gap();
                let front = Header::decode_front(body).is_ok();
                let part = if front { "body" } else { "header" };
                return Ok(format!("; its {part} doesn't decode: {error}"));
            }
        };
        let wrong = self.chain.block(&block, &self.chain.look(&block), false);
        self.previous = (self.report.files.len().saturating_sub(1), at);
        // What its link says of the block before comes from bytes that can't be trusted.
        let own = wrong.into_iter().filter(|wrong| !wrong.before);
        let details: Vec<String> = own.map(|wrong| format!("; {}", wrong.detail)).collect();
        Ok(details.concat())
    }

    /// Records that follow one another: what they show by themselves first, and then what they are in the chain.
    fn judge(&mut self, records: Vec<Record<'_>>) {
        let (chain, alone) = (&self.chain, records.len() == 1);
        let seen = parallel::each(&records, |record| see(chain, &record.body, alone));
        for (record, seen) in records.iter().zip(seen) {
            self.block(record.at, record.header, seen);
        }
    }

    fn block(&mut self, at: u64, record: RecordHeader, seen: Result<Seen, String>) {
        let height = record.height.0;
        self.proven = self.proven.max(record.durable);
        let Seen { block, is_canonical, look } = match seen {
            Ok(seen) => seen,
            Err(detail) => {
                self.chain.gap();
                return self.find(at, Some(height), detail);
            }
        };
        if block.header.height.0 != height {
            self.chain.gap();
            let detail = format!("its header says height {}", block.header.height.0);
            return self.find(at, Some(height), detail);
        }
        let mut sound = true;
        if !is_canonical {
            self.find(at, Some(height), "its bytes are not canonical".to_owned());
            sound = false;
        }
        if record.durable > height {
            let detail = "its record says that later blocks were there before it".to_owned();
            self.find(at, Some(height), detail);
            sound = false;
        }
        if height > 0 {
            self.certified.block(&block, self.chain.members());
        }
        let wrongs = self.chain.block(&block, &look, true);
        if height == 0 {
            self.certified.block(&block, self.chain.members());
        }
        for wrong in wrongs {
            if wrong.before {
                let (file, offset) = self.previous;
                self.find_in(file, offset, Some(height.saturating_sub(1)), wrong.detail);
            } else {
                self.find(at, Some(height), wrong.detail);
                sound = false;
            }
        }
        self.previous = (self.report.files.len().saturating_sub(1), at);
        self.report.sound_blocks += u64::from(sound);
        self.report.head = Some((block.header.height, block.header.hash()));
        if let Some(last) = self.report.files.last_mut() {
            last.from = last.from.or(Some(block.header.height));
            last.to = Some(block.header.height);
        }
    }

    /// What the other files say: blocks that were acknowledged and are not there, and a vote that doesn't read.
    fn finish(&mut self, disk: &dyn Disk) -> Result<(), Fault> {
        if self.options.until.is_some() {
            return Ok(());
        }
        if self.proven > self.expected {
            if self.report.files.is_empty() {
                self.report
                    .files
                    .push(FileReport { file: record::segment_name(0), ..FileReport::default() });
            }
            let end = self.report.files.last().map_or(0, |file| file.bytes);
            let detail =
                format!("blocks up to {} were acknowledged, and are gone", self.proven - 1);
            self.find(end, Some(self.expected), detail);
        }
        let mut report = FileReport { file: vote::NAME.to_owned(), ..FileReport::default() };
        match vote::load(disk) {
            Ok(None) => return Ok(()),
            Ok(Some(vote)) => report.bytes = vote.len() as u64 + 12,
            Err(Fault::Damaged(damage)) => report.damage.push(damage),
            Err(other) => return Err(other),
        }
        self.report.files.push(report);
        Ok(())
    }
}
