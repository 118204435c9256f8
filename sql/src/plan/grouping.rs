//! GROUP BY: plain, ROLLUP, CUBE, GROUPING SETS; and the rule that what isn't grouped is aggregated.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, GroupingSet};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, when};
use datafusion::sql::sqlparser::ast;
use ledger::catalog::IndexOrigin;

use super::scope::{Clause, ScopeColumn};
use super::select::Bound;
use super::{Binder, Typed, column, fold, project};
use crate::Error;
use crate::types::PgType;

/// An expression that is grouped by.
#[derive(Clone)]
struct Group {
    /// In the form whose Arrow equality is PostgreSQL's.
    key: Expr,
    /// As it was written.
    value: Typed,
}

/// What is grouped by: the expressions, and the sets of them that make the groups.
pub(crate) struct Groups {
    exprs: Vec<Group>,
    /// Indexes into `exprs`; a single set for a plain GROUP BY.
    sets: Vec<Vec<usize>>,
}

impl Groups {
    pub(crate) fn expressions(&self) -> Vec<Expr> {
        self.exprs.iter().map(|group| group.key.clone()).collect()
    }
}

/// More sets than this are refused (PostgreSQL's own bound).
const MAX_SETS: usize = 4096;

impl Binder<'_> {
    /// Binds GROUP BY.
    pub(crate) fn groups(&mut self, select: &ast::Select) -> Result<Option<Groups>, Error> {
        let ast::GroupByExpr::Expressions(nodes, modifiers) = &select.group_by else {
            return Err(Error::unsupported("GROUP BY ALL", "Name the columns."));
        };
        if nodes.is_empty() && modifiers.is_empty() {
            return Ok(None);
        }
        if !modifiers.is_empty() {
            return Err(Error::unsupported("WITH ROLLUP", "Write GROUP BY ROLLUP (…)."));
        }
        self.level()?.clause = Clause::GroupBy;
        let mut groups = Groups { exprs: Vec::new(), sets: vec![Vec::new()] };
        for node in nodes {
            let sets = self.grouping_node(select, node, &mut groups.exprs)?;
            let mut product = Vec::new();
            for known in &groups.sets {
                for set in &sets {
                    let mut both = known.clone();
                    both.extend(set.iter().copied().filter(|i| !known.contains(i)));
                    product.push(both);
                }
            }
            if product.len() > MAX_SETS {
                return Err(Error::new("54001", "too many grouping sets present (maximum 4096)"));
            }
            groups.sets = product;
        }
        Ok(Some(groups))
    }

    fn grouping_node(
        &mut self,
        select: &ast::Select,
        node: &ast::Expr,
        exprs: &mut Vec<Group>,
    ) -> Result<Vec<Vec<usize>>, Error> {
        let mut parts = |binder: &mut Self, lists: &[Vec<ast::Expr>]| {
            lists
                .iter()
                .map(|list| {
                    let mut set = Vec::new();
                    for node in list {
                        let index = binder.group_expr(select, node, exprs)?;
                        if !set.contains(&index) {
                            set.push(index);
                        }
                    }
                    Ok(set)
                })
                .collect::<Result<Vec<Vec<usize>>, Error>>()
        };
        Ok(match node {
            ast::Expr::Rollup(lists) => {
                let parts = parts(self, lists)?;
                (0..=parts.len())
                    .rev()
                    .map(|n| parts.iter().take(n).flatten().copied().collect())
                    .collect()
            }
            ast::Expr::Cube(lists) => {
                let parts = parts(self, lists)?;
                if parts.len() > 12 {
                    return Err(Error::new("54011", "CUBE is limited to 12 elements"));
                }
                (0..1_usize << parts.len())
                    .rev()
                    .map(|mask| {
                        let chosen = parts
                            .iter()
                            .enumerate()
                            .filter(|(i, _)| mask >> (parts.len() - 1 - i) & 1 == 1);
                        chosen.flat_map(|(_, part)| part.iter().copied()).collect()
                    })
                    .collect()
            }
            ast::Expr::GroupingSets(lists) => {
                // A set may itself be a ROLLUP or CUBE.
                let mut sets = Vec::new();
                for list in lists {
                    match list.as_slice() {
                        [
                            nested @ (ast::Expr::Rollup(_)
                            | ast::Expr::Cube(_)
                            | ast::Expr::GroupingSets(_)),
                        ] => {
                            sets.extend(self.grouping_node(select, nested, exprs)?);
                        }
                        list => {
                            let mut set = Vec::new();
                            for node in list {
                                set.push(self.group_expr(select, node, exprs)?);
                            }
                            sets.push(set);
                        }
                    }
                }
                sets
            }
            ast::Expr::Tuple(items) => {
                let mut set = Vec::new();
                for item in items {
                    set.push(self.group_expr(select, item, exprs)?);
                }
                vec![set]
            }
            node => vec![vec![self.group_expr(select, node, exprs)?]],
        })
    }

    fn group_expr(
        &mut self,
        select: &ast::Select,
        node: &ast::Expr,
        exprs: &mut Vec<Group>,
    ) -> Result<usize, Error> {
        let (written, value) = self.group_value(select, node)?;
        let value = self.settled(value)?;
        self.level()?.groups.push((written, value.clone()));
        let key = self.groupable(value.clone()).map_err(|error| error.at(self.position(node)))?;
        if let Some(index) = exprs.iter().position(|group| group.key == key) {
            return Ok(index);
        }
        exprs.push(Group { key, value });
        Ok(exprs.len() - 1)
    }

    /// A number means a select item; a plain name a column, or else a select item's alias.
    fn group_value(
        &mut self,
        select: &ast::Select,
        node: &ast::Expr,
    ) -> Result<(ast::Expr, Typed), Error> {
        let item = |index: usize| match select.projection.get(index) {
            Some(ast::SelectItem::UnnamedExpr(node)) => Some(node),
            Some(ast::SelectItem::ExprWithAlias { expr, .. }) => Some(expr),
            _ => None,
        };
        match node {
            ast::Expr::Value(value) => {
                if let ast::Value::Number(text, _) = &value.value {
                    let stars = select.projection.iter().any(|item| {
                        matches!(
                            item,
                            ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)
                        )
                    });
                    if stars {
                        return Err(Error::unsupported(
                            "GROUP BY a position beside *",
                            "Name the columns.",
                        ));
                    }
                    let number: usize = text.parse().unwrap_or(0);
                    let target = number.checked_sub(1).and_then(item).ok_or_else(|| {
                        Error::new(
                            "42P10",
                            format!("GROUP BY position {number} is not in select list"),
                        )
                        .at(self.position(node))
                    })?;
                    return Ok((target.clone(), self.expr(target)?));
                }
                Err(Error::new("42601", "non-integer constant in GROUP BY").at(self.position(node)))
            }
            ast::Expr::Identifier(ident) => {
                let name = fold(ident);
                if !self.level()?.scope.find(&name).is_empty() {
                    return Ok((node.clone(), self.expr(node)?));
                }
                let aliased = select.projection.iter().find_map(|item| match item {
                    ast::SelectItem::ExprWithAlias { expr, alias } if fold(alias) == name => {
                        Some(expr)
                    }
                    _ => None,
                });
                let derived = select.projection.iter().find_map(|item| match item {
                    ast::SelectItem::UnnamedExpr(node)
                        if super::select::column_name(node) == name =>
                    {
                        Some(node)
                    }
                    _ => None,
                });
                match aliased.or(derived) {
                    Some(target) => Ok((target.clone(), self.expr(target)?)),
                    None => Ok((node.clone(), self.expr(node)?)),
                }
            }
            node => Ok((node.clone(), self.expr(node)?)),
        }
    }

    /// `GROUPING(a, b)`
    pub(crate) fn grouping_call(&mut self, nodes: &[&ast::Expr]) -> Result<Typed, Error> {
        let Some(known) = self.level()?.grouping.clone() else {
            return Err(Error::new(
                "42803",
                "arguments to GROUPING must be grouping expressions of the associated query level",
            ));
        };
        let mut args = Vec::with_capacity(nodes.len());
        for node in nodes {
            let value = self.expr(node)?;
            let expr = self.groupable(value)?;
            if !known.contains(&expr) {
                return Err(Error::new(
                    "42803",
                    "arguments to GROUPING must be grouping expressions of the associated query level",
                )
                .at(self.position(*node)));
            }
            args.push(expr);
        }
        let call = Expr::AggregateFunction(AggregateFunction::new_udf(
            datafusion::functions_aggregate::grouping::grouping_udaf(),
            args,
            false,
            None,
            Vec::new(),
            None,
        ));
        let name = self.fresh('a');
        self.level()?.aggregates.push((call, name.clone()));
        Ok(Typed::new(column(&name), PgType::Int4))
    }

    /// Puts the Aggregate under the select list, which then sees only groups and aggregates.
    #[expect(clippy::too_many_lines, reason = "the steps share what they make")]
    pub(crate) fn grouped(
        &mut self,
        bound: &mut Bound,
        aggregates: Vec<(Expr, String)>,
        windows: &mut [(Expr, String)],
        series: &mut [(Expr, String)],
    ) -> Result<(), Error> {
        let groups =
            bound.groups.take().unwrap_or(Groups { exprs: Vec::new(), sets: vec![Vec::new()] });
        let mut names = Vec::with_capacity(groups.exprs.len());
        let mut computed = Vec::new();
        // What stands for a grouped expression above the groups.
        let mut shown: Vec<(Expr, Expr)> = Vec::new();
        let mut written = Vec::new();
        for group in &groups.exprs {
            match &group.key {
                Expr::Column(c) => names.push(c.name.clone()),
                other => {
                    let name = self.fresh('g');
                    computed.push((other.clone(), name.clone()));
                    shown.push((other.clone(), column(&name)));
                    names.push(name);
                }
            }
        }
        let mut aggregates = aggregates;
        for (group, name) in groups.exprs.iter().zip(&names) {
            if group.key == group.value.expr {
                continue;
            }
            if let Expr::Column(c) = &group.value.expr {
                written.push(c.name.clone());
            }
            let represented = match &group.value.kind {
                // The numbers of a group may differ in scale: one of them is shown.
                PgType::Numeric(_) => {
                    let (source, least) = (self.fresh('g'), self.fresh('a'));
                    computed.push((group.value.expr.clone(), source.clone()));
                    aggregates.push((min_udaf().call(vec![column(&source)]), least.clone()));
                    let absent = column(name).is_null();
                    when(absent, Typed::null(group.value.kind.clone())?.expr)
                        .otherwise(column(&least))?
                }
                _ => column(name),
            };
            shown.push((group.value.expr.clone(), represented));
        }
        let mut plan =
            std::mem::replace(&mut bound.plan, LogicalPlanBuilder::empty(false).build()?);
        // What is aggregated becomes columns, too: an expression that stands in several calls is computed once.
        let mut lifted = computed.clone();
        for (expr, _) in &mut aggregates {
            if let Expr::AggregateFunction(call) = expr
                && call.func.name() != "grouping"
            {
                let params = &mut call.params;
                let order = params.order_by.iter_mut().map(|item| &mut item.expr);
                let filter = params.filter.iter_mut().map(|filter| &mut **filter);
                for part in params.args.iter_mut().chain(filter).chain(order) {
                    self.lift(part, &mut lifted);
                }
            }
        }
        if !lifted.is_empty() {
            let mut exprs = super::select::columns_of_plan(&plan);
            exprs.extend(lifted);
            plan = project(plan, exprs)?;
            // GROUPING's arguments are the computed columns now.
            for (expr, _) in &mut aggregates {
                if is_grouping(expr) {
                    *expr = replaced(expr.clone(), &shown)?;
                }
            }
        }
        let plain = groups.sets.len() == 1;
        let mut allowed: HashSet<String> = names.iter().cloned().collect();
        allowed.extend(aggregates.iter().map(|(_, name)| name.clone()));
        allowed.extend(windows.iter().map(|(_, name)| name.clone()));
        allowed.extend(series.iter().map(|(_, name)| name.clone()));
        let mut extra = Vec::new();
        let dependent = if plain { self.dependent(&names, &written)? } else { HashSet::new() };
        let mut check = |binder: &Self, expr: &mut Expr| -> Result<(), Error> {
            *expr = replaced(expr.clone(), &shown)?;
            for used in columns_of(expr)? {
                if allowed.contains(&used) {
                    continue;
                }
                if !dependent.contains(&used) {
                    return Err(binder.ungrouped(&used));
                }
                allowed.insert(used.clone());
                extra.push(used);
            }
            Ok(())
        };
        for item in &mut bound.items {
            check(self, &mut item.value.expr)?;
        }
        if let Some(having) = &mut bound.having {
            check(self, having)?;
        }
        for item in &mut bound.sort {
            check(self, &mut item.expr)?;
        }
        for expr in &mut bound.distinct_on {
            check(self, expr)?;
        }
        for (expr, _) in windows.iter_mut().chain(series.iter_mut()) {
            check(self, expr)?;
        }
        names.extend(extra);
        bound.plan = aggregate(plan, &names, &groups.sets, aggregates)?;
        Ok(())
    }

    /// Columns that a grouped primary key determines.
    fn dependent(
        &mut self,
        names: &[String],
        written: &[String],
    ) -> Result<HashSet<String>, Error> {
        let catalog = std::sync::Arc::clone(&self.context.catalog);
        let mut dependent = HashSet::new();
        for relation in &self.level()?.scope.relations {
            let Some(table) = relation.columns.iter().find_map(|c| c.origin).map(|origin| origin.0)
            else {
                continue;
            };
            let mut indexes = catalog.indexes_of(table);
            let key = indexes.find_map(|(_, index)| {
                matches!(index.origin, IndexOrigin::PrimaryKey(_)).then(|| index.columns.clone())
            });
            let Some(key) = key else { continue };
            let grouped = key.iter().all(|number| {
                relation.columns.iter().any(|c| {
                    c.origin.is_some_and(|origin| origin.1 == *number)
                        && (names.contains(&c.column) || written.contains(&c.column))
                })
            });
            if grouped {
                dependent.extend(relation.columns.iter().map(|c: &ScopeColumn| c.column.clone()));
            }
        }
        Ok(dependent)
    }

    fn ungrouped(&self, used: &str) -> Error {
        let mut name = used.to_owned();
        for level in self.levels.iter().rev() {
            for relation in &level.scope.relations {
                if let Some(c) = relation.columns.iter().find(|c| c.column == used) {
                    name = format!("{}.{}", relation.name, c.name);
                }
            }
        }
        Error::new(
            "42803",
            format!(
                "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
            ),
        )
    }
}

