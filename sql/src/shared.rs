//! What functions within a query may reach of their session: settings, sequences, who it is.

pub(crate) mod activity;
pub(crate) mod advisory;
pub(crate) mod functions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ledger::catalog::Sequence;
use ledger::{Oid, PublicKey, TransactionId};
use parking_lot::Mutex;
use storage::{LockOwner, NodeChange, Reign, SubmitError, Wait};
use tokio::time::Instant;

use crate::cancel::{Bounds, CancelToken};
use crate::engine::Engine;
use crate::error::Notice;
use crate::sequence::{self, Asker};
use crate::settings::Scope;
use crate::{Error, Settings};
use activity::{Activity, CursorNote, PreparedNote};
use advisory::{Advisory, How, Key};

/// A session's side that outlives each statement: functions find it in the query's context.
pub struct SessionShared {
    pub(crate) engine: Arc<Engine>,
    /// This session's number in the node (`pg_backend_pid`).
    pub number: u32,
    /// Who logged in.
    pub(crate) login: Oid,
    /// Stops what the session executes.
    pub(crate) cancel: CancelToken,
    /// Ends the session.
    pub(crate) end: CancelToken,
    state: Mutex<State>,
}

/// What changes.
struct State {
    settings: Settings,
    user: String,
    /// Values that nextval gave in this session, for currval.
    values: BTreeMap<Oid, i64>,
    last: Option<Oid>,
    /// Sequences that only the session's own transaction sees.
    own: BTreeMap<Oid, Sequence>,
    /// Whether the transaction may write.
    read_only: bool,
    /// The locks of the transaction that runs.
    transaction: Option<LockOwner>,
    /// `txid_current()`, once it was asked for.
    transaction_number: Option<i64>,
    /// The number of the transaction that runs: of one that is in the chain already, or once it was asked for.
    own_transaction: Option<TransactionId>,
    /// Whether the transaction that runs has a statement that writes.
    writes: bool,
    /// Under which lead it counts.
    reign: Option<Reign>,
    /// The last transaction that was committed with writes.
    last_transaction: Option<TransactionId>,
    advisory: Advisory,
    bounds: Bounds,
    notices: Vec<Notice>,
    activity: Activity,
    prepared: BTreeMap<String, PreparedNote>,
    cursors: BTreeMap<String, CursorNote>,
}

impl std::fmt::Debug for SessionShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionShared").field("number", &self.number).finish_non_exhaustive()
    }
}

impl SessionShared {
    pub(crate) fn new(
        engine: Arc<Engine>,
        number: u32,
        (login, user): (Oid, &str),
        settings: Settings,
    ) -> Self {
        let cancel = CancelToken::new();
        let state = State {
            transaction: None,
            transaction_number: None,
            own_transaction: None,
            reign: None,
            writes: false,
            last_transaction: None,
            advisory: Advisory::new(engine.state.locks().owner()),
            bounds: Bounds::new(cancel.clone(), None),
            notices: Vec::new(),
            activity: Activity::new(engine.clock.now_us()),
            prepared: BTreeMap::new(),
            cursors: BTreeMap::new(),
            settings,
            user: user.to_string(),
            values: BTreeMap::new(),
            last: None,
            own: BTreeMap::new(),
            read_only: false,
        };
        let end = CancelToken::new();
        Self { engine, number, login, cancel, end, state: Mutex::new(state) }
    }

    /// A statement begins: what it may not exceed.
    pub(crate) fn begin_statement(&self, bounds: Bounds, text: &Arc<str>) {
        let now = self.engine.clock.now_us();
        let mut state = self.state.lock();
        state.bounds = bounds;
        state.activity.query = Arc::clone(text);
        state.activity.state = "active";
        state.activity.query_began = Some(now);
        state.activity.state_changed = now;
    }

    /// The session waits for its client.
    pub(crate) fn note_state(&self, name: &'static str) {
        let mut state = self.state.lock();
        if state.activity.state != name {
            state.activity.state = name;
            state.activity.state_changed = self.engine.clock.now_us();
        }
    }

    /// A transaction begins.
    pub(crate) fn begin_transaction(&self, owner: LockOwner, began_us: i64) {
        let mut state = self.state.lock();
        state.transaction = Some(owner);
        state.activity.transaction_began = Some(began_us);
        if !state.advisory.is_empty() {
            self.engine.state.locks().relate(owner, state.advisory.owner());
        }
    }

