//! COPY between a client and a table or a query. Bytes are the connection's business: here rows go in
//! as values and come out as batches.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use ledger::{Catalog, Oid, Row, Type, Value};

use crate::outcome::{ResultColumn, RowStream};
use crate::settings::Zone;

/// How COPY's bytes look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// The format.
    pub format: CopyFormat,
    /// Between two columns, ASCII (text, csv).
    pub delimiter: char,
    /// What stands for NULL (text, csv).
    pub null: String,
    /// The first line has the columns' names.
    pub header: bool,
    /// The first line's names must be the columns' (22P04).
    pub header_match: bool,
    /// The quote, ASCII (csv).
    pub quote: char,
    /// What stands before a quote within quotes, ASCII (csv).
    pub escape: char,
    /// Columns (by place, from 0) whose values are quoted on the way out (csv).
    pub force_quote: Vec<usize>,
    /// Columns whose quoted NULL text is NULL all the same (csv, in).
    pub force_null: Vec<usize>,
    /// Columns whose NULL text is no NULL (csv, in).
    pub force_not_null: Vec<usize>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            format: CopyFormat::Text,
            delimiter: '\t',
            null: "\\N".to_string(),
            header: false,
            header_match: false,
            quote: '"',
            escape: '"',
            force_quote: Vec::new(),
            force_null: Vec::new(),
            force_not_null: Vec::new(),
        }
    }
}

/// COPY's formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// One line for each row, columns between tabs.
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary format.
    Binary,
}

/// Rows on their way in. Bound to the session that it was made by.
#[derive(Debug)]
pub struct CopyIn {
    /// Names and types of the columns that a row has, in order.
    pub columns: Vec<(String, Type)>,
    /// How the bytes look.
    pub options: CopyOptions,
    pub(crate) table: Oid,
    pub(crate) numbers: Vec<ledger::ColumnNumber>,
    pub(crate) maker: CopyMaker,
    pub(crate) rows: u64,
    /// Rows that were taken, and not yet held against other rows: all at once costs far less than each by each.
    pub(crate) unchecked: Vec<Arc<Row>>,
    /// `WHERE`: only rows for which it holds are taken.
    pub(crate) filter: Option<Box<(crate::statement::Statement, ast::Expr)>>,
}

/// Makes rows of values apart from the session, on any thread.
#[derive(Clone, Debug)]
pub struct CopyMaker {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) table: Oid,
    pub(crate) zone: Zone,
    /// Whether a row's values are all that the row and its locks need.
    pub(crate) is_plain: bool,
}

/// Rows that are made as far as that can be done apart from the session.
#[derive(Debug)]
pub struct CopyRows(pub(crate) Made);

/// Keys in an index.
pub(crate) type KeysIn = (Oid, Vec<Vec<u8>>);

/// See [`CopyRows`].
#[derive(Debug)]
pub(crate) enum Made {
    /// Encoded, with their keys in each index of the table, and those of their parents in theirs.
    Rows { rows: Vec<Arc<Row>>, keys: Vec<KeysIn>, parents: Vec<KeysIn> },
    /// As they came.
    Values(Vec<Vec<Value>>),
}

/// Rows on their way out.
pub struct CopyOut {
    /// The columns.
    pub columns: Vec<ResultColumn>,
    /// How the bytes look.
    pub options: CopyOptions,
    /// The rows; the tag is `COPY` and their number.
    pub stream: RowStream,
}
