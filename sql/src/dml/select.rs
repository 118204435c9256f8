//! Rows that the planner gives to statements that write: new values for INSERT and UPDATE, versions
//! for UPDATE, DELETE and row locks, expressions over rows that are at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::sql::sqlparser::ast;
use ledger::{Column, Table, Type, Value, VersionId};

use super::constant::assign_value;
use super::others::Beside;
use crate::Error;
use crate::functions::{Datum, Function, cast, datum_at};
use crate::outcome::{Parameter, ResultColumn};
use crate::read::{self, Extension, QueryContext, VirtualTable};
use crate::session::Session;
use crate::settings::Zone;
use crate::statement::Statement;
use crate::types::{Digits, Numeric, PgType};

/// A row that a statement writes to: its version, and values for some columns.
pub(super) type Selected = (VersionId, Vec<Value>);

impl Session {
    /// A query's rows, as the columns that they are for store them. A query may give fewer columns.
    pub(super) async fn rows_for(
        &mut self,
        statement: &Statement,
        query: impl FnOnce() -> Result<ast::Query, Error> + Send,
        targets: &[&Column],
        parameters: &[Parameter],
    ) -> Result<Vec<Vec<Value>>, Error> {
        let kinds: Vec<PgType> = targets.iter().map(|column| PgType::of(&column.kind)).collect();
        let planned = self.planned(statement, query, Some(&kinds), parameters)?;
        self.admit_reads(&planned)?;
        if planned.types.len() > targets.len() {
            return Err(Error::new("42601", "INSERT has more expressions than target columns"));
        }
        let zone = self.zone();
        if let Some(rows) = self.point_rows(statement, &planned, parameters) {
            let rows = rows.into_iter();
            return rows.map(|(_, row)| stored(row, &planned.types, targets, zone)).collect();
        }
        let context = self.query_context(statement)?;
        let batches = read::collect(&context, &planned, parameters).await?;
        let mut all = Vec::new();
        for batch in &batches {
            self.bounds.check()?;
            for place in 0..batch.num_rows() {
                all.push(values_at(batch, 0, &planned.types, targets, place, zone)?);
            }
        }
        Ok(all)
    }

    /// The rows that a statement writes to: the query's first column is their version. A row that comes
    /// twice is taken once, as PostgreSQL does. What the query gives beside is kept if that `matters`.
    pub(super) async fn selected(
        &mut self,
        statement: &Statement,
        query: impl FnOnce() -> Result<ast::Query, Error> + Send,
        targets: &[&Column],
        target: (ledger::Oid, bool),
        parameters: &[Parameter],
        matters: bool,
    ) -> Result<(Vec<Selected>, Option<Beside>), Error> {
        let mut kinds = vec![PgType::Uuid];
        kinds.extend(targets.iter().map(|column| PgType::of(&column.kind)));
        let planned = self.planned(statement, query, Some(&kinds), parameters)?;
        self.admit_written(&planned, target)?;
        let zone = self.zone();
        let kinds = planned.types.get(1..).unwrap_or_default();
        if let Some(rows) = self.point_rows(statement, &planned, parameters) {
            let mut all = Vec::with_capacity(rows.len());
            for (version, mut row) in rows {
                let version = version.ok_or_else(|| Error::internal("a row without a version"))?;
                row.remove(0);
                all.push((version, stored(row, kinds, targets, zone)?));
            }
            return Ok((all, None));
        }
        let context = self.query_context(statement)?;
        let batches = read::collect(&context, &planned, parameters).await?;
        let mut seen = std::collections::BTreeSet::new();
        let mut all = Vec::new();
        let mut beside = Vec::new();
        for batch in &batches {
            self.bounds.check()?;
            let mut taken = Vec::new();
            for place in 0..batch.num_rows() {
                let version = crate::rows::version_at(batch.column(0), place)?;
                if seen.insert(version) {
                    taken.push(u32::try_from(place).unwrap_or(u32::MAX));
                    all.push((version, values_at(batch, 1, kinds, targets, place, zone)?));
                }
            }
            if matters {
                let taken = arrow::array::UInt32Array::from(taken);
                beside.push(
                    arrow::compute::take_record_batch(batch, &taken)
                        .map_err(|error| Error::internal(error.to_string()))?,
                );
            }
        }
        Ok((all, matters.then_some(Beside { planned, batches: beside })))
    }

    /// As `admit_reads`, but the target's own rows need SELECT only when the statement looks at them.
    fn admit_written(
        &mut self,
        planned: &read::Planned,
        (target, looks): (ledger::Oid, bool),
    ) -> Result<(), Error> {
        let catalog = self.catalog()?;
        for oid in &planned.reads {
            if *oid != target || looks {
                self.need_privilege(&catalog, *oid, ledger::catalog::Privilege::Select)?;
            }
        }
        crate::session::query::need_owners_privileges(&catalog, planned)?;
        self.note_reads(planned);
        Ok(())
    }

    /// Expressions over rows at hand, which stand as a table of this alias.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(super) async fn evaluate_over(
        &mut self,
        statement: &Statement,
        oid: ledger::Oid,
        table: &Table,
        alias: &str,
        rows: &[&[Value]],
        items: &[ast::SelectItem],
        parameters: &[Parameter],
    ) -> Result<(Vec<ResultColumn>, Vec<RecordBatch>), Error> {
        let at_hand = AtHand::new([(alias, oid, table, rows)])?;
        let context = self.query_context_with(statement, &[Arc::new(at_hand)])?;
        let query = select_from(items.to_vec(), vec![named(alias)], None);
        let (planned, batches) = self.collect(&context, &query, None, parameters).await?;
        self.admit_reads(&planned)?;
        Ok((planned.columns, batches))
    }
}

