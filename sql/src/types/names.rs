//! Types by name and by number: OIDs, lengths, modifiers, PostgreSQL's spelling, and the parser's types.

use std::fmt;

use datafusion::sql::sqlparser::ast;

use super::{Digits, Numeric, PgType, Reg};
use crate::Error;

/// One row for each type with a number: the type, its OID, its array's OID, its length, its name.
const TYPES: &[(PgType, u32, u32, i16, &str)] = &[
    (PgType::Bool, 16, 1000, 1, "boolean"),
    (PgType::Bytea, 17, 1001, -1, "bytea"),
    (PgType::Char, 18, 1002, 1, "\"char\""),
    (PgType::Name, 19, 1003, 64, "name"),
    (PgType::Int8, 20, 1016, 8, "bigint"),
    (PgType::Int2, 21, 1005, 2, "smallint"),
    (PgType::Int2Vector, 22, 1006, -1, "int2vector"),
    (PgType::Int4, 23, 1007, 4, "integer"),
    (PgType::Reg(Reg::Proc), 24, 1008, 4, "regproc"),
    (PgType::Text, 25, 1009, -1, "text"),
    (PgType::Oid, 26, 1028, 4, "oid"),
    (PgType::Xid, 28, 1011, 4, "xid"),
    (PgType::OidVector, 30, 1013, -1, "oidvector"),
    (PgType::Json, 114, 199, -1, "json"),
    (PgType::NodeTree, 194, 0, -1, "pg_node_tree"),
    (PgType::Float4, 700, 1021, 4, "real"),
    (PgType::Float8, 701, 1022, 8, "double precision"),
    (PgType::Unknown, 705, 1009, -2, "unknown"),
    (PgType::AclItem, 1033, 1034, 12, "aclitem"),
    (PgType::Bpchar(None), 1042, 1014, -1, "character"),
    (PgType::Varchar(None), 1043, 1015, -1, "character varying"),
    (PgType::Date, 1082, 1182, 4, "date"),
    (PgType::Time, 1083, 1183, 8, "time without time zone"),
    (PgType::Timestamp, 1114, 1115, 8, "timestamp without time zone"),
    (PgType::Timestamptz, 1184, 1185, 8, "timestamp with time zone"),
    (PgType::Interval, 1186, 1187, 16, "interval"),
    (PgType::Numeric(Numeric::FREE), 1700, 1231, -1, "numeric"),
    (PgType::Reg(Reg::Procedure), 2202, 2207, 4, "regprocedure"),
    (PgType::Reg(Reg::Oper), 2203, 2208, 4, "regoper"),
    (PgType::Reg(Reg::Operator), 2204, 2209, 4, "regoperator"),
    (PgType::Reg(Reg::Class), 2205, 2210, 4, "regclass"),
    (PgType::Reg(Reg::Type), 2206, 2211, 4, "regtype"),
    (PgType::Void, 2278, 0, 4, "void"),
    (PgType::Uuid, 2950, 2951, 16, "uuid"),
    (PgType::Jsonb, 3802, 3807, -1, "jsonb"),
    (PgType::Reg(Reg::Namespace), 4089, 4090, 4, "regnamespace"),
    (PgType::Reg(Reg::Role), 4096, 4097, 4, "regrole"),
    (PgType::Any, 2276, 0, 4, "\"any\""),
    (PgType::AnyArray, 2277, 0, -1, "anyarray"),
    (PgType::AnyElement, 2283, 0, 4, "anyelement"),
];

const TYPE_HINT: &str = "docs/sql.md lists the types.";
const RECORD: u32 = 2249;
const RECORD_ARRAY: u32 = 2287;

/// Other spellings that `::name` and `CREATE TABLE` take.
const SYNONYMS: &[(&str, PgType)] = &[
    ("bool", PgType::Bool),
    ("int2", PgType::Int2),
    ("int4", PgType::Int4),
    ("int", PgType::Int4),
    ("int8", PgType::Int8),
    ("float4", PgType::Float4),
    ("float8", PgType::Float8),
    ("decimal", PgType::Numeric(Numeric::FREE)),
    ("varchar", PgType::Varchar(None)),
    ("bpchar", PgType::Bpchar(None)),
    ("time", PgType::Time),
    ("timestamp", PgType::Timestamp),
    ("timestamptz", PgType::Timestamptz),
    ("char", PgType::Char),
];

