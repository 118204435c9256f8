//! A transaction's own effects that no block holds yet: rows and definitions laid over a snapshot.
//! A copy shares structure, so a savepoint is a copy. It knows neither locks nor statements.

mod key_bytes;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::{OrdMap, Vector};
use ledger::{
    Catalog, ColumnNumber, Height, Object, Oid, Operation, Row, Table, Value, VersionId, View, key,
    row, up_to_two,
};
use storage::{Fault, Snapshot};

use crate::Error;
use key_bytes::KeyBytes;
use keys::Keys;

/// The height of versions that only their own transaction sees.
pub(crate) const OWN: Height = Height(u64::MAX);

/// What a transaction did so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    tables: OrdMap<Oid, Own>,
    catalog: Option<Arc<Catalog>>,
    definitions: Vector<Operation>,
    next: u32,
    bytes: usize,
    /// Objects that only the session has, and that no block will hold.
    temporary: OrdMap<Oid, Arc<Object>>,
    /// What COMMIT does to temporary tables; nothing, unless it is here.
    on_commit: OrdMap<Oid, OnCommit>,
    /// The version of the snapshot's catalog that `catalog` was made of.
    base: u64,
}

/// What COMMIT does to a temporary table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCommit {
    DeleteRows,
    Drop,
}

/// A transaction's own effects on one table.
#[derive(Clone, Debug, Default)]
struct Own {
    /// Versions of earlier blocks that are replaced (by the own row of this number) or deleted.
    ended: OrdMap<VersionId, Option<u32>>,
    /// Own rows by number.
    rows: OrdMap<u32, OwnRow>,
    /// Own rows by key, in the table's indexes.
    keys: Keys,
    /// Keys of earlier blocks' rows in indexes that the transaction itself made.
    built: OrdMap<Oid, Arc<Built>>,
}

impl Own {
    /// The own rows that have a key in an index.
    fn numbers<'a>(&'a self, index: Oid, key: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        self.keys.numbers(index, key).filter(|number| self.rows.contains_key(number))
    }
}

/// An index over earlier blocks' rows: for each key its values, and the rows that have it.
type Built = BTreeMap<Vec<u8>, (Vec<Value>, Vec<VersionId>)>;

/// A row of this transaction.
#[derive(Clone, Debug)]
struct OwnRow {
    row: Arc<Row>,
    previous: Option<VersionId>,
}

