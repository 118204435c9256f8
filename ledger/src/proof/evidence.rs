//! Whole files of evidence: a row or a transaction with the way to its block, and the block's way into a chain.
//! What one shows stands on a digest and the members' keys alone. It reads no files and asks no server.

use serde_json::{Value as Json, json};

use super::{BlockProof, ConsistencyProof, Digest, ProofError, RowProof, TransactionProof};
use crate::certificate::{Certificate, CertificateError};
use crate::codec::DecodeError;
use crate::{Hash, Header, Object, Oid, Operation, PublicKey, Table};

#[cfg(test)]
mod tests;

/// An operation of a transaction of a block of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The operation in its block.
    pub row: RowProof,
    /// The block in the chain.
    pub block: BlockProof,
}

/// What a file of evidence holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// A row's version, and the definition of its table by which it reads.
    Row {
        /// The version.
        version: Box<Written>,
        /// The table's definition, as it was when the version was written.
        definition: Box<Written>,
        /// The chain's end when the file was made.
        digest: Digest,
    },
    /// A transaction.
    Transaction {
        /// The transaction in its block.
        transaction: Box<TransactionProof>,
        /// The block in the chain.
        block: BlockProof,
        /// The chain's end when the file was made.
        digest: Digest,
    },
    /// A chain that goes on from an earlier digest.
    Consistency {
        /// The proof.
        proof: ConsistencyProof,
        /// The earlier end, as the same node signs it now.
        old: Digest,
        /// The later one.
        digest: Digest,
    },
    /// A digest alone.
    Digest(Digest),
    /// A block that a majority of the voters vouches for.
    Certificate {
        /// What they signed, of this block or a later one.
        certificate: Box<Certificate>,
        /// The header of the block that they signed.
        header: Box<Header>,
        /// An earlier block, as one of those before it; nothing if it is the one itself.
        earlier: Option<BlockProof>,
    },
}

fn key_of(keys: &[PublicKey], member: Hash) -> Result<&PublicKey, ProofError> {
    keys.iter().find(|key| key.member() == member).ok_or(ProofError::Signature)
}

impl Written {
    fn verify(&self, digest: &Digest, keys: &[PublicKey]) -> Result<(), ProofError> {
        let block = self.row.verify()?;
        linked(block, &self.block, digest)?;
        let within = &self.row.within;
        within.verify_signature(key_of(keys, within.transaction.member)?)
    }

    fn to_json(&self) -> Json {
        json!({"row": self.row.to_json(), "block": self.block.to_json()})
    }

    fn from_json(json: &Json) -> Result<Self, DecodeError> {
        Ok(Self {
            row: RowProof::from_json(part(json, "row")?)?,
            block: BlockProof::from_json(part(json, "block")?)?,
        })
    }
}

/// The block that a proof leads to must be the one that the chain has.
fn linked(block: Hash, proof: &BlockProof, digest: &Digest) -> Result<(), ProofError> {
    if proof.header.hash() == block { proof.verify(digest) } else { Err(ProofError::Block) }
}

fn part<'j>(json: &'j Json, name: &str) -> Result<&'j Json, DecodeError> {
    json.get(name)
        .ok_or_else(|| DecodeError::malformed(format!("the file has no field \"{name}\"")))
}

