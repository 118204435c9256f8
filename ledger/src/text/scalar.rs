//! Texts of booleans, integers, floats, bytes and UUIDs, and the length of texts.

use crate::{Refusal, Type};

/// Unique prefixes of true, false, yes, no, on, off; and 1, 0.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let word = text.trim_matches(is_blank).to_ascii_lowercase();
    let is = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || is("true", 1) || is("yes", 1) || is("on", 2) {
        return Some(true);
    }
    (word == "0" || is("false", 1) || is("no", 1) || is("off", 2)).then_some(false)
}

/// What C's `isspace` takes.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

/// A decimal integer of the type.
pub(super) fn parse_int<T: TryFrom<i64>>(text: &str, kind: &Type) -> Result<T, Refusal> {
    let trimmed = text.trim_matches(is_blank);
    let sign = usize::from(trimmed.starts_with(['-', '+']));
    let count = trimmed.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    let (number, rest) = trimmed.split_at_checked(sign + count).unwrap_or((trimmed, ""));
    let value = number.parse::<i64>().ok().and_then(|value| T::try_from(value).ok());
    // Too many digits are found before what follows them.
    if count == 0 || (value.is_some() && !rest.is_empty()) {
        return Err(super::invalid(kind, text));
    }
    value.ok_or_else(|| {
        let name = kind.base_name();
        Refusal::data("22003", format!("value \"{text}\" is out of range for type {name}"))
    })
}

/// Whether a number's text has a digit other than 0 before its exponent.
fn is_not_zero(text: &str) -> bool {
    text.bytes().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| matches!(b, b'1'..=b'9'))
}

fn is_infinite(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b'n' | b'N'))
}

/// A double, or one of the words for what is none.
pub(crate) fn parse_f64(text: &str) -> Result<f64, Refusal> {
    let trimmed = text.trim_matches(is_blank);
    let value: f64 = trimmed.parse().map_err(|_| super::invalid(&Type::Float8, text))?;
    let out =
        (value.is_infinite() && !is_infinite(trimmed)) || (value == 0.0 && is_not_zero(trimmed));
    if out {
        let message = format!("\"{trimmed}\" is out of range for type double precision");
        return Err(Refusal::data("22003", message));
    }
    Ok(value)
}

/// A float, or one of the words for what is none.
pub(crate) fn parse_f32(text: &str) -> Result<f32, Refusal> {
    let trimmed = text.trim_matches(is_blank);
    let value: f32 = trimmed.parse().map_err(|_| super::invalid(&Type::Float4, text))?;
    let out =
        (value.is_infinite() && !is_infinite(trimmed)) || (value == 0.0 && is_not_zero(trimmed));
    if out {
        let message = format!("\"{trimmed}\" is out of range for type real");
        return Err(Refusal::data("22003", message));
    }
    Ok(value)
}

/// The shortest text that gives the double back, as PostgreSQL chooses it.
pub fn write_f64(out: &mut String, value: f64) {
    if let Some(word) = special(value) {
        out.push_str(word);
        return;
    }
    let mut text = format!("{value:e}");
    if value.abs() >= 9_007_199_254_740_992.0 || digits(&text) > 15 {
        let exact = |places| format!("{value:.places$e}");
        text = careful(text, 17, &exact, &|text| text.parse() == Ok(value));
    }
    write_scientific(out, &text, 15);
}

/// The shortest text that gives the float back, as PostgreSQL chooses it.
pub fn write_f32(out: &mut String, value: f32) {
    if let Some(word) = special(f64::from(value)) {
        out.push_str(word);
        return;
    }
    let mut text = format!("{value:e}");
    if value.abs() >= 16_777_216.0 || digits(&text) > 6 {
        let exact = |places| format!("{value:.places$e}");
        text = careful(text, 9, &exact, &|text| text.parse() == Ok(value));
    }
    write_scientific(out, &text, 6);
}

/// Digits of a number in scientific form.
fn digits(text: &str) -> usize {
    text.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count()
}

/// Where PostgreSQL differs from the shortest form: it takes no text that lies exactly between two floats
/// (and would only be read rightly by a reader that rounds to even), and of two that are equally near it
/// takes the even one. `exact` gives the nearest with so many places; at most `most` digits are needed.
fn careful(
    shortest: String,
    most: usize,
    exact: &dyn Fn(usize) -> String,
    is_value: &dyn Fn(&str) -> bool,
) -> String {
    for places in digits(&shortest).saturating_sub(1)..most {
        let text = exact(places);
        if is_value(&text) && stands_inside(&text, is_value) {
            return text;
        }
    }
    shortest
}

