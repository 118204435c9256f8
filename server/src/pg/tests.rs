//! The protocol, message by message, over a stream in memory and a chain in memory.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;
use storage::{RealClock, Solo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::message::Body;
use super::wire::Wire;
use super::*;

const LIMIT: usize = 1 << 20;

/// A raw client on a session of its own chain.
struct Client {
    stream: DuplexStream,
    input: BytesMut,
    phase: watch::Sender<Phase>,
    session: JoinHandle<()>,
    sessions: Arc<Sessions>,
    process: i32,
    secret: Vec<u8>,
}

/// One message from the server.
#[derive(Debug)]
struct Answer {
    kind: char,
    body: Bytes,
}

impl Client {
    fn new() -> Self {
        let (state, order) = Solo::new();
        let config = sql::EngineConfig::default();
        let engine = sql::Engine::new(state, order, Arc::new(RealClock), config).unwrap();
        let sql = engine.session("stele", Vec::new()).unwrap();
        let sessions = Arc::new(Sessions::default());
        let place = sessions.enter(sql.number(), sql.cancel_token(), 4, 10).unwrap().unwrap();
        let (process, secret) = (place.process, place.secret.clone());
        let (stream, theirs) = tokio::io::duplex(4096);
        let (phase, watched) = watch::channel(Phase::Running);
        let session = Session::new(Wire::new(theirs, LIMIT), sql, place, watched, None);
        let session = tokio::spawn(Box::pin(session.run()));
        Self { stream, input: BytesMut::new(), phase, session, sessions, process, secret }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let [kind, a, b, c, d, ..] = self.input[..] {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if self.input.len() > length {
                    self.input.advance(5);
                    let body = self.input.split_to(length - 4).freeze();
                    return Some(Answer { kind: char::from(kind), body });
                }
            }
            let read = self.stream.read_buf(&mut self.input);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await;
            match read.expect("the server answers") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All answers up to ReadyForQuery, or the end.
    async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            let last = answer.kind == 'Z';
            answers.push(answer);
            if last {
                break;
            }
        }
        answers
    }

    async fn ask(&mut self, messages: &[Vec<u8>]) -> Vec<Answer> {
        self.send(&messages.concat()).await;
        self.answers().await
    }

    async fn query(&mut self, text: &str) -> Vec<Answer> {
        self.ask(&[query(text)]).await
    }
}

