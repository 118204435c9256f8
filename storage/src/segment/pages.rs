//! Single pages of the rows' bytes in a sealed file, unpacked: what a read of one row costs. Parquet's own readers
//! make a new unpacker for each column they open, which costs as much as the page; here each thread keeps one.

use std::{cell::RefCell, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding},
    column::page::{Page, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::ColumnChunkMetaData, page_index::offset_index::PageLocation,
        reader::SerializedPageReader,
    },
};
use zstd::{bulk::Decompressor, zstd_safe};

use super::{Group, ROW, input::Input};
use crate::Fault;

thread_local! {
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Rows that follow one another, as a page has them: each one's length in four bytes, and the row.
#[derive(Debug)]
pub(crate) struct RowPage {
    /// The place of its first row among the row group's.
    first: usize,
    rows: usize,
    bytes: Bytes,
}

impl RowPage {
    /// The place of its first row.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// A row's bytes, by its place in the row group.
    pub(crate) fn get(&self, place: usize) -> Option<&[u8]> {
        let before = place.checked_sub(self.first).filter(|before| *before < self.rows)?;
        let mut rest: &[u8] = &self.bytes;
        let mut row: &[u8] = &[];
        for _ in 0..=before {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            (row, rest) = after.split_at_checked(length)?;
        }
        Some(row)
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

impl Group {
    /// The page that holds a row.
    pub(crate) fn read_page(&self, place: usize) -> std::result::Result<RowPage, Fault> {
        if self.segment.is_damaged() {
            return Err(self.segment.damaged(&"it was found damaged"));
        }
        let metadata = self.segment.metadata()?.metadata();
        let shape = || self.segment.damaged(&"pages of another shape");
        let group = metadata.row_groups().get(self.place);
        let column = group.and_then(|group| group.columns().get(ROW)).ok_or_else(shape)?;
        let index = metadata.offset_index().and_then(|groups| groups.get(self.place)?.get(ROW));
        let pages = index.ok_or_else(shape)?.page_locations();
        let begins = |page: &PageLocation| usize::try_from(page.first_row_index).ok();
        let after = pages.partition_point(|page| begins(page).is_some_and(|row| row <= place));
        let page = after.checked_sub(1).and_then(|at| pages.get(at)).ok_or_else(shape)?;
        let first = begins(page).ok_or_else(shape)?;
        let end = pages.get(after).map_or(Some(self.rows), begins).ok_or_else(shape)?;
        let rows = end.checked_sub(first).ok_or_else(shape)?;
        let input = Input::new(Arc::clone(&self.segment));
        let bytes = unpacked(input, column, page, rows);
        let page =
            RowPage { first, rows, bytes: bytes.map_err(|error| self.segment.damaged(&error))? };
        // So much must be there as the file says, and no more.
        match rows.checked_sub(1).and_then(|last| page.get(first + last)) {
            Some(_) => Ok(page),
            None => Err(shape()),
        }
    }
}

/// What stands in one page of rows.
fn unpacked(
    input: Input,
    column: &ColumnChunkMetaData,
    page: &PageLocation,
    rows: usize,
) -> Result<Bytes> {
    // As if the column were this page alone, and not packed.
    let alone = ColumnChunkMetaData::builder(column.column_descr_ptr())
        .set_compression(Compression::UNCOMPRESSED)
        .set_data_page_offset(page.offset)
        .set_total_compressed_size(i64::from(page.compressed_page_size))
        .build()?;
    let mut reader = SerializedPageReader::new(Arc::new(input), &alone, rows, None)?;
    let general = |text: &str| ParquetError::General(text.to_owned());
    match reader.get_next_page()? {
        Some(Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, .. })
            if usize::try_from(num_values).is_ok_and(|count| count == rows) =>
        {
            match column.compression() {
                Compression::UNCOMPRESSED => Ok(buf),
                Compression::ZSTD(_) => unpack(&buf),
                _ => Err(general("a page is packed in another way")),
            }
        }
        _ => Err(general("a page of another shape")),
    }
}

fn unpack(packed: &[u8]) -> Result<Bytes> {
    let size = zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size =
        size.and_then(|size| i32::try_from(size).ok()).and_then(|it| usize::try_from(it).ok());
    let size =
        size.ok_or_else(|| ParquetError::General("a page doesn't say its size".to_owned()))?;
    UNPACKER.with_borrow_mut(|slot| {
        let unpacker = match slot {
            Some(unpacker) => unpacker,
            None => slot.insert(Decompressor::new()?),
        };
        Ok(Bytes::from(unpacker.decompress(packed, size)?))
    })
}
