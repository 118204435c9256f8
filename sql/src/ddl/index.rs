//! CREATE INDEX.

use datafusion::sql::sqlparser::ast;
use ledger::Object;
use ledger::catalog::{Index, IndexOrigin};

use super::constraint::{column_names, index_columns};
use super::sequence;
use crate::Error;
use crate::dml::table_of;
use crate::error::Report;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::parts_of;

impl Session {
    pub(super) async fn create_index(
        &mut self,
        create: &ast::CreateIndex,
    ) -> Result<Outcome, Error> {
        refuse(create)?;
        let catalog = self.catalog()?;
        let oid = self.find_table(&catalog, &parts_of(&create.table_name)?)?;
        self.need_owner(&catalog, oid)?;
        self.lock_table_alone(oid).await?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let columns = index_columns(table, &create.columns)?;
        let name = match &create.name {
            Some(name) => {
                parts_of(name)?.pop().ok_or_else(|| Error::internal("an index without a name"))?
            }
            None => {
                let joined = column_names(table, &columns).join("_");
                sequence::free_name(&catalog, table.schema, &table.name, &joined, "idx")
            }
        };
        if catalog.find_relation(table.schema, &name).is_some() {
            if create.if_not_exists {
                self.notices.push(Report {
                    sqlstate: "42P07".to_string(),
                    ..Report::notice(format!("relation \"{name}\" already exists, skipping"))
                });
                return Ok(Outcome::done("CREATE INDEX"));
            }
            return Err(Error::Exists { kind: "relation", name });
        }
        let index = self.oids_for(&catalog, oid).next();
        let definition = Index {
            schema: table.schema,
            name,
            table: oid,
            columns,
            unique: create.unique,
            origin: IndexOrigin::Plain,
            comment: None,
        };
        self.define(index, Object::Index(definition))?;
        if create.unique {
            self.check_unique(index)?;
        }
        Ok(Outcome::done("CREATE INDEX"))
    }
}

fn refuse(create: &ast::CreateIndex) -> Result<(), Error> {
    if create.predicate.is_some() {
        return Err(Error::unsupported("a partial index", "Index all rows."));
    }
    if !create.include.is_empty() {
        return Err(Error::unsupported("INCLUDE", "Leave it out: indexes lead to whole rows."));
    }
    if create.nulls_distinct == Some(false) {
        return Err(Error::unsupported("NULLS NOT DISTINCT", "Make the columns NOT NULL."));
    }
    if !create.with.is_empty()
        || !create.index_options.is_empty()
        || !create.alter_options.is_empty()
    {
        return Err(Error::unsupported("options of an index", "Leave them out."));
    }
    match &create.using {
        None | Some(ast::IndexType::BTree) => {}
        Some(other) => {
            return Err(Error::unsupported(
                format!("an index USING {other}"),
                "Indexes are ordered (btree).",
            ));
        }
    }
    for column in &create.columns {
        let options = &column.column.options;
        if options.asc == Some(false) || options.nulls_first == Some(true) {
            return Err(Error::unsupported(
                "DESC or NULLS FIRST in an index",
                "Leave it out: an index is read in both directions.",
            ));
        }
    }
    Ok(())
}
