//! Function calls: which overload is meant, aggregates, and the functions that are syntax in disguise.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::functions::core::{coalesce, nullif};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

use super::cast::{literal, needed, numeric_shape};
use super::scope::Clause;
use super::{Allowed, Binder, Typed, column, fold, fold_name};
use crate::Error;
use crate::functions::{self, Datum, Function, Returns};
use crate::types::{Category, PgType};

pub(crate) mod aggregate;

/// Functions whose arguments have names. Those left away are 0.
const NAMED: &[(&str, &[&str])] =
    &[("make_interval", &["years", "months", "weeks", "days", "hours", "mins", "secs"])];

/// A call taken apart.
pub(crate) struct CallNode<'n> {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) args: Vec<&'n ast::Expr>,
    /// `f(name => value)`
    pub(crate) named: Vec<(String, &'n ast::Expr)>,
    /// `f(*)`
    pub(crate) star: bool,
    pub(crate) distinct: bool,
    pub(crate) order_by: Vec<ast::OrderByExpr>,
    pub(crate) node: &'n ast::Function,
}

/// Functions that take a `character(n)` as it is shown, with the blanks at its end.
const SHOWN: &[&str] = &["concat", "concat_ws", "format", "octet_length"];

impl Binder<'_> {
    /// A call as it stands in an expression.
    pub(crate) fn function(&mut self, node: &ast::Function) -> Result<Typed, Error> {
        let position = self.position(&node.name);
        self.function_here(node).map_err(|error| match error.report().position {
            Some(_) => error,
            None => error.at(position),
        })
    }

    fn function_here(&mut self, node: &ast::Function) -> Result<Typed, Error> {
        let mut parts = fold_name(&node.name)?;
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if let ast::FunctionArguments::Subquery(query) = &node.args {
            return match name.as_str() {
                "array" => self.array_subquery(query),
                _ => Err(Error::new("42883", format!("function {name}(subquery) does not exist"))),
            };
        }
        if !matches!(node.parameters, ast::FunctionArguments::None) || node.uses_odbc_syntax {
            return Err(Error::unsupported(
                format!("this form of {name}"),
                "docs/sql.md lists what is supported.",
            ));
        }
        let call = take_apart(schema, name, node)?;
        let plain = call.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        if plain && call.named.is_empty() {
            if node.over.is_some() {
                return self.window_call(&call);
            }
            if let Some(result) = self.aggregate_call(&call)? {
                return Ok(result);
            }
            if !call.star
                && let Some(result) = self.spelled(&call)?
            {
                return Ok(result);
            }
            if super::window::is_window_function(&call.name) {
                return Err(Error::new(
                    "42809",
                    format!("window function {} requires an OVER clause", call.name),
                ));
            }
        }
        if call.star || call.distinct || !call.order_by.is_empty() || node.filter.is_some() {
            return Err(Error::new("42809", format!("{} is not an aggregate function", call.name)));
        }
        let args = call.args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        if call.named.is_empty() {
            return self.call_in(call.schema.as_deref(), &call.name, args);
        }
        let args = self.with_named(&call, args)?;
        self.call_in(call.schema.as_deref(), &call.name, args)
    }

    /// The arguments by position, with those given by name at theirs and defaults between.
    fn with_named(&mut self, call: &CallNode<'_>, args: Vec<Typed>) -> Result<Vec<Typed>, Error> {
        let unknown = || {
            let names: Vec<String> = call.named.iter().map(|(n, _)| format!("{n} =>")).collect();
            Error::new(
                "42883",
                format!("function {}({}) does not exist", call.name, names.join(", ")),
            )
        };
        let names = NAMED.iter().find(|(name, _)| *name == call.name).map(|(_, names)| *names);
        let names = names.ok_or_else(unknown)?;
        let first = args.len();
        let mut all: Vec<Option<Typed>> = args.into_iter().map(Some).collect();
        all.resize(names.len().max(first), None);
        for (name, node) in &call.named {
            let at = names.iter().position(|known| known == name).ok_or_else(unknown)?;
            let value = self.expr(node)?;
            let slot = all.get_mut(at).filter(|slot| slot.is_none()).ok_or_else(|| {
                Error::new("42601", format!("argument name \"{name}\" used more than once"))
            })?;
            *slot = Some(value);
        }
        let zero = || Typed::new(literal(ScalarValue::from(0_i32)), PgType::Int4);
        Ok(all.into_iter().map(|arg| arg.unwrap_or_else(zero)).collect())
    }

    /// Functions whose arguments follow rules of their own.
    fn spelled(&mut self, call: &CallNode<'_>) -> Result<Option<Typed>, Error> {
        let bare = matches!(call.node.args, ast::FunctionArguments::None);
        let args = |binder: &mut Self| {
            call.args.iter().map(|arg| binder.expr(arg)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Some(match call.name.as_str() {
            "row" if !bare => {
                let items: Vec<ast::Expr> = call.args.iter().map(|a| (*a).clone()).collect();
                self.row_of(&items)?
            }
            "coalesce" => {
                let values = args(self)?;
                let (values, kind) = self.unify(values, "COALESCE")?;
                let exprs = values.into_iter().map(|value| value.expr).collect();
                Typed::new(coalesce().call(exprs), kind)
            }
            "nullif" => {
                let values = args(self)?;
                let [a, b] = <[Typed; 2]>::try_from(values).map_err(|_| wrong_count("nullif"))?;
                let kind = if a.kind == PgType::Unknown { PgType::Text } else { a.kind.clone() };
                let a = self.cast(a, &kind, Allowed::Implicit)?;
                let (left, right) = self.comparable(a.clone(), b, "=")?;
                if left.expr == a.expr {
                    return Ok(Some(Typed::new(nullif().call(vec![left.expr, right.expr]), kind)));
                }
                let equal = left.expr.eq(right.expr);
                let null = Typed::null(kind.clone())?;
                let case = datafusion::logical_expr::when(equal, null.expr).otherwise(a.expr)?;
                Typed::new(case, kind)
            }
            "greatest" | "least" => {
                let values = args(self)?;
                let (values, kind) =
                    self.unify(values, if call.name == "least" { "LEAST" } else { "GREATEST" })?;
                self.extreme(call.name == "greatest", values, kind)?
            }
            "current_date" | "current_timestamp" | "current_time" | "localtimestamp"
            | "localtime" | "current_user" | "session_user" | "user" | "current_role"
            | "current_catalog"
                if bare =>
            {
                self.call(&call.name, Vec::new())?
            }
            "current_timestamp" | "localtimestamp" => {
                return Err(Error::unsupported(
                    format!("{}(precision)", call.name),
                    "Use date_trunc on the value without a precision.",
                ));
            }
            "grouping" => self.grouping_call(&call.args)?,
            "pg_typeof" => {
                let values = args(self)?;
                let [value] =
                    <[Typed; 1]>::try_from(values).map_err(|_| wrong_count("pg_typeof"))?;
                if value.kind != PgType::Unknown {
                    return self.call("pg_typeof", vec![value]).map(Some);
                }
                let oid = Datum::Int(i64::from(PgType::Unknown.oid()));
                self.constant(&PgType::Reg(crate::types::Reg::Type), oid)?
            }
            _ => return Ok(None),
        }))
    }

    fn extreme(&self, greatest: bool, values: Vec<Typed>, kind: PgType) -> Result<Typed, Error> {
        if matches!(kind, PgType::Json | PgType::Jsonb | PgType::Interval | PgType::Record(_)) {
            return Err(Error::unsupported(format!("GREATEST of {kind}"), "Use CASE."));
        }
        if kind == PgType::Numeric(crate::types::Numeric::FREE) {
            let kinds = vec![kind.clone(); values.len()];
            let exprs = values.into_iter().map(|value| value.expr).collect();
            let function = functions::free::greatest(greatest);
            return Ok(Typed::new(function.call(exprs, kinds, kind.clone()), kind));
        }
        let exprs = values.into_iter().map(|value| value.expr).collect();
        let udf = if greatest {
            datafusion::functions::core::greatest()
        } else {
            datafusion::functions::core::least()
        };
        Ok(Typed::new(udf.call(exprs), kind))
    }

    /// Calls the function of this name in `pg_catalog`.
    pub(crate) fn call(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed, Error> {
        self.call_in(None, name, args)
    }

    pub(crate) fn call_in(
        &mut self,
        schema: Option<&str>,
        name: &str,
        mut args: Vec<Typed>,
    ) -> Result<Typed, Error> {
        if SHOWN.contains(&name) {
            args = args.into_iter().map(|arg| self.padded(arg)).collect::<Result<_, _>>()?;
        }
        let overloads = functions::overloads(self.context, schema, name);
        let kinds: Vec<PgType> = args.iter().map(|arg| arg.kind.clone()).collect();
        if let Some(cast) = self.cast_by_name(&overloads, schema, name, &args)? {
            return Ok(cast);
        }
        let function = choose(&overloads, &kinds).map_err(|fault| {
            let list: Vec<String> = kinds.iter().map(PgType::to_string).collect();
            let call = format!("{}({})", schema.map_or_else(|| name.to_owned(), |s| format!("{s}.{name}")), list.join(", "));
            match fault {
                Choice::None => Error::new("42883", format!("function {call} does not exist")).with_hint(
                    "No function matches the given name and argument types. You might need to add explicit type casts.",
                ),
                Choice::Many => Error::new("42725", format!("function {call} is not unique")).with_hint(
                    "Could not choose a best candidate function. You might need to add explicit type casts.",
                ),
            }
        })?;
        self.apply(&function, args)
    }

    /// `int4(x)`, `text(x)`: a cast written as a call.
    fn cast_by_name(
        &mut self,
        overloads: &[Arc<Function>],
        schema: Option<&str>,
        name: &str,
        args: &[Typed],
    ) -> Result<Option<Typed>, Error> {
        if !overloads.is_empty() || schema.is_some_and(|schema| schema != "pg_catalog") {
            return Ok(None);
        }
        match (args, PgType::of_name(name)) {
            ([arg], Some(kind))
                if arg.kind == PgType::Unknown || needed(&arg.kind, &kind).is_some() =>
            {
                self.cast(arg.clone(), &kind, Allowed::Explicit).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn apply(&mut self, function: &Arc<Function>, args: Vec<Typed>) -> Result<Typed, Error> {
        let mut element: Option<PgType> = None;
        let polymorphic = |kind: &PgType| matches!(kind, PgType::AnyElement | PgType::AnyArray);
        if function.arguments.iter().any(polymorphic) {
            let mut kinds = Vec::new();
            for (index, arg) in args.iter().enumerate() {
                match (declared(function, index), &arg.kind) {
                    (_, PgType::Unknown) => {}
                    (Some(PgType::AnyElement), kind) => kinds.push(kind.clone()),
                    (Some(PgType::AnyArray), kind) => {
                        if let Some(element) = kind.element() {
                            kinds.push(element);
                        }
                    }
                    _ => {}
                }
            }
            if kinds.is_empty() {
                return Err(Error::new(
                    "42804",
                    "could not determine polymorphic type because input has type unknown",
                ));
            }
            element = Some(self.common_type(&kinds, "argument")?);
        }
        let mut exprs = Vec::with_capacity(args.len());
        let mut kinds = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            let target = match declared(function, index) {
                Some(PgType::Any) | None => match arg.kind {
                    PgType::Unknown => PgType::Text,
                    ref kind => kind.clone(),
                },
                Some(PgType::AnyElement) => element.clone().unwrap_or(PgType::Text),
                Some(PgType::AnyArray) => match arg.kind {
                    PgType::Int2Vector | PgType::OidVector => arg.kind.clone(),
                    _ => PgType::Array(Box::new(element.clone().unwrap_or(PgType::Text))),
                },
                Some(PgType::Numeric(n)) => PgType::Numeric(numeric_shape(&arg.kind).unwrap_or(*n)),
                Some(kind) if arg.kind.same_base(kind) => arg.kind.clone(),
                Some(kind) => kind.clone(),
            };
            let arg = self.cast(arg, &target, Allowed::Implicit)?;
            kinds.push(arg.kind);
            exprs.push(arg.expr);
        }
        let returns = match &function.returns {
            // Places that are known make the scale known.
            Returns::Fixed(PgType::Numeric(_))
                if matches!(function.name.as_str(), "round" | "trunc") =>
            {
                match exprs.get(1).and_then(literal_int) {
                    Some(places) => functions::numeric::rounded(&kinds, places),
                    None => PgType::Numeric(crate::types::Numeric::FREE),
                }
            }
            Returns::Computed(compute) => compute(&kinds),
            Returns::Fixed(PgType::AnyElement) => element.unwrap_or(PgType::Text),
            Returns::Fixed(PgType::AnyArray) => {
                PgType::Array(Box::new(element.unwrap_or(PgType::Text)))
            }
            Returns::Fixed(kind) => kind.clone(),
        };
        let expr = function.call(exprs, kinds, returns.clone());
        if function.set {
            return self.series(expr, returns);
        }
        Ok(Typed::new(expr, returns))
    }

    /// A set-returning call in the select list: its rows come from an unnested list.
    fn series(&mut self, list: Expr, kind: PgType) -> Result<Typed, Error> {
        let name = self.fresh('s');
        let level = self.level()?;
        match level.clause {
            Clause::Select | Clause::OrderBy => {}
            Clause::From => return Ok(Typed::new(list, kind)),
            clause => {
                return Err(Error::new(
                    "0A000",
                    format!("set-returning functions are not allowed in {}", clause.words()),
                ));
            }
        }
        if let Some((_, known)) = level.series.iter().find(|(expr, _)| *expr == list) {
            let known = known.clone();
            return Ok(Typed::new(column(&known), kind));
        }
        level.series.push((list, name.clone()));
        Ok(Typed::new(column(&name), kind))
    }
}

/// The name, arguments and clauses of a call.
///
/// # Errors
/// 0A000 for clauses of other dialects, 42601 for named arguments.
pub(crate) fn take_apart<'n>(
    schema: Option<String>,
    name: String,
    node: &'n ast::Function,
) -> Result<CallNode<'n>, Error> {
    let mut call = CallNode {
        schema,
        name,
        args: Vec::new(),
        named: Vec::new(),
        star: false,
        distinct: false,
        order_by: Vec::new(),
        node,
    };
    let ast::FunctionArguments::List(list) = &node.args else { return Ok(call) };
    call.distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
    for arg in &list.args {
        let positional = call.args.len();
        match arg {
            // The older way to name an argument.
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::Assignment,
                right,
            })) => match left.as_ref() {
                ast::Expr::Identifier(name) => call.named.push((fold(name), right)),
                _ => return Err(Error::new("42601", "syntax error at or near \":=\"")),
            },
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => call.args.push(expr),
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) => call.star = true,
            ast::FunctionArg::Named { name, arg: ast::FunctionArgExpr::Expr(expr), .. } => {
                call.named.push((fold(name), expr));
            }
            ast::FunctionArg::ExprNamed {
                name: ast::Expr::Identifier(name),
                arg: ast::FunctionArgExpr::Expr(expr),
                ..
            } => call.named.push((fold(name), expr)),
            _ => {
                return Err(Error::unsupported(
                    format!("the argument {arg}"),
                    "Give the arguments by position.",
                ));
            }
        }
        if call.args.len() > positional && !call.named.is_empty() {
            return Err(Error::new("42601", "positional argument cannot follow named argument"));
        }
    }
    for clause in &list.clauses {
        match clause {
            ast::FunctionArgumentClause::OrderBy(order) => call.order_by.clone_from(order),
            other => {
                return Err(Error::unsupported(
                    format!("{other} in a function call"),
                    "docs/sql.md lists what is supported.",
                ));
            }
        }
    }
    Ok(call)
}

