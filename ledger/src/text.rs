//! Text forms of values: PostgreSQL's input and output of every type. Knows no tables and no clock; a time
//! zone is a trait that the caller implements.

mod array;
pub mod json;
mod moment;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;
pub mod time;

use std::fmt::Write;

use crate::{Decimal, Refusal, Type, Value};

pub use scalar::{write_f32, write_f64};

/// A session's time zone, and the names of others. Offsets are in seconds, positive east of Greenwich.
pub trait Zone {
    /// The offset at a moment, µs since 1970 UTC.
    fn offset_at(&self, utc_us: i64) -> i32;

    /// The offset at a local time, µs since 1970-01-01 00:00:00 there. In a gap or an overlap, the one
    /// that PostgreSQL takes: the standard time's.
    fn offset_at_local(&self, local_us: i64) -> i32;

    /// The offset of a zone by name (`Europe/Berlin`, `CET`) at a local time; `None` when the name is not
    /// known.
    fn named(&self, name: &str, local_us: i64) -> Option<i32>;

    /// In which order the numbers of a date stand (`DateStyle`).
    fn date_order(&self) -> DateOrder {
        DateOrder::MonthFirst
    }
}

/// The order of a date's numbers, where they could be taken for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// `MDY`
    #[default]
    MonthFirst,
    /// `DMY`
    DayFirst,
    /// `YMD`
    YearFirst,
}

/// UTC, which knows no other names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utc;

impl Zone for Utc {
    fn offset_at(&self, _: i64) -> i32 {
        0
    }

    fn offset_at_local(&self, _: i64) -> i32 {
        0
    }

    fn named(&self, name: &str, _: i64) -> Option<i32> {
        ["utc", "gmt", "z", "zulu"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
            .then_some(0)
    }
}

/// 22P02: not the text of a value of the type.
pub(crate) fn invalid(kind: &Type, text: &str) -> Refusal {
    let name = kind.base_name();
    Refusal::data("22P02", format!("invalid input syntax for type {name}: \"{text}\""))
}

impl Value {
    /// The value of a text, as PostgreSQL's input function of the type takes it, modifier and all.
    ///
    /// # Errors
    /// A `Data` refusal: 22P02, 22003, 22007, 22008, 22001, … with PostgreSQL's message; 0A000 for
    /// what no value can hold (infinite dates, NaN as numeric).
    pub fn parse(text: &str, kind: &Type, zone: &dyn Zone) -> Result<Self, Refusal> {
        if text.contains('\0') {
            return Err(Refusal::data(
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            ));
        }
        Ok(match kind {
            Type::Bool => Self::Bool(scalar::parse_bool(text).ok_or_else(|| invalid(kind, text))?),
            Type::Int2 => Self::Int2(scalar::parse_int(text, kind)?),
            Type::Int4 => Self::Int4(scalar::parse_int(text, kind)?),
            Type::Int8 => Self::Int8(scalar::parse_int(text, kind)?),
            Type::Numeric { precision, scale } => {
                Self::Numeric(Decimal::parse(text, *scale)?.fit(*precision, *scale)?)
            }
            Type::Decimal => Self::Numeric(Decimal::parse_exact(text)?),
            Type::Float4 => Self::Float4(scalar::parse_f32(text)?),
            Type::Float8 => Self::Float8(scalar::parse_f64(text)?),
            Type::Text => Self::Text(text.to_owned()),
            Type::Varchar(n) => Self::Text(scalar::cut(text, *n, kind, false)?.to_owned()),
            Type::Char(n) => Self::Text(scalar::cut(text, *n, kind, false)?.to_owned()),
            Type::Bytea => Self::Bytea(scalar::parse_bytea(text)?),
            Type::Date => Self::Date(moment::parse_date(text, zone)?),
            Type::Time => Self::Time(moment::parse_time(text, zone)?),
            Type::Timestamp => Self::Timestamp(moment::parse_timestamp(text, zone)?),
            Type::Timestamptz => Self::Timestamptz(moment::parse_timestamptz(text, zone)?),
            Type::Uuid => Self::Uuid(scalar::parse_uuid(text).ok_or_else(|| invalid(kind, text))?),
            Type::Json => {
                json::check(text)?;
                Self::Json(text.to_owned())
            }
            Type::Jsonb => Self::Jsonb(json::normalize(text)?),
            Type::Array(element) => Self::Array(array::parse(text, element, zone)?),
        })
    }

    /// The text that PostgreSQL's output function of the type gives (ISO dates). NULL gives an empty text:
    /// what stands for it is the caller's to say.
    pub fn to_text(&self, kind: &Type, zone: &dyn Zone) -> String {
        let mut out = String::new();
        self.write_text(&mut out, kind, zone);
        out
    }

    /// Appends what [`Self::to_text`] gives.
    pub fn write_text(&self, out: &mut String, kind: &Type, zone: &dyn Zone) {
        match self {
            Self::Null => {}
            Self::Bool(v) => out.push(if *v { 't' } else { 'f' }),
            Self::Int2(v) => put(out, v),
            Self::Int4(v) => put(out, v),
            Self::Int8(v) => put(out, v),
            Self::Numeric(v) => put(out, v),
            Self::Float4(v) => write_f32(out, *v),
            Self::Float8(v) => write_f64(out, *v),
            Self::Text(v) => {
                out.push_str(v);
                if let Type::Char(n) = kind {
                    let length = u32::try_from(v.chars().count()).unwrap_or(u32::MAX);
                    out.extend((length..*n).map(|_| ' '));
                }
            }
            Self::Json(v) | Self::Jsonb(v) => out.push_str(v),
            Self::Bytea(v) => scalar::write_bytea(out, v),
            Self::Date(v) => time::write_date(out, *v),
            Self::Time(v) => time::write_time(out, *v),
            Self::Timestamp(v) => time::write_timestamp(out, *v),
            Self::Timestamptz(v) => time::write_timestamptz(out, *v, zone),
            Self::Uuid(v) => put(out, &crate::TransactionId(*v)),
            Self::Array(values) => array::write(out, values, kind.element().unwrap_or(kind), zone),
        }
    }
}

/// Writing into a String can't fail.
fn put(out: &mut String, value: &dyn std::fmt::Display) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok());
}
