//! The first block links, verifies, and gives the catalog that sessions start from.

use super::*;
use crate::Tip;

#[test]
fn the_first_block_is_whole() {
    let key = NodeKey::from_bytes(&[1; 32]);
    let genesis = Genesis {
        database: "stele".to_owned(),
        role: "stele".to_owned(),
        verifier: None,
        member: "node-1".to_owned(),
        id: TransactionId([2; 16]),
        time_us: 1_000_000,
    };
    let block = genesis.block(&key).unwrap();
    block.verify_body().unwrap();
    let tip = Tip::genesis(&block.header).unwrap();
    assert_eq!(tip.chain, block.header.hash());
    assert!(block.transactions[0].is_signed_by(&key.public(), Hash::default()).unwrap());

    let mut catalog = Catalog::default();
    for operation in &block.transactions[0].operations {
        catalog.apply(operation).unwrap();
    }
    for operation in &block.transactions[0].operations {
        if let Operation::Define { oid, .. } = operation {
            catalog.check_references(*oid).unwrap();
        }
    }
    assert_eq!(catalog.governance(), block.header.governance);
    assert_eq!(catalog.find_schema("public"), Some(Oid::PUBLIC_SCHEMA));
    assert_eq!(catalog.find_role("stele"), Some(Oid::FIRST_ROLE));
    assert_eq!(catalog.next_oid(), Oid::FIRST_USER);
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
}
