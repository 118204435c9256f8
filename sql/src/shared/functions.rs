//! Functions that act on sessions: pg_sleep, advisory locks, the transaction's number, asking another
//! session to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::SessionShared;
use super::advisory::{How, Key};
use crate::functions::{Call, Datum, Function};
use crate::read::Extension;
use crate::{Error, Report};

/// The functions, by name.
pub(crate) struct SessionFunctions(BTreeMap<String, Vec<Arc<Function>>>);

type Body = fn(&SessionShared, &Call<'_>, &[Datum]) -> Result<Datum, Error>;

const FUNCTIONS: &[(&str, Body)] = &[
    ("pg_sleep(double precision) void", |session, _, arguments| {
        session.sleep(seconds(arguments))?;
        Ok(Datum::Text(String::new()))
    }),
    ("pg_sleep_for(interval) void", |session, _, arguments| {
        session.sleep(span(arguments))?;
        Ok(Datum::Text(String::new()))
    }),
    ("pg_sleep_until(timestamptz) void", |session, _, arguments| {
        let now = session.engine.clock.now_us();
        let until = match arguments.first() {
            Some(Datum::Timestamptz(until)) => *until,
            _ => now,
        };
        let time = u64::try_from(until.saturating_sub(now)).unwrap_or(0);
        session.sleep(Duration::from_micros(time))?;
        Ok(Datum::Text(String::new()))
    }),
    ("pg_advisory_unlock(bigint) boolean", |session, _, arguments| {
        Ok(Datum::Bool(session.unlock_advisory(key(arguments), false)))
    }),
    ("pg_advisory_unlock(integer, integer) boolean", |session, _, arguments| {
        Ok(Datum::Bool(session.unlock_advisory(key(arguments), false)))
    }),
    ("pg_advisory_unlock_shared(bigint) boolean", |session, _, arguments| {
        Ok(Datum::Bool(session.unlock_advisory(key(arguments), true)))
    }),
    ("pg_advisory_unlock_shared(integer, integer) boolean", |session, _, arguments| {
        Ok(Datum::Bool(session.unlock_advisory(key(arguments), true)))
    }),
    ("pg_advisory_unlock_all() void", |session, _, _| {
        session.unlock_all_advisory();
        Ok(Datum::Text(String::new()))
    }),
    ("txid_current() bigint", |session, _, _| {
        Ok(session.transaction_number(true).map_or(Datum::Null, Datum::Int))
    }),
    ("txid_current_if_assigned() bigint", |session, _, _| {
        Ok(session.transaction_number(false).map_or(Datum::Null, Datum::Int))
    }),
    ("pg_cancel_backend(integer) boolean", |session, call, arguments| {
        Ok(Datum::Bool(match other(session, call, arguments, "canceled")? {
            Some(found) => {
                found.cancel.cancel();
                true
            }
            None => false,
        }))
    }),
    ("pg_terminate_backend(integer, [bigint]) boolean", |session, call, arguments| {
        Ok(Datum::Bool(match other(session, call, arguments, "terminated")? {
            Some(found) => {
                found.end.cancel();
                found.cancel.cancel();
                true
            }
            None => false,
        }))
    }),
];

impl SessionFunctions {
    pub(crate) fn new() -> Self {
        let mut all: BTreeMap<String, Vec<Arc<Function>>> = BTreeMap::new();
        let mut add = |function: Function| {
            let function = Arc::new(function.volatile());
            all.entry(function.name.clone()).or_default().push(function);
        };
        for (signature, body) in FUNCTIONS {
            add(Function::row(signature, |call, arguments| body(session(call)?, call, arguments)));
        }
        for (shared, suffix) in [(false, ""), (true, "_shared")] {
            for (transaction, scope) in [(false, ""), (true, "xact_")] {
                let how = How { shared, transaction };
                for arguments in ["bigint", "integer, integer"] {
                    let name = format!("pg_advisory_{scope}lock{suffix}({arguments}) void");
                    add(Function::row(&name, move |call, arguments| {
                        session(call)?.lock_advisory(key(arguments), how, true)?;
                        Ok(Datum::Text(String::new()))
                    }));
                    let name = format!("pg_try_advisory_{scope}lock{suffix}({arguments}) boolean");
                    add(Function::row(&name, move |call, arguments| {
                        let given = session(call)?.lock_advisory(key(arguments), how, false)?;
                        Ok(Datum::Bool(given))
                    }));
                }
            }
        }
        Self(all)
    }
}

fn session<'c>(call: &'c Call<'_>) -> Result<&'c SessionShared, Error> {
    call.context
        .session
        .as_ref()
        .and_then(|session| session.downcast_ref())
        .ok_or_else(|| Error::internal("a query without a session"))
}

/// The most that a session sleeps: what a timer can hold.
const LONGEST: f64 = 3.0e8;

fn seconds(arguments: &[Datum]) -> Duration {
    match arguments.first() {
        Some(Datum::Float(seconds)) if *seconds > 0.0 => {
            Duration::try_from_secs_f64(seconds.min(LONGEST)).unwrap_or_default()
        }
        _ => Duration::ZERO,
    }
}

fn span(arguments: &[Datum]) -> Duration {
    match arguments.first() {
        Some(Datum::Interval(span)) => {
            let days = i64::from(span.months) * 30 + i64::from(span.days);
            let micros = days.saturating_mul(86_400_000_000).saturating_add(span.micros);
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        }
        _ => Duration::ZERO,
    }
}

fn key(arguments: &[Datum]) -> Key {
    let number = |at: usize| arguments.get(at).map_or(0, Datum::int);
    let small = |at: usize| i32::try_from(number(at)).unwrap_or_default();
    if arguments.len() > 1 { Key::Two(small(0), small(1)) } else { Key::One(number(0)) }
}

/// The session of a number, if it is there; the caller must be allowed to stop it.
fn other(
    session: &SessionShared,
    call: &Call<'_>,
    arguments: &[Datum],
    what: &str,
) -> Result<Option<Arc<SessionShared>>, Error> {
    let number = arguments.first().map_or(0, Datum::int);
    let found = u32::try_from(number).ok().and_then(|n| session.engine.find_session(n));
    let Some(found) = found else {
        let message = format!("PID {number} is not a PostgreSQL server process");
        session.warn(Report::warning("01000", message));
        return Ok(None);
    };
    let catalog = &call.context.catalog;
    let own = catalog.find_role(&call.context.user);
    let superuser = |role| catalog.role(role).is_some_and(|role| role.superuser);
    if own.is_some_and(superuser) {
        return Ok(Some(found));
    }
    let verb =
        if what == "canceled" { "cancel superuser query" } else { "terminate superuser process" };
    if superuser(found.login) {
        return Err(Error::new("42501", format!("must be a superuser to {verb}")));
    }
    let member =
        own.is_some_and(|own| crate::privileges::roles_of(catalog, own).contains(&found.login));
    if member {
        return Ok(Some(found));
    }
    let thing =
        if what == "canceled" { "query is being canceled" } else { "process is being terminated" };
    Err(Error::new(
        "42501",
        format!("must be a member of the role whose {thing} or member of pg_signal_backend"),
    ))
}

impl Extension for SessionFunctions {
    fn functions(&self, schema: Option<&str>, name: &str) -> Vec<Arc<Function>> {
        match schema {
            None | Some("pg_catalog") => self.0.get(name).cloned().unwrap_or_default(),
            Some(_) => Vec::new(),
        }
    }
}
