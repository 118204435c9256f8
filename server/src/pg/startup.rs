//! A connection's first packets: TLS, cancel requests, startup parameters, the login. It knows no statements.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Shared;
use super::auth::{Login, MECHANISM};
use super::error::Problem;
use super::message::{Body, Message};
use super::reply;
use super::tls;
use super::wire::{ReadError, STARTUP_LIMIT, Stream, Wire};

#[cfg(test)]
mod tests;

/// Codes that stand where a startup packet has its protocol version.
const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;
const GSS: i32 = 80_877_104;

/// The protocol versions that are spoken: 3.0 and 3.2.
const VERSION_3_0: i32 = 3 << 16;
const VERSION_3_2: i32 = (3 << 16) | 2;

/// A connection after TLS is settled.
pub(crate) type Secured = Wire<Box<dyn Stream>>;

/// What a client wants, once it says so in the clear or under TLS.
pub(crate) enum Opening {
    /// A session.
    Session(Box<Secured>, Startup),
    /// To cancel another session's statement; nothing is answered.
    Cancel { process: i32, secret: Bytes },
}

/// A startup packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Startup {
    /// 3.2 rather than 3.0.
    pub(crate) long_cancel_keys: bool,
    /// A newer minor version was asked for, or options that are not known: the client is told.
    pub(crate) negotiate: Option<Vec<String>>,
    /// `user`
    pub(crate) user: String,
    /// `database`; the user's name if it isn't given.
    pub(crate) database: String,
    /// Settings, those in `options` too, in order.
    pub(crate) settings: Vec<(String, String)>,
}

/// Settles TLS and reads the startup packet.
///
/// # Errors
/// The connection's end, or what the client is told before it ends.
pub(crate) async fn open(stream: TcpStream, shared: &Shared) -> Result<Opening, ReadError> {
    let mut plain = Wire::new(stream, STARTUP_LIMIT);
    // A TLS handshake may begin at once (byte 22), or after SSLRequest.
    let mut secured = if plain.first_byte().await? == 22 {
        start_tls(plain, shared, true).await?
    } else {
        loop {
            let packet = plain.packet().await?;
            match code(&packet) {
                TLS if packet.len() == 4 => {
                    plain.output.extend_from_slice(b"S");
                    plain.flush().await?;
                    break start_tls(plain, shared, false).await?;
                }
                GSS if packet.len() == 4 => {
                    plain.output.extend_from_slice(b"N");
                    plain.flush().await?;
                }
                _ => return clear(plain, packet, shared).await,
            }
        }
    };
    let packet = secured.packet().await?;
    opening(secured, packet).await
}

/// A session or a cancel request without TLS.
async fn clear(
    plain: Wire<TcpStream>,
    packet: Bytes,
    shared: &Shared,
) -> Result<Opening, ReadError> {
    if shared.limits.require_tls && code(&packet) != CANCEL {
        let mut plain = plain;
        let problem = Problem::fatal("28000", "this server takes connections over TLS only")
            .with_hint("Connect with sslmode=require.");
        reply::problem(&mut plain.output, b'E', &problem);
        plain.close().await;
        return Err(ReadError::Gone);
    }
    let (stream, input) = plain.into_parts();
    opening(Wire::with_input(Box::new(stream), input, STARTUP_LIMIT), packet).await
}

async fn start_tls(
    plain: Wire<TcpStream>,
    shared: &Shared,
    direct: bool,
) -> Result<Secured, ReadError> {
    let (stream, input) = plain.into_parts();
    // Bytes that came with SSLRequest were sent in the clear: a third party may have put them there.
    if !direct && !input.is_empty() {
        return Err(ReadError::Gone);
    }
    let stream = shared.tls.accept(Replay { before: input, stream }).await?;
    if direct && stream.get_ref().1.alpn_protocol() != Some(tls::ALPN) {
        return Err(ReadError::Gone);
    }
    Ok(Wire::new(Box::new(stream), STARTUP_LIMIT))
}

async fn opening(mut wire: Secured, packet: Bytes) -> Result<Opening, ReadError> {
    if code(&packet) == CANCEL {
        let mut body = Body(packet);
        let parts = (|| {
            body.i32()?;
            Ok::<_, Problem>((body.i32()?, body.rest()))
        })();
        let (process, secret) = parts.map_err(|_| ReadError::Gone)?;
        return Ok(Opening::Cancel { process, secret });
    }
    match Startup::decode(packet) {
        Ok(startup) => Ok(Opening::Session(Box::new(wire), startup)),
        Err(problem) => {
            reply::problem(&mut wire.output, b'E', &problem);
            wire.close().await;
            Err(ReadError::Gone)
        }
    }
}

fn code(packet: &Bytes) -> i32 {
    match packet[..] {
        [a, b, c, d, ..] => i32::from_be_bytes([a, b, c, d]),
        _ => 0,
    }
}

