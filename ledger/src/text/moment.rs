//! Input of dates and times: PostgreSQL's forms with `DateStyle` ISO, in each order. A text is cut into fields, each
//! of which says what it is; the fields may stand in almost any order.

use super::scalar::is_blank;
use super::time::{DATES, DAY_US, TIMES, TIMESTAMPS, days_of};
use super::{DateOrder, Zone};
use crate::Refusal;

/// What went wrong, before the type's name is known.
enum Wrong {
    Syntax,
    Range,
    Zone(String),
    Unsupported(&'static str),
}

/// What a text said.
#[derive(Default)]
struct Fields {
    order: DateOrder,
    /// Whether digits alone are a time of day, not a date.
    time_only: bool,
    /// As written, with the number of its digits.
    year: Option<(i64, usize)>,
    month: Option<u32>,
    day: Option<u32>,
    before_christ: bool,
    /// µs since midnight.
    time: Option<i64>,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
    epoch: bool,
    /// Numbers whose meaning the month's name decides: first the day, then the year.
    loose: Vec<(i64, usize)>,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTHS_FULL: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

fn month_of(word: &str) -> Option<u32> {
    let position = MONTHS
        .iter()
        .position(|name| *name == word)
        .or_else(|| MONTHS_FULL.iter().position(|name| *name == word))
        .or_else(|| (word == "sept").then_some(8))?;
    u32::try_from(position + 1).ok()
}

fn is_weekday(word: &str) -> bool {
    WEEKDAYS.iter().any(|name| name.get(..3) == Some(word) || *name == word)
}

fn number(digits: &str) -> Result<i64, Wrong> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::Syntax);
    }
    digits.parse().map_err(|_| Wrong::Range)
}

fn small(digits: &str) -> Result<u32, Wrong> {
    u32::try_from(number(digits)?).map_err(|_| Wrong::Range)
}

/// A year as it was written: two digits mean 1970 to 2069.
fn full_year(value: i64, digits: usize) -> i64 {
    match (digits, value) {
        (0..=2, 0..=69) => value + 2000,
        (0..=2, _) => value + 1900,
        _ => value,
    }
}

/// Seconds east of Greenwich of `+02`, `-0730`, `+05:30`, `+01:02:03`.
fn offset_of(text: &str) -> Result<i32, Wrong> {
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(Wrong::Syntax),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let (hours, minutes, seconds) = match *parts.as_slice() {
        [all] if all.len() > 2 => {
            let (hours, minutes) = all.split_at_checked(all.len() - 2).ok_or(Wrong::Syntax)?;
            (small(hours)?, small(minutes)?, 0)
        }
        [hours] => (small(hours)?, 0, 0),
        [hours, minutes] => (small(hours)?, small(minutes)?, 0),
        [hours, minutes, seconds] => (small(hours)?, small(minutes)?, small(seconds)?),
        _ => return Err(Wrong::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Wrong::Range);
    }
    let total = hours * 3600 + minutes * 60 + seconds;
    i32::try_from(total).map(|total| sign * total).map_err(|_| Wrong::Range)
}

/// Microseconds of a fraction's digits, rounded as PostgreSQL does: by way of a double, half to even.
fn micros(fraction: &str) -> Result<i64, Wrong> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::Syntax);
    }
    if fraction.len() <= 6 {
        return format!("{fraction:0<6}").parse().map_err(|_| Wrong::Syntax);
    }
    let part: f64 = format!("0.{fraction}").parse().map_err(|_| Wrong::Syntax)?;
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and a million")]
    return Ok((part * 1e6).round_ties_even() as i64);
}

