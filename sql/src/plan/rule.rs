//! CHECK and DEFAULT: from the parser's tree to the ledger's rule language, typed as PostgreSQL types it.
//! What the language has no node for is refused with 0A000.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator as B};
use ledger::rule::{Arithmetic, Comparison, Function, Volatile};
use ledger::{Rule, Table, Type, Value};

use super::cast::needed;
use super::{Allowed, fold, fold_name};
use crate::Error;
use crate::functions::cast as runtime;
use crate::read::QueryContext;
use crate::types::{PgType, type_of_ast};

mod text;

pub use text::rule_text;

/// Makes the rule of an expression.
///
/// `table` gives the columns it may name (none for DEFAULT). `target` is the column's type of a DEFAULT;
/// without it the expression must be a truth value.
///
/// # Errors
/// 42703, 42804 and their kin for what is wrong; 0A000 for what rules can't say.
pub fn compile_rule(
    context: &QueryContext,
    node: &ast::Expr,
    table: Option<&Table>,
    target: Option<&Type>,
) -> Result<Rule, Error> {
    let compiler = Compiler { context, table, volatile: target.is_some() };
    let (rule, kind) = compiler.expr(node)?;
    match target {
        Some(target) => {
            let wanted = PgType::of(target);
            if kind != PgType::Unknown
                && needed(&kind, &wanted).is_none_or(|needed| needed > Allowed::Assignment)
            {
                return Err(Error::new(
                    "42804",
                    format!("column is of type {wanted} but default expression is of type {kind}"),
                )
                .with_hint("You will need to rewrite or cast the expression."));
            }
            compiler.cast(rule, &kind, &wanted)
        }
        None => {
            let (rule, kind) = compiler.settled(rule, kind, &PgType::Bool)?;
            if kind != PgType::Bool {
                return Err(Error::new(
                    "42804",
                    format!("argument of CHECK must be type boolean, not type {kind}"),
                ));
            }
            Ok(rule)
        }
    }
}

/// A rule with its type.
type Typed = (Rule, PgType);

struct Compiler<'c> {
    context: &'c QueryContext,
    table: Option<&'c Table>,
    /// Whether what only the serving node knows may be used: in DEFAULT.
    volatile: bool,
}

fn unsupported(node: &ast::Expr) -> Error {
    if let ast::Expr::Function(function) = node
        && super::call::aggregate::is_aggregate(&function.name.to_string().to_ascii_lowercase())
    {
        return Error::new("42803", "aggregate functions are not allowed in CHECK or DEFAULT");
    }
    Error::unsupported(
        format!("{node} in CHECK or DEFAULT"),
        "docs/sql.md lists what rules can say.",
    )
}

