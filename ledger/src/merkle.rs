//! Merkle trees in the shape of RFC 6962: roots, inclusion and consistency proofs, and the frontier of a
//! growing tree. Leaves are hashes already (of another domain than inner nodes); what they mean is not
//! known here.

#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Hash;
use crate::hash::{Domain, hash};

/// The hash of two neighbours.
pub fn node(left: Hash, right: Hash) -> Hash {
    let mut both = [0; 64];
    let (a, b) = both.split_at_mut(32);
    a.copy_from_slice(&left.0);
    b.copy_from_slice(&right.0);
    hash(Domain::Node, &[&both])
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    hash(Domain::Node, &[&[]])
}

/// The root over the leaves, in order.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut history = History::default();
    for leaf in leaves {
        history.append(*leaf);
    }
    history.root()
}

/// The frontier of a growing tree: the roots of its perfect subtrees, greatest first. At most 64 hashes,
/// however long the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct History {
    len: u64,
    peaks: Vec<Hash>,
}

impl History {
    /// A frontier that was kept elsewhere; `None` when the number of peaks doesn't fit the length.
    pub fn from_parts(len: u64, peaks: Vec<Hash>) -> Option<Self> {
        (usize::try_from(len.count_ones()) == Ok(peaks.len())).then_some(Self { len, peaks })
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut merged = leaf;
        for _ in 0..self.len.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                merged = node(left, merged);
            }
        }
        self.peaks.push(merged);
        self.len += 1;
    }

    /// Adds the leaves of another tree behind its own, as if one by one. Gives whether that can be told from the
    /// peaks: what is there must be a multiple of a power of two that `other` doesn't exceed, as of parts of equal
    /// size that is one.
    #[must_use]
    pub fn join(&mut self, other: &Self) -> bool {
        let fits = self.len == 0
            || other
                .len
                .checked_next_power_of_two()
                .is_some_and(|size| self.len.is_multiple_of(size));
        if !fits {
            return false;
        }
        let mut rest = other.len;
        for peak in &other.peaks {
            let size = rest.checked_ilog2().map_or(0, |bits| 1 << bits);
            rest -= size;
            self.append_tree(*peak, size);
        }
        true
    }

    /// Adds a perfect tree of so many leaves, a power of two that divides the number of those there are.
    fn append_tree(&mut self, root: Hash, leaves: u64) {
        let mut merged = root;
        for _ in 0..self.len.checked_div(leaves).unwrap_or(0).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                merged = node(left, merged);
            }
        }
        self.peaks.push(merged);
        self.len += leaves;
    }

    /// How many leaves there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The peaks, greatest subtree first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node(*left, right))
    }
}

/// The greatest power of two below `n`, for n of at least 2.
fn split(n: usize) -> usize {
    n.checked_sub(1).and_then(usize::checked_ilog2).map_or(0, |bits| 1 << bits)
}

/// The path from a leaf to the root, nearest neighbour first; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut part, mut index) = (leaves, index);
    let mut path = Vec::new();
    while part.len() > 1 {
        let (left, right) = part.split_at_checked(split(part.len()))?;
        if index < left.len() {
            path.push(root(right));
            part = left;
        } else {
            path.push(root(left));
            index -= left.len();
            part = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether the path leads from this leaf at `index` to the root of a tree of `len` leaves.
pub fn verify_inclusion(leaf: Hash, index: u64, len: u64, path: &[Hash], expected: Hash) -> bool {
    if index >= len {
        return false;
    }
    let (mut index, mut last) = (index, len - 1);
    let mut reached = leaf;
    for neighbour in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            reached = node(*neighbour, reached);
            // A right edge that was lifted without a neighbour climbs to where it has one.
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            reached = node(reached, *neighbour);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && reached == expected
}

/// What shows that the tree of the first `old` leaves is a prefix of the tree of all; `None` when `old` is
/// 0 or more than there are. Empty when both are the same.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old == 0 || old > leaves.len() {
        return None;
    }
    let (mut part, mut old, mut whole) = (leaves, old, true);
    let mut proof = Vec::new();
    while old < part.len() {
        let (left, right) = part.split_at_checked(split(part.len()))?;
        if old <= left.len() {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            old -= left.len();
            part = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root(part));
    }
    proof.reverse();
    Some(proof)
}

/// Whether the proof shows that `old_root` over `old` leaves is a prefix of `new_root` over `new` leaves.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: Hash,
    new_root: Hash,
    proof: &[Hash],
) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    let (mut index, mut last) = (old - 1, new - 1);
    while index & 1 == 1 {
        index >>= 1;
        last >>= 1;
    }
    let mut proof = proof.iter().copied();
    let start = if index == 0 { Some(old_root) } else { proof.next() };
    let Some(start) = start else { return false };
    let (mut before, mut after) = (start, start);
    for neighbour in proof {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            before = node(neighbour, before);
            after = node(neighbour, after);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            after = node(after, neighbour);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && before == old_root && after == new_root
}
