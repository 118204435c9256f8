//! Order by Raft: which blocks follow which, on a quorum of voters that trust each other's honesty.
//!
//! It takes signed transactions, validates and batches them into blocks, keeps the blocks in the block file
//! (which is the consensus log) and applies them to the state. It knows no SQL, and no socket.

mod certifier;
mod codec;
mod desk;
mod door;
mod flight;
mod log_store;
mod members;
mod mend;
pub mod network;
pub mod node;
mod reads;
pub mod runtime;
mod sequencer;
mod solitude;
mod state_machine;
#[cfg(test)]
mod testing;
mod types;

pub use door::Unanswered;
pub use mend::Mended;
pub use network::{Alone, Lane, Network, Unreached};
pub use node::{Node, NodeOn, Options, Start, Status};
pub use runtime::{Runtime, Tokio};
pub use sequencer::Bounds;
pub use types::{NodeId, Peer};
