//! Randomness of this node: salts and numbers of transactions. Never used by rules.

use ledger::TransactionId;

/// 16 random bytes for a redactable column.
pub(crate) fn salt() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

/// A transaction's number: a UUID of version 7.
pub(crate) fn transaction_id() -> TransactionId {
    TransactionId(*uuid::Uuid::now_v7().as_bytes())
}
