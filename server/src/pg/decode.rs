//! Values from the wire: parameters and COPY's fields, in text and binary. It knows no session.

use bytes::Bytes;
use ledger::{Type, Value};
use sql::Parameter;
use sql::settings::Zone;

use super::encode::{EPOCH_DAYS, EPOCH_MICROS, Format, Interval, decode_numeric, put_interval};
use super::error::Problem;
use super::message::{Body, text};
use super::types::{self, element_of, ledger_type, oid};

#[cfg(test)]
mod tests;

/// Reads one parameter; `None` is NULL.
///
/// # Errors
/// `22021` for text that isn't UTF-8, `22P02`, `22P03` and their kind for a value that its type doesn't have,
/// `0A000` for a type that can't be read in binary.
pub(crate) fn parameter(
    type_oid: u32,
    format: Format,
    bytes: Option<Bytes>,
    zone: Zone,
) -> Result<Parameter, Problem> {
    let value = match (bytes, format) {
        (None, _) => None,
        (Some(bytes), Format::Text) => Some(text_value(type_oid, text(&bytes)?, zone)?),
        (Some(bytes), Format::Binary) => Some(binary_value(type_oid, bytes)?),
    };
    Ok(Parameter { oid: type_oid, value })
}

fn text_value(type_oid: u32, text: &str, zone: Zone) -> Result<Value, Problem> {
    if types::is_oid_like(type_oid) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u32>().map(|number| Value::Int8(number.into())).map_err(|_| {
            Problem::error("22P02", format!("invalid input syntax for type oid: \"{text}\""))
        });
    }
    match ledger_type(type_oid) {
        // A type that no column has (a name of a relation, an interval) is read by the statement.
        None | Some(Type::Text) => Ok(Value::Text(text.to_owned())),
        Some(kind) => value_of_text(text, &kind, zone),
    }
}

/// Reads a value of a column's type from text.
///
/// # Errors
/// `22P02`, `22003`, `22007`, `22008`, `22001`, …
pub(crate) fn value_of_text(text: &str, kind: &Type, zone: Zone) -> Result<Value, Problem> {
    // Most fields of a load are plain numbers; anything else takes the long way, for its message too.
    let plain = match kind {
        Type::Int2 => text.parse().ok().map(Value::Int2),
        Type::Int4 => text.parse().ok().map(Value::Int4),
        Type::Int8 => text.parse().ok().map(Value::Int8),
        _ => None,
    };
    match plain {
        Some(value) => Ok(value),
        None => Value::parse(text, kind, &zone).map_err(|refusal| sql::Error::from(refusal).into()),
    }
}

/// Reads a value of a column's type from binary.
///
/// # Errors
/// As [`parameter`], and those of an assignment to the column's type (`22001`, `22003`).
pub(crate) fn value_of_binary(bytes: Bytes, kind: &Type) -> Result<Value, Problem> {
    let value = binary_value(types::type_oid(kind), bytes)?;
    value.assign(kind).map_err(|refusal| sql::Error::from(refusal).into())
}

/// Reads a value in the binary form of a type.
fn binary_value(type_oid: u32, bytes: Bytes) -> Result<Value, Problem> {
    let mut body = Body(bytes);
    let value = match type_oid {
        oid::BOOL => {
            Value::Bool(body.take(1).map_err(wrong)?.first().is_some_and(|byte| *byte != 0))
        }
        oid::INT2 => Value::Int2(body.i16().map_err(wrong)?),
        oid::INT4 => Value::Int4(body.i32().map_err(wrong)?),
        oid::INT8 => Value::Int8(body.i64().map_err(wrong)?),
        oid::FLOAT4 => Value::Float4(f32::from_bits(body.i32().map_err(wrong)?.cast_unsigned())),
        oid::FLOAT8 => Value::Float8(f64::from_bits(body.i64().map_err(wrong)?.cast_unsigned())),
        oid::NUMERIC => Value::Numeric(decode_numeric(&mut body)?),
        oid::BYTEA => Value::Bytea(body.rest().to_vec()),
        oid::DATE => Value::Date(date(body.i32().map_err(wrong)?)?),
        oid::TIME => Value::Time(time(body.i64().map_err(wrong)?)?),
        oid::TIMESTAMP => Value::Timestamp(timestamp(body.i64().map_err(wrong)?)?),
        oid::TIMESTAMPTZ => Value::Timestamptz(timestamp(body.i64().map_err(wrong)?)?),
        oid::UUID => {
            Value::Uuid(body.take(16).map_err(wrong)?.as_ref().try_into().map_err(|_| incorrect())?)
        }
        oid::JSON => checked(text(&body.rest())?, &Type::Json)?,
        oid::JSONB => match body.take(1).map_err(wrong)?.first() {
            Some(1) => checked(text(&body.rest())?, &Type::Jsonb)?,
            other => {
                let version = other.copied().unwrap_or(0);
                return Err(Problem::error(
                    "22P03",
                    format!("unsupported jsonb version number {version}"),
                ));
            }
        },
        oid::INTERVAL => interval(&mut body)?,
        oid::INT2VECTOR | oid::OIDVECTOR => return Err(unreadable(type_oid)),
        other if types::is_oid_like(other) => {
            Value::Int8(body.i32().map_err(wrong)?.cast_unsigned().into())
        }
        other if element_of(other).is_some() => array(&mut body)?,
        0 | oid::UNKNOWN | oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::CHAR => {
            Value::Text(text(&body.rest())?.to_owned())
        }
        other => return Err(unreadable(other)),
    };
    body.end().map_err(wrong)?;
    Ok(value)
}