impl Overlay {
    /// Whether it has no effect at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.temporary.is_empty()
            && self.definitions.is_empty()
            && self.tables.values().all(|own| own.ended.is_empty() && own.rows.is_empty())
    }

    /// Whether the chain will hold nothing of it.
    pub(crate) fn writes_nothing(&self) -> bool {
        self.definitions.is_empty() && self.tables().next().is_none()
    }

    /// Whether it defines what the chain will hold.
    pub(crate) fn defines(&self) -> bool {
        !self.definitions.is_empty()
    }

    /// Whether the session has objects of its own.
    pub(crate) fn has_temporary(&self) -> bool {
        !self.temporary.is_empty()
    }

    /// Temporary objects by number.
    pub(crate) fn temporary(&self) -> Vec<Oid> {
        self.temporary.keys().copied().collect()
    }

    pub(crate) fn set_on_commit(&mut self, table: Oid, what: OnCommit) {
        self.on_commit.insert(table, what);
    }

    /// Takes every temporary object away.
    pub(crate) fn drop_temporary(&mut self) {
        for oid in self.temporary() {
            self.tables.remove(&oid);
        }
        self.temporary = OrdMap::new();
        self.on_commit = OrdMap::new();
        if self.definitions.is_empty() {
            self.catalog = None;
        }
    }

    /// What outlives the transaction: the session's own objects with their rows.
    pub(crate) fn kept(&self) -> Self {
        let mut kept = Self { next: self.next, ..Self::default() };
        kept.temporary = self.temporary.clone();
        kept.on_commit = self.on_commit.clone();
        kept.tables = self
            .tables
            .iter()
            .filter(|(oid, _)| oid.is_temporary())
            .map(|(oid, own)| (*oid, own.clone()))
            .collect();
        for (table, what) in &self.on_commit {
            match what {
                OnCommit::DeleteRows => {
                    if let Some(own) = kept.tables.get_mut(table) {
                        own.rows = OrdMap::new();
                        own.keys = Keys::default();
                    }
                }
                OnCommit::Drop => {
                    kept.tables.remove(table);
                    kept.on_commit.remove(table);
                    kept.temporary = kept
                        .temporary
                        .iter()
                        .filter(|(oid, object)| **oid != *table && !belongs(object, *table))
                        .map(|(oid, object)| (*oid, Arc::clone(object)))
                        .collect();
                }
            }
        }
        kept.bytes = kept
            .tables
            .values()
            .flat_map(|own| own.rows.values())
            .map(|own| own.row.bytes.len())
            .sum();
        kept
    }

    /// Lays the session's own objects over the snapshot's catalog, should that have changed. A transaction
    /// that defines things itself has the catalog for itself.
    ///
    /// # Errors
    /// What the catalog says of it.
    pub(crate) fn rebase(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        if self.temporary.is_empty() || !self.definitions.is_empty() {
            return Ok(());
        }
        let version = snapshot.catalog().version();
        if self.catalog.is_some() && self.base == version {
            return Ok(());
        }
        let mut catalog = (**snapshot.catalog()).clone();
        for (oid, object) in &self.temporary {
            catalog.put(*oid, (**object).clone())?;
        }
        self.catalog = Some(Arc::new(catalog));
        self.base = version;
        Ok(())
    }

    /// How many operations it stands for.
    pub(crate) fn len(&self) -> usize {
        self.definitions.len()
            + self.tables.values().map(|own| own.rows.len() + own.ended.len()).sum::<usize>()
    }

    /// Bytes of its own rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The catalog, if the transaction changed it.
    pub(crate) fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// The tables of the chain whose rows it changed.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Oid> {
        self.tables
            .iter()
            .filter(|(oid, own)| {
                !oid.is_temporary() && (!own.ended.is_empty() || !own.rows.is_empty())
            })
            .map(|(oid, _)| *oid)
    }

    /// Own rows of a table, each with its version.
    pub(crate) fn rows(&self, table: Oid) -> impl Iterator<Item = (VersionId, &Arc<Row>)> {
        self.tables
            .get(&table)
            .into_iter()
            .flat_map(|own| own.rows.iter().map(|(number, own)| (own_version(*number), &own.row)))
    }

    /// How many own rows a table has.
    pub(crate) fn row_count(&self, table: Oid) -> usize {
        self.tables.get(&table).map_or(0, |own| own.rows.len())
    }

    /// Whether a version of an earlier block was replaced or deleted.
    pub(crate) fn ends(&self, table: Oid, version: VersionId) -> bool {
        self.tables.get(&table).is_some_and(|own| own.ended.contains_key(&version))
    }

    /// How many versions of earlier blocks were replaced or deleted.
    pub(crate) fn ended_count(&self, table: Oid) -> usize {
        self.tables.get(&table).map_or(0, |own| own.ended.len())
    }

    /// Whether the table's rows changed at all.
    pub(crate) fn touches(&self, table: Oid) -> bool {
        self.row_count(table) > 0 || self.ended_count(table) > 0
    }

    fn own_row(&self, table: Oid, version: VersionId) -> Option<&Arc<Row>> {
        self.tables.get(&table)?.rows.get(&version.operation).map(|own| &own.row)
    }

    /// A new row; gives its version.
    pub(crate) fn insert(
        &mut self,
        catalog: &Catalog,
        table: Oid,
        values: &[Value],
        row: Arc<Row>,
    ) -> VersionId {
        self.put(catalog, table, values, OwnRow { row, previous: None })
    }

    /// New rows, with their keys in each index of the table.
    pub(crate) fn insert_all(
        &mut self,
        table: Oid,
        rows: &[Arc<Row>],
        keys: &[(Oid, Vec<Vec<u8>>)],
    ) {
        let first = self.next;
        let own = self.tables.entry(table).or_default();
        for (index, keys) in keys {
            let keys = keys.iter().map(|key| KeyBytes::from(key.as_slice())).zip(first..).collect();
            own.keys.extend(*index, keys);
        }
        for row in rows {
            self.bytes += row.bytes.len();
            own.rows.insert(self.next, OwnRow { row: Arc::clone(row), previous: None });
            self.next += 1;
        }
    }

    /// Another version of a row, in the place of `old`.
    pub(crate) fn update(
        &mut self,
        catalog: &Catalog,
        table: Oid,
        old: VersionId,
        old_values: &[Value],
        values: &[Value],
        row: Arc<Row>,
    ) -> VersionId {
        let previous = self.take(catalog, table, old, old_values);
        let new = self.put(catalog, table, values, OwnRow { row, previous });
        if let Some(previous) = previous
            && let Some(own) = self.tables.get_mut(&table)
        {
            own.ended.insert(previous, Some(new.operation));
        }
        new
    }

    /// The end of a row.
    pub(crate) fn delete(
        &mut self,
        catalog: &Catalog,
        table: Oid,
        old: VersionId,
        old_values: &[Value],
    ) {
        if let Some(previous) = self.take(catalog, table, old, old_values) {
            self.tables.entry(table).or_default().ended.insert(previous, None);
        }
    }

    /// Takes a row away; gives the version of an earlier block that it stood for.
    fn take(
        &mut self,
        catalog: &Catalog,
        table: Oid,
        old: VersionId,
        old_values: &[Value],
    ) -> Option<VersionId> {
        if old.height != OWN {
            return Some(old);
        }
        let own = self.tables.entry(table).or_default();
        let taken = own.rows.remove(&old.operation)?;
        self.bytes = self.bytes.saturating_sub(taken.row.bytes.len());
        for (index, columns) in indexes(catalog, table) {
            let key = KeyBytes::from(key::key_of(old_values, columns).as_slice());
            own.keys.remove(index, key, old.operation);
        }
        taken.previous
    }

    fn put(&mut self, catalog: &Catalog, table: Oid, values: &[Value], row: OwnRow) -> VersionId {
        let number = self.next;
        self.next += 1;
        let own = self.tables.entry(table).or_default();
        for (index, columns) in indexes(catalog, table) {
            let key = KeyBytes::from(key::key_of(values, columns).as_slice());
            own.keys.insert(index, key, number);
        }
        self.bytes += row.row.bytes.len();
        own.rows.insert(number, row);
        own_version(number)
    }

    /// Applies a definition, a drop or a lease to the transaction's own catalog.
    ///
    /// # Errors
    /// What the catalog says of it.
    pub(crate) fn define(
        &mut self,
        snapshot: &Snapshot,
        operation: Operation,
    ) -> Result<(), Error> {
        let before = self.catalog.clone().unwrap_or_else(|| Arc::clone(snapshot.catalog()));
        let mut after = (*before).clone();
        after.apply(&operation)?;
        match &operation {
            Operation::Define { oid, object } => match object.as_ref() {
                Object::Table(new) => {
                    if let Some(old) = before.table(*oid) {
                        self.reencode(*oid, old, new)?;
                    }
                }
                Object::Index(index) if before.index(*oid).is_none() => {
                    self.build(snapshot, &before, *oid, index)?;
                }
                _ => {}
            },
            Operation::Drop { oid } => {
                self.tables.remove(oid);
                if let Some(index) = before.index(*oid)
                    && let Some(own) = self.tables.get_mut(&index.table)
                {
                    own.built.remove(oid);
                    own.keys.forget(*oid);
                }
            }
            _ => {}
        }
        if self.catalog.is_none() {
            self.base = snapshot.catalog().version();
        }
        self.catalog = Some(Arc::new(after));
        match operation {
            Operation::Define { oid, object } if oid.is_temporary() => {
                self.temporary.insert(oid, Arc::from(object));
            }
            Operation::Drop { oid } if oid.is_temporary() => {
                self.temporary.remove(&oid);
                self.on_commit.remove(&oid);
            }
            lasting => self.definitions.push_back(lasting),
        }
        Ok(())
    }

    /// Replaces the last definition of an object without another operation.
    pub(crate) fn redefine(&mut self, oid: Oid, object: Object) -> Result<(), Error> {
        if oid.is_temporary() {
            self.temporary.insert(oid, Arc::new(object));
            self.catalog = None;
            return Ok(());
        }
        let place = self.definitions.iter().rposition(
            |operation| matches!(operation, Operation::Define { oid: of, .. } if *of == oid),
        );
        let (Some(place), Some(catalog)) = (place, &self.catalog) else {
            return Err(Error::internal("an object that isn't defined here"));
        };
        let mut after = (**catalog).clone();
        let operation = Operation::Define { oid, object: Box::new(object) };
        after.apply(&operation)?;
        self.definitions.set(place, operation);
        self.catalog = Some(Arc::new(after));
        Ok(())
    }

    /// Own rows are written again when their table's columns change.
    fn reencode(&mut self, oid: Oid, old: &Table, new: &Table) -> Result<(), Error> {
        let Some(own) = self.tables.get_mut(&oid) else { return Ok(()) };
        if old.columns == new.columns {
            return Ok(());
        }
        let mut rows = OrdMap::new();
        for (number, own) in &own.rows {
            let mut values = row::decode_row(old, &own.row).map_err(ledger::Refusal::from)?;
            values
                .extend(new.columns.iter().skip(values.len()).map(|column| column.missing.clone()));
            for (value, column) in values.iter_mut().zip(&new.columns) {
                if column.dropped {
                    *value = Value::Null;
                } else {
                    let taken = std::mem::replace(value, Value::Null);
                    *value = taken.assign(&column.kind)?;
                }
            }
            let row = Row::encode(new, &values, crate::random::salt)?;
            rows.insert(*number, OwnRow { row: Arc::new(row), previous: own.previous });
        }
        own.rows = rows;
        Ok(())
    }

    /// Fills an index that the transaction itself made: from the blocks' rows and from its own.
    fn build(
        &mut self,
        snapshot: &Snapshot,
        catalog: &Catalog,
        oid: Oid,
        index: &ledger::catalog::Index,
    ) -> Result<(), Error> {
        let Some(table) = catalog.table(index.table) else { return Ok(()) };
        let mut built = Built::new();
        if snapshot.catalog().table(index.table).is_some() {
            // The table may have columns that the snapshot doesn't know: rows are read by the newer table.
            crate::rows::each_version(snapshot, index.table, |version| {
                let Some(row) = snapshot.alive(index.table, version)? else { return Ok(()) };
                let all = row::decode_row(table, &row).map_err(ledger::Refusal::from)?;
                let values: Vec<Value> = index
                    .columns
                    .iter()
                    .filter_map(|number| all.get(usize::from(number.0).wrapping_sub(1)).cloned())
                    .collect();
                let entry =
                    built.entry(key::encode_key(&values)).or_insert_with(|| (values, Vec::new()));
                entry.1.push(version);
                Ok(())
            })?;
        }
        let own = self.tables.entry(index.table).or_default();
        for (number, own_row) in own.rows.clone() {
            let values = row::decode_row(table, &own_row.row).map_err(ledger::Refusal::from)?;
            let key = KeyBytes::from(key::key_of(&values, &index.columns).as_slice());
            own.keys.insert(oid, key, number);
        }
        own.built.insert(oid, Arc::new(built));
        Ok(())
    }

    /// The first key without NULLs that two rows share in an index that this transaction made.
    ///
    /// # Errors
    /// What `check` says, called now and then.
    pub(crate) fn duplicate(
        &self,
        index: Oid,
        table: &Table,
        definition: &ledger::catalog::Index,
        check: impl Fn() -> Result<(), Error>,
    ) -> Result<Option<Vec<Value>>, Error> {
        let Some(own) = self.tables.get(&definition.table) else { return Ok(None) };
        let none = Arc::new(Built::new());
        let built = own.built.get(&index).unwrap_or(&none);
        let alive = |version: &VersionId| !own.ended.contains_key(version);
        for (key, entry) in built.iter() {
            check()?;
            let old = entry.1.iter().filter(|version| alive(version)).count();
            let new = own.numbers(index, key).count();
            if old + new > 1 && !key::has_null(&entry.0) {
                return Ok(Some(entry.0.clone()));
            }
        }
        let mut last: Option<&[u8]> = None;
        // What came by many came after the index was made, and was looked for then.
        for (key, number) in own.keys.in_tree(index) {
            let again = last == Some(key);
            last = Some(key);
            let first = own.rows.get(&number).filter(|_| again);
            let Some(first) = first else { continue };
            let values = row::decode_row(table, &first.row).map_err(ledger::Refusal::from)?;
            let values: Vec<Value> = definition
                .columns
                .iter()
                .filter_map(|number| values.get(usize::from(number.0).wrapping_sub(1)).cloned())
                .collect();
            if !key::has_null(&values) && key::encode_key(&values) == key {
                return Ok(Some(values));
            }
        }
        Ok(None)
    }

    /// What goes into the chain: definitions as they were made, then each table's rows. They are gone from here
    /// then, but for the session's own tables.
    pub(crate) fn take_operations(&mut self) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(self.len());
        operations.extend(std::mem::take(&mut self.definitions));
        let lasting: Vec<Oid> =
            self.tables.keys().copied().filter(|table| !table.is_temporary()).collect();
        for table in lasting {
            let Some(Own { ended, rows, .. }) = self.tables.remove(&table) else { continue };
            operations.extend(
                ended
                    .into_iter()
                    .filter(|(_, by)| by.is_none())
                    .map(|(previous, _)| Operation::Delete { table, previous }),
            );
            operations.extend(rows.into_iter().map(|(_, own)| {
                // Copied only if a savepoint has it too.
                let row = Arc::unwrap_or_clone(own.row);
                match own.previous {
                    Some(previous) => Operation::Update { table, previous, row },
                    None => Operation::Insert { table, row },
                }
            }));
        }
        operations
    }
}

