//! LIKE and regular expressions in rules.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use crate::Refusal;

/// Compiled expressions that a thread keeps.
const KEPT: usize = 64;

/// Bytes that a compiled expression may take.
const MAX_COMPILED: usize = 1 << 20;

/// One step of a LIKE pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `%`
    Any,
    /// `_`
    One,
    /// A character.
    Just(char),
}

fn steps(pattern: &str) -> Result<Vec<Step>, Refusal> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '%' if out.last() == Some(&Step::Any) => continue,
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => Step::Just(chars.next().ok_or_else(|| {
                Refusal::data("22025", "LIKE pattern must not end with escape character")
            })?),
            c => Step::Just(c),
        });
    }
    Ok(out)
}

/// `text LIKE pattern`; `fold` compares lower case.
pub(super) fn like(text: &str, pattern: &str, fold: bool) -> Result<bool, Refusal> {
    if fold {
        return like(&text.to_lowercase(), &pattern.to_lowercase(), false);
    }
    let steps = steps(pattern)?;
    let text: Vec<char> = text.chars().collect();
    // Where to go back to: the step after the newest `%`, and the text that it was tried with.
    let (mut at, mut step) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        let fits = match steps.get(step) {
            Some(Step::Any) => {
                retry = Some((step + 1, at));
                step += 1;
                continue;
            }
            Some(Step::One) => true,
            Some(Step::Just(c)) => text.get(at) == Some(c),
            None => false,
        };
        if fits {
            at += 1;
            step += 1;
        } else if let Some((after, tried)) = retry {
            retry = Some((after, tried + 1));
            at = tried + 1;
            step = after;
        } else {
            return Ok(false);
        }
    }
    Ok(steps.iter().skip(step).all(|step| *step == Step::Any))
}

thread_local! {
    static COMPILED: RefCell<BTreeMap<(bool, String), Regex>> = const { RefCell::new(BTreeMap::new()) };
}

/// `text ~ pattern`; `fold` is `~*`.
pub(super) fn matches(text: &str, pattern: &str, fold: bool) -> Result<bool, Refusal> {
    COMPILED.with_borrow_mut(|kept| {
        let key = (fold, pattern.to_owned());
        if let Some(regex) = kept.get(&key) {
            return Ok(regex.is_match(text));
        }
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(fold)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|_| Refusal::data("2201B", "invalid regular expression"))?;
        let found = regex.is_match(text);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, regex);
        Ok(found)
    })
}
