//! A small blocking client that shows everything a server sends: type OIDs, tags, error fields.
//!
//! Drivers hide what these tests compare. This one knows the protocol's messages and the SCRAM login, nothing of SQL.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl Address {
    /// The settings for tokio-postgres.
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(&self.database)
            .connect_timeout(Duration::from_secs(20));
        config
    }
}

/// What the server says is wrong, field by field; or the connection's own failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) position: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    pub(crate) constraint: Option<String>,
    pub(crate) datatype: Option<String>,
}

impl Failure {
    fn lost(e: &io::Error) -> Self {
        Self { sqlstate: "lost".to_owned(), message: e.to_string(), ..Self::default() }
    }

    pub(crate) fn read(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut failure = Self::default();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => failure.sqlstate = value,
                b'M' => failure.message = value,
                b'D' => failure.detail = Some(value),
                b'H' => failure.hint = Some(value),
                b'P' => failure.position = Some(value),
                b's' => failure.schema = Some(value),
                b't' => failure.table = Some(value),
                b'c' => failure.column = Some(value),
                b'n' => failure.constraint = Some(value),
                b'd' => failure.datatype = Some(value),
                _ => {}
            }
        }
        Ok(failure)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)
    }
}

impl std::error::Error for Failure {}

/// A column as RowDescription tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

/// What one statement gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Absent when the statement returns no rows by its nature.
    pub(crate) columns: Option<Vec<Column>>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) tag: String,
    pub(crate) notices: Vec<Failure>,
}

impl Answer {
    /// The first column of the first row.
    pub(crate) fn value(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

/// Which of the protocol's two ways statements take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Simple,
    Extended,
}

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: BytesMut,
    way: Way,
}

impl Client {
    pub(crate) fn connect(address: &Address) -> Result<Self, Failure> {
        let socket = TcpStream::connect((address.host.as_str(), address.port))
            .map_err(|e| Failure::lost(&e))?;
        socket.set_nodelay(true).map_err(|e| Failure::lost(&e))?;
        socket.set_read_timeout(Some(Duration::from_secs(60))).map_err(|e| Failure::lost(&e))?;
        let mut client = Self { socket, buffer: BytesMut::new(), way: Way::Simple };
        client.login(address)?;
        Ok(client)
    }

    /// Statements of this connection go this way from now on.
    pub(crate) fn take_way(&mut self, way: Way) {
        self.way = way;
    }

    fn login(&mut self, address: &Address) -> Result<(), Failure> {
        let parameters = [
            ("user", address.user.as_str()),
            ("database", address.database.as_str()),
            ("client_encoding", "UTF8"),
        ];
        self.send(|out| frontend::startup_message(parameters, out))?;
        let mut scram =
            ScramSha256::new(address.password.as_bytes(), ChannelBinding::unsupported());
        loop {
            match self.receive()? {
                Message::AuthenticationSasl(_) => {
                    self.send(|out| {
                        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out)
                    })?;
                }
                Message::AuthenticationSaslContinue(body) => {
                    scram.update(body.data()).map_err(|e| Failure::lost(&e))?;
                    self.send(|out| frontend::sasl_response(scram.message(), out))?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.finish(body.data()).map_err(|e| Failure::lost(&e))?;
                }
                Message::ErrorResponse(body) => {
                    return Err(Failure::read(body.fields()).map_err(|e| Failure::lost(&e))?);
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Runs one statement text and waits until the server is ready again. Of several statements in the text,
    /// the last answer.
    pub(crate) fn run(&mut self, sql: &str) -> Result<Answer, Failure> {
        match self.way {
            Way::Simple => self.send(|out| frontend::query(sql, out))?,
            Way::Extended => self.send(|out| {
                frontend::parse("", sql, [], out)?;
                let none = std::iter::empty::<i16>();
                frontend::bind(
                    "",
                    "",
                    none.clone(),
                    none.clone(),
                    |_: i16, _| unreachable!(),
                    none,
                    out,
                )
                .map_err(|_| io::Error::other("bind"))?;
                frontend::describe(b'P', "", out)?;
                frontend::execute("", 0, out)?;
                frontend::sync(out);
                Ok(())
            })?,
        }
        self.collect()
    }

    fn collect(&mut self) -> Result<Answer, Failure> {
        let lost = |e: io::Error| Failure::lost(&e);
        let mut answer = Answer::default();
        let mut failure = None;
        loop {
            match self.receive()? {
                Message::RowDescription(body) => {
                    let columns = body
                        .fields()
                        .map(|f| Ok(Column { name: f.name().to_owned(), type_oid: f.type_oid() }))
                        .collect()
                        .map_err(lost)?;
                    answer = Answer { columns: Some(columns), ..Answer::default() };
                }
                Message::DataRow(body) => {
                    let row = body
                        .ranges()
                        .map(|range| {
                            Ok(range
                                .map(|r| String::from_utf8_lossy(&body.buffer()[r]).into_owned()))
                        })
                        .collect()
                        .map_err(lost)?;
                    answer.rows.push(row);
                }
                Message::CommandComplete(body) => {
                    answer.tag = body.tag().map_err(lost)?.to_owned();
                }
                Message::NoticeResponse(body) => {
                    answer.notices.push(Failure::read(body.fields()).map_err(lost)?);
                }
                Message::CopyInResponse(_) => {
                    self.send(|out| frontend::copy_fail("this client has no rows to copy", out))?;
                }
                Message::ErrorResponse(body) => {
                    failure = Some(Failure::read(body.fields()).map_err(lost)?);
                }
                Message::ReadyForQuery(_) => return failure.map_or(Ok(answer), Err),
                _ => {}
            }
        }
    }

    /// Sends what `write` puts into the buffer.
    pub(crate) fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        write(&mut out).and_then(|()| self.socket.write_all(&out)).map_err(|e| Failure::lost(&e))
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) =
                Message::parse(&mut self.buffer).map_err(|e| Failure::lost(&e))?
            {
                return Ok(message);
            }
            let mut chunk = [0; 16 * 1024];
            let n = self.socket.read(&mut chunk).map_err(|e| Failure::lost(&e))?;
            if n == 0 {
                return Err(Failure::lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    /// Reads and forgets what has come, at most for this long.
    pub(crate) fn drain(&mut self, time: Duration) {
        let mut chunk = [0; 16 * 1024];
        if self.socket.set_read_timeout(Some(time)).is_ok() {
            while matches!(self.socket.read(&mut chunk), Ok(n) if n > 0) {}
        }
    }

    /// Says that nothing more will come; the socket, to read the rest from.
    pub(crate) fn hang_up(&mut self) -> &mut TcpStream {
        drop(self.socket.shutdown(Shutdown::Write));
        &mut self.socket
    }
}
