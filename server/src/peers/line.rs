//! The way to one node for one kind of message: a connection that is made when it is needed, and made again when it
//! breaks. Questions go out in the order in which they were asked; answers come as they come. It knows no chain.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Hash, PublicKey};
use parking_lot::Mutex;
use raft::Unreached;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connect::{self, Connector};
use super::frame::{Frame, Head, Kind, Purpose};

/// How long connecting may take, with its handshake.
const CONNECT: Duration = Duration::from_secs(2);
/// After a failure, nothing is tried for this long, and then for twice as long, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Questions that wait for being sent or answered; more are told at once that they don't reach.
const QUESTIONS: usize = 8192;

/// One question, and who waits for its answer.
struct Asked {
    chain: Hash,
    message: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, Unreached>>,
}

/// Questions without an answer yet, by their numbers.
type Pending = Mutex<HashMap<u64, oneshot::Sender<Result<Vec<u8>, Unreached>>>>;

/// The way; dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Line {
    queue: mpsc::Sender<Asked>,
}

impl Line {
    /// The way to the node with this key at an address. Must be called within a Tokio runtime.
    pub(super) fn new(
        connector: Arc<Connector>,
        address: String,
        key: PublicKey,
        purpose: Purpose,
    ) -> Self {
        let (queue, asked) = mpsc::channel(QUESTIONS);
        let worker = Worker { connector, address, key, purpose, asked, missed: false };
        drop(tokio::spawn(worker.run()));
        Self { queue }
    }

    /// Asks; the question has its place in the queue when this returns.
    pub(super) fn ask(
        &self,
        chain: Hash,
        message: Vec<u8>,
    ) -> oneshot::Receiver<Result<Vec<u8>, Unreached>> {
        let (reply, receiver) = oneshot::channel();
        if let Err(refused) = self.queue.try_send(Asked { chain, message, reply }) {
            let asked = refused.into_inner();
            drop(asked.reply.send(Err(Unreached("too many questions wait for it".to_owned()))));
        }
        receiver
    }
}

struct Worker {
    connector: Arc<Connector>,
    address: String,
    key: PublicKey,
    purpose: Purpose,
    asked: mpsc::Receiver<Asked>,
    /// Whether it was told that the node isn't reached.
    missed: bool,
}

impl Worker {
    /// Tells once that the node is gone, and once that it is back. One way to it tells for all.
    fn note(&mut self, missed: Option<&str>) {
        if self.missed == missed.is_some() || self.purpose != Purpose::Lane(raft::Lane::Prompt) {
            return;
        }
        self.missed = missed.is_some();
        match missed {
            Some(why) => tracing::warn!(address = self.address, why, "a node is not reached"),
            None => tracing::warn!(address = self.address, "a node is reached again"),
        }
    }

    async fn run(mut self) {
        let mut pause = PAUSE.0;
        while let Some(first) = self.asked.recv().await {
            if first.reply.is_closed() {
                continue;
            }
            let connecting = self.connector.node(&self.address, self.key, self.purpose);
            let connected = match timeout(CONNECT, Box::pin(connecting)).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("it takes too long to connect".to_owned()),
            };
            match connected {
                Ok(connection) => {
                    pause = PAUSE.0;
                    self.note(None);
                    let why = self.talk(connection, first).await;
                    tracing::debug!(address = self.address, why, "a connection to a node ended");
                }
                Err(why) => {
                    self.note(Some(&why));
                    drop(first.reply.send(Err(Unreached(why.clone()))));
                    self.refuse(Instant::now() + pause, &why).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Tells whoever asks until then that the node isn't reached.
    async fn refuse(&mut self, until: Instant, why: &str) {
        while let Ok(Some(asked)) = tokio::time::timeout_at(until, self.asked.recv()).await {
            drop(asked.reply.send(Err(Unreached(why.to_owned()))));
        }
    }

    /// Asks and hears answers until the connection ends; gives why it did.
    async fn talk(&mut self, connection: connect::Connection, first: Asked) -> String {
        let (reader, writer) = tokio::io::split(connection);
        let pending = Pending::default();
        let ended = tokio::select! {
            ended = hear(BufReader::new(reader), &pending) => ended,
            ended = self.send(BufWriter::new(writer), first, &pending) => ended,
        };
        let why = ended.err().map_or_else(|| "it was ended".to_owned(), |error| error.to_string());
        for (_, reply) in pending.lock().drain() {
            drop(reply.send(Err(Unreached(why.clone()))));
        }
        why
    }

    async fn send(
        &mut self,
        mut writer: impl AsyncWrite + Unpin,
        first: Asked,
        pending: &Pending,
    ) -> io::Result<()> {
        let mut next = Some(first);
        let mut number = 0;
        while let Some(Asked { chain, message, reply }) = next.take() {
            if !reply.is_closed() {
                if pending.lock().len() >= QUESTIONS {
                    return Err(io::Error::other("too many questions have no answer"));
                }
                pending.lock().insert(number, reply);
                let frame = Frame { kind: Kind::Question(chain), number, bytes: message };
                frame.write(&mut writer).await?;
                number += 1;
            }
            next = match self.asked.try_recv() {
                Ok(asked) => Some(asked),
                Err(_) => {
                    writer.flush().await?;
                    self.asked.recv().await
                }
            };
        }
        Ok(())
    }
}

/// Gives each answer to whom it is for. One that is for nobody is for someone who waits no more.
async fn hear(mut reader: impl AsyncRead + Unpin, pending: &Pending) -> io::Result<()> {
    while let Some(head) = Head::read(&mut reader).await? {
        let frame = head.body(&mut reader).await?;
        let reply = pending.lock().remove(&frame.number);
        let answer = match frame.kind {
            Kind::Answer => Ok(frame.bytes),
            Kind::Refusal => Err(Unreached(String::from_utf8_lossy(&frame.bytes).into_owned())),
            Kind::Question(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a question came back"));
            }
        };
        if let Some(reply) = reply {
            drop(reply.send(answer));
        }
    }
    Ok(())
}
