//! What sessions do and hold now: `pg_stat_activity`, `pg_locks`, `pg_cursors`, `pg_prepared_statements`.

use std::collections::BTreeMap;

use ledger::Oid;
use storage::{LockMode, LockOwner, LockTarget};

use super::{Relation, Row, fill, int, text};
use crate::catalog::facts::Facts;
use crate::catalog::privileges::{is_superuser, roles_of};
use crate::functions::Datum;
use crate::shared::SessionShared;
use crate::shared::advisory::Key;

/// The most rows of `pg_locks`.
const LOCKS: usize = 100_000;

fn time(us: i64) -> Datum {
    Datum::Timestamptz(us)
}

fn optional_time(us: Option<i64>) -> Datum {
    us.map_or(Datum::Null, time)
}

fn session<'a>(facts: &Facts<'a>) -> Option<&'a SessionShared> {
    facts.surroundings?.shared()
}

pub(super) fn pg_stat_activity(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 16] = [
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "client_addr",
        "client_port",
        "backend_start",
        "backend_type",
        "xact_start",
        "query_start",
        "state_change",
        "wait_event_type",
        "wait_event",
        "state",
    ];
    let Some(own) = session(facts) else { return Vec::new() };
    let waiting = waiting(own);
    let all = is_superuser(facts);
    let roles = facts.role_oid(facts.user).map(|oid| roles_of(facts, oid, false));
    let mut names = NAMES.to_vec();
    names.push("query");
    let rows = own.engine.open_sessions().into_iter().map(|other| {
        let (application, activity) = other.activity();
        let mut row = vec![
            int(Oid::DATABASE.0),
            text(facts.database),
            int(other.number),
            int(other.login.0),
            facts.role_name(other.login.0).map_or(Datum::Null, text),
            text(application),
            activity.client.map_or(Datum::Null, |client| text(client.ip().to_string())),
            activity.client.map_or(Datum::Null, |client| int(client.port())),
            time(activity.began),
            text("client backend"),
        ];
        let open = all || roles.as_ref().is_some_and(|roles| roles.contains(&other.login.0));
        if !open {
            row.extend(std::iter::repeat_n(Datum::Null, 6));
            row.push(text("<insufficient privilege>"));
            return row;
        }
        let owners = other.lock_owners();
        let waits = waiting.iter().find(|(owner, _)| owners.contains(&Some(*owner)));
        let (kind, event) = match (waits, activity.state) {
            (Some((_, target)), _) => (text("Lock"), text(kind_of(target))),
            (None, "active") => (Datum::Null, Datum::Null),
            (None, _) => (text("Client"), text("ClientRead")),
        };
        row.extend([
            optional_time(activity.transaction_began),
            optional_time(activity.query_began),
            time(activity.state_changed),
            kind,
            event,
            text(activity.state),
            text(activity.query.trim()),
        ]);
        row
    });
    fill(relation, &names, rows)
}

/// Who waits for which lock.
fn waiting(own: &SessionShared) -> Vec<(LockOwner, LockTarget)> {
    let all = own.engine.state().locks().list(LOCKS).into_iter();
    all.filter(|(_, _, _, granted)| !granted).map(|(owner, target, ..)| (owner, target)).collect()
}

/// PostgreSQL's word for what is locked.
fn kind_of(target: &LockTarget) -> &'static str {
    match target {
        LockTarget::Table(_) => "relation",
        LockTarget::Row(..) => "tuple",
        LockTarget::Catalog => "object",
        other if Key::of(other).is_some() => "advisory",
        LockTarget::Key(..) | LockTarget::Advisory(_) => "object",
    }
}

fn mode_of(target: &LockTarget, mode: LockMode) -> &'static str {
    match (target, mode) {
        (LockTarget::Table(_), LockMode::Update) => "AccessExclusiveLock",
        (LockTarget::Table(_), _) => "RowExclusiveLock",
        (_, LockMode::KeyShare) => "RowShareLock",
        (_, LockMode::Share) => "ShareLock",
        (_, LockMode::NoKeyUpdate | LockMode::Update) => "ExclusiveLock",
    }
}

pub(super) fn pg_locks(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 11] = [
        "locktype",
        "database",
        "relation",
        "classid",
        "objid",
        "objsubid",
        "virtualtransaction",
        "pid",
        "mode",
        "granted",
        "fastpath",
    ];
    let Some(own) = session(facts) else { return Vec::new() };
    let mut sessions = BTreeMap::new();
    for other in own.engine.open_sessions() {
        for owner in other.lock_owners().into_iter().flatten() {
            sessions.insert(owner, other.number);
        }
    }
    let rows =
        own.engine.state().locks().list(LOCKS).into_iter().map(|(owner, target, mode, granted)| {
            let relation = match &target {
                LockTarget::Table(oid) | LockTarget::Row(oid, _) => int(oid.0),
                LockTarget::Key(index, _) if index.0 != 0 => int(index.0),
                _ => Datum::Null,
            };
            let halves = |number: i64| {
                let bits = number.cast_unsigned();
                (
                    Datum::Int((bits >> 32).cast_signed()),
                    Datum::Int((bits & 0xffff_ffff).cast_signed()),
                )
            };
            let (class, object, part) = match Key::of(&target) {
                Some(Key::One(number)) => {
                    let (high, low) = halves(number);
                    (high, low, int(1))
                }
                Some(Key::Two(a, b)) => (int(a.cast_unsigned()), int(b.cast_unsigned()), int(2)),
                None => (Datum::Null, Datum::Null, Datum::Null),
            };
            let number = sessions.get(&owner);
            vec![
                text(kind_of(&target)),
                int(Oid::DATABASE.0),
                relation,
                class,
                object,
                part,
                number.map_or(Datum::Null, |number| text(format!("{number}/0"))),
                number.map_or(Datum::Null, |number| int(*number)),
                text(mode_of(&target, mode)),
                Datum::Bool(granted),
                Datum::Bool(false),
            ]
        });
    fill(relation, &NAMES, rows)
}

pub(super) fn pg_cursors(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 6] =
        ["name", "statement", "is_holdable", "is_binary", "is_scrollable", "creation_time"];
    let cursors = session(facts).map(SessionShared::cursors).unwrap_or_default();
    let rows = cursors.into_iter().map(|(name, cursor)| {
        vec![
            text(name),
            text(cursor.statement),
            Datum::Bool(cursor.hold),
            Datum::Bool(false),
            Datum::Bool(cursor.scroll),
            time(cursor.time),
        ]
    });
    fill(relation, &NAMES, rows)
}

pub(super) fn pg_prepared_statements(relation: &Relation, facts: &Facts<'_>) -> Vec<Row> {
    const NAMES: [&str; 7] = [
        "name",
        "statement",
        "prepare_time",
        "parameter_types",
        "from_sql",
        "generic_plans",
        "custom_plans",
    ];
    let prepared = session(facts).map(SessionShared::prepared).unwrap_or_default();
    let rows = prepared.into_iter().map(|(name, note)| {
        let kinds = note.parameters.into_iter().map(int).collect();
        vec![
            text(name),
            text(note.statement),
            time(note.time),
            Datum::Array(kinds),
            Datum::Bool(note.from_sql),
            int(0),
            int(0),
        ]
    });
    fill(relation, &NAMES, rows)
}
