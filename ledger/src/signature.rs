//! Ed25519 keys, signatures and who a member is. Keeps no key on disk and makes no randomness.

#[cfg(test)]
mod tests;

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::Hash;
use crate::hash::{Domain, hash};
use crate::transaction::Signature;

/// A node's secret key. Never shown; its bytes are for the key file only.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// The key of a secret: 32 bytes from a good source of randomness, or from the key file.
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// What others know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The member that it speaks for.
    pub fn member(&self) -> Hash {
        self.public().member()
    }

    /// Signs a hash (which is of a domain of its own).
    pub fn sign(&self, message: Hash) -> Signature {
        Signature(self.0.sign(&message.0).to_bytes())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.member())
    }
}

/// A member's Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The member's id: the hash of its public key.
    pub fn member(&self) -> Hash {
        hash(Domain::Member, &[&self.0])
    }

    /// Whether this is the key's signature of the message. Strict: one signature for each message, no weak
    /// keys.
    pub fn verify(&self, message: Hash, signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&message.0, &signature).is_ok()
    }
}
