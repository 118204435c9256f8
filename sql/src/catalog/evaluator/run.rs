//! Running a bound query, row by row. What doesn't refer outside is run once; equal columns are joined by look-up.

mod join;
mod values;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::select::bound;
use super::tree::{Body, Cte, Distinct, Expr, Order, Query, Select, SetOp, Source, SourceKind};
use crate::Error;
use crate::catalog::facts::Facts;
use crate::catalog::relations::{self, Relation, Row, Rows};
use crate::functions::Datum;
use crate::types::PgType;

/// Rows that a query may look at in all; past it the query is refused.
const MOST_STEPS: u64 = 50_000_000;

/// One run of a query.
pub(super) struct Run<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) parameters: &'a [Datum],
    relations: RefCell<BTreeMap<u32, Rc<Vec<Row>>>>,
    results: RefCell<BTreeMap<usize, Rc<Vec<Row>>>>,
    with: RefCell<BTreeMap<usize, Rc<Vec<Row>>>>,
    steps: Cell<u64>,
}

/// Where an expression is evaluated: a row, the ones beside it, and those of the queries around.
#[derive(Clone, Copy)]
pub(super) struct Env<'e> {
    pub(super) row: &'e [Datum],
    pub(super) base: usize,
    /// Rows of the items to the left, for LATERAL.
    pub(super) beside: Option<&'e Self>,
    pub(super) outer: Option<&'e Self>,
    pub(super) sets: &'e [Vec<Datum>],
    /// Which row of the sets.
    pub(super) place: usize,
    pub(super) aggregates: &'e [Datum],
    pub(super) windows: &'e [Datum],
}

impl<'e> Env<'e> {
    /// No row.
    fn blank(outer: Option<&'e Self>) -> Self {
        Self {
            row: &[],
            base: 0,
            beside: None,
            outer,
            sets: &[],
            place: 0,
            aggregates: &[],
            windows: &[],
        }
    }

    fn of(
        row: &'e [Datum],
        base: usize,
        beside: Option<&'e Self>,
        outer: Option<&'e Self>,
    ) -> Self {
        Self { row, base, beside, ..Self::blank(outer) }
    }
}

