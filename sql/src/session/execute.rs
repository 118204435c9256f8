//! From a statement to the code that executes it: transaction state, bounds, read-only checks.

use datafusion::sql::sqlparser::ast;
use storage::Snapshot;

use super::Session;
use super::with::{apart, first_writer, writing};
use crate::Error;
use crate::cancel::Bounds;
use crate::outcome::{Outcome, Parameter, Prepared};
use crate::statement::{Command, CopyWhat, Statement};
use crate::transaction::{Isolation, TransactionStatus};

/// Errors that say that something isn't there: table, column, schema, object, function.
const UNDEFINED: [&str; 5] = ["42P01", "42703", "3F000", "42704", "42883"];

/// What a statement needs of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it is about the session or the transaction itself.
    Nothing,
    /// To see the state.
    Read,
    /// To change it.
    Write,
}

impl Session {
    pub(super) async fn execute_prepared(
        &mut self,
        prepared: &Prepared,
        parameters: Vec<Parameter>,
    ) -> Result<Outcome, Error> {
        self.cancel.clear();
        self.beside = None;
        let statement = &prepared.statement;
        if self.status() == TransactionStatus::Failed && !statement.ends_transaction() {
            if statement.is_empty() {
                return Ok(Outcome::Empty);
            }
            return Err(Error::Aborted);
        }
        let limit = self.shared.settings().statement_timeout();
        self.bounds = Bounds::new(self.cancel.clone(), limit);
        self.shared.begin_statement(self.bounds.clone(), statement.source());
        if let Some(outcome) = Box::pin(self.control(&statement.command)).await? {
            return Ok(outcome);
        }
        let bounds = self.bounds.clone();
        bounds.within(Box::pin(self.run(statement, &parameters, Some(prepared)))).await
    }

    /// Statements that a cancel must not interrupt, and those that need no snapshot.
    async fn control(&mut self, command: &Command) -> Result<Option<Outcome>, Error> {
        Ok(Some(match command {
            Command::Empty => Outcome::Empty,
            Command::Begin { modes, start } => self.begin_block(*modes, *start)?,
            Command::Commit { chain } => self.commit_block(*chain).await?,
            Command::Rollback { chain } => self.rollback_block(*chain)?,
            Command::Savepoint(name) => self.savepoint(name.clone())?,
            Command::Release(name) => self.release(name)?,
            Command::RollbackTo(name) => self.rollback_to(name)?,
            Command::SetTransaction(modes) => self.set_transaction(*modes)?,
            Command::SetCharacteristics(modes) => self.set_characteristics(*modes)?,
            Command::SetConstraints => Outcome::done("SET CONSTRAINTS"),
            Command::Set { name, value, local } => self.set(name, value.as_deref(), *local)?,
            Command::SetRole(role) => self.set_role(role.as_deref())?,
            Command::SetAuthorization(role) => self.set_authorization(role.as_deref())?,
            Command::Show(name) => self.show(name)?,
            Command::ShowAll => self.show_all()?,
            Command::Reset(name) => self.reset(name)?,
            Command::ResetAll => self.reset_all(),
            Command::Discard(what) => self.discard(what)?,
            Command::Deallocate(name) => self.deallocate(name.as_deref())?,
            Command::Close(name) => self.close_cursor(name.as_deref())?,
            _ => return Ok(None),
        }))
    }

