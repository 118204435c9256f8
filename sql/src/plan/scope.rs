//! What names mean at a place of a query: the relations of FROM, the levels of nested queries.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::sql::sqlparser::ast;
use ledger::{ColumnNumber, Oid};

use super::{Binder, Typed, column, fold};
use crate::Error;
use crate::types::PgType;

/// A column that an expression can name.
#[derive(Clone, Debug)]
pub(crate) struct ScopeColumn {
    pub(crate) name: String,
    /// The plan's name for it.
    pub(crate) column: String,
    pub(crate) kind: PgType,
    pub(crate) origin: Option<(Oid, ColumnNumber)>,
    /// Only by name, not in `*`.
    pub(crate) hidden: bool,
}

/// An item of FROM with its name.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) columns: Vec<ScopeColumn>,
    /// A function that gives one plain value: its name means that value.
    pub(crate) scalar: bool,
}

/// All that FROM brings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// For names with a qualifier.
    pub(crate) relations: Vec<Relation>,
    /// For plain names and `*`, in order: JOIN USING's columns stand here once.
    pub(crate) visible: Vec<ScopeColumn>,
    /// The order of the rows, where FROM is a single sorted subquery: aggregates that gather rows keep it.
    pub(crate) order: Vec<SortExpr>,
}

impl Scope {
    pub(crate) fn of(relation: Relation) -> Self {
        Self { visible: relation.columns.clone(), relations: vec![relation], order: Vec::new() }
    }

    /// Both side by side.
    ///
    /// # Errors
    /// 42712 when a name stands twice.
    pub(crate) fn beside(mut self, other: Self) -> Result<Self, Error> {
        for relation in &other.relations {
            let twice = self.relations.iter().any(|r| {
                !r.name.is_empty() && r.name == relation.name && r.schema == relation.schema
            });
            if twice {
                return Err(Error::new(
                    "42712",
                    format!("table name \"{}\" specified more than once", relation.name),
                ));
            }
        }
        self.relations.extend(other.relations);
        self.visible.extend(other.visible);
        self.order.clear();
        Ok(self)
    }

    /// The columns of this name.
    pub(crate) fn find(&self, name: &str) -> Vec<&ScopeColumn> {
        self.visible.iter().filter(|column| column.name == name).collect()
    }

    pub(crate) fn relation(&self, schema: Option<&str>, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| {
            relation.name == name && (schema.is_none() || relation.schema.as_deref() == schema)
        })
    }
}

/// What is being bound: decides whether aggregates may stand here, and the words of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    From,
    On,
    Where,
    GroupBy,
    Having,
    Select,
    OrderBy,
    Limit,
    Values,
    AggregateArgument,
    WindowArgument,
}

impl Clause {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::From => "functions in FROM",
            Self::On => "JOIN conditions",
            Self::Where => "WHERE",
            Self::GroupBy => "GROUP BY",
            Self::Having => "HAVING",
            Self::Select => "SELECT",
            Self::OrderBy => "ORDER BY",
            Self::Limit => "LIMIT",
            Self::Values => "VALUES",
            Self::AggregateArgument => "aggregate function calls",
            Self::WindowArgument => "window function calls",
        }
    }
}

/// One query among nested ones, while it is bound.
pub(crate) struct Level {
    pub(crate) scope: Scope,
    pub(crate) clause: Clause,
    /// What is being bound is a condition that drops a row when it is not true: unknown counts as false there.
    pub(crate) certain: bool,
    /// Aggregates met so far, with the plan's names for them.
    pub(crate) aggregates: Vec<(Expr, String)>,
    /// Window calls met so far.
    pub(crate) windows: Vec<(Expr, String)>,
    /// Set-returning calls met so far: a list each, and the name of its elements.
    pub(crate) series: Vec<(Expr, String)>,
    pub(crate) named_windows: Vec<ast::NamedWindowDefinition>,
    /// Columns of the query around that it uses.
    pub(crate) outer: Vec<Expr>,
    /// `GROUPING(…)` may stand here: the grouping expressions.
    pub(crate) grouping: Option<Vec<Expr>>,
    /// What GROUP BY grouped, as it was written: a select item written alike is the same expression.
    pub(crate) groups: Vec<(ast::Expr, Typed)>,
}

