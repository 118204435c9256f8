//! Point statements: a query that looks rows up by a whole key of one table, or gives rows of its own,
//! made ready to run row by row. DataFusion plans such a query for longer than it takes to answer it.
//!
//! It is made of the plan that the planner made, and calls the planner's functions, so that both ways
//! mean the same. What it can't do it doesn't decide: the answer is `None`, and the ordinary way is taken,
//! also for every error. It knows no session.

mod node;

use std::collections::BTreeMap;

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan};
use ledger::{ColumnNumber, Oid, RowReader, Value, VersionId, View, key};
use storage::{ScanColumn, Snapshot};

use crate::functions::{Datum, shaped};
use crate::overlay::Sight;
use crate::table::LedgerTable;
use crate::types::PgType;
use node::Maker;
pub(crate) use node::{Env, Node};

/// More rows than these for one key are the ordinary way's.
const MOST_ROWS: usize = 256;

/// A query that needs no planner any more.
#[derive(Debug)]
pub(crate) struct Point {
    source: Source,
    filters: Vec<Node>,
    outputs: Vec<Node>,
    /// Whether it calls functions, which look into the query's context.
    calls: bool,
}

#[derive(Debug)]
enum Source {
    /// Rows of a table.
    Lookup(Lookup),
    /// Rows that need nothing, each with its columns.
    Rows(Vec<Vec<Node>>),
}

/// Which rows of a table are looked up, and what is read of them.
#[derive(Debug)]
struct Lookup {
    table: Oid,
    index: Oid,
    /// The state that is looked into; nothing is the session's own sight.
    past: Option<Snapshot>,
    /// What the index's columns must be, in its order, with the columns' types.
    key: Vec<(Node, PgType)>,
    columns: Vec<(ColumnNumber, PgType)>,
}

/// A plan's part, and what its columns are.
struct Part {
    source: Option<Scan>,
    rows: Vec<Vec<Node>>,
    filters: Vec<Node>,
    columns: BTreeMap<String, Node>,
}

/// A table that is read.
struct Scan {
    table: Oid,
    past: Option<Snapshot>,
    indexes: Vec<(Oid, Vec<ColumnNumber>)>,
    columns: Vec<(ColumnNumber, PgType)>,
}

impl Point {
    /// Makes a plan ready; `None` if it isn't a point statement's. `kinds` are the types of its result.
    pub(crate) fn of(plan: &LogicalPlan, kinds: &[PgType]) -> Option<Self> {
        // Shown by name, which is the ordinary way's.
        if kinds.iter().any(|kind| matches!(kind, PgType::Reg(_) | PgType::Record(_))) {
            return None;
        }
        let mut maker = Maker::default();
        let Part { source, rows, filters, mut columns } = part(&mut maker, plan)?;
        let outputs = plan.schema().fields().iter();
        let outputs = outputs.map(|field| columns.remove(field.name())).collect::<Option<Vec<_>>>();
        let outputs = outputs.filter(|outputs| outputs.len() == kinds.len())?;
        let source = match source {
            Some(scan) => Source::Lookup(lookup(scan, &filters)?),
            None => Source::Rows(rows),
        };
        Some(Self { source, filters, outputs, calls: maker.calls })
    }

    /// Whether it needs the query's context to run.
    pub(crate) fn calls(&self) -> bool {
        self.calls
    }

    /// Its rows, each with its version (rows of no table have none); `None` if the ordinary way must be
    /// taken.
    pub(crate) fn rows(
        &self,
        sight: &Sight<'_>,
        env: Env<'_>,
    ) -> Option<Vec<(Option<VersionId>, Vec<Datum>)>> {
        let mut found = Vec::new();
        match &self.source {
            Source::Rows(rows) => {
                for row in rows {
                    let row =
                        row.iter().map(|node| node.value(&env)).collect::<Option<Vec<_>>>()?;
                    self.take(Env { row: &row, ..env }, &mut found)?;
                }
            }
            Source::Lookup(lookup) => {
                let Some(key) = lookup.key(&env)? else { return Some(found) };
                match &lookup.past {
                    Some(past) => self.look_up(lookup, past, &key, env, &mut found)?,
                    None => self.look_up(lookup, sight, &key, env, &mut found)?,
                }
            }
        }
        Some(found)
    }

    /// Adds what becomes of the rows with a key in a state.
    fn look_up(
        &self,
        lookup: &Lookup,
        view: &impl View,
        key: &[u8],
        env: Env<'_>,
        found: &mut Vec<(Option<VersionId>, Vec<Datum>)>,
    ) -> Option<()> {
        let mut versions = view.find(lookup.index, key, MOST_ROWS + 1).ok()?;
        if versions.len() > MOST_ROWS {
            return None;
        }
        versions.sort_unstable();
        let table = view.catalog().table(lookup.table)?;
        for version in versions {
            let Some(row) = view.alive(lookup.table, version).ok()? else { continue };
            let reader = RowReader::new(table, &row.bytes).ok()?;
            let columns = lookup.columns.iter();
            let row = columns
                .map(|(number, kind)| shaped(kind, Datum::of(reader.value(*number).ok()?)).ok())
                .collect::<Option<Vec<_>>>()?;
            self.take(Env { row: &row, version: Some(version), ..env }, found)?;
        }
        Some(())
    }

