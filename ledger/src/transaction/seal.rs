//! Hashes and signatures of a transaction. The hash covers each row's commitment, never its payload.

use std::collections::BTreeSet;

use borsh::BorshSerialize;

use super::{Endorsement, Operation, Signature, Transaction};
use crate::codec::{DecodeError, encode};
use crate::hash::{Domain, hash};
use crate::signature::{NodeKey, PublicKey};
use crate::{Catalog, Hash, Oid, Refusal, VersionId, merkle};

/// Bytes of an operation on a row: kind, table, version replaced, commitment.
fn row_operation(kind: u8, table: Oid, previous: Option<VersionId>, row: Option<Hash>) -> Hash {
    let mut bytes = [0u8; 64];
    let mut rest = bytes.as_mut_slice();
    // 1 + 4 + 16 + 32 bytes always fit.
    let written = (kind, table, OptionalTail(previous), OptionalTail(row)).serialize(&mut rest);
    debug_assert!(written.is_ok(), "{written:?}");
    let left = rest.len();
    hash(Domain::Operation, &[bytes.get(..64 - left).unwrap_or(&[])])
}

/// Written without a mark of presence: the operation's kind says whether it is there.
struct OptionalTail<T>(Option<T>);

impl<T: BorshSerialize> BorshSerialize for OptionalTail<T> {
    fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |value| value.serialize(writer))
    }
}

impl Operation {
    /// Its hash: a leaf of the transaction's tree.
    ///
    /// # Errors
    /// When its row's bytes are damaged.
    pub fn hash(&self) -> Result<Hash, DecodeError> {
        Ok(match self {
            Self::Insert { table, row } => row_operation(0, *table, None, Some(row.commitment()?)),
            Self::Update { table, previous, row } => {
                row_operation(1, *table, Some(*previous), Some(row.commitment()?))
            }
            Self::Delete { table, previous } => row_operation(2, *table, Some(*previous), None),
            Self::Define { .. } | Self::Drop { .. } | Self::Lease { .. } => {
                hash(Domain::Operation, &[&encode(self)])
            }
        })
    }
}

impl Operation {
    /// The tree over the hashes of these. Those of parts can be made apart, and joined: each part but the last
    /// must have the same number of operations, a power of two.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn tree(operations: &[Self]) -> Result<merkle::History, DecodeError> {
        let mut tree = merkle::History::default();
        for operation in operations {
            tree.append(operation.hash()?);
        }
        Ok(tree)
    }
}

