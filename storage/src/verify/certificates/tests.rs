//! Certificates that don't fit their chain are named; those that do are no news.

use std::collections::BTreeSet;

use ledger::{NodeKey, Statement};

use super::super::tests::{chain, key, run};
use crate::{Certificates, simulated::SimulatedDisk};

use super::*;

/// A membership entry whose only voter has this key.
fn entry(of: &NodeKey) -> Vec<u8> {
    let nodes = BTreeMap::from([(0_u64, (String::new(), of.public()))]);
    [vec![1], ledger::codec::encode(&(vec![BTreeSet::from([0_u64])], nodes))].concat()
}

/// A chain that says in block 1 that its only member has a vote; and its headers.
fn with_voters() -> (SimulatedDisk, Vec<ledger::Header>) {
    let mut headers = Vec::new();
    let disk = chain(6, |block| {
        if block.header.height.0 == 1 {
            let proposal = ledger::Proposal { membership: entry(&key()), ..Default::default() };
            let made = Block::first(proposal).unwrap();
            (block.membership, block.header.membership) = (made.membership, made.header.membership);
        }
        headers.push(block.header.clone());
    });
    (disk, headers)
}

fn of(header: &ledger::Header, by: &NodeKey) -> Certificate {
    let voters = Voters::new([BTreeSet::from([by.member()])]);
    let statement = Statement {
        chain: header.chain_id(),
        height: header.height,
        block: header.hash(),
        state: Hash([7; 32]),
        governance: header.governance,
        voters: voters.hash(),
    };
    let signatures = vec![(by.member(), statement.sign(by))];
    Certificate { statement, voters, signatures }
}

/// What is wrong, with these certificates beside the chain.
fn wrong(disk: &SimulatedDisk, certificates: impl IntoIterator<Item = Certificate>) -> Vec<String> {
    let disk = disk.duplicate();
    let kept = Certificates::open(Arc::new(disk.clone()));
    certificates.into_iter().for_each(|certificate| kept.add(certificate));
    let report = run(&disk);
    assert!(report.files.iter().any(|file| file.file == NAME));
    assert_eq!(report.sound_blocks, 7, "no block is to blame");
    assert!(report.damage().all(|damage| damage.height.is_none()));
    report.damage().map(|damage| damage.detail.clone()).collect()
}

#[test]
fn what_fits_is_sound_and_what_does_not_is_named() {
    let (disk, headers) = with_voters();
    let good: Vec<Certificate> = headers.iter().map(|header| of(header, &key())).collect();
    assert_eq!(wrong(&disk, good.clone()), Vec::<String>::new());
    assert_eq!(wrong(&disk, [good[1].clone(), good[4].clone()]), Vec::<String>::new());

    let told = |certificate: Certificate, what: &str| {
        let wrong = wrong(&disk, [good[0].clone(), certificate]);
        assert!(wrong.len() == 1 && wrong[0].contains(what), "{what}: {wrong:?}");
        assert!(wrong[0].contains("block 4") || wrong[0].contains("block 9"), "{wrong:?}");
    };
    let mut fork = headers[3].clone();
    fork.time_us += 1;
    told(of(&fork, &key()), "not of this block");
    let stranger = NodeKey::from_bytes(&[9; 32]);
    told(of(&headers[3], &stranger), "other voters");
    let mut state = good[3].clone();
    state.statement.state = Hash([8; 32]);
    told(state, "does not verify");
    let mut few = good[3].clone();
    few.signatures.clear();
    told(few, "0 of 1 voters");
    let mut beyond = headers[5].clone();
    beyond.height = Height(9);
    told(of(&beyond, &key()), "the chain has 7 blocks");
}

#[test]
fn voters_that_are_no_members_are_named() {
    let stranger = NodeKey::from_bytes(&[9; 32]);
    let mut last = None;
    let disk = chain(6, |block| {
        if block.header.height.0 == 1 {
            let proposal = ledger::Proposal { membership: entry(&stranger), ..Default::default() };
            let made = Block::first(proposal).unwrap();
            (block.membership, block.header.membership) = (made.membership, made.header.membership);
        }
        last = Some(block.header.clone());
    });
    let wrong = wrong(&disk, [of(&last.unwrap(), &stranger)]);
    assert!(wrong.len() == 1 && wrong[0].contains("is no member"), "{wrong:?}");
}

#[test]
fn every_flipped_byte_of_a_certificate_is_found() {
    let (disk, headers) = with_voters();
    let kept = Certificates::open(Arc::new(disk.clone()));
    kept.add(of(&headers[1], &key()));
    kept.add(of(&headers[4], &key()));
    for at in 0..disk.bytes(NAME).unwrap().len() as u64 {
        let copy = disk.duplicate();
        copy.flip(NAME, at, 1 << (at % 8));
        assert!(!run(&copy).is_sound(), "byte {at}");
    }
}
