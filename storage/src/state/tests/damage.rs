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
