//! FROM: tables, views, subqueries, functions and joins become a plan with a scope of names.

use std::sync::{Arc, LazyLock};

use datafusion::common::{Column, JoinType, UnnestOptions};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use super::apply::Use;
use super::query::rename;
use super::scope::{Clause, Level, Relation, Scope, ScopeColumn};
use super::{Binder, Output, Rows, Typed, column, fold, fold_name, project};

use crate::Error;
use crate::functions::{self, Datum, Function};
use crate::types::PgType;

mod relation;

/// `1, 2, …` as many as the longest of the lists, for WITH ORDINALITY.
static ORDINALS: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(
        Function::row("ordinals(variadic any) bigint[]", |_, a| {
            let longest = a.iter().map(|list| list.items().len()).max().unwrap_or(0);
            Ok(Datum::Array(
                (1..=longest).map(|n| Datum::Int(i64::try_from(n).unwrap_or(0))).collect(),
            ))
        })
        .with_nulls(),
    )
});

/// An array without elements as NULL, which an outer join's unnest keeps as one row.
static NULL_IF_EMPTY: LazyLock<Arc<Function>> = LazyLock::new(|| {
    Arc::new(Function::row("null_if_empty(anyarray) anyarray", |_, a| match a {
        [Datum::Array(items)] if items.is_empty() => Ok(Datum::Null),
        [list] => Ok(list.clone()),
        _ => Ok(Datum::Null),
    }))
});

/// What stands on the right of a join.
enum Right {
    /// Rows of their own.
    Rows(LogicalPlan, Scope),
    /// Lists computed from each row on the left, to be unnested.
    Lists(Lists),
}

/// Calls in FROM: each a list of rows.
struct Lists {
    lists: Vec<(Expr, PgType)>,
    names: Vec<String>,
    ordinality: bool,
    alias: Option<ast::TableAlias>,
    /// One call that gives one plain value a row.
    scalar: bool,
}

