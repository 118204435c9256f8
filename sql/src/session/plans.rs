//! Plans that outlive the run of a statement: kept with the statement while all that planning depends on
//! stays the same.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use ledger::Oid;
use parking_lot::Mutex;
use storage::Snapshot;

use super::Session;
use crate::outcome::Parameter;
use crate::read::{self, PlanOptions, Planned};
use crate::statement::Statement;
use crate::types::PgType;
use crate::{Error, Settings};

/// OID of `unknown`.
const UNKNOWN: u32 = 705;

/// Where a statement keeps the plan of the query that gives its rows. Copies share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    basis: Basis,
    planned: Arc<Planned>,
}

impl Kept {
    /// Whether it takes such parameters: of its own types, or texts that become what it wants.
    fn takes(&self, parameters: &[Parameter]) -> bool {
        let wanted = &self.planned.parameters;
        parameters.len() >= wanted.len()
            && parameters.iter().zip(wanted).all(|(given, wanted)| {
                matches!(given.oid, 0 | UNKNOWN) || given.oid == wanted.oid()
            })
    }
}

/// What a plan depends on beside the statement and its parameters' types.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// The catalog's version.
    catalog: u64,
    settings: Settings,
    user: Oid,
}

impl Basis {
    /// Whether a plan made on one is one made on the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.catalog == other.catalog
            && self.user == other.user
            && self.settings.plans_as(&other.settings)
    }
}

impl Slot {
    fn get(&self, basis: &Basis, parameters: &[Parameter]) -> Option<Arc<Planned>> {
        let kept = self.0.lock();
        let kept = kept.as_ref().filter(|kept| kept.basis.is(basis) && kept.takes(parameters))?;
        Some(Arc::clone(&kept.planned))
    }

    /// Whether the plan is a point statement's; `None` without a plan.
    pub(crate) fn is_point(&self) -> Option<bool> {
        self.0.lock().as_ref().map(|kept| kept.planned.point.is_some())
    }

    /// The types of the plan's rows.
    pub(crate) fn kinds(&self) -> Option<Vec<PgType>> {
        self.0.lock().as_ref().map(|kept| kept.planned.types.clone())
    }

    fn put(&self, basis: Basis, planned: Arc<Planned>) {
        *self.0.lock() = Some(Kept { basis, planned });
    }
}

impl Session {
    /// What plans depend on now; `None` while the catalog is one that only the transaction itself sees.
    pub(crate) fn basis(&self) -> Option<Basis> {
        let own = self.transaction.as_ref().is_some_and(|own| own.overlay.catalog().is_some());
        // What a part of a WITH gave is in the plans of the parts after it.
        let snapshot = self.snapshot.as_ref().filter(|_| !own && self.beside.is_none())?;
        Some(self.basis_of(snapshot))
    }

    /// The same for a snapshot.
    pub(super) fn basis_of(&self, snapshot: &Snapshot) -> Basis {
        Basis {
            catalog: snapshot.catalog().version(),
            settings: self.shared.settings(),
            user: self.user.0,
        }
    }

    /// Keeps a plan with its statement.
    pub(crate) fn keep(&self, statement: &Statement, planned: Planned) -> Arc<Planned> {
        let planned = Arc::new(planned);
        if !planned.momentary
            && let Some(basis) = self.basis()
        {
            statement.slot.put(basis, Arc::clone(&planned));
        }
        planned
    }

    /// The plan of the query that gives a statement's rows: the kept one, or that of the query that
    /// `make` makes.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub(crate) fn planned(
        &self,
        statement: &Statement,
        make: impl FnOnce() -> Result<ast::Query, Error>,
        targets: Option<&[PgType]>,
        parameters: &[Parameter],
    ) -> Result<Arc<Planned>, Error> {
        let basis = self.basis();
        if let Some(planned) = basis.and_then(|basis| statement.slot.get(&basis, parameters)) {
            return Ok(planned);
        }
        let mut context = self.query_context(statement)?;
        context.parameters = Some(Arc::from(parameters));
        let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
        let options = PlanOptions { parameter_oids: &oids, targets };
        let planned = read::plan_query(&context, &make()?, options)?;
        Ok(self.keep(statement, planned))
    }
}
