//! One SELECT: from its FROM to the projected columns, in the order in which SQL means them.

use std::collections::HashSet;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, Volatility, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::sql::sqlparser::ast;

use super::query::Parts;
use super::scope::{Clause, Level, ScopeColumn};
use super::{Allowed, Binder, Output, Typed, column, fold, project};
use crate::Error;
use crate::types::PgType;

/// A select item that was bound.
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) value: Typed,
    /// As it was written, for ORDER BY and DISTINCT ON to be found by.
    pub(crate) node: Option<ast::Expr>,
}

/// What a SELECT consists of, bound and not yet put together.
pub(crate) struct Bound {
    pub(crate) plan: LogicalPlan,
    pub(crate) items: Vec<Item>,
    pub(crate) groups: Option<super::grouping::Groups>,
    pub(crate) having: Option<Expr>,
    /// Expressions of ORDER BY with their direction.
    pub(crate) sort: Vec<SortExpr>,
    /// Expressions of DISTINCT ON.
    pub(crate) distinct_on: Vec<Expr>,
}

impl Binder<'_> {
    pub(crate) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<Parts, Error> {
        refuse_foreign(select)?;
        let targets = self.targets.take();
        let (plan, scope) = self.from(&select.from)?;
        let mut level = Level::new(scope);
        level.named_windows.clone_from(&select.named_window);
        self.levels.push(level);
        let parts = self.select_here(select, order, plan, targets.as_deref());
        self.levels.pop();
        parts
    }

    fn select_here(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        mut plan: LogicalPlan,
        targets: Option<&[PgType]>,
    ) -> Result<Parts, Error> {
        if let Some(selection) = &select.selection {
            self.level()?.clause = Clause::Where;
            self.level()?.certain = true;
            let condition = self.truth(selection, "WHERE")?;
            self.level()?.certain = false;
            plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
        }
        let bound = self.bind_select(select, order, plan, targets)?;
        self.put_together(select, bound)
    }

    fn bind_select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        plan: LogicalPlan,
        targets: Option<&[PgType]>,
    ) -> Result<Bound, Error> {
        let groups = self.groups(select)?;
        self.level()?.grouping = groups.as_ref().map(super::grouping::Groups::expressions);
        self.level()?.clause = Clause::Select;
        let mut items = self.items(select)?;
        for (index, item) in items.iter_mut().enumerate() {
            if item.value.kind == PgType::Unknown
                && let Some(target) = targets.and_then(|targets| targets.get(index))
            {
                item.value = self.cast(item.value.clone(), target, Allowed::Assignment)?;
            }
        }
        let having = match &select.having {
            Some(having) => {
                self.level()?.clause = Clause::Having;
                Some(self.truth(having, "HAVING")?)
            }
            None => None,
        };
        self.level()?.clause = Clause::OrderBy;
        let mut sort = Vec::with_capacity(order.len());
        let mut sorted: Vec<(&ast::Expr, Typed)> = Vec::with_capacity(order.len());
        for item in order {
            let value = self.order_value(&items, &item.expr)?;
            let value = self.settled(value)?;
            sorted.push((&item.expr, value.clone()));
            sort.push(self.sort_by(value, item)?);
        }
        let mut distinct_on = Vec::new();
        if let Some(ast::Distinct::On(nodes)) = &select.distinct {
            for node in nodes {
                // Written as in ORDER BY it is the same value.
                let known = sorted.iter().find(|(written, _)| *written == node);
                let value = match known {
                    Some((_, value)) => value.clone(),
                    None => self.order_value(&items, node)?,
                };
                let value = self.settled(value)?;
                distinct_on.push(self.groupable(value)?);
            }
        }
        Ok(Bound { plan, items, groups, having, sort, distinct_on })
    }

    /// An item of ORDER BY: an output column by number or name, else an expression.
    fn order_value(&mut self, items: &[Item], node: &ast::Expr) -> Result<Typed, Error> {
        let outputs: Vec<Output> = items
            .iter()
            .enumerate()
            .map(|(index, item)| Output {
                name: item.name.clone(),
                column: match &item.value.expr {
                    Expr::Column(c) => c.name.clone(),
                    _ => format!("#{index}"),
                },
                kind: PgType::Int8,
                origin: None,
            })
            .collect();
        if let Some(found) = self.output_of(&outputs, node, true)? {
            let index = outputs.iter().position(|output| std::ptr::eq(output, found));
            if let Some(item) = index.and_then(|index| items.get(index)) {
                return Ok(item.value.clone());
            }
        }
        // The very expression of a select item is that item: a volatile call isn't made twice.
        if let Some(item) = items.iter().find(|item| item.node.as_ref() == Some(node)) {
            return Ok(item.value.clone());
        }
        self.expr(node)
    }

    fn items(&mut self, select: &ast::Select) -> Result<Vec<Item>, Error> {
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            match item {
                ast::SelectItem::UnnamedExpr(node) => {
                    if let Some(fields) = self.expanded(node)? {
                        items.extend(fields);
                        continue;
                    }
                    let value = self.item(node)?;
                    items.push(Item { name: column_name(node), value, node: Some(node.clone()) });
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let value = self.item(expr)?;
                    items.push(Item { name: fold(alias), value, node: Some(expr.clone()) });
                }
                ast::SelectItem::Wildcard(options) => {
                    refuse_options(options)?;
                    let columns = self.level()?.scope.visible.clone();
                    if self.level()?.scope.relations.is_empty() {
                        return Err(Error::new(
                            "42601",
                            "SELECT * with no tables specified is not valid",
                        )
                        .at(self.position(&options.wildcard_token.0)));
                    }
                    items.extend(columns.into_iter().filter(|c| !c.hidden).map(item_of));
                }
                ast::SelectItem::QualifiedWildcard(kind, options) => {
                    refuse_options(options)?;
                    items.extend(self.qualified_star(kind)?);
                }
                ast::SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::unsupported(
                        "several names for one column",
                        "Name each column once.",
                    ));
                }
            }
        }
        Ok(items)
    }

    /// A select item; one that is written as in GROUP BY is what was grouped.
    fn item(&mut self, node: &ast::Expr) -> Result<Typed, Error> {
        let known = self.level()?.groups.iter().find(|(written, _)| written == node);
        match known.map(|(_, value)| value.clone()) {
            Some(value) => Ok(value),
            None => self.expr(node),
        }
    }

    /// `t.*`, `(row).*`
    fn qualified_star(
        &mut self,
        kind: &ast::SelectItemQualifiedWildcardKind,
    ) -> Result<Vec<Item>, Error> {
        let name = match kind {
            ast::SelectItemQualifiedWildcardKind::ObjectName(name) => name,
            ast::SelectItemQualifiedWildcardKind::Expr(node) => {
                let value = self.expr(node)?;
                return self.fields_of(value);
            }
        };
        let parts = super::fold_name(name)?;
        let (schema, relation) = match parts.as_slice() {
            [relation] => (None, relation),
            [.., schema, relation] => (Some(schema.as_str()), relation),
            [] => return Err(Error::internal("an empty name")),
        };
        let found = self.level()?.scope.relation(schema, relation).map(|r| r.columns.clone());
        let Some(columns) = found else {
            return Err(Error::new(
                "42P01",
                format!("missing FROM-clause entry for table \"{relation}\""),
            )
            .at(self.position(name)));
        };
        Ok(columns.into_iter().filter(|c| !c.hidden).map(item_of).collect())
    }

    /// `(row).*` as the parser gives it within an expression.
    fn expanded(&mut self, node: &ast::Expr) -> Result<Option<Vec<Item>>, Error> {
        let ast::Expr::CompoundFieldAccess { root, access_chain } = node else { return Ok(None) };
        let [ast::AccessExpr::Dot(ast::Expr::Wildcard(_))] = access_chain.as_slice() else {
            return Ok(None);
        };
        let value = self.expr(root)?;
        self.fields_of(value).map(Some)
    }

    fn fields_of(&self, value: Typed) -> Result<Vec<Item>, Error> {
        let PgType::Record(fields) = value.kind.clone() else {
            return Err(Error::new("42809", format!("type {} is not composite", value.kind)));
        };
        let mut items = Vec::with_capacity(fields.len());
        for (name, _) in fields {
            let value = self.field(value.clone(), &name)?;
            items.push(Item { name, value, node: None });
        }
        Ok(items)
    }

    /// The bound parts become a plan: group, having, windows, set-returning calls, project, distinct.
    fn put_together(&mut self, select: &ast::Select, mut bound: Bound) -> Result<Parts, Error> {
        let level = self.level()?;
        let aggregates = std::mem::take(&mut level.aggregates);
        let mut windows = std::mem::take(&mut level.windows);
        let mut series = std::mem::take(&mut level.series);
        if bound.groups.is_some() || !aggregates.is_empty() || bound.having.is_some() {
            self.grouped(&mut bound, aggregates, &mut windows, &mut series)?;
        }
        let mut plan = bound.plan;
        if let Some(having) = bound.having {
            plan = LogicalPlanBuilder::from(plan).filter(having)?.build()?;
        }
        plan = self.add_windows(plan, windows)?;
        plan = add_series(plan, series)?;
        let mut exprs: Vec<(Expr, String)> = Vec::new();
        let mut columns = Vec::with_capacity(bound.items.len());
        for item in bound.items {
            let name = match known(&exprs, &item.value.expr) {
                Some(name) => name,
                None => {
                    let name = match &item.value.expr {
                        Expr::Column(c) => c.name.clone(),
                        _ => self.fresh('c'),
                    };
                    exprs.push((item.value.expr, name.clone()));
                    name
                }
            };
            columns.push(Output {
                name: item.name,
                column: name,
                kind: item.value.kind,
                origin: item.value.origin,
            });
        }
        let visible = exprs.len();
        let mut sort = Vec::with_capacity(bound.sort.len());
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        for item in bound.sort {
            let expr = match super::operator::under_key(&item.expr) {
                // A distinct number is ordered by its key, but selected as it is.
                Some(number) if distinct => {
                    let name = self.hidden(&mut exprs, number.clone());
                    super::operator::numeric_key(Typed::new(
                        column(&name),
                        PgType::Numeric(crate::types::Numeric::FREE),
                    ))?
                    .expr
                }
                _ => column(&self.hidden(&mut exprs, item.expr)),
            };
            sort.push(SortExpr::new(expr, item.asc, item.nulls_first));
        }
        if distinct && exprs.len() > visible {
            return Err(Error::new(
                "42P10",
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            ));
        }
        let on: Vec<String> =
            bound.distinct_on.into_iter().map(|expr| self.hidden(&mut exprs, expr)).collect();
        plan = project(plan, exprs)?;
        if distinct {
            plan = self.distinct_rows(plan, &columns)?;
        }
        if !on.is_empty() {
            plan = self.first_of_each(plan, &on, &sort)?;
        }
        Ok(Parts { plan, columns, sort, skip: None, fetch: None })
    }

    /// Adds a column for each window call.
    fn add_windows(
        &mut self,
        plan: LogicalPlan,
        windows: Vec<(Expr, String)>,
    ) -> Result<LogicalPlan, Error> {
        if windows.is_empty() {
            return Ok(plan);
        }
        let mut outputs = columns_of_plan(&plan);
        // What is partitioned and sorted by becomes columns: each is computed once, and windows of one order are
        // seen to be that whatever the optimizer makes of expressions.
        let mut computed = Vec::new();
        let mut calls = Vec::with_capacity(windows.len());
        for (expr, name) in windows {
            let mut expr = expr;
            if let Expr::WindowFunction(call) = &mut expr {
                for part in &mut call.params.partition_by {
                    self.lift(part, &mut computed);
                }
                for item in &mut call.params.order_by {
                    self.lift(&mut item.expr, &mut computed);
                }
            }
            let title = expr.schema_name().to_string();
            outputs.push((column(&title), name));
            calls.push(expr);
        }
        let mut plan = plan;
        if !computed.is_empty() {
            let mut exprs = columns_of_plan(&plan);
            exprs.extend(computed);
            plan = project(plan, exprs)?;
        }
        let plan = LogicalPlanBuilder::window_plan(plan, calls)?;
        project(plan, outputs)
    }

    /// Puts a column of a projection in place of an expression that is more than a name or constant.
    pub(super) fn lift(&mut self, expr: &mut Expr, computed: &mut Vec<(Expr, String)>) {
        if matches!(expr, Expr::Column(_) | Expr::Literal(..) | Expr::Placeholder(_)) {
            return;
        }
        let name = match known(computed, expr) {
            Some(name) => name,
            None => {
                let name = self.fresh('g');
                computed.push((expr.clone(), name.clone()));
                name
            }
        };
        *expr = column(&name);
    }

    /// The projected name of an expression that only sorting needs.
    fn hidden(&mut self, exprs: &mut Vec<(Expr, String)>, expr: Expr) -> String {
        if let Some(name) = known(exprs, &expr) {
            return name;
        }
        let name = match &expr {
            Expr::Column(c) => c.name.clone(),
            _ => self.fresh('o'),
        };
        exprs.push((expr, name.clone()));
        name
    }

    /// DISTINCT ON: the first row of each group in the query's order.
    fn first_of_each(
        &mut self,
        plan: LogicalPlan,
        on: &[String],
        sort: &[SortExpr],
    ) -> Result<LogicalPlan, Error> {
        let distinct: HashSet<&String> = on.iter().collect();
        let leading: Vec<String> = sort.iter().map(|s| s.expr.schema_name().to_string()).collect();
        let covered: HashSet<&String> = leading.iter().take(distinct.len()).collect();
        let stray = leading.iter().take(distinct.len()).any(|name| !distinct.contains(name));
        if stray && covered.len() >= distinct.len().min(leading.len()) {
            return Err(Error::new(
                "42P10",
                "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
            ));
        }
        let number = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params: WindowFunctionParams {
                args: Vec::new(),
                partition_by: on.iter().map(|name| column(name)).collect(),
                order_by: sort.to_vec(),
                window_frame: WindowFrame::new_bounds(
                    WindowFrameUnits::Rows,
                    WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
                    WindowFrameBound::CurrentRow,
                ),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        let name = self.fresh('n');
        let keep: Vec<String> =
            plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let plan = self.add_windows(plan, vec![(number, name.clone())])?;
        let first = column(&name).eq(super::call::one_unsigned());
        let plan = LogicalPlanBuilder::from(plan).filter(first)?.build()?;
        project(plan, keep.into_iter().map(|name| (column(&name), name)).collect::<Vec<_>>())
    }
}