impl Compiler<'_> {
    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
    fn expr(&self, node: &ast::Expr) -> Result<Typed, Error> {
        use ast::Expr as E;
        match node {
            E::Nested(inner) => self.expr(inner),
            E::Identifier(ident) => self.column(&fold(ident)),
            E::CompoundIdentifier(parts) => {
                self.column(&parts.last().map(fold).unwrap_or_default())
            }
            E::Value(value) => self.literal(&value.value),
            E::TypedString(typed) => {
                let kind = type_of_ast(&typed.data_type)?;
                let text = self.literal(&typed.value.value)?;
                Ok((self.cast(text.0, &text.1, &kind)?, kind))
            }
            E::Cast {
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                expr,
                data_type,
                ..
            } => {
                let target = type_of_ast(data_type)?;
                let (rule, kind) = self.expr(expr)?;
                if kind != PgType::Unknown && needed(&kind, &target).is_none() {
                    return Err(Error::new(
                        "42846",
                        format!("cannot cast type {kind} to {target}"),
                    ));
                }
                Ok((self.cast(rule, &kind, &target)?, target))
            }
            E::UnaryOp { op, expr } => self.unary(*op, expr, node),
            E::BinaryOp { left, op, right } => self.binary(left, op, right, node),
            E::IsNull(e) => Ok((Rule::IsNull(Box::new(self.known(e)?)), PgType::Bool)),
            E::IsNotNull(e) => {
                let null = Rule::IsNull(Box::new(self.known(e)?));
                Ok((Rule::Not(Box::new(null)), PgType::Bool))
            }
            E::IsDistinctFrom(a, b) => self.distinct(a, b),
            E::IsNotDistinctFrom(a, b) => {
                let (rule, kind) = self.distinct(a, b)?;
                Ok((Rule::Not(Box::new(rule)), kind))
            }
            E::IsTrue(e) => self.truth_test(e, true, false),
            E::IsNotTrue(e) => self.truth_test(e, true, true),
            E::IsFalse(e) => self.truth_test(e, false, false),
            E::IsNotFalse(e) => self.truth_test(e, false, true),
            E::Between { expr, negated, low, high } => {
                let from = self.binary(expr, &B::GtEq, low, node)?.0;
                let to = self.binary(expr, &B::LtEq, high, node)?.0;
                Ok((negate_if(*negated, Rule::And(vec![from, to])), PgType::Bool))
            }
            E::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            E::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let (a, b) = self.texts(expr, pattern)?;
                let like = Rule::Like(Box::new(a), Box::new(b), false);
                Ok((negate_if(*negated, like), PgType::Bool))
            }
            E::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                let (a, b) = self.texts(expr, pattern)?;
                let like = Rule::Like(Box::new(a), Box::new(b), true);
                Ok((negate_if(*negated, like), PgType::Bool))
            }
            E::AnyOp { left, compare_op: B::Eq, right, .. } => match right.as_ref() {
                E::Array(array) => self.in_list(left, &array.elem, false),
                E::Nested(inner) => match inner.as_ref() {
                    E::Array(array) => self.in_list(left, &array.elem, false),
                    _ => Err(unsupported(node)),
                },
                _ => Err(unsupported(node)),
            },
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            E::Function(function) => self.function(function, node),
            E::Trim { trim_where: None, trim_what: None, trim_characters: None, expr } => {
                let rule = self.as_text(expr)?;
                Ok((Rule::Call(Function::Trim, vec![rule]), PgType::Text))
            }
            E::Collate { expr, collation } => {
                match fold_name(collation)?.last().map(String::as_str) {
                    Some("C" | "c" | "POSIX" | "default") => self.expr(expr),
                    _ => Err(unsupported(node)),
                }
            }
            _ => Err(unsupported(node)),
        }
    }

    fn column(&self, name: &str) -> Result<Typed, Error> {
        let Some(table) = self.table else {
            return Err(Error::new("0A000", "cannot use column reference in DEFAULT expression"));
        };
        let column = table.columns.iter().find(|column| !column.dropped && column.name == name);
        match column {
            Some(column) => Ok((Rule::Column(column.number), PgType::of(&column.kind))),
            None => Err(Error::UndefinedColumn {
                message: format!("column \"{name}\" does not exist"),
                position: None,
            }),
        }
    }

    fn literal(&self, value: &ast::Value) -> Result<Typed, Error> {
        Ok(match value {
            ast::Value::Null => (Rule::Literal(Value::Null, Type::Text), PgType::Unknown),
            ast::Value::Boolean(b) => (Rule::Literal(Value::Bool(*b), Type::Bool), PgType::Bool),
            ast::Value::Number(text, _) => number(text)?,
            ast::Value::Placeholder(_) => {
                return Err(Error::new("42P02", "there are no parameters in a definition"));
            }
            other => match super::expression::text_of(other)? {
                datafusion::common::ScalarValue::Utf8(Some(text)) => {
                    (Rule::Literal(Value::Text(text), Type::Text), PgType::Unknown)
                }
                _ => (Rule::Literal(Value::Null, Type::Text), PgType::Unknown),
            },
        })
    }

    /// The rule as another type. Literals of unknown type are read at once, others keep their cast.
    fn cast(&self, rule: Rule, from: &PgType, to: &PgType) -> Result<Rule, Error> {
        let Some(stored) = to.stored() else {
            return Err(Error::unsupported(
                format!("type {to} in CHECK or DEFAULT"),
                "Use another type.",
            ));
        };
        if let (Rule::Literal(value, _), PgType::Unknown) = (&rule, from) {
            let value = match value {
                Value::Text(text) => runtime::parse(self.context, text, to, false)?
                    .value(to)
                    .ok_or_else(|| Error::internal("a literal of another type"))?,
                _ => Value::Null,
            };
            return Ok(Rule::Literal(value, stored));
        }
        let same = from.same_base(to) && (from == to || to.typmod() == -1);
        if same {
            return Ok(rule);
        }
        Ok(Rule::Cast(Box::new(rule), stored))
    }

    /// An unknown literal takes the wanted type; others stay.
    fn settled(&self, rule: Rule, kind: PgType, wanted: &PgType) -> Result<Typed, Error> {
        if kind == PgType::Unknown {
            return Ok((self.cast(rule, &kind, wanted)?, wanted.clone()));
        }
        Ok((rule, kind))
    }

    fn known(&self, node: &ast::Expr) -> Result<Rule, Error> {
        let (rule, kind) = self.expr(node)?;
        Ok(self.settled(rule, kind, &PgType::Text)?.0)
    }

    fn truth(&self, node: &ast::Expr, what: &str) -> Result<Rule, Error> {
        let (rule, kind) = self.expr(node)?;
        let (rule, kind) = self.settled(rule, kind, &PgType::Bool)?;
        if kind != PgType::Bool {
            return Err(Error::new(
                "42804",
                format!("argument of {what} must be type boolean, not type {kind}"),
            ));
        }
        Ok(rule)
    }

    fn truth_test(&self, node: &ast::Expr, wanted: bool, negated: bool) -> Result<Typed, Error> {
        let value = self.truth(node, "IS TRUE")?;
        let wanted = Rule::Literal(Value::Bool(wanted), Type::Bool);
        let differs = Rule::Distinct(Box::new(value), Box::new(wanted));
        Ok((negate_if(!negated, differs), PgType::Bool))
    }

    /// Both operands in the type in which they meet.
    fn operands(
        &self,
        left: &ast::Expr,
        right: &ast::Expr,
        op: &str,
    ) -> Result<(Rule, Rule, PgType), Error> {
        let (a, ka) = self.expr(left)?;
        let (b, kb) = self.expr(right)?;
        let kind = meet(&ka, &kb).ok_or_else(|| super::operator::missing(&ka, op, &kb))?;
        Ok((self.cast(a, &ka, &kind)?, self.cast(b, &kb, &kind)?, kind))
    }

    fn texts(&self, left: &ast::Expr, right: &ast::Expr) -> Result<(Rule, Rule), Error> {
        Ok((self.as_text(left)?, self.as_text(right)?))
    }

    fn as_text(&self, node: &ast::Expr) -> Result<Rule, Error> {
        let (rule, kind) = self.expr(node)?;
        if kind != PgType::Unknown && !kind.is_text() {
            return Err(super::operator::missing(&kind, "~~", &PgType::Text));
        }
        if matches!(kind, PgType::Bpchar(_)) {
            // A pattern counts the blanks at the end, which aren't kept.
            return Err(Error::unsupported(
                "a pattern over character(n) in CHECK",
                "Cast the column to text: then blanks at the end don't count.",
            ));
        }
        self.cast(rule, &kind, &PgType::Text)
    }

    fn distinct(&self, a: &ast::Expr, b: &ast::Expr) -> Result<Typed, Error> {
        let (a, b, _) = self.operands(a, b, "=")?;
        Ok((Rule::Distinct(Box::new(a), Box::new(b)), PgType::Bool))
    }

    fn unary(
        &self,
        op: ast::UnaryOperator,
        operand: &ast::Expr,
        node: &ast::Expr,
    ) -> Result<Typed, Error> {
        match op {
            ast::UnaryOperator::Not => {
                Ok((Rule::Not(Box::new(self.truth(operand, "NOT")?)), PgType::Bool))
            }
            ast::UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = operand
                    && let ast::Value::Number(text, _) = &value.value
                {
                    return number(&format!("-{text}"));
                }
                let (rule, kind) = self.expr(operand)?;
                if !kind.is_number() {
                    return Err(unsupported(node));
                }
                Ok((Rule::Negate(Box::new(rule)), kind))
            }
            ast::UnaryOperator::Plus => self.expr(operand),
            _ => Err(unsupported(node)),
        }
    }

    fn binary(
        &self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        node: &ast::Expr,
    ) -> Result<Typed, Error> {
        let comparison = match op {
            B::And => {
                let all = vec![self.truth(left, "AND")?, self.truth(right, "AND")?];
                return Ok((flat(all, true), PgType::Bool));
            }
            B::Or => {
                let all = vec![self.truth(left, "OR")?, self.truth(right, "OR")?];
                return Ok((flat(all, false), PgType::Bool));
            }
            B::Eq => Comparison::Equal,
            B::NotEq => Comparison::NotEqual,
            B::Lt => Comparison::Less,
            B::LtEq => Comparison::LessOrEqual,
            B::Gt => Comparison::Greater,
            B::GtEq => Comparison::GreaterOrEqual,
            B::PGRegexMatch | B::PGRegexIMatch | B::PGRegexNotMatch | B::PGRegexNotIMatch => {
                let (a, b) = self.texts(left, right)?;
                let fold = matches!(op, B::PGRegexIMatch | B::PGRegexNotIMatch);
                let negated = matches!(op, B::PGRegexNotMatch | B::PGRegexNotIMatch);
                let matched = Rule::Matches(Box::new(a), Box::new(b), fold);
                return Ok((negate_if(negated, matched), PgType::Bool));
            }
            B::PGLikeMatch | B::PGILikeMatch | B::PGNotLikeMatch | B::PGNotILikeMatch => {
                let (a, b) = self.texts(left, right)?;
                let fold = matches!(op, B::PGILikeMatch | B::PGNotILikeMatch);
                let negated = matches!(op, B::PGNotLikeMatch | B::PGNotILikeMatch);
                return Ok((
                    negate_if(negated, Rule::Like(Box::new(a), Box::new(b), fold)),
                    PgType::Bool,
                ));
            }
            _ => return self.arithmetic(left, op, right, node),
        };
        let (a, b, kind) = self.operands(left, right, &op.to_string())?;
        if matches!(kind, PgType::Json | PgType::Jsonb) {
            return Err(unsupported(node));
        }
        Ok((Rule::Compare(comparison, Box::new(a), Box::new(b)), PgType::Bool))
    }

    fn arithmetic(
        &self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        node: &ast::Expr,
    ) -> Result<Typed, Error> {
        let operator = match op {
            B::Plus => Arithmetic::Add,
            B::Minus => Arithmetic::Subtract,
            B::Multiply => Arithmetic::Multiply,
            B::Divide => Arithmetic::Divide,
            B::Modulo => Arithmetic::Modulo,
            B::StringConcat => {
                let (a, ka) = self.expr(left)?;
                let (b, kb) = self.expr(right)?;
                let textual = |kind: &PgType| kind.is_text() || *kind == PgType::Unknown;
                if !textual(&ka) && !textual(&kb) {
                    return Err(unsupported(node));
                }
                let a = self.cast(a, &ka, &PgType::Text)?;
                let b = self.cast(b, &kb, &PgType::Text)?;
                let joined = Rule::Arithmetic(Arithmetic::Concatenate, Box::new(a), Box::new(b));
                return Ok((joined, PgType::Text));
            }
            _ => return Err(unsupported(node)),
        };
        let (a, b, kind) = self.operands(left, right, &op.to_string())?;
        if !kind.is_number() {
            return Err(unsupported(node));
        }
        Ok((Rule::Arithmetic(operator, Box::new(a), Box::new(b)), kind.without_modifier()))
    }

    fn in_list(
        &self,
        value: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
    ) -> Result<Typed, Error> {
        let (rule, kind) = self.expr(value)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.expr(item)?);
        }
        let mut met = kind.clone();
        for (_, item) in &items {
            met = meet(&met, item).ok_or_else(|| super::operator::missing(&kind, "=", item))?;
        }
        let rule = self.cast(rule, &kind, &met)?;
        let items = items
            .into_iter()
            .map(|(item, kind)| self.cast(item, &kind, &met))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((negate_if(negated, Rule::In(Box::new(rule), items)), PgType::Bool))
    }

    fn case(
        &self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Typed, Error> {
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            tests.push(match operand {
                Some(operand) => {
                    let (a, b, _) = self.operands(operand, &when.condition, "=")?;
                    Rule::Compare(Comparison::Equal, Box::new(a), Box::new(b))
                }
                None => self.truth(&when.condition, "CASE/WHEN")?,
            });
            results.push(self.expr(&when.result)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.expr(otherwise)?);
        }
        let (mut results, kind) = self.common(results)?;
        let last = if otherwise.is_some() { results.pop().map(Box::new) } else { None };
        Ok((Rule::Case(tests.into_iter().zip(results).collect(), last), kind))
    }

    /// All of them in the type in which they meet.
    fn common(&self, values: Vec<Typed>) -> Result<(Vec<Rule>, PgType), Error> {
        let mut kind = PgType::Unknown;
        for (_, other) in &values {
            kind = meet(&kind, other).ok_or_else(|| {
                Error::new("42804", format!("types {kind} and {other} cannot be matched"))
            })?;
        }
        if kind == PgType::Unknown {
            kind = PgType::Text;
        }
        let rules = values
            .into_iter()
            .map(|(rule, from)| self.cast(rule, &from, &kind))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((rules, kind))
    }

    #[expect(clippy::too_many_lines, reason = "one match with an arm for each function")]
    fn function(&self, function: &ast::Function, node: &ast::Expr) -> Result<Typed, Error> {
        let name = fold_name(&function.name)?.pop().unwrap_or_default();
        if function.over.is_some() || function.filter.is_some() {
            return Err(unsupported(node));
        }
        let args: Vec<&ast::Expr> = match &function.args {
            ast::FunctionArguments::None => Vec::new(),
            ast::FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) => Ok(arg),
                    _ => Err(unsupported(node)),
                })
                .collect::<Result<_, _>>()?,
            ast::FunctionArguments::Subquery(_) => {
                return Err(Error::new("0A000", "cannot use subquery in a definition"));
            }
        };
        if let Some(found) = self.volatile(&name, &args)? {
            return Ok(found);
        }
        let values = args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        let text_call = |what, values: Vec<Typed>, result| {
            let rules = values
                .into_iter()
                .map(|(rule, kind)| self.cast(rule, &kind, &PgType::Text))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((Rule::Call(what, rules), result))
        };
        match (name.as_str(), values.as_slice()) {
            ("lower", [_]) => text_call(Function::Lower, values, PgType::Text),
            ("upper", [_]) => text_call(Function::Upper, values, PgType::Text),
            ("btrim" | "trim", [_]) => text_call(Function::Trim, values, PgType::Text),
            ("length" | "char_length" | "character_length", [(rule, PgType::Bytea)]) => {
                Ok((Rule::Call(Function::CharLength, vec![rule.clone()]), PgType::Int4))
            }
            ("length" | "char_length" | "character_length", [_]) => {
                text_call(Function::CharLength, values, PgType::Int4)
            }
            ("octet_length", [(_, kind)]) if *kind != PgType::Bytea => {
                text_call(Function::OctetLength, values, PgType::Int4)
            }
            ("octet_length", [(rule, _)]) => {
                Ok((Rule::Call(Function::OctetLength, vec![rule.clone()]), PgType::Int4))
            }
            ("abs", [(rule, kind)]) if kind.is_number() => {
                Ok((Rule::Call(Function::Abs, vec![rule.clone()]), kind.clone()))
            }
            ("round", [(rule, kind @ PgType::Numeric(_))]) => {
                Ok((Rule::Call(Function::Round, vec![rule.clone()]), kind.without_modifier()))
            }
            ("round", [(rule, kind @ PgType::Numeric(_)), (places, PgType::Int4)]) => Ok((
                Rule::Call(Function::Round, vec![rule.clone(), places.clone()]),
                kind.without_modifier(),
            )),
            ("cardinality", [(rule, PgType::Array(_))]) => {
                Ok((Rule::Call(Function::Cardinality, vec![rule.clone()]), PgType::Int4))
            }
            ("array_length", [(rule, PgType::Array(_)), (dimension, PgType::Int4)]) => Ok((
                Rule::Call(Function::Cardinality, vec![rule.clone(), dimension.clone()]),
                PgType::Int4,
            )),
            ("coalesce" | "greatest" | "least" | "nullif", [_, ..]) => {
                let what = match name.as_str() {
                    "coalesce" => Function::Coalesce,
                    "greatest" => Function::Greatest,
                    "least" => Function::Least,
                    _ => Function::NullIf,
                };
                let (rules, kind) = self.common(values)?;
                Ok((Rule::Call(what, rules), kind))
            }
            _ => Err(unsupported(node)),
        }
    }

    /// `now()` and its kin, for DEFAULT only.
    fn volatile(&self, name: &str, args: &[&ast::Expr]) -> Result<Option<Typed>, Error> {
        let (what, kind) = match (name, args) {
            ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", []) => {
                (Volatile::Now, PgType::Timestamptz)
            }
            ("current_date", []) => (Volatile::CurrentDate, PgType::Date),
            ("localtimestamp", []) => (Volatile::LocalTimestamp, PgType::Timestamp),
            ("clock_timestamp", []) => (Volatile::ClockTimestamp, PgType::Timestamptz),
            ("gen_random_uuid", []) => (Volatile::RandomUuid, PgType::Uuid),
            ("current_user" | "session_user" | "user" | "current_role", []) => {
                (Volatile::CurrentUser, PgType::Text)
            }
            ("nextval", [sequence]) => {
                (Volatile::NextValue(self.sequence(sequence)?), PgType::Int8)
            }
            _ => return Ok(None),
        };
        if !self.volatile {
            return Err(Error::unsupported(
                format!("{name}() in CHECK"),
                "A CHECK may use the row's columns and constants only.",
            ));
        }
        Ok(Some((Rule::Volatile(what), kind)))
    }

    /// The sequence that `'name'` or `'name'::regclass` names.
    fn sequence(&self, node: &ast::Expr) -> Result<ledger::Oid, Error> {
        let text = match node {
            ast::Expr::Cast { expr, .. } => return self.sequence(expr),
            ast::Expr::Nested(inner) => return self.sequence(inner),
            ast::Expr::Value(value) => match super::expression::text_of(&value.value)? {
                datafusion::common::ScalarValue::Utf8(Some(text)) => text,
                _ => return Err(unsupported(node)),
            },
            _ => return Err(unsupported(node)),
        };
        let parts = split_name(&text);
        let missing = || Error::UndefinedTable { name: text.clone(), position: None };
        let catalog = &self.context.catalog;
        let (schemas, name) = match parts.as_slice() {
            [name] => (self.context.search_path.clone(), name),
            [schema, name] => (vec![schema.clone()], name),
            _ => return Err(missing()),
        };
        let found = schemas.iter().find_map(|schema| {
            catalog.find_schema(schema).and_then(|schema| catalog.find_relation(schema, name))
        });
        let oid = found.ok_or_else(missing)?;
        match catalog.get(oid) {
            Some(ledger::Object::Sequence(_)) => Ok(oid),
            _ => Err(Error::new("42809", format!("\"{name}\" is not a sequence"))),
        }
    }
}

