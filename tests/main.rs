//! The product, tested from outside: the real binary, real clients, a real PostgreSQL beside it.
#![expect(clippy::unwrap_used, reason = "a test dies loudly")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test tells what it measured")]
#![expect(
    clippy::result_large_err,
    reason = "a failure carries all fields, and tests are in no hurry"
)]

mod bounds;
mod client;
mod cluster;
mod cluster_sql;
mod concurrent;
mod copy;
mod crash;
mod dev;
mod differential;
mod driver;
mod evidence;
mod flights;
mod nemesis;
mod pgbench;
mod postgres;
mod psql;
mod random;
mod sealed;
mod server;
mod slt;
mod tamper;
mod tidy;
mod tools;
mod wire;