impl Transaction {
    /// The hashes of its operations, in order: the leaves of its tree.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn operation_hashes(&self) -> Result<Vec<Hash>, DecodeError> {
        self.operations.iter().map(Operation::hash).collect()
    }

    /// Its hash: of all but the signatures, with the root over its operations in their place.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn hash(&self) -> Result<Hash, DecodeError> {
        Ok(self.hash_over(&Operation::tree(&self.operations)?))
    }

    /// Its hash, given the tree over its operations: see [`Operation::tree`].
    pub fn hash_over(&self, tree: &merkle::History) -> Hash {
        hash(Domain::Transaction, &[&self.preimage(tree.len(), tree.root())])
    }

    /// What the transaction's hash is of, given its operations' number and root.
    pub fn preimage(&self, operations: u64, root: Hash) -> Vec<u8> {
        encode(&(
            &self.id,
            &self.user,
            &self.member,
            &self.statement,
            &self.idempotency_key,
            &self.snapshot,
            &operations,
            &root,
        ))
    }

    /// The hash of the transaction (given as its hash) with its signatures: a leaf of the block's tree.
    pub fn leaf(&self, own: Hash) -> Hash {
        hash(Domain::Signed, &[&own.0, &self.signature.0, &encode(&self.endorsements)])
    }

    /// Signs it as the serving node. `chain` is the genesis block's hash (zero within the genesis block).
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn sign(&mut self, key: &NodeKey, chain: Hash) -> Result<(), DecodeError> {
        self.member = key.member();
        self.signature = key.sign(signed_message(chain, self.hash()?));
        Ok(())
    }

    /// Adds an endorsement of it as it stands.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn endorse(&mut self, key: &NodeKey, chain: Hash) -> Result<(), DecodeError> {
        let signature = key.sign(signed_message(chain, self.hash()?));
        self.endorsements.push(Endorsement { member: key.member(), signature });
        Ok(())
    }

    /// Whether the serving node's signature is of this key and of this transaction in this chain.
    ///
    /// # Errors
    /// When a row's bytes are damaged.
    pub fn is_signed_by(&self, key: &PublicKey, chain: Hash) -> Result<bool, DecodeError> {
        let message = signed_message(chain, self.hash()?);
        Ok(key.member() == self.member && key.verify(message, &self.signature))
    }

    /// Makes sure that it is signed as a chain with this catalog takes it: an unsigned one is signed with the
    /// key of the node that serves it; any other must be signed by members (see [`Self::check_signatures`]).
    /// `tree` is the one over its operations. Gives its hash.
    ///
    /// # Errors
    /// When it isn't.
    pub fn vouch(
        &mut self,
        key: &NodeKey,
        chain: Hash,
        catalog: &Catalog,
        tree: &merkle::History,
    ) -> Result<Hash, Refusal> {
        if self.signature == Signature::NONE && self.endorsements.is_empty() {
            self.member = key.member();
            let own = self.hash_over(tree);
            self.signature = key.sign(signed_message(chain, own));
            return Ok(own);
        }
        self.vouched(chain, catalog, tree)
    }

    /// Makes sure that members signed it, as [`Self::vouch`] does, and signs nothing. Gives its hash.
    ///
    /// # Errors
    /// When they didn't.
    pub fn vouched(
        &self,
        chain: Hash,
        catalog: &Catalog,
        tree: &merkle::History,
    ) -> Result<Hash, Refusal> {
        let own = self.hash_over(tree);
        let of = |member| catalog.member_of_hash(member).map(|(_, found)| found.public_key);
        self.check_signatures_of(own, chain, of)?;
        Ok(own)
    }

    /// Checks its member's signature and every endorser's, of whom none may stand twice. `key_of` gives the
    /// key of a member that is in force.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when one is no member, or did not sign this transaction in this chain.
    pub fn check_signatures(
        &self,
        chain: Hash,
        key_of: impl Fn(Hash) -> Option<PublicKey>,
    ) -> Result<(), Refusal> {
        self.check_signatures_of(self.hash()?, chain, key_of)
    }

    /// As [`Self::check_signatures`], given the transaction's hash.
    ///
    /// # Errors
    /// As of [`Self::check_signatures`].
    pub fn check_signatures_of(
        &self,
        own: Hash,
        chain: Hash,
        key_of: impl Fn(Hash) -> Option<PublicKey>,
    ) -> Result<(), Refusal> {
        let message = signed_message(chain, own);
        let check = |member: Hash, signature: &Signature| match key_of(member) {
            None => Err(Refusal::malformed(format!("{member} is no member"))),
            Some(key) if key.member() == member && key.verify(message, signature) => Ok(()),
            Some(_) => Err(Refusal::malformed(format!("it is not what member {member} signed"))),
        };
        check(self.member, &self.signature)?;
        let mut seen = BTreeSet::new();
        for endorsement in &self.endorsements {
            if !seen.insert(endorsement.member) {
                return Err(Refusal::malformed("a member endorses it twice"));
            }
            check(endorsement.member, &endorsement.signature)?;
        }
        Ok(())
    }
}

/// What is signed for a transaction: it holds in one chain only.
pub fn signed_message(chain: Hash, transaction: Hash) -> Hash {
    hash(Domain::TransactionSignature, &[&chain.0, &transaction.0])
}

impl Signature {
    /// The signature of what is not signed yet.
    pub const NONE: Self = Self([0; 64]);
}
