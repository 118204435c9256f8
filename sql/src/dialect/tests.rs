//! What the dialect puts right.

use datafusion::sql::sqlparser::parser::Parser;

use super::Postgres;

fn read(text: &str) -> String {
    let mut parser = Parser::new(&Postgres { versions: false }).try_with_sql(text).unwrap();
    format!("{:?}", parser.parse_expr().unwrap())
}

#[test]
fn distinct_binds_tighter_than_and() {
    for (plain, explicit) in [
        ("a IS DISTINCT FROM b AND c", "IsDistinctFrom"),
        ("a IS NOT DISTINCT FROM b OR c", "IsNotDistinctFrom"),
    ] {
        let read = read(plain);
        assert!(read.starts_with("BinaryOp"), "{read}");
        assert!(read.contains(explicit), "{read}");
    }
    let read = read("p AND a IS DISTINCT FROM b OR c");
    assert!(read.contains("op: Or, right: Identifier(Ident { value: \"c\""), "{read}");
}

#[test]
fn the_right_side_takes_what_binds_tighter() {
    let read = read("a IS DISTINCT FROM b + 1 = c");
    assert!(read.starts_with("IsDistinctFrom"), "{read}");
}
