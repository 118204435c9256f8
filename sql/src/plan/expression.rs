//! Expressions: each kind of node of the parser's tree becomes a typed DataFusion expression.

use std::sync::{Arc, LazyLock};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Case, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};
use datafusion::sql::sqlparser::ast;

use super::cast::literal;
use super::row::row_items;
use super::{Allowed, Binder, Typed, fold};
use crate::Error;
use crate::functions::{Datum, Function, scalar_of};
use crate::types::{PgType, type_of_ast};

/// `ARRAY[…]`
static ARRAY: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("array(variadic any) anyarray", |_, a| Ok(Datum::Array(a.to_vec())))
            .with_nulls(),
    )
});

impl Binder<'_> {
    /// Any expression.
    pub(crate) fn expr(&mut self, node: &ast::Expr) -> Result<Typed, Error> {
        self.deeper()?;
        let keeps = matches!(
            node,
            ast::Expr::Nested(_)
                | ast::Expr::InSubquery { .. }
                | ast::Expr::AnyOp { .. }
                | ast::Expr::BinaryOp {
                    op: ast::BinaryOperator::And | ast::BinaryOperator::Or,
                    ..
                }
        );
        let depth = self.levels.len();
        let certain = self.levels.last().is_some_and(|level| level.certain);
        self.set_certain(depth, certain && keeps);
        let result = self.expr_here(node);
        self.set_certain(depth, certain);
        self.depth -= 1;
        result
    }

    fn set_certain(&mut self, depth: usize, certain: bool) {
        if let Some(level) = depth.checked_sub(1).and_then(|at| self.levels.get_mut(at)) {
            level.certain = certain;
        }
    }

    fn expr_here(&mut self, node: &ast::Expr) -> Result<Typed, Error> {
        use ast::Expr as E;
        match node {
            E::Identifier(ident) => self.identifier(ident),
            E::CompoundIdentifier(parts) => self.name(parts),
            E::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            E::Value(value) => {
                self.value(&value.value).map_err(|error| error.at(self.position(node)))
            }
            E::Nested(inner) => self.expr(inner),
            E::TypedString(typed) => {
                let kind = type_of_ast(&typed.data_type)?;
                let text = Typed::new(literal(text_of(&typed.value.value)?), PgType::Unknown);
                self.cast(text, &kind, Allowed::Explicit)
            }
            E::Cast { kind, expr, data_type, array, format } => {
                let plain = matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon);
                if !plain || *array || format.is_some() {
                    return Err(unsupported_node(node));
                }
                let target = type_of_ast(data_type).map_err(|e| e.at(self.position(node)))?;
                let value = self.cast_operand(expr, &target)?;
                self.cast(value, &target, Allowed::Explicit).map_err(|e| e.at(self.position(node)))
            }
            E::UnaryOp { op, expr } => self.unary(*op, expr, node),
            E::BinaryOp { left, op, right } => self.binary_node(left, op, right, node),
            E::Function(function) => self.function(function),
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            E::Array(array) => self.array(&array.elem),
            E::Tuple(items) => {
                let values = items.iter().map(|i| self.expr(i)).collect::<Result<Vec<_>, _>>()?;
                self.row(values)
            }
            E::Collate { expr, collation } => {
                let name = super::fold_name(collation)?;
                match name.last().map(String::as_str) {
                    Some("C" | "c" | "POSIX" | "default" | "ucs_basic" | "unicode") => {
                        self.expr(expr)
                    }
                    Some(known) if is_collation(known) => Err(Error::unsupported(
                        format!("collation \"{}\"", name.join(".")),
                        "Texts are compared by bytes (collation \"C\").",
                    )),
                    _ => Err(Error::new(
                        "42704",
                        format!(
                            "collation \"{}\" for encoding \"UTF8\" does not exist",
                            name.join(".")
                        ),
                    )
                    .at(self.position(collation))),
                }
            }
            E::Interval(interval) => self.interval(interval),
            E::Exists { subquery, negated } => self.exists(subquery, *negated),
            E::Subquery(query) => self.scalar_subquery(query),
            _ => self.predicate(node),
        }
    }

    /// Truth tests and the constructions with words of their own.
    fn predicate(&mut self, node: &ast::Expr) -> Result<Typed, Error> {
        use ast::Expr as E;
        let truth = |expr| Ok(Typed::new(expr, PgType::Bool));
        match node {
            E::IsNull(e) => {
                let value = self.expr(e)?;
                let value = self.settled(value)?;
                truth(is_null(value, false))
            }
            E::IsNotNull(e) => {
                let value = self.expr(e)?;
                let value = self.settled(value)?;
                truth(is_null(value, true))
            }
            E::IsTrue(e) => truth(Expr::IsTrue(Box::new(self.truth(e, "IS TRUE")?))),
            E::IsNotTrue(e) => truth(Expr::IsNotTrue(Box::new(self.truth(e, "IS NOT TRUE")?))),
            E::IsFalse(e) => truth(Expr::IsFalse(Box::new(self.truth(e, "IS FALSE")?))),
            E::IsNotFalse(e) => truth(Expr::IsNotFalse(Box::new(self.truth(e, "IS NOT FALSE")?))),
            E::IsUnknown(e) => truth(Expr::IsNull(Box::new(self.truth(e, "IS UNKNOWN")?))),
            E::IsNotUnknown(e) => {
                truth(Expr::IsNotNull(Box::new(self.truth(e, "IS NOT UNKNOWN")?)))
            }
            E::IsDistinctFrom(a, b) => self.distinct(a, b, Operator::IsDistinctFrom),
            E::IsNotDistinctFrom(a, b) => self.distinct(a, b, Operator::IsNotDistinctFrom),
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            E::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated),
            E::Between { expr, negated, low, high } => {
                let value = self.expr(expr)?;
                let low = self.expr(low)?;
                let high = self.expr(high)?;
                let from = self.binary(value.clone(), &ast::BinaryOperator::GtEq, low)?;
                let to = self.binary(value, &ast::BinaryOperator::LtEq, high)?;
                let both = from.expr.and(to.expr);
                truth(if *negated { Expr::Not(Box::new(both)) } else { both })
            }
            E::Like { negated: false, any: true, expr, pattern, escape_char: None } => {
                self.quantified(expr, &ast::BinaryOperator::PGLikeMatch, pattern, false)
            }
            E::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), *negated, false)
            }
            E::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_ref(), *negated, true)
            }
            E::SimilarTo { negated, expr, pattern, escape_char } => {
                let value = self.expr(expr)?;
                let value = self.padded(value)?;
                let pattern = self.expr(pattern)?;
                let mut args = vec![value, pattern];
                if let Some(escape) = escape_char {
                    args.push(Typed::new(literal(text_of(&escape.value)?), PgType::Unknown));
                }
                let matched = self.call("similar_to", args)?;
                truth(if *negated { Expr::Not(Box::new(matched.expr)) } else { matched.expr })
            }
            E::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false)
            }
            E::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true),
            _ => self.spelled_function(node),
        }
    }

    /// Functions with a syntax of their own.
    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
    fn spelled_function(&mut self, node: &ast::Expr) -> Result<Typed, Error> {
        use ast::Expr as E;
        match node {
            E::AtTimeZone { timestamp, time_zone } => {
                let args = vec![self.expr(time_zone)?, self.expr(timestamp)?];
                self.call("timezone", args)
            }
            E::Extract { field, expr, .. } => {
                let unit = field.to_string().to_ascii_lowercase();
                let unit = unit.trim_matches('\'');
                let value = self.expr(expr)?;
                // The digits after the point are the unit's.
                let name = match (unit.trim_end_matches('s'), &value.kind) {
                    ("epoch", PgType::Date) => "extract",
                    ("epoch" | "second" | "sec" | "julian", _) => "stele_extract_6",
                    ("millisecond" | "msec" | "m", _) => "stele_extract_3",
                    _ => "extract",
                };
                let unit = Typed::new(literal(ScalarValue::from(unit)), PgType::Text);
                self.call(name, vec![unit, value])
            }
            E::Ceil {
                expr,
                field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => {
                let args = vec![self.expr(expr)?];
                self.call("ceil", args)
            }
            E::Floor {
                expr,
                field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => {
                let args = vec![self.expr(expr)?];
                self.call("floor", args)
            }
            E::Position { expr, r#in } => {
                let args = vec![self.expr(r#in)?, self.expr(expr)?];
                self.call("strpos", args)
            }
            E::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr)?];
                match substring_from {
                    Some(from) => args.push(self.expr(from)?),
                    None => args.push(Typed::new(literal(ScalarValue::from(1_i32)), PgType::Int4)),
                }
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.call("substring", args)
            }
            E::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "btrim",
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                for what in trim_characters.iter().flatten() {
                    args.push(self.expr(what)?);
                }
                self.call(name, args)
            }
            E::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args =
                    vec![self.expr(expr)?, self.expr(overlay_what)?, self.expr(overlay_from)?];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length)?);
                }
                self.call("overlay", args)
            }
            _ => Err(unsupported_node(node).at(self.position(node))),
        }
    }

    fn identifier(&mut self, ident: &ast::Ident) -> Result<Typed, Error> {
        match self.name(std::slice::from_ref(ident)) {
            Err(error) if error.sqlstate() == "42703" => match self.whole_row(&fold(ident))? {
                Some(row) => Ok(row),
                None => Err(error),
            },
            other => other,
        }
    }

    /// `ARRAY[…]::type[]`: the elements take the element type.
    fn cast_operand(&mut self, node: &ast::Expr, target: &PgType) -> Result<Typed, Error> {
        match (node, target) {
            (ast::Expr::Array(array), PgType::Array(element)) => {
                let mut values = Vec::with_capacity(array.elem.len());
                for item in &array.elem {
                    let value = self.expr(item)?;
                    values.push(self.cast(value, element, Allowed::Explicit)?);
                }
                Ok(self.array_of(values, element.as_ref().clone()))
            }
            _ => self.expr(node),
        }
    }

    /// An expression that must be a truth value.
    pub(crate) fn truth(&mut self, node: &ast::Expr, what: &str) -> Result<Expr, Error> {
        let value = self.expr(node)?;
        self.as_truth(value, what).map_err(|error| error.at(self.position(node)))
    }

    pub(crate) fn as_truth(&mut self, value: Typed, what: &str) -> Result<Expr, Error> {
        match value.kind {
            PgType::Bool => Ok(value.expr),
            PgType::Unknown => Ok(self.cast(value, &PgType::Bool, Allowed::Implicit)?.expr),
            other => Err(Error::new(
                "42804",
                format!("argument of {what} must be type boolean, not type {other}"),
            )),
        }
    }

    pub(crate) fn value(&mut self, value: &ast::Value) -> Result<Typed, Error> {
        match value {
            ast::Value::Null => Ok(Typed::new(literal(ScalarValue::Utf8(None)), PgType::Unknown)),
            ast::Value::Boolean(b) => Ok(Typed::new(literal(ScalarValue::from(*b)), PgType::Bool)),
            ast::Value::Number(text, _) => self.number(text),
            ast::Value::Placeholder(text) => self.parameter(text),
            other => Ok(Typed::new(literal(text_of(other)?), PgType::Unknown)),
        }
    }

    fn number(&mut self, text: &str) -> Result<Typed, Error> {
        let digits = text.replace('_', "");
        if let Ok(small) = digits.parse::<i32>() {
            return Ok(Typed::new(literal(ScalarValue::from(small)), PgType::Int4));
        }
        if let Ok(big) = digits.parse::<i64>() {
            return Ok(Typed::new(literal(ScalarValue::from(big)), PgType::Int8));
        }
        let unknown = Typed::new(literal(ScalarValue::from(digits)), PgType::Unknown);
        self.cast(unknown, &PgType::Numeric(crate::types::Numeric::FREE), Allowed::Implicit)
    }

    fn unary(
        &mut self,
        op: ast::UnaryOperator,
        operand: &ast::Expr,
        node: &ast::Expr,
    ) -> Result<Typed, Error> {
        use ast::UnaryOperator as U;
        if op == U::Not {
            let value = self.truth(operand, "NOT")?;
            return Ok(Typed::new(Expr::Not(Box::new(value)), PgType::Bool));
        }
        if op == U::Minus
            && let Some(text) = signed_number(operand)
        {
            let opposite = match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{text}"),
            };
            return self.number(&opposite);
        }
        let value = self.expr(operand)?;
        let name = match op {
            U::Plus => "+",
            U::Minus => "-",
            U::BitwiseNot => "~",
            U::PGAbs => "@",
            U::PGSquareRoot => "|/",
            U::PGCubeRoot => "||/",
            _ => return Err(unsupported_node(node)),
        };
        self.prefix(name, value).map_err(|error| error.at(self.position(node)))
    }

    fn binary_node(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        node: &ast::Expr,
    ) -> Result<Typed, Error> {
        use ast::BinaryOperator as B;
        if let B::And | B::Or = op {
            let (word, operator) =
                if *op == B::And { ("AND", Operator::And) } else { ("OR", Operator::Or) };
            let left = self.truth(left, word)?;
            let right = self.truth(right, word)?;
            let both = BinaryExpr::new(Box::new(left), operator, Box::new(right));
            return Ok(Typed::new(Expr::BinaryExpr(both), PgType::Bool));
        }
        if let Some(rows) = self.row_comparison(left, op, right)? {
            return Ok(rows);
        }
        if *op == B::Overlaps {
            return self.overlaps(left, right).map_err(|error| error.at(self.position(node)));
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        self.binary(left, op, right).map_err(|error| error.at(self.position(node)))
    }

    fn array(&mut self, items: &[ast::Expr]) -> Result<Typed, Error> {
        let values = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            return Err(Error::new("42P18", "cannot determine type of empty array").with_hint(
                "Explicitly cast to the desired type, for example ARRAY[]::integer[].",
            ));
        }
        let (values, element) = self.unify(values, "ARRAY")?;
        if matches!(element, PgType::Array(_)) {
            return Err(Error::unsupported(
                "an array of more than one dimension",
                "Arrays have one dimension.",
            ));
        }
        Ok(self.array_of(values, element))
    }

    fn array_of(&self, values: Vec<Typed>, element: PgType) -> Typed {
        let kind = PgType::Array(Box::new(element.clone()));
        let kinds = vec![element; values.len()];
        let args = values.into_iter().map(|value| value.expr).collect();
        Typed::new(ARRAY.call(args, kinds, kind.clone()), kind)
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Typed, Error> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            tests.push(match &operand {
                Some(operand) => {
                    let value = self.expr(&when.condition)?;
                    self.binary(operand.clone(), &ast::BinaryOperator::Eq, value)?.expr
                }
                None => self.truth(&when.condition, "CASE/WHEN")?,
            });
            results.push(self.expr(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expr(otherwise)?,
            None => Typed::new(literal(ScalarValue::Utf8(None)), PgType::Unknown),
        });
        let (mut results, kind) = self.unify(results, "CASE")?;
        let otherwise = results.pop().map(|value| Box::new(value.expr));
        let pairs = tests
            .into_iter()
            .zip(results)
            .map(|(test, result)| (Box::new(test), Box::new(result.expr)))
            .collect();
        Ok(Typed::new(Expr::Case(Case::new(None, pairs, otherwise)), kind))
    }

    fn distinct(&mut self, a: &ast::Expr, b: &ast::Expr, op: Operator) -> Result<Typed, Error> {
        let (left, right) = (self.expr(a)?, self.expr(b)?);
        let (left, right) = self.comparable(left, right, "=")?;
        let expr = BinaryExpr::new(Box::new(left.expr), op, Box::new(right.expr));
        Ok(Typed::new(Expr::BinaryExpr(expr), PgType::Bool))
    }

    fn in_list(
        &mut self,
        node: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
    ) -> Result<Typed, Error> {
        if row_items(node).is_some() {
            let mut any: Option<Expr> = None;
            for item in list {
                let equal = self
                    .row_comparison(node, &ast::BinaryOperator::Eq, item)?
                    .ok_or_else(|| Error::new("42601", "a row is compared with a value"))?
                    .expr;
                any = Some(match any {
                    Some(any) => any.or(equal),
                    None => equal,
                });
            }
            let any = any.ok_or_else(|| Error::new("42601", "syntax error at or near \")\""))?;
            let expr = if negated { Expr::Not(Box::new(any)) } else { any };
            return Ok(Typed::new(expr, PgType::Bool));
        }
        let value = self.expr(node)?;
        let items = list.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
        self.in_values(value, items, negated)
    }

    /// `value IN (items)`.
    pub(crate) fn in_values(
        &mut self,
        value: Typed,
        items: Vec<Typed>,
        negated: bool,
    ) -> Result<Typed, Error> {
        let mut all = vec![value];
        all.extend(items);
        let mut all = all.into_iter();
        let first = all.next().ok_or_else(|| Error::internal("IN without a value"))?;
        // Each item against the value, so that their types meet as in a comparison.
        let mut pairs = Vec::new();
        for item in all {
            pairs.push(self.comparable(first.clone(), item, "=")?);
        }
        let same = pairs.windows(2).all(|w| match w {
            [a, b] => a.0.expr == b.0.expr,
            _ => true,
        });
        if same && let Some((value, _)) = pairs.first().cloned() {
            let list = pairs.into_iter().map(|(_, item)| item.expr).collect();
            let expr = Expr::InList(InList::new(Box::new(value.expr), list, negated));
            return Ok(Typed::new(expr, PgType::Bool));
        }
        let any = pairs.into_iter().map(|(a, b)| a.expr.eq(b.expr)).reduce(Expr::or);
        let any = any.unwrap_or_else(|| literal(ScalarValue::from(false)));
        let expr = if negated { Expr::Not(Box::new(any)) } else { any };
        Ok(Typed::new(expr, PgType::Bool))
    }

    fn like(
        &mut self,
        value: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Typed, Error> {
        let value = self.expr(value)?;
        let pattern = self.expr(pattern)?;
        self.like_of(value, pattern, escape, negated, case_insensitive)
    }

    pub(crate) fn like_of(
        &mut self,
        value: Typed,
        pattern: Typed,
        escape: Option<&ast::ValueWithSpan>,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Typed, Error> {
        let textual = |kind: &PgType| kind.is_text() || *kind == PgType::Unknown;
        if !textual(&value.kind) || !textual(&pattern.kind) {
            let op = if case_insensitive { "~~*" } else { "~~" };
            return Err(super::operator::missing(&value.kind, op, &pattern.kind));
        }
        let value = self.padded(value)?;
        let value = self.cast(value, &PgType::Text, Allowed::Implicit)?;
        let mut pattern = self.cast(pattern, &PgType::Text, Allowed::Implicit)?;
        if let Some(escape) = escape {
            let escape = Typed::new(literal(text_of(&escape.value)?), PgType::Text);
            pattern = self.call("like_escape", vec![pattern, escape])?;
        }
        let like = Like::new(
            negated,
            Box::new(value.expr),
            Box::new(pattern.expr),
            None,
            case_insensitive,
        );
        Ok(Typed::new(Expr::Like(like), PgType::Bool))
    }

    fn interval(&mut self, node: &ast::Interval) -> Result<Typed, Error> {
        let ast::Expr::Value(value) = node.value.as_ref() else {
            return Err(Error::unsupported(
                "INTERVAL of an expression",
                "Multiply an interval instead.",
            ));
        };
        let ScalarValue::Utf8(Some(mut text)) = text_of(&value.value)? else {
            return Err(Error::new("42601", "syntax error at or near \"INTERVAL\""));
        };
        if node.last_field.is_some()
            || node.leading_precision.is_some()
            || node.fractional_seconds_precision.is_some()
        {
            return Err(Error::unsupported(
                "INTERVAL with a range of fields",
                "Write the units in the text.",
            ));
        }
        if let Some(field) = &node.leading_field {
            text = format!("{text} {}", field.to_string().to_ascii_lowercase());
        }
        let unknown = Typed::new(literal(ScalarValue::from(text)), PgType::Unknown);
        self.cast(unknown, &PgType::Interval, Allowed::Explicit)
    }

    fn access(&mut self, root: &ast::Expr, chain: &[ast::AccessExpr]) -> Result<Typed, Error> {
        // `t.a[1]` comes as `t`, `.a`, `[1]`: the name first.
        let mut parts = match root {
            ast::Expr::Identifier(ident) => vec![ident.clone()],
            ast::Expr::CompoundIdentifier(parts) => parts.clone(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        if !parts.is_empty() {
            while let [ast::AccessExpr::Dot(ast::Expr::Identifier(ident)), tail @ ..] = rest {
                parts.push(ident.clone());
                rest = tail;
            }
        }
        let mut value = match parts.as_slice() {
            [] => self.expr(root)?,
            [one] => self.identifier(one)?,
            many => self.name(many)?,
        };
        for access in rest {
            value = match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(field)) => {
                    self.field(value, &fold(field))?
                }
                ast::AccessExpr::Dot(other) => return Err(unsupported_node(other)),
                ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    self.subscript(value, index)?
                }
                ast::AccessExpr::Subscript(ast::Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride: None,
                }) => {
                    let mut bound = |node: &Option<ast::Expr>| match node {
                        Some(node) => {
                            let value = self.expr(node)?;
                            self.cast(value, &PgType::Int4, Allowed::Assignment)
                        }
                        None => Typed::null(PgType::Int4),
                    };
                    let args = [bound(lower_bound)?, bound(upper_bound)?];
                    let flags = [lower_bound.is_some(), upper_bound.is_some()]
                        .map(|b| Typed::new(literal(ScalarValue::from(b)), PgType::Bool));
                    let args = [value].into_iter().chain(args).chain(flags).collect();
                    self.call("stele_slice", args)?
                }
                ast::AccessExpr::Subscript(_) => {
                    return Err(Error::unsupported("a slice with a step", "Use two bounds."));
                }
            };
        }
        Ok(value)
    }

    fn subscript(&mut self, value: Typed, index: Typed) -> Result<Typed, Error> {
        if value.kind == PgType::Jsonb {
            return self.binary(value, &ast::BinaryOperator::Arrow, index);
        }
        if value.kind.element().is_none() {
            return Err(Error::new(
                "42804",
                format!(
                    "cannot subscript type {} because it does not support subscripting",
                    value.kind
                ),
            ));
        }
        let index = self.cast(index, &PgType::Int4, Allowed::Assignment)?;
        self.call("stele_element", vec![value, index])
    }

    /// `(row).field`
    pub(crate) fn field(&self, value: Typed, name: &str) -> Result<Typed, Error> {
        let PgType::Record(fields) = &value.kind else {
            return Err(Error::new(
                "42809",
                format!(
                    "column notation .{name} applied to type {}, which is not a composite type",
                    value.kind
                ),
            ));
        };
        let Some(index) = fields.iter().position(|(field, _)| field == name) else {
            return Err(Error::new(
                "42703",
                format!("column \"{name}\" not found in data type record"),
            ));
        };
        let kind = fields.get(index).map_or(PgType::Unknown, |(_, kind)| kind.clone());
        let expr = datafusion::functions::core::get_field()
            .call(vec![value.expr, literal(ScalarValue::from(format!("f{index}")))]);
        Ok(Typed::new(expr, kind))
    }

    /// A constant of this type.
    pub(crate) fn constant(&self, kind: &PgType, value: Datum) -> Result<Typed, Error> {
        Ok(Typed::new(literal(scalar_of(kind, value)?), kind.clone()))
    }
}

