//! The catalog: every object by its OID, at one height. Data in the chain; a copy shares structure.

mod check;
mod map;
mod object;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{ColumnNumber, Table, Type, signature::PublicKey};

pub use map::Catalog;

/// An object's number, unique in the chain, never used twice. Users' objects start at 16384.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Oid(pub u32);

impl Oid {
    /// The first OID that a user's object can have.
    pub const FIRST_USER: Self = Self(16384);
    /// The database.
    pub const DATABASE: Self = Self(5);
    /// The role that a chain begins with.
    pub const FIRST_ROLE: Self = Self(10);
    /// Schema `public`.
    pub const PUBLIC_SCHEMA: Self = Self(2200);
    /// Schema `ledger`.
    pub const LEDGER_SCHEMA: Self = Self(13000);
    /// Numbers from here on are a session's own: no block ever holds them.
    pub const FIRST_TEMPORARY: Self = Self(0xC000_0000);

    /// Whether only a session has the object.
    pub fn is_temporary(self) -> bool {
        self >= Self::FIRST_TEMPORARY
    }
}

/// What the catalog holds. A definition in a transaction puts a whole object, or drops one.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Object {
    /// The database itself: exactly one, OID 5.
    Database(Database),
    /// `CREATE SCHEMA`
    Schema(Schema),
    /// `CREATE TABLE`
    Table(Table),
    /// `CREATE INDEX`, PRIMARY KEY, UNIQUE
    Index(Index),
    /// `CREATE VIEW`
    View(View),
    /// `CREATE SEQUENCE`
    Sequence(Sequence),
    /// `CREATE ROLE`
    Role(Role),
    /// Privileges that were granted on an object; the grants have an OID of their own.
    Grants(Grants),
    /// A member of the chain: who may propose, sign and vote.
    Member(Member),
}

/// Name spaces: a relation is a table, index, view or sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Databases.
    Database,
    /// Schemas.
    Schema,
    /// Tables, indexes, views, sequences: one name space per schema.
    Relation,
    /// Roles.
    Role,
    /// Grants: named by the OID they are about.
    Grants,
    /// Members.
    Member,
}

/// The database: its name and owner.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// `COMMENT ON SCHEMA`.
    pub comment: Option<String>,
}

/// An index: a primary key, a unique constraint, or one for speed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Index {
    /// Its table's schema.
    pub schema: Oid,
    /// Its name, unique among the relations of its schema.
    pub name: String,
    /// Its table.
    pub table: Oid,
    /// Its columns in order, ascending, NULLs last. 1..=32.
    pub columns: Vec<ColumnNumber>,
    /// No two rows alive share a key without NULLs.
    pub unique: bool,
    /// What made it.
    pub origin: IndexOrigin,
    /// `COMMENT ON INDEX`.
    pub comment: Option<String>,
}

/// What made an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum IndexOrigin {
    /// `PRIMARY KEY`; the constraint's own OID.
    PrimaryKey(Oid),
    /// `UNIQUE`; the constraint's own OID.
    Unique(Oid),
    /// `CREATE INDEX`.
    Plain,
    /// Made beside a foreign key to find children; not shown in the catalogs.
    ForeignKey,
}

/// A view: its query as text, with the columns that it gave when it was made.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct View {
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of its schema.
    pub name: String,
    /// The role that owns it; its query runs with the owner's privileges.
    pub owner: Oid,
    /// The query; every relation in it is named with its schema.
    pub query: String,
    /// Name and type of its columns.
    pub columns: Vec<(String, Type)>,
    /// The relations that it reads.
    pub depends_on: Vec<Oid>,
    /// OID of its row type.
    pub row_type: Oid,
    /// OID of the row type's array type.
    pub row_array_type: Oid,
    /// `COMMENT ON VIEW`.
    pub comment: Option<String>,
}

/// A sequence, with how far it was leased.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sequence {
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of its schema.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// `smallint`, `integer` or `bigint`.
    pub kind: Type,
    /// `START`
    pub start: i64,
    /// `INCREMENT`, not 0.
    pub increment: i64,
    /// `MINVALUE`
    pub min: i64,
    /// `MAXVALUE`
    pub max: i64,
    /// `CYCLE`
    pub cycle: bool,
    /// `CACHE`, at least 1.
    pub cache: i64,
    /// The column that owns it: dropped with it.
    pub owned_by: Option<(Oid, ColumnNumber)>,
    /// The next value that no node has leased; `None` when the sequence is used up.
    pub next: Option<i64>,
    /// Raised by RESTART, setval and ALTER: leases of an older epoch are void.
    pub epoch: u32,
}

/// A role: a user or a group.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// May connect.
    pub login: bool,
    /// Passes every privilege check, but no rule of the ledger.
    pub superuser: bool,
    /// May create roles.
    pub create_role: bool,
    /// May create databases.
    pub create_db: bool,
    /// Uses the privileges of the roles it is a member of.
    pub inherit: bool,
    /// SCRAM-SHA-256 verifier in PostgreSQL's form (`SCRAM-SHA-256$4096:salt$stored:server`).
    pub verifier: Option<String>,
    /// The roles it is a member of.
    pub member_of: Vec<Oid>,
}

/// A member of the chain: an organisation's node or nodes with one key.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Its name, unique among the members.
    pub name: String,
    /// Its Ed25519 key; the key's hash is the member's id in headers and transactions.
    pub public_key: PublicKey,
}

/// Privileges that were granted on one object.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grants {
    /// The database, schema, table, view or sequence.
    pub on: Oid,
    /// One item for each grantee and grantor.
    pub items: Vec<Grant>,
}

/// What one role was granted. `None` as grantee is PUBLIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// Who has it; `None` is PUBLIC.
    pub grantee: Option<Oid>,
    /// Who gave it.
    pub grantor: Oid,
    /// Bits of [`Privilege`].
    pub privileges: u16,
    /// Bits of [`Privilege`] that may be passed on.
    pub grantable: u16,
}

/// A privilege; the value is its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// `r`
    Select = 1,
    /// `a`
    Insert = 2,
    /// `w`
    Update = 4,
    /// `d`
    Delete = 8,
    /// `D`
    Truncate = 16,
    /// `x`
    References = 32,
    /// `t`
    Trigger = 64,
    /// `U`
    Usage = 128,
    /// `C`
    Create = 256,
    /// `c`
    Connect = 512,
    /// `T`
    Temporary = 1024,
}

impl Privilege {
    /// All of them, in order of their bits.
    pub const ALL: [Self; 11] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::References,
        Self::Trigger,
        Self::Usage,
        Self::Create,
        Self::Connect,
        Self::Temporary,
    ];

    /// Its bit in [`Grant::privileges`].
    pub fn bit(self) -> u16 {
        self as u16
    }
}
