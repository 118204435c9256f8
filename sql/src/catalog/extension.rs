//! How queries reach the catalogs: whole queries of catalogs alone go to the evaluator; in others the catalogs are
//! relations and functions beside the user's.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatchOptions;
use datafusion::common::DFSchema;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::Query;
use ledger::Oid;

use super::evaluator::{self, Plan};
use super::facts::{Facts, SettingRow, Surroundings};
use super::functions::{self, Builtin};
use super::{relations, rows};
use crate::Error;
use crate::functions::{Datum, Function, array_of};
use crate::ledger_views;
use crate::outcome::{Parameter, ResultColumn};
use crate::read::{Extension, Planned, QueryContext, VirtualTable, parameter_values};
use crate::shared::SessionShared;
use crate::types::{PgType, Reg};

/// The session and the node, as a query's context has them.
struct Around<'a> {
    context: &'a QueryContext,
}

impl Surroundings for Around<'_> {
    fn setting(&self, name: &str) -> Option<String> {
        ledger_views::session(self.context)?.current_setting(name)
    }

    fn set(&self, name: &str, value: &str, local: bool) -> Result<String, Error> {
        ledger_views::session(self.context)
            .ok_or_else(|| Error::internal("set_config without a session"))?
            .set_config(name, value, local)
    }

    fn settings(&self) -> Vec<SettingRow> {
        ledger_views::session(self.context)
            .map(|session| setting_rows(&session.settings()))
            .unwrap_or_default()
    }

    fn pid(&self) -> i32 {
        ledger_views::session(self.context)
            .map_or(0, |session| i32::try_from(session.number).unwrap_or(0))
    }

    fn rows(&self, table: Oid) -> u64 {
        self.context.snapshot.row_count(table)
    }

    fn bytes(&self, _relation: Oid) -> Option<u64> {
        // Rows of all tables lie together in blocks: nobody counts them by table.
        None
    }

    fn database_bytes(&self) -> Option<u64> {
        None
    }

    fn started_us(&self) -> Option<i64> {
        ledger_views::session(self.context).map(|session| session.engine.started_us)
    }

    fn shared(&self) -> Option<&SessionShared> {
        ledger_views::session(self.context)
    }
}

/// Every setting, as `pg_settings` shows it.
fn setting_rows(settings: &crate::Settings) -> Vec<SettingRow> {
    use crate::settings::{Kind, definition};
    settings
        .all()
        .into_iter()
        .map(|(name, setting)| {
            let known = definition(&name);
            let kind = match known.map(|known| known.kind) {
                Some(Kind::Bool) => "bool",
                Some(Kind::Integer { .. } | Kind::Milliseconds | Kind::Memory) => "integer",
                Some(Kind::Enum(_)) => "enum",
                Some(Kind::Cost) => "real",
                _ => "string",
            };
            let fixed = matches!(known.map(|known| known.kind), Some(Kind::Fixed));
            SettingRow {
                kind,
                unit: None,
                context: if fixed { "internal" } else { "user" },
                description: known.map(|known| known.description.to_owned()).unwrap_or_default(),
                reset: known.map_or_else(|| setting.clone(), |known| known.default.to_owned()),
                name,
                setting,
            }
        })
        .collect()
}

/// Calls with what the catalogs see of a context.
pub(crate) fn with_facts<T>(context: &QueryContext, with: impl FnOnce(&Facts<'_>) -> T) -> T {
    let around = Around { context };
    with(&Facts {
        catalog: &context.catalog,
        search_path: &context.search_path,
        user: &context.user,
        session_user: &context.session_user,
        database: &context.database,
        now_us: context.transaction_time_us,
        zone: &context.zone,
        surroundings: Some(&around),
    })
}

/// A query of the catalogs alone, bound; `None` when it is for the planner.
///
/// # Errors
/// What is wrong with the query. What the evaluator doesn't do is left to the planner.
pub(crate) fn planned(
    context: &QueryContext,
    query: &Query,
    parameter_oids: &[u32],
) -> Result<Option<Planned>, Error> {
    let parameters: Vec<PgType> =
        parameter_oids.iter().map(|oid| PgType::of_oid(*oid).unwrap_or(PgType::Unknown)).collect();
    let bound = with_facts(context, |facts| {
        evaluator::is_for_catalogs(facts, query).then(|| evaluator::plan(facts, query, &parameters))
    });
    let plan = match bound {
        None => return Ok(None),
        Some(Ok(plan)) => plan,
        Some(Err(error))
            if matches!(error.sqlstate().as_str(), "0A000" | "42883" | "42804" | "42846") =>
        {
            return Ok(None);
        }
        Some(Err(error)) => return Err(error),
    };
    let columns = plan.columns.iter().map(|(name, kind)| result_column(name, kind)).collect();
    let fields: Vec<Field> = plan
        .columns
        .iter()
        .map(|(name, kind)| {
            Field::new(name, shown(kind).arrow(), true).with_metadata(kind.metadata())
        })
        .collect();
    Ok(Some(Planned {
        momentary: false,
        point: None,
        plan: LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: Arc::new(DFSchema::empty()),
        }),
        columns,
        types: plan.columns.iter().map(|(_, kind)| kind.clone()).collect(),
        parameters: plan.parameters.clone(),
        reads: Vec::new(),
        owner_reads: Vec::new(),
        schema: Arc::new(Schema::new(fields)),
        catalog: Some(Arc::new(plan)),
    }))
}

fn result_column(name: &str, kind: &PgType) -> ResultColumn {
    ResultColumn {
        name: name.to_owned(),
        type_oid: kind.oid(),
        type_len: kind.len(),
        typmod: kind.typmod(),
        table_oid: 0,
        attnum: 0,
    }
}

