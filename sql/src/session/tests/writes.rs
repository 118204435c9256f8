//! INSERT and transactions.

use super::{engine, ints, run, session, state, tag};

#[tokio::test]
async fn insert_autocommits() {
    let engine = engine();
    let mut session = session(&engine);
    assert_eq!(
        tag(&mut session, "create table t (a int primary key, b bigint)").await,
        "CREATE TABLE"
    );
    assert_eq!(tag(&mut session, "insert into t values (1, 2), (3, null)").await, "INSERT 0 2");
    assert_eq!(tag(&mut session, "insert into t (b, a) values ('7', 2)").await, "INSERT 0 1");
    assert_eq!(ints(&engine, "t"), [[1, 2], [2, 7], [3, -1]]);
    assert_eq!(state(&mut session, "insert into t values (1, 5)").await, "23505");
    assert_eq!(state(&mut session, "insert into t values (null, 5)").await, "23502");
    assert_eq!(state(&mut session, "insert into t values ('x', 5)").await, "22P02");
    assert_eq!(state(&mut session, "insert into t values (true, 5)").await, "42804");
    assert_eq!(state(&mut session, "insert into t values (1, 2, 3)").await, "42601");
    assert_eq!(state(&mut session, "insert into nope values (1)").await, "42P01");
    assert_eq!(state(&mut session, "insert into t (c) values (1)").await, "42703");
    assert_eq!(state(&mut session, "insert into t values (5000000000, 1)").await, "22003");
    assert_eq!(ints(&engine, "t").len(), 3);
}

#[tokio::test]
async fn serial_and_returning() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (id serial primary key, n int default 4)")
        .await
        .expect("table");
    assert_eq!(tag(&mut session, "insert into t default values returning id").await, "INSERT 0 1");
    assert_eq!(tag(&mut session, "insert into t (n) values (9), (default)").await, "INSERT 0 2");
    assert_eq!(ints(&engine, "t"), [[1, 4], [2, 9], [3, 4]]);
}

#[tokio::test]
async fn blocks_and_savepoints() {
    let engine = engine();
    let mut session = session(&engine);
    run(&mut session, "create table t (a int primary key)").await.expect("table");
    run(&mut session, "begin; insert into t values (1); savepoint s; insert into t values (2)")
        .await
        .expect("block");
    assert_eq!(state(&mut session, "insert into t values (1)").await, "23505");
    assert_eq!(state(&mut session, "insert into t values (5)").await, "25P02");
    assert_eq!(tag(&mut session, "rollback to s").await, "ROLLBACK");
    assert_eq!(tag(&mut session, "insert into t values (3)").await, "INSERT 0 1");
    assert!(ints(&engine, "t").is_empty());
    assert_eq!(tag(&mut session, "commit").await, "COMMIT");
    assert_eq!(ints(&engine, "t"), [[1], [3]]);
    run(&mut session, "begin; insert into t values (8); rollback").await.expect("rollback");
    assert_eq!(state(&mut session, "begin; insert into t values (8); select 1/").await, "42601");
    run(&mut session, "rollback").await.expect("rollback");
    assert_eq!(ints(&engine, "t"), [[1], [3]]);
}
