//! COPY's rows: from values to encoded rows with their keys, apart from the session, and from there into its
//! transaction.

use std::sync::Arc;

use arrow::array::AsArray;
use ledger::catalog::Index;
use ledger::{Column, Oid, Row, RowEncoder, Type, Value, key};
use storage::{LockMode, LockTarget};

use super::copy::holds;
use super::lock::foreign_values;
use super::{Change, Settled, table_of};
use crate::Error;
use crate::copy::{CopyIn, CopyMaker, CopyRows, KeysIn, Made};
use crate::session::Session;

/// A value that was given for a column.
fn value_of(column: &Column, value: Value, zone: &crate::settings::Zone) -> Result<Value, Error> {
    Ok(match (&column.kind, value) {
        // What every value of the kind is.
        (Type::Int2, value @ Value::Int2(_))
        | (Type::Int4, value @ Value::Int4(_))
        | (Type::Int8, value @ Value::Int8(_))
        | (_, value @ Value::Null) => value,
        (_, Value::Text(text)) if column.kind == Type::Text && !text.contains('\0') => {
            Value::Text(text)
        }
        (_, Value::Text(text)) => Value::parse(&text, &column.kind, zone)?,
        (_, value) => value.assign_in(&column.kind, zone)?,
    })
}

impl CopyMaker {
    /// Makes rows of the copied columns' values, each of its column's type or a text to be read as it.
    ///
    /// # Errors
    /// Values that their columns don't take. The COPY is over then.
    pub fn make(&self, rows: Vec<Vec<Value>>) -> Result<CopyRows, Error> {
        if !self.is_plain {
            return Ok(CopyRows(Made::Values(rows)));
        }
        let table = table_of(&self.catalog, self.table)?;
        let indexes: Vec<(Oid, &Index)> = self.catalog.indexes_of(self.table).collect();
        let mut keys: Vec<KeysIn> =
            indexes.iter().map(|(oid, _)| (*oid, Vec::with_capacity(rows.len()))).collect();
        let mut parents: Vec<KeysIn> = Vec::new();
        for foreign in &table.foreign_keys {
            parents.push((foreign.parent_index, Vec::new()));
        }
        let mut made = Vec::with_capacity(rows.len());
        let mut encoder = RowEncoder::default();
        let mut values = Vec::with_capacity(table.columns.len());
        for row in rows {
            if row.len() != table.columns.len() {
                return Err(wrong_width());
            }
            values.clear();
            for (column, value) in table.columns.iter().zip(row) {
                values.push(value_of(column, value, &self.zone)?);
            }
            for ((_, index), (_, keys)) in indexes.iter().zip(&mut keys) {
                keys.push(key::key_of(&values, &index.columns));
            }
            for (foreign, (index, keys)) in table.foreign_keys.iter().zip(&mut parents) {
                if let Some(index) = self.catalog.index(*index) {
                    let key = foreign_values(foreign, index, &values);
                    if !key::has_null(&key) {
                        keys.push(key::encode_key(&key));
                    }
                }
            }
            made.push(Arc::new(encoder.encode(table, &values, crate::random::salt)?));
        }
        Ok(CopyRows(Made::Rows { rows: made, keys, parents }))
    }
}

fn wrong_width() -> Error {
    Error::new("22P04", "a row with another number of columns")
}

impl Session {
    /// Locks and applies new rows.
    async fn settle_new(
        &mut self,
        maker: &CopyMaker,
        rows: &[Arc<Row>],
        keys: &[KeysIn],
        parents: &[KeysIn],
    ) -> Result<(), Error> {
        let (catalog, oid) = (self.catalog()?, maker.table);
        if catalog.get(oid) != maker.catalog.get(oid) {
            // It is locked since the COPY began.
            return Err(Error::internal("a table that changed under its COPY"));
        }
        let is_unique = |index: &Oid| catalog.index(*index).is_some_and(|index| index.unique);
        let own = keys.iter().filter(|(index, _)| is_unique(index));
        let own = own.map(|keys| (keys, LockMode::Update));
        let all = own.chain(parents.iter().map(|keys| (keys, LockMode::KeyShare)));
        // As all who lock keys: in their order.
        let mut targets: Vec<(Oid, &Vec<u8>, LockMode)> = Vec::new();
        for ((index, keys), mode) in all {
            let owner = self.transaction_mut().owner;
            if !self.engine.state.locks().holds_keys(owner, *index, mode) {
                targets.extend(keys.iter().map(|key| (*index, key, mode)));
            }
        }
        targets.sort_unstable();
        targets.dedup();
        for (index, key, mode) in targets {
            self.acquire(LockTarget::Key(index, key.clone()), mode).await?;
        }
        if self.refresh(oid, &[])? == Settled::Stale {
            return Err(Error::internal("an insert can't be stale"));
        }
        self.admit_more(rows.len())?;
        self.transaction_mut().overlay.insert_all(oid, rows, keys);
        Ok(())
    }
}