/// The type in whose shape a value is handed out: names of objects and rows go as texts.
fn shown(kind: &PgType) -> PgType {
    match kind {
        PgType::Reg(_) | PgType::Record(_) => PgType::Text,
        PgType::Array(element) if matches!(**element, PgType::Reg(_) | PgType::Record(_)) => {
            PgType::Array(Box::new(PgType::Text))
        }
        kind => kind.clone(),
    }
}

/// Runs a bound query of the catalogs.
///
/// # Errors
/// What its functions refuse.
pub(crate) fn run(
    context: &QueryContext,
    planned: &Planned,
    plan: &Plan,
    parameters: &[Parameter],
) -> Result<RecordBatch, Error> {
    let parameters = parameter_values(context, planned, parameters)?;
    with_facts(context, |facts| {
        let rows = plan.run(facts, &parameters)?;
        let count = rows.len();
        let mut columns: Vec<Vec<Datum>> =
            plan.columns.iter().map(|_| Vec::with_capacity(count)).collect();
        for row in rows {
            for ((value, (_, kind)), column) in row.into_iter().zip(&plan.columns).zip(&mut columns)
            {
                let shown = shown(kind);
                column.push(if shown == *kind {
                    value
                } else {
                    evaluator::cast(facts, value, kind, &shown, true)?
                });
            }
        }
        let arrays = columns
            .into_iter()
            .zip(&plan.columns)
            .map(|(values, (_, kind))| array_of(&shown(kind), values))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&planned.schema), arrays, &options).map_err(
            |error| Error::internal(format!("a catalog's rows have another shape: {error}")),
        )
    })
}

/// The catalogs and the ledger's views, beside the user's tables in any query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Catalogs;

impl Extension for Catalogs {
    fn table(
        &self,
        context: &QueryContext,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Option<VirtualTable>, Error> {
        if schema == Some("ledger") {
            return Ok(ledger_views::relation(name));
        }
        with_facts(context, |facts| {
            let relation = match schema {
                Some(schema) => relations::find(schema, name),
                None => facts.relation(None, name).and_then(relations::by_oid),
            };
            match relation {
                Some(relation) => memory(
                    relation.oid,
                    relation.columns.iter().map(|c| (c.name.to_owned(), c.kind.clone())).collect(),
                    rows(relation, facts)?,
                )
                .map(Some),
                None if relations::is_withheld(schema, name) => Err(Error::unsupported(
                    format!("the catalog {name}"),
                    "Stele has nothing true to say there yet.",
                )),
                None => Ok(None),
            }
        })
    }

    fn table_function(
        &self,
        context: &QueryContext,
        schema: Option<&str>,
        name: &str,
        arguments: &[Datum],
    ) -> Result<Option<VirtualTable>, Error> {
        match schema {
            Some("ledger") => ledger_views::table_function(context, name, arguments),
            _ => Ok(None),
        }
    }

    fn functions(&self, schema: Option<&str>, name: &str) -> Vec<Arc<Function>> {
        let own = functions::overloads(schema, name)
            .filter(|builtin| !builtin.everyday && !is_common(builtin.name))
            .map(|builtin| Arc::new(exported(builtin)));
        own.chain(ledger_views::functions(schema, name)).collect()
    }

    fn reg_text(&self, context: &QueryContext, reg: Reg, oid: u32) -> Option<String> {
        with_facts(context, |facts| Some(functions::reg_text(facts, reg, oid)))
    }

    fn reg_parse(
        &self,
        context: &QueryContext,
        reg: Reg,
        text: &str,
    ) -> Result<Option<u32>, Error> {
        with_facts(context, |facts| functions::reg_parse(facts, reg, text)).map(Some)
    }
}

/// What the planner has of its own.
fn is_common(name: &str) -> bool {
    matches!(
        name,
        "generate_series"
            | "generate_subscripts"
            | "unnest"
            | "current_user"
            | "current_role"
            | "user"
            | "session_user"
            | "current_catalog"
            | "current_database"
            | "quote_ident"
            | "quote_literal"
    )
}

/// A function of the catalogs as the planner's queries call it.
fn exported(builtin: &'static Builtin) -> Function {
    let mut function = Function::row(builtin.name, move |call, arguments| {
        with_facts(call.context, |facts| {
            (builtin.body)(&functions::Call { facts, kinds: call.kinds }, arguments)
        })
    });
    function.schema = builtin.schema;
    function.name = builtin.name.to_owned();
    function.arguments = builtin.arguments.clone();
    function.variadic = builtin.variadic;
    function.returns = crate::functions::Returns::Fixed(builtin.returns.clone());
    function.strict = builtin.strict;
    function.set = builtin.set;
    function.volatility = if builtin.volatile { Volatility::Volatile } else { Volatility::Stable };
    function
}

/// Rows that are there, as a relation.
///
/// # Errors
/// XX000 when a row isn't of its columns' types.
pub(crate) fn memory(
    oid: u32,
    columns: Vec<(String, PgType)>,
    rows: Vec<Vec<Datum>>,
) -> Result<VirtualTable, Error> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let count = rows.len();
    let mut values: Vec<Vec<Datum>> = columns.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        for (value, column) in row.into_iter().zip(&mut values) {
            column.push(value);
        }
    }
    let arrays = values
        .into_iter()
        .zip(&columns)
        .map(|(values, (_, kind))| array_of(kind, values))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        .map_err(|error| Error::internal(format!("rows have another shape: {error}")))?;
    let provider = MemTable::try_new(schema, vec![vec![batch]])?;
    Ok(VirtualTable { oid, columns, hidden: 0, provider: Arc::new(provider) })
}
