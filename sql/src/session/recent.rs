//! Statements that clients send again and again as text: prepared once, found by their text, or by their
//! text with parameters for its literals. It prepares nothing itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::Session;
use super::plans::Basis;
use crate::Error;
use crate::normal::{self, Template};
use crate::outcome::{Parameter, Prepared};
use crate::statement::{Command, Statement};
use crate::transaction::Isolation;

/// Most statements that a session remembers.
const MOST: usize = 256;
/// The longest text that is remembered, in bytes.
const LONGEST: usize = 8192;

/// What is remembered, by text.
#[derive(Default)]
pub(super) struct Recent {
    known: HashMap<String, Known>,
    /// Counts the look-ups: what was used last.
    clock: u64,
}

struct Known {
    /// The parameters' types as the client gave them.
    oids: Vec<u32>,
    /// What it was prepared on.
    basis: Basis,
    found: Found,
    used: u64,
}

/// What came of looking at a text.
#[derive(Clone)]
enum Found {
    /// It was sent once: it isn't worth a look yet.
    Once,
    /// No statement to be found by its text.
    Other,
    Ready(Arc<Prepared>),
}

impl Recent {
    /// What is known of a text, on this basis.
    fn get(&mut self, text: &str, oids: &[u32], basis: &Basis) -> Option<&Known> {
        self.clock += 1;
        let known = self.known.get_mut(text)?;
        known.used = self.clock;
        Some(&*known).filter(|known| known.oids == oids && known.basis.is(basis))
    }

    fn put(&mut self, text: &str, oids: &[u32], basis: Basis, found: Found) {
        if text.len() > LONGEST {
            return;
        }
        if self.known.len() >= MOST {
            // The older half goes.
            let mut used: Vec<u64> = self.known.values().map(|known| known.used).collect();
            used.sort_unstable();
            let middle = used.get(MOST / 2).copied().unwrap_or(u64::MAX);
            self.known.retain(|_, known| known.used > middle);
        }
        let known = Known { oids: oids.to_vec(), basis, found, used: self.clock };
        self.known.insert(text.to_owned(), known);
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

impl Session {
    /// Prepares a text of one statement, or gives it as it was prepared before.
    ///
    /// # Errors
    /// As [`Session::parse`] and [`Session::prepare`]; 42601 for several statements.
    pub async fn prepare_text(
        &mut self,
        text: &str,
        parameter_oids: &[u32],
    ) -> Result<Arc<Prepared>, Error> {
        let basis = self.newest_basis();
        if let Some(basis) = &basis
            && let Some(known) = self.recent.get(text, parameter_oids, basis)
            && let Found::Ready(prepared) = &known.found
        {
            return Ok(Arc::clone(prepared));
        }
        let mut statements = self.parse(text)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Error::new("42601", message));
        };
        let prepared = Arc::new(self.prepare(statement, parameter_oids).await?);
        if let Some(basis) = basis
            && may_be_kept(&prepared, text)
        {
            self.recent.put(text, parameter_oids, basis, Found::Ready(Arc::clone(&prepared)));
        }
        Ok(prepared)
    }

    /// A text of the simple protocol as a statement that is prepared, with its literals as parameters;
    /// `None` for any that isn't a point statement: it is parsed and prepared as always.
    pub async fn recall(&mut self, text: &str) -> Option<(Arc<Prepared>, Vec<Parameter>)> {
        if text.len() > LONGEST || !self.shared.short_path() {
            return None;
        }
        let basis = self.newest_basis()?;
        let Template { text: template, parameters } = normal::template(text)?;
        let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
        let known = self.recent.get(&template, &oids, &basis).map(|known| known.found.clone());
        match known {
            Some(Found::Ready(prepared)) => return Some((prepared, parameters)),
            Some(Found::Other) => return None,
            Some(Found::Once) => {}
            None => {
                self.recent.put(&template, &oids, basis, Found::Once);
                return None;
            }
        }
        let prepared = Box::pin(self.prepare_template(text, &template, &oids)).await;
        let found = prepared.clone().map_or(Found::Other, Found::Ready);
        self.recent.put(&template, &oids, basis, found);
        Some((prepared?, parameters))
    }

    /// Prepares a text with parameters for its literals, if that is a point statement and means the same.
    async fn prepare_template(
        &mut self,
        text: &str,
        template: &str,
        oids: &[u32],
    ) -> Option<Arc<Prepared>> {
        let mut statements = self.parse(template).ok()?;
        let statement = statements.pop().filter(|_| statements.is_empty())?;
        let mut prepared = self.prepare(statement, oids).await.ok()?;
        if !may_be_kept(&prepared, template) || prepared.parameters.len() != oids.len() {
            return None;
        }
        // A literal's own digits are part of a numeric's type, and a parameter has none.
        let numeric = |(given, found): (&u32, &u32)| *given == 0 && matches!(found, 1700 | 1231);
        let planned = prepared.statement.slot.is_point().is_some();
        if planned && oids.iter().zip(&prepared.parameters).any(numeric) {
            return None;
        }
        if !oids.is_empty() {
            let mut written = self.parse(text).ok()?;
            let written = self.prepare(written.pop()?, &[]).await.ok()?;
            let kinds = |prepared: &Prepared| prepared.statement.slot.kinds();
            if written.columns != prepared.columns || kinds(&written) != kinds(&prepared) {
                return None;
            }
        }
        // Nothing is described beforehand: a table that changes meanwhile gives another shape, and no error.
        prepared.columns = None;
        Some(Arc::new(prepared))
    }

    /// What plans depend on, for a statement that is to come; `None` when its transaction may see another
    /// catalog than the newest.
    fn newest_basis(&self) -> Option<Basis> {
        if self.shared.with_settings(|settings| settings.as_of().is_some()) {
            return None;
        }
        // Temporary objects are the session's own, and stand before others of their name.
        if self.temporary.has_temporary() {
            return None;
        }
        if let Some(own) = &self.transaction
            && (own.overlay.has_temporary()
                || own.overlay.catalog().is_some()
                || own.snapshot.is_some()
                || own.failed
                || own.isolation != Isolation::ReadCommitted)
        {
            return None;
        }
        Some(self.basis_of(&self.engine.state.snapshot()))
    }
}

/// Whether a text means the same whenever it is sent: the ends of transactions, and statements whose plan
/// holds nothing of the moment in which it was made.
fn may_be_kept(prepared: &Prepared, text: &str) -> bool {
    match &prepared.statement.command {
        Command::Begin { .. } | Command::Commit { .. } | Command::Rollback { .. } => true,
        Command::Query(query) => query.into.is_none() && lasts(&prepared.statement, text, false),
        Command::Update { .. } | Command::Delete { .. } => lasts(&prepared.statement, text, false),
        Command::Insert { .. } => lasts(&prepared.statement, text, true),
        _ => false,
    }
}

/// Whether the statement's plan is a point statement's (or there is none, where that may be), and no
/// literal names the moment.
fn lasts(statement: &Statement, text: &str, unplanned: bool) -> bool {
    let words = ["now", "today", "tomorrow", "yesterday"];
    let lower = text.to_ascii_lowercase().replace("now()", "");
    let quoted = lower.contains(['\'', '$']) && words.iter().any(|word| lower.contains(word));
    !quoted && statement.slot.is_point().unwrap_or(unplanned)
}
