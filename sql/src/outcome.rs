//! What a statement takes and gives: parameters, result columns, rows, tags, and COPY both ways. It
//! knows Arrow, not the wire.

use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use ledger::Value;

use crate::copy::{CopyIn, CopyOut};
use crate::{Error, statement::Statement};

/// A bound parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its type. 0 or 705 (`unknown`): a text whose type the statement decides.
    pub oid: u32,
    /// `None` is NULL.
    pub value: Option<Value>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name; names may repeat.
    pub name: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// The type's length in bytes; -1 is variable.
    pub type_len: i16,
    /// The type's modifier; -1 is none.
    pub typmod: i32,
    /// The table that it comes from unchanged, or 0.
    pub table_oid: u32,
    /// Its number in that table, or 0.
    pub attnum: i16,
}

/// A statement with its parameters' types and its result's columns.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The statement.
    pub statement: Statement,
    /// OIDs of the parameters' types, `$1` first.
    pub parameters: Vec<u32>,
    /// The columns of its result; `None` when it gives no rows.
    pub columns: Option<Vec<ResultColumn>>,
    /// What kind of statement it is.
    pub kind: StatementKind,
}

/// What kind of statement it is, as a connection needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Nothing but blanks and comments.
    Empty,
    /// BEGIN, COMMIT, ROLLBACK and their kind, savepoints.
    Transaction,
    /// `COPY … FROM STDIN`
    CopyIn,
    /// `COPY … TO STDOUT`
    CopyOut,
    /// Any other.
    Other,
}

/// The command tag of a statement that gives rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `SELECT n`, `FETCH n`: the rows are counted as they are sent.
    Counted(&'static str),
    /// The whole tag (`INSERT 0 3`): the rows that follow don't change it.
    Fixed(String),
}

impl Tag {
    /// The tag after so many rows.
    pub fn text(&self, rows: u64) -> String {
        match self {
            Self::Counted(command) => format!("{command} {rows}"),
            Self::Fixed(text) => text.clone(),
        }
    }
}

/// Rows on their way.
pub type RowStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// What became of a statement.
pub enum Outcome {
    /// Rows. An error may come at any batch.
    Rows {
        /// Their columns.
        columns: Vec<ResultColumn>,
        /// The rows; a batch's columns are in the order of `columns`.
        stream: RowStream,
        /// The tag that follows them.
        tag: Tag,
    },
    /// No rows.
    Done {
        /// The tag.
        tag: String,
    },
    /// The client may send rows.
    CopyIn(CopyIn),
    /// Rows for COPY.
    CopyOut(CopyOut),
    /// The statement was empty.
    Empty,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows { columns, tag, .. } => {
                f.debug_struct("Rows").field("columns", columns).field("tag", tag).finish()
            }
            Self::Done { tag } => f.debug_struct("Done").field("tag", tag).finish(),
            Self::CopyIn(copy) => f.debug_tuple("CopyIn").field(&copy.columns).finish(),
            Self::CopyOut(copy) => f.debug_tuple("CopyOut").field(&copy.columns).finish(),
            Self::Empty => f.write_str("Empty"),
        }
    }
}

impl Outcome {
    pub(crate) fn done(tag: impl Into<String>) -> Self {
        Self::Done { tag: tag.into() }
    }
}
