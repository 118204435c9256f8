//! A point of the chain as a text: `block:120345`, `tx:…`, a time.

#[cfg(test)]
mod tests;

use ledger::{Height, TransactionId, Type, Value};
use storage::{Snapshot, State};

use crate::Error;
use crate::settings::Zone;

/// The state at a point of the chain. `now_us` is the clock's time, µs since 1970 UTC.
///
/// # Errors
/// 22023 when the text names no point, or one that the chain doesn't have; XX001 when that can't be told.
pub fn snapshot(state: &State, text: &str, zone: Zone, now_us: i64) -> Result<Snapshot, Error> {
    let height = height(state, text, zone, now_us)?;
    state.snapshot_at(height).map_err(|error| {
        if let Some(fault) = state.cut() {
            return fault.into();
        }
        Error::new("22023", format!("the chain has no state as of \"{text}\""))
            .with_detail(error.to_string())
    })
}

/// Whether a text names a block, and so the same state whenever it is read.
pub(crate) fn is_for_ever(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("block:") || text.starts_with("tx:")
}

/// The newest block of a point of the chain. `now_us` is the clock's time, µs since 1970 UTC.
///
/// # Errors
/// 22023 when the text names no point, or one that the chain doesn't have; XX001 when that can't be told.
pub fn height(state: &State, text: &str, zone: Zone, now_us: i64) -> Result<Height, Error> {
    let text = text.trim();
    if let Some(number) = text.strip_prefix("block:") {
        return number.trim().parse().map(Height).map_err(|_| invalid(text));
    }
    if let Some(id) = text.strip_prefix("tx:") {
        let id = uuid::Uuid::try_parse(id.trim()).map_err(|_| invalid(text))?;
        return state
            .find_transaction(TransactionId(*id.as_bytes()))?
            .map(|(height, _)| height)
            .ok_or_else(|| unknown(state, format!("the chain has no transaction \"{id}\"")));
    }
    let time = Value::parse(text, &Type::Timestamptz, &zone).map_err(|_| invalid(text))?;
    let Value::Timestamptz(time_us) = time else { return Err(invalid(text)) };
    height_at(state, time_us, now_us)
}

/// The newest block not after a time. Both times are µs since 1970 UTC, the second is the clock's.
///
/// # Errors
/// 22023 when the chain began later, and for a time to come: its state may still change. The damage, when a block
/// that can't be read may be the one.
pub fn height_at(state: &State, time_us: i64, now_us: i64) -> Result<Height, Error> {
    if time_us > now_us.max(state.head().time_us) {
        return Err(Error::new("22023", "the chain has no state yet as of a time to come")
            .with_hint("Read without a point of the chain to see the newest state."));
    }
    let found = state.height_at_time(time_us)?;
    match state.cut() {
        Some(fault) if found == Some(state.head().height) => Err(fault.into()),
        _ => found.ok_or_else(|| Error::new("22023", "the chain began after this time")),
    }
}

/// What isn't in the chain as far as it can be read may be behind its damage.
fn unknown(state: &State, message: String) -> Error {
    state.cut().map_or_else(|| Error::new("22023", message), Error::from)
}

impl crate::session::Session {
    /// A value of `ledger.as_of` must name a point that the chain has.
    pub(crate) fn check_as_of(&self, text: &str) -> Result<(), Error> {
        if text.is_empty() {
            return Ok(());
        }
        let now = self.engine.clock.now_us();
        snapshot(&self.engine.state, text, self.zone(), now).map(drop)
    }
}

fn invalid(text: &str) -> Error {
    Error::new("22023", format!("\"{text}\" is no point of the chain"))
        .with_hint("Write block:N, tx:UUID, or a time.")
}