pub(crate) fn wrong_count(name: &str) -> Error {
    Error::new("42883", format!("function {name} does not exist with this number of arguments"))
}

fn declared(function: &Function, index: usize) -> Option<&PgType> {
    match function.arguments.get(index) {
        Some(kind) => Some(kind),
        None if function.variadic => function.arguments.last(),
        None => None,
    }
}

enum Choice {
    None,
    Many,
}

/// PostgreSQL's rules for overloads: exact matches first, then what implicit casts allow, the fewest of
/// them, preferred types, and for unknown literals the category.
fn choose(overloads: &[Arc<Function>], kinds: &[PgType]) -> Result<Arc<Function>, Choice> {
    let counted: Vec<&Arc<Function>> = overloads
        .iter()
        .filter(|f| {
            let least =
                f.arguments.len() - f.optional.min(f.arguments.len()) - usize::from(f.variadic);
            kinds.len() >= least && (f.variadic || kinds.len() <= f.arguments.len())
        })
        .collect();
    let exact = |f: &Function| {
        kinds.iter().enumerate().filter(|(i, kind)| is_exact(declared(f, *i), kind)).count()
    };
    if let Some(found) = counted.iter().find(|f| exact(f) == kinds.len()) {
        return Ok(Arc::clone(found));
    }
    let mut rest: Vec<&Arc<Function>> = counted
        .into_iter()
        .filter(|f| kinds.iter().enumerate().all(|(i, kind)| accepts(declared(f, i), kind)))
        .collect();
    keep_best(&mut rest, exact);
    let preferred = |f: &Function| {
        kinds
            .iter()
            .enumerate()
            .filter(|(i, kind)| {
                is_exact(declared(f, *i), kind)
                    || (**kind != PgType::Unknown
                        && declared(f, *i)
                            .is_some_and(|d| d.is_preferred() && d.category() == kind.category()))
            })
            .count()
    };
    keep_best(&mut rest, preferred);
    by_category(&mut rest, kinds);
    if rest.len() > 1 {
        let known: Vec<&PgType> = kinds.iter().filter(|kind| **kind != PgType::Unknown).collect();
        if let Some(first) = known.first()
            && known.iter().all(|kind| kind.same_base(first))
        {
            let same: Vec<&Arc<Function>> = rest
                .iter()
                .copied()
                .filter(|f| (0..kinds.len()).all(|i| is_exact(declared(f, i), first)))
                .collect();
            if let [one] = same.as_slice() {
                return Ok(Arc::clone(one));
            }
        }
    }
    match rest.as_slice() {
        [] => Err(Choice::None),
        [one] => Ok(Arc::clone(one)),
        _ => Err(Choice::Many),
    }
}

