//! The catalog itself: objects by OID and by name, who refers to whom, and changes one by one.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{
    Database, Grants, Index, Kind, Member, Object, Oid, Role, Schema, Sequence, View, check,
};
use crate::codec::encode;
use crate::hash::{Domain, hash};
use crate::{Hash, Operation, Refusal, Table};

/// All objects at one height. A clone shares structure, and costs next to nothing.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    objects: OrdMap<Oid, Arc<Object>>,
    names: OrdMap<(Kind, Oid, String), Oid>,
    /// (referred to, referring)
    dependents: OrdSet<(Oid, Oid)>,
    /// The greatest OID ever used.
    greatest: u32,
    version: u64,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $one:ident, $(#[$doc_all:meta])* $all:ident: $kind:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $one(&self, oid: Oid) -> Option<&$kind> {
                match self.get(oid)? {
                    Object::$kind(object) => Some(object),
                    _ => None,
                }
            }

            $(#[$doc_all])*
            pub fn $all(&self) -> impl Iterator<Item = (Oid, &$kind)> {
                self.objects.iter().filter_map(|(oid, object)| match object.as_ref() {
                    Object::$kind(object) => Some((*oid, object)),
                    _ => None,
                })
            }
        )*
    };
}

impl Catalog {
    getters! {
        /// The table of this OID.
        table, /// All tables, by OID.
        tables: Table;
        /// The index of this OID.
        index, /// All indexes, by OID.
        indexes: Index;
        /// The view of this OID.
        view, /// All views, by OID.
        views: View;
        /// The sequence of this OID.
        sequence, /// All sequences, by OID.
        sequences: Sequence;
        /// The schema of this OID.
        schema, /// All schemas, by OID.
        schemas: Schema;
        /// The role of this OID.
        role, /// All roles, by OID.
        roles: Role;
        /// The grants of this OID (see [`Self::grants_on`]).
        grants, /// All grants, by their own OIDs.
        all_grants: Grants;
        /// The database of this OID.
        database, /// The databases: one.
        databases: Database;
    }

    /// The member of this OID.
    pub fn member(&self, oid: Oid) -> Option<&Member> {
        match self.get(oid)? {
            Object::Member(member) => Some(member),
            _ => None,
        }
    }

    /// All members, by OID. Every transaction asks for them, so that no other objects are walked through.
    pub fn members(&self) -> impl Iterator<Item = (Oid, &Member)> {
        let first = (Kind::Member, Oid(0), String::new());
        let named = self.names.range(first..).take_while(|(name, _)| name.0 == Kind::Member);
        let mut oids: Vec<Oid> = named.map(|(_, oid)| *oid).collect();
        oids.sort_unstable();
        oids.into_iter().filter_map(|oid| Some((oid, self.member(oid)?)))
    }

    /// The object of this OID.
    pub fn get(&self, oid: Oid) -> Option<&Object> {
        self.objects.get(&oid).map(Arc::as_ref)
    }

    /// The object of this OID, shared.
    pub fn get_shared(&self, oid: Oid) -> Option<&Arc<Object>> {
        self.objects.get(&oid)
    }

    /// All objects, by OID.
    pub fn iter(&self) -> impl Iterator<Item = (Oid, &Object)> {
        self.objects.iter().map(|(oid, object)| (*oid, object.as_ref()))
    }

    fn find(&self, kind: Kind, within: Oid, name: &str) -> Option<Oid> {
        self.names.get(&(kind, within, name.to_owned())).copied()
    }

    /// The table, index, view or sequence of this name in the schema.
    pub fn find_relation(&self, schema: Oid, name: &str) -> Option<Oid> {
        self.find(Kind::Relation, schema, name)
    }

    /// The schema of this name.
    pub fn find_schema(&self, name: &str) -> Option<Oid> {
        self.find(Kind::Schema, Oid(0), name)
    }

    /// The role of this name.
    pub fn find_role(&self, name: &str) -> Option<Oid> {
        self.find(Kind::Role, Oid(0), name)
    }

    /// The member of this name.
    pub fn find_member(&self, name: &str) -> Option<Oid> {
        self.find(Kind::Member, Oid(0), name)
    }

    /// The member whose key has this hash.
    pub fn member_of_hash(&self, id: Hash) -> Option<(Oid, &Member)> {
        self.members().find(|(_, member)| member.public_key.member() == id)
    }

    /// The grants on an object: their OID and what they are.
    pub fn grants_on(&self, on: Oid) -> Option<(Oid, &Grants)> {
        let oid = self.find(Kind::Grants, on, "")?;
        Some((oid, self.grants(oid)?))
    }

    /// The objects that refer to this one, by OID: tables to their parents, indexes to their table, ….
    pub fn dependents(&self, on: Oid) -> impl Iterator<Item = (Oid, &Object)> {
        self.dependents
            .range((on, Oid(0))..=(on, Oid(u32::MAX)))
            .filter_map(|(_, by)| Some((*by, self.get(*by)?)))
    }