/// The parts of `schema."Name"`.
fn split_name(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => {
                if let Some(part) = parts.last_mut() {
                    if quoted { part.push(c) } else { part.extend(c.to_lowercase()) }
                }
            }
        }
    }
    parts
}

fn number(text: &str) -> Result<Typed, Error> {
    let digits = text.replace('_', "");
    if let Ok(small) = digits.parse::<i32>() {
        return Ok((Rule::Literal(Value::Int4(small), Type::Int4), PgType::Int4));
    }
    if let Ok(big) = digits.parse::<i64>() {
        return Ok((Rule::Literal(Value::Int8(big), Type::Int8), PgType::Int8));
    }
    let value = crate::number::Number::parse(&digits)?.to_decimal()?;
    let kind = PgType::of(&Type::Decimal);
    Ok((Rule::Literal(Value::Numeric(value), Type::Decimal), kind))
}

fn negate_if(negated: bool, rule: Rule) -> Rule {
    if negated { Rule::Not(Box::new(rule)) } else { rule }
}

/// AND and OR of many, without nesting.
fn flat(all: Vec<Rule>, and: bool) -> Rule {
    let mut parts = Vec::with_capacity(all.len());
    for rule in all {
        match rule {
            Rule::And(inner) if and => parts.extend(inner),
            Rule::Or(inner) if !and => parts.extend(inner),
            other => parts.push(other),
        }
    }
    if and { Rule::And(parts) } else { Rule::Or(parts) }
}

/// The type in which two operands meet.
fn meet(a: &PgType, b: &PgType) -> Option<PgType> {
    use PgType as T;
    Some(match (a, b) {
        (T::Unknown, other) | (other, T::Unknown) => match other {
            T::Varchar(_) => T::Text,
            other => other.without_modifier(),
        },
        (a, b) if a.same_base(b) => match a {
            T::Varchar(_) => T::Text,
            T::Numeric(_) => T::of(&Type::Decimal),
            a => a.without_modifier(),
        },
        (a, b) if a.is_text() && b.is_text() => T::Text,
        (T::Float8 | T::Float4, b) if b.is_number() => T::Float8,
        (a, T::Float8 | T::Float4) if a.is_number() => T::Float8,
        (T::Numeric(_), b) if b.is_number() => T::of(&Type::Decimal),
        (a, T::Numeric(_)) if a.is_number() => T::of(&Type::Decimal),
        (T::Int8, b) | (b, T::Int8) if b.is_integer() => T::Int8,
        (T::Int4, b) | (b, T::Int4) if b.is_integer() => T::Int4,
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => T::Timestamp,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
