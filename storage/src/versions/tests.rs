//! Versions across chunks: found by identity and by number, visible at their heights, however often a
//! reader froze the tail; and readers beside a writer.

use std::sync::Arc;

use ledger::{Height, Row, VersionId};

use super::Versions;
use crate::{
    chunk::{CHUNK_ROWS, Chunk},
    memory::Memory,
};

fn version(height: u64, operation: u32) -> VersionId {
    VersionId { height: Height(height), transaction: 0, operation }
}

fn store() -> Versions {
    Versions::new(Arc::new(Memory::new(u64::MAX)))
}

fn row(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn kept(number: u64) -> Option<Row> {
    Some(Row { bytes: row(number).to_vec() })
}

#[test]
fn versions_are_found_across_chunks() {
    let store = store();
    let rows = 3 * CHUNK_ROWS as u64 + 100;
    for number in 0..rows {
        assert_eq!(
            store.push(version(number / 10, (number % 10) as u32), false, &row(number)),
            number
        );
        // Readers that come at odd moments leave small chunks behind.
        if number % 977 == 0 {
            drop(store.chunks_at(Height(u64::MAX)).unwrap());
        }
    }
    for number in (0..rows).step_by(13) {
        let id = version(number / 10, (number % 10) as u32);
        let by_id = store.with_version(id, Chunk::row).unwrap().flatten();
        let by_number = store.with_row(number, Chunk::row).unwrap().flatten();
        assert_eq!((by_id, by_number), (kept(number), kept(number)));
    }
    assert!(store.with_version(version(0, 10), |_, _| Ok(())).unwrap().is_none());
    assert!(store.with_row(rows, |_, _| Ok(())).unwrap().is_none());
    let chunks = store.chunks_at(Height(u64::MAX)).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>(), rows);
    assert!(chunks.len() < 40, "{} chunks", chunks.len());
    let mut next = 0;
    for chunk in chunks {
        assert_eq!(chunk.first, next);
        next += chunk.len() as u64;
    }
}

#[test]
fn ends_survive_merging() {
    let store = store();
    for number in 0..100 {
        store.push(version(number, 0), false, &row(number));
        drop(store.chunks_at(Height(u64::MAX)).unwrap());
        if number % 3 == 0 {
            let end = |height| store.supersede(version(number, 0), Height(height)).unwrap();
            assert_eq!(end(number + 1), Some(number));
            assert_eq!(end(number + 2), None, "only once");
        }
    }
    for height in 0..100_u64 {
        let chunks = store.chunks_at(Height(height)).unwrap();
        let alive: usize =
            chunks.iter().map(|chunk| chunk.alive_at(Height(height)).unwrap().len()).sum();
        let expected = (0..=height).filter(|n| n % 3 != 0 || *n == height).count();
        assert_eq!(alive, expected, "at {height}");
    }
    assert_eq!(store.alive(), 66);
}

#[test]
fn readers_at_a_height_are_not_disturbed_by_a_writer() {
    let store = Arc::new(store());
    for number in 0..5_000 {
        store.push(version(1, number as u32), false, &row(number));
    }
    let writer = Arc::clone(&store);
    let writer = std::thread::spawn(move || {
        for number in 0..20_000_u32 {
            let height = 2 + u64::from(number / 100);
            writer.push(version(height, number % 100), true, &row(1));
            if number < 5_000 {
                writer.supersede(version(1, number), Height(height)).unwrap();
            }
        }
    });
    let mut turns = 0;
    while !writer.is_finished() || turns == 0 {
        turns += 1;
        let chunks = store.chunks_at(Height(1)).unwrap();
        let alive: usize =
            chunks.iter().map(|chunk| chunk.alive_at(Height(1)).unwrap().len()).sum();
        assert_eq!(alive, 5_000);
    }
    writer.join().unwrap();
}
