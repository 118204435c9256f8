//! Queries.

use super::Session;
use crate::Error;
use crate::outcome::{Outcome, Parameter, Prepared};
use crate::statement::{Copy, ExplainOptions, Query, Statement};

impl Session {
    pub(super) async fn query(
        &mut self,
        statement: &Statement,
        query: &Query,
        parameters: &[Parameter],
        prepared: Option<&Prepared>,
    ) -> Result<Outcome, Error> {
        let _ = (statement, query, parameters, prepared);
        Err(Error::unsupported("a query", "Wait for the planner."))
    }

    pub(super) async fn explain(
        &mut self,
        options: ExplainOptions,
        statement: &Statement,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (options, statement, parameters);
        Err(Error::unsupported("EXPLAIN", "Wait for the planner."))
    }

    pub(super) async fn copy(
        &mut self,
        statement: &Statement,
        copy: &Copy,
    ) -> Result<Outcome, Error> {
        let _ = (statement, copy);
        Err(Error::unsupported("COPY", "Use INSERT."))
    }

    pub(super) fn nothing(
        &mut self,
        tag: &'static str,
        tables: &[Vec<String>],
    ) -> Result<Outcome, Error> {
        let catalog = self.catalog()?;
        for name in tables {
            self.find_table(&catalog, name)?;
        }
        if tag == "VACUUM" && self.transaction.as_ref().is_some_and(|own| own.explicit) {
            return Err(Error::new("25001", "VACUUM cannot run inside a transaction block"));
        }
        Ok(Outcome::done(tag))
    }
}
