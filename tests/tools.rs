//! What people connect with, unmodified: psycopg, SQLAlchemy, pandas, node-postgres; and what reads sealed files. Each script of tests/tools runs
//! against a server of its own and says at its first surprise what it was.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, manifest_folder};

/// The folder that `tests/fetch-tools` filled.
fn folder() -> PathBuf {
    let folder = std::env::var_os("STELE_TEST_TOOLS").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME");
            PathBuf::from(home).join(".cache/stele/tools-2")
        },
        PathBuf::from,
    );
    assert!(
        folder.join("complete").exists(),
        "no tools in {}: tests/run fetches them",
        folder.display()
    );
    folder
}

fn run(program: &str, script: &str) {
    run_with(Server::start(), program, script);
}

fn run_with(mut server: Server, program: &str, script: &str) {
    let address = server.address();
    let url = format!(
        "postgresql://{}:{}@127.0.0.1:{}/{}",
        address.user,
        address.password.replace(' ', "%20"),
        address.port,
        address.database
    );
    let path = manifest_folder().join("../tests/tools").join(script);
    let output = Command::new(program)
        .arg(&path)
        .env("STELE_URL", url)
        .env("STELE_DATA", server.data())
        .env("NODE_PATH", folder().join("node_modules"))
        .env("NODE_TLS_REJECT_UNAUTHORIZED", "0")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{script}:\n{}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        server.log_text()
    );
    assert!(server.is_alive(), "{script}: the server died:\n{}", server.log_text());
}

fn python(script: &str) {
    run(&folder().join("python/bin/python").to_string_lossy(), script);
}

#[test]
fn psycopg() {
    python("psycopg_test.py");
}

#[test]
fn sqlalchemy() {
    python("sqlalchemy_test.py");
}

#[test]
fn pandas() {
    python("pandas_test.py");
}

/// Sealed files are plain Parquet.
#[test]
fn parquet() {
    let server = Server::start_with(&["--set", "seal_operations=500", "--set", "merge_files=3"]);
    run_with(server, &folder().join("python/bin/python").to_string_lossy(), "parquet_test.py");
}

#[test]
fn node_postgres() {
    run("node", "node_postgres_test.cjs");
}
