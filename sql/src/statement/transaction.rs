//! Grammar of transaction statements: BEGIN, COMMIT, ROLLBACK and their kind, savepoints, modes.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::command::{Command, Modes, TableLock};
use super::tokens::Tokens;
use crate::Error;

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    let command = if tokens.takes(&["BEGIN"]) {
        noise(tokens);
        Command::Begin { modes: modes(tokens)?, start: false }
    } else if tokens.takes(&["START", "TRANSACTION"]) {
        Command::Begin { modes: modes(tokens)?, start: true }
    } else if tokens.takes_any(&["COMMIT", "END"]).is_some() {
        if tokens.takes(&["PREPARED"]) {
            return Err(two_phase());
        }
        noise(tokens);
        Command::Commit { chain: chain(tokens)? }
    } else if tokens.takes_any(&["ROLLBACK", "ABORT"]).is_some() {
        if tokens.takes(&["PREPARED"]) {
            return Err(two_phase());
        }
        noise(tokens);
        if tokens.takes(&["TO"]) {
            tokens.takes(&["SAVEPOINT"]);
            Command::RollbackTo(tokens.name()?)
        } else {
            Command::Rollback { chain: chain(tokens)? }
        }
    } else if tokens.sees(&["PREPARE", "TRANSACTION"]) {
        return Err(two_phase());
    } else if tokens.takes(&["SAVEPOINT"]) {
        Command::Savepoint(tokens.name()?)
    } else if tokens.takes(&["RELEASE"]) {
        tokens.takes(&["SAVEPOINT"]);
        Command::Release(tokens.name()?)
    } else if tokens.takes(&["SET", "TRANSACTION"]) {
        if tokens.sees(&["SNAPSHOT"]) {
            return Err(Error::unsupported(
                "SET TRANSACTION SNAPSHOT",
                "SET ledger.as_of = 'block:n' reads the same state from any session.",
            ));
        }
        Command::SetTransaction(modes(tokens)?)
    } else if tokens.takes(&["SET", "SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        Command::SetCharacteristics(modes(tokens)?)
    } else if tokens.takes(&["LOCK"]) {
        lock(tokens)?
    } else {
        return Ok(None);
    };
    tokens.expect_end()?;
    Ok(Some(command))
}

fn two_phase() -> Error {
    Error::unsupported(
        "two-phase commit",
        "Set ledger.idempotency_key to make a retried COMMIT safe.",
    )
}

fn noise(tokens: &mut Tokens<'_>) {
    tokens.takes_any(&["WORK", "TRANSACTION"]);
}

fn chain(tokens: &mut Tokens<'_>) -> Result<bool, Error> {
    if !tokens.takes(&["AND"]) {
        return Ok(false);
    }
    let no = tokens.takes(&["NO"]);
    tokens.expect(&["CHAIN"])?;
    Ok(!no)
}

fn modes(tokens: &mut Tokens<'_>) -> Result<Modes, Error> {
    let mut modes = Modes::default();
    while !tokens.is_end() {
        if tokens.takes(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(isolation(tokens)?);
        } else if tokens.takes(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if tokens.takes(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if tokens.takes(&["NOT", "DEFERRABLE"]) {
            modes.deferrable = Some(false);
        } else if tokens.takes(&["DEFERRABLE"]) {
            modes.deferrable = Some(true);
        } else {
            return Err(tokens.syntax_error());
        }
        if tokens.takes_token(&Token::Comma) && tokens.is_end() {
            return Err(tokens.syntax_error());
        }
    }
    Ok(modes)
}

fn isolation(tokens: &mut Tokens<'_>) -> Result<&'static str, Error> {
    for words in [
        ("SERIALIZABLE", "", "serializable"),
        ("REPEATABLE", "READ", "repeatable read"),
        ("READ", "COMMITTED", "read committed"),
        ("READ", "UNCOMMITTED", "read uncommitted"),
    ] {
        let taken = if words.1.is_empty() {
            tokens.takes(&[words.0])
        } else {
            tokens.takes(&[words.0, words.1])
        };
        if taken {
            return Ok(words.2);
        }
    }
    Err(tokens.syntax_error())
}

fn lock(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    tokens.takes(&["TABLE"]);
    let mut tables = Vec::new();
    loop {
        tokens.takes(&["ONLY"]);
        tables.push(tokens.object_name()?);
        tokens.takes_token(&Token::Mul);
        if !tokens.takes_token(&Token::Comma) {
            break;
        }
    }
    let mode = if tokens.takes(&["IN"]) {
        let mode = if tokens.takes(&["ACCESS", "SHARE"])
            || tokens.takes(&["ROW", "SHARE"])
            || tokens.takes(&["ROW", "EXCLUSIVE"])
        {
            TableLock::Shared
        } else if tokens.takes(&["SHARE", "UPDATE", "EXCLUSIVE"])
            || tokens.takes(&["SHARE", "ROW", "EXCLUSIVE"])
            || tokens.takes(&["SHARE"])
            || tokens.takes(&["ACCESS", "EXCLUSIVE"])
            || tokens.takes(&["EXCLUSIVE"])
        {
            TableLock::Exclusive
        } else {
            return Err(tokens.syntax_error());
        };
        tokens.expect(&["MODE"])?;
        mode
    } else {
        TableLock::Exclusive
    };
    let nowait = tokens.takes(&["NOWAIT"]);
    Ok(Command::Lock { tables, mode, nowait })
}
