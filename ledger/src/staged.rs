//! A state with writes on top that are not in any block yet: the sequencer's batch, or a session's own
//! transaction. What is put on top can be taken off again, newest first.

mod keys;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::apply::plan::{Plan, Plans, plan};
use crate::catalog::{Index, IndexOrigin};
use crate::row::RowReader;
use crate::view::up_to_two;
use crate::{Catalog, Height, Oid, Operation, Refusal, Row, Transaction, VersionId, View, key};
use keys::Keys;
use rows::{Held, Rows};

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked<F> {
    /// The rules say no: every node's answer.
    Refused(Refusal),
    /// This node can't tell.
    Fault(F),
}

impl<F> From<Refusal> for Checked<F> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<F> From<crate::DecodeError> for Checked<F> {
    fn from(error: crate::DecodeError) -> Self {
        Self::Refused(error.into())
    }
}

/// How far the staged writes had come: see [`Staged::undo_to`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// One step back.
enum Undo {
    /// So many rows were put in, under this version and those of the operations behind it.
    Inserted(Oid, VersionId, u32),
    /// A version of the state below was ended.
    Ended(Oid, VersionId),
    /// A staged row was ended. Apart, so that the many steps of a load stay small.
    Removed(Box<(Oid, VersionId, Held)>),
    /// The catalog was another.
    Catalog(Box<Catalog>),
    /// An index got keys of its own.
    Built(Oid),
}

/// A view with writes on top.
pub struct Staged<V> {
    base: V,
    catalog: Catalog,
    rows: BTreeMap<Oid, Rows>,
    /// Versions of the base that are no longer alive, by table.
    ended: BTreeMap<Oid, BTreeSet<VersionId>>,
    /// Keys of staged rows, by index. Of an index that the base doesn't have: keys of all rows.
    keys: BTreeMap<Oid, Keys>,
    built: BTreeSet<Oid>,
    log: Vec<Undo>,
    /// What is known of tables, as the catalog stands; forgotten when it changes.
    plans: Plans,
}

/// Hands the row's key in each index of its table to `each`.
fn each_key(plan: &Plan, row: &Row, mut each: impl FnMut(Oid, &[u8])) -> Result<(), Refusal> {
    let reader = RowReader::new(plan.table(), &row.bytes)?;
    let mut bytes = Vec::with_capacity(32);
    for (oid, index) in plan.indexes() {
        bytes.clear();
        key::push_key_of_row(&mut bytes, &reader, &index.columns)?;
        each(oid, &bytes);
    }
    Ok(())
}

impl<V: View> Staged<V> {
    /// Nothing on top yet.
    pub fn new(base: V) -> Self {
        let catalog = base.catalog().clone();
        Self {
            base,
            catalog,
            rows: BTreeMap::new(),
            ended: BTreeMap::new(),
            keys: BTreeMap::new(),
            built: BTreeSet::new(),
            log: Vec::new(),
            plans: Plans::new(),
        }
    }

    /// The state below.
    pub fn base(&self) -> &V {
        &self.base
    }

    /// Whether nothing is on top.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Where the writes stand now.
    pub fn mark(&self) -> Mark {
        Mark(self.log.len())
    }

    /// Puts a row in under a version id that nothing has yet.
    ///
    /// # Errors
    /// When there is no such table, or the row's bytes are damaged.
    pub fn insert(&mut self, table: Oid, version: VersionId, row: Row) -> Result<(), Refusal> {
        let plan = self.plan(table)?;
        self.put(&plan, table, version, Held::Own(row))?;
        self.settle_keys();
        Ok(())
    }

    /// Makes room for so many rows of a table that are about to come.
    pub(crate) fn make_room(&mut self, plan: &Plan, rows: usize) {
        for (index, _) in plan.indexes() {
            self.keys.entry(index).or_default().reserve(rows);
        }
    }

    fn put(
        &mut self,
        plan: &Plan,
        table: Oid,
        version: VersionId,
        held: Held,
    ) -> Result<(), Refusal> {
        let row = held.row().ok_or_else(|| Refusal::malformed("no row"))?;
        each_key(plan, row, |index, key| {
            self.keys.entry(index).or_default().insert(key, version);
        })?;
        let goes_on = matches!(held, Held::Of(..)) && self.goes_on(table, version);
        self.rows.entry(table).or_default().insert(version, held);
        match self.log.last_mut() {
            Some(Undo::Inserted(_, _, count)) if goes_on => *count += 1,
            _ => self.log.push(Undo::Inserted(table, version, 1)),
        }
        Ok(())
    }

