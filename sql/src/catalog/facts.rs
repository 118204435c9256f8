//! What the catalogs see of a session: names to look up, whose they are, and a way to what only the session
//! or the node knows. It holds nothing of its own.

use ledger::{Catalog, Object, Oid};

use crate::Error;
use crate::shared::SessionShared;

/// A setting as `pg_settings` shows it.
#[derive(Clone, Debug)]
pub struct SettingRow {
    /// Its name.
    pub name: String,
    /// Its value, without a unit.
    pub setting: String,
    /// The unit of `setting`.
    pub unit: Option<&'static str>,
    /// `bool`, `integer`, `real`, `string`, `enum`
    pub kind: &'static str,
    /// `internal`, `user`, …
    pub context: &'static str,
    /// What it is for.
    pub description: String,
    /// What RESET goes back to.
    pub reset: String,
}

/// What only the session or the node knows. Without an implementation the answers are NULL, 0 or 0A000.
pub trait Surroundings: Send + Sync {
    /// A setting's value as SHOW gives it.
    fn setting(&self, name: &str) -> Option<String>;

    /// Sets it, for the session or (`local`) the transaction; gives the value that it has then.
    ///
    /// # Errors
    /// As SET.
    fn set(&self, name: &str, value: &str, local: bool) -> Result<String, Error>;

    /// All settings.
    fn settings(&self) -> Vec<SettingRow>;

    /// `pg_backend_pid()`
    fn pid(&self) -> i32;

    /// Rows alive in a table.
    fn rows(&self, table: Oid) -> u64;

    /// Bytes that a table's rows or an index take on this node; `None` when nobody counts them.
    fn bytes(&self, relation: Oid) -> Option<u64>;

    /// Bytes of the whole database on this node; `None` when nobody counts them.
    fn database_bytes(&self) -> Option<u64>;

    /// When the node started, µs since 1970 UTC, if it is known.
    fn started_us(&self) -> Option<i64>;

    /// The session itself: through it, what all sessions of the node do.
    fn shared(&self) -> Option<&SessionShared> {
        None
    }
}

/// What the catalogs see.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The objects.
    pub catalog: &'a Catalog,
    /// Schemas to look in, in order, without the `pg_catalog` that comes first.
    pub search_path: &'a [String],
    /// `current_user`
    pub user: &'a str,
    /// `session_user`
    pub session_user: &'a str,
    /// `current_database()`
    pub database: &'a str,
    /// `now()`, µs since 1970 UTC.
    pub now_us: i64,
    /// `TimeZone`
    pub zone: &'a dyn ledger::text::Zone,
    /// The session and the node.
    pub surroundings: Option<&'a dyn Surroundings>,
}

/// `pg_catalog`
pub const PG_CATALOG: u32 = 11;
/// `information_schema`: the number that PostgreSQL 15's initdb gives it.
pub const INFORMATION_SCHEMA: u32 = 13207;
/// The role that owns what the node brings along.
pub const BOOTSTRAP_ROLE: u32 = 10;

impl<'a> Facts<'a> {
    /// Every object with its number, in order of numbers.
    pub fn objects(&self) -> impl Iterator<Item = (u32, &'a Object)> + 'a {
        self.catalog.iter().map(|(oid, object)| (oid.0, object))
    }

    /// An object by its number.
    pub fn object(&self, oid: u32) -> Option<&'a Object> {
        self.catalog.get(Oid(oid))
    }

    /// A schema's name.
    pub fn schema_name(&self, oid: u32) -> Option<&'a str> {
        match oid {
            PG_CATALOG => Some("pg_catalog"),
            INFORMATION_SCHEMA => Some("information_schema"),
            _ => match self.object(oid) {
                Some(Object::Schema(schema)) => Some(&schema.name),
                _ => None,
            },
        }
    }

    /// A schema's number.
    pub fn schema_oid(&self, name: &str) -> Option<u32> {
        match name {
            "pg_catalog" => Some(PG_CATALOG),
            "information_schema" => Some(INFORMATION_SCHEMA),
            // The session's own, whatever its number.
            crate::names::TEMPORARY => self
                .search_path
                .iter()
                .filter_map(|name| self.catalog.find_schema(name))
                .find(|oid| oid.is_temporary())
                .map(|oid| oid.0),
            _ => self.catalog.find_schema(name).map(|oid| oid.0),
        }
    }

    /// A role's name.
    pub fn role_name(&self, oid: u32) -> Option<&'a str> {
        match self.object(oid) {
            Some(Object::Role(role)) => Some(&role.name),
            _ => None,
        }
    }

    /// A role's number.
    pub fn role_oid(&self, name: &str) -> Option<u32> {
        self.catalog.find_role(name).map(|oid| oid.0)
    }

    /// The number of a relation of this schema: of the ledger, or one of the catalogs.
    pub fn relation_in(&self, schema: &str, name: &str) -> Option<u32> {
        if let Some(relation) = super::relations::find(schema, name) {
            return Some(relation.oid);
        }
        let schema = self.schema_oid(schema)?;
        let found = self.catalog.find_relation(Oid(schema), name)?;
        self.object(found.0).and_then(relation_name).map(|_| found.0)
    }

    /// The schemas that names without one are looked up in, `pg_catalog` first unless the path names it.
    pub fn effective_path(&self) -> Vec<&'a str> {
        let own =
            |schema: &&String| self.schema_oid(schema).is_some_and(|oid| Oid(oid).is_temporary());
        let mut path: Vec<&str> = self.search_path.iter().filter(own).map(String::as_str).collect();
        if !self.search_path.iter().any(|schema| schema == "pg_catalog") {
            path.push("pg_catalog");
        }
        path.extend(
            self.search_path
                .iter()
                .filter(|schema| !own(schema))
                .map(String::as_str)
                .filter(|schema| self.schema_oid(schema).is_some()),
        );
        path
    }

    /// The relation that a name means, with or without a schema.
    pub fn relation(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        match schema {
            Some(schema) => self.relation_in(schema, name),
            None => self.effective_path().into_iter().find_map(|s| self.relation_in(s, name)),
        }
    }

    /// A relation's schema (its number) and name.
    pub fn relation_of(&self, oid: u32) -> Option<(u32, &'a str)> {
        if let Some(relation) = super::relations::by_oid(oid) {
            return Some((relation.schema_oid, relation.name));
        }
        self.object(oid).and_then(relation_name)
    }

    /// Whether the relation's name alone finds it.
    pub fn is_visible(&self, oid: u32) -> Option<bool> {
        let (_, name) = self.relation_of(oid)?;
        Some(self.relation(None, name) == Some(oid))
    }
}

/// A relation's schema and name; `None` for what is no relation, and for indexes that aren't shown.
pub fn relation_name(object: &Object) -> Option<(u32, &str)> {
    match object {
        Object::Table(table) => Some((table.schema.0, &table.name)),
        Object::Index(index) if index.origin == ledger::catalog::IndexOrigin::ForeignKey => None,
        Object::Index(index) => Some((index.schema.0, &index.name)),
        Object::View(view) => Some((view.schema.0, &view.name)),
        Object::Sequence(sequence) => Some((sequence.schema.0, &sequence.name)),
        _ => None,
    }
}
