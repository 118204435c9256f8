//! Garbage on the wire: random bytes, broken messages, wrong order. The server neither falls, nor hangs, nor grows, and
//! another session doesn't notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use crate::client::{Address, Client};
use crate::random::Random;
use crate::server::{Server, number};

/// How long the server may take to end a connection whose client has gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the process may have grown by at the end, against its size after the first tenth of the cases.
const MOST_GROWTH: u64 = 96 << 20;

#[test]
fn garbage_harms_nobody() {
    let cases = usize::try_from(number("STELE_TEST_WIRE_CASES", 3_000)).unwrap();
    let mut random = Random::from_environment("STELE_TEST_SEED");
    let mut server = Server::start_with(&["--max-sessions", "50"]);
    let address = server.address();
    let done = AtomicBool::new(false);
    let seeds: Vec<u64> = (0..4).map(|_| random.next()).collect();
    let finished = AtomicUsize::new(0);
    let (before, rounds) = std::thread::scope(|scope| {
        let bystander = scope.spawn(|| undisturbed(&address, &done));
        let attackers: Vec<_> = seeds
            .iter()
            .map(|seed| scope.spawn(|| attack(&address, *seed, cases / seeds.len(), &finished)))
            .collect();
        while finished.load(Ordering::Relaxed) < cases / 10
            && !attackers.iter().all(ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let before = server.memory();
        let results: Vec<_> = attackers.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let rounds = bystander.join().unwrap();
        for result in results {
            result.unwrap();
        }
        (before, rounds)
    });
    assert!(server.is_alive(), "{}", server.log_text());
    let log = server.log_text();
    assert!(!log.contains("panic"), "{log}");
    let after = server.memory();
    println!(
        "{cases} cases, {rounds} statements beside them; memory {} -> {} MiB",
        before >> 20,
        after >> 20
    );
    assert!(after < before + MOST_GROWTH, "memory grew from {before} to {after} bytes");
}

/// A session that goes on working, and is always answered rightly.
fn undisturbed(address: &Address, done: &AtomicBool) -> usize {
    let mut client = Client::connect(address).unwrap();
    client.run("CREATE TABLE calm (id int PRIMARY KEY, v text)").unwrap();
    let mut rounds = 0;
    while !done.load(Ordering::Relaxed) {
        client.run(&format!("INSERT INTO calm VALUES ({rounds}, 'v{rounds}')")).unwrap();
        let answer = client.run(&format!("SELECT v FROM calm WHERE id = {rounds}")).unwrap();
        assert_eq!(answer.value(), Some(format!("v{rounds}").as_str()));
        rounds += 1;
    }
    let count = client.run("SELECT count(*) FROM calm").unwrap();
    assert_eq!(count.value(), Some(rounds.to_string().as_str()));
    rounds
}

fn attack(address: &Address, seed: u64, cases: usize, finished: &AtomicUsize) {
    let mut random = Random::new(seed);
    let mut left = cases;
    while left > 0 {
        // A login costs the server thousands of hashes; so a session that got in takes many cases.
        let used = if random.below(10) == 0 {
            let used = left.min(50);
            after_login(address, &mut random, used);
            used
        } else {
            before_login(address, &mut random);
            1
        };
        left -= used;
        finished.fetch_add(used, Ordering::Relaxed);
    }
}

fn before_login(address: &Address, random: &mut Random) {
    let mut bytes = Vec::new();
    match random.below(6) {
        0 => bytes = some(random, 200),
        1 => {
            // A length, right or wrong, and anything.
            let length = u32::try_from(random.next() % (1 << (1 + random.below(31)))).unwrap();
            bytes.extend(length.to_be_bytes());
            bytes.extend(some(random, 100));
        }
        2 => {
            bytes.extend(startup(&[("user", "stele"), ("database", "stele")]));
            bytes.extend(some(random, 300));
        }
        3 => {
            let name = String::from_utf8_lossy(&some(random, 40)).replace('\0', "");
            bytes.extend(startup(&[("user", &name), ("database", &name), (&name, &name)]));
            bytes.extend(message(random));
        }
        4 => {
            let mut start = startup(&[("user", "stele"), ("database", "stele")]);
            damage(random, &mut start);
            bytes.extend(start);
        }
        _ => {
            let mut out = BytesMut::new();
            frontend::ssl_request(&mut out);
            bytes.extend_from_slice(&out);
            bytes.extend(some(random, 300));
        }
    }
    let mut socket = TcpStream::connect(("127.0.0.1", address.port)).unwrap();
    give_up(&mut socket, &bytes);
}

/// Sends the bytes, and waits until the server has ended the connection.
fn give_up(socket: &mut TcpStream, bytes: &[u8]) {
    // The server may hang up while we still send: that is its right.
    drop(socket.write_all(bytes));
    drop(socket.shutdown(Shutdown::Write));
    wait_for_end(socket);
}

fn wait_for_end(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let began = Instant::now();
    let mut chunk = [0; 8192];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => return,
        }
        assert!(began.elapsed() < PATIENCE, "the server holds on to a connection that has ended");
    }
}

