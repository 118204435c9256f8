//! `verify` over a small chain with real transactions: sound, and with every single byte flipped.

use ledger::{
    Genesis, NodeKey, Operation, Proposal, Tip, Transaction, TransactionId, catalog::Schema,
    transaction::Signature,
};

use super::*;
use crate::{
    BlockFile,
    block_file::tests::{small, wait},
    simulated::SimulatedDisk,
};

pub(super) fn key() -> NodeKey {
    NodeKey::from_bytes(&[3; 32])
}

fn genesis() -> Block {
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "first".to_owned(),
        id: TransactionId([0; 16]),
        time_us: 1,
    };
    genesis.block(&key()).unwrap()
}

/// A signed transaction that makes a schema.
fn transaction(chain: ledger::Hash, number: u8) -> Transaction {
    let object = ledger::Object::Schema(Schema {
        name: format!("schema{number}"),
        owner: ledger::Oid::FIRST_ROLE,
        comment: None,
    });
    let oid = ledger::Oid(16384 + u32::from(number));
    let mut transaction = Transaction {
        id: TransactionId([number; 16]),
        user: "stele".to_owned(),
        member: key().member(),
        statement: String::new(),
        idempotency_key: None,
        snapshot: Height(0),
        operations: vec![Operation::Define { oid, object: Box::new(object) }],
        signature: Signature::NONE,
        endorsements: Vec::new(),
    };
    transaction.sign(&key(), chain).unwrap();
    transaction
}

/// A chain of genesis and as many blocks; the function may spoil each before it is written.
pub(super) fn chain(count: u8, mut spoil: impl FnMut(&mut Block)) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let file = BlockFile::open(Arc::new(disk.clone()), small()).unwrap();
    let mut block = genesis();
    let governance = block.header.governance;
    let mut tip = Tip::genesis(&block.header).unwrap();
    for number in 1..=count {
        wait(|done| file.append(vec![Arc::new(block)], done)).unwrap();
        let proposal = Proposal {
            clock_us: i64::from(number) * 10,
            proposer: key().member(),
            governance,
            transactions: vec![transaction(tip.chain, number)],
            ..Proposal::default()
        };
        block = tip.next(proposal).unwrap();
        spoil(&mut block);
        tip.advance(&block.header).unwrap();
    }
    wait(|done| file.append(vec![Arc::new(block)], done)).unwrap();
    wait(|done| file.save_vote(b"a vote".to_vec(), done)).unwrap();
    disk
}

pub(super) fn run(disk: &SimulatedDisk) -> Report {
    verify(disk, Options::default(), &mut |_| ()).unwrap()
}

#[test]
fn a_sound_chain_is_sound() {
    let disk = chain(12, |_| ());
    let mut calls = 0;
    let report = verify(&disk, Options::default(), &mut |progress| {
        calls += 1;
        assert!(progress.bytes <= progress.of);
    });
    let report = report.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.sound_blocks, 13);
    assert_eq!(report.head.map(|(height, _)| height), Some(Height(12)));
    assert!(report.files.len() > 2, "several segments and the vote");
    assert!(calls > 1);
    assert_eq!(report.files[0].from, Some(Height(0)));
}

#[test]
fn every_flipped_byte_is_found_and_its_block_named() {
    let disk = chain(6, |_| ());
    let names = Disk::list(&disk).unwrap();
    let mut flips = 0;
    for name in names.iter().filter(|name| name.ends_with(".blocks") || *name == "vote") {
        let bytes = disk.bytes(name).unwrap();
        let blocks = positions(&disk, name);
        for at in 0..bytes.len() as u64 {
            let copy = disk.duplicate();
            copy.flip(name, at, 1 << (at % 8));
            let report = run(&copy);
            assert!(!report.is_sound(), "{name} byte {at}");
            assert!(report.damage().all(|damage| damage.file == *name), "{report:?}");
            let hurt = blocks.iter().find(|(from, to, _)| (*from..*to).contains(&at));
            if let Some((_, _, height)) = hurt {
                let named = report.damage().any(|damage| damage.height == Some(*height));
                assert!(named, "{name} byte {at} in block {height:?}: {report:?}");
                let others = report.damage().filter(|damage| damage.height != Some(*height));
                assert_eq!(others.count(), 0, "{name} byte {at}: {report:?}");
            }
            flips += 1;
        }
    }
    println!("{flips} flips");
}

/// First byte, end and height of the records of a segment.
fn positions(disk: &SimulatedDisk, name: &str) -> Vec<(u64, u64, Height)> {
    let mut out = Vec::new();
    let bytes = disk.bytes(name).unwrap();
    let Ok(segment) = SegmentHeader::decode(&bytes) else { return out };
    let mut at = SEGMENT_HEADER;
    while let Some(header) = usize::try_from(at)
        .ok()
        .and_then(|at| bytes.get(at..))
        .and_then(|bytes| RecordHeader::decode(bytes, segment.salt))
    {
        out.push((at, at + header.record_length(), header.height));
        at += header.record_length();
    }
    out
}

