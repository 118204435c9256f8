//! CREATE, ALTER and DROP SCHEMA.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;
use ledger::catalog::{Privilege, Schema};
use ledger::{Object, Oid};

use super::Oids;
use crate::Error;
use crate::error::Report;
use crate::outcome::Outcome;
use crate::privileges;
use crate::session::Session;
use crate::statement::{name_of, parts_of};

fn one(name: &ast::ObjectName) -> Result<String, Error> {
    parts_of(name)?.pop().ok_or_else(|| Error::internal("a schema without a name"))
}

fn refuse_name(name: &str) -> Result<(), Error> {
    if name.starts_with("pg_") || name == "information_schema" {
        return Err(Error::new("42939", format!("unacceptable schema name \"{name}\""))
            .with_detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}

impl Session {
    pub(super) fn create_schema(
        &mut self,
        name: &ast::SchemaName,
        if_not_exists: bool,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let (name, owner) = match name {
            ast::SchemaName::Simple(name) => (one(name)?, self.user.0),
            ast::SchemaName::UnnamedAuthorization(role) => {
                let role = name_of(role);
                let owner = self.find_role(&catalog, &role)?;
                (role, owner)
            }
            ast::SchemaName::NamedAuthorization(name, role) => {
                (one(name)?, self.find_role(&catalog, &name_of(role))?)
            }
        };
        refuse_name(&name)?;
        if !privileges::may(&catalog, self.user.0, Oid::DATABASE, Privilege::Create) {
            return Err(privileges::denied(&catalog, Oid::DATABASE));
        }
        if catalog.find_schema(&name).is_some() {
            if if_not_exists {
                self.notices.push(Report {
                    sqlstate: "42P06".to_string(),
                    ..Report::notice(format!("schema \"{name}\" already exists, skipping"))
                });
                return Ok(Outcome::done("CREATE SCHEMA"));
            }
            return Err(Error::Exists { kind: "schema", name });
        }
        let oid = Oids::of(&catalog).next();
        self.define(oid, Object::Schema(Schema { name, owner, comment: None }))?;
        Ok(Outcome::done("CREATE SCHEMA"))
    }

    pub(super) fn alter_schema(&mut self, alter: &ast::AlterSchema) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let name = one(&alter.name)?;
        let Some(oid) = catalog.find_schema(&name) else {
            if alter.if_exists {
                return Ok(Outcome::done("ALTER SCHEMA"));
            }
            return Err(Error::Undefined { kind: "schema", name });
        };
        self.need_owner(&catalog, oid)?;
        if oid == Oid::LEDGER_SCHEMA {
            return Err(Error::Denied { kind: "schema", name });
        }
        let Some(schema) = catalog.schema(oid) else {
            return Err(Error::internal("a schema that isn't there"));
        };
        let mut schema = schema.clone();
        for operation in &alter.operations {
            match operation {
                ast::AlterSchemaOperation::Rename { name } => {
                    let name = one(name)?;
                    refuse_name(&name)?;
                    if catalog.find_schema(&name).is_some() {
                        return Err(Error::Exists { kind: "schema", name });
                    }
                    schema.name = name;
                }
                ast::AlterSchemaOperation::OwnerTo { owner } => {
                    schema.owner = self.owner_named(&catalog, owner)?;
                }
                _ => {
                    return Err(Error::unsupported(
                        "this form of ALTER SCHEMA",
                        "A schema can be renamed and change its owner.",
                    ));
                }
            }
        }
        self.define(oid, Object::Schema(schema))?;
        Ok(Outcome::done("ALTER SCHEMA"))
    }

    /// The role of `OWNER TO …`.
    pub(super) fn owner_named(
        &self,
        catalog: &ledger::Catalog,
        owner: &ast::Owner,
    ) -> Result<Oid, Error> {
        match owner {
            ast::Owner::Ident(name) => self.find_role(catalog, &name_of(name)),
            ast::Owner::CurrentRole | ast::Owner::CurrentUser => Ok(self.user.0),
            ast::Owner::SessionUser => self.find_role(catalog, "session_user"),
        }
    }

    pub(super) async fn drop_schemas(
        &mut self,
        if_exists: bool,
        names: &[ast::ObjectName],
        cascade: bool,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let mut wanted = BTreeSet::new();
        for name in names {
            let name = one(name)?;
            match catalog.find_schema(&name) {
                Some(oid) if oid == Oid::LEDGER_SCHEMA => {
                    return Err(Error::new(
                        "2BP01",
                        "cannot drop schema ledger because it is required by the database system",
                    ));
                }
                Some(oid) => {
                    self.need_owner(&catalog, oid)?;
                    wanted.insert(oid);
                }
                None if if_exists => self
                    .notices
                    .push(Report::notice(format!("schema \"{name}\" does not exist, skipping"))),
                None => return Err(Error::Undefined { kind: "schema", name }),
            }
        }
        self.drop_all(wanted, cascade).await?;
        Ok(Outcome::done("DROP SCHEMA"))
    }
}
