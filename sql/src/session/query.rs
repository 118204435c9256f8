//! Queries: planned once, run on the statement's snapshot under the transaction's own rows; row locks;
//! EXPLAIN.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use ledger::Catalog;
use ledger::catalog::Privilege;

use super::Session;
use crate::outcome::{Outcome, Parameter, Prepared, RowStream, Tag};
use crate::read::{self, Extension, PlanOptions, Planned, QueryContext};
use crate::statement::{Query, Statement};
use crate::types::PgType;
use crate::{Error, privileges};

impl Session {
    /// What a query sees of this session.
    pub(crate) fn query_context(&self, statement: &Statement) -> Result<QueryContext, Error> {
        self.query_context_of(statement.source(), &[])
    }

    /// The same with more relations.
    pub(crate) fn query_context_with(
        &self,
        statement: &Statement,
        more: &[Arc<dyn Extension>],
    ) -> Result<QueryContext, Error> {
        self.query_context_of(statement.source(), more)
    }

    /// The same for a text that positions in errors count in.
    pub(crate) fn query_context_of(
        &self,
        source: &Arc<str>,
        more: &[Arc<dyn Extension>],
    ) -> Result<QueryContext, Error> {
        let catalog = self.catalog()?;
        let settings = self.shared.settings();
        let now = self.engine.clock.now_us();
        // The parts of a statement that writes within WITH all read the state from before it.
        let beside = self.beside.as_deref();
        let overlay = match beside {
            Some(beside) => Some(&beside.overlay),
            None => self.transaction.as_ref().map(|own| &own.overlay),
        };
        let overlay = overlay.filter(|overlay| !overlay.is_empty()).map(|overlay| {
            Arc::new(crate::overlay::Laid::new(overlay.clone(), Arc::clone(&catalog)))
                as Arc<dyn crate::table::Overlay>
        });
        let given = beside.map_or([].as_slice(), |beside| beside.relations.as_slice());
        let extensions: Arc<[Arc<dyn Extension>]> = if more.is_empty() && given.is_empty() {
            Arc::clone(&self.engine.extensions)
        } else {
            more.iter().chain(given).chain(self.engine.extensions.iter()).cloned().collect()
        };
        Ok(QueryContext {
            snapshot: match beside {
                Some(beside) => beside.snapshot.clone(),
                None => self.snapshot()?,
            },
            database: catalog
                .database(ledger::Oid::DATABASE)
                .map_or_else(String::new, |database| database.name.clone()),
            catalog,
            overlay,
            search_path: self.search_path(),
            zone: settings.time_zone(),
            user: self.user.1.clone(),
            session_user: self.session_user.1.clone(),
            transaction_time_us: self.transaction.as_ref().map_or(now, |own| own.started_us),
            statement_time_us: now,
            source: Arc::clone(source),
            extensions,
            session: Some(Arc::clone(&self.shared) as Arc<dyn std::any::Any + Send + Sync>),
            memory: Arc::clone(&self.engine.memory),
            parameters: None,
            bounds: Some(self.bounds.clone()),
        })
    }

    /// The plan of a query: the kept one while it holds.
    fn plan(
        &self,
        statement: &Statement,
        query: &ast::Query,
        parameters: &[Parameter],
        prepared: Option<&Prepared>,
    ) -> Result<Arc<Planned>, Error> {
        let planned = self.planned(statement, || Ok(query.clone()), None, parameters)?;
        if let Some(columns) = prepared.and_then(|prepared| prepared.columns.as_ref())
            && !same_shape(columns, &planned.columns)
        {
            let mut report =
                crate::Report::error("0A000", "cached plan must not change result type");
            report.routine = Some("RevalidateCachedQuery");
            return Err(report.into());
        }
        Ok(planned)
    }

