//! pgbench's own TPC-B-like script in its three ways of sending: no failed transaction, and the books balance.

use crate::postgres::bin_dir;
use crate::server::{PASSWORD, Server, number};

fn pgbench(server: &Server, arguments: &[&str]) -> String {
    let output = std::process::Command::new(bin_dir().join("pgbench"))
        .args(["-h", "127.0.0.1", "-U", "stele", "-p", &server.address().port.to_string()])
        .args(arguments)
        .arg("stele")
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "pgbench {arguments:?}: {said}\n{}", server.log_text());
    said
}

#[test]
fn tpcb_balances() {
    let seconds = number("STELE_TEST_PGBENCH_SECONDS", 5).to_string();
    let server = Server::start();
    pgbench(&server, &["-i", "-s", "1", "-q"]);
    for mode in ["prepared", "simple", "extended"] {
        let said = pgbench(&server, &["-n", "-c", "8", "-j", "2", "-T", &seconds, "-M", mode]);
        assert!(said.contains("number of failed transactions: 0 "), "{mode}: {said}");
        for line in
            said.lines().filter(|l| l.starts_with("tps") || l.starts_with("latency average"))
        {
            println!("{mode}: {line}");
        }
        let mut client = server.client();
        let sums = client
            .run(
                "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
                 (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)",
            )
            .unwrap();
        let sums = &sums.rows[0];
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{mode}: {sums:?}");
        let history = client.run("SELECT count(*) FROM pgbench_history").unwrap();
        println!(
            "{mode}: {} transactions so far, all sums {}",
            history.value().unwrap(),
            sums[0].as_deref().unwrap()
        );
        assert_ne!(history.value(), Some("0"));
    }
}
