//! Opening after power cuts at every boundary, and after every single flipped byte.

use std::sync::Arc;

use ledger::{Block, Height};

use crate::{
    BlockFile, Disk, Fault,
    block_file::{
        Options,
        tests::{append, small, wait},
    },
    simulated::{Crash, SimulatedDisk},
};

/// What a run knows when the power goes.
struct Known {
    options: Options,
    /// Blocks whose append was acknowledged and that no truncation was asked to take away.
    acknowledged: Vec<Arc<Block>>,
    /// Every block that was ever handed in, by height; the newest of a height is last.
    handed_in: Vec<Arc<Block>>,
    vote: Option<Vec<u8>>,
    tried_votes: Vec<Vec<u8>>,
    finished: bool,
}

impl Known {
    fn new(options: Options) -> Self {
        Self {
            options,
            acknowledged: Vec::new(),
            handed_in: Vec::new(),
            vote: None,
            tried_votes: Vec::new(),
            finished: false,
        }
    }
}

/// Notes where blocks are after every few.
fn noting() -> Options {
    Options { note_blocks: 5, ..small() }
}

/// Some two hundred operations on the disk: groups, giants, new segments, votes, truncations.
fn workload(disk: &SimulatedDisk, known: &mut Known) -> Result<(), Fault> {
    let file = BlockFile::open(Arc::new(disk.clone()), known.options.clone())?;
    for round in 0_usize..24 {
        let sizes: Vec<usize> = (0..round % 4 + 1).map(|it| (round * 97 + it * 41) % 900).collect();
        let blocks = crate::block_file::tests::blocks(&file, &sizes);
        known.handed_in.extend(blocks.iter().cloned());
        wait(|done| file.append(blocks.clone(), done))?;
        known.acknowledged.extend(blocks);
        if round % 6 == 2 {
            let vote = vec![u8::try_from(round).unwrap(); 9];
            known.tried_votes.push(vote.clone());
            wait(|done| file.save_vote(vote.clone(), done))?;
            known.vote = Some(vote);
        }
        if round % 8 == 5 {
            wait(|done| file.settle(done))?;
        }
        if round == 13 {
            let keep = known.acknowledged.len() - 5;
            known.acknowledged.truncate(keep);
            let last = known.acknowledged.last().map(|block| block.header.height);
            wait(|done| file.truncate_after(last, done))?;
        }
    }
    drop(file);
    known.finished = true;
    Ok(())
}

/// Opens what a crash left, and holds it against what is known.
fn check(disk: &SimulatedDisk, known: &Known, what: &str) {
    let file = BlockFile::open(Arc::new(disk.clone()), known.options.clone())
        .unwrap_or_else(|fault| panic!("{what}: {fault}"));
    assert!(file.damage().is_empty(), "{what}: {:?}", file.damage());
    for block in &known.acknowledged {
        let found = file.read(block.header.height).unwrap_or_else(|it| panic!("{what}: {it}"));
        assert_eq!(found.as_ref(), Some(block), "{what}: an acknowledged block is lost");
    }
    let count = file.tip().map_or(0, |tip| tip.height.0 + 1);
    for height in 0..count {
        let found = file.read(Height(height)).unwrap_or_else(|it| panic!("{what}: {it}")).unwrap();
        assert!(known.handed_in.contains(&found), "{what}: block {height} was never handed in");
    }
    let vote = file.vote();
    assert!(
        vote == known.vote || vote.as_ref().is_some_and(|it| known.tried_votes.contains(it)),
        "{what}: vote {vote:?}"
    );
    if let (Some(saved), Some(vote)) = (&known.vote, &vote) {
        assert!(vote >= saved, "{what}: the vote went back");
    }
    // The file goes on working, and what is appended now survives the next power cut.
    let more = append(&file, &[33, 44]).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    drop(file);
    let again = disk.after_crash(Crash::LoseAll);
    let file = BlockFile::open(Arc::new(again), known.options.clone()).unwrap();
    assert!(file.damage().is_empty(), "{what}: {:?}", file.damage());
    for block in known.acknowledged.iter().chain(&more) {
        assert_eq!(file.read(block.header.height).unwrap().as_ref(), Some(block), "{what}");
    }
}

