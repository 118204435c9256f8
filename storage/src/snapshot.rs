//! The state at one height: what every read goes through. Cheap to copy; it never changes, whatever is
//! applied meanwhile.

use std::{
    fmt,
    ops::{Bound, ControlFlow},
    sync::{Arc, atomic::Ordering},
};

use arrow::array::RecordBatch;
use ledger::{
    Block, Catalog, Height, Oid, Row, RowReader, Table, Value, VersionId, View, catalog::Index,
    decode_row, key,
};

use crate::{
    BlockRecord, Damage, Fault, Scan, ScanColumn, TransactionRecord, Versions,
    chain::Chain,
    chunk::{Chunk, Places, undecoded},
    holders,
    index::{self, Space},
    lookup::{self, Entries},
    scan::{self, Shape},
    state::Core,
    versions,
};

/// A state at a height.
#[derive(Clone)]
pub struct Snapshot {
    core: Arc<Core>,
    height: Height,
    catalog: Arc<Catalog>,
    /// Why nothing can be read: the chain goes on where this state can't follow.
    cut: Option<Fault>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("height", &self.height).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn new(
        core: Arc<Core>,
        height: Height,
        catalog: Arc<Catalog>,
        cut: Option<Fault>,
    ) -> Self {
        Self { core, height, catalog, cut }
    }

    /// Its height.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The catalog as of its height.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Rows alive in a table, as of the newest block: an estimate for older heights.
    pub fn row_count(&self, table: Oid) -> u64 {
        self.core.versions(table).map_or(0, |versions| versions.alive())
    }

    /// How many versions a table ever had, up to the newest block.
    pub fn version_count(&self, table: Oid) -> u64 {
        self.core.versions(table).map_or(0, |versions| versions.end())
    }

    /// The newest block, whatever this snapshot's height, that wrote to a table; `None` if none did. A
    /// transaction that read the table at an older height doesn't see all of it any more.
    pub fn last_change(&self, table: Oid) -> Option<Height> {
        self.core.versions(table).and_then(|versions| versions.last_change())
    }

    /// The rows of a table in batches of at most 8,192 with the asked columns in order.
    ///
    /// # Errors
    /// [`Fault::Internal`] for a table or column that the catalog of this height doesn't have.
    pub fn scan(
        &self,
        table: Oid,
        columns: &[ScanColumn],
        versions: Versions,
    ) -> Result<Scan, Fault> {
        self.check_cut()?;
        let definition = self.table(table)?;
        let shape = Shape::new(table, definition, columns, versions != Versions::Alive)?;
        Scan::new(self.clone(), shape, self.core.versions(table), versions)
    }

    /// A version's row, whether it is alive or not: one value for each column by number. `None` if there
    /// is no such version at this height.
    ///
    /// # Errors
    /// Damage in the version's block.
    pub fn row(&self, table: Oid, version: VersionId) -> Result<Option<Vec<Value>>, Fault> {
        let Some(row) = self.bytes(table, version, |_, _| Ok(true))? else { return Ok(None) };
        decode_row(self.table(table)?, &row).map(Some).map_err(undecoded)
    }

    /// The versions alive here with exactly these key bytes, in order.
    ///
    /// # Errors
    /// A fault of the index, or damage in a version's block.
    pub fn lookup(&self, index: Oid, key: &[u8]) -> Result<Vec<VersionId>, Fault> {
        self.lookup_some(index, key, usize::MAX)
    }

    /// The versions alive here between two bounds of an index, in its order. A bound stands for every key
    /// that begins with it: `Included` takes all of them in, `Excluded` leaves all of them out; so a bound
    /// may be the key of the index's first columns only, and the same bytes twice give an equality.
    pub fn range(
        &self,
        index: Oid,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        reverse: bool,
    ) -> impl Iterator<Item = Result<VersionId, Fault>> + Send + use<> {
        Entries::new(self, index, from, to, reverse)
    }

    /// One batch with these versions' rows in this order, whether they are alive or not.
    ///
    /// # Errors
    /// [`Fault::Internal`] for a version, table or column that isn't there; damage in a version's block.
    pub fn fetch(
        &self,
        table: Oid,
        versions: &[VersionId],
        columns: &[ScanColumn],
    ) -> Result<RecordBatch, Fault> {
        self.check_cut()?;
        let shape = Shape::new(table, self.table(table)?, columns, true)?;
        let store = self
            .core
            .versions(table)
            .unwrap_or_else(|| Arc::new(versions::Versions::new(Arc::clone(&self.core.memory))));
        scan::fetch(self, &shape, &store, versions)
    }

