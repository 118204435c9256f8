//! RETURNING of a statement that reads other tables, too: the other tables' rows stand beside those that were written.
//! The query that finds the rows gives the others' columns along; here they become relations again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::sql::sqlparser::ast;
use ledger::{Column, Oid, Table, Value};

use super::returning::plain_column;
use super::select::{AtHand, named, select_from};
use crate::Error;
use crate::outcome::{Outcome, Parameter, ResultColumn, Tag};
use crate::read::{self, PlanOptions, Planned, VirtualTable};
use crate::session::Session;
use crate::statement::{Statement, name_of, parts_of};
use crate::types::PgType;

/// Tells the rows that belong together.
const ROW: &str = "ledger_row";
/// Stands before each relation's columns in the query that finds the rows.
const MARK: &str = "ledger_mark";

/// What RETURNING asks of the relations beside the table that is written to.
pub(crate) struct Others<'a> {
    items: &'a [ast::SelectItem],
    /// The relations' names, in order.
    names: Vec<String>,
}

/// The columns of other relations: where each relation's begin and end in the query's result.
type Ranges = Vec<(String, std::ops::Range<usize>)>;

impl<'a> Others<'a> {
    /// What RETURNING asks for; `None` when it only asks for the columns of the table itself.
    ///
    /// # Errors
    /// 0A000 for a relation whose columns can't be told from others'.
    pub(crate) fn of(
        table: &Table,
        alias: &str,
        from: &[ast::TableWithJoins],
        returning: Option<&'a [ast::SelectItem]>,
    ) -> Result<Option<Self>, Error> {
        let Some(items) = returning.filter(|_| !from.is_empty()) else { return Ok(None) };
        if items.iter().all(|item| is_own(table, alias, item)) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for item in from {
            names_of(item, &mut names)?;
        }
        Ok(Some(Self { items, names }))
    }

    /// The items that give the relations' columns.
    pub(crate) fn selected(&self) -> impl Iterator<Item = ast::SelectItem> {
        self.names.iter().flat_map(|name| {
            let mark = ast::SelectItem::ExprWithAlias {
                expr: ast::Expr::Value(ast::Value::Boolean(true).into()),
                alias: ast::Ident::with_quote('"', MARK),
            };
            let name = ast::ObjectName(vec![ast::ObjectNamePart::Identifier(
                ast::Ident::with_quote('"', name),
            )]);
            let all = ast::SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                ast::WildcardAdditionalOptions::default(),
            );
            [mark, all]
        })
    }

    fn ranges(&self, planned: &Planned) -> Ranges {
        let marks: Vec<usize> = planned
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.name == MARK)
            .map(|(place, _)| place)
            .collect();
        let ends = marks.iter().skip(1).copied().chain([planned.columns.len()]);
        let ranges = marks.iter().zip(ends).map(|(mark, end)| mark + 1..end);
        self.names.iter().cloned().zip(ranges).collect()
    }
}

/// Whether an item is a column of the table itself, under its name.
fn is_own(table: &Table, alias: &str, item: &ast::SelectItem) -> bool {
    let qualified = |expr: &ast::Expr| {
        matches!(expr, ast::Expr::CompoundIdentifier(_))
            && plain_column(table, alias, expr).is_some()
    };
    match item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
            qualified(expr)
        }
        _ => false,
    }
}

/// The names of the relations of an item of FROM.
fn names_of(item: &ast::TableWithJoins, names: &mut Vec<String>) -> Result<(), Error> {
    for join in &item.joins {
        use ast::JoinOperator as J;
        let constraint = match &join.join_operator {
            J::Join(c)
            | J::Inner(c)
            | J::Left(c)
            | J::LeftOuter(c)
            | J::Right(c)
            | J::RightOuter(c)
            | J::FullOuter(c)
            | J::CrossJoin(c) => Some(c),
            _ => None,
        };
        if matches!(constraint, Some(ast::JoinConstraint::Using(_) | ast::JoinConstraint::Natural))
        {
            return Err(Error::unsupported(
                "RETURNING beside a join with USING",
                "Write the join with ON, or qualify each column of RETURNING with the written table's name.",
            ));
        }
    }
    let factors = std::iter::once(&item.relation).chain(item.joins.iter().map(|j| &j.relation));
    for factor in factors {
        use ast::TableFactor as F;
        let (alias, name) = match factor {
            F::Table { alias, name, .. } => (alias.as_ref(), parts_of(name)?.pop()),
            F::Function { alias, name, .. } => (alias.as_ref(), parts_of(name)?.pop()),
            F::Derived { alias, .. } => (alias.as_ref(), None),
            F::UNNEST { alias, .. } => (alias.as_ref(), Some("unnest".to_owned())),
            F::NestedJoin { table_with_joins, alias: None } => {
                names_of(table_with_joins, names)?;
                continue;
            }
            F::NestedJoin { alias, .. } => (alias.as_ref(), None),
            _ => (None, None),
        };
        let found = alias.map(|alias| name_of(&alias.name)).or(name);
        names.push(found.ok_or_else(|| {
            Error::unsupported("RETURNING beside a relation without a name", "Give it an alias.")
        })?);
    }
    Ok(())
}

/// The rows of other relations that belong to the rows a statement writes to.
pub(super) struct Beside {
    pub(super) planned: Arc<Planned>,
    /// In the order in which the rows were found.
    pub(super) batches: Vec<RecordBatch>,
}

impl Beside {
    /// The rows at these places alone.
    pub(super) fn take(&self, places: &[u32]) -> Result<RecordBatch, Error> {
        let internal = |error: arrow::error::ArrowError| Error::internal(error.to_string());
        let Some(first) = self.batches.first() else {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.planned.schema)));
        };
        let all = arrow::compute::concat_batches(&first.schema(), &self.batches);
        let places = UInt32Array::from(places.to_vec());
        arrow::compute::take_record_batch(&all.map_err(internal)?, &places).map_err(internal)
    }
}

