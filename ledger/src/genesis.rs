//! The first block of a chain: the database, its first role and member, its schemas and their privileges.

#[cfg(test)]
mod tests;

use crate::catalog::{Database, Grant, Grants, Member, Object, Oid, Privilege, Role, Schema};
use crate::transaction::{Operation, Signature, Transaction, TransactionId};
use crate::{Block, Catalog, Hash, Height, NodeKey, Proposal, Refusal};

/// Privileges of PUBLIC on schema `public`.
const PUBLIC_GRANTS: Oid = Oid(13001);
/// Privileges of PUBLIC on schema `ledger`.
const LEDGER_GRANTS: Oid = Oid(13002);
/// Privileges of PUBLIC on the database.
const DATABASE_GRANTS: Oid = Oid(13003);
/// The first member.
const FIRST_MEMBER: Oid = Oid(13100);

/// What a chain begins with.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The database's name.
    pub database: String,
    /// The first role's name: a superuser who may connect.
    pub role: String,
    /// Its SCRAM-SHA-256 verifier.
    pub verifier: Option<String>,
    /// The first member's name.
    pub member: String,
    /// The number of the transaction that defines all this.
    pub id: TransactionId,
    /// When, µs since 1970 UTC.
    pub time_us: i64,
}

impl Genesis {
    /// The first objects, in the order in which they are defined.
    fn objects(&self, key: &NodeKey) -> Vec<(Oid, Object)> {
        let owner = Oid::FIRST_ROLE;
        let schema = |name: &str, comment: &str| {
            let (name, comment) = (name.to_owned(), Some(comment.to_owned()));
            Object::Schema(Schema { name, owner, comment })
        };
        let to_public = |on, privileges: &[Privilege]| {
            let privileges = privileges.iter().fold(0, |bits, one| bits | one.bit());
            let item = Grant { grantee: None, grantor: owner, privileges, grantable: 0 };
            Object::Grants(Grants { on, items: vec![item] })
        };
        let role = Role {
            name: self.role.clone(),
            login: true,
            superuser: true,
            create_role: true,
            create_db: true,
            inherit: true,
            verifier: self.verifier.clone(),
            member_of: Vec::new(),
        };
        let member = Member { name: self.member.clone(), public_key: key.public() };
        let database = Database { name: self.database.clone(), owner };
        vec![
            (owner, Object::Role(role)),
            (FIRST_MEMBER, Object::Member(member)),
            (Oid::DATABASE, Object::Database(database)),
            (Oid::PUBLIC_SCHEMA, schema("public", "standard public schema")),
            (Oid::LEDGER_SCHEMA, schema("ledger", "the ledger: functions, views and settings")),
            (PUBLIC_GRANTS, to_public(Oid::PUBLIC_SCHEMA, &[Privilege::Usage])),
            (LEDGER_GRANTS, to_public(Oid::LEDGER_SCHEMA, &[Privilege::Usage])),
            (
                DATABASE_GRANTS,
                to_public(Oid::DATABASE, &[Privilege::Connect, Privilege::Temporary]),
            ),
        ]
    }

    /// The genesis block, made and signed by the first member.
    ///
    /// # Errors
    /// When a name is not one that an object may have.
    pub fn block(&self, key: &NodeKey) -> Result<Block, Refusal> {
        let mut catalog = Catalog::default();
        let mut operations = Vec::new();
        for (oid, object) in self.objects(key) {
            catalog.put(oid, object.clone())?;
            operations.push(Operation::Define { oid, object: Box::new(object) });
        }
        let mut transaction = Transaction {
            id: self.id,
            user: self.role.clone(),
            member: key.member(),
            statement: String::new(),
            idempotency_key: None,
            snapshot: Height(0),
            operations,
            signature: Signature::NONE,
            endorsements: Vec::new(),
        };
        transaction.sign(key, Hash::default())?;
        let block = Block::first(Proposal {
            clock_us: self.time_us,
            proposer: key.member(),
            governance: catalog.governance(),
            transactions: vec![transaction],
            ..Proposal::default()
        })?;
        Ok(block)
    }
}
