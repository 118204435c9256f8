//! Who has a vote on a block, and how they are reached: as the block says that names them.

use std::{collections::BTreeSet, io};

use ledger::{Hash, PublicKey, Voters};

use crate::{
    codec,
    types::{Members, NodeId, Peer},
};

/// The members of the consensus from a block on.
pub(super) struct Quorum {
    members: Members,
    voters: Voters,
    all: BTreeSet<Hash>,
}

fn member(peer: &Peer) -> Hash {
    PublicKey(peer.public_key).member()
}

impl Quorum {
    /// # Errors
    /// Bytes that are no membership entry.
    pub(super) fn of(entry: &[u8]) -> io::Result<Self> {
        let voters = Voters::of_membership(entry)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self { members: codec::decode_members(entry)?, all: voters.all(), voters })
    }

    pub(super) fn voters(&self) -> &Voters {
        &self.voters
    }

    pub(super) fn has_vote(&self, member: Hash) -> bool {
        self.all.contains(&member)
    }

    pub(super) fn key_of(&self, of: Hash) -> Option<PublicKey> {
        let mut keys = self.members.nodes().map(|(_, peer)| PublicKey(peer.public_key));
        keys.find(|key| key.member() == of)
    }

    /// All nodes, whether they have a vote or not, but this one.
    pub(super) fn nodes_but(&self, own: Hash) -> impl Iterator<Item = (NodeId, &Peer)> {
        let nodes = self.members.nodes().map(|(id, peer)| (*id, peer));
        nodes.filter(move |(_, peer)| member(peer) != own)
    }

    /// All voters but this one.
    pub(super) fn voters_but(&self, own: Hash) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.nodes_but(own).filter(|(_, peer)| self.has_vote(member(peer)))
    }
}
