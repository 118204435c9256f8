//! Texts are split into statements at the right places, and refused with the right position.

use super::*;

fn texts(text: &str) -> Vec<String> {
    parse(text).unwrap().iter().map(|it| it.text().to_owned()).collect()
}

fn refused(text: &str) -> (String, Option<usize>) {
    let report = parse(text).unwrap_err().report();
    (report.sqlstate, report.position)
}

#[test]
fn statements_end_at_semicolons_outside_of_everything() {
    assert_eq!(texts("select 1; select 2"), ["select 1", "select 2"]);
    assert_eq!(texts(" ;; select ';' ;"), ["select ';'"]);
    assert_eq!(texts("select $$a;b$$; select \"c;d\""), ["select $$a;b$$", "select \"c;d\""]);
    assert_eq!(texts("select 1 -- ;\n; select /* ; */ 2"), ["select 1 -- ;", "select /* ; */ 2"]);
    assert_eq!(texts("select 'ä;€'; select 'ü'"), ["select 'ä;€'", "select 'ü'"]);
    for empty in ["", "  ", ";", "-- nothing", "/* nothing */ ;;"] {
        let statements = parse(empty).unwrap();
        assert!(statements.len() == 1 && statements[0].is_empty(), "{empty}");
    }
}

#[test]
fn errors_point_at_their_character() {
    assert_eq!(refused("select 1; selec 2"), ("42601".to_owned(), Some(11)));
    assert_eq!(refused("select 'ä'; selec 2"), ("42601".to_owned(), Some(13)));
    assert_eq!(refused("select 'open").0, "42601");
    assert_eq!(refused("select /* open").0, "42601");
}

#[test]
fn nesting_has_a_bound() {
    let deep = |levels| format!("select {}1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse(&deep(20)).is_ok());
    assert_eq!(refused(&deep(5_000)).0, "54001");
    let query = |levels| format!("{}select 1{}", "select (".repeat(levels), ")".repeat(levels));
    assert_eq!(refused(&query(2_000)).0, "54001");
}

#[test]
fn a_failed_transaction_takes_only_its_end() {
    let ends = |text: &str| parse(text).unwrap()[0].ends_transaction();
    for text in ["commit", "END", "rollback", "abort", "rollback to a", "commit and chain"] {
        assert!(ends(text), "{text}");
    }
    for text in ["select 1", "begin", "savepoint a", "release a", "set a.b = 1"] {
        assert!(!ends(text), "{text}");
    }
}
