//! FROM: tables, views, subqueries, functions and joins become a plan with a scope of names.

use std::sync::{Arc, LazyLock};

use datafusion::common::{Column, JoinType, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use ledger::Oid;
use ledger::catalog::Object;

use super::query::rename;
use super::scope::{Clause, Level, Relation, Scope, ScopeColumn};
use super::{Allowed, Binder, Output, Rows, Typed, column, fold, fold_name, project};
use crate::Error;
use crate::functions::{self, Datum, Function, datum_at};
use crate::read::VirtualTable;
use crate::table::{LedgerTable, SYSTEM_COLUMNS};
use crate::types::PgType;

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
            (Right::Rows(plan, scope), Some(left)) if is_lateral(&plan, &visible) => {
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
        if pending.is_some() && item.joins.iter().any(|join| may_be_lateral(&join.relation)) {
            if let Some((left, left_scope)) = pending.take() {
                plan = LogicalPlanBuilder::from(left).cross_join(plan)?.build()?;
                scope = left_scope.beside(scope)?;
            }
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
        let visible = left.1.clone();
        let right = self.factor(&join.relation, &visible)?;
        let (right_plan, right_scope) = match right {
            Right::Lists(lists) if lists.use_columns() => {
                return self.lateral_lists(left, lists, kind, constraint);
            }
            Right::Lists(lists) => self.standalone(lists)?,
            Right::Rows(plan, scope) => (plan, scope),
        };
        if is_lateral(&right_plan, &visible) {
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
                let cross = matches!(join.join_operator, J::CrossJoin(_));
                if !cross && kind != JoinType::Inner {
                    return Err(Error::new("42601", "a join needs ON or USING"));
                }
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

    fn on(&mut self, scope: &Scope, node: &ast::Expr) -> Result<Expr, Error> {
        self.levels.push(Level::new(scope.clone(), self.ctes.len()));
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
                let rows = if *lateral {
                    self.levels.push(Level::new(visible.clone(), self.ctes.len()));
                    let rows = self.query(subquery);
                    self.levels.pop();
                    rows?
                } else {
                    self.query(subquery)?
                };
                let rows = self.settle_rows(rows)?;
                let (plan, scope) = self.under_alias(rows, alias.as_ref())?;
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
        self.levels.push(Level::new(scope.clone(), self.ctes.len()));
        let result = run(self);
        self.levels.pop();
        result
    }

    /// Rows as a relation of this alias.
    fn under_alias(
        &mut self,
        rows: Rows,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let (name, columns) = match alias {
            Some(alias) => (fold(&alias.name), rename(rows.columns, alias)?),
            None => (String::new(), rows.columns),
        };
        Ok((rows.plan, Scope::of(super::query::relation(name, &columns))))
    }

    /// A relation by name: WITH query, system catalog, table or view.
    pub(crate) fn named_relation(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let parts = fold_name(name)?;
        let (schema, table) = match parts.as_slice() {
            [table] => (None, table.as_str()),
            [schema, table] => (Some(schema.as_str()), table.as_str()),
            [database, schema, table] if *database == self.context.database => {
                (Some(schema.as_str()), table.as_str())
            }
            [_, _, _] => {
                return Err(Error::unsupported(
                    format!("a reference to another database: {}", parts.join(".")),
                    "Connect to that database.",
                ));
            }
            _ => return Err(Error::new("42601", "improper relation name (too many dotted names)")),
        };
        if schema.is_none()
            && let Some(rows) = self.cte(table)?
        {
            let columns = match alias {
                Some(alias) => rename(rows.columns, alias)?,
                None => rows.columns,
            };
            let shown = alias.map_or_else(|| table.to_owned(), |alias| fold(&alias.name));
            return Ok((rows.plan, Scope::of(super::query::relation(shown, &columns))));
        }
        let found = self.find_relation(schema, table)?;
        let Some((plan, mut relation)) = found else {
            return Err(Error::UndefinedTable {
                name: parts.join("."),
                position: self.position(name),
            });
        };
        if let Some(alias) = alias {
            relation.name = fold(&alias.name);
            relation.schema = None;
            let visible = relation.columns.iter().filter(|c| !c.hidden).count();
            if alias.columns.len() > visible {
                return Err(Error::new(
                    "42P10",
                    format!(
                        "table \"{}\" has {visible} columns available but {} columns specified",
                        relation.name,
                        alias.columns.len()
                    ),
                ));
            }
            for (c, definition) in relation.columns.iter_mut().zip(&alias.columns) {
                c.name = fold(&definition.name);
            }
        }
        Ok((plan, Scope::of(relation)))
    }

    fn find_relation(
        &mut self,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Option<(LogicalPlan, Relation)>, Error> {
        let extensions = Arc::clone(&self.context.extensions);
        for extension in extensions.iter() {
            if let Some(table) = extension.table(self.context, schema, name)? {
                return self.virtual_relation(name, schema, table).map(Some);
            }
        }
        let catalog = Arc::clone(&self.context.catalog);
        let path = match schema {
            Some(schema) => {
                if catalog.find_schema(schema).is_none() {
                    return Ok(None);
                }
                vec![schema.to_owned()]
            }
            None => self.context.search_path.clone(),
        };
        for schema in path {
            let found = catalog
                .find_schema(&schema)
                .and_then(|schema| catalog.find_relation(schema, name))
                .and_then(|oid| Some((oid, catalog.get(oid)?)));
            match found {
                None => continue,
                Some((oid, Object::Table(table))) => {
                    self.reads.insert(oid);
                    return self.ledger_relation(oid, table, &schema).map(Some);
                }
                Some((oid, Object::View(view))) => {
                    self.reads.insert(oid);
                    return self.view(view, &schema).map(Some);
                }
                Some((oid, Object::Sequence(sequence))) => {
                    self.reads.insert(oid);
                    return self.sequence(sequence, &schema).map(Some);
                }
                Some(_) => {
                    return Err(Error::new("42809", format!("cannot open relation \"{name}\""))
                        .with_detail("This operation is not supported for indexes."));
                }
            }
        }
        Ok(None)
    }

    fn ledger_relation(
        &mut self,
        oid: Oid,
        table: &ledger::Table,
        schema: &str,
    ) -> Result<(LogicalPlan, Relation), Error> {
        let provider = LedgerTable::new(
            oid,
            table,
            self.context.snapshot.clone(),
            self.context.overlay.clone(),
        );
        let own = table
            .columns
            .iter()
            .filter(|c| !c.dropped)
            .map(|c| (c.name.clone(), PgType::of(&c.kind), Some((oid, c.number)), false));
        let system = SYSTEM_COLUMNS
            .iter()
            .map(|(name, _, kind)| ((*name).to_owned(), kind.clone(), None, true));
        let columns: Vec<_> = own.chain(system).collect();
        self.scanned(Arc::new(provider), &table.name, Some(schema.to_owned()), columns)
    }

    fn virtual_relation(
        &mut self,
        name: &str,
        schema: Option<&str>,
        table: VirtualTable,
    ) -> Result<(LogicalPlan, Relation), Error> {
        let shown = table.columns.len().saturating_sub(table.hidden);
        let columns = table
            .columns
            .into_iter()
            .enumerate()
            .map(|(index, (name, kind))| (name, kind, None, index >= shown))
            .collect();
        self.scanned(table.provider, name, schema.map(str::to_owned), columns)
    }

    /// A scan under fresh column names.
    fn scanned(
        &mut self,
        provider: Arc<dyn datafusion::datasource::TableProvider>,
        name: &str,
        schema: Option<String>,
        columns: Vec<(String, PgType, Option<(Oid, ledger::ColumnNumber)>, bool)>,
    ) -> Result<(LogicalPlan, Relation), Error> {
        let title = datafusion::common::TableReference::bare(name);
        let arrow = provider.schema();
        let scan =
            LogicalPlanBuilder::scan(title.clone(), provider_as_source(provider), None)?.build()?;
        let mut exprs = Vec::with_capacity(columns.len());
        let mut scope = Vec::with_capacity(columns.len());
        for (field, (name, kind, origin, hidden)) in arrow.fields().iter().zip(columns) {
            let fresh = self.fresh('c');
            exprs.push((
                Expr::Column(Column::new(Some(title.clone()), field.name())),
                fresh.clone(),
            ));
            scope.push(ScopeColumn { name, column: fresh, kind, origin, hidden });
        }
        let plan = project(scan, exprs)?;
        Ok((plan, Relation { schema, name: name.to_owned(), columns: scope, scalar: false }))
    }

    fn view(
        &mut self,
        view: &ledger::catalog::View,
        schema: &str,
    ) -> Result<(LogicalPlan, Relation), Error> {
        let mut statements =
            Parser::parse_sql(&PostgreSqlDialect {}, &view.query).map_err(|error| {
                Error::internal(format!("the view {} doesn't parse: {error}", view.name))
            })?;
        let Some(ast::Statement::Query(query)) = statements.pop() else {
            return Err(Error::internal(format!("the view {} is no query", view.name)));
        };
        // The view's query knows nothing of the query around it, nor do its relations count as read.
        let levels = std::mem::take(&mut self.levels);
        let ctes = std::mem::take(&mut self.ctes);
        let lines = std::mem::take(&mut self.lines);
        let reads = self.reads.clone();
        let rows = self.query(&query).and_then(|rows| self.settle_rows(rows));
        self.reads = reads;
        self.levels = levels;
        self.ctes = ctes;
        self.lines = lines;
        let rows = rows?;
        let kinds: Vec<PgType> = view.columns.iter().map(|(_, kind)| PgType::of(kind)).collect();
        let rows = if kinds.len() == rows.columns.len() {
            let shaped: Vec<PgType> = rows
                .columns
                .iter()
                .zip(&kinds)
                .map(|(c, kind)| if c.kind.same_base(kind) { c.kind.clone() } else { kind.clone() })
                .collect();
            self.cast_rows(rows, &shaped, Allowed::Explicit)?
        } else {
            rows
        };
        let mut relation = super::query::relation(view.name.clone(), &rows.columns);
        for (c, (name, _)) in relation.columns.iter_mut().zip(&view.columns) {
            c.name.clone_from(name);
            c.origin = None;
        }
        relation.schema = Some(schema.to_owned());
        Ok((rows.plan, relation))
    }

    /// A sequence read as a relation, as PostgreSQL allows.
    fn sequence(
        &mut self,
        sequence: &ledger::catalog::Sequence,
        schema: &str,
    ) -> Result<(LogicalPlan, Relation), Error> {
        let last = sequence.next.map_or(sequence.max, |next| next - sequence.increment);
        let called = sequence.next != Some(sequence.start);
        let last = if called { last } else { sequence.start };
        let empty = LogicalPlanBuilder::empty(true).build()?;
        let values = [
            ("last_value", self.constant(&PgType::Int8, Datum::Int(last))?),
            ("log_cnt", self.constant(&PgType::Int8, Datum::Int(0))?),
            ("is_called", self.constant(&PgType::Bool, Datum::Bool(called))?),
        ];
        let mut exprs = Vec::new();
        let mut outputs = Vec::new();
        for (name, value) in values {
            let fresh = self.fresh('c');
            exprs.push((value.expr, fresh.clone()));
            outputs.push(Output {
                name: name.to_owned(),
                column: fresh,
                kind: value.kind,
                origin: None,
            });
        }
        let mut relation = super::query::relation(sequence.name.clone(), &outputs);
        relation.schema = Some(schema.to_owned());
        Ok((project(empty, exprs)?, relation))
    }

    /// `t FOR SYSTEM_TIME AS OF …`: the function `ledger.as_of`.
    fn versioned(
        &mut self,
        name: &ast::ObjectName,
        version: &ast::TableVersion,
        alias: Option<&ast::TableAlias>,
    ) -> Result<(LogicalPlan, Scope), Error> {
        let ast::TableVersion::ForSystemTimeAsOf(node) = version else {
            return Err(Error::unsupported(
                "this form of a table's version",
                "Use FOR SYSTEM_TIME AS OF.",
            ));
        };
        let at = self.in_scope(&Scope::default(), |binder| {
            let value = binder.expr(node)?;
            binder.cast(value, &PgType::Text, Allowed::Explicit)
        })?;
        let at = self.constant_of(&at)?;
        let table = fold_name(name)?
            .iter()
            .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
            .collect::<Vec<_>>()
            .join(".");
        let found = self.table_function(Some("ledger"), "as_of", &[table.into(), at])?;
        let found = found.ok_or_else(|| {
            Error::unsupported("FOR SYSTEM_TIME AS OF", "Set ledger.as_of for the session.")
        })?;
        let parts = fold_name(name)?;
        let shown = parts.last().cloned().unwrap_or_default();
        let (plan, mut relation) = self.virtual_relation(&shown, None, found)?;
        if let Some(alias) = alias {
            relation.name = fold(&alias.name);
            for (c, definition) in relation.columns.iter_mut().zip(&alias.columns) {
                c.name = fold(&definition.name);
            }
        }
        Ok((plan, Scope::of(relation)))
    }

    fn table_function(
        &mut self,
        schema: Option<&str>,
        name: &str,
        args: &[Datum],
    ) -> Result<Option<VirtualTable>, Error> {
        for extension in Arc::clone(&self.context.extensions).iter() {
            if let Some(table) = extension.table_function(self.context, schema, name, args)? {
                if table.oid != 0 {
                    self.reads.insert(Oid(table.oid));
                }
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    fn constant_of(&self, value: &Typed) -> Result<Datum, Error> {
        let folded = crate::read::fold_constant(self.context, &value.expr)?;
        match folded {
            Expr::Literal(scalar, _) => datum_at(scalar.to_array()?.as_ref(), 0),
            _ => Err(Error::unsupported(
                "a table function whose arguments are no constants",
                "Write the arguments as literals.",
            )),
        }
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
            let constants =
                values.iter().map(|value| self.constant_of(value)).collect::<Result<Vec<_>, _>>();
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
        &mut self,
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
            _ => Err(Error::unsupported(
                "this join with a function of the left side's columns",
                "Use LEFT JOIN LATERAL … ON true, or an inner join.",
            )),
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
            exprs.push((ORDINALS.call(all, kinds, array), fresh.clone()));
            columns.push(("ordinality".to_owned(), Typed::new(column(&fresh), PgType::Int8)));
            names.push(fresh);
        }
        let plan = project(plan, exprs)?;
        let plan = unnest(plan, &names, outer)?;
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
fn is_lateral(plan: &LogicalPlan, visible: &Scope) -> bool {
    plan.all_out_ref_exprs().iter().any(|expr| match expr {
        Expr::OuterReferenceColumn(_, c) => {
            visible.relations.iter().any(|r| r.columns.iter().any(|v| v.column == c.name))
        }
        _ => false,
    })
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
