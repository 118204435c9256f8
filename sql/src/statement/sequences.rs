//! Grammar of sequences, and of ALTER on relations where sqlparser has none.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::command::{Command, RelationChange, RelationKind, SequenceChange, SequenceOptions};
use super::tokens::Tokens;
use super::with_parser;
use crate::Error;

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    for temporary in [&["CREATE", "TEMPORARY", "SEQUENCE"], &["CREATE", "TEMP", "SEQUENCE"]] {
        if tokens.sees(temporary) {
            return Err(Error::unsupported(
                "CREATE TEMPORARY SEQUENCE",
                "Create an ordinary sequence and drop it afterwards.",
            ));
        }
    }
    let command = if tokens.takes(&["CREATE", "SEQUENCE"]) {
        let if_not_exists = tokens.takes(&["IF", "NOT", "EXISTS"]);
        let name = tokens.object_name()?;
        Command::CreateSequence { name, if_not_exists, options: options(tokens)? }
    } else if tokens.takes(&["ALTER", "SEQUENCE"]) {
        let if_exists = tokens.takes(&["IF", "EXISTS"]);
        let name = tokens.object_name()?;
        let change = match relation_change(tokens, false)? {
            Some(change) => SequenceChange::Relation(change),
            None => SequenceChange::Options(options(tokens)?),
        };
        Command::AlterSequence { name, if_exists, change }
    } else if let Some(command) = alter_relation(tokens)? {
        command
    } else {
        return Ok(None);
    };
    tokens.expect_end()?;
    Ok(Some(command))
}

/// ALTER VIEW, ALTER INDEX, and those of ALTER TABLE that sqlparser doesn't read.
fn alter_relation(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    let mark = tokens.mark();
    let kind = if tokens.takes(&["ALTER", "VIEW"]) {
        RelationKind::View
    } else if tokens.takes(&["ALTER", "INDEX"]) {
        RelationKind::Index
    } else if tokens.takes(&["ALTER", "TABLE"]) {
        RelationKind::Table
    } else {
        return Ok(None);
    };
    let if_exists = tokens.takes(&["IF", "EXISTS"]);
    tokens.takes(&["ONLY"]);
    let name = tokens.object_name()?;
    tokens.takes_token(&Token::Mul);
    if let Some(change) = relation_change(tokens, kind == RelationKind::View)? {
        return Ok(Some(Command::AlterRelation { kind, name, if_exists, change }));
    }
    if kind == RelationKind::Table {
        tokens.back_to(mark);
        return Ok(None);
    }
    Err(Error::unsupported(
        format!("this form of ALTER {}", kind.word().to_uppercase()),
        "Drop it and create it again.",
    ))
}

fn relation_change(tokens: &mut Tokens<'_>, view: bool) -> Result<Option<RelationChange>, Error> {
    if tokens.takes(&["RENAME", "TO"]) {
        return Ok(Some(RelationChange::Rename(tokens.name()?)));
    }
    if tokens.takes(&["SET", "SCHEMA"]) {
        return Ok(Some(RelationChange::SetSchema(tokens.name()?)));
    }
    if tokens.takes(&["OWNER", "TO"]) {
        return Ok(Some(RelationChange::Owner(tokens.name()?)));
    }
    if view && tokens.takes(&["RENAME"]) {
        tokens.takes(&["COLUMN"]);
        let old = tokens.name()?;
        tokens.expect(&["TO"])?;
        return Ok(Some(RelationChange::RenameColumn(old, tokens.name()?)));
    }
    Ok(None)
}

fn options(tokens: &mut Tokens<'_>) -> Result<SequenceOptions, Error> {
    let mut options = SequenceOptions::default();
    while !tokens.is_end() {
        if tokens.takes(&["AS"]) {
            let mut kind = Vec::new();
            kind.extend(tokens.next_with_span());
            options.kind = Some(with_parser(&tokens.sub(kind), Parser::parse_data_type)?);
        } else if tokens.takes(&["INCREMENT"]) {
            tokens.takes(&["BY"]);
            options.increment = Some(tokens.integer()?);
        } else if tokens.takes(&["START"]) {
            tokens.takes(&["WITH"]);
            options.start = Some(tokens.integer()?);
        } else if tokens.takes(&["RESTART"]) {
            tokens.takes(&["WITH"]);
            let number = matches!(tokens.peek(), Some(Token::Number(..) | Token::Minus));
            options.restart = Some(if number { Some(tokens.integer()?) } else { None });
        } else if tokens.takes(&["MINVALUE"]) {
            options.min = Some(Some(tokens.integer()?));
        } else if tokens.takes(&["MAXVALUE"]) {
            options.max = Some(Some(tokens.integer()?));
        } else if tokens.takes(&["NO", "MINVALUE"]) {
            options.min = Some(None);
        } else if tokens.takes(&["NO", "MAXVALUE"]) {
            options.max = Some(None);
        } else if tokens.takes(&["CACHE"]) {
            options.cache = Some(tokens.integer()?);
        } else if tokens.takes(&["CYCLE"]) {
            options.cycle = Some(true);
        } else if tokens.takes(&["NO", "CYCLE"]) {
            options.cycle = Some(false);
        } else if tokens.takes(&["OWNED", "BY"]) {
            options.owned_by =
                Some(if tokens.takes(&["NONE"]) { None } else { Some(tokens.qualified()?) });
        } else {
            return Err(tokens.syntax_error());
        }
    }
    Ok(options)
}
