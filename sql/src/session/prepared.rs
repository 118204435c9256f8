//! PREPARE, EXECUTE, DEALLOCATE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;

use super::Session;
use crate::Error;
use crate::ddl::types::{type_of, wire_type};
use crate::dml::{Constant, assignable, constant};
use crate::outcome::{Outcome, Parameter, Prepared};
use crate::shared::activity::PreparedNote;
use crate::statement::{Command, Statement};
use crate::types::PgType;

/// Prepared statements that one session may have.
const MOST: usize = 10_000;
/// Bytes of their texts.
const MOST_BYTES: usize = 64 << 20;

impl Session {
    pub(super) async fn prepare_named(
        &mut self,
        name: &str,
        types: &[ast::DataType],
        statement: Statement,
    ) -> Result<Outcome, Error> {
        if self.prepared.contains_key(name) {
            return Err(Error::Exists { kind: "prepared statement", name: name.to_string() });
        }
        let bytes: usize = self.prepared.values().map(|it| it.statement.source().len()).sum();
        if self.prepared.len() >= MOST || bytes + statement.source().len() > MOST_BYTES {
            return Err(Error::new("54000", "too many prepared statements in this session")
                .with_hint("DEALLOCATE those that are not needed any more."));
        }
        let oids = types
            .iter()
            .map(|data_type| match data_type.to_string().to_lowercase().as_str() {
                "unknown" => Ok(0),
                _ => type_of(data_type).map(|kind| wire_type(&kind).0),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let prepared = Box::pin(self.prepare_statement(statement, &oids)).await?;
        self.keep_prepared(name, Arc::new(prepared), true);
        Ok(Outcome::done("PREPARE"))
    }

    fn keep_prepared(&mut self, name: &str, prepared: Arc<Prepared>, from_sql: bool) {
        let note = PreparedNote {
            statement: match from_sql {
                true => self.source.trim().to_string(),
                false => prepared.statement.text().to_string(),
            },
            time: self.engine.clock.now_us(),
            parameters: prepared.parameters.clone(),
            from_sql,
        };
        self.shared.note_prepared(name, note);
        self.prepared.insert(name.to_string(), prepared);
    }

    /// A statement that the connection prepared by message: EXECUTE and DEALLOCATE find it by its name.
    pub fn share_prepared(&mut self, name: &str, prepared: &Arc<Prepared>) {
        self.keep_prepared(name, Arc::clone(prepared), false);
    }

    /// The statement of this name, whoever prepared it.
    pub fn find_prepared(&self, name: &str) -> Option<&Arc<Prepared>> {
        self.prepared.get(name)
    }

    /// The connection closed a statement by message.
    pub fn forget_prepared(&mut self, name: &str) {
        self.prepared.remove(name);
        self.shared.forget_prepared(Some(name));
    }

    pub(super) async fn execute_named(
        &mut self,
        name: &str,
        arguments: &[ast::Expr],
        parameters: &[Parameter],
    ) -> Result<Outcome, Error> {
        let (prepared, bound) = self.bound(name, arguments, parameters)?;
        if matches!(prepared.statement.command, Command::Execute { .. } | Command::Prepare { .. }) {
            return Err(Error::new("42601", "EXECUTE within EXECUTE"));
        }
        let statement = prepared.statement.clone();
        Box::pin(self.run(&statement, &bound, Some(&prepared))).await
    }

    /// A prepared statement with the values of EXECUTE's arguments.
    pub(super) fn bound(
        &self,
        name: &str,
        arguments: &[ast::Expr],
        parameters: &[Parameter],
    ) -> Result<(Arc<Prepared>, Vec<Parameter>), Error> {
        let Some(prepared) = self.prepared.get(name).cloned() else {
            return Err(Error::Undefined { kind: "prepared statement", name: name.to_string() });
        };
        if arguments.len() != prepared.parameters.len() {
            return Err(Error::new(
                "42601",
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                prepared.parameters.len(),
                arguments.len()
            )));
        }
        let zone = self.zone();
        let mut bound = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let Some(Constant { value, open }) = constant(argument, parameters, zone)? else {
                return Err(Error::unsupported(
                    "an expression as an argument of EXECUTE",
                    "Give a constant.",
                ));
            };
            let declared = prepared.parameters.get(bound.len()).copied().unwrap_or(0);
            bound.push(argument_of(value, open, declared, &zone)?);
        }
        Ok((prepared, bound))
    }

    pub(super) fn deallocate(&mut self, name: Option<&str>) -> Result<Outcome, Error> {
        match name {
            None => {
                self.prepared.clear();
                self.shared.forget_prepared(None);
                self.deallocated.push(None);
                Ok(Outcome::done("DEALLOCATE ALL"))
            }
            Some(name) => {
                if self.prepared.remove(name).is_none() {
                    let name = name.to_string();
                    return Err(Error::Undefined { kind: "prepared statement", name });
                }
                self.shared.forget_prepared(Some(name));
                self.deallocated.push(Some(name.to_string()));
                Ok(Outcome::done("DEALLOCATE"))
            }
        }
    }
}

/// An argument in the type of its parameter, as if it were assigned to it.
fn argument_of(
    value: ledger::Value,
    open: bool,
    declared: u32,
    zone: &crate::settings::Zone,
) -> Result<Parameter, Error> {
    if value == ledger::Value::Null {
        return Ok(Parameter { oid: declared, value: None });
    }
    if open {
        return Ok(Parameter { oid: 0, value: Some(value) });
    }
    match PgType::of_oid(declared).and_then(|kind| kind.stored()) {
        Some(kind) if oid_of(&value) != declared && assignable(&value, &kind) => {
            Ok(Parameter { oid: declared, value: Some(value.assign_in(&kind, zone)?) })
        }
        _ => Ok(Parameter { oid: oid_of(&value), value: Some(value) }),
    }
}

/// The OID of a value's own type.
fn oid_of(value: &ledger::Value) -> u32 {
    use ledger::Value;
    match value {
        Value::Null => 0,
        Value::Bool(_) => 16,
        Value::Int2(_) => 21,
        Value::Int4(_) => 23,
        Value::Int8(_) => 20,
        Value::Numeric(_) => 1700,
        Value::Float4(_) => 700,
        Value::Float8(_) => 701,
        Value::Text(_) => 25,
        Value::Bytea(_) => 17,
        Value::Date(_) => 1082,
        Value::Time(_) => 1083,
        Value::Timestamp(_) => 1114,
        Value::Timestamptz(_) => 1184,
        Value::Uuid(_) => 2950,
        Value::Json(_) => 114,
        Value::Jsonb(_) => 3802,
        Value::Array(items) => match items.iter().map(oid_of).find(|oid| *oid != 0) {
            Some(16) => 1000,
            Some(21) => 1005,
            Some(23) => 1007,
            Some(20) => 1016,
            Some(1700) => 1231,
            Some(701) => 1022,
            _ => 1009,
        },
    }
}
