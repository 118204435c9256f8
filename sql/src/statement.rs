//! From a client's text to statements: split at semicolons, sorted into what our own small grammar
//! reads and what sqlparser reads, with each statement's place in the text. It knows no catalog.

mod command;
mod copy;
mod cursor;
mod data;
mod like;
mod refused;
pub(crate) mod rewrite;
mod roles;
mod sequences;
mod session;
#[cfg(test)]
mod tests;
mod tokens;
mod transaction;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

pub(crate) use command::*;
use tokens::Tokens;

use crate::Error;
use crate::dialect::Postgres;
use crate::session::plans::Slot;

/// The deepest nesting of a statement; past it 54001.
const DEPTH: usize = 120;

static DIALECT: Postgres = Postgres { versions: false };
static WITH_VERSIONS: Postgres = Postgres { versions: true };

/// One statement of a client's text.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(crate) command: Command,
    source: Arc<str>,
    range: Range<usize>,
    /// The plan of the query that gives its rows. Copies share it.
    pub(crate) slot: Slot,
    /// Its text for the audit. Copies share it.
    normal: Arc<OnceLock<String>>,
}

impl Statement {
    /// Its own text, without the semicolon.
    pub fn text(&self) -> &str {
        self.source.get(self.range.clone()).unwrap_or_default().trim()
    }

    /// The client's whole text: errors' positions count its characters.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn new(command: Command, source: Arc<str>, range: Range<usize>) -> Self {
        Self { command, source, range, slot: Slot::default(), normal: Arc::default() }
    }

    /// Its own text without literals, for the audit.
    pub(crate) fn normal(&self) -> &str {
        self.normal.get_or_init(|| crate::normal::statement(self.text()))
    }

    /// Whether it is nothing but blanks and comments.
    pub fn is_empty(&self) -> bool {
        matches!(self.command, Command::Empty)
    }

    /// Whether it may run in a transaction that has failed.
    pub fn ends_transaction(&self) -> bool {
        matches!(
            self.command,
            Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_)
        )
    }

    /// The statement within PREPARE, EXPLAIN or DECLARE, at the same place in the text.
    pub(crate) fn of(command: Command, outer: &Self) -> Self {
        Self::new(command, Arc::clone(&outer.source), outer.range.clone())
    }
}

/// Splits a text into its statements. A text without any gives one empty statement.
///
/// # Errors
/// 42601 with a position; 54001 when it is nested too deeply; 0A000.
pub fn parse(text: &str) -> Result<Vec<Statement>, Error> {
    let dialect = Postgres::default();
    let tokens =
        Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| Error::Syntax {
            message: tokenizer_message(&error.message),
            position: character_at(text, error.location),
        })?;
    let source: Arc<str> = Arc::from(text);
    let mut statements = Vec::new();
    let mut places = Places::new(text);
    let mut current: Vec<TokenWithSpan> = Vec::new();
    let mut start = 0;
    for token in tokens {
        if matches!(token.token, Token::SemiColon) {
            let end = places.byte(token.span.start);
            finish(&source, start..end, std::mem::take(&mut current), &mut statements)?;
            start = end + 1;
        } else if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            current.push(token);
        }
    }
    finish(&source, start..text.len(), current, &mut statements)?;
    if statements.is_empty() {
        statements.push(Statement::new(Command::Empty, source, 0..0));
    }
    Ok(statements)
}

fn finish(
    source: &Arc<str>,
    range: Range<usize>,
    tokens: Vec<TokenWithSpan>,
    statements: &mut Vec<Statement>,
) -> Result<(), Error> {
    if tokens.is_empty() {
        return Ok(());
    }
    let tokens = rewrite::rewrite(source, tokens)?;
    let command = command_of(Tokens::new(source, tokens))?;
    statements.push(Statement::new(command, Arc::clone(source), range));
    Ok(())
}

/// Reads one statement: our own grammar by its first words, sqlparser for the rest.
fn command_of(mut tokens: Tokens<'_>) -> Result<Command, Error> {
    if let Some(command) = transaction::read(&mut tokens)? {
        return Ok(command);
    }
    if let Some(command) = session::read(&mut tokens)? {
        return Ok(command);
    }
    if let Some(command) = sequences::read(&mut tokens)? {
        return Ok(command);
    }
    if let Some(command) = roles::read(&mut tokens)? {
        return Ok(command);
    }
    if let Some(command) = cursor::read(&mut tokens)? {
        return Ok(command);
    }
    if let Some(command) = copy::read(&mut tokens)? {
        return Ok(command);
    }
    data::read(tokens)
}

/// Runs sqlparser over the tokens that are left.
fn sqlparser_statement(tokens: &Tokens<'_>) -> Result<ast::Statement, Error> {
    with_parser(tokens, Parser::parse_statement)
}

/// Runs one of sqlparser's rules over the tokens that are left; all of them must be used.
fn with_parser<T>(
    tokens: &Tokens<'_>,
    rule: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>,
) -> Result<T, Error> {
    let rest = tokens.rest();
    let words: Vec<_> =
        rest.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let versions = words.windows(2).any(|pair| match pair {
        [a, b] => Tokens::is_word(&a.token, "FOR") && Tokens::is_word(&b.token, "SYSTEM_TIME"),
        _ => false,
    });
    let mut parser = Parser::new(if versions { &WITH_VERSIONS } else { &DIALECT })
        .with_recursion_limit(DEPTH)
        .with_tokens_with_locations(rest);
    let parsed = rule(&mut parser).map_err(|error| tokens.parser_error(&error))?;
    let next = parser.peek_token();
    if next.token == Token::EOF { Ok(parsed) } else { Err(tokens.syntax_error_at(&next)) }
}

/// Reads an expression from a text that the session itself wrote (a default, a check).
///
/// # Errors
/// 42601.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr, Error> {
    let dialect = Postgres::default();
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        Error::Syntax { message: tokenizer_message(&error.message), position: None }
    })?;
    with_parser(&Tokens::new(text, tokens), Parser::parse_expr)
}

/// The command that a query stands for: a statement that writes, or the query.
///
/// # Errors
/// 0A000.
pub(crate) fn command_of_query(query: ast::Query) -> Result<Command, Error> {
    data::of_query(Box::new(query), Vec::new())
}

fn tokenizer_message(message: &str) -> String {
    if message.contains("string") {
        "unterminated quoted string".to_string()
    } else if message.contains("multi-line comment") {
        "unterminated /* comment".to_string()
    } else if message.contains("close delimiter") {
        "unterminated quoted identifier".to_string()
    } else {
        format!("syntax error: {message}")
    }
}

/// The character of a text, from 1, that stands at this line and column.
pub(crate) fn character_at(text: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let (mut line, mut column) = (1, 1);
    for (count, c) in text.chars().enumerate() {
        if (line, column) == (location.line, location.column) {
            return Some(count + 1);
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    Some(text.chars().count() + 1)
}

/// Finds bytes by line and column, in one walk over the text.
struct Places<'a> {
    chars: std::str::CharIndices<'a>,
    length: usize,
    line: u64,
    column: u64,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { chars: text.char_indices(), length: text.len(), line: 1, column: 1 }
    }

    /// The byte at a place that isn't before the last one asked for.
    fn byte(&mut self, location: Location) -> usize {
        loop {
            let here = self.chars.offset();
            if (self.line, self.column) >= (location.line, location.column) {
                return here;
            }
            match self.chars.next() {
                Some((_, '\n')) => {
                    self.line += 1;
                    self.column = 1;
                }
                Some(_) => self.column += 1,
                None => return self.length,
            }
        }
    }
}
