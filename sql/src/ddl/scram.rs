//! SCRAM-SHA-256 verifiers, in the form PostgreSQL keeps them: a password is never stored.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::Error;

/// PostgreSQL's number of rounds.
const ROUNDS: u32 = 4096;

/// The verifier of a password; a text that is a verifier already is kept.
///
/// # Errors
/// 22023 for a password that can't be one.
pub(super) fn verifier(password: &str) -> Result<String, Error> {
    if is_verifier(password) {
        return Ok(password.to_string());
    }
    if password.starts_with("md5") && password.len() == 35 {
        return Err(Error::unsupported(
            "an MD5 password",
            "Give the password itself, or a SCRAM-SHA-256 verifier.",
        ));
    }
    if password.contains('\0') {
        return Err(Error::new("22023", "a password cannot contain a zero byte"));
    }
    Ok(with_salt(password, &crate::random::salt()))
}

fn is_verifier(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("SCRAM-SHA-256$") else { return false };
    let mut parts = rest.split(['$', ':']);
    let rounds = parts.next().is_some_and(|rounds| rounds.parse::<u32>().is_ok());
    let decoded: Vec<_> = parts.map(|part| STANDARD.decode(part)).collect();
    rounds && decoded.len() == 3 && decoded.iter().all(Result::is_ok)
}

fn with_salt(password: &str, salt: &[u8]) -> String {
    let mut salted = [0_u8; digest::SHA256_OUTPUT_LEN];
    let rounds = NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ROUNDS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}
