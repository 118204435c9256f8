//! A million rows by COPY: memory stays bounded, and a scan, an aggregate, a key lookup and a query of the past answer
//! right at once, and after a restart.

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use crate::client::Client;
use crate::postgres::{psql, said};
use crate::server::{Server, number};

/// What a row may cost in the server's memory, all in: the row itself is some 60 bytes of CSV.
const MOST_BYTES_A_ROW: u64 = 2_000;

/// What the server may need whatever the table, in bytes.
const BASE: u64 = 512 << 20;

fn expect(client: &mut Client, sql: &str, expected: &str) {
    let began = Instant::now();
    let answer = client.run(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let rows: Vec<_> = answer
        .rows
        .iter()
        .map(|row| row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(rows.join("\n"), expected, "{sql}");
    println!("{:>9.3} s  {sql}", began.elapsed().as_secs_f64());
}

fn ask(client: &mut Client, rows: u64, loaded_at: &str) {
    let sum: u64 = (1..=rows).map(|n| n * 7 % 100_000).sum();
    expect(client, "SELECT count(*), min(id), max(id) FROM measure", &format!("{rows}|1|{rows}"));
    expect(client, "SELECT sum(amount) FROM measure", &format!("{}.{:02}", sum / 100, sum % 100));
    expect(
        client,
        "SELECT sensor, at FROM measure WHERE id = 7777",
        "sensor-777|2024-01-01 02:09:37+00",
    );
    let sensors: Vec<_> = (0..3)
        .map(|s| format!("sensor-{s}|{}", (1..=rows).filter(|n| n % 1000 == s).count()))
        .collect();
    expect(
        client,
        "SELECT sensor, count(*) FROM measure WHERE sensor IN ('sensor-0', 'sensor-1', 'sensor-2') \
         GROUP BY sensor ORDER BY sensor",
        &sensors.join("\n"),
    );
    expect(
        client,
        &format!(
            "SELECT count(*), sum(amount) FROM ledger.as_of('measure', 'block:{loaded_at}') WHERE id > 10"
        ),
        &format!("{}|{}", rows - 10, {
            let first: u64 = (1..=10).map(|n| n * 7 % 100_000).sum();
            format!("{}.{:02}", (sum - first) / 100, (sum - first) % 100)
        }),
    );
}

#[test]
fn a_million_rows() {
    let rows =
        number("STELE_TEST_COPY_ROWS", if cfg!(debug_assertions) { 100_000 } else { 1_000_000 });
    let mut server = Server::start();
    let file = server.scratch().join("measure.csv");
    let mut text = String::new();
    for n in 1..=rows {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        let cents = n * 7 % 100_000;
        writeln!(
            text,
            "{n},sensor-{},{}.{:02},2024-01-01 {hour:02}:{minute:02}:{second:02}+00,reading {n} of the day",
            n % 1000,
            cents / 100,
            cents % 100
        )
        .unwrap();
    }
    fs::write(&file, &text).unwrap();
    println!("{rows} rows, {} MB of CSV", text.len() / 1_000_000);
    let mut client = server.client();
    client
        .run(
            "CREATE TABLE measure (id bigint PRIMARY KEY, sensor text NOT NULL, amount numeric(10,2) NOT NULL, \
             at timestamptz NOT NULL, note text)",
        )
        .unwrap();
    let began = Instant::now();
    let copy = format!("\\copy measure from '{}' with (format csv)", file.display());
    let tag = said(psql(&server.address()).args(["-c", &copy]));
    assert_eq!(tag.trim(), format!("COPY {rows}"));
    println!("loaded in {:.1} s", began.elapsed().as_secs_f64());
    let memory = server.memory();
    println!("memory {} MiB", memory >> 20);
    assert!(memory < BASE + rows * MOST_BYTES_A_ROW, "{memory} bytes for {rows} rows");

    let loaded_at = client.run("SELECT max(height) FROM ledger.blocks").unwrap();
    let loaded_at = loaded_at.value().unwrap().to_owned();
    ask(&mut client, rows, &loaded_at);
    client.run("UPDATE measure SET amount = 0 WHERE id <= 10").unwrap();
    expect(&mut client, "SELECT sum(amount) FROM measure WHERE id <= 10", "0.00");
    client.run("UPDATE measure SET amount = (id * 7 % 100000) / 100.0 WHERE id <= 10").unwrap();
    ask(&mut client, rows, &loaded_at);
    drop(client);

    server.stop();
    server.start_again();
    println!("ready again after {:?}", server.last_start);
    let mut client = server.client();
    ask(&mut client, rows, &loaded_at);
    let memory = server.memory();
    assert!(
        memory < BASE + rows * MOST_BYTES_A_ROW,
        "{memory} bytes for {rows} rows after the restart"
    );
    let taken =
        client.run("INSERT INTO measure VALUES (7777, 'twice', 0, now(), NULL)").unwrap_err();
    assert_eq!(taken.sqlstate, "23505");

    // What breaks off leaves nothing.
    let broken = format!(
        "{}x,y,z\n",
        text.lines().take(1000).map(|l| format!("9{l}\n")).collect::<String>()
    );
    fs::write(&file, broken).unwrap();
    let output = psql(&server.address()).args(["-c", &copy]).output().unwrap();
    assert!(!output.status.success());
    expect(&mut client, "SELECT count(*) FROM measure", &rows.to_string());
}

/// Rows enough for several pieces, each of which is read and made into rows beside the others.
const MANY: u32 = 9_000;

#[test]
fn what_is_wrong_is_found_wherever_it_stands() {
    let server = Server::start();
    let file = server.scratch().join("loaded.csv");
    let mut client = server.client();
    client.run("CREATE TABLE loaded (id int PRIMARY KEY, part int, note text NOT NULL)").unwrap();
    client.run("CREATE INDEX ON loaded (part)").unwrap();
    let copy = format!("\\copy loaded from '{}' with (format csv)", file.display());
    let failure = |lines: &[String]| {
        fs::write(&file, lines.concat()).unwrap();
        let output = psql(&server.address())
            .args(["-v", "VERBOSITY=verbose", "-c", &copy])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let good: Vec<String> = (0..MANY).map(|n| format!("{n},{},row {n:080}\n", n % 7)).collect();
    let with = |changes: &[(u32, &str)]| {
        let mut lines = good.clone();
        for (line, text) in changes {
            lines[*line as usize] = format!("{text}\n");
        }
        lines
    };
    // A key that an earlier piece had, that the same piece had, and that comes before all others.
    for twice in [(MANY - 1, "7,0,twice"), (MANY - 1, "8990,0,twice"), (5000, "4999,0,twice")] {
        let told = failure(&with(&[twice]));
        assert!(told.contains("23505") && told.contains("already exists"), "{told}");
    }
    // What comes first is told, though the rest was read already.
    let told = failure(&with(&[(100, "99,0,twice"), (7000, "x,0,wrong")]));
    assert!(told.contains("23505"), "{told}");
    let told = failure(&with(&[(100, "x,0,wrong"), (7000, "99,0,twice")]));
    assert!(told.contains("22P02") && told.contains("COPY, line 101, column id: \"x\""), "{told}");
    let told = failure(&with(&[(7000, "7000,0,")]));
    assert!(told.contains("23502"), "{told}");
    expect(&mut client, "SELECT count(*) FROM loaded", "0");

    // In any order, and with changes of the same transaction on top.
    let turned: Vec<String> = good.iter().rev().cloned().collect();
    for lines in [&good, &turned] {
        fs::write(&file, lines.concat()).unwrap();
        let output = said(psql(&server.address()).args([
            "-q",
            "-c",
            "BEGIN",
            "-c",
            &copy,
            "-c",
            "UPDATE loaded SET id = id + 1000000 WHERE id < 10",
            "-c",
            "DELETE FROM loaded WHERE id = 10",
            "-c",
            "INSERT INTO loaded VALUES (3, 3, 'again')",
            "-c",
            "COMMIT",
        ]));
        assert_eq!(output, "");
        let taken = client.run("INSERT INTO loaded VALUES (1000005, 0, '')").unwrap_err();
        assert_eq!(taken.sqlstate, "23505");
        expect(
            &mut client,
            "SELECT count(*), sum(id), count(*) FILTER (WHERE part = 3) FROM loaded",
            "9000|50495493|1286",
        );
        client.run("TRUNCATE loaded").unwrap();
    }
}
