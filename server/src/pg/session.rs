//! One session: reads messages, has statements run, sends answers. It knows no SQL.
//!
//! The order of things is PostgreSQL's: a statement's answer is complete only when its commit is durable, an
//! error skips to the next Sync, portals end with their transaction, and one statement's panic is that
//! statement's error.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sql::settings::Zone;
use sql::{Outcome, Parameter, Prepared, TransactionStatus};
use tokio::sync::watch;

use super::error::{self, Problem};
use super::message::Message;
use super::portal::Portal;
use super::reply::{self, Status};
use super::sessions::Place;
use super::startup::Secured;
use super::wire::{Frame, ReadError, Stream, Wire};
use super::{Phase, Shared};

mod copy;
mod extended;
mod rows;
mod simple;

/// A session, from the end of its login to the end of its connection.
pub(crate) struct Session<S = Box<dyn Stream>> {
    wire: Wire<S>,
    sql: sql::Session,
    place: Place,
    phase: watch::Receiver<Phase>,
    idle: Option<Duration>,
    statements: BTreeMap<String, Arc<Prepared>>,
    portals: BTreeMap<String, Portal>,
    /// After an error in the extended protocol: all is skipped up to Sync.
    skipping: bool,
    /// Where in the output the last Execute's CommandComplete begins, while it can still be taken back.
    commit_mark: Option<usize>,
}

/// Why something was not finished.
pub(crate) enum Stop {
    /// The client is gone.
    Gone,
    /// The statement failed.
    Problem(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<sql::Error> for Stop {
    fn from(error: sql::Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::Gone,
            ReadError::Violation(problem) => Self::Problem(problem),
        }
    }
}

/// How long a statement runs before the server looks whether its client is still there.
const PATIENCE: Duration = Duration::from_millis(200);

impl Session {
    /// Tells the client what it needs to know, and that the session is ready. `None` if it is gone.
    pub(crate) async fn begin(
        mut wire: Secured,
        mut sql: sql::Session,
        place: Place,
        shared: &Arc<Shared>,
    ) -> Option<Self> {
        wire.set_limits(shared.limits.message, Arc::clone(&shared.messages));
        for (name, value) in sql.settings().reported() {
            reply::parameter_status(&mut wire.output, &name, &value);
        }
        drop(sql.take_changed_parameters());
        reply::backend_key(&mut wire.output, place.process, &place.secret);
        let mut session = Self::new(wire, sql, place, shared.phase.clone(), shared.limits.idle);
        session.ready().await.ok()?;
        Some(session)
    }
}

impl<S: Stream> Session<S> {
    /// A session over any stream; nothing is sent yet.
    pub(crate) fn new(
        wire: Wire<S>,
        sql: sql::Session,
        place: Place,
        phase: watch::Receiver<Phase>,
        idle: Option<Duration>,
    ) -> Self {
        Self {
            wire,
            sql,
            place,
            phase,
            idle,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            skipping: false,
            commit_mark: None,
        }
    }

    /// Serves the client until it leaves, breaks the protocol, or the server goes down.
    pub(crate) async fn run(mut self) {
        loop {
            let stop = match self.next().await {
                Ok(frame) => match self.handle(frame).await {
                    Ok(true) => continue,
                    Ok(false) => break,
                    Err(stop) => stop,
                },
                Err(stop) => stop,
            };
            if let Stop::Problem(problem) = stop {
                reply::problem(&mut self.wire.output, b'E', &problem.into_fatal());
            }
            break;
        }
        self.wire.close().await;
    }

    /// The next message, or why there will be none: the client is gone or idle for too long, or the server
    /// goes down.
    async fn next(&mut self) -> Result<Frame, Stop> {
        if let Some(frame) = self.wire.buffered_frame()? {
            return Ok(frame);
        }
        let (idle, problem) = match self.sql.status() {
            TransactionStatus::Idle => (
                self.sql.settings().idle_timeout().or(self.idle),
                Problem::fatal("57P05", "terminating connection due to idle-session timeout"),
            ),
            _ => (
                self.sql.settings().idle_in_transaction_timeout(),
                Problem::fatal(
                    "25P03",
                    "terminating connection due to idle-in-transaction timeout",
                ),
            ),
        };
        let end = self.sql.end_token();
        tokio::select! {
            biased;
            () = end.asked() => {
                Err(Problem::fatal("57P01", "terminating connection due to administrator command").into())
            }
            frame = self.wire.frame() => Ok(frame?),
            _ = self.phase.wait_for(|phase| *phase != Phase::Running) => {
                Err(Problem::fatal("57P01", "terminating connection due to administrator command").into())
            }
            () = after(idle) => Err(problem.into()),
        }
    }

