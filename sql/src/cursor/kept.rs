//! The rows that a cursor has drawn and may go back to, within the memory that all queries share. It knows no
//! direction.

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;

use crate::Error;

#[cfg(test)]
mod tests;

/// Rows by number, from 1.
pub(super) struct Kept {
    /// Each batch with the number of its first row.
    batches: VecDeque<(usize, RecordBatch)>,
    /// How many rows ever came in.
    count: usize,
    memory: MemoryReservation,
}

impl Kept {
    pub(super) fn new(memory: &RuntimeEnv) -> Self {
        let memory = MemoryConsumer::new("cursor").register(&memory.memory_pool);
        Self { batches: VecDeque::new(), count: 0, memory }
    }

    /// Adds rows behind the last.
    ///
    /// # Errors
    /// 53200 when the queries' memory is used up.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let first = self.count + 1;
        self.memory.try_grow(batch.get_array_memory_size())?;
        self.count += batch.num_rows();
        self.batches.push_back((first, batch));
        Ok(())
    }

    /// How many rows were drawn, those let go of included.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A row, if it is kept.
    pub(super) fn row(&self, number: usize) -> Option<RecordBatch> {
        let after = self.batches.partition_point(|(first, _)| *first <= number);
        let (first, batch) = self.batches.get(after.checked_sub(1)?)?;
        let place = number - first;
        (place < batch.num_rows()).then(|| batch.slice(place, 1))
    }

    /// Lets go of the batches that lie wholly before a row.
    pub(super) fn release_before(&mut self, number: usize) {
        while let Some((first, batch)) = self.batches.front()
            && first + batch.num_rows() <= number
        {
            self.memory.shrink(batch.get_array_memory_size());
            self.batches.pop_front();
        }
    }
}
