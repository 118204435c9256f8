//! `LIKE table INCLUDING …` in CREATE TABLE, which may stand anywhere among the columns.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::Like;
use super::tokens::Tokens;
use crate::Error;

/// Takes the LIKE clauses out of a CREATE TABLE.
///
/// # Errors
/// 42601
pub(super) fn take(tokens: &mut Tokens<'_>) -> Result<Vec<Like>, Error> {
    let all = tokens.rest_mut();
    let word = |all: &[TokenWithSpan], at: usize, word: &str| {
        all.get(at).is_some_and(|token| Tokens::is_word(&token.token, word))
    };
    let is = |all: &[TokenWithSpan], at: usize, wanted: &Token| {
        all.get(at).is_some_and(|token| token.token == *wanted)
    };
    if !(1..4).any(|at| word(all, at, "TABLE")) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let (mut depth, mut items, mut at) = (0_i32, 0_usize, 0_usize);
    while at < all.len() {
        match all.get(at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            Some(Token::Comma) if depth == 1 => items += 1,
            Some(Token::Word(_)) if depth == 0 && word(all, at, "AS") => break,
            Some(Token::Word(_))
                if depth == 1
                    && word(all, at, "LIKE")
                    && at.checked_sub(1).is_some_and(|before| {
                        is(all, before, &Token::LParen) || is(all, before, &Token::Comma)
                    }) =>
            {
                let end = (at..all.len())
                    .find(|end| is(all, *end, &Token::Comma) || is(all, *end, &Token::RParen))
                    .unwrap_or(all.len());
                let clause: Vec<TokenWithSpan> = all.drain(at..end).collect();
                // One of the commas beside it goes with it.
                if is(all, at, &Token::Comma) {
                    all.remove(at);
                } else if at > 0 && is(all, at - 1, &Token::Comma) {
                    all.remove(at - 1);
                    at -= 1;
                    items = items.saturating_sub(1);
                }
                found.push((clause, items));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found.into_iter().map(|(clause, at)| read(tokens.sub(clause), at)).collect()
}

fn read(mut tokens: Tokens<'_>, at: usize) -> Result<Like, Error> {
    tokens.expect(&["LIKE"])?;
    let mut like = Like {
        table: tokens.object_name()?,
        at,
        defaults: false,
        constraints: false,
        indexes: false,
        identity: false,
        comments: false,
    };
    while !tokens.is_end() {
        let including = match tokens.takes_any(&["INCLUDING", "EXCLUDING"]) {
            Some(word) => word == "INCLUDING",
            None => return Err(tokens.syntax_error()),
        };
        match tokens.name()?.as_str() {
            "all" => {
                like.defaults = including;
                like.constraints = including;
                like.indexes = including;
                like.identity = including;
                like.comments = including;
            }
            "defaults" => like.defaults = including,
            "constraints" => like.constraints = including,
            "indexes" => like.indexes = including,
            "identity" => like.identity = including,
            "comments" => like.comments = including,
            // There is nothing of these that could be copied.
            "storage" | "compression" | "statistics" | "generated" => {}
            _ => return Err(tokens.syntax_error()),
        }
    }
    Ok(like)
}
