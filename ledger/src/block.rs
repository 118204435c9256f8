//! Blocks: a header that links to its parent, and a body of transactions.

mod chain;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Hash, Transaction};

pub use chain::{LinkError, Proposal, Tip};

/// A block's place in the chain and in the consensus log. Genesis is 0.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct Height(pub u64);

/// What is hashed: the block's hash is the hash of its header's bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Format version: 1.
    pub version: u8,
    /// Algorithm suite: 1 is BLAKE3 with Ed25519.
    pub suite: u8,
    /// The chain: the genesis block's hash (zero in the genesis block itself).
    pub chain: Hash,
    /// Its place.
    pub height: Height,
    /// The hash of the block before (zero in the genesis block).
    pub parent: Hash,
    /// Merkle root of the transactions' hashes (RFC 6962 shape).
    pub transactions_root: Hash,
    /// Merkle root (RFC 6962 shape) over the hashes of all earlier headers.
    pub history_root: Hash,
    /// Hash of consensus' own entry in the body, if there is one.
    pub membership: Option<Hash>,
    /// Hash of the member set and the policies in force: [`crate::Catalog::governance`] before the block
    /// (after it in the genesis block).
    pub governance: Hash,
    /// `max(parent + 1, proposer's clock)`, µs since 1970 UTC.
    pub time_us: i64,
    /// The hash of the proposer's public key.
    pub proposer: Hash,
    /// Transactions in the body.
    pub transaction_count: u32,
    /// Digest of the state after this block, if the chain keeps one.
    pub state_digest: Option<Hash>,
}

/// A block as it is stored and sent. Only the header is hashed; the body is bound by its roots.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Consensus' stamp beside the block (term and leader for Raft), opaque here.
    pub stamp: Vec<u8>,
    /// Consensus' own entry (a membership change), empty for most blocks. Only [`crate::Voters::of_membership`] reads it.
    pub membership: Vec<u8>,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
}
