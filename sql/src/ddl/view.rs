//! CREATE VIEW: the query is kept as text, with every relation in it named by its schema.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use ledger::catalog::View;
use ledger::{Catalog, Object, Oid};

use crate::Error;
use crate::outcome::Outcome;
use crate::read::{self, PlanOptions};
use crate::session::Session;
use crate::statement::{Statement, name_of, parts_of};

impl Session {
    pub(super) async fn create_view(
        &mut self,
        statement: &Statement,
        create: &ast::CreateView,
    ) -> Result<Outcome, Error> {
        refuse(create)?;
        let catalog = self.catalog()?;
        let place = parts_of(&create.name)?;
        let (schema, name) = if create.temporary {
            self.temporary_place(&place)?
        } else {
            self.place_for(&catalog, &place)?
        };
        let catalog = self.catalog()?;
        let old = catalog.find_relation(schema, &name);
        let context = self.query_context(statement)?;
        let planned = read::plan_query(&context, &create.query, PlanOptions::default())?;
        if !planned.parameters.is_empty() {
            return Err(Error::new("42P02", "there is no parameter $1"));
        }
        self.need_schemas(&catalog, &planned.reads)?;
        let columns = columns_of(&planned, &create.columns)?;
        let mut written = create.query.as_ref().clone();
        let outer = written.with.clone();
        self.spell_stars(&context, outer.as_ref(), &mut written.body)?;
        let (query, depends_on) = self.with_schemas(&catalog, &written)?;
        if !schema.is_temporary() && depends_on.iter().any(|oid| oid.is_temporary()) {
            return Err(Error::unsupported(
                "a view that reads a temporary table",
                "Make the view temporary, too: CREATE TEMPORARY VIEW.",
            ));
        }
        let mut oids = self.oids_for(&catalog, schema);
        let (oid, view) = match old {
            Some(oid) => {
                let view = catalog.view(oid).filter(|_| create.or_replace);
                let Some(view) = view else {
                    return Err(if catalog.view(oid).is_none() && create.or_replace {
                        Error::new("42809", format!("\"{name}\" is not a view"))
                    } else {
                        Error::Exists { kind: "relation", name }
                    });
                };
                self.need_owner(&catalog, oid)?;
                check_replacement(view, &columns)?;
                (oid, View { query, columns, depends_on, ..view.clone() })
            }
            None => {
                let oid = oids.next();
                let view = View {
                    schema,
                    name,
                    owner: self.user.0,
                    query,
                    columns,
                    depends_on,
                    row_type: oids.next(),
                    row_array_type: oids.next(),
                    comment: None,
                };
                (oid, view)
            }
        };
        self.define(oid, Object::View(view))?;
        Ok(Outcome::done("CREATE VIEW"))
    }

    /// `*` becomes the columns that it means today: a view doesn't change with its tables.
    fn spell_stars(
        &self,
        context: &read::QueryContext,
        with: Option<&ast::With>,
        body: &mut ast::SetExpr,
    ) -> Result<(), Error> {
        match body {
            ast::SetExpr::SetOperation { left, right, .. } => {
                self.spell_stars(context, with, left)?;
                self.spell_stars(context, with, right)
            }
            ast::SetExpr::Query(query) if query.with.is_none() => {
                self.spell_stars(context, with, &mut query.body)
            }
            ast::SetExpr::Select(select) => {
                let mut items = Vec::with_capacity(select.projection.len());
                for item in &select.projection {
                    match self.spelled(context, with, select, item)? {
                        Some(columns) => items.extend(columns),
                        None => items.push(item.clone()),
                    }
                }
                select.projection = items;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn spelled(
        &self,
        context: &read::QueryContext,
        with: Option<&ast::With>,
        select: &ast::Select,
        item: &ast::SelectItem,
    ) -> Result<Option<Vec<ast::SelectItem>>, Error> {
        let qualifier = match item {
            ast::SelectItem::Wildcard(_) => Vec::new(),
            ast::SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) => parts_of(name)?.pop().into_iter().collect(),
            _ => return Ok(None),
        };
        let mut query = crate::dml::select_from(vec![item.clone()], select.from.clone(), None);
        query.with = with.cloned();
        let planned = read::plan_query(context, &query, PlanOptions::default())?;
        let mut names: Vec<&str> = planned.columns.iter().map(|own| own.name.as_str()).collect();
        let columns = names
            .iter()
            .map(|name| {
                let parts = qualifier.iter().map(String::as_str).chain([*name]);
                let parts = parts.map(|part| ast::Ident::with_quote('"', part)).collect();
                ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(parts))
            })
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(Error::unsupported(
                "a view of SELECT * with columns of one name",
                "Name the columns of the view's query.",
            ));
        }
        Ok(Some(columns))
    }

    /// The query's text with every relation named by its schema, and the relations that it reads.
    fn with_schemas(
        &self,
        catalog: &Catalog,
        query: &ast::Query,
    ) -> Result<(String, Vec<Oid>), Error> {
        let mut query = query.clone();
        let mut namer =
            Namer { session: self, catalog, found: Vec::new(), ctes: Vec::new(), error: None };
        if query.visit(&mut namer).is_break()
            && let Some(error) = namer.error.take()
        {
            return Err(error);
        }
        let mut found = namer.found;
        found.sort_unstable();
        found.dedup();
        Ok((query.to_string(), found))
    }
}

