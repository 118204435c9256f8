//! Statements as they are kept for the audit: literals and parameters become `$n`, blanks are folded,
//! so that nothing that may have to be erased hides in a text.

#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

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
