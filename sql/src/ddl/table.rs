//! CREATE TABLE: columns, constraints, sequences that feed columns, the ledger's mode.

use datafusion::sql::sqlparser::ast;
use ledger::table::{ColumnDefault, Identity, Mode};
use ledger::{ColumnNumber, Object, Oid, Rule, Table};

use super::column::{self, Written};
use super::sequence;
use crate::Error;
use crate::error::Report;
use crate::outcome::{Outcome, Parameter};
use crate::session::Session;
use crate::statement::{Like, Statement, name_of, parts_of};

/// The most columns of a table.
const COLUMNS: usize = 1600;

/// What the ledger adds to a table.
#[derive(Debug)]
pub(super) struct LedgerOptions {
    pub(super) mode: Mode,
    pub(super) redactable: Vec<String>,
    pub(super) retain_days: Option<u32>,
}

impl Session {
    pub(super) async fn create_table(
        &mut self,
        statement: &Statement,
        create: &ast::CreateTable,
        (using, empty, likes): (Option<&str>, bool, &[Like]),
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        refuse(create, using)?;
        let catalog = self.catalog()?;
        let name = parts_of(&create.name)?;
        let (schema, relation) = if create.temporary {
            self.temporary_place(&name)?
        } else {
            self.place_for(&catalog, &name)?
        };
        let catalog = self.catalog()?;
        if catalog.find_relation(schema, &relation).is_some() {
            if create.if_not_exists {
                self.notices.push(Report {
                    sqlstate: "42P07".to_string(),
                    ..Report::notice(format!("relation \"{relation}\" already exists, skipping"))
                });
                return Ok(Outcome::done("CREATE TABLE"));
            }
            return Err(Error::Exists { kind: "relation", name: relation });
        }
        let options = self.ledger_options(&create.table_options)?;
        if let Some(query) = &create.query {
            let outcome = self
                .create_table_as(
                    statement,
                    (schema, relation),
                    create,
                    query,
                    options,
                    empty,
                    parameters,
                )
                .await?;
            self.note_on_commit(schema, &create.name, create.on_commit.as_ref())?;
            return Ok(outcome);
        }
        let mut written = create.columns.iter().map(column::read).collect::<Result<Vec<_>, _>>()?;
        let copied = self.liked_columns(likes, &mut written)?;
        let mut constraints: Vec<ast::TableConstraint> =
            written.iter().flat_map(|column| column.constraints.clone()).collect();
        constraints.extend(create.constraints.iter().cloned());
        let oid = self.define_table(schema, &relation, &written, options)?;
        self.add_constraints(oid, &constraints, true).await?;
        for copied in copied {
            self.copy_like(oid, copied).await?;
        }
        self.note_on_commit(schema, &create.name, create.on_commit.as_ref())?;
        Ok(Outcome::done("CREATE TABLE"))
    }

    /// Defines a table with its columns, defaults and sequences, without constraints.
    pub(super) fn define_table(
        &mut self,
        schema: Oid,
        name: &str,
        written: &[Written],
        options: LedgerOptions,
    ) -> Result<Oid, Error> {
        if written.len() > COLUMNS {
            return Err(Error::new("54011", format!("tables can have at most {COLUMNS} columns")));
        }
        let catalog = self.catalog()?;
        let mut oids = self.oids_for(&catalog, schema);
        let oid = oids.next();
        let mut table = Table {
            schema,
            name: name.to_string(),
            owner: self.user.0,
            columns: Vec::with_capacity(written.len()),
            mode: options.mode,
            retain_days: options.retain_days,
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: None,
            row_type: oids.next(),
            row_array_type: oids.next(),
        };
        for (number, written) in (1_u16..).zip(written) {
            if table.columns.iter().any(|column| column.name == written.name) {
                return Err(duplicate_column(&written.name));
            }
            refuse_system_name(&written.name)?;
            table.columns.push(column::column(ColumnNumber(number), written));
        }
        for name in &options.redactable {
            let column = table.columns.iter_mut().find(|column| column.name == *name);
            column.ok_or_else(|| no_column(name, &table.name))?.redactable = true;
        }
        self.define(oid, Object::Table(table.clone()))?;
        for (number, written) in (1_u16..).zip(written) {
            let place = usize::from(number - 1);
            if let Some(feed) = &written.sequence {
                let (sequence, rule) = self.feed(oid, &table, ColumnNumber(number), feed)?;
                let Some(column) = table.columns.get_mut(place) else { continue };
                match feed.identity {
                    Some(always) => column.identity = Some(Identity { sequence, always }),
                    None => column.default = Some(rule),
                }
            } else if let Some(expression) = &written.default {
                let default = self.default_rule(&written.kind, expression)?;
                if let Some(column) = table.columns.get_mut(place) {
                    column.default = default;
                }
            }
        }
        self.define(oid, Object::Table(table))?;
        Ok(oid)
    }

