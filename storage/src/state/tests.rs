//! The state against a model: at every height the same rows by scan, by key and by range, with either
//! index engine, however the state came to be.

mod damage;
mod digest;
mod forged;
mod lost;
mod model;
mod racing;
mod schema;
mod sealed;

use std::sync::Arc;

use ledger::{Block, Height};
use proptest::prelude::*;

use super::{State, StateConfig};
use crate::{
    FjallIndex, Index, MemoryIndex,
    testing::{BY_ID, Chain, TABLE},
};
use model::Model;

fn config(settle_blocks: u64) -> StateConfig {
    StateConfig { settle_blocks, ..StateConfig::default() }
}

fn open(index: Arc<dyn Index>, settle: u64, blocks: &[Block]) -> Arc<State> {
    State::open(config(settle), index, blocks.iter().cloned().map(Ok)).unwrap()
}

fn fjall(directory: &tempfile::TempDir) -> Arc<dyn Index> {
    Arc::new(FjallIndex::open(directory.path(), 8 << 20).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_height_shows_its_rows(steps in model::steps(), settle in 0_u64..4) {
        let model = Model::new(&steps);
        let state = open(Arc::new(MemoryIndex::default()), settle, &model.chain.blocks);
        model.check(&state);
    }

    #[test]
    fn an_index_on_disk_goes_on_where_it_was(
        steps in model::steps(),
        settle in 0_u64..4,
        cut in 0_usize..100,
    ) {
        let model = Model::new(&steps);
        let blocks = &model.chain.blocks;
        let cut = blocks.len() * cut / 100;
        let directory = tempfile::tempdir().unwrap();
        drop(open(fjall(&directory), settle, &blocks[..cut]));
        let state = open(fjall(&directory), settle, blocks);
        model.check(&state);
        drop(state);
        // The index is now ahead of the chain: it can't be trusted, and is made anew.
        if cut > 0 {
            let state = open(fjall(&directory), settle, &blocks[..cut]);
            model.check(&state);
        }
    }
}

#[test]
fn a_hint_that_lies_is_not_believed() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks);
    let rows = state.snapshot().version_count(TABLE);
    assert!(rows > 3, "{rows}");
    for row in 0..=rows {
        for id in 0..100 {
            let key = ledger::key::encode_key(&[ledger::Value::Int4(id)]);
            state.core.hints.note(BY_ID, &key, row);
        }
        model.check(&state);
    }
}

#[test]
fn a_deleted_index_is_made_anew() {
    let model = Model::new(&model::fixed());
    let directory = tempfile::tempdir().unwrap();
    drop(open(fjall(&directory), 1, &model.chain.blocks));
    std::fs::remove_dir_all(directory.path()).unwrap();
    model.check(&open(fjall(&directory), 1, &model.chain.blocks));
}

#[test]
fn a_damaged_index_is_made_anew() {
    let model = Model::new(&model::fixed());
    let directory = tempfile::tempdir().unwrap();
    drop(open(fjall(&directory), 1, &model.chain.blocks));
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"not an index").unwrap();
        }
    }
    model.check(&open(fjall(&directory), 1, &model.chain.blocks));
}

#[test]
fn an_index_of_another_chain_is_made_anew() {
    let mut other = Chain::new(9);
    other.block(vec![crate::testing::definitions()]);
    other.block(vec![vec![model::insert(77, "other")]]);
    let directory = tempfile::tempdir().unwrap();
    drop(open(fjall(&directory), 1, &other.blocks));
    let model = Model::new(&model::fixed());
    model.check(&open(fjall(&directory), 1, &model.chain.blocks));
}

#[test]
fn a_block_that_does_not_fit_stops_the_state() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks[..3]);
    assert!(state.apply(&model.chain.blocks[4]).is_err());
    assert!(state.apply(&model.chain.blocks[3]).is_err(), "it must not go on after a fault");
    assert_eq!(state.head().height, Height(2));
}

#[test]
fn times_find_heights() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks);
    let genesis = model.chain.blocks[0].header.time_us;
    assert_eq!(state.height_at_time(genesis - 1).unwrap(), None);
    for block in &model.chain.blocks {
        assert_eq!(state.height_at_time(block.header.time_us).unwrap(), Some(block.header.height));
    }
    assert_eq!(state.height_at_time(i64::MAX).unwrap(), Some(state.head().height));
}

#[test]
fn transactions_are_found_and_listed() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks);
    let snapshot = state.snapshot_at(Height(2)).unwrap();
    let listed = snapshot.transactions(Height(0)..Height(u64::MAX)).unwrap();
    let expected: Vec<_> = model.chain.blocks[..3].iter().flat_map(|b| &b.transactions).collect();
    assert_eq!(listed.len(), expected.len());
    for (record, transaction) in listed.iter().zip(expected) {
        assert_eq!(record.id, transaction.id);
        let found = state.find_transaction(record.id).unwrap();
        assert_eq!(found, Some((record.height, record.transaction)));
    }
    assert_eq!(snapshot.blocks(Height(1)..Height(9)).unwrap().len(), 2);
}

#[tokio::test]
async fn waiting_ends_when_the_block_is_applied() {
    let model = Model::new(&model::fixed());
    let state = open(Arc::new(MemoryIndex::default()), 1, &model.chain.blocks[..2]);
    state.wait_applied(Height(1)).await;
    let waiting = tokio::spawn(state.wait_applied(Height(2)));
    state.apply(&model.chain.blocks[2]).unwrap();
    waiting.await.unwrap();
}
