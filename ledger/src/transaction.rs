//! A signed write set: what a statement did, as data, with the versions it rests on. Never SQL to be run.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Hash, Height, Object, Oid};

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
        object: Object,
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
        /// The first value that stays free; `None` when it is used up.
        next: Option<i64>,
    },
}

/// A row's columns as canonical bytes (row codec), with the salts of its redactable columns.
///
/// The transaction's hash covers [`Row::commitment`], never the payload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Row {
    /// Encoded by the row codec: random access by column.
    pub bytes: Vec<u8>,
    /// 16 random bytes for each redactable column, in order of column number; empty without one.
    pub salts: Vec<[u8; 16]>,
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
