//! Holds what was made of blocks against them: each row version, in a sealed file or in memory, each column of a file
//! against its rows, and the heights at which versions ended. It trusts no checksum beside a file: whoever can forge the
//! one can forge the other. It changes nothing.

use std::{collections::BTreeMap, sync::Arc, vec};

use ledger::{Block, Height, Oid, Operation, VersionId};

use super::FileReport;
use crate::{
    BlockSource, Damage, Fault,
    arrow_types::data_type_of,
    chunk::{Chunk, RowBytes},
    marks::Marks,
    memory::Cached as _,
    segment::Group,
    state::Core,
    versions::Versions,
};

/// What rows that are in memory alone are called, and the heights at which versions ended, which the index keeps.
const IN_MEMORY: &str = "rows in memory";
const ENDS: &str = "index";

/// Walks all blocks below a height; gives a report for each sealed file, and one for memory if that is wrong.
///
/// # Errors
/// When a block can't be read: it is in the report of the walk over blocks.
pub(crate) fn verify(
    core: &Core,
    source: &dyn BlockSource,
    until: Height,
) -> Result<Vec<FileReport>, Fault> {
    let Some(newest) = until.0.checked_sub(1).map(Height) else { return Ok(Vec::new()) };
    let mut reports = Reports::default();
    let mut tables = BTreeMap::new();
    for (table, versions) in core.tables.read().clone() {
        let walk = Walk::new(table, versions, newest)?;
        // Before anything else is read of them: who finds one damaged has it made anew.
        walk.chunks.as_slice().iter().for_each(|chunk| reports.look_at(chunk));
        tables.insert(table, walk);
    }
    for height in (0..until.0).map(Height) {
        let block = source.block(height)?;
        each_effect(&block, &mut |version, operation| {
            let Some(table) = operation.table() else { return Ok(()) };
            match tables.get_mut(&table) {
                Some(walk) => walk.effect(core, version, operation, &mut reports),
                None => {
                    reports.miss(table, version);
                    Ok(())
                }
            }
        })?;
    }
    for walk in tables.values_mut() {
        walk.finish(core, &mut reports)?;
    }
    Ok(reports.0.into_values().collect())
}

fn each_effect(
    block: &Block,
    each: &mut dyn FnMut(VersionId, &Operation) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let height = block.header.height;
    for (transaction, own) in (0_u32..).zip(&block.transactions) {
        for (operation, effect) in (0_u32..).zip(&own.operations) {
            each(VersionId { height, transaction, operation }, effect)?;
        }
    }
    Ok(())
}

/// What was found, by file.
#[derive(Default)]
struct Reports(BTreeMap<String, FileReport>);

impl Reports {
    fn of(&mut self, file: &str) -> &mut FileReport {
        let empty = || FileReport { file: file.to_owned(), ..FileReport::default() };
        self.0.entry(file.to_owned()).or_insert_with(empty)
    }

    /// Notes a row group that is looked at, and reads its file's bytes with the first.
    fn look_at(&mut self, chunk: &Chunk) {
        let Some(group) = chunk.group() else { return };
        let report = self.of(group.segment.name());
        report.bytes = group.segment.bytes();
        report.from = report.from.or(Some(group.first.height));
        report.to = Some(group.last.height);
        if group.place == 0
            && let Err(fault) = group.segment.check_sums()
        {
            self.find(group.segment.name(), None, fault.to_string());
        }
    }

    fn find(&mut self, file: &str, height: Option<Height>, detail: String) {
        let report = self.of(file);
        if report.damage.len() < super::MOST_FINDINGS {
            let file = file.to_owned();
            report.damage.push(Damage { height, file, offset: 0, detail });
        }
    }

    /// A version that a block wrote is nowhere.
    fn miss(&mut self, table: Oid, version: VersionId) {
        let VersionId { height, transaction, operation } = version;
        let detail = format!("version {transaction}.{operation} of table {} is missing", table.0);
        self.find(IN_MEMORY, Some(height), detail);
    }

    /// Rows are not what blocks say: their file is read no more, and made anew.
    fn find_rows(&mut self, chunk: &Chunk, height: Option<Height>, detail: String) {
        self.find(chunk.group().map_or(IN_MEMORY, |group| group.segment.name()), height, detail);
        if let Some(group) = chunk.group() {
            group.segment.distrust("blocks hold something else");
            chunk.evict();
        }
    }
}

/// One table's versions, in chain order beside the blocks that wrote them.
struct Walk {
    table: Oid,
    versions: Arc<Versions>,
    newest: Height,
    chunks: vec::IntoIter<Arc<Chunk>>,
    here: Option<Here>,
    /// Versions that blocks ended.
    ended: u64,
    /// Versions that are ended here.
    known_ended: u64,
}

