//! Aggregates: which there are, what they take, and what they make of a group's rows.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments,
};

use super::bind::{Binder, ScopeRelation};
use super::run::{Env, Run, order_of, sorted};
use super::tree::{Aggregate, AggregateKind, Expr, Select, Typed};
use crate::Error;
use crate::catalog::functions::{as_text, json_of};
use crate::catalog::relations::Row;
use crate::functions::Datum;
use crate::types::PgType;

/// The aggregate of this name.
pub(super) fn kind_of(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "sum" => AggregateKind::Sum,
        "bool_and" | "every" => AggregateKind::And,
        "bool_or" => AggregateKind::Or,
        "array_agg" => AggregateKind::Array,
        "string_agg" => AggregateKind::Text,
        "json_agg" => AggregateKind::Json,
        "json_object_agg" => AggregateKind::JsonObject,
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        kind: AggregateKind,
        call: &Function,
    ) -> Result<Typed, Error> {
        let unsupported = || {
            Error::unsupported(
                format!("the call {call} in a query of the catalogs"),
                "docs/sql.md lists what such queries can do.",
            )
        };
        let FunctionArguments::List(list) = &call.args else { return Err(unsupported()) };
        if !self.level()?.aggregates_allowed {
            return Err(Error::new("42803", "aggregate functions are not allowed here"));
        }
        let level = self.level()?;
        let sets = std::mem::replace(&mut level.sets_allowed, false);
        let aggregates = std::mem::replace(&mut level.aggregates_allowed, false);
        let star =
            matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        let arguments = if star { Ok(Vec::new()) } else { self.arguments(&list.args) };
        let mut order = Vec::new();
        let mut bound = Ok(());
        for clause in &list.clauses {
            let FunctionArgumentClause::OrderBy(items) = clause else { return Err(unsupported()) };
            for item in items {
                match self.expr(&item.expr) {
                    Ok(value) => {
                        let descending = item.options.asc == Some(false);
                        let nulls_first = item.options.nulls_first.unwrap_or(descending);
                        order.push((value.expr, descending, nulls_first));
                    }
                    Err(error) => bound = Err(error),
                }
            }
        }
        let filter = call.filter.as_ref().map(|filter| self.bool(filter)).transpose();
        let level = self.level()?;
        level.sets_allowed = sets;
        level.aggregates_allowed = aggregates;
        bound?;
        let (arguments, kinds, returns) = self.aggregate_arguments(kind, arguments?, star)?;
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let aggregate = Aggregate { kind, arguments, kinds, distinct, order, filter: filter? };
        self.own_columns(&aggregate)?;
        let level = self.level()?;
        let same = format!("{aggregate:?}");
        let place = match level.aggregates.iter().position(|known| format!("{known:?}") == same) {
            Some(place) => place,
            None => {
                level.aggregates.push(aggregate);
                level.aggregates.len() - 1
            }
        };
        Ok(Typed::new(Expr::Aggregate(place), returns))
    }

    /// An aggregate over nothing but columns of a query around this one belongs to that query: not done here.
    fn own_columns(&self, aggregate: &Aggregate) -> Result<(), Error> {
        let mut own = false;
        let mut outer = false;
        for argument in &aggregate.arguments {
            argument.each(&mut |expr| {
                if let Expr::Column { depth, .. } = expr {
                    own |= *depth == 0;
                    outer |= *depth > 0;
                }
            });
        }
        if outer && !own {
            return Err(Error::unsupported(
                "an aggregate of an outer query's columns",
                "Write it in the outer query.",
            ));
        }
        Ok(())
    }

    fn aggregate_arguments(
        &mut self,
        kind: AggregateKind,
        arguments: Vec<Typed>,
        star: bool,
    ) -> Result<(Vec<Expr>, Vec<PgType>, PgType), Error> {
        let wrong = || Error::new("42883", "function with these arguments does not exist");
        let wanted = match kind {
            AggregateKind::Text | AggregateKind::JsonObject => 2,
            AggregateKind::Count if star => 0,
            _ => 1,
        };
        if arguments.len() != wanted {
            return Err(wrong());
        }
        let mut exprs = Vec::new();
        let mut kinds = Vec::new();
        for argument in arguments {
            let argument = match kind {
                AggregateKind::Text => {
                    Typed::new(self.coerce(argument, &PgType::Text)?, PgType::Text)
                }
                AggregateKind::And | AggregateKind::Or => {
                    Typed::bool(self.coerce(argument, &PgType::Bool)?)
                }
                _ => self.settled(argument)?,
            };
            exprs.push(argument.expr);
            kinds.push(argument.kind);
        }
        let first = kinds.first().cloned().unwrap_or(PgType::Text);
        let returns = match kind {
            AggregateKind::Count => PgType::Int8,
            AggregateKind::Min | AggregateKind::Max => match first {
                PgType::Name | PgType::Varchar(_) | PgType::Char => PgType::Text,
                kind => kind.without_modifier(),
            },
            AggregateKind::Sum => match first {
                PgType::Int2 | PgType::Int4 => PgType::Int8,
                PgType::Float4 | PgType::Float8 => first,
                other => {
                    return Err(Error::unsupported(
                        format!("sum({other}) in a query of the catalogs"),
                        "Cast to integer or double precision.",
                    ));
                }
            },
            AggregateKind::And | AggregateKind::Or => PgType::Bool,
            AggregateKind::Array => match first {
                PgType::Array(_) => {
                    return Err(Error::unsupported("an array of arrays", "Aggregate texts."));
                }
                kind => PgType::Array(Box::new(kind.without_modifier())),
            },
            AggregateKind::Text => PgType::Text,
            AggregateKind::Json | AggregateKind::JsonObject => PgType::Json,
        };
        Ok((exprs, kinds, returns))
    }
}