fn crashes(at: u64) -> Vec<Crash> {
    let torn = (0..6).map(|seed| Crash::Torn { seed: at * 1000 + seed });
    [Crash::LoseAll, Crash::KeepAll].into_iter().chain(torn).collect()
}

#[test]
fn a_power_cut_at_every_boundary_keeps_what_was_acknowledged() {
    cut_everywhere(&small());
}

#[test]
fn a_power_cut_at_every_boundary_keeps_it_when_places_are_noted() {
    cut_everywhere(&noting());
}

/// The chain in a directory, as it is read with and without what was noted.
#[test]
fn places_that_were_noted_are_the_right_ones_or_none() {
    let disk = SimulatedDisk::new();
    let mut known = Known::new(noting());
    workload(&disk, &mut known).unwrap();
    let noted = disk.bytes("places").unwrap();
    assert!(noted.len() > 500, "{} bytes", noted.len());
    check(&disk.duplicate(), &known, "as it was");
    for at in 0..noted.len() {
        let spoiled = disk.duplicate();
        spoiled.flip("places", at as u64, 1 << (at % 8));
        check(&spoiled, &known, &format!("byte {at} flipped"));
    }
    let gone = disk.duplicate();
    gone.remove("places").unwrap();
    check(&gone, &known, "deleted");
    // Of another chain, or of this one as it was later.
    let other = SimulatedDisk::new();
    let file = BlockFile::open(Arc::new(other.clone()), small()).unwrap();
    let own = append(&file, &[5; 40]).unwrap();
    drop(file);
    other.put("places", &noted);
    let file = BlockFile::open(Arc::new(other), small()).unwrap();
    assert!(file.damage().is_empty(), "{:?}", file.damage());
    for block in own {
        assert_eq!(file.read(block.header.height).unwrap(), Some(block));
    }
}

#[test]
fn a_long_chain_is_opened_without_reading_it() {
    let disk = SimulatedDisk::new();
    let file = BlockFile::open(Arc::new(disk.clone()), noting()).unwrap();
    for _ in 0..30 {
        append(&file, &[200; 4]).unwrap();
    }
    drop(file);
    // A damaged block is then named by who reads it, and never cut away.
    disk.flip("00000000.blocks", 1500, 1);
    let file = BlockFile::open(Arc::new(disk.clone()), noting()).unwrap();
    assert!(file.damage().is_empty(), "it was read: {:?}", file.damage());
    assert_eq!(file.tip().unwrap().height, Height(119));
    let hurt = (0..120).filter(|height| file.read(Height(*height)).is_err()).count();
    assert_eq!(hurt, 1);
    append(&file, &[7]).unwrap();
    drop(file);
    disk.remove("places").unwrap();
    let file = BlockFile::open(Arc::new(disk), noting()).unwrap();
    assert_eq!(file.damage().len(), 1);
}

fn cut_everywhere(options: &Options) {
    let disk = SimulatedDisk::new();
    workload(&disk, &mut Known::new(options.clone())).unwrap();
    let operations = disk.operations();
    assert!(operations > 200, "{operations} operations");
    let mut states = 0;
    for at in 0..=operations {
        let disk = SimulatedDisk::new();
        disk.cut_power_after(at);
        let mut known = Known::new(options.clone());
        let result = workload(&disk, &mut known);
        assert_eq!(result.is_ok(), known.finished);
        for crash in crashes(at) {
            check(&disk.after_crash(crash), &known, &format!("power cut after {at}, {crash:?}"));
            states += 1;
        }
    }
    println!("{operations} boundaries, {states} crash states");
}