/// µs since midnight of `10:30`, `10:30:59.5`, `103059`.
fn time_of(text: &str) -> Result<i64, Wrong> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match *parts.as_slice() {
        [all] if all.len() == 6 || all.len() == 4 => (
            small(all.get(..2).unwrap_or(""))?,
            small(all.get(2..4).unwrap_or(""))?,
            all.get(4..6).map_or(Ok(0), small)?,
        ),
        [hours, minutes] if fraction.is_empty() => (small(hours)?, small(minutes)?, 0),
        [hours, minutes, seconds] => (small(hours)?, small(minutes)?, small(seconds)?),
        _ => return Err(Wrong::Syntax),
    };
    if hours > 24 || minutes > 59 || seconds > 60 {
        return Err(Wrong::Range);
    }
    let total = i64::from(hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros(fraction)?;
    if TIMES.contains(&total) { Ok(total) } else { Err(Wrong::Range) }
}

impl Fields {
    /// Reads all fields of a text.
    fn read(text: &str, time_only: bool, order: DateOrder) -> Result<Self, Wrong> {
        let lower = text.trim_matches(is_blank).to_ascii_lowercase();
        let mut fields = Self { time_only, order, ..Self::default() };
        for field in lower.split(|c: char| is_blank(c) || c == ',').filter(|f| !f.is_empty()) {
            fields.field(field)?;
        }
        fields.settle()?;
        Ok(fields)
    }

    fn field(&mut self, field: &str) -> Result<(), Wrong> {
        // `2026-03-31t10:30`: an ISO text's two halves.
        if let Some((date, time)) = field.split_once('t')
            && date.ends_with(|c: char| c.is_ascii_digit())
            && time.starts_with(|c: char| c.is_ascii_digit())
        {
            self.field(date)?;
            return self.clock(time);
        }
        match field.as_bytes() {
            // pgjdbc sends a date as `2026-03-31 +00`: the time may be left out.
            [b'+' | b'-', b'0'..=b'9', ..] if self.time.is_some() || self.year.is_some() => {
                self.set_offset(field)
            }
            [b'a'..=b'z', ..]
                if month_start(field) && field.bytes().any(|b| b.is_ascii_digit()) =>
            {
                self.date(field)
            }
            [b'a'..=b'z', ..] => self.word(field),
            [b'-', ..] if field == "-infinity" => self.word(field),
            [b'0'..=b'9', ..] if field.contains(':') || self.is_bare_time(field) => {
                self.clock(field)
            }
            [b'0'..=b'9', ..] => self.date(field),
            _ => Err(Wrong::Syntax),
        }
    }

    /// Whether the field begins with `hhmm` or `hhmmss`, where a date stands already or none is wanted.
    fn is_bare_time(&self, field: &str) -> bool {
        let digits = field.bytes().take_while(u8::is_ascii_digit).count();
        let after = field.as_bytes().get(digits);
        let ends = match after {
            None | Some(b'a' | b'p' | b'z' | b'.') => true,
            Some(b'+' | b'-') => self.year.is_some(),
            Some(_) => false,
        };
        let dated = self.year.is_some() || self.loose.len() == 2;
        matches!(digits, 4 | 6) && ends && self.time.is_none() && (dated || self.time_only)
    }

    fn set_offset(&mut self, text: &str) -> Result<(), Wrong> {
        if self.offset.is_some() || self.zone.is_some() {
            return Err(Wrong::Syntax);
        }
        self.offset = Some(offset_of(text)?);
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        // `pm+02`: only after these two words may an offset follow at once, and only one to the east
        // (PostgreSQL takes `pm-02` for a zone's name with the other sign).
        if let Some((half, offset)) = word.split_at_checked(2)
            && matches!(half, "am" | "pm")
            && offset.starts_with('+')
        {
            self.word(half)?;
            return self.set_offset(offset);
        }
        match word {
            "am" | "pm" if self.afternoon.is_none() => self.afternoon = Some(word == "pm"),
            "bc" => self.before_christ = true,
            "ad" => {}
            "epoch" => self.epoch = true,
            "infinity" | "-infinity" => {
                return Err(Wrong::Unsupported("infinite dates and timestamps are not supported"));
            }
            "now" | "today" | "tomorrow" | "yesterday" | "allballs" => {
                return Err(Wrong::Unsupported(
                    "words for moments are not supported as date and time input",
                ));
            }
            "z" | "zulu" | "utc" | "gmt" => self.offset = Some(0),
            _ if is_weekday(word) => {}
            _ => match month_of(word) {
                Some(month) if self.month.is_none() => self.month = Some(month),
                Some(_) => return Err(Wrong::Syntax),
                None if self.time.is_some() && self.zone.is_none() => {
                    self.zone = Some(word.to_owned());
                }
                None => return Err(Wrong::Syntax),
            },
        }
        Ok(())
    }

