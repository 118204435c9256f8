//! Opening and verifying bytes that nobody wrote: whatever they are, there is an answer, and no panic.

use std::sync::Arc;

use crate::{
    BlockFile, Fault,
    block_file::{
        record::{self, SegmentHeader},
        tests::{append, small},
    },
    simulated::SimulatedDisk,
    verify,
};

/// SplitMix64.
struct Coins(u64);

impl Coins {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

const NAMES: [&str; 4] = ["00000000.blocks", "00000001.blocks", "acknowledged", "vote"];

/// Two segments of a few blocks.
fn chain() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let file = BlockFile::open(Arc::new(disk.clone()), small()).unwrap();
    for size in [300, 10, 900, 500, 700] {
        append(&file, &[size, 5]).unwrap();
    }
    drop(file);
    disk
}

/// Does something terrible to one of the files.
fn spoil(disk: &SimulatedDisk, coins: &mut Coins) {
    let name = NAMES[coins.below(NAMES.len())];
    let mut bytes = disk.bytes(name).unwrap_or_default();
    let from = coins.below(bytes.len());
    let length = coins.below(200).min(bytes.len() - from);
    match coins.below(6) {
        0 => bytes.truncate(from),
        1 => bytes[from..from + length].fill(0),
        2 => bytes[from..from + length].fill_with(|| coins.next().to_le_bytes()[0]),
        3 => drop(bytes.drain(from..from + length)),
        4 => {
            let copy = bytes[from..from + length].to_vec();
            let at = coins.below(bytes.len()) / 8 * 8;
            bytes.splice(at..at, copy);
        }
        _ => {
            let other = disk.bytes(NAMES[coins.below(2)]).unwrap_or_default();
            let at = coins.below(other.len());
            bytes.extend_from_slice(&other[at..]);
        }
    }
    disk.put(name, &bytes);
}

#[test]
fn spoiled_files_are_answered() {
    let sound = chain();
    let mut told = 0;
    for seed in 0..1500 {
        let mut coins = Coins(seed);
        let disk = sound.duplicate();
        for _ in 0..=coins.below(3) {
            spoil(&disk, &mut coins);
        }
        let report = verify::verify(&disk, verify::Options::default(), &mut |_| ());
        told += u32::from(!report.is_ok_and(|report| report.is_sound()));
        // It may open (perhaps damaged) or refuse; it answers.
        if let Ok(file) = BlockFile::open(Arc::new(disk.clone()), small()) {
            for height in 0..12 {
                drop(file.read(ledger::Height(height)));
            }
        }
    }
    assert!(told > 1000, "{told} told");
}

#[test]
fn records_that_claim_absurd_heights_cost_nothing() {
    for (first, height, durable) in [
        (0, 0, u64::MAX),
        (0, u64::MAX, 0),
        (0, u64::MAX - 1, u64::MAX),
        (u64::MAX, u64::MAX, 0),
        (1 << 60, 1 << 60, 1 << 61),
    ] {
        let disk = SimulatedDisk::new();
        let header = SegmentHeader { number: 0, first: ledger::Height(first), salt: 5 };
        let mut bytes = header.encode();
        let mut block = ledger::Block::first(ledger::Proposal::default()).unwrap();
        for _ in 0..2 {
            let height = ledger::Height(height);
            block.header.height = height;
            record::append_record(&mut bytes, 5, height, durable, &block.encode()).unwrap();
        }
        disk.put("00000000.blocks", &bytes);
        let report = verify::verify(&disk, verify::Options::default(), &mut |_| ()).unwrap();
        assert!(!report.is_sound());
        match BlockFile::open(Arc::new(disk), small()) {
            Ok(file) => assert!(!file.damage().is_empty() || file.cut().is_some()),
            Err(fault) => assert!(matches!(fault, Fault::Damaged(_)), "{fault}"),
        }
    }
}
