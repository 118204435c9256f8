//! The one table of types: PostgreSQL's name and OID, the Arrow shape a query runs in, the ledger's type.
//!
//! It knows no values and no expressions: casts are in `plan::cast`, text forms in `ledger::text`.
//!
//! A numeric whose scale is known when the query is planned is a decimal of that scale; any other carries
//! its scale in each value: [`Digits`] says which.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use ledger::Type;

mod names;

pub use names::type_of_ast;

/// Metadata key on a result's field: PostgreSQL's type in its own words (`numeric(10,2)`, `varchar(5)`).
pub const TYPE_KEY: &str = "stele.type";

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

/// The Arrow shape of a numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numeric {
    /// Digits in all, 1..=38.
    pub precision: u8,
    /// Digits after the point, 0..=precision: of every value, which all show as many.
    pub scale: u8,
    /// Where the scale is known from.
    pub digits: Digits,
}

/// Where a numeric's scale is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digits {
    /// The type's modifier, `numeric(p,s)`.
    Declared,
    /// The expression: a literal, a sum. The type has no modifier.
    Fixed,
    /// Each value has its own. Always [`Numeric::FREE`].
    Free,
}

impl Numeric {
    /// `numeric` whose values have a scale of their own each, of any length: see [`crate::number`].
    pub const FREE: Self = Self { precision: 38, scale: 0, digits: Digits::Free };

    /// Digits after the point up to which a sum or product that may be longer than 38 digits stays a
    /// decimal (and is refused when it is), since 20 digits are left before the point.
    const MAX_TIGHT_SCALE: u32 = 18;

    /// The shape of values of so many digits before and after the point; free past 38.
    pub fn fixed(integer_digits: u32, scale: u32) -> Self {
        match (u8::try_from(integer_digits + scale), u8::try_from(scale)) {
            (Ok(precision @ 0..=38), Ok(scale)) => {
                Self { precision: precision.max(1), scale, digits: Digits::Fixed }
            }
            _ => Self::FREE,
        }
    }

    /// The shape of a result of arithmetic on these two. Columns of amounts are far from 38 digits, so a
    /// product of theirs stays a decimal though its bound is past them; one that is longer is refused.
    pub fn computed(integer_digits: u32, scale: u32, operands: [&Self; 2]) -> Self {
        let room = operands.iter().all(|operand| operand.precision < 38);
        if room && scale <= Self::MAX_TIGHT_SCALE {
            return Self::fixed(integer_digits.min(38 - scale), scale);
        }
        Self::fixed(integer_digits, scale)
    }

    /// Whether each value has its own scale.
    pub fn is_free(&self) -> bool {
        self.digits == Digits::Free
    }

    /// Digits before the point.
    pub fn integer_digits(&self) -> u32 {
        u32::from(self.precision - self.scale.min(self.precision))
    }

    /// The shape in which the values of both keep what they show.
    pub fn common(&self, other: &Self) -> Self {
        if self == other {
            return *self;
        }
        if self.is_free() || other.is_free() || self.scale != other.scale {
            return Self::FREE;
        }
        Self::fixed(self.integer_digits().max(other.integer_digits()), self.scale.into())
    }
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
            Type::Decimal => Self::Numeric(Numeric::FREE),
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
            Self::Numeric(n) if n.is_free() => DataType::LargeBinary,
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
        HashMap::from([(TYPE_KEY.to_owned(), self.to_string())])
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

    /// The type alone, as a parameter of it comes: a numeric with any scale.
    pub fn bare(&self) -> Self {
        match self {
            Self::Numeric(_) => Self::Numeric(Numeric::FREE),
            Self::Array(element) => Self::Array(Box::new(element.bare())),
            other => other.without_modifier(),
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
