//! Statements that sqlparser reads, after what it can't read was taken out of their tokens: row
//! locks, OVERRIDING, a table's access method.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::{Command, Overriding, Query, RowLocks, RowWait, Strength};
use super::sqlparser_statement;
use super::tokens::{Tokens, parts_of};
use crate::Error;

pub(super) fn read(mut tokens: Tokens<'_>) -> Result<Command, Error> {
    super::refused::check(&mut tokens)?;
    let create = tokens.sees(&["CREATE"]);
    let locks = if create { Vec::new() } else { take_locks(&mut tokens)? };
    let overriding = if create { None } else { take_overriding(&mut tokens) };
    let using = if create { take_using(&mut tokens) } else { None };
    let empty = create && take_no_data(&mut tokens);
    let likes = if create { super::like::take(&mut tokens)? } else { Vec::new() };
    order_identity_options(tokens.rest_mut());
    let statement = sqlparser_statement(&tokens)?;
    if overriding.is_some() && matches!(statement, ast::Statement::Merge(_)) {
        return Err(Error::unsupported(
            "OVERRIDING in MERGE",
            "Leave the identity column away, or insert in a statement of its own.",
        ));
    }
    Ok(match statement {
        ast::Statement::Query(query) => match of_query(query, locks)? {
            Command::Insert { insert, with, .. } => Command::Insert { insert, with, overriding },
            other => other,
        },
        ast::Statement::Insert(insert) => {
            Command::Insert { insert: Box::new(insert), with: None, overriding }
        }
        ast::Statement::Update(update) => Command::Update { update: Box::new(update), with: None },
        ast::Statement::Delete(delete) => Command::Delete { delete: Box::new(delete), with: None },
        ast::Statement::Merge(merge) => Command::Merge { merge: Box::new(merge), with: None },
        ast::Statement::CreateTable(create) => {
            Command::CreateTable { create: Box::new(create), using, empty, likes }
        }
        other if using.is_some() && !matches!(other, ast::Statement::CreateIndex(_)) => {
            return Err(tokens.syntax_error());
        }
        other => Command::Other(Box::new(other)),
    })
}

/// A query alone, as in DECLARE and COPY.
pub(super) fn query(mut tokens: Tokens<'_>) -> Result<Query, Error> {
    let locks = take_locks(&mut tokens)?;
    match sqlparser_statement(&tokens)? {
        ast::Statement::Query(query) => match of_query(query, locks)? {
            Command::Query(query) => Ok(*query),
            _ => Err(Error::unsupported(
                "a statement that writes, here",
                "Run it on its own with RETURNING.",
            )),
        },
        _ => Err(tokens.syntax_error()),
    }
}

/// A query may be a writing statement behind WITH.
pub(super) fn of_query(mut query: Box<ast::Query>, locks: Vec<RowLocks>) -> Result<Command, Error> {
    let with = query.with.clone();
    match *query.body {
        ast::SetExpr::Insert(ast::Statement::Insert(insert)) => {
            return Ok(Command::Insert { insert: Box::new(insert), with, overriding: None });
        }
        ast::SetExpr::Update(ast::Statement::Update(update)) => {
            return Ok(Command::Update { update: Box::new(update), with });
        }
        ast::SetExpr::Delete(ast::Statement::Delete(delete)) => {
            return Ok(Command::Delete { delete: Box::new(delete), with });
        }
        ast::SetExpr::Merge(ast::Statement::Merge(merge)) => {
            return Ok(Command::Merge { merge: Box::new(merge), with });
        }
        _ => {}
    }
    let into = match query.body.as_mut() {
        ast::SetExpr::Select(select) => match select.into.take() {
            Some(into) => Some((parts_of(&into.name)?, into.temporary)),
            None => None,
        },
        _ => None,
    };
    Ok(Command::Query(Box::new(Query { query, locks, into })))
}

fn is_word(token: Option<&TokenWithSpan>, word: &str) -> bool {
    token.is_some_and(|token| Tokens::is_word(&token.token, word))
}

/// Row locks: those at the statement's own level, wherever they stand.
fn take_locks(tokens: &mut Tokens<'_>) -> Result<Vec<RowLocks>, Error> {
    let all = tokens.rest_mut();
    let mut locks = Vec::new();
    let mut depth = 0_i32;
    let mut at = 0;
    while at < all.len() {
        match all.get(at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            _ => {}
        }
        if depth == 0
            && is_word(all.get(at), "FOR")
            && let Some((strength, words)) = strength(all, at + 1)
        {
            let mut end = at + 1 + words;
            let of = lock_names(all, &mut end);
            let wait = if is_word(all.get(end), "NOWAIT") {
                end += 1;
                RowWait::NoWait
            } else if is_word(all.get(end), "SKIP") && is_word(all.get(end + 1), "LOCKED") {
                end += 2;
                RowWait::SkipLocked
            } else {
                RowWait::Wait
            };
            locks.push(RowLocks { strength, of, wait });
            all.drain(at..end);
            continue;
        }
        at += 1;
    }
    Ok(locks)
}

