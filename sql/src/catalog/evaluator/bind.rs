//! What names mean while a query is bound: the levels of nested queries, what FROM brings, parameters, types that
//! context decides.

use datafusion::sql::sqlparser::ast::Ident;

use super::tree::{Aggregate, Call, Expr, Function, Typed, Window};
use crate::Error;
use crate::catalog::facts::Facts;
use crate::catalog::functions::{self, Builtin};
use crate::functions::Datum;
use crate::types::PgType;

/// A name as SQL reads it: lower case unless it is quoted.
pub(super) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A column that an expression can name.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    pub(super) name: String,
    pub(super) kind: PgType,
    pub(super) index: usize,
    /// Only with its relation's name: the other side of JOIN USING.
    pub(super) merged: bool,
}

/// An item of FROM by its name.
#[derive(Clone, Debug)]
pub(super) struct ScopeRelation {
    pub(super) schema: Option<String>,
    pub(super) name: String,
    pub(super) columns: Vec<ScopeColumn>,
    /// The relation of the catalogs that it is.
    pub(super) oid: Option<u32>,
}

/// One query among nested ones.
#[derive(Default)]
pub(super) struct Level {
    pub(super) relations: Vec<ScopeRelation>,
    /// Places that FROM has given out.
    pub(super) width: usize,
    pub(super) correlated: bool,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) windows: Vec<Window>,
    pub(super) sets: Vec<Call>,
    /// Aggregates may stand here; so may sets and windows if the second is true.
    pub(super) aggregates_allowed: bool,
    pub(super) sets_allowed: bool,
}

/// A query of WITH that can be named.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) number: usize,
    pub(super) columns: Vec<(String, PgType)>,
}

pub(super) struct Binder<'a> {
    pub(super) facts: &'a Facts<'a>,
    parameters: Vec<PgType>,
    pub(super) levels: Vec<Level>,
    pub(super) with: Vec<Named>,
    numbers: usize,
}

