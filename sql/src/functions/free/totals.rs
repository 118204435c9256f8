//! Aggregates over numerics of any shape: sums that keep the greatest scale, and variances as PostgreSQL
//! computes them, exactly up to one division at the end.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use crate::Error;
use crate::functions::external;
use crate::number::{Number, Numbers};

/// What is computed of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Total {
    Sum,
    /// Of a sample, or of the whole population; its root is the deviation.
    Variance {
        sample: bool,
        root: bool,
    },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    name: &'static str,
    total: Total,
    signature: Signature,
}

static AGGREGATES: LazyLock<[(Total, Arc<AggregateUDF>); 5]> = LazyLock::new(|| {
    [
        ("numeric_sum", Total::Sum),
        ("numeric_var_samp", Total::Variance { sample: true, root: false }),
        ("numeric_var_pop", Total::Variance { sample: false, root: false }),
        ("numeric_stddev_samp", Total::Variance { sample: true, root: true }),
        ("numeric_stddev_pop", Total::Variance { sample: false, root: true }),
    ]
    .map(|(name, total)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        (total, Arc::new(AggregateUDF::from(Aggregate { name, total, signature })))
    })
});

/// The aggregate; its argument is any numeric or integer, its result a free numeric.
pub(crate) fn aggregate(total: Total) -> Arc<AggregateUDF> {
    let [sum, rest @ ..] = &*AGGREGATES;
    let found = rest.iter().find(|(known, _)| *known == total).unwrap_or(sum);
    Arc::clone(&found.1)
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::LargeBinary)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        Ok(Box::new(Totals {
            total: self.total,
            sums: Sums::default(),
            seen: args.is_distinct.then(HashSet::new),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        let field =
            |name: &str, kind| Arc::new(Field::new(format!("{}[{name}]", args.name), kind, true));
        if args.is_distinct {
            let item = Arc::new(Field::new("item", DataType::LargeBinary, true));
            return Ok(vec![field("seen", DataType::List(item))]);
        }
        Ok(vec![
            field("count", DataType::Int64),
            field("sum", DataType::LargeBinary),
            field("squares", DataType::LargeBinary),
        ])
    }
}

/// Of the numbers seen so far.
#[derive(Debug)]
struct Sums {
    count: i64,
    sum: Number,
    squares: Number,
    /// How many had which scale: a window's sum loses the scale of what leaves it.
    scales: Vec<(u16, i64)>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { count: 0, sum: Number::ZERO, squares: Number::ZERO, scales: Vec::new() }
    }
}

impl Sums {
    fn count_scale(&mut self, scale: u16, by: i64) {
        match self.scales.iter_mut().find(|(known, _)| *known == scale) {
            Some((_, count)) => *count += by,
            None => self.scales.push((scale, by)),
        }
    }

    fn scale(&self) -> i32 {
        let present = self.scales.iter().filter(|(_, count)| *count > 0);
        present.map(|(scale, _)| i32::from(*scale)).max().unwrap_or(0)
    }

    fn add(&mut self, number: &Number, squared: bool) -> Result<(), Error> {
        self.count += 1;
        self.sum = self.sum.plus(number)?;
        if squared {
            self.squares = self.squares.plus(&number.times(number)?)?;
        }
        self.count_scale(number.scale(), 1);
        Ok(())
    }

    fn remove(&mut self, number: &Number, squared: bool) -> Result<(), Error> {
        self.count -= 1;
        self.sum = self.sum.minus(number)?;
        if squared {
            self.squares = self.squares.minus(&number.times(number)?)?;
        }
        self.count_scale(number.scale(), -1);
        Ok(())
    }

