//! From the parser's tree to DataFusion's plan, with PostgreSQL's meaning.
//!
//! Names, types, overloads, casts and defaults are settled here, so that what reaches DataFusion is
//! fully typed and every column has a name of its own (`c17`): nothing is left for it to guess. What
//! Stele can't do right is refused with 0A000.

use std::collections::BTreeSet;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;
use ledger::{ColumnNumber, Oid};

use crate::Error;
use crate::read::QueryContext;
use crate::types::PgType;

mod apply;
mod call;
mod cast;
mod expression;
mod from;
mod grouping;
mod operator;
mod query;
mod row;
mod rule;
mod scope;
mod select;
mod set;
mod subquery;
mod window;

pub use cast::Allowed;
pub(crate) use expression::is_collation;
pub use rule::{compile_rule, rule_text};
use scope::Level;

/// An identifier as PostgreSQL sees it: lower case unless quoted, cut at 63 bytes.
pub fn fold(ident: &ast::Ident) -> String {
    let mut name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    };
    let mut end = name.len().min(63);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// The parts of a name, folded.
///
/// # Errors
/// 42601 for a part that is no identifier.
pub fn fold_name(name: &ast::ObjectName) -> Result<Vec<String>, Error> {
    name.0
        .iter()
        .map(|part| match part {
            ast::ObjectNamePart::Identifier(ident) => Ok(fold(ident)),
            ast::ObjectNamePart::Function(function) => {
                Err(Error::new("42601", format!("syntax error at or near \"{function}\"")))
            }
        })
        .collect()
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    /// For DataFusion; its Arrow type is that of `kind`.
    pub(crate) expr: Expr,
    /// In PostgreSQL.
    pub(crate) kind: PgType,
    /// The table's column that it is, unchanged.
    pub(crate) origin: Option<(Oid, ColumnNumber)>,
}

impl Typed {
    pub(crate) fn new(expr: Expr, kind: PgType) -> Self {
        Self { expr, kind, origin: None }
    }

    /// NULL of this type.
    pub(crate) fn null(kind: PgType) -> Result<Self, Error> {
        Ok(Self::new(Expr::Literal(ScalarValue::try_from(&kind.arrow())?, None), kind))
    }

    /// The text of a literal that no type was given yet; `Some(None)` is NULL.
    pub(crate) fn unknown_literal(&self) -> Option<Option<&str>> {
        match (&self.kind, &self.expr) {
            (PgType::Unknown, Expr::Literal(ScalarValue::Utf8(text), _)) => Some(text.as_deref()),
            _ => None,
        }
    }
}

/// A column of a planned query.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// The name a client or an outer query sees.
    pub(crate) name: String,
    /// The plan's name for it.
    pub(crate) column: String,
    pub(crate) kind: PgType,
    pub(crate) origin: Option<(Oid, ColumnNumber)>,
}

/// A planned query within another.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Output>,
}

/// A query of a WITH list.
#[derive(Clone, Debug)]
struct Cte {
    name: String,
    rows: Rows,
    volatile: bool,
    used: bool,
}

/// The state of planning one statement.
pub(crate) struct Binder<'a> {
    pub(crate) context: &'a QueryContext,
    /// `$1` first; `None` until something fixes the type.
    pub(crate) parameters: Vec<Option<PgType>>,
    /// The relations of the ledger that were named.
    pub(crate) reads: BTreeSet<Oid>,
    /// Those that views name, each with the view's owner, by whose privileges it is read.
    pub(crate) owner_reads: BTreeSet<(Oid, Oid)>,
    /// A point of the chain was settled: the plan holds for one run.
    pub(crate) momentary: bool,
    /// The owner of the view that is being planned.
    owner: Option<Oid>,
    names: usize,
    levels: Vec<Level>,
    ctes: Vec<Cte>,
    /// Types that the outermost query's columns are to have: INSERT's targets.
    targets: Option<Vec<PgType>>,
    depth: usize,
    /// Offsets of the lines of the source text, in characters.
    lines: Vec<usize>,
}

/// Queries and expressions may nest this deep.
const MAX_DEPTH: usize = 120;

