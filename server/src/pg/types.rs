//! PostgreSQL's type OIDs on the wire, and the ledger's type of each. It knows no values.

use arrow::datatypes::DataType;
use ledger::Type;

/// OIDs of `pg_type` that the wire treats in a way of their own.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT2VECTOR: u32 = 22;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const REGPROC: u32 = 24;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const XID: u32 = 28;
    pub(crate) const CID: u32 = 29;
    pub(crate) const OIDVECTOR: u32 = 30;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const REGPROCEDURE: u32 = 2202;
    pub(crate) const REGOPER: u32 = 2203;
    pub(crate) const REGOPERATOR: u32 = 2204;
    pub(crate) const REGCLASS: u32 = 2205;
    pub(crate) const REGTYPE: u32 = 2206;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
    pub(crate) const REGNAMESPACE: u32 = 4089;
    pub(crate) const REGROLE: u32 = 4096;
    pub(crate) const REGCOLLATION: u32 = 4191;
}

/// Array types and their elements.
const ARRAYS: &[(u32, u32)] = &[
    (1000, oid::BOOL),
    (1001, oid::BYTEA),
    (1002, oid::CHAR),
    (1003, oid::NAME),
    (1005, oid::INT2),
    (1006, oid::INT2VECTOR),
    (1007, oid::INT4),
    (1008, oid::REGPROC),
    (1009, oid::TEXT),
    (1013, oid::OIDVECTOR),
    (1014, oid::BPCHAR),
    (1015, oid::VARCHAR),
    (1016, oid::INT8),
    (1021, oid::FLOAT4),
    (1022, oid::FLOAT8),
    (1028, oid::OID),
    (1034, 1033),
    (1115, oid::TIMESTAMP),
    (1182, oid::DATE),
    (1183, oid::TIME),
    (1185, oid::TIMESTAMPTZ),
    (1187, oid::INTERVAL),
    (1231, oid::NUMERIC),
    (199, oid::JSON),
    (2210, oid::REGCLASS),
    (2211, oid::REGTYPE),
    (2951, oid::UUID),
    (3807, oid::JSONB),
    (4090, oid::REGNAMESPACE),
    (4097, oid::REGROLE),
];

/// The element's type, if this is an array type; vectors count as arrays.
pub(crate) fn element_of(array: u32) -> Option<u32> {
    match array {
        oid::INT2VECTOR => Some(oid::INT2),
        oid::OIDVECTOR => Some(oid::OID),
        _ => ARRAYS.iter().find(|(of, _)| *of == array).map(|(_, element)| *element),
    }
}

/// Types that are a four-byte OID on the wire.
pub(crate) fn is_oid_like(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::OID
            | oid::XID
            | oid::CID
            | oid::REGPROC
            | oid::REGPROCEDURE
            | oid::REGOPER
            | oid::REGOPERATOR
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGNAMESPACE
            | oid::REGROLE
            | oid::REGCOLLATION
    )
}

/// The ledger's type for a type OID without a modifier; `None` for a type that no column can have.
pub(crate) fn ledger_type(type_oid: u32) -> Option<Type> {
    if !matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR)
        && let Some(element) = element_of(type_oid)
    {
        return Some(Type::Array(Box::new(ledger_type(element)?)));
    }
    Some(match type_oid {
        oid::BOOL => Type::Bool,
        oid::INT2 => Type::Int2,
        oid::INT4 => Type::Int4,
        oid::INT8 => Type::Int8,
        oid::NUMERIC => Type::Decimal,
        oid::FLOAT4 => Type::Float4,
        oid::FLOAT8 => Type::Float8,
        // A parameter's length is the column's business, not the wire's.
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME => Type::Text,
        oid::BYTEA => Type::Bytea,
        oid::DATE => Type::Date,
        oid::TIME => Type::Time,
        oid::TIMESTAMP => Type::Timestamp,
        oid::TIMESTAMPTZ => Type::Timestamptz,
        oid::UUID => Type::Uuid,
        oid::JSON => Type::Json,
        oid::JSONB => Type::Jsonb,
        _ => return None,
    })
}

/// The type OID of a ledger type.
pub(crate) fn type_oid(kind: &Type) -> u32 {
    match kind {
        Type::Bool => oid::BOOL,
        Type::Int2 => oid::INT2,
        Type::Int4 => oid::INT4,
        Type::Int8 => oid::INT8,
        Type::Numeric { .. } | Type::Decimal => oid::NUMERIC,
        Type::Float4 => oid::FLOAT4,
        Type::Float8 => oid::FLOAT8,
        Type::Text => oid::TEXT,
        Type::Varchar(_) => oid::VARCHAR,
        Type::Char(_) => oid::BPCHAR,
        Type::Bytea => oid::BYTEA,
        Type::Date => oid::DATE,
        Type::Time => oid::TIME,
        Type::Timestamp => oid::TIMESTAMP,
        Type::Timestamptz => oid::TIMESTAMPTZ,
        Type::Uuid => oid::UUID,
        Type::Json => oid::JSON,
        Type::Jsonb => oid::JSONB,
        Type::Array(element) => {
            let element = type_oid(element);
            ARRAYS.iter().find(|(_, of)| *of == element).map_or(oid::TEXT, |(array, _)| *array)
        }
    }
}

/// The type that a value of an Arrow array has by nature: for a record's fields, whose types are not described.
pub(crate) fn natural_oid(kind: &DataType) -> u32 {
    match kind {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => oid::INT2,
        DataType::Int32 | DataType::UInt16 => oid::INT4,
        DataType::Int64 | DataType::UInt32 => oid::INT8,
        DataType::UInt64
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _)
        | DataType::LargeBinary => oid::NUMERIC,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Binary | DataType::BinaryView => oid::BYTEA,
        DataType::FixedSizeBinary(_) => oid::UUID,
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::List(field) | DataType::LargeList(field) => {
            let element = natural_oid(field.data_type());
            ARRAYS.iter().find(|(_, of)| *of == element).map_or(oid::TEXT, |(array, _)| *array)
        }
        _ => oid::TEXT,
    }
}
