//! Values are checked and shown as PostgreSQL does, and last as long as they should.

use super::*;

fn settings() -> Settings {
    Settings::new("anna", false, "15.8")
}

fn refused(name: &str, value: &str) -> String {
    settings().set(name, value, Scope::Session).unwrap_err().sqlstate()
}

#[test]
fn values_are_shown_with_their_units() {
    let mut settings = settings();
    for (value, shown, milliseconds) in [
        ("1500", "1500ms", 1_500),
        ("2s", "2s", 2_000),
        ("90s", "90s", 90_000),
        ("120s", "2min", 120_000),
        ("1h", "1h", 3_600_000),
        ("1d", "1d", 86_400_000),
    ] {
        settings.set("statement_timeout", value, Scope::Session).unwrap();
        assert_eq!(settings.get("Statement_Timeout").as_deref(), Some(shown));
        assert_eq!(settings.statement_timeout(), Some(Duration::from_millis(milliseconds)));
    }
    settings.set("statement_timeout", "0", Scope::Session).unwrap();
    assert_eq!(settings.statement_timeout(), None);
    assert_eq!(refused("statement_timeout", "soon"), "22023");
    assert_eq!(refused("statement_timeout", "-1"), "22023");
    assert_eq!(refused("statement_timeout", "30 fortnights"), "22023");
}

#[test]
fn what_can_not_be_is_refused() {
    assert_eq!(refused("no_such_setting", "1"), "42704");
    assert_eq!(refused("server_version", "16"), "55P02");
    assert_eq!(refused("client_encoding", "LATIN1"), "0A000");
    assert_eq!(refused("bytea_output", "escape"), "0A000");
    assert_eq!(refused("default_transaction_isolation", "chaos"), "22023");
    assert_eq!(refused("default_transaction_read_only", "perhaps"), "22023");
    assert_eq!(refused("TimeZone", "Middle/Earth"), "22023");
    let long = "k".repeat(IDEMPOTENCY_KEY + 1);
    assert_eq!(refused("ledger.idempotency_key", &long), "22023");
}

#[test]
fn local_values_end_with_the_transaction_and_reset_goes_back_to_the_start() {
    let mut settings = settings();
    settings.start_with("application_name", "bank").unwrap();
    settings.set("application_name", "teller", Scope::Session).unwrap();
    settings.set("application_name", "audit", Scope::Local).unwrap();
    assert_eq!(settings.get("application_name").as_deref(), Some("audit"));
    settings.end_transaction();
    assert_eq!(settings.get("application_name").as_deref(), Some("teller"));
    settings.reset("application_name", Scope::Session).unwrap();
    assert_eq!(settings.get("application_name").as_deref(), Some("bank"));
    settings.set("application_name", "teller", Scope::Session).unwrap();
    settings.reset_all();
    assert_eq!(settings.get("application_name").as_deref(), Some("bank"));
    // A session's value takes a local one's place at once.
    settings.set("ledger.idempotency_key", "one", Scope::Local).unwrap();
    settings.set("ledger.idempotency_key", "two", Scope::Session).unwrap();
    assert_eq!(settings.idempotency_key(), Some("two"));
}

#[test]
fn only_changes_are_told() {
    let before = settings();
    let mut after = before.clone();
    assert_eq!(changes(&before, &after), []);
    after.set("statement_timeout", "5s", Scope::Session).unwrap();
    assert_eq!(changes(&before, &after), [], "clients are not told of it");
    after.set("application_name", "x", Scope::Session).unwrap();
    let told = [("application_name".to_owned(), "x".to_owned())];
    assert_eq!(changes(&before, &after), told);
}

#[test]
fn lists_of_names_are_read_as_sql_reads_them() {
    assert_eq!(names_of("a, B ,\"C d\""), ["a", "b", "C d"]);
    assert_eq!(names_of("\"a\"\"b\",c"), ["a\"b", "c"]);
    assert_eq!(names_of("  "), Vec::<String>::new());
    assert_eq!(names_of("\"open"), ["open"]);
}
