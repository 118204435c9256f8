//! Puts PostgreSQL's own spellings into the words that sqlparser knows, before it reads a statement: token by
//! token, each new one at the place of the old. It knows no grammar beyond a token's neighbours.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::tokens::Tokens;
use crate::Error;
use crate::dialect::Postgres;

/// The column that a MERGE action without effect names: longer than any real column's name.
pub(crate) const NOTHING: &str =
    "the column of an action of MERGE that changes nothing, which no table has";
/// The same for `INSERT DEFAULT VALUES`.
pub(crate) const DEFAULTS: &str =
    "the column of an action of MERGE that inserts defaults, which no table has";

/// Rewrites a statement's tokens.
///
/// # Errors
/// 42601 for what PostgreSQL's own scanner refuses and sqlparser's takes.
pub(super) fn rewrite(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    let tokens = literals(text, tokens)?;
    let tokens = operators(tokens.into_iter().map(plain_word).collect());
    let tokens = table_command(tokens);
    let tokens = values_as_expression(tokens);
    Ok(merge_actions(tokens))
}

/// String literals on lines of their own are one; numbers end where their digits do.
fn literals(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Error> {
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let fault = |token: &TokenWithSpan, words: &str| Error::Syntax {
            message: match &token.token {
                Token::HexStringLiteral(digits) => format!("{words} at or near \"0x{digits}\""),
                other => format!("{words} at or near \"{other}\""),
            },
            position: super::character_at(text, token.span.start),
        };
        let junk = "trailing junk after numeric literal";
        if let Token::Number(digits, _) = &token.token
            && digits.contains('_')
        {
            return Err(fault(&token, junk));
        }
        if matches!(&token.token, Token::HexStringLiteral(_)) && begins_with_zero(text, &token) {
            return Err(fault(&token, junk));
        }
        let Some(last) = result.last_mut() else {
            result.push(token);
            continue;
        };
        let touches = last.span.end == token.span.start;
        if touches
            && matches!(last.token, Token::Number(..))
            && matches!(&token.token, Token::Word(word) if word.quote_style.is_none())
        {
            return Err(fault(last, junk));
        }
        let continues = matches!(token.token, Token::SingleQuotedString(_)) && !touches;
        match (&mut last.token, &token.token) {
            (
                Token::SingleQuotedString(first)
                | Token::EscapedStringLiteral(first)
                | Token::UnicodeStringLiteral(first)
                | Token::NationalStringLiteral(first),
                Token::SingleQuotedString(more),
            ) if continues => {
                if token.span.start.line == last.span.end.line {
                    return Err(fault(&token, "syntax error"));
                }
                first.push_str(more);
                last.span.end = token.span.end;
            }
            _ => result.push(token),
        }
    }
    Ok(result)
}

fn begins_with_zero(text: &str, token: &TokenWithSpan) -> bool {
    let at = super::character_at(text, token.span.start).and_then(|at| at.checked_sub(1));
    at.and_then(|at| text.chars().nth(at)) == Some('0')
}

/// Words that mean something to sqlparser and nothing to PostgreSQL.
const FOREIGN: &[Keyword] = &[
    Keyword::ANTI,
    Keyword::APPLY,
    Keyword::ASOF,
    Keyword::DISTRIBUTE,
    Keyword::MATCH_RECOGNIZE,
    Keyword::MINUS,
    Keyword::PIVOT,
    Keyword::PREWHERE,
    Keyword::PRIOR,
    Keyword::QUALIFY,
    Keyword::REGEXP,
    Keyword::RLIKE,
    Keyword::SAFE_CAST,
    Keyword::SAMPLE,
    Keyword::SEMI,
    Keyword::SORT,
    Keyword::STRUCT,
    Keyword::TOP,
    Keyword::TRY_CAST,
    Keyword::UNPIVOT,
];

fn plain_word(mut token: TokenWithSpan) -> TokenWithSpan {
    if let Token::Word(word) = &mut token.token
        && FOREIGN.contains(&word.keyword)
    {
        word.keyword = Keyword::NoKeyword;
    }
    token
}

