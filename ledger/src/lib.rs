//! Truth: the types, bytes, hashes, proofs and rules of a ledger.
//!
//! This crate does no I/O, reads no clock, spawns nothing and knows neither SQL nor Arrow. It is the only
//! crate that makes hashed bytes; what it computes is the same on every node.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod apply;
pub mod assign;
pub mod block;
pub mod catalog;
pub mod certificate;
pub mod codec;
pub mod decimal;
pub mod genesis;
pub mod hash;
pub mod key;
pub mod merkle;
pub mod outcome;
pub mod proof;
pub mod refusal;
pub mod row;
pub mod rule;
#[cfg(test)]
mod samples;
pub mod signature;
pub mod staged;
pub mod table;
pub mod text;
pub mod transaction;
pub mod value;
pub mod view;

pub use apply::{Touched, check_statement, check_transaction};
pub use block::{Block, Header, Height, LinkError, Proposal, Tip};
pub use catalog::{Catalog, Object, Oid};
pub use certificate::{Certificate, Statement, Voters};
pub use codec::DecodeError;
pub use decimal::Decimal;
pub use genesis::Genesis;
pub use hash::Hash;
pub use outcome::Outcome;
pub use refusal::Refusal;
pub use row::{RowEncoder, RowReader, decode_row};
pub use rule::Rule;
pub use signature::{NodeKey, PublicKey};
pub use staged::{Checked, Staged};
pub use table::{Column, ColumnNumber, Table};
pub use transaction::{Operation, Receipt, Row, Signature, Transaction, TransactionId, VersionId};
pub use value::{Type, Value, ValueRef};
pub use view::{View, up_to_two};
