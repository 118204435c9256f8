//! What a query asks of a column, as far as a file's statistics can answer it: whether a stretch of rows can
//! hold any that match. It knows no expressions: whoever scans turns what it understands into these.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Datum, Scalar},
    compute::kernels::cmp,
    datatypes::DataType,
    error::ArrowError,
};
use ledger::{ColumnNumber, Table};

use crate::{Fault, arrow_types, segment::Group, system_columns::user_column};

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A column compared with a value that is not NULL.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The column.
    pub column: ColumnNumber,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what: an array of one, of the column's type in scans.
    pub value: ArrayRef,
}

/// A comparison of Arrow's.
type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

impl Condition {
    /// Whether a row group can have rows that meet it.
    pub(crate) fn may_match(&self, table: &Table, group: &Group) -> Result<bool, Fault> {
        let Some(column) = user_column(table, self.column) else { return Ok(true) };
        let kind = arrow_types::data_type_of(&column.kind);
        // Statistics of floats leave NaN out, which is greater than all.
        let is_ordered =
            !matches!(kind, DataType::Float32 | DataType::Float64) && !kind.is_nested();
        if !is_ordered || *self.value.data_type() != kind || self.value.len() != 1 {
            return Ok(true);
        }
        // A file that can't be read rules nothing out.
        let Ok(Some((least, greatest))) = group.bounds(self.column, &kind) else {
            return Ok(true);
        };
        let holds = |compare: Compare, bound: &ArrayRef| {
            match compare(&Scalar::new(Arc::clone(bound)), &Scalar::new(Arc::clone(&self.value))) {
                // No bound is known.
                Ok(found) if found.is_null(0) => true,
                Ok(found) => found.value(0),
                Err(_) => true,
            }
        };
        Ok(match self.comparison {
            Comparison::Equal => holds(cmp::lt_eq, &least) && holds(cmp::gt_eq, &greatest),
            Comparison::Less => holds(cmp::lt, &least),
            Comparison::LessOrEqual => holds(cmp::lt_eq, &least),
            Comparison::Greater => holds(cmp::gt, &greatest),
            Comparison::GreaterOrEqual => holds(cmp::gt_eq, &greatest),
        })
    }
}
