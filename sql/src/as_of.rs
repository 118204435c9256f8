//! A point of the chain as a text: `block:120345`, `tx:…`, a time.

#[cfg(test)]
mod tests;

use ledger::{Height, TransactionId, Type, Value};
use storage::{Snapshot, State};

use crate::Error;
use crate::settings::Zone;

/// The state at a point of the chain.
///
/// # Errors
/// 22023 when the text names no point, or one that the chain doesn't have.
pub fn snapshot(state: &State, text: &str, zone: Zone) -> Result<Snapshot, Error> {
    let height = height(state, text, zone)?;
    state.snapshot_at(height).map_err(|error| {
        Error::new("22023", format!("the chain has no state as of \"{text}\""))
            .with_detail(error.to_string())
    })
}

/// The newest block of a point of the chain.
///
/// # Errors
/// 22023 when the text names no point, or one that the chain doesn't have.
pub fn height(state: &State, text: &str, zone: Zone) -> Result<Height, Error> {
    let text = text.trim();
    if let Some(number) = text.strip_prefix("block:") {
        return number.trim().parse().map(Height).map_err(|_| invalid(text));
    }
    if let Some(id) = text.strip_prefix("tx:") {
        let id = uuid::Uuid::try_parse(id.trim()).map_err(|_| invalid(text))?;
        return state
            .find_transaction(TransactionId(*id.as_bytes()))
            .map(|(height, _)| height)
            .ok_or_else(|| Error::new("22023", format!("the chain has no transaction \"{id}\"")));
    }
    let time = Value::parse(text, &Type::Timestamptz, &zone).map_err(|_| invalid(text))?;
    let Value::Timestamptz(time_us) = time else { return Err(invalid(text)) };
    state
        .height_at_time(time_us)
        .ok_or_else(|| Error::new("22023", format!("the chain began after \"{text}\"")))
}

impl crate::session::Session {
    /// A value of `ledger.as_of` must name a point that the chain has.
    pub(crate) fn check_as_of(&self, text: &str) -> Result<(), Error> {
        if text.is_empty() {
            return Ok(());
        }
        snapshot(&self.engine.state, text, self.zone()).map(drop)
    }
}

fn invalid(text: &str) -> Error {
    Error::new("22023", format!("\"{text}\" is no point of the chain"))
        .with_hint("Write block:N, tx:UUID, or a time.")
}
