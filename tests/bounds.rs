//! What a client may not take: connections, time, memory. Each test pushes at one bound; past it the client gets
//! 53xxx or 54xxx or is dropped, and others go on working.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::client::{Address, Client, Failure};
use crate::server::{PASSWORD, Server};

/// How long the server may take for what it should do at once; a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn dial(address: &Address) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", address.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// All that the server sends until it hangs up.
fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a way to hang up, too.
    drop(socket.read_to_end(&mut bytes));
    bytes
}

#[test]
fn a_log_that_can_not_be_written_ends_nothing() {
    let mut server = Server::start_with(&["--log", "debug"]);
    server.stop();
    assert!(!server.log_text().is_empty(), "it has something to say");
    server.fill_log();
    server.start_again();
    let mut client = Client::connect(&server.address()).unwrap();
    assert_works(&mut client);
    assert!(server.is_alive());
}

fn startup(user: &str) -> BytesMut {
    let mut out = BytesMut::new();
    frontend::startup_message([("user", user), ("database", "stele")], &mut out).unwrap();
    out
}

fn assert_works(client: &mut Client) {
    assert_eq!(client.run("SELECT 6 * 7").unwrap().value(), Some("42"));
}

#[test]
fn sessions_past_the_bound_are_told_and_the_last_are_for_superusers() {
    let server = Server::start_with(&["--max-sessions", "8"]);
    let mut first = server.client();
    first.run(&format!("CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    let visitor = Address { user: "visitor".to_owned(), ..server.address() };
    let mut open = Vec::new();
    let refused = loop {
        match Client::connect(&visitor) {
            Ok(client) => open.push(client),
            Err(failure) => break failure,
        }
        assert!(open.len() < 8, "more sessions than the bound");
    };
    assert_eq!(refused.sqlstate, "53300", "{refused}");
    // An operator gets in all the same, up to the bound itself.
    let mut operators = Vec::new();
    let refused = loop {
        match Client::connect(&server.address()) {
            Ok(client) => operators.push(client),
            Err(failure) => break failure,
        }
        assert!(operators.len() < 8, "more sessions than the bound");
    };
    assert_eq!(refused.sqlstate, "53300", "{refused}");
    assert!(!operators.is_empty(), "no place is kept for superusers");
    assert_eq!(1 + open.len() + operators.len(), 8);
    assert_works(&mut first);
    drop(open);
    // A place is free as soon as its session has ended.
    let began = Instant::now();
    while let Err(failure) = Client::connect(&visitor) {
        assert_eq!(failure.sqlstate, "53300", "{failure}");
        assert!(began.elapsed() < PATIENCE, "no place gets free");
    }
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_nobody_out_for_long() {
    let server = Server::start_with(&["--max-sessions", "20", "--set", "login_timeout=3s"]);
    let address = server.address();
    let mut session = server.client();
    let before = server.memory();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .unwrap();
    let mut idle: Vec<TcpStream> = (0..1000).map(|_| dial(&address)).collect();
    assert_works(&mut session);
    let grown = server.memory().saturating_sub(before);
    println!("1000 idle connections: {} KiB more", grown >> 10);
    assert!(grown < 64 << 20, "idle connections cost {grown} bytes");
    // All are hung up on: those past the bound at once, the others when their login takes too long.
    for socket in &mut idle {
        assert_eq!(rest(socket), b"");
    }
    assert_works(&mut session);
    assert_works(&mut server.client());
}

#[test]
fn a_login_that_comes_byte_by_byte_ends_in_time() {
    let server = Server::start_with(&["--set", "login_timeout=2s"]);
    let packet = startup("stele");
    let mut socket = dial(&server.address());
    let began = Instant::now();
    let mut sent = 0;
    loop {
        // One byte at a time, for ever if it were let.
        if socket.write_all(&packet[sent % 8..][..1]).is_err() {
            break;
        }
        sent += 1;
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        if matches!(socket.read(&mut [0; 64]), Ok(0)) || sent > packet.len() + 20 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "a slow login is waited for");
    }
    // A login that stops half way, within TLS or SCRAM, is not waited for either.
    let mut ssl = BytesMut::new();
    frontend::ssl_request(&mut ssl);
    for start in [&ssl[..], &packet[..], &packet[..9], b"\x16\x03\x01"] {
        let mut socket = dial(&server.address());
        socket.write_all(start).unwrap();
        rest(&mut socket);
    }
    assert_works(&mut server.client());
}

#[test]
fn lengths_that_are_too_large_end_the_connection_and_cost_nothing() {
    let server = Server::start_with(&["--set", "max_message=1MiB"]);
    let mut witness = server.client();
    let before = server.memory();
    for length in [10_001_u32, 1 << 20, i32::MAX as u32, u32::MAX] {
        let mut socket = dial(&server.address());
        socket.write_all(&length.to_be_bytes()).unwrap();
        let said = rest(&mut socket);
        assert!(!said.windows(2).any(|it| it == b"Z\0"), "no session began");
    }
    // A password message of 1 GiB.
    let mut socket = dial(&server.address());
    let mut bytes = startup("stele");
    bytes.put_u8(b'p');
    bytes.put_u32(1 << 30);
    socket.write_all(&bytes).unwrap();
    rest(&mut socket);
    for kind in [b'Q', b'P', b'B', b'd', b'D', b'E', b'S', b'C'] {
        let mut client = server.client();
        client
            .send(|out| {
                out.put_u8(kind);
                out.put_u32(1 << 30);
                Ok(())
            })
            .unwrap();
        let failure = loop {
            match client.receive() {
                Ok(Message::ErrorResponse(body)) => break Failure::read(body.fields()).unwrap(),
                Ok(_) => {}
                Err(lost) => panic!("{}: hung up on without a word: {lost}", kind as char),
            }
        };
        assert!(matches!(&*failure.sqlstate, "08P01" | "54000"), "{}: {failure}", kind as char);
        assert_eq!(client.receive().map(drop).unwrap_err().sqlstate, "lost");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for messages that never came");
    assert_works(&mut witness);
}

#[test]
fn a_login_out_of_order_is_refused() {
    let server = Server::start();
    let address = server.address();
    let message = |write: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    };
    let first = ScramSha256::new(b"wrong", ChannelBinding::unsupported());
    let initial = message(&|out| {
        frontend::sasl_initial_response(SCRAM_SHA_256, first.message(), out).unwrap();
    });
    let other = message(&|out| {
        frontend::sasl_initial_response("PLAIN", b"\0stele\0secret", out).unwrap();
    });
    let response = message(&|out| frontend::sasl_response(b"c=biws,r=x,p=AAAA", out).unwrap());
    let query = message(&|out| frontend::query("SELECT 1", out).unwrap());
    let password = message(&|out| frontend::password_message(PASSWORD.as_bytes(), out).unwrap());
    let empty = message(&|out| frontend::sasl_response(b"", out).unwrap());
    for (what, messages) in [
        ("a query instead of a login", vec![&query]),
        ("the last step first", vec![&response]),
        ("another mechanism", vec![&other]),
        ("a password in the clear", vec![&password]),
        ("nothing", vec![&empty]),
        ("the first step twice", vec![&initial, &initial]),
        ("a query in between", vec![&initial, &query]),
        ("a nonce that is not the server's", vec![&initial, &response]),
    ] {
        let mut socket = dial(&address);
        socket.write_all(&startup("stele")).unwrap();
        for message in messages {
            // It may hang up after the first.
            drop(socket.write_all(message));
        }
        let said = rest(&mut socket);
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains("SFATAL\0"), "{what}: {text:?}");
        assert!(
            ["C28P01\0", "C28000\0", "C08P01\0"].iter().any(|it| text.contains(it)),
            "{text:?}"
        );
        let ok = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
        assert!(!said.windows(ok.len()).any(|it| it == ok), "{what}: let in");
    }
    assert_works(&mut server.client());
}

/// Sends one message after the other until the server refuses one.
fn until_refused(
    client: &mut Client,
    mut write: impl FnMut(usize, &mut BytesMut),
) -> (usize, Failure) {
    for n in 0..20_000 {
        client
            .send(|out| {
                write(n, out);
                frontend::sync(out);
                Ok(())
            })
            .unwrap();
        let mut failure = None;
        loop {
            match client.receive().unwrap() {
                Message::ErrorResponse(body) => failure = Failure::read(body.fields()).ok(),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        if let Some(failure) = failure {
            return (n, failure);
        }
    }
    panic!("20000 are taken");
}

#[test]
fn what_a_session_prepares_has_a_bound() {
    let server = Server::start();
    let mut client = server.client();
    let text = format!("SELECT 1 /* {} */", "x".repeat(4 << 20));
    let (count, failure) = until_refused(&mut client, |n, out| {
        frontend::parse(&format!("s{n}"), &text, [], out).unwrap();
    });
    assert_eq!(failure.sqlstate, "54000", "{failure}");
    println!("{count} statements of 4 MiB");
    client.run("DEALLOCATE ALL").unwrap();
    client.run("BEGIN").unwrap();
    client
        .send(|out| {
            frontend::parse("p", "SELECT length($1)", [25], out)?;
            frontend::sync(out);
            Ok(())
        })
        .unwrap();
    while !matches!(client.receive().unwrap(), Message::ReadyForQuery(_)) {}
    let value = vec![b'y'; 4 << 20];
    let (count, failure) = until_refused(&mut client, |n, out| {
        let bound = frontend::bind(
            &format!("p{n}"),
            "p",
            [1],
            [&value],
            |value, out| {
                out.put_slice(value);
                Ok(postgres_protocol::IsNull::No)
            },
            [1],
            out,
        );
        assert!(bound.is_ok());
    });
    assert_eq!(failure.sqlstate, "54000", "{failure}");
    println!("{count} portals of 4 MiB");
    client.run("ROLLBACK").unwrap();
    assert_works(&mut client);
}

#[test]
fn endless_queries_stop_when_asked_and_large_ones_when_memory_ends() {
    let server = Server::start_with(&["--set", "query_memory=16MiB", "--set", "query_disk=16MiB"]);
    let mut client = server.client();
    client.run("SET statement_timeout = '700ms'").unwrap();
    for sql in [
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT max(a) FROM generate_series(1::numeric, 1e30) a",
        "WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
        "SELECT * FROM generate_series(1, 1000000000000) WHERE generate_series < 0",
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a + b < 0",
        "SELECT count(*) FROM generate_series(1, 200000) a JOIN generate_series(1, 200000) b ON a % 2 = b % 2 AND a + b < 0",
    ] {
        let began = Instant::now();
        let failure = client.run(sql).unwrap_err();
        assert_eq!(failure.sqlstate, "57014", "{sql}: {failure}");
        println!("stopped after {:?}: {sql}", began.elapsed());
    }
    client.run("SET statement_timeout = 0").unwrap();
    let answer = client.run("SELECT * FROM generate_series(1, 1000000000000) LIMIT 3").unwrap();
    assert_eq!(answer.rows.len(), 3);
    let before = server.memory();
    for sql in [
        "SELECT length(repeat('x', 200) || a) FROM generate_series(1, 100000000) a ORDER BY repeat('x', 200) || a",
        "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 100) || a FROM generate_series(1, 100000000) a)",
        "SELECT array_length(array_agg(repeat('x', 100) || a), 1) FROM generate_series(1, 100000000) a",
        "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a = b",
    ] {
        let began = Instant::now();
        let failure = client.run(sql).unwrap_err();
        assert_eq!(failure.sqlstate, "53200", "{sql}: {failure}");
        println!("refused after {:?}: {sql}", began.elapsed());
    }
    let grown = server.memory().saturating_sub(before);
    println!("{} MiB more", grown >> 20);
    assert!(grown < 600 << 20, "queries took {} MiB", grown >> 20);
    // A cursor holds no more than the queries' memory either, and gives it back.
    client.run("BEGIN").unwrap();
    client
        .run(
            "DECLARE c CURSOR FOR SELECT repeat('x', 1000), a FROM generate_series(1, 100000000) a",
        )
        .unwrap();
    assert_eq!(client.run("FETCH 5 FROM c").unwrap().rows.len(), 5);
    assert_eq!(client.run("MOVE ALL IN c").unwrap_err().sqlstate, "53200");
    client.run("ROLLBACK").unwrap();
    assert_eq!(
        client.run("SELECT a FROM generate_series(1, 9) a ORDER BY a DESC").unwrap().value(),
        Some("9")
    );
    assert_works(&mut server.client());
}
