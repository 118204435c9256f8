//! Running point statements: what the session adds to a row-by-row query, and its rows as Arrow.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use ledger::{Value, VersionId};

use super::Session;
use crate::Error;
use crate::functions::{Datum, array_of, shaped};
use crate::outcome::Parameter;
use crate::point::Env;
use crate::read::{self, Planned, QueryContext};
use crate::statement::Statement;
use crate::types::PgType;

/// A row of a point statement: its version, if it is a table's, and its columns.
pub(crate) type PointRow = (Option<VersionId>, Vec<Datum>);

impl Session {
    /// The rows of a plan that is a point statement's; `None` if the ordinary way must be taken.
    pub(crate) fn point_rows(
        &self,
        statement: &Statement,
        planned: &Planned,
        parameters: &[Parameter],
    ) -> Option<Vec<PointRow>> {
        let point = planned.point.as_ref()?;
        let changed = self.transaction.as_ref().is_some_and(|own| own.overlay.catalog().is_some());
        if changed
            || self.beside.is_some()
            || parameters.len() < planned.parameters.len()
            || !self.shared.short_path()
        {
            return None;
        }
        let made = OnceCell::new();
        let context = || made.get_or_init(|| self.query_context(statement).ok()).as_ref();
        let values = parameters.iter().zip(&planned.parameters);
        let values = values.map(|(parameter, kind)| value_of(parameter, kind, context));
        let values = values.collect::<Option<Vec<Datum>>>()?;
        let context = if point.calls() { context() } else { None };
        let env = Env { row: &[], version: None, parameters: &values, context };
        self.look(|sight| Ok(point.rows(sight, env))).ok()?
    }

    /// The same as one batch of the plan's result.
    pub(crate) fn point_batch(
        &self,
        statement: &Statement,
        planned: &Planned,
        parameters: &[Parameter],
    ) -> Option<RecordBatch> {
        let rows = self.point_rows(statement, planned, parameters)?;
        batch_of(planned, rows).ok()
    }
}

/// A parameter's value in its type.
fn value_of<'c>(
    parameter: &Parameter,
    kind: &PgType,
    context: impl FnOnce() -> Option<&'c QueryContext>,
) -> Option<Datum> {
    let Some(value) = &parameter.value else { return Some(Datum::Null) };
    let same = matches!(
        (value, kind),
        (Value::Int2(_), PgType::Int2)
            | (Value::Int4(_), PgType::Int4)
            | (Value::Int8(_), PgType::Int8)
            | (Value::Text(_), PgType::Text)
            | (Value::Bool(_), PgType::Bool)
            | (Value::Uuid(_), PgType::Uuid)
    );
    if same {
        return Some(Datum::of(value.clone()));
    }
    shaped(kind, read::parameter_value(context()?, parameter, kind).ok()?).ok()
}

/// Rows as a batch.
fn batch_of(planned: &Planned, rows: Vec<PointRow>) -> Result<RecordBatch, Error> {
    let count = rows.len();
    let mut columns: Vec<Vec<Datum>> =
        planned.types.iter().map(|_| Vec::with_capacity(count)).collect();
    for (_, row) in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let arrays = planned.types.iter().zip(columns).map(|(kind, column)| array_of(kind, column));
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let schema = Arc::clone(&planned.schema);
    RecordBatch::try_new_with_options(schema, arrays.collect::<Result<_, _>>()?, &options)
        .map_err(|error| Error::internal(error.to_string()))
}
