//! Truth: the types, bytes, hashes, proofs and rules of a ledger.
//!
//! This crate does no I/O, reads no clock, spawns nothing and knows neither SQL nor Arrow. It is the only
//! crate that makes hashed bytes; what it computes is the same on every node.

pub mod block;
pub mod catalog;
pub mod decimal;
pub mod hash;
pub mod refusal;
pub mod rule;
pub mod table;
pub mod transaction;
pub mod value;
pub mod view;

pub use block::{Block, Header, Height};
pub use catalog::{Catalog, Object, Oid};
pub use decimal::Decimal;
pub use hash::Hash;
pub use refusal::Refusal;
pub use rule::Rule;
pub use table::{Column, ColumnNumber, Table};
pub use transaction::{Operation, Receipt, Row, Transaction, TransactionId, VersionId};
pub use value::{Type, Value};
pub use view::View;
