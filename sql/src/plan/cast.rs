//! Casts: which are allowed where, and what they become.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast as arrow_cast};

use super::{Binder, Typed};
use crate::Error;
use crate::functions::cast::{self as runtime, How};
use crate::functions::{datum_at, scalar_of};
use crate::types::{Category, Digits, Numeric, PgType};

/// Where a cast is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// Without being written: between operands, for a function's arguments.
    Implicit,
    /// Into a column.
    Assignment,
    /// `CAST`, `::`
    Explicit,
}

impl Binder<'_> {
    /// The expression as `target`.
    ///
    /// # Errors
    /// 42846 when there is no such cast, 42804 when it must be written; 22xxx for a literal that doesn't
    /// read as the type.
    pub(crate) fn cast(
        &mut self,
        value: Typed,
        target: &PgType,
        allowed: Allowed,
    ) -> Result<Typed, Error> {
        if value.kind == *target {
            return Ok(value);
        }
        if value.kind == PgType::Unknown {
            return self.settle_unknown(value, target, allowed);
        }
        if *target == PgType::Unknown {
            return Ok(value);
        }
        // `::numeric` keeps the scale that there is, and what is known of it.
        if *target == PgType::Numeric(Numeric::FREE)
            && let Some(shape) = numeric_shape(&value.kind)
        {
            if allowed == Allowed::Explicit && !shape.is_free() {
                let shape = PgType::Numeric(Numeric { digits: Digits::Fixed, ..shape });
                return self.cast(value, &shape, Allowed::Assignment);
            }
            return super::operator::free(value);
        }
        if *target == PgType::Bytea && matches!(value.kind, PgType::Bpchar(_)) {
            let value = self.padded(value)?;
            return self.cast(value, target, allowed);
        }
        let needed = needed(&value.kind, target);
        if needed.is_none_or(|needed| needed > allowed) {
            return Err(refused(&value.kind, target, needed));
        }
        if let Some(literal) = self.folded(&value, target, allowed)? {
            return Ok(Typed::new(literal, target.clone()));
        }
        let expr = self.convert(value.expr, &value.kind, target, allowed);
        Ok(Typed::new(expr, target.clone()))
    }

    /// A `character(n)` as a text of all its n characters: the blanks at its end aren't kept, and mean nothing but to
    /// patterns, and to what takes values as they are shown.
    pub(crate) fn padded(&mut self, value: Typed) -> Result<Typed, Error> {
        let n = match value.kind {
            PgType::Bpchar(Some(n)) => n,
            PgType::Bpchar(None) => return self.cast(value, &PgType::Text, Allowed::Implicit),
            _ => return Ok(value),
        };
        let text = self.cast(value, &PgType::Text, Allowed::Implicit)?;
        let n = ScalarValue::from(i32::try_from(n).unwrap_or(i32::MAX));
        let n = Typed::new(Expr::Literal(n, None), PgType::Int4);
        self.call("rpad", vec![text, n])
    }

    /// A number's literal is cast at once: bounds and frames must be plain numbers.
    fn folded(
        &self,
        value: &Typed,
        target: &PgType,
        allowed: Allowed,
    ) -> Result<Option<Expr>, Error> {
        let Expr::Literal(scalar, _) = &value.expr else { return Ok(None) };
        if !value.kind.is_number() || !target.is_number() {
            return Ok(None);
        }
        let how = if allowed == Allowed::Explicit { How::Explicit } else { How::Assignment };
        let datum = datum_at(scalar.to_array()?.as_ref(), 0)?;
        let datum = runtime::convert(self.context, datum, &value.kind, target, how)?;
        Ok(Some(Expr::Literal(scalar_of(target, datum)?, None)))
    }

    /// A literal, NULL or parameter gets its type.
    fn settle_unknown(
        &mut self,
        value: Typed,
        target: &PgType,
        allowed: Allowed,
    ) -> Result<Typed, Error> {
        let explicit = allowed == Allowed::Explicit;
        // Only a modifier rounds what is given: the scale that an expression happens to have doesn't.
        let own = match target {
            PgType::Numeric(n) => n.digits != Digits::Fixed,
            PgType::Array(element) => {
                !matches!(element.as_ref(), PgType::Numeric(n) if n.digits == Digits::Fixed)
            }
            _ => true,
        };
        let bare = target.bare();
        let target = if own { target } else { &bare };
        if let Some(text) = value.unknown_literal() {
            let Some(text) = text else { return Typed::null(target.clone()) };
            if let PgType::Record(_) = target {
                return Err(refused(&PgType::Unknown, target, None));
            }
            let datum = runtime::parse(self.context, text, target, explicit)?;
            let target = natural(target, &datum);
            let literal = Expr::Literal(scalar_of(&target, datum)?, None);
            return Ok(Typed::new(literal, target));
        }
        if let Expr::Placeholder(placeholder) = &value.expr
            && let Some(settled) = self.settle(&placeholder.id.clone(), target)
        {
            return self.cast(settled, target, allowed);
        }
        // A column of an inner query that stayed unknown: it is text.
        let text = Typed { kind: PgType::Text, ..value };
        self.cast(text, target, Allowed::Explicit)
    }

    /// What stayed without a type is text.
    pub(crate) fn settled(&mut self, value: Typed) -> Result<Typed, Error> {
        match value.kind {
            PgType::Unknown => self.cast(value, &PgType::Text, Allowed::Implicit),
            _ => Ok(value),
        }
    }

    fn convert(&self, expr: Expr, from: &PgType, to: &PgType, allowed: Allowed) -> Expr {
        use PgType as T;
        let plain = |expr: Expr| arrow_cast(expr, to.arrow());
        match (from, to) {
            // The same bytes.
            (
                T::Varchar(_)
                | T::Bpchar(_)
                | T::Name
                | T::NodeTree
                | T::AclItem
                | T::Json
                | T::Jsonb
                | T::Text,
                T::Text | T::Varchar(None) | T::Bpchar(None),
            ) if !needs_trim(from, to) => expr,
            (T::Oid | T::Reg(_) | T::Xid, T::Oid | T::Reg(_) | T::Xid) => expr,
            (T::Int2Vector, T::Array(e)) if **e == T::Int2 => expr,
            (T::OidVector, T::Array(e)) if **e == T::Oid => expr,
            (T::Array(a), T::Array(b)) if a.arrow() == b.arrow() && same_bytes(a, b) => expr,
            // Arrow's own, where nothing can go wrong.
            (T::Int2, T::Int4 | T::Int8 | T::Float4 | T::Float8)
            | (T::Int4, T::Int8 | T::Float8)
            | (T::Float4, T::Float8)
            | (T::Oid | T::Reg(_) | T::Xid, T::Int8)
            | (T::Date, T::Timestamp) => plain(expr),
            (T::Int4, T::Float4) | (T::Int8, T::Float4 | T::Float8) => plain(expr),
            (T::Int2 | T::Int4 | T::Int8, T::Numeric(n))
                if n.digits == Digits::Fixed && holds(n, from) =>
            {
                plain(expr)
            }
            (T::Numeric(a), T::Numeric(b)) if widens(a, b) => plain(expr),
            _ => {
                let how = match allowed {
                    Allowed::Explicit => How::Explicit,
                    _ => How::Assignment,
                };
                let expr = runtime::call(expr, from, to, how);
                match expr {
                    Expr::ScalarFunction(_) => expr,
                    other => other,
                }
            }
        }
    }

    /// The one type that all of these can have: UNION, CASE, VALUES, ARRAY, COALESCE.
    ///
    /// # Errors
    /// 42804 when there is none.
    pub(crate) fn common_type(&self, kinds: &[PgType], what: &str) -> Result<PgType, Error> {
        let mut known = kinds.iter().filter(|kind| **kind != PgType::Unknown);
        let Some(first) = known.next() else { return Ok(PgType::Text) };
        let mut result = first.clone();
        let mut same = true;
        for kind in known {
            if *kind == result {
                continue;
            }
            if let (PgType::Numeric(a), PgType::Numeric(b)) = (&result, kind) {
                result = PgType::Numeric(a.common(b));
                continue;
            }
            same = false;
            if let Some(joined) = joined_array(&result, kind) {
                result = joined;
                continue;
            }
            let mismatch = || {
                Error::new("42804", format!("{what} types {result} and {kind} cannot be matched"))
            };
            if result.category() != kind.category() {
                return Err(mismatch());
            }
            if !result.is_preferred() && needed(&result, kind) == Some(Allowed::Implicit) {
                result = wider(kind, &result);
            } else if needed(kind, &result) == Some(Allowed::Implicit) {
                result = wider(&result, kind);
            } else if needed(&result, kind) == Some(Allowed::Implicit) {
                result = wider(kind, &result);
            } else {
                return Err(mismatch());
            }
        }
        Ok(if same { result } else { result.without_modifier() })
    }

    /// All of them cast to their common type.
    pub(crate) fn unify(
        &mut self,
        values: Vec<Typed>,
        what: &str,
    ) -> Result<(Vec<Typed>, PgType), Error> {
        let kinds: Vec<PgType> = values.iter().map(|value| value.kind.clone()).collect();
        let mut kind = self.common_type(&kinds, what)?;
        if kinds.contains(&PgType::Unknown) && !matches!(kind, PgType::Numeric(_)) {
            kind = kind.without_modifier();
        }
        let bare = kind.bare();
        let values = values
            .into_iter()
            .map(|value| {
                // A modifier that the others have doesn't round a literal or parameter.
                let known = value.kind != PgType::Unknown || !matches!(kind, PgType::Numeric(_));
                self.cast(value, if known { &kind } else { &bare }, Allowed::Implicit)
            })
            .collect::<Result<Vec<_>, _>>()?;
        // Literals may have another scale.
        let mut joined = kind;
        for value in &values {
            if let (PgType::Numeric(a), PgType::Numeric(b)) = (&joined, &value.kind) {
                joined = PgType::Numeric(a.common(b));
            }
        }
        let values = values
            .into_iter()
            .map(|value| self.cast(value, &joined, Allowed::Implicit))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((values, joined))
    }
}

