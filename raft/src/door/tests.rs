//! What a leader may not send.

use ledger::{Height, NodeKey, Proposal};
use openraft::vote::RaftVote as _;
use storage::{block_file::Options, simulated::SimulatedDisk};

use super::*;
use crate::{
    codec::{encode_stamp, messages::entry},
    runtime::Tokio,
    testing,
    types::{LeaderId, Vote},
};

const LEADER: LeaderId = LeaderId { term: 3, node_id: 5 };

/// A chain of four blocks, of which the first two are in a file.
fn chain() -> (BlockFile, Vec<Block>) {
    let genesis = testing::genesis(&NodeKey::from_bytes(&[3; 32]));
    let proposal = || Proposal { stamp: encode_stamp(&LEADER), ..Proposal::default() };
    let transactions = genesis.transactions;
    let first = Block::first(Proposal { transactions, ..proposal() }).unwrap();
    let mut tip = ledger::Tip::genesis(&first.header).unwrap();
    let mut blocks = vec![first];
    for _ in 1..4 {
        let block = tip.next(proposal()).unwrap();
        tip.advance(&block.header).unwrap();
        blocks.push(block);
    }
    let file = BlockFile::open(Arc::new(SimulatedDisk::new()), Options::default()).unwrap();
    let own = blocks[..2].iter().cloned().map(Arc::new).collect();
    file.append(own, Box::new(drop)).unwrap();
    (file, blocks)
}

fn request(before: Option<&Block>, blocks: &[Block]) -> AppendEntriesRequest<Types<Tokio>> {
    AppendEntriesRequest {
        vote: Vote::from_leader_id(LEADER, true),
        prev_log_id: before.map(|block| codec::entry_id(block).unwrap()),
        entries: blocks.iter().cloned().map(|block| entry(Arc::new(block)).unwrap()).collect(),
        leader_commit: None,
    }
}

#[test]
fn blocks_must_be_whole_and_hang_together() {
    let (file, blocks) = chain();
    let of = blocks[0].header.chain_id();
    let checked = |from, request| check::<Tokio>(&file, of, from, &request);
    let refused = |request| checked(5, request).unwrap_err().to_string();
    checked(5, request(None, &blocks)).unwrap();
    checked(5, request(Some(&blocks[1]), &blocks[2..])).unwrap();
    checked(5, request(Some(&blocks[1]), &[])).unwrap();
    // What comes before the first one isn't here: consensus asks for that.
    checked(5, request(Some(&blocks[2]), &blocks[3..])).unwrap();

    let other = checked(6, request(None, &blocks)).unwrap_err().to_string();
    assert!(other.contains("speaks for node 5"), "{other}");
    assert!(refused(request(Some(&blocks[0]), &blocks[2..])).contains("where 1 was due"));
    assert!(refused(request(None, &[blocks[0].clone(), blocks[2].clone()])).contains("where 1"));
    let stranger = check::<Tokio>(&file, Hash([1; 32]), 5, &request(None, &blocks)).unwrap_err();
    assert!(stranger.to_string().contains("another chain"), "{stranger}");

    let mut altered = blocks[2].clone();
    altered.header.parent = Hash([7; 32]);
    assert!(refused(request(Some(&blocks[1]), &[altered])).contains("another parent"));
    let mut altered = blocks.clone();
    altered[2].header.time_us += 1;
    assert!(refused(request(Some(&blocks[1]), &altered[2..])).contains("another parent"));
    let mut altered = blocks[2].clone();
    altered.transactions = blocks[0].transactions.clone();
    assert!(refused(request(Some(&blocks[1]), &[altered])).contains("differs from its header"));
    assert_eq!(file.read(Height(2)).unwrap(), None);
}