/// Expects that exactly one block is named, with these words.
fn assert_named(report: &Report, height: u64, words: &str) {
    let damage: Vec<&Damage> = report.damage().collect();
    assert!(
        damage.iter().any(|it| it.height == Some(Height(height)) && it.detail.contains(words)),
        "{damage:#?}"
    );
}

#[test]
fn a_forger_who_keeps_checksums_right_is_caught_by_hashes() {
    // A body that its header doesn't know.
    let disk = chain(4, |block| {
        if block.header.height == Height(2) {
            block.transactions[0].user = "mallory".to_owned();
        }
    });
    assert_named(&run(&disk), 2, "transactions; transaction 0 was altered");
    // Whoever reads the block gets damage, and never the altered transaction.
    let file = BlockFile::open(Arc::new(disk), small()).unwrap();
    let read = |height| crate::BlockSource::block(&file, Height(height));
    assert!(matches!(read(2), Err(Fault::Damaged(_))));
    assert!(read(1).is_ok() && read(3).is_ok());
}

#[test]
fn a_forger_who_remakes_the_header_is_caught_by_the_signature() {
    let disk = chain(4, |block| {
        if block.header.height == Height(3) {
            block.transactions[0].user = "mallory".to_owned();
            let transactions = block.transactions.clone();
            let remade = Block::first(Proposal { transactions, ..Proposal::default() }).unwrap();
            block.header.transactions_root = remade.header.transactions_root;
        }
    });
    let report = run(&disk);
    assert_named(&report, 3, "transaction 0 is not what its member signed");
    assert_eq!(report.damage().count(), 1);
    let quick = Options { signatures: false, until: None };
    assert!(verify(&disk, quick, &mut |_| ()).unwrap().is_sound(), "only the signature tells");
}

/// Changes a block's header on disk and makes its record's checksums right again.
fn forge(disk: &SimulatedDisk, name: &str, record: usize, edit: impl Fn(&mut Header)) -> Height {
    let mut bytes = disk.bytes(name).unwrap();
    let segment = SegmentHeader::decode(&bytes).unwrap();
    let (from, to, height) = positions(disk, name)[record];
    let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
    let old = RecordHeader::decode(&bytes[from..], segment.salt).unwrap();
    let body = &bytes[from + RECORD_HEADER..from + RECORD_HEADER + old.length as usize];
    let mut block = Block::decode(body).unwrap();
    edit(&mut block.header);
    let mut forged = Vec::new();
    record::append_record(&mut forged, segment.salt, height, old.durable, &block.encode()).unwrap();
    assert_eq!(forged.len(), to - from);
    bytes[from..to].copy_from_slice(&forged);
    disk.put(name, &bytes);
    height
}

#[test]
fn a_header_replaced_with_its_checksum_is_caught_by_its_successor() {
    let disk = chain(5, |_| ());
    let name = "00000000.blocks";
    let height = forge(&disk, name, 1, |header| header.time_us += 1);
    assert_named(&run(&disk), height.0, "its successor names");
    // Opening tells it too, and cuts nothing.
    let bytes = disk.bytes(name);
    let file = BlockFile::open(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!(file.damage()[0].height, Some(height));
    drop(file);
    assert_eq!(disk.bytes(name), bytes);
}

#[test]
fn a_forged_header_behind_a_damaged_block_is_caught_too() {
    let disk = chain(8, |_| ());
    let name = "00000000.blocks";
    let records = positions(&disk, name);
    assert!(records.len() >= 5);
    let height = forge(&disk, name, 3, |header| header.time_us += 1);
    disk.flip(name, records[1].0 + 4, 1);
    let report = run(&disk);
    assert_named(&report, 1, "header is damaged");
    assert_named(&report, height.0, "its successor names");
    let file = BlockFile::open(Arc::new(disk), small()).unwrap();
    let heights: Vec<u64> =
        file.damage().iter().filter_map(|it| it.height).map(|it| it.0).collect();
    assert_eq!(heights, [1, height.0]);
}

#[test]
fn missing_files_are_found() {
    let disk = chain(12, |_| ());
    let names: Vec<String> =
        Disk::list(&disk).unwrap().into_iter().filter(|name| name.ends_with(".blocks")).collect();
    for name in &names {
        let copy = disk.duplicate();
        Disk::remove(&copy, name).unwrap();
        let report = run(&copy);
        assert!(!report.is_sound(), "{name}");
        assert!(report.damage().any(|damage| damage.height.is_some()), "{report:?}");
    }
}

#[test]
fn a_running_node_is_verified_up_to_what_it_had_written() {
    let disk = chain(12, |_| ());
    let options = Options { until: Some(Height(5)), ..Options::default() };
    let report = verify(&disk, options, &mut |_| ()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.sound_blocks, 5);
}

#[test]
fn a_block_by_strangers_or_under_other_policies_is_named() {
    let stranger = NodeKey::from_bytes(&[8; 32]);
    let disk = chain(4, |block| match block.header.height {
        Height(2) => block.header.governance = ledger::Hash([9; 32]),
        Height(3) => block.header.proposer = stranger.member(),
        _ => {}
    });
    let report = run(&disk);
    assert_named(&report, 2, "other members and policies");
    assert_named(&report, 3, "is no member");
    assert_eq!(report.damage().count(), 2, "{report:?}");
}
