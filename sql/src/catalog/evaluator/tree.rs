//! The tree that a query is bound to: names are places, types are known. It doesn't run.

use crate::catalog::functions::Builtin;
use crate::catalog::relations::Relation;
use crate::functions::Datum;
use crate::types::PgType;

/// A query with its order and limits.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// Its number among the queries bound together: what doesn't refer outside is run once.
    pub(super) number: usize,
    /// Refers to a query around it.
    pub(super) correlated: bool,
    pub(super) with: Vec<Cte>,
    pub(super) body: Body,
    pub(super) columns: Vec<(String, PgType)>,
    pub(super) order: Vec<Order>,
    pub(super) offset: Option<Expr>,
    pub(super) limit: Option<Expr>,
}

/// A query of WITH.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) number: usize,
    pub(super) query: Query,
    /// The part that refers to itself, when it does: run until it gives nothing new.
    pub(super) recursive: Option<Recursive>,
}

#[derive(Clone, Debug)]
pub(super) struct Recursive {
    pub(super) query: Query,
    /// UNION ALL
    pub(super) all: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    Nested(Box<Query>),
    Both {
        op: SetOp,
        all: bool,
        left: Box<Self>,
        right: Box<Self>,
    },
    /// The rows of another body, some columns cast.
    Cast(Box<Self>, Vec<Option<(PgType, PgType)>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetOp {
    Union,
    Intersect,
    Except,
}

/// By which output column.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) column: usize,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Select {
    pub(super) source: Source,
    pub(super) filter: Vec<Expr>,
    /// Grouped, when there are keys, aggregates or HAVING.
    pub(super) group: Option<Vec<Expr>>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) having: Option<Expr>,
    pub(super) windows: Vec<Window>,
    pub(super) sets: Vec<Call>,
    /// What is shown, then what is only ordered by.
    pub(super) output: Vec<Expr>,
    pub(super) distinct: Distinct,
}

#[derive(Clone, Debug)]
pub(super) enum Distinct {
    No,
    All,
    /// One row for each value of these output columns.
    On(Vec<usize>),
}

/// An item of FROM. Its columns are `width` places from `base` on, among all of the query's.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) base: usize,
    pub(super) width: usize,
    pub(super) kind: SourceKind,
    /// Conditions that need nothing else.
    pub(super) filter: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub(super) enum SourceKind {
    /// One row without columns.
    Nothing,
    Relation(&'static Relation),
    Query(Box<Query>),
    /// A query of WITH, by number.
    Cte(usize),
    Functions {
        calls: Vec<Call>,
        ordinality: bool,
    },
    Join(Box<Join>),
}

#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) kind: JoinKind,
    pub(super) left: Source,
    pub(super) right: Source,
    /// The right side looks at the left one's row.
    pub(super) lateral: bool,
    pub(super) on: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// A call of a function, its arguments cast.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) builtin: Function,
    pub(super) kinds: Vec<PgType>,
    pub(super) arguments: Vec<Expr>,
    /// The type of the result, or of one row of a set.
    pub(super) returns: PgType,
}

/// A function, compared by identity.
#[derive(Clone, Copy)]
pub(super) struct Function(pub(super) &'static Builtin);

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) kind: AggregateKind,
    pub(super) arguments: Vec<Expr>,
    pub(super) kinds: Vec<PgType>,
    pub(super) distinct: bool,
    /// Each with descending and NULLs first.
    pub(super) order: Vec<(Expr, bool, bool)>,
    pub(super) filter: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AggregateKind {
    Count,
    Min,
    Max,
    Sum,
    And,
    Or,
    Array,
    Text,
    Json,
    JsonObject,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kind: WindowKind,
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<(Expr, bool, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) kind: PgType,
}

impl Typed {
    pub(super) fn new(expr: Expr, kind: PgType) -> Self {
        Self { expr, kind }
    }

