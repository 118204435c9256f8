//! Casts between the types that the catalogs use, and from texts.

use ledger::Value;

use crate::Error;
use crate::catalog::facts::Facts;
use crate::catalog::functions::{as_text, reg_parse};
use crate::catalog::text::array_items;
use crate::functions::Datum;
use crate::types::PgType;

/// Whether a cast that was written is one that is known here.
pub(super) fn allowed(from: &PgType, to: &PgType) -> Result<(), Error> {
    use PgType as T;
    let whole = |kind: &PgType| {
        matches!(kind, T::Int2 | T::Int4 | T::Int8 | T::Oid | T::Reg(_) | T::Float4 | T::Float8)
    };
    let fine = match (from, to) {
        (_, T::Text | T::Varchar(_) | T::Bpchar(_) | T::Name) => true,
        (T::Text | T::Varchar(_) | T::Bpchar(_) | T::Name | T::Unknown, _) => true,
        (T::Char, T::Char) | (T::Json, T::Jsonb) | (T::Jsonb, T::Json) | (T::Xid, T::Xid) => true,
        (T::Bool, T::Int4) | (T::Int4, T::Bool) => true,
        (T::Int2Vector, T::Array(e)) => **e == T::Int2 || allowed(&T::Int2, e).is_ok(),
        (T::OidVector, T::Array(e)) => **e == T::Oid || allowed(&T::Oid, e).is_ok(),
        (T::Array(a), T::Array(b)) => allowed(a, b).is_ok(),
        (a, b) if whole(a) && whole(b) => true,
        (a, b) => a.same_base(b),
    };
    if fine { Ok(()) } else { Err(Error::new("42846", format!("cannot cast type {from} to {to}"))) }
}

/// A value as another type.
///
/// # Errors
/// 22P02, 22003 and their kin for a value that the type doesn't have.
pub(crate) fn cast(
    facts: &Facts<'_>,
    value: Datum,
    from: &PgType,
    to: &PgType,
    explicit: bool,
) -> Result<Datum, Error> {
    use PgType as T;
    Ok(match (value, to) {
        (Datum::Null, _) => Datum::Null,
        (value, to) if from == to => value,
        (value, T::Text | T::Varchar(None) | T::Bpchar(None) | T::Unknown | T::NodeTree) => {
            Datum::Text(as_text(facts, &value, from))
        }
        (value, T::Name) => {
            let text = as_text(facts, &value, from);
            let end = (0..=text.len().min(63)).rev().find(|end| text.is_char_boundary(*end));
            Datum::Text(text[..end.unwrap_or(0)].to_owned())
        }
        (value, T::Varchar(Some(n)) | T::Bpchar(Some(n))) => {
            let text = as_text(facts, &value, from);
            let length = usize::try_from(*n).unwrap_or(usize::MAX);
            if !explicit && text.trim_end().chars().count() > length {
                return Err(Error::new("22001", format!("value too long for type {to}")));
            }
            Datum::Text(text.chars().take(length).collect())
        }
        (value, T::Char) => Datum::Text(as_text(facts, &value, from).chars().take(1).collect()),
        (Datum::Text(text), to) if from.is_text() || *from == T::Unknown || *from == T::Char => {
            parse(facts, &text, to)?
        }
        (Datum::Text(text), T::Json | T::Jsonb) => Datum::Text(text),
        (Datum::Int(i), T::Bool) => Datum::Bool(i != 0),
        (Datum::Bool(b), _) => Datum::Int(i64::from(b)),
        #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
        (Datum::Int(i), T::Float4 | T::Float8) => Datum::Float(i as f64),
        (Datum::Int(i), to) => Datum::Int(in_range(i, to)?),
        (Datum::Float(f), T::Float4 | T::Float8) => Datum::Float(f),
        (Datum::Float(f), to) => Datum::Int(in_range(rounded(f, to)?, to)?),
        (Datum::Array(items), T::Array(element)) => {
            let of = from.element().unwrap_or(T::Text);
            let items = items
                .into_iter()
                .map(|item| cast(facts, item, &of, element, explicit))
                .collect::<Result<_, _>>()?;
            Datum::Array(items)
        }
        (value, _) => value,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked before")]
fn rounded(value: f64, to: &PgType) -> Result<i64, Error> {
    let rounded = value.round_ties_even();
    if rounded.is_nan() || rounded.abs() >= 9.2e18 {
        return Err(out_of_range(to));
    }
    Ok(rounded as i64)
}

pub(super) fn out_of_range(kind: &PgType) -> Error {
    Error::new("22003", format!("{kind} out of range"))
}

/// The number, if its type holds it.
pub(super) fn in_range(value: i64, kind: &PgType) -> Result<i64, Error> {
    let fits = match kind {
        PgType::Int2 => i16::try_from(value).is_ok(),
        PgType::Int4 => i32::try_from(value).is_ok(),
        // A negative int4 is a number above 2^31 as an oid.
        PgType::Oid | PgType::Reg(_) | PgType::Xid => u32::try_from(value).is_ok(),
        _ => true,
    };
    if fits { Ok(value) } else { Err(out_of_range(kind)) }
}

/// A value from its text.
fn parse(facts: &Facts<'_>, text: &str, to: &PgType) -> Result<Datum, Error> {
    use PgType as T;
    let wrong = || Error::new("22P02", format!("invalid input syntax for type {to}: \"{text}\""));
    Ok(match to {
        T::Oid | T::Xid => {
            let number: u32 = text.trim().parse().map_err(|_| wrong())?;
            Datum::Int(i64::from(number))
        }
        T::Reg(reg) => Datum::Int(i64::from(reg_parse(facts, *reg, text)?)),
        T::Int2Vector | T::OidVector => {
            let items = text.split_ascii_whitespace().map(|item| item.parse().map(Datum::Int));
            Datum::Array(items.collect::<Result<_, _>>().map_err(|_| wrong())?)
        }
        T::Array(element) => {
            let items = array_items(text).ok_or_else(|| {
                Error::new("22P02", format!("malformed array literal: \"{text}\""))
            })?;
            let items = items
                .into_iter()
                .map(|item| match item {
                    None => Ok(Datum::Null),
                    Some(item) => cast(facts, Datum::Text(item), &T::Unknown, element, false),
                })
                .collect::<Result<_, _>>()?;
            Datum::Array(items)
        }
        T::AclItem => Datum::Text(text.to_owned()),
        other => {
            let kind = other.stored().ok_or_else(|| {
                Error::unsupported(format!("a text as {other}"), "Compare it as text.")
            })?;
            Datum::of(Value::parse(text, &kind, facts.zone)?)
        }
    })
}
