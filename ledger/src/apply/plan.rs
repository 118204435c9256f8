//! What must be checked for a table's rows, found in the catalog once for many rows. Shares the catalog's
//! objects: making a plan copies no definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::{Index, IndexOrigin, Object};
use crate::table::{ForeignKey, Mode, Table};
use crate::{Catalog, ColumnNumber, Oid, Refusal};

/// An index of the table.
struct Found {
    oid: Oid,
    object: Arc<Object>,
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
    child: Arc<Object>,
    /// Place in the child's `foreign_keys`.
    at: usize,
    /// This table's columns in the order of the child's index.
    pub(super) columns: Vec<ColumnNumber>,
    /// This table's columns in the order of its own unique index.
    pub(super) own: Vec<ColumnNumber>,
}

/// A table with all that its rows must hold to.
pub(crate) struct Plan {
    object: Arc<Object>,
    indexes: Vec<Found>,
    pub(super) parents: Vec<ToParent>,
    pub(super) children: Vec<FromChild>,
}

/// Plans by table, as one catalog has them. Forgotten when the catalog changes.
pub(crate) type Plans = BTreeMap<Oid, Arc<Plan>>;

/// The table's plan, made where it is not known yet.
pub(crate) fn plan(plans: &mut Plans, catalog: &Catalog, table: Oid) -> Result<Arc<Plan>, Refusal> {
    if let Some(plan) = plans.get(&table) {
        return Ok(Arc::clone(plan));
    }
    let plan = Arc::new(Plan::new(catalog, table)?);
    plans.insert(table, Arc::clone(&plan));
    Ok(plan)
}

/// What a plan of no table would show; [`Plan::new`] makes none.
static NO_TABLE: Table = Table {
    schema: Oid(0),
    name: String::new(),
    owner: Oid(0),
    columns: Vec::new(),
    mode: Mode::AppendOnly,
    retain_days: None,
    checks: Vec::new(),
    foreign_keys: Vec::new(),
    comment: None,
    row_type: Oid(0),
    row_array_type: Oid(0),
};

/// What stands for an index that is none; [`Plan::new`] takes none in.
static NO_INDEX: Index = Index {
    schema: Oid(0),
    name: String::new(),
    table: Oid(0),
    columns: Vec::new(),
    unique: false,
    origin: IndexOrigin::Plain,
    comment: None,
};

fn table_of(object: &Object) -> &Table {
    match object {
        Object::Table(table) => table,
        _ => &NO_TABLE,
    }
}

impl Plan {
    fn new(catalog: &Catalog, oid: Oid) -> Result<Self, Refusal> {
        let object = catalog.get_shared(oid).filter(|object| matches!(***object, Object::Table(_)));
        let object = object
            .cloned()
            .ok_or_else(|| Refusal::SchemaChanged { detail: format!("table {} is gone", oid.0) })?;
        let found = |(oid, _)| Some(Found { oid, object: Arc::clone(catalog.get_shared(oid)?) });
        let indexes = catalog.indexes_of(oid).filter_map(found).collect();
        let mut parents = Vec::new();
        for (at, key) in table_of(&object).foreign_keys.iter().enumerate() {
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
        Ok(Self { object, indexes, parents, children })
    }

    /// The table.
    pub(crate) fn table(&self) -> &Table {
        table_of(&self.object)
    }

    /// The table's indexes.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = (Oid, &Index)> {
        self.indexes.iter().map(|found| match found.object.as_ref() {
            Object::Index(index) => (found.oid, index),
            _ => (found.oid, &NO_INDEX),
        })
    }
}

impl FromChild {
    /// The child and its foreign key.
    pub(super) fn key(&self) -> Option<(&Table, &ForeignKey)> {
        let child = table_of(&self.child);
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
