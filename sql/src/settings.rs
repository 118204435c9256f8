//! A session's settings (SET, SHOW, RESET): values checked as they are set, per session, undone with
//! the transaction that set them. It doesn't know statements.

mod definitions;
mod freshness;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use imbl::OrdMap;
use ledger::text::DateOrder;

pub use definitions::{DEFINITIONS, Definition};
pub use zone::Zone;

pub(crate) use freshness::Freshness;

use crate::transaction::Isolation;
use crate::{Error, Report};

/// The longest idempotency key, in bytes.
const IDEMPOTENCY_KEY: usize = ledger::apply::MAX_IDEMPOTENCY_KEY;

/// The settings that clients are told of, by the name that values are kept under.
static TOLD: LazyLock<Vec<(String, &Definition)>> = LazyLock::new(|| {
    let told = DEFINITIONS.iter().filter(|definition| definition.report);
    told.map(|definition| (canonical(definition.name), definition)).collect()
});

/// A setting's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `on`, `off`
    Bool,
    /// A number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A time; a number without a unit is milliseconds.
    Milliseconds,
    /// A number, also with a fraction, not below 0.
    Cost,
    /// Memory; a number without a unit is kB.
    Memory,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
    /// A list of names.
    Names,
    /// Can be set to this value only: Stele has no other.
    Only(&'static str),
    /// Can't be set.
    Fixed,
    /// A time zone.
    Zone,
    /// A date style: `ISO` with any field order.
    DateStyle,
    /// A client encoding: UTF-8.
    Encoding,
    /// A point of the chain.
    AsOf,
    /// How new the state must be that is read.
    Freshness,
}

/// How long a value lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until the session's end; undone if the transaction is.
    Session,
    /// Until the transaction's end (`SET LOCAL`).
    Local,
}

/// A session's settings. A copy shares all until one of the two changes.
#[derive(Clone, Debug, Default)]
pub struct Settings(Arc<Values>);

#[derive(Clone, Debug, Default)]
struct Values {
    /// What `RESET` goes back to: defaults, then what the connection asked for.
    start: OrdMap<String, String>,
    session: OrdMap<String, String>,
    local: OrdMap<String, String>,
    read: Read,
}

/// What each statement asks for, read from the texts whenever one of them changes.
#[derive(Clone, Debug)]
struct Read {
    zone: Zone,
    statement_timeout: Option<Duration>,
    lock_timeout: Option<Duration>,
    idle_in_transaction_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    isolation: Isolation,
    read_only: bool,
    short_path: bool,
    as_of: bool,
    freshness: Freshness,
    idempotency_key: bool,
    search_path: Arc<[String]>,
}

impl Default for Read {
    fn default() -> Self {
        Self {
            zone: Zone::UTC,
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: None,
            idle_timeout: None,
            isolation: Isolation::ReadCommitted,
            read_only: false,
            short_path: false,
            as_of: false,
            freshness: Freshness::Linearizable,
            idempotency_key: false,
            search_path: Arc::default(),
        }
    }
}

impl Values {
    fn raw(&self, name: &str) -> Option<&str> {
        self.local.get(name).or_else(|| self.session.get(name)).map(String::as_str)
    }

