//! The login against an independent client of SCRAM.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::*;

const SECRET: [u8; 32] = [7; 32];

/// A whole login: what the server says at its end, and whether the client believes it.
fn log_in(verifier: Option<&str>, password: &str) -> Result<bool, Problem> {
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let first = client.message().to_vec();
    let mut initial = MECHANISM.as_bytes().to_vec();
    initial.push(0);
    initial.extend(u32::try_from(first.len()).unwrap().to_be_bytes());
    initial.extend(first);
    let (login, challenge) = Login::begin("anna", verifier, &SECRET, initial.into())?;
    client.update(challenge.as_bytes()).unwrap();
    let proof = login.finish(client.message())?;
    Ok(client.finish(proof.as_bytes()).is_ok())
}

#[test]
fn the_right_password_and_no_other() {
    let verifier = verifier_of("correct horse").unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$4096:"));
    assert_eq!(log_in(Some(&verifier), "correct horse"), Ok(true));
    for wrong in ["", "correct", "correct horse "] {
        assert_eq!(log_in(Some(&verifier), wrong).unwrap_err().sqlstate, "28P01");
    }
}

#[test]
fn who_is_not_there_is_answered_the_same() {
    let wrong = log_in(Some(&verifier_of("x").unwrap()), "y").unwrap_err();
    for nobody in [None, Some("md5abc"), Some("SCRAM-SHA-256$4096:c2FsdA==$YQ==:Yg==")] {
        assert_eq!(log_in(nobody, "y").unwrap_err(), wrong);
    }
}

#[test]
fn who_is_not_there_has_the_same_salt_each_time() {
    let challenge = |name| {
        let initial = Bytes::from_static(b"SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=ab");
        let (_, challenge) = Login::begin(name, None, &SECRET, initial).unwrap();
        challenge.split(',').nth(1).unwrap().to_owned()
    };
    assert_eq!(challenge("anna"), challenge("anna"));
    assert_ne!(challenge("anna"), challenge("bert"));
}

#[test]
fn broken_messages_are_refused() {
    for initial in [
        &b""[..],
        b"SCRAM-SHA-1\0\0\0\0\0",
        b"SCRAM-SHA-256\0\xff\xff\xff\xff",
        b"SCRAM-SHA-256\0\0\0\0\x7f",
        b"SCRAM-SHA-256\0\0\0\0\x05n,,n=",
        b"SCRAM-SHA-256-PLUS\0\0\0\0\0",
    ] {
        let problem = Login::begin("anna", None, &SECRET, Bytes::copy_from_slice(initial));
        assert_eq!(problem.err().unwrap().sqlstate, "08P01");
    }
}
