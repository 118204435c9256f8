//! Why the rules refuse a transaction: the same answer on every node.

use thiserror::Error;

use crate::{DecodeError, Oid, VersionId};

/// A refusal. Names are carried, so that a client's message needs no catalog of another height.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 23505
    #[error("duplicate key value violates unique constraint \"{constraint}\"")]
    Duplicate {
        /// Schema, table and constraint (or index) by name.
        schema: String,
        /// The table.
        table: String,
        /// The constraint or index.
        constraint: String,
        /// `Key (a, b)=(1, x) already exists.`
        detail: String,
    },
    /// 23502
    #[error(
        "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
    )]
    NotNull {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// `Failing row contains (…).`
        detail: String,
    },
    /// 23514
    #[error("new row for relation \"{table}\" violates check constraint \"{constraint}\"")]
    Check {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
        /// The constraint.
        constraint: String,
        /// `Failing row contains (…).`
        detail: String,
    },
    /// 23503: a child without a parent.
    #[error(
        "insert or update on table \"{table}\" violates foreign key constraint \"{constraint}\""
    )]
    NoParent {
        /// The child's schema.
        schema: String,
        /// The child.
        table: String,
        /// The constraint.
        constraint: String,
        /// `Key (a)=(1) is not present in table "parent".`
        detail: String,
    },
    /// 23503: a parent that still has children.
    #[error(
        "update or delete on table \"{parent}\" violates foreign key constraint \"{constraint}\" on table \"{table}\""
    )]
    HasChildren {
        /// The parent's schema.
        schema: String,
        /// The parent.
        parent: String,
        /// The child.
        table: String,
        /// The constraint.
        constraint: String,
        /// `Key (id)=(1) is still referenced from table "child".`
        detail: String,
    },
    /// 55000
    #[error("\"{table}\" is append-only")]
    AppendOnly {
        /// The table.
        table: String,
    },
    /// 40001: a version that the transaction rests on is no longer alive.
    #[error("could not serialize access due to concurrent update")]
    Superseded {
        /// The table.
        table: Oid,
        /// The version.
        version: VersionId,
    },
    /// 40001: the catalog changed under the transaction (an OID taken, a table changed or gone).
    #[error("could not serialize access due to a concurrent change of the schema")]
    SchemaChanged {
        /// What changed.
        detail: String,
    },
    /// A value that its type doesn't allow, or arithmetic that fails in a rule: 22xxx.
    #[error("{message}")]
    Data {
        /// The SQLSTATE: `22001`, `22003`, `22012`, `22P02`, …
        sqlstate: &'static str,
        /// PostgreSQL's message.
        message: String,
    },
    /// 42501
    #[error("permission denied for {kind} {name}")]
    Privilege {
        /// `table`, `schema`, `sequence`, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// 42704, 42P01, 42P07, 2BP01, …: a definition that doesn't fit the catalog.
    #[error("{message}")]
    Definition {
        /// The SQLSTATE.
        sqlstate: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Malformed operation that no correct node makes (row bytes that don't decode, …): XX000 to the client.
    #[error("malformed transaction: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
}

impl Refusal {
    /// A value that its type doesn't allow.
    pub fn data(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Data { sqlstate, message: message.into() }
    }

    /// A definition that doesn't fit the catalog.
    pub fn definition(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::Definition { sqlstate, message: message.into() }
    }

    /// An operation that no correct node makes.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed { detail: detail.into() }
    }

    /// Its SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "23505",
            Self::NotNull { .. } => "23502",
            Self::Check { .. } => "23514",
            Self::NoParent { .. } | Self::HasChildren { .. } => "23503",
            Self::AppendOnly { .. } => "55000",
            Self::Superseded { .. } | Self::SchemaChanged { .. } => "40001",
            Self::Data { sqlstate, .. } | Self::Definition { sqlstate, .. } => sqlstate,
            Self::Privilege { .. } => "42501",
            Self::Malformed { .. } => "XX000",
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Malformed { detail: error.to_string() }
    }
}
