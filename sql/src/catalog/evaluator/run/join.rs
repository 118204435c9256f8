//! Joins: by look-up where columns are equal, else each row with each.

use std::collections::BTreeMap;

use super::{Env, Key, Run};
use crate::Error;
use crate::catalog::evaluator::tree::{Comparison, Expr, Join, JoinKind, Source};
use crate::catalog::relations::Row;
use crate::functions::Datum;

/// The rows of a join's right side by the values that must be equal; all of them when none must.
struct Index {
    by_key: BTreeMap<Key, Vec<usize>>,
    every: Vec<usize>,
}

impl Run<'_> {
    pub(super) fn join(
        &self,
        join: &Join,
        outer: Option<&Env<'_>>,
        beside: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Error> {
        let left = self.source(&join.left, outer, beside)?;
        if join.lateral {
            return self.lateral(join, &left, outer, beside);
        }
        let base = join.left.base;
        let right = self.source(&join.right, outer, beside)?;
        let (keys, rest) = equal_columns(join);
        let index = self.index(join, &keys, &right, outer, beside)?;
        let mut matched = vec![false; right.len()];
        let mut result = Vec::new();
        for row in &left {
            let candidates: &[usize] = if keys.is_empty() {
                &index.every
            } else {
                let env = Env::of(row, base, beside, outer);
                let key =
                    keys.iter().map(|key| self.value(key.0, &env)).collect::<Result<_, _>>()?;
                index.by_key.get(&Key(key)).map_or(&[], Vec::as_slice)
            };
            let mut found = false;
            for place in candidates {
                self.step()?;
                let Some(other) = right.get(*place) else { continue };
                let both = joined(row, other);
                if self.holds(&rest, &Env::of(&both, base, beside, outer))? {
                    found = true;
                    if let Some(mark) = matched.get_mut(*place) {
                        *mark = true;
                    }
                    result.push(both);
                }
            }
            if !found && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                result.push(padded(row, join.right.width));
            }
        }
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            for (row, _) in right.iter().zip(&matched).filter(|(_, matched)| !**matched) {
                let mut both = vec![Datum::Null; join.left.width];
                both.extend(row.iter().cloned());
                result.push(both);
            }
        }
        Ok(result)
    }

    fn index(
        &self,
        join: &Join,
        keys: &[(&Expr, &Expr)],
        right: &[Row],
        outer: Option<&Env<'_>>,
        beside: Option<&Env<'_>>,
    ) -> Result<Index, Error> {
        let mut by_key: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        if keys.is_empty() {
            return Ok(Index { by_key, every: (0..right.len()).collect() });
        }
        for (place, row) in right.iter().enumerate() {
            let env = Env::of(row, join.right.base, beside, outer);
            let key =
                keys.iter().map(|key| self.value(key.1, &env)).collect::<Result<Vec<_>, _>>()?;
            if !key.iter().any(Datum::is_null) {
                by_key.entry(Key(key)).or_default().push(place);
            }
        }
        Ok(Index { by_key, every: Vec::new() })
    }

    /// The right side is made anew for each row of the left.
    fn lateral(
        &self,
        join: &Join,
        left: &[Row],
        outer: Option<&Env<'_>>,
        beside: Option<&Env<'_>>,
    ) -> Result<Vec<Row>, Error> {
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            return Err(Error::unsupported(
                "LATERAL with RIGHT or FULL JOIN",
                "Turn the join around.",
            ));
        }
        let base = join.left.base;
        let conditions: Vec<&Expr> = join.on.iter().collect();
        let mut result = Vec::new();
        for row in left {
            let env = Env::of(row, base, beside, outer);
            let right = self.source(&join.right, outer, Some(&env))?;
            let mut found = false;
            for other in &right {
                let both = joined(row, other);
                if self.holds(&conditions, &Env::of(&both, base, beside, outer))? {
                    found = true;
                    result.push(both);
                }
            }
            if !found && join.kind == JoinKind::Left {
                result.push(padded(row, join.right.width));
            }
        }
        Ok(result)
    }

    fn holds(&self, conditions: &[&Expr], env: &Env<'_>) -> Result<bool, Error> {
        for condition in conditions {
            if self.value(condition, env)? != Datum::Bool(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn joined(left: &[Datum], right: &[Datum]) -> Row {
    left.iter().chain(right).cloned().collect()
}

fn padded(left: &[Datum], width: usize) -> Row {
    left.iter().cloned().chain(std::iter::repeat_n(Datum::Null, width)).collect()
}

/// The conditions that ask for equality of something of the left with something of the right, and the others.
fn equal_columns(join: &Join) -> (Vec<(&Expr, &Expr)>, Vec<&Expr>) {
    let side = |expr: &Expr, source: &Source| {
        let (mut any, mut all) = (false, true);
        expr.columns(0, &mut |index| {
            any = true;
            all &= (source.base..source.base + source.width).contains(&index);
        });
        any && all
    };
    let mut keys = Vec::new();
    let mut rest = Vec::new();
    for condition in &join.on {
        match condition {
            Expr::Compare(Comparison::Equal, a, b) => {
                if side(a, &join.left) && side(b, &join.right) {
                    keys.push((a.as_ref(), b.as_ref()));
                } else if side(b, &join.left) && side(a, &join.right) {
                    keys.push((b.as_ref(), a.as_ref()));
                } else {
                    rest.push(condition);
                }
            }
            other => rest.push(other),
        }
    }
    (keys, rest)
}