/// Unknown literals: text if any candidate takes text there, else the one category that all take.
fn by_category(rest: &mut Vec<&Arc<Function>>, kinds: &[PgType]) {
    if rest.len() < 2 {
        return;
    }
    for (index, _) in kinds.iter().enumerate().filter(|(_, kind)| **kind == PgType::Unknown) {
        let categories: Vec<Category> =
            rest.iter().filter_map(|f| declared(f, index)).map(PgType::category).collect();
        let chosen = if categories.contains(&Category::String) {
            Category::String
        } else {
            match categories.first() {
                Some(first) if categories.iter().all(|c| c == first) => *first,
                _ => continue,
            }
        };
        let of_category: Vec<&Arc<Function>> = rest
            .iter()
            .copied()
            .filter(|f| declared(f, index).is_some_and(|d| d.category() == chosen))
            .collect();
        if !of_category.is_empty() {
            *rest = of_category;
        }
        let preferred: Vec<&Arc<Function>> = rest
            .iter()
            .copied()
            .filter(|f| declared(f, index).is_some_and(PgType::is_preferred))
            .collect();
        if !preferred.is_empty() {
            *rest = preferred;
        }
    }
}

fn keep_best(rest: &mut Vec<&Arc<Function>>, score: impl Fn(&Function) -> usize) {
    let best = rest.iter().map(|f| score(f)).max().unwrap_or(0);
    rest.retain(|f| score(f) == best);
}

fn is_exact(declared: Option<&PgType>, kind: &PgType) -> bool {
    declared.is_some_and(|declared| declared.same_base(kind) && *kind != PgType::Unknown)
}

fn accepts(declared: Option<&PgType>, kind: &PgType) -> bool {
    match (declared, kind) {
        (None, _) => false,
        (Some(PgType::Any | PgType::AnyElement), _) | (Some(_), PgType::Unknown) => true,
        (Some(PgType::AnyArray), kind) => kind.element().is_some(),
        (Some(declared), kind) => needed(kind, declared) == Some(Allowed::Implicit),
    }
}

/// The literal integer, if the expression is one.
pub(crate) fn literal_int(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int16(Some(i)), _) => Some(i64::from(*i)),
        Expr::Literal(ScalarValue::Int32(Some(i)), _) => Some(i64::from(*i)),
        Expr::Literal(ScalarValue::Int64(Some(i)), _) => Some(*i),
        _ => None,
    }
}

/// `true`, for counting rows.
pub(crate) fn one() -> Expr {
    literal(ScalarValue::from(1_i64))
}

/// 1 as row numbers have it in DataFusion.
pub(crate) fn one_unsigned() -> Expr {
    literal(ScalarValue::from(1_u64))
}
