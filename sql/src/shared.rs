//! What functions within a query may reach of their session: settings, sequences, who it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::Oid;
use ledger::catalog::Sequence;
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::sequence::{self, Asker};
use crate::settings::{self, Scope};
use crate::{Error, Settings};

/// A session's side that outlives each statement: functions find it in the query's context.
pub struct SessionShared {
    pub(crate) engine: Arc<Engine>,
    /// This session's number in the node (`pg_backend_pid`).
    pub number: u32,
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
}

impl std::fmt::Debug for SessionShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionShared").field("number", &self.number).finish_non_exhaustive()
    }
}

impl SessionShared {
    pub(crate) fn new(engine: Arc<Engine>, number: u32, user: &str, settings: Settings) -> Self {
        let state = State {
            settings,
            user: user.to_string(),
            values: BTreeMap::new(),
            last: None,
            own: BTreeMap::new(),
            read_only: false,
        };
        Self { engine, number, state: Mutex::new(state) }
    }

    /// The session's settings, as they are now.
    pub fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    /// Whether point statements may go beside the planner.
    pub(crate) fn short_path(&self) -> bool {
        self.state.lock().settings.is_on("ledger.short_path")
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
        let value = wait(sequence::next_value(&self.engine, Asker { user: &user }, sequence))?;
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
        wait(sequence::set_value(&self.engine, Asker { user: &user }, sequence, value, called))
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
    pub fn last_value(&self) -> Result<i64, Error> {
        let state = self.state.lock();
        state
            .last
            .and_then(|sequence| state.values.get(&sequence).copied())
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

/// Settings to be told to the client since `before`.
pub(crate) fn changed(shared: &SessionShared, before: &Settings) -> Vec<(String, String)> {
    settings::changes(before, &shared.settings())
}

/// Waits for the chain within a function of a query, which can't be asynchronous. Other work of this
/// thread is handed to another one meanwhile.
fn wait<T>(work: impl Future<Output = T>) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => {
            tokio::task::block_in_place(|| futures::executor::block_on(work))
        }
        _ => futures::executor::block_on(work),
    }
}
