//! Rows in expressions: `ROW(…)`, comparisons of rows field by field, `OVERLAPS`.

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

use super::{Binder, Typed};
use crate::Error;
use crate::functions::{Datum, Function};
use crate::types::PgType;

/// `ROW(…)`: a record of its arguments.
static RECORD: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("row(variadic any) record", |_, a| Ok(Datum::Record(a.to_vec())))
            .with_nulls(),
    )
});

/// A record of these values, its fields so named.
pub(crate) fn record(values: Vec<Typed>, names: Vec<String>) -> Typed {
    let kinds: Vec<PgType> = values.iter().map(|value| value.kind.clone()).collect();
    let kind = PgType::Record(names.into_iter().zip(kinds.clone()).collect());
    let args = values.into_iter().map(|value| value.expr).collect();
    Typed::new(RECORD.call(args, kinds, kind.clone()), kind)
}

impl Binder<'_> {
    /// `(start, end) OVERLAPS (start, end)`; an end may be an interval from its start.
    pub(super) fn overlaps(&mut self, left: &ast::Expr, right: &ast::Expr) -> Result<Typed, Error> {
        let side = |node| row_items(node).filter(|items| items.len() == 2);
        let (Some(left), Some(right)) = (side(left), side(right)) else {
            let words = "wrong number of parameters on one side of OVERLAPS expression";
            return Err(Error::new("42601", words));
        };
        let mut args = Vec::with_capacity(4);
        for side in [left, right] {
            let ends = side.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
            let [start, end] = <[Typed; 2]>::try_from(ends)
                .map_err(|_| Error::internal("a side of OVERLAPS has two ends"))?;
            let end = if end.kind == PgType::Interval {
                self.binary(start.clone(), &ast::BinaryOperator::Plus, end)?
            } else {
                end
            };
            args.extend([start, end]);
        }
        self.call("overlaps", args)
    }

    /// `(a, b) = (c, d)`, `(a, b) < (c, d)`: field by field.
    pub(super) fn row_comparison(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Option<Typed>, Error> {
        use ast::BinaryOperator as B;
        let (Some(left), Some(right)) = (row_items(left), row_items(right)) else {
            return Ok(None);
        };
        if left.len() != right.len() {
            return Err(Error::new("42601", "unequal number of entries in row expressions"));
        }
        let mut pairs = Vec::with_capacity(left.len());
        for (a, b) in left.iter().zip(right) {
            pairs.push((self.expr(a)?, self.expr(&b)?));
        }
        let strict = match op {
            B::Eq | B::NotEq => B::Eq,
            B::Lt | B::LtEq => B::Lt,
            B::Gt | B::GtEq => B::Gt,
            _ => return Ok(None),
        };
        let mut result: Option<Expr> = None;
        for (index, (a, b)) in pairs.into_iter().enumerate().rev() {
            let _last = index;
            let equal = self.binary(a.clone(), &B::Eq, b.clone())?.expr;
            result = Some(match (&result, op) {
                (None, B::Eq | B::NotEq) => equal,
                (Some(rest), B::Eq | B::NotEq) => equal.and(rest.clone()),
                (None, _) => self.binary(a, op, b)?.expr,
                (Some(rest), _) => {
                    let first = self.binary(a, &strict, b)?.expr;
                    first.or(equal.and(rest.clone()))
                }
            });
        }
        let result = result.ok_or_else(|| Error::new("42601", "an empty row"))?;
        let result = if *op == B::NotEq { Expr::Not(Box::new(result)) } else { result };
        Ok(Some(Typed::new(result, PgType::Bool)))
    }

    pub(super) fn row(&mut self, values: Vec<Typed>) -> Result<Typed, Error> {
        let values =
            values.into_iter().map(|value| self.settled(value)).collect::<Result<Vec<_>, _>>()?;
        let names = (1..=values.len()).map(|i| format!("f{i}")).collect();
        Ok(record(values, names))
    }

    pub(crate) fn row_of(&mut self, items: &[ast::Expr]) -> Result<Typed, Error> {
        let values = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
        self.row(values)
    }
}

/// The items of `(a, b)` or `ROW(a, b)`.
pub(super) fn row_items(node: &ast::Expr) -> Option<Vec<ast::Expr>> {
    match node {
        ast::Expr::Nested(inner) => row_items(inner),
        ast::Expr::Tuple(items) => Some(items.clone()),
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            match &function.args {
                ast::FunctionArguments::List(list) => list
                    .args
                    .iter()
                    .map(|arg| match arg {
                        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => Some(e.clone()),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            }
        }
        _ => None,
    }
}
