//! Columns as statements define them: type, default, NOT NULL, identity, serial, and the constraints
//! that are written at a column.

use datafusion::sql::sqlparser::ast;
use ledger::{Column, ColumnNumber, Type, Value};

use super::types::type_of;
use crate::Error;
use crate::statement::{SequenceOptions, name_of};

/// A column as it is written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) not_null: bool,
    pub(super) default: Option<ast::Expr>,
    /// `serial`, or `GENERATED … AS IDENTITY` (`Some(always)`).
    pub(super) sequence: Option<Feed>,
    /// Constraints written at the column, to be handled like the table's own.
    pub(super) constraints: Vec<ast::TableConstraint>,
}

/// A sequence that feeds a column.
#[derive(Debug)]
pub(super) struct Feed {
    /// `None` is serial; `Some(true)` is ALWAYS.
    pub(super) identity: Option<bool>,
    pub(super) options: SequenceOptions,
}

/// Reads a column's definition.
pub(super) fn read(definition: &ast::ColumnDef) -> Result<Written, Error> {
    let name = name_of(&definition.name);
    let serial = serial_of(&definition.data_type);
    let mut written = Written {
        kind: match &serial {
            Some(kind) => kind.clone(),
            None => type_of(&definition.data_type)?,
        },
        not_null: serial.is_some(),
        default: None,
        sequence: serial.map(|_| Feed { identity: None, options: SequenceOptions::default() }),
        constraints: Vec::new(),
        name,
    };
    let mut null = false;
    for option in &definition.options {
        match &option.option {
            ast::ColumnOption::Null => null = true,
            ast::ColumnOption::NotNull => written.not_null = true,
            other => read_option(&mut written, definition, option.name.as_ref(), other)?,
        }
    }
    if null && written.not_null {
        return Err(Error::new(
            "42601",
            format!("conflicting NULL/NOT NULL declarations for column \"{}\"", written.name),
        ));
    }
    if written.default.is_some() && written.sequence.is_some() {
        return Err(Error::new(
            "42601",
            format!("multiple default values specified for column \"{}\"", written.name),
        ));
    }
    Ok(written)
}

fn read_option(
    written: &mut Written,
    definition: &ast::ColumnDef,
    name: Option<&ast::Ident>,
    option: &ast::ColumnOption,
) -> Result<(), Error> {
    let here = || vec![definition.name.clone()];
    match option {
        ast::ColumnOption::Default(expression) => written.default = Some(expression.clone()),
        ast::ColumnOption::PrimaryKey(key) => {
            let mut key = key.clone();
            key.name = key.name.or_else(|| name.cloned());
            key.columns = vec![index_column(&definition.name)];
            written.constraints.push(ast::TableConstraint::PrimaryKey(key));
        }
        ast::ColumnOption::Unique(unique) => {
            let mut unique = unique.clone();
            unique.name = unique.name.or_else(|| name.cloned());
            unique.columns = vec![index_column(&definition.name)];
            written.constraints.push(ast::TableConstraint::Unique(unique));
        }
        ast::ColumnOption::ForeignKey(foreign) => {
            let mut foreign = foreign.clone();
            foreign.name = foreign.name.or_else(|| name.cloned());
            foreign.columns = here();
            written.constraints.push(ast::TableConstraint::ForeignKey(foreign));
        }
        ast::ColumnOption::Check(check) => {
            let mut check = check.clone();
            check.name = check.name.or_else(|| name.cloned());
            written.constraints.push(ast::TableConstraint::Check(check));
        }
        ast::ColumnOption::Generated {
            generated_as, sequence_options, generation_expr, ..
        } => {
            if generation_expr.is_some() || matches!(generated_as, ast::GeneratedAs::ExpStored) {
                return Err(Error::unsupported(
                    "a generated column",
                    "Compute the value in a view, or in the INSERT.",
                ));
            }
            written.not_null = true;
            written.sequence = Some(Feed {
                identity: Some(matches!(generated_as, ast::GeneratedAs::Always)),
                options: identity_options(sequence_options.as_deref().unwrap_or_default())?,
            });
        }
        ast::ColumnOption::Collation(collation) => {
            let text = collation.to_string();
            let name = text.rsplit('.').next().unwrap_or_default().trim_matches('"').to_string();
            let by_bytes = matches!(name.as_str(), "C" | "POSIX" | "default" | "ucs_basic");
            if !by_bytes && !crate::plan::is_collation(&name) {
                let message = format!("collation \"{name}\" for encoding \"UTF8\" does not exist");
                return Err(Error::new("42704", message));
            }
            if !by_bytes {
                return Err(Error::unsupported(
                    format!("COLLATE {name}"),
                    "Text is compared by bytes: the collation is \"C\".",
                ));
            }
        }
        other => {
            return Err(Error::unsupported(
                format!("the column option {other}"),
                "docs/sql.md lists what a column can have.",
            ));
        }
    }
    Ok(())
}

pub(super) fn index_column(name: &ast::Ident) -> ast::IndexColumn {
    ast::IndexColumn {
        column: ast::OrderByExpr {
            expr: ast::Expr::Identifier(name.clone()),
            options: ast::OrderByOptions::default(),
            with_fill: None,
        },
        operator_class: None,
    }
}

/// `serial` and its kind.
fn serial_of(data_type: &ast::DataType) -> Option<Type> {
    let ast::DataType::Custom(name, modifiers) = data_type else { return None };
    if !modifiers.is_empty() {
        return None;
    }
    match name.to_string().to_lowercase().as_str() {
        "serial" | "serial4" => Some(Type::Int4),
        "bigserial" | "serial8" => Some(Type::Int8),
        "smallserial" | "serial2" => Some(Type::Int2),
        _ => None,
    }
}

fn identity_options(options: &[ast::SequenceOptions]) -> Result<SequenceOptions, Error> {
    let mut read = SequenceOptions::default();
    for option in options {
        match option {
            ast::SequenceOptions::IncrementBy(number, _) => read.increment = Some(integer(number)?),
            ast::SequenceOptions::MinValue(number) => {
                read.min = Some(number.as_ref().map(integer).transpose()?);
            }
            ast::SequenceOptions::MaxValue(number) => {
                read.max = Some(number.as_ref().map(integer).transpose()?);
            }
            ast::SequenceOptions::StartWith(number, _) => read.start = Some(integer(number)?),
            ast::SequenceOptions::Cache(number) => read.cache = Some(integer(number)?),

            ast::SequenceOptions::Cycle(no) => read.cycle = Some(!no),
        }
    }
    Ok(read)
}

/// A whole number in a statement.
pub(super) fn integer(expression: &ast::Expr) -> Result<i64, Error> {
    let text = expression.to_string().replace(' ', "");
    text.trim_start_matches('+')
        .parse()
        .map_err(|_| Error::new("42601", format!("an integer is wanted, not {text}")))
}

/// A column as the catalog keeps it, without default and identity.
pub(super) fn column(number: ColumnNumber, written: &Written) -> Column {
    Column {
        number,
        name: written.name.clone(),
        kind: written.kind.clone(),
        not_null: written.not_null,
        default: None,
        identity: None,
        redactable: false,
        missing: Value::Null,
        dropped: false,
        comment: None,
    }
}
