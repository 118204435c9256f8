//! TRUNCATE: every row of the tables ends, as a delete would end it; history stays.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;
use ledger::catalog::Privilege;
use ledger::{Catalog, Object, Oid};
use storage::{LockMode, LockTarget};

use super::{Change, table_of};
use crate::Error;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::parts_of;

impl Session {
    pub(crate) async fn truncate(&mut self, truncate: &ast::Truncate) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let mut tables = BTreeSet::new();
        for target in &truncate.table_names {
            let oid = self.find_table(&catalog, &parts_of(&target.name)?)?;
            tables.insert(oid);
        }
        let cascade = matches!(truncate.cascade, Some(ast::CascadeOption::Cascade));
        self.with_children(&catalog, &mut tables, cascade)?;
        for oid in &tables {
            self.need_privilege(&catalog, *oid, Privilege::Truncate)?;
            self.acquire(LockTarget::Table(*oid), LockMode::Update).await?;
        }
        self.look_again()?;
        let catalog = self.catalog()?;
        let mut changed = Vec::new();
        for oid in &tables {
            self.bounds.check()?;
            let changes = self.all_rows(*oid)?;
            self.apply(&catalog, *oid, &changes, &mut changed)?;
        }
        self.check(&changed)?;
        if matches!(truncate.identity, Some(ast::TruncateIdentityOption::Restart)) {
            self.restart_sequences(&catalog, &tables).await?;
        }
        Ok(Outcome::done("TRUNCATE TABLE"))
    }

    /// Tables that refer to these must be truncated with them, or there must be none.
    fn with_children(
        &self,
        catalog: &Catalog,
        tables: &mut BTreeSet<Oid>,
        cascade: bool,
    ) -> Result<(), Error> {
        let mut open: Vec<Oid> = tables.iter().copied().collect();
        while let Some(parent) = open.pop() {
            for (child, definition, _) in catalog.foreign_keys_to(parent) {
                if tables.contains(&child) {
                    continue;
                }
                if !cascade {
                    let parent = table_of(catalog, parent)?;
                    return Err(Error::new(
                        "0A000",
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .with_detail(format!(
                        "Table \"{}\" references \"{}\".",
                        definition.name, parent.name
                    ))
                    .with_hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        definition.name
                    )));
                }
                tables.insert(child);
                open.push(child);
            }
        }
        Ok(())
    }

    /// The end of every row of a table.
    fn all_rows(&self, oid: Oid) -> Result<Vec<Change>, Error> {
        self.look(|sight| {
            let mut changes = Vec::new();
            let mut versions: Vec<ledger::VersionId> =
                sight.overlay.rows(oid).map(|(version, _)| version).collect();
            if sight.snapshot.catalog().table(oid).is_some() {
                crate::rows::each_alive(sight.snapshot, oid, &[], |version, _| {
                    if !sight.overlay.ends(oid, version) {
                        versions.push(version);
                    }
                    Ok(())
                })?;
            }
            for old in versions {
                if let Some(before) = sight.values(oid, old)? {
                    changes.push(Change::Delete { old, before });
                }
            }
            Ok(changes)
        })
    }

    async fn restart_sequences(
        &mut self,
        catalog: &Catalog,
        tables: &BTreeSet<Oid>,
    ) -> Result<(), Error> {
        let owned: Vec<Oid> = catalog
            .sequences()
            .filter(|(_, sequence)| {
                sequence.owned_by.is_some_and(|(table, _)| tables.contains(&table))
            })
            .map(|(oid, _)| oid)
            .collect();
        for oid in owned {
            self.acquire(LockTarget::Table(oid), LockMode::Update).await?;
            let newest = self.catalog()?;
            let Some(sequence) = newest.sequence(oid) else { continue };
            let object = crate::sequence::set(sequence, sequence.start, false)?;
            self.lock_catalog().await?;
            self.define(oid, Object::Sequence(object.clone()))?;
            self.shared.own_sequence(oid, object);
        }
        Ok(())
    }
}
