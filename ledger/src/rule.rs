//! The rule language of CHECK and DEFAULT: a small expression tree kept as data in the schema.

mod arithmetic;
pub mod evaluate;
mod pattern;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::nested;
use crate::{ColumnNumber, Oid, Type, Value};

pub use evaluate::Environment;

/// An expression. It is typed when it is made (operands already cast to one type), so that evaluation
/// needs no overload rules. NULL follows SQL's three-valued logic.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Rule {
    /// A constant.
    Literal(Value, Type),
    /// The row's column.
    Column(ColumnNumber),
    /// `NOT a`
    Not(#[borsh(deserialize_with = "nested")] Box<Self>),
    /// `a AND b AND …`
    And(#[borsh(deserialize_with = "nested")] Vec<Self>),
    /// `a OR b OR …`
    Or(#[borsh(deserialize_with = "nested")] Vec<Self>),
    /// `a = b`, `a < b`, …; texts by bytes.
    Compare(
        Comparison,
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Box<Self>,
    ),
    /// `a IS DISTINCT FROM b`
    Distinct(
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Box<Self>,
    ),
    /// `a + b`, …; overflow is 22003, division by zero 22012.
    Arithmetic(
        Arithmetic,
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Box<Self>,
    ),
    /// `-a`
    Negate(#[borsh(deserialize_with = "nested")] Box<Self>),
    /// `a IS NULL`
    IsNull(#[borsh(deserialize_with = "nested")] Box<Self>),
    /// `a IN (b, c, …)`, `a = ANY (ARRAY[…])`
    In(
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Vec<Self>,
    ),
    /// `a LIKE b`; the flag is ILIKE. The escape is a backslash.
    Like(
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Box<Self>,
        bool,
    ),
    /// `a ~ b`; the flag is `~*`. A regular expression of the crate `regex`.
    Matches(
        #[borsh(deserialize_with = "nested")] Box<Self>,
        #[borsh(deserialize_with = "nested")] Box<Self>,
        bool,
    ),
    /// `CASE WHEN a THEN b … ELSE c END`
    Case(
        #[borsh(deserialize_with = "nested")] Vec<(Self, Self)>,
        #[borsh(deserialize_with = "nested")] Option<Box<Self>>,
    ),
    /// `a::type`, with PostgreSQL's checks and texts.
    Cast(#[borsh(deserialize_with = "nested")] Box<Self>, Type),
    /// A deterministic function.
    Call(Function, #[borsh(deserialize_with = "nested")] Vec<Self>),
    /// A value that only the serving node can give; DEFAULT only.
    Volatile(Volatile),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: integers cut toward zero.
    Divide,
    /// `%`
    Modulo,
    /// `||`
    Concatenate,
}

/// A deterministic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Function {
    /// `abs(a)`
    Abs,
    /// `coalesce(a, …)`
    Coalesce,
    /// `char_length(a)`, `length(a)`
    CharLength,
    /// `octet_length(a)`
    OctetLength,
    /// `lower(a)`: simple ASCII and Unicode lower case of Rust's `char`.
    Lower,
    /// `upper(a)`
    Upper,
    /// `btrim(a)`: blanks off both ends.
    Trim,
    /// `round(a)`, `round(a, n)` of numeric
    Round,
    /// `nullif(a, b)`
    NullIf,
    /// `greatest(a, …)`
    Greatest,
    /// `least(a, …)`
    Least,
    /// `array_length(a, 1)`, `cardinality(a)`
    Cardinality,
}

/// What only the serving node can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Volatile {
    /// `now()`, `current_timestamp`: when the transaction began, timestamptz.
    Now,
    /// `current_date`
    CurrentDate,
    /// `localtimestamp`
    LocalTimestamp,
    /// `clock_timestamp()`
    ClockTimestamp,
    /// `gen_random_uuid()`
    RandomUuid,
    /// `current_user`, `session_user`, `user`
    CurrentUser,
    /// `nextval('…')`
    NextValue(Oid),
}

impl Rule {
    /// The expressions that it is made of, one level down.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Literal(..) | Self::Column(_) | Self::Volatile(_) => Vec::new(),
            Self::Not(a) | Self::Negate(a) | Self::IsNull(a) | Self::Cast(a, _) => vec![a],
            Self::And(all) | Self::Or(all) | Self::Call(_, all) => all.iter().collect(),
            Self::Compare(_, a, b)
            | Self::Distinct(a, b)
            | Self::Arithmetic(_, a, b)
            | Self::Like(a, b, _)
            | Self::Matches(a, b, _) => vec![a, b],
            Self::In(a, all) => [a.as_ref()].into_iter().chain(all).collect(),
            Self::Case(branches, otherwise) => branches
                .iter()
                .flat_map(|(condition, result)| [condition, result])
                .chain(otherwise.as_deref())
                .collect(),
        }
    }

    /// How deep it is nested: 1 for a constant.
    pub fn depth(&self) -> u32 {
        self.parts().into_iter().map(Self::depth).max().unwrap_or(0) + 1
    }

    /// The columns that it reads, ascending.
    pub fn columns(&self) -> Vec<ColumnNumber> {
        let mut all = Vec::new();
        let mut open = vec![self];
        while let Some(rule) = open.pop() {
            if let Self::Column(number) = rule {
                all.push(*number);
            }
            open.extend(rule.parts());
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether it asks for what only the serving node can give.
    pub fn is_volatile(&self) -> bool {
        matches!(self, Self::Volatile(_)) || self.parts().into_iter().any(Self::is_volatile)
    }
}
