//! The login's proof: SCRAM-SHA-256, with the verifier that the role has in the catalog. It knows no socket.
//!
//! A client that names a role that doesn't exist, may not log in, or has no password goes through the same
//! exchange with the same messages, against a verifier that no password fits: it learns nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pgwire::api::auth::sasl::scram::{
    SCRAM_ITERATIONS, ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal,
    gen_salted_password,
};
use ring::hmac;

use super::error::Problem;
use super::message::Body;

#[cfg(test)]
mod tests;

/// The one mechanism that is offered.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// Makes a role's verifier from its password, in PostgreSQL's form.
///
/// # Errors
/// When the system gives no random bytes.
pub fn verifier_of(password: &str) -> Result<String, getrandom::Error> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt)?;
    let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
    let secret =
        ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, SCRAM_ITERATIONS);
    let ScramSecret::Verifier { stored_key, server_key, .. } = secret else {
        return Ok(String::new());
    };
    Ok(format!(
        "{MECHANISM}${SCRAM_ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    ))
}

/// Takes a verifier in PostgreSQL's form apart; `None` if it isn't one.
fn secret_of(verifier: &str) -> Option<ScramSecret> {
    let rest = verifier.strip_prefix(MECHANISM)?.strip_prefix('$')?;
    let (head, keys) = rest.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let (stored_key, server_key) =
        (STANDARD.decode(stored_key).ok()?, STANDARD.decode(server_key).ok()?);
    if stored_key.len() != 32 || server_key.len() != 32 {
        return None;
    }
    Some(ScramSecret::Verifier {
        salt: STANDARD.decode(salt).ok()?,
        iterations: iterations.parse().ok()?,
        stored_key,
        server_key,
    })
}

/// A secret for a role that can't log in: the same salt each time for the same name, so that asking twice
/// shows nothing, and keys that no password has.
fn nobody(name: &str, server_secret: &[u8; 32]) -> ScramSecret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, server_secret);
    let part =
        |label: &str| hmac::sign(&key, format!("{label}\0{name}").as_bytes()).as_ref().to_vec();
    let mut salt = part("salt");
    salt.truncate(16);
    ScramSecret::Verifier {
        salt,
        iterations: SCRAM_ITERATIONS,
        stored_key: part("stored"),
        server_key: part("server"),
    }
}

/// One login, between the client's first and its final message.
pub(crate) struct Login {
    user: String,
    /// Whether the role may log in at all; decided before, told only at the end.
    allowed: bool,
    waiting: ScramServerAuthWaitingForClientFinal,
}

impl Login {
    /// Answers the client's first message (SASLInitialResponse).
    ///
    /// `verifier` is the role's, if there is such a role, it may log in and has one.
    ///
    /// # Errors
    /// `28000`/`08P01` for another mechanism or a message that isn't SCRAM's.
    pub(crate) fn begin(
        user: &str,
        verifier: Option<&str>,
        server_secret: &[u8; 32],
        initial: Bytes,
    ) -> Result<(Self, String), Problem> {
        let mut body = Body(initial);
        let mechanism = body.string()?;
        if mechanism != MECHANISM {
            return Err(Problem::fatal(
                "08P01",
                "client selected an invalid SASL authentication mechanism",
            ));
        }
        let length = usize::try_from(body.i32()?)
            .map_err(|_| Problem::fatal("08P01", "malformed SCRAM message"))?;
        let first = body.take(length)?;
        body.end()?;
        let secret = verifier.and_then(secret_of);
        let allowed = secret.is_some();
        let secret = secret.unwrap_or_else(|| nobody(user, server_secret));
        let (answer, waiting) = ScramServerAuth::new()
            .on_client_first_message_with_secret(&first, secret)
            .map_err(|error| malformed(&error))?;
        Ok((Self { user: user.to_owned(), allowed, waiting }, answer))
    }

    /// Checks the client's proof; the answer is the server's own proof.
    ///
    /// # Errors
    /// `28P01`, the same for a wrong password and a role that isn't there.
    pub(crate) fn finish(&self, last: &[u8]) -> Result<String, Problem> {
        let answer = self.waiting.on_client_final_message(last);
        match answer {
            Ok(answer) if self.allowed => Ok(answer),
            Err(pgwire::error::PgWireError::InvalidScramMessage(what)) => {
                Err(Problem::fatal("08P01", "malformed SCRAM message").with_detail(what))
            }
            Ok(_) | Err(_) => Err(Problem::fatal(
                "28P01",
                format!("password authentication failed for user \"{}\"", self.user),
            )),
        }
    }
}

fn malformed(error: &pgwire::error::PgWireError) -> Problem {
    Problem::fatal("08P01", "malformed SCRAM message").with_detail(error.to_string())
}