impl Select {
    /// 42803 when a column stands outside of aggregates and isn't grouped by.
    pub(super) fn check_grouping(&self, relations: &[ScopeRelation]) -> Result<(), Error> {
        let Some(keys) = &self.group else { return Ok(()) };
        let sets = self.sets.iter().flat_map(|call| &call.arguments);
        let windows = self.windows.iter().flat_map(|window| {
            window.partition.iter().chain(window.order.iter().map(|key| &key.0))
        });
        for expr in self.output.iter().chain(&self.having).chain(sets).chain(windows) {
            check(expr, keys, relations)?;
        }
        Ok(())
    }
}

fn check(expr: &Expr, keys: &[Expr], relations: &[ScopeRelation]) -> Result<(), Error> {
    if keys.contains(expr) {
        return Ok(());
    }
    let mut wanted = Vec::new();
    if let Expr::Column { depth: 0, index } = expr {
        wanted.push(*index);
    }
    if let Some(query) = expr.query() {
        // Columns that a subquery names of this query.
        let inner = Expr::Exists(Box::new(query.clone()));
        inner.columns(0, &mut |index| wanted.push(index));
    }
    for index in wanted {
        let grouped = keys
            .iter()
            .any(|key| matches!(key, Expr::Column { depth: 0, index: i } if *i == index));
        if !grouped && !depends(index, keys, relations) {
            let name = relations
                .iter()
                .flat_map(|relation| relation.columns.iter().map(move |column| (relation, column)))
                .find(|(_, column)| column.index == index)
                .map(|(relation, column)| format!("{}.{}", relation.name, column.name))
                .unwrap_or_default();
            return Err(Error::new(
                "42803",
                format!(
                    "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
                ),
            ));
        }
    }
    expr.parts().into_iter().try_for_each(|part| check(part, keys, relations))
}

/// Whether a column depends on the keys: the keys hold the `oid` of its relation.
fn depends(index: usize, keys: &[Expr], relations: &[ScopeRelation]) -> bool {
    relations
        .iter()
        .filter(|relation| relation.columns.iter().any(|column| column.index == index))
        .flat_map(|relation| &relation.columns)
        .filter(|column| column.name == "oid")
        .any(|column| {
            keys.iter().any(
                |key| matches!(key, Expr::Column { depth: 0, index } if *index == column.index),
            )
        })
}

