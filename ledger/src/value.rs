//! The closed set of column types and values.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Decimal;

/// A column's type, with its modifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Type {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `numeric(precision, scale)`: precision 1..=38, scale 0..=precision. Rounded half away from zero to
    /// `scale` when a value is assigned, as in PostgreSQL; too many digits are refused with 22003.
    Numeric {
        /// Digits in all, 1..=38.
        precision: u8,
        /// Digits after the point, 0..=precision.
        scale: u8,
    },
    /// `numeric` without a modifier: each value keeps its own scale; at most 20 digits before and 18
    /// after the point (so that it fits the one column shape that scans use, 38 digits at scale 18).
    Decimal,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `text`
    Text,
    /// `varchar(n)`, n in characters, 1..=10,485,760
    Varchar(u32),
    /// `char(n)`, n in characters, 1..=10,485,760; values are kept without their trailing blanks
    Char(u32),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time` without time zone
    Time,
    /// `timestamp` without time zone
    Timestamp,
    /// `timestamp with time zone`
    Timestamptz,
    /// `uuid`
    Uuid,
    /// `json`: the text as it was written, checked to be JSON
    Json,
    /// `jsonb`: normalised text (PostgreSQL's: keys by length then bytes, last duplicate wins, one blank after `:` and `,`)
    Jsonb,
    /// A one-dimensional array; the element is never an array itself.
    Array(Box<Type>),
}

/// A value. Its type is the column's; integers and texts of different modifiers share a variant.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Value {
    /// SQL NULL
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `numeric`, with or without a modifier
    Numeric(Decimal),
    /// `real`
    Float4(f32),
    /// `double precision`
    Float8(f64),
    /// `text`, `varchar(n)`, `char(n)` (the last without trailing blanks)
    Text(String),
    /// `bytea`
    Bytea(Vec<u8>),
    /// Days since 1970-01-01
    Date(i32),
    /// Microseconds since midnight, 0..=86,400,000,000
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, local
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC
    Timestamptz(i64),
    /// `uuid`, in network order
    Uuid([u8; 16]),
    /// `json`
    Json(String),
    /// `jsonb`
    Jsonb(String),
    /// One-dimensional array, lower bound 1
    Array(Vec<Value>),
}
