//! `to_char`, `to_date`, `to_timestamp`, `to_number` with PostgreSQL's templates, in the C locale.

mod moment;
mod number;
mod read;

use super::cast::{to_local, to_utc};
use super::text::text;
use super::{Call, Datum, Function, out_of_range};
use crate::Error;
use crate::number::Number;
use crate::types::PgType;

pub(super) fn functions() -> Vec<Function> {
    let mut all = vec![
        Function::row("to_char(timestamp, text) text", |_, a| {
            let local = a.first().map_or(0, Datum::moment);
            Ok(moment::write(local, None, text(a, 1))?.into())
        }),
        Function::row("to_char(timestamptz, text) text", |c, a| {
            let utc = a.first().map_or(0, Datum::moment);
            let zone = c.context.zone;
            let zoned = moment::Zoned { offset: zone.offset_at(utc), name: zone.name() };
            Ok(moment::write(to_local(zone, utc), Some(&zoned), text(a, 1))?.into())
        })
        .stable(),
        Function::row("to_char(interval, text) text", |_, a| {
            let span = a.first().map(Datum::span).unwrap_or_default();
            Ok(moment::write_span(&span, text(a, 1))?.into())
        }),
        Function::row("to_date(text, text) date", |_, a| {
            let local = read::read(text(a, 0), text(a, 1))?.local;
            i32::try_from(local.div_euclid(super::datetime::DAY))
                .map(Datum::Date)
                .map_err(|_| out_of_range(&PgType::Date))
        }),
        Function::row("to_timestamp(text, text) timestamptz", |c, a| {
            let found = read::read(text(a, 0), text(a, 1))?;
            let utc = match found.offset {
                Some(offset) => found.local - i64::from(offset) * 1_000_000,
                None => to_utc(c.context.zone, found.local),
            };
            Ok(Datum::Timestamptz(utc))
        })
        .stable(),
        Function::row("to_number(text, text) numeric", to_number),
    ];
    for kind in ["integer", "bigint", "numeric", "double precision"] {
        all.push(Function::row(&format!("to_char({kind}, text) text"), |_, a| {
            let value = match a.first() {
                Some(Datum::Float(f)) => Number::from_f64(*f)?,
                Some(value) => value.numeric(),
                None => return Ok(Datum::Null),
            };
            Ok(number::write(&value, text(a, 1))?.into())
        }));
    }
    all
}

/// A template that Stele doesn't fill in.
fn unsupported(pattern: &str) -> Error {
    Error::unsupported(
        format!("the template pattern \"{pattern}\""),
        "docs/sql.md lists the patterns that are supported.",
    )
}

/// Digits, sign and point are read; everything else of the template is skipped.
fn to_number(_: &Call<'_>, args: &[Datum]) -> Result<Datum, Error> {
    let (source, template) = (text(args, 0), text(args, 1));
    let upper = template.to_ascii_uppercase();
    for pattern in ["RN", "V", "EEEE", "TH"] {
        if upper.contains(pattern) {
            return Err(unsupported(pattern));
        }
    }
    let mut digits = String::new();
    let mut negative = false;
    for c in source.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '.' if !digits.contains('.') => digits.push('.'),
            '-' | '<' => negative = true,
            _ => {}
        }
    }
    if !digits.contains(|c: char| c.is_ascii_digit()) {
        return Err(super::cast::invalid("numeric", source));
    }
    // Digits beyond the template's places after the point aren't read.
    let places = upper
        .split_once(['.', 'D'])
        .map_or(0, |(_, after)| after.chars().filter(|c| matches!(c, '9' | '0')).count());
    if let Some((whole, fraction)) = digits.clone().split_once('.') {
        let kept: String = fraction.chars().take(places).collect();
        digits = format!("{whole}.{kept}");
    }
    let value = Number::parse(&digits)?;
    Ok(Datum::Numeric(if negative { value.negate() } else { value }))
}
