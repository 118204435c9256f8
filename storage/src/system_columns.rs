//! The columns that every table has beside its own: where a version stands in the chain, who wrote it and
//! when, and how long it was alive.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, FixedSizeBinaryBuilder, Int64Array, StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field},
};
use ledger::{Column, ColumnNumber, Height, Oid, Table, TransactionId, Type, VersionId};

use crate::{
    Fault,
    arrow_types::{self, TABLE_KEY, TYPE_KEY},
    chain::Chain,
};

/// A column that a scan can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScanColumn {
    /// One of the table's own.
    User(ColumnNumber),
    /// `ledger_block`, bigint: the height of the block that wrote the version.
    Block,
    /// `ledger_tx`, uuid: the transaction that wrote it.
    Transaction,
    /// `ledger_time`, timestamptz: that block's time.
    Time,
    /// `ledger_user`, text: who wrote it.
    User_,
    /// `ledger_version`, bytea of 16: height (8), transaction (4), operation (4), big endian.
    Version,
    /// `ledger_op`, text: `INSERT`, `UPDATE` or `DELETE`.
    Op,
    /// `ledger_valid_from`, bigint: the height at which the version began. A DELETE's is its own height.
    ValidFrom,
    /// `ledger_valid_to`, bigint: the height at which it was superseded; NULL while it is alive. A
    /// DELETE's is its own height: it never was alive.
    ValidTo,
}

impl ScanColumn {
    /// The field that a scan gives for it; `None` if the table has no such column.
    pub fn field(self, oid: Oid, table: &Table) -> Option<Field> {
        let (name, kind, nullable) = match self {
            Self::User(number) => {
                return user_column(table, number).map(|column| arrow_types::field_of(oid, column));
            }
            Self::Block => ("ledger_block", Type::Int8, false),
            Self::Transaction => ("ledger_tx", Type::Uuid, false),
            Self::Time => ("ledger_time", Type::Timestamptz, false),
            Self::User_ => ("ledger_user", Type::Text, false),
            Self::Version => ("ledger_version", Type::Bytea, false),
            Self::Op => ("ledger_op", Type::Text, false),
            Self::ValidFrom => ("ledger_valid_from", Type::Int8, false),
            Self::ValidTo => ("ledger_valid_to", Type::Int8, true),
        };
        let shape = match self {
            Self::Version => DataType::FixedSizeBinary(16),
            _ => arrow_types::data_type_of(&kind),
        };
        Some(Field::new(name, shape, nullable).with_metadata(HashMap::from([
            (TYPE_KEY.to_owned(), kind.to_string()),
            (TABLE_KEY.to_owned(), oid.0.to_string()),
        ])))
    }
}

/// A table's column by its number.
pub(crate) fn user_column(table: &Table, number: ColumnNumber) -> Option<&Column> {
    table.columns.get(usize::from(number.0).checked_sub(1)?)
}

/// How a row that is given out came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
}

/// What system columns say of one row that is given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) version: VersionId,
    pub(crate) op: Op,
    pub(crate) end: Option<Height>,
}

/// A system column over these rows.
pub(crate) fn array_of(
    column: ScanColumn,
    rows: &[Facts],
    chain: &Chain,
) -> Result<ArrayRef, Fault> {
    let number = |height: Height| i64::try_from(height.0).unwrap_or(i64::MAX);
    Ok(match column {
        ScanColumn::User(_) => return Err(Fault::Internal("not a system column".into())),
        ScanColumn::Block | ScanColumn::ValidFrom => Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| number(row.version.height)),
        )),
        ScanColumn::ValidTo => {
            Arc::new(rows.iter().map(|row| row.end.map(number)).collect::<Int64Array>())
        }
        ScanColumn::Transaction => {
            fixed(rows.len(), rows.iter().map(|row| Ok(writer(chain, row)?.1.0)))?
        }
        ScanColumn::Version => {
            fixed(rows.len(), rows.iter().map(|row| Ok(row.version.to_bytes())))?
        }
        ScanColumn::Time => {
            let mut builder =
                TimestampMicrosecondBuilder::with_capacity(rows.len()).with_timezone("UTC");
            for row in rows {
                let block = chain.block(row.version.height)?.ok_or_else(|| unknown(row))?;
                builder.append_value(block.header.time_us);
            }
            Arc::new(builder.finish())
        }
        ScanColumn::User_ => {
            let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 8);
            for row in rows {
                builder.append_value(&*writer(chain, row)?.0);
            }
            Arc::new(builder.finish())
        }
        ScanColumn::Op => {
            let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 6);
            for row in rows {
                builder.append_value(match row.op {
                    Op::Insert => "INSERT",
                    Op::Update => "UPDATE",
                    Op::Delete => "DELETE",
                });
            }
            Arc::new(builder.finish())
        }
    })
}

fn fixed(
    rows: usize,
    values: impl Iterator<Item = Result<[u8; 16], Fault>>,
) -> Result<ArrayRef, Fault> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    for value in values {
        builder.append_value(value?).map_err(|error| Fault::Internal(error.to_string()))?;
    }
    Ok(Arc::new(builder.finish()))
}

fn writer(chain: &Chain, row: &Facts) -> Result<(Arc<str>, TransactionId), Fault> {
    let found = chain.writer(row.version.height, row.version.transaction)?;
    found.ok_or_else(|| unknown(row))
}

fn unknown(row: &Facts) -> Fault {
    Fault::Internal(format!("no record of block {}", row.version.height.0))
}

#[cfg(test)]
mod tests;
