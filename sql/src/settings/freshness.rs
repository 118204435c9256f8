//! `ledger.read`: how new the state must be that statements read.

use std::time::Duration;

use ledger::Height;

use super::with_unit;

/// What a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// All that was acknowledged anywhere before the statement began.
    Linearizable,
    /// All that had been acknowledged so long before it.
    Bounded(Duration),
    /// What this node has.
    Stale,
    /// What this node has, once it has this block.
    Block(Height),
}

impl Freshness {
    /// Reads a value of the setting.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(number) = text.strip_prefix("block:") {
            return number.trim().parse().ok().map(|height| Self::Block(Height(height)));
        }
        match text.split_once(char::is_whitespace) {
            None if text == "linearizable" => Some(Self::Linearizable),
            None if text == "stale" => Some(Self::Stale),
            Some(("bounded", time)) => {
                let units = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];
                let time = u64::try_from(with_unit(time, &units)?).ok()?;
                Some(Self::Bounded(Duration::from_millis(time)))
            }
            _ => None,
        }
    }

    /// The value as it is kept.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Linearizable => "linearizable".to_owned(),
            Self::Stale => "stale".to_owned(),
            Self::Block(height) => format!("block:{}", height.0),
            Self::Bounded(time) => format!("bounded {}ms", time.as_millis()),
        }
    }
}
