//! What was asked for: statements, sessions, transactions, queries. The only crate that names
//! DataFusion; it knows neither the wire nor consensus.

pub mod copy;
pub mod error;
pub mod functions;
pub mod outcome;
pub mod plan;
pub mod read;
pub mod scan;
pub mod settings;
pub mod statement;
pub mod table;
pub mod types;

pub use copy::{CopyFormat, CopyIn, CopyOptions, CopyOut};
pub use error::{Error, Notice, Report};
pub use outcome::{Outcome, Parameter, Prepared, ResultColumn, RowStream, StatementKind, Tag};
pub use settings::Settings;
pub use statement::Statement;