impl<'a> Binder<'a> {
    pub(crate) fn new(context: &'a QueryContext, parameter_oids: &[u32]) -> Result<Self, Error> {
        let mut parameters = Vec::with_capacity(parameter_oids.len());
        for oid in parameter_oids {
            let kind = PgType::of_oid(*oid).ok_or_else(|| {
                Error::unsupported(
                    format!("a parameter of type {oid}"),
                    "docs/sql.md lists the types.",
                )
            })?;
            parameters.push((kind != PgType::Unknown).then_some(kind));
        }
        Ok(Self {
            context,
            parameters,
            reads: BTreeSet::new(),
            owner_reads: BTreeSet::new(),
            momentary: false,
            owner: None,
            names: 0,
            levels: Vec::new(),
            ctes: Vec::new(),
            targets: None,
            depth: 0,
            lines: line_starts(&context.source),
        })
    }

    pub(crate) fn with_targets(mut self, targets: Option<&[PgType]>) -> Self {
        self.targets = targets.map(<[PgType]>::to_vec);
        self
    }

    /// Notes that a relation is read, and by whom.
    fn note_read(&mut self, relation: Oid) {
        match self.owner {
            Some(owner) => self.owner_reads.insert((owner, relation)),
            None => self.reads.insert(relation),
        };
    }

    /// A name that no other column of the plan has.
    pub(crate) fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// Where in the client's text the node stands: characters, from 1.
    pub(crate) fn position(&self, node: &impl Spanned) -> Option<usize> {
        self.position_of(node.span())
    }

    pub(crate) fn position_of(&self, span: Span) -> Option<usize> {
        let start = span.start;
        let line = usize::try_from(start.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(start.column).ok()?;
        Some(self.lines.get(line)? + column)
    }

    pub(crate) fn level(&mut self) -> Result<&mut Level, Error> {
        self.levels.last_mut().ok_or_else(|| Error::internal("no query is being planned"))
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new("54001", "stack depth limit exceeded")
                .with_hint("Write the expression with less nesting."));
        }
        Ok(())
    }

    /// The parameter `$number`.
    fn parameter(&mut self, text: &str) -> Result<Typed, Error> {
        let number: usize = text
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .filter(|number| (1..=65_535).contains(number))
            .ok_or_else(|| Error::new("42P02", format!("there is no parameter {text}")))?;
        if self.parameters.len() < number {
            self.parameters.resize(number, None);
        }
        let kind = self.parameters.get(number - 1).cloned().flatten().unwrap_or(PgType::Unknown);
        Ok(Typed::new(placeholder(number, &kind), kind))
    }

    /// Gives a parameter its type, once.
    fn settle(&mut self, placeholder_id: &str, kind: &PgType) -> Option<Typed> {
        let number: usize = placeholder_id.strip_prefix('$')?.parse().ok()?;
        let slot = self.parameters.get_mut(number.checked_sub(1)?)?;
        let kind = slot.get_or_insert_with(|| kind.bare()).clone();
        Some(Typed::new(placeholder(number, &kind), kind))
    }
}

fn placeholder(number: usize, kind: &PgType) -> Expr {
    let id = format!("${number}");
    let field = Some(kind.field(&id));
    Expr::Placeholder(Placeholder::new_with_field(id, field))
}

/// The plan's column of this name.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn line_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    for (offset, character) in text.chars().enumerate() {
        if character == '\n' {
            starts.push(offset + 1);
        }
    }
    starts
}

/// A projection that keeps these expressions under these names.
pub(crate) fn project(
    plan: LogicalPlan,
    columns: impl IntoIterator<Item = (Expr, String)>,
) -> Result<LogicalPlan, Error> {
    let exprs: Vec<Expr> = columns.into_iter().map(|(expr, name)| named(expr, &name)).collect();
    if exprs.is_empty() {
        // DataFusion has no rows without columns below some operators.
        let one = Expr::Literal(ScalarValue::Boolean(Some(true)), None).alias("nothing");
        return Ok(LogicalPlanBuilder::from(plan).project(vec![one])?.build()?);
    }
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

fn named(expr: Expr, name: &str) -> Expr {
    match &expr {
        Expr::Column(column) if column.relation.is_none() && column.name == name => expr,
        _ => expr.alias(name),
    }
}
