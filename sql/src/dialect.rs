//! PostgreSQL's dialect as sqlparser knows it, with these things put right: `a IS DISTINCT FROM b AND c` means
//! `(a IS DISTINCT FROM b) AND c` (sqlparser before 0.63 takes `b AND c` for the right side, in silence), `BETWEEN
//! SYMMETRIC`, the words that may name a column or table without AS, and `FOR SYSTEM_TIME AS OF`.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

#[cfg(test)]
mod tests;

static POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// The dialect of every text that a client sends or the ledger keeps.
#[derive(Debug, Default)]
pub(crate) struct Postgres {
    /// A table may be followed by `FOR SYSTEM_TIME AS OF`. sqlparser then takes some names of tables for other
    /// words, so that this is on only where SYSTEM_TIME is written.
    pub(crate) versions: bool,
}

impl Postgres {
    /// The dialect for a text that the ledger keeps.
    pub(crate) fn of_text(text: &str) -> Self {
        Self { versions: text.contains("FOR SYSTEM_TIME") }
    }
}

/// Words that can't name a table without AS: PostgreSQL's reserved ones, and those that follow a table's name.
const NO_TABLE_ALIAS: &[Keyword] = &[
    Keyword::ALL,
    Keyword::ANALYZE,
    Keyword::AND,
    Keyword::ANY,
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::ASC,
    Keyword::ASYMMETRIC,
    Keyword::AUTHORIZATION,
    Keyword::BINARY,
    Keyword::BOTH,
    Keyword::CASE,
    Keyword::CAST,
    Keyword::CHECK,
    Keyword::COLLATE,
    Keyword::COLLATION,
    Keyword::COLUMN,
    Keyword::CONCURRENTLY,
    Keyword::CONSTRAINT,
    Keyword::CREATE,
    Keyword::CROSS,
    Keyword::CURRENT_CATALOG,
    Keyword::CURRENT_DATE,
    Keyword::CURRENT_ROLE,
    Keyword::CURRENT_SCHEMA,
    Keyword::CURRENT_TIME,
    Keyword::CURRENT_TIMESTAMP,
    Keyword::CURRENT_USER,
    Keyword::DEFAULT,
    Keyword::DEFERRABLE,
    Keyword::DESC,
    Keyword::DISTINCT,
    Keyword::DO,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::FALSE,
    Keyword::FETCH,
    Keyword::FOR,
    Keyword::FOREIGN,
    Keyword::FREEZE,
    Keyword::FROM,
    Keyword::FULL,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INITIALLY,
    Keyword::INNER,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::IS,
    Keyword::JOIN,
    Keyword::LATERAL,
    Keyword::LEADING,
    Keyword::LEFT,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::LOCALTIME,
    Keyword::LOCALTIMESTAMP,
    Keyword::NATURAL,
    Keyword::NOT,
    Keyword::NOTNULL,
    Keyword::NULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::OUTER,
    Keyword::OVERLAPS,
    Keyword::PLACING,
    Keyword::PRIMARY,
    Keyword::REFERENCES,
    Keyword::RETURNING,
    Keyword::RIGHT,
    Keyword::SELECT,
    Keyword::SESSION_USER,
    Keyword::SET,
    Keyword::SIMILAR,
    Keyword::SOME,
    Keyword::SYMMETRIC,
    Keyword::TABLE,
    Keyword::TABLESAMPLE,
    Keyword::THEN,
    Keyword::TO,
    Keyword::TRAILING,
    Keyword::TRUE,
    Keyword::UNION,
    Keyword::UNIQUE,
    Keyword::USER,
    Keyword::USING,
    Keyword::VALUES,
    Keyword::VARIADIC,
    Keyword::VERBOSE,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
];