    /// The transaction is over, and what was locked until then is free.
    pub(crate) fn end_transaction(&self) {
        let mut state = self.state.lock();
        state.own.retain(|oid, _| oid.is_temporary());
        state.read_only = false;
        state.transaction = None;
        state.transaction_number = None;
        state.own_transaction = None;
        state.reign = None;
        state.writes = false;
        state.activity.transaction_began = None;
        state.advisory.end_transaction(self.engine.state.locks());
    }

    /// The transaction's advisory locks.
    pub(crate) fn advisory_mark(&self) -> advisory::Mark {
        self.state.lock().advisory.mark()
    }

    /// Back to a savepoint.
    pub(crate) fn advisory_rollback_to(&self, mark: &advisory::Mark) {
        self.state.lock().advisory.rollback_to(self.engine.state.locks(), mark);
    }

    /// `pg_advisory_lock` and its kin; `false` when it isn't free and `wait` is off.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014, 53200.
    pub(crate) fn lock_advisory(&self, key: Key, how: How, waits: bool) -> Result<bool, Error> {
        self.need_leader("an advisory lock")?;
        let locks = self.engine.state.locks();
        let (owner, bounds, limit) = {
            let state = self.state.lock();
            state.advisory.need_room(key)?;
            if let Some(transaction) = state.transaction {
                locks.relate(transaction, state.advisory.owner());
            }
            (state.advisory.owner(), state.bounds.clone(), state.settings.lock_timeout())
        };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let wait = if waits { Wait::Until(deadline) } else { Wait::NoWait };
        let given = block_on(bounds.within(advisory::acquire(locks, owner, key, how, wait)))?;
        if given {
            self.state.lock().advisory.note(key, how);
        }
        Ok(given)
    }

    /// Locks that are asked for are kept in the memory of the node that leads.
    ///
    /// The transaction then counts only while it goes on leading.
    ///
    /// # Errors
    /// 0A000 on any other node, 40001 when another led since the transaction began.
    pub(crate) fn need_leader(&self, what: &str) -> Result<(), Error> {
        if let Some(reign) = self.engine.order.reign() {
            let mut state = self.state.lock();
            return match *state.reign.get_or_insert(reign) == reign {
                true => Ok(()),
                false => Err(SubmitError::NotLeading { leader: None }.into()),
            };
        }
        Err(Error::unsupported(
            format!("{what} on a node that does not lead its chain"),
            "Connect to the node that leads (targetServerType=primary, target_session_attrs=primary).",
        ))
    }

    /// The lead under which the transaction that runs counts, if it asked for what only a leader can give.
    pub(crate) fn reign(&self) -> Option<Reign> {
        self.state.lock().reign
    }

    /// `pg_advisory_unlock`: `false`, with a warning, when the session doesn't hold it.
    pub(crate) fn unlock_advisory(&self, key: Key, shared: bool) -> bool {
        let mut state = self.state.lock();
        let held = state.advisory.unlock(self.engine.state.locks(), key, shared);
        if !held {
            let mode = if shared { "ShareLock" } else { "ExclusiveLock" };
            let message = format!("you don't own a lock of type {mode}");
            state.notices.push(crate::Report::warning("01000", message));
        }
        held
    }

    /// `pg_advisory_unlock_all`
    pub(crate) fn unlock_all_advisory(&self) {
        self.state.lock().advisory.unlock_all(self.engine.state.locks());
    }

