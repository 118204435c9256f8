//! What can go wrong for a client, and how each kind is told: one exhaustive match from [`enum@Error`] to
//! the fields of PostgreSQL's ErrorResponse. It doesn't know the wire.

mod fault;
mod planner;
#[cfg(test)]
mod tests;

use ledger::Refusal;
use thiserror::Error;

/// Why a statement did not do what it was asked to.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The rules of the ledger refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// 42601
    #[error("{message}")]
    Syntax {
        /// PostgreSQL's message (`syntax error at or near "x"`).
        message: String,
        /// Where in the client's text: characters, from 1.
        position: Option<usize>,
    },
    /// 0A000: what Stele doesn't do.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// 42P01
    #[error("relation \"{name}\" does not exist")]
    UndefinedTable {
        /// As it was written.
        name: String,
        /// Where in the client's text: characters, from 1.
        position: Option<usize>,
    },
    /// 42703
    #[error("{message}")]
    UndefinedColumn {
        /// `column "x" does not exist`, `column "x" of relation "t" does not exist`
        message: String,
        /// Where in the client's text: characters, from 1.
        position: Option<usize>,
    },
    /// 42704, 3F000, 26000, 34000, …: something else that isn't there.
    #[error("{kind} \"{name}\" does not exist")]
    Undefined {
        /// `schema`, `role`, `index`, `prepared statement`, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// 42P07, 42P06, 42710, 42701, 42P05, 42P03: it is there already.
    #[error("{kind} \"{name}\" already exists")]
    Exists {
        /// `relation`, `schema`, `role`, `prepared statement`, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// 42501
    #[error("permission denied for {kind} {name}")]
    Denied {
        /// `table`, `schema`, `sequence`, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// 25P02
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    Aborted,
    /// 25006
    #[error("cannot execute {command} in a read-only transaction")]
    ReadOnly {
        /// The command's tag: `INSERT`, `CREATE TABLE`, …
        command: String,
    },
    /// 40001
    #[error("{message}")]
    Serialization {
        /// PostgreSQL's message.
        message: String,
        /// More, if there is more.
        detail: Option<String>,
    },
    /// 40P01
    #[error("deadlock detected")]
    Deadlock,
    /// 55P03
    #[error("{message}")]
    LockNotAvailable {
        /// `could not obtain lock on row in relation "t"`, `canceling statement due to lock timeout`
        message: String,
    },
    /// 57014
    #[error("canceling statement due to {reason}")]
    Cancelled {
        /// Who or what asked for it.
        reason: CancelReason,
    },
    /// 08007: the commit was handed in, and what became of it isn't known.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown,
    /// 53300: too much is asked of the node at once.
    #[error("the node is too busy to take the transaction")]
    Busy,
    /// 57P01
    #[error("terminating connection due to administrator command")]
    ShuttingDown,
    /// This node's own fault: disk, damage. 58030 or XX001.
    #[error("{message}")]
    Fault {
        /// What happened.
        message: String,
        /// Stored data are damaged, rather than out of reach.
        corrupted: bool,
    },
    /// XX000: our own mistake.
    #[error("internal error: {message}")]
    Internal {
        /// What was found to be impossible.
        message: String,
    },
    /// Any other, with all its fields.
    #[error("{}", .0.message)]
    Other(Box<Report>),
}

/// Why a statement was given up (57014).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CancelReason {
    /// The client's CancelRequest.
    #[error("user request")]
    User,
    /// `statement_timeout`
    #[error("statement timeout")]
    StatementTimeout,
}

/// The fields of an ErrorResponse or a NoticeResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `ERROR`, `FATAL`, `WARNING`, `NOTICE`, …
    pub severity: &'static str,
    /// Five characters.
    pub sqlstate: String,
    /// The message, one line.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the client's text: characters, from 1.
    pub position: Option<usize>,
    /// The schema it is about.
    pub schema: Option<String>,
    /// The table it is about.
    pub table: Option<String>,
    /// The column it is about.
    pub column: Option<String>,
    /// The constraint it is about.
    pub constraint: Option<String>,
    /// The data type it is about.
    pub datatype: Option<String>,
    /// The routine that drivers look at (`RevalidateCachedQuery`).
    pub routine: Option<&'static str>,
}

/// A message beside a statement's result (NoticeResponse).
pub type Notice = Report;

impl Report {
    /// An error of this SQLSTATE and message.
    pub fn error(sqlstate: &str, message: impl Into<String>) -> Self {
        Self {
            severity: "ERROR",
            sqlstate: sqlstate.to_string(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            datatype: None,
            routine: None,
        }
    }

    /// A notice, `00000`.
    pub fn notice(message: impl Into<String>) -> Self {
        Self { severity: "NOTICE", ..Self::error("00000", message) }
    }

    /// A warning of this SQLSTATE.
    pub fn warning(sqlstate: &str, message: impl Into<String>) -> Self {
        Self { severity: "WARNING", ..Self::error(sqlstate, message) }
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Self::Other(Box::new(report))
    }
}

impl Error {
    /// An error of this SQLSTATE and message, without more fields.
    pub fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Report::error(sqlstate, message).into()
    }

