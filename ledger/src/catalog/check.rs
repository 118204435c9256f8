//! Whether a definition is right: in itself, as a change of an old one, and among the other objects.

use super::{Catalog, Index, Object, Oid, Sequence};
use crate::codec::MAX_DEPTH;
use crate::row::MAX_COLUMNS;
use crate::table::{ForeignKey, Mode, Table};
use crate::{Column, ColumnNumber, Refusal, Type};

/// Bytes that a name may have.
const MAX_NAME: usize = 63;

/// Columns that an index may have.
const MAX_INDEX_COLUMNS: usize = 32;

/// The name is in use.
pub(super) fn taken(object: &Object) -> Refusal {
    let (sqlstate, kind) = match object {
        Object::Schema(_) => ("42P06", "schema"),
        Object::Role(_) => ("42710", "role"),
        Object::Database(_) => ("42P04", "database"),
        Object::Member(_) => ("42710", "member"),
        Object::Grants(_) => ("42710", "privileges"),
        _ => ("42P07", "relation"),
    };
    Refusal::definition(sqlstate, format!("{kind} \"{}\" already exists", object.name()))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
        return Err(Refusal::definition("42602", format!("invalid name \"{name}\"")));
    }
    Ok(())
}

/// Checks an object in itself, and against the one that it replaces.
pub(super) fn check_object(object: &Object, old: Option<&Object>) -> Result<(), Refusal> {
    if !matches!(object, Object::Grants(_)) {
        check_name(object.name())?;
    }
    let same_kind =
        old.is_none_or(|old| std::mem::discriminant(old) == std::mem::discriminant(object));
    if !same_kind {
        return Err(Refusal::malformed("an object that changes its kind"));
    }
    match object {
        Object::Table(table) => {
            check_table(table)?;
            if let Some(Object::Table(old)) = old {
                check_change(table, old)?;
            }
            Ok(())
        }
        Object::Index(index) => check_index(index, old),
        Object::Sequence(sequence) => check_sequence(sequence),
        Object::View(view) => view.columns.iter().try_for_each(|(_, kind)| kind.check()),
        _ => Ok(()),
    }
}

fn check_table(table: &Table) -> Result<(), Refusal> {
    if table.columns.len() > MAX_COLUMNS {
        return Err(Refusal::definition("54011", "tables can have at most 1600 columns"));
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, column) in table.columns.iter().enumerate() {
        if usize::from(column.number.0) != index + 1 {
            return Err(Refusal::malformed("columns out of order"));
        }
        if column.dropped {
            continue;
        }
        check_name(&column.name)?;
        column.kind.check()?;
        if !names.insert(column.name.as_str()) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(Refusal::definition("42701", message));
        }
        if column.not_null && column.redactable {
            // Erasing it would break the promise.
            let message = format!("redactable column \"{}\" cannot be NOT NULL", column.name);
            return Err(Refusal::definition("0A000", message));
        }
    }
    check_rules(table)?;
    check_constraint_names(table)
}

/// Rules are no deeper than can be decoded again, and a CHECK asks for nothing volatile.
fn check_rules(table: &Table) -> Result<(), Refusal> {
    let defaults = table.columns.iter().filter_map(|column| column.default.as_ref());
    let rules = defaults.map(|default| &default.rule);
    if rules.chain(table.checks.iter().map(|check| &check.rule)).any(|r| r.depth() > MAX_DEPTH) {
        return Err(Refusal::definition("54001", "expression is nested too deep"));
    }
    if table.checks.iter().any(|check| check.rule.is_volatile()) {
        let message = "functions in a check constraint must be immutable";
        return Err(Refusal::definition("42P17", message));
    }
    Ok(())
}

fn check_constraint_names(table: &Table) -> Result<(), Refusal> {
    let mut names = std::collections::BTreeSet::new();
    let checks = table.checks.iter().map(|check| &check.name);
    for name in checks.chain(table.foreign_keys.iter().map(|key| &key.name)) {
        check_name(name)?;
        if !names.insert(name) {
            let message =
                format!("constraint \"{name}\" for relation \"{}\" already exists", table.name);
            return Err(Refusal::definition("42710", message));
        }
    }
    for key in &table.foreign_keys {
        if key.columns.is_empty() || key.columns.len() != key.parent_columns.len() {
            let message = "number of referencing and referenced columns for foreign key disagree";
            return Err(Refusal::definition("42830", message));
        }
    }
    Ok(())
}

