//! Functions of dates, times and intervals. The session's time zone comes from the call's context.

use ledger::Decimal;
use ledger::text::time::{date_of, days_of};
use std::cmp::Ordering;

use super::cast::{shaped, to_local, to_utc};
use super::text::{int, text};
use super::{Call, Datum, Function, Span, out_of_range};
use crate::Error;
use crate::read::QueryContext;
use crate::settings::Zone;
use crate::types::{Digits, Numeric, PgType};

pub(super) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;

#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
pub(super) fn functions() -> Vec<Function> {
    let mut all = clocks();
    all.extend(arithmetic());
    for kind in ["time", "timestamp", "timestamptz"] {
        let signature = format!("overlaps({kind}, {kind}, {kind}, {kind}) boolean");
        all.push(Function::row(&signature, |_, a| Ok(overlaps(a))).with_nulls());
    }
    for kind in ["timestamp", "timestamptz", "date", "time", "interval"] {
        for (name, scale) in [("extract", 0), ("stele_extract_3", 3), ("stele_extract_6", 6)] {
            let shape = Numeric { precision: 38, scale, digits: Digits::Fixed };
            all.push(
                Function::row(&format!("{name}(text, {kind}) numeric"), part)
                    .returning_type(PgType::Numeric(shape))
                    .stable(),
            );
        }
        all.push(
            Function::row(&format!("date_part(text, {kind}) double precision"), |c, a| {
                let value = part(c, a)?;
                Ok(if value.is_null() { Datum::Null } else { Datum::Float(value.float()) })
            })
            .stable(),
        );
    }
    all.extend([
        Function::row("date_trunc(text, timestamp) timestamp", |_, a| {
            Ok(Datum::Timestamp(truncated(text(a, 0), moment(a, 1), "timestamp without time zone")?))
        }),
        Function::row("date_trunc(text, timestamptz) timestamptz", |c, a| {
            let local = to_local(c.context.zone, moment(a, 1));
            let cut = truncated(text(a, 0), local, "timestamp with time zone")?;
            Ok(Datum::Timestamptz(to_utc(c.context.zone, cut)))
        })
        .stable(),
        Function::row("date_trunc(text, timestamptz, text) timestamptz", |_, a| {
            let zone = zone_of(text(a, 2))?;
            let cut = truncated(text(a, 0), to_local(zone, moment(a, 1)), "timestamp with time zone")?;
            Ok(Datum::Timestamptz(to_utc(zone, cut)))
        }),
        Function::row("date_trunc(text, interval) interval", truncated_span),
        Function::row("date_bin(interval, timestamp, timestamp) timestamp", |_, a| {
            Ok(Datum::Timestamp(binned(a)?))
        }),
        Function::row("date_bin(interval, timestamptz, timestamptz) timestamptz", |_, a| {
            Ok(Datum::Timestamptz(binned(a)?))
        }),
        Function::row("age(timestamp, timestamp) interval", |_, a| {
            Ok(Datum::Interval(age(moment(a, 0), moment(a, 1))))
        }),
        Function::row("age(timestamptz, timestamptz) interval", |c, a| {
            let zone = c.context.zone;
            Ok(Datum::Interval(age(to_local(zone, moment(a, 0)), to_local(zone, moment(a, 1)))))
        })
        .stable(),
        Function::row("age(timestamp) interval", |c, a| {
            Ok(Datum::Interval(age(today(c.context), moment(a, 0))))
        })
        .stable(),
        Function::row("age(timestamptz) interval", |c, a| {
            let local = to_local(c.context.zone, moment(a, 0));
            Ok(Datum::Interval(age(today(c.context), local)))
        })
        .stable(),
        Function::row("justify_hours(interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).justified_hours()))
        }),
        Function::row("justify_days(interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).justified_days()))
        }),
        Function::row("justify_interval(interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).justified_hours().justified_days()))
        }),
        Function::row("isfinite(date) boolean", |_, _| Ok(true.into())),
        Function::row("isfinite(timestamp) boolean", |_, _| Ok(true.into())),
        Function::row("isfinite(timestamptz) boolean", |_, _| Ok(true.into())),
        Function::row("isfinite(interval) boolean", |_, _| Ok(true.into())),
        Function::row("make_date(integer, integer, integer) date", |_, a| {
            let days = calendar(int(a, 0), int(a, 1), int(a, 2))?;
            Ok(Datum::Date(i32::try_from(days).map_err(|_| out_of_range(&PgType::Date))?))
        }),
        Function::row("make_time(integer, integer, double precision) time", |_, a| {
            Ok(Datum::Time(clock(int(a, 0), int(a, 1), seconds(a, 2))?))
        }),
        Function::row(
            "make_timestamp(integer, integer, integer, integer, integer, double precision) timestamp",
            |_, a| {
                let days = calendar(int(a, 0), int(a, 1), int(a, 2))?;
                Ok(Datum::Timestamp(days * DAY + clock(int(a, 3), int(a, 4), seconds(a, 5))?))
            },
        ),
        Function::row(
            "make_timestamptz(integer, integer, integer, integer, integer, double precision, [text]) timestamptz",
            |c, a| {
                let days = calendar(int(a, 0), int(a, 1), int(a, 2))?;
                let local = days * DAY + clock(int(a, 3), int(a, 4), seconds(a, 5))?;
                let zone = if a.len() > 6 { zone_of(text(a, 6))? } else { c.context.zone };
                Ok(Datum::Timestamptz(to_utc(zone, local)))
            },
        )
        .stable(),
        Function::row(
            "make_interval([integer], [integer], [integer], [integer], [integer], [integer], [double precision]) interval",
            |_, a| {
                let narrow = |n: i64| i32::try_from(n).map_err(|_| out_of_range(&PgType::Interval));
                let time = (int(a, 4) * 60 + int(a, 5)) * 60 * SECOND;
                Ok(Datum::Interval(Span {
                    months: narrow(int(a, 0) * 12 + int(a, 1))?,
                    days: narrow(int(a, 2) * 7 + int(a, 3))?,
                    micros: time + micros(seconds(a, 6)),
                }))
            },
        ),
        Function::row("to_timestamp(double precision) timestamptz", |_, a| {
            Ok(Datum::Timestamptz(micros(seconds(a, 0))))
        }),
    ]);
    all.push(Function::row("timezone(text, timestamp) timestamptz", |_, a| {
        Ok(Datum::Timestamptz(to_utc(zone_of(text(a, 0))?, moment(a, 1))))
    }));
    all.push(Function::row("timezone(text, timestamptz) timestamp", |_, a| {
        Ok(Datum::Timestamp(to_local(zone_of(text(a, 0))?, moment(a, 1))))
    }));
    all.push(Function::row("timezone(interval, timestamptz) timestamp", |_, a| {
        Ok(Datum::Timestamp(moment(a, 1) + span(a, 0).micros))
    }));
    all.push(Function::row("timezone(interval, timestamp) timestamptz", |_, a| {
        Ok(Datum::Timestamptz(moment(a, 1) - span(a, 0).micros))
    }));
    all
}

