//! JSON as PostgreSQL takes it: checked for `json`, normalised for `jsonb`. Numbers stay exact text.

use crate::{Decimal, Refusal};

/// How deep a document may be nested.
const MAX_DEPTH: u32 = 512;

/// Digits that a number's plain form may have.
const MAX_NUMBER: usize = 1000;

/// Bytes that a document's numbers may have in plain form, as PostgreSQL bounds the whole document: a short
/// exponent makes a long number, and an array many of them.
const MAX_NUMBERS: usize = 268_435_455;

/// A parsed document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number in plain form: digits, at most one point, no exponent.
    Number(String),
    /// A text, unescaped.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object: keys by length, then bytes; each once.
    Object(Vec<(String, Self)>),
}

/// Checks that the text is JSON.
///
/// # Errors
/// 22P02 when it is not, 54001 when it is nested too deep.
pub fn check(text: &str) -> Result<(), Refusal> {
    Parser { text, at: 0, strict: false, room: MAX_NUMBERS }.document().map(drop)
}

/// The text in `jsonb`'s normal form.
///
/// # Errors
/// 22P02 when it is no JSON, 22P05 for an escaped NUL, 22003 for a number too long, 54001 when it is nested
/// too deep.
pub fn normalize(text: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(text.len() + 8);
    write(&parse(text)?, &mut out);
    Ok(out)
}

/// The document of a text, with `jsonb`'s rules.
pub(crate) fn parse(text: &str) -> Result<Json, Refusal> {
    Parser { text, at: 0, strict: true, room: MAX_NUMBERS }.document()
}

fn write(json: &Json, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => out.push_str(number),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(pairs) => {
            out.push('{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_string(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Walks the text. `strict` unescapes texts and takes numbers apart, as `jsonb` needs.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    strict: bool,
    /// Bytes that numbers may still take.
    room: usize,
}

impl Parser<'_> {
    fn invalid(&self) -> Refusal {
        let kind = if self.strict { "jsonb" } else { "json" };
        Refusal::data("22P02", format!("invalid input syntax for type {kind}"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Refusal> {
        if self.peek() != Some(wanted) {
            return Err(self.invalid());
        }
        self.at += 1;
        Ok(())
    }

    fn document(mut self) -> Result<Json, Refusal> {
        let value = self.value(0)?;
        self.skip_blanks();
        if self.at == self.text.len() { Ok(value) } else { Err(self.invalid()) }
    }

    fn value(&mut self, depth: u32) -> Result<Json, Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::data("54001", "JSON is nested too deep"));
        }
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json, Refusal> {
        for (word, value) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            let rest = self.text.get(self.at..).unwrap_or("");
            if let Some(after) = rest.strip_prefix(word) {
                let runs_on = after.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
                if !runs_on {
                    self.at += word.len();
                    return Ok(value);
                }
            }
        }
        Err(self.invalid())
    }

    fn array(&mut self, depth: u32) -> Result<Json, Refusal> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.expect(b']')?;
            return Ok(Json::Array(items));
        }
    }

    fn object(&mut self, depth: u32) -> Result<Json, Refusal> {
        self.expect(b'{')?;
        let mut pairs: Vec<(String, Json)> = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(pairs));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.invalid());
            }
            let key = self.string()?;
            self.skip_blanks();
            self.expect(b':')?;
            pairs.push((key, self.value(depth + 1)?));
            self.skip_blanks();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.expect(b'}')?;
            break;
        }
        // A stable sort keeps equal keys in order of appearance: of each run, the last is kept.
        pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        let mut unique: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match unique.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => unique.push(pair),
            }
        }
        Ok(Json::Object(unique))
    }

    fn string(&mut self) -> Result<String, Refusal> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or("");
            let plain = rest
                .bytes()
                .position(|b| b == b'"' || b == b'\\' || b < b' ')
                .ok_or_else(|| self.invalid())?;
            out.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain + 1;
            match rest.as_bytes().get(plain) {
                Some(b'"') => return Ok(out),
                Some(b'\\') => self.escape(&mut out)?,
                _ => return Err(self.invalid()),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Refusal> {
        let c = match self.peek() {
            Some(b'u') => {
                self.at += 1;
                return self.unicode(out);
            }
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.invalid()),
        };
        self.at += 1;
        out.push(c);
        Ok(())
    }

    fn four_digits(&mut self) -> Result<u32, Refusal> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.invalid())?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.invalid());
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.invalid())
    }

    fn unicode(&mut self, out: &mut String) -> Result<(), Refusal> {
        let first = self.four_digits()?;
        if !self.strict {
            return Ok(());
        }
        let code = if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let second = self.four_digits()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.invalid());
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        match char::from_u32(code) {
            Some('\0') => Err(Refusal::data("22P05", "unsupported Unicode escape sequence")),
            Some(c) => {
                out.push(c);
                Ok(())
            }
            None => Err(self.invalid()),
        }
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<String, Refusal> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.invalid());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.invalid());
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.invalid());
            }
        }
        if self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return Err(self.invalid());
        }
        let text = self.text.get(from..self.at).unwrap_or("");
        if !self.strict {
            return Ok(String::new());
        }
        let number = plain(text)?;
        let room = self.room.checked_sub(number.len());
        self.room = room.ok_or_else(|| Refusal::data("54000", "jsonb document is too long"))?;
        Ok(number)
    }
}

/// A number without exponent, with the scale that PostgreSQL's numeric gives it.
fn plain(text: &str) -> Result<String, Refusal> {
    if let Ok(small) = text.parse::<Decimal>()
        && usize::from(small.scale) >= fraction_digits(text)
    {
        return Ok(small.to_string());
    }
    let too_long = || Refusal::data("22003", "value overflows numeric format");
    let negative = text.starts_with('-');
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| too_long())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: String = [whole, fraction].concat();
    let point = i64::try_from(whole.len()).map_err(|_| too_long())?.saturating_add(exponent);
    if point.unsigned_abs() > MAX_NUMBER as u64 || digits.len() > MAX_NUMBER {
        return Err(too_long());
    }
    let mut point = point;
    while point < 1 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).map_err(|_| too_long())?;
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at_checked(point).unwrap_or((&digits, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && fraction.bytes().all(|b| b == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    let dot = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{dot}{fraction}"))
}

/// Digits after the point that a number's text asks for.
fn fraction_digits(text: &str) -> usize {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MIN);
    let wanted = i64::try_from(fraction).unwrap_or(i64::MAX).saturating_sub(exponent);
    usize::try_from(wanted.max(0)).unwrap_or(usize::MAX)
}
