//! The simple protocol: one message with any number of statements.

use std::panic::AssertUnwindSafe;

use sql::{Outcome, Parameter, Prepared};

use super::super::error;
use super::super::portal::Running;
use super::super::reply;
use super::super::wire::Stream;
use super::{Session, Stop, guarded};

impl<S: Stream> Session<S> {
    /// Runs the statements of a Query message in order; each one's answer is sent before the next runs.
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), Stop> {
        self.statements.remove("");
        self.portals.remove("");
        match self.statements_of(text).await {
            Ok(()) => {}
            Err(Stop::Gone) => return Err(Stop::Gone),
            Err(Stop::Problem(problem)) if problem.is_fatal() => {
                return Err(Stop::Problem(problem));
            }
            Err(Stop::Problem(problem)) => self.failed(&problem),
        }
        self.ready().await
    }

    async fn statements_of(&mut self, text: &str) -> Result<(), Stop> {
        let recalled = guarded(async { Ok(self.sql.recall(text).await) }).await?;
        if let Some((prepared, parameters)) = recalled {
            return self.run_one(&prepared, parameters, true).await;
        }
        let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| self.sql.parse(text)));
        let statements = parsed.map_err(|panic| error::of_panic(panic.as_ref()))??;
        let last = statements.len().saturating_sub(1);
        for (place, statement) in statements.into_iter().enumerate() {
            let mut prepared = self.prepare(statement, &[]).await?;
            // Nothing was described yet: a table that changes meanwhile gives another shape, and no error.
            prepared.columns = None;
            self.run_one(&prepared, Vec::new(), place == last).await?;
        }
        Ok(())
    }

    async fn run_one(
        &mut self,
        prepared: &Prepared,
        parameters: Vec<Parameter>,
        last: bool,
    ) -> Result<(), Stop> {
        let outcome = self.execute(prepared, parameters).await?;
        let tag = self.answer(outcome).await?;
        // The last statement's answer is complete when the commit is durable, not before.
        if last {
            self.commit().await?;
        }
        self.notices();
        match tag {
            Some(tag) => {
                reply::command_complete(&mut self.wire.output, &tag);
                self.after_command(&tag);
            }
            None => reply::empty_query(&mut self.wire.output),
        }
        Ok(())
    }

    /// Sends what a statement gave; its tag, or `None` for the empty statement.
    async fn answer(&mut self, outcome: Outcome) -> Result<Option<String>, Stop> {
        match outcome {
            Outcome::Empty => Ok(None),
            Outcome::Done { tag } => Ok(Some(tag)),
            Outcome::Rows { columns, stream, tag } => {
                self.row_description(&columns, &[]);
                let mut running = Running::new(&columns, &[], stream, tag);
                let (rows, _) = self.send_rows(&mut running, None).await?;
                Ok(Some(running.tag.text(rows)))
            }
            Outcome::CopyIn(copy) => self.copy_in(copy).await.map(Some),
            Outcome::CopyOut(copy) => self.copy_out(copy).await.map(Some),
        }
    }
}
