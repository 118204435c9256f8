//! A table's definition: columns, constraints, ledger mode. Data in the chain.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Oid, Rule, Type, Value};

/// A column's number in its table, from 1 in order of creation, never used twice (`pg_attribute.attnum`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct ColumnNumber(pub u16);

/// A table. Its rows are versions; a version is never rewritten.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Table {
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of its schema; at most 63 bytes.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// All columns in order of their numbers (index = number - 1), dropped ones too. At most 1,600.
    pub columns: Vec<Column>,
    /// Whether rows may be changed after they were written.
    pub mode: Mode,
    /// How long rows must be kept, in days; it may only grow.
    pub retain_days: Option<u32>,
    /// Constraints of the table that are no indexes.
    pub checks: Vec<Check>,
    /// Foreign keys to other tables.
    pub foreign_keys: Vec<ForeignKey>,
    /// `COMMENT ON TABLE`.
    pub comment: Option<String>,
    /// OID of its row type and of that type's array (`pg_type`).
    pub row_type: Oid,
    /// OID of the row type's array type.
    pub row_array_type: Oid,
}

/// Whether rows may be changed after they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Mode {
    /// Insert only; UPDATE, DELETE and TRUNCATE are refused (55000).
    AppendOnly,
    /// Updates and deletes add versions.
    Updatable,
}

/// One column.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Column {
    /// Its number.
    pub number: ColumnNumber,
    /// Its name, unique among the columns that are not dropped; at most 63 bytes.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// NULL is refused (23502).
    pub not_null: bool,
    /// The value when an INSERT names none.
    pub default: Option<ColumnDefault>,
    /// `GENERATED … AS IDENTITY`; its sequence is owned by the column.
    pub identity: Option<Identity>,
    /// Committed on its own with a salt, so that it can be erased.
    pub redactable: bool,
    /// What rows written before the column existed hold (`ADD COLUMN … DEFAULT`).
    pub missing: Value,
    /// Hidden by `DROP COLUMN`; old versions keep it.
    pub dropped: bool,
    /// `COMMENT ON COLUMN`.
    pub comment: Option<String>,
}

/// A default: what to evaluate, and how it is shown.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct ColumnDefault {
    /// Evaluated by the serving node; only its value goes into the chain.
    pub rule: Rule,
    /// As `pg_get_expr` shows it.
    pub text: String,
}

/// `GENERATED … AS IDENTITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Identity {
    /// The sequence that feeds it.
    pub sequence: Oid,
    /// ALWAYS: an explicit value is refused (428C9) unless OVERRIDING SYSTEM VALUE.
    pub always: bool,
}

/// `CHECK`.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct Check {
    /// The constraint's own OID (`pg_constraint`).
    pub oid: Oid,
    /// Unique in the table.
    pub name: String,
    /// Refused when false; NULL passes.
    pub rule: Rule,
    /// As `pg_get_constraintdef` shows what stands in the parentheses.
    pub text: String,
}

/// `FOREIGN KEY … REFERENCES`, MATCH SIMPLE, not deferrable.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct ForeignKey {
    /// The constraint's own OID (`pg_constraint`).
    pub oid: Oid,
    /// Unique in the table.
    pub name: String,
    /// The referring columns.
    pub columns: Vec<ColumnNumber>,
    /// The table referred to.
    pub parent: Oid,
    /// Its columns, in the order of `columns`.
    pub parent_columns: Vec<ColumnNumber>,
    /// The unique index that finds the parent; its columns are `parent_columns` in some order.
    pub parent_index: Oid,
    /// The (hidden, not unique) index over `columns` that finds the children.
    pub index: Oid,
    /// When the parent is deleted.
    pub on_delete: Action,
    /// When the parent's key changes.
    pub on_update: Action,
}

/// What happens to the children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// Refused at the statement's end if children remain (23503).
    NoAction,
    /// Refused at once (23503).
    Restrict,
    /// Children go, or change, too.
    Cascade,
    /// Children's columns become NULL.
    SetNull,
    /// Children's columns take their defaults.
    SetDefault,
}

impl Table {
    /// The column of this number, dropped or not.
    pub fn column(&self, number: ColumnNumber) -> Option<&Column> {
        self.columns.get(usize::from(number.0).checked_sub(1)?)
    }

    /// The column of this name, if it is not dropped.
    pub fn find_column(&self, name: &str) -> Option<&Column> {
        self.live_columns().find(|column| column.name == name)
    }

    /// The columns that are not dropped, in order of their numbers.
    pub fn live_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.dropped)
    }
}
