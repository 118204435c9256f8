//! Domain-separated hashing: BLAKE3, keyed with the name of each kind of thing, so that no two kinds
//! collide. Knows bytes only.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// A BLAKE3 digest, 32 bytes. Shown as 64 lower-case hex digits.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct Hash(pub [u8; 32]);

/// What is hashed. Each kind has a key of its own: its name, padded with zeros to 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One redactable column: column number, salt, presence and value.
    Cell,
    /// A row with each redactable column in its committed form.
    Row,
    /// An operation, with its row's commitment in the row's place.
    Operation,
    /// A transaction without its signatures.
    Transaction,
    /// A transaction with its signatures: a leaf of the block's tree.
    Signed,
    /// A header: the block's hash.
    Header,
    /// An inner node of a Merkle tree: two hashes.
    Node,
    /// Consensus' own entry in a block.
    Membership,
    /// The member set and policies in force.
    Governance,
    /// A member's public key.
    Member,
    /// What a node signs for a transaction: chain and transaction.
    TransactionSignature,
    /// What a member signs for a block: a certificate.
    Certificate,
    /// What a node signs as the digest that an auditor keeps.
    Digest,
    /// The state after a block.
    State,
    /// Who has a vote.
    Voters,
    /// What a node keeps for itself and never shows: a long key in its index.
    Local,
}

/// A domain's name as a key: padded with zeros.
const fn key(name: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    let (head, _) = padded.split_at_mut(name.len());
    head.copy_from_slice(name);
    padded
}

static CELL: [u8; 32] = key(b"stele.v1.cell");
static ROW: [u8; 32] = key(b"stele.v1.row");
static OPERATION: [u8; 32] = key(b"stele.v1.operation");
static TRANSACTION: [u8; 32] = key(b"stele.v1.transaction");
static SIGNED: [u8; 32] = key(b"stele.v1.signed");
static HEADER: [u8; 32] = key(b"stele.v1.header");
static NODE: [u8; 32] = key(b"stele.v1.node");
static MEMBERSHIP: [u8; 32] = key(b"stele.v1.membership");
static GOVERNANCE: [u8; 32] = key(b"stele.v1.governance");
static MEMBER: [u8; 32] = key(b"stele.v1.member");
static TRANSACTION_SIGNATURE: [u8; 32] = key(b"stele.v1.transaction-signature");
static CERTIFICATE: [u8; 32] = key(b"stele.v1.certificate");
static DIGEST: [u8; 32] = key(b"stele.v1.digest");
static STATE: [u8; 32] = key(b"stele.v1.state");
static VOTERS: [u8; 32] = key(b"stele.v1.voters");
static LOCAL: [u8; 32] = key(b"stele.v1.local");

impl Domain {
    /// The domain's key.
    fn key(self) -> &'static [u8; 32] {
        match self {
            Self::Cell => &CELL,
            Self::Row => &ROW,
            Self::Operation => &OPERATION,
            Self::Transaction => &TRANSACTION,
            Self::Signed => &SIGNED,
            Self::Header => &HEADER,
            Self::Node => &NODE,
            Self::Membership => &MEMBERSHIP,
            Self::Governance => &GOVERNANCE,
            Self::Member => &MEMBER,
            Self::TransactionSignature => &TRANSACTION_SIGNATURE,
            Self::Certificate => &CERTIFICATE,
            Self::Digest => &DIGEST,
            Self::State => &STATE,
            Self::Voters => &VOTERS,
            Self::Local => &LOCAL,
        }
    }
}

/// The keyed BLAKE3 hash of the parts, one after the other. The parts' borders are not hashed: what is
/// hashed under one domain must be self-delimiting.
pub fn hash(domain: Domain, parts: &[&[u8]]) -> Hash {
    if let [only] = parts {
        return Hash(*blake3::keyed_hash(domain.key(), only).as_bytes());
    }
    // One call on contiguous bytes is much cheaper than a streaming hasher for what is small.
    let mut buffer = [0u8; 256];
    let mut used = 0;
    for part in parts {
        let Some(place) = buffer.get_mut(used..used + part.len()) else {
            return hash_stream(domain, parts);
        };
        place.copy_from_slice(part);
        used += part.len();
    }
    let bytes = buffer.get(..used).unwrap_or(&[]);
    Hash(*blake3::keyed_hash(domain.key(), bytes).as_bytes())
}

fn hash_stream(domain: Domain, parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(domain.key());
    for part in parts {
        hasher.update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// A hash of what comes piece by piece: the same as [`hash`] of all pieces. Few bytes are hashed in one call, which
/// is cheaper.
pub(crate) struct Stream {
    domain: Domain,
    waiting: Vec<u8>,
    hasher: Option<Box<blake3::Hasher>>,
}

/// Bytes that are hashed together.
const TOGETHER: usize = 16 << 10;

impl Stream {
    pub(crate) fn new(domain: Domain) -> Self {
        Self { domain, waiting: Vec::new(), hasher: None }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= TOGETHER {
            let new = || Box::new(blake3::Hasher::new_keyed(self.domain.key()));
            self.hasher.get_or_insert_with(new).update(&self.waiting);
            self.waiting.clear();
        }
    }

    pub(crate) fn finish(&self) -> Hash {
        match &self.hasher {
            None => hash(self.domain, &[&self.waiting]),
            Some(hasher) => Hash(*hasher.clone().update(&self.waiting).finalize().as_bytes()),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = String;

    /// 64 hex digits of either case.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a hash of 64 hex digits: {text:?}");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
