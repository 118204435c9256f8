//! Whole queries: WITH, the body, ORDER BY, LIMIT.

use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use datafusion::sql::sqlparser::ast;

use super::cast::literal;
use super::scope::{Clause, Level, Relation, Scope, ScopeColumn};
use super::{Allowed, Binder, Cte, Output, Rows, Typed, column, fold, project};
use crate::Error;
use crate::types::PgType;

/// A query before its rows are sorted and cut: the plan may have columns beyond `columns`, for sorting.
pub(crate) struct Parts {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Output>,
    pub(crate) sort: Vec<SortExpr>,
    pub(crate) skip: Option<Expr>,
    pub(crate) fetch: Option<Expr>,
}

impl Binder<'_> {
    /// A query with everything that belongs to it.
    pub(crate) fn query(&mut self, query: &ast::Query) -> Result<Rows, Error> {
        let parts = self.query_parts(query)?;
        finish(parts)
    }

    /// A query whose order and cut are still to be made.
    pub(crate) fn query_parts(&mut self, query: &ast::Query) -> Result<Parts, Error> {
        self.deeper()?;
        let mark = self.ctes.len();
        let parts = self.query_here(query);
        self.ctes.truncate(mark);
        self.depth -= 1;
        parts
    }

    fn query_here(&mut self, query: &ast::Query) -> Result<Parts, Error> {
        if !query.locks.is_empty() {
            return Err(Error::unsupported(
                "a row lock in a subquery",
                "Write FOR UPDATE at the end of the outermost SELECT.",
            ));
        }
        let foreign = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if foreign {
            return Err(Error::unsupported(
                "a clause of another dialect",
                "docs/sql.md lists what is supported.",
            ));
        }
        if let Some(with) = &query.with {
            let targets = self.targets.take();
            self.with(with)?;
            self.targets = targets;
        }
        let order = order_items(query)?;
        let mut parts = match query.body.as_ref() {
            ast::SetExpr::Select(select) => self.select(select, order)?,
            body => {
                let rows = self.set_expr(body)?;
                self.sorted_set(rows, order)?
            }
        };
        self.cut(query, &mut parts)?;
        Ok(parts)
    }

    /// ORDER BY of a set operation: its columns only, by name or number.
    fn sorted_set(&self, rows: Rows, order: &[ast::OrderByExpr]) -> Result<Parts, Error> {
        let mut sort = Vec::with_capacity(order.len());
        for item in order {
            let output = self.output_of(&rows.columns, &item.expr, true)?.cloned();
            let Some(output) = output else {
                if let ast::Expr::Identifier(ident) = &item.expr {
                    return Err(Error::UndefinedColumn {
                        message: format!("column \"{}\" does not exist", fold(ident)),
                        position: self.position(&item.expr),
                    });
                }
                return Err(Error::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                    .with_detail("Only result column names can be used, not expressions or functions.")
                    .with_hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause.")
                    .at(self.position(&item.expr)));
            };
            let value = Typed::new(column(&output.column), output.kind);
            sort.push(self.sort_by(value, item)?);
        }
        Ok(Parts { plan: rows.plan, columns: rows.columns, sort, skip: None, fetch: None })
    }

    /// The output column that an item of ORDER BY or GROUP BY names by number or alias.
    pub(crate) fn output_of<'o>(
        &self,
        outputs: &'o [Output],
        node: &ast::Expr,
        names: bool,
    ) -> Result<Option<&'o Output>, Error> {
        match node {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(text, _) => {
                    let number: usize = text.parse().map_err(|_| {
                        Error::new("42601", "non-integer constant in ORDER BY")
                            .at(self.position(node))
                    })?;
                    number.checked_sub(1).and_then(|i| outputs.get(i)).map(Some).ok_or_else(|| {
                        Error::new(
                            "42P10",
                            format!("ORDER BY position {number} is not in select list"),
                        )
                        .at(self.position(node))
                    })
                }
                ast::Value::SingleQuotedString(_) | ast::Value::Null | ast::Value::Boolean(_) => {
                    Err(Error::new("42601", "non-integer constant in ORDER BY")
                        .at(self.position(node)))
                }
                _ => Ok(None),
            },
            ast::Expr::Identifier(ident) if names => {
                let name = fold(ident);
                let found: Vec<&Output> = outputs.iter().filter(|o| o.name == name).collect();
                match found.as_slice() {
                    [] => Ok(None),
                    [one, rest @ ..] if rest.iter().all(|o| o.column == one.column) => {
                        Ok(Some(one))
                    }
                    _ => Err(Error::new("42702", format!("ORDER BY \"{name}\" is ambiguous"))
                        .at(self.position(node))),
                }
            }
            _ => Ok(None),
        }
    }

    /// One item of ORDER BY with PostgreSQL's place for NULLs.
    pub(crate) fn sort_by(&self, value: Typed, item: &ast::OrderByExpr) -> Result<SortExpr, Error> {
        if item.with_fill.is_some() {
            return Err(Error::unsupported("WITH FILL", "Join with generate_series."));
        }
        let asc = item.options.asc.unwrap_or(true);
        let nulls_first = item.options.nulls_first.unwrap_or(!asc);
        let value = self.sortable(value)?;
        Ok(SortExpr::new(value, asc, nulls_first))
    }

    /// The value in a type whose Arrow order is PostgreSQL's.
    fn sortable(&self, value: Typed) -> Result<Expr, Error> {
        match &value.kind {
            PgType::Json => {
                Err(Error::new("42883", "could not identify an ordering operator for type json"))
            }
            PgType::Jsonb | PgType::Record(_) => Err(Error::unsupported(
                format!("the order of {} values", value.kind),
                "Order by a field.",
            )),
            PgType::Interval => {
                let kind = PgType::Numeric(crate::types::Numeric {
                    precision: 38,
                    scale: 0,
                    digits: crate::types::Digits::Fixed,
                });
                let key = crate::functions::operators::interval_key();
                Ok(key.call(vec![value.expr], vec![PgType::Interval], kind))
            }
            PgType::Numeric(n) if n.is_free() => Ok(super::operator::numeric_key(value)?.expr),
            _ => Ok(value.expr),
        }
    }

    /// The value in a type whose Arrow equality is PostgreSQL's, for GROUP BY and DISTINCT.
    pub(crate) fn groupable(&self, value: Typed) -> Result<Expr, Error> {
        match &value.kind {
            PgType::Json => {
                Err(Error::new("42883", "could not identify an equality operator for type json"))
            }
            PgType::Interval | PgType::Record(_) => Err(Error::unsupported(
                format!("grouping by {}", value.kind),
                "Group by its fields, or by extract(epoch from …).",
            )),
            PgType::Float4 | PgType::Float8 => Ok(super::operator::float_key(value).expr),
            PgType::Numeric(n) if n.is_free() => Ok(super::operator::numeric_key(value)?.expr),
            _ => Ok(value.expr),
        }
    }

    /// LIMIT, OFFSET, FETCH.
    fn cut(&mut self, query: &ast::Query, parts: &mut Parts) -> Result<(), Error> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by })
                if limit_by.is_empty() =>
            {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => {
                return Err(Error::new("42601", "LIMIT #,# syntax is not supported")
                    .with_hint("Use separate LIMIT and OFFSET clauses."));
            }
        };
        parts.skip = match offset {
            Some(node) => self.count_expr(node, "OFFSET")?,
            None => None,
        };
        parts.fetch = match (limit, &query.fetch) {
            (Some(node), None) => self.count_expr(node, "LIMIT")?,
            (None, Some(fetch)) => {
                if fetch.with_ties || fetch.percent {
                    return Err(Error::unsupported(
                        "FETCH … WITH TIES",
                        "Use rank() in a subquery.",
                    ));
                }
                match &fetch.quantity {
                    Some(node) => self.count_expr(node, "LIMIT")?,
                    None => Some(super::call::one()),
                }
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Error::new("42601", "multiple LIMIT clauses not allowed"));
            }
        };
        Ok(())
    }

    fn count_expr(&mut self, node: &ast::Expr, what: &str) -> Result<Option<Expr>, Error> {
        if let ast::Expr::Identifier(ident) = node
            && fold(ident) == "all"
        {
            return Ok(None);
        }
        self.levels.push(Level::new(Scope::default()));
        self.level()?.clause = Clause::Limit;
        let value = self.expr(node);
        self.levels.pop();
        let value = value.map_err(|error| match error.sqlstate().as_str() {
            "42703" => {
                Error::new("42P10", format!("argument of {what} must not contain variables"))
            }
            _ => error,
        })?;
        let value = self.cast(value, &PgType::Int8, Allowed::Assignment)?;
        match &value.expr {
            Expr::Literal(ScalarValue::Int64(None), _) => return Ok(None),
            Expr::Literal(ScalarValue::Int64(Some(n)), _) if *n < 0 => {
                let state = if what == "LIMIT" { "2201W" } else { "2201X" };
                return Err(Error::new(state, format!("{what} must not be negative"))
                    .at(self.position(node)));
            }
            _ => {}
        }
        Ok(Some(value.expr))
    }

    fn with(&mut self, with: &ast::With) -> Result<(), Error> {
        let first = self.ctes.len();
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            if self.ctes.iter().skip(first).any(|known| known.name == name) {
                return Err(Error::new(
                    "42712",
                    format!("WITH query name \"{name}\" specified more than once"),
                )
                .at(self.position_of(cte.alias.name.span)));
            }
            if cte.from.is_some() {
                return Err(Error::unsupported(
                    "FROM in a WITH query",
                    "docs/sql.md lists what is supported.",
                ));
            }
            let rows = if with.recursive && mentions(&cte.query, &name) {
                self.recursive(cte, &name)?
            } else {
                self.detached(|binder| binder.query(&cte.query))?
            };
            let rows = self.settle_rows(rows)?;
            let columns = rename(rows.columns, &cte.alias)?;
            let volatile = is_volatile(&rows.plan)?;
            self.ctes.push(Cte {
                name,
                rows: Rows { plan: rows.plan, columns },
                volatile,
                used: false,
            });
        }
        Ok(())
    }

    /// Runs without the levels around hiding behind it; outer columns stay visible.
    fn detached<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let targets = self.targets.take();
        let result = run(self);
        self.targets = targets;
        result
    }

    /// Columns that stayed unknown become text.
    pub(crate) fn settle_rows(&mut self, rows: Rows) -> Result<Rows, Error> {
        if rows.columns.iter().all(|c| c.kind != PgType::Unknown) {
            return Ok(rows);
        }
        let kinds: Vec<PgType> = rows
            .columns
            .iter()
            .map(|c| if c.kind == PgType::Unknown { PgType::Text } else { c.kind.clone() })
            .collect();
        self.cast_rows(rows, &kinds, Allowed::Implicit)
    }

    /// The rows with their columns cast.
    pub(crate) fn cast_rows(
        &mut self,
        rows: Rows,
        kinds: &[PgType],
        allowed: Allowed,
    ) -> Result<Rows, Error> {
        if rows.columns.iter().zip(kinds).all(|(c, kind)| c.kind == *kind) {
            return Ok(rows);
        }
        let mut exprs = Vec::with_capacity(kinds.len());
        let mut columns = Vec::with_capacity(kinds.len());
        let mut seen = std::collections::HashSet::new();
        for (output, kind) in rows.columns.into_iter().zip(kinds) {
            let value = Typed {
                expr: column(&output.column),
                kind: output.kind.clone(),
                origin: output.origin,
            };
            // An expression that stands twice in a select list is one column of its plan.
            let again = !seen.insert(output.column.clone());
            if output.kind == *kind && !again {
                exprs.push((value.expr, output.column.clone()));
                columns.push(output);
                continue;
            }
            let value = if output.kind == *kind { value } else { self.cast(value, kind, allowed)? };
            let name = self.fresh('c');
            exprs.push((value.expr, name.clone()));
            columns.push(Output { column: name, kind: value.kind, origin: None, ..output });
        }
        Ok(Rows { plan: project(rows.plan, exprs)?, columns })
    }

    fn recursive(&mut self, cte: &ast::Cte, name: &str) -> Result<Rows, Error> {
        let ast::SetExpr::SetOperation { op: ast::SetOperator::Union, set_quantifier, left, right } =
            cte.query.body.as_ref()
        else {
            return Err(Error::new(
                "42P19",
                format!(
                    "recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term"
                ),
            ));
        };
        let cut = cte.query.order_by.is_some()
            || cte.query.limit_clause.is_some()
            || cte.query.fetch.is_some();
        if cut {
            return Err(Error::new("0A000", "ORDER BY in a recursive query is not implemented"));
        }
        let all = matches!(set_quantifier, ast::SetQuantifier::All);
        let first = self.set_expr(left)?;
        let first = self.settle_rows(first)?;
        let columns = rename(first.columns, &cte.alias)?;
        let kinds: Vec<PgType> = columns.iter().map(|c| c.kind.bare()).collect();
        // An expression that stands twice is one column of the plan, but two of the work table.
        let first = self.renamed_apart(Rows { plan: first.plan, columns })?;
        let first = self.cast_rows(first, &kinds, Allowed::Implicit)?;
        let table = format!("{name}_{}", self.fresh('r'));
        let schema = arrow::datatypes::Schema::new(
            first.columns.iter().map(|c| c.kind.field(&c.column)).collect::<Vec<_>>(),
        );
        let work = datafusion::catalog::cte_worktable::CteWorkTable::new(
            &table,
            std::sync::Arc::new(schema),
        );
        let source = provider_as_source(std::sync::Arc::new(work));
        let scan = LogicalPlanBuilder::scan(table.clone(), source, None)?.build()?;
        let qualified = first.columns.iter().map(|c| {
            let of_table = datafusion::common::Column::new(Some(table.clone()), c.column.clone());
            (Expr::Column(of_table), c.column.clone())
        });
        let scan = project(scan, qualified.collect::<Vec<_>>())?;
        let rows = Rows { plan: scan, columns: first.columns.clone() };
        self.ctes.push(Cte { name: name.to_owned(), rows, volatile: false, used: false });
        let step = self.set_expr(right);
        self.ctes.pop();
        let step = self.same_kinds(step?, &kinds, name)?;
        // The step's columns take the names of the first term's.
        let pairs = step.columns.iter().zip(&first.columns);
        let step = project(
            step.plan,
            pairs.map(|(s, f)| (column(&s.column), f.column.clone())).collect::<Vec<_>>(),
        )?;
        let plan =
            LogicalPlanBuilder::from(first.plan).to_recursive_query(table, step, !all)?.build()?;
        Ok(Rows { plan, columns: first.columns })
    }

    fn same_kinds(&mut self, step: Rows, kinds: &[PgType], name: &str) -> Result<Rows, Error> {
        if step.columns.len() != kinds.len() {
            return Err(Error::new(
                "42601",
                "each UNION query must have the same number of columns",
            ));
        }
        for (index, (output, kind)) in step.columns.iter().zip(kinds).enumerate() {
            let fits = output.kind == PgType::Unknown
                || super::cast::needed(&output.kind, kind) == Some(Allowed::Implicit);
            if !fits {
                return Err(Error::new(
                    "42804",
                    format!(
                        "recursive query \"{name}\" column {} has type {kind} in non-recursive term but type {} overall",
                        index + 1,
                        output.kind
                    ),
                )
                .with_hint("Cast the output of the non-recursive term to the correct type."));
            }
        }
        self.cast_rows(step, kinds, Allowed::Assignment)
    }

    /// The rows of a WITH query where it is named, with names of their own.
    pub(crate) fn cte(&mut self, name: &str) -> Result<Option<Rows>, Error> {
        let Some(index) = self.ctes.iter().rposition(|cte| cte.name == name) else {
            return Ok(None);
        };
        let Some(cte) = self.ctes.get_mut(index) else { return Ok(None) };
        if cte.volatile && cte.used {
            return Err(Error::unsupported(
                format!(
                    "a second use of the WITH query \"{name}\", which calls a volatile function"
                ),
                "Store its rows in a table first.",
            ));
        }
        cte.used = true;
        let rows = cte.rows.clone();
        Ok(Some(self.renamed_apart(rows)?))
    }

    /// The same rows under fresh plan names, so that they can stand twice in one plan.
    pub(crate) fn renamed_apart(&mut self, rows: Rows) -> Result<Rows, Error> {
        let mut exprs = Vec::with_capacity(rows.columns.len());
        let mut columns = Vec::with_capacity(rows.columns.len());
        for output in rows.columns {
            let name = self.fresh('c');
            exprs.push((column(&output.column), name.clone()));
            columns.push(Output { column: name, ..output });
        }
        Ok(Rows { plan: project(rows.plan, exprs)?, columns })
    }
}

