//! Who may do what: owners, grants, membership, superusers. Checked as a statement runs; the ledger's
//! rules check what they must again.

use std::collections::BTreeSet;

use ledger::catalog::Privilege;
use ledger::{Catalog, Object, Oid};

use crate::Error;
use crate::session::Session;

/// A role with all the roles whose privileges it uses.
pub(crate) fn roles_of(catalog: &Catalog, role: Oid) -> BTreeSet<Oid> {
    let mut all = BTreeSet::from([role]);
    let mut open = vec![role];
    while let Some(next) = open.pop() {
        let Some(definition) = catalog.role(next) else { continue };
        if !definition.inherit {
            continue;
        }
        for group in &definition.member_of {
            if all.insert(*group) {
                open.push(*group);
            }
        }
    }
    all
}

/// The owner of an object; roles have none.
pub(crate) fn owner_of(catalog: &Catalog, oid: Oid) -> Option<Oid> {
    match catalog.get(oid)? {
        Object::Database(database) => Some(database.owner),
        Object::Schema(schema) => Some(schema.owner),
        Object::Table(table) => Some(table.owner),
        Object::View(view) => Some(view.owner),
        Object::Sequence(sequence) => Some(sequence.owner),
        Object::Index(index) => owner_of(catalog, index.table),
        _ => None,
    }
}

/// What everybody may do with an object that nobody granted anything on.
fn default_of(object: &Object, oid: Oid) -> u16 {
    match object {
        Object::Database(_) => Privilege::Connect.bit() | Privilege::Temporary.bit(),
        Object::Schema(_) if oid == Oid::LEDGER_SCHEMA || oid == Oid::PUBLIC_SCHEMA => {
            Privilege::Usage.bit()
        }
        _ => 0,
    }
}

/// Whether a role may do this with the object.
pub(crate) fn may(catalog: &Catalog, role: Oid, on: Oid, privilege: Privilege) -> bool {
    if catalog.role(role).is_some_and(|role| role.superuser) {
        return true;
    }
    let roles = roles_of(catalog, role);
    if owner_of(catalog, on).is_some_and(|owner| roles.contains(&owner)) {
        return true;
    }
    let Some(object) = catalog.get(on) else { return false };
    match catalog.grants_on(on) {
        None => default_of(object, on) & privilege.bit() != 0,
        Some((_, grants)) => grants.items.iter().any(|grant| {
            grant.privileges & privilege.bit() != 0
                && grant.grantee.is_none_or(|grantee| roles.contains(&grantee))
        }),
    }
}

/// `permission denied for …`
pub(crate) fn denied(catalog: &Catalog, on: Oid) -> Error {
    let Some(object) = catalog.get(on) else {
        return Error::Denied { kind: "object", name: on.0.to_string() };
    };
    Error::Denied { kind: object.kind_name(), name: object.name().to_string() }
}

impl Session {
    /// # Errors
    /// 42501.
    pub(crate) fn need_privilege(
        &self,
        catalog: &Catalog,
        on: Oid,
        privilege: Privilege,
    ) -> Result<(), Error> {
        if let Some(schema) = schema_of(catalog, on)
            && !schema.is_temporary()
            && !may(catalog, self.user.0, schema, Privilege::Usage)
        {
            return Err(denied(catalog, schema));
        }
        if may(catalog, self.user.0, on, privilege) { Ok(()) } else { Err(denied(catalog, on)) }
    }

    /// A view may name what its owner can't read yet; the schemas must be open.
    ///
    /// # Errors
    /// 42501.
    pub(crate) fn need_schemas(&self, catalog: &Catalog, relations: &[Oid]) -> Result<(), Error> {
        let mut schemas = relations.iter().filter_map(|oid| schema_of(catalog, *oid));
        let closed = schemas.find(|schema| !may(catalog, self.user.0, *schema, Privilege::Usage));
        closed.map_or(Ok(()), |schema| Err(denied(catalog, schema)))
    }

    /// Any privilege that lets a table be locked.
    ///
    /// # Errors
    /// 42501.
    pub(crate) fn need_any_privilege(&self, catalog: &Catalog, on: Oid) -> Result<(), Error> {
        let any = [
            Privilege::Select,
            Privilege::Insert,
            Privilege::Update,
            Privilege::Delete,
            Privilege::Truncate,
        ];
        if any.iter().any(|privilege| may(catalog, self.user.0, on, *privilege)) {
            Ok(())
        } else {
            Err(denied(catalog, on))
        }
    }

    /// # Errors
    /// 42501.
    pub(crate) fn need_create_in(&self, catalog: &Catalog, schema: Oid) -> Result<(), Error> {
        if schema.is_temporary() || may(catalog, self.user.0, schema, Privilege::Create) {
            Ok(())
        } else {
            Err(denied(catalog, schema))
        }
    }

    /// # Errors
    /// 42501 `must be owner of …`.
    pub(crate) fn need_owner(&self, catalog: &Catalog, oid: Oid) -> Result<(), Error> {
        let superuser = catalog.role(self.user.0).is_some_and(|role| role.superuser);
        let roles = roles_of(catalog, self.user.0);
        if superuser || owner_of(catalog, oid).is_some_and(|owner| roles.contains(&owner)) {
            return Ok(());
        }
        let (kind, name) = catalog.get(oid).map_or(("object", String::new()), |object| {
            (object.kind_name(), object.name().to_string())
        });
        let kind = if kind == "table" { "table" } else { kind };
        Err(Error::new("42501", format!("must be owner of {kind} {name}")))
    }
}

/// The schema that an object lies in.
pub(crate) fn schema_of(catalog: &Catalog, oid: Oid) -> Option<Oid> {
    match catalog.get(oid)? {
        Object::Table(table) => Some(table.schema),
        Object::View(view) => Some(view.schema),
        Object::Sequence(sequence) => Some(sequence.schema),
        Object::Index(index) => Some(index.schema),
        _ => None,
    }
}
