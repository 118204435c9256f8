//! What a column of a result is called when nobody gave it a name.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, DataType, Expr, ObjectNamePart, Query, SelectItem, SetExpr,
};

use super::bind::fold;

/// The name of an expression's column.
pub(super) fn column_name(expr: &Expr) -> String {
    named(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name, and whether it is more than a type's.
fn named(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| (fold(part), true)),
        Expr::CompoundFieldAccess { root, access_chain } => access_chain
            .iter()
            .rev()
            .find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some((fold(ident), true)),
                _ => None,
            })
            .or_else(|| named(root)),
        Expr::Function(function) => match function.name.0.last() {
            Some(ObjectNamePart::Identifier(ident)) => Some((fold(ident), true)),
            _ => None,
        },
        Expr::Cast { expr, data_type, .. } => match named(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(named) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Subquery(query) => first_column(query),
        Expr::Tuple(_) => strong("row"),
        Expr::Trim { .. } => strong("btrim"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        _ => None,
    }
}

fn first_column(query: &Query) -> Option<(String, bool)> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => {
                return match select.projection.first()? {
                    SelectItem::UnnamedExpr(expr) => named(expr),
                    SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
                    _ => None,
                };
            }
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            _ => return None,
        }
    }
}

fn type_name(kind: &DataType) -> String {
    match crate::types::type_of_ast(kind) {
        Ok(kind) => kind.typname(),
        Err(_) => "?column?".to_owned(),
    }
}
