//! Proofs verify from their files alone, and no altered one does.

use serde_json::Value as Json;

use super::*;
use crate::samples::{block, genesis, key};
use crate::{Proposal, Row, Tip};

/// A chain of a few blocks: its headers' hashes, and the tip after each.
fn chain() -> (Vec<Header>, Vec<Hash>, Vec<Tip>) {
    let mut tip = Tip::genesis(&genesis().header).unwrap();
    let (mut headers, mut tips) = (vec![genesis().header], vec![tip.clone()]);
    let second = block().header;
    tip.advance(&second).unwrap();
    headers.push(second);
    tips.push(tip.clone());
    for _ in 0..7 {
        let next = tip.next(Proposal::default()).unwrap().header;
        tip.advance(&next).unwrap();
        headers.push(next);
        tips.push(tip.clone());
    }
    let hashes = headers.iter().map(Header::hash).collect();
    (headers, hashes, tips)
}

/// Changes one hex digit or number of a JSON, at every place; hands each to `check`.
pub(super) fn each_change(json: &Json, check: &mut dyn FnMut(&Json)) {
    fn walk(whole: &Json, path: &mut Vec<String>, check: &mut dyn FnMut(&Json)) {
        let pointer: String = path.iter().map(|part| format!("/{part}")).collect();
        let here = whole.pointer(&pointer).unwrap().clone();
        let mut with = |changed: Json| {
            let mut other = whole.clone();
            *other.pointer_mut(&pointer).unwrap() = changed;
            check(&other);
        };
        match here {
            Json::Number(n) => with(Json::from(n.as_i64().unwrap() + 1)),
            Json::String(text) => {
                for at in 0..text.len() {
                    let mut bytes = text.clone().into_bytes();
                    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
                    with(Json::from(String::from_utf8(bytes).unwrap()));
                }
            }
            Json::Array(items) => {
                for at in 0..items.len() {
                    path.push(at.to_string());
                    walk(whole, path, check);
                    path.pop();
                }
            }
            Json::Object(fields) => {
                for name in fields.keys() {
                    path.push(name.clone());
                    walk(whole, path, check);
                    path.pop();
                }
            }
            Json::Null | Json::Bool(_) => {}
        }
    }
    walk(json, &mut Vec::new(), check);
}

#[test]
fn row_proofs() {
    let block = block();
    let expected = block.header.hash();
    for operation in 0..3 {
        let proof = RowProof::of(&block, 0, operation).unwrap().unwrap();
        assert_eq!(proof.verify(), Ok(expected));
        proof.within.verify_signature(&key(1).public()).unwrap();
        assert!(proof.within.verify_signature(&key(2).public()).is_err());
        let file = proof.to_json();
        assert_eq!(RowProof::from_json(&file).unwrap(), proof);
        each_change(&file, &mut |changed| {
            let verified = RowProof::from_json(changed).ok().and_then(|proof| proof.verify().ok());
            assert_ne!(verified, Some(expected), "{changed}");
        });
    }
    assert_eq!(RowProof::of(&block, 0, 3).unwrap(), None);
    assert_eq!(RowProof::of(&block, 2, 0).unwrap(), None);
}

#[test]
fn a_column_can_be_withheld() {
    let block = block();
    let mut proof = RowProof::of(&block, 0, 0).unwrap().unwrap();
    let Operation::Insert { row, .. } = &mut proof.operation else { panic!() };
    let hidden: Row = row.erase(|_| true).unwrap();
    assert_ne!(*row, hidden);
    *row = hidden;
    assert_eq!(proof.verify(), Ok(block.header.hash()));
}

#[test]
fn block_proofs_and_digests() {
    let (headers, hashes, tips) = chain();
    let digest = Digest::sign(tips.last().unwrap(), &key(1));
    digest.verify(&key(1).public()).unwrap();
    assert!(digest.verify(&key(2).public()).is_err());
    let file = digest.to_json();
    assert_eq!(Digest::from_json(&file).unwrap(), digest);
    each_change(&file, &mut |changed| {
        let right = Digest::from_json(changed).is_ok_and(|d| d.verify(&key(1).public()).is_ok());
        assert!(!right, "{changed}");
    });
    for header in &headers {
        let proof = BlockProof::of(header, &hashes).unwrap();
        proof.verify(&digest).unwrap();
        let file = proof.to_json();
        assert_eq!(BlockProof::from_json(&file).unwrap(), proof);
        each_change(&file, &mut |changed| {
            let right = BlockProof::from_json(changed).is_ok_and(|p| p.verify(&digest).is_ok());
            assert!(!right, "{changed}");
        });
    }
}

#[test]
fn consistency_proofs() {
    let (_, hashes, tips) = chain();
    let digests: Vec<Digest> = tips.iter().map(|tip| Digest::sign(tip, &key(1))).collect();
    let last = digests.last().unwrap();
    for old in &digests {
        let proof = ConsistencyProof::of(&hashes, old.height.0 + 1).unwrap();
        proof.verify(old, last).unwrap();
        let file = proof.to_json();
        assert_eq!(ConsistencyProof::from_json(&file).unwrap(), proof);
        each_change(&file, &mut |changed| {
            let read = ConsistencyProof::from_json(changed);
            assert!(!read.is_ok_and(|p| p.verify(old, last).is_ok()), "{changed}");
        });
        // A history that was rewritten.
        let mut forged = old.clone();
        forged.history_root.0[0] ^= 1;
        assert_eq!(proof.verify(&forged, last), Err(ProofError::Consistency));
    }
}
