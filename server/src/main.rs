//! The binary `stele`: reads the command line and does what it says.

use std::process::ExitCode;

use clap::Parser as _;

// The system's own merges its small free pieces at each larger request, which every statement has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::cli::run(server::cli::Cli::parse())
}