impl Level {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            clause: Clause::From,
            certain: false,
            aggregates: Vec::new(),
            windows: Vec::new(),
            series: Vec::new(),
            named_windows: Vec::new(),
            outer: Vec::new(),
            grouping: None,
            groups: Vec::new(),
        }
    }
}

impl Binder<'_> {
    /// A name of one to four parts in an expression.
    pub(crate) fn name(&mut self, parts: &[ast::Ident]) -> Result<Typed, Error> {
        let names: Vec<String> = parts.iter().map(fold).collect();
        let position = parts.first().and_then(|part| self.position_of(part.span));
        for distance in 0..self.levels.len() {
            let index = self.levels.len() - 1 - distance;
            let Some(level) = self.levels.get(index) else { break };
            let found = match find(&level.scope, &names) {
                Ok(found) => found,
                Err(error) => return Err(error.at(position)),
            };
            if let Some(found) = found {
                return self.refer(found, distance).map_err(|error| error.at(position));
            }
        }
        Err(self.missing(&names, position))
    }

    /// The relation of this name as one value: a function's own, or the whole row.
    pub(crate) fn whole_row(&self, name: &str) -> Result<Option<Typed>, Error> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let Some(relation) = level.scope.relation(None, name) else { return Ok(None) };
        if relation.scalar
            && let Some(only) = relation.columns.first()
        {
            return Ok(Some(Typed::new(column(&only.column), only.kind.clone())));
        }
        let columns: Vec<ScopeColumn> =
            relation.columns.iter().filter(|c| !c.hidden).cloned().collect();
        let values =
            columns.iter().map(|c| Typed::new(column(&c.column), c.kind.clone())).collect();
        let names = columns.into_iter().map(|c| c.name).collect();
        Ok(Some(super::row::record(values, names)))
    }

    fn refer(&mut self, found: ScopeColumn, distance: usize) -> Result<Typed, Error> {
        let expr = match distance {
            0 => column(&found.column),
            _ => {
                let field = found.kind.field(&found.column);
                let expr = Expr::OuterReferenceColumn(field, Column::from_name(&found.column));
                let level = self.level()?;
                if !level.outer.contains(&expr) {
                    level.outer.push(expr.clone());
                }
                expr
            }
        };
        Ok(Typed { expr, kind: found.kind, origin: found.origin })
    }

    fn missing(&self, names: &[String], position: Option<usize>) -> Error {
        let visible =
            |name: &str| self.levels.iter().any(|level| level.scope.relation(None, name).is_some());
        match names {
            [name] => Error::UndefinedColumn {
                message: format!("column \"{name}\" does not exist"),
                position,
            },
            [.., relation, name] if visible(relation) => Error::UndefinedColumn {
                message: format!("column {relation}.{name} does not exist"),
                position,
            },
            [.., relation, _] => {
                Error::new("42P01", format!("missing FROM-clause entry for table \"{relation}\""))
                    .at(position)
            }
            [] => Error::internal("a name without parts"),
        }
    }
}

/// The column of this name in one query's scope.
fn find(scope: &Scope, names: &[String]) -> Result<Option<ScopeColumn>, Error> {
    let (schema, relation, name) = match names {
        [name] => {
            let found = scope.find(name);
            let ambiguous =
                || Error::new("42702", format!("column reference \"{name}\" is ambiguous"));
            return match found.as_slice() {
                [] => Ok(None),
                [one] => Ok(Some((*one).clone())),
                // A system column never hides or doubles a user's.
                many => match many.iter().filter(|c| !c.hidden).collect::<Vec<_>>().as_slice() {
                    [one] => Ok(Some((**one).clone())),
                    _ => Err(ambiguous()),
                },
            };
        }
        [relation, name] => (None, relation, name),
        [schema, relation, name] | [_, schema, relation, name] => {
            (Some(schema.as_str()), relation, name)
        }
        _ => return Ok(None),
    };
    let Some(relation) = scope.relation(schema, relation) else { return Ok(None) };
    let mut found = relation.columns.iter().filter(|column| column.name == *name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            Err(Error::new("42702", format!("column reference \"{name}\" is ambiguous")))
        }
        (first, _) => Ok(first.cloned()),
    }
}
