//! `to_char` of moments and intervals.

use ledger::text::time::{date_of, days_of};

use super::super::Span;
use super::super::datetime::{DAY, iso_week};
use super::unsupported;
use crate::Error;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// The patterns of templates, longer ones before those they begin with.
pub(super) const PATTERNS: &[&str] = &[
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4",
    "FF5", "FF6", "A.M.", "P.M.", "AM", "PM", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY",
    "IY", "B.C.", "A.D.", "BC", "AD", "MONTH", "MON", "MM", "DAY", "DY", "IDDD", "DDD", "DD", "ID",
    "D", "WW", "W", "IW", "I", "CC", "J", "Q", "RM", "TZH", "TZM", "TZ", "OF",
];

/// A template's parts.
pub(super) enum Part<'t> {
    /// As it stands.
    Text(String),
    /// A pattern, as it was written; whether FM stood before it, and TH after it.
    Pattern { known: &'static str, written: &'t str, fill: bool, ordinal: Option<bool> },
}

/// Takes a template apart.
pub(super) fn parts(template: &str) -> Result<Vec<Part<'_>>, Error> {
    let mut found = Vec::new();
    let mut rest = template;
    let mut fill = true;
    while let Some(c) = rest.chars().next() {
        let upper = |n: usize| rest.get(..n).map(str::to_ascii_uppercase);
        if c == '"' {
            let body = rest.get(1..).unwrap_or_default();
            let (inner, after) = body.split_once('"').unwrap_or((body, ""));
            found.push(Part::Text(inner.to_owned()));
            rest = after;
            continue;
        }
        match upper(2).as_deref() {
            Some("FM") => {
                fill = false;
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            Some("FX") => {
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            Some("TM") => return Err(unsupported("TM")),
            _ => {}
        }
        let known = PATTERNS
            .iter()
            .copied()
            .find(|pattern| upper(pattern.len()).as_deref() == Some(pattern));
        let Some(known) = known else {
            found.push(Part::Text(c.to_string()));
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (written, after) = rest.split_at(known.len());
        let ordinal = match after.get(..2) {
            Some("TH") => Some(true),
            Some("th") => Some(false),
            _ => None,
        };
        rest = if ordinal.is_some() { after.get(2..).unwrap_or_default() } else { after };
        found.push(Part::Pattern { known, written, fill, ordinal });
        fill = true;
    }
    Ok(found)
}

/// A moment's zone.
pub(super) struct Zoned {
    /// Seconds east of UTC.
    pub(super) offset: i32,
    pub(super) name: String,
}

/// A local moment in a template.
pub(super) fn write(local: i64, zone: Option<&Zoned>, template: &str) -> Result<String, Error> {
    let mut result = String::new();
    for part in parts(template)? {
        match part {
            Part::Text(text) => result.push_str(&text),
            Part::Pattern { known, written, fill, ordinal } => {
                let piece = pattern(local, zone, known, written, fill)?;
                result.push_str(&piece);
                if let Some(upper) = ordinal {
                    let ending = ending(&piece);
                    result.push_str(&if upper {
                        ending.to_ascii_uppercase()
                    } else {
                        ending.to_owned()
                    });
                }
            }
        }
    }
    Ok(result)
}

fn ending(number: &str) -> &'static str {
    let mut last = number.chars().rev();
    let (one, ten) = (last.next(), last.next());
    match (ten, one) {
        (Some('1'), _) => "th",
        (_, Some('1')) => "st",
        (_, Some('2')) => "nd",
        (_, Some('3')) => "rd",
        _ => "th",
    }
}

/// A word in the case of its pattern: `MONTH`, `Month`, `month`.
fn cased(word: &str, written: &str, width: usize, fill: bool) -> String {
    let mut letters = written.chars();
    let first = letters.next().is_some_and(char::is_uppercase);
    let second = letters.next().is_some_and(char::is_uppercase);
    let word = match (first, second) {
        (true, true) => word.to_uppercase(),
        (true, false) => word.to_owned(),
        _ => word.to_lowercase(),
    };
    if fill { format!("{word:<width$}") } else { word }
}

fn padded(number: i64, width: usize, fill: bool) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = number.unsigned_abs();
    if fill { format!("{sign}{digits:0width$}") } else { format!("{sign}{digits}") }
}

