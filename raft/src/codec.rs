//! The bytes that consensus leaves beside and in blocks, and in the vote file. Our own, with a version each,
//! so that another version of the consensus library needs no other data.
//!
//! All numbers are little-endian.
//!
//! | stamp (`Block::stamp`) | bytes | |
//! |---|---|---|
//! | version: 1 | 1 | |
//! | term | 8 | in which the entry was made |
//! | node | 8 | that led then |
//!
//! | vote (vote file) | bytes | |
//! |---|---|---|
//! | version: 1 | 1 | |
//! | term | 8 | |
//! | node | 8 | that the vote is for |
//! | committed | 1 | 1 when a quorum granted it |
//!
//! | members (`Block::membership`) | | |
//! |---|---|---|
//! | version: 1 | 1 | |
//! | configurations | borsh `Vec<BTreeSet<u64>>` | voters; two sets while a change is under way |
//! | nodes | borsh `BTreeMap<u64, (address, public key)>` | voters and learners |

pub(crate) mod messages;
pub(crate) mod outcome;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use borsh::BorshDeserialize;
use openraft::vote::RaftVote;

use crate::types::{EntryId, LeaderId, Members, Peer, Vote};

const VERSION: u8 = 1;

pub(crate) fn encode_stamp(leader: &LeaderId) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&leader.term.to_le_bytes());
    out.extend_from_slice(&leader.node_id.to_le_bytes());
    out
}

/// # Errors
/// Bytes that are no stamp.
pub(crate) fn decode_stamp(bytes: &[u8]) -> io::Result<LeaderId> {
    let mut rest = versioned(bytes, "stamp")?;
    let leader = LeaderId { term: take(&mut rest)?, node_id: take(&mut rest)? };
    ended(rest, "stamp")?;
    Ok(leader)
}

/// The place in the log of a block.
///
/// # Errors
/// A block whose stamp is none.
pub(crate) fn entry_id(block: &ledger::Block) -> io::Result<EntryId> {
    Ok(EntryId::new(decode_stamp(&block.stamp)?, block.header.height.0))
}

pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    let mut out = encode_stamp(vote.leader_id());
    out.push(u8::from(vote.is_committed()));
    out
}

/// # Errors
/// Bytes that are no vote.
pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let mut rest = versioned(bytes, "vote")?;
    let leader = LeaderId { term: take(&mut rest)?, node_id: take(&mut rest)? };
    let committed: bool = take(&mut rest)?;
    ended(rest, "vote")?;
    Ok(Vote::from_leader_id(leader, committed))
}

/// # Errors
/// Never: it writes into memory.
pub(crate) fn encode_members(members: &Members) -> io::Result<Vec<u8>> {
    let mut out = vec![VERSION];
    borsh::to_writer(&mut out, members.get_joint_config())?;
    let nodes: BTreeMap<&u64, &Peer> = members.nodes().collect();
    borsh::to_writer(&mut out, &nodes)?;
    Ok(out)
}

/// # Errors
/// Bytes that are no members, or members that can't be (a voter without its node).
pub(crate) fn decode_members(bytes: &[u8]) -> io::Result<Members> {
    let mut rest = versioned(bytes, "members")?;
    let configs: Vec<BTreeSet<u64>> = take(&mut rest)?;
    let nodes: BTreeMap<u64, Peer> = take(&mut rest)?;
    ended(rest, "members")?;
    Members::new(configs, nodes).map_err(|error| malformed(&error.to_string()))
}

fn versioned<'b>(bytes: &'b [u8], what: &str) -> io::Result<&'b [u8]> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(malformed(&format!("{what} of version {version}"))),
        None => Err(malformed(&format!("an empty {what}"))),
    }
}

fn take<T: BorshDeserialize>(rest: &mut &[u8]) -> io::Result<T> {
    T::deserialize(rest)
}

fn ended(rest: &[u8], what: &str) -> io::Result<()> {
    if rest.is_empty() { Ok(()) } else { Err(malformed(&format!("bytes after the {what}"))) }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
