//! Subqueries that refer to the query around them: which ones DataFusion may turn into joins, and how the others
//! become a function of the outer columns ([`crate::apply`]).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF,
};
use datafusion::sql::sqlparser::ast;

use super::scope::{Clause, Level, Scope};
use super::{Binder, column, project};
use crate::Error;
use crate::apply::{Apply, Gives, parameter};
use crate::types::PgType;

/// How a subquery's rows are used, which decides what a join can stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Whether there are any, or as the other side of a join: every condition can move up.
    Rows,
    /// Aggregated into one: only equalities can, as they become its groups.
    Aggregate,
}

impl Level {
    /// Whether it makes the plan's column of this name.
    fn makes(&self, name: &str) -> bool {
        self.scope.makes(name) || self.aggregates.iter().any(|(_, known)| known == name)
    }
}

impl Scope {
    pub(super) fn makes(&self, name: &str) -> bool {
        let relations = self.relations.iter().flat_map(|relation| &relation.columns);
        relations.chain(&self.visible).any(|known| known.column == name)
    }
}

impl Binder<'_> {
    /// The columns of the queries around the innermost level, and of that level, that a subquery's plan names.
    pub(super) fn outer_references(&self, plan: &LogicalPlan) -> Result<Vec<Expr>, Error> {
        let mut found = Vec::new();
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    if let Expr::OuterReferenceColumn(_, name) = part
                        && self.levels.iter().any(|level| level.makes(&name.name))
                        && !found.contains(part)
                    {
                        found.push(part.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(found)
    }

    /// Whether a join can stand for a subquery at this place.
    pub(super) fn joins(&mut self, plan: &LogicalPlan, used: Use) -> Result<bool, Error> {
        let references = self.outer_references(plan)?;
        let level = self.level()?;
        let place = match used {
            Use::Rows => matches!(level.clause, Clause::Where | Clause::Having),
            Use::Aggregate => {
                matches!(level.clause, Clause::Where | Clause::Having | Clause::Select)
            }
        };
        Ok(place && near(&references, |name| level.makes(name)) && moves_up(plan, used))
    }

    /// The subquery as a function of the outer columns that it names. `scope` is what it may name directly, if that
    /// isn't the innermost level's.
    pub(super) fn applied(
        &mut self,
        plan: LogicalPlan,
        gives: Gives,
        kind: PgType,
        scope: Option<&Scope>,
    ) -> Result<Expr, Error> {
        let mut args = Vec::new();
        if let Some(scope) = scope {
            self.levels.push(Level::new(scope.clone()));
        }
        let references = self.outer_references(&plan);
        if scope.is_some() {
            self.levels.pop();
        }
        let references = references?;
        let own = |name: &str, binder: &Self| match scope {
            Some(scope) => scope.makes(name),
            None => binder.levels.last().is_some_and(|level| level.makes(name)),
        };
        let mut parameters: Vec<(Expr, Expr)> = Vec::new();
        for reference in references {
            let Expr::OuterReferenceColumn(field, name) = &reference else { continue };
            let place = Placeholder::new_with_field(parameter(args.len()), Some(Arc::clone(field)));
            args.push(if own(&name.name, self) { column(&name.name) } else { reference.clone() });
            parameters.push((reference, Expr::Placeholder(place)));
        }
        let plan = with_parameters(plan, &mut parameters, &mut args)?;
        let volatile = super::query::is_volatile(&plan)?;
        let name = self.fresh('q');
        let apply = Apply::new(format!("subquery_{name}"), plan, gives, kind, volatile);
        Ok(ScalarUDF::from(apply).call(args))
    }

    /// `left JOIN LATERAL right ON on`, where the right side is no plain selection.
    pub(super) fn lateral_apply(
        &mut self,
        (left, left_scope): (LogicalPlan, Scope),
        right: LogicalPlan,
        right_scope: Scope,
        kind: JoinType,
        on: Option<&ast::Expr>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let visible = left_scope.clone();
        let names: Vec<(String, PgType)> = columns_of(&right_scope);
        let scope = left_scope.beside(right_scope)?;
        let right = match on {
            Some(on) => {
                let condition = self.on(&scope, on)?;
                let condition = seen_from_inside(condition, &left, &visible)?;
                LogicalPlanBuilder::from(right).filter(condition)?.build()?
            }
            None => right,
        };
        let record = PgType::Record(names.clone());
        let right = if names.is_empty() {
            let one = Expr::Literal(datafusion::common::ScalarValue::from(true), None);
            project(right, vec![(one, "nothing".to_owned())])?
        } else {
            let kept = names.iter().map(|(name, _)| (column(name), name.clone()));
            project(right, kept.collect::<Vec<_>>())?
        };
        let record = if names.is_empty() {
            PgType::Record(vec![("nothing".to_owned(), PgType::Bool)])
        } else {
            record
        };
        let rows = self.applied(right, Gives::Rows, record.clone(), Some(&visible))?;
        let list = self.fresh('u');
        let mut exprs: Vec<(Expr, String)> = left
            .schema()
            .fields()
            .iter()
            .map(|field| (column(field.name()), field.name().clone()))
            .collect();
        let mut outputs = exprs.clone();
        exprs.push((rows, list.clone()));
        let plan = project(left, exprs)?;
        let plan = super::from::unnest(plan, std::slice::from_ref(&list), kind == JoinType::Left)?;
        let record = super::Typed::new(column(&list), record);
        for (name, _) in &names {
            outputs.push((self.field(record.clone(), name)?.expr, name.clone()));
        }
        Ok((project(plan, outputs)?, scope))
    }
}

/// The columns that a scope's names stand for, each once.
fn columns_of(scope: &Scope) -> Vec<(String, PgType)> {
    let mut names: Vec<(String, PgType)> = Vec::new();
    let relations = scope.relations.iter().flat_map(|relation| &relation.columns);
    for c in relations.chain(&scope.visible) {
        if !names.iter().any(|(known, _)| *known == c.column) {
            names.push((c.column.clone(), c.kind.clone()));
        }
    }
    names
}

/// A condition over both sides as the right side alone sees it: the left side's columns are outer ones.
pub(super) fn seen_from_inside(
    condition: Expr,
    left: &LogicalPlan,
    scope: &Scope,
) -> Result<Expr, Error> {
    let outer = |node: Expr| match node {
        Expr::Column(c) if scope.makes(&c.name) => {
            let field = left.schema().field_with_unqualified_name(&c.name)?;
            let c = Column::from_name(c.name);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), c)))
        }
        other => Ok(Transformed::no(other)),
    };
    Ok(condition.transform(outer)?.data)
}

