//! Grammar of session statements: SET, SHOW, RESET, DISCARD, PREPARE, EXECUTE, EXPLAIN, and those that
//! have nothing to do here.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::command::{Command, ExplainOptions};
use super::tokens::Tokens;
use super::{command_of, with_parser};
use crate::Error;

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    let command = if tokens.takes(&["SET"]) {
        set(tokens)?
    } else if tokens.takes(&["SHOW"]) {
        show(tokens)?
    } else if tokens.takes(&["RESET"]) {
        reset(tokens)?
    } else if tokens.takes(&["DISCARD"]) {
        match tokens.takes_any(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) {
            Some("TEMPORARY") => Command::Discard("TEMP"),
            Some(what) => Command::Discard(what),
            None => return Err(tokens.syntax_error()),
        }
    } else if tokens.takes(&["DEALLOCATE"]) {
        tokens.takes(&["PREPARE"]);
        if tokens.takes(&["ALL"]) {
            Command::Deallocate(None)
        } else {
            Command::Deallocate(Some(tokens.name()?))
        }
    } else if tokens.takes(&["PREPARE"]) {
        return prepare(tokens).map(Some);
    } else if tokens.takes(&["EXECUTE"]) {
        execute(tokens)?
    } else if tokens.takes(&["EXPLAIN"]) {
        return explain(tokens).map(Some);
    } else if tokens.takes(&["UNLISTEN"]) {
        if !tokens.takes_token(&Token::Mul) {
            tokens.name()?;
        }
        Command::Nothing { tag: "UNLISTEN", tables: Vec::new() }
    } else if tokens.takes(&["CHECKPOINT"]) {
        Command::Nothing { tag: "CHECKPOINT", tables: Vec::new() }
    } else if tokens.sees(&["VACUUM"]) || tokens.sees(&["ANALYZE"]) || tokens.sees(&["ANALYSE"]) {
        maintenance(tokens)?
    } else {
        refuse(tokens)?;
        return Ok(None);
    };
    tokens.expect_end()?;
    Ok(Some(command))
}

/// What Stele doesn't do, with what to do instead.
fn refuse(tokens: &Tokens<'_>) -> Result<(), Error> {
    const REFUSED: &[(&[&str], &str)] = &[
        (&["LISTEN"], "Read ledger.transactions for what is new since a height."),
        (&["NOTIFY"], "Read ledger.transactions for what is new since a height."),
        (&["DO"], "Run the statements one by one: there is no procedural language."),
        (&["CALL"], "There are no procedures; run the statements one by one."),
        (&["CREATE", "FUNCTION"], "There are no functions of users."),
        (&["CREATE", "OR", "REPLACE", "FUNCTION"], "There are no functions of users."),
        (&["CREATE", "PROCEDURE"], "There are no procedures of users."),
        (&["CREATE", "TRIGGER"], "There are no triggers; constraints are checked by every node."),
        (&["CREATE", "EXTENSION"], "There are no extensions."),
        (&["CREATE", "TYPE"], "Use the built-in types."),
        (&["CREATE", "DOMAIN"], "Use a built-in type with a CHECK constraint."),
        (&["CREATE", "MATERIALIZED"], "Use a view, or a table."),
        (&["REFRESH"], "Use a view, or a table."),
        (&["CREATE", "DATABASE"], "A node serves one database in this version."),
        (&["DROP", "DATABASE"], "A ledger's database can't be dropped."),
        (&["CREATE", "UNLOGGED"], "Every table is durable: leave the word out."),
        (&["CREATE", "POLICY"], "Use GRANT and views."),
        (&["CREATE", "RULE"], "There are no rewrite rules."),
        (&["CREATE", "PUBLICATION"], "Read ledger.transactions for what is new since a height."),
        (&["CREATE", "SUBSCRIPTION"], "Read ledger.transactions for what is new since a height."),
        (&["CREATE", "TABLESPACE"], "There is one place for data: the node's directory."),
        (&["CREATE", "COLLATION"], "Text is compared by bytes."),
        (&["CREATE", "AGGREGATE"], "There are no functions of users."),
        (&["CREATE", "OPERATOR"], "There are no operators of users."),
        (&["CREATE", "CAST"], "There are no casts of users."),
        (&["REINDEX"], "Indexes are derived from the blocks: there is nothing to rebuild."),
        (&["CLUSTER"], "Rows lie in the order of the chain."),
        (&["IMPORT"], "There are no foreign tables."),
        (&["SECURITY"], "There are no security labels."),
        (&["REASSIGN"], "ALTER … OWNER TO changes one owner."),
        (&["ALTER", "DEFAULT", "PRIVILEGES"], "Grant on the objects after they are made."),
        (&["ALTER", "SYSTEM"], "Settings of the node are in its configuration file."),
        (&["ALTER", "DATABASE"], "Set it for the session, or in the node's configuration."),
    ];
    for (words, hint) in REFUSED {
        if tokens.sees(words) {
            return Err(Error::unsupported(words.join(" "), *hint));
        }
    }
    Ok(())
}

