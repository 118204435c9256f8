//! The door: PostgreSQL's protocol, configuration, and the wiring of a node. The only crate that opens sockets.

pub mod cli;
pub mod config;
pub mod dev;
pub mod evidence;
pub mod identity;
pub mod inspect;
pub mod node;
pub mod peers;
pub mod pg;
pub mod verify;