impl Evidence {
    /// The digest that the evidence was made for; a certificate stands on signatures of its own.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Row { digest, .. }
            | Self::Transaction { digest, .. }
            | Self::Consistency { digest, .. }
            | Self::Digest(digest) => Some(digest),
            Self::Certificate { .. } => None,
        }
    }

    /// The table that a row's version is of, as the evidence defines it.
    pub fn table(&self) -> Option<(Oid, &Table)> {
        match self {
            Self::Row { definition, .. } => match &definition.row.operation {
                Operation::Define { oid, object } => match object.as_ref() {
                    Object::Table(table) => Some((*oid, table)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// Checks everything against the members' keys, and against a digest that was kept: of the same block for a row
    /// or a transaction, of the earlier block for a chain that goes on, of one of the blocks that a certificate is for.
    /// Without one the evidence's own has to do, as far as its member is believed.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&self, kept: Option<&Digest>, keys: &[PublicKey]) -> Result<(), ProofError> {
        if let Some(own) = self.digest() {
            own.verify(key_of(keys, own.member)?)?;
        }
        if let Some(kept) = kept {
            kept.verify(key_of(keys, kept.member)?)?;
        }
        match self {
            Self::Row { version, definition, digest: own } => {
                let digest = kept.unwrap_or(own);
                version.verify(digest, keys)?;
                definition.verify(digest, keys)?;
                let defined = self.table().map(|(oid, _)| oid);
                let place = |written: &Written| {
                    let within = &written.row.within;
                    (within.header.height, within.index, written.row.index)
                };
                let fits = defined.is_some()
                    && defined == version.row.operation.table()
                    && place(definition) < place(version);
                if fits { Ok(()) } else { Err(ProofError::Definition) }
            }
            Self::Transaction { transaction, block, digest: own } => {
                linked(transaction.verify()?, block, kept.unwrap_or(own))?;
                transaction.verify_signature(key_of(keys, transaction.transaction.member)?)
            }
            Self::Consistency { proof, old, digest: new } => {
                old.verify(key_of(keys, old.member)?)?;
                proof.verify(kept.unwrap_or(old), new)
            }
            Self::Digest(own) => match kept {
                Some(kept) if !kept.says_as(own) => Err(ProofError::Consistency),
                _ => Ok(()),
            },
            Self::Certificate { certificate, header, earlier } => {
                let key_of = |member| keys.iter().find(|key| key.member() == member).copied();
                certificate
                    .verify(kept.map_or(certificate.statement.chain, |it| it.chain), key_of)?;
                if !certificate.statement.is_about(header) {
                    return Err(CertificateError::Block.into());
                }
                if let Some(earlier) = earlier {
                    earlier.verify_before(header)?;
                }
                let shown =
                    std::iter::once(header.as_ref()).chain(earlier.iter().map(|it| &it.header));
                let same = |kept: &Digest| {
                    let mut all = shown.clone();
                    all.any(|it| it.height == kept.height && it.hash() == kept.block)
                };
                if kept.is_none_or(same) { Ok(()) } else { Err(ProofError::Consistency) }
            }
        }
    }

    /// The evidence as JSON: the file.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Row { version, definition, digest } => json!({
                "evidence": "row",
                "version": version.to_json(),
                "definition": definition.to_json(),
                "digest": digest.to_json(),
            }),
            Self::Transaction { transaction, block, digest } => json!({
                "evidence": "transaction",
                "transaction": transaction.to_json(),
                "block": block.to_json(),
                "digest": digest.to_json(),
            }),
            Self::Consistency { proof, old, digest } => json!({
                "evidence": "consistency",
                "consistency": proof.to_json(),
                "old": old.to_json(),
                "digest": digest.to_json(),
            }),
            Self::Digest(digest) => digest.to_json(),
            Self::Certificate { certificate, header, earlier } => json!({
                "evidence": "certificate",
                "certificate": certificate.to_json(),
                "header": super::json::hex(&header.encode()),
                "earlier": earlier.as_ref().map(BlockProof::to_json),
            }),
        }
    }

    /// The evidence of a file.
    ///
    /// # Errors
    /// When it is none, or a part is missing or damaged.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        let digest = || Digest::from_json(part(json, "digest")?);
        Ok(match json.get("evidence").and_then(Json::as_str) {
            Some("row") => Self::Row {
                version: Box::new(Written::from_json(part(json, "version")?)?),
                definition: Box::new(Written::from_json(part(json, "definition")?)?),
                digest: digest()?,
            },
            Some("transaction") => Self::Transaction {
                transaction: Box::new(TransactionProof::from_json(part(json, "transaction")?)?),
                block: BlockProof::from_json(part(json, "block")?)?,
                digest: digest()?,
            },
            Some("consistency") => Self::Consistency {
                proof: ConsistencyProof::from_json(part(json, "consistency")?)?,
                old: Digest::from_json(part(json, "old")?)?,
                digest: digest()?,
            },
            Some("certificate") => Self::Certificate {
                certificate: Box::new(Certificate::from_json(part(json, "certificate")?)?),
                header: Box::new(super::json::header(json)?),
                earlier: match part(json, "earlier")? {
                    Json::Null => None,
                    earlier => Some(BlockProof::from_json(earlier)?),
                },
            },
            Some(other) => {
                return Err(DecodeError::malformed(format!("evidence of another kind: {other}")));
            }
            None => Self::Digest(Digest::from_json(json)?),
        })
    }
}
