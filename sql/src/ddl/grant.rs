//! GRANT and REVOKE on databases, schemas, tables, views and sequences.

use ledger::catalog::{Grant as Granted, Grants, Privilege};
use ledger::{Catalog, Object, Oid};

use super::Oids;
use crate::Error;
use crate::error::Report;
use crate::outcome::Outcome;
use crate::privileges;
use crate::session::Session;
use crate::statement::{Grant, GrantTarget};

const TABLE: &[Privilege] = &[
    Privilege::Select,
    Privilege::Insert,
    Privilege::Update,
    Privilege::Delete,
    Privilege::Truncate,
    Privilege::References,
    Privilege::Trigger,
];
const SEQUENCE: &[Privilege] = &[Privilege::Select, Privilege::Update, Privilege::Usage];
const SCHEMA: &[Privilege] = &[Privilege::Usage, Privilege::Create];
const DATABASE: &[Privilege] = &[Privilege::Create, Privilege::Connect, Privilege::Temporary];

impl Session {
    pub(super) fn grant(&mut self, grant: &Grant) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let targets = self.grant_targets(&catalog, &grant.on)?;
        let grantees = grant
            .grantees
            .iter()
            .map(|name| match name {
                Some(name) => self.find_role(&catalog, name).map(Some),
                None => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if targets.iter().any(|on| on.is_temporary()) {
            return Err(Error::unsupported(
                "GRANT on a temporary object",
                "No other session sees it.",
            ));
        }
        for on in targets {
            self.grant_on(on, grant, &grantees)?;
        }
        Ok(Outcome::done(if grant.revoke { "REVOKE" } else { "GRANT" }))
    }

    fn grant_targets(&self, catalog: &Catalog, on: &GrantTarget) -> Result<Vec<Oid>, Error> {
        let schema = |name: &String| {
            catalog
                .find_schema(name)
                .ok_or_else(|| Error::Undefined { kind: "schema", name: name.clone() })
        };
        match on {
            GrantTarget::Tables(names) => names
                .iter()
                .map(|name| {
                    self.find_relation(catalog, name)?
                        .filter(|oid| !matches!(catalog.get(*oid), Some(Object::Index(_))))
                        .ok_or_else(|| Error::UndefinedTable {
                            name: crate::names::shown(name),
                            position: None,
                        })
                })
                .collect(),
            GrantTarget::Sequences(names) => {
                names.iter().map(|name| self.find_sequence(catalog, name)).collect()
            }
            GrantTarget::Schemas(names) => names.iter().map(schema).collect(),
            GrantTarget::Databases(names) => names
                .iter()
                .map(|name| match catalog.database(Oid::DATABASE) {
                    Some(database) if database.name == *name => Ok(Oid::DATABASE),
                    _ => Err(Error::Undefined { kind: "database", name: name.clone() }),
                })
                .collect(),
            GrantTarget::AllTables(names) | GrantTarget::AllSequences(names) => {
                let sequences = matches!(on, GrantTarget::AllSequences(_));
                let schemas = names.iter().map(schema).collect::<Result<Vec<_>, _>>()?;
                Ok(catalog
                    .iter()
                    .filter(|(oid, object)| {
                        let fits = match object {
                            Object::Table(_) | Object::View(_) => !sequences,
                            Object::Sequence(_) => sequences,
                            _ => false,
                        };
                        fits && privileges::schema_of(catalog, *oid)
                            .is_some_and(|schema| schemas.contains(&schema))
                    })
                    .map(|(oid, _)| oid)
                    .collect())
            }
        }
    }

    fn grant_on(&mut self, on: Oid, grant: &Grant, grantees: &[Option<Oid>]) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let Some(object) = catalog.get(on) else { return Ok(()) };
        let possible = match object {
            Object::Sequence(_) => SEQUENCE,
            Object::Schema(_) => SCHEMA,
            Object::Database(_) => DATABASE,
            _ => TABLE,
        };
        let mut bits = 0;
        match &grant.privileges {
            None => possible.iter().for_each(|privilege| bits |= privilege.bit()),
            Some(wanted) => {
                for privilege in wanted {
                    if !possible.contains(privilege) {
                        return Err(Error::new(
                            "0LP01",
                            format!(
                                "invalid privilege type {} for {}",
                                format!("{privilege:?}").to_uppercase(),
                                object.kind_name()
                            ),
                        ));
                    }
                    bits |= privilege.bit();
                }
            }
        }
        let owner = privileges::owner_of(&catalog, on).unwrap_or(self.user.0);
        let (grantor, bits) = self.may_grant(&catalog, on, owner, bits)?;
        if bits == 0 {
            return Ok(());
        }
        let found = catalog.grants_on(on).map(|(oid, grants)| (oid, grants.clone()));
        let (oid, mut grants) = match found {
            Some(found) => found,
            None => {
                (Oids::of(&catalog).next(), Grants { on, items: first_items(object, on, owner) })
            }
        };
        for grantee in grantees {
            change(&mut grants, *grantee, grantor, bits, grant);
        }
        self.define(oid, Object::Grants(grants))
    }