    /// A time of day, with what may hang on it: am, pm, an offset, a zone's name.
    fn clock(&mut self, field: &str) -> Result<(), Wrong> {
        let end = field
            .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
            .unwrap_or(field.len());
        let (clock, rest) = field.split_at_checked(end).ok_or(Wrong::Syntax)?;
        if self.time.is_some() {
            return Err(Wrong::Syntax);
        }
        self.time = Some(time_of(clock)?);
        match rest.as_bytes() {
            [] => Ok(()),
            [b'+' | b'-', ..] => self.set_offset(rest),
            _ => self.word(rest),
        }
    }

    /// A date in digits, or with a month's name between hyphens.
    fn date(&mut self, field: &str) -> Result<(), Wrong> {
        let separators = |c: char| matches!(c, '-' | '/' | '.');
        let parts: Vec<&str> = field.split(separators).collect();
        match *parts.as_slice() {
            [one] => self.bare_number(one),
            [a, b, c] => {
                let named =
                    month_of(b).map(|month| (month, a)).or_else(|| month_of(a).map(|m| (m, b)));
                if let Some((month, first)) = named {
                    self.set_month(month)?;
                    let year_first = self.is_year(first.len(), c.len());
                    return if year_first { self.set(first, c) } else { self.set(c, first) };
                }
                let (year, month, day) = match self.order {
                    _ if a.len() > 2 => (a, b, c),
                    DateOrder::YearFirst => (a, b, c),
                    DateOrder::MonthFirst => (c, a, b),
                    DateOrder::DayFirst => (c, b, a),
                };
                self.set_month(small(month)?)?;
                self.set(year, day)
            }
            _ => Err(Wrong::Syntax),
        }
    }

    /// Whether the first of two numbers beside a month's name is the year, by their digits.
    fn is_year(&self, first: usize, second: usize) -> bool {
        first > 2 || self.order == DateOrder::YearFirst && second <= 2
    }

    fn set_month(&mut self, month: u32) -> Result<(), Wrong> {
        if self.month.is_some() {
            return Err(Wrong::Syntax);
        }
        self.month = Some(month);
        Ok(())
    }

    fn set(&mut self, year: &str, day: &str) -> Result<(), Wrong> {
        if self.year.is_some() || self.day.is_some() {
            return Err(Wrong::Syntax);
        }
        self.year = Some((number(year)?, year.len()));
        self.day = Some(small(day)?);
        Ok(())
    }

    fn bare_number(&mut self, digits: &str) -> Result<(), Wrong> {
        let value = number(digits)?;
        match digits.len() {
            6 | 8.. if self.month.is_none() && self.loose.is_empty() => {
                let (year, rest) =
                    digits.split_at_checked(digits.len() - 4).ok_or(Wrong::Syntax)?;
                let (month, day) = rest.split_at_checked(2).ok_or(Wrong::Syntax)?;
                self.set_month(small(month)?)?;
                self.set(year, day)
            }
            _ if self.loose.len() < 2 => {
                self.loose.push((value, digits.len()));
                Ok(())
            }
            _ => Err(Wrong::Syntax),
        }
    }

    /// Gives the loose numbers their meaning: `Jan 8 1999`, `8 Jan 1999`, `1999 Jan 8`.
    fn settle(&mut self) -> Result<(), Wrong> {
        let (day, year) = match *self.loose.as_slice() {
            [] => return Ok(()),
            [year, day] if self.is_year(year.1, day.1) => (day, year),
            [day, year] => (day, year),
            _ => return Err(Wrong::Syntax),
        };
        if self.month.is_none() || self.year.is_some() || self.day.is_some() {
            return Err(Wrong::Syntax);
        }
        self.day = Some(u32::try_from(day.0).map_err(|_| Wrong::Range)?);
        self.year = Some(year);
        Ok(())
    }