/// Whether numbers a little less and a little more are still the same float.
fn stands_inside(text: &str, is_value: &dyn Fn(&str) -> bool) -> bool {
    const LITTLE: usize = 25;
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let all: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let (Ok(number), Ok(exponent)) = (all.parse::<u64>(), exponent.parse::<i64>()) else {
        return true;
    };
    let shift = i64::try_from(all.len() + LITTLE).unwrap_or(0) - 1;
    let exponent = exponent - shift;
    let more = format!("{sign}{number}{:0>LITTLE$}e{exponent}", 1);
    let less = format!("{sign}{}{:9>LITTLE$}e{exponent}", number.saturating_sub(1), 9);
    number == 0 || (is_value(&more) && is_value(&less))
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        return Some("NaN");
    }
    value.is_infinite().then_some(if value > 0.0 { "Infinity" } else { "-Infinity" })
}

/// Lays out `d.ddde±n`: without exponent from 10^-4 to below 10^`plain_below`.
fn write_scientific(out: &mut String, text: &str, plain_below: i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = match mantissa.strip_prefix('-') {
        Some(digits) => {
            out.push('-');
            digits
        }
        None => mantissa,
    };
    if !(-4..plain_below).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(digits);
        out.push('e');
        out.push(sign);
        out.push_str(&format!("{:02}", exponent.unsigned_abs()));
        return;
    }
    if exponent < 0 {
        out.push_str("0.");
        out.extend((1..exponent.unsigned_abs()).map(|_| '0'));
        out.extend(digits.chars().filter(char::is_ascii_digit));
        return;
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    let mut written = 0;
    for digit in digits.chars().filter(char::is_ascii_digit) {
        if written == whole {
            out.push('.');
        }
        out.push(digit);
        written += 1;
    }
    out.extend((written..whole).map(|_| '0'));
}

/// A text that fits `n` characters. Blanks past them are cut; others too when `explicit` (a cast that was
/// written out), else refused. `char(n)` loses all of its trailing blanks.
pub(crate) fn cut<'a>(
    text: &'a str,
    n: u32,
    kind: &Type,
    explicit: bool,
) -> Result<&'a str, Refusal> {
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let mut kept = text;
    if text.len() > limit
        && let Some((at, _)) = text.char_indices().nth(limit)
    {
        let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
        if !explicit && tail.bytes().any(|b| b != b' ') {
            return Err(Refusal::data("22001", format!("value too long for type {kind}")));
        }
        kept = head;
    }
    Ok(if matches!(kind, Type::Char(_)) { kept.trim_end_matches(' ') } else { kept })
}

fn hex_digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Bytes in the hex or in the escape form.
pub(super) fn parse_bytea(text: &str) -> Result<Vec<u8>, Refusal> {
    let Some(hex) = text.strip_prefix("\\x") else { return parse_escaped(text) };
    let mut out = Vec::with_capacity(hex.len() / 2);
    let mut high: Option<u8> = None;
    for c in hex.chars() {
        if is_blank(c) && high.is_none() {
            continue;
        }
        let digit = u8::try_from(c)
            .ok()
            .and_then(hex_digit)
            .ok_or_else(|| Refusal::data("22023", format!("invalid hexadecimal digit: \"{c}\"")))?;
        match high.take() {
            None => high = Some(digit),
            Some(first) => out.push(first * 16 + digit),
        }
    }
    if high.is_some() {
        return Err(Refusal::data("22023", "invalid hexadecimal data: odd number of digits"));
    }
    Ok(out)
}

fn parse_escaped(text: &str) -> Result<Vec<u8>, Refusal> {
    let wrong = || Refusal::data("22P02", "invalid input syntax for type bytea");
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        match *rest {
            [b'\\', ref after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ref after @ ..] => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

/// `\x` and two hex digits for each byte.
pub(super) fn write_bytea(out: &mut String, bytes: &[u8]) {
    out.reserve(2 + 2 * bytes.len());
    out.push_str("\\x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

/// 32 hex digits; a hyphen may stand after each group of four; braces may stand around.
pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut out = [0u8; 16];
    let mut count = 0usize;
    let mut after_hyphen = true;
    for c in inner.bytes() {
        if c == b'-' {
            if after_hyphen || !count.is_multiple_of(4) || count >= 32 {
                return None;
            }
            after_hyphen = true;
            continue;
        }
        let digit = hex_digit(c)?;
        let place = out.get_mut(count / 2)?;
        *place = *place * 16 + digit;
        count += 1;
        after_hyphen = false;
    }
    (count == 32 && !after_hyphen).then_some(out)
}
