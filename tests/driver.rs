//! tokio-postgres, which sends and reads everything in binary form, and pipelines.

use std::pin::pin;

use futures::{SinkExt, StreamExt, TryStreamExt};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

fn with_client<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = server.address().config().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        test(client).await;
    });
}

#[test]
fn binary_values_there_and_back() {
    with_client(|client| async move {
        let sql = "SELECT $1::int2, $2::int4, $3::int8, $4::float4, $5::float8, $6::text, $7::bytea, $8::bool, \
                   $9::int4[], $10::text[], $11::varchar, $12::char(4)";
        let statement = client.prepare(sql).await.unwrap();
        assert_eq!(
            statement.params(),
            [
                Type::INT2,
                Type::INT4,
                Type::INT8,
                Type::FLOAT4,
                Type::FLOAT8,
                Type::TEXT,
                Type::BYTEA,
                Type::BOOL,
                Type::INT4_ARRAY,
                Type::TEXT_ARRAY,
                Type::VARCHAR,
                Type::BPCHAR
            ]
        );
        for _ in 0..2 {
            let row = client
                .query_one(
                    &statement,
                    &[
                        &i16::MIN,
                        &i32::MAX,
                        &i64::MIN,
                        &1.5e-3_f32,
                        &std::f64::consts::E,
                        &"tëxt",
                        &&b"\x00\xff"[..],
                        &true,
                        &vec![Some(1_i32), None],
                        &vec!["a", "b,c"],
                        &"v",
                        &"c",
                    ],
                )
                .await
                .unwrap();
            assert_eq!(row.get::<_, i16>(0), i16::MIN);
            assert_eq!(row.get::<_, i32>(1), i32::MAX);
            assert_eq!(row.get::<_, i64>(2), i64::MIN);
            assert_eq!(row.get::<_, f32>(3), 1.5e-3);
            assert_eq!(row.get::<_, f64>(4), std::f64::consts::E);
            assert_eq!(row.get::<_, &str>(5), "tëxt");
            assert_eq!(row.get::<_, &[u8]>(6), b"\x00\xff");
            assert!(row.get::<_, bool>(7));
            assert_eq!(row.get::<_, Vec<Option<i32>>>(8), [Some(1), None]);
            assert_eq!(row.get::<_, Vec<&str>>(9), ["a", "b,c"]);
            assert_eq!(row.get::<_, &str>(10), "v");
            assert_eq!(row.get::<_, &str>(11), "c   ");
        }
    });
}

#[test]
fn a_pipeline_answers_in_order() {
    with_client(|client| async move {
        let statement = client.prepare("SELECT $1::int4 * 2").await.unwrap();
        let queries = (0..100_i32).map(|n| {
            let (client, statement) = (&client, &statement);
            async move { client.query_one(statement, &[&n]).await.unwrap().get::<_, i32>(0) }
        });
        let answers: Vec<i32> = futures::future::join_all(queries).await;
        assert_eq!(answers, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        // One that fails takes nobody with it.
        let bad = client.query_one("SELECT 1 / $1::int4", &[&0_i32]);
        let good = client.query_one(&statement, &[&21_i32]);
        let (bad, good) = futures::join!(bad, good);
        assert_eq!(bad.unwrap_err().code().unwrap().code(), "22012");
        assert_eq!(good.unwrap().get::<_, i32>(0), 42);
    });
}

#[test]
fn copy_streams_both_ways() {
    with_client(|client| async move {
        client
            .batch_execute("CREATE TABLE copied (id int PRIMARY KEY, t text, n bigint)")
            .await
            .unwrap();
        let sink = client.copy_in("COPY copied FROM STDIN (FORMAT binary)").await.unwrap();
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT, Type::INT8]));
        for id in 0..5_000_i32 {
            let text = (id % 3 != 0).then(|| format!("text {id}"));
            writer.as_mut().write(&[&id, &text, &(i64::from(id) << 33)]).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), 5_000);
        let row =
            client.query_one("SELECT count(*), count(t), max(n) FROM copied", &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), (5_000_i64, 3_333_i64, 4_999_i64 << 33));
        let out = client
            .copy_out("COPY (SELECT id, t FROM copied ORDER BY id) TO STDOUT (FORMAT csv)")
            .await
            .unwrap();
        let chunks: Vec<_> = out.try_collect().await.unwrap();
        let text = String::from_utf8(chunks.concat()).unwrap();
        assert_eq!(text.lines().count(), 5_000);
        assert!(text.starts_with("0,\n1,text 1\n2,text 2\n3,\n"), "{}", &text[..40]);
        // A sink that is dropped half-way leaves nothing, and the session goes on.
        let mut sink = Box::pin(client.copy_in("COPY copied FROM STDIN").await.unwrap());
        sink.send(bytes::Bytes::from_static(b"9000\tx\t1\n")).await.unwrap();
        drop(sink);
        let count: i64 = client.query_one("SELECT count(*) FROM copied", &[]).await.unwrap().get(0);
        assert_eq!(count, 5_000);
    });
}

#[test]
fn portals_give_rows_in_pieces() {
    with_client(|mut client| async move {
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("SELECT g FROM generate_series(1, 10) g", &[]).await.unwrap();
        let mut seen = Vec::new();
        loop {
            let rows = transaction.query_portal(&portal, 4).await.unwrap();
            if rows.is_empty() {
                break;
            }
            seen.push(rows.len());
        }
        assert_eq!(seen, [4, 4, 2]);
        transaction.commit().await.unwrap();
        let mut rows = pin!(
            client
                .query_raw("SELECT g FROM generate_series(1, 50000) g", [] as [i32; 0])
                .await
                .unwrap()
        );
        let mut count = 0;
        while let Some(row) = rows.next().await {
            row.unwrap();
            count += 1;
        }
        assert_eq!(count, 50_000);
    });
}