/// Sorts and cuts, then keeps only the result's columns.
pub(crate) fn finish(parts: Parts) -> Result<Rows, Error> {
    let rows = finish_keeping(parts)?;
    let extra = rows.plan.schema().fields().len() != rows.columns.len();
    let mut seen = std::collections::HashSet::new();
    let twice = rows.columns.iter().any(|c| !seen.insert(c.column.as_str()));
    if !extra || twice {
        return Ok(rows);
    }
    let keep = rows.columns.iter().map(|c| (column(&c.column), c.column.clone()));
    let plan = project(rows.plan, keep.collect::<Vec<_>>())?;
    Ok(Rows { plan, columns: rows.columns })
}

/// Sorts and cuts; columns that only sorting needed stay in the plan.
pub(crate) fn finish_keeping(parts: Parts) -> Result<Rows, Error> {
    let mut builder = LogicalPlanBuilder::from(parts.plan);
    if !parts.sort.is_empty() {
        builder = builder.sort(parts.sort)?;
    }
    if parts.skip.is_some() || parts.fetch.is_some() {
        builder = builder.limit_by_expr(parts.skip, parts.fetch)?;
    }
    Ok(Rows { plan: builder.build()?, columns: parts.columns })
}

fn order_items(query: &ast::Query) -> Result<&[ast::OrderByExpr], Error> {
    match &query.order_by {
        None => Ok(&[]),
        Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(items), interpolate: None }) => {
            Ok(items)
        }
        Some(_) => Err(Error::unsupported("ORDER BY ALL", "Name the columns.")),
    }
}