    /// Checks that the user may read what a plan reads, and notes it for SERIALIZABLE.
    pub(crate) fn admit_reads(&mut self, planned: &Planned) -> Result<(), Error> {
        let catalog = self.catalog()?;
        for oid in &planned.reads {
            self.need_privilege(&catalog, *oid, Privilege::Select)?;
        }
        need_owners_privileges(&catalog, planned)?;
        self.note_reads(planned);
        Ok(())
    }

    /// Notes what a plan reads.
    pub(crate) fn note_reads(&mut self, planned: &Planned) {
        if self.isolation() != crate::transaction::Isolation::Serializable {
            return;
        }
        let Ok(catalog) = self.catalog() else { return };
        let mut open = planned.reads.clone();
        let reads = &mut self.transaction_mut().reads;
        while let Some(oid) = open.pop() {
            // A view's rows are those of what it reads.
            if let Some(view) = catalog.view(oid) {
                open.extend(view.depends_on.iter().copied());
            }
            reads.insert(oid);
        }
    }

    pub(crate) async fn query(
        &mut self,
        statement: &Statement,
        query: &Query,
        parameters: &[Parameter],
        prepared: Option<&Prepared>,
    ) -> Result<Outcome, Error> {
        if let Some((into, temporary)) = &query.into {
            return self.select_into(statement, (into, *temporary), &query.query, parameters).await;
        }
        if !query.locks.is_empty() {
            return self.query_with_locks(statement, query, parameters).await;
        }
        let planned = self.plan(statement, &query.query, parameters, prepared)?;
        self.admit_reads(&planned)?;
        if let Some(batch) = self.point_batch(statement, &planned, parameters) {
            return Ok(Outcome::Rows {
                columns: planned.columns.clone(),
                stream: futures::stream::iter([Ok(batch)]).boxed(),
                tag: Tag::Counted("SELECT"),
            });
        }
        let context = self.query_context(statement)?;
        let stream = read::run(&context, &planned, parameters).await?;
        Ok(Outcome::Rows {
            columns: planned.columns.clone(),
            stream: self.bounded(stream),
            tag: Tag::Counted("SELECT"),
        })
    }

    /// Rows that stop when the statement must.
    pub(crate) fn bounded(&self, stream: RowStream) -> RowStream {
        let bounds = self.bounds.clone();
        futures::stream::unfold((stream, bounds, false), |(mut stream, bounds, over)| async move {
            if over {
                return None;
            }
            let next = bounds.within(async { Ok(stream.next().await) }).await;
            match next {
                Ok(Some(Ok(batch))) => Some((Ok(batch), (stream, bounds, false))),
                Ok(Some(Err(error))) | Err(error) => Some((Err(error), (stream, bounds, true))),
                Ok(None) => None,
            }
        })
        .boxed()
    }

    /// A query's plan and all its rows.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared borrow of the session is not Send"
    )]
    pub(crate) async fn collect(
        &mut self,
        context: &QueryContext,
        query: &ast::Query,
        targets: Option<&[PgType]>,
        parameters: &[Parameter],
    ) -> Result<(Planned, Vec<RecordBatch>), Error> {
        let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
        let planned =
            read::plan_query(context, query, PlanOptions { parameter_oids: &oids, targets })?;
        let batches = read::collect(context, &planned, parameters).await?;
        Ok((planned, batches))
    }

    pub(super) fn nothing(
        &self,
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

/// What views read, their owners must be allowed to read.
pub(crate) fn need_owners_privileges(catalog: &Catalog, planned: &Planned) -> Result<(), Error> {
    let denied = planned
        .owner_reads
        .iter()
        .find(|(owner, oid)| !privileges::may(catalog, *owner, *oid, Privilege::Select));
    denied.map_or(Ok(()), |(_, oid)| Err(privileges::denied(catalog, *oid)))
}

/// Whether rows of one shape can be read as those of another.
fn same_shape(a: &[crate::ResultColumn], b: &[crate::ResultColumn]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.type_oid == b.type_oid)
}
