//! DataFusion's errors taken apart, in this one place: the kind that a client can act on, its SQLSTATE
//! and its message in PostgreSQL's words.

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::Error;

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(inner) => match inner.downcast::<DataFusionError>() {
                    Ok(nested) => (*nested).into(),
                    Err(other) => Self::internal(other.to_string()),
                },
            },
            DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(error) => error.into(),
                Err(shared) => of_reference(&shared),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                (*inner).into()
            }
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(first) => first.into(),
                None => Self::internal("an empty collection of errors"),
            },
            DataFusionError::SchemaError(error, _) => of_schema(&error),
            DataFusionError::ArrowError(error, _) => of_arrow(*error),
            DataFusionError::NotImplemented(what) => Self::unsupported(
                what.lines().next().unwrap_or_default(),
                "Write the query in another way; docs/sql.md lists what is supported.",
            ),
            DataFusionError::ResourcesExhausted(message) => exhausted(&message),
            DataFusionError::IoError(error) => of_io(&error),
            other => of_message(&other),
        }
    }
}

/// A query's memory, or its place on disk, is used up.
fn exhausted(message: &str) -> Error {
    let detail = message.lines().next().unwrap_or_default();
    Error::new("53200", "out of memory for this query")
        .with_detail(detail)
        .with_hint("Raise the node's query_memory or query_disk, or ask for less at once.")
}

/// What went wrong with a file that a query put rows aside in.
fn of_io(error: &std::io::Error) -> Error {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<DataFusionError>()) {
        return of_reference(inner);
    }
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new("53100", format!("no space left on the disk for this query: {error}"))
        }
        // DataFusion's own bound has no kind of its own.
        _ if error.to_string().contains("exceeded the allowable limit") => {
            exhausted("All running queries together have put aside as much as query_disk allows.")
        }
        _ => Error::Fault { message: error.to_string(), corrupted: false },
    }
}

/// An error that others hold too: what it carries of ours is copied.
fn of_reference(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => ours.clone(),
            None => Error::internal(inner.to_string()),
        },
        DataFusionError::Shared(inner) => of_reference(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            of_reference(inner)
        }
        DataFusionError::SchemaError(error, _) => of_schema(error),
        DataFusionError::ResourcesExhausted(message) => exhausted(message),
        DataFusionError::IoError(error) => of_io(error),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::IoError(_, error) => of_io(error),
            ArrowError::ExternalError(inner) => match inner.downcast_ref::<Error>() {
                Some(ours) => ours.clone(),
                None => of_message(error),
            },
            _ => of_message(error),
        },
        other => of_message(other),
    }
}

fn of_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, .. } => Error::UndefinedColumn {
            message: match &field.relation {
                Some(relation) => {
                    format!("column {}.{} does not exist", relation.table(), field.name)
                }
                None => format!("column \"{}\" does not exist", field.name),
            },
            position: None,
        },
        SchemaError::AmbiguousReference { field } => {
            Error::new("42702", format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new("42701", format!("column \"{name}\" specified more than once"))
        }
    }
}

fn of_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => (*nested).into(),
                Err(other) => Error::internal(other.to_string()),
            },
        },
        ArrowError::IoError(_, error) => of_io(&error),
        ArrowError::DivideByZero => Error::new("22012", "division by zero"),
        ArrowError::ArithmeticOverflow(_) => Error::new("22003", "value out of range"),
        ArrowError::CastError(message) => Error::new("22P02", message),
        ArrowError::ParseError(message) => Error::new("22P02", message),
        other => Error::internal(other.to_string()),
    }
}

/// What only its text tells apart.
fn of_message(error: &DataFusionError) -> Error {
    let message = error.strip_backtrace();
    let text = message
        .split_once(": ")
        .map_or(message.as_str(), |(kind, rest)| match kind {
            "Error during planning" | "Execution error" | "Arrow error" => rest,
            _ => message.as_str(),
        })
        .lines()
        .next()
        .unwrap_or_default()
        .to_string();
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::new("22012", "division by zero");
    }
    if lower.contains("overflow") {
        return Error::new("22003", "value out of range");
    }
    if lower.contains("invalid function") {
        let name = text.split('\'').nth(1).unwrap_or_default();
        return Error::new("42883", format!("function {name}() does not exist"))
            .with_hint("No function matches the given name and argument types.");
    }
    if lower.contains("must appear in the group by clause")
        || lower.contains("must be part of group by clause")
        || lower.contains("expression in the group by")
    {
        return Error::new("42803", text);
    }
    match error {
        DataFusionError::Internal(_) => Error::internal(text),
        DataFusionError::Plan(_) => Error::new("42601", text),
        DataFusionError::Execution(_) => Error::new("22000", text),
        DataFusionError::Configuration(_) => Error::new("22023", text),
        _ => Error::internal(text),
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        of_arrow(error)
    }
}