fn after_login(address: &Address, random: &mut Random, cases: usize) {
    let mut client = Client::connect(address).unwrap();
    for _ in 0..cases {
        let mut bytes = message(random);
        if random.below(3) == 0 {
            damage(random, &mut bytes);
        }
        let sent = client.send(|out| {
            out.extend_from_slice(&bytes);
            Ok(())
        });
        if sent.is_err() {
            client = Client::connect(address).unwrap();
        }
        // Answers are read now and then, so that the server also meets a client that doesn't listen.
        if random.below(8) == 0 {
            client.drain(Duration::from_millis(5));
        }
    }
    wait_for_end(client.hang_up());
}

/// One message of the protocol, in any order, with any content.
fn message(random: &mut Random) -> Vec<u8> {
    let sql = [
        "SELECT 1",
        "SELECT $1::int",
        "BEGIN",
        "COMMIT",
        "SELECT * FROM generate_series(1, 100)",
        "",
        ";;",
        "SELEC",
        "COPY (SELECT 1) TO STDOUT",
        "INSERT INTO nowhere VALUES ($1)",
        "SELECT $1::text, $2::numeric, $3::int[]",
        "SELECT repeat('x', 10000)",
        "SET statement_timeout = 1000",
        "SHOW ALL",
        "DISCARD ALL",
        "CREATE TEMP TABLE g (id int)",
        "SELECT 1; SELECT 2",
        "PREPARE p AS SELECT 1",
        "DECLARE c CURSOR FOR SELECT 1",
    ];
    let text = sql[random.below(sql.len())];
    let name = ["", "s1", "s2"][random.below(3)];
    let mut out = BytesMut::new();
    let written = match random.below(14) {
        0 | 1 => frontend::query(text, &mut out),
        2 | 3 => {
            let types: Vec<u32> =
                (0..random.below(4)).map(|_| [0, 23, 25, 1700, 999_999][random.below(5)]).collect();
            frontend::parse(name, text, types, &mut out)
        }
        4 | 5 => return bind(random, name),
        6 => frontend::describe([b'S', b'P', b'Q'][random.below(3)], name, &mut out),
        7 | 8 => frontend::execute(name, [0, 1, -1, i32::MAX][random.below(4)], &mut out),
        9 => {
            frontend::sync(&mut out);
            Ok(())
        }
        10 => frontend::close([b'S', b'P', b'x'][random.below(3)], name, &mut out),
        11 => {
            frontend::flush(&mut out);
            Ok(())
        }
        12 => {
            frontend::copy_done(&mut out);
            frontend::copy_fail("no", &mut out)
        }
        _ => {
            let letter = random.byte();
            let body = some(random, 60);
            out.extend_from_slice(&[letter]);
            out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            out.extend_from_slice(&body);
            Ok(())
        }
    };
    written.unwrap();
    out.to_vec()
}

/// A Bind message with counts, formats and lengths that needn't fit each other.
fn bind(random: &mut Random, name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(name.as_bytes());
    body.push(0);
    body.extend(name.as_bytes());
    body.push(0);
    let formats = random.below(4);
    body.extend(u16::try_from(formats).unwrap().to_be_bytes());
    for _ in 0..formats {
        body.extend([0, [0, 1, 7][random.below(3)]]);
    }
    let values = random.below(4);
    body.extend(u16::try_from(values).unwrap().to_be_bytes());
    for _ in 0..values {
        let value = some(random, 12);
        let length = [i32::try_from(value.len()).unwrap(), -1, 4, i32::MAX, -2][random.below(5)];
        body.extend(length.to_be_bytes());
        if length >= 0 {
            body.extend(value);
        }
    }
    body.extend([0, 1, 0, 1]);
    let mut out = vec![b'B'];
    out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend(body);
    out
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frontend::startup_message(parameters.iter().copied(), &mut out).unwrap();
    out.to_vec()
}

fn some(random: &mut Random, most: usize) -> Vec<u8> {
    let length = random.below(most + 1);
    random.bytes(length)
}

/// Flips, cuts, doubles, or lies about a length.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match random.below(5) {
        0 => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        1 => bytes.truncate(random.below(bytes.len())),
        2 => bytes.extend_from_within(..),
        3 => {
            let at = random.below(bytes.len());
            let more = some(random, 20);
            bytes.splice(at..at, more);
        }
        _ => {
            let at = random.below(bytes.len());
            let end = (at + 4).min(bytes.len());
            bytes[at..end].fill([0, 0x7f, 0xff][random.below(3)]);
        }
    }
}