    /// The records of blocks from one height up to (not with) another, as far as this height.
    ///
    /// # Errors
    /// A fault of the derived store.
    pub fn blocks(&self, range: std::ops::Range<Height>) -> Result<Vec<BlockRecord>, Fault> {
        let end = range.end.min(Height(self.height.0 + 1));
        let heights = (range.start.0..end.0).map(Height);
        heights.filter_map(|height| self.core.chain.block(height).transpose()).collect()
    }

    /// The records of the transactions in blocks from one height up to (not with) another.
    ///
    /// # Errors
    /// A fault of the derived store.
    pub fn transactions(
        &self,
        range: std::ops::Range<Height>,
    ) -> Result<Vec<TransactionRecord>, Fault> {
        let end = range.end.min(Height(self.height.0 + 1));
        let mut found = Vec::new();
        for height in (range.start.0..end.0).map(Height) {
            found.extend(self.core.chain.transactions_of(height)?);
        }
        Ok(found)
    }

    /// A block, read from where blocks are kept.
    ///
    /// # Errors
    /// Damage, or [`Fault::Internal`] when no block file was lent or the height is above this one.
    pub fn block(&self, height: Height) -> Result<Arc<Block>, Fault> {
        match self.core.blocks.source() {
            Some(source) if height <= self.height => self.same(source.block(height)?),
            _ => Err(Fault::Internal(format!("block {} can't be read here", height.0))),
        }
    }

    /// A block that was read again must be the one that was applied.
    fn same(&self, block: Arc<Block>) -> Result<Arc<Block>, Fault> {
        let height = block.header.height;
        let known = self.core.chain.block(height)?.map(|record| record.hash);
        let found = block.header.hash();
        if known.is_some_and(|known| known != found) {
            let (file, offset) = ("block file".to_owned(), 0);
            let detail = format!("its header hashes to {found}, and another was applied");
            let fault = Fault::Damaged(Damage { height: Some(height), file, offset, detail });
            self.core.damage.write().entry(height).or_insert_with(|| fault.clone());
            return Err(fault);
        }
        Ok(block)
    }

    pub(crate) fn table(&self, table: Oid) -> Result<&Table, Fault> {
        let found = self.catalog.table(table);
        found.ok_or_else(|| Fault::Internal(format!("there is no table {}", table.0)))
    }

    pub(crate) fn index(&self, index: Oid) -> Result<&Index, Fault> {
        let found = self.catalog.index(index);
        found.ok_or_else(|| Fault::Internal(format!("there is no index {}", index.0)))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.core.chain
    }

    /// Fails if nothing can be read at all: the chain goes on behind a damaged block, where this state can't
    /// follow. Then even what the catalog doesn't know may be there.
    ///
    /// # Errors
    /// The damage.
    pub fn check_cut(&self) -> Result<(), Fault> {
        self.cut.clone().map_or(Ok(()), Err)
    }

    /// Fails if any of these places was written in a damaged block.
    pub(crate) fn check_damage(&self, chunk: &Chunk, places: &Places) -> Result<(), Fault> {
        let damage = self.core.damage.read();
        for (height, fault) in damage.range(..=self.height) {
            let before = height.0.checked_sub(1).map(|h| chunk.written_at(Height(h)));
            let hurt = before.unwrap_or(Ok(0))?..chunk.written_at(*height)?;
            let touched = match places {
                Places::First(count) => hurt.start < hurt.end && hurt.start < *count,
                Places::Some(places) => {
                    places.iter().any(|place| hurt.contains(&(*place as usize)))
                }
            };
            if touched {
                return Err(fault.clone());
            }
        }
        Ok(())
    }

