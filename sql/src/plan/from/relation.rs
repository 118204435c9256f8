//! Relations by name: tables of the ledger, views, sequences, and what extensions bring.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use ledger::catalog::Object;
use ledger::{ColumnNumber, Oid};

use super::super::query::{relation, rename};
use super::super::scope::{Relation, Scope, ScopeColumn};
use super::super::{Allowed, Binder, Output, Typed, fold, fold_name, project};
use crate::Error;
use crate::functions::{Datum, datum_at, series};
use crate::read::VirtualTable;
use crate::table::{LedgerTable, SYSTEM_COLUMNS};
use crate::types::PgType;

/// A column of a relation: name, type, the table's column that it is, whether `*` leaves it out.
type Shown = (String, PgType, Option<(Oid, ColumnNumber)>, bool);

/// Names a relation and its first columns as an alias says.
fn under(relation: &mut Relation, alias: &ast::TableAlias) -> Result<(), Error> {
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
    Ok(())
}

impl Binder<'_> {
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
            return Ok((rows.plan, Scope::of(relation(shown, &columns))));
        }
        let found = self.find_relation(schema, table)?;
        let Some((plan, mut relation)) = found else {
            return Err(Error::UndefinedTable {
                name: parts.join("."),
                position: self.position(name),
            });
        };
        if let Some(alias) = alias {
            under(&mut relation, alias)?;
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
            // The session's own schema stands first in the path.
            Some(crate::names::TEMPORARY) => {
                self.context.search_path.iter().take(1).cloned().collect()
            }
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
                    self.note_read(oid);
                    return self.ledger_relation(oid, table, &schema).map(Some);
                }
                Some((oid, Object::View(view))) => {
                    self.note_read(oid);
                    return self.view(view, &schema).map(Some);
                }
                Some((oid, Object::Sequence(sequence))) => {
                    self.note_read(oid);
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

    pub(super) fn virtual_relation(
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
        provider: Arc<dyn TableProvider>,
        name: &str,
        schema: Option<String>,
        columns: Vec<Shown>,
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
            Parser::parse_sql(&crate::dialect::Postgres::of_text(&view.query), &view.query)
                .map_err(|error| {
                    Error::internal(format!("the view {} doesn't parse: {error}", view.name))
                })?;
        let Some(ast::Statement::Query(query)) = statements.pop() else {
            return Err(Error::internal(format!("the view {} is no query", view.name)));
        };
        // The view's query knows nothing of the query around it, and reads by its owner's privileges.
        let levels = std::mem::take(&mut self.levels);
        let ctes = std::mem::take(&mut self.ctes);
        let lines = std::mem::take(&mut self.lines);
        let owner = self.owner.replace(view.owner);
        let rows = self.query(&query).and_then(|rows| self.settle_rows(rows));
        self.owner = owner;
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
        let mut found = relation(view.name.clone(), &rows.columns);
        for (c, (name, _)) in found.columns.iter_mut().zip(&view.columns) {
            c.name.clone_from(name);
            c.origin = None;
        }
        found.schema = Some(schema.to_owned());
        Ok((rows.plan, found))
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
        let mut found = relation(sequence.name.clone(), &outputs);
        found.schema = Some(schema.to_owned());
        Ok((project(empty, exprs)?, found))
    }

    /// `t FOR SYSTEM_TIME AS OF …`: the function `ledger.as_of`.
    pub(super) fn versioned(
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
        let value = self.in_scope(&Scope::default(), |binder| binder.expr(node))?;
        let at = self.point_of(value)?;
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
            under(&mut relation, alias)?;
        }
        Ok((plan, Scope::of(relation)))
    }

    /// A point of the chain that a query names: a constant, or a parameter. While nobody knows the parameter's value,
    /// the present stands for it, so that the statement can be described.
    pub(super) fn point_of(&mut self, value: Typed) -> Result<Datum, Error> {
        let literal = match &value.expr {
            Expr::Literal(literal, _) => literal.try_as_str().flatten(),
            _ => None,
        };
        // A block of the chain is the same for ever; what a time or a parameter means is asked each time.
        self.momentary |= !literal.is_some_and(crate::as_of::is_for_ever);
        let value = match &value.expr {
            Expr::Placeholder(parameter) if value.kind == PgType::Unknown => {
                self.settle(&parameter.id, &PgType::Text).unwrap_or(value)
            }
            _ => value,
        };
        let context = self.context;
        let Expr::Placeholder(parameter) = &value.expr else { return self.constant_of(&value) };
        let Some(parameters) = &context.parameters else {
            return Ok(Datum::Text(format!("block:{}", context.snapshot.height().0)));
        };
        let number = parameter.id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
        match number.checked_sub(1).and_then(|place| parameters.get(place)) {
            Some(given) => crate::read::parameter_value(context, given, &value.kind),
            None => Err(Error::new("08P01", format!("there is no value for parameter ${number}"))),
        }
    }

    pub(super) fn table_function(
        &mut self,
        schema: Option<&str>,
        name: &str,
        args: &[Datum],
    ) -> Result<Option<VirtualTable>, Error> {
        for extension in Arc::clone(&self.context.extensions).iter() {
            if let Some(table) = extension.table_function(self.context, schema, name, args)? {
                if table.oid != 0 {
                    self.note_read(Oid(table.oid));
                }
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// A series that depends on nothing is made while it is read, whatever its length: its elements, and their
    /// numbers if they are asked for, under these names.
    pub(super) fn streamed(
        &self,
        alone: bool,
        lists: &[Expr],
        columns: &[(String, Typed)],
        names: &[String],
    ) -> Result<Option<LogicalPlan>, Error> {
        let ([list], Some((_, first))) = (lists, columns.first()) else { return Ok(None) };
        let Some(args) = series::constant_arguments(list).filter(|_| alone) else {
            return Ok(None);
        };
        let constant = |arg: &Expr| self.constant_of(&Typed::new(arg.clone(), PgType::Unknown));
        let args = args.iter().map(constant).collect::<Result<Vec<_>, _>>()?;
        let provider = series::relation(first.kind.clone(), args).provider;
        let title = datafusion::common::TableReference::bare("generate_series");
        let fields = provider.schema();
        let scan = LogicalPlanBuilder::scan(title.clone(), provider_as_source(provider), None)?;
        let exprs = fields.fields().iter().zip(names).map(|(field, name)| {
            (Expr::Column(Column::new(Some(title.clone()), field.name())), name.clone())
        });
        Ok(Some(project(scan.build()?, exprs)?))
    }

    pub(super) fn constant_of(&self, value: &Typed) -> Result<Datum, Error> {
        let folded = crate::read::fold_constant(self.context, &value.expr)?;
        match folded {
            Expr::Literal(scalar, _) => datum_at(scalar.to_array()?.as_ref(), 0),
            _ => Err(Error::unsupported(
                "a table function whose arguments are no constants",
                "Write the arguments as literals.",
            )),
        }
    }
}