fn is_grouping(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "grouping")
}

fn aggregate(
    plan: LogicalPlan,
    names: &[String],
    sets: &[Vec<usize>],
    aggregates: Vec<(Expr, String)>,
) -> Result<LogicalPlan, Error> {
    let calls = aggregates.into_iter().map(|(expr, name)| expr.alias(name)).collect::<Vec<_>>();
    let group: Vec<Expr> = match sets {
        [_] => names.iter().map(|name| column(name)).collect(),
        sets => {
            let of = |set: &Vec<usize>| {
                set.iter().filter_map(|i| names.get(*i)).map(|name| column(name)).collect()
            };
            vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets.iter().map(of).collect()))]
        }
    };
    if group.is_empty() && calls.is_empty() {
        // HAVING alone: one group, whose only content is that it is there.
        let one = datafusion::functions_aggregate::count::count(super::call::one()).alias("rows");
        return Ok(LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![one])?
            .build()?);
    }
    Ok(LogicalPlanBuilder::from(plan).aggregate(group, calls)?.build()?)
}

/// The expression with each grouped expression replaced by what stands for it.
fn replaced(expr: Expr, shown: &[(Expr, Expr)]) -> Result<Expr, Error> {
    if shown.is_empty() {
        return Ok(expr);
    }
    let result =
        expr.transform_down(|node| match shown.iter().find(|(known, _)| *known == node) {
            Some((_, by)) => Ok(Transformed::new(by.clone(), true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(node)),
        })?;
    Ok(result.data)
}

/// The columns of this query that the expression uses, also within its subqueries.
fn columns_of(expr: &Expr) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    expr.apply(|node| {
        match node {
            Expr::Column(c) => found.push(c.name.clone()),
            Expr::ScalarSubquery(q) => outer(&q.outer_ref_columns, &mut found),
            Expr::Exists(e) => outer(&e.subquery.outer_ref_columns, &mut found),
            Expr::InSubquery(i) => outer(&i.subquery.outer_ref_columns, &mut found),
            Expr::SetComparison(s) => outer(&s.subquery.outer_ref_columns, &mut found),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn outer(refs: &[Expr], found: &mut Vec<String>) {
    for expr in refs {
        if let Expr::OuterReferenceColumn(_, c) = expr {
            found.push(c.name.clone());
        }
    }
}