    /// Executes what reads or writes, within the statement's bounds.
    pub(crate) async fn run(
        &mut self,
        statement: &Statement,
        parameters: &[Parameter],
        prepared: Option<&Prepared>,
    ) -> Result<Outcome, Error> {
        let need = need_of(&statement.command);
        self.source = std::sync::Arc::clone(statement.source());
        if need != Need::Nothing {
            if let Some(newest) = self.to_come(&statement.command) {
                newest.await?;
            }
            self.open_snapshot()?;
        }
        if need == Need::Write {
            self.need_leader_to_write()?;
            self.check_writable(&statement.command)?;
            self.transaction_mut().note(statement.normal());
            self.shared.note_writes();
        }
        let outcome = Box::pin(self.data(statement, parameters, prepared)).await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                if let Some(newest) = self.to_confirm(&statement.command) {
                    newest.await?;
                }
                return Err(self.behind_damage(error));
            }
        };
        self.check_size()?;
        Ok(outcome)
    }

    pub(crate) async fn data(
        &mut self,
        statement: &Statement,
        parameters: &[Parameter],
        prepared: Option<&Prepared>,
    ) -> Result<Outcome, Error> {
        if self.beside.is_none()
            && let Some(with) = apart(&statement.command)
        {
            return Box::pin(self.run_with(statement, &with, parameters)).await;
        }
        match &statement.command {
            Command::Query(query) => {
                Box::pin(self.query(statement, query, parameters, prepared)).await
            }
            Command::Insert { insert, with, overriding } => {
                let insert = (insert.as_ref(), with.as_ref(), *overriding);
                Box::pin(self.insert(statement, insert, parameters)).await
            }
            Command::Update { update, with } => {
                Box::pin(self.update(statement, update, with.as_ref(), parameters)).await
            }
            Command::Delete { delete, with } => {
                Box::pin(self.delete(statement, delete, with.as_ref(), parameters)).await
            }
            Command::Merge { merge, with } => {
                Box::pin(self.merge(statement, merge, with.as_ref(), parameters)).await
            }
            Command::Copy(copy) => Box::pin(self.copy(statement, copy)).await,
            Command::Nothing { tag, tables } => self.nothing(tag, tables),
            Command::Lock { tables, mode, nowait } => {
                Box::pin(self.lock_tables(tables, *mode, *nowait)).await
            }
            Command::Prepare { name, types, statement: inner } => {
                let inner = Statement::of((**inner).clone(), statement);
                Box::pin(self.prepare_named(name, types, inner)).await
            }
            Command::Execute { name, arguments } => {
                Box::pin(self.execute_named(name, arguments, parameters)).await
            }
            Command::Declare { name, hold, scroll, query } => {
                Box::pin(self.declare(statement, name, (*hold, *scroll), query, parameters)).await
            }
            Command::Fetch { name, direction, moves } => {
                Box::pin(self.fetch(name, *direction, *moves)).await
            }
            Command::Explain { options, statement: inner } => {
                let inner = Statement::of((**inner).clone(), statement);
                Box::pin(self.explain(*options, &inner, parameters)).await
            }
            other => Box::pin(self.definition(statement, other, parameters)).await,
        }
    }

    /// Settles what the statement sees, and begins an implicit transaction if there is none.
    pub(crate) fn open_snapshot(&mut self) -> Result<(), Error> {
        let settings = self.shared.settings();
        let as_of = settings.as_of().map(str::to_string);
        let first = !self.transaction_mut().begun;
        if first {
            self.find_repeated(settings.idempotency_key())?;
        }
        let engine = std::sync::Arc::clone(&self.engine);
        let own = self.transaction_mut();
        own.begun = true;
        let fresh = || engine.state.snapshot();
        let snapshot = match (&own.snapshot, as_of) {
            (_, Some(text)) => {
                let now = engine.clock.now_us();
                crate::as_of::snapshot(&engine.state, &text, settings.time_zone(), now)?
            }
            (Some(fixed), None) => fixed.clone(),
            (None, None) if own.isolation == Isolation::ReadCommitted => fresh(),
            (None, None) => own.snapshot.insert(fresh()).clone(),
        };
        self.shared.set_read_only(self.is_read_only());
        self.see(snapshot)
    }

    /// What the catalog doesn't have may have been defined behind the damage that ends the readable chain: that
    /// it doesn't exist can't be said then, only that it can't be read.
    pub(super) fn behind_damage(&self, error: Error) -> Error {
        let cut = self.snapshot.as_ref().and_then(|snapshot| snapshot.check_cut().err());
        match cut {
            Some(fault) if is_absence(&error) => fault.into(),
            _ => error,
        }
    }

    /// A transaction whose idempotency key is in the chain already runs on the state before that one,
    /// and its commit gives the first receipt.
    fn find_repeated(&mut self, key: Option<&str>) -> Result<(), Error> {
        let Some(key) = key else { return Ok(()) };
        let Some(receipt) = self.engine.state.receipt_of_key(key)? else { return Ok(()) };
        let before = ledger::Height(receipt.height.0.saturating_sub(1));
        let snapshot: Snapshot = self
            .engine
            .state
            .snapshot_at(before)
            .map_err(|error| Error::new("22023", error.to_string()))?;
        self.shared.note_repeated(receipt.id);
        let own = self.transaction_mut();
        own.snapshot = Some(snapshot);
        own.repeats = Some(receipt);
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        self.transaction.as_ref().is_some_and(|own| own.read_only)
            || self.shared.with_settings(|settings| settings.as_of().is_some())
    }

    fn check_writable(&self, command: &Command) -> Result<(), Error> {
        if !self.is_read_only() {
            return Ok(());
        }
        let error = Error::ReadOnly { command: name_of(command) };
        Err(match self.shared.settings().as_of() {
            Some(_) => error.with_hint("RESET ledger.as_of to write: the past can't be changed."),
            None => error,
        })
    }

    fn check_size(&self) -> Result<(), Error> {
        let limit = self.engine.config.transaction_operations;
        match &self.transaction {
            Some(own) if own.overlay.len() > limit => Err(Error::new(
                "54000",
                format!("a transaction can have at most {limit} operations"),
            )
            .with_hint("Write in several transactions.")),
            _ => Ok(()),
        }
    }
}

