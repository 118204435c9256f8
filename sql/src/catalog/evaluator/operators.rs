//! Operators: which there are for which types, and what they become.

use datafusion::sql::sqlparser::ast::{BinaryOperator as B, UnaryOperator as U};

use super::bind::{Binder, common, implicit};
use super::tree::{Arithmetic, Comparison, Expr, Test, Typed};
use crate::Error;
use crate::functions::Datum;
use crate::types::PgType;

/// An operator by its text, as `OPERATOR(pg_catalog.~)` gives it.
fn by_text(text: &str) -> Option<B> {
    Some(match text {
        "=" => B::Eq,
        "<>" | "!=" => B::NotEq,
        "<" => B::Lt,
        "<=" => B::LtEq,
        ">" => B::Gt,
        ">=" => B::GtEq,
        "+" => B::Plus,
        "-" => B::Minus,
        "*" => B::Multiply,
        "/" => B::Divide,
        "%" => B::Modulo,
        "||" => B::StringConcat,
        "~" => B::PGRegexMatch,
        "~*" => B::PGRegexIMatch,
        "!~" => B::PGRegexNotMatch,
        "!~*" => B::PGRegexNotIMatch,
        "~~" => B::PGLikeMatch,
        "~~*" => B::PGILikeMatch,
        "!~~" => B::PGNotLikeMatch,
        "!~~*" => B::PGNotILikeMatch,
        _ => return None,
    })
}

/// The operator that is meant, wherever its name stood.
pub(super) fn plain(op: &B) -> B {
    match op {
        B::PGCustomBinaryOperator(parts) => match parts.as_slice() {
            [schema, name] if schema == "pg_catalog" => by_text(name).unwrap_or_else(|| op.clone()),
            [name] => by_text(name).unwrap_or_else(|| op.clone()),
            _ => op.clone(),
        },
        B::Custom(text) => by_text(text).unwrap_or_else(|| op.clone()),
        other => other.clone(),
    }
}

