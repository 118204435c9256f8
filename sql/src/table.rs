//! A table of the ledger as DataFusion reads it: a snapshot's rows, with the session's own on top.
//! It knows neither statements nor expressions beyond equality with a constant.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use ledger::{ColumnNumber, Oid, Table, VersionId, key};
use storage::{Comparison, Condition, ScanColumn, Snapshot};

use crate::Error;
use crate::functions::free::{FREE_NAME, KEY_NAME};
use crate::functions::{Datum, datum_at, external};
use crate::read::Running;
use crate::scan::{Source, TableScan};
use crate::types::PgType;

/// A session's uncommitted rows of any table, laid over the snapshot it reads.
pub trait Overlay: Send + Sync + fmt::Debug {
    /// Whether it changes any row of the table.
    fn touches(&self, table: Oid) -> bool;

    /// Whether it replaces or deletes this version of the snapshot.
    fn ends(&self, table: Oid, version: VersionId) -> bool;

    /// Its own rows of the table, in batches with the asked columns in order. A row's `Version` is
    /// height `u64::MAX`, transaction 0, operation = its number in the overlay; what only the chain can
    /// give (block, transaction, time) is NULL.
    ///
    /// # Errors
    /// XX000 when a row doesn't read as its table's.
    fn batches(&self, table: Oid, columns: &[ScanColumn]) -> Result<Vec<RecordBatch>, Error>;
}

/// The system columns, hidden from `*`, in the order in which they follow a table's own.
pub(crate) const SYSTEM_COLUMNS: &[(&str, ScanColumn, PgType)] = &[
    ("ledger_block", ScanColumn::Block, PgType::Int8),
    ("ledger_tx", ScanColumn::Transaction, PgType::Uuid),
    ("ledger_time", ScanColumn::Time, PgType::Timestamptz),
    ("ledger_user", ScanColumn::User_, PgType::Text),
    ("ledger_version", ScanColumn::Version, PgType::Uuid),
];

/// A table as of a snapshot.
pub(crate) struct LedgerTable {
    oid: Oid,
    snapshot: Snapshot,
    overlay: Option<Arc<dyn Overlay>>,
    /// It shows this snapshot whenever it is read; else the running query's, since plans outlive statements.
    fixed: bool,
    columns: Vec<(ScanColumn, PgType)>,
    schema: SchemaRef,
    /// Unique and plain indexes: OID and columns.
    indexes: Vec<(Oid, Vec<ColumnNumber>)>,
    /// The columns' ledger types, by number.
    kinds: BTreeMap<ColumnNumber, ledger::Type>,
}

impl fmt::Debug for LedgerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerTable({})", self.oid.0)
    }
}

impl LedgerTable {
    /// A table of the snapshot, with its own columns first (dropped ones left out), then the system's.
    pub(crate) fn new(
        oid: Oid,
        table: &Table,
        snapshot: Snapshot,
        overlay: Option<Arc<dyn Overlay>>,
    ) -> Self {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        let mut kinds = BTreeMap::new();
        for column in table.columns.iter().filter(|column| !column.dropped) {
            let kind = PgType::of(&column.kind);
            fields.push(Field::new(
                format!("{}.{}", column.number.0, column.name),
                kind.arrow(),
                true,
            ));
            columns.push((ScanColumn::User(column.number), kind));
            kinds.insert(column.number, column.kind.clone());
        }
        for (name, column, kind) in SYSTEM_COLUMNS {
            fields.push(Field::new(*name, kind.arrow(), true));
            columns.push((*column, kind.clone()));
        }
        let overlay = overlay.filter(|overlay| overlay.touches(oid));
        // An index that only the transaction's own catalog has knows no rows of the snapshot.
        let indexes = snapshot
            .catalog()
            .indexes_of(oid)
            .map(|(index, definition)| (index, definition.columns.clone()))
            .collect();
        Self {
            oid,
            snapshot,
            overlay,
            fixed: false,
            columns,
            schema: Arc::new(Schema::new(fields)),
            indexes,
            kinds,
        }
    }