fn set(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    if tokens.takes(&["CONSTRAINTS"]) {
        return constraints(tokens);
    }
    let local = tokens.takes(&["LOCAL"]);
    let session = !local && tokens.takes(&["SESSION"]);
    if tokens.takes(&["AUTHORIZATION"]) && session {
        return Ok(Command::SetAuthorization(role(tokens, "DEFAULT")?));
    }
    if tokens.takes(&["ROLE"]) {
        return Ok(Command::SetRole(role(tokens, "NONE")?));
    }
    if tokens.takes(&["TIME", "ZONE"]) {
        let value = match tokens.takes_any(&["DEFAULT", "LOCAL"]) {
            Some(_) => None,
            None => Some(zone(tokens)?),
        };
        return Ok(Command::Set { name: "timezone".to_string(), value, local });
    }
    if tokens.takes(&["NAMES"]) {
        let value = if tokens.takes(&["DEFAULT"]) { None } else { Some(word(tokens)?) };
        return Ok(Command::Set { name: "client_encoding".to_string(), value, local });
    }
    let name = tokens.qualified()?.join(".");
    if !tokens.takes(&["TO"]) {
        tokens.expect_token(&Token::Eq)?;
    }
    if tokens.takes(&["DEFAULT"]) {
        return Ok(Command::Set { name, value: None, local });
    }
    let quotes = name.eq_ignore_ascii_case("search_path");
    let mut values = vec![value(tokens, quotes)?];
    while tokens.takes_token(&Token::Comma) {
        values.push(value(tokens, quotes)?);
    }
    Ok(Command::Set { name, value: Some(values.join(", ")), local })
}

fn constraints(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    if !tokens.takes(&["ALL"]) {
        tokens.object_names()?;
    }
    if tokens.takes(&["IMMEDIATE"]) {
        // Every constraint is checked at once, so that this is what holds already.
        return Ok(Command::SetConstraints);
    }
    tokens.expect(&["DEFERRED"])?;
    Err(Error::unsupported(
        "SET CONSTRAINTS DEFERRED",
        "Constraints are checked at the end of each statement.",
    ))
}

fn role(tokens: &mut Tokens<'_>, none: &str) -> Result<Option<String>, Error> {
    if tokens.takes(&[none]) {
        return Ok(None);
    }
    match tokens.peek() {
        Some(Token::SingleQuotedString(_)) => tokens.string().map(Some),
        _ => tokens.name().map(Some),
    }
}

fn zone(tokens: &mut Tokens<'_>) -> Result<String, Error> {
    if tokens.takes(&["INTERVAL"]) {
        let text = tokens.string()?;
        tokens.takes(&["HOUR", "TO", "MINUTE"]);
        return Ok(text);
    }
    word(tokens)
}

/// One value of SET, as the setting's own check wants it.
fn value(tokens: &mut Tokens<'_>, quotes: bool) -> Result<String, Error> {
    match tokens.peek() {
        Some(Token::Word(found)) if quotes => {
            let quoted = found.quote_style.is_some();
            let name = tokens.name()?;
            Ok(if quoted { format!("\"{}\"", name.replace('"', "\"\"")) } else { name })
        }
        Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)) if quotes => {
            let text = tokens.string()?;
            let plain =
                text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            Ok(if plain || text.contains(['"', ',']) { text } else { format!("\"{text}\"") })
        }
        _ => word(tokens),
    }
}

/// A word, a number with its sign, or a text in quotes.
fn word(tokens: &mut Tokens<'_>) -> Result<String, Error> {
    let sign = if tokens.takes_token(&Token::Minus) {
        "-"
    } else {
        tokens.takes_token(&Token::Plus);
        ""
    };
    match tokens.peek() {
        Some(Token::Number(number, _)) => {
            let text = format!("{sign}{number}");
            tokens.next();
            Ok(text)
        }
        Some(Token::Word(_)) if sign.is_empty() => tokens.name(),
        _ if sign.is_empty() => tokens.string(),
        _ => Err(tokens.syntax_error()),
    }
}