/// Whether an object goes with a table.
fn belongs(object: &Object, table: Oid) -> bool {
    match object {
        Object::Index(index) => index.table == table,
        Object::Sequence(sequence) => sequence.owned_by.is_some_and(|(owner, _)| owner == table),
        _ => false,
    }
}

fn own_version(number: u32) -> VersionId {
    VersionId { height: OWN, transaction: 0, operation: number }
}

/// The table's indexes with their columns.
fn indexes(catalog: &Catalog, table: Oid) -> impl Iterator<Item = (Oid, &[ColumnNumber])> {
    catalog.indexes_of(table).map(|(oid, index)| (oid, index.columns.as_slice()))
}

/// A snapshot with a transaction's own effects over it.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) overlay: &'a Overlay,
}

impl<'a> Sight<'a> {
    /// The catalog that the transaction sees.
    pub(crate) fn catalog_shared(&self) -> &'a Arc<Catalog> {
        self.overlay.catalog().unwrap_or_else(|| self.snapshot.catalog())
    }

    /// The table of this OID.
    ///
    /// # Errors
    /// 42P01 when it is gone.
    pub(crate) fn table(&self, oid: Oid) -> Result<&'a Table, Error> {
        self.catalog_shared().table(oid).ok_or_else(|| {
            Error::new("42P01", format!("relation with OID {} does not exist", oid.0))
        })
    }

    /// Calls `see` for each row alive, own ones last, with the values of all columns.
    ///
    /// # Errors
    /// Faults; what `see` says.
    pub(crate) fn each_row(
        &self,
        oid: Oid,
        mut see: impl FnMut(VersionId, &[Value]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let table = self.table(oid)?;
        let decode = |row: &Row| row::decode_row(table, row).map_err(ledger::Refusal::from);
        if self.snapshot.catalog().table(oid).is_some() {
            crate::rows::each_version(self.snapshot, oid, |version| {
                if self.overlay.ends(oid, version) {
                    return Ok(());
                }
                match self.snapshot.alive(oid, version)? {
                    Some(row) => see(version, &decode(&row)?),
                    None => Ok(()),
                }
            })?;
        }
        for (version, row) in self.overlay.rows(oid) {
            see(version, &decode(row)?)?;
        }
        Ok(())
    }

    /// All columns of an alive row.
    pub(crate) fn values(
        &self,
        table: Oid,
        version: VersionId,
    ) -> Result<Option<Vec<Value>>, Error> {
        let Some(row) = self.alive(table, version)? else { return Ok(None) };
        let definition = self.table(table)?;
        Ok(Some(row::decode_row(definition, &row).map_err(ledger::Refusal::from)?))
    }
}

