//! The rule language of CHECK and DEFAULT: a small expression tree kept as data in the schema.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{ColumnNumber, Oid, Type, Value};

/// An expression. It is typed when it is made (operands already cast to one type), so that evaluation
/// needs no overload rules. NULL follows SQL's three-valued logic.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Rule {
    /// A constant.
    Literal(Value, Type),
    /// The row's column.
    Column(ColumnNumber),
    /// `NOT a`
    Not(Box<Rule>),
    /// `a AND b AND …`
    And(Vec<Rule>),
    /// `a OR b OR …`
    Or(Vec<Rule>),
    /// `a = b`, `a < b`, …; texts by bytes.
    Compare(Comparison, Box<Rule>, Box<Rule>),
    /// `a IS DISTINCT FROM b`
    Distinct(Box<Rule>, Box<Rule>),
    /// `a + b`, …; overflow is 22003, division by zero 22012.
    Arithmetic(Arithmetic, Box<Rule>, Box<Rule>),
    /// `-a`
    Negate(Box<Rule>),
    /// `a IS NULL`
    IsNull(Box<Rule>),
    /// `a IN (b, c, …)`, `a = ANY (ARRAY[…])`
    In(Box<Rule>, Vec<Rule>),
    /// `a LIKE b`; the flag is ILIKE. The escape is a backslash.
    Like(Box<Rule>, Box<Rule>, bool),
    /// `a ~ b`; the flag is `~*`. A regular expression of the crate `regex`.
    Matches(Box<Rule>, Box<Rule>, bool),
    /// `CASE WHEN a THEN b … ELSE c END`
    Case(Vec<(Rule, Rule)>, Option<Box<Rule>>),
    /// `a::type`, with PostgreSQL's checks and texts.
    Cast(Box<Rule>, Type),
    /// A deterministic function.
    Call(Function, Vec<Rule>),
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