/// A numeric's shape that holds the other type too.
pub(crate) fn wider(target: &PgType, source: &PgType) -> PgType {
    match (target, numeric_shape(source)) {
        (PgType::Numeric(a), Some(b)) => PgType::Numeric(a.common(&b)),
        _ => target.clone(),
    }
}

/// The numeric shape that holds every value of an integer or numeric type.
pub(crate) fn numeric_shape(kind: &PgType) -> Option<Numeric> {
    let precision = match kind {
        PgType::Int2 => 5,
        PgType::Int4 => 10,
        PgType::Int8 => 19,
        PgType::Numeric(n) => return Some(*n),
        _ => return None,
    };
    Some(Numeric { precision, scale: 0, digits: Digits::Fixed })
}

fn joined_array(a: &PgType, b: &PgType) -> Option<PgType> {
    let (PgType::Array(a), PgType::Array(b)) = (a, b) else { return None };
    match (a.as_ref(), b.as_ref()) {
        (PgType::Numeric(a), PgType::Numeric(b)) => {
            Some(PgType::Array(Box::new(PgType::Numeric(a.common(b)))))
        }
        (a, b) if a.same_base(b) => Some(PgType::Array(Box::new(a.without_modifier()))),
        _ => None,
    }
}

/// A numeric literal read from text has the scale it was written with.
fn natural(target: &PgType, datum: &crate::functions::Datum) -> PgType {
    match (target, datum) {
        (PgType::Numeric(n), crate::functions::Datum::Numeric(d))
            if n.digits != Digits::Declared =>
        {
            let integer = u32::try_from(d.integer_digits()).unwrap_or(u32::MAX / 2);
            PgType::Numeric(Numeric::fixed(integer, d.scale().into()))
        }
        _ => target.clone(),
    }
}

