//! Who may do what, as the catalogs tell it: access lists as text and the `has_…_privilege` answers. It decides
//! nothing: statements are checked elsewhere, by the same grants.

use std::collections::BTreeSet;

use ledger::catalog::{Grant, Role};
use ledger::{Object, Oid};

use super::facts::Facts;
use super::text::quote_ident;
use crate::functions::Datum;

/// What a privilege is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A table or view.
    Table,
    /// A sequence.
    Sequence,
    /// A schema.
    Schema,
    /// The database.
    Database,
}

/// Letter, bit and name of each privilege, in the order in which access lists show them.
const PRIVILEGES: [(char, u16, &str); 11] = [
    ('a', 2, "INSERT"),
    ('r', 1, "SELECT"),
    ('w', 4, "UPDATE"),
    ('d', 8, "DELETE"),
    ('D', 16, "TRUNCATE"),
    ('x', 32, "REFERENCES"),
    ('t', 64, "TRIGGER"),
    ('U', 128, "USAGE"),
    ('C', 256, "CREATE"),
    ('T', 1024, "TEMPORARY"),
    ('c', 512, "CONNECT"),
];

impl Target {
    /// Every privilege that there is on it.
    pub fn all(self) -> u16 {
        match self {
            Self::Table => 127,
            Self::Sequence => 1 | 4 | 128,
            Self::Schema => 128 | 256,
            Self::Database => 256 | 512 | 1024,
        }
    }

    /// What everybody has while nothing was granted.
    fn public(self) -> u16 {
        match self {
            Self::Database => 512 | 1024,
            Self::Table | Self::Sequence | Self::Schema => 0,
        }
    }
}

/// The bit of a privilege by its name; with `WITH GRANT OPTION` the flag is set.
pub fn bit_of(name: &str) -> Option<(u16, bool)> {
    let name = name.trim().to_ascii_uppercase();
    let (name, grantable) = match name.strip_suffix("WITH GRANT OPTION") {
        Some(name) => (name.trim_end().to_owned(), true),
        None => (name, false),
    };
    let name = if name == "TEMP" { "TEMPORARY" } else { &name };
    PRIVILEGES.iter().find(|known| known.2 == name).map(|known| (known.1, grantable))
}

/// The name of each privilege whose bit is set.
pub fn names_of(bits: u16) -> impl Iterator<Item = &'static str> {
    PRIVILEGES.iter().filter(move |known| bits & known.1 != 0).map(|known| known.2)
}

/// The name of a privilege by its letter in access lists.
pub fn name_of_letter(letter: char) -> Option<&'static str> {
    PRIVILEGES.iter().find(|known| known.0 == letter).map(|known| known.2)
}

fn grants_on<'a>(facts: &Facts<'a>, oid: u32) -> Option<&'a [Grant]> {
    facts.catalog.grants_on(Oid(oid)).map(|(_, grants)| grants.items.as_slice())
}

/// An object's access list as an array of texts; NULL while nothing was granted.
pub fn acl_of(facts: &Facts<'_>, oid: u32, target: Target, owner: u32) -> Datum {
    let Some(items) = grants_on(facts, oid) else { return Datum::Null };
    let mut list = Vec::new();
    if !items.iter().any(|item| item.grantee == Some(Oid(owner))) {
        list.push(item_text(facts, Some(owner), owner, target.all(), 0));
    }
    list.extend(items.iter().filter(|item| item.privileges != 0).map(|item| {
        let grantee = item.grantee.map(|oid| oid.0);
        item_text(facts, grantee, item.grantor.0, item.privileges, item.grantable)
    }));
    Datum::Array(list.into_iter().map(Datum::Text).collect())
}

/// What is in force while nothing was granted.
pub fn default_acl(facts: &Facts<'_>, target: Target, owner: u32) -> Vec<String> {
    let mut list = Vec::new();
    if target.public() != 0 {
        list.push(item_text(facts, None, owner, target.public(), 0));
    }
    list.push(item_text(facts, Some(owner), owner, target.all(), 0));
    list
}

fn item_text(
    facts: &Facts<'_>,
    grantee: Option<u32>,
    grantor: u32,
    bits: u16,
    grantable: u16,
) -> String {
    let role = |oid: u32| facts.role_name(oid).map_or_else(|| oid.to_string(), quote_ident);
    let mut text = grantee.map_or_else(String::new, role);
    text.push('=');
    for (letter, bit, _) in PRIVILEGES {
        if bits & bit != 0 {
            text.push(letter);
            if grantable & bit != 0 {
                text.push('*');
            }
        }
    }
    text.push('/');
    text.push_str(&role(grantor));
    text
}

/// Whether the session's user is a superuser.
pub fn is_superuser(facts: &Facts<'_>) -> bool {
    facts
        .role_oid(facts.user)
        .is_some_and(|oid| role(facts, oid).is_some_and(|role| role.superuser))
}

fn role<'a>(facts: &Facts<'a>, oid: u32) -> Option<&'a Role> {
    match facts.object(oid) {
        Some(Object::Role(role)) => Some(role),
        _ => None,
    }
}

/// The roles whose privileges a role has: itself, and those it is a member of, as far as it inherits.
pub fn roles_of(facts: &Facts<'_>, oid: u32, all: bool) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![oid];
    while let Some(oid) = waiting.pop() {
        if found.insert(oid)
            && let Some(role) = role(facts, oid)
            && (role.inherit || all)
        {
            waiting.extend(role.member_of.iter().map(|group| group.0));
        }
    }
    found
}

/// Whether a role has a privilege (a bit) on an object that `owner` owns.
pub fn has(
    facts: &Facts<'_>,
    who: u32,
    oid: u32,
    target: Target,
    owner: u32,
    bit: u16,
    grantable: bool,
) -> bool {
    if role(facts, who).is_some_and(|role| role.superuser) {
        return true;
    }
    let roles = roles_of(facts, who, false);
    if roles.contains(&owner) && target.all() & bit != 0 {
        return true;
    }
    match grants_on(facts, oid) {
        // Everybody uses the schemas that a chain begins with.
        None if target == Target::Schema && [2200, 13_000].contains(&oid) => {
            !grantable && bit == 128
        }
        None => !grantable && target.public() & bit != 0,
        Some(items) => items.iter().any(|item| {
            let granted = if grantable { item.grantable } else { item.privileges };
            item.grantee.is_none_or(|grantee| roles.contains(&grantee.0)) && granted & bit != 0
        }),
    }
}
