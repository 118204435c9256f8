//! Evidence holds against the digest that it was made for, and against no other; altered, it never does.

use super::super::tests::each_change;
use super::*;
use crate::samples::{column, genesis, key, table, transaction};
use crate::{Proposal, Row, Statement, Tip, Transaction, Type, Value, Voters};

const TABLE: Oid = Oid(16384);

/// A chain: genesis, a table, another one, a row of the first; its headers' hashes and the tips.
struct Chain {
    blocks: Vec<crate::Block>,
    hashes: Vec<Hash>,
    tips: Vec<Tip>,
}

impl Chain {
    fn new() -> Self {
        let genesis = genesis();
        let tip = Tip::genesis(&genesis.header).unwrap();
        let hashes = vec![genesis.header.hash()];
        let mut chain = Self { blocks: vec![genesis], hashes, tips: vec![tip] };
        let defined = table(vec![column(1, Type::Int4, false)]);
        let object = |table: &Table| Box::new(Object::Table(table.clone()));
        let row = Row::encode(&defined, &[Value::Int4(7)], || [1; 16]).unwrap();
        chain.add(Operation::Define { oid: TABLE, object: object(&defined) });
        chain.add(Operation::Define { oid: Oid(16500), object: object(&defined) });
        chain.add(Operation::Insert { table: TABLE, row });
        chain.add(Operation::Define { oid: TABLE, object: object(&defined) });
        chain
    }

    fn add(&mut self, operation: Operation) {
        let mut tip = self.tips.last().unwrap().clone();
        let number = u8::try_from(self.blocks.len()).unwrap();
        let mut one: Transaction = transaction(number, vec![operation]);
        one.sign(&key(1), tip.chain).unwrap();
        let proposal =
            Proposal { proposer: key(1).member(), transactions: vec![one], ..Proposal::default() };
        let block = tip.next(proposal).unwrap();
        tip.advance(&block.header).unwrap();
        self.hashes.push(block.header.hash());
        self.blocks.push(block);
        self.tips.push(tip);
    }

    fn digest(&self, height: usize) -> Digest {
        Digest::sign(&self.tips[height], &key(1))
    }

    fn block(&self, height: usize, of: usize) -> BlockProof {
        let header: &Header = &self.blocks[height].header;
        BlockProof::of(header, &self.hashes[..=of]).unwrap()
    }

    fn written(&self, height: usize, of: usize) -> Box<Written> {
        let row = RowProof::of(&self.blocks[height], 0, 0).unwrap().unwrap();
        Box::new(Written { row, block: self.block(height, of) })
    }

    /// The row, by the definition of a block, for the digest of another.
    fn row(&self, definition: usize, of: usize) -> Evidence {
        Evidence::Row {
            version: self.written(3, of),
            definition: self.written(definition, of),
            digest: self.digest(of),
        }
    }
}

#[test]
fn rows_by_their_definition() {
    let chain = Chain::new();
    let keys = [key(2).public(), key(1).public()];
    let evidence = chain.row(1, 4);
    assert_eq!(evidence.verify(None, &keys), Ok(()));
    assert_eq!(evidence.verify(Some(&chain.digest(4)), &keys), Ok(()));
    assert_eq!(evidence.table().map(|(oid, _)| oid), Some(TABLE));
    // Made for an earlier digest, it holds for that one.
    assert_eq!(chain.row(1, 3).verify(Some(&chain.digest(3)), &keys), Ok(()));
    assert_eq!(chain.row(1, 3).verify(Some(&chain.digest(4)), &keys), Err(ProofError::Block));
    assert_eq!(evidence.verify(Some(&chain.digest(3)), &keys), Err(ProofError::Block));
    // Another table's definition, and one that came later.
    assert_eq!(chain.row(2, 4).verify(None, &keys), Err(ProofError::Definition));
    assert_eq!(chain.row(4, 4).verify(None, &keys), Err(ProofError::Definition));
    assert_eq!(chain.row(3, 4).verify(None, &keys), Err(ProofError::Definition));
    // A key that nobody vouches for.
    assert_eq!(evidence.verify(None, &keys[..1]), Err(ProofError::Signature));
    assert_eq!(evidence.verify(None, &[]), Err(ProofError::Signature));
}

#[test]
fn a_transaction_that_no_member_signed() {
    let chain = Chain::new();
    let keys = [key(1).public()];
    let proof = TransactionProof::of(&chain.blocks[3], 0).unwrap().unwrap();
    let evidence = |proof: TransactionProof, block| Evidence::Transaction {
        transaction: Box::new(proof),
        block,
        digest: chain.digest(4),
    };
    assert_eq!(evidence(proof.clone(), chain.block(3, 4)).verify(None, &keys), Ok(()));
    let other = evidence(proof.clone(), chain.block(2, 4));
    assert_eq!(other.verify(None, &keys), Err(ProofError::Block));
    let mut forged = proof;
    forged.transaction.signature.0[5] ^= 1;
    assert!(evidence(forged, chain.block(3, 4)).verify(None, &keys).is_err());
}

