//! The extended protocol: Parse, Bind, Describe, Execute, Close, Sync.

use std::sync::Arc;

use sql::{Outcome, Prepared, TransactionStatus};

use super::super::decode;
use super::super::encode::Format;
use super::super::error::Problem;
use super::super::message::{Bind, Parse, Target};
use super::super::portal::{Done, Portal, Running, State};
use super::super::reply;
use super::super::wire::Stream;
use super::{Session, Stop, guarded};

/// Prepared statements, and portals, that one session may have.
const MOST: usize = 10_000;
/// Bytes of the texts of its prepared statements, and of the parameters of its portals.
const MOST_BYTES: usize = 64 << 20;

impl<S: Stream> Session<S> {
    /// `P`
    pub(super) async fn parse(&mut self, parse: Parse) -> Result<(), Stop> {
        if parse.name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(&parse.name)
            || self.sql.find_prepared(&parse.name).is_some()
        {
            let message = format!("prepared statement \"{}\" already exists", parse.name);
            return Err(Problem::error("42P05", message).into());
        }
        let bytes: usize = self.statements.values().map(|it| it.statement.source().len()).sum();
        if self.statements.len() >= MOST
            || !self.statements.is_empty() && bytes + parse.query.len() > MOST_BYTES
        {
            return Err(too_many("prepared statements"));
        }
        let prepared = guarded(self.sql.prepare_text(&parse.query, &parse.parameter_oids)).await?;
        if !parse.name.is_empty() {
            self.sql.share_prepared(&parse.name, &prepared);
        }
        self.statements.insert(parse.name, prepared);
        reply::parse_complete(&mut self.wire.output);
        self.flush_if_full().await
    }

