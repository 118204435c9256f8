//! Types as statements write them, as the ledger keeps them, and as the wire names them.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo,
};
use ledger::Type;

use crate::Error;
use crate::outcome::ResultColumn;

/// The longest `varchar(n)`, in characters.
const MAX_LENGTH: u64 = 10_485_760;

/// The ledger's type for what a statement writes.
///
/// # Errors
/// 0A000 for types that a column can't have, 22023 for modifiers out of bounds.
pub(crate) fn type_of(data_type: &DataType) -> Result<Type, Error> {
    Ok(match data_type {
        DataType::Boolean | DataType::Bool => Type::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) => Type::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => Type::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => Type::Int8,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Real | DataType::Float4 => Type::Float4,
        DataType::Float(info) => match info {
            ExactNumberInfo::Precision(digits) if *digits <= 24 => Type::Float4,
            _ => Type::Float8,
        },
        DataType::DoublePrecision | DataType::Double(_) | DataType::Float8 => Type::Float8,
        DataType::Text => Type::Text,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => match length_of(length.as_ref())? {
            Some(length) => Type::Varchar(length),
            None => Type::Text,
        },
        DataType::Char(length) | DataType::Character(length) => {
            Type::Char(length_of(length.as_ref())?.unwrap_or(1))
        }
        DataType::Bytea => Type::Bytea,
        DataType::Date => Type::Date,
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds(*precision, "time")?;
            Type::Time
        }
        DataType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds(*precision, "timestamp")?;
            Type::Timestamp
        }
        DataType::Timestamp(precision, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz)
        | DataType::TimestampNtz(precision) => {
            microseconds(*precision, "timestamptz")?;
            if matches!(data_type, DataType::TimestampNtz(_)) {
                return Err(unknown("timestamp_ntz"));
            }
            Type::Timestamptz
        }
        DataType::Uuid => Type::Uuid,
        DataType::JSON => Type::Json,
        DataType::JSONB => Type::Jsonb,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => match type_of(element)? {
            // PostgreSQL keeps no count of dimensions: `integer[][]` is `integer[]`.
            Type::Array(inner) => Type::Array(inner),
            element => Type::Array(Box::new(element)),
        },
        DataType::Custom(name, modifiers) => custom(&name.to_string(), modifiers)?,
        other => return Err(refused(&other.to_string().to_lowercase())),
    })
}

fn custom(name: &str, modifiers: &[String]) -> Result<Type, Error> {
    let bare = name.to_lowercase();
    let bare = bare.trim_start_matches("pg_catalog.").trim_matches('"');
    Ok(match bare {
        "bool" => Type::Bool,
        "int2" => Type::Int2,
        "int4" => Type::Int4,
        "int8" => Type::Int8,
        "float4" => Type::Float4,
        "float8" => Type::Float8,
        "text" => Type::Text,
        "bytea" => Type::Bytea,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "date" => Type::Date,
        "time" => Type::Time,
        "timestamp" => Type::Timestamp,
        "timestamptz" if modifiers.is_empty() || modifiers == ["6"] => Type::Timestamptz,
        "numeric" | "decimal" if modifiers.is_empty() => Type::Decimal,
        "varchar" if modifiers.is_empty() => Type::Text,
        "bpchar" => match modifiers.first().and_then(|length| length.parse().ok()) {
            Some(length) => Type::Char(length),
            None => Type::Text,
        },
        _ => return Err(refused(bare)),
    })
}

fn refused(name: &str) -> Error {
    const KNOWN: [&str; 22] = [
        "interval",
        "money",
        "xml",
        "inet",
        "cidr",
        "macaddr",
        "point",
        "box",
        "line",
        "circle",
        "path",
        "polygon",
        "lseg",
        "tsvector",
        "tsquery",
        "bit",
        "time with time zone",
        "timetz",
        "oid",
        "name",
        "hstore",
        "citext",
    ];
    if KNOWN.iter().any(|known| name.starts_with(known)) {
        return Error::unsupported(
            format!("a column of type {name}"),
            "The types are boolean, smallint, integer, bigint, numeric, real, double precision, text, varchar, char, bytea, date, time, timestamp, timestamptz, uuid, json, jsonb, and arrays of them.",
        );
    }
    unknown(name)
}

