//! How blocks follow one another: making the next one, checking a link, checking a body. Knows no files and
//! no consensus.

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use super::{Block, Header, Height};
use crate::codec::{DecodeError, SUITE, VERSION, encode};
use crate::hash::{Domain, hash};
use crate::{Hash, Transaction, merkle};

/// A block that doesn't follow the chain before it, or whose body isn't what its header says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Another height was due.
    #[error("height {found} where {due} was due")]
    Height {
        /// The height that was due.
        due: u64,
        /// The header's.
        found: u64,
    },
    /// A block of another chain.
    #[error("block {0} belongs to another chain")]
    Chain(u64),
    /// The parent's hash is not the one before.
    #[error("block {height} names parent {found}, but the block before is {due}")]
    Parent {
        /// The block.
        height: u64,
        /// The hash of the block before.
        due: Hash,
        /// What the header says.
        found: Hash,
    },
    /// The history root is not the one over the headers before.
    #[error("block {0} has a wrong history root")]
    History(u64),
    /// Time must grow.
    #[error("block {0} is not later than its parent")]
    Time(u64),
    /// The body is not what the header was made of.
    #[error("the body of block {height} differs from its header: {what}")]
    Body {
        /// The block.
        height: u64,
        /// What differs.
        what: &'static str,
    },
    /// The body's bytes are damaged.
    #[error("block {height}: {error}")]
    Damaged {
        /// The block.
        height: u64,
        /// What is wrong with the bytes.
        error: DecodeError,
    },
}

/// The end of a chain: all that is needed to make or check the next block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// The chain: its genesis block's hash.
    pub chain: Hash,
    /// The newest block's height.
    pub height: Height,
    /// The newest block's hash.
    pub hash: Hash,
    /// The newest block's time, µs since 1970 UTC.
    pub time_us: i64,
    /// The frontier over all headers, the newest one's included.
    pub history: merkle::History,
}

/// What goes into the next block.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// The proposer's clock, µs since 1970 UTC; raised where it doesn't pass the parent's time.
    pub clock_us: i64,
    /// The hash of the proposer's public key.
    pub proposer: Hash,
    /// `Catalog::governance` of the state that the block is made on.
    pub governance: Hash,
    /// Consensus' stamp.
    pub stamp: Vec<u8>,
    /// Consensus' own entry; empty for most blocks.
    pub membership: Vec<u8>,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
    /// The transactions' hashes, where they are known already: one for each, or none.
    pub hashes: Vec<Hash>,
    /// Digest of the state after the block, if the chain keeps one.
    pub state_digest: Option<Hash>,
}

/// Root over the transactions, and their number. `known` are their hashes, or nothing.
fn body_root(transactions: &[Transaction], known: &[Hash]) -> Result<(Hash, u32), DecodeError> {
    let mut tree = merkle::History::default();
    let is_known = known.len() == transactions.len();
    for (at, transaction) in transactions.iter().enumerate() {
        let own = match known.get(at).filter(|_| is_known) {
            Some(own) => *own,
            None => transaction.hash()?,
        };
        tree.append(transaction.leaf(own));
    }
    let count = u32::try_from(transactions.len())
        .map_err(|_| DecodeError::malformed("too many transactions"))?;
    Ok((tree.root(), count))
}

fn membership_hash(entry: &[u8]) -> Option<Hash> {
    (!entry.is_empty()).then(|| hash(Domain::Membership, &[entry]))
}

impl Header {
    /// The block's hash.
    pub fn hash(&self) -> Hash {
        hash(Domain::Header, &[&encode(self)])
    }

    /// The chain that it belongs to: its own hash for the genesis block.
    pub fn chain_id(&self) -> Hash {
        if self.height.0 == 0 { self.hash() } else { self.chain }
    }
}

