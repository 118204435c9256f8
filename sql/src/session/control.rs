//! Transaction statements: BEGIN, COMMIT, ROLLBACK, savepoints, SET TRANSACTION, LOCK TABLE.

use storage::{LockMode, LockTarget, Wait};

use super::Session;
use crate::Error;
use crate::error::Report;
use crate::outcome::Outcome;
use crate::settings::Scope;
use crate::statement::{Modes, TableLock};
use crate::transaction::{Isolation, Savepoint};

impl Session {
    /// `BEGIN`
    pub(super) fn begin_block(&mut self, modes: Modes, start: bool) -> Result<Outcome, Error> {
        let tag = if start { "START TRANSACTION" } else { "BEGIN" };
        if self.transaction.as_ref().is_some_and(|own| own.explicit) {
            self.notices
                .push(Report::warning("25001", "there is already a transaction in progress"));
            return Ok(Outcome::done(tag));
        }
        self.transaction_mut().explicit = true;
        self.set_modes(modes)?;
        self.show_modes();
        Ok(Outcome::done(tag))
    }

    /// The settings `transaction_…` say how the transaction runs.
    fn show_modes(&self) {
        let Some(own) = &self.transaction else { return };
        let isolation = match own.isolation {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        };
        let read_only = if own.read_only { "on" } else { "off" };
        self.shared.set_read_only(own.read_only);
        self.shared.with_settings(|settings| settings.put_modes(isolation, read_only));
    }

    fn set_modes(&mut self, modes: Modes) -> Result<(), Error> {
        let own = self.transaction_mut();
        if let Some(isolation) = modes.isolation {
            let isolation = Isolation::named(isolation);
            if own.begun && isolation != own.isolation {
                return Err(Error::new(
                    "25001",
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                ));
            }
            own.isolation = isolation;
        }
        if let Some(read_only) = modes.read_only {
            if own.begun && own.read_only && !read_only {
                return Err(Error::new(
                    "25001",
                    "transaction read-write mode must be set before any query",
                ));
            }
            own.read_only = read_only;
        }
        Ok(())
    }

    /// `SET TRANSACTION`
    pub(super) fn set_transaction(&mut self, modes: Modes) -> Result<Outcome, Error> {
        if self.transaction.as_ref().is_some_and(|own| own.explicit) {
            self.set_modes(modes)?;
            self.show_modes();
        } else {
            self.notices.push(crate::settings::outside_transaction("SET TRANSACTION"));
        }
        Ok(Outcome::done("SET"))
    }

    /// `SET SESSION CHARACTERISTICS`
    pub(super) fn set_characteristics(&self, modes: Modes) -> Result<Outcome, Error> {
        self.shared.with_settings(|settings| {
            let mut set = |name, value: &str| settings.set(name, value, Scope::Session);
            if let Some(isolation) = modes.isolation {
                set("default_transaction_isolation", isolation)?;
            }
            if let Some(read_only) = modes.read_only {
                set("default_transaction_read_only", if read_only { "on" } else { "off" })?;
            }
            if let Some(deferrable) = modes.deferrable {
                set("default_transaction_deferrable", if deferrable { "on" } else { "off" })?;
            }
            Ok::<(), Error>(())
        })?;
        Ok(Outcome::done("SET"))
    }

    /// What `SET transaction_isolation` and its kind set: the transaction's own.
    pub(super) fn set_own_mode(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        let mut modes = Modes::default();
        match name {
            "transaction_isolation" => {
                modes.isolation = Some(match value.to_ascii_lowercase().as_str() {
                    "serializable" => "serializable",
                    "repeatable read" => "repeatable read",
                    "read committed" => "read committed",
                    "read uncommitted" => "read uncommitted",
                    _ => return Ok(false),
                });
            }
            "transaction_read_only" => modes.read_only = crate::settings::boolean(value),
            _ => return Ok(false),
        }
        self.set_transaction(modes)?;
        Ok(true)
    }

    /// `COMMIT`: of a failed transaction it is a ROLLBACK.
    pub(super) async fn commit_block(&mut self, chain: bool) -> Result<Outcome, Error> {
        let Some(own) = &self.transaction else {
            return self.no_block("COMMIT", chain);
        };
        let (explicit, failed) = (own.explicit, own.failed);
        let modes = self.modes();
        if !explicit {
            self.no_block("COMMIT", chain)?;
        }
        if failed {
            self.roll_back();
        } else {
            self.commit().await?;
        }
        if chain {
            self.begin_block(modes, false)?;
        }
        Ok(Outcome::done(if failed { "ROLLBACK" } else { "COMMIT" }))
    }

    /// `ROLLBACK`
    pub(super) fn rollback_block(&mut self, chain: bool) -> Result<Outcome, Error> {
        if !self.transaction.as_ref().is_some_and(|own| own.explicit) {
            self.no_block("ROLLBACK", chain)?;
        }
        let modes = self.modes();
        self.roll_back();
        if chain {
            self.begin_block(modes, false)?;
        }
        Ok(Outcome::done("ROLLBACK"))
    }