    /// The same, of one height for ever.
    pub(crate) fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    /// The table, and the snapshot of one of a fixed height.
    pub(crate) fn what(&self) -> (Oid, Option<Snapshot>) {
        (self.oid, self.fixed.then(|| self.snapshot.clone()))
    }

    /// Its indexes with their columns.
    pub(crate) fn indexes(&self) -> &[(Oid, Vec<ColumnNumber>)] {
        &self.indexes
    }

    /// Its columns by field.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (String, ScanColumn, PgType)> {
        let fields = self.schema.fields().iter().zip(&self.columns);
        fields.map(|(field, (column, kind))| (field.name().clone(), *column, kind.clone()))
    }

    /// What a query reads: its own snapshot and rows, unless the height is fixed.
    fn current(&self, state: &dyn Session) -> (Snapshot, Option<Arc<dyn Overlay>>) {
        match state.config_options().extensions.get::<Running>() {
            Some(Running(context)) if !self.fixed => {
                let overlay = context.overlay.clone().filter(|overlay| overlay.touches(self.oid));
                (context.snapshot.clone(), overlay)
            }
            _ => (self.snapshot.clone(), self.overlay.clone()),
        }
    }

    /// The number of the column that a filter's column names.
    fn number(&self, name: &str) -> Option<ColumnNumber> {
        let index = self.schema.index_of(name).ok()?;
        match self.columns.get(index)? {
            (ScanColumn::User(number), _) => Some(*number),
            _ => None,
        }
    }

    /// The column whose value is compared. A numeric may be compared by its key, which is equal when the
    /// number is.
    fn compared(&self, expr: &Expr) -> Option<ColumnNumber> {
        match expr {
            Expr::Column(c) => self.number(&c.name),
            Expr::ScalarFunction(call) if matches!(call.func.name(), KEY_NAME | FREE_NAME) => {
                let number = self.compared(call.args.first()?)?;
                let kind = PgType::of(self.kinds.get(&number)?);
                matches!(kind, PgType::Numeric(_)).then_some(number)
            }
            _ => None,
        }
    }

    /// `column = constant`, or `column IN (constants)`.
    fn equality(&self, filter: &Expr) -> Option<(ColumnNumber, Vec<ScalarValue>)> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (compared, Expr::Literal(value, _)) | (Expr::Literal(value, _), compared) => {
                        Some((self.compared(compared)?, vec![value.clone()]))
                    }
                    _ => None,
                }
            }
            Expr::InList(list) if !list.negated && list.list.len() <= 1000 => {
                let number = self.compared(&list.expr)?;
                let values = list.list.iter().map(|item| match item {
                    Expr::Literal(value, _) => Some(value.clone()),
                    _ => None,
                });
                Some((number, values.collect::<Option<_>>()?))
            }
            // What the optimizer makes of a short IN list.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let (a, mut values) = self.equality(left)?;
                let (b, more) = self.equality(right)?;
                values.extend(more);
                (a == b).then_some((a, values))
            }
            _ => None,
        }
    }

    /// What a filter says of single columns, in words that files' statistics can answer.
    fn conditions(&self, filter: &Expr, found: &mut Vec<Condition>) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.conditions(left, found);
                self.conditions(right, found);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (column, value, op) = match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(c), Expr::Literal(value, _)) => (c, value, Some(*op)),
                    (Expr::Literal(value, _), Expr::Column(c)) => (c, value, op.swap()),
                    _ => return,
                };
                found.extend(op.and_then(|op| self.condition(&column.name, op, value)));
            }
            Expr::Between(between) if !between.negated => {
                let Expr::Column(c) = between.expr.as_ref() else { return };
                for (bound, op) in [(&between.low, Operator::GtEq), (&between.high, Operator::LtEq)]
                {
                    if let Expr::Literal(value, _) = bound.as_ref() {
                        found.extend(self.condition(&c.name, op, value));
                    }
                }
            }
            _ => {}
        }
    }

    fn condition(&self, name: &str, op: Operator, value: &ScalarValue) -> Option<Condition> {
        let comparison = match op {
            Operator::Eq => Comparison::Equal,
            Operator::Lt => Comparison::Less,
            Operator::LtEq => Comparison::LessOrEqual,
            Operator::Gt => Comparison::Greater,
            Operator::GtEq => Comparison::GreaterOrEqual,
            _ => return None,
        };
        if value.is_null() {
            return None;
        }
        let (column, value) = (self.number(name)?, value.to_array().ok()?);
        Some(Condition { column, comparison, value })
    }

    /// The versions that the filters leave over, by an index that they fix wholly; `None`: scan.
    fn by_index(
        &self,
        snapshot: &Snapshot,
        filters: &[Expr],
    ) -> Result<Option<Vec<VersionId>>, Error> {
        let mut fixed: BTreeMap<ColumnNumber, Vec<ScalarValue>> = BTreeMap::new();
        for filter in filters {
            if let Some((number, values)) = self.equality(filter) {
                let known = fixed.entry(number).or_insert_with(|| values.clone());
                if values.len() < known.len() {
                    *known = values;
                }
            }
        }
        let usable = self
            .indexes
            .iter()
            .filter(|(_, columns)| columns.iter().all(|number| fixed.contains_key(number)))
            .max_by_key(|(_, columns)| columns.len());
        let Some((index, columns)) = usable else { return Ok(None) };
        let mut keys: Vec<Vec<ledger::Value>> = vec![Vec::new()];
        for number in columns {
            let (Some(values), Some(kind)) = (fixed.get(number), self.kinds.get(number)) else {
                return Ok(None);
            };
            if keys.len() * values.len() > 10_000 {
                return Ok(None);
            }
            let mut longer = Vec::with_capacity(keys.len() * values.len());
            for prefix in &keys {
                for value in values {
                    let array = value.to_array().map_err(Error::from)?;
                    let datum: Datum = datum_at(array.as_ref(), 0)?;
                    if datum.is_null() {
                        continue;
                    }
                    let Some(value) = datum.value(&PgType::of(kind)) else { return Ok(None) };
                    let mut key = prefix.clone();
                    key.push(value);
                    longer.push(key);
                }
            }
            keys = longer;
        }
        let mut versions = Vec::new();
        for values in keys {
            let bytes = key::encode_key(&values);
            versions.extend(snapshot.lookup(*index, &bytes).map_err(fault)?);
        }
        versions.sort_unstable();
        versions.dedup();
        Ok(Some(versions))
    }
}

/// This node's own fault, as a client is told it.
pub(crate) fn fault(fault: storage::Fault) -> Error {
    fault.into()
}

#[async_trait]
impl TableProvider for LedgerTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let chosen = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(chosen)?);
        let columns: Vec<ScanColumn> =
            chosen.iter().filter_map(|i| self.columns.get(*i)).map(|(column, _)| *column).collect();
        let (snapshot, overlay) = self.current(state);
        let versions = self.by_index(&snapshot, filters).map_err(external)?;
        let mut conditions = Vec::new();
        for filter in filters {
            self.conditions(filter, &mut conditions);
        }
        let source = Source {
            table: self.oid,
            snapshot,
            overlay,
            columns,
            conditions,
            counts: Arc::default(),
            schema,
            versions,
        };
        let streams = state.config_options().execution.target_partitions;
        Ok(Arc::new(TableScan::new(source, streams, limit)))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                let mut conditions = Vec::new();
                self.conditions(filter, &mut conditions);
                if conditions.is_empty() && self.equality(filter).is_none() {
                    TableProviderFilterPushDown::Unsupported
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = usize::try_from(self.snapshot.row_count(self.oid)).ok()?;
        statistics.num_rows = Precision::Inexact(rows);
        Some(statistics)
    }
}
