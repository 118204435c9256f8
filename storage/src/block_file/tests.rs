//! The block file in ordinary use, on a real and on a simulated disk.

use super::{link::Link, *};
use crate::{RealDisk, simulated::SimulatedDisk};

/// Sizes at which segments roll and memory forgets within a few blocks.
pub(crate) fn small() -> Options {
    Options {
        segment: 4096,
        preallocate: 1024,
        slack: 0,
        group_bytes: 600,
        recent: 2,
        idle: Duration::from_secs(3600),
        ..Options::default()
    }
}

/// As many blocks as there are sizes, behind the file's tip; the sizes are of their stamps.
pub(crate) fn blocks(file: &BlockFile, sizes: &[usize]) -> Vec<Arc<Block>> {
    let mut link = file.shared.inner.read().link.clone();
    let mut out = Vec::new();
    for &size in sizes {
        let height = link.as_ref().map_or(0, |link| link.tip().height.0 + 1);
        let fill = |index| u8::try_from((index * 7 + size) % 256).unwrap_or_default();
        let stamp = (0..size).map(fill).collect();
        let proposal = Proposal { stamp, ..Proposal::default() };
        let block = link::make(link.as_ref(), Height(height), proposal).unwrap();
        match &mut link {
            Some(link) => drop(link.advance(&block.header).unwrap()),
            None => link = Some(Link::begin(&block.header).unwrap()),
        }
        out.push(Arc::new(block));
    }
    out
}

/// Runs a call that answers by callback, and waits for the answer.
pub(crate) fn wait(call: impl FnOnce(Done) -> Result<(), Fault>) -> Result<(), Fault> {
    let (sender, receiver) = channel();
    call(Box::new(move |result| drop(sender.send(result))))?;
    receiver.recv().map_err(|_| Fault::Internal("no answer".to_owned()))?
}

pub(crate) fn append(file: &BlockFile, sizes: &[usize]) -> Result<Vec<Arc<Block>>, Fault> {
    let blocks = blocks(file, sizes);
    wait(|done| file.append(blocks.clone(), done))?;
    Ok(blocks)
}

fn open(disk: &SimulatedDisk) -> BlockFile {
    BlockFile::open(Arc::new(disk.clone()), small()).unwrap()
}

fn assert_holds(file: &BlockFile, blocks: &[Arc<Block>]) {
    for block in blocks {
        assert_eq!(file.read(block.header.height).unwrap().as_ref(), Some(block));
    }
    assert_eq!(file.tip().map(|tip| tip.height.0 + 1), Some(blocks.len() as u64));
    assert_eq!(file.read(Height(blocks.len() as u64)).unwrap(), None);
}

#[test]
fn blocks_come_back_over_many_segments_and_a_reopening() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let mut all = Vec::new();
    for round in 0..40 {
        all.extend(append(&file, &[round * 13 % 700, 0, 90]).unwrap());
    }
    assert_holds(&file, &all);
    assert!(disk.list().unwrap().len() > 5, "several segments");
    drop(file);
    let file = open(&disk);
    assert!(file.damage().is_empty());
    assert_eq!(file.cut(), None);
    assert_eq!(file.durable(), 120);
    assert_holds(&file, &all);
    all.extend(append(&file, &[5]).unwrap());
    assert_holds(&file, &all);
}

#[test]
fn a_real_directory_works_and_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.path().join("data")).unwrap());
    let file = BlockFile::open(Arc::clone(&disk), Options::default()).unwrap();
    let blocks = append(&file, &[10, 2000, 0]).unwrap();
    assert!(matches!(BlockFile::open(Arc::clone(&disk), Options::default()), Err(Fault::Locked)));
    wait(|done| file.save_vote(b"vote".to_vec(), done)).unwrap();
    drop(file);
    let file = BlockFile::open(disk, Options::default()).unwrap();
    assert_holds(&file, &blocks);
    assert_eq!(file.vote(), Some(b"vote".to_vec()));
}

#[test]
fn a_block_larger_than_a_segment_gets_its_own() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let all = append(&file, &[10, 20_000, 10]).unwrap();
    drop(file);
    assert_holds(&open(&disk), &all);
}

#[test]
fn blocks_that_do_not_follow_are_refused() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    append(&file, &[1, 2]).unwrap();
    let mut stranger = Block::clone(&blocks(&file, &[3])[0]);
    stranger.header.parent = ledger::Hash([1; 32]);
    let stranger = Arc::new(stranger);
    assert!(matches!(wait(|done| file.append(vec![stranger], done)), Err(Fault::Internal(_))));
    let gap = Arc::clone(&blocks(&file, &[3, 4])[1]);
    assert!(matches!(wait(|done| file.append(vec![gap], done)), Err(Fault::Internal(_))));
    append(&file, &[3]).unwrap();
}