    /// The same with a detail.
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Report { detail: Some(detail.into()), ..self.report() }.into()
    }

    /// The same with a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Report { hint: Some(hint.into()), ..self.report() }.into()
    }

    /// The same with a position: characters of the client's text, from 1.
    pub fn at(self, position: Option<usize>) -> Self {
        match position {
            Some(_) => Report { position, ..self.report() }.into(),
            None => self,
        }
    }

    /// 0A000.
    pub fn unsupported(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), hint: hint.into() }
    }

    /// XX000.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into() }
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> String {
        self.report().sqlstate
    }

    /// The fields to tell a client.
    pub fn report(&self) -> Report {
        let plain = |sqlstate: &str| Report::error(sqlstate, self.to_string());
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Syntax { position, .. } => Report { position: *position, ..plain("42601") },
            Self::Unsupported { hint, .. } => Report { hint: Some(hint.clone()), ..plain("0A000") },
            Self::UndefinedTable { position, .. } => {
                Report { position: *position, ..plain("42P01") }
            }
            Self::UndefinedColumn { position, .. } => {
                Report { position: *position, ..plain("42703") }
            }
            Self::Undefined { kind, .. } => plain(undefined_state(kind)),
            Self::Exists { kind, .. } => plain(exists_state(kind)),
            Self::Denied { .. } => plain("42501"),
            Self::Aborted => plain("25P02"),
            Self::ReadOnly { .. } => plain("25006"),
            Self::Serialization { detail, .. } => {
                Report { detail: detail.clone(), ..plain("40001") }
            }
            Self::Deadlock => Report {
                hint: Some("Run the transaction again.".to_string()),
                ..plain("40P01")
            },
            Self::LockNotAvailable { .. } => plain("55P03"),
            Self::Cancelled { .. } => plain("57014"),
            Self::OutcomeUnknown => Report {
                hint: Some(
                    "The transaction may or may not be in the chain. A retry with the same ledger.idempotency_key is safe."
                        .to_string(),
                ),
                ..plain("08007")
            },
            Self::Busy => plain("53300"),
            Self::ShuttingDown => Report { severity: "FATAL", ..plain("57P01") },
            Self::Fault { corrupted: true, .. } => plain("XX001"),
            Self::Fault { corrupted: false, .. } => plain("58030"),
            Self::Internal { .. } => plain("XX000"),
            Self::Other(report) => (**report).clone(),
        }
    }
}

fn undefined_state(kind: &str) -> &'static str {
    match kind {
        "schema" => "3F000",
        "prepared statement" => "26000",
        "cursor" | "portal" => "34000",
        "savepoint" => "3B001",
        "database" => "3D000",
        "table" | "relation" | "view" | "sequence" => "42P01",
        _ => "42704",
    }
}

fn exists_state(kind: &str) -> &'static str {
    match kind {
        "relation" | "table" | "view" | "sequence" => "42P07",
        "schema" => "42P06",
        "column" => "42701",
        "prepared statement" => "42P05",
        "cursor" | "portal" => "42P03",
        "database" => "42P04",
        _ => "42710",
    }
}

/// A refusal of the ledger's rules, with the names that it carries.
fn refused(refusal: &Refusal) -> Report {
    let plain = |sqlstate: &str| Report::error(sqlstate, refusal.to_string());
    let some = |text: &String| Some(text.clone());
    match refusal {
        Refusal::Duplicate { schema, table, constraint, detail } => Report {
            detail: some(detail),
            schema: some(schema),
            table: some(table),
            constraint: some(constraint),
            ..plain("23505")
        },
        Refusal::NotNull { schema, table, column, detail } => Report {
            detail: some(detail),
            schema: some(schema),
            table: some(table),
            column: some(column),
            ..plain("23502")
        },
        Refusal::Check { schema, table, constraint, detail } => Report {
            detail: some(detail),
            schema: some(schema),
            table: some(table),
            constraint: some(constraint),
            ..plain("23514")
        },
        Refusal::NoParent { schema, table, constraint, detail }
        | Refusal::HasChildren { schema, table, constraint, detail, .. } => Report {
            detail: some(detail),
            schema: some(schema),
            table: some(table),
            constraint: some(constraint),
            ..plain("23503")
        },
        Refusal::AppendOnly { table } => Report {
            hint: Some(format!(
                "Table \"{table}\" takes INSERT only: write a row that corrects the first."
            )),
            table: some(table),
            ..plain("55000")
        },
        Refusal::Superseded { .. } => plain("40001"),
        Refusal::SchemaChanged { detail } => Report { detail: some(detail), ..plain("40001") },
        Refusal::Data { sqlstate, .. } | Refusal::Definition { sqlstate, .. } => plain(sqlstate),
        Refusal::Privilege { .. } => plain("42501"),
        Refusal::Malformed { .. } => plain("XX000"),
        // `Refusal` may grow: a kind that isn't known here is told by its message.
        _ => plain("XX000"),
    }
}
