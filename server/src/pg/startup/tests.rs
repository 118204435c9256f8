//! Startup packets.

use super::*;

fn packet(version: i32, parameters: &[(&str, &str)]) -> Bytes {
    let mut bytes = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        bytes.extend(format!("{name}\0{value}\0").bytes());
    }
    bytes.push(0);
    bytes.into()
}

#[test]
fn parameters_are_user_database_and_settings() {
    let startup = Startup::decode(packet(
        VERSION_3_0,
        &[
            ("user", "anna"),
            ("options", "-c search_path=a,b --lock-timeout=5s -cDateStyle=ISO,\\ DMY"),
            ("TimeZone", "Europe/Berlin"),
        ],
    ));
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Startup {
        user: "anna".into(),
        database: "anna".into(),
        settings: vec![
            setting("search_path", "a,b"),
            setting("lock_timeout", "5s"),
            setting("DateStyle", "ISO, DMY"),
            setting("TimeZone", "Europe/Berlin"),
        ],
        ..Startup::default()
    };
    assert_eq!(startup, Ok(expected));
}

#[test]
fn newer_versions_and_unknown_options_are_negotiated() {
    let old = Startup::decode(packet(VERSION_3_0, &[("user", "a")])).unwrap();
    assert_eq!((old.long_cancel_keys, old.negotiate), (false, None));
    let new = Startup::decode(packet(VERSION_3_2, &[("user", "a")])).unwrap();
    assert_eq!((new.long_cancel_keys, new.negotiate), (true, None));
    let newer =
        Startup::decode(packet((3 << 16) | 9999, &[("user", "a"), ("_pq_.x", "1")])).unwrap();
    assert_eq!(newer.negotiate, Some(vec!["_pq_.x".to_owned()]));
}

#[test]
fn wrong_packets_are_fatal() {
    for (packet, sqlstate) in [
        (packet(2 << 16, &[("user", "a")]), "08P01"),
        (packet(VERSION_3_0, &[("database", "a")]), "28000"),
        (packet(VERSION_3_0, &[("user", "a"), ("replication", "true")]), "0A000"),
        (packet(VERSION_3_0, &[("user", "a"), ("options", "nonsense")]), "22023"),
        (Bytes::from_static(b"\0\x03\0\0user"), "08P01"),
    ] {
        let problem = Startup::decode(packet).unwrap_err();
        assert_eq!(problem.sqlstate, sqlstate);
        assert!(problem.is_fatal());
    }
}