impl Binder<'_> {
    pub(crate) fn from(
        &mut self,
        items: &[ast::TableWithJoins],
    ) -> Result<(LogicalPlan, Scope), Error> {
        let mut all: Option<(LogicalPlan, Scope)> = None;
        for item in items {
            all = Some(self.join_chain(all, item)?);
        }
        match all {
            Some(all) => Ok(all),
            None => Ok((LogicalPlanBuilder::empty(true).build()?, Scope::default())),
        }
    }

    /// One item of FROM with its joins; `left` are the items before it, which LATERAL sees.
    fn join_chain(
        &mut self,
        left: Option<(LogicalPlan, Scope)>,
        item: &ast::TableWithJoins,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let visible = left.as_ref().map(|(_, scope)| scope.clone()).unwrap_or_default();
        let first = self.factor(&item.relation, &visible)?;
        let (mut plan, mut scope, mut pending) = match (first, left) {
            (Right::Rows(plan, scope), Some(left)) if is_lateral(&plan, &visible)? => {
                let (plan, scope) = self.lateral_join(left, plan, scope, JoinType::Inner, None)?;
                (plan, scope, None)
            }
            (Right::Rows(plan, scope), left) => (plan, scope, left),
            (Right::Lists(lists), Some((plan, scope))) if lists.use_columns() => {
                let (plan, scope) = self.unnested(plan, scope, lists, false)?;
                (plan, scope, None)
            }
            (Right::Lists(lists), left) => {
                let (plan, scope) = self.standalone(lists)?;
                (plan, scope, left)
            }
        };
        // Joins bind tighter than commas: they are made before the items on the left come in, unless one
        // of them may reach to the left.
        if item.joins.iter().any(|join| may_be_lateral(&join.relation))
            && let Some((left, left_scope)) = pending.take()
        {
            plan = LogicalPlanBuilder::from(left).cross_join(plan)?.build()?;
            scope = left_scope.beside(scope)?;
        }
        for join in &item.joins {
            (plan, scope) = self.join((plan, scope), join)?;
        }
        if let Some((left, left_scope)) = pending.take() {
            let plan = LogicalPlanBuilder::from(left).cross_join(plan)?.build()?;
            return Ok((plan, left_scope.beside(scope)?));
        }
        Ok((plan, scope))
    }

    fn join(
        &mut self,
        left: (LogicalPlan, Scope),
        join: &ast::Join,
    ) -> Result<(LogicalPlan, Scope), Error> {
        use ast::JoinOperator as J;
        let (kind, constraint) = match &join.join_operator {
            J::Join(c) | J::Inner(c) => (JoinType::Inner, c),
            J::Left(c) | J::LeftOuter(c) => (JoinType::Left, c),
            J::Right(c) | J::RightOuter(c) => (JoinType::Right, c),
            J::FullOuter(c) => (JoinType::Full, c),
            J::CrossJoin(c) => (JoinType::Inner, c),
            _ => {
                return Err(Error::unsupported(
                    "this kind of join",
                    "Use INNER, LEFT, RIGHT, FULL or CROSS JOIN.",
                ));
            }
        };
        let cross = matches!(join.join_operator, J::CrossJoin(_));
        if !cross && matches!(constraint, ast::JoinConstraint::None) {
            return Err(Error::new("42601", "a join needs ON or USING"));
        }
        let visible = left.1.clone();
        let right = self.factor(&join.relation, &visible)?;
        let (right_plan, right_scope) = match right {
            Right::Lists(lists) if lists.use_columns() => {
                return self.lateral_lists(left, lists, kind, constraint);
            }
            Right::Lists(lists) => self.standalone(lists)?,
            Right::Rows(plan, scope) => (plan, scope),
        };
        if is_lateral(&right_plan, &visible)? {
            let on = match constraint {
                ast::JoinConstraint::On(on) => Some(on),
                ast::JoinConstraint::None => None,
                _ => return Err(Error::unsupported("USING with LATERAL", "Use ON.")),
            };
            return self.lateral_join(left, right_plan, right_scope, kind, on);
        }
        let (left_plan, left_scope) = left;
        match constraint {
            ast::JoinConstraint::None => {
                let plan = LogicalPlanBuilder::from(left_plan).cross_join(right_plan)?.build()?;
                Ok((plan, left_scope.beside(right_scope)?))
            }
            ast::JoinConstraint::On(on) => {
                let scope = left_scope.beside(right_scope)?;
                let condition = self.on(&scope, on)?;
                let plan = LogicalPlanBuilder::from(left_plan)
                    .join_on(right_plan, kind, [condition])?
                    .build()?;
                Ok((plan, scope))
            }
            ast::JoinConstraint::Using(names) => {
                let names = names
                    .iter()
                    .map(|name| Ok(fold_name(name)?.pop().unwrap_or_default()))
                    .collect::<Result<Vec<_>, Error>>()?;
                self.using((left_plan, left_scope), (right_plan, right_scope), kind, &names)
            }
            ast::JoinConstraint::Natural => {
                let names: Vec<String> = left_scope
                    .visible
                    .iter()
                    .filter(|c| !c.hidden)
                    .filter(|c| right_scope.find(&c.name).iter().any(|r| !r.hidden))
                    .map(|c| c.name.clone())
                    .collect();
                self.using((left_plan, left_scope), (right_plan, right_scope), kind, &names)
            }
        }
    }

    pub(super) fn on(&mut self, scope: &Scope, node: &ast::Expr) -> Result<Expr, Error> {
        self.levels.push(Level::new(scope.clone()));
        self.level()?.clause = Clause::On;
        let condition = self.truth(node, "JOIN/ON");
        self.levels.pop();
        condition
    }

    fn using(
        &mut self,
        (left_plan, left): (LogicalPlan, Scope),
        (right_plan, right): (LogicalPlan, Scope),
        kind: JoinType,
        names: &[String],
    ) -> Result<(LogicalPlan, Scope), Error> {
        let mut condition: Option<Expr> = None;
        let mut merged = Vec::with_capacity(names.len());
        let mut computed = Vec::new();
        for name in names {
            let a = only(&left, name, "left")?;
            let b = only(&right, name, "right")?;
            let (l, r) = (typed(&a), typed(&b));
            let equal = self.binary(l.clone(), &ast::BinaryOperator::Eq, r.clone())?.expr;
            condition = Some(match condition {
                Some(all) => all.and(equal),
                None => equal,
            });
            let same = a.kind == b.kind;
            merged.push(match kind {
                JoinType::Right if same => ScopeColumn { hidden: false, ..b },
                JoinType::Full => {
                    let (values, kind) = self.unify(vec![l, r], "JOIN/USING")?;
                    let exprs = values.into_iter().map(|value| value.expr).collect();
                    let column = self.fresh('j');
                    computed.push((
                        datafusion::functions::core::coalesce().call(exprs),
                        column.clone(),
                    ));
                    ScopeColumn { name: name.clone(), column, kind, origin: None, hidden: false }
                }
                _ if same => ScopeColumn { hidden: false, ..a },
                _ => {
                    let (values, kind_of) = self.unify(vec![l, r], "JOIN/USING")?;
                    let index = usize::from(kind == JoinType::Right);
                    let value = values
                        .into_iter()
                        .nth(index)
                        .ok_or_else(|| Error::internal("two columns"))?;
                    let column = self.fresh('j');
                    computed.push((value.expr, column.clone()));
                    ScopeColumn {
                        name: name.clone(),
                        column,
                        kind: kind_of,
                        origin: None,
                        hidden: false,
                    }
                }
            });
        }
        let builder = LogicalPlanBuilder::from(left_plan);
        let mut plan = match condition {
            Some(condition) => builder.join_on(right_plan, kind, [condition])?.build()?,
            None if kind == JoinType::Inner => builder.cross_join(right_plan)?.build()?,
            None => builder.join_on(right_plan, kind, [super::query::yes()])?.build()?,
        };
        if !computed.is_empty() {
            let mut exprs: Vec<(Expr, String)> = plan
                .schema()
                .fields()
                .iter()
                .map(|field| (column(field.name()), field.name().clone()))
                .collect();
            exprs.extend(computed);
            plan = project(plan, exprs)?;
        }
        let rest = |scope: &Scope| {
            scope.visible.iter().filter(|c| !names.contains(&c.name)).cloned().collect::<Vec<_>>()
        };
        let (a, b) = (rest(&left), rest(&right));
        let mut scope = left.beside(right)?;
        scope.visible = merged.into_iter().chain(a).chain(b).collect();
        Ok((plan, scope))
    }

    /// An item of FROM. `visible` is what LATERAL may use.
    fn factor(&mut self, factor: &ast::TableFactor, visible: &Scope) -> Result<Right, Error> {
        self.deeper()?;
        let right = self.factor_here(factor, visible);
        self.depth -= 1;
        right
    }

    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind of item")]
    fn factor_here(&mut self, factor: &ast::TableFactor, visible: &Scope) -> Result<Right, Error> {
        use ast::TableFactor as F;
        match factor {
            F::Table {
                name,
                alias,
                args: None,
                version,
                with_ordinality: false,
                sample: None,
                ..
            } => {
                let (plan, scope) = match version {
                    None => self.named_relation(name, alias.as_ref())?,
                    Some(version) => self.versioned(name, version, alias.as_ref())?,
                };
                Ok(Right::Rows(plan, scope))
            }
            F::Table { name, alias, args: Some(args), with_ordinality, sample: None, .. } => {
                self.call_in_from(name, &args.args, *with_ordinality, alias.clone(), visible)
            }
            F::Function { name, args, with_ordinality, alias, .. } => {
                self.call_in_from(name, args, *with_ordinality, alias.clone(), visible)
            }
            F::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } => {
                let mut lists = Vec::with_capacity(array_exprs.len());
                for node in array_exprs {
                    let value = self.in_scope(visible, |binder| binder.expr(node))?;
                    let Some(element) = value.kind.element() else {
                        return Err(Error::new(
                            "42883",
                            format!("function unnest({}) does not exist", value.kind),
                        ));
                    };
                    lists.push((value.expr, element));
                }
                let names = vec!["unnest".to_owned(); lists.len()];
                let scalar = lists.len() == 1;
                Ok(Right::Lists(Lists {
                    lists,
                    names,
                    ordinality: *with_ordinality,
                    alias: alias.clone(),
                    scalar,
                }))
            }
            F::Derived { lateral, subquery, alias, sample: None } => {
                let parts = if *lateral {
                    self.levels.push(Level::new(visible.clone()));
                    let parts = self.query_parts(subquery);
                    self.levels.pop();
                    parts?
                } else {
                    self.query_parts(subquery)?
                };
                let order = parts.sort.clone();
                let rows = super::query::finish_keeping(parts)?;
                let rows = self.settle_rows(rows)?;
                let kept = order.iter().all(|item| match &item.expr {
                    Expr::Column(c) => rows.plan.schema().has_column(c),
                    _ => false,
                });
                let (plan, mut scope) = self.under_alias(rows, alias.as_ref())?;
                if kept {
                    scope.order = order;
                }
                Ok(Right::Rows(plan, scope))
            }
            F::NestedJoin { table_with_joins, alias } => {
                let (plan, scope) = self.join_chain(None, table_with_joins)?;
                let Some(alias) = alias else { return Ok(Right::Rows(plan, scope)) };
                let columns = outputs_of(&scope);
                let (plan, scope) = self.under_alias(Rows { plan, columns }, Some(alias))?;
                Ok(Right::Rows(plan, scope))
            }
            other => Err(Error::unsupported(
                format!("{other} in FROM"),
                "docs/sql.md lists what is supported.",
            )),
        }
    }

    fn in_scope<T>(
        &mut self,
        scope: &Scope,
        run: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.levels.push(Level::new(scope.clone()));
        let result = run(self);
        self.levels.pop();
        result
    }

    /// Rows as a relation of this alias.
    fn under_alias(
        &self,
        rows: Rows,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let (name, columns) = match alias {
            Some(alias) => (fold(&alias.name), rename(rows.columns, alias)?),
            None => (String::new(), rows.columns),
        };
        Ok((rows.plan, Scope::of(super::query::relation(name, &columns))))
    }

    /// `f(…)` in FROM.
    fn call_in_from(
        &mut self,
        name: &ast::ObjectName,
        args: &[ast::FunctionArg],
        ordinality: bool,
        alias: Option<ast::TableAlias>,
        visible: &Scope,
    ) -> Result<Right, Error> {
        let mut parts = fold_name(name)?;
        let function = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        let nodes = args
            .iter()
            .map(|arg| match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(node)) => Ok(node),
                _ => Err(Error::unsupported("a named argument", "Give the arguments by position.")),
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let position = self.position(name);
        let values = self.in_scope(visible, |binder| {
            nodes.iter().map(|node| binder.expr(node)).collect::<Result<Vec<_>, _>>()
        })?;
        if function != "unnest"
            && functions::overloads(self.context, schema.as_deref(), &function).is_empty()
        {
            // What comes after the table's name are points of the chain.
            let in_ledger = schema.as_deref() == Some("ledger");
            let constants = values.iter().enumerate().map(|(place, value)| {
                if in_ledger && place > 0 {
                    self.point_of(value.clone())
                } else {
                    self.constant_of(value)
                }
            });
            let constants = constants.collect::<Result<Vec<_>, _>>();
            if let Ok(constants) = constants
                && let Some(table) =
                    self.table_function(schema.as_deref(), &function, &constants)?
            {
                let (plan, relation) = self.virtual_relation(&function, None, table)?;
                return self.aliased_call(plan, relation, alias, ordinality);
            }
        }
        let value = if function == "unnest" && values.len() == 1 && schema.is_none() {
            None
        } else {
            let call = self.in_scope(visible, |binder| {
                binder.call_in(schema.as_deref(), &function, values.clone())
            });
            Some(call.map_err(|error| error.at(position))?)
        };
        let (list, kind) = match value {
            None => {
                let value =
                    values.into_iter().next().ok_or_else(|| Error::internal("one argument"))?;
                let Some(element) = value.kind.element() else {
                    return Err(Error::new(
                        "42883",
                        format!("function unnest({}) does not exist", value.kind),
                    )
                    .at(position));
                };
                (value.expr, element)
            }
            Some(value) if self.gives_rows(&value.expr, &value.kind) => (value.expr, value.kind),
            Some(value) => {
                // A plain value is a relation of one row.
                let array = PgType::Array(Box::new(value.kind.clone()));
                let one = datafusion::functions_nested::make_array::make_array(vec![value.expr]);
                (datafusion::logical_expr::cast(one, array.arrow()), value.kind)
            }
        };
        let scalar = !matches!(kind, PgType::Record(_));
        Ok(Right::Lists(Lists {
            lists: vec![(list, kind)],
            names: vec![function],
            ordinality,
            alias,
            scalar,
        }))
    }

    /// Whether the call is set-returning: its Arrow type is the list of its rows.
    fn gives_rows(&self, expr: &Expr, kind: &PgType) -> bool {
        match expr {
            Expr::ScalarFunction(call) => {
                let listed = PgType::Array(Box::new(kind.clone())).arrow();
                call.func.return_type(&[]).is_ok_and(|returned| returned == listed)
            }
            _ => false,
        }
    }

    fn aliased_call(
        &self,
        plan: LogicalPlan,
        mut relation: Relation,
        alias: Option<ast::TableAlias>,
        ordinality: bool,
    ) -> Result<Right, Error> {
        if ordinality {
            return Err(Error::unsupported(
                "WITH ORDINALITY on this function",
                "Use row_number().",
            ));
        }
        if let Some(alias) = alias {
            relation.name = fold(&alias.name);
            for (c, definition) in relation.columns.iter_mut().zip(&alias.columns) {
                c.name = fold(&definition.name);
            }
        }
        Ok(Right::Rows(plan, Scope::of(relation)))
    }

    fn standalone(&mut self, lists: Lists) -> Result<(LogicalPlan, Scope), Error> {
        let empty = LogicalPlanBuilder::empty(true).build()?;
        self.unnested(empty, Scope::default(), lists, false)
    }

    fn lateral_lists(
        &mut self,
        (plan, scope): (LogicalPlan, Scope),
        lists: Lists,
        kind: JoinType,
        constraint: &ast::JoinConstraint,
    ) -> Result<(LogicalPlan, Scope), Error> {
        match (kind, constraint) {
            (JoinType::Inner, ast::JoinConstraint::None) => {
                self.unnested(plan, scope, lists, false)
            }
            (JoinType::Inner, ast::JoinConstraint::On(on)) => {
                let (plan, scope) = self.unnested(plan, scope, lists, false)?;
                let condition = self.on(&scope, on)?;
                Ok((LogicalPlanBuilder::from(plan).filter(condition)?.build()?, scope))
            }
            (JoinType::Left, ast::JoinConstraint::On(ast::Expr::Value(value)))
                if value.value == ast::Value::Boolean(true) =>
            {
                self.unnested(plan, scope, lists, true)
            }
            (_, ast::JoinConstraint::On(on)) => {
                let mut lists = lists;
                for (list, _) in &mut lists.lists {
                    *list = super::apply::seen_from_inside(list.clone(), &plan, &scope)?;
                }
                let (right, right_scope) = self.standalone(lists)?;
                self.lateral_join((plan, scope), right, right_scope, kind, Some(on))
            }
            _ => Err(Error::unsupported("USING with a function of the left side", "Use ON.")),
        }
    }

    /// The left side's rows, each with the rows of the lists.
    fn unnested(
        &mut self,
        plan: LogicalPlan,
        scope: Scope,
        lists: Lists,
        outer: bool,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let bare = scope.relations.is_empty();
        let mut exprs: Vec<(Expr, String)> = if bare {
            Vec::new()
        } else {
            let fields = plan.schema().fields().iter();
            fields.map(|field| (column(field.name()), field.name().clone())).collect()
        };
        let mut names = Vec::new();
        let mut columns: Vec<(String, Typed)> = Vec::new();
        let all: Vec<Expr> = lists.lists.iter().map(|(list, _)| list.clone()).collect();
        let kinds: Vec<PgType> =
            lists.lists.iter().map(|(_, kind)| PgType::Array(Box::new(kind.clone()))).collect();
        for ((list, kind), name) in lists.lists.into_iter().zip(&lists.names) {
            let fresh = self.fresh('u');
            let array = PgType::Array(Box::new(kind.clone()));
            let list = if outer {
                NULL_IF_EMPTY.call(vec![list], vec![array.clone()], array)
            } else {
                list
            };
            exprs.push((list, fresh.clone()));
            columns.push((name.clone(), Typed::new(column(&fresh), kind)));
            names.push(fresh);
        }
        if lists.ordinality {
            let fresh = self.fresh('u');
            let array = PgType::Array(Box::new(PgType::Int8));
            exprs.push((ORDINALS.call(all.clone(), kinds, array), fresh.clone()));
            columns.push(("ordinality".to_owned(), Typed::new(column(&fresh), PgType::Int8)));
            names.push(fresh);
        }
        let plan = match self.streamed(bare && !outer, &all, &columns, &names)? {
            Some(plan) => plan,
            None => unnest(project(plan, exprs)?, &names, outer)?,
        };
        let (plan, mut scope_columns) = self.expand_records(plan, columns)?;
        let relation_name = match &lists.alias {
            Some(alias) => {
                let single = lists.scalar && !alias.columns.is_empty();
                for (c, definition) in scope_columns.iter_mut().zip(&alias.columns) {
                    c.name = fold(&definition.name);
                }
                let name = fold(&alias.name);
                if lists.scalar
                    && !single
                    && let Some(first) = scope_columns.first_mut()
                {
                    first.name.clone_from(&name);
                }
                name
            }
            None => lists.names.first().cloned().unwrap_or_default(),
        };
        let relation = Relation {
            schema: None,
            name: relation_name,
            scalar: lists.scalar && !lists.ordinality,
            columns: scope_columns,
        };
        let scope = scope.beside(Scope::of(relation))?;
        Ok((plan, scope))
    }

    /// Fields of records become columns.
    fn expand_records(
        &mut self,
        plan: LogicalPlan,
        columns: Vec<(String, Typed)>,
    ) -> Result<(LogicalPlan, Vec<ScopeColumn>), Error> {
        let mut scope = Vec::new();
        let mut extra = Vec::new();
        for (name, value) in columns {
            if let PgType::Record(fields) = value.kind.clone() {
                for (field, kind) in fields {
                    let part = self.field(value.clone(), &field)?;
                    let fresh = self.fresh('u');
                    extra.push((part.expr, fresh.clone()));
                    scope.push(ScopeColumn {
                        name: field,
                        column: fresh,
                        kind,
                        origin: None,
                        hidden: false,
                    });
                }
                continue;
            }
            let Expr::Column(c) = &value.expr else {
                return Err(Error::internal("a column was expected"));
            };
            scope.push(ScopeColumn {
                name,
                column: c.name.clone(),
                kind: value.kind.clone(),
                origin: None,
                hidden: false,
            });
        }
        if extra.is_empty() {
            return Ok((plan, scope));
        }
        let mut exprs: Vec<(Expr, String)> = plan
            .schema()
            .fields()
            .iter()
            .map(|field| (column(field.name()), field.name().clone()))
            .collect();
        exprs.extend(extra);
        Ok((project(plan, exprs)?, scope))
    }

    fn lateral_join(
        &mut self,
        (left, left_scope): (LogicalPlan, Scope),
        right: LogicalPlan,
        right_scope: Scope,
        kind: JoinType,
        on: Option<&ast::Expr>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        if !matches!(kind, JoinType::Inner | JoinType::Left) {
            return Err(Error::new(
                "42P10",
                "the combining JOIN type must be INNER or LEFT for a LATERAL reference",
            ));
        }
        let beyond = right.all_out_ref_exprs().iter().any(|expr| match expr {
            Expr::OuterReferenceColumn(_, c) => !left_scope.makes(&c.name),
            _ => false,
        });
        if beyond || !super::apply::moves_up(&right, Use::Rows) {
            return self.lateral_apply((left, left_scope), right, right_scope, kind, on);
        }
        let scope = left_scope.beside(right_scope)?;
        let condition = match on {
            Some(on) => self.on(&scope, on)?,
            None => super::query::yes(),
        };
        let right = LogicalPlan::Subquery(super::subquery::subquery(right));
        let plan = LogicalPlanBuilder::from(left).join_on(right, kind, [condition])?.build()?;
        Ok((plan, scope))
    }
}