/// Names relations by their schemas.
struct Namer<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    found: Vec<Oid>,
    ctes: Vec<String>,
    error: Option<Error>,
}

impl VisitorMut for Namer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|cte| name_of(&cte.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ast::ObjectName) -> ControlFlow<()> {
        let parts = match parts_of(relation) {
            Ok(parts) => parts,
            Err(error) => {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        };
        if let [name] = parts.as_slice()
            && self.ctes.contains(name)
        {
            return ControlFlow::Continue(());
        }
        let Ok(Some(oid)) = self.session.find_relation(self.catalog, &parts) else {
            // A system catalog or a function: its schema is found in the same way later.
            return ControlFlow::Continue(());
        };
        let Some(object) = self.catalog.get(oid) else { return ControlFlow::Continue(()) };
        let schema = crate::privileges::schema_of(self.catalog, oid)
            .and_then(|schema| self.catalog.schema(schema))
            .map(|schema| schema.name.clone());
        if let Some(schema) = schema {
            let ident =
                |name: &str| ast::ObjectNamePart::Identifier(ast::Ident::with_quote('"', name));
            *relation = ast::ObjectName(vec![ident(&schema), ident(object.name())]);
            self.found.push(oid);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a view's query names this column of one of its tables; `None`: it may name any.
pub(super) fn reads_column(view: &View, column: &str) -> Option<bool> {
    /// Words that take a row as a whole.
    const WHOLE: [&str; 7] =
        ["NATURAL", "ROW_TO_JSON", "TO_JSON", "TO_JSONB", "JSON_AGG", "JSONB_AGG", "ARRAY_AGG"];
    let dialect = crate::dialect::Postgres::of_text(&view.query);
    let tokens = Tokenizer::new(&dialect, &view.query).tokenize().ok()?;
    let tokens: Vec<Token> =
        tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut named = false;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        match token {
            Token::Mul => match before {
                Some(Token::Comma | Token::Period) => return None,
                Some(Token::Word(word)) if word.quote_style.is_none() => {
                    let word = word.value.to_ascii_uppercase();
                    if matches!(word.as_str(), "SELECT" | "DISTINCT" | "ALL") {
                        return None;
                    }
                }
                _ => {}
            },
            Token::Word(word) => {
                let bare = word.quote_style.is_none();
                if bare && WHOLE.contains(&word.value.to_ascii_uppercase().as_str()) {
                    return None;
                }
                let name = if bare { word.value.to_ascii_lowercase() } else { word.value.clone() };
                named |= name == column;
            }
            _ => {}
        }
    }
    Some(named)
}

fn columns_of(
    planned: &read::Planned,
    names: &[ast::ViewColumnDef],
) -> Result<Vec<(String, ledger::Type)>, Error> {
    if names.len() > planned.columns.len() {
        return Err(Error::new("42601", "CREATE VIEW specifies more column names than columns"));
    }
    let mut columns: Vec<(String, ledger::Type)> = Vec::with_capacity(planned.columns.len());
    for (place, (column, kind)) in planned.columns.iter().zip(&planned.types).enumerate() {
        let name = names.get(place).map_or_else(|| column.name.clone(), |name| name_of(&name.name));
        if columns.iter().any(|(found, _)| *found == name) {
            return Err(Error::new("42701", format!("column \"{name}\" specified more than once")));
        }
        let kind = match kind {
            crate::types::PgType::Unknown => ledger::Type::Text,
            kind => kind.stored().ok_or_else(|| {
                Error::unsupported(
                    format!("a view's column of type {kind}"),
                    "Cast it to a type that a column can have.",
                )
            })?,
        };
        columns.push((name, kind));
    }
    Ok(columns)
}

fn check_replacement(old: &View, new: &[(String, ledger::Type)]) -> Result<(), Error> {
    if new.len() < old.columns.len() {
        return Err(Error::new("42P16", "cannot drop columns from view"));
    }
    for ((old_name, old_kind), (name, kind)) in old.columns.iter().zip(new) {
        if old_name != name {
            return Err(Error::new(
                "42P16",
                format!("cannot change name of view column \"{old_name}\" to \"{name}\""),
            )
            .with_hint(
                "Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.",
            ));
        }
        if old_kind != kind {
            return Err(Error::new(
                "42P16",
                format!(
                    "cannot change data type of view column \"{name}\" from {old_kind} to {kind}"
                ),
            ));
        }
    }
    Ok(())
}

fn refuse(create: &ast::CreateView) -> Result<(), Error> {
    if create.materialized {
        return Err(Error::unsupported("a materialized view", "Use a view, or a table."));
    }
    if !matches!(create.options, ast::CreateTableOptions::None)
        || create.if_not_exists
        || create.to.is_some()
        || create.params.is_some()
    {
        return Err(Error::unsupported("options of a view", "Leave them out."));
    }
    Ok(())
}
