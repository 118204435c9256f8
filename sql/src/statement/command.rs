//! What a statement asks for, as data: the commands of our own grammar, and sqlparser's statements
//! with what sqlparser doesn't read beside them.

use datafusion::sql::sqlparser::ast;

pub(crate) use super::tokens::{name_of, parts_of};

/// A statement.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Nothing.
    Empty,
    /// `BEGIN`, `START TRANSACTION`; the tag differs.
    Begin {
        modes: Modes,
        start: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    SetTransaction(Modes),
    SetCharacteristics(Modes),
    SetConstraints,
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    SetRole(Option<String>),
    SetAuthorization(Option<String>),
    Show(String),
    ShowAll,
    Reset(String),
    ResetAll,
    Discard(&'static str),
    /// Succeeds because there is nothing to do: VACUUM, ANALYZE, CHECKPOINT, UNLISTEN.
    Nothing {
        tag: &'static str,
        tables: Vec<Vec<String>>,
    },
    Lock {
        tables: Vec<Vec<String>>,
        mode: TableLock,
        nowait: bool,
    },
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Box<Self>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    Deallocate(Option<String>),
    Declare {
        name: String,
        hold: bool,
        scroll: bool,
        query: Box<Query>,
    },
    Fetch {
        name: String,
        direction: Direction,
        moves: bool,
    },
    Close(Option<String>),
    Explain {
        options: ExplainOptions,
        statement: Box<Self>,
    },
    Copy(Box<Copy>),
    CreateSequence {
        name: Vec<String>,
        if_not_exists: bool,
        options: SequenceOptions,
    },
    AlterSequence {
        name: Vec<String>,
        if_exists: bool,
        change: SequenceChange,
    },
    CreateRole {
        name: String,
        options: Vec<RoleOption>,
        user: bool,
    },
    AlterRole {
        name: String,
        change: RoleChange,
    },
    DropRole {
        names: Vec<String>,
        if_exists: bool,
    },
    Grant(Box<Grant>),
    GrantRole {
        roles: Vec<String>,
        to: Vec<String>,
        revoke: bool,
    },
    Comment {
        target: CommentTarget,
        text: Option<String>,
    },
    /// SELECT, VALUES, TABLE, WITH.
    Query(Box<Query>),
    /// INSERT, with what sqlparser doesn't read of it.
    Insert {
        insert: Box<ast::Insert>,
        with: Option<ast::With>,
        overriding: Option<Overriding>,
    },
    Update {
        update: Box<ast::Update>,
        with: Option<ast::With>,
    },
    Delete {
        delete: Box<ast::Delete>,
        with: Option<ast::With>,
    },
    Merge {
        merge: Box<ast::Merge>,
        with: Option<ast::With>,
    },
    /// CREATE TABLE, with its access method, and whether it is made WITH NO DATA.
    CreateTable {
        create: Box<ast::CreateTable>,
        using: Option<String>,
        empty: bool,
        likes: Vec<Like>,
    },
    AlterRelation {
        kind: RelationKind,
        name: Vec<String>,
        if_exists: bool,
        change: RelationChange,
    },
    /// Any other that sqlparser reads.
    Other(Box<ast::Statement>),
}

/// `LIKE table` among a table's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Like {
    pub(crate) table: Vec<String>,
    /// How many columns and constraints are written before it.
    pub(crate) at: usize,
    pub(crate) defaults: bool,
    pub(crate) constraints: bool,
    pub(crate) indexes: bool,
    pub(crate) identity: bool,
    pub(crate) comments: bool,
}

/// A query, with the row locks that it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) query: Box<ast::Query>,
    pub(crate) locks: Vec<RowLocks>,
    /// `SELECT … INTO`, and whether the table is temporary.
    pub(crate) into: Option<(Vec<String>, bool)>,
}

/// `FOR UPDATE` and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowLocks {
    pub(crate) strength: Strength,
    /// The relations it is about, by alias; empty: all.
    pub(crate) of: Vec<String>,
    pub(crate) wait: RowWait,
}

/// How strong a row lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

/// What to do about a row that is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowWait {
    Wait,
    NoWait,
    SkipLocked,
}

/// `OVERRIDING … VALUE`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overriding {
    System,
    User,
}

