//! COMMENT ON.

use ledger::Object;

use crate::Error;
use crate::dml::table_of;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::{CommentTarget, RelationKind};

impl Session {
    pub(super) fn comment(
        &mut self,
        target: &CommentTarget,
        text: Option<&String>,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let comment = text.cloned();
        match target {
            CommentTarget::Relation { kind, name } => {
                let Some(oid) = self.find_relation(&catalog, name)? else {
                    return Err(Error::UndefinedTable {
                        name: crate::names::shown(name),
                        position: None,
                    });
                };
                self.need_owner(&catalog, oid)?;
                let object = commented(*kind, catalog.get(oid), name, comment)?;
                self.define(oid, object)?;
            }
            CommentTarget::Column { table, column } => {
                let oid = self.find_table(&catalog, table)?;
                self.need_owner(&catalog, oid)?;
                let mut table = table_of(&catalog, oid)?.clone();
                let name = table.name.clone();
                let found =
                    table.columns.iter_mut().find(|own| !own.dropped && own.name == *column);
                found.ok_or_else(|| super::table::no_column(column, &name))?.comment = comment;
                self.define(oid, Object::Table(table))?;
            }
            CommentTarget::Schema(name) => {
                let Some(oid) = catalog.find_schema(name) else {
                    return Err(Error::Undefined { kind: "schema", name: name.clone() });
                };
                self.need_owner(&catalog, oid)?;
                if let Some(schema) = catalog.schema(oid) {
                    let mut schema = schema.clone();
                    schema.comment = comment;
                    self.define(oid, Object::Schema(schema))?;
                }
            }
            CommentTarget::Database(_)
            | CommentTarget::Constraint { .. }
            | CommentTarget::Role(_) => {
                return Err(Error::unsupported(
                    "COMMENT ON this kind of object",
                    "Comments are on schemas, tables, columns, views and indexes.",
                ));
            }
        }
        Ok(Outcome::done("COMMENT"))
    }
}

/// A relation with another comment.
fn commented(
    kind: RelationKind,
    object: Option<&Object>,
    name: &[String],
    comment: Option<String>,
) -> Result<Object, Error> {
    match (kind, object) {
        (RelationKind::Table, Some(Object::Table(table))) => {
            let mut table = table.clone();
            table.comment = comment;
            Ok(Object::Table(table))
        }
        (RelationKind::View, Some(Object::View(view))) => {
            let mut view = view.clone();
            view.comment = comment;
            Ok(Object::View(view))
        }
        (RelationKind::Index, Some(Object::Index(index))) => {
            let mut index = index.clone();
            index.comment = comment;
            Ok(Object::Index(index))
        }
        (RelationKind::Sequence, Some(Object::Sequence(_))) => Err(Error::unsupported(
            "COMMENT ON SEQUENCE",
            "Comment on the table that the sequence feeds.",
        )),
        _ => Err(Error::new(
            "42809",
            format!("\"{}\" is not a {}", crate::names::shown(name), kind.word()),
        )),
    }
}