#[test]
fn a_chain_that_goes_on() {
    let chain = Chain::new();
    let keys = [key(1).public()];
    let proof = |old: u64| ConsistencyProof::of(&chain.hashes, old + 1).unwrap();
    let evidence =
        Evidence::Consistency { proof: proof(2), old: chain.digest(2), digest: chain.digest(4) };
    assert_eq!(evidence.verify(None, &keys), Ok(()));
    assert_eq!(evidence.verify(Some(&chain.digest(2)), &keys), Ok(()));
    assert_eq!(evidence.verify(Some(&chain.digest(1)), &keys), Err(ProofError::Consistency));
    // What was kept is not what the node signs now.
    let mut tip = chain.tips[2].clone();
    tip.history.append(Hash([9; 32]));
    let kept = Digest::sign(&tip, &key(1));
    assert_eq!(evidence.verify(Some(&kept), &keys), Err(ProofError::Consistency));
    let alone = Evidence::Digest(chain.digest(2));
    assert_eq!(alone.verify(Some(&chain.digest(2)), &keys), Ok(()));
    assert_eq!(alone.verify(Some(&kept), &keys), Err(ProofError::Consistency));
}

#[test]
fn no_altered_file_holds() {
    let chain = Chain::new();
    let keys = [key(1).public()];
    let proof = ConsistencyProof::of(&chain.hashes, 3).unwrap();
    let transaction = TransactionProof::of(&chain.blocks[3], 0).unwrap().unwrap();
    let all = [
        chain.row(1, 4),
        Evidence::Transaction {
            transaction: Box::new(transaction),
            block: chain.block(3, 4),
            digest: chain.digest(4),
        },
        Evidence::Consistency { proof, old: chain.digest(2), digest: chain.digest(4) },
        Evidence::Digest(chain.digest(4)),
    ];
    for evidence in all {
        let file = evidence.to_json();
        assert_eq!(Evidence::from_json(&file).unwrap(), evidence);
        // Signatures take long: every so many digits.
        let mut count = 0;
        each_change(&file, &mut |changed| {
            count += 1;
            if count % 17 == 0 {
                let read = Evidence::from_json(changed);
                assert!(read.is_err() || read.unwrap().verify(None, &keys).is_err(), "{changed}");
            }
        });
    }
}

#[test]
fn a_certificate_vouches_for_its_block_and_those_before() {
    let chain = Chain::new();
    let voters = Voters::new([(1..=3).map(|it| key(it).member()).collect()]);
    let header = chain.blocks[3].header.clone();
    let statement = Statement {
        chain: header.chain_id(),
        height: header.height,
        block: header.hash(),
        state: Hash([5; 32]),
        governance: header.governance,
        voters: voters.hash(),
    };
    let sign = |it| (key(it).member(), statement.sign(&key(it)));
    let signatures = [1, 2].map(sign).into_iter().collect();
    let certificate = Certificate::gather(statement, &voters, &signatures).unwrap();
    let keys = [1, 2, 3].map(|it| key(it).public());
    let of = |earlier: Option<usize>| Evidence::Certificate {
        certificate: Box::new(certificate.clone()),
        header: Box::new(header.clone()),
        // The tree in a header is over all before it.
        earlier: earlier.map(|height| chain.block(height, 2)),
    };
    for evidence in [of(None), of(Some(0)), of(Some(2))] {
        evidence.verify(None, &keys).unwrap();
        evidence.verify(Some(&chain.digest(3)), &keys).unwrap();
        let file = evidence.to_json();
        assert_eq!(Evidence::from_json(&file).unwrap(), evidence);
        each_change(&file, &mut |changed| {
            let read = Evidence::from_json(changed);
            assert!(!read.is_ok_and(|it| it.verify(None, &keys).is_ok()), "{changed}");
        });
        assert!(evidence.verify(None, &keys[..1]).is_err());
        // A digest of a block that it says nothing of.
        assert!(evidence.verify(Some(&chain.digest(1)), &keys).is_err());
    }
    of(Some(1)).verify(Some(&chain.digest(1)), &keys).unwrap();
    let mut forged = chain.digest(3);
    forged.block.0[0] ^= 1;
    assert!(of(None).verify(Some(&forged), &keys).is_err());
}