#[test]
fn truncation_takes_blocks_away_at_any_place() {
    for keep in [None, Some(0), Some(3), Some(17), Some(18), Some(29), Some(40)] {
        let disk = SimulatedDisk::new();
        let file = open(&disk);
        let mut all = Vec::new();
        for _ in 0..30 {
            all.extend(append(&file, &[300]).unwrap());
        }
        wait(|done| file.truncate_after(keep.map(Height), done)).unwrap();
        all.truncate(keep.map_or(0, |keep| usize::try_from(keep + 1).unwrap()));
        if keep.is_none() {
            assert!(file.tip().is_none());
        } else {
            assert_holds(&file, &all);
        }
        all.extend(append(&file, &[200, 100]).unwrap());
        assert_holds(&file, &all);
        drop(file);
        let file = open(&disk);
        assert!(file.damage().is_empty(), "{:?}", file.damage());
        assert_holds(&file, &all);
    }
}

#[test]
fn a_truncation_reads_nothing_of_what_stays() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let mut all = append(&file, &[10; 9]).unwrap();
    drop(file);
    // Nor of what an opening has read.
    let file = open(&disk);
    all.extend(append(&file, &[10; 3]).unwrap());
    for height in [0, 2, 5] {
        let (name, offset) = file.place(Height(height));
        disk.flip(&name, offset + 40, 1);
    }
    for kept in [9, 6] {
        wait(|done| file.truncate_after(Some(Height(kept)), done)).unwrap();
        all.truncate(usize::try_from(kept + 1).unwrap());
        assert_eq!(file.tip().unwrap().hash, all.last().unwrap().header.hash());
        all.extend(append(&file, &[20; 2]).unwrap());
    }
    assert_eq!(file.read(Height(8)).unwrap().as_ref(), all.last());
}

#[test]
fn what_a_truncation_takes_away_is_kept_by_nobody() {
    let disk = Arc::new(SimulatedDisk::new());
    let options = Options { recent: 0, recent_bytes: 0, ..small() };
    let (file, mut turns) = BlockFile::open_by_turns(disk, options, Box::new(|| ())).unwrap();
    file.append(blocks(&file, &[1, 2, 3]), Box::new(drop)).unwrap();
    assert_eq!(file.durable(), 0);
    assert!(turns.take());
    assert_eq!(file.durable(), 3);
    file.truncate_after(Some(Height(1)), Box::new(drop)).unwrap();
    // Somebody looks while it is on its way.
    let before = file.front(Height(2)).unwrap().unwrap();
    assert!(turns.take());
    assert_eq!(file.front(Height(2)).unwrap(), None);
    let other = blocks(&file, &[300]);
    file.append(other.clone(), Box::new(drop)).unwrap();
    assert!(turns.take());
    let front = file.front(Height(2)).unwrap().unwrap();
    assert_ne!(front.stamp, before.stamp);
    assert_eq!(front.stamp, other[0].stamp);
    file.close();
    assert!(!turns.take());
}

#[test]
fn appends_that_queue_up_share_a_sync() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    append(&file, &[1]).unwrap();
    let before = disk.syncs();
    let (sender, receiver) = channel();
    for block in blocks(&file, &[8; 50]) {
        let sender = sender.clone();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        file.append(vec![block], done).unwrap();
    }
    for _ in 0..50 {
        receiver.recv().unwrap().unwrap();
    }
    assert!(disk.syncs() - before < 50, "{} syncs", disk.syncs() - before);
}

#[test]
fn a_full_disk_is_told_before_anything_is_promised() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let mut all = append(&file, &[100, 100]).unwrap();
    disk.set_capacity(Some(disk.used() + 4000));
    assert!(matches!(wait(|done| file.reserve(50_000, done)), Err(Fault::DiskFull { .. })));
    assert!(file.stopped().is_none());
    // What fits still goes in, and so does the rest once there is room.
    wait(|done| file.reserve(200, done)).unwrap();
    all.extend(append(&file, &[100]).unwrap());
    disk.set_capacity(None);
    wait(|done| file.reserve(50_000, done)).unwrap();
    all.extend(append(&file, &[40_000]).unwrap());
    assert_holds(&file, &all);
    drop(file);
    assert_holds(&open(&disk), &all);
}

#[test]
fn memory_keeps_what_is_needed_and_a_bounded_rest() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let held = |file: &BlockFile| file.shared.inner.read().recent.len();
    let mut all = append(&file, &[10; 9]).unwrap();
    assert_eq!(held(&file), 2);
    file.need_from(Height(9));
    all.extend(append(&file, &[10; 5]).unwrap());
    assert_eq!(held(&file), 5);
    file.need_from(Height(13));
    assert_eq!(held(&file), 2);
    assert_holds(&file, &all);
    assert_eq!(file.shared.inner.read().recent_bytes, {
        all[12..].iter().map(|block| block.encode().len() as u64).sum::<u64>()
    });
}

