//! What goes over a connection between nodes: a greeting, then frames. It knows no TLS, and not what the bytes mean.
//!
//! A greeting is one byte for what the connection is for, one for the length of the version's name, and the name.
//! A frame is a byte for its kind, the number of the question (u64), the length of what follows (u32), for a question
//! the chain's 32 bytes, and the bytes. Numbers are little-endian.

use std::io;

use ledger::Hash;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Most bytes of a message between nodes: more than the largest block has.
const MOST: u32 = 512 << 20;
/// Bytes that are made room for before any of them is there.
const AHEAD: u64 = 64 << 10;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Messages of this lane.
    Lane(raft::Lane),
    /// Asking to be told who the members are.
    Knock,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A question of one chain.
    Question(Hash),
    /// What was answered.
    Answer,
    /// There is no answer, and why.
    Refusal,
}

/// One message, or what became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// The question's number, of the connection.
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// A frame whose bytes are still on the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) number: u64,
    length: u32,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Purpose {
    fn code(self) -> u8 {
        match self {
            Self::Lane(raft::Lane::Prompt) => 0,
            Self::Lane(raft::Lane::Blocks) => 1,
            Self::Lane(raft::Lane::Work) => 2,
            Self::Knock => 255,
        }
    }

    fn of_code(code: u8) -> io::Result<Self> {
        let all = [
            Self::Lane(raft::Lane::Prompt),
            Self::Lane(raft::Lane::Blocks),
            Self::Lane(raft::Lane::Work),
            Self::Knock,
        ];
        let named = all.into_iter().find(|purpose| purpose.code() == code);
        named.ok_or_else(|| malformed("a connection for a purpose that is not known"))
    }
}

/// Says what a connection is for, and which version speaks.
pub(super) async fn greet<W: AsyncWrite + Unpin>(
    to: &mut W,
    purpose: Purpose,
    version: &str,
) -> io::Result<()> {
    let length = u8::try_from(version.len()).map_err(|_| malformed("a long version"))?;
    to.write_all(&[purpose.code(), length]).await?;
    to.write_all(version.as_bytes()).await?;
    to.flush().await
}

/// Reads a greeting.
pub(super) async fn greeted<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<(Purpose, String)> {
    let purpose = Purpose::of_code(from.read_u8().await?)?;
    let mut version = vec![0; usize::from(from.read_u8().await?)];
    from.read_exact(&mut version).await?;
    let version = String::from_utf8(version).map_err(|_| malformed("a version that is no text"))?;
    Ok((purpose, version))
}

impl Frame {
    /// Writes the frame, which may stay in the writer's buffer.
    pub(super) async fn write<W: AsyncWrite + Unpin>(&self, to: &mut W) -> io::Result<()> {
        let length = u32::try_from(self.bytes.len()).ok().filter(|length| *length <= MOST);
        let length = length.ok_or_else(|| malformed("a message that is too long"))?;
        let kind = match self.kind {
            Kind::Question(_) => 1,
            Kind::Answer => 2,
            Kind::Refusal => 3,
        };
        to.write_u8(kind).await?;
        to.write_u64_le(self.number).await?;
        to.write_u32_le(length).await?;
        if let Kind::Question(chain) = self.kind {
            to.write_all(&chain.0).await?;
        }
        to.write_all(&self.bytes).await
    }
}

impl Head {
    /// Reads a frame's beginning; nothing where the other side has ended.
    pub(super) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Self>> {
        let kind = match from.read_u8().await {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let number = from.read_u64_le().await?;
        let length = from.read_u32_le().await?;
        if length > MOST {
            return Err(malformed("a frame that is too long"));
        }
        let kind = match kind {
            1 => {
                let mut chain = Hash::default();
                from.read_exact(&mut chain.0).await?;
                Kind::Question(chain)
            }
            2 => Kind::Answer,
            3 => Kind::Refusal,
            _ => return Err(malformed("a frame of a kind that is not known")),
        };
        Ok(Some(Self { kind, number, length }))
    }

    /// Reads the rest. Memory is taken as bytes come, not as they are announced.
    pub(super) async fn body<R: AsyncRead + Unpin>(self, from: &mut R) -> io::Result<Frame> {
        let length = u64::from(self.length);
        let room = usize::try_from(length.min(AHEAD)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(room);
        if from.take(length).read_to_end(&mut bytes).await? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Frame { kind: self.kind, number: self.number, bytes })
    }

    /// Passes over the rest.
    pub(super) async fn skip<R: AsyncRead + Unpin>(self, from: &mut R) -> io::Result<()> {
        let length = u64::from(self.length);
        let skipped = tokio::io::copy(&mut from.take(length), &mut tokio::io::sink()).await?;
        if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
