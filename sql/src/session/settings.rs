//! Session statements: SET, SHOW, RESET, DISCARD, SET ROLE.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt;

use super::Session;
use crate::Error;
use crate::outcome::{Outcome, ResultColumn, Tag};
use crate::settings::{Scope, definition, outside_transaction};

/// PostgreSQL's `text`.
const TEXT: u32 = 25;

/// A column of type text that belongs to no table.
pub(crate) fn text_column(name: &str) -> ResultColumn {
    ResultColumn {
        name: name.to_string(),
        type_oid: TEXT,
        type_len: -1,
        typmod: -1,
        table_oid: 0,
        attnum: 0,
    }
}

/// Rows of texts, at hand.
pub(crate) fn text_rows(names: &[&str], rows: &[Vec<String>], tag: Tag) -> Result<Outcome, Error> {
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|at| {
            let texts: StringArray =
                rows.iter().map(|row| row.get(at).map(String::as_str)).collect();
            Arc::new(texts) as ArrayRef
        })
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(Outcome::Rows {
        columns: names.iter().map(|name| text_column(name)).collect(),
        stream: futures::stream::iter([Ok(batch)]).boxed(),
        tag,
    })
}

impl Session {
    /// `SET`
    pub(super) fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<Outcome, Error> {
        if local && !self.transaction.as_ref().is_some_and(|own| own.explicit) {
            self.notices.push(outside_transaction("SET LOCAL"));
            // As in PostgreSQL it is checked all the same, and has no effect afterwards.
            let mut copy = self.shared.settings();
            if let Some(value) = value {
                copy.set(name, value, Scope::Local)?;
            }
            return Ok(Outcome::done("SET"));
        }
        let lower = name.to_ascii_lowercase();
        if let Some(value) = value
            && self.set_own_mode(&lower, value)?
        {
            return Ok(Outcome::done("SET"));
        }
        if lower == "ledger.as_of"
            && let Some(value) = value
        {
            self.check_as_of(value)?;
        }
        let scope = if local { Scope::Local } else { Scope::Session };
        self.shared.with_settings(|settings| match value {
            Some(value) => settings.set(name, value, scope),
            None => settings.reset(name, scope),
        })?;
        Ok(Outcome::done("SET"))
    }

    /// `SHOW`
    pub(super) fn show(&self, name: &str) -> Result<Outcome, Error> {
        let settings = self.shared.settings();
        let Some(value) = self.shown(name).or_else(|| settings.get(name)) else {
            return Err(Error::new(
                "42704",
                format!("unrecognized configuration parameter \"{name}\""),
            ));
        };
        let title = definition(name).map_or(name, |known| known.name);
        text_rows(&[title], &[vec![value]], Tag::Fixed("SHOW".to_string()))
    }

    /// What the transaction itself says of a setting.
    fn shown(&self, name: &str) -> Option<String> {
        if self.transaction.as_ref().is_some_and(|own| own.explicit) {
            return None;
        }
        let settings = self.shared.settings();
        match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" => settings.get("default_transaction_isolation"),
            "transaction_read_only" => settings.get("default_transaction_read_only"),
            _ => None,
        }
    }

    /// `SHOW ALL`
    pub(super) fn show_all(&self) -> Result<Outcome, Error> {
        let rows: Vec<Vec<String>> = self
            .shared
            .settings()
            .all()
            .into_iter()
            .map(|(name, value)| {
                let description = definition(&name).map_or("", |known| known.description);
                vec![name, value, description.to_string()]
            })
            .collect();
        text_rows(&["name", "setting", "description"], &rows, Tag::Fixed("SHOW".to_string()))
    }

    /// `RESET`
    pub(super) fn reset(&self, name: &str) -> Result<Outcome, Error> {
        self.shared.with_settings(|settings| settings.reset(name, Scope::Session))?;
        Ok(Outcome::done("RESET"))
    }

    /// `RESET ALL`
    pub(super) fn reset_all(&self) -> Outcome {
        self.shared.with_settings(crate::Settings::reset_all);
        Outcome::done("RESET")
    }

    /// `DISCARD`
    pub(super) fn discard(&mut self, what: &str) -> Result<Outcome, Error> {
        match what {
            "ALL" => {
                if self.transaction.as_ref().is_some_and(|own| own.explicit) {
                    return Err(Error::new(
                        "25001",
                        "DISCARD ALL cannot run inside a transaction block",
                    ));
                }
                self.close_cursor(None)?;
                self.user = self.login.clone();
                self.session_user = self.login.clone();
                self.shared.set_user(&self.login.1);
                self.reset_all();
                self.prepared.clear();
                self.shared.forget_prepared(None);
                self.shared.unlock_all_advisory();
                self.deallocated.push(None);
                self.shared.forget_values();
                self.drop_temporary();
            }
            "SEQUENCES" => self.shared.forget_values(),
            "PLANS" => self.recent.clear(),
            "TEMP" => self.drop_temporary(),
            _ => {}
        }
        Ok(Outcome::done(format!("DISCARD {what}")))
    }

    /// Every temporary object goes.
    fn drop_temporary(&mut self) {
        match self.transaction.as_mut() {
            Some(own) => own.overlay.drop_temporary(),
            None => self.temporary.drop_temporary(),
        }
    }

    /// `SET ROLE`; `None` is back to the session's user.
    pub(super) fn set_role(&mut self, role: Option<&str>) -> Result<Outcome, Error> {
        self.user = match role {
            None => self.session_user.clone(),
            Some(name) => {
                let snapshot = self.engine.state.snapshot();
                let catalog = snapshot.catalog();
                let oid = catalog.find_role(name).ok_or_else(|| {
                    Error::new("22023", format!("role \"{name}\" does not exist"))
                })?;
                let allowed = crate::privileges::roles_of(catalog, self.session_user.0);
                let superuser =
                    catalog.role(self.session_user.0).is_some_and(|role| role.superuser);
                if !superuser && !allowed.contains(&oid) {
                    return Err(Error::new(
                        "42501",
                        format!("permission denied to set role \"{name}\""),
                    ));
                }
                (oid, name.to_string())
            }
        };
        self.note_user();
        Ok(Outcome::done("SET"))
    }

    /// `SET SESSION AUTHORIZATION`; `None` is back to who logged in.
    pub(super) fn set_authorization(&mut self, role: Option<&str>) -> Result<Outcome, Error> {
        let who = match role {
            None => self.login.clone(),
            Some(name) if name == self.login.1 => self.login.clone(),
            Some(name) => {
                let snapshot = self.engine.state.snapshot();
                let catalog = snapshot.catalog();
                let oid = catalog.find_role(name).ok_or_else(|| {
                    Error::new("22023", format!("role \"{name}\" does not exist"))
                })?;
                if !catalog.role(self.login.0).is_some_and(|role| role.superuser) {
                    return Err(Error::new(
                        "42501",
                        format!("permission denied to set session authorization \"{name}\""),
                    ));
                }
                (oid, name.to_string())
            }
        };
        self.session_user = who.clone();
        self.user = who;
        self.note_user();
        Ok(Outcome::done("SET"))
    }

    fn note_user(&self) {
        self.shared.set_user(&self.user.1);
        let superuser = if self.superuser() { "on" } else { "off" };
        self.shared.with_settings(|settings| {
            settings.put("is_superuser".into(), superuser.into(), Scope::Session);
            settings.put(
                "session_authorization".into(),
                self.session_user.1.clone(),
                Scope::Session,
            );
        });
    }
}
