//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE. A cursor reads the state of its DECLARE; its rows are drawn
//! as they are fetched, and kept as far as it can go back.

mod kept;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use crate::Error;
use crate::outcome::{Outcome, Parameter, ResultColumn, RowStream, Tag};
use crate::session::Session;
use crate::shared::activity::CursorNote;
use crate::statement::{Direction, Query, Statement};
use kept::Kept;

/// Cursors that one session may have.
const MOST: usize = 1000;

/// A cursor.
pub(crate) struct Cursor {
    pub(crate) columns: Vec<ResultColumn>,
    /// `None` when all rows were drawn.
    stream: Option<RowStream>,
    /// The rows that were drawn.
    rows: Kept,
    /// The row it stands on: 0 is before the first.
    at: usize,
    scroll: bool,
    hold: bool,
    /// The savepoints that there were.
    savepoints: usize,
    /// Its transaction was committed: it lives on by itself.
    held: bool,
}

impl Cursor {
    /// Draws rows until there are so many, or no more.
    async fn draw(&mut self, wanted: usize) -> Result<(), Error> {
        while self.rows.len() < wanted {
            let Some(stream) = self.stream.as_mut() else { return Ok(()) };
            match stream.next().await {
                Some(batch) => self.rows.push(batch?)?,
                None => self.stream = None,
            }
        }
        Ok(())
    }

    /// Where a move ends, and the rows on its way (numbers from 1).
    async fn go(&mut self, direction: Direction) -> Result<Vec<usize>, Error> {
        let size = |number: i64| usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        match direction {
            Direction::Relative(0) | Direction::Offset(0) => {
                self.draw(self.at).await?;
                Ok(self.here())
            }
            Direction::Relative(count) if count > 0 => Ok(self.forward(size(count)).await?),
            Direction::Relative(count) => {
                self.need_scroll()?;
                Ok(self.backward(size(count)))
            }
            Direction::All { back: false } => self.forward(usize::MAX).await,
            Direction::All { back: true } => {
                self.need_scroll()?;
                Ok(self.backward(usize::MAX))
            }
            Direction::Absolute(number) => {
                if number < 0 {
                    self.draw(usize::MAX).await?;
                    let back = size(number).saturating_sub(1);
                    self.set(self.rows.len().saturating_sub(back))?;
                } else {
                    self.draw(size(number)).await?;
                    self.set(size(number).min(self.rows.len() + 1))?;
                }
                Ok(self.here())
            }
            Direction::Offset(number) => {
                let to = if number < 0 {
                    self.at.saturating_sub(size(number))
                } else {
                    self.at.saturating_add(size(number))
                };
                self.draw(to).await?;
                self.set(to.min(self.rows.len() + 1))?;
                Ok(self.here())
            }
        }
    }

    fn set(&mut self, to: usize) -> Result<(), Error> {
        if to < self.at {
            self.need_scroll()?;
        }
        self.at = to;
        Ok(())
    }

    fn here(&self) -> Vec<usize> {
        if (1..=self.rows.len()).contains(&self.at) { vec![self.at] } else { Vec::new() }
    }

    async fn forward(&mut self, count: usize) -> Result<Vec<usize>, Error> {
        let last = self.at.saturating_add(count);
        self.draw(last).await?;
        let end = last.min(self.rows.len());
        let rows: Vec<usize> = (self.at + 1..=end).collect();
        self.at = if last > self.rows.len() { self.rows.len() + 1 } else { last };
        Ok(rows)
    }

    fn backward(&mut self, count: usize) -> Vec<usize> {
        let first = self.at.saturating_sub(count).max(1);
        let rows: Vec<usize> =
            (first..self.at).rev().filter(|row| *row <= self.rows.len()).collect();
        self.at = self.at.saturating_sub(count);
        rows
    }

    fn need_scroll(&self) -> Result<(), Error> {
        if self.scroll {
            return Ok(());
        }
        Err(Error::new("55000", "cursor can only scan forward")
            .with_hint("Declare it with SCROLL option to enable backward scan."))
    }
}

