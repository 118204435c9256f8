//! Definitions: statements that change the catalog. They run one after another on the whole chain, and
//! are part of their transaction like any other change.

mod alter;
mod column;
mod comment;
mod constraint;
mod create_as;
mod drop;
mod expression;
mod grant;
mod index;
mod like;
mod relation;
mod role;
mod schema;
mod scram;
mod sequence;
mod table;
mod temporary;
pub(crate) mod types;
mod view;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use ledger::{Catalog, Object, Oid, Operation};
use storage::{LockMode, LockTarget};

use crate::Error;
use crate::engine::Engine;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::{Command, SequenceChange, Statement};
use crate::transaction::Isolation;

/// New OIDs, one after another.
#[derive(Debug)]
pub(crate) enum Oids {
    /// The chain's.
    Lasting(u32),
    /// For temporary objects: the node's, none is used twice.
    Temporary(Arc<Engine>),
}

impl Oids {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self::Lasting(catalog.next_oid().0)
    }

    pub(crate) fn next(&mut self) -> Oid {
        match self {
            Self::Lasting(next) => {
                let oid = Oid(*next);
                *next = next.saturating_add(1);
                oid
            }
            Self::Temporary(engine) => engine.next_temporary(),
        }
    }
}

impl Session {
    /// Executes a statement that defines something.
    pub(crate) async fn definition(
        &mut self,
        statement: &Statement,
        command: &Command,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        if let Command::Other(other) = command
            && let ast::Statement::Truncate(truncate) = other.as_ref()
        {
            return Box::pin(self.truncate(truncate)).await;
        }
        if !self.is_temporary_definition(command)? {
            self.lock_catalog().await?;
        }
        match command {
            Command::CreateTable { create, using, empty, likes } => {
                let using = using.as_deref();
                let how = (using, *empty, likes.as_slice());
                Box::pin(self.create_table(statement, create, how, parameters)).await
            }
            Command::CreateSequence { name, if_not_exists, options } => {
                self.create_sequence(name, *if_not_exists, options)
            }
            Command::AlterSequence { name, if_exists, change } => match change {
                SequenceChange::Options(options) => {
                    self.alter_sequence(name, *if_exists, options).await
                }
                SequenceChange::Relation(change) => {
                    let kind = crate::statement::RelationKind::Sequence;
                    self.alter_relation(kind, name, *if_exists, change).await
                }
            },
            Command::AlterRelation { kind, name, if_exists, change } => {
                self.alter_relation(*kind, name, *if_exists, change).await
            }
            Command::CreateRole { name, options, user } => self.create_role(name, options, *user),
            Command::AlterRole { name, change } => self.alter_role(name, change),
            Command::DropRole { names, if_exists } => self.drop_roles(names, *if_exists),
            Command::Grant(grant) => self.grant(grant),
            Command::GrantRole { roles, to, revoke } => self.grant_role(roles, to, *revoke),
            Command::Comment { target, text } => self.comment(target, text.as_ref()),
            Command::Other(other) => Box::pin(self.define_other(statement, other)).await,
            _ => Err(Error::internal("a statement that nothing executes")),
        }
    }

    async fn define_other(
        &mut self,
        statement: &Statement,
        other: &ast::Statement,
    ) -> Result<Outcome, Error> {
        match other {
            ast::Statement::AlterTable(alter) => self.alter_table(statement, alter).await,
            ast::Statement::CreateIndex(create) => self.create_index(create).await,
            ast::Statement::CreateView(create) => self.create_view(statement, create).await,
            ast::Statement::CreateSchema { schema_name, if_not_exists, with, options, .. } => {
                if with.is_some() || options.is_some() {
                    return Err(Error::unsupported(
                        "CREATE SCHEMA with options",
                        "Leave them out.",
                    ));
                }
                self.create_schema(schema_name, *if_not_exists)
            }
            ast::Statement::AlterSchema(alter) => self.alter_schema(alter),
            ast::Statement::Drop { object_type, if_exists, names, cascade, temporary, .. } => {
                if *temporary {
                    return Err(Error::unsupported(
                        "DROP TEMPORARY",
                        "There are no temporary objects.",
                    ));
                }
                self.drop_objects(*object_type, *if_exists, names, *cascade).await
            }
            other => {
                let words: Vec<String> =
                    other.to_string().split_whitespace().take(2).map(str::to_uppercase).collect();
                Err(Error::unsupported(words.join(" "), "docs/sql.md lists the statements."))
            }
        }
    }

    /// OIDs for what goes into this schema or belongs to this table.
    pub(crate) fn oids_for(&self, catalog: &Catalog, beside: Oid) -> Oids {
        if beside.is_temporary() {
            Oids::Temporary(Arc::clone(&self.engine))
        } else {
            Oids::of(catalog)
        }
    }

    /// Definitions run one at a time, from here to the transaction's end.
    ///
    /// # Errors
    /// 40P01, 55P03; 40001 above READ COMMITTED when the catalog changed since the snapshot.
    pub(crate) async fn lock_catalog(&mut self) -> Result<(), Error> {
        self.acquire(LockTarget::Catalog, LockMode::Update).await?;
        let own = self.transaction_mut().overlay.defines();
        if own || self.transaction_mut().repeats.is_some() {
            return Ok(());
        }
        let newest = self.engine.state.snapshot();
        let seen = self.snapshot()?;
        if newest.catalog().version() == seen.catalog().version() {
            return Ok(());
        }
        if self.isolation() != Isolation::ReadCommitted {
            return Err(Error::Serialization {
                message: "could not serialize access due to a concurrent change of the schema"
                    .to_string(),
                detail: None,
            });
        }
        self.see(newest)
    }

    /// Keeps all others from a table until the transaction's end, as far as they write.
    ///
    /// # Errors
    /// 40P01, 55P03.
    pub(crate) async fn lock_table_alone(&mut self, table: Oid) -> Result<(), Error> {
        if self.acquire(LockTarget::Table(table), LockMode::Update).await? {
            self.look_again()?;
        }
        Ok(())
    }

    /// Puts an object into the transaction's catalog.
    ///
    /// # Errors
    /// What the catalog says of it.
    pub(crate) fn define(&mut self, oid: Oid, object: Object) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let operation = Operation::Define { oid, object: Box::new(object) };
        self.transaction_mut().overlay.define(&snapshot, operation)
    }

    /// Takes an object out of the transaction's catalog.
    ///
    /// # Errors
    /// What the catalog says of it.
    pub(crate) fn undefine(&mut self, oid: Oid) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        self.transaction_mut().overlay.define(&snapshot, Operation::Drop { oid })
    }
}
