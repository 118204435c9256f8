//! How a session reads times: its time zone (a name of the time zone database, or a fixed offset), and the order in
//! which the numbers of a date stand.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use ledger::text::DateOrder;

/// A time zone, with the order of a date's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    place: Place,
    order: DateOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One of the time zone database.
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self { place: Place::Named(Tz::UTC), order: DateOrder::MonthFirst };

    fn at(place: Place) -> Self {
        Self { place, order: DateOrder::default() }
    }

    /// The same, reading dates in this order.
    pub fn ordered(self, order: DateOrder) -> Self {
        Self { order, ..self }
    }

    /// A name (`Europe/Berlin`), or an offset: `2`, `+02`, `-03:30` (east is positive), or
    /// `UTC+2`, `GMT-02:00`, `<+02>-02` (POSIX: west is positive).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("default") || text.eq_ignore_ascii_case("local") {
            return Some(Self::UTC);
        }
        if text.eq_ignore_ascii_case("utc") {
            return Some(Self::UTC);
        }
        if let Ok(zone) = Tz::from_str_insensitive(text) {
            return Some(Self::at(Place::Named(zone)));
        }
        if text.starts_with(['+', '-']) || text.starts_with(|c: char| c.is_ascii_digit()) {
            return offset(text).map(|seconds| Self::at(Place::Fixed(seconds)));
        }
        let posix = match text.strip_prefix('<') {
            Some(rest) => rest.split_once('>')?.1,
            None => {
                let at = text.find(['+', '-'])?;
                let (name, rest) = text.split_at(at);
                if name.len() < 3 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
                    return None;
                }
                rest
            }
        };
        offset(posix).map(|seconds| Self::at(Place::Fixed(-seconds)))
    }

    /// As SHOW gives it.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Named(zone) => zone.name().to_string(),
            Place::Fixed(seconds) => {
                let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() % 3600 / 60);
                let (sign, opposite) = if *seconds < 0 { ('-', '+') } else { ('+', '-') };
                if minutes == 0 {
                    format!("<{sign}{hours:02}>{opposite}{hours:02}")
                } else {
                    format!("<{sign}{hours:02}:{minutes:02}>{opposite}{hours:02}:{minutes:02}")
                }
            }
        }
    }

    /// Seconds east of UTC at this moment (µs since 1970 UTC).
    pub fn offset_at(&self, utc_us: i64) -> i32 {
        match &self.place {
            Place::Fixed(seconds) => *seconds,
            Place::Named(zone) => {
                let at = DateTime::<Utc>::from_timestamp_micros(utc_us).unwrap_or_default();
                zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
            }
        }
    }

    /// Seconds east of UTC at this local time (µs since 1970 local). A time that was skipped takes the
    /// offset before the gap, one that came twice takes its first.
    pub fn offset_at_local(&self, local_us: i64) -> i32 {
        match &self.place {
            Place::Fixed(seconds) => *seconds,
            Place::Named(zone) => {
                let local: NaiveDateTime = DateTime::<Utc>::from_timestamp_micros(local_us)
                    .unwrap_or_default()
                    .naive_utc();
                match zone.offset_from_local_datetime(&local).earliest() {
                    Some(offset) => offset.fix().local_minus_utc(),
                    None => self.offset_at(local_us.saturating_sub(86_400_000_000)),
                }
            }
        }
    }
}

fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let mut parts = digits.split(':');
    let hours: i32 = parts.next()?.parse().ok()?;
    let minutes: i32 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
    if parts.next().is_some() || hours > 15 || !(0..60).contains(&minutes) {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

impl ledger::text::Zone for Zone {
    fn offset_at(&self, utc_us: i64) -> i32 {
        Self::offset_at(self, utc_us)
    }

    fn offset_at_local(&self, local_us: i64) -> i32 {
        Self::offset_at_local(self, local_us)
    }

    fn date_order(&self) -> DateOrder {
        self.order
    }

    fn named(&self, name: &str, local_us: i64) -> Option<i32> {
        Self::parse(name).map(|zone| zone.offset_at_local(local_us))
    }
}
