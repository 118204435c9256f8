//! Portable proofs: a row in a transaction, a transaction in a block, a block in a chain, a chain that
//! another goes on from. Each verifies with nothing but itself, a digest and the members' keys; none needs
//! a server. As JSON they are files (`proof/json.rs`).

mod evidence;
pub(crate) mod json;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use evidence::{Evidence, Written};

use crate::certificate::CertificateError;
use crate::codec::{DecodeError, encode};
use crate::hash::{Domain, hash};
use crate::signature::{NodeKey, PublicKey};
use crate::{Block, Hash, Header, Height, Operation, Signature, Transaction, merkle};

/// Why a proof doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The operation's hash doesn't lead to the transaction.
    #[error("the row is not in the transaction")]
    Row,
    /// The transaction's hash doesn't lead to the block.
    #[error("the transaction is not in the block")]
    Transaction,
    /// The block's hash doesn't lead to the digest.
    #[error("the block is not in the chain of the digest")]
    Block,
    /// The later digest's chain doesn't go on from the earlier one's.
    #[error("the later chain does not go on from the earlier one")]
    Consistency,
    /// The definition beside a row is not its table's, or is later than the row.
    #[error("the definition is not that of the row's table")]
    Definition,
    /// A signature is not that key's.
    #[error("a signature does not verify")]
    Signature,
    /// A certificate doesn't hold.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    /// The proof's bytes are damaged.
    #[error("the proof is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

/// What an auditor keeps: the whole chain up to a block in a few numbers, signed by a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The chain.
    pub chain: Hash,
    /// The newest block.
    pub height: Height,
    /// Its hash.
    pub block: Hash,
    /// Root of the history tree over all headers up to and with this block.
    pub history_root: Hash,
    /// The block's time, µs since 1970 UTC.
    pub time_us: i64,
    /// Who signed.
    pub member: Hash,
    /// Over all of the above but the member.
    pub signature: Signature,
}

impl Digest {
    /// The digest of a chain's end, signed.
    pub fn sign(tip: &crate::Tip, key: &NodeKey) -> Self {
        let mut digest = Self {
            chain: tip.chain,
            height: tip.height,
            block: tip.hash,
            history_root: tip.history.root(),
            time_us: tip.time_us,
            member: key.member(),
            signature: Signature::NONE,
        };
        digest.signature = key.sign(digest.message());
        digest
    }

    /// What is signed.
    fn message(&self) -> Hash {
        let parts = (&self.chain, &self.height, &self.block, &self.history_root, &self.time_us);
        hash(Domain::Digest, &[&encode(&parts)])
    }

    /// Checks the signature against the member's key.
    ///
    /// # Errors
    /// [`ProofError::Signature`]
    pub fn verify(&self, key: &PublicKey) -> Result<(), ProofError> {
        let right = key.member() == self.member && key.verify(self.message(), &self.signature);
        if right { Ok(()) } else { Err(ProofError::Signature) }
    }

    /// Whether both say the same of the chain, whoever signed them.
    pub fn says_as(&self, other: &Self) -> bool {
        self.message() == other.message()
    }

    /// How many headers the history tree has.
    fn len(&self) -> u64 {
        self.height.0.saturating_add(1)
    }
}

/// Shows that a header is one of a chain's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockProof {
    /// The header.
    pub header: Header,
    /// Headers in the history tree that the path belongs to.
    pub history_len: u64,
    /// From the header's hash to the history root.
    pub path: Vec<Hash>,
}

impl BlockProof {
    /// The proof for a header among `hashes`: those of all headers from genesis on. `None` when the
    /// header is not there.
    pub fn of(header: &Header, hashes: &[Hash]) -> Option<Self> {
        let at = usize::try_from(header.height.0).ok()?;
        if hashes.get(at) != Some(&header.hash()) {
            return None;
        }
        let path = merkle::inclusion_proof(hashes, at)?;
        let history_len = u64::try_from(hashes.len()).ok()?;
        Some(Self { header: header.clone(), history_len, path })
    }

    /// Checks the proof against a digest.
    ///
    /// # Errors
    /// [`ProofError::Block`]
    pub fn verify(&self, digest: &Digest) -> Result<(), ProofError> {
        let own = self.header.hash();
        let right = self.history_len == digest.len()
            && self.header.chain_id() == digest.chain
            && merkle::verify_inclusion(
                own,
                self.header.height.0,
                self.history_len,
                &self.path,
                digest.history_root,
            );
        if right { Ok(()) } else { Err(ProofError::Block) }
    }

    /// Checks the proof against a later block's header, which has the root over all headers before it.
    ///
    /// # Errors
    /// [`ProofError::Block`]
    pub fn verify_before(&self, later: &Header) -> Result<(), ProofError> {
        let right = self.history_len == later.height.0
            && self.header.chain_id() == later.chain_id()
            && merkle::verify_inclusion(
                self.header.hash(),
                self.header.height.0,
                self.history_len,
                &self.path,
                later.history_root,
            );
        if right { Ok(()) } else { Err(ProofError::Block) }
    }
}

/// Shows that a transaction is in a block.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionProof {
    /// The transaction without its operations.
    pub transaction: Transaction,
    /// How many operations it has.
    pub operations: u64,
    /// Root of the tree over them.
    pub operations_root: Hash,
    /// Its place in the block.
    pub index: u32,
    /// From its leaf to the block's transactions root.
    pub path: Vec<Hash>,
    /// The block's header.
    pub header: Header,
}