    /// Makes the sequence that feeds a column; gives it with a default that calls it.
    pub(super) fn feed(
        &mut self,
        oid: Oid,
        table: &Table,
        number: ColumnNumber,
        feed: &column::Feed,
    ) -> Result<(Oid, ColumnDefault), Error> {
        let catalog = self.catalog()?;
        let column = table.column(number).ok_or_else(|| Error::internal("a column not there"))?;
        if !matches!(column.kind, ledger::Type::Int2 | ledger::Type::Int4 | ledger::Type::Int8) {
            return Err(Error::new(
                "22023",
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        let name = sequence::free_name(&catalog, table.schema, &table.name, &column.name, "seq");
        let mut definition = sequence::definition(
            &feed.options,
            column.kind.clone(),
            table.schema,
            &name,
            self.user.0,
        )?;
        definition.owned_by = Some((oid, number));
        let sequence = self.oids_for(&catalog, oid).next();
        self.define(sequence, Object::Sequence(definition.clone()))?;
        self.shared.own_sequence(sequence, definition);
        let next = Rule::Volatile(ledger::rule::Volatile::NextValue(sequence));
        let rule = match column.kind {
            ledger::Type::Int8 => next,
            ref kind => Rule::Cast(Box::new(next), kind.clone()),
        };
        let text = format!("nextval('{}'::regclass)", quoted(&name));
        Ok((sequence, ColumnDefault { rule, text }))
    }

    /// `WITH (…)` of a table.
    pub(super) fn ledger_options(
        &mut self,
        options: &ast::CreateTableOptions,
    ) -> Result<LedgerOptions, Error> {
        let mut read =
            LedgerOptions { mode: Mode::Updatable, redactable: Vec::new(), retain_days: None };
        let options = match options {
            ast::CreateTableOptions::None => return Ok(read),
            ast::CreateTableOptions::With(options) | ast::CreateTableOptions::Options(options) => {
                options
            }
            _ => {
                return Err(Error::unsupported(
                    "this option of a table",
                    "The options of a ledger table stand in WITH: mode, redactable and retain.",
                ));
            }
        };
        for option in options {
            let (name, value) = option_of(option)?;
            match name.as_str() {
                "mode" => read.mode = mode_of(&value)?,
                "redactable" => read.redactable = crate::settings::names_of(&value),
                "retain" => read.retain_days = Some(days_of(&value)?),
                // Where PostgreSQL leaves room on a page for updates; there are no pages here.
                "fillfactor" => self.notices.push(Report::notice(
                    "storage parameter \"fillfactor\" has no effect: rows lie in blocks",
                )),
                other if is_storage_parameter(other) => {
                    return Err(Error::unsupported(
                        format!("the storage parameter {other}"),
                        "Leave it out: rows lie in blocks, and nothing is vacuumed.",
                    ));
                }
                other => {
                    return Err(Error::new("22023", format!("unrecognized parameter \"{other}\""))
                        .with_hint(
                            "The parameters of a ledger table are mode, redactable and retain.",
                        ));
                }
            }
        }
        Ok(read)
    }
}

/// Whether it is a storage parameter of PostgreSQL's tables.
fn is_storage_parameter(name: &str) -> bool {
    let name = name.strip_prefix("toast.").unwrap_or(name);
    name.starts_with("autovacuum_")
        || name.starts_with("vacuum_")
        || name.starts_with("log_autovacuum_")
        || matches!(name, "parallel_workers" | "toast_tuple_target" | "user_catalog_table" | "oids")
}

/// Name and value of an option.
pub(super) fn option_of(option: &ast::SqlOption) -> Result<(String, String), Error> {
    match option {
        ast::SqlOption::KeyValue { key, value } => {
            let text = match value {
                ast::Expr::Value(value) => match &value.value {
                    ast::Value::SingleQuotedString(text) => text.clone(),
                    other => other.to_string(),
                },
                ast::Expr::Identifier(name) => name_of(name),
                other => other.to_string(),
            };
            Ok((name_of(key), text))
        }
        ast::SqlOption::Ident(name) => Ok((name_of(name), "true".to_string())),
        other => Err(Error::new("42601", format!("syntax error at or near \"{other}\""))),
    }
}

pub(super) fn mode_of(value: &str) -> Result<Mode, Error> {
    match value.to_ascii_lowercase().as_str() {
        "append_only" => Ok(Mode::AppendOnly),
        "updatable" => Ok(Mode::Updatable),
        _ => Err(Error::new("22023", format!("invalid value for parameter \"mode\": \"{value}\""))
            .with_hint("The modes are append_only and updatable.")),
    }
}

/// A time as days: `7 years`, `90 days`. A year is 366 days and a month 31: rows are kept at least so long.
pub(super) fn days_of(value: &str) -> Result<u32, Error> {
    let invalid = || {
        Error::new("22023", format!("invalid value for parameter \"retain\": \"{value}\""))
            .with_hint("Write a number of days, weeks, months or years: '7 years'.")
    };
    let mut words = value.split_whitespace();
    let number: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(invalid)?;
    let factor = match words.next().unwrap_or("days") {
        "day" | "days" => 1,
        "week" | "weeks" => 7,
        "month" | "months" => 31,
        "year" | "years" => 366,
        _ => return Err(invalid()),
    };
    if words.next().is_some() {
        return Err(invalid());
    }
    number.checked_mul(factor).ok_or_else(invalid)
}

pub(super) fn duplicate_column(name: &str) -> Error {
    Error::new("42701", format!("column \"{name}\" specified more than once"))
}

pub(super) fn no_column(name: &str, table: &str) -> Error {
    Error::UndefinedColumn {
        message: format!("column \"{name}\" of relation \"{table}\" does not exist"),
        position: None,
    }
}

/// Names that every table has already.
pub(super) fn refuse_system_name(name: &str) -> Result<(), Error> {
    const SYSTEM: [&str; 14] = [
        "tableoid",
        "xmin",
        "cmin",
        "xmax",
        "cmax",
        "ctid",
        "ledger_block",
        "ledger_tx",
        "ledger_time",
        "ledger_user",
        "ledger_version",
        "ledger_op",
        "ledger_valid_from",
        "ledger_valid_to",
    ];
    if SYSTEM.contains(&name) {
        return Err(Error::new(
            "42701",
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    Ok(())
}

/// An identifier as SQL: quoted when it must be.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn refuse(create: &ast::CreateTable, using: Option<&str>) -> Result<(), Error> {
    if create.on_commit.is_some() && !create.temporary {
        return Err(Error::new("42P16", "ON COMMIT can only be used on temporary tables"));
    }
    match using {
        None | Some("ledger") => {}
        Some("heap") => {
            return Err(Error::unsupported(
                "a table USING heap",
                "Leave USING out: every table is kept in the ledger.",
            ));
        }
        Some(method) => {
            return Err(Error::new("42704", format!("access method \"{method}\" does not exist")));
        }
    }
    let refused = [
        (create.or_replace, "CREATE OR REPLACE TABLE", "Drop the table first."),
        (create.external, "CREATE EXTERNAL TABLE", "Load the data with COPY."),
        (create.like.is_some(), "LIKE without parentheses", "Write CREATE TABLE t (LIKE …)."),
        (create.clone.is_some(), "CLONE", "Use CREATE TABLE AS."),
        (create.inherits.is_some(), "INHERITS", "Use a view over several tables."),
        (
            create.partition_by.is_some() || create.partition_of.is_some(),
            "a partitioned table",
            "Use one table: old blocks need no partition to be dropped.",
        ),
        (
            create.strict || create.without_rowid,
            "a table option of another database",
            "Leave it out.",
        ),
    ];
    match refused.iter().find(|(found, _, _)| *found) {
        Some((_, what, hint)) => Err(Error::unsupported(*what, *hint)),
        None => Ok(()),
    }
}
