//! Configuration: units, layers, and the reference page.

use std::collections::BTreeMap;

use super::*;

#[test]
fn sizes_and_times_have_units() {
    assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
    assert_eq!("2 GB".parse(), Ok(ByteSize(2_000_000_000)));
    assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
    assert_eq!("5min".parse(), Ok(Span(Duration::from_secs(300))));
    assert!("5 parsecs".parse::<Span>().is_err());
    assert!("many".parse::<ByteSize>().is_err());
    assert!("99999999999TiB".parse::<ByteSize>().is_err());
}

#[test]
fn what_is_shown_reads_back() {
    for size in [0, 1, 1023, 1 << 10, 64 << 20, (64 << 20) + 1, 1 << 40] {
        assert_eq!(ByteSize(size).to_string().parse(), Ok(ByteSize(size)));
    }
    for milliseconds in [0, 1, 999, 1000, 60_000, 61_000, 86_400_000] {
        let span = Span(Duration::from_millis(milliseconds));
        assert_eq!(span.to_string().parse(), Ok(span));
    }
}

#[test]
fn a_file_is_stronger_than_defaults_and_a_flag_than_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stele.toml");
    std::fs::write(&file, "max_sessions = 7\nidle_timeout = \"5min\"\n").unwrap();
    let flags = BTreeMap::from([("max_sessions", 9)]);
    let config = Config::load(Some(&file), flags).unwrap();
    assert_eq!(config.max_sessions, 9);
    assert_eq!(config.idle_timeout, Span(Duration::from_secs(300)));
    assert_eq!(config.max_message, Config::default().max_message);
}

#[test]
fn unknown_names_and_impossible_values_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stele.toml");
    for text in [
        "max_session = 7\n",
        "max_sessions = 0\n",
        "max_message = \"5B\"\n",
        "listen = \"here\"\n",
        "tls_key = \"a.pem\"\n",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(Config::load(Some(&file), BTreeMap::<String, String>::new()).is_err(), "{text}");
    }
}

/// `STELE_TEST_WRITE_DOCS=1` writes the page instead of checking it.
#[test]
fn the_reference_page_is_up_to_date() {
    let page =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../docs/config.md");
    if std::env::var_os("STELE_TEST_WRITE_DOCS").is_some() {
        std::fs::write(&page, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert_eq!(written, reference(), "run the test with STELE_TEST_WRITE_DOCS=1 to write the page");
}