    fn time(&self, name: &str) -> Option<Duration> {
        let milliseconds = self.raw(name)?.parse::<u64>().ok()?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    fn is_on(&self, name: &str) -> bool {
        self.raw(name) == Some("on")
    }

    fn read(&mut self) {
        let order = match self.raw("datestyle") {
            Some(style) if style.ends_with("DMY") => DateOrder::DayFirst,
            Some(style) if style.ends_with("YMD") => DateOrder::YearFirst,
            _ => DateOrder::MonthFirst,
        };
        let zone = self.raw("timezone").and_then(Zone::parse).unwrap_or(Zone::UTC);
        self.read = Read {
            zone: zone.ordered(order),
            statement_timeout: self.time("statement_timeout"),
            lock_timeout: self.time("lock_timeout"),
            idle_in_transaction_timeout: self.time("idle_in_transaction_session_timeout"),
            idle_timeout: self.time("idle_session_timeout"),
            isolation: Isolation::named(
                self.raw("default_transaction_isolation").unwrap_or_default(),
            ),
            read_only: self.is_on("default_transaction_read_only"),
            short_path: self.is_on("ledger.short_path"),
            freshness: self
                .raw("ledger.read")
                .and_then(Freshness::parse)
                .unwrap_or(Freshness::Linearizable),
            as_of: self.raw("ledger.as_of").is_some_and(|text| !text.is_empty()),
            idempotency_key: self
                .raw("ledger.idempotency_key")
                .is_some_and(|text| !text.is_empty()),
            search_path: names_of(self.raw("search_path").unwrap_or_default()).into(),
        };
    }
}

impl Settings {
    /// The settings of a new session.
    pub fn new(user: &str, superuser: bool, version: &str) -> Self {
        let mut start = OrdMap::new();
        for definition in DEFINITIONS {
            start.insert(definition.name.to_ascii_lowercase(), definition.default.to_string());
        }
        start.insert("session_authorization".to_string(), user.to_string());
        start.insert("is_superuser".to_string(), on_off(superuser).to_string());
        start.insert("server_version".to_string(), version.to_string());
        let local = OrdMap::new();
        let mut values = Values { session: start.clone(), start, local, read: Read::default() };
        values.read();
        Self(Arc::new(values))
    }

    /// Changes the texts.
    fn change<T>(&mut self, change: impl FnOnce(&mut Values) -> T) -> T {
        let values = Arc::make_mut(&mut self.0);
        let changed = change(values);
        values.read();
        changed
    }

    /// Sets a value that the connection asked for: RESET goes back to it.
    ///
    /// # Errors
    /// 42704, 22023, 55P02, 0A000.
    pub fn start_with(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let (name, mut value) = checked(name, value)?;
        if name == "datestyle" && value == "ISO" {
            value.push_str(", MDY");
        }
        self.change(|values| {
            values.start.insert(name.clone(), value.clone());
            values.session.insert(name, value);
        });
        Ok(())
    }

