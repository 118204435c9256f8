//! Certificates return as they went in, after crashes too; what is damaged is named, and never keeps the others from
//! being read.

use std::collections::BTreeSet;

use ledger::{Hash, NodeKey, Statement, Voters};

use super::*;
use crate::simulated::{Crash, SimulatedDisk};

fn certificate(height: u64) -> Certificate {
    let key = NodeKey::from_bytes(&[1; 32]);
    let voters = Voters::new([BTreeSet::from([key.member()])]);
    let statement = Statement {
        chain: Hash([1; 32]),
        height: Height(height),
        block: Hash([2; 32]),
        state: Hash([3; 32]),
        governance: Hash([4; 32]),
        voters: voters.hash(),
    };
    let signatures = vec![(key.member(), statement.sign(&key))];
    Certificate { statement, voters, signatures }
}

fn open(disk: &SimulatedDisk) -> Certificates {
    Certificates::open(Arc::new(disk.clone()))
}

fn heights(kept: &Certificates) -> Vec<u64> {
    kept.heights(Height(0)..Height(u64::MAX)).iter().map(|height| height.0).collect()
}

fn filled(heights: &[u64]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let kept = open(&disk);
    heights.iter().for_each(|height| kept.add(certificate(*height)));
    disk
}

#[test]
fn what_was_added_is_there_again() {
    let disk = filled(&[3, 5, 5, 4, 9]);
    for kept in [open(&disk), open(&disk)] {
        assert_eq!(heights(&kept), [3, 5, 9]);
        assert_eq!(kept.newest().as_deref(), Some(&certificate(9)));
        assert_eq!(kept.get(Height(5)).unwrap().as_deref(), Some(&certificate(5)));
        assert_eq!(kept.get(Height(4)).unwrap(), None);
        let covering = [0, 4, 5, 9, 10].map(|height| kept.covering(Height(height)).map(|it| it.0));
        assert_eq!(covering, [Some(3), Some(5), Some(5), Some(9), None]);
        assert_eq!(kept.heights(Height(4)..Height(9)), [Height(5)]);
    }
}

#[test]
fn a_power_cut_anywhere_leaves_a_file_that_goes_on() {
    for operations in 0..30 {
        for crash in [Crash::LoseAll, Crash::KeepAll, Crash::Torn { seed: operations }] {
            let disk = SimulatedDisk::new();
            disk.cut_power_after(operations);
            let kept = open(&disk);
            (1..20).for_each(|height| kept.add(certificate(height)));
            // Who could not write knows the newest all the same.
            assert_eq!(kept.newest().as_deref(), Some(&certificate(19)));
            let disk = disk.after_crash(crash);
            let kept = open(&disk);
            kept.add(certificate(100));
            let kept = open(&disk);
            assert_eq!(kept.newest().as_deref(), Some(&certificate(100)));
            for height in kept.heights(Height(0)..Height(200)) {
                assert_eq!(kept.get(height).unwrap().as_deref(), Some(&certificate(height.0)));
            }
        }
    }
}

#[test]
fn every_flipped_byte_is_named_and_costs_one() {
    let disk = filled(&[1, 2, 3]);
    let file = disk.open(NAME, false).unwrap();
    let length = file.len().unwrap();
    let record = length / 3;
    for at in 0..length {
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 0x20], at).unwrap();
        let found = find(Arc::clone(&file)).unwrap();
        assert_eq!(found.places.len(), 2, "byte {at}");
        assert_eq!(found.damage[0].offset, at / record * record, "byte {at}");
        file.write_at(&byte, at).unwrap();
    }
    assert!(find(Arc::clone(&file)).unwrap().damage.is_empty());
    // What is damaged in the middle is wrapped, and no news later; a torn end is cut.
    file.write_at(&[0xff], record + 100).unwrap();
    file.write_at(MAGIC, length).unwrap();
    let kept = open(&disk);
    assert_eq!(heights(&kept), [1, 3]);
    assert_eq!(file.len().unwrap(), length);
    kept.add(certificate(7));
    assert_eq!(heights(&open(&disk)), [1, 3, 7]);
    assert!(find(Arc::clone(&file)).unwrap().damage.is_empty());
    let mut kept = [0];
    file.read_at(&mut kept, record + 100).unwrap();
    assert_eq!(kept, [0xff], "what didn't read is still there");
}