    pub(super) fn bool(expr: Expr) -> Self {
        Self::new(expr, PgType::Bool)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Expr {
    Literal(Datum),
    Parameter(usize),
    /// A column of the query `depth` levels out.
    Column {
        depth: usize,
        index: usize,
    },
    Call(Box<Call>),
    /// The current row of a set in the select list.
    Set(usize),
    Aggregate(usize),
    Window(usize),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    IsNull(Box<Self>),
    Distinct(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    /// Checked in the range of the type.
    Arithmetic(Arithmetic, Box<Self>, Box<Self>, PgType),
    Negate(Box<Self>, PgType),
    Concatenate(Box<Self>, Box<Self>),
    /// Item to the end, or before the start.
    Append(Box<Self>, Box<Self>),
    Prepend(Box<Self>, Box<Self>),
    Like {
        value: Box<Self>,
        pattern: Box<Self>,
        escape: Option<char>,
        fold: bool,
    },
    Matches {
        value: Box<Self>,
        pattern: Box<Self>,
        fold: bool,
    },
    In(Box<Self>, Vec<Self>),
    /// `a op ANY (array)`, or ALL.
    Quantified {
        test: Test,
        all: bool,
        value: Box<Self>,
        array: Box<Self>,
    },
    QuantifiedQuery {
        test: Test,
        all: bool,
        value: Box<Self>,
        query: Box<Query>,
    },
    Exists(Box<Query>),
    Scalar(Box<Query>),
    ArrayOf(Box<Query>),
    Case {
        arms: Vec<(Self, Self)>,
        otherwise: Option<Box<Self>>,
    },
    Coalesce(Vec<Self>),
    NullIf(Box<Self>, Box<Self>),
    /// The greatest, or least.
    Extreme(Vec<Self>, bool),
    Cast(Box<Self>, PgType, PgType),
    Array(Vec<Self>),
    Record(Vec<Self>),
    Field(Box<Self>, usize),
    /// An array's item; the array's first subscript.
    Item(Box<Self>, i64, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What ANY and ALL ask of each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Compare(Comparison),
    Like { fold: bool, negated: bool },
    Matches { fold: bool, negated: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
}

/// Two expressions without queries in them are equal when they are written alike.
impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        let mut queries = 0;
        self.each(&mut |expr| {
            if matches!(
                expr,
                Self::Scalar(_) | Self::Exists(_) | Self::ArrayOf(_) | Self::QuantifiedQuery { .. }
            ) {
                queries += 1;
            }
        });
        queries == 0 && format!("{self:?}") == format!("{other:?}")
    }
}

impl Expr {
    /// The expressions directly in this one, not those of queries in it.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Literal(_)
            | Self::Parameter(_)
            | Self::Column { .. }
            | Self::Set(_)
            | Self::Aggregate(_)
            | Self::Window(_)
            | Self::Exists(_)
            | Self::Scalar(_)
            | Self::ArrayOf(_) => Vec::new(),
            Self::Call(call) => call.arguments.iter().collect(),
            Self::Not(a)
            | Self::IsNull(a)
            | Self::Negate(a, _)
            | Self::Cast(a, _, _)
            | Self::Field(a, _) => {
                vec![a]
            }
            Self::And(all)
            | Self::Or(all)
            | Self::Coalesce(all)
            | Self::Array(all)
            | Self::Record(all)
            | Self::Extreme(all, _) => all.iter().collect(),
            Self::Distinct(a, b)
            | Self::Compare(_, a, b)
            | Self::Arithmetic(_, a, b, _)
            | Self::Concatenate(a, b)
            | Self::Append(a, b)
            | Self::Prepend(a, b)
            | Self::NullIf(a, b)
            | Self::Item(a, _, b) => vec![a, b],
            Self::Like { value, pattern, .. } | Self::Matches { value, pattern, .. } => {
                vec![value, pattern]
            }
            Self::In(a, list) => std::iter::once(a.as_ref()).chain(list).collect(),
            Self::Quantified { value, array, .. } => vec![value, array],
            Self::QuantifiedQuery { value, .. } => vec![value],
            Self::Case { arms, otherwise } => {
                let mut parts: Vec<&Self> = arms.iter().flat_map(|(a, b)| [a, b]).collect();
                parts.extend(otherwise.as_deref());
                parts
            }
        }
    }

    /// The query in this expression, if it has one itself.
    pub(super) fn query(&self) -> Option<&Query> {
        match self {
            Self::Exists(query) | Self::Scalar(query) | Self::ArrayOf(query) => Some(query),
            Self::QuantifiedQuery { query, .. } => Some(query),
            _ => None,
        }
    }

    /// Visits this expression and all in it, not those of queries.
    pub(super) fn each(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for part in self.parts() {
            part.each(visit);
        }
    }

    /// Visits the columns of the query that this expression stands in, also where inner queries name them.
    pub(super) fn columns(&self, depth: usize, visit: &mut dyn FnMut(usize)) {
        if let Self::Column { depth: at, index } = self
            && *at == depth
        {
            visit(*index);
        }
        if let Some(query) = self.query() {
            query.columns(depth + 1, visit);
        }
        for part in self.parts() {
            part.columns(depth, visit);
        }
    }
}

impl Query {
    fn columns(&self, depth: usize, visit: &mut dyn FnMut(usize)) {
        if !self.correlated {
            return;
        }
        for cte in &self.with {
            cte.query.columns(depth + 1, visit);
            if let Some(recursive) = &cte.recursive {
                recursive.query.columns(depth + 1, visit);
            }
        }
        self.body.columns(depth, visit);
        for expr in self.offset.iter().chain(&self.limit) {
            expr.columns(depth, visit);
        }
    }
}

impl Body {
    fn columns(&self, depth: usize, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Select(select) => select.columns(depth, visit),
            Self::Values(rows) => {
                for expr in rows.iter().flatten() {
                    expr.columns(depth, visit);
                }
            }
            Self::Nested(query) => query.columns(depth + 1, visit),
            Self::Both { left, right, .. } => {
                left.columns(depth, visit);
                right.columns(depth, visit);
            }
            Self::Cast(body, _) => body.columns(depth, visit),
        }
    }
}