    /// A setting's value as SHOW gives it.
    pub fn get(&self, name: &str) -> Option<String> {
        let name = canonical(name);
        let raw = self.raw(&name)?;
        Some(match definition(&name).map(|definition| definition.kind) {
            Some(Kind::Milliseconds) => shown(
                raw,
                &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")],
            ),
            Some(Kind::Memory) => {
                shown(raw, &[(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")])
            }
            _ => raw.to_string(),
        })
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.0.raw(name)
    }

    /// Every setting with its value, sorted by lower-case name.
    pub fn all(&self) -> Vec<(String, String)> {
        let Values { session, local, .. } = &*self.0;
        let mut all: Vec<(String, String)> = session
            .keys()
            .chain(local.keys().filter(|name| !session.contains_key(*name)))
            .filter_map(|name| {
                let spelled = definition(name).map_or(name.as_str(), |known| known.name);
                Some((spelled.to_string(), self.get(name)?))
            })
            .collect();
        all.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        all
    }

    /// Sets a value.
    ///
    /// # Errors
    /// 42704 (no such setting), 22023 (no such value), 55P02 (can't be set), 0A000 (a value that Stele doesn't do).
    pub fn set(&mut self, name: &str, value: &str, scope: Scope) -> Result<(), Error> {
        let (name, mut value) = checked(name, value)?;
        // A style that says no order keeps the one that there is.
        if name == "datestyle" && value == "ISO" {
            value = self.raw(&name).unwrap_or("ISO, MDY").to_owned();
        }
        self.put(name, value, scope);
        Ok(())
    }

    /// Sets what says how the transaction runs: nothing that is read from the texts.
    pub(crate) fn put_modes(&mut self, isolation: &str, read_only: &str) {
        let same = |name, value| self.0.local.get(name).is_some_and(|it: &String| it == value);
        if same("transaction_isolation", isolation) && same("transaction_read_only", read_only) {
            return;
        }
        let local = &mut Arc::make_mut(&mut self.0).local;
        local.insert("transaction_isolation".to_owned(), isolation.to_owned());
        local.insert("transaction_read_only".to_owned(), read_only.to_owned());
    }

    /// Sets what only the session itself may set (`is_superuser`, …).
    pub(crate) fn put(&mut self, name: String, value: String, scope: Scope) {
        self.change(|values| match scope {
            Scope::Session => {
                values.local.remove(&name);
                values.session.insert(name, value);
            }
            Scope::Local => {
                values.local.insert(name, value);
            }
        });
    }

    /// Back to the value that the session began with.
    ///
    /// # Errors
    /// 42704.
    pub fn reset(&mut self, name: &str, scope: Scope) -> Result<(), Error> {
        let name = canonical(name);
        if matches!(definition(&name).map(|known| known.kind), Some(Kind::Fixed)) {
            return Err(fixed(&name));
        }
        match self.0.start.get(&name).cloned() {
            Some(value) => self.put(name, value, scope),
            None if self.0.session.contains_key(&name) || name.contains('.') => {
                self.change(|values| {
                    values.session.remove(&name);
                    values.local.remove(&name);
                });
            }
            None => return Err(unknown(&name)),
        }
        Ok(())
    }

    /// `RESET ALL`
    pub fn reset_all(&mut self) {
        self.change(|values| {
            values.session = values.start.clone();
            values.local = OrdMap::new();
        });
    }

    /// Forgets what was SET LOCAL: the transaction is over.
    pub(crate) fn end_transaction(&mut self) {
        // One that is empty stays the same, so that nothing seems to have changed; and nothing is read from
        // how the transaction ran.
        let is_mode = |name: &String| name.starts_with("transaction_");
        if self.0.local.keys().all(is_mode) {
            if !self.0.local.is_empty() {
                Arc::make_mut(&mut self.0).local = OrdMap::new();
            }
        } else {
            self.change(|values| values.local = OrdMap::new());
        }
    }

    /// What clients are told of (ParameterStatus), with its values.
    pub fn reported(&self) -> Vec<(String, String)> {
        let value = |(key, it): &(String, &Definition)| Some((it.name.to_string(), self.get(key)?));
        TOLD.iter().filter_map(value).collect()
    }

    /// Whether statements are planned the same under both: nothing else is looked at while planning.
    pub(crate) fn plans_as(&self, other: &Self) -> bool {
        let (own, other) = (&self.0.read, &other.0.read);
        own.search_path == other.search_path && own.zone == other.zone
    }

    /// Whether a setting of type boolean is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.raw(&canonical(name)) == Some("on")
    }

    /// `statement_timeout`
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.0.read.statement_timeout
    }

    /// `lock_timeout`
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.0.read.lock_timeout
    }

    /// `idle_in_transaction_session_timeout`
    pub fn idle_in_transaction_timeout(&self) -> Option<Duration> {
        self.0.read.idle_in_transaction_timeout
    }

    /// `idle_session_timeout`
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.0.read.idle_timeout
    }

    /// The session's time zone, with the order in which it reads dates.
    pub fn time_zone(&self) -> Zone {
        self.0.read.zone
    }

    /// `default_transaction_isolation`
    pub(crate) fn default_isolation(&self) -> Isolation {
        self.0.read.isolation
    }

    /// `default_transaction_read_only`
    pub(crate) fn default_read_only(&self) -> bool {
        self.0.read.read_only
    }

    /// `ledger.short_path`
    pub(crate) fn short_path(&self) -> bool {
        self.0.read.short_path
    }

