//! What was asked for: statements, sessions, transactions, queries. The only crate that names
//! DataFusion; it knows neither the wire nor consensus.

mod apply;
pub mod as_of;
mod cancel;
pub mod catalog;
pub mod copy;
mod cursor;
mod ddl;
mod dialect;
mod dml;
pub mod engine;
pub mod error;
pub mod functions;
mod lazy;
pub mod ledger_views;
mod names;
mod normal;
pub mod number;
pub mod outcome;
mod overlay;
pub mod plan;
mod point;
mod privileges;
mod random;
pub mod read;
mod rows;
mod rules;
pub mod scan;
mod sequence;
pub mod session;
pub mod settings;
pub mod shared;
pub mod statement;
pub mod table;
mod transaction;
pub mod types;

pub use cancel::CancelToken;
pub use copy::{CopyFormat, CopyIn, CopyOptions, CopyOut};
pub use engine::{Engine, EngineConfig};
pub use error::{Error, Notice, Report};
pub use outcome::{Outcome, Parameter, Prepared, ResultColumn, RowStream, StatementKind, Tag};
pub use read::Spill;
pub use session::Session;
pub use settings::Settings;
pub use statement::Statement;
pub use transaction::TransactionStatus;
