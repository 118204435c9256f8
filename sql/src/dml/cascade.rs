//! What follows from changes of a parent's rows: foreign keys' CASCADE, SET NULL and SET DEFAULT. NO
//! ACTION and RESTRICT follow from the check at the statement's end.

use std::sync::Arc;

use ledger::table::{Action, ForeignKey};
use ledger::{Catalog, Oid, Value, View, key};

use super::{Change, Changed, Settled, table_of};
use crate::Error;
use crate::session::Session;

impl Session {
    /// Changes children as their foreign keys say, and their children, until nothing follows.
    pub(super) async fn cascade(
        &mut self,
        catalog: &Arc<Catalog>,
        parent: Oid,
        changes: &[Change],
        changed: &mut Vec<Changed>,
    ) -> Result<(), Error> {
        let keys: Vec<(Oid, ForeignKey)> = catalog
            .foreign_keys_to(parent)
            .map(|(child, _, foreign)| (child, foreign.clone()))
            .collect();
        for (child, foreign) in keys {
            let mut follow = Vec::new();
            for change in changes {
                self.follow(catalog, child, &foreign, change, &mut follow)?;
            }
            if follow.is_empty() {
                continue;
            }
            self.bounds.check()?;
            self.lock_table_to_write(child).await?;
            self.lock_changes(catalog, child, &follow).await?;
            if self.refresh(child, &follow)? == Settled::Stale {
                return Err(Error::Serialization {
                    message: "could not serialize access due to concurrent update".to_string(),
                    detail: Some("A row that a foreign key changes was changed meanwhile.".into()),
                });
            }
            self.apply(catalog, child, &follow, changed)?;
            Box::pin(self.cascade(catalog, child, &follow, changed)).await?;
        }
        Ok(())
    }

    /// The changes of children that follow from one change of a parent's row.
    fn follow(
        &self,
        catalog: &Catalog,
        child: Oid,
        foreign: &ForeignKey,
        change: &Change,
        follow: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let Some(before) = change.before() else { return Ok(()) };
        let action = match change {
            Change::Delete { .. } => foreign.on_delete,
            Change::Insert { .. } | Change::Update { .. } => foreign.on_update,
        };
        if matches!(action, Action::NoAction | Action::Restrict) {
            return Ok(());
        }
        let old = key::key_of(before, &foreign.parent_columns);
        let new = change.after().map(|after| key::key_of(after, &foreign.parent_columns));
        if new.as_ref() == Some(&old) {
            return Ok(());
        }
        // The index's columns are the foreign key's, in its order.
        let children = self.look(|sight| {
            let mut rows = Vec::new();
            for version in sight.find(foreign.index, &old, usize::MAX)? {
                if let Some(values) = sight.values(child, version)? {
                    rows.push((version, values));
                }
            }
            Ok(rows)
        })?;
        let table = table_of(catalog, child)?;
        for (version, values) in children {
            if action == Action::Cascade && change.after().is_none() {
                follow.push(Change::Delete { old: version, before: values });
                continue;
            }
            let mut after = values.clone();
            for (column, parent) in foreign.columns.iter().zip(&foreign.parent_columns) {
                let place = usize::from(column.0).wrapping_sub(1);
                let value = match action {
                    Action::Cascade => change
                        .after()
                        .and_then(|row| row.get(usize::from(parent.0).wrapping_sub(1)))
                        .cloned()
                        .unwrap_or(Value::Null),
                    Action::SetDefault => match table.column(*column) {
                        Some(column) => self.default_value(column)?,
                        None => Value::Null,
                    },
                    Action::SetNull | Action::NoAction | Action::Restrict => Value::Null,
                };
                if let Some(slot) = after.get_mut(place) {
                    *slot = value;
                }
            }
            follow.push(Change::Update { old: version, before: values, after });
        }
        Ok(())
    }
}