/// The times that are now.
fn clocks() -> Vec<Function> {
    let mut all = Vec::new();
    for name in ["now", "current_timestamp", "transaction_timestamp"] {
        all.push(
            Function::row(&format!("{name}() timestamptz"), |c, _| {
                Ok(Datum::Timestamptz(c.context.transaction_time_us))
            })
            .stable(),
        );
    }
    all.extend([
        Function::row("statement_timestamp() timestamptz", |c, _| {
            Ok(Datum::Timestamptz(c.context.statement_time_us))
        })
        .stable(),
        Function::row("clock_timestamp() timestamptz", |_, _| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let micros =
                now.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            Ok(Datum::Timestamptz(micros))
        })
        .volatile(),
        Function::row("localtimestamp() timestamp", |c, _| {
            Ok(Datum::Timestamp(to_local(c.context.zone, c.context.transaction_time_us)))
        })
        .stable(),
        Function::row("localtime() time", |c, _| {
            let local = to_local(c.context.zone, c.context.transaction_time_us);
            Ok(Datum::Time(local.rem_euclid(DAY)))
        })
        .stable(),
        Function::row("current_date() date", |c, _| {
            i32::try_from(today(c.context) / DAY)
                .map(Datum::Date)
                .map_err(|_| out_of_range(&PgType::Date))
        })
        .stable(),
    ]);
    all
}

