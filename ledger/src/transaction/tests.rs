//! What a transaction's hash covers, and what its signatures hold for.

use super::*;
use crate::samples::{block, key};

#[test]
fn the_hash_covers_all_but_the_signatures() {
    let original = block().transactions.remove(0);
    let hash = original.hash().unwrap();
    let other = |change: &dyn Fn(&mut Transaction)| {
        let mut changed = original.clone();
        change(&mut changed);
        changed.hash().unwrap() != hash
    };
    assert!(other(&|t| t.id.0[0] ^= 1));
    assert!(other(&|t| t.user.push('x')));
    assert!(other(&|t| t.member.0[0] ^= 1));
    assert!(other(&|t| t.statement.push('x')));
    assert!(other(&|t| t.idempotency_key = None));
    assert!(other(&|t| t.snapshot.0 += 1));
    assert!(other(&|t| t.operations.swap(0, 1)));
    assert!(other(&|t| drop(t.operations.pop())));
    assert!(!other(&|t| t.signature.0[0] ^= 1));
    assert!(!other(&|t| t.endorsements.clear()));
}

#[test]
fn a_signature_holds_in_one_chain() {
    let mut signed = block().transactions.remove(0);
    let chain = Hash([5; 32]);
    signed.sign(&key(3), chain).unwrap();
    assert!(signed.is_signed_by(&key(3).public(), chain).unwrap());
    assert!(!signed.is_signed_by(&key(3).public(), Hash([6; 32])).unwrap());
    assert!(!signed.is_signed_by(&key(4).public(), chain).unwrap());
    signed.statement.push('x');
    assert!(!signed.is_signed_by(&key(3).public(), chain).unwrap());
}

#[test]
fn versions_are_ordered_as_their_bytes() {
    let version = |height, transaction, operation| VersionId {
        height: Height(height),
        transaction,
        operation,
    };
    let all = [
        version(0, 0, 0),
        version(0, 0, 1),
        version(0, 1, 0),
        version(1, 0, 0),
        version(256, 1, 1),
    ];
    for pair in all.windows(2) {
        assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
    }
    for one in all {
        assert_eq!(VersionId::from_bytes(one.to_bytes()), one);
    }
    let id = TransactionId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");
    assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
}

#[test]
fn every_signer_is_a_member_and_signs_once() {
    let mut signed = block().transactions.remove(0);
    let chain = Hash([5; 32]);
    signed.endorsements.clear();
    signed.sign(&key(1), chain).unwrap();
    let members = [key(1).public(), key(2).public()];
    let of = |id| members.into_iter().find(|it| it.member() == id);
    let refused = |transaction: &Transaction| transaction.check_signatures(chain, of).is_err();
    assert!(!refused(&signed));
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut changed = signed.clone();
        change(&mut changed);
        changed
    };
    assert!(!refused(&with(&|it| it.endorse(&key(2), chain).unwrap())));
    assert!(refused(&with(&|it| it.endorse(&key(3), chain).unwrap())), "a stranger");
    assert!(refused(&with(&|it| it.endorse(&key(2), Hash([6; 32])).unwrap())), "another chain");
    let twice = with(&|it| {
        it.endorse(&key(2), chain).unwrap();
        it.endorse(&key(2), chain).unwrap();
    });
    assert!(refused(&twice));
    let taken = with(&|it| {
        it.endorse(&key(2), chain).unwrap();
        it.endorsements[0].member = key(1).member();
    });
    assert!(refused(&taken), "one member's signature in another's name");
    assert!(refused(&with(&|it| it.statement.push('x'))));
    assert!(refused(&with(&|it| it.sign(&key(3), chain).unwrap())));
    assert!(refused(&with(&|it| it.signature = Signature::NONE)));
}

#[test]
fn sizes_are_those_of_the_bytes() {
    let length = |bytes: Vec<u8>| u64::try_from(bytes.len()).unwrap();
    for transaction in block().transactions {
        assert_eq!(transaction.size(), length(crate::codec::encode(&transaction)));
        for operation in &transaction.operations {
            assert_eq!(operation.size(), length(crate::codec::encode(operation)), "{operation:?}");
        }
    }
}