    fn result(&self, total: Total) -> Result<Option<Number>, Error> {
        let (sample, root) = match total {
            _ if self.count == 0 => return Ok(None),
            Total::Sum => return self.sum.round(self.scale()).map(Some),
            Total::Variance { sample: true, .. } if self.count == 1 => return Ok(None),
            Total::Variance { sample, root } => (sample, root),
        };
        let n = Number::from(self.count);
        let sum = self.sum.round(self.scale())?;
        let squares = self.squares.round(self.scale() * 2)?;
        let above = n.times(&squares)?.minus(&sum.times(&sum)?)?;
        if above.signum() <= 0 {
            return Ok(Some(Number::ZERO));
        }
        let below = n.times(&Number::from(if sample { self.count - 1 } else { self.count }))?;
        let scale = above.quotient_scale(&below);
        let variance = above.quotient(&below, scale)?;
        if root { variance.square_root_at(scale).map(Some) } else { Ok(Some(variance)) }
    }
}

/// One group's total, or one window's.
#[derive(Debug)]
struct Totals {
    total: Total,
    sums: Sums,
    /// DISTINCT: the numbers seen, with the least scale.
    seen: Option<HashSet<Vec<u8>>>,
}

impl Totals {
    fn squared(&self) -> bool {
        self.total != Total::Sum
    }

    fn update(&mut self, array: &dyn Array) -> Result<(), Error> {
        let numbers = Numbers::of(array)?;
        let squared = self.squared();
        for row in 0..array.len() {
            let Some(number) = numbers.get(row)? else { continue };
            if let Some(seen) = &mut self.seen
                && !seen.insert(number.normalized().to_bytes())
            {
                continue;
            }
            self.sums.add(&number, squared)?;
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef]) -> Result<(), Error> {
        if self.seen.is_some() {
            let lists = states.first().and_then(|lists| lists.as_list_opt::<i32>());
            let lists = lists.ok_or_else(|| Error::internal("a state of another shape"))?;
            for list in lists.iter().flatten() {
                self.update(list.as_ref())?;
            }
            return Ok(());
        }
        let [counts, sums, squares] = states else {
            return Err(Error::internal("a state of another shape"));
        };
        let (Some(counts), Some(sums), Some(squares)) = (
            counts.as_primitive_opt::<Int64Type>(),
            sums.as_binary_opt::<i64>(),
            squares.as_binary_opt::<i64>(),
        ) else {
            return Err(Error::internal("a state of another shape"));
        };
        for row in 0..counts.len() {
            let count = counts.value(row);
            if count == 0 {
                continue;
            }
            let sum = Number::read(sums.value(row))?;
            self.sums.count += count;
            self.sums.count_scale(sum.scale(), count);
            self.sums.sum = self.sums.sum.plus(&sum)?;
            self.sums.squares = self.sums.squares.plus(&Number::read(squares.value(row))?)?;
        }
        Ok(())
    }
}

fn scalar(number: Option<&Number>) -> ScalarValue {
    ScalarValue::LargeBinary(number.map(Number::to_bytes))
}

impl Accumulator for Totals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        match values.first() {
            Some(array) => self.update(array.as_ref()).map_err(external),
            None => Ok(()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        let Some(array) = values.first() else { return Ok(()) };
        let squared = self.squared();
        let numbers = Numbers::of(array.as_ref()).map_err(external)?;
        for row in 0..array.len() {
            if let Some(number) = numbers.get(row).map_err(external)? {
                self.sums.remove(&number, squared).map_err(external)?;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        Ok(scalar(self.sums.result(self.total).map_err(external)?.as_ref()))
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.capacity() * 64);
        size_of_val(self) + seen
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        if let Some(seen) = &self.seen {
            let values: LargeBinaryArray = seen.iter().map(Some).collect();
            let list = datafusion::common::utils::SingleRowListArrayBuilder::new(Arc::new(values));
            return Ok(vec![list.build_list_scalar()]);
        }
        let sum = self.sums.sum.round(self.sums.scale()).map_err(external)?;
        Ok(vec![
            ScalarValue::Int64(Some(self.sums.count)),
            scalar(Some(&sum)),
            scalar(Some(&self.sums.squares)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        self.merge(states).map_err(external)
    }
}
