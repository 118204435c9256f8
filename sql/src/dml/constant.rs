//! Values that need no planner: literals and parameters, assigned to a column's type as PostgreSQL
//! would. Whatever is more than that is the planner's.

use datafusion::sql::sqlparser::ast;
use ledger::{Type, Value};

use crate::Error;
use crate::ddl::types::type_of;
use crate::number::Number;
use crate::outcome::Parameter;
use crate::settings::Zone;

/// OID of `unknown`.
const UNKNOWN: u32 = 705;

/// A value with the type it has by itself; `None` is a text whose type is still open.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) value: Value,
    pub(crate) open: bool,
}

/// The value of an expression that is a literal or a parameter; `None` for any other.
///
/// # Errors
/// 22P02 and its kind for typed literals; 42P02 for a parameter that isn't there.
pub(crate) fn constant(
    expression: &ast::Expr,
    parameters: &[Parameter],
    zone: Zone,
) -> Result<Option<Constant>, Error> {
    Ok(Some(match expression {
        ast::Expr::Nested(inner) => return constant(inner, parameters, zone),
        ast::Expr::Value(value) => match literal(&value.value, parameters)? {
            Some(constant) => constant,
            None => return Ok(None),
        },
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => return number(&format!("-{digits}")),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        },
        ast::Expr::Cast {
            kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
            expr,
            data_type,
            format: None,
            ..
        } => {
            let (Ok(kind), Some(inner)) = (type_of(data_type), constant(expr, parameters, zone)?)
            else {
                return Ok(None);
            };
            typed(match inner {
                Constant { value: Value::Text(text), open: true } => {
                    Value::parse(&text, &kind, &zone)?
                }
                Constant { value, .. } => value.cast(&kind, &zone)?,
            })
        }
        ast::Expr::TypedString(typed_string) => {
            let Ok(kind) = type_of(&typed_string.data_type) else { return Ok(None) };
            match &typed_string.value.value {
                ast::Value::SingleQuotedString(text) => typed(Value::parse(text, &kind, &zone)?),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

fn typed(value: Value) -> Constant {
    Constant { value, open: false }
}

fn literal(value: &ast::Value, parameters: &[Parameter]) -> Result<Option<Constant>, Error> {
    Ok(Some(match value {
        ast::Value::Number(digits, _) => return number(digits),
        ast::Value::SingleQuotedString(text)
        | ast::Value::EscapedStringLiteral(text)
        | ast::Value::UnicodeStringLiteral(text)
        | ast::Value::NationalStringLiteral(text) => {
            Constant { value: Value::Text(text.clone()), open: true }
        }
        ast::Value::DollarQuotedString(text) => {
            Constant { value: Value::Text(text.value.clone()), open: true }
        }
        ast::Value::Boolean(value) => typed(Value::Bool(*value)),
        ast::Value::Null => Constant { value: Value::Null, open: true },
        ast::Value::Placeholder(name) => {
            let parameter = name
                .strip_prefix('$')
                .and_then(|number| number.parse::<usize>().ok())
                .and_then(|number| parameters.get(number.checked_sub(1)?))
                .ok_or_else(|| Error::new("42P02", format!("there is no parameter {name}")))?;
            Constant {
                value: parameter.value.clone().unwrap_or(Value::Null),
                open: matches!(parameter.oid, 0 | UNKNOWN) || parameter.value.is_none(),
            }
        }
        _ => return Ok(None),
    }))
}

/// A number as PostgreSQL types it: integer, bigint, or numeric. None of more digits than the ledger keeps:
/// it may be for a column that is no numeric.
fn number(digits: &str) -> Result<Option<Constant>, Error> {
    if let Ok(number) = digits.parse::<i32>() {
        return Ok(Some(typed(Value::Int4(number))));
    }
    if let Ok(number) = digits.parse::<i64>() {
        return Ok(Some(typed(Value::Int8(number))));
    }
    let number = Number::parse(digits)?.to_decimal().ok();
    Ok(number.map(|number| typed(Value::Numeric(number))))
}

/// A constant as a column of this type stores it.
///
/// # Errors
/// 22P02 and its kind; 42804 when its type can't be assigned to the column's.
pub(crate) fn assign(
    constant: Constant,
    column: &ledger::Column,
    zone: Zone,
) -> Result<Value, Error> {
    let Constant { value, open } = constant;
    match value {
        Value::Null => Ok(Value::Null),
        Value::Text(text) if open => Ok(Value::parse(&text, &column.kind, &zone)?),
        value => assign_value(value, column, zone),
    }
}

/// A value of a known type as a column of another stores it.
///
/// # Errors
/// 22003 and its kind; 42804 when its type can't be assigned to the column's.
pub(crate) fn assign_value(
    value: Value,
    column: &ledger::Column,
    zone: Zone,
) -> Result<Value, Error> {
    if !assignable(&value, &column.kind) {
        return Err(Error::new(
            "42804",
            format!(
                "column \"{}\" is of type {} but expression is of type {}",
                column.name,
                column.kind.base_name(),
                value.type_name()
            ),
        )
        .with_hint("You will need to rewrite or cast the expression."));
    }
    Ok(value.assign_in(&column.kind, &zone)?)
}

/// Whether PostgreSQL has an assignment cast for this.
pub(crate) fn assignable(value: &Value, kind: &Type) -> bool {
    let number = |kind: &Type| {
        matches!(
            kind,
            Type::Int2
                | Type::Int4
                | Type::Int8
                | Type::Numeric { .. }
                | Type::Decimal
                | Type::Float4
                | Type::Float8
        )
    };
    match (value, kind) {
        (Value::Null, _) => true,
        (_, Type::Text | Type::Varchar(_) | Type::Char(_)) => true,
        (
            Value::Int2(_)
            | Value::Int4(_)
            | Value::Int8(_)
            | Value::Numeric(_)
            | Value::Float4(_)
            | Value::Float8(_),
            kind,
        ) => number(kind),
        (Value::Bool(_), Type::Bool)
        | (Value::Bytea(_), Type::Bytea)
        | (Value::Uuid(_), Type::Uuid)
        | (Value::Time(_), Type::Time)
        | (Value::Date(_), Type::Date | Type::Timestamp | Type::Timestamptz)
        | (
            Value::Timestamp(_) | Value::Timestamptz(_),
            Type::Timestamp | Type::Timestamptz | Type::Date | Type::Time,
        )
        | (Value::Json(_) | Value::Jsonb(_), Type::Json | Type::Jsonb) => true,
        (Value::Array(items), Type::Array(element)) => {
            items.iter().all(|item| assignable(item, element))
        }
        _ => false,
    }
}