fn item_of(column_of: ScopeColumn) -> Item {
    Item {
        name: column_of.name,
        value: Typed {
            expr: column(&column_of.column),
            kind: column_of.kind,
            origin: column_of.origin,
        },
        node: None,
    }
}

fn known(exprs: &[(Expr, String)], expr: &Expr) -> Option<String> {
    // A subquery that is called for each row gives the same for the same row, unless it is volatile itself.
    let volatile = expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarFunction(call)
            if call.func.signature().volatility == Volatility::Volatile
                && crate::apply::Apply::of(&call.func)
                    .is_none_or(crate::apply::Apply::is_volatile)))
    });
    if volatile.unwrap_or(true) {
        return None;
    }
    exprs.iter().find(|(e, _)| e == expr).map(|(_, name)| name.clone())
}

/// All columns of a plan under their names.
pub(super) fn columns_of_plan(plan: &LogicalPlan) -> Vec<(Expr, String)> {
    let fields = plan.schema().fields().iter();
    fields.map(|field| (column(field.name()), field.name().clone())).collect()
}

/// Adds the rows of set-returning calls: side by side, the shorter ones padded with NULL.
fn add_series(plan: LogicalPlan, series: Vec<(Expr, String)>) -> Result<LogicalPlan, Error> {
    if series.is_empty() {
        return Ok(plan);
    }
    let mut exprs: Vec<(Expr, String)> = plan
        .schema()
        .fields()
        .iter()
        .map(|field| (column(field.name()), field.name().clone()))
        .collect();
    let names: Vec<String> = series.iter().map(|(_, name)| name.clone()).collect();
    exprs.extend(series);
    let plan = project(plan, exprs)?;
    super::from::unnest(plan, &names, false)
}