/// What must stay when a table is defined anew.
fn check_change(table: &Table, old: &Table) -> Result<(), Refusal> {
    if table.columns.len() < old.columns.len() {
        return Err(Refusal::malformed("a table that loses columns"));
    }
    for (new, old) in table.columns.iter().zip(&old.columns) {
        if old.dropped && !new.dropped {
            return Err(Refusal::malformed("a dropped column that comes back"));
        }
        if !new.kind.reads_bytes_of(&old.kind) {
            let message = format!("type of column \"{}\" cannot be changed", old.name);
            return Err(Refusal::definition("0A000", message));
        }
        if new.missing != old.missing {
            return Err(Refusal::malformed("a column whose value of old rows changes"));
        }
    }
    if old.mode == Mode::AppendOnly && table.mode != Mode::AppendOnly {
        let message = format!("append-only table \"{}\" cannot become updatable", old.name);
        return Err(Refusal::definition("55000", message));
    }
    if old.retain_days.unwrap_or(0) > table.retain_days.unwrap_or(0) {
        let message = format!("retention of table \"{}\" may only grow", old.name);
        return Err(Refusal::definition("55000", message));
    }
    Ok(())
}

fn check_index(index: &Index, old: Option<&Object>) -> Result<(), Refusal> {
    if index.columns.is_empty() || index.columns.len() > MAX_INDEX_COLUMNS {
        let message = format!("cannot use more than {MAX_INDEX_COLUMNS} columns in an index");
        return Err(Refusal::definition("54011", message));
    }
    if let Some(Object::Index(old)) = old
        && (old.table != index.table || old.columns != index.columns)
    {
        return Err(Refusal::malformed("an index that changes its columns"));
    }
    Ok(())
}

fn check_sequence(sequence: &Sequence) -> Result<(), Refusal> {
    let wrong = |message: String| Err(Refusal::definition("22023", message));
    let (low, high) = match sequence.kind {
        Type::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::Int8 => (i64::MIN, i64::MAX),
        _ => return wrong("sequence type must be smallint, integer, or bigint".to_owned()),
    };
    if sequence.increment == 0 {
        return wrong("INCREMENT must not be zero".to_owned());
    }
    if sequence.min < low || sequence.max > high {
        let kind = &sequence.kind;
        return wrong(format!("bounds of the sequence are out of range for type {kind}"));
    }
    if sequence.min >= sequence.max {
        let (min, max) = (sequence.min, sequence.max);
        return wrong(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})"));
    }
    if sequence.start < sequence.min {
        let (start, min) = (sequence.start, sequence.min);
        return wrong(format!("START value ({start}) cannot be less than MINVALUE ({min})"));
    }
    if sequence.start > sequence.max {
        let (start, max) = (sequence.start, sequence.max);
        return wrong(format!("START value ({start}) cannot be greater than MAXVALUE ({max})"));
    }
    if sequence.cache < 1 {
        return wrong(format!("CACHE ({}) must be greater than zero", sequence.cache));
    }
    Ok(())
}

impl Catalog {
    /// Checks an object that a transaction defined or dropped, once all of its definitions are in: what it
    /// refers to is there and fits, and what refers to it still may.
    ///
    /// # Errors
    /// 2BP01 when others depend on a dropped object; 40001 or another when a reference doesn't hold.
    pub fn check_references(&self, oid: Oid) -> Result<(), Refusal> {
        let Some(object) = self.get(oid) else {
            return match self.dependents(oid).next() {
                None => Ok(()),
                Some((_, by)) => {
                    let (kind, name) = (by.kind_name(), by.name());
                    let message =
                        format!("cannot drop object because {kind} \"{name}\" depends on it");
                    Err(Refusal::definition("2BP01", message))
                }
            };
        };
        for on in object.references() {
            if self.get(on).is_none() {
                let (kind, name) = (object.kind_name(), object.name());
                let detail = format!("{kind} \"{name}\" refers to object {}, which is gone", on.0);
                return Err(Refusal::SchemaChanged { detail });
            }
        }
        if object.schema().is_some_and(|schema| self.schema(schema).is_none())
            || object.owner().is_some_and(|owner| self.role(owner).is_none())
        {
            return Err(Refusal::malformed("a schema or owner of another kind"));
        }
        match object {
            Object::Index(index) => self.check_index_columns(index),
            Object::Table(table) => {
                for (_, index) in self.indexes_of(oid) {
                    self.check_index_columns(index)?;
                }
                table
                    .foreign_keys
                    .iter()
                    .try_for_each(|key| self.check_foreign_key(oid, table, key))?;
                for (child_oid, child, key) in self.foreign_keys_to(oid) {
                    self.check_foreign_key(child_oid, child, key)?;
                }
                Ok(())
            }
            Object::Role(role) => self.check_membership(oid, &role.member_of),
            _ => Ok(()),
        }
    }