#[test]
fn room_is_what_fits_without_asking() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    append(&file, &[10]).unwrap();
    wait(|done| file.reserve(1500, done)).unwrap();
    let room = file.room();
    assert!((1500..4096).contains(&room), "{room}");
    disk.set_capacity(Some(disk.used()));
    append(&file, &[700]).unwrap();
    assert!(file.room() < room);
    wait(|done| file.truncate_after(Some(Height(0)), done)).unwrap();
    assert_eq!(file.room(), 0);
}

#[test]
fn what_finds_no_place_waits_for_it_in_order() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let mut all = append(&file, &[100, 100]).unwrap();
    wait(|done| file.save_vote(b"first".to_vec(), done)).unwrap();
    disk.set_capacity(Some(disk.used()));
    let (sender, told) = channel();
    let done = |what: &'static str| -> Done {
        let sender = sender.clone();
        Box::new(move |result| sender.send((what, result.is_ok())).unwrap())
    };
    for (what, size) in [("large", 50_000), ("small", 1)] {
        let blocks = blocks(&file, &[size]);
        file.append(blocks.clone(), done(what)).unwrap();
        all.extend(blocks);
    }
    // Nor does a vote overtake them, and who asks for place is told.
    file.save_vote(b"second".to_vec(), done("vote")).unwrap();
    assert!(matches!(wait(|done| file.reserve(10, done)), Err(Fault::DiskFull { .. })));
    assert!(told.try_recv().is_err() && file.is_stuck() && file.stopped().is_none());
    assert!(matches!(file.full(), Some(Fault::DiskFull { .. })));
    assert_eq!(file.durable(), 2);
    assert_holds(&file, &all);
    let lost = open(&disk.after_crash(crate::simulated::Crash::KeepAll));
    assert_holds(&lost, &all[..2]);
    assert_eq!(lost.vote().as_deref(), Some(&b"first"[..]));

    disk.set_capacity(None);
    file.try_again().unwrap();
    let told: Vec<_> = told.iter().take(3).collect();
    assert_eq!(told, [("large", true), ("small", true), ("vote", true)]);
    wait(|done| file.reserve(10, done)).unwrap();
    assert!(file.full().is_none() && !file.is_stuck());
    drop(file);
    let file = open(&disk);
    assert_holds(&file, &all);
    assert_eq!(file.vote().as_deref(), Some(&b"second"[..]));
}

#[test]
fn a_vote_takes_the_place_that_is_kept_for_blocks() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    append(&file, &[100]).unwrap();
    wait(|done| file.reserve(1500, done)).unwrap();
    disk.set_capacity(Some(disk.used()));
    wait(|done| file.save_vote(b"first".to_vec(), done)).unwrap();
    wait(|done| file.save_vote(b"second".to_vec(), done)).unwrap();
    assert_eq!(file.vote().as_deref(), Some(&b"second"[..]));
    assert!(file.full().is_none());
}

#[test]
fn a_closed_file_leaves_nobody_waiting() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    append(&file, &[100]).unwrap();
    disk.set_capacity(Some(disk.used()));
    let (sender, told) = channel();
    file.append(blocks(&file, &[50_000]), Box::new(move |result| drop(sender.send(result))))
        .unwrap();
    assert!(wait(|done| file.reserve(10, done)).is_err());
    file.close();
    assert!(matches!(told.recv().unwrap(), Err(Fault::DiskFull { .. })));
}

#[test]
fn a_failed_sync_stops_the_file_and_is_never_retried() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let all = append(&file, &[100, 100]).unwrap();
    disk.fail_sync(0);
    assert!(matches!(append(&file, &[10]), Err(Fault::Io { .. })));
    let syncs = disk.syncs();
    assert!(matches!(append(&file, &[10]), Err(Fault::Stopped { .. })));
    assert!(matches!(wait(|done| file.save_vote(vec![1], done)), Err(Fault::Stopped { .. })));
    drop(file);
    assert_eq!(disk.syncs(), syncs, "nothing was synced again");
    // The bytes are still in the system's memory, and called clean. Whoever opens the file next sees the
    // block, and must not lose it in a power cut once it was shown.
    let file = open(&disk.duplicate());
    let kept = file.tip().unwrap().height.0;
    assert!(kept >= 1);
    drop(file);
    let reopened = disk.duplicate();
    drop(open(&reopened));
    let after = open(&reopened.after_crash(crate::simulated::Crash::LoseAll));
    assert_eq!(after.tip().unwrap().height.0, kept);
    assert_eq!(after.read(Height(1)).unwrap().as_ref(), all.last());
}

#[test]
fn a_damaged_vote_is_never_guessed() {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    wait(|done| file.save_vote(b"term 3".to_vec(), done)).unwrap();
    drop(file);
    let length = disk.bytes("vote").unwrap().len();
    for at in 0..length as u64 {
        let copy = disk.duplicate();
        copy.flip("vote", at, 1);
        let opened = BlockFile::open(Arc::new(copy), small());
        assert!(matches!(opened, Err(Fault::Damaged(_))), "byte {at}");
    }
}