/// `+`, `-`, `*`, `/` where an operand is a date, time or interval.
#[expect(clippy::too_many_lines, reason = "a table with a line for each function")]
fn arithmetic() -> Vec<Function> {
    let mut all = vec![
        Function::row("stele_plus(date, integer) date", |_, a| date(moment(a, 0) + int(a, 1))),
        Function::row("stele_plus(integer, date) date", |_, a| date(moment(a, 1) + int(a, 0))),
        Function::row("stele_minus(date, integer) date", |_, a| date(moment(a, 0) - int(a, 1))),
        Function::row("stele_minus(date, date) integer", |_, a| {
            Ok(Datum::Int(moment(a, 0) - moment(a, 1)))
        }),
        Function::row("stele_plus(date, time) timestamp", |_, a| {
            Ok(Datum::Timestamp(moment(a, 0) * DAY + moment(a, 1)))
        }),
        Function::row("stele_plus(time, date) timestamp", |_, a| {
            Ok(Datum::Timestamp(moment(a, 1) * DAY + moment(a, 0)))
        }),
        Function::row("stele_minus(timestamp, timestamp) interval", difference),
        Function::row("stele_minus(timestamptz, timestamptz) interval", difference),
        Function::row("stele_minus(time, time) interval", |_, a| {
            Ok(Datum::Interval(Span { micros: moment(a, 0) - moment(a, 1), ..Span::default() }))
        }),
        Function::row("stele_plus(interval, interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).plus(&span(a, 1))?))
        }),
        Function::row("stele_minus(interval, interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).plus(&span(a, 1).negated()?)?))
        }),
        Function::row("stele_times(interval, double precision) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).times(seconds(a, 1))?))
        }),
        Function::row("stele_times(double precision, interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 1).times(seconds(a, 0))?))
        }),
        Function::row("stele_over(interval, double precision) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).divided(seconds(a, 1))?))
        }),
        Function::row("stele_negate(interval) interval", |_, a| {
            Ok(Datum::Interval(span(a, 0).negated()?))
        }),
    ];
    for (kind, result) in [
        ("date", "timestamp"),
        ("timestamp", "timestamp"),
        ("timestamptz", "timestamptz"),
        ("time", "time"),
    ] {
        let shift = |c: &Call<'_>, value: &Datum, by: &Span| match value {
            Datum::Date(d) => plus(c.context, &Datum::Timestamp(i64::from(*d) * DAY), by),
            value => plus(c.context, value, by),
        };
        all.push(
            Function::row(&format!("stele_plus({kind}, interval) {result}"), move |c, a| match a {
                [value, Datum::Interval(by)] => shift(c, value, by),
                _ => Ok(Datum::Null),
            })
            .stable(),
        );
        all.push(
            Function::row(&format!("stele_plus(interval, {kind}) {result}"), move |c, a| match a {
                [Datum::Interval(by), value] => shift(c, value, by),
                _ => Ok(Datum::Null),
            })
            .stable(),
        );
        all.push(
            Function::row(
                &format!("stele_minus({kind}, interval) {result}"),
                move |c, a| match a {
                    [value, Datum::Interval(by)] => shift(c, value, &by.negated()?),
                    _ => Ok(Datum::Null),
                },
            )
            .stable(),
        );
    }
    all
}

fn moment(args: &[Datum], index: usize) -> i64 {
    args.get(index).map_or(0, Datum::moment)
}

fn span(args: &[Datum], index: usize) -> Span {
    args.get(index).map(Datum::span).unwrap_or_default()
}

fn seconds(args: &[Datum], index: usize) -> f64 {
    args.get(index).map_or(0.0, Datum::float)
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round_ties_even() as i64
}

fn date(days: i64) -> Result<Datum, Error> {
    i32::try_from(days).map(Datum::Date).map_err(|_| out_of_range(&PgType::Date))
}

/// Midnight of the transaction's day, local.
fn today(context: &QueryContext) -> i64 {
    to_local(context.zone, context.transaction_time_us).div_euclid(DAY) * DAY
}

pub(super) fn zone_of(name: &str) -> Result<Zone, Error> {
    // A bare offset is POSIX's in AT TIME ZONE: west is positive there.
    Zone::parse(name)
        .ok_or_else(|| Error::new("22023", format!("time zone \"{name}\" not recognized")))
}