fn holds(n: &Numeric, integer: &PgType) -> bool {
    numeric_shape(integer).is_some_and(|shape| n.integer_digits() >= shape.integer_digits())
}

fn widens(a: &Numeric, b: &Numeric) -> bool {
    !a.is_free() && !b.is_free() && b.scale >= a.scale && b.integer_digits() >= a.integer_digits()
}

fn needs_trim(from: &PgType, to: &PgType) -> bool {
    matches!(to, PgType::Bpchar(_)) && !matches!(from, PgType::Bpchar(_))
}

fn same_bytes(a: &PgType, b: &PgType) -> bool {
    a == b
        || matches!(
            (a, b),
            (
                PgType::Text | PgType::Varchar(_) | PgType::Name | PgType::Bpchar(_),
                PgType::Text | PgType::Varchar(None)
            )
        )
}

fn refused(from: &PgType, to: &PgType, needed: Option<Allowed>) -> Error {
    match needed {
        Some(_) => Error::new("42804", format!("type {from} is not {to} without a cast"))
            .with_hint("You will need to rewrite or cast the expression."),
        None => Error::new("42846", format!("cannot cast type {from} to {to}")),
    }
}

/// What must be written for a cast from one type to another; `None`: there is no such cast.
pub(crate) fn needed(from: &PgType, to: &PgType) -> Option<Allowed> {
    use Allowed::{Assignment, Explicit, Implicit};
    use PgType as T;
    if from.same_base(to) && !matches!(from, T::Array(_)) {
        return Some(Implicit);
    }
    Some(match (from, to) {
        (T::Array(a), T::Array(b)) => return needed(a, b),
        (T::Int2, T::Int4 | T::Int8 | T::Numeric(_) | T::Float4 | T::Float8)
        | (T::Int4, T::Int8 | T::Numeric(_) | T::Float4 | T::Float8)
        | (T::Int8, T::Numeric(_) | T::Float4 | T::Float8)
        | (T::Numeric(_), T::Float4 | T::Float8)
        | (T::Float4, T::Float8) => Implicit,
        (a, b) if a.is_number() && b.is_number() => Assignment,
        (T::Int2 | T::Int4 | T::Int8, T::Oid | T::Reg(_))
        | (T::Reg(_), T::Oid)
        | (T::Oid, T::Reg(_))
        | (T::Text | T::Varchar(_), T::Reg(crate::types::Reg::Class)) => Implicit,
        (T::Oid | T::Reg(_), T::Int4 | T::Int8) => Assignment,
        (T::Int4, T::Bool | T::Char) | (T::Bool | T::Char, T::Int4) => Explicit,
        (T::Date, T::Timestamp | T::Timestamptz)
        | (T::Timestamp, T::Timestamptz)
        | (T::Time, T::Interval) => Implicit,
        (T::Timestamp, T::Date | T::Time)
        | (T::Timestamptz, T::Date | T::Time | T::Timestamp)
        | (T::Interval, T::Time)
        | (T::Json, T::Jsonb)
        | (T::Jsonb, T::Json) => Assignment,
        (T::Jsonb, b) if b.is_number() || *b == T::Bool => Explicit,
        (T::Int2Vector, T::Array(e)) if **e == T::Int2 => Implicit,
        (T::OidVector, T::Array(e)) if **e == T::Oid => Implicit,
        (a, b) if a.is_text() && b.is_text() => Implicit,
        (T::Char | T::NodeTree, b) if b.is_text() => Implicit,
        (a, T::Char) if a.is_text() => Assignment,
        (T::Record(_) | T::Void, _) | (_, T::Record(_) | T::Void) => return None,
        (_, b) if b.is_text() => Assignment,
        (a, b) if a.is_text() && b.category() != Category::Pseudo => Explicit,
        _ => return None,
    })
}

/// A literal of this scalar.
pub(crate) fn literal(value: ScalarValue) -> Expr {
    Expr::Literal(value, None)
}
