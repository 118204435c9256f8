//! What spills leaves room for what can't, and all of it stays within the bound.

use super::*;

#[test]
fn what_cannot_spill_finds_room_beside_what_can() {
    let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
    let sort = |name| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
    let (first, second) = (sort("first"), sort("second"));
    first.try_grow(375).unwrap();
    second.try_grow(375).unwrap();
    assert!(first.try_grow(1).is_err(), "its share is used up");
    let merge = MemoryConsumer::new("merge").register(&pool);
    merge.try_grow(250).unwrap();
    assert!(merge.try_grow(1).is_err(), "all is used up");
    assert_eq!(pool.reserved(), 1000);
    drop((first, second));
    merge.try_grow(750).unwrap();
    let third = sort("third");
    assert!(third.try_grow(1).is_err(), "nothing is left for a share");
    drop(merge);
    third.try_grow(750).unwrap();
    drop(third);
    assert_eq!(pool.reserved(), 0);
}

#[test]
fn a_merge_leaves_room_for_its_reader() {
    let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(800));
    let merge = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
    merge.try_grow(700).unwrap();
    assert!(merge.try_grow(1).is_err(), "the rest is for others");
    MemoryConsumer::new("reader").register(&pool).try_grow(100).unwrap();
}
