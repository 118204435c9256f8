//! Who may do what: ownership, grants and memberships. A superuser passes every check here, but none of the
//! ledger's other rules.

use std::collections::BTreeSet;

use crate::catalog::{Grant, Grants, Object, Privilege, Sequence};
use crate::table::{Action, Table};
use crate::{Catalog, Oid, Operation, Refusal, Transaction};

impl Catalog {
    /// The role itself and all roles that it is a member of, through others too.
    pub fn roles_of(&self, role: Oid) -> BTreeSet<Oid> {
        let mut all = BTreeSet::new();
        let mut open = vec![role];
        while let Some(next) = open.pop() {
            if all.insert(next)
                && let Some(role) = self.role(next)
            {
                open.extend_from_slice(&role.member_of);
            }
        }
        all
    }

    /// The role that owns an object: an index's is its table's.
    pub fn owner_of(&self, oid: Oid) -> Option<Oid> {
        match self.get(oid)? {
            Object::Index(index) => self.table(index.table).map(|table| table.owner),
            object => object.owner(),
        }
    }

    /// Whether the role is a superuser, or owns the object, itself or as a member.
    pub fn is_owner(&self, role: Oid, oid: Oid) -> bool {
        self.is_superuser(role)
            || self.owner_of(oid).is_some_and(|owner| self.roles_of(role).contains(&owner))
    }

    /// Whether the role is a superuser.
    pub fn is_superuser(&self, role: Oid) -> bool {
        self.role(role).is_some_and(|role| role.superuser)
    }

    /// Whether the role has the privilege on the object: as superuser, owner, by a grant to itself, to a
    /// role that it is a member of, or to PUBLIC.
    pub fn has_privilege(&self, role: Oid, on: Oid, privilege: Privilege) -> bool {
        self.is_owner(role, on) || self.granted(role, on) & privilege.bit() != 0
    }

    /// The bits that were granted on an object to the role, its groups and PUBLIC.
    fn granted(&self, role: Oid, on: Oid) -> u16 {
        let Some((_, grants)) = self.grants_on(on) else { return 0 };
        let roles = self.roles_of(role);
        let reaches = |item: &&Grant| item.grantee.is_none_or(|grantee| roles.contains(&grantee));
        grants.items.iter().filter(reaches).fold(0, |bits, item| bits | item.privileges)
    }
}

/// The role of a transaction's user.
///
/// # Errors
/// 28000 when there is none.
pub fn user(catalog: &Catalog, name: &str) -> Result<Oid, Refusal> {
    catalog
        .find_role(name)
        .ok_or_else(|| Refusal::data("28000", format!("role \"{name}\" does not exist")))
}

/// Checks the operations of one transaction.
pub(super) struct Check<'a> {
    /// The catalog before the transaction: who owned what is gone meanwhile.
    before: &'a Catalog,
    user: Oid,
    superuser: bool,
    roles: BTreeSet<Oid>,
    /// Tables whose rows the transaction updates or deletes: cascades start from them.
    changed: BTreeSet<Oid>,
}

fn denied(kind: &'static str, name: &str) -> Refusal {
    Refusal::Privilege { kind, name: name.to_owned() }
}

impl<'a> Check<'a> {
    pub(super) fn new(before: &'a Catalog, user: Oid, transaction: &Transaction) -> Self {
        let superuser = before.is_superuser(user);
        if superuser {
            let (roles, changed) = (BTreeSet::new(), BTreeSet::new());
            return Self { before, user, superuser, roles, changed };
        }
        let changes = |operation: &Operation| operation.previous().and_then(|_| operation.table());
        let mut changed = BTreeSet::new();
        let mut last = None;
        for table in transaction.operations.iter().filter_map(changes) {
            if last != Some(table) {
                changed.insert(table);
                last = Some(table);
            }
        }
        Self { before, user, superuser, roles: before.roles_of(user), changed }
    }