    /// Whether the last step put in the row of the operation before. Nobody marks a place within a transaction.
    fn goes_on(&self, table: Oid, version: VersionId) -> bool {
        let Some(Undo::Inserted(of, first, count)) = self.log.last() else { return false };
        let next = first.operation.checked_add(*count);
        *of == table && next.is_some_and(|operation| version == VersionId { operation, ..*first })
    }

    /// Puts the keys of rows that were put in into order, before many are looked for.
    pub(crate) fn settle_keys(&mut self) {
        self.keys.values_mut().for_each(Keys::settle);
    }

    /// The table's plan, as the catalog stands.
    pub(crate) fn plan(&mut self, table: Oid) -> Result<Arc<Plan>, Refusal> {
        plan(&mut self.plans, &self.catalog, table)
    }

    /// The plans known so far.
    pub(crate) fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Ends a version, staged or of the state below. Whether it is alive is the caller's to know.
    ///
    /// # Errors
    /// When a staged row's bytes are damaged.
    pub fn end(&mut self, table: Oid, version: VersionId) -> Result<(), Refusal> {
        if let Some(held) = self.take(table, version)? {
            self.log.push(Undo::Removed(Box::new((table, version, held))));
            return Ok(());
        }
        self.ended.entry(table).or_default().insert(version);
        self.log.push(Undo::Ended(table, version));
        Ok(())
    }

    /// Takes a staged row and its keys out.
    fn take(&mut self, table: Oid, version: VersionId) -> Result<Option<Held>, Refusal> {
        let Some(held) = self.rows.get_mut(&table).and_then(|rows| rows.remove(version)) else {
            return Ok(None);
        };
        if let Some(row) = held.row()
            && self.catalog.table(table).is_some()
        {
            let plan = self.plan(table)?;
            each_key(&plan, row, |index, key| {
                if let Some(keys) = self.keys.get_mut(&index) {
                    keys.remove(key, version);
                }
            })?;
        }
        Ok(Some(held))
    }

    /// Does what a definition, drop or lease says. An index that is new gets the keys of all rows of its
    /// table, if rules look into it: one made for speed alone is searched by a scan until it is in a block.
    ///
    /// # Errors
    /// As of [`Catalog::apply`]; this node's fault when rows can't be read.
    pub fn define(&mut self, operation: &Operation) -> Result<(), Checked<V::Fault>> {
        let before = self.catalog.clone();
        self.catalog.apply(operation)?;
        if !matches!(operation, Operation::Lease { .. }) {
            self.plans.clear();
        }
        self.log.push(Undo::Catalog(Box::new(before)));
        if let Operation::Define { oid, .. } = operation
            && let Some(index) = self.catalog.index(*oid).cloned()
            && (index.unique || index.origin == IndexOrigin::ForeignKey)
            && self.base.catalog().index(*oid).is_none()
            && !self.built.contains(oid)
        {
            self.build(*oid, &index)?;
        }
        Ok(())
    }

