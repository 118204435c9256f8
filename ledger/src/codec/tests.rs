//! Blocks return as they went in; damaged bytes are an error or another hash, never a panic; old fixtures
//! open for ever.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::samples::{block, genesis};
use crate::{Operation, Row};

/// What a block's bytes are found to be.
#[derive(Debug, PartialEq)]
enum Found {
    /// They don't decode, or the body is not the header's.
    Wrong,
    /// A block of this hash, with this stamp (which is not hashed).
    Block(crate::Hash, Vec<u8>),
}

fn look(bytes: &[u8]) -> Found {
    match Block::decode(bytes) {
        Ok(block) if block.verify_body().is_ok() => Found::Block(block.header.hash(), block.stamp),
        _ => Found::Wrong,
    }
}

#[test]
fn blocks_return() {
    for block in [genesis(), block()] {
        let bytes = block.encode();
        let again = Block::decode(&bytes).unwrap();
        // NaN in a rule is no equal of itself: compare bytes.
        assert_eq!(again.encode(), bytes);
        again.verify_body().unwrap();
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for block in [genesis(), block()] {
        let bytes = block.encode();
        let whole = look(&bytes);
        assert_ne!(whole, Found::Wrong);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(look(&wrong), whole, "bit {bit}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let bytes = block().encode();
    for length in 0..bytes.len() {
        assert!(Block::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(Block::decode(&longer).is_err());
}

#[test]
fn another_version_is_named() {
    let mut bytes = genesis().encode();
    bytes[0] = 2;
    assert_eq!(Block::decode(&bytes), Err(DecodeError::Version { version: 2, suite: 1 }));
}

#[test]
fn a_great_length_allocates_nothing() {
    let block = genesis();
    let mut bytes = block.header.encode();
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(Block::decode(&bytes).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Block::decode(&bytes));
        drop(decode::<Operation>(&bytes));
        drop(decode::<crate::Rule>(&bytes));
        drop(decode::<Value>(&bytes));
        drop(Row { bytes }.commitment());
    }

    #[test]
    fn garbage_inside_a_block_does_not_panic(
        at in 0usize..2000,
        garbage in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut bytes = block().encode();
        let at = at % bytes.len();
        let end = (at + garbage.len()).min(bytes.len());
        let whole = look(&bytes);
        let before = bytes[at..end].to_vec();
        bytes[at..end].copy_from_slice(&garbage[..end - at]);
        if bytes[at..end] != before[..] {
            prop_assert_ne!(look(&bytes), whole);
        }
    }
}

fn fixtures() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("fixtures")
}

/// The fixtures of version 1, as today's code makes them: name, block.
fn version_1() -> Vec<(&'static str, Block)> {
    let mut erased = block();
    for operation in erased.transactions.iter_mut().flat_map(|t| &mut t.operations) {
        if let Operation::Insert { row, .. } | Operation::Update { row, .. } = operation {
            *row = row.erase(|_| true).unwrap();
        }
    }
    vec![("v1-genesis", genesis()), ("v1-block", block()), ("v1-erased", erased)]
}

#[test]
fn old_fixtures_open_for_ever() {
    let hashes = std::fs::read_to_string(fixtures().join("hashes.txt")).unwrap();
    let mut seen = 0;
    for line in hashes.lines().filter(|line| !line.starts_with('#')) {
        let [name, hash, transactions @ ..] = &line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let bytes = std::fs::read(fixtures().join(format!("{name}.block"))).unwrap();
        let block = Block::decode(&bytes).unwrap();
        block.verify_body().unwrap();
        assert_eq!(block.header.hash().to_string(), *hash, "{name}");
        let found: Vec<String> =
            block.transactions.iter().map(|t| t.hash().unwrap().to_string()).collect();
        assert_eq!(found, transactions, "{name}");
        assert_eq!(block.encode(), bytes, "{name}");
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn todays_code_writes_version_1() {
    for (name, block) in version_1() {
        let bytes = std::fs::read(fixtures().join(format!("{name}.block"))).unwrap();
        assert_eq!(block.encode(), bytes, "{name}");
    }
}

/// Writes the fixtures of a version that has none yet; existing files are never touched.
#[test]
#[ignore = "makes the fixtures of a new format version: cargo test -p ledger -- --ignored make_fixtures"]
fn make_fixtures() {
    let mut lines = String::from("# name, block hash, transaction hashes\n");
    for (name, block) in version_1() {
        let path = fixtures().join(format!("{name}.block"));
        assert!(!path.exists(), "{} is kept for ever", path.display());
        std::fs::write(path, block.encode()).unwrap();
        lines += &format!("{name} {}", block.header.hash());
        for transaction in &block.transactions {
            lines += &format!(" {}", transaction.hash().unwrap());
        }
        lines.push('\n');
    }
    std::fs::write(fixtures().join("hashes.txt"), lines).unwrap();
}