fn difference(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let micros = moment(args, 0)
        .checked_sub(moment(args, 1))
        .ok_or_else(|| out_of_range(&PgType::Interval))?;
    let days = i32::try_from(micros / DAY).map_err(|_| out_of_range(&PgType::Interval))?;
    Ok(Datum::Interval(Span { months: 0, days, micros: micros % DAY }))
}

/// A moment and an interval: months first, then days, then time; local days for timestamptz.
pub(super) fn plus(context: &QueryContext, value: &Datum, by: &Span) -> Result<Datum, Error> {
    let shifted = |local: i64| -> Result<i64, Error> {
        let mut local = local;
        if by.months != 0 {
            local = months_later(local, by.months)?;
        }
        i64::from(by.days)
            .checked_mul(DAY)
            .and_then(|days| local.checked_add(days))
            .ok_or_else(|| out_of_range(&PgType::Timestamp))
    };
    Ok(match value {
        Datum::Timestamp(t) => {
            let end = shifted(*t)?.checked_add(by.micros);
            Datum::Timestamp(end.ok_or_else(|| out_of_range(&PgType::Timestamp))?)
        }
        Datum::Timestamptz(t) => {
            let zone = context.zone;
            let days_later = if by.months == 0 && by.days == 0 {
                *t
            } else {
                to_utc(zone, shifted(to_local(zone, *t))?)
            };
            let end = days_later.checked_add(by.micros);
            Datum::Timestamptz(end.ok_or_else(|| out_of_range(&PgType::Timestamptz))?)
        }
        Datum::Time(t) => Datum::Time((*t + by.micros % DAY).rem_euclid(DAY)),
        _ => Datum::Null,
    })
}

fn months_later(local: i64, months: i32) -> Result<i64, Error> {
    let (year, month, day) = date_of(local.div_euclid(DAY));
    let total = year * 12 + i64::from(month) - 1 + i64::from(months);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let month = u32::try_from(month).map_err(|_| out_of_range(&PgType::Timestamp))?;
    let day = day.min(month_length(year, month));
    days_of(year, month, day)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(local.rem_euclid(DAY)))
        .ok_or_else(|| out_of_range(&PgType::Timestamp))
}

pub(super) fn month_length(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) fn calendar(year: i64, month: i64, day: i64) -> Result<i64, Error> {
    let wrong = || {
        Error::new("22008", format!("date field value out of range: {year}-{month:02}-{day:02}"))
    };
    // There is no year 0: -1 is 1 BC.
    let astronomical = if year < 0 { year + 1 } else { year };
    let month32 = u32::try_from(month).ok().filter(|m| (1..=12).contains(m)).ok_or_else(wrong)?;
    let day32 = u32::try_from(day).ok().filter(|d| *d >= 1).ok_or_else(wrong)?;
    if year == 0 || day32 > month_length(astronomical, month32) || year.abs() > 300_000 {
        return Err(wrong());
    }
    Ok(days_of(astronomical, month32, day32))
}

fn clock(hour: i64, minute: i64, second: f64) -> Result<i64, Error> {
    let fits = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60.0).contains(&second)
        && (hour < 24 || (minute == 0 && second == 0.0));
    if !fits {
        return Err(Error::new(
            "22008",
            format!("time field value out of range: {hour:02}:{minute:02}:{second:02}"),
        ));
    }
    Ok((hour * 60 + minute) * 60 * SECOND + micros(second))
}

/// Years, months, days and time from one local moment to a later one, as people count.
fn age(later: i64, earlier: i64) -> Span {
    if later < earlier {
        let span = age(earlier, later);
        return Span { months: -span.months, days: -span.days, micros: -span.micros };
    }
    let (y1, m1, d1) = date_of(later.div_euclid(DAY));
    let (y2, m2, d2) = date_of(earlier.div_euclid(DAY));
    let mut micros = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    let mut days = i64::from(d1) - i64::from(d2);
    let mut months = (y1 - y2) * 12 + i64::from(m1) - i64::from(m2);
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        days += i64::from(month_length(y2, m2));
        months -= 1;
    }
    Span {
        months: i32::try_from(months).unwrap_or(i32::MAX),
        days: i32::try_from(days).unwrap_or(0),
        micros,
    }
}

fn unknown_unit(unit: &str, kind: &str) -> Error {
    Error::new("22023", format!("unit \"{unit}\" not recognized for type {kind}"))
}

