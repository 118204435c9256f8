//! The one place where storage asks the ledger for a block's bytes and hashes.

use ledger::{Block, Hash, Header};

use borsh::BorshDeserialize;

pub(crate) fn encode(block: &Block) -> Vec<u8> {
    borsh::to_vec(block).unwrap_or_default()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Block, String> {
    borsh::from_slice(bytes).map_err(|error| error.to_string())
}

pub(crate) fn header_of(bytes: &[u8]) -> Result<Header, String> {
    let mut rest = bytes;
    Header::deserialize(&mut rest).map_err(|error| error.to_string())
}

pub(crate) fn hash_of(header: &Header) -> Hash {
    Hash(*blake3::hash(&borsh::to_vec(header).unwrap_or_default()).as_bytes())
}
