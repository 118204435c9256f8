//! What must be checked for a table's rows, found in the catalog once for many rows.

use std::sync::Arc;

use crate::catalog::{Index, Object};
use crate::table::{ForeignKey, Table};
use crate::{Catalog, ColumnNumber, Oid, Refusal};

/// A unique index of the table.
pub(super) struct Unique {
    pub(super) oid: Oid,
    pub(super) index: Index,
}

/// A foreign key of the table to a parent.
pub(super) struct ToParent {
    /// Place in the table's `foreign_keys`.
    pub(super) at: usize,
    /// The child's columns in the order of the parent's index.
    pub(super) columns: Vec<ColumnNumber>,
}

/// A foreign key of another table (or the same) to this one.
pub(super) struct FromChild {
    pub(super) child: Arc<Object>,
    /// Place in the child's `foreign_keys`.
    pub(super) at: usize,
    /// This table's columns in the order of the child's index.
    pub(super) columns: Vec<ColumnNumber>,
    /// This table's columns in the order of its own unique index.
    pub(super) own: Vec<ColumnNumber>,
}

/// A table with all that its rows must hold to.
pub(super) struct Plan {
    oid: Oid,
    version: u64,
    table: Table,
    pub(super) schema: String,
    pub(super) unique: Vec<Unique>,
    pub(super) parents: Vec<ToParent>,
    pub(super) children: Vec<FromChild>,
}

/// The table of an object that is one.
pub(super) fn table_of(object: &Object) -> Option<&Table> {
    match object {
        Object::Table(table) => Some(table),
        _ => None,
    }
}

impl Plan {
    pub(super) fn new(catalog: &Catalog, oid: Oid) -> Result<Self, Refusal> {
        let gone = || Refusal::SchemaChanged { detail: format!("table {} is gone", oid.0) };
        let object = catalog.get_shared(oid).cloned().ok_or_else(gone)?;
        let table = table_of(&object).ok_or_else(gone)?;
        let schema = catalog.schema(table.schema).map_or_else(String::new, |s| s.name.clone());
        let unique = catalog
            .indexes_of(oid)
            .filter(|(_, index)| index.unique)
            .map(|(oid, index)| Unique { oid, index: index.clone() })
            .collect();
        let mut parents = Vec::new();
        for (at, key) in table.foreign_keys.iter().enumerate() {
            if let Some(index) = catalog.index(key.parent_index) {
                let columns = reorder(&key.columns, &key.parent_columns, &index.columns);
                parents.push(ToParent { at, columns });
            }
        }
        let mut children = Vec::new();
        for (child_oid, child, key) in catalog.foreign_keys_to(oid) {
            let at = child.foreign_keys.iter().position(|other| other.oid == key.oid);
            let (Some(at), Some(child)) = (at, catalog.get_shared(child_oid)) else { continue };
            let own = catalog.index(key.parent_index).map(|index| index.columns.clone());
            children.push(FromChild {
                child: Arc::clone(child),
                at,
                columns: key.parent_columns.clone(),
                own: own.unwrap_or_default(),
            });
        }
        let version = catalog.version();
        Ok(Self { oid, version, schema, unique, parents, children, table: table.clone() })
    }

    /// Whether it still says what the catalog says of the table.
    pub(super) fn is_for(&self, table: Oid, catalog: &Catalog) -> bool {
        self.oid == table && self.version == catalog.version()
    }

    /// The table's number.
    pub(super) fn oid(&self) -> Oid {
        self.oid
    }

    /// The table.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}

impl FromChild {
    /// The child and its foreign key.
    pub(super) fn key(&self) -> Option<(&Table, &ForeignKey)> {
        let child = table_of(&self.child)?;
        Some((child, child.foreign_keys.get(self.at)?))
    }
}

/// The columns of `from` in the order in which their partners of `by` stand in `order`.
fn reorder(
    from: &[ColumnNumber],
    by: &[ColumnNumber],
    order: &[ColumnNumber],
) -> Vec<ColumnNumber> {
    let partner = |wanted: &ColumnNumber| {
        let at = by.iter().position(|column| column == wanted)?;
        from.get(at).copied()
    };
    order.iter().filter_map(partner).collect()
}

/// Whether the new definition demands of rows what the old one did not.
pub(super) fn has_new_constraints(table: &Table, old: &Table) -> bool {
    let not_null = table.columns.iter().enumerate().any(|(at, column)| {
        let before = old.columns.get(at);
        column.not_null && !column.dropped && before.is_none_or(|before| !before.not_null)
    });
    not_null
        || table.checks.iter().any(|check| !old.checks.contains(check))
        || table.foreign_keys.iter().any(|key| old.foreign_keys.iter().all(|o| o.oid != key.oid))
}