impl Session {
    pub(crate) async fn declare(
        &mut self,
        statement: &Statement,
        name: &str,
        (hold, scroll): (bool, bool),
        query: &Query,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let block = self.transaction.as_ref().is_some_and(|own| own.explicit);
        if !block && !hold {
            return Err(Error::new(
                "25P01",
                "DECLARE CURSOR can only be used in transaction blocks",
            ));
        }
        if query.query.with.as_ref().is_some_and(crate::session::with::any_writes) {
            return Err(Error::new(
                "0A000",
                "DECLARE CURSOR must not contain data-modifying statements in WITH",
            )
            .with_hint("Run the statement on its own with RETURNING."));
        }
        if self.cursors.contains_key(name) {
            return Err(Error::Exists { kind: "cursor", name: name.to_string() });
        }
        if self.cursors.len() >= MOST {
            return Err(Error::new("54000", format!("a session has at most {MOST} cursors")));
        }
        let outcome = Box::pin(self.query(statement, query, parameters, None)).await?;
        let Outcome::Rows { columns, stream, .. } = outcome else {
            return Err(Error::new("42P11", "cannot open this query as cursor"));
        };
        let savepoints = self.transaction.as_ref().map_or(0, |own| own.savepoints.len());
        let cursor = Cursor {
            columns,
            stream: Some(stream),
            rows: Kept::new(&self.engine.memory),
            at: 0,
            scroll,
            hold,
            savepoints,
            held: false,
        };
        self.cursors.insert(name.to_string(), cursor);
        let note = CursorNote {
            statement: statement.text().to_string(),
            hold,
            scroll,
            time: self.engine.clock.now_us(),
        };
        self.shared.note_cursors(|cursors| drop(cursors.insert(name.to_string(), note)));
        Ok(Outcome::done("DECLARE CURSOR"))
    }

    pub(crate) async fn fetch(
        &mut self,
        name: &str,
        direction: Direction,
        moves: bool,
    ) -> Result<Outcome, Error> {
        let Some(cursor) = self.cursors.get_mut(name) else {
            return Err(Error::Undefined { kind: "cursor", name: name.to_string() });
        };
        let numbers = cursor.go(direction).await?;
        if moves {
            if !cursor.scroll {
                cursor.rows.release_before(cursor.at);
            }
            return Ok(Outcome::done(format!("MOVE {}", numbers.len())));
        }
        let rows: Vec<Result<RecordBatch, Error>> =
            numbers.iter().filter_map(|number| cursor.rows.row(*number)).map(Ok).collect();
        if !cursor.scroll {
            cursor.rows.release_before(cursor.at);
        }
        Ok(Outcome::Rows {
            columns: cursor.columns.clone(),
            stream: futures::stream::iter(rows).boxed(),
            tag: Tag::Counted("FETCH"),
        })
    }

    pub(crate) fn close_cursor(&mut self, name: Option<&str>) -> Result<Outcome, Error> {
        match name {
            None => {
                self.cursors.clear();
                self.show_cursors();
                Ok(Outcome::done("CLOSE CURSOR ALL"))
            }
            Some(name) => match self.cursors.remove(name) {
                Some(_) => {
                    self.show_cursors();
                    Ok(Outcome::done("CLOSE CURSOR"))
                }
                None => Err(Error::Undefined { kind: "cursor", name: name.to_string() }),
            },
        }
    }

    /// Cursors WITH HOLD draw all their rows before the transaction ends.
    pub(crate) async fn hold_cursors(&mut self) -> Result<(), Error> {
        for cursor in self.cursors.values_mut().filter(|cursor| cursor.hold && !cursor.held) {
            cursor.draw(usize::MAX).await?;
        }
        Ok(())
    }

    pub(crate) fn close_cursors_of_transaction(&mut self, committed: bool) {
        if self.cursors.is_empty() {
            return;
        }
        self.cursors.retain(|_, cursor| cursor.held || (committed && cursor.hold));
        self.show_cursors();
        for cursor in self.cursors.values_mut() {
            cursor.held = true;
        }
    }

    pub(crate) fn drop_cursors_after(&mut self, savepoint: usize) {
        self.cursors.retain(|_, cursor| cursor.savepoints <= savepoint);
        self.show_cursors();
    }

    /// `pg_cursors` shows those that there are.
    fn show_cursors(&self) {
        self.shared.note_cursors(|notes| notes.retain(|name, _| self.cursors.contains_key(name)));
    }
}