    /// Schemas in the order of look-up, `$user` filled in.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let filled = |name: &String| if name == "$user" { user } else { name }.to_string();
        self.0.read.search_path.iter().map(filled).collect()
    }

    /// `ledger.as_of`, if it is set.
    pub fn as_of(&self) -> Option<&str> {
        self.0.read.as_of.then(|| self.raw("ledger.as_of"))?
    }

    /// `ledger.read`
    pub(crate) fn freshness(&self) -> Freshness {
        self.0.read.freshness
    }

    /// What the node says of itself: RESET goes back to it, and no transaction undoes it.
    pub(crate) fn put_fact(&mut self, name: &str, value: &str) {
        if self.raw(name) == Some(value) {
            return;
        }
        self.change(|values| {
            values.start.insert(name.to_owned(), value.to_owned());
            values.session.insert(name.to_owned(), value.to_owned());
        });
    }

    /// `ledger.idempotency_key`, if it is set.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.0.read.idempotency_key.then(|| self.raw("ledger.idempotency_key"))?
    }
}

/// The setting of this name, in any case of letters.
pub fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

fn canonical(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

fn unknown(name: &str) -> Error {
    Error::new("42704", format!("unrecognized configuration parameter \"{name}\""))
}

fn fixed(name: &str) -> Error {
    Error::new("55P02", format!("parameter \"{name}\" cannot be changed"))
}

fn invalid(name: &str, value: &str) -> Error {
    Error::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
}

/// Name and value as they are kept.
fn checked(name: &str, value: &str) -> Result<(String, String), Error> {
    let key = canonical(name);
    let Some(definition) = definition(&key) else {
        // As in PostgreSQL, `prefix.name` is the user's own, unless the prefix is one of ours.
        return match key.split_once('.') {
            Some((prefix, rest))
                if !prefix.is_empty() && !rest.is_empty() && prefix != "ledger" =>
            {
                Ok((key, value.to_string()))
            }
            _ => Err(unknown(name)),
        };
    };
    let name = definition.name;
    let kept = match definition.kind {
        Kind::Fixed => return Err(fixed(name)),
        Kind::Bool => on_off(boolean(value).ok_or_else(|| {
            Error::new("22023", format!("parameter \"{name}\" requires a Boolean value"))
        })?)
        .to_string(),
        Kind::Integer { min, max } => integer(name, value, (min, max))?,
        Kind::Cost => cost(name, value)?,
        Kind::Milliseconds => with_unit(
            value,
            &[
                ("us", 0),
                ("ms", 1),
                ("s", 1_000),
                ("min", 60_000),
                ("h", 3_600_000),
                ("d", 86_400_000),
            ],
        )
        .ok_or_else(|| invalid(name, value))?
        .to_string(),
        Kind::Memory => {
            with_unit(value, &[("kB", 1), ("MB", 1 << 10), ("GB", 1 << 20), ("TB", 1 << 30)])
                .ok_or_else(|| invalid(name, value))?
                .to_string()
        }
        Kind::Enum(words) => words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(value.trim()))
            .ok_or_else(|| {
                invalid(name, value).with_hint(format!("Available values: {}.", words.join(", ")))
            })?
            .to_string(),
        Kind::Text if key == "ledger.idempotency_key" && value.len() > IDEMPOTENCY_KEY => {
            return Err(invalid(name, value)
                .with_hint(format!("A key has at most {IDEMPOTENCY_KEY} bytes.")));
        }
        Kind::Text | Kind::Names | Kind::AsOf => value.to_string(),
        Kind::Freshness => Freshness::parse(value)
            .ok_or_else(|| {
                let known = "linearizable, bounded 500ms, stale, block:120";
                invalid(name, value).with_hint(format!("Available values, by example: {known}."))
            })?
            .text(),
        Kind::Only(only) => only_value(name, only, value)?,
        Kind::Zone => Zone::parse(value).ok_or_else(|| invalid(name, value))?.name(),
        Kind::DateStyle => date_style(value)?,
        Kind::Encoding => encoding(value)?,
    };
    Ok((key, kept))
}

fn integer(name: &str, value: &str, (min, max): (i64, i64)) -> Result<String, Error> {
    let number: i64 = value.trim().parse().map_err(|_| invalid(name, value))?;
    if (min..=max).contains(&number) {
        return Ok(number.to_string());
    }
    Err(Error::new(
        "22023",
        format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})"),
    ))
}