impl Startup {
    /// Decodes a startup packet, after its length.
    ///
    /// # Errors
    /// `08P01` for a packet that isn't one or another protocol, `28000` without a user.
    pub(crate) fn decode(packet: Bytes) -> Result<Self, Problem> {
        let mut body = Body(packet);
        let version = body.i32()?;
        if version >> 16 != 3 {
            return Err(Problem::fatal(
                "08P01",
                format!(
                    "unsupported frontend protocol {}.{}: server supports 3.0 to 3.2",
                    version >> 16,
                    version & 0xffff
                ),
            ));
        }
        let mut parameters = Vec::new();
        loop {
            let name = body.string().map_err(Problem::into_fatal)?;
            if name.is_empty() {
                break;
            }
            parameters.push((name, body.string().map_err(Problem::into_fatal)?));
        }
        body.end().map_err(Problem::into_fatal)?;
        Self::of(version, parameters)
    }

    fn of(version: i32, parameters: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut startup = Self { long_cancel_keys: version >= VERSION_3_2, ..Self::default() };
        let mut unknown = Vec::new();
        let mut later = Vec::new();
        for (name, value) in parameters {
            match name.as_str() {
                "user" => startup.user = value,
                "database" => startup.database = value,
                "options" => startup.settings.extend(options(&value)?),
                "replication" => {
                    if !matches!(value.as_str(), "false" | "off" | "no" | "0") {
                        return Err(Problem::fatal(
                            "0A000",
                            "replication connections are not supported",
                        ));
                    }
                }
                _ if name.starts_with("_pq_.") => unknown.push(name),
                _ => later.push((name, value)),
            }
        }
        startup.settings.extend(later);
        if startup.user.is_empty() {
            return Err(Problem::fatal(
                "28000",
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        if !unknown.is_empty() || !matches!(version, VERSION_3_0 | VERSION_3_2) {
            startup.negotiate = Some(unknown);
        }
        Ok(startup)
    }

    /// Tells the client which minor version and options are spoken, if it asked for others.
    pub(crate) fn answer_version(&self, out: &mut BytesMut) {
        if let Some(unknown) = &self.negotiate {
            let version = if self.long_cancel_keys { VERSION_3_2 } else { VERSION_3_0 };
            reply::negotiate(out, version, unknown);
        }
    }
}

/// Settings in `options`: `-c name=value`, `-cname=value`, `--name=value`; a backslash keeps a blank.
fn options(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let invalid = |word: &str| {
        Problem::fatal("22023", format!("invalid command-line argument for server process: {word}"))
    };
    let mut settings = Vec::new();
    let mut words = split_options(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting.to_owned(),
            (_, Some("")) => words.next().ok_or_else(|| invalid(&word))?,
            (_, Some(setting)) => setting.to_owned(),
            _ => return Err(invalid(&word)),
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| invalid(&word))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn split_options(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            blank if blank.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Proves who the client is.
///
/// # Errors
/// The connection's end, or what the client is told before it ends: `28P01`, `28000`, `08P01`.
pub(crate) async fn log_in(
    wire: &mut Secured,
    startup: &Startup,
    shared: &Shared,
) -> Result<(), ReadError> {
    let mut mechanisms = MECHANISM.as_bytes().to_vec();
    mechanisms.extend_from_slice(&[0, 0]);
    reply::authentication(&mut wire.output, 10, &mechanisms);
    let first = answer(wire).await?;
    let role = shared.role(&startup.user);
    let verifier = role.as_ref().and_then(|role| role.verifier.as_deref());
    let (login, challenge) =
        Login::begin(&startup.user, verifier, &shared.secret, first).map_err(violation)?;
    reply::authentication(&mut wire.output, 11, challenge.as_bytes());
    let last = answer(wire).await?;
    let proof = login.finish(&last).map_err(violation)?;
    if !role.is_some_and(|role| role.login) {
        return Err(violation(Problem::fatal(
            "28000",
            format!("role \"{}\" is not permitted to log in", startup.user),
        )));
    }
    reply::authentication(&mut wire.output, 12, proof.as_bytes());
    reply::authentication(&mut wire.output, 0, &[]);
    Ok(())
}

/// The client's next message of the login.
async fn answer(wire: &mut Secured) -> Result<Bytes, ReadError> {
    wire.flush().await?;
    let frame = wire.frame().await?;
    match Message::decode(frame.kind, frame.body) {
        Ok(Message::Password(body)) => Ok(body),
        Ok(Message::Terminate) => Err(ReadError::Gone),
        Ok(_) => Err(violation(Problem::fatal(
            "08P01",
            format!("expected SASL response, got message type {}", frame.kind),
        ))),
        Err(problem) => Err(violation(problem)),
    }
}

fn violation(problem: Problem) -> ReadError {
    ReadError::Violation(problem.into_fatal())
}

/// A stream whose first bytes were read already.
struct Replay {
    before: BytesMut,
    stream: TcpStream,
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.before.len().min(buffer.remaining());
        buffer.put_slice(&self.before.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