fn refuse_options(options: &ast::WildcardAdditionalOptions) -> Result<(), Error> {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if plain { Ok(()) } else { Err(Error::unsupported("an option on *", "Name the columns.")) }
}

fn refuse_foreign(select: &ast::Select) -> Result<(), Error> {
    let foreign = select.select_modifiers.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some();
    if foreign {
        return Err(Error::unsupported(
            "a clause of another dialect",
            "docs/sql.md lists what is supported.",
        ));
    }
    if select.into.is_some() {
        return Err(Error::unsupported("SELECT INTO here", "Use CREATE TABLE … AS."));
    }
    Ok(())
}

/// The name PostgreSQL gives a column without an alias.
pub(crate) fn column_name(node: &ast::Expr) -> String {
    named(node).0
}

/// The name, and whether it may give way to a better one (a type's name in `x::int`).
fn named(node: &ast::Expr) -> (String, u8) {
    use ast::Expr as E;
    let sure = |name: &str| (name.to_owned(), 2);
    match node {
        E::Identifier(ident) => (fold(ident), 2),
        E::CompoundIdentifier(parts) => (parts.last().map(fold).unwrap_or_default(), 2),
        E::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(E::Identifier(ident)) => Some(fold(ident)),
                _ => None,
            });
            field.map_or_else(|| named(root), |name| (name, 2))
        }
        E::Nested(inner) | E::Collate { expr: inner, .. } => named(inner),
        E::Function(function) => {
            let name = super::fold_name(&function.name).ok().and_then(|mut parts| parts.pop());
            (name.unwrap_or_default(), 2)
        }
        E::Cast { expr, data_type, .. } => match named(expr) {
            (name, 2) => (name, 2),
            _ => (type_name(data_type), 1),
        },
        E::TypedString(typed) => (type_name(&typed.data_type), 1),
        E::Interval(_) => ("interval".to_owned(), 1),
        E::Value(value) => match &value.value {
            ast::Value::Boolean(_) => ("bool".to_owned(), 1),
            _ => ("?column?".to_owned(), 0),
        },
        E::Case { else_result, .. } => match else_result.as_deref().map(named) {
            Some((name, 2)) => (name, 2),
            _ => ("case".to_owned(), 1),
        },
        E::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => sure("overlaps"),
        E::Exists { .. } => sure("exists"),
        E::Array(_) => sure("array"),
        E::Tuple(_) => sure("row"),
        E::Subquery(query) => (subquery_name(&query.body), 2),
        E::Extract { .. } => sure("extract"),
        E::AtTimeZone { .. } => sure("timezone"),
        E::Ceil { .. } => sure("ceil"),
        E::Floor { .. } => sure("floor"),
        E::Position { .. } => sure("position"),
        E::Substring { .. } => sure("substring"),
        E::Overlay { .. } => sure("overlay"),
        E::Trim { trim_where, .. } => sure(match trim_where {
            None | Some(ast::TrimWhereField::Both) => "btrim",
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
        }),
        _ => ("?column?".to_owned(), 0),
    }
}

fn subquery_name(body: &ast::SetExpr) -> String {
    match body {
        ast::SetExpr::Select(select) => match select.projection.first() {
            Some(ast::SelectItem::Wildcard(_)) => match select.from.first().map(|t| &t.relation) {
                Some(ast::TableFactor::Derived { subquery, .. }) => subquery_name(&subquery.body),
                _ => "?column?".to_owned(),
            },
            Some(ast::SelectItem::UnnamedExpr(node)) => column_name(node),
            Some(ast::SelectItem::ExprWithAlias { alias, .. }) => fold(alias),
            _ => "?column?".to_owned(),
        },
        ast::SetExpr::Query(query) => subquery_name(&query.body),
        ast::SetExpr::SetOperation { left, .. } => subquery_name(left),
        ast::SetExpr::Values(_) => "column1".to_owned(),
        _ => "?column?".to_owned(),
    }
}

fn type_name(kind: &ast::DataType) -> String {
    match crate::types::type_of_ast(kind) {
        Ok(PgType::Array(element)) => element.typname(),
        Ok(kind) => kind.typname(),
        Err(_) => "?column?".to_owned(),
    }
}
