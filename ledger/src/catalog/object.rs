//! What every kind of object has: a kind, a name, an owner, and others that it refers to.

use super::{Kind, Object, Oid};
use crate::Rule;
use crate::catalog::IndexOrigin;
use crate::rule::Volatile;

impl Object {
    /// Its name space.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Database(_) => Kind::Database,
            Self::Schema(_) => Kind::Schema,
            Self::Table(_) | Self::Index(_) | Self::View(_) | Self::Sequence(_) => Kind::Relation,
            Self::Role(_) => Kind::Role,
            Self::Grants(_) => Kind::Grants,
            Self::Member(_) => Kind::Member,
        }
    }

    /// What a message calls it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Schema(_) => "schema",
            Self::Table(_) => "table",
            Self::Index(_) => "index",
            Self::View(_) => "view",
            Self::Sequence(_) => "sequence",
            Self::Role(_) => "role",
            Self::Grants(_) => "privileges",
            Self::Member(_) => "member",
        }
    }

    /// Its name; empty for grants.
    pub fn name(&self) -> &str {
        match self {
            Self::Database(o) => &o.name,
            Self::Schema(o) => &o.name,
            Self::Table(o) => &o.name,
            Self::Index(o) => &o.name,
            Self::View(o) => &o.name,
            Self::Sequence(o) => &o.name,
            Self::Role(o) => &o.name,
            Self::Member(o) => &o.name,
            Self::Grants(_) => "",
        }
    }

    /// The schema that a relation lies in.
    pub fn schema(&self) -> Option<Oid> {
        match self {
            Self::Table(o) => Some(o.schema),
            Self::Index(o) => Some(o.schema),
            Self::View(o) => Some(o.schema),
            Self::Sequence(o) => Some(o.schema),
            _ => None,
        }
    }

    /// The role that owns it; an index is owned by its table's owner.
    pub fn owner(&self) -> Option<Oid> {
        match self {
            Self::Database(o) => Some(o.owner),
            Self::Schema(o) => Some(o.owner),
            Self::Table(o) => Some(o.owner),
            Self::View(o) => Some(o.owner),
            Self::Sequence(o) => Some(o.owner),
            _ => None,
        }
    }

    /// The key under which its name is unique.
    pub(super) fn name_key(&self) -> (Kind, Oid, String) {
        let within = match self {
            Self::Grants(grants) => grants.on,
            other => other.schema().unwrap_or(Oid(0)),
        };
        (self.kind(), within, self.name().to_owned())
    }

    /// The objects that it can't be without.
    pub fn references(&self) -> Vec<Oid> {
        let mut all: Vec<Oid> = self.owner().into_iter().chain(self.schema()).collect();
        match self {
            Self::Table(table) => {
                for key in &table.foreign_keys {
                    all.extend([key.parent, key.parent_index, key.index]);
                }
                for column in &table.columns {
                    all.extend(column.identity.map(|identity| identity.sequence));
                    if let Some(default) = &column.default {
                        sequences(&default.rule, &mut all);
                    }
                }
            }
            Self::Index(index) => all.push(index.table),
            Self::View(view) => all.extend_from_slice(&view.depends_on),
            Self::Sequence(sequence) => all.extend(sequence.owned_by.map(|(table, _)| table)),
            Self::Role(role) => all.extend_from_slice(&role.member_of),
            Self::Grants(grants) => {
                all.push(grants.on);
                for item in &grants.items {
                    all.extend(item.grantee.into_iter().chain([item.grantor]));
                }
            }
            Self::Database(_) | Self::Schema(_) | Self::Member(_) => {}
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The OIDs that it uses beside its own: of constraints and row types.
    pub fn inner_oids(&self) -> Vec<Oid> {
        match self {
            Self::Table(table) => [table.row_type, table.row_array_type]
                .into_iter()
                .chain(table.checks.iter().map(|check| check.oid))
                .chain(table.foreign_keys.iter().map(|key| key.oid))
                .collect(),
            Self::View(view) => vec![view.row_type, view.row_array_type],
            Self::Index(index) => match index.origin {
                IndexOrigin::PrimaryKey(oid) | IndexOrigin::Unique(oid) => vec![oid],
                IndexOrigin::Plain | IndexOrigin::ForeignKey => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// Adds the sequences that a default draws from.
fn sequences(rule: &Rule, all: &mut Vec<Oid>) {
    if let Rule::Volatile(Volatile::NextValue(sequence)) = rule {
        all.push(*sequence);
    }
    for part in rule.parts() {
        sequences(part, all);
    }
}
