//! CREATE TABLE AS and SELECT INTO.

use datafusion::sql::sqlparser::ast;
use ledger::{Oid, Value};

use super::column::Written;
use super::table::LedgerOptions;
use crate::Error;
use crate::dml::{Change, Settled, table_of};
use crate::outcome::{Outcome, Parameter};
use crate::read::{self, PlanOptions};
use crate::session::Session;
use crate::statement::{Statement, name_of};
use crate::types::PgType;

impl Session {
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    pub(super) async fn create_table_as(
        &mut self,
        statement: &Statement,
        (schema, name): (Oid, String),
        create: &ast::CreateTable,
        query: &ast::Query,
        options: LedgerOptions,
        empty: bool,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let names: Vec<String> =
            create.columns.iter().map(|column| name_of(&column.name)).collect();
        let rows = self
            .table_of_query(statement, schema, (&name, empty), &names, query, options, parameters)
            .await?;
        Ok(Outcome::done(if empty {
            "CREATE TABLE AS".to_string()
        } else {
            format!("SELECT {rows}")
        }))
    }

    pub(crate) async fn select_into(
        &mut self,
        statement: &Statement,
        (into, temporary): (&[String], bool),
        query: &ast::Query,
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        if !temporary {
            self.lock_catalog().await?;
        }
        let catalog = self.catalog()?;
        let (schema, name) =
            if temporary { self.temporary_place(into)? } else { self.place_for(&catalog, into)? };
        let catalog = self.catalog()?;
        if catalog.find_relation(schema, &name).is_some() {
            return Err(Error::Exists { kind: "relation", name });
        }
        let options = self.ledger_options(&ast::CreateTableOptions::None)?;
        let rows = self
            .table_of_query(statement, schema, (&name, false), &[], query, options, parameters)
            .await?;
        Ok(Outcome::done(format!("SELECT {rows}")))
    }

    /// Makes a table of a query's columns and fills it with its rows.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one statement")]
    async fn table_of_query(
        &mut self,
        statement: &Statement,
        schema: Oid,
        (name, empty): (&str, bool),
        names: &[String],
        query: &ast::Query,
        options: LedgerOptions,
        parameters: &[Parameter],
    ) -> Result<usize, Error> {
        let context = self.query_context(statement)?;
        let oids: Vec<u32> = parameters.iter().map(|parameter| parameter.oid).collect();
        let planned = read::plan_query(
            &context,
            query,
            PlanOptions { parameter_oids: &oids, targets: None },
        )?;
        self.admit_reads(&planned)?;
        if names.len() > planned.columns.len() {
            return Err(Error::new("42601", "too many column names were specified"));
        }
        let mut written = Vec::with_capacity(planned.columns.len());
        for (place, (column, kind)) in planned.columns.iter().zip(&planned.types).enumerate() {
            let kind = match kind {
                PgType::Unknown => ledger::Type::Text,
                kind => kind.stored().ok_or_else(|| {
                    Error::unsupported(
                        format!("a column of type {kind}"),
                        "Cast it to a type that a column can have.",
                    )
                })?,
            };
            written.push(Written {
                name: names.get(place).unwrap_or(&column.name).clone(),
                kind,
                not_null: false,
                default: None,
                sequence: None,
                constraints: Vec::new(),
            });
        }
        let batches =
            if empty { Vec::new() } else { read::collect(&context, &planned, parameters).await? };
        let oid = self.define_table(schema, name, &written, options)?;
        let catalog = self.catalog()?;
        let table = table_of(&catalog, oid)?;
        let targets: Vec<&ledger::Column> = table.live_columns().collect();
        let zone = self.zone();
        let mut rows = 0;
        for batch in &batches {
            let mut changes = Vec::with_capacity(batch.num_rows());
            for place in 0..batch.num_rows() {
                let after: Vec<Value> =
                    crate::dml::values_at(batch, 0, &planned.types, &targets, place, zone)?;
                changes.push(Change::Insert { after });
            }
            if self.settle(oid, &changes).await? == Settled::Stale {
                return Err(Error::internal("an insert can't be stale"));
            }
            rows += changes.len();
        }
        Ok(rows)
    }
}