/// The order of two values of one type; NULLs last.
pub(super) fn order_of(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Null, Datum::Null) => Ordering::Equal,
        (Datum::Null, _) => Ordering::Greater,
        (_, Datum::Null) => Ordering::Less,
        (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Float(_), _) | (_, Datum::Float(_)) => a.float().total_cmp(&b.float()),
        (Datum::Timestamptz(a), Datum::Timestamptz(b))
        | (Datum::Timestamp(a), Datum::Timestamp(b)) => a.cmp(b),
        (Datum::Date(a), Datum::Date(b)) => a.cmp(b),
        (Datum::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
        (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
        (Datum::Array(a), Datum::Array(b)) | (Datum::Record(a), Datum::Record(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| order_of(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => Ordering::Equal,
    }
}

/// The order of two lists of keys; each key descending or not, NULLs first or not.
pub(super) fn sorted(a: &[Datum], b: &[Datum], how: &[(bool, bool)]) -> Ordering {
    for ((a, b), (descending, nulls_first)) in a.iter().zip(b).zip(how) {
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if *nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if *nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) if *descending => order_of(b, a),
            (false, false) => order_of(a, b),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Values as a key of maps: NULLs are alike.
#[derive(Clone, Debug)]
pub(super) struct Key(pub(super) Vec<Datum>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .iter()
            .zip(&other.0)
            .map(|(a, b)| order_of(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, parameters: &'a [Datum]) -> Self {
        Self {
            facts,
            parameters,
            relations: RefCell::default(),
            results: RefCell::default(),
            with: RefCell::default(),
            steps: Cell::new(0),
        }
    }

    fn step(&self) -> Result<(), Error> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            return Err(Error::new("54000", "the query looks at too many rows of the catalogs")
                .with_hint("Join by equal columns, or ask for fewer relations at a time."));
        }
        Ok(())
    }

    /// A query's rows, without what is only ordered by.
    pub(super) fn query(&self, query: &Query, outer: Option<&Env<'_>>) -> Result<Vec<Row>, Error> {
        for cte in &query.with {
            self.cte(cte, outer)?;
        }
        let blank = Env::blank(outer);
        let mut rows = self.body(&query.body, outer)?;
        if !query.order.is_empty() {
            order_rows(&mut rows, &query.order);
        }
        if let Body::Select(select) = innermost(&query.body)
            && let Distinct::On(keys) = &select.distinct
        {
            let mut seen = BTreeSet::new();
            rows.retain(|row| {
                seen.insert(Key(keys
                    .iter()
                    .map(|key| row.get(*key).cloned().unwrap_or(Datum::Null))
                    .collect()))
            });
        }
        let limit = |expr: &Option<Expr>, what: &str| match expr {
            Some(expr) => bound(&self.value(expr, &blank)?, what),
            None => Ok(None),
        };
        if let Some(skip) = limit(&query.offset, "OFFSET")? {
            rows.drain(..skip.min(rows.len()));
        }
        if let Some(take) = limit(&query.limit, "LIMIT")? {
            rows.truncate(take);
        }
        let width = query.columns.len();
        for row in &mut rows {
            row.truncate(width);
        }
        Ok(rows)
    }

    /// A query in an expression, run once if it can be.
    pub(super) fn nested(&self, query: &Query, env: &Env<'_>) -> Result<Rc<Vec<Row>>, Error> {
        if query.correlated {
            return Ok(Rc::new(self.query(query, Some(env))?));
        }
        if let Some(known) = self.results.borrow().get(&query.number) {
            return Ok(Rc::clone(known));
        }
        let rows = Rc::new(self.query(query, Some(env))?);
        self.results.borrow_mut().insert(query.number, Rc::clone(&rows));
        Ok(rows)
    }

    fn cte(&self, cte: &Cte, outer: Option<&Env<'_>>) -> Result<(), Error> {
        let blank = Env::blank(outer);
        let mut rows = self.query(&cte.query, Some(&blank))?;
        if let Some(recursive) = &cte.recursive {
            let mut seen: BTreeSet<Key> = BTreeSet::new();
            if !recursive.all {
                rows.retain(|row| seen.insert(Key(row.clone())));
            }
            let mut newest = rows.clone();
            while !newest.is_empty() {
                self.step()?;
                self.with.borrow_mut().insert(cte.number, Rc::new(newest));
                newest = self.query(&recursive.query, Some(&blank))?;
                if !recursive.all {
                    newest.retain(|row| seen.insert(Key(row.clone())));
                }
                for _ in &newest {
                    self.step()?;
                }
                rows.extend(newest.iter().cloned());
            }
        }
        self.with.borrow_mut().insert(cte.number, Rc::new(rows));
        Ok(())
    }

    fn body(&self, body: &Body, outer: Option<&Env<'_>>) -> Result<Vec<Row>, Error> {
        match body {
            Body::Select(select) => self.select(select, outer),
            Body::Values(rows) => {
                let blank = Env::blank(outer);
                rows.iter().map(|row| self.values(row, &blank)).collect()
            }
            Body::Nested(query) => self.query(query, Some(&Env::blank(outer))),
            Body::Cast(inner, casts) => {
                let mut rows = self.body(inner, outer)?;
                for row in &mut rows {
                    for (cell, cast) in row.iter_mut().zip(casts) {
                        if let Some((from, to)) = cast {
                            *cell = super::cast(
                                self.facts,
                                std::mem::replace(cell, Datum::Null),
                                from,
                                to,
                                false,
                            )?;
                        }
                    }
                }
                Ok(rows)
            }
            Body::Both { op, all, left, right } => {
                let left = self.body(left, outer)?;
                let right = self.body(right, outer)?;
                Ok(both(*op, *all, left, right))
            }
        }
    }

    fn select(&self, select: &Select, outer: Option<&Env<'_>>) -> Result<Vec<Row>, Error> {
        let rows = self.source(&select.source, outer, None)?;
        let base = select.source.base;
        let mut groups: Vec<(Row, Vec<Datum>)> = Vec::new();
        match &select.group {
            None => groups.extend(rows.into_iter().map(|row| (row, Vec::new()))),
            Some(keys) => groups.extend(self.grouped(select, keys, rows, outer)?),
        }
        let rows: Vec<Row> = groups.iter().map(|(row, _)| row.clone()).collect();
        let mut windows: Vec<Vec<Datum>> = Vec::new();
        for window in &select.windows {
            windows.push(self.window_of(window, &rows, &|place, with| {
                let Some((row, aggregates)) = groups.get(place) else { return Ok(()) };
                with(&Env { aggregates, ..Env::of(row, base, None, outer) })
            })?);
        }
        let mut output = Vec::new();
        for (place, (row, aggregates)) in groups.iter().enumerate() {
            let windows: Vec<Datum> = windows
                .iter()
                .map(|values| values.get(place).cloned().unwrap_or(Datum::Null))
                .collect();
            let env = Env { aggregates, windows: &windows, ..Env::of(row, base, None, outer) };
            let mut sets = Vec::new();
            for call in &select.sets {
                sets.push(match self.call(call, &env)? {
                    Datum::Array(rows) => rows,
                    _ => Vec::new(),
                });
            }
            let times =
                if sets.is_empty() { 1 } else { sets.iter().map(Vec::len).max().unwrap_or(0) };
            for place in 0..times {
                self.step()?;
                output.push(self.values(&select.output, &Env { sets: &sets, place, ..env })?);
            }
        }
        if matches!(select.distinct, Distinct::All) {
            let mut seen = BTreeSet::new();
            output.retain(|row| seen.insert(Key(row.clone())));
        }
        Ok(output)
    }

    /// One row, with the aggregates' values, for each group.
    fn grouped(
        &self,
        select: &Select,
        keys: &[Expr],
        rows: Vec<Row>,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<(Row, Vec<Datum>)>, Error> {
        let base = select.source.base;
        let mut groups: BTreeMap<Key, Vec<Row>> = BTreeMap::new();
        if keys.is_empty() {
            groups.insert(Key(Vec::new()), rows);
        } else {
            for row in rows {
                let key = Key(self.values(keys, &Env::of(&row, base, None, outer))?);
                groups.entry(key).or_default().push(row);
            }
        }
        let mut result = Vec::new();
        for rows in groups.into_values() {
            let env = Env::of(&[], base, None, outer);
            let aggregates = select
                .aggregates
                .iter()
                .map(|aggregate| self.aggregate_of(aggregate, &rows, &env))
                .collect::<Result<Vec<_>, _>>()?;
            // Without a row there is no group key either: only aggregates are asked for.
            let row =
                rows.into_iter().next().unwrap_or_else(|| vec![Datum::Null; select.source.width]);
            if let Some(having) = &select.having {
                let env = Env { aggregates: &aggregates, ..Env::of(&row, base, None, outer) };
                if self.value(having, &env)? != Datum::Bool(true) {
                    continue;
                }
            }
            result.push((row, aggregates));
        }
        Ok(result)
    }

    fn source(
        &self,
        source: &Source,
        outer: Option<&Env<'_>>,
        beside: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Error> {
        let keep = |row: &[Datum]| -> Result<bool, Error> {
            self.step()?;
            let env = Env::of(row, source.base, beside, outer);
            for condition in &source.filter {
                if self.value(condition, &env)? != Datum::Bool(true) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let shared = match &source.kind {
            SourceKind::Relation(relation) => self.relation(relation)?,
            SourceKind::Cte(number) => self.with.borrow().get(number).cloned().unwrap_or_default(),
            SourceKind::Query(query) => {
                let around = Env { outer, ..Env::of(&[], 0, beside, outer) };
                self.nested(query, &around)?
            }
            other => {
                let mut rows = match other {
                    SourceKind::Functions { calls, ordinality } => {
                        self.functions(calls, *ordinality, source, outer, beside)?
                    }
                    SourceKind::Join(join) => self.join(join, outer, beside)?,
                    _ => vec![Vec::new()],
                };
                if source.filter.is_empty() {
                    return Ok(rows);
                }
                let mut kept = Vec::new();
                for row in rows.drain(..) {
                    if keep(&row)? {
                        kept.push(row);
                    }
                }
                return Ok(kept);
            }
        };
        let mut kept = Vec::new();
        for row in shared.iter() {
            if keep(row)? {
                kept.push(row.clone());
            }
        }
        Ok(kept)
    }

    fn functions(
        &self,
        calls: &[super::tree::Call],
        ordinality: bool,
        source: &Source,
        outer: Option<&Env<'_>>,
        beside: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Error> {
        let env = Env::of(&[], source.base, beside, outer);
        let mut columns = Vec::new();
        for call in calls {
            let rows = match (self.call(call, &env)?, call.builtin.0.set) {
                (Datum::Array(rows), true) => rows,
                (_, true) => Vec::new(),
                (value, false) => vec![value],
            };
            let width = match &call.returns {
                PgType::Record(fields) => Some(fields.len()),
                _ => None,
            };
            columns.push((rows, width));
        }
        let count = columns.iter().map(|(rows, _)| rows.len()).max().unwrap_or(0);
        let mut result = Vec::with_capacity(count);
        for place in 0..count {
            let mut row = Vec::with_capacity(source.width);
            for (rows, width) in &columns {
                match (rows.get(place), width) {
                    (Some(Datum::Record(fields)), Some(_)) => row.extend(fields.iter().cloned()),
                    (_, Some(width)) => row.extend(vec![Datum::Null; *width]),
                    (value, None) => row.push(value.cloned().unwrap_or(Datum::Null)),
                }
            }
            if ordinality {
                row.push(Datum::Int(i64::try_from(place + 1).unwrap_or(i64::MAX)));
            }
            result.push(row);
        }
        Ok(result)
    }

    /// A relation's rows, made once.
    fn relation(&self, relation: &'static Relation) -> Result<Rc<Vec<Row>>, Error> {
        if let Some(known) = self.relations.borrow().get(&relation.oid) {
            return Ok(Rc::clone(known));
        }
        let rows = Rc::new(match relations::rows(relation, self.facts)? {
            Rows::Made(rows) => rows,
            Rows::Query(text) => super::super::view_rows(relation, text, self.facts)?,
        });
        self.relations.borrow_mut().insert(relation.oid, Rc::clone(&rows));
        Ok(rows)
    }
}

fn innermost(body: &Body) -> &Body {
    match body {
        Body::Cast(inner, _) => innermost(inner),
        other => other,
    }
}

fn order_rows(rows: &mut [Row], order: &[Order]) {
    let how: Vec<(bool, bool)> = order.iter().map(|o| (o.descending, o.nulls_first)).collect();
    let keys = |row: &Row| -> Vec<Datum> {
        order.iter().map(|o| row.get(o.column).cloned().unwrap_or(Datum::Null)).collect()
    };
    rows.sort_by(|a, b| sorted(&keys(a), &keys(b), &how));
}

fn both(op: SetOp, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    let mut rows = match op {
        SetOp::Union => left.into_iter().chain(right).collect(),
        SetOp::Intersect | SetOp::Except => {
            for row in right {
                *counts.entry(Key(row)).or_default() += 1;
            }
            let mut kept = Vec::new();
            for row in left {
                let key = Key(row);
                let count = counts.get_mut(&key).filter(|count| **count > 0);
                let present = count.is_some();
                if all && let Some(count) = count {
                    *count -= 1;
                }
                if present == (op == SetOp::Intersect) {
                    kept.push(key.0);
                }
            }
            kept
        }
    };
    if !all {
        let mut seen = BTreeSet::new();
        rows.retain(|row: &Row| seen.insert(Key(row.clone())));
    }
    rows
}
