//! A walk over one statement's tokens: words are matched in any case, names are folded as PostgreSQL
//! folds them, and errors carry their place in the client's text.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::character_at;
use crate::Error;

/// The longest identifier in bytes; longer ones are cut, as in PostgreSQL.
const NAME_BYTES: usize = 63;

/// A statement's tokens, without blanks and comments, and how far they were read.
pub(super) struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str, mut tokens: Vec<TokenWithSpan>) -> Self {
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
        Self { text, tokens, at: 0 }
    }

    pub(super) fn rest(&self) -> Vec<TokenWithSpan> {
        self.tokens.get(self.at..).unwrap_or_default().to_vec()
    }

    /// The tokens that are left, to be changed before sqlparser sees them.
    pub(super) fn rest_mut(&mut self) -> &mut Vec<TokenWithSpan> {
        self.tokens.drain(..self.at);
        self.at = 0;
        &mut self.tokens
    }

    pub(super) fn mark(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.at = mark;
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += usize::from(token.is_some());
        token
    }

    pub(super) fn next_with_span(&mut self) -> Option<TokenWithSpan> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// Other tokens of the same text.
    pub(super) fn sub(&self, tokens: Vec<TokenWithSpan>) -> Self {
        Self { text: self.text, tokens, at: 0 }
    }

    /// Takes what stands between parentheses, if one opens here, and both of them.
    ///
    /// # Errors
    /// 42601 when it doesn't close.
    pub(super) fn in_parentheses(&mut self) -> Result<Option<Self>, Error> {
        if !self.takes_token(&Token::LParen) {
            return Ok(None);
        }
        let mut depth = 0_usize;
        let mut inner = Vec::new();
        loop {
            match self.peek() {
                Some(Token::RParen) if depth == 0 => break,
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth -= 1,
                Some(_) => {}
                None => return Err(self.syntax_error()),
            }
            inner.push(self.next_with_span().ok_or_else(|| self.end_of_input())?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(Some(self.sub(inner)))
    }

    /// Takes all that is left.
    pub(super) fn split_off(&mut self) -> Self {
        let rest = self.rest();
        self.at = self.tokens.len();
        self.sub(rest)
    }

    /// Whether a token is this bare word.
    pub(super) fn is_word(token: &Token, word: &str) -> bool {
        matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// Whether these words come next.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| {
            self.tokens.get(self.at + offset).is_some_and(|token| Self::is_word(&token.token, word))
        })
    }

    /// Reads these words if they come next.
    pub(super) fn takes(&mut self, words: &[&str]) -> bool {
        let seen = self.sees(words);
        if seen {
            self.at += words.len();
        }
        seen
    }

    /// Reads one of these words if it comes next.
    pub(super) fn takes_any<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().find(|word| self.takes(&[**word])).copied()
    }

    pub(super) fn takes_token(&mut self, wanted: &Token) -> bool {
        let seen = self.peek() == Some(wanted);
        self.at += usize::from(seen);
        seen
    }

    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        if self.takes(words) { Ok(()) } else { Err(self.syntax_error()) }
    }

    pub(super) fn expect_token(&mut self, wanted: &Token) -> Result<(), Error> {
        if self.takes_token(wanted) { Ok(()) } else { Err(self.syntax_error()) }
    }

    pub(super) fn expect_end(&self) -> Result<(), Error> {
        if self.is_end() { Ok(()) } else { Err(self.syntax_error()) }
    }

    /// A name: a word folded to lower case, or quoted and kept.
    pub(super) fn name(&mut self) -> Result<String, Error> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let name = folded(&word.value, word.quote_style.is_some());
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.syntax_error()),
        }
    }

    pub(super) fn names(&mut self) -> Result<Vec<String>, Error> {
        let mut names = vec![self.name()?];
        while self.takes_token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// A name with the names before it: `a.b.c`.
    pub(super) fn qualified(&mut self) -> Result<Vec<String>, Error> {
        let mut parts = vec![self.name()?];
        while self.takes_token(&Token::Period) {
            parts.push(self.name()?);
        }
        Ok(parts)
    }

    pub(super) fn object_name(&mut self) -> Result<Vec<String>, Error> {
        self.qualified()
    }

    pub(super) fn object_names(&mut self) -> Result<Vec<Vec<String>>, Error> {
        let mut names = vec![self.qualified()?];
        while self.takes_token(&Token::Comma) {
            names.push(self.qualified()?);
        }
        Ok(names)
    }

    /// A text in quotes.
    pub(super) fn string(&mut self) -> Result<String, Error> {
        let text = match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::UnicodeStringLiteral(text)
                | Token::NationalStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.syntax_error()),
        };
        self.at += 1;
        Ok(text)
    }

    /// A whole number with its sign.
    pub(super) fn integer(&mut self) -> Result<i64, Error> {
        let mark = self.at;
        let minus = self.takes_token(&Token::Minus);
        if !minus {
            self.takes_token(&Token::Plus);
        }
        if let Some(Token::Number(digits, _)) = self.peek() {
            let signed = if minus { format!("-{digits}") } else { digits.clone() };
            if let Ok(number) = signed.parse() {
                self.at += 1;
                return Ok(number);
            }
        }
        self.at = mark;
        Err(self.syntax_error())
    }

    /// `syntax error at or near …` for the next token.
    pub(super) fn syntax_error(&self) -> Error {
        match self.tokens.get(self.at) {
            Some(token) => self.syntax_error_at(token),
            None => self.end_of_input(),
        }
    }

    pub(super) fn end_of_input(&self) -> Error {
        let end = self.tokens.last().map(|token| token.span.end);
        Error::Syntax {
            message: "syntax error at end of input".to_string(),
            position: end.and_then(|end| character_at(self.text, end)),
        }
    }

    pub(super) fn syntax_error_at(&self, token: &TokenWithSpan) -> Error {
        if token.token == Token::EOF {
            return self.end_of_input();
        }
        Error::Syntax {
            message: format!("syntax error at or near \"{}\"", token.token),
            position: character_at(self.text, token.span.start),
        }
    }

    /// sqlparser's error in PostgreSQL's words, with its place.
    pub(super) fn parser_error(&self, error: &ParserError) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Error::new("54001", "stack depth limit exceeded")
                    .with_hint("The statement is nested too deeply.");
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (text, place) = match message.rsplit_once(" at Line: ") {
            Some((text, place)) => (text, place),
            None => (message.as_str(), ""),
        };
        let mut numbers = place.split(", Column: ").map(|part| part.trim().parse::<u64>());
        let location = match (numbers.next(), numbers.next()) {
            (Some(Ok(line)), Some(Ok(column))) => Location { line, column },
            _ => Location { line: 0, column: 0 },
        };
        if text.ends_with("found: EOF") {
            return self.end_of_input();
        }
        let at = self.tokens.iter().find(|token| token.span.start == location);
        match at {
            Some(token) => self.syntax_error_at(token),
            None => Error::Syntax {
                message: format!("syntax error: {text}"),
                position: character_at(self.text, location),
            },
        }
    }
}

/// An identifier as it is looked up: bare ones in lower case, cut at 63 bytes.
pub(crate) fn folded(value: &str, quoted: bool) -> String {
    let mut name = if quoted { value.to_string() } else { value.to_lowercase() };
    while name.len() > NAME_BYTES {
        name.pop();
    }
    name
}

/// The same for sqlparser's identifiers.
pub(crate) fn name_of(ident: &ast::Ident) -> String {
    folded(&ident.value, ident.quote_style.is_some())
}

/// The parts of a name, folded.
///
/// # Errors
/// 0A000 for names that are computed.
pub(crate) fn parts_of(name: &ast::ObjectName) -> Result<Vec<String>, Error> {
    name.0
        .iter()
        .map(|part| match part {
            ast::ObjectNamePart::Identifier(ident) => Ok(name_of(ident)),
            ast::ObjectNamePart::Function(_) => {
                Err(Error::unsupported("a computed name", "Write the name out."))
            }
        })
        .collect()
}
