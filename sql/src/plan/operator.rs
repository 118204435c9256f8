//! Operators: which meaning an operator has for its operands' types, as PostgreSQL chooses it.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator as B};

use super::cast::{literal, numeric_shape};
use super::{Allowed, Binder, Typed};
use crate::Error;
use crate::functions::{Datum, datum_at, operators, scalar_of};
use crate::types::{Digits, Numeric, PgType};

/// 42883, in PostgreSQL's words.
pub(crate) fn missing(left: &PgType, op: &str, right: &PgType) -> Error {
    Error::new("42883", format!("operator does not exist: {left} {op} {right}")).with_hint(
        "No operator matches the given name and argument types. You might need to add explicit type casts.",
    )
}

impl Binder<'_> {
    /// `left op right`.
    pub(crate) fn binary(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        right: Typed,
    ) -> Result<Typed, Error> {
        match op {
            B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq => {
                self.comparison(left, op, right)
            }
            B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo => {
                self.arithmetic(left, op, right)
            }
            B::StringConcat => self.concatenation(left, right),
            B::PGRegexMatch => self.regex(left, right, "regex_matches", false),
            B::PGRegexIMatch => self.regex(left, right, "regex_imatches", false),
            B::PGRegexNotMatch => self.regex(left, right, "regex_matches", true),
            B::PGRegexNotIMatch => self.regex(left, right, "regex_imatches", true),
            B::PGLikeMatch => self.like_of(left, right, None, false, false),
            B::PGNotLikeMatch => self.like_of(left, right, None, true, false),
            B::PGILikeMatch => self.like_of(left, right, None, false, true),
            B::PGNotILikeMatch => self.like_of(left, right, None, true, true),
            B::PGStartsWith => self.call("starts_with", vec![left, right]),
            B::PGExp | B::BitwiseXor if left.kind != PgType::Bool => {
                self.call("power", vec![left, right])
            }
            B::BitwiseAnd => self.bits(left, "&", Operator::BitwiseAnd, right),
            B::BitwiseOr => self.bits(left, "|", Operator::BitwiseOr, right),
            B::PGBitwiseXor => self.bits(left, "#", Operator::BitwiseXor, right),
            B::PGBitwiseShiftLeft => self.call("stele_shift_left", vec![left, right]),
            B::PGBitwiseShiftRight => self.call("stele_shift_right", vec![left, right]),
            B::PGOverlap => self.call("stele_overlap", vec![left, right]),
            B::AtArrow => self.contains(left, right),
            B::ArrowAt => self.contains(right, left),
            B::Arrow => self.json("stele_json_get", left, right),
            B::LongArrow => self.json("stele_json_get_text", left, right),
            B::HashArrow => self.json_path("stele_json_path", left, right),
            B::HashLongArrow => self.json_path("stele_json_path_text", left, right),
            B::Question => self.call("stele_json_has", vec![left, right]),
            B::QuestionAnd => self.call("stele_json_has_all", vec![left, right]),
            B::QuestionPipe => self.call("stele_json_has_any", vec![left, right]),
            B::PGCustomBinaryOperator(parts) => self.named_operator(left, parts, right),
            other => Err(missing(&left.kind, &other.to_string(), &right.kind)),
        }
    }

    /// `OPERATOR(pg_catalog.~)`
    fn named_operator(
        &mut self,
        left: Typed,
        parts: &[String],
        right: Typed,
    ) -> Result<Typed, Error> {
        let op = match parts {
            [op] => op.as_str(),
            [schema, op] if schema == "pg_catalog" => op.as_str(),
            _ => return Err(missing(&left.kind, &parts.join("."), &right.kind)),
        };
        let op = match op {
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
            "!~~" => B::PGNotLikeMatch,
            "~~*" => B::PGILikeMatch,
            "!~~*" => B::PGNotILikeMatch,
            "@>" => B::AtArrow,
            "<@" => B::ArrowAt,
            "&&" => B::PGOverlap,
            other => return Err(missing(&left.kind, other, &right.kind)),
        };
        self.binary(left, &op, right)
    }

    fn comparison(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        right: Typed,
    ) -> Result<Typed, Error> {
        let operator = match op {
            B::Eq => Operator::Eq,
            B::NotEq => Operator::NotEq,
            B::Lt => Operator::Lt,
            B::LtEq => Operator::LtEq,
            B::Gt => Operator::Gt,
            _ => Operator::GtEq,
        };
        let equality = matches!(op, B::Eq | B::NotEq);
        let text = op.to_string();
        let (left, right) = self.comparable(left, right, &text)?;
        if left.kind == PgType::Json {
            return Err(missing(&left.kind, &text, &right.kind));
        }
        if left.kind == PgType::Jsonb && !equality {
            return Err(Error::unsupported("the order of jsonb values", "Compare a field of it."));
        }
        if matches!(left.kind, PgType::Record(_)) {
            return Err(Error::unsupported(
                "a comparison of whole rows",
                "Compare (a, b) with (c, d), written out.",
            ));
        }
        let expr = BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr));
        Ok(Typed::new(Expr::BinaryExpr(expr), PgType::Bool))
    }

    /// Both operands in the type they are compared in.
    pub(crate) fn comparable(
        &mut self,
        left: Typed,
        right: Typed,
        op: &str,
    ) -> Result<(Typed, Typed), Error> {
        use PgType as T;
        let kind = match (&left.kind, &right.kind) {
            (T::Unknown, T::Unknown) => T::Text,
            (T::Unknown, other) | (other, T::Unknown) => match other {
                T::Varchar(_) => T::Text,
                other => other.bare(),
            },
            (T::Numeric(a), T::Numeric(b)) => {
                return self.comparable_numerics(left.clone(), right.clone(), *a, *b);
            }
            (a, b) if a == b => a.clone(),
            (a, b) if a.is_number() && b.is_number() => match tower(a, b) {
                T::Numeric(_) => {
                    let (a, b) = (shape(a), shape(b));
                    return self.comparable_numerics(left, right, a, b);
                }
                other => other,
            },
            (T::Bpchar(_), T::Bpchar(_)) => T::Bpchar(None),
            (a, b) if a.is_text() && b.is_text() => T::Text,
            (T::Char, b) | (b, T::Char) if b.is_text() => T::Text,
            (T::Oid | T::Reg(_) | T::Xid, b) | (b, T::Oid | T::Reg(_) | T::Xid)
                if b.is_integer() =>
            {
                T::Int8
            }
            (T::Oid | T::Reg(_), T::Oid | T::Reg(_)) => T::Oid,
            (T::Reg(reg), b) | (b, T::Reg(reg)) if b.is_text() => T::Reg(*reg),
            (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => T::Timestamp,
            (T::Date | T::Timestamp, T::Timestamptz) | (T::Timestamptz, T::Date | T::Timestamp) => {
                T::Timestamptz
            }
            (T::Time, T::Interval) | (T::Interval, T::Time) => T::Interval,
            (
                T::Array(_) | T::Int2Vector | T::OidVector,
                T::Array(_) | T::Int2Vector | T::OidVector,
            ) => {
                let kinds = [as_array(&left.kind), as_array(&right.kind)];
                self.common_type(&kinds, "ARRAY")
                    .map_err(|_| missing(&left.kind, op, &right.kind))?
            }
            (T::Record(_), T::Record(_)) => left.kind.clone(),
            _ => return Err(missing(&left.kind, op, &right.kind)),
        };
        let left = self.cast(left, &kind, Allowed::Explicit)?;
        let right = self.cast(right, &kind, Allowed::Explicit)?;
        match (&left.kind, &right.kind) {
            (T::Numeric(a), T::Numeric(b)) if a != b => {
                let (a, b) = (*a, *b);
                self.comparable_numerics(left, right, a, b)
            }
            (T::Interval, _) => Ok((interval_key(left), interval_key(right))),
            (T::Float4 | T::Float8, _) => Ok((float_key(left), float_key(right))),
            (T::Numeric(n), _) if n.is_free() => Ok((numeric_key(left)?, numeric_key(right)?)),
            _ => Ok((left, right)),
        }
    }

    /// Numerics of different scales, exactly: by 256 bits where 38 digits don't hold both.
    fn comparable_numerics(
        &mut self,
        left: Typed,
        right: Typed,
        a: Numeric,
        b: Numeric,
    ) -> Result<(Typed, Typed), Error> {
        if a.is_free() || b.is_free() {
            return Ok((numeric_key(free(left)?)?, numeric_key(free(right)?)?));
        }
        let scale = a.scale.max(b.scale);
        let integer_digits = a.integer_digits().max(b.integer_digits());
        let common = Numeric::fixed(integer_digits, scale.into());
        if !common.is_free() {
            let kind = PgType::Numeric(common);
            return Ok((
                self.cast(left, &kind, Allowed::Explicit)?,
                self.cast(right, &kind, Allowed::Explicit)?,
            ));
        }
        let wide = arrow::datatypes::DataType::Decimal256(76, i8::try_from(scale).unwrap_or(0));
        let left = self.cast(left, &PgType::Numeric(a), Allowed::Explicit)?;
        let right = self.cast(right, &PgType::Numeric(b), Allowed::Explicit)?;
        let widened = |value: Typed| {
            let expr = datafusion::logical_expr::cast(value.expr, wide.clone());
            Typed::new(expr, value.kind)
        };
        Ok((widened(left), widened(right)))
    }

    fn arithmetic(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        right: Typed,
    ) -> Result<Typed, Error> {
        use PgType as T;
        let (left, right) = self.arithmetic_operands(left, op, right)?;
        if left.kind.is_number() && right.kind.is_number() {
            return self.number_arithmetic(left, op, right);
        }
        if left.kind == T::Jsonb && *op == B::Minus {
            return self.call("stele_json_minus", vec![left, right]);
        }
        let name = match op {
            B::Plus => "stele_plus",
            B::Minus => "stele_minus",
            B::Multiply => "stele_times",
            B::Divide => "stele_over",
            _ => return Err(missing(&left.kind, &op.to_string(), &right.kind)),
        };
        let kinds = (left.kind.clone(), right.kind.clone());
        self.call(name, vec![left, right]).map_err(|error| match error.sqlstate().as_str() {
            "42883" | "42725" => missing(&kinds.0, &op.to_string(), &kinds.1),
            _ => error,
        })
    }

    /// An unknown operand takes the other's type, or what fits beside a date.
    fn arithmetic_operands(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        right: Typed,
    ) -> Result<(Typed, Typed), Error> {
        use PgType as T;
        let partner = |known: &PgType, op: &ast::BinaryOperator| match (known, op) {
            (T::Date, B::Plus) => T::Int4,
            (T::Date, _) => T::Date,
            (T::Timestamp | T::Timestamptz | T::Time, B::Plus) => T::Interval,
            (T::Interval, B::Multiply | B::Divide) => T::Float8,
            (T::Jsonb, _) => T::Text,
            (other, _) => other.bare(),
        };
        match (&left.kind, &right.kind) {
            (T::Unknown, T::Unknown) => Err(Error::new(
                "42725",
                format!("operator is not unique: unknown {op} unknown"),
            )
            .with_hint("Could not choose a best candidate operator. You might need to add explicit type casts.")),
            (T::Unknown, known) => {
                let kind = match known {
                    T::Interval if matches!(op, B::Plus) => T::Interval,
                    known => partner(known, op),
                };
                Ok((self.cast(left, &kind, Allowed::Implicit)?, right))
            }
            (known, T::Unknown) => {
                let kind = partner(known, op);
                let right = self.cast(right, &kind, Allowed::Implicit)?;
                Ok((left, right))
            }
            _ => Ok((left, right)),
        }
    }

    fn number_arithmetic(
        &mut self,
        left: Typed,
        op: &ast::BinaryOperator,
        right: Typed,
    ) -> Result<Typed, Error> {
        let kind = tower(&left.kind, &right.kind);
        if let PgType::Numeric(_) = kind {
            let (a, b) = (shape(&left.kind), shape(&right.kind));
            let constant =
                matches!((&left.expr, &right.expr), (Expr::Literal(..), Expr::Literal(..)));
            let result = result_shape(op, &a, &b, constant);
            if result.is_free() {
                let kinds = vec![left.kind, right.kind];
                let result = PgType::Numeric(result);
                let expr = crate::functions::free::operator(op).call(
                    vec![left.expr, right.expr],
                    kinds,
                    result.clone(),
                );
                return Ok(Typed::new(expr, result));
            }
            let left = self.cast(left, &PgType::Numeric(a), Allowed::Implicit)?;
            let right = self.cast(right, &PgType::Numeric(b), Allowed::Implicit)?;
            let result = PgType::Numeric(result);
            let kinds = vec![left.kind, right.kind];
            let expr =
                operators::numeric(op).call(vec![left.expr, right.expr], kinds, result.clone());
            return Ok(Typed::new(expr, result));
        }
        if matches!(kind, PgType::Float4 | PgType::Float8) && *op == B::Modulo {
            return Err(missing(&left.kind, "%", &right.kind));
        }
        let left = self.cast(left, &kind, Allowed::Implicit)?;
        let right = self.cast(right, &kind, Allowed::Implicit)?;
        let kinds = vec![kind.clone(), kind.clone()];
        let expr = operators::plain(op).call(vec![left.expr, right.expr], kinds, kind.clone());
        Ok(Typed::new(expr, kind))
    }

    /// A division of numerics, as `/` does it: averages use it too.
    pub(crate) fn quotient(&mut self, left: Typed, right: Typed) -> Result<Typed, Error> {
        self.number_arithmetic(left, &B::Divide, right)
    }

    pub(crate) fn prefix(&mut self, op: &str, value: Typed) -> Result<Typed, Error> {
        let value = match (&value.kind, op) {
            (PgType::Unknown, "+" | "-" | "@" | "|/" | "||/") => {
                self.cast(value, &PgType::Float8, Allowed::Implicit)?
            }
            _ => value,
        };
        let none = Error::new("42883", format!("operator does not exist: {op} {}", value.kind));
        match (op, &value.kind) {
            ("+", kind) if kind.is_number() => Ok(value),
            ("-", PgType::Interval) => self.call("stele_negate", vec![value]),
            ("-", kind) if kind.is_number() => {
                let kind = match kind {
                    PgType::Numeric(n) if n.digits == Digits::Declared => kind.without_modifier(),
                    kind => kind.clone(),
                };
                let expr =
                    operators::negate().call(vec![value.expr], vec![kind.clone()], kind.clone());
                Ok(Typed::new(expr, kind))
            }
            ("@", kind) if kind.is_number() => self.call("abs", vec![value]),
            ("~", kind) if kind.is_integer() => {
                let all = self.cast(
                    Typed::new(literal((-1_i32).into()), PgType::Int4),
                    &value.kind.clone(),
                    Allowed::Assignment,
                )?;
                self.bits(value, "#", Operator::BitwiseXor, all)
            }
            ("|/", kind) if kind.is_number() => self.call("sqrt", vec![value]),
            ("||/", kind) if kind.is_number() => self.call("cbrt", vec![value]),
            _ => Err(none),
        }
    }

    fn bits(
        &mut self,
        left: Typed,
        op: &str,
        operator: Operator,
        right: Typed,
    ) -> Result<Typed, Error> {
        let (left, right) = match (&left.kind, &right.kind) {
            (PgType::Unknown, known) if known.is_integer() => {
                let kind = known.clone();
                (self.cast(left, &kind, Allowed::Implicit)?, right)
            }
            (known, PgType::Unknown) if known.is_integer() => {
                let kind = known.clone();
                let right = self.cast(right, &kind, Allowed::Implicit)?;
                (left, right)
            }
            _ => (left, right),
        };
        if !left.kind.is_integer() || !right.kind.is_integer() {
            return Err(missing(&left.kind, op, &right.kind));
        }
        let kind = tower(&left.kind, &right.kind);
        let left = self.cast(left, &kind, Allowed::Implicit)?;
        let right = self.cast(right, &kind, Allowed::Implicit)?;
        let expr = BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr));
        Ok(Typed::new(Expr::BinaryExpr(expr), kind))
    }

    fn regex(
        &mut self,
        left: Typed,
        right: Typed,
        name: &str,
        negated: bool,
    ) -> Result<Typed, Error> {
        let textual =
            |kind: &PgType| kind.is_text() || matches!(kind, PgType::Unknown | PgType::Char);
        if !textual(&left.kind) || !textual(&right.kind) {
            return Err(missing(&left.kind, if negated { "!~" } else { "~" }, &right.kind));
        }
        let left = self.padded(left)?;
        let left = self.cast(left, &PgType::Text, Allowed::Implicit)?;
        let right = self.cast(right, &PgType::Text, Allowed::Implicit)?;
        let matched = self.call(name, vec![left, right])?;
        let expr = if negated { Expr::Not(Box::new(matched.expr)) } else { matched.expr };
        Ok(Typed::new(expr, PgType::Bool))
    }

    fn concatenation(&mut self, left: Typed, right: Typed) -> Result<Typed, Error> {
        use PgType as T;
        match (&left.kind, &right.kind) {
            (T::Array(_), T::Array(_)) => self.call("array_cat", vec![left, right]),
            (T::Array(_), T::Unknown) => {
                let kind = left.kind.clone();
                let right = self.cast(right, &kind, Allowed::Implicit)?;
                self.call("array_cat", vec![left, right])
            }
            (T::Unknown, T::Array(_)) => {
                let kind = right.kind.clone();
                let left = self.cast(left, &kind, Allowed::Implicit)?;
                self.call("array_cat", vec![left, right])
            }
            (T::Array(_), _) => self.call("array_append", vec![left, right]),
            (_, T::Array(_)) => self.call("array_prepend", vec![left, right]),
            (T::Jsonb, T::Jsonb | T::Unknown) | (T::Unknown, T::Jsonb) => {
                let left = self.cast(left, &T::Jsonb, Allowed::Implicit)?;
                let right = self.cast(right, &T::Jsonb, Allowed::Implicit)?;
                self.call("stele_json_concat", vec![left, right])
            }
            (T::Bytea, T::Bytea | T::Unknown) | (T::Unknown, T::Bytea) => {
                let left = self.cast(left, &T::Bytea, Allowed::Implicit)?;
                let right = self.cast(right, &T::Bytea, Allowed::Implicit)?;
                self.call("stele_bytea_concat", vec![left, right])
            }
            (a, b) => {
                let textual =
                    |kind: &PgType| kind.is_text() || *kind == T::Unknown || *kind == T::Char;
                if !textual(a) && !textual(b) {
                    return Err(missing(a, "||", b));
                }
                let left = self.cast(left, &T::Text, Allowed::Explicit)?;
                let right = self.cast(right, &T::Text, Allowed::Explicit)?;
                let expr = BinaryExpr::new(
                    Box::new(left.expr),
                    Operator::StringConcat,
                    Box::new(right.expr),
                );
                Ok(Typed::new(Expr::BinaryExpr(expr), T::Text))
            }
        }
    }

    fn contains(&mut self, outer: Typed, inner: Typed) -> Result<Typed, Error> {
        let kind = match (&outer.kind, &inner.kind) {
            (PgType::Unknown, known) | (known, _) => known.clone(),
        };
        let outer = self.cast(outer, &kind, Allowed::Implicit)?;
        let inner = self.cast(inner, &kind, Allowed::Implicit)?;
        let name =
            if kind == PgType::Jsonb { "stele_json_contains" } else { "stele_array_contains" };
        self.call(name, vec![outer, inner])
    }

    fn json(&mut self, name: &str, left: Typed, right: Typed) -> Result<Typed, Error> {
        let right = match right.kind {
            PgType::Unknown => self.cast(right, &PgType::Text, Allowed::Implicit)?,
            _ => right,
        };
        self.call(name, vec![left, right])
    }

    fn json_path(&mut self, name: &str, left: Typed, right: Typed) -> Result<Typed, Error> {
        let path = PgType::Array(Box::new(PgType::Text));
        let right = self.cast(right, &path, Allowed::Implicit)?;
        self.call(name, vec![left, right])
    }
}

