//! Grammar of cursors: DECLARE, FETCH, MOVE, CLOSE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::command::{Command, Direction};
use super::data;
use super::tokens::Tokens;
use crate::Error;

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    let command = if tokens.takes(&["DECLARE"]) {
        return declare(tokens).map(Some);
    } else if tokens.takes(&["FETCH"]) {
        let (direction, name) = fetch(tokens)?;
        Command::Fetch { name, direction, moves: false }
    } else if tokens.takes(&["MOVE"]) {
        let (direction, name) = fetch(tokens)?;
        Command::Fetch { name, direction, moves: true }
    } else if tokens.takes(&["CLOSE"]) {
        if tokens.takes(&["ALL"]) {
            Command::Close(None)
        } else {
            Command::Close(Some(tokens.name()?))
        }
    } else {
        return Ok(None);
    };
    tokens.expect_end()?;
    Ok(Some(command))
}

fn declare(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let name = tokens.name()?;
    let mut scroll = true;
    loop {
        if tokens.takes(&["BINARY"]) {
            return Err(Error::unsupported(
                "DECLARE … BINARY CURSOR",
                "Ask for binary results in the extended protocol.",
            ));
        } else if tokens.takes(&["NO", "SCROLL"]) {
            scroll = false;
        } else if tokens.takes_any(&["ASENSITIVE", "INSENSITIVE", "SCROLL"]).is_none() {
            break;
        }
    }
    tokens.expect(&["CURSOR"])?;
    let mut hold = false;
    if tokens.takes(&["WITH", "HOLD"]) {
        hold = true;
    } else {
        tokens.takes(&["WITHOUT", "HOLD"]);
    }
    tokens.expect(&["FOR"])?;
    let query = Box::new(data::query(tokens.split_off())?);
    Ok(Command::Declare { name, hold, scroll, query })
}

fn fetch(tokens: &mut Tokens<'_>) -> Result<(Direction, String), Error> {
    let direction = direction(tokens)?;
    tokens.takes_any(&["FROM", "IN"]);
    Ok((direction, tokens.name()?))
}

fn is_number(tokens: &Tokens<'_>) -> bool {
    matches!(tokens.peek(), Some(Token::Number(..) | Token::Minus | Token::Plus))
}

fn direction(tokens: &mut Tokens<'_>) -> Result<Direction, Error> {
    if is_number(tokens) {
        return Ok(Direction::Relative(tokens.integer()?));
    }
    let mark = tokens.mark();
    let word = tokens.takes_any(&[
        "NEXT", "PRIOR", "FIRST", "LAST", "ALL", "ABSOLUTE", "RELATIVE", "FORWARD", "BACKWARD",
    ]);
    // A cursor may bear one of these names.
    if word.is_some() && tokens.is_end() {
        tokens.back_to(mark);
        return Ok(Direction::Relative(1));
    }
    Ok(match word {
        Some("PRIOR") => Direction::Relative(-1),
        Some("FIRST") => Direction::Absolute(1),
        Some("LAST") => Direction::Absolute(-1),
        Some("ALL") => Direction::All { back: false },
        Some("ABSOLUTE") => Direction::Absolute(tokens.integer()?),
        Some("RELATIVE") => Direction::Offset(tokens.integer()?),
        Some(way @ ("FORWARD" | "BACKWARD")) => {
            let back = way == "BACKWARD";
            if tokens.takes(&["ALL"]) {
                Direction::All { back }
            } else {
                let count = if is_number(tokens) { tokens.integer()? } else { 1 };
                Direction::Relative(if back { count.saturating_neg() } else { count })
            }
        }
        _ => Direction::Relative(1),
    })
}