#[expect(clippy::len_without_is_empty, reason = "a type has a length, and is never empty")]
impl PgType {
    fn row(&self) -> Option<&'static (Self, u32, u32, i16, &'static str)> {
        TYPES.iter().find(|row| row.0.same_base(self))
    }

    /// `pg_type.oid`.
    pub fn oid(&self) -> u32 {
        match self {
            Self::Array(element) => match element.as_ref() {
                Self::Record(_) => RECORD_ARRAY,
                element => element.row().map_or(0, |row| row.2),
            },
            Self::Record(_) => RECORD,
            _ => self.row().map_or(0, |row| row.1),
        }
    }

    /// The type of this number; 0 is unknown. `None`: a type that Stele doesn't have.
    pub fn of_oid(oid: u32) -> Option<Self> {
        if oid == 0 {
            return Some(Self::Unknown);
        }
        TYPES.iter().find_map(|row| {
            if row.1 == oid {
                Some(row.0.clone())
            } else if row.2 == oid && row.0 != Self::Unknown {
                Some(Self::Array(Box::new(row.0.clone())))
            } else {
                None
            }
        })
    }

    /// `pg_type.typlen`.
    pub fn len(&self) -> i16 {
        self.row().map_or(-1, |row| row.3)
    }

    /// The modifier as PostgreSQL encodes it, -1 for none.
    pub fn typmod(&self) -> i32 {
        match self {
            Self::Varchar(Some(n)) | Self::Bpchar(Some(n)) => {
                i32::try_from(*n).map_or(-1, |n| n + 4)
            }
            Self::Numeric(Numeric { precision, scale, digits: Digits::Declared }) => {
                (i32::from(*precision) << 16 | i32::from(*scale)) + 4
            }
            Self::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The type of this name, without a modifier: `int4`, `integer`, `_text`, `text[]`.
    pub fn of_name(name: &str) -> Option<Self> {
        if let Some(element) = name.strip_suffix("[]") {
            return Some(Self::Array(Box::new(Self::of_name(element)?)));
        }
        if let Some((_, kind)) = SYNONYMS.iter().find(|(synonym, _)| *synonym == name) {
            return Some(kind.clone());
        }
        if let Some(row) = TYPES.iter().find(|row| row.4 == name) {
            return Some(row.0.clone());
        }
        match name {
            "character varying" => Some(Self::Varchar(None)),
            "time without time zone" => Some(Self::Time),
            _ => name.strip_prefix('_').and_then(Self::of_name).map(|e| Self::Array(Box::new(e))),
        }
    }

    /// `pg_type.typname`: `int4`, `_text`.
    pub fn typname(&self) -> String {
        if let Self::Array(element) = self {
            return format!("_{}", element.typname());
        }
        let name = match self {
            Self::Bool => "bool",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Float4 => "float4",
            Self::Float8 => "float8",
            Self::Varchar(_) => "varchar",
            Self::Bpchar(_) => "bpchar",
            Self::Char => "char",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Record(_) => "record",
            Self::Any => "any",
            other => other.row().map_or("record", |row| row.4),
        };
        name.to_owned()
    }
}

impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(element) => write!(f, "{element}[]"),
            Self::Record(_) => f.write_str("record"),
            Self::Varchar(Some(n)) => write!(f, "character varying({n})"),
            Self::Bpchar(Some(n)) => write!(f, "character({n})"),
            Self::Numeric(Numeric { precision, scale, digits: Digits::Declared }) => {
                write!(f, "numeric({precision},{scale})")
            }
            other => f.write_str(other.row().map_or("record", |row| row.4)),
        }
    }
}

/// The type that the parser read.
///
/// # Errors
/// 42704 for a type that doesn't exist, 0A000 for one of PostgreSQL's that Stele doesn't have,
/// 22023 for a bad modifier.
pub fn type_of_ast(kind: &ast::DataType) -> Result<PgType, Error> {
    use ast::DataType as T;
    Ok(match kind {
        T::Bool | T::Boolean => PgType::Bool,
        T::SmallInt(None) | T::Int2(None) => PgType::Int2,
        T::Int(None) | T::Int4(None) | T::Integer(None) => PgType::Int4,
        T::BigInt(None) | T::Int8(None) => PgType::Int8,
        T::Real | T::Float4 => PgType::Float4,
        T::Float8 | T::DoublePrecision | T::Double(ast::ExactNumberInfo::None) => PgType::Float8,
        T::Float(info) => float_of(info)?,
        T::Numeric(info) | T::Decimal(info) | T::Dec(info) => numeric_of(info)?,
        T::Text => PgType::Text,
        T::Varchar(length) | T::CharacterVarying(length) | T::CharVarying(length) => {
            PgType::Varchar(length_of(length.as_ref(), "varchar")?)
        }
        T::Char(length) | T::Character(length) => {
            PgType::Bpchar(Some(length_of(length.as_ref(), "char")?.unwrap_or(1)))
        }
        T::Bytea => PgType::Bytea,
        T::Uuid => PgType::Uuid,
        T::JSON => PgType::Json,
        T::JSONB => PgType::Jsonb,
        T::Date => PgType::Date,
        T::Time(precision, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone) => {
            with_precision(*precision, PgType::Time)?
        }
        T::Timestamp(precision, zone) => with_precision(
            *precision,
            match zone {
                ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone => PgType::Timestamp,
                ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz => PgType::Timestamptz,
            },
        )?,
        T::Interval { fields: None, precision } => with_precision(*precision, PgType::Interval)?,
        T::Regclass => PgType::Reg(Reg::Class),
        T::Array(
            ast::ArrayElemTypeDef::SquareBracket(element, _)
            | ast::ArrayElemTypeDef::AngleBracket(element),
        ) => match type_of_ast(element)? {
            // A second pair of brackets is the same type in PostgreSQL; values have one dimension here.
            array @ PgType::Array(_) => array,
            element => PgType::Array(Box::new(element)),
        },
        T::Custom(name, modifiers) => custom_type(name, modifiers)?,
        other => return Err(Error::unsupported(format!("type {other}"), TYPE_HINT)),
    })
}

