//! Rows on their way to the client: with back-pressure, and until a cancel.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use bytes::BufMut as _;
use futures::{FutureExt as _, StreamExt as _};
use sql::{ResultColumn, RowStream};

use super::super::encode::{Format, Rows};
use super::super::error::{self, Problem};
use super::super::portal::{Running, format_of};
use super::super::reply::{message, put_count, put_string};
use super::super::wire::{FULL, Stream};
use super::{PATIENCE, Session, Stop};

impl<S: Stream> Session<S> {
    /// `T`
    pub(super) fn row_description(&mut self, columns: &[ResultColumn], formats: &[Format]) {
        message(&mut self.wire.output, b'T', |out| {
            put_count(out, columns.len());
            for (place, column) in columns.iter().enumerate() {
                put_string(out, &column.name);
                out.put_u32(column.table_oid);
                out.put_i16(column.attnum);
                out.put_u32(column.type_oid);
                out.put_i16(column.type_len);
                out.put_i32(column.typmod);
                out.put_i16(match format_of(formats, place) {
                    Format::Text => 0,
                    Format::Binary => 1,
                });
            }
        });
    }

    /// Sends rows, at most `limit` of them: how many were sent, and whether that was all.
    pub(super) async fn send_rows(
        &mut self,
        running: &mut Running,
        limit: Option<u64>,
    ) -> Result<(u64, bool), Stop> {
        let zone = self.zone();
        let mut sent = 0;
        loop {
            let (batch, mut row) = match running.batch.take() {
                Some(current) => current,
                None => match self.next_batch(&mut running.stream).await? {
                    Some(batch) => (batch, 0),
                    None => return Ok((sent, true)),
                },
            };
            let rows = Rows::new(&batch, &running.shapes)?;
            while row < batch.num_rows() {
                if limit == Some(sent) {
                    running.batch = Some((batch.clone(), row));
                    return Ok((sent, false));
                }
                rows.data_row(row, zone, &mut self.wire.output)?;
                row += 1;
                sent += 1;
                if self.wire.output.len() >= FULL {
                    self.flush().await?;
                }
            }
        }
    }

    /// The next batch of a stream. Rows change nothing, so a cancel may drop them at any time.
    pub(super) async fn next_batch(
        &mut self,
        stream: &mut RowStream,
    ) -> Result<Option<RecordBatch>, Stop> {
        let Self { wire, place, .. } = self;
        let gone = async {
            tokio::time::sleep(PATIENCE).await;
            wire.gone().await;
        };
        tokio::select! {
            biased;
            () = place.cancel.asked() => {
                Err(Problem::error("57014", "canceling statement due to user request").into())
            }
            next = AssertUnwindSafe(stream.next()).catch_unwind() => match next {
                Ok(next) => Ok(next.transpose()?),
                Err(panic) => Err(error::of_panic(panic.as_ref()).into()),
            },
            () = gone => Err(Stop::Gone),
        }
    }
}
