//! `kill -9` under concurrent writers: what was acknowledged is there after the restart, what wasn't is there wholly
//! or not at all, and the chain verifies. So it is for many rows of one COPY, and for definitions.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::client::{Address, Client, Failure};
use crate::random::Random;
use crate::server::{Server, binary, number};

const WRITERS: i32 = 8;

/// Rows of one transaction of several rows.
const PARTS: usize = 5;

/// What one writer knows.
#[derive(Default)]
struct Writer {
    /// The number of its newest transaction, acknowledged or not.
    newest: i64,
    acknowledged: BTreeSet<i64>,
}

impl Writer {
    /// Writes until the connection breaks or `stop` is set. Odd numbers are one row by autocommit, even ones are
    /// a transaction of [`PARTS`] rows, a changed row and a deleted one.
    fn write(&mut self, me: i32, address: &Address, stop: &AtomicBool, done: &AtomicUsize) {
        let Ok(mut client) = Client::connect(address) else { return };
        while !stop.load(Ordering::Relaxed) {
            self.newest += 1;
            match one_transaction(&mut client, me, self.newest) {
                Ok(()) => {
                    self.acknowledged.insert(self.newest);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) if failure.sqlstate == "lost" || failure.sqlstate == "57P01" => return,
                Err(failure) => panic!("writer {me}, transaction {}: {failure}", self.newest),
            }
        }
    }
}

fn one_transaction(client: &mut Client, me: i32, n: i64) -> Result<(), Failure> {
    if n % 2 == 1 {
        client
            .run(&format!("INSERT INTO entry VALUES ({me}, {n}, 0, repeat('x', {}))", n % 200))?;
        return Ok(());
    }
    client.run("BEGIN")?;
    let rows: Vec<_> = (0..PARTS).map(|part| format!("({me}, {n}, {part}, 'part')")).collect();
    client.run(&format!("INSERT INTO entry VALUES {}", rows.join(", ")))?;
    client.run(&format!("UPDATE progress SET newest = {n} WHERE writer = {me}"))?;
    client.run(&format!("DELETE FROM ticket WHERE writer = {me}"))?;
    client.run(&format!("INSERT INTO ticket VALUES ({me}, {n})"))?;
    client.run("COMMIT")?;
    Ok(())
}

fn set_up(server: &Server) {
    let mut client = server.client();
    for sql in [
        "CREATE TABLE entry (writer int, n bigint, part int, filler text, PRIMARY KEY (writer, n, part))",
        "CREATE TABLE progress (writer int PRIMARY KEY, newest bigint NOT NULL)",
        "CREATE TABLE ticket (writer int NOT NULL REFERENCES progress, n bigint NOT NULL)",
        "INSERT INTO progress SELECT g, 0 FROM generate_series(0, 7) g",
        "INSERT INTO ticket SELECT g, 0 FROM generate_series(0, 7) g",
    ] {
        client.run(sql).unwrap();
    }
}