/// Whether an error says that something isn't there.
pub(super) fn is_absence(error: &Error) -> bool {
    UNDEFINED.contains(&error.sqlstate().as_str())
}

fn need_of(command: &Command) -> Need {
    match command {
        Command::Query(query) if query.into.is_some() => Need::Write,
        Command::Query(_) if writing(command).is_some() => Need::Write,
        Command::Explain { options, statement }
            if options.analyze && need_of(statement) == Need::Write =>
        {
            Need::Write
        }
        Command::Query(_)
        | Command::Nothing { .. }
        | Command::Lock { .. }
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Declare { .. }
        | Command::Fetch { .. }
        | Command::Explain { .. } => Need::Read,
        Command::Copy(copy)
            if !copy.from
                && !matches!(copy.what, CopyWhat::Writing(_))
                && writing(command).is_none() =>
        {
            Need::Read
        }
        Command::Empty
        | Command::Begin { .. }
        | Command::Commit { .. }
        | Command::Rollback { .. } => Need::Nothing,
        _ => Need::Write,
    }
}

/// What a message calls the command.
fn name_of(command: &Command) -> String {
    match command {
        Command::Query(_) => writing(command).map_or("SELECT INTO", first_writer).to_string(),
        Command::Insert { .. } => "INSERT".to_string(),
        Command::Update { .. } => "UPDATE".to_string(),
        Command::Delete { .. } => "DELETE".to_string(),
        Command::Merge { .. } => "MERGE".to_string(),
        Command::Copy(copy) => match &copy.what {
            CopyWhat::Writing(inner) => name_of(inner),
            CopyWhat::Query(_) => writing(command).map_or("COPY", first_writer).to_string(),
            CopyWhat::Table { .. } => "COPY FROM".to_string(),
        },
        Command::Explain { statement, .. } => name_of(statement),
        Command::CreateTable { .. } => "CREATE TABLE".to_string(),
        Command::CreateSequence { .. } => "CREATE SEQUENCE".to_string(),
        Command::AlterSequence { .. } => "ALTER SEQUENCE".to_string(),
        Command::CreateRole { .. } => "CREATE ROLE".to_string(),
        Command::AlterRole { .. } => "ALTER ROLE".to_string(),
        Command::DropRole { .. } => "DROP ROLE".to_string(),
        Command::Grant(grant) if grant.revoke => "REVOKE".to_string(),
        Command::Grant(_) | Command::GrantRole { .. } => "GRANT".to_string(),
        Command::Comment { .. } => "COMMENT".to_string(),
        Command::AlterRelation { kind, .. } => format!("ALTER {}", kind.word().to_uppercase()),
        Command::Other(statement) => match statement.as_ref() {
            ast::Statement::Truncate(_) => "TRUNCATE TABLE".to_string(),
            ast::Statement::AlterTable(_) => "ALTER TABLE".to_string(),
            ast::Statement::CreateIndex(_) => "CREATE INDEX".to_string(),
            ast::Statement::CreateView(_) => "CREATE VIEW".to_string(),
            ast::Statement::CreateSchema { .. } => "CREATE SCHEMA".to_string(),
            ast::Statement::Drop { object_type, .. } => format!("DROP {object_type}"),
            other => {
                let text = other.to_string();
                text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").to_uppercase()
            }
        },
        _ => "this statement".to_string(),
    }
}
