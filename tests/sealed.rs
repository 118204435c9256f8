//! Many more rows than memory is given for, and `kill -9` while they are sealed and while files are merged: every answer
//! is the same afterwards, for the present and the past, by scan and by key; and still when all derived files are gone.

use std::collections::BTreeSet;
use std::path::Path;

use crate::client::{Address, Client, Failure};
use crate::random::Random;
use crate::server::{Server, number};

/// Rows of one transaction.
const STEP: u64 = 2_000;

const SETTINGS: &[&str] =
    &["--set", "table_memory=8MiB", "--set", "seal_operations=3000", "--set", "merge_files=3"];

/// One transaction: rows come, each tenth is changed, each tenth goes.
fn step(client: &mut Client, n: u64) -> Result<(), Failure> {
    let (first, last) = ((n - 1) * STEP + 1, n * STEP);
    client.run("BEGIN")?;
    client.run(&format!(
        "INSERT INTO payment SELECT g, g % 97, g % 1000 + 0.25, repeat('x', 80) FROM generate_series({first}, {last}) g"
    ))?;
    for changed in [
        "UPDATE payment SET amount = amount + 1 WHERE id % 10 = 3",
        "DELETE FROM payment WHERE id % 10 = 7",
    ] {
        client.run(&format!("{changed} AND id BETWEEN {first} AND {last}"))?;
    }
    client.run(&format!("UPDATE progress SET step = {n}"))?;
    client.run("COMMIT")?;
    Ok(())
}

/// What a row shows after its transaction; `None` if it was deleted.
fn amount(id: u64) -> Option<String> {
    match id % 10 {
        7 => None,
        3 => Some(format!("{}.25", id % 1000 + 1)),
        _ => Some(format!("{}.25", id % 1000)),
    }
}

/// Count and sum of the rows after so many transactions.
fn totals(steps: u64) -> (String, String) {
    let alive = (1..=steps * STEP).filter(|id| id % 10 != 7);
    let (count, whole) = alive
        .fold((0, 0), |(count, sum), id| (count + 1, sum + id % 1000 + u64::from(id % 10 == 3)));
    let quarters = whole * 4 + count;
    (count.to_string(), format!("{}.{:02}", quarters / 4, quarters % 4 * 25))
}

/// What was acknowledged, and at which heights.
#[derive(Default)]
struct Known {
    steps: u64,
    heights: Vec<(u64, String)>,
}

impl Known {
    /// Writes until the connection breaks, or so many transactions are there.
    fn write(&mut self, address: &Address, until: u64) {
        let Ok(mut client) = Client::connect(address) else { return };
        while self.steps < until {
            match step(&mut client, self.steps + 1) {
                Ok(()) => self.steps += 1,
                Err(failure) if matches!(failure.sqlstate.as_str(), "lost" | "57P01") => return,
                Err(failure) => panic!("transaction {}: {failure}", self.steps + 1),
            }
        }
    }

    /// Compares the server's answers with what must be there.
    fn check(&mut self, server: &Server, random: &mut Random) {
        let mut client = server.client();
        let found = client.run("SELECT step FROM progress").unwrap();
        let found: u64 = found.value().unwrap().parse().unwrap();
        assert!(found == self.steps || found == self.steps + 1, "{found}, {} known", self.steps);
        self.steps = found;
        let height = client.run("SELECT max(height) FROM ledger.blocks").unwrap();
        self.heights.push((self.steps, height.value().unwrap().to_owned()));
        for (steps, height) in &self.heights {
            let sql = format!(
                "SELECT count(*), coalesce(sum(amount), 0.00) FROM ledger.as_of('payment', 'block:{height}')"
            );
            let answer = client.run(&sql).unwrap();
            let (count, sum) = totals(*steps);
            assert_eq!(answer.rows, [[Some(count), Some(sum)]], "at block {height}");
        }
        let (count, sum) = totals(self.steps);
        let answer =
            client.run("SELECT count(*), coalesce(sum(amount), 0.00) FROM payment").unwrap();
        assert_eq!(answer.rows, [[Some(count), Some(sum)]]);
        for _ in 0..100 {
            let id = 1 + random.next() % (self.steps * STEP + 10);
            let sql = format!("SELECT amount FROM payment WHERE id = {id}");
            let expected = amount(id).filter(|_| id <= self.steps * STEP);
            assert_eq!(client.run(&sql).unwrap().value(), expected.as_deref(), "id {id}");
        }
    }
}

/// The sealed files that there are.
fn files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".parquet")).collect()
}

