//! What is written to a file is read from it: whole columns, single rows, bounds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use ledger::{Height, VersionId};
use parquet::arrow::ArrowWriter;

use super::{Group, Manifest, Segment, name, write};
use crate::{
    Disk, arrow_types::data_type_of, chunk::Chunk, memory::Memory, simulated::SimulatedDisk,
    testing::*,
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

/// A well-formed file in the place of a sealed one, with other values in it, and the manifest that fits it: what
/// somebody leaves behind who knows how files and checksums are made.
pub(crate) fn forge(
    disk: &dyn Disk,
    manifest: &Manifest,
    change: &dyn Fn(&str, &ArrayRef) -> ArrayRef,
) -> Manifest {
    let segment = Arc::new(Segment::open(disk, TABLE, manifest, &Arc::default()).unwrap());
    let metadata = segment.metadata().unwrap().clone();
    let schema = Arc::clone(metadata.schema());
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
    for (place, about) in manifest.groups.iter().enumerate() {
        let group = Group::new(&segment, place, about);
        let batch = group.read(0..schema.fields().len(), None).unwrap();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| change(field.name(), array)).collect();
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
        writer.flush().unwrap();
    }
    let bytes = writer.into_inner().unwrap();
    let file = disk.open(&name(manifest.number), true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(&bytes, 0).unwrap();
    file.sync_data().unwrap();
    Manifest { bytes: bytes.len() as u64, sums: super::input::sums(&bytes), ..manifest.clone() }
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
        let bound = |array: &ArrayRef| array.as_primitive::<arrow::datatypes::Int32Type>().value(0);
        let first = chunk.first as i32;
        assert_eq!((bound(&least), bound(&greatest)), (first, first + chunk.len() as i32 - 1));
    }
}