impl CopyIn {
    /// What makes rows for [`Self::push`].
    pub fn maker(&self) -> CopyMaker {
        self.maker.clone()
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Refusals of the rules, bounds (54000), cancel. The COPY is over then, and nothing of it stays.
    pub async fn push(&mut self, session: &mut Session, rows: CopyRows) -> Result<(), Error> {
        let bounds = session.bounds.clone();
        match rows.0 {
            Made::Values(rows) => bounds.within(Box::pin(self.take(session, rows))).await,
            Made::Rows { rows, keys, parents } => {
                self.rows += rows.len() as u64;
                let settle = session.settle_new(&self.maker, &rows, &keys, &parents);
                bounds.within(Box::pin(settle)).await?;
                let checked = self.check_alone(&rows);
                self.unchecked.extend(rows);
                if checked.is_err() {
                    // What came before may be wrong, too, and is told first.
                    self.check(session)?;
                }
                checked
            }
        }
    }

    /// NOT NULL and CHECK of rows.
    fn check_alone(&self, rows: &[Arc<Row>]) -> Result<(), Error> {
        let catalog = &self.maker.catalog;
        let table = table_of(catalog, self.table)?;
        let mut rows = rows.iter();
        Ok(rows.try_for_each(|row| ledger::apply::check_row(catalog, table, row))?)
    }

    /// Holds all rows that were taken against the others.
    ///
    /// # Errors
    /// The first constraint that is violated. The COPY is over then, and nothing of it stays.
    pub fn check(&mut self, session: &Session) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.unchecked);
        if rows.is_empty() { Ok(()) } else { session.check_new(self.table, &rows) }
    }

    async fn take(&mut self, session: &mut Session, rows: Vec<Vec<Value>>) -> Result<(), Error> {
        let catalog = session.catalog()?;
        let table = table_of(&catalog, self.table)?;
        let zone = session.zone();
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != self.numbers.len() {
                return Err(wrong_width());
            }
            let mut values = row.into_iter().zip(&self.numbers);
            let mut given: Vec<Option<Value>> = vec![None; table.columns.len()];
            values.try_for_each(|(value, number)| {
                let column = super::insert::column_of(table, *number)?;
                let value = value_of(column, value, &zone)?;
                if let Some(slot) = given.get_mut(usize::from(number.0).wrapping_sub(1)) {
                    *slot = Some(value);
                }
                Ok::<(), Error>(())
            })?;
            let mut after = Vec::with_capacity(table.columns.len());
            for (column, value) in table.columns.iter().zip(given) {
                after.push(match value {
                    _ if column.dropped => Value::Null,
                    Some(value) => value,
                    None => session.default_of(column).await?,
                });
            }
            changes.push(Change::Insert { after });
        }
        let changes = self.kept(session, table, changes).await?;
        self.rows += changes.len() as u64;
        match session.settle(self.table, &changes).await? {
            Settled::Done => Ok(()),
            Settled::Stale => Err(Error::internal("an insert can't be stale")),
        }
    }

    /// The rows for which WHERE holds.
    async fn kept(
        &self,
        session: &mut Session,
        table: &ledger::Table,
        changes: Vec<Change>,
    ) -> Result<Vec<Change>, Error> {
        let Some((statement, filter)) = self.filter.as_deref() else { return Ok(changes) };
        let rows: Vec<&[Value]> = changes.iter().map(Change::row).collect();
        let items = holds(filter);
        let (_, batches) = session
            .evaluate_over(statement, self.table, table, &table.name, &rows, &items, &[])
            .await?;
        let mut held = Vec::with_capacity(changes.len());
        for batch in &batches {
            let column = batch.column(0).as_boolean_opt();
            let column = column.ok_or_else(|| {
                Error::new("42804", "argument of COPY FROM WHERE must be type boolean")
            })?;
            held.extend(column.iter().map(|value| value == Some(true)));
        }
        Ok(changes.into_iter().zip(held).filter(|(_, held)| *held).map(|(row, _)| row).collect())
    }

    /// All rows are in; gives the tag. The transaction's end commits them.
    ///
    /// # Errors
    /// As of [`Self::check`]; a cancel, or the statement's deadline (57014).
    pub async fn finish(mut self, session: &mut Session) -> Result<String, Error> {
        session.bounds.check()?;
        self.check(session)?;
        Ok(format!("COPY {}", self.rows))
    }

    /// The client gave up (57014): the caller tells it and calls `Session::fail`.
    pub fn abort(self, message: &str) -> Error {
        Error::new("57014", format!("COPY from stdin failed: {message}"))
    }
}