    /// Days since 1970-01-01.
    fn days(&self) -> Result<i64, Wrong> {
        if self.epoch {
            return Ok(0);
        }
        let (Some((year, digits)), Some(month), Some(day)) = (self.year, self.month, self.day)
        else {
            return Err(Wrong::Syntax);
        };
        let year = if self.before_christ { year } else { full_year(year, digits) };
        if year == 0 && !self.before_christ || year > 6_000_000 {
            return Err(Wrong::Range);
        }
        let year = if self.before_christ { 1 - year } else { year };
        let leap =
            year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(Wrong::Range),
        };
        if !(1..=last).contains(&day) {
            return Err(Wrong::Range);
        }
        Ok(days_of(year, month, day))
    }

    /// µs since midnight; 0 when no time was given.
    fn time(&self) -> Result<i64, Wrong> {
        const NOON: i64 = DAY_US / 2;
        let time = self.time.unwrap_or(0);
        match self.afternoon {
            None => Ok(time),
            Some(_) if time >= NOON + DAY_US / 24 => Err(Wrong::Range),
            Some(true) => Ok(if time >= NOON { time } else { time + NOON }),
            Some(false) => Ok(if time >= NOON { time - NOON } else { time }),
        }
    }

    /// µs since 1970-01-01 00:00:00, local.
    fn local(&self) -> Result<i64, Wrong> {
        let days = self.days()?;
        let us = days.checked_mul(DAY_US).and_then(|us| us.checked_add(self.time().ok()?));
        self.time()?;
        us.ok_or(Wrong::Range)
    }
}

/// Two digits.
fn two(text: &[u8], at: usize) -> Option<u32> {
    match text.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    }
}

/// `2026-03-31` and what follows it: the form that programs write, read without taking it to pieces.
fn plain_date(text: &str) -> Option<(i64, &[u8])> {
    let (date, rest) = text.as_bytes().split_at_checked(10)?;
    if date.get(4) != Some(&b'-') || date.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (two(date, 0)? * 100 + two(date, 2)?, two(date, 5)?, two(date, 8)?);
    // Days that not every month has, and year 0, are left to the long way.
    let plain = year > 0 && (1..=12).contains(&month) && (1..=28).contains(&day);
    plain.then(|| (days_of(i64::from(year), month, day), rest))
}

/// `2026-03-31 10:30:59.123456` and what follows it.
fn plain_timestamp(text: &str) -> Option<(i64, &[u8])> {
    let (days, rest) = plain_date(text)?;
    let Some((b' ' | b'T', rest)) = rest.split_first() else { return None };
    let (clock, mut rest) = rest.split_at_checked(8)?;
    if clock.get(2) != Some(&b':') || clock.get(5) != Some(&b':') {
        return None;
    }
    let (hours, minutes, seconds) = (two(clock, 0)?, two(clock, 3)?, two(clock, 6)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let mut us = 0;
    if let Some((b'.', fraction)) = rest.split_first() {
        let count = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=6).contains(&count) {
            return None;
        }
        for place in 0..6 {
            let digit = if place < count { fraction.get(place).map_or(0, |b| b - b'0') } else { 0 };
            us = us * 10 + i64::from(digit);
        }
        rest = fraction.get(count..)?;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60 + seconds);
    Some((days * DAY_US + seconds * 1_000_000 + us, rest))
}

fn month_start(field: &str) -> bool {
    field.split(['-', '/', '.']).next().is_some_and(|word| month_of(word).is_some())
}

/// The offset of a zone that was named, if one was.
fn named_offset(fields: &Fields, local: i64, zone: &dyn Zone) -> Result<Option<i32>, Wrong> {
    match (&fields.zone, fields.offset) {
        (Some(_), Some(_)) => Err(Wrong::Syntax),
        (None, offset) => Ok(offset),
        (Some(name), None) => {
            let offset = zone.named(name, local);
            offset.map(Some).ok_or_else(|| Wrong::Zone(name.clone()))
        }
    }
}

