//! The one table of types: PostgreSQL's name and OID, the Arrow shape a query runs in, the ledger's type.
//!
//! It knows no values and no expressions: casts are in `plan::cast`, text forms in `ledger::text`.
//!
//! A numeric's scale belongs to the expression here, not to each value as in PostgreSQL: [`Digits`] says
//! how many digits after the point are shown.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use ledger::Type;

mod names;

pub use names::type_of_ast;

/// Metadata key on a result's field: PostgreSQL's type in its own words (`numeric(10,2)`, `varchar(5)`).
pub const TYPE_KEY: &str = "stele.type";
/// Metadata key on a result's field: how a numeric's digits after the point are shown, see [`Digits`].
/// Absent: all digits of the Arrow scale.
pub const DIGITS_KEY: &str = "stele.digits";

/// A type an expression can have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PgType {
    /// A string literal, NULL or parameter whose type nothing has fixed yet. Arrow: `Utf8`.
    Unknown,
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, in the shape it is computed in.
    Numeric(Numeric),
    /// `text`
    Text,
    /// `varchar`, `varchar(n)`
    Varchar(Option<u32>),
    /// `bpchar`, `char(n)`
    Bpchar(Option<u32>),
    /// `name`
    Name,
    /// `"char"`: one byte
    Char,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `timestamptz`
    Timestamptz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `oid`. Arrow: `UInt32`, as are the other object numbers.
    Oid,
    /// `xid`
    Xid,
    /// `regclass` and its kin: an OID shown by name.
    Reg(Reg),
    /// `int2vector`: shown as `1 2 3`
    Int2Vector,
    /// `oidvector`
    OidVector,
    /// `aclitem`, as text
    AclItem,
    /// `pg_node_tree`, as text
    NodeTree,
    /// `void`. Arrow: `Utf8`, always empty.
    Void,
    /// A row: named fields.
    Record(Vec<(String, Self)>),
    /// An array of one dimension.
    Array(Box<Self>),
    /// Function signatures only: any type, the same at each place.
    AnyElement,
    /// Function signatures only: an array of `AnyElement`.
    AnyArray,
    /// Function signatures only: any type.
    Any,
}

/// What an OID alias type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reg {
    /// `regclass`
    Class,
    /// `regtype`
    Type,
    /// `regproc`
    Proc,
    /// `regprocedure`
    Procedure,
    /// `regoper`
    Oper,
    /// `regoperator`
    Operator,
    /// `regnamespace`
    Namespace,
    /// `regrole`
    Role,
}

/// The Arrow shape of a numeric and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numeric {
    /// Digits in all, 1..=38.
    pub precision: u8,
    /// Digits after the point that the shape keeps, 0..=precision.
    pub scale: u8,
    /// What is shown of them.
    pub digits: Digits,
}

/// How many digits after the point are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digits {
    /// All of them; the type has a modifier, `numeric(p,s)`.
    Declared,
    /// All of them; the type has none (a literal, a sum).
    Fixed,
    /// Without trailing zeros: a column without a modifier, whose values had their own scales.
    Trimmed,
    /// A quotient or an average: PostgreSQL's rule, at least 16 significant digits in groups of four.
    Quotient,
}

impl Numeric {
    /// Digits after the point that a numeric without a modifier keeps.
    pub const UNCONSTRAINED_SCALE: u8 = 18;
    /// Digits after the point that a quotient keeps.
    pub const QUOTIENT_SCALE: u8 = 20;

    /// `numeric` without a modifier, as a column keeps it.
    pub const UNCONSTRAINED: Self =
        Self { precision: 38, scale: Self::UNCONSTRAINED_SCALE, digits: Digits::Trimmed };

    /// A computed shape; too many digits become 38, and what doesn't fit is then refused when it runs.
    pub fn computed(integer_digits: u32, scale: u8, digits: Digits) -> Self {
        let precision = (integer_digits + u32::from(scale)).clamp(1, 38);
        Self { precision: u8::try_from(precision).unwrap_or(38), scale, digits }
    }

    /// Digits before the point.
    pub fn integer_digits(&self) -> u32 {
        u32::from(self.precision - self.scale.min(self.precision))
    }

    /// The shape that holds both, as far as 38 digits allow.
    pub fn common(&self, other: &Self) -> Self {
        if self == other {
            return *self;
        }
        let scale = self.scale.max(other.scale);
        let digits = match (self.digits, other.digits) {
            (Digits::Quotient, _) | (_, Digits::Quotient) => Digits::Quotient,
            (Digits::Trimmed, _) | (_, Digits::Trimmed) => Digits::Trimmed,
            _ => Digits::Fixed,
        };
        Self::computed(self.integer_digits().max(other.integer_digits()), scale, digits)
    }
}

