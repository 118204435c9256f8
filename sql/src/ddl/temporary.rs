//! Temporary tables and views: a session's own, in a schema of its own. They are in no block, other sessions
//! don't see them, and they end with the session.

use datafusion::sql::sqlparser::ast;
use ledger::catalog::{Privilege, Schema};
use ledger::{Object, Oid};

use crate::Error;
use crate::names::{TEMPORARY, split};
use crate::overlay::OnCommit;
use crate::privileges::may;
use crate::session::Session;
use crate::statement::{Command, CommentTarget, parts_of};

impl Session {
    /// Where a new temporary relation goes.
    pub(super) fn temporary_place(&mut self, name: &[String]) -> Result<(Oid, String), Error> {
        let catalog = self.catalog()?;
        let (schema, relation) = split(&catalog, name)?;
        let own = self.temporary_schema();
        if schema.is_some_and(|schema| schema != TEMPORARY && schema != own) {
            return Err(Error::new(
                "42P16",
                "cannot create temporary relation in non-temporary schema",
            ));
        }
        if !may(&catalog, self.user.0, Oid::DATABASE, Privilege::Temporary) {
            let name = catalog.database(Oid::DATABASE).map_or("", |database| &database.name);
            return Err(Error::new(
                "42501",
                format!("permission denied to create temporary tables in database \"{name}\""),
            ));
        }
        let found = catalog.find_schema(&own);
        let relation = relation.to_string();
        if let Some(found) = found {
            return Ok((found, relation));
        }
        let oid = self.engine.next_temporary();
        let schema = Schema { name: own, owner: self.user.0, comment: None };
        self.define(oid, Object::Schema(schema))?;
        Ok((oid, relation))
    }

    /// Notes what COMMIT does to a table that was just made.
    pub(super) fn note_on_commit(
        &mut self,
        schema: Oid,
        name: &ast::ObjectName,
        what: Option<&ast::OnCommit>,
    ) -> Result<(), Error> {
        let what = match what {
            Some(ast::OnCommit::DeleteRows) => OnCommit::DeleteRows,
            Some(ast::OnCommit::Drop) => OnCommit::Drop,
            Some(ast::OnCommit::PreserveRows) | None => return Ok(()),
        };
        let catalog = self.catalog()?;
        let name = parts_of(name)?.pop().unwrap_or_default();
        if let Some(oid) = catalog.find_relation(schema, &name) {
            self.transaction_mut().overlay.set_on_commit(oid, what);
        }
        Ok(())
    }

    /// Whether a definition is about the session's own objects alone: then nobody else has to wait for it.
    pub(super) fn is_temporary_definition(&self, command: &Command) -> Result<bool, Error> {
        let names: Vec<Vec<String>> = match command {
            Command::CreateTable { create, .. } if create.temporary => return Ok(true),
            Command::AlterSequence { name, .. } | Command::AlterRelation { name, .. } => {
                vec![name.clone()]
            }
            Command::Comment { target: CommentTarget::Relation { name, .. }, .. } => {
                vec![name.clone()]
            }
            Command::Comment { target: CommentTarget::Column { table, .. }, .. } => {
                vec![table.clone()]
            }
            Command::Other(statement) => match statement.as_ref() {
                ast::Statement::CreateView(create) if create.temporary => return Ok(true),
                ast::Statement::AlterTable(alter) => vec![parts_of(&alter.name)?],
                ast::Statement::CreateIndex(create) => vec![parts_of(&create.table_name)?],
                ast::Statement::Drop { names, .. } => {
                    names.iter().map(parts_of).collect::<Result<_, _>>()?
                }
                _ => return Ok(false),
            },
            _ => return Ok(false),
        };
        let catalog = self.catalog()?;
        Ok(!names.is_empty()
            && names.iter().all(|name| {
                matches!(self.find_relation(&catalog, name), Ok(Some(oid)) if oid.is_temporary())
            }))
    }
}
