//! `to_date` and `to_timestamp`: a text read by a template.

use super::super::datetime::{DAY, calendar, month_length};
use super::moment::{DAYS, MONTHS, PATTERNS, Part, parts};
use super::unsupported;
use crate::Error;

/// What was read.
pub(super) struct Found {
    /// Microseconds since 1970, local.
    pub(super) local: i64,
    /// Seconds east of UTC, if the text said so.
    pub(super) offset: Option<i32>,
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    bc: bool,
    month: Option<i64>,
    day: Option<i64>,
    of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve: bool,
    pm: bool,
    minute: i64,
    second: i64,
    micros: i64,
    of_day: Option<i64>,
    offset: Option<i32>,
}

pub(super) fn read(text: &str, template: &str) -> Result<Found, Error> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    let template = parts(template)?;
    for (index, part) in template.iter().enumerate() {
        match part {
            Part::Text(separator) => {
                let blank = separator.chars().all(|c| !c.is_alphanumeric());
                if blank {
                    let trimmed = rest.trim_start();
                    rest = trimmed
                        .strip_prefix(|c: char| c.is_ascii_punctuation() && c != '-' && c != '+')
                        .or_else(|| trimmed.strip_prefix(separator.as_str()))
                        .unwrap_or(trimmed)
                        .trim_start();
                } else {
                    let skipped = separator.chars().count();
                    rest = rest
                        .char_indices()
                        .nth(skipped)
                        .and_then(|(i, _)| rest.get(i..))
                        .unwrap_or("");
                }
            }
            Part::Pattern { known, .. } => {
                let glued = matches!(template.get(index + 1), Some(Part::Pattern { .. }));
                rest = fields.take(known, rest, glued)?;
            }
        }
    }
    fields.finish()
}

