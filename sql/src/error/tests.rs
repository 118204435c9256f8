//! Each fault and refusal is told by the SQLSTATE that clients act on.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use storage::{Damage, Fault, Shortage, SubmitError};

use super::*;

#[test]
fn faults_of_the_node() {
    let damage = Damage {
        height: Some(ledger::Height(7)),
        file: "00000000.blocks".to_owned(),
        offset: 4096,
        detail: "its checksum differs".to_owned(),
    };
    let damaged = Error::from(Fault::Damaged(damage)).report();
    assert_eq!(damaged.sqlstate, "XX001");
    assert!(damaged.message.contains("block 7") && damaged.message.contains("00000000.blocks"));
    let full = Fault::io("write", std::io::ErrorKind::StorageFull.into());
    assert_eq!(Error::from(full).sqlstate(), "53100");
    let broken = Fault::io("sync", std::io::Error::other("input/output error"));
    assert_eq!(Error::from(broken).sqlstate(), "58030");
    let stopped = Fault::Stopped { reason: "a sync failed".to_owned() };
    assert_eq!(Error::from(stopped).sqlstate(), "58030");
    let memory = Fault::Memory { detail: "rows".to_owned() };
    assert_eq!(Error::from(memory).sqlstate(), "53200");
}

#[test]
fn commits_that_did_not_end_well() {
    let told = |error: SubmitError| Error::from(error).sqlstate();
    assert_eq!(told(SubmitError::Unknown), "08007");
    assert_eq!(told(SubmitError::ShuttingDown), "57P01");
    assert_eq!(told(SubmitError::NotLeading { leader: None }), "40001");
    assert_eq!(told(SubmitError::Busy(Shortage::Disk)), "53100");
    assert_eq!(told(SubmitError::Busy(Shortage::Memory { bound: 1 })), "53200");
    assert_eq!(told(SubmitError::Busy(Shortage::Queue { waiting: 9 })), "53300");
    let superseded = Refusal::Superseded {
        table: ledger::Oid(1),
        version: ledger::VersionId::from_bytes([0; 16]),
    };
    assert_eq!(told(SubmitError::Refused(superseded)), "40001");
}

#[test]
fn what_queries_run_out_of() {
    let exhausted = || DataFusionError::ResourcesExhausted("more\nat length".to_owned());
    let report = Error::from(exhausted()).report();
    assert_eq!(report.sqlstate, "53200");
    assert_eq!(report.detail.as_deref(), Some("more"));
    // Errors that several tasks share, and those that came through a file, are told alike.
    let shared = std::sync::Arc::new(exhausted());
    let held = std::sync::Arc::clone(&shared);
    assert_eq!(Error::from(DataFusionError::Shared(shared)).sqlstate(), "53200");
    drop(held);
    let io = DataFusionError::IoError(std::io::Error::other(exhausted()));
    assert_eq!(Error::from(io).sqlstate(), "53200");
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let full = ArrowError::IoError("spill".to_owned(), full);
    assert_eq!(Error::from(full).sqlstate(), "53100");
}

#[test]
fn our_own_errors_come_through_the_planner_whole() {
    let ours = || Error::new("22012", "division by zero").with_hint("Divide by something.");
    let wrapped = DataFusionError::Context(
        "while planning".to_owned(),
        Box::new(DataFusionError::External(Box::new(ours()))),
    );
    assert_eq!(Error::from(wrapped).report(), ours().report());
    let arrow = ArrowError::ExternalError(Box::new(ours()));
    assert_eq!(Error::from(arrow).report(), ours().report());
}

#[test]
fn kinds_of_things_have_their_own_states() {
    let undefined = |kind| Error::Undefined { kind, name: "x".to_owned() }.sqlstate();
    assert_eq!(undefined("schema"), "3F000");
    assert_eq!(undefined("savepoint"), "3B001");
    assert_eq!(undefined("prepared statement"), "26000");
    assert_eq!(undefined("role"), "42704");
    let exists = |kind| Error::Exists { kind, name: "x".to_owned() }.sqlstate();
    assert_eq!(exists("relation"), "42P07");
    assert_eq!(exists("schema"), "42P06");
    assert_eq!(exists("role"), "42710");
}
