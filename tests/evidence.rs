//! Evidence that a node gives holds offline, against a digest that was kept and the members' keys; forged, stale or
//! of another chain it doesn't. Receipts reach a client that knows nothing of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;

use crate::client::{Client, Way};
use crate::server::{Server, binary};

/// A node with a table, and files that an auditor keeps.
struct Audit {
    server: Server,
    client: Client,
}

impl Audit {
    fn new() -> Self {
        let server = Server::start();
        let client = server.client();
        let mut this = Self { server, client };
        for sql in [
            "CREATE TABLE payment (id int, at date, amount numeric(12,2) NOT NULL, memo text, PRIMARY KEY (id, at))",
            "INSERT INTO payment VALUES (1, '2026-03-31', 10, 'first'), (2, '2026-04-01', 20.5, NULL)",
        ] {
            this.client.run(sql).unwrap();
        }
        this.keep("members.pem", "SELECT string_agg(public_key_pem, '') FROM ledger.members");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.scratch().join(name)
    }

    /// Writes the value that a query gives into a file.
    fn keep(&mut self, name: &str, sql: &str) -> String {
        let answer = self.client.run(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text = answer.value().unwrap().to_owned();
        fs::write(self.path(name), &text).unwrap();
        text
    }

    /// `stele verify`: the exit code, and what it said.
    fn verify(&self, file: &str, digest: Option<&str>) -> (i32, Json) {
        let mut command = Command::new(binary());
        command.arg("verify").arg(self.path(file)).arg("--json");
        command.arg("--members").arg(self.path("members.pem"));
        if let Some(digest) = digest {
            command.arg("--digest").arg(self.path(digest));
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let json = serde_json::from_str(&said).unwrap_or(Json::Null);
        (output.status.code().unwrap(), json)
    }
}

#[test]
fn evidence_holds_with_no_server() {
    let mut audit = Audit::new();
    audit.keep("early.json", "SELECT ledger.digest()");
    let height = audit.client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let point = format!("'block:{}'", height.value().unwrap());
    audit.client.run("UPDATE payment SET amount = 11 WHERE id = 1").unwrap();
    audit.client.run("ALTER TABLE payment ADD COLUMN later int").unwrap();
    let key = "'{\"id\": 1, \"at\": \"2026-03-31\"}'";
    audit.keep("late.json", "SELECT ledger.digest()");
    audit.keep("row.json", &format!("SELECT ledger.prove_row('payment', {key})"));
    audit.keep("old_row.json", &format!("SELECT ledger.prove_row('payment', {key}, {point})"));
    audit.keep(
        "tx.json",
        &format!("SELECT ledger.prove_transaction(ledger_tx, {point}) FROM payment WHERE id = 2"),
    );
    audit.keep("grown.json", &format!("SELECT ledger.prove_consistency({point})"));
    audit.server.stop();

    let (code, said) = audit.verify("row.json", Some("late.json"));
    assert_eq!(
        (code, &said["row"]["amount"], &said["operation"]),
        (0, &"11.00".into(), &"UPDATE".into())
    );
    assert_eq!((&said["table"], &said["user"]), (&"payment".into(), &"stele".into()));
    let (code, said) = audit.verify("old_row.json", Some("early.json"));
    assert_eq!(
        (code, &said["row"]["amount"], &said["operation"]),
        (0, &"10.00".into(), &"INSERT".into())
    );
    assert!(said["row"].get("later").is_none(), "by the definition of that time: {said}");
    assert_eq!(audit.verify("row.json", None).0, 0);
    assert_eq!(audit.verify("tx.json", Some("early.json")).0, 0);
    assert_eq!(audit.verify("grown.json", Some("early.json")).0, 0);
    assert_eq!(audit.verify("late.json", None).0, 0);
    // A digest that it was not made for.
    let (code, said) = audit.verify("row.json", Some("early.json"));
    assert_eq!(code, 1);
    assert!(said["hint"].as_str().unwrap().contains("as of 'block:"), "{said}");
    assert_eq!(audit.verify("grown.json", Some("late.json")).0, 1);
    assert_eq!(audit.verify("late.json", Some("early.json")).0, 1);
    // Another chain's member, whatever it signs.
    let other = Audit::new();
    fs::copy(other.path("members.pem"), audit.path("members.pem")).unwrap();
    assert_eq!(audit.verify("row.json", Some("late.json")).0, 1);
    assert_eq!(audit.verify("late.json", None).0, 1);
}

#[test]
fn certificates_hold_with_no_server() {
    let mut audit = Audit::new();
    audit.keep("early.json", "SELECT ledger.digest()");
    let early = audit.client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let early: u64 = early.value().unwrap().parse().unwrap();
    audit.client.run("UPDATE payment SET amount = 11 WHERE id = 1").unwrap();
    let newest = audit.client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let newest = newest.value().unwrap().to_owned();
    let certified = format!("SELECT certified_at FROM ledger.blocks WHERE height = {newest}");
    while audit.client.run(&certified).unwrap().value().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    audit.keep("newest.json", "SELECT ledger.certificate()");
    audit.keep("same.json", &format!("SELECT ledger.certificate({newest})"));
    // The definition, long before.
    audit.keep("first.json", "SELECT ledger.certificate('block:0')");
    let text = audit.keep("older.json", &format!("SELECT ledger.certificate({})", early - 1));
    let whole = "SELECT count(*) FROM ledger.verify() WHERE status <> 'ok'";
    assert_eq!(audit.client.run(whole).unwrap().value(), Some("0"));
    audit.server.stop();

    for file in ["newest.json", "same.json", "first.json", "older.json"] {
        let (code, said) = audit.verify(file, None);
        assert_eq!((code, &said["evidence"]), (0, &"certificate".into()), "{file}: {said}");
        let (voters, signers) = (&said["voters"], &said["signed_by"]);
        assert!(voters.as_array().unwrap().len() == 1 && voters == signers, "{said}");
    }
    let (_, said) = audit.verify("older.json", None);
    assert_eq!(said["block"], early - 1);
    assert!(said["certified_at"].as_u64() >= said["block"].as_u64(), "{said}");
    // A digest of another block says nothing of these.
    assert_eq!(audit.verify("first.json", Some("early.json")).0, 1);

    let json: Json = serde_json::from_str(&text).unwrap();
    for pointer in ["/certificate/state", "/certificate/signatures/0/signature", "/header"] {
        let mut forged = json.clone();
        let field = forged.pointer_mut(pointer).unwrap();
        let mut digits = field.as_str().unwrap().to_owned().into_bytes();
        let middle = digits.len() / 2;
        digits[middle] = if digits[middle] == b'0' { b'1' } else { b'0' };
        *field = String::from_utf8(digits).unwrap().into();
        fs::write(audit.path("forged.json"), forged.to_string()).unwrap();
        assert_eq!(audit.verify("forged.json", None).0, 1, "{pointer}");
    }
    // Another chain's members have signed nothing here.
    let other = Audit::new();
    fs::copy(other.path("members.pem"), audit.path("members.pem")).unwrap();
    assert_eq!(audit.verify("newest.json", None).0, 1);
}

#[test]
fn forged_evidence_does_not_hold() {
    let mut audit = Audit::new();
    let key = "'{\"id\": 2, \"at\": \"2026-04-01\"}'";
    let text = audit.keep("row.json", &format!("SELECT ledger.prove_row('payment', {key})"));
    assert_eq!(audit.verify("row.json", None).0, 0);
    let json: Json = serde_json::from_str(&text).unwrap();
    let forge = |pointer: &str| {
        let mut forged = json.clone();
        let field = forged.pointer_mut(pointer).unwrap();
        let mut digits = field.as_str().unwrap().to_owned().into_bytes();
        let middle = digits.len() / 2;
        digits[middle] = if digits[middle] == b'0' { b'1' } else { b'0' };
        *field = String::from_utf8(digits).unwrap().into();
        forged
    };
    for pointer in [
        "/version/row/operation",
        "/version/row/within/transaction",
        "/version/row/within/header",
        "/version/row/path/0",
        "/version/block/header",
        "/version/block/path/0",
        "/definition/row/operation",
        "/digest/history_root",
        "/digest/signature",
    ] {
        fs::write(audit.path("forged.json"), forge(pointer).to_string()).unwrap();
        let (code, said) = audit.verify("forged.json", None);
        assert!(code == 1 || code == 2 && said.is_null(), "{pointer}: {said}");
    }
    for other in ["{}", "[]", "x", "{\"evidence\": \"row\"}"] {
        fs::write(audit.path("forged.json"), other).unwrap();
        assert_eq!(audit.verify("forged.json", None).0, 2, "{other}");
    }
}

#[test]
fn receipts_reach_any_client() {
    let mut audit = Audit::new();
    for way in [Way::Simple, Way::Extended] {
        audit.client.take_way(way);
        let id = if way == Way::Simple { 10 } else { 11 };
        let sql = format!(
            "INSERT INTO payment VALUES ({id}, '2026-05-01', 1, 'x') RETURNING ledger.receipt()->>'tx'"
        );
        let told = audit.client.run(&sql).unwrap().value().unwrap().to_owned();
        let sql = format!(
            "SELECT ledger_tx = '{told}' AND ledger_tx = (ledger.receipt()->>'tx')::uuid FROM payment WHERE id = {id}"
        );
        assert_eq!(audit.client.run(&sql).unwrap().value(), Some("t"));
    }
    audit.client.take_way(Way::Simple);
    audit.client.run("SET ledger.commit_receipt = on").unwrap();
    let answer = audit.client.run("UPDATE payment SET memo = 'y' WHERE id = 10").unwrap();
    let receipt: Json = serde_json::from_str(&answer.notices[0].message).unwrap();
    let sql = "SELECT ledger_block, ledger_tx FROM payment WHERE id = 10";
    let row = audit.client.run(sql).unwrap().rows.remove(0);
    assert_eq!(receipt["block"].to_string(), row[0].clone().unwrap());
    assert_eq!(receipt["tx"], Json::from(row[1].clone()));
    assert!(audit.client.run("SELECT 1").unwrap().notices.is_empty());
}
