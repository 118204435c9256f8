//! What makes a node itself: its key, its certificate, the first password. Files of their own beside the
//! data, made on the first start. It knows no blocks.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ledger::{Hash, NodeKey};

use crate::pg::tls;

/// The node's Ed25519 key, 64 hex digits.
const KEY: &str = "node.key";
/// Which chain the data are of, 64 hex digits.
const CHAIN: &str = "chain";
/// The certificate that the node makes for itself.
const CERTIFICATE: &str = "tls.crt";
/// Its key.
const CERTIFICATE_KEY: &str = "tls.key";

/// Reads the node's key, or makes it if `new` says that there is no chain yet.
///
/// # Errors
/// When the file can't be read or written, isn't a key, or is gone from a node that has a chain.
pub fn node_key(data: &Path, new: bool) -> anyhow::Result<NodeKey> {
    let path = data.join(KEY);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let secret = from_hex(text.trim()).with_context(|| {
                format!("{} doesn't hold a key of 64 hex digits", path.display())
            })?;
            Ok(NodeKey::from_bytes(&secret))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && new => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret)?;
            let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            write_secret(&path, format!("{text}\n").as_bytes())?;
            Ok(NodeKey::from_bytes(&secret))
        }
        Err(error) => Err(error).with_context(|| {
            format!("can't read the node's key {}: without it the node can't sign", path.display())
        }),
    }
}

/// The chain that the data were of when it was noted.
///
/// # Errors
/// When the file can't be read, or holds something else.
pub fn noted_chain(data: &Path) -> anyhow::Result<Option<Hash>> {
    let path = data.join(CHAIN);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let chain = from_hex(text.trim());
            let chain = chain.with_context(|| format!("{} names no chain", path.display()))?;
            Ok(Some(Hash(chain)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// Notes which chain the data are of, unless that is noted.
///
/// # Errors
/// When it can't be written.
pub fn note_chain(data: &Path, chain: Hash) -> anyhow::Result<()> {
    if noted_chain(data)? == Some(chain) {
        return Ok(());
    }
    write_file(&data.join(CHAIN), format!("{chain}\n").as_bytes(), 0o644)
}

/// 32 bytes that are written as 64 hex digits.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The paths of the node's own certificate and key, which are made if they aren't there.
///
/// # Errors
/// When they can't be made or written.
pub fn certificate(data: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (data.join(CERTIFICATE), data.join(CERTIFICATE_KEY));
    if !certificate.is_file() || !key.is_file() {
        let (certificate_pem, key_pem) = tls::self_signed()?;
        write_secret(&key, key_pem.as_bytes())?;
        write_file(&certificate, certificate_pem.as_bytes(), 0o644)?;
    }
    Ok((certificate, key))
}

/// A password of 24 letters and digits (more than 128 bits of chance).
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_password() -> anyhow::Result<String> {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut password = String::new();
    while password.len() < 24 {
        let mut byte = [0];
        getrandom::fill(&mut byte)?;
        // A byte that would favour the first letters is thrown away.
        if usize::from(byte[0]) < 256 - 256 % LETTERS.len()
            && let Some(letter) = LETTERS.get(usize::from(byte[0]) % LETTERS.len())
        {
            password.push(char::from(*letter));
        }
    }
    Ok(password)
}

fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_file(path, bytes, 0o600)
}

/// Writes a whole file or none: beside it, synced, then renamed.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(directory) => fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("can't write {}", path.display()))
}
