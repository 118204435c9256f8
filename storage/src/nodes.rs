//! The nodes of a chain, as whoever asks about them sees them, and what can be changed about them. It knows neither SQL
//! nor consensus.

use borsh::{BorshDeserialize, BorshSerialize};
use ledger::{Height, PublicKey};
use thiserror::Error;

/// What a node does for its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides what comes next.
    Leader,
    /// It has a vote, and follows.
    Voter,
    /// It gets all blocks, and has no vote.
    Learner,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

/// One node of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number.
    pub id: u64,
    /// How others reach it, `host:port`; may be empty for one that is alone.
    pub address: String,
    /// Its key.
    pub public_key: PublicKey,
    /// What it does.
    pub role: Role,
    /// Whether it is the node that tells this.
    pub own: bool,
    /// The newest block that is safe on it, if the leader could be asked.
    pub height: Option<Height>,
    /// The version that it runs, if this node has met it.
    pub version: Option<String>,
}

/// A change of a chain's nodes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum NodeChange {
    /// Lets a node get blocks, under a number that no other has or had; one that is there keeps its number, and is
    /// reached at this address from now on.
    Admit {
        /// How others reach it, `host:port`.
        address: String,
        /// Its key, which must be a member's.
        public_key: [u8; 32],
    },
    /// Gives a node a vote, once it has nearly all blocks.
    Promote(u64),
    /// Takes a node out: it gets no more blocks, and has no vote.
    Remove(u64),
    /// Makes a voter the leader.
    HandOver(u64),
}

/// Why a change of the nodes, or a read, can't be done now.
#[derive(Clone, Debug, PartialEq, Eq, Error, BorshSerialize, BorshDeserialize)]
pub enum Refused {
    /// Another node leads, or none does.
    #[error("this node does not lead its chain")]
    NotLeading,
    /// The key of a node that is to be admitted is no member's: it could never propose a block.
    #[error("the node's key is no member's of the chain")]
    NoMember,
    /// There is no node of this number.
    #[error("there is no node {0}")]
    NoNode(u64),
    /// It lacks too many blocks to get a vote.
    #[error("node {node} lacks {blocks} blocks")]
    Behind {
        /// Its number.
        node: u64,
        /// What it lacks.
        blocks: u64,
    },
    /// It is the only voter.
    #[error("node {0} is the only voter")]
    LastVoter(u64),
    /// Something else; it may have been done.
    #[error("{0}")]
    Failed(String),
}