    fn statement(&self, name: &str) -> Result<&Arc<Prepared>, Stop> {
        let found = self.statements.get(name).or_else(|| self.sql.find_prepared(name));
        found.ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Problem::error("26000", message).into()
        })
    }

    /// `B`
    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        let prepared = Arc::clone(self.statement(&bind.statement)?);
        let (given, wanted) = (bind.parameters.len(), prepared.parameters.len());
        if given != wanted {
            return Err(broken(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                bind.statement
            )));
        }
        let parameter_formats = formats(&bind.parameter_formats)?;
        if parameter_formats.len() > 1 && parameter_formats.len() != given {
            return Err(broken(format!(
                "bind message has {} parameter formats but {given} parameters",
                parameter_formats.len()
            )));
        }
        let result_formats = formats(&bind.result_formats)?;
        let columns = prepared.columns.as_ref().map_or(0, Vec::len);
        if result_formats.len() > 1 && result_formats.len() != columns {
            return Err(broken(format!(
                "bind message has {} result formats but query has {columns} columns",
                result_formats.len()
            )));
        }
        if self.sql.status() == TransactionStatus::Failed && !prepared.statement.ends_transaction()
        {
            return Err(sql::Error::Aborted.into());
        }
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Problem::error("42P03", message).into());
        }
        let bytes: usize = bind.parameters.iter().flatten().map(bytes::Bytes::len).sum();
        let held: usize = self.portals.values().map(Portal::held).sum();
        if self.portals.len() >= MOST || held > 0 && held + bytes > MOST_BYTES {
            return Err(too_many("portals"));
        }
        let zone = self.zone();
        let mut parameters = Vec::with_capacity(given);
        for (place, (bytes, oid)) in
            bind.parameters.into_iter().zip(&prepared.parameters).enumerate()
        {
            let format = super::super::portal::format_of(&parameter_formats, place);
            let parameter = decode::parameter(*oid, format, bytes, zone).map_err(|problem| {
                problem.with_context(format!("parameter ${} of the bind message", place + 1))
            })?;
            parameters.push(parameter);
        }
        let state = State::Ready(parameters);
        let portal = Portal { prepared, formats: result_formats, state, bytes };
        self.portals.insert(bind.portal, portal);
        reply::bind_complete(&mut self.wire.output);
        Ok(())
    }

    /// `D`
    pub(super) fn describe(&mut self, target: &Target) -> Result<(), Stop> {
        let (prepared, formats) = match target {
            Target::Statement(name) => {
                let prepared = Arc::clone(self.statement(name)?);
                reply::parameter_description(&mut self.wire.output, &prepared.parameters);
                (prepared, Vec::new())
            }
            // An SQL cursor is a portal too: drivers describe it before they FETCH.
            Target::Portal(name) if !self.portals.contains_key(name) => {
                let columns = self.sql.cursor_columns(name).map(<[_]>::to_vec);
                let columns = columns.ok_or_else(|| no_portal(name))?;
                self.row_description(&columns, &[]);
                return Ok(());
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (Arc::clone(&portal.prepared), portal.formats.clone())
            }
        };
        match &prepared.columns {
            Some(columns) => self.row_description(columns, &formats),
            None => reply::no_data(&mut self.wire.output),
        }
        Ok(())
    }

    /// `C`: what isn't there is closed already.
    pub(super) fn close(&mut self, target: &Target) -> Result<(), Stop> {
        match target {
            Target::Statement(name) => {
                self.statements.remove(name);
                self.sql.forget_prepared(name);
            }
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        reply::close_complete(&mut self.wire.output);
        Ok(())
    }

    /// `E`
    pub(super) async fn run_portal(&mut self, name: &str, max_rows: i32) -> Result<(), Stop> {
        // Taken out while it runs, so that it lives through the end of its own transaction.
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let limit = u64::try_from(max_rows).ok().filter(|limit| *limit > 0);
        let was_active = self.sql.status() != TransactionStatus::Idle;
        let result = self.run_state(&mut portal, name, limit).await;
        if was_active && self.sql.status() == TransactionStatus::Idle {
            self.portals.clear();
        } else {
            self.portals.insert(name.to_owned(), portal);
        }
        result?;
        self.flush_if_full().await
    }

    async fn run_state(
        &mut self,
        portal: &mut Portal,
        name: &str,
        limit: Option<u64>,
    ) -> Result<(), Stop> {
        let state = std::mem::replace(&mut portal.state, State::Done(Done::Once));
        match state {
            State::Ready(parameters) => {
                let outcome = self.execute(&portal.prepared, parameters).await?;
                self.answer_portal(portal, outcome, limit).await
            }
            State::Running(running) => self.continue_portal(portal, running, limit).await,
            State::Done(Done::Rows(tag)) => {
                self.complete(&tag.text(0));
                portal.state = State::Done(Done::Rows(tag));
                Ok(())
            }
            State::Done(Done::Once) => {
                Err(Problem::error("55000", format!("portal \"{name}\" cannot be run")).into())
            }
        }
    }

    async fn answer_portal(
        &mut self,
        portal: &mut Portal,
        outcome: Outcome,
        limit: Option<u64>,
    ) -> Result<(), Stop> {
        match outcome {
            Outcome::Rows { columns, stream, tag } => {
                let running = Box::new(Running::new(&columns, &portal.formats, stream, tag));
                return self.continue_portal(portal, running, limit).await;
            }
            Outcome::Empty => {
                self.notices();
                reply::empty_query(&mut self.wire.output);
            }
            Outcome::Done { tag } => self.complete(&tag),
            Outcome::CopyIn(copy) => {
                let tag = self.copy_in(copy).await?;
                self.complete(&tag);
            }
            Outcome::CopyOut(copy) => {
                let tag = self.copy_out(copy).await?;
                self.complete(&tag);
            }
        }
        Ok(())
    }

    async fn continue_portal(
        &mut self,
        portal: &mut Portal,
        mut running: Box<Running>,
        limit: Option<u64>,
    ) -> Result<(), Stop> {
        self.place.cancel.begin();
        let (rows, finished) = self.send_rows(&mut running, limit).await?;
        // As in PostgreSQL, a portal that stops at its limit is suspended, rows left or not.
        if finished && limit != Some(rows) {
            self.complete(&running.tag.text(rows));
            portal.state = State::Done(Done::Rows(running.tag));
        } else {
            self.notices();
            reply::portal_suspended(&mut self.wire.output);
            portal.state = State::Running(running);
        }
        Ok(())
    }

    /// Says that a statement is complete. If its commit fails at Sync, this is taken back.
    fn complete(&mut self, tag: &str) {
        self.notices();
        self.commit_mark = Some(self.wire.output.len());
        reply::command_complete(&mut self.wire.output, tag);
        self.after_command(tag);
    }

    /// DEALLOCATE and DISCARD take the connection's statements too, CLOSE ALL its portals.
    pub(super) fn after_command(&mut self, tag: &str) {
        for name in self.sql.take_deallocated() {
            match name {
                Some(name) => drop(self.statements.remove(&name)),
                None => self.statements.clear(),
            }
        }
        if matches!(tag, "DISCARD ALL" | "CLOSE CURSOR ALL") {
            self.portals.clear();
        }
    }

    /// `S`
    pub(super) async fn sync(&mut self) -> Result<(), Stop> {
        self.skipping = false;
        match self.commit().await {
            Ok(()) => {}
            Err(Stop::Gone) => return Err(Stop::Gone),
            Err(Stop::Problem(problem)) => {
                // What was said too early is not sent: the client gets the error in its place.
                if let Some(mark) = self.commit_mark {
                    self.wire.output.truncate(mark);
                }
                self.failed(&problem);
            }
        }
        self.ready().await
    }
}

fn formats(codes: &[i16]) -> Result<Vec<Format>, Problem> {
    codes.iter().map(|code| Format::of(*code)).collect()
}

fn no_portal(name: &str) -> Stop {
    Problem::error("34000", format!("portal \"{name}\" does not exist")).into()
}

fn broken(message: String) -> Stop {
    Problem::error("08P01", message).into()
}

fn too_many(what: &str) -> Stop {
    Problem::error("54000", format!("this session has too many {what}"))
        .with_hint("Close those that are not needed any more.")
        .into()
}
