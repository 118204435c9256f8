//! Statements as they are kept for the audit: literals and parameters become `$n`, blanks are folded,
//! so that nothing that may have to be erased hides in a text.

#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use ledger::Value;

use crate::outcome::Parameter;

/// Most literals of a text that becomes a template.
const MOST_LITERALS: usize = 1000;

/// A text with a parameter for each integer and each string.
#[derive(Debug, PartialEq)]
pub(crate) struct Template {
    pub(crate) text: String,
    /// The literals, `$1` first; a string's type is open.
    pub(crate) parameters: Vec<Parameter>,
}

/// Makes a template of a text of one statement, for statements that come again with other literals;
/// `None` for a text that has more than plain names, numbers and strings.
pub(crate) fn template(text: &str) -> Option<Template> {
    let mut template =
        Template { text: String::with_capacity(text.len() + 8), parameters: Vec::new() };
    let mut rest = text.trim_end().trim_end_matches(';').trim_end();
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\'' if is_name(before) || before == '&' => return None,
            '\'' => {
                let (value, length) = string(rest)?;
                template.put(Parameter { oid: 0, value: Some(Value::Text(value)) })?;
                length
            }
            '0'..='9' => {
                let length = rest.find(|c| !(is_name(c) || c == '.')).unwrap_or(rest.len());
                let digits = rest.get(..length)?;
                match integer(digits).filter(|_| before != '.') {
                    Some(parameter) => template.put(parameter)?,
                    None => template.text.push_str(digits),
                }
                length
            }
            '"' => {
                let length = rest.get(1..)?.find('"')? + 2;
                template.text.push_str(rest.get(..length)?);
                length
            }
            c if is_name(c) => {
                let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                template.text.push_str(rest.get(..length)?);
                length
            }
            '$' | ';' | '\\' => return None,
            '-' if rest.starts_with("--") => return None,
            '/' if rest.starts_with("/*") => return None,
            c => {
                template.text.push(c);
                c.len_utf8()
            }
        };
        before = rest.get(..taken)?.chars().next_back()?;
        rest = rest.get(taken..)?;
    }
    Some(template)
}

impl Template {
    fn put(&mut self, parameter: Parameter) -> Option<()> {
        self.parameters.push(parameter);
        let number = self.parameters.len();
        self.text.push('$');
        self.text.push_str(&number.to_string());
        (number <= MOST_LITERALS).then_some(())
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// The value of a string at the text's beginning, and its length with its quotes.
fn string(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut at = 1;
    loop {
        let part = text.get(at..)?;
        let end = part.find('\'')?;
        value.push_str(part.get(..end)?);
        at += end + 1;
        if !text.get(at..)?.starts_with('\'') {
            return Some((value, at));
        }
        value.push('\'');
        at += 1;
    }
}

fn integer(digits: &str) -> Option<Parameter> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (oid, value) = match digits.parse::<i32>() {
        Ok(number) => (23, Value::Int4(number)),
        Err(_) => (20, Value::Int8(digits.parse().ok()?)),
    };
    Some(Parameter { oid, value: Some(value) })
}

/// A statement without its literals.
pub(crate) fn statement(text: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize() else {
        // Only what was parsed gets here; anything else is kept out.
        return String::new();
    };
    let mut out = String::with_capacity(text.len());
    let mut literals = 0;
    let mut blank = false;
    for token in &tokens {
        match token {
            Token::Whitespace(_) => {
                blank = !out.is_empty();
                continue;
            }
            Token::EOF => break,
            _ => {}
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
        }
        if is_literal(token) {
            literals += 1;
            out.push_str(&format!("${literals}"));
        } else {
            out.push_str(&token.to_string());
        }
    }
    out
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::Placeholder(_)
    )
}