/// Words that can't name a column of the result without AS.
const NO_COLUMN_ALIAS: &[Keyword] = &[
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::CHAR,
    Keyword::CHARACTER,
    Keyword::CREATE,
    Keyword::DAY,
    Keyword::EXCEPT,
    Keyword::FETCH,
    Keyword::FILTER,
    Keyword::FOR,
    Keyword::FROM,
    Keyword::GRANT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::HOUR,
    Keyword::INTERSECT,
    Keyword::INTO,
    Keyword::LIMIT,
    Keyword::MINUTE,
    Keyword::MONTH,
    Keyword::NOTNULL,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::ORDER,
    Keyword::OVER,
    Keyword::OVERLAPS,
    Keyword::PRECISION,
    Keyword::RETURNING,
    Keyword::SECOND,
    Keyword::TO,
    Keyword::UNION,
    Keyword::VARYING,
    Keyword::WHERE,
    Keyword::WINDOW,
    Keyword::WITH,
    Keyword::WITHIN,
    Keyword::WITHOUT,
    Keyword::YEAR,
];

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let word = |nth: usize| match parser.peek_nth_token(nth).token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let (is_not, words) = match (word(0), word(1), word(2), word(3)) {
            (Keyword::IS, Keyword::DISTINCT, Keyword::FROM, _) => (false, 3),
            (Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM) => (true, 4),
            (Keyword::BETWEEN, Keyword::SYMMETRIC | Keyword::ASYMMETRIC, ..) => {
                return Some(between(parser, expr, false));
            }
            (Keyword::NOT, Keyword::BETWEEN, Keyword::SYMMETRIC | Keyword::ASYMMETRIC, _) => {
                parser.advance_token();
                return Some(between(parser, expr, true));
            }
            _ => return None,
        };
        for _ in 0..words {
            parser.advance_token();
        }
        Some(parser.parse_subexpr(precedence).map(|right| {
            let (left, right) = (Box::new(expr.clone()), Box::new(right));
            if is_not {
                Expr::IsNotDistinctFrom(left, right)
            } else {
                Expr::IsDistinctFrom(left, right)
            }
        }))
    }

    fn is_table_alias(&self, keyword: &Keyword, _parser: &mut Parser<'_>) -> bool {
        !NO_TABLE_ALIAS.contains(keyword)
    }

    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser<'_>) -> bool {
        !NO_COLUMN_ALIAS.contains(keyword)
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        self.versions
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRESQL.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_part(ch)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        POSTGRESQL.supports_unicode_string_literal()
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        POSTGRESQL.is_reserved_for_identifier(kw)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRESQL.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRESQL.get_next_precedence(parser)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        POSTGRESQL.supports_filter_during_aggregation()
    }

    fn supports_group_by_expr(&self) -> bool {
        POSTGRESQL.supports_group_by_expr()
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRESQL.prec_value(prec)
    }

    fn allow_extract_custom(&self) -> bool {
        POSTGRESQL.allow_extract_custom()
    }

    fn allow_extract_single_quotes(&self) -> bool {
        POSTGRESQL.allow_extract_single_quotes()
    }

    fn supports_create_index_with_clause(&self) -> bool {
        POSTGRESQL.supports_create_index_with_clause()
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        POSTGRESQL.supports_explain_with_utility_options()
    }

    fn supports_listen_notify(&self) -> bool {
        POSTGRESQL.supports_listen_notify()
    }

    fn supports_factorial_operator(&self) -> bool {
        POSTGRESQL.supports_factorial_operator()
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        POSTGRESQL.supports_bitwise_shift_operators()
    }

    fn supports_comment_on(&self) -> bool {
        POSTGRESQL.supports_comment_on()
    }

    fn supports_load_extension(&self) -> bool {
        POSTGRESQL.supports_load_extension()
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        POSTGRESQL.supports_named_fn_args_with_colon_operator()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        POSTGRESQL.supports_named_fn_args_with_expr_name()
    }

    fn supports_empty_projections(&self) -> bool {
        POSTGRESQL.supports_empty_projections()
    }

    fn supports_nested_comments(&self) -> bool {
        POSTGRESQL.supports_nested_comments()
    }

    fn supports_string_escape_constant(&self) -> bool {
        POSTGRESQL.supports_string_escape_constant()
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        POSTGRESQL.supports_numeric_literal_underscores()
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        POSTGRESQL.supports_array_typedef_with_brackets()
    }

    fn supports_geometric_types(&self) -> bool {
        POSTGRESQL.supports_geometric_types()
    }

    fn supports_set_names(&self) -> bool {
        POSTGRESQL.supports_set_names()
    }

    fn supports_alter_column_type_using(&self) -> bool {
        POSTGRESQL.supports_alter_column_type_using()
    }

    fn supports_notnull_operator(&self) -> bool {
        POSTGRESQL.supports_notnull_operator()
    }

    fn supports_interval_options(&self) -> bool {
        POSTGRESQL.supports_interval_options()
    }

    fn supports_insert_table_alias(&self) -> bool {
        POSTGRESQL.supports_insert_table_alias()
    }

    fn supports_create_table_like_parenthesized(&self) -> bool {
        POSTGRESQL.supports_create_table_like_parenthesized()
    }

    fn supports_select_wildcard_with_alias(&self) -> bool {
        POSTGRESQL.supports_select_wildcard_with_alias()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        POSTGRESQL.supports_comma_separated_trim()
    }

    fn supports_xml_expressions(&self) -> bool {
        POSTGRESQL.supports_xml_expressions()
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        POSTGRESQL.supports_comment_optimizer_hint()
    }
}

/// `BETWEEN [A]SYMMETRIC low AND high`, from BETWEEN on.
fn between(parser: &mut Parser<'_>, value: &Expr, negated: bool) -> Result<Expr, ParserError> {
    let precedence = POSTGRESQL.prec_value(Precedence::Between);
    parser.advance_token();
    let symmetric = parser.parse_keyword(Keyword::SYMMETRIC);
    if !symmetric {
        parser.expect_keyword(Keyword::ASYMMETRIC)?;
    }
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    let within = |low: &Expr, high: &Expr| Expr::Between {
        expr: Box::new(value.clone()),
        negated: false,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    let mut result = within(&low, &high);
    if symmetric {
        result = Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(result),
            op: BinaryOperator::Or,
            right: Box::new(within(&high, &low)),
        }));
    }
    if negated {
        let inner = Expr::Nested(Box::new(result));
        result = Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inner) };
    }
    Ok(result)
}
