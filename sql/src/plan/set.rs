//! UNION, INTERSECT, EXCEPT, VALUES, TABLE: bodies that are no plain SELECT.

use datafusion::common::{Column, NullEquality};
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition,
};
use datafusion::sql::sqlparser::ast;

use super::scope::{Clause, Level, Scope};
use super::{Allowed, Binder, Output, Rows, Typed, column, project};
use crate::Error;
use crate::types::PgType;

impl Binder<'_> {
    pub(crate) fn set_expr(&mut self, body: &ast::SetExpr) -> Result<Rows, Error> {
        self.deeper()?;
        let rows = self.set_expr_here(body);
        self.depth -= 1;
        rows
    }

    fn set_expr_here(&mut self, body: &ast::SetExpr) -> Result<Rows, Error> {
        match body {
            ast::SetExpr::Select(select) => {
                let parts = self.select(select, &[])?;
                super::query::finish(parts)
            }
            ast::SetExpr::Query(query) => self.query(query),
            ast::SetExpr::Values(values) => self.values(values),
            ast::SetExpr::Table(table) => self.table_command(table),
            ast::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operation(left, *op, *set_quantifier, right)
            }
            ast::SetExpr::Insert(_)
            | ast::SetExpr::Update(_)
            | ast::SetExpr::Delete(_)
            | ast::SetExpr::Merge(_) => Err(Error::new(
                "0A000",
                "WITH clause containing a data-modifying statement must be at the top level",
            )
            .with_hint("Move it to the statement's own WITH, or run it on its own.")),
        }
    }

    fn set_operation(
        &mut self,
        left: &ast::SetExpr,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        right: &ast::SetExpr,
    ) -> Result<Rows, Error> {
        let (word, all) = match (op, quantifier) {
            (
                _,
                ast::SetQuantifier::ByName
                | ast::SetQuantifier::AllByName
                | ast::SetQuantifier::DistinctByName,
            ) => {
                return Err(Error::unsupported(
                    "set operations BY NAME",
                    "Put the columns in the same order.",
                ));
            }
            (ast::SetOperator::Union, q) => ("UNION", q == ast::SetQuantifier::All),
            (ast::SetOperator::Intersect, q) => ("INTERSECT", q == ast::SetQuantifier::All),
            (_, q) => ("EXCEPT", q == ast::SetQuantifier::All),
        };
        let left = self.set_expr(left)?;
        let right = self.set_expr(right)?;
        if left.columns.len() != right.columns.len() {
            return Err(Error::new(
                "42601",
                format!("each {word} query must have the same number of columns"),
            ));
        }
        let mut kinds = Vec::with_capacity(left.columns.len());
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let kind = self.common_type(&[a.kind.clone(), b.kind.clone()], word)?;
            // A modifier that one side has cuts no literal or parameter on the other.
            let unknown = a.kind == PgType::Unknown || b.kind == PgType::Unknown;
            kinds.push(if unknown { kind.bare() } else { kind });
        }
        if !(op == ast::SetOperator::Union && all) {
            for kind in &kinds {
                self.groupable(Typed::null(kind.clone())?)?;
            }
        }
        let left = self.cast_rows(left, &kinds, Allowed::Implicit)?;
        let right = self.cast_rows(right, &kinds, Allowed::Implicit)?;
        let (left, columns) = self.aligned(left)?;
        // Both sides carry the same names, so that the plan's schemas agree.
        let pairs: Vec<(Expr, String)> = right
            .columns
            .iter()
            .zip(&columns)
            .map(|(r, l)| (column(&r.column), l.column.clone()))
            .collect();
        let right = project(right.plan, pairs)?;
        let plan = match (op, all) {
            (ast::SetOperator::Union, true) => {
                LogicalPlanBuilder::from(left).union(right)?.build()?
            }
            (ast::SetOperator::Union, false) => {
                let all = LogicalPlanBuilder::from(left).union(right)?.build()?;
                let all = self.unqualified(all, columns.clone())?.plan;
                self.distinct_rows(all, &columns)?
            }
            (op, false) => {
                let left = self.distinct_rows(left, &columns)?;
                self.matched(left, right, &columns, op)?
            }
            (op, true) => self.counted(left, right, columns.clone(), op)?,
        };
        self.unqualified(plan, columns)
    }

    /// Rows under fresh names without qualifiers or repetitions.
    fn aligned(&mut self, rows: Rows) -> Result<(LogicalPlan, Vec<Output>), Error> {
        let rows = self.renamed_apart(rows)?;
        let columns =
            rows.columns.into_iter().map(|c| Output { origin: None, ..c }).collect::<Vec<_>>();
        Ok((rows.plan, columns))
    }

    fn unqualified(&self, plan: LogicalPlan, columns: Vec<Output>) -> Result<Rows, Error> {
        let schema = plan.schema();
        let mut exprs = Vec::with_capacity(columns.len());
        for (index, output) in columns.iter().enumerate() {
            let (qualifier, field) = schema.qualified_field(index);
            let source = Column::from((qualifier, field));
            exprs.push((Expr::Column(source), output.column.clone()));
        }
        let plan = project(plan, exprs)?;
        Ok(Rows { plan, columns })
    }

    /// INTERSECT ALL and EXCEPT ALL: equal rows are numbered, and the numbers compared with them.
    fn counted(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        mut columns: Vec<Output>,
        op: ast::SetOperator,
    ) -> Result<LogicalPlan, Error> {
        let number = self.fresh('n');
        let left = self.numbered(left, &columns, &number)?;
        let right = self.numbered(right, &columns, &number)?;
        columns.push(Output {
            name: number.clone(),
            column: number,
            kind: PgType::Int8,
            origin: None,
        });
        self.matched(left, right, &columns, op)
    }

    /// The rows with a number among their equals.
    fn numbered(
        &self,
        plan: LogicalPlan,
        columns: &[Output],
        name: &str,
    ) -> Result<LogicalPlan, Error> {
        let number = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params: WindowFunctionParams {
                args: Vec::new(),
                partition_by: self.keys(columns)?,
                order_by: Vec::new(),
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let title = number.schema_name().to_string();
        let plan = LogicalPlanBuilder::from(plan).window(vec![number])?.build()?;
        let mut exprs = kept(columns);
        exprs.push((column(&title), name.to_owned()));
        project(plan, exprs)
    }

    /// The columns in the form whose Arrow equality is PostgreSQL's.
    fn keys(&self, columns: &[Output]) -> Result<Vec<Expr>, Error> {
        let typed = |c: &Output| Typed::new(column(&c.column), c.kind.clone());
        columns.iter().map(|c| self.groupable(typed(c))).collect()
    }

    /// Each row once. Of numbers that differ only in scale one is shown.
    pub(crate) fn distinct_rows(
        &mut self,
        plan: LogicalPlan,
        columns: &[Output],
    ) -> Result<LogicalPlan, Error> {
        let keys = self.keys(columns)?;
        if columns.iter().zip(&keys).all(|(c, key)| column(&c.column) == *key) {
            return Ok(LogicalPlanBuilder::from(plan).distinct()?.build()?);
        }
        let (mut below, mut groups, mut shown, mut above) = (kept(columns), vec![], vec![], vec![]);
        for (c, key) in columns.iter().zip(keys) {
            if column(&c.column) == key {
                groups.push(key);
                above.push((column(&c.column), c.column.clone()));
                continue;
            }
            let name = self.fresh('g');
            below.push((key, name.clone()));
            groups.push(column(&name));
            if !matches!(c.kind, PgType::Numeric(_)) {
                above.push((column(&name), c.column.clone()));
                continue;
            }
            let least = self.fresh('a');
            shown.push(min_udaf().call(vec![column(&c.column)]).alias(&least));
            above.push((column(&least), c.column.clone()));
        }
        let plan = project(plan, without_repetitions(below))?;
        let plan = LogicalPlanBuilder::from(plan).aggregate(groups, shown)?.build()?;
        project(plan, without_repetitions(above))
    }

    /// The left rows that the right has (INTERSECT), or hasn't (EXCEPT).
    fn matched(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        columns: &[Output],
        op: ast::SetOperator,
    ) -> Result<LogicalPlan, Error> {
        let keys = self.keys(columns)?;
        let mut of_left = kept(columns);
        let mut of_right = Vec::with_capacity(keys.len());
        for key in keys {
            let (l, r) = (self.fresh('k'), self.fresh('k'));
            of_left.push((key.clone(), l));
            of_right.push((key, r));
        }
        let names = |pairs: &[(Expr, String)]| -> Vec<Column> {
            pairs.iter().map(|(_, name)| Column::from_name(name)).collect()
        };
        let on = (names(of_left.get(columns.len()..).unwrap_or_default()), names(&of_right));
        let kind = match op {
            ast::SetOperator::Intersect => JoinType::LeftSemi,
            _ => JoinType::LeftAnti,
        };
        let plan = LogicalPlanBuilder::from(project(left, of_left)?)
            .join_detailed(project(right, of_right)?, kind, on, None, NullEquality::NullEqualsNull)?
            .build()?;
        project(plan, kept(columns))
    }

    fn values(&mut self, values: &ast::Values) -> Result<Rows, Error> {
        let width = values.rows.first().map_or(0, |row| row.len());
        if values.rows.iter().any(|row| row.len() != width) {
            return Err(Error::new("42601", "VALUES lists must all be the same length"));
        }
        let targets = self.targets.take();
        let mut cells: Vec<Vec<Typed>> =
            (0..width).map(|_| Vec::with_capacity(values.rows.len())).collect();
        self.levels.push(Level::new(Scope::default()));
        self.level()?.clause = Clause::Values;
        let bound = self.value_rows(values, &mut cells);
        self.levels.pop();
        bound?;
        let mut kinds = Vec::with_capacity(width);
        let mut unified = Vec::with_capacity(width);
        for (index, column) in cells.into_iter().enumerate() {
            let target = targets.as_ref().and_then(|targets| targets.get(index));
            let (column, kind) = match target {
                Some(target) => {
                    let column = column
                        .into_iter()
                        .map(|cell| self.assign_cell(cell, target))
                        .collect::<Result<Vec<_>, _>>()?;
                    let kinds: Vec<PgType> = column.iter().map(|cell| cell.kind.clone()).collect();
                    let kind = self.common_type(&kinds, "VALUES")?;
                    let column = column
                        .into_iter()
                        .map(|cell| self.cast(cell, &kind, Allowed::Implicit))
                        .collect::<Result<Vec<_>, _>>()?;
                    (column, kind)
                }
                None => self.unify(column, "VALUES")?,
            };
            kinds.push(kind);
            unified.push(column.into_iter());
        }
        let mut rows = Vec::with_capacity(values.rows.len());
        for _ in &values.rows {
            rows.push(
                unified.iter_mut().filter_map(Iterator::next).map(|cell| cell.expr).collect(),
            );
        }
        self.value_plan(rows, kinds)
    }

    fn value_rows(&mut self, values: &ast::Values, cells: &mut [Vec<Typed>]) -> Result<(), Error> {
        for row in &values.rows {
            for (cell, column) in row.iter().zip(cells.iter_mut()) {
                column.push(self.expr(cell)?);
            }
        }
        Ok(())
    }

    /// A cell on its way into a column: literals and parameters read as the column's type.
    pub(crate) fn assign_cell(&mut self, cell: Typed, target: &PgType) -> Result<Typed, Error> {
        if cell.kind == PgType::Unknown {
            return self.cast(cell, target, Allowed::Assignment);
        }
        Ok(cell)
    }

    fn value_plan(&mut self, rows: Vec<Vec<Expr>>, kinds: Vec<PgType>) -> Result<Rows, Error> {
        let columns: Vec<Output> = kinds
            .into_iter()
            .enumerate()
            .map(|(index, kind)| Output {
                name: format!("column{}", index + 1),
                column: self.fresh('c'),
                kind,
                origin: None,
            })
            .collect();
        let complex = rows.iter().flatten().any(|cell| cell.contains_outer() || has_subquery(cell));
        let plan = if rows.len() == 1 || complex {
            let mut plans = Vec::with_capacity(rows.len());
            for row in rows {
                let empty = LogicalPlanBuilder::empty(true).build()?;
                let cells = row.into_iter().zip(columns.iter().map(|c| c.column.clone()));
                plans.push(project(empty, cells.collect::<Vec<_>>())?);
            }
            let mut plans = plans.into_iter();
            let first = plans.next().ok_or_else(|| Error::new("42601", "VALUES without rows"))?;
            plans.try_fold(first, |all, next| LogicalPlanBuilder::from(all).union(next)?.build())?
        } else {
            let plan = LogicalPlanBuilder::values(rows)?.build()?;
            return self.unqualified(plan, columns);
        };
        Ok(Rows { plan, columns })
    }

    fn table_command(&mut self, table: &ast::Table) -> Result<Rows, Error> {
        let mut parts = Vec::new();
        parts.extend(table.schema_name.as_ref().map(ast::Ident::new));
        parts.extend(table.table_name.as_ref().map(ast::Ident::new));
        let name = ast::ObjectName::from(parts);
        let (plan, scope) = self.named_relation(&name, None)?;
        let columns = scope
            .visible
            .into_iter()
            .filter(|c| !c.hidden)
            .map(|c| Output { name: c.name, column: c.column, kind: c.kind, origin: c.origin })
            .collect::<Vec<_>>();
        let keep = columns.iter().map(|c| (column(&c.column), c.column.clone()));
        let plan = project(plan, keep.collect::<Vec<_>>())?;
        Ok(Rows { plan, columns })
    }
}

pub(super) fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
    .unwrap_or(true)
}

/// The columns as they are.
fn kept(columns: &[Output]) -> Vec<(Expr, String)> {
    columns.iter().map(|c| (column(&c.column), c.column.clone())).collect()
}

/// A query may name a column twice; its plan has it once.
fn without_repetitions(exprs: Vec<(Expr, String)>) -> Vec<(Expr, String)> {
    let mut seen = std::collections::HashSet::new();
    exprs.into_iter().filter(|(_, name)| seen.insert(name.clone())).collect()
}
