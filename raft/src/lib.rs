//! Order by Raft: which blocks follow which, on a quorum of voters that trust each other's honesty.
//!
//! It takes signed transactions, validates and batches them into blocks, keeps the blocks in the block file
//! (which is the consensus log) and applies them to the state. It knows no SQL, and no socket.

mod codec;
mod flight;
mod log_store;
mod network;
pub mod node;
mod sequencer;
mod state_machine;
mod types;

pub use node::{Node, Options, Status};
pub use sequencer::Bounds;
