//! Damage of all kinds, put right with what another node has, and with what it should not give.

use super::super::tests::{append, blocks, small, wait};
use super::*;
use crate::{Disk, simulated::SimulatedDisk};

fn open(disk: &SimulatedDisk) -> BlockFile {
    BlockFile::open(Arc::new(disk.clone()), small()).unwrap()
}

/// A file of several segments, closed, and its blocks.
fn chain() -> (SimulatedDisk, Vec<Arc<Block>>) {
    let disk = SimulatedDisk::new();
    let file = open(&disk);
    let mut all = Vec::new();
    for size in [40, 700, 10, 1500, 300, 2500, 10, 10, 900, 5000, 60, 20] {
        all.extend(append(&file, &[size]).unwrap());
    }
    drop(file);
    Disk::remove(&disk, "places").unwrap();
    (disk, all)
}

/// The blocks of a run.
fn of(all: &[Arc<Block>], (from, to): (Height, Height)) -> Vec<Arc<Block>> {
    all.iter().filter(|it| (from..=to).contains(&it.header.height)).cloned().collect()
}

/// Mends all that is damaged; gives what opening again finds.
fn mended(disk: &SimulatedDisk, all: &[Arc<Block>]) -> Result<BlockFile, Fault> {
    let file = open(disk);
    for run in file.damaged() {
        wait(|done| file.mend(of(all, run), done))?;
    }
    drop(file);
    Ok(open(disk))
}

fn assert_whole(file: &BlockFile, all: &[Arc<Block>]) {
    assert_eq!(file.damaged(), []);
    for block in all {
        assert_eq!(file.read(block.header.height).unwrap().as_ref(), Some(block));
    }
}

#[test]
fn a_flipped_byte_is_put_right_in_its_place() {
    let (disk, all) = chain();
    let mut damaged = 0;
    for name in ["00000000.blocks", "00000001.blocks", "00000002.blocks"] {
        let whole = disk.bytes(name).unwrap();
        for at in (0..whole.len() as u64).step_by(5) {
            let copy = disk.duplicate();
            copy.flip(name, at, 0x40);
            let file = open(&copy);
            let runs = file.damaged();
            assert!(runs.len() < 2 && file.cut().is_none_or(|_| runs.is_empty()));
            drop(file);
            assert_whole(&mended(&copy, &all).unwrap(), &all);
            if !runs.is_empty() {
                damaged += 1;
                let height = runs[0].0;
                assert_eq!(runs[0].1, height);
                assert_eq!(record(&copy, height).len(), record(&disk, height).len());
            }
        }
    }
    assert!(damaged > 1000, "{damaged}");
}

/// The bytes of a block's record.
fn record(disk: &SimulatedDisk, height: Height) -> Vec<u8> {
    let file = open(disk);
    let block = file.read(height).unwrap().unwrap();
    let (name, offset) = file.place(height);
    let from = usize::try_from(offset).unwrap();
    let bytes = disk.bytes(&name).unwrap();
    bytes[from..from + block.encode().len() + RECORD_HEADER].to_vec()
}

#[test]
fn many_blocks_in_a_row_are_put_right() {
    let (disk, all) = chain();
    for (from, to) in [(0, 2), (1, 4), (2, 8), (0, 9)] {
        let copy = disk.duplicate();
        let file = open(&copy);
        for height in (from..=to).map(Height) {
            let (name, offset) = file.place(height);
            copy.flip(&name, offset + 3, 0x10);
            copy.flip(&name, offset + 40, 0x10);
        }
        drop(file);
        let file = open(&copy);
        assert_eq!(file.damaged(), [(Height(from), Height(to))]);
        assert!(wait(|done| file.mend(of(&all, (Height(from), Height(to - 1))), done)).is_err());
        drop(file);
        assert_whole(&mended(&copy, &all).unwrap(), &all);
    }
}

#[test]
fn what_was_found_while_running_is_put_right_at_once() {
    let (disk, all) = chain();
    let file = open(&disk);
    let (name, offset) = file.place(Height(3));
    disk.flip(&name, offset + 100, 1);
    assert!(matches!(file.read(Height(3)), Err(Fault::Damaged(_))));
    assert_eq!(file.damaged(), [(Height(3), Height(3))]);
    assert_eq!(file.all_damage().len(), 1);
    let more = append(&file, &[10]).unwrap();
    wait(|done| file.mend(of(&all, (Height(3), Height(3))), done)).unwrap();
    assert_whole(&file, &all);
    assert_whole(&file, &more);
}

#[test]
fn nobody_is_believed() {
    let (disk, all) = chain();
    let (name, offset) = open(&disk).place(Height(4));
    disk.flip(&name, offset + 60, 1);
    let file = open(&disk);
    let run = (Height(4), Height(4));
    let refused = |blocks: Vec<Arc<Block>>| wait(|done| file.mend(blocks, done)).unwrap_err();
    let before = disk.bytes(&name);
    // Another block of the same length in its place, as a node of a forked chain would have it.
    let other = SimulatedDisk::new();
    let fork = open(&other);
    wait(|done| fork.append(all[..4].to_vec(), done)).unwrap();
    let mut own = blocks(&fork, &[300]);
    Arc::make_mut(&mut own[0]).header.time_us += 1;
    assert!(refused(own).to_string().contains("successor knows another"));
    let mut altered = of(&all, run);
    // A block's hash is not of its stamp: its checksum is.
    Arc::make_mut(&mut altered[0]).stamp[0] ^= 1;
    assert!(refused(altered).to_string().contains("what is left"));
    assert!(refused(of(&all, (Height(5), Height(5)))).to_string().contains("others are"));
    assert!(refused(Vec::new()).to_string().contains("no blocks"));
    assert_eq!(disk.bytes(&name), before, "nothing was written");
    wait(|done| file.mend(of(&all, run), done)).unwrap();
}

#[test]
fn the_last_block_is_known_by_what_is_left_of_it() {
    let (disk, all) = chain();
    let last = all.last().unwrap().header.height;
    let (name, offset) = open(&disk).place(last);
    let other = |spoil: &dyn Fn(&mut Block)| {
        let mut block = Block::clone(all.last().unwrap());
        spoil(&mut block);
        vec![Arc::new(block)]
    };
    for at in [8, 40] {
        let copy = disk.duplicate();
        copy.flip(&name, offset + at, 1);
        let file = open(&copy);
        assert_eq!(file.damaged(), [(last, last)]);
        let forged = other(&|block| block.header.time_us += 1);
        assert!(wait(|done| file.mend(forged, done)).is_err());
        drop(file);
        assert_whole(&mended(&copy, &all).unwrap(), &all);
    }
    // Nothing here knows it any more.
    let copy = disk.duplicate();
    copy.flip(&name, offset + 8, 1);
    copy.flip(&name, offset + 40, 1);
    assert!(mended(&copy, &all).is_err());
}
