//! What is written to a file is read from it: whole columns, single rows, bounds.

use std::sync::Arc;

use arrow::array::AsArray;
use ledger::{Height, VersionId};

use super::{Group, Segment, write};
use crate::{
    arrow_types::data_type_of, chunk::Chunk, memory::Memory, simulated::SimulatedDisk, testing::*,
};

fn chunk(first: u64, count: u32) -> Arc<Chunk> {
    let mut chunk = Chunk::new(first, Arc::new(Memory::new(u64::MAX)));
    for number in 0..count {
        let height = Height(first + u64::from(number) / 2);
        let version = VersionId { height, transaction: 3, operation: number % 2 };
        let id = first as i32 + number as i32;
        chunk.push(version, number % 3 == 0, &row(id, &format!("note {id}")).bytes);
    }
    chunk.frozen()
}

#[test]
fn what_is_written_is_read() {
    let disk = SimulatedDisk::new();
    let chunks = [chunk(0, 2000), chunk(2000, 10)];
    let parts: Vec<_> = chunks.iter().map(|chunk| vec![Arc::clone(chunk)]).collect();
    let manifest = write(&disk, 7, (TABLE, &table()), &parts, &|| false).unwrap();
    assert_eq!(manifest.rows(), 2010);
    let segment = Arc::new(Segment::open(&disk, TABLE, &manifest, &Arc::default()).unwrap());
    for ((place, chunk), about) in chunks.iter().enumerate().zip(&manifest.groups) {
        let group = Group::new(&segment, place, about);
        let (marks, rows) = (group.read_marks().unwrap(), group.read_rows().unwrap());
        let own = chunk.marks().unwrap();
        assert_eq!((&marks.versions, &marks.updates), (&own.versions, &own.updates));
        for number in [0, 5, chunk.len() - 1] {
            let expected = chunk.row(number).unwrap().unwrap().bytes;
            assert_eq!(rows.get(number), Some(expected.as_slice()));
            assert_eq!(group.read_row(number).unwrap(), expected);
        }
        for column in &table().columns {
            let kind = data_type_of(&column.kind);
            let read = group.read_column(column.number, &kind).unwrap().unwrap();
            assert_eq!(read.as_ref(), chunk.decode(&table(), column).unwrap().as_ref());
        }
        let other = group.read_column(ID, &data_type_of(&ledger::Type::Int8)).unwrap();
        assert!(other.is_none(), "of another type now");
        let (least, greatest) =
            group.bounds(ID, &data_type_of(&ledger::Type::Int4)).unwrap().unwrap();
        let bound = |array: &arrow::array::ArrayRef| {
            array.as_primitive::<arrow::datatypes::Int32Type>().value(0)
        };
        let first = chunk.first as i32;
        assert_eq!((bound(&least), bound(&greatest)), (first, first + chunk.len() as i32 - 1));
    }
}
