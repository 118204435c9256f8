//! The functions that catalogs and their clients call, on one row: by name, argument types, result type. They see
//! the catalog through [`Facts`] and know no plan.

mod arrays;
mod describe;
mod names;
mod privileges;
mod session;
mod texts;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::Error;
use crate::functions::Datum;
use crate::types::PgType;

use super::facts::Facts;

pub(crate) use arrays::lower_bound;
pub(crate) use names::{reg_parse, reg_text};
pub(crate) use texts::{as_text, json_of, regex};

/// What a call sees.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The session's side.
    pub facts: &'a Facts<'a>,
    /// The arguments' types.
    pub kinds: &'a [PgType],
}

/// A function on one row. A set-returning one gives an array of its rows.
pub type Body = fn(&Call<'_>, &[Datum]) -> Result<Datum, Error>;

/// A function.
pub struct Builtin {
    /// `pg_catalog`, `information_schema` or `ledger`
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its arguments' types.
    pub arguments: Vec<PgType>,
    /// The last argument may be repeated, also no times.
    pub variadic: bool,
    /// The result's type; of a set-returning function the type of one row.
    pub returns: PgType,
    /// NULL for any NULL argument; the body never sees one.
    pub strict: bool,
    /// Gives any number of rows.
    pub set: bool,
    /// Has an effect, or another result at each call.
    pub volatile: bool,
    /// SQL's everyday functions, which every query has; the catalogs have them for themselves.
    pub everyday: bool,
    /// What it does.
    pub body: Body,
}

/// A strict function of this signature: `name(type, …) type`, `setof type` for a set, `variadic type` last.
fn function(signature: &'static str, body: Body) -> Builtin {
    let (head, returns) = signature.rsplit_once(") ").unwrap_or((signature, "void"));
    let (name, arguments) = head.split_once('(').unwrap_or((head, ""));
    let mut variadic = false;
    let arguments = arguments
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| match text.strip_prefix("variadic ") {
            Some(rest) => {
                variadic = true;
                kind(rest)
            }
            None => kind(text),
        })
        .collect();
    let (set, returns) = match returns.strip_prefix("setof ") {
        Some(rest) => (true, rest),
        None => (false, returns),
    };
    Builtin {
        schema: "pg_catalog",
        name,
        arguments,
        variadic,
        returns: kind(returns),
        strict: true,
        set,
        volatile: false,
        everyday: false,
        body,
    }
}

fn kind(name: &str) -> PgType {
    match name {
        "any" => PgType::Any,
        "anyelement" => PgType::AnyElement,
        "anyarray" => PgType::AnyArray,
        "void" => PgType::Void,
        name => PgType::of_name(name).unwrap_or(PgType::Text),
    }
}

impl Builtin {
    /// Called also with NULLs.
    fn with_nulls(mut self) -> Self {
        self.strict = false;
        self
    }

    fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    fn everyday(mut self) -> Self {
        self.everyday = true;
        self
    }

    fn in_schema(mut self, schema: &'static str) -> Self {
        self.schema = schema;
        self
    }

    fn record(mut self, fields: &[(&str, PgType)]) -> Self {
        self.returns = PgType::Record(
            fields.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect(),
        );
        self
    }
}

static BUILTINS: LazyLock<BTreeMap<&'static str, Vec<Builtin>>> = LazyLock::new(|| {
    let mut by_name: BTreeMap<&'static str, Vec<Builtin>> = BTreeMap::new();
    let all = [
        names::functions(),
        describe::functions(),
        privileges::functions(),
        session::functions(),
        arrays::functions(),
        texts::functions(),
    ];
    for builtin in all.into_iter().flatten() {
        by_name.entry(builtin.name).or_default().push(builtin);
    }
    by_name
});

/// The overloads of this name.
pub fn overloads(schema: Option<&str>, name: &str) -> impl Iterator<Item = &'static Builtin> {
    let schema = schema.map(str::to_owned);
    BUILTINS.get(name).into_iter().flatten().filter(move |builtin| match &schema {
        None => builtin.schema == "pg_catalog",
        Some(schema) => builtin.schema == schema,
    })
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    BUILTINS.values().flatten()
}

/// A text argument.
fn text(arguments: &[Datum], place: usize) -> &str {
    arguments.get(place).map_or("", Datum::text)
}

/// An integer argument.
fn int(arguments: &[Datum], place: usize) -> i64 {
    arguments.get(place).map_or(0, Datum::int)
}

/// An OID argument; what isn't one is 0, which names nothing.
fn oid(arguments: &[Datum], place: usize) -> u32 {
    u32::try_from(int(arguments, place)).unwrap_or(0)
}

/// A boolean argument.
fn flag(arguments: &[Datum], place: usize) -> bool {
    matches!(arguments.get(place), Some(Datum::Bool(true)))
}

/// An array argument's items.
fn items(arguments: &[Datum], place: usize) -> &[Datum] {
    match arguments.get(place) {
        Some(Datum::Array(items)) => items,
        _ => &[],
    }
}

fn out(text: impl Into<String>) -> Result<Datum, Error> {
    Ok(Datum::Text(text.into()))
}

fn out_option(text: Option<impl Into<String>>) -> Result<Datum, Error> {
    Ok(text.map_or(Datum::Null, |text| Datum::Text(text.into())))
}