/// A type as a relation's column has it: names of objects and rows come as texts.
fn shown(kind: &PgType) -> PgType {
    match kind {
        PgType::Reg(_) | PgType::Record(_) | PgType::Unknown => PgType::Text,
        kind => kind.clone(),
    }
}

/// Columns as a relation, with the rows' numbers hidden behind them.
fn numbered(
    mut columns: Vec<(String, PgType)>,
    mut arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<VirtualTable, Error> {
    let numbers: Int64Array = (0..rows).map(|row| i64::try_from(row).ok()).collect();
    arrays.push(Arc::new(numbers));
    columns.push((ROW.to_owned(), PgType::Int8));
    let fields = arrays.iter().enumerate().map(|(place, array)| {
        let kind: DataType = array.data_type().clone();
        Field::new(format!("f{place}"), kind, true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|error| Error::internal(error.to_string()))?;
    let provider = MemTable::try_new(schema, vec![vec![batch]])?;
    Ok(VirtualTable { oid: 0, columns, hidden: 1, provider: Arc::new(provider) })
}

impl Session {
    /// The outcome of a statement with RETURNING of other relations' columns.
    pub(super) async fn give_beside_others(
        &mut self,
        statement: &Statement,
        (oid, alias): (Oid, &str),
        rows: &[&[Value]],
        (others, planned, beside): (&Others<'_>, &Planned, RecordBatch),
        parameters: &[Parameter],
        tag: String,
    ) -> Result<Outcome, Error> {
        use futures::StreamExt as _;
        let catalog = self.catalog()?;
        self.need_privilege(&catalog, oid, ledger::catalog::Privilege::Select)?;
        let table = super::table_of(&catalog, oid)?;
        let at_hand = relations((oid, table, alias), rows, (others, planned), &beside)?;
        let query = query_of(alias, others);
        let context = self.query_context_with(statement, &[Arc::new(at_hand)])?;
        let (planned, batches) = self.collect(&context, &query, None, parameters).await?;
        self.admit_reads(&planned)?;
        Ok(Outcome::Rows {
            columns: planned.columns,
            stream: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            tag: Tag::Fixed(tag),
        })
    }

    /// The columns of such a RETURNING with their types, before the statement runs. `found` is the query that
    /// finds the rows, with the others' columns.
    pub(crate) fn others_shape(
        &self,
        statement: &Statement,
        (oid, table, alias): (Oid, &Table, &str),
        others: &Others<'_>,
        found: &Planned,
        oids: &[u32],
    ) -> Result<(Vec<ResultColumn>, Vec<PgType>), Error> {
        let none = RecordBatch::new_empty(Arc::clone(&found.schema));
        let at_hand = relations((oid, table, alias), &[], (others, found), &none)?;
        let context = self.query_context_with(statement, &[Arc::new(at_hand)])?;
        let options = PlanOptions { parameter_oids: oids, targets: None };
        let planned = read::plan_query(&context, &query_of(alias, others), options)?;
        Ok((planned.columns, planned.types))
    }
}

/// `SELECT items FROM written, others` by the rows' numbers.
fn query_of(alias: &str, others: &Others<'_>) -> ast::Query {
    let number = |name: &str| {
        ast::Expr::CompoundIdentifier(vec![
            ast::Ident::with_quote('"', name),
            ast::Ident::with_quote('"', ROW),
        ])
    };
    let mut from = vec![named(alias)];
    let mut selection: Option<ast::Expr> = None;
    for name in &others.names {
        from.push(named(name));
        let equal = ast::Expr::BinaryOp {
            left: Box::new(number(alias)),
            op: ast::BinaryOperator::Eq,
            right: Box::new(number(name)),
        };
        selection = Some(match selection {
            None => equal,
            Some(all) => ast::Expr::BinaryOp {
                left: Box::new(all),
                op: ast::BinaryOperator::And,
                right: Box::new(equal),
            },
        });
    }
    let mut query = select_from(others.items.to_vec(), from, selection);
    query.order_by = Some(ast::OrderBy {
        kind: ast::OrderByKind::Expressions(vec![ast::OrderByExpr {
            expr: number(alias),
            options: ast::OrderByOptions::default(),
            with_fill: None,
        }]),
        interpolate: None,
    });
    query
}

fn relations(
    (oid, table, alias): (Oid, &Table, &str),
    rows: &[&[Value]],
    (others, planned): (&Others<'_>, &Planned),
    beside: &RecordBatch,
) -> Result<AtHand, Error> {
    let own: Vec<&Column> = table.live_columns().collect();
    let batch = crate::rows::batch_of(oid, &own, rows)?;
    let columns = own.iter().map(|c| (c.name.clone(), PgType::of(&c.kind))).collect();
    let written = numbered(columns, batch.columns().to_vec(), rows.len())?;
    let mut all = vec![(alias.to_owned(), written)];
    for (name, range) in others.ranges(planned) {
        if all.iter().any(|(known, _)| *known == name) {
            return Err(Error::new(
                "42712",
                format!("table name \"{name}\" specified more than once"),
            ));
        }
        let found = planned.columns.iter().zip(&planned.types).zip(beside.columns());
        let found = found.skip(range.start).take(range.len());
        let (columns, arrays): (Vec<_>, Vec<_>) = found
            .map(|((column, kind), array)| ((column.name.clone(), shown(kind)), Arc::clone(array)))
            .unzip();
        all.push((name, numbered(columns, arrays, beside.num_rows())?));
    }
    Ok(AtHand::of(all))
}
