//! DROP: tables, views, indexes, sequences, schemas. What depends on an object goes with CASCADE, or
//! keeps it. Nothing is destroyed: the history of what was dropped stays in the blocks.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;
use ledger::catalog::IndexOrigin;
use ledger::{Catalog, Object, Oid};

use crate::Error;
use crate::error::Report;
use crate::names::shown;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::{RelationKind, parts_of};

impl Session {
    pub(super) async fn drop_objects(
        &mut self,
        object_type: ast::ObjectType,
        if_exists: bool,
        names: &[ast::ObjectName],
        cascade: bool,
    ) -> Result<Outcome, Error> {
        let kind = match object_type {
            ast::ObjectType::Table => RelationKind::Table,
            ast::ObjectType::View => RelationKind::View,
            ast::ObjectType::Index => RelationKind::Index,
            ast::ObjectType::Sequence => RelationKind::Sequence,
            ast::ObjectType::Schema => return self.drop_schemas(if_exists, names, cascade).await,
            other => {
                return Err(Error::unsupported(
                    format!("DROP {other}"),
                    "docs/sql.md lists the statements.",
                ));
            }
        };
        let catalog = self.catalog()?;
        let mut wanted = BTreeSet::new();
        for name in names {
            let parts = parts_of(name)?;
            self.refuse_catalogs(&parts)?;
            if let [schema, _] = parts.as_slice()
                && !if_exists
                && schema != crate::names::TEMPORARY
                && catalog.find_schema(schema).is_none()
            {
                return Err(Error::Undefined { kind: "schema", name: schema.clone() });
            }
            match self.find_to_drop(&catalog, &parts, kind)? {
                Some(oid) => {
                    self.need_owner(&catalog, oid)?;
                    wanted.insert(oid);
                }
                None if if_exists => self.notices.push(Report::notice(format!(
                    "{} \"{}\" does not exist, skipping",
                    kind.word(),
                    shown(&parts)
                ))),
                None => {
                    let name = shown(&parts);
                    return Err(match kind {
                        RelationKind::Index => Error::Undefined { kind: "index", name },
                        kind => Error::Undefined { kind: kind.word(), name },
                    });
                }
            }
        }
        self.drop_all(wanted, cascade).await?;
        Ok(Outcome::done(format!("DROP {}", kind.word().to_uppercase())))
    }

    /// The catalogs can't be dropped, whatever the search path is.
    fn refuse_catalogs(&self, name: &[String]) -> Result<(), Error> {
        let own = match name {
            [name] => crate::catalog::relations::find("pg_catalog", name).filter(|_| {
                self.catalog().is_ok_and(|all| {
                    self.find_relation(&all, std::slice::from_ref(name)).is_ok_and(|o| o.is_none())
                })
            }),
            [schema, name] => crate::catalog::relations::find(schema, name),
            _ => None,
        };
        match own {
            Some(relation) => Err(Error::new(
                "42501",
                format!("permission denied: \"{}\" is a system catalog", relation.name),
            )),
            None => Ok(()),
        }
    }

