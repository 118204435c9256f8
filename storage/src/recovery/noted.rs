//! Taking over what was noted of blocks that are long on stable storage: their records aren't read, but for
//! the last one, whose header must be what the noted end of the chain leads to. What doesn't fit together is
//! left aside as a whole, and every record is read.

use ledger::Header;

use super::{Scan, Segment, Window, read_record, read_segment_header, scan_segment};
use crate::{
    Disk, Fault,
    block_file::{
        link::Link,
        places::Noted,
        record::{self, RECORD_HEADER, SEGMENT_HEADER},
    },
};

/// Begins a scan behind what was noted, in the segment of the last noted block, which is read to its end. Gives
/// how many segments are done.
pub(super) fn take_over(
    disk: &dyn Disk,
    scan: &mut Scan,
    numbers: &[u32],
    noted: Noted,
) -> Result<usize, Fault> {
    let Some((segments, link, length)) = fits(disk, numbers, &noted)? else { return Ok(0) };
    let Some(last) = noted.positions.last() else { return Ok(0) };
    let end = record::padded(u64::from(last.length) + RECORD_HEADER as u64) + last.offset();
    let count = noted.positions.len() as u64;
    let done = segments.len();
    scan.expected = count;
    // It was noted after it was safe.
    scan.durable = scan.durable.max(count);
    scan.noted = Some(link.clone());
    scan.out.segments = segments;
    scan.out.positions = noted.positions;
    scan.out.link = Some(link);
    scan.out.noted = (count, noted.end);
    scan_segment(scan, length, end)?;
    Ok(done)
}

/// The segments that hold what was noted, the chain's end behind it, and the last segment's length; `None` when
/// anything is not as it was.
fn fits(
    disk: &dyn Disk,
    numbers: &[u32],
    noted: &Noted,
) -> Result<Option<(Vec<Segment>, Link, u64)>, Fault> {
    let (Some(last), Some(before)) = (noted.positions.last(), &noted.before) else {
        return Ok(None);
    };
    let mut segments = Vec::new();
    let mut length = 0;
    for index in 0..=last.segment {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(&number) = numbers.get(place) else { return Ok(None) };
        let name = record::segment_name(number);
        let fault = |error| Fault::io(format!("read {name}"), error);
        let file = disk.open(&name, false).map_err(fault)?;
        length = file.len().map_err(fault)?;
        let Some(header) = read_segment_header(&name, &*file)? else { return Ok(None) };
        let first = noted.positions.partition_point(|it| it.segment < index);
        let own = noted.positions.get(first).filter(|it| it.segment == index);
        let ends = noted.positions.partition_point(|it| it.segment <= index);
        let end = ends
            .checked_sub(1)
            .and_then(|place| noted.positions.get(place))
            .map(|it| it.offset() + record::padded(u64::from(it.length) + RECORD_HEADER as u64));
        if header.number != number
            || header.first.0 != first as u64
            || own.is_none_or(|it| it.offset() != SEGMENT_HEADER)
            || end.is_none_or(|end| end > length)
        {
            return Ok(None);
        }
        segments.push(Segment { header, file, name });
    }
    let Some(segment) = segments.last() else { return Ok(None) };
    let mut window = Window::new(&*segment.file, length);
    let fault = |error| Fault::io(format!("read {}", segment.name), error);
    let record = read_record(&mut window, last.offset(), segment.header.salt).map_err(fault)?;
    let Ok((header, body)) = record else { return Ok(None) };
    let mut link = Link::kept(before.clone());
    let follows = Header::decode_front(body)
        .is_ok_and(|(block, _)| block.height == header.height && link.advance(&block).is_ok());
    let is_last = header.height.0 + 1 == noted.positions.len() as u64;
    Ok((follows && is_last).then_some((segments, link, length)))
}