/// A local moment cut to a unit.
fn truncated(unit: &str, local: i64, kind: &str) -> Result<i64, Error> {
    let (year, month, _) = date_of(local.div_euclid(DAY));
    let midnight = local.div_euclid(DAY) * DAY;
    let first = |year: i64, month: u32| days_of(year, month, 1) * DAY;
    let group = |n: i64, offset: i64| (year - offset).div_euclid(n) * n + offset;
    let unit = unit.to_ascii_lowercase();
    Ok(match unit.trim_end_matches('s') {
        "microsecond" | "u" => local,
        "millisecond" | "m" => local.div_euclid(1000) * 1000,
        "second" | "sec" => local.div_euclid(SECOND) * SECOND,
        "minute" | "min" => local.div_euclid(60 * SECOND) * 60 * SECOND,
        "hour" => local.div_euclid(3600 * SECOND) * 3600 * SECOND,
        "day" => midnight,
        "week" => midnight - (local.div_euclid(DAY) + 3).rem_euclid(7) * DAY,
        "month" | "mon" => first(year, month),
        "quarter" => first(year, (month - 1) / 3 * 3 + 1),
        "year" | "yr" => first(year, 1),
        "decade" => first(group(10, 0), 1),
        "century" | "centurie" => first(group(100, 1), 1),
        "millennium" | "millennia" => first(group(1000, 1), 1),
        _ => return Err(unknown_unit(&unit, kind)),
    })
}

fn truncated_span(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let unit = text(args, 0).to_ascii_lowercase();
    let s = span(args, 1);
    let time = |unit: i64| Span { micros: s.micros / unit * unit, ..s };
    let months = |n: i32| Span { months: s.months / n * n, ..Span::default() };
    Ok(Datum::Interval(match unit.trim_end_matches('s') {
        "microsecond" => s,
        "millisecond" => time(1000),
        "second" => time(SECOND),
        "minute" => time(60 * SECOND),
        "hour" => time(3600 * SECOND),
        "day" => Span { micros: 0, ..s },
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        "decade" => months(120),
        "century" | "centurie" => months(1200),
        "millennium" | "millennia" => months(12_000),
        _ => return Err(unknown_unit(&unit, "interval")),
    }))
}