fn cost(name: &str, value: &str) -> Result<String, Error> {
    let number: f64 = value.trim().parse().map_err(|_| invalid(name, value))?;
    if (0.0..=1e300).contains(&number) {
        return Ok(number.to_string());
    }
    Err(Error::new(
        "22023",
        format!("{number} is outside the valid range for parameter \"{name}\" (0 .. 1.79769e+308)"),
    ))
}

fn only_value(name: &str, only: &str, value: &str) -> Result<String, Error> {
    let same = match (boolean(only), boolean(value)) {
        (Some(a), Some(b)) => a == b,
        _ => only.eq_ignore_ascii_case(value.trim()),
    };
    if same {
        return Ok(only.to_string());
    }
    Err(Error::unsupported(
        format!("{name} = {value}"),
        format!("The only value of {name} is \"{only}\"."),
    ))
}

fn date_style(value: &str) -> Result<String, Error> {
    let mut order = "";
    for word in value.split(',').map(|word| word.trim().to_ascii_uppercase()) {
        match word.as_str() {
            "ISO" | "" => {}
            "DEFAULT" => order = "MDY",
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
            "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
            "YMD" => order = "YMD",
            "SQL" | "POSTGRES" | "GERMAN" => {
                return Err(Error::unsupported(
                    format!("DateStyle = {value}"),
                    "Dates are shown in the style ISO.",
                ));
            }
            other => {
                return Err(invalid("DateStyle", value)
                    .with_detail(format!("Unrecognized key word: \"{}\".", other.to_lowercase())));
            }
        }
    }
    Ok(if order.is_empty() { "ISO".to_owned() } else { format!("ISO, {order}") })
}

fn encoding(value: &str) -> Result<String, Error> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_string()),
        _ => Err(Error::unsupported(
            format!("client_encoding = {value}"),
            "Set the client's encoding to UTF8.",
        )),
    }
}

pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "tr" | "tru" | "yes" | "y" | "ye" | "1" => Some(true),
        "off" | "of" | "false" | "f" | "fa" | "fal" | "fals" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn with_unit(value: &str, units: &[(&str, i64)]) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    let unit = unit.trim();
    let factor = if unit.is_empty() { 1 } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    if factor == 0 {
        return Some(number.div_euclid(1_000));
    }
    number.checked_mul(factor).filter(|product| i32::try_from(*product).is_ok())
}

fn shown(raw: &str, units: &[(i64, &str)]) -> String {
    match raw.parse::<i64>() {
        Ok(number) if number > 0 => units
            .iter()
            .find(|(factor, _)| number % factor == 0)
            .map_or_else(|| raw.to_string(), |(factor, unit)| format!("{}{unit}", number / factor)),
        _ => raw.to_string(),
    }
}

/// The names of a list: bare ones folded to lower case, quoted ones as they are.
pub(crate) fn names_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                if c == '"' {
                    if matches!(chars.peek(), Some((_, '"'))) {
                        chars.next();
                    } else {
                        end = at + 1;
                        break;
                    }
                }
                name.push(c);
            }
            names.push(name);
            rest = quoted.get(end..).unwrap_or_default();
            rest = rest.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
        } else {
            let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
            names.push(name.trim().to_lowercase());
            rest = after.trim_start();
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// A setting that a statement changed, to be told to the client.
pub(crate) fn changes(before: &Settings, after: &Settings) -> Vec<(String, String)> {
    // Asked after every statement, and most change nothing that is told.
    if Arc::ptr_eq(&before.0, &after.0) {
        return Vec::new();
    }
    let changed = TOLD.iter().filter(|(key, _)| before.raw(key) != after.raw(key));
    changed.filter_map(|(key, it)| Some((it.name.to_string(), after.get(key)?))).collect()
}

/// The warning for SET LOCAL outside a transaction.
pub(crate) fn outside_transaction(command: &str) -> Report {
    Report::warning("25P01", format!("{command} can only be used in transaction blocks"))
}