    /// In whose name, and which of the privileges, the user may grant.
    fn may_grant(
        &mut self,
        catalog: &Catalog,
        on: Oid,
        owner: Oid,
        bits: u16,
    ) -> Result<(Oid, u16), Error> {
        let roles = privileges::roles_of(catalog, self.user.0);
        let superuser = catalog.role(self.user.0).is_some_and(|own| own.superuser);
        if superuser || roles.contains(&owner) {
            return Ok((owner, bits));
        }
        let (mut held, mut grantable) = (0, 0);
        if let Some((_, grants)) = catalog.grants_on(on) {
            for item in &grants.items {
                if item.grantee.is_none_or(|grantee| roles.contains(&grantee)) {
                    held |= item.privileges;
                    grantable |= item.grantable;
                }
            }
        }
        if held == 0 {
            return Err(privileges::denied(catalog, on));
        }
        let name = catalog.get(on).map_or("", |object| object.name());
        if grantable & bits == 0 {
            self.notices.push(Report::warning(
                "01007",
                format!("no privileges were granted for \"{name}\""),
            ));
        } else if grantable & bits != bits {
            self.notices.push(Report::warning(
                "01007",
                format!("not all privileges were granted for \"{name}\""),
            ));
        }
        Ok((self.user.0, grantable & bits))
    }
}

/// What holds before anything is granted, written out: the owner's privileges and PUBLIC's.
fn first_items(object: &Object, on: Oid, owner: Oid) -> Vec<Granted> {
    let bits = |all: &[Privilege]| all.iter().fold(0, |bits, privilege| bits | privilege.bit());
    let (own, public) = match object {
        Object::Sequence(_) => (bits(SEQUENCE), 0),
        Object::Schema(_) if on == Oid::PUBLIC_SCHEMA || on == Oid::LEDGER_SCHEMA => {
            (bits(SCHEMA), Privilege::Usage.bit())
        }
        Object::Schema(_) => (bits(SCHEMA), 0),
        Object::Database(_) => {
            (bits(DATABASE), Privilege::Connect.bit() | Privilege::Temporary.bit())
        }
        _ => (bits(TABLE), 0),
    };
    let item = |grantee, privileges| Granted { grantee, grantor: owner, privileges, grantable: 0 };
    let mut items = vec![item(Some(owner), own)];
    if public != 0 {
        items.push(item(None, public));
    }
    items
}

fn change(grants: &mut Grants, grantee: Option<Oid>, grantor: Oid, bits: u16, grant: &Grant) {
    let place =
        grants.items.iter().position(|item| item.grantee == grantee && item.grantor == grantor);
    if grant.revoke {
        if let Some(item) = place.and_then(|place| grants.items.get_mut(place)) {
            item.grantable &= !bits;
            if !grant.option {
                item.privileges &= !bits;
            }
        }
        grants.items.retain(|item| item.privileges != 0);
        return;
    }
    let place = place.unwrap_or_else(|| {
        grants.items.push(Granted { grantee, grantor, privileges: 0, grantable: 0 });
        grants.items.len() - 1
    });
    if let Some(item) = grants.items.get_mut(place) {
        item.privileges |= bits;
        if grant.option {
            item.grantable |= bits;
        }
    }
}