/// Puts parameters in place of outer references. The client's parameters become arguments as well, so that the plan
/// is closed.
fn with_parameters(
    plan: LogicalPlan,
    parameters: &mut Vec<(Expr, Expr)>,
    args: &mut Vec<Expr>,
) -> Result<LogicalPlan, Error> {
    let changed = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform(|part| {
                if let Some((_, place)) = parameters.iter().find(|(known, _)| *known == part) {
                    return Ok(Transformed::yes(place.clone()));
                }
                let Expr::Placeholder(client) = &part else { return Ok(Transformed::no(part)) };
                if parameters.iter().any(|(_, place)| *place == part) {
                    return Ok(Transformed::no(part));
                }
                let place =
                    Placeholder::new_with_field(parameter(args.len()), client.field.clone());
                let place = Expr::Placeholder(place);
                args.push(part.clone());
                parameters.push((part, place.clone()));
                Ok(Transformed::yes(place))
            })
        })
    })?;
    Ok(changed.data)
}

fn near(references: &[Expr], makes: impl Fn(&str) -> bool) -> bool {
    references.iter().all(|reference| match reference {
        Expr::OuterReferenceColumn(_, name) => makes(&name.name),
        _ => false,
    })
}

/// Whether all outer references stand in conditions that may be moved to the top of the plan, where a join has them.
pub(super) fn moves_up(plan: &LogicalPlan, used: Use) -> bool {
    match plan {
        LogicalPlan::Projection(node) => {
            !node.expr.iter().any(holds_reference) && moves_up(&node.input, used)
        }
        LogicalPlan::SubqueryAlias(node) => moves_up(&node.input, used),
        LogicalPlan::Filter(node) => {
            split_conjunction(&node.predicate).into_iter().all(|part| {
                !holds_reference(part)
                    || !part.is_volatile()
                        && !super::set::has_subquery(part)
                        && (used == Use::Rows || is_equality(part))
            }) && moves_up(&node.input, used)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let on = join.on.iter().flat_map(|(a, b)| [a, b]).chain(&join.filter);
            !on.into_iter().any(holds_reference)
                && moves_up(&join.left, used)
                && moves_up(&join.right, used)
        }
        other => other.all_out_ref_exprs().is_empty(),
    }
}

/// An equality of an outer value with an inner one.
fn is_equality(expr: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else {
        return false;
    };
    let sides = |outer: &Expr, inner: &Expr| {
        holds_reference(outer)
            && !outer.any_column_refs()
            && !holds_reference(inner)
            && inner.any_column_refs()
    };
    sides(left, right) || sides(right, left)
}

/// A subquery within it refers to nothing farther than the query that it stands in: what does is a function.
fn holds_reference(expr: &Expr) -> bool {
    expr.contains_outer()
}
