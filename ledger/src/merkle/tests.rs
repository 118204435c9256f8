//! Every inclusion and consistency proof of all trees up to 40 leaves: the right one verifies, no altered
//! one does.

use super::*;

fn leaves(n: u8) -> Vec<Hash> {
    (0..n).map(|i| hash(Domain::Header, &[&[i]])).collect()
}

/// The definition in RFC 6962, word for word.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(defined(left), defined(right))
        }
    }
}

#[test]
fn frontier_has_the_defined_root() {
    for n in 0..40 {
        assert_eq!(root(&leaves(n)), defined(&leaves(n)), "{n}");
    }
}

#[test]
fn trees_of_equal_parts_join_to_the_whole() {
    for n in 0..40 {
        for part in [1, 2, 4, 8, 16, 32] {
            let mut joined = History::default();
            for leaves in leaves(n).chunks(part) {
                let mut own = History::default();
                leaves.iter().for_each(|leaf| own.append(*leaf));
                assert!(joined.join(&own), "{n} leaves in parts of {part}");
            }
            let mut whole = History::default();
            leaves(n).iter().for_each(|leaf| whole.append(*leaf));
            assert_eq!(joined, whole, "{n} leaves in parts of {part}");
        }
    }
}

#[test]
fn trees_that_do_not_fit_are_not_joined() {
    let of = |n| {
        let mut tree = History::default();
        leaves(n).iter().for_each(|leaf| tree.append(*leaf));
        tree
    };
    let mut odd = of(3);
    assert!(!odd.join(&of(2)));
    assert_eq!(odd, of(3));
    assert!(!of(4).join(&of(5)));
    assert!(of(4).join(&of(3)));
    assert!(of(0).join(&of(3)));
}

#[test]
fn inclusion_proofs_verify_and_altered_ones_do_not() {
    for n in 1..40u8 {
        let leaves = leaves(n);
        let root = root(&leaves);
        for (i, leaf) in leaves.iter().enumerate() {
            let path = inclusion_proof(&leaves, i).unwrap();
            let (i, n) = (i as u64, u64::from(n));
            assert!(verify_inclusion(*leaf, i, n, &path, root), "{i} of {n}");
            assert!(!verify_inclusion(*leaf, i + 1, n, &path, root));
            assert!(!verify_inclusion(root, i, n + 1, &path, root) || n == 1);
            for at in 0..path.len() {
                let mut wrong = path.clone();
                wrong[at].0[0] ^= 1;
                assert!(!verify_inclusion(*leaf, i, n, &wrong, root));
                wrong = path.clone();
                wrong.remove(at);
                assert!(!verify_inclusion(*leaf, i, n, &wrong, root));
            }
            let mut longer = path.clone();
            longer.push(root);
            assert!(!verify_inclusion(*leaf, i, n, &longer, root));
        }
    }
    assert!(inclusion_proof(&leaves(3), 3).is_none());
}

#[test]
fn consistency_proofs_verify_and_altered_ones_do_not() {
    for n in 1..40u8 {
        let all = leaves(n);
        let new = root(&all);
        for m in 1..=n {
            let old = root(&all[..usize::from(m)]);
            let proof = consistency_proof(&all, usize::from(m)).unwrap();
            let (m, n) = (u64::from(m), u64::from(n));
            assert!(verify_consistency(m, n, old, new, &proof), "{m} of {n}");
            assert!(!verify_consistency(m, n, new, old, &proof) || m == n);
            for at in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[at].0[31] ^= 0x80;
                assert!(!verify_consistency(m, n, old, new, &wrong));
                wrong = proof.clone();
                wrong.remove(at);
                assert!(!verify_consistency(m, n, old, new, &wrong));
            }
        }
    }
    assert!(consistency_proof(&leaves(3), 0).is_none());
    assert!(consistency_proof(&leaves(3), 4).is_none());
}

#[test]
fn a_frontier_of_the_wrong_size_is_not_taken() {
    assert!(History::from_parts(3, leaves(2)).is_some());
    assert!(History::from_parts(4, leaves(2)).is_none());
}