#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    let disk = SimulatedDisk::new();
    disk.cut_power_after(151);
    let mut known = Known::new(small());
    workload(&disk, &mut known).unwrap_err();
    for crash in crashes(1) {
        let left = disk.after_crash(crash);
        let whole = left.duplicate();
        drop(BlockFile::open(Arc::new(whole.clone()), small()).unwrap());
        for at in 0..=whole.operations() {
            let again = left.duplicate();
            again.cut_power_after(at);
            drop(BlockFile::open(Arc::new(again.clone()), small()));
            for second in crashes(at) {
                let what = format!("{crash:?}, then recovery cut after {at}, {second:?}");
                check(&again.after_crash(second), &known, &what);
            }
        }
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_caught_by_these_checks() {
    // The same checks must fail when nothing is really synced: otherwise they prove nothing.
    let disk = SimulatedDisk::new();
    disk.lie();
    let mut known = Known::new(small());
    workload(&disk, &mut known).unwrap();
    let left = disk.after_crash(Crash::LoseAll);
    let file = BlockFile::open(Arc::new(left), small()).unwrap();
    assert!(file.tip().is_none());
    assert!(!known.acknowledged.is_empty());
}

/// A small file over two segments, closed in order.
fn sealed() -> (SimulatedDisk, Vec<Arc<Block>>) {
    let disk = SimulatedDisk::new();
    let file = BlockFile::open(Arc::new(disk.clone()), small()).unwrap();
    let mut all = Vec::new();
    for round in 0..9 {
        all.extend(append(&file, &[round * 50, 20]).unwrap());
    }
    drop(file);
    (disk, all)
}

#[test]
fn every_flipped_byte_is_told_and_none_is_cut_away() {
    let (disk, all) = sealed();
    for name in ["00000000.blocks", "00000001.blocks", "00000002.blocks"] {
        let bytes = disk.bytes(name).unwrap();
        for (at, &byte) in bytes.iter().enumerate() {
            let mask = 1 << (at % 8);
            let copy = disk.duplicate();
            copy.flip(name, at as u64, mask);
            let what = format!("{name} byte {at} ({byte:#x})");
            let file = BlockFile::open(Arc::new(copy.clone()), small()).unwrap();
            let damage = file.damage();
            // Every block either reads as it was, or fails by name.
            for block in &all {
                match file.read(block.header.height) {
                    Ok(found) => assert_eq!(found.as_ref(), Some(block), "{what}"),
                    Err(Fault::Damaged(found)) => {
                        assert_eq!(found.height, Some(block.header.height), "{what}");
                    }
                    Err(other) => panic!("{what}: {other}"),
                }
            }
            drop(file);
            if !damage.is_empty() {
                // Nothing was written, and nothing was cut.
                let mut expected = bytes.clone();
                expected[at] ^= mask;
                assert_eq!(copy.bytes(name), Some(expected), "{what}");
            }
            assert!(damage.len() <= 1, "{what}: {damage:?}");
        }
    }
}

#[test]
fn a_damaged_file_takes_no_writes() {
    let (disk, all) = sealed();
    disk.flip("00000000.blocks", 1024 + 40, 4);
    let file = BlockFile::open(Arc::new(disk), small()).unwrap();
    assert_eq!(file.damage().len(), 1);
    assert!(matches!(append(&file, &[1]), Err(Fault::Damaged(_))));
    assert!(matches!(file.read(Height(0)), Err(Fault::Damaged(_))));
    assert_eq!(file.read(Height(1)).unwrap().as_ref(), all.get(1));
}

#[test]
fn missing_and_cut_segments_are_damage() {
    let (disk, all) = sealed();
    let last = all.len() as u64 - 1;
    let without = |name: &str| {
        let copy = disk.duplicate();
        Disk::remove(&copy, name).unwrap();
        BlockFile::open(Arc::new(copy), small()).unwrap()
    };
    let name = Disk::list(&disk).unwrap().into_iter().rfind(|it| it.ends_with(".blocks"));
    let name = name.unwrap();
    let file = without(&name);
    let damaged: Vec<u64> =
        file.damage().iter().filter_map(|it| it.height).map(|it| it.0).collect();
    assert_eq!(damaged.last(), Some(&last), "the acknowledged end is gone: {damaged:?}");
    // Cut in the middle of the last record, as a careless copy does.
    let bytes = disk.bytes(&name).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    disk.put(&name, &bytes[..end - 10]);
    let file = BlockFile::open(Arc::new(disk), small()).unwrap();
    assert_eq!(file.damage().len(), 1);
    assert!(matches!(file.read(Height(last)), Err(Fault::Damaged(_))));
}