impl Digits {
    fn key(self) -> Option<&'static str> {
        match self {
            Self::Declared | Self::Fixed => None,
            Self::Trimmed => Some("trimmed"),
            Self::Quotient => Some("quotient"),
        }
    }
}

/// How many digits after the point to show of `coefficient / 10^scale`, given the result field's
/// metadata (PostgreSQL's display scale). Never more than `scale`.
pub fn display_scale(metadata: &HashMap<String, String>, coefficient: i128, scale: u8) -> u8 {
    match metadata.get(DIGITS_KEY).map(String::as_str) {
        Some("trimmed") => ledger::Decimal { coefficient, scale }.normalized().scale,
        Some("quotient") => quotient_scale(coefficient, scale),
        _ => scale,
    }
}

/// PostgreSQL's scale of a quotient: 16 significant digits, counted in groups of four from the point.
fn quotient_scale(coefficient: i128, scale: u8) -> u8 {
    let magnitude = coefficient.unsigned_abs();
    let digits = if magnitude == 0 { 0 } else { magnitude.ilog10() + 1 };
    let scale32 = u32::from(scale);
    let weight: i32 = if digits > scale32 {
        i32::try_from((digits - scale32 - 1) / 4).unwrap_or(0)
    } else if digits == 0 {
        0
    } else {
        -i32::try_from((scale32 - digits) / 4 + 1).unwrap_or(1)
    };
    // A dividend that begins with the divisor's digits is counted a group lower, as PostgreSQL guesses it.
    let unit = magnitude > 0 && magnitude == 10_u128.pow(magnitude.ilog10());
    let exact = unit && (i64::from(digits) - 1 - i64::from(scale)) % 4 == 0;
    let weight = if exact { weight - 1 } else { weight };
    let shown = (16 - weight * 4).clamp(0, i32::from(scale));
    u8::try_from(shown).unwrap_or(scale)
}

/// The letter of `pg_type.typcategory`, which decides between overloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// A
    Array,
    /// B
    Boolean,
    /// C
    Composite,
    /// D
    DateTime,
    /// N
    Numeric,
    /// P
    Pseudo,
    /// S
    String,
    /// T
    Timespan,
    /// U
    User,
    /// X
    Unknown,
    /// Z
    Internal,
}

impl PgType {
    /// The type a column of the ledger has in queries.
    pub fn of(kind: &Type) -> Self {
        match kind {
            Type::Bool => Self::Bool,
            Type::Int2 => Self::Int2,
            Type::Int4 => Self::Int4,
            Type::Int8 => Self::Int8,
            Type::Numeric { precision, scale } => Self::Numeric(Numeric {
                precision: *precision,
                scale: *scale,
                digits: Digits::Declared,
            }),
            Type::Decimal => Self::Numeric(Numeric::UNCONSTRAINED),
            Type::Float4 => Self::Float4,
            Type::Float8 => Self::Float8,
            Type::Text => Self::Text,
            Type::Varchar(n) => Self::Varchar(Some(*n)),
            Type::Char(n) => Self::Bpchar(Some(*n)),
            Type::Bytea => Self::Bytea,
            Type::Date => Self::Date,
            Type::Time => Self::Time,
            Type::Timestamp => Self::Timestamp,
            Type::Timestamptz => Self::Timestamptz,
            Type::Uuid => Self::Uuid,
            Type::Json => Self::Json,
            Type::Jsonb => Self::Jsonb,
            Type::Array(element) => Self::Array(Box::new(Self::of(element))),
        }
    }

    /// The ledger's type that keeps such values, if there is one.
    pub fn stored(&self) -> Option<Type> {
        Some(match self {
            Self::Bool => Type::Bool,
            Self::Int2 => Type::Int2,
            Self::Int4 => Type::Int4,
            Self::Int8 => Type::Int8,
            Self::Float4 => Type::Float4,
            Self::Float8 => Type::Float8,
            Self::Numeric(Numeric { precision, scale, digits: Digits::Declared }) => {
                Type::Numeric { precision: *precision, scale: *scale }
            }
            Self::Numeric(_) => Type::Decimal,
            Self::Text | Self::Varchar(None) | Self::Bpchar(None) => Type::Text,
            Self::Varchar(Some(n)) => Type::Varchar(*n),
            Self::Bpchar(Some(n)) => Type::Char(*n),
            Self::Bytea => Type::Bytea,
            Self::Date => Type::Date,
            Self::Time => Type::Time,
            Self::Timestamp => Type::Timestamp,
            Self::Timestamptz => Type::Timestamptz,
            Self::Uuid => Type::Uuid,
            Self::Json => Type::Json,
            Self::Jsonb => Type::Jsonb,
            Self::Array(element) => match element.stored()? {
                Type::Array(_) => return None,
                kind => Type::Array(Box::new(kind)),
            },
            _ => return None,
        })
    }

