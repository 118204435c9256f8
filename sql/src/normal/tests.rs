//! Texts without their literals.

use ledger::Value;

use super::template;

/// The template and its literals, shown.
fn shown(text: &str) -> Option<(String, Vec<String>)> {
    let template = template(text)?;
    let literals = template.parameters.iter().map(|parameter| match &parameter.value {
        Some(Value::Text(text)) => format!("'{text}'"),
        Some(Value::Int4(number)) => number.to_string(),
        Some(Value::Int8(number)) => format!("{number}L"),
        other => format!("{other:?}"),
    });
    Some((template.text, literals.collect()))
}

fn same(text: &str, template: &str, literals: &[&str]) {
    let wanted = (template.to_string(), literals.iter().map(ToString::to_string).collect());
    assert_eq!(shown(text), Some(wanted), "{text}");
}

#[test]
fn literals_become_parameters() {
    same("select a from t where b = 5;", "select a from t where b = $1", &["5"]);
    same("select 'it''s', \"a 1\", x1 from t1", "select $1, \"a 1\", x1 from t1", &["'it's'"]);
    same(
        "select -3000000000, 1.5, .5, 1e3, 0x1f",
        "select -$1, 1.5, .5, 1e3, 0x1f",
        &["3000000000L"],
    );
    same("values (1,'',-2)", "values ($1,$2,-$3)", &["1", "''", "2"]);
    same("select 'für' = 'é'", "select $1 = $2", &["'für'", "'é'"]);
    same("begin", "begin", &[]);
}

#[test]
fn other_texts_have_no_template() {
    for text in [
        "select e'a'",
        "select date'2024-01-01'",
        "select 1; select 2",
        "select $1",
        "select $$a$$",
        "select 1 -- one",
        "select /* one */ 1",
        "select 'open",
        "select \"open",
        "select u&'a'",
        "select 99999999999999999999 + 'x",
    ] {
        assert_eq!(shown(text), None, "{text}");
    }
}
