//! Names to objects: the search path, and where new objects go.

use ledger::{Catalog, Object, Oid};

use crate::Error;
use crate::session::Session;

/// Schemas that are no objects of the ledger.
pub(crate) const VIRTUAL_SCHEMAS: [&str; 3] = ["pg_catalog", "information_schema", "pg_toast"];

/// The name of every session's own temporary schema, for the session itself.
pub(crate) const TEMPORARY: &str = "pg_temp";

/// A name as it is shown: parts between dots.
pub(crate) fn shown(name: &[String]) -> String {
    name.join(".")
}

/// Schema and name of a qualified name; a database before them must be this one.
pub(crate) fn split<'a>(
    catalog: &Catalog,
    name: &'a [String],
) -> Result<(Option<&'a str>, &'a str), Error> {
    match name {
        [relation] => Ok((None, relation)),
        [schema, relation] => Ok((Some(schema), relation)),
        [database, schema, relation] => {
            let own = catalog.database(Oid::DATABASE).map_or("", |own| own.name.as_str());
            if database == own {
                Ok((Some(schema), relation))
            } else {
                Err(Error::new(
                    "0A000",
                    format!("cross-database references are not implemented: \"{}\"", shown(name)),
                )
                .with_hint("Connect to that database."))
            }
        }
        _ => Err(Error::new(
            "42601",
            format!("improper relation name (too many dotted names): {}", shown(name)),
        )),
    }
}

impl Session {
    /// The schemas to look in, in order.
    pub(crate) fn search_schemas(&self, catalog: &Catalog) -> Vec<Oid> {
        self.search_path().iter().filter_map(|name| catalog.find_schema(name)).collect()
    }

    /// The schemas to look in, in order: the session's own first, if there is one.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let mut path = self.shared.settings().search_path(&self.user.1);
        if self.transaction.as_ref().is_some_and(|own| own.overlay.has_temporary()) {
            path.retain(|name| name != TEMPORARY);
            path.insert(0, self.temporary_schema());
        }
        path
    }

    /// The name of the session's own schema.
    pub(crate) fn temporary_schema(&self) -> String {
        format!("{TEMPORARY}_{}", self.number())
    }

    /// The relation of this name, if there is one.
    ///
    /// # Errors
    /// 3F000 when the schema isn't there.
    pub(crate) fn find_relation(
        &self,
        catalog: &Catalog,
        name: &[String],
    ) -> Result<Option<Oid>, Error> {
        let (schema, relation) = split(catalog, name)?;
        let own = self.temporary_schema();
        match schema {
            Some(TEMPORARY) => Ok(catalog
                .find_schema(&own)
                .and_then(|schema| catalog.find_relation(schema, relation))),
            Some(schema) => {
                let Some(oid) = catalog.find_schema(schema) else {
                    return if VIRTUAL_SCHEMAS.contains(&schema) {
                        Ok(None)
                    } else {
                        Err(Error::Undefined { kind: "schema", name: schema.to_string() })
                    };
                };
                Ok(catalog.find_relation(oid, relation))
            }
            None => Ok(self
                .search_schemas(catalog)
                .into_iter()
                .find_map(|schema| catalog.find_relation(schema, relation))),
        }
    }

    /// The table of this name, to be written by `command`.
    ///
    /// # Errors
    /// 42P01 when it isn't there, 42809 when it is something else.
    pub(crate) fn find_table(&self, catalog: &Catalog, name: &[String]) -> Result<Oid, Error> {
        if let Some((schema, _)) = name.split_last().and_then(|(_, before)| before.split_last())
            && VIRTUAL_SCHEMAS.contains(&schema.as_str())
        {
            return Err(Error::new(
                "42501",
                format!("permission denied: \"{}\" is a system catalog", shown(name)),
            ));
        }
        let oid = match self.find_relation(catalog, name) {
            Ok(Some(oid)) => oid,
            Ok(None) | Err(Error::Undefined { kind: "schema", .. }) => {
                return Err(Error::UndefinedTable { name: shown(name), position: None });
            }
            Err(error) => return Err(error),
        };
        match catalog.get(oid) {
            Some(Object::Table(_)) => Ok(oid),
            Some(Object::View(view)) => {
                Err(Error::new("55000", format!("cannot change view \"{}\"", view.name))
                    .with_hint("Write to the tables that the view reads."))
            }
            _ => Err(Error::new("42809", format!("\"{}\" is not a table", shown(name)))),
        }
    }

    /// The sequence of this name.
    ///
    /// # Errors
    /// 42P01 when it isn't there, 42809 when it is something else.
    pub(crate) fn find_sequence(&self, catalog: &Catalog, name: &[String]) -> Result<Oid, Error> {
        let Some(oid) = self.find_relation(catalog, name)? else {
            return Err(Error::UndefinedTable { name: shown(name), position: None });
        };
        match catalog.get(oid) {
            Some(Object::Sequence(_)) => Ok(oid),
            _ => Err(Error::new("42809", format!("\"{}\" is not a sequence", shown(name)))),
        }
    }

    /// Where a new relation goes: its schema and its name.
    ///
    /// # Errors
    /// 3F000 without a schema; 42501 without the right to create in it.
    pub(crate) fn place_for(
        &self,
        catalog: &Catalog,
        name: &[String],
    ) -> Result<(Oid, String), Error> {
        let (schema, relation) = split(catalog, name)?;
        let oid = match schema {
            Some(schema) if VIRTUAL_SCHEMAS.contains(&schema) => {
                return Err(Error::new(
                    "42501",
                    format!("permission denied to create \"{}\"", shown(name)),
                )
                .with_detail("System catalog modifications are currently disallowed."));
            }
            Some(TEMPORARY) => catalog.find_schema(&self.temporary_schema()).ok_or_else(|| {
                Error::unsupported(
                    "a first temporary object by its schema",
                    "Write CREATE TEMPORARY TABLE.",
                )
            })?,
            Some(schema) => catalog
                .find_schema(schema)
                .ok_or_else(|| Error::Undefined { kind: "schema", name: schema.to_string() })?,
            None => self
                .search_schemas(catalog)
                .into_iter()
                .find(|schema| !schema.is_temporary())
                .ok_or_else(|| Error::new("3F000", "no schema has been selected to create in"))?,
        };
        if oid == Oid::LEDGER_SCHEMA {
            return Err(Error::Denied { kind: "schema", name: "ledger".to_string() });
        }
        self.need_create_in(catalog, oid)?;
        Ok((oid, relation.to_string()))
    }

    /// The role of this name; `current_user` and `session_user` are names, too.
    ///
    /// # Errors
    /// 42704.
    pub(crate) fn find_role(&self, catalog: &Catalog, name: &str) -> Result<Oid, Error> {
        match name {
            "current_user" | "current_role" => return Ok(self.user.0),
            "session_user" => return self.find_role_named(catalog, self.settings_user()),
            _ => {}
        }
        self.find_role_named(catalog, name.to_string())
    }

    fn settings_user(&self) -> String {
        self.shared.settings().get("session_authorization").unwrap_or_default()
    }

    fn find_role_named(&self, catalog: &Catalog, name: String) -> Result<Oid, Error> {
        catalog.find_role(&name).ok_or(Error::Undefined { kind: "role", name })
    }
}
