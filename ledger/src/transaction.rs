//! A signed write set: what a statement did, as data, with the versions it rests on. Never SQL to be run.

mod seal;
#[cfg(test)]
mod tests;

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Hash, Height, Object, Oid};

pub use seal::signed_message;

/// A transaction's number, made by the node that serves it (UUID version 7).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct TransactionId(pub [u8; 16]);

/// Where a row's version was written: its identity for ever.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct VersionId {
    /// The block.
    pub height: Height,
    /// The transaction's place in the block.
    pub transaction: u32,
    /// The operation's place in the transaction.
    pub operation: u32,
}

impl VersionId {
    /// Big-endian bytes, so that their order is the chain's.
    pub fn to_bytes(self) -> [u8; 16] {
        let wide = (u128::from(self.height.0) << 64)
            | (u128::from(self.transaction) << 32)
            | u128::from(self.operation);
        wide.to_be_bytes()
    }

    /// The version of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            height: Height(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            transaction: u32::from_be_bytes([i, j, k, l]),
            operation: u32::from_be_bytes([m, n, o, p]),
        }
    }
}

impl fmt::Display for TransactionId {
    /// As a UUID is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A write set, as the serving node hands it in.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// Its number.
    pub id: TransactionId,
    /// The session's user.
    pub user: String,
    /// The hash of the public key of the node that served it.
    pub member: Hash,
    /// The statements, normalised: literals are `$n`, at most 64 KiB, cut at a character.
    pub statement: String,
    /// `ledger.idempotency_key`: a second transaction with it gets the first's receipt.
    pub idempotency_key: Option<String>,
    /// The height it read at.
    pub snapshot: Height,
    /// What it does, in order.
    pub operations: Vec<Operation>,
    /// The serving node's Ed25519 signature over the transaction's hash. Zero until it is signed.
    pub signature: Signature,
    /// Other members' signatures over the same hash.
    pub endorsements: Vec<Endorsement>,
}

/// An Ed25519 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

/// A member's word for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Endorsement {
    /// The hash of its public key.
    pub member: Hash,
    /// Over the transaction's hash.
    pub signature: Signature,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// A new row.
    Insert {
        /// Its table.
        table: Oid,
        /// Its columns.
        row: Row,
    },
    /// A new version of a row.
    Update {
        /// Its table.
        table: Oid,
        /// The version it replaces: it must be alive.
        previous: VersionId,
        /// Its columns.
        row: Row,
    },
    /// The end of a row.
    Delete {
        /// Its table.
        table: Oid,
        /// The version it ends: it must be alive.
        previous: VersionId,
    },
    /// Puts an object into the catalog, or replaces the one of this OID.
    Define {
        /// Its OID: new ones must be above every OID used so far.
        oid: Oid,
        /// The whole object.
        object: Box<Object>,
    },
    /// Takes an object out of the catalog. Its history stays.
    Drop {
        /// Its OID.
        oid: Oid,
    },
    /// Leases values of a sequence to the serving node.
    Lease {
        /// The sequence.
        sequence: Oid,
        /// The epoch the lease was computed in: it must be the sequence's.
        epoch: u32,
        /// The first value leased: it must be the sequence's next free one.
        from: i64,
        /// The first value that stays free; `None` when it is used up.
        next: Option<i64>,
    },
}

/// A row's columns as canonical bytes (row codec). Salts of redactable columns stand in the bytes, and so
/// does the commitment that is left of an erased one.
///
/// The transaction's hash covers [`Row::commitment`], never the payload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Row {
    /// Encoded by the row codec: random access by column.
    pub bytes: Vec<u8>,
}

/// What a client gets for a commit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The transaction.
    pub id: TransactionId,
    /// The block it is in.
    pub height: Height,
    /// Its place in the block.
    pub transaction: u32,
    /// The block's hash.
    pub block: Hash,
    /// The block's time, µs since 1970 UTC.
    pub time_us: i64,
}

impl Transaction {
    /// Bytes that it takes in a block.
    pub fn size(&self) -> u64 {
        let texts = self.user.len()
            + self.statement.len()
            + self.idempotency_key.as_ref().map_or(0, |key| 4 + key.len());
        let endorsements = self.endorsements.len().saturating_mul(32 + 64);
        // Number, member, snapshot, signature; the lengths of two texts and two lists; whether there is a key.
        let fixed = 16 + 32 + 8 + 64 + 4 * 4 + 1;
        let own = u64::try_from(texts.saturating_add(endorsements)).unwrap_or(u64::MAX);
        let operations = self.operations.iter().map(Operation::size);
        operations.fold(own.saturating_add(fixed), u64::saturating_add)
    }
}

impl Operation {
    /// Bytes that it takes in a block.
    pub fn size(&self) -> u64 {
        // Kind and table, a version, the length before a row.
        const HEAD: usize = 1 + 4;
        const VERSION: usize = 16;
        const LENGTH: usize = 4;
        let bytes = match self {
            Self::Insert { row, .. } => HEAD + LENGTH + row.bytes.len(),
            Self::Update { row, .. } => HEAD + VERSION + LENGTH + row.bytes.len(),
            Self::Delete { .. } => HEAD + VERSION,
            Self::Define { .. } | Self::Drop { .. } | Self::Lease { .. } => {
                borsh::object_length(self).unwrap_or(usize::MAX)
            }
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The table whose row it writes or ends.
    pub fn table(&self) -> Option<Oid> {
        match self {
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. } => Some(*table),
            Self::Define { .. } | Self::Drop { .. } | Self::Lease { .. } => None,
        }
    }

    /// The row that it writes.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Self::Insert { row, .. } | Self::Update { row, .. } => Some(row),
            _ => None,
        }
    }

    /// The version that it replaces or ends.
    pub fn previous(&self) -> Option<VersionId> {
        match self {
            Self::Update { previous, .. } | Self::Delete { previous, .. } => Some(*previous),
            _ => None,
        }
    }
}