    fn check_index_columns(&self, index: &Index) -> Result<(), Refusal> {
        let table = self.table(index.table);
        let table = table.ok_or_else(|| Refusal::malformed("an index of what is no table"))?;
        if table.schema != index.schema {
            return Err(Refusal::malformed("an index in another schema than its table"));
        }
        for number in &index.columns {
            let column = live_column(table, *number)?;
            if column.kind == Type::Json || column.kind.element() == Some(&Type::Json) {
                let message = format!("data type {} has no default operator class", column.kind);
                return Err(Refusal::definition("42704", message));
            }
            if matches!(index.origin, super::IndexOrigin::PrimaryKey(_)) && !column.not_null {
                return Err(Refusal::malformed("a primary key over a column that may be NULL"));
            }
            if column.redactable {
                let message = format!("redactable column \"{}\" cannot be indexed", column.name);
                return Err(Refusal::definition("0A000", message));
            }
        }
        Ok(())
    }

    fn check_foreign_key(&self, oid: Oid, child: &Table, key: &ForeignKey) -> Result<(), Refusal> {
        let parent = self.table(key.parent);
        let parent = parent.ok_or_else(|| Refusal::malformed("a parent that is no table"))?;
        let unique = self.index(key.parent_index).filter(|index| {
            let same = index.columns.len() == key.parent_columns.len()
                && index.columns.iter().all(|column| key.parent_columns.contains(column));
            index.unique && index.table == key.parent && same
        });
        if unique.is_none() {
            let message = format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                parent.name
            );
            return Err(Refusal::definition("42830", message));
        }
        let finds = self
            .index(key.index)
            .is_some_and(|index| index.table == oid && index.columns == key.columns);
        if !finds {
            return Err(Refusal::malformed("a foreign key without its index"));
        }
        for (column, parent_column) in key.columns.iter().zip(&key.parent_columns) {
            let column = live_column(child, *column)?;
            let parent_column = live_column(parent, *parent_column)?;
            if !same_keys(&column.kind, &parent_column.kind) {
                let message =
                    format!("foreign key constraint \"{}\" cannot be implemented", key.name);
                return Err(Refusal::definition("42804", message));
            }
        }
        Ok(())
    }

    /// Refuses a role that is a member of itself, through others or not.
    fn check_membership(&self, role: Oid, member_of: &[Oid]) -> Result<(), Refusal> {
        let mut seen = std::collections::BTreeSet::new();
        let mut open: Vec<Oid> = member_of.to_vec();
        while let Some(next) = open.pop() {
            if next == role {
                return Err(Refusal::definition("0LP01", "a role cannot be a member of itself"));
            }
            let group = self.role(next);
            let group = group.ok_or_else(|| Refusal::malformed("a membership in no role"))?;
            if seen.insert(next) {
                open.extend_from_slice(&group.member_of);
            }
        }
        Ok(())
    }
}

fn live_column(table: &Table, number: ColumnNumber) -> Result<&Column, Refusal> {
    let column = table.column(number).filter(|column| !column.dropped);
    column.ok_or_else(|| Refusal::malformed("a constraint over a column that is gone"))
}

/// Whether equal values of the two types have equal keys.
fn same_keys(a: &Type, b: &Type) -> bool {
    let family = |kind: &Type| match kind {
        Type::Int2 | Type::Int4 | Type::Int8 => 1,
        Type::Numeric { .. } | Type::Decimal => 2,
        Type::Float4 | Type::Float8 => 3,
        Type::Text | Type::Varchar(_) => 4,
        Type::Char(_) => 5,
        _ => 0,
    };
    a == b || (family(a) != 0 && family(a) == family(b))
}