    /// The table's indexes, by OID, hidden ones too.
    pub fn indexes_of(&self, table: Oid) -> impl Iterator<Item = (Oid, &Index)> {
        self.dependents(table).filter_map(move |(oid, object)| match object {
            Object::Index(index) if index.table == table => Some((oid, index)),
            _ => None,
        })
    }

    /// The table's primary key.
    pub fn primary_key_of(&self, table: Oid) -> Option<(Oid, &Index)> {
        self.indexes_of(table)
            .find(|(_, index)| matches!(index.origin, super::IndexOrigin::PrimaryKey(_)))
    }

    /// The foreign keys that refer to the table, each with its (child) table.
    pub fn foreign_keys_to(
        &self,
        parent: Oid,
    ) -> impl Iterator<Item = (Oid, &Table, &crate::table::ForeignKey)> {
        self.dependents(parent)
            .filter_map(|(oid, object)| match object {
                Object::Table(table) => Some((oid, table)),
                _ => None,
            })
            .flat_map(move |(oid, table)| {
                let keys = table.foreign_keys.iter().filter(move |key| key.parent == parent);
                keys.map(move |key| (oid, table, key))
            })
    }

    /// The first OID that a new object (or constraint, or row type) may have.
    pub fn next_oid(&self) -> Oid {
        Oid(self.greatest.saturating_add(1).max(Oid::FIRST_USER.0))
    }

    /// Raised by each definition and each drop; a plan made at another version is made again.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Hash of the member set and the policies in force.
    pub fn governance(&self) -> Hash {
        let members: Vec<(Oid, &Member)> = self.members().collect();
        hash(Domain::Governance, &[&encode(&members)])
    }

    /// Puts an object in, or replaces the one of its OID. References to other objects are not followed: a
    /// transaction may define them later (see [`Self::check_references`]).
    ///
    /// # Errors
    /// When the name is taken, or the definition is wrong in itself or no lawful change of the old one. The
    /// catalog is then unchanged.
    pub fn put(&mut self, oid: Oid, object: Object) -> Result<(), Refusal> {
        let old = self.objects.get(&oid).cloned();
        check::check_object(&object, old.as_deref())?;
        let name = object.name_key();
        if self.names.get(&name).is_some_and(|holder| *holder != oid) {
            return Err(check::taken(&object));
        }
        if let Some(old) = old {
            self.unlink(oid, &old);
        }
        self.names.insert(name, oid);
        for on in object.references() {
            self.dependents.insert((on, oid));
        }
        let numbers = object.inner_oids().into_iter().chain([oid]);
        let lasting = numbers.filter(|number| !number.is_temporary()).map(|number| number.0);
        self.greatest = self.greatest.max(lasting.max().unwrap_or(0));
        self.objects.insert(oid, Arc::new(object));
        self.version += 1;
        Ok(())
    }

    /// Takes an object out.
    ///
    /// # Errors
    /// When there is none of this OID.
    pub fn remove(&mut self, oid: Oid) -> Result<Arc<Object>, Refusal> {
        let old = self.objects.remove(&oid).ok_or_else(|| Refusal::SchemaChanged {
            detail: format!("object {} does not exist", oid.0),
        })?;
        self.unlink(oid, &old);
        self.version += 1;
        Ok(old)
    }

    fn unlink(&mut self, oid: Oid, old: &Object) {
        self.names.remove(&old.name_key());
        for on in old.references() {
            self.dependents.remove(&(on, oid));
        }
    }

    /// Leases values of a sequence: those from `from` to before `next`.
    ///
    /// # Errors
    /// 40001 when another lease or a RESTART came first.
    pub fn lease(
        &mut self,
        oid: Oid,
        epoch: u32,
        from: i64,
        next: Option<i64>,
    ) -> Result<(), Refusal> {
        let changed = |detail: &str| Refusal::SchemaChanged { detail: detail.to_owned() };
        let Some(sequence) = self.sequence(oid) else {
            return Err(changed("the sequence does not exist"));
        };
        if sequence.epoch != epoch || sequence.next != Some(from) {
            return Err(changed("the sequence's next value changed"));
        }
        if next.is_some_and(|next| !(sequence.min..=sequence.max).contains(&next)) {
            return Err(Refusal::malformed("a lease out of the sequence's bounds"));
        }
        let leased = Sequence { next, ..sequence.clone() };
        self.objects.insert(oid, Arc::new(Object::Sequence(leased)));
        Ok(())
    }

    /// Does what a definition, drop or lease says; rows' operations change nothing here.
    ///
    /// # Errors
    /// As of [`Self::put`], [`Self::remove`] and [`Self::lease`].
    pub fn apply(&mut self, operation: &Operation) -> Result<(), Refusal> {
        match operation {
            Operation::Define { oid, object } => self.put(*oid, object.as_ref().clone()),
            Operation::Drop { oid } => self.remove(*oid).map(drop),
            Operation::Lease { sequence, epoch, from, next } => {
                self.lease(*sequence, *epoch, *from, *next)
            }
            Operation::Insert { .. } | Operation::Update { .. } | Operation::Delete { .. } => {
                Ok(())
            }
        }
    }
}