    /// Whether the user may do the operation.
    pub(super) fn operation(&self, now: &Catalog, operation: &Operation) -> Result<(), Refusal> {
        if self.superuser {
            return Ok(());
        }
        match operation {
            Operation::Insert { table, .. } => self.rows(now, *table, &[Privilege::Insert]),
            Operation::Update { table, .. } => self.rows(now, *table, &[Privilege::Update]),
            Operation::Delete { table, .. } => {
                self.rows(now, *table, &[Privilege::Delete, Privilege::Truncate])
            }
            Operation::Define { oid, object } => self.define(now, *oid, object),
            Operation::Drop { oid } => self.drop(now, *oid),
            Operation::Lease { sequence, .. } => self.lease(now, *sequence),
        }
    }

    /// Whether the user owns the object, now or before it was dropped.
    fn owns(&self, now: &Catalog, oid: Oid) -> bool {
        let owner = now.owner_of(oid).or_else(|| self.before.owner_of(oid));
        owner.is_some_and(|owner| self.roles.contains(&owner))
    }

    fn has(&self, now: &Catalog, on: Oid, privilege: Privilege) -> bool {
        self.owns(now, on) || now.granted(self.user, on) & privilege.bit() != 0
    }

    fn rows(&self, now: &Catalog, oid: Oid, any: &[Privilege]) -> Result<(), Refusal> {
        let Some(table) = now.table(oid) else {
            return Err(Refusal::SchemaChanged { detail: format!("table {} is gone", oid.0) });
        };
        let allowed = any.iter().any(|privilege| self.has(now, oid, *privilege));
        if allowed || (!any.contains(&Privilege::Insert) && self.cascades(now, table, oid)) {
            return Ok(());
        }
        Err(denied("table", &table.name))
    }

    /// Whether a foreign key lets changes of a parent, which the user may make and makes here, reach the
    /// table.
    fn cascades(&self, now: &Catalog, table: &Table, oid: Oid) -> bool {
        let quiet = |action: Action| matches!(action, Action::NoAction | Action::Restrict);
        let any = [Privilege::Update, Privilege::Delete, Privilege::Truncate];
        let mut seen = BTreeSet::from([oid]);
        let mut open: Vec<&Table> = vec![table];
        while let Some(child) = open.pop() {
            for key in &child.foreign_keys {
                if (quiet(key.on_delete) && quiet(key.on_update))
                    || !self.changed.contains(&key.parent)
                    || !seen.insert(key.parent)
                {
                    continue;
                }
                if any.iter().any(|privilege| self.has(now, key.parent, *privilege)) {
                    return true;
                }
                open.extend(now.table(key.parent));
            }
        }
        false
    }

    fn define(&self, now: &Catalog, oid: Oid, object: &Object) -> Result<(), Refusal> {
        let old = now.get(oid);
        let refused = || Err(denied(object.kind_name(), object.name()));
        match object {
            Object::Member(_) => refused(),
            Object::Role(role) => {
                let own_password = self.user == oid
                    && matches!(old, Some(Object::Role(before))
                        if *role == crate::catalog::Role { verifier: role.verifier.clone(), ..before.clone() });
                let may_create = now.role(self.user).is_some_and(|user| user.create_role);
                let was_superuser = matches!(old, Some(Object::Role(old)) if old.superuser);
                if own_password || (may_create && !role.superuser && !was_superuser) {
                    return Ok(());
                }
                refused()
            }
            Object::Grants(grants) => self.grants(now, grants, old),
            Object::Index(index) => {
                if self.owns(now, index.table) {
                    Ok(())
                } else {
                    refused()
                }
            }
            Object::Sequence(sequence) if old.is_some() => self.change_sequence(now, oid, sequence),
            Object::Schema(schema) if old.is_none() => {
                let may = self.has(now, Oid::DATABASE, Privilege::Create);
                if may && self.roles.contains(&schema.owner) { Ok(()) } else { refused() }
            }
            _ => self.relation(now, oid, object),
        }
    }