fn as_array(kind: &PgType) -> PgType {
    match kind.element() {
        Some(element) => PgType::Array(Box::new(element)),
        None => kind.clone(),
    }
}

/// Intervals are equal when their lengths are, a month being 30 days.
fn interval_key(value: Typed) -> Typed {
    let kind = PgType::Numeric(Numeric { precision: 38, scale: 0, digits: Digits::Fixed });
    let expr =
        operators::interval_key().call(vec![value.expr], vec![PgType::Interval], kind.clone());
    Typed::new(expr, kind)
}

/// -0 equals 0: Arrow alone would tell them apart.
pub(crate) fn float_key(value: Typed) -> Typed {
    if let Expr::Literal(..) = value.expr {
        return value;
    }
    let kind = value.kind.clone();
    let expr = operators::float_key().call(vec![value.expr], vec![kind.clone()], kind.clone());
    Typed { expr, kind, origin: value.origin }
}

/// A numeric or integer with its scale in the value.
pub(crate) fn free(value: Typed) -> Result<Typed, Error> {
    let kind = PgType::Numeric(Numeric::FREE);
    if value.kind == kind {
        return Ok(value);
    }
    if let Expr::Literal(scalar, _) = &value.expr {
        let datum = Datum::Numeric(datum_at(scalar.to_array()?.as_ref(), 0)?.numeric());
        let datum = if scalar.is_null() { Datum::Null } else { datum };
        return Ok(Typed::new(literal(scalar_of(&kind, datum)?), kind));
    }
    let function = crate::functions::free::free();
    Ok(Typed::new(function.call(vec![value.expr], vec![value.kind], kind.clone()), kind))
}

