//! Roles: CREATE, ALTER and DROP ROLE, membership.

use ledger::catalog::Role;
use ledger::{Catalog, Object, Oid};

use super::{Oids, scram};
use crate::Error;
use crate::error::Report;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::statement::{RoleChange, RoleOption};

impl Session {
    fn need_create_role(&self, catalog: &Catalog, what: &str) -> Result<(), Error> {
        let allowed = catalog.role(self.user.0).is_some_and(|own| own.superuser || own.create_role);
        if allowed {
            Ok(())
        } else {
            Err(Error::new("42501", format!("permission denied to {what}")))
        }
    }

    fn apply_options(
        &self,
        catalog: &Catalog,
        role: &mut Role,
        options: &[RoleOption],
    ) -> Result<(), Error> {
        let superuser = catalog.role(self.user.0).is_some_and(|own| own.superuser);
        for option in options {
            match option {
                RoleOption::Login(yes) => role.login = *yes,
                RoleOption::Superuser(yes) => {
                    if *yes != role.superuser && !superuser {
                        return Err(Error::new("42501", "must be superuser to create superusers"));
                    }
                    role.superuser = *yes;
                }
                RoleOption::CreateRole(yes) => role.create_role = *yes,
                RoleOption::CreateDb(yes) => role.create_db = *yes,
                RoleOption::Inherit(yes) => role.inherit = *yes,
                RoleOption::Password(None) => role.verifier = None,
                RoleOption::Password(Some(password)) if password.is_empty() => {
                    role.verifier = None;
                }
                RoleOption::Password(Some(password)) => {
                    role.verifier = Some(scram::verifier(password)?);
                }
                RoleOption::InRole(groups) => {
                    for group in groups {
                        let group = self.find_role(catalog, group)?;
                        if !role.member_of.contains(&group) {
                            role.member_of.push(group);
                        }
                    }
                }
                RoleOption::Members(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn create_role(
        &mut self,
        name: &str,
        options: &[RoleOption],
        user: bool,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        self.need_create_role(&catalog, "create role")?;
        if catalog.find_role(name).is_some() {
            return Err(Error::Exists { kind: "role", name: name.to_string() });
        }
        let mut role = Role {
            name: name.to_string(),
            login: user,
            superuser: false,
            create_role: false,
            create_db: false,
            inherit: true,
            verifier: None,
            member_of: Vec::new(),
        };
        self.apply_options(&catalog, &mut role, options)?;
        let oid = Oids::of(&catalog).next();
        self.define(oid, Object::Role(role))?;
        for option in options {
            if let RoleOption::Members(members) = option {
                self.change_members(&[name.to_string()], members, false)?;
            }
        }
        Ok(Outcome::done("CREATE ROLE"))
    }

    pub(super) fn alter_role(&mut self, name: &str, change: &RoleChange) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        let oid = self.find_role(&catalog, name)?;
        let Some(role) = catalog.role(oid) else {
            return Err(Error::internal("a role that isn't there"));
        };
        let mut role = role.clone();
        match change {
            RoleChange::Options(options) => {
                // Everybody may change the own password.
                let own_password = oid == self.user.0
                    && options.iter().all(|option| matches!(option, RoleOption::Password(_)));
                if !own_password {
                    self.need_create_role(&catalog, "alter role")?;
                    self.need_superuser_for(&catalog, &role)?;
                }
                self.apply_options(&catalog, &mut role, options)?;
            }
            RoleChange::Rename(new) => {
                self.need_create_role(&catalog, "rename role")?;
                self.need_superuser_for(&catalog, &role)?;
                if oid == self.user.0 {
                    return Err(Error::new("0A000", "session user cannot be renamed")
                        .with_hint("Connect as another role."));
                }
                if catalog.find_role(new).is_some() {
                    return Err(Error::Exists { kind: "role", name: new.clone() });
                }
                role.name = new.clone();
            }
        }
        self.define(oid, Object::Role(role))?;
        Ok(Outcome::done("ALTER ROLE"))
    }

    fn need_superuser_for(&self, catalog: &Catalog, role: &Role) -> Result<(), Error> {
        let superuser = catalog.role(self.user.0).is_some_and(|own| own.superuser);
        if role.superuser && !superuser {
            return Err(Error::new("42501", "must be superuser to alter superuser roles"));
        }
        Ok(())
    }

    pub(super) fn drop_roles(
        &mut self,
        names: &[String],
        if_exists: bool,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        self.need_create_role(&catalog, "drop role")?;
        for name in names {
            let Some(oid) = catalog.find_role(name) else {
                if if_exists {
                    self.notices
                        .push(Report::notice(format!("role \"{name}\" does not exist, skipping")));
                    continue;
                }
                return Err(Error::Undefined { kind: "role", name: name.clone() });
            };
            if oid == self.user.0 {
                return Err(Error::new("55006", "current user cannot be dropped"));
            }
            if let Some(role) = catalog.role(oid) {
                self.need_superuser_for(&catalog, role)?;
            }
            self.drop_role(oid, name)?;
        }
        Ok(Outcome::done("DROP ROLE"))
    }

    fn drop_role(&mut self, oid: Oid, name: &str) -> Result<(), Error> {
        let catalog = self.catalog()?;
        let mut members = Vec::new();
        for (dependent, object) in catalog.dependents(oid) {
            match object {
                Object::Role(role) => members.push((dependent, role.clone())),
                other => {
                    let what = match other {
                        Object::Grants(grants) => {
                            catalog.get(grants.on).map_or_else(String::new, |on| {
                                format!("privileges for {} {}", on.kind_name(), on.name())
                            })
                        }
                        other => format!("owner of {} {}", other.kind_name(), other.name()),
                    };
                    return Err(Error::new(
                        "2BP01",
                        format!(
                            "role \"{name}\" cannot be dropped because some objects depend on it"
                        ),
                    )
                    .with_detail(what));
                }
            }
        }
        for (member, mut role) in members {
            role.member_of.retain(|group| *group != oid);
            self.define(member, Object::Role(role))?;
        }
        self.undefine(oid)
    }

    pub(super) fn grant_role(
        &mut self,
        roles: &[String],
        to: &[String],
        revoke: bool,
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        self.need_create_role(&catalog, "grant role")?;
        self.change_members(roles, to, revoke)?;
        Ok(Outcome::done(if revoke { "REVOKE ROLE" } else { "GRANT ROLE" }))
    }

    fn change_members(
        &mut self,
        groups: &[String],
        members: &[String],
        revoke: bool,
    ) -> Result<(), Error> {
        for group in groups {
            for member in members {
                let catalog = self.catalog()?;
                let group_oid = self.find_role(&catalog, group)?;
                let member_oid = self.find_role(&catalog, member)?;
                let Some(role) = catalog.role(member_oid) else { continue };
                let mut role = role.clone();
                if revoke {
                    role.member_of.retain(|of| *of != group_oid);
                } else {
                    if all_groups(&catalog, group_oid).contains(&member_oid) {
                        return Err(Error::new(
                            "0LP01",
                            format!("role \"{group}\" is a member of role \"{member}\""),
                        ));
                    }
                    if role.member_of.contains(&group_oid) {
                        self.notices.push(Report::notice(format!(
                            "role \"{member}\" is already a member of role \"{group}\""
                        )));
                        continue;
                    }
                    role.member_of.push(group_oid);
                }
                self.define(member_oid, Object::Role(role))?;
            }
        }
        Ok(())
    }
}

/// A role and all that it is a member of, inherited or not.
fn all_groups(catalog: &Catalog, role: Oid) -> std::collections::BTreeSet<Oid> {
    let mut all = std::collections::BTreeSet::from([role]);
    let mut open = vec![role];
    while let Some(next) = open.pop() {
        let groups = catalog.role(next).map(|role| role.member_of.clone()).unwrap_or_default();
        open.extend(groups.into_iter().filter(|group| all.insert(*group)));
    }
    all
}
