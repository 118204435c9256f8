//! Grammar of COPY, with the options in parentheses and the older ones without.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::command::{Command, Copy, CopyWhat};
use super::tokens::Tokens;
use super::{data, with_parser};
use crate::Error;
use crate::copy::{CopyFormat, CopyOptions};

pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Option<Command>, Error> {
    if !tokens.takes(&["COPY"]) {
        return Ok(None);
    }
    tokens.takes(&["BINARY"]);
    let what = what(tokens)?;
    let from = match tokens.takes_any(&["FROM", "TO"]) {
        Some(word) => word == "FROM",
        None => return Err(tokens.syntax_error()),
    };
    if from && !matches!(what, CopyWhat::Table { .. }) {
        return Err(tokens.syntax_error());
    }
    if tokens.takes_any(&["STDIN", "STDOUT"]).is_none() {
        return Err(Error::unsupported(
            "COPY with a file or a program on the server",
            "Use psql's \\copy, or COPY … FROM STDIN and TO STDOUT.",
        ));
    }
    let mut copy = Copy {
        what,
        from,
        options: CopyOptions::default(),
        force_null: Vec::new(),
        force_not_null: Vec::new(),
        force_quote: None,
        filter: None,
    };
    let mut given = Given::default();
    tokens.takes(&["WITH"]);
    if tokens.takes_token(&Token::LParen) {
        options(tokens, &mut copy, &mut given)?;
    } else {
        older_options(tokens, &mut copy, &mut given)?;
    }
    if tokens.takes(&["WHERE"]) {
        copy.filter = Some(with_parser(&tokens.split_off(), Parser::parse_expr)?);
    }
    tokens.expect_end()?;
    given.finish(&mut copy)?;
    Ok(Some(Command::Copy(Box::new(copy))))
}

/// Options whose defaults depend on the format.
#[derive(Default)]
struct Given {
    delimiter: Option<char>,
    null: Option<String>,
    quote: Option<char>,
    escape: Option<char>,
}

impl Given {
    fn finish(self, copy: &mut Copy) -> Result<(), Error> {
        let csv = copy.options.format == CopyFormat::Csv;
        let binary = copy.options.format == CopyFormat::Binary;
        if binary && (self.delimiter.is_some() || self.null.is_some()) {
            return Err(Error::new("42601", "cannot specify DELIMITER or NULL in BINARY mode"));
        }
        if !csv && (self.quote.is_some() || self.escape.is_some()) {
            return Err(Error::new(
                "0A000",
                "COPY quote and escape are available only in CSV mode",
            )
            .with_hint("Add FORMAT csv."));
        }
        let options = &mut copy.options;
        options.delimiter = self.delimiter.unwrap_or(if csv { ',' } else { '\t' });
        options.null =
            self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_string() });
        options.quote = self.quote.unwrap_or('"');
        options.escape = self.escape.unwrap_or(options.quote);
        if !options.delimiter.is_ascii() || !options.quote.is_ascii() || !options.escape.is_ascii()
        {
            return Err(Error::new("0A000", "COPY delimiter must be a single one-byte character")
                .with_hint("Use an ASCII character."));
        }
        if csv && options.delimiter == options.quote {
            return Err(Error::new("22023", "COPY delimiter and quote must be different"));
        }
        Ok(())
    }
}

fn what(tokens: &mut Tokens<'_>) -> Result<CopyWhat, Error> {
    if let Some(inner) = tokens.in_parentheses()? {
        return match data::read(inner)? {
            Command::Query(query) if query.into.is_none() => Ok(CopyWhat::Query(query)),
            Command::Query(_) => Err(Error::new("0A000", "COPY (SELECT INTO) is not supported")
                .with_hint("Select into the table first.")),
            writing
            @ (Command::Insert { .. } | Command::Update { .. } | Command::Delete { .. }) => {
                Ok(CopyWhat::Writing(Box::new(writing)))
            }
            _ => Err(tokens.syntax_error()),
        };
    }
    let name = tokens.object_name()?;
    let mut columns = Vec::new();
    if tokens.takes_token(&Token::LParen) {
        columns = tokens.names()?;
        tokens.expect_token(&Token::RParen)?;
    }
    Ok(CopyWhat::Table { name, columns })
}

fn one_char(name: &str, text: &str) -> Result<char, Error> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Error::new("0A000", format!("COPY {name} must be a single one-byte character"))
            .with_hint("Use one ASCII character.")),
    }
}

