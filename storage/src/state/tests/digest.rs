//! The state's digest, computed from the blocks alone by a second hand: it is the same however the state came to be,
//! and another where a version went elsewhere.

use std::collections::BTreeMap;

use ledger::{Catalog, Hash, Oid, Operation, Outcome, VersionId};

use super::*;

/// A table's rows: where each version is, and how many are alive.
#[derive(Default)]
struct Rows {
    numbers: BTreeMap<VersionId, u64>,
    alive: u64,
}

impl Rows {
    fn begin(&mut self, version: VersionId, outcome: &mut Outcome) {
        let number = self.numbers.len() as u64;
        self.numbers.insert(version, number);
        self.alive += 1;
        outcome.began(number);
    }

    fn end(&mut self, version: VersionId, outcome: &mut Outcome) {
        self.alive -= 1;
        outcome.ended(self.numbers[&version]);
    }
}

/// The digest after each block.
pub(super) fn digests(blocks: &[Block]) -> Vec<Hash> {
    let (mut tables, mut catalog) = (BTreeMap::<Oid, Rows>::new(), Catalog::default());
    let mut digests = vec![Hash::default()];
    for block in blocks {
        let mut outcome = Outcome::of(block.header.hash(), digests[digests.len() - 1]);
        let mut written = BTreeMap::new();
        for (place, transaction) in (0..).zip(&block.transactions) {
            for (at, operation) in (0..).zip(&transaction.operations) {
                let (height, transaction) = (block.header.height, place);
                let version = VersionId { height, transaction, operation: at };
                let mut rows = operation.table().map(|table| tables.entry(table).or_default());
                match (operation, &mut rows) {
                    (Operation::Insert { .. }, Some(rows)) => rows.begin(version, &mut outcome),
                    (Operation::Update { previous, .. }, Some(rows)) => {
                        rows.end(*previous, &mut outcome);
                        rows.begin(version, &mut outcome);
                    }
                    (Operation::Delete { previous, .. }, Some(rows)) => {
                        rows.end(*previous, &mut outcome);
                    }
                    (
                        Operation::Define { oid, .. }
                        | Operation::Drop { oid }
                        | Operation::Lease { sequence: oid, .. },
                        _,
                    ) => {
                        catalog.apply(operation).unwrap();
                        outcome.defined(*oid, catalog.get(*oid));
                    }
                    _ => panic!("{operation:?}"),
                }
                if let (Some(rows), Some(table)) = (rows, operation.table()) {
                    written.insert(table, (rows.numbers.len() as u64, rows.alive));
                }
            }
        }
        for (table, (rows, alive)) in written {
            outcome.table(table, rows, alive);
        }
        digests.push(outcome.digest());
    }
    digests.split_off(1)
}

#[test]
fn every_block_has_its_digest() {
    let model = Model::new(&model::fixed());
    let blocks = &model.chain.blocks;
    let state = open(Arc::new(MemoryIndex::default()), 1, blocks);
    let expected = digests(blocks);
    for (block, digest) in blocks.iter().zip(&expected) {
        let (head, members) = state.applied(block.header.height).unwrap();
        assert_eq!((head.block, head.state, members), (block.header.hash(), *digest, None));
    }
    assert_eq!(state.applied(Height(blocks.len() as u64)), None);
    let different: std::collections::BTreeSet<_> = expected.iter().collect();
    assert_eq!(different.len(), blocks.len());
}

#[test]
fn a_state_that_went_astray_has_another() {
    let model = Model::new(&model::fixed());
    let blocks = &model.chain.blocks;
    let expected = digests(blocks);
    let state = open(Arc::new(MemoryIndex::default()), 1, &blocks[..3]);
    assert_eq!(state.head().state, expected[2]);
    // A row that no block has, or a bit that flipped in memory.
    let stray = VersionId { height: Height(2), transaction: 99, operation: 0 };
    let versions = state.core.versions(TABLE).unwrap();
    versions.push(stray, false, &crate::testing::row(1_000, "stray").bytes);
    for block in &blocks[3..] {
        state.apply(block).unwrap();
    }
    assert_ne!(state.head().state, expected[blocks.len() - 1]);
}
