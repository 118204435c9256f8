//! Rows are found by number, cost memory while they are kept, and give it back.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::Int32Type;

use super::*;

fn batch(values: std::ops::Range<i32>) -> RecordBatch {
    let column = Arc::new(Int32Array::from_iter_values(values)) as Arc<dyn arrow::array::Array>;
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

#[test]
fn rows_are_found_until_they_are_let_go_of() {
    let memory = crate::memory::query_memory(1 << 20, None).unwrap();
    let mut kept = Kept::new(&memory);
    kept.push(batch(0..3)).unwrap();
    kept.push(batch(3..5)).unwrap();
    assert_eq!(kept.len(), 5);
    let value = |kept: &Kept, number| {
        let row: RecordBatch = kept.row(number)?;
        assert_eq!(row.num_rows(), 1);
        Some(row.column(0).as_primitive::<Int32Type>().value(0))
    };
    for number in 1..=5 {
        assert_eq!(value(&kept, number), i32::try_from(number).ok().map(|n| n - 1));
    }
    assert_eq!((value(&kept, 0), value(&kept, 6)), (None, None));
    let before = memory.memory_pool.reserved();
    kept.release_before(3);
    assert_eq!(value(&kept, 1), Some(0), "its batch still has a row that counts");
    kept.release_before(4);
    assert_eq!((value(&kept, 3), value(&kept, 4)), (None, Some(3)));
    assert!(memory.memory_pool.reserved() < before);
    drop(kept);
    assert_eq!(memory.memory_pool.reserved(), 0);
}

#[test]
fn what_is_kept_has_a_bound() {
    let memory = crate::memory::query_memory(64 << 10, None).unwrap();
    let mut kept = Kept::new(&memory);
    let error = (0..100).find_map(|_| kept.push(batch(0..1000)).err()).unwrap();
    assert_eq!(error.sqlstate(), "53200");
}