    /// The Arrow type that such values have while a query runs.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric(n) => {
                DataType::Decimal128(n.precision, i8::try_from(n.scale).unwrap_or(0))
            }
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Oid | Self::Xid | Self::Reg(_) => DataType::UInt32,
            Self::Int2Vector => list_of(DataType::Int16),
            Self::OidVector => list_of(DataType::UInt32),
            Self::Array(element) => list_of(element.arrow()),
            Self::Record(fields) => DataType::Struct(
                fields
                    .iter()
                    .enumerate()
                    .map(|(i, (_, kind))| Field::new(format!("f{i}"), kind.arrow(), true))
                    .collect::<Fields>(),
            ),
            Self::Unknown
            | Self::Text
            | Self::Varchar(_)
            | Self::Bpchar(_)
            | Self::Name
            | Self::Char
            | Self::Json
            | Self::Jsonb
            | Self::AclItem
            | Self::NodeTree
            | Self::Void
            | Self::AnyElement
            | Self::AnyArray
            | Self::Any => DataType::Utf8,
        }
    }

    /// A nullable field of this type without metadata, as plans use it.
    pub fn field(&self, name: &str) -> FieldRef {
        Arc::new(Field::new(name, self.arrow(), true))
    }

    /// The metadata that a result's field carries.
    pub fn metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::from([(TYPE_KEY.to_owned(), self.to_string())]);
        if let Self::Numeric(n) = self
            && let Some(key) = n.digits.key()
        {
            metadata.insert(DIGITS_KEY.to_owned(), key.to_owned());
        }
        metadata
    }

    /// The elements' type of an array or vector.
    pub fn element(&self) -> Option<Self> {
        match self {
            Self::Array(element) => Some(element.as_ref().clone()),
            Self::Int2Vector => Some(Self::Int2),
            Self::OidVector => Some(Self::Oid),
            _ => None,
        }
    }

    /// `text` and what behaves like it.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_) | Self::Bpchar(_) | Self::Name)
    }

    /// `int2`, `int4`, `int8`.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8)
    }

    /// Anything that arithmetic takes.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Self::Numeric(_) | Self::Float4 | Self::Float8)
    }

    /// The same type but for its modifier.
    pub fn same_base(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Numeric(_), Self::Numeric(_))
            | (Self::Varchar(_), Self::Varchar(_))
            | (Self::Bpchar(_), Self::Bpchar(_))
            | (Self::Record(_), Self::Record(_)) => true,
            (Self::Array(a), Self::Array(b)) => a.same_base(b),
            (a, b) => a == b,
        }
    }

    /// The type as an expression's result: modifiers don't outlive the column or cast that has them.
    pub fn without_modifier(&self) -> Self {
        match self {
            Self::Varchar(_) => Self::Varchar(None),
            Self::Bpchar(_) => Self::Bpchar(None),
            Self::Numeric(Numeric { precision, scale, digits: Digits::Declared }) => {
                Self::Numeric(Numeric {
                    precision: *precision,
                    scale: *scale,
                    digits: Digits::Fixed,
                })
            }
            Self::Array(element) => Self::Array(Box::new(element.without_modifier())),
            other => other.clone(),
        }
    }

    /// `typcategory`.
    pub fn category(&self) -> Category {
        match self {
            Self::Unknown => Category::Unknown,
            Self::Bool => Category::Boolean,
            Self::Int2
            | Self::Int4
            | Self::Int8
            | Self::Float4
            | Self::Float8
            | Self::Numeric(_)
            | Self::Oid
            | Self::Reg(_) => Category::Numeric,
            Self::Text | Self::Varchar(_) | Self::Bpchar(_) | Self::Name => Category::String,
            Self::Char | Self::NodeTree => Category::Internal,
            Self::Date | Self::Time | Self::Timestamp | Self::Timestamptz => Category::DateTime,
            Self::Interval => Category::Timespan,
            Self::Array(_) | Self::Int2Vector | Self::OidVector => Category::Array,
            Self::Record(_) => Category::Composite,
            Self::Void | Self::AnyElement | Self::AnyArray | Self::Any => Category::Pseudo,
            Self::Bytea | Self::Uuid | Self::Json | Self::Jsonb | Self::Xid | Self::AclItem => {
                Category::User
            }
        }
    }

    /// `typispreferred`.
    pub fn is_preferred(&self) -> bool {
        matches!(
            self,
            Self::Bool | Self::Float8 | Self::Text | Self::Timestamptz | Self::Interval | Self::Oid
        )
    }
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

#[cfg(test)]
mod tests;