/// Collations that a PostgreSQL may have and Stele doesn't: `en_US`, `de-x-icu`.
pub(crate) fn is_collation(name: &str) -> bool {
    let language_and_country = matches!(
        name.as_bytes(),
        [a, b, b'_' | b'-', c, d, ..] if [a, b].iter().all(|x| x.is_ascii_lowercase())
            && [c, d].iter().all(|x| x.is_ascii_uppercase())
    );
    name.ends_with("-x-icu") || language_and_country
}

/// The text of a number with its sign, however it is put in parentheses.
fn signed_number(node: &ast::Expr) -> Option<String> {
    match node {
        ast::Expr::Nested(inner) => signed_number(inner),
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => {
            let text = signed_number(expr)?;
            Some(match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{text}"),
            })
        }
        _ => None,
    }
}

/// A record is NULL when all its fields are, and not NULL when none is.
fn is_null(value: Typed, negated: bool) -> Expr {
    let test = |expr: Expr| {
        if negated { Expr::IsNotNull(Box::new(expr)) } else { Expr::IsNull(Box::new(expr)) }
    };
    match (&value.kind, &value.expr) {
        (PgType::Record(_), Expr::ScalarFunction(call)) if call.func.name() == "row" => {
            let tests = call.args.iter().cloned().map(test);
            tests.reduce(Expr::and).unwrap_or_else(|| literal(ScalarValue::from(true)))
        }
        _ => test(value.expr),
    }
}

/// The text of a string literal of any spelling.
pub(crate) fn text_of(value: &ast::Value) -> Result<ScalarValue, Error> {
    use ast::Value as V;
    Ok(match value {
        V::SingleQuotedString(text)
        | V::EscapedStringLiteral(text)
        | V::UnicodeStringLiteral(text)
        | V::NationalStringLiteral(text) => ScalarValue::from(text.clone()),
        V::DollarQuotedString(quoted) => ScalarValue::from(quoted.value.clone()),
        V::Null => ScalarValue::Utf8(None),
        V::Number(text, _) => ScalarValue::from(text.clone()),
        other => {
            return Err(Error::unsupported(format!("the literal {other}"), "Write it as '…'."));
        }
    })
}

pub(crate) fn unsupported_node(node: &ast::Expr) -> Error {
    let mut text = node.to_string();
    if text.len() > 60 {
        let mut end = 60;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    Error::unsupported(format!("the expression {text}"), "docs/sql.md lists what is supported.")
}