pub(super) fn comparison(op: &B) -> Option<Comparison> {
    Some(match op {
        B::Eq => Comparison::Equal,
        B::NotEq => Comparison::NotEqual,
        B::Lt => Comparison::Less,
        B::LtEq => Comparison::LessOrEqual,
        B::Gt => Comparison::Greater,
        B::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// What ANY and ALL ask.
pub(super) fn test(op: &B) -> Option<Test> {
    let like = |fold, negated| Some(Test::Like { fold, negated });
    let matches = |fold, negated| Some(Test::Matches { fold, negated });
    match op {
        B::PGLikeMatch => like(false, false),
        B::PGILikeMatch => like(true, false),
        B::PGNotLikeMatch => like(false, true),
        B::PGNotILikeMatch => like(true, true),
        B::PGRegexMatch => matches(false, false),
        B::PGRegexIMatch => matches(true, false),
        B::PGRegexNotMatch => matches(false, true),
        B::PGRegexNotIMatch => matches(true, true),
        other => comparison(other).map(Test::Compare),
    }
}

fn missing(op: &B, left: &PgType, right: &PgType) -> Error {
    Error::new("42883", format!("operator does not exist: {left} {op} {right}")).with_hint(
        "No operator matches the given name and argument types. You might need to add explicit type casts.",
    )
}

/// Whether two types compare, and as what.
pub(super) fn comparable(op: &B, left: &PgType, right: &PgType) -> Result<PgType, Error> {
    let related = left == &PgType::Unknown
        || right == &PgType::Unknown
        || left.same_base(right)
        || implicit(left, right).is_some()
        || implicit(right, left).is_some();
    let textual = |kind: &PgType| kind.is_text() || matches!(kind, PgType::Char);
    let fits = related || (textual(left) && textual(right));
    if !fits {
        return Err(missing(op, left, right));
    }
    match (left, right) {
        (PgType::Record(_), PgType::Record(_)) => Ok(left.clone()),
        (a, b) if textual(a) && textual(b) && a != b => Ok(PgType::Text),
        (a, b) => common(&[a.clone(), b.clone()]).map_err(|_| missing(op, left, right)),
    }
}

impl Binder<'_> {
    /// Both sides as the type that they compare in.
    pub(super) fn compare(
        &mut self,
        op: &B,
        how: Comparison,
        left: Typed,
        right: Typed,
    ) -> Result<Expr, Error> {
        let (left, right) = self.alike(op, left, right)?;
        Ok(Expr::Compare(how, Box::new(left), Box::new(right)))
    }

    /// Both sides as one type.
    pub(super) fn alike(
        &mut self,
        op: &B,
        left: Typed,
        right: Typed,
    ) -> Result<(Expr, Expr), Error> {
        let kind = comparable(op, &left.kind, &right.kind)?;
        if matches!(kind, PgType::Record(_)) {
            return Ok((left.expr, right.expr));
        }
        Ok((self.coerce(left, &kind)?, self.coerce(right, &kind)?))
    }

    pub(super) fn binary(&mut self, op: &B, left: Typed, right: Typed) -> Result<Typed, Error> {
        let op = plain(op);
        if let Some(how) = comparison(&op) {
            return Ok(Typed::bool(self.compare(&op, how, left, right)?));
        }
        let negate = |expr: Expr, negated: bool| {
            Typed::bool(if negated { Expr::Not(Box::new(expr)) } else { expr })
        };
        match test(&op) {
            Some(Test::Like { fold, negated }) => {
                let value = Box::new(self.textual(&op, left)?);
                let pattern = Box::new(self.textual(&op, right)?);
                let like = Expr::Like { value, pattern, escape: Some('\\'), fold };
                return Ok(negate(like, negated));
            }
            Some(Test::Matches { fold, negated }) => {
                let value = Box::new(self.textual(&op, left)?);
                let pattern = Box::new(self.textual(&op, right)?);
                return Ok(negate(Expr::Matches { value, pattern, fold }, negated));
            }
            _ => {}
        }
        match op {
            B::And | B::Or => {
                let sides =
                    vec![self.coerce(left, &PgType::Bool)?, self.coerce(right, &PgType::Bool)?];
                Ok(Typed::bool(if op == B::And { Expr::And(sides) } else { Expr::Or(sides) }))
            }
            B::StringConcat => self.concatenate(left, right),
            B::Plus => self.arithmetic(&op, Arithmetic::Add, left, right),
            B::Minus => self.arithmetic(&op, Arithmetic::Subtract, left, right),
            B::Multiply => self.arithmetic(&op, Arithmetic::Multiply, left, right),
            B::Divide => self.arithmetic(&op, Arithmetic::Divide, left, right),
            B::Modulo => self.arithmetic(&op, Arithmetic::Modulo, left, right),
            B::BitwiseAnd => self.arithmetic(&op, Arithmetic::And, left, right),
            B::BitwiseOr => self.arithmetic(&op, Arithmetic::Or, left, right),
            other => Err(Error::unsupported(
                format!("operator {other} in a query of the catalogs"),
                "docs/sql.md lists what such queries can do.",
            )),
        }
    }

    /// An operand of LIKE and its kin.
    pub(super) fn textual(&mut self, op: &B, value: Typed) -> Result<Expr, Error> {
        let fits = value.kind.is_text()
            || matches!(value.kind, PgType::Unknown | PgType::Char | PgType::NodeTree);
        if !fits {
            return Err(missing(op, &value.kind, &PgType::Unknown));
        }
        self.coerce(value, &PgType::Text)
    }

    fn arithmetic(
        &mut self,
        op: &B,
        how: Arithmetic,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, Error> {
        let kind = match (&left.kind, &right.kind) {
            (PgType::Unknown, kind) | (kind, PgType::Unknown) => kind.clone(),
            (a, b) => common(&[a.clone(), b.clone()]).map_err(|_| missing(op, a, b))?,
        };
        let whole = matches!(kind, PgType::Int2 | PgType::Int4 | PgType::Int8);
        let float = kind == PgType::Float8
            && !matches!(how, Arithmetic::Modulo | Arithmetic::And | Arithmetic::Or);
        if !whole && !float {
            return Err(missing(op, &left.kind, &right.kind));
        }
        let left = Box::new(self.coerce(left, &kind)?);
        let right = Box::new(self.coerce(right, &kind)?);
        Ok(Typed::new(Expr::Arithmetic(how, left, right, kind.clone()), kind))
    }

    fn concatenate(&mut self, left: Typed, right: Typed) -> Result<Typed, Error> {
        let array = |kind: &PgType| match kind {
            PgType::Array(_) | PgType::Int2Vector | PgType::OidVector => kind.element(),
            _ => None,
        };
        match (array(&left.kind), array(&right.kind)) {
            (None, None) => {
                let of_text = |kind: &PgType| {
                    kind.is_text() || matches!(kind, PgType::Unknown | PgType::Char)
                };
                if !of_text(&left.kind) && !of_text(&right.kind) {
                    return Err(missing(&B::StringConcat, &left.kind, &right.kind));
                }
                let left = Box::new(self.as_text(left)?);
                let right = Box::new(self.as_text(right)?);
                Ok(Typed::new(Expr::Concatenate(left, right), PgType::Text))
            }
            (Some(element), None) if right.kind != PgType::Unknown => {
                let item = self.coerce(right, &element)?;
                let kind = PgType::Array(Box::new(element));
                Ok(Typed::new(Expr::Append(Box::new(left.expr), Box::new(item)), kind))
            }
            (None, Some(element)) if left.kind != PgType::Unknown => {
                let item = self.coerce(left, &element)?;
                let kind = PgType::Array(Box::new(element));
                Ok(Typed::new(Expr::Prepend(Box::new(item), Box::new(right.expr)), kind))
            }
            (Some(element), _) | (_, Some(element)) => {
                let kind = PgType::Array(Box::new(element));
                let left = Box::new(self.coerce(left, &kind)?);
                let right = Box::new(self.coerce(right, &kind)?);
                Ok(Typed::new(Expr::Concatenate(left, right), kind))
            }
        }
    }

    /// Any value as text, as `||` takes it.
    pub(super) fn as_text(&mut self, value: Typed) -> Result<Expr, Error> {
        Ok(self.explicit(value, &PgType::Text)?.expr)
    }

    pub(super) fn unary(&mut self, op: U, value: Typed) -> Result<Typed, Error> {
        match op {
            U::Not => {
                let inner = self.coerce(value, &PgType::Bool)?;
                Ok(Typed::bool(Expr::Not(Box::new(inner))))
            }
            U::Plus => Ok(value),
            U::Minus => {
                if let Expr::Literal(Datum::Int(i)) = value.expr {
                    return Ok(integer(-i128::from(i)).map_or(value, |literal| literal));
                }
                if !value.kind.is_integer() && value.kind != PgType::Float8 {
                    return Err(missing(&B::Minus, &PgType::Unknown, &value.kind));
                }
                let kind = value.kind.clone();
                Ok(Typed::new(Expr::Negate(Box::new(value.expr), kind.clone()), kind))
            }
            other => Err(Error::unsupported(
                format!("operator {other} in a query of the catalogs"),
                "docs/sql.md lists what such queries can do.",
            )),
        }
    }
}

/// A whole number as a literal: `integer` if it fits, else `bigint`.
pub(super) fn integer(value: i128) -> Option<Typed> {
    let number = i64::try_from(value).ok()?;
    let kind = if i32::try_from(number).is_ok() { PgType::Int4 } else { PgType::Int8 };
    Some(Typed::new(Expr::Literal(Datum::Int(number)), kind))
}
