//! Where connections of other nodes come in. Who is at the other end is known by its key; what it asks of a chain that
//! it is no member of is passed over unread. What a message means is the chain's matter.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use ledger::{Hash, PublicKey};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connect::watch;
use super::frame::{Frame, Head, Kind, Purpose, greet, greeted};
use super::{Peers, VERSION, tls};

/// Connections of other nodes at once, those that are not through their handshake included.
const CONNECTIONS: usize = 512;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long accepting waits when it failed, as it does without free file numbers.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for ever.
pub(super) async fn serve(peers: Arc<Peers>, listener: TcpListener, acceptor: TlsAcceptor) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "can't take a connection of a node");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let visit = visit(Arc::clone(&peers), socket, acceptor.clone());
        drop(tokio::spawn(async move {
            if let Err(error) = Box::pin(visit).await {
                tracing::debug!(%error, "a connection of a node ended");
            }
            drop(place);
        }));
    }
}

async fn visit(peers: Arc<Peers>, socket: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    watch(&socket)?;
    let shaken = timeout(HANDSHAKE, async {
        let mut connection = acceptor.accept(socket).await?;
        let (purpose, _version) = greeted(&mut connection).await?;
        greet(&mut connection, purpose, VERSION).await?;
        Ok::<_, io::Error>((connection, purpose))
    });
    let (connection, purpose) = shaken.await.map_err(|_| io::ErrorKind::TimedOut)??;
    let key = tls::shown(connection.get_ref().1.peer_certificates());
    let key = key.ok_or_else(|| io::Error::other("no key was shown"))?;
    let (reader, writer) = tokio::io::split(connection);
    let reader = BufReader::new(reader);
    match purpose {
        Purpose::Lane(lane) => answer_all(peers, key, at_once(lane), reader, writer).await,
        Purpose::Knock => timeout(HANDSHAKE, introduce(&peers, key, reader, writer))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?,
    }
}

/// Questions of one connection that are worked on at once.
fn at_once(lane: raft::Lane) -> usize {
    match lane {
        raft::Lane::Prompt => 64,
        // What follows would find a gap if it overtook what it follows, and would be sent again.
        raft::Lane::Blocks => 1,
        // Each is answered when it is decided.
        raft::Lane::Work => 512,
    }
}

/// A question that came in, or why it gets no answer.
struct Question {
    number: u64,
    asked: Result<(Hash, Vec<u8>), &'static str>,
}

/// Answers questions: they are begun in the order in which they come, and answered as they are done.
async fn answer_all(
    peers: Arc<Peers>,
    key: PublicKey,
    at_once: usize,
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let asked = Arc::clone(&peers);
    let questions = stream::try_unfold(reader, move |mut reader| {
        let peers = Arc::clone(&asked);
        async move {
            let question = next(&peers, key, &mut reader).await?;
            Ok::<_, io::Error>(question.map(|question| (question, reader)))
        }
    });
    let answers = questions.map_ok(|question| answer(Arc::clone(&peers), key, question));
    let mut answers = std::pin::pin!(answers.try_buffer_unordered(at_once));
    while let Some(frame) = answers.next().await {
        frame?.write(&mut writer).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn answer(peers: Arc<Peers>, key: PublicKey, question: Question) -> io::Result<Frame> {
    let Question { number, asked } = question;
    let answered = match asked {
        Ok((chain, message)) => peers.answer(chain, key, &message).await,
        Err(why) => Err(why.to_owned()),
    };
    Ok(match answered {
        Ok(bytes) => Frame { kind: Kind::Answer, number, bytes },
        Err(why) => Frame { kind: Kind::Refusal, number, bytes: why.into_bytes() },
    })
}

/// The next question; one of a stranger to its chain is not read.
async fn next(
    peers: &Peers,
    key: PublicKey,
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Question>> {
    let Some(head) = Head::read(reader).await? else { return Ok(None) };
    let (number, kind) = (head.number, head.kind);
    let Kind::Question(chain) = kind else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to no question"));
    };
    let asked = match peers.may_ask(chain, key) {
        Ok(()) => Ok((chain, head.body(reader).await?.bytes)),
        Err(why) => {
            head.skip(reader).await?;
            Err(why)
        }
    };
    Ok(Some(Question { number, asked }))
}

/// Tells who the members of a chain are, to one of them.
async fn introduce(
    peers: &Peers,
    key: PublicKey,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let Some(head) = Head::read(&mut reader).await? else { return Ok(()) };
    let (number, kind) = (head.number, head.kind);
    let Kind::Question(chain) = kind else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to no question"));
    };
    head.skip(&mut reader).await?;
    let frame = match peers.introduction(chain, key) {
        Ok(introduction) => {
            let bytes = serde_json::to_vec(&introduction)?;
            Frame { kind: Kind::Answer, number, bytes }
        }
        Err(why) => Frame { kind: Kind::Refusal, number, bytes: why.as_bytes().to_vec() },
    };
    frame.write(&mut writer).await?;
    writer.shutdown().await
}
