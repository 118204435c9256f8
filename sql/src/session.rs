//! One connection's session: its transaction, settings, prepared statements and cursors. What a
//! statement does is in the modules below; the wire is the server's.

pub(crate) mod commit;
mod control;
mod execute;
mod explain;
mod fresh;
pub(crate) mod plans;
pub(crate) mod point;
mod prepare;
mod prepared;
pub(crate) mod query;
mod recent;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod with;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ledger::{Height, Oid, TransactionId};
use storage::Snapshot;

use crate::cancel::{Bounds, CancelToken};
use crate::cursor::Cursor;
use crate::engine::Engine;
use crate::error::Notice;
use crate::outcome::{Outcome, Parameter, Prepared, ResultColumn};
use crate::overlay::{Overlay, Sight};
use crate::shared::SessionShared;
use crate::statement::{self, Statement};
use crate::transaction::{Isolation, Transaction, TransactionStatus};
use crate::{Error, Settings};
use execute::is_absence;
use recent::Recent;

/// A session. Dropping it rolls its transaction back; a commit that was handed in goes on.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) shared: Arc<SessionShared>,
    /// Who logged in.
    login: (Oid, String),
    /// `session_user`
    session_user: (Oid, String),
    /// `current_user`: whose privileges count.
    pub(crate) user: (Oid, String),
    pub(crate) transaction: Option<Box<Transaction>>,
    prepared: BTreeMap<String, Arc<Prepared>>,
    deallocated: Vec<Option<String>>,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    pub(crate) notices: Vec<Notice>,
    told: Settings,
    cancel: CancelToken,
    pub(crate) bounds: Bounds,
    /// The block of what this session wrote last, if that hasn't come to this node yet.
    written: Height,
    /// Whether another node led when the client was told.
    follows: bool,
    /// The snapshot of the statement that runs.
    pub(crate) snapshot: Option<Snapshot>,
    recent: Recent,
    /// Temporary objects with their rows, as the last transaction left them.
    pub(crate) temporary: Overlay,
    /// What the parts of the running statement share, when it writes within WITH.
    pub(crate) beside: Option<Box<with::Beside>>,
    /// The client's text that the running statement is a part of.
    pub(crate) source: Arc<str>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, oid: Oid, user: &str, settings: Settings) -> Self {
        let who = (oid, user.to_string());
        let number = engine.next_session();
        let shared = SessionShared::new(Arc::clone(&engine), number, (oid, user), settings.clone());
        let shared = Arc::new(shared);
        engine.note_session(&shared);
        let cancel = shared.cancel.clone();
        Self {
            shared,
            engine,
            login: who.clone(),
            session_user: who.clone(),
            user: who,
            transaction: None,
            prepared: BTreeMap::new(),
            deallocated: Vec::new(),
            cursors: BTreeMap::new(),
            notices: Vec::new(),
            told: settings,
            bounds: Bounds::new(cancel.clone(), None),
            cancel,
            written: Height(0),
            follows: false,
            snapshot: None,
            recent: Recent::default(),
            temporary: Overlay::default(),
            beside: None,
            source: Arc::from(""),
        }
    }

    /// Reads a text as statements; a blank one gives one empty statement.
    ///
    /// # Errors
    /// 42601 with a position, 0A000, 54001.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>, Error> {
        statement::parse(text)
    }

    /// Settles a statement's parameters and the shape of its result. `parameter_oids`: what the client
    /// says of the parameters' types; 0 is nothing.
    ///
    /// # Errors
    /// Whatever is wrong with the statement; 25P02 in a failed transaction.
    pub async fn prepare(
        &mut self,
        statement: Statement,
        parameter_oids: &[u32],
    ) -> Result<Prepared, Error> {
        let Some(newest) = self.newest() else {
            return Box::pin(self.prepare_statement(statement, parameter_oids)).await;
        };
        let again = statement.clone();
        match Box::pin(self.prepare_statement(statement, parameter_oids)).await {
            Err(error) if is_absence(&error) => {
                // It may be there, and not here yet.
                newest.await?;
                Box::pin(self.prepare_statement(again, parameter_oids)).await
            }
            prepared => prepared,
        }
    }

    /// Executes a statement. A statement outside a transaction block begins an implicit one, that
    /// [`Self::finish_implicit`] commits.
    ///
    /// # Errors
    /// Whatever goes wrong; the caller then calls [`Self::fail`].
    pub async fn execute(
        &mut self,
        prepared: &Prepared,
        parameters: Vec<Parameter>,
    ) -> Result<Outcome, Error> {
        Box::pin(self.execute_prepared(prepared, parameters)).await
    }

    /// Where the session stands.
    pub fn status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if transaction.explicit && transaction.failed => {
                TransactionStatus::Failed
            }
            Some(transaction) if transaction.explicit => TransactionStatus::Active,
            _ => TransactionStatus::Idle,
        }
    }

    /// An error was told to the client: a transaction block is failed now, an implicit transaction is
    /// rolled back.
    pub fn fail(&mut self) {
        match self.transaction.as_mut() {
            Some(transaction) if transaction.explicit => transaction.failed = true,
            Some(_) => self.roll_back(),
            None => {}
        }
        self.note_rest();
    }

    /// What others see of a session that waits for its client.
    fn note_rest(&self) {
        self.shared.note_state(match self.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::Active => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        });
    }

    /// Commits the implicit transaction, if there is one: at Sync, and at the end of a simple Query.
    ///
    /// # Errors
    /// What keeps it out of the chain; it is then rolled back.
    pub async fn finish_implicit(&mut self) -> Result<(), Error> {
        let implicit = self.transaction.as_ref().is_some_and(|transaction| !transaction.explicit);
        if implicit {
            Box::pin(self.commit()).await?;
        }
        self.note_rest();
        Ok(())
    }

    /// The session's settings.
    pub fn settings(&self) -> Settings {
        self.shared.settings()
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut self.notices);
        notices.extend(self.shared.take_notices());
        notices
    }

    /// Settings that changed since the last call and that clients are told of (ParameterStatus).
    pub fn take_changed_parameters(&mut self) -> Vec<(String, String)> {
        self.note_role();
        let now = self.shared.settings();
        let changed = crate::settings::changes(&self.told, &now);
        self.told = now;
        changed
    }

    /// Statements that DEALLOCATE and DISCARD took away since the last call, by name; `None` is all.
    /// The connection's named statements share their names.
    pub fn take_deallocated(&mut self) -> Vec<Option<String>> {
        std::mem::take(&mut self.deallocated)
    }

    /// The columns of an SQL cursor: drivers describe it by message, as a portal.
    pub fn cursor_columns(&self, name: &str) -> Option<&[ResultColumn]> {
        self.cursors.get(name).map(|cursor| cursor.columns.as_slice())
    }

    /// Cancels what this session executes, from anywhere.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Asked for when another session ends this one (`pg_terminate_backend`).
    pub fn end_token(&self) -> CancelToken {
        self.shared.end.clone()
    }

    /// Where the client connects from, for `pg_stat_activity`.
    pub fn set_client(&self, client: SocketAddr) {
        self.shared.set_client(client);
    }

    /// This session's number in the node (`pg_backend_pid()`, BackendKeyData).
    pub fn number(&self) -> u32 {
        self.shared.number
    }

    /// The last transaction that this session committed with writes.
    pub fn last_transaction(&self) -> Option<TransactionId> {
        self.shared.last_transaction()
    }

    pub(crate) fn superuser(&self) -> bool {
        let snapshot = self.engine.state.snapshot();
        snapshot.catalog().role(self.user.0).is_some_and(|role| role.superuser)
    }

    /// The transaction; an implicit one begins if there is none.
    pub(crate) fn transaction_mut(&mut self) -> &mut Transaction {
        let engine = &self.engine;
        let shared = &self.shared;
        let temporary = &self.temporary;
        self.transaction.get_or_insert_with(|| {
            let owner = engine.state.locks().owner();
            let settings = shared.settings();
            let now = engine.clock.now_us();
            shared.begin_transaction(owner, now);
            let mut own = Transaction::new(owner, &settings, now, false);
            own.overlay = temporary.clone();
            Box::new(own)
        })
    }

    /// The statement's snapshot.
    ///
    /// # Errors
    /// XX000 outside a statement.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.snapshot.clone().ok_or_else(|| Error::internal("no statement runs"))
    }

    /// From now on the statement sees this state, under the session's own.
    ///
    /// # Errors
    /// What the catalog says of temporary objects.
    pub(crate) fn see(&mut self, snapshot: Snapshot) -> Result<(), Error> {
        if let Some(own) = self.transaction.as_mut() {
            own.overlay.rebase(&snapshot)?;
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// What the statement sees: its snapshot under the transaction's own effects.
    pub(crate) fn look<T>(
        &self,
        see: impl FnOnce(&Sight<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let snapshot =
            self.snapshot.as_ref().ok_or_else(|| Error::internal("no statement runs"))?;
        let empty = Overlay::default();
        let overlay = self.transaction.as_ref().map_or(&empty, |own| &own.overlay);
        see(&Sight { snapshot, overlay })
    }

    /// The catalog that the statement sees.
    pub(crate) fn catalog(&self) -> Result<Arc<ledger::Catalog>, Error> {
        self.look(|sight| Ok(Arc::clone(sight.catalog_shared())))
    }

    pub(crate) fn isolation(&self) -> Isolation {
        self.transaction.as_ref().map_or(Isolation::ReadCommitted, |own| own.isolation)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.roll_back();
    }
}