#[test]
fn kills_while_rows_are_sealed_and_merged_change_no_answer() {
    let steps = number("STELE_TEST_SEALED_ROWS", 40_000).div_ceil(STEP);
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start_with(SETTINGS);
    let mut client = server.client();
    for sql in [
        "CREATE TABLE payment (id bigint PRIMARY KEY, account int NOT NULL, amount numeric(12,2) NOT NULL, note text)",
        "CREATE INDEX ON payment (account)",
        "CREATE TABLE progress (step int NOT NULL)",
        "INSERT INTO progress VALUES (0)",
    ] {
        client.run(sql).unwrap();
    }
    drop(client);
    let folder = server.data().join("segments");
    let mut known = Known::default();
    let (mut sealing, mut merging) = (0, 0);
    while known.steps < steps {
        let address = server.address();
        let changes = 1 + random.next() % 6;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| known.write(&address, steps));
            let mut before = files(&folder);
            let mut seen = 0;
            // A new file is there before the store names it; old ones go when what they held was merged.
            while seen < changes && !writer.is_finished() {
                let now = files(&folder);
                seen += u64::from(now != before);
                if seen == changes {
                    *(if now.is_superset(&before) { &mut sealing } else { &mut merging }) += 1;
                }
                before = now;
                std::thread::yield_now();
            }
            server.kill();
        });
        server.start_again();
        known.check(&server, &mut random);
    }
    println!(
        "{} rows, killed {sealing} times as a file came, {merging} as files went",
        steps * STEP
    );
    assert!(sealing > 0, "no kill met the sealer");
    assert!(files(&folder).len() > 1);
    sound(&server);
    server.stop();
    for derived in ["index", "segments"] {
        std::fs::remove_dir_all(server.data().join(derived)).unwrap();
    }
    server.start_again();
    known.check(&server, &mut random);
    sound(&server);
}

/// Row groups read, row groups skipped and bytes read, as EXPLAIN ANALYZE tells them of a query's scan.
fn read_by(client: &mut Client, sql: &str) -> Option<[u64; 3]> {
    let plan = client.run(&format!("EXPLAIN ANALYZE {sql}")).unwrap();
    let lines = plan.rows.into_iter().flatten().flatten();
    let line = lines.map(|line| line.trim().to_owned()).find(|it| it.starts_with("Row Groups"))?;
    let mut figures =
        line.split("  ").map(|part| part.split_once(": ").unwrap().1.parse().unwrap());
    Some(std::array::from_fn(|_| figures.next().unwrap()))
}

#[test]
fn a_filter_reads_only_what_can_hold_its_rows() {
    let mut server = Server::start_with(&["--set", "table_memory=8MiB"]);
    let mut client = server.client();
    client.run("CREATE TABLE reading (id int PRIMARY KEY, place int NOT NULL, note text)").unwrap();
    let rows = "SELECT g, g / 10, repeat('x', g % 50) FROM generate_series(1, 40000) g";
    client.run(&format!("INSERT INTO reading {rows}")).unwrap();
    let filtered = "SELECT count(*) FROM reading WHERE place BETWEEN 1000 AND 1001";
    drop(client);
    // A stop in order seals what is in memory; nothing was read since the start.
    server.stop();
    server.start_again();
    let mut client = server.client();
    let [read, skipped, bytes] = read_by(&mut client, filtered).unwrap();
    assert_eq!((read, skipped), (1, 4), "of 40,000 rows, 8,192 in each row group");
    assert_eq!(client.run(filtered).unwrap().value(), Some("20"));
    let [_, _, again] = read_by(&mut client, filtered).unwrap();
    assert_eq!(again, 0, "what was read is kept");
    let [read, skipped, all] = read_by(&mut client, "SELECT sum(place) FROM reading").unwrap();
    assert_eq!((read, skipped), (5, 0));
    assert!(bytes > 0 && all > 2 * bytes, "{bytes} bytes for one row group, {all} for the others");
    // A column that the query doesn't ask for is not read.
    let [_, _, wide] = read_by(&mut client, "SELECT sum(length(note)) FROM reading").unwrap();
    assert!(wide > 0);
    let [_, _, none] = read_by(&mut client, "SELECT sum(place) FROM reading").unwrap();
    assert_eq!(none, 0);
    let by_key = read_by(&mut client, "SELECT note FROM reading WHERE id = 7");
    assert_eq!(by_key, None, "a row by its key is no scan");
}

fn sound(server: &Server) {
    let wrong = server.client().run("SELECT * FROM ledger.verify() WHERE status <> 'ok'").unwrap();
    assert_eq!(wrong.rows, Vec::<Vec<_>>::new());
}