/// How a transaction runs; `None`: as the session's settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) isolation: Option<&'static str>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

/// LOCK TABLE's modes, as far as they differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableLock {
    /// ACCESS SHARE, ROW SHARE, ROW EXCLUSIVE: writers go on.
    Shared,
    /// SHARE UPDATE EXCLUSIVE and up: writers wait.
    Exclusive,
}

/// Where FETCH and MOVE go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// So many rows on; negative is back; 0 is the row again.
    Relative(i64),
    /// All that are left, on or back.
    All { back: bool },
    /// `ABSOLUTE n`, FIRST (1), LAST (-1).
    Absolute(i64),
    /// `RELATIVE n`: one row.
    Offset(i64),
}

/// EXPLAIN's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainOptions {
    pub(crate) analyze: bool,
    pub(crate) verbose: bool,
    pub(crate) json: bool,
}

/// COPY.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) what: CopyWhat,
    pub(crate) from: bool,
    pub(crate) options: crate::copy::CopyOptions,
    pub(crate) force_null: Vec<String>,
    pub(crate) force_not_null: Vec<String>,
    pub(crate) force_quote: Option<Vec<String>>,
    pub(crate) filter: Option<ast::Expr>,
}

/// What is copied.
#[derive(Clone, Debug)]
pub(crate) enum CopyWhat {
    Table {
        name: Vec<String>,
        columns: Vec<String>,
    },
    Query(Box<Query>),
    /// A statement that writes and returns rows.
    Writing(Box<Command>),
}

/// A sequence's options; `None` where nothing was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SequenceOptions {
    pub(crate) kind: Option<ast::DataType>,
    pub(crate) start: Option<i64>,
    pub(crate) increment: Option<i64>,
    /// `Some(None)` is NO MINVALUE.
    pub(crate) min: Option<Option<i64>>,
    pub(crate) max: Option<Option<i64>>,
    pub(crate) cache: Option<i64>,
    pub(crate) cycle: Option<bool>,
    /// `Some(None)` is OWNED BY NONE.
    pub(crate) owned_by: Option<Option<Vec<String>>>,
    /// `RESTART`, `RESTART WITH n`
    pub(crate) restart: Option<Option<i64>>,
}

/// ALTER SEQUENCE.
#[derive(Clone, Debug)]
pub(crate) enum SequenceChange {
    Options(SequenceOptions),
    Relation(RelationChange),
}

/// A role's option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleOption {
    Login(bool),
    Superuser(bool),
    CreateRole(bool),
    CreateDb(bool),
    Inherit(bool),
    /// `None` is PASSWORD NULL.
    Password(Option<String>),
    /// Roles that it becomes a member of.
    InRole(Vec<String>),
    /// Roles that become members of it.
    Members(Vec<String>),
}

/// ALTER ROLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleChange {
    Options(Vec<RoleOption>),
    Rename(String),
}

/// GRANT and REVOKE on objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) revoke: bool,
    /// `None` is ALL.
    pub(crate) privileges: Option<Vec<ledger::catalog::Privilege>>,
    pub(crate) on: GrantTarget,
    /// `None` is PUBLIC.
    pub(crate) grantees: Vec<Option<String>>,
    /// WITH GRANT OPTION, or GRANT OPTION FOR.
    pub(crate) option: bool,
    pub(crate) cascade: bool,
}

/// What privileges are granted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrantTarget {
    Tables(Vec<Vec<String>>),
    Sequences(Vec<Vec<String>>),
    Schemas(Vec<String>),
    Databases(Vec<String>),
    AllTables(Vec<String>),
    AllSequences(Vec<String>),
}

/// What is commented on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommentTarget {
    Relation { kind: RelationKind, name: Vec<String> },
    Column { table: Vec<String>, column: String },
    Schema(String),
    Database(String),
    Constraint { name: String, table: Vec<String> },
    Role(String),
}

/// Kinds of relations, as statements name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelationKind {
    Table,
    View,
    Index,
    Sequence,
}

impl RelationKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Index => "index",
            Self::Sequence => "sequence",
        }
    }
}

/// What ALTER does to any relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RelationChange {
    Rename(String),
    SetSchema(String),
    Owner(String),
    /// `ALTER VIEW v RENAME COLUMN a TO b`
    RenameColumn(String, String),
}
