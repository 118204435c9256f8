//! Expressions of point statements: what the planner bound, evaluated for one row. Whatever is no value
//! here, an error too, is `None`: then the ordinary way says what it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast;
use ledger::VersionId;

use crate::functions::free::KEY_NAME;
use crate::functions::{Called, Datum, datum_at, operators};
use crate::number::Number;
use crate::read::QueryContext;
use crate::types::PgType;

/// A statement of more nodes is the ordinary way's.
const MOST_NODES: usize = 4096;

/// What an expression is evaluated in.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) row: &'a [Datum],
    pub(crate) version: Option<VersionId>,
    /// The parameters' values, in the types that the plan gave them.
    pub(crate) parameters: &'a [Datum],
    /// For functions.
    pub(crate) context: Option<&'a QueryContext>,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A column of the row, by place.
    Column(usize),
    /// The row's version, as `ledger_version` shows it.
    Version,
    /// A parameter, by place.
    Parameter(usize),
    Constant(Datum),
    Compare(Comparison, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    IsNull(Box<Self>),
    /// Whether a truth value is this one; `None` is unknown.
    Is(Option<bool>, Box<Self>),
    In(Box<Self>, Vec<Self>),
    Case(Vec<(Self, Self)>, Option<Box<Self>>),
    Integer(ast::BinaryOperator, PgType, Box<Self>, Box<Self>),
    Cast(DataType, Box<Self>),
    Call(Called, Vec<Self>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `IS DISTINCT FROM`
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

impl Comparison {
    fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Eq => Self::Equal,
            Operator::NotEq => Self::NotEqual,
            Operator::Lt => Self::Less,
            Operator::LtEq => Self::LessOrEqual,
            Operator::Gt => Self::Greater,
            Operator::GtEq => Self::GreaterOrEqual,
            Operator::IsDistinctFrom => Self::Distinct,
            Operator::IsNotDistinctFrom => Self::NotDistinct,
            _ => return None,
        })
    }

    fn value(self, a: &Datum, b: &Datum) -> Option<Datum> {
        let null = a.is_null() || b.is_null();
        if null && !matches!(self, Self::Distinct | Self::NotDistinct) {
            return Some(Datum::Null);
        }
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) | (false, true) => Ordering::Less,
            (false, false) => order(a, b)?,
        };
        Some(Datum::Bool(match self {
            Self::Equal | Self::NotDistinct => order.is_eq(),
            Self::NotEqual | Self::Distinct => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }))
    }
}

