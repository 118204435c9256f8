//! What a session is doing, for others to see: `pg_stat_activity`, and what it keeps by name.

use std::net::SocketAddr;
use std::sync::Arc;

/// What a session is doing.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    /// `active`, `idle`, `idle in transaction`, …
    pub(crate) state: &'static str,
    /// The text that runs, or ran last.
    pub(crate) query: Arc<str>,
    /// µs since 1970 UTC, as all times here.
    pub(crate) began: i64,
    pub(crate) query_began: Option<i64>,
    pub(crate) transaction_began: Option<i64>,
    pub(crate) state_changed: i64,
    pub(crate) client: Option<SocketAddr>,
}

impl Activity {
    pub(crate) fn new(now: i64) -> Self {
        Self {
            state: "idle",
            query: Arc::from(""),
            began: now,
            query_began: None,
            transaction_began: None,
            state_changed: now,
            client: None,
        }
    }
}

/// A prepared statement as `pg_prepared_statements` shows it.
#[derive(Clone, Debug)]
pub(crate) struct PreparedNote {
    pub(crate) statement: String,
    pub(crate) time: i64,
    pub(crate) parameters: Vec<u32>,
    /// By PREPARE rather than by the protocol.
    pub(crate) from_sql: bool,
}

/// A cursor as `pg_cursors` shows it.
#[derive(Clone, Debug)]
pub(crate) struct CursorNote {
    pub(crate) statement: String,
    pub(crate) hold: bool,
    pub(crate) scroll: bool,
    pub(crate) time: i64,
}
