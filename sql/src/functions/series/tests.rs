//! Series go where they should and end where they should, also at the ends of their types.

use super::*;
use crate::read::tests::house::House;

async fn all(args: &[Datum]) -> Result<Vec<Datum>, Error> {
    let house = House::new().await;
    let Some(mut series) = Series::of(args)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    while let Some(value) = series.advance(&house.context)? {
        found.push(value);
    }
    Ok(found)
}

fn integers(values: &[i64]) -> Vec<Datum> {
    values.iter().copied().map(Datum::Int).collect()
}

#[tokio::test]
async fn integers_go_up_and_down_and_stop_at_the_end_of_their_type() {
    let series = async |args: &[i64]| all(&integers(args)).await.unwrap();
    assert_eq!(series(&[1, 4]).await, integers(&[1, 2, 3, 4]));
    assert_eq!(series(&[1, 6, 2]).await, integers(&[1, 3, 5]));
    assert_eq!(series(&[3, 1, -1]).await, integers(&[3, 2, 1]));
    assert_eq!(series(&[3, 1]).await, []);
    assert_eq!(series(&[1, 3, -1]).await, []);
    assert_eq!(series(&[i64::MAX - 1, i64::MAX]).await, integers(&[i64::MAX - 1, i64::MAX]));
    let down = series(&[i64::MIN + 1, i64::MIN, -1]).await;
    assert_eq!(down, integers(&[i64::MIN + 1, i64::MIN]));
    let nothing = all(&integers(&[1, 2, 0])).await.unwrap_err();
    assert_eq!(nothing.sqlstate(), "22023");
    assert_eq!(all(&[Datum::Int(1), Datum::Null]).await.unwrap(), []);
}

#[tokio::test]
async fn numerics_and_times_step_exactly() {
    let numeric = |text: &str| Datum::Numeric(Number::parse(text).unwrap());
    let found = all(&[numeric("0"), numeric("0.3"), numeric("0.1")]).await.unwrap();
    assert_eq!(found, ["0", "0.1", "0.2", "0.3"].map(numeric));
    let day = 86_400_000_000;
    let step = Span { months: 0, days: 1, micros: 0 };
    let args = [Datum::Timestamp(0), Datum::Timestamp(2 * day + 1), Datum::Interval(step)];
    let found = all(&args).await.unwrap();
    assert_eq!(found, [0, day, 2 * day].map(Datum::Timestamp));
}