    /// Does what one message asks; `false` ends the session.
    async fn handle(&mut self, frame: Frame) -> Result<bool, Stop> {
        if self.skipping && !matches!(frame.kind, b'S' | b'X') {
            return Ok(true);
        }
        let is_extended = Message::is_extended(frame.kind);
        let Frame { kind, body, held: _held } = frame;
        let done = match Message::decode(kind, body) {
            Err(problem) if problem.is_fatal() => return Err(problem.into()),
            Err(problem) => Err(problem.into()),
            Ok(Message::Query(text)) => return self.simple(&text).await.map(|()| true),
            Ok(Message::Sync) => return self.sync().await.map(|()| true),
            Ok(Message::Parse(parse)) => self.parse(parse).await,
            Ok(Message::Bind(bind)) => self.bind(bind),
            Ok(Message::Describe(target)) => self.describe(&target),
            Ok(Message::Execute { portal, max_rows }) => self.run_portal(&portal, max_rows).await,
            Ok(Message::Close(target)) => self.close(&target),
            Ok(Message::Flush) => self.flush().await,
            Ok(Message::Terminate) => return Ok(false),
            // What is left of a COPY that failed.
            Ok(Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_)) => Ok(()),
            Ok(Message::FunctionCall) => {
                Err(Problem::error("0A000", "function calls by message are not supported")
                    .with_hint("Call the function in a SELECT.")
                    .into())
            }
            Ok(Message::Password(_)) => {
                return Err(Problem::fatal("08P01", "unexpected password message").into());
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(Stop::Gone) => Err(Stop::Gone),
            Err(Stop::Problem(problem)) => {
                self.failed(&problem);
                if is_extended {
                    self.skipping = true;
                    self.flush().await?;
                } else {
                    self.ready().await?;
                }
                Ok(true)
            }
        }
    }

    /// Tells the client of an error, and the transaction that it failed.
    fn failed(&mut self, problem: &Problem) {
        tracing::debug!(sqlstate = %problem.sqlstate, message = %problem.message, "statement failed");
        self.notices();
        self.sql.fail();
        reply::problem(&mut self.wire.output, b'E', problem);
        self.commit_mark = None;
    }

    /// Ends the answer to a query or a pipeline, and writes it.
    async fn ready(&mut self) -> Result<(), Stop> {
        self.notices();
        for (name, value) in self.sql.take_changed_parameters() {
            reply::parameter_status(&mut self.wire.output, &name, &value);
        }
        let status = match self.sql.status() {
            TransactionStatus::Idle => Status::Idle,
            TransactionStatus::Active => Status::Active,
            TransactionStatus::Failed => Status::Failed,
        };
        if status == Status::Idle {
            self.portals.clear();
        }
        reply::ready(&mut self.wire.output, status);
        self.flush().await
    }

    /// Writes the answers collected so far.
    async fn flush(&mut self) -> Result<(), Stop> {
        self.commit_mark = None;
        Ok(self.wire.flush().await?)
    }

    /// Writes the answers if there are many.
    async fn flush_if_full(&mut self) -> Result<(), Stop> {
        if self.wire.output.len() >= super::wire::FULL { self.flush().await } else { Ok(()) }
    }

    fn notices(&mut self) {
        for notice in self.sql.take_notices() {
            reply::problem(&mut self.wire.output, b'N', &notice.into());
        }
    }

    fn zone(&self) -> Zone {
        self.sql.settings().time_zone()
    }

    /// Prepares one statement.
    async fn prepare(
        &mut self,
        statement: sql::Statement,
        parameter_oids: &[u32],
    ) -> Result<Prepared, Stop> {
        guarded(self.sql.prepare(statement, parameter_oids)).await
    }

    /// Runs a statement. Should the client go away meanwhile, the statement is asked to stop, but it is never
    /// dropped: a commit that was handed in has an outcome.
    async fn execute(
        &mut self,
        prepared: &Prepared,
        parameters: Vec<Parameter>,
    ) -> Result<Outcome, Stop> {
        let Self { wire, sql, place, .. } = self;
        place.cancel.begin();
        let mut work = Box::pin(guarded(sql.execute(prepared, parameters)));
        let gone = async {
            tokio::time::sleep(PATIENCE).await;
            wire.gone().await;
        };
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            () = gone => {}
        }
        place.cancel.stop();
        work.await
    }

    /// Commits the implicit transaction, if there is one.
    async fn commit(&mut self) -> Result<(), Stop> {
        guarded(self.sql.finish_implicit()).await
    }
}

/// Waits so long, or for ever.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// A statement's panic is its error.
async fn guarded<T>(work: impl Future<Output = Result<T, sql::Error>>) -> Result<T, Stop> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(error::of_panic(panic.as_ref()).into()),
    }
}
