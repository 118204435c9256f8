//! Texts without their literals: as templates to plan by, and as what is kept, where no literal may be left.

use ledger::Value;

use super::{statement, template};

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

#[test]
fn literals_become_numbers_and_blanks_are_folded() {
    let cases = [
        ("select 1", "select $1"),
        ("  SELECT  'a' ,\n\t2.5e3 -- secret\n /* hidden */ FROM t", "SELECT $1 , $2 FROM t"),
        ("insert into t values ($1, $2, 'x')", "insert into t values ($1, $2, $3)"),
        (
            "select E'a\\'b', $$body$$, $tag$other$tag$, X'ff', U&'\\0041', N'n'",
            "select $1, $2, $3, $4, $5, $6",
        ),
        ("select \"Quoted Name\" from \"T\"", "select \"Quoted Name\" from \"T\""),
        ("select -5, a[1]", "select -$1, a[$2]"),
        ("", ""),
    ];
    for (text, kept) in cases {
        assert_eq!(statement(text), kept, "{text}");
    }
}

#[test]
fn what_is_not_read_is_not_kept() {
    assert_eq!(statement("select 'open"), "");
    assert_eq!(statement("select $a$ open"), "");
}

#[test]
fn no_secret_survives() {
    let secret = "4111111111111111";
    for text in [
        format!("update card set number = '{secret}' where id = 1"),
        format!("update card set number = {secret}"),
        format!("select /* {secret} */ 1 -- {secret}"),
        format!("create role r password '{secret}'"),
        format!("select $x${secret}$x$, E'{secret}\\n', 'it''s {secret}'"),
    ] {
        assert!(!statement(&text).contains(secret), "{text}: {}", statement(&text));
    }
}
