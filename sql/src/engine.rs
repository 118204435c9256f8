//! What all sessions of a node share: the state, the way into the chain, sequences' leases, memory for
//! queries. It knows no connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use datafusion::execution::runtime_env::RuntimeEnv;
use ledger::Oid;
use ledger::catalog::Privilege;
use parking_lot::Mutex;
use storage::{Clock, Order, State};

use crate::privileges::may;
use crate::read::Extension;
use crate::sequence::Sequences;
use crate::session::Session;
use crate::shared::SessionShared;
use crate::{Error, Settings};

/// A node's bounds for SQL.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What `server_version` shows.
    pub version: String,
    /// Memory that all queries share, in bytes; past it 53200.
    pub query_memory: usize,
    /// Where they put aside what doesn't fit; without it, what doesn't fit fails.
    pub spill: Option<crate::memory::Spill>,
    /// Operations of one transaction; past it 54000.
    pub transaction_operations: usize,
    /// Bytes of rows of one transaction; past it 54000.
    pub transaction_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            version: "15.8 (Stele 0.1.0)".to_string(),
            query_memory: 512 << 20,
            spill: None,
            transaction_operations: 10_000_000,
            transaction_bytes: 1 << 30,
        }
    }
}

/// Executes statements for all sessions of a node.
pub struct Engine {
    pub(crate) state: Arc<State>,
    pub(crate) order: Arc<dyn Order>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: EngineConfig,
    pub(crate) sequences: Sequences,
    pub(crate) memory: Arc<RuntimeEnv>,
    /// Relations and functions beside the ledger's own tables.
    pub(crate) extensions: Arc<[Arc<dyn Extension>]>,
    /// SERIALIZABLE transactions that write commit one after the other.
    pub(crate) serial: tokio::sync::Mutex<()>,
    sessions: AtomicU32,
    /// The sessions that are open, by number.
    open: Mutex<BTreeMap<u32, Weak<SessionShared>>>,
    transactions: AtomicI64,
    temporary: AtomicU32,
    /// When the engine began, µs since 1970 UTC.
    pub(crate) started_us: i64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What queries may name beside the ledger's own tables and the built-in functions.
fn extensions() -> Arc<[Arc<dyn Extension>]> {
    let sequences = crate::sequence::functions::SequenceFunctions::new();
    Arc::from(vec![
        Arc::new(sequences) as Arc<dyn Extension>,
        Arc::new(crate::shared::functions::SessionFunctions::new()),
        Arc::new(crate::catalog::Catalogs) as Arc<dyn Extension>,
    ])
}

impl Engine {
    /// An engine over a state, whose writes go through `order`.
    ///
    /// # Errors
    /// When the memory for queries can't be set aside.
    pub fn new(
        state: Arc<State>,
        order: Arc<dyn Order>,
        clock: Arc<dyn Clock>,
        config: EngineConfig,
    ) -> Result<Arc<Self>, Error> {
        let memory = crate::memory::query_memory(config.query_memory, config.spill.as_ref())?;
        let started_us = clock.now_us();
        Ok(Arc::new(Self {
            state,
            order,
            clock,
            config,
            sequences: Sequences::default(),
            memory,
            extensions: extensions(),
            serial: tokio::sync::Mutex::new(()),
            sessions: AtomicU32::new(1),
            open: Mutex::new(BTreeMap::new()),
            transactions: AtomicI64::new(0),
            temporary: AtomicU32::new(Oid::FIRST_TEMPORARY.0),
            started_us,
        }))
    }

    /// A session for a user who has proven who it is, with the settings that the connection asks for.
    ///
    /// # Errors
    /// 28000 when the user is unknown or may not log in; what SET says of the settings.
    pub fn session(
        self: &Arc<Self>,
        user: &str,
        settings: Vec<(String, String)>,
    ) -> Result<Session, Error> {
        let snapshot = self.state.snapshot();
        let catalog = snapshot.catalog();
        let role = catalog.find_role(user).and_then(|oid| Some((oid, catalog.role(oid)?)));
        let Some((oid, role)) = role else {
            return Err(Error::new("28000", format!("role \"{user}\" does not exist")));
        };
        if !role.login {
            return Err(Error::new("28000", format!("role \"{user}\" is not permitted to log in")));
        }
        if !may(catalog, oid, Oid::DATABASE, Privilege::Connect) {
            let name = catalog.database(Oid::DATABASE).map_or("", |database| &database.name);
            return Err(Error::new("42501", format!("permission denied for database \"{name}\""))
                .with_detail("User does not have CONNECT privilege."));
        }
        let mut all = Settings::new(user, role.superuser, &self.config.version);
        for (name, value) in settings {
            all.start_with(&name, &value)?;
        }
        if let Some(point) = all.as_of() {
            crate::as_of::snapshot(&self.state, point, all.time_zone(), self.clock.now_us())?;
        }
        let mut session = Session::new(Arc::clone(self), oid, user, all);
        session.note_role();
        Ok(session)
    }

    /// The state that sessions read.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(crate) fn next_session(&self) -> u32 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets others find a session.
    pub(crate) fn note_session(&self, session: &Arc<SessionShared>) {
        self.open.lock().insert(session.number, Arc::downgrade(session));
    }

    pub(crate) fn forget_session(&self, number: u32) {
        self.open.lock().remove(&number);
    }

    /// The sessions that are open, by number.
    pub(crate) fn open_sessions(&self) -> Vec<Arc<SessionShared>> {
        self.open.lock().values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn find_session(&self, number: u32) -> Option<Arc<SessionShared>> {
        self.open.lock().get(&number).and_then(Weak::upgrade)
    }

    /// A number for a temporary object. They go round when they are used up: a billion later nothing of the
    /// first ones is left.
    pub(crate) fn next_temporary(&self) -> Oid {
        let next = self.temporary.fetch_add(1, Ordering::Relaxed);
        Oid(Oid::FIRST_TEMPORARY.0 | next)
    }

    /// A number that no other transaction of this node has, also after a restart: at least the clock's.
    pub(crate) fn next_transaction_number(&self) -> i64 {
        let now = self.clock.now_us();
        let before = self
            .transactions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        before.map_or(now, |last| now.max(last + 1))
    }
}