impl<'a> Binder<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, parameters: &[PgType]) -> Self {
        Self {
            facts,
            parameters: parameters.to_vec(),
            levels: Vec::new(),
            with: Vec::new(),
            numbers: 0,
        }
    }

    /// The parameters' types; what nothing decided is text.
    pub(super) fn parameters(self) -> Vec<PgType> {
        let settled = |kind| if kind == PgType::Unknown { PgType::Text } else { kind };
        self.parameters.into_iter().map(settled).collect()
    }

    /// A new number for a query.
    pub(super) fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// The innermost level.
    pub(super) fn level(&mut self) -> Result<&mut Level, Error> {
        self.levels.last_mut().ok_or_else(|| Error::internal("an expression outside of a query"))
    }

    /// `$n`
    pub(super) fn parameter(&mut self, text: &str) -> Result<Typed, Error> {
        let number: usize = text
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .filter(|number| (1..=65_535).contains(number))
            .ok_or_else(|| Error::new("42P02", format!("there is no parameter {text}")))?;
        if self.parameters.len() < number {
            self.parameters.resize(number, PgType::Unknown);
        }
        let kind = self.parameters.get(number - 1).cloned().unwrap_or(PgType::Unknown);
        Ok(Typed::new(Expr::Parameter(number - 1), kind))
    }

    /// A column by its name, with or without its relation's.
    pub(super) fn column(&mut self, parts: &[String]) -> Result<Typed, Error> {
        for depth in 0..self.levels.len() {
            let Some(level) = self.levels.iter().rev().nth(depth) else { break };
            if let Some(found) = find(level, parts)? {
                let typed = match found {
                    Found::Column(column) => {
                        Typed::new(Expr::Column { depth, index: column.index }, column.kind.clone())
                    }
                    Found::Row(relation) => whole_row(relation, depth),
                };
                for level in self.levels.iter_mut().rev().take(depth) {
                    level.correlated = true;
                }
                return Ok(typed);
            }
        }
        if let Some(found) = self.tableoid(parts) {
            return Ok(found);
        }
        let (relation, name) = match parts {
            [name] => (None, name),
            [.., relation, name] => (Some(relation), name),
            [] => return Err(Error::internal("a column without a name")),
        };
        if let Some(relation) = relation {
            let known = self.levels.iter().flat_map(|level| &level.relations);
            if !known.into_iter().any(|known| known.name == *relation) {
                return Err(Error::new(
                    "42P01",
                    format!("missing FROM-clause entry for table \"{relation}\""),
                ));
            }
        }
        let message = match relation {
            Some(relation) => format!("column {relation}.{name} does not exist"),
            None => format!("column \"{name}\" does not exist"),
        };
        Err(Error::UndefinedColumn { message, position: None })
    }

    /// `tableoid`: the number of the relation that a row is of; NULL where an outer join found no row.
    fn tableoid(&self, parts: &[String]) -> Option<Typed> {
        let (name, relation) = parts.split_last()?;
        if name != "tableoid" {
            return None;
        }
        let level = self.levels.last()?;
        let mut found = level.relations.iter().filter(|known| {
            known.oid.is_some() && relation.last().is_none_or(|relation| known.name == *relation)
        });
        let (found, None) = (found.next()?, found.next()) else { return None };
        let first = Expr::Column { depth: 0, index: found.columns.first()?.index };
        let arms = vec![(Expr::IsNull(Box::new(first)), Expr::Literal(Datum::Null))];
        let oid = Expr::Literal(Datum::Int(i64::from(found.oid?)));
        Some(Typed::new(Expr::Case { arms, otherwise: Some(Box::new(oid)) }, PgType::Oid))
    }

    /// The expression as a type that it is taken as without a cast.
    pub(super) fn coerce(&mut self, value: Typed, target: &PgType) -> Result<Expr, Error> {
        if value.kind == *target || matches!(target, PgType::Any | PgType::AnyElement) {
            return Ok(value.expr);
        }
        if value.kind == PgType::Unknown {
            return self.settle(value, target);
        }
        if implicit(&value.kind, target).is_none() {
            return Err(Error::new(
                "42804",
                format!("expression is of type {} but {target} is expected", value.kind),
            ));
        }
        Ok(self.cast_expr(value, target))
    }

    /// A literal, NULL or parameter gets its type.
    fn settle(&mut self, value: Typed, target: &PgType) -> Result<Expr, Error> {
        match value.expr {
            Expr::Parameter(place) => {
                if let Some(kind) = self.parameters.get_mut(place) {
                    if *kind == PgType::Unknown {
                        *kind = target.clone();
                    } else if kind != target {
                        let from = kind.clone();
                        return Ok(Expr::Cast(
                            Box::new(Expr::Parameter(place)),
                            from,
                            target.clone(),
                        ));
                    }
                }
                Ok(Expr::Parameter(place))
            }
            Expr::Literal(Datum::Null) => Ok(Expr::Literal(Datum::Null)),
            Expr::Literal(literal) if !matches!(target, PgType::Reg(_)) => Ok(Expr::Literal(
                super::cast(self.facts, literal, &PgType::Unknown, target, false)?,
            )),
            other => Ok(Expr::Cast(Box::new(other), PgType::Text, target.clone())),
        }
    }

    /// A cast that was written.
    pub(super) fn explicit(&mut self, value: Typed, target: &PgType) -> Result<Typed, Error> {
        let expr = if value.kind == PgType::Unknown {
            self.settle(value, target)?
        } else if value.kind == *target {
            value.expr
        } else {
            super::cast::allowed(&value.kind, target)?;
            self.cast_expr(value, target)
        };
        Ok(Typed::new(expr, target.clone()))
    }

    fn cast_expr(&self, value: Typed, target: &PgType) -> Expr {
        if same_bytes(&value.kind, target) {
            return value.expr;
        }
        Expr::Cast(Box::new(value.expr), value.kind, target.clone())
    }

    /// All as one type: CASE, COALESCE, ARRAY, IN, set operations.
    pub(super) fn unify(&mut self, values: Vec<Typed>) -> Result<(Vec<Expr>, PgType), Error> {
        let kinds: Vec<PgType> = values.iter().map(|value| value.kind.clone()).collect();
        let kind = common(&kinds)?;
        let exprs = values
            .into_iter()
            .map(|value| self.coerce(value, &kind))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((exprs, kind))
    }

    /// What stayed without a type is text.
    pub(super) fn settled(&mut self, value: Typed) -> Result<Typed, Error> {
        if value.kind != PgType::Unknown {
            return Ok(value);
        }
        let expr = self.settle(value, &PgType::Text)?;
        Ok(Typed::new(expr, PgType::Text))
    }

    /// A call, bound to the overload that fits best.
    pub(super) fn call(
        &mut self,
        schema: Option<&str>,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Call, Error> {
        let kinds: Vec<PgType> = arguments.iter().map(|argument| argument.kind.clone()).collect();
        let best = functions::overloads(schema, name)
            .filter_map(|builtin| Some((score(builtin, &kinds)?, builtin)))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        let Some((_, builtin)) = best else {
            let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
            return Err(Error::new(
                "42883",
                format!("function {name}({}) does not exist", kinds.join(", ")),
            )
            .with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ));
        };
        let mut exprs = Vec::with_capacity(arguments.len());
        let mut taken = Vec::with_capacity(arguments.len());
        for (place, argument) in arguments.into_iter().enumerate() {
            let wanted = argument_kind(builtin, place).cloned().unwrap_or(PgType::Any);
            let argument = match wanted {
                PgType::Any | PgType::AnyElement => self.settled(argument)?,
                _ => argument,
            };
            let kind = match wanted {
                PgType::Any | PgType::AnyElement | PgType::AnyArray => argument.kind.clone(),
                _ => wanted.clone(),
            };
            exprs.push(match wanted {
                PgType::AnyArray if argument.kind == PgType::Unknown => {
                    return Err(Error::new(
                        "42804",
                        "could not determine polymorphic type because input has type unknown",
                    ));
                }
                PgType::AnyArray => argument.expr,
                _ => self.coerce(argument, &kind)?,
            });
            taken.push(kind);
        }
        let returns = returned(builtin, &taken);
        Ok(Call { builtin: Function(builtin), kinds: taken, arguments: exprs, returns })
    }
}