    /// A table, view or sequence, or an object that is changed by its owner.
    fn relation(&self, now: &Catalog, oid: Oid, object: &Object) -> Result<(), Refusal> {
        let refused = || Err(denied(object.kind_name(), object.name()));
        let old = now.get(oid);
        if old.is_some() && !self.owns(now, oid) {
            return refused();
        }
        if object.owner().is_none_or(|owner| !self.roles.contains(&owner)) {
            return refused();
        }
        if let Some(schema) = object.schema()
            && old.and_then(Object::schema) != Some(schema)
            && !self.has(now, schema, Privilege::Create)
        {
            return Err(denied("schema", now.schema(schema).map_or("", |s| s.name.as_str())));
        }
        let known: &[_] = match old {
            Some(Object::Table(old)) => &old.foreign_keys,
            _ => &[],
        };
        if let Object::Table(table) = object {
            for key in &table.foreign_keys {
                let new = known.iter().all(|old| old.oid != key.oid);
                if new && key.parent != oid && !self.has(now, key.parent, Privilege::References) {
                    let name = now.table(key.parent).map_or("", |parent| parent.name.as_str());
                    return Err(denied("table", name));
                }
            }
        }
        Ok(())
    }

    /// `setval` and RESTART need UPDATE; anything else the owner.
    fn change_sequence(&self, now: &Catalog, oid: Oid, new: &Sequence) -> Result<(), Refusal> {
        let value_only = now.sequence(oid).is_some_and(|old| {
            *new == Sequence { next: new.next, epoch: new.epoch, ..old.clone() }
        });
        if self.owns(now, oid) || (value_only && self.has(now, oid, Privilege::Update)) {
            return Ok(());
        }
        Err(denied("sequence", &new.name))
    }

    /// The owner grants anything; who has a grant option, what it covers.
    fn grants(&self, now: &Catalog, new: &Grants, old: Option<&Object>) -> Result<(), Refusal> {
        if self.owns(now, new.on) {
            return Ok(());
        }
        let before: &[Grant] = match old {
            Some(Object::Grants(old)) => &old.items,
            _ => &[],
        };
        let reaches = |item: &&Grant| item.grantee.is_none_or(|role| self.roles.contains(&role));
        let option = before.iter().filter(reaches).fold(0, |bits, item| bits | item.grantable);
        let changed = new.items.iter().filter(|item| !before.contains(item));
        let gone = before.iter().filter(|item| !new.items.contains(item));
        let lawful = changed.chain(gone).all(|item| {
            self.roles.contains(&item.grantor) && (item.privileges | item.grantable) & !option == 0
        });
        if lawful && option != 0 {
            return Ok(());
        }
        let (kind, name) = now.get(new.on).map_or(("object", ""), |o| (o.kind_name(), o.name()));
        Err(denied(kind, name))
    }

    fn drop(&self, now: &Catalog, oid: Oid) -> Result<(), Refusal> {
        let Some(object) = now.get(oid) else {
            return Err(Refusal::SchemaChanged { detail: format!("object {} is gone", oid.0) });
        };
        let may = match object {
            Object::Role(role) => {
                !role.superuser && now.role(self.user).is_some_and(|user| user.create_role)
            }
            Object::Grants(grants) => {
                // Grants go with their object, which may be gone by now.
                self.owns(now, grants.on) || self.owns_schema_of(now, grants.on)
            }
            Object::Member(_) => false,
            Object::Index(index) => self.owns(now, index.table) || self.owns(now, index.schema),
            _ => self.owns(now, oid) || self.owns_schema_of(now, oid),
        };
        if may { Ok(()) } else { Err(denied(object.kind_name(), object.name())) }
    }

    fn owns_schema_of(&self, now: &Catalog, oid: Oid) -> bool {
        let object = now.get(oid).or_else(|| self.before.get(oid));
        object.and_then(Object::schema).is_some_and(|schema| self.owns(now, schema))
    }

    /// `nextval` needs USAGE or UPDATE; a column's own sequence comes with INSERT on its table.
    fn lease(&self, now: &Catalog, oid: Oid) -> Result<(), Refusal> {
        let Some(sequence) = now.sequence(oid) else {
            return Err(Refusal::SchemaChanged { detail: format!("sequence {} is gone", oid.0) });
        };
        let direct = [Privilege::Usage, Privilege::Update];
        let by_table =
            sequence.owned_by.is_some_and(|(table, _)| self.has(now, table, Privilege::Insert));
        if by_table || direct.iter().any(|privilege| self.has(now, oid, *privilege)) {
            return Ok(());
        }
        Err(denied("sequence", &sequence.name))
    }
}