    fn find_to_drop(
        &self,
        catalog: &Catalog,
        name: &[String],
        kind: RelationKind,
    ) -> Result<Option<Oid>, Error> {
        let found = match self.find_relation(catalog, name) {
            Ok(found) => found,
            Err(Error::Undefined { kind: "schema", .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(oid) = found else { return Ok(None) };
        let is = match catalog.get(oid) {
            Some(Object::Table(_)) => RelationKind::Table,
            Some(Object::View(_)) => RelationKind::View,
            Some(Object::Index(_)) => RelationKind::Index,
            Some(Object::Sequence(_)) => RelationKind::Sequence,
            _ => return Ok(None),
        };
        if is != kind {
            let name = name.last().map_or("", String::as_str);
            let article = if kind == RelationKind::Index { "an" } else { "a" };
            return Err(Error::new(
                "42809",
                format!("\"{name}\" is not {article} {}", kind.word()),
            )
            .with_hint(format!(
                "Use DROP {} to remove {} {}.",
                is.word().to_uppercase(),
                if is == RelationKind::Index { "an" } else { "a" },
                is.word()
            )));
        }
        if let Some(index) = catalog.index(oid)
            && matches!(index.origin, IndexOrigin::PrimaryKey(_) | IndexOrigin::Unique(_))
        {
            let table = catalog.table(index.table).map_or("", |table| table.name.as_str());
            return Err(Error::new(
                "2BP01",
                format!(
                    "cannot drop index {} because constraint {} on table {table} requires it",
                    index.name, index.name
                ),
            )
            .with_hint(format!(
                "You can drop constraint {} on table {table} instead.",
                index.name
            )));
        }
        Ok(Some(oid))
    }

    /// Drops objects with all that belongs to them; what else depends on them only with CASCADE.
    pub(super) async fn drop_all(
        &mut self,
        wanted: BTreeSet<Oid>,
        cascade: bool,
    ) -> Result<(), Error> {
        if wanted.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog()?;
        let mut all = wanted.clone();
        let mut severed = BTreeSet::new();
        let mut fed = BTreeSet::new();
        let mut open: Vec<Oid> = wanted.iter().copied().collect();
        while let Some(oid) = open.pop() {
            for (dependent, object) in catalog.dependents(oid) {
                if all.contains(&dependent) {
                    continue;
                }
                match tie_between(&catalog, oid, dependent, object) {
                    Tie::Part => {}
                    Tie::Reference if cascade => {
                        // A foreign key goes, its table stays.
                        severed.insert((dependent, oid));
                        continue;
                    }
                    Tie::Default if cascade => {
                        fed.insert(oid);
                        continue;
                    }
                    Tie::Other if cascade => {
                        self.notices.push(Report::notice(format!(
                            "drop cascades to {} {}",
                            object.kind_name(),
                            object.name()
                        )));
                    }
                    Tie::Reference | Tie::Default | Tie::Other => {
                        return Err(depended_on(&catalog, oid, object));
                    }
                }
                all.insert(dependent);
                open.push(dependent);
            }
            // Grants are named by what they are about.
            if let Some((grants, _)) = catalog.grants_on(oid) {
                all.insert(grants);
            }
        }
        for oid in &all {
            if catalog.table(*oid).is_some() || catalog.sequence(*oid).is_some() {
                self.lock_table_alone(*oid).await?;
            }
        }
        for (child, parent) in severed {
            if !all.contains(&child) {
                self.sever(child, parent)?;
            }
        }
        for sequence in fed {
            self.drop_defaults_of(sequence)?;
        }
        for oid in all.iter().rev() {
            if self.catalog()?.get(*oid).is_some() {
                self.undefine(*oid)?;
            }
        }
        Ok(())
    }

    /// Takes away the foreign keys of a child that refer to a parent.
    fn sever(&mut self, child: Oid, parent: Oid) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(table) = catalog.table(child) else { return Ok(()) };
        let mut table = table.clone();
        let (gone, kept) = table.foreign_keys.drain(..).partition::<Vec<_>, _>(|foreign| {
            foreign.parent == parent || foreign.parent_index == parent
        });
        table.foreign_keys = kept;
        let name = table.name.clone();
        self.define(child, Object::Table(table))?;
        for foreign in gone {
            self.notices.push(Report::notice(format!(
                "drop cascades to constraint {} on table {name}",
                foreign.name
            )));
            self.undefine(foreign.index)?;
        }
        Ok(())
    }

    /// Takes a default away that calls a sequence which goes.
    pub(super) fn drop_defaults_of(&mut self, sequence: Oid) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let tables: Vec<Oid> = catalog
            .dependents(sequence)
            .filter(|(_, object)| matches!(object, Object::Table(_)))
            .map(|(oid, _)| oid)
            .collect();
        for oid in tables {
            let Some(table) = catalog.table(oid) else { continue };
            let mut table = table.clone();
            for column in &mut table.columns {
                let uses = column.default.as_ref().is_some_and(|default| {
                    crate::rules::sequence_of(&default.rule) == Some(sequence)
                });
                if uses {
                    column.default = None;
                }
            }
            self.define(oid, Object::Table(table))?;
        }
        Ok(())
    }
}

/// How a dependent hangs on an object.
enum Tie {
    /// It belongs to it, and goes with it.
    Part,
    /// A foreign key.
    Reference,
    /// A default that calls a sequence.
    Default,
    /// Anything else: it stands in the way.
    Other,
}

fn tie_between(catalog: &Catalog, on: Oid, dependent: Oid, object: &Object) -> Tie {
    match object {
        Object::Index(index) if index.table == on => Tie::Part,
        Object::Sequence(sequence) if sequence.owned_by.is_some_and(|(table, _)| table == on) => {
            Tie::Part
        }
        Object::Grants(grants) if grants.on == on => Tie::Part,
        Object::Table(table)
            if table
                .foreign_keys
                .iter()
                .any(|foreign| foreign.parent == on || foreign.parent_index == on) =>
        {
            if dependent == on { Tie::Part } else { Tie::Reference }
        }
        Object::Table(_) if catalog.sequence(on).is_some() => Tie::Default,
        _ => Tie::Other,
    }
}

fn depended_on(catalog: &Catalog, on: Oid, by: &Object) -> Error {
    let (kind, name) = catalog.get(on).map_or(("object", String::new()), |object| {
        (object.kind_name(), object.name().to_string())
    });
    let detail = match by {
        Object::Table(table) => table
            .foreign_keys
            .iter()
            .find(|foreign| foreign.parent == on || foreign.parent_index == on)
            .map(|foreign| {
                format!(
                    "constraint {} on table {} depends on {kind} {name}",
                    foreign.name, table.name
                )
            })
            .unwrap_or_else(|| {
                format!(
                    "default value for a column of table {} depends on {kind} {name}",
                    table.name
                )
            }),
        other => format!("{} {} depends on {kind} {name}", other.kind_name(), other.name()),
    };
    Error::new("2BP01", format!("cannot drop {kind} {name} because other objects depend on it"))
        .with_detail(detail)
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}