impl Run<'_> {
    /// An aggregate over a group's rows.
    pub(super) fn aggregate_of(
        &self,
        aggregate: &Aggregate,
        rows: &[Row],
        env: &Env<'_>,
    ) -> Result<Datum, Error> {
        let mut taken: Vec<(Vec<Datum>, Vec<Datum>)> = Vec::new();
        for row in rows {
            let env = Env { row, ..*env };
            if let Some(filter) = &aggregate.filter
                && self.value(filter, &env)? != Datum::Bool(true)
            {
                continue;
            }
            let keys = aggregate
                .order
                .iter()
                .map(|key| self.value(&key.0, &env))
                .collect::<Result<Vec<_>, _>>()?;
            let values = self.values(&aggregate.arguments, &env)?;
            taken.push((keys, values));
        }
        if !aggregate.order.is_empty() {
            let how: Vec<(bool, bool)> = aggregate.order.iter().map(|key| (key.1, key.2)).collect();
            taken.sort_by(|a, b| sorted(&a.0, &b.0, &how));
        }
        let mut values: Vec<Vec<Datum>> = taken.into_iter().map(|(_, values)| values).collect();
        if aggregate.distinct {
            let mut seen = BTreeSet::new();
            values.retain(|value| seen.insert(super::run::Key(value.clone())));
            if aggregate.order.is_empty() {
                values.sort_by(|a, b| sorted(a, b, &[(false, false); 2]));
            }
        }
        self.fold(aggregate, values)
    }

    fn fold(&self, aggregate: &Aggregate, values: Vec<Vec<Datum>>) -> Result<Datum, Error> {
        let facts = self.facts;
        let kind = aggregate.kinds.first().cloned().unwrap_or(PgType::Text);
        let first = |value: Vec<Datum>| value.into_iter().next().unwrap_or(Datum::Null);
        if aggregate.kind == AggregateKind::Count && aggregate.arguments.is_empty() {
            return Ok(Datum::Int(i64::try_from(values.len()).unwrap_or(i64::MAX)));
        }
        match aggregate.kind {
            AggregateKind::Array => {
                let items: Vec<Datum> = values.into_iter().map(first).collect();
                return Ok(if items.is_empty() { Datum::Null } else { Datum::Array(items) });
            }
            AggregateKind::Json => {
                let items: Vec<String> =
                    values.into_iter().map(|value| json_of(facts, &first(value), &kind)).collect();
                return Ok(if items.is_empty() {
                    Datum::Null
                } else {
                    Datum::Text(format!("[{}]", items.join(", ")))
                });
            }
            AggregateKind::JsonObject => {
                let value_kind = aggregate.kinds.get(1).cloned().unwrap_or(PgType::Text);
                let mut members = Vec::new();
                for pair in &values {
                    let [key, value] = pair.as_slice() else { continue };
                    let key = serde_json::Value::from(as_text(facts, key, &kind)).to_string();
                    members.push(format!("{key} : {}", json_of(facts, value, &value_kind)));
                }
                return Ok(if members.is_empty() {
                    Datum::Null
                } else {
                    Datum::Text(format!("{{ {} }}", members.join(", ")))
                });
            }
            AggregateKind::Text => {
                let mut text = String::new();
                let mut any = false;
                for pair in &values {
                    let [value, delimiter] = pair.as_slice() else { continue };
                    if value.is_null() {
                        continue;
                    }
                    if any {
                        text.push_str(delimiter.text());
                    }
                    any = true;
                    text.push_str(value.text());
                }
                return Ok(if any { Datum::Text(text) } else { Datum::Null });
            }
            _ => {}
        }
        let known = values.into_iter().map(first).filter(|value| !value.is_null());
        reduce(aggregate.kind, known)
    }
}

fn reduce(kind: AggregateKind, mut known: impl Iterator<Item = Datum>) -> Result<Datum, Error> {
    let flag = |value: &Datum| *value == Datum::Bool(true);
    let pick = |wanted: std::cmp::Ordering| {
        move |a: Datum, b: Datum| if order_of(&b, &a) == wanted { b } else { a }
    };
    Ok(match kind {
        AggregateKind::Count => Datum::Int(i64::try_from(known.count()).unwrap_or(i64::MAX)),
        AggregateKind::Min => known.reduce(pick(std::cmp::Ordering::Less)).unwrap_or(Datum::Null),
        AggregateKind::Max => {
            known.reduce(pick(std::cmp::Ordering::Greater)).unwrap_or(Datum::Null)
        }
        AggregateKind::And => {
            known.map(|v| flag(&v)).reduce(|a, b| a && b).map_or(Datum::Null, Datum::Bool)
        }
        AggregateKind::Or => {
            known.map(|v| flag(&v)).reduce(|a, b| a || b).map_or(Datum::Null, Datum::Bool)
        }
        _ => match known.next() {
            None => Datum::Null,
            Some(Datum::Float(first)) => Datum::Float(known.fold(first, |sum, v| sum + v.float())),
            Some(first) => {
                let sum = known.try_fold(first.int(), |sum, v| sum.checked_add(v.int()));
                Datum::Int(sum.ok_or_else(|| Error::new("22003", "bigint out of range"))?)
            }
        },
    })
}