fn show(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    if tokens.takes(&["ALL"]) {
        return Ok(Command::ShowAll);
    }
    if tokens.takes(&["TIME", "ZONE"]) {
        return Ok(Command::Show("timezone".to_string()));
    }
    if tokens.takes(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok(Command::Show("transaction_isolation".to_string()));
    }
    if tokens.takes(&["SESSION", "AUTHORIZATION"]) {
        return Ok(Command::Show("session_authorization".to_string()));
    }
    Ok(Command::Show(tokens.qualified()?.join(".")))
}

fn reset(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    if tokens.takes(&["ALL"]) {
        return Ok(Command::ResetAll);
    }
    if tokens.takes(&["ROLE"]) {
        return Ok(Command::SetRole(None));
    }
    if tokens.takes(&["SESSION", "AUTHORIZATION"]) {
        return Ok(Command::SetAuthorization(None));
    }
    if tokens.takes(&["TIME", "ZONE"]) {
        return Ok(Command::Reset("timezone".to_string()));
    }
    Ok(Command::Reset(tokens.qualified()?.join(".")))
}

fn prepare(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let name = tokens.name()?;
    let mut types = Vec::new();
    if let Some(inner) = tokens.in_parentheses()? {
        types =
            with_parser(&inner, |parser| parser.parse_comma_separated(Parser::parse_data_type))?;
    }
    tokens.expect(&["AS"])?;
    let statement = Box::new(command_of(tokens.split_off())?);
    Ok(Command::Prepare { name, types, statement })
}

fn execute(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let name = tokens.name()?;
    let mut arguments = Vec::new();
    if tokens.takes_token(&Token::LParen) {
        let rest = tokens.split_off();
        let mut inner = rest.rest();
        if inner.pop().map(|token| token.token) != Some(Token::RParen) {
            return Err(rest.end_of_input());
        }
        if !inner.is_empty() {
            arguments = with_parser(&rest.sub(inner), |parser| {
                parser.parse_comma_separated(Parser::parse_expr)
            })?;
        }
    }
    Ok(Command::Execute { name, arguments })
}

fn explain(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let mut options = ExplainOptions::default();
    if tokens.takes_token(&Token::LParen) {
        loop {
            let name = tokens.name()?;
            if name == "format" {
                options.json = match tokens.name()?.as_str() {
                    "text" => false,
                    "json" => true,
                    other => {
                        return Err(Error::unsupported(
                            format!("EXPLAIN (FORMAT {other})"),
                            "The formats are TEXT and JSON.",
                        ));
                    }
                };
            } else {
                let on = match tokens.takes_any(&["TRUE", "ON", "FALSE", "OFF"]) {
                    Some(word) => matches!(word, "TRUE" | "ON"),
                    None => true,
                };
                match name.as_str() {
                    "analyze" | "analyse" => options.analyze = on,
                    "verbose" => options.verbose = on,
                    "costs" | "timing" | "summary" | "buffers" | "settings" | "wal" => {}
                    other => {
                        return Err(Error::new(
                            "42601",
                            format!("unrecognized EXPLAIN option \"{other}\""),
                        ));
                    }
                }
            }
            if !tokens.takes_token(&Token::Comma) {
                break;
            }
        }
        tokens.expect_token(&Token::RParen)?;
    } else {
        options.analyze = tokens.takes_any(&["ANALYZE", "ANALYSE"]).is_some();
        options.verbose = tokens.takes(&["VERBOSE"]);
    }
    let statement = Box::new(command_of(tokens.split_off())?);
    Ok(Command::Explain { options, statement })
}

/// VACUUM and ANALYZE: names are checked, options must be PostgreSQL's.
fn maintenance(tokens: &mut Tokens<'_>) -> Result<Command, Error> {
    let tag = if tokens.takes(&["VACUUM"]) { "VACUUM" } else { "ANALYZE" };
    tokens.takes_any(&["ANALYZE", "ANALYSE"]);
    if tokens.takes_token(&Token::LParen) {
        while !tokens.takes_token(&Token::RParen) {
            if tokens.next().is_none() {
                return Err(tokens.syntax_error());
            }
        }
    }
    while tokens.takes_any(&["FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"]).is_some() {}
    let mut tables = Vec::new();
    while !tokens.is_end() {
        tables.push(tokens.object_name()?);
        if tokens.takes_token(&Token::LParen) {
            tokens.names()?;
            tokens.expect_token(&Token::RParen)?;
        }
        if !tokens.takes_token(&Token::Comma) {
            break;
        }
    }
    Ok(Command::Nothing { tag, tables })
}