/// Compares what the server holds for one writer with what the writer knows.
fn check(client: &mut Client, me: i32, writer: &mut Writer) {
    let sql = format!("SELECT n, count(*) FROM entry WHERE writer = {me} GROUP BY n ORDER BY n");
    let answer = client.run(&sql).unwrap();
    let mut present = BTreeSet::new();
    for row in answer.rows {
        let n: i64 = row[0].as_deref().unwrap().parse().unwrap();
        let parts: usize = row[1].as_deref().unwrap().parse().unwrap();
        let whole = if n % 2 == 1 { 1 } else { PARTS };
        assert_eq!(parts, whole, "writer {me}: transaction {n} is there in part");
        assert!(n <= writer.newest, "writer {me}: transaction {n} was never sent");
        present.insert(n);
    }
    let lost: Vec<_> = writer.acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "writer {me}: acknowledged and lost: {lost:?}");
    let newest = present.iter().rev().find(|n| *n % 2 == 0).copied().unwrap_or(0);
    for (table, column) in [("progress", "newest"), ("ticket", "n")] {
        let sql = format!("SELECT {column} FROM {table} WHERE writer = {me}");
        let answer = client.run(&sql).unwrap();
        assert_eq!(answer.rows.len(), 1, "writer {me}: rows of {table}");
        assert_eq!(answer.value().unwrap(), newest.to_string(), "writer {me}: {table}");
    }
    // What turned out to be committed stays so.
    writer.acknowledged = present;
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = number("STELE_TEST_KILLS", 10);
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start();
    set_up(&server);
    let mut writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let stop = AtomicBool::new(false);
        let address = server.address();
        let pause = Duration::from_millis(random.next() % 900);
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (me, writer) in (0..).zip(&mut writers) {
                let (address, stop, done) = (&address, &stop, &done);
                scope.spawn(move || writer.write(me, address, stop, done));
            }
            // The clock starts when the writers are under way.
            let began = Instant::now();
            while done.load(Ordering::Relaxed) < 16 && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(pause);
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        server.start_again();
        slowest = slowest.max(server.last_start);
        let mut client = server.client();
        for (me, writer) in (0..).zip(&mut writers) {
            check(&mut client, me, writer);
        }
        let wrong = client.run("SELECT * FROM ledger.verify() WHERE status <> 'ok'").unwrap();
        assert_eq!(wrong.rows, Vec::<Vec<_>>::new(), "round {round}");
        let total: usize = writers.iter().map(|w| w.acknowledged.len()).sum();
        println!(
            "kill {round} of {rounds} after {pause:?}: {total} transactions, ready after {:?}",
            server.last_start
        );
    }
    // A debug build hashes some ten times slower than what people run.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
    assert!(slowest < limit, "the slowest restart took {slowest:?}");
    server.stop();
    let output =
        Command::new(binary()).arg("verify").arg("--data").arg(server.data()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Rounds of the smaller tests: a third of the large one's.
fn few() -> u64 {
    number("STELE_TEST_KILLS", 10).div_ceil(3)
}

/// Starts again after a kill; the chain must verify.
fn back(server: &mut Server) -> Client {
    server.start_again();
    let mut client = server.client();
    let wrong = client.run("SELECT * FROM ledger.verify() WHERE status <> 'ok'").unwrap();
    assert_eq!(wrong.rows, Vec::<Vec<_>>::new());
    println!("ready after {:?}", server.last_start);
    client
}

/// One COPY of [`COPIED`] rows, all with this number.
fn copy_in(client: &mut Client, n: i64) -> Result<(), Failure> {
    client.send(|out| frontend::query("COPY copied FROM STDIN", out))?;
    while !matches!(client.receive()?, Message::CopyInResponse(_)) {}
    for rows in 0..COPIED / 100 {
        let lines: String =
            (0..100).map(|row| format!("{n}\t{}\tfiller\n", rows * 100 + row)).collect();
        client.send(|out| {
            frontend::CopyData::new(lines.as_bytes())?.write(out);
            Ok(())
        })?;
    }
    client.send(|out| {
        frontend::copy_done(out);
        Ok(())
    })?;
    let mut done = false;
    loop {
        match client.receive()? {
            Message::CommandComplete(_) => done = true,
            Message::ReadyForQuery(_) if done => return Ok(()),
            Message::ErrorResponse(_) => panic!("COPY {n} was refused"),
            _ => {}
        }
    }
}

/// Rows of one COPY.
const COPIED: i64 = 2_000;

#[test]
fn a_copy_is_there_wholly_or_not_at_all() {
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start();
    let create = "CREATE TABLE copied (n bigint, row int, filler text, PRIMARY KEY (n, row))";
    server.client().run(create).unwrap();
    let (mut newest, mut acknowledged) = (0, BTreeSet::new());
    for _ in 0..few() {
        let address = server.address();
        let pause = Duration::from_millis(300 + random.next() % 900);
        let (from, began) = (newest, AtomicBool::new(false));
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut newest, mut done) = (from, Vec::new());
                let Ok(mut client) = Client::connect(&address) else { return (newest, done) };
                began.store(true, Ordering::Relaxed);
                loop {
                    newest += 1;
                    match copy_in(&mut client, newest) {
                        Ok(()) => done.push(newest),
                        Err(_) => return (newest, done),
                    }
                }
            });
            while !began.load(Ordering::Relaxed) && !writer.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(pause);
            server.kill();
            writer.join().unwrap()
        });
        newest = written.0;
        acknowledged.extend(written.1);
        let mut client = back(&mut server);
        let answer = client.run("SELECT n, count(*) FROM copied GROUP BY n ORDER BY n").unwrap();
        let mut present = BTreeSet::new();
        for row in answer.rows {
            let n: i64 = row[0].as_deref().unwrap().parse().unwrap();
            assert_eq!(row[1].as_deref(), Some(COPIED.to_string().as_str()), "COPY {n} in part");
            present.insert(n);
        }
        let lost: Vec<_> = acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        println!("{} of {newest} copies after {pause:?}", present.len());
        acknowledged = present;
    }
}