/// A number with as many digits as its column keeps, since on the way it may have had more than 38.
fn storable(datum: Datum, kind: &Type) -> Result<Datum, Error> {
    Ok(match (datum, kind) {
        (Datum::Numeric(number), Type::Numeric { precision, scale }) => {
            let (precision, scale) = (*precision, *scale);
            cast::shaped(number, &Numeric { precision, scale, digits: Digits::Declared })?
        }
        (Datum::Numeric(number), Type::Float4 | Type::Float8) if number.to_decimal().is_err() => {
            Datum::Float(number.to_f64())
        }
        (Datum::Numeric(number), Type::Text | Type::Varchar(_) | Type::Char(_)) => {
            number.to_string().into()
        }
        (Datum::Numeric(number), _) => Datum::Numeric(number.to_decimal()?.into()),
        (datum, _) => datum,
    })
}

/// The values of a row of a batch from a column on, as the target columns store them.
pub(crate) fn values_at(
    batch: &RecordBatch,
    from: usize,
    kinds: &[PgType],
    targets: &[&Column],
    place: usize,
    zone: Zone,
) -> Result<Vec<Value>, Error> {
    let columns = batch.columns().get(from..).unwrap_or_default();
    let row = columns.iter().map(|array| datum_at(array.as_ref(), place));
    stored(row.collect::<Result<Vec<_>, _>>()?, kinds, targets, zone)
}

/// Values of these types, as the target columns store them.
fn stored(
    row: Vec<Datum>,
    kinds: &[PgType],
    targets: &[&Column],
    zone: Zone,
) -> Result<Vec<Value>, Error> {
    let values = row.into_iter().zip(kinds).zip(targets);
    values
        .map(|((datum, kind), column)| {
            let datum = storable(datum, &column.kind)?;
            let value = datum.value(kind).ok_or_else(|| {
                Error::new(
                    "42804",
                    format!(
                        "column \"{}\" is of type {} but expression is of type {}",
                        column.name,
                        column.kind.base_name(),
                        kind
                    ),
                )
                .with_hint("You will need to rewrite or cast the expression.")
            })?;
            match (value, kind) {
                (Value::Text(text), PgType::Unknown) => {
                    Ok(Value::parse(&text, &column.kind, &zone)?)
                }
                (value, _) => assign_value(value, column, zone),
            }
        })
        .collect()
}

/// Rows at hand as a relation in FROM, under this name.
pub(super) fn named(name: &str) -> ast::TableWithJoins {
    relation(&[hand(name)], Some(name))
}

/// What rows at hand are called in FROM: a table of the same name, which a subquery may read, is another relation.
fn hand(name: &str) -> String {
    format!("\u{1}{name}")
}

/// A relation in FROM, with its alias.
pub(crate) fn relation(name: &[String], alias: Option<&str>) -> ast::TableWithJoins {
    let ident = |name: &str| ast::Ident::with_quote('"', name);
    ast::TableWithJoins {
        relation: ast::TableFactor::Table {
            name: ast::ObjectName(
                name.iter().map(|part| ast::ObjectNamePart::Identifier(ident(part))).collect(),
            ),
            alias: alias.map(|alias| ast::TableAlias {
                explicit: true,
                name: ident(alias),
                columns: Vec::new(),
                at: None,
            }),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        joins: Vec::new(),
    }
}

/// `SELECT items FROM from WHERE selection`
pub(crate) fn select_from(
    items: Vec<ast::SelectItem>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
) -> ast::Query {
    let select = ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: items,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection,
        connect_by: Vec::new(),
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    };
    ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `alias.column` as an item of a select list.
pub(super) fn item(alias: &str, column: &str) -> ast::SelectItem {
    ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![
        ast::Ident::with_quote('"', alias),
        ast::Ident::with_quote('"', column),
    ]))
}

/// Rows at hand, as relations of a query.
pub(super) struct AtHand(BTreeMap<String, VirtualTable>);

impl AtHand {
    /// Each with its name, its table, and its rows.
    pub(super) fn new<'a>(
        relations: impl IntoIterator<Item = (&'a str, ledger::Oid, &'a Table, &'a [&'a [Value]])>,
    ) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for (name, oid, table, rows) in relations {
            let columns: Vec<&Column> = table.live_columns().collect();
            let batch = crate::rows::batch_of(oid, &columns, rows)?;
            let schema = batch.schema();
            let provider = MemTable::try_new(schema, vec![vec![batch]])?;
            let columns = columns
                .iter()
                .map(|column| (column.name.clone(), PgType::of(&column.kind)))
                .collect();
            all.insert(
                hand(name),
                VirtualTable { oid: 0, columns, hidden: 0, provider: Arc::new(provider) },
            );
        }
        Ok(Self(all))
    }

    /// Relations that are made already, each with its name.
    pub(super) fn of(relations: Vec<(String, VirtualTable)>) -> Self {
        Self(relations.into_iter().map(|(name, table)| (hand(&name), table)).collect())
    }
}

impl Extension for AtHand {
    fn table(
        &self,
        _context: &QueryContext,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Option<VirtualTable>, Error> {
        Ok(if schema.is_none() { self.0.get(name).cloned() } else { None })
    }

    fn functions(&self, _schema: Option<&str>, _name: &str) -> Vec<Arc<Function>> {
        Vec::new()
    }
}
