//! Expressions, from the parser's tree to ours.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator as B, CaseWhen, Expr as Ast, FunctionArg, FunctionArgExpr,
    FunctionArguments, Subscript, TrimWhereField, Value,
};

use super::bind::{Binder, fold};
use super::operators::{comparison, integer, plain, test};
use super::schema_and_name;
use super::tree::{Comparison, Expr, Test, Typed};
use crate::Error;
use crate::catalog::functions::lower_bound;
use crate::functions::Datum;
use crate::types::{PgType, type_of_ast};

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(
        format!("{what} in a query of the catalogs"),
        "docs/sql.md lists what such queries can do.",
    )
}

fn not(expr: Expr, negated: bool) -> Typed {
    Typed::bool(if negated { Expr::Not(Box::new(expr)) } else { expr })
}

impl Binder<'_> {
    pub(super) fn expr(&mut self, expr: &Ast) -> Result<Typed, Error> {
        match expr {
            Ast::Identifier(ident) => self.column(&[fold(ident)]).or_else(|error| {
                // Functions that SQL writes without parentheses come as names.
                let name = fold(ident);
                let plain = ident.quote_style.is_none() && is_bare_function(&name);
                if plain { self.scalar_call(None, &name, Vec::new()) } else { Err(error) }
            }),
            Ast::CompoundIdentifier(parts) => self.compound(parts),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Value(value) => self.literal(&value.value),
            Ast::TypedString(typed) => {
                let value = self.literal(&typed.value.value)?;
                self.explicit(value, &type_of_ast(&typed.data_type)?)
            }
            Ast::Nested(inner) => self.expr(inner),
            Ast::Collate { expr, collation } => {
                self.collation(collation)?;
                self.expr(expr)
            }
            Ast::Cast { expr, data_type, format: None, .. } => {
                let value = self.expr(expr)?;
                self.explicit(value, &type_of_ast(data_type)?)
            }
            Ast::UnaryOp { op, expr } => {
                let value = self.expr(expr)?;
                self.unary(*op, value)
            }
            Ast::BinaryOp { left, op, right } => self.binary_of(left, op, right),
            Ast::Function(function) => self.function(function),
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Array(array) => {
                let items = self.exprs(&array.elem)?;
                if items.is_empty() {
                    return Err(Error::new("42P18", "cannot determine type of empty array"));
                }
                let (items, kind) = self.unify(items)?;
                Ok(Typed::new(Expr::Array(items), PgType::Array(Box::new(kind))))
            }
            Ast::Tuple(items) => self.record(items),
            Ast::Exists { subquery, negated } => {
                let query = self.query(subquery)?;
                Ok(not(Expr::Exists(Box::new(query)), *negated))
            }
            Ast::Subquery(subquery) => {
                let query = self.query(subquery)?;
                let kind = single_column(&query.columns)?;
                Ok(Typed::new(Expr::Scalar(Box::new(query)), kind))
            }
            other => self.condition(other),
        }
    }

    pub(super) fn exprs(&mut self, exprs: &[Ast]) -> Result<Vec<Typed>, Error> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    /// A condition.
    pub(super) fn bool(&mut self, expr: &Ast) -> Result<Expr, Error> {
        let value = self.expr(expr)?;
        if !matches!(value.kind, PgType::Bool | PgType::Unknown) {
            return Err(Error::new(
                "42804",
                format!("argument of WHERE must be type boolean, not type {}", value.kind),
            ));
        }
        self.coerce(value, &PgType::Bool)
    }

    fn condition(&mut self, expr: &Ast) -> Result<Typed, Error> {
        match expr {
            Ast::IsNull(inner) => Ok(not(self.is_null(inner)?, false)),
            Ast::IsNotNull(inner) => Ok(not(self.is_null(inner)?, true)),
            Ast::IsUnknown(inner) => Ok(not(Expr::IsNull(Box::new(self.bool(inner)?)), false)),
            Ast::IsNotUnknown(inner) => Ok(not(Expr::IsNull(Box::new(self.bool(inner)?)), true)),
            Ast::IsTrue(inner) => self.is(inner, true, false),
            Ast::IsNotTrue(inner) => self.is(inner, true, true),
            Ast::IsFalse(inner) => self.is(inner, false, false),
            Ast::IsNotFalse(inner) => self.is(inner, false, true),
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, false),
            Ast::IsNotDistinctFrom(left, right) => self.distinct(left, right, true),
            Ast::Between { expr, negated, low, high } => {
                let value = self.expr(expr)?;
                let low = self.expr(low)?;
                let high = self.expr(high)?;
                let above =
                    self.compare(&B::GtEq, Comparison::GreaterOrEqual, value.clone(), low)?;
                let below = self.compare(&B::LtEq, Comparison::LessOrEqual, value, high)?;
                Ok(not(Expr::And(vec![above, below]), *negated))
            }
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::InSubquery { expr, subquery, negated } => {
                let value = self.expr(expr)?;
                let query = self.query(subquery)?;
                let test = Test::Compare(Comparison::Equal);
                let found = self.quantified_query(&B::Eq, test, false, value, query)?;
                Ok(not(found, *negated))
            }
            Ast::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false)
            }
            Ast::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, true)
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), false, *negated)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), true, *negated)
            }
            Ast::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "btrim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                let mut arguments = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.expr(what)?);
                }
                self.scalar_call(None, name, arguments)
            }
            Ast::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let mut arguments = vec![self.expr(expr)?, self.expr(from)?];
                if let Some(length) = substring_for {
                    arguments.push(self.expr(length)?);
                }
                self.scalar_call(None, "substring", arguments)
            }
            Ast::Position { expr, r#in } => {
                let arguments = vec![self.expr(r#in)?, self.expr(expr)?];
                self.scalar_call(None, "strpos", arguments)
            }
            other => Err(unsupported(format!("the expression {other}"))),
        }
    }

    fn is_null(&mut self, inner: &Ast) -> Result<Expr, Error> {
        let value = self.expr(inner)?;
        let value = self.settled(value)?;
        Ok(Expr::IsNull(Box::new(value.expr)))
    }

    fn is(&mut self, inner: &Ast, wanted: bool, negated: bool) -> Result<Typed, Error> {
        let value = Box::new(self.bool(inner)?);
        let literal = Box::new(Expr::Literal(Datum::Bool(wanted)));
        // IS TRUE never gives NULL: it asks whether the value isn't distinct from true.
        Ok(not(Expr::Distinct(value, literal), !negated))
    }

    fn distinct(&mut self, left: &Ast, right: &Ast, negated: bool) -> Result<Typed, Error> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (left, right) = self.alike(&B::Eq, left, right)?;
        Ok(not(Expr::Distinct(Box::new(left), Box::new(right)), negated))
    }

    fn collation(&self, name: &ast::ObjectName) -> Result<(), Error> {
        // All text is ordered by bytes; these mean just that here.
        match schema_and_name(name) {
            Some((schema, name))
                if schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
                    && matches!(name.as_str(), "default" | "C" | "POSIX") =>
            {
                Ok(())
            }
            _ => Err(Error::unsupported(
                format!("collation {name}"),
                "Text is compared by bytes: use \"C\" or the default.",
            )),
        }
    }

    pub(super) fn literal(&mut self, value: &Value) -> Result<Typed, Error> {
        Ok(match value {
            Value::Number(digits, _) => match digits.parse::<i128>().ok().and_then(integer) {
                Some(literal) => literal,
                None => return Err(unsupported(format!("the number {digits}"))),
            },
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Typed::new(Expr::Literal(Datum::Text(text.clone())), PgType::Unknown)
            }
            Value::DollarQuotedString(text) => {
                Typed::new(Expr::Literal(Datum::Text(text.value.clone())), PgType::Unknown)
            }
            Value::Boolean(value) => Typed::bool(Expr::Literal(Datum::Bool(*value))),
            Value::Null => Typed::new(Expr::Literal(Datum::Null), PgType::Unknown),
            Value::Placeholder(text) => self.parameter(text)?,
            other => return Err(unsupported(format!("the literal {other}"))),
        })
    }

    fn binary_of(&mut self, left: &Ast, op: &B, right: &Ast) -> Result<Typed, Error> {
        // `a OPERATOR(pg_catalog.=) ANY (…)` comes as an ordinary right side in some forms.
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        self.binary(op, left, right)
    }

    /// `a.b`, `a.b.c`: a column, or a field of a column that is a row.
    fn compound(&mut self, parts: &[ast::Ident]) -> Result<Typed, Error> {
        let names: Vec<String> = parts.iter().map(fold).collect();
        match self.column(&names) {
            Ok(found) => Ok(found),
            Err(error) => {
                let Some((field, root)) = names.split_last() else { return Err(error) };
                match self.column(root) {
                    Ok(value) if matches!(value.kind, PgType::Record(_)) => {
                        self.field(value, field).map_err(|_| error)
                    }
                    _ => Err(error),
                }
            }
        }
    }

    fn field(&self, value: Typed, name: &str) -> Result<Typed, Error> {
        let PgType::Record(fields) = &value.kind else {
            return Err(Error::new(
                "42809",
                format!(
                    "column notation .{name} applied to type {}, which is not a composite type",
                    value.kind
                ),
            ));
        };
        match fields.iter().position(|(field, _)| field == name) {
            Some(place) => {
                let kind = fields.get(place).map_or(PgType::Unknown, |field| field.1.clone());
                Ok(Typed::new(Expr::Field(Box::new(value.expr), place), kind))
            }
            None => Err(Error::UndefinedColumn {
                message: format!("column \"{name}\" not found in data type record"),
                position: None,
            }),
        }
    }

    fn access(&mut self, root: &Ast, chain: &[AccessExpr]) -> Result<Typed, Error> {
        // `a.b[1]`: names come first, and belong together.
        let mut names = Vec::new();
        let mut rest = chain;
        let mut value = match root {
            Ast::Identifier(ident) => {
                names.push(ident.clone());
                while let [AccessExpr::Dot(Ast::Identifier(next)), tail @ ..] = rest {
                    names.push(next.clone());
                    rest = tail;
                }
                self.compound(&names)?
            }
            other => self.expr(other)?,
        };
        for access in rest {
            value = match access {
                AccessExpr::Dot(Ast::Identifier(name)) => self.field(value, &fold(name))?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.subscript(value, index)?
                }
                other => return Err(unsupported(format!("the access {other}"))),
            };
        }
        Ok(value)
    }

    fn subscript(&mut self, array: Typed, index: &Ast) -> Result<Typed, Error> {
        let Some(element) = array.kind.element() else {
            return Err(Error::new(
                "42804",
                format!(
                    "cannot subscript type {} because it does not support subscripting",
                    array.kind
                ),
            ));
        };
        let index = self.expr(index)?;
        let index = match index.kind {
            PgType::Int8 => self.explicit(index, &PgType::Int4)?.expr,
            _ => self.coerce(index, &PgType::Int4)?,
        };
        let first = lower_bound(&array.kind);
        Ok(Typed::new(Expr::Item(Box::new(array.expr), first, Box::new(index)), element))
    }

    fn record(&mut self, items: &[Ast]) -> Result<Typed, Error> {
        let mut fields = Vec::new();
        let mut kinds = Vec::new();
        for (item, place) in items.iter().zip(1..) {
            let value = self.expr(item)?;
            kinds.push((format!("f{place}"), value.kind));
            fields.push(value.expr);
        }
        Ok(Typed::new(Expr::Record(fields), PgType::Record(kinds)))
    }

    fn case(
        &mut self,
        operand: Option<&Ast>,
        arms: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Typed, Error> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for arm in arms {
            conditions.push(match &operand {
                Some(operand) => {
                    let value = self.expr(&arm.condition)?;
                    self.compare(&B::Eq, Comparison::Equal, operand.clone(), value)?
                }
                None => self.bool(&arm.condition)?,
            });
            results.push(self.expr(&arm.result)?);
        }
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.push(self.expr(otherwise)?);
        }
        let (mut results, kind) = self.unify(results)?;
        let otherwise = if has_else { results.pop().map(Box::new) } else { None };
        let arms = conditions.into_iter().zip(results).collect();
        Ok(Typed::new(Expr::Case { arms, otherwise }, kind))
    }

    fn in_list(&mut self, value: &Ast, list: &[Ast], negated: bool) -> Result<Typed, Error> {
        let value = self.expr(value)?;
        let list = self.exprs(list)?;
        if let PgType::Record(_) = value.kind {
            let mut any = Vec::new();
            for item in list {
                any.push(self.rows_equal(&value, item)?);
            }
            return Ok(not(Expr::Or(any), negated));
        }
        for item in &list {
            super::operators::comparable(&B::Eq, &value.kind, &item.kind)?;
        }
        let mut all = vec![value];
        all.extend(list);
        let (mut all, _) = self.unify(all)?;
        let list = all.split_off(1);
        let value = all.pop().ok_or_else(|| Error::internal("IN without a value"))?;
        Ok(not(Expr::In(Box::new(value), list), negated))
    }

    /// `(a, b) = (c, d)`
    fn rows_equal(&mut self, left: &Typed, right: Typed) -> Result<Expr, Error> {
        let (Expr::Record(a), PgType::Record(ka), Expr::Record(b), PgType::Record(kb)) =
            (&left.expr, &left.kind, right.expr, right.kind)
        else {
            return Err(unsupported("a comparison of rows"));
        };
        if a.len() != b.len() {
            return Err(Error::new("42601", "unequal number of entries in row expressions"));
        }
        let mut all = Vec::new();
        for (((x, (_, kx)), y), (_, ky)) in a.iter().zip(ka).zip(b).zip(kb) {
            let x = Typed::new(x.clone(), kx.clone());
            all.push(self.compare(&B::Eq, Comparison::Equal, x, Typed::new(y, ky))?);
        }
        Ok(Expr::And(all))
    }

    fn quantified(&mut self, left: &Ast, op: &B, right: &Ast, all: bool) -> Result<Typed, Error> {
        let op = plain(op);
        let test =
            test(&op).ok_or_else(|| unsupported(format!("operator {op} with ANY or ALL")))?;
        let value = self.expr(left)?;
        let mut inner = right;
        while let Ast::Nested(nested) = inner {
            inner = nested;
        }
        if let Ast::Subquery(subquery) = inner {
            let query = self.query(subquery)?;
            return Ok(Typed::bool(self.quantified_query(&op, test, all, value, query)?));
        }
        let array = self.expr(right)?;
        let element = match &array.kind {
            PgType::Unknown => value.kind.clone(),
            kind => kind.element().ok_or_else(|| {
                Error::new("42809", "op ANY/ALL (array) requires array on right side")
            })?,
        };
        let kind = match test {
            Test::Compare(_) => super::operators::comparable(&op, &value.kind, &element)?,
            _ => PgType::Text,
        };
        let value = Box::new(self.coerce(value, &kind)?);
        let array = Box::new(self.coerce(array, &PgType::Array(Box::new(kind)))?);
        Ok(Typed::bool(Expr::Quantified { test, all, value, array }))
    }

    fn quantified_query(
        &mut self,
        op: &B,
        test: Test,
        all: bool,
        value: Typed,
        mut query: super::tree::Query,
    ) -> Result<Expr, Error> {
        if let (PgType::Record(fields), Expr::Record(_)) = (&value.kind, &value.expr) {
            // A row against rows: each field compares as it stands.
            let same = fields.len() == query.columns.len()
                && comparison(op) == Some(Comparison::Equal)
                && fields.iter().zip(&query.columns).all(|((_, a), (_, b))| {
                    a == b || super::bind::implicit(a, b).is_some() && !matches!(a, PgType::Unknown)
                });
            if !same {
                return Err(unsupported("a comparison of rows"));
            }
            return Ok(Expr::QuantifiedQuery {
                test,
                all,
                value: Box::new(value.expr),
                query: Box::new(query),
            });
        }
        let column = single_column(&query.columns)?;
        let kind = match test {
            Test::Compare(_) => super::operators::comparable(op, &value.kind, &column)?,
            _ => PgType::Text,
        };
        query.cast_columns(vec![kind.clone()]);
        let value = Box::new(self.coerce(value, &kind)?);
        Ok(Expr::QuantifiedQuery { test, all, value, query: Box::new(query) })
    }

    fn like(
        &mut self,
        value: &Ast,
        pattern: &Ast,
        escape: Option<&ast::ValueWithSpan>,
        fold: bool,
        negated: bool,
    ) -> Result<Typed, Error> {
        let op = if fold { B::PGILikeMatch } else { B::PGLikeMatch };
        let value = self.expr(value)?;
        let pattern = self.expr(pattern)?;
        let value = Box::new(self.textual(&op, value)?);
        let pattern = Box::new(self.textual(&op, pattern)?);
        let escape = match escape.map(|escape| &escape.value) {
            None => Some('\\'),
            Some(Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text)) => {
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (escape, None) => escape,
                    _ => {
                        return Err(Error::new("22025", "invalid escape string")
                            .with_hint("Escape string must be empty or one character."));
                    }
                }
            }
            Some(other) => return Err(unsupported(format!("ESCAPE {other}"))),
        };
        Ok(not(Expr::Like { value, pattern, escape, fold }, negated))
    }

    /// A call in an expression: a set becomes a column that the select list repeats rows for.
    pub(super) fn scalar_call(
        &mut self,
        schema: Option<&str>,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Typed, Error> {
        let call = self.call(schema, name, arguments)?;
        let kind = call.returns.clone();
        if !call.builtin.0.set {
            return Ok(Typed::new(Expr::Call(Box::new(call)), kind));
        }
        let level = self.level()?;
        if !level.sets_allowed {
            return Err(Error::new(
                "0A000",
                "set-returning functions are not allowed in this context",
            ));
        }
        let nested = call.arguments.iter().any(|argument| {
            let mut found = false;
            argument.each(&mut |expr| found |= matches!(expr, Expr::Set(_)));
            found
        });
        if nested {
            return Err(unsupported("a set-returning function of another"));
        }
        let place = match level.sets.iter().position(|known| *known == call) {
            Some(place) => place,
            None => {
                level.sets.push(call);
                level.sets.len() - 1
            }
        };
        Ok(Typed::new(Expr::Set(place), kind))
    }

    fn function(&mut self, function: &ast::Function) -> Result<Typed, Error> {
        let Some((schema, name)) = schema_and_name(&function.name) else {
            return Err(unsupported(format!("the function {}", function.name)));
        };
        let schema = schema.as_deref();
        let own = schema.is_none_or(|schema| schema == "pg_catalog");
        if own && function.over.is_some() {
            return self.window(&name, function);
        }
        if own && let Some(kind) = super::aggregate::kind_of(&name) {
            return self.aggregate(kind, function);
        }
        if function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty()
        {
            return Err(unsupported(format!("the call {function}")));
        }
        let list = match &function.args {
            FunctionArguments::None => &[][..],
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                &list.args
            }
            FunctionArguments::Subquery(query) if own && name == "array" => {
                return self.array_of(query);
            }
            _ => return Err(unsupported(format!("the call {function}"))),
        };
        let arguments = self.arguments(list)?;
        if own && let Some(form) = self.special(&name, &arguments)? {
            return Ok(form);
        }
        self.scalar_call(schema, &name, arguments)
    }

    pub(super) fn arguments(&mut self, list: &[FunctionArg]) -> Result<Vec<Typed>, Error> {
        list.iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expr(expr),
                other => Err(unsupported(format!("the argument {other}"))),
            })
            .collect()
    }

    pub(super) fn array_of(&mut self, query: &ast::Query) -> Result<Typed, Error> {
        let query = self.query(query)?;
        let kind = single_column(&query.columns)?;
        Ok(Typed::new(Expr::ArrayOf(Box::new(query)), PgType::Array(Box::new(kind))))
    }

    /// What looks like a function and is none.
    fn special(&mut self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, Error> {
        Ok(match (name, arguments) {
            ("coalesce", [_, ..]) => {
                let (all, kind) = self.unify(arguments.to_vec())?;
                Some(Typed::new(Expr::Coalesce(all), kind))
            }
            ("greatest" | "least", [_, ..]) => {
                let (all, kind) = self.unify(arguments.to_vec())?;
                Some(Typed::new(Expr::Extreme(all, name == "greatest"), kind))
            }
            ("nullif", [left, right]) => {
                let (a, b) = self.alike(&B::Eq, left.clone(), right.clone())?;
                let kind =
                    if left.kind == PgType::Unknown { PgType::Text } else { left.kind.clone() };
                Some(Typed::new(Expr::NullIf(Box::new(a), Box::new(b)), kind))
            }
            _ => None,
        })
    }
}

fn is_bare_function(name: &str) -> bool {
    matches!(
        name,
        "current_user"
            | "session_user"
            | "user"
            | "current_role"
            | "current_catalog"
            | "current_schema"
    )
}

/// The type of the one column that a subquery in an expression has.
fn single_column(columns: &[(String, PgType)]) -> Result<PgType, Error> {
    match columns {
        [(_, kind)] => Ok(kind.clone()),
        _ => Err(Error::new("42601", "subquery must return only one column")),
    }
}