fn flag(tokens: &mut Tokens<'_>) -> Result<bool, Error> {
    if matches!(tokens.peek(), Some(Token::Comma | Token::RParen)) {
        return Ok(true);
    }
    let text = match tokens.peek() {
        Some(Token::Number(number, _)) => {
            let text = number.clone();
            tokens.next();
            text
        }
        Some(Token::Word(_)) => tokens.name()?,
        _ => tokens.string()?,
    };
    crate::settings::boolean(&text).ok_or_else(|| Error::new("22023", "a Boolean value is wanted"))
}

fn format(name: &str) -> Result<CopyFormat, Error> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(CopyFormat::Text),
        "csv" => Ok(CopyFormat::Csv),
        "binary" => Ok(CopyFormat::Binary),
        other => Err(Error::new("22023", format!("COPY format \"{other}\" not recognized"))),
    }
}

fn column_list(tokens: &mut Tokens<'_>) -> Result<Vec<String>, Error> {
    tokens.expect_token(&Token::LParen)?;
    let names = tokens.names()?;
    tokens.expect_token(&Token::RParen)?;
    Ok(names)
}

fn options(tokens: &mut Tokens<'_>, copy: &mut Copy, given: &mut Given) -> Result<(), Error> {
    loop {
        let name = tokens.name()?;
        match name.as_str() {
            "format" => {
                let word = match tokens.peek() {
                    Some(Token::Word(_)) => tokens.name()?,
                    _ => tokens.string()?,
                };
                copy.options.format = format(&word)?;
            }
            "delimiter" => given.delimiter = Some(one_char("delimiter", &tokens.string()?)?),
            "null" => given.null = Some(tokens.string()?),
            "header" => {
                if tokens.takes(&["MATCH"]) {
                    copy.options.header = true;
                    copy.options.header_match = true;
                } else {
                    copy.options.header = flag(tokens)?;
                }
            }
            "quote" => given.quote = Some(one_char("quote", &tokens.string()?)?),
            "escape" => given.escape = Some(one_char("escape", &tokens.string()?)?),
            "encoding" => encoding(&tokens.string()?)?,
            // FREEZE only saves PostgreSQL a later VACUUM; there is none here, so it holds anyway.
            "freeze" => {
                flag(tokens)?;
            }
            "force_quote" => {
                copy.force_quote = Some(if tokens.takes_token(&Token::Mul) {
                    Vec::new()
                } else {
                    column_list(tokens)?
                });
            }
            "force_not_null" => copy.force_not_null = column_list(tokens)?,
            "force_null" => copy.force_null = column_list(tokens)?,
            other => {
                return Err(Error::new("42601", format!("option \"{other}\" not recognized")));
            }
        }
        if !tokens.takes_token(&Token::Comma) {
            break;
        }
    }
    tokens.expect_token(&Token::RParen)
}

fn encoding(name: &str) -> Result<(), Error> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.eq_ignore_ascii_case("utf8") {
        return Ok(());
    }
    Err(Error::unsupported(format!("COPY ENCODING {name}"), "Send the data as UTF8."))
}

fn older_options(tokens: &mut Tokens<'_>, copy: &mut Copy, given: &mut Given) -> Result<(), Error> {
    while !tokens.is_end() && !tokens.sees(&["WHERE"]) {
        if tokens.takes(&["BINARY"]) {
            copy.options.format = CopyFormat::Binary;
        } else if tokens.takes(&["CSV"]) {
            copy.options.format = CopyFormat::Csv;
        } else if tokens.takes(&["HEADER"]) {
            copy.options.header = true;
        } else if tokens.takes(&["DELIMITER"]) || tokens.takes(&["DELIMITERS"]) {
            tokens.takes(&["AS"]);
            given.delimiter = Some(one_char("delimiter", &tokens.string()?)?);
        } else if tokens.takes(&["NULL"]) {
            tokens.takes(&["AS"]);
            given.null = Some(tokens.string()?);
        } else if tokens.takes(&["QUOTE"]) {
            tokens.takes(&["AS"]);
            given.quote = Some(one_char("quote", &tokens.string()?)?);
        } else if tokens.takes(&["ESCAPE"]) {
            tokens.takes(&["AS"]);
            given.escape = Some(one_char("escape", &tokens.string()?)?);
        } else if tokens.takes(&["ENCODING"]) {
            encoding(&tokens.string()?)?;
        } else if tokens.takes(&["FREEZE"]) {
        } else if tokens.takes(&["FORCE", "QUOTE"]) {
            copy.force_quote =
                Some(if tokens.takes_token(&Token::Mul) { Vec::new() } else { tokens.names()? });
        } else if tokens.takes(&["FORCE", "NOT", "NULL"]) {
            copy.force_not_null = tokens.names()?;
        } else if tokens.takes(&["FORCE", "NULL"]) {
            copy.force_null = tokens.names()?;
        } else {
            return Err(tokens.syntax_error());
        }
    }
    Ok(())
}