/// The types of messages, with the status of ReadyForQuery and the code of errors.
fn shape(answers: &[Answer]) -> String {
    let one = |answer: &Answer| match answer.kind {
        'Z' => format!("Z{}", char::from(answer.body[0])),
        'E' => format!("E{}", field(answer, b'C').unwrap()),
        other => other.to_string(),
    };
    answers.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn field(answer: &Answer, letter: u8) -> Option<String> {
    let mut body = Body(answer.body.clone());
    loop {
        let kind = body.take(1).ok()?[0];
        let text = body.string().ok()?;
        if kind == letter {
            return Some(text);
        }
    }
}

fn tags(answers: &[Answer]) -> Vec<String> {
    let complete = answers.iter().filter(|answer| answer.kind == 'C');
    complete.map(|answer| Body(answer.body.clone()).string().unwrap()).collect()
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.extend_from_slice(body);
    out
}

fn query(text: &str) -> Vec<u8> {
    framed(b'Q', format!("{text}\0").as_bytes())
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    framed(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0\0\0").into_bytes();
    body.put_u16(u16::try_from(parameters.len()).unwrap());
    for parameter in parameters {
        body.put_u32(u32::try_from(parameter.len()).unwrap());
        body.extend_from_slice(parameter.as_bytes());
    }
    body.put_u16(0);
    framed(b'B', &body)
}

fn describe(kind: char, name: &str) -> Vec<u8> {
    framed(b'D', format!("{kind}{name}\0").as_bytes())
}

fn close(kind: char, name: &str) -> Vec<u8> {
    framed(b'C', format!("{kind}{name}\0").as_bytes())
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.put_u32(rows);
    framed(b'E', &body)
}

fn sync() -> Vec<u8> {
    framed(b'S', &[])
}

#[tokio::test]
async fn statements_of_one_query_are_answered_in_order() {
    let mut client = Client::new();
    assert_eq!(shape(&client.query("select 1; select 2").await), "T D C T D C ZI");
    assert_eq!(shape(&client.query("select 1; select nope").await), "T D C E42703 ZI");
    assert_eq!(shape(&client.query("begin; select 1; select nope").await), "C T D C E42703 ZE");
    assert_eq!(shape(&client.query("select 1").await), "E25P02 ZE");
    assert_eq!(tags(&client.query("rollback").await), ["ROLLBACK"]);
    assert_eq!(shape(&client.query("").await), "I ZI");
    assert_eq!(shape(&client.query("select 1 from").await), "E42601 ZI");
}

#[tokio::test]
async fn statements_of_one_query_are_one_transaction() {
    let mut client = Client::new();
    client.query("create table t (a int primary key)").await;
    let answers = client.query("insert into t values (1); insert into t values (1)").await;
    assert_eq!(shape(&answers), "C E23505 ZI");
    assert_eq!(tags(&client.query("select a from t").await), ["SELECT 0"]);
}

#[tokio::test]
async fn a_pipeline_is_answered_message_by_message() {
    let mut client = Client::new();
    let answers = client
        .ask(&[
            parse("s", "select $1::int + 1"),
            describe('S', "s"),
            bind("p", "s", &["41"]),
            describe('P', "p"),
            execute("p", 0),
            close('P', "p"),
            sync(),
        ])
        .await;
    assert_eq!(shape(&answers), "1 t T 2 T D C 3 ZI");
    assert_eq!(&answers[1].body[..], b"\0\x01\0\0\0\x17");
    assert_eq!(&answers[5].body[..], b"\0\x01\0\0\0\x0242");
}

#[tokio::test]
async fn an_error_skips_to_sync() {
    let mut client = Client::new();
    let messages = [parse("", "select nope"), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(shape(&client.ask(&messages).await), "E42703 ZI");
    let messages = [parse("", "select 1"), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(shape(&client.ask(&messages).await), "1 2 D C ZI");
}

#[tokio::test]
async fn mistakes_have_their_sqlstates() {
    let mut client = Client::new();
    let ask = [parse("s", "select $1::text"), parse("s", "select 1"), sync()];
    assert_eq!(shape(&client.ask(&ask).await), "1 E42P05 ZI");
    for (messages, expected) in [
        (vec![bind("", "none", &[])], "E26000 ZI"),
        (vec![bind("", "s", &[])], "E08P01 ZI"),
        (vec![bind("", "s", &["a", "b"])], "E08P01 ZI"),
        (vec![describe('S', "none")], "E26000 ZI"),
        (vec![describe('P', "none")], "E34000 ZI"),
        (vec![describe('X', "none")], "E08P01 ZI"),
        (vec![execute("none", 0)], "E34000 ZI"),
        (vec![close('S', "none"), close('P', "none")], "3 3 ZI"),
        (vec![parse("", "select 1; select 2")], "E42601 ZI"),
        (vec![framed(b'B', b"\0s\0\0\0\xff\xff")], "E08P01 ZI"),
        (vec![framed(b'P', b"no end")], "E08P01 ZI"),
        (vec![framed(b'P', b"\0\xff\0\0\0")], "E22021 ZI"),
        (vec![parse("", ""), bind("", "", &[]), execute("", 0)], "1 2 I ZI"),
    ] {
        let mut messages = messages;
        messages.push(sync());
        assert_eq!(shape(&client.ask(&messages).await), expected);
    }
    assert_eq!(shape(&client.ask(&[framed(b'F', b"\0\0\0\0")]).await), "E0A000 ZI");
    assert_eq!(shape(&client.ask(&[framed(b'Q', b"\xff\0")]).await), "E22021 ZI");
    // What is left of a COPY that failed is not an error.
    assert_eq!(shape(&client.ask(&[framed(b'd', b"1\n"), framed(b'c', &[]), sync()]).await), "ZI");
}

#[tokio::test]
async fn portals_suspend_and_end_with_their_transaction() {
    let mut client = Client::new();
    client.query("create table t (a int); insert into t values (1), (2), (3)").await;
    client.query("begin").await;
    let ask = [parse("", "select a from t"), bind("p", "", &[]), execute("p", 2), sync()];
    assert_eq!(shape(&client.ask(&ask).await), "1 2 D D s ZT");
    assert_eq!(shape(&client.query("select 1").await), "T D C ZT");
    assert_eq!(shape(&client.ask(&[execute("p", 2), sync()]).await), "D C ZT");
    assert_eq!(tags(&client.ask(&[execute("p", 2), sync()]).await), ["SELECT 0"]);
    // A limit that is the number of rows suspends the portal too, and then there are none left.
    let exact = [parse("", "select a from t"), bind("x", "", &[]), execute("x", 3), sync()];
    assert_eq!(shape(&client.ask(&exact).await), "1 2 D D D s ZT");
    assert_eq!(tags(&client.ask(&[execute("x", 3), sync()]).await), ["SELECT 0"]);
    let again = [parse("", "select 1"), bind("p", "", &[]), sync()];
    assert_eq!(shape(&client.ask(&again).await), "1 E42P03 ZE");
    client.query("rollback").await;
    assert_eq!(shape(&client.ask(&[execute("p", 0), sync()]).await), "E34000 ZI");
}

#[tokio::test]
async fn a_large_result_flows_through_a_small_pipe() {
    let mut client = Client::new();
    let answers = client.query("select * from generate_series(1, 20000)").await;
    assert_eq!(answers.iter().filter(|answer| answer.kind == 'D').count(), 20_000);
    assert_eq!(tags(&answers), ["SELECT 20000"]);
}

#[tokio::test]
async fn copy_both_ways() {
    let mut client = Client::new();
    client.query("create table t (a int primary key, b text)").await;
    client.send(&query("copy t from stdin")).await;
    assert_eq!(client.answer().await.unwrap().kind, 'G');
    // Cut in the middle of a row, and with messages between that mean nothing here.
    let data = [
        framed(b'd', b"1\ton"),
        framed(b'H', &[]),
        framed(b'd', b"e\n2\t\\N\n"),
        framed(b'c', &[]),
    ];
    let answers = client.ask(&data).await;
    assert_eq!(tags(&answers), ["COPY 2"]);
    let answers = client.query("copy (select a, b from t order by a) to stdout (format csv)").await;
    assert_eq!(shape(&answers), "H d d c C ZI");
    assert_eq!(&answers[1].body[..], b"1,one\n");
    assert_eq!(&answers[2].body[..], b"2,\n");
    client.send(&query("copy t from stdin")).await;
    assert_eq!(client.answer().await.unwrap().kind, 'G');
    let answers = client.ask(&[framed(b'd', b"3\tx\n"), framed(b'f', b"enough\0")]).await;
    assert_eq!(shape(&answers), "E57014 ZI");
    client.send(&query("copy t from stdin")).await;
    assert_eq!(client.answer().await.unwrap().kind, 'G');
    let answers = client.ask(&[framed(b'd', b"x\ty\n"), framed(b'c', &[])]).await;
    assert_eq!(shape(&answers), "E22P02 ZI");
    assert_eq!(tags(&client.query("select a from t").await), ["SELECT 2"]);
}

#[tokio::test]
async fn a_broken_protocol_ends_the_session_with_a_word() {
    for bytes in [
        &b"\x01\x02\x03\x04\x05\x06"[..],
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\x03",
        b"S\x7f\xff\xff\xff",
        b"p\0\0\0\x05x",
    ] {
        let mut client = Client::new();
        client.send(bytes).await;
        let answers = client.answers().await;
        assert_eq!(shape(&answers), "E08P01", "{bytes:?}");
        assert_eq!(field(&answers[0], b'V').as_deref(), Some("FATAL"));
        client.session.await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_session_hears_of_the_shutdown() {
    let mut client = Client::new();
    client.query("select 1").await;
    client.phase.send_replace(Phase::Draining);
    let answers = client.answers().await;
    assert_eq!(shape(&answers), "E57P01");
    client.session.await.unwrap();
}

#[tokio::test]
async fn a_cancel_stops_rows_and_only_with_the_key() {
    let mut client = Client::new();
    client
        .send(&query("select a.* from generate_series(1, 10000) a, generate_series(1, 10000) b"))
        .await;
    assert_eq!(client.answer().await.unwrap().kind, 'T');
    client.sessions.cancel(client.process, &[0, 0, 0]);
    client.sessions.cancel(client.process, &client.secret);
    let answers = client.answers().await;
    let end: Vec<_> = answers.into_iter().filter(|answer| answer.kind != 'D').collect();
    assert_eq!(shape(&end), "E57014 ZI");
    assert_eq!(shape(&client.query("select 1").await), "T D C ZI");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_session_along() {
    let mut client = Client::new();
    client
        .send(&query("select a.* from generate_series(1, 10000) a, generate_series(1, 10000) b"))
        .await;
    drop(client.stream);
    tokio::time::timeout(Duration::from_secs(20), client.session).await.unwrap().unwrap();
    assert_eq!(client.sessions.count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_ends_in_order(
        bytes in prop::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                (prop::sample::select(b"QPBDECHSdcfFp".to_vec()), prop::collection::vec(any::<u8>(), 0..20))
                    .prop_map(|(kind, body)| framed(kind, &body)),
            ],
            0..20,
        )
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Client { mut stream, session, phase, .. } = Client::new();
            let (mut from, mut to) = tokio::io::split(&mut stream);
            let read = async { drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await) };
            let write = async {
                drop(to.write_all(&bytes.concat()).await);
                drop(to.shutdown().await);
            };
            let both = async { tokio::join!(read, write) };
            tokio::time::timeout(Duration::from_secs(20), both).await.expect("no hang");
            drop(stream);
            session.await.expect("no panic");
            drop(phase);
        });
    }
}
