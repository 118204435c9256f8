//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE.

use crate::Error;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::{Direction, Query, Statement};

/// A cursor.
#[derive(Debug)]
pub(crate) struct Cursor;

impl Session {
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(crate) async fn declare(
        &mut self,
        statement: &Statement,
        name: &str,
        hold: bool,
        scroll: bool,
        query: &Query,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let _ = (statement, name, hold, scroll, query, parameters);
        Err(Error::unsupported("DECLARE", "Wait."))
    }

    pub(crate) async fn fetch(
        &mut self,
        name: &str,
        direction: Direction,
        moves: bool,
    ) -> Result<Outcome, Error> {
        let _ = (direction, moves);
        Err(Error::Undefined { kind: "cursor", name: name.to_string() })
    }

    pub(crate) fn close_cursor(&mut self, name: Option<&str>) -> Result<Outcome, Error> {
        match name {
            None => {
                self.cursors.clear();
                Ok(Outcome::done("CLOSE CURSOR ALL"))
            }
            Some(name) => match self.cursors.remove(name) {
                Some(_) => Ok(Outcome::done("CLOSE CURSOR")),
                None => Err(Error::Undefined { kind: "cursor", name: name.to_string() }),
            },
        }
    }

    pub(crate) async fn hold_cursors(&mut self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn close_cursors_of_transaction(&mut self, _committed: bool) {
        self.cursors.clear();
    }

    pub(crate) fn drop_cursors_after(&mut self, _savepoint: usize) {}
}