    /// Adds what becomes of a row, if it passes the filters.
    fn take(&self, env: Env<'_>, found: &mut Vec<(Option<VersionId>, Vec<Datum>)>) -> Option<()> {
        for filter in &self.filters {
            match filter.value(&env)? {
                Datum::Bool(true) => {}
                Datum::Bool(false) | Datum::Null => return Some(()),
                _ => return None,
            }
        }
        let row = self.outputs.iter().map(|node| node.value(&env)).collect::<Option<Vec<_>>>()?;
        found.push((env.version, row));
        Some(())
    }
}

impl Lookup {
    /// The key's bytes; `Some(None)` if no row can have it.
    fn key(&self, env: &Env<'_>) -> Option<Option<Vec<u8>>> {
        let mut values: Vec<Value> = Vec::with_capacity(self.key.len());
        for (node, kind) in &self.key {
            let value = match node.value(env)? {
                Datum::Null => return Some(None),
                // A wider integer than the column's.
                value @ Datum::Int(_) => match value.value(kind) {
                    Some(value) => value,
                    None => return Some(None),
                },
                value => value.value(kind)?,
            };
            values.push(value);
        }
        Some(Some(key::encode_key(&values)))
    }
}

fn part(maker: &mut Maker, plan: &LogicalPlan) -> Option<Part> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let mut below = part(maker, &projection.input)?;
            let mut columns = BTreeMap::new();
            for expr in &projection.expr {
                // One that there is no node for is missed by whoever asks for it, if anyone does.
                if let Some(node) = maker.node(expr, &below.columns) {
                    columns.insert(expr.qualified_name().1, node);
                }
            }
            below.columns = columns;
            Some(below)
        }
        LogicalPlan::Filter(filter) => {
            let mut below = part(maker, &filter.input)?;
            for conjunct in datafusion::logical_expr::utils::split_conjunction(&filter.predicate) {
                below.filters.push(maker.node(conjunct, &below.columns)?);
            }
            Some(below)
        }
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<LedgerTable>()?;
            (scan.projection.is_none() && scan.filters.is_empty() && scan.fetch.is_none())
                .then(|| scanned(table))
        }
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(Part {
            source: None,
            rows: vec![Vec::new()],
            filters: Vec::new(),
            columns: BTreeMap::new(),
        }),
        LogicalPlan::Values(values) => {
            let none = BTreeMap::new();
            let row = |row: &Vec<Expr>| {
                row.iter().map(|expr| maker.node(expr, &none)).collect::<Option<Vec<_>>>()
            };
            let rows = values.values.iter().map(row).collect::<Option<Vec<_>>>()?;
            let fields = values.schema.fields().iter().enumerate();
            let columns =
                fields.map(|(place, field)| (field.name().clone(), Node::Column(place))).collect();
            Some(Part { source: None, rows, filters: Vec::new(), columns })
        }
        _ => None,
    }
}

fn scanned(table: &LedgerTable) -> Part {
    let (oid, past) = table.what();
    let indexes = table.indexes().to_vec();
    let mut read = Vec::new();
    let mut columns = BTreeMap::new();
    for (name, column, kind) in table.shown() {
        let node = match column {
            ScanColumn::User(number) => {
                read.push((number, kind));
                Node::Column(read.len() - 1)
            }
            ScanColumn::Version => Node::Version,
            _ => continue,
        };
        columns.insert(name, node);
    }
    let source = Some(Scan { table: oid, past, indexes, columns: read });
    Part { source, rows: Vec::new(), filters: Vec::new(), columns }
}

/// The lookup by the longest index that the filters fix wholly.
fn lookup(scan: Scan, filters: &[Node]) -> Option<Lookup> {
    let mut fixed: BTreeMap<ColumnNumber, (&Node, &PgType)> = BTreeMap::new();
    for (place, value) in filters.iter().filter_map(Node::equality) {
        let (number, kind) = scan.columns.get(place)?;
        if is_key_type(kind) {
            fixed.entry(*number).or_insert((value, kind));
        }
    }
    let usable = |columns: &[ColumnNumber]| columns.iter().all(|number| fixed.contains_key(number));
    let indexes = scan.indexes.iter().filter(|(_, columns)| usable(columns));
    let (index, columns) = indexes.max_by_key(|(_, columns)| columns.len())?;
    let key = columns.iter().filter_map(|number| fixed.get(number));
    let key = key.map(|(node, kind)| ((*node).clone(), (*kind).clone())).collect();
    Some(Lookup { table: scan.table, index: *index, past: scan.past, key, columns: scan.columns })
}

/// Types whose equality is that of their keys' bytes, and which nothing but a bare column compares.
fn is_key_type(kind: &PgType) -> bool {
    kind.is_integer()
        || kind.is_text()
        || matches!(
            kind,
            PgType::Bool
                | PgType::Bytea
                | PgType::Date
                | PgType::Time
                | PgType::Timestamp
                | PgType::Timestamptz
                | PgType::Uuid
                | PgType::Numeric(_)
        )
}