/// The type that an argument is taken as.
fn argument_kind(builtin: &Builtin, place: usize) -> Option<&PgType> {
    builtin
        .arguments
        .get(place)
        .or_else(|| builtin.variadic.then(|| builtin.arguments.last()).flatten())
}

/// The result's type, the polymorphic ones filled in.
fn returned(builtin: &Builtin, kinds: &[PgType]) -> PgType {
    let element = builtin.arguments.iter().zip(kinds).find_map(|(wanted, kind)| match wanted {
        PgType::AnyArray => kind.element(),
        PgType::AnyElement => Some(kind.clone()),
        _ => None,
    });
    let fill = |kind: &PgType| match (kind, &element) {
        (PgType::AnyElement, Some(element)) => element.clone(),
        (PgType::AnyArray, Some(element)) => PgType::Array(Box::new(element.clone())),
        (kind, _) => kind.clone(),
    };
    match &builtin.returns {
        PgType::Record(fields) => {
            PgType::Record(fields.iter().map(|(name, kind)| (name.clone(), fill(kind))).collect())
        }
        kind => fill(kind),
    }
}

/// How well an overload fits; `None` if it doesn't.
fn score(builtin: &Builtin, kinds: &[PgType]) -> Option<usize> {
    let wanted = builtin.arguments.len();
    let fits = if builtin.variadic { kinds.len() + 1 >= wanted } else { kinds.len() == wanted };
    if !fits {
        return None;
    }
    let mut sum = usize::from(!builtin.variadic);
    for (place, kind) in kinds.iter().enumerate() {
        sum += implicit(kind, argument_kind(builtin, place)?)?;
    }
    Some(sum)
}

/// Whether a type is taken as another without a cast, and how gladly (3 is the same).
pub(super) fn implicit(from: &PgType, to: &PgType) -> Option<usize> {
    use PgType as T;
    Some(match (from, to) {
        (a, b) if a == b => 3,
        (a, b) if a.same_base(b) => 3,
        (_, T::Any) => 1,
        (T::Unknown, T::Text) => 3,
        (T::Unknown, T::AnyArray) => return None,
        (T::Unknown, _) => 2,
        (_, T::AnyElement) => 1,
        (T::Array(_) | T::Int2Vector | T::OidVector, T::AnyArray) => 2,
        (T::Int2, T::Int4 | T::Int8) | (T::Int4, T::Int8) => 2,
        (T::Int2 | T::Int4 | T::Int8, T::Oid | T::Reg(_)) => 1,
        (T::Int2 | T::Int4 | T::Int8 | T::Float4, T::Float8)
        | (T::Int2 | T::Int4 | T::Int8, T::Float4) => 1,
        (T::Reg(_), T::Oid) => 2,
        (T::Oid, T::Reg(_)) => 1,
        (T::Oid | T::Reg(_), T::Int8) => 1,
        (T::Name | T::Varchar(_) | T::Bpchar(_) | T::Char, T::Text) => 2,
        (T::Text | T::Varchar(_) | T::Bpchar(_), T::Name) => 1,
        (T::Text | T::Name | T::Bpchar(_), T::Varchar(_))
        | (T::Text | T::Varchar(_), T::Bpchar(_)) => 1,
        (T::Int2Vector, T::Array(e)) if **e == T::Int2 => 2,
        (T::OidVector, T::Array(e)) if **e == T::Oid => 2,
        (T::NodeTree, T::Text) => 1,
        (T::Array(a), T::Array(b)) => implicit(a, b)?.min(2),
        _ => return None,
    })
}