fn strength(all: &[TokenWithSpan], at: usize) -> Option<(Strength, usize)> {
    const FORMS: [(&[&str], Strength); 4] = [
        (&["NO", "KEY", "UPDATE"], Strength::NoKeyUpdate),
        (&["KEY", "SHARE"], Strength::KeyShare),
        (&["UPDATE"], Strength::Update),
        (&["SHARE"], Strength::Share),
    ];
    FORMS.iter().find_map(|(words, strength)| {
        let found =
            words.iter().enumerate().all(|(offset, word)| is_word(all.get(at + offset), word));
        found.then_some((*strength, words.len()))
    })
}

fn lock_names(all: &[TokenWithSpan], end: &mut usize) -> Vec<String> {
    let mut names = Vec::new();
    if !is_word(all.get(*end), "OF") {
        return names;
    }
    *end += 1;
    while let Some(Token::Word(word)) = all.get(*end).map(|token| &token.token) {
        names.push(super::tokens::folded(&word.value, word.quote_style.is_some()));
        *end += 1;
        if all.get(*end).map(|token| &token.token) != Some(&Token::Comma) {
            break;
        }
        *end += 1;
    }
    names
}

/// `INSERT … OVERRIDING {SYSTEM|USER} VALUE`
fn take_overriding(tokens: &mut Tokens<'_>) -> Option<Overriding> {
    let all = tokens.rest_mut();
    let mut depth = 0_i32;
    let at = (0..all.len()).find(|at| {
        match all.get(*at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            _ => {}
        }
        depth == 0 && is_word(all.get(*at), "OVERRIDING") && is_word(all.get(at + 2), "VALUE")
    })?;
    let kind = if is_word(all.get(at + 1), "SYSTEM") {
        Overriding::System
    } else if is_word(all.get(at + 1), "USER") {
        Overriding::User
    } else {
        return None;
    };
    all.drain(at..at + 3);
    Some(kind)
}

/// `CREATE TABLE … AS … WITH [NO] DATA`; gives whether the table stays empty.
fn take_no_data(tokens: &mut Tokens<'_>) -> bool {
    let all = tokens.rest_mut();
    let ends = |words: &[&str]| {
        let from = all.len().checked_sub(words.len());
        from.filter(|from| {
            words.iter().enumerate().all(|(at, word)| is_word(all.get(from + at), word))
        })
    };
    if let Some(from) = ends(&["WITH", "NO", "DATA"]) {
        all.truncate(from);
        return true;
    }
    if let Some(from) = ends(&["WITH", "DATA"]) {
        all.truncate(from);
    }
    false
}

/// The options in `IDENTITY (…)` may come in any order; sqlparser wants its own.
fn order_identity_options(all: &mut [TokenWithSpan]) {
    const ORDER: [&str; 6] = ["INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE"];
    let mut at = 0;
    while at + 1 < all.len() {
        let opens = is_word(all.get(at), "IDENTITY")
            && all.get(at + 1).map(|token| &token.token) == Some(&Token::LParen);
        at += 1;
        if !opens {
            continue;
        }
        let from = at + 1;
        let length = all.iter().skip(from).position(|token| token.token == Token::RParen);
        let Some(options) = length.and_then(|length| all.get_mut(from..from + length)) else {
            return;
        };
        let mut groups: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        let mut no = false;
        for token in options.iter() {
            let place = ORDER.iter().position(|word| Tokens::is_word(&token.token, word));
            match place {
                // `NO MINVALUE` begins with its NO.
                Some(place) if no => {
                    if let Some(group) = groups.last_mut() {
                        group.0 = place;
                        group.1.push(token.clone());
                    }
                }
                Some(place) => groups.push((place, vec![token.clone()])),
                None if Tokens::is_word(&token.token, "NO") => {
                    groups.push((ORDER.len(), vec![token.clone()]));
                }
                None => match groups.last_mut() {
                    Some(group) => group.1.push(token.clone()),
                    None => groups.push((0, vec![token.clone()])),
                },
            }
            no = Tokens::is_word(&token.token, "NO");
        }
        groups.sort_by_key(|(place, _)| *place);
        let ordered = groups.into_iter().flat_map(|(_, group)| group);
        for (slot, token) in options.iter_mut().zip(ordered) {
            *slot = token;
        }
    }
}

/// `CREATE TABLE … USING method`
fn take_using(tokens: &mut Tokens<'_>) -> Option<String> {
    if !(1..5).any(|at| is_word(tokens.rest().get(at), "TABLE")) {
        return None;
    }
    let all = tokens.rest_mut();
    let mut depth = 0_i32;
    for at in 0..all.len() {
        match all.get(at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            Some(Token::Word(_)) if depth == 0 && is_word(all.get(at), "AS") => return None,
            Some(Token::Word(_)) if depth == 0 && is_word(all.get(at), "USING") => {
                let Some(Token::Word(method)) = all.get(at + 1).map(|token| &token.token) else {
                    return None;
                };
                let method = super::tokens::folded(&method.value, method.quote_style.is_some());
                all.drain(at..at + 2);
                return Some(method);
            }
            _ => {}
        }
    }
    None
}
