//! The closed set of column types and values. Knows no bytes (row.rs), no text (text.rs), no SQL.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{element_type, elements, read_f32, read_f64, write_f32, write_f64};
use crate::{Decimal, Refusal};

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
    /// `numeric` without a modifier: each value keeps its own scale, 0..=38.
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
    Array(#[borsh(deserialize_with = "element_type")] Box<Self>),
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
    Float4(#[borsh(serialize_with = "write_f32", deserialize_with = "read_f32")] f32),
    /// `double precision`
    Float8(#[borsh(serialize_with = "write_f64", deserialize_with = "read_f64")] f64),
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
    Array(#[borsh(deserialize_with = "elements")] Vec<Self>),
}

/// A value whose text or bytes are borrowed from where they are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueRef<'a> {
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
    /// `numeric`
    Numeric(Decimal),
    /// `real`
    Float4(f32),
    /// `double precision`
    Float8(f64),
    /// `text`, `varchar(n)`, `char(n)`
    Text(&'a str),
    /// `bytea`
    Bytea(&'a [u8]),
    /// Days since 1970-01-01
    Date(i32),
    /// Microseconds since midnight
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, local
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC
    Timestamptz(i64),
    /// `uuid`
    Uuid([u8; 16]),
    /// `json`
    Json(&'a str),
    /// `jsonb`
    Jsonb(&'a str),
    /// Array
    Array(Cow<'a, [Value]>),
}

impl Value {
    /// The value, borrowed.
    pub fn borrow(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(v) => ValueRef::Bool(*v),
            Self::Int2(v) => ValueRef::Int2(*v),
            Self::Int4(v) => ValueRef::Int4(*v),
            Self::Int8(v) => ValueRef::Int8(*v),
            Self::Numeric(v) => ValueRef::Numeric(*v),
            Self::Float4(v) => ValueRef::Float4(*v),
            Self::Float8(v) => ValueRef::Float8(*v),
            Self::Text(v) => ValueRef::Text(v),
            Self::Bytea(v) => ValueRef::Bytea(v),
            Self::Date(v) => ValueRef::Date(*v),
            Self::Time(v) => ValueRef::Time(*v),
            Self::Timestamp(v) => ValueRef::Timestamp(*v),
            Self::Timestamptz(v) => ValueRef::Timestamptz(*v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
            Self::Json(v) => ValueRef::Json(v),
            Self::Jsonb(v) => ValueRef::Jsonb(v),
            Self::Array(v) => ValueRef::Array(Cow::Borrowed(v)),
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl ValueRef<'_> {
    /// The value on its own.
    pub fn into_owned(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::Int2(v) => Value::Int2(v),
            Self::Int4(v) => Value::Int4(v),
            Self::Int8(v) => Value::Int8(v),
            Self::Numeric(v) => Value::Numeric(v),
            Self::Float4(v) => Value::Float4(v),
            Self::Float8(v) => Value::Float8(v),
            Self::Text(v) => Value::Text(v.to_owned()),
            Self::Bytea(v) => Value::Bytea(v.to_vec()),
            Self::Date(v) => Value::Date(v),
            Self::Time(v) => Value::Time(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::Timestamptz(v) => Value::Timestamptz(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Json(v) => Value::Json(v.to_owned()),
            Self::Jsonb(v) => Value::Jsonb(v.to_owned()),
            Self::Array(v) => Value::Array(v.into_owned()),
        }
    }
}

impl Type {
    /// The type without its modifier's limits: what a value of it must at least be.
    pub fn element(&self) -> Option<&Self> {
        match self {
            Self::Array(element) => Some(element),
            _ => None,
        }
    }

    /// Whether the modifier is one that PostgreSQL takes too.
    ///
    /// # Errors
    /// 22023 with what is out of bounds.
    pub fn check(&self) -> Result<(), Refusal> {
        const MAX_LENGTH: u32 = 10_485_760;
        let wrong = |message: String| Err(Refusal::data("22023", message));
        match self {
            Self::Numeric { precision, .. } if !(1..=38).contains(precision) => {
                wrong(format!("NUMERIC precision {precision} must be between 1 and 38"))
            }
            Self::Numeric { precision, scale } if scale > precision => {
                wrong(format!("NUMERIC scale {scale} must be between 0 and precision {precision}"))
            }
            Self::Varchar(n) | Self::Char(n) if *n < 1 => {
                wrong(format!("length for type {} must be at least 1", self.base_name()))
            }
            Self::Varchar(n) | Self::Char(n) if *n > MAX_LENGTH => {
                wrong(format!("length for type {} cannot exceed {MAX_LENGTH}", self.base_name()))
            }
            Self::Array(element) => element.check(),
            _ => Ok(()),
        }
    }

    /// Whether bytes written as `old` can be read as this type, with the same meaning.
    pub fn reads_bytes_of(&self, old: &Self) -> bool {
        match (self, old) {
            (a, b) if a == b => true,
            (Self::Int4, Self::Int2) | (Self::Int8, Self::Int2 | Self::Int4) => true,
            (Self::Text, Self::Varchar(_)) => true,
            (Self::Varchar(new), Self::Varchar(old)) => new >= old,
            (
                Self::Numeric { precision, scale },
                Self::Numeric { precision: old_precision, scale: old_scale },
            ) => scale == old_scale && precision >= old_precision,
            _ => false,
        }
    }

    /// PostgreSQL's name of the type without modifier: `integer`, `character varying`, `integer[]`.
    pub fn base_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Numeric { .. } | Self::Decimal => "numeric",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Text => "text",
            Self::Varchar(_) => "character varying",
            Self::Char(_) => "character",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Time => "time without time zone",
            Self::Timestamp => "timestamp without time zone",
            Self::Timestamptz => "timestamp with time zone",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Array(element) => return Cow::Owned(format!("{}[]", element.base_name())),
        })
    }
}

impl fmt::Display for Type {
    /// As PostgreSQL's `format_type`: `numeric(10,2)`, `character varying(5)`, `integer[]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Varchar(n) => write!(f, "character varying({n})"),
            Self::Char(n) => write!(f, "character({n})"),
            Self::Array(element) => write!(f, "{element}[]"),
            plain => f.write_str(&plain.base_name()),
        }
    }
}
