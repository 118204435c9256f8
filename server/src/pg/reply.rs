//! What the server says: backend messages, written straight into the output buffer. It knows no session.

use bytes::{BufMut, BytesMut};

use super::error::Problem;

/// A session's transaction status, as ReadyForQuery shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// `I`
    Idle,
    /// `T`
    Active,
    /// `E`
    Failed,
}

/// Writes one message: the type, a length that is set afterwards, and what `body` writes.
pub(crate) fn message(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    framed(out, body);
}

/// Writes four bytes of length, which count themselves, and what `body` writes.
fn framed(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    set_length(out, start, out.len() - start);
}

/// Sets the four bytes at `start` to a length.
pub(crate) fn set_length(out: &mut BytesMut, start: usize, length: usize) {
    let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&bytes);
    }
}

/// A string and its zero byte; a zero byte inside would end it early, so it is left out.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    if text.as_bytes().contains(&0) {
        out.extend(text.bytes().filter(|byte| *byte != 0));
    } else {
        out.put_slice(text.as_bytes());
    }
    out.put_u8(0);
}

/// A count of items in two bytes; the protocol allows 65,535.
pub(crate) fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// `1`
pub(crate) fn parse_complete(out: &mut BytesMut) {
    out.put_slice(b"1\0\0\0\x04");
}

/// `2`
pub(crate) fn bind_complete(out: &mut BytesMut) {
    out.put_slice(b"2\0\0\0\x04");
}

/// `3`
pub(crate) fn close_complete(out: &mut BytesMut) {
    out.put_slice(b"3\0\0\0\x04");
}

/// `n`
pub(crate) fn no_data(out: &mut BytesMut) {
    out.put_slice(b"n\0\0\0\x04");
}

/// `s`
pub(crate) fn portal_suspended(out: &mut BytesMut) {
    out.put_slice(b"s\0\0\0\x04");
}

/// `I`
pub(crate) fn empty_query(out: &mut BytesMut) {
    out.put_slice(b"I\0\0\0\x04");
}

/// `c`
pub(crate) fn copy_done(out: &mut BytesMut) {
    out.put_slice(b"c\0\0\0\x04");
}

/// `Z`
pub(crate) fn ready(out: &mut BytesMut, status: Status) {
    out.put_slice(b"Z\0\0\0\x05");
    out.put_u8(match status {
        Status::Idle => b'I',
        Status::Active => b'T',
        Status::Failed => b'E',
    });
}

/// `C`
pub(crate) fn command_complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| put_string(out, tag));
}

/// `S`
pub(crate) fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        put_string(out, name);
        put_string(out, value);
    });
}

/// `K`
pub(crate) fn backend_key(out: &mut BytesMut, process: i32, secret: &[u8]) {
    message(out, b'K', |out| {
        out.put_i32(process);
        out.put_slice(secret);
    });
}

/// `t`
pub(crate) fn parameter_description(out: &mut BytesMut, oids: &[u32]) {
    message(out, b't', |out| {
        put_count(out, oids.len());
        oids.iter().for_each(|oid| out.put_u32(*oid));
    });
}

/// `G` or `H`: COPY begins, every column in the same format (0 text, 1 binary).
pub(crate) fn copy_begins(out: &mut BytesMut, kind: u8, format: u8, columns: usize) {
    message(out, kind, |out| {
        out.put_u8(format);
        put_count(out, columns);
        (0..columns).for_each(|_| out.put_i16(i16::from(format)));
    });
}

/// `R`: a step of the login.
pub(crate) fn authentication(out: &mut BytesMut, code: i32, data: &[u8]) {
    message(out, b'R', |out| {
        out.put_i32(code);
        out.put_slice(data);
    });
}

/// `v`: the newest minor protocol version that is spoken, and the options that are not known.
pub(crate) fn negotiate(out: &mut BytesMut, version: i32, unknown: &[String]) {
    message(out, b'v', |out| {
        out.put_i32(version);
        out.put_i32(i32::try_from(unknown.len()).unwrap_or(i32::MAX));
        unknown.iter().for_each(|option| put_string(out, option));
    });
}

/// `E` or `N`: an error or a notice with all its fields.
pub(crate) fn problem(out: &mut BytesMut, kind: u8, problem: &Problem) {
    message(out, kind, |out| {
        for (field, value) in problem.fields() {
            out.put_u8(field);
            put_string(out, &value);
        }
        out.put_u8(0);
    });
}
