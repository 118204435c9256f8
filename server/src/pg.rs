//! The PostgreSQL door: accepts connections, bounds them, opens a session on each. It knows no SQL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ledger::Oid;
use ledger::catalog::Role;
use storage::State;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub mod auth;
mod copy;
mod decode;
mod encode;
mod error;
mod message;
mod portal;
mod reply;
mod session;
mod sessions;
mod startup;
#[cfg(test)]
mod tests;
pub mod tls;
mod types;
mod wire;

use error::Problem;
use session::Session;
use sessions::{Place, Sessions};
use startup::{Opening, Secured, Startup};
use wire::ReadError;

/// What bounds clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions open at once; the last few are for superusers.
    pub sessions: usize,
    /// Bytes of one message.
    pub message: usize,
    /// From the connection to the end of the login.
    pub login: Duration,
    /// Between two statements outside a transaction; none is no limit.
    pub idle: Option<Duration>,
    /// Sessions only over TLS.
    pub require_tls: bool,
}

/// The sessions that only superusers may take, so that an operator gets in when all others are taken.
const RESERVED: usize = 3;

/// Messages of the largest size that are read at once; more wait for nobody and are refused.
const LARGE_MESSAGES: usize = 8;

/// Connections that are not sessions yet (TLS, login, cancel requests), beside those that are.
const OPENING: usize = 256;

/// How far the server is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Running,
    /// The other nodes took this one out of the chain: what it has grows old, and nobody may take it for the present.
    Removed,
    /// Idle sessions end; busy ones end after what they do.
    Draining,
}

/// What all connections share.
pub struct Shared {
    /// Makes sessions.
    pub engine: Arc<sql::Engine>,
    /// Where roles are looked up.
    pub state: Arc<State>,
    /// TLS, always there.
    pub tls: TlsAcceptor,
    /// What bounds clients.
    pub limits: Limits,
    /// Makes the login's answers for roles that don't exist.
    pub secret: [u8; 32],
    sessions: Arc<Sessions>,
    /// What large messages may take together, in KiB.
    messages: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

impl Shared {
    /// For a listener that serves until `phase` says otherwise.
    pub fn new(
        engine: Arc<sql::Engine>,
        state: Arc<State>,
        tls: TlsAcceptor,
        limits: Limits,
        secret: [u8; 32],
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let messages = (limits.message >> 10) * LARGE_MESSAGES;
        Self {
            engine,
            state,
            tls,
            limits,
            secret,
            sessions: Arc::default(),
            messages: Arc::new(Semaphore::new(messages)),
            phase,
        }
    }

    /// The role of this name, as of the newest block.
    fn role(&self, name: &str) -> Option<Role> {
        let catalog = self.state.catalog();
        catalog.role(catalog.find_role(name)?).cloned()
    }

    /// The database's name.
    fn database(&self) -> Option<String> {
        let catalog = self.state.catalog();
        catalog.get(Oid::DATABASE).map(|database| database.name().to_owned())
    }

    /// Why no session may begin now, if so.
    fn closed(&self) -> Option<Problem> {
        match *self.phase.borrow() {
            Phase::Running => None,
            Phase::Removed => {
                let problem = Problem::fatal("57P03", "this node was removed from its chain");
                Some(problem.with_hint("Connect to a node of the chain: ledger.nodes lists them."))
            }
            Phase::Draining => {
                Some(Problem::fatal("57P03", "the database system is shutting down"))
            }
        }
    }
}

/// Accepts connections until the server goes down, then waits for the sessions to end: those still busy
/// after `grace` are asked to stop, and a little later dropped.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, grace: Duration) {
    let mut phase = shared.phase.clone();
    let opening = Arc::new(Semaphore::new(shared.limits.sessions + OPENING));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                // Past the bound a connection is dropped at once: it must not cost memory.
                let Ok(permit) = Arc::clone(&opening).try_acquire_owned() else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    connection(stream, peer, shared).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, as a rule: others must end before it can get better.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    tokio::pin!(all_ended);
    if tokio::time::timeout(grace, &mut all_ended).await.is_err() {
        tracing::warn!(
            sessions = shared.sessions.count(),
            "stopping statements that are still running"
        );
        shared.sessions.cancel_all();
        drop(tokio::time::timeout(Duration::from_secs(5), &mut all_ended).await);
    }
}

/// One connection's life.
async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    drop(stream.set_nodelay(true));
    let mut phase = shared.phase.clone();
    let login = async {
        tokio::select! {
            session = enter(stream, peer, &shared) => session,
            // Who hasn't logged in yet has nothing in progress that a shutdown would wait for.
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => None,
        }
    };
    match tokio::time::timeout(shared.limits.login, login).await {
        Ok(Some(session)) => {
            tracing::debug!(%peer, "session begins");
            Box::pin(session.run()).await;
            tracing::debug!(%peer, "session ends");
        }
        Ok(None) => {}
        Err(_) => tracing::debug!(%peer, "no login in time"),
    }
}

/// Everything before the first statement.
async fn enter(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Option<Session> {
    match startup::open(stream, shared).await {
        Ok(Opening::Cancel { process, secret }) => {
            shared.sessions.cancel(process, &secret);
            None
        }
        Ok(Opening::Session(mut wire, startup)) => match admit(&mut wire, &startup, shared).await {
            Ok((sql, place)) => {
                sql.set_client(peer);
                Session::begin(*wire, sql, place, shared).await
            }
            Err(ReadError::Gone) => None,
            Err(ReadError::Violation(problem)) => {
                let (sqlstate, message) = (&problem.sqlstate, &problem.message);
                tracing::info!(user = %startup.user, %sqlstate, %message, "connection refused");
                reply::problem(&mut wire.output, b'E', &problem);
                wire.close().await;
                None
            }
        },
        Err(_) => None,
    }
}

/// The login, and what a session needs beside it: room, the database, valid settings.
async fn admit(
    wire: &mut Secured,
    startup: &Startup,
    shared: &Arc<Shared>,
) -> Result<(sql::Session, Place), ReadError> {
    let refuse = |problem: Problem| ReadError::Violation(problem.into_fatal());
    startup.answer_version(&mut wire.output);
    startup::log_in(wire, startup, shared).await?;
    if let Some(problem) = shared.closed() {
        return Err(refuse(problem));
    }
    if shared.database().is_none_or(|name| name != startup.database) {
        let message = format!("database \"{}\" does not exist", startup.database);
        return Err(refuse(Problem::fatal("3D000", message)));
    }
    let sql = shared
        .engine
        .session(&startup.user, startup.settings.clone())
        .map_err(|error| refuse(error.into()))?;
    let is_superuser = shared.role(&startup.user).is_some_and(|role| role.superuser);
    let limit = match shared.limits.sessions {
        all if is_superuser => all,
        all => all.saturating_sub(RESERVED).max(1),
    };
    // Protocol 3.0 has room for a key of four bytes only.
    let key_bytes = if startup.long_cancel_keys { 32 } else { 4 };
    match shared.sessions.enter(sql.number(), sql.cancel_token(), key_bytes, limit) {
        Ok(Some(place)) => Ok((sql, place)),
        Ok(None) => Err(refuse(Problem::fatal("53300", "sorry, too many clients already"))),
        Err(error) => Err(refuse(Problem::fatal("XX000", error.to_string()))),
    }
}