/// A transaction of definitions and rows, and one that takes away what the last but one made.
fn define(client: &mut Client, n: i64) -> Result<(), Failure> {
    let old = (n - 2).max(0);
    for sql in [
        "BEGIN".to_owned(),
        format!("CREATE TABLE made_{n} (id int PRIMARY KEY, v text)"),
        format!("INSERT INTO made_{n} SELECT g, 'v' FROM generate_series(1, 50) g"),
        format!("ALTER TABLE made_{n} ADD COLUMN more int NOT NULL DEFAULT {n}"),
        format!("CREATE UNIQUE INDEX made_{n}_v ON made_{n} (id, v)"),
        format!("CREATE VIEW seen_{n} AS SELECT count(*) AS count FROM made_{n}"),
        format!("DROP VIEW IF EXISTS seen_{old}"),
        format!("DROP TABLE IF EXISTS made_{old}"),
        "COMMIT".to_owned(),
    ] {
        client.run(&sql)?;
    }
    Ok(())
}

#[test]
fn definitions_are_there_wholly_or_not_at_all() {
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start();
    let (mut newest, mut last_done) = (0, 0);
    for _ in 0..few() {
        let address = server.address();
        let pause = Duration::from_millis(300 + random.next() % 900);
        let (from, began) = (newest, AtomicBool::new(false));
        (newest, last_done) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut newest, mut done) = (from, last_done);
                let Ok(mut client) = Client::connect(&address) else { return (newest, done) };
                began.store(true, Ordering::Relaxed);
                loop {
                    newest += 1;
                    match define(&mut client, newest) {
                        Ok(()) => done = newest,
                        Err(failure) if failure.sqlstate == "lost" => return (newest, done),
                        Err(failure) => panic!("definition {newest}: {failure}"),
                    }
                }
            });
            while !began.load(Ordering::Relaxed) && !writer.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(pause);
            server.kill();
            writer.join().unwrap()
        });
        let mut client = back(&mut server);
        let is_there = |client: &mut Client, n: i64| {
            let sql =
                format!("SELECT sum(more), count(*), (SELECT count FROM seen_{n}) FROM made_{n}");
            match client.run(&sql) {
                Ok(answer) => {
                    let whole = [(50 * n).to_string(), "50".to_owned(), "50".to_owned()];
                    assert_eq!(answer.rows, [whole.map(Some)], "definition {n}");
                    let twice = format!("INSERT INTO made_{n} VALUES (1, 'v', 1)");
                    assert_eq!(client.run(&twice).unwrap_err().sqlstate, "23505");
                    true
                }
                Err(failure) => {
                    assert_eq!(failure.sqlstate, "42P01", "definition {n}: {failure}");
                    let classes = format!(
                        "SELECT relname FROM pg_class
                         WHERE relname IN ('made_{n}', 'seen_{n}', 'made_{n}_v', 'made_{n}_pkey')"
                    );
                    assert_eq!(client.run(&classes).unwrap().rows, Vec::<Vec<_>>::new());
                    false
                }
            }
        };
        let (of_last, of_newest) =
            (is_there(&mut client, last_done), is_there(&mut client, newest));
        assert!(of_last || last_done == 0, "definition {last_done} was acknowledged and is lost");
        if of_newest {
            last_done = newest;
        }
        println!("{newest} definitions after {pause:?}, the newest is there: {of_newest}");
    }
}