fn float_of(info: &ast::ExactNumberInfo) -> Result<PgType, Error> {
    match info {
        ast::ExactNumberInfo::None => Ok(PgType::Float8),
        ast::ExactNumberInfo::Precision(1..=24) => Ok(PgType::Float4),
        ast::ExactNumberInfo::Precision(25..=53) => Ok(PgType::Float8),
        _ => Err(Error::new("22023", "precision for type float must be between 1 and 53 bits")),
    }
}

fn numeric_of(info: &ast::ExactNumberInfo) -> Result<PgType, Error> {
    let (precision, scale) = match info {
        ast::ExactNumberInfo::None => return Ok(PgType::Numeric(Numeric::FREE)),
        ast::ExactNumberInfo::Precision(p) => (*p, 0),
        ast::ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    if !(1..=1000).contains(&precision) {
        let message = format!("NUMERIC precision {precision} must be between 1 and 1000");
        return Err(Error::new("22023", message));
    }
    let small = u8::try_from(precision).ok().filter(|p| *p <= 38);
    match (small, u8::try_from(scale).ok()) {
        (Some(precision), Some(scale)) if scale <= precision => {
            Ok(PgType::Numeric(Numeric { precision, scale, digits: Digits::Declared }))
        }
        _ => Err(Error::unsupported(
            format!("numeric({precision},{scale})"),
            "A numeric has at most 38 digits, and its scale lies between 0 and its precision.",
        )),
    }
}

fn length_of(length: Option<&ast::CharacterLength>, name: &str) -> Result<Option<u32>, Error> {
    let Some(length) = length else { return Ok(None) };
    match length {
        ast::CharacterLength::IntegerLength { length, unit: None } => {
            match u32::try_from(*length) {
                Ok(0) => {
                    Err(Error::new("22023", format!("length for type {name} must be at least 1")))
                }
                Ok(n) if n <= 10_485_760 => Ok(Some(n)),
                _ => Err(Error::new(
                    "22023",
                    format!("length for type {name} cannot exceed 10485760"),
                )),
            }
        }
        _ => Err(Error::unsupported(format!("type {name}({length})"), TYPE_HINT)),
    }
}

/// Values keep microseconds; a coarser declared precision would have to round them.
fn with_precision(precision: Option<u64>, kind: PgType) -> Result<PgType, Error> {
    match precision {
        None | Some(6) => Ok(kind),
        Some(p) => Err(Error::unsupported(
            format!("type {}({p})", kind.typname()),
            "Leave the precision away (microseconds) and round with date_trunc.",
        )),
    }
}

fn custom_type(name: &ast::ObjectName, modifiers: &[String]) -> Result<PgType, Error> {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| match part {
            ast::ObjectNamePart::Identifier(ident) => crate::plan::fold(ident),
            ast::ObjectNamePart::Function(function) => function.to_string(),
        })
        .collect();
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name.as_str()),
        [schema, name] => (Some(schema.as_str()), name.as_str()),
        _ => {
            return Err(Error::new(
                "42704",
                format!("type \"{}\" does not exist", parts.join(".")),
            ));
        }
    };
    let missing = || Error::new("42704", format!("type \"{}\" does not exist", parts.join(".")));
    if schema.is_some_and(|schema| schema != "pg_catalog") {
        return Err(missing());
    }
    let kind = match name {
        "character" => PgType::Bpchar(Some(1)),
        _ => PgType::of_name(name).ok_or_else(|| match name {
            "timetz" | "money" | "inet" | "cidr" | "macaddr" | "xml" | "point" | "box" | "bit"
            | "varbit" | "tsvector" | "tsquery" | "hstore" | "citext" | "int4range"
            | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange" | "tid" | "cid"
            | "pg_lsn" => Error::unsupported(format!("type {name}"), TYPE_HINT),
            _ => missing(),
        })?,
    };
    match (modifiers, kind) {
        ([], kind) => Ok(kind),
        ([n], PgType::Varchar(_)) => Ok(PgType::Varchar(n.parse().ok())),
        ([n], PgType::Bpchar(_)) => Ok(PgType::Bpchar(n.parse().ok())),
        (_, kind) => Err(Error::unsupported(format!("type {kind} with a modifier"), TYPE_HINT)),
    }
}
