//! Proofs as JSON: numbers and hex. Structures whose bytes are hashed stand as their canonical bytes, so
//! that a verifier in another language hashes what it reads.

use serde_json::{Value as Json, json};

use super::{BlockProof, ConsistencyProof, Digest, RowProof, TransactionProof};
use crate::codec::{DecodeError, decode, encode};
use crate::{Hash, Header, Height, Signature};

/// The version of the files.
pub(crate) const FILE: u64 = 1;

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(crate) fn wrong(name: &str) -> DecodeError {
    DecodeError::malformed(format!("field \"{name}\" of the proof"))
}

/// A field's text.
fn text<'a>(json: &'a Json, name: &str) -> Result<&'a str, DecodeError> {
    json.get(name).and_then(Json::as_str).ok_or_else(|| wrong(name))
}

pub(crate) fn bytes(json: &Json, name: &str) -> Result<Vec<u8>, DecodeError> {
    let text = text(json, name)?.as_bytes();
    let half = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match *pair {
        [a, b] => Some(half(a)? * 16 + half(b)?),
        _ => None,
    });
    pairs.collect::<Option<_>>().ok_or_else(|| wrong(name))
}

pub(crate) fn number<T: TryFrom<u64>>(json: &Json, name: &str) -> Result<T, DecodeError> {
    let value = json.get(name).and_then(Json::as_u64).and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| wrong(name))
}

pub(crate) fn one_hash(json: &Json, name: &str) -> Result<Hash, DecodeError> {
    text(json, name)?.parse().map_err(|_| wrong(name))
}

pub(crate) fn hashes(json: &Json, name: &str) -> Result<Vec<Hash>, DecodeError> {
    let all = json.get(name).and_then(Json::as_array).ok_or_else(|| wrong(name))?;
    let one = |hash: &Json| hash.as_str().and_then(|text| text.parse().ok());
    all.iter().map(one).collect::<Option<_>>().ok_or_else(|| wrong(name))
}

pub(crate) fn shown(path: &[Hash]) -> Vec<String> {
    path.iter().map(Hash::to_string).collect()
}

pub(crate) fn header(json: &Json) -> Result<Header, DecodeError> {
    let bytes = bytes(json, "header")?;
    match Header::decode_front(&bytes)? {
        (header, []) => Ok(header),
        _ => Err(wrong("header")),
    }
}

/// Checks what kind of file it is.
pub(crate) fn expect(json: &Json, kind: &str) -> Result<(), DecodeError> {
    if text(json, "proof")? != kind {
        return Err(wrong("proof"));
    }
    if number::<u64>(json, "file_version")? != FILE {
        return Err(wrong("file_version"));
    }
    Ok(())
}

impl Digest {
    /// The digest as JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "proof": "digest",
            "file_version": FILE,
            "chain": self.chain.to_string(),
            "height": self.height.0,
            "block": self.block.to_string(),
            "history_root": self.history_root.to_string(),
            "time_us": self.time_us,
            "member": self.member.to_string(),
            "signature": hex(&self.signature.0),
        })
    }

    /// The digest of a JSON.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "digest")?;
        let signature = bytes(json, "signature")?.try_into().map_err(|_| wrong("signature"))?;
        Ok(Self {
            chain: one_hash(json, "chain")?,
            height: Height(number(json, "height")?),
            block: one_hash(json, "block")?,
            history_root: one_hash(json, "history_root")?,
            time_us: json.get("time_us").and_then(Json::as_i64).ok_or_else(|| wrong("time_us"))?,
            member: one_hash(json, "member")?,
            signature: Signature(signature),
        })
    }
}

impl BlockProof {
    /// The proof as JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "proof": "block",
            "file_version": FILE,
            "header": hex(&self.header.encode()),
            "history_len": self.history_len,
            "path": shown(&self.path),
        })
    }

    /// The proof of a JSON.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "block")?;
        Ok(Self {
            header: header(json)?,
            history_len: number(json, "history_len")?,
            path: hashes(json, "path")?,
        })
    }
}

impl TransactionProof {
    /// The proof as JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "proof": "transaction",
            "file_version": FILE,
            "transaction": hex(&encode(&self.transaction)),
            "operations": self.operations,
            "operations_root": self.operations_root.to_string(),
            "index": self.index,
            "path": shown(&self.path),
            "header": hex(&self.header.encode()),
        })
    }

    /// The proof of a JSON.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "transaction")?;
        let transaction: crate::Transaction = decode(&bytes(json, "transaction")?)?;
        if !transaction.operations.is_empty() {
            return Err(wrong("transaction"));
        }
        Ok(Self {
            transaction,
            operations: number(json, "operations")?,
            operations_root: one_hash(json, "operations_root")?,
            index: number(json, "index")?,
            path: hashes(json, "path")?,
            header: header(json)?,
        })
    }
}

impl RowProof {
    /// The proof as JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "proof": "row",
            "file_version": FILE,
            "operation": hex(&encode(&self.operation)),
            "index": self.index,
            "path": shown(&self.path),
            "within": self.within.to_json(),
        })
    }

    /// The proof of a JSON.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "row")?;
        Ok(Self {
            operation: decode(&bytes(json, "operation")?)?,
            index: number(json, "index")?,
            path: hashes(json, "path")?,
            within: TransactionProof::from_json(
                json.get("within").ok_or_else(|| wrong("within"))?,
            )?,
        })
    }
}

impl ConsistencyProof {
    /// The proof as JSON.
    pub fn to_json(&self) -> Json {
        json!({
            "proof": "consistency",
            "file_version": FILE,
            "old_len": self.old_len,
            "new_len": self.new_len,
            "path": shown(&self.path),
        })
    }

    /// The proof of a JSON.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, DecodeError> {
        expect(json, "consistency")?;
        Ok(Self {
            old_len: number(json, "old_len")?,
            new_len: number(json, "new_len")?,
            path: hashes(json, "path")?,
        })
    }
}
