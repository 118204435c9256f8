//! Clauses of definitions that PostgreSQL has and Stele doesn't, by their words: each is refused with what
//! to do instead, before the parser stumbles over it.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::Tokens;
use crate::Error;

/// One clause.
struct Clause {
    /// The words it begins with.
    words: &'static [&'static str],
    /// One of these follows; none: anything.
    then: &'static [&'static str],
    /// How deep in parentheses it stands.
    depth: i32,
    hint: &'static str,
}

const fn clause(
    words: &'static [&'static str],
    then: &'static [&'static str],
    depth: i32,
    hint: &'static str,
) -> Clause {
    Clause { words, then, depth, hint }
}

const PLACE: &str = "Leave it out: there is one place for data, the node's directory.";
const COLUMN_STORAGE: &str = "Leave it out: the ledger decides how values are kept.";
const INHERIT: &str = "Use a view over several tables.";

const TABLE: &[Clause] = &[
    clause(&["TABLESPACE"], &[], 0, PLACE),
    clause(&["USING", "INDEX", "TABLESPACE"], &[], 1, PLACE),
    clause(&["EXCLUDE"], &["USING", "("], 1, "Use UNIQUE, or check before you write."),
    clause(&["NULLS", "NOT", "DISTINCT"], &[], 1, "Declare the columns NOT NULL, too."),
    clause(&["STORAGE"], &["PLAIN", "EXTERNAL", "EXTENDED", "MAIN", "DEFAULT"], 1, COLUMN_STORAGE),
    clause(&["COMPRESSION"], &["PGLZ", "LZ4", "DEFAULT"], 1, COLUMN_STORAGE),
];

const ALTER: &[Clause] = &[
    clause(&["SET", "TABLESPACE"], &[], 0, PLACE),
    clause(&["CLUSTER", "ON"], &[], 0, "Rows lie in the order of the chain."),
    clause(&["SET", "WITHOUT", "CLUSTER"], &[], 0, "Rows lie in the order of the chain."),
    clause(&["SET", "LOGGED"], &[], 0, "Every table is durable: leave it out."),
    clause(&["SET", "UNLOGGED"], &[], 0, "Every table is durable."),
    clause(&["INHERIT"], &[], 0, INHERIT),
    clause(&["NO", "INHERIT"], &[], 0, INHERIT),
    clause(&["ATTACH", "PARTITION"], &[], 0, "Use one table."),
    clause(&["DETACH", "PARTITION"], &[], 0, "Use one table."),
    clause(&["SET", "STATISTICS"], &[], 0, "Leave it out: counts are exact."),
    clause(&["SET", "STORAGE"], &[], 0, COLUMN_STORAGE),
    clause(&["SET", "COMPRESSION"], &[], 0, COLUMN_STORAGE),
    clause(&["SET", "ACCESS", "METHOD"], &[], 0, "Every table is kept in the ledger."),
    clause(&["NULLS", "NOT", "DISTINCT"], &[], 0, "Declare the columns NOT NULL, too."),
    clause(&["EXCLUDE"], &["USING", "("], 0, "Use UNIQUE, or check before you write."),
];

const INDEX: &[Clause] = &[
    clause(&["TABLESPACE"], &[], 0, PLACE),
    clause(&["NULLS", "NOT", "DISTINCT"], &[], 0, "Declare the columns NOT NULL, too."),
];

const VIEW: &[Clause] = &[
    clause(&["CHECK", "OPTION"], &[], 0, "Views are read only: write to the tables."),
    clause(&["WITH"], &["("], 0, "Leave the options out."),
];

/// Refuses a definition's clauses; takes away what says nothing (`WITHOUT OIDS`).
///
/// # Errors
/// 0A000
pub(super) fn check(tokens: &mut Tokens<'_>) -> Result<(), Error> {
    let alter = tokens.sees(&["ALTER", "TABLE"]);
    if !alter && !tokens.sees(&["CREATE"]) {
        return Ok(());
    }
    let all = tokens.rest_mut();
    let named = |word: &str| all.iter().take(5).any(|token| Tokens::is_word(&token.token, word));
    let view = !alter && named("VIEW");
    let (what, clauses) = if alter {
        ("ALTER TABLE … ", ALTER)
    } else if view {
        ("CREATE VIEW … ", VIEW)
    } else if named("INDEX") {
        ("CREATE INDEX … ", INDEX)
    } else if named("TABLE") {
        ("CREATE TABLE … ", TABLE)
    } else {
        return Ok(());
    };
    let mut depth = 0;
    let mut without = None;
    for at in 0..all.len() {
        match all.get(at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            Some(Token::Word(_)) => {
                // What follows AS is a query, not a definition.
                if depth == 0 && !alter && !view && is(all, at, "AS") {
                    break;
                }
                if let Some(found) = clauses.iter().find(|clause| clause.stands(all, at, depth)) {
                    let words = format!("{what}{}", found.words.join(" "));
                    return Err(Error::unsupported(words, found.hint));
                }
                if depth == 0 && is(all, at, "WITHOUT") && is(all, at + 1, "OIDS") {
                    without = Some(at);
                }
            }
            _ => {}
        }
    }
    if let Some(at) = without {
        all.drain(at..at + 2);
    }
    Ok(())
}

fn is(all: &[TokenWithSpan], at: usize, word: &str) -> bool {
    all.get(at).is_some_and(|token| match word {
        "(" => token.token == Token::LParen,
        word => Tokens::is_word(&token.token, word),
    })
}

impl Clause {
    fn stands(&self, all: &[TokenWithSpan], at: usize, depth: i32) -> bool {
        self.depth == depth
            && self.words.iter().enumerate().all(|(offset, word)| is(all, at + offset, word))
            && (self.then.is_empty()
                || self.then.iter().any(|word| is(all, at + self.words.len(), word)))
    }
}
