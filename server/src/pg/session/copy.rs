//! COPY between the client and the engine.

use ledger::Value;
use sql::{CopyIn, CopyOut};

use super::super::copy::{Layout, Reader, Writer};
use super::super::encode::{Format, Rows, Shape};
use super::super::error::Problem;
use super::super::message::Message;
use super::super::reply;
use super::super::wire::{FULL, Stream};
use super::{Session, Stop};

/// Rows are handed to the engine when there are so many of them, or their text is so long.
const ROWS: usize = 4096;
const BYTES: usize = 4 << 20;

impl<S: Stream> Session<S> {
    /// Takes rows from the client until it says that there are no more; the command's tag.
    pub(super) async fn copy_in(&mut self, copy: CopyIn) -> Result<String, Stop> {
        let layout = Layout::new(copy.options.clone());
        reply::copy_begins(&mut self.wire.output, b'G', layout.code(), copy.columns.len());
        self.flush().await?;
        let mut reader = Reader::new(layout, copy.columns.clone(), self.zone());
        let mut copy = copy;
        // After an error nothing of it stays: the session's failure ends its transaction.
        self.copy_rows(&mut copy, &mut reader).await?;
        super::guarded(copy.finish(&mut self.sql)).await
    }

    async fn copy_rows(&mut self, copy: &mut CopyIn, reader: &mut Reader) -> Result<(), Stop> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        loop {
            let frame = self.copy_frame().await?;
            match Message::decode(frame.kind, frame.body)? {
                Message::CopyData(data) => {
                    reader.push(&data, &mut rows)?;
                    bytes += data.len();
                }
                Message::CopyDone => {
                    reader.finish(&mut rows)?;
                    return self.push(copy, rows).await;
                }
                Message::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Problem::error("57014", message).into());
                }
                // Clients send these ahead of the data; they have no meaning here.
                Message::Flush | Message::Sync => {}
                Message::Terminate => return Err(Stop::Gone),
                _ => {
                    let message =
                        format!("unexpected message type {} during COPY from stdin", frame.kind);
                    return Err(Problem::error("08P01", message).into());
                }
            }
            if rows.len() >= ROWS || bytes >= BYTES {
                self.push(copy, std::mem::take(&mut rows)).await?;
                bytes = 0;
            }
        }
    }

    /// The client's next message; a cancel is heard while waiting for it. A COPY is something in progress:
    /// the server's shutdown waits for it, until it cancels it.
    async fn copy_frame(&mut self) -> Result<super::Frame, Stop> {
        let cancel = std::sync::Arc::clone(&self.place.cancel);
        tokio::select! {
            biased;
            () = cancel.asked() => {
                Err(Problem::error("57014", "canceling statement due to user request").into())
            }
            frame = self.wire.frame() => Ok(frame?),
        }
    }

    async fn push(&mut self, copy: &mut CopyIn, rows: Vec<Vec<Value>>) -> Result<(), Stop> {
        if rows.is_empty() {
            return Ok(());
        }
        super::guarded(copy.push(&mut self.sql, rows)).await
    }

    /// Sends rows to the client; the command's tag.
    pub(super) async fn copy_out(&mut self, copy: CopyOut) -> Result<String, Stop> {
        let CopyOut { columns, options, mut stream } = copy;
        let layout = Layout::new(options);
        let format = if layout.code() == 1 { Format::Binary } else { Format::Text };
        reply::copy_begins(&mut self.wire.output, b'H', layout.code(), columns.len());
        let shapes: Vec<Shape> = super::super::portal::shapes(&columns, &[format]);
        let mut writer = Writer::new(layout, self.zone());
        writer.begin(columns.iter().map(|column| column.name.as_str()), &mut self.wire.output);
        let mut sent: u64 = 0;
        while let Some(batch) = self.next_batch(&mut stream).await? {
            let rows = Rows::new(&batch, &shapes)?;
            for row in 0..batch.num_rows() {
                writer.row(&rows, row, columns.len(), &mut self.wire.output)?;
                sent += 1;
                if self.wire.output.len() >= FULL {
                    self.flush().await?;
                }
            }
        }
        writer.end(&mut self.wire.output);
        reply::copy_done(&mut self.wire.output);
        Ok(format!("COPY {sent}"))
    }
}
