//! Chains link, and anything that doesn't follow is named.

use super::*;
use crate::merkle;
use crate::samples::{block, genesis, key};

#[test]
fn a_chain_links() {
    let first = genesis();
    let mut tip = Tip::genesis(&first.header).unwrap();
    let mut hashes = vec![tip.hash];
    for clock_us in [0, i64::MAX / 2, 5] {
        let proposal = Proposal { clock_us, proposer: key(1).member(), ..Proposal::default() };
        let next = tip.next(proposal).unwrap();
        assert!(next.header.time_us > tip.time_us);
        assert_eq!(next.header.history_root, merkle::root(&hashes));
        next.verify_body().unwrap();
        hashes.push(tip.advance(&next.header).unwrap());
    }
    assert_eq!(tip.height, Height(3));
    assert_eq!(tip.history.root(), merkle::root(&hashes));
    assert_eq!(tip.chain, first.header.hash());
}

#[test]
fn what_does_not_follow_is_named() {
    let tip = Tip::genesis(&genesis().header).unwrap();
    let good = block().header;
    let advance = |change: &dyn Fn(&mut Header)| {
        let mut header = good.clone();
        change(&mut header);
        tip.clone().advance(&header)
    };
    assert!(advance(&|_| {}).is_ok());
    assert_eq!(advance(&|h| h.height = Height(2)), Err(LinkError::Height { due: 1, found: 2 }));
    assert_eq!(advance(&|h| h.chain.0[0] ^= 1), Err(LinkError::Chain(1)));
    assert!(matches!(advance(&|h| h.parent.0[0] ^= 1), Err(LinkError::Parent { .. })));
    assert_eq!(advance(&|h| h.history_root.0[0] ^= 1), Err(LinkError::History(1)));
    assert_eq!(advance(&|h| h.time_us = tip.time_us), Err(LinkError::Time(1)));
}

#[test]
fn an_altered_body_is_found() {
    let differs = |change: &dyn Fn(&mut Block)| {
        let mut block = block();
        change(&mut block);
        matches!(block.verify_body(), Err(LinkError::Body { .. }))
    };
    assert!(differs(&|b| b.transactions.swap(0, 1)));
    assert!(differs(&|b| b.transactions.truncate(1)));
    assert!(differs(&|b| b.membership.push(0)));
    assert!(differs(&|b| b.transactions[0].user.push('x')));
    assert!(differs(&|b| b.transactions[0].signature.0[0] ^= 1));
    assert!(differs(&|b| b.transactions[0].endorsements.clear()));
    assert!(differs(&|b| b.transactions[1].operations.truncate(3)));
    assert!(!differs(&|b| b.stamp.clear()));
}

#[test]
fn hashes_that_are_known_make_the_same_block() {
    let sample = block();
    let hashes: Vec<Hash> = sample.transactions.iter().map(|it| it.hash().unwrap()).collect();
    let make = |hashes: Vec<Hash>| {
        let transactions = sample.transactions.clone();
        Block::first(Proposal { transactions, hashes, ..Proposal::default() }).unwrap()
    };
    let plain = make(Vec::new());
    assert_eq!(make(hashes.clone()).encode(), plain.encode());
    // Too few are none.
    assert_eq!(make(hashes[1..].to_vec()).encode(), plain.encode());
    assert!(plain.verify_body_of(&hashes).is_ok());
    let mut wrong = hashes;
    wrong[0].0[0] ^= 1;
    assert!(plain.verify_body_of(&wrong).is_err());
    assert!(make(wrong).verify_body().is_err());
}

#[test]
fn erasing_a_column_keeps_the_block_valid() {
    let mut erased = block();
    for operation in &mut erased.transactions[0].operations {
        if let crate::Operation::Insert { row, .. } = operation {
            *row = row.erase(|_| true).unwrap();
        }
    }
    assert_ne!(erased, block());
    erased.verify_body().unwrap();
    let chain = Tip::genesis(&genesis().header).unwrap().chain;
    assert!(erased.transactions[0].is_signed_by(&key(1).public(), chain).unwrap());
}

#[test]
fn the_header_is_laid_out_as_documented() {
    let mut header = block().header;
    assert_eq!(header.encode().len(), 216 + 64);
    header.membership = None;
    header.state_digest = None;
    let bytes = header.encode();
    assert_eq!(bytes.len(), 216);
    assert_eq!(bytes[..2], [1, 1]);
    for (offset, hash) in [
        (2, header.chain),
        (42, header.parent),
        (74, header.transactions_root),
        (106, header.history_root),
        (139, header.governance),
        (179, header.proposer),
    ] {
        assert_eq!(bytes[offset..offset + 32], hash.0, "{offset}");
    }
    assert_eq!(bytes[34..42], header.height.0.to_le_bytes());
    assert_eq!(bytes[171..179], header.time_us.to_le_bytes());
}
