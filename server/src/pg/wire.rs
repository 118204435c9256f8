//! A connection's bytes: frames in, answers out, both bounded. It knows no session and no SQL.
//!
//! Answers are collected and written when the session says so: at Sync, at Flush, when the buffer is
//! full, and when it needs the client to answer. One write answers a whole pipeline.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Problem;
use super::message::Message;

/// Answers are written once there are this many bytes of them.
pub(crate) const FULL: usize = 64 * 1024;

/// Messages longer than this take part of a budget that all connections share.
const LARGE: usize = 1 << 20;

/// The startup packet, and all that comes before it, is no longer than this.
pub(crate) const STARTUP_LIMIT: usize = 10_000;

/// A connection before or after TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection's two buffers.
pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    /// Answers that are not written yet.
    pub(crate) output: BytesMut,
    limit: usize,
    /// What all connections' large messages may take together, in KiB.
    budget: Arc<Semaphore>,
    /// The part of it that the message being read has.
    held: Option<OwnedSemaphorePermit>,
}

/// Why no frame came.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client is gone, or the network is.
    Gone,
    /// The client breaks the protocol: it is told, then the connection ends.
    Violation(Problem),
}

impl From<std::io::Error> for ReadError {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// A whole frame: its type and its body.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The type byte.
    pub(crate) kind: u8,
    /// All after the length.
    pub(crate) body: Bytes,
    /// Given back when the message is done with.
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

impl<S: Stream> Wire<S> {
    /// Around a stream; frames larger than `limit` bytes are refused.
    pub(crate) fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            limit,
            budget: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            held: None,
        }
    }

    /// Around a stream of which some bytes were read already.
    pub(crate) fn with_input(stream: S, input: BytesMut, limit: usize) -> Self {
        Self { input, ..Self::new(stream, limit) }
    }

    /// Other limits, after the login: of one message, and of all connections' large messages together.
    pub(crate) fn set_limits(&mut self, limit: usize, budget: Arc<Semaphore>) {
        self.limit = limit;
        self.budget = budget;
    }

    /// The stream alone. What was read but not used would be lost, so it is handed out too.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.input)
    }

    /// The next frame, if the whole of it is here already.
    ///
    /// # Errors
    /// [`ReadError::Violation`] when its length can't be.
    pub(crate) fn buffered_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        if let Some(kind) = self.input.first()
            && !Message::is_known(*kind)
        {
            return Err(violation(&format!("invalid frontend message type {kind}")));
        }
        let [kind, a, b, c, d, ..] = self.input[..] else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 {
            return Err(violation("invalid message length"));
        }
        if length > Message::limit(kind, self.limit).min(self.limit) {
            return Err(violation(&format!(
                "invalid message length: {length} bytes is more than a message of this type may have"
            )));
        }
        if length > LARGE && self.held.is_none() {
            self.held = Some(self.hold(length)?);
        }
        if self.input.len() <= length {
            return Ok(None);
        }
        self.input.advance(5);
        let body = self.input.split_to(length - 4).freeze();
        if self.input.is_empty() && length > LARGE {
            // A large message's memory goes with it, not with the session.
            self.input = BytesMut::new();
        }
        Ok(Some(Frame { kind, body, held: self.held.take() }))
    }

    fn hold(&self, length: usize) -> Result<OwnedSemaphorePermit, ReadError> {
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.budget).try_acquire_many_owned(kib).map_err(|_| {
            let problem = Problem::fatal("53200", "out of memory for large messages");
            ReadError::Violation(
                problem.with_hint("Other sessions send large messages now; try again."),
            )
        })
    }

    /// Waits for the next frame. Answers are not written: the session does that at Sync and Flush, so that
    /// nothing is told before the commit that a Sync brings. May be dropped without losing bytes.
    ///
    /// # Errors
    /// The end of the connection, or a violation.
    pub(crate) async fn frame(&mut self) -> Result<Frame, ReadError> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next packet without a type byte: startup, SSLRequest, CancelRequest.
    ///
    /// # Errors
    /// The end of the connection, or a violation.
    pub(crate) async fn packet(&mut self) -> Result<Bytes, ReadError> {
        loop {
            if let [a, b, c, d, ..] = self.input[..] {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if !(8..=STARTUP_LIMIT).contains(&length) {
                    return Err(violation("invalid length of startup packet"));
                }
                if self.input.len() >= length {
                    self.input.advance(4);
                    return Ok(self.input.split_to(length - 4).freeze());
                }
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// The first byte of the connection, without taking it.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) async fn first_byte(&mut self) -> Result<u8, ReadError> {
        loop {
            if let Some(byte) = self.input.first() {
                return Ok(*byte);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), ReadError> {
        // A frame's declared length reserves nothing: memory follows what really arrives.
        self.input.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(ReadError::Gone),
            _ => Ok(()),
        }
    }

    /// Waits until the client sends more or leaves, and keeps what it sends, up to a bound. It is for
    /// noticing, while a statement runs, that nobody is there any more. Never returns while the bound
    /// is reached.
    pub(crate) async fn gone(&mut self) {
        loop {
            if self.input.len() >= FULL {
                std::future::pending::<()>().await;
            }
            if self.fill().await.is_err() {
                return;
            }
        }
    }

    /// Writes the answers collected so far.
    ///
    /// # Errors
    /// The network's.
    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.output).await?;
        self.stream.flush().await?;
        // One large answer must not hold its memory for the rest of the session.
        if self.output.capacity() > 4 * FULL {
            self.output = BytesMut::new();
        } else {
            self.output.clear();
        }
        Ok(())
    }

    /// Ends the connection after the answers; errors no longer matter.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            drop(self.stream.shutdown().await);
        }
    }
}

fn violation(message: &str) -> ReadError {
    ReadError::Violation(Problem::fatal("08P01", message))
}