fn binned(args: &[Datum]) -> Result<i64, Error> {
    let stride = span(args, 0);
    if stride.months != 0 {
        return Err(Error::new(
            "0A000",
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let width = i64::try_from(stride.length()).unwrap_or(0);
    if width <= 0 {
        return Err(Error::new("22008", "stride must be greater than zero"));
    }
    let (at, origin) = (moment(args, 1), moment(args, 2));
    Ok((at - origin).div_euclid(width) * width + origin)
}

/// `extract(unit from value)`.
fn part(call: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let unit = text(args, 0).to_ascii_lowercase();
    let unit = unit.trim().trim_end_matches('s');
    let kind = call.kinds.get(1).cloned().unwrap_or(PgType::Timestamp);
    let value = args.get(1).cloned().unwrap_or(Datum::Null);
    let found = match &value {
        Datum::Interval(s) => of_span(unit, s),
        Datum::Time(t) => of_time(unit, *t),
        Datum::Date(d) => match unit {
            "hour" | "minute" | "second" | "microsecond" | "millisecond" => None,
            _ => of_local(unit, i64::from(*d) * DAY),
        },
        Datum::Timestamp(t) => of_local(unit, *t),
        Datum::Timestamptz(t) => of_zoned(call.context.zone, unit, *t),
        _ => return Ok(Datum::Null),
    };
    match found {
        Some(d) => match call.returns {
            PgType::Numeric(n) => shaped(d.into(), n),
            _ => Ok(Datum::Numeric(d.into())),
        },
        None => Err(unknown_unit(text(args, 0), &kind.to_string())),
    }
}

fn whole(n: i64) -> Option<Decimal> {
    Some(Decimal { coefficient: n.into(), scale: 0 })
}

fn fraction(micros: i64, scale: u8) -> Option<Decimal> {
    Some(Decimal { coefficient: micros.into(), scale })
}

fn of_zoned(zone: Zone, unit: &str, utc: i64) -> Option<Decimal> {
    let offset = i64::from(zone.offset_at(utc));
    match unit {
        "epoch" => fraction(utc, 6),
        "timezone" => whole(offset),
        "timezone_hour" => whole(offset / 3600),
        "timezone_minute" => whole(offset / 60 % 60),
        _ => of_local(unit, to_local(zone, utc)),
    }
}

fn of_time(unit: &str, time: i64) -> Option<Decimal> {
    match unit {
        "epoch" => fraction(time, 6),
        "hour" => whole(time / (3600 * SECOND)),
        "minute" | "min" => whole(time / (60 * SECOND) % 60),
        "second" | "sec" => fraction(time % (60 * SECOND), 6),
        "millisecond" | "m" => fraction(time % (60 * SECOND), 3),
        "microsecond" | "u" => whole(time % (60 * SECOND)),
        _ => None,
    }
}

fn of_span(unit: &str, s: &Span) -> Option<Decimal> {
    match unit {
        "year" => whole((s.months / 12).into()),
        "month" | "mon" => whole((s.months % 12).into()),
        "day" => whole(s.days.into()),
        "decade" => whole((s.months / 120).into()),
        "century" | "centurie" => whole((s.months / 1200).into()),
        "millennium" | "millennia" => whole((s.months / 12_000).into()),
        "quarter" => whole((s.months % 12 / 3 + 1).into()),
        "epoch" => {
            // A year is 365.25 days here, a month 30.
            let days = i128::from(s.months / 12) * 36_525
                + i128::from(s.months % 12) * 3000
                + i128::from(s.days) * 100;
            let micros = days * i128::from(DAY) / 100 + i128::from(s.micros);
            Some(Decimal { coefficient: micros, scale: 6 })
        }
        "hour" => whole(s.micros / (3600 * SECOND)),
        _ => of_time(unit, s.micros),
    }
}

/// The Monday-based ISO year and week of a day.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, ..) = date_of(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

fn of_local(unit: &str, local: i64) -> Option<Decimal> {
    let days = local.div_euclid(DAY);
    let (year, month, day) = date_of(days);
    // Years before 1 AD are counted without a year 0.
    let shown = if year <= 0 { year - 1 } else { year };
    match unit {
        "year" | "yr" => whole(shown),
        "month" | "mon" => whole(month.into()),
        "day" => whole(day.into()),
        "quarter" => whole(i64::from((month - 1) / 3 + 1)),
        "week" => whole(iso_week(days).1),
        "isoyear" => whole(iso_week(days).0),
        "dow" => whole((days + 4).rem_euclid(7)),
        "isodow" => whole((days + 3).rem_euclid(7) + 1),
        "doy" => whole(days - days_of(year, 1, 1) + 1),
        "decade" => whole(year.div_euclid(10)),
        "century" | "centurie" => {
            whole(if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) })
        }
        "millennium" | "millennia" => {
            whole(if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) })
        }
        "julian" => {
            let exact = i128::from(days + 2_440_588) * 1_000_000
                + i128::from(local.rem_euclid(DAY)) * 1_000_000 / i128::from(DAY);
            Some(Decimal { coefficient: exact, scale: 6 })
        }
        "epoch" => fraction(local, 6),
        _ => of_time(unit, local.rem_euclid(DAY)),
    }
}

/// Whether two periods share a moment. The ends of each may stand in any order, and one of them may be NULL.
fn overlaps(args: &[Datum]) -> Datum {
    let period = |from: usize| {
        let end = |at: usize| args.get(at).filter(|end| !end.is_null()).map(Datum::moment);
        match (end(from), end(from + 1)) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some((one, None)),
            (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
        }
    };
    let (Some((a, a_end)), Some((b, b_end))) = (period(0), period(2)) else { return Datum::Null };
    let known = |is: Option<bool>| is.map_or(Datum::Null, Datum::Bool);
    match a.cmp(&b) {
        Ordering::Equal => known((a_end.is_some() && b_end.is_some()).then_some(true)),
        Ordering::Greater => known(match b_end {
            Some(end) if a < end => Some(true),
            Some(_) => a_end.map(|_| false),
            None => None,
        }),
        Ordering::Less => known(match a_end {
            Some(end) if b < end => Some(true),
            Some(_) => b_end.map(|_| false),
            None => None,
        }),
    }
}
