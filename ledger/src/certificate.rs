//! Certificates: members sign which block they applied and what their state was after it; a majority of those who
//! had a vote then makes a certificate. It knows no consensus: who had a vote is read from the entry that it leaves in blocks, and is signed too.
//!
//! It is an audit quorum among members that fail, and don't lie: who signs has applied the block, and can't say
//! later that the chain was another. It takes no part in deciding what is committed.

mod json;
#[cfg(test)]
mod tests;
mod voters;

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::codec::{DecodeError, decode, encode};
use crate::hash::{Domain, hash};
use crate::signature::{NodeKey, PublicKey};
use crate::{Hash, Header, Height, Signature};

pub use voters::Voters;

/// The version of what is signed.
const VERSION: u8 = 1;

/// Why a certificate doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is of another chain.
    #[error("the certificate is of another chain")]
    Chain,
    /// It names another block than the chain has at its height, or other members in force.
    #[error("the certificate is not of this block")]
    Block,
    /// The voters that it lists are not those that were signed, or not those that had a vote.
    #[error("the certificate names other voters than had a vote")]
    Voters,
    /// Someone without a vote signed it.
    #[error("{0} signed and had no vote")]
    Stranger(Hash),
    /// A voter stands there twice, or the signatures are not in order.
    #[error("{0} stands there twice, or out of order")]
    Order(Hash),
    /// No majority of the voters signed it.
    #[error("{signed} of {voters} voters signed, which is no majority")]
    TooFew {
        /// Who signed.
        signed: usize,
        /// Who had a vote.
        voters: usize,
    },
    /// The key of a voter who signed is not known.
    #[error("{0} signed and is no member")]
    NoMember(Hash),
    /// A signature is not that voter's.
    #[error("the signature of {0} does not verify")]
    Signature(Hash),
}

/// What a member says of a block that it has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Statement {
    /// The chain.
    pub chain: Hash,
    /// The block's height.
    pub height: Height,
    /// Its hash.
    pub block: Hash,
    /// The state's digest after it: [`crate::Outcome::digest`].
    pub state: Hash,
    /// The members and policies that its header names.
    pub governance: Hash,
    /// Who had a vote: [`Voters::hash`].
    pub voters: Hash,
}

impl Statement {
    /// What is signed.
    pub fn message(&self) -> Hash {
        hash(Domain::Certificate, &[&encode(&(VERSION, self))])
    }

    /// A member's signature.
    pub fn sign(&self, key: &NodeKey) -> Signature {
        key.sign(self.message())
    }

    /// Whether it speaks of the block with this header.
    pub fn is_about(&self, header: &Header) -> bool {
        self.chain == header.chain_id()
            && self.height == header.height
            && self.block == header.hash()
            && self.governance == header.governance
    }
}

/// A statement that a majority of the voters signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What they signed.
    pub statement: Statement,
    /// Who had a vote.
    pub voters: Voters,
    /// Who signed, in order of the members' ids.
    pub signatures: Vec<(Hash, Signature)>,
}

impl Certificate {
    /// The certificate of these signatures, if they are enough. They are taken as valid.
    pub fn gather(
        statement: Statement,
        voters: &Voters,
        signatures: &BTreeMap<Hash, Signature>,
    ) -> Option<Self> {
        if !voters.is_majority(|member| signatures.contains_key(member)) {
            return None;
        }
        let all = voters.all();
        let counted = signatures.iter().filter(|(member, _)| all.contains(*member));
        let signatures = counted.map(|(member, signature)| (*member, *signature)).collect();
        Some(Self { statement, voters: voters.clone(), signatures })
    }

    /// Checks that a majority of the voters signed it, each once. `key_of` gives the keys of the members that are
    /// trusted. Whether these were the voters, and whether the chain has the block, is for who has the chain.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(
        &self,
        chain: Hash,
        key_of: impl Fn(Hash) -> Option<PublicKey>,
    ) -> Result<(), CertificateError> {
        if self.statement.chain != chain {
            return Err(CertificateError::Chain);
        }
        if self.voters.hash() != self.statement.voters {
            return Err(CertificateError::Voters);
        }
        let all = self.voters.all();
        let mut signers = BTreeSet::new();
        let message = self.statement.message();
        for (member, signature) in &self.signatures {
            if !all.contains(member) {
                return Err(CertificateError::Stranger(*member));
            }
            if signers.last().is_some_and(|last| last >= member) {
                return Err(CertificateError::Order(*member));
            }
            signers.insert(*member);
            let key = key_of(*member).ok_or(CertificateError::NoMember(*member))?;
            if key.member() != *member || !key.verify(message, signature) {
                return Err(CertificateError::Signature(*member));
            }
        }
        if !self.voters.is_majority(|member| signers.contains(member)) {
            let (signed, voters) = (signers.len(), all.len());
            return Err(CertificateError::TooFew { signed, voters });
        }
        Ok(())
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(&(VERSION, &self.statement, &self.voters, &self.signatures))
    }

    /// The certificate of these bytes. Nothing of it is checked.
    ///
    /// # Errors
    /// Bytes that are none, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, rest) = bytes.split_first().ok_or_else(cut_short)?;
        if *version != VERSION {
            return Err(DecodeError::malformed(format!("a certificate of version {version}")));
        }
        let (statement, voters, signatures) = decode(rest)?;
        Ok(Self { statement, voters, signatures })
    }
}

fn cut_short() -> DecodeError {
    DecodeError::malformed("an empty certificate")
}