fn unknown(name: &str) -> Error {
    Error::new("42704", format!("type \"{name}\" does not exist"))
}

fn microseconds(precision: Option<u64>, name: &str) -> Result<(), Error> {
    match precision {
        None | Some(6) => Ok(()),
        Some(digits) => Err(Error::unsupported(
            format!("{name}({digits})"),
            "Times are kept in microseconds: leave the precision out.",
        )),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<Type, Error> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(Type::Decimal),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(Error::new(
            "22023",
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        ));
    }
    let (Ok(digits), Ok(places)) = (u8::try_from(precision), u8::try_from(scale)) else {
        return Err(numeric_bounds(precision, scale));
    };
    if digits > 38 || places > digits {
        return Err(numeric_bounds(precision, scale));
    }
    Ok(Type::Numeric { precision: digits, scale: places })
}

fn numeric_bounds(precision: u64, scale: i64) -> Error {
    Error::unsupported(
        format!("numeric({precision},{scale})"),
        "A numeric has at most 38 digits, and its scale lies between 0 and its precision.",
    )
}

fn length_of(length: Option<&CharacterLength>) -> Result<Option<u32>, Error> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(Error::new("22023", "length for type varchar must be at least 1"))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(short) if *length <= MAX_LENGTH => Ok(Some(short)),
            _ => Err(Error::new(
                "22023",
                format!("length for type varchar cannot exceed {MAX_LENGTH}"),
            )),
        },
        Some(CharacterLength::Max) => Err(unknown("varchar(max)")),
    }
}

/// OID, length and modifier of a type on the wire.
pub(crate) fn wire_type(kind: &Type) -> (u32, i16, i32) {
    let characters = |length: u32| i32::try_from(length).unwrap_or(-5) + 4;
    match kind {
        Type::Bool => (16, 1, -1),
        Type::Int2 => (21, 2, -1),
        Type::Int4 => (23, 4, -1),
        Type::Int8 => (20, 8, -1),
        Type::Numeric { precision, scale } => {
            (1700, -1, ((i32::from(*precision) << 16) | i32::from(*scale)) + 4)
        }
        Type::Decimal => (1700, -1, -1),
        Type::Float4 => (700, 4, -1),
        Type::Float8 => (701, 8, -1),
        Type::Text => (25, -1, -1),
        Type::Varchar(length) => (1043, -1, characters(*length)),
        Type::Char(length) => (1042, -1, characters(*length)),
        Type::Bytea => (17, -1, -1),
        Type::Date => (1082, 4, -1),
        Type::Time => (1083, 8, -1),
        Type::Timestamp => (1114, 8, -1),
        Type::Timestamptz => (1184, 8, -1),
        Type::Uuid => (2950, 16, -1),
        Type::Json => (114, -1, -1),
        Type::Jsonb => (3802, -1, -1),
        Type::Array(element) => {
            let oid = match element.as_ref() {
                Type::Bool => 1000,
                Type::Int2 => 1005,
                Type::Int4 => 1007,
                Type::Int8 => 1016,
                Type::Numeric { .. } | Type::Decimal => 1231,
                Type::Float4 => 1021,
                Type::Float8 => 1022,
                Type::Text => 1009,
                Type::Varchar(_) => 1015,
                Type::Char(_) => 1014,
                Type::Bytea => 1001,
                Type::Date => 1182,
                Type::Time => 1183,
                Type::Timestamp => 1115,
                Type::Timestamptz => 1185,
                Type::Uuid => 2951,
                Type::Json => 199,
                Type::Jsonb => 3807,
                Type::Array(_) => 2277,
            };
            (oid, -1, wire_type(element).2)
        }
    }
}

/// A result column that is a table's column.
pub(crate) fn result_column(
    table: ledger::Oid,
    column: &ledger::Column,
    name: &str,
) -> ResultColumn {
    let (type_oid, type_len, typmod) = wire_type(&column.kind);
    ResultColumn {
        name: name.to_string(),
        type_oid,
        type_len,
        typmod,
        table_oid: table.0,
        attnum: i16::try_from(column.number.0).unwrap_or(0),
    }
}