/// `->-1` is `->` and `-1`: an operator ends in a sign only if it has one of the odd characters.
fn operators(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut result = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Token::CustomBinaryOperator(name) = &token.token else {
            result.push(token);
            continue;
        };
        let core = name.trim_end_matches(['+', '-']);
        let odd = name.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']);
        if odd || core.is_empty() || core.len() == name.len() {
            result.push(token);
            continue;
        }
        let dialect = Postgres::default();
        let front = Tokenizer::new(&dialect, core).tokenize().unwrap_or_default();
        let at = token.span.start;
        result.extend(front.into_iter().map(|token| TokenWithSpan::at(token, at, at)));
        let mut place = Location { line: at.line, column: at.column };
        for sign in name.get(core.len()..).unwrap_or_default().chars() {
            place.column += 1;
            let sign = if sign == '-' { Token::Minus } else { Token::Plus };
            result.push(TokenWithSpan::at(sign, place, place));
        }
    }
    result
}

/// `TABLE t` where a query may stand is `SELECT * FROM t`.
fn table_command(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let inserts = tokens.first().is_some_and(|token| Tokens::is_word(&token.token, "INSERT"));
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut depth = 0_i32;
    for token in tokens {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        let starts = match result.last().map(|last| &last.token) {
            None | Some(Token::LParen) => true,
            Some(before) => {
                let word = |word| Tokens::is_word(before, word);
                word("UNION")
                    || word("INTERSECT")
                    || word("EXCEPT")
                    || word("ALL") && result.len() > 1
                    || inserts && depth == 0 && !word("INTO")
            }
        };
        if !starts || !Tokens::is_word(&token.token, "TABLE") {
            result.push(token);
            continue;
        }
        let at = token.span;
        for part in [keyword("SELECT", Keyword::SELECT), Token::Mul, keyword("FROM", Keyword::FROM)]
        {
            result.push(TokenWithSpan::at(part, at.start, at.end));
        }
    }
    result
}

/// `(VALUES …)` where an expression may stand is `(SELECT * FROM (VALUES …))`.
fn values_as_expression(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let opens = |at: usize| {
        tokens.get(at).is_some_and(|token| token.token == Token::LParen)
            && tokens.get(at + 1).is_some_and(|token| Tokens::is_word(&token.token, "VALUES"))
    };
    if !(0..tokens.len()).any(opens) {
        return tokens;
    }
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    let mut closes = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        let relation =
            at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|last| {
                ["FROM", "JOIN", "AS", "LATERAL", "USING", "MATERIALIZED", "UNION", "ALL", "INTO"]
                    .iter()
                    .any(|word| Tokens::is_word(&last.token, word))
            });
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                if closes.last() == Some(&depth) {
                    closes.pop();
                    result.push(token.clone());
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        result.push(token.clone());
        if opens(at) && !relation {
            closes.push(depth);
            for part in [
                keyword("SELECT", Keyword::SELECT),
                Token::Mul,
                keyword("FROM", Keyword::FROM),
                Token::LParen,
            ] {
                result.push(TokenWithSpan::at(part, token.span.start, token.span.end));
            }
        }
    }
    result
}

fn keyword(text: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: text.to_owned(), quote_style: None, keyword })
}

/// The actions of MERGE that sqlparser has no words for, as writes to columns that no table has.
fn merge_actions(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| Tokens::is_word(&token.token, "MERGE")) {
        return tokens;
    }
    let mut result: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut unmatched = false;
    let mut skip = 0;
    for (index, token) in tokens.iter().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let is = |offset: usize, word: &str| {
            tokens.get(index + offset).is_some_and(|token| Tokens::is_word(&token.token, word))
        };
        if is(0, "WHEN") {
            unmatched = is(1, "NOT");
        }
        let action = if is(0, "THEN") && is(1, "DO") && is(2, "NOTHING") {
            if unmatched {
                format!("THEN INSERT (\"{NOTHING}\") VALUES (NULL)")
            } else {
                format!("THEN UPDATE SET \"{NOTHING}\" = NULL")
            }
        } else if is(0, "INSERT") && is(1, "DEFAULT") && is(2, "VALUES") {
            format!("INSERT (\"{DEFAULTS}\") VALUES (NULL)")
        } else {
            result.push(token.clone());
            continue;
        };
        skip = 2;
        let dialect = Postgres::default();
        let action = Tokenizer::new(&dialect, &action).tokenize().unwrap_or_default();
        let words = action.into_iter().filter(|token| !matches!(token, Token::Whitespace(_)));
        result.extend(words.map(|word| TokenWithSpan::at(word, token.span.start, token.span.end)));
    }
    result
}