impl Block {
    /// The first block of a chain.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn first(proposal: Proposal) -> Result<Self, DecodeError> {
        let (transactions_root, transaction_count) =
            body_root(&proposal.transactions, &proposal.hashes)?;
        let header = Header {
            version: VERSION,
            suite: SUITE,
            chain: Hash::default(),
            height: Height(0),
            parent: Hash::default(),
            transactions_root,
            history_root: merkle::empty_root(),
            membership: membership_hash(&proposal.membership),
            governance: proposal.governance,
            time_us: proposal.clock_us,
            proposer: proposal.proposer,
            transaction_count,
            state_digest: proposal.state_digest,
        };
        Ok(Self {
            header,
            stamp: proposal.stamp,
            membership: proposal.membership,
            transactions: proposal.transactions,
        })
    }

    /// Checks that the body is the one that the header was made of. This hashes every row.
    ///
    /// # Errors
    /// [`LinkError::Body`] or [`LinkError::Damaged`].
    pub fn verify_body(&self) -> Result<(), LinkError> {
        self.verify_body_of(&[])
    }

    /// As [`Self::verify_body`]. `hashes` are those of the transactions as they stand here, made by the caller
    /// from their bytes: one for each, or none.
    ///
    /// # Errors
    /// As of [`Self::verify_body`].
    pub fn verify_body_of(&self, hashes: &[Hash]) -> Result<(), LinkError> {
        let height = self.header.height.0;
        let (root, count) = body_root(&self.transactions, hashes)
            .map_err(|error| LinkError::Damaged { height, error })?;
        let differs = |what| Err(LinkError::Body { height, what });
        if count != self.header.transaction_count {
            return differs("number of transactions");
        }
        if root != self.header.transactions_root {
            return differs("transactions");
        }
        if membership_hash(&self.membership) != self.header.membership {
            return differs("membership");
        }
        Ok(())
    }
}

impl Tip {
    /// The end of a chain that has only its genesis block. The body is not looked at.
    ///
    /// # Errors
    /// When the header is not a genesis block's.
    pub fn genesis(header: &Header) -> Result<Self, LinkError> {
        let found = header.height.0;
        if found != 0 {
            return Err(LinkError::Height { due: 0, found });
        }
        if header.chain != Hash::default() {
            return Err(LinkError::Chain(0));
        }
        if header.parent != Hash::default() {
            let (due, found) = (Hash::default(), header.parent);
            return Err(LinkError::Parent { height: 0, due, found });
        }
        if header.history_root != merkle::empty_root() {
            return Err(LinkError::History(0));
        }
        let own = header.hash();
        let mut history = merkle::History::default();
        history.append(own);
        let time_us = header.time_us;
        Ok(Self { chain: own, height: header.height, hash: own, time_us, history })
    }

    /// Makes the next block. The tip itself stays; see [`Tip::advance`].
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn next(&self, proposal: Proposal) -> Result<Block, DecodeError> {
        let mut block = Block::first(proposal)?;
        block.header.chain = self.chain;
        block.header.height = Height(self.height.0.saturating_add(1));
        block.header.parent = self.hash;
        block.header.history_root = self.history.root();
        block.header.time_us = block.header.time_us.max(self.time_us.saturating_add(1));
        Ok(block)
    }

    /// Checks that a header follows, and moves to it. Gives its hash. The body is not looked at: see
    /// [`Block::verify_body`].
    ///
    /// # Errors
    /// When it doesn't follow; the tip is then unchanged.
    pub fn advance(&mut self, header: &Header) -> Result<Hash, LinkError> {
        let height = header.height.0;
        let due = self.height.0.saturating_add(1);
        if height != due {
            return Err(LinkError::Height { due, found: height });
        }
        if header.chain != self.chain {
            return Err(LinkError::Chain(height));
        }
        if header.parent != self.hash {
            return Err(LinkError::Parent { height, due: self.hash, found: header.parent });
        }
        if header.history_root != self.history.root() {
            return Err(LinkError::History(height));
        }
        if header.time_us <= self.time_us {
            return Err(LinkError::Time(height));
        }
        self.hash = header.hash();
        self.height = header.height;
        self.time_us = header.time_us;
        self.history.append(self.hash);
        Ok(self.hash)
    }
}