impl Select {
    fn columns(&self, depth: usize, visit: &mut dyn FnMut(usize)) {
        self.source.columns(depth, visit);
        let ordered = |order: &[(Expr, bool, bool)], visit: &mut dyn FnMut(usize)| {
            for (expr, _, _) in order {
                expr.columns(depth, visit);
            }
        };
        for aggregate in &self.aggregates {
            ordered(&aggregate.order, visit);
            for expr in aggregate.arguments.iter().chain(&aggregate.filter) {
                expr.columns(depth, visit);
            }
        }
        for window in &self.windows {
            ordered(&window.order, visit);
            for expr in &window.partition {
                expr.columns(depth, visit);
            }
        }
        let sets = self.sets.iter().flat_map(|call| &call.arguments);
        let all = self.filter.iter().chain(self.group.iter().flatten()).chain(&self.having);
        for expr in all.chain(sets).chain(&self.output) {
            expr.columns(depth, visit);
        }
    }
}

impl Source {
    /// Visits the columns, `depth` levels out, that it names itself.
    pub(super) fn columns(&self, depth: usize, visit: &mut dyn FnMut(usize)) {
        for expr in &self.filter {
            expr.columns(depth, visit);
        }
        match &self.kind {
            SourceKind::Nothing | SourceKind::Relation(_) | SourceKind::Cte(_) => {}
            SourceKind::Query(query) => query.columns(depth + 1, visit),
            SourceKind::Functions { calls, .. } => {
                for expr in calls.iter().flat_map(|call| &call.arguments) {
                    expr.columns(depth, visit);
                }
            }
            SourceKind::Join(join) => {
                join.left.columns(depth, visit);
                join.right.columns(depth, visit);
                for expr in &join.on {
                    expr.columns(depth, visit);
                }
            }
        }
    }
}