    /// Finds by a scan what a new index, which has no keys of its own, would find.
    fn find_by_scan(
        &self,
        index: &Index,
        key: &[u8],
        limit: usize,
    ) -> Result<Vec<VersionId>, V::Fault> {
        let mut found = Vec::new();
        let Some(table) = self.catalog.table(index.table) else { return Ok(found) };
        let mut bytes = Vec::new();
        self.scan(index.table, &mut |version, row| {
            bytes.clear();
            let read = RowReader::new(table, &row.bytes)
                .and_then(|row| key::push_key_of_row(&mut bytes, &row, &index.columns));
            if read.is_ok() && bytes == key {
                found.push(version);
            }
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// Fills a new index.
    fn build(&mut self, oid: Oid, index: &Index) -> Result<(), Checked<V::Fault>> {
        let mut keys = Keys::default();
        if let Some(table) = self.catalog.table(index.table) {
            let mut wrong = None;
            let mut bytes = Vec::new();
            self.scan(index.table, &mut |version, row| {
                bytes.clear();
                let read = RowReader::new(table, &row.bytes)
                    .and_then(|row| key::push_key_of_row(&mut bytes, &row, &index.columns));
                match read {
                    Ok(_) => keys.insert(&bytes, version),
                    Err(error) => wrong = Some(error),
                }
                if wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(Checked::Fault)?;
            if let Some(error) = wrong {
                return Err(error.into());
            }
        }
        keys.settle();
        self.keys.insert(oid, keys);
        self.built.insert(oid);
        self.log.push(Undo::Built(oid));
        Ok(())
    }

    /// Puts a transaction's writes on top, as block `height` would hold them at place `index`. Nothing is
    /// checked but that the operations can be done at all; see [`Staged::admit`].
    ///
    /// # Errors
    /// 40001 when a version to be replaced is not alive; others when an operation is malformed. What was
    /// done so far stays: undo it.
    pub fn stage(
        &mut self,
        height: Height,
        index: u32,
        transaction: &Arc<Transaction>,
    ) -> Result<(), Checked<V::Fault>> {
        for (at, operation) in transaction.operations.iter().enumerate() {
            let place = u32::try_from(at)
                .map_err(|_| Refusal::data("54000", "too many operations in a transaction"))?;
            let version = VersionId { height, transaction: index, operation: place };
            self.stage_one(version, at, operation, transaction)?;
        }
        self.settle_keys();
        Ok(())
    }

    /// Puts one operation of a transaction on top, if what it replaces is alive.
    fn stage_one(
        &mut self,
        version: VersionId,
        at: usize,
        operation: &Operation,
        transaction: &Arc<Transaction>,
    ) -> Result<(), Checked<V::Fault>> {
        if let (Some(table), Some(version)) = (operation.table(), operation.previous())
            && !self.is_alive(table, version).map_err(Checked::Fault)?
        {
            return Err(Refusal::Superseded { table, version }.into());
        }
        let plan = operation.table().map(|table| self.plan(table)).transpose()?;
        self.place(plan.as_deref(), version, at, operation, transaction)
    }

    /// Puts one operation of a transaction on top. What it replaces is alive; `plan` is its table's.
    pub(crate) fn place(
        &mut self,
        plan: Option<&Plan>,
        version: VersionId,
        at: usize,
        operation: &Operation,
        transaction: &Arc<Transaction>,
    ) -> Result<(), Checked<V::Fault>> {
        if let (Some(table), Some(previous)) = (operation.table(), operation.previous()) {
            self.end(table, previous)?;
        }
        match (operation, plan) {
            (Operation::Insert { table, .. } | Operation::Update { table, .. }, Some(plan)) => {
                Ok(self.put(plan, *table, version, Held::Of(Arc::clone(transaction), at))?)
            }
            (Operation::Insert { .. } | Operation::Update { .. }, None) => {
                Err(Refusal::malformed("a row of no table").into())
            }
            (Operation::Delete { .. }, _) => Ok(()),
            (Operation::Define { .. } | Operation::Drop { .. } | Operation::Lease { .. }, _) => {
                self.define(operation)
            }
        }
    }

    /// Whether a version is alive.
    fn is_alive(&self, table: Oid, version: VersionId) -> Result<bool, V::Fault> {
        if self.staged_row(table, version).is_some() {
            return Ok(true);
        }
        if self.is_ended(table, version) || self.base.catalog().table(table).is_none() {
            return Ok(false);
        }
        Ok(self.base.alive(table, version)?.is_some())
    }

    fn staged_row(&self, table: Oid, version: VersionId) -> Option<&Row> {
        self.rows.get(&table)?.get(version)
    }

    fn is_ended(&self, table: Oid, version: VersionId) -> bool {
        self.ended.get(&table).is_some_and(|ended| ended.contains(&version))
    }

    /// Puts a row back that was ended. That is no write of its own.
    fn put_back(&mut self, table: Oid, version: VersionId, held: Held) {
        if let Ok(plan) = self.plan(table)
            && self.put(&plan, table, version, held).is_ok()
            && let Some(Undo::Inserted(table, first, count)) = self.log.pop()
            && count > 1
        {
            self.log.push(Undo::Inserted(table, first, count - 1));
        }
    }

    /// Takes off what was put on top since the mark, newest first.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.log.len() > mark.0 {
            match self.log.pop() {
                Some(Undo::Inserted(table, first, count)) => {
                    for place in (0..count).rev() {
                        let operation = first.operation + place;
                        // Its keys went in, so they are read again without damage.
                        drop(self.take(table, VersionId { operation, ..first }));
                    }
                }
                Some(Undo::Ended(table, version)) => {
                    if let Some(ended) = self.ended.get_mut(&table) {
                        ended.remove(&version);
                    }
                }
                Some(Undo::Removed(removed)) => {
                    let (table, version, held) = *removed;
                    self.put_back(table, version, held);
                }
                Some(Undo::Catalog(before)) => {
                    self.catalog = *before;
                    self.plans.clear();
                }
                Some(Undo::Built(index)) => {
                    self.keys.remove(&index);
                    self.built.remove(&index);
                }
                None => {}
            }
        }
    }
}

impl<V: View> View for Staged<V> {
    type Fault = V::Fault;

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, V::Fault> {
        if let Some(row) = self.staged_row(table, version) {
            return Ok(Some(row.clone()));
        }
        if self.is_ended(table, version) || self.base.catalog().table(table).is_none() {
            return Ok(None);
        }
        self.base.alive(table, version)
    }

    fn find(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, V::Fault> {
        let mut found = Vec::new();
        let mut base_table = None;
        if !self.built.contains(&index) {
            match (self.base.catalog().index(index), self.catalog.index(index)) {
                (Some(definition), _) => base_table = Some(definition.table),
                (None, Some(new)) => return self.find_by_scan(new, key, limit),
                (None, None) => {}
            }
        }
        if let Some(table) = base_table {
            let ended = self.ended.get(&table).filter(|ended| !ended.is_empty());
            let Some(ended) = ended else {
                found = self.base.find(index, key, limit)?;
                return Ok(self.with_staged(found, index, key, limit));
            };
            // Some of those found may be ended: ask for more until there are enough or no more.
            let mut asked = limit.saturating_add(8);
            loop {
                found = self.base.find(index, key, asked)?;
                let all = found.len() < asked;
                found.retain(|version| !ended.contains(version));
                if all || found.len() >= limit {
                    break;
                }
                asked = asked.saturating_mul(4);
            }
        }
        Ok(self.with_staged(found, index, key, limit))
    }

    fn holders(&self, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, V::Fault> {
        let in_base = self.base.catalog().index(index).filter(|_| !self.built.contains(&index));
        let Some(definition) = in_base else {
            return keys.iter().map(|key| Ok(up_to_two(self.find(index, key, 2)?.len()))).collect();
        };
        let has_ended = self.ended.get(&definition.table).is_some_and(|ended| !ended.is_empty());
        let mut counts = self.base.holders(index, keys)?;
        for (count, key) in counts.iter_mut().zip(keys) {
            if has_ended && *count > 0 {
                *count = up_to_two(self.find(index, key, 2)?.len());
            } else if let Some(own) = self.keys.get(&index) {
                *count = up_to_two(usize::from(*count) + own.find(key).take(2).count());
            }
        }
        Ok(counts)
    }

    fn is_distinct(&self, index: Oid) -> bool {
        let Some(definition) = self.catalog.index(index) else { return false };
        let table = definition.table;
        let below_is_empty =
            self.base.catalog().table(table).is_none() || self.base.is_empty(table);
        below_is_empty && self.keys.get(&index).is_none_or(Keys::are_distinct)
    }

    fn is_empty(&self, table: Oid) -> bool {
        self.rows.get(&table).is_none_or(Rows::is_empty)
            && (self.base.catalog().table(table).is_none() || self.base.is_empty(table))
    }

    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), V::Fault> {
        let mut done = false;
        if self.base.catalog().table(table).is_some() {
            let ended = self.ended.get(&table);
            self.base.scan(table, &mut |version, row| {
                if ended.is_some_and(|ended| ended.contains(&version)) {
                    return ControlFlow::Continue(());
                }
                let flow = each(version, row);
                done = flow.is_break();
                flow
            })?;
        }
        for (version, row) in self.rows.get(&table).into_iter().flat_map(Rows::iter) {
            if done {
                break;
            }
            done = each(version, row).is_break();
        }
        Ok(())
    }
}

impl<V: View> Staged<V> {
    /// Adds the staged versions with the key.
    fn with_staged(
        &self,
        mut found: Vec<VersionId>,
        index: Oid,
        key: &[u8],
        limit: usize,
    ) -> Vec<VersionId> {
        found.truncate(limit);
        if let Some(keys) = self.keys.get(&index) {
            // A new index has keys of versions of the base, too, which may have ended since it was filled.
            let table = self.catalog.index(index).map(|index| index.table);
            let ended = table.and_then(|table| self.ended.get(&table));
            let alive = |version: &VersionId| ended.is_none_or(|ended| !ended.contains(version));
            let left = limit - found.len();
            found.extend(keys.find(key).filter(alive).take(left));
        }
        found
    }
}
