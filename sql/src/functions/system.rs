//! What a session knows of itself, and values made by chance.

use super::{Datum, Function};

pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("gen_random_uuid() uuid", |_, _| {
            Ok(Datum::Uuid(uuid::Uuid::new_v4().into_bytes()))
        })
        .volatile(),
        Function::row("pg_typeof(any) regtype", |c, _| {
            Ok(Datum::Int(c.kinds.first().map_or(0, |kind| i64::from(kind.oid()))))
        })
        .with_nulls(),
        Function::row("num_nulls(variadic any) integer", |_, a| {
            Ok(super::text::size(a.iter().filter(|value| value.is_null()).count()))
        })
        .with_nulls(),
        Function::row("num_nonnulls(variadic any) integer", |_, a| {
            Ok(super::text::size(a.iter().filter(|value| !value.is_null()).count()))
        })
        .with_nulls(),
    ];
    for name in ["current_user", "user", "current_role"] {
        let function =
            Function::row(&format!("{name}() name"), |c, _| Ok(c.context.user.clone().into()));
        all.push(function.stable());
    }
    all.push(
        Function::row("session_user() name", |c, _| Ok(c.context.session_user.clone().into()))
            .stable(),
    );
    for name in ["current_catalog", "current_database"] {
        let function =
            Function::row(&format!("{name}() name"), |c, _| Ok(c.context.database.clone().into()));
        all.push(function.stable());
    }
    all
}