/// JSON is checked, and jsonb normalised, as from text.
fn checked(text: &str, kind: &Type) -> Result<Value, Problem> {
    value_of_text(text, kind, Zone::UTC)
}

fn array(body: &mut Body) -> Result<Value, Problem> {
    let dimensions = body.i32().map_err(wrong)?;
    body.i32().map_err(wrong)?;
    let element = body.i32().map_err(wrong)?.cast_unsigned();
    if dimensions == 0 {
        return Ok(Value::Array(Vec::new()));
    }
    if dimensions != 1 {
        return Err(Problem::error("0A000", "arrays of more than one dimension are not supported"));
    }
    let count = usize::try_from(body.i32().map_err(wrong)?).map_err(|_| incorrect())?;
    if body.i32().map_err(wrong)? != 1 {
        return Err(Problem::error(
            "0A000",
            "arrays with a lower bound other than 1 are not supported",
        ));
    }
    // Each element has at least its length: a count that can't be takes no memory.
    if count > body.0.len() / 4 || element_of(element).is_some() {
        return Err(incorrect());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(match body.i32().map_err(wrong)? {
            -1 => Value::Null,
            length => {
                let length = usize::try_from(length).map_err(|_| incorrect())?;
                binary_value(element, body.take(length).map_err(wrong)?)?
            }
        });
    }
    Ok(Value::Array(values))
}

fn interval(body: &mut Body) -> Result<Value, Problem> {
    let micros = body.i64().map_err(wrong)?;
    let days = body.i32().map_err(wrong)?;
    let months = body.i32().map_err(wrong)?;
    let mut out = bytes::BytesMut::new();
    put_interval(&mut out, Interval { months, days, micros });
    Ok(Value::Text(text(&out)?.to_owned()))
}

fn date(days: i32) -> Result<i32, Problem> {
    if days == i32::MAX || days == i32::MIN {
        return Err(infinite("date"));
    }
    days.checked_add(EPOCH_DAYS)
        .filter(|day| (FIRST_DAY..=LAST_DAY).contains(day))
        .ok_or_else(|| Problem::error("22008", "date out of range"))
}

fn time(micros: i64) -> Result<i64, Problem> {
    if (0..=86_400_000_000).contains(&micros) {
        return Ok(micros);
    }
    Err(Problem::error("22008", "time out of range"))
}

fn timestamp(micros: i64) -> Result<i64, Problem> {
    if micros == i64::MAX || micros == i64::MIN {
        return Err(infinite("timestamp"));
    }
    micros
        .checked_add(EPOCH_MICROS)
        .filter(|at| *at >= FIRST_MICROS)
        .ok_or_else(|| Problem::error("22008", "timestamp out of range"))
}

/// 4713-11-24 BC, the first day that PostgreSQL's date has, counted from 1970.
const FIRST_DAY: i32 = -2_440_588;
/// 5874897-12-31, the last.
const LAST_DAY: i32 = 2_145_042_905;
/// The first moment of PostgreSQL's timestamp.
const FIRST_MICROS: i64 = -210_866_803_200_000_000;

fn infinite(kind: &str) -> Problem {
    Problem::error("0A000", format!("infinite values of type {kind} are not supported"))
        .with_hint("Use NULL, or a far date.")
}

fn wrong(_: Problem) -> Problem {
    incorrect()
}

fn incorrect() -> Problem {
    Problem::error("22P03", "incorrect binary data format")
}

fn unreadable(type_oid: u32) -> Problem {
    Problem::error(
        "0A000",
        format!("a value of type OID {type_oid} can't be read in binary format"),
    )
    .with_hint("Send it in text format.")
}
