//! Keys of `jsonb`: PostgreSQL's order. Object > array > boolean > number > text > null; more items are
//! greater than fewer; then item by item, an object's keys before their values.

use super::{push_bytes, push_digits};
use crate::text::json::{Json, parse};

/// Appends the key of a normalised document. What is no JSON sorts as a text (no checked row holds it).
pub(super) fn push(out: &mut Vec<u8>, text: &str) {
    match parse(text) {
        Ok(json) => push_json(out, &json),
        Err(_) => push_text(out, text),
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(2);
    push_bytes(out, text.as_bytes());
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn push_json(out: &mut Vec<u8>, json: &Json) {
    match json {
        Json::Null => out.push(1),
        Json::String(text) => push_text(out, text),
        Json::Number(number) => {
            out.push(3);
            push_number(out, number);
        }
        Json::Bool(v) => out.extend_from_slice(&[4, u8::from(*v)]),
        Json::Array(items) => {
            out.push(5);
            push_count(out, items.len());
            for item in items {
                push_json(out, item);
            }
        }
        Json::Object(pairs) => {
            out.push(6);
            push_count(out, pairs.len());
            for (key, value) in pairs {
                push_text(out, key);
                push_json(out, value);
            }
        }
    }
}

/// A number in plain form, of any length.
fn push_number(out: &mut Vec<u8>, number: &str) {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all: Vec<u8> =
        whole.bytes().chain(fraction.bytes()).map(|b| b.wrapping_sub(b'0')).collect();
    let leading = all.iter().take_while(|d| **d == 0).count();
    let trailing = all.iter().rev().take_while(|d| **d == 0).count();
    let Some(used) = all.get(leading..all.len() - trailing.min(all.len() - leading)) else {
        return;
    };
    if used.is_empty() {
        push_digits(out, 0, 0, |_| None);
        return;
    }
    let point = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(leading).unwrap_or(0);
    push_digits(out, sign, point, |n| usize::try_from(n).ok().and_then(|n| used.get(n)).copied());
}