    /// Fails if any of these was written in a damaged block.
    pub(crate) fn check_versions(
        &self,
        mut versions: impl Iterator<Item = VersionId>,
    ) -> Result<(), Fault> {
        self.check_cut()?;
        let damage = self.core.damage.read();
        if damage.is_empty() {
            return Ok(());
        }
        let hurt = versions.find_map(|version| damage.get(&version.height));
        hurt.map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// A version's row as it stands in its block, if it exists here and `wanted`.
    fn bytes(
        &self,
        table: Oid,
        version: VersionId,
        wanted: impl Fn(&Chunk, usize) -> Result<bool, Fault>,
    ) -> Result<Option<Row>, Fault> {
        self.check_versions(std::iter::once(version))?;
        if version.height > self.height {
            return Ok(None);
        }
        let Some(store) = self.core.versions(table) else { return Ok(None) };
        let see = |chunk: &Chunk, place| {
            if wanted(chunk, place)? { chunk.row(place) } else { Ok(None) }
        };
        Ok(store.with_version(version, see)?.flatten())
    }

    /// The short way for most lookups: one page of the present. Gives whether that was all there is.
    fn lookup_present(
        &self,
        index: Oid,
        table: Oid,
        key: &[u8],
        limit: usize,
        found: &mut Vec<VersionId>,
    ) -> Result<bool, Fault> {
        self.check_cut()?;
        let Some(store) = self.core.versions(table).filter(|it| it.end() > 0) else {
            return Ok(true);
        };
        let start = index::start(Space::Present, index, key);
        let Some(end) = index::after(&start) else { return Ok(false) };
        let bounds = (Bound::Included(start.as_slice()), Bound::Excluded(end.as_slice()));
        let page = self.core.index().page(bounds, false, limit)?;
        if page.len() >= limit && limit > 1
            || self.height < Height(self.core.settled.load(Ordering::Acquire))
        {
            return Ok(false);
        }
        for entry in &page {
            found.extend(lookup::alive(self, &store, entry)?);
        }
        Ok(page.is_empty() || !found.is_empty() || page.len() < limit)
    }

    /// The version that a hint shows, if it is alive here and has the key: in an index that allows one row
    /// with a key there is no other then.
    fn hinted(
        &self,
        index: Oid,
        definition: &Index,
        table: &Table,
        key: &[u8],
    ) -> Result<Option<VersionId>, Fault> {
        self.check_cut()?;
        let Some(row) = self.core.hints.row(index, key) else { return Ok(None) };
        let Some(store) = self.core.versions(definition.table) else { return Ok(None) };
        let has_key = |bytes: &[u8]| {
            let reader = RowReader::new(table, bytes).ok()?;
            let mut own = Vec::with_capacity(key.len());
            key::push_key_of_row(&mut own, &reader, &definition.columns).ok()?;
            Some(own == key)
        };
        let see = |chunk: &Chunk, place| {
            if chunk.peek(place, has_key).flatten() != Some(true)
                || !chunk.alive(place, self.height)?
            {
                return Ok(None);
            }
            chunk.version(place)
        };
        let version = store.with_row(row, see)?.flatten();
        self.check_versions(version.into_iter())?;
        Ok(version)
    }

    /// As [`Self::lookup`], the first `limit` of them.
    fn lookup_some(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, Fault> {
        let definition = self.index(index)?;
        let table = self.table(definition.table)?;
        // NULLs are distinct, so only an index over columns without them has one row alive for a key.
        let one = definition.unique
            && definition.columns.iter().all(|number| {
                crate::system_columns::user_column(table, *number)
                    .is_some_and(|column| column.not_null)
            });
        if one && let Some(version) = self.hinted(index, definition, table, key)? {
            return Ok(vec![version]);
        }
        let page = if one { 1 } else { 32 };
        let mut found = Vec::new();
        if self.lookup_present(index, definition.table, key, page, &mut found)? {
            found.sort_unstable();
            found.truncate(limit);
            return Ok(found);
        }
        // A key's versions stand newest first: the one that is alive is near the front, and many are in
        // order from the back.
        let (reverse, limit) = if one { (false, 1) } else { (true, limit) };
        Entries::exact(self, index, key, reverse).take(limit).collect()
    }
}

impl View for Snapshot {
    type Fault = Fault;

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn alive(&self, table: Oid, version: VersionId) -> Result<Option<Row>, Fault> {
        self.bytes(table, version, |chunk, place| chunk.alive(place, self.height))
    }

    fn find(&self, index: Oid, key: &[u8], limit: usize) -> Result<Vec<VersionId>, Fault> {
        self.lookup_some(index, key, limit)
    }

    fn holders(&self, index: Oid, keys: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        holders::holders(self, index, keys)
    }

    fn is_empty(&self, table: Oid) -> bool {
        self.cut.is_none() && self.core.versions(table).is_none_or(|versions| versions.end() == 0)
    }

    fn scan(
        &self,
        table: Oid,
        each: &mut dyn FnMut(VersionId, &Row) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.check_cut()?;
        let Some(store) = self.core.versions(table) else { return Ok(()) };
        for chunk in store.chunks_at(self.height)? {
            let places = chunk.alive_at(self.height)?;
            if places.len() == 0 {
                continue;
            }
            self.check_damage(&chunk, &places)?;
            let (marks, rows) = (chunk.marks()?, chunk.rows()?);
            for place in places.iter() {
                let (Some(version), Some(bytes)) = (marks.version(place), rows.get(place)) else {
                    continue;
                };
                let row = Row { bytes: bytes.to_vec() };
                if each(version, &row).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
