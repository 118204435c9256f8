//! Window functions: numbers of rows within partitions.

use datafusion::sql::sqlparser::ast::{Function, FunctionArguments, WindowType};

use super::bind::Binder;
use super::run::{Env, Run, sorted};
use super::tree::{Expr, Typed, Window, WindowKind};
use crate::Error;
use crate::catalog::relations::Row;
use crate::functions::Datum;
use crate::types::PgType;

impl Binder<'_> {
    pub(super) fn window(&mut self, name: &str, call: &Function) -> Result<Typed, Error> {
        let unsupported = || {
            Error::unsupported(
                format!("the call {call} in a query of the catalogs"),
                "Only row_number, rank and dense_rank have windows there.",
            )
        };
        let kind = match name {
            "row_number" => WindowKind::RowNumber,
            "rank" => WindowKind::Rank,
            "dense_rank" => WindowKind::DenseRank,
            _ => return Err(unsupported()),
        };
        let empty = match &call.args {
            FunctionArguments::None => true,
            FunctionArguments::List(list) => list.args.is_empty(),
            FunctionArguments::Subquery(_) => false,
        };
        let Some(WindowType::WindowSpec(spec)) = &call.over else { return Err(unsupported()) };
        if !empty
            || call.filter.is_some()
            || spec.window_name.is_some()
            || spec.window_frame.is_some()
        {
            return Err(unsupported());
        }
        if !self.level()?.aggregates_allowed {
            return Err(Error::new("42P20", "window functions are not allowed here"));
        }
        let partition =
            self.exprs(&spec.partition_by)?.into_iter().map(|value| value.expr).collect();
        let mut order = Vec::new();
        for item in &spec.order_by {
            let descending = item.options.asc == Some(false);
            let nulls_first = item.options.nulls_first.unwrap_or(descending);
            order.push((self.expr(&item.expr)?.expr, descending, nulls_first));
        }
        let level = self.level()?;
        level.windows.push(Window { kind, partition, order });
        Ok(Typed::new(Expr::Window(level.windows.len() - 1), PgType::Int8))
    }
}

/// Is called with a row's place, and calls back with where its expressions are evaluated.
type Places<'a> =
    dyn Fn(usize, &mut dyn FnMut(&Env<'_>) -> Result<(), Error>) -> Result<(), Error> + 'a;

impl Run<'_> {
    /// A window function's value for each row.
    pub(super) fn window_of(
        &self,
        window: &Window,
        rows: &[Row],
        envs: &Places<'_>,
    ) -> Result<Vec<Datum>, Error> {
        let mut keys: Vec<(Vec<Datum>, Vec<Datum>, usize)> = Vec::with_capacity(rows.len());
        for place in 0..rows.len() {
            envs(place, &mut |env| {
                let partition = self.values(&window.partition, env)?;
                let order = window
                    .order
                    .iter()
                    .map(|key| self.value(&key.0, env))
                    .collect::<Result<Vec<_>, _>>()?;
                keys.push((partition, order, place));
                Ok(())
            })?;
        }
        let plain = vec![(false, false); window.partition.len()];
        let how: Vec<(bool, bool)> = window.order.iter().map(|key| (key.1, key.2)).collect();
        keys.sort_by(|a, b| sorted(&a.0, &b.0, &plain).then_with(|| sorted(&a.1, &b.1, &how)));
        let mut result = vec![Datum::Null; rows.len()];
        let (mut number, mut rank, mut dense) = (0, 0, 0);
        let mut last: Option<(&[Datum], &[Datum])> = None;
        for (partition, order, place) in &keys {
            let same_partition = last.is_some_and(|last| sorted(last.0, partition, &plain).is_eq());
            let peer =
                same_partition && last.is_some_and(|last| sorted(last.1, order, &how).is_eq());
            if !same_partition {
                (number, rank, dense) = (0, 0, 0);
            }
            number += 1;
            if !peer {
                rank = number;
                dense += 1;
            }
            let value = match window.kind {
                WindowKind::RowNumber => number,
                WindowKind::Rank => rank,
                WindowKind::DenseRank => dense,
            };
            if let Some(cell) = result.get_mut(*place) {
                *cell = Datum::Int(value);
            }
            last = Some((partition, order));
        }
        Ok(result)
    }
}
