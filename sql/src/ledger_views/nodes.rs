//! `ledger.nodes`, and the functions that change who keeps the chain. A change is not part of a transaction: it holds
//! from when the function returns, as what `nextval` took.

use std::time::Duration;

use ledger::PublicKey;
use storage::{NodeChange, NodeInfo, Refused};

use super::session;
use crate::Error;
use crate::functions::{Call, Datum, Function};
use crate::lazy;
use crate::read::{QueryContext, VirtualTable};
use crate::shared::SessionShared;
use crate::types::PgType;

/// How long a change waits before it asks again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a change is asked for while no node leads.
const TRIES: usize = 50;

/// One row for each node.
pub(super) fn relation() -> VirtualTable {
    let columns = [
        ("node", PgType::Int8),
        ("name", PgType::Text),
        ("address", PgType::Text),
        ("role", PgType::Text),
        ("height", PgType::Int8),
        ("lag", PgType::Int8),
        ("version", PgType::Text),
        ("is_self", PgType::Bool),
        ("public_key", PgType::Text),
    ];
    let columns = columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
    lazy::small(columns, rows)
}

fn rows(context: &QueryContext) -> Result<Vec<Vec<Datum>>, Error> {
    let session = session(context).ok_or_else(|| Error::internal("nodes without a session"))?;
    let nodes = session.wait(async { Ok(session.engine.order.nodes().await) })?;
    let newest = nodes.iter().filter_map(|node| node.height).max();
    Ok(nodes.iter().map(|node| row(context, node, newest)).collect())
}

fn row(context: &QueryContext, node: &NodeInfo, newest: Option<ledger::Height>) -> Vec<Datum> {
    let number = |value: u64| Datum::Int(i64::try_from(value).unwrap_or(i64::MAX));
    let text = |value: &str| Datum::Text(value.to_owned());
    let member = context.catalog.member_of_hash(node.public_key.member());
    let lag = newest.zip(node.height).map(|(newest, own)| newest.0.saturating_sub(own.0));
    let key: String = node.public_key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        number(node.id),
        member.map_or(Datum::Null, |(_, member)| text(&member.name)),
        text(&node.address),
        text(node.role.name()),
        node.height.map_or(Datum::Null, |height| number(height.0)),
        lag.map_or(Datum::Null, number),
        node.version.as_deref().map_or(Datum::Null, text),
        Datum::Bool(node.own),
        text(&key),
    ]
}

type Body = fn(&SessionShared, &[Datum]) -> Result<u64, Error>;

const FUNCTIONS: &[(&str, Body)] = &[
    ("add_node(text, text, text) bigint", |session, arguments| {
        let node = admit(session, arguments)?;
        promote(session, node)
    }),
    ("add_learner(text, text, text) bigint", admit),
    ("promote_node(bigint) bigint", |session, arguments| promote(session, node(arguments)?)),
    ("remove_node(bigint) bigint", |session, arguments| {
        change(session, &NodeChange::Remove(node(arguments)?))
    }),
    ("hand_over(bigint) bigint", |session, arguments| {
        change(session, &NodeChange::HandOver(node(arguments)?))
    }),
];

/// The functions of this name.
pub(super) fn functions(name: &str) -> Vec<Function> {
    let named = |signature: &str| signature.split('(').next() == Some(name);
    let all = FUNCTIONS.iter().filter(|(signature, _)| named(signature));
    let function = |(signature, body): &(&str, Body)| {
        let body = *body;
        let run = move |call: &Call<'_>, arguments: &[Datum]| {
            let session = session(call.context);
            let session = session.ok_or_else(|| Error::internal("nodes without a session"))?;
            need_superuser(call)?;
            let node = body(session, arguments)?;
            Ok(Datum::Int(i64::try_from(node).unwrap_or(i64::MAX)))
        };
        Function::row(signature, run).volatile().in_schema("ledger")
    };
    all.map(function).collect()
}

fn need_superuser(call: &Call<'_>) -> Result<(), Error> {
    let catalog = &call.context.catalog;
    let own = catalog.find_role(&call.context.user).and_then(|own| catalog.role(own));
    if own.is_some_and(|own| own.superuser) {
        return Ok(());
    }
    Err(Error::new("42501", "permission denied to change the nodes of the chain")
        .with_detail("Only superusers may."))
}

fn node(arguments: &[Datum]) -> Result<u64, Error> {
    let number = arguments.first().map_or(0, Datum::int);
    u64::try_from(number).map_err(|_| refused(&Refused::NoNode(0)))
}

fn word(arguments: &[Datum], at: usize) -> &str {
    match arguments.get(at) {
        Some(Datum::Text(text)) => text.trim(),
        _ => "",
    }
}

/// Makes the key a member's, if it is none yet, and lets its node get blocks.
fn admit(session: &SessionShared, arguments: &[Datum]) -> Result<u64, Error> {
    let (name, address) = (word(arguments, 0), word(arguments, 1));
    if name.is_empty() {
        return Err(Error::new("22023", "a node needs a name"));
    }
    let port = address
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten());
    if port.is_none() {
        return Err(Error::new("22023", format!("\"{address}\" is no address of a node"))
            .with_hint("It is written host:port, as the node's peer_address."));
    }
    let key = key_of(word(arguments, 2)).ok_or_else(|| {
        Error::new("22023", "a node's key is 64 hexadecimal digits")
            .with_hint("The node prints it when it is started with --join.")
    })?;
    session.add_member(name, key)?;
    let address = address.to_owned();
    change(session, &NodeChange::Admit { address, public_key: key.0 })
}

fn key_of(text: &str) -> Option<PublicKey> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(PublicKey(key))
}

/// Gives a node a vote when it has nearly all blocks.
fn promote(session: &SessionShared, node: u64) -> Result<u64, Error> {
    loop {
        match session.change_nodes(&NodeChange::Promote(node))? {
            Err(Refused::Behind { .. } | Refused::NotLeading) => session.sleep(PAUSE)?,
            outcome => return outcome.map_err(|error| refused(&error)),
        }
    }
}

/// Asks for a change until there is a node that can decide it.
fn change(session: &SessionShared, wanted: &NodeChange) -> Result<u64, Error> {
    let mut tries = 1;
    loop {
        match session.change_nodes(wanted)? {
            Err(Refused::NotLeading) if tries < TRIES => session.sleep(PAUSE)?,
            outcome => return outcome.map_err(|error| refused(&error)),
        }
        tries += 1;
    }
}

fn refused(refused: &Refused) -> Error {
    let (sqlstate, hint) = match refused {
        Refused::NotLeading => {
            ("57P03", "No node leads the chain: look whether a majority of its voters runs.")
        }
        Refused::NoMember => ("42704", "Make the key a member's first: ledger.add_node does."),
        Refused::NoNode(_) => ("42704", "ledger.nodes lists them."),
        Refused::Behind { .. } => ("55000", "Try again when it has more blocks."),
        Refused::LastVoter(_) => ("55000", "Give another node a vote first."),
        Refused::Failed(_) => {
            ("55000", "It may have been done all the same: look at ledger.nodes.")
        }
    };
    Error::new(sqlstate, refused.to_string()).with_hint(hint)
}