/// A free numeric such that equal numbers are equal bytes: what is compared, grouped, joined and sorted.
pub(crate) fn numeric_key(value: Typed) -> Result<Typed, Error> {
    let kind = PgType::Numeric(Numeric::FREE);
    if let Expr::Literal(scalar, _) = &value.expr {
        if scalar.is_null() {
            return Ok(value);
        }
        let number = datum_at(scalar.to_array()?.as_ref(), 0)?.numeric().normalized();
        return Ok(Typed::new(literal(scalar_of(&kind, Datum::Numeric(number))?), kind));
    }
    let function = crate::functions::free::key();
    Ok(Typed::new(function.call(vec![value.expr], vec![kind.clone()], kind.clone()), kind))
}

/// A free numeric's key as text of the same order.
pub(crate) fn rank(number: Expr) -> Expr {
    let kinds = vec![PgType::Numeric(Numeric::FREE)];
    crate::functions::free::rank().call(vec![number], kinds, PgType::Text)
}

/// The number that an expression is the key of.
pub(crate) fn under_key(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == crate::functions::free::KEY_NAME => {
            call.args.first()
        }
        _ => None,
    }
}

/// The type in which two numbers meet.
fn tower(a: &PgType, b: &PgType) -> PgType {
    use PgType as T;
    match (a, b) {
        (T::Float4, T::Float4) => T::Float4,
        (T::Float4 | T::Float8, _) | (_, T::Float4 | T::Float8) => T::Float8,
        (T::Numeric(n), _) | (_, T::Numeric(n)) => T::Numeric(*n),
        (T::Int8, _) | (_, T::Int8) => T::Int8,
        (T::Int4, _) | (_, T::Int4) => T::Int4,
        _ => T::Int2,
    }
}

pub(crate) fn shape(kind: &PgType) -> Numeric {
    numeric_shape(kind).unwrap_or(Numeric::FREE)
}

/// The shape of `a op b`: PostgreSQL's scale, where it doesn't depend on the values.
fn result_shape(op: &ast::BinaryOperator, a: &Numeric, b: &Numeric, constant: bool) -> Numeric {
    // Of constants there is one result, which needn't be fast.
    let computed = |integer_digits, scale| match constant {
        true => Numeric::fixed(integer_digits, scale),
        false => Numeric::computed(integer_digits, scale, [a, b]),
    };
    if a.is_free() || b.is_free() || *op == B::Divide {
        return Numeric::FREE;
    }
    let (ia, ib) = (a.integer_digits(), b.integer_digits());
    let (sa, sb) = (u32::from(a.scale), u32::from(b.scale));
    match op {
        B::Multiply => computed(ia + ib, sa + sb),
        B::Modulo => Numeric::fixed(ia.max(ib), sa.max(sb)),
        _ => computed(ia.max(ib) + 1, sa.max(sb)),
    }
}