impl TransactionProof {
    /// The proof for a transaction of a block. `None` when there is no such transaction.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn of(block: &Block, index: u32) -> Result<Option<Self>, DecodeError> {
        let Some(at) = usize::try_from(index).ok().filter(|at| *at < block.transactions.len())
        else {
            return Ok(None);
        };
        let mut leaves = Vec::with_capacity(block.transactions.len());
        for transaction in &block.transactions {
            leaves.push(transaction.leaf(transaction.hash()?));
        }
        let Some(found) = block.transactions.get(at) else { return Ok(None) };
        let hashes = found.operation_hashes()?;
        Ok(merkle::inclusion_proof(&leaves, at).map(|path| Self {
            transaction: Transaction { operations: Vec::new(), ..found.clone() },
            operations: u64::try_from(hashes.len()).unwrap_or(u64::MAX),
            operations_root: merkle::root(&hashes),
            index,
            path,
            header: block.header.clone(),
        }))
    }

    /// The transaction's hash.
    pub fn hash(&self) -> Hash {
        let preimage = self.transaction.preimage(self.operations, self.operations_root);
        hash(Domain::Transaction, &[&preimage])
    }

    /// Checks the path to the header. Gives the block's hash, which a [`BlockProof`], a digest or a
    /// certificate must vouch for.
    ///
    /// # Errors
    /// [`ProofError::Transaction`]
    pub fn verify(&self) -> Result<Hash, ProofError> {
        let leaf = self.transaction.leaf(self.hash());
        let right = merkle::verify_inclusion(
            leaf,
            u64::from(self.index),
            u64::from(self.header.transaction_count),
            &self.path,
            self.header.transactions_root,
        );
        if right { Ok(self.header.hash()) } else { Err(ProofError::Transaction) }
    }

    /// Checks the serving node's signature.
    ///
    /// # Errors
    /// [`ProofError::Signature`]
    pub fn verify_signature(&self, key: &PublicKey) -> Result<(), ProofError> {
        // Within the genesis block, the chain has no hash yet.
        let message = crate::transaction::signed_message(self.header.chain, self.hash());
        let right = key.member() == self.transaction.member
            && key.verify(message, &self.transaction.signature);
        if right { Ok(()) } else { Err(ProofError::Signature) }
    }
}

/// Shows that an operation, with its row, is in a transaction of a block. Redactable columns may be
/// withheld: `Row::erase` keeps the proof valid.
#[derive(Clone, Debug, PartialEq)]
pub struct RowProof {
    /// The operation.
    pub operation: Operation,
    /// Its place in the transaction.
    pub index: u32,
    /// From its hash to the root over the transaction's operations.
    pub path: Vec<Hash>,
    /// Where the transaction stands.
    pub within: TransactionProof,
}

impl RowProof {
    /// The proof for an operation of a transaction of a block. `None` when there is no such one.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn of(block: &Block, transaction: u32, index: u32) -> Result<Option<Self>, DecodeError> {
        let Some(within) = TransactionProof::of(block, transaction)? else { return Ok(None) };
        let found = usize::try_from(transaction).ok().and_then(|at| block.transactions.get(at));
        let (Some(found), Ok(at)) = (found, usize::try_from(index)) else { return Ok(None) };
        let Some(operation) = found.operations.get(at) else { return Ok(None) };
        let path = merkle::inclusion_proof(&found.operation_hashes()?, at);
        Ok(path.map(|path| Self { operation: operation.clone(), index, path, within }))
    }

    /// Checks both paths. Gives the block's hash, which a [`BlockProof`], a digest or a certificate must
    /// vouch for.
    ///
    /// # Errors
    /// [`ProofError::Row`], [`ProofError::Transaction`] or [`ProofError::Damaged`].
    pub fn verify(&self) -> Result<Hash, ProofError> {
        let right = merkle::verify_inclusion(
            self.operation.hash()?,
            u64::from(self.index),
            self.within.operations,
            &self.path,
            self.within.operations_root,
        );
        if right { self.within.verify() } else { Err(ProofError::Row) }
    }
}

/// Shows that a chain goes on from what an earlier digest said: nothing was rewritten between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Headers in the earlier history.
    pub old_len: u64,
    /// Headers in the later history.
    pub new_len: u64,
    /// RFC 6962's proof.
    pub path: Vec<Hash>,
}

impl ConsistencyProof {
    /// The proof that the first `old_len` of `hashes` (those of all headers from genesis on) are their
    /// beginning. `None` when there are not so many.
    pub fn of(hashes: &[Hash], old_len: u64) -> Option<Self> {
        let path = merkle::consistency_proof(hashes, usize::try_from(old_len).ok()?)?;
        Some(Self { old_len, new_len: u64::try_from(hashes.len()).ok()?, path })
    }

    /// Checks the proof against two digests.
    ///
    /// # Errors
    /// [`ProofError::Consistency`]
    pub fn verify(&self, old: &Digest, new: &Digest) -> Result<(), ProofError> {
        let right = old.chain == new.chain
            && self.old_len == old.len()
            && self.new_len == new.len()
            && merkle::verify_consistency(
                self.old_len,
                self.new_len,
                old.history_root,
                new.history_root,
                &self.path,
            );
        if right { Ok(()) } else { Err(ProofError::Consistency) }
    }
}
