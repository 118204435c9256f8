//! COPY between the client and the engine.

use bytes::BytesMut;
use ledger::Value;
use sql::{CopyIn, CopyMaker, CopyOut, CopyRows};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::super::copy::{Layout, Reader, Writer};
use super::super::encode::{Format, Rows, Shape};
use super::super::error::{self, Problem};
use super::super::message::Message;
use super::super::reply;
use super::super::wire::{FULL, Stream};
use super::{Session, Stop};

/// Bytes of a COPY that are read at a time, apart from the session: the next ones come in meanwhile, and those
/// before become rows. What is shorter as a whole is read at once.
const PIECE: usize = 256 << 10;

/// What is under way between the client's bytes and the transaction, in order.
struct Load {
    maker: CopyMaker,
    /// The newest piece; the reader comes back with its rows.
    reading: Reading,
    /// The piece before, as rows.
    making: Option<JoinHandle<Result<CopyRows, sql::Error>>>,
}

enum Reading {
    Idle(Box<Reader>),
    Busy(JoinHandle<(Box<Reader>, Result<Values, Problem>)>),
    /// It failed.
    Over,
}

type Values = Vec<Vec<Value>>;

impl Load {
    fn new(maker: CopyMaker, reader: Reader) -> Self {
        Self { maker, reading: Reading::Idle(Box::new(reader)), making: None }
    }

    /// Reads a piece beside all else; gives the rows of an earlier one that are ready for the engine.
    async fn read(&mut self, piece: BytesMut) -> Result<Option<CopyRows>, Stop> {
        let (mut reader, values) = self.reader().await?;
        self.reading = Reading::Busy(spawn_blocking(move || {
            let mut values = Vec::new();
            let result = reader.push(&piece, &mut values);
            (reader, result.map(|()| values))
        }));
        self.make(values).await
    }

    /// The reader, once it has read what it was given, with the rows of that.
    async fn reader(&mut self) -> Result<(Box<Reader>, Values), Stop> {
        match std::mem::replace(&mut self.reading, Reading::Over) {
            Reading::Idle(reader) => Ok((reader, Values::new())),
            Reading::Busy(busy) => {
                let (reader, values) = joined(busy.await)?;
                Ok((reader, values?))
            }
            Reading::Over => Err(Problem::error("XX000", "a COPY that failed goes on").into()),
        }
    }

    /// Makes rows beside all else; gives those that were made before.
    async fn make(&mut self, values: Values) -> Result<Option<CopyRows>, Stop> {
        let before = self.made().await?;
        if !values.is_empty() {
            let maker = self.maker.clone();
            self.making = Some(spawn_blocking(move || maker.make(values)));
        }
        Ok(before)
    }

    async fn made(&mut self) -> Result<Option<CopyRows>, Stop> {
        match self.making.take() {
            Some(making) => Ok(Some(joined(making.await)??)),
            None => Ok(None),
        }
    }
}

/// What a thread beside the session came to; its panic is the statement's error, as the session's own would be.
fn joined<T>(result: Result<T, JoinError>) -> Result<T, Problem> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => error::of_panic(panic.as_ref()),
        Err(error) => Problem::error("XX000", error.to_string()),
    })
}

impl<S: Stream> Session<S> {
    /// Takes rows from the client until it says that there are no more; the command's tag.
    pub(super) async fn copy_in(&mut self, copy: CopyIn) -> Result<String, Stop> {
        let layout = Layout::new(copy.options.clone());
        reply::copy_begins(&mut self.wire.output, b'G', layout.code(), copy.columns.len());
        self.flush().await?;
        let reader = Reader::new(layout, copy.columns.clone(), self.zone());
        let mut load = Load::new(copy.maker(), reader);
        let mut copy = copy;
        // After an error nothing of it stays: the session's failure ends its transaction.
        if let Err(stop) = self.copy_rows(&mut copy, &mut load).await {
            // What came before it is looked at first: it may be wrong, too.
            if let Stop::Problem(_) = stop
                && let Some(rows) = load.made().await?
            {
                self.push(&mut copy, rows).await?;
            }
            if let Stop::Problem(_) = stop {
                copy.check(&self.sql).map_err(Problem::from)?;
            }
            return Err(stop);
        }
        super::guarded(copy.finish(&mut self.sql)).await
    }

    async fn copy_rows(&mut self, copy: &mut CopyIn, load: &mut Load) -> Result<(), Stop> {
        let mut piece = BytesMut::new();
        loop {
            let frame = self.copy_frame().await?;
            match Message::decode(frame.kind, frame.body)? {
                Message::CopyData(data) => piece.extend_from_slice(&data),
                Message::CopyDone => return self.copy_rest(copy, load, &piece).await,
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
            if piece.len() >= PIECE {
                let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE));
                if let Some(rows) = load.read(full).await? {
                    self.push(copy, rows).await?;
                }
            }
        }
    }

    /// The client has no more: what is under way, and the last bytes.
    async fn copy_rest(
        &mut self,
        copy: &mut CopyIn,
        load: &mut Load,
        last: &[u8],
    ) -> Result<(), Stop> {
        let (mut reader, mut values) = load.reader().await?;
        let read = reader.push(last, &mut values).and_then(|()| reader.finish(&mut values));
        if let Some(rows) = load.made().await? {
            self.push(copy, rows).await?;
        }
        read?;
        if values.is_empty() {
            return Ok(());
        }
        let rows = load.maker.make(values)?;
        self.push(copy, rows).await
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

    async fn push(&mut self, copy: &mut CopyIn, rows: CopyRows) -> Result<(), Stop> {
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
