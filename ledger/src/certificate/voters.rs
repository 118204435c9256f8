//! Who has a vote: members' ids, in one set, or two while the voters change; and how they are read from the entry
//! that consensus leaves in a block.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{DecodeError, decode, encode};
use crate::hash::{Domain, hash};
use crate::{Hash, PublicKey};

/// The version of a membership entry of the Raft kind.
const RAFT: u8 = 1;

/// A node in such an entry: its address and its public key.
type Node = (String, PublicKey);

/// Who has a vote, as members' ids. A majority is one in each set.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Voters(Vec<BTreeSet<Hash>>);

impl Voters {
    /// Those of these sets.
    pub fn new(sets: impl IntoIterator<Item = BTreeSet<Hash>>) -> Self {
        Self(sets.into_iter().collect())
    }

    /// Those that a block's membership entry names.
    ///
    /// # Errors
    /// Bytes that are no such entry, or name a voter without its node.
    pub fn of_membership(entry: &[u8]) -> Result<Self, DecodeError> {
        let wrong = || DecodeError::malformed("a membership entry");
        let (version, rest) = entry.split_first().ok_or_else(wrong)?;
        if *version != RAFT {
            return Err(DecodeError::malformed(format!("a membership entry of version {version}")));
        }
        let (sets, nodes): (Vec<BTreeSet<u64>>, BTreeMap<u64, Node>) = decode(rest)?;
        let member = |id: &u64| nodes.get(id).map(|(_, key)| key.member()).ok_or_else(wrong);
        sets.iter().map(|set| set.iter().map(member).collect()).collect::<Result<_, _>>().map(Self)
    }

    /// The sets.
    pub fn sets(&self) -> &[BTreeSet<Hash>] {
        &self.0
    }

    /// Everyone who has a vote.
    pub fn all(&self) -> BTreeSet<Hash> {
        self.0.iter().flatten().copied().collect()
    }

    /// What stands for them in a statement.
    pub fn hash(&self) -> Hash {
        hash(Domain::Voters, &[&encode(self)])
    }

    /// Whether these are more than half of each set.
    pub fn is_majority(&self, has: impl Fn(&Hash) -> bool) -> bool {
        let most = |set: &BTreeSet<Hash>| set.iter().filter(|it| has(it)).count() * 2 > set.len();
        !self.0.is_empty() && self.0.iter().all(most)
    }
}
