//! What ALTER does to tables, views, indexes and sequences alike: names, schemas, owners.

use ledger::catalog::IndexOrigin;
use ledger::{Object, Oid};

use crate::Error;
use crate::error::Report;
use crate::names::shown;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::{RelationChange, RelationKind};

impl Session {
    pub(super) async fn alter_relation(
        &mut self,
        kind: RelationKind,
        name: &[String],
        if_exists: bool,
        change: &RelationChange,
    ) -> Result<Outcome, Error> {
        let tag = format!("ALTER {}", kind.word().to_uppercase());
        let catalog = self.catalog()?;
        let Some(oid) = self.find_relation(&catalog, name)? else {
            if if_exists {
                self.notices.push(Report::notice(format!(
                    "relation \"{}\" does not exist, skipping",
                    shown(name)
                )));
                return Ok(Outcome::done(tag));
            }
            return Err(Error::UndefinedTable { name: shown(name), position: None });
        };
        // ALTER TABLE does for any relation, as in PostgreSQL.
        let fits = matches!(
            (kind, catalog.get(oid)),
            (RelationKind::Table, Some(_))
                | (RelationKind::View, Some(Object::View(_)))
                | (RelationKind::Index, Some(Object::Index(_)))
                | (RelationKind::Sequence, Some(Object::Sequence(_)))
        );
        if !fits {
            return Err(Error::new(
                "42809",
                format!("\"{}\" is not a {}", shown(name), kind.word()),
            ));
        }
        self.need_owner(&catalog, oid)?;
        if catalog.table(oid).is_some() {
            self.lock_table_alone(oid).await?;
        }
        match change {
            RelationChange::Rename(new) => self.rename_relation(oid, new)?,
            RelationChange::SetSchema(schema) => self.move_relation(oid, schema)?,
            RelationChange::Owner(role) => {
                let role = self.find_role(&catalog, role)?;
                self.own_relation(oid, role)?;
            }
            RelationChange::RenameColumn(old, new) => self.rename_view_column(oid, old, new)?,
        }
        Ok(Outcome::done(tag))
    }

    /// Gives a relation another name.
    pub(super) fn rename_relation(&mut self, oid: Oid, new: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(object) = catalog.get(oid) else { return Ok(()) };
        let schema = crate::privileges::schema_of(&catalog, oid).unwrap_or(Oid(0));
        if catalog.find_relation(schema, new).is_some() {
            return Err(Error::Exists { kind: "relation", name: new.to_string() });
        }
        self.refuse_if_viewed(oid, "rename")?;
        let mut object = object.clone();
        match &mut object {
            Object::Table(table) => table.name = new.to_string(),
            Object::View(view) => view.name = new.to_string(),
            Object::Sequence(sequence) => sequence.name = new.to_string(),
            Object::Index(index) => index.name = new.to_string(),
            _ => return Err(Error::internal("a relation of another kind")),
        }
        self.define_keeping_values(oid, object)
    }

    /// A sequence keeps the values that were taken meanwhile.
    fn define_keeping_values(&mut self, oid: Oid, object: Object) -> Result<(), Error> {
        let object = match object {
            Object::Sequence(mut sequence) => {
                let newest = self.engine.state.snapshot();
                if let Some(own) = self.shared.own_sequences().get(&oid) {
                    sequence.next = own.next;
                    sequence.epoch = own.epoch;
                } else if let Some(current) = newest.catalog().sequence(oid) {
                    sequence.next = current.next;
                    sequence.epoch = current.epoch.wrapping_add(1);
                    self.shared.own_sequence(oid, sequence.clone());
                }
                Object::Sequence(sequence)
            }
            other => other,
        };
        self.define(oid, object)
    }

    fn move_relation(&mut self, oid: Oid, schema: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(target) = catalog.find_schema(schema) else {
            return Err(Error::Undefined { kind: "schema", name: schema.to_string() });
        };
        self.need_create_in(&catalog, target)?;
        self.refuse_if_viewed(oid, "move")?;
        if oid.is_temporary() || target.is_temporary() {
            return Err(Error::new(
                "0A000",
                "cannot move objects into or out of temporary schemas",
            )
            .with_hint("Create a table of its rows: CREATE TABLE … AS TABLE …."));
        }
        let mut all = vec![oid];
        all.extend(catalog.indexes_of(oid).map(|(index, _)| index));
        all.extend(
            catalog
                .sequences()
                .filter(|(_, sequence)| sequence.owned_by.is_some_and(|(table, _)| table == oid))
                .map(|(sequence, _)| sequence),
        );
        for oid in all {
            let Some(object) = catalog.get(oid) else { continue };
            if catalog.find_relation(target, object.name()).is_some_and(|found| found != oid) {
                return Err(Error::new(
                    "42P07",
                    format!("relation \"{}\" already exists in schema \"{schema}\"", object.name()),
                ));
            }
            let mut object = object.clone();
            match &mut object {
                Object::Table(table) => table.schema = target,
                Object::View(view) => view.schema = target,
                Object::Sequence(sequence) => sequence.schema = target,
                Object::Index(index) => index.schema = target,
                _ => continue,
            }
            self.define_keeping_values(oid, object)?;
        }
        Ok(())
    }