impl Sight<'_> {
    /// Whether it is known that earlier blocks have no row alive of a table.
    fn began_empty(&self, table: Oid) -> bool {
        self.snapshot.catalog().table(table).is_none() || self.snapshot.is_empty(table)
    }
}

impl View for Sight<'_> {
    type Fault = Fault;

    fn catalog(&self) -> &Catalog {
        self.catalog_shared()
    }

    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Fault> {
        if version.height == OWN {
            return Ok(self.overlay.own_row(table, version).map(|row| (**row).clone()));
        }
        if self.overlay.ends(table, version) {
            return Ok(None);
        }
        self.snapshot.alive(table, version)
    }

    fn is_distinct(&self, index: Oid) -> bool {
        let Some(table) = self.catalog().index(index).map(|index| index.table) else {
            return false;
        };
        let own = self.overlay.tables.get(&table);
        self.began_empty(table) && own.is_none_or(|own| own.keys.are_distinct(index))
    }

    fn is_empty(&self, table: Oid) -> bool {
        self.began_empty(table) && self.overlay.row_count(table) == 0
    }

    fn scan(
        &self,
        table: Oid,
        see: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let mut stopped = false;
        if self.snapshot.catalog().table(table).is_some() {
            View::scan(self.snapshot, table, &mut |version, row| {
                if self.overlay.ends(table, version) {
                    return ControlFlow::Continue(());
                }
                let flow = see(version, row);
                stopped = flow.is_break();
                flow
            })?;
        }
        if !stopped {
            for (version, row) in self.overlay.rows(table) {
                if see(version, row).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn find(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, Fault> {
        let Some(table) = self.catalog().index(index).map(|index| index.table) else {
            return Err(Fault::Internal(format!("there is no index {}", index.0)));
        };
        let Some(own) = self.overlay.tables.get(&table) else {
            return self.snapshot.find(index, key, limit);
        };
        let mut found = match own.built.get(&index) {
            Some(built) => built.get(key).map(|entry| entry.1.clone()).unwrap_or_default(),
            None => self.snapshot.find(index, key, limit.saturating_add(own.ended.len()))?,
        };
        found.retain(|version| !own.ended.contains_key(version));
        found.extend(own.numbers(index, key).map(own_version));
        found.truncate(limit);
        Ok(found)
    }

    fn holders(&self, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let table = self.catalog().index(index).map(|index| index.table);
        let Some(own) = table.and_then(|table| self.overlay.tables.get(&table)) else {
            return self.snapshot.holders(index, keys);
        };
        let is_built = own.built.contains_key(&index);
        let in_blocks =
            if is_built { vec![2; keys.len()] } else { self.snapshot.holders(index, keys)? };
        let count = |(below, key): (u8, &&[u8])| {
            // Some of those in blocks may be ended here.
            if below > 0 && (is_built || !own.ended.is_empty()) {
                return Ok(up_to_two(self.find(index, key, 2)?.len()));
            }
            Ok(up_to_two(usize::from(below) + own.numbers(index, key).take(2).count()))
        };
        in_blocks.into_iter().zip(keys).map(count).collect()
    }
}

/// A transaction's own rows as queries see them.
#[derive(Debug)]
pub(crate) struct Laid {
    overlay: Overlay,
    catalog: Arc<Catalog>,
}

impl Laid {
    pub(crate) fn new(overlay: Overlay, catalog: Arc<Catalog>) -> Self {
        Self { overlay, catalog }
    }
}

impl crate::table::Overlay for Laid {
    fn touches(&self, table: Oid) -> bool {
        self.overlay.touches(table)
    }

    fn ends(&self, table: Oid, version: VersionId) -> bool {
        self.overlay.ends(table, version)
    }

    fn batches(
        &self,
        table: Oid,
        columns: &[storage::ScanColumn],
    ) -> Result<Vec<arrow::record_batch::RecordBatch>, Error> {
        let definition = self.catalog.table(table).ok_or_else(|| {
            Error::new("42P01", format!("relation with OID {} does not exist", table.0))
        })?;
        let rows: Vec<(VersionId, &Arc<Row>)> = self.overlay.rows(table).collect();
        rows.chunks(crate::rows::BATCH)
            .map(|chunk| crate::rows::own_batch(table, definition, columns, chunk))
            .collect()
    }
}