    fn modes(&self) -> Modes {
        let Some(own) = &self.transaction else { return Modes::default() };
        Modes {
            isolation: Some(match own.isolation {
                Isolation::ReadCommitted => "read committed",
                Isolation::RepeatableRead => "repeatable read",
                Isolation::Serializable => "serializable",
            }),
            read_only: Some(own.read_only),
            deferrable: None,
        }
    }

    fn no_block(&mut self, tag: &str, chain: bool) -> Result<Outcome, Error> {
        if chain {
            return Err(Error::new(
                "25P01",
                format!("{tag} AND CHAIN can only be used in transaction blocks"),
            ));
        }
        self.notices.push(Report::warning("25P01", "there is no transaction in progress"));
        Ok(Outcome::done(tag))
    }

    fn need_block(&self, what: &str) -> Result<(), Error> {
        if self.transaction.as_ref().is_some_and(|own| own.explicit) {
            return Ok(());
        }
        Err(Error::new("25P01", format!("{what} can only be used in transaction blocks")))
    }

    /// `SAVEPOINT`
    pub(super) fn savepoint(&mut self, name: String) -> Result<Outcome, Error> {
        self.need_block("SAVEPOINT")?;
        let settings = self.shared.settings();
        let locks = self.engine.state.locks();
        let sequences = self.shared.own_sequences().into_keys().collect();
        let advisory = self.shared.advisory_mark();
        if let Some(own) = self.transaction.as_mut() {
            let mark = locks.mark(own.owner);
            let overlay = own.overlay.clone();
            own.savepoints.push(Savepoint { name, overlay, settings, mark, sequences, advisory });
        }
        Ok(Outcome::done("SAVEPOINT"))
    }

    fn savepoint_place(&self, name: &str) -> Result<usize, Error> {
        self.transaction
            .as_ref()
            .and_then(|own| own.savepoints.iter().rposition(|savepoint| savepoint.name == name))
            .ok_or_else(|| Error::Undefined { kind: "savepoint", name: name.to_string() })
    }

    /// `RELEASE`: the savepoint and all later ones are forgotten.
    pub(super) fn release(&mut self, name: &str) -> Result<Outcome, Error> {
        self.need_block("RELEASE SAVEPOINT")?;
        let place = self.savepoint_place(name)?;
        if let Some(own) = self.transaction.as_mut() {
            own.savepoints.truncate(place);
        }
        Ok(Outcome::done("RELEASE"))
    }

    /// `ROLLBACK TO`: the savepoint stays, later ones are forgotten.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<Outcome, Error> {
        self.need_block("ROLLBACK TO SAVEPOINT")?;
        let place = self.savepoint_place(name)?;
        let locks = self.engine.state.locks();
        if let Some(own) = self.transaction.as_mut() {
            own.savepoints.truncate(place + 1);
            if let Some(savepoint) = own.savepoints.last() {
                own.overlay = savepoint.overlay.clone();
                own.failed = false;
                let settings = savepoint.settings.clone();
                locks.rollback_to(own.owner, savepoint.mark);
                self.shared.with_settings(|current| *current = settings);
                // Values that were taken stay taken; sequences that were made since are gone.
                let mut sequences = self.shared.own_sequences();
                sequences.retain(|oid, _| oid.is_temporary() || savepoint.sequences.contains(oid));
                self.shared.set_own_sequences(sequences);
                self.shared.advisory_rollback_to(&savepoint.advisory);
            }
        }
        self.drop_cursors_after(place);
        Ok(Outcome::done("ROLLBACK"))
    }

    /// `LOCK TABLE`
    pub(super) async fn lock_tables(
        &mut self,
        tables: &[Vec<String>],
        mode: TableLock,
        nowait: bool,
    ) -> Result<Outcome, Error> {
        self.need_block("LOCK TABLE")?;
        self.need_leader("LOCK TABLE")?;
        for name in tables {
            let catalog = self.catalog()?;
            let oid = self.find_table(&catalog, name)?;
            self.need_any_privilege(&catalog, oid)?;
            let mode = match mode {
                TableLock::Shared => LockMode::KeyShare,
                TableLock::Exclusive => LockMode::Update,
            };
            let wait = if nowait { Wait::NoWait } else { self.lock_wait() };
            let result = self.acquire_with(LockTarget::Table(oid), mode, wait).await;
            if nowait && matches!(result, Err(Error::LockNotAvailable { .. })) {
                return Err(Error::LockNotAvailable {
                    message: format!(
                        "could not obtain lock on relation \"{}\"",
                        name.last().map_or("", String::as_str)
                    ),
                });
            }
            result?;
        }
        Ok(Outcome::done("LOCK TABLE"))
    }
}
