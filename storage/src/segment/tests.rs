//! What is written to a file is read from it: whole columns, single rows, bounds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use ledger::{Height, VersionId};
use parquet::arrow::ArrowWriter;

use super::{Group, Manifest, Segment, name, write};
use crate::{
    Disk,
    arrow_types::data_type_of,
    chunk::Chunk,
    ends::Ends,
    memory::{Cached, Memory},
    simulated::SimulatedDisk,
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
        let batch = group.read(0..schema.fields().len()).unwrap();
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

/// A chunk of 2,000 rows as it was in memory, and as it lies in a file; and the place of the file's rows.
fn sealed(disk: &SimulatedDisk, memory: &Arc<Memory>) -> (Arc<Chunk>, Arc<Chunk>, u64) {
    let fresh = chunk(0, 2000);
    let parts = [vec![Arc::clone(&fresh)]];
    let manifest = write(disk, 7, (TABLE, &table()), &parts, &|| false).unwrap();
    let segment = Arc::new(Segment::open(disk, TABLE, &manifest, &Arc::default()).unwrap());
    let group = Group::new(&segment, 0, &manifest.groups[0]);
    let rows = segment.metadata().unwrap().metadata().row_group(0).column(super::ROW);
    let start = rows.data_page_offset().cast_unsigned();
    (fresh, Chunk::sealed(0, group, Arc::new(Ends::none()), Arc::clone(memory)), start)
}

#[test]
fn rows_read_one_by_one_are_kept_by_the_page() {
    let (disk, memory) = (SimulatedDisk::new(), Arc::new(Memory::new(1 << 20)));
    let (fresh, chunk, start) = sealed(&disk, &memory);
    assert_eq!(chunk.peek(700, <[u8]>::to_vec), None);
    assert_eq!(chunk.row_at(700).unwrap(), fresh.row_at(700).unwrap());
    let page = memory.arrays();
    assert!(page > 0 && page < 16 << 10, "{page} bytes of one page");
    // What was read is not read again, and its neighbours come with it.
    disk.flip(&name(7), start + 100, 4);
    for place in [700, 701] {
        assert_eq!(chunk.peek(place, <[u8]>::to_vec), Some(fresh.row_at(place).unwrap()));
        assert_eq!(chunk.row_at(place).unwrap(), fresh.row_at(place).unwrap());
    }
    chunk.evict();
    assert_eq!(memory.arrays(), 0);
    // An altered byte is seen before any row of the piece is, and blocks aren't lent here.
    assert!(chunk.row_at(700).is_err());
}

#[test]
fn pages_of_single_rows_give_way_to_the_whole_and_to_rows_in_memory() {
    let (disk, memory) = (SimulatedDisk::new(), Arc::new(Memory::new(1 << 20)));
    let (fresh, chunk, _) = sealed(&disk, &memory);
    for place in 0..2000 {
        assert_eq!(chunk.row_at(place).unwrap(), fresh.row_at(place).unwrap());
    }
    let pages = memory.arrays();
    let whole = chunk.rows().unwrap();
    assert!(memory.arrays() < 2 * pages, "pages are kept beside the whole");
    drop(whole);
    chunk.evict();
    assert_eq!(memory.arrays(), 0);
    memory.add(1 << 20);
    assert_eq!(chunk.row_at(3).unwrap(), fresh.row_at(3).unwrap());
    assert_eq!(memory.arrays(), 0, "kept where there is no room");
}

#[test]
fn identities_of_one_transaction_are_known_without_reading() {
    let disk = SimulatedDisk::new();
    let version = |operation| VersionId { height: Height(4), transaction: 1, operation };
    for (operations, known) in [((10..400).collect::<Vec<u32>>(), true), (vec![3, 4, 6], false)] {
        let mut fresh = Chunk::new(0, Arc::new(Memory::new(u64::MAX)));
        for operation in &operations {
            fresh.push(version(*operation), false, &row(*operation as i32, "x").bytes);
        }
        let fresh = fresh.frozen();
        let parts = [vec![Arc::clone(&fresh)]];
        let manifest = write(&disk, 7, (TABLE, &table()), &parts, &|| false).unwrap();
        let segment = Arc::new(Segment::open(&disk, TABLE, &manifest, &Arc::default()).unwrap());
        let group = Group::new(&segment, 0, &manifest.groups[0]);
        assert_eq!(group.known_version(0).is_some(), known);
        assert_eq!(group.known_place(version(3)).is_some(), known);
        let memory = Arc::new(Memory::new(u64::MAX));
        let chunk = Chunk::sealed(0, group, Arc::new(Ends::none()), memory);
        for place in 0..operations.len() + 2 {
            assert_eq!(chunk.version(place).unwrap(), fresh.version(place).unwrap());
        }
        for operation in 0..410 {
            let version = version(operation);
            assert_eq!(chunk.find(version).unwrap(), fresh.find(version).unwrap());
            let other = VersionId { transaction: 2, ..version };
            assert_eq!(chunk.find(other).unwrap(), None);
        }
        assert_eq!(segment.metadata.get().is_none(), known, "the file was read, or not");
    }
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
        assert_eq!(marks, own.clone());
        for number in 0..chunk.len() {
            let expected = chunk.row(number).unwrap().unwrap().bytes;
            assert_eq!(rows.get(number), Some(expected.as_slice()));
            let page = group.read_page(number).unwrap();
            assert_eq!(page.get(number), Some(expected.as_slice()));
            assert_eq!(page.first().checked_sub(1).and_then(|before| page.get(before)), None);
        }
        for column in &table().columns {
            let kind = data_type_of(&column.kind);
            let (read, bytes) = group.read_column(column.number, &kind).unwrap().unwrap();
            assert!(bytes > 0 && bytes < manifest.bytes);
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