fn pattern(
    local: i64,
    zone: Option<&Zoned>,
    known: &str,
    written: &str,
    fill: bool,
) -> Result<String, Error> {
    let days = local.div_euclid(DAY);
    let time = local.rem_euclid(DAY);
    let (year, month, day) = date_of(days);
    let shown_year = if year <= 0 { 1 - year } else { year };
    let hour = time / 3_600_000_000;
    let micros = time % 1_000_000;
    let (iso_year, iso_weeks) = iso_week(days);
    let of_year = days - days_of(year, 1, 1) + 1;
    let week_day = (days + 4).rem_euclid(7);
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or_default()
    };
    let two = |number: i64| padded(number, 2, fill);
    Ok(match known {
        "HH24" => two(hour),
        "HH12" | "HH" => two(if hour % 12 == 0 { 12 } else { hour % 12 }),
        "MI" => two(time / 60_000_000 % 60),
        "SS" => two(time / 1_000_000 % 60),
        "SSSS" | "SSSSS" => (time / 1_000_000).to_string(),
        "MS" | "FF3" => format!("{:03}", micros / 1000),
        "US" | "FF6" => format!("{micros:06}"),
        "FF1" => (micros / 100_000).to_string(),
        "FF2" => format!("{:02}", micros / 10_000),
        "FF4" => format!("{:04}", micros / 100),
        "FF5" => format!("{:05}", micros / 10),
        "AM" | "PM" => half(hour, written, "AM", "PM"),
        "A.M." | "P.M." => half(hour, written, "A.M.", "P.M."),
        "Y,YYY" => format!("{},{:03}", shown_year / 1000, shown_year % 1000),
        "YYYY" => padded(shown_year, 4, fill),
        "YYY" => padded(shown_year % 1000, 3, fill),
        "YY" => two(shown_year % 100),
        "Y" => (shown_year % 10).to_string(),
        "IYYY" => padded(iso_year, 4, fill),
        "IYY" => padded(iso_year % 1000, 3, fill),
        "IY" => two(iso_year % 100),
        "I" => (iso_year % 10).to_string(),
        "BC" | "AD" => half(if year <= 0 { 0 } else { 12 }, written, "BC", "AD"),
        "B.C." | "A.D." => half(if year <= 0 { 0 } else { 12 }, written, "B.C.", "A.D."),
        "MONTH" => cased(name(&MONTHS, i64::from(month) - 1), written, 9, fill),
        "MON" => cased(short(name(&MONTHS, i64::from(month) - 1)), written, 0, false),
        "MM" => two(month.into()),
        "DAY" => cased(name(&DAYS, week_day), written, 9, fill),
        "DY" => cased(short(name(&DAYS, week_day)), written, 0, false),
        "DDD" => padded(of_year, 3, fill),
        "IDDD" => padded((iso_weeks - 1) * 7 + (days + 3).rem_euclid(7) + 1, 3, fill),
        "DD" => two(day.into()),
        "D" => (week_day + 1).to_string(),
        "ID" => ((days + 3).rem_euclid(7) + 1).to_string(),
        "WW" => two((of_year - 1) / 7 + 1),
        "W" => ((i64::from(day) - 1) / 7 + 1).to_string(),
        "IW" => two(iso_weeks),
        "CC" => two(if year > 0 { (year + 99) / 100 } else { (year - 99) / 100 }),
        "J" => (days + 2_440_588).to_string(),
        "Q" => ((month - 1) / 3 + 1).to_string(),
        "RM" => cased(
            name(&ROMAN, i64::from(month) - 1),
            if written == "RM" { "RM" } else { "rm" },
            4,
            fill,
        ),
        _ => of_zone(zone, known, written)?,
    })
}

fn short(word: &str) -> &str {
    word.get(..3).unwrap_or(word)
}

fn half(hour: i64, written: &str, before: &str, after: &str) -> String {
    let word = if hour < 12 { before } else { after };
    let lower = written.starts_with(char::is_lowercase);
    if lower { word.to_lowercase() } else { word.to_owned() }
}

fn of_zone(zone: Option<&Zoned>, known: &str, written: &str) -> Result<String, Error> {
    let Some(zone) = zone else {
        return match known {
            "TZ" => Ok(String::new()),
            "OF" | "TZH" => Ok("+00".to_owned()),
            _ => Ok("00".to_owned()),
        };
    };
    let sign = if zone.offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (zone.offset.abs() / 3600, zone.offset.abs() / 60 % 60);
    Ok(match known {
        "TZH" => format!("{sign}{hours:02}"),
        "TZM" => format!("{minutes:02}"),
        "OF" if minutes == 0 => format!("{sign}{hours:02}"),
        "OF" => format!("{sign}{hours:02}:{minutes:02}"),
        "TZ" if zone.name.eq_ignore_ascii_case("utc") => {
            if written == "tz" {
                "utc".to_owned()
            } else {
                "UTC".to_owned()
            }
        }
        "TZ" => return Err(unsupported("TZ")),
        other => return Err(unsupported(other)),
    })
}

/// An interval in a template: hours may be more than 24, and only units that it has can be asked for.
pub(super) fn write_span(span: &Span, template: &str) -> Result<String, Error> {
    let mut result = String::new();
    let seconds = span.micros / 1_000_000;
    for part in parts(template)? {
        let (known, fill) = match part {
            Part::Text(text) => {
                result.push_str(&text);
                continue;
            }
            Part::Pattern { ordinal: Some(_), .. } => return Err(unsupported("TH")),
            Part::Pattern { known, fill, .. } => (known, fill),
        };
        let two = |number: i64| padded(number, 2, fill);
        result.push_str(&match known {
            "HH24" => two(seconds / 3600),
            "HH12" | "HH" => two(seconds / 3600 % 12),
            "MI" => two(seconds / 60 % 60),
            "SS" => two(seconds % 60),
            "MS" => format!("{:03}", span.micros % 1_000_000 / 1000),
            "US" => format!("{:06}", span.micros % 1_000_000),
            "YYYY" => padded((span.months / 12).into(), 4, fill),
            "MM" => two((span.months % 12).into()),
            "DD" => two(span.days.into()),
            other => return Err(unsupported(other)),
        });
    }
    Ok(result)
}
