//! Many sessions at once through tokio-postgres: no update is lost, no invariant broken, whatever the interleaving.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls};

use crate::client::Address;
use crate::random::Random;
use crate::server::Server;

const CLIENTS: u64 = 8;

async fn connect(address: &Address) -> Client {
    let (client, connection) = address.config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs the same work in [`CLIENTS`] sessions at once, each with its number; what each returned.
async fn at_once<F, T>(address: &Address, work: impl Fn(u64, Client) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks = JoinSet::new();
    for me in 0..CLIENTS {
        let client = connect(address).await;
        tasks.spawn(work(me, client));
    }
    tokio::time::timeout(Duration::from_secs(120), tasks.join_all())
        .await
        .expect("no session hangs")
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Address) -> F) {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(test(server.address()));
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn state(error: &Error) -> SqlState {
    error.code().cloned().unwrap_or_else(|| panic!("{error:?}"))
}

#[test]
fn no_update_is_lost() {
    run(|address| async move {
        let client = connect(&address).await;
        client
            .batch_execute(
                "CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO counter VALUES (1, 0)",
            )
            .await
            .unwrap();
        at_once(&address, |_, client| async move {
            for round in 0..25 {
                if round % 2 == 0 {
                    client.execute("UPDATE counter SET n = n + 1 WHERE id = 1", &[]).await.unwrap();
                } else {
                    client.batch_execute("BEGIN").await.unwrap();
                    let n: i64 = client
                        .query_one("SELECT n FROM counter WHERE id = 1 FOR UPDATE", &[])
                        .await
                        .unwrap()
                        .get(0);
                    client
                        .execute("UPDATE counter SET n = $1 WHERE id = 1", &[&(n + 1)])
                        .await
                        .unwrap();
                    client.batch_execute("COMMIT").await.unwrap();
                }
            }
        })
        .await;
        assert_eq!(number(&client, "SELECT n FROM counter").await, 200);
    });
}

#[test]
fn racing_upserts_count_each_once() {
    run(|address| async move {
        let client = connect(&address).await;
        client
            .batch_execute(
                "CREATE TABLE hit (page text PRIMARY KEY, n bigint NOT NULL);
                 CREATE TABLE first (page text PRIMARY KEY, who bigint);
                 CREATE TABLE line (id bigserial PRIMARY KEY, who bigint)",
            )
            .await
            .unwrap();
        let wins: Vec<i64> = at_once(&address, |me, client| async move {
            let me = i64::try_from(me).unwrap();
            let mut wins = 0;
            for round in 0..20 {
                let page = format!("/{round}");
                client
                    .execute("INSERT INTO hit VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET n = hit.n + 1", &[&page])
                    .await
                    .unwrap();
                match client.execute("INSERT INTO first VALUES ($1, $2)", &[&page, &me]).await {
                    Ok(1) => wins += 1,
                    Ok(n) => panic!("{n} rows"),
                    Err(e) => assert_eq!(state(&e), SqlState::UNIQUE_VIOLATION),
                }
                client.execute("INSERT INTO line (who) VALUES ($1)", &[&me]).await.unwrap();
            }
            wins
        })
        .await;
        assert_eq!(wins.iter().sum::<i64>(), 20, "each page has one first");
        assert_eq!(number(&client, "SELECT count(*) FROM hit WHERE n = 8").await, 20);
        assert_eq!(number(&client, "SELECT count(DISTINCT id) FROM line").await, 160);
    });
}

#[test]
fn money_is_neither_made_nor_lost() {
    run(|address| async move {
        let client = connect(&address).await;
        client
            .batch_execute(
                "CREATE TABLE account (id int PRIMARY KEY, amount bigint NOT NULL CHECK (amount >= 0));
                 INSERT INTO account SELECT g, 100 FROM generate_series(0, 4) g",
            )
            .await
            .unwrap();
        let deadlocks: Vec<u32> = at_once(&address, |me, client| async move {
            let mut random = Random::new(me);
            let mut deadlocks = 0;
            for _ in 0..20 {
                let (from, to) = (random.small(5), random.small(5));
                let amount = random.below(60) as i64;
                deadlocks += transfer(&client, from, to, amount).await;
            }
            deadlocks
        })
        .await;
        assert_eq!(number(&client, "SELECT sum(amount)::bigint FROM account").await, 500);
        println!("{} deadlocks were found and broken", deadlocks.iter().sum::<u32>());
    });
}

/// Moves money, again after a deadlock; how many there were. Too little money ends it quietly.
async fn transfer(client: &Client, from: i32, to: i32, amount: i64) -> u32 {
    for attempt in 0.. {
        let steps = async {
            client.batch_execute("BEGIN").await?;
            client
                .execute("UPDATE account SET amount = amount - $2 WHERE id = $1", &[&from, &amount])
                .await?;
            client
                .execute("UPDATE account SET amount = amount + $2 WHERE id = $1", &[&to, &amount])
                .await?;
            client.batch_execute("COMMIT").await
        };
        let Err(e) = steps.await else { return attempt };
        client.batch_execute("ROLLBACK").await.unwrap();
        match state(&e) {
            SqlState::CHECK_VIOLATION => return attempt,
            SqlState::T_R_DEADLOCK_DETECTED => {}
            other => panic!("{other:?}: {e}"),
        }
    }
    unreachable!("it goes on until it succeeds")
}

#[test]
fn no_child_without_its_parent() {
    run(|address| async move {
        let client = connect(&address).await;
        client
            .batch_execute(
                "CREATE TABLE parent (id int PRIMARY KEY);
                 CREATE TABLE child (id bigserial PRIMARY KEY, parent_id int NOT NULL REFERENCES parent)",
            )
            .await
            .unwrap();
        at_once(&address, |me, client| async move {
            let mut random = Random::new(me);
            for _ in 0..25 {
                let id = random.small(6);
                let sql = match random.below(4) {
                    0 => "INSERT INTO parent VALUES ($1) ON CONFLICT DO NOTHING",
                    1 => "DELETE FROM parent WHERE id = $1",
                    2 => "DELETE FROM child WHERE parent_id = $1",
                    _ => "INSERT INTO child (parent_id) VALUES ($1)",
                };
                if let Err(e) = client.execute(sql, &[&id]).await {
                    assert!(
                        matches!(
                            state(&e),
                            SqlState::FOREIGN_KEY_VIOLATION | SqlState::T_R_DEADLOCK_DETECTED
                        ),
                        "{sql}: {e}"
                    );
                }
            }
        })
        .await;
        let orphans = "SELECT count(*) FROM child c LEFT JOIN parent p ON p.id = c.parent_id WHERE p.id IS NULL";
        assert_eq!(number(&client, orphans).await, 0);
    });
}

#[test]
fn serializable_keeps_what_each_session_checked() {
    run(|address| async move {
        let client = connect(&address).await;
        // Two of a pair may be off duty, never both: each session looks before it leaves.
        client
            .batch_execute(
                "CREATE TABLE duty (pair int, who int, present boolean NOT NULL, PRIMARY KEY (pair, who));
                 INSERT INTO duty SELECT p, w, true FROM generate_series(0, 9) p, generate_series(0, 1) w",
            )
            .await
            .unwrap();
        at_once(&address, |me, client| async move {
            let who = i32::try_from(me % 2).unwrap();
            for pair in 0..10_i32 {
                let steps = async {
                    client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
                    let present: i64 = client
                        .query_one(
                            "SELECT count(*) FROM duty WHERE pair = $1 AND present",
                            &[&pair],
                        )
                        .await?
                        .get(0);
                    if present == 2 {
                        let sql = "UPDATE duty SET present = false WHERE pair = $1 AND who = $2";
                        client.execute(sql, &[&pair, &who]).await?;
                    }
                    client.batch_execute("COMMIT").await
                };
                if let Err(e) = steps.await {
                    assert_eq!(state(&e), SqlState::T_R_SERIALIZATION_FAILURE, "{e}");
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
            }
        })
        .await;
        let empty = "SELECT count(*) FROM (SELECT pair FROM duty GROUP BY pair HAVING NOT bool_or(present)) e";
        assert_eq!(number(&client, empty).await, 0);
    });
}

#[test]
fn tables_change_while_they_are_used() {
    run(|address| async move {
        let client = connect(&address).await;
        client.batch_execute("CREATE TABLE busy (id bigserial PRIMARY KEY, v text)").await.unwrap();
        at_once(&address, |me, client| async move {
            for round in 0..12 {
                if me == 0 {
                    let sql = format!("ALTER TABLE busy ADD COLUMN c{round} int DEFAULT {round}");
                    client.batch_execute(&sql).await.unwrap();
                } else {
                    client.batch_execute("INSERT INTO busy (v) VALUES ('x')").await.unwrap();
                    client
                        .simple_query("SELECT * FROM busy ORDER BY id DESC LIMIT 3")
                        .await
                        .unwrap();
                }
            }
        })
        .await;
        assert_eq!(number(&client, "SELECT count(*) FROM busy WHERE v = 'x'").await, 84);
        assert_eq!(number(&client, "SELECT count(c11) FROM busy WHERE c11 = 11").await, 84);
    });
}