/// Names from `AS t(a, b)`; columns beyond the list keep theirs.
pub(crate) fn rename(
    mut columns: Vec<Output>,
    alias: &ast::TableAlias,
) -> Result<Vec<Output>, Error> {
    if alias.columns.len() > columns.len() {
        return Err(Error::new(
            "42P10",
            format!(
                "table \"{}\" has {} columns available but {} columns specified",
                fold(&alias.name),
                columns.len(),
                alias.columns.len()
            ),
        ));
    }
    for (output, definition) in columns.iter_mut().zip(&alias.columns) {
        output.name = fold(&definition.name);
    }
    Ok(columns)
}

/// The relation that these rows are under a name.
pub(crate) fn relation(name: String, columns: &[Output]) -> Relation {
    let columns = columns
        .iter()
        .map(|output| ScopeColumn {
            name: output.name.clone(),
            column: output.column.clone(),
            kind: output.kind.clone(),
            origin: output.origin,
            hidden: false,
        })
        .collect();
    Relation { schema: None, name, columns, scalar: false }
}

/// Whether the query names a relation without a schema.
fn mentions(query: &ast::Query, name: &str) -> bool {
    let mut found = false;
    let _flow = ast::visit_relations(query, |relation| {
        if let [ast::ObjectNamePart::Identifier(ident)] = relation.0.as_slice() {
            found |= fold(ident) == name;
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

pub(super) fn is_volatile(plan: &LogicalPlan) -> Result<bool, Error> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut volatile = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarFunction(call) = e
                    && crate::apply::Apply::of(&call.func)
                        .is_none_or(crate::apply::Apply::is_volatile)
                    && call.func.signature().volatility
                        == datafusion::logical_expr::Volatility::Volatile
                {
                    volatile = true;
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(volatile)
}

/// `true`
pub(crate) fn yes() -> Expr {
    literal(ScalarValue::from(true))
}