/// The chunk that comes next in the blocks.
struct Here {
    chunk: Arc<Chunk>,
    /// None when it can't be read.
    held: Option<(Marks, RowBytes)>,
    place: usize,
}

impl Walk {
    fn new(table: Oid, versions: Arc<Versions>, newest: Height) -> Result<Self, Fault> {
        let chunks = versions.chunks_at(newest)?.into_iter();
        Ok(Self { table, versions, newest, chunks, here: None, ended: 0, known_ended: 0 })
    }

    fn effect(
        &mut self,
        core: &Core,
        version: VersionId,
        operation: &Operation,
        reports: &mut Reports,
    ) -> Result<(), Fault> {
        if let Some(previous) = operation.previous() {
            self.end(previous, version.height, reports)?;
        }
        let Some(row) = operation.row() else { return Ok(()) };
        let is_due = self.here.as_ref().is_some_and(|here| here.place < here.chunk.len());
        if !is_due {
            self.next_chunk(core, reports)?;
        }
        let Some(here) = &mut self.here else {
            reports.miss(self.table, version);
            return Ok(());
        };
        let place = here.place;
        here.place += 1;
        let Some((marks, rows)) = &here.held else { return Ok(()) };
        let wrong = if marks.version(place) != Some(version) {
            "another version stands in its place"
        } else if marks.is_update(place) != operation.previous().is_some() {
            "insert and update are confused"
        } else if rows.get(place) != Some(row.bytes.as_slice()) {
            "its row differs"
        } else {
            return Ok(());
        };
        let detail = format!("version {}.{}: {wrong}", version.transaction, version.operation);
        reports.find_rows(&here.chunk, Some(version.height), detail);
        // One finding for a row group: what follows may only be moved.
        here.held = None;
        Ok(())
    }

    /// A block ended a version at a height: it must be so here.
    fn end(&mut self, previous: VersionId, at: Height, reports: &mut Reports) -> Result<(), Fault> {
        self.ended += 1;
        let newest = self.newest;
        let end = self.versions.with_version(previous, |chunk, place| chunk.end(place, newest))?;
        if end.flatten() != Some(at) {
            let VersionId { height, transaction, operation } = previous;
            let name = format!("version {}.{transaction}.{operation}", height.0);
            let detail = format!("{name} of table {} doesn't end in block {}", self.table.0, at.0);
            reports.find(ENDS, Some(at), detail);
        }
        Ok(())
    }

    fn next_chunk(&mut self, core: &Core, reports: &mut Reports) -> Result<(), Fault> {
        self.close(core, reports)?;
        let Some(chunk) = self.chunks.next() else { return Ok(()) };
        self.known_ended += chunk.ends().until(self.newest)?.len() as u64;
        let read = |group: &Group| Ok((group.read_marks()?, group.read_rows()?));
        let held = match chunk.group().map(read) {
            Some(Ok(held)) => Some(held),
            Some(Err(fault)) => {
                let fault: Fault = fault;
                reports.find_rows(&chunk, None, fault.to_string());
                None
            }
            None => Some(chunk.copy()?),
        };
        self.here = Some(Here { chunk, held, place: 0 });
        Ok(())
    }

    /// Holds the columns of the chunk against its rows, which are known to be right.
    fn close(&mut self, core: &Core, reports: &mut Reports) -> Result<(), Fault> {
        let Some(Here { chunk, held: Some((_, rows)), .. }) = self.here.take() else {
            return Ok(());
        };
        let Some(group) = chunk.group() else { return Ok(()) };
        let catalogs = core.published.read().catalogs.all();
        let Some(table) = catalogs.iter().rev().find_map(|it| it.table(self.table)) else {
            return Ok(());
        };
        for column in table.columns.iter().filter(|column| !column.dropped) {
            let wrong = match group.read_column(column.number, &data_type_of(&column.kind)) {
                Ok(None) => continue,
                Ok(Some((read, _))) => {
                    let made = chunk.decode_rows(table, column, &rows)?;
                    if read.as_ref() == made.as_ref() {
                        continue;
                    }
                    format!("column {} isn't what its rows say", column.name)
                }
                Err(fault) => fault.to_string(),
            };
            reports.find_rows(&chunk, Some(group.first.height), wrong);
        }
        Ok(())
    }

    fn finish(&mut self, core: &Core, reports: &mut Reports) -> Result<(), Fault> {
        self.close(core, reports)?;
        if let Some(chunk) = self.chunks.next() {
            reports.find_rows(&chunk, None, "no block wrote its rows".to_owned());
            return Ok(());
        }
        if self.ended != self.known_ended {
            let detail = format!(
                "{} versions of table {} ended, and blocks ended {}",
                self.known_ended, self.table.0, self.ended
            );
            reports.find(ENDS, None, detail);
        }
        Ok(())
    }
}
