//! Portals: prepared statements with their parameters, and how far their rows were sent. It knows no wire.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use sql::{Parameter, Prepared, ResultColumn, RowStream, Tag};

use super::encode::{Format, Shape};

/// A portal.
pub(crate) struct Portal {
    /// What it runs.
    pub(crate) prepared: Arc<Prepared>,
    /// The formats of its result's columns: none (all text), one for all, or one for each.
    pub(crate) formats: Vec<Format>,
    /// How far it is.
    pub(crate) state: State,
    /// The bytes of its parameters, as they came.
    pub(crate) bytes: usize,
}

impl Portal {
    /// The bytes of parameters that it still holds.
    pub(crate) fn held(&self) -> usize {
        if matches!(self.state, State::Ready(_)) { self.bytes } else { 0 }
    }
}

/// How far a portal is.
pub(crate) enum State {
    /// Not run yet.
    Ready(Vec<Parameter>),
    /// Some of its rows were sent.
    Running(Box<Running>),
    /// All is sent.
    Done(Done),
}

/// A portal that has run.
pub(crate) enum Done {
    /// It gave rows: asked again it gives none, with the tag of none.
    Rows(Tag),
    /// It gave none, and can't run again.
    Once,
}

/// Rows on their way.
pub(crate) struct Running {
    /// How each column is written.
    pub(crate) shapes: Vec<Shape>,
    /// The rows to come; asked again after its end it gives none.
    pub(crate) stream: RowStream,
    /// The tag that follows them.
    pub(crate) tag: Tag,
    /// The batch that is being sent, and its next row.
    pub(crate) batch: Option<(RecordBatch, usize)>,
}

impl Running {
    /// Before the first row.
    pub(crate) fn new(
        columns: &[ResultColumn],
        formats: &[Format],
        stream: RowStream,
        tag: Tag,
    ) -> Self {
        Self { shapes: shapes(columns, formats), stream: stream.fuse().boxed(), tag, batch: None }
    }
}

/// The format of each of so many columns.
pub(crate) fn format_of(formats: &[Format], column: usize) -> Format {
    match formats {
        [] => Format::Text,
        [one] => *one,
        each => each.get(column).copied().unwrap_or(Format::Text),
    }
}

/// How each column is written.
pub(crate) fn shapes(columns: &[ResultColumn], formats: &[Format]) -> Vec<Shape> {
    let shape = |(place, column): (usize, &ResultColumn)| Shape {
        type_oid: column.type_oid,
        typmod: column.typmod,
        format: format_of(formats, place),
    };
    columns.iter().enumerate().map(shape).collect()
}