    /// Waits for something within a function of a query, as long as the statement may run.
    ///
    /// # Errors
    /// 57014; what is waited for.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let bounds = self.state.lock().bounds.clone();
        block_on(bounds.within(work))
    }

    /// Changes the nodes that keep the chain; refused, or not known.
    ///
    /// # Errors
    /// 57014.
    pub(crate) fn change_nodes(
        &self,
        change: &NodeChange,
    ) -> Result<Result<u64, storage::Refused>, Error> {
        self.wait(async { Ok(self.engine.order.change_nodes(change.clone()).await) })
    }

    /// Makes a key a member's, unless it is one's already.
    ///
    /// # Errors
    /// 57014; what keeps it out of the chain.
    pub(crate) fn add_member(&self, name: &str, key: PublicKey) -> Result<(), Error> {
        let user = self.state.lock().user.clone();
        self.wait(crate::member::add(&self.engine, Asker { user: &user }, name, key))
    }

    /// `pg_sleep`
    ///
    /// # Errors
    /// 57014.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Error> {
        self.wait(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// `txid_current`: given once for each transaction that asks.
    pub(crate) fn transaction_number(&self, assign: bool) -> Option<i64> {
        let mut state = self.state.lock();
        if state.transaction_number.is_none() && assign {
            state.transaction_number = Some(self.engine.next_transaction_number());
        }
        state.transaction_number
    }

    /// The transaction that runs has a statement that writes.
    pub(crate) fn note_writes(&self) {
        self.state.lock().writes = true;
    }

    /// The number of the transaction that runs; `None` when it writes nothing.
    pub(crate) fn own_transaction(&self) -> Option<TransactionId> {
        let mut state = self.state.lock();
        state
            .writes
            .then(|| *state.own_transaction.get_or_insert_with(crate::random::transaction_id))
    }

    /// The number under which the transaction that runs is handed in.
    pub(crate) fn transaction_id(&self) -> TransactionId {
        self.state.lock().own_transaction.unwrap_or_else(crate::random::transaction_id)
    }

    /// The transaction that runs is one that is in the chain already.
    pub(crate) fn note_repeated(&self, id: TransactionId) {
        self.state.lock().own_transaction = Some(id);
    }

    pub(crate) fn note_committed(&self, id: TransactionId) {
        self.state.lock().last_transaction = Some(id);
    }

    /// The last transaction that was committed with writes.
    pub(crate) fn last_transaction(&self) -> Option<TransactionId> {
        self.state.lock().last_transaction
    }

    /// Where the client connects from.
    pub(crate) fn set_client(&self, client: SocketAddr) {
        self.state.lock().activity.client = Some(client);
    }

    /// A warning of a function.
    pub(crate) fn warn(&self, notice: Notice) {
        self.state.lock().notices.push(notice);
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state.lock().notices)
    }

    pub(crate) fn note_prepared(&self, name: &str, note: PreparedNote) {
        self.state.lock().prepared.insert(name.to_string(), note);
    }

    /// `None` is all.
    pub(crate) fn forget_prepared(&self, name: Option<&str>) {
        let mut state = self.state.lock();
        match name {
            Some(name) => drop(state.prepared.remove(name)),
            None => state.prepared.clear(),
        }
    }

    pub(crate) fn prepared(&self) -> BTreeMap<String, PreparedNote> {
        self.state.lock().prepared.clone()
    }

    pub(crate) fn note_cursors(&self, change: impl FnOnce(&mut BTreeMap<String, CursorNote>)) {
        change(&mut self.state.lock().cursors);
    }

    pub(crate) fn cursors(&self) -> BTreeMap<String, CursorNote> {
        self.state.lock().cursors.clone()
    }

    /// Which locks are this session's.
    pub(crate) fn lock_owners(&self) -> [Option<LockOwner>; 2] {
        let state = self.state.lock();
        [state.transaction, Some(state.advisory.owner())]
    }

    pub(crate) fn activity(&self) -> (String, Activity) {
        let state = self.state.lock();
        let application = state.settings.get("application_name").unwrap_or_default();
        (application, state.activity.clone())
    }

    /// The session's settings, as they are now.
    pub fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    /// Whether point statements may go beside the planner.
    pub(crate) fn short_path(&self) -> bool {
        self.state.lock().settings.short_path()
    }

    pub(crate) fn with_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(&mut self.state.lock().settings)
    }

    pub(crate) fn set_user(&self, user: &str) {
        self.state.lock().user = user.to_string();
    }

    pub(crate) fn set_read_only(&self, read_only: bool) {
        self.state.lock().read_only = read_only;
    }

    /// `set_config(name, value, is_local)`: gives the value as it is kept.
    ///
    /// # Errors
    /// As SET.
    pub fn set_config(&self, name: &str, value: &str, local: bool) -> Result<String, Error> {
        let scope = if local { Scope::Local } else { Scope::Session };
        let lower = name.to_ascii_lowercase();
        if lower == "ledger.as_of" && !value.is_empty() {
            let zone = self.settings().time_zone();
            let now = self.engine.clock.now_us();
            crate::as_of::snapshot(self.engine.state(), value, zone, now)?;
        }
        if lower.starts_with("transaction_") {
            return Err(Error::unsupported(
                format!("set_config of {lower}"),
                "Write SET TRANSACTION, or set default_transaction_isolation and its kin.",
            ));
        }
        let mut state = self.state.lock();
        state.settings.set(name, value, scope)?;
        state.settings.get(name).ok_or_else(|| Error::internal("a setting that was just set"))
    }

    /// `current_setting(name)`; `None` when there is no such setting.
    pub fn current_setting(&self, name: &str) -> Option<String> {
        self.state.lock().settings.get(name)
    }

    /// `nextval`, for functions: it may wait for the chain.
    ///
    /// # Errors
    /// 2200H when the sequence is used up, 25006 in a read-only transaction, faults.
    pub fn next_value(&self, sequence: Oid) -> Result<i64, Error> {
        if let Some(value) = self.next_own(sequence)? {
            return Ok(value);
        }
        let user = self.state.lock().user.clone();
        let value = block_on(sequence::next_value(&self.engine, Asker { user: &user }, sequence))?;
        self.note_value(sequence, value);
        Ok(value)
    }

    /// `nextval`, for the session itself.
    pub(crate) async fn next_value_async(&self, sequence: Oid) -> Result<i64, Error> {
        if let Some(value) = self.next_own(sequence)? {
            return Ok(value);
        }
        let user = self.state.lock().user.clone();
        let value = sequence::next_value(&self.engine, Asker { user: &user }, sequence).await?;
        self.note_value(sequence, value);
        Ok(value)
    }

    fn next_own(&self, sequence: Oid) -> Result<Option<i64>, Error> {
        let mut state = self.state.lock();
        if state.read_only {
            return Err(Error::ReadOnly { command: "nextval()".to_string() });
        }
        let Some(own) = state.own.get_mut(&sequence) else { return Ok(None) };
        let value = sequence::next_of_own(own)?;
        state.values.insert(sequence, value);
        state.last = Some(sequence);
        Ok(Some(value))
    }

    fn note_value(&self, sequence: Oid, value: i64) {
        let mut state = self.state.lock();
        state.values.insert(sequence, value);
        state.last = Some(sequence);
    }

    /// `setval`
    ///
    /// # Errors
    /// 22003 when the value is out of bounds, 25006 in a read-only transaction, faults.
    pub fn set_value(&self, sequence: Oid, value: i64, called: bool) -> Result<(), Error> {
        let user = {
            let mut state = self.state.lock();
            if state.read_only {
                return Err(Error::ReadOnly { command: "setval()".to_string() });
            }
            if called {
                state.values.insert(sequence, value);
            }
            if let Some(own) = state.own.get_mut(&sequence) {
                *own = sequence::set(own, value, called)?;
                return Ok(());
            }
            state.user.clone()
        };
        block_on(sequence::set_value(&self.engine, Asker { user: &user }, sequence, value, called))
    }

    /// `currval`
    ///
    /// # Errors
    /// 55000 when nextval wasn't called in this session.
    pub fn current_value(&self, sequence: Oid, name: &str) -> Result<i64, Error> {
        self.state.lock().values.get(&sequence).copied().ok_or_else(|| {
            Error::new(
                "55000",
                format!("currval of sequence \"{name}\" is not yet defined in this session"),
            )
        })
    }

    /// `lastval`
    ///
    /// # Errors
    /// 55000 when nextval wasn't called in this session.
    pub(crate) fn last_value(&self) -> Result<(Oid, i64), Error> {
        let state = self.state.lock();
        state
            .last
            .and_then(|sequence| Some((sequence, state.values.get(&sequence).copied()?)))
            .ok_or_else(|| Error::new("55000", "lastval is not yet defined in this session"))
    }

    pub(crate) fn forget_values(&self) {
        let mut state = self.state.lock();
        state.values.clear();
        state.last = None;
    }

    /// The transaction itself made or changed this sequence: its values come from here.
    pub(crate) fn own_sequence(&self, oid: Oid, sequence: Sequence) {
        self.state.lock().own.insert(oid, sequence);
    }

    pub(crate) fn own_sequences(&self) -> BTreeMap<Oid, Sequence> {
        self.state.lock().own.clone()
    }

    pub(crate) fn set_own_sequences(&self, own: BTreeMap<Oid, Sequence>) {
        self.state.lock().own = own;
    }
}

impl Drop for SessionShared {
    fn drop(&mut self) {
        let owner = self.state.get_mut().advisory.owner();
        self.engine.state.locks().release_all(owner);
        self.engine.forget_session(self.number);
    }
}

/// Waits for the chain within a function of a query, which can't be asynchronous. Other work of this
/// thread is handed to another one meanwhile.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => {
            tokio::task::block_in_place(|| futures::executor::block_on(work))
        }
        _ => futures::executor::block_on(work),
    }
}
