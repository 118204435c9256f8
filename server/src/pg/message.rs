//! What a client says: frontend messages, decoded from whole frames. It knows no session and no SQL.
//!
//! A frame is bounded before it gets here (see `wire`), and nothing in it is trusted: a count that
//! doesn't fit in the frame, a string without its end, or bytes left over are a `08P01`.

use bytes::{Buf, Bytes};

use super::error::Problem;

/// What one frame of a session holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `Q`
    Query(String),
    /// `P`
    Parse(Parse),
    /// `B`
    Bind(Bind),
    /// `D`
    Describe(Target),
    /// `E`
    Execute { portal: String, max_rows: i32 },
    /// `C`
    Close(Target),
    /// `H`
    Flush,
    /// `S`
    Sync,
    /// `X`
    Terminate,
    /// `d`
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `f`
    CopyFail(String),
    /// `F`: the fast path for functions, which is not offered.
    FunctionCall,
    /// `p`: an answer to a question of the login; nothing else may send it.
    Password(Bytes),
}

/// `P`: a statement to prepare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parse {
    /// Its name; empty is the unnamed statement.
    pub(crate) name: String,
    /// The SQL.
    pub(crate) query: String,
    /// Types of the first parameters; 0 leaves one open.
    pub(crate) parameter_oids: Vec<u32>,
}

/// `B`: a portal to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// The portal's name; empty is the unnamed portal.
    pub(crate) portal: String,
    /// The prepared statement's name.
    pub(crate) statement: String,
    /// Formats of the parameters: none (all text), one for all, or one for each.
    pub(crate) parameter_formats: Vec<i16>,
    /// The parameters; `None` is NULL.
    pub(crate) parameters: Vec<Option<Bytes>>,
    /// Formats of the result's columns, as for the parameters.
    pub(crate) result_formats: Vec<i16>,
}

/// What Describe and Close are about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

impl Message {
    /// Decodes the body of a frame of this type.
    ///
    /// # Errors
    /// `08P01` for a body that isn't what its type says (fatal only when the type is unknown),
    /// `22021` for text that isn't UTF-8.
    pub(crate) fn decode(kind: u8, body: Bytes) -> Result<Self, Problem> {
        let mut body = Body(body);
        let message = match kind {
            b'Q' => Self::Query(body.string()?),
            b'P' => Self::Parse(body.parse()?),
            b'B' => Self::Bind(body.bind()?),
            b'D' => Self::Describe(body.target("DESCRIBE")?),
            b'C' => Self::Close(body.target("CLOSE")?),
            b'E' => Self::Execute { portal: body.string()?, max_rows: body.i32()? },
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => return Ok(Self::Terminate),
            b'd' => return Ok(Self::CopyData(body.0)),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(body.string()?),
            b'F' => return Ok(Self::FunctionCall),
            b'p' => return Ok(Self::Password(body.0)),
            other => {
                return Err(Problem::fatal(
                    "08P01",
                    format!("invalid frontend message type {other}"),
                ));
            }
        };
        body.end()?;
        Ok(message)
    }

    /// Whether a frontend may send this type at all.
    pub(crate) fn is_known(kind: u8) -> bool {
        b"QPBDECHSXdcfFp".contains(&kind)
    }

    /// Whether an error in it makes the session skip to the next Sync.
    pub(crate) fn is_extended(kind: u8) -> bool {
        matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
    }

    /// The largest frame of this type, its length field included.
    pub(crate) fn limit(kind: u8, large: usize) -> usize {
        match kind {
            b'Q' | b'P' | b'B' | b'd' | b'F' => large,
            // A reason may be long, and is cut for the answer.
            b'f' => large.min(1 << 20),
            _ => SMALL,
        }
    }
}

/// Frames that carry no statement and no data are small, as in PostgreSQL.
const SMALL: usize = 10_000;

/// What is left of a frame's body.
pub(crate) struct Body(pub(crate) Bytes);

impl Body {
    fn parse(&mut self) -> Result<Parse, Problem> {
        let name = self.string()?;
        let query = self.string()?;
        let count = self.count(4)?;
        let mut parameter_oids = Vec::with_capacity(count);
        for _ in 0..count {
            parameter_oids.push(self.i32()?.cast_unsigned());
        }
        Ok(Parse { name, query, parameter_oids })
    }

    fn bind(&mut self) -> Result<Bind, Problem> {
        let portal = self.string()?;
        let statement = self.string()?;
        let parameter_formats = self.formats()?;
        let count = self.count(4)?;
        let mut parameters = Vec::with_capacity(count);
        for _ in 0..count {
            parameters.push(match self.i32()? {
                -1 => None,
                length => Some(self.take(usize::try_from(length).map_err(|_| malformed())?)?),
            });
        }
        let result_formats = self.formats()?;
        Ok(Bind { portal, statement, parameter_formats, parameters, result_formats })
    }

    fn formats(&mut self) -> Result<Vec<i16>, Problem> {
        let count = self.count(2)?;
        let mut formats = Vec::with_capacity(count);
        for _ in 0..count {
            formats.push(self.i16()?);
        }
        Ok(formats)
    }

    fn target(&mut self, what: &str) -> Result<Target, Problem> {
        let kind = self.take(1)?;
        let name = self.string()?;
        match kind.first() {
            Some(b'S') => Ok(Target::Statement(name)),
            Some(b'P') => Ok(Target::Portal(name)),
            other => Err(Problem::error(
                "08P01",
                format!("invalid {what} message subtype {}", other.copied().unwrap_or(0)),
            )),
        }
    }

    /// A count of items of at least `item` bytes each: it must fit in what is left.
    fn count(&mut self, item: usize) -> Result<usize, Problem> {
        let count = usize::from(self.i16()?.cast_unsigned());
        if count * item > self.0.len() { Err(malformed()) } else { Ok(count) }
    }

    /// Two bytes, big-endian.
    pub(crate) fn i16(&mut self) -> Result<i16, Problem> {
        if self.0.len() < 2 { Err(malformed()) } else { Ok(self.0.get_i16()) }
    }

    /// Four bytes, big-endian.
    pub(crate) fn i32(&mut self) -> Result<i32, Problem> {
        if self.0.len() < 4 { Err(malformed()) } else { Ok(self.0.get_i32()) }
    }

    /// Eight bytes, big-endian.
    pub(crate) fn i64(&mut self) -> Result<i64, Problem> {
        if self.0.len() < 8 { Err(malformed()) } else { Ok(self.0.get_i64()) }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, Problem> {
        if self.0.len() < length { Err(malformed()) } else { Ok(self.0.split_to(length)) }
    }

    /// Bytes up to a zero byte, which is taken too.
    pub(crate) fn string(&mut self) -> Result<String, Problem> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        text(&bytes).map(str::to_owned)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

/// Text from a client, checked to be UTF-8.
///
/// # Errors
/// `22021`, naming the first bytes that aren't.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let problem = match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => return Ok(text),
        Ok(_) => "0x00".to_owned(),
        Err(error) => {
            let bad = bytes.get(error.valid_up_to()..).unwrap_or_default();
            let shown = bad.iter().take(error.error_len().unwrap_or(bad.len()).clamp(1, 4));
            shown.map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(" ")
        }
    };
    Err(Problem::error("22021", format!("invalid byte sequence for encoding \"UTF8\": {problem}")))
}

fn malformed() -> Problem {
    Problem::error("08P01", "invalid message format")
}