    /// Gives a relation, and the sequences that feed it, another owner.
    pub(super) fn own_relation(&mut self, oid: Oid, role: Oid) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let superuser = catalog.role(self.user.0).is_some_and(|own| own.superuser);
        if !superuser && !crate::privileges::roles_of(&catalog, self.user.0).contains(&role) {
            let name = catalog.role(role).map_or("", |role| role.name.as_str());
            return Err(Error::new("42501", format!("must be member of role \"{name}\"")));
        }
        let mut all = vec![oid];
        all.extend(
            catalog
                .sequences()
                .filter(|(_, sequence)| sequence.owned_by.is_some_and(|(table, _)| table == oid))
                .map(|(sequence, _)| sequence),
        );
        for oid in all {
            let Some(object) = catalog.get(oid) else { continue };
            let mut object = object.clone();
            match &mut object {
                Object::Table(table) => table.owner = role,
                Object::View(view) => view.owner = role,
                Object::Sequence(sequence) => sequence.owner = role,
                _ => continue,
            }
            self.define_keeping_values(oid, object)?;
        }
        Ok(())
    }

    fn rename_view_column(&mut self, oid: Oid, old: &str, new: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(view) = catalog.view(oid) else {
            return Err(Error::internal("a view that isn't there"));
        };
        let mut view = view.clone();
        if view.columns.iter().any(|(name, _)| name == new) {
            return Err(Error::new(
                "42701",
                format!("column \"{new}\" of relation \"{}\" already exists", view.name),
            ));
        }
        let column = view.columns.iter_mut().find(|(name, _)| name == old);
        let Some(column) = column else {
            return Err(super::table::no_column(old, &view.name));
        };
        column.0 = new.to_string();
        self.define(oid, Object::View(view))
    }

    /// Views keep their query as text, so that what it names can't be renamed under them.
    pub(super) fn refuse_if_viewed(&self, oid: Oid, verb: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let name = catalog.get(oid).map_or("", |object| object.name());
        let view = catalog.dependents(oid).find_map(|(_, object)| match object {
            Object::View(view) => Some(view.name.clone()),
            _ => None,
        });
        match view {
            Some(view) => Err(Error::unsupported(
                format!("to {verb} \"{name}\", or a column of it, while view \"{view}\" reads it"),
                "Drop the view first and create it again afterwards.",
            )),
            None => Ok(()),
        }
    }

    /// A view stands in the way of its table's columns: of those that it names, or of all if it may name any.
    pub(super) fn refuse_if_column_viewed(
        &self,
        oid: Oid,
        column: &str,
        verb: &str,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let free = catalog.dependents(oid).all(|(_, object)| match object {
            Object::View(view) => super::view::reads_column(view, column) == Some(false),
            _ => true,
        });
        if free { Ok(()) } else { self.refuse_if_viewed(oid, verb) }
    }

    /// The views that name a column, by number.
    ///
    /// # Errors
    /// 0A000 when it can't be told.
    pub(super) fn views_of_column(&self, oid: Oid, column: &str) -> Result<Vec<Oid>, Error> {
        let catalog = self.catalog()?;
        let mut views = Vec::new();
        for (view, object) in catalog.dependents(oid) {
            let Object::View(definition) = object else { continue };
            match super::view::reads_column(definition, column) {
                Some(true) => views.push(view),
                Some(false) => {}
                None => self.refuse_if_viewed(oid, "drop a column of")?,
            }
        }
        Ok(views)
    }

    /// Gives a constraint another name.
    pub(super) fn rename_constraint(
        &mut self,
        oid: Oid,
        old: &str,
        new: &str,
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut table = crate::dml::table_of(&catalog, oid)?.clone();
        if super::constraint::constraint_names(&catalog, oid, &table).contains(new) {
            return Err(Error::new(
                "42710",
                format!("constraint \"{new}\" for relation \"{}\" already exists", table.name),
            ));
        }
        let key = catalog.indexes_of(oid).find(|(_, index)| {
            index.name == old
                && matches!(index.origin, IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_))
        });
        if let Some((index, _)) = key {
            return self.rename_relation(index, new);
        }
        if let Some(check) = table.checks.iter_mut().find(|check| check.name == old) {
            check.name = new.to_string();
        } else if let Some(foreign) =
            table.foreign_keys.iter_mut().find(|foreign| foreign.name == old)
        {
            foreign.name = new.to_string();
        } else {
            return Err(Error::new(
                "42704",
                format!("constraint \"{old}\" for table \"{}\" does not exist", table.name),
            ));
        }
        self.define(oid, Object::Table(table))
    }
}
