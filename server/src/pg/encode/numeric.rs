//! `numeric` on the wire: text, and the binary form of base-10,000 digits.

use bytes::{BufMut, BytesMut};

use super::super::error::Problem;
use super::super::message::Body;
use ledger::Decimal;
use sql::number::Number;
use storage::free_numeric;

/// Writes `coefficient / 10^scale` in text.
pub(super) fn put_decimal_text(out: &mut BytesMut, coefficient: i128, scale: i8) {
    let (coefficient, scale) = normal(coefficient, scale);
    if coefficient < 0 {
        out.put_u8(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(coefficient.unsigned_abs()).as_bytes();
    if scale == 0 {
        return out.put_slice(digits);
    }
    match digits.len().checked_sub(scale) {
        None | Some(0) => {
            out.put_slice(b"0.");
            out.put_bytes(b'0', scale - digits.len());
            out.put_slice(digits);
        }
        Some(whole) => {
            let (whole, fraction) = digits.split_at(whole);
            out.put_slice(whole);
            out.put_u8(b'.');
            out.put_slice(fraction);
        }
    }
}

/// With a scale of 0 or more.
fn normal(mut coefficient: i128, mut scale: i8) -> (i128, usize) {
    while scale < 0 {
        coefficient = coefficient.saturating_mul(10);
        scale += 1;
    }
    (coefficient, usize::try_from(scale).unwrap_or(0))
}

/// A number that carries its scale: most are short.
enum Free {
    Short(i128, i8),
    Long(Number),
}

fn free(bytes: &[u8]) -> Result<Free, Problem> {
    if let Some(short) = free_numeric::decode(bytes)
        && let Ok(scale) = i8::try_from(short.scale)
    {
        return Ok(Free::Short(short.coefficient, scale));
    }
    Ok(Free::Long(Number::read(bytes)?))
}

/// Writes a number that carries its scale in text.
pub(super) fn put_free_text(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Problem> {
    match free(bytes)? {
        Free::Short(coefficient, scale) => put_decimal_text(out, coefficient, scale),
        Free::Long(number) => out.put_slice(number.to_string().as_bytes()),
    }
    Ok(())
}

/// Writes a number that carries its scale in binary.
pub(super) fn put_free(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Problem> {
    match free(bytes)? {
        Free::Short(coefficient, scale) => put_numeric(out, coefficient, scale),
        Free::Long(number) => {
            let (whole, fraction) = number.digits_around_point();
            let whole = whole.trim_start_matches('0').as_bytes();
            let negative = number.signum() < 0;
            put_digits(out, negative, whole, 0, fraction.as_bytes(), fraction.len());
        }
    }
    Ok(())
}

/// Writes `coefficient / 10^scale` in binary.
pub(crate) fn put_numeric(out: &mut BytesMut, coefficient: i128, scale: i8) {
    let (coefficient, scale) = normal(coefficient, scale);
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(coefficient.unsigned_abs()).as_bytes();
    let point = digits.len().saturating_sub(scale);
    let lead = scale.saturating_sub(digits.len());
    let (whole, fraction) = digits.split_at(point);
    put_digits(out, coefficient < 0, whole, lead, fraction, scale);
}

/// Writes a numeric from its decimal digits: `whole` before the point; after it `lead` zeros and `fraction`.
pub(super) fn put_digits(
    out: &mut BytesMut,
    negative: bool,
    whole: &[u8],
    lead: usize,
    fraction: &[u8],
    scale: usize,
) {
    // Digits in groups of four, counted from the point both ways.
    let pad = (4 - whole.len() % 4) % 4;
    let mut text = vec![b'0'; pad];
    text.extend_from_slice(whole);
    let whole_groups = text.len() / 4;
    text.resize(text.len() + lead, b'0');
    text.extend_from_slice(fraction);
    text.resize(text.len().next_multiple_of(4), b'0');
    let group =
        |chunk: &[u8]| chunk.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let groups: Vec<u16> = text.chunks(4).map(group).collect();
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let kept = groups.get(first..last).unwrap_or_default();
    let weight = if kept.is_empty() {
        0
    } else {
        i16::try_from(whole_groups).unwrap_or(i16::MAX) - 1 - i16::try_from(first).unwrap_or(0)
    };
    out.put_i16(i16::try_from(kept.len()).unwrap_or(i16::MAX));
    out.put_i16(weight);
    out.put_u16(if negative && !kept.is_empty() { 0x4000 } else { 0 });
    out.put_i16(i16::try_from(scale).unwrap_or(i16::MAX));
    kept.iter().for_each(|group| out.put_u16(*group));
}

/// Reads a numeric in binary.
///
/// # Errors
/// `22P03` for bytes that aren't one, `22003` for NaN, infinities and more than 38 digits.
pub(crate) fn decode_numeric(body: &mut Body) -> Result<Decimal, Problem> {
    let count = body.i16()?;
    let weight = i32::from(body.i16()?);
    let sign = body.i16()?.cast_unsigned();
    let scale = i32::from(body.i16()?);
    let negative = match sign {
        0 => false,
        0x4000 => true,
        0xc000 | 0xd000 | 0xf000 => {
            return Err(Problem::error("0A000", "numeric NaN and infinity are not supported")
                .with_hint("Use double precision for values that are not numbers."));
        }
        _ => return Err(invalid("sign")),
    };
    if !(0..=0x3fff).contains(&scale) || count < 0 {
        return Err(invalid("scale"));
    }
    let mut coefficient = 0_i128;
    // The power of ten of the lowest digit read so far.
    let mut exponent = (weight + 1) * 4;
    for _ in 0..count {
        let group = body.i16()?;
        if !(0..10_000).contains(&group) {
            return Err(invalid("digit"));
        }
        // Digits below the scale are cut, as PostgreSQL does: they are only there to fill the group.
        let kept = u32::try_from((exponent + scale).clamp(0, 4)).unwrap_or(0);
        coefficient = coefficient
            .checked_mul(i128::from(10_u32.pow(kept)))
            .and_then(|value| value.checked_add((i32::from(group) / 10_i32.pow(4 - kept)).into()))
            .ok_or_else(too_long)?;
        exponent -= i32::try_from(kept).unwrap_or(4);
    }
    while exponent > -scale {
        if coefficient == 0 {
            break;
        }
        coefficient = coefficient.checked_mul(10).ok_or_else(too_long)?;
        exponent -= 1;
    }
    if coefficient.unsigned_abs() >= 10_u128.pow(38) || scale > 38 {
        return Err(too_long());
    }
    let coefficient = if negative { -coefficient } else { coefficient };
    Ok(Decimal { coefficient, scale: u8::try_from(scale).unwrap_or(38) })
}

fn invalid(what: &str) -> Problem {
    Problem::error("22P03", format!("invalid {what} in external \"numeric\" value"))
}

fn too_long() -> Problem {
    Problem::error("22003", "value overflows numeric format")
        .with_detail("A numeric has at most 38 digits.")
}
