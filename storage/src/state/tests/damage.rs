//! Damaged blocks: a read that touches one fails; it never gives altered rows, or too few.

use std::sync::Arc;

use ledger::{Height, Value, key::encode_key};

use super::{config, model, model::Model, open};
use crate::{Damage, Fault, MemoryIndex, ScanColumn, State, Versions, testing::*};

fn damaged(height: Height) -> Fault {
    Fault::Damaged(Damage {
        height: Some(height),
        file: "0.blocks".into(),
        offset: 0,
        detail: "the hash differs".into(),
    })
}

#[test]
fn a_chain_that_is_cut_is_only_read_in_its_past() {
    let model = Model::new(&model::fixed());
    let blocks = model.chain.blocks.iter().cloned().map(Ok);
    let broken = blocks.take(3).chain([Err(damaged(Height(3)))]);
    let state = State::open(config(1), Arc::new(MemoryIndex::default()), broken).unwrap();
    assert_eq!(state.head().height, Height(2));
    let newest = state.snapshot();
    let columns = [ScanColumn::User(ID), ScanColumn::User(NOTE)];
    let refused = newest.scan(TABLE, &columns, Versions::Alive).unwrap_err();
    assert_eq!(refused.damaged_height(), Some(Height(3)));
    let key = encode_key(&[Value::Int4(1)]);
    assert!(newest.lookup(BY_ID, &key).is_err());
    let past = state.snapshot_at(Height(2)).unwrap();
    assert_eq!(alive(&past).len(), 2);
    assert_eq!(past.lookup(BY_ID, &key).unwrap().len(), 1);
}

#[test]
fn a_block_found_damaged_later_fails_the_reads_that_touch_it() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks);
    let head = state.head().height;
    let rows = alive(&state.snapshot());
    let of_one = encode_key(&[Value::Int4(1)]);
    let of_two = encode_key(&[Value::Int4(2)]);
    let version = state.snapshot().lookup(BY_ID, &of_one).unwrap()[0];
    state.mark_damaged(version.height, damaged(version.height));

    let columns = [ScanColumn::User(ID)];
    let scan = |height| {
        let snapshot = state.snapshot_at(height).unwrap();
        snapshot.scan(TABLE, &columns, Versions::Alive).unwrap().collect::<Result<Vec<_>, _>>()
    };
    assert!(scan(head).is_err());
    assert!(scan(Height(version.height.0 - 1)).is_ok(), "before the block nothing is touched");
    let snapshot = state.snapshot();
    assert!(snapshot.lookup(BY_ID, &of_one).is_err());
    assert!(snapshot.row(TABLE, version).is_err());
    assert!(snapshot.fetch(TABLE, &[version], &columns).is_err());
    assert_eq!(snapshot.lookup(BY_ID, &of_two).unwrap().len(), 1, "other rows can be read");

    state.mark_repaired(version.height);
    assert_eq!(alive(&state.snapshot()), rows);
}

/// Blocks that are whole in themselves, and not the ones that were applied.
struct Others(Vec<ledger::Block>);

impl crate::BlockSource for Others {
    fn block(&self, height: Height) -> Result<Arc<ledger::Block>, Fault> {
        let place = usize::try_from(height.0).unwrap();
        let mut block = self.0[place].clone();
        block.header.time_us += 1;
        Ok(Arc::new(block))
    }
}

#[test]
fn a_block_that_is_read_again_is_the_one_that_was_applied() {
    let model = Model::new(&model::fixed());
    let blocks = &model.chain.blocks;
    let state = open(Arc::new(MemoryIndex::default()), 1, blocks);
    state.set_block_source(Arc::new(Others(blocks.clone())));
    let refused = state.snapshot().block(Height(1)).unwrap_err();
    assert_eq!(refused.damaged_height(), Some(Height(1)), "{refused}");
}

#[test]
fn a_version_that_is_not_alive_can_not_end() {
    let mut model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks);
    let key = encode_key(&[Value::Int4(2)]);
    let version = state.snapshot().lookup(BY_ID, &key).unwrap()[0];
    let end = ledger::Operation::Delete { table: TABLE, previous: version };
    let head = state.head().height;
    // Twice in one block: consensus would have to be wrong for that, and this node must not go along.
    let block = model.chain.block(vec![vec![end.clone()], vec![end]]).clone();
    let refused = state.apply(&block).unwrap_err();
    assert!(matches!(refused, Fault::Apply { .. }), "{refused}");
    assert_eq!(state.head().height, head);
    assert!(state.apply(&block).is_err(), "it must not go on after a fault");
}