/// Whether a value of one type is a value of the other as it stands.
fn same_bytes(from: &PgType, to: &PgType) -> bool {
    use PgType as T;
    match (from, to) {
        (T::Name | T::Varchar(_) | T::Char | T::NodeTree | T::Text, T::Text | T::Varchar(None)) => {
            true
        }
        (T::Int2 | T::Int4, T::Int8) | (T::Int2, T::Int4) => true,
        (T::Reg(_) | T::Oid, T::Reg(_) | T::Oid | T::Int8) => true,
        (T::Int2Vector, T::Array(e)) => **e == T::Int2,
        (T::OidVector, T::Array(e)) => **e == T::Oid,
        (a, b) => a == b,
    }
}

/// The one type that all can have.
pub(super) fn common(kinds: &[PgType]) -> Result<PgType, Error> {
    let mut found = PgType::Unknown;
    for kind in kinds.iter().filter(|kind| **kind != PgType::Unknown) {
        if found == PgType::Unknown || implicit(&found, kind).is_some_and(|_| wider(kind, &found)) {
            found = kind.without_modifier();
        } else if !(found.same_base(kind) || implicit(kind, &found).is_some()) {
            return Err(Error::new("42804", format!("types {found} and {kind} cannot be matched")));
        }
    }
    Ok(if found == PgType::Unknown { PgType::Text } else { found })
}

/// Whether a type is the one to prefer of the two.
fn wider(kind: &PgType, than: &PgType) -> bool {
    let rank = |kind: &PgType| match kind {
        PgType::Int2 => 1,
        PgType::Int4 => 2,
        PgType::Int8 => 3,
        PgType::Float4 => 4,
        PgType::Float8 => 5,
        PgType::Reg(_) => 6,
        PgType::Oid => 7,
        PgType::Char => 1,
        PgType::Name => 2,
        PgType::Bpchar(_) => 3,
        PgType::Varchar(_) => 4,
        PgType::Text => 5,
        _ => 0,
    };
    rank(kind) > rank(than)
}

enum Found<'a> {
    Column(&'a ScopeColumn),
    Row(&'a ScopeRelation),
}

fn find<'a>(level: &'a Level, parts: &[String]) -> Result<Option<Found<'a>>, Error> {
    let ambiguous =
        |name: &str| Error::new("42702", format!("column reference \"{name}\" is ambiguous"));
    match parts {
        [name] => {
            let mut found = level
                .relations
                .iter()
                .flat_map(|relation| &relation.columns)
                .filter(|column| !column.merged && column.name == *name);
            match (found.next(), found.next()) {
                (Some(column), None) => Ok(Some(Found::Column(column))),
                (Some(_), Some(_)) => Err(ambiguous(name)),
                (None, _) => Ok(level
                    .relations
                    .iter()
                    .find(|relation| relation.name == *name)
                    .map(Found::Row)),
            }
        }
        [.., relation, name] => {
            let schema = if parts.len() > 2 { parts.get(parts.len() - 3) } else { None };
            let Some(found) = level.relations.iter().find(|known| {
                known.name == *relation && (schema.is_none() || known.schema.as_ref() == schema)
            }) else {
                return Ok(None);
            };
            let mut columns = found.columns.iter().filter(|column| column.name == *name);
            match (columns.next(), columns.next()) {
                (Some(column), None) => Ok(Some(Found::Column(column))),
                (Some(_), Some(_)) => Err(ambiguous(name)),
                (None, _) => Ok(None),
            }
        }
        [] => Ok(None),
    }
}

fn whole_row(relation: &ScopeRelation, depth: usize) -> Typed {
    let fields =
        relation.columns.iter().map(|column| Expr::Column { depth, index: column.index }).collect();
    let kinds =
        relation.columns.iter().map(|column| (column.name.clone(), column.kind.clone())).collect();
    Typed::new(Expr::Record(fields), PgType::Record(kinds))
}