fn refusal(wrong: Wrong, name: &str, text: &str) -> Refusal {
    match wrong {
        Wrong::Syntax => {
            Refusal::data("22007", format!("invalid input syntax for type {name}: \"{text}\""))
        }
        Wrong::Range => {
            Refusal::data("22008", format!("date/time field value out of range: \"{text}\""))
        }
        Wrong::Zone(zone) => Refusal::data("22023", format!("time zone \"{zone}\" not recognized")),
        Wrong::Unsupported(message) => Refusal::data("0A000", message),
    }
}

/// Days since 1970-01-01. A time of day is taken and left out.
pub(super) fn parse_date(text: &str, zone: &dyn Zone) -> Result<i32, Refusal> {
    if let Some((days, [])) = plain_date(text)
        && let Ok(days) = i32::try_from(days)
    {
        return Ok(days);
    }
    let days = Fields::read(text, false, zone.date_order())
        .and_then(|fields| {
            fields.time()?;
            named_offset(&fields, 0, zone)?;
            fields.days()
        })
        .map_err(|wrong| refusal(wrong, "date", text))?;
    let days = i32::try_from(days).ok().filter(|days| DATES.contains(days));
    days.ok_or_else(|| Refusal::data("22008", format!("date out of range: \"{text}\"")))
}

/// µs since midnight. A date and a zone are taken and left out.
pub(super) fn parse_time(text: &str, zone: &dyn Zone) -> Result<i64, Refusal> {
    let read = Fields::read(text, true, zone.date_order()).and_then(|fields| {
        named_offset(&fields, 0, zone)?;
        if fields.time.is_some() { fields.time() } else { Err(Wrong::Syntax) }
    });
    read.map_err(|wrong| refusal(wrong, "time", text))
}

fn in_range(us: Option<i64>, text: &str) -> Result<i64, Refusal> {
    us.filter(|us| TIMESTAMPS.contains(us))
        .ok_or_else(|| Refusal::data("22008", format!("timestamp out of range: \"{text}\"")))
}

/// Local µs. A zone is taken and left out.
pub(super) fn parse_timestamp(text: &str, zone: &dyn Zone) -> Result<i64, Refusal> {
    if let Some((local, [])) = plain_timestamp(text) {
        return Ok(local);
    }
    let local = Fields::read(text, false, zone.date_order()).and_then(|fields| {
        let local = fields.local()?;
        named_offset(&fields, local, zone).map(|_| local)
    });
    in_range(Some(local.map_err(|wrong| refusal(wrong, "timestamp", text))?), text)
}

/// µs since 1970 UTC. Without a zone in the text, the session's is meant.
pub(super) fn parse_timestamptz(text: &str, zone: &dyn Zone) -> Result<i64, Refusal> {
    let name = "timestamp with time zone";
    if let Some((local, rest)) = plain_timestamp(text) {
        let hour = |at| two(rest, at).filter(|hours| *hours < 16).map(|hours| hours * 3600);
        let offset = match rest {
            [] => Some(zone.offset_at_local(local)),
            [b'Z'] => Some(0),
            [b'+', _, _] => hour(1).and_then(|seconds| i32::try_from(seconds).ok()),
            [b'-', _, _] => hour(1).and_then(|seconds| i32::try_from(seconds).ok()).map(|s| -s),
            _ => None,
        };
        if let Some(offset) = offset {
            return in_range(local.checked_sub(i64::from(offset) * 1_000_000), text);
        }
    }
    let read = Fields::read(text, false, zone.date_order()).and_then(|fields| {
        let local = fields.local()?;
        let named = named_offset(&fields, local, zone)?;
        let offset = match named {
            _ if fields.epoch => 0,
            Some(offset) => offset,
            None => zone.offset_at_local(local),
        };
        Ok(local.checked_sub(i64::from(offset) * 1_000_000))
    });
    in_range(read.map_err(|wrong| refusal(wrong, name, text))?, text)
}
