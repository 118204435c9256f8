//! Where blocks are read again: for what is in blocks alone, and for rows whose sealed file is damaged.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ledger::{Block, Height, Oid, VersionId};
use parking_lot::{Mutex, RwLock};

use crate::{BlockSource, Fault, chunk::RowBytes, marks::Marks};

/// The way back to blocks.
#[derive(Default)]
pub(crate) struct Blocks {
    source: RwLock<Option<Arc<dyn BlockSource>>>,
    /// The block that rows were taken from last: neighbours often come from one.
    last: Mutex<Option<Arc<Block>>>,
    /// Whether a sealed file was found damaged and isn't made anew yet.
    damaged: AtomicBool,
}

impl Blocks {
    /// Lends the block file.
    pub(crate) fn lend(&self, source: Arc<dyn BlockSource>) {
        *self.source.write() = Some(source);
    }

    /// The block file, if it was lent.
    pub(crate) fn source(&self) -> Option<Arc<dyn BlockSource>> {
        self.source.read().clone()
    }

    /// Notes that a sealed file has to be made anew.
    pub(crate) fn note_damage(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    /// Whether one has to be.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// As [`Self::is_damaged`], and forgets it.
    pub(crate) fn take_damage(&self) -> bool {
        self.damaged.swap(false, Ordering::AcqRel)
    }

    /// Keeps no block any more.
    pub(crate) fn forget(&self) {
        drop(self.last.lock().take());
    }

    /// The versions that a table's blocks wrote from one to another, as a sealed file holds them.
    pub(crate) fn rows(
        &self,
        source: &dyn BlockSource,
        table: Oid,
        (first, last): (VersionId, VersionId),
    ) -> Result<(Marks, RowBytes), Fault> {
        let (mut marks, mut rows) = (Marks::default(), RowBytes::default());
        for height in (first.height.0..=last.height.0).map(Height) {
            let block = self.block(source, height)?;
            for (transaction, own) in (0_u32..).zip(&block.transactions) {
                for (operation, effect) in (0_u32..).zip(&own.operations) {
                    let version = VersionId { height, transaction, operation };
                    if effect.table() == Some(table)
                        && (first..=last).contains(&version)
                        && let Some(row) = effect.row()
                    {
                        marks.push(version, effect.previous().is_some());
                        rows.push(&row.bytes);
                    }
                }
            }
        }
        Ok((marks, rows))
    }

    fn block(&self, source: &dyn BlockSource, height: Height) -> Result<Arc<Block>, Fault> {
        let mut last = self.last.lock();
        if let Some(block) = last.as_ref().filter(|block| block.header.height == height) {
            return Ok(Arc::clone(block));
        }
        drop(last.take());
        let block = source.block(height)?;
        *last = Some(Arc::clone(&block));
        Ok(block)
    }
}
