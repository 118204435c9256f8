//! Dates and times: the calendar (proleptic Gregorian), ranges, and texts.

use std::ops::RangeInclusive;

/// Days that a date may have: 4714-11-24 BC to 5874897-12-31, as in PostgreSQL.
pub const DATES: RangeInclusive<i32> = -2_440_588..=2_145_042_905;

/// Microseconds that a time of day may have; 24:00:00 is allowed.
pub const TIMES: RangeInclusive<i64> = 0..=DAY_US;

/// Microseconds that a timestamp may have: from 4714-11-24 BC to the end of 64 bits, in January 294247.
pub const TIMESTAMPS: RangeInclusive<i64> = -210_866_803_200_000_000..=i64::MAX;

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;

/// Days since 1970-01-01 of a date; year 0 is 1 BC.
pub fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // Years that start in March put the leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year (0 is 1 BC), month and day of days since 1970-01-01.
pub fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// Appends a number with at least `width` digits; it is never negative here.
fn put(out: &mut String, value: i64, width: usize) {
    let digits = value.to_string();
    out.extend((digits.len()..width).map(|_| '0'));
    out.push_str(&digits);
}

/// `2026-03-31`; years before 1 are written without ` BC`, which stands at the very end of a text.
fn put_date(out: &mut String, days: i64) -> bool {
    let (year, month, day) = date_of(days);
    let before_christ = year <= 0;
    put(out, if before_christ { 1 - year } else { year }, 4);
    out.push('-');
    put(out, i64::from(month), 2);
    out.push('-');
    put(out, i64::from(day), 2);
    before_christ
}

/// `2026-03-31`, `0044-03-15 BC`.
pub(super) fn write_date(out: &mut String, days: i32) {
    if put_date(out, i64::from(days)) {
        out.push_str(" BC");
    }
}

/// `23:59:59.5`, up to `24:00:00`.
pub(super) fn write_time(out: &mut String, us: i64) {
    let seconds = us / 1_000_000;
    put(out, seconds / 3600, 2);
    out.push(':');
    put(out, seconds / 60 % 60, 2);
    out.push(':');
    put(out, seconds % 60, 2);
    let mut fraction = us % 1_000_000;
    if fraction > 0 {
        out.push('.');
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        put(out, fraction, width);
    }
}

/// Date and time of local microseconds; whether the year is before Christ.
fn put_timestamp(out: &mut String, us: i64) -> bool {
    let before_christ = put_date(out, us.div_euclid(DAY_US));
    out.push(' ');
    write_time(out, us.rem_euclid(DAY_US));
    before_christ
}

/// `2026-03-31 23:59:59.5`
pub(super) fn write_timestamp(out: &mut String, us: i64) {
    if put_timestamp(out, us) {
        out.push_str(" BC");
    }
}

/// `2026-03-31 23:59:59.5+02`, in the zone.
pub(super) fn write_timestamptz(out: &mut String, us: i64, zone: &dyn super::Zone) {
    let offset = zone.offset_at(us);
    let local = us.saturating_add(i64::from(offset) * 1_000_000);
    let before_christ = put_timestamp(out, local);
    out.push(if offset < 0 { '-' } else { '+' });
    let seconds = i64::from(offset.unsigned_abs());
    put(out, seconds / 3600, 2);
    if seconds % 3600 != 0 {
        out.push(':');
        put(out, seconds / 60 % 60, 2);
    }
    if seconds % 60 != 0 {
        out.push(':');
        put(out, seconds % 60, 2);
    }
    if before_christ {
        out.push_str(" BC");
    }
}