/// Whether the plan refers to columns of the items beside it.
fn is_lateral(plan: &LogicalPlan, visible: &Scope) -> Result<bool, Error> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| {
                Ok(matches!(part, Expr::OuterReferenceColumn(_, c) if visible.makes(&c.name)))
            })?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

fn may_be_lateral(factor: &ast::TableFactor) -> bool {
    use ast::TableFactor as F;
    match factor {
        F::Table { args, .. } => args.is_some(),
        F::Derived { lateral, .. } => *lateral,
        F::NestedJoin { .. } => false,
        _ => true,
    }
}

impl Lists {
    /// Whether they are computed from another item's columns.
    fn use_columns(&self) -> bool {
        self.lists.iter().any(|(list, _)| list.any_column_refs())
    }
}

pub(crate) fn unnest(
    plan: LogicalPlan,
    names: &[String],
    outer: bool,
) -> Result<LogicalPlan, Error> {
    let columns = names.iter().map(Column::from_name).collect();
    let options = UnnestOptions::new().with_preserve_nulls(outer);
    Ok(LogicalPlanBuilder::from(plan).unnest_columns_with_options(columns, options)?.build()?)
}

fn typed(c: &ScopeColumn) -> Typed {
    Typed { expr: column(&c.column), kind: c.kind.clone(), origin: c.origin }
}

fn outputs_of(scope: &Scope) -> Vec<Output> {
    scope
        .visible
        .iter()
        .filter(|c| !c.hidden)
        .map(|c| Output {
            name: c.name.clone(),
            column: c.column.clone(),
            kind: c.kind.clone(),
            origin: c.origin,
        })
        .collect()
}

/// The one column of this name on a side of USING.
fn only(scope: &Scope, name: &str, side: &str) -> Result<ScopeColumn, Error> {
    let found = scope.find(name);
    let mut found = found.into_iter().filter(|c| !c.hidden);
    match (found.next(), found.next()) {
        (Some(c), None) => Ok(c.clone()),
        (None, _) => Err(Error::new(
            "42703",
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )),
        _ => Err(Error::new(
            "42702",
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )),
    }
}
