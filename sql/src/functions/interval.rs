//! Intervals: their texts, and arithmetic that keeps months, days and microseconds apart.

use super::Span;
use crate::Error;

const DAY: i64 = 86_400_000_000;
const SECOND: f64 = 1_000_000.0;

impl Span {
    /// Its length in microseconds, a month being 30 days.
    pub fn length(&self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    /// Both added, field by field.
    ///
    /// # Errors
    /// 22008 when a field overflows.
    pub fn plus(&self, other: &Self) -> Result<Self, Error> {
        let sum = || {
            Some(Self {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or_else(overflow)
    }

    /// The opposite.
    ///
    /// # Errors
    /// 22008 when a field overflows.
    pub fn negated(&self) -> Result<Self, Error> {
        let opposite = || {
            Some(Self {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        opposite().ok_or_else(overflow)
    }

    /// Multiplied; fractions of months spill into days, of days into time.
    ///
    /// # Errors
    /// 22008 when a field overflows.
    pub fn times(&self, factor: f64) -> Result<Self, Error> {
        self.scaled(|field| field * factor)
    }

    /// Divided; fractions spill as those of a product do.
    ///
    /// # Errors
    /// 22012 for zero, 22008 when a field overflows.
    pub fn divided(&self, by: f64) -> Result<Self, Error> {
        if by == 0.0 {
            return Err(Error::new("22012", "division by zero"));
        }
        self.scaled(|field| field / by)
    }

    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL computes in double precision too")]
    fn scaled(&self, scale: impl Fn(f64) -> f64) -> Result<Self, Error> {
        let months = scale(f64::from(self.months));
        let days = scale(f64::from(self.days));
        let whole_months = whole(months)?;
        let whole_days = whole(days)?;
        let spilled_days = rounded_micros((months - f64::from(whole_months)) * 30.0);
        let spilled_seconds = rounded_micros(
            (days - f64::from(whole_days) + spilled_days - spilled_days.trunc()) * 86_400.0,
        );
        let mut days = whole_days.checked_add(whole(spilled_days)?).ok_or_else(overflow)?;
        let mut seconds = spilled_seconds;
        if seconds.abs() >= 86_400.0 {
            let more = whole(seconds / 86_400.0)?;
            days = days.checked_add(more).ok_or_else(overflow)?;
            seconds -= f64::from(more) * 86_400.0;
        }
        let micros = scale(self.micros as f64) + seconds * SECOND;
        Ok(Self { months: whole_months, days, micros: micros_of(micros)? })
    }

    /// Hours of 24 to days, 30 days to months: `justify_interval`'s parts.
    pub fn justified_hours(&self) -> Self {
        let mut span = *self;
        let more = span.micros / DAY;
        span.micros -= more * DAY;
        span.days = span.days.saturating_add(i32::try_from(more).unwrap_or(0));
        if span.days > 0 && span.micros < 0 {
            span.micros += DAY;
            span.days -= 1;
        } else if span.days < 0 && span.micros > 0 {
            span.micros -= DAY;
            span.days += 1;
        }
        span
    }

    /// 30 days to a month.
    pub fn justified_days(&self) -> Self {
        let mut span = *self;
        let more = span.days / 30;
        span.days -= more * 30;
        span.months = span.months.saturating_add(more);
        if span.months > 0 && span.days < 0 {
            span.days += 30;
            span.months -= 1;
        } else if span.months < 0 && span.days > 0 {
            span.days -= 30;
            span.months += 1;
        }
        span
    }
}

fn overflow() -> Error {
    Error::new("22008", "interval out of range")
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(value: f64) -> Result<i32, Error> {
    if value.abs() >= 2_147_483_648.0 || value.is_nan() {
        return Err(overflow());
    }
    Ok(value.trunc() as i32)
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn micros_of(value: f64) -> Result<i64, Error> {
    if value.abs() >= 9.2e18 || value.is_nan() {
        return Err(overflow());
    }
    Ok(value.round_ties_even() as i64)
}

fn rounded_micros(value: f64) -> f64 {
    (value * SECOND).round_ties_even() / SECOND
}

/// The interval of a text: `1 year 2 mons -3 days 04:05:06.7`, `1.5 hours ago`, `P1Y2M3DT4H5M6S`.
///
/// # Errors
/// 22007 for another text, 22008 for a field out of range.
pub(crate) fn parse(text: &str) -> Result<Span, Error> {
    let invalid =
        || Error::new("22007", format!("invalid input syntax for type interval: \"{text}\""));
    let trimmed = text.trim();
    if trimmed.starts_with('P') {
        return iso(trimmed).ok_or_else(invalid)?;
    }
    let mut span = Parts::default();
    let mut words = tokens(trimmed).into_iter().peekable();
    let mut any = false;
    let mut ago = false;
    while let Some(word) = words.next() {
        if word == "@" {
            continue;
        }
        if word == "ago" {
            ago = true;
            continue;
        }
        any = true;
        if word.contains(':') {
            span.clock(&word).ok_or_else(invalid)?;
            continue;
        }
        if let Some((years, months)) = year_month(&word) {
            span.months += f64::from(years) * 12.0 + f64::from(months);
            continue;
        }
        let number: f64 = word.parse().map_err(|_| invalid())?;
        if !number.is_finite() {
            return Err(invalid());
        }
        match words.peek().map(String::as_str) {
            Some(unit) if unit_of(unit).is_some() => {
                let unit = words.next().unwrap_or_default();
                span.add(number, &unit).ok_or_else(invalid)?;
            }
            // `1 04:05:06`: days before a clock.
            Some(next) if next.contains(':') => span.add(number, "day").ok_or_else(invalid)?,
            None => span.add(number, "second").ok_or_else(invalid)?,
            Some(_) => return Err(invalid()),
        }
    }
    if !any {
        return Err(invalid());
    }
    let span = span.finish()?;
    if ago { span.negated() } else { Ok(span) }
}

/// Words and numbers; `1day` is two of them.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in text.to_ascii_lowercase().split([' ', '\t', '\n', ',']).filter(|w| !w.is_empty()) {
        let split = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        let (number, unit) = word.split_at(split);
        let numeric =
            number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        if split > 0 && numeric {
            found.push(number.to_owned());
            found.push(unit.to_owned());
        } else {
            found.push(word.to_owned());
        }
    }
    found
}

/// `1-2`: years and months.
fn year_month(word: &str) -> Option<(i32, i32)> {
    let negative = word.starts_with('-');
    let body = word.trim_start_matches(['-', '+']);
    let (years, months) = body.split_once('-')?;
    let (years, months): (i32, i32) = (years.parse().ok()?, months.parse().ok()?);
    Some(if negative { (-years, -months) } else { (years, months) })
}

/// Fields as they are read, with fractions.
#[derive(Default)]
struct Parts {
    months: f64,
    days: f64,
    micros: f64,
}

impl Parts {
    fn add(&mut self, number: f64, unit: &str) -> Option<()> {
        let (months, days, micros) = unit_of(unit)?;
        if months != 0.0 {
            // A fraction of a month is days; a fraction of a year is whole months.
            let total = number * months;
            if months > 1.0 {
                self.months += total.round_ties_even();
            } else {
                self.months += total.trunc();
                self.add_days(total.fract() * 30.0);
            }
        }
        if days != 0.0 {
            self.add_days(number * days);
        }
        self.micros += number * micros;
        Some(())
    }

    fn add_days(&mut self, days: f64) {
        let days = rounded_micros(days);
        self.days += days.trunc();
        self.micros += days.fract() * 86_400.0 * SECOND;
    }

    fn clock(&mut self, word: &str) -> Option<()> {
        let negative = word.starts_with('-');
        let fields: Vec<&str> = word.trim_start_matches(['-', '+']).split(':').collect();
        let (hours, minutes, seconds): (f64, f64, f64) = match fields.as_slice() {
            [h, m] => (h.parse().ok()?, m.parse().ok()?, 0.0),
            [h, m, s] => (h.parse().ok()?, m.parse().ok()?, s.parse().ok()?),
            _ => return None,
        };
        if !(0.0..60.0).contains(&minutes) || !(0.0..61.0).contains(&seconds) {
            return None;
        }
        let micros = ((hours * 60.0 + minutes) * 60.0 + seconds) * SECOND;
        self.micros += if negative { -micros } else { micros };
        Some(())
    }

    fn finish(self) -> Result<Span, Error> {
        Ok(Span {
            months: whole(self.months)?,
            days: whole(self.days)?,
            micros: micros_of(self.micros)?,
        })
    }
}

/// Months, days and microseconds of a unit.
fn unit_of(unit: &str) -> Option<(f64, f64, f64)> {
    Some(match unit {
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" => (0.0, 0.0, 1.0),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => (0.0, 0.0, 1e3),
        "second" | "seconds" | "sec" | "secs" | "s" => (0.0, 0.0, 1e6),
        "minute" | "minutes" | "min" | "mins" | "m" => (0.0, 0.0, 6e7),
        "hour" | "hours" | "hr" | "hrs" | "h" => (0.0, 0.0, 3.6e9),
        "day" | "days" | "d" => (0.0, 1.0, 0.0),
        "week" | "weeks" | "w" => (0.0, 7.0, 0.0),
        "month" | "months" | "mon" | "mons" => (1.0, 0.0, 0.0),
        "year" | "years" | "yr" | "yrs" | "y" => (12.0, 0.0, 0.0),
        "decade" | "decades" | "dec" | "decs" => (120.0, 0.0, 0.0),
        "century" | "centuries" | "cent" | "c" => (1200.0, 0.0, 0.0),
        "millennium" | "millennia" | "mil" | "mils" => (12_000.0, 0.0, 0.0),
        _ => return None,
    })
}

fn iso(text: &str) -> Option<Result<Span, Error>> {
    let mut parts = Parts::default();
    let mut time = false;
    let mut number = String::new();
    for c in text.chars().skip(1) {
        match c {
            'T' => time = true,
            '0'..='9' | '.' | '-' | '+' => number.push(c),
            _ => {
                let value: f64 = number.parse().ok()?;
                number.clear();
                let unit = match (c, time) {
                    ('Y', false) => "year",
                    ('M', false) => "month",
                    ('W', false) => "week",
                    ('D', false) => "day",
                    ('H', true) => "hour",
                    ('M', true) => "minute",
                    ('S', true) => "second",
                    _ => return None,
                };
                parts.add(value, unit)?;
            }
        }
    }
    number.is_empty().then(|| parts.finish())
}

/// PostgreSQL's text: `1 year 2 mons -3 days +04:05:06.7`.
pub(crate) fn text(span: &Span) -> String {
    let mut words = Vec::new();
    let mut negative_before = false;
    let mut push = |value: i32, unit: &str| {
        if value == 0 {
            return;
        }
        let sign = if negative_before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        words.push(format!("{sign}{value} {unit}{plural}"));
        negative_before = value < 0;
    };
    push(span.months / 12, "year");
    push(span.months % 12, "mon");
    push(span.days, "day");
    if span.micros != 0 || words.is_empty() {
        let micros = span.micros.unsigned_abs();
        let seconds = micros / 1_000_000;
        let sign = match (span.micros < 0, negative_before) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let mut clock =
            format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let fraction = micros % 1_000_000;
        if fraction != 0 {
            let digits = format!("{fraction:06}");
            clock.push('.');
            clock.push_str(digits.trim_end_matches('0'));
        }
        words.push(clock);
    }
    words.join(" ")
}