/// The order of two values of one type, as Arrow's kernels have it.
fn order(a: &Datum, b: &Datum) -> Option<Ordering> {
    Some(match (a, b) {
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
        (Datum::Float(a), Datum::Float(b)) => a.total_cmp(b),
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.cmp(b),
        (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
        (Datum::Date(a), Datum::Date(b)) => a.cmp(b),
        (Datum::Time(a), Datum::Time(b))
        | (Datum::Timestamp(a), Datum::Timestamp(b))
        | (Datum::Timestamptz(a), Datum::Timestamptz(b)) => a.cmp(b),
        (Datum::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
        _ => return None,
    })
}

/// Makes nodes of expressions.
#[derive(Default)]
pub(super) struct Maker {
    /// Whether any of them calls a function.
    pub(super) calls: bool,
    made: usize,
}

impl Maker {
    /// The node of an expression over these columns; `None` for what there is no node for.
    pub(super) fn node(&mut self, expr: &Expr, columns: &BTreeMap<String, Node>) -> Option<Node> {
        self.made += 1;
        if self.made > MOST_NODES {
            return None;
        }
        let mut boxed = |expr: &Expr| self.node(expr, columns).map(Box::new);
        Some(match expr {
            Expr::Alias(alias) => return self.node(&alias.expr, columns),
            Expr::Column(column) => {
                let node = columns.get(&column.name)?.clone();
                self.made += node.size();
                node
            }
            Expr::Literal(scalar, _) => {
                let array = scalar.to_array().ok()?;
                Node::Constant(datum_at(array.as_ref(), 0).ok()?)
            }
            Expr::Placeholder(placeholder) => {
                let number: usize = placeholder.id.strip_prefix('$')?.parse().ok()?;
                Node::Parameter(number.checked_sub(1)?)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (left, right) = (boxed(left)?, boxed(right)?);
                match op {
                    Operator::And => Node::And(left, right),
                    Operator::Or => Node::Or(left, right),
                    other => Node::Compare(Comparison::of(*other)?, left, right),
                }
            }
            Expr::Not(inner) => Node::Not(boxed(inner)?),
            Expr::IsNull(inner) => Node::IsNull(boxed(inner)?),
            Expr::IsNotNull(inner) => Node::Not(Box::new(Node::IsNull(boxed(inner)?))),
            Expr::IsTrue(inner) => Node::Is(Some(true), boxed(inner)?),
            Expr::IsFalse(inner) => Node::Is(Some(false), boxed(inner)?),
            Expr::IsUnknown(inner) => Node::Is(None, boxed(inner)?),
            Expr::IsNotTrue(inner) => Node::Not(Box::new(Node::Is(Some(true), boxed(inner)?))),
            Expr::IsNotFalse(inner) => Node::Not(Box::new(Node::Is(Some(false), boxed(inner)?))),
            Expr::IsNotUnknown(inner) => Node::Not(Box::new(Node::Is(None, boxed(inner)?))),
            Expr::InList(InList { expr, list, negated }) => {
                let value = boxed(expr)?;
                let list = list.iter().map(|item| self.node(item, columns));
                let found = Node::In(value, list.collect::<Option<_>>()?);
                if *negated { Node::Not(Box::new(found)) } else { found }
            }
            Expr::Case(case) if case.expr.is_none() => {
                let mut branches = Vec::with_capacity(case.when_then_expr.len());
                for (when, then) in &case.when_then_expr {
                    branches.push((self.node(when, columns)?, self.node(then, columns)?));
                }
                let otherwise = match &case.else_expr {
                    Some(otherwise) => Some(Box::new(self.node(otherwise, columns)?)),
                    None => None,
                };
                Node::Case(branches, otherwise)
            }
            Expr::Cast(cast) => {
                let wanted = cast.field.data_type();
                let inner = boxed(&cast.expr)?;
                match (wanted, inner.as_ref()) {
                    // The planner only widens integers so, and a wider one is the same number.
                    (DataType::Int32 | DataType::Int64, Node::Column(_)) => *inner,
                    _ => Node::Cast(wanted.clone(), inner),
                }
            }
            Expr::ScalarFunction(call) => return self.call(call, columns),
            _ => return None,
        })
    }

    fn call(&mut self, call: &ScalarFunction, columns: &BTreeMap<String, Node>) -> Option<Node> {
        // Numbers are compared by their value here, whatever their scale.
        if call.func.name() == KEY_NAME {
            return self.node(call.args.first()?, columns);
        }
        let called = Called::of(&call.func)?;
        let args = call.args.iter().map(|arg| self.node(arg, columns));
        let args = args.collect::<Option<Vec<_>>>()?;
        Some(match (called.integer_operator(), <[Node; 2]>::try_from(args)) {
            (Some((operator, kind)), Ok([a, b])) => {
                Node::Integer(operator, kind, Box::new(a), Box::new(b))
            }
            (_, args) => {
                self.calls = true;
                Node::Call(called, args.map_or_else(|args| args, Vec::from))
            }
        })
    }
}

impl Node {
    fn size(&self) -> usize {
        let parts: usize = match self {
            Self::Column(_) | Self::Version | Self::Parameter(_) | Self::Constant(_) => 0,
            Self::Compare(_, a, b)
            | Self::And(a, b)
            | Self::Or(a, b)
            | Self::Integer(_, _, a, b) => a.size() + b.size(),
            Self::Not(a) | Self::IsNull(a) | Self::Is(_, a) | Self::Cast(_, a) => a.size(),
            Self::In(a, all) => a.size() + all.iter().map(Self::size).sum::<usize>(),
            Self::Call(_, all) => all.iter().map(Self::size).sum(),
            Self::Case(branches, otherwise) => {
                let branches = branches.iter().map(|(when, then)| when.size() + then.size());
                branches.sum::<usize>() + otherwise.as_ref().map_or(0, |node| node.size())
            }
        };
        parts + 1
    }

    /// The column that this equals something with, which needs no row.
    pub(super) fn equality(&self) -> Option<(usize, &Self)> {
        let Self::Compare(Comparison::Equal, a, b) = self else { return None };
        match (a.as_ref(), b.as_ref()) {
            (Self::Column(place), value) | (value, Self::Column(place)) if value.needs_no_row() => {
                Some((*place, value))
            }
            _ => None,
        }
    }

    fn needs_no_row(&self) -> bool {
        match self {
            Self::Column(_) | Self::Version => false,
            Self::Parameter(_) | Self::Constant(_) => true,
            Self::Compare(_, a, b)
            | Self::And(a, b)
            | Self::Or(a, b)
            | Self::Integer(_, _, a, b) => a.needs_no_row() && b.needs_no_row(),
            Self::Not(a) | Self::IsNull(a) | Self::Is(_, a) | Self::Cast(_, a) => a.needs_no_row(),
            Self::In(a, all) => a.needs_no_row() && all.iter().all(Self::needs_no_row),
            Self::Call(_, all) => all.iter().all(Self::needs_no_row),
            Self::Case(branches, otherwise) => {
                branches.iter().all(|(when, then)| when.needs_no_row() && then.needs_no_row())
                    && otherwise.as_ref().is_none_or(|node| node.needs_no_row())
            }
        }
    }

    /// Its value; `None` if it can't be told here.
    pub(crate) fn value(&self, env: &Env<'_>) -> Option<Datum> {
        Some(match self {
            Self::Column(place) => env.row.get(*place)?.clone(),
            Self::Version => Datum::Uuid(crate::rows::version_bytes(env.version?)),
            Self::Parameter(place) => env.parameters.get(*place)?.clone(),
            Self::Constant(value) => value.clone(),
            Self::Compare(comparison, a, b) => comparison.value(&a.value(env)?, &b.value(env)?)?,
            Self::And(a, b) => match truth(&a.value(env)?)? {
                Some(false) => Datum::Bool(false),
                Some(true) => b.value(env)?,
                None => match truth(&b.value(env)?)? {
                    Some(false) => Datum::Bool(false),
                    _ => Datum::Null,
                },
            },
            Self::Or(a, b) => match truth(&a.value(env)?)? {
                Some(true) => Datum::Bool(true),
                Some(false) => b.value(env)?,
                None => match truth(&b.value(env)?)? {
                    Some(true) => Datum::Bool(true),
                    _ => Datum::Null,
                },
            },
            Self::Not(a) => truth(&a.value(env)?)?.map_or(Datum::Null, |truth| Datum::Bool(!truth)),
            Self::IsNull(a) => Datum::Bool(a.value(env)?.is_null()),
            Self::Is(wanted, a) => Datum::Bool(truth(&a.value(env)?)? == *wanted),
            Self::In(a, all) => {
                let value = a.value(env)?;
                let mut found = Datum::Bool(false);
                for item in all {
                    match Comparison::Equal.value(&value, &item.value(env)?)? {
                        Datum::Bool(true) => return Some(Datum::Bool(true)),
                        Datum::Null => found = Datum::Null,
                        _ => {}
                    }
                }
                found
            }
            Self::Case(branches, otherwise) => {
                for (when, then) in branches {
                    if truth(&when.value(env)?)? == Some(true) {
                        return then.value(env);
                    }
                }
                otherwise.as_ref().map_or(Some(Datum::Null), |node| node.value(env))?
            }
            Self::Integer(operator, kind, a, b) => match (a.value(env)?, b.value(env)?) {
                (Datum::Null, _) | (_, Datum::Null) => Datum::Null,
                (Datum::Int(a), Datum::Int(b)) => {
                    Datum::Int(operators::integer(operator, kind, a, b)?)
                }
                _ => return None,
            },
            Self::Cast(wanted, a) => cast(a.value(env)?, wanted)?,
            Self::Call(called, args) => {
                let args = args.iter().map(|arg| arg.value(env)).collect::<Option<Vec<_>>>()?;
                called.value(env.context?, &args).ok()?
            }
        })
    }
}

/// A truth value; the inner `None` is unknown.
#[expect(clippy::option_option, reason = "no value, and the value unknown, are two things")]
fn truth(value: &Datum) -> Option<Option<bool>> {
    match value {
        Datum::Null => Some(None),
        Datum::Bool(truth) => Some(Some(*truth)),
        _ => None,
    }
}

/// The casts that the planner leaves to Arrow: those where nothing can go wrong.
#[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
fn cast(value: Datum, wanted: &DataType) -> Option<Datum> {
    const DAY: i64 = 86_400_000_000;
    Some(match (value, wanted) {
        (Datum::Null, _) => Datum::Null,
        (Datum::Int(i), DataType::Int16) => Datum::Int(i16::try_from(i).ok()?.into()),
        (Datum::Int(i), DataType::Int32) => Datum::Int(i32::try_from(i).ok()?.into()),
        (Datum::Int(i), DataType::Int64) => Datum::Int(i),
        (Datum::Int(i), DataType::Float64) => Datum::Float(i as f64),
        (Datum::Int(i), DataType::Float32) => Datum::Float((i as f32).into()),
        (Datum::Float(f), DataType::Float64) => Datum::Float(f),
        (Datum::Int(i), DataType::Decimal128(precision, scale)) => {
            decimal(&Number::from(i), *precision, *scale)?
        }
        (Datum::Numeric(d), DataType::Decimal128(precision, scale)) => {
            let widens = i32::from(*scale) >= i32::from(d.scale());
            decimal(&d, *precision, *scale).filter(|_| widens)?
        }
        (Datum::Date(d), DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            Datum::Timestamp(i64::from(d).checked_mul(DAY)?)
        }
        _ => return None,
    })
}

fn decimal(value: &Number, precision: u8, scale: i8) -> Option<Datum> {
    let value = value.round(scale.into()).ok()?;
    let bound = 10_i128.checked_pow(precision.into())?;
    (value.small()?.checked_abs()? < bound).then_some(Datum::Numeric(value))
}