impl Fields {
    #[expect(clippy::too_many_lines, reason = "one match with an arm for each kind")]
    fn take<'t>(&mut self, known: &str, rest: &'t str, glued: bool) -> Result<&'t str, Error> {
        let rest = rest.trim_start();
        let number = |width: usize| digits(rest, if glued { width } else { 19 }, known);
        Ok(match known {
            "YYYY" | "IYYY" => store(&mut self.year, number(4)?),
            "YYY" | "YY" | "Y" => {
                let (value, after) = number(known.len())?;
                self.year = Some(match (known, value) {
                    (_, v) if v >= 1000 => v,
                    ("YYY", v) if v >= 520 => 1000 + v,
                    ("YYY", v) => 2000 + v,
                    (_, v) if v >= 70 && known == "YY" => 1900 + v,
                    (_, v) => 2000 + v,
                });
                after
            }
            "MM" => store(&mut self.month, number(2)?),
            "DD" => store(&mut self.day, number(2)?),
            "DDD" => store(&mut self.of_year, number(3)?),
            "J" => store(&mut self.julian, number(7)?),
            "HH24" => keep(&mut self.hour, number(2)?),
            "HH12" | "HH" => {
                self.twelve = true;
                keep(&mut self.hour, number(2)?)
            }
            "MI" => keep(&mut self.minute, number(2)?),
            "SS" => keep(&mut self.second, number(2)?),
            "SSSS" | "SSSSS" => store(&mut self.of_day, number(5)?),
            "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
                let width = match known {
                    "MS" => 3,
                    "US" => 6,
                    ff => ff.get(2..).and_then(|n| n.parse().ok()).unwrap_or(6),
                };
                let (_, after) = digits(rest, width, known)?;
                let taken = rest.len() - after.len();
                let fraction = rest.get(..taken).unwrap_or_default();
                self.micros = format!("{fraction:0<6}").parse().unwrap_or(0);
                after
            }
            "MONTH" | "MON" => {
                let (index, after) =
                    word(rest, &MONTHS, known == "MON").ok_or_else(|| invalid(rest, known))?;
                self.month = i64::try_from(index + 1).ok();
                after
            }
            "DAY" | "DY" => word(rest, &DAYS, known == "DY").ok_or_else(|| invalid(rest, known))?.1,
            "AM" | "PM" | "A.M." | "P.M." => {
                let word = rest.get(..known.len()).unwrap_or_default().to_ascii_uppercase();
                self.pm = word.starts_with('P');
                self.twelve = true;
                if !word.starts_with(['A', 'P']) {
                    return Err(invalid(rest, known));
                }
                rest.get(known.len()..).unwrap_or_default()
            }
            "BC" | "AD" | "B.C." | "A.D." => {
                self.bc = rest.get(..1).is_some_and(|c| c.eq_ignore_ascii_case("B"));
                rest.get(known.len()..).unwrap_or_default()
            }
            "TZH" => {
                let negative = rest.starts_with('-');
                let (hours, after) = digits(rest.trim_start_matches(['+', '-']), 2, known)?;
                let seconds = i32::try_from(hours * 3600).unwrap_or(0);
                self.offset = Some(if negative { -seconds } else { seconds });
                after
            }
            "TZM" => {
                let (minutes, after) = number(2)?;
                let seconds = i32::try_from(minutes * 60).unwrap_or(0);
                let hours = self.offset.unwrap_or(0);
                self.offset = Some(if hours < 0 { hours - seconds } else { hours + seconds });
                after
            }
            other => return Err(unsupported(other)),
        })
    }

    fn finish(self) -> Result<Found, Error> {
        let mut hour = self.hour;
        if self.twelve {
            if !(1..=12).contains(&hour) {
                return Err(Error::new(
                    "22007",
                    format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                )
                .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.pm { 12 } else { 0 };
        }
        let year = self.year.map(|year| if self.bc { -year } else { year });
        let days = match (self.julian, self.of_year) {
            (Some(julian), _) => julian - 2_440_588,
            (None, Some(day)) => {
                let first = calendar(year.unwrap_or(1), 1, 1)?;
                let length = if month_length(year.unwrap_or(1), 2) == 29 { 366 } else { 365 };
                if !(1..=length).contains(&day) {
                    return Err(out_of_range());
                }
                first + day - 1
            }
            // Without a year it is 1 BC, PostgreSQL's year 0.
            (None, None) => {
                calendar(year.unwrap_or(-1), self.month.unwrap_or(1), self.day.unwrap_or(1))?
            }
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return Err(out_of_range());
        }
        let seconds = self.of_day.unwrap_or((hour * 60 + self.minute) * 60 + self.second);
        Ok(Found { local: days * DAY + seconds * 1_000_000 + self.micros, offset: self.offset })
    }
}

fn out_of_range() -> Error {
    Error::new("22008", "date/time field value out of range")
}

fn store<'t>(slot: &mut Option<i64>, (value, rest): (i64, &'t str)) -> &'t str {
    *slot = Some(value);
    rest
}

fn keep<'t>(slot: &mut i64, (value, rest): (i64, &'t str)) -> &'t str {
    *slot = value;
    rest
}

fn invalid(text: &str, pattern: &str) -> Error {
    let shown: String =
        text.chars().take(PATTERNS.iter().map(|p| p.len()).max().unwrap_or(4)).collect();
    Error::new("22007", format!("invalid value \"{shown}\" for \"{pattern}\""))
}

fn digits<'t>(text: &'t str, width: usize, pattern: &str) -> Result<(i64, &'t str), Error> {
    let length = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(length);
    number
        .parse()
        .map(|value| (value, rest))
        .map_err(|_| invalid(text, pattern).with_detail("Value must be an integer."))
}

fn word<'t>(text: &'t str, words: &[&str], short: bool) -> Option<(usize, &'t str)> {
    words.iter().enumerate().find_map(|(index, word)| {
        let word = if short { word.get(..3)? } else { word };
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| (index, text.get(word.len()..).unwrap_or_default()))
    })
}
