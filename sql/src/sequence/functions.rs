//! nextval, currval, setval and lastval, as functions of queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::Volatility;
use ledger::catalog::Privilege;
use ledger::{Object, Oid};

use crate::Error;
use crate::functions::{Call, Datum, Function};
use crate::names::split;
use crate::privileges::{denied, may};
use crate::read::{Extension, QueryContext};
use crate::shared::SessionShared;

/// The functions, by name.
pub(crate) struct SequenceFunctions(BTreeMap<&'static str, Vec<Arc<Function>>>);

impl SequenceFunctions {
    pub(crate) fn new() -> Self {
        let mut all: BTreeMap<&'static str, Vec<Arc<Function>>> = BTreeMap::new();
        let mut add = |name, function: Function| {
            all.entry(name).or_default().push(Arc::new(volatile(function)));
        };
        for kind in ["text", "regclass"] {
            add(
                "nextval",
                Function::row(&format!("nextval({kind}) bigint"), |call, arguments| {
                    let (oid, _) = sequence(call, arguments.first())?;
                    need(call, oid, NEXT)?;
                    Ok(Datum::Int(session(call)?.next_value(oid)?))
                }),
            );
            add(
                "currval",
                Function::row(&format!("currval({kind}) bigint"), |call, arguments| {
                    let (oid, name) = sequence(call, arguments.first())?;
                    need(call, oid, &[Privilege::Usage, Privilege::Select])?;
                    Ok(Datum::Int(session(call)?.current_value(oid, &name)?))
                }),
            );
            add(
                "setval",
                Function::row(
                    &format!("setval({kind}, bigint, [boolean]) bigint"),
                    |call, arguments| {
                        let (oid, _) = sequence(call, arguments.first())?;
                        need(call, oid, &[Privilege::Update])?;
                        let value = arguments.get(1).map_or(0, Datum::int);
                        let called = !matches!(arguments.get(2), Some(Datum::Bool(false)));
                        session(call)?.set_value(oid, value, called)?;
                        Ok(Datum::Int(value))
                    },
                ),
            );
        }
        add(
            "lastval",
            Function::row("lastval() bigint", |call, _| {
                let (oid, value) = session(call)?.last_value()?;
                if call.context.catalog.sequence(oid).is_none() {
                    return Err(Error::new("55000", "lastval is not yet defined in this session"));
                }
                need(call, oid, &[Privilege::Usage, Privilege::Select])?;
                Ok(Datum::Int(value))
            }),
        );
        Self(all)
    }
}

/// What lets a role take values.
pub(crate) const NEXT: &[Privilege] = &[Privilege::Usage, Privilege::Update];

/// One of these privileges on a sequence.
fn need(call: &Call<'_>, oid: Oid, any: &[Privilege]) -> Result<(), Error> {
    let catalog = &call.context.catalog;
    let role = catalog.find_role(&call.context.user);
    let allowed = role.is_some_and(|role| any.iter().any(|one| may(catalog, role, oid, *one)));
    if allowed { Ok(()) } else { Err(denied(catalog, oid)) }
}

fn volatile(mut function: Function) -> Function {
    function.volatility = Volatility::Volatile;
    function
}

fn session<'c>(call: &'c Call<'_>) -> Result<&'c SessionShared, Error> {
    call.context
        .session
        .as_ref()
        .and_then(|session| session.downcast_ref())
        .ok_or_else(|| Error::internal("a query without a session"))
}

/// The sequence that an argument names, by OID or by text.
fn sequence(call: &Call<'_>, argument: Option<&Datum>) -> Result<(Oid, String), Error> {
    let context = call.context;
    let catalog = &context.catalog;
    let found = match argument {
        Some(Datum::Int(oid)) => u32::try_from(*oid).ok().map(Oid),
        Some(Datum::Text(text)) => named(context, text)?,
        _ => None,
    };
    let oid = found.ok_or_else(|| Error::UndefinedTable {
        name: argument.map_or("", Datum::text).to_string(),
        position: None,
    })?;
    match catalog.get(oid) {
        Some(Object::Sequence(sequence)) => Ok((oid, sequence.name.clone())),
        Some(other) => Err(Error::new("42809", format!("\"{}\" is not a sequence", other.name()))),
        None => Err(Error::new("42P01", format!("relation with OID {} does not exist", oid.0))),
    }
}

fn named(context: &QueryContext, text: &str) -> Result<Option<Oid>, Error> {
    let parts = crate::settings::names_of(&dots_to_commas(text));
    let catalog = &context.catalog;
    let (schema, relation) = split(catalog, &parts)?;
    Ok(match schema {
        Some(schema) => {
            catalog.find_schema(schema).and_then(|schema| catalog.find_relation(schema, relation))
        }
        None => context
            .search_path
            .iter()
            .filter_map(|schema| catalog.find_schema(schema))
            .find_map(|schema| catalog.find_relation(schema, relation)),
    })
}

/// Dots outside of quotes separate a name's parts.
fn dots_to_commas(text: &str) -> String {
    let mut quoted = false;
    text.chars()
        .map(|c| {
            quoted ^= c == '"';
            if c == '.' && !quoted { ',' } else { c }
        })
        .collect()
}

impl Extension for SequenceFunctions {
    fn functions(&self, schema: Option<&str>, name: &str) -> Vec<Arc<Function>> {
        match schema {
            None | Some("pg_catalog") => self.0.get(name).cloned().unwrap_or_default(),
            Some(_) => Vec::new(),
        }
    }
}
